//! Running programs, with a limit on how long anything may take.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::process::{Pid, PidfdFlags, Signal};
use serde_json::{Value, json};

use super::{LIMIT, User, ensure};

/// A program to be run: with a clean environment, in `/`, as root unless another user is named.
#[derive(Debug)]
pub struct Run {
    command: Command,
    stdin: Stdio,
    input: Option<Vec<u8>>,
    limit: Duration,
}

/// A program that has ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its exit status, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What it wrote to its standard output.
    pub stdout: String,
    /// What it wrote to its standard error.
    pub stderr: String,
}

impl Run {
    /// `program`, looked for in the usual places unless it is a path.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").current_dir("/");
        Self { command, stdin: Stdio::null(), input: None, limit: LIMIT }
    }

    /// One argument more.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Arguments more.
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    /// One variable more.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Where it starts; `/` unless said.
    pub fn directory(mut self, path: impl AsRef<Path>) -> Self {
        self.command.current_dir(path);
        self
    }

    /// What it reads; nothing unless said.
    pub fn input(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.stdin = Stdio::piped();
        self.input = Some(text.into());
        self
    }

    /// It reads what the test will [write](Running::write) while it runs.
    pub fn piped_input(mut self) -> Self {
        self.stdin = Stdio::piped();
        self
    }

    /// Another descriptor as its standard input.
    pub fn stdin(mut self, from: impl Into<Stdio>) -> Self {
        self.stdin = from.into();
        self
    }

    /// As this user, with the groups that the user database says.
    pub fn user(self, user: &User) -> Self {
        if !super::is_root() {
            return self;
        }
        let (uid, gid) = (user.uid, user.gid);
        let groups = user.groups.clone();
        let run = self.env("HOME", &user.home).env("USER", user.name.as_str());
        run.before(move || {
            // SAFETY: a live array of that many ids, which the call only reads.
            let done = unsafe { libc::setgroups(groups.len(), groups.as_ptr()) };
            // SAFETY: takes numbers.
            let done = done | unsafe { libc::setresgid(gid, gid, gid) };
            // SAFETY: takes numbers.
            let done = done | unsafe { libc::setresuid(uid, uid, uid) };
            if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        })
    }

    /// What the child does before it becomes the program; after what was asked for earlier.
    ///
    /// It must not allocate or lock: another thread of this process may have been in the middle of that.
    pub fn before(mut self, prepare: impl FnMut() -> std::io::Result<()> + Send + Sync + 'static) -> Self {
        // SAFETY: all callers keep to system calls on what was made before the fork.
        unsafe { self.command.pre_exec(prepare) };
        self
    }

    /// How long it may take.
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Starts it.
    pub fn start(mut self) -> Result<Running, Failed> {
        let shown = format!("{:?}", self.command);
        // So that a test that gives up can end what the program has started, too.
        self.command.process_group(0);
        self.command.stdin(self.stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().map_err(|error| format!("{shown}: {error}"))?;
        let pid = Pid::from_child(&child);
        let ended = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        let quiet = |fd: OwnedFd| -> Result<Option<OwnedFd>, Failed> {
            rustix::fs::fcntl_setfl(&fd, OFlags::NONBLOCK)?;
            Ok(Some(fd))
        };
        let stdout = quiet(child.stdout.take().unwrap().into())?;
        let stderr = quiet(child.stderr.take().unwrap().into())?;
        let mut running = Running {
            shown,
            pid,
            ended,
            stdin: child.stdin.take(),
            child,
            deadline: Instant::now() + self.limit,
            streams: [stdout, stderr],
            heard: Default::default(),
            status: None,
        };
        if let Some(input) = self.input {
            running.write(&input)?;
            running.close_input();
        }
        Ok(running)
    }

    /// The command alone, for a caller that sets its descriptors and watches it.
    pub(super) fn into_command(self) -> Command {
        self.command
    }

    /// Runs it to its end.
    pub fn finish(self) -> Result<Outcome, Failed> {
        self.start()?.finish()
    }
}

/// A program that runs. Killed, with its process group, when the test lets go of it.
#[derive(Debug)]
pub struct Running {
    shown: String,
    child: Child,
    pid: Pid,
    ended: OwnedFd,
    deadline: Instant,
    stdin: Option<ChildStdin>,
    streams: [Option<OwnedFd>; 2],
    heard: [Vec<u8>; 2],
    status: Option<std::process::ExitStatus>,
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Writes to its standard input, which [`Run::piped_input`] asked for.
    pub fn write(&mut self, text: &[u8]) -> Result<(), Failed> {
        self.stdin.as_mut().ok_or("its input is closed")?.write_all(text).map_err(Failed::from)
    }

    /// Ends its standard input.
    pub fn close_input(&mut self) {
        self.stdin = None;
    }

    /// Sends it, and nobody else, a signal.
    pub fn signal(&self, signal: Signal) -> Result<(), Failed> {
        rustix::process::pidfd_send_signal(&self.ended, signal).map_err(Failed::from)
    }

    /// Waits until it has written `text` to its standard output.
    pub fn expect(&mut self, text: &str) -> Result<(), Failed> {
        self.listen_until(&format!("it writes {text:?}"), |running| running.stdout().contains(text))
    }

    /// Waits until it has written `text` to its standard output so many times.
    pub fn expect_times(&mut self, text: &str, times: usize) -> Result<(), Failed> {
        let enough = |running: &Self| running.stdout().matches(text).count() >= times;
        self.listen_until(&format!("it writes {text:?} {times} times"), enough)
    }

