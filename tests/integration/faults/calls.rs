//! Each system call of an entry fails, or is the last thing that its process does.
//!
//! A tracer carries it out, from outside of the program that is tested. It lets go of a process that becomes another
//! program, so that no call of the user's program is touched.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use libtest_mimic::{Failed, Trial};

use super::{RAN, Traces, USER};
use crate::support::world::SESSION_ENTER;
use crate::support::{HostMounts, Needs, Outcome, Run, Verdict, World, ensure, is_isolated, isolated, tried};

/// The calls that put walls around a session. Each is tried.
const BUILDERS: [&str; 14] = [
    "capset",
    "chdir",
    "chroot",
    "close_range",
    "fsmount",
    "mount",
    "mount_setattr",
    "move_mount",
    "pivot_root",
    "setgroups",
    "setresgid",
    "setresuid",
    "umount2",
    "unshare",
];
/// Of all other calls, so many are tried; every one, with every error, when `SESSION_TESTS_FULL=1`.
const SAMPLE: usize = 120;
/// After so many that went wrong the rest is not tried.
const WRONG_MAX: usize = 3;
/// How long one traced run may take.
const RUN_LIMIT: Duration = Duration::from_secs(20);
/// How long a session is there that others join.
const OTHER_LIMIT: Duration = Duration::from_secs(600);
/// The parts that a full run is done in, so that none takes longer than a test may.
const PARTS: usize = 16;
pub(super) const KILL: &str = "signal=KILL";
/// What is said when those who wait for the user's program fail.
const AFTERWARDS: [&str; 2] = ["cannot supervise the session", "process 1 of the session"];
/// The errors that calls fail with: a sample has them in turn, a full run each for each call.
const ERRORS: [&str; 8] = [
    "error=EPERM",
    "error=ENOMEM",
    "error=EIO",
    "error=EINTR",
    "error=EAGAIN",
    "error=ENOSPC",
    "error=EMFILE",
    "error=ENOSYS",
];

/// How a session is entered, as the map has it, and whether another one is there whose view it joins.
#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    setting: &'static str,
    joins: bool,
}

const WAYS: [Way; 6] = [
    Way { name: "", setting: "", joins: false },
    Way { name: ", without a wall", setting: "wall = \"none\"\n", joins: false },
    Way { name: ", by chroot", setting: "mode = \"chroot\"\n", joins: false },
    Way { name: ", with all walls", setting: "isolation = \"strict\"\nnet = \"loopback\"\n", joins: false },
    Way { name: ", in a view that is shared", setting: "scope = \"user\"\n", joins: false },
    Way { name: ", in a view that is joined", setting: "scope = \"user\"\n", joins: true },
];
/// What the user's program tells about itself. It is started by a search along PATH, as most are.
pub(super) const TELL: &str = "echo the program ran; umask; exec cat /proc/self/status /proc/self/mountinfo";
/// What of it must be the same each time.
const WALLS: [&str; 12] = [
    "Uid:",
    "Gid:",
    "Groups:",
    "Umask:",
    "CapInh:",
    "CapPrm:",
    "CapEff:",
    "CapBnd:",
    "CapAmb:",
    "NoNewPrivs:",
    "Seccomp:",
    "TracerPid:",
];

pub(super) fn trials() -> Vec<Trial> {
    let mut trials = vec![isolated(
        "a kernel without one of the calls that are needed is refused in one sentence",
        &[Needs::Root, Needs::Tool("strace")],
        HostMounts::Shared,
        old_kernels,
    )];
    for way in WAYS {
        let Way { name: by, .. } = way;
        let ending = format!("leaves nothing and weakens nothing{by}");
        trials.extend(sweep(&ending, &[Needs::Root, Needs::Tool("strace")], move |actions, part| {
            calls(actions, way, part)
        }));
    }
    trials
}

