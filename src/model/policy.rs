//! The policy: what the map says, checked and complete.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::instance::{Init, NewDirectory};
use super::isolation::{Apart, Isolation, OnOutside, Parts, Tiocsti};
use super::path::AbsPath;
use super::template::Template;

/// Variables that make the programs which read them load or run something else. They would reach the first program
/// of a session, which is started with root's help. A `*` at the end stands for any ending.
pub const REFUSED_VARIABLES: [(&str, &str); 9] = [
    ("LD_*", "it tells the dynamic linker what to load"),
    ("GLIBC_TUNABLES", "it changes how the C library works"),
    ("BASH_ENV", "bash runs the file that it names"),
    ("ENV", "sh runs the file that it names"),
    ("BASH_FUNC_*", "bash takes functions from it"),
    ("IFS", "it changes how a shell splits words"),
    ("PS4", "a shell that traces runs what is in it"),
    ("SHELLOPTS", "it changes how bash works"),
    ("BASHOPTS", "it changes how bash works"),
];

/// Why the variable `name` is refused, if it is.
pub fn refused_variable(name: &str) -> Option<&'static str> {
    let is = |known: &str| match known.strip_suffix('*') {
        Some(stem) => name.starts_with(stem),
        None => name == known,
    };
    REFUSED_VARIABLES.iter().find(|(known, _)| is(known)).map(|(_, why)| *why)
}

/// Everything the map says. Profiles stand in the order in which they are tried; `extends` is already resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// First match wins.
    pub profiles: Vec<Profile>,
}

/// Where in which file something was written, so that every message and every plan line can point there.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Origin {
    /// The file as it was named; `built-in map` for the map that is compiled in.
    pub file: Arc<str>,
    /// Counted from 1.
    pub line: u32,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A private root for the logins that it matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Profile {
    /// Unique in the policy.
    pub name: String,
    /// Where the profile begins.
    pub origin: Origin,
    /// Which logins it is for.
    pub matches: Match,
    /// How they are entered.
    pub settings: Settings,
    /// What the root is made of, in the map's order.
    pub mounts: Vec<MountRule>,
}

/// The conditions of a profile. Each list that is not empty must hold; within a list one hit is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Match {
    /// User names, exactly.
    pub user: Vec<String>,
    /// None of these users.
    pub not_user: Vec<String>,
    /// Group names, exactly, primary or supplementary.
    pub group: Vec<String>,
    /// In none of these groups.
    pub not_group: Vec<String>,
    /// User id ranges.
    pub uid: Vec<UidRange>,
    /// In none of these ranges.
    pub not_uid: Vec<UidRange>,
    /// PAM services; `*`, `?` and `[...]` are wildcards.
    pub service: Vec<String>,
    /// None of these services.
    pub not_service: Vec<String>,
    /// Terminals without `/dev/`; wildcards as above.
    pub tty: Vec<String>,
    /// None of these terminals.
    pub not_tty: Vec<String>,
    /// Remote hosts; wildcards as above.
    pub remote_host: Vec<String>,
    /// None of these hosts.
    pub not_remote_host: Vec<String>,
    /// Paths that exist, one is enough.
    pub exists: Vec<Template>,
    /// Paths none of which may exist.
    pub not_exists: Vec<Template>,
}

/// Both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct UidRange {
    /// The lowest id.
    pub first: u32,
    /// The highest id.
    pub last: u32,
}

/// How a session of a profile is entered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// Where `--prepare` puts the tree on the host.
    pub root: Template,
    /// What the root switch is.
    pub mode: Mode,
    /// Who shares one namespace.
    pub scope: Scope,
    /// What a namespace of scope `named` is called.
    pub scope_name: Option<Template>,
    /// What a login does whose plan differs from that of the living namespace.
    pub on_change: OnChange,
    /// What happens to the namespace after its last session.
    pub linger: Linger,
    /// What stands between a session and processes of the same uid outside.
    pub wall: Wall,
    /// Namespaces of its own besides.
    pub apart: Apart,
    /// What a login does that finds processes of its user outside.
    pub on_outside: OnOutside,
    /// May a session type on its terminal in another's place?
    pub tiocsti: Tiocsti,
    /// `PR_SET_NO_NEW_PRIVS`: no setuid program raises anything.
    pub no_new_privs: bool,
    /// The capability bounding set that is left, by name (`CAP_NET_BIND_SERVICE`). Empty by default.
    pub capabilities: Vec<String>,
    /// The session's umask.
    pub umask: u32,
    /// The environment.
    pub environment: Environment,
    /// The shell to start instead of the user's own.
    pub shell: Option<AbsPath>,
}

