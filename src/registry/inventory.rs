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

/// What a sweep would take away, as far as it has a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stale {
    /// Sessions whose process has ended.
    pub sessions: Vec<String>,
    /// Shared views that live no more or are kept for nobody, by name and generation.
    pub views: Vec<(String, u32)>,
    /// Base namespaces of mount namespaces that are gone.
    pub bases: usize,
}

pub(super) fn stale(registry: &Registry) -> sys::Result<Stale> {
    let state = registry.folder.as_fd();
    let mut views = Vec::new();
    for name in sys::path::list(registry.scopes()?.as_fd())? {
        let in_use = |generation| session::is_any_in(state, &name, generation);
        let stale = scope::stale(state, &name, in_use)?.unwrap_or_default();
        views.extend(stale.into_iter().map(|generation| (name.clone(), generation)));
    }
    views.sort_unstable();
    Ok(Stale { sessions: session::stale(state)?, views, bases: super::base::stale(state)? })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::ProcessId;

    #[test]
    fn what_is_called_stale_is_what_a_sweep_takes_away() {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry { folder: sys::path::open_place(folder.path().to_str().unwrap()).unwrap() };
        session::prepare(registry.folder.as_fd()).unwrap();
        assert_eq!(registry.stale().unwrap(), Stale::default());
        let alive = registry.begin_session(SessionRecord::sample(ProcessId::own().unwrap())).unwrap();
        // Two at once: a new session takes some of the user's stale ones away.
        let nobody = ProcessId { pid: i32::MAX, started: 1, inode: None };
        let gone = registry.begin_session(SessionRecord::sample(nobody)).unwrap();
        // A view whose builder was killed before it had a record.
        let scope = registry.scope("user-4242.login").unwrap();
        let next = scope.next().unwrap();
        assert_eq!(registry.stale().unwrap().views, [], "somebody is at work on it");
        drop(scope);
        let expected = Stale {
            sessions: vec![gone.name().to_owned()],
            views: vec![("user-4242.login".to_owned(), next.generation)],
            bases: 0,
        };
        assert_eq!(registry.stale().unwrap(), expected);
        // Nothing was taken away by looking.
        assert_eq!(registry.stale().unwrap(), expected);
        let swept = registry.sweep().unwrap();
        assert_eq!((swept.sessions, swept.views), (1, 1));
        assert_eq!(registry.stale().unwrap(), Stale::default());
        assert!(registry.lives(alive.name()).unwrap());
    }
}
