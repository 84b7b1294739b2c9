//! The mounts of a view that lives, as they are seen inside.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::error::{Error, ErrorKind, Relayed};
use crate::host;
use crate::model::mounts::MountTable;
use crate::registry::{Door, Registry};
use crate::sys;
use crate::sys::nsfs::Kind;
use crate::sys::process::{Fork, NewNamespaces};

/// How many generations of children below a session's first process are looked at for one that is inside.
const DEPTH: usize = 4;

/// The mounts in the generation `generation` of the living view `name`; `None` when that does not live.
pub fn mounts_of_view(registry: &Registry, name: &str, generation: u32) -> Result<Option<MountTable>, Error> {
    let door = registry.look_at_view(name, generation)?;
    match door {
        Some(Door::Init(keeper)) => seen_inside(|| sys::nsfs::enter_mounts_of(keeper.as_fd())).map(Some),
        Some(Door::Mounts(namespace)) => mounts_in(namespace.as_fd()).map(Some),
        None => Ok(None),
    }
}

/// The mounts that the process with this number sees, or the first of its children that is not where this process is;
/// `None` when there is none.
pub fn mounts_of_session(leader: i32) -> Result<Option<MountTable>, Error> {
    let own = sys::nsfs::own_number().map_err(failed)?;
    let mut processes = vec![leader];
    for _ in 0..DEPTH {
        for pid in &processes {
            let Some(namespace) = sys::nsfs::of_number(*pid, Kind::Mounts).map_err(failed)? else { continue };
            if sys::nsfs::number(namespace.as_fd()).map_err(failed)? != own {
                return mounts_in(namespace.as_fd()).map(Some);
            }
        }
        processes = processes.iter().flat_map(|pid| sys::process::children_of(*pid)).collect();
    }
    Ok(None)
}

/// Is the process with this number in the mount namespace that this program is in?
pub fn is_where_this_process_is(pid: i32) -> Result<bool, Error> {
    let own = sys::nsfs::own_number().map_err(failed)?;
    // Of a process of somebody else's it is not told; then it is another one.
    let Ok(Some(namespace)) = sys::nsfs::of_number(pid, Kind::Mounts) else { return Ok(false) };
    Ok(sys::nsfs::number(namespace.as_fd()).map_err(failed)? == own)
}

/// Is this process in a user namespace of its own, as a session is that an ordinary user has opened? Sessions hide what
/// they are from each other; then it is not known, and taken for one.
pub fn is_rootless(pid: i32) -> Result<bool, Error> {
    let number = |pid| {
        sys::nsfs::of_number(pid, Kind::Users).map(|found| found.map(|it| sys::nsfs::number(it.as_fd())))
    };
    let own = sys::nsfs::own(Kind::Users).and_then(|own| sys::nsfs::number(own.as_fd())).map_err(failed)?;
    Ok(match number(pid) {
        Ok(Some(number)) => number.map_err(failed)? != own,
        Ok(None) => false,
        Err(_) => true,
    })
}

fn mounts_in(namespace: BorrowedFd<'_>) -> Result<MountTable, Error> {
    seen_inside(|| sys::nsfs::enter_mounts(namespace))
}

/// Has a child enter, look, and tell. There may be no `/proc` inside; the calls need none, and for kernels without them
/// the host's is held open.
fn seen_inside(enter: impl FnOnce() -> sys::Result<()>) -> Result<MountTable, Error> {
    let (hear, tell) = sys::fd::pipe().map_err(failed)?;
    match sys::process::fork(NewNamespaces::default()).map_err(failed)? {
        Fork::Child => {
            drop(hear);
            let told: Result<MountTable, Relayed> = look(enter).map_err(|error| Relayed::from(&error));
            // Nobody is left to be told when this fails; nothing at all says it, too.
            let _ = serde_json::to_vec(&told)
                .map(|told| sys::path::write_all(tell.as_fd(), &told).map_err(failed));
            sys::process::exit_now(0)
        }
        Fork::Parent(child) => {
            drop(tell);
            let told = read(hear);
            sys::signal::wait_for_end(child).map_err(failed)?;
            let told: Result<MountTable, Relayed> = serde_json::from_slice(&told?).map_err(|error| {
                Error::new(ErrorKind::Host, "a process inside has ended without a word").caused_by(error)
            })?;
            told.map_err(Error::from)
        }
    }
}

fn look(enter: impl FnOnce() -> sys::Result<()>) -> Result<MountTable, Error> {
    let processes = sys::path::open_place("/proc").map_err(failed)?;
    enter().map_err(failed)?;
    host::mounts_seen_now(processes.as_fd())
}

fn read(hear: OwnedFd) -> Result<Vec<u8>, Error> {
    let mut told = Vec::new();
    std::fs::File::from(hear)
        .read_to_end(&mut told)
        .map_err(|error| failed(sys::Error::new("read(pipe)", error)))?;
    Ok(told)
}

fn failed(error: sys::Error) -> Error {
    Error::new(ErrorKind::Host, "cannot see the mounts of a view").caused_by(error)
}