impl Settings {
    /// How far all of this keeps a session apart.
    pub fn isolation(&self) -> Isolation {
        self.isolation_behind(self.wall)
    }

    /// The same with another wall than the map asks for.
    pub fn isolation_behind(&self, wall: Wall) -> Isolation {
        Isolation::of(&Parts {
            wall,
            no_capabilities: self.capabilities.is_empty(),
            no_new_privs: self.no_new_privs,
            tiocsti: self.tiocsti,
            apart: self.apart,
            on_outside: self.on_outside,
        })
    }
}

/// The session's environment: what is kept of the caller's, and what is set. HOME, SHELL, USER, LOGNAME always are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Environment {
    /// Names to keep; a trailing `*` stands for any ending (`LC_*`).
    pub keep: Vec<String>,
    /// Values to set, after what is kept.
    pub set: BTreeMap<String, Template>,
}

/// How the root becomes `/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A mount namespace that holds the tree and nothing else (`pivot_root`).
    Namespace,
    /// The tree in a private mount namespace, entered by `chroot`. Without a base namespace the host's tree stays behind it.
    Chroot,
}

/// Who shares one namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Each session its own.
    Session,
    /// All sessions of a user.
    User,
    /// All sessions of a primary group.
    Group,
    /// All sessions whose `scope_name` comes to the same.
    Named,
}

/// What a login does whose plan differs from the one that the living namespace was built from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnChange {
    /// It joins all the same: one view for all.
    Join,
    /// It starts a new generation beside the old one: a change of the map holds from the next login on.
    New,
}

/// What happens to a shared namespace after its last session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Linger {
    /// It ends at once, with everything that was left running in it.
    No,
    /// It stays while any process runs in it.
    Processes,
    /// It stays so many seconds longer, and ends then.
    Seconds(u32),
}

/// What keeps a process of the same uid outside from being a door (`/proc/PID/root`, ptrace, signals).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Wall {
    /// A PID namespace with its own `/proc`.
    Pidns,
    /// A Landlock domain that scopes signals, ptrace and abstract sockets (Linux 6.12).
    Landlock,
    /// Nothing.
    None,
}

/// One entry of the map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MountRule {
    /// Where it was written.
    pub origin: Origin,
    /// Where it appears inside. For `system` entries this is `/`.
    pub target: Template,
    /// What appears there.
    pub kind: MountKind,
    /// Leave it out where its source, or the kernel's support for it, is missing.
    pub optional: bool,
    /// Directories of the host's that are made before.
    pub makes: Vec<NewDirectory>,
    /// What is run once it is there.
    pub init: Option<Init>,
}

impl MountRule {
    /// Is it no fault when the host does not have what the entry names? That is what `system` is for.
    pub fn may_be_left_out(&self) -> bool {
        self.optional || matches!(self.kind, MountKind::System { .. })
    }
}

