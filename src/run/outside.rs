//! Processes of a user that run outside of every view: each could be asked, by a socket or a file, to do there what the
//! session may not.
//!
//! Looked for once, before a session is entered. Outside is who has the host's root directory for its own, and is in no
//! view: neither in its PID namespace (that of a view's keeper, or of a session's own process 1) nor in its mount
//! namespace (of which is a program that opens sessions through PAM, and is in the view by half). Such a program may be
//! about to end when its view has ended already: it has another root directory still.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::model::isolation::OnOutside;
use crate::plan::Plan;
use crate::registry::Registry;
use crate::sys;
use crate::sys::nsfs::Kind;

/// As many are named in a message.
const NAMED_MAX: usize = 5;
/// How often new ones are looked for while they are ended.
const ROUNDS: usize = 20;
/// How long one has to end.
const END_LIMIT: Duration = Duration::from_secs(2);

/// Does what `plan` says about the user's processes outside.
pub(super) fn look(plan: &Plan, registry: &Registry) -> Result<(), Error> {
    let uid = plan.subject.uid;
    match plan.on_outside {
        OnOutside::Ignore => Ok(()),
        OnOutside::Warn => {
            let found = Inside::of(registry)?.outside(uid)?;
            if !found.is_empty() {
                let text = format!("{}: {}", plan.origin, told(plan, &found));
                sys::log::line(sys::log::Priority::Warning, "session-sandbox", &text);
            }
            Ok(())
        }
        OnOutside::Deny => match Inside::of(registry)?.outside(uid)? {
            found if found.is_empty() => Ok(()),
            found => Err(refused(plan, &found)),
        },
        OnOutside::Kill => end_all(plan, registry),
    }
}

fn end_all(plan: &Plan, registry: &Registry) -> Result<(), Error> {
    let uid = plan.subject.uid;
    for _ in 0..ROUNDS {
        let inside = Inside::of(registry)?;
        let found = inside.outside(uid)?;
        if found.is_empty() {
            return Ok(());
        }
        for process in &found {
            let Some(pidfd) = sys::pidfd::open(process.pid).map_err(failed)? else { continue };
            // Looked at again with the descriptor open: the number may have become another process's.
            if inside.is_outside(process.pid, uid)? {
                sys::pidfd::kill(pidfd.as_fd()).map_err(failed)?;
                sys::pidfd::wait(pidfd.as_fd(), END_LIMIT).map_err(failed)?;
            }
        }
    }
    Err(refused(plan, &Inside::of(registry)?.outside(uid)?))
}

/// The processes that the user has outside of every view, by number and name.
pub fn outside_of_views(uid: u32) -> Result<Vec<String>, Error> {
    let inside = match Registry::open_if_there()? {
        Some(registry) => Inside::of(&registry)?,
        None => Inside::default(),
    };
    let found = inside.outside(uid)?;
    Ok(found.iter().map(|process| format!("{} {:?}", process.pid, process.name)).collect())
}

/// What being inside is told by.
#[derive(Debug, Default)]
struct Inside {
    pids: BTreeSet<u64>,
    mounts: BTreeSet<u64>,
    /// The host's root directory.
    root: Option<sys::process::Root>,
}

impl Inside {
    fn of(registry: &Registry) -> Result<Self, Error> {
        let known = registry.whereabouts()?;
        let number = |pid, kind| {
            let namespace = sys::nsfs::of_number(pid, kind).map_err(failed)?;
            namespace.map(|namespace| sys::nsfs::number(namespace.as_fd())).transpose().map_err(failed)
        };
        let mut inside = Self { mounts: known.mounts.into_iter().collect(), ..Self::default() };
        for keeper in known.keepers {
            inside.pids.extend(number(keeper, Kind::Pids)?);
        }
        for leader in known.leaders {
            // A session with a view of its own: its process 1 is a child of the one that waits for it.
            for pid in std::iter::once(leader).chain(sys::process::children_of(leader)) {
                inside.pids.extend(number(pid, Kind::Pids)?);
                inside.mounts.extend(number(pid, Kind::Mounts)?);
            }
        }
        let own = rustix::process::getpid().as_raw_nonzero().get();
        inside.root = sys::process::root_of(own);
        // The host's own are nobody's view: a program that opens sessions is a leader, too.
        if let Some(pids) = number(own, Kind::Pids)? {
            inside.pids.remove(&pids);
        }
        if let Some(mounts) = number(own, Kind::Mounts)? {
            inside.mounts.remove(&mounts);
        }
        Ok(inside)
    }

    /// The user's processes that are not.
    fn outside(&self, uid: u32) -> Result<Vec<sys::process::Owned>, Error> {
        let mut found = sys::process::owned_by(uid).map_err(failed)?;
        found.retain(|process| !self.has(process));
        Ok(found)
    }

    fn is_outside(&self, pid: i32, uid: u32) -> Result<bool, Error> {
        let process = sys::process::owned(pid).map_err(failed)?;
        Ok(process.is_some_and(|process| process.uids.contains(&uid) && !self.has(&process)))
    }

    fn has(&self, process: &sys::process::Owned) -> bool {
        let has_other_root = process.root.is_some() && self.root.is_some() && process.root != self.root;
        has_other_root || self.pids.contains(&process.pids) || self.mounts.contains(&process.mounts)
    }
}

fn told(plan: &Plan, found: &[sys::process::Owned]) -> String {
    let mut named: Vec<String> =
        found.iter().take(NAMED_MAX).map(|process| format!("{} {:?}", process.pid, process.name)).collect();
    if found.len() > NAMED_MAX {
        named.push("...".to_owned());
    }
    let (count, user) = (found.len(), &plan.subject.name);
    let noun = if count == 1 { "process" } else { "processes" };
    format!(
        "{user} has {count} {noun} outside of every view, through which a session could be left: {}",
        named.join(", ")
    )
}

fn refused(plan: &Plan, found: &[sys::process::Owned]) -> Error {
    Error::new(ErrorKind::Plan, format!("{}: {}", plan.origin, told(plan, found))).help(format!(
        "end them (pkill -u {}) and close the door they came by (sessionctl doctor), or set on_outside in the profile",
        plan.subject.name
    ))
}

fn failed(error: sys::Error) -> Error {
    Error::new(ErrorKind::Host, "cannot look for processes outside of views").caused_by(error)
}
