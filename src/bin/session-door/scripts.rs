//! The helper's part in session scripts: what PAM tells becomes a session, and what scripts say goes back to PAM.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use door_protocol::{Failure, Reply, Request as Asked, Scripts};
use session_sandbox::model::scripts::{Policy as ScriptPolicy, World};
use session_sandbox::model::subject::Subject;
use session_sandbox::registry::{ProcessId, Registry};
use session_sandbox::scripts::arrive::key;
use session_sandbox::scripts::begin::{
    Begun, Chroot, Refusal, RefusalKind, Stage, Stands, is_anything_there,
};
use session_sandbox::scripts::environment::Variables;
use session_sandbox::scripts::journal::Line;
use session_sandbox::scripts::journals::Journals;
use session_sandbox::scripts::session::{Session, Source};
use session_sandbox::scripts::task::View;
use session_sandbox::scripts::watch::Sign;
use session_sandbox::scripts::words::{OnSession, PamExec};
use session_sandbox::scripts::{filter, key_of};
use session_sandbox::{Error, ErrorKind, host, sys};

/// Variables of the PAM environment that say something about the session, where it is true: the fact, and the variable.
const TOLD_BY_PAM: [(&str, &str); 6] = [
    ("xdg-id", "XDG_SESSION_ID"),
    ("type", "XDG_SESSION_TYPE"),
    ("class", "XDG_SESSION_CLASS"),
    ("seat", "XDG_SEAT"),
    ("vtnr", "XDG_VTNR"),
    ("runtime-dir", "XDG_RUNTIME_DIR"),
];

/// The scripts of the session that is being opened.
pub(crate) struct Running<'a> {
    stage: Stage<'a>,
    begun: Begun,
    /// Held by the program that opens the session, as long as it lasts.
    held: Option<OwnedFd>,
    line: Option<World>,
}

/// What is run for this login, by the administrator's word and the line's; `None` where it asks for no scripts, or there
/// are none.
pub(crate) fn policy(asked: &Asked) -> Result<Option<ScriptPolicy>, Error> {
    let is_line = line(asked)?.is_some();
    if asked.scripts == Scripts::No && !is_line {
        return Ok(None);
    }
    let policy = host::load_script_policy(asked.scripts_config.as_deref())?;
    Ok((is_line || is_anything_there(&policy, &[])).then_some(policy))
}

fn line(asked: &Asked) -> Result<Option<World>, Error> {
    let words = asked.words.clone();
    Ok(match asked.other_module.as_deref() {
        // Neither runs a script for it.
        None | Some("pam_chroot" | "pam_namespace") => None,
        Some("pam_script") => Some(World::PamScript(words)),
        Some("pam_exec") => Some(World::PamExec(words)),
        Some("onsession") => Some(World::OnSession(words)),
        Some(other) => return Err(Error::new(ErrorKind::Request, format!("as={other}: no such module"))),
    })
}

/// The session that PAM tells of, if anything runs for it.
pub(crate) fn session(
    asked: &Asked,
    policy: &ScriptPolicy,
    subject: &Subject,
    leader: ProcessId,
) -> Result<Option<Session>, Error> {
    let mut facts = BTreeMap::new();
    let items = [
        ("service", Some(&asked.service)),
        ("pam-tty", asked.tty.as_ref()),
        ("rhost", asked.remote_host.as_ref()),
        ("ruser", asked.remote_user.as_ref()),
    ];
    for (name, value) in items {
        facts.extend(value.map(|value| (name.to_owned(), value.clone())));
    }
    if let Some(tty) = &subject.door.tty {
        // An X display is told in the place of a terminal.
        let name = if tty.starts_with(':') { "display" } else { "tty" };
        facts.insert(name.to_owned(), tty.clone());
    }
    for variable in &asked.environment {
        if let Some((name, value)) = variable.split_once('=')
            && let Some((fact, _)) = TOLD_BY_PAM.iter().find(|(_, known)| *known == name)
        {
            facts.insert((*fact).to_owned(), value.to_owned());
        }
    }
    facts.retain(|_, value| !value.is_empty() && !value.chars().any(char::is_control));
    host::keep_what_logind_says(&mut facts, subject.uid, leader.pid);
    let worlds: Vec<World> = line(asked)?.into_iter().collect();
    let pam_environment = asked.environment.clone();
    if !worlds.is_empty() {
        // Who writes such a line has chosen the services, and knew of no gate.
        let any = ScriptPolicy { not_service: Vec::new(), not_class: Vec::new(), ..policy.clone() };
        let session = filter::session_of(&any, subject, Source::Pam, facts, &worlds)?;
        let alone =
            |session| Session { worlds, worlds_alone: true, gate_open: false, pam_environment, ..session };
        return Ok(session.map(alone));
    }
    let session = filter::session_of(policy, subject, Source::Pam, facts, &worlds)?;
    Ok(session.map(|session| Session { pam_environment, ..session }))
}

