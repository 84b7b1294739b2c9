//! Namespaces as files: what a descriptor of one tells, and how one is found again without a process.
//!
//! | what | call | since |
//! |---|---|---|
//! | a name for a living namespace that does not keep it alive | `name_to_handle_at`, `open_by_handle_at` | 6.18 |
//! | how many mounts a mount namespace holds | `ioctl(NS_MNT_GET_INFO)` | 6.12 |
//! | moving into one | `setns` with a namespace or a process | 3.0, 5.8 |

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, ThreadNameSpaceType};

use super::process::NewNamespaces;
use super::{Error, Result};

/// `NSFS_MAGIC`.
pub(super) const MAGIC: u64 = 0x6e73_6673;
/// `FD_NSFS_ROOT`: stands for the file system of namespaces where a mount's descriptor is asked for.
const NSFS_ROOT: libc::c_int = -10003;
/// As long as a handle of any file system gets.
const HANDLE_MAX: usize = 128;

/// What a namespace can be found by as long as it lives, and not a moment longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handle {
    /// The kernel's kind of handle.
    pub kind: i32,
    /// The handle.
    pub bytes: Vec<u8>,
}

/// `struct file_handle` with room for any handle.
#[repr(C)]
struct RawHandle {
    length: u32,
    kind: i32,
    bytes: [u8; HANDLE_MAX],
}

/// The namespace of this kind that this process is in.
pub fn own(kind: Kind) -> Result<OwnedFd> {
    open(&format!("/proc/self/ns/{}", kind.name()))
}

/// The number of the mount namespace that this process is in.
pub fn own_number() -> Result<u64> {
    const FILE: &str = "/proc/self/ns/mnt";
    rustix::fs::stat(FILE)
        .map(|stat| stat.st_ino)
        .map_err(|errno| Error::new(format!("stat({FILE:?})"), errno))
}

/// The mount namespace of the process whose folder in `/proc` this is.
pub fn mounts_at(folder: BorrowedFd<'_>) -> Result<OwnedFd> {
    rustix::fs::openat(folder, "ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::new("openat(/proc/PID, \"ns/mnt\")", errno))
}

fn open(path: &str) -> Result<OwnedFd> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::new(format!("open({path:?})"), errno))
}

/// Is this a descriptor of a mount namespace?
pub fn is_mount_namespace(fd: BorrowedFd<'_>) -> bool {
    const NS_GET_NSTYPE: libc::c_ulong = 0xb703;
    let on_nsfs = rustix::fs::fstatfs(fd).is_ok_and(|fs| u64::try_from(fs.f_type) == Ok(MAGIC));
    // SAFETY: the request takes no argument and changes nothing.
    on_nsfs && unsafe { libc::ioctl(fd.as_raw_fd(), NS_GET_NSTYPE as _) } == libc::CLONE_NEWNS
}

/// Does the namespace behind `fd` belong to the user namespace that this process is in?
pub fn is_of_own_users(fd: BorrowedFd<'_>) -> Result<bool> {
    const NS_GET_USERNS: libc::c_ulong = 0xb701;
    // SAFETY: the request takes no argument; what it gives is a new descriptor, close-on-exec.
    let owner = unsafe { libc::ioctl(fd.as_raw_fd(), NS_GET_USERNS as _) };
    if owner < 0 {
        // EPERM: one above ours.
        return Ok(false);
    }
    // SAFETY: the kernel has just made this descriptor for nobody else.
    let owner = unsafe { OwnedFd::from_raw_fd(owner) };
    Ok(number(owner.as_fd())? == number(open("/proc/self/ns/user")?.as_fd())?)
}

/// The number of the namespace behind `fd`: one of its own among those that live.
pub fn number(fd: BorrowedFd<'_>) -> Result<u64> {
    rustix::fs::fstat(fd).map(|stat| stat.st_ino).map_err(|errno| Error::new("fstat(namespace)", errno))
}

