//! What bwrap takes, how many values, and what that is in a map.

/// What an option is in a map.
#[derive(Clone, Copy, Debug)]
pub(super) enum Means {
    Bind {
        options: &'static [&'static str],
        is_optional: bool,
    },
    /// An entry of this kind.
    Mount(&'static str),
    Symlink,
    RemountRo,
    Chmod,
    Perms,
    Size,
    SetEnv,
    UnsetEnv,
    ClearEnv,
    CapAdd,
    CapDrop,
    Chdir,
    /// Processes of its own.
    Pids,
    /// `--unshare-all`.
    All,
    /// So it is in any case.
    AsItIs,
    /// No map says it, and why.
    Lost(&'static str),
}

use Means::{Bind, Lost, Mount};

pub(super) const NAMESPACES: &str = "of these, a session has processes of its own; network, IPC, host name and control groups stay the host's";
const NET: &str = "sessions have the host's network";
const IPC: &str = "sessions have the host's System V IPC and message queues by name";
const UTS: &str = "sessions have the host's name";
const CGROUP: &str = "sessions see the host's control groups";
const USERNS: &str = "root builds a session without a user namespace, and an ordinary user always with one; a map has no say in it";
const IDS: &str = "inside, everybody has the ids of the account";
const FD: &str =
    "what comes through a descriptor is not known here; put it into a file of the host, and bind that";
const TREE_FD: &str = "which tree the descriptor leads to is not known here";
const STATUS: &str = "it is between bwrap and who started it";
const LABEL: &str = "labels of SELinux are not for a map";
const SECCOMP: &str = "a map has no filters of system calls";
const OVERLAY: &str = "a map has no overlays";

pub(super) const OPTIONS: [(&str, usize, Means); 67] = [
    ("bind", 2, Bind { options: &[], is_optional: false }),
    ("bind-try", 2, Bind { options: &[], is_optional: true }),
    ("ro-bind", 2, Bind { options: &["ro"], is_optional: false }),
    ("ro-bind-try", 2, Bind { options: &["ro"], is_optional: true }),
    ("dev-bind", 2, Bind { options: &["dev"], is_optional: false }),
    ("dev-bind-try", 2, Bind { options: &["dev"], is_optional: true }),
    ("proc", 1, Mount("proc")),
    ("dev", 1, Mount("dev")),
    ("tmpfs", 1, Mount("tmpfs")),
    ("mqueue", 1, Mount("mqueue")),
    ("dir", 1, Mount("dir")),
    ("symlink", 2, Means::Symlink),
    ("remount-ro", 1, Means::RemountRo),
    ("chmod", 2, Means::Chmod),
    ("perms", 1, Means::Perms),
    ("size", 1, Means::Size),
    ("file", 2, Lost(FD)),
    ("bind-data", 2, Lost(FD)),
    ("ro-bind-data", 2, Lost(FD)),
    ("bind-fd", 2, Lost(TREE_FD)),
    ("ro-bind-fd", 2, Lost(TREE_FD)),
    ("setenv", 2, Means::SetEnv),
    ("unsetenv", 1, Means::UnsetEnv),
    ("clearenv", 0, Means::ClearEnv),
    ("chdir", 1, Means::Chdir),
    ("cap-add", 1, Means::CapAdd),
    ("cap-drop", 1, Means::CapDrop),
    ("unshare-all", 0, Means::All),
    ("share-net", 0, Means::AsItIs),
    ("unshare-pid", 0, Means::Pids),
    ("unshare-user", 0, Lost(USERNS)),
    ("unshare-user-try", 0, Lost(USERNS)),
    ("unshare-ipc", 0, Lost(IPC)),
    ("unshare-net", 0, Lost(NET)),
    ("unshare-uts", 0, Lost(UTS)),
    ("unshare-cgroup", 0, Lost(CGROUP)),
    ("unshare-cgroup-try", 0, Lost(CGROUP)),
    ("userns", 1, Lost(USERNS)),
    ("userns2", 1, Lost(USERNS)),
    ("disable-userns", 0, Lost("a map does not keep programs from making user namespaces")),
    ("assert-userns-disabled", 0, Lost("a map does not keep programs from making user namespaces")),
    ("pidns", 1, Lost("a session does not enter a namespace that somebody else has made")),
    ("uid", 1, Lost(IDS)),
    ("gid", 1, Lost(IDS)),
    ("hostname", 1, Lost(UTS)),
    ("new-session", 0, Lost("who logs in keeps the terminal: the login has made a session for it")),
    // A session by hand ends with who started it.
    ("die-with-parent", 0, Means::AsItIs),
    ("as-pid-1", 0, Lost("process 1 of a session takes in orphans; the program is never in its place")),
    ("seccomp", 1, Lost(SECCOMP)),
    ("add-seccomp-fd", 1, Lost(SECCOMP)),
    ("exec-label", 1, Lost(LABEL)),
    ("file-label", 1, Lost(LABEL)),
    ("lock-file", 1, Lost(STATUS)),
    ("sync-fd", 1, Lost(STATUS)),
    ("block-fd", 1, Lost(STATUS)),
    ("userns-block-fd", 1, Lost(STATUS)),
    ("info-fd", 1, Lost(STATUS)),
    ("json-status-fd", 1, Lost(STATUS)),
    ("args", 1, Lost("more arguments come through a descriptor; import those as well")),
    ("help", 0, Lost(STATUS)),
    ("version", 0, Lost(STATUS)),
    // Of later versions, so that their values are not taken for something else.
    ("overlay-src", 1, Lost(OVERLAY)),
    ("overlay", 3, Lost(OVERLAY)),
    ("tmp-overlay", 1, Lost(OVERLAY)),
    ("ro-overlay", 1, Lost(OVERLAY)),
    ("argv0", 1, Lost("a map names no program")),
    ("level-prefix", 0, Lost(STATUS)),
];
