//! How long a whole `session-enter` takes, from the start of its process to the end of a payload that does nothing.
//!
//! The contestants work in turn, round by round, so that whatever else the machine does hits all of them:
//! `session-enter`; the same as one more session of a user whose view lives; Debian's `bwrap`, which stays root;
//! `bwrap` with `setpriv` inside, which looks the user's groups up and becomes the user, as `session-enter` does; and
//! `benches/floor.c`, a C program with the system calls of an entry and nothing around them. Each has ten binds,
//! `/proc`, `/dev` and an empty `/tmp`, once with a PID namespace and once without. It is done on hosts with more and
//! more mounts, made in a private mount namespace: this program starts itself again in one for each size. On the host
//! of 1 000 mounts 64 of each are started at once.
//!
//!     cargo bench --bench enter [-- --quick]
//!
//! Needs root, `bwrap` and `cc`; without them it says so and does nothing, which in CI is an error. What happens within
//! the process is measured by `benches/inside.rs`.

mod common;

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use common::{BWRAP, Result, Series, Took, USER, WALLS, floor_path, map_path, verdict};

const SESSION_ENTER: &str = env!("CARGO_BIN_EXE_session-enter");
/// What runs inside.
const PAYLOAD: &str = "/bin/true";
const GROUP: &str = "nogroup";
/// How often on each host.
const ROUNDS: [usize; 3] = [300, 120, 20];
/// Links on hosts where `/usr` holds everything.
const SYSTEM: [&str; 4] = ["bin", "sbin", "lib", "lib64"];
const CONTESTANTS: [&str; 5] = ["bwrap", "bwrap+setpriv", "session-enter", "join", "floor"];
/// What the main job may take on each host, as a part of bwrap's time.
const LIMITS: [f64; 3] = [0.6, 0.08, 0.01];
/// How many at once, on the host of this many mounts, how often, and how many times as many as bwrap's.
const AT_ONCE: usize = 64;
const AT_ONCE_HOST: usize = 1_000;
const AT_ONCE_ROUNDS: usize = 4;
const AT_ONCE_LIMIT: f64 = 10.0;

fn main() -> ExitCode {
    common::run(&ROUNDS, inside, table)
}

fn inside(mounts: usize, rounds: usize, folder: &Path) -> Result<String> {
    let mut lines = String::new();
    let mut contestants = vec![("spawn".to_owned(), words(&[PAYLOAD.into()]))];
    let mut views = Vec::new();
    for wall in WALLS {
        let ours = |scope, payload: &[&str]| {
            let start = [SESSION_ENTER, "--user", USER, "--config"].map(OsString::from).into_iter();
            let map = map_path(folder, wall, scope).into_os_string();
            let all = start.chain([map, "--".into()]).chain(payload.iter().map(OsString::from));
            words(&all.collect::<Vec<_>>())
        };
        views.push(View::open(ours("user", &["/bin/sh", "-c", "echo; read never"]))?);
        let same_job = ["setpriv", "--reuid", USER, "--regid", GROUP, "--init-groups", PAYLOAD];
        let commands = [
            bwrap(wall, folder, &[PAYLOAD]),
            bwrap(wall, folder, &same_job),
            ours("session", &[PAYLOAD]),
            ours("user", &[PAYLOAD]),
            words(&[floor_path(folder).into(), wall.into(), folder.into()]),
        ];
        contestants.extend(CONTESTANTS.map(|who| format!("{who} {wall}")).into_iter().zip(commands));
    }
    let mut times = vec![Series::default(); contestants.len()];
    // The first rounds warm the caches and are thrown away.
    let warm_up = (rounds / 20).clamp(1, 5);
    for round in 0..rounds + warm_up {
        for turn in 0..contestants.len() {
            // Nobody is always first.
            let at = (round + turn) % contestants.len();
            let (name, command) = &mut contestants[at];
            let started = Instant::now();
            // The standard library uses posix_spawn here, and with it vfork: the size of this process does not count.
            let status = command.status()?;
            let took = started.elapsed();
            if !status.success() {
                return Err(format!("{name} failed: {status}").into());
            }
            if round >= warm_up {
                times[at].add(took);
            }
        }
    }
    for ((name, _), times) in contestants.iter().zip(&mut times) {
        lines += &times.figures().line(name);
    }
    if mounts == AT_ONCE_HOST {
        lines += &many_at_once(&mut contestants)?;
    }
    Ok(lines)
}

/// A session that keeps a view alive.
struct View(Child);

impl View {
    /// Comes back when the session is there.
    fn open(mut command: Command) -> Result<Self> {
        let mut session = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = session.stdout.take().ok_or("no pipe")?;
        BufReader::new(output).read_line(&mut String::new())?;
        Ok(Self(session))
    }
}

