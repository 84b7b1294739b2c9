//! Applications that call in any order, fork, have threads, or are killed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use super::own;
use super::stage::{self, SERVICE, Stage};
use crate::support::{HostState, Needs, Run, Verdict, ensure, ensure_eq, isolated, until};

pub fn trials() -> Vec<Trial> {
    vec![
        own("calls in any order", any_order),
        own("an application with eight busy threads", threads),
        own("helpers that are killed at any moment leave nothing", killed_helpers),
        own("many users of PAM at a time", at_once),
        isolated(
            "pam: no memory error, no leak, no descriptor left, as valgrind sees it",
            const { &[Needs::Root, Needs::OrdinaryUser, Needs::PamHost, Needs::Tool("valgrind")] },
            crate::support::HostMounts::Shared,
            valgrind,
        ),
    ]
}

fn any_order() -> Verdict {
    let stage = Stage::new("scope = \"user\"", "")?;
    let before = HostState::now();
    for (words, shown) in [
        ("close where", "close: 0\nwhere: home\n"),
        (
            "open open where close where close where",
            "open: 0\nopen: 0\nwhere: away\nclose: 0\nwhere: away\nclose: 0\nwhere: home\n",
        ),
        ("open close close where", "open: 0\nclose: 0\nclose: 0\nwhere: home\n"),
        // Who lets go of the handle without closing goes on inside, as systemd's user manager does.
        ("open end where", "open: 0\nend: 0\nwhere: away\n"),
        ("open where", "open: 0\nwhere: away\n"),
        // A child of the application closes its copy, and nothing of the session is lost.
        (
            "open fork-close where child close where",
            "open: 0\nfork-close: 0\nwhere: away\nhere\nchild: 0\nclose: 0\nwhere: home\n",
        ),
    ] {
        let out = stage.host("calls", words.split(' ')).env("CHILD", "echo here").finish()?.output()?;
        ensure_eq!(out, shown, "{words}");
        stage.until_empty()?;
    }
    before.assert_returns()
}

/// Ten thousand by hand, with SESSION_SANDBOX_LONG=1.
fn rounds() -> &'static str {
    let long = std::env::var_os("SESSION_SANDBOX_LONG").is_some_and(|value| !value.is_empty());
    if long { "10000" } else { "300" }
}

fn threads() -> Verdict {
    let stage = Stage::new("scope = \"user\"", "")?;
    let before = HostState::now();
    let out = stage
        .host("threads", [rounds()])
        .within(Duration::from_secs(if rounds() == "300" { 60 } else { 900 }))
        .finish()?
        .output()?;
    let said = format!("rounds {}, descriptors left 0, threads left 0, children left none\n", rounds());
    ensure_eq!(out, said, "what the application says");
    stage.until_empty()?;
    before.assert_returns()
}

fn killed_helpers() -> Verdict {
    let stage = Stage::new("scope = \"user\"", "")?;
    let before = HostState::now();
    let begun = Instant::now();
    stage.host("calls", ["open", "close"]).finish()?.expect_code(0)?;
    // Half of the pauses are longer than a login takes on this host as it is now.
    let pauses = u64::try_from(begun.elapsed().as_micros())?.saturating_mul(2).max(4000);
    let stop = AtomicBool::new(false);
    let (opened, refused) = std::thread::scope(|scope| -> Result<(u32, u32), libtest_mimic::Failed> {
        let killer = scope.spawn(|| {
            let mut turn = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                let _ = Run::new("pkill").args(["-KILL", "-x", "session-door"]).finish();
                // At another moment each time.
                turn += 1;
                std::thread::sleep(Duration::from_micros(turn * 1_000_003 % pauses));
            }
        });
        let mut counts = (0, 0);
        for _ in 0..150 {
            let out = stage.host("calls", ["open", "where", "close", "where"]).finish()?.output()?;
            let out: String = out
                .lines()
                .filter(|line| !line.starts_with("told"))
                .map(|line| format!("{line}\n"))
                .collect();
            match &*out {
                "open: 0\nwhere: away\nclose: 0\nwhere: home\n" => counts.0 += 1,
                "open: 14\nwhere: home\nclose: 6\nwhere: home\n" => counts.1 += 1,
                other => {
                    stop.store(true, Ordering::Relaxed);
                    return Err(format!("{other}{}", stage.log()).into());
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
        let _ = killer.join();
        Ok(counts)
    })?;
    ensure!(opened > 0 && refused > 0, "{opened} were opened, {refused} were not: nothing was tried");
    // A helper that was killed while it built has a view that nobody holds; the next login or gc takes it away.
    until("nothing is left", || {
        Run::new(stage::SESSIONCTL).arg("gc").finish().ok()?;
        let (views, sessions) = stage.living().ok()?;
        (views.is_empty() && sessions.is_empty()).then_some(())
    })?;
    before.assert_returns()
}

fn at_once() -> Verdict {
    let stage = Stage::new("scope = \"user\"", "")?;
    let before = HostState::now();
    let mut all = Vec::new();
    for _ in 0..40 {
        all.push(stage.host("calls", ["open", "where", "wait"]).start()?);
    }
    for one in &mut all {
        one.expect("waiting\n")?;
        ensure_eq!(one.stdout(), "open: 0\nwhere: away\nwaiting\n", "one of many");
    }
    let (views, sessions) = stage.living()?;
    ensure_eq!((views.len(), sessions.len()), (1, 40), "views and sessions");
    ensure_eq!(sessions[7]["service"], SERVICE, "a session");
    for one in &all {
        one.signal(rustix::process::Signal::KILL)?;
    }
    drop(all);
    stage.until_empty()?;
    before.assert_returns()
}

fn valgrind() -> Verdict {
    let stage = Stage::new("scope = \"user\"", "[profile.set_env]\nROOM = \"of %u\"")?;
    for (options, words) in [
        ("debug", "close open where setcred open fork-close close close end start open close end"),
        ("fault=entering", "open close open end"),
        ("fault=panic-entering", "open close open end"),
        ("helper=/bin/true", "open close end"),
        ("nonsense", "open end"),
    ] {
        stage.service(options)?;
        let outcome = Run::new("valgrind")
            .args([
                "--quiet",
                "--error-exitcode=9",
                "--leak-check=full",
                "--show-leak-kinds=definite,indirect",
            ])
            .args(["--errors-for-leak-kinds=definite,indirect"])
            .arg(stage::host_program())
            .args(["calls", SERVICE, &stage.bob.name])
            .args(words.split(' '))
            .finish()?;
        ensure!(
            outcome.code == Some(0),
            "{options}: {:?}\n{}\n{}",
            outcome.code,
            outcome.stdout,
            outcome.stderr
        );
    }
    Ok(())
}
