//! A look at a file by its name, as this process sees it: at a program that the kernel would not start.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, StatVfsMountFlags};

use super::{Error, Result};

/// As much as is read of a file: the headers of a program, or the first line of a script.
const HEAD: usize = 4096;

/// Opens `file` as a place, along all links.
pub fn place(file: &OsStr) -> Result<OwnedFd> {
    rustix::fs::open(file, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::new(format!("open({file:?}, O_PATH)"), errno))
}

/// The text of a symbolic link.
pub fn link_text(file: &OsStr) -> Result<String> {
    rustix::fs::readlink(file, Vec::new())
        .map(|text| String::from_utf8_lossy(text.as_bytes()).into_owned())
        .map_err(|errno| Error::new(format!("readlink({file:?})"), errno))
}

/// The first bytes of a regular file.
pub fn head(file: &OsStr) -> Result<Vec<u8>> {
    let failed = |errno| Error::new(format!("read({file:?})"), errno);
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(file, flags, Mode::empty()).map_err(failed)?;
    head_of(opened.as_fd())
}

/// The first bytes of an open file.
pub fn head_of(file: BorrowedFd<'_>) -> Result<Vec<u8>> {
    let mut bytes = vec![0; HEAD];
    let length = rustix::io::retry_on_intr(|| rustix::io::read(file, &mut *bytes))
        .map_err(|errno| Error::new("read(file)", errno))?;
    bytes.truncate(length);
    Ok(bytes)
}

/// Does it lie on a mount from which nothing is executed?
pub fn is_on_noexec(place: BorrowedFd<'_>) -> Result<bool> {
    rustix::fs::fstatvfs(place)
        .map(|status| status.f_flag.contains(StatVfsMountFlags::NOEXEC))
        .map_err(|errno| Error::new("fstatvfs(fd)", errno))
}