/// How many mounts this mount namespace holds; `None` where the kernel does not say (before 6.12).
pub fn mount_count(fd: BorrowedFd<'_>) -> Option<u32> {
    /// `struct mnt_ns_info`.
    #[repr(C)]
    #[derive(Default)]
    struct Info {
        size: u32,
        mounts: u32,
        id: u64,
    }
    // _IOR(0xb7, 10, struct mnt_ns_info)
    const NS_MNT_GET_INFO: libc::c_ulong = 0x8010_b70a;
    let mut info = Info { size: 16, ..Info::default() };
    // SAFETY: the structure is as long as the request says, lives through the call and is not kept.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), NS_MNT_GET_INFO as _, std::ptr::from_mut(&mut info)) };
    (result == 0).then_some(info.mounts)
}

/// The handle of the namespace behind `fd`; `None` where the kernel gives none (before 6.18).
pub fn handle(fd: BorrowedFd<'_>) -> Option<Handle> {
    // A kernel may know how to make a handle and not how to open it: only one that opens is one.
    file_handle(fd).filter(|handle| matches!(open_handle(handle), Ok(Some(_))))
}

/// The handle of the file behind `fd`, of whatever file system; `None` where it gives none.
pub fn file_handle(fd: BorrowedFd<'_>) -> Option<Handle> {
    let length = u32::try_from(HANDLE_MAX).ok()?;
    let mut raw = RawHandle { length, kind: 0, bytes: [0; HANDLE_MAX] };
    let mut mount = 0;
    // SAFETY: the path is a static string, the structure has the room that it says, and nothing is kept.
    let result = unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            fd.as_raw_fd(),
            c"".as_ptr(),
            std::ptr::from_mut(&mut raw),
            std::ptr::from_mut::<libc::c_int>(&mut mount),
            libc::AT_EMPTY_PATH,
        )
    };
    let bytes = raw.bytes.get(..usize::try_from(raw.length).ok()?)?.to_vec();
    (result == 0).then_some(Handle { kind: raw.kind, bytes })
}

/// Opens a namespace by its handle; `None` when it lives no more.
pub fn open_handle(handle: &Handle) -> Result<Option<OwnedFd>> {
    open_on(NSFS_ROOT, handle)
}

/// Opens a file by its handle, on the file system that `place` lies on; `None` when there is no such file.
pub fn open_file_handle(place: BorrowedFd<'_>, handle: &Handle) -> Result<Option<OwnedFd>> {
    open_on(place.as_raw_fd(), handle)
}

fn open_on(filesystem: libc::c_int, handle: &Handle) -> Result<Option<OwnedFd>> {
    let failed = |errno: Errno| Error::new(format!("open_by_handle_at({filesystem}, {handle:?})"), errno);
    let mut raw = RawHandle { length: 0, kind: handle.kind, bytes: [0; HANDLE_MAX] };
    let room = raw.bytes.get_mut(..handle.bytes.len()).ok_or_else(|| failed(Errno::INVAL))?;
    room.copy_from_slice(&handle.bytes);
    raw.length = u32::try_from(handle.bytes.len()).map_err(|_| failed(Errno::INVAL))?;
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    // SAFETY: the structure holds as many bytes as it says, and the call does not keep it.
    let result = unsafe {
        libc::syscall(libc::SYS_open_by_handle_at, filesystem, std::ptr::from_mut(&mut raw), flags)
    };
    match i32::try_from(result) {
        Ok(fd @ 0..) => {
            // SAFETY: the kernel has just made this descriptor for nobody else.
            Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }))
        }
        _ => match Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO) {
            Errno::STALE | Errno::NOENT => Ok(None),
            errno => Err(failed(errno)),
        },
    }
}

/// Moves this process into a mount namespace: `/` and the current directory become its root.
///
/// A process with several threads is refused by the kernel.
pub fn enter_mounts(namespace: BorrowedFd<'_>) -> Result<()> {
    rustix::thread::move_into_link_name_space(namespace, Some(LinkNameSpaceType::Mount))
        .map_err(|errno| Error::new("setns(fd, CLONE_NEWNS)", errno))
}

