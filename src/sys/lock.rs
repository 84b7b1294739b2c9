//! Locks that a process cannot keep beyond its end, and that nobody waits for without a limit.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::{Error, Result};

/// The longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_millis(5);

/// Opens the file `name` in `directory`, made if it is missing, to be locked.
pub fn open(directory: BorrowedFd<'_>, name: &str) -> Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(directory, name, flags, Mode::RUSR | Mode::WUSR)
        .map_err(|errno| Error::new(format!("openat({name:?}, O_CREAT)"), errno))
}

/// Locks the open file `file`, which `name` is for messages, waiting for `limit` at most. An error with `ETIMEDOUT`
/// says that somebody else has had it for all that time. The lock ends with the last copy of the descriptor.
pub fn lock_within(file: BorrowedFd<'_>, name: &str, limit: Duration) -> Result<()> {
    let start = Instant::now();
    let mut pause = Duration::from_micros(100);
    loop {
        match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::INTR) => continue,
            Err(Errno::WOULDBLOCK) if start.elapsed() < limit => {}
            Err(Errno::WOULDBLOCK) => return Err(Error::new(format!("flock({name:?})"), Errno::TIMEDOUT)),
            Err(errno) => return Err(Error::new(format!("flock({name:?})"), errno)),
        }
        // The kernel's own queue would be fairer, but waiting in it can only be ended by a signal, and a signal's
        // handler is the caller's.
        std::thread::sleep(pause);
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Opens and locks `name` in `directory`.
pub fn lock_file(directory: BorrowedFd<'_>, name: &str, limit: Duration) -> Result<OwnedFd> {
    let file = open(directory, name)?;
    lock_within(file.as_fd(), name, limit)?;
    Ok(file)
}

/// Does anybody hold the lock on the file `name` in `directory`? Not when there is no such file.
pub fn is_held(directory: BorrowedFd<'_>, name: &str) -> Result<bool> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(directory, name, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(false),
        Err(errno) => return Err(Error::new(format!("openat({name:?})"), errno)),
    };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(errno) => Err(Error::new(format!("flock({name:?}, LOCK_SH)"), errno)),
    }
}

/// Locks `file` without a limit. For a process that nobody waits for.
pub fn lock(file: BorrowedFd<'_>) -> Result<()> {
    loop {
        match rustix::fs::flock(file, FlockOperation::LockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::new("flock()", errno)),
        }
    }
}

/// Unlocks `file`.
pub fn unlock(file: BorrowedFd<'_>) -> Result<()> {
    rustix::fs::flock(file, FlockOperation::Unlock).map_err(|errno| Error::new("flock(LOCK_UN)", errno))
}
