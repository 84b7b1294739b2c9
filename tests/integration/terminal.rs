//! A session on a terminal, and the signals that reach a session from outside.

use libtest_mimic::Trial;
use rustix::process::Signal;

use crate::enter::MODES;
use crate::realwork::Desk;
use crate::support::pty::Terminal;
use crate::support::{HostMounts, HostState, Needs, Verdict, ensure, ensure_eq, isolated, trial, until};

const AS_BOB: &[Needs] = &[Needs::Root, Needs::OrdinaryUser];

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for mode in MODES {
        trials.extend([
            trial(format!("an interactive shell has job control ({mode})"), AS_BOB, move || {
                job_control(mode)
            }),
            trial(
                format!("keys stop, continue and end a program that is no shell ({mode})"),
                AS_BOB,
                move || keys(mode),
            ),
            trial(
                format!("the terminal is known by its name inside, and others are not ({mode})"),
                AS_BOB,
                move || name(mode),
            ),
            trial(format!("a window that changes its size is noticed ({mode})"), AS_BOB, move || {
                window(mode)
            }),
            isolated(
                format!("hanging up ends the session ({mode})"),
                AS_BOB,
                HostMounts::Shared,
                move || hang_up(mode),
            ),
            trial(format!("signals reach the program ({mode})"), AS_BOB, move || signals(mode)),
            isolated(
                format!("what a program leaves running ends with the session ({mode})"),
                AS_BOB,
                HostMounts::Shared,
                move || left_running(mode),
            ),
            isolated(
                format!("killing session-enter ends everything inside ({mode})"),
                AS_BOB,
                HostMounts::Shared,
                move || killed(mode),
            ),
            isolated(
                format!("a program that is stopped can be continued ({mode})"),
                AS_BOB,
                HostMounts::Shared,
                move || stopped(mode),
            ),
        ]);
    }
    trials
}

fn job_control(mode: &str) -> Verdict {
    let desk = Desk::new()?;
    let shell = desk.enter(mode, &["bash", "--norc", "--noprofile", "-i"])?.env("TERM", "dumb");
    let mut terminal = Terminal::start(shell, &desk.user)?;
    terminal.type_keys("PS1='ready'\\>; echo no-\"\"problem\n")?;
    terminal.expect("no-problem")?;
    terminal.expect("ready>")?;
    terminal.type_keys("echo beg''un; sleep 1000\n")?;
    terminal.expect("begun")?;
    // The shell gives the terminal away before the program runs; a key typed earlier would reach the shell.
    foreground_changes(&terminal)?;
    terminal.type_keys("\x1a")?;
    terminal.expect("Stopped")?;
    terminal.expect("ready>")?;
    terminal.type_keys("jobs\n")?;
    terminal.expect("Stopped")?;
    terminal.expect("sleep 1000")?;
    terminal.expect("ready>")?;
    terminal.type_keys("fg\n")?;
    terminal.expect("sleep 1000")?;
    foreground_changes(&terminal)?;
    terminal.type_keys("\x03")?;
    terminal.expect("ready>")?;
    terminal.type_keys("echo status $?\n")?;
    terminal.expect("status 130")?;
    terminal.type_keys("sleep 1000 & kill %1; wait %1; echo status $?\n")?;
    terminal.expect("status 143")?;
    terminal.type_keys("exit 9\n")?;
    ensure_eq!(terminal.end()?.code(), Some(9), "exit status");
    Ok(())
}

/// Waits until somebody else than before has the keyboard: a program named `sleep`.
fn foreground_changes(terminal: &Terminal) -> Verdict {
    until("the program is in the foreground", || {
        let group = terminal.foreground()?;
        let name = std::fs::read(format!("/proc/{group}/comm")).ok()?;
        (name == b"sleep\n").then_some(())
    })
}

/// Do the supervisor of a session and its children (the program; init or, where it built the view, the keeper) wait for
/// something, with no signal to be noticed?
fn at_rest(supervisor: i32) -> Option<()> {
    let children = std::fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children")).ok()?;
    let own = supervisor.to_string();
    for id in children.split_ascii_whitespace().chain([own.as_str()]) {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        if !status.contains("\nState:\tS") || !status.contains("\nShdPnd:\t0000000000000000\n") {
            return None;
        }
    }
    Some(())
}

