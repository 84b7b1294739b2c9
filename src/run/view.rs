//! Building a shared view, and making it known.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use super::Runner;
use super::keeper::{self, Built};
use super::shared::failed;
use crate::error::{Error, ErrorKind, Relayed};
use crate::model::policy::Linger;
use crate::plan::Plan;
use crate::plan::step::Share;
use crate::registry::{Door, Keeper, Living, LockedScope, NamespaceRecord, ProcessId, Published};
use crate::sys;
use crate::sys::nsfs::Kind;
use crate::sys::process::Fork;

/// How long the building of a view may take.
const BUILD_LIMIT: Duration = Duration::from_secs(4);

/// A view that does not live yet, under the lock of its scope.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unbuilt<'a> {
    pub(super) plan: &'a Plan,
    pub(super) share: &'a Share,
    pub(super) scope: &'a LockedScope,
}

impl Unbuilt<'_> {
    /// Builds it, by a process that stays with it or by one that ends, as the plan's wall asks for.
    pub(super) fn build(self, runner: &mut dyn Runner) -> Result<Living, Error> {
        if self.plan.namespace.pid { self.with_keeper(runner) } else { self.without_keeper(runner) }
    }

    fn with_keeper(self, runner: &mut dyn Runner) -> Result<Living, Error> {
        let next = self.scope.next()?;
        let (hear, report) = sys::fd::pipe().map_err(failed)?;
        let host = keeper::host_mounts().map_err(failed)?;
        match sys::process::fork(super::new_namespaces(&self.plan.namespace)).map_err(failed)? {
            Fork::Child => {
                drop((hear, next.held));
                let kept = sys::process::die_with_parent()
                    .and_then(|()| sys::process::new_session())
                    .and_then(|()| sys::process::set_name(keeper::NAME))
                    .and_then(|()| self.scope.watch(next.generation, next.watched))
                    .map_err(failed)
                    .and_then(|watch| {
                        let copy = report
                            .try_clone()
                            .map_err(|error| failed(sys::Error::new("dup(pipe)", error)))?;
                        keeper::build_and_keep(self.plan, self.share.linger, &watch, runner, copy, &host)
                    });
                let error = match kept {
                    Ok(never) => match never {},
                    Err(error) => error,
                };
                tell(report.as_fd(), &error);
                sys::process::exit_now(error.kind().exit_code())
            }
            Fork::Parent(pid) => {
                drop((report, next.watched, host));
                let number = pid.as_raw_nonzero().get();
                // Not waited for yet, so the number is its own.
                let keeper = ProcessId::of(number).map_err(failed)?.ok_or_else(vanished)?;
                let built = hear_of(hear, &keeper.1).inspect_err(|_| {
                    let _ = self.scope.remove(next.generation);
                })?;
                let namespace =
                    sys::nsfs::of_number(number, Kind::Mounts).map_err(failed)?.ok_or_else(vanished)?;
                let kept_by = Keeper::Init { process: keeper.0 };
                let record = self.record(next.generation, built, namespace.as_fd(), kept_by)?;
                self.scope.publish(&record, namespace.as_fd()).map_err(failed)?;
                Ok(Living { record, door: Door::Init(keeper.1), lease: Some(next.held) })
            }
        }
    }

    /// Has a child build it, which its processes then keep alive, or a pin.
    fn without_keeper(self, runner: &mut dyn Runner) -> Result<Living, Error> {
        let next = self.scope.next()?;
        // Nobody watches a lease: there is no process whose task it could be.
        self.scope.remove(next.generation).map_err(failed)?;
        // The first attempt on any processor; the others only where a pin is refused (see `registry`'s base namespace).
        let processors = sys::process::processors().map_err(failed)?;
        let mut refused = None;
        for processor in std::iter::once(None).chain(processors.into_iter().map(Some)) {
            let (built, namespace) = self.in_child(runner, processor)?;
            let handle = match self.share.linger {
                // Kept although there is no process in it.
                Linger::Seconds(_) => None,
                _ => sys::nsfs::handle(namespace.as_fd()),
            };
            let keeper = handle.as_ref().map_or(Keeper::Pin, Keeper::of_handle);
            let record = self.record(next.generation, built, namespace.as_fd(), keeper)?;
            match self.scope.publish(&record, namespace.as_fd()).map_err(failed)? {
                Published::Known => return Ok(Living { record, door: Door::Mounts(namespace), lease: None }),
                Published::PinRefused(error) => refused = Some(error),
            }
        }
        Err(refused.map_or_else(vanished, failed))
    }

    /// The child ends when the view is built: whoever has the namespace's descriptor keeps it.
    fn in_child(self, runner: &mut dyn Runner, processor: Option<usize>) -> Result<(Built, OwnedFd), Error> {
        let (line, namespace) = sys::process::from_child(|to| {
            let prepared = processor.map_or(Ok(()), sys::process::stay_on).map_err(failed);
            let sent = prepared.and_then(|()| {
                // Opened here: once the root is switched there may be no /proc.
                let own = sys::path::open_place("/proc/self").map_err(failed)?;
                let built = keeper::build(self.plan, runner)?;
                let namespace = sys::nsfs::mounts_at(own.as_fd()).map_err(failed)?;
                let line = serde_json::to_vec(&built).map_err(|error| {
                    Error::new(ErrorKind::Build, "cannot hand the view over").caused_by(error)
                })?;
                sys::fd::send_with(to, &line, namespace.as_fd()).map_err(failed)
            });
            if let Err(error) = &sent {
                tell(to, error);
            }
        })
        .map_err(failed)?;
        Ok((understand(&line)?, namespace.ok_or_else(vanished)?))
    }

    fn record(
        self,
        generation: u32,
        built: Built,
        namespace: BorrowedFd<'_>,
        keeper: Keeper,
    ) -> Result<NamespaceRecord, Error> {
        Ok(NamespaceRecord {
            generation,
            digest: self.share.digest.clone(),
            profile: self.plan.profile.clone(),
            scope: self.share.scope,
            user: self.plan.subject.name.to_string(),
            built: crate::registry::now(),
            root: built.root,
            mounts: sys::nsfs::number(namespace).map_err(failed)?,
            apart: self.plan.namespace.apart,
            isolation: Some(self.plan.report.isolation),
            console: self.share.console.clone(),
            keeper,
            linger: self.share.linger,
            idle_since: None,
        })
    }
}

/// Waits until the keeper has built the view, or says why not. A keeper that does neither is given up: it waits for a
/// file system whose server has died after it was last asked, and the scope's lock is held in the meantime.
fn hear_of(report: OwnedFd, keeper: &OwnedFd) -> Result<Built, Error> {
    let mut line = Vec::new();
    if !sys::fd::readable_within(report.as_fd(), BUILD_LIMIT).map_err(failed)? {
        sys::pidfd::kill(keeper.as_fd()).map_err(failed)?;
        let message = format!("the shared view was not built within {} s", BUILD_LIMIT.as_secs());
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

fn vanished() -> Error {
    Error::new(ErrorKind::Build, "the process that built the shared view was killed").help("try again")
}
