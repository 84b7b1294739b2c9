//! One shared view: the folder of its generations, and the lock under which it is built, joined and ended.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;

use super::record::{Keeper, NamespaceRecord, now};
use super::{LOCK_LIMIT, base};
use crate::error::{Error, ErrorKind};
use crate::model::policy::{Linger, OnChange};
use crate::plan::step::{Namespace, Share};
use crate::sys;

/// The folder of all scopes.
pub(super) const FOLDER: &str = "scopes";
/// The lock's name in a scope's folder.
const LOCK: &str = "lock";

/// A scope that nobody else builds, joins or ends while this value lives.
#[derive(Debug)]
pub struct LockedScope {
    scopes: OwnedFd,
    folder: OwnedFd,
    name: String,
    _lock: OwnedFd,
}

/// A shared view that is alive, and stays so at least until this value is dropped (where a lease or a namespace's
/// descriptor can hold it) or the scope's lock is.
#[derive(Debug)]
pub struct Living {
    /// What is written down of it.
    pub record: NamespaceRecord,
    /// The way in.
    pub door: Door,
    /// What tells its keeper that a session is there. Held for as long as the session lasts.
    pub lease: Option<OwnedFd>,
}

/// The way into a living namespace.
#[derive(Debug)]
pub enum Door {
    /// Process 1 of it.
    Init(OwnedFd),
    /// The mount namespace.
    Mounts(OwnedFd),
}

impl Door {
    /// Another descriptor of the same.
    pub fn try_clone(&self) -> Result<Self, Error> {
        let copy = |fd: &OwnedFd| {
            fd.try_clone().map_err(|error| super::failed(sys::Error::new("dup(the way into a view)", error)))
        };
        Ok(match self {
            Self::Init(keeper) => Self::Init(copy(keeper)?),
            Self::Mounts(namespace) => Self::Mounts(copy(namespace)?),
        })
    }
}

/// A generation that is being built.
#[derive(Debug)]
pub struct Next {
    /// Its number.
    pub generation: u32,
    /// The end of the lease that its keeper watches.
    pub watched: OwnedFd,
    /// The end of the lease that this session holds.
    pub held: OwnedFd,
}

/// Opens the scope's folder and takes its lock.
pub(super) fn lock(state: BorrowedFd<'_>, name: &str) -> Result<LockedScope, Error> {
    lock_within(state, name, LOCK_LIMIT).map_err(|error| busy(name, error))
}

/// The same, unless somebody else has the lock.
pub(super) fn try_lock(state: BorrowedFd<'_>, name: &str) -> sys::Result<Option<LockedScope>> {
    match lock_within(state, name, Duration::ZERO) {
        Ok(locked) => Ok(Some(locked)),
        Err(error) if error.errno() == Errno::TIMEDOUT.raw_os_error() => Ok(None),
        Err(error) => Err(error),
    }
}

fn lock_within(state: BorrowedFd<'_>, name: &str, limit: Duration) -> sys::Result<LockedScope> {
    let scopes = sys::path::private_directory(state, FOLDER)?;
    loop {
        let folder = match sys::path::private_directory(scopes.as_fd(), name) {
            // Made, and removed by a sweep before it was opened.
            Err(error) if error.errno() == Errno::NOENT.raw_os_error() => continue,
            other => other?,
        };
        let lock = match sys::lock::lock_file(folder.as_fd(), LOCK, limit) {
            // As above. Nobody but a sweep removes a scope's folder, and only when it is empty.
            Err(error) if error.errno() == Errno::NOENT.raw_os_error() => continue,
            other => other?,
        };
        // A sweep may have removed it while this process waited for it.
        if sys::path::is_linked(lock.as_fd())? {
            return Ok(LockedScope { scopes, folder, name: name.to_owned(), _lock: lock });
        }
    }
}

/// What lives in this scope, seen without its lock and without touching anything.
pub(super) fn peek(state: BorrowedFd<'_>, name: &str) -> sys::Result<Vec<(NamespaceRecord, Door)>> {
    let Some(folder) = folder_if_there(state, name)? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for record in records(folder.as_fd())? {
        if let Some(door) = way_in(folder.as_fd(), &record)? {
            found.push((record, door));
        }
    }
    Ok(found)
}

/// What is written down of this scope, whether it lives or not.
pub(super) fn on_record(state: BorrowedFd<'_>, name: &str) -> sys::Result<Vec<NamespaceRecord>> {
    folder_if_there(state, name)?.map_or(Ok(Vec::new()), |folder| records(folder.as_fd()))
}

