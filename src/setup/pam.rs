//! The method `pam`: our line becomes the last session line of the files that the services share. Pure.

use std::collections::BTreeMap;

use super::change::{Change, File, Found};
use super::pam_stack::{MODULE, asks_module};
use super::record::Entry;
use crate::error::{Error, ErrorKind};

/// The line.
pub const LINE: &str = "session requisite pam_session_sandbox.so";
/// The profile of pam-auth-update, and its file.
pub const PROFILE: &str = "session-sandbox";
/// The file that the package brings.
pub const PROFILE_FILE: &str = "/usr/share/pam-configs/session-sandbox";
/// Debian's program.
pub const PAM_AUTH_UPDATE: &str = "/usr/sbin/pam-auth-update";
/// Where Debian's services get their session lines from.
const DEBIAN: [&str; 2] = ["/etc/pam.d/common-session", "/etc/pam.d/common-session-noninteractive"];
/// Where Fedora's do.
const FEDORA: [&str; 2] = ["/etc/pam.d/system-auth", "/etc/pam.d/password-auth"];
/// What pam-auth-update writes into the files that it keeps.
const MANAGED: &str = "# end of pam-auth-update config";

/// Something that the module cannot do without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// There, and root's alone.
    Good,
    /// Not there.
    Missing,
    /// There, but not to be used: why.
    Bad(String),
}

/// What this method depends on.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Every folder with modules of PAM, and whether ours is there.
    pub folders: Vec<(String, Presence)>,
    /// The module's helper.
    pub helper: Option<Presence>,
    /// Is there a pam-auth-update, and does it know our profile?
    pub has_profile: bool,
    /// The files of [`files`].
    pub files: BTreeMap<String, Found>,
    /// The folder that is the host's root, if that is not `/`.
    pub root: Option<String>,
}

/// The files that have to be looked at.
pub fn files() -> impl Iterator<Item = &'static str> {
    DEBIAN.into_iter().chain(FEDORA)
}

/// The changes, and what is to be written down about them.
pub fn plan(facts: &Facts) -> Result<(Vec<Change>, Vec<Entry>), Error> {
    check_module(facts)?;
    let there = |path: &&str| facts.files.get(*path).is_some_and(|found| *found != Found::Missing);
    let mut shared: Vec<&str> = DEBIAN.into_iter().filter(there).collect();
    if shared.is_empty() {
        shared = FEDORA.into_iter().filter(there).collect();
        if shared.len() == 1 {
            shared.clear();
        }
    }
    if shared.is_empty() {
        let message = "it cannot be told which files the services of this host share for their sessions";
        return Err(Error::new(ErrorKind::Host, message).help(format!(
            "put `{LINE}` behind the last session line of each service that is to open a view, or of the files that they include"
        )));
    }
    let mut todo: Vec<(&str, &File)> = Vec::new();
    for path in shared {
        match facts.files.get(path) {
            Some(Found::File(file)) if asks_module(&text(file)) => {}
            Some(Found::File(file)) => todo.push((path, file)),
            Some(Found::Link(to)) => return Err(link(path, to)),
            _ => return Err(Error::new(ErrorKind::Host, format!("{path} is not a regular file"))),
        }
    }
    if todo.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    if facts.has_profile && todo.iter().all(|(_, file)| text(file).contains(MANAGED)) {
        let result = todo.iter().map(|(path, _)| ((*path).to_owned(), true)).collect();
        let change = Change::Run { command: pam_auth_update(facts, "--enable"), result };
        return Ok((vec![change], vec![Entry::Profile { name: PROFILE.to_owned() }]));
    }
    let mut changes = Vec::new();
    let mut entries = Vec::new();
    for (path, file) in todo {
        let after = with_line(path, file)?;
        entries.push(Entry::Line {
            path: path.to_owned(),
            line: LINE.to_owned(),
            before: file.hash(),
            after: after.hash(),
        });
        changes.push(Change::Write { path: path.to_owned(), before: Some(file.clone()), after });
    }
    Ok((changes, entries))
}

/// The command that turns the profile on or off.
pub fn pam_auth_update(facts: &Facts, action: &str) -> Vec<String> {
    let inside = facts.root.iter().flat_map(|root| ["chroot".to_owned(), root.clone()]);
    let command = [PAM_AUTH_UPDATE, action, PROFILE].map(str::to_owned);
    inside.chain(command).collect()
}

/// The shared files that ask the module and that pam-auth-update keeps.
pub fn managed_with_module(facts: &Facts) -> Vec<String> {
    let asking = facts.files.iter().filter(|(_, found)| {
        found.file().is_some_and(|file| asks_module(&text(file)) && text(file).contains(MANAGED))
    });
    asking.map(|(path, _)| path.clone()).collect()
}

