//! Running one script: looked at, started, waited for, judged, written down.

use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::environment::environment;
use super::journal::{Journal, Line, OUTPUT_KEPT, Scratch};
use super::schedule::{Check, Dress, Judge, Output, Task};
use super::session::Session;
use super::variables::{self, Said, Settings};
use super::{log, text};
use crate::error::{Error, ErrorKind};
use crate::host;
use crate::model::scripts::{Event, Kind, Place, RunAs, Weight};
use crate::model::subject::Door;
use crate::registry::{self, ProcessId};
use crate::sys;
use crate::sys::path::Kind as FileKind;
use crate::sys::spawn::{Becomes, Ended, Heard};

/// How often, and after which pause, a script of an end is tried to be started where there is no room for a process.
const RETRIES: u32 = 60;
const PAUSE: Duration = Duration::from_secs(1);
/// The umask of scripts.
const UMASK: u32 = 0o022;

/// A session's view, for scripts that run there.
#[derive(Debug)]
pub struct View {
    /// The way in.
    pub door: registry::Door,
    /// Says that somebody is there: without one, the view ends with the user's last session, and what runs in it.
    pub lease: Option<OwnedFd>,
}

/// What a script is run for.
#[derive(Debug)]
pub struct Around<'a> {
    /// The session.
    pub session: &'a Session,
    /// Does it begin, or has it ended?
    pub event: Event,
    /// The record.
    pub journal: &'a Journal,
    /// Where the scripts of the session's view run; `None` where it has none of its own.
    pub view: Option<&'a View>,
}

/// What came of a script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// It did not do what it was there for.
    pub failed: bool,
    /// For that reason the session does not begin.
    pub refuses: bool,
    /// How it ended, in words.
    pub how: String,
    /// To be shown to whoever logs in.
    pub shown: String,
    /// What the older pam_script's script has written into the file for that.
    pub info: String,
}

/// How a start can fail before there is a script to fail by itself.
enum Start {
    Unfit(String),
    Error(Error),
}

/// Runs `task`, for `limit` at most, and keeps what it sets in `said`. What goes wrong with the script is the outcome; an
/// error is that nothing could be written down.
pub fn run(task: &Task, around: &Around<'_>, limit: Duration, said: &mut Settings) -> Result<Outcome, Error> {
    let (event, journal) = (around.event, around.journal);
    let start = Line::Start { event, name: task.name.clone(), kind: task.kind, process: None };
    journal.write(&start)?;
    let began = Instant::now();
    let ran = fit(task, around.view.is_some())
        .map_err(Start::Unfit)
        .and_then(|()| start_and_wait(task, around, limit, said).map_err(Start::Error));
    let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (how, ended, heard, mut extra) = match ran {
        Ok(Ran { ended, heard, written, not_started: None }) => {
            (in_words(ended), Some(ended), heard, written)
        }
        Ok(Ran { heard, not_started: Some(why), .. }) => (why, None, heard, Written::default()),
        Err(Start::Unfit(why)) => (format!("not run: {why}"), None, Heard::default(), Written::default()),
        Err(Start::Error(error)) => {
            (format!("not run: {}", error.without_remedy()), None, Heard::default(), Written::default())
        }
    };
    let failed = ended != Some(Ended::Status(0));
    let output = text::printable_lines(&heard.kept);
    if !extra.said.set.is_empty() || !extra.said.refused.is_empty() {
        said.take(&mut extra.said);
        journal.write(&Line::Variables { name: task.name.clone(), said: extra.said.clone() })?;
    }
    journal.write(&Line::End {
        event,
        name: task.name.clone(),
        how: how.clone(),
        failed,
        took,
        output: output.clone(),
        dropped: heard.dropped,
    })?;
    log::ended(around.session, event, task, &how, failed, took, &output, &extra.said.refused);
    let shown = if task.output == Output::Show { output } else { String::new() };
    if let Output::File(file) = &task.output {
        append_to_log(file.as_str(), &heard.kept);
    }
    Ok(Outcome { failed, refuses: failed && refuses(task, event, ended), how, shown, info: extra.info })
}

