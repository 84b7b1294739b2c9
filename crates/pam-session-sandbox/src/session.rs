//! Opening and closing a session, as PAM asks for it.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

use door_protocol::{Failure, OnRecord, Purpose, Reply, Request, Way};

use crate::ask::ask;
use crate::enter::{self, Back};
use crate::options::{NotFound, OnError, Options};
use crate::sys::{Code, Item, Pam, Priority};

/// Where sessions are on record.
const STATE: &str = "/run/session-sandbox";

/// What is remembered between open and close, in the PAM handle.
pub(crate) type State = RefCell<Option<Open>>;

/// A session that is open.
#[derive(Debug)]
pub(crate) struct Open {
    user: String,
    /// How often it was opened: a host that opens twice closes twice.
    times: usize,
    /// The way back; `None` where the session has no view of its own.
    back: Option<Back>,
    session: Option<OnRecord>,
    /// What says that this session lives. The kernel closes it however this process ends.
    kept: Vec<OwnedFd>,
}

/// `pam_sm_open_session`.
pub(crate) fn open(pam: &Pam<'_>, options: &Options, silent: bool) -> Code {
    let user = match pam.user() {
        Ok(user) => user,
        Err(why) => return refuse(pam, options, silent, &why.into()),
    };
    if pam.is_root(&user) {
        return leave(pam, options, &user);
    }
    // Whoever is in the break-glass group learns it from the helper, which has to look the user's groups up anyway and
    // can be killed. Only when nothing comes of that, by an error or a panic, the module asks the name services itself.
    let is_exempt = || pam.is_member(&user, &options.break_glass);
    let opened = match catch_unwind(AssertUnwindSafe(|| try_open(pam, options, &user, silent))) {
        Ok(Err(why) | Ok(Reply::Refused { why, .. })) if is_exempt() => {
            pam.log(Priority::Error, &format!("{user} is exempt, others are refused: {why}"));
            Ok(Reply::Exempt)
        }
        Err(_) if is_exempt() => {
            pam.log(
                Priority::Alert,
                &format!("{user} is exempt, others are refused: a panic in this module"),
            );
            Ok(Reply::Exempt)
        }
        Ok(opened) => opened,
        Err(panic) => resume_unwind(panic),
    };
    match opened {
        Ok(Reply::Exempt) => leave(pam, options, &user),
        Ok(Reply::Refused { why, failure, shown }) => {
            let code = match failure {
                Failure::Session => Code::SessionError,
                Failure::System => Code::SystemError,
                Failure::Service => Code::ServiceError,
            };
            refuse(pam, options, silent, &Refused { why: format!("{user}: {why}"), code, shown })
        }
        Ok(Reply::NotFound(why) | Reply::Hold { not_found: Some(why), .. }) => match options.not_found {
            NotFound::Ignore => {
                debug(pam, options, &format!("{user} stays in the host's view: {why}"));
                Code::Success
            }
            NotFound::Deny => {
                pam.log(Priority::Error, &format!("{user} is refused (notfound=deny): {why}"));
                tell(pam, silent, None);
                let open = pam.state().ok().and_then(|state| state.borrow_mut().take());
                if let Some(open) = open {
                    forget(pam, options, open);
                }
                Code::SessionError
            }
        },
        Ok(reply) => {
            debug(pam, options, &format!("{user}: {reply:?}"));
            Code::Success
        }
        Err(why) => refuse(pam, options, silent, &format!("{user}: {why}").into()),
    }
}

/// Why a login is refused, and with which words.
struct Refused {
    why: String,
    code: Code,
    shown: Option<String>,
}

impl From<String> for Refused {
    fn from(why: String) -> Self {
        Self { why, code: Code::SessionError, shown: None }
    }
}

/// The policy for everything that fails.
fn refuse(pam: &Pam<'_>, options: &Options, silent: bool, refused: &Refused) -> Code {
    match options.on_error {
        OnError::Deny => {
            pam.log(Priority::Error, &refused.why);
            tell(pam, silent, refused.shown.as_deref());
            refused.code
        }
        OnError::Host => {
            let text = format!("in the HOST'S VIEW, because of onerr=host: {}", refused.why);
            pam.log(Priority::Alert, &text);
            Code::Success
        }
    }
}