/// A line that names a module which is not there, or one that cannot work, would keep everybody out.
fn check_module(facts: &Facts) -> Result<(), Error> {
    let refused = |why: String| {
        Error::new(ErrorKind::Host, format!("nobody could log in with `{LINE}`: {why}"))
            .help("install the package session-sandbox again")
    };
    if let Some((folder, why)) = facts.folders.iter().find_map(|(folder, presence)| match presence {
        Presence::Bad(why) => Some((folder, why)),
        _ => None,
    }) {
        return Err(refused(format!("{folder}/{MODULE} cannot be used: {why}")));
    }
    if !facts.folders.iter().any(|(_, presence)| *presence == Presence::Good) {
        let folders: Vec<&str> = facts.folders.iter().map(|(folder, _)| folder.as_str()).collect();
        return Err(refused(match folders.as_slice() {
            [] => "there is no folder with modules of PAM".to_owned(),
            folders => format!("{MODULE} is not in {}", folders.join(", ")),
        }));
    }
    match &facts.helper {
        Some(Presence::Good) => Ok(()),
        Some(Presence::Bad(why)) => Err(refused(format!("its helper cannot be used: {why}"))),
        Some(Presence::Missing) | None => Err(refused("its helper is not there".to_owned())),
    }
}

fn link(path: &str, to: &str) -> Error {
    let help = if to.contains("authselect") {
        format!("make a profile of your own with `authselect create-profile`, and put `{LINE}` there")
    } else {
        format!("have the program that keeps it put `{LINE}` behind the last session line")
    };
    let message = format!("{path} is a link to {to}: another program keeps it, and would undo a change");
    Error::new(ErrorKind::Host, message).help(help)
}

/// The file with our line at its end.
fn with_line(path: &str, file: &File) -> Result<File, Error> {
    let mut content = file.content.clone();
    if text(file).trim_end_matches('\n').ends_with('\\') {
        let message = format!("{path} ends in a line that goes on in the next one");
        return Err(Error::new(ErrorKind::Host, message).help("take the backslash at its end away"));
    }
    if content.last().is_some_and(|last| *last != b'\n') {
        content.push(b'\n');
    }
    content.extend_from_slice(LINE.as_bytes());
    content.push(b'\n');
    Ok(File { content, ..file.clone() })
}

pub(super) fn text(file: &File) -> String {
    String::from_utf8_lossy(&file.content).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::durable::Ownership;

    const STACK: &str = "session required pam_unix.so\n";

    fn file(text: &str) -> Found {
        let ownership = Ownership { mode: 0o644, uid: 0, gid: 0 };
        Found::File(File { content: text.as_bytes().to_vec(), ownership })
    }

    fn facts(files: &[(&str, Found)]) -> Facts {
        Facts {
            folders: vec![("/usr/lib/security".to_owned(), Presence::Good)],
            helper: Some(Presence::Good),
            has_profile: true,
            files: files.iter().map(|(path, found)| ((*path).to_owned(), found.clone())).collect(),
            root: None,
        }
    }

    #[test]
    fn pam_auth_update_is_asked_where_it_keeps_the_files_and_nowhere_else() {
        let managed = file(&format!("{STACK}{MANAGED}\n"));
        let mut all = facts(&[(DEBIAN[0], managed.clone()), (DEBIAN[1], managed.clone())]);
        let (changes, entries) = plan(&all).unwrap();
        let expected = ["/usr/sbin/pam-auth-update", "--enable", "session-sandbox"];
        assert!(matches!(&changes[..], [Change::Run { command, result }]
            if *command == expected && result.iter().all(|(_, must)| *must) && result.len() == 2));
        assert_eq!(entries, [Entry::Profile { name: PROFILE.to_owned() }]);

        all.root = Some("/image".to_owned());
        let (changes, _) = plan(&all).unwrap();
        assert!(
            matches!(&changes[..], [Change::Run { command, .. }] if command[..2] == ["chroot", "/image"])
        );

        for facts in [
            Facts { has_profile: false, ..all.clone() },
            facts(&[(DEBIAN[0], file(STACK)), (DEBIAN[1], managed)]),
        ] {
            let (changes, entries) = plan(&facts).unwrap();
            assert_eq!(changes.len(), 2);
            assert!(
                matches!(&changes[0], Change::Write { after, .. } if text(after).ends_with(&format!("{LINE}\n")))
            );
            assert!(matches!(&entries[0], Entry::Line { line, .. } if line == LINE));
        }
    }

    #[test]
    fn only_the_files_without_the_line_are_changed() {
        let with = file(&format!("{STACK}{LINE} debug\n"));
        let (changes, _) = plan(&facts(&[(FEDORA[0], with.clone()), (FEDORA[1], file(STACK))])).unwrap();
        assert!(matches!(&changes[..], [Change::Write { path, .. }] if path == FEDORA[1]));
        assert!(plan(&facts(&[(FEDORA[0], with.clone()), (FEDORA[1], with)])).unwrap().0.is_empty());
    }

    #[test]
    fn nothing_is_planned_for_a_module_that_is_not_there() {
        for (folder, helper) in [
            (Presence::Missing, Some(Presence::Good)),
            (Presence::Bad("x".to_owned()), Some(Presence::Good)),
            (Presence::Good, Some(Presence::Missing)),
            (Presence::Good, Some(Presence::Bad("x".to_owned()))),
            (Presence::Good, None),
        ] {
            let all = facts(&[(DEBIAN[0], file(STACK))]);
            let folders = vec![("/lib/security".to_owned(), folder.clone())];
            let refused = plan(&Facts { folders, helper: helper.clone(), ..all });
            assert!(
                refused.unwrap_err().to_string().contains("nobody could log in"),
                "{folder:?} {helper:?}"
            );
        }
    }
}
