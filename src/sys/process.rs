//! Processes: making them, ending them, becoming another program.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::sched::CloneFlags;
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Pid, Signal};

use super::memory::{Memory, Share};
use super::nsfs::Kind;
use super::{Error, Result};

/// Which side of a fork this is.
#[derive(Debug)]
pub enum Fork {
    /// The new process.
    Child,
    /// The old one, with the child's id.
    Parent(Pid),
}

/// Makes a child, which is process 1 of a new PID namespace, or lives in a new user namespace, when `into` says so.
///
/// The process must have one thread only (checked): another thread's locks would stay locked in the child for ever.
pub fn fork(into: NewNamespaces) -> Result<Fork> {
    // "task" has one sub-directory for each thread, and each counts as a link.
    let links = rustix::fs::stat(c"/proc/self/task").map(|stat| stat.st_nlink);
    if !matches!(links, Ok(3) | Err(_)) {
        return Err(Error::new("clone() in a process with several threads", Errno::DEADLK));
    }
    let mut flags = libc::SIGCHLD;
    for (wanted, flag) in [
        (into.pid, libc::CLONE_NEWPID),
        (into.user, libc::CLONE_NEWUSER),
        (into.ipc, libc::CLONE_NEWIPC),
        (into.uts, libc::CLONE_NEWUTS),
        (into.cgroup, libc::CLONE_NEWCGROUP),
        (into.net, libc::CLONE_NEWNET),
    ] {
        if wanted {
            flags |= flag;
        }
    }
    // SAFETY: without CLONE_VM and a stack this is fork(2). There is no other thread, so the child's copy of the
    // memory is consistent and no lock is held. The C library keeps no copy of the process id that would be stale.
    let result = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    match i32::try_from(result) {
        Ok(0) => Ok(Fork::Child),
        Ok(pid) if pid > 0 => {
            Pid::from_raw(pid).map(Fork::Parent).ok_or_else(|| Error::new("clone()", Errno::INVAL))
        }
        _ => Err(Error::new(format!("clone({into:?})"), std::io::Error::last_os_error())),
    }
}

/// The namespaces that a child is born into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewNamespaces {
    /// Process ids.
    pub pid: bool,
    /// Users and capabilities.
    pub user: bool,
    /// Shared memory and its relatives.
    pub ipc: bool,
    /// The host's name.
    pub uts: bool,
    /// Control groups.
    pub cgroup: bool,
    /// Network.
    pub net: bool,
}

/// Has a child make something and send it: `work` runs there and writes to the socket. Returns what was sent, bytes and a
/// descriptor; nothing at all when the child was killed. The child ends with this process.
pub fn from_child(work: impl FnOnce(BorrowedFd<'_>)) -> Result<(Vec<u8>, Option<OwnedFd>)> {
    let (ours, theirs) = super::fd::socket_pair()?;
    match fork(NewNamespaces::default())? {
        Fork::Child => {
            drop(ours);
            if die_with_parent().is_ok() {
                work(theirs.as_fd());
            }
            exit_now(0)
        }
        Fork::Parent(child) => {
            drop(theirs);
            let received = super::fd::receive(ours.as_fd());
            super::signal::wait_for_end(child)?;
            received
        }
    }
}

/// The children of the process with this number; none where it has ended, or where the kernel does not tell
/// (`CONFIG_PROC_CHILDREN`).
pub fn children_of(pid: i32) -> Vec<i32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = super::access::text_of(&path).unwrap_or_default();
    text.split_whitespace().filter_map(|number| number.parse().ok()).collect()
}

