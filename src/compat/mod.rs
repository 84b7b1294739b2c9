//! Other programs' configuration, written again as a map: `sessionctl import`.
//!
//! ```text
//! their text -- reader --> what it says -- writer --> a map, and what has no equivalent
//! ```
//!
//! Pure. Nothing is guessed: what a map cannot say, or says in another way, is listed with its line and the reason, and
//! stands as a comment in the map.
#![forbid(unsafe_code)]

mod bwrap;
pub mod chroot;
mod draft;
mod fstab;
pub mod namespace;
pub mod schroot;
mod shell;
mod systemd;
#[cfg(test)]
mod tests;
mod values;

use serde::Serialize;

/// What somebody's configuration became.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// The map, with comments.
    pub map: String,
    /// What is not in it.
    pub losses: Vec<Loss>,
}

/// Something that a map does not say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// The line, or the number of the argument, counted from 1.
    pub line: usize,
    /// What was written there.
    pub text: String,
    /// Why it is not in the map.
    pub reason: String,
}

/// Whose configuration it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `/etc/security/chroot.conf`.
    PamChroot,
    /// `/etc/security/namespace.conf`.
    PamNamespace,
    /// `/etc/schroot/schroot.conf`, or a profile's `fstab`.
    Schroot,
    /// Lines of fstab(5).
    Fstab,
    /// The arguments of `bwrap`, as a shell or `--args` has them.
    Bwrap,
    /// A unit of systemd.
    Systemd,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::PamChroot, Self::PamNamespace, Self::Schroot, Self::Fstab, Self::Bwrap, Self::Systemd];

    /// What it is called on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::PamChroot => "pam_chroot",
            Self::PamNamespace => "pam_namespace",
            Self::Schroot => "schroot",
            Self::Fstab => "fstab",
            Self::Bwrap => "bwrap",
            Self::Systemd => "systemd",
        }
    }
}

/// What a reader can make use of beside the text. Empty where it is not known.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// Who can log in, for patterns.
    pub users: Vec<String>,
    /// The groups, for patterns.
    pub groups: Vec<String>,
    /// The files of [`named_files`] with their texts.
    pub files: Vec<(String, String)>,
}

/// The files that belong to `text` and are named in it, relative to its own folder.
pub fn named_files(kind: Kind, text: &str) -> Vec<String> {
    match kind {
        Kind::Schroot => schroot::named_files(text),
        _ => Vec::new(),
    }
}

/// Writes `text` again as a map.
pub fn import(kind: Kind, text: &str) -> Imported {
    import_beside(kind, text, &Beside::default())
}

/// The same, with what is known beside it.
pub fn import_beside(kind: Kind, text: &str, beside: &Beside) -> Imported {
    match kind {
        Kind::PamChroot => chroot::import_with(text, &refs(&beside.users), &refs(&beside.groups)),
        Kind::PamNamespace => namespace::import(text),
        Kind::Schroot => {
            let files: Vec<(&str, &str)> =
                beside.files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
            schroot::import_with(text, &files)
        }
        Kind::Fstab => fstab::import(text),
        Kind::Bwrap => bwrap::import(text),
        Kind::Systemd => systemd::import(text),
    }
}

fn refs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}
