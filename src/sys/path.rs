//! Opening and making paths without ever walking out of where one stands.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use super::{Error, Result};

/// How often an `openat2` that lost against a concurrent rename is tried again before it is given up.
const RETRIES: usize = 128;

/// What a descriptor stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link (opened itself, not followed).
    Symlink,
    /// A socket.
    Socket,
    /// A character or block device.
    Device,
    /// A named pipe.
    Fifo,
    /// Something else, an anonymous inode for instance.
    Other,
}

/// What `fstat` tells that anyone here needs.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    /// The kind of file.
    pub kind: Kind,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Permission bits, without the kind.
    pub mode: u32,
    /// Size in bytes.
    pub size: u64,
}

/// How far a lookup may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// A symbolic link anywhere is an error; the last component itself may be one and is then opened as a link.
    Refuse,
    /// Symbolic links are followed, links out of `/proc` are not.
    Follow,
}

/// Opens `relative` below `directory` as a place (`O_PATH`), never leaving `directory`, never through links of
/// `/proc/PID/fd`, and with no effect on what is opened: devices, pipes and network file systems are not touched.
pub fn open(directory: BorrowedFd<'_>, relative: &str, links: Links) -> Result<OwnedFd> {
    let (flags, resolve) = as_place(links);
    openat2(directory, relative, flags, resolve)
}

/// Like [`open`], for a directory, and waiting for what an automounter mounts there: without the wish for a directory
/// the kernel stops short of it at the end of a path.
pub fn open_mounted(directory: BorrowedFd<'_>, relative: &str, links: Links) -> Result<OwnedFd> {
    let (flags, resolve) = as_place(links);
    openat2(directory, relative, flags | OFlags::DIRECTORY, resolve)
}

/// Like [`open`], from what the kernel has in memory. `None` where it would have to ask a disk, a server or an
/// automounter.
pub fn open_cached(directory: BorrowedFd<'_>, relative: &str, links: Links) -> Result<Option<OwnedFd>> {
    let (flags, resolve) = as_place(links);
    let resolve = resolve | ResolveFlags::CACHED;
    match rustix::fs::openat2(directory, relative, flags, Mode::empty(), resolve) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(errno) => Err(Error::new(format!("openat2({relative:?}, {flags:?}, {resolve:?})"), errno)),
    }
}

fn as_place(links: Links) -> (OFlags, ResolveFlags) {
    let (flags, resolve) = (OFlags::PATH | OFlags::CLOEXEC, ResolveFlags::NO_MAGICLINKS);
    match links {
        Links::Refuse => {
            (flags | OFlags::NOFOLLOW, resolve | ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH)
        }
        Links::Follow => (flags, resolve | ResolveFlags::IN_ROOT),
    }
}

/// Opens the regular file `name` in `directory` for reading; a symbolic link is refused, a pipe does not block.
pub fn open_file(directory: BorrowedFd<'_>, name: &str) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    openat2(
        directory,
        name,
        flags,
        ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::BENEATH,
    )
}

/// Opens the directory `name` in `directory` for listing.
pub fn open_directory(directory: BorrowedFd<'_>, name: &str) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat2(
        directory,
        name,
        flags,
        ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::BENEATH,
    )
}

fn openat2(
    directory: BorrowedFd<'_>,
    relative: &str,
    flags: OFlags,
    resolve: ResolveFlags,
) -> Result<OwnedFd> {
    let mut attempt = 0;
    loop {
        match rustix::fs::openat2(directory, relative, flags, Mode::empty(), resolve) {
            // The kernel cannot tell whether a concurrent rename took the walk out of `directory`.
            Err(Errno::AGAIN | Errno::INTR) if attempt < RETRIES => attempt += 1,
            Err(errno) => {
                return Err(Error::new(format!("openat2({relative:?}, {flags:?}, {resolve:?})"), errno));
            }
            Ok(fd) => return Ok(fd),
        }
    }
}

/// `/` as this process sees it.
pub fn open_root() -> Result<OwnedFd> {
    open_place("/")
}

/// The directory `path`, which nobody but this program can have put there.
pub fn open_place(path: &str) -> Result<OwnedFd> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::new(format!("open({path:?}, O_PATH)"), errno))
}

