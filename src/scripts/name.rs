//! What a script's name says. Pure.
//!
//! `NN[W|D]-name`: two digits give the order, the letter says how it is started. Any other letter, and none, means the
//! background list. The rest is letters, digits and `_ . + @ -`; names that an editor or a packager leaves behind are
//! not taken, and what is not taken is said.

use std::fmt;

use crate::model::scripts::Kind;

/// The longest name that a file system gives.
const NAME_MAX: usize = 255;

/// Endings under which editors and packagers leave files lying about.
const LEFTOVERS: [&str; 22] = [
    "~",
    ".bak",
    ".old",
    ".orig",
    ".rej",
    ".save",
    ".tmp",
    ".swp",
    ".swo",
    ".swn",
    ".part",
    ".disabled",
    ".dpkg-old",
    ".dpkg-new",
    ".dpkg-dist",
    ".dpkg-bak",
    ".dpkg-tmp",
    ".ucf-old",
    ".ucf-new",
    ".ucf-dist",
    ".rpmsave",
    ".rpmnew",
];

/// Why a name is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A hidden file, which nobody expects to be run. Not worth a word.
    Hidden,
    /// Left by an editor or a packager.
    Leftover,
    /// It does not begin with two digits, a letter or none, and a dash.
    NoNumber,
    /// A character that does not belong into a name.
    Character,
    /// Nothing behind the dash, or too much.
    Length,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hidden => "a hidden file",
            Self::Leftover => "left behind by an editor or a packager",
            Self::NoNumber => "its name does not begin like `10-`, `10W-` or `10D-`",
            Self::Character => "its name holds something else than letters, digits and `_ . + @ -`",
            Self::Length => "its name has nothing behind the dash, or is too long",
        })
    }
}

/// How the script of this name is started, or why it is not taken for one.
pub fn read(name: &str) -> Result<Kind, Refused> {
    if name.starts_with('.') {
        return Err(Refused::Hidden);
    }
    let is_rpm_backup = name.ends_with(",v") || (name.starts_with('#') && name.ends_with('#'));
    if is_rpm_backup || LEFTOVERS.iter().any(|ending| name.ends_with(ending)) {
        return Err(Refused::Leftover);
    }
    let mut bytes = name.bytes();
    let digits = [bytes.next(), bytes.next()];
    if !digits.iter().all(|digit| digit.is_some_and(|digit| digit.is_ascii_digit())) {
        return Err(Refused::NoNumber);
    }
    let (kind, rest) = match (bytes.next(), name.as_bytes().get(3)) {
        (Some(b'-'), _) => (Kind::Listed, &name[3..]),
        (Some(b'W'), Some(b'-')) => (Kind::Wait, &name[4..]),
        (Some(b'D'), Some(b'-')) => (Kind::Detached, &name[4..]),
        (Some(letter), Some(b'-')) if letter.is_ascii_alphabetic() => (Kind::Listed, &name[4..]),
        _ => return Err(Refused::NoNumber),
    };
    if rest.is_empty() || name.len() > NAME_MAX {
        return Err(Refused::Length);
    }
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b"_.+@-".contains(&byte);
    if rest.bytes().all(is_usual) { Ok(kind) } else { Err(Refused::Character) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_letter_says_how_a_script_is_started() {
        for (name, kind) in [
            ("10W-determine-settings.sh", Kind::Wait),
            ("20D-manage_workspace.sh", Kind::Detached),
            ("50-determine_local_devices.sh", Kind::Listed),
            ("30X-foo", Kind::Listed),
            ("30w-foo", Kind::Listed),
            ("00W-a", Kind::Wait),
            ("99--x", Kind::Listed),
            ("10W-W-10D-x", Kind::Wait),
            ("10-x.py", Kind::Listed),
        ] {
            assert_eq!(read(name), Ok(kind), "{name}");
        }
    }

    #[test]
    fn what_lies_about_is_not_run() {
        for name in
            ["10W-x~", "10W-x.dpkg-new", "10W-x.rpmsave", "10W-x.swp", "#10W-x#", "10W-x,v", "10-x.bak"]
        {
            assert_eq!(read(name), Err(Refused::Leftover), "{name}");
        }
        for name in [".10W-x", ".", "..", ".10W-x.swp"] {
            assert_eq!(read(name), Err(Refused::Hidden), "{name}");
        }
        for name in
            ["", "-rf", "1", "10", "10W", "10Wfoo", "W-x", "1W-x", "100W-x", "10WW-x", "10é-x", "README"]
        {
            assert_eq!(read(name), Err(Refused::NoNumber), "{name}");
        }
        for name in ["10W-a b", "10W-a\nb", "10-é", "10-a/b", "10-$(x)", "10-\u{202e}x"] {
            assert_eq!(read(name), Err(Refused::Character), "{name}");
        }
        for name in ["10W-", "10-", &format!("10-{}", "x".repeat(253))] {
            assert_eq!(read(name), Err(Refused::Length), "{name}");
        }
    }
}
