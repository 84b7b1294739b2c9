//! What has been done for a session, written down before and after it is done: a file of lines, one for each session.
//!
//! `/run/session-sandbox/scripts/Session7` holds JSON, a value a line; a line that was cut off by a kill is no line. The
//! lock on the file is held while scripts of a session run in their order, so that an end waits for its beginning, and so
//! that of several who notice an end one has it. `scripts/ended/` keeps the last ones for whoever asks.

use std::cell::OnceCell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::session::Session;
use super::variables::Said;
use crate::error::{Error, ErrorKind};
use crate::model::scripts::{Event, Kind};
use crate::registry::ProcessId;
use crate::sys;

/// Where all of it is, by a path that a script can be told.
const FOLDER: &str = "/run/session-sandbox/scripts";
/// A file that a script is told of begins with this.
pub(super) const SCRATCH: &str = "env-";
/// How much of what a script wrote is kept, in bytes.
pub const OUTPUT_KEPT: usize = 4096;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The session, once, first.
    Session(Box<Session>),
    /// Its scripts are run from here on.
    Begin {
        /// Which.
        event: Event,
        /// Seconds since 1970.
        at: u64,
    },
    /// A file that is not run, or a script that had no turn.
    Skipped {
        /// When.
        event: Event,
        /// What.
        name: String,
        /// Why.
        why: String,
    },
    /// A script is started.
    Start {
        /// When.
        event: Event,
        /// Which.
        name: String,
        /// How.
        kind: Kind,
        /// The process.
        process: Option<ProcessId>,
    },
    /// It has ended.
    End {
        /// When.
        event: Event,
        /// Which.
        name: String,
        /// How, in words: `exit 0`, `signal 9`, `timed out`, or why it could not be started.
        how: String,
        /// Did that count as a failure?
        failed: bool,
        /// Milliseconds.
        took: u64,
        /// What it wrote, made printable.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        output: String,
        /// How many bytes more it wrote.
        #[serde(default, skip_serializing_if = "is_zero")]
        dropped: u64,
    },
    /// What a script has set.
    Variables {
        /// By which.
        name: String,
        /// What.
        said: Said,
    },
    /// Work was handed to somebody who does it later.
    Submitted {
        /// When.
        event: Event,
        /// To whom: `process`, `systemd`, `at`.
        to: String,
        /// Is it the list, before which everything that is waited for has run?
        #[serde(default)]
        is_list: bool,
        /// What.
        names: Vec<String>,
    },
    /// Everything that is waited for, and the background list, has been run.
    Done {
        /// Which.
        event: Event,
        /// Seconds since 1970.
        at: u64,
        /// Was the session refused?
        refused: bool,
    },
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A file for a script to write into.
#[derive(Debug)]
pub struct Scratch {
    folder: OwnedFd,
    /// The file, open for us.
    pub file: OwnedFd,
    /// Where the script finds it.
    pub path: String,
    name: String,
}

impl Scratch {
    /// What has been written into it, `limit` bytes at most; it is empty for the next one.
    pub fn take(&self, limit: usize) -> sys::Result<Vec<u8>> {
        let written = sys::spawn::read_up_to(self.file.as_fd(), limit)?;
        sys::append::empty(self.file.as_fd())?;
        Ok(written)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = sys::path::remove_if_there(self.folder.as_fd(), &self.name);
    }
}

/// The record of one session.
#[derive(Debug)]
pub struct Journal {
    pub(super) folder: OwnedFd,
    pub(super) file: OwnedFd,
    pub(super) name: String,
    pub(super) scratch: OnceCell<Scratch>,
}

impl Journal {
    /// Whose.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds a line, whole or not at all where nobody kills this process in the middle of the one call.
    pub fn write(&self, line: &Line) -> Result<(), Error> {
        let mut text = serde_json::to_vec(line)
            .map_err(|error| Error::new(ErrorKind::Host, "cannot write JSON").caused_by(error))?;
        text.push(b'\n');
        sys::path::write_all(self.file.as_fd(), &text).map_err(failed)
    }

    /// A file that root alone can open, for scripts to write into. It is made when it is first asked for, and gone with
    /// the journal.
    pub fn scratch(&self) -> Result<&Scratch, Error> {
        if let Some(made) = self.scratch.get() {
            return Ok(made);
        }
        let made = self.make_scratch()?;
        Ok(self.scratch.get_or_init(|| made))
    }

    fn make_scratch(&self) -> Result<Scratch, Error> {
        let name = scratch_name(&self.name);
        sys::path::remove_if_there(self.folder.as_fd(), &name).map_err(failed)?;
        sys::path::make_file(self.folder.as_fd(), &name, 0o600, b"").map_err(failed)?;
        let file = sys::append::open(self.folder.as_fd(), &name).map_err(failed)?;
        let file = file.ok_or_else(|| Error::new(ErrorKind::Host, format!("{name} is gone at once")))?;
        let folder =
            self.folder.try_clone().map_err(|error| failed(sys::Error::new("dup(folder)", error)))?;
        Ok(Scratch { folder, file, path: format!("{FOLDER}/{name}"), name })
    }

    /// All lines so far.
    pub fn lines(&self) -> Result<Vec<Line>, Error> {
        sys::append::read_from_start(self.file.as_fd()).map(|text| parse(&text)).map_err(failed)
    }

    /// Takes the lock; it is held until the last copy of this descriptor is closed. `false` when somebody else has it and
    /// that was not to be waited for.
    pub fn lock(&self, waits: bool) -> Result<bool, Error> {
        if waits {
            return sys::lock::lock(self.file.as_fd()).map(|()| true).map_err(failed);
        }
        match sys::lock::lock_within(self.file.as_fd(), &self.name, Duration::ZERO) {
            Err(error) if error.errno() == Errno::TIMEDOUT.raw_os_error() => Ok(false),
            other => other.map(|()| true).map_err(failed),
        }
    }

    /// The folder's descriptor, to be kept.
    pub(super) fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    /// The descriptor, to be kept.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The lines of a text; one that is none is left out.
pub fn parse(text: &[u8]) -> Vec<Line> {
    text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

/// The file that a session's script is told of.
pub(super) fn scratch_name(session: &str) -> String {
    format!("{SCRATCH}{session}")
}

pub(super) fn failed(error: sys::Error) -> Error {
    let help = if error.errno() == Errno::TIMEDOUT.raw_os_error() {
        "other scripts of this user's sessions are still running; `sessionctl scripts` shows them"
    } else {
        "the folder must belong to root, with mode 0700, on a file system with room"
    };
    Error::new(ErrorKind::Host, "cannot keep a record in /run/session-sandbox/scripts")
        .caused_by(error)
        .help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_cut_off_is_no_line() {
        let line = Line::Begin { event: Event::Added, at: 7 };
        let mut text = serde_json::to_vec(&line).unwrap();
        text.push(b'\n');
        let whole = text.len();
        text.extend_from_slice(&text.clone()[..whole - 4]);
        assert_eq!(parse(&text), [line]);
        assert_eq!(parse(b"nonsense\n\xff\n"), []);
    }
}
