//! At rights that the user does not have.

use std::os::fd::AsFd;

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::{Target, Told, allowed, any, made, open_to_write, own_folder, why};
use crate::sys;
use crate::sys::attempt::Privileged;

pub(super) fn kernel_settings(_: &Target<'_>) -> Told {
    any([
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/modprobe",
        "/proc/sys/kernel/randomize_va_space",
        "/proc/sys/vm/overcommit_memory",
        "/proc/sys/fs/binfmt_misc/register",
        "/proc/sysrq-trigger",
        "/sys/kernel/uevent_helper",
        "/sys/kernel/mm/transparent_hugepage/enabled",
    ]
    .map(open_to_write))
}

pub(super) fn cgroup(_: &Target<'_>) -> Told {
    any([
        "/sys/fs/cgroup/cgroup.procs",
        "/sys/fs/cgroup/cgroup.subtree_control",
        "/sys/fs/cgroup/release_agent",
        "/sys/fs/cgroup/devices/devices.allow",
    ]
    .map(open_to_write))
}

pub(super) fn device(_: &Target<'_>) -> Told {
    let path = format!("{}/session-selftest-{}", own_folder(), rustix::process::getpid().as_raw_nonzero());
    let mode = Mode::RUSR | Mode::WUSR;
    // The first disk by any of the common drivers, and memory.
    let kinds = [
        (FileType::BlockDevice, 8, 0),
        (FileType::BlockDevice, 254, 0),
        (FileType::BlockDevice, 259, 0),
        (FileType::BlockDevice, 7, 0),
        (FileType::CharacterDevice, 1, 1),
    ];
    any(kinds.map(|(kind, major, minor)| {
        let numbers = rustix::fs::makedev(major, minor);
        match rustix::fs::mknodat(CWD, path.as_str(), kind, mode, numbers) {
            Ok(()) => {
                let opened =
                    rustix::fs::open(path.as_str(), OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty());
                let _ = std::fs::remove_file(&path);
                match opened {
                    // There is none, and it would have been opened.
                    Ok(_) | Err(Errno::NXIO | Errno::NODEV) => {
                        Told::Through(format!("device {major}:{minor} was made and opened"))
                    }
                    Err(errno) => Told::Stopped(why(errno)),
                }
            }
            Err(errno) => Told::Stopped(why(errno)),
        }
    }))
}

pub(super) fn disk(_: &Target<'_>) -> Told {
    use rustix::mount::{FsOpenFlags, fsconfig_create, fsopen};
    let _ = sys::namespace::unshare_mounts();
    let kinds = sys::access::text_of("/proc/filesystems").unwrap_or_default();
    let mut kinds: Vec<&str> =
        kinds.lines().filter(|line| !line.starts_with("nodev")).map(str::trim).collect();
    kinds.push("ext4");
    // Without a disk: the kernel looks whether the caller may, and then which one.
    any(kinds.into_iter().map(|kind| match fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC) {
        Err(errno) => Told::Stopped(why(errno)),
        Ok(context) => match fsconfig_create(context.as_fd()) {
            Err(Errno::PERM) => Told::Stopped(why(Errno::PERM)),
            _ => Told::Through(format!("a disk with {kind} would have been mounted")),
        },
    }))
}

pub(super) fn uid_0(_: &Target<'_>) -> Told {
    made(sys::identity::set_uid(0), "it is")
}

pub(super) fn gid_0(target: &Target<'_>) -> Told {
    if target.room.attacker.gid == 0 {
        return Told::Untried("it is the user's group".to_owned());
    }
    made(sys::identity::set_gid(0), "it is")
}

pub(super) fn groups(_: &Target<'_>) -> Told {
    made(sys::identity::set_groups(&[0]), "it has")
}

pub(super) fn capabilities(_: &Target<'_>) -> Told {
    const SYS_ADMIN: u64 = 1 << 21;
    match sys::attempt::gain(SYS_ADMIN) {
        Ok(()) => Told::Through("it is in use".to_owned()),
        Err(error) => Told::Stopped(error.reason()),
    }
}

pub(super) fn map_root(target: &Target<'_>) -> Told {
    if !target.room.attacker.alone {
        return Told::Untried("others have the user's id: it is tried without --user".to_owned());
    }
    // As after the start of a program: otherwise the file is root's.
    let _ = sys::process::hide_memory(false);
    if let Err(error) = sys::namespace::unshare_users() {
        return Told::Stopped(error.reason());
    }
    allowed(std::fs::write("/proc/self/uid_map", "0 0 1"), "it is mapped")
}

/// Whoever lacks the right is told so, before anything else is looked at.
pub(super) fn asked(what: Privileged) -> Told {
    match sys::attempt::ask_for(what) {
        Err(error) if [libc::EPERM, libc::EACCES, libc::ENOSYS].contains(&error.errno()) => {
            Told::Stopped(error.reason())
        }
        Err(error) => Told::Through(format!("it was not refused for want of rights ({})", error.reason())),
        Ok(()) => Told::Through("it was done".to_owned()),
    }
}

pub(super) fn stop_host(_: &Target<'_>) -> Told {
    any([Privileged::Reboot, Privileged::NameHost, Privileged::Swap].map(asked))
}
