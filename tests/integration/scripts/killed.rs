//! Whoever runs scripts may be killed at any moment: nothing runs twice, everything ends once, and it is said.

use std::path::Path;
use std::time::Duration;

use libtest_mimic::Trial;
use rustix::process::Signal;
use session_sandbox::model::scripts::Event;
use session_sandbox::scripts::journal::Line;

use super::site::{PLACE, Site, TRACE, is_running, own_processes};
use super::{Numbers, own, times};
use crate::support::{Run, Running, Verdict, ensure, ensure_eq, until};

pub fn trials() -> Vec<Trial> {
    vec![
        own("whoever begins a session is killed at any moment, and each script runs once at most", beginning),
        own("a beginning that is killed as it starts leaves no session behind", very_beginning),
        own("whoever ends a session is killed at any moment, and each script runs once at most", ending),
        own("a sweep goes on with an end that was killed", sweep_goes_on),
        own("what a killed program has left running is ended before the scripts of the end run", orphan),
        own("a login program that is killed has its session ended once", leader),
        own("a login program that ends at any moment has its session ended", early_leader),
        own("without its watcher a session is ended once by the next sweep, or the next login", watcher),
        own("a record that was cut off in the middle of a line costs no other line", torn_line),
    ]
}

fn beginning() -> Verdict {
    let site = Site::new("")?;
    for name in ["10W-a", "11W-b", "12W-c", "15W-d"] {
        let ends = "sleep 0.004";
        site.script(
            &format!("added/{name}"),
            &format!("echo \"added/{name}\" >> {TRACE}; {ends}; echo X=1 >> $SESSION_ENV"),
        )?;
    }
    site.tracers(&["removed/10W-a", "removed/11W-b"])?;
    let mut numbers = Numbers(7);
    let mut cut = 0;
    for round in 0..times(200) {
        site.clear();
        let id = format!("r{round}");
        let run = site.call("added", &["--user", &site.bob.name, "--session", &id]).start()?;
        std::thread::sleep(Duration::from_micros(numbers.below(45_000)));
        let _ = run.signal(Signal::KILL);
        let _ = run.finish()?;
        site.call("removed", &["--session", &id, "--wait"]).finish()?.expect_code(0)?;
        site.sweep()?;
        let trace = site.trace();
        let begun = trace.iter().filter(|line| line.starts_with("added/")).count();
        let different: std::collections::BTreeSet<&String> = trace.iter().collect();
        ensure_eq!(different.len(), trace.len(), "different scripts that ran in round {round}: {trace:?}");
        let ended = trace.len() - begun;
        ensure!(ended == 2 || (begun == 0 && ended == 0), "ends in round {round}: {trace:?}");
        if begun > 0 && begun < 4 {
            let record = site.record(&newest()?)?;
            let is_said = |line: &Line| match line {
                Line::End { event: Event::Added, how, failed, .. } => *failed && how.contains("interrupted"),
                Line::Skipped { name, why, .. } => name == "added" && why.contains("killed"),
                _ => false,
            };
            ensure!(record.iter().any(is_said), "nobody says that round {round} was cut off: {record:?}");
            cut += 1;
        }
    }
    ensure!(cut > times(20), "only {cut} rounds were cut off among their scripts");
    Ok(())
}

/// The session that began last of those that have ended.
fn newest() -> Result<String, libtest_mimic::Failed> {
    let names = std::fs::read_dir(Path::new(super::site::RECORDS).join("ended"))?.flatten();
    let numbers =
        names.filter_map(|entry| entry.file_name().to_str()?.strip_prefix("Session")?.parse::<u32>().ok());
    Ok(format!("Session{}", numbers.max().ok_or("no session has ended")?))
}

fn very_beginning() -> Verdict {
    let site = Site::new("")?;
    site.tracers(&["first/10W-a", "added/10W-a", "removed/10W-a", "last/10W-a"])?;
    // As long as it takes until the first script has run.
    let (name, _) = site.added(&[])?;
    site.removed(&name)?;
    let mut numbers = Numbers(3);
    for round in 0..times(150) {
        let id = format!("r{round}");
        let run = site.call("added", &["--user", &site.bob.name, "--session", &id]).start()?;
        std::thread::sleep(Duration::from_micros(numbers.below(9_000)));
        let _ = run.signal(Signal::KILL);
        let _ = run.finish()?;
        site.call("removed", &["--session", &id, "--wait"]).finish()?.expect_code(0)?;
    }
    site.call("removed", &["--user", &site.bob.name, "--wait"]).finish()?.expect_code(0)?;
    site.sweep()?;
    // The next one is the first one again, and the last one.
    site.clear();
    let (name, _) = site.added(&[])?;
    site.removed(&name)?;
    let expected = [
        "first/10W-a session_added",
        "added/10W-a session_added",
        "removed/10W-a session_removed",
        "last/10W-a session_removed",
    ];
    ensure_eq!(site.trace(), expected, "the next session's scripts");
    site.until_nothing_is_left()
}

