//! The options of `session-enter`, written down once: the parser, `--help` and the manual page read this list.

use std::fmt::Write;

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// What the parser calls it.
    pub id: Id,
    /// Without the dashes; a single letter is a short option.
    pub name: &'static str,
    /// What its value is called; `None` for an option without one.
    pub value: Option<&'static str>,
    /// One sentence.
    pub help: &'static str,
}

/// The options, for a `match`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is explained by its line in FLAGS")]
pub enum Id {
    User,
    Mode,
    Scope,
    Profile,
    Config,
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

const fn flag(id: Id, name: &'static str, value: Option<&'static str>, help: &'static str) -> Flag {
    Flag { id, name, value, help }
}

/// All options, in the order in which they are explained.
pub const FLAGS: [Flag; 17] = [
    flag(Id::User, "user", Some("NAME"), "Whose root; without it, your own"),
    flag(Id::Mode, "mode", Some("MODE"), "`namespace` or `chroot`, instead of what the map says"),
    flag(
        Id::Scope,
        "scope",
        Some("SCOPE"),
        "`session`, `user`, `group` or `named`: who shares the namespace",
    ),
    flag(Id::Profile, "profile", Some("NAME"), "Use this profile of the map, whatever matches"),
    flag(Id::Config, "config", Some("FILE"), "Read this map, and no other"),
    flag(Id::DryRun, "dry-run", Some("[=json]"), "Print what would be done, and do nothing"),
    flag(
        Id::Prepare,
        "prepare",
        None,
        "Put the tree at its path on the host, for a later chroot; counts one holder",
    ),
    flag(Id::Release, "release", None, "Count one holder less; the last one takes the tree away"),
    flag(Id::Root, "root", Some("DIR"), "With --prepare, --release: the path, instead of what the map says"),
    flag(Id::Service, "service", Some("NAME"), "The door to match profiles against; a PAM service's name"),
    flag(Id::Tty, "tty", Some("TTY"), "The terminal to match profiles against, without /dev/"),
    flag(Id::RemoteHost, "rhost", Some("HOST"), "The remote host to match profiles against"),
    flag(Id::Session, "session", Some("ID"), "The session's id, for %i in the map"),
    flag(
        Id::Scripts,
        "scripts",
        None,
        "Run session scripts at the beginning and the end, as a login through PAM does",
    ),
    flag(Id::ShellString, "c", Some("STRING"), "Run this text by the user's login shell"),
    flag(Id::Help, "help", None, "Print this"),
    flag(Id::Version, "version", None, "Print the version"),
];

/// The text of `--help`.
pub fn help() -> String {
    let mut text = String::from(
        "Open a user's private root, built from the map, and run a program in it\n\n\
         Usage: session-enter [OPTION...] [-c STRING | [--] COMMAND [ARG...]]\n\n\
         Without a command the user's login shell is started.\n\nOptions:\n",
    );
    for flag in &FLAGS {
        let dashes = if flag.name.len() == 1 { "-" } else { "--" };
        let separator = if flag.id == Id::DryRun { "" } else { " " };
        let value = flag.value.map(|value| format!("{separator}{value}")).unwrap_or_default();
        // Writing to a String does not fail.
        let _ = writeln!(text, "  {:<18}  {}", format!("{dashes}{}{value}", flag.name), flag.help);
    }
    text.push_str(
        "\nExit status: the command's own; 128+N when signal N ended it; 127 when it is not there\n\
         inside; 126 when it cannot be executed; 125 when the session could not be opened.\n\n\
         Example: session-enter --user bob -- id\n",
    );
    text
}

/// The option that somebody who typed `name` may have meant.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let known = FLAGS.iter().map(|flag| flag.name).filter(|known| known.len() > 1);
    known
        .map(|known| (common(known, name), known))
        .filter(|(shared, _)| *shared >= 3)
        .max()
        .map(|(_, known)| known)
}

/// How many characters two words have in common at their beginnings.
fn common(one: &str, other: &str) -> usize {
    one.chars().zip(other.chars()).take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_listed_once_and_fits_a_terminal() {
        for (at, flag) in FLAGS.iter().enumerate() {
            assert!(
                FLAGS[at + 1..].iter().all(|other| other.name != flag.name && other.id != flag.id),
                "{flag:?}"
            );
        }
        for line in help().lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }

    #[test]
    fn a_slip_is_recognised() {
        assert_eq!(nearest("usr"), None);
        assert_eq!(nearest("users"), Some("user"));
        assert_eq!(nearest("dryrun"), Some("dry-run"));
        assert_eq!(nearest("frobnicate"), None);
    }
}
