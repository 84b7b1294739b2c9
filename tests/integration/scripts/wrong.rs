//! Mistakes of whoever configures or calls: said, with the place, and nothing runs.

use libtest_mimic::Trial;

use super::own;
use super::site::{RECORDS, Site};
use crate::support::{Verdict, World, ensure, ensure_eq};

pub fn trials() -> Vec<Trial> {
    vec![
        own("all mistakes of a configuration are said at once, each with its line", configuration),
        own("options that make no sense are refused", options),
        own("only root runs the scripts of sessions", not_root),
        own("a name that is no session's leads nowhere", names),
        own(
            "a configuration that is broken while a session lives does not keep its end from running",
            broken_meanwhile,
        ),
    ]
}

fn configuration() -> Verdict {
    let site = Site::new("")?;
    site.tracers(&["added/10W-a"])?;
    let text = "version = 1\n[defaults]\ntimeot = \"5s\"\ntimeout = 5\ngate = \"%h/%x\"\ndirectory = \"relative\"\n[removed]\nresult = \"required\"\n[[script]]\nname = \"[\"\n[compat]\npam_exec = 7\n[unknown]\n";
    site.world.file("scripts.conf", text)?;
    for verb in ["added", "removed", "sweep"] {
        // A sweep with nothing to do reads nothing.
        let outcome = site.call(verb, &["--user", &site.bob.name]).finish()?;
        ensure!(outcome.code == Some(125) || verb == "sweep", "{verb}: {outcome:?}");
        if verb != "added" {
            continue;
        }
        for expected in [
            "scripts.conf:3:1: unknown key `timeot`",
            "scripts.conf:4:",
            "scripts.conf:5:",
            "scripts.conf:6:",
            "scripts.conf:8:",
            "scripts.conf:10:",
            "scripts.conf:12:",
            "scripts.conf:13:",
        ] {
            ensure!(outcome.stderr.contains(expected), "{expected:?} is not in\n{}", outcome.stderr);
        }
    }
    for text in [
        "",
        "version = 2\n",
        "version = 1\nversion = 1\n",
        "version = 1\n[defaults",
        "\u{0}",
        "version = \"1\"\n",
    ] {
        site.world.file("scripts.conf", text)?;
        let outcome = site.begins(&[])?.expect_code(125)?;
        ensure!(outcome.stderr.contains("scripts.conf"), "{text:?}: {}", outcome.stderr);
    }
    ensure_eq!(site.trace().len(), 0, "scripts that have run");
    Ok(())
}

fn options() -> Verdict {
    let site = Site::new("")?;
    site.tracers(&["added/10W-a", "removed/10W-a"])?;
    let bob = site.bob.name.as_str();
    for (verb, words, expected) in [
        ("frobnicate", vec![], "frobnicate"),
        ("added", vec![], "--user"),
        ("added", vec!["--user"], "user"),
        ("added", vec!["--user", "no-such-user"], "no-such-user"),
        ("added", vec!["--user", bob, "--frobnicate"], "frobnicate"),
        ("added", vec!["--user", bob, "extra"], "extra"),
        ("added", vec!["--user", bob, "--from", "nobody"], "there are pam"),
        ("added", vec!["--user", bob, "--leader", "0"], "--leader"),
        ("added", vec!["--user", bob, "--leader", "x"], "--leader"),
        ("added", vec!["--user", bob, "--leader", "999999999"], "there is no process"),
        ("added", vec!["--user", bob, "--compat", "upstart"], "consolekit"),
        ("added", vec!["--user", bob, "--tty", "a\nb"], "control character"),
        ("added", vec!["--user", bob, "--session", "a\nb"], "session"),
        ("added", vec!["--user", bob, "--session", ""], "session"),
        ("removed", vec!["--from", "nobody", "--session", "x"], "there are pam"),
        ("background", vec![], "--name"),
    ] {
        let outcome = site.call(verb, &words).finish()?;
        ensure_eq!(outcome.code, Some(125), "status of {verb} {words:?}: {}", outcome.stderr);
        ensure!(
            outcome.stderr.contains(expected),
            "{expected:?} is not in the answer to {verb} {words:?}: {}",
            outcome.stderr
        );
        ensure!(
            outcome.stderr.starts_with("session-scripts: ") && !outcome.stderr.contains("panicked"),
            "{}",
            outcome.stderr
        );
        ensure_eq!(site.trace().len(), 0, "scripts that ran after {verb} {words:?}");
    }
    for word in ["--help", "--version"] {
        let text = crate::support::Run::new(super::site::SESSION_SCRIPTS).arg(word).finish()?.output()?;
        ensure!(text.contains("session-scripts"), "{word}: {text}");
    }
    site.sweep()?;
    site.until_nothing_is_left()
}

