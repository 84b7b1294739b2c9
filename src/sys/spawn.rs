//! Starting a program that is watched over: in a process group of its own, with what it writes in a pipe.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions};

use super::memory::{Memory, Share};
use super::{Error, Result, fd, process};

/// Status of a child that could not become the program.
const NOT_STARTED: u8 = 127;
/// As long a reason as is told.
const REFUSAL_MAX: usize = 4096;
/// How long a process that was killed is waited for. One that waits inside the kernel for a dead server is left to it.
const LAST_MOMENT: Duration = Duration::from_millis(500);
/// As much as a program that has ended, or something that it has left running, is read after its end.
const REST_MAX: usize = 1 << 20;

/// A program that runs.
#[derive(Debug)]
pub struct Watched {
    pid: Pid,
    pidfd: OwnedFd,
    output: Option<OwnedFd>,
    refusal: Refusal,
}

/// Where a child that has not become the program has written why.
#[derive(Debug)]
enum Refusal {
    /// Here: it had this process's memory.
    Told(Option<String>),
    /// In memory that both have.
    Shared(Memory),
}

/// Whose is the child before it has become the program?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Becomes {
    /// Root's to the end. This process, which nobody else can stop, waits until it has become the program.
    Root,
    /// Another user's, who may stop it before that: nothing waits for it.
    User,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this status.
    Status(i32),
    /// By this signal, which was not ours.
    Signal(i32),
    /// It did not end in time; `true` when it had to be killed.
    TimedOut(bool),
    /// It does not even end when it is killed, as long as the kernel waits for something.
    Stuck,
}

/// What it wrote, as far as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// The first bytes.
    pub kept: Vec<u8>,
    /// How many more there were.
    pub dropped: u64,
}

/// `/dev/null` for reading.
pub fn null() -> Result<OwnedFd> {
    rustix::fs::open(c"/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::new("open(\"/dev/null\")", errno))
}

/// Starts a program. `become_program` runs in the child, which is the leader of a session of its own by then, reads
/// `input` and writes into a pipe; what it returns is why it has not become the program. One thread only, as for
/// [`process::start`].
pub fn start(
    input: BorrowedFd<'_>,
    becomes: Becomes,
    mut become_program: impl FnMut() -> String,
) -> Result<Watched> {
    let (output, theirs) = fd::pipe()?;
    rustix::fs::fcntl_setfl(&output, OFlags::NONBLOCK)
        .map_err(|errno| Error::new("fcntl(pipe, O_NONBLOCK)", errno))?;
    let mut become_program = || {
        let prepared = process::new_session().and_then(|()| {
            let failed = |errno| Error::new("dup2(pipe, 0..2)", errno);
            rustix::stdio::dup2_stdin(input).map_err(failed)?;
            rustix::stdio::dup2_stdout(&theirs).map_err(failed)?;
            rustix::stdio::dup2_stderr(&theirs).map_err(failed)
        });
        match prepared {
            Ok(()) => become_program(),
            Err(error) => error.to_string(),
        }
    };
    let (pid, refusal) = match becomes {
        Becomes::Root => {
            let mut why = None;
            let pid = process::start(|| {
                why = Some(become_program());
                NOT_STARTED
            })?;
            (pid, Refusal::Told(why))
        }
        Becomes::User => {
            let mut shared = Memory::new(REFUSAL_MAX, Share::Same)?;
            match process::fork(process::NewNamespaces::default())? {
                process::Fork::Child => {
                    say(&mut shared, &become_program());
                    process::exit_now(NOT_STARTED)
                }
                process::Fork::Parent(pid) => (pid, Refusal::Shared(shared)),
            }
        }
    };
    drop(theirs);
    // It has not been waited for, so the number is its own.
    let pidfd = super::pidfd::open(pid.as_raw_nonzero().get())?
        .ok_or_else(|| Error::new(format!("pidfd_open({pid:?})"), Errno::SRCH))?;
    Ok(Watched { pid, pidfd, output: Some(output), refusal })
}

/// Puts `text` where the parent reads it, as much as there is room for.
fn say(shared: &mut Memory, text: &str) {
    for (to, from) in shared.bytes_mut().iter_mut().zip(text.bytes()) {
        *to = from;
    }
}

/// What a child has put there; nothing where it has become the program.
fn said(shared: &Memory) -> Option<String> {
    let text = shared.bytes().split(|byte| *byte == 0).next().unwrap_or_default();
    (!text.is_empty()).then(|| String::from_utf8_lossy(text).into_owned())
}

impl Watched {
    /// Its number.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Its descriptor.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Waits for its end, for `limit` at most; then its whole process group is asked to end, and after `grace` more it is
    /// killed. Of what it writes, `keep` bytes are kept. Who has left the group, and still holds the pipe, is not waited
    /// for. The text is why the child has not become the program.
    pub fn wait(
        mut self,
        limit: Duration,
        grace: Duration,
        keep: usize,
    ) -> Result<(Ended, Heard, Option<String>)> {
        let mut heard = Heard::default();
        let mut ended = None;
        if !self.listen(Instant::now() + limit, keep, &mut heard)? {
            self.signal_group(Signal::TERM);
            let killed = !self.listen(Instant::now() + grace, keep, &mut heard)?;
            // Also where the leader of the group has gone in time: others may have stayed.
            self.signal_group(Signal::KILL);
            if killed && !self.listen(Instant::now() + LAST_MOMENT, keep, &mut heard)? {
                return Ok((Ended::Stuck, heard, None));
            }
            ended = Some(Ended::TimedOut(killed));
        }
        // What it has written before its end is in the pipe by now.
        let before = heard.kept.len() as u64 + heard.dropped;
        while heard.kept.len() as u64 + heard.dropped - before < REST_MAX as u64
            && self.take(keep, &mut heard)?
        {}
        let status = self.reap()?;
        let refusal = match self.refusal {
            Refusal::Told(why) => why,
            Refusal::Shared(shared) => said(&shared),
        };
        Ok((ended.unwrap_or(status), heard, refusal))
    }

