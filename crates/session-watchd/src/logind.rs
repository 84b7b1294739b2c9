//! What is known of logind's sessions, and what becomes of it when something happens to them.
//!
//! Each has exactly one end that is told: its leader's, or that of the session object, whichever comes first. A session
//! whose end was told stays known for as long as logind lists it, so that nobody takes it for a new one.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use crate::bus;
use crate::daemon::{Daemon, told};
use crate::process::ProcessId;
use crate::records::Record;
use crate::runs::{Event, Run, Subject};
use crate::session::{End, Session, SessionId};

#[derive(Debug)]
struct Known {
    /// Whose end is its end, if that is watched.
    leader: Option<ProcessId>,
    /// The number by which it is watched; 0 is nobody's.
    watch: u64,
    is_alive: bool,
    /// Does logind list it?
    is_listed: bool,
    /// Has a run been started that tells of its end?
    is_end_told: bool,
}

impl Known {
    /// One that lives, or one whose end was told.
    fn new(leader: Option<ProcessId>, is_alive: bool) -> Self {
        Self { leader, watch: 0, is_alive, is_listed: true, is_end_told: !is_alive }
    }
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Sessions {
    known: HashMap<SessionId, Known>,
    leaders: HashMap<u64, (SessionId, OwnedFd)>,
    /// Have sessions been listed before in this boot? Then one that is unknown is new.
    has_listed: bool,
}

impl Sessions {
    pub(crate) fn new(has_listed: bool) -> Self {
        Self { known: HashMap::new(), leaders: HashMap::new(), has_listed }
    }
}

impl Daemon {
    /// Takes over what an earlier daemon has written down. Leaders that ended meanwhile are noticed here, without
    /// logind.
    pub(crate) fn resume(&mut self) -> crate::Result<()> {
        if !self.options.logind {
            return Ok(());
        }
        for (id, record) in self.records.all()? {
            let Record::Alive { leader, added } = record else {
                self.know(&id, Known::new(None, false));
                continue;
            };
            let leader = leader.filter(|_| self.options.end == End::LeaderExit);
            self.know(&id, Known::new(leader, true));
            if let Some(run) = added {
                self.adopt(Subject::Logind(id.clone()), run);
            }
            match leader.map(ProcessId::open_again).and_then(told) {
                Some(Some(pidfd)) => self.watch_leader(&id, pidfd),
                Some(None) => self.end(&id),
                None => {}
            }
        }
        Ok(())
    }

    fn know(&mut self, id: &SessionId, known: Known) {
        self.sessions.known.insert(id.clone(), known);
    }

    /// Something happened.
    pub(crate) fn logind(&mut self, event: bus::Event) {
        match event {
            bus::Event::New(session) => self.begin(&session, true),
            bus::Event::Present(session) => self.begin(&session, false),
            bus::Event::Removed(id) => self.gone(&id),
            bus::Event::Listed(ids) => {
                let known = self.sessions.known.iter();
                let gone = known.filter(|(id, known)| known.is_listed && !ids.contains(*id));
                let gone: Vec<SessionId> = gone.map(|(id, _)| id.clone()).collect();
                for id in &gone {
                    self.gone(id);
                }
                self.has_listed();
                self.is_ready();
            }
            // Where nobody is logind there are no sessions: all that come are new.
            bus::Event::Nobody => {
                self.has_listed();
                self.is_ready();
            }
            bus::Event::Unreachable => self.is_ready(),
        }
    }

    fn has_listed(&mut self) {
        if !std::mem::replace(&mut self.sessions.has_listed, true) {
            told(self.records.set_listed());
        }
    }

    /// A session begins, or was found in the list.
    fn begin(&mut self, session: &Session, is_new: bool) {
        let id = &session.id;
        if !session.counts(&self.options.classes)
            || self.sessions.known.get(id).is_some_and(|known| known.is_listed)
        {
            return;
        }
        let is_watched = self.options.end == End::LeaderExit;
        // `None` when it cannot be told: then the session object's end is its end.
        let leader = session.leader.filter(|_| is_watched).map(ProcessId::open).and_then(told);
        let is_over = is_watched && (session.is_closing || matches!(leader, Some(None)));
        let leader = leader.flatten();
        let process = leader.as_ref().map(|(process, _)| *process);
        if is_over && !is_new {
            // It began and ended while nobody watched. What it left behind is no session.
            self.know(id, Known::new(None, false));
            told(self.records.put(id, Record::Ended));
            return;
        }
        self.know(id, Known::new(process, true));
        if is_new || self.sessions.has_listed {
            // It goes on record when the run has been started.
            let event = Event::Added(session.added(process.map(|process| process.pid)));
            self.runs.submit(Run { subject: Subject::Logind(id.clone()), event });
        } else {
            told(self.records.put(id, Record::Alive { leader: process, added: None }));
        }
        if is_over {
            self.end(id);
        } else if let Some((_, pidfd)) = leader {
            self.watch_leader(id, pidfd);
        }
    }

    fn watch_leader(&mut self, id: &SessionId, pidfd: OwnedFd) {
        let number = self.number();
        if told(self.poller.watch(&pidfd, crate::poller::Owner::Leader(number))).is_some() {
            self.sessions.leaders.insert(number, (id.clone(), pidfd));
            if let Some(known) = self.sessions.known.get_mut(id) {
                known.watch = number;
            }
        }
    }

    /// The process that logged in has ended.
    pub(crate) fn leader_ended(&mut self, number: u64) {
        if let Some((id, _)) = self.sessions.leaders.remove(&number) {
            self.end(&id);
        }
    }

    /// The session has ended. Only the first time counts.
    fn end(&mut self, id: &SessionId) {
        if let Some(known) = self.sessions.known.get_mut(id)
            && std::mem::replace(&mut known.is_alive, false)
        {
            self.runs.submit(Run::removed(Subject::Logind(id.clone())));
        }
    }

    /// logind does not list it any more.
    fn gone(&mut self, id: &SessionId) {
        self.end(id);
        let Some(known) = self.sessions.known.get_mut(id) else { return };
        known.is_listed = false;
        // A leader that outlives its session is of no interest: the id may have been used again when it ends.
        self.sessions.leaders.remove(&known.watch);
        if known.is_end_told {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: &SessionId) {
        self.sessions.known.remove(id);
        told(self.records.forget(id));
    }

    /// A run was started that tells of the session; it is `None` if that failed. What is on record changes now and not
    /// earlier: should this daemon be killed before, the next one tells it, and `session-scripts` knows what it was
    /// told.
    pub(crate) fn told_of(&mut self, id: &SessionId, event: &Event, run: Option<ProcessId>) {
        let known = self.sessions.known.get_mut(id);
        match (event, known) {
            (Event::Added(_), Some(known)) => {
                let record = Record::Alive { leader: known.leader, added: run };
                told(self.records.put(id, record));
            }
            (_, Some(known)) if !known.is_alive => {
                known.is_end_told = true;
                if known.is_listed {
                    told(self.records.put(id, Record::Ended));
                } else {
                    self.forget(id);
                }
            }
            // The id is in use again by now; what is on record is the session's that had it before.
            _ => {
                told(self.records.forget(id));
            }
        }
    }
}