/// Does this failure keep the session from beginning?
fn refuses(task: &Task, event: Event, ended: Option<Ended>) -> bool {
    if event != Event::Added || task.kind != Kind::Wait {
        return false;
    }
    match task.judge {
        Judge::ByResult => task.settings.result == Weight::Required,
        // A status is the script's word; that it could not be run, or was ended by a signal, is the administrator's.
        Judge::AsPamScript { lenient } => matches!(ended, Some(Ended::Status(_))) || !lenient,
    }
}

/// May it be run at all? What runs in a view is looked at there.
fn fit(task: &Task, has_view: bool) -> Result<(), String> {
    if has_view && task.settings.place == Place::Session {
        return Ok(());
    }
    match task.check {
        Check::Strict => host::check_script(&task.path).map_err(chain),
        Check::AsPamScript => {
            let folder = task.path.parent().unwrap_or_else(crate::model::path::AbsPath::root);
            host::check_pam_script(&folder, FileKind::Directory)
                .and_then(|()| host::check_pam_script(&task.path, FileKind::File))
                .map_err(chain)
        }
        Check::None => Ok(()),
    }
}

/// An error with what it comes from, on one line.
fn chain(error: host::Unfit) -> String {
    Error::new(ErrorKind::Host, "").caused_by(error).without_remedy().trim_start_matches(": ").to_owned()
}

struct Ran {
    ended: Ended,
    heard: Heard,
    written: Written,
    /// Why the child did not become the script.
    not_started: Option<String>,
}

/// What a script wrote into the file that it was told of.
#[derive(Default)]
struct Written {
    said: Said,
    info: String,
}

/// Who the script runs as: user id, group id, groups; `None` for root.
type Rights = Option<(u32, u32, Vec<u32>)>;

fn start_and_wait(task: &Task, around: &Around<'_>, limit: Duration, said: &Settings) -> Result<Ran, Error> {
    let failed =
        |error: sys::Error| Error::new(ErrorKind::Host, format!("cannot run {}", task.path)).caused_by(error);
    let view = around.view.filter(|_| task.settings.place == Place::Session);
    let rights = rights(task, around.session)?;
    let said = if rights.is_none() { said.for_root() } else { said.for_session() };
    let mut environment = environment(task.dress, around.session, around.event, task.settings.user, &said);
    let talks = (task.kind == Kind::Wait && task.dress == Dress::Native && around.event == Event::Added)
        || task.dress == Dress::OnSession;
    let told = if task.dress == Dress::OnSession { "PAM_SCRIPT_INFO" } else { "SESSION_ENV" };
    if task.dress == Dress::Native {
        // A script that serves several times need not ask which one it is.
        environment.insert("SESSION_ENV".to_owned(), "/dev/null".to_owned());
    }
    let told = if talks {
        let file = Told::new(around, rights.as_ref(), view)?;
        environment.insert(told.to_owned(), file.path().to_owned());
        Some(file)
    } else {
        None
    };
    let file = told.as_ref().and_then(Told::inherited);
    let environment: Vec<(OsString, OsString)> =
        environment.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    let path = OsString::from(task.path.as_str());
    let arguments: Vec<OsString> =
        std::iter::once(path.clone()).chain(task.arguments.iter().map(OsString::from)).collect();
    let null = sys::spawn::null().map_err(failed)?;

    let processes = view.map(Processes::of).transpose().map_err(failed)?;
    let becomes = if rights.is_none() { Becomes::Root } else { Becomes::User };
    let mut patience = if around.event == Event::Removed { RETRIES } else { 0 };
    let watched = loop {
        let started = sys::spawn::start(null.as_fd(), becomes, || {
            become_script(task, view, rights.as_ref(), file, &path, &arguments, &environment)
        });
        match started {
            // The user may have left as many processes as there may be; the end is not given up for that.
            Err(error) if patience > 0 && is_shortage(&error) => {
                patience -= 1;
                std::thread::sleep(PAUSE);
            }
            other => break other.map_err(failed)?,
        }
    };
    drop(processes);
    // Written down so that whoever comes after a killed runner can end it.
    if let Ok(Some(process)) = ProcessId::of_child(watched.pid(), watched.pidfd()) {
        let (event, name) = (around.event, task.name.clone());
        around.journal.write(&Line::Start { event, name, kind: task.kind, process: Some(process) })?;
    }
    let limit = limit.min(Duration::from_secs(task.settings.timeout.into()));
    let grace = Duration::from_secs(task.settings.grace.into());
    let (ended, heard, not_started) = watched.wait(limit, grace, OUTPUT_KEPT).map_err(failed)?;
    let written = match &told {
        Some(told) if not_started.is_none() => {
            let mut written = told.take(task).map_err(failed)?;
            written.said.is_of_user = rights.is_some();
            written
        }
        _ => Written::default(),
    };
    Ok(Ran { ended, heard, written, not_started })
}

