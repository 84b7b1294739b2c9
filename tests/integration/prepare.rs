//! `--prepare` and `--release`: the tree on the host, counted, and gone without a trace.

use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    HostMounts, HostState, Needs, Outcome, Run, Running, Verdict, World, ensure, ensure_eq, isolated, users,
};

const AS_BOB: &[Needs] = &[Needs::Root, Needs::OrdinaryUser];

pub fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> = HostMounts::ALL
        .into_iter()
        .map(|mounts| {
            isolated(
                format!(
                    "a prepared tree can be seen and entered, and is gone after its release ({mounts:?} host)"
                ),
                AS_BOB,
                mounts,
                seen,
            )
        })
        .collect();
    trials.extend([
        isolated(
            "a prepared tree stays until its last holder releases it",
            AS_BOB,
            HostMounts::Shared,
            counted,
        ),
        isolated("many prepare and release at the same time", AS_BOB, HostMounts::Shared, concurrent),
        isolated(
            "what a killed --prepare left is undone by the next one",
            AS_BOB,
            HostMounts::Shared,
            killed,
        ),
        isolated(
            "a tree is released whatever has become of the map",
            AS_BOB,
            HostMounts::Shared,
            without_map,
        ),
        isolated(
            "what a crash at any point leaves is undone by the next one",
            AS_BOB,
            HostMounts::Shared,
            crashed,
        ),
        isolated(
            "no tree is put where another user could have a hand in it",
            AS_BOB,
            HostMounts::Shared,
            untrusted,
        ),
        isolated("a mount of somebody else's is never taken away", AS_BOB, HostMounts::Shared, foreign),
    ]);
    trials
}

/// A host on which one tree was prepared and released: its lock files are there, and nothing else.
struct Host {
    world: World,
    user: String,
    journal: PathBuf,
    at: PathBuf,
    before: HostState,
}

impl Host {
    fn new() -> Result<Self, Failed> {
        let world = World::new()?;
        let bob = users::bob()?;
        world.map("", "")?;
        let journal = PathBuf::from(format!("/run/session-sandbox/prepared/{}.json", bob.uid));
        let at = PathBuf::from(format!("/var/lib/workspace/{}/chroot", bob.name));
        let mut host = Self { world, user: bob.name, journal, at, before: HostState::now() };
        host.call("--prepare")?.expect_code(0)?;
        host.call("--release")?.expect_code(0)?;
        ensure_eq!(HostState::now().mounts, host.before.mounts, "the mount table after the first release");
        ensure_eq!(
            HostState::now().workspace,
            host.before.workspace,
            "/var/lib/workspace after the first release"
        );
        host.before = HostState::now();
        Ok(host)
    }

    fn run(&self, option: &str) -> Result<Run, Failed> {
        self.world.enter([option, "--user", &self.user])
    }

    fn call(&self, option: &str) -> Result<Outcome, Failed> {
        self.run(option)?.finish()
    }

    fn is_there(&self) -> bool {
        self.at.join("usr/bin/env").symlink_metadata().is_ok()
    }

    /// One prepare and one release must work, and leave nothing.
    fn recovers(&self) -> Verdict {
        self.call("--prepare")?.expect_code(0)?;
        ensure!(self.is_there(), "the tree is not there");
        let mounts = HostState::now()
            .mounts
            .lines()
            .filter(|line| line.contains(&format!(" {} ", self.at.display())))
            .count();
        ensure_eq!(mounts, 1, "mounts at the path");
        self.call("--release")?.expect_code(0)?;
        self.before.assert_returns()
    }
}

fn seen() -> Verdict {
    let host = Host::new()?;
    host.call("--prepare")?.expect_code(0)?;
    ensure!(host.is_there(), "the tree is not at {:?}", host.at);
    let text = Run::new("chroot").arg(&host.at).args([
        "sh",
        "-c",
        "ls -d /usr /proc/self; echo x > /usr/x || echo read-only",
    ]);
    ensure_eq!(text.finish()?.output()?, "/proc/self\n/usr\nread-only\n", "inside");
    host.call("--release")?.expect_code(0)?;
    host.before.assert_returns()?;
    // At another path, with directories on the way.
    let run = |option: &str| host.run(option)?.args(["--root", "/var/lib/workspace/a/b/c"]).finish();
    run("--prepare")?.expect_code(0)?;
    ensure!(Path::new("/var/lib/workspace/a/b/c/usr").is_dir(), "the tree is not there");
    run("--release")?.expect_code(0)?;
    host.before.assert_returns()
}

