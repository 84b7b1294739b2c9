//! A child that goes ahead where a call may never come back, and is given up when it does not.
//!
//! A process that waits inside the kernel for a server (NFS, FUSE) cannot be woken by a timer, only killed. So whoever
//! has to go on afterwards, or to say what happened, must not be the first to make the call.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions};

use super::process::{Fork, NewNamespaces};
use super::{Error, Result, fd, pidfd, process};

/// How long a killed child is waited for.
const LAST_MOMENT: Duration = Duration::from_millis(500);

/// The child's own view of itself.
#[derive(Debug)]
pub struct Scout {
    parent: Option<Pid>,
    tell: OwnedFd,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// It has ended, and has come back from that many calls.
    Ended(usize),
    /// It has come back from that many calls, and not from the next one.
    Stuck(usize),
}

impl Scout {
    /// The kernel kills this process when its parent ends. Has to be asked for again after each change of
    /// credentials, file system ids included.
    pub fn die_with_parent(&self) -> Result<()> {
        process::die_with_parent()?;
        // Dead already, the parent would not be noticed any more.
        if rustix::process::getppid() != self.parent {
            process::exit_now(1);
        }
        Ok(())
    }

    /// Tells the parent that one call more has come back.
    pub fn came_back(&self) -> Result<()> {
        super::path::write_all(self.tell.as_fd(), b".")
    }
}

/// Has a child do `work`, and waits until it has ended, or has not come back from a call for `limit`. Then it is
/// killed. The same rule holds as for [`process::fork`]: one thread only.
pub fn send(limit: Duration, work: impl FnOnce(&Scout) -> Result<()>) -> Result<Return> {
    let parent = Some(rustix::process::getpid());
    let (hear, tell) = fd::pipe()?;
    match process::fork(NewNamespaces::default())? {
        Fork::Child => {
            drop(hear);
            let scout = Scout { parent, tell };
            // One that cannot be killed must at least not hold the caller's pipes and terminal.
            let done = scout.die_with_parent().and_then(|()| fd::drop_standard()).and_then(|()| work(&scout));
            process::exit_now(u8::from(done.is_err()))
        }
        Fork::Parent(child) => {
            drop(tell);
            wait(child, hear.as_fd(), limit)
        }
    }
}

fn wait(child: Pid, hear: BorrowedFd<'_>, limit: Duration) -> Result<Return> {
    let mut back = 0;
    let mut deadline = Instant::now() + limit;
    while fd::readable_within(hear, deadline.saturating_duration_since(Instant::now()))? {
        let mut bytes = [0_u8; 64];
        match rustix::io::read(hear, &mut bytes) {
            // Only the end of the child closes the pipe, so this does not wait.
            Ok(0) => {
                reap(child, WaitOptions::empty())?;
                return Ok(Return::Ended(back));
            }
            Ok(length) => {
                back += length;
                deadline = Instant::now() + limit;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::new("read(pipe)", errno)),
        }
    }
    give_up(child)?;
    Ok(Return::Stuck(back))
}

/// Kills `child` and reaps it. A FUSE server that has taken a request and does not answer keeps even a killed process:
/// that one is left to the kernel, which ends it as soon as the file system lets it go.
fn give_up(child: Pid) -> Result<()> {
    // The child has not been waited for, so its id is its own, and there is one.
    if let Some(ended) = pidfd::open(child.as_raw_nonzero().get())? {
        pidfd::kill(ended.as_fd())?;
        pidfd::wait(ended.as_fd(), LAST_MOMENT)?;
    }
    reap(child, WaitOptions::NOHANG)
}

/// Takes in this child and no other.
fn reap(child: Pid, options: WaitOptions) -> Result<()> {
    loop {
        match rustix::process::waitpid(Some(child), options) {
            // Where the process ignores SIGCHLD the kernel has reaped it.
            Ok(_) | Err(Errno::CHILD) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::new(format!("waitpid({child:?})"), errno)),
        }
    }
}