fn keys(mode: &str) -> Verdict {
    let desk = Desk::new()?;
    // As a person does it: from a shell outside, which is the one that has jobs.
    let shell = crate::support::Run::new("bash")
        .args(["--norc", "--noprofile", "-i"])
        .env("TERM", "dumb")
        .env("PS1", "ready>");
    let mut terminal = Terminal::start(shell, &desk.user)?;
    terminal.expect("ready>")?;
    let enter =
        format!("{} --mode {mode} --user {} -- ", crate::support::world::SESSION_ENTER, desk.user.name);
    // Bash, because a shell that starts its programs by vfork cannot be stopped as a whole at every moment.
    let inside = "bash -c 'trap \"echo inter\"\"rupted; exit 3\" INT; trap \"echo cont\"\"inued\" CONT; \
                  echo beg\"\"un; while :; do sleep 0.1; done'";
    terminal.type_keys(&format!("{enter}{inside}\n"))?;
    terminal.expect("begun")?;
    for _ in 0..5 {
        terminal.type_keys("\x1a")?;
        terminal.expect("Stopped")?;
        terminal.expect("ready>")?;
        terminal.type_keys("fg\n")?;
        terminal.expect("continued")?;
        // No person types the next key before every process has noticed.
        until("the session is at rest again", || at_rest(terminal.foreground()?))?;
    }
    terminal.type_keys("\x03")?;
    terminal.expect("interrupted")?;
    terminal.expect("ready>")?;
    terminal.type_keys("echo status $?\n")?;
    terminal.expect("status 3")?;

    terminal.type_keys(&format!("{enter} sh -c 'echo beg\"\"un; exec sleep 1000'\n"))?;
    terminal.expect("begun")?;
    terminal.type_keys("\x03")?;
    terminal.expect("ready>")?;
    terminal.type_keys("echo status $?\n")?;
    terminal.expect("status 130")?;
    terminal.type_keys(&format!("{enter} sh -c 'echo beg\"\"un; exec sleep 1000'\n"))?;
    terminal.expect("begun")?;
    terminal.type_keys("\x1c")?;
    terminal.expect("ready>")?;
    terminal.type_keys("echo status $?; jobs; exit 0\n")?;
    terminal.expect("status 131")?;
    ensure_eq!(terminal.end()?.code(), Some(0), "the outer shell");
    Ok(())
}

fn name(mode: &str) -> Verdict {
    let desk = Desk::new()?;
    let script = "tty; echo through the name > $(tty); ls /dev/pts | tr '\\n' ' '; test -c /dev/console && echo console; \
                  python3 -c 'import os, pty; print(os.ttyname(pty.openpty()[1]))' 2>&1; echo end";
    let mut terminal = Terminal::start(desk.enter(mode, &["sh", "-c", script])?, &desk.user)?;
    let name = terminal.name.clone();
    let seen = terminal.expect("end")?;
    terminal.end()?;
    let lines: Vec<&str> = seen.lines().map(str::trim_end).collect();
    // The number of this terminal may be that of another one of the session's own devpts, so it goes by console.
    ensure!(
        lines.first() == Some(&name.as_str()) || lines.first() == Some(&"/dev/console"),
        "tty says {:?}, outside it is {name}",
        lines.first()
    );
    ensure_eq!(lines.get(1), Some(&"through the name"), "what was written to it: {lines:?}");
    ensure!(
        lines.iter().skip(2).any(|line| line.starts_with("/dev/pts/")),
        "a new terminal has no name: {lines:?}"
    );
    Ok(())
}

fn window(mode: &str) -> Verdict {
    let desk = Desk::new()?;
    let script = "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.05; done";
    let mut terminal = Terminal::start(desk.enter(mode, &["bash", "-c", script])?, &desk.user)?;
    terminal.expect("ready")?;
    terminal.resize(33, 77)?;
    terminal.expect("33 77")?;
    ensure_eq!(terminal.end()?.code(), Some(0), "exit status");
    Ok(())
}

