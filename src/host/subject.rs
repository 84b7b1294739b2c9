//! Looking a user up, once, before anything else happens.

use crate::error::{Error, ErrorKind};
use crate::model::name::UserName;
use crate::model::path::AbsPath;
use crate::model::subject::{Door, Subject};
use crate::sys;
use crate::sys::user::Account;

/// The user of that name.
pub fn subject(name: &str, door: Door) -> Result<Subject, Error> {
    let name = UserName::new(name).map_err(|error| {
        Error::new(ErrorKind::Request, "--user: not a user name")
            .caused_by(error)
            .help("give a name, not a number or a path")
    })?;
    match sys::user::by_name(name.as_str()) {
        Ok(Some(account)) => complete(account, door),
        Ok(None) => Err(Error::new(ErrorKind::Request, format!("this host knows no user {name}"))
            .help(format!("`getent passwd {name}` must print a line"))),
        Err(error) => Err(name_service(error)),
    }
}

/// The user that runs this process.
pub fn subject_of_caller(door: Door) -> Result<Subject, Error> {
    subject_of_uid(sys::user::own_uid(), door)
}

/// The user with this id.
pub fn subject_of_uid(uid: u32, door: Door) -> Result<Subject, Error> {
    match sys::user::by_uid(uid) {
        Ok(Some(account)) => complete(account, door),
        Ok(None) => Err(Error::new(ErrorKind::Request, format!("this host knows no user with uid {uid}"))
            .help("add the user, or name one with --user")),
        Err(error) => Err(name_service(error)),
    }
}

/// A user that nobody is: an id that the host knows no name for and that no process has, no groups, this home directory.
/// The ids tried are those that systemd lends to services, from the highest down.
pub fn throw_away(door: Door, home: AbsPath) -> Result<Subject, Error> {
    for uid in (61_184..=65_519).rev() {
        let is_known = sys::user::by_uid(uid).map_err(name_service)?.is_some()
            || sys::user::group_name(uid).map_err(name_service)?.is_some();
        let failed = |error| Error::new(ErrorKind::Host, "cannot look for processes").caused_by(error);
        if !is_known && sys::process::owned_by(uid).map_err(failed)?.is_empty() {
            let account = Account {
                name: "session-selftest".to_owned(),
                uid,
                gid: uid,
                home: Some(home.to_string()),
                shell: Some("/bin/sh".to_owned()),
            };
            return with_groups(account, vec![uid], None, door);
        }
    }
    Err(Error::new(ErrorKind::Host, "there is no user id left for a user that nobody is")
        .help("name a user with --user"))
}

fn name_service(error: sys::Error) -> Error {
    Error::new(ErrorKind::Host, "the user database cannot be read")
        .caused_by(error)
        .help("check /etc/nsswitch.conf and the services that it names")
}

fn complete(account: Account, door: Door) -> Result<Subject, Error> {
    let groups = sys::user::groups_of(&account.name, account.gid).map_err(name_service)?;
    let group_name = sys::user::group_name(account.gid).map_err(name_service)?;
    with_groups(account, groups, group_name, door)
}

/// The subject behind an account, if it can be one.
pub(super) fn with_groups(
    account: Account,
    mut groups: Vec<u32>,
    group_name: Option<String>,
    door: Door,
) -> Result<Subject, Error> {
    let Account { name, uid, gid, home, shell } = account;
    let unusable = |what: String| {
        Error::new(ErrorKind::Request, what)
            .help(format!("correct the entry of {name:?} in the user database"))
    };
    let user = UserName::new(&name)
        .map_err(|error| unusable(format!("the user database calls this user {name:?}")).caused_by(error))?;
    // (uid_t)-1 means "leave it as it is" to every call that takes one; 65535 is what 16-bit programs make of it.
    if [u32::MAX, 0xffff].contains(&uid) || [u32::MAX, 0xffff].contains(&gid) {
        return Err(unusable(format!("user {user} has uid {uid} and gid {gid}, one of which is no id")));
    }
    let path = |text: Option<String>, what: &str| match text {
        None => Err(unusable(format!("the {what} of {user} is not UTF-8 text"))),
        Some(text) => AbsPath::new(&text)
            .map_err(|error| unusable(format!("the {what} of {user} is {text:?}")).caused_by(error)),
    };
    let home = path(home.map(|home| if home.is_empty() { "/".to_owned() } else { home }), "home directory")?;
    let shell =
        path(shell.map(|shell| if shell.is_empty() { "/bin/sh".to_owned() } else { shell }), "login shell")?;
    groups.sort_unstable();
    groups.dedup();
    let group_name = group_name.unwrap_or_else(|| gid.to_string());
    Ok(Subject { name: user, uid, gid, groups, group_name, home, shell, door })
}
