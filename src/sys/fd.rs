//! The descriptors a process starts with and ends with.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::path::Kind;
use super::{Error, Result};

/// What one of the standard descriptors is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standard {
    /// Something a program can read from or write to.
    Usable,
    /// A directory, or a descriptor that is only a place: whoever inherits it can walk out of any root.
    Place,
}

/// Looks at standard input, output and error. (`/dev/null` has already been opened on those that were
/// closed, before the program's first line.)
pub fn standard() -> Result<[Standard; 3]> {
    let look = |fd: BorrowedFd<'_>| -> Result<Standard> {
        let flags = rustix::fs::fcntl_getfl(fd).map_err(|errno| Error::new("fcntl(F_GETFL)", errno))?;
        let stat = rustix::fs::fstat(fd).map_err(|errno| Error::new("fstat(fd)", errno))?;
        let is_place = flags.contains(OFlags::PATH) || Kind::of(stat.st_mode) == Kind::Directory;
        Ok(if is_place || is_namespace(fd) { Standard::Place } else { Standard::Usable })
    };
    Ok([look(rustix::stdio::stdin())?, look(rustix::stdio::stdout())?, look(rustix::stdio::stderr())?])
}

/// A descriptor of a namespace is as good a way out as a directory.
fn is_namespace(fd: BorrowedFd<'_>) -> bool {
    rustix::fs::fstatfs(fd).is_ok_and(|fs| u64::try_from(fs.f_type) == Ok(super::nsfs::MAGIC))
}

/// A copy of the first standard descriptor that is a terminal.
pub fn terminal() -> Option<OwnedFd> {
    [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()]
        .into_iter()
        .find(|fd| rustix::termios::isatty(fd))
        .and_then(|fd| rustix::io::fcntl_dupfd_cloexec(fd, 3).ok())
}

/// Closes every descriptor from `first` up when the next program starts, whoever opened it.
pub fn close_on_exec_from(first: u32) -> Result<()> {
    close_range(first, libc::CLOSE_RANGE_CLOEXEC)
        .map_err(|errno| Error::new(format!("close_range({first}, ~0, CLOEXEC)"), errno))
}

/// Closes every descriptor but the standard three. For the first lines of a program, when all of them are its caller's.
pub fn close_inherited() -> Result<()> {
    close_from(3)
}

/// Closes every descriptor from `first` up. For a child that uses none of them any more.
pub fn close_from(first: u32) -> Result<()> {
    close_range(first, 0).map_err(|errno| Error::new(format!("close_range({first}, ~0)"), errno))
}

/// Does the kernel know `close_range`? Asked for an empty range.
pub(super) fn has_close_range() -> bool {
    !matches!(close_range(u32::MAX, 0), Err(Errno::NOSYS))
}

/// Closes every descriptor above the standard three but these. For a process that uses nothing else from here on:
/// whatever other values hold descriptors must never be dropped or used again.
pub fn close_all_but(kept: &[BorrowedFd<'_>]) -> Result<()> {
    use std::os::fd::AsRawFd;
    let mut numbers: Vec<u32> = kept.iter().filter_map(|fd| u32::try_from(fd.as_raw_fd()).ok()).collect();
    numbers.sort_unstable();
    let mut first = 3;
    for number in numbers {
        if number > first {
            close_between(first, number - 1, 0)
                .map_err(|errno| Error::new(format!("close_range({first}, {})", number - 1), errno))?;
        }
        first = first.max(number + 1);
    }
    close_range(first, 0).map_err(|errno| Error::new(format!("close_range({first}, ~0)"), errno))
}

fn close_range(first: u32, flags: libc::c_uint) -> std::result::Result<(), Errno> {
    close_between(first, u32::MAX, flags)
}

fn close_between(first: u32, last: u32, flags: libc::c_uint) -> std::result::Result<(), Errno> {
    // SAFETY: the callers mark descriptors close-on-exec, which invalidates none of them; or close number 4294967295,
    // which no process can have open; or close what a program inherited, before it has opened anything itself; or close
    // what nothing will ever use again.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    if result == 0 {
        Ok(())
    } else {
        Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
    }
}

/// How many descriptors this process may have open, and how many it may ask for.
pub fn limit() -> (u64, u64) {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    (limit.current.unwrap_or(u64::MAX), limit.maximum.unwrap_or(u64::MAX))
}

/// Sets how many descriptors this process may have open; the second number is left as it is.
pub fn set_limit(current: u64) -> Result<()> {
    let resource = rustix::process::Resource::Nofile;
    let maximum = rustix::process::getrlimit(resource).maximum;
    rustix::process::setrlimit(resource, rustix::process::Rlimit { current: Some(current), maximum })
        .map_err(|errno| Error::new(format!("setrlimit(NOFILE, {current})"), errno))
}

