//! The options of `session-enter`, written down once: the reader, `--help`, the manual page and the
//! completions work from this list.

use command_line::{Example, Flag, HELP, Hint, Program, VERSION, Value, Words};

/// The options, for a `match`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is explained by its line in FLAGS")]
pub enum Id {
    User,
    Mode,
    Scope,
    Profile,
    Config,
    ChrootConf,
    ChrootOptions,
    NamespaceConf,
    NamespaceOptions,
    Root,
    Service,
    Tty,
    RemoteHost,
    Session,
    Scripts,
    DryRun,
    Prepare,
    Release,
    ShellString,
    Help,
    Version,
}

/// All options, in the order in which they are explained.
pub const FLAGS: [(Id, Flag); 21] = [
    (Id::User, Flag::with("user", "NAME", Hint::User, "Whose root; without it, your own")),
    (
        Id::Mode,
        Flag::with(
            "mode",
            "MODE",
            Hint::OneOf(&["namespace", "chroot"]),
            "`namespace` or `chroot`, instead of what the map says",
        ),
    ),
    (
        Id::Scope,
        Flag::with(
            "scope",
            "SCOPE",
            Hint::OneOf(&["session", "user", "group", "named"]),
            "Who shares the namespace: `session`, `user`, `group` or `named`; `session` takes a private copy \
             of a shared one",
        ),
    ),
    (Id::Profile, Flag::with("profile", "NAME", Hint::Any, "Use this profile of the map, whatever matches")),
    (Id::Config, Flag::with("config", "FILE", Hint::File, "Read this map, and no other")),
    (
        Id::ChrootConf,
        Flag::with("chroot-conf", "FILE", Hint::File, "Instead of a map, read this file of pam_chroot's"),
    ),
    (
        Id::ChrootOptions,
        Flag::with(
            "chroot-options",
            "WORDS",
            Hint::Any,
            "With --chroot-conf: what stands behind pam_chroot.so in its service, as `use_groups use_regex`",
        ),
    ),
    (
        Id::NamespaceConf,
        Flag::with(
            "namespace-conf",
            "FILE",
            Hint::File,
            "Instead of a map, read this file of pam_namespace's, and namespace.d beside it",
        ),
    ),
    (
        Id::NamespaceOptions,
        Flag::with(
            "namespace-options",
            "WORDS",
            Hint::Any,
            "With --namespace-conf: what stands behind pam_namespace.so in its service",
        ),
    ),
    (
        Id::DryRun,
        Flag {
            name: "dry-run",
            value: Some(Value { name: "json", hint: Hint::OneOf(&["text", "json"]), optional: true }),
            help: "Print what would be done, and do nothing",
        },
    ),
    (
        Id::Prepare,
        Flag::switch(
            "prepare",
            "Put the tree at its path on the host, for a later chroot; counts one holder",
        ),
    ),
    (Id::Release, Flag::switch("release", "Count one holder less; the last one takes the tree away")),
    (
        Id::Root,
        Flag::with(
            "root",
            "DIR",
            Hint::Folder,
            "With --prepare, --release: the path, instead of what the map says",
        ),
    ),
    (
        Id::Service,
        Flag::with(
            "service",
            "NAME",
            Hint::Any,
            "The door to match profiles against: the name of a PAM service, such as sshd",
        ),
    ),
    (Id::Tty, Flag::with("tty", "TTY", Hint::Any, "The terminal to match profiles against, without /dev/")),
    (Id::RemoteHost, Flag::with("rhost", "HOST", Hint::Any, "The remote host to match profiles against")),
    (Id::Session, Flag::with("session", "ID", Hint::Any, "The session's id, for %i in the map")),
    (
        Id::Scripts,
        Flag::switch(
            "scripts",
            "Run session scripts at the beginning and the end, as a login through PAM does",
        ),
    ),
    (Id::ShellString, Flag::with("c", "STRING", Hint::Script, "Run this text by the user's login shell")),
    (Id::Help, HELP),
    (Id::Version, VERSION),
];

const OPTIONS: [Flag; FLAGS.len()] = {
    let mut options = [HELP; FLAGS.len()];
    let mut at = 0;
    while at < FLAGS.len() {
        options[at] = FLAGS[at].1;
        at += 1;
    }
    options
};

/// `session-enter`.
pub static SESSION_ENTER: Program = Program {
    name: "session-enter",
    section: 1,
    about: "Open a user's private root and run a program in it",
    usage: &["[OPTION...] [-c STRING | [--] COMMAND [ARG...]]"],
    details: &["The root is built from the map. Without a command the user's login shell is started."],
    commands: &[],
    words: Words::Program,
    options: &OPTIONS,
    notes: &[],
    status: "the command's own; 128+N when signal N ended it; 127 when it is not there inside; 126 when it \
             cannot be executed; 125 when the session could not be opened.",
    examples: &[
        Example { typed: "--user bob -- id", does: "run one program in bob's root" },
        Example {
            typed: "--user bob --dry-run",
            does: "what would be mounted, and which line of the map says so",
        },
    ],
};

/// The option that somebody who typed `name` may have meant.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    command_line::nearest(name, OPTIONS.iter().map(|flag| flag.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_listed_once_and_fits_a_terminal() {
        for (at, (id, flag)) in FLAGS.iter().enumerate() {
            let later = &FLAGS[at + 1..];
            assert!(later.iter().all(|(other, named)| named.name != flag.name && other != id), "{flag:?}");
        }
        assert_eq!(SESSION_ENTER.mistakes(), Vec::<String>::new());
    }

    #[test]
    fn a_slip_is_recognised() {
        assert_eq!(nearest("usr"), None);
        assert_eq!(nearest("users"), Some("user"));
        assert_eq!(nearest("dryrun"), Some("dry-run"));
        assert_eq!(nearest("frobnicate"), None);
    }
}
