//! What nobody waits for: run by a process of our own, by systemd, or by the at daemon.
//!
//! The work is written into a file first. Whoever does it, a forked child here or `session-scripts background` there,
//! takes the file, so that it is done once.

use std::ffi::{CStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::begin::Stage;
use super::environment::PATH;
use super::journal::{Journal, Line, now};
use super::journals::Journals;
use super::log;
use super::schedule::Task;
use super::session::Session;
use super::task::{self, Around, View};
use super::variables::Settings;
use crate::error::{Error, ErrorKind};
use crate::model::scripts::{Event, Launcher, Place};
use crate::registry::{self, Registry};
use crate::sys;
use crate::sys::process::{Fork, NewNamespaces};
use crate::sys::spawn::Becomes;

/// The program that systemd and the at daemon are given.
const PROGRAM: &str = "/usr/bin/session-scripts";
const SYSTEMD_RUN: &str = "/usr/bin/systemd-run";
/// There where systemd runs the host: sd_booted(3).
const SYSTEMD: &str = "/run/systemd/system";
const AT: &str = "/usr/bin/at";
/// How long either may take to accept a job.
const ACCEPTANCE: Duration = Duration::from_secs(10);
/// What such a process is called.
const NAME: &CStr = c"session-scripts";

/// Some scripts of a session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Work {
    /// Whose.
    pub session: String,
    /// When.
    pub event: Event,
    /// Is it the list, behind which the event is done? Otherwise it is one script that goes its own way.
    pub is_list: bool,
    /// In this order.
    pub tasks: Vec<Task>,
    /// What scripts before them have set.
    pub said: Settings,
    /// The session's view, by name and generation, where it has one of its own.
    pub view: Option<(String, u32)>,
}

/// Hands `work` to whoever does it, and does not wait for it.
pub(super) fn submit(
    stage: &Stage<'_>,
    journals: &Journals,
    journal: &Journal,
    session: &Session,
    work: Work,
) -> Result<(), Error> {
    let names = work.tasks.iter().map(|task| task.name.clone()).collect();
    let launcher = stage.policy.launcher;
    let to = match launcher {
        Launcher::Process => "process",
        Launcher::Systemd => "systemd",
        Launcher::At => "at",
    };
    let (event, is_list) = (work.event, work.is_list);
    journal.write(&Line::Submitted { event, to: to.to_owned(), is_list, names })?;
    if launcher != Launcher::Process {
        let number = journals.put_work(&work)?;
        match hand_over(launcher, stage.config, &work.session, &number) {
            Ok(()) => return Ok(()),
            Err(error) => {
                // Better done here than not at all.
                let what = format!("{}; done by a process of our own", error.without_remedy());
                log::note(session, work.event, &what);
                drop(journals.take_work(&number)?);
            }
        }
    }
    if work.is_list {
        return fork_and_do(stage.registry, work, Some(journal));
    }
    // One that goes its own way is not waited for by what comes after.
    let own = journals.reopen(&work.session)?;
    fork_and_do(stage.registry, work, own.as_ref())
}

/// Does `work` in a child that nobody waits for, with this descriptor of the record, which stays the record's wherever that
/// is put. If it is the locked one, what comes after waits for it.
pub(super) fn fork_and_do(registry: &Registry, work: Work, journal: Option<&Journal>) -> Result<(), Error> {
    let failed =
        |error: sys::Error| Error::new(ErrorKind::Host, "cannot go on in the background").caused_by(error);
    let Some(journal) = journal else {
        return Err(Error::new(ErrorKind::Host, format!("there is no record of {}", work.session)));
    };
    detach(registry, &[journal.as_fd(), journal.folder()], || {
        let _ = sys::process::set_name(NAME);
        let _ = carry_out(registry, work, journal);
    })
    .map_err(failed)
}

