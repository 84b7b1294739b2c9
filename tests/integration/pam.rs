//! The PAM module in a PAM application: what a login gets, and what the application keeps when there is none.

mod abuse;
mod refusals;
mod scripts;
pub mod stage;

use std::path::Path;

use libtest_mimic::Trial;

use crate::support::{
    HostMounts, HostState, Needs, Run, Verdict, ensure, ensure_eq, isolated, trial, until, users,
};
use stage::{SERVICE, Stage};

/// What these tests need.
const NEEDS: &[Needs] =
    &[Needs::Root, Needs::OrdinaryUser, Needs::PamHost, Needs::Tool("pgrep"), Needs::Tool("pkill")];

pub use stage::artifacts;

/// PAM_SESSION_ERR.
const SESSION_ERROR: i32 = 14;
/// PAM_ABORT.
const ABORT: i32 = 26;

fn own(name: &str, test: fn() -> Verdict) -> Trial {
    isolated(format!("pam: {name}"), NEEDS, HostMounts::Shared, test)
}

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        own("a session is in the view until it is closed", opens_and_closes),
        own("every door leads into the same view", same_view),
        own("without a PID namespace, with a pin, and with a scope of its own", other_walls),
        own("the map's variables are the session's", variables),
        own("who has no profile, root, and the exempt group stay in the host's view", stay),
        own("setcred and the others decide nothing", harmless),
        own("root in a view goes back to the host's view, and others stay", leaves),
        own("a login that was killed leaves nothing", killed),
        trial(
            "pam: the module exports its entry points and nothing else",
            &[Needs::PamHost, Needs::Tool("nm")],
            symbols,
        ),
    ];
    trials.extend(refusals::trials());
    trials.extend(abuse::trials());
    trials.extend(scripts::trials());
    trials
}

fn opens_and_closes() -> Verdict {
    for mode in ["namespace", "chroot"] {
        let stage = Stage::new(&format!("scope = \"user\"\nmode = {mode:?}"), "")?;
        let before = HostState::now();
        let look =
            "id -un 2>/dev/null || id -u; cat /tmp/word; echo said > /tmp/word; ls /proc | grep -c '^[0-9]'";
        let text = stage
            .host("calls", "where open where list child child close where list".split(' '))
            .env("CHILD", look)
            .finish()?
            .output()?;
        let lines: Vec<&str> = text.lines().collect();
        ensure_eq!(lines[..3], ["where: home", "open: 0", "where: away"], "{text}");
        let (inside, outside) = (lines[3], lines[lines.len() - 1]);
        ensure!(inside.starts_with("inside:") && !inside.contains(" etc"), "its root has /etc: {text}");
        ensure!(outside == "list: 0" && lines[lines.len() - 2].contains(" etc"), "not back: {text}");
        ensure!(text.contains("\nsaid\n"), "the second process finds not what the first one wrote: {text}");
        ensure!(text.contains(&format!("{}\n", stage.bob.uid)), "not bob: {text}");
        ensure!(text.contains("\nclose: 0\nwhere: home\n"), "{text}");
        stage.until_empty()?;
        until("nothing is on record", || {
            let find = ["/run/session-sandbox", "-mindepth", "2", "!", "-name", "next"];
            Run::new("find").args(find).finish().ok()?.stdout.is_empty().then_some(())
        })?;
        before.assert_returns()?;
    }
    Ok(())
}

fn same_view() -> Verdict {
    let stage = Stage::new("scope = \"user\"", "")?;
    let mut first =
        stage.host("calls", ["open", "child", "wait"]).env("CHILD", "readlink /proc/self/ns/mnt").start()?;
    first.expect("waiting\n")?;
    let number = first.stdout().lines().nth(1).unwrap_or_default().to_owned();
    let by_hand = stage
        .world
        .enter(["--user", &stage.bob.name, "--", "readlink", "/proc/self/ns/mnt"])?
        .finish()?
        .output()?;
    ensure_eq!(by_hand.trim_end(), number, "session-enter and PAM");
    stage.stack("another", &std::fs::read_to_string(format!("/etc/pam.d/{SERVICE}"))?)?;
    let second = stage.host("calls", ["open", "child"]).env("CHILD", "readlink /proc/self/ns/mnt");
    ensure!(second.finish()?.output()?.contains(&number), "a second login is elsewhere");
    let (views, sessions) = stage.living()?;
    ensure_eq!((views.len(), sessions.len()), (1, 1), "what lives");
    ensure_eq!(sessions[0]["service"], SERVICE, "the session on record");
    first.signal(rustix::process::Signal::KILL)?;
    stage.until_empty()
}