/// The same, opened to be listed.
pub(super) fn open_directory_for_listing(path: &str) -> Result<OwnedFd> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::new(format!("open({path:?}, O_DIRECTORY)"), errno))
}

/// What `fd` stands on. Does not ask a network or FUSE server, which may never answer.
pub fn status(fd: BorrowedFd<'_>) -> Result<Status> {
    let wanted = StatxFlags::TYPE | StatxFlags::MODE | StatxFlags::UID | StatxFlags::GID | StatxFlags::SIZE;
    let stat = rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, wanted)
        .map_err(|errno| Error::new("statx(fd)", errno))?;
    let mode = u32::from(stat.stx_mode);
    let (uid, gid) = (stat.stx_uid, stat.stx_gid);
    Ok(Status { kind: Kind::of(mode), uid, gid, mode: mode & 0o7777, size: stat.stx_size })
}

/// Is `fd` the root of a mount, and which mount is it? The number is unique until the next boot where the kernel
/// has such numbers (6.8), and may be used again before that.
pub fn mount_of(fd: BorrowedFd<'_>) -> Result<(bool, u64)> {
    mount_by(fd, "", AtFlags::EMPTY_PATH).map_err(|errno| Error::new("statx(fd, MNT_ID)", errno))
}

/// The same for the directory `path`, which nobody but this program can have put there.
pub fn mount_at(path: &str) -> Result<(bool, u64)> {
    mount_by(rustix::fs::CWD, path, AtFlags::empty())
        .map_err(|errno| Error::new(format!("statx({path:?}, MNT_ID)"), errno))
}

fn mount_by(at: BorrowedFd<'_>, path: &str, flags: AtFlags) -> std::result::Result<(bool, u64), Errno> {
    // STATX_MNT_ID_UNIQUE. Older kernels ignore it and answer with what STATX_MNT_ID gives.
    let wanted = StatxFlags::from_bits_retain(0x4000) | StatxFlags::MNT_ID;
    let stat = rustix::fs::statx(at, path, flags | AtFlags::STATX_DONT_SYNC, wanted)?;
    Ok((stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT), stat.stx_mnt_id))
}

impl Kind {
    pub(super) fn of(mode: u32) -> Self {
        match FileType::from_raw_mode(mode) {
            FileType::Directory => Self::Directory,
            FileType::RegularFile => Self::File,
            FileType::Symlink => Self::Symlink,
            FileType::Socket => Self::Socket,
            FileType::CharacterDevice | FileType::BlockDevice => Self::Device,
            FileType::Fifo => Self::Fifo,
            FileType::Unknown => Self::Other,
        }
    }
}

/// The text of the symbolic link that `link` stands on.
pub fn link_text(link: BorrowedFd<'_>) -> Result<String> {
    let text =
        rustix::fs::readlinkat(link, c"", Vec::new()).map_err(|errno| Error::new("readlinkat(fd)", errno))?;
    text.into_string().map_err(|_| Error::new("readlinkat(fd): not UTF-8", Errno::ILSEQ))
}

/// Makes the directory `name` in `directory`. The umask must be 0 for the permission bits to be these; the set-id bits
/// are the parent's in any case.
pub fn make_directory(directory: BorrowedFd<'_>, name: &str, mode: u32) -> Result<()> {
    rustix::fs::mkdirat(directory, name, Mode::from_raw_mode(mode))
        .map_err(|errno| Error::new(format!("mkdirat({name:?}, 0{mode:o})"), errno))
}

/// Sets the permission bits of `name` in `directory`, which this program has just made.
pub fn set_mode(directory: BorrowedFd<'_>, name: &str, mode: u32) -> Result<()> {
    rustix::fs::chmodat(directory, name, Mode::from_raw_mode(mode), AtFlags::empty())
        .map_err(|errno| Error::new(format!("fchmodat({name:?}, 0{mode:o})"), errno))
}

