//! Processes by more than their number, which is used again.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::error::{Error, Result};

/// A process of this boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessId {
    /// Its number.
    pub pid: i32,
    /// When it started, in clock ticks since boot.
    pub started: u64,
}

impl ProcessId {
    /// The process with this number, if there is one that has not ended.
    pub fn open(pid: i32) -> Result<Option<(Self, OwnedFd)>> {
        // Zero and below name no process.
        let Some(number) = Some(pid).filter(|pid| *pid > 0).and_then(Pid::from_raw) else { return Ok(None) };
        let pidfd = match pidfd_open(number, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            // A number that is a thread's (EINVAL, later ENOENT) is no process that could have logged in.
            Err(Errno::SRCH | Errno::INVAL | Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(Error::new(format!("pidfd_open({pid})"), errno)),
        };
        let Some(started) = start_time(pid)? else { return Ok(None) };
        // Asked last: as long as it runs, its number was nobody else's while its start was read.
        Ok(if has_ended(pidfd.as_fd())? { None } else { Some((Self { pid, started }, pidfd)) })
    }

    /// A child that has not been waited for: the number is its own, even when it has ended.
    pub fn open_child(pid: i32) -> Result<(Self, OwnedFd)> {
        let failed = |errno| Error::new(format!("pidfd_open({pid})"), errno);
        let number = Pid::from_raw(pid).ok_or_else(|| failed(Errno::SRCH))?;
        let pidfd = pidfd_open(number, PidfdFlags::empty()).map_err(failed)?;
        let started = start_time(pid)?.ok_or_else(|| failed(Errno::SRCH))?;
        Ok((Self { pid, started }, pidfd))
    }

    /// A descriptor of this process, if it has not ended.
    pub fn open_again(self) -> Result<Option<OwnedFd>> {
        Ok(Self::open(self.pid)?.filter(|(found, _)| *found == self).map(|(_, pidfd)| pidfd))
    }
}

/// Has the process behind the descriptor ended?
fn has_ended(pidfd: BorrowedFd<'_>) -> Result<bool> {
    let mut asked = [PollFd::from_borrowed_fd(pidfd, PollFlags::IN)];
    loop {
        match poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::new("poll(pidfd)", errno)),
        }
    }
}

/// When the process with this number started; `None` when there is none.
fn start_time(pid: i32) -> Result<Option<u64>> {
    let path = format!("/proc/{pid}/stat");
    let file = rustix::fs::open(path.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    // One read: the kernel makes the whole line for it, and it is shorter than this.
    let mut bytes = [0_u8; 1024];
    let length = match file.and_then(|file| rustix::io::read(&file, &mut bytes)) {
        Ok(length) => length,
        Err(Errno::NOENT | Errno::SRCH) => return Ok(None),
        Err(errno) => return Err(Error::new(format!("read({path:?})"), errno)),
    };
    // The name, in brackets, may hold anything; what follows the last bracket are fields 3 and up, and 22 is wanted.
    let text = String::from_utf8_lossy(bytes.get(..length).unwrap_or_default());
    let field = text.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().nth(19));
    match field.and_then(|field| field.parse().ok()) {
        Some(started) => Ok(Some(started)),
        None => Err(Error::plain(format!("read({path:?}): there is no start time in it"))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_number_and_its_start() {
        let mut child = std::process::Command::new("/bin/sleep").arg("100").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let (process, pidfd) = ProcessId::open(pid).unwrap().unwrap();
        assert!(!has_ended(pidfd.as_fd()).unwrap());
        assert!(process.open_again().unwrap().is_some());
        let earlier = ProcessId { started: process.started - 1, ..process };
        assert!(earlier.open_again().unwrap().is_none());
        child.kill().unwrap();
        // Before it is waited for, too: what has ended does not log in any more.
        poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], None).unwrap();
        assert!(process.open_again().unwrap().is_none());
        child.wait().unwrap();
        assert!(process.open_again().unwrap().is_none());
        for nobody in [0, -1] {
            assert!(ProcessId::open(nobody).unwrap().is_none());
        }
    }
}