impl Drop for View {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// How long it takes until all of many that were started together have ended.
fn many_at_once(contestants: &mut [(String, Command)]) -> Result<String> {
    let mut times = vec![Series::default(); contestants.len()];
    for round in 0..AT_ONCE_ROUNDS {
        for turn in 0..contestants.len() {
            let at = (round + turn) % contestants.len();
            let (name, command) = &mut contestants[at];
            let started = Instant::now();
            let children: Vec<Child> =
                (0..AT_ONCE).map(|_| command.spawn()).collect::<std::result::Result<_, _>>()?;
            for mut child in children {
                let status = child.wait()?;
                if !status.success() {
                    return Err(format!("one of {AT_ONCE} {name} failed: {status}").into());
                }
            }
            times[at].add(started.elapsed() / AT_ONCE.try_into()?);
        }
    }
    let lines = contestants.iter().zip(&mut times);
    Ok(lines.map(|((name, _), times)| times.figures().line(&format!("{name} at once"))).collect())
}

fn words(words: &[OsString]) -> Command {
    let mut command = Command::new(&words[0]);
    // The environment of `cargo bench` has the loader look for libraries in the compiler's folders.
    command.args(&words[1..]).stdin(Stdio::null()).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

/// The map for bwrap, in its own words.
fn bwrap(wall: &str, folder: &Path, payload: &[&str]) -> Command {
    let mut command = words(&[BWRAP.into()]);
    // What setpriv needs to become another user.
    command.args(["--cap-add", "ALL"]);
    for name in SYSTEM {
        let path = format!("/{name}");
        match fs::read_link(&path) {
            Ok(to) => command.arg("--symlink").arg(to).arg(&path),
            Err(_) => command.args(["--ro-bind-try", &path, &path]),
        };
    }
    command.args(["--ro-bind", "/usr", "/usr", "--ro-bind", "/etc", "/etc"]);
    for at in 0..8 {
        let access = if at < 4 { "--ro-bind" } else { "--bind" };
        command.arg(access).arg(folder.join(format!("b{at}"))).arg(format!("/b{at}"));
    }
    command.args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]);
    if wall == "pidns" {
        command.args(["--unshare-pid", "--die-with-parent"]);
    }
    command.args(payload);
    command
}

fn table(hosts: &[(usize, usize, String)]) -> Result<String> {
    let mut rows = vec![
        "| host mounts | rounds | what | wall | fastest | median | p99 | median of bwrap's | of the floor's |"
            .to_owned(),
        "|--:|--:|---|---|--:|--:|--:|--:|--:|".to_owned(),
    ];
    let mut verdicts = vec![
        "\n| whole process, host mounts | wall | of bwrap | of bwrap+setpriv | join of bwrap |".to_owned(),
        "|--:|---|--:|--:|--:|".to_owned(),
    ];
    let mut at_once = vec![];
    for ((mounts, rounds, lines), limit) in hosts.iter().zip(LIMITS) {
        let alone = Took::find(lines, "spawn")?.cells();
        rows.push(format!("| {mounts} | {rounds} | {PAYLOAD} alone | | {alone} | | |"));
        for wall in WALLS {
            let of = |who: &str| Took::find(lines, &format!("{who} {wall}"));
            for who in CONTESTANTS {
                let took = of(who)?;
                let (bwrap, floor) = (took.median / of("bwrap")?.median, took.median / of("floor")?.median);
                let cells = took.cells();
                rows.push(format!(
                    "| {mounts} | {rounds} | {who} | {wall} | {cells} | {bwrap:.3} | {floor:.2} |"
                ));
            }
            let part = |who: &str, peer: &str| {
                Ok::<_, Box<dyn std::error::Error>>(of(who)?.median / of(peer)?.median)
            };
            verdicts.push(format!(
                "| {mounts} | {wall} | {} | {} | {:.3} |",
                verdict(part("session-enter", "bwrap")?, limit),
                verdict(part("session-enter", "bwrap+setpriv")?, limit),
                part("join", "bwrap")?
            ));
            if *mounts == AT_ONCE_HOST {
                for who in CONTESTANTS {
                    let each = Took::find(lines, &format!("{who} {wall} at once"))?.median;
                    let peer = Took::find(lines, &format!("bwrap {wall} at once"))?.median;
                    let times = peer / each;
                    let met = if times >= AT_ONCE_LIMIT { "met" } else { "missed" };
                    let met = if who.starts_with("bwrap") || who == "floor" { "" } else { met };
                    at_once.push(format!(
                        "| {AT_ONCE} at once, {mounts} host mounts | {wall} | {who} | {:.0} each second | {times:.1} times bwrap's | {met} |",
                        Duration::from_secs(1).as_secs_f64() * 1e6 / each
                    ));
                }
            }
        }
    }
    at_once.insert(0, "\n| throughput | wall | what | | | >= 10 |\n|---|---|---|--:|--:|---|".to_owned());
    Ok([rows, verdicts, at_once].concat().join("\n"))
}
