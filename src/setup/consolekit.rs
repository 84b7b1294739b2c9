//! The method `consolekit`: a script that ConsoleKit runs when a session begins and when it ends. Pure.

use super::change::{Change, File, Found, hash};
use super::pam::Presence;
use super::record::Entry;
use crate::error::{Error, ErrorKind};
use crate::sys::durable::Ownership;

/// Where it is put: the administrator's folder. (The packages' one depends on how ConsoleKit was built.)
pub const SCRIPT: &str = "/etc/ConsoleKit/run-session.d/session-sandbox.ck";
/// What tells that ConsoleKit is there.
pub const FOLDER: &str = "/etc/ConsoleKit";
/// The script itself.
const TEXT: &str = include_str!("session-sandbox.ck");

/// What this method depends on.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Is there a ConsoleKit?
    pub has_consolekit: bool,
    /// The program that the script calls.
    pub enter: Presence,
    /// What is at the script's place.
    pub script: Found,
    /// Whose the script is to be.
    pub owner: (u32, u32),
}

/// The changes, and what is to be written down about them.
pub fn plan(facts: &Facts) -> Result<(Vec<Change>, Vec<Entry>), Error> {
    if !facts.has_consolekit {
        return Err(Error::new(ErrorKind::Host, format!("ConsoleKit is not here: there is no {FOLDER}"))
            .help("use `--method pam`"));
    }
    match &facts.enter {
        Presence::Good => {}
        Presence::Missing => {
            return Err(Error::new(
                ErrorKind::Host,
                "/usr/bin/session-enter, which the script calls, is missing",
            )
            .help("install the package session-sandbox again"));
        }
        Presence::Bad(why) => {
            return Err(Error::new(ErrorKind::Host, format!("the script cannot call session-enter: {why}")));
        }
    }
    let (uid, gid) = facts.owner;
    let after = File { content: TEXT.as_bytes().to_vec(), ownership: Ownership { mode: 0o755, uid, gid } };
    match &facts.script {
        Found::File(file) if file.content == after.content => Ok((Vec::new(), Vec::new())),
        Found::Missing => {
            let entry = Entry::Made { path: SCRIPT.to_owned(), after: hash(&after.content) };
            Ok((vec![Change::Write { path: SCRIPT.to_owned(), before: None, after }], vec![entry]))
        }
        _ => Err(Error::new(ErrorKind::Host, format!("{SCRIPT} is there already, and is another script"))
            .help("move it away, then run this again")),
    }
}
