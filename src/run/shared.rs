//! Sessions that share one view: the first builds it, later ones join it, the last one lets go of it.
//!
//! ```text
//! wall = pidns      supervisor (host view)  ── setns ──>  the user's program
//!                   supervisor (host view)  ── setns ──>  the user's program
//!                   keeper (process 1 inside)             ends with the last supervisor
//!
//! wall = landlock   this process            ── setns ──>  becomes the user's program
//!        none       the view lives as long as any process in it
//! ```
//!
//! A supervisor holds the lease of the view, a pipe that the keeper watches: the kernel closes it however the
//! supervisor ends. The scope's lock is held while a view is looked for, built and joined, and never while the user's
//! program runs. It is waited for five seconds at most.

use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};

use super::ground::Ground;
use super::program::{Inherited, become_program};
use super::session::Beginning;
use super::view::Unbuilt;
use super::{Runner, identity, supervise};
use crate::error::{Error, ErrorKind};
use crate::model::path::AbsPath;
use crate::plan::Plan;
use crate::plan::step::{Exec, Identity, Share, TreeStep};
use crate::registry::{Door, Living, LockedScope, NamespaceRecord};
use crate::sys;
use crate::sys::identity::StatusFile;
use crate::sys::mount::Detached;
use crate::sys::signal::Queue;

/// Runs the session in the view that `share` names, which is built if it does not live.
pub(super) fn run(
    plan: &Plan,
    share: &Share,
    runner: &mut dyn Runner,
    ground: &Ground,
    inherited: Inherited,
    beginning: Option<Beginning<'_>>,
) -> Result<u8, Error> {
    // Before the lock: a key on the terminal must not stop a process that others wait for.
    let signals = Queue::open().map_err(failed)?;
    let scope = ground.registry()?.scope(&share.name)?;
    let (scope, view) = find_or_build(plan, share, scope, runner)?;
    let place = (share.name.clone(), view.record.generation);
    let (session, opened) = match beginning {
        Some(Beginning { mut session, opened }) => {
            session.enters(&plan.profile, place)?;
            (session, Some(opened))
        }
        None => (ground.begin_session(plan, Some(place))?, None),
    };
    drop(scope);
    let mut exec = plan.exec.clone();
    if let Some(opened) = opened {
        for (name, value) in opened(Some(&view.door))? {
            exec.environment.retain(|(other, _)| *other != name);
            exec.environment.push((name, value));
        }
    }
    let who = Entrant {
        identity: &plan.identity,
        exec: &exec,
        tree: &plan.tree,
        private_copy: share.private_copy,
        shows_terminal: true,
    };
    let ended = who.enter(view, inherited, &signals);
    session.end();
    ended
}

/// The view that `share` names, built if it does not live, and still under its scope's lock. Nothing of a failed attempt
/// is left.
pub(super) fn find_or_build(
    plan: &Plan,
    share: &Share,
    scope: LockedScope,
    runner: &mut dyn Runner,
) -> Result<(LockedScope, Living), Error> {
    let living = match scope.find(share, &plan.namespace)? {
        Some(living) => Ok(living),
        None => Unbuilt { plan, share, scope: &scope }.build(runner),
    };
    match living {
        Ok(living) => Ok((scope, living)),
        Err(error) => {
            let _ = scope.remove_if_empty();
            Err(error)
        }
    }
}

/// Who enters a living view, and what runs there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entrant<'a> {
    /// What the process becomes.
    pub(super) identity: &'a Identity,
    /// What it runs.
    pub(super) exec: &'a Exec,
    /// What is inside, for the message when it cannot be run.
    pub(super) tree: &'a [TreeStep],
    /// In a copy of the view that nobody else joins.
    pub(super) private_copy: bool,
    /// In a copy that shows the caller's terminal, if there is one.
    pub(super) shows_terminal: bool,
}

