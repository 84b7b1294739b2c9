//! pam_chroot's `/etc/security/chroot.conf`: what the module makes of it, and the same as a map.
//!
//! ```text
//! chroot.conf -- lines --> decide(options, user) --> a directory, none, or why not
//!                      |                             `-> map_of --> a map for that user
//!                      `-> import --> a map for all
//! ```
//!
//! [`decide`] answers for one user, in one of two readings. [`Reading::Compat`] is the module, with which
//! `tests/integration/chrooted.rs` compares it; where the module would crash, there is an error.
//! [`Reading::Native`] is what its authors wrote that it does, and nothing that surprises: a pattern is the whole name.

mod decide;
mod expand;
mod lines;
mod names;
mod options;
mod write;

use std::ops::Range;

pub use decide::{Decision, Outcome, checked, decide, decide_at, outcome};
pub use lines::{Line, lines};
pub use options::Options;
pub use write::{import, import_with, map_of};

/// How the file is understood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// As the module does it, with its faults.
    #[default]
    Compat,
    /// As it is meant: patterns match whole names, long lines stay whole, `%g` is the group that matched, `notfound=` and
    /// `onerr=` are two things, and what cannot be read is an error rather than skipped.
    Native,
}

/// The two kinds of regular expressions of POSIX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// `use_regex`.
    Basic,
    /// `use_ext_regex`.
    Extended,
}

/// Who logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// As the application said it.
    pub name: String,
    /// The primary group first, then the others in the order of the group database; `None` when nobody knows the user.
    pub groups: Option<Vec<String>>,
}

/// What a matcher found: the whole match, and its parts.
pub type Found = Vec<Option<Range<usize>>>;

/// Why there is no directory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The file cannot be opened.
    #[error("there is no chroot.conf that could be read")]
    NoConf,
    /// With `use_groups`.
    #[error("the user database does not know {0:?}, so that there are no groups")]
    NobodyKnows(String),
    /// `@name`.
    #[error("line {0}: `@` begins a group, and the option use_groups is missing")]
    NeedsGroups(usize),
    /// `%g`, without groups. The module crashes there.
    #[error("line {0}: %g stands for a group, and the option use_groups is missing")]
    NoGroup(usize),
    /// Not one of `%u %g %0 ... %9 %%`.
    #[error("line {0}: unknown variable `%{1}` in the directory")]
    UnknownVariable(usize, String),
    /// `%0` to `%9` behind a name that is no pattern.
    #[error("line {0}: `%{1}` is a part of what a pattern matched, and the name is no pattern")]
    NoPattern(usize, char),
    /// The pattern has no such part, or it matched without it.
    #[error("line {0}: the pattern has matched without a part `%{1}`")]
    NoPart(usize, char),
    /// Only [`Reading::Native`]: the module goes on with the next line.
    #[error("line {0}: not a regular expression: {1}")]
    BadPattern(usize, String),
    /// Repeats so often that reading it costs more than a login may.
    #[error("line {0}: the pattern repeats too much")]
    Repeats(usize),
    /// Only [`Reading::Native`]: the module goes on with the next line.
    #[error("line {0}: a name without a directory")]
    NoDirectory(usize),
    /// Longer than any path.
    #[error("line {0}: the directory becomes too long")]
    TooLong(usize),
    /// Only [`Reading::Native`].
    #[error("the directory {0:?} does not begin with /")]
    Relative(String),
}