/// What a map entry puts at its target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum MountKind {
    /// A directory or file of the host.
    Bind {
        /// The host's path.
        source: Template,
        /// With what is mounted below it.
        recursive: bool,
        /// Whose rights open the source.
        open_as: OpenAs,
        /// Follow symbolic links, all of whose components must belong to root.
        follow_symlinks: bool,
        /// Do mounts that the host makes later below the source appear inside?
        propagation: Propagation,
        /// Attributes, for the whole tree.
        attributes: Attributes,
    },
    /// An empty file system in memory.
    Tmpfs {
        /// Bytes at most; half of the memory where the map says nothing.
        size: Option<u64>,
        /// Permission bits of its root directory.
        mode: u32,
        /// Who owns its root directory.
        owner: Owner,
        /// Attributes; `read_only` holds once the tree is complete.
        attributes: Attributes,
    },
    /// Process information, for the session's PID namespace.
    Proc {
        /// Attributes.
        attributes: Attributes,
    },
    /// The kernel's device and driver tree.
    Sysfs {
        /// Attributes.
        attributes: Attributes,
    },
    /// The devices every program expects: null zero full random urandom tty, their links, ptmx, and shm.
    Dev {
        /// Bytes at most in `shm`.
        size: Option<u64>,
    },
    /// Pseudo terminals of the session's own.
    Devpts,
    /// POSIX message queues.
    Mqueue {
        /// Attributes.
        attributes: Attributes,
    },
    /// A symbolic link.
    Symlink {
        /// The link's text, used as it is.
        to: Template,
    },
    /// An empty directory.
    Dir {
        /// Permission bits.
        mode: u32,
        /// Who owns it.
        owner: Owner,
    },
    /// A file with the given content, read-only.
    File {
        /// The content.
        content: Template,
        /// Permission bits.
        mode: u32,
        /// Who owns it.
        owner: Owner,
    },
    /// An empty, unreadable stand-in for a file or directory of a tree that is bound above it.
    Mask,
    /// Of these paths, whatever this host has: directories are bound, symbolic links are made again as they are.
    System {
        /// The paths to look at.
        paths: Vec<AbsPath>,
        /// Attributes of the binds.
        attributes: Attributes,
    },
}

impl MountKind {
    /// The word that the map uses.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Bind { .. } => "bind",
            Self::Tmpfs { .. } => "tmpfs",
            Self::Proc { .. } => "proc",
            Self::Sysfs { .. } => "sysfs",
            Self::Dev { .. } => "dev",
            Self::Devpts => "devpts",
            Self::Mqueue { .. } => "mqueue",
            Self::Symlink { .. } => "symlink",
            Self::Dir { .. } => "dir",
            Self::File { .. } => "file",
            Self::Mask => "mask",
            Self::System { .. } => "system",
        }
    }
}

/// Whose rights open a bind's source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OpenAs {
    /// The program's own. For paths that only root can influence.
    Root,
    /// The user's, so that the kernel checks the user's permissions on the user's paths.
    User,
}

/// Who owns what the map creates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// uid 0 and gid 0 (the user, where an ordinary user builds the tree).
    Root,
    /// The user and the primary group.
    User,
}

/// Whether later mounts of the host appear inside. Nothing mounted inside ever appears outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Propagation {
    /// No.
    Private,
    /// Yes.
    Slave,
}

/// Per-mount attributes. `true` adds the restriction; nothing ever takes one away that the host's mount has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// No writing.
    pub read_only: bool,
    /// Set-user-id bits and file capabilities mean nothing.
    pub nosuid: bool,
    /// Device nodes cannot be opened.
    pub nodev: bool,
    /// Nothing can be executed.
    pub noexec: bool,
    /// Access times are not kept.
    pub noatime: bool,
    /// Symbolic links are not followed.
    pub nosymfollow: bool,
}

impl Attributes {
    /// What holds unless the map says otherwise: `nosuid`, `nodev`.
    pub const STANDARD: Self = Self {
        read_only: false,
        nosuid: true,
        nodev: true,
        noexec: false,
        noatime: false,
        nosymfollow: false,
    };

    /// The restrictions of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            read_only: self.read_only || other.read_only,
            nosuid: self.nosuid || other.nosuid,
            nodev: self.nodev || other.nodev,
            noexec: self.noexec || other.noexec,
            noatime: self.noatime || other.noatime,
            nosymfollow: self.nosymfollow || other.nosymfollow,
        }
    }
}

impl fmt::Display for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.read_only { "ro" } else { "rw" })?;
        for (on, word) in [
            (self.nosuid, ",nosuid"),
            (self.nodev, ",nodev"),
            (self.noexec, ",noexec"),
            (self.noatime, ",noatime"),
            (self.nosymfollow, ",nosymfollow"),
        ] {
            if on {
                f.write_str(word)?;
            }
        }
        Ok(())
    }
}
