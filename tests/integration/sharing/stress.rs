//! Many at once, and many one after the other: one view, no failure, and nothing that stays.
//!
//! With `SESSION_SANDBOX_LONG=1` each loop is ten times as long.

use std::path::Path;
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use rustix::process::Signal;

use super::{AS_BOB, Host};
use crate::support::{
    HostMounts, HostState, Needs, Run, Verdict, World, ensure, ensure_eq, isolated, tried, until, users,
};

pub fn trials() -> Vec<Trial> {
    let own = |name: &str, test: fn() -> Verdict| isolated(name, AS_BOB, HostMounts::Shared, test);
    vec![
        own("two hundred logins at the same instant, the first of this boot, share one view", at_once),
        isolated(
            "a login that finds the registry half made waits until it is complete",
            &[Needs::Root, Needs::OrdinaryUser, Needs::Tool("strace")],
            HostMounts::Shared,
            half_made,
        ),
        own("a third of a thousand logins is killed, and after gc nothing is left", killed),
        own("logins and logouts, one after the other, leave nothing and take no memory", cycles),
        own("many logins of several users, eight at a time, never fail", many),
        own("the last logout against a new login never fails", race),
        isolated(
            "an entry makes no more system calls than it needs",
            &[Needs::Root, Needs::OrdinaryUser, Needs::Tool("strace")],
            HostMounts::Shared,
            calls,
        ),
    ]
}

fn times(count: usize) -> usize {
    if std::env::var("SESSION_SANDBOX_LONG").is_ok_and(|value| !value.is_empty()) {
        count * 10
    } else {
        count
    }
}

fn at_once() -> Verdict {
    const LOGINS: usize = 200;
    let host = Host::new("scope = \"user\"")?;
    // As nobody has logged in yet.
    Run::new("umount").args(["-R", "/run/session-sandbox"]).finish()?.expect_code(0)?;
    std::fs::remove_dir("/run/session-sandbox")?;
    let gate = host.world.file("gate", "")?;
    let gate = gate.to_string_lossy().into_owned();
    let mut closed =
        Run::new("flock").args(["-x", &gate, "sh", "-c", "echo shut; read line"]).piped_input().start()?;
    closed.expect("shut\n")?;
    let mut logins = Vec::new();
    for _ in 0..LOGINS {
        let script = format!(
            "echo waits; flock -s {gate} true; exec {} --config {} --user {} -- sh -c 'readlink /proc/self/ns/pid; read line'",
            crate::support::world::SESSION_ENTER,
            host.world.path("map.toml").display(),
            host.bob.name
        );
        logins.push(Run::new("sh").args(["-c", &script]).piped_input().start()?);
    }
    for login in &mut logins {
        login.expect("waits\n")?;
    }
    super::leave(closed)?;
    let mut views = std::collections::BTreeSet::new();
    for login in &mut logins {
        login.expect("]\n")?;
        views.insert(login.stdout());
    }
    ensure_eq!(views.len(), 1, "views: {views:?}");
    for login in logins {
        super::leave(login)?;
    }
    host.until_no_view()
}

/// The first login of a boot is slow in making the registry, and the second comes while it does.
fn half_made() -> Verdict {
    let host = Host::new("scope = \"user\"")?;
    Run::new("umount").args(["-R", "/run/session-sandbox"]).finish()?.expect_code(0)?;
    std::fs::remove_dir("/run/session-sandbox")?;
    let map = host.world.path("map.toml").to_string_lossy().into_owned();
    let first = Run::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "inject=renameat,renameat2:delay_enter=700000"])
        .args([crate::support::world::SESSION_ENTER, "--config", &map, "--user", &host.bob.name])
        .args(["--", "echo", "first"])
        .start()?;
    until("the registry is made but for its last file", || {
        Path::new("/run/session-sandbox/boot.new").exists().then_some(())
    })?;
    ensure!(!Path::new("/run/session-sandbox/boot").exists(), "the first login was not slow");
    ensure_eq!(host.bobs("echo second")?.finish()?.output()?, "second\n", "the second login");
    ensure_eq!(first.finish()?.output()?, "first\n", "the first login");
    host.until_no_view()
}

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn killed() -> Verdict {
    let host = Host::new("scope = \"user\"")?;
    let before = HostState::now();
    let mut numbers = Numbers(42);
    let mut open: Vec<crate::support::Running> = Vec::new();
    for turn in 0..1_000 {
        let session = host.login(&host.bob, "(sleep 5 &) ; sleep 0.01")?.start()?;
        if turn % 3 == 0 {
            // From before it has read the map to after its program has ended.
            std::thread::sleep(Duration::from_micros(numbers.below(9_000)));
            let _ = session.signal(Signal::KILL);
        }
        if turn % 50 == 25 {
            // The keeper, too, may be killed: all sessions of that moment go with it.
            let _ = Run::new("pkill").args(["-KILL", "-x", "session-keeper"]).finish()?;
        }
        open.push(session);
        if open.len() > 8 {
            let _ = open.remove(0).finish()?;
        }
    }
    for session in open {
        let _ = session.finish()?;
    }
    ensure_eq!(host.login(&host.bob, "echo in")?.finish()?.output()?, "in\n", "the login after all of that");
    host.until_no_view()?;
    ensure_eq!(super::control_command(&["gc"])?.code, Some(0), "gc");
    before.assert_returns()
}

