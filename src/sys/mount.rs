//! The descriptor-based mount calls.
//!
//! | what | calls | since |
//! |---|---|---|
//! | a copy of a part of the host's tree | `open_tree(OPEN_TREE_CLONE)` | 5.2 |
//! | a new file system | `fsopen`, `fsconfig`, `fsmount` | 5.2 |
//! | its attributes, recursively | `mount_setattr` | 5.12 |
//! | attaching it | `move_mount` | 5.2 |
//! | the new root | `pivot_root` or `chroot` | |
//!
//! A [`Detached`] mount is visible to nobody: it is attached only once its attributes hold, so there is no moment at
//! which a bind of a user's tree stands there without `nosuid`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags,
};

use super::{Error, Result};

pub use rustix::mount::MountAttrFlags as Attributes;

/// A mount, or a tree of mounts, that is attached nowhere (yet). The descriptor stays usable as the mount's root
/// directory after [`attach`].
#[derive(Debug)]
pub struct Detached(OwnedFd);

impl AsFd for Detached {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for Detached {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl From<Detached> for OwnedFd {
    fn from(detached: Detached) -> Self {
        detached.0
    }
}

/// Whether a mount takes part in its source's mount events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// `MS_PRIVATE`.
    Private,
    /// `MS_SLAVE`: receives, never sends.
    Slave,
    /// `MS_SHARED`: copies of it in other mount namespaces receive what is mounted here, and send.
    Shared,
    /// `MS_UNBINDABLE`: private, and no bind copies it.
    Unbindable,
}

/// Copies the mount that holds `source`, from `source` down; with everything mounted below it when `recursive`.
pub fn clone_tree(source: BorrowedFd<'_>, recursive: bool) -> Result<Detached> {
    let mut flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    rustix::mount::open_tree(source, c"", flags)
        .map(Detached)
        .map_err(|errno| Error::new(format!("open_tree(fd, \"\", {flags:?})"), errno))
}

/// Makes a new file system of `kind` with the given parameters, with `attributes` on its mount.
pub fn new_filesystem(kind: &str, parameters: &[(&str, String)], attributes: Attributes) -> Result<Detached> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)
        .map_err(|errno| Error::new(format!("fsopen({kind:?})"), errno))?;
    let explain =
        |call: String, errno: Errno| Error::new(call, errno).with_kernel_log(&context_log(context.as_fd()));
    for (key, value) in parameters {
        let set = if value.is_empty() {
            rustix::mount::fsconfig_set_flag(context.as_fd(), *key)
        } else {
            rustix::mount::fsconfig_set_string(context.as_fd(), *key, value.as_str())
        };
        set.map_err(|errno| explain(format!("fsconfig({kind}, {key:?}, {value:?})"), errno))?;
    }
    rustix::mount::fsconfig_create(context.as_fd())
        .map_err(|errno| explain(format!("fsconfig({kind}, CMD_CREATE)"), errno))?;
    rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        .map(Detached)
        .map_err(|errno| explain(format!("fsmount({kind}, {attributes:?})"), errno))
}

/// As many messages as the kernel keeps of one context, and some more.
const MESSAGES_MAX: usize = 32;

/// What the kernel wrote about a failed file system context; one message per read.
fn context_log(context: BorrowedFd<'_>) -> String {
    let mut buffer = [0_u8; 4096];
    join_messages(|| rustix::io::read(context, &mut buffer).map(|length| buffer[..length].to_vec()))
}

/// All messages that `next` gives, until there are no more. One that does not fit into the buffer is lost, and the next
/// one is not.
fn join_messages(mut next: impl FnMut() -> std::result::Result<Vec<u8>, Errno>) -> String {
    let mut messages: Vec<String> = Vec::new();
    for _ in 0..MESSAGES_MAX {
        match next() {
            Ok(message) if message.is_empty() => break,
            // "e tmpfs: Bad value for 'size'": the letter is the severity.
            Ok(message) => {
                let text = String::from_utf8_lossy(&message);
                let text = text.trim_end();
                let known = ["e ", "w ", "i "].iter().find_map(|severity| text.strip_prefix(severity));
                messages.push(super::printable(known.unwrap_or(text)));
            }
            Err(Errno::MSGSIZE) => messages.push("a message that is too long".to_owned()),
            Err(Errno::INTR) => {}
            Err(_) => break,
        }
    }
    messages.join("; ")
}

