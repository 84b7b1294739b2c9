//! Limits: of the time that a login waits, of the file system, of the process that calls.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use session_sandbox::scripts::journal::Line;

use super::own;
use super::site::{RECORDS, Site, TRACE, ensure_within};
use crate::support::{Run, Verdict, ensure, ensure_eq};

pub fn trials() -> Vec<Trial> {
    vec![
        own("a login waits for all of its scripts together no longer than the limit says", all_together),
        own("a required script that has no time left refuses the session", no_time_left),
        own(
            "a file system that is full when a session begins refuses nothing silently",
            full_at_the_beginning,
        ),
        own("a file system that is full when a session ends makes no script run twice", full_at_the_end),
    ]
}

fn all_together() -> Verdict {
    let site = Site::new("limit = \"2s\"\ntimeout = \"30s\"\ngrace = \"1s\"")?;
    for number in 10..20 {
        site.script(
            &format!("added/{number}W-a"),
            &format!("echo {number} >> {TRACE}; trap '' TERM; sleep 0.8; sleep 0.2"),
        )?;
    }
    site.tracers(&["added/50-b"])?;
    let began = Instant::now();
    let (name, _) = site.added(&[])?;
    ensure_within(Duration::from_millis(4000), began, "a login with ten slow scripts")?;
    ensure!(began.elapsed() > Duration::from_millis(1900), "the limit was not used: {:?}", began.elapsed());
    // The list, which runs behind, may have begun to write as well.
    let ran = site.trace().iter().filter(|line| line.parse::<u32>().is_ok()).count();
    ensure!((2..=3).contains(&ran), "{ran} scripts have run: {:?}", site.trace());
    let skipped = site.skipped(&name)?;
    let without_time = skipped.iter().filter(|(_, why)| why.contains("no time was left")).count();
    ensure_eq!(without_time, 10 - ran, "scripts without a turn: {skipped:?}");
    // The list has its own time.
    site.until_traced("added/50-b session_added")?;
    site.removed(&name)
}

fn no_time_left() -> Verdict {
    let site =
        Site::new("limit = \"1s\"\ngrace = \"1s\"\n[[script]]\nname = \"11W-*\"\nresult = \"required\"")?;
    site.script("added/10W-a", "exec sleep 600")?;
    site.tracers(&["added/11W-b"])?;
    let began = Instant::now();
    let outcome = site.begins(&[])?.expect_code(1)?;
    ensure_within(Duration::from_millis(3000), began, "the refusal")?;
    ensure!(outcome.stderr.contains("no time was left"), "{}", outcome.stderr);
    ensure_eq!(site.trace().len(), 0, "scripts that have run");
    site.until_nothing_is_left()
}

/// Makes the file system with the records as large as what is in it, or large.
fn resize(full: bool) -> Verdict {
    let fill = "head -c 1G /dev/zero > /run/session-sandbox/fill 2>/dev/null; mount -o remount,size=64k /run/session-sandbox 2>/dev/null; true";
    let script = if full {
        // Small first, so that filling it takes no time.
        format!("mount -o remount,size=1m /run/session-sandbox && {{ {fill}; }}")
    } else {
        "mount -o remount,size=64m /run/session-sandbox && rm -f /run/session-sandbox/fill".to_owned()
    };
    Run::new("sh").args(["-c", &script]).finish()?.expect_code(0).map(drop)
}

fn full_at_the_beginning() -> Verdict {
    let site = Site::new("")?;
    site.tracers(&["first/10W-a", "added/10W-a", "removed/10W-a", "last/10W-a"])?;
    let (name, _) = site.added(&[])?;
    site.removed(&name)?;
    site.clear();
    resize(true)?;
    let outcome = site.begins(&["--session", "x"])?;
    let began = site.trace().len();
    ensure!(
        outcome.code == Some(125) && !outcome.stderr.is_empty(),
        "with no room: {outcome:?}, {:?}",
        site.trace()
    );
    resize(false)?;
    site.call("removed", &["--session", "x", "--wait"]).finish()?.expect_code(0)?;
    site.sweep()?;
    ensure!(
        began == 0 || site.count("removed/10W-a session_removed") == 1,
        "begun and not ended: {:?}",
        site.trace()
    );
    site.clear();
    let (name, _) = site.added(&["--session", "x"])?;
    site.removed(&name)?;
    let expected = [
        "first/10W-a session_added",
        "added/10W-a session_added",
        "removed/10W-a session_removed",
        "last/10W-a session_removed",
    ];
    ensure_eq!(site.trace(), expected, "when there is room again");
    site.collect()?;
    site.until_nothing_is_left()
}

fn full_at_the_end() -> Verdict {
    let site = Site::new("")?;
    site.tracers(&["added/10W-a", "removed/10W-a", "removed/30W-c", "last/10W-a"])?;
    // Uses up what is left in the page of the record: somewhere among the lines of this script the room ends.
    site.script(
        "removed/20W-b",
        &format!("echo \"removed/20W-b $1\" >> {TRACE}; head -c 3000 /dev/zero | tr '\\0' x"),
    )?;
    let (name, _) = site.added(&[])?;
    site.clear();
    resize(true)?;
    let _ = site.call("removed", &["--name", &name, "--wait"]).finish()?;
    let _ = site.call("removed", &["--name", &name, "--wait"]).finish()?;
    resize(false)?;
    site.removed(&name)?;
    site.sweep()?;
    let mut trace = site.trace();
    let all = trace.len();
    trace.sort();
    trace.dedup();
    ensure_eq!(trace.len(), all, "scripts that ran twice: {:?}", site.trace());
    let record = site.record(&name)?;
    let is_accounted = |script: &str| {
        trace.iter().any(|line| line.starts_with(script))
            || record.iter().any(|line| matches!(line, Line::End { name, .. } if name == script))
    };
    for script in ["removed/10W-a", "removed/20W-b", "removed/30W-c", "last/10W-a"] {
        ensure!(is_accounted(script), "{script} has not run, and nobody says why: {trace:?} {record:?}");
    }
    ensure!(!std::path::Path::new(RECORDS).join(&name).exists(), "the session has not ended");
    site.until_nothing_is_left()
}
