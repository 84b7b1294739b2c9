//! What nobody waits for: scripts that go their own way, and the list.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use session_sandbox::model::scripts::Event;
use session_sandbox::scripts::journal::Line;

use super::site::{PLACE, Site, TRACE, ensure_within, is_running, own_processes};
use super::{own, times};
use crate::support::{Run, Verdict, ensure, ensure_eq, until};

pub fn trials() -> Vec<Trial> {
    vec![
        own("a detached script is begun at its turn, waited for by nobody, and outlives everybody", detached),
        own("the list runs one after the other behind the login, and the end waits for it", listed),
        own("a list outlives the program that began the session, and its whole process group", orphaned),
        own("a detached script of the end runs, however fast the end is", detached_at_the_end),
        own("a detached script of a beginning runs, however soon the end comes", detached_and_over),
        own("an end does not wait for its scripts unless it is told to", end_in_the_background),
        own("what systemd or the at daemon does not take is done all the same", no_launcher),
        own("work that was handed on is done once, whoever comes for it", handed_on),
    ]
}

/// A script's wait for the test.
const WAIT: &str = "until [ -e /run/site/go ]; do sleep 0.01; done";

fn go() -> Verdict {
    Ok(std::fs::write(format!("{PLACE}/go"), "")?)
}

fn detached() -> Verdict {
    let site = Site::new("")?;
    site.tracers(&["added/10W-a", "added/30W-c", "removed/10W-a"])?;
    site.script(
        "added/20D-b",
        &format!(
            "echo $$ > {PLACE}/pid; echo \"D begins X=$X\" >> {TRACE}; {WAIT}; echo 'D ends' >> {TRACE}"
        ),
    )?;
    site.script("added/15W-b", "echo X=1 >> $SESSION_ENV")?;
    site.script("added/25W-b", &format!("until grep -q 'D begins' {TRACE}; do sleep 0.01; done"))?;
    let began = Instant::now();
    let (name, _) = site.added(&[])?;
    ensure_within(Duration::from_secs(10), began, "a login with a detached script that does not end")?;
    // 25W has seen it, so it was begun before 30W; and what was set before it is there.
    ensure_eq!(
        site.trace(),
        ["added/10W-a session_added", "D begins X=1", "added/30W-c session_added"],
        "the order"
    );
    let pid = std::fs::read_to_string(format!("{PLACE}/pid"))?;
    site.removed(&name)?;
    ensure!(is_running(pid.trim()), "the detached script did not outlive the session");
    ensure_eq!(site.count("removed/10W-a session_removed"), 1, "the end does not wait for it");
    go()?;
    site.until_traced("D ends")?;
    // How it ended is on record, although the session has ended.
    until("its end is on record", || (site.how(&name, "added/20D-b").ok()? == "exit 0").then_some(()))?;
    site.until_nothing_is_left()
}

fn listed() -> Verdict {
    let site = Site::new("")?;
    site.tracers(&["added/10W-a", "added/60W-b", "added/70-d", "added/80X-e", "removed/10W-a"])?;
    site.script("added/50-c", &format!("{WAIT}; sleep 0.05; echo '50 ends' >> {TRACE}"))?;
    let began = Instant::now();
    let (name, _) = site.added(&[])?;
    ensure_within(Duration::from_secs(10), began, "a login with a list that does not end")?;
    ensure_eq!(
        site.trace(),
        ["added/10W-a session_added", "added/60W-b session_added"],
        "what a login waits for"
    );
    let end = site.call("removed", &["--name", &name, "--wait"]).start()?;
    // Time enough for an end that does not wait.
    std::thread::sleep(Duration::from_millis(200));
    ensure_eq!(site.trace().len(), 2, "the end has waited: {:?}", site.trace());
    go()?;
    end.finish()?.expect_code(0)?;
    let expected =
        ["50 ends", "added/70-d session_added", "added/80X-e session_added", "removed/10W-a session_removed"];
    ensure_eq!(site.trace()[2..], expected, "the list, and the end behind it");
    site.until_nothing_is_left()
}

fn orphaned() -> Verdict {
    let site = Site::new("")?;
    site.tracers(&["added/70-d"])?;
    site.script("added/20D-b", &format!("{WAIT}; echo 'D ends' >> {TRACE}"))?;
    site.script("added/50-c", &format!("{WAIT}; echo '50 ends' >> {TRACE}"))?;
    // The login program is killed with all of its group, and with what it has begun a session of.
    let script = "setsid sh -c '\"$@\"; kill -KILL 0' sh \"$@\"; exit 0";
    let config = site.world.path("scripts.conf");
    let words = ["added", "--user", &site.bob.name, "--config"];
    let run = Run::new("sh").args(["-c", script, "sh", super::site::SESSION_SCRIPTS]).args(words).arg(config);
    let name = run.finish()?.output()?.trim().to_owned();
    go()?;
    site.until_done(&name, Event::Added)?;
    site.until_traced("D ends")?;
    let list: Vec<String> = site.trace().into_iter().filter(|line| line != "D ends").collect();
    ensure_eq!(list, ["50 ends", "added/70-d session_added"], "the list");
    site.removed(&name)?;
    site.until_nothing_is_left()
}

