//! What has been changed, written down before it is changed, so that it can be taken back.

use serde::{Deserialize, Serialize};

use super::change::Hash;
use crate::model::setup::Method;

/// All that one method has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The form of this record.
    pub version: u32,
    /// By which method.
    pub method: Method,
    /// One for each thing that was changed.
    pub entries: Vec<Entry>,
}

/// The form that this program writes.
const VERSION: u32 = 1;

/// One thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Entry {
    /// A line was put at the end of a file.
    Line {
        /// The file.
        path: String,
        /// The line, without its end.
        line: String,
        /// The file's hash without it.
        before: Hash,
        /// The file's hash with it.
        after: Hash,
    },
    /// A file was made.
    Made {
        /// The file.
        path: String,
        /// Its hash.
        after: Hash,
    },
    /// A profile of pam-auth-update was turned on.
    Profile {
        /// Its name.
        name: String,
    },
}

impl Entry {
    /// The file that it is about, if it is about one.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Line { path, .. } | Self::Made { path, .. } => Some(path),
            Self::Profile { .. } => None,
        }
    }
}

impl Record {
    /// What an earlier run has written down, and what this one adds. A newer entry stands in an older one's place.
    pub fn adding(earlier: Option<&Self>, method: Method, entries: Vec<Entry>) -> Self {
        let is_about = |one: &Entry, other: &Entry| match (one.path(), other.path()) {
            (Some(one), Some(other)) => one == other,
            _ => one == other,
        };
        let mut all: Vec<Entry> = earlier.map(|record| record.entries.clone()).unwrap_or_default();
        all.retain(|old| !entries.iter().any(|new| is_about(old, new)));
        all.extend(entries);
        Self { version: VERSION, method, entries: all }
    }

    /// Is it in a form that this program knows?
    pub fn is_readable(&self) -> bool {
        self.version == VERSION
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_keeps_what_the_first_has_written_down() {
        let line = |path: &str, before: &str| Entry::Line {
            path: path.to_owned(),
            line: "x".to_owned(),
            before: before.to_owned(),
            after: "2".to_owned(),
        };
        let profile = || Entry::Profile { name: "p".to_owned() };
        let first = Record::adding(None, Method::Pam, vec![line("/a", "1"), line("/b", "1"), profile()]);
        let second = Record::adding(Some(&first), Method::Pam, vec![line("/b", "3"), profile()]);
        assert_eq!(second.entries, [line("/a", "1"), line("/b", "3"), profile()]);
    }
}