/// The generations of this scope that a sweep would take away, seen without touching anything; `None` while somebody builds,
/// joins or ends one.
pub(super) fn stale(
    state: BorrowedFd<'_>,
    name: &str,
    in_use: impl Fn(u32) -> sys::Result<bool>,
) -> sys::Result<Option<Vec<u32>>> {
    let Some(folder) = folder_if_there(state, name)? else { return Ok(Some(Vec::new())) };
    let folder = folder.as_fd();
    if sys::lock::is_held(folder, LOCK)? {
        return Ok(None);
    }
    let mut stale = Vec::new();
    for generation in generations(folder)? {
        let record = read(folder, generation)?;
        let door = record.as_ref().map_or(Ok(None), |record| way_in(folder, record))?;
        let goes = match (&record, &door) {
            (Some(record), Some(Door::Mounts(namespace))) if record.keeper == Keeper::Pin => {
                let busy = in_use(generation)? || keeps_processes(record, namespace.as_fd())?;
                is_over(record, busy)
            }
            (Some(_), Some(_)) => false,
            _ => true,
        };
        if goes {
            stale.push(generation);
        }
    }
    // Files that were half of something new a moment ago.
    Ok(if sys::lock::is_held(folder, LOCK)? { None } else { Some(stale) })
}

/// Does a pinned view end with its last process, and has one?
fn keeps_processes(record: &NamespaceRecord, namespace: BorrowedFd<'_>) -> sys::Result<bool> {
    Ok(record.linger == Linger::Processes
        && !sys::nsfs::processes(namespace, sys::nsfs::Kind::Mounts)?.is_empty())
}

/// Is a pinned view at its end, by the rules of its map?
fn is_over(record: &NamespaceRecord, busy: bool) -> bool {
    match (busy, record.linger, record.idle_since) {
        (true, _, _) | (false, Linger::Seconds(_), None) => false,
        (false, Linger::Seconds(limit), Some(since)) => now().saturating_sub(since) >= u64::from(limit),
        (false, _, _) => true,
    }
}

fn folder_if_there(state: BorrowedFd<'_>, name: &str) -> sys::Result<Option<OwnedFd>> {
    let scopes = sys::path::private_directory(state, FOLDER)?;
    match sys::path::open_directory(scopes.as_fd(), name) {
        Ok(folder) => Ok(Some(folder)),
        Err(error) if error.errno() == Errno::NOENT.raw_os_error() => Ok(None),
        Err(error) => Err(error),
    }
}

fn busy(name: &str, error: sys::Error) -> Error {
    if error.errno() != Errno::TIMEDOUT.raw_os_error() {
        return super::failed(error);
    }
    let message =
        format!("another login has been building or entering {name} for {} s", LOCK_LIMIT.as_secs());
    Error::new(ErrorKind::Enter, message).caused_by(error).help(format!(
        "find it with `fuser -v /run/session-sandbox/{FOLDER}/{name}/{LOCK}`; it may be stopped, or wait for a file system that does not answer"
    ))
}

impl LockedScope {
    /// Its name, which is also its folder's.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The living view that a login with this plan joins; `None` when it has to build one. A login whose wall is a PID
    /// namespace joins no view without one, and one that wants other namespaces none without those, whatever the map says of
    /// changes: a wall is never weakened.
    pub fn find(&self, share: &Share, wanted: &Namespace) -> Result<Option<Living>, Error> {
        let fits = |view: &Living| {
            (!wanted.pid || matches!(view.door, Door::Init(_)))
                && view.record.apart.covers(wanted.apart)
                && (share.on_change == OnChange::Join || view.record.is_of(share))
        };
        Ok(self.living()?.into_iter().rev().find(fits))
    }

    /// All that live, the newest last. What does not is taken away.
    pub fn living(&self) -> Result<Vec<Living>, Error> {
        let mut living = Vec::new();
        for generation in generations(self.folder.as_fd()).map_err(super::failed)? {
            match self.look(generation).map_err(super::failed)? {
                Some(view) => living.push(view),
                None => self.remove(generation).map_err(super::failed)?,
            }
        }
        Ok(living)
    }

    /// How many generations have any file.
    pub(super) fn generation_count(&self) -> sys::Result<usize> {
        generations(self.folder.as_fd()).map(|all| all.len())
    }

    /// The view of this generation, if it is alive and what its record says.
    fn look(&self, generation: u32) -> sys::Result<Option<Living>> {
        let folder = self.folder.as_fd();
        let Some(record) = read(folder, generation)? else { return Ok(None) };
        let Some(door) = way_in(folder, &record)? else { return Ok(None) };
        let lease = match door {
            Door::Mounts(_) => None,
            // Without anybody at the other end its keeper has been killed, and is not quite gone yet.
            Door::Init(_) => match sys::fifo::open_writer(folder, &lease_name(generation))? {
                Some(lease) => Some(lease),
                None => return Ok(None),
            },
        };
        Ok(Some(Living { record, door, lease }))
    }