/// Adds `attributes`, and sets the propagation, on a mount that this program holds, attached or not; on everything
/// below it when `recursive`. Takes no attribute away.
pub fn set_attributes(
    mount: BorrowedFd<'_>,
    attributes: Attributes,
    propagation: Option<Propagation>,
    recursive: bool,
) -> Result<()> {
    // Access times are one field of several values: it must be cleared before it is set.
    let clear = attributes & MountAttrFlags::MOUNT_ATTR_NOATIME;
    let clear = if clear.is_empty() { clear } else { MountAttrFlags::MOUNT_ATTR__ATIME };
    let request = libc::mount_attr {
        attr_set: u64::from(attributes.bits()),
        attr_clr: u64::from(clear.bits()),
        propagation: match propagation {
            None => 0,
            Some(Propagation::Private) => libc::MS_PRIVATE,
            Some(Propagation::Slave) => libc::MS_SLAVE,
            Some(Propagation::Shared) => libc::MS_SHARED,
            Some(Propagation::Unbindable) => libc::MS_UNBINDABLE,
        },
        userns_fd: 0,
    };
    mount_setattr(mount, &request, recursive).map_err(|errno| {
        Error::new(
            format!("mount_setattr(fd, recursive={recursive}, {attributes:?}, {propagation:?})"),
            errno,
        )
    })
}

fn mount_setattr(
    mount: BorrowedFd<'_>,
    request: &libc::mount_attr,
    recursive: bool,
) -> std::result::Result<(), Errno> {
    use std::os::fd::AsRawFd;
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a static NUL-terminated string, `request` is a live, initialised structure of the size
    // that is passed, and the call keeps neither.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(request),
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Is `/` what the base namespace has there: an empty read-only file system in memory that belongs to root?
pub fn expect_empty_root() -> Result<()> {
    use rustix::fs::{StatVfsMountFlags, fstatvfs};
    let root = super::path::open_directory_for_listing("/")?;
    let failed = |errno| Error::new("fstatvfs(\"/\")", errno);
    let read_only = fstatvfs(&root).map_err(failed)?.f_flag.contains(StatVfsMountFlags::RDONLY);
    let owner = super::path::status(root.as_fd())?.uid;
    if owner == 0 && read_only && super::path::is_tmpfs(root.as_fd())? && super::path::is_empty(root)? {
        return Ok(());
    }
    Err(Error::new("the base namespace does not have an empty read-only root of root's", Errno::XDEV))
}

/// Attaches `mount` on the directory or file behind `mountpoint`.
pub fn attach(mount: BorrowedFd<'_>, mountpoint: BorrowedFd<'_>) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, c"", mountpoint, c"", flags)
        .map_err(|errno| Error::new("move_mount(mount, mountpoint)", errno))
}

