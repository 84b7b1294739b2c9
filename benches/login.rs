//! How long a program that uses PAM takes to open and close a session: `pamtester` as a whole process.
//!
//! The contestants work in turn, round by round: a stack with nothing in it, Debian's `pam_namespace` with a `/tmp` in
//! memory, the module at a user's first login, which builds the view and ends it, and at a later one, while another
//! session keeps the view. What the empty stack takes is taken off the others. On hosts with more and more mounts.
//!
//!     cargo bench --bench login [-- --quick]
//!
//! Needs what `benches/enter.rs` needs, and `pamtester`.

mod common;

use std::fmt::Write;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Instant;

use common::{Result, Series, Took, WALLS, map_path, verdict};
use rustix::mount::{MountFlags, mount, mount_bind};

const PAMTESTER: &str = "/usr/bin/pamtester";
const SESSION_ENTER: &str = env!("CARGO_BIN_EXE_session-enter");
const SESSION_DOOR: &str = env!("CARGO_BIN_EXE_session-door");
/// How often on each host.
const ROUNDS: [usize; 3] = [300, 120, 20];
/// Who logs in for the first time, and who once more: not the same, for they would share their view. By wall.
const FIRST: [&str; 2] = ["nobody", "bin"];
const LATER: [&str; 2] = ["daemon", "sys"];
/// What opening and closing may take, net, as a part of what pam_namespace takes.
const LIMITS: [(&str, f64); 2] = [("first", 0.5), ("later", 0.2)];

fn main() -> ExitCode {
    common::run(&ROUNDS, inside, table)
}

fn inside(_: usize, rounds: usize, folder: &Path) -> Result<String> {
    if fs::metadata(PAMTESTER).is_err() {
        return Err(format!("there is no {PAMTESTER} to log in with (Debian: pamtester)").into());
    }
    let module = module()?;
    write_services(folder, &module)?;
    let mut sessions = Vec::new();
    let mut contestants = vec![
        ("empty".to_owned(), login("bench-empty", FIRST[0])),
        ("pam_namespace".to_owned(), login("bench-namespace", FIRST[0])),
    ];
    for (at, wall) in WALLS.into_iter().enumerate() {
        sessions.push(Session::open(&map_path(folder, wall, "user"), LATER[at])?);
        contestants.push((format!("first {wall}"), login(&format!("bench-{wall}"), FIRST[at])));
        contestants.push((format!("later {wall}"), login(&format!("bench-{wall}"), LATER[at])));
    }
    let mut times = vec![Series::default(); contestants.len()];
    // The first rounds warm the caches and are thrown away.
    let warm_up = (rounds / 20).clamp(1, 5);
    for round in 0..rounds + warm_up {
        for turn in 0..contestants.len() {
            // Nobody is always first.
            let at = (round + turn) % contestants.len();
            let (name, command) = &mut contestants[at];
            let started = Instant::now();
            let status = command.status()?;
            let took = started.elapsed();
            if !status.success() {
                return Err(format!("{name} failed: {status}; the system log says why").into());
            }
            if round >= warm_up {
                times[at].add(took);
            }
        }
    }
    Ok(contestants.iter().zip(&mut times).map(|((name, _), times)| times.figures().line(name)).collect())
}

/// Builds the module, which no target of this package is.
fn module() -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pam-bench");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--locked", "--package", "pam-session-sandbox"])
        .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
        .arg("--target-dir")
        .arg(&folder)
        .status()?;
    let file = folder.join("release/libpam_session_sandbox.so");
    if status.success() { Ok(file) } else { Err("the module does not build".into()) }
}

/// Services of this mount namespace, and pam_namespace's file.
fn write_services(folder: &Path, module: &Path) -> Result<()> {
    mount("bench", "/etc/pam.d", "tmpfs", MountFlags::empty(), c"mode=0755")?;
    let namespaces = folder.join("namespace.conf");
    fs::write(&namespaces, "/tmp /tmp tmpfs root\n")?;
    mount_bind(&namespaces, "/etc/security/namespace.conf")?;
    let mut sessions = vec![
        ("empty".to_owned(), "pam_permit.so".to_owned()),
        ("namespace".to_owned(), "pam_namespace.so".to_owned()),
    ];
    for wall in WALLS {
        let map = map_path(folder, wall, "user");
        let line = format!("{} helper={SESSION_DOOR} config={}", module.display(), map.display());
        sessions.push((wall.to_owned(), line));
    }
    for (name, session) in sessions {
        let others = "auth required pam_permit.so\naccount required pam_permit.so\n";
        fs::write(format!("/etc/pam.d/bench-{name}"), format!("{others}session required {session}\n"))?;
    }
    Ok(())
}

fn login(service: &str, user: &str) -> Command {
    let mut command = Command::new(PAMTESTER);
    command.args([service, user, "open_session", "close_session"]);
    // The environment of `cargo bench` has the loader look for libraries in the compiler's folders.
    command.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// A session that keeps a view alive.
struct Session(Child);

impl Session {
    fn open(map: &Path, user: &str) -> Result<Self> {
        let mut command = Command::new(SESSION_ENTER);
        command.args(["--user", user, "--config"]).arg(map).args(["--", "/bin/sh", "-c", "echo; read never"]);
        let mut session = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        // It comes back when the session is there.
        let output = session.stdout.take().ok_or("no pipe")?;
        BufReader::new(output).read_line(&mut String::new())?;
        Ok(Self(session))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn table(hosts: &[(usize, usize, String)]) -> Result<String> {
    let mut text =
        "| host mounts | rounds | stack | fastest | median | p99 | net median | of pam_namespace's |\n\
                    |--:|--:|---|--:|--:|--:|--:|--:|\n"
            .to_owned();
    for (mounts, rounds, lines) in hosts {
        let empty = Took::find(lines, "empty")?;
        let net = |took: Took| took.median - empty.median;
        let peer = net(Took::find(lines, "pam_namespace")?);
        let mut row = |name: &str, limit: Option<f64>| -> Result<()> {
            let took = Took::find(lines, name)?;
            let part = net(took) / peer;
            let part = limit.map_or_else(|| format!("{part:.2}"), |limit| verdict(part, limit));
            writeln!(
                text,
                "| {mounts} | {rounds} | {name} | {} | {:.0} us | {part} |",
                took.cells(),
                net(took)
            )?;
            Ok(())
        };
        row("empty", None)?;
        row("pam_namespace", None)?;
        for (which, limit) in LIMITS {
            for wall in WALLS {
                row(&format!("{which} {wall}"), Some(limit))?;
            }
        }
    }
    Ok(text)
}
