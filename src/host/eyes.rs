//! Looking at paths of the host for whoever explains a plan: with the rights with which a login would, as far as the
//! caller has them.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;

use super::facts::refusal;
use super::mounts::{mount_of_number, mounts_of_process};
use super::patience::{self, answers_by_itself};
use super::source::Sources;
use crate::model::facts::{Look, PathFact};
use crate::model::mounts::{MountEntry, MountTable};
use crate::model::path::AbsPath;
use crate::model::program::named_in;
use crate::model::seen::{Access, Details, Seen};
use crate::model::subject::Subject;
use crate::sys;
use crate::sys::path::Kind;

/// What costs a few calls more.
#[derive(Debug, Default)]
struct Closely {
    access: Option<Access>,
    starter: Option<(&'static str, String)>,
}

/// Eyes on the host, for one user.
#[derive(Debug)]
pub struct Eyes {
    sources: Sources,
    /// Can the caller ask in the user's name?
    as_user: bool,
    /// Is the caller somebody else than who will open the login?
    is_outsider: bool,
    /// The mounts that were looked at: a host may have ten thousand, and a map needs five.
    mounts: RefCell<HashMap<u64, Option<MountEntry>>>,
    /// All of them, for a kernel that does not tell of one alone.
    table: OnceCell<MountTable>,
}

impl Eyes {
    /// For what `subject`'s logins find.
    pub fn of(subject: &Subject) -> Self {
        let uid = sys::user::own_uid();
        Self {
            sources: Sources::of(subject, uid == 0),
            as_user: uid == 0 || uid == subject.uid,
            is_outsider: uid != 0,
            mounts: RefCell::default(),
            table: OnceCell::new(),
        }
    }

    /// What is at `path`.
    pub fn see(&self, look: Look, path: &AbsPath) -> Seen {
        self.see_and(look, path, |_| Closely::default())
    }

    /// The same, with what the kernel lets the user do there, and what it starts in place of a program.
    pub fn see_closely(&self, look: Look, path: &AbsPath) -> Seen {
        self.see_and(look, path, |place| self.look_closely(place))
    }

    fn see_and(&self, look: Look, path: &AbsPath, closely: impl FnOnce(&OwnedFd) -> Closely) -> Seen {
        match self.open(look, path) {
            Ok(place) => {
                let more = self.details(&place).ok();
                let more = more.map(|more| {
                    let Closely { access, starter } = closely(&place);
                    Details { access, starter, ..more }
                });
                let fact = sys::path::status(place.as_fd())
                    .and_then(|status| super::facts::found(place.as_fd(), status.kind));
                let unreachable = |error: sys::Error| PathFact::unreachable(error.reason());
                Seen { fact: fact.unwrap_or_else(unreachable), more }
            }
            Err(fact) => Seen::only(fact),
        }
    }

    fn open(&self, look: Look, path: &AbsPath) -> Result<OwnedFd, PathFact> {
        let known = match self.sources.open_at_once(path, look) {
            // What asks a server for everything that is yet to be asked.
            Ok(Some(place)) if !matches!(answers_by_itself(place.as_fd()), Ok(true)) => {
                self.expect_answer(look, path)?;
                Ok(place)
            }
            Ok(Some(place)) => Ok(place),
            Ok(None) => {
                self.expect_answer(look, path)?;
                self.sources.open(path, look)
            }
            Err(error) => Err(error),
        };
        known.map_err(|error| {
            let may_be_denied =
                self.is_outsider && !(self.as_user && matches!(look, Look::User | Look::UserFollowing));
            if may_be_denied && error.errno() == Some(Errno::ACCESS.raw_os_error()) {
                return PathFact::Unseen;
            }
            refusal(error).unwrap_or_else(|error| PathFact::unreachable(error.reason()))
        })
    }

    /// Has a scout ask everything first that will be asked: a server that is dead, or its user's own and silent by intent,
    /// costs a message.
    fn expect_answer(&self, look: Look, path: &AbsPath) -> Result<(), PathFact> {
        let stuck = patience::scout(1, |_, scout| {
            if let Ok(place) = self.sources.open_first(path, look, scout) {
                let _ = sys::path::link_text(place.as_fd());
                let _ = self.look_closely(&place);
            }
            Ok(())
        });
        match stuck {
            Ok(None) => Ok(()),
            _ => Err(PathFact::unreachable("on a file system that does not answer")),
        }
    }

    fn details(&self, place: &OwnedFd) -> sys::Result<Details> {
        let status = sys::path::status(place.as_fd())?;
        Ok(Details {
            path: sys::access::name_of(place.as_fd())?,
            mode: status.mode,
            uid: status.uid,
            gid: status.gid,
            mount: self.mount(place)?,
            access: None,
            starter: None,
        })
    }

    /// The mount that `place` lies on. Where the kernel tells of one at a time only that is asked for.
    fn mount(&self, place: &OwnedFd) -> sys::Result<Option<MountEntry>> {
        let (_, id) = sys::path::mount_of(place.as_fd())?;
        if let Some(known) = self.mounts.borrow().get(&id) {
            return Ok(known.clone());
        }
        let found = match mount_of_number(id) {
            Some(mount) => Some(mount),
            None => self.mount_by_text(place)?,
        };
        self.mounts.borrow_mut().insert(id, found.clone());
        Ok(found)
    }

    /// The same by the text of `mountinfo`, which has numbers of its own.
    fn mount_by_text(&self, place: &OwnedFd) -> sys::Result<Option<MountEntry>> {
        let id = sys::access::old_mount_number(place.as_fd())?;
        let table = self.table.get_or_init(|| mounts_of_process(None).ok().flatten().unwrap_or_default());
        Ok(table.get(id).cloned())
    }

    fn look_closely(&self, place: &OwnedFd) -> Closely {
        if !self.as_user {
            return Closely::default();
        }
        let access = self.access(place).ok();
        let is_program = access.is_some_and(|access| access.execute && access.read)
            && sys::path::status(place.as_fd()).is_ok_and(|status| status.kind == Kind::File);
        Closely { access, starter: if is_program { self.starter(place) } else { None } }
    }

    fn starter(&self, place: &OwnedFd) -> Option<(&'static str, String)> {
        let head = self.sources.with_rights_of_user(|| {
            let file = sys::path::reopen_for_reading(place.as_fd())?;
            sys::peek::head_of(file.as_fd())
        });
        let (what, path) = named_in(&head.ok()?)?;
        Some((what, path.into_string().ok()?))
    }

    fn access(&self, place: &OwnedFd) -> sys::Result<Access> {
        self.sources.with_rights_of_user(|| {
            let may = |right| sys::access::may(place.as_fd(), right);
            Ok(Access {
                read: may(sys::access::Right::Read)?,
                write: may(sys::access::Right::Write)?,
                execute: may(sys::access::Right::Execute)?,
            })
        })
    }
}
