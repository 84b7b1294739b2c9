//! The end of a session: its scripts run once, whoever notices it, and whoever was killed over it.

use std::os::fd::AsFd;
use std::time::Duration;

use super::background::{self, Work};
use super::begin::{Stage, of_folder};
use super::journal::{Journal, Line, now};
use super::journals::{Journals, Turn};
use super::schedule::{Skipped, Task};
use super::session::Session;
use super::task::{self, Around};
use super::variables::Settings;
use super::{log, worlds};
use crate::error::Error;
use crate::model::scripts::{Event, Folder, Kind};
use crate::sys;

/// How long an end waits to count its session out. Only a beginning and another end of the same user hold that up.
const TURN_LIMIT: Duration = Duration::from_secs(3600);
/// How long a script that a killed process has left running has to end.
const GRACE: Duration = Duration::from_secs(2);

/// What a record says has been done.
#[derive(Debug, Default)]
struct Past {
    session: Option<Session>,
    said: Settings,
    started: Vec<(Event, String)>,
    /// Started and not ended.
    running: Vec<Line>,
    has_begun: bool,
    began: bool,
    done: bool,
    added_done: bool,
    refused: bool,
}

impl Past {
    fn of(lines: Vec<Line>) -> Self {
        let mut past = Self::default();
        for line in lines {
            match &line {
                Line::Session(session) => past.session = Some((**session).clone()),
                Line::Begin { event: Event::Removed, .. } => past.began = true,
                Line::Done { event: Event::Removed, .. } => past.done = true,
                Line::Done { event: Event::Added, refused, .. } => {
                    past.added_done = true;
                    past.refused |= refused;
                }
                Line::Start { event, name, .. } => {
                    past.running.retain(|other| !is_of(other, *event, name));
                    past.started.push((*event, name.clone()));
                    past.running.push(line);
                }
                Line::End { event, name, .. } => past.running.retain(|other| !is_of(other, *event, name)),
                Line::Variables { said, .. } => past.said.take(&mut said.clone()),
                Line::Begin { event: Event::Added, .. } => past.has_begun = true,
                Line::Skipped { .. } | Line::Submitted { .. } => {}
            }
        }
        past
    }
}

fn is_of(line: &Line, wanted: Event, script: &str) -> bool {
    matches!(line, Line::Start { event, name, .. } if *event == wanted && name == script)
}

