//! Scripts that hang, fork, write without end, or are none: each is dealt with, and the message says which it was.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use session_sandbox::scripts::journal::Line;

use super::own;
use super::site::{Log, PLACE, Site, TRACE, ensure_within, is_running};
use crate::support::{Run, Verdict, ensure, ensure_eq, until};

pub fn trials() -> Vec<Trial> {
    vec![
        own("a script that hangs is asked to end", hangs),
        own("a script that does not listen is killed with everything that it has started", stubborn),
        own("what a script has left running holds up nobody, even with the script's output in hand", daemon),
        own("a script that stops itself, or closes its output, is not waited for longer", odd_waits),
        own("a script that writes ten gigabytes costs no memory, and its start is on record", chatty),
        own("what a script writes is printable on record and in the log", unprintable),
        own("each way in which a script cannot be run has words of its own", messages),
        own("a script that is a program, or names its interpreter with an argument, runs", programs),
        own("a script in the background has its own limit", background_limit),
    ]
}

fn hangs() -> Verdict {
    let site = Site::new("timeout = \"1s\"\ngrace = \"5s\"")?;
    site.script(
        "added/10W-a",
        &format!("trap 'echo asked >> {TRACE}; exit 0' TERM; while :; do sleep 0.05; done"),
    )?;
    site.script("added/11W-b", "exec sleep 600")?;
    site.tracers(&["added/12W-c"])?;
    let began = Instant::now();
    let (name, _) = site.added(&[])?;
    ensure_within(Duration::from_secs(6), began, "two scripts that listen")?;
    ensure!(began.elapsed() >= Duration::from_secs(2), "they had no second each: {:?}", began.elapsed());
    ensure_eq!(site.trace(), ["asked", "added/12W-c session_added"], "what has run");
    for script in ["added/10W-a", "added/11W-b"] {
        ensure_eq!(
            site.how(&name, script)?,
            "timed out, and ended when it was asked to",
            "{script} on record"
        );
    }
    site.removed(&name)
}

fn stubborn() -> Verdict {
    let site = Site::new("timeout = \"1s\"\ngrace = \"1s\"")?;
    let child = "trap '' TERM HUP INT; while :; do sleep 0.05; done";
    site.script(
        "added/10W-a",
        &format!(
            "trap '' TERM; (echo $$; {child}) & echo $! > {PLACE}/child; echo $$ > {PLACE}/pid; {child}"
        ),
    )?;
    // Its leader listens, and a child of its does not.
    site.script("added/11W-b", &format!("({child}) & echo $! > {PLACE}/other; wait"))?;
    let began = Instant::now();
    let (name, _) = site.added(&[])?;
    ensure_within(Duration::from_secs(7), began, "two scripts that have to be killed")?;
    for file in ["child", "pid", "other"] {
        let pid = std::fs::read_to_string(format!("{PLACE}/{file}"))?;
        until(&format!("{file} has ended"), || (!is_running(pid.trim())).then_some(()))?;
    }
    ensure_eq!(site.how(&name, "added/10W-a")?, "timed out, and was killed", "on record");
    site.removed(&name)
}

fn daemon() -> Verdict {
    let site = Site::new("")?;
    site.script("added/10W-a", &format!("echo said; (setsid sh -c 'echo $$ > {PLACE}/pid; exec sleep 600' &); until [ -s {PLACE}/pid ]; do sleep 0.01; done; exit 4"))?;
    let began = Instant::now();
    let (name, _) = site.added(&[])?;
    ensure_within(Duration::from_secs(5), began, "a script with a daemon")?;
    let pid = std::fs::read_to_string(format!("{PLACE}/pid"))?;
    ensure!(is_running(pid.trim()), "the daemon was ended with its script");
    ensure_eq!(site.how(&name, "added/10W-a")?, "exit 4", "on record");
    let record = site.record(&name)?;
    let said = |line: &Line| matches!(line, Line::End { output, .. } if output == "said\n");
    ensure!(record.iter().any(said), "what it wrote is not on record: {record:?}");
    site.removed(&name)?;
    ensure!(is_running(pid.trim()), "the daemon was ended with the session");
    Run::new("kill").args(["-KILL", pid.trim()]).finish()?;
    site.until_nothing_is_left()
}

