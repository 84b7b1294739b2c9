//! Those who tell of sessions: PAM's modules, ConsoleKit, display managers. And who can read of them meanwhile.

use std::path::Path;

use libtest_mimic::{Failed, Trial};
use rustix::process::Signal;

use super::own;
use super::site::{SESSION_SCRIPTS, Site, TRACE};
use crate::support::{Run, Verdict, ensure, ensure_eq, until};

const SESSIONCTL: &str = env!("CARGO_BIN_EXE_sessionctl");

pub fn trials() -> Vec<Trial> {
    vec![
        own("as pam_exec's command it begins and ends the session of whoever started it", pam),
        own("as pam_exec's command it ends the session when whoever started it is killed", pam_killed),
        own("called by pam_script's names it does what they say", by_name),
        own("called by ConsoleKit it does what ConsoleKit tells", consolekit),
        own("display managers tell of a session in their environment", display_managers),
        own("a display manager that is killed ends its sessions", manager_killed),
        own("a session of a display manager's is ended, and the display manager is not", manager_spared),
        own("a session can be read of while it lives, as ConsoleKit's readers know it", tree),
        own("what others tell is believed as far as it is usable", unusable),
    ]
}

fn folders(site: &Site) -> Verdict {
    for folder in ["added", "removed"] {
        let facts = "$SESSION_SOURCE $SESSION_USER tty=$SESSION_TTY service=$SESSION_SERVICE display=$SESSION_DISPLAY rhost=$SESSION_RHOST type=$XDG_SESSION_TYPE";
        site.script(&format!("{folder}/10W-a"), &format!("echo \"{folder} {facts}\" >> {TRACE}"))?;
    }
    Ok(())
}

/// A program in whose place the calls are made, one after each line that it reads.
fn host(site: &Site, calls: &[String]) -> Run {
    let mut script = String::new();
    for call in calls {
        script.push_str(&format!("{call}; echo \"done $?\"; read line;\n"));
    }
    let config = site.world.path("scripts.conf");
    Run::new("sh").args(["-c", &script]).env("S", SESSION_SCRIPTS).env("C", config).piped_input()
}

fn pam_environment(run: Run, site: &Site) -> Run {
    run.env("PAM_USER", &site.bob.name)
        .env("PAM_SERVICE", "sshd")
        .env("PAM_TTY", "/dev/pts/3")
        .env("PAM_RHOST", "there.example")
        .env("XDG_SESSION_TYPE", "tty")
}

fn pam() -> Verdict {
    let site = Site::new("")?;
    folders(&site)?;
    let call = |kind: &str| format!("PAM_TYPE={kind} $S pam --config $C");
    let calls = [
        call("auth"),
        call("account"),
        call("open_session"),
        call("open_session"),
        call("close_session"),
        call("close_session"),
        call("open_session"),
    ];
    let mut host = pam_environment(host(&site, &calls), &site).start()?;
    let facts =
        format!("pam_exec {} tty=pts/3 service=sshd display= rhost=there.example type=tty", site.bob.name);
    for (number, lines) in [0, 0, 1, 1, 2, 2, 3].into_iter().enumerate() {
        host.expect_times("done 0", number + 1)?;
        until(&format!("call {number} has had {lines} scripts run: {:?}", site.trace()), || {
            (site.trace().len() == lines).then_some(())
        })?;
        host.write(b"\n")?;
    }
    // It has ended in good order, and left its last session open.
    let printed = host.finish()?.output()?;
    ensure_eq!(printed, "done 0\n".repeat(7), "what is printed where PAM would show it");
    until("the last session has ended", || (site.trace().len() == 4).then_some(()))?;
    let expected = ["added", "removed", "added", "removed"].map(|folder| format!("{folder} {facts}"));
    ensure_eq!(site.trace(), expected, "what has run");
    site.until_nothing_is_left()
}

