//! Logins through PAM, and those that take away what is left: each system call of the module's helper, of `sessionctl gc`
//! and of `sessionctl end` fails, or is the last one of its process.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use libtest_mimic::{Failed, Trial};

use super::calls::{
    Call, KILL, Part, TELL, calls_in, chosen, injected_into, injection, sweep, traced_calls_of, try_each,
    walls,
};
use super::{RAN, Traces, USER};
use crate::pam::stage::{SERVICE, SESSION_DOOR, SESSIONCTL, Stage};
use crate::support::host::process_ids;
use crate::support::{Needs, Run, Verdict, World, ensure, until};

const BY_PAM: &[Needs] = &[Needs::Root, Needs::OrdinaryUser, Needs::PamHost, Needs::Tool("strace")];
const BY_HAND: &[Needs] = &[Needs::Root, Needs::Tool("strace")];
/// Fewer than of an entry: a login takes several programs.
const SAMPLE: usize = 50;

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (name, setting) in [("a login by PAM", ""), ("a login by PAM without a wall", "wall = \"none\"\n")] {
        let ending = format!("lets nobody in with less, and leaves nothing, at {name}");
        trials.extend(sweep(&ending, BY_PAM, move |actions, part| logins(setting, actions, part)));
    }
    trials.extend(sweep("is made up for by the next gc", BY_HAND, |actions, part| {
        taken_away(&["gc"], Left::View, actions, part)
    }));
    trials.extend(sweep("is made up for by the next end", BY_HAND, |actions, part| {
        taken_away(&["end", "--user", USER], Left::Session, actions, part)
    }));
    trials
}

/// The helper, with a tracer around it that does so to it.
struct Traced(Stage);

impl Traced {
    fn new(setting: &str) -> Result<Self, Failed> {
        let stage = Self(Stage::new(&format!("scope = \"user\"\n{setting}"), "")?);
        let map = stage.0.world.path("map.toml");
        let helper = stage.0.world.path("helper");
        // Nothing but root's folders leads to it, as to the helper's own place.
        let options = format!("helper={} config={}", helper.display(), map.display());
        let module = crate::pam::stage::module();
        stage.0.stack(SERVICE, &format!("session required {} {options}\n", module.display()))?;
        Ok(stage)
    }

    /// Logs in, has a program look around, and logs out: what all of that printed.
    fn login(&self, tracer: &str) -> Result<String, Failed> {
        let helper = self.0.world.path("helper");
        let script = format!("#!/bin/sh\nexec {tracer} {SESSION_DOOR} \"$@\"\n");
        std::fs::write(&helper, script)?;
        std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755))?;
        let calls = "where open where child close where";
        self.0.host("calls", calls.split(' ')).env("CHILD", TELL).finish()?.output()
    }
}

/// The tracer is beside the helper, which stays the module's child.
fn tracer(more: &str) -> String {
    format!("/usr/bin/strace -D -f --detach-on=execve {more}")
}