fn cycles() -> Verdict {
    let host = Host::new("scope = \"user\"")?;
    let turn = || host.login(&host.bob, "true")?.finish()?.expect_code(0).map(drop);
    for _ in 0..100 {
        turn()?;
    }
    host.until_no_view()?;
    let (before, memory) = (HostState::now(), kernel_memory()?);
    let count = times(1_000);
    for _ in 0..count {
        turn()?;
    }
    host.until_no_view()?;
    before.assert_returns()?;
    let grown = kernel_memory()?.saturating_sub(memory);
    // A leak of one mount (320 bytes) in each turn would be seen from some ten thousand turns on; one of a namespace
    // or a file system (16 KB and more) in the short run as well.
    let allowed = 12 * 1024;
    ensure!(grown < allowed, "the kernel's memory has grown by {grown} KB in {count} logins");
    eprintln!("{count} logins: {grown} KB of kernel memory more");
    tried("logins", count)
}

/// A hundred thousand with `SESSION_SANDBOX_LONG=1`. Each user's view lives and ends again and again.
fn many() -> Verdict {
    const AT_A_TIME: usize = 8;
    let host = Host::new("scope = \"user\"")?;
    let before = HostState::now();
    let each = if times(1) > 1 { 12_500 } else { 100 };
    let script = "i=0; while [ $i -lt $1 ]; do
            \"$2\" --config \"$3\" --user \"$4\" -- true || { echo \"login $i: $?\"; exit 1; }
            i=$((i + 1))
        done; echo all";
    let program = host.world.program()?;
    let map = host.world.path("map.toml");
    let users = [host.bob.name.as_str(), "nobody", "daemon", "bin"];
    let mut workers = Vec::new();
    for number in 0..AT_A_TIME {
        let worker = Run::new("sh")
            .args(["-c", script, "sh", &each.to_string()])
            .args([program.as_os_str(), map.as_os_str()])
            .arg(users[number % users.len()])
            .within(Duration::from_secs(if each > 100 { 1200 } else { 60 }));
        workers.push(worker.start()?);
    }
    for worker in workers {
        let outcome = worker.finish()?;
        ensure_eq!(outcome.stdout, "all\n", "{}", outcome.stderr);
    }
    host.until_no_view()?;
    before.assert_returns()?;
    tried("logins, eight at a time", each * AT_A_TIME)
}

/// What the kernel uses for itself and cannot give back, in KB.
fn kernel_memory() -> Result<u64, Failed> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    Ok(of("SUnreclaim:") + of("Percpu:") + of("KernelStack:") + of("PageTables:"))
}

fn race() -> Verdict {
    let host = Host::new("scope = \"user\"")?;
    let before = HostState::now();
    let mut last: Option<crate::support::Running> = None;
    for turn in 0..times(1_000) {
        // Begun while the one before is about to end, or has just ended.
        let next = host
            .login(&host.bob, "test -d /proc/self && echo in > /tmp/word-$$ && cat /tmp/word-$$")?
            .start()?;
        if let Some(last) = last.replace(next) {
            let outcome = last.finish()?;
            ensure_eq!(
                (outcome.code, outcome.stdout.as_str()),
                (Some(0), "in\n"),
                "turn {turn}: {}",
                outcome.stderr
            );
        }
    }
    if let Some(last) = last {
        last.finish()?.expect_code(0)?;
    }
    host.until_no_view()?;
    before.assert_returns()
}

fn calls() -> Verdict {
    let host = Host::new("scope = \"user\"")?;
    let bob = users::bob()?;
    let count = |world: &World| -> Result<usize, Failed> {
        let log = world.path("calls");
        let outcome = Run::new("strace")
            .args(["-f", "-qq", "-o", &log.to_string_lossy(), crate::support::world::SESSION_ENTER])
            .args([
                "--config",
                &world.path("map.toml").to_string_lossy(),
                "--user",
                &bob.name,
                "--",
                "/bin/true",
            ])
            .finish()?;
        outcome.expect_code(0)?;
        // Up to the program, whose own calls are the loader's.
        let text = std::fs::read_to_string(&log)?;
        let ours = text
            .lines()
            .filter(|line| !["+++ exited", "--- SIG", "resumed>"].iter().any(|other| line.contains(other)));
        Ok(ours.count())
    };
    count(&host.world)?;
    host.until_no_view()?;
    let build = count(&host.world)?;
    let first = host.stays()?;
    let join = count(&host.world)?;
    println!("build {build}, join {join}");
    // About a tenth more than what was counted when this was written, the program's own some thirty included. A
    // database of users with more modules takes more, and so does a host with other system directories.
    ensure!(build <= BUILD_CALLS, "{build} calls to build a view; {BUILD_CALLS} were enough");
    ensure!(join <= JOIN_CALLS, "{join} calls to join a view; {JOIN_CALLS} were enough");
    super::leave(first)
}

const BUILD_CALLS: usize = 1_070;
const JOIN_CALLS: usize = 780;