fn tell(pam: &Pam<'_>, silent: bool, words: Option<&str>) {
    let usual = "Your session cannot be opened. The system log of this host says why; ask its administrator.";
    let words = words.unwrap_or(usual);
    if !silent && !words.is_empty() {
        pam.tell(words);
    }
}

fn try_open(pam: &Pam<'_>, options: &Options, user: &str, silent: bool) -> Result<Reply, String> {
    if let Some(mistake) = &options.mistake {
        return Err(format!("the line of this module in the PAM configuration: {mistake}"));
    }
    if !rustix::process::geteuid().is_root() {
        return Err("this program does not run as root, so it cannot open a session".to_owned());
    }
    let state = pam.state()?;
    if let Some(open) = state.borrow_mut().as_mut() {
        if open.user != user {
            return Err(format!("a session of {} is open in this PAM handle", open.user));
        }
        open.times += 1;
        return Ok(Reply::Stay("this PAM handle has an open session".to_owned()));
    }
    fault(options, "before-asking")?;
    let (reply, descriptors) = ask(&options.helper, &request(pam, options, user, Purpose::Open))?;
    let (way, session, environment, shown) = match &reply {
        Reply::Enter { way, session, environment, shown } => {
            (Some(*way), session.clone(), environment, shown)
        }
        Reply::Hold { session, environment, shown, .. } => (None, Some(session.clone()), environment, shown),
        _ => return Ok(reply),
    };
    let (into, back, kept) = match way {
        Some(way) => {
            let arrived = Arrived::of(descriptors)?;
            (Some((way, arrived.into)), Some(Back::new(arrived.mounts, arrived.pids, way)?), arrived.kept)
        }
        None => (None, None, descriptors),
    };
    *state.borrow_mut() = Some(Open { user: user.to_owned(), times: 1, back, session, kept });
    let mut undo = Undo { pam, options, state, environment, entered: false };
    fault(options, "before-entering")?;
    environment.iter().try_for_each(|variable| pam.put_env(variable))?;
    if !silent {
        shown.iter().for_each(|line| pam.show(line));
    }
    fault(options, "entering")?;
    if let Some((way, into)) = into {
        enter::enter(way, &into)?;
    }
    undo.entered = true;
    drop(undo);
    Ok(reply)
}

/// Takes back what was done for a session that is not entered after all, however it came to that.
struct Undo<'a> {
    pam: &'a Pam<'a>,
    options: &'a Options,
    state: &'a State,
    environment: &'a [String],
    entered: bool,
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if self.entered {
            return;
        }
        for variable in self.environment {
            self.pam.unset_env(variable);
        }
        let open = self.state.borrow_mut().take();
        if let Some(open) = open {
            forget(self.pam, self.options, open);
        }
    }
}

/// A user who is never kept in a view goes back to the host's, when `sudo` or `su` was called in one. Whatever fails,
/// the login goes on.
fn leave(pam: &Pam<'_>, options: &Options, user: &str) -> Code {
    if !rustix::process::geteuid().is_root() || !enter::may_be_inside() {
        return Code::Success;
    }
    let left = ask(&options.helper, &request(pam, options, user, Purpose::Leave)).and_then(
        |(reply, descriptors)| match (reply, descriptors.into_iter().next()) {
            (Reply::Enter { way: Way::Mounts, .. }, Some(host)) => {
                enter::enter(Way::Mounts, &host).map(|()| "has left the view for the host's".to_owned())
            }
            (Reply::Stay(why), _) => Ok(format!("stays: {why}")),
            (reply, _) => Err(format!("{reply:?}")),
        },
    );
    match left {
        Ok(what) => debug(pam, options, &format!("{user} {what}")),
        Err(why) => pam.log(Priority::Error, &format!("{user} stays in this view: {why}")),
    }
    Code::Success
}