/// Attaches `mount`, a directory, on the directory `name` in `parent`. A symbolic link of that name is not followed, and
/// is no directory.
pub fn attach_at(mount: BorrowedFd<'_>, parent: BorrowedFd<'_>, name: &str) -> Result<()> {
    rustix::mount::move_mount(mount, c"", parent, name, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(|errno| Error::new(format!("move_mount(mount, {name:?})"), errno))
}

/// From here on nothing that happens in this mount namespace reaches another one.
pub fn stop_sending_mount_events() -> Result<()> {
    rustix::mount::mount_change(c"/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .map_err(|errno| Error::new("mount(\"/\", MS_SLAVE|MS_REC)", errno))
}

/// Makes the current directory, which must be a mount's root, the root of this mount namespace, and lets go of the
/// old one. The old root is stacked on the new one for a moment (`pivot_root(2)`, "pivot_root(\".\", \".\")"), so
/// no directory for it is needed.
pub fn pivot_to_current_directory() -> Result<()> {
    rustix::process::pivot_root(c".", c".").map_err(|errno| Error::new("pivot_root(\".\", \".\")", errno))?;
    rustix::mount::unmount(c".", UnmountFlags::DETACH)
        .map_err(|errno| Error::new("umount2(\".\", MNT_DETACH)", errno))
}

/// Unmounts what is mounted at the directory behind `mountpoint`, with all that is mounted below it.
pub fn detach(mountpoint: BorrowedFd<'_>) -> Result<()> {
    use std::os::fd::AsRawFd;
    // The magic link leads to the very mount that the descriptor stands on; no name is looked up again.
    let link = format!("/proc/self/fd/{}", mountpoint.as_raw_fd());
    rustix::mount::unmount(link.as_str(), UnmountFlags::DETACH)
        .map_err(|errno| Error::new(format!("umount2({link:?}, MNT_DETACH)"), errno))
}

/// Does the kernel know `fsopen` and its family? Asked with an empty name, which it must refuse.
pub(super) fn has_mount_descriptors() -> bool {
    !matches!(rustix::mount::fsopen(c"", FsOpenFlags::empty()), Err(Errno::NOSYS))
}

/// Does the kernel know `mount_setattr`? Asked to change nothing.
pub(super) fn has_mount_setattr() -> bool {
    let nothing = libc::mount_attr { attr_set: 0, attr_clr: 0, propagation: 0, userns_fd: 0 };
    !matches!(mount_setattr(rustix::fs::CWD, &nothing, false), Err(Errno::NOSYS))
}

/// What kind of file system a descriptor is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filesystem {
    /// Its number (`f_type`), where the kernel tells without asking the file system (6.8).
    pub magic: Option<u64>,
    /// Does it lie on one block device?
    pub on_device: bool,
}

/// On what kind of file system `fd` is. Unlike `fstatfs`, this asks no server, which may never answer.
pub fn filesystem_of(fd: BorrowedFd<'_>) -> Result<Filesystem> {
    let (number, stat) = unique_number(fd).map_err(|errno| Error::new("statx(fd, MNT_ID_UNIQUE)", errno))?;
    Ok(Filesystem { magic: number.and_then(magic_of), on_device: stat.stx_dev_major != 0 })
}

/// The number of the mount that `fd` is on, if the kernel gives one that is never used again (6.8): the only one that
/// `statmount` takes, which came with the same kernel.
fn unique_number(fd: BorrowedFd<'_>) -> std::result::Result<(Option<u64>, rustix::fs::Statx), Errno> {
    use rustix::fs::{AtFlags, StatxFlags};
    // STATX_MNT_ID_UNIQUE
    let wanted = StatxFlags::from_bits_retain(0x4000);
    let stat = rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, wanted)?;
    Ok(((stat.stx_mask & wanted.bits() != 0).then_some(stat.stx_mnt_id), stat))
}

/// Does `statx` give mounts numbers that are never used again? Asked for the current directory's.
pub(super) fn has_unique_numbers() -> bool {
    matches!(unique_number(rustix::fs::CWD), Ok((Some(_), _)))
}

/// Does `statmount` answer? Asked of the current directory's mount.
pub(super) fn has_statmount() -> bool {
    matches!(unique_number(rustix::fs::CWD), Ok((Some(number), _)) if magic_of(number).is_some())
}

/// Does `listmount` answer? Asked for one of all mounts.
pub(super) fn has_listmount() -> bool {
    #[cfg(any(target_arch = "mips", target_arch = "mips64"))]
    const LISTMOUNT: Option<libc::c_long> = None;
    #[cfg(not(any(target_arch = "mips", target_arch = "mips64")))]
    const LISTMOUNT: Option<libc::c_long> = Some(458);
    const LSMT_ROOT: u64 = u64::MAX;
    let Some(call) = LISTMOUNT else { return false };
    // struct mnt_id_req, as for `statmount`: its size, where to begin, after which mount.
    let request: [u64; 3] = [u64::from_ne_bytes(first_word(24)), LSMT_ROOT, 0];
    let mut number = 0_u64;
    // SAFETY: the call reads as many bytes of `request` as it says there, and writes the one number that it has room for.
    let result =
        unsafe { libc::syscall(call, request.as_ptr(), std::ptr::from_mut(&mut number), 1_usize, 0) };
    result >= 0
}