fn logins(setting: &str, actions: &[&'static str], part: Part) -> Verdict {
    let stage = Traced::new(setting)?;
    let running: BTreeSet<String> = process_ids().collect();
    let usual = stage.login("")?;
    ensure!(usual.starts_with("where: home\nopen: 0\nwhere: away\n"), "{usual}");
    let usual_walls = walls(&usual);
    ensure!(usual_walls.len() > 15, "too little to compare: {usual_walls:?}");
    stage.0.until_empty()?;
    until("the login's processes are gone", || {
        (process_ids().collect::<BTreeSet<_>>() == running).then_some(())
    })?;
    let before = Traces::now();
    let file = stage.0.world.path("trace");
    stage.login(&tracer(&format!("-o {}", file.display())))?;
    before.assert_returns()?;
    let mut calls = calls_in(&std::fs::read_to_string(&file)?, "prctl");
    ensure!(calls.len() > 100, "only {} calls", calls.len());
    calls.retain(|(name, _)| actions[0] == KILL || name != "close");

    let all = chosen(&calls, actions, part, SAMPLE);
    try_each(&all, actions, |call, action| {
        let told = stage.login(&tracer(&format!("-o /dev/null -e {}", injection(call, action))))?;
        check_login(&told, &usual_walls).and_then(|()| before.assert_returns()).map_err(|failed| {
            let told: Vec<&str> = told.lines().take(6).collect();
            format!("{} {told:?}", failed.message().unwrap_or("?")).into()
        })
    })
}

/// Is whoever got in behind all that should be around them, and the application otherwise as it was?
fn check_login(told: &str, usual: &BTreeSet<String>) -> Verdict {
    let mut lines = told.lines().skip_while(|line| !line.starts_with("open: "));
    let (opened, then) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    ensure!(told.ends_with("where: home\n"), "the application is not where it was");
    if opened != "open: 0" {
        ensure!(then == "where: home", "refused, and the application is elsewhere");
        ensure!(told.contains(RAN), "refused, and the application runs no program any more");
        return Ok(());
    }
    ensure!(then == "where: away", "success, and no view");
    let now = walls(told);
    let strange: Vec<_> = now.difference(usual).collect();
    ensure!(strange.is_empty(), "around the program was {strange:?}");
    // Whose process 1 is killed is ended with it, and may not come to tell everything.
    let missing: Vec<_> = usual.difference(&now).collect();
    ensure!(missing.is_empty() || told.contains("\nchild: 1009\n"), "around the program was no {missing:?}");
    Ok(())
}

/// What is there to be taken away.
#[derive(Clone, Copy)]
enum Left {
    /// A view that nobody is in, and whose keeper does not end it.
    View,
    /// A session with a program.
    Session,
}

impl Left {
    fn setting(self) -> &'static str {
        match self {
            Self::View => "scope = \"user\"\nwall = \"none\"\n",
            Self::Session => "scope = \"user\"\n",
        }
    }

    /// Makes it, and says how to wait for the end of what was started.
    fn make(self, world: &World) -> Result<Option<crate::support::Running>, Failed> {
        match self {
            Self::View => {
                world.enter(["--user", USER, "--", "true"])?.finish()?.expect_code(0)?;
                Ok(None)
            }
            Self::Session => {
                let mut running = world
                    .enter(["--user", USER, "--", "sh", "-c", "echo here; read line"])?
                    .piped_input()
                    .start()?;
                running.expect("here\n")?;
                Ok(Some(running))
            }
        }
    }
}

fn taken_away(command: &[&str], left: Left, actions: &[&'static str], part: Part) -> Verdict {
    let world = World::new()?;
    world.map(left.setting(), "")?;
    let plainly = || Run::new(SESSIONCTL).args(command).finish();
    // Once without a fault: the registry is there from then on.
    let running = left.make(&world)?;
    plainly()?.expect_code(0)?;
    drop(running.map(crate::support::Running::finish));
    let before = Traces::now();

    let running = left.make(&world)?;
    let mut calls = traced_calls_of(&world, SESSIONCTL, command, "prctl")?;
    drop(running.map(crate::support::Running::finish));
    before.assert_returns()?;
    ensure!(calls.len() > 40, "only {} calls", calls.len());
    calls.retain(|(name, _)| actions[0] == KILL || name != "close");

    let all = chosen(&calls, actions, part, SAMPLE);
    try_each(&all, actions, |call, action| one(&world, command, left, call, action, &before))
}

fn one(world: &World, command: &[&str], left: Left, call: &Call, action: &str, before: &Traces) -> Verdict {
    let running = left.make(world)?;
    let outcome = injected_into(SESSIONCTL, call, action, command)?;
    if outcome.code == Some(0) && !outcome.stdout.is_empty() {
        // What it says that it has done is done.
        drop(running.map(crate::support::Running::finish));
        let done = before.assert_returns();
        // The next one has nothing to do, or the rest.
        Run::new(SESSIONCTL).args(["gc"]).finish()?.expect_code(0)?;
        return done
            .map_err(|failed| format!("success is claimed: {}", failed.message().unwrap_or("?")).into());
    }
    let next = Run::new(SESSIONCTL).args(command).finish()?;
    ensure!(next.code == Some(0) || next.stderr.contains("no view"), "the next one: {next:?}");
    Run::new(SESSIONCTL).args(["gc"]).finish()?.expect_code(0)?;
    drop(running.map(crate::support::Running::finish));
    before.assert_returns()
}
