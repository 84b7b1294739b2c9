//! The plan: what will be done, in phases whose order cannot be written wrongly.

use std::ffi::OsString;

use serde::Serialize;

use crate::model::facts::{Look, SubordinateIds};
use crate::model::instance::Holder;
use crate::model::isolation::{Apart, OnOutside};
use crate::model::path::AbsPath;
use crate::model::policy::{Attributes, Linger, Mode, OnChange, Origin, Propagation, Scope};
use crate::model::report::Report;
use crate::model::subject::Subject;

/// Everything that entering a session does. Complete: nothing is decided later, only checked again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The profile that matched.
    pub profile: String,
    /// Where that profile stands in the map.
    pub origin: Origin,
    /// Who enters.
    pub subject: Subject,
    /// Before anything is done: what becomes of the user's processes outside.
    pub on_outside: OnOutside,
    /// First: the namespaces.
    pub namespace: Namespace,
    /// Directories of the host that are made where they are missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub creates: Vec<Create>,
    /// Then the tree, parents before children. The first step mounts the root.
    pub tree: Vec<TreeStep>,
    /// Then what was writable only for building becomes read-only.
    pub seal: Vec<Seal>,
    /// Then the tree becomes `/`, or is put at a path of the host.
    pub root: RootSwitch,
    /// Then what gets a new view ready.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub init: Vec<Init>,
    /// Then the process becomes the user.
    pub identity: Identity,
    /// Last, the user's program.
    pub exec: Exec,
    /// With whom the namespace is shared; `None`: it is the session's own.
    pub share: Option<Share>,
    /// What holds when all of this is done.
    pub report: Report,
}

/// A namespace that several sessions are in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Who they are.
    pub scope: Scope,
    /// Which one it is: `user-1001.login`. A file's name, and unique among those that live.
    pub name: String,
    /// Stands for everything that is shared: equal where two plans build the same.
    pub digest: String,
    /// What a login does that finds one with another digest.
    pub on_change: OnChange,
    /// What happens after the last session.
    pub linger: Linger,
    /// This session takes a copy of the shared namespace, which nobody else joins.
    pub private_copy: bool,
    /// Where a session with a terminal shows it, in a copy of the mount table that follows the shared one.
    pub console: Option<AbsPath>,
}

/// Which namespaces are made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Namespace {
    /// A user namespace, for an ordinary user.
    pub user: Option<UserNamespace>,
    /// A PID namespace.
    pub pid: bool,
    /// Others, with it.
    pub apart: Apart,
    /// The mount namespace is a copy of the empty base namespace, not of the host's.
    pub base: bool,
}

/// How the ids of a user namespace map to the host's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UserNamespace {
    /// The user's own id, the same inside and outside.
    pub uid: u32,
    /// The primary group's, likewise.
    pub gid: u32,
    /// Subordinate ids, the same inside and outside; needs the host's `newuidmap` and `newgidmap`.
    pub subordinate: Option<SubordinateIds>,
}

/// One step of building the tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TreeStep {
    /// The map line that asks for it.
    pub origin: Origin,
    /// Where inside.
    pub target: AbsPath,
    /// What.
    #[serde(flatten)]
    pub make: Make,
}

/// What a step makes at its target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "make")]
pub enum Make {
    /// A directory in a tree of our own.
    Directory {
        /// Permission bits.
        mode: u32,
        /// Owner's ids.
        owner: Ids,
    },
    /// A file in a tree of our own.
    File {
        /// Content.
        content: String,
        /// Permission bits.
        mode: u32,
        /// Owner's ids.
        owner: Ids,
    },
    /// A symbolic link in a tree of our own.
    Symlink {
        /// The link's text.
        to: String,
    },
    /// A device node in a tree of our own, readable and writable by everybody.
    Device {
        /// Its major and minor number.
        number: (u32, u32),
    },
    /// A mount, on a directory or file that is there when its turn comes.
    Mount {
        /// What is mounted.
        what: Mount,
        /// Directory on directory, everything else on a file.
        node: Node,
        /// Attributes that hold before it is attached.
        attributes: Attributes,
    },
}

/// A user and a group id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Ids {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// What can stand at the top of a mount, and what it can therefore be mounted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Node {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A socket.
    Socket,
    /// A device.
    Device,
}