/// Does `work` in a process that nobody waits for and that has nothing of this one's open but `kept`.
pub(super) fn detach(registry: &Registry, kept: &[BorrowedFd<'_>], work: impl FnOnce()) -> sys::Result<()> {
    // Two forks, so that it is nobody's child here.
    match sys::process::fork(NewNamespaces::default())? {
        Fork::Parent(child) => match sys::signal::wait_for_end(child)? {
            true => Ok(()),
            false => Err(sys::Error::new("fork() for the background", rustix::io::Errno::AGAIN)),
        },
        Fork::Child => {
            let forked =
                sys::process::new_session().and_then(|()| sys::process::fork(NewNamespaces::default()));
            if let Ok(Fork::Child) = &forked {
                let alone = sys::fd::drop_standard().and_then(|()| registry.close_all_but_this(kept));
                if alone.is_ok() {
                    work();
                }
            }
            sys::process::exit_now(u8::from(forked.is_err()))
        }
    }
}

/// Runs the scripts of `work`, one after the other.
pub fn carry_out(registry: &Registry, mut work: Work, journal: &Journal) -> Result<(), Error> {
    let lines = journal.lines()?;
    let session = lines.iter().rev().find_map(|line| match line {
        Line::Session(session) => Some(session.clone()),
        _ => None,
    });
    // The end of the session is not waited for by its list where that was handed to somebody else.
    let has_ended =
        work.is_list && lines.iter().any(|line| matches!(line, Line::Begin { event: Event::Removed, .. }));
    let Some(session) = session else { return Ok(()) };
    let view = match &work.view {
        Some((name, generation)) => living(registry, name, *generation)?,
        None => None,
    };
    let is_gone = work.view.is_some() && view.is_none();
    let around = Around { session: &session, event: work.event, journal, view: view.as_ref() };
    for task in std::mem::take(&mut work.tasks) {
        if has_ended {
            let why = "the session had ended before its turn".to_owned();
            journal.write(&Line::Skipped { event: work.event, name: task.name.clone(), why })?;
            continue;
        }
        if is_gone && task.settings.place == Place::Session {
            let why = "the session's view had ended before its turn".to_owned();
            journal.write(&Line::Skipped { event: work.event, name: task.name.clone(), why })?;
            continue;
        }
        task::run(&task, &around, Duration::MAX / 4, &mut work.said)?;
    }
    if work.is_list {
        journal.write(&Line::Done { event: work.event, at: now(), refused: false })?;
    }
    Ok(())
}

/// Does work that was written down, as systemd or the at daemon has it done.
pub fn take_and_do(registry: &Registry, name: &str) -> Result<(), Error> {
    let journals = Journals::open(registry)?;
    // Somebody else may have taken it.
    let Some(work) = journals.take_work(name)? else { return Ok(()) };
    let Some(journal) = journals.reopen_any(&work.session)? else { return Ok(()) };
    if work.is_list {
        journal.lock(true)?;
    }
    carry_out(registry, work, &journal)
}

/// The view of that name and generation, if it lives.
fn living(registry: &Registry, name: &str, generation: u32) -> Result<Option<View>, Error> {
    let scope = registry.scope(name)?;
    let living = scope.living()?.into_iter().find(|view| view.record.generation == generation);
    if living.is_none() {
        let _ = scope.remove_if_empty();
    }
    // With the lease: a script that works in a view is there, like a session.
    Ok(living.map(|view| View { door: view.door, lease: view.lease }))
}

/// Has systemd or the at daemon run `session-scripts background`.
fn hand_over(launcher: Launcher, config: Option<&str>, session: &str, number: &str) -> Result<(), Error> {
    let mut command = vec![PROGRAM.to_owned(), "background".to_owned(), format!("--name={number}")];
    command.extend(config.map(|config| format!("--config={config}")));
    if launcher == Launcher::At {
        return start(AT, vec!["now".to_owned()], Some(format!("exec {}\n", command.join(" "))));
    }
    start(SYSTEMD_RUN, as_unit(session, number.rsplit('-').next().unwrap_or("0"), command), None)
}

/// Has systemd, where it runs the host, run the scripts of the session's end, and says whether it does. A process that
/// comes from a login is in the login's control group, or in the display manager's service: whatever is there when that is
/// stopped is asked to end, and killed then.
pub(super) fn hand_over_end(config: Option<&str>, session: &str) -> bool {
    if !std::path::Path::new(SYSTEMD).is_dir() || !is_seen_by_systemd() {
        return false;
    }
    let mut command =
        vec![PROGRAM.to_owned(), "removed".to_owned(), format!("--name={session}"), "--wait".to_owned()];
    command.extend(config.map(|config| format!("--config={config}")));
    match start(SYSTEMD_RUN, as_unit(session, "end", command), None) {
        Ok(()) => true,
        Err(error) => {
            log::error(&format!("{}; done by a process of our own", error.without_remedy()));
            false
        }
    }
}

/// Does systemd see the same program and the same state as this process, which may be in a container or a test?
fn is_seen_by_systemd() -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |path: String| std::fs::metadata(path).ok().map(|it| (it.dev(), it.ino()));
    [PROGRAM, registry::FOLDER].into_iter().all(|path| {
        let here = identity(path.to_owned());
        here.is_some() && here == identity(format!("/proc/1/root{path}"))
    })
}

/// The arguments with which systemd-run makes a service of `command`.
fn as_unit(session: &str, what: &str, command: Vec<String>) -> Vec<String> {
    let mut arguments = vec![
        "--quiet".to_owned(),
        "--collect".to_owned(),
        "--no-ask-password".to_owned(),
        format!("--unit=session-scripts-{session}-{what}"),
        format!("--description=Session scripts of {session}"),
        "--".to_owned(),
    ];
    arguments.extend(command);
    arguments
}

/// Starts `program`, which is to accept a job, and waits until it has.
fn start(program: &str, arguments: Vec<String>, input: Option<String>) -> Result<(), Error> {
    let failed = |error: sys::Error| {
        Error::new(ErrorKind::Host, format!("cannot hand scripts to {program}")).caused_by(error)
    };
    let stdin: OwnedFd = match input {
        None => sys::spawn::null().map_err(failed)?,
        Some(text) => {
            let (read, write) = sys::fd::pipe().map_err(failed)?;
            sys::path::write_all(write.as_fd(), text.as_bytes()).map_err(failed)?;
            read
        }
    };
    let environment = [(OsString::from("PATH"), OsString::from(PATH))];
    let path = OsString::from(program);
    let arguments: Vec<OsString> =
        std::iter::once(path.clone()).chain(arguments.into_iter().map(OsString::from)).collect();
    let watched = sys::spawn::start(stdin.as_fd(), Becomes::Root, || {
        // What this process ignores it ignores, too: it may be started while everything around it is asked to end.
        let prepared = sys::signal::unblock_all().and_then(|()| sys::fd::close_on_exec_from(3));
        match prepared.and_then(|()| sys::process::execute(&path, &arguments, &environment)) {
            Ok(never) => match never {},
            Err(error) => error.to_string(),
        }
    })
    .map_err(failed)?;
    let (ended, heard, refused) = watched.wait(ACCEPTANCE, Duration::from_secs(1), 1000).map_err(failed)?;
    match (ended, refused) {
        (sys::spawn::Ended::Status(0), None) => Ok(()),
        (_, Some(why)) => {
            Err(Error::new(ErrorKind::Host, format!("cannot hand scripts to {program}: {why}")))
        }
        (other, None) => {
            let text = super::text::printable(&String::from_utf8_lossy(&heard.kept));
            Err(Error::new(ErrorKind::Host, format!("{program} did not take scripts: {other:?} {text}")))
        }
    }
}
