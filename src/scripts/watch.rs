//! Who notices that a session has ended: session-watchd where it runs, a process of our own where it does not.
//!
//! A program that opens a session through PAM holds one end of a pipe; the kernel closes it however the program ends. A
//! session that is told of in another way may have a leader, a process that is watched by descriptor. Where neither is
//! there somebody has to say so.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use super::begin::Stage;
use super::{background, log};
use crate::error::{Error, ErrorKind};
use crate::host;
use crate::model::scripts::Event;
use crate::registry::ProcessId;
use crate::sys;

/// Where session-watchd listens.
pub const SOCKET: &str = "/run/session-watchd/socket";
/// How long it may take to answer. It does nothing but listen.
const PATIENCE: Duration = Duration::from_secs(1);
/// What a process of our own is called.
const NAME: &std::ffi::CStr = c"session-watcher";

/// What says that a session lives.
#[derive(Debug)]
pub enum Sign {
    /// The reading end of a pipe, whose other end is held as long as it lives.
    Held(OwnedFd),
    /// A process.
    Leader(ProcessId),
}

impl Stage<'_> {
    /// Has somebody run the scripts of the session's end when `sign` says that it has come.
    pub fn watch(&self, session: &str, sign: Sign) -> Result<(), Error> {
        let watched = match sign {
            Sign::Held(pipe) => {
                // session-watchd knows the host's own configuration and no other.
                if self.config.is_none() && tell_daemon(session, &pipe) {
                    return Ok(());
                }
                pipe
            }
            Sign::Leader(leader) => match leader.open().map_err(failed)? {
                Some(pidfd) => pidfd,
                None => {
                    return Err(Error::new(ErrorKind::Host, format!("the leader of {session} has ended")));
                }
            },
        };
        self.in_background(session, Some(watched.as_fd()))
    }

    /// Runs the scripts of the session's end in the background.
    pub fn end_in_background(&self, session: &str) -> Result<(), Error> {
        self.in_background(session, None)
    }

    /// In a process that nobody waits for: waits for `sign`, and then runs the scripts of the end.
    fn in_background(&self, session: &str, sign: Option<BorrowedFd<'_>>) -> Result<(), Error> {
        // What is kept is above all not the other end of the pipe, with which the session would never end.
        background::detach(self.registry, sign.as_slice(), || {
            // Who is called so can be asked to end.
            let prepared = sys::signal::ignore_requests_to_end().and_then(|()| sys::process::set_name(NAME));
            if prepared.is_ok() {
                if let Some(sign) = sign {
                    wait_for(sign);
                }
                self.end_with_new_words(session);
            }
        })
        .map_err(failed)
    }

    /// The session may have lasted for days: what the administrator says now counts, if it can be read.
    fn end_with_new_words(&self, session: &str) {
        let policy = match host::load_script_policy(self.config) {
            Ok(_) if background::hand_over_end(self.config, session) => return,
            Ok(policy) => policy,
            Err(error) => {
                let what = format!("{}; what held when it began holds", error.without_remedy());
                sys::log::line(sys::log::Priority::Error, "session-scripts", &super::text::printable(&what));
                self.policy.clone()
            }
        };
        let stage = Stage { policy: &policy, ..*self };
        if let Err(error) = stage.end(session, true) {
            let what = format!("{session} {}: {}", Event::Removed.word(), error.without_remedy());
            log::error(&what);
        }
    }
}

/// Waits until a leader has ended, or a pipe is closed: both can be read from then on. What is written into a pipe is
/// nobody's word.
fn wait_for(sign: BorrowedFd<'_>) {
    loop {
        match sys::fd::readable_within(sign, Duration::from_secs(24 * 3600)) {
            Ok(true) if !sys::fifo::drain_some(sign) => return,
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

/// Hands the pipe to session-watchd, if it takes it.
fn tell_daemon(session: &str, pipe: &OwnedFd) -> bool {
    let Ok(Some(socket)) = sys::fd::connect(SOCKET) else { return false };
    let message = format!("watch {session}");
    if sys::fd::send_with(socket.as_fd(), message.as_bytes(), pipe.as_fd()).is_err() {
        return false;
    }
    let answered = matches!(sys::fd::readable_within(socket.as_fd(), PATIENCE), Ok(true));
    answered && matches!(sys::fd::receive(socket.as_fd()), Ok((bytes, _)) if bytes == b"ok")
}

fn failed(error: sys::Error) -> Error {
    Error::new(ErrorKind::Host, "cannot watch for the end of the session").caused_by(error)
}