/// The trials in which each call of something is the last of its process, and in which each fails: a sample, or all of it
/// when `SESSION_TESTS_FULL=1`.
pub(super) fn sweep(
    ending: &str,
    needs: &'static [Needs],
    run: impl Fn(&[&'static str], Part) -> Verdict + Send + Copy + 'static,
) -> Vec<Trial> {
    let full = std::env::var_os("SESSION_TESTS_FULL").is_some_and(|value| value == "1");
    let mut trials = Vec::new();
    for (what, actions) in [("is the last of its process", &[KILL][..]), ("fails", &ERRORS[..])] {
        let mut add = |name: String, part: Part| {
            trials.push(isolated(name, needs, HostMounts::Shared, move || run(actions, part)));
        };
        if !full || is_isolated() {
            add(format!("a system call that {what} {ending}"), Part::Sample);
        }
        for part in (0..PARTS).filter(|_| full || is_isolated()) {
            add(format!("every system call that {what} {ending}, part {part}"), Part::Of(part));
        }
    }
    trials
}

fn old_kernels() -> Verdict {
    let world = World::new()?;
    world.map("", "")?;
    let map = world.path("map.toml").to_string_lossy().into_owned();
    for (call, named) in [
        ("fsopen", "open_tree, which came with Linux 5.2"),
        ("openat2", "openat2, which came with Linux 5.6"),
        ("close_range", "close_range, which came with Linux 5.9"),
        ("mount_setattr", "mount_setattr, which came with Linux 5.12"),
    ] {
        let inject = format!("inject={call}:error=ENOSYS");
        let arguments = ["--config", &map, "--user", USER, "--", "sh", "-c", TELL];
        let outcome = strace(&["-o", "/dev/null", "-e", &inject, SESSION_ENTER]).args(arguments).finish()?;
        ensure!(outcome.code == Some(125), "without {call}: {:?}", outcome.code);
        ensure!(!outcome.stdout.contains(RAN), "without {call} the program ran");
        let sentence = format!("this kernel has no {named}; session-sandbox needs Linux 5.12 or newer");
        ensure!(outcome.stderr.contains(&sentence), "without {call}: {}", outcome.stderr);
    }
    Ok(())
}

/// How much of it.
#[derive(Clone, Copy)]
pub(super) enum Part {
    Sample,
    Of(usize),
}

/// A system call: its name, and which of its process's calls of that name it is.
pub(super) type Call = (String, usize);

fn calls(actions: &[&'static str], way: Way, part: Part) -> Verdict {
    let world = World::new()?;
    world.map(way.setting, "")?;
    let map = world.path("map.toml").to_string_lossy().into_owned();
    let arguments = ["--config", &map, "--user", USER, "--", "sh", "-c", TELL];
    let mut other = None;
    if way.joins {
        let other = other.insert(
            world
                .enter(["--user", USER, "--", "sh", "-c", "echo here; read line"])?
                .piped_input()
                .within(OTHER_LIMIT)
                .start()?,
        );
        other.expect("here\n")?;
    }
    let usual = Run::new(SESSION_ENTER).args(arguments).finish()?.output()?;
    let walls = walls(&usual);
    ensure!(walls.len() > WALLS.len() + 5, "too little to compare: {walls:?}");

    let mut calls = traced_calls(&world, &arguments, "prctl")?;
    ensure!(calls.len() > 150, "only {} calls", calls.len());
    // The kernel closes a descriptor also when it reports an error. Here the call would not be made at all.
    calls.retain(|(name, _)| actions[0] == KILL || name != "close");
    let all = chosen(&calls, actions, part, SAMPLE);
    let before = Traces::now();
    try_each(&all, actions, |call, action| {
        let outcome = injected(call, action, &arguments)?;
        before.assert_returns().and_then(|()| check(&outcome, &walls)).map_err(|failed| {
            let (why, said) = (failed.message().unwrap_or("?"), outcome.stderr.trim_end());
            format!("exit {:?}: {why} {said:?}", outcome.code).into()
        })
    })?;
    let Some(mut other) = other else { return Ok(()) };
    // Whatever became of those who joined it, it is there, and ends as it does.
    other.write(b"\n")?;
    other.finish()?.output()?;
    Ok(())
}

/// Did the program run only if it was let, and with all that should be around it?
fn check(outcome: &Outcome, walls: &BTreeSet<String>) -> Verdict {
    if !outcome.stdout.contains(RAN) {
        ensure!(outcome.code != Some(0), "success is claimed");
        return Ok(());
    }
    let told = self::walls(&outcome.stdout);
    let strange: Vec<_> = told.difference(walls).collect();
    ensure!(strange.is_empty(), "around the program was {strange:?}");
    // A program whose session is killed may not come to tell everything.
    let missing: Vec<_> = walls.difference(&told).collect();
    ensure!(missing.is_empty() || outcome.code != Some(0), "around the program was no {missing:?}");
    // Once the program runs, whoever waits for it can still fail; the session then ends with that.
    let waited = AFTERWARDS.iter().any(|message| outcome.stderr.contains(message));
    ensure!(outcome.code != Some(125) || waited, "an error is reported, and the program ran");
    Ok(())
}

/// The lines that say what is around a program, without numbers that differ each time.
pub(super) fn walls(told: &str) -> BTreeSet<String> {
    let line = |line: &str| match line.split_once(" - ") {
        Some((mount, filesystem)) => {
            // Without the mount's and its parent's number, the device, and the numbers of groups of peers.
            let unnumbered = |field: &'_ str| match field.split_once(':') {
                Some((tag @ ("shared" | "master" | "propagate_from"), _)) => tag.to_owned(),
                _ => field.to_owned(),
            };
            let mount: Vec<String> = mount.split(' ').skip(3).map(unnumbered).collect();
            Some(format!("{} - {}", mount.join(" "), filesystem.split(' ').next().unwrap_or_default()))
        }
        // The child of a session's own process 1. Any other number differs each time.
        None if line == "PPid:\t1" => Some(line.to_owned()),
        None => WALLS.iter().any(|wall| line.starts_with(wall)).then(|| line.to_owned()),
    };
    told.lines().skip_while(|line| *line != RAN).filter_map(line).collect()
}

fn strace(arguments: &[&str]) -> Run {
    // Let go of a process when it becomes another program.
    Run::new("strace").args(["-f", "--detach-on=execve"]).args(arguments).within(RUN_LIMIT)
}

/// Every call that a run makes, from the first one called `from` on: before it, nothing of ours has run.
pub(super) fn traced_calls(world: &World, arguments: &[&str], from: &str) -> Result<Vec<Call>, Failed> {
    traced_calls_of(world, SESSION_ENTER, arguments, from)
}

/// The same of another program.
pub(super) fn traced_calls_of(
    world: &World,
    program: &str,
    arguments: &[&str],
    from: &str,
) -> Result<Vec<Call>, Failed> {
    let file = world.path("trace").to_string_lossy().into_owned();
    strace(&["-o", &file, program]).args(arguments).finish()?.output()?;
    let trace = std::fs::read_to_string(&file)?;
    std::fs::remove_file(&file)?;
    Ok(calls_in(&trace, from))
}

/// The calls of a trace from the first one called `from` on, each with its place among those of that name.
pub(super) fn calls_in(trace: &str, from: &str) -> Vec<Call> {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut calls = Vec::new();
    let mut begun = false;
    for line in trace.lines() {
        let Some((process, rest)) = line.split_once(' ') else { continue };
        let Some((name, _)) = rest.trim_start().split_once('(') else { continue };
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            continue;
        }
        let count = counts.entry((process, name)).or_default();
        *count += 1;
        begun |= name == from;
        // The tracer's own child becomes the program by the same call.
        if begun && name != "execve" && seen.insert((name, *count)) {
            calls.push((name.to_owned(), *count));
        }
    }
    calls
}

/// Runs the program with something done to one call of each of its processes.
pub(super) fn injected(call: &Call, action: &str, arguments: &[&str]) -> Result<Outcome, Failed> {
    injected_into(SESSION_ENTER, call, action, arguments)
}

/// The same with another program.
pub(super) fn injected_into(
    program: &str,
    call: &Call,
    action: &str,
    arguments: &[&str],
) -> Result<Outcome, Failed> {
    let inject = injection(call, action);
    strace(&["-o", "/dev/null", "-e", &inject, program]).args(arguments).finish()
}

/// Tries what was chosen, one after the other, and counts it.
pub(super) fn try_each(
    all: &[(&Call, &'static str)],
    actions: &[&str],
    mut one: impl FnMut(&Call, &str) -> Verdict,
) -> Verdict {
    let mut wrong = Vec::new();
    for (call, action) in all {
        // What the first few have left would be held against all that follow, and each is waited for.
        if wrong.len() == WRONG_MAX {
            break;
        }
        let failed = one(call, action).err();
        wrong.extend(failed.map(|failed| format!("{call:?} {action}: {}", failed.message().unwrap_or("?"))));
    }
    ensure!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), all.len(), wrong.join("\n"));
    tried(if actions == [KILL] { "kills at a system call" } else { "system calls that fail" }, all.len())
}

/// As strace is told of it.
pub(super) fn injection((name, at): &Call, action: &str) -> String {
    format!("inject={name}:{action}:when={at}")
}

/// What is to be tried: each call of `calls` with one action in turn, as many as `SAMPLE` and all that change something;
/// or, for a full run, a part of all calls with all actions.
pub(super) fn chosen<'a>(
    calls: &'a [Call],
    actions: &[&'static str],
    part: Part,
    sample: usize,
) -> Vec<(&'a Call, &'static str)> {
    match part {
        Part::Sample => {
            let (by_all_means, others): (Vec<_>, Vec<_>) =
                calls.iter().partition(|call| BUILDERS.contains(&call.0.as_str()));
            let others = others.iter().step_by(others.len().div_ceil(sample).max(1)).copied();
            others.chain(by_all_means).zip(actions.iter().copied().cycle()).collect()
        }
        Part::Of(part) => calls
            .iter()
            .flat_map(|call| actions.iter().map(move |action| (call, *action)))
            .skip(part)
            .step_by(PARTS)
            .collect(),
    }
}
