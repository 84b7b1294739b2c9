//! How long a whole `session-enter` takes, from the start of its process to the end of a payload that does nothing.
//!
//! Four contestants work in turn, round by round, so that whatever else the machine does hits all of them:
//! `session-enter`; Debian's `bwrap`, which stays root; `bwrap` with `setpriv` inside, which looks the user's groups up
//! and becomes the user, as `session-enter` does; and `benches/floor.c`, a C program with the system calls of an entry
//! and nothing around them. Each has ten binds, `/proc`, `/dev` and an empty `/tmp`, once with a PID namespace and once
//! without. It is done on hosts with more and more mounts, made in a private mount namespace: this program starts
//! itself again in one for each size.
//!
//!     BENCH_ROUNDS=200 cargo bench --bench enter
//!
//! Needs root, `bwrap` and `cc`; without them it says so and does nothing, which in CI is an error.

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, MountPropagationFlags};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const SESSION_ENTER: &str = env!("CARGO_BIN_EXE_session-enter");
const BWRAP: &str = "/usr/bin/bwrap";
/// What runs inside.
const PAYLOAD: &str = "/bin/true";
/// Who runs it; `bwrap` alone does not change the user.
const USER: &str = "nobody";
const GROUP: &str = "nogroup";
/// How many mounts the host has, and which part of the rounds is run there.
const HOSTS: [(usize, usize); 3] = [(25, 1), (1_000, 2), (10_000, 10)];
/// Set for the copy of this program that measures: how many mounts, how many rounds.
const INSIDE: &str = "BENCH_ENTER_INSIDE";
/// The folder for binds and maps.
const FOLDER: &str = "BENCH_ENTER_FOLDER";
/// Links on hosts where `/usr` holds everything.
const SYSTEM: [&str; 4] = ["bin", "sbin", "lib", "lib64"];
/// What the main job must reach on a host with 25 mounts, as a part of bwrap's time.
const TARGET: f64 = 0.7;

fn main() -> ExitCode {
    let outcome = match (std::env::var(INSIDE), std::env::args().any(|word| word == "--bench")) {
        (Ok(wanted), _) => inside(&wanted),
        (Err(_), true) => outside(),
        (Err(_), false) => Ok("only `cargo bench --bench enter` measures".to_owned()),
    };
    let (text, code) = match outcome {
        Ok(text) => (text, ExitCode::SUCCESS),
        Err(error) => (error.to_string(), ExitCode::FAILURE),
    };
    // With nobody to read it there is nobody to tell.
    let _ = writeln!(std::io::stdout(), "{text}");
    code
}

/// Measures on every host, and returns the table.
fn outside() -> Result<String> {
    if let Some(missing) = what_is_missing() {
        let message = format!("nothing was measured: {missing}");
        let in_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
        return if in_ci { Err(message.into()) } else { Ok(message) };
    }
    let rounds: usize = match std::env::var("BENCH_ROUNDS") {
        Ok(text) => text.parse().map_err(|_| format!("BENCH_ROUNDS is {text:?}, and must be a number"))?,
        Err(_) => 200,
    };
    // /run belongs to root alone, as the folder of a map must.
    let folder = Folder(PathBuf::from(format!("/run/session-sandbox-bench.{}", std::process::id())));
    fs::DirBuilder::new().mode(0o755).create(&folder.0)?;
    let mut tables = vec![TABLE_HEAD.to_owned()];
    let mut verdict = String::new();
    for (mounts, part) in HOSTS {
        let rounds = (rounds / part).max(1);
        let lines = measure_on(mounts, rounds, &folder.0)?;
        let times = Times::read(&lines)?;
        tables.push(times.rows(mounts, rounds)?);
        if mounts == HOSTS[0].0 {
            verdict = times.verdict()?;
        }
    }
    Ok(format!("{}\n\n{verdict}", tables.join("\n")))
}

fn what_is_missing() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("it needs root, like the contestants");
    }
    if fs::metadata(BWRAP).is_err() {
        return Some("there is no /usr/bin/bwrap to compare with (Debian: bubblewrap)");
    }
    match Command::new("cc").arg("--version").stdout(Stdio::null()).status() {
        Ok(status) if status.success() => None,
        _ => Some("there is no C compiler for the floor"),
    }
}

