//! What an administrator does to views and sessions that live: go in and look, or end them.

use std::os::fd::AsFd;
use std::time::Duration;

use super::ground::Ground;
use super::program::Inherited;
use super::shared::Entrant;
use crate::error::{Error, ErrorKind};
use crate::host;
use crate::plan::Plan;
use crate::plan::step::Identity;
use crate::registry::{Door, Inventory, Living, Registry, SessionEntry};
use crate::sys;
use crate::sys::signal::Queue;

/// How long a view's keeper has to end by itself.
const KEEPER_LIMIT: Duration = Duration::from_secs(2);
/// How often processes that are made while others are ended are looked for.
const ROUNDS: usize = 100;

/// What was ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Shared views.
    pub views: usize,
    /// Sessions.
    pub sessions: usize,
}

/// The names of the living views that belong to the user with this id alone.
pub fn views_of(inventory: &Inventory, uid: u32) -> Vec<String> {
    let own = format!("user-{uid}.");
    let mut names: Vec<String> = inventory
        .namespaces
        .iter()
        .filter(|view| view.name.starts_with(&own))
        .map(|view| view.name.clone())
        .collect();
    names.dedup();
    names
}

/// Runs the program of `plan` in the newest generation of the living view `name`, whatever plan built that; as root
/// with all of its rights, if `as_root`: then in the view itself and no copy of it, so that what root mounts is there
/// for all.
pub fn enter_view(plan: &Plan, ground: &Ground, name: &str, as_root: bool) -> Result<u8, Error> {
    host::can_start(plan)?;
    let open_files = sys::fd::limit().0;
    let signals = Queue::open().map_err(|error| failed("cannot wait for the program", error))?;
    let scope = ground.registry()?.scope(name)?;
    let Some(view) = scope.living()?.pop() else {
        // Looking made the folder.
        let _ = scope.remove_if_empty();
        return Err(Error::new(ErrorKind::Request, format!("{name} does not live"))
            .help("`sessionctl list` shows what does"));
    };
    let session = ground.begin_session(plan, Some((name.to_owned(), view.record.generation)))?;
    drop(scope);
    let root = Identity {
        uid: 0,
        gid: 0,
        groups: Some(vec![0]),
        capabilities: u64::MAX,
        no_new_privs: false,
        refuse_tiocsti: false,
        landlock: false,
        umask: 0o022,
    };
    let identity = if as_root { &root } else { &plan.identity };
    let who = Entrant {
        identity,
        exec: &plan.exec,
        tree: &plan.tree,
        private_copy: false,
        shows_terminal: !as_root,
    };
    let ended = who.enter(view, Inherited { open_files }, &signals);
    session.end();
    ended
}

/// Ends one session. Its view ends with the last of its sessions.
pub fn end_session(registry: &Registry, name: &str) -> Result<(), Error> {
    let inventory = registry.inventory()?;
    let session = inventory.sessions.iter().find(|session| session.name == name).ok_or_else(|| {
        Error::new(ErrorKind::Request, format!("there is no session {name:?}"))
            .help("`sessionctl list` shows what lives")
    })?;
    end_leader_of(registry, session)?;
    registry.forget_session(name)
}

fn end_leader_of(registry: &Registry, session: &SessionEntry) -> Result<(), Error> {
    let Some(leader) = session.record.leader.filter(|_| !session.record.shares_leader) else {
        return registry.forget_session(&session.name);
    };
    match leader.open().map_err(|error| failed("cannot look at a session", error))? {
        Some(leader) => sys::pidfd::kill(leader.as_fd())
            .and_then(|()| sys::pidfd::wait(leader.as_fd(), KEEPER_LIMIT))
            .map(drop)
            .map_err(|error| failed("cannot end a session", error)),
        None => Ok(()),
    }
}

/// Ends all sessions of a user, and the views that are that user's alone, with every process in them.
pub fn end_user(registry: &Registry, uid: u32) -> Result<Ended, Error> {
    let inventory = registry.inventory()?;
    let mut ended = Ended::default();
    for name in views_of(&inventory, uid) {
        ended.views += end_view(registry, &name)?;
    }
    for session in inventory.sessions.iter().filter(|session| session.record.uid == uid) {
        ended.sessions += 1;
        end_leader_of(registry, session)?;
    }
    registry.sweep()?;
    Ok(ended)
}

/// Ends every generation of a view with every process in it, and says how many there were.
pub fn end_view(registry: &Registry, name: &str) -> Result<usize, Error> {
    let scope = registry.scope(name)?;
    let living = scope.living()?;
    let count = living.len();
    for Living { record, door, lease } in living {
        drop(lease);
        let ended = match &door {
            // The kernel ends everything in a PID namespace with its process 1. Not asked first: it would wait for the
            // lock that this process holds.
            Door::Init(keeper) => sys::pidfd::kill(keeper.as_fd())
                .and_then(|()| sys::pidfd::wait(keeper.as_fd(), KEEPER_LIMIT))
                .map(drop),
            Door::Mounts(namespace) => end_processes_in(namespace.as_fd()),
        };
        ended.map_err(|error| failed("cannot end a view", error))?;
        scope
            .remove(record.generation)
            .map_err(|error| failed("cannot take a view off the record", error))?;
    }
    let _ = scope.remove_if_empty();
    Ok(count)
}

/// Without a PID namespace there is nobody whose end is everybody's: each is ended, until none is left.
fn end_processes_in(namespace: std::os::fd::BorrowedFd<'_>) -> sys::Result<()> {
    for _ in 0..ROUNDS {
        let processes = sys::nsfs::processes(namespace, sys::nsfs::Kind::Mounts)?;
        if processes.is_empty() {
            return Ok(());
        }
        for pid in processes {
            let Some(process) = sys::pidfd::open(pid)? else { continue };
            // Looked at again by the descriptor's side: the number may have become another process's.
            if sys::nsfs::is_process_in(pid, namespace)? {
                sys::pidfd::kill(process.as_fd())?;
                sys::pidfd::wait(process.as_fd(), KEEPER_LIMIT)?;
            }
        }
    }
    Err(sys::Error::new("processes are made faster than they can be ended", rustix::io::Errno::AGAIN))
}

fn failed(what: &str, error: sys::Error) -> Error {
    Error::new(ErrorKind::Host, what).caused_by(error)
}
