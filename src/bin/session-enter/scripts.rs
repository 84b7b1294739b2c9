//! `--scripts`: session scripts for a session that no PAM module has opened.
#![forbid(unsafe_code)]

use std::time::Duration;

use session_sandbox::model::scripts::Policy;
use session_sandbox::model::subject::Subject;
use session_sandbox::plan::Plan;
use session_sandbox::registry::{Door, ProcessId};
use session_sandbox::run::{Beginning, Ground, OnRecord};
use session_sandbox::scripts::begin::{Begun, Refusal, Stage, Stands, is_anything_there};
use session_sandbox::scripts::filter;
use session_sandbox::scripts::session::Source;
use session_sandbox::scripts::task::View;
use session_sandbox::scripts::watch::Sign;
use session_sandbox::{Error, ErrorKind};

/// Scripts of a session that is about to be entered.
pub(crate) struct Scripts<'a> {
    stage: Stage<'a>,
    begun: Begun,
    session: OnRecord,
}

/// Runs what is waited for on the host; nothing where nothing would run.
pub(crate) fn begin<'a>(
    policy: &'a Policy,
    ground: &'a Ground,
    subject: &Subject,
) -> Result<Option<Scripts<'a>>, Error> {
    if !rustix::process::geteuid().is_root() {
        let message = "session scripts are root's to run";
        return Err(Error::new(ErrorKind::Request, message).help("leave --scripts out, or run it as root"));
    }
    if !is_anything_there(policy, &[]) {
        return Ok(None);
    }
    let door = &subject.door;
    let facts =
        [("service", Some(&door.service)), ("tty", door.tty.as_ref()), ("rhost", door.remote_host.as_ref())];
    let facts =
        facts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.clone()))).collect();
    let Some(mut session) = filter::session_of(policy, subject, Source::Enter, facts, &[])? else {
        return Ok(None);
    };
    let registry = ground.registry()?;
    let failed = |error| Error::new(ErrorKind::Host, "cannot look at this process").caused_by(error);
    let leader = ProcessId::own().map_err(failed)?;
    let on_record = ground.begin_session_of(subject, leader, false)?;
    session.name = on_record.name().unwrap_or_default().to_owned();
    session.leader = Some(leader);
    let stage = Stage { registry, policy, config: None };
    // Not a pipe: without a PID namespace this process becomes the program, and keeps nothing open.
    let prepared = stage.prepare(session, Some(Sign::Leader(leader)))?;
    let begun = stage.begin(prepared, true, &mut nobody_waits)?;
    let mut scripts = Scripts { stage, begun, session: on_record };
    if let Some(Refusal { why, .. }) = scripts.begun.refusal.clone() {
        scripts.stage.abandon(&mut scripts.begun, &why)?;
        return Err(refused(&why));
    }
    Ok(Some(scripts))
}

impl<'a> Scripts<'a> {
    /// Gives the program what scripts have set, and goes on when the view is there.
    pub(crate) fn into_beginning(self, plan: &mut Plan) -> Beginning<'a> {
        let Self { stage, mut begun, session } = self;
        for (name, value) in &begun.said.for_session() {
            plan.exec.environment.retain(|(other, _)| other != name.as_str());
            plan.exec.environment.push((name.into(), value.into()));
        }
        let opened = move |door: Option<&Door>| {
            let view = match door {
                Some(door) => Some(View { door: door.try_clone()?, lease: None }),
                None => None,
            };
            stage.finish(&mut begun, view.as_ref().map_or(Stands::Apart, Stands::In), &mut nobody_waits)?;
            match &begun.refusal {
                None => Ok(begun
                    .said
                    .for_session()
                    .into_iter()
                    .map(|(name, value)| (name.into(), value.into()))
                    .collect()),
                Some(Refusal { why, .. }) => Err(refused(why)),
            }
        };
        Beginning { session, opened: Box::new(opened) }
    }
}

fn refused(why: &str) -> Error {
    Error::new(ErrorKind::Enter, format!("a session script refuses the session: {why}"))
        .help("`sessionctl scripts` shows what it did")
}

fn nobody_waits(_: Duration) {}