    /// Makes room for a new generation.
    pub fn next(&self) -> Result<Next, Error> {
        self.try_next().map_err(super::failed)
    }

    fn try_next(&self) -> sys::Result<Next> {
        let generation = generations(self.folder.as_fd())?.last().map_or(1, |last| last.saturating_add(1));
        let name = lease_name(generation);
        sys::fifo::make(self.folder.as_fd(), &name)?;
        let watched = sys::fifo::open_reader(self.folder.as_fd(), &name)?;
        let held = sys::fifo::open_writer(self.folder.as_fd(), &name)?
            .ok_or_else(|| sys::Error::new(format!("openat({name:?})"), Errno::NXIO))?;
        Ok(Next { generation, watched, held })
    }

    /// Makes a new view known: from here on others join it. Where the processes in a namespace do not keep it, or the
    /// map wants it kept without them, it is pinned.
    pub fn publish(&self, record: &NamespaceRecord, namespace: BorrowedFd<'_>) -> sys::Result<Published> {
        if record.keeper == Keeper::Pin {
            let name = pin_name(record.generation);
            match base::pin(self.folder.as_fd(), &name, namespace) {
                Err(error) if error.errno() == Errno::LOOP.raw_os_error() => {
                    base::remove_pin(self.folder.as_fd(), &name)?;
                    return Ok(Published::PinRefused(error));
                }
                pinned => pinned?,
            }
        }
        self.write(record).map(|()| Published::Known)
    }

    fn write(&self, record: &NamespaceRecord) -> sys::Result<()> {
        let text = serde_json::to_vec(record)
            .map_err(|error| sys::Error::new(format!("the record: {error}"), Errno::INVAL))?;
        sys::path::replace_file(self.folder.as_fd(), &record_name(record.generation), &text)
    }

    /// Removes every file of a generation. The namespace itself is the kernel's to end.
    pub fn remove(&self, generation: u32) -> sys::Result<()> {
        remove_files(self.folder.as_fd(), generation)
    }

    /// Ends what nobody uses any more among the views that no process watches, by the rules of its map; `in_use`
    /// says whether any session on record is in it.
    pub(super) fn end_unwatched(&self, in_use: impl Fn(u32) -> sys::Result<bool>) -> Result<(), Error> {
        for view in self.living()? {
            let Living { mut record, door, .. } = view;
            let (Keeper::Pin, Door::Mounts(namespace)) = (&record.keeper, &door) else { continue };
            let busy = in_use(record.generation).map_err(super::failed)?
                || keeps_processes(&record, namespace.as_fd()).map_err(super::failed)?;
            let idle_since = if busy { None } else { record.idle_since.or_else(|| Some(now())) };
            if is_over(&record, busy) {
                self.remove(record.generation).map_err(super::failed)?;
            } else if idle_since != record.idle_since {
                record.idle_since = idle_since;
                self.write(&record).map_err(super::failed)?;
            }
        }
        Ok(())
    }

    /// Removes the folder if nothing is left in it. Ends the lock.
    pub fn remove_if_empty(self) -> sys::Result<()> {
        remove_folder_if_empty(self.scopes.as_fd(), self.folder.as_fd(), &self.name)
    }

    /// What the keeper of `generation` needs to end it later. For the keeper itself: opens the lock anew, because a
    /// lock belongs to everybody who has a copy of its descriptor.
    pub fn watch(&self, generation: u32, watched: OwnedFd) -> sys::Result<Watch> {
        let copy = |fd: &OwnedFd| fd.try_clone().map_err(|error| sys::Error::new("dup(folder)", error));
        let (scopes, folder) = (copy(&self.scopes)?, copy(&self.folder)?);
        let lock = sys::lock::open(folder.as_fd(), LOCK)?;
        Ok(Watch { scopes, folder, name: self.name.clone(), lock, watched, generation })
    }
}

/// What became of an attempt to make a view known.
#[derive(Debug)]
pub enum Published {
    /// Others find it.
    Known,
    /// The kernel takes it for older than the namespace in which it would be pinned.
    PinRefused(sys::Error),
}

/// The keeper's side of a lease.
#[derive(Debug)]
pub struct Watch {
    scopes: OwnedFd,
    folder: OwnedFd,
    name: String,
    lock: OwnedFd,
    watched: OwnedFd,
    generation: u32,
}

