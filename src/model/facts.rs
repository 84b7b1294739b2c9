//! What the host is like, as far as a plan depends on it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::path::AbsPath;
use super::policy::OpenAs;

/// Everything that planning may ask of the host, read once. Plain data: tests write it down by hand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// May this process mount in the host's user namespace (CAP_SYS_ADMIN there)?
    pub privileged: bool,
    /// Is there a base namespace, and may this process enter it?
    pub base: bool,
    /// The uid that asks.
    pub caller_uid: u32,
    /// What the kernel offers.
    pub kernel: KernelFeatures,
    /// The group ids behind the group names that the policy uses; a name that the host does not know is absent.
    pub groups: BTreeMap<String, u32>,
    /// What is at the paths that the policy names.
    pub paths: BTreeMap<(Look, AbsPath), PathFact>,
    /// Of a path that leads nowhere, the component that is to blame, where that is not the last one.
    pub culprits: BTreeMap<(Look, AbsPath), AbsPath>,
    /// Is one of the standard descriptors a terminal that can be shown inside as `/dev/console`?
    pub terminal: bool,
    /// May this process make device nodes (CAP_MKNOD in the host's user namespace)?
    pub makes_devices: bool,
    /// The id of the group `tty`, for new pseudo terminals.
    pub tty_group: Option<u32>,
    /// The user's own subordinate ids, where an ordinary user enters and the set-id helpers are there.
    pub subordinate: Option<SubordinateIds>,
}

impl Facts {
    /// What is at `path`, looked at in that way. What was never asked counts as missing.
    pub fn path(&self, look: Look, path: &AbsPath) -> &PathFact {
        self.paths.get(&(look, path.clone())).unwrap_or(&PathFact::Missing)
    }

    /// How a message says what is at `path`: with the component that is to blame where it leads nowhere.
    pub fn describe(&self, look: Look, path: &AbsPath) -> String {
        let fact = self.path(look, path);
        let Some(culprit) = self.culprits.get(&(look, path.clone())) else { return fact.describe() };
        match fact {
            PathFact::Missing => format!("missing: there is no {culprit}"),
            PathFact::ThroughSymlink => format!("behind the symbolic link {culprit}"),
            PathFact::Unreachable(refusal) => format!("unreachable at {culprit}: {}", refusal.reason),
            _ => fact.describe(),
        }
    }
}

/// How a path is looked at, and later opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Look {
    /// With the program's own rights; a symbolic link on the way is an answer, not a way.
    Root,
    /// With the user's rights; links as above.
    User,
    /// With the program's own rights, following links of which every component belongs to root.
    RootFollowing,
    /// With the user's rights, following such links.
    UserFollowing,
}

impl Look {
    /// How a bind with these settings opens its source.
    pub fn of_bind(open_as: OpenAs, follow_symlinks: bool) -> Self {
        match (open_as, follow_symlinks) {
            (OpenAs::User, false) => Self::User,
            (OpenAs::User, true) => Self::UserFollowing,
            (OpenAs::Root, false) => Self::Root,
            (OpenAs::Root, true) => Self::RootFollowing,
        }
    }
}

/// What a path leads to, without following a symbolic link at its end or on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathFact {
    /// Nothing.
    Missing,
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link with this text.
    Symlink(String),
    /// A socket.
    Socket,
    /// A device node.
    Device,
    /// A named pipe.
    Fifo,
    /// A symbolic link stands somewhere before the last component.
    ThroughSymlink,
    /// A component that is no directory, a loop, or no permission.
    Unreachable(Refusal),
    /// Who asks may not look there, and a login may. A plan that is only looked at takes it for what is wanted.
    Unseen,
}

/// Why a path cannot be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Who is to blame.
    pub by: RefusedBy,
    /// As a message says it.
    pub reason: String,
}

/// What keeps somebody from looking at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedBy {
    /// Permissions, or a security module.
    Permissions,
    /// A component that is no directory.
    File,
    /// The server of the file system, which is gone.
    Server,
    /// Our own rules about links.
    Trust,
    /// Something else.
    Other,
}

impl PathFact {
    /// Not to be looked at, for a reason that is nobody's fault in particular.
    pub fn unreachable(reason: impl Into<String>) -> Self {
        Self::Unreachable(Refusal { by: RefusedBy::Other, reason: reason.into() })
    }

    /// How a message calls it.
    pub fn describe(&self) -> String {
        match self {
            Self::Missing => "missing".to_owned(),
            Self::Directory => "a directory".to_owned(),
            Self::File => "a file".to_owned(),
            Self::Symlink(to) => format!("a symbolic link to {to:?}"),
            Self::Socket => "a socket".to_owned(),
            Self::Device => "a device".to_owned(),
            Self::Fifo => "a named pipe".to_owned(),
            Self::ThroughSymlink => "behind a symbolic link".to_owned(),
            Self::Unreachable(refusal) => format!("unreachable: {}", refusal.reason),
            Self::Unseen => "not to be seen without root".to_owned(),
        }
    }
}

/// Kernel facilities, found by calling them. [`KernelFeatures::missing`] names what cannot be done without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct KernelFeatures {
    /// `open_tree`, `move_mount`, `fsopen` (5.2).
    pub mount_descriptors: bool,
    /// `openat2` (5.6).
    pub openat2: bool,
    /// `close_range` (5.9). Used with a flag of 5.11, which [`KernelFeatures::mount_setattr`] vouches for.
    pub close_range: bool,
    /// `mount_setattr`, recursive (5.12).
    pub mount_setattr: bool,
    /// `MOUNT_ATTR_NOSYMFOLLOW` (5.14).
    pub nosymfollow: bool,
    /// Landlock scopes, ABI 6 (6.12).
    pub landlock_scope: bool,
}

impl Default for KernelFeatures {
    /// Everything: what tests want unless they are about its absence.
    fn default() -> Self {
        Self {
            mount_descriptors: true,
            openat2: true,
            close_range: true,
            mount_setattr: true,
            nosymfollow: true,
            landlock_scope: true,
        }
    }
}

impl KernelFeatures {
    /// The first facility below the floor that this kernel lacks: the call and the version that brought it.
    pub fn missing(&self) -> Option<(&'static str, &'static str)> {
        [
            (self.mount_descriptors, ("open_tree", "5.2")),
            (self.openat2, ("openat2", "5.6")),
            (self.close_range, ("close_range", "5.9")),
            (self.mount_setattr, ("mount_setattr", "5.12")),
        ]
        .into_iter()
        .find_map(|(there, what)| (!there).then_some(what))
    }
}

/// Ranges from `/etc/subuid` and `/etc/subgid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SubordinateIds {
    /// First uid and count.
    pub uid: (u32, u32),
    /// First gid and count.
    pub gid: (u32, u32),
}
