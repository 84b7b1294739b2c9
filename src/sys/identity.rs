//! Becoming a user, for good or for the length of one call, and proving it.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::thread::{Gid, Uid};

use super::{Error, Result};

/// Replaces the supplementary groups.
pub fn set_groups(groups: &[u32]) -> Result<()> {
    let ids: Vec<Gid> = groups.iter().map(|&gid| Gid::from_raw(gid)).collect();
    rustix::thread::set_thread_groups(&ids)
        .map_err(|errno| Error::new(format!("setgroups({} groups)", groups.len()), errno))
}

/// The supplementary groups of this process.
pub fn groups() -> Result<Vec<u32>> {
    let groups = nix::unistd::getgroups().map_err(|errno| Error::new("getgroups()", errno))?;
    Ok(groups.into_iter().map(nix::unistd::Gid::as_raw).collect())
}

/// Takes off what is left of the caller's identity where a set-user-id program (`su`, `sudo`) has started this one as
/// root: the real ids and the groups. Refused to anybody else.
pub fn become_fully_root() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::new("geteuid(): not root", Errno::PERM));
    }
    set_groups(&[])?;
    set_gid(0)?;
    set_uid(0)
}

/// Sets the real, effective and saved group id.
pub fn set_gid(gid: u32) -> Result<()> {
    let id = Gid::from_raw(gid);
    rustix::thread::set_thread_res_gid(id, id, id)
        .map_err(|errno| Error::new(format!("setresgid({gid})"), errno))
}

/// Sets the real, effective and saved user id. From root to anybody else this ends all capabilities in use.
pub fn set_uid(uid: u32) -> Result<()> {
    let id = Uid::from_raw(uid);
    rustix::thread::set_thread_res_uid(id, id, id)
        .map_err(|errno| Error::new(format!("setresuid({uid})"), errno))
}

/// Runs `lookup` with the file access rights of a user: the kernel checks that user's permissions, and a network
/// file system that does not trust root sees the user. Capabilities that are not about files stay.
///
/// The process must be single-threaded and root.
pub fn with_file_rights_of<T, E: From<Error>>(
    uid: u32,
    gid: u32,
    groups: &[u32],
    lookup: impl FnOnce() -> std::result::Result<T, E>,
) -> std::result::Result<T, E> {
    let own_groups = self::groups()?;
    let own_uid = rustix::process::geteuid().as_raw();
    let own_gid = rustix::process::getegid().as_raw();
    set_groups(groups)?;
    let result = set_filesystem_ids(uid, gid).map_err(E::from).and_then(|()| lookup());
    // Back to the own rights before anything else; a failure here outranks whatever the lookup said.
    set_filesystem_ids(own_uid, own_gid)?;
    set_groups(&own_groups)?;
    result
}

fn set_filesystem_ids(uid: u32, gid: u32) -> Result<()> {
    // The group first: whoever is no longer root cannot change it. On the way back the user first, for that reason.
    let order: [(libc::c_long, u32); 2] = if uid == 0 {
        [(libc::SYS_setfsuid, uid), (libc::SYS_setfsgid, gid)]
    } else {
        [(libc::SYS_setfsgid, gid), (libc::SYS_setfsuid, uid)]
    };
    for (call, id) in order {
        // SAFETY: both calls take one number and touch no memory. They affect this thread alone.
        unsafe { libc::syscall(call, id) };
        // They report no error: they return the id that held before, so asking with an invalid id reads it back.
        // SAFETY: as above; -1 is no id and changes nothing.
        let now = unsafe { libc::syscall(call, -1) };
        if now != libc::c_long::from(id) {
            return Err(Error::new(format!("setfsuid/setfsgid({id})"), Errno::PERM));
        }
    }
    Ok(())
}

/// Leaves the caller's session keyring, whose holder could read every key in it, for a new and empty one of this
/// process's own user.
pub fn leave_keyring() -> Result<()> {
    const JOIN_SESSION_KEYRING: libc::c_int = 1;
    let nameless = std::ptr::null::<libc::c_char>();
    // SAFETY: the name may be absent; the call keeps no pointer.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, nameless) };
    let error = std::io::Error::last_os_error();
    match (result, error.raw_os_error()) {
        // A kernel without keyrings has none to leave; and a filter of system calls, as containers have, that keeps us
        // from keyrings is inherited, and keeps the program from them too.
        (-1, Some(libc::ENOSYS | libc::EPERM)) => Ok(()),
        (-1, _) => Err(Error::new("keyctl(KEYCTL_JOIN_SESSION_KEYRING)", error)),
        _ => Ok(()),
    }
}

/// Does no program that this process starts gain rights?
pub fn has_no_new_privs() -> bool {
    rustix::thread::no_new_privs().unwrap_or(false)
}

