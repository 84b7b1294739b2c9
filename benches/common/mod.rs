//! What the benches of entries share: hosts with many mounts, the map, the C program, and numbers.

#![allow(dead_code, reason = "each bench uses a part of it")]

use std::error::Error;
use std::fs;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::mount::{MountFlags, MountPropagationFlags};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

pub(crate) const BWRAP: &str = "/usr/bin/bwrap";
/// Who enters; `bwrap` alone does not change the user.
pub(crate) const USER: &str = "nobody";
/// With a PID namespace, and without one.
pub(crate) const WALLS: [&str; 2] = ["pidns", "none"];
/// How many mounts the hosts have.
pub(crate) const HOSTS: [usize; 3] = [25, 1_000, 10_000];
/// Set for the copy of a bench that measures: how many mounts, how many rounds.
const INSIDE: &str = "BENCH_INSIDE";
/// The folder for binds and maps.
const FOLDER: &str = "BENCH_FOLDER";
/// A tenth of the rounds.
const QUICK: &str = "--quick";

/// A bench: `inside` measures on a host of that many mounts in so many rounds, and returns lines for `table`, which
/// gets the lines of each host.
pub(crate) fn run(
    rounds: &[usize; 3],
    inside: impl FnOnce(usize, usize, &Path) -> Result<String>,
    table: impl FnOnce(&[(usize, usize, String)]) -> Result<String>,
) -> ExitCode {
    let outcome = match (std::env::var(INSIDE), std::env::args().any(|word| word == "--bench")) {
        (Ok(wanted), _) => prepare_inside(&wanted, inside),
        (Err(_), true) => outside(rounds, table),
        (Err(_), false) => Ok("only `cargo bench` measures".to_owned()),
    };
    let (text, code) = match outcome {
        Ok(text) => (text, ExitCode::SUCCESS),
        Err(error) => (error.to_string(), ExitCode::FAILURE),
    };
    // With nobody to read it there is nobody to tell.
    let _ = writeln!(std::io::stdout(), "{text}");
    code
}

fn outside(
    rounds: &[usize; 3],
    table: impl FnOnce(&[(usize, usize, String)]) -> Result<String>,
) -> Result<String> {
    if let Some(missing) = what_is_missing() {
        let message = format!("nothing was measured: {missing}");
        let in_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
        return if in_ci { Err(message.into()) } else { Ok(message) };
    }
    let part = if std::env::args().any(|word| word == QUICK) { 10 } else { 1 };
    // /run belongs to root alone, as the folder of a map must.
    let folder = Folder(PathBuf::from(format!("/run/session-sandbox-bench.{}", std::process::id())));
    fs::DirBuilder::new().mode(0o755).create(&folder.0)?;
    let mut found = Vec::new();
    for (mounts, rounds) in HOSTS.into_iter().zip(rounds) {
        let rounds = (rounds / part).max(3);
        found.push((mounts, rounds, measure_on(mounts, rounds, &folder.0)?));
    }
    table(&found)
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

/// The copy: makes its host in a mount namespace of its own, and measures.
fn prepare_inside(
    wanted: &str,
    inside: impl FnOnce(usize, usize, &Path) -> Result<String>,
) -> Result<String> {
    let (mounts, rounds) = wanted.split_once(' ').ok_or("a bad request from the other copy")?;
    let (mounts, rounds): (usize, usize) = (mounts.parse()?, rounds.parse()?);
    let folder = PathBuf::from(std::env::var_os(FOLDER).ok_or("a bad request from the other copy")?);

    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)?;
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    // A registry of its own: what lives on this machine is no part of it, and stays untouched.
    rustix::mount::mount("bench", "/run", "tmpfs", MountFlags::empty(), c"mode=0755")?;
    fs::create_dir(&folder)?;
    for at in 0..8 {
        fs::create_dir(folder.join(format!("b{at}")))?;
    }
    for wall in WALLS {
        for scope in ["session", "user"] {
            fs::write(map_path(&folder, wall, scope), map(wall, scope, &folder))?;
        }
    }
    compile_floor(&folder)?;
    fill_host(mounts, &folder.join("host"))?;
    inside(mounts, rounds, &folder)
}

/// The map of sessions that share their view, or do not.
pub(crate) fn map_path(folder: &Path, wall: &str, scope: &str) -> PathBuf {
    folder.join(format!("{wall}.{scope}.toml"))
}

/// The C program.
pub(crate) fn floor_path(folder: &Path) -> PathBuf {
    folder.join("floor")
}

/// `cc` on the C program beside this file.
fn compile_floor(folder: &Path) -> Result<()> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/floor.c");
    let status = Command::new("cc").args(["-O2", "-o"]).arg(floor_path(folder)).arg(source).status()?;
    if status.success() { Ok(()) } else { Err("benches/floor.c does not compile".into()) }
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
fn map(wall: &str, scope: &str, folder: &Path) -> String {
    let mut map = format!(
        r#"version = 1
[defaults]
wall = "{wall}"
scope = "{scope}"
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

/// A series of measurements.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series(Vec<f64>);

impl Series {
    pub(crate) fn add(&mut self, took: Duration) {
        self.0.push(took.as_secs_f64() * 1e6);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Microseconds: the fastest, the median, the 99th percentile.
    pub(crate) fn figures(&mut self) -> Took {
        self.0.sort_by(f64::total_cmp);
        let at = |part: usize| self.0[(self.0.len() - 1) * part / 100];
        Took { fastest: at(0), median: at(50), p99: at(99) }
    }
}

/// Microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Took {
    pub(crate) fastest: f64,
    pub(crate) median: f64,
    pub(crate) p99: f64,
}

impl Took {
    /// As a line for the other copy to read.
    pub(crate) fn line(self, name: &str) -> String {
        format!("{name}\t{}\t{}\t{}\n", self.fastest, self.median, self.p99)
    }

    /// The figures of that name among such lines.
    pub(crate) fn find(lines: &str, name: &str) -> Result<Self> {
        let numbers = value(lines, name)?;
        let numbers: Vec<f64> = numbers.split('\t').map(str::parse).collect::<std::result::Result<_, _>>()?;
        let [fastest, median, p99] = numbers[..] else { return Err(format!("bad line for {name}").into()) };
        Ok(Self { fastest, median, p99 })
    }

    pub(crate) fn cells(self) -> String {
        [self.fastest, self.median, self.p99].map(|micros| format!("{micros:.0} us")).join(" | ")
    }
}

/// What a line says after its name.
pub(crate) fn value<'l>(lines: &'l str, name: &str) -> Result<&'l str> {
    lines
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .find_map(|(who, rest)| (who == name).then_some(rest))
        .ok_or_else(|| format!("nobody measured {name}").into())
}

/// Whether a ratio is at most what it must be.
pub(crate) fn verdict(part: f64, limit: f64) -> String {
    format!("{part:.3} (<= {limit}: {})", if part <= limit { "met" } else { "missed" })
}