fn not_root() -> Verdict {
    let site = Site::new("")?;
    site.tracers(&["added/10W-a"])?;
    let world = World::of(&site.bob)?;
    let copy = world.path("session-scripts");
    std::fs::copy(super::site::SESSION_SCRIPTS, &copy)?;
    for words in [
        vec!["added", "--user", "root"],
        vec!["removed", "--name", "Session1"],
        vec!["sweep"],
        vec!["ck", "session_added"],
    ] {
        let run = crate::support::Run::new(&copy).args(&words).user(&site.bob);
        let outcome = run.finish()?.expect_code(125)?;
        ensure!(outcome.stderr.contains("root"), "{words:?}: {}", outcome.stderr);
    }
    Ok(())
}

fn names() -> Verdict {
    let site = Site::new("")?;
    site.tracers(&["added/10W-a", "removed/10W-a"])?;
    let (name, _) = site.added(&["--session", "x"])?;
    let (ended, _) = site.added(&[])?;
    site.removed(&ended)?;
    std::fs::write("/run/site/precious", "precious\n")?;
    let scripts = site.trace().len();
    let everything = || {
        crate::support::Run::new("sh")
            .args([
                "-c",
                &format!(
                    "cd {RECORDS}; find . -not -name '*.lock' | sort; cat /run/site/precious; cat ended/*"
                ),
            ])
            .finish()?
            .output()
    };
    // Makes the folder for work, and does none.
    site.call("background", &["--name", "Session1-1"]).finish()?.expect_code(0)?;
    let before = everything()?;
    for odd in [
        "",
        ".",
        "..",
        "ended",
        "keys",
        "users",
        &format!("ended/{ended}"),
        "../sessions/next",
        "../../site/precious",
        "/run/site/precious",
        &format!("../sessions/{name}/record.json"),
        "keys/hand:x",
        "Session",
        "Session0x1",
        "session1",
        "--name",
    ] {
        let outcome = site.call("removed", &[&format!("--name={odd}"), "--wait"]).finish()?;
        ensure!(matches!(outcome.code, Some(0 | 125)), "--name={odd}: {outcome:?}");
        ensure_eq!(everything()?, before, "what is on record after `removed --name={odd}`");
        let outcome = site.call("background", &[&format!("--name={odd}")]).finish()?;
        ensure!(matches!(outcome.code, Some(0 | 125)), "background --name={odd}: {outcome:?}");
        ensure_eq!(everything()?, before, "what is on record after `background --name={odd}`");
    }
    let odd = format!("../ended/{ended}");
    let _ = site.call("background", &[&format!("--name={odd}")]).finish()?;
    ensure_eq!(everything()?, before, "what is on record after `background --name={odd}`");
    let _ = site.call("background", &["--name=../../../site/precious"]).finish()?;
    ensure_eq!(everything()?, before, "after `background --name=../../../site/precious`");
    ensure_eq!(site.trace().len(), scripts, "scripts that have run");
    site.removed(&name)?;
    site.until_nothing_is_left()
}

fn broken_meanwhile() -> Verdict {
    let site = Site::new("")?;
    site.tracers(&["added/10W-a", "removed/10W-a"])?;
    let leader = crate::support::Run::new("sleep").arg("600").start()?;
    let pid = leader.pid().as_raw_nonzero().to_string();
    let (name, _) = site.added(&["--leader", &pid])?;
    site.world.file("scripts.conf", "version = 1\n[defaults\n")?;
    leader.signal(rustix::process::Signal::KILL)?;
    site.until_ended(&name)?;
    ensure_eq!(site.count("removed/10W-a session_removed"), 1, "what held when it began holds");
    site.configure("")?;
    site.until_nothing_is_left()
}
