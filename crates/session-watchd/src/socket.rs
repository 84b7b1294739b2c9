//! Who asks, and for what: the socket by which connections are given to the daemon to hold.
//!
//! A message is `watch SessionN`, with one descriptor: the end of a pipe to read from. The answer is `ok`, or `no` and
//! why. The session has ended when nobody has an end of that pipe to write to any more, however those who had one
//! ended.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendFlags, SocketAddrUnix, SocketFlags, SocketType, recvmsg, sendmsg,
};

use crate::error::{Error, Result};
use crate::session::held_number;

/// Longer than any message that is understood.
const MESSAGE_MAX: usize = 64;
/// How many may wait to be accepted. Nobody waits long.
const BACKLOG: i32 = 128;

/// Makes the socket, at a path where nobody but this user can connect.
pub fn listen(path: &Path) -> Result<OwnedFd> {
    let failed = |call: &str, errno: Errno| Error::new(format!("{call}({})", path.display()), errno);
    let address = SocketAddrUnix::new(path).map_err(|errno| failed("sockaddr_un", errno))?;
    // One that an earlier daemon left: that none is alive is known from the lock on the folder of records.
    match rustix::fs::unlink(path) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(failed("unlink", errno)),
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
        .map_err(|errno| failed("socket", errno))?;
    // There is no moment at which others could connect.
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    let bound = rustix::net::bind(&socket, &address);
    rustix::process::umask(before);
    bound.map_err(|errno| failed("bind", errno))?;
    rustix::net::listen(&socket, BACKLOG).map_err(|errno| failed("listen", errno))?;
    Ok(socket)
}

/// Somebody who connected: `None` when there is nobody, an error that says whom it is not taken from.
pub fn accept(listener: &OwnedFd) -> Result<Option<OwnedFd>> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let client = loop {
        match rustix::net::accept_with(listener, flags) {
            Ok(client) => break client,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN | Errno::CONNABORTED) => return Ok(None),
            Err(errno) => return Err(Error::new("accept4(socket)", errno)),
        }
    };
    let peer = rustix::net::sockopt::socket_peercred(&client)
        .map_err(|errno| Error::new("getsockopt(SO_PEERCRED)", errno))?;
    // In production this daemon is root, so its own uid is root's.
    if !peer.uid.is_root() && peer.uid != rustix::process::geteuid() {
        answer(&client, Err("only root may ask"));
        return Err(Error::plain(format!(
            "process {} of uid {} asked, which only root may",
            peer.pid.as_raw_nonzero(),
            peer.uid.as_raw()
        )));
    }
    Ok(Some(client))
}

/// What came from a client.
#[derive(Debug)]
pub enum Heard {
    /// It has nothing to say at the moment.
    Nothing,
    /// It is gone.
    Gone,
    /// This session is to be watched, by this end of a pipe.
    Watch(u64, OwnedFd),
    /// Something that is not understood, and why.
    Nonsense(&'static str),
}

/// Takes one message.
pub fn hear(client: &OwnedFd) -> Heard {
    let mut bytes = [0_u8; MESSAGE_MAX];
    // Room for one more than there may be, so that too many are noticed; the kernel closes those beyond.
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut into = [IoSliceMut::new(&mut bytes)];
        match recvmsg(client, &mut into, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Ok(received) => break received,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Heard::Nothing,
            Err(_) => return Heard::Gone,
        }
    };
    let mut descriptors: Vec<OwnedFd> = ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    if received.bytes == 0 && descriptors.is_empty() {
        return Heard::Gone;
    }
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Heard::Nonsense("the message is too long, or has too many descriptors");
    }
    let text = std::str::from_utf8(bytes.get(..received.bytes).unwrap_or_default()).unwrap_or_default();
    let Some(number) = text.strip_prefix("watch ").and_then(held_number) else {
        return Heard::Nonsense("the message is not `watch SessionN`");
    };
    match (descriptors.pop(), descriptors.is_empty()) {
        (Some(pipe), true) if is_reading_end(&pipe) => Heard::Watch(number, pipe),
        (Some(_), true) => Heard::Nonsense("the descriptor is not the reading end of a pipe"),
        _ => Heard::Nonsense("there must be exactly one descriptor"),
    }
}

/// Is it one whose hangup means that nobody writes any more? One that can be written to would keep the pipe alive.
pub fn is_reading_end(descriptor: &OwnedFd) -> bool {
    let is_pipe =
        rustix::fs::fstat(descriptor).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_fifo());
    let mode = rustix::fs::fcntl_getfl(descriptor).map(|flags| flags & OFlags::RWMODE);
    is_pipe && mode == Ok(OFlags::RDONLY) && !is_path(descriptor)
}

/// Was it opened with O_PATH, which tells nothing of what happens to the file?
fn is_path(descriptor: &OwnedFd) -> bool {
    rustix::fs::fcntl_getfl(descriptor).is_ok_and(|flags| flags.contains(OFlags::PATH))
}

/// Answers. Whoever does not read the answer does without.
pub fn answer(client: &OwnedFd, verdict: std::result::Result<(), &str>) {
    let text = match verdict {
        Ok(()) => "ok".to_owned(),
        Err(why) => format!("no {why}"),
    };
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    let _ = sendmsg(client, &[IoSlice::new(text.as_bytes())], &mut SendAncillaryBuffer::default(), flags);
}
