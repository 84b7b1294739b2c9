//! What a script sees: a list of variables, and a clean process; nothing of the caller's.

use std::collections::BTreeMap;
use std::os::unix::fs::chown;

use libtest_mimic::{Failed, Trial};

use super::own;
use super::site::{PLACE, Site, TRACE};
use crate::support::{Probe, Run, Verdict, ensure, ensure_eq, own_program};

pub fn trials() -> Vec<Trial> {
    vec![
        own("a script has a list of variables and no other, whatever the caller has", variables),
        own("a script with the user's rights has the user's variables", users_variables),
        own("a variable of which the door does not tell is not there", few_facts),
        own("a script is a clean process: directory, descriptors, signals, mask, limits", process),
        own("a script with the user's rights has these and no more, and can set variables", users_rights),
        own("the file for variables can be written to by its name and by its number", by_number),
        own("no program of bob's is run by a name", no_path),
    ]
}

/// What somebody could come with.
fn hostile(mut run: Run) -> Run {
    for (name, value) in [
        ("LD_PRELOAD", "/home/bob/x.so"),
        ("LD_LIBRARY_PATH", "/home/bob"),
        ("LD_AUDIT", "/home/bob/x.so"),
        ("BASH_ENV", "/home/bob/x"),
        ("ENV", "/home/bob/x"),
        ("BASH_FUNC_echo%%", "() { id >> /run/site/trace; }"),
        ("IFS", "a"),
        ("PS4", "$(id)"),
        ("SHELLOPTS", "xtrace"),
        ("PATH", "/home/bob/bin"),
        ("PYTHONPATH", "/home/bob"),
        ("PERL5LIB", "/home/bob"),
        ("RUBYOPT", "-r/home/bob/x"),
        ("NODE_OPTIONS", "--require /home/bob/x"),
        ("GCONV_PATH", "/home/bob"),
        ("HOSTALIASES", "/home/bob/x"),
        ("TMPDIR", "/home/bob"),
        ("CDPATH", "/home/bob"),
        ("TERM", "x\ny"),
        ("A", "1\nSESSION_USER=root"),
        ("SESSION_USER", "root"),
        ("SESSION_ENV", "/home/bob/x"),
        ("PAM_USER", "root"),
        ("PAM_AUTHTOK", "secret"),
        ("CK_SESSION_USER_UID", "0"),
        ("XDG_RUNTIME_DIR", "/home/bob"),
        ("DISPLAY", "evil:0"),
        ("HOME", "/home/bob"),
        ("USER", "root"),
        ("LANG", "../../home/bob/x"),
        ("LC_ALL", "../../home/bob/x"),
        ("", "x"),
    ] {
        if !name.is_empty() {
            run = run.env(name, value);
        }
    }
    run
}

const FACTS: [&str; 24] = [
    "--service",
    "sshd",
    "--tty",
    "pts/3",
    "--rhost",
    "there.example",
    "--ruser",
    "eve",
    "--display",
    ":0",
    "--xauthority",
    "/run/x",
    "--xdg-id",
    "c4",
    "--type",
    "x11",
    "--class",
    "user",
    "--seat",
    "seat0",
    "--vtnr",
    "7",
    "--runtime-dir",
    "/run/user/1",
];

/// What the script has in its environment, in the moment of its start.
fn environment(file: &str) -> Result<BTreeMap<String, String>, Failed> {
    let bytes = std::fs::read(format!("{PLACE}/{file}"))?;
    let mut all = BTreeMap::new();
    for pair in bytes.split(|byte| *byte == 0).filter(|pair| !pair.is_empty()) {
        let text = String::from_utf8(pair.to_vec())?;
        let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?} has no `=`"))?;
        ensure!(all.insert(name.to_owned(), value.to_owned()).is_none(), "{name} is there twice");
    }
    Ok(all)
}

/// A script that leaves its environment in a file.
fn looker(site: &Site, name: &str, file: &str) -> Verdict {
    site.script(name, &format!("cat /proc/$$/environ > {PLACE}/{file}")).map(drop)
}