    /// Takes in what it writes until it has ended; `false` when that has not come by `deadline`.
    fn listen(&mut self, deadline: Instant, keep: usize, heard: &mut Heard) -> Result<bool> {
        loop {
            let left = fd::timespec(deadline.saturating_duration_since(Instant::now()));
            let mut polled = vec![PollFd::new(&self.pidfd, PollFlags::IN)];
            polled.extend(self.output.as_ref().map(|output| PollFd::new(output, PollFlags::IN)));
            match poll(&mut polled, Some(&left)) {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(Error::new("poll(pidfd, pipe)", errno)),
            }
            let has_ended = !polled[0].revents().is_empty();
            let has_written = polled.get(1).is_some_and(|output| !output.revents().is_empty());
            drop(polled);
            if has_ended {
                return Ok(true);
            }
            if has_written {
                self.take(keep, heard)?;
            }
            // A program that never stops writing is always ready.
            if Instant::now() >= deadline {
                return Ok(false);
            }
        }
    }

    /// Takes in what is in the pipe now; `false` when nothing was.
    fn take(&mut self, keep: usize, heard: &mut Heard) -> Result<bool> {
        let Some(output) = &self.output else { return Ok(false) };
        let mut buffer = [0_u8; 16 * 1024];
        match rustix::io::read(output, &mut buffer) {
            Ok(0) => {
                self.output = None;
                Ok(false)
            }
            Ok(length) => {
                let room = keep.saturating_sub(heard.kept.len()).min(length);
                heard.kept.extend_from_slice(&buffer[..room]);
                heard.dropped += (length - room) as u64;
                Ok(true)
            }
            Err(Errno::AGAIN) => Ok(false),
            Err(Errno::INTR) => Ok(true),
            Err(errno) => Err(Error::new("read(pipe)", errno)),
        }
    }

    /// To everybody in the group; its leader has not been waited for, so that the number is the group's.
    fn signal_group(&self, signal: Signal) {
        // There may be nobody left.
        let _ = rustix::process::kill_process_group(self.pid, signal);
    }

    fn reap(&self) -> Result<Ended> {
        loop {
            match rustix::process::waitpid(Some(self.pid), WaitOptions::empty()) {
                Ok(Some((_, status))) => {
                    return Ok(match (status.exit_status(), status.terminating_signal()) {
                        (Some(status), _) => Ended::Status(status),
                        (None, Some(signal)) => Ended::Signal(signal),
                        (None, None) => Ended::Status(0),
                    });
                }
                Ok(None) | Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::new(format!("waitpid({:?})", self.pid), errno)),
            }
        }
    }
}

/// Asks the process group of a program that a killed process of ours has left running to end, and kills it after
/// `grace`. `pidfd` is of the group's leader, which was seen to be the right one.
pub fn end_group(pidfd: BorrowedFd<'_>, pid: i32, grace: Duration) {
    let Some(group) = Pid::from_raw(pid) else { return };
    let _ = rustix::process::kill_process_group(group, Signal::TERM);
    let _ = super::pidfd::wait(pidfd.as_fd(), grace);
    if matches!(super::pidfd::is_running(pidfd), Ok(true)) {
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
    }
}

/// Puts `file` at number 3, where a program finds it after its start. For the child of [`start`], as its last act but one:
/// whatever had that number is closed there.
pub fn put_at_three(file: BorrowedFd<'_>) -> Result<()> {
    use std::os::fd::AsRawFd;
    let result = match file.as_raw_fd() {
        // SAFETY: takes numbers; the descriptor is open, and stays so.
        3 => unsafe { libc::fcntl(3, libc::F_SETFD, 0) },
        // SAFETY: the child is about to become another program, and uses no descriptor any more that it had at 3; its
        // table of descriptors is its own.
        number => unsafe { libc::dup2(number, 3) },
    };
    if result < 0 {
        return Err(Error::new("dup2(file, 3)", std::io::Error::last_os_error()));
    }
    Ok(())
}

/// A file in memory, which this user alone may open again.
pub fn memory_file(uid: u32) -> Result<OwnedFd> {
    use rustix::fs::{MemfdFlags, Uid, fchmod, fchown, memfd_create};
    let failed = |errno| Error::new("memfd_create()", errno);
    let file = memfd_create(c"session-env", MemfdFlags::CLOEXEC).map_err(failed)?;
    // Whether it is written to by its number or by its name, everything goes to its end.
    rustix::fs::fcntl_setfl(&file, OFlags::APPEND).map_err(failed)?;
    fchmod(&file, Mode::RUSR | Mode::WUSR).map_err(failed)?;
    fchown(&file, Some(Uid::from_raw(uid)), None).map_err(failed)?;
    Ok(file)
}

/// What was written into a file, `limit` bytes at most.
pub fn read_up_to(file: BorrowedFd<'_>, limit: usize) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    let mut part = [0_u8; 4096];
    while content.len() < limit {
        match rustix::io::pread(file, &mut part, content.len() as u64) {
            Ok(0) => break,
            Ok(more) => content.extend_from_slice(&part[..more]),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::new("pread(file)", errno)),
        }
    }
    content.truncate(limit);
    Ok(content)
}
