//! The PAM module's helper: reads the map, plans, builds, and hands the way into the session to the module.
//!
//! Started by the module with a socket for its standard input, and by nobody else.
#![forbid(unsafe_code)]

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitCode;

use door_protocol::{OnRecord, Purpose, Reply, Request as Asked, Way};
use session_sandbox::model::policy::Mode;
use session_sandbox::model::subject::{Door, Subject};
use session_sandbox::plan::{self, PlanError, Request};
use session_sandbox::registry::{self, ProcessId, Registry};
use session_sandbox::run::{Doorway, Ground, Inside, Kernel, Origin};
use session_sandbox::{Error, ErrorKind, host, run, sys};

/// Variables that the program which logs the user in sets by itself.
const OWN_VARIABLES: [&str; 4] = ["HOME", "SHELL", "USER", "LOGNAME"];

fn main() -> ExitCode {
    let socket = std::io::stdin();
    let answered = listen(socket.as_fd()).and_then(|(asked, leader)| {
        answer(&asked, leader, socket.as_fd()).or_else(|error| {
            let reply = Reply::Refused(one_line(&error));
            send(socket.as_fd(), &reply, &[])
        })
    });
    match answered {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Somebody has started it by hand.
            let _ = writeln!(std::io::stderr(), "session-door: {}", error.chain());
            ExitCode::from(error.kind().exit_code())
        }
    }
}

/// The request, and the process that made it.
fn listen(socket: BorrowedFd<'_>) -> Result<(Asked, ProcessId), Error> {
    let failed = |error: sys::Error| {
        Error::new(ErrorKind::Request, "no PAM module is there to be answered")
            .caused_by(error)
            .help("this program is for pam_session_sandbox.so; to open a session by hand use session-enter")
    };
    let maker = sys::fd::maker_of(socket).map_err(failed)?;
    sys::identity::become_fully_root().map_err(failed)?;
    run::prepare_process()?;
    let (bytes, _) = sys::fd::receive(socket).map_err(failed)?;
    let asked = Asked::decode(&bytes).map_err(|why| Error::new(ErrorKind::Request, why))?;
    let leader = match maker {
        Some(pid) => ProcessId::of(pid).map_err(failed)?.map(|(leader, _)| leader),
        None => None,
    };
    // It waits for the answer, so that its number is its own.
    let leader =
        leader.ok_or_else(|| Error::new(ErrorKind::Request, "the program that asks cannot be seen"))?;
    Ok((asked, leader))
}

fn answer(asked: &Asked, leader: ProcessId, socket: BorrowedFd<'_>) -> Result<(), Error> {
    match &asked.purpose {
        Purpose::Open => open(asked, leader, socket),
        Purpose::Leave => {
            let origin = Origin::take()?;
            match &origin.inside {
                Some(Inside { host, .. }) => {
                    let reply = Reply::Enter { way: Way::Mounts, session: None, environment: Vec::new() };
                    send(socket, &reply, &[host.as_fd()])
                }
                None => send(socket, &Reply::Stay("this is no session's view".to_owned()), &[]),
            }
        }
        Purpose::Close(session) => {
            if let Some(registry) = Registry::open_if_there()? {
                registry.end_session(session, &leader)?;
            }
            send(socket, &Reply::Closed, &[])
        }
    }
}

fn open(asked: &Asked, leader: ProcessId, socket: BorrowedFd<'_>) -> Result<(), Error> {
    let origin = Origin::take()?;
    let door = Door {
        service: asked.service.clone(),
        tty: asked.tty.as_ref().map(|tty| tty.strip_prefix("/dev/").unwrap_or(tty).to_owned()),
        remote_host: asked.remote_host.clone(),
        session: None,
    };
    let request = Request { profile: asked.profile.clone(), mode: mode(asked)?, ..Request::default() };
    let subject = host::subject(&asked.user, door)?;
    if is_member(&subject, asked.break_glass.as_deref())? {
        return send(socket, &Reply::Exempt, &[]);
    }
    let policy = host::load_policy(asked.config.as_deref())?;
    let mut facts = host::facts(&policy, &subject, &request)?;
    if let Err(error @ PlanError::NoMatch { .. }) =
        plan::select(&policy, &subject, &facts, request.profile.as_deref())
    {
        return send(socket, &Reply::NotFound(error.to_string()), &[]);
    }
    let ground = Ground::open();
    facts.base = ground.has_base();
    let plan = plan::plan(&policy, &subject, &request, &facts)?;
    let mut kernel = Kernel::new(&plan, &ground);
    match run::open_door(&plan, &ground, &origin, leader, &mut kernel)? {
        None => send(socket, &Reply::Stay("this is the view already".to_owned()), &[]),
        Some(doorway) => {
            let reply = Reply::Enter {
                way: match &doorway.door {
                    registry::Door::Init(_) => Way::Init,
                    registry::Door::Mounts(_) => Way::Mounts,
                },
                session: doorway.session.clone().map(|name| OnRecord {
                    user: plan.subject.name.to_string(),
                    name,
                    is_watched: doorway.is_watched,
                }),
                environment: variables(&plan),
            };
            send(socket, &reply, &Doorway::descriptors(&doorway, &origin))
        }
    }
}

/// Is the user in the break-glass group? A group that does not exist has no members.
fn is_member(subject: &Subject, group: Option<&str>) -> Result<bool, Error> {
    let Some(group) = group else { return Ok(false) };
    let id = sys::user::group_id(group).map_err(|error| {
        Error::new(ErrorKind::Host, format!("cannot look up the group {group}")).caused_by(error)
    })?;
    Ok(id.is_some_and(|id| subject.groups.contains(&id)))
}

fn mode(asked: &Asked) -> Result<Option<Mode>, Error> {
    match asked.mode.as_deref() {
        None => Ok(None),
        Some("namespace") => Ok(Some(Mode::Namespace)),
        Some("chroot") => Ok(Some(Mode::Chroot)),
        Some(other) => Err(Error::new(ErrorKind::Request, format!("mode={other}: no such mode"))),
    }
}

/// What the map sets in the environment. What it keeps is not asked: the environment is the host program's to make.
fn variables(plan: &plan::Plan) -> Vec<String> {
    let texts =
        plan.exec.environment.iter().filter_map(|(name, value)| Some((name.to_str()?, value.to_str()?)));
    texts
        .filter(|(name, _)| !OWN_VARIABLES.contains(name))
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

fn send(socket: BorrowedFd<'_>, reply: &Reply, descriptors: &[BorrowedFd<'_>]) -> Result<(), Error> {
    sys::fd::send_with_all(socket, &reply.encode(), descriptors)
        .map_err(|error| Error::new(ErrorKind::Host, "cannot answer the PAM module").caused_by(error))
}

/// The whole chain for the system log, remedy included.
fn one_line(error: &Error) -> String {
    let lines = error.chain().to_string();
    lines.lines().map(str::trim).collect::<Vec<_>>().join(" | ")
}
