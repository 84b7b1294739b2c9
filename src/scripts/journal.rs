//! What has been done for a session, written down before and after it is done: a file of lines, one for each session.
//!
//! `/run/session-sandbox/scripts/Session7` holds JSON, a value a line; a line that was cut off by a kill is no line. The
//! lock on the file is held while scripts of a session run in their order, so that an end waits for its beginning, and so
//! that of several who notice an end one has it. `scripts/ended/` keeps the last ones for whoever asks.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::background::Work;
use super::session::Session;
use super::variables::Said;
use crate::error::{Error, ErrorKind};
use crate::model::scripts::{Event, Kind};
use crate::registry::{ProcessId, Registry};
use crate::sys;

/// Where all of it is, by a path that a script can be told.
const FOLDER: &str = "/run/session-sandbox/scripts";
/// Where the records of ended sessions are kept.
const ENDED: &str = "ended";
/// Where the names are by which others know a session, each a link to ours.
const KEYS: &str = "keys";
/// Work that systemd or the at daemon is going to do.
const WORK: &str = "work";
/// A record that has no name yet is called this, and goes on with the number of who makes it.
const UNNAMED: &str = "new-";
/// A file that a script is told of begins with this.
const SCRATCH: &str = "env-";
/// As long as the name of a key's file is without a digest.
const KEY_MAX: usize = 150;
/// The sessions of each user, for the first and the last.
const USERS: &str = "users";
/// How many records of ended sessions are kept.
const KEPT: usize = 256;
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

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = sys::path::remove_if_there(self.folder.as_fd(), &self.name);
    }
}

/// The folder of all records.
#[derive(Debug)]
pub struct Journals {
    folder: OwnedFd,
}

/// The record of one session.
#[derive(Debug)]
pub struct Journal {
    folder: OwnedFd,
    file: OwnedFd,
    name: String,
}

impl Journals {
    /// Opens the folder, made if it is missing.
    pub fn open(registry: &Registry) -> Result<Self, Error> {
        Ok(Self { folder: registry.scripts()? })
    }

    fn below(&self, name: &str) -> Result<OwnedFd, Error> {
        sys::path::private_directory(self.folder.as_fd(), name).map_err(failed)
    }

    /// Begins the record of a session. It has its name when it is locked, and not before: nobody comes in between.
    pub fn begin(&self, session: &Session) -> Result<Journal, Error> {
        let unnamed = format!("{UNNAMED}{}", rustix::process::getpid().as_raw_nonzero());
        // Of a process with this number that was killed at this point.
        sys::path::remove_if_there(self.folder.as_fd(), &unnamed).map_err(failed)?;
        sys::path::make_file(self.folder.as_fd(), &unnamed, 0o600, b"").map_err(failed)?;
        let begun = self.begin_unnamed(&unnamed, session);
        if begun.is_err() {
            let _ = sys::path::remove_if_there(self.folder.as_fd(), &unnamed);
        }
        begun
    }

    fn begin_unnamed(&self, unnamed: &str, session: &Session) -> Result<Journal, Error> {
        let name = &session.name;
        let journal = self.open_as(&self.folder, unnamed, name)?;
        let gone = || Error::new(ErrorKind::Host, format!("{unnamed} is gone at once"));
        let journal = journal.ok_or_else(gone)?;
        journal.lock(true)?;
        journal.write(&Line::Session(Box::new(session.clone())))?;
        match sys::path::rename_to_new(self.folder.as_fd(), unnamed, name).map_err(failed)? {
            true => Ok(journal),
            false => Err(Error::new(ErrorKind::Host, format!("there is a record of another {name}"))),
        }
    }

    /// Takes the record of a session away that did not begin after all.
    pub fn discard(&self, name: &str) -> Result<(), Error> {
        sys::path::remove_if_there(self.folder.as_fd(), name).map_err(failed)
    }

    /// Opens the record of `name` that is the file `file` of `folder`.
    fn open_as(&self, folder: &OwnedFd, file: &str, name: &str) -> Result<Option<Journal>, Error> {
        let Some(file) = sys::append::open(folder.as_fd(), file).map_err(failed)? else { return Ok(None) };
        let folder =
            self.folder.try_clone().map_err(|error| failed(sys::Error::new("dup(folder)", error)))?;
        Ok(Some(Journal { folder, file, name: name.to_owned() }))
    }

    /// Opens the record of a session, ended or not: for what goes on behind its end.
    pub fn reopen_any(&self, name: &str) -> Result<Option<Journal>, Error> {
        match self.reopen(name)? {
            None if is_name(name) => self.open_as(&self.below(ENDED)?, name, name),
            found => Ok(found),
        }
    }

    /// Opens the record of a session that has begun and not ended.
    pub fn reopen(&self, name: &str) -> Result<Option<Journal>, Error> {
        if !is_name(name) {
            return Ok(None);
        }
        self.open_as(&self.folder, name, name)
    }