impl Watch {
    /// The lease, to be waited for.
    pub fn lease(&self) -> BorrowedFd<'_> {
        self.watched.as_fd()
    }

    /// What a keeper must not close.
    pub fn descriptors(&self) -> [BorrowedFd<'_>; 4] {
        [self.scopes.as_fd(), self.folder.as_fd(), self.lock.as_fd(), self.watched.as_fd()]
    }

    /// Takes the view off the record, whoever is in it.
    pub fn end(&self) -> sys::Result<()> {
        sys::lock::lock(self.lock.as_fd())?;
        self.remove()
    }

    fn remove(&self) -> sys::Result<()> {
        // Files of this number that are another view's stay: this one's were taken away before its time.
        if sys::path::is_same_file(self.watched.as_fd(), self.folder.as_fd(), &lease_name(self.generation))? {
            remove_files(self.folder.as_fd(), self.generation)?;
        }
        remove_folder_if_empty(self.scopes.as_fd(), self.folder.as_fd(), &self.name)
    }

    /// Is no session there? (What sessions have said is taken in.)
    pub fn is_idle(&self) -> sys::Result<bool> {
        sys::fifo::drain(self.watched.as_fd());
        sys::fd::is_closed(self.watched.as_fd())
    }

    /// Takes the view off the record, unless a session has come in the meantime. After `true` the keeper ends, and the
    /// lock with it: until then nobody builds the next one.
    pub fn end_if_idle(&self) -> sys::Result<bool> {
        sys::lock::lock(self.lock.as_fd())?;
        if self.is_idle()? {
            self.remove()?;
            return Ok(true);
        }
        sys::lock::unlock(self.lock.as_fd())?;
        Ok(false)
    }
}

/// Every generation of which there is any file, in order.
fn generations(folder: BorrowedFd<'_>) -> sys::Result<Vec<u32>> {
    let names = sys::path::list(folder)?;
    let number = |name: &String| name.split('.').next().and_then(|number| number.parse().ok());
    let mut numbers: Vec<u32> = names.iter().filter_map(number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

/// The records of the scope with this folder.
fn records(folder: BorrowedFd<'_>) -> sys::Result<Vec<NamespaceRecord>> {
    let mut found = Vec::new();
    for generation in generations(folder)? {
        found.extend(read(folder, generation)?);
    }
    Ok(found)
}

/// The record of this generation; `None` when there is none, or it is no record.
fn read(folder: BorrowedFd<'_>, generation: u32) -> sys::Result<Option<NamespaceRecord>> {
    let text = sys::path::read_if_there(folder, &record_name(generation))?;
    let record = text.and_then(|text| serde_json::from_slice::<NamespaceRecord>(&text).ok());
    Ok(record.filter(|record| record.generation == generation))
}

/// The way into what the record is about, if that is alive and what the record says.
fn way_in(folder: BorrowedFd<'_>, record: &NamespaceRecord) -> sys::Result<Option<Door>> {
    let namespace = match &record.keeper {
        Keeper::Init { process } => return Ok(process.open()?.map(Door::Init)),
        Keeper::Processes { kind, handle } => match Keeper::handle(*kind, handle) {
            Some(handle) => sys::nsfs::open_handle(&handle)?,
            None => None,
        },
        Keeper::Pin => base::open_pin(folder, &pin_name(record.generation))?,
    };
    let Some(namespace) = namespace else { return Ok(None) };
    let is_it = sys::nsfs::is_mount_namespace(namespace.as_fd())
        && sys::nsfs::number(namespace.as_fd())? == record.mounts;
    Ok(is_it.then_some(Door::Mounts(namespace)))
}

/// For whoever has the lock. Another one who has opened it and waits for it sees that it is no longer linked.
fn remove_folder_if_empty(scopes: BorrowedFd<'_>, folder: BorrowedFd<'_>, name: &str) -> sys::Result<()> {
    if sys::path::list(folder)?.iter().all(|name| name == LOCK) {
        sys::path::remove_if_there(folder, LOCK)?;
        let _ = sys::path::remove_directory(scopes, name);
    }
    Ok(())
}

fn remove_files(folder: BorrowedFd<'_>, generation: u32) -> sys::Result<()> {
    // The record first: without it the rest means nothing.
    let record = record_name(generation);
    sys::path::remove_if_there(folder, &record)?;
    sys::path::remove_if_there(folder, &sys::path::new_name(&record))?;
    sys::path::remove_if_there(folder, &lease_name(generation))?;
    base::remove_pin(folder, &pin_name(generation))
}

fn record_name(generation: u32) -> String {
    format!("{generation}.json")
}

fn lease_name(generation: u32) -> String {
    format!("{generation}.lease")
}

fn pin_name(generation: u32) -> String {
    format!("{generation}.ns")
}
