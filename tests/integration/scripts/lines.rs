//! A command as pam_exec runs it.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use libtest_mimic::{Failed, Trial};

use super::own;
use super::site::{PLACE, Site, TRACE};
use crate::support::{Outcome, Verdict, ensure, ensure_eq};

pub fn trials() -> Vec<Trial> {
    vec![
        own("pam_exec's command runs at both ends, with pam_exec's variables and its arguments", contract),
        own("pam_exec's words say when it runs, and where its output goes", words),
        own("pam_exec's command refuses the session by its status, and the message says how", refuses),
        own("pam_exec's command must be root's, unless the line says otherwise", untrusted),
        own("pam_exec's command may leave something running that holds its output", daemon),
    ]
}

fn begins(site: &Site, line: &str, words: &[&str]) -> Result<Outcome, Failed> {
    site.configure(&format!("[compat]\npam_exec = \"{line}\""))?;
    let outcome = site.begins(words)?;
    site.call("removed", &["--user", &site.bob.name, "--wait"]).finish()?.expect_code(0)?;
    site.until_nothing_is_left()?;
    Ok(outcome)
}

fn contract() -> Verdict {
    let site = Site::new("")?;
    let look = format!("cat /proc/$$/environ > {PLACE}/$PAM_TYPE; echo \"$PAM_TYPE $*\" >> {TRACE}");
    site.script("/run/site/hook", &look)?;
    let all = ["--service", "sshd", "--tty", "pts/3", "--rhost", "there.example", "--ruser", "eve"];
    begins(&site, "/run/site/hook -x quiet type=no", &all)?.expect_code(0)?;
    ensure_eq!(
        site.trace(),
        ["open_session -x quiet type=no", "close_session -x quiet type=no"],
        "arguments"
    );
    let read = |file: &str| -> Result<BTreeMap<String, String>, Failed> {
        let text = std::fs::read_to_string(format!("{PLACE}/{file}"))?;
        let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
        Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    };
    for file in ["open_session", "close_session"] {
        let pairs = [
            ("PAM_SERVICE", "sshd"),
            ("PAM_USER", site.bob.name.as_str()),
            ("PAM_TTY", "pts/3"),
            ("PAM_RHOST", "there.example"),
            ("PAM_RUSER", "eve"),
            ("PAM_TYPE", file),
        ];
        let expected: BTreeMap<String, String> =
            pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        ensure_eq!(read(file)?, expected, "pam_exec's variables");
    }
    // What is not set is not there.
    begins(&site, "seteuid debug expose_authtok /run/site/hook", &[])?.expect_code(0)?;
    let names: Vec<String> = read("open_session")?.into_keys().collect();
    ensure_eq!(names, ["PAM_TYPE", "PAM_USER"], "names with nothing set");
    Ok(())
}

fn words() -> Verdict {
    let site = Site::new("")?;
    site.script("/run/site/hook", &format!("echo \"$PAM_TYPE\" >> {TRACE}; echo out; echo err >&2"))?;
    for (line, runs) in [
        ("type=open_session /run/site/hook", vec!["open_session"]),
        ("type=close_session /run/site/hook", vec!["close_session"]),
        ("TYPE=open_session QUIET /run/site/hook", vec!["open_session"]),
        ("type=auth /run/site/hook", vec![]),
        ("/run/site/hook", vec!["open_session", "close_session"]),
    ] {
        site.clear();
        let outcome = begins(&site, line, &[])?.expect_code(0)?;
        ensure_eq!(site.trace(), runs, "with {line:?}");
        ensure!(!outcome.stdout.contains("out"), "{line:?} shows what it writes: {}", outcome.stdout);
    }
    let outcome = begins(&site, "stdout /run/site/hook", &[])?.expect_code(0)?;
    ensure!(outcome.stdout.starts_with("out\nerr\n"), "stdout: {}", outcome.stdout);
    for _ in 0..2 {
        let outcome =
            begins(&site, "log=/run/site/log type=open_session /run/site/hook", &[])?.expect_code(0)?;
        ensure!(!outcome.stdout.contains("out"), "log= shows: {}", outcome.stdout);
    }
    let log = std::fs::read_to_string("/run/site/log")?;
    ensure_eq!(
        (log.matches("out\nerr\n").count(), log.matches("*** ").count()),
        (2, 2),
        "the log file: {log}"
    );
    let mode = std::fs::metadata("/run/site/log")?.permissions().mode() & 0o777;
    ensure_eq!(mode, 0o600, "the mode of the log file");
    Ok(())
}

fn refuses() -> Verdict {
    let site = Site::new("")?;
    let outcome = |line: &str, body: &str| -> Result<Outcome, Failed> {
        site.script("/run/site/hook", body)?;
        begins(&site, line, &[])
    };
    let three = outcome("/run/site/hook", "exit 3")?.expect_code(1)?;
    ensure!(three.stderr.contains("/run/site/hook") && three.stderr.contains('3'), "{}", three.stderr);
    outcome("quiet /run/site/hook", "exit 3")?.expect_code(1)?;
    outcome("type=close_session /run/site/hook", "exit 3")?.expect_code(0)?;
    let signal = outcome("/run/site/hook", "kill -KILL $$")?.expect_code(1)?;
    ensure!(signal.stderr.contains("signal 9"), "{}", signal.stderr);
    let mut messages = std::collections::BTreeSet::new();
    for (content, mode, expected) in [
        ("exit 0\n", 0o755, "#!/bin/sh"),
        ("#!/bin/sh\n", 0o644, "not executable"),
        ("#!/nowhere\n", 0o755, "interpreter"),
    ] {
        site.file("/run/site/hook", content, mode)?;
        let outcome = begins(&site, "/run/site/hook", &[])?.expect_code(1)?;
        ensure!(outcome.stderr.contains(expected), "{expected:?} is not in {}", outcome.stderr);
        messages.insert(outcome.stderr);
    }
    let outcome = begins(&site, "/run/site/none", &[])?.expect_code(1)?;
    ensure!(outcome.stderr.contains("/run/site/none"), "{}", outcome.stderr);
    messages.insert(outcome.stderr);
    ensure_eq!(messages.len(), 4, "four mistakes, four messages: {messages:#?}");
    Ok(())
}

fn untrusted() -> Verdict {
    let site = Site::new("")?;
    let path = "/run/site/hook";
    site.file(path, format!("#!/bin/sh\necho run >> {TRACE}\n"), 0o777)?;
    let outcome = begins(&site, path, &[])?.expect_code(1)?;
    ensure!(outcome.stderr.contains("others than root"), "{}", outcome.stderr);
    begins(&site, &format!("untrusted type=open_session {path}"), &[])?.expect_code(0)?;
    ensure_eq!(site.trace(), ["run"], "with `untrusted`");
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755))?;
    std::os::unix::fs::chown(path, Some(site.bob.uid), None)?;
    begins(&site, path, &[])?.expect_code(1)?;
    begins(&site, &format!("untrusted type=open_session {path}"), &[])?.expect_code(0)?;
    ensure_eq!(site.trace().len(), 2, "of bob's, with `untrusted`");
    Ok(())
}

fn daemon() -> Verdict {
    let site = Site::new("")?;
    site.script("/run/site/hook", "echo out; sleep 20 &")?;
    let began = std::time::Instant::now();
    let outcome = begins(&site, "stdout type=open_session /run/site/hook", &[])?.expect_code(0)?;
    super::site::ensure_within(
        std::time::Duration::from_secs(5),
        began,
        "a session with something left running",
    )?;
    ensure!(outcome.stdout.starts_with("out\n"), "{}", outcome.stdout);
    Ok(())
}