/// `pam_sm_close_session`. What it does not do, or is not called to do, the next login of the user does.
pub(crate) fn close(pam: &Pam<'_>, options: &Options) -> Code {
    let Ok(state) = pam.state() else { return Code::Success };
    let Some(mut open) = state.borrow_mut().take() else { return Code::Success };
    if open.times > 1 {
        open.times -= 1;
        *state.borrow_mut() = Some(open);
        return Code::Success;
    }
    if !rustix::process::geteuid().is_root() {
        return Code::Success;
    }
    if let Some(back) = &open.back {
        // A child of the host's, like systemd's (sd-pam), or another thread: the one that moved is none of its business.
        if !back.is_for_this_thread() {
            return Code::Success;
        }
        if let Err(why) = back.go() {
            pam.log(Priority::Error, &format!("{}: cannot go back to the host's view: {why}", open.user));
            return Code::SessionError;
        }
    }
    forget(pam, options, open);
    Code::Success
}

/// Takes the session off the record, and lets go of what says that it lives. What fails here is done by the next sweep.
fn forget(pam: &Pam<'_>, options: &Options, open: Open) {
    let Open { user, session, kept, .. } = open;
    match session {
        None => {}
        // As long as its lock is held the name is nobody else's.
        Some(session) if session.is_watched => off_the_record(&session),
        Some(session) => {
            drop(kept);
            let purpose = Purpose::Close(session.name.clone());
            let why = match ask(&options.helper, &request(pam, options, &user, purpose)) {
                Ok((Reply::Closed, _)) => return,
                Ok((reply, _)) => format!("{reply:?}"),
                Err(why) => why,
            };
            pam.log(Priority::Error, &format!("{} stays on record: {why}", session.name));
        }
    }
}

/// Removes the session's files. Nobody but root can look into the folder that they are in.
fn off_the_record(session: &OnRecord) {
    let is_plain = |name: &str| !name.is_empty() && name != "." && name != ".." && !name.contains('/');
    if !is_plain(&session.name) || !is_plain(&session.user) {
        return;
    }
    let users = Path::new(STATE).join("users").join(&session.user);
    let folder = Path::new(STATE).join("sessions").join(&session.name);
    let _ = std::fs::remove_file(users.join(&session.name));
    // There may be other sessions, and then it stays.
    let _ = std::fs::remove_dir(users);
    for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
        let _ = std::fs::remove_file(entry.path());
    }
    let _ = std::fs::remove_dir(folder);
}

fn request(pam: &Pam<'_>, options: &Options, user: &str, purpose: Purpose) -> Request {
    Request {
        purpose,
        user: user.to_owned(),
        service: pam.item(Item::Service).unwrap_or_default(),
        tty: pam.item(Item::Tty),
        remote_host: pam.item(Item::RemoteHost),
        profile: options.profile.clone(),
        mode: options.mode.clone(),
        config: options.config.clone(),
        remote_user: pam.item(Item::RemoteUser),
        scripts: options.scripts,
        scripts_config: options.scripts_config.clone(),
        other_module: options.other_module.map(|module| module.name().to_owned()),
        words: options.words.clone(),
        environment: pam.environment(),
        break_glass: Some(options.break_glass.clone()),
    }
}

fn debug(pam: &Pam<'_>, options: &Options, text: &str) {
    if options.debug {
        pam.log(Priority::Debug, text);
    }
}

/// The descriptors of a way in.
struct Arrived {
    into: OwnedFd,
    mounts: OwnedFd,
    pids: OwnedFd,
    kept: Vec<OwnedFd>,
}

impl Arrived {
    fn of(descriptors: Vec<OwnedFd>) -> Result<Self, String> {
        let count = descriptors.len();
        let mut descriptors = descriptors.into_iter();
        match (descriptors.next(), descriptors.next(), descriptors.next()) {
            (Some(into), Some(mounts), Some(pids)) => {
                Ok(Self { into, mounts, pids, kept: descriptors.collect() })
            }
            _ => Err(format!("{count} descriptors came with the answer; is `ulimit -n` reached?")),
        }
    }
}

/// Fails where a test wants it.
fn fault(options: &Options, place: &str) -> Result<(), String> {
    match options.fault.as_deref() {
        Some(wanted) if wanted == place => Err(format!("injected fault {place}")),
        #[allow(clippy::panic, reason = "what a test asks for")]
        Some(wanted) if wanted.strip_prefix("panic-") == Some(place) => panic!("injected panic {place}"),
        _ => Ok(()),
    }
}