fn counted() -> Verdict {
    let host = Host::new()?;
    for _ in 0..3 {
        host.call("--prepare")?.expect_code(0)?;
    }
    let mounted = HostState::now().mounts;
    for _ in 0..2 {
        host.call("--release")?.expect_code(0)?;
        ensure_eq!(HostState::now().mounts, mounted, "the mount table with holders left");
    }
    host.call("--release")?.expect_code(0)?;
    host.before.assert_returns()?;
    let once_more = host.call("--release")?.expect_code(125)?;
    ensure!(once_more.stderr.contains("nothing is prepared for this user"), "{}", once_more.stderr);
    let at = host.at.display().to_string();
    let named = host.run("--release")?.args(["--root", &at]).finish()?.expect_code(125)?;
    ensure!(named.stderr.contains(&format!("nothing is prepared at {at}")), "{}", named.stderr);
    host.before.assert_returns()
}

fn concurrent() -> Verdict {
    let host = Host::new()?;
    let all = |option: &str| -> Verdict {
        let running: Vec<Running> = (0..12).map(|_| host.run(option)?.start()).collect::<Result<_, _>>()?;
        running.into_iter().try_for_each(|running| running.finish()?.expect_code(0).map(drop))
    };
    all("--prepare")?;
    ensure!(host.is_there(), "the tree is not there");
    all("--release")?;
    host.before.assert_returns()?;
    // One always holds it, while others come and go.
    host.call("--prepare")?.expect_code(0)?;
    for _ in 0..3 {
        let (mut coming, mut going) = (Vec::new(), Vec::new());
        for _ in 0..4 {
            coming.push(host.run("--prepare")?.start()?);
        }
        for running in coming {
            running.finish()?.expect_code(0)?;
        }
        for _ in 0..4 {
            going.push(host.run("--release")?.start()?);
        }
        for running in going {
            running.finish()?.expect_code(0)?;
        }
        ensure!(host.is_there(), "the tree is gone with a holder left");
    }
    host.call("--release")?.expect_code(0)?;
    host.before.assert_returns()
}

/// Killed at moments that nobody chose: what counts is that every one of them can be recovered from.
fn killed() -> Verdict {
    let host = Host::new()?;
    for option in ["--prepare", "--release"] {
        for moment in 0..24_u32 {
            if option == "--release" {
                host.call("--prepare")?.expect_code(0)?;
            }
            let running = host.run(option)?.start()?;
            let wait = std::time::Duration::from_micros(500 * u64::from(moment));
            let began = std::time::Instant::now();
            while began.elapsed() < wait {
                std::hint::spin_loop();
            }
            let _ = running.signal(Signal::KILL);
            let outcome = running.finish()?;
            // Counted or not counted, mounted or not: releasing as often as it takes must end in nothing.
            let mut releases = 0;
            while host.call("--release")?.code == Some(0) {
                releases += 1;
                ensure!(releases < 3, "it can be released for ever");
            }
            ensure!(outcome.code.is_some() || outcome.signal == Some(9), "{outcome:?}");
            host.recovers().map_err(|failed| {
                format!("killed after {wait:?} of {option}: {}", failed.message().unwrap_or(""))
            })?;
        }
    }
    Ok(())
}

fn without_map() -> Verdict {
    let host = Host::new()?;
    host.call("--prepare")?.expect_code(0)?;
    let map = std::fs::read_to_string(host.world.path("map.toml"))?;
    host.world.file("map.toml", "no map at all")?;
    host.call("--prepare")?.expect_code(125)?;
    host.call("--release")?.expect_code(0)?;
    ensure!(!host.is_there(), "the tree is still there");
    // Of several trees one must be named.
    host.world.file("map.toml", map)?;
    host.call("--prepare")?.expect_code(0)?;
    let second = "/var/lib/workspace/second";
    host.run("--prepare")?.args(["--root", second]).finish()?.expect_code(0)?;
    let outcome = host.call("--release")?.expect_code(125)?;
    ensure!(outcome.stderr.contains(second) && outcome.stderr.contains("--root"), "{}", outcome.stderr);
    host.run("--release")?.args(["--root", second]).finish()?.expect_code(0)?;
    host.call("--release")?.expect_code(0)?;
    host.recovers()
}

