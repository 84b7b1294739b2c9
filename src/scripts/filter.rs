//! For whom nothing runs, and a session put together for everybody else.

use std::collections::BTreeMap;

use super::schedule::is_like;
use super::session::{Session, Source};
use super::told::Told;
use crate::error::Error;
use crate::host;
use crate::model::scripts::{Policy, World};
use crate::model::subject::{Door, Subject};
use crate::registry::ProcessId;
use crate::sys::log::{Priority, line};

/// The door of a session with these facts.
pub fn door(facts: &BTreeMap<String, String>) -> Door {
    let fact = |name: &str| facts.get(name).cloned();
    Door {
        service: fact("service").unwrap_or_default(),
        tty: fact("tty"),
        remote_host: fact("rhost"),
        session: None,
    }
}

/// The session that was told of, not named yet; `None` where nothing runs for it.
pub fn session(
    policy: &Policy,
    subject: &Subject,
    told: Told,
    leader: Option<ProcessId>,
    worlds: Vec<World>,
) -> Result<Option<Session>, Error> {
    let Told { source, id, mut facts, .. } = told;
    if source == Source::Logind {
        // Where logind has it, for every session of the user.
        facts.entry("runtime-dir".to_owned()).or_insert_with(|| format!("/run/user/{}", subject.uid));
    }
    let session = session_of(policy, subject, source, facts, &worlds)?;
    Ok(session.map(|session| Session { id, leader, worlds, ..session }))
}

/// The same where nothing but the facts is known so far.
pub fn session_of(
    policy: &Policy,
    subject: &Subject,
    source: Source,
    facts: BTreeMap<String, String>,
    worlds: &[World],
) -> Result<Option<Session>, Error> {
    if let Some(why) = passed_over(policy, subject.uid, source, &facts) {
        debug(subject, &why);
        return Ok(None);
    }
    let gate_open = match &policy.gate {
        Some(gate) => host::gate_is_open(gate, subject)?,
        None => true,
    };
    if !gate_open && policy.worlds.is_empty() && worlds.is_empty() {
        let gate = policy.gate.as_ref().map_or("", |gate| gate.source());
        debug(subject, &format!("there is no directory {gate}"));
        return Ok(None);
    }
    Ok(Some(Session {
        name: String::new(),
        source,
        id: None,
        user: subject.name.to_string(),
        uid: subject.uid,
        gid: subject.gid,
        groups: subject.groups.clone(),
        group: subject.group_name.clone(),
        home: subject.home.to_string(),
        shell: subject.shell.to_string(),
        facts,
        pam_environment: Vec::new(),
        leader: None,
        worlds: Vec::new(),
        worlds_alone: false,
        first: false,
        gate_open,
    }))
}

/// Why nothing runs for such a session. Root's sessions run nothing: a script must never be what keeps root out. Who
/// types the command knows better.
fn passed_over(
    policy: &Policy,
    uid: u32,
    source: Source,
    facts: &BTreeMap<String, String>,
) -> Option<String> {
    if source == Source::Hand {
        return None;
    }
    if uid == 0 {
        return Some("sessions of root run nothing".to_owned());
    }
    let hit = |patterns: &[String], fact: &str| {
        let value = facts.get(fact)?;
        patterns.iter().any(|pattern| is_like(pattern, value)).then(|| value.clone())
    };
    if let Some(service) = hit(&policy.not_service, "service") {
        return Some(format!("the service {service} is in not_service"));
    }
    hit(&policy.not_class, "class").map(|class| format!("the class {class} is in not_class"))
}

fn debug(subject: &Subject, why: &str) {
    line(Priority::Debug, "session-scripts", &format!("{}: nothing runs: {why}", subject.name));
}