/// What a mount is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "mount")]
pub enum Mount {
    /// A part of the host's tree.
    Bind {
        /// The host's path.
        source: AbsPath,
        /// How it is opened.
        look: Look,
        /// With everything mounted below.
        recursive: bool,
        /// Mount events.
        propagation: Propagation,
    },
    /// Memory.
    Tmpfs {
        /// Bytes at most.
        size: Option<u64>,
        /// The root directory's permission bits.
        mode: u32,
        /// The root directory's owner.
        owner: Ids,
    },
    /// Process information.
    Proc,
    /// The kernel's device tree.
    Sysfs,
    /// Pseudo terminals.
    Devpts {
        /// The group of new terminals.
        gid: Option<u32>,
    },
    /// Message queues.
    Mqueue,
    /// The terminal that the session was started on.
    Terminal,
    /// A file with this content, for places in a bound tree, where nothing is ever created.
    Content {
        /// The content; empty for a mask.
        content: String,
        /// Permission bits.
        mode: u32,
        /// Owner's ids.
        owner: Ids,
    },
}

impl Mount {
    /// Is it taken from the host, and therefore opened before the namespaces are made?
    pub fn is_gathered(&self) -> bool {
        matches!(self, Self::Bind { .. } | Self::Terminal)
    }

    /// The word for it in messages.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Bind { .. } => "bind",
            Self::Tmpfs { .. } => "tmpfs",
            Self::Proc => "proc",
            Self::Sysfs => "sysfs",
            Self::Devpts { .. } => "devpts",
            Self::Mqueue => "mqueue",
            Self::Terminal => "terminal",
            Self::Content { .. } => "content",
        }
    }
}

/// A mount of our own that becomes read-only when everything in it is in place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seal {
    /// The map line.
    pub origin: Origin,
    /// Where the mount is.
    pub target: AbsPath,
    /// The place of its step in the tree phase.
    pub step: usize,
}

/// A directory of the host's that is made where it is missing, with those on the way to it, which are root's and closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Create {
    /// The map line.
    pub origin: Origin,
    /// Where on the host.
    pub at: AbsPath,
    /// What it is like.
    pub like: Like,
    /// What the directory that holds it must be like.
    pub holder: Holder,
    /// Who, besides root, may own directories on the way there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub through: Option<u32>,
}

/// Owner and permission bits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Like {
    /// These.
    Said {
        /// Permission bits.
        mode: u32,
        /// Owner's ids.
        owner: Ids,
    },
    /// Those of this directory.
    Path(AbsPath),
}

/// A program of root's that gets a new view ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Init {
    /// The map line.
    pub origin: Origin,
    /// The program, inside.
    pub program: AbsPath,
    /// The directory that it is called for, inside.
    pub directory: AbsPath,
    /// Its instance on the host; `None`: in memory.
    pub instance: Option<AbsPath>,
    /// The user.
    pub user: String,
}

/// How the tree is put to use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "switch")]
pub enum RootSwitch {
    /// `pivot_root` or `chroot`.
    Enter {
        /// Which of them.
        mode: Mode,
    },
    /// Attach it at a path of the host and stay there.
    Place {
        /// The path.
        at: AbsPath,
    },
}

/// The call that makes the tree `/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    /// `pivot_root`, and the old root is let go of.
    Pivot,
    /// `chroot`: the old root stays below the new one.
    Chroot,
}

/// What the process becomes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// All groups; `None` in a user namespace, where they stay what they are.
    pub groups: Option<Vec<u32>>,
    /// The bounding set that is left, as a bit mask; permitted and effective as well when the user is root.
    pub capabilities: u64,
    /// Is no_new_privs set?
    pub no_new_privs: bool,
    /// Are the ioctls refused by which a program types in another's place?
    pub refuse_tiocsti: bool,
    /// Is the process put into a Landlock scope?
    pub landlock: bool,
    /// File creation mask.
    pub umask: u32,
}