/// `statmount`, which no crate wraps, for the one number that is wanted here.
fn magic_of(mount: u64) -> Option<u64> {
    // The same on every machine but those that number all their calls apart.
    #[cfg(any(target_arch = "mips", target_arch = "mips64"))]
    const STATMOUNT: Option<libc::c_long> = None;
    #[cfg(not(any(target_arch = "mips", target_arch = "mips64")))]
    const STATMOUNT: Option<libc::c_long> = Some(457);
    const SB_BASIC: u64 = 1;
    // struct mnt_id_req, in its first size: that size, the mount, what is wanted.
    let request: [u64; 3] = [u64::from_ne_bytes(first_word(24)), mount, SB_BASIC];
    // struct statmount: size, what is there, device, magic, and more.
    let mut answer = [0_u64; 64];
    // SAFETY: the call reads as many bytes of `request` as it says there, and writes no more than the size it is given.
    let result =
        unsafe { libc::syscall(STATMOUNT?, request.as_ptr(), answer.as_mut_ptr(), size_of_val(&answer), 0) };
    (result == 0 && answer[1] & SB_BASIC != 0).then_some(answer[3])
}

/// Two 32-bit fields in a row, of which the second is 0.
fn first_word(first: u32) -> [u8; 8] {
    let mut word = [0; 8];
    word[..4].copy_from_slice(&first.to_ne_bytes());
    word
}

/// Does the kernel know this attribute? Asked about standard input by a flag that makes it fail on a descriptor:
/// unknown attributes are refused (EINVAL) before the descriptor is looked at (EBADF).
pub(super) fn has_nosymfollow() -> bool {
    let request = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_NOSYMFOLLOW,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: -2 is no descriptor and no special value; it is passed to be refused.
    let nowhere = unsafe { BorrowedFd::borrow_raw(-2) };
    !matches!(mount_setattr(nowhere, &request, false), Err(Errno::INVAL | Errno::NOSYS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_messages_of_the_kernel_are_shown_and_none_reaches_the_terminal_as_it_is() {
        let mut reads = [
            Ok(b"e tmpfs: Bad value for 'size'\n".to_vec()),
            Err(Errno::INTR),
            Err(Errno::MSGSIZE),
            Ok(b"w \x1b]0;x\x07\xff\xe2\x80\xae".to_vec()),
            Ok(b"i told\n".to_vec()),
            Ok(b"no severity".to_vec()),
            Err(Errno::NODATA),
            Ok(b"e after the end".to_vec()),
        ]
        .into_iter();
        assert_eq!(
            join_messages(|| reads.next().unwrap()),
            "tmpfs: Bad value for 'size'; a message that is too long; \\u{1b}]0;x\\u{7}\u{fffd}\\u{202e}; told; no severity"
        );
        assert!(join_messages(|| Ok(b"e x".to_vec())).len() < 4 * MESSAGES_MAX, "it comes to an end");
    }

    #[test]
    fn the_log_of_a_context_is_read_to_its_end() {
        // Only who may mount gets a context.
        let Ok(context) = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC) else { return };
        for value in ["one", "\u{1b}[2J"] {
            assert!(rustix::mount::fsconfig_set_string(context.as_fd(), "size", value).is_err());
            assert!(rustix::mount::fsconfig_set_string(context.as_fd(), value, "x").is_err());
        }
        let log = context_log(context.as_fd());
        assert!(log.contains("'size'") && log.contains("'one'"), "{log}");
        assert!(log.contains("\\u{1b}[2J") && !log.contains('\u{1b}'), "{log:?}");
    }
}
