//! Sessions on record, in the form in which ConsoleKit's readers know them.
//!
//! `sessions/SessionN` holds `display`, `session` and `unixuser`, and `record.json` for ourselves;
//! `users/NAME/SessionN` is a link to it, and is made last. A leader that opens and closes sessions without ending itself
//! (a program that uses PAM) holds a lock on the file `held` of each.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use super::process::ProcessId;
use super::record::SessionRecord;
use crate::sys;

/// The folder of all sessions.
pub(super) const SESSIONS: &str = "sessions";
/// The folder of all users that have any.
pub(super) const USERS: &str = "users";
/// The number that the next session tries first.
const HINT: &str = "next";
/// The folder of a session that is not complete begins with this, and goes on with the number of who makes it.
const UNFINISHED: &str = ".new-";
/// What we know of a session.
const RECORD: &str = "record.json";
/// The file that is locked for as long as the session lasts, where its leader does not end with it.
const HELD: &str = "held";
/// How many sessions of the same user a new one looks at. More than one, so that stale ones become fewer.
const SWEPT_AT_ONCE: usize = 4;
/// The files in a session's folder.
const FILES: [&str; 6] = ["display", "session", "unixuser", RECORD, HELD, "record.json.new"];

/// A session on record.
#[derive(Debug)]
pub struct Session {
    sessions: OwnedFd,
    users: OwnedFd,
    user: String,
    name: String,
    held: Option<OwnedFd>,
}

impl Session {
    /// The lock of a session that its leader holds.
    pub fn take_lock(&mut self) -> Option<OwnedFd> {
        self.held.take()
    }

    /// `Session1`, say.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes down by which profile it is in which shared view, by name and generation.
    pub fn enters(&mut self, profile: &str, view: (String, u32)) -> sys::Result<()> {
        self.change(|record| {
            record.view = Some(view);
            record.profile = profile.to_owned();
        })
    }

    fn change(&self, change: impl FnOnce(&mut SessionRecord)) -> sys::Result<()> {
        let Some(mut record) = read(self.sessions.as_fd(), &self.name)? else {
            return Err(sys::Error::new(format!("{} is off the record", self.name), Errno::NOENT));
        };
        change(&mut record);
        let folder = sys::path::open_directory(self.sessions.as_fd(), &self.name)?;
        let text = as_text(&record)?;
        sys::path::replace_file(folder.as_fd(), RECORD, &text)
    }

    /// Writes down that it lasts until somebody says that it has ended: no process leads it.
    pub fn lasts(&mut self) -> sys::Result<()> {
        self.change(|record| record.leader = None)
    }

    /// Takes it off the record.
    pub fn end(self) -> sys::Result<()> {
        remove(self.sessions.as_fd(), self.users.as_fd(), &self.user, &self.name)
    }
}

/// Takes the session of this name off the record, if it is that leader's, and says which view it was in.
pub(super) fn end_of(
    state: BorrowedFd<'_>,
    name: &str,
    leader: &ProcessId,
) -> sys::Result<Option<(String, u32)>> {
    let number = name.strip_prefix("Session");
    if !number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(sys::Error::new(format!("{name:?} is no session's name"), Errno::INVAL));
    }
    let sessions = sys::path::private_directory(state, SESSIONS)?;
    let users = sys::path::private_directory(state, USERS)?;
    match read(sessions.as_fd(), name)? {
        Some(record) if record.leader.as_ref() == Some(leader) => {
            remove(sessions.as_fd(), users.as_fd(), &record.user, name)?;
            Ok(record.view)
        }
        // Swept already, or another one's by now.
        _ => Ok(None),
    }
}

/// Takes the session of this name off the record, whoever leads it.
pub(super) fn forget(state: BorrowedFd<'_>, name: &str) -> sys::Result<()> {
    let sessions = sys::path::private_directory(state, SESSIONS)?;
    let users = sys::path::private_directory(state, USERS)?;
    match read(sessions.as_fd(), name)? {
        Some(record) => remove(sessions.as_fd(), users.as_fd(), &record.user, name),
        None => Ok(()),
    }
}

