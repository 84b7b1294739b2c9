//! Keys of `[Service]`: which are lists, and why a map does not say what others say.

/// Is it a list, to which each line adds and which an empty line clears?
pub(super) fn is_list(key: &str) -> bool {
    matches!(key, "Environment" | "TemporaryFileSystem" | "CapabilityBoundingSet")
        || key.ends_with("Paths")
        || reason(key).is_some_and(|_| !key.starts_with("Protect") && !key.starts_with("Private"))
}

/// Does `no` leave everything as it is without the key?
pub(super) fn is_switch(key: &str) -> bool {
    ["Private", "Protect", "Restrict", "Lock", "MemoryDeny", "DynamicUser", "RootEphemeral"]
        .iter()
        .any(|stem| key.starts_with(stem))
}

const FILTER: &str = "a map has no filters of system calls";
const NAMESPACE: &str = "sessions have the host's network, name, clock and IPC";
const CGROUP: &str = "limits of control groups are the host's matter, for a session its slice";
const IMAGE: &str = "a map has no images; the host can mount it";
const IDS: &str = "a session belongs to who logs in";
const DIRECTORY: &str = "a map makes no directories on the host; bind one that is there";
const LABEL: &str = "labels of a security module are not for a map";
const RIGHTS: &str = "sessions have no capabilities to begin with, and cannot do this";
const PROC: &str = "with a wall of processes, /proc shows the session's own alone";
const PROC_PARTS: &str = "who is not root cannot change what is in /proc and /sys; a map has no key for it";

/// By name, or by what it begins with where `*` stands at the end.
const REASONS: [(&str, &str); 55] = [
    ("SystemCall*", FILTER),
    ("RestrictNamespaces", FILTER),
    ("RestrictAddressFamilies", FILTER),
    ("RestrictRealtime", FILTER),
    ("RestrictSUIDSGID", FILTER),
    ("RestrictFileSystems", FILTER),
    ("LockPersonality", FILTER),
    ("MemoryDenyWriteExecute", FILTER),
    ("ProtectHostname", NAMESPACE),
    ("ProtectClock", RIGHTS),
    ("ProtectKernelModules", RIGHTS),
    ("ProtectKernelLogs", RIGHTS),
    ("ProtectKernelTunables", PROC_PARTS),
    ("ProtectControlGroups*", PROC_PARTS),
    ("ProtectProc", PROC),
    ("ProcSubset", PROC),
    ("PrivateNetwork", NAMESPACE),
    ("PrivateIPC", NAMESPACE),
    ("NetworkNamespacePath", NAMESPACE),
    ("IPCNamespacePath", NAMESPACE),
    ("JoinsNamespaceOf", NAMESPACE),
    ("PrivateUsers*", "root builds a session without a user namespace"),
    ("PrivatePIDs", "so it is in any case, and has no key of its own: see `wall`"),
    ("PrivateMounts", "so it is in any case: nothing mounted inside appears outside"),
    ("MountAPIVFS", "what the kernel shows is there in any case"),
    (
        "MountFlags",
        "nothing mounted inside appears outside, and of the host's later mounts only what a bind with propagation \
      = \"slave\" shows",
    ),
    ("MountImages", IMAGE),
    ("RootImage*", IMAGE),
    ("RootHash*", IMAGE),
    ("RootVerity", IMAGE),
    ("RootEphemeral", IMAGE),
    ("Extension*", IMAGE),
    ("BindLogSockets", "bind /run/systemd/journal for it"),
    ("DevicePolicy", CGROUP),
    ("DeviceAllow", CGROUP),
    ("IPAddress*", CGROUP),
    ("IPIngress*", CGROUP),
    ("IPEgress*", CGROUP),
    ("SocketBind*", CGROUP),
    ("RestrictNetworkInterfaces", CGROUP),
    ("BPFProgram", CGROUP),
    ("DynamicUser", IDS),
    ("User", IDS),
    ("Group", IDS),
    ("SupplementaryGroups", IDS),
    ("AmbientCapabilities", "no program of a session begins with capabilities"),
    ("SecureBits", "no program of a session begins with capabilities"),
    ("WorkingDirectory", "a session begins in the user's home"),
    ("RuntimeDirectory*", DIRECTORY),
    ("StateDirectory*", DIRECTORY),
    ("SELinuxContext", LABEL),
    ("AppArmorProfile", LABEL),
    ("SmackProcessLabel", LABEL),
    ("KeyringMode", "each session has a keyring of its own"),
    ("EnvironmentFile", "what is in the file is not known here"),
];

const MORE: [(&str, &str); 8] = [
    ("CacheDirectory*", DIRECTORY),
    ("LogsDirectory*", DIRECTORY),
    ("ConfigurationDirectory*", DIRECTORY),
    ("PassEnvironment", "keep_env keeps variables of the caller, who is another one than the manager"),
    ("UnsetEnvironment", "what is not kept by keep_env or set by set_env is not there"),
    ("RemoveIPC", "what is left behind in the host's IPC is logind's matter"),
    ("LoadCredential*", "credentials are for services"),
    ("SetCredential*", "credentials are for services"),
];

/// Why a map does not say it; nothing for what is about something else than a sandbox.
pub(super) fn reason(key: &str) -> Option<&'static str> {
    let is = |known: &str| match known.strip_suffix('*') {
        Some(stem) => key.starts_with(stem),
        None => key == known,
    };
    if let Some((_, reason)) = REASONS.iter().chain(&MORE).find(|(known, _)| is(known)) {
        return Some(reason);
    }
    // What later versions add is called like that, too.
    let sounds_like = ["Private", "Protect", "Restrict"].iter().any(|stem| key.starts_with(stem))
        || key.ends_with("Paths") && !OURS.contains(&key);
    (sounds_like && !OURS.contains(&key)).then_some("a map has no such key")
}

/// Those that are read.
const OURS: [&str; 11] = [
    "BindPaths",
    "BindReadOnlyPaths",
    "ReadOnlyPaths",
    "ReadWritePaths",
    "InaccessiblePaths",
    "NoExecPaths",
    "ExecPaths",
    "PrivateTmp",
    "PrivateDevices",
    "ProtectSystem",
    "ProtectHome",
];
