//! Files that grow at their end, and are put away when they are complete.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::{Error, Result};

/// Opens the file `name` in `directory` for reading and for adding to its end; `None` when it is not there.
pub fn open(directory: BorrowedFd<'_>, name: &str) -> Result<Option<OwnedFd>> {
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(directory, name, flags, Mode::empty()) {
        Ok(file) => Ok(Some(file)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(Error::new(format!("openat({name:?}, O_APPEND)"), errno)),
    }
}

/// The content of an open file, from its start, wherever reading and writing have come to.
pub fn read_from_start(file: BorrowedFd<'_>) -> Result<Vec<u8>> {
    let failed = |errno| Error::new("pread(fd)", errno);
    let mut content = Vec::new();
    let mut part = [0_u8; 8192];
    loop {
        match rustix::io::pread(file, &mut part, content.len() as u64) {
            Ok(0) => return Ok(content),
            Ok(length) => content.extend_from_slice(&part[..length]),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
}

/// Moves `name` from one directory to another, in place of what has that name there.
pub fn rename_into(from: BorrowedFd<'_>, name: &str, to: BorrowedFd<'_>) -> Result<()> {
    rustix::fs::renameat(from, name, to, name)
        .map_err(|errno| Error::new(format!("renameat({name:?}, another directory)"), errno))
}

/// Takes the file `name` away from `directory`, for one of several who want it: `false` for all others.
pub fn take_away(directory: BorrowedFd<'_>, name: &str) -> Result<bool> {
    match rustix::fs::unlinkat(directory, name, rustix::fs::AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(Error::new(format!("unlinkat({name:?})"), errno)),
    }
}

/// Empties an open file.
pub fn empty(file: BorrowedFd<'_>) -> Result<()> {
    rustix::fs::ftruncate(file, 0).map_err(|errno| Error::new("ftruncate(fd, 0)", errno))
}
