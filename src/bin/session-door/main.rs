//! The PAM module's helper: reads the map, plans, builds, and hands the way into the session to the module.
//!
//! Started by the module with a socket for its standard input, and by nobody else.
#![cfg_attr(all(target_env = "gnu", not(test)), no_main)]
#![deny(unsafe_code)]

mod chroot;
mod scripts;

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use door_protocol::{Besides, Failure, OnRecord, Purpose, Reply, Request as Asked, Scripts, Way};
use session_sandbox::host::Answer;
use session_sandbox::model::isolation::Apart;
use session_sandbox::model::path::AbsPath;
use session_sandbox::model::policy::{Mode, Policy};
use session_sandbox::model::subject::{Door, Subject};
use session_sandbox::plan::{self, PlanError, Request};
use session_sandbox::registry::{self, ProcessId, Registry};
use session_sandbox::run::{Doorway, Ground, Inside, Kernel, Origin};
use session_sandbox::scripts::environment::Variables;
use session_sandbox::scripts::task::View;
use session_sandbox::{Error, ErrorKind, host, run, sys};

use scripts::Running;

/// Variables that the program which logs the user in sets by itself.
const OWN_VARIABLES: [&str; 4] = ["HOME", "SHELL", "USER", "LOGNAME"];

session_sandbox::program!(report);

