//! Where a login comes from: the host's view, or a session in which somebody called `su` or `sudo`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::keeper;
use crate::error::{Error, ErrorKind};
use crate::registry::{Keeper, NamespaceRecord, Registry};
use crate::sys;
use crate::sys::nsfs::Kind;

/// Where the process is that asks for a session.
#[derive(Debug)]
pub struct Origin {
    /// Its mount namespace.
    pub mounts: OwnedFd,
    /// The PID namespace that its children are born into.
    pub pids: OwnedFd,
    /// The view it is in, if it is in one.
    pub inside: Option<Inside>,
}

/// A view that a login comes from.
#[derive(Debug)]
pub struct Inside {
    /// The host's mount namespace.
    pub host: OwnedFd,
    /// The name of the view's scope; `None` when it is not on record any more.
    pub scope: Option<String>,
    /// Is the process in the view's PID namespace, too? The kernel lets no process out of one.
    pub walled: bool,
}

impl Origin {
    /// Finds out where this process is, which is where its parent, the one that asks, is; and moves this process to the
    /// host's view if that is in a session's.
    pub fn take() -> Result<Self, Error> {
        let mounts = sys::nsfs::own(Kind::Mounts).map_err(failed)?;
        let pids = sys::nsfs::own(Kind::Pids).map_err(failed)?;
        let root = sys::path::mount_at("/").map_err(failed)?;
        sys::nsfs::enter_mounts(mounts.as_fd()).map_err(failed)?;
        if sys::path::mount_at("/").map_err(failed)? != root {
            return Err(Error::new(ErrorKind::Host, "the program that asks for a session runs in a chroot")
                .help("start it outside; a session entered there could not be left again"));
        }
        let inside = match keeper::host_of_this_view().map_err(failed)? {
            Some(host) => {
                sys::nsfs::enter_mounts(host.as_fd()).map_err(failed)?;
                let number = sys::nsfs::number(pids.as_fd()).map_err(failed)?;
                let scope = name_of(|view| match &view.keeper {
                    Keeper::Init { process } => is_in(process.pid, number),
                    _ => false,
                })?;
                Some(Inside { host, scope, walled: true })
            }
            None => without_wall(mounts.as_fd(), pids.as_fd())?,
        };
        Ok(Self { mounts, pids, inside })
    }
}

/// The view that this process is in, where process 1 is not its keeper.
fn without_wall(mounts: BorrowedFd<'_>, pids: BorrowedFd<'_>) -> Result<Option<Inside>, Error> {
    // In a container process 1 may be hidden, and then there is nowhere to go.
    let Ok(Some(host)) = sys::nsfs::of_number(1, Kind::Mounts) else { return Ok(None) };
    let number = sys::nsfs::number(mounts).map_err(failed)?;
    if sys::nsfs::number(host.as_fd()).map_err(failed)? == number {
        // After `sudo` has led out of a view its processes are still in the view's PID namespace.
        let walled = !is_in(1, sys::nsfs::number(pids).map_err(failed)?);
        return Ok(walled.then_some(Inside { host, scope: None, walled }));
    }
    sys::nsfs::enter_mounts(host.as_fd()).map_err(failed)?;
    let scope = name_of(|view| view.mounts == number)?;
    if scope.is_none() {
        // A service with a mount namespace of its own is at home there; only a view of ours is left.
        sys::nsfs::enter_mounts(mounts).map_err(failed)?;
        return Ok(None);
    }
    Ok(Some(Inside { host, scope, walled: false }))
}

fn name_of(is_wanted: impl Fn(&NamespaceRecord) -> bool) -> Result<Option<String>, Error> {
    Registry::open_if_there()?.map_or(Ok(None), |registry| registry.view_on_record(is_wanted))
}

fn is_in(pid: i32, namespace: u64) -> bool {
    let found = sys::nsfs::of_number(pid, Kind::Pids).ok().flatten();
    found.is_some_and(|found| sys::nsfs::number(found.as_fd()).ok() == Some(namespace))
}

fn failed(error: sys::Error) -> Error {
    Error::new(ErrorKind::Host, "cannot find out where this login comes from").caused_by(error)
}