fn odd_waits() -> Verdict {
    let site = Site::new("timeout = \"1s\"\ngrace = \"1s\"")?;
    site.script("added/10W-a", "kill -STOP $$")?;
    site.script("added/11W-b", "exec >&- 2>&- <&-; exit 5")?;
    site.script("added/12W-c", "exec >&- 2>&-; sleep 600")?;
    site.script("added/13W-d", "kill -PIPE $$")?;
    let began = Instant::now();
    let (name, _) = site.added(&[])?;
    ensure_within(Duration::from_secs(8), began, "a stopped script and a silent one")?;
    ensure!(site.how(&name, "added/10W-a")?.starts_with("timed out"), "{}", site.how(&name, "added/10W-a")?);
    ensure_eq!(site.how(&name, "added/11W-b")?, "exit 5", "without output");
    ensure!(site.how(&name, "added/12W-c")?.starts_with("timed out"), "{}", site.how(&name, "added/12W-c")?);
    ensure_eq!(site.how(&name, "added/13W-d")?, "signal 13", "by a signal that we may ignore");
    site.removed(&name)
}

fn chatty() -> Verdict {
    let site = Site::new("timeout = \"2s\"\ngrace = \"1s\"")?;
    site.script("added/10W-a", "yes | head -c 10G")?;
    site.script("added/11W-b", "head -c 1M /dev/zero | tr '\\0' x")?;
    let mut run = site.call("added", &["--user", &site.bob.name]).start()?;
    let status = format!("/proc/{}/status", run.pid().as_raw_nonzero());
    let mut peak = 0;
    let peak_now = || -> Option<u64> {
        let text = std::fs::read_to_string(&status).ok()?;
        text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?.parse().ok()
    };
    let began = Instant::now();
    while let Some(now) = peak_now().filter(|_| began.elapsed() < Duration::from_secs(30)) {
        peak = peak.max(now);
        std::thread::sleep(Duration::from_millis(5));
    }
    run.close_input();
    let name = run.finish()?.output()?.trim().to_owned();
    ensure!(peak > 500, "the memory was not seen: {peak} kB");
    ensure!(peak < 20_000, "the program had {peak} kB of memory");
    ensure_within(Duration::from_secs(8), began, "a script that does not stop writing")?;
    let mut kept = Vec::new();
    for line in site.record(&name)? {
        if let Line::End { output, dropped, how, .. } = line {
            kept.push((output.len(), dropped, how));
        }
    }
    ensure_eq!(kept.len(), 2, "ends");
    ensure!(kept[0].0 == 4096 && kept[0].1 > 10_000_000, "what is kept of it: {kept:?}");
    ensure!(kept[0].2.starts_with("timed out"), "how it ended: {kept:?}");
    ensure_eq!((kept[1].0, kept[1].1), (4096, (1 << 20) - 4096), "bytes of one megabyte: {kept:?}");
    site.removed(&name)
}

fn unprintable() -> Verdict {
    let log = Log::listen()?;
    let site = Site::new("")?;
    site.script("added/10W-a", "printf 'one\\033[2J\\302\\233two\\r\\nthree\\a\\377\\342\\200\\256four\\t\\n<3>session-scripts[1]: forged\\n'; exit 3")?;
    let (name, _) = site.added(&["--tty", "pts/3"])?;
    let record = site.record(&name)?;
    let output = record
        .iter()
        .find_map(|line| match line {
            Line::End { output, .. } => Some(output.clone()),
            _ => None,
        })
        .ok_or("no end")?;
    ensure_eq!(output.lines().count(), 3, "lines: {output:?}");
    ensure!(
        output.chars().all(|c| c == '\n' || !c.is_control()) && !output.contains('\u{202e}'),
        "{output:?}"
    );
    ensure!(output.contains("\\u{1b}[2J") && output.contains("four"), "{output:?}");
    let lines = log.until_says("added/10W-a: exit 3")?;
    for line in &lines {
        let text = String::from_utf8(line.clone())?;
        ensure!(!text.chars().any(|c| c.is_control() || c == '\u{202e}'), "a line of the log: {text:?}");
    }
    // What it wrote is within the one line.
    let forged = lines.iter().filter(|line| line.windows(6).any(|part| part == b"forged")).count();
    ensure_eq!(forged, 1, "lines with what it wrote");
    ensure!(
        !lines.iter().any(|line| line.starts_with(b"<3>session-scripts[1]")),
        "a line of the log was forged"
    );
    site.removed(&name)
}

