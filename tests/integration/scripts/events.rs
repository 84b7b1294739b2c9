//! Beginnings and ends: each once, the first and the last of a user, however many come at the same time.

use libtest_mimic::Trial;

use super::site::{Site, TRACE};
use super::{own, times};
use crate::support::{Run, Verdict, ensure, ensure_eq, users};

pub fn trials() -> Vec<Trial> {
    vec![
        own("the first session of a user and the last one are told apart from the others", overlapping),
        own("users have first and last sessions of their own", independent),
        own("of two logins at the same time one is the first, and of two logouts one the last", at_once),
        own("an end is told of by name, by source, by user, and once", ways_to_end),
        own("a session that is told of twice begins once", told_twice),
        own("two who tell of one session at the same time begin it once", told_at_once),
        own("ids that differ, wherever they do, are different sessions", ids),
        own("the end runs in the order of its names, or in reverse", orders),
        own("some services, some classes and root begin nothing", passed_over),
        own("where nothing could run nothing is on record", empty),
    ]
}

/// Scripts in all four folders.
fn scripts(site: &Site) -> Verdict {
    for folder in ["first", "added", "removed", "last"] {
        site.script(
            &format!("{folder}/10W-a"),
            &format!("echo \"{folder} $SESSION_USER $SESSION_ID $SESSION_FIRST $SESSION_EVENT\" >> {TRACE}"),
        )?;
    }
    Ok(())
}

fn overlapping() -> Verdict {
    let site = Site::new("")?;
    scripts(&site)?;
    let bob = &site.bob.name;
    let (one, _) = site.added(&[])?;
    let (two, _) = site.added(&[])?;
    ensure!(one != two, "two sessions, one name: {one}");
    site.removed(&one)?;
    let (three, _) = site.added(&[])?;
    site.removed(&three)?;
    site.removed(&two)?;
    let (four, _) = site.added(&[])?;
    site.removed(&four)?;
    let expected = [
        format!("first {bob} {one} true added"),
        format!("added {bob} {one} true added"),
        format!("added {bob} {two} false added"),
        format!("removed {bob} {one} true removed"),
        format!("added {bob} {three} false added"),
        format!("removed {bob} {three} false removed"),
        format!("removed {bob} {two} false removed"),
        format!("last {bob} {two} false removed"),
        format!("first {bob} {four} true added"),
        format!("added {bob} {four} true added"),
        format!("removed {bob} {four} true removed"),
        format!("last {bob} {four} true removed"),
    ];
    ensure_eq!(site.trace(), expected, "what has run");
    site.until_nothing_is_left()
}

fn independent() -> Verdict {
    let (site, mallory) = (Site::new("")?, users::mallory()?);
    scripts(&site)?;
    let (one, _) = site.added(&[])?;
    let other = site.call("added", &["--user", &mallory.name]).finish()?.output()?;
    site.removed(&one)?;
    let (three, _) = site.added(&[])?;
    site.removed(other.trim())?;
    site.removed(&three)?;
    let starts = |line: &str| site.trace().iter().filter(|known| known.starts_with(line)).count();
    for (folder, bobs, theirs) in [("first", 2, 1), ("added", 2, 1), ("removed", 2, 1), ("last", 2, 1)] {
        let counted =
            (starts(&format!("{folder} {} ", site.bob.name)), starts(&format!("{folder} {} ", mallory.name)));
        ensure_eq!(counted, (bobs, theirs), "{folder}: {:?}", site.trace());
    }
    site.until_nothing_is_left()
}

fn at_once() -> Verdict {
    let site = Site::new("")?;
    site.tracers(&["first/10W-a", "added/10W-a", "removed/10W-a", "last/10W-a"])?;
    for round in 0..times(50) {
        site.clear();
        let add = || site.call("added", &["--user", &site.bob.name]).start();
        let (one, two) = (add()?, add()?);
        let names = [one.finish()?.output()?, two.finish()?.output()?];
        ensure_eq!(
            site.count("first/10W-a session_added"),
            1,
            "first ones in round {round}: {:?}",
            site.trace()
        );
        ensure_eq!(site.count("added/10W-a session_added"), 2, "beginnings in round {round}");
        let remove = |name: &str| site.call("removed", &["--name", name.trim(), "--wait"]).start();
        // Each of the two, and one of them twice.
        let ends = [remove(&names[0])?, remove(&names[1])?, remove(&names[0])?];
        for end in ends {
            end.finish()?.expect_code(0)?;
        }
        ensure_eq!(
            site.count("removed/10W-a session_removed"),
            2,
            "ends in round {round}: {:?}",
            site.trace()
        );
        ensure_eq!(
            site.count("last/10W-a session_removed"),
            1,
            "last ones in round {round}: {:?}",
            site.trace()
        );
    }
    site.until_nothing_is_left()
}

