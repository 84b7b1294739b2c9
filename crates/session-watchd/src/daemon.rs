//! The daemon: one loop that waits until something happens, and says who has to be told.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::FileType;
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::bus::{self, Outlet};
use crate::child::{self, Runner};
use crate::error::{Error, Result, say};
use crate::logind::Sessions;
use crate::options::Options;
use crate::poller::{Owner, Poller};
use crate::process::ProcessId;
use crate::records::Records;
use crate::runs::{Event, Run, Runs, Subject};
use crate::service::{self, Service};
use crate::socket::{self, Heard};

/// As many sessions as may be described before they are dealt with: more would only take memory.
const QUEUE: usize = 64;
/// How long the boot of a host may wait for a bus that does not answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Watches until it is told to stop.
pub fn run(options: Options) -> Result<()> {
    raise_limit();
    rustix::process::chdir("/").map_err(|errno| Error::new("chdir(\"/\")", errno))?;
    let signals = signals()?;
    let (queue, events) = sync_channel(QUEUE);
    let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
        .map_err(|errno| Error::new("eventfd()", errno))?;
    let bell = Arc::new(bell);
    let mut daemon = Daemon::new(options)?;
    daemon.poller.watch(&signals, Owner::Signals)?;
    daemon.poller.watch(&*bell, Owner::Bus)?;
    daemon.runs.submit(Run { subject: Subject::Sweep, event: Event::Sweep });
    daemon.resume()?;
    if daemon.options.logind {
        bus::start(daemon.options.bus.clone(), Outlet::new(queue, Arc::clone(&bell)))?;
    } else {
        daemon.is_ready();
    }
    daemon.watch(&bell, &events)?;
    // The runs go on: a logout's script is not to be cut off because of a new version of this program.
    told(daemon.service.say("STOPPING=1"));
    if daemon.has_own_socket {
        // If it stays, whoever connects is refused, and the next daemon takes it away.
        let _ = rustix::fs::unlink(&daemon.options.socket);
    }
    Ok(())
}

/// Every held session is a descriptor. What cannot be had is noticed by the one who asks for it.
fn raise_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}

/// SIGTERM and SIGINT, as a descriptor. Called before there is a second thread, which would have them otherwise.
fn signals() -> Result<SignalFd> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGTERM);
    set.add(Signal::SIGINT);
    set.thread_block().map_err(|errno| Error::new("sigprocmask(SIG_BLOCK)", errno))?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .map_err(|errno| Error::new("signalfd()", errno))
}

/// An error that concerns one session and is no reason to leave the others alone.
pub(crate) fn told<T>(result: Result<T>) -> Option<T> {
    result.map_err(|error| say(error.chain())).ok()
}

/// A run that is under way.
#[derive(Debug)]
struct Child {
    subject: Subject,
    verb: &'static str,
    pidfd: OwnedFd,
}

/// Everything that is watched.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) options: Options,
    pub(crate) poller: Poller,
    pub(crate) records: Records,
    pub(crate) runs: Runs,
    pub(crate) sessions: Sessions,
    runner: Runner,
    service: Service,
    listener: OwnedFd,
    has_own_socket: bool,
    /// Is the listener watched? Not after it failed, until something else has happened: it would wake us up at once.
    is_accepting: bool,
    has_said_ready: bool,
    clients: HashMap<u64, OwnedFd>,
    held: HashMap<u64, OwnedFd>,
    children: HashMap<u64, Child>,
    numbers: u64,
}

impl Daemon {
    fn new(options: Options) -> Result<Self> {
        let records = Records::open(&options.state)?;
        let mut service = Service::new(options.manager.notify.as_deref())?;
        let poller = Poller::new()?;
        let (mut listener, mut held) = (None, HashMap::new());
        for kept in service::passed_on(&options.manager)? {
            match service::session_of(&kept.name) {
                Some(session) if socket::is_reading_end(&kept.descriptor) => {
                    service.has_kept(session);
                    held.insert(session, kept.descriptor);
                }
                _ if is_socket(&kept.descriptor) && listener.is_none() => listener = Some(kept.descriptor),
                _ => say(format!("the descriptor {:?} of the service manager is not of use", kept.name)),
            }
        }
        let has_own_socket = listener.is_none();
        let listener = match listener {
            Some(listener) => listener,
            None => socket::listen(&options.socket)?,
        };
        // The manager's may be one that waits.
        rustix::io::ioctl_fionbio(&listener, true).map_err(|errno| Error::new("ioctl(FIONBIO)", errno))?;
        poller.watch(&listener, Owner::Listener)?;
        for (session, pipe) in &held {
            poller.watch_for_the_end(pipe, Owner::Held(*session))?;
        }
        Ok(Self {
            runner: Runner::new(&options.runner)?,
            sessions: Sessions::new(records.has_listed()?),
            runs: Runs::default(),
            is_accepting: true,
            has_said_ready: false,
            clients: HashMap::new(),
            children: HashMap::new(),
            numbers: 0,
            options,
            poller,
            records,
            service,
            listener,
            has_own_socket,
            held,
        })
    }

