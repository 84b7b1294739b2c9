//! What scripts that are waited for set, and what their failure means.

use libtest_mimic::Trial;
use session_sandbox::model::scripts::Event;
use session_sandbox::scripts::journal::Line;

use super::own;
use super::site::{Site, TRACE};
use crate::support::{Run, Verdict, ensure, ensure_eq};

pub fn trials() -> Vec<Trial> {
    vec![
        own("what one script sets all later ones have, and the login", set),
        own("what would make a program run something else is refused, and said", refused),
        own("what a user can have written reaches no script of root's", of_user),
        own("a script that fails stops nothing", fails),
        own("a required script that fails refuses the session, and what was done is undone once", required),
        own(
            "a required script that cannot be run, or does not end, refuses the session",
            required_and_absent,
        ),
        own("a script's own shell is nobody else's", no_eval),
    ]
}

fn set() -> Verdict {
    let site = Site::new("")?;
    let show = |name: &str| format!("echo \"{name} X=$X Y=$Y Z=$Z\" >> {TRACE}");
    site.script(
        "added/10W-a",
        "echo X=1 >> $SESSION_ENV; printf 'Y=two words \"and\" $(id) `id` ;=x\\n' >> $SESSION_ENV",
    )?;
    site.script("added/11W-b", &format!("{}; echo X=2 >> $SESSION_ENV", show("11W")))?;
    for name in ["15W", "20D", "50"] {
        site.script(&format!("added/{name}-c"), &show(name))?;
    }
    site.script("added/60W-d", "printf Z=last >> $SESSION_ENV")?;
    site.script("removed/10W-a", &show("removed"))?;
    let (name, printed) = site.added(&["--env"])?;
    let value = "two words \"and\" $(id) `id` ;=x";
    ensure_eq!(printed, format!("X=2\nY={value}\nZ=last\n"), "what --env prints");
    site.until_done(&name, Event::Added)?;
    site.until_traced(&format!("20D X=2 Y={value} Z="))?;
    for (script, x, z) in [("11W", 1, ""), ("15W", 2, ""), ("50", 2, "last")] {
        ensure_eq!(
            site.count(&format!("{script} X={x} Y={value} Z={z}")),
            1,
            "{script} in {:?}",
            site.trace()
        );
    }
    site.removed(&name)?;
    ensure_eq!(site.count(&format!("removed X=2 Y={value} Z=last")), 1, "at the end: {:?}", site.trace());
    site.until_nothing_is_left()
}

fn of_user() -> Verdict {
    let site = Site::new("[[script]]\nname = \"*-as-user\"\nuser = \"user\"")?;
    let show = |name: &str| format!("echo {name} OPT=$PERL5OPT MINE=$MINE >> {TRACE}");
    std::fs::write(TRACE, "")?;
    Run::new("chmod").args(["666", TRACE]).finish()?.expect_code(0)?;
    site.script("added/10W-root", "echo MINE=root >> $SESSION_ENV")?;
    let evil = "echo PERL5OPT=-Mevil >> $SESSION_ENV; echo MINE=user >> $SESSION_ENV";
    site.script("added/20W-as-user", evil)?;
    site.script("added/30W-root", &show("root"))?;
    site.script("added/40W-as-user", &show("user"))?;
    site.script("added/50-root", &show("list"))?;
    site.script("removed/10-root", &show("end"))?;
    let (name, printed) = site.added(&["--env"])?;
    ensure_eq!(printed, "MINE=user\nPERL5OPT=-Mevil\n", "the session's");
    site.until_done(&name, Event::Added)?;
    site.removed(&name)?;
    let wanted =
        ["root OPT= MINE=root", "user OPT=-Mevil MINE=user", "list OPT= MINE=root", "end OPT= MINE=root"];
    ensure_eq!(site.trace(), wanted, "what each has");
    site.until_nothing_is_left()
}

fn refused() -> Verdict {
    let site = Site::new("[[script]]\nname = \"12W-*\"\nallow_env = [\"PATH\", \"LD_PRELOAD\"]")?;
    let names = [
        "LD_PRELOAD",
        "BASH_ENV",
        "IFS",
        "PATH",
        "HOME",
        "SESSION_ID",
        "PAM_USER",
        "CK_SESSION_ID",
        "XDG_RUNTIME_DIR",
    ];
    let lines: String = names.iter().map(|name| format!("{name}=/x\\n")).collect();
    site.script("added/10W-a", &format!("printf '{lines}no pair\\n9=x\\nOK=1\\n' >> $SESSION_ENV"))?;
    site.script(
        "added/11W-b",
        &format!("echo \"$PATH $HOME $SESSION_ID ${{LD_PRELOAD-none}} $OK\" >> {TRACE}"),
    )?;
    site.script("added/12W-c", "printf 'PATH=/opt/bin\\nLD_PRELOAD=/x\\n' >> $SESSION_ENV")?;
    let (name, printed) = site.added(&["--env"])?;
    ensure_eq!(
        site.trace(),
        [format!("/usr/sbin:/usr/bin:/sbin:/bin /root {name} none 1")],
        "what the next one has"
    );
    ensure_eq!(printed, "OK=1\nPATH=/opt/bin\n", "what the login gets");
    let record = site.record(&name)?;
    let refused: Vec<&String> = record
        .iter()
        .filter_map(|line| match line {
            Line::Variables { name, said } if name == "added/10W-a" => Some(&said.refused),
            _ => None,
        })
        .flatten()
        .collect();
    for name in names.iter().chain([&"no pair", &"9=x"]) {
        ensure!(refused.iter().any(|why| why.contains(name)), "{name} is not in {refused:?}");
    }
    ensure_eq!(refused.len(), names.len() + 2, "refused: {refused:?}");
    site.removed(&name)
}

