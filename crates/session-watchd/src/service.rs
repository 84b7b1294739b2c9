//! The service manager: telling it how things are (sd_notify(3)), and leaving descriptors with it that outlive this
//! process (`FileDescriptorStoreMax=` in systemd.service(5)). Where there is none, all of this does nothing.

use std::ffi::OsStr;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType, sendmsg_addr,
};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

use crate::error::{Error, Result, say};
use crate::options::Manager;

/// The first descriptor that a service manager passes on.
const FIRST: i32 = 3;
/// As many bytes as all names together may have: the manager passes them on in one variable, and the kernel refuses to
/// start a program with a longer one than 128 KiB. A daemon with too many names could not be started again.
const NAMES_MAX: usize = 128 * 1024 - 4096;
/// How long the manager may take to read. It reads when it has nothing more urgent to do.
const PATIENCE: Duration = Duration::from_secs(5);

/// A descriptor of an earlier life, and the name it was left with.
#[derive(Debug)]
pub struct Kept {
    /// The name; empty when there is none.
    pub name: String,
    /// It.
    pub descriptor: OwnedFd,
}

/// The way to the service manager.
#[derive(Debug)]
pub struct Service {
    /// A socket and the manager's address, if there is a manager.
    manager: Option<(OwnedFd, SocketAddrUnix)>,
    /// How many bytes the names of what was left with it have.
    names: usize,
}

impl Service {
    /// By the value of `NOTIFY_SOCKET`.
    pub fn new(address: Option<&OsStr>) -> Result<Self> {
        let Some(address) = address.map(OsStr::as_bytes).filter(|address| !address.is_empty()) else {
            return Ok(Self { manager: None, names: 0 });
        };
        let failed = |call: &str, errno| Error::new(format!("{call}(NOTIFY_SOCKET)"), errno);
        let address = match address.strip_prefix(b"@") {
            Some(name) => SocketAddrUnix::new_abstract_name(name),
            None => SocketAddrUnix::new(address),
        }
        .map_err(|errno| failed("sockaddr_un", errno))?;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
                .map_err(|errno| failed("socket", errno))?;
        set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE))
            .map_err(|errno| failed("setsockopt(SO_SNDTIMEO)", errno))?;
        Ok(Self { manager: Some((socket, address)), names: 0 })
    }

    /// Says how things are.
    pub fn say(&self, state: &str) -> Result<()> {
        self.send(state, None)
    }

    /// Leaves a copy of a session's descriptor with the manager.
    ///
    /// Its name is the session's number alone, and not `SessionN`: all names together have a limit, `NAMES_MAX`.
    /// `FDPOLL=0` because a manager would by default close what has hung up, and a session that ended while nobody
    /// watched it would be lost.
    pub fn keep(&mut self, session: u64, descriptor: BorrowedFd<'_>) -> Result<()> {
        if self.manager.is_none() {
            return Ok(());
        }
        let length = name_length(session);
        if self.names + length > NAMES_MAX {
            return Err(Error::plain(
                "the service manager has as many names of descriptors as it can pass on",
            ));
        }
        self.send(&format!("FDSTORE=1\nFDNAME={session}\nFDPOLL=0"), Some(descriptor))?;
        self.names += length;
        Ok(())
    }

    /// A session's descriptor came back from the manager, which has it still.
    pub fn has_kept(&mut self, session: u64) {
        self.names += name_length(session);
    }

    /// Has the manager close what was left with it for a session.
    pub fn drop(&mut self, session: u64) -> Result<()> {
        if self.manager.is_none() {
            return Ok(());
        }
        self.names = self.names.saturating_sub(name_length(session));
        self.send(&format!("FDSTOREREMOVE=1\nFDNAME={session}"), None)
    }

    fn send(&self, state: &str, descriptor: Option<BorrowedFd<'_>>) -> Result<()> {
        let Some((socket, address)) = &self.manager else { return Ok(()) };
        let descriptors: Vec<BorrowedFd<'_>> = descriptor.into_iter().collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            // There is room for one.
            let _ = ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        }
        let message = [IoSlice::new(state.as_bytes())];
        loop {
            match sendmsg_addr(socket, address, &message, &mut ancillary, SendFlags::NOSIGNAL) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => {
                    return Err(Error::new(format!("sendmsg(NOTIFY_SOCKET, {state:?})"), errno));
                }
            }
        }
    }
}

/// A name in a list, with what parts it from the next one.
fn name_length(session: u64) -> usize {
    session.checked_ilog10().map_or(1, |digits| digits as usize + 1) + 1
}

/// The session whose descriptor has this name.
pub fn session_of(name: &str) -> Option<u64> {
    let is_number = (1..=10).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { name.parse().ok() } else { None }
}

/// Takes what the manager passed on.
///
/// The descriptors are there by their numbers, and no child may have them. To make them this process's own, a copy of
/// each is taken through a descriptor of this process, and the original is closed.
pub fn passed_on(manager: &Manager) -> Result<Vec<Kept>> {
    let text = |value: &Option<std::ffi::OsString>| {
        value.as_deref().and_then(OsStr::to_str).unwrap_or_default().to_owned()
    };
    let me = getpid();
    if text(&manager.listen_pid) != me.as_raw_nonzero().to_string() {
        return Ok(Vec::new());
    }
    let count: i32 = text(&manager.listen_fds)
        .parse()
        .ok()
        .filter(|count| (0..=i32::from(u16::MAX)).contains(count))
        .ok_or_else(|| Error::plain(format!("LISTEN_FDS={:?} is no number", text(&manager.listen_fds))))?;
    let names = text(&manager.listen_names);
    let mut names = names.split(':');
    let own =
        pidfd_open(me, PidfdFlags::empty()).map_err(|errno| Error::new("pidfd_open(own pid)", errno))?;
    let mut all = Vec::new();
    for number in FIRST..FIRST + count {
        let name = names.next().unwrap_or_default().to_owned();
        // One that is lost is a session whose end is found by a sweep; to end here would lose all of them.
        match pidfd_getfd(own.as_fd(), number, PidfdGetfdFlags::empty()) {
            Ok(descriptor) => all.push(Kept { name, descriptor }),
            Err(errno) => say(format!("pidfd_getfd(own pid, {number}) for {name:?}: {errno}")),
        }
        nix::unistd::close(number).map_err(|errno| Error::new(format!("close({number})"), errno))?;
    }
    Ok(all)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]
mod tests {
    use super::*;

    #[test]
    fn without_a_manager_nothing_is_said() {
        let mut service = Service::new(None).unwrap();
        service.say("READY=1").unwrap();
        service.drop(7).unwrap();
        assert!(passed_on(&Manager::default()).unwrap().is_empty());
        let others =
            Manager { listen_pid: Some("1".into()), listen_fds: Some("1".into()), ..Manager::default() };
        assert!(passed_on(&others).unwrap().is_empty());
    }

    #[test]
    fn names_stay_below_what_can_be_passed_on() {
        assert_eq!([0, 9, 10, 9_999_999_999].map(name_length), [2, 2, 3, 11]);
        assert_eq!(session_of("17"), Some(17));
        for name in ["", "session-watchd.socket", "stored", "12345678901", "-1"] {
            assert_eq!(session_of(name), None, "{name:?}");
        }
        // Ten thousand sessions fit, whatever their numbers.
        assert!(10_000 * name_length(9_999_999_999) < NAMES_MAX);
    }
}
