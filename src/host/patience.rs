//! How long a server may take: a dead NFS or FUSE mount must cost its user a message, not a hang.
//!
//! A look-up that the kernel can do from memory, or by a file system of this host, is done at once. Everything else is
//! done by a scout first (`sys::scout`), and by this process only when the scout has come back. This happens before
//! any other process is made, so that there is nothing yet that a stuck look-up could leave behind, and the error
//! comes from the caller's own process. (The processes inside could not do it: a PID namespace does not end before
//! its last process, and a scout that a FUSE server holds cannot even be killed.)
//!
//! What remains is a server that dies between the scout and the look-ups after it, and a file system that asks its
//! server at the very root of a mount, which `RESOLVE_CACHED` does not prevent (9p).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;

use crate::error::{Error, ErrorKind};
use crate::model::path::AbsPath;
use crate::model::policy::Origin;
use crate::plan::Plan;
use crate::plan::step::Mount;
use crate::sys;
use crate::sys::scout::{Return, Scout};

use super::source::Sources;

/// How long a file system may take to answer one look-up.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// FUSE, whose server is a process. There is a variant of it on block devices.
const FUSE: u64 = 0x6573_5546;
/// File systems that lie on no single block device and still answer by themselves.
const LOCAL: [u64; 11] = [
    0x0102_1994, // tmpfs
    0x8584_58f6, // ramfs
    0x9123_683e, // btrfs
    0xca45_1a4e, // bcachefs
    0x2fc1_2fc1, // zfs
    0x794c_7630, // overlay; what it lies on is hardly ever a server's
    0x9fa0,      // proc
    0x6265_6572, // sysfs
    0x6367_7270, // cgroup2
    0x1cd1,      // devpts
    0x6e73_6673, // nsfs
];

/// Is `place` on a file system that needs nobody outside the kernel to answer? A wrong "no" costs a `fork`.
pub(super) fn answers_by_itself(place: BorrowedFd<'_>) -> sys::Result<bool> {
    let filesystem = sys::mount::filesystem_of(place)?;
    Ok(match filesystem.magic {
        Some(magic) => magic != FUSE && (filesystem.on_device || LOCAL.contains(&magic)),
        None => filesystem.on_device,
    })
}

/// Has a scout do `count` things that may never come back. The number of the one that did not, if so.
pub(super) fn scout(
    count: usize,
    each: impl Fn(usize, &Scout) -> sys::Result<()>,
) -> sys::Result<Option<usize>> {
    if count == 0 {
        return Ok(None);
    }
    let sent = sys::scout::send(PATIENCE, |scout| {
        (0..count).try_for_each(|at| {
            each(at, scout)?;
            scout.came_back()
        })
    });
    match sent {
        Ok(Return::Stuck(at)) => Ok(Some(at)),
        Ok(Return::Ended(back)) if back == count => Ok(None),
        Ok(Return::Ended(back)) => {
            Err(sys::Error::new(format!("a child ended after {back} of {count} look-ups"), Errno::CHILD))
        }
        // A program with several threads, which the library does not forbid for planning, cannot fork. It may wait.
        Err(error) if error.errno() == Errno::DEADLK.raw_os_error() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The error for a path whose file system does not answer, and the line of the map that asks for it.
pub(super) fn no_answer(path: &AbsPath, origin: Option<&Origin>) -> Error {
    let asker = origin.map(|origin| format!("{origin}: ")).unwrap_or_default();
    Error::new(ErrorKind::Host, format!("{asker}{path}: no answer within {} s", PATIENCE.as_secs())).help(
        "its file system asks a server (NFS, FUSE, an automounter) that does not answer: bring the server back, or unmount it (umount -l)",
    )
}

/// Fails when the directory in which the program of `plan` starts does not answer. The program's process enters it as
/// its last act, as the user: on FUSE the first call that reaches the server, because a bind of the mount asks nobody.
///
/// That it cannot be entered for another reason is none of this function's business.
pub fn can_start(plan: &Plan) -> Result<(), Error> {
    let below = |target: &AbsPath| plan.exec.directory == *target || plan.exec.directory.is_below(target);
    let shown =
        plan.mounts().filter(|(step, ..)| below(&step.target)).max_by_key(|(step, ..)| step.target.depth());
    let Some((step, Mount::Bind { source, look, .. }, _)) = shown else { return Ok(()) };
    let Some(directory) = plan.exec.directory.rebase(&step.target, source) else { return Ok(()) };
    let subject = &plan.subject;
    let sources = Sources::of(subject, plan.namespace.user.is_none());
    match sources.open_at_once(&directory, *look) {
        Err(_) => return Ok(()),
        Ok(Some(place)) if matches!(answers_by_itself(place.as_fd()), Ok(true)) => return Ok(()),
        Ok(_) => {}
    }
    let enter = |place: OwnedFd, scout: &Scout| {
        if plan.namespace.user.is_none() {
            sys::identity::set_groups(&subject.groups)?;
            sys::identity::set_gid(subject.gid)?;
            sys::identity::set_uid(subject.uid)?;
            scout.die_with_parent()?;
        }
        sys::path::enter_directory(place.as_fd())
    };
    let not_back = scout(1, |_, scout| {
        if let Ok(place) = sources.open_first(&directory, *look, scout) {
            let _ = enter(place, scout);
        }
        Ok(())
    });
    match not_back {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(no_answer(&directory, Some(&step.origin))),
        Err(error) => Err(Error::new(ErrorKind::Enter, "cannot start the session").caused_by(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_makes_up_needs_no_server() {
        for path in ["/proc", "/sys"] {
            let place = sys::path::open_place(path).unwrap();
            let filesystem = sys::mount::filesystem_of(place.as_fd()).unwrap();
            assert!(!filesystem.on_device, "{path}");
            // A kernel before 6.8 does not tell, and a scout goes ahead.
            assert_eq!(answers_by_itself(place.as_fd()).unwrap(), filesystem.magic.is_some(), "{path}");
        }
    }

    #[test]
    fn a_program_with_threads_sends_no_scout() {
        std::thread::spawn(|| {
            assert_eq!(scout(1, |_, _| Ok(())).unwrap(), None);
            assert!(sys::scout::send(PATIENCE, |_| Ok(())).is_err());
        })
        .join()
        .unwrap();
    }
}