/// Moves this process into the mount namespace of the process behind `pidfd`.
pub fn enter_mounts_of(pidfd: BorrowedFd<'_>) -> Result<()> {
    enter_of(pidfd, ThreadNameSpaceType::MOUNT)
}

/// The same with these namespaces besides, all at once or none.
pub fn enter_mounts_and(pidfd: BorrowedFd<'_>, which: NewNamespaces) -> Result<()> {
    let mut all = ThreadNameSpaceType::MOUNT;
    for (wanted, kind) in [
        (which.ipc, ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION),
        (which.uts, ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME),
        (which.cgroup, ThreadNameSpaceType::CONTROL_GROUP),
        (which.net, ThreadNameSpaceType::NETWORK),
    ] {
        if wanted {
            all |= kind;
        }
    }
    enter_of(pidfd, all)
}

/// Has the children that this process makes from here on live in the PID namespace of the process behind `pidfd`.
pub fn enter_pids_of(pidfd: BorrowedFd<'_>) -> Result<()> {
    enter_of(pidfd, ThreadNameSpaceType::PROCESS_ID)
}

fn enter_of(pidfd: BorrowedFd<'_>, which: ThreadNameSpaceType) -> Result<()> {
    rustix::thread::move_into_thread_name_spaces(pidfd.as_fd(), which)
        .map_err(|errno| Error::new(format!("setns(pidfd, {which:?})"), errno))
}

/// The namespace of the process with this number; `None` when there is none.
pub fn of_number(pid: i32, kind: Kind) -> Result<Option<OwnedFd>> {
    match open(&kind.of(pid)) {
        Ok(namespace) => Ok(Some(namespace)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A kind of namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Mounts.
    Mounts,
    /// Process ids.
    Pids,
    /// Users and capabilities.
    Users,
}

impl Kind {
    /// Its name in `/proc/PID/ns`.
    fn name(self) -> &'static str {
        match self {
            Self::Mounts => "mnt",
            Self::Pids => "pid",
            Self::Users => "user",
        }
    }

    pub(super) fn of(self, pid: i32) -> String {
        format!("/proc/{pid}/ns/{}", self.name())
    }
}

/// Every process there is, and the number of its namespace of this kind.
pub fn everybody(kind: Kind) -> Result<Vec<(i32, u64)>> {
    let failed = |error| Error::new("read(\"/proc\")", error);
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process that ends meanwhile is in no namespace.
        found.extend(rustix::fs::stat(kind.of(pid)).map(|stat| (pid, stat.st_ino)));
    }
    Ok(found)
}

/// The numbers of the processes in this namespace. Looks at every process there is.
pub fn processes(namespace: BorrowedFd<'_>, kind: Kind) -> Result<Vec<i32>> {
    let wanted = number(namespace)?;
    let all = everybody(kind)?.into_iter();
    Ok(all.filter(|(_, number)| *number == wanted).map(|(pid, _)| pid).collect())
}

/// The mount namespaces of which the process with this number holds descriptors. Needs the right to trace it.
pub fn mounts_held_by(pid: i32) -> Result<Vec<OwnedFd>> {
    let folder = format!("/proc/{pid}/fd");
    let failed = |error| Error::new(format!("read({folder:?})"), error);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        // Others are not opened: opening a pipe is an event for whoever reads it.
        let text = std::fs::read_link(&path).map_err(failed)?;
        if text.to_string_lossy().starts_with("mnt:[") {
            found.push(open(&path.to_string_lossy())?);
        }
    }
    Ok(found)
}

/// Is the process with this number in this mount namespace?
pub fn is_process_in(pid: i32, namespace: BorrowedFd<'_>) -> Result<bool> {
    let wanted = number(namespace)?;
    Ok(rustix::fs::stat(Kind::Mounts.of(pid)).is_ok_and(|stat| stat.st_ino == wanted))
}

fn is_gone(error: &Error) -> bool {
    matches!(Errno::from_raw_os_error(error.errno()), Errno::NOENT | Errno::SRCH)
}