/// Starts a child that is to become another program, and waits until it has, or has ended: like `vfork`, which saves
/// copying what the child would not look at. `become_program` runs in the child; what it returns is its exit status.
///
/// The same rule holds as for [`fork`]: one thread only.
pub fn start(mut become_program: impl FnMut() -> u8) -> Result<Pid> {
    /// What the child may put there: names, arguments and the text of an error.
    const STACK: usize = 256 * 1024;
    // Straight from the kernel: of memory that is used again every byte would have to be cleared first, and of this only
    // what is touched has to be there.
    let mut stack = Memory::new(STACK, Share::Copy)?;
    let flags = CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK;
    let child = Box::new(move || isize::from(become_program()));
    // SAFETY: the child has a stack of its own. It shares all other memory with this process, which is stopped until
    // the child has become another program or has ended, so that there is one user of the memory at any time, as
    // between a function and its caller; the closure runs to its end within the life of what it borrows.
    let result = unsafe { nix::sched::clone(child, stack.bytes_mut(), flags, Some(libc::SIGCHLD)) };
    let failed = |errno: std::io::Error| Error::new("clone(CLONE_VM|CLONE_VFORK)", errno);
    let child = result.map_err(|errno| failed(errno.into()))?;
    Pid::from_raw(child.as_raw()).ok_or_else(|| failed(Errno::INVAL.into()))
}

/// Ends this process at once: no destructors, no buffers. For children that share their parent's state.
pub fn exit_now(code: u8) -> ! {
    // SAFETY: ends the process; nothing runs afterwards that could observe anything.
    unsafe { libc::_exit(i32::from(code)) }
}

/// The kernel kills this process when its parent ends. Forgotten whenever the credentials change.
pub fn die_with_parent() -> Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|errno| Error::new("prctl(PR_SET_PDEATHSIG)", errno))
}

/// Takes [`die_with_parent`] back.
pub fn outlive_parent() -> Result<()> {
    rustix::process::set_parent_process_death_signal(None)
        .map_err(|errno| Error::new("prctl(PR_SET_PDEATHSIG, 0)", errno))
}

/// Leaves the caller's session and terminal.
pub fn new_session() -> Result<()> {
    rustix::process::setsid().map(drop).map_err(|errno| Error::new("setsid()", errno))
}

/// What `ps` calls this process: its name, and in place of the arguments with which it was started (a login's command,
/// say). Needs `/proc`, and a process that does not look at its arguments again.
pub fn set_name(name: &std::ffi::CStr) -> Result<()> {
    rustix::thread::set_name(name)
        .map_err(|errno| Error::new(format!("prctl(PR_SET_NAME, {name:?})"), errno))?;
    let failed = |cause: std::io::Error| Error::new("read(\"/proc/self/stat\")", cause);
    let text = std::fs::read("/proc/self/stat").map_err(failed)?;
    let text = String::from_utf8_lossy(&text);
    // Fields 48 and 49: where the arguments begin and end in this process's memory.
    let mut fields = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace().skip(45);
    let mut field = || fields.next().and_then(|field| field.parse::<usize>().ok());
    if let (Some(start), Some(end)) = (field(), field())
        && start != 0
        && start < end
    {
        let arguments = std::ptr::with_exposed_provenance_mut::<u8>(start);
        // SAFETY: the kernel laid the arguments out there, on this process's own stack, for it to read and write;
        // nothing else lies between the two addresses, and nothing in this process refers to them any more.
        let arguments = unsafe { std::slice::from_raw_parts_mut(arguments, end - start) };
        arguments.fill(0);
        for (to, from) in arguments.iter_mut().zip(name.to_bytes()) {
            *to = *from;
        }
    }
    Ok(())
}

/// The name of the process with this number; `None` when there is none.
pub fn name_of(pid: i32) -> Result<Option<String>> {
    let path = format!("/proc/{pid}/comm");
    match std::fs::read(&path) {
        Ok(name) => Ok(Some(String::from_utf8_lossy(&name).trim_end().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::new(format!("read({path:?})"), error)),
    }
}

/// A process and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    /// Its number.
    pub pid: i32,
    /// Its name, as it calls itself.
    pub name: String,
    /// Real, effective, saved and file system user id.
    pub uids: Vec<u32>,
    /// The number of its PID namespace; 0 where that cannot be seen.
    pub pids: u64,
    /// The number of its mount namespace, likewise.
    pub mounts: u64,
    /// Which directory it has for `/`: device and number. `None` where that cannot be seen.
    pub root: Option<Root>,
}

/// A directory: major and minor number of its device, and its own.
pub type Root = (u32, u32, u64);

/// The directory that the process with this number has for `/`. No server is asked.
pub fn root_of(pid: i32) -> Option<Root> {
    use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
    let path = format!("/proc/{pid}/root/");
    let stat = statx(CWD, path.as_str(), AtFlags::STATX_DONT_SYNC, StatxFlags::INO).ok()?;
    Some((stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino))
}

