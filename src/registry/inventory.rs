//! What is alive, for people and programs that ask.

use std::os::fd::AsFd;

use serde::Serialize;

use super::record::{Keeper, NamespaceRecord, SessionRecord, now};
use super::scope::Door;
use super::{Registry, scope, session};
use crate::error::Error;
use crate::sys;
use crate::sys::nsfs::Kind;

/// Everything that lives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Inventory {
    /// The shared views, by name and generation.
    pub namespaces: Vec<NamespaceEntry>,
    /// The sessions, oldest first.
    pub sessions: Vec<SessionEntry>,
}

/// A shared view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamespaceEntry {
    /// The scope's name: `user-1001.login`.
    pub name: String,
    /// Its record.
    #[serde(flatten)]
    pub record: NamespaceRecord,
    /// Sessions in it.
    pub sessions: usize,
    /// Processes in it, its keeper not counted.
    pub processes: usize,
    /// Seconds since it was built.
    pub age: u64,
    /// Mounts in it; `None` where the kernel does not say (before 6.12).
    pub mounts_inside: Option<u32>,
    /// What those mounts take in the kernel, in bytes: their number times the size of one. File systems in memory
    /// come on top of it, with what is in them.
    pub kernel_bytes: Option<u64>,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionEntry {
    /// `Session1`, say.
    pub name: String,
    /// Its record.
    #[serde(flatten)]
    pub record: SessionRecord,
    /// Seconds since it began.
    pub age: u64,
}

pub(super) fn take(registry: &Registry) -> Result<Inventory, Error> {
    let state = registry.folder.as_fd();
    let mut sessions = Vec::new();
    for (name, record) in session::living(state).map_err(super::failed)? {
        let age = now().saturating_sub(record.began);
        sessions.push(SessionEntry { name, record, age });
    }
    let mut namespaces = Vec::new();
    let scopes = registry.scopes().map_err(super::failed)?;
    for name in sys::path::list(scopes.as_fd()).map_err(super::failed)? {
        for (record, door) in scope::peek(state, &name).map_err(super::failed)? {
            let inside = |session: &&SessionEntry| {
                session
                    .record
                    .view
                    .as_ref()
                    .is_some_and(|(view, generation)| *view == name && *generation == record.generation)
            };
            let sessions = sessions.iter().filter(inside).count();
            namespaces.push(describe(&name, record, &door, sessions).map_err(super::failed)?);
        }
    }
    namespaces.sort_by(|one, other| {
        (&one.name, one.record.generation).cmp(&(&other.name, other.record.generation))
    });
    Ok(Inventory { namespaces, sessions })
}

fn describe(
    name: &str,
    record: NamespaceRecord,
    door: &Door,
    sessions: usize,
) -> sys::Result<NamespaceEntry> {
    let (namespace, processes) = match (&record.keeper, door) {
        (Keeper::Init { process }, _) => {
            let pids = match sys::nsfs::of_number(process.pid, Kind::Pids)? {
                // A session with a terminal has a copy of the mounts, and is no less there. One of them is the keeper.
                Some(pids) => sys::nsfs::processes(pids.as_fd(), Kind::Pids)?.len().saturating_sub(1),
                None => 0,
            };
            (sys::nsfs::of_number(process.pid, Kind::Mounts)?, pids)
        }
        (_, Door::Mounts(namespace)) => {
            let copy = namespace.try_clone().map_err(|error| sys::Error::new("dup(namespace)", error))?;
            (Some(copy), sys::nsfs::processes(namespace.as_fd(), Kind::Mounts)?.len())
        }
        (_, Door::Init(_)) => (None, 0),
    };
    let mounts_inside = namespace.and_then(|namespace| sys::nsfs::mount_count(namespace.as_fd()));
    let kernel_bytes = mounts_inside.map(|count| u64::from(count) * sys::kernel::mount_size());
    Ok(NamespaceEntry {
        name: name.to_owned(),
        age: now().saturating_sub(record.built),
        record,
        sessions,
        processes,
        mounts_inside,
        kernel_bytes,
    })
}
