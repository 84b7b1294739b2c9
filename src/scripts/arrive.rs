//! A session that is told of from outside: by a display manager, ConsoleKit, pam_exec, logind or a person.

use std::time::{Duration, Instant};

use super::begin::{Begun, Prepared, Stage, Stands};
use super::environment::Variables;
use super::journal::{Line, now};
use super::journals::Journals;
use super::session::{Session, Source};
use super::told::Leads;
use super::variables::Settings;
use super::watch::Sign;
use crate::error::{Error, ErrorKind};
use crate::model::scripts::Event;
use crate::registry::{ProcessId, SessionRecord};
use crate::sys;

/// How long a session that somebody else began is waited for, beyond the limit for all its scripts.
const MARGIN: Duration = Duration::from_secs(5);

/// By what name others know the session; unique among those that live.
pub fn key_of(session: &Session) -> Option<String> {
    match session.source {
        // PAM and logind tell of the same session, each in its own way.
        Source::Pam => session.fact("xdg-id").map(|id| key(Source::Logind, id)),
        source => session.id.as_ref().map(|id| key(source, id)),
    }
}

/// The same, before there is a session.
pub fn key(source: Source, id: &str) -> String {
    format!("{}:{id}", source.name())
}

/// What became of it.
#[derive(Debug)]
pub enum Arrived {
    /// Its scripts have begun.
    Begun(Box<Begun>),
    /// It had begun: nothing runs twice.
    Already(String),
}