/// The file that a script is told of.
enum Told<'a> {
    /// Root's scripts find it by its name. One file serves all scripts of a beginning.
    Named(&'a Scratch),
    /// Whoever cannot open that one, or does not see it, has it as descriptor 3.
    Inherited(OwnedFd),
}

impl<'a> Told<'a> {
    fn new(
        around: &Around<'a>,
        rights: Option<&(u32, u32, Vec<u32>)>,
        view: Option<&View>,
    ) -> Result<Self, Error> {
        if rights.is_none() && view.is_none() {
            return around.journal.scratch().map(Self::Named);
        }
        let uid = rights.map_or(0, |(uid, ..)| *uid);
        sys::spawn::memory_file(uid)
            .map(Self::Inherited)
            .map_err(|error| Error::new(ErrorKind::Host, "cannot make a file in memory").caused_by(error))
    }

    fn path(&self) -> &str {
        match self {
            Self::Named(scratch) => &scratch.path,
            Self::Inherited(_) => "/dev/fd/3",
        }
    }

    /// What this script has written.
    fn take(&self, task: &Task) -> sys::Result<Written> {
        let text = match self {
            Self::Named(scratch) => scratch.take(variables::TEXT_MAX + 1)?,
            Self::Inherited(file) => sys::spawn::read_up_to(file.as_fd(), variables::TEXT_MAX + 1)?,
        };
        if task.dress == Dress::OnSession {
            let info = String::from_utf8_lossy(&text).into_owned();
            return Ok(Written { info, ..Written::default() });
        }
        Ok(Written { said: variables::read(&text, &task.settings.allow_env), info: String::new() })
    }

    fn inherited(&self) -> Option<&OwnedFd> {
        match self {
            Self::Named(_) => None,
            Self::Inherited(file) => Some(file),
        }
    }
}

fn rights(task: &Task, session: &Session) -> Result<Rights, Error> {
    match (&task.other_user, task.settings.user) {
        (Some(other), _) if *other != session.user => {
            let other = host::subject(other, Door::command_line())?;
            Ok(Some((other.uid, other.gid, other.groups)))
        }
        (Some(_), _) | (None, RunAs::User) => Ok(Some((session.uid, session.gid, session.groups.clone()))),
        (None, RunAs::Root) => Ok(None),
    }
}

fn is_shortage(error: &sys::Error) -> bool {
    matches!(Errno::from_raw_os_error(error.errno()), Errno::AGAIN | Errno::NOMEM)
}

