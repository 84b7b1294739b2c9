//! The helper's part of a login through PAM: the host process enters by itself, and is given the way in.
//!
//! The host is root, and stays so for a while: it looks up users and groups, loads modules and writes logs with the
//! view for its root. So the view must be one in which root can rely on every name (`expect_trusted`), and it must not
//! need anything of the process that only a process of our own can be given.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::ground::OnRecord;
use super::shared::{expect_root, find_or_build};
use super::{Ground, Inside, Origin, Runner};
use crate::error::{Error, ErrorKind};
use crate::host;
use crate::model::isolation::{Apart, OnOutside};
use crate::model::policy::{Linger, OnChange, Scope, Wall};
use crate::plan::Plan;
use crate::plan::step::Share;
use crate::registry::{Door, Keeper, Living, ProcessId};
use crate::sys;

/// systemd's user manager goes on in the process that opened the session: it can enter a mount namespace, and no PID
/// namespace, which only a new process can be born into.
const STAYS_ITSELF: &str = "systemd-user";
/// The way into a view, for a process that enters by itself.
#[derive(Debug)]
pub struct Doorway {
    /// Process 1 of it, or its mount namespace.
    pub door: Door,
    /// The namespaces that it leads into besides those for mounts and processes.
    pub apart: Apart,
    /// What the host process holds for as long as the session lasts: what tells the view's keeper that a session is
    /// there, and the lock of the session on record. The kernel lets go of both however the process ends.
    pub kept: Vec<OwnedFd>,
    /// The name of the session on record.
    pub session: Option<String>,
    /// Does a process watch the view? Otherwise somebody has to look after it when the session has ended.
    pub is_watched: bool,
    /// What the map sets in the session's environment, `NAME=value`; for whoever opens the door to fill in.
    pub variables: Vec<String>,
}

/// Builds or finds the view of `plan` and gives the way in, for the host process `leader`, whose `session` may be on
/// record already. `None` when the process that came from `origin` is in that view already.
pub fn open_door(
    plan: &Plan,
    ground: &Ground,
    origin: &Origin,
    leader: ProcessId,
    session: Option<OnRecord>,
    runner: &mut dyn Runner,
) -> Result<Option<Doorway>, Error> {
    host::can_start(plan)?;
    expect_suitable(plan)?;
    super::session::make_room_for_descriptors(plan)?;
    let own;
    let share = match &plan.share {
        Some(share) => share,
        None => {
            own = share_of_one(plan, leader);
            &own
        }
    };
    if let Some(inside) = &origin.inside {
        if inside.scope.as_deref() == Some(&*share.name) {
            return Ok(None);
        }
        expect_a_way_out(inside, plan.subject.name.as_str())?;
    }
    if plan.on_outside != OnOutside::Ignore {
        super::outside::look(plan, ground.registry()?)?;
    }
    let scope = ground.registry()?.scope(&share.name)?;
    let (scope, view) = find_or_build(plan, share, scope, runner)?;
    let failed = |error: sys::Error| Error::new(ErrorKind::Enter, "cannot enter the view").caused_by(error);
    let Living { record, door, lease } = view;
    let view = (share.name.clone(), record.generation);
    let session = match session {
        Some(mut session) => {
            session.enters(&plan.profile, view)?;
            session
        }
        None => ground.begin(&plan.subject, &plan.profile, Some(view), leader, true)?,
    };
    drop(scope);
    enter(&door).map_err(failed)?;
    expect_root(record.root)?;
    expect_trusted()?;
    // What is left to be done is done where the login comes from.
    sys::nsfs::enter_mounts(origin.mounts.as_fd()).map_err(failed)?;
    let (session, lock) = session.leave();
    let kept = lease.into_iter().chain(lock).collect();
    Ok(Some(Doorway {
        door,
        apart: record.apart,
        kept,
        session,
        is_watched: record.keeper != Keeper::Pin,
        variables: Vec::new(),
    }))
}

fn enter(door: &Door) -> sys::Result<()> {
    match door {
        Door::Init(keeper) => sys::nsfs::enter_mounts_of(keeper.as_fd()),
        Door::Mounts(namespace) => sys::nsfs::enter_mounts(namespace.as_fd()),
    }
}

impl Doorway {
    /// What is to be sent: the way in, the way back, and what is to be kept.
    pub fn descriptors<'a>(&'a self, origin: &'a Origin) -> Vec<BorrowedFd<'a>> {
        let (Door::Init(into) | Door::Mounts(into)) = &self.door;
        let back = [into.as_fd(), origin.mounts.as_fd(), origin.pids.as_fd()];
        back.into_iter().chain(self.kept.iter().map(AsFd::as_fd)).collect()
    }
}

/// From one user's view into another's: the first must let go of the process.
fn expect_a_way_out(inside: &Inside, user: &str) -> Result<(), Error> {
    if !inside.walled {
        return Ok(());
    }
    let message = format!(
        "a login as {user} from inside another session: the kernel lets no process leave its PID namespace"
    );
    Err(Error::new(ErrorKind::Enter, message)
        .help("log in from the host, or set wall = \"none\" for those who change users inside"))
}

/// What a map may ask for, and a login through PAM cannot have.
fn expect_suitable(plan: &Plan) -> Result<(), Error> {
    let refused = |message: &str, help: &str| {
        let message = format!("{}: profile {:?}: {message}", plan.origin, plan.profile);
        Err(Error::new(ErrorKind::Plan, message).help(help.to_owned()))
    };
    if plan.report.wall == Wall::Landlock {
        return refused(
            "wall = \"landlock\" would hold for the program that logs users in, too, which no PAM module can prevent",
            "use wall = \"pidns\" or \"none\" for logins through PAM",
        );
    }
    if plan.subject.door.service == STAYS_ITSELF && plan.namespace.pid {
        return refused(
            "wall = \"pidns\": systemd's user manager cannot move into a PID namespace",
            "leave the service systemd-user out of the profile's `match`, or set wall = \"none\" for all doors of its users, so that they share one view",
        );
    }
    Ok(())
}

/// A view that nobody joins, with the lease and the keeper of a shared one: the host process is no supervisor.
fn share_of_one(plan: &Plan, leader: ProcessId) -> Share {
    let name = format!("user-{}.session-{}-{}", plan.subject.uid, leader.pid, leader.started);
    Share {
        scope: Scope::Session,
        name,
        digest: String::new(),
        // A host that opens several sessions at a time has as many views.
        on_change: OnChange::New,
        linger: Linger::No,
        private_copy: false,
        console: None,
    }
}

/// With the view for its root, this process looks whether anybody but root could put something in root's way.
fn expect_trusted() -> Result<(), Error> {
    host::expect_reliable().map_err(|error| {
        let message = "a login through PAM is root's for a moment";
        Error::new(ErrorKind::Enter, message).caused_by(error).help(
            "keep what the user can change out of system directories; or make session-enter the user's login shell or sshd's ForceCommand, which enters as the user",
        )
    })
}