fn other_walls() -> Verdict {
    for settings in [
        "scope = \"user\"\nwall = \"none\"",
        "scope = \"user\"\nwall = \"none\"\nlinger = \"1s\"",
        "scope = \"session\"",
    ] {
        let stage = Stage::new(settings, "")?;
        let text = stage
            .host("calls", "open where child close where open close".split(' '))
            .env("CHILD", "echo here")
            .finish()?
            .output()?;
        ensure_eq!(
            text,
            "open: 0\nwhere: away\nhere\nchild: 0\nclose: 0\nwhere: home\nopen: 0\nclose: 0\n",
            "{settings}"
        );
        // A pinned view has nobody who watches its time; the next login, or gc, looks.
        until("gc ends what is over", || {
            let gc = Run::new(env!("CARGO_BIN_EXE_sessionctl")).arg("gc").finish().ok()?;
            (gc.code == Some(0) && stage.living().ok()?.0.is_empty()).then_some(())
        })?;
        stage.until_empty()?;
    }
    Ok(())
}

fn variables() -> Verdict {
    let stage = Stage::new("scope = \"user\"", "[profile.set_env]\nROOM = \"of %u\"\nLANG = \"C.UTF-8\"")?;
    let text = stage.calls("open variables close variables")?;
    let name = &stage.bob.name;
    ensure!(text.contains(&format!("variable: ROOM=of {name}\n")), "{text}");
    ensure!(text.contains("variable: LANG=C.UTF-8\n"), "{text}");
    // HOME and the like are the application's own.
    ensure!(!text.contains("HOME="), "{text}");
    Ok(())
}

fn stay() -> Verdict {
    let stage = Stage::new("scope = \"user\"", "")?;
    let missing = "helper=/nonexistent/helper";
    let text = stage.host_as("root", "calls", ["open", "where", "close"]).finish()?.output()?;
    ensure_eq!(text, "open: 0\nwhere: home\nclose: 0\n", "root");
    // Neither a broken map nor a missing helper keeps root or the exempt out.
    stage.world.file("map.toml", "version = 99")?;
    stage.service(&format!("{missing} breakglass=games nonsense"))?;
    for user in ["root", &stage.bob.name] {
        let text = stage.host_as(user, "calls", ["open", "where", "close"]).finish()?.output()?;
        ensure_eq!(text, "open: 0\nwhere: home\nclose: 0\n", "{user}");
    }
    let log = stage.log();
    ensure!(log.contains("is exempt, others are refused"), "{log}");
    for place in ["before-asking", "before-entering", "entering"] {
        stage.world.map("scope = \"user\"", "")?;
        // Named only where the helper cannot say it.
        stage.service(&format!("breakglass=games fault=panic-{place}"))?;
        let text = stage.calls("open where close")?;
        ensure_eq!(text, "open: 0\nwhere: home\nclose: 0\n", "a panic {place}");
    }
    stage.service("breakglass=games debug")?;
    ensure_eq!(stage.calls("open where close")?, "open: 0\nwhere: home\nclose: 0\n", "exempt");
    stage.world.file(
        "map.toml",
        "version = 1\n[[profile]]\nname = \"others\"\nmatch = { user = [\"nobody\"] }\nscope = \"user\"\n",
    )?;
    stage.service("debug")?;
    ensure_eq!(stage.calls("open where close")?, "open: 0\nwhere: home\nclose: 0\n", "no profile");
    let log = stage.log();
    ensure!(log.contains("stays in the host's view") && log.contains("no profile"), "{log}");
    stage.service("notfound=deny")?;
    let (told, log) = stage.fails(SESSION_ERROR)?;
    ensure!(told.contains("cannot be opened") && log.contains("notfound=deny"), "{told}{log}");
    Ok(())
}

fn harmless() -> Verdict {
    let stage = Stage::new("scope = \"user\"", "")?;
    let module = std::fs::read_to_string(format!("/etc/pam.d/{SERVICE}"))?;
    let line = module.lines().last().unwrap_or_default().trim_start_matches("session");
    let all: String = ["auth", "account", "password"]
        .map(|kind| format!("{kind} required pam_permit.so\n{kind}{line}\n"))
        .concat();
    std::fs::write(format!("/etc/pam.d/{SERVICE}"), format!("{all}session{line}\n"))?;
    ensure_eq!(
        stage.calls("auth account setcred open where setcred close where")?,
        "auth: 0\naccount: 0\nsetcred: 0\nopen: 0\nwhere: away\nsetcred: 0\nclose: 0\nwhere: home\n",
        "calls"
    );
    stage.until_empty()
}