/// The view of the session of this name.
pub(super) fn view_of(state: BorrowedFd<'_>, name: &str) -> sys::Result<Option<(String, u32)>> {
    let sessions = sys::path::private_directory(state, SESSIONS)?;
    Ok(read(sessions.as_fd(), name)?.and_then(|record| record.view))
}

/// Is the session of this name on record, and alive?
pub(super) fn lives(state: BorrowedFd<'_>, name: &str) -> sys::Result<bool> {
    let sessions = sys::path::private_directory(state, SESSIONS)?;
    match read(sessions.as_fd(), name)? {
        Some(record) => is_alive(sessions.as_fd(), name, &record),
        None => Ok(false),
    }
}

/// Makes what is always there.
pub(super) fn prepare(state: BorrowedFd<'_>) -> sys::Result<()> {
    let sessions = sys::path::private_directory(state, SESSIONS)?;
    sys::path::write_file(sessions.as_fd(), HINT, b"1")
}

/// Puts a session on record, complete or not at all. Takes away some stale ones of the same user, so that there are never
/// many: a session without a supervisor cannot take itself off the record.
pub(super) fn begin(state: BorrowedFd<'_>, record: SessionRecord) -> sys::Result<Session> {
    // What readers of ConsoleKit's time look for has the modes of that time, whatever the caller's mask; that nobody but
    // root gets here is the state folder's matter.
    let umask = sys::process::set_umask(0o022);
    let begun = begin_with_mask(state, record);
    sys::process::set_umask(umask);
    begun
}