fn ways_to_end() -> Verdict {
    let site = Site::new("")?;
    site.tracers(&["added/10W-a", "removed/10W-a"])?;
    let ended = |number: usize, what: &str| -> Verdict {
        ensure_eq!(site.count("removed/10W-a session_removed"), number, "ends after {what}");
        Ok(())
    };
    let end =
        |words: &[&str]| site.call("removed", words).args(["--wait"]).finish()?.expect_code(0).map(drop);
    let (name, _) = site.added(&[])?;
    end(&["--name", &name])?;
    end(&["--name", &name])?;
    ended(1, "two by name")?;
    end(&["--name", "Session4711"])?;
    ended(1, "one of nobody")?;
    site.added(&["--session", "a/b c"])?;
    site.added(&["--session", "a/b d"])?;
    end(&["--session", "a/b c"])?;
    end(&["--session", "a/b c"])?;
    ended(2, "two by id")?;
    end(&["--from", "logind", "--session", "a/b d"])?;
    ended(2, "one by another source's id")?;
    site.begins(&["--from", "logind", "--session", "c4"])?.expect_code(0)?;
    end(&["--from", "logind", "--session", "c4"])?;
    ended(3, "one by logind's id")?;
    site.added(&[])?;
    // With the one that is left from above these are two.
    end(&["--user", &site.bob.name])?;
    ended(5, "one by user")?;
    end(&["--user", &site.bob.name])?;
    ended(5, "another one by user")?;
    let outcome = site.call("removed", &[]).finish()?.expect_code(125)?;
    ensure!(outcome.stderr.contains("which session has ended?"), "{}", outcome.stderr);
    site.until_nothing_is_left()
}

fn told_twice() -> Verdict {
    let site = Site::new("")?;
    site.tracers(&["added/10W-a", "removed/10W-a"])?;
    let (one, _) = site.added(&["--session", "x"])?;
    let (two, _) = site.added(&["--session", "x"])?;
    ensure_eq!(one, two, "the names of one session");
    ensure_eq!(site.trace().len(), 1, "beginnings");
    let (other, _) = site.added(&["--session", "y"])?;
    ensure!(other != one, "another id is another session");
    site.removed(&one)?;
    site.removed(&other)?;
    // The id is free again.
    let (again, _) = site.added(&["--session", "x"])?;
    ensure!(again != one, "a session that has ended does not begin again");
    site.removed(&again)?;
    ensure_eq!(site.count("added/10W-a session_added"), 3, "beginnings");
    ensure_eq!(site.count("removed/10W-a session_removed"), 3, "ends");
    site.until_nothing_is_left()
}

fn told_at_once() -> Verdict {
    let site = Site::new("")?;
    site.tracers(&["added/10W-a", "removed/10W-a"])?;
    for round in 0..times(30) {
        site.clear();
        let words = ["--user", &site.bob.name, "--from", "logind", "--session", "c1"];
        let (one, two) = (site.call("added", &words).start()?, site.call("added", &words).start()?);
        one.finish()?.expect_code(0)?;
        two.finish()?.expect_code(0)?;
        ensure_eq!(site.trace(), ["added/10W-a session_added"], "beginnings in round {round}");
        let words = ["--from", "logind", "--session", "c1", "--wait"];
        let (one, two) = (site.call("removed", &words).start()?, site.call("removed", &words).start()?);
        one.finish()?.expect_code(0)?;
        two.finish()?.expect_code(0)?;
        ensure_eq!(site.count("removed/10W-a session_removed"), 1, "ends in round {round}");
    }
    site.until_nothing_is_left()
}

