//! epoll, and which descriptor is whose.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;

use crate::error::{Error, Result};

/// How many events are taken at a time.
const BATCH: usize = 128;
/// The lower bits of what epoll keeps for us are the number, those above what it is the number of. A held session's is
/// its own, and has 34 bits; the others are counted and never used again, so that an event which was taken before a
/// descriptor was closed cannot be about the next one.
const NUMBER_BITS: u32 = 56;

/// Whose descriptor it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// SIGTERM and SIGINT.
    Signals,
    /// The bell of the thread that has the bus.
    Bus,
    /// The socket where connections are held.
    Listener,
    /// Somebody who asks.
    Client(u64),
    /// A session whose pipe is held, by its number.
    Held(u64),
    /// The leader of a session of logind.
    Leader(u64),
    /// A run of session-scripts.
    Child(u64),
}

impl Owner {
    fn data(self) -> EventData {
        let (kind, number) = match self {
            Self::Signals => (0, 0),
            Self::Bus => (1, 0),
            Self::Listener => (2, 0),
            Self::Client(number) => (3, number),
            Self::Held(number) => (4, number),
            Self::Leader(number) => (5, number),
            Self::Child(number) => (6, number),
        };
        EventData::new_u64(kind << NUMBER_BITS | number)
    }

    fn of(data: EventData) -> Option<Self> {
        let number = data.u64() & ((1 << NUMBER_BITS) - 1);
        Some(match data.u64() >> NUMBER_BITS {
            0 => Self::Signals,
            1 => Self::Bus,
            2 => Self::Listener,
            3 => Self::Client(number),
            4 => Self::Held(number),
            5 => Self::Leader(number),
            6 => Self::Child(number),
            _ => return None,
        })
    }
}

/// One epoll.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").field("epoll", &self.epoll).finish_non_exhaustive()
    }
}

impl Poller {
    /// An empty one.
    pub fn new() -> Result<Self> {
        let epoll =
            epoll::create(CreateFlags::CLOEXEC).map_err(|errno| Error::new("epoll_create1()", errno))?;
        Ok(Self { epoll, events: Vec::with_capacity(BATCH) })
    }

    /// Tells when there is something to read. Closing the descriptor ends it.
    pub fn watch(&self, descriptor: impl AsFd, owner: Owner) -> Result<()> {
        self.add(descriptor, owner, EventFlags::IN)
    }

    /// Tells when nobody has the other end any more, and nothing else: what is in the pipe wakes nobody.
    pub fn watch_for_the_end(&self, descriptor: impl AsFd, owner: Owner) -> Result<()> {
        self.add(descriptor, owner, EventFlags::empty())
    }

    /// Tells nothing any more.
    pub fn forget(&self, descriptor: impl AsFd) -> Result<()> {
        epoll::delete(&self.epoll, descriptor).map_err(|errno| Error::new("epoll_ctl(EPOLL_CTL_DEL)", errno))
    }

    fn add(&self, descriptor: impl AsFd, owner: Owner, flags: EventFlags) -> Result<()> {
        epoll::add(&self.epoll, descriptor, owner.data(), flags)
            .map_err(|errno| Error::new(format!("epoll_ctl(EPOLL_CTL_ADD, {owner:?})"), errno))
    }

    /// Waits until something happens; without a limit, for as long as it takes.
    pub fn wait(&mut self, limit: Option<Duration>) -> Result<Vec<Owner>> {
        self.events.clear();
        // More than any limit that is used here has fits.
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let events = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, events, limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::new("epoll_wait()", errno)),
        }
        Ok(self.events.iter().filter_map(|event| Owner::of(event.data)).collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_its_owners() {
        let all = [
            Owner::Signals,
            Owner::Bus,
            Owner::Listener,
            Owner::Client(1),
            Owner::Held(9_999_999_999),
            Owner::Leader((1 << NUMBER_BITS) - 1),
            Owner::Child(0),
        ];
        for owner in all {
            assert_eq!(Owner::of(owner.data()), Some(owner));
        }
        assert_eq!(Owner::of(EventData::new_u64(u64::MAX)), None);
    }

    #[test]
    fn what_is_written_into_a_held_pipe_wakes_nobody() {
        let mut poller = Poller::new().unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        let (bell, ringer) = std::io::pipe().unwrap();
        poller.watch_for_the_end(&reader, Owner::Held(7)).unwrap();
        poller.watch(&bell, Owner::Bus).unwrap();
        rustix::io::write(&writer, b"data").unwrap();
        rustix::io::write(&ringer, b"ring").unwrap();
        assert_eq!(poller.wait(None).unwrap(), [Owner::Bus]);
        drop(bell);
        assert_eq!(poller.wait(Some(Duration::from_millis(1))).unwrap(), []);
        drop(writer);
        assert_eq!(poller.wait(None).unwrap(), [Owner::Held(7)]);
    }
}
