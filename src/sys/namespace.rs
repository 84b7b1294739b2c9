//! Namespaces and the root directory.

use rustix::thread::UnshareFlags;

use super::{Error, Result};

/// Gives this process a mount namespace of its own: a copy of the one it is in.
pub fn unshare_mounts() -> Result<()> {
    unshare(UnshareFlags::NEWNS)
}

/// Gives this process a user namespace of its own, in which it has every capability.
pub fn unshare_users() -> Result<()> {
    unshare(UnshareFlags::NEWUSER)
}

fn unshare(flags: UnshareFlags) -> Result<()> {
    // SAFETY: CLONE_FILES is never among the flags, so descriptors that other parts of the program hold stay valid;
    // the other flags change no memory and no descriptor.
    let result = unsafe { rustix::thread::unshare_unsafe(flags) };
    result.map_err(|errno| Error::new(format!("unshare({flags:?})"), errno))
}

/// Makes the current directory `/` for this process.
pub fn change_root_to_current_directory() -> Result<()> {
    rustix::process::chroot(c".").map_err(|errno| Error::new("chroot(\".\")", errno))
}

/// Writes how the ids of `child`'s new user namespace map to the host's: one id each, the same inside and outside.
/// The kernel asks that `setgroups` be given up first, so that nobody sheds a group that denies something.
pub fn map_single_ids(child: rustix::process::Pid, uid: u32, gid: u32) -> Result<()> {
    let child = child.as_raw_nonzero();
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("{uid} {uid} 1\n")),
        ("gid_map", format!("{gid} {gid} 1\n")),
    ] {
        let path = format!("/proc/{child}/{file}");
        std::fs::write(&path, &text)
            .map_err(|error| Error::new(format!("write({path:?}, {text:?})"), error))?;
    }
    Ok(())
}

/// The set-id programs that map a user's subordinate ids, at the place where every distribution puts them.
const ID_MAP_HELPERS: [&str; 2] = ["/usr/bin/newuidmap", "/usr/bin/newgidmap"];

/// Are they there?
pub fn has_id_map_helpers() -> bool {
    ID_MAP_HELPERS.iter().all(|helper| rustix::fs::stat(*helper).is_ok_and(|stat| stat.st_uid == 0))
}

/// Has them map, besides the user's own ids, the given ranges (first, count), the same inside and outside.
pub fn map_id_ranges(
    child: rustix::process::Pid,
    (uid, uid_range): (u32, (u32, u32)),
    (gid, gid_range): (u32, (u32, u32)),
) -> Result<()> {
    for (helper, own, (first, count)) in
        [(ID_MAP_HELPERS[0], uid, uid_range), (ID_MAP_HELPERS[1], gid, gid_range)]
    {
        let numbers = [own, own, 1, first, first, count].map(|number| number.to_string());
        let output = std::process::Command::new(helper)
            .arg(child.as_raw_nonzero().to_string())
            .args(&numbers)
            .env_clear()
            .stdin(std::process::Stdio::null())
            .output()
            .map_err(|error| Error::new(helper, error))?;
        if !output.status.success() {
            let message = super::printable(String::from_utf8_lossy(&output.stderr).trim());
            return Err(Error::new(
                format!("{helper} {child:?} {}: {message}", numbers.join(" ")),
                rustix::io::Errno::PERM,
            ));
        }
    }
    Ok(())
}