/// The list of `src/scripts/environment.rs` for a session with all [`FACTS`].
fn expected(site: &Site, session: &str, event: &str) -> BTreeMap<String, String> {
    let (bob, uid, gid) = (&site.bob, site.bob.uid.to_string(), site.bob.gid.to_string());
    let home = bob.home.to_string_lossy();
    let group = nix::unistd::Group::from_gid(bob.gid.into())
        .ok()
        .flatten()
        .map(|group| group.name)
        .unwrap_or_default();
    let pam_type = if event == "added" { "open_session" } else { "close_session" };
    let pairs = [
        ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
        ("HOME", "/root"),
        ("USER", "root"),
        ("LOGNAME", "root"),
        ("SHELL", "/bin/sh"),
        ("SESSION_ID", session),
        ("SESSION_EVENT", event),
        ("SESSION_SOURCE", "hand"),
        ("SESSION_USER", &bob.name),
        ("SESSION_UID", &uid),
        ("SESSION_GID", &gid),
        ("SESSION_GROUP", &group),
        ("SESSION_HOME", &home),
        ("SESSION_SHELL", "/bin/bash"),
        ("SESSION_FIRST", "true"),
        ("SESSION_SERVICE", "sshd"),
        ("SESSION_TTY", "pts/3"),
        ("SESSION_RHOST", "there.example"),
        ("SESSION_RUSER", "eve"),
        ("SESSION_DISPLAY", ":0"),
        ("DISPLAY", ":0"),
        ("XAUTHORITY", "/run/x"),
        ("XDG_SESSION_ID", "c4"),
        ("XDG_SESSION_TYPE", "x11"),
        ("XDG_SESSION_CLASS", "user"),
        ("XDG_SEAT", "seat0"),
        ("XDG_VTNR", "7"),
        ("XDG_RUNTIME_DIR", "/run/user/1"),
        ("CK_SESSION_ID", session),
        ("CK_SESSION_SEAT_ID", "seat0"),
        ("CK_SESSION_TYPE", "x11"),
        ("CK_SESSION_USER_UID", &uid),
        ("CK_SESSION_X11_DISPLAY", ":0"),
        ("CK_SESSION_X11_DISPLAY_DEVICE", "/dev/tty7"),
        ("CK_SESSION_IS_ACTIVE", "true"),
        ("CK_SESSION_IS_LOCAL", "false"),
        ("CK_SESSION_SERVICE", "sshd"),
        ("CK_SESSION_REMOTE_HOST_NAME", "there.example"),
        ("PAM_TYPE", pam_type),
        ("PAM_SERVICE", "sshd"),
        ("PAM_USER", &bob.name),
        ("PAM_TTY", "pts/3"),
        ("PAM_RHOST", "there.example"),
        ("PAM_RUSER", "eve"),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn with(mut all: BTreeMap<String, String>, more: &[(&str, &str)]) -> BTreeMap<String, String> {
    all.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    all
}

fn variables() -> Verdict {
    let site = Site::new("")?;
    for (name, file) in [
        ("first/10W-a", "first"),
        ("added/10W-a", "waited"),
        ("added/20D-a", "detached"),
        ("added/50-a", "listed"),
        ("removed/10W-a", "removed"),
    ] {
        looker(&site, name, file)?;
    }
    let run = hostile(site.call("added", &["--user", &site.bob.name, "--session", "x"]).args(FACTS));
    let name = run.finish()?.output()?.trim().to_owned();
    site.until_done(&name, session_sandbox::model::scripts::Event::Added)?;
    hostile(site.call("removed", &["--session", "x", "--wait", "--tty", "pts/9"]))
        .finish()?
        .expect_code(0)?;
    for (file, event) in
        [("first", "added"), ("waited", "added"), ("listed", "added"), ("removed", "removed")]
    {
        let talks = matches!(file, "first" | "waited");
        let file_of_variables =
            if talks { format!("/run/session-sandbox/scripts/env-{name}") } else { "/dev/null".to_owned() };
        let expected = with(expected(&site, &name, event), &[("SESSION_ENV", &file_of_variables)]);
        ensure_eq!(environment(file)?, expected, "the environment of the script that is {file}");
    }
    ensure_eq!(site.trace().len(), 0, "something of the caller's has run: {:?}", site.trace());
    site.until_nothing_is_left()
}

fn users_variables() -> Verdict {
    let site = Site::new("[added]\nuser = \"user\"")?;
    site.script("added/10W-a", "cat /proc/$$/environ")?;
    let run = hostile(site.call("added", &["--user", &site.bob.name]).args(FACTS));
    let name = run.finish()?.output()?.trim().to_owned();
    let record = site.record(&name)?;
    let output = record
        .iter()
        .find_map(|line| match line {
            session_sandbox::scripts::journal::Line::End { output, .. } => Some(output.clone()),
            _ => None,
        })
        .ok_or("no end")?;
    // On record a NUL is written out.
    std::fs::write(format!("{PLACE}/user"), output.replace("\\u{0}", "\0"))?;
    let home = site.bob.home.to_string_lossy().into_owned();
    let own = [
        ("HOME", home.as_str()),
        ("USER", &site.bob.name),
        ("LOGNAME", &site.bob.name),
        ("SHELL", "/bin/bash"),
        ("SESSION_ENV", "/dev/fd/3"),
    ];
    ensure_eq!(environment("user")?, with(expected(&site, &name, "added"), &own), "the environment");
    site.removed(&name)
}

fn few_facts() -> Verdict {
    let site = Site::new("")?;
    looker(&site, "added/10W-a", "few")?;
    let run = hostile(site.call("added", &["--user", &site.bob.name]));
    let name = run.finish()?.output()?.trim().to_owned();
    let all = environment("few")?;
    let names: Vec<&str> = all.keys().map(String::as_str).collect();
    let expected = [
        "CK_SESSION_ID",
        "CK_SESSION_IS_ACTIVE",
        "CK_SESSION_IS_LOCAL",
        "CK_SESSION_SEAT_ID",
        "CK_SESSION_TYPE",
        "CK_SESSION_USER_UID",
        "CK_SESSION_X11_DISPLAY",
        "HOME",
        "LOGNAME",
        "PAM_TYPE",
        "PAM_USER",
        "PATH",
        "SESSION_ENV",
        "SESSION_EVENT",
        "SESSION_FIRST",
        "SESSION_GID",
        "SESSION_GROUP",
        "SESSION_HOME",
        "SESSION_ID",
        "SESSION_SHELL",
        "SESSION_SOURCE",
        "SESSION_UID",
        "SESSION_USER",
        "SHELL",
        "USER",
    ];
    ensure_eq!(names, expected, "names");
    ensure_eq!(
        (all["CK_SESSION_IS_LOCAL"].as_str(), all["PAM_USER"].as_str()),
        ("true", site.bob.name.as_str()),
        "values"
    );
    site.removed(&name)
}

/// The probe, where everybody can run it.
fn probe() -> Verdict {
    std::fs::write("/run/site/probe", "")?;
    Run::new("mount")
        .arg("--bind")
        .arg(own_program())
        .arg("/run/site/probe")
        .finish()?
        .expect_code(0)
        .map(drop)
}

fn seen(file: &str) -> Result<Probe, Failed> {
    Ok(Probe(serde_json::from_str(&std::fs::read_to_string(format!("{PLACE}/{file}"))?)?))
}

fn process() -> Verdict {
    let site = Site::new("")?;
    probe()?;
    for (name, file) in [("added/10W-a", "waited"), ("added/50-a", "listed"), ("removed/10W-a", "removed")] {
        let own_words = "cut -d' ' -f 1,5,6 /proc/$$/stat; umask; ulimit -c; grep -E '^(SigBlk|SigIgn|NoNewPrivs)' /proc/self/status";
        site.script(
            name,
            &format!("{{ {own_words}; }} > {PLACE}/{file}.words; exec /run/site/probe > {PLACE}/{file}"),
        )?;
    }
    // Two hundred descriptors, some of them of a file that is nobody's business.
    let open = || {
        for _ in 0..200 {
            // SAFETY: a static string; the descriptor is left open on purpose, for the program to be started.
            unsafe { libc::open(c"/etc/shadow".as_ptr(), libc::O_RDONLY) };
        }
        // SAFETY: a number.
        unsafe { libc::umask(0o777) };
        Ok(())
    };
    let name =
        site.call("added", &["--user", &site.bob.name]).before(open).finish()?.output()?.trim().to_owned();
    site.until_done(&name, session_sandbox::model::scripts::Event::Added)?;
    site.call("removed", &["--name", &name, "--wait"]).before(open).finish()?.expect_code(0)?;
    for file in ["waited", "listed", "removed"] {
        let seen = seen(file)?;
        let descriptors = seen.descriptors();
        let numbers: Vec<&str> = descriptors.iter().map(|(number, _)| *number).collect();
        ensure_eq!(numbers, ["0", "1", "2"], "descriptors ({file}): {descriptors:?}");
        ensure_eq!(descriptors[0].1, "/dev/null", "standard input ({file})");
        ensure!(descriptors[2].1.starts_with("pipe:"), "standard error ({file}): {descriptors:?}");
        ensure_eq!(seen.directory(), "/", "the directory ({file})");
        ensure_eq!(
            (seen.status("Uid"), seen.status("Gid"), seen.status("CapAmb")),
            ("0 0 0 0", "0 0 0 0", "0000000000000000"),
            "rights ({file})"
        );
        let words = std::fs::read_to_string(format!("{PLACE}/{file}.words"))?;
        let lines: Vec<&str> = words.lines().collect();
        let ids: Vec<&str> = lines[0].split(' ').collect();
        ensure!(ids[0] == ids[1] && ids[1] == ids[2], "process, group and session ({file}): {ids:?}");
        ensure_eq!(lines[1..3], ["0022", "0"], "umask and limit of core files ({file})");
        ensure_eq!(
            lines[3..],
            ["SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000", "NoNewPrivs:\t0"],
            "signals ({file})"
        );
    }
    site.until_nothing_is_left()
}

fn users_rights() -> Verdict {
    let site = Site::new("user = \"user\"")?;
    probe()?;
    std::fs::create_dir("/run/site/out")?;
    chown("/run/site/out", Some(site.bob.uid), Some(site.bob.gid))?;
    site.script(
        "added/10W-a",
        "echo X=1 >> $SESSION_ENV; echo Y=2 >> /dev/fd/3; exec /run/site/probe > /run/site/out/waited",
    )?;
    site.script("added/11W-b", "echo \"X=$X\" > /run/site/out/x; cat /etc/shadow; ls /run/session-sandbox; echo secret > /proc/$PPID/mem; kill -0 $PPID")?;
    site.script("added/50-a", "exec /run/site/probe > /run/site/out/listed")?;
    site.script("removed/10W-a", "exec /run/site/probe > /run/site/out/removed")?;
    let (name, printed) = site.added(&["--env"])?;
    ensure_eq!(printed, "X=1\nY=2\n", "what it has set");
    site.until_done(&name, session_sandbox::model::scripts::Event::Added)?;
    site.removed(&name)?;
    let (uid, gid) = (site.bob.uid, site.bob.gid);
    for file in ["waited", "listed", "removed"] {
        let seen = seen(&format!("out/{file}"))?;
        ensure_eq!(seen.status("Uid"), format!("{uid} {uid} {uid} {uid}"), "user ids ({file})");
        ensure_eq!(seen.status("Gid"), format!("{gid} {gid} {gid} {gid}"), "group ids ({file})");
        let mut groups: Vec<u32> =
            seen.status("Groups").split(' ').filter_map(|id| id.parse().ok()).collect();
        groups.sort_unstable();
        ensure_eq!(groups, site.bob.groups, "groups ({file})");
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            ensure_eq!(seen.status(set), "0000000000000000", "{set} ({file})");
        }
        let descriptors = seen.descriptors();
        let numbers: Vec<&str> = descriptors.iter().map(|(number, _)| *number).collect();
        let expected: &[&str] = if file == "waited" { &["0", "1", "2", "3"] } else { &["0", "1", "2"] };
        ensure_eq!(numbers, expected, "descriptors ({file}): {descriptors:?}");
        ensure!(file != "waited" || descriptors[3].1.starts_with("/memfd:"), "descriptor 3: {descriptors:?}");
        ensure_eq!(seen.variable("SESSION_USER"), Some(site.bob.name.as_str()), "a variable ({file})");
    }
    ensure_eq!(std::fs::read_to_string("/run/site/out/x")?.trim_end().len(), 3, "the next script");
    let record = site.record(&name)?;
    let tried = record
        .iter()
        .find_map(|line| match line {
            session_sandbox::scripts::journal::Line::End { name, output, .. } if name == "added/11W-b" => {
                Some(output.clone())
            }
            _ => None,
        })
        .unwrap_or_default();
    ensure_eq!(tried.lines().filter(|line| !line.is_empty()).count(), 4, "what a user may not: {tried}");
    site.until_nothing_is_left()
}

fn by_number() -> Verdict {
    let site = Site::new("user = \"user\"")?;
    site.script(
        "added/10W-a",
        "echo X=1 >> $SESSION_ENV; echo Y=2 >&3; echo Z=3 >> $SESSION_ENV; echo W=4 >&3",
    )?;
    let (name, printed) = site.added(&["--env"])?;
    ensure_eq!(printed, "W=4\nX=1\nY=2\nZ=3\n", "what it has set");
    site.removed(&name)
}

fn no_path() -> Verdict {
    let site = Site::new("launcher = \"at\"")?;
    let bin = "/run/site/bin";
    std::fs::create_dir(bin)?;
    for name in ["sh", "env", "at", "systemd-run", "session-scripts", "cat", "id", "true", "10W-a"] {
        site.script(&format!("{bin}/{name}"), &format!("echo trojan >> {TRACE}"))?;
    }
    site.script("added/10W-a", "id >/dev/null; env true; cat /dev/null")?;
    site.tracers(&["added/20D-a", "added/50-a", "removed/10W-a"])?;
    let outcome = site.call("added", &["--user", &site.bob.name]).env("PATH", bin).directory(bin).finish()?;
    let name = outcome.output()?.trim().to_owned();
    site.until_traced("added/50-a session_added").or(Ok::<_, Failed>(()))?;
    site.call("removed", &["--name", &name, "--wait"])
        .env("PATH", bin)
        .directory(bin)
        .finish()?
        .expect_code(0)?;
    ensure_eq!(site.count("trojan"), 0, "bob's programs");
    Ok(())
}
