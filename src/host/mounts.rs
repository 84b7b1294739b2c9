//! The mount tables of this process and of others.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use crate::error::{Error, ErrorKind};
use crate::model::mounts::{Events, MountEntry, MountTable};
use crate::model::policy::Attributes;
use crate::sys;
use crate::sys::mount::Attributes as Bits;
use crate::sys::mounts::RawMount;
use crate::sys::path::Links;

use super::subject::subject_of_uid;
use crate::model::subject::Door;

/// What this process can see: asked of the kernel mount by mount (6.8), or read in `/proc`.
pub fn own_mounts() -> Result<MountTable, Error> {
    match by_calls()? {
        Some(table) => Ok(table),
        None => mounts_of_process(None).and_then(|table| table.ok_or_else(|| gone("this process"))),
    }
}

/// `None` where the kernel has not got the calls, or may not be asked: a filter of system calls, or a root directory that
/// is no mount.
fn by_calls() -> Result<Option<MountTable>, Error> {
    match sys::mounts::list() {
        Ok(mounts) => Ok(mounts.map(|mounts| MountTable { mounts: mounts.into_iter().map(entry).collect() })),
        Err(error) if error.errno() == Errno::PERM.raw_os_error() => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// One mount; `None` where the kernel does not tell of one alone, or where there is no such mount any more.
pub(super) fn mount_of_number(id: u64) -> Option<MountEntry> {
    sys::mounts::describe_one(id).ok().flatten().map(entry)
}

/// Is this process in a session's view, as far as its root tells? What it calls the host is that view then. (A map may
/// bind a root from the host, which looks like any other.)
pub fn is_in_view() -> bool {
    /// What a root of the map's own is made of: see `run`.
    const SOURCE: &str = "session-sandbox";
    let root = sys::path::mount_at("/").ok().and_then(|(_, id)| mount_of_number(id));
    match root {
        Some(root) if root.kind != "tmpfs" => false,
        Some(root) if !root.source.is_empty() => root.source == SOURCE,
        // The kernel does not tell the source of one mount (before 6.13), or nothing of one alone.
        _ => mounts_of_process(None).ok().flatten().is_some_and(|table| {
            let is_root = |mount: &&MountEntry| mount.point == "/";
            table.mounts.iter().rfind(is_root).is_some_and(|root| root.source == SOURCE)
        }),
    }
}

/// Like [`own_mounts`], for a process that may have no `/proc` any more: `processes` is one that it was in before.
pub fn mounts_seen_now(processes: BorrowedFd<'_>) -> Result<MountTable, Error> {
    if let Some(table) = by_calls()? {
        return Ok(table);
    }
    let path = "self/mountinfo";
    let file = sys::path::open(processes, "self", Links::Follow)
        .and_then(|own| sys::path::open_file(own.as_fd(), "mountinfo"))
        .map_err(failed)?;
    read(&file, path)?.ok_or_else(|| gone("this process"))
}

/// What the process with this number can see, or this one; `None` when there is no such process.
pub fn mounts_of_process(pid: Option<i32>) -> Result<Option<MountTable>, Error> {
    let whose = pid.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
    let path = format!("/proc/{whose}/mountinfo");
    let file = match sys::access::open_to_read(&path) {
        Ok(file) => file,
        Err(error) if error.errno() == Errno::NOENT.raw_os_error() => return Ok(None),
        Err(error) if error.errno() == Errno::ACCESS.raw_os_error() => {
            return Err(
                failed(error).help("only root, and the user it belongs to, can see what a process sees")
            );
        }
        Err(error) => return Err(failed(error)),
    };
    read(&file, &path)
}

fn read(file: &OwnedFd, path: &str) -> Result<Option<MountTable>, Error> {
    match sys::path::read_open(file.as_fd()) {
        Ok(bytes) => MountTable::parse(&String::from_utf8_lossy(&bytes)).map(Some).map_err(|line| {
            Error::new(ErrorKind::Host, format!("{path} has a line that is none: {}", line.escape_debug()))
        }),
        // Ended between being opened and being read.
        Err(error) if error.errno() == Errno::INVAL.raw_os_error() => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// The user that a process belongs to; `None` when there is no such process.
pub fn owner_of_process(pid: i32) -> Result<Option<String>, Error> {
    let place = match sys::path::open_place(&format!("/proc/{pid}")) {
        Ok(place) => place,
        Err(error) if error.errno() == Errno::NOENT.raw_os_error() => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let uid = sys::path::status(place.as_fd()).map_err(failed)?.uid;
    subject_of_uid(uid, Door::command_line()).map(|subject| Some(subject.name.to_string()))
}

fn failed(error: sys::Error) -> Error {
    Error::new(ErrorKind::Host, "cannot read a mount table").caused_by(error)
}

fn gone(what: &str) -> Error {
    Error::new(ErrorKind::Host, format!("{what} is not to be found in /proc")).help("mount /proc")
}

fn entry(mount: RawMount) -> MountEntry {
    const READ_ONLY_FILESYSTEM: u32 = 1;
    let has = |bit: Bits| mount.attributes & u64::from(bit.bits()) != 0;
    let takes_part = |flag: u64| mount.propagation & flag != 0;
    MountEntry {
        attributes: Attributes {
            read_only: has(Bits::MOUNT_ATTR_RDONLY),
            nosuid: has(Bits::MOUNT_ATTR_NOSUID),
            nodev: has(Bits::MOUNT_ATTR_NODEV),
            noexec: has(Bits::MOUNT_ATTR_NOEXEC),
            noatime: has(Bits::MOUNT_ATTR_NOATIME),
            nosymfollow: has(Bits::MOUNT_ATTR_NOSYMFOLLOW),
        },
        read_only_filesystem: mount.filesystem_flags & READ_ONLY_FILESYSTEM != 0,
        events: Events {
            sends: takes_part(sys::mounts::SHARED),
            receives: takes_part(sys::mounts::SLAVE),
            unbindable: takes_part(sys::mounts::UNBINDABLE),
        },
        id: mount.id,
        parent: mount.parent,
        device: mount.device,
        root: mount.root,
        point: mount.point,
        kind: mount.kind,
        source: mount.source,
        options: mount.options,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_asking_tell_the_same() {
        let by_calls = own_mounts().unwrap();
        let by_text = mounts_of_process(None).unwrap().unwrap();
        let facts = |table: &MountTable| {
            let mut facts: Vec<_> = table
                .mounts
                .iter()
                .map(|mount| {
                    let kind = mount.kind.split('.').next().unwrap().to_owned();
                    (
                        mount.point.clone(),
                        mount.root.clone(),
                        kind,
                        mount.attributes,
                        mount.events,
                        mount.device,
                    )
                })
                .map(|facts| format!("{facts:?}"))
                .collect();
            facts.sort();
            facts
        };
        assert_eq!(facts(&by_calls), facts(&by_text));
        assert_eq!(mounts_of_process(Some(i32::MAX)).unwrap(), None);
    }
}