    fn watch(&mut self, bell: &OwnedFd, events: &Receiver<bus::Event>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.start_runs();
            let limit = deadline.saturating_duration_since(Instant::now());
            if limit.is_zero() {
                self.is_ready();
            }
            for owner in self.poller.wait((!self.has_said_ready).then_some(limit))? {
                match owner {
                    Owner::Signals => return Ok(()),
                    Owner::Bus => {
                        // How often it rang does not matter; the queue is emptied.
                        let _ = rustix::io::read(bell, &mut [0_u8; 8]);
                        loop {
                            match events.try_recv() {
                                Ok(event) => self.logind(event),
                                Err(TryRecvError::Empty) => break,
                                // It cannot be helped here. Whoever starts this daemon again loses nothing.
                                Err(TryRecvError::Disconnected) => {
                                    return Err(Error::plain("the thread that has the bus has ended"));
                                }
                            }
                        }
                    }
                    Owner::Listener => self.accept(),
                    Owner::Client(number) => self.hear(number),
                    Owner::Held(session) => {
                        if self.held.remove(&session).is_some() {
                            self.runs.submit(Run::removed(Subject::Held(session)));
                        }
                    }
                    Owner::Leader(number) => self.leader_ended(number),
                    Owner::Child(number) => self.child_ended(number),
                }
            }
            if !self.is_accepting {
                self.is_accepting = told(self.poller.watch(&self.listener, Owner::Listener)).is_some();
            }
        }
    }

    /// A number that no descriptor had before.
    pub(crate) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Whoever waits for this daemon need not wait any longer.
    pub(crate) fn is_ready(&mut self) {
        if !std::mem::replace(&mut self.has_said_ready, true) {
            told(self.service.say("READY=1"));
        }
    }

    fn accept(&mut self) {
        loop {
            match socket::accept(&self.listener) {
                Ok(Some(client)) => {
                    let number = self.number();
                    if told(self.poller.watch(&client, Owner::Client(number))).is_some() {
                        self.clients.insert(number, client);
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    say(error.chain());
                    if std::error::Error::source(&error).is_some() {
                        // It would fail again at once: there are no descriptors left, say.
                        told(self.poller.forget(&self.listener));
                        self.is_accepting = false;
                        return;
                    }
                }
            }
        }
    }

    fn hear(&mut self, number: u64) {
        let Some(client) = self.clients.get(&number) else { return };
        let (session, pipe) = match socket::hear(client) {
            Heard::Watch(session, pipe) => (session, pipe),
            Heard::Nonsense(why) => return socket::answer(client, Err(why)),
            Heard::Nothing => return,
            Heard::Gone => {
                self.clients.remove(&number);
                return;
            }
        };
        if self.held.contains_key(&session) {
            return socket::answer(client, Err("this session is watched already"));
        }
        if let Err(error) = self.poller.watch_for_the_end(&pipe, Owner::Held(session)) {
            return socket::answer(client, Err(&error.chain()));
        }
        // A login waits for this, and the service manager may be busy.
        socket::answer(client, Ok(()));
        // If this fails it is watched all the same; only a restart of this daemon would lose it.
        told(self.service.keep(session, pipe.as_fd()));
        self.held.insert(session, pipe);
    }

    fn start_runs(&mut self) {
        while let Some(run) = self.runs.start_next() {
            let child = match self.runner.start(run.arguments()) {
                Ok((process, pidfd)) => self.child(&run.subject, run.verb(), pidfd).then_some(process),
                Err(error) => {
                    say(format!("{} of {}: {}", run.verb(), run.subject, error.chain()));
                    None
                }
            };
            match (&run.subject, &run.event) {
                (Subject::Logind(id), event) => self.told_of(id, event, child),
                (Subject::Held(session), _) => {
                    told(self.service.drop(*session));
                }
                (Subject::Sweep, _) => {}
            }
            if child.is_none() {
                self.runs.ended(&run.subject);
            }
        }
    }

    /// A run is under way, here or since an earlier daemon.
    pub(crate) fn child(&mut self, subject: &Subject, verb: &'static str, pidfd: OwnedFd) -> bool {
        let number = self.number();
        let is_watched = told(self.poller.watch(&pidfd, Owner::Child(number))).is_some();
        if is_watched {
            self.children.insert(number, Child { subject: subject.clone(), verb, pidfd });
        }
        is_watched
    }

    fn child_ended(&mut self, number: u64) {
        let Some(child) = self.children.remove(&number) else { return };
        if let Some(outcome) = child::outcome(&child.pidfd) {
            say(format!("{} of {}: {} {outcome}", child.verb, child.subject, self.options.runner.display()));
        }
        self.runs.ended(&child.subject);
    }

    /// The run of an earlier daemon, if it is under way still.
    pub(crate) fn adopt(&mut self, subject: Subject, run: ProcessId) {
        if let Some(pidfd) = told(run.open_again()).flatten()
            && self.child(&subject, "added", pidfd)
        {
            self.runs.adopt(subject);
        }
    }
}

/// Is it what connections are taken from?
fn is_socket(descriptor: &OwnedFd) -> bool {
    rustix::fs::fstat(descriptor).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_socket())
        && rustix::net::sockopt::socket_acceptconn(descriptor).unwrap_or(false)
}
