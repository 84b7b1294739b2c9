//! What was found on a host. Plain data: tests write it down by hand.
//!
//! Texts of the host's are kept as they are. Nothing here promises that a path is one, or that a name can be read.

use std::collections::BTreeMap;

use crate::model::facts::PathFact;
use crate::model::path::AbsPath;

/// Nobody has this user id, and files of unknown users seem to be of the one before it.
const NO_USER: [u32; 4] = [65_534, 65_535, u32::MAX - 1, u32::MAX];
/// The first id of an ordinary user where `/etc/login.defs` says nothing.
pub(super) const UID_MIN: u32 = 1000;

/// A host, as far as its map depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// What is in `/`, by name.
    pub top: BTreeMap<String, PathFact>,
    /// What is at the places that a map may have an entry for. What was not asked for counts as missing.
    pub places: BTreeMap<String, PathFact>,
    /// Links below `/etc`, and where they lead.
    pub leads: Vec<Lead>,
    /// The mount table, in its order.
    pub mounts: Vec<Mounted>,
    /// `/etc/fstab`.
    pub fstab: Vec<FstabLine>,
    /// What an automounter is told to mount on demand.
    pub autofs: Vec<AutofsMap>,
    /// `/etc/passwd`.
    pub users: Vec<User>,
    /// Groups whose members have more rights than others.
    pub groups: Vec<Group>,
    /// `/etc/login.defs`.
    pub login: LoginDefs,
    /// The services that `/etc/nsswitch.conf` names for users, groups and hosts.
    pub name_services: Vec<String>,
    /// The PAM services.
    pub pam: Vec<String>,
    /// What could not be looked at, and why.
    pub unread: Vec<(String, String)>,
}

/// A value, and the file and line that it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said<T> {
    /// As `/etc/login.defs:151`.
    pub place: String,
    /// What it says.
    pub value: T,
}

/// A symbolic link, and where it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lead {
    /// The link.
    pub link: AbsPath,
    /// Where it leads, step by step; the last one is no link.
    pub through: Vec<AbsPath>,
    /// What is at the end.
    pub end: PathFact,
}

/// A line of the mount table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounted {
    /// The mount point.
    pub at: String,
    /// The type of the file system.
    pub kind: String,
    /// What is mounted: a disk, a server's directory.
    pub source: String,
    /// The options of the mount and of the file system, with commas.
    pub options: String,
}

/// A line of `/etc/fstab`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FstabLine {
    /// Counted from 1.
    pub number: usize,
    /// What is mounted.
    pub source: String,
    /// Where.
    pub at: String,
    /// The type of the file system.
    pub kind: String,
    /// Options, with commas.
    pub options: String,
}

/// A mount point of an automounter's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AutofsMap {
    /// As `/etc/auto.master:3`.
    pub place: String,
    /// Where it mounts, or below what.
    pub at: String,
    /// The map or the place that it mounts from.
    pub map: String,
}

/// A line of `/etc/passwd`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its id.
    pub uid: u32,
    /// The name of its primary group, where `/etc/group` has it.
    pub group: Option<String>,
    /// Its home.
    pub home: String,
    /// Is its shell one that can be used?
    pub logs_in: bool,
}

/// A group, and who was put into it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Supplementary members.
    pub members: Vec<String>,
}

/// What `/etc/login.defs` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoginDefs {
    /// The first id of an ordinary user.
    pub uid_min: Option<Said<u32>>,
    /// The last one that is given to a new user.
    pub uid_max: Option<Said<u32>>,
    /// The file creation mask.
    pub umask: Option<Said<u32>>,
    /// Where users look for programs.
    pub path: Option<Said<String>>,
}

impl Found {
    /// What is at `path`.
    pub(super) fn at(&self, path: &str) -> &PathFact {
        let in_top = || path.strip_prefix('/').and_then(|name| self.top.get(name));
        self.places.get(path).or_else(in_top).unwrap_or(&PathFact::Missing)
    }

    /// Is there a directory, or a link which may lead to one?
    pub(super) fn has(&self, path: &str) -> bool {
        *self.at(path) == PathFact::Directory || self.is_linked(path)
    }

    /// Is it a link, or behind one?
    pub(super) fn is_linked(&self, path: &str) -> bool {
        matches!(self.at(path), PathFact::Symlink(_) | PathFact::ThroughSymlink)
    }

    /// Is there a socket?
    pub(super) fn has_socket(&self, path: &str) -> bool {
        *self.at(path) == PathFact::Socket
    }

    /// Does `/etc/nsswitch.conf` name one of these? A `*` at the end stands for any ending.
    pub(super) fn asks(&self, services: &[&str]) -> bool {
        let is = |name: &str, known: &str| match known.strip_suffix('*') {
            Some(stem) => name.starts_with(stem),
            None => name == known,
        };
        self.name_services.iter().any(|name| services.iter().any(|known| is(name, known)))
    }

    /// The first id of an ordinary user. Root is none, whatever the file says.
    pub(super) fn uid_min(&self) -> u32 {
        self.login.uid_min.as_ref().map(|said| said.value).filter(|uid| is_first(*uid)).unwrap_or(UID_MIN)
    }

    /// The accounts that the map is for.
    pub(super) fn ordinary(&self) -> impl Iterator<Item = &User> {
        let first = self.uid_min();
        self.users.iter().filter(move |user| user.uid >= first && !NO_USER.contains(&user.uid))
    }
}

/// Can ordinary users begin here?
pub(super) fn is_first(uid: u32) -> bool {
    uid > 0 && uid < NO_USER[0]
}
