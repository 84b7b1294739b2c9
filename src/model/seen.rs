//! What somebody who looks at a path of the host finds there: more than a plan depends on, for whoever explains one.

use serde::Serialize;

use super::facts::PathFact;
use super::mounts::MountEntry;

/// A path of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What is there.
    pub fact: PathFact,
    /// More about it; nothing where nothing is there, or nobody may look.
    pub more: Option<Details>,
}

/// What is known of something that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// The path without links, as the host has it.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// The mount it lies on.
    pub mount: Option<MountEntry>,
    /// What the kernel lets the user do, access control lists and all; nothing where the caller cannot ask in the user's
    /// name.
    pub access: Option<Access>,
    /// What the kernel starts in place of a program: `interpreter` or `loader`, and its path. Read where the user may.
    pub starter: Option<(&'static str, String)>,
}

/// What a user may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Access {
    /// Read it.
    pub read: bool,
    /// Write it.
    pub write: bool,
    /// Execute it, or look names up in it.
    pub execute: bool,
}

impl Access {
    /// What permission bits say for somebody.
    pub fn by_bits(mode: u32, owner: (u32, u32), uid: u32, groups: &[u32]) -> Self {
        let (owner_uid, owner_gid) = owner;
        let shift = if owner_uid == uid {
            6
        } else if groups.contains(&owner_gid) {
            3
        } else {
            0
        };
        let bits = mode >> shift;
        Self { read: bits & 4 != 0, write: bits & 2 != 0, execute: bits & 1 != 0 }
    }
}

impl Seen {
    /// Nothing more is known than this.
    pub fn only(fact: PathFact) -> Self {
        Self { fact, more: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_owner_group_and_others_counts() {
        let access = |mode, uid, groups: &[u32]| {
            let Access { read, write, execute } = Access::by_bits(mode, (7, 8), uid, groups);
            [read, write, execute].map(u8::from)
        };
        assert_eq!(access(0o754, 7, &[8]), [1, 1, 1]);
        assert_eq!(access(0o754, 9, &[8]), [1, 0, 1]);
        assert_eq!(access(0o754, 9, &[9]), [1, 0, 0]);
        // Owners are not helped by what others may do.
        assert_eq!(access(0o077, 7, &[8]), [0, 0, 0]);
    }
}
