//! Users and groups, through the host's name services. Only ever called before the root is switched.

use std::ffi::CString;
use std::sync::{Mutex, PoisonError};

use nix::unistd::{Gid, Group, Uid, User};
use rustix::io::Errno;

use super::{Error, Result};

/// A user database entry.
#[derive(Clone, Debug)]
pub struct Account {
    /// The name as the database has it.
    pub name: String,
    /// The user id.
    pub uid: u32,
    /// The primary group id.
    pub gid: u32,
    /// The home directory's bytes, as text where they are.
    pub home: Option<String>,
    /// The login shell; empty where the entry has none.
    pub shell: Option<String>,
}

impl From<User> for Account {
    fn from(user: User) -> Self {
        Self {
            name: user.name,
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            home: user.dir.into_os_string().into_string().ok(),
            shell: user.shell.into_os_string().into_string().ok(),
        }
    }
}

/// The account of that name.
pub fn by_name(name: &str) -> Result<Option<Account>> {
    User::from_name(name)
        .map(|user| user.map(Account::from))
        .map_err(|errno| Error::new(format!("getpwnam_r({name:?})"), errno))
}

/// The account of that id.
pub fn by_uid(uid: u32) -> Result<Option<Account>> {
    User::from_uid(Uid::from_raw(uid))
        .map(|user| user.map(Account::from))
        .map_err(|errno| Error::new(format!("getpwuid_r({uid})"), errno))
}

/// All groups of a user, the given primary one included.
pub fn groups_of(name: &str, gid: u32) -> Result<Vec<u32>> {
    let name_c =
        CString::new(name).map_err(|_| Error::new(format!("getgrouplist({name:?})"), Errno::INVAL))?;
    nix::unistd::getgrouplist(&name_c, Gid::from_raw(gid))
        .map(|groups| groups.into_iter().map(Gid::as_raw).collect())
        .map_err(|errno| Error::new(format!("getgrouplist({name:?}, {gid})"), errno))
}

/// The id of the group of that name.
pub fn group_id(name: &str) -> Result<Option<u32>> {
    Group::from_name(name)
        .map(|group| group.map(|group| group.gid.as_raw()))
        .map_err(|errno| Error::new(format!("getgrnam_r({name:?})"), errno))
}

/// The name of the group of that id.
pub fn group_name(gid: u32) -> Result<Option<String>> {
    Group::from_gid(Gid::from_raw(gid))
        .map(|group| group.map(|group| group.name))
        .map_err(|errno| Error::new(format!("getgrgid_r({gid})"), errno))
}

/// The id of this process. (The real one is the same: see [`has_lent_rights`].)
pub fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Does this process have rights that its caller lacks, from a set-user-id or set-group-id bit of its program?
/// (Capabilities of its file do not make a process root, and are given up like all others. AT_SECURE would be no
/// answer: a change of the SELinux domain, as a login makes one, sets it as well.)
pub fn has_lent_rights() -> bool {
    use rustix::process::{getegid, geteuid, getgid, getuid};
    getuid() != geteuid() || getgid() != getegid()
}

/// Held by whoever goes through a list of the C library's, of which there is one place for all.
static LIST: Mutex<()> = Mutex::new(());

/// Everybody whom the host's name services list. A directory service may list nobody and know everybody by name.
pub fn everybody() -> Vec<Account> {
    let mut found = Vec::new();
    let _lock = LIST.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: nobody else goes through the list meanwhile: nobody without the lock.
    unsafe { libc::setpwent() };
    loop {
        // SAFETY: as above. What is pointed to holds until the next call.
        let entry = unsafe { libc::getpwent() };
        // SAFETY: null, or an entry that stays as it is until the next call.
        let Some(entry) = (unsafe { entry.as_ref() }) else { break };
        let (Some(name), home, shell) = (text(entry.pw_name), text(entry.pw_dir), text(entry.pw_shell))
        else {
            continue;
        };
        found.push(Account { name, uid: entry.pw_uid, gid: entry.pw_gid, home, shell });
    }
    // SAFETY: as at the beginning.
    unsafe { libc::endpwent() };
    found
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupEntry {
    /// Its name.
    pub name: String,
    /// Its id.
    pub gid: u32,
    /// Who is in it besides those whose primary group it is.
    pub members: Vec<String>,
}

/// Every group that the host's name services list.
pub fn groups() -> Vec<GroupEntry> {
    let mut found = Vec::new();
    let _lock = LIST.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: as in `everybody`.
    unsafe { libc::setgrent() };
    loop {
        // SAFETY: as in `everybody`.
        let entry = unsafe { libc::getgrent() };
        // SAFETY: null, or an entry that stays as it is until the next call.
        let Some(entry) = (unsafe { entry.as_ref() }) else { break };
        let Some(name) = text(entry.gr_name) else { continue };
        let mut members = Vec::new();
        let mut next = entry.gr_mem;
        while !next.is_null() {
            // SAFETY: the list of pointers ends with a null pointer, which the loop stops at.
            let member = unsafe { *next };
            if member.is_null() {
                break;
            }
            members.extend(text(member));
            // SAFETY: there is another pointer behind every one that is not null.
            next = unsafe { next.add(1) };
        }
        found.push(GroupEntry { name, gid: entry.gr_gid, members });
    }
    // SAFETY: as in `everybody`.
    unsafe { libc::endgrent() };
    found
}

/// A text of the C library's, where it is UTF-8.
fn text(pointer: *const libc::c_char) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: a text of an entry of the user database ends with a zero, and stays as it is until the next call.
    let text = unsafe { std::ffi::CStr::from_ptr(pointer) };
    text.to_str().ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_on_every_list() {
        let root = everybody().into_iter().find(|account| account.uid == 0).unwrap();
        assert_eq!((root.name.as_str(), root.gid), ("root", 0));
        assert!(groups().iter().any(|group| group.gid == 0));
    }
}
