//! Looking at something without doing anything with it: what it is called, what it lies on, who may do what.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};
use rustix::io::Errno;

use super::{Error, Result};

/// What somebody may do with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// `R_OK`.
    Read,
    /// `W_OK`.
    Write,
    /// `X_OK`.
    Execute,
}

/// Has this thread, with the rights that it has for files, this right to what `fd` stands on? That its file system is
/// read-only is no matter of rights.
pub fn may(fd: BorrowedFd<'_>, right: Right) -> Result<bool> {
    let wanted = match right {
        Right::Read => libc::R_OK,
        Right::Write => libc::W_OK,
        Right::Execute => libc::X_OK,
    };
    let flags = libc::AT_EMPTY_PATH | libc::AT_EACCESS;
    // SAFETY: the path is a static string that is only read.
    let result = unsafe { libc::syscall(libc::SYS_faccessat2, fd.as_raw_fd(), c"".as_ptr(), wanted, flags) };
    let errno = Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO);
    match (result, errno) {
        (0, _) | (_, Errno::ROFS) => Ok(true),
        (_, Errno::ACCESS | Errno::PERM) => Ok(false),
        (_, errno) => Err(Error::new(format!("faccessat2(fd, {right:?})"), errno)),
    }
}

/// The path that leads to `fd`, without links, as this process sees it; with ` (deleted)` behind it where none does.
pub fn name_of(fd: BorrowedFd<'_>) -> Result<String> {
    let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let text = rustix::fs::readlink(link.as_str(), Vec::new())
        .map_err(|errno| Error::new(format!("readlink({link:?})"), errno))?;
    Ok(text.to_string_lossy().into_owned())
}

/// Opens a file that the kernel makes up, to be read.
pub fn open_to_read(path: &str) -> Result<OwnedFd> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::new(format!("open({path:?})"), errno))
}

/// What such a file says, of which nobody needs more than the letters.
pub fn text_of(path: &str) -> Result<String> {
    let text = super::path::read_open(open_to_read(path)?.as_fd())?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The number that `mountinfo` gives the mount that `fd` is on. It may be given again after an unmount.
pub fn old_mount_number(fd: BorrowedFd<'_>) -> Result<u64> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    rustix::fs::statx(fd, c"", flags, StatxFlags::MNT_ID)
        .map(|stat| stat.stx_mnt_id)
        .map_err(|errno| Error::new("statx(fd, MNT_ID)", errno))
}