/// Gives the open directory or file to a user, with these permission bits: owner first, because that takes set-id bits away.
pub fn settle(file: BorrowedFd<'_>, uid: u32, gid: u32, mode: u32) -> Result<()> {
    let (owner, group) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
    rustix::fs::fchown(file, Some(owner), Some(group))
        .map_err(|errno| Error::new(format!("fchown(fd, {uid}, {gid})"), errno))?;
    rustix::fs::fchmod(file, Mode::from_raw_mode(mode))
        .map_err(|errno| Error::new(format!("fchmod(fd, 0{mode:o})"), errno))
}

/// Removes the empty directory `name` from `directory`.
pub fn remove_directory(directory: BorrowedFd<'_>, name: &str) -> Result<()> {
    rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR)
        .map_err(|errno| Error::new(format!("unlinkat({name:?}, AT_REMOVEDIR)"), errno))
}

/// Gives `name` in `directory`, which this program has just made, to a user.
pub fn set_owner(directory: BorrowedFd<'_>, name: &str, uid: u32, gid: u32) -> Result<()> {
    let (owner, group) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
    rustix::fs::chownat(directory, name, Some(owner), Some(group), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|errno| Error::new(format!("fchownat({name:?}, {uid}, {gid})"), errno))
}

/// Makes the symbolic link `name` in `directory`.
pub fn make_symlink(directory: BorrowedFd<'_>, name: &str, to: &str) -> Result<()> {
    rustix::fs::symlinkat(to, directory, name)
        .map_err(|errno| Error::new(format!("symlinkat({to:?}, {name:?})"), errno))
}

/// Makes the file `name` in `directory`, which must not be there yet. The umask must be 0.
pub fn make_file(directory: BorrowedFd<'_>, name: &str, mode: u32, content: &[u8]) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(mode))
        .map_err(|errno| Error::new(format!("openat({name:?}, O_CREAT|O_EXCL, 0{mode:o})"), errno))?;
    write_all(file.as_fd(), content)
}

/// Makes the character device `name` in `directory`. The umask must be 0.
pub fn make_device(
    directory: BorrowedFd<'_>,
    name: &str,
    (major, minor): (u32, u32),
    mode: u32,
) -> Result<()> {
    let device = rustix::fs::makedev(major, minor);
    rustix::fs::mknodat(directory, name, FileType::CharacterDevice, Mode::from_raw_mode(mode), device)
        .map_err(|errno| Error::new(format!("mknodat({name:?}, {major}:{minor})"), errno))
}

/// Writes all of `content`.
pub fn write_all(file: BorrowedFd<'_>, mut content: &[u8]) -> Result<()> {
    while !content.is_empty() {
        match rustix::io::write(file, content) {
            Ok(written) => content = &content[written..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::new(format!("write({} bytes)", content.len()), errno)),
        }
    }
    Ok(())
}

/// Makes `directory` the current directory.
pub fn enter_directory(directory: BorrowedFd<'_>) -> Result<()> {
    rustix::process::fchdir(directory).map_err(|errno| Error::new("fchdir(fd)", errno))
}

/// Makes `path` the current directory.
pub fn change_directory(path: &str) -> Result<()> {
    rustix::process::chdir(path).map_err(|errno| Error::new(format!("chdir({path:?})"), errno))
}

/// Does the kernel know `openat2`?
pub(super) fn has_openat2() -> bool {
    let call = rustix::fs::openat2(rustix::fs::CWD, c"", OFlags::PATH, Mode::empty(), ResolveFlags::empty());
    !matches!(call, Err(Errno::NOSYS))
}

