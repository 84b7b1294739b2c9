//! Which sessions of logind are known, for the daemon that is started after this one.
//!
//! ```text
//! DIR/                  the folder that the service manager keeps while the daemon is restarted; gone at a reboot
//!   ran                 sessions of this boot have been listed before: one that is unknown is new
//!   sessions/ID         one file for each session: its leader, and the run that tells of its beginning; or `ended`
//! ```
//!
//! One file for each, so that what is written for one session does not depend on how many there are. What is known of a
//! session beyond that is in the journal of `session-scripts`. A file is replaced by a rename; that it would survive a
//! crash of the host is not asked for.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Error, Result, say};
use crate::process::ProcessId;
use crate::session::SessionId;

const RAN: &str = "ran";
const SESSIONS: &str = "sessions";
/// The next content of a file, until it is renamed. No id begins with a dot.
const NEXT: &str = ".next";

/// What is known of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// It lives.
    Alive {
        /// Whose end is its end, if that is watched.
        leader: Option<ProcessId>,
        /// The run that tells of its beginning.
        added: Option<ProcessId>,
    },
    /// Its end has been told; logind still lists it, for the processes that it left behind.
    Ended,
}

impl Record {
    fn text(self) -> String {
        let process = |process: Option<ProcessId>| {
            process.map_or_else(|| "-".to_owned(), |process| format!("{}:{}", process.pid, process.started))
        };
        match self {
            Self::Alive { leader, added } => format!("alive {} {}\n", process(leader), process(added)),
            Self::Ended => "ended\n".to_owned(),
        }
    }

    fn read(text: &str) -> Option<Self> {
        let process = |word: &str| match word.split_once(':') {
            Some((pid, started)) => {
                Some(Some(ProcessId { pid: pid.parse().ok()?, started: started.parse().ok()? }))
            }
            None => (word == "-").then_some(None),
        };
        let mut words = text.strip_suffix('\n')?.split(' ');
        let record = match words.next()? {
            "alive" => Self::Alive { leader: process(words.next()?)?, added: process(words.next()?)? },
            "ended" => Self::Ended,
            _ => return None,
        };
        words.next().is_none().then_some(record)
    }
}

/// The folder, for as long as this process is the only one that uses it.
#[derive(Debug)]
pub struct Records {
    folder: OwnedFd,
    sessions: OwnedFd,
}

impl Records {
    /// Opens the folder, and makes it if it is not there. An error while another daemon uses it.
    pub fn open(path: &Path) -> Result<Self> {
        let folder = private_folder(rustix::fs::CWD, path)?;
        match rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(Error::plain(format!(
                    "another session-watchd is running with {}",
                    path.display()
                )));
            }
            Err(errno) => return Err(Error::new(format!("flock({})", path.display()), errno)),
        }
        let sessions = private_folder(folder.as_fd(), Path::new(SESSIONS))?;
        Ok(Self { folder, sessions })
    }

    /// Have sessions been listed before in this boot?
    pub fn has_listed(&self) -> Result<bool> {
        match rustix::fs::statat(&self.folder, RAN, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(Error::new(format!("fstatat({RAN:?})"), errno)),
        }
    }

    /// From now on they have.
    pub fn set_listed(&self) -> Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.folder, RAN, flags, Mode::RUSR | Mode::WUSR)
            .map(drop)
            .map_err(|errno| Error::new(format!("openat({RAN:?}, O_CREAT)"), errno))
    }

    /// Every session that is known. A file that nobody of ours wrote is said and left alone.
    pub fn all(&self) -> Result<Vec<(SessionId, Record)>> {
        let failed = |errno| Error::new(format!("getdents({SESSIONS:?})"), errno);
        let mut all = Vec::new();
        for entry in Dir::read_from(&self.sessions).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy();
            if name == "." || name == ".." || name == NEXT {
                continue;
            }
            let id = SessionId::new(&name);
            let record = id.as_ref().and_then(|id| self.get(id)).as_deref().and_then(Record::read);
            match (id, record) {
                (Some(id), Some(record)) => all.push((id, record)),
                _ => say(format!("{SESSIONS}/{name} is no record of a session; it is not looked at")),
            }
        }
        Ok(all)
    }

    fn get(&self, id: &SessionId) -> Option<String> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.sessions, id.as_str(), flags, Mode::empty()).ok()?;
        let mut bytes = [0_u8; 128];
        let length = rustix::io::read(&file, &mut bytes).ok()?;
        String::from_utf8(bytes.get(..length)?.to_vec()).ok()
    }

    /// Writes down what is known of a session now.
    pub fn put(&self, id: &SessionId, record: Record) -> Result<()> {
        let failed = |call: &str, errno: Errno| Error::new(format!("{call}({SESSIONS}/{id})"), errno);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.sessions, NEXT, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| failed("openat", errno))?;
        let text = record.text();
        match rustix::io::write(&file, text.as_bytes()) {
            Ok(length) if length == text.len() => {}
            // A full file system takes a part.
            Ok(_) => return Err(failed("write", Errno::NOSPC)),
            Err(errno) => return Err(failed("write", errno)),
        }
        rustix::fs::renameat(&self.sessions, NEXT, &self.sessions, id.as_str())
            .map_err(|errno| failed("renameat", errno))
    }

    /// The session is known no more.
    pub fn forget(&self, id: &SessionId) -> Result<()> {
        match rustix::fs::unlinkat(&self.sessions, id.as_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(Error::new(format!("unlinkat({SESSIONS}/{id})"), errno)),
        }
    }
}