impl Stage<'_> {
    /// Runs the scripts of the end of the session `name`, and waits for them; nothing where that was done. What a killed
    /// process had begun is gone on with. Where somebody else is at it that is waited for if `waits`.
    pub fn end(&self, name: &str, waits: bool) -> Result<(), Error> {
        let journals = Journals::open(self.registry)?;
        let Some(journal) = journals.reopen(name)? else { return Ok(()) };
        // Until the scripts of its beginning have run in their order, or whoever ran them is dead.
        if !journal.lock(waits)? {
            return Ok(());
        }
        let past = Past::of(journal.lines()?);
        let Some(session) = past.session.clone() else {
            // Whoever began it was killed in that moment.
            return journals.put_away(name);
        };
        // Where none of its beginning had a turn there is nothing to be undone; and all may have been done by somebody
        // who was killed then.
        if past.has_begun && !past.done {
            self.run_end(&past, &session, &journal, &journals)?;
        } else {
            journals.leave(session.uid, name, TURN_LIMIT)?;
        }
        if let Some(key) = super::key_of(&session) {
            journals.unclaim(&key, name)?;
        }
        self.registry.forget_session(name)?;
        journals.put_away(name)
    }

    fn run_end(
        &self,
        past: &Past,
        session: &Session,
        journal: &Journal,
        journals: &Journals,
    ) -> Result<(), Error> {
        self.account_for(past, session, journal)?;
        if !past.began {
            journal.write(&Line::Begin { event: Event::Removed, at: now() })?;
        }
        let mut tasks = Vec::new();
        for world in session.worlds(self.policy).rev() {
            let found = worlds::tasks(world, Event::Removed, session, self.policy);
            skip_all(journal, session, &found.skipped)?;
            // What refused the session was told so, and is not told of its end.
            tasks.extend(found.tasks.into_iter().filter(|_| !past.refused));
        }
        if session.gate_open {
            let schedule = of_folder(self.policy, Folder::Removed)?;
            skip_all(journal, session, &schedule.skipped)?;
            // The folder's scripts undo what the last ones of the beginning did: they come before the worlds'.
            tasks.splice(0..0, schedule.tasks);
        }
        let mut said = past.said.clone();
        self.run_all(&tasks, past, session, journal, &mut said)?;
        let turn = journals.leave(session.uid, &session.name, TURN_LIMIT)?;
        if let Some(turn) = turn {
            self.last(&turn, past, session, journal, &mut said)?;
        }
        journal.write(&Line::Done { event: Event::Removed, at: now(), refused: false })
    }

    /// The user's last session: the turn is held until its scripts have run.
    fn last(
        &self,
        _turn: &Turn,
        past: &Past,
        session: &Session,
        journal: &Journal,
        said: &mut Settings,
    ) -> Result<(), Error> {
        if !session.gate_open {
            return Ok(());
        }
        let schedule = of_folder(self.policy, Folder::Last)?;
        skip_all(journal, session, &schedule.skipped)?;
        self.run_all(&schedule.tasks, past, session, journal, said)
    }

    /// Says what was cut off when a process of ours was killed, and ends what it has left running.
    fn account_for(&self, past: &Past, session: &Session, journal: &Journal) -> Result<(), Error> {
        for line in &past.running {
            let Line::Start { event, name, kind, process } = line else { continue };
            // One that nobody waits for goes on; its own watcher says how it ends.
            if *kind == Kind::Detached {
                continue;
            }
            if let Some(process) = process
                && let Ok(Some(pidfd)) = process.open()
            {
                sys::spawn::end_group(pidfd.as_fd(), process.pid, GRACE);
            }
            let how = "interrupted: whoever ran it was killed".to_owned();
            log::note(session, *event, &format!("{name}: {how}"));
            let (event, name) = (*event, name.clone());
            journal.write(&Line::End {
                event,
                name,
                how,
                failed: true,
                took: 0,
                output: String::new(),
                dropped: 0,
            })?;
        }
        if !past.added_done {
            let why =
                "whoever ran the scripts of the beginning was killed before the last of them".to_owned();
            skip_all(journal, session, &[Skipped { name: "added".to_owned(), why }])?;
        }
        Ok(())
    }

    fn run_all(
        &self,
        tasks: &[Task],
        past: &Past,
        session: &Session,
        journal: &Journal,
        said: &mut Settings,
    ) -> Result<(), Error> {
        // The view of a session that has ended may be another session's by now, or nobody's.
        let around = Around { session, event: Event::Removed, journal, view: None };
        for task in tasks {
            // Begun by somebody who was killed over it. It is not begun again.
            if past.started.iter().any(|(event, name)| *event == Event::Removed && *name == task.name) {
                continue;
            }
            if task.kind == Kind::Detached {
                let work = Work {
                    session: session.name.clone(),
                    event: Event::Removed,
                    is_list: false,
                    tasks: vec![task.clone()],
                    said: said.clone(),
                    view: None,
                };
                let own = Journals::open(self.registry)?.reopen(&session.name)?;
                background::fork_and_do(self.registry, work, own.as_ref())?;
                continue;
            }
            task::run(task, &around, Duration::MAX / 4, said)?;
        }
        Ok(())
    }

    /// Runs the scripts of every session that has ended without anybody noticing.
    pub fn sweep(&self) -> Result<(), Error> {
        self.sweep_by(&|name| self.end(name, false))
    }

    /// The same, but by systemd where that runs the host: for a process that may be short of rights, or be waited for.
    pub fn sweep_elsewhere(&self) -> Result<(), Error> {
        self.sweep_by(&|name| match background::hand_over_end(self.config, name) {
            true => Ok(()),
            false => self.end(name, false),
        })
    }

    fn sweep_by(&self, end: &dyn Fn(&str) -> Result<(), Error>) -> Result<(), Error> {
        let journals = Journals::open(self.registry)?;
        for name in journals.open_ones()? {
            let lives = self.registry.lives(&name)?;
            let is_ending = || -> Result<bool, Error> {
                let lines = journals.lines(&name)?.unwrap_or_default();
                Ok(lines.iter().any(|line| matches!(line, Line::Begin { event: Event::Removed, .. })))
            };
            // One that nobody leads lives on record until its end has run.
            if !lives || is_ending()? {
                // What is wrong with one keeps no other from its end.
                if let Err(error) = end(&name) {
                    log::error(&format!("{name}: {}", error.without_remedy()));
                }
            }
        }
        journals.sweep_files()
    }
}

fn skip_all(journal: &Journal, session: &Session, skipped: &[Skipped]) -> Result<(), Error> {
    skipped.iter().try_for_each(|skipped| {
        log::skipped(session, Event::Removed, skipped);
        let Skipped { name, why } = skipped.clone();
        journal.write(&Line::Skipped { event: Event::Removed, name, why })
    })
}
