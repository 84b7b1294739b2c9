//! The beginning of a session: what is waited for, in its order, and then the rest in the background.

use std::time::{Duration, Instant};

use super::background;
use super::journal::{Journal, Line, now};
use super::journals::Journals;
use super::schedule::{Judge, Schedule, Skipped, Task, schedule};
use super::session::Session;
use super::task::{self, Around, Outcome, View};
use super::variables::Settings;
use super::watch::Sign;
use super::{log, worlds};
use crate::error::{Error, ErrorKind};
use crate::host;
use crate::model::scripts::{Event, Folder, Kind, Place, Policy, Weight, World};
use crate::registry::Registry;

/// How long a session waits for scripts of the user's first session, or of the last one, beyond the limit for all of them.
const TURN_MARGIN: Duration = Duration::from_secs(10);
/// How many of the user's other sessions are looked at.
const SWEPT_AT_ONCE: usize = 4;
/// What comes on top of a script's own limit, until whoever waits for us gives up.
const MARGIN: Duration = Duration::from_secs(5);

/// Where the scripts of a session's view run.
#[derive(Clone, Copy, Debug)]
pub enum Stands<'a> {
    /// In this view.
    In(&'a View),
    /// On the host: the session has no view of its own.
    OnHost,
    /// Nowhere: nobody but the session can get into its view.
    Apart,
}

/// What sessions stand on.
#[derive(Clone, Copy, Debug)]
pub struct Stage<'a> {
    /// What is alive.
    pub registry: &'a Registry,
    /// What the administrator says.
    pub policy: &'a Policy,
    /// The configuration's path, where it is not the host's own: for processes that go on in the background.
    pub config: Option<&'a str>,
}

/// Why a session does not begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For the log.
    pub why: String,
    /// For whoever logs in; empty where a script's line wants silence.
    pub shown: String,
    /// Which kind of failure.
    pub kind: RefusalKind,
}

/// PAM's words for failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// PAM_SESSION_ERR.
    Session,
    /// PAM_SYSTEM_ERR, as pam_exec has it.
    System,
    /// PAM_SERVICE_ERR: a line that makes no sense.
    Service,
}

/// A session whose record has begun.
#[derive(Debug)]
pub struct Prepared {
    /// The session.
    pub session: Session,
    journal: Journal,
    journals: Journals,
}

impl Prepared {
    /// The folder of all records.
    pub fn journals(&self) -> &Journals {
        &self.journals
    }
}

/// A session whose scripts have begun.
#[derive(Debug)]
pub struct Begun {
    /// The session, as it is on record.
    pub session: Session,
    /// What scripts have set so far.
    pub said: Settings,
    /// Why it does not begin after all.
    pub refusal: Option<Refusal>,
    /// What is to be shown to whoever logs in.
    pub shown: Vec<String>,
    /// The folder that the older pam_script's script has named, `CHROOTDIR=`.
    pub chroot_directory: Option<String>,
    journal: Journal,
    journals: Journals,
    deadline: Instant,
    /// Waited for, and run in the session's view.
    in_view: Vec<Task>,
    detached: Vec<Task>,
    listed: Vec<Task>,
}

/// `CHROOTDIR=`, and what a line with `dochroot` says is to be done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chroot {
    /// The folder.
    pub directory: String,
    /// `domount`.
    pub mount: bool,
    /// `dounshare`.
    pub unshare: bool,
}

/// Is there anything that would run for any session? Without, a session costs these few look-ups.
pub fn is_anything_there(policy: &Policy, worlds: &[World]) -> bool {
    host::any_script(&policy.directory, &Folder::ALL.map(Folder::name))
        || policy.worlds.iter().chain(worlds).any(|world| !worlds::is_empty(world))
}

/// What the folder comes to for this session.
pub(super) fn of_folder(policy: &Policy, folder: Folder) -> Result<Schedule, Error> {
    let name = folder.name();
    let failed = |error| Error::new(ErrorKind::Host, format!("cannot list {name}")).caused_by(error);
    let path = policy
        .directory
        .join(name)
        .map_err(|error| Error::new(ErrorKind::Config, format!("the folder {name}")).caused_by(error))?;
    match host::list_scripts(&path) {
        Ok(names) => Ok(schedule(policy, folder, names.unwrap_or_default())),
        Err(error) if error.is_shortage() => Err(failed(error)),
        Err(error) => {
            let why = failed(error).without_remedy();
            Ok(Schedule { tasks: Vec::new(), skipped: vec![Skipped { name: name.to_owned(), why }] })
        }
    }
}