/// The three states that a crash can leave, written as the program writes them.
fn crashed() -> Verdict {
    let host = Host::new()?;
    let record = |change: &dyn Fn(&mut Value)| -> Verdict {
        let mut record: Value = serde_json::from_slice(&std::fs::read(&host.journal)?)?;
        change(&mut record);
        Ok(std::fs::write(&host.journal, record.to_string())?)
    };
    let unfinished = |record: &mut Value| record["trees"][0]["in_use"] = json!(false);

    // After the mount, before that was written down.
    host.call("--prepare")?.expect_code(0)?;
    record(&unfinished)?;
    host.recovers()?;
    // After the intent was written down, before the mount.
    host.call("--prepare")?.expect_code(0)?;
    record(&unfinished)?;
    rustix::mount::unmount(&host.at, rustix::mount::UnmountFlags::DETACH)?;
    host.recovers()?;
    // Before a directory on the way was made.
    host.call("--prepare")?.expect_code(0)?;
    record(&unfinished)?;
    rustix::mount::unmount(&host.at, rustix::mount::UnmountFlags::DETACH)?;
    std::fs::remove_dir(&host.at)?;
    host.recovers()?;
    // A restart of the machine: nothing of it is there any more.
    host.call("--prepare")?.expect_code(0)?;
    record(&|record| record["boot"] = json!("00000000-0000-0000-0000-000000000000"))?;
    rustix::mount::unmount(&host.at, rustix::mount::UnmountFlags::DETACH)?;
    host.call("--release")?.expect_code(125)?;
    std::fs::remove_dir(&host.at)?;
    std::fs::remove_dir(host.at.parent().ok_or("a parent")?)?;
    host.recovers()?;
    // A record that nobody can read says so, and stays for a person to look at.
    std::fs::write(&host.journal, "{")?;
    let outcome = host.call("--prepare")?.expect_code(125)?;
    ensure!(outcome.stderr.contains("/run/session-sandbox"), "{}", outcome.stderr);
    std::fs::remove_file(&host.journal)?;
    host.recovers()
}

fn untrusted() -> Verdict {
    let host = Host::new()?;
    let bob = users::bob()?;
    let theirs = World::of(&bob)?;
    theirs.directory("place")?;
    let link = Path::new("/var/lib/workspace/link");
    std::os::unix::fs::symlink(theirs.path("place"), link)?;
    let before = HostState::now();
    let in_tmp = "/tmp/session-sandbox-tests/tree".to_owned();
    let paths = [
        theirs.path("place").display().to_string(),
        theirs.path("place/new").display().to_string(),
        in_tmp,
        format!("{}/below", link.display()),
        "/".to_owned(),
        "/etc/passwd".to_owned(),
        "/etc/passwd/below".to_owned(),
    ];
    for path in paths {
        let outcome = host.run("--prepare")?.args(["--root", &path]).finish()?;
        ensure_eq!(outcome.code, Some(125), "exit status with {path}");
        let lines: Vec<&str> = outcome.stderr.lines().collect();
        ensure!(
            lines.len() <= 2 && lines[0].starts_with("session-enter: ") && lines[0].contains(&path),
            "{lines:?}"
        );
        before.assert_returns().map_err(|failed| format!("{path}: {}", failed.message().unwrap_or("")))?;
    }
    std::fs::remove_file(link)?;
    Ok(())
}

fn foreign() -> Verdict {
    let host = Host::new()?;
    std::fs::create_dir(host.at.parent().ok_or("a parent")?)?;
    std::fs::create_dir(&host.at)?;
    let mount =
        || rustix::mount::mount("theirs", &host.at, "tmpfs", rustix::mount::MountFlags::empty(), c"mode=755");
    mount()?;
    let before = HostState::now();
    let refused = host.call("--prepare")?.expect_code(125)?;
    ensure!(refused.stderr.contains("mounted") && refused.stderr.contains("unmount"), "{}", refused.stderr);
    host.call("--release")?.expect_code(125)?;
    before.assert_returns()?;
    rustix::mount::unmount(&host.at, rustix::mount::UnmountFlags::empty())?;

    // Ours was taken away by hand, and something else was put there.
    host.call("--prepare")?.expect_code(0)?;
    rustix::mount::unmount(&host.at, rustix::mount::UnmountFlags::DETACH)?;
    mount()?;
    host.call("--release")?.expect_code(125)?;
    let mounts = HostState::now().mounts;
    ensure!(mounts.contains(" - tmpfs theirs "), "somebody else's mount was taken away");
    Ok(())
}