/// A folder that nobody else can change, made if it is not there.
fn private_folder(at: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd> {
    let failed = |call: &str, errno| Error::new(format!("{call}({})", path.display()), errno);
    match rustix::fs::mkdirat(at, path, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(failed("mkdirat", errno)),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder =
        rustix::fs::openat(at, path, flags, Mode::empty()).map_err(|errno| failed("openat", errno))?;
    let stat = rustix::fs::fstat(&folder).map_err(|errno| failed("fstat", errno))?;
    debug_assert!(FileType::from_raw_mode(stat.st_mode).is_dir());
    if stat.st_uid != rustix::process::geteuid().as_raw() || stat.st_mode & 0o022 != 0 {
        return Err(Error::plain(format!(
            "{} belongs to uid {} with mode {:04o}, so others could change what is in it",
            path.display(),
            stat.st_uid,
            stat.st_mode & 0o7777
        )));
    }
    Ok(folder)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]
mod tests {
    use super::*;

    const LEADER: ProcessId = ProcessId { pid: 42, started: 1234 };

    #[test]
    fn what_is_written_down_is_there_for_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let id = |text| SessionId::new(text).unwrap();
        let alive = Record::Alive { leader: Some(LEADER), added: None };
        let first = Records::open(&path).unwrap();
        assert!(!first.has_listed().unwrap() && first.all().unwrap().is_empty());
        first.set_listed().unwrap();
        first.put(&id("1"), alive).unwrap();
        first.put(&id("2"), Record::Ended).unwrap();
        first.put(&id("3"), alive).unwrap();
        first.forget(&id("3")).unwrap();
        first.forget(&id("3")).unwrap();
        assert!(Records::open(&path).unwrap_err().chain().contains("another session-watchd"));
        drop(first);
        let second = Records::open(&path).unwrap();
        assert!(second.has_listed().unwrap());
        second.put(&id("2"), Record::Alive { leader: None, added: Some(LEADER) }).unwrap();
        let mut all = second.all().unwrap();
        all.sort_by(|one, other| one.0.cmp(&other.0));
        assert_eq!(all, [(id("1"), alive), (id("2"), Record::Alive { leader: None, added: Some(LEADER) })]);
    }

    #[test]
    fn what_is_no_record_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let records = Records::open(&path).unwrap();
        for (name, text) in [
            ("1", ""),
            ("2", "alive\n"),
            ("3", "alive 1:2 3:4"),
            ("4", "ended now\n"),
            ("5", "alive 1 -\n"),
            ("a b", "ended\n"),
            (NEXT, "ended\n"),
        ] {
            std::fs::write(path.join(SESSIONS).join(name), text).unwrap();
        }
        assert_eq!(records.all().unwrap(), []);
    }

    #[test]
    fn a_folder_that_others_can_change_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o770)).unwrap();
        assert!(Records::open(folder.path()).unwrap_err().chain().contains("0770"));
        std::os::unix::fs::symlink("/run", folder.path().join("link")).unwrap();
        assert!(Records::open(&folder.path().join("link")).is_err());
    }
}