/// The work folder, empty on the host; what is in it lies in a tmpfs of the copies' namespaces.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Starts this program again, to measure on a host of that many mounts.
fn measure_on(mounts: usize, rounds: usize, folder: &Path) -> Result<String> {
    let output = Command::new(std::env::current_exe()?)
        .env(INSIDE, format!("{mounts} {rounds}"))
        .env(FOLDER, folder)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    if output.status.success() { Ok(text) } else { Err(text.trim().to_owned().into()) }
}

/// The copy: makes its host, measures, and returns one line for each contestant.
fn inside(wanted: &str) -> Result<String> {
    let (mounts, rounds) = wanted.split_once(' ').ok_or("a bad request from the other copy")?;
    let (mounts, rounds): (usize, usize) = (mounts.parse()?, rounds.parse()?);
    let folder = PathBuf::from(std::env::var_os(FOLDER).ok_or("a bad request from the other copy")?);

    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)?;
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    // A map is trusted only where nobody but root could have put it.
    rustix::mount::mount("bench", &folder, "tmpfs", MountFlags::empty(), c"mode=0755")?;
    for at in 0..8 {
        fs::create_dir(folder.join(format!("b{at}")))?;
    }
    for wall in WALLS {
        fs::write(folder.join(format!("{wall}.toml")), map(wall, &folder))?;
    }
    let floor = compile_floor(&folder)?;
    fill_host(mounts, &folder.join("host"))?;

    let mut contestants = vec![("spawn".to_owned(), words(&[PAYLOAD.into()]))];
    for wall in WALLS {
        let map = folder.join(format!("{wall}.toml")).into_os_string();
        let ours = [SESSION_ENTER, "--user", USER, "--config"].map(OsString::from).into_iter();
        let ours: Vec<_> = ours.chain([map, "--".into(), PAYLOAD.into()]).collect();
        let floor = [floor.clone().into(), wall.into(), folder.clone().into()];
        let same_job = ["setpriv", "--reuid", USER, "--regid", GROUP, "--init-groups", PAYLOAD];
        let commands =
            [bwrap(wall, &folder, &[PAYLOAD]), bwrap(wall, &folder, &same_job), words(&ours), words(&floor)];
        for (who, command) in CONTESTANTS.iter().zip(commands) {
            contestants.push((format!("{who} {wall}"), command));
        }
    }
    let mut times: Vec<Vec<Duration>> = vec![Vec::with_capacity(rounds); contestants.len()];
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
                times[at].push(took);
            }
        }
    }
    let lines = contestants.iter().zip(&mut times).map(|((name, _), times)| {
        times.sort_unstable();
        let last = times.len() - 1;
        let [fastest, median, p99] = [0, last / 2, last * 99 / 100].map(|at| times[at].as_nanos());
        format!("{name}\t{fastest}\t{median}\t{p99}")
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

fn words(words: &[OsString]) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

/// `cc` on the C program beside this file.
fn compile_floor(folder: &Path) -> Result<PathBuf> {
    let program = folder.join("floor");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/floor.c");
    let status = Command::new("cc").args(["-O2", "-o"]).arg(&program).arg(source).status()?;
    if status.success() { Ok(program) } else { Err("benches/floor.c does not compile".into()) }
}

/// Brings this namespace to `wanted` mounts, by binds of empty directories.
fn fill_host(wanted: usize, at: &Path) -> Result<()> {
    fs::create_dir(at)?;
    rustix::mount::mount("bench", at, "tmpfs", MountFlags::empty(), c"mode=0755")?;
    let here = fs::read("/proc/self/mountinfo")?.iter().filter(|byte| **byte == b'\n').count();
    for number in here..wanted {
        let directory = at.join(number.to_string());
        fs::create_dir(&directory)?;
        rustix::mount::mount_bind(&directory, &directory)?;
    }
    if here > wanted {
        writeln!(std::io::stderr(), "this host has {here} mounts already, not {wanted}")?;
    }
    Ok(())
}

/// The map: an empty read-only root, ten binds, and what every program needs.
fn map(wall: &str, folder: &Path) -> String {
    let mut map = format!(
        r#"version = 1
[defaults]
wall = "{wall}"
[[profile]]
name = "bench"
[[profile.mount]]
target = "/"
kind = "tmpfs"
size = "4M"
mode = "0755"
options = ["ro"]
[[profile.mount]]
kind = "system"
paths = ["/bin", "/sbin", "/lib", "/lib64"]
[[profile.mount]]
target = "/usr"
options = ["ro"]
[[profile.mount]]
target = "/etc"
options = ["ro"]
[[profile.mount]]
target = "/proc"
kind = "proc"
[[profile.mount]]
target = "/dev"
kind = "dev"
[[profile.mount]]
target = "/dev/pts"
kind = "devpts"
[[profile.mount]]
target = "/tmp"
kind = "tmpfs"
mode = "1777"
"#
    );
    for at in 0..8 {
        let access = if at < 4 { "ro" } else { "rw" };
        let source = folder.join(format!("b{at}"));
        map += &format!(
            "[[profile.mount]]\ntarget = \"/b{at}\"\nsource = {source:?}\noptions = [\"{access}\"]\n"
        );
    }
    map
}

/// The same for bwrap, in its own words.
fn bwrap(wall: &str, folder: &Path, payload: &[&str]) -> Command {
    let mut command = Command::new(BWRAP);
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

const CONTESTANTS: [&str; 4] = ["bwrap", "bwrap+setpriv", "session-enter", "floor"];
/// With a PID namespace, and without one.
const WALLS: [&str; 2] = ["pidns", "none"];

const TABLE_HEAD: &str = "\
| host mounts | rounds | what | wall | fastest | median | p99 | median of bwrap's | of the floor's |
|--:|--:|---|---|--:|--:|--:|--:|--:|";

/// What each contestant took, in nanoseconds.
struct Times(BTreeMap<String, Took>);

#[derive(Clone, Copy)]
struct Took {
    fastest: f64,
    median: f64,
    p99: f64,
}

impl Took {
    fn cells(self) -> String {
        [self.fastest, self.median, self.p99]
            .map(|nanoseconds| format!("{:.0} us", nanoseconds / 1e3))
            .join(" | ")
    }
}

impl Times {
    fn read(lines: &str) -> Result<Self> {
        let mut times = BTreeMap::new();
        for line in lines.lines() {
            let mut fields = line.split('\t');
            let mut next = || fields.next().ok_or_else(|| format!("the other copy wrote {line:?}"));
            let name = next()?.to_owned();
            let took = Took { fastest: next()?.parse()?, median: next()?.parse()?, p99: next()?.parse()? };
            times.insert(name, took);
        }
        Ok(Self(times))
    }

    fn of(&self, who: &str, wall: &str) -> Result<Took> {
        let name = if wall.is_empty() { who.to_owned() } else { format!("{who} {wall}") };
        self.0.get(&name).copied().ok_or_else(|| format!("nobody measured {name}").into())
    }

    fn rows(&self, mounts: usize, rounds: usize) -> Result<String> {
        let alone = self.of("spawn", "")?.cells();
        let mut rows = vec![format!("| {mounts} | {rounds} | {PAYLOAD} alone | | {alone} | | |")];
        for wall in WALLS {
            for who in CONTESTANTS {
                let took = self.of(who, wall)?;
                let of_bwrap = took.median / self.of("bwrap", wall)?.median;
                let of_floor = took.median / self.of("floor", wall)?.median;
                let cells = took.cells();
                rows.push(format!(
                    "| {mounts} | {rounds} | {who} | {wall} | {cells} | {of_bwrap:.3} | {of_floor:.2} |"
                ));
            }
        }
        Ok(rows.join("\n"))
    }

    fn verdict(&self) -> Result<String> {
        let mut words = Vec::new();
        for wall in WALLS {
            for peer in ["bwrap", "bwrap+setpriv"] {
                let part = self.of("session-enter", wall)?.median / self.of(peer, wall)?.median;
                let met = if part <= TARGET { "met" } else { "missed" };
                words.push(format!("wall {wall}: {part:.2} of {peer}, target {TARGET} {met}"));
            }
        }
        Ok(format!("With {} host mounts: {}.", HOSTS[0].0, words.join("; ")))
    }
}