impl Stage<'_> {
    /// Begins the record of `session`, and has somebody watch for its end. Nothing is left of it when that fails.
    pub fn prepare(&self, session: Session, sign: Option<Sign>) -> Result<Prepared, Error> {
        let journals = Journals::open(self.registry)?;
        // The record first: whoever notices an end waits for its lock.
        let journal = journals.begin(&session)?;
        if let Some(sign) = sign
            && let Err(error) = self.watch(&session.name, sign)
        {
            journals.discard(&session.name)?;
            return Err(error);
        }
        Ok(Prepared { session, journal, journals })
    }

    /// Runs what is waited for in the host's view. `will_have_view`: a view is going to be opened, and what is meant for it
    /// waits until then. `busy` is told before each script how long that may take.
    pub fn begin(
        &self,
        prepared: Prepared,
        will_have_view: bool,
        busy: &mut dyn FnMut(Duration),
    ) -> Result<Begun, Error> {
        let Prepared { mut session, journal, journals } = prepared;
        let limit = Duration::from_secs(self.policy.limit.into());
        busy(limit + TURN_MARGIN + MARGIN);
        let (others, turn) = journals.enter(session.uid, &session.name, limit + TURN_MARGIN)?;
        session.first = others.is_empty();
        let mut turn = Some(turn).filter(|_| session.first);
        // Those that have ended without anybody noticing; a few, so that a login does not take longer the more there are.
        for other in others.iter().take(SWEPT_AT_ONCE) {
            if !self.registry.lives(other)? {
                self.end_in_background(other)?;
            }
        }
        journal.write(&Line::Session(Box::new(session.clone())))?;
        journal.write(&Line::Begin { event: Event::Added, at: now() })?;
        let mut begun = Begun {
            session,
            said: Settings::default(),
            refusal: None,
            shown: Vec::new(),
            chroot_directory: None,
            journal,
            journals,
            deadline: Instant::now() + limit,
            in_view: Vec::new(),
            detached: Vec::new(),
            listed: Vec::new(),
        };
        for task in self.beginning(&mut begun)? {
            // Others of the user wait for what the first session's scripts make, and for no more.
            if turn.is_some() && !task.is_of_first_session() {
                turn = None;
            }
            match (task.kind, task.settings.place) {
                (Kind::Listed, _) => begun.listed.push(task),
                (Kind::Wait, Place::Session) if will_have_view => begun.in_view.push(task),
                (Kind::Detached, Place::Session) if will_have_view => begun.detached.push(task),
                (Kind::Detached, _) if begun.refusal.is_some() => begun.pass_over(&task)?,
                (Kind::Detached, _) => self.detach(&begun, vec![task], false)?,
                (Kind::Wait, _) => begun.wait_for(&task, None, busy)?,
            }
        }
        Ok(begun)
    }

    /// Everything that runs for this session, in the order of its turns.
    fn beginning(&self, begun: &mut Begun) -> Result<Vec<Task>, Error> {
        let mut tasks = Vec::new();
        let session = begun.session.clone();
        for world in session.worlds(self.policy) {
            let found = worlds::tasks(world, Event::Added, &session, self.policy);
            tasks.extend(found.tasks);
            begun.skip_all(&found.skipped)?;
            for mistake in found.mistakes {
                let kind = match world {
                    World::PamExec(_) => RefusalKind::Service,
                    _ => RefusalKind::Session,
                };
                begun.refuse(Refusal { shown: String::new(), why: mistake, kind });
            }
        }
        if !begun.session.gate_open {
            return Ok(tasks);
        }
        let first = begun.session.first.then_some(Folder::First);
        for folder in first.into_iter().chain([Folder::Added]) {
            let schedule = of_folder(self.policy, folder)?;
            // A folder that cannot be trusted may hold what a session must not begin without.
            if schedule.tasks.is_empty()
                && !schedule.skipped.is_empty()
                && self.policy.requires_any(Event::Added)
            {
                let skipped = &schedule.skipped[0];
                let why = format!("{}: {}", skipped.name, skipped.why);
                begun.refuse(Refusal { shown: String::new(), why, kind: RefusalKind::Session });
            }
            begun.skip_all(&schedule.skipped)?;
            tasks.extend(schedule.tasks);
        }
        Ok(tasks)
    }

    /// The view is open, or there is none: what was meant for it, and what nobody waits for.
    pub fn finish(
        &self,
        begun: &mut Begun,
        stands: Stands<'_>,
        busy: &mut dyn FnMut(Duration),
    ) -> Result<(), Error> {
        let view = if let Stands::In(view) = stands { Some(view) } else { None };
        if matches!(stands, Stands::Apart) {
            begun.leave_out_of_view()?;
        }
        for task in std::mem::take(&mut begun.in_view) {
            begun.wait_for(&task, view, busy)?;
        }
        let detached = std::mem::take(&mut begun.detached);
        let listed = std::mem::take(&mut begun.listed);
        if begun.refusal.is_some() {
            for task in detached.iter().chain(&listed) {
                begun.pass_over(task)?;
            }
            return begun.journal.write(&Line::Done { event: Event::Added, at: now(), refused: true });
        }
        for task in detached {
            self.detach(begun, vec![task], view.is_some())?;
        }
        if listed.is_empty() {
            return begun.journal.write(&Line::Done { event: Event::Added, at: now(), refused: false });
        }
        self.detach(begun, listed, view.is_some())
    }

    /// The session does not begin, for a reason that is none of its scripts'. What they have done is undone by those of
    /// its end, as soon as whoever watches notices it.
    pub fn abandon(&self, begun: &mut Begun, why: &str) -> Result<(), Error> {
        begun.refuse(Refusal { why: why.to_owned(), shown: String::new(), kind: RefusalKind::Session });
        for task in std::mem::take(&mut begun.in_view) {
            begun.pass_over(&task)?;
        }
        self.finish(begun, Stands::OnHost, &mut |_| ())
    }

    fn detach(&self, begun: &Begun, tasks: Vec<Task>, in_view: bool) -> Result<(), Error> {
        let work = background::Work {
            session: begun.session.name.clone(),
            event: Event::Added,
            is_list: tasks.iter().all(|task| task.kind == Kind::Listed),
            tasks,
            said: begun.said.clone(),
            view: if in_view { self.registry.view_of(&begun.session.name)? } else { None },
        };
        background::submit(self, &begun.journals, &begun.journal, &begun.session, work)
    }
}