/// The program at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exec {
    /// The path, or a name to look for in `search`.
    #[serde(serialize_with = "lossy")]
    pub program: OsString,
    /// Directories in which a name without a slash is looked for, inside, as the user.
    pub search: Vec<String>,
    /// The arguments, the zeroth included.
    #[serde(serialize_with = "lossy_list")]
    pub arguments: Vec<OsString>,
    /// The whole environment.
    #[serde(serialize_with = "lossy_pairs")]
    pub environment: Vec<(OsString, OsString)>,
    /// Where it starts; `/` when that is not there inside.
    pub directory: AbsPath,
}

fn lossy<S: serde::Serializer>(text: &OsString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text.to_string_lossy())
}

fn lossy_list<S: serde::Serializer>(list: &[OsString], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(list.iter().map(|text| text.to_string_lossy()))
}

fn lossy_pairs<S: serde::Serializer>(
    pairs: &[(OsString, OsString)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer
        .collect_map(pairs.iter().map(|(name, value)| (name.to_string_lossy(), value.to_string_lossy())))
}

/// One effect, as a runner is asked for it.
#[derive(Clone, Copy, Debug)]
pub enum Step<'plan> {
    /// Make a directory of the host.
    Create(&'plan Create),
    /// Open a mount's source in the host's view. The number is the place in the tree phase.
    Gather(usize, &'plan TreeStep),
    /// Leave the host's mount namespace.
    Isolate(&'plan Namespace),
    /// Build one piece of the tree.
    Build(usize, &'plan TreeStep),
    /// Make one mount read-only.
    Seal(&'plan Seal),
    /// Make the tree `/`.
    SwitchRoot(Switch),
    /// Run what gets the view ready.
    Init(&'plan Init),
    /// Become the user, and prove it.
    Become(&'plan Identity),
}

impl Plan {
    /// The effects in their order, up to the point where the user's program can be started.
    pub fn steps(&self) -> impl Iterator<Item = Step<'_>> {
        let gather = self.tree.iter().enumerate().filter_map(|(at, step)| match &step.make {
            Make::Mount { what, .. } if what.is_gathered() => Some(Step::Gather(at, step)),
            _ => None,
        });
        // The host's mounts are copied in the host's own namespace, where later mounts can still reach the copies.
        // A user namespace has no right to do that there: it copies its own copies.
        let (before, after) = match self.namespace.user {
            None => (Some(gather), None),
            Some(_) => (None, Some(gather)),
        };
        let build = self.tree.iter().enumerate().map(|(at, step)| Step::Build(at, step));
        let enter: &[Mode] = match &self.root {
            RootSwitch::Enter { mode } => std::slice::from_ref(mode),
            RootSwitch::Place { .. } => &[],
        };
        // Below the new root there is nothing but an empty directory where it stands on the base.
        let switch = |mode: &Mode| match (self.namespace.base, mode) {
            (false, Mode::Namespace) => Switch::Pivot,
            (true, _) | (false, Mode::Chroot) => Switch::Chroot,
        };
        let switched = enter.iter().map(move |mode| Step::SwitchRoot(switch(mode)));
        let init = self.init.iter().filter(|_| !enter.is_empty()).map(Step::Init);
        let becomes = enter.iter().map(|_| Step::Become(&self.identity));
        let creates = self.creates.iter().map(Step::Create);
        creates
            .chain(before.into_iter().flatten())
            .chain([Step::Isolate(&self.namespace)])
            .chain(after.into_iter().flatten())
            .chain(build)
            .chain(self.seal.iter().map(Step::Seal))
            .chain(switched)
            .chain(init)
            .chain(becomes)
    }

    /// The effects that build a namespace for others to enter: all but becoming somebody.
    pub fn building_steps(&self) -> impl Iterator<Item = Step<'_>> {
        self.steps().filter(|step| !matches!(step, Step::Become(_)))
    }

    /// The mounts that the session will see, without what recursive binds bring along.
    pub fn mounts(&self) -> impl Iterator<Item = (&TreeStep, &Mount, Attributes)> {
        self.tree.iter().enumerate().filter_map(|(at, step)| match &step.make {
            Make::Mount { what, attributes, .. } => {
                let sealed = self.seal.iter().any(|seal| seal.step == at);
                Some((step, what, Attributes { read_only: attributes.read_only || sealed, ..*attributes }))
            }
            _ => None,
        })
    }
}
