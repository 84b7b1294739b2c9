//! What it costs to be told: `sessionctl plan`, `why` and `check` as whole processes.
//!
//! On a map of 256 entries, for a user in 300 groups, on a host with ten thousand users; and `check --all-users` there.
//! The contestants work in turn, and with them `/bin/true`.
//!
//!     cargo bench --bench explain [-- --quick]
//!
//! Needs root, and mounts in a namespace of its own: its `/etc` and its `/home` are copies that nobody else sees.

mod common;

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use common::{Result, Series, Took, verdict};
use rustix::mount::{MountFlags, mount, mount_bind};

const SESSIONCTL: &str = env!("CARGO_BIN_EXE_sessionctl");
/// How often on a host with few mounts, with more, and with many.
const ROUNDS: [usize; 3] = [100, 30, 10];
/// The users of the host, and the groups of the one that is asked about.
const USERS: u32 = 10_000;
const GROUPS: u32 = 300;
const USER: &str = "user00000";
/// As many entries as one profile may have.
const ENTRIES: usize = 256;
/// Milliseconds.
const ONE_LIMIT: f64 = 20.0;
const ALL_LIMIT: f64 = 2000.0;

fn main() -> ExitCode {
    common::run(&ROUNDS, inside, table)
}

fn inside(_: usize, rounds: usize, folder: &Path) -> Result<String> {
    make_users(folder)?;
    let map = folder.join("large.toml");
    fs::write(&map, large_map(folder)?)?;
    let map = map.to_str().ok_or("a path")?;
    let path = format!("{}/e7", folder.display());
    let mut contestants = [
        ("true", Command::new("/bin/true")),
        ("plan", sessionctl(&["plan", "--user", USER, "--config", map])),
        ("why", sessionctl(&["why", "--user", USER, "--config", map, &path])),
        ("check", sessionctl(&["check", map])),
        ("plan shipped", sessionctl(&["plan", "--user", USER])),
    ];
    let mut times = vec![Series::default(); contestants.len()];
    for round in 0..rounds + 1 {
        for turn in 0..contestants.len() {
            let at = (round + turn) % contestants.len();
            let took = timed(&mut contestants[at].1)?;
            if round > 0 {
                times[at].add(took);
            }
        }
    }
    let mut all = Series::default();
    for _ in 0..(rounds / 10).clamp(3, 5) {
        all.add(timed(&mut sessionctl(&["check", "--all-users"]))?);
    }
    let mut lines: String =
        contestants.iter().zip(&mut times).map(|((name, _), times)| times.figures().line(name)).collect();
    lines += &all.figures().line("all");
    Ok(lines)
}

fn sessionctl(words: &[&str]) -> Command {
    let mut command = Command::new(SESSIONCTL);
    command.args(words);
    command
}

fn timed(command: &mut Command) -> Result<std::time::Duration> {
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null());
    let begin = Instant::now();
    let status = command.status()?;
    let took = begin.elapsed();
    if status.success() { Ok(took) } else { Err(format!("{command:?} failed: {status}").into()) }
}

/// An `/etc` with many users, of whom the first is in many groups, and a home for each.
fn make_users(folder: &Path) -> Result<()> {
    let etc = folder.join("etc");
    fs::create_dir(&etc)?;
    let status = Command::new("cp").args(["-a", "/etc/."]).arg(&etc).status()?;
    if !status.success() {
        return Err("cannot copy /etc".into());
    }
    let mut passwd = String::from_utf8(fs::read("/etc/passwd")?)?;
    let mut group = String::from_utf8(fs::read("/etc/group")?)?;
    mount("bench", "/home", "tmpfs", MountFlags::empty(), c"mode=0755")?;
    for number in 0..USERS {
        let (name, id) = (format!("user{number:05}"), 100_000 + number);
        writeln!(passwd, "{name}:x:{id}:{id}::/home/{name}:/bin/sh")?;
        writeln!(group, "{name}:x:{id}:")?;
        let home = Path::new("/home").join(&name);
        fs::create_dir(&home)?;
        chown(&home, Some(id), Some(id))?;
    }
    for number in 0..GROUPS {
        // Each has a hundred members more.
        let members: Vec<String> =
            (0..100).map(|at| format!("user{:05}", (number * 97 + at * 89) % USERS)).collect();
        writeln!(group, "project{number}:x:{}:{USER},{}", 300_000 + number, members.join(","))?;
    }
    fs::write(etc.join("passwd"), passwd)?;
    fs::write(etc.join("group"), group)?;
    Ok(mount_bind(&etc, "/etc")?)
}

/// As many binds as a profile may have, but for what every program needs.
fn large_map(folder: &Path) -> Result<String> {
    let mut map =
        "version = 1\n[[profile]]\nname = \"large\"\nmatch = { not_user = [\"root\"] }\n".to_owned();
    for (target, kind) in [("/proc", "proc"), ("/dev", "dev")] {
        writeln!(map, "[[profile.mount]]\ntarget = \"{target}\"\nkind = \"{kind}\"")?;
    }
    for number in 2..ENTRIES {
        let source = folder.join(format!("e{number}"));
        fs::create_dir(&source)?;
        writeln!(map, "[[profile.mount]]\ntarget = {source:?}\noptions = [\"ro\", \"noexec\"]")?;
    }
    Ok(map)
}

fn table(hosts: &[(usize, usize, String)]) -> Result<String> {
    let mut text = String::new();
    for (mounts, rounds, lines) in hosts {
        writeln!(
            text,
            "\n{mounts} host mounts, {rounds} rounds\n\n| | fastest | median | p99 | |\n|---|--:|--:|--:|--:|"
        )?;
        for (name, shown, limit) in [
            ("true", "/bin/true", None),
            ("plan shipped", "plan, the shipped map", None),
            ("plan", "plan, 256 entries", Some(ONE_LIMIT)),
            ("why", "why, 256 entries", Some(ONE_LIMIT)),
            ("check", "check, 256 entries", Some(ONE_LIMIT)),
            ("all", "check --all-users, 10 000 users", Some(ALL_LIMIT)),
        ] {
            let took = Took::find(lines, name)?;
            let told = limit.map(|limit| verdict(took.median / 1000.0, limit)).unwrap_or_default();
            writeln!(text, "| {shown} | {} | {told} |", took.cells())?;
        }
    }
    Ok(text)
}
