//! Which process: a number alone is nobody, it is used again.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use serde::{Deserialize, Serialize};

use crate::sys;

/// A process of this boot, by more than its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its number in the namespace of whoever wrote this down.
    pub pid: i32,
    /// When it started, in clock ticks since boot.
    pub started: u64,
    /// The kernel's number for its descriptors, which is never used again in a boot (6.9).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inode: Option<u64>,
}

impl ProcessId {
    /// The process with this number, which must be a child that has not been waited for, or this process.
    pub fn of(pid: i32) -> sys::Result<Option<(Self, OwnedFd)>> {
        let Some(pidfd) = sys::pidfd::open(pid)? else { return Ok(None) };
        let Some(started) = sys::pidfd::start_time(pid)? else { return Ok(None) };
        let inode = sys::pidfd::inode(pidfd.as_fd())?;
        Ok(Some((Self { pid, started, inode }, pidfd)))
    }

    /// The child with this number, which has not been waited for, and its descriptor. Where the kernel gives a number that
    /// is never used again the start is not asked for: that costs more than starting a small program may.
    pub fn of_child(pid: i32, pidfd: BorrowedFd<'_>) -> sys::Result<Option<Self>> {
        let inode = sys::pidfd::inode(pidfd)?;
        let started = match inode {
            Some(_) => Some(0),
            None => sys::pidfd::start_time(pid)?,
        };
        Ok(started.map(|started| Self { pid, started, inode }))
    }

    /// This process.
    pub fn own() -> sys::Result<Self> {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        let own = Self::of(pid)?;
        own.map(|(own, _)| own).ok_or_else(|| sys::Error::new("pidfd_open(own pid)", rustix::io::Errno::SRCH))
    }

    /// A descriptor of it, if it is still running.
    pub fn open(&self) -> sys::Result<Option<OwnedFd>> {
        let Some(pidfd) = sys::pidfd::open(self.pid)? else { return Ok(None) };
        Ok((self.is(pidfd.as_fd())? && sys::pidfd::is_running(pidfd.as_fd())?).then_some(pidfd))
    }

    /// Is this the process behind `pidfd`, which was opened by its number?
    fn is(&self, pidfd: BorrowedFd<'_>) -> sys::Result<bool> {
        match (self.inode, sys::pidfd::inode(pidfd)?) {
            (Some(inode), Some(now)) => Ok(inode == now),
            // Asked after the descriptor was opened: if that process has ended since, it is not running.
            _ => Ok(sys::pidfd::start_time(self.pid)? == Some(self.started)),
        }
    }
}
