//! Runs the scripts of a session that begins, or of one that has ended.
#![cfg_attr(all(target_env = "gnu", not(test)), no_main)]
#![deny(unsafe_code)]

use std::collections::BTreeMap;
use std::io::Write;

use session_sandbox::cli::scripts::{self as cli, Asked, Reading, Verb};
use session_sandbox::model::scripts::Event;
use session_sandbox::registry::Registry;
use session_sandbox::scripts::arrive::{self, Arrived};
use session_sandbox::scripts::begin::{Stage, is_anything_there};
use session_sandbox::scripts::journals::Journals;
use session_sandbox::scripts::session::{FACTS, Source};
use session_sandbox::scripts::told::{self, Told, Who};
use session_sandbox::scripts::{background, filter, text};
use session_sandbox::{Error, ErrorKind, doctor, host, run, sys};

session_sandbox::program!(report);

fn report() -> u8 {
    match scripts() {
        Ok(status) => status,
        Err(error) => {
            // An error that cannot be shown is still the exit status, and the log has it, too.
            let _ = writeln!(std::io::stderr(), "session-scripts: {}", error.chain());
            let line = text::printable(&error.without_remedy());
            sys::log::line(sys::log::Priority::Error, "session-scripts", &line);
            error.kind().exit_code()
        }
    }
}

fn scripts() -> Result<u8, Error> {
    run::prepare_process()?;
    let asked = match cli::read(std::env::args_os(), &FACTS.map(|(name, _)| name))? {
        Reading::Do(asked) => *asked,
        Reading::Say(text) => return print(&text),
    };
    if !rustix::process::geteuid().is_root() {
        return Err(
            Error::new(ErrorKind::Request, "session scripts are root's to run").help("run it as root")
        );
    }
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let (event, source) = match asked.verb {
        Verb::Added => (Event::Added, told::source(asked.source.as_deref())?),
        Verb::Removed => (Event::Removed, told::source(asked.source.as_deref())?),
        Verb::Pam => match told::pam_event(&environment) {
            Some(event) => (event, Source::PamExec),
            // pam_exec in another stack than that of sessions.
            None => return Ok(0),
        },
        Verb::Sweep | Verb::Background => return later(&asked),
    };
    let policy = host::load_script_policy(asked.config.as_deref())?;
    let worlds = told::worlds(&asked.compat)?;
    if event == Event::Added && !is_anything_there(&policy, &worlds) {
        return Ok(0);
    }
    let parent = arrive::parent()?;
    let typed = (asked.id.clone(), asked.user.clone(), asked.facts.clone());
    let told = told::told(source, typed, &environment, &format!("{}-{}", parent.pid, parent.started));
    let config = asked.config.as_deref();
    match event {
        Event::Added => {
            let registry = Registry::open()?;
            let leader = match asked.leader {
                // logind's word of it may come when it has ended already.
                Some(pid) if source == Source::Logind => arrive::leader(pid).ok(),
                Some(pid) => Some(arrive::leader(pid)?),
                None => arrive::leading(told.leads, parent)?,
            };
            let stage = Stage { registry: &registry, policy: &policy, config };
            let Some(who) = &told.who else {
                return Err(
                    Error::new(ErrorKind::Request, "whose session begins?").help("name the user with --user")
                );
            };
            let door = filter::door(&told.facts);
            let subject = match who {
                Who::Name(name) => host::subject(name, door)?,
                Who::Uid(uid) => host::subject_of_uid(*uid, door)?,
            };
            if source == Source::Logind && doctor::pam_tells_of_sessions(&subject.door.service) {
                return Ok(0);
            }
            let mut told = told;
            if matches!(source, Source::PamExec | Source::PamScript) {
                host::keep_what_logind_says(&mut told.facts, subject.uid, parent.pid);
            }
            let Some(session) = filter::session(&policy, &subject, told, leader, worlds)? else {
                return Ok(0);
            };
            added(&stage, session, &asked)
        }
        Event::Removed => match Registry::open_if_there()? {
            Some(registry) => removed(&Stage { registry: &registry, policy: &policy, config }, &asked, &told),
            // Nothing has begun since the host was started.
            None => Ok(0),
        },
    }
}

fn added(
    stage: &Stage<'_>,
    session: session_sandbox::scripts::session::Session,
    asked: &Asked,
) -> Result<u8, Error> {
    let is_typed = session.source == Source::Hand;
    let begun = match stage.added(session)? {
        Arrived::Begun(begun) => begun,
        Arrived::Already(name) if is_typed => return print(&format!("{name}\n")),
        Arrived::Already(_) => return Ok(0),
    };
    let mut shown: String = begun.shown.iter().map(|line| format!("{line}\n")).collect();
    if is_typed {
        shown.push_str(&format!("{}\n", begun.session.name));
    }
    if asked.prints_environment {
        shown.extend(begun.said.for_session().iter().map(|(name, value)| format!("{name}={value}\n")));
    }
    if let Err(error) = print(&shown) {
        // The session has begun; that nobody reads of it does not unmake it.
        let _ = writeln!(std::io::stderr(), "session-scripts: {}", error.chain());
    }
    match &begun.refusal {
        None => Ok(0),
        Some(refusal) => {
            let _ = writeln!(std::io::stderr(), "session-scripts: the session is refused: {}", refusal.why);
            Ok(1)
        }
    }
}

fn removed(stage: &Stage<'_>, asked: &Asked, told: &Told) -> Result<u8, Error> {
    let names = match (&asked.name, &told.id, &told.who) {
        (Some(name), ..) => vec![name.clone()],
        (None, Some(id), _) => stage.find(told.source, id)?.into_iter().collect(),
        (None, None, Some(Who::Name(user))) => {
            let subject = host::subject(user, filter::door(&told.facts))?;
            Journals::open(stage.registry)?.of_user(subject.uid)?
        }
        _ => {
            return Err(Error::new(ErrorKind::Request, "which session has ended?")
                .help("name it with --name, or with --from and --session, or all of a user's with --user"));
        }
    };
    for name in names {
        if asked.waits { stage.end(&name, true)? } else { stage.end_in_background(&name)? }
    }
    Ok(0)
}

/// What was left to be done.
fn later(asked: &Asked) -> Result<u8, Error> {
    let Some(registry) = Registry::open_if_there()? else { return Ok(0) };
    let policy = host::load_script_policy(asked.config.as_deref())?;
    let stage = Stage { registry: &registry, policy: &policy, config: asked.config.as_deref() };
    if asked.verb == Verb::Sweep {
        registry.sweep()?;
        return stage.sweep().map(|()| 0);
    }
    background::take_and_do(&registry, asked.name.as_deref().unwrap_or_default()).map(|()| 0)
}

fn print(text: &str) -> Result<u8, Error> {
    let failed = |error| Error::new(ErrorKind::Request, "cannot write to standard output").caused_by(error);
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map(|()| 0).map_err(failed)
}