fn pam_killed() -> Verdict {
    let site = Site::new("")?;
    folders(&site)?;
    let mut login =
        pam_environment(host(&site, &["PAM_TYPE=open_session $S pam --config $C".to_owned()]), &site)
            .start()?;
    login.expect("done 0")?;
    // Another login of the same user is another session.
    let mut other =
        pam_environment(host(&site, &["PAM_TYPE=open_session $S pam --config $C".to_owned()]), &site)
            .start()?;
    other.expect("done 0")?;
    ensure_eq!(site.trace().len(), 2, "beginnings");
    login.signal(Signal::KILL)?;
    until("the session of the killed one has ended", || (site.trace().len() == 3).then_some(()))?;
    std::thread::sleep(std::time::Duration::from_millis(50));
    ensure_eq!(site.trace().len(), 3, "the other one lives");
    other.signal(Signal::KILL)?;
    site.until_nothing_is_left()?;
    ensure_eq!(site.trace().len(), 4, "ends");
    Ok(())
}

fn by_name() -> Verdict {
    let site = Site::new("")?;
    folders(&site)?;
    // These names take no options of ours: the host's own configuration is put in its place.
    let script = "mkdir -p /run/etc /run/work && mount -t overlay -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/work overlay /etc && mkdir -p /etc/session.d && cp \"$1\" /etc/session.d/session-scripts.conf";
    let prepared = Run::new("sh").args(["-c", script, "sh"]).arg(site.world.path("scripts.conf")).finish()?;
    if prepared.code != Some(0) {
        eprintln!("no overlay here: {}", prepared.stderr.trim());
        return Ok(());
    }
    for (open, close) in
        [("pam_script_ses_open", "pam_script_ses_close"), ("onsessionopen", "onsessionclose")]
    {
        site.clear();
        for name in [open, close] {
            std::os::unix::fs::symlink(SESSION_SCRIPTS, format!("/run/site/{name}"))?;
        }
        let calls = [
            format!("PAM_TYPE=session /run/site/{open} dir=/x --frobnicate -- and more"),
            format!("PAM_TYPE=session /run/site/{close} dir=/x"),
        ];
        let mut host = pam_environment(host(&site, &calls), &site).start()?;
        host.expect_times("done 0", 1)?;
        let facts = format!(
            "pam_script {} tty=pts/3 service=sshd display= rhost=there.example type=tty",
            site.bob.name
        );
        ensure_eq!(site.trace(), [format!("added {facts}")], "as {open}");
        host.write(b"\n")?;
        host.expect_times("done 0", 2)?;
        until("the session has ended", || (site.trace().len() == 2).then_some(()))?;
        host.write(b"\n")?;
        host.finish()?.expect_code(0)?;
        site.until_nothing_is_left()?;
        ensure_eq!(site.trace(), [format!("added {facts}"), format!("removed {facts}")], "as {close}");
    }
    Ok(())
}

fn consolekit() -> Verdict {
    let site = Site::new("[compat]\nconsolekit = [\"/run/site/ck\"]")?;
    folders(&site)?;
    std::fs::create_dir("/run/site/ck")?;
    site.script(
        "/run/site/ck/a.ck",
        &format!("echo \"$1 $CK_SESSION_ID $CK_SESSION_DISPLAY_DEVICE\" >> {TRACE}"),
    )?;
    let tells = |event: &str| -> Verdict {
        let run = site.call("ck", &[event]);
        let run = run
            .env("CK_SESSION_ID", "/org/freedesktop/ConsoleKit/Session4")
            .env("CK_SESSION_USER_UID", site.bob.uid.to_string());
        let run = run
            .env("CK_SESSION_DISPLAY_DEVICE", "/dev/tty2")
            .env("CK_SESSION_TYPE", "LoginWindow")
            .env("CK_SESSION_X11_DISPLAY", "");
        let outcome =
            run.env("CK_SESSION_SEAT_ID", "/org/freedesktop/ConsoleKit/Seat1").finish()?.expect_code(0)?;
        ensure_eq!(outcome.stdout, "", "what is printed");
        Ok(())
    };
    for event in ["seat_added", "session_active_changed", "seat_active_session_changed"] {
        tells(event)?;
    }
    ensure_eq!(site.trace().len(), 0, "other events");
    tells("session_added")?;
    tells("session_added")?;
    let facts = format!("consolekit {} tty=tty2 service= display= rhost= type=LoginWindow", site.bob.name);
    // ConsoleKit has run its own scripts.
    ensure_eq!(site.trace(), [format!("added {facts}")], "the beginning");
    tells("session_removed")?;
    tells("session_removed")?;
    site.until_nothing_is_left()?;
    ensure_eq!(site.trace()[1..], [format!("removed {facts}")], "the end");
    // Without the event it is a mistake of whoever calls.
    site.call("ck", &[]).finish()?.expect_code(125)?;
    site.call("ck", &["session_added"]).finish()?.expect_code(125).map(drop)
}

