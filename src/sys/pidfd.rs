//! Processes that are not this one's children, held by a descriptor so that a number that was used again is nobody.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

use super::{Error, Result};

/// `PID_FS_MAGIC`.
const PIDFS_MAGIC: u64 = 0x5049_4446;

/// A descriptor of the process with this number; `None` when there is none.
pub fn open(pid: i32) -> Result<Option<OwnedFd>> {
    let Some(number) = Pid::from_raw(pid) else { return Ok(None) };
    match rustix::process::pidfd_open(number, PidfdFlags::empty()) {
        Ok(pidfd) => Ok(Some(pidfd)),
        Err(Errno::SRCH) => Ok(None),
        Err(errno) => Err(Error::new(format!("pidfd_open({pid})"), errno)),
    }
}

/// Has the process not ended yet?
pub fn is_running(pidfd: BorrowedFd<'_>) -> Result<bool> {
    wait(pidfd, Duration::ZERO).map(|ended| !ended)
}

/// Waits until the process has ended, for `limit` at most. `true` when it has.
pub fn wait(pidfd: BorrowedFd<'_>, limit: Duration) -> Result<bool> {
    super::fd::readable_within(pidfd, limit)
}

/// Ends the process.
pub fn kill(pidfd: BorrowedFd<'_>) -> Result<()> {
    match rustix::process::pidfd_send_signal(pidfd, Signal::KILL) {
        // It has ended by itself.
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(errno) => Err(Error::new("pidfd_send_signal(pidfd, SIGKILL)", errno)),
    }
}

/// A number that no other process of this boot ever has; `None` where the kernel gives none (before 6.9).
pub fn inode(pidfd: BorrowedFd<'_>) -> Result<Option<u64>> {
    let failed = |errno| Error::new("fstat(pidfd)", errno);
    let stat = rustix::fs::fstat(pidfd).map_err(failed)?;
    let fs = rustix::fs::fstatfs(pidfd.as_fd()).map_err(failed)?;
    Ok((u64::try_from(fs.f_type) == Ok(PIDFS_MAGIC)).then_some(stat.st_ino))
}

/// When the process with this number started, in clock ticks since boot; `None` when there is none.
pub fn start_time(pid: i32) -> Result<Option<u64>> {
    let Some(text) = stat(pid)? else { return Ok(None) };
    let started = field(&text, 22)
        .ok_or_else(|| Error::new(format!("read(\"/proc/{pid}/stat\"): no start time"), Errno::INVAL))?;
    Ok(Some(started))
}

/// Where in its memory a process's environment begins; `None` when there is no such process, and 0 for whoever may not
/// look into it.
pub fn environment_address(pid: i32) -> Result<Option<usize>> {
    let Some(text) = stat(pid)? else { return Ok(None) };
    Ok(field(&text, 50).and_then(|address: u64| usize::try_from(address).ok()))
}

/// The number of a process's parent, and what the process is called, 15 bytes of it; `None` when there is none.
pub fn parent_and_name(pid: i32) -> Result<Option<(i32, String)>> {
    let Some(text) = stat(pid)? else { return Ok(None) };
    let name = text.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')).map_or("", |(name, _)| name);
    Ok(field(&text, 4).map(|parent| (parent, name.to_owned())))
}

/// What proc(5) says in `/proc/PID/stat`.
fn stat(pid: i32) -> Result<Option<String>> {
    let path = format!("/proc/{pid}/stat");
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
    let file = rustix::fs::open(path.as_str(), flags, rustix::fs::Mode::empty());
    match file.and_then(|file| super::path::read_all(file.as_fd())) {
        Ok(text) => Ok(Some(String::from_utf8_lossy(&text).into_owned())),
        Err(Errno::NOENT | Errno::SRCH) => Ok(None),
        Err(errno) => Err(Error::new(format!("read({path:?})"), errno)),
    }
}

/// The field of that number, from 3 up: those behind the name, which is in brackets and may hold anything.
fn field<T: std::str::FromStr>(text: &str, number: usize) -> Option<T> {
    let (_, rest) = text.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(number - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_descriptor_and_its_start() {
        let me = i32::try_from(std::process::id()).unwrap();
        let pidfd = open(me).unwrap().unwrap();
        assert!(is_running(pidfd.as_fd()).unwrap());
        assert!(start_time(me).unwrap().is_some());
        let mut child = std::process::Command::new("/bin/sleep").arg("100").spawn().unwrap();
        let number = i32::try_from(child.id()).unwrap();
        let pidfd = open(number).unwrap().unwrap();
        assert!(start_time(number).unwrap() >= start_time(me).unwrap());
        kill(pidfd.as_fd()).unwrap();
        assert!(wait(pidfd.as_fd(), Duration::from_secs(5)).unwrap());
        child.wait().unwrap();
        assert!(open(number).unwrap().is_none());
        assert_eq!(start_time(number).unwrap(), None);
    }
}
