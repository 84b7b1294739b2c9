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
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::ground::Ground;
use super::keeper::{self, Built};
use super::program::{Inherited, become_program};
use super::{Runner, identity, supervise};
use crate::error::{Error, ErrorKind, Relayed};
use crate::model::path::AbsPath;
use crate::model::policy::Linger;
use crate::plan::Plan;
use crate::plan::step::{Exec, Identity, Share};
use crate::registry::{Door, Keeper, Living, LockedScope, NamespaceRecord, ProcessId, Published};
use crate::sys;
use crate::sys::identity::StatusFile;
use crate::sys::mount::Detached;
use crate::sys::process::{Fork, NewNamespaces};
use crate::sys::signal::Queue;

/// How long the building of a view may take, in milliseconds.
const BUILD_LIMIT: u32 = 4_000;

/// Runs the session in the view that `share` names, which is built if it does not live.
pub(super) fn run(
    plan: &Plan,
    share: &Share,
    runner: &mut dyn Runner,
    ground: &Ground,
    inherited: Inherited,
) -> Result<u8, Error> {
    // Before the lock: a key on the terminal must not stop a process that others wait for.
    let signals = Queue::open().map_err(failed)?;
    let scope = ground.registry()?.scope(&share.name)?;
    let view = match scope.find(share, plan.namespace.pid)? {
        Some(living) => living,
        None if plan.namespace.pid => build_with_keeper(plan, share, runner, &scope)?,
        None => build_without_keeper(plan, share, runner, &scope)?,
    };
    let session = ground.begin_session(plan, Some((share.name.clone(), view.record.generation)))?;
    drop(scope);
    let who = Entrant { identity: &plan.identity, exec: &plan.exec, private_copy: share.private_copy };
    let ended = who.enter(view, inherited, &signals);
    session.end();
    ended
}

