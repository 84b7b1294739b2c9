//! A terminal with somebody at it: keys are typed, and what appears is read.

use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal};
use rustix::termios::Winsize;

use super::{LIMIT, Run, User, ensure, until};

/// A pseudo terminal with a program that has it as its controlling terminal, in a session of its own.
#[derive(Debug)]
pub struct Terminal {
    keys: std::fs::File,
    /// The path of the program's side.
    pub name: String,
    child: Child,
    seen: String,
}

impl Terminal {
    /// Starts `run`'s program on a new terminal, which belongs to `owner` as after a login.
    pub fn start(run: Run, owner: &User) -> Result<Self, Failed> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let keys = rustix::fs::open("/dev/ptmx", flags, Mode::empty())?;
        let (name, program_side) = open_other_side(&keys, flags)?;
        if super::is_root() {
            std::os::unix::fs::fchown(&program_side, Some(owner.uid), None)?;
        }
        let [stdin, stdout] = [program_side.try_clone()?, program_side.try_clone()?];
        let mut command: Command = run.into_command();
        command.stdin(stdin).stdout(stdout).stderr(program_side);
        let own_terminal = || {
            rustix::process::setsid()?;
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin()).map_err(std::io::Error::from)
        };
        // SAFETY: two system calls, and nothing else.
        unsafe { command.pre_exec(own_terminal) };
        let child = command.spawn()?;
        Ok(Self { keys: keys.into(), name, child, seen: String::new() })
    }

    /// Types.
    pub fn type_keys(&mut self, keys: &str) -> Result<(), Failed> {
        self.keys.write_all(keys.as_bytes()).map_err(Failed::from)
    }

    /// Waits until `text` has appeared since the last call, and forgets everything up to it. Returns what came before.
    pub fn expect(&mut self, text: &str) -> Result<String, Failed> {
        let deadline = Instant::now() + LIMIT / 2;
        loop {
            if let Some(at) = self.seen.find(text) {
                let rest = self.seen.split_off(at + text.len());
                let mut before = std::mem::replace(&mut self.seen, rest);
                before.truncate(at);
                return Ok(before);
            }
            ensure!(Instant::now() < deadline, "{text:?} did not appear; what did is {:?}", self.seen);
            ensure!(
                self.listen()?,
                "{text:?} did not appear before the program let go; what did is {:?}",
                self.seen
            );
        }
    }

    /// Reads what has appeared; `false` when no program has the terminal any more.
    fn listen(&mut self) -> Result<bool, Failed> {
        let mut polled = [PollFd::new(&self.keys, PollFlags::IN)];
        let moment = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        if poll(&mut polled, Some(&moment))? == 0 {
            return Ok(true);
        }
        let mut buffer = [0_u8; 4096];
        match rustix::io::read(&self.keys, &mut buffer) {
            Ok(0) | Err(rustix::io::Errno::IO) => Ok(false),
            Ok(length) => {
                self.seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
                Ok(true)
            }
            Err(errno) => Err(errno.into()),
        }
    }

    /// The process group that keys go to.
    pub fn foreground(&self) -> Option<i32> {
        rustix::termios::tcgetpgrp(&self.keys).ok().map(|group| group.as_raw_nonzero().get())
    }

    /// Makes the window another size.
    pub fn resize(&self, rows: u16, columns: u16) -> Result<(), Failed> {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&self.keys, size).map_err(Failed::from)
    }

    /// The program's process id.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Hangs up, as when the line breaks; then waits for the program's end.
    pub fn hang_up(mut self) -> Result<ExitStatus, Failed> {
        self.keys = std::fs::File::open("/dev/null")?;
        self.wait()
    }

    /// Waits for the program's end.
    pub fn end(mut self) -> Result<ExitStatus, Failed> {
        // What nobody reads would keep the program from ending.
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.listen()? && self.child.try_wait()?.is_none() {
            ensure!(Instant::now() < deadline, "the program does not end; what appeared is {:?}", self.seen);
        }
        self.wait()
    }

    fn wait(&mut self) -> Result<ExitStatus, Failed> {
        let child = &mut self.child;
        until("the program on the terminal ends", || child.try_wait().ok().flatten())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // A shell's job has a group of its own.
            if let Some(job) = self.foreground().and_then(Pid::from_raw) {
                let _ = rustix::process::kill_process_group(job, Signal::KILL);
            }
            let _ = rustix::process::kill_process_group(self.pid(), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// The program's side of a new terminal, and its name.
fn open_other_side(keys: &OwnedFd, flags: OFlags) -> Result<(String, OwnedFd), Failed> {
    let mut number: libc::c_uint = 0;
    let unlocked: libc::c_int = 0;
    // SAFETY: reads a live number.
    let done = unsafe { libc::ioctl(keys.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) };
    // SAFETY: writes a live number.
    let done = done | unsafe { libc::ioctl(keys.as_raw_fd(), libc::TIOCGPTN, &raw mut number) };
    ensure!(done == 0, "no terminal: {}", std::io::Error::last_os_error());
    let name = format!("/dev/pts/{number}");
    let side = rustix::fs::open(&name, flags, Mode::empty())?;
    Ok((name, side))
}
