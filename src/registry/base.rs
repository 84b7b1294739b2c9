//! The base namespace: where every session's own one is copied from.
//!
//! `unshare(CLONE_NEWNS)` copies the table of mounts that a process is in. On a host with ten thousand mounts that
//! takes milliseconds, and letting go of them again takes more. So a login moves into a namespace with a single mount
//! first, an empty read-only tmpfs, and copies that one.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use super::LOCK_LIMIT;
use crate::sys;
use crate::sys::mount::Attributes;
use crate::sys::nsfs::Kind;

/// The pin's name begins with this, and goes on with the number of the mount namespace in which it is mounted: a
/// service with a mount namespace of its own sees this folder's files and not the mounts on them.
pub(super) const PIN: &str = "base-";
/// The lock under which it is made.
const LOCK: &str = "base.lock";

/// Opens it, made if it is missing or not what it should be.
pub(super) fn open(folder: BorrowedFd<'_>) -> sys::Result<OwnedFd> {
    let pin_name = format!("{PIN}{}", sys::nsfs::own_number()?);
    let pin_name = pin_name.as_str();
    if let Some(base) = usable(folder, pin_name)? {
        return Ok(base);
    }
    let _lock = sys::lock::lock_file(folder, LOCK, LOCK_LIMIT)?;
    if let Some(base) = usable(folder, pin_name)? {
        return Ok(base);
    }
    remove_pin(folder, pin_name)?;
    let base = make(None)?;
    match pin(folder, pin_name, base.as_fd()) {
        Err(error) if error.errno() == Errno::LOOP.raw_os_error() => {
            make_on_another_processor(folder, pin_name)
        }
        pinned => pinned.map(|()| base),
    }
}

/// A pin is refused in any namespace but an older one, lest two keep each other alive. Since 6.18 the kernel tells the
/// older one by a number that only grows on one processor at a time (each hands out numbers of a batch of its own), so
/// that a child's namespace can seem older than its parent's. (The host's first namespace has the lowest number of
/// all; this is for containers.) On the processor where this process's own namespace was made the order holds.
fn make_on_another_processor(folder: BorrowedFd<'_>, pin_name: &str) -> sys::Result<OwnedFd> {
    let mut refused = sys::Error::new("pinning a mount namespace", Errno::LOOP);
    for processor in sys::process::processors()? {
        remove_pin(folder, pin_name)?;
        let base = make(Some(processor))?;
        match pin(folder, pin_name, base.as_fd()) {
            Err(error) if error.errno() == Errno::LOOP.raw_os_error() => refused = error,
            pinned => return pinned.map(|()| base),
        }
    }
    Err(refused)
}

/// Removes the pins of mount namespaces that are gone, and their mounts with them. One that is in use elsewhere stays:
/// only where a process is can anybody log in.
pub(super) fn sweep(folder: BorrowedFd<'_>) -> sys::Result<()> {
    let pins: Vec<String> =
        sys::path::list(folder)?.into_iter().filter(|name| name.starts_with(PIN)).collect();
    let own = sys::nsfs::own_number()?;
    let is_own = |name: &String| name.strip_prefix(PIN).and_then(|number| number.parse().ok()) == Some(own);
    if pins.iter().all(is_own) {
        return Ok(());
    }
    let _lock = sys::lock::lock_file(folder, LOCK, LOCK_LIMIT)?;
    for pin in of_nobody(pins)? {
        remove_pin(folder, &pin)?;
    }
    Ok(())
}

/// How many pins a sweep would remove.
pub(super) fn stale(folder: BorrowedFd<'_>) -> sys::Result<usize> {
    let own = format!("{PIN}{}", sys::nsfs::own_number()?);
    let names = sys::path::list(folder)?.into_iter();
    // Most often there is none but this namespace's own; then nobody has to be looked at.
    let pins: Vec<String> = names.filter(|name| name.starts_with(PIN) && *name != own).collect();
    Ok(if pins.is_empty() { 0 } else { of_nobody(pins)?.len() })
}

