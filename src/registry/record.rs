//! What is written down.

use serde::{Deserialize, Serialize};

use super::process::ProcessId;
use crate::model::isolation::{Apart, Isolation};
use crate::model::path::AbsPath;
use crate::model::policy::{Linger, Scope};
use crate::plan::step::Share;
use crate::sys::nsfs::Handle;

/// A shared view that has been built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceRecord {
    /// Counted from 1 as long as the scope's folder exists.
    pub generation: u32,
    /// The plan's digest.
    pub digest: String,
    /// The profile it was planned from.
    pub profile: String,
    /// Who shares it.
    pub scope: Scope,
    /// The user whose login built it.
    pub user: String,
    /// Seconds since 1970.
    pub built: u64,
    /// The mount number of its root directory.
    pub root: u64,
    /// The number of the mount namespace.
    pub mounts: u64,
    /// The namespaces that it has besides those for mounts and processes.
    #[serde(default, skip_serializing_if = "Apart::is_empty")]
    pub apart: Apart,
    /// The level of isolation that the plan came to which built it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// Where each session shows its terminal, in a copy of its own of the mount table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console: Option<AbsPath>,
    /// What keeps it alive.
    pub keeper: Keeper,
    /// What happens after its last session.
    pub linger: Linger,
    /// When its last session was found to have ended, for a namespace that nobody watches. Seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_since: Option<u64>,
}

/// What keeps a shared view alive, and what it is found by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "by")]
pub enum Keeper {
    /// Process 1 of its PID namespace.
    Init {
        /// Which.
        #[serde(flatten)]
        process: ProcessId,
    },
    /// The processes in it and nothing else.
    Processes {
        /// The kernel's kind of handle.
        kind: i32,
        /// The handle, in hexadecimal.
        handle: String,
    },
    /// A mount of it in the scope's folder.
    Pin,
}

impl Keeper {
    /// A keeper that is no process.
    pub(crate) fn of_handle(handle: &Handle) -> Self {
        let text = handle.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Self::Processes { kind: handle.kind, handle: text }
    }

    /// The handle that [`Keeper::of_handle`] wrote down.
    pub(super) fn handle(kind: i32, text: &str) -> Option<Handle> {
        let bytes: Option<Vec<u8>> = (0..text.len())
            .step_by(2)
            .map(|at| text.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok()))
            .collect();
        bytes.map(|bytes| Handle { kind, bytes })
    }
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// Whose.
    pub user: String,
    /// The user's id.
    pub uid: u32,
    /// The profile.
    pub profile: String,
    /// The door.
    pub service: String,
    /// The terminal, without `/dev/`.
    pub tty: Option<String>,
    /// The remote host.
    pub remote_host: Option<String>,
    /// The X display, where the caller has one.
    pub display: Option<String>,
    /// The shared view that it is in, by name and generation.
    pub view: Option<(String, u32)>,
    /// Seconds since 1970.
    pub began: u64,
    /// The process whose end is the session's; without one it lasts until somebody says that it has ended.
    pub leader: Option<ProcessId>,
    /// Does the leader hold the session's lock? Then the session ends when it lets go of that, too.
    #[serde(default)]
    pub held: bool,
    /// Does the leader serve others, too, as a display manager does? Then it is not ended with the session.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shares_leader: bool,
}

impl NamespaceRecord {
    /// Was it built from the plan that `share` belongs to?
    pub fn is_of(&self, share: &Share) -> bool {
        self.digest == share.digest
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
impl SessionRecord {
    /// One of bob's, for tests.
    pub(super) fn sample(leader: ProcessId) -> Self {
        Self {
            user: "bob".to_owned(),
            uid: 4242,
            profile: "p".to_owned(),
            service: "s".to_owned(),
            tty: None,
            remote_host: None,
            display: None,
            view: None,
            began: 1,
            leader: Some(leader),
            held: false,
            shares_leader: false,
        }
    }
}