fn detached_at_the_end() -> Verdict {
    let site = Site::new("")?;
    site.tracers(&["added/10W-a", "removed/20D-b"])?;
    for _ in 0..times(20) {
        site.clear();
        let (name, _) = site.added(&[])?;
        site.removed(&name)?;
        site.until_traced("removed/20D-b session_removed")?;
    }
    site.until_nothing_is_left()
}

fn detached_and_over() -> Verdict {
    let site = Site::new("")?;
    site.tracers(&["added/20D-b"])?;
    for _ in 0..times(60) {
        site.clear();
        let (name, _) = site.added(&[])?;
        site.removed(&name)?;
        site.until_traced("added/20D-b session_added")?;
    }
    site.until_nothing_is_left()
}

fn end_in_the_background() -> Verdict {
    let site = Site::new("")?;
    site.script("removed/10W-a", &format!("{WAIT}; echo removed >> {TRACE}"))?;
    let (name, _) = site.added(&[])?;
    let began = Instant::now();
    site.call("removed", &["--name", &name]).finish()?.expect_code(0)?;
    ensure_within(Duration::from_secs(5), began, "an end that is not waited for")?;
    ensure_eq!(site.trace().len(), 0, "scripts that have ended");
    // What asks processes to end at a shutdown or a logout does not keep the scripts of the end from running.
    until("somebody is at it", || {
        own_processes().iter().any(|(name, _)| name == "session-watcher").then_some(())
    })?;
    Run::new("sh")
        .args(["-c", "pkill -TERM -x session-watcher; pkill -HUP -x session-watcher; true"])
        .finish()?;
    go()?;
    site.until_ended(&name)?;
    ensure_eq!(site.trace(), ["removed"], "what has run");
    site.until_nothing_is_left()
}

fn no_launcher() -> Verdict {
    for launcher in ["systemd", "at"] {
        let site = Site::new(&format!("launcher = \"{launcher}\""))?;
        site.clear();
        site.tracers(&["added/20D-b", "added/50-c", "added/60-d"])?;
        // Neither is there to take anything: their programs are covered by something that fails.
        let refuse =
            "for p in /usr/bin/systemd-run /usr/bin/at; do [ ! -e $p ] || mount --bind /bin/false $p; done";
        Run::new("sh").args(["-c", refuse]).finish()?.expect_code(0)?;
        let (name, _) = site.added(&[])?;
        site.until_done(&name, Event::Added)?;
        site.until_traced("added/20D-b session_added")?;
        let list: Vec<String> = site.trace().into_iter().filter(|line| !line.contains("20D")).collect();
        ensure_eq!(list, ["added/50-c session_added", "added/60-d session_added"], "the list ({launcher})");
        site.removed(&name)?;
        site.until_nothing_is_left()?;
        Run::new("sh").args(["-c", "umount /usr/bin/systemd-run /usr/bin/at 2>/dev/null; true"]).finish()?;
    }
    Ok(())
}

fn handed_on() -> Verdict {
    let site = Site::new("launcher = \"systemd\"")?;
    site.tracers(&["added/50-c", "added/60-d"])?;
    // systemd takes the work, and does not do it before the test does.
    let accept = "[ -e /usr/bin/systemd-run ] && mount --bind /bin/true /usr/bin/systemd-run";
    if Run::new("sh").args(["-c", accept]).finish()?.code != Some(0) {
        eprintln!("there is no systemd-run here");
        return Ok(());
    }
    let (name, _) = site.added(&[])?;
    let is_submitted = |line: &Line| matches!(line, Line::Submitted { to, .. } if to == "systemd");
    ensure!(site.record(&name)?.iter().any(is_submitted), "nothing was handed on");
    let work = format!("{name}-1");
    let both: Result<Vec<_>, _> =
        (0..2).map(|_| site.call("background", &["--name", &work]).start()).collect();
    for run in both? {
        run.finish()?.expect_code(0)?;
    }
    ensure_eq!(site.trace(), ["added/50-c session_added", "added/60-d session_added"], "what has run");
    site.removed(&name)?;
    site.until_nothing_is_left()
}
