//! `selftest`: the known attacks, on a session by the map in place.
#![forbid(unsafe_code)]

use session_sandbox::cli::control::Login;
use session_sandbox::cli::terminal::screen;
use session_sandbox::model::path::AbsPath;
use session_sandbox::model::policy::Mode;
use session_sandbox::plan::{self, Request};
use session_sandbox::selftest::{self, Attacker, HOME, Outcome};
use session_sandbox::{Error, ErrorKind, host, run};

/// Tries them on a login as that of the user, or of one that nobody is. It is planned as for a view that nobody shares.
pub(crate) fn selftest(login: &Login, mode: Option<Mode>, json: bool) -> Result<u8, Error> {
    let subject = match &login.user {
        Some(name) => host::subject(name, login.door.clone())?,
        None => {
            let home = AbsPath::new(HOME).map_err(|error| {
                Error::new(ErrorKind::Host, "the home directory of a user that nobody is").caused_by(error)
            })?;
            host::throw_away(login.door.clone(), home)?
        }
    };
    if subject.uid == 0 {
        let message = "root's session is no wall for root, and is not attacked";
        return Err(Error::new(ErrorKind::Request, message).help("name another user, or none"));
    }
    let policy = host::load_policy(login.config.as_deref())?;
    let ground = run::Ground::open();
    let room = selftest::prepare(Attacker {
        uid: subject.uid,
        gid: subject.gid,
        groups: subject.groups.clone(),
        alone: login.user.is_none(),
    })?;
    let request = Request { profile: login.profile.clone(), mode, ..Request::default() };
    let mut facts = host::facts(&policy, &subject, &request)?;
    facts.base = ground.has_base();
    let plan = plan::plan(&policy, &subject, &request, &facts).map_err(|error| {
        let error = Error::from(error);
        match login.user {
            Some(_) => error,
            None => error.help("name a user with --user, or a profile with --profile"),
        }
    })?;
    let report = selftest::selftest(&plan, &ground, &room)?;
    crate::print(&if json { report.json() } else { report.text(screen()) })?;
    Ok(u8::from(report.count(Outcome::Through) > 0))
}