/// Are there keyrings, and may this process have any? Asked which of their functions the kernel has (5.3).
pub(super) fn has_keyrings() -> bool {
    const CAPABILITIES: libc::c_int = 31;
    let nowhere = std::ptr::null_mut::<libc::c_char>();
    // SAFETY: the room for the answer is said to be none, so that the call writes nothing.
    unsafe { libc::syscall(libc::SYS_keyctl, CAPABILITIES, nowhere, 0_usize) >= 0 }
}

/// What `/proc/self/status` says of the process that opened it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Real, effective, saved and file system user id.
    pub uids: [u32; 4],
    /// Real, effective, saved and file system group id.
    pub gids: [u32; 4],
    /// Supplementary groups, sorted.
    pub groups: Vec<u32>,
    /// Inheritable, permitted, effective, ambient capabilities.
    pub capabilities: [u64; 4],
    /// The bounding set.
    pub bounding: u64,
    /// Is no_new_privs set?
    pub no_new_privs: bool,
    /// Is there a seccomp filter?
    pub filtered: bool,
}

/// `/proc/self/status`, opened while the host's `/proc` can still be seen, to be read when the identity has changed.
/// A descriptor tells of the process that opened it: open it after the last fork.
#[derive(Debug)]
pub struct StatusFile(OwnedFd);

impl StatusFile {
    /// Opens it. Only ever a file of procfs, whatever is mounted at `/proc`.
    pub fn open() -> Result<Self> {
        const PROC_SUPER_MAGIC: u64 = 0x9fa0;
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
        let file = rustix::fs::open(c"/proc/self/status", flags, rustix::fs::Mode::empty())
            .map_err(|errno| Error::new("open(\"/proc/self/status\")", errno))?;
        let fs = rustix::fs::fstatfs(&file)
            .map_err(|errno| Error::new("fstatfs(\"/proc/self/status\")", errno))?;
        if u64::try_from(fs.f_type) != Ok(PROC_SUPER_MAGIC) {
            return Err(Error::new("open(\"/proc/self/status\"): not a file of procfs", Errno::INVAL));
        }
        Ok(Self(file))
    }

    /// Reads it as it is now.
    pub fn read(self) -> Result<Credentials> {
        let text = super::path::read_all(self.0.as_fd())
            .map_err(|errno| Error::new("read(\"/proc/self/status\")", errno))?;
        // A process's name, alone in this file, may be anything.
        Credentials::parse(&String::from_utf8_lossy(&text))
            .ok_or_else(|| Error::new("read(\"/proc/self/status\"): not what was expected", Errno::INVAL))
    }
}

impl Credentials {
    /// Takes the ten lines that matter out of some sixty; each but that about seccomp must be there. (A general parser of this file costs a
    /// login more than all mounts of a small map.)
    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(str::split_ascii_whitespace)
        };
        let ids = |name| -> Option<[u32; 4]> {
            let ids: Vec<u32> = field(name)?.map(|id| id.parse().ok()).collect::<Option<_>>()?;
            ids.try_into().ok()
        };
        let set = |name| u64::from_str_radix(field(name)?.next()?, 16).ok();
        let mut groups: Vec<u32> = field("Groups")?.map(|id| id.parse().ok()).collect::<Option<_>>()?;
        groups.sort_unstable();
        groups.dedup();
        Some(Self {
            uids: ids("Uid")?,
            gids: ids("Gid")?,
            groups,
            capabilities: [set("CapInh")?, set("CapPrm")?, set("CapEff")?, set("CapAmb")?],
            bounding: set("CapBnd")?,
            no_new_privs: field("NoNewPrivs")?.next()? == "1",
            // Missing where the kernel has no seccomp.
            filtered: field("Seccomp").and_then(|mut mode| mode.next()) == Some("2"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_file_of_this_process_is_understood() {
        let status = StatusFile::open().unwrap().read().unwrap();
        assert_eq!(status.uids[1], rustix::process::geteuid().as_raw());
        assert_eq!(status.gids[1], rustix::process::getegid().as_raw());
        let mut own = groups().unwrap();
        own.sort_unstable();
        own.dedup();
        assert_eq!(status.groups, own);
    }

    #[test]
    fn a_missing_or_damaged_line_is_no_proof() {
        let whole = "Uid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t9 3 \nNoNewPrivs:\t1\nCapInh:\t0\n\
                     CapPrm:\t00000000000000ff\nCapEff:\t1\nCapBnd:\t400\nCapAmb:\t2\n";
        let read = Credentials::parse(whole).unwrap();
        assert_eq!((read.uids, read.gids, read.groups.as_slice()), ([1, 2, 3, 4], [5, 6, 7, 8], &[3, 9][..]));
        assert_eq!((read.capabilities, read.bounding, read.no_new_privs), ([0, 0xff, 1, 2], 0x400, true));
        for line in whole.lines() {
            assert_eq!(Credentials::parse(&whole.replace(line, "")), None, "without {line:?}");
        }
        assert_eq!(Credentials::parse(&whole.replace("Uid:\t1", "Uid:\tx")), None);
    }
}