/// Opens for reading what `place` stands on, without looking its name up again.
pub fn reopen_for_reading(place: BorrowedFd<'_>) -> Result<OwnedFd> {
    use std::os::fd::AsRawFd;
    let link = format!("/proc/self/fd/{}", place.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(link.as_str(), flags, Mode::empty())
        .map_err(|errno| Error::new(format!("open({link:?}, O_RDONLY)"), errno))
}

/// The names in a directory, in no order. Names that are not UTF-8 are left out.
pub fn list(place: BorrowedFd<'_>) -> Result<Vec<String>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(place, ".", flags, Mode::empty())
        .map_err(|errno| Error::new("openat(fd, \".\")", errno))?;
    names_in(directory)
}

/// The same; a name that is not UTF-8 is there with a mark in place of what is not.
pub fn list_shown(place: BorrowedFd<'_>) -> Result<Vec<String>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(place, ".", flags, Mode::empty())
        .map_err(|errno| Error::new("openat(fd, \".\")", errno))?;
    read_names(directory, |name| Some(name.to_string_lossy().into_owned()))
}

fn names_in(directory: OwnedFd) -> Result<Vec<String>> {
    read_names(directory, |name| name.to_str().ok().map(str::to_owned))
}

fn read_names(directory: OwnedFd, as_text: impl Fn(&CStr) -> Option<String>) -> Result<Vec<String>> {
    let failed = |errno| Error::new("getdents64(fd)", errno);
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::new(directory).map_err(failed)? {
        let name = as_text(entry.map_err(failed)?.file_name());
        names.extend(name.filter(|name| name != "." && name != ".."));
    }
    Ok(names)
}

/// The directory `name` in `directory`, which nobody but its owner can look into; made if it is missing, refused if
/// it is anybody else's or open to others.
pub fn private_directory(directory: BorrowedFd<'_>, name: &str) -> Result<OwnedFd> {
    let opened = match open_directory(directory, name) {
        Err(error) if error.errno() == Errno::NOENT.raw_os_error() => {
            match rustix::fs::mkdirat(directory, name, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => open_directory(directory, name)?,
                Err(errno) => return Err(Error::new(format!("mkdirat({name:?}, 0700)"), errno)),
            }
        }
        other => other?,
    };
    let status = status(opened.as_fd())?;
    if status.uid != rustix::process::geteuid().as_raw() || status.mode & 0o077 != 0 {
        let what = format!("{name:?} belongs to uid {} with mode 0{:o}", status.uid, status.mode);
        return Err(Error::new(what, Errno::PERM));
    }
    Ok(opened)
}

/// The content of `name` in `directory`; `None` when it is not there.
pub fn read_if_there(directory: BorrowedFd<'_>, name: &str) -> Result<Option<Vec<u8>>> {
    let file = match open_file(directory, name) {
        Ok(file) => file,
        Err(error) if error.errno() == Errno::NOENT.raw_os_error() => return Ok(None),
        Err(error) => return Err(error),
    };
    read_all(file.as_fd()).map(Some).map_err(|errno| Error::new(format!("read({name:?})"), errno))
}

/// The content of a small open file.
pub fn read_open(file: BorrowedFd<'_>) -> Result<Vec<u8>> {
    read_all(file).map_err(|errno| Error::new("read(fd)", errno))
}

/// Reads a small file to its end. (What the standard library does for a file of unknown size, as those in `/proc` are,
/// takes three times as many calls.)
pub(super) fn read_all(file: BorrowedFd<'_>) -> std::result::Result<Vec<u8>, Errno> {
    const STEP: usize = 4096;
    let mut content = vec![0; STEP];
    let mut length = 0;
    loop {
        match rustix::io::read(file, &mut content[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        if length == content.len() {
            content.resize(length + STEP, 0);
        }
    }
    content.truncate(length);
    Ok(content)
}

/// What [`replace_file`] calls the new file until it takes the old one's name.
pub fn new_name(name: &str) -> String {
    format!("{name}.new")
}

/// Puts a file with this content at `name` in `directory`, in place of what is there: a reader sees the old one or
/// the new one, also after a crash.
pub fn replace_file(directory: BorrowedFd<'_>, name: &str, content: &[u8]) -> Result<()> {
    let new = new_name(name);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, new.as_str(), flags, Mode::RUSR | Mode::WUSR)
        .map_err(|errno| Error::new(format!("openat({new:?}, O_CREAT|O_TRUNC)"), errno))?;
    write_all(file.as_fd(), content)?;
    rustix::fs::renameat(directory, new.as_str(), directory, name)
        .map_err(|errno| Error::new(format!("renameat({new:?}, {name:?})"), errno))
}

/// Removes the file `name` from `directory`, if it is there.
pub fn remove_if_there(directory: BorrowedFd<'_>, name: &str) -> Result<()> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(Error::new(format!("unlinkat({name:?})"), errno)),
    }
}

/// Is there anything of that name in `directory`?
pub fn is_there(directory: BorrowedFd<'_>, name: &str) -> Result<bool> {
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(Error::new(format!("fstatat({name:?})"), errno)),
    }
}

