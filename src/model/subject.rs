//! Who logs in, and through which door.

use serde::Serialize;

use super::name::UserName;
use super::path::AbsPath;

/// A user as the host knows it, looked up once before anything else happens, and the door it comes through.
///
/// After the root is switched no name is ever looked up again: the numbers here are all there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// The name that the user database holds (not necessarily what was typed).
    pub name: UserName,
    /// The user id; never `u32::MAX`.
    pub uid: u32,
    /// The primary group id; never `u32::MAX`.
    pub gid: u32,
    /// All groups as `getgrouplist` gives them, primary included, sorted, without duplicates.
    pub groups: Vec<u32>,
    /// The primary group's name, or its number where it has none.
    pub group_name: String,
    /// The home directory.
    pub home: AbsPath,
    /// The login shell; `/bin/sh` where the user database leaves it empty.
    pub shell: AbsPath,
    /// The door.
    pub door: Door,
}

/// Does this login shell let its user in? Those of accounts that nobody logs in to do not.
pub fn lets_in(shell: &str) -> bool {
    const NO_SHELLS: [&str; 6] = ["nologin", "false", "true", "sync", "shutdown", "halt"];
    !NO_SHELLS.contains(&shell.rsplit('/').next().unwrap_or_default())
}

/// Where a session comes from: the PAM service and its items, or the command line's answers to the same questions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Door {
    /// The PAM service (`sshd`, `login`, `su`, `cron`); `session-enter` for the command line.
    pub service: String,
    /// The terminal without `/dev/`, as PAM_TTY gives it.
    pub tty: Option<String>,
    /// The remote host as PAM_RHOST gives it.
    pub remote_host: Option<String>,
    /// The session's id, where the caller has one.
    pub session: Option<String>,
}

impl Door {
    /// The door of someone who types `session-enter`.
    pub fn command_line() -> Self {
        Self { service: "session-enter".to_owned(), tty: None, remote_host: None, session: None }
    }
}
