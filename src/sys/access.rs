//! Asking what somebody may do, without doing it.

use std::os::fd::{AsRawFd, BorrowedFd};

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
