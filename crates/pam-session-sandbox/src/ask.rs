//! Asking the helper: one request, one reply with descriptors, and a limit to the time it may take.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use door_protocol::{MESSAGE_MAX, Reply, Request};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendFlags,
    SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// How long the helper may take. It has shorter limits of its own for locks, file systems and builds; this one is for
/// a name service that does not answer.
const LIMIT: Duration = Duration::from_secs(20);
/// However long it says that scripts may take: nobody waits at a login for longer than this.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// How long a killed helper is waited for: one that a dead file system holds is left to the kernel.
const LAST_MOMENT: Duration = Duration::from_millis(500);

/// Asks, and waits for the answer. No child is left when this returns.
pub(crate) fn ask(helper: &Path, request: &Request) -> Result<(Reply, Vec<OwnedFd>), String> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(|errno| format!("socketpair(): {errno}"))?;
    // The standard library starts it by posix_spawn: nothing is allocated between fork and exec, where another thread
    // of the host could hold the allocator's lock. Its signals are the default ones, whatever the host's are.
    let mut child = Command::new(helper)
        .env_clear()
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot start {}: {error}; install the package again", helper.display()))?;
    let answer = converse(&ours, request);
    if answer.is_err() {
        // It has nothing to say any more.
        let _ = child.kill();
    }
    let status = reap(&mut child);
    match answer {
        Ok((bytes, _)) if bytes.is_empty() => {
            Err(format!("{} ended without an answer ({status})", helper.display()))
        }
        Ok((bytes, descriptors)) => Ok((Reply::decode(&bytes)?, descriptors)),
        Err(why) => Err(format!("{}: {why}", helper.display())),
    }
}

fn converse(socket: &OwnedFd, request: &Request) -> Result<(Vec<u8>, Vec<OwnedFd>), String> {
    let bytes = request.encode();
    if bytes.len() > MESSAGE_MAX {
        return Err("the request is too long".to_owned());
    }
    let message = [IoSlice::new(&bytes)];
    loop {
        match sendmsg(socket, &message, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL) {
            // A helper that is gone already is noticed by what it does not answer.
            Ok(_) | Err(Errno::PIPE) => break,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(format!("sendmsg(): {errno}")),
        }
    }
    let mut limit = LIMIT;
    let last = Instant::now() + LONGEST;
    loop {
        match poll_until(socket.as_fd(), (Instant::now() + limit).min(last)) {
            Ok(true) => {}
            Ok(false) => {
                return Err(format!(
                    "no answer within {} s; a name service, a file system of the map or a script does not answer",
                    limit.as_secs()
                ));
            }
            Err(errno) => return Err(format!("poll(): {errno}")),
        }
        let (bytes, descriptors) = receive(socket)?;
        match Reply::decode(&bytes) {
            // Scripts run, and have a limit of their own.
            Ok(Reply::Busy(seconds)) => limit = Duration::from_secs(seconds.into()),
            _ => return Ok((bytes, descriptors)),
        }
    }
}

fn receive(socket: &OwnedFd) -> Result<(Vec<u8>, Vec<OwnedFd>), String> {
    let mut bytes = vec![0_u8; MESSAGE_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(6))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let length = loop {
        let mut into = [IoSliceMut::new(&mut bytes)];
        match recvmsg(socket, &mut into, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Ok(received) => break received.bytes,
            Err(Errno::INTR) => {}
            Err(Errno::CONNRESET) => break 0,
            Err(errno) => return Err(format!("recvmsg(): {errno}")),
        }
    };
    bytes.truncate(length);
    let descriptors = ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    Ok((bytes, descriptors))
}

/// Waits for the child. A host that ignores SIGCHLD, or whose handler waits for every child, may have had it already.
fn reap(child: &mut Child) -> String {
    let number = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let ended = number.and_then(|number| pidfd_open(number, PidfdFlags::empty()).ok());
    if let Some(ended) = ended
        && poll_until(ended.as_fd(), Instant::now() + LAST_MOMENT) != Ok(true)
    {
        let _ = child.kill();
        let _ = poll_until(ended.as_fd(), Instant::now() + LAST_MOMENT);
    }
    match child.try_wait() {
        Ok(Some(status)) => status.to_string(),
        Ok(None) => "it does not end".to_owned(),
        Err(_) => "its status went to somebody else".to_owned(),
    }
}

/// Is there something to read, or an end, before the deadline?
fn poll_until(descriptor: BorrowedFd<'_>, deadline: Instant) -> Result<bool, Errno> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)], Some(&left)) {
            Ok(ready) => return Ok(ready > 0),
            // A signal of the host's.
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}
