//! Directories of the host that are made for a login, and the program that gets a new view ready.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;

use super::{Phase, StepError, describe};
use crate::host;
use crate::model::instance::Holder;
use crate::plan::step::{Create, Init, Like, Step};
use crate::sys;
use crate::sys::path::{Kind, Links, Status};
use crate::sys::spawn::{Becomes, Ended};

/// How long what gets a view ready may take. Another login of the user waits for the view, for 5 s at most.
const INIT_LIMIT: Duration = Duration::from_secs(3);
const INIT_GRACE: Duration = Duration::from_millis(200);
/// As much of what it says is told.
const SAID_MAX: usize = 1000;

/// Makes the directory, unless it is there. Is it new?
pub(super) fn make(create: &Create) -> Result<bool, StepError> {
    let step = Step::Create(create);
    let failed = |error: sys::Error| StepError::new(Phase::Build, describe(&step), error);
    let refused = |path: &str, status: Status, must: &str| {
        let message = format!("{path} belongs to uid {} with mode 0{:o}", status.uid, status.mode);
        failed(sys::Error::new(message, Errno::PERM)).help(must.to_owned())
    };
    let Some(name) = create.at.file_name() else {
        return Err(failed(sys::Error::new("mkdir(\"/\")", Errno::EXIST)));
    };
    let mut holder = sys::path::open_root().map_err(failed)?;
    let mut path = String::new();
    let depth = create.at.depth();
    for (at, part) in create.at.components().enumerate().take(depth.saturating_sub(1)) {
        path.push('/');
        path.push_str(part);
        let is_holder = at + 2 == depth;
        // As pam_namespace does it: what holds instances is made, and nothing above it.
        let is_made = is_holder && matches!(create.like, Like::Path(_));
        holder = descend(holder.as_fd(), part, is_made).map_err(failed)?;
        let status = sys::path::status(holder.as_fd()).map_err(failed)?;
        let shared = !is_holder || create.holder == Holder::Shared;
        let is_roots = status.mode & 0o022 == 0 || (shared && status.mode & 0o1000 != 0);
        let is_on_the_way = !is_holder && Some(status.uid) == create.through;
        if (status.uid != 0 && !is_on_the_way) || !is_roots {
            return Err(refused(&path, status, "root must own it, and nobody else may write to it"));
        }
    }
    let status = sys::path::status(holder.as_fd()).map_err(failed)?;
    if create.holder == Holder::Closed && (status.uid != 0 || status.mode & 0o777 != 0) {
        let path = if path.is_empty() { "/" } else { &path };
        return Err(refused(
            path,
            status,
            "give it to root with mode 000, or say ignore_instance_parent_mode",
        ));
    }
    match sys::path::make_directory(holder.as_fd(), name, 0) {
        Ok(()) => {}
        Err(error) if error.errno() == Errno::EXIST.raw_os_error() => {
            let there = sys::path::open(holder.as_fd(), name, Links::Refuse).map_err(failed)?;
            let status = sys::path::status(there.as_fd()).map_err(failed)?;
            if status.kind != Kind::Directory {
                return Err(failed(sys::Error::new(create.at.to_string(), Errno::NOTDIR))
                    .help("move it away: a directory has to be there"));
            }
            // Without any bit it is one that somebody was killed over.
            if (status.uid, status.mode) != (0, 0) {
                return Ok(false);
            }
        }
        Err(error) => return Err(failed(error)),
    }
    let (mode, uid, gid) = match &create.like {
        Like::Said { mode, owner } => (*mode, owner.uid, owner.gid),
        Like::Path(model) => {
            let root = sys::path::open_root().map_err(failed)?;
            let model = sys::path::open(root.as_fd(), model.relative(), Links::Refuse).map_err(failed)?;
            let status = sys::path::status(model.as_fd()).map_err(failed)?;
            (status.mode, status.uid, status.gid)
        }
    };
    let made = sys::path::open_directory(holder.as_fd(), name).map_err(failed)?;
    sys::path::settle(made.as_fd(), uid, gid, mode).map_err(failed)?;
    Ok(true)
}

/// The directory `name` in `above`; if it `is_made` and missing, a new one, closed to everybody but root.
fn descend(above: BorrowedFd<'_>, name: &str, is_made: bool) -> sys::Result<OwnedFd> {
    match sys::path::open_directory(above, name) {
        Err(error) if is_made && error.errno() == Errno::NOENT.raw_os_error() => {
            match sys::path::make_directory(above, name, 0) {
                Err(error) if error.errno() != Errno::EXIST.raw_os_error() => Err(error),
                _ => sys::path::open_directory(above, name),
            }
        }
        other => other,
    }
}

/// Runs it as root, inside. What it says and how it ends counts for nothing, unless it was killed.
pub(super) fn run(init: &Init, is_new: bool) -> Result<(), StepError> {
    let step = Step::Init(init);
    let failed = |error: sys::Error| StepError::new(Phase::Enter, describe(&step), error);
    let place = match host::walk(&init.program, host::Trust::ROOT) {
        Ok(place) => place,
        Err(error) if error.is_missing() => return Ok(()),
        Err(error) => {
            return Err(StepError::new(Phase::Enter, describe(&step), error)
                .help("root must own it and every directory on the way, and nobody else may write there"));
        }
    };
    let status = sys::path::status(place.as_fd()).map_err(failed)?;
    if status.kind != Kind::File || status.mode & 0o111 == 0 {
        return Err(failed(sys::Error::new(format!("execve({:?})", init.program.as_str()), Errno::ACCESS))
            .help("make it executable, or take it away: a missing one is no mistake"));
    }
    let instance = init.instance.as_ref().map_or("tmpfs", |instance| instance.as_str());
    let arguments: Vec<OsString> = [
        init.program.as_str(),
        init.directory.as_str(),
        instance,
        if is_new { "1" } else { "0" },
        init.user.as_str(),
    ]
    .map(OsString::from)
    .to_vec();
    let null = sys::spawn::null().map_err(failed)?;
    let program = sys::spawn::start(null.as_fd(), Becomes::Root, || {
        sys::process::set_umask(0o022);
        sys::signal::restore_defaults();
        let started = sys::signal::unblock_all()
            .and_then(|()| sys::process::execute(arguments[0].as_os_str(), &arguments, &[]));
        match started {
            Ok(never) => match never {},
            Err(error) => error.to_string(),
        }
    })
    .map_err(failed)?;
    let (ended, heard, _) = program.wait(INIT_LIMIT, INIT_GRACE, SAID_MAX).map_err(failed)?;
    let why = match ended {
        Ended::Status(_) => return Ok(()),
        Ended::Signal(number) => format!("it was ended by signal {number}"),
        Ended::TimedOut(_) | Ended::Stuck => format!("it did not end within {} s", INIT_LIMIT.as_secs()),
    };
    let said = String::from_utf8_lossy(&heard.kept);
    let said = if said.trim().is_empty() { String::new() } else { format!(", and said {:?}", said.trim()) };
    Err(failed(sys::Error::new(format!("{why}{said}"), Errno::CANCELED))
        .help(format!("try it by hand as root: {}", init.program)))
}
