//! Errors, and the one way to say something.

use std::error::Error as StdError;
use std::fmt;
use std::io::Write;

/// What failed: the call with its arguments. Why is its source.
#[derive(Debug)]
pub struct Error {
    call: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// A value, or what failed.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A call that failed, and why.
    pub fn new(call: impl Into<String>, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { call: call.into(), source: Some(source.into()) }
    }

    /// An error that is its own cause.
    pub fn plain(message: impl Into<String>) -> Self {
        Self { call: message.into(), source: None }
    }

    /// The whole chain of reasons, for the one who prints it.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = self.source();
        while let Some(error) = next {
            // Other people's errors repeat their sources.
            let sentence = error.to_string();
            if !text.ends_with(&sentence) {
                text.push_str(": ");
                text.push_str(&sentence);
            }
            next = error.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.call)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let source: &(dyn StdError + 'static) = self.source.as_deref()?;
        Some(source)
    }
}

/// Writes one line to the journal, or wherever standard error goes.
pub fn say(message: impl AsRef<str>) {
    let line = format!("session-watchd: {}\n", escaped(message.as_ref()));
    // A line that cannot be written has nobody who would read it; watching goes on.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// The text as one line: what came from a user cannot begin another one, nor steer a terminal.
fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut line, sign| {
        if sign.is_control() {
            line.extend(sign.escape_default());
        } else {
            line.push(sign);
        }
        line
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_call_and_the_chain_ends_with_the_cause() {
        let error = Error::new("open(\"x\")", std::io::Error::from_raw_os_error(2));
        assert_eq!(error.to_string(), "open(\"x\")");
        assert!(error.chain().starts_with("open(\"x\"): No such file"), "{}", error.chain());
        assert_eq!(Error::plain("no").chain(), "no");
    }

    #[test]
    fn a_source_that_was_said_already_is_not_said_again() {
        let inner = Error::plain("no such file");
        assert_eq!(
            Error::new("open", Error::new("sub: no such file", inner)).chain(),
            "open: sub: no such file"
        );
    }

    #[test]
    fn what_is_said_is_one_line() {
        assert_eq!(escaped("a\nb\u{1b}[31m\u{85}ä"), "a\\nb\\u{1b}[31m\\u{85}ä");
    }
}
