//! The folder itself: a tmpfs of its own, so that nothing else on `/run` can fill it, and unbindable, so that no
//! recursive bind of `/run` ever copies a pin (and with it keeps another user's namespace alive and in sight).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use super::{LOCK_LIMIT, prepared, scope, session};
use crate::sys;
use crate::sys::mount::{Attributes, Propagation};
use crate::sys::path::Kind;

/// Where it is.
pub const FOLDER: &str = "/run/session-sandbox";
/// Its name in `/run`.
const NAME: &str = "session-sandbox";
/// The file that is written last, with the boot in it.
const READY: &str = "boot";
/// The folder in which `src/scripts` keeps what it has done.
pub(super) const SCRIPTS: &str = "scripts";
/// Room for some tens of thousands of sessions.
const SIZE: &str = "512M";

/// Opens the folder, made if it is missing.
pub(super) fn open() -> sys::Result<OwnedFd> {
    let run = run_folder()?;
    let below = sys::path::private_directory(run.as_fd(), NAME)?;
    if is_ready(&below)? {
        return Ok(below);
    }
    if !is_tmpfs_root(&below)? {
        cover(run.as_fd(), &below)?;
    }
    complete(run.as_fd())?;
    sys::path::private_directory(run.as_fd(), NAME)
}

/// Mounts the file system over `below`, which is the directory of that name on `/run` itself. Whoever comes after that
/// can open it no more, so that this lock is not enough to [`complete`] what has been mounted.
fn cover(run: BorrowedFd<'_>, below: &OwnedFd) -> sys::Result<()> {
    sys::lock::lock_within(below.as_fd(), FOLDER, LOCK_LIMIT)?;
    if is_tmpfs_root(&sys::path::private_directory(run, NAME)?)? {
        return Ok(());
    }
    mount_over(below)
}

/// Fills the file system that is mounted, if nobody has yet; the lock lies on its root. Its maker may have been killed
/// at any step.
fn complete(run: BorrowedFd<'_>) -> sys::Result<()> {
    let folder = sys::path::private_directory(run, NAME)?;
    sys::lock::lock_within(folder.as_fd(), FOLDER, LOCK_LIMIT)?;
    if is_ready(&folder)? {
        return Ok(());
    }
    // Attached first and set apart then: the kernel attaches nothing unbindable where mounts are shared.
    sys::mount::set_attributes(folder.as_fd(), Attributes::empty(), Some(Propagation::Private), false)?;
    sys::mount::set_attributes(folder.as_fd(), Attributes::empty(), Some(Propagation::Unbindable), false)?;
    for name in [scope::FOLDER, session::SESSIONS, session::USERS, prepared::FOLDER, SCRIPTS] {
        sys::path::private_directory(folder.as_fd(), name)?;
    }
    session::prepare(folder.as_fd())?;
    sys::path::replace_file(folder.as_fd(), READY, sys::kernel::boot_id()?.as_bytes())
}

/// Opens the folder if it has been made.
pub(super) fn open_if_there() -> sys::Result<Option<OwnedFd>> {
    let run = run_folder()?;
    match sys::path::open_directory(run.as_fd(), NAME) {
        Ok(_) => {}
        Err(error) if error.errno() == Errno::NOENT.raw_os_error() => return Ok(None),
        Err(error) => return Err(error),
    }
    let folder = sys::path::private_directory(run.as_fd(), NAME)?;
    Ok(is_ready(&folder)?.then_some(folder))
}

/// `/run`, which must be root's alone.
fn run_folder() -> sys::Result<OwnedFd> {
    let run = sys::path::open_directory(sys::path::open_root()?.as_fd(), "run")?;
    let status = sys::path::status(run.as_fd())?;
    if status.uid != 0 || status.mode & 0o022 != 0 {
        let what = format!("/run belongs to uid {} with mode 0{:o}", status.uid, status.mode);
        return Err(sys::Error::new(what, Errno::PERM));
    }
    Ok(run)
}

/// Complete, and of this boot? The file system lies in memory, so that it cannot be of another one; that it is
/// complete is what the file says.
fn is_ready(folder: &OwnedFd) -> sys::Result<bool> {
    Ok(is_tmpfs_root(folder)? && sys::path::is_there(folder.as_fd(), READY)?)
}

fn is_tmpfs_root(folder: &OwnedFd) -> sys::Result<bool> {
    Ok(sys::path::mount_of(folder.as_fd())?.0 && sys::path::is_tmpfs(folder.as_fd())?)
}

fn mount_over(below: &OwnedFd) -> sys::Result<()> {
    let status = sys::path::status(below.as_fd())?;
    if status.kind != Kind::Directory {
        return Err(sys::Error::new("/run/session-sandbox is no directory", Errno::NOTDIR));
    }
    let parameters = [("source", NAME.to_owned()), ("mode", "700".to_owned()), ("size", SIZE.to_owned())];
    let attributes =
        Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NODEV | Attributes::MOUNT_ATTR_NOEXEC;
    let mount = sys::mount::new_filesystem("tmpfs", &parameters, attributes)?;
    sys::mount::attach(mount.as_fd(), below.as_fd())
}