/// What session-watchd has begun for this very session already: the variables that its scripts have set.
pub(crate) fn begun_by_logind(
    registry: &Registry,
    policy: &ScriptPolicy,
    session: &Session,
    busy: &mut dyn FnMut(Duration),
) -> Result<Option<Variables>, Error> {
    let stage = Stage { registry, policy, config: None };
    let Some(id) = session.fact("xdg-id") else { return Ok(None) };
    let journals = Journals::open(registry)?;
    let Some(other) = stage.living_by(&journals, &key(Source::Logind, id))? else { return Ok(None) };
    let lines = journals.lines(&other)?.unwrap_or_default();
    let by_logind = lines.iter().any(|line| matches!(line, Line::Session(s) if s.source == Source::Logind));
    if by_logind { stage.said_by(&other, busy).map(Some) } else { Ok(None) }
}

impl<'a> Running<'a> {
    /// Has somebody watch for the end of the session, and runs what is waited for in the host's view.
    pub(crate) fn begin(
        asked: &'a Asked,
        registry: &'a Registry,
        policy: &'a ScriptPolicy,
        session: Session,
        socket: BorrowedFd<'_>,
    ) -> Result<Self, Error> {
        let stage = Stage { registry, policy, config: asked.scripts_config.as_deref() };
        let failed = |error| Error::new(ErrorKind::Host, "cannot make a pipe").caused_by(error);
        let (watched, held) = sys::fd::pipe().map_err(failed)?;
        let prepared = stage.prepare(session, Some(Sign::Held(watched)))?;
        if let Some(key) = key_of(&prepared.session) {
            prepared.journals().claim(&key, &prepared.session.name)?;
        }
        let will_have_view = asked.scripts == Scripts::Yes && asked.other_module.is_none();
        let begun = stage.begin(prepared, will_have_view, &mut busy(socket))?;
        Ok(Self { stage, begun, held: Some(held), line: line(asked)? })
    }

    /// Why the session does not begin, in the words of the module.
    pub(crate) fn refusal(&self) -> Option<Reply> {
        let Refusal { why, shown, kind } = self.begun.refusal.clone()?;
        let failure = match kind {
            RefusalKind::Session => Failure::Session,
            RefusalKind::System => Failure::System,
            RefusalKind::Service => Failure::Service,
        };
        let is_quiet = match &self.line {
            Some(World::PamExec(words)) => PamExec::read(words).is_ok_and(|line| line.quiet),
            _ => false,
        };
        let shown =
            if is_quiet { Some(String::new()) } else { Some(shown).filter(|shown| !shown.is_empty()) };
        Some(Reply::Refused { why, failure, shown })
    }

    /// What the older pam_script's script wants done, as far as the line allows it.
    pub(crate) fn chroot(&self) -> Option<Chroot> {
        let Some(World::OnSession(words)) = &self.line else { return None };
        let line = OnSession::read(words).ok()?;
        let directory = self.begun.chroot_directory.clone()?;
        line.chroot.then_some(Chroot { directory, mount: line.mount, unshare: line.unshare })
    }

    /// The view is open, or there is none.
    pub(crate) fn finish(&mut self, view: Option<&View>, socket: BorrowedFd<'_>) -> Result<(), Error> {
        let stands = view.map_or(Stands::OnHost, Stands::In);
        self.stage.finish(&mut self.begun, stands, &mut busy(socket))
    }

    /// The session does not begin after all.
    pub(crate) fn abandon(mut self, why: &str) {
        // Whoever watches will notice, and says what it finds.
        let _ = self.stage.abandon(&mut self.begun, why);
    }

    /// What goes back to PAM: variables, lines to show, and what is to be held.
    pub(crate) fn into_words(self) -> (Vec<String>, Vec<String>, Option<OwnedFd>) {
        (variables(&self.begun.said.for_session()), self.begun.shown, self.held)
    }
}

/// As PAM wants them.
pub(crate) fn variables(said: &Variables) -> Vec<String> {
    said.iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// Tells the module how long it has to wait.
pub(crate) fn busy(socket: BorrowedFd<'_>) -> impl FnMut(Duration) {
    move |time| {
        let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
        // A module that has gone is noticed by the last answer.
        let _ = crate::send(socket, &Reply::Busy(seconds), &[]);
    }
}
