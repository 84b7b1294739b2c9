//! What `--prepare` has put on the host, written down before it is done.
//!
//! One file and one lock for each user in `/run/session-sandbox/prepared`, a folder of root's alone. A record names
//! the boot it belongs to: after a restart there is nothing to undo.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use serde::{Deserialize, Serialize};

use super::LOCK_LIMIT;
use crate::model::path::AbsPath;
use crate::sys;

/// Its folder.
pub(super) const FOLDER: &str = "prepared";

/// All that is prepared for one user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The boot in which it was written.
    pub boot: String,
    /// One entry for each path.
    pub trees: Vec<Tree>,
}

/// A tree on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// Where.
    pub at: String,
    /// Directories that were made for it, outermost first.
    pub made: Vec<String>,
    /// The kernel's number of the mount. Known before it is attached, so that nobody else's mount is ever taken for it.
    pub mount: u64,
    /// Is it in use? While it is not, a process is putting it there or taking it away, or was killed at that.
    pub in_use: bool,
    /// How many sessions asked for it and have not released it.
    pub holders: u32,
}

/// What is written down of all users' trees, seen without the locks. Who has one is at work there, and is left out.
pub(super) fn all(state: BorrowedFd<'_>) -> sys::Result<Vec<(u32, Record)>> {
    let folder = sys::path::private_directory(state, FOLDER)?;
    let boot = sys::kernel::boot_id()?;
    let mut found = Vec::new();
    for name in sys::path::list(folder.as_fd())? {
        let Some(uid) = name.strip_suffix(".json").and_then(|uid| uid.parse().ok()) else { continue };
        if sys::lock::is_held(folder.as_fd(), &format!("{uid}.lock"))? {
            continue;
        }
        let text = sys::path::read_if_there(folder.as_fd(), &name)?;
        let record = text.and_then(|text| serde_json::from_slice::<Record>(&text).ok());
        found.extend(record.filter(|record| record.boot == boot).map(|record| (uid, record)));
    }
    found.sort_by_key(|(uid, _)| *uid);
    Ok(found)
}

/// The journal of one user, locked for as long as this value lives.
#[derive(Debug)]
pub struct Journal {
    folder: OwnedFd,
    name: String,
    _lock: OwnedFd,
}

impl Journal {
    /// Opens and locks the journal of `uid`, and makes the folder for it where it is missing.
    pub(super) fn open(state: BorrowedFd<'_>, uid: u32) -> sys::Result<Self> {
        let folder = sys::path::private_directory(state, FOLDER)?;
        let lock = sys::lock::lock_file(folder.as_fd(), &format!("{uid}.lock"), LOCK_LIMIT)?;
        let name = format!("{uid}.json");
        // What a process left that was killed before its new record took the old one's place.
        sys::path::remove_if_there(folder.as_fd(), &sys::path::new_name(&name))?;
        Ok(Self { folder, name, _lock: lock })
    }

    /// What is written down; nothing when the record is of another boot.
    pub fn read(&self) -> sys::Result<Record> {
        let boot = sys::kernel::boot_id()?;
        let nothing = Record { boot: boot.clone(), trees: Vec::new() };
        let Some(text) = sys::path::read_if_there(self.folder.as_fd(), &self.name)? else {
            return Ok(nothing);
        };
        let record: Record = serde_json::from_slice(&text).map_err(|error| {
            sys::Error::new(format!("read({:?}): {error}", self.name), rustix::io::Errno::INVAL)
        })?;
        Ok(if record.boot == boot { record } else { nothing })
    }

    /// Replaces what is written down, at once and as a whole; an empty record leaves no file.
    pub fn write(&self, record: &Record) -> sys::Result<()> {
        if record.trees.is_empty() {
            return sys::path::remove_if_there(self.folder.as_fd(), &self.name);
        }
        let text = serde_json::to_vec(record)
            .map_err(|error| sys::Error::new(format!("{error}"), rustix::io::Errno::INVAL))?;
        sys::path::replace_file(self.folder.as_fd(), &self.name, &text)
    }
}

impl Record {
    /// The tree at `at`.
    pub fn tree(&mut self, at: &AbsPath) -> Option<&mut Tree> {
        self.trees.iter_mut().find(|tree| tree.at == at.as_str())
    }

    /// Forgets the tree at `at`.
    pub fn forget(&mut self, at: &AbsPath) {
        self.trees.retain(|tree| tree.at != at.as_str());
    }
}
