//! What is alive: namespaces, sessions, and what `--prepare` has put on the host.
//!
//! ```text
//! /run/session-sandbox            a small tmpfs of its own: 0700, private, unbindable
//! ├── boot                        written last when the folder is made: the boot it belongs to
//! ├── base-4026531841             the base namespace, pinned in the mount namespace of that number
//! ├── scopes/user-1001.login/     one folder for each shared view
//! │   ├── lock                    held while one is built, joined or ended
//! │   ├── 1.json                  the first generation of it: who keeps it alive, and what it was built from
//! │   ├── 1.lease                 a named pipe: whoever holds it is a session
//! │   └── 1.ns                    a pin, where the kernel has no other way to keep or find it
//! ├── sessions/Session1/          display, session, unixuser, record.json
//! ├── users/bob/Session1          -> ../../sessions/Session1
//! ├── prepared/1001.json          the trees of `--prepare`
//! └── scripts/                    what session scripts have done: `src/scripts` keeps it
//! ```
//!
//! Nothing here decides whether something lives: the kernel does. A namespace lives as long as its keeper, a session
//! as long as its leader; a file that says otherwise is stale, is never believed, and is taken away by whoever comes
//! next. So a process may be killed at any moment without leaving more than a file.

#![forbid(unsafe_code)]

mod base;
mod inventory;
mod prepared;
mod process;
mod record;
mod scope;
mod session;
mod state;
mod sweep;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::sys;

pub use inventory::{Inventory, NamespaceEntry, SessionEntry, Stale};
pub use prepared::{Journal, Record as PreparedRecord, Tree as PreparedTree};
pub use process::ProcessId;
pub(crate) use record::now;
pub use record::{Keeper, NamespaceRecord, SessionRecord};
pub use scope::{Door, Living, LockedScope, Next, Published, Watch};
pub use session::Session;
pub use state::FOLDER;
pub use sweep::Swept;

/// How long anybody waits for a lock.
pub const LOCK_LIMIT: Duration = Duration::from_secs(5);

/// The folder under `/run`.
#[derive(Debug)]
pub struct Registry {
    folder: OwnedFd,
}

impl Registry {
    /// Opens the folder; makes it at the first use after a boot. Needs root.
    pub fn open() -> Result<Self, Error> {
        state::open().map(|folder| Self { folder }).map_err(failed)
    }

    /// Opens the folder if it is there, and makes nothing.
    pub fn open_if_there() -> Result<Option<Self>, Error> {
        Ok(state::open_if_there().map_err(failed)?.map(|folder| Self { folder }))
    }

    /// The base namespace: a mount namespace that holds an empty read-only file system and nothing else. Checked; made
    /// again if it is lost.
    pub fn base_namespace(&self) -> Result<OwnedFd, Error> {
        base::open(self.folder.as_fd())
            .map_err(|error| Error::new(ErrorKind::Host, "cannot have a base namespace").caused_by(error))
    }

    /// Locks the shared view of that name, makes its folder if it is missing, and takes away what is stale in it.
    pub fn scope(&self, name: &str) -> Result<LockedScope, Error> {
        scope::lock(self.folder.as_fd(), name)
    }

    /// Puts a new session on record, and takes some stale ones of the same user off it.
    pub fn begin_session(&self, record: SessionRecord) -> Result<Session, Error> {
        session::begin(self.folder.as_fd(), record).map_err(failed)
    }

    /// Takes the session of this name, if it is that leader's, off the record, and lets go of its view where no process
    /// watches for the end of the last session.
    pub fn end_session(&self, name: &str, leader: &ProcessId) -> Result<(), Error> {
        let view = session::end_of(self.folder.as_fd(), name, leader).map_err(failed)?;
        match view {
            Some((view, _)) => sweep::sweep_view(self, &view, &mut Swept::default()),
            None => Ok(()),
        }
    }

    /// Takes a session off the record, whoever leads it: somebody has said that it has ended.
    pub fn forget_session(&self, name: &str) -> Result<(), Error> {
        session::forget(self.folder.as_fd(), name).map_err(failed)
    }

    /// Is the session of this name on record, and alive?
    pub fn lives(&self, name: &str) -> Result<bool, Error> {
        session::lives(self.folder.as_fd(), name).map_err(failed)
    }

    /// The shared view in which the session of this name is on record, by name and generation.
    pub fn view_of(&self, name: &str) -> Result<Option<(String, u32)>, Error> {
        session::view_of(self.folder.as_fd(), name).map_err(failed)
    }