/// Who enters a living view, and what runs there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entrant<'a> {
    /// What the process becomes.
    pub(super) identity: &'a Identity,
    /// What it runs.
    pub(super) exec: &'a Exec,
    /// In a copy of the view that nobody else joins.
    pub(super) private_copy: bool,
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
        let supervisor = sys::pidfd::open(own).map_err(failed)?.ok_or_else(vanished)?;
        sys::nsfs::enter_pids_of(keeper.as_fd()).map_err(gone)?;
        let terminal = record.console.as_ref().and_then(|place| Some((place, take_terminal()?)));
        let mut error = None;
        let program = sys::process::start(|| {
            let status = StatusFile::open().and_then(|status| {
                sys::nsfs::enter_mounts_of(keeper.as_fd())?;
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
        become_program(self.exec, inherited)
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
fn expect_root(root: u64) -> Result<(), Error> {
    match sys::path::mount_at("/").map_err(failed)? {
        (true, mount) if mount == root => Ok(()),
        (_, mount) => Err(Error::new(
            ErrorKind::Enter,
            format!("the view that was entered has mount {mount} for its root, and its record says {root}"),
        )
        .help("end it with `sessionctl end`; the next login builds a new one")),
    }
}

/// Has a keeper build the view.
fn build_with_keeper(
    plan: &Plan,
    share: &Share,
    runner: &mut dyn Runner,
    scope: &LockedScope,
) -> Result<Living, Error> {
    let next = scope.next()?;
    let (hear, report) = sys::fd::pipe().map_err(failed)?;
    match sys::process::fork(NewNamespaces { pid: true, user: false }).map_err(failed)? {
        Fork::Child => {
            drop((hear, next.held));
            let kept = sys::process::die_with_parent()
                .and_then(|()| sys::process::new_session())
                .and_then(|()| sys::process::set_name(c"session-keeper"))
                .and_then(|()| scope.watch(next.generation, next.watched))
                .map_err(failed)
                .and_then(|watch| {
                    let built = keeper::build(plan, runner)?;
                    let copy =
                        report.try_clone().map_err(|error| failed(sys::Error::new("dup(pipe)", error)))?;
                    keeper::keep(&watch, share.linger, built, copy)
                });
            let error = match kept {
                Ok(never) => match never {},
                Err(error) => error,
            };
            tell(report.as_fd(), &error);
            sys::process::exit_now(error.kind().exit_code())
        }
        Fork::Parent(pid) => {
            drop((report, next.watched));
            let number = pid.as_raw_nonzero().get();
            // Not waited for yet, so the number is its own.
            let keeper = ProcessId::of(number).map_err(failed)?.ok_or_else(vanished)?;
            let built = hear_of(hear, &keeper.1).inspect_err(|_| {
                let _ = scope.remove(next.generation);
            })?;
            let namespace = sys::nsfs::mounts_of(pid).map_err(failed)?;
            let keeper_record = Keeper::Init { process: keeper.0 };
            let record = record(plan, share, next.generation, built, namespace.as_fd(), keeper_record)?;
            scope.publish(&record, namespace.as_fd()).map_err(failed)?;
            Ok(Living { record, door: Door::Init(keeper.1), lease: Some(next.held) })
        }
    }
}

/// Has a child build the view, which its processes then keep alive, or a pin.
fn build_without_keeper(
    plan: &Plan,
    share: &Share,
    runner: &mut dyn Runner,
    scope: &LockedScope,
) -> Result<Living, Error> {
    let next = scope.next()?;
    // Nobody watches a lease: there is no process whose task it could be.
    scope.remove(next.generation).map_err(failed)?;
    // The first attempt on any processor; the others only where a pin is refused (see `registry`'s base namespace).
    let processors = sys::process::processors().map_err(failed)?;
    let mut refused = None;
    for processor in std::iter::once(None).chain(processors.into_iter().map(Some)) {
        let (built, namespace) = build_in_child(plan, runner, processor)?;
        let handle = match share.linger {
            // Kept although there is no process in it.
            Linger::Seconds(_) => None,
            _ => sys::nsfs::handle(namespace.as_fd()),
        };
        let keeper = handle.as_ref().map_or(Keeper::Pin, Keeper::of_handle);
        let record = record(plan, share, next.generation, built, namespace.as_fd(), keeper)?;
        match scope.publish(&record, namespace.as_fd()).map_err(failed)? {
            Published::Known => return Ok(Living { record, door: Door::Mounts(namespace), lease: None }),
            Published::PinRefused(error) => refused = Some(error),
        }
    }
    Err(refused.map_or_else(vanished, failed))
}

/// The child's part. It ends when the view is built: whoever has the namespace's descriptor keeps it.
fn build_in_child(
    plan: &Plan,
    runner: &mut dyn Runner,
    processor: Option<usize>,
) -> Result<(Built, OwnedFd), Error> {
    let (ours, theirs) = sys::fd::socket_pair().map_err(failed)?;
    match sys::process::fork(NewNamespaces::default()).map_err(failed)? {
        Fork::Child => {
            drop(ours);
            let prepared = sys::process::die_with_parent()
                .and_then(|()| processor.map_or(Ok(()), sys::process::stay_on));
            let sent = prepared.map_err(failed).and_then(|()| {
                // Opened here: once the root is switched there may be no /proc.
                let own = sys::path::open_place("/proc/self").map_err(failed)?;
                let built = keeper::build(plan, runner)?;
                let namespace = sys::nsfs::mounts_at(own.as_fd()).map_err(failed)?;
                let line = serde_json::to_vec(&built).map_err(|error| {
                    Error::new(ErrorKind::Build, "cannot hand the view over").caused_by(error)
                })?;
                sys::fd::send_with(theirs.as_fd(), &line, namespace.as_fd()).map_err(failed)
            });
            if let Err(error) = &sent {
                tell(theirs.as_fd(), error);
            }
            sys::process::exit_now(u8::from(sent.is_err()))
        }
        Fork::Parent(child) => {
            drop(theirs);
            let (line, namespace) = sys::fd::receive(ours.as_fd()).map_err(failed)?;
            sys::signal::wait_for_end(child).map_err(failed)?;
            Ok((understand(&line)?, namespace.ok_or_else(vanished)?))
        }
    }
}

fn record(
    plan: &Plan,
    share: &Share,
    generation: u32,
    built: Built,
    namespace: BorrowedFd<'_>,
    keeper: Keeper,
) -> Result<NamespaceRecord, Error> {
    Ok(NamespaceRecord {
        boot: sys::kernel::boot_id().map_err(failed)?,
        generation,
        digest: share.digest.clone(),
        profile: plan.profile.clone(),
        scope: share.scope,
        user: plan.subject.name.to_string(),
        built: crate::registry::now(),
        root: built.root,
        mounts: sys::nsfs::number(namespace).map_err(failed)?,
        console: share.console.clone(),
        keeper,
        linger: share.linger,
        idle_since: None,
    })
}

/// Waits until the keeper has built the view, or says why not. A keeper that does neither is given up: it waits for a
/// file system whose server has died after it was last asked, and the scope's lock is held in the meantime.
fn hear_of(report: OwnedFd, keeper: &OwnedFd) -> Result<Built, Error> {
    let mut line = Vec::new();
    if !sys::fd::wait_readable(report.as_fd(), BUILD_LIMIT).map_err(failed)? {
        sys::pidfd::kill(keeper.as_fd()).map_err(failed)?;
        let message = format!("the shared view was not built within {} s", BUILD_LIMIT / 1000);
        return Err(Error::new(ErrorKind::Build, message)
            .help("a source of the map lies on a file system that does not answer: bring its server back, or unmount it"));
    }
    std::fs::File::from(report)
        .read_to_end(&mut line)
        .map_err(|error| failed(sys::Error::new("read(report)", error)))?;
    understand(&line)
}

fn understand(line: &[u8]) -> Result<Built, Error> {
    match (serde_json::from_slice::<Built>(line), serde_json::from_slice::<Relayed>(line)) {
        (Ok(built), _) => Ok(built),
        (_, Ok(relayed)) => Err(relayed.into()),
        _ => Err(vanished()),
    }
}

fn tell(report: BorrowedFd<'_>, error: &Error) {
    if let Ok(line) = serde_json::to_vec(&Relayed::from(error)) {
        // With nobody listening there is nobody to tell.
        let _ = sys::path::write_all(report, &line);
    }
}

fn failed(error: sys::Error) -> Error {
    Error::new(ErrorKind::Enter, "cannot open the shared view").caused_by(error)
}

fn vanished() -> Error {
    Error::new(ErrorKind::Build, "the process that built the shared view was killed").help("try again")
}

/// The view ended between the look at it and the way into it: its keeper was killed.
fn gone(error: sys::Error) -> Error {
    Error::new(ErrorKind::Enter, "the shared view has ended in this moment")
        .caused_by(error)
        .help("try again")
}