/// Scripts of an end that take a moment each.
const ENDS: [&str; 4] = ["removed/10W-a", "removed/20-b", "removed/30W-c", "last/10W-a"];

fn ends(site: &Site) -> Verdict {
    for name in ENDS {
        site.script(name, &format!("echo \"{name}\" >> {TRACE}; sleep 0.004"))?;
    }
    site.tracers(&["added/10W-a"])
}

fn ending() -> Verdict {
    let site = Site::new("")?;
    ends(&site)?;
    let mut numbers = Numbers(11);
    for round in 0..times(80) {
        let (name, _) = site.added(&[])?;
        site.clear();
        let run = site.call("removed", &["--name", &name, "--wait"]).start()?;
        std::thread::sleep(Duration::from_micros(numbers.below(45_000)));
        let _ = run.signal(Signal::KILL);
        let _ = run.finish()?;
        site.removed(&name)?;
        let mut trace = site.trace();
        trace.sort();
        let mut expected: Vec<&str> = ENDS.to_vec();
        expected.sort_unstable();
        if trace != expected {
            // One that was cut off before its first line has been begun, and is not begun again.
            let record = site.record(&name)?;
            let missing: Vec<&&str> =
                expected.iter().filter(|name| !trace.iter().any(|ran| ran == **name)).collect();
            let is_said = |script: &str| {
                record.iter().any(|line| matches!(line, Line::End { name, how, .. } if name == script && how.contains("interrupted")))
            };
            ensure!(trace.len() + missing.len() == expected.len(), "round {round}, run twice: {trace:?}");
            ensure!(
                missing.iter().all(|name| is_said(name)),
                "round {round}, missing and not said: {missing:?} {record:?}"
            );
        }
    }
    site.until_nothing_is_left()
}

fn sweep_goes_on() -> Verdict {
    let site = Site::new("")?;
    ends(&site)?;
    site.script(
        "removed/20-b",
        &format!("echo \"removed/20-b\" >> {TRACE}; until [ -e {PLACE}/go ]; do sleep 0.01; done"),
    )?;
    let (name, _) = site.added(&[])?;
    site.clear();
    let run = site.call("removed", &["--name", &name, "--wait"]).start()?;
    site.until_traced("removed/20-b")?;
    run.signal(Signal::KILL)?;
    let _ = run.finish()?;
    site.sweep()?;
    ensure_eq!(
        site.trace(),
        ["removed/30W-c", "removed/20-b", "removed/10W-a", "last/10W-a"],
        "after a sweep"
    );
    ensure!(site.how(&name, "removed/20-b")?.contains("interrupted"), "{}", site.how(&name, "removed/20-b")?);
    site.until_nothing_is_left()
}

fn orphan() -> Verdict {
    let site = Site::new("")?;
    let script =
        format!("sleep 600 & echo $! > {PLACE}/child; echo $$ > {PLACE}/pid; echo begun >> {TRACE}; wait");
    site.script("added/10W-a", &script)?;
    site.script("removed/10W-a", &format!("kill -0 $(cat {PLACE}/pid) 2>/dev/null || echo gone >> {TRACE}"))?;
    let run = site.call("added", &["--user", &site.bob.name, "--session", "x"]).start()?;
    site.until_traced("begun")?;
    let pid =
        |name: &str| std::fs::read_to_string(format!("{PLACE}/{name}")).map(|pid| pid.trim().to_owned());
    // The number is on record a moment after the script has begun.
    let on_record = || {
        let record = site.record("Session1").ok()?;
        record.iter().any(|line| matches!(line, Line::Start { process: Some(_), .. })).then_some(())
    };
    until("the process is on record", on_record)?;
    run.signal(Signal::KILL)?;
    let _ = run.finish()?;
    ensure!(is_running(&pid("pid")?), "the script ended with whoever ran it, so nothing is tested here");
    site.call("removed", &["--session", "x", "--wait"]).finish()?.expect_code(0)?;
    ensure_eq!(site.trace(), ["begun", "gone"], "the end");
    until("its child has ended, too", || (!is_running(&pid("child").ok()?)).then_some(()))?;
    ensure!(site.how("Session1", "added/10W-a")?.contains("interrupted"), "not said");
    site.until_nothing_is_left()
}

/// A login program, and a session of bob's that ends with it.
fn led(site: &Site, words: &[&str]) -> Result<(Running, String), libtest_mimic::Failed> {
    let leader = Run::new("sleep").arg("600").start()?;
    let pid = leader.pid().as_raw_nonzero().to_string();
    let (name, _) = site.added(&[&["--leader", &pid], words].concat())?;
    Ok((leader, name))
}