    /// Closes every descriptor but the standard three, this value's and `kept`. For a forked child: no other value that
    /// holds descriptors may be dropped or used in it.
    pub fn close_all_but_this(&self, kept: &[BorrowedFd<'_>]) -> sys::Result<()> {
        sys::fd::close_all_but(&[kept, &[self.folder.as_fd()]].concat())
    }

    /// The folder in which `src/scripts` keeps what it has done.
    pub fn scripts(&self) -> Result<OwnedFd, Error> {
        sys::path::private_directory(self.folder.as_fd(), state::SCRIPTS).map_err(failed)
    }

    /// Takes away everything that belongs to nobody alive. Safe at any moment, any number of times.
    pub fn sweep(&self) -> Result<Swept, Error> {
        sweep::sweep(self)
    }

    /// What is alive now.
    pub fn inventory(&self) -> Result<Inventory, Error> {
        inventory::take(self)
    }

    /// The way into a generation of a view, without its lock: to be looked at, and not to be joined.
    pub fn look_at_view(&self, name: &str, generation: u32) -> Result<Option<Door>, Error> {
        let living = scope::peek(self.folder.as_fd(), name).map_err(failed)?;
        Ok(living.into_iter().find(|(record, _)| record.generation == generation).map(|(_, door)| door))
    }

    /// What [`Registry::sweep`] would take away now. Takes nothing away.
    pub fn stale(&self) -> Result<Stale, Error> {
        inventory::stale(self).map_err(failed)
    }

    /// What `--prepare` has done, by user, without what somebody is at work on.
    pub fn all_prepared(&self) -> Result<Vec<(u32, PreparedRecord)>, Error> {
        prepared::all(self.folder.as_fd()).map_err(failed)
    }

    /// The name of the first view on record that is the wanted one. Not asked is whether it lives: in a PID namespace the
    /// numbers of processes on record are nobody's.
    pub fn view_on_record(
        &self,
        is_wanted: impl Fn(&NamespaceRecord) -> bool,
    ) -> Result<Option<String>, Error> {
        let scopes = self.scopes().map_err(failed)?;
        for name in sys::path::list(scopes.as_fd()).map_err(failed)? {
            let records = scope::on_record(self.folder.as_fd(), &name).map_err(failed)?;
            if records.iter().any(&is_wanted) {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// What the processes of views and sessions can be told by.
    pub(crate) fn whereabouts(&self) -> Result<Whereabouts, Error> {
        let mut found = Whereabouts::default();
        let scopes = self.scopes().map_err(failed)?;
        for name in sys::path::list(scopes.as_fd()).map_err(failed)? {
            for record in scope::on_record(self.folder.as_fd(), &name).map_err(failed)? {
                found.mounts.push(record.mounts);
                if let Keeper::Init { process } = record.keeper {
                    found.keepers.extend(process.open().map_err(failed)?.map(|_| process.pid));
                }
            }
        }
        for (_, session) in session::living(self.folder.as_fd()).map_err(failed)? {
            found.leaders.extend(session.leader.map(|leader| leader.pid));
        }
        Ok(found)
    }

    /// What `--prepare` has done for this user, locked.
    pub fn prepared(&self, uid: u32) -> Result<Journal, Error> {
        Journal::open(self.folder.as_fd(), uid).map_err(failed)
    }

    fn scopes(&self) -> sys::Result<OwnedFd> {
        sys::path::private_directory(self.folder.as_fd(), scope::FOLDER)
    }
}

/// Numbers that processes of views and sessions have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Whereabouts {
    /// Of the mount namespaces of views.
    pub(crate) mounts: Vec<u64>,
    /// Of the first processes of views.
    pub(crate) keepers: Vec<i32>,
    /// Of the processes whose end is a session's.
    pub(crate) leaders: Vec<i32>,
}

/// A failure of the folder itself.
pub(crate) fn failed(error: sys::Error) -> Error {
    let help = match rustix::io::Errno::from_raw_os_error(error.errno()) {
        rustix::io::Errno::TIMEDOUT => {
            "another login holds it; `fuser -v` on the lock file under /run/session-sandbox names the process"
        }
        rustix::io::Errno::NOSPC => {
            "make room there (`df /run/session-sandbox`), or raise sysctl user.max_mnt_namespaces or fs.mount-max"
        }
        _ => "the folder must belong to root, with mode 0700, on a file system with room",
    };
    Error::new(ErrorKind::Host, "cannot keep a record in /run/session-sandbox").caused_by(error).help(help)
}