/// Those of the pins whose mount namespace no process is in.
fn of_nobody(mut pins: Vec<String>) -> sys::Result<Vec<String>> {
    let living = sys::nsfs::everybody(Kind::Mounts)?;
    pins.retain(|pin| {
        let number = pin.strip_prefix(PIN).and_then(|number| number.parse::<u64>().ok());
        number.is_none_or(|number| living.iter().all(|(_, other)| *other != number))
    });
    Ok(pins)
}

/// The pinned namespace, if there is one and it holds one mount. (What that mount is, is looked at by whoever has
/// entered it: `run::Kernel` refuses any that is not an empty read-only tmpfs of root's.)
fn usable(folder: BorrowedFd<'_>, pin_name: &str) -> sys::Result<Option<OwnedFd>> {
    let Some(base) = open_pin(folder, pin_name)? else { return Ok(None) };
    Ok(matches!(sys::nsfs::mount_count(base.as_fd()), Some(1) | None).then_some(base))
}

/// The mount namespace pinned at `name`, if one is.
pub(super) fn open_pin(folder: BorrowedFd<'_>, name: &str) -> sys::Result<Option<OwnedFd>> {
    match sys::path::open_file(folder, name) {
        Ok(pin) => Ok(sys::nsfs::is_mount_namespace(pin.as_fd()).then_some(pin)),
        Err(error) if error.errno() == Errno::NOENT.raw_os_error() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Keeps `namespace` alive by a mount on a new file `name`.
pub(super) fn pin(folder: BorrowedFd<'_>, name: &str, namespace: BorrowedFd<'_>) -> sys::Result<()> {
    sys::path::make_file(folder, name, 0o600, b"")?;
    let file = sys::path::open(folder, name, sys::path::Links::Refuse)?;
    sys::mount::attach(sys::mount::clone_tree(namespace, false)?.as_fd(), file.as_fd())
}

/// Lets go of what is pinned at `name`, and removes the file.
pub(super) fn remove_pin(folder: BorrowedFd<'_>, name: &str) -> sys::Result<()> {
    loop {
        let place = match sys::path::open(folder, name, sys::path::Links::Refuse) {
            Ok(place) => place,
            Err(error) if error.errno() == Errno::NOENT.raw_os_error() => return Ok(()),
            Err(error) => return Err(error),
        };
        if sys::path::mount_of(place.as_fd())?.0 {
            sys::mount::detach(place.as_fd())?;
        } else {
            return sys::path::remove_if_there(folder, name);
        }
    }
}

/// Has a child make the namespace, on this processor if one is named, and takes it over.
fn make(processor: Option<usize>) -> sys::Result<OwnedFd> {
    let (why_not, namespace) = sys::process::from_child(|to| {
        let sent = isolate(processor).and_then(|namespace| sys::fd::send_with(to, b"\n", namespace.as_fd()));
        if let Err(error) = sent {
            // With nobody listening there is nobody to tell.
            let _ = sys::path::write_all(to, format!("{error}: {}", error.reason()).as_bytes());
        }
    })?;
    namespace.ok_or_else(|| {
        let why_not = String::from_utf8_lossy(&why_not);
        sys::Error::new(format!("the child that made the base namespace: {why_not}"), Errno::CHILD)
    })
}

fn isolate(processor: Option<usize>) -> sys::Result<OwnedFd> {
    if let Some(processor) = processor {
        sys::process::stay_on(processor)?;
    }
    sys::namespace::unshare_mounts()?;
    sys::mount::stop_sending_mount_events()?;
    let namespace = sys::nsfs::own(Kind::Mounts)?;
    let parameters = [
        ("source", "session-sandbox".to_owned()),
        ("mode", "755".to_owned()),
        ("size", "4k".to_owned()),
        ("ro", String::new()),
    ];
    let attributes = Attributes::MOUNT_ATTR_RDONLY
        | Attributes::MOUNT_ATTR_NOSUID
        | Attributes::MOUNT_ATTR_NODEV
        | Attributes::MOUNT_ATTR_NOEXEC;
    let empty = sys::mount::new_filesystem("tmpfs", &parameters, attributes)?;
    sys::mount::attach(empty.as_fd(), sys::path::open_root()?.as_fd())?;
    sys::path::enter_directory(empty.as_fd())?;
    sys::mount::pivot_to_current_directory()?;
    Ok(namespace)
}
