//! What was enforced, for whoever asks afterwards.

use serde::Serialize;

use super::isolation::Isolation;
use super::policy::{Mode, Wall};

/// How much of what the policy can ask for holds in a session. Returned with a plan and shown by a dry run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The root switch.
    pub mode: Mode,
    /// The wall towards processes of the same uid.
    pub wall: Wall,
    /// The level that its parts come to.
    pub isolation: Isolation,
    /// Does the session live in a user namespace of its own (entered by an ordinary user)?
    pub user_namespace: bool,
    /// Mounts inside, not counting what recursive binds bring along.
    pub mounts: usize,
    /// What was left out or done another way on this host, one sentence each.
    pub notes: Vec<String>,
}
