//! Replacing a file of the host so that it is whole at any moment, also after a loss of power.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use super::{Error, Result};

/// Who owns a file, and what others may do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// The permission bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// The ownership of an open file.
pub fn ownership(file: BorrowedFd<'_>) -> Result<Ownership> {
    let stat = rustix::fs::fstat(file).map_err(|errno| Error::new("fstat(fd)", errno))?;
    Ok(Ownership { mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid })
}

/// What the new file is called until it takes the old one's name. Hidden, so that nobody takes it for one of the
/// folder's own.
pub fn temporary_name(name: &str) -> String {
    format!(".{name}.session-sandbox")
}

/// Puts a file with this content at `name` in `directory`, in place of what is there. It is on the disk before it has
/// the name.
pub fn replace(directory: BorrowedFd<'_>, name: &str, content: &[u8], ownership: Ownership) -> Result<()> {
    let new = temporary_name(name);
    super::path::remove_if_there(directory, &new)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, new.as_str(), flags, Mode::RUSR | Mode::WUSR)
        .map_err(|errno| Error::new(format!("openat({new:?}, O_CREAT|O_EXCL)"), errno))?;
    super::path::write_all(file.as_fd(), content)?;
    // The owner first: a change of it takes set-id bits away.
    let (uid, gid) = (Uid::from_raw(ownership.uid), Gid::from_raw(ownership.gid));
    rustix::fs::fchown(&file, Some(uid), Some(gid)).map_err(|errno| {
        Error::new(format!("fchown({new:?}, {}, {})", ownership.uid, ownership.gid), errno)
    })?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(ownership.mode))
        .map_err(|errno| Error::new(format!("fchmod({new:?}, 0{:o})", ownership.mode), errno))?;
    rustix::fs::fsync(&file).map_err(|errno| Error::new(format!("fsync({new:?})"), errno))?;
    rustix::fs::renameat(directory, new.as_str(), directory, name)
        .map_err(|errno| Error::new(format!("renameat({new:?}, {name:?})"), errno))?;
    sync_directory(directory)
}

/// Removes `name` from `directory` for good.
pub fn remove(directory: BorrowedFd<'_>, name: &str) -> Result<()> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => sync_directory(directory),
        Err(errno) => Err(Error::new(format!("unlinkat({name:?})"), errno)),
    }
}

/// Has the disk know the names in `directory`.
pub fn sync_directory(directory: BorrowedFd<'_>) -> Result<()> {
    // A place (O_PATH) cannot be synchronised.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(directory, ".", flags, Mode::empty())
        .map_err(|errno| Error::new("openat(fd, \".\")", errno))?;
    rustix::fs::fsync(&opened).map_err(|errno| Error::new("fsync(directory)", errno))
}
