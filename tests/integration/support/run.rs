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

/// A program to be run: in a process group of its own, with a clean environment, as root unless another user is named.
#[derive(Debug)]
pub struct Run {
    command: Command,
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
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").process_group(0).current_dir("/");
        Self { command, input: None, limit: LIMIT }
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
        self.input = Some(text.into());
        self
    }

    /// Another descriptor as its standard input.
    pub fn stdin(mut self, from: impl Into<Stdio>) -> Self {
        self.command.stdin(from);
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
        if self.input.is_some() {
            self.command.stdin(Stdio::piped());
        }
        let shown = format!("{:?}", self.command);
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if self.input.is_none() {
            // Unless the test gave one: a standard input that was set is not set again.
            self.command.stdin(self.command_stdin());
        }
        let mut child = self.command.spawn().map_err(|error| format!("{shown}: {error}"))?;
        let pid = Pid::from_child(&child);
        let ended = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        let quiet = |fd: OwnedFd| -> Result<Option<OwnedFd>, Failed> {
            rustix::fs::fcntl_setfl(&fd, OFlags::NONBLOCK)?;
            Ok(Some(fd))
        };
        let stdout = quiet(child.stdout.take().unwrap().into())?;
        let stderr = quiet(child.stderr.take().unwrap().into())?;
        let deadline = Instant::now() + self.limit;
        let stdin = child.stdin.take();
        let mut running =
            Running { shown, child, pid, ended, deadline, stdin, streams: [stdout, stderr], heard: Default::default(), finished: false };
        if let Some(input) = self.input {
            running.write(&input)?;
            running.close_input();
        }
        Ok(running)
    }

    /// Runs it to its end.
    pub fn finish(self) -> Result<Outcome, Failed> {
        self.start()?.finish()
    }
}