    /// The names of the sessions that have begun and not ended.
    pub fn open_ones(&self) -> Result<Vec<String>, Error> {
        let mut names = sys::path::list(self.folder.as_fd()).map_err(failed)?;
        names.retain(|name| is_name(name));
        names.sort_by_key(|name| (name.len(), name.clone()));
        Ok(names)
    }

    /// The lines of a session's record, ended or not; `None` when there is none.
    pub fn lines(&self, name: &str) -> Result<Option<Vec<Line>>, Error> {
        if !is_name(name) {
            return Ok(None);
        }
        for folder in [None, Some(ENDED)] {
            let path = folder.map_or_else(|| name.to_owned(), |folder| format!("{folder}/{name}"));
            let text = match sys::path::read_if_there(self.folder.as_fd(), &path) {
                Err(error) if error.errno() == Errno::NOTDIR.raw_os_error() => None,
                other => other.map_err(failed)?,
            };
            if let Some(text) = text {
                return Ok(Some(parse(&text)));
            }
        }
        Ok(None)
    }

    /// The names of all sessions with a record, the oldest first.
    pub fn all(&self) -> Result<Vec<String>, Error> {
        let ended = self.below(ENDED)?;
        let mut names = sys::path::list(ended.as_fd()).map_err(failed)?;
        names.extend(self.open_ones()?);
        names.sort_by_key(|name| (name.len(), name.clone()));
        names.dedup();
        Ok(names)
    }

