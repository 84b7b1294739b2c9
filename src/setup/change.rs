//! What setting up, or taking back, comes to: changes that are known in full before the first is made.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::sys::durable::Ownership;

/// Lines that are shown around a change.
const CONTEXT: usize = 3;

/// A file, as it is or as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// What it holds.
    pub content: Vec<u8>,
    /// Whose it is.
    pub ownership: Ownership,
}

impl File {
    /// What stands for its content.
    pub fn hash(&self) -> Hash {
        hash(&self.content)
    }
}

/// What stands for a content: SHA-256, in hexadecimal digits.
pub type Hash = String;

/// The hash of a content.
pub fn hash(content: &[u8]) -> Hash {
    Sha256::digest(content).iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What is at a path that would be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Missing,
    /// A file.
    File(File),
    /// A symbolic link to this.
    Link(String),
    /// Something else.
    Other,
}

impl Found {
    /// The file, if it is one.
    pub fn file(&self) -> Option<&File> {
        match self {
            Self::File(file) => Some(file),
            _ => None,
        }
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A file gets another content, or comes into being.
    Write {
        /// Where, from the root of the host.
        path: String,
        /// What is there; it is looked at again before it is replaced.
        before: Option<File>,
        /// What is to be there.
        after: File,
    },
    /// A file goes.
    Remove {
        /// Where.
        path: String,
        /// What is there.
        before: File,
    },
    /// A program of the host changes its own files.
    Run {
        /// The program and its arguments.
        command: Vec<String>,
        /// Files in which the module must be asked afterwards (`true`), or must not be.
        result: Vec<(String, bool)>,
    },
}

/// The changes, as they are shown before they are made.
pub fn preview(changes: &[Change]) -> String {
    let mut text = String::new();
    for change in changes {
        match change {
            Change::Write { path, before, after } => {
                let old = before.as_ref().map_or(&[][..], |file| &file.content);
                let from = if before.is_some() { path } else { "/dev/null" };
                text.push_str(&difference(from, path, old, &after.content));
            }
            Change::Remove { path, before } => {
                text.push_str(&difference(path, "/dev/null", &before.content, b""));
            }
            // Writing to a String does not fail.
            Change::Run { command, .. } => drop(writeln!(text, "run: {}", command.join(" "))),
        }
    }
    text
}

/// In the form of `diff -u`, with one hunk from the first line that differs to the last.
fn difference(from: &str, to: &str, old: &[u8], new: &[u8]) -> String {
    let (old, new) = (String::from_utf8_lossy(old), String::from_utf8_lossy(new));
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let rest = old.len().min(new.len()) - same;
    let tail = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(old, new)| old == new).count();
    let start = same.saturating_sub(CONTEXT);
    let after = tail.min(CONTEXT);
    let count = |lines: &[&str]| lines.len() - tail + after - start;
    let mut text = format!(
        "--- {from}\n+++ {to}\n@@ -{},{} +{},{} @@\n",
        start + usize::from(count(&old) > 0),
        count(&old),
        start + usize::from(count(&new) > 0),
        count(&new)
    );
    let mut put = |mark: char, lines: &[&str]| {
        for line in lines {
            // Writing to a String does not fail.
            let _ = writeln!(text, "{mark}{line}");
        }
    };
    put(' ', &old[start..same]);
    put('-', &old[same..old.len() - tail]);
    put('+', &new[same..new.len() - tail]);
    put(' ', &old[old.len() - tail..old.len() - tail + after]);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_shown_with_a_few_lines_around_it() {
        assert_eq!(
            difference("a", "b", b"1\n2\n3\n4\n5\n6\n7\n8\n", b"1\n2\n3\n4\n5\nx\n6\n7\n8\n"),
            "--- a\n+++ b\n@@ -3,6 +3,7 @@\n 3\n 4\n 5\n+x\n 6\n 7\n 8\n"
        );
        assert_eq!(
            difference("/dev/null", "b", b"", b"1\n2\n"),
            "--- /dev/null\n+++ b\n@@ -0,0 +1,2 @@\n+1\n+2\n"
        );
        assert_eq!(difference("a", "b", b"1\n1\n", b"1\n"), "--- a\n+++ b\n@@ -1,2 +1,1 @@\n 1\n-1\n");
    }

    #[test]
    fn a_hash_is_that_of_sha256sum() {
        assert_eq!(hash(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