/// What `sudo` and `su` in a session come to.
fn leaves() -> Verdict {
    let own = std::fs::read_link("/proc/self/ns/mnt")?.to_string_lossy().into_owned();
    for wall in ["pidns", "none"] {
        // The application, the module and the helper are found in the view, too.
        let programs = Path::new(stage::SESSION_DOOR).parent().unwrap_or_else(|| Path::new("/"));
        let settings = format!("scope = \"user\"\nwall = {wall:?}");
        let stage = Stage::new(&settings, "")?;
        let binds: String = [Path::new("/etc"), Path::new(stage::TARGET), programs, &stage.world.path("")]
            .map(|path| format!("[[profile.mount]]\ntarget = {path:?}\noptions = [\"suid\"]\n"))
            .concat()
            + "[[profile.mount]]\ntarget = \"/dev/log\"\n";
        stage.world.map(&settings, &binds)?;
        stage.service("debug")?;
        let mut first = stage.host("calls", ["open", "wait"]).start()?;
        first.expect("waiting\n")?;
        let inside = |user: &str, words: &str| {
            Run::new(stage::SESSIONCTL)
                .arg("enter")
                .args(["--config".as_ref(), stage.world.path("map.toml").as_os_str()])
                .args(["--user", &stage.bob.name, "--as-root", "--"])
                .args(["env", "CHILD=readlink /proc/self/ns/mnt"])
                .arg(stage::host_program())
                .args(["calls", SERVICE, user])
                .args(words.split(' '))
                .finish()?
                .output()
        };
        ensure_eq!(
            inside(&stage.bob.name, "open where close where")?,
            "open: 0\nwhere: home\nclose: 0\nwhere: home\n",
            "bob in bob's ({wall}): {}",
            stage.log()
        );
        let out = inside("root", "open where child")?;
        ensure_eq!(out, format!("open: 0\nwhere: away\n{own}\nchild: 0\n"), "root in bob's ({wall})");
        let mallory = users::mallory()?.name;
        let across = inside(&mallory, "open where close where")?;
        if wall == "none" {
            ensure_eq!(across, "open: 0\nwhere: away\nclose: 0\nwhere: home\n", "mallory in bob's");
        } else {
            ensure!(
                across.contains("open: 14\nwhere: home\n"),
                "mallory in bob's, behind the wall: {across}"
            );
            ensure!(stage.log().contains("no process leave its PID namespace"), "{}", stage.log());
        }
        first.signal(rustix::process::Signal::KILL)?;
        stage.until_empty()?;
    }
    Ok(())
}

fn killed() -> Verdict {
    for settings in ["scope = \"user\"", "scope = \"session\""] {
        let stage = Stage::new(settings, "")?;
        let before = HostState::now();
        for _ in 0..20 {
            let mut login = stage.host("calls", ["open", "wait"]).start()?;
            login.expect("waiting\n")?;
            login.signal(rustix::process::Signal::KILL)?;
        }
        stage.until_empty()?;
        before.assert_returns()?;
    }
    Ok(())
}

fn symbols() -> Verdict {
    let module = stage::module();
    let names = |option: &str| -> Result<Vec<String>, libtest_mimic::Failed> {
        let text = Run::new("nm").args(["-D", option]).arg(&module).finish()?.output()?;
        let name = |line: &str| line.rsplit(' ').next().unwrap_or_default().to_owned();
        Ok(text.lines().map(name).collect())
    };
    let mut exported = names("--defined-only")?;
    exported.sort();
    let entry_points = ["acct_mgmt", "authenticate", "chauthtok", "close_session", "open_session", "setcred"];
    ensure_eq!(exported, entry_points.map(|name| format!("pam_sm_{name}")), "exported");
    for name in names("--undefined-only")? {
        let name = name.split('@').next().unwrap_or_default();
        ensure!(
            !["setenv", "putenv", "unsetenv", "pthread_create", "sigaction"].contains(&name),
            "the module can call {name}"
        );
    }
    Ok(())
}
