//! Scripts that were written for ConsoleKit, GDM, LightDM and XDM, each as it is run there.
//!
//! That a script of ConsoleKit's is asked to end after fifteen seconds is too slow for a test here; the setting is
//! looked at where the tasks are made.

use std::collections::BTreeMap;
use std::path::Path;

use libtest_mimic::{Failed, Trial};

use super::own;
use super::site::{PLACE, Site, TRACE};
use crate::support::{Verdict, ensure, ensure_eq};

pub fn trials() -> Vec<Trial> {
    vec![
        own("ConsoleKit's scripts run from both folders, the administrator's first", consolekit),
        own("ConsoleKit's variables are there as ConsoleKit has them", consolekit_variables),
        own("GDM's scripts run in their order, with GDM's variables, and the first two refuse", gdm),
        own(
            "of GDM's scripts the one for the display comes first, then the host's, then the usual one",
            gdm_choice,
        ),
        own("LightDM's scripts are found in its configuration, and the last word counts", lightdm),
        own("XDM's scripts run, and the first of them refuses", xdm),
        own("display managers' scripts run for the services that are named", services),
        own("other session managers' scripts are looked at as ours are", trust),
    ]
}

/// Makes these folders, with what leads to them.
fn folders(names: &[&str]) -> Verdict {
    names.iter().try_for_each(|name| Ok(std::fs::create_dir_all(Path::new(PLACE).join(name))?))
}

/// A script that leaves its environment in a file and a line in the trace.
fn looker(site: &Site, path: &str, file: &str) -> Verdict {
    let body = format!("cat /proc/$$/environ > {PLACE}/{file}; echo \"{file} $*\" >> {TRACE}");
    site.script(&format!("{PLACE}/{path}"), &body).map(drop)
}