impl Stage<'_> {
    /// Puts `session` on record, has somebody watch for its end if it has a leader, and runs its scripts.
    pub fn added(&self, mut session: Session) -> Result<Arrived, Error> {
        let journals = Journals::open(self.registry)?;
        let key = key_of(&session);
        if let Some(other) = key.as_ref().map_or(Ok(None), |key| self.living_by(&journals, key))? {
            return Ok(Arrived::Already(other));
        }
        let mut on_record = self.registry.begin_session(record(&session)?)?;
        session.name = on_record.name().to_owned();
        match self.begin_told(session, key.as_deref(), &mut on_record) {
            Ok(Arrived::Begun(begun)) => Ok(Arrived::Begun(begun)),
            other => {
                // Nothing has run, or it is ended by what has been started.
                on_record.end().map_err(crate::registry::failed)?;
                other
            }
        }
    }

    fn begin_told(
        &self,
        session: Session,
        key: Option<&str>,
        on_record: &mut crate::registry::Session,
    ) -> Result<Arrived, Error> {
        // session-watchd watches what it has told of.
        let sign = session.leader.filter(|_| session.source != Source::Logind).map(Sign::Leader);
        let has_leader = session.leader.is_some();
        let name = session.name.clone();
        let prepared = self.prepare(session, sign)?;
        // Of two that are told of one session at the same time one has it.
        let claimed = key.map_or(Ok(None), |key| prepared.journals().claim(key, &name));
        if !matches!(claimed, Ok(None)) {
            prepared.journals().discard(&name)?;
            return claimed.map(|other| Arrived::Already(other.unwrap_or_default()));
        }
        let begun = self.begin_scripts(prepared, has_leader, on_record);
        // Whoever asked does not begin it then, and may not tell of its end.
        if begun.as_ref().map_or(true, |begun| begun.refusal.is_some()) {
            self.end_in_background(&name)?;
        }
        begun.map(|begun| Arrived::Begun(Box::new(begun)))
    }

    fn begin_scripts(
        &self,
        prepared: Prepared,
        has_leader: bool,
        on_record: &mut crate::registry::Session,
    ) -> Result<Begun, Error> {
        // From here on it lasts, whatever becomes of this process.
        if !has_leader {
            on_record.lasts().map_err(crate::registry::failed)?;
        }
        let mut begun = self.begin(prepared, false, &mut |_| ())?;
        self.finish(&mut begun, Stands::OnHost, &mut |_| ())?;
        Ok(begun)
    }

    /// The session that is known by `key`, if it lives.
    pub fn living_by(&self, journals: &Journals, key: &str) -> Result<Option<String>, Error> {
        let Some(name) = journals.claimed(key)? else { return Ok(None) };
        let has_begun = journals.reopen(&name)?.is_some();
        if has_begun && self.registry.lives(&name)? {
            return Ok(Some(name));
        }
        // Its end was not noticed, or is under way: it has no right to the name any more.
        journals.unclaim(key, &name)?;
        if has_begun {
            self.end_in_background(&name)?;
        }
        Ok(None)
    }

    /// What the scripts of a session that somebody else began have set, as soon as they have run.
    pub fn said_by(&self, name: &str, busy: &mut dyn FnMut(Duration)) -> Result<Variables, Error> {
        let longest = Duration::from_secs(self.policy.limit.into()) + MARGIN;
        busy(longest + MARGIN);
        let deadline = Instant::now() + longest;
        let journals = Journals::open(self.registry)?;
        loop {
            let lines = journals.lines(name)?.unwrap_or_default();
            let is_done = lines.iter().any(|line| {
                // With the list in the background everything that could set a variable has run.
                matches!(line, Line::Done { event: Event::Added, .. })
                    || matches!(line, Line::Submitted { event: Event::Added, is_list: true, .. })
            });
            if is_done || Instant::now() >= deadline || !self.registry.lives(name)? {
                let mut all = Settings::default();
                for line in lines {
                    if let Line::Variables { mut said, .. } = line {
                        all.take(&mut said);
                    }
                }
                return Ok(all.for_session());
            }
            // A login that waits for another program's work; nothing depends on how often it looks.
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The session that is meant, by our name or by that of `source`.
    pub fn find(&self, source: Source, id: &str) -> Result<Option<String>, Error> {
        Journals::open(self.registry)?.claimed(&key(source, id))
    }
}

/// While a session is being begun that nobody leads, it ends with this process.
fn record(session: &Session) -> Result<SessionRecord, Error> {
    let leader = match session.leader {
        Some(leader) => leader,
        None => ProcessId::own().map_err(crate::registry::failed)?,
    };
    Ok(SessionRecord {
        user: session.user.clone(),
        uid: session.uid,
        profile: String::new(),
        service: session.service().to_owned(),
        tty: session.fact("tty").map(str::to_owned),
        remote_host: session.fact("rhost").map(str::to_owned),
        display: session.fact("display").map(str::to_owned),
        view: None,
        began: now(),
        leader: Some(leader),
        held: false,
        shares_leader: matches!(session.source, Source::Gdm | Source::LightDm | Source::Xdm),
    })
}

/// The process that has started this one.
pub fn parent() -> Result<ProcessId, Error> {
    leader(rustix::process::getppid().map_or(0, |parent| parent.as_raw_nonzero().get()))
}

/// The leader that whoever tells of a session stands below; `parent` has started the one that tells.
pub fn leading(leads: Leads, parent: ProcessId) -> Result<Option<ProcessId>, Error> {
    let (names, or_parent) = match leads {
        Leads::Nobody => return Ok(None),
        Leads::Parent => return Ok(Some(parent)),
        Leads::Ancestor { names, or_parent } => (names, or_parent),
    };
    let mut pid = parent.pid;
    while pid > 1 {
        let asked = sys::pidfd::parent_and_name(pid).map_err(crate::registry::failed)?;
        let Some((above, name)) = asked else { break };
        if names.contains(&name.as_str()) {
            return leader(pid).map(Some);
        }
        pid = above;
    }
    Ok(or_parent.then_some(parent))
}

/// The process with this number, for a session's leader.
pub fn leader(pid: i32) -> Result<ProcessId, Error> {
    let failed =
        |error| Error::new(ErrorKind::Host, format!("cannot look at process {pid}")).caused_by(error);
    ProcessId::of(pid).map_err(failed)?.map(|(leader, _)| leader).ok_or_else(|| {
        Error::new(ErrorKind::Request, format!("there is no process {pid}"))
            .help("--leader names the process whose end is the session's")
    })
}
