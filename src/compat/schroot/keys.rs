//! What the keys of a chroot become, one by one.

use super::read::{Key, is_true, list};
use crate::paper::shown;

/// Whose types can be bound, and why others cannot.
pub(super) fn type_problem(kind: &str) -> Option<String> {
    let what = match kind {
        "directory" | "plain" => return None,
        "file" => {
            "an archive, which schroot unpacks for each session: unpack it once, and bind the directory"
        }
        "loopback" => "a file with a file system: mount it on the host by fstab, and bind the directory",
        "block-device" => "a disk: mount it on the host by fstab, and bind the directory",
        "btrfs-snapshot" | "lvm-snapshot" | "zfs-snapshot" => {
            "a snapshot for each session: a session script can make one and mount it, and take it away at the end \
             (docs/session-scripts.md)"
        }
        "custom" => "what setup scripts of the host's own make of it",
        other => return Some(format!("{} is no type of chroot that is known here", shown(other))),
    };
    Some(format!("type={kind} is {what}"))
}

/// What a key that changes nothing in the map was for; `None` for those that are in the map, or say what holds anyway.
pub(super) fn loss(key: &Key, is_plain: bool) -> Option<String> {
    let value = key.value.as_str();
    // With a language in brackets behind it a key is a translation.
    let name = key.name.split('[').next().unwrap_or_default();
    let reason = match name {
        "type" | "description" | "directory" | "users" | "groups" | "shell" => return None,
        "union-type" if value == "none" || !is_plain => return None,
        "union-type" => "a plain chroot has no union file system, in schroot as well",
        "profile" | "setup.copyfiles" | "setup.nssdatabases" | "setup.fstab" if is_plain => {
            "a plain chroot runs no setup scripts, in schroot as well"
        }
        "profile" | "setup.copyfiles" | "setup.nssdatabases" | "setup.fstab" => return None,
        "root-users" | "root-groups" if list(value).is_empty() => return None,
        "root-users" | "root-groups" => {
            "nobody becomes root inside without a password, or at all: no program gains rights in a view. Root \
             enters as root"
        }
        "aliases" if list(value).is_empty() => return None,
        "aliases" => "a profile has one name",
        "priority" => "it has no effect in schroot any more",
        "personality" if ["", "undefined", "linux"].contains(&value) => return None,
        "personality" => {
            "a map does not set what `uname` says: begin the command with `setarch` or `linux32`"
        }
        "preserve-environment" if !is_true(value) => return None,
        "preserve-environment" => "the environment is kept by name, with `keep_env` in the profile",
        "environment-filter" => {
            "the environment is kept by name, with `keep_env` in the profile, so that nothing has to be filtered out"
        }
        "message-verbosity" => "it is about schroot's own messages",
        "command-prefix" if value.is_empty() => return None,
        "command-prefix" => "nothing is put before a command: type it, or give it to `session-enter`",
        "script-config" => {
            "it is a shell script for schroot's setup scripts; its variables are keys by now (setup.copyfiles and \
             the like)"
        }
        "setup.services" if list(value).is_empty() => return None,
        "setup.services" => {
            "no services are started inside: a session script with where = \"session\" can do it \
             (docs/session-scripts.md)"
        }
        "setup.config" => "it is a shell script for schroot's setup scripts",
        "source-users" | "source-groups" | "source-root-users" | "source-root-groups" | "source-clone" => {
            "there is one view of a chroot, not a source and its copies: enter as root to change the directory itself"
        }
        "union-mount-options" | "union-overlay-directory" | "union-underlay-directory" => {
            "there is no union file system here"
        }
        "run-setup-scripts" | "run-exec-scripts" => "it has no effect in schroot any more",
        "file" | "location" | "device" | "mount-options" => "it is for other types of chroots",
        other if other.starts_with("setup.") || other.contains('.') => {
            "it is a variable for setup scripts, which are not run: a session script can do what they did \
             (docs/session-scripts.md)"
        }
        _ => "no such key is known here",
    };
    Some(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, value: &str) -> Key {
        Key { line: 1, name: name.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn what_holds_anyway_is_no_loss_and_everything_else_is() {
        for (name, value, is_loss) in [
            ("description[de_DE]", "Sid", false),
            ("root-users", "", false),
            ("root-users", "bob", true),
            ("personality", "linux", false),
            ("personality", "linux32", true),
            ("preserve-environment", "false", false),
            ("preserve-environment", "true", true),
            ("aliases", "unstable", true),
            ("message-verbosity", "quiet", true),
            ("command-prefix", "eatmydata", true),
            ("setup.services", "", false),
            ("setup.services", "cron", true),
            ("my.own", "x", true),
            ("colour", "green", true),
        ] {
            assert_eq!(loss(&key(name, value), false).is_some(), is_loss, "{name}={value}");
        }
        assert!(
            loss(&key("profile", "sbuild"), false).is_none()
                && loss(&key("profile", "sbuild"), true).is_some()
        );
    }

    #[test]
    fn types_that_are_no_directory_say_what_to_do() {
        for kind in
            ["file", "loopback", "block-device", "btrfs-snapshot", "lvm-snapshot", "zfs-snapshot", "custom"]
        {
            assert!(type_problem(kind).unwrap().starts_with(&format!("type={kind} is ")), "{kind}");
        }
        assert_eq!((type_problem("plain"), type_problem("directory")), (None, None));
        assert!(type_problem("floppy").unwrap().contains("no type"));
    }
}
