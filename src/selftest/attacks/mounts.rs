//! At the view's mounts and root.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, StatVfsMountFlags};
use rustix::mount::{MountFlags, UnmountFlags};

use super::{Target, Told, allowed, any, open_to_write, own_folder, why};
use crate::selftest::room::{BAIT, numbers};
use crate::sys;

pub(super) fn mount(_: &Target<'_>) -> Told {
    allowed(rustix::mount::mount("none", "/", c"tmpfs", MountFlags::empty(), None), "it is mounted")
}

/// Where something is mounted, of what is seen here.
fn mount_points() -> Vec<String> {
    let table = sys::access::text_of("/proc/self/mountinfo").unwrap_or_default();
    table.lines().filter_map(|line| line.split(' ').nth(4)).map(str::to_owned).collect()
}

pub(super) fn umount(_: &Target<'_>) -> Told {
    // Whoever may has a copy of the mounts, of which nothing may be taken away either.
    let _ = sys::namespace::unshare_mounts();
    any(mount_points().into_iter().filter(|place| place != "/").map(|place| {
        let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
        allowed(rustix::mount::unmount(place.as_str(), flags), &format!("{place} was unmounted"))
    }))
}

pub(super) fn remount(_: &Target<'_>) -> Told {
    let _ = sys::namespace::unshare_mounts();
    any(mount_points().into_iter().filter_map(|place| {
        let flags = rustix::fs::statvfs(place.as_str()).ok()?.f_flag;
        // All that is there stays but for the one: for the others it would be refused as well.
        let others = [
            (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
            (StatVfsMountFlags::NODEV, MountFlags::NODEV),
            (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
            (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
            (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
            (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
        ];
        let kept = others.into_iter().filter(|(seen, _)| flags.contains(*seen)).map(|(_, kept)| kept);
        let kept = kept.fold(MountFlags::BIND, |all, one| all | one);
        flags.contains(StatVfsMountFlags::RDONLY).then(|| {
            let remounted = rustix::mount::mount_remount(place.as_str(), kept, c"");
            allowed(remounted, &format!("{place} is writable"))
        })
    }))
}

pub(super) fn write_system(_: &Target<'_>) -> Told {
    let files = ["/usr/bin/env", "/bin/sh", "/etc/passwd", "/etc/shadow", "/etc/ld.so.cache"];
    let folders = ["/", "/usr", "/usr/bin", "/usr/lib", "/etc"];
    any(files.map(open_to_write).into_iter().chain(folders.map(|folder| {
        // A file without a name: nobody sees it.
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        allowed(rustix::fs::open(folder, flags, Mode::RUSR), &format!("a file was made in {folder}"))
    })))
}

pub(super) fn own_program(_: &Target<'_>) -> Told {
    any(["/proc/self/exe", "/proc/1/exe"].map(open_to_write))
}

/// The oldest way: a directory that is left open outside of the new root is outside of it.
pub(super) fn chroot(target: &Target<'_>) -> Told {
    let folder = ["/tmp", "/usr", "/etc"].into_iter().find(|folder| Path::new(folder).is_dir());
    let Some(folder) = folder else { return Told::Untried("there is no folder".to_owned()) };
    if let Err(error) = rustix::process::chroot(folder) {
        return Told::Stopped(why(error));
    }
    for _ in 0..64 {
        let _ = rustix::process::chdir("..");
    }
    let relative = BAIT.trim_start_matches('/');
    any([target.read(relative), {
        let _ = rustix::process::chroot(".");
        target.read(BAIT)
    }])
}

pub(super) fn pivot(target: &Target<'_>) -> Told {
    let folder = own_folder();
    let pivoted = rustix::process::chdir(folder).and_then(|()| rustix::process::pivot_root(c".", c"."));
    match pivoted {
        // The old root lies on the new one: what is below both is what the view was built on.
        Ok(()) => any([target.read(BAIT.trim_start_matches('/')), target.read(BAIT), {
            let _ = rustix::mount::unmount(c".", UnmountFlags::DETACH);
            target.read(BAIT)
        }]),
        Err(errno) => Told::Stopped(why(errno)),
    }
}

pub(super) fn handle(target: &Target<'_>) -> Told {
    let Some((handle, root)) = &target.room.root else {
        return Told::Untried("the host's root is on a file system without handles".to_owned());
    };
    let shown = sys::path::open_root().ok().and_then(|place| numbers(place.as_fd()));
    if shown == Some(*root) {
        return Told::Untried("the view's root is the host's".to_owned());
    }
    any(mount_points().into_iter().map(|place| {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened: sys::Result<Option<OwnedFd>> = rustix::fs::open(place.as_str(), flags, Mode::empty())
            .map_err(|errno| sys::Error::new("open()", errno))
            .and_then(|place| sys::nsfs::open_file_handle(place.as_fd(), handle));
        match opened {
            Ok(Some(found)) if numbers(found.as_fd()) == Some(*root) => {
                Told::Through(format!("it was opened by way of {place}"))
            }
            Ok(_) => Told::Stopped("it is on another file system".to_owned()),
            Err(error) => Told::Stopped(error.reason()),
        }
    }))
}