fn messages() -> Verdict {
    let site = Site::new("")?;
    site.file("added/10W-no-first-line", "echo x\n", 0o755)?;
    site.file("added/11W-no-interpreter", "#!/nowhere/sh\n", 0o755)?;
    site.file("added/12W-not-executable", "#!/bin/sh\n", 0o644)?;
    std::fs::create_dir(site.at("added/13W-directory"))?;
    symlink("/nowhere/at/all", site.at("added/14W-dangling"))?;
    Run::new("mkfifo").args(["-m", "755"]).arg(site.at("added/15W-fifo")).finish()?.expect_code(0)?;
    symlink("16W-loop", site.at("added/16W-loop"))?;
    site.file("added/17W-interpreter-of-nobody", "#!/etc/passwd\n", 0o755)?;
    site.file("added/18W-empty", "", 0o755)?;
    site.file("added/19W-carriage-return", "#!/bin/sh\r\necho x\r\n", 0o755)?;
    let (name, _) = site.added(&[])?;
    let mut words = std::collections::BTreeSet::new();
    for (script, expected) in [
        ("10W-no-first-line", "no first line such as #!/bin/sh"),
        ("11W-no-interpreter", "interpreter"),
        ("12W-not-executable", "is not executable: chmod +x"),
        ("13W-directory", "is not a regular file"),
        ("14W-dangling", "/nowhere"),
        ("15W-fifo", "is not a regular file"),
        ("16W-loop", "symbolic links"),
        ("17W-interpreter-of-nobody", "not executable"),
        ("18W-empty", "no first line such as #!/bin/sh"),
        ("19W-carriage-return", "interpreter"),
    ] {
        let how = site.how(&name, &format!("added/{script}"))?;
        ensure!(
            how.starts_with("not run: ") && how.contains(expected),
            "{script}: {how:?}, and not {expected:?}"
        );
        ensure!(
            script.starts_with("16W") || how.contains(script) || how.contains("/nowhere"),
            "{script} is not named: {how}"
        );
        words.insert(how.replace(script, "X"));
    }
    ensure!(words.len() >= 7, "not each has words of its own: {words:#?}");
    site.removed(&name)
}

fn programs() -> Verdict {
    let site = Site::new("")?;
    symlink("/bin/true", site.at("added/10W-program"))?;
    std::fs::copy("/bin/false", site.at("added/11W-copy"))?;
    std::fs::set_permissions(site.at("added/11W-copy"), PermissionsExt::from_mode(0o755))?;
    site.file("added/12W-argument", format!("#!/usr/bin/env -S sh -u\necho \"$0 $1\" >> {TRACE}\n"), 0o755)?;
    // Root's, and root alone may run it: that is enough.
    site.file("added/13W-private", format!("#!/bin/sh\necho \"$0 $1\" >> {TRACE}\n"), 0o700)?;
    let (name, _) = site.added(&[])?;
    let expected =
        ["12W-argument", "13W-private"].map(|name| format!("{PLACE}/session.d/added/{name} session_added"));
    ensure_eq!(site.trace(), expected, "what has run");
    ensure_eq!(site.how(&name, "added/10W-program")?, "exit 0", "a link to a program");
    ensure_eq!(site.how(&name, "added/11W-copy")?, "exit 1", "a program");
    site.removed(&name)
}

fn background_limit() -> Verdict {
    let site = Site::new(
        "background_timeout = \"1s\"\ngrace = \"1s\"\ntimeout = \"30s\"\n[[script]]\nname = \"60-*\"\ntimeout = \"3s\"",
    )?;
    site.script("added/20D-a", "exec sleep 600")?;
    site.script("added/50-b", "trap '' TERM; while :; do sleep 0.05; done")?;
    site.script("added/60-c", "sleep 1.5")?;
    let (name, _) = site.added(&[])?;
    site.until_done(&name, session_sandbox::model::scripts::Event::Added)?;
    ensure_eq!(site.how(&name, "added/20D-a")?, "timed out, and ended when it was asked to", "detached");
    ensure_eq!(site.how(&name, "added/50-b")?, "timed out, and was killed", "listed");
    ensure_eq!(site.how(&name, "added/60-c")?, "exit 0", "listed, with a limit of its own");
    site.removed(&name)
}
