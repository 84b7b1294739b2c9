//! The walls on this kernel: the known attacks on a session by the map as it ships, and on one without a wall.

use serde_json::Value;
use vm_tests::{Guest, product};

use crate::suite::Check;

/// So many attacks there are at least that each of these kernels lets one try, with those in a user namespace.
const ATTACKS: usize = 60;
/// So many different ones a wall stops, at least. A kernel may stop some of the thirteen by itself (Yama, say).
const BY_WALL: usize = 10;
/// The map as it ships, but for its wall.
const NO_WALL: &str = "version = 1\n[defaults]\nwall = \"none\"\n";

pub fn checks() -> Vec<Check> {
    vec![
        Check::new("the package installs, and setup turns it on", |guest| {
            product::install(guest)?;
            guest.root_ok("systemctl restart ssh").map(drop).map_err(Into::into)
        }),
        Check::new("bob's login by ssh has a view and a wall", |guest| {
            let seen = guest.ssh_ok("bob", "readlink /proc/self/ns/mnt; ls -d /proc/[1-9]* | wc -l")?;
            let host = guest.root_ok("readlink /proc/self/ns/mnt; ls -d /proc/[1-9]* | wc -l")?;
            let numbers = |text: &str| -> Option<(String, usize)> {
                let (namespace, processes) = text.trim().split_once('\n')?;
                Some((namespace.to_owned(), processes.trim().parse().ok()?))
            };
            match (numbers(&seen), numbers(&host)) {
                (Some((view, inside)), Some((host, all))) if view != host && inside < 12 && all > 30 => {
                    Ok(())
                }
                _ => Err(format!("inside {seen:?}, outside {host:?}").into()),
            }
        }),
        Check::new("no attack gets through, by either switch of the root", |guest| {
            for mode in ["namespace", "chroot"] {
                for user in ["", "--user bob", "--service session-enter"] {
                    let (attempts, through) = selftest(guest, &format!("--mode {mode} {user}"))?;
                    if attempts < ATTACKS || !through.is_empty() {
                        return Err(format!("{mode} {user}: of {attempts} {through:?} got through").into());
                    }
                    println!("{mode} {user}: {attempts} attacks, none got through");
                    tried(attempts)?;
                }
            }
            Ok(())
        }),
        Check::new("without a wall they get through", |guest| {
            guest.root_ok(&format!(
                "printf '%s' '{NO_WALL}' >/etc/session-sandbox/mounts.d/90-no-wall.toml"
            ))?;
            let found = selftest(guest, "");
            guest.root_ok("rm /etc/session-sandbox/mounts.d/90-no-wall.toml")?;
            match found? {
                (_, through) if through.len() >= BY_WALL => Ok(()),
                (_, through) => Err(format!("only {through:?} got through").into()),
            }
        }),
        Check::new("nothing is left", |guest| {
            guest.root_ok("sessionctl gc && ! pgrep -u 65519 && ! grep -q selftest /proc/self/mountinfo")?;
            Ok(())
        }),
    ]
}

/// Writes it down for `cargo xtask figures`, where that has asked.
fn tried(attempts: usize) -> std::io::Result<()> {
    use std::io::Write as _;
    let Some(file) = std::env::var_os("SESSION_FIGURES") else { return Ok(()) };
    let line = format!("attacks on other kernels\t{attempts}\n");
    std::fs::OpenOptions::new().append(true).open(file)?.write_all(line.as_bytes())
}

/// How many attacks were tried, and which got through.
fn selftest(guest: &Guest, options: &str) -> Result<(usize, Vec<String>), libtest_mimic::Failed> {
    let output = guest.root(&format!("sessionctl selftest --json {options}"))?;
    let report: Value =
        serde_json::from_str(&output.stdout).map_err(|error| format!("{error}: {output:?}"))?;
    let attempts = report["attempts"].as_array().ok_or("no attempts")?;
    let through = attempts.iter().filter(|attempt| attempt["outcome"] == "through");
    // Once, whether as the user or in a user namespace.
    let mut through: Vec<String> = through.map(|attempt| attempt["id"].to_string()).collect();
    through.dedup();
    // The status says the same.
    if output.status != i32::from(!through.is_empty()) {
        return Err(format!("{through:?}, and the status is {}", output.status).into());
    }
    let untried = attempts.iter().filter(|attempt| attempt["outcome"] == "untried").count();
    Ok((attempts.len() - untried, through))
}