fn display_managers() -> Verdict {
    let site = Site::new("")?;
    folders(&site)?;
    for source in ["lightdm", "gdm", "xdm"] {
        site.clear();
        let call = |verb: &str| format!("$S {verb} --config $C --from {source}");
        let run = host(&site, &[call("added"), call("removed")]);
        let run = run
            .env("USER", &site.bob.name)
            .env("HOME", "/nowhere")
            .env("DISPLAY", ":0")
            .env("XDG_SEAT", "seat0");
        let mut manager = run.env("XAUTHORITY", "/run/x").start()?;
        manager.expect_times("done 0", 1)?;
        let facts = format!("{source} {} tty= service={source} display=:0 rhost= type=", site.bob.name);
        ensure_eq!(site.trace(), [format!("added {facts}")], "{source} tells of a beginning");
        manager.write(b"\n")?;
        manager.expect_times("done 0", 2)?;
        until("the session has ended", || (site.trace().len() == 2).then_some(()))?;
        ensure_eq!(site.trace()[1], format!("removed {facts}"), "{source} tells of an end");
        manager.write(b"\n")?;
        manager.finish()?.expect_code(0)?;
        site.until_nothing_is_left()?;
        ensure_eq!(site.trace().len(), 2, "{source}: {:?}", site.trace());
        // Its greeter's sessions are nobody's.
        let greeter =
            site.call("added", &["--from", source, "--class", "greeter"]).env("USER", &site.bob.name);
        greeter.finish()?.expect_code(0)?;
        ensure_eq!(site.trace().len(), 2, "a greeter of {source}'s");
    }
    // A refusal is what a display manager goes by.
    site.script("added/10W-a", "exit 1")?;
    site.configure("[added]\nresult = \"required\"")?;
    let run = site.call("added", &["--from", "lightdm"]).env("USER", &site.bob.name).env("DISPLAY", ":0");
    run.finish()?.expect_code(1)?;
    site.until_nothing_is_left()
}

fn manager_killed() -> Verdict {
    let site = Site::new("")?;
    folders(&site)?;
    for (source, name) in
        [("lightdm", "lightdm"), ("gdm", "gdm-session-worker"), ("gdm", "gdm3"), ("xdm", "xdm")]
    {
        site.clear();
        let program = site.world.path(name);
        std::fs::copy("/bin/sh", &program)?;
        // As from a script of the administrator's: what has called us ends at once.
        let script = format!("sh -c '$S added --config $C --from {source}; true'; echo done; read line");
        let run = Run::new(&program).args(["-c", &script]).env("S", SESSION_SCRIPTS);
        let run =
            run.env("C", site.world.path("scripts.conf")).env("USER", &site.bob.name).env("DISPLAY", ":0");
        let mut manager = run.piped_input().start()?;
        manager.expect("done")?;
        std::thread::sleep(std::time::Duration::from_millis(50));
        ensure_eq!(site.trace().len(), 1, "{name} lives");
        manager.signal(Signal::KILL)?;
        until("the session has ended", || (site.trace().len() == 2).then_some(()))?;
        site.until_nothing_is_left()?;
    }
    Ok(())
}