fn fails() -> Verdict {
    let site = Site::new("")?;
    site.script("added/10W-a", "echo X=1 >> $SESSION_ENV; exit 3")?;
    site.script("added/11W-b", "kill -9 $$")?;
    site.script("added/15W-c", &format!("echo \"15W $X\" >> {TRACE}"))?;
    site.tracers(&["added/50-d"])?;
    let (name, printed) = site.added(&["--env"])?;
    ensure_eq!((site.trace()[0].as_str(), printed.as_str()), ("15W 1", "X=1\n"), "behind a failure");
    site.until_done(&name, Event::Added)?;
    ensure_eq!(site.count("added/50-d session_added"), 1, "the list");
    ensure_eq!(site.how(&name, "added/10W-a")?, "exit 3", "on record");
    ensure_eq!(site.how(&name, "added/11W-b")?, "signal 9", "on record");
    site.removed(&name)
}

fn required() -> Verdict {
    let site = Site::new("[[script]]\nname = \"11W-*\"\nresult = \"required\"")?;
    site.tracers(&["first/10W-a", "added/10W-a", "added/12W-c", "added/20D-d", "added/50-e", "added/60-f"])?;
    site.script("added/11W-b", "echo no room for you; exit 3")?;
    site.tracers(&["removed/10W-a", "removed/11W-b", "last/10W-a"])?;
    let outcome = site.begins(&["--session", "one", "--env"])?.expect_code(1)?;
    ensure!(outcome.stderr.contains("added/11W-b: exit 3"), "the reason: {}", outcome.stderr);
    site.until_ended("Session1")?;
    let expected = [
        "first/10W-a session_added",
        "added/10W-a session_added",
        "removed/11W-b session_removed",
        "removed/10W-a session_removed",
        "last/10W-a session_removed",
    ];
    ensure_eq!(site.trace(), expected, "what has run");
    let passed_over: Vec<String> = site.skipped("Session1")?.into_iter().map(|(name, _)| name).collect();
    ensure_eq!(
        passed_over,
        ["added/12W-c", "added/20D-d", "added/50-e", "added/60-f"],
        "what was passed over"
    );
    let record = site.record("Session1")?;
    let is_refused = |line: &Line| matches!(line, Line::Done { event: Event::Added, refused: true, .. });
    ensure!(
        record.iter().any(is_refused),
        "the record does not say that the session was refused: {record:?}"
    );
    site.call("removed", &["--session", "one", "--wait"]).finish()?.expect_code(0)?;
    site.sweep()?;
    ensure_eq!(site.trace().len(), expected.len(), "after another removed and a sweep: {:?}", site.trace());
    site.until_nothing_is_left()
}

fn required_and_absent() -> Verdict {
    let site = Site::new("[added]\nresult = \"required\"\ntimeout = \"1s\"\ngrace = \"1s\"")?;
    let cases: [(&str, u32, &str); 4] = [
        ("#!/bin/sh\nexit 0\n", 0o644, "not executable"),
        ("#!/bin/sh\nexit 0\n", 0o777, "others than root"),
        ("#!/nowhere/sh\nexit 0\n", 0o755, "interpreter"),
        ("#!/bin/sh\nsleep 60\n", 0o755, "timed out"),
    ];
    for (content, mode, why) in cases {
        site.file("added/10W-a", content, mode)?;
        let outcome = site.begins(&[])?.expect_code(1)?;
        ensure!(outcome.stderr.contains(why), "{why:?} is not in {}", outcome.stderr);
    }
    // A folder that others can write to may hold anything, and may have lost what a session must not begin without.
    site.script("added/10W-a", "exit 0")?;
    site.folder(&site.at("added").to_string_lossy(), 0o777)?;
    let outcome = site.begins(&[])?.expect_code(1)?;
    ensure!(outcome.stderr.contains("session.d/added"), "the reason: {}", outcome.stderr);
    site.until_nothing_is_left()
}

fn no_eval() -> Verdict {
    let site = Site::new("")?;
    site.script(
        "added/10W-a",
        "X=1; export X; cd /tmp; umask 077; ulimit -n 20; exec 9>/dev/null; trap '' TERM INT; exit 0",
    )?;
    let look = "echo \"X=${X-none} $(pwd) $(umask) $(ulimit -n)\"; [ ! -e /proc/self/fd/9 ] && echo closed";
    site.script("added/11W-b", &format!("{{ {look}; }} >> {TRACE}"))?;
    let (name, _) = site.added(&[])?;
    let trace = site.trace();
    ensure!(
        trace[0].starts_with("X=none / 0022 ") && !trace[0].ends_with(" 20"),
        "after another script: {trace:?}"
    );
    ensure_eq!(trace.get(1).map(String::as_str), Some("closed"), "descriptor 9");
    site.removed(&name)
}