/// The process with this number; `None` when there is none.
pub fn owned(pid: i32) -> Result<Option<Owned>> {
    let path = format!("/proc/{pid}/status");
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        // It may end while it is read.
        Err(error)
            if error.kind() == std::io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(Error::new(format!("read({path:?})"), error)),
    };
    let text = String::from_utf8_lossy(&text);
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let uids = field("Uid:").unwrap_or_default().split_ascii_whitespace();
    let number = |kind: Kind| rustix::fs::stat(kind.of(pid)).map_or(0, |stat| stat.st_ino);
    // One that has ended, and has not been waited for, does nothing any more.
    if field("State:").is_some_and(|state| state.starts_with(['Z', 'X'])) {
        return Ok(None);
    }
    Ok(Some(Owned {
        pid,
        name: field("Name:").unwrap_or_default().to_owned(),
        uids: uids.filter_map(|id| id.parse().ok()).collect(),
        pids: number(Kind::Pids),
        mounts: number(Kind::Mounts),
        root: root_of(pid),
    }))
}

/// All processes that have this user id, as one of their four. Looks at every process there is.
pub fn owned_by(uid: u32) -> Result<Vec<Owned>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").map_err(|error| Error::new("read(\"/proc\")", error))? {
        let name = entry.map_err(|error| Error::new("read(\"/proc\")", error))?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        found.extend(owned(pid)?.filter(|process| process.uids.contains(&uid)));
    }
    Ok(found)
}

/// The processors that this process may run on.
pub fn processors() -> Result<Vec<usize>> {
    use rustix::thread::{CpuSet, sched_getaffinity};
    let set = sched_getaffinity(None).map_err(|errno| Error::new("sched_getaffinity()", errno))?;
    Ok((0..CpuSet::MAX_CPU).filter(|processor| set.is_set(*processor)).collect())
}

/// Runs on this processor and no other from here on.
pub fn stay_on(processor: usize) -> Result<()> {
    use rustix::thread::{CpuSet, sched_setaffinity};
    let mut set = CpuSet::new();
    set.set(processor);
    sched_setaffinity(None, &set)
        .map_err(|errno| Error::new(format!("sched_setaffinity({processor})"), errno))
}

/// While hidden, no other process of the same user may look into this one, and a crash of it leaves no core file
/// with what it had read. Becoming another program ends it.
pub fn hide_memory(hidden: bool) -> Result<()> {
    let behavior = if hidden { DumpableBehavior::NotDumpable } else { DumpableBehavior::Dumpable };
    rustix::process::set_dumpable_behavior(behavior)
        .map_err(|errno| Error::new(format!("prctl(PR_SET_DUMPABLE, {})", u8::from(!hidden)), errno))
}

/// No core file of this process, nor of what it becomes: it would hold what the process had in memory.
pub fn no_core_files() -> Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
        .map_err(|errno| Error::new("setrlimit(CORE, 0)", errno))
}

/// Sets the file creation mask.
pub fn set_umask(mask: u32) -> u32 {
    rustix::process::umask(Mode::from_raw_mode(mask)).bits()
}

/// Becomes another program. Returns only what prevented it.
///
/// `file` is used as it is: no search path, no shell.
pub fn execute(
    file: &OsStr,
    arguments: &[OsString],
    environment: &[(OsString, OsString)],
) -> Result<Infallible> {
    let describe = || format!("execve({file:?})");
    let nul = |_| Error::new(describe(), Errno::INVAL);
    let file = CString::new(file.as_bytes()).map_err(nul)?;
    let arguments: Vec<CString> = arguments
        .iter()
        .map(|argument| CString::new(argument.as_bytes()))
        .collect::<std::result::Result<_, _>>()
        .map_err(nul)?;
    let environment: Vec<CString> = environment
        .iter()
        .map(|(name, value)| CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()))
        .collect::<std::result::Result<_, _>>()
        .map_err(nul)?;
    nix::unistd::execve(&file, &arguments, &environment).map_err(|errno| Error::new(describe(), errno))
}
