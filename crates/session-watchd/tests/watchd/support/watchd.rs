//! The daemon, as a child of the test.

use std::fs::{File, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::{World, text, until};

/// The program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_session-watchd");

/// The options that say where everything is.
pub fn places(world: &World) -> [String; 3] {
    [("socket", world.socket()), ("state", world.path("state")), ("runner", world.runner())]
        .map(|(option, path)| format!("--{option}={}", path.display()))
}

/// The daemon.
#[derive(Debug)]
pub struct Watchd {
    child: Child,
    said: PathBuf,
    /// How often a daemon had become ready before this one was started.
    before: usize,
}

impl Watchd {
    pub(super) fn start(world: &World, options: &[&str]) -> Self {
        let said = world.path("said");
        let before = world.times_ready();
        let mut command = Command::new(PROGRAM);
        command
            .args(places(world))
            .args(options)
            .env("STRANGE", "1")
            .stdin(Stdio::null())
            .stderr(append(&said));
        if world.manager().is_some() {
            command.env("NOTIFY_SOCKET", world.path("notify"));
        }
        Self { child: command.spawn().unwrap(), said, before }
    }

    /// Waits until it is ready.
    pub fn until_ready(&self, world: &World) {
        until("a daemon that is ready", || (world.times_ready() > self.before).then_some(()));
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it said, all daemons of this world together.
    pub fn said(&self) -> String {
        text(&self.said)
    }

    /// Waits until it has said something with this in it.
    pub fn until_said(&self, words: &str) {
        until(words, || self.said().contains(words).then_some(()));
    }

    /// It ends by SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        assert_eq!(self.child.wait().unwrap().signal(), Some(9), "{}", self.said());
    }

    /// It is asked to end.
    pub fn terminate(mut self) -> ExitStatus {
        let pid = Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
        self.child.wait().unwrap()
    }

    /// It ends by itself.
    pub fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// A field of its `/proc/PID/status`.
    pub fn status(&self, field: &str) -> u64 {
        let status = text(Path::new(&format!("/proc/{}/status", self.pid())));
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap().split_whitespace().next().unwrap().parse().unwrap()
    }

    /// How often its threads have run, and for how many ticks.
    pub fn activity(&self) -> Vec<(String, String, u64, u64)> {
        let folder = format!("/proc/{}/task", self.pid());
        let mut all: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|thread| {
                let path = thread.unwrap().path();
                let (stat, status) = (text(&path.join("stat")), text(&path.join("status")));
                let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
                let switches = status.lines().filter(|line| line.contains("ctxt_switches")).collect();
                let ticks = |at: usize| fields[at].parse().unwrap();
                (path.display().to_string(), switches, ticks(11), ticks(12))
            })
            .collect();
        all.sort();
        all
    }
}

impl Watchd {
    /// Nothing runs for as long as it is looked at, in any thread.
    pub fn stays_at_rest(&self) {
        let before = until("a daemon that has come to rest", || {
            let before = self.activity();
            std::thread::sleep(Duration::from_millis(200));
            (self.activity() == before).then_some(before)
        });
        // Not to wait for something, but to see that it does not happen.
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(self.activity(), before);
    }
}

impl Drop for Watchd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("the daemon said:\n{}", self.said());
        }
    }
}

fn append(path: &Path) -> File {
    OpenOptions::new().append(true).create(true).open(path).unwrap()
}