    /// Takes away what killed processes have left that is no record: files of sessions that are not there any more.
    pub fn sweep_files(&self) -> Result<(), Error> {
        for name in sys::path::list(self.folder.as_fd()).map_err(failed)? {
            let is_stale = if let Some(session) = name.strip_prefix(SCRATCH) {
                self.reopen(session)?.is_none()
            } else if let Some(maker) = name.strip_prefix(UNNAMED) {
                !maker.parse().is_ok_and(|pid| matches!(sys::pidfd::open(pid), Ok(Some(_))))
            } else {
                false
            };
            if is_stale {
                sys::path::remove_if_there(self.folder.as_fd(), &name).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Puts the record of a session away, and forgets those that are older than the last few hundred.
    pub fn put_away(&self, name: &str) -> Result<(), Error> {
        let ended = self.below(ENDED)?;
        sys::path::remove_if_there(self.folder.as_fd(), &scratch_name(name)).map_err(failed)?;
        match sys::append::rename_into(self.folder.as_fd(), name, ended.as_fd()) {
            // Somebody else has, who noticed the same end.
            Err(error) if error.errno() == Errno::NOENT.raw_os_error() => return Ok(()),
            other => other.map_err(failed)?,
        }
        let mut names = sys::path::list(ended.as_fd()).map_err(failed)?;
        names.sort_by_key(|name| (name.len(), name.clone()));
        let surplus = names.len().saturating_sub(KEPT);
        for name in names.iter().take(surplus) {
            sys::path::remove_if_there(ended.as_fd(), name).map_err(failed)?;
        }
        Ok(())
    }

    /// Writes work down for whoever is going to do it, and gives the name under which it is found.
    pub fn put_work(&self, work: &Work) -> Result<String, Error> {
        let text = serde_json::to_vec(work)
            .map_err(|error| Error::new(ErrorKind::Host, "cannot write JSON").caused_by(error))?;
        let works = self.below(WORK)?;
        for number in 1..u32::MAX {
            let name = format!("{}-{number}", work.session);
            match sys::path::make_file(works.as_fd(), &name, 0o600, &text) {
                Ok(()) => return Ok(name),
                Err(error) if error.errno() == Errno::EXIST.raw_os_error() => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Err(Error::new(ErrorKind::Host, "there is no number left for work"))
    }

    /// Takes work that was written down: whoever takes it does it, and nobody else.
    pub fn take_work(&self, name: &str) -> Result<Option<Work>, Error> {
        let is_work = name.rsplit_once('-').is_some_and(|(session, number)| {
            is_name(session) && number.bytes().all(|byte| byte.is_ascii_digit())
        });
        if !is_work {
            return Ok(None);
        }
        let works = self.below(WORK)?;
        let Some(text) = sys::path::read_if_there(works.as_fd(), name).map_err(failed)? else {
            return Ok(None);
        };
        let taken = sys::append::take_away(works.as_fd(), name).map_err(failed)?;
        Ok(taken.then(|| serde_json::from_slice(&text).ok()).flatten())
    }

    /// Claims the name `key` for a session; the session that has it, when there is one.
    pub fn claim(&self, key: &str, session: &str) -> Result<Option<String>, Error> {
        let keys = self.below(KEYS)?;
        let name = file_name(key);
        loop {
            match sys::path::make_symlink(keys.as_fd(), &name, session) {
                Ok(()) => return Ok(None),
                Err(error) if error.errno() == Errno::EXIST.raw_os_error() => {}
                Err(error) => return Err(failed(error)),
            }
            // Whoever had it may have let go of it in between.
            if let Some(other) = self.claimed(key)? {
                return Ok(Some(other));
            }
        }
    }

    /// The session with the name `key`.
    pub fn claimed(&self, key: &str) -> Result<Option<String>, Error> {
        let keys = self.below(KEYS)?;
        match sys::path::open(keys.as_fd(), &file_name(key), sys::path::Links::Refuse) {
            Ok(link) => sys::path::link_text(link.as_fd()).map(Some).map_err(failed),
            Err(error) if error.errno() == Errno::NOENT.raw_os_error() => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Lets go of the name `key`, if it is that session's.
    pub fn unclaim(&self, key: &str, session: &str) -> Result<(), Error> {
        if self.claimed(key)?.as_deref() == Some(session) {
            let keys = self.below(KEYS)?;
            sys::path::remove_if_there(keys.as_fd(), &file_name(key)).map_err(failed)?;
        }
        Ok(())
    }

    /// Counts the session in as one of the user's, and says which others there are. Waits for scripts of the last session
    /// that still run, `limit` at most: what they take away, the new session's scripts make.
    ///
    /// The turn is to be held while scripts of the first session run: others wait for what those make.
    pub fn enter(&self, uid: u32, session: &str, limit: Duration) -> Result<(Vec<String>, Turn), Error> {
        let turn = self.turn(uid, limit)?;
        let others = sys::path::list(turn.sessions.as_fd()).map_err(failed)?;
        sys::path::make_file(turn.sessions.as_fd(), session, 0o600, b"").map_err(failed)?;
        Ok((others, turn))
    }

    /// Counts it out: when it was the only one, what comes back is the user's turn, to be held while scripts of the
    /// last session run.
    pub fn leave(&self, uid: u32, session: &str, limit: Duration) -> Result<Option<Turn>, Error> {
        let turn = self.turn(uid, limit)?;
        sys::path::remove_if_there(turn.sessions.as_fd(), session).map_err(failed)?;
        let last = sys::path::list(turn.sessions.as_fd()).map_err(failed)?.is_empty();
        Ok(last.then_some(turn))
    }

    /// The user's sessions that are counted in.
    pub fn of_user(&self, uid: u32) -> Result<Vec<String>, Error> {
        let users = self.below(USERS)?;
        let sessions = sys::path::private_directory(users.as_fd(), &uid.to_string()).map_err(failed)?;
        sys::path::list(sessions.as_fd()).map_err(failed)
    }

    fn turn(&self, uid: u32, limit: Duration) -> Result<Turn, Error> {
        let users = self.below(USERS)?;
        let sessions = sys::path::private_directory(users.as_fd(), &uid.to_string()).map_err(failed)?;
        let lock = sys::lock::lock_file(users.as_fd(), &format!("{uid}.lock"), limit).map_err(failed)?;
        Ok(Turn { sessions, _lock: lock })
    }
}

/// A user's turn: nobody else counts that user's sessions while it is held.
#[derive(Debug)]
pub struct Turn {
    sessions: OwnedFd,
    _lock: OwnedFd,
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

    /// A new file that root alone can open, and its path; for a script to write into. It is gone with the value.
    pub fn scratch(&self) -> Result<Scratch, Error> {
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

/// Is this the name of a session, and not a way to another file?
fn is_name(name: &str) -> bool {
    let number = name.strip_prefix("Session");
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A key as the name of a file: what is not a letter or a digit is written in hexadecimal.
fn file_name(key: &str) -> String {
    let mut name = String::new();
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b':' {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("_{byte:02x}"));
        }
    }
    // Longer than what any session manager makes up, but not longer than a file's name may be.
    if name.len() > KEY_MAX {
        let digest = Sha256::digest(key.as_bytes());
        name.truncate(KEY_MAX);
        name.push('-');
        name.extend(digest.iter().take(16).map(|byte| format!("{byte:02x}")));
    }
    name
}

/// The file that a session's script is told of.
fn scratch_name(session: &str) -> String {
    format!("{SCRATCH}{session}")
}

fn failed(error: sys::Error) -> Error {
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

    #[test]
    fn keys_are_names_of_files_and_lead_nowhere_else() {
        assert_eq!(file_name("logind:c4"), "logind:c4");
        assert_eq!(file_name("../../x"), "_2e_2e_2f_2e_2e_2fx");
        let long = |last: &str| file_name(&format!("{}{last}", "é".repeat(1000)));
        assert!(long("a").len() <= 200);
        assert_ne!(long("a"), long("b"));
    }
}