impl Entrant<'_> {
    /// Enters and runs the program. Without a PID namespace this process becomes it.
    pub(super) fn enter(self, view: Living, inherited: Inherited, signals: &Queue) -> Result<u8, Error> {
        // The lease is held until the program has ended.
        let Living { record, door, lease: _lease } = view;
        match door {
            Door::Mounts(namespace) => {
                let status = StatusFile::open().map_err(failed)?;
                sys::nsfs::enter_mounts(namespace.as_fd()).map_err(failed)?;
                match self.become_it(record.root, None, status, inherited, || Ok(()))? {}
            }
            Door::Init(keeper) => self.enter_beside(&keeper, &record, inherited, signals),
        }
    }

    /// Starts the program as a child in the keeper's namespaces, and waits for it.
    fn enter_beside(
        self,
        keeper: &OwnedFd,
        record: &NamespaceRecord,
        inherited: Inherited,
        signals: &Queue,
    ) -> Result<u8, Error> {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let supervisor = sys::pidfd::open(own).map_err(failed)?;
        let supervisor = supervisor
            .ok_or_else(|| failed(sys::Error::new("pidfd_open(own pid)", rustix::io::Errno::SRCH)))?;
        sys::nsfs::enter_pids_of(keeper.as_fd()).map_err(gone)?;
        let console = record.console.as_ref().filter(|_| self.shows_terminal);
        let terminal = console.and_then(|place| Some((place, take_terminal()?)));
        let mut error = None;
        let program = sys::process::start(|| {
            let status = StatusFile::open().and_then(|status| {
                sys::nsfs::enter_mounts_and(keeper.as_fd(), super::apart(record.apart))?;
                Ok(status)
            });
            let die_with_supervisor = || {
                sys::process::die_with_parent()?;
                // The wish does nothing when the supervisor is dead already.
                if !sys::pidfd::is_running(supervisor.as_fd())? {
                    sys::process::exit_now(ErrorKind::Enter.exit_code());
                }
                Ok(())
            };
            let ended = status.map_err(gone).and_then(|status| {
                self.become_it(record.root, terminal.as_ref(), status, inherited, die_with_supervisor)
            });
            let why = match ended {
                Ok(never) => match never {},
                Err(why) => why,
            };
            let code = why.kind().exit_code();
            error = Some(why);
            code
        });
        let program = program.map_err(gone)?;
        if let Some(error) = error {
            sys::signal::wait_for_end(program).map_err(failed)?;
            return Err(error);
        }
        supervise::wait_for_program(program, signals)
    }

    /// From the root of the view to the program. `bind` ties the process to its supervisor, once its credentials
    /// change no more.
    fn become_it(
        self,
        root: u64,
        terminal: Option<&(&AbsPath, Detached)>,
        status: StatusFile,
        inherited: Inherited,
        bind: impl FnOnce() -> sys::Result<()>,
    ) -> Result<Infallible, Error> {
        expect_root(root)?;
        if self.private_copy || terminal.is_some() {
            sys::namespace::unshare_mounts().map_err(failed)?;
            // What is mounted in the view later appears in the copy, and nothing goes the other way.
            sys::mount::stop_sending_mount_events().map_err(failed)?;
        }
        if let Some((place, terminal)) = terminal {
            let root = sys::path::open_root().map_err(failed)?;
            let place =
                sys::path::open(root.as_fd(), place.relative(), sys::path::Links::Refuse).map_err(failed)?;
            sys::mount::attach(terminal.as_fd(), place.as_fd()).map_err(failed)?;
        }
        identity::become_user(self.identity, false, Some(status)).map_err(|error| {
            Error::new(ErrorKind::Enter, format!("become uid {}", self.identity.uid)).caused_by(error)
        })?;
        bind().map_err(failed)?;
        become_program(self.exec, self.tree, inherited)
    }
}

/// The caller's terminal as a mount, if there is one that can be shown elsewhere. Without it nothing but the terminal's
/// name is lost.
fn take_terminal() -> Option<Detached> {
    use sys::mount::Attributes;
    let tree = sys::mount::clone_tree(sys::fd::terminal()?.as_fd(), false).ok()?;
    let attributes = Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NOEXEC;
    let private = Some(sys::mount::Propagation::Private);
    sys::mount::set_attributes(tree.as_fd(), attributes, private, false).ok()?;
    Some(tree)
}

/// What was entered must be what the record is about.
pub(super) fn expect_root(root: u64) -> Result<(), Error> {
    match sys::path::mount_at("/").map_err(failed)? {
        (true, mount) if mount == root => Ok(()),
        (_, mount) => Err(Error::new(
            ErrorKind::Enter,
            format!("the view that was entered has mount {mount} for its root, and its record says {root}"),
        )
        .help("end it with `sessionctl end`; the next login builds a new one")),
    }
}

pub(super) fn failed(error: sys::Error) -> Error {
    Error::new(ErrorKind::Enter, "cannot open the shared view").caused_by(error)
}

/// The view ended between the look at it and the way into it: its keeper was killed.
fn gone(error: sys::Error) -> Error {
    Error::new(ErrorKind::Enter, "the shared view has ended in this moment")
        .caused_by(error)
        .help("try again")
}
