//! `--prepare` and `--release` are killed at each of their system calls: whoever comes next puts it right.

use libtest_mimic::{Failed, Trial};

use super::calls::{Call, injected, traced_calls};
use super::{Traces, USER};
use crate::support::world::SESSION_ENTER;
use crate::support::{HostMounts, Needs, Run, Verdict, World, ensure, ensure_eq, isolated, tried};

/// The calls after which something is on the host that was not there, or is gone, or is written down.
const CHANGES: [&str; 9] =
    ["mkdirat", "openat", "write", "fsync", "renameat", "move_mount", "umount2", "unlinkat", "flock"];
/// How many of these there are depends on what the kernel has in memory, so the last ones may not come again.
const LOOK_UPS: [&str; 2] = ["openat2", "statx"];
/// Of all other calls, one in so many.
const OTHERS: usize = 12;

pub fn trials() -> Vec<Trial> {
    const NEEDS: &[Needs] = &[Needs::Root, Needs::Tool("strace")];
    let mut trials = Vec::new();
    for action in ["--prepare", "--release"] {
        for healer in ["--prepare", "--release"] {
            for mounts in [HostMounts::Shared, HostMounts::Private] {
                let name = format!(
                    "a {action} that is killed is put right by the next {healer}, on a {mounts:?} host"
                );
                trials.push(isolated(name, NEEDS, mounts, move || killed(action, healer)));
            }
        }
    }
    trials
}

struct Host {
    map: String,
}

impl Host {
    fn arguments<'a>(&'a self, action: &'a str) -> [&'a str; 5] {
        ["--config", &self.map, "--user", USER, action]
    }

    /// Did it do so, or was there nothing to release?
    fn did(&self, action: &str) -> Result<bool, Failed> {
        let outcome = Run::new(SESSION_ENTER).args(self.arguments(action)).finish()?;
        let nothing_there = action == "--release" && outcome.stderr.contains("nothing is prepared");
        ensure!(outcome.code == Some(0) || nothing_there, "{action} came to {outcome:?}");
        Ok(outcome.code == Some(0))
    }

    /// Takes back what is prepared, however many hold it.
    fn clean_up(&self) -> Verdict {
        for _ in 0..3 {
            if !self.did("--release")? {
                return Ok(());
            }
        }
        Err("released again and again, and it is still there".into())
    }
}

fn killed(action: &'static str, healer: &'static str) -> Verdict {
    let world = World::new()?;
    world.map("", "")?;
    let host = Host { map: world.path("map.toml").to_string_lossy().into_owned() };
    host.did("--prepare")?;
    let prepared = Traces::now();
    host.did("--release")?;
    let clean = Traces::now();
    ensure!(prepared.host.mounts != clean.host.mounts, "nothing was prepared");

    if action == "--release" {
        host.did("--prepare")?;
    }
    let calls = traced_calls(&world, &host.arguments(action), "flock")?;
    host.clean_up()?;
    clean.assert_returns()?;
    let is_change = |call: &Call| CHANGES.contains(&call.0.as_str());
    ensure!(calls.iter().filter(|call| is_change(call)).count() > 4, "too few calls: {calls:?}");
    let others = calls.iter().filter(|call| !is_change(call)).step_by(OTHERS);
    let mut kills = 0;
    for call in calls.iter().filter(|call| is_change(call)).chain(others) {
        one_kill(&host, call, action, healer, &clean)
            .map_err(|failed| format!("killed at {call:?}: {}", failed.message().unwrap_or("?")))?;
        kills += 1;
    }
    tried("kills at a system call", kills)
}

fn one_kill(host: &Host, call: &Call, action: &str, healer: &str, clean: &Traces) -> Verdict {
    if action == "--release" {
        host.did("--prepare")?;
    }
    let outcome = injected(call, "signal=KILL", &host.arguments(action))?;
    if LOOK_UPS.contains(&call.0.as_str()) && outcome.code == Some(0) {
        host.clean_up()?;
        return clean.assert_returns();
    }
    ensure!(outcome.code != Some(0), "it was not killed: {outcome:?}");
    let healed = host.did(healer)?;
    if healer == "--prepare" {
        let mounts = Traces::now().host.mounts;
        let trees = mounts.lines().filter(|line| line.contains(" /var/lib/workspace/nobody/chroot ")).count();
        ensure_eq!((healed, trees), (true, 1), "the tree is there, once:\n{mounts}");
        let inside = std::fs::read_dir("/var/lib/workspace/nobody/chroot/usr/bin")?.count();
        ensure!(inside > 0, "the tree is empty");
    }
    host.clean_up()?;
    clean.assert_returns()
}