fn report() -> u8 {
    let socket = std::io::stdin();
    let answered = listen(socket.as_fd()).and_then(|(asked, leader)| {
        answer(&asked, leader, socket.as_fd()).or_else(|error| {
            let reply = Reply::Refused { why: one_line(&error), failure: Failure::Session, shown: None };
            send(socket.as_fd(), &reply, &[])
        })
    });
    match answered {
        Ok(()) => 0,
        Err(error) => {
            // Somebody has started it by hand.
            let _ = writeln!(std::io::stderr(), "session-door: {}", error.chain());
            error.kind().exit_code()
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
                    let reply = Reply::Enter {
                        way: Way::Mounts,
                        session: None,
                        environment: Vec::new(),
                        shown: Vec::new(),
                    };
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
    let subject = host::subject(&asked.user, door)?;
    if is_member(&subject, asked.break_glass.as_deref())? {
        return send(socket, &Reply::Exempt, &[]);
    }
    // A map that is wrong is said before anything is run.
    let by_other_module = match asked.other_module.as_deref() {
        Some("pam_chroot") => {
            let conf = file_of("/etc/security/chroot.conf")?;
            Some(host::answer_by_chroot_conf(&conf, &asked.words, &subject)?)
        }
        Some("pam_namespace") => {
            let conf = file_of("/etc/security/namespace.conf")?;
            Some(host::answer_by_namespace_conf(&conf, &asked.words, &subject)?)
        }
        _ => None,
    };
    let map = match (by_other_module, &asked.other_module) {
        (Some(Answer::Root(map)), _) => Some(*map),
        (Some(Answer::Stay(why)), _) => return send(socket, &Reply::NotFound(why), &[]),
        (None, Some(_)) => None,
        (None, None) if asked.scripts == Scripts::Only => None,
        (None, None) => Some(host::load_policy(asked.config.as_deref())?),
    };
    let policy = scripts::policy(asked)?;
    let ground = Ground::open();
    // Who is in a view already, and comes into another one from there, has had scripts run for the first.
    let policy = policy.as_ref().filter(|_| origin.inside.is_none());
    let mut opening = Opening { asked, origin: &origin, subject: &subject, ground: &ground, leader, socket };
    let session = match policy {
        Some(policy) => scripts::session(asked, policy, &subject, leader)?,
        None => None,
    };
    let (Some(policy), Some(mut session)) = (policy, session) else {
        return opening.view(map, None, None);
    };
    let registry = ground.registry()?;
    if let Some(said) = scripts::begun_by_logind(registry, policy, &session, &mut scripts::busy(socket))? {
        return opening.view(map, None, Some(said));
    }
    let on_record = ground.begin_session_of(&subject, leader, true)?;
    session.name = on_record.name().unwrap_or_default().to_owned();
    let running = Running::begin(asked, registry, policy, session, socket)?;
    opening.view(map, Some((on_record, running)), None)
}

/// The file of a module, which no option of it names.
fn file_of(path: &str) -> Result<AbsPath, Error> {
    AbsPath::new(path).map_err(|error| Error::new(ErrorKind::Config, path).caused_by(error))
}

/// A login on its way in.
struct Opening<'a> {
    asked: &'a Asked,
    origin: &'a Origin,
    subject: &'a Subject,
    ground: &'a Ground,
    leader: ProcessId,
    socket: BorrowedFd<'a>,
}

impl Opening<'_> {
    /// Opens the view, if the map has one for this login, and answers. `running`: the session on record whose scripts run.
    fn view(
        &mut self,
        map: Option<Policy>,
        running: Option<(run::OnRecord, Running<'_>)>,
        said: Option<Variables>,
    ) -> Result<(), Error> {
        let (on_record, mut running) = running.unzip();
        if let Some(refusal) = running.as_ref().and_then(Running::refusal) {
            if let Some(running) = running {
                running.abandon("a script refused it");
            }
            return send(self.socket, &refusal, &[]);
        }
        let opened = self.try_view(map, on_record, running.as_ref()).and_then(|opened| {
            let view = match &opened {
                Opened::Door(doorway) => Some(View { door: doorway.door.try_clone()?, lease: None }),
                Opened::NoView { .. } | Opened::Already(_) => None,
            };
            if let Some(running) = &mut running {
                running.finish(view.as_ref(), self.socket)?;
            }
            Ok(opened)
        });
        let opened = match opened {
            Ok(opened) => opened,
            Err(error) => {
                if let Some(running) = running {
                    running.abandon(&error.without_remedy());
                }
                return Err(error);
            }
        };
        if let Some(refusal) = running.as_ref().and_then(Running::refusal) {
            return send(self.socket, &refusal, &[]);
        }
        self.answer(opened, running, said)
    }

    fn answer(
        &self,
        opened: Opened,
        running: Option<Running<'_>>,
        said: Option<Variables>,
    ) -> Result<(), Error> {
        let (mut environment, shown, held) = running.map(Running::into_words).unwrap_or_default();
        environment.extend(said.iter().flat_map(scripts::variables));
        let user = self.subject.name.to_string();
        match opened {
            Opened::Already(why) => send(self.socket, &Reply::Stay(why), &[]),
            Opened::NoView { not_found, on_record: None } if environment.is_empty() => {
                let reply =
                    not_found.map_or_else(|| Reply::Stay("no script is run".to_owned()), Reply::NotFound);
                send(self.socket, &reply, &[])
            }
            Opened::NoView { not_found, on_record } => {
                let (name, lock) = on_record.map(run::OnRecord::leave).unwrap_or_default();
                let session = OnRecord { user, name: name.unwrap_or_default(), is_watched: true };
                let kept: Vec<OwnedFd> = lock.into_iter().chain(held).collect();
                let kept: Vec<BorrowedFd<'_>> = kept.iter().map(AsFd::as_fd).collect();
                send(self.socket, &Reply::Hold { not_found, session, environment, shown }, &kept)
            }
            Opened::Door(doorway) => {
                environment.splice(0..0, doorway.variables.clone());
                let reply = Reply::Enter {
                    way: match &doorway.door {
                        registry::Door::Init(_) => Way::Init(besides(doorway.apart)),
                        registry::Door::Mounts(_) => Way::Mounts,
                    },
                    session: doorway.session.clone().map(|name| OnRecord {
                        user,
                        name,
                        is_watched: doorway.is_watched,
                    }),
                    environment,
                    shown,
                };
                let descriptors = Doorway::descriptors(&doorway, self.origin);
                let descriptors: Vec<BorrowedFd<'_>> =
                    descriptors.into_iter().chain(held.as_ref().map(AsFd::as_fd)).collect();
                send(self.socket, &reply, &descriptors)
            }
        }
    }

    fn try_view(
        &self,
        map: Option<Policy>,
        on_record: Option<run::OnRecord>,
        running: Option<&Running<'_>>,
    ) -> Result<Opened, Error> {
        let mut request =
            Request { profile: self.asked.profile.clone(), mode: mode(self.asked)?, ..Request::default() };
        let map = match (map, running.and_then(Running::chroot)) {
            (Some(map), _) => map,
            (None, Some(chroot)) => {
                let map = host::load_policy(self.asked.config.as_deref())?;
                request.mode = Some(if chroot.unshare { Mode::Namespace } else { Mode::Chroot });
                chroot::policy(map, self.subject, &request, &chroot)?
            }
            (None, None) => return Ok(Opened::NoView { not_found: None, on_record }),
        };
        let mut facts = host::facts(&map, self.subject, &request)?;
        if let Err(error @ PlanError::NoMatch { .. }) =
            plan::select(&map, self.subject, &facts, request.profile.as_deref())
        {
            return Ok(Opened::NoView { not_found: Some(error.to_string()), on_record });
        }
        facts.base = self.ground.has_base();
        let plan = plan::plan(&map, self.subject, &request, &facts)?;
        let mut kernel = Kernel::new(&plan, self.ground);
        let opened = run::open_door(&plan, self.ground, self.origin, self.leader, on_record, &mut kernel)?;
        Ok(match opened {
            None => Opened::Already("this is the view already".to_owned()),
            Some(mut doorway) => {
                doorway.variables = variables(&plan);
                Opened::Door(Box::new(doorway))
            }
        })
    }
}

/// What a login comes to.
enum Opened {
    /// A view.
    Door(Box<Doorway>),
    /// None, and why the map has none where one was asked for.
    NoView { not_found: Option<String>, on_record: Option<run::OnRecord> },
    /// It is there already.
    Already(String),
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

fn besides(apart: Apart) -> Besides {
    let Apart { ipc, uts, cgroup, net } = apart;
    Besides { ipc, uts, cgroup, net }
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