fn ids() -> Verdict {
    let site = Site::new("")?;
    site.tracers(&["added/10W-a"])?;
    let long = "x".repeat(300);
    let ids =
        ["a/b", "a_2fb", "a:b", "../x", "..", ".", "-", "é", "a b", &format!("{long}1"), &format!("{long}2")];
    let names: Result<Vec<String>, _> = ids
        .iter()
        .map(|id| Ok::<_, libtest_mimic::Failed>(site.added(&[&format!("--session={id}")])?.0))
        .collect();
    let names = names?;
    let different: std::collections::BTreeSet<&String> = names.iter().collect();
    ensure_eq!(different.len(), ids.len(), "sessions of {ids:?}: {names:?}");
    for id in ids {
        site.call("removed", &[&format!("--session={id}"), "--wait"]).finish()?.expect_code(0)?;
    }
    site.until_nothing_is_left()
}

fn orders() -> Verdict {
    let site = Site::new("")?;
    site.tracers(&["removed/10W-a", "removed/20-b", "removed/30W-c", "last/10W-a", "last/20-b"])?;
    let ends = |expected: [&str; 5]| -> Verdict {
        site.clear();
        let (name, _) = site.added(&[])?;
        site.removed(&name)?;
        ensure_eq!(
            site.trace(),
            expected.map(|name| format!("{name} session_removed")),
            "the order of the end"
        );
        Ok(())
    };
    ends(["removed/30W-c", "removed/20-b", "removed/10W-a", "last/20-b", "last/10W-a"])?;
    site.configure("removed_order = \"listed\"")?;
    ends(["removed/10W-a", "removed/20-b", "removed/30W-c", "last/10W-a", "last/20-b"])?;
    site.configure("removed_order = \"reverse\"")?;
    ends(["removed/30W-c", "removed/20-b", "removed/10W-a", "last/20-b", "last/10W-a"])
}

fn passed_over() -> Verdict {
    let site = Site::new("")?;
    site.tracers(&["added/10W-a"])?;
    let logind = |words: &[&str]| {
        site.begins(&[&["--from", "logind", "--session", "c1"], words].concat())?.expect_code(0)
    };
    for words in [
        ["--service", "cron"],
        ["--service", "crond"],
        ["--service", "atd"],
        ["--service", "systemd-user"],
        ["--class", "greeter"],
        ["--class", "manager"],
        ["--class", "lock-screen"],
        ["--class", "background"],
    ] {
        ensure_eq!(logind(&words)?.stdout, "", "what was printed for {words:?}");
        ensure_eq!(site.trace().len(), 0, "scripts that ran for {words:?}");
    }
    let words = ["--user", "root", "--from", "logind", "--session", "c2"];
    site.call("added", &words).finish()?.expect_code(0)?;
    ensure_eq!(site.trace().len(), 0, "scripts that ran for root");
    logind(&["--service", "sshd", "--class", "user"])?;
    ensure_eq!(site.trace().len(), 1, "scripts that ran for a login");
    site.call("removed", &["--from", "logind", "--session", "c1", "--wait"]).finish()?.expect_code(0)?;
    site.configure("not_service = [\"ssh*\"]\nnot_class = []")?;
    logind(&["--service", "sshd"])?;
    ensure_eq!(site.trace().len(), 1, "scripts that ran for a service that is passed over by a pattern");
    // Who types the command knows better.
    let (name, _) = site.added(&["--service", "sshd"])?;
    ensure_eq!(site.trace().len(), 2, "scripts that ran by hand");
    site.removed(&name)?;
    site.until_nothing_is_left()
}

fn empty() -> Verdict {
    let site = Site::new("")?;
    let quiet = |what: &str| -> Verdict {
        let outcome = site.begins(&[])?.expect_code(0)?;
        ensure_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""), "with {what}");
        let found =
            Run::new("sh").args(["-c", "ls /run/session-sandbox/scripts 2>/dev/null"]).finish()?.stdout;
        ensure_eq!(found, "", "on record with {what}");
        Ok(())
    };
    quiet("empty folders")?;
    site.file("added/.hidden", "", 0o644)?;
    quiet("a hidden file")?;
    for folder in ["first", "added", "removed", "last"] {
        std::fs::remove_dir_all(site.at(folder))?;
    }
    quiet("no folders")?;
    std::fs::remove_dir_all(site.at(""))?;
    quiet("nothing at all")?;
    for verb in ["sweep", "removed"] {
        site.call(verb, &["--name", "Session1"]).finish()?.expect_code(0)?;
    }
    Ok(())
}