fn hang_up(mode: &str) -> Verdict {
    let desk = Desk::new()?;
    let before = HostState::now();
    for command in ["exec sleep 1000", "sleep 1000", "trap '' HUP; echo x; sleep 1000 & cat"] {
        let script = format!("echo ready; {command}");
        let mut terminal = Terminal::start(desk.enter(mode, &["bash", "-c", &script])?, &desk.user)?;
        terminal.expect("ready")?;
        let status = terminal.hang_up()?;
        ensure!(!status.success() || command.starts_with("trap"), "{command}: {status}");
        before.assert_returns()?;
    }
    Ok(())
}

fn signals(mode: &str) -> Verdict {
    let desk = Desk::new()?;
    for (signal, name) in [
        (Signal::TERM, "TERM"),
        (Signal::HUP, "HUP"),
        (Signal::INT, "INT"),
        (Signal::QUIT, "QUIT"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
        (Signal::ALARM, "ALRM"),
        (Signal::WINCH, "WINCH"),
    ] {
        let script = format!("trap 'echo got; exit 44' {name}; echo ready; while :; do sleep 0.02; done");
        let mut session = desk.enter(mode, &["bash", "-c", &script])?.start()?;
        session.expect("ready\n")?;
        session.signal(signal)?;
        let outcome = session.finish()?;
        ensure_eq!((outcome.code, outcome.stdout.as_str()), (Some(44), "ready\ngot\n"), "after SIG{name}");
    }
    // One that ends the program is told of by the exit status.
    let mut session = desk.enter(mode, &["sh", "-c", "echo ready; exec sleep 1000"])?.start()?;
    session.expect("ready\n")?;
    session.signal(Signal::TERM)?;
    ensure_eq!(session.finish()?.code, Some(143), "exit status after SIGTERM");
    Ok(())
}

fn left_running(mode: &str) -> Verdict {
    let desk = Desk::new()?;
    let before = HostState::now();
    // With and without the session's output, in a session of its own, ignoring what is polite.
    let script = "trap '' HUP TERM; setsid sh -c 'trap \"\" HUP TERM; while :; do sleep 1; done' & (sleep 1000 &) ; sleep 1000 > /dev/null 2>&1 & echo end";
    let outcome = desk.enter(mode, &["bash", "-c", script])?.finish()?.expect_code(0)?;
    ensure_eq!(outcome.stdout, "end\n", "standard output");
    no_process_is_left("sleep")?;
    before.assert_returns()
}

fn no_process_is_left(name: &str) -> Verdict {
    until(&format!("no process {name} is left"), || {
        let named = |id: String| {
            std::fs::read(format!("/proc/{id}/comm")).is_ok_and(|comm| comm == format!("{name}\n").as_bytes())
        };
        (!crate::support::host::process_ids().any(named)).then_some(())
    })
}

fn killed(mode: &str) -> Verdict {
    let desk = Desk::new()?;
    let before = HostState::now();
    let script = "setsid sleep 1000 & (setsid sleep 1000 > /dev/null 2>&1 &); echo ready; while :; do sleep 1000; done";
    let mut session = desk.enter(mode, &["bash", "-c", script])?.start()?;
    session.expect("ready\n")?;
    session.signal(Signal::KILL)?;
    ensure_eq!(session.finish()?.signal, Some(9), "the signal that ended session-enter");
    no_process_is_left("sleep")?;
    before.assert_returns()
}

fn stopped(mode: &str) -> Verdict {
    let desk = Desk::new()?;
    let before = HostState::now();
    let mut session =
        desk.enter(mode, &["sh", "-c", "echo ready; kill -STOP $$; echo again; exit 6"])?.start()?;
    session.expect("ready\n")?;
    // Whoever waits for session-enter sees it stop, as it would see the program.
    let stat = format!("/proc/{}/stat", session.pid().as_raw_nonzero());
    until("session-enter is stopped, too", || {
        let text = std::fs::read_to_string(&stat).ok()?;
        text.rsplit(") ").next()?.starts_with('T').then_some(())
    })?;
    session.signal(Signal::CONT)?;
    let outcome = session.finish()?;
    ensure_eq!((outcome.code, outcome.stdout.as_str()), (Some(6), "ready\nagain\n"), "after SIGCONT");
    before.assert_returns()
}