fn manager_spared() -> Verdict {
    let site = Site::new("")?;
    folders(&site)?;
    let program = site.world.path("lightdm");
    std::fs::copy("/bin/sh", &program)?;
    let script = "$S added --config $C --from lightdm; echo begun; read line; echo still there";
    let run = Run::new(&program).args(["-c", script]).env("S", SESSION_SCRIPTS);
    let run = run.env("C", site.world.path("scripts.conf")).env("USER", &site.bob.name).env("DISPLAY", ":0");
    let mut manager = run.piped_input().start()?;
    manager.expect("begun")?;
    let on_record = || {
        let names = std::fs::read_dir("/run/session-sandbox/scripts").into_iter().flatten().flatten();
        names.filter(|name| name.file_name().to_string_lossy().starts_with("Session")).count()
    };
    ensure_eq!(on_record(), 1, "sessions that live");
    Run::new(SESSIONCTL).args(["end", "--user", &site.bob.name]).finish()?.expect_code(0)?;
    ensure_eq!(on_record(), 0, "sessions that live");
    manager.write(b"\n")?;
    manager.expect("still there")?;
    manager.finish()?.expect_code(0)?;
    site.until_nothing_is_left()
}

fn tree() -> Verdict {
    const PLACE: &str = "/run/session-sandbox";
    let site = Site::new("")?;
    let bob = site.bob.name.clone();
    let inside = format!("cat {PLACE}/sessions/$SESSION_ID/unixuser >> {TRACE}");
    site.script("added/10W-a", &inside)?;
    site.script("removed/10W-a", &inside)?;
    let read =
        |path: &str| -> Result<String, Failed> { Ok(std::fs::read_to_string(format!("{PLACE}/{path}"))?) };
    let (name, _) = site.added(&["--display", ":0", "--tty", "tty7"])?;
    let (other, _) = site.added(&["--tty", "tty8"])?;
    ensure_eq!(read(&format!("sessions/{name}/display"))?, ":0\n", "display");
    ensure_eq!(read(&format!("sessions/{name}/session"))?, format!("{name}\n"), "session");
    ensure_eq!(read(&format!("sessions/{name}/unixuser"))?, format!("{bob}\n"), "unixuser");
    ensure_eq!(read(&format!("sessions/{other}/display"))?, "\n", "display without one");
    let link = std::fs::read_link(format!("{PLACE}/users/{bob}/{name}"))?;
    ensure_eq!(link, Path::new("../../sessions").join(&name), "the user's link");
    ensure_eq!(read(&format!("users/{bob}/{name}/session"))?, format!("{name}\n"), "through the link");
    site.removed(&name)?;
    ensure!(
        !Path::new(&format!("{PLACE}/sessions/{name}")).exists(),
        "the folder of a session that has ended"
    );
    ensure!(Path::new(&format!("{PLACE}/users/{bob}/{other}")).exists(), "the other session's link");
    site.removed(&other)?;
    ensure!(!Path::new(&format!("{PLACE}/users/{bob}")).exists(), "the folder of a user without a session");
    ensure_eq!(site.trace(), vec![bob; 4], "what scripts of both ends could read");
    site.until_nothing_is_left()
}

fn unusable() -> Verdict {
    let site = Site::new("")?;
    folders(&site)?;
    let run = |pairs: &[(&str, &str)]| -> Result<Option<i32>, Failed> {
        let call = site.call("pam", &[]).env("PAM_TYPE", "open_session");
        let outcome = pairs.iter().fold(call, |call, (name, value)| call.env(name, value)).finish()?;
        Ok(outcome.code)
    };
    for user in ["", "no-such-user", "../root", "-u", "a\nb", "%u", "root\nbob", "0", "bob;id"] {
        ensure_eq!(run(&[("PAM_USER", user)])?, Some(125), "with the user {user:?}");
    }
    ensure_eq!(run(&[])?, Some(125), "with no user");
    // Root's login begins nothing, and fails at nothing.
    ensure_eq!(run(&[("PAM_USER", "root")])?, Some(0), "root");
    ensure_eq!(site.trace().len(), 0, "scripts that have run: {:?}", site.trace());
    let long = "x".repeat(5000);
    let odd = [
        ("PAM_USER", site.bob.name.as_str()),
        ("PAM_TTY", "pts/3\nX=1"),
        ("PAM_RHOST", &long),
        ("PAM_SERVICE", "s\u{1b}[2J"),
    ];
    ensure_eq!(run(&odd)?, Some(0), "with unusable facts");
    let facts = format!("added pam_exec {} tty= service= display= rhost= type=", site.bob.name);
    ensure_eq!(site.trace(), [facts], "with unusable facts");
    Ok(())
}