    /// What it has written to its standard output so far.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.heard[0]).into_owned()
    }

    /// Waits until it has ended and nobody else holds its output any more.
    pub fn finish(mut self) -> Result<Outcome, Failed> {
        self.close_input();
        self.listen_until("it ends and lets go of its output", |running| {
            running.status.is_some() && running.streams.iter().all(Option::is_none)
        })?;
        let status = self.status.ok_or("it has not ended")?;
        let [stdout, stderr] = [0, 1].map(|at: usize| String::from_utf8_lossy(&self.heard[at]).into_owned());
        Ok(Outcome { code: status.code(), signal: status.signal(), stdout, stderr })
    }

    fn listen_until(&mut self, what: &str, enough: impl Fn(&Self) -> bool) -> Result<(), Failed> {
        while !enough(self) {
            let left = self.deadline.saturating_duration_since(Instant::now());
            let silent = self.status.is_some() && self.streams.iter().all(Option::is_none);
            if left.is_zero() || silent {
                let why = if silent { "ended" } else { "took too long" };
                let heard = self.heard.each_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
                return Err(format!("{}: {why} before {what}; it wrote {heard:?}", self.shown).into());
            }
            self.listen(left)?;
        }
        Ok(())
    }

    fn listen(&mut self, at_most: Duration) -> Result<(), Failed> {
        let open: Vec<usize> = [0, 1].into_iter().filter(|at| self.streams[*at].is_some()).collect();
        let mut polled: Vec<PollFd<'_>> =
            open.iter().map(|at| PollFd::new(self.streams[*at].as_ref().unwrap(), PollFlags::IN)).collect();
        if self.status.is_none() {
            polled.push(PollFd::new(&self.ended, PollFlags::IN));
        }
        let at_most =
            Timespec { tv_sec: i64::try_from(at_most.as_secs())?, tv_nsec: at_most.subsec_nanos().into() };
        match poll(&mut polled, Some(&at_most)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        drop(polled);
        for at in open {
            let mut buffer = [0_u8; 65536];
            match rustix::io::read(self.streams[at].as_ref().unwrap().as_fd(), &mut buffer) {
                Ok(0) => self.streams[at] = None,
                Ok(length) => self.heard[at].extend_from_slice(&buffer[..length]),
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.status.is_none() {
            // The program has not been waited for, so its id, which is its group's as well, is still its own.
            let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Outcome {
    /// Fails with what it wrote unless it ended with this exit status.
    pub fn expect_code(self, code: i32) -> Result<Self, Failed> {
        ensure!(self.code == Some(code), "exit status {code} was expected: {self:?}");
        Ok(self)
    }

    /// Fails unless it ended well; returns what it wrote to its standard output.
    pub fn output(self) -> Result<String, Failed> {
        self.expect_code(0).map(|outcome| outcome.stdout)
    }
}

/// What a program costs.
#[derive(Clone, Debug)]
pub struct Cost {
    /// As with [`Outcome`].
    pub outcome: Outcome,
    /// From its start to its end.
    pub wall: Duration,
    /// The most memory it had in RAM at once, in bytes.
    pub peak_memory: u64,
}

/// Runs `session-enter` with these arguments and measures it.
///
/// A child process of its own does it: the kernel counts the memory that a process had between `fork` and `exec`,
/// which is its parent's, and the parent is to be small.
pub fn cost(arguments: &[&str]) -> Result<Cost, Failed> {
    let outcome = Run::new(super::own_program()).arg("role:measure").args(arguments).finish()?;
    let value: Value =
        serde_json::from_str(&outcome.stdout).map_err(|error| format!("{error}: {outcome:?}"))?;
    let number = |key: &str| value[key].as_u64().ok_or_else(|| format!("no {key} in {value}"));
    Ok(Cost {
        wall: Duration::from_micros(number("wall")?),
        peak_memory: number("peak")? * 1024,
        outcome: Outcome {
            code: value["code"].as_i64().and_then(|code| i32::try_from(code).ok()),
            signal: None,
            stdout: String::new(),
            stderr: value["stderr"].as_str().unwrap_or_default().to_owned(),
        },
    })
}

/// The role of [`cost`]'s child.
pub fn measure(arguments: &[String]) -> ExitCode {
    let began = Instant::now();
    #[allow(
        clippy::zombie_processes,
        reason = "it is waited for below, by the call that also tells what it cost"
    )]
    let mut child = Command::new(env!("CARGO_BIN_EXE_session-enter"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program that is tested can be started");
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).expect("messages are text");
    let mut status = 0;
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    let pid = i32::try_from(child.id()).unwrap();
    // SAFETY: both pointers lead to live values of the types that the call writes.
    let waited = unsafe { libc::wait4(pid, &mut status, 0, usage.as_mut_ptr()) };
    let wall = began.elapsed();
    assert_eq!(waited, pid, "the child has been waited for");
    // SAFETY: zeroed at first, which is a valid value of plain numbers, and then written by the call.
    let usage = unsafe { usage.assume_init() };
    let wall = u64::try_from(wall.as_micros()).unwrap();
    println!(
        "{}",
        json!({ "wall": wall, "peak": usage.ru_maxrss, "code": libc::WEXITSTATUS(status), "stderr": stderr })
    );
    ExitCode::SUCCESS
}
