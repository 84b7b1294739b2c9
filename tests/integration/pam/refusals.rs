//! A session that cannot be opened: the application is as before, the user hears one line, the log says why.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use libtest_mimic::Trial;

use super::stage::{SERVICE, Stage};
use super::{ABORT, SESSION_ERROR, own};
use crate::support::{Verdict, ensure, ensure_eq, until};

pub fn trials() -> Vec<Trial> {
    vec![
        own("a fault or a panic at any point leaves the application as it was", faults),
        own("a broken map is explained to the administrator, and not to the user", broken_map),
        own("a helper that is missing, dies, talks nonsense or hangs", helpers),
        own("a mistake in the module's options", mistakes),
        own("onerr=host lets the login go on, and says so", on_error_host),
        own("a tree in which others than root can write is refused", untrusted),
        own("what a login through PAM cannot have is refused", unsuitable),
        own("a login without a name, or of a user who does not exist", nobody),
    ]
}

fn faults() -> Verdict {
    let stage = Stage::new("scope = \"user\"", "[profile.set_env]\nROOM = \"of %u\"")?;
    for place in ["before-asking", "before-entering", "entering"] {
        stage.service(&format!("fault={place}"))?;
        let (told, log) = stage.fails(SESSION_ERROR)?;
        ensure!(log.contains(&format!("injected fault {place}")), "the log after {place}: {log}");
        ensure_eq!(told.lines().count(), 2, "lines for the user in two attempts: {told}");
        stage.service(&format!("fault=panic-{place}"))?;
        let (_, log) = stage.fails(ABORT)?;
        ensure!(log.contains(&format!("panic: injected panic {place}")), "the log after a panic: {log}");
    }
    // And it works again.
    stage.service("")?;
    ensure_eq!(stage.calls("open where close")?, "open: 0\nwhere: away\nclose: 0\n", "afterwards");
    Ok(())
}

fn broken_map() -> Verdict {
    let stage = Stage::new("scope = \"user\"\nmoed = \"chroot\"", "")?;
    let (told, log) = stage.fails(SESSION_ERROR)?;
    let line =
        "told: Your session cannot be opened. The system log of this host says why; ask its administrator.\n";
    ensure_eq!(told, line.repeat(2), "what the user hears");
    for part in [&*format!("{SERVICE}:session"), "map.toml:6:1", "moed", "did you mean", "mode"] {
        ensure!(log.contains(part), "{part:?} is not in the log: {log}");
    }
    ensure_eq!(stage.calls("silent")?, "silent: 14\n", "PAM_SILENT");
    // A source that is missing: the entry of the map, the call, and the remedy.
    stage
        .world
        .map("scope = \"user\"", "[[profile.mount]]\ntarget = \"/data\"\nsource = \"/nonexistent/data\"\n")?;
    let (_, log) = stage.fails(SESSION_ERROR)?;
    for part in ["map.toml:", "source /nonexistent/data of /data is missing", "optional"] {
        ensure!(log.contains(part), "{part:?} is not in the log: {log}");
    }
    Ok(())
}

fn helpers() -> Verdict {
    let stage = Stage::new("scope = \"user\"", "")?;
    let script = |name: &str, text: &str| -> Result<String, libtest_mimic::Failed> {
        let path = stage.world.file(name, format!("#!/bin/sh\n{text}\n"))?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755))?;
        Ok(path.display().to_string())
    };
    let cases = [
        ("/nonexistent/helper".to_owned(), "cannot start /nonexistent/helper"),
        ("/etc/passwd".to_owned(), "cannot start /etc/passwd"),
        ("/bin/true".to_owned(), "ended without an answer (exit status: 0)"),
        (script("dies", "kill -9 $$")?, "ended without an answer (signal: 9"),
        (script("babbles", "printf 'how do you do' >&0")?, "cut off"),
        (script("closes", "exec 0<&-; exec /bin/sleep 0.05")?, "ended without an answer"),
    ];
    for (helper, why) in cases {
        stage.service(&format!("helper={helper}"))?;
        let (_, log) = stage.fails(SESSION_ERROR)?;
        ensure!(log.contains(why), "{helper}: {why:?} is not in the log: {log}");
    }
    stage.service(&format!("helper={}", script("hangs", "exec /bin/sleep 300")?))?;
    let begin = std::time::Instant::now();
    let (_, log) = stage.fails(SESSION_ERROR)?;
    ensure!(log.contains("no answer within 20 s"), "{log}");
    let took = begin.elapsed();
    ensure!(took < Duration::from_secs(50), "two attempts took {took:?}");
    until("no helper is left", || {
        let left = crate::support::Run::new("pgrep").args(["-f", "sleep 300"]).finish().ok()?;
        left.stdout.is_empty().then_some(())
    })
}

