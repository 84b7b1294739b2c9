//! Thin, typed system calls. The only folder in which `unsafe` may stand.
//!
//! Rules of this folder:
//! - one function is one call, or one call and the retry that the call's manual demands;
//! - descriptors go in borrowed and come out owned and close-on-exec; no raw numbers;
//! - an [`Error`] names the call with its arguments and carries the errno: nobody has to guess what failed;
//! - nothing here knows of plans, maps or policies, and nothing here decides.
#![allow(unsafe_code)]

pub mod access;
pub mod append;
pub mod attempt;
pub mod capability;
pub mod durable;
pub mod fd;
pub mod fifo;
pub mod identity;
pub mod kernel;
pub mod landlock;
pub mod lock;
pub mod log;
mod memory;
pub mod mount;
pub mod mounts;
pub mod namespace;
pub mod net;
pub mod nsfs;
pub mod path;
pub mod peek;
pub mod pidfd;
pub mod process;
pub mod regex;
pub mod scout;
pub mod seccomp;
pub mod signal;
pub mod spawn;
pub mod start;
pub mod user;

use std::fmt;
use std::io;

/// A failed system call: the call as it was made, and why the kernel refused it.
#[derive(Debug)]
pub struct Error {
    call: String,
    cause: io::Error,
}

/// The result of a system call.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(call: impl Into<String>, errno: impl Into<io::Error>) -> Self {
        Self { call: call.into(), cause: errno.into() }
    }

    /// The kernel's own explanation, where it gave one, goes behind the call.
    pub(crate) fn with_kernel_log(mut self, log: &str) -> Self {
        if !log.is_empty() {
            self.call.push_str(" (the kernel says: ");
            self.call.push_str(log);
            self.call.push(')');
        }
        self
    }

    /// The errno.
    pub fn errno(&self) -> i32 {
        self.cause.raw_os_error().unwrap_or(0)
    }

    /// The errno's own text, without its number.
    pub fn reason(&self) -> String {
        let text = self.cause.to_string();
        match text.find(" (os error") {
            Some(cut) => text[..cut].to_owned(),
            None => text,
        }
    }
}

/// `text` without what a terminal would act on: controls, and marks that turn the direction of writing.
fn printable(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars() {
        match character {
            '\'' | '"' | '\\' => shown.push(character),
            // What no harm is in, it leaves as it is.
            other => shown.extend(other.escape_debug()),
        }
    }
    shown
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.call)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}