fn begin_with_mask(state: BorrowedFd<'_>, record: SessionRecord) -> sys::Result<Session> {
    let sessions = sys::path::private_directory(state, SESSIONS)?;
    let users = sys::path::private_directory(state, USERS)?;
    let mut number = sys::path::take_number(sessions.as_fd(), HINT)?;
    sweep_some(sessions.as_fd(), users.as_fd(), &record.user, number)?;
    let unfinished = format!("{UNFINISHED}{}", rustix::process::getpid().as_raw_nonzero());
    let folder = loop {
        match sys::path::new_directory(sessions.as_fd(), &unfinished, 0o755)? {
            Some(folder) => break folder,
            // Of a process with this number that was killed at this point, long ago.
            None => remove_folder(sessions.as_fd(), &unfinished)?,
        }
    };
    write(folder.as_fd(), "display", record.display.as_deref().unwrap_or(""))?;
    write(folder.as_fd(), "unixuser", &record.user)?;
    let lock_now = || sys::lock::lock_file(folder.as_fd(), HELD, std::time::Duration::ZERO);
    let held = record.held.then(lock_now).transpose()?;
    sys::path::write_file(folder.as_fd(), RECORD, &as_text(&record)?)?;
    let name = loop {
        let name = format!("Session{number}");
        // A reader of a numbered folder never sees one without its files; `session` alone is written for each try.
        write(folder.as_fd(), "session", &name)?;
        if sys::path::rename_to_new(sessions.as_fd(), &unfinished, &name)? {
            break name;
        }
        number = sys::path::take_number(sessions.as_fd(), HINT)?;
    };
    let (link, to) = (format!("{}/{name}", record.user), format!("../../{SESSIONS}/{name}"));
    loop {
        match sys::path::make_symlink(users.as_fd(), &link, &to) {
            Ok(()) => break,
            // The user's first session; or the last other one has ended in this moment and took the folder away.
            Err(error) if error.errno() == Errno::NOENT.raw_os_error() => {
                drop(sys::path::new_directory(users.as_fd(), &record.user, 0o755)?);
            }
            // A link that its session did not live to take away.
            Err(error) if error.errno() == Errno::EXIST.raw_os_error() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(Session { sessions, users, user: record.user, name, held })
}

fn as_text(record: &SessionRecord) -> sys::Result<Vec<u8>> {
    serde_json::to_vec(record).map_err(|error| sys::Error::new(format!("the record: {error}"), Errno::INVAL))
}

fn write(folder: BorrowedFd<'_>, name: &str, line: &str) -> sys::Result<()> {
    sys::path::write_file_with(folder, name, format!("{line}\n").as_bytes(), 0o644)
}

/// The sessions on record, with what is known of each; `None` for a folder without a usable record.
fn all(state: BorrowedFd<'_>) -> sys::Result<Vec<(String, Option<SessionRecord>)>> {
    let sessions = sys::path::private_directory(state, SESSIONS)?;
    let mut found = Vec::new();
    for name in sys::path::list(sessions.as_fd())? {
        if name.starts_with("Session") {
            let record = read(sessions.as_fd(), &name)?;
            found.push((name, record));
        }
    }
    found.sort_by_key(|(name, _)| (name.len(), name.clone()));
    Ok(found)
}

/// The sessions that live.
pub(super) fn living(state: BorrowedFd<'_>) -> sys::Result<Vec<(String, SessionRecord)>> {
    let sessions = sys::path::private_directory(state, SESSIONS)?;
    let mut found = Vec::new();
    for (name, record) in all(state)? {
        if let Some(record) = record
            && is_alive(sessions.as_fd(), &name, &record)?
        {
            found.push((name, record));
        }
    }
    Ok(found)
}

/// Is any living session in this generation of the shared view `name`?
pub(super) fn is_any_in(state: BorrowedFd<'_>, name: &str, generation: u32) -> sys::Result<bool> {
    let sessions = living(state)?;
    let mut views = sessions.iter().filter_map(|(_, record)| record.view.as_ref());
    Ok(views.any(|(view, number)| view == name && *number == generation))
}

/// The names of those on record that live no more.
pub(super) fn stale(state: BorrowedFd<'_>) -> sys::Result<Vec<String>> {
    let sessions = sys::path::private_directory(state, SESSIONS)?;
    let mut found = Vec::new();
    for (name, record) in all(state)? {
        let alive = match &record {
            Some(record) => is_alive(sessions.as_fd(), &name, record)?,
            // It may have been taken off the record just now.
            None => !sys::path::is_there(sessions.as_fd(), &name)?,
        };
        if !alive {
            found.push(name);
        }
    }
    Ok(found)
}

fn read(sessions: BorrowedFd<'_>, name: &str) -> sys::Result<Option<SessionRecord>> {
    let text = sys::path::read_if_there(sessions, &format!("{name}/{RECORD}"))?;
    Ok(text.and_then(|text| serde_json::from_slice(&text).ok()))
}

/// Takes away the sessions whose leader has ended, and says how many there were. Nothing that lives is touched.
pub(super) fn sweep(state: BorrowedFd<'_>) -> sys::Result<usize> {
    let sessions = sys::path::private_directory(state, SESSIONS)?;
    let users = sys::path::private_directory(state, USERS)?;
    let mut swept = 0;
    for name in sys::path::list(sessions.as_fd())? {
        if let Some(maker) = name.strip_prefix(UNFINISHED) {
            let alive = maker.parse().is_ok_and(|pid| matches!(sys::pidfd::open(pid), Ok(Some(_))));
            if !alive {
                remove_folder(sessions.as_fd(), &name)?;
            }
        }
    }
    for (name, record) in all(state)? {
        let alive = match &record {
            Some(record) => is_alive(sessions.as_fd(), &name, record)?,
            None => false,
        };
        if !alive {
            remove(
                sessions.as_fd(),
                users.as_fd(),
                record.as_ref().map_or("", |record| &record.user),
                &name,
            )?;
            swept += 1;
        }
    }
    // Links whose session is gone: a process was killed between the two.
    for user in sys::path::list(users.as_fd())? {
        sweep_links(sessions.as_fd(), users.as_fd(), &user)?;
    }
    Ok(swept)
}

/// The same for a few sessions of one user, found by the user's own links: so few that a login does not take longer the
/// more of them live. Which ones is another matter each time (`turn`), so that all have their turn.
fn sweep_some(sessions: BorrowedFd<'_>, users: BorrowedFd<'_>, user: &str, turn: u32) -> sys::Result<()> {
    let own = match sys::path::open_directory(users, user) {
        Err(error) if error.errno() == Errno::NOENT.raw_os_error() => return Ok(()),
        own => own?,
    };
    let names = sys::path::list(own.as_fd())?;
    let first = usize::try_from(turn).unwrap_or(0).wrapping_mul(SWEPT_AT_ONCE) % names.len().max(1);
    for name in names.iter().cycle().skip(first).take(SWEPT_AT_ONCE.min(names.len())) {
        let alive = match read(sessions, name)? {
            Some(record) => is_alive(sessions, name, &record)?,
            None => false,
        };
        if !alive {
            // The user's folder stays: it gets a link in a moment.
            sys::path::remove_if_there(own.as_fd(), name)?;
            remove_folder(sessions, name)?;
        }
    }
    Ok(())
}

fn is_alive(sessions: BorrowedFd<'_>, name: &str, record: &SessionRecord) -> sys::Result<bool> {
    let leads = match &record.leader {
        Some(leader) => leader.open()?.is_some(),
        None => true,
    };
    Ok(leads && (!record.held || sys::lock::is_held(sessions, &format!("{name}/{HELD}"))?))
}

fn sweep_links(sessions: BorrowedFd<'_>, users: BorrowedFd<'_>, user: &str) -> sys::Result<()> {
    let own = sys::path::open_directory(users, user)?;
    for name in sys::path::list(own.as_fd())? {
        if !sys::path::is_there(sessions, &name)? {
            sys::path::remove_if_there(own.as_fd(), &name)?;
        }
    }
    let _ = sys::path::remove_directory(users, user);
    Ok(())
}

fn remove(sessions: BorrowedFd<'_>, users: BorrowedFd<'_>, user: &str, name: &str) -> sys::Result<()> {
    if !user.is_empty() {
        sys::path::remove_if_there(users, &format!("{user}/{name}"))?;
        // Fails when there are other sessions, as it should.
        let _ = sys::path::remove_directory(users, user);
    }
    remove_folder(sessions, name)
}

fn remove_folder(sessions: BorrowedFd<'_>, name: &str) -> sys::Result<()> {
    for file in FILES {
        match sys::path::remove_if_there(sessions, &format!("{name}/{file}")) {
            Ok(()) => {}
            Err(error) if error.errno() == Errno::NOTDIR.raw_os_error() => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    match sys::path::remove_directory(sessions, name) {
        Err(error) if error.errno() != Errno::NOENT.raw_os_error() => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_that_nobody_ends_do_not_pile_up_and_those_that_live_stay() {
        let folder = tempfile::tempdir().unwrap();
        let state = sys::path::open_place(folder.path().to_str().unwrap()).unwrap();
        prepare(state.as_fd()).unwrap();
        let alive: Vec<String> = (0..10)
            .map(|_| {
                begin(state.as_fd(), SessionRecord::sample(ProcessId::own().unwrap()))
                    .unwrap()
                    .name()
                    .to_owned()
            })
            .collect();
        let nobody = ProcessId { pid: i32::MAX, started: 1, inode: None };
        for _ in 0..40 {
            begin(state.as_fd(), SessionRecord::sample(nobody)).unwrap();
        }
        let left: Vec<String> = all(state.as_fd()).unwrap().into_iter().map(|(name, _)| name).collect();
        assert!(alive.iter().all(|name| left.contains(name)), "{left:?}");
        assert!(left.len() <= 20, "{left:?}");
    }
}
