//! Sessions that last until they are ended: begun, and begun again after a restart of the host.
#![forbid(unsafe_code)]

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};

use serde::{Deserialize, Serialize};
use session_sandbox::cli::control::Begin;
use session_sandbox::model::subject::Door;
use session_sandbox::plan::{self, Request};
use session_sandbox::registry::{ProcessId, Registry};
use session_sandbox::run::{Ground, Kernel, Origin};
use session_sandbox::scripts::begin::{Stage, Stands, is_anything_there};
use session_sandbox::scripts::filter;
use session_sandbox::scripts::session::Source;
use session_sandbox::scripts::task::View;
use session_sandbox::scripts::watch::Sign;
use session_sandbox::sys::durable::Ownership;
use session_sandbox::sys::process::{Fork, NewNamespaces};
use session_sandbox::{Error, ErrorKind, host, run, sys};

/// Where it is written down what is to be begun again.
const BELOW: &str = "/var/lib";
const FOLDER: [&str; 2] = ["session-sandbox", "begun"];
/// What the process is called that is the session.
const NAME: &std::ffi::CStr = c"session-holder";

/// What is written down.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    /// In another boot the name is another session's.
    boot: String,
    begin: Begin,
}

/// Begins a session, and prints its name.
pub(crate) fn begin(asked: &Begin) -> Result<u8, Error> {
    match start(asked)? {
        Some(name) => {
            remember(&name, asked)?;
            super::print(&format!("{name}\n"))
        }
        None => Ok(ErrorKind::Enter.exit_code()),
    }
}

/// Begins again what does not live any more, and prints the old and the new name of each.
pub(crate) fn recover() -> Result<u8, Error> {
    let folder = folder()?;
    let boot = sys::kernel::boot_id().map_err(failed)?;
    let registry = Registry::open()?;
    let mut status = 0;
    let mut names = sys::path::list(folder.as_fd()).map_err(failed)?;
    names.retain(|name| name.starts_with("Session"));
    names.sort_by_key(|name| (name.len(), name.clone()));
    for name in names {
        let text = sys::path::read_if_there(folder.as_fd(), &name).map_err(failed)?;
        let Some(written) = text.and_then(|text| serde_json::from_slice::<Written>(&text).ok()) else {
            continue;
        };
        if written.boot == boot && registry.lives(&name)? {
            continue;
        }
        match start(&written.begin)? {
            Some(new) => {
                remember(&new, &written.begin)?;
                if new != name {
                    forget(&name)?;
                }
                super::print(&format!("{name} {new}\n"))?;
            }
            // It has said why, and stays on file.
            None => status = ErrorKind::Enter.exit_code(),
        }
    }
    Ok(status)
}

/// The session of this name is not to be begun again.
pub(crate) fn forget(name: &str) -> Result<(), Error> {
    if name.contains('/') {
        return Ok(());
    }
    sys::durable::remove(folder()?.as_fd(), name).map_err(failed)
}

fn remember(name: &str, begin: &Begin) -> Result<(), Error> {
    let written = Written { boot: sys::kernel::boot_id().map_err(failed)?, begin: begin.clone() };
    let text = serde_json::to_vec(&written)
        .map_err(|error| Error::new(ErrorKind::Host, "cannot write JSON").caused_by(error))?;
    let ownership = Ownership { mode: 0o600, uid: 0, gid: 0 };
    sys::durable::replace(folder()?.as_fd(), name, &text, ownership).map_err(failed)
}

fn folder() -> Result<OwnedFd, Error> {
    let below = sys::path::open_place(BELOW).map_err(failed)?;
    let [first, second] = FOLDER;
    if !sys::path::is_there(below.as_fd(), first).map_err(failed)? {
        sys::path::make_directory(below.as_fd(), first, 0o755).map_err(failed)?;
    }
    let first = sys::path::open_directory(below.as_fd(), first).map_err(failed)?;
    sys::path::private_directory(first.as_fd(), second).map_err(failed)
}

fn failed(error: sys::Error) -> Error {
    Error::new(ErrorKind::Host, format!("cannot keep {BELOW}/{}", FOLDER.join("/"))).caused_by(error)
}