impl Begun {
    fn refuse(&mut self, refusal: Refusal) {
        log::note(&self.session, Event::Added, &format!("the session is refused: {}", refusal.why));
        self.refusal.get_or_insert(refusal);
    }

    fn skip_all(&self, skipped: &[Skipped]) -> Result<(), Error> {
        skipped.iter().try_for_each(|skipped| {
            log::skipped(&self.session, Event::Added, skipped);
            let Skipped { name, why } = skipped.clone();
            self.journal.write(&Line::Skipped { event: Event::Added, name, why })
        })
    }

    fn pass_over(&self, task: &Task) -> Result<(), Error> {
        let why = "the session was refused before its turn".to_owned();
        self.journal.write(&Line::Skipped { event: Event::Added, name: task.name.clone(), why })
    }

    /// What is meant for a view that cannot be got into has no turn.
    fn leave_out_of_view(&mut self) -> Result<(), Error> {
        let is_apart = |task: &Task| task.settings.place == Place::Session;
        let listed = std::mem::take(&mut self.listed);
        let (apart, listed): (Vec<Task>, Vec<Task>) = listed.into_iter().partition(is_apart);
        self.listed = listed;
        let apart = std::mem::take(&mut self.in_view)
            .into_iter()
            .chain(std::mem::take(&mut self.detached))
            .chain(apart);
        for task in apart {
            let why = "the session has a view of its own that nobody shares: set where = \"host\"".to_owned();
            self.skip_all(&[Skipped { name: task.name.clone(), why: why.clone() }])?;
            let refuses = task.kind == Kind::Wait && task.settings.result == Weight::Required;
            self.take_in(&task, Outcome { failed: true, refuses, how: why, ..Outcome::default() });
        }
        Ok(())
    }

    /// Runs a script that the session waits for, unless it has been refused.
    fn wait_for(
        &mut self,
        task: &Task,
        view: Option<&View>,
        busy: &mut dyn FnMut(Duration),
    ) -> Result<(), Error> {
        if self.refusal.is_some() {
            return self.pass_over(task);
        }
        let left = self.deadline.saturating_duration_since(Instant::now());
        let outcome = if left.is_zero() {
            let why = "no time was left: the limit for all scripts together had passed".to_owned();
            self.skip_all(&[Skipped { name: task.name.clone(), why: why.clone() }])?;
            let refuses = task.settings.result == Weight::Required
                || matches!(task.judge, Judge::AsPamScript { lenient: false });
            Outcome { failed: true, refuses, how: why, ..Outcome::default() }
        } else {
            let settings = &task.settings;
            let longest = Duration::from_secs((settings.timeout.saturating_add(settings.grace)).into());
            busy(longest.min(left + Duration::from_secs(settings.grace.into())) + MARGIN);
            let around = Around { session: &self.session, event: Event::Added, journal: &self.journal, view };
            task::run(task, &around, left, &mut self.said)?
        };
        self.take_in(task, outcome);
        Ok(())
    }

    fn take_in(&mut self, task: &Task, outcome: Outcome) {
        if !outcome.shown.is_empty() {
            self.shown.extend(outcome.shown.lines().map(str::to_owned));
        }
        if outcome.refuses {
            let why = format!("{}: {}", task.name, outcome.how);
            let is_exec = task.dress == super::schedule::Dress::PamExec;
            let kind = if is_exec { RefusalKind::System } else { RefusalKind::Session };
            // pam_exec's own words.
            let shown = if is_exec {
                format!("{} failed: {}", task.path, outcome.how.replacen("exit", "exit code", 1))
            } else {
                String::new()
            };
            self.refuse(Refusal { why, shown, kind });
        }
        let directory = outcome.info.lines().find_map(|line| line.strip_prefix("CHROOTDIR="));
        if let Some(directory) = directory {
            self.chroot_directory = Some(directory.trim().to_owned());
        }
    }
}
