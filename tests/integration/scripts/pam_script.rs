//! The two modules of the name pam_script: what they accept, and what they refuse.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use libtest_mimic::{Failed, Trial};

use super::own;
use super::site::{PLACE, Site, TRACE};
use crate::support::{Verdict, ensure, ensure_eq};

pub fn trials() -> Vec<Trial> {
    vec![
        own("pam_script's scripts are accepted and refused as pam_script does it", table),
        own("pam_script's script has its arguments and its variables", contract),
        own("the older pam_script runs what its line names, as whom it says", onsession),
        own("what the older pam_script may miss and may not", onsession_missing),
        own("a line that cannot be read refuses the session", mistakes),
    ]
}

const OPEN: &str = "/run/site/pam/pam_script_ses_open";

/// What a session with this line comes to.
fn code(site: &Site, line: &str) -> Result<Option<i32>, Failed> {
    site.configure(&format!("[compat]\npam_script = \"{line}\""))?;
    let code = site.begins(&[])?.code;
    site.call("removed", &["--user", &site.bob.name, "--wait"]).finish()?.expect_code(0)?;
    site.until_nothing_is_left()?;
    Ok(code)
}

fn mode(path: &str, mode: u32) -> Verdict {
    Ok(std::fs::set_permissions(path, PermissionsExt::from_mode(mode))?)
}

/// The table that was measured on Debian's module, and each row that fails, all of them at once.
fn table() -> Verdict {
    let site = Site::new("")?;
    let dir = "dir=/run/site/pam";
    let lenient = "dir=/run/site/pam onerr=success";
    let good = "#!/bin/sh\necho run >> /run/site/trace\n";
    let mut wrong = Vec::new();
    let mut row = |what: &str, line: &str, accepts: bool, runs: bool| -> Verdict {
        site.clear();
        let found = (code(&site, line)?, site.trace().len());
        let expected = (Some(i32::from(!accepts)), usize::from(runs));
        if found != expected {
            wrong.push(format!("{what}: status and runs are {found:?}, and not {expected:?}"));
        }
        Ok(())
    };
    row("no folder", dir, false, false)?;
    row("no folder, onerr=success", lenient, true, false)?;
    site.folder("/run/site/pam", 0o755)?;
    row("no script", dir, false, false)?;
    row("no script, onerr=success", lenient, true, false)?;
    site.file(OPEN, good, 0o755)?;
    row("normal", dir, true, true)?;
    row("normal, with slashes", "dir=/run/site/pam///", true, true)?;
    for (body, line, accepts) in [
        ("exit 1", dir, false),
        ("exit 1", lenient, false),
        ("kill -KILL $$", dir, false),
        ("kill -KILL $$", lenient, true),
    ] {
        site.script(OPEN, &format!("echo run >> {TRACE}; {body}"))?;
        row(&format!("{body} with {line}"), line, accepts, true)?;
    }
    for (bits, accepts) in [
        (0o754, false),
        (0o745, false),
        (0o655, false),
        (0o775, true),
        (0o757, false),
        (0o777, false),
        (0o711, true),
    ] {
        site.file(OPEN, good, bits)?;
        row(&format!("mode 0{bits:o}"), dir, accepts, accepts)?;
        row(&format!("mode 0{bits:o}, onerr=success"), lenient, true, accepts)?;
    }
    site.file(OPEN, good, 0o755)?;
    for (uid, gid, accepts) in [(site.bob.uid, 0, false), (0, site.bob.gid, false), (0, 0, true)] {
        chown(OPEN, Some(uid), Some(gid))?;
        row(&format!("owner {uid}:{gid}"), dir, accepts, accepts)?;
    }
    for (bits, accepts) in [(0o750, false), (0o775, true), (0o757, false), (0o755, true)] {
        mode("/run/site/pam", bits)?;
        row(&format!("folder 0{bits:o}"), dir, accepts, accepts)?;
    }
    mode("/run/site/pam", 0o755)?;
    for (uid, gid, accepts) in [(site.bob.uid, 0, false), (0, site.bob.gid, false), (0, 0, true)] {
        chown("/run/site/pam", Some(uid), Some(gid))?;
        row(&format!("owner of the folder {uid}:{gid}"), dir, accepts, accepts)?;
    }
    site.file(OPEN, "echo run >> /run/site/trace\n", 0o755)?;
    row("no first line", dir, false, false)?;
    row("no first line, onerr=success", lenient, true, false)?;
    for (length, accepts) in [(145, false), (100, true)] {
        let folder = format!("/run/site/{}", "x".repeat(length - "/run/site/".len()));
        site.folder(&folder, 0o755)?;
        site.file(&format!("{folder}/pam_script_ses_open"), good, 0o755)?;
        row(&format!("a folder of {length} characters"), &format!("dir={folder}"), accepts, accepts)?;
    }
    ensure!(wrong.is_empty(), "rows that differ from pam_script: {wrong:#?}");
    Ok(())
}

