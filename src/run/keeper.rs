//! Process 1 of a shared view: it builds the view, takes in orphans, and ends when nobody needs the view any more.
//!
//! It is nobody's child that matters: it has no terminal, no descriptor but its lease, and no right of root's left
//! but the number. (Not the user's number, so that none of several users who share a view can end it for the others.)

use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Runner, identity};
use crate::error::{Error, ErrorKind};
use crate::model::policy::Linger;
use crate::plan::Plan;
use crate::plan::step::Identity;
use crate::registry::Watch;
use crate::sys;
use crate::sys::fifo::Changes;
use crate::sys::identity::StatusFile;
use crate::sys::nsfs::Kind;
use crate::sys::signal::{Children, Queue};

/// Nothing but the number 0: what process 1 of a shared view needs is to wait, and to remove its own record.
const RIGHTLESS: Identity = Identity {
    uid: 0,
    gid: 0,
    groups: Some(Vec::new()),
    capabilities: 0,
    no_new_privs: true,
    refuse_tiocsti: false,
    landlock: false,
    umask: 0o077,
};

/// What the keeper is called, in a view and on the host.
pub(super) const NAME: &std::ffi::CStr = c"session-keeper";

/// What a view that is complete tells the login that had it built.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Built {
    /// The mount number of its root.
    pub(super) root: u64,
}

/// Builds the view and leaves this process at its root.
pub(super) fn build(plan: &Plan, runner: &mut dyn Runner) -> Result<Built, Error> {
    plan.building_steps().try_for_each(|step| runner.run(&step))?;
    let failed = |error: sys::Error| Error::new(ErrorKind::Build, "cannot look at the view").caused_by(error);
    let root = sys::path::open_place("/").map_err(failed)?;
    // Sessions that copy the view go on seeing what is mounted in it later.
    let shared = Some(sys::mount::Propagation::Shared);
    sys::mount::set_attributes(root.as_fd(), sys::mount::Attributes::empty(), shared, true)
        .map_err(failed)?;
    let (_, root) = sys::path::mount_of(root.as_fd()).map_err(failed)?;
    Ok(Built { root })
}

/// Builds the view, becomes its keeper, and says so through `report`. Comes back only with an error.
pub(super) fn build_and_keep(
    plan: &Plan,
    linger: Linger,
    watch: &Watch,
    runner: &mut dyn Runner,
    report: OwnedFd,
    host: &OwnedFd,
) -> Result<Infallible, Error> {
    let failed =
        |error: sys::Error| Error::new(ErrorKind::Enter, "process 1 of the shared view").caused_by(error);
    // Opened here: once the root is switched there may be no /proc.
    let status = StatusFile::open().map_err(failed)?;
    if plan.namespace.apart.net {
        sys::net::raise_loopback().map_err(failed)?;
    }
    let built = build(plan, runner)?;
    let signals = Queue::open().map_err(failed)?;
    sys::fd::drop_standard().map_err(failed)?;
    identity::become_user(&RIGHTLESS, false, Some(status))
        .map_err(|error| Error::new(ErrorKind::Enter, "process 1 of the shared view").caused_by(error))?;
    sys::process::hide_memory(true).map_err(failed)?;
    let changes = Changes::of(&[signals.as_fd(), watch.lease()]).map_err(failed)?;
    let own = [signals.as_fd(), report.as_fd(), changes.as_fd(), host.as_fd()];
    let kept = [watch.descriptors().as_slice(), &own].concat();
    sys::fd::close_all_but(&kept).map_err(failed)?;
    let line = serde_json::to_vec(&built)
        .map_err(|error| Error::new(ErrorKind::Enter, "process 1 of the shared view").caused_by(error))?;
    // Last: a login that dies before it has heard of this view takes it along.
    sys::process::outlive_parent().map_err(failed)?;
    sys::path::write_all(report.as_fd(), &line).map_err(failed)?;
    drop(report);
    watch_until_over(watch, linger, &signals, &changes).map_err(failed)
}

/// The host's mount namespace, as far as it can be told from here: that of process 1.
pub(super) fn host_mounts() -> sys::Result<OwnedFd> {
    match sys::nsfs::of_number(1, Kind::Mounts) {
        Ok(Some(first)) => Ok(first),
        // A container may hide its process 1.
        _ => sys::nsfs::own(Kind::Mounts),
    }
}

/// In a view with a keeper: the host's mount namespace, which the keeper has for this. Only root on the host, with
/// CAP_SYS_PTRACE, can take it from the keeper, and only root can enter it: `sudo` leads back out, when the map lets a
/// user call it at all.
pub(super) fn host_of_this_view() -> sys::Result<Option<OwnedFd>> {
    let name = sys::process::name_of(1)?;
    if name.as_deref() != NAME.to_str().ok() {
        return Ok(None);
    }
    // A name alone is nobody; what others could have made belongs to a user namespace of theirs.
    for namespace in sys::nsfs::mounts_held_by(1)? {
        if sys::nsfs::is_of_own_users(namespace.as_fd())? {
            return Ok(Some(namespace));
        }
    }
    Err(sys::Error::new("look for the host's mount namespace in /proc/1/fd", rustix::io::Errno::NOENT))
}

fn watch_until_over(
    watch: &Watch,
    linger: Linger,
    signals: &Queue,
    changes: &Changes,
) -> sys::Result<Infallible> {
    let mut idle_since = None;
    loop {
        // The host is shutting down, or its administrator ends this view.
        let mut told_to_end = false;
        while let Some(signal) = signals.next()? {
            told_to_end |= signal.is_terminate();
        }
        let children = sys::signal::reap_all()?;
        if told_to_end {
            watch.end()?;
            sys::process::exit_now(0);
        }
        let mut wait = None;
        let over = if watch.is_idle()? {
            let since = *idle_since.get_or_insert_with(Instant::now);
            match linger {
                Linger::No => true,
                Linger::Processes => children == Children::None,
                Linger::Seconds(limit) => {
                    let left = Duration::from_secs(limit.into()).saturating_sub(since.elapsed());
                    wait = Some(left + Duration::from_millis(1));
                    left.is_zero()
                }
            }
        } else {
            idle_since = None;
            false
        };
        if over {
            if watch.end_if_idle()? {
                sys::process::exit_now(0);
            }
            continue;
        }
        changes.wait(wait)?;
    }
}
