//! Entering a session, from a plan to the exit status of the user's program.

use std::ffi::OsString;

use crate::error::{Error, ErrorKind};
use crate::host;
use crate::model::facts::KernelFeatures;
use crate::model::isolation::OnOutside;
use crate::plan::{Plan, PlanError, PlanErrors};
use crate::sys;
use crate::sys::fd::Standard;

use super::program::{Inherited, become_program};
use super::{Ground, OnRecord, Runner, outside, run_steps, shared, supervise};
use crate::registry::Door;

/// Descriptors that this program needs at the same time, besides one for each source of the map.
const OWN_DESCRIPTORS: u64 = 32;

/// Puts this process in order before it reads anything: no rights that its caller lacks, usable standard descriptors
/// and none of the caller's others, children that can be waited for, and nothing in memory that another process of the
/// user could read. Called first by a program, not by a library's user.
pub fn prepare_process() -> Result<(), Error> {
    let failed =
        |error: sys::Error| Error::new(ErrorKind::Host, "cannot prepare this process").caused_by(error);
    if sys::user::has_lent_rights() {
        let message = "this program runs with rights that its caller does not have";
        return Err(Error::new(ErrorKind::Request, message)
            .help("take the set-user-id and set-group-id bits off session-enter"));
    }
    // Not even the map can be read without these; what else is missing is found out before a plan is made.
    let kernel = KernelFeatures {
        openat2: sys::kernel::has_openat2(),
        close_range: sys::kernel::has_close_range(),
        ..KernelFeatures::default()
    };
    if let Some((call, since)) = kernel.missing() {
        return Err(PlanErrors::from(PlanError::Kernel { call, since }).into());
    }
    for (number, standard) in sys::fd::standard().map_err(failed)?.into_iter().enumerate() {
        if standard == Standard::Place {
            let message = format!(
                "descriptor {number} is a directory or a namespace, through which any root can be left"
            );
            return Err(
                Error::new(ErrorKind::Request, message).help(format!("redirect it: {number}</dev/null"))
            );
        }
    }
    // Not only the program's business: whoever waits for it would hold them for as long as the session lasts.
    sys::fd::close_inherited().map_err(failed)?;
    sys::process::hide_memory(true).map_err(failed)?;
    sys::signal::prepare().map_err(failed)
}

/// Enters the session that `plan` describes and runs its program.
///
/// With a namespace of its own for process ids this process stays outside, waits, and returns the program's exit
/// status (128 and the number for a signal). Without one this process becomes the program, and returns only if that
/// fails.
///
/// The process must be single-threaded; it must not be used for anything else after a failure.
pub fn enter(plan: &Plan, ground: &Ground, runner: &mut dyn Runner) -> Result<u8, Error> {
    enter_begun(plan, ground, None, runner)
}

/// A session that is on record before its view is there, and what is to be done when that is.
pub struct Beginning<'a> {
    /// The session.
    pub session: OnRecord,
    /// Called before the program is started.
    pub opened: Opened<'a>,
}

/// Gets the way into the view, or none where nobody shares it, and gives variables for the program.
pub type Opened<'a> = Box<dyn FnOnce(Option<&Door>) -> Result<Vec<(OsString, OsString)>, Error> + 'a>;

impl std::fmt::Debug for Beginning<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Beginning").field("session", &self.session).finish_non_exhaustive()
    }
}

/// [`enter`], for a session that has begun.
pub fn enter_begun(
    plan: &Plan,
    ground: &Ground,
    beginning: Option<Beginning<'_>>,
    runner: &mut dyn Runner,
) -> Result<u8, Error> {
    host::can_start(plan)?;
    let inherited = make_room_for_descriptors(plan)?;
    if plan.on_outside != OnOutside::Ignore {
        outside::look(plan, ground.registry()?)?;
    }
    if let Some(share) = &plan.share {
        return shared::run(plan, share, runner, ground, inherited, beginning);
    }
    let session = match beginning {
        Some(Beginning { session, opened }) => {
            // What could be set by a script in the view is set by none here.
            drop(opened(None)?);
            session
        }
        None => ground.begin_session(plan, None)?,
    };
    if plan.namespace.pid || plan.namespace.user.is_some() {
        let ended = supervise::run(plan, runner, inherited);
        session.end();
        return ended;
    }
    if let Err(error) = run_steps(plan, runner) {
        session.end();
        return Err(error.into());
    }
    match become_program(&plan.exec, &plan.tree, inherited)? {}
}

/// Raises the limit of open descriptors to what the plan needs; the program gets the old one back.
pub(super) fn make_room_for_descriptors(plan: &Plan) -> Result<Inherited, Error> {
    let (current, maximum) = sys::fd::limit();
    let mounts = u64::try_from(plan.mounts().count()).unwrap_or(u64::MAX);
    let needed = mounts.saturating_mul(2).saturating_add(OWN_DESCRIPTORS);
    if current < needed {
        let too_low = || {
            let message = format!(
                "this plan needs {needed} open descriptors, and the limit of this process is {current} (at most {maximum})"
            );
            Error::new(ErrorKind::Host, message)
                .help("raise it with `ulimit -n`, or LimitNOFILE= of the service")
        };
        if maximum < needed {
            return Err(too_low());
        }
        sys::fd::set_limit(needed).map_err(|error| too_low().caused_by(error))?;
    }
    Ok(Inherited { open_files: current })
}