fn environment(file: &str) -> Result<BTreeMap<String, String>, Failed> {
    let text = std::fs::read_to_string(format!("{PLACE}/{file}"))?;
    let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
    Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

fn contract() -> Verdict {
    let site = Site::new("[compat]\npam_script = \"dir=/run/site/pam onerr=fail and more\"")?;
    site.folder("/run/site/pam", 0o755)?;
    for name in ["open", "close"] {
        site.script(
            &format!("/run/site/pam/pam_script_ses_{name}"),
            &format!("cat /proc/$$/environ > {PLACE}/{name}; echo \"{name} $*\" >> {TRACE}"),
        )?;
    }
    let (name, _) = site.added(&["--service", "sshd", "--tty", "pts/3", "--xdg-id", "c4"])?;
    site.removed(&name)?;
    let words = "dir=/run/site/pam onerr=fail and more";
    ensure_eq!(site.trace(), [format!("open {words}"), format!("close {words}")], "arguments");
    for file in ["open", "close"] {
        let all = environment(file)?;
        for (name, value) in [
            ("PAM_SERVICE", "sshd"),
            ("PAM_TYPE", "session"),
            ("PAM_USER", site.bob.name.as_str()),
            ("PAM_RUSER", ""),
            ("PAM_RHOST", ""),
            ("PAM_TTY", "pts/3"),
            ("PAM_AUTHTOK", ""),
            ("PAM_OLDAUTHTOK", ""),
            ("XDG_SESSION_ID", "c4"),
        ] {
            ensure_eq!(all.get(name).map(String::as_str), Some(value), "{name} ({file}): {all:?}");
        }
    }
    // A refused session is not told of its end, as PAM has it.
    site.clear();
    site.script(OPEN, "exit 1")?;
    site.begins(&[])?.expect_code(1)?;
    site.until_nothing_is_left()?;
    ensure_eq!(site.trace().len(), 0, "{:?}", site.trace());
    // What fails at the end is reported, and no more.
    site.script(OPEN, "exit 0")?;
    site.script("/run/site/pam/pam_script_ses_close", "exit 1")?;
    let (name, _) = site.added(&[])?;
    site.removed(&name)?;
    ensure_eq!(site.how(&name, "pam_script/run/site/pam/pam_script_ses_close")?, "exit 1", "on record");
    site.until_nothing_is_left()
}

fn onsession() -> Verdict {
    let site = Site::new("")?;
    let (uid, gid) = (site.bob.uid, site.bob.gid);
    std::fs::write(TRACE, "")?;
    std::fs::set_permissions(TRACE, PermissionsExt::from_mode(0o666))?;
    for name in ["a", "b"] {
        let look = "$# $(id -u) $(id -g) $(id -G | tr ' ' '\\n' | sort -n | tr '\\n' ,) $PAM_TYPE $HOME";
        site.script(&format!("{PLACE}/{name}"), &format!("echo \"{name} {look}\" >> {TRACE}"))?;
    }
    let groups: String = site.bob.groups.iter().map(|group| format!("{group},")).collect();
    let home = site.bob.home.display();
    let bobs = format!("{uid} {gid} {groups} session {home}");
    for (words, expected) in [
        ("runas=root", "0 0 0, session /root".to_owned()),
        ("", bobs.clone()),
        (&format!("runas={}", site.bob.name), bobs),
    ] {
        std::fs::write(TRACE, "")?;
        site.configure(&format!("[compat]\nonsession = \"{words} onsessionopen=/run/site/a onsessionclose=/run/site/b seteuidonopen\""))?;
        let (name, _) = site.added(&[])?;
        site.removed(&name)?;
        let found: Vec<String> = site.trace();
        ensure_eq!(found.len(), 2, "scripts with {words:?}: {found:?}");
        for (line, script) in found.iter().zip(["a", "b"]) {
            let expected = expected.replace(
                "0 0 0,",
                &if words == "runas=root" { format!("0 0 {}", root_groups()) } else { "0 0 0,".to_owned() },
            );
            ensure_eq!(*line, format!("{script} 0 {expected}"), "with {words:?}");
        }
    }
    site.configure("[compat]\nonsession = \"runas=nobody-of-that-name onsessionopen=/run/site/a\"")?;
    site.begins(&[])?.expect_code(1)?;
    site.script("/run/site/a", "exit 1")?;
    site.configure(
        "[compat]\nonsession = \"runas=root onsessionopen=/run/site/a onsessionclose=/run/site/b\"",
    )?;
    std::fs::write(TRACE, "")?;
    site.begins(&[])?.expect_code(1)?;
    site.until_nothing_is_left()?;
    ensure_eq!(site.trace().len(), 0, "the end of a session that was refused");
    Ok(())
}

/// Root's groups here: those of this process, which a script of root's keeps.
fn root_groups() -> String {
    let mut groups: Vec<u32> =
        nix::unistd::getgroups().unwrap_or_default().into_iter().map(nix::unistd::Gid::as_raw).collect();
    groups.push(0);
    groups.sort_unstable();
    groups.dedup();
    groups.into_iter().map(|group| format!("{group},")).collect()
}

fn onsession_missing() -> Verdict {
    let site = Site::new("")?;
    let begins = |line: &str, code: i32| -> Verdict {
        site.configure(&format!("[compat]\nonsession = \"{line}\""))?;
        let outcome = site.begins(&[])?;
        ensure_eq!(outcome.code, Some(code), "with {line:?}: {}", outcome.stderr);
        site.call("removed", &["--user", &site.bob.name, "--wait"]).finish()?.expect_code(0)?;
        site.until_nothing_is_left()
    };
    ensure!(!Path::new("/etc/security/onsessionopen").exists(), "this host has the usual script");
    begins("", 0)?;
    begins("runas=root", 0)?;
    begins("runas=root onsessionopen=/run/site/none", 1)?;
    begins("runas=root onsessionclose=/run/site/none", 0)?;
    site.file("/run/site/none", "#!/bin/sh\n", 0o644)?;
    begins("runas=root onsessionopen=/run/site/none", 1)?;
    site.file("/run/site/none", "#!/bin/sh\n", 0o755)?;
    begins("runas=root onsessionopen=/run/site/none", 0)?;
    site.file("/run/site/none", "#!/bin/sh\n", 0o775)?;
    begins("runas=root onsessionopen=/run/site/none", 1)?;
    site.file("/run/site/none", "exit 0\n", 0o755)?;
    begins("runas=root onsessionopen=/run/site/none", 1)
}

fn mistakes() -> Verdict {
    let site = Site::new("")?;
    site.tracers(&["added/10W-a", "added/50-b"])?;
    for (world, line) in [
        ("onsession", "onsessionopen=relative"),
        ("onsession", "runas"),
        ("onsession", "dochroot=2"),
        ("onsession", "dir=/run/site/pam"),
        ("pam_script", "dir=relative"),
        ("pam_script", "onerr=maybe"),
        ("pam_exec", "quiet"),
        ("pam_exec", "quite /run/site/hook"),
        ("pam_exec", "log=relative /run/site/hook"),
    ] {
        site.configure(&format!("[compat]\n{world} = \"{line}\""))?;
        let outcome = site.begins(&[])?;
        // Where it is found when the file is read that is as good.
        ensure!(matches!(outcome.code, Some(1 | 125)), "{world} = {line:?}: {outcome:?}");
        ensure!(!outcome.stderr.is_empty(), "{world} = {line:?} is refused without a word");
        ensure_eq!(site.trace().len(), 0, "scripts that ran with {line:?}");
    }
    site.configure("")?;
    site.sweep()?;
    site.until_nothing_is_left()
}