fn leader() -> Verdict {
    let site = Site::new("")?;
    ends(&site)?;
    let (leader, name) = led(&site, &[])?;
    until("somebody watches", || {
        own_processes().iter().any(|(name, _)| name == "session-watcher").then_some(())
    })?;
    site.clear();
    // Nothing of the end before the end.
    std::thread::sleep(Duration::from_millis(50));
    site.sweep()?;
    ensure_eq!(site.trace().len(), 0, "scripts that ran while the session lived");
    leader.signal(Signal::KILL)?;
    site.until_ended(&name)?;
    ensure_eq!(site.trace(), ["removed/30W-c", "removed/20-b", "removed/10W-a", "last/10W-a"], "the end");
    site.removed(&name)?;
    site.sweep()?;
    ensure_eq!(site.trace().len(), ENDS.len(), "the end, told of again");
    // And the other way round: told of first, and then the leader ends.
    let (leader, name) = led(&site, &[])?;
    site.clear();
    site.removed(&name)?;
    leader.signal(Signal::KILL)?;
    let _ = leader.finish()?;
    site.until_nothing_is_left()?;
    ensure_eq!(site.trace().len(), ENDS.len(), "ends: {:?}", site.trace());
    Ok(())
}

fn early_leader() -> Verdict {
    let site = Site::new("")?;
    site.tracers(&["added/10W-a", "removed/10W-a"])?;
    let mut numbers = Numbers(5);
    for round in 0..times(100) {
        site.clear();
        let leader = Run::new("sleep").arg("600").start()?;
        let pid = leader.pid().as_raw_nonzero().to_string();
        let run = site.call("added", &["--user", &site.bob.name, "--leader", &pid]).start()?;
        std::thread::sleep(Duration::from_micros(numbers.below(12_000)));
        leader.signal(Signal::KILL)?;
        let _ = leader.finish()?;
        let outcome = run.finish()?;
        // It may have been too late for it, and then nothing runs. What has begun is ended without anybody's help.
        let began = site.count("added/10W-a session_added");
        ensure!(outcome.code == Some(0) || began == 0, "round {round}: {outcome:?}");
        until(&format!("round {round} has ended; there is {:?}", site.trace()), || {
            (site.count("removed/10W-a session_removed") == began).then_some(())
        })?;
        let first = site.trace().first().cloned().unwrap_or_default();
        ensure!(
            began == 0 || first == "added/10W-a session_added",
            "round {round} ended before it began: {:?}",
            site.trace()
        );
    }
    site.sweep()?;
    site.until_nothing_is_left()
}

fn watcher() -> Verdict {
    let site = Site::new("")?;
    ends(&site)?;
    let without_watcher = |words: &[&str]| -> Result<String, libtest_mimic::Failed> {
        let (leader, name) = led(&site, words)?;
        site.clear();
        let watcher = until("somebody watches", || {
            own_processes().into_iter().find(|(name, _)| name == "session-watcher")
        })?;
        let pid = rustix::process::Pid::from_raw(watcher.1).ok_or("a number")?;
        rustix::process::kill_process(pid, Signal::KILL)?;
        until("the watcher has ended", || (!is_running(&watcher.1.to_string())).then_some(()))?;
        leader.signal(Signal::KILL)?;
        let _ = leader.finish()?;
        Ok(name)
    };
    let name = without_watcher(&[])?;
    ensure_eq!(site.trace().len(), 0, "scripts that ran with nobody there");
    site.sweep()?;
    site.sweep()?;
    site.until_ended(&name)?;
    ensure_eq!(site.trace().len(), ENDS.len(), "after a sweep: {:?}", site.trace());
    // The next login of the same user ends it, too. It is not the first one: nothing was undone by `last`.
    let name = without_watcher(&["--session", "x"])?;
    let (next, _) = site.added(&["--session", "x"])?;
    ensure!(next != name, "the session that has ended is taken for a new one");
    site.until_ended(&name)?;
    let ended = site.trace().into_iter().filter(|line| line.starts_with("removed/")).count();
    ensure_eq!(ended, 3, "after the next login: {:?}", site.trace());
    site.removed(&next)?;
    site.until_nothing_is_left()
}

fn torn_line() -> Verdict {
    let site = Site::new("")?;
    ends(&site)?;
    let (name, _) = site.added(&[])?;
    site.clear();
    // As a full file system leaves it, or a kill between two pages.
    let record = Path::new(super::site::RECORDS).join(&name);
    let mut text = std::fs::read(&record)?;
    text.extend_from_slice(b"{\"skipped\":{\"event\":\"added\",\"na");
    std::fs::write(&record, text)?;
    // What is written first behind it is that the end has begun; the first script must be on record as well.
    site.script("removed/30W-c", &format!("echo removed/30W-c >> {TRACE}; kill -KILL $PPID; sleep 0.1"))?;
    let outcome = site.call("removed", &["--name", &name, "--wait"]).finish()?;
    ensure_eq!(outcome.signal, Some(9), "what kills the program: {outcome:?}");
    site.script("removed/30W-c", &format!("echo removed/30W-c >> {TRACE}"))?;
    site.removed(&name)?;
    ensure_eq!(site.trace(), ["removed/30W-c", "removed/20-b", "removed/10W-a", "last/10W-a"], "the end");
    let began = site
        .record(&name)?
        .into_iter()
        .filter(|line| matches!(line, Line::Begin { event: Event::Removed, .. }))
        .count();
    ensure_eq!(began, 1, "beginnings of the end on record");
    site.until_nothing_is_left()
}
