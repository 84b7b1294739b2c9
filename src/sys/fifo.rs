//! A named pipe as a lease: whoever holds the writing end is there, and the kernel says when the last one has gone,
//! however it went.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::{Error, Result};

/// Makes the named pipe `name` in `directory`.
pub fn make(directory: BorrowedFd<'_>, name: &str) -> Result<()> {
    rustix::fs::mknodat(directory, name, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
        .map_err(|errno| Error::new(format!("mknodat({name:?}, S_IFIFO)"), errno))
}

/// The end that is told.
pub fn open_reader(directory: BorrowedFd<'_>, name: &str) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(directory, name, flags, Mode::empty())
        .map_err(|errno| Error::new(format!("openat({name:?}, O_RDONLY|O_NONBLOCK)"), errno))
}

/// The end that is held; `None` when nobody holds the other one, or the pipe is not there.
pub fn open_writer(directory: BorrowedFd<'_>, name: &str) -> Result<Option<OwnedFd>> {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(directory, name, flags, Mode::empty()) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::NXIO | Errno::NOENT) => Ok(None),
        Err(errno) => Err(Error::new(format!("openat({name:?}, O_WRONLY|O_NONBLOCK)"), errno)),
    }
}

/// Waits for changes of several descriptors at a time. A change is reported once: a pipe without writers stays one
/// without waking anybody again.
#[derive(Debug)]
pub struct Changes(OwnedFd);

impl Changes {
    /// Of these descriptors, which must outlive this value to be heard.
    pub fn of(descriptors: &[BorrowedFd<'_>]) -> Result<Self> {
        let failed = |errno| Error::new("epoll_create1(), epoll_ctl()", errno);
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(failed)?;
        for (number, descriptor) in descriptors.iter().enumerate() {
            let data = epoll::EventData::new_u64(u64::try_from(number).unwrap_or(u64::MAX));
            epoll::add(&epoll, descriptor, data, epoll::EventFlags::IN | epoll::EventFlags::ET)
                .map_err(failed)?;
        }
        Ok(Self(epoll))
    }

    /// The descriptor, to be kept open.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.0.as_fd()
    }

    /// Waits until something has changed, or this time has passed.
    pub fn wait(&self, limit: Option<Duration>) -> Result<()> {
        let limit = limit.map(super::fd::timespec);
        let mut events =
            [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; 4];
        match epoll::wait(&self.0, &mut events, limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(Error::new("epoll_wait()", errno)),
        }
    }
}

/// Takes out of the pipe what has been written, and forgets it.
pub fn drain(reader: BorrowedFd<'_>) {
    let mut buffer = [0_u8; 256];
    while matches!(rustix::io::read(reader, &mut buffer), Ok(1..)) {}
}

/// The same; `false` when there is nothing to take out because the other end is closed, or nothing to read at all.
pub fn drain_some(reader: BorrowedFd<'_>) -> bool {
    let mut buffer = [0_u8; 256];
    matches!(rustix::io::read(reader, &mut buffer), Ok(1..) | Err(Errno::INTR))
}