/// A pipe: the end to read from, the end to write to.
pub fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|errno| Error::new("pipe2(O_CLOEXEC)", errno))
}

/// Has the other end of this pipe been closed? Does not wait.
pub fn is_closed(end: BorrowedFd<'_>) -> Result<bool> {
    use rustix::event::{PollFd, PollFlags, poll};
    let mut polled = [PollFd::from_borrowed_fd(end, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&at_once)).map_err(|errno| Error::new("poll()", errno))?;
    Ok(polled[0].revents().contains(PollFlags::HUP))
}

/// Waits until there is something to read, or the other end is closed, for `limit` at most. `true` when that is so.
pub fn readable_within(fd: BorrowedFd<'_>, limit: Duration) -> Result<bool> {
    use rustix::event::{PollFd, PollFlags, poll};
    let deadline = Instant::now() + limit;
    loop {
        let left = timespec(deadline.saturating_duration_since(Instant::now()));
        match poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&left)) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::new("poll(fd)", errno)),
        }
    }
}

/// As the kernel takes it.
pub(super) fn timespec(time: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}

/// Puts `/dev/null` in place of the standard descriptors, so that whoever waits for their end (a pipe's reader, a
/// terminal) does not wait for this process.
pub fn drop_standard() -> Result<()> {
    // Without a /dev inside, an empty pipe serves as well.
    let null = match rustix::fs::open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, rustix::fs::Mode::empty())
    {
        Ok(null) => null,
        Err(_) => pipe()?.0,
    };
    let failed = |errno| Error::new("dup2(/dev/null, 0..2)", errno);
    rustix::stdio::dup2_stdin(&null).map_err(failed)?;
    rustix::stdio::dup2_stdout(&null).map_err(failed)?;
    rustix::stdio::dup2_stderr(&null).map_err(failed)
}

/// Two connected sockets, for a process and its child.
pub fn socket_pair() -> Result<(OwnedFd, OwnedFd)> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(|errno| Error::new("socketpair(AF_UNIX)", errno))
}

/// Sends bytes, which must be some, and a descriptor with them.
pub fn send_with(socket: BorrowedFd<'_>, bytes: &[u8], descriptor: BorrowedFd<'_>) -> Result<()> {
    send_with_all(socket, bytes, &[descriptor])
}

/// The same with up to six descriptors, or none.
pub fn send_with_all(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<()> {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(6))];
    let mut message = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !message.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Error::new("sendmsg(SCM_RIGHTS): more than six descriptors", Errno::INVAL));
    }
    let bytes = [std::io::IoSlice::new(bytes)];
    sendmsg(socket, &bytes, &mut message, SendFlags::NOSIGNAL)
        .map(drop)
        .map_err(|errno| Error::new("sendmsg(SCM_RIGHTS)", errno))
}

/// The process that made this pair of sockets, by its number here; `None` when it is of another PID namespace.
pub fn maker_of(socket: BorrowedFd<'_>) -> Result<Option<i32>> {
    // Read by hand: rustix takes a process of another PID namespace, which has the number 0 here, for impossible.
    nix::sys::socket::getsockopt(&socket, nix::sys::socket::sockopt::PeerCredentials)
        .map(|peer| Some(peer.pid()).filter(|pid| *pid > 0))
        .map_err(|errno| Error::new("getsockopt(SO_PEERCRED)", errno))
}

/// Waits for one message: its bytes, and the descriptor that came with it, if one did. Nothing at all when the other
/// end is closed.
pub fn receive(socket: BorrowedFd<'_>) -> Result<(Vec<u8>, Option<OwnedFd>)> {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    let mut bytes = vec![0_u8; 64 * 1024];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let length = loop {
        let mut into = [std::io::IoSliceMut::new(&mut bytes)];
        match recvmsg(socket, &mut into, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Ok(received) => break received.bytes,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::new("recvmsg()", errno)),
        }
    };
    bytes.truncate(length);
    let descriptor = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok((bytes, descriptor))
}

/// Connects to the socket at `path` that takes messages; `None` when nobody listens there.
pub fn connect(path: &str) -> Result<Option<OwnedFd>> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
    let failed = |errno| Error::new(format!("connect({path:?})"), errno);
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).map_err(failed)?;
    let address = SocketAddrUnix::new(path).map_err(failed)?;
    match connect(&socket, &address) {
        Ok(()) => Ok(Some(socket)),
        Err(Errno::NOENT | Errno::CONNREFUSED | Errno::AGAIN | Errno::ACCESS) => Ok(None),
        Err(errno) => Err(failed(errno)),
    }
}
