//! The one error type that leaves the library.
//!
//! Inside, each layer has its own error that names what it was doing; here they become a chain. `Display` prints
//! the outermost sentence only, so that a program prints the chain exactly once, in `main`, with [`Error::chain`].

mod remedy;

use std::error::Error as StdError;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Which part failed. It decides the exit status and nothing else; the message is in the error itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request makes no sense: unknown user, options that exclude each other, unusable standard descriptors.
    Request,
    /// The map cannot be read, is not trusted, or is wrong.
    Config,
    /// This kernel, or a setting of this host, does not allow it.
    Host,
    /// The policy gives this user no plan.
    Plan,
    /// The tree could not be built.
    Build,
    /// The session could not be entered.
    Enter,
    /// The command was found but could not be executed.
    NotExecutable,
    /// The command was not found.
    NotFound,
}

impl ErrorKind {
    /// The exit status: 126 and 127 as `env`, `chroot` and the shells use them, 125 for everything of ours.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::NotExecutable => 126,
            Self::NotFound => 127,
            _ => 125,
        }
    }
}

/// What went wrong, why, and what to do about it.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    help: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error that is its own cause.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), help: None, source: None }))
    }

    /// Adds what it comes from. Where nobody has said what to do about it, and the kernel's reason alone tells, that is
    /// the help.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let source = source.into();
        if self.0.help.is_none() {
            self.0.help = errno_of(source.as_ref()).and_then(remedy::of_errno).map(str::to_owned);
        }
        self.0.source = Some(source);
        self
    }

    /// Adds what the reader can do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Which part failed.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What the reader can do about it.
    pub fn remedy(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// All sentences from the outermost to the root cause.
    pub fn sentences(&self) -> Vec<String> {
        let mut sentences = vec![self.0.message.clone()];
        let mut cause = self.source();
        while let Some(error) = cause {
            sentences.push(error.to_string());
            cause = error.source();
        }
        sentences
    }

    /// The whole chain on one line, and the remedy on a second where there is one.
    pub fn chain(&self) -> impl fmt::Display {
        let mut text = self.without_remedy();
        if let Some(help) = &self.0.help {
            text.push_str("\n  help: ");
            text.push_str(help);
        }
        text
    }

    /// The whole chain alone.
    pub fn without_remedy(&self) -> String {
        let mut text = String::new();
        for sentence in self.sentences() {
            if !text.is_empty() {
                // What brings lines of its own (a list of the map's errors) starts on one.
                text.push_str(if sentence.contains('\n') { ":\n" } else { ": " });
            }
            text.push_str(&sentence);
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// The kernel's reason at the bottom of a chain, where a system call is to blame.
pub(crate) fn errno_of(error: &(dyn StdError + 'static)) -> Option<i32> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(errno) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error) {
            return Some(errno);
        }
        next = error.source();
    }
    None
}

/// An error on its way from a child process to its parent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Relayed {
    kind: ErrorKind,
    sentences: Vec<String>,
    help: Option<String>,
}

impl From<&Error> for Relayed {
    fn from(error: &Error) -> Self {
        Self { kind: error.kind(), sentences: error.sentences(), help: error.0.help.clone() }
    }
}

impl From<Relayed> for Error {
    fn from(relayed: Relayed) -> Self {
        let mut causes = relayed.sentences.into_iter().rev();
        let mut source: Option<Box<Sentence>> = None;
        let mut outermost = causes.next().unwrap_or_default();
        for sentence in causes {
            source = Some(Box::new(Sentence { text: std::mem::replace(&mut outermost, sentence), source }));
        }
        Self(Box::new(Inner {
            kind: relayed.kind,
            message: outermost,
            help: relayed.help,
            source: source.map(|source| source as Box<dyn StdError + Send + Sync>),
        }))
    }
}

#[derive(Debug)]
struct Sentence {
    text: String,
    source: Option<Box<Self>>,
}

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Sentence {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_printed_once_and_survives_the_way_through_a_pipe() {
        let error = Error::new(ErrorKind::Build, "cannot bind /srv at /data")
            .caused_by(
                Error::new(ErrorKind::Build, "open_tree(/srv)")
                    .caused_by(std::io::Error::from_raw_os_error(2)),
            )
            .help("create /srv, or mark the entry `optional = true`");
        let expected = "cannot bind /srv at /data: open_tree(/srv): No such file or directory (os error 2)\n  \
                        help: create /srv, or mark the entry `optional = true`";
        assert_eq!(error.chain().to_string(), expected);
        assert_eq!(error.to_string(), "cannot bind /srv at /data");

        let wire = serde_json::to_string(&Relayed::from(&error)).unwrap();
        let arrived = Error::from(serde_json::from_str::<Relayed>(&wire).unwrap());
        assert_eq!(arrived.chain().to_string(), expected);
        assert_eq!(arrived.kind(), ErrorKind::Build);
    }

    #[test]
    fn what_the_kernel_says_is_a_remedy_where_there_is_no_better_one() {
        let refused = || std::io::Error::from_raw_os_error(1);
        let plain = Error::new(ErrorKind::Build, "x").caused_by(refused());
        assert!(plain.remedy().unwrap().contains("security module"), "{plain:?}");
        let known = Error::new(ErrorKind::Build, "x").caused_by(refused()).help("do that");
        assert_eq!(known.remedy(), Some("do that"));
        let known = Error::new(ErrorKind::Build, "x").help("do that").caused_by(refused());
        assert_eq!(known.remedy(), Some("do that"));
        let other = Error::new(ErrorKind::Build, "x").caused_by(std::io::Error::from_raw_os_error(22));
        assert_eq!(other.remedy(), None);
    }

    #[test]
    fn exit_codes_are_those_of_env_and_chroot() {
        assert_eq!(ErrorKind::NotFound.exit_code(), 127);
        assert_eq!(ErrorKind::NotExecutable.exit_code(), 126);
        assert_eq!(ErrorKind::Config.exit_code(), 125);
    }
}