fn mistakes() -> Verdict {
    let stage = Stage::new("scope = \"user\"", "")?;
    for (option, remedy) in [
        ("onerror=deny", "is no option"),
        ("onerr=allow", "write onerr=deny or onerr=host"),
        ("mode=jail", "write mode=namespace or mode=chroot"),
        ("config=mounts.toml", "write an absolute path"),
        ("profile=", "needs a value"),
        ("profile=missing", "missing"),
        ("notfound=host", "write notfound=ignore or notfound=deny"),
    ] {
        stage.service(option)?;
        let (_, log) = stage.fails(SESSION_ERROR)?;
        ensure!(
            log.contains(remedy) && log.contains(option.split('=').next().unwrap_or_default()),
            "{option}: {log}"
        );
    }
    Ok(())
}

fn on_error_host() -> Verdict {
    let stage = Stage::new("scope = \"user\"\nmoed = 1", "")?;
    stage.service("onerr=host")?;
    ensure_eq!(stage.calls("open where close")?, "open: 0\nwhere: home\nclose: 0\n", "onerr=host");
    let log = stage.log();
    ensure!(log.contains("HOST'S VIEW") && log.contains("moed"), "{log}");
    // A panic is no reason to let anybody in.
    stage.service("onerr=host fault=panic-entering")?;
    stage.world.map("scope = \"user\"", "")?;
    stage.fails(ABORT).map(drop)
}

fn untrusted() -> Verdict {
    let stage = Stage::new("scope = \"user\"", "")?;
    let bobs = stage.world.directory("bobs")?;
    std::os::unix::fs::chown(&bobs, Some(stage.bob.uid), None)?;
    for target in ["/etc", "/usr/lib/locale", "/var/run", "/root"] {
        let entry = format!("[[profile.mount]]\ntarget = {target:?}\nsource = {bobs:?}\n");
        if target == "/usr/lib/locale" {
            // Nothing that root resolves is below it.
            continue;
        }
        stage.world.map("scope = \"user\"", &entry)?;
        let (_, log) = stage.fails(SESSION_ERROR)?;
        for part in ["root cannot rely on this view", target, "session-enter", "ForceCommand"] {
            ensure!(log.contains(part), "{target}: {part:?} is not in the log: {log}");
        }
    }
    // bob's own home is bob's.
    let home = format!("[[profile.mount]]\ntarget = \"/home/bob\"\nsource = {bobs:?}\n");
    stage.world.map("scope = \"user\"", &home)?;
    ensure_eq!(stage.calls("open where close")?, "open: 0\nwhere: away\nclose: 0\n", "a home");
    Ok(())
}

fn unsuitable() -> Verdict {
    let stage = Stage::new("scope = \"user\"\nwall = \"landlock\"", "")?;
    let (_, log) = stage.fails(SESSION_ERROR)?;
    ensure!(log.contains("wall = \"landlock\"") && log.contains("pidns"), "{log}");
    stage.world.map("scope = \"user\"", "")?;
    let line = std::fs::read_to_string(format!("/etc/pam.d/{SERVICE}"))?;
    std::fs::write("/etc/pam.d/systemd-user", line)?;
    let out =
        stage.host_of("systemd-user", &stage.bob.name, "calls", ["open", "where"]).finish()?.output()?;
    ensure!(out.contains("open: 14\nwhere: home\n"), "{out}");
    ensure!(stage.log().contains("user manager cannot move into a PID namespace"), "the log");
    stage.world.map("scope = \"user\"\nwall = \"none\"", "")?;
    let out = stage.host_of("systemd-user", &stage.bob.name, "calls", ["open", "where", "close"]).finish()?;
    ensure_eq!(out.output()?, "open: 0\nwhere: away\nclose: 0\n", "without a wall");
    Ok(())
}

fn nobody() -> Verdict {
    let stage = Stage::new("scope = \"user\"", "")?;
    for user in ["nonexistent-user", "-x", "../../etc", "a b", "bob\nroot: all is well"] {
        let (_, log) = stage.fails_as(user, SESSION_ERROR)?;
        ensure!(log.contains("user") && !log.contains("\nroot: all is well"), "{user:?}: {log}");
    }
    Ok(())
}
