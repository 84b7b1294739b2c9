//! The folder of all records: which session is whose, who has begun and who has ended, and work that is to be done.

use std::cell::OnceCell;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::background::Work;
use super::journal::{Journal, Line, SCRATCH, failed, parse, scratch_name};
use super::session::Session;
use crate::error::{Error, ErrorKind};
use crate::registry::Registry;
use crate::sys;

/// Where the records of ended sessions are kept.
const ENDED: &str = "ended";
/// Where the names are by which others know a session, each a link to ours.
const KEYS: &str = "keys";
/// Work that systemd or the at daemon is going to do.
const WORK: &str = "work";
/// A record that has no name yet is called this, and goes on with the number of who makes it.
const UNNAMED: &str = "new-";
/// As long as the name of a key's file is without a digest.
const KEY_MAX: usize = 150;
/// The sessions of each user, for the first and the last.
const USERS: &str = "users";
/// How many records of ended sessions are kept.
const KEPT: usize = 256;

/// The folder of all records.
#[derive(Debug)]
pub struct Journals {
    folder: OwnedFd,
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
        Ok(Some(Journal { folder, file, name: name.to_owned(), scratch: OnceCell::new() }))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_names_of_files_and_lead_nowhere_else() {
        assert_eq!(file_name("logind:c4"), "logind:c4");
        assert_eq!(file_name("../../x"), "_2e_2e_2f_2e_2e_2fx");
        let long = |last: &str| file_name(&format!("{}{last}", "é".repeat(1000)));
        assert!(long("a").len() <= 200);
        assert_ne!(long("a"), long("b"));
    }
}
