//! What session scripts cost: `session-scripts added` as a whole process.
//!
//! With no script at all, against starting `/bin/true` and waiting for it; and with ten scripts that are waited for, each
//! of which is `/bin/true`, against starting that ten times. The contestants work in turn. What a session costs that has
//! scripts, whatever they are, is measured by one whose only script is of its end, and taken off.
//!
//!     cargo bench --bench scripts [-- --quick]
//!
//! Needs root, and mounts in a namespace of its own.

mod common;

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use common::{Result, Series, Took, verdict};

const SESSION_SCRIPTS: &str = env!("CARGO_BIN_EXE_session-scripts");
const TRUE: &str = "/bin/true";
/// How often; the mounts of a host make no difference, so there is one host.
const ROUNDS: [usize; 3] = [400, 40, 4];
/// What may be added to a login by folders with nothing in them, as a part of starting `/bin/true`.
const EMPTY_LIMIT: f64 = 1.5;
/// What ten scripts may take, as a part of starting ten programs.
const TEN_LIMIT: f64 = 1.2;
const SCRIPTS: usize = 10;

fn main() -> ExitCode {
    common::run(&ROUNDS, inside, table)
}

fn inside(_: usize, rounds: usize, folder: &Path) -> Result<String> {
    for (name, begins, ends) in [("empty", 0, 0), ("none", 0, 1), ("ten", SCRIPTS, 1)] {
        let scripts = folder.join(name);
        fs::create_dir(&scripts)?;
        for (below, count) in [("added", begins), ("removed", ends)] {
            fs::create_dir(scripts.join(below))?;
            for number in 0..count {
                symlink(TRUE, scripts.join(below).join(format!("{number}0W-true")))?;
            }
        }
        let text = format!("version = 1\n[defaults]\ndirectory = {scripts:?}\ngate = \"none\"\n");
        fs::write(folder.join(format!("{name}.conf")), text)?;
    }
    let started = |command: &mut Command, times: usize| -> Result<std::time::Duration> {
        let begin = Instant::now();
        for _ in 0..times {
            let status = command.status()?;
            if !status.success() {
                return Err(format!("{command:?} failed: {status}").into());
            }
        }
        Ok(begin.elapsed())
    };
    let mut contestants = [
        ("true", quiet(Command::new(TRUE)), 1),
        ("empty", added(folder, "empty"), 1),
        ("ten true", quiet(Command::new(TRUE)), SCRIPTS),
        ("none", added(folder, "none"), 1),
        ("ten", added(folder, "ten"), 1),
    ];
    let mut times = vec![Series::default(); contestants.len()];
    let warm_up = (rounds / 20).clamp(1, 5);
    for round in 0..rounds + warm_up {
        for turn in 0..contestants.len() {
            let at = (round + turn) % contestants.len();
            let (name, command, count) = &mut contestants[at];
            let took = started(command, *count)?;
            if round >= warm_up {
                times[at].add(took);
            }
            // A session that is left open is looked at by the next one.
            if ["none", "ten"].contains(name) {
                started(&mut removed(folder, name), 1)?;
            }
        }
    }
    Ok(contestants.iter().zip(&mut times).map(|((name, ..), times)| times.figures().line(name)).collect())
}

fn quiet(mut command: Command) -> Command {
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn added(folder: &Path, name: &str) -> Command {
    let mut command = Command::new(SESSION_SCRIPTS);
    command.args(["added", "--user", "nobody", "--service", "bench", "--config"]);
    command.arg(folder.join(format!("{name}.conf")));
    quiet(command)
}

fn removed(folder: &Path, name: &str) -> Command {
    let mut command = Command::new(SESSION_SCRIPTS);
    command.args(["removed", "--user", "nobody", "--wait", "--config"]);
    command.arg(folder.join(format!("{name}.conf")));
    quiet(command)
}

fn table(hosts: &[(usize, usize, String)]) -> Result<String> {
    let Some((_, rounds, lines)) = hosts.first() else { return Err("nothing was measured".into()) };
    let took = |name: &str| Took::find(lines, name);
    let (single, empty) = (took("true")?, took("empty")?);
    let (ten_true, none, ten) = (took("ten true")?, took("none")?, took("ten")?);
    let mut text = format!("{rounds} rounds\n\n| | fastest | median | p99 | |\n|---|--:|--:|--:|--:|\n");
    writeln!(text, "| /bin/true | {} | |", single.cells())?;
    let part = verdict(empty.median / single.median, EMPTY_LIMIT);
    writeln!(text, "| nothing to run | {} | {part} |", empty.cells())?;
    writeln!(text, "| a session with nothing to run at its beginning | {} | |", none.cells())?;
    writeln!(text, "| {SCRIPTS} times /bin/true | {} | |", ten_true.cells())?;
    let part = verdict((ten.median - none.median) / ten_true.median, TEN_LIMIT);
    writeln!(
        text,
        "| a session with {SCRIPTS} scripts that are waited for | {} | net {part} |",
        ten.cells()
    )?;
    Ok(text)
}
