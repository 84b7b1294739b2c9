//! User and profile names.

use std::fmt;

use serde::Serialize;

/// The longest user name that is accepted, in bytes. Linux's own tools stop at 32; directory services go further.
pub const USER_NAME_MAX: usize = 255;

/// A user name that is safe as one path component, in a log line, and as an argument.
///
/// Accepted: an ASCII letter or `_` first, then letters, digits, `_`, `.`, `-`, `@`; a single `$` may end it
/// (Samba's machine accounts). So a name is never a number, never hidden, never an option, and never holds `/`,
/// `%`, a space or a control character.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct UserName(String);

/// Why a text is not a user name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name was empty.
    #[error("a user name cannot be empty")]
    Empty,
    /// Longer than [`USER_NAME_MAX`].
    #[error("a user name has at most {USER_NAME_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// All digits: ambiguous with a user id.
    #[error("user name {0:?} is a number, and a number is never taken for a user")]
    Number(String),
    /// A character outside the allowed set, or not allowed at its place.
    #[error(
        "user name {name:?} holds {found:?}; allowed are a letter or `_`, then letters, digits and `_ . - @`, with one `$` at the end"
    )]
    Character {
        /// The whole name.
        name: String,
        /// The first character that is not allowed.
        found: char,
    },
}

impl UserName {
    /// Checks `name` against the rule above.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.len() > USER_NAME_MAX {
            return Err(NameError::TooLong(name.len()));
        }
        if name.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NameError::Number(name.to_owned()));
        }
        let last = name.len() - 1;
        let wrong = name.char_indices().find(|&(at, character)| match character {
            'a'..='z' | 'A'..='Z' | '_' => false,
            '0'..='9' | '.' | '-' | '@' => at == 0,
            '$' => at == 0 || at != last,
            _ => true,
        });
        match wrong {
            Some((_, found)) => Err(NameError::Character { name: name.to_owned(), found }),
            None => Ok(Self(name.to_owned())),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_and_directory_names_are_accepted() {
        for name in ["bob", "_apt", "systemd-network", "jane.doe", "WORKSTATION7$", "bob@example.org", "B0b"]
        {
            assert_eq!(UserName::new(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn names_that_are_paths_options_numbers_or_noise_are_refused() {
        for name in [
            "",
            "0",
            "1000",
            "-1",
            "+1",
            " 1",
            "root ",
            "bob\n",
            "..",
            ".",
            "../x",
            "a/b",
            "%u",
            "-u",
            "--",
            "a\0b",
            "1bob",
            "bo$b",
            "$",
            "$HOME",
            "~bob",
            "a:b",
            "bob\u{200b}",
            "bøb",
            "DOM\\user",
            "\u{202e}bob",
        ] {
            assert!(UserName::new(name).is_err(), "{name:?} was accepted");
        }
        assert!(UserName::new(&"a".repeat(255)).is_ok());
        assert_eq!(UserName::new(&"a".repeat(256)), Err(NameError::TooLong(256)));
    }
}