/// In the child: becomes the script, or says why not.
fn become_script(
    task: &Task,
    view: Option<&View>,
    rights: Option<&(u32, u32, Vec<u32>)>,
    file: Option<&OwnedFd>,
    path: &OsString,
    arguments: &[OsString],
    environment: &[(OsString, OsString)],
) -> String {
    let prepared = (|| -> Result<(), Error> {
        let failed = |error: sys::Error| Error::new(ErrorKind::Enter, "not run").caused_by(error);
        if let Some(view) = view {
            enter(view).map_err(failed)?;
            if rights.is_none() {
                host::expect_reliable()?;
            }
            if let Err(why) = fit(task, false) {
                return Err(Error::new(
                    ErrorKind::Enter,
                    format!(
                        "not run: in the session's view {why}; have the map show it there, or set where = \"host\" for it"
                    ),
                ));
            }
        }
        sys::path::change_directory("/").map_err(failed)?;
        sys::process::set_umask(UMASK);
        sys::signal::restore_defaults();
        sys::signal::unblock_all().map_err(failed)?;
        sys::process::no_core_files().map_err(failed)?;
        let first_closed = match file {
            Some(file) => sys::spawn::put_at_three(file.as_fd()).map(|()| 4).map_err(failed)?,
            None => 3,
        };
        match rights {
            // Before the user can stop it: who holds the locks of a record holds up its end.
            Some((uid, gid, groups)) => sys::fd::close_from(first_closed)
                .and_then(|()| become_user(*uid, *gid, groups))
                .map_err(failed),
            None => sys::fd::close_on_exec_from(first_closed).map_err(failed),
        }
    })();
    if let Err(error) = prepared {
        return error.without_remedy();
    }
    match sys::process::execute(path, arguments, environment) {
        Ok(never) => match never {},
        Err(error) => why_not_started(task, &error),
    }
}

/// While it lives, this process's children are born among the processes of a view.
struct Processes(OwnedFd);

impl Processes {
    fn of(view: &View) -> sys::Result<Self> {
        let own = sys::pidfd::open(rustix::process::getpid().as_raw_nonzero().get())?
            .ok_or_else(|| sys::Error::new("pidfd_open(own pid)", Errno::SRCH))?;
        if let registry::Door::Init(keeper) = &view.door {
            sys::nsfs::enter_pids_of(keeper.as_fd())?;
        }
        Ok(Self(own))
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        // The kernel lets every process back into its own.
        let _ = sys::nsfs::enter_pids_of(self.0.as_fd());
    }
}

fn enter(view: &View) -> sys::Result<()> {
    match &view.door {
        registry::Door::Init(keeper) => sys::nsfs::enter_mounts_of(keeper.as_fd()),
        registry::Door::Mounts(namespace) => sys::nsfs::enter_mounts(namespace.as_fd()),
    }
}

fn become_user(uid: u32, gid: u32, groups: &[u32]) -> sys::Result<()> {
    sys::identity::set_groups(groups)?;
    sys::identity::set_gid(gid)?;
    sys::capability::clear_ambient()?;
    sys::identity::set_uid(uid)?;
    if uid != 0 && sys::identity::set_uid(0).is_ok() {
        return Err(sys::Error::new("uid 0 could be had back after it was given up", Errno::PERM));
    }
    Ok(())
}

/// The three things that are most often wrong have words of their own.
fn why_not_started(task: &Task, error: &sys::Error) -> String {
    let path = &task.path;
    match Errno::from_raw_os_error(error.errno()) {
        Errno::NOENT | Errno::NOTDIR => {
            format!("not run: {path} is missing, or the interpreter that its first line names")
        }
        Errno::NOEXEC => {
            format!("not run: {path} is no program, and has no first line such as #!/bin/sh")
        }
        Errno::ACCESS => format!("not run: {path} is not executable, or lies on a mount with noexec"),
        _ => format!("not run: execve({path}): {}", error.reason()),
    }
}

fn in_words(ended: Ended) -> String {
    match ended {
        Ended::Status(code) => format!("exit {code}"),
        Ended::Signal(number) => format!("signal {number}"),
        Ended::TimedOut(false) => "timed out, and ended when it was asked to".to_owned(),
        Ended::TimedOut(true) => "timed out, and was killed".to_owned(),
        Ended::Stuck => {
            "timed out, and cannot be killed: it waits for a file system that does not answer".to_owned()
        }
    }
}

/// `log=` of pam_exec: appended, with a head. The file is the administrator's own word.
fn append_to_log(path: &str, bytes: &[u8]) {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let opened = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    if let Ok(mut file) = opened {
        let head = format!("*** session-scripts at {}\n", super::journal::now());
        let _ = file.write_all(head.as_bytes()).and_then(|()| file.write_all(bytes));
    }
}