/// Does the open file still have a name?
pub fn is_linked(file: BorrowedFd<'_>) -> Result<bool> {
    rustix::fs::fstat(file).map(|stat| stat.st_nlink > 0).map_err(|errno| Error::new("fstat(fd)", errno))
}

/// Takes the number in the file `name` and leaves the next one there; never 0. What cannot be read counts as 1. Two
/// callers at the same time may get the same.
pub fn take_number(directory: BorrowedFd<'_>, name: &str) -> Result<u32> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, name, flags, Mode::RUSR | Mode::WUSR)
        .map_err(|errno| Error::new(format!("openat({name:?}, O_CREAT)"), errno))?;
    let mut text = [0; 10];
    let length = rustix::io::pread(&file, &mut text, 0)
        .map_err(|errno| Error::new(format!("pread({name:?})"), errno))?;
    let number = std::str::from_utf8(&text[..length]).ok().and_then(|text| text.parse().ok());
    let number: u32 = number.unwrap_or(1).max(1);
    // As long each time, so that nothing has to be cut off.
    let next = format!("{:010}", number.wrapping_add(1));
    rustix::io::pwrite(&file, next.as_bytes(), 0)
        .map_err(|errno| Error::new(format!("pwrite({name:?})"), errno))?;
    Ok(number)
}

/// Makes the directory `name` in `directory` and opens it; `None` when there is something of that name.
pub fn new_directory(directory: BorrowedFd<'_>, name: &str, mode: u32) -> Result<Option<OwnedFd>> {
    match rustix::fs::mkdirat(directory, name, Mode::from_raw_mode(mode)) {
        Ok(()) => open_directory(directory, name).map(Some),
        Err(Errno::EXIST) => Ok(None),
        Err(errno) => Err(Error::new(format!("mkdirat({name:?}, 0{mode:o})"), errno)),
    }
}

/// Writes the file `name` in `directory`, made for this user alone if it is missing, in place: a reader may see a part of
/// it.
pub fn write_file(directory: BorrowedFd<'_>, name: &str, content: &[u8]) -> Result<()> {
    write_file_with(directory, name, content, 0o600)
}

/// The same, made with these permission bits, as far as the umask lets them be.
pub fn write_file_with(directory: BorrowedFd<'_>, name: &str, content: &[u8], mode: u32) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(mode))
        .map_err(|errno| Error::new(format!("openat({name:?}, O_CREAT|O_TRUNC)"), errno))?;
    write_all(file.as_fd(), content)
}

/// Gives `old` in `directory` the name `new`, unless something has that name: then `false`.
pub fn rename_to_new(directory: BorrowedFd<'_>, old: &str, new: &str) -> Result<bool> {
    match rustix::fs::renameat_with(directory, old, directory, new, rustix::fs::RenameFlags::NOREPLACE) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST | Errno::NOTEMPTY) => Ok(false),
        Err(errno) => Err(Error::new(format!("renameat2({old:?}, {new:?}, NOREPLACE)"), errno)),
    }
}

/// Does it lie on a file system in memory?
pub fn is_tmpfs(fd: BorrowedFd<'_>) -> Result<bool> {
    const TMPFS_MAGIC: u64 = 0x0102_1994;
    let fs = rustix::fs::fstatfs(fd).map_err(|errno| Error::new("fstatfs(fd)", errno))?;
    Ok(u64::try_from(fs.f_type) == Ok(TMPFS_MAGIC))
}

/// Is there nothing in this directory, which was opened for listing?
pub(super) fn is_empty(directory: OwnedFd) -> Result<bool> {
    Ok(names_in(directory)?.is_empty())
}

/// Is `name` in `directory` the open file `file`?
pub fn is_same_file(file: BorrowedFd<'_>, directory: BorrowedFd<'_>, name: &str) -> Result<bool> {
    let own = rustix::fs::fstat(file).map_err(|errno| Error::new("fstat(fd)", errno))?;
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(named) => Ok((named.st_dev, named.st_ino) == (own.st_dev, own.st_ino)),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(Error::new(format!("fstatat({name:?})"), errno)),
    }
}