fn environment(file: &str) -> Result<BTreeMap<String, String>, Failed> {
    let text = std::fs::read_to_string(format!("{PLACE}/{file}"))?;
    let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
    Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn consolekit() -> Verdict {
    let site = Site::new("[compat]\nconsolekit = [\"/run/site/etc\", \"/run/site/lib\"]")?;
    folders(&["etc", "lib"])?;
    for (path, tail) in [
        ("etc/b.ck", ""),
        ("etc/a.ck", "; exit 1"),
        ("lib/a.ck", ""),
        ("lib/0.ck", ""),
        ("etc/c.sh", ""),
        ("etc/d", ""),
        ("etc/e.ck~", ""),
    ] {
        site.script(&format!("{PLACE}/{path}"), &format!("echo \"{path} $# $1\" >> {TRACE}{tail}"))?;
    }
    site.file("/run/site/etc/aa.ck", "#!/bin/sh\necho bad\n", 0o644)?;
    let (name, _) = site.added(&[])?;
    let order = ["etc/a.ck", "etc/b.ck", "lib/0.ck", "lib/a.ck"];
    ensure_eq!(site.trace(), order.map(|path| format!("{path} 1 session_added")), "at the beginning");
    ensure_eq!(site.how(&name, "consolekit/run/site/etc/a.ck")?, "exit 1", "on record");
    site.clear();
    site.removed(&name)?;
    ensure_eq!(site.trace(), order.map(|path| format!("{path} 1 session_removed")), "at the end");
    // One of the two is missing, and neither is a reason to say anything.
    std::fs::remove_dir_all("/run/site/lib")?;
    site.clear();
    let outcome = site.begins(&["--session", "x"])?.expect_code(0)?;
    ensure_eq!((site.trace().len(), outcome.stderr.as_str()), (2, ""), "with one folder");
    site.call("removed", &["--session", "x", "--wait"]).finish()?.expect_code(0)?;
    site.until_nothing_is_left()
}

fn consolekit_variables() -> Verdict {
    let site = Site::new("[compat]\nconsolekit = [\"/run/site/etc\"]")?;
    folders(&["etc"])?;
    looker(&site, "etc/a.ck", "ck")?;
    let uid = site.bob.uid.to_string();
    let path = ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let look = |words: &[&str], expected: &[(&str, &str)]| -> Verdict {
        let (name, _) = site.added(words)?;
        let always = [
            path,
            ("CK_SESSION_ID", name.as_str()),
            ("CK_SESSION_SEAT_ID", "seat0"),
            ("CK_SESSION_USER_UID", uid.as_str()),
            ("CK_SESSION_IS_ACTIVE", "true"),
        ];
        let mut all = map(&always);
        all.extend(map(expected));
        ensure_eq!(environment("ck")?, all, "at the beginning, with {words:?}");
        site.removed(&name)?;
        ensure_eq!(environment("ck")?, all, "at the end, with {words:?}");
        Ok(())
    };
    look(
        &["--service", "login", "--tty", "/dev/tty2", "--type", "tty"],
        &[
            ("CK_SESSION_SERVICE", "login"),
            ("CK_SESSION_TYPE", "tty"),
            ("CK_SESSION_DISPLAY_DEVICE", "/dev/tty2"),
            ("CK_SESSION_X11_DISPLAY", ""),
            ("CK_SESSION_IS_LOCAL", "true"),
        ],
    )?;
    look(
        &["--service", "xdm", "--tty", ":0", "--display", ":0", "--type", "x11", "--vtnr", "7"],
        &[
            ("CK_SESSION_SERVICE", "xdm"),
            ("CK_SESSION_TYPE", "x11"),
            ("CK_SESSION_X11_DISPLAY_DEVICE", "/dev/tty7"),
            ("CK_SESSION_X11_DISPLAY", ":0"),
            ("CK_SESSION_IS_LOCAL", "true"),
        ],
    )?;
    look(
        &["--service", "sshd", "--tty", "pts/3", "--rhost", "there.example", "--type", "tty"],
        &[
            ("CK_SESSION_SERVICE", "sshd"),
            ("CK_SESSION_TYPE", "tty"),
            ("CK_SESSION_DISPLAY_DEVICE", "/dev/pts/3"),
            ("CK_SESSION_X11_DISPLAY", ""),
            ("CK_SESSION_REMOTE_HOST_NAME", "there.example"),
            ("CK_SESSION_IS_LOCAL", "false"),
        ],
    )?;
    site.configure("[compat]\nconsolekit = [\"/run/site/etc\"]\nconsolekit_ids = \"path\"")?;
    let (name, _) = site.added(&[])?;
    let all = environment("ck")?;
    ensure_eq!(all["CK_SESSION_ID"], format!("/org/freedesktop/ConsoleKit/{name}"), "the id as a path");
    ensure_eq!(all["CK_SESSION_SEAT_ID"], "/org/freedesktop/ConsoleKit/Seat0", "the seat as a path");
    site.removed(&name)
}

fn gdm() -> Verdict {
    let site = Site::new("[compat]\ngdm = \"/run/site/gdm\"")?;
    folders(&["gdm/PostLogin", "gdm/PreSession", "gdm/PostSession"])?;
    for stage in ["PostLogin", "PreSession", "PostSession"] {
        looker(&site, &format!("gdm/{stage}/Default"), stage)?;
    }
    let home = site.bob.home.to_string_lossy().into_owned();
    let group =
        nix::unistd::Group::from_gid(site.bob.gid.into())?.map(|group| group.name).unwrap_or_default();
    let bob = site.bob.name.as_str();
    let mut expected = map(&[
        ("HOME", &home),
        ("PWD", &home),
        ("SHELL", "/bin/bash"),
        ("LOGNAME", bob),
        ("USER", bob),
        ("USERNAME", bob),
        ("GROUP", &group),
        ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
        ("RUNNING_UNDER_GDM", "true"),
    ]);
    let (name, _) = site.added(&["--tty", "tty2", "--type", "x11"])?;
    ensure_eq!(site.trace(), ["PostLogin ", "PreSession "], "at the beginning");
    ensure_eq!(environment("PostLogin")?, expected, "GDM's variables");
    site.removed(&name)?;
    ensure_eq!(site.trace()[2..], ["PostSession "], "at the end");
    expected.extend(map(&[("DISPLAY", ":1"), ("XAUTHORITY", "/run/x"), ("REMOTE_HOST", "there.example")]));
    let (name, _) = site.added(&["--display", ":1", "--xauthority", "/run/x", "--rhost", "there.example"])?;
    for stage in ["PostLogin", "PreSession"] {
        ensure_eq!(environment(stage)?, expected, "all of GDM's variables ({stage})");
    }
    site.removed(&name)?;
    ensure_eq!(environment("PostSession")?, expected, "all of GDM's variables at the end");
    for (stage, runs) in [("PreSession", vec!["PostLogin ", "bad"]), ("PostLogin", vec!["bad"])] {
        site.clear();
        site.script(&format!("{PLACE}/gdm/{stage}/Default"), &format!("echo bad >> {TRACE}; exit 1"))?;
        let outcome = site.begins(&[])?.expect_code(1)?;
        ensure!(outcome.stderr.contains(&format!("gdm/{stage}/Default: exit 1")), "{}", outcome.stderr);
        site.until_nothing_is_left()?;
        ensure_eq!(site.trace(), runs, "after {stage} has refused");
    }
    site.script("/run/site/gdm/PostSession/Default", "exit 1")?;
    for stage in ["PostLogin", "PreSession"] {
        std::fs::remove_dir_all(format!("{PLACE}/gdm/{stage}"))?;
    }
    let (name, _) = site.added(&[])?;
    site.removed(&name)?;
    ensure_eq!(site.how(&name, "gdm/run/site/gdm/PostSession/Default")?, "exit 1", "on record");
    site.until_nothing_is_left()
}

fn gdm_choice() -> Verdict {
    let site = Site::new("[compat]\ngdm = \"/run/site/gdm\"")?;
    folders(&["gdm/PreSession"])?;
    for name in [":0", "there.example", "Default"] {
        site.script(&format!("{PLACE}/gdm/PreSession/{name}"), &format!("echo '{name}' >> {TRACE}"))?;
    }
    let chosen = |words: &[&str], expected: &str| -> Verdict {
        site.clear();
        let (name, _) = site.added(words)?;
        site.removed(&name)?;
        ensure_eq!(site.trace(), [expected], "with {words:?}");
        Ok(())
    };
    chosen(&["--display", ":0", "--rhost", "there.example"], ":0")?;
    chosen(&["--display", ":1", "--rhost", "there.example"], "there.example")?;
    chosen(&["--display", ":1", "--rhost", "elsewhere.example"], "Default")?;
    chosen(&[], "Default")?;
    // A name that leads elsewhere is nobody's, and one that cannot be run is passed by.
    for odd in ["../../bad", "/run/site/bad", "..", ".", "a/b"] {
        site.script("/run/site/bad", &format!("echo bad >> {TRACE}"))?;
        chosen(&["--rhost", odd], "Default")?;
    }
    site.file("/run/site/gdm/PreSession/:0", "#!/bin/sh\n", 0o644)?;
    chosen(&["--display", ":0"], "Default")
}

fn lightdm() -> Verdict {
    let site = Site::new("[compat]\nlightdm = \"/run/site/lightdm\"")?;
    folders(&["lightdm/lightdm.conf.d"])?;
    looker(&site, "setup", "setup")?;
    looker(&site, "cleanup", "cleanup")?;
    looker(&site, "other", "other")?;
    site.file(
        "/run/site/lightdm/lightdm.conf.d/50-a.conf",
        "[Seat:*]\nsession-setup-script=/run/site/setup one two\nsession-cleanup-script=/run/site/other\n",
        0o644,
    )?;
    site.file(
        "/run/site/lightdm/lightdm.conf.d/10-b.conf",
        "[Seat:*]\nsession-setup-script=/run/site/other\n",
        0o644,
    )?;
    site.file(
        "/run/site/lightdm/lightdm.conf.d/60-c.conf~",
        "[Seat:*]\nsession-setup-script=/run/site/other\n",
        0o644,
    )?;
    let main = "[LightDM]\nsession-setup-script=/run/site/other\n[Seat:*]\n#session-setup-script=/run/site/other\n greeter-setup-script=/run/site/other\nsession-cleanup-script = /run/site/cleanup\n";
    site.file("/run/site/lightdm/lightdm.conf", main, 0o644)?;
    let (name, _) = site.added(&[
        "--display",
        ":0",
        "--seat",
        "seat0",
        "--xauthority",
        "/run/x",
        "--rhost",
        "there.example",
    ])?;
    ensure_eq!(site.trace(), ["setup one two"], "at the beginning");
    let (bob, home) = (site.bob.name.as_str(), site.bob.home.to_string_lossy().into_owned());
    let expected = map(&[
        ("SHELL", "/bin/sh"),
        ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
        ("XDG_SEAT", "seat0"),
        ("USER", bob),
        ("LOGNAME", bob),
        ("HOME", &home),
        ("DISPLAY", ":0"),
        ("XAUTHORITY", "/run/x"),
    ]);
    ensure_eq!(environment("setup")?, expected, "LightDM's variables");
    site.removed(&name)?;
    ensure_eq!(site.trace()[1..], ["cleanup "], "at the end");
    ensure_eq!(environment("cleanup")?, expected, "LightDM's variables at the end");
    site.script("/run/site/setup", "exit 1")?;
    site.begins(&[])?.expect_code(1)?;
    site.until_nothing_is_left()?;
    ensure_eq!(site.trace().len(), 2, "a session that was refused is not told of its end");
    // What is named must be there.
    std::fs::remove_file("/run/site/setup")?;
    site.begins(&[])?.expect_code(1)?;
    site.until_nothing_is_left()
}

fn xdm() -> Verdict {
    let site = Site::new("[compat]\nxdm = \"/run/site/xdm\"")?;
    folders(&["xdm"])?;
    looker(&site, "xdm/Xstartup", "startup")?;
    looker(&site, "xdm/Xreset", "reset")?;
    let (name, _) = site.added(&["--display", ":0", "--tty", "tty7"])?;
    site.removed(&name)?;
    ensure_eq!(site.trace(), ["startup ", "reset "], "what has run");
    let (bob, home) = (site.bob.name.as_str(), site.bob.home.to_string_lossy().into_owned());
    let expected = map(&[
        ("SHELL", "/bin/bash"),
        ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
        ("USER", bob),
        ("LOGNAME", bob),
        ("HOME", &home),
        ("DISPLAY", ":0"),
    ]);
    ensure_eq!(
        (environment("startup")?, environment("reset")?),
        (expected.clone(), expected),
        "XDM's variables"
    );
    site.script("/run/site/xdm/Xstartup", "exit 2")?;
    site.begins(&[])?.expect_code(1)?;
    site.until_nothing_is_left()?;
    std::fs::remove_file("/run/site/xdm/Xstartup")?;
    let (name, _) = site.added(&[])?;
    site.removed(&name)?;
    ensure_eq!(site.trace().iter().filter(|line| *line == "reset ").count(), 2, "ends");
    site.until_nothing_is_left()
}

fn services() -> Verdict {
    let site = Site::new(
        "[compat]\ngdm = \"/run/site/gdm\"\nxdm = \"/run/site/xdm\"\ndisplay_services = [\"gdm-*\", \"xdm\"]",
    )?;
    folders(&["gdm/PostLogin", "xdm"])?;
    site.script("/run/site/gdm/PostLogin/Default", &format!("echo gdm >> {TRACE}"))?;
    site.script("/run/site/xdm/Xstartup", &format!("echo xdm >> {TRACE}"))?;
    for (service, runs) in [("sshd", 0), ("gdm-password", 2), ("xdm", 2), ("gdm", 0), ("", 0)] {
        site.clear();
        let (name, _) = site.added(&["--service", service])?;
        site.removed(&name)?;
        ensure_eq!(site.trace().len(), runs, "with the service {service:?}");
    }
    Ok(())
}

fn trust() -> Verdict {
    let site = Site::new(
        "[compat]\nconsolekit = [\"/run/site/ck\"]\ngdm = \"/run/site/gdm\"\nlightdm = \"/run/site/lightdm\"\nxdm = \"/run/site/xdm\"",
    )?;
    folders(&["ck", "gdm/PostLogin", "lightdm", "xdm"])?;
    let scripts = ["ck/a.ck", "gdm/PostLogin/Default", "xdm/Xstartup", "setup"];
    for script in scripts {
        site.script(&format!("{PLACE}/{script}"), &format!("echo {script} >> {TRACE}"))?;
    }
    site.file("/run/site/lightdm/lightdm.conf", "[Seat:*]\nsession-setup-script=/run/site/setup\n", 0o644)?;
    let (name, _) = site.added(&[])?;
    ensure_eq!(site.trace().len(), 4, "what runs: {:?}", site.trace());
    site.removed(&name)?;
    for (script, refuses) in
        [("ck/a.ck", false), ("xdm/Xstartup", true), ("setup", true), ("gdm/PostLogin/Default", true)]
    {
        site.clear();
        let path = format!("{PLACE}/{script}");
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777))?;
        let outcome = site.begins(&[])?;
        ensure_eq!(site.count(script), 0, "{script} has run with 0777");
        ensure_eq!(
            outcome.code,
            Some(i32::from(refuses)),
            "what {script} with 0777 means: {}",
            outcome.stderr
        );
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        site.call("removed", &["--user", &site.bob.name, "--wait"]).finish()?.expect_code(0)?;
    }
    site.until_nothing_is_left()
}