/// Starts the process that is the session. `None` when it has failed, and said why.
fn start(asked: &Begin) -> Result<Option<String>, Error> {
    let failed = |error: sys::Error| Error::new(ErrorKind::Enter, "cannot begin a session").caused_by(error);
    let (hear, tell) = sys::fd::pipe().map_err(failed)?;
    match sys::process::fork(NewNamespaces::default()).map_err(failed)? {
        Fork::Child => {
            drop(hear);
            let error = match hold(asked, tell) {
                Ok(()) => sys::process::exit_now(0),
                Err(error) => error,
            };
            let _ = writeln!(std::io::stderr(), "sessionctl: {}", error.chain());
            sys::process::exit_now(error.kind().exit_code())
        }
        Fork::Parent(_) => {
            drop(tell);
            let name = sys::path::read_open(hear.as_fd()).map_err(failed)?;
            Ok(String::from_utf8(name).ok().filter(|name| !name.is_empty()))
        }
    }
}

/// Opens the session and is it, until somebody ends this process.
fn hold(asked: &Begin, tell: OwnedFd) -> Result<(), Error> {
    let failed = |error: sys::Error| Error::new(ErrorKind::Enter, "cannot begin a session").caused_by(error);
    sys::process::new_session().map_err(failed)?;
    let service = asked.service.clone().unwrap_or_else(|| "sessionctl".to_owned());
    let subject = host::subject(&asked.user, Door { service, ..Door::command_line() })?;
    let map = host::load_policy(asked.config.as_deref())?;
    let policy = host::load_script_policy(None)?;
    let origin = Origin::take()?;
    let ground = Ground::open();
    let leader = ProcessId::own().map_err(failed)?;
    let on_record = ground.begin_session_of(&subject, leader, true)?;
    let name = on_record.name().unwrap_or_default().to_owned();
    let stage = Stage { registry: ground.registry()?, policy: &policy, config: None };
    let facts = [("service".to_owned(), subject.door.service.clone())].into();
    let mut begun = None;
    if is_anything_there(&policy, &[])
        && let Some(session) = filter::session_of(&policy, &subject, Source::Hand, facts, &[])?
    {
        let session = session_sandbox::scripts::session::Session {
            name: name.clone(),
            leader: Some(leader),
            ..session
        };
        let prepared = stage.prepare(session, Some(Sign::Leader(leader)))?;
        begun = Some(stage.begin(prepared, true, &mut |_| ())?);
    }
    let refused = |begun: &Option<session_sandbox::scripts::begin::Begun>| match begun
        .as_ref()
        .and_then(|b| b.refusal.as_ref())
    {
        Some(refusal) => Err(Error::new(
            ErrorKind::Enter,
            format!("a session script refuses the session: {}", refusal.why),
        )),
        None => Ok(()),
    };
    refused(&begun)?;
    let request = Request { profile: asked.profile.clone(), ..Request::default() };
    let mut facts = host::facts(&map, &subject, &request)?;
    facts.base = ground.has_base();
    let plan = plan::plan(&map, &subject, &request, &facts)?;
    let mut kernel = Kernel::new(&plan, &ground);
    let opened = run::open_door(&plan, &ground, &origin, leader, Some(on_record), &mut kernel)?;
    let doorway = opened.ok_or_else(|| Error::new(ErrorKind::Enter, "this is the user's view already"))?;
    if let Some(begun) = &mut begun {
        let view = View { door: doorway.door.try_clone()?, lease: None };
        stage.finish(begun, Stands::In(&view), &mut |_| ())?;
    }
    refused(&begun)?;
    let signals = sys::signal::Queue::open().map_err(failed)?;
    sys::process::set_name(NAME).map_err(failed)?;
    sys::path::write_all(tell.as_fd(), name.as_bytes()).map_err(failed)?;
    drop(tell);
    sys::fd::drop_standard().map_err(failed)?;
    loop {
        sys::signal::wait_readable(&[signals.as_fd()]).map_err(failed)?;
        while let Some(signal) = signals.next().map_err(failed)? {
            if signal.is_terminate() {
                // What it holds says that the session lives, and goes with it.
                return Ok(());
            }
        }
    }
}
