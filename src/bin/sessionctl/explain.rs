//! `plan`, `why` and `can`: what a login would find. Nothing is changed, and no privilege is needed.
#![forbid(unsafe_code)]

use session_sandbox::cli::OtherConf;
use session_sandbox::cli::control::{Form, Login};
use session_sandbox::cli::terminal::screen;
use session_sandbox::explain::can::{self, Answer, Deed, Verdict};
use session_sandbox::explain::trace::{End, Trace, trace};
use session_sandbox::explain::{self, Account};
use session_sandbox::host::{self, Eyes};
use session_sandbox::model::facts::Look;
use session_sandbox::model::path::AbsPath;
use session_sandbox::model::policy::Policy;
use session_sandbox::plan::{self, Plan, Request};
use session_sandbox::{Error, ErrorKind, audit, run};

/// A login that was thought through.
pub(crate) struct Thought {
    policy: Policy,
    plan: Plan,
    matched: Vec<String>,
    eyes: Eyes,
}

impl Thought {
    pub(crate) fn of(login: &Login) -> Result<Self, Error> {
        let subject = match &login.user {
            Some(name) => host::subject(name, login.door.clone())?,
            None => host::subject_of_caller(login.door.clone())?,
        };
        let policy = match &login.other_conf {
            Some(OtherConf::Chroot(path, words)) => host::load_chroot_conf(path, words, &subject)?,
            Some(OtherConf::Namespace(path, words)) => host::load_namespace_conf(path, words, &subject)?,
            None => host::load_policy(login.config.as_deref())?,
        };
        let request = Request { profile: login.profile.clone(), ..Request::default() };
        let facts = match login.rootless {
            true => host::facts_of_rootless(&policy, &subject, &request)?,
            false => host::facts_of_login(&policy, &subject, &request)?,
        };
        let plan = plan::plan(&policy, &subject, &request, &facts)?;
        let profile = policy.profiles.iter().find(|known| known.name == plan.profile);
        let matched = match (&login.profile, profile) {
            (Some(_), _) => vec!["nothing: it is named by --profile".to_owned()],
            (None, Some(profile)) => plan::matched(profile, &subject, &facts),
            (None, None) => Vec::new(),
        };
        let eyes = Eyes::of(&subject);
        Ok(Self { policy, plan, matched, eyes })
    }

    pub(crate) fn account(&self) -> Result<Account<'_>, Error> {
        let matched = self.matched.clone();
        Account::of(&self.plan, &self.policy, matched, |look, path| self.eyes.see(look, path)).ok_or_else(
            || Error::new(ErrorKind::Plan, format!("there is no profile {:?}", self.plan.profile)),
        )
    }

    fn trace(&self, account: &Account<'_>, path: &AbsPath) -> Trace {
        trace(account, path, |look, path| self.eyes.see_closely(look, path))
    }
}

/// What can be found of ways out of such a login's session. It is planned as for a view that nobody shares.
pub(crate) fn audit(login: &Login, strict: bool, format: &str) -> Result<u8, Error> {
    let subject = match &login.user {
        Some(name) => host::subject(name, login.door.clone())?,
        None => host::subject_of_caller(login.door.clone())?,
    };
    let policy = host::load_policy(login.config.as_deref())?;
    let request = Request { profile: login.profile.clone(), ..Request::default() };
    let ground = run::Ground::open();
    let mut facts = host::facts(&policy, &subject, &request)?;
    facts.base = ground.has_base();
    let plan = plan::plan(&policy, &subject, &request, &facts)?;
    crate::check::show(&audit::audit(&plan, &ground)?, strict, format)
}

pub(crate) fn plan(login: &Login, form: Form) -> Result<u8, Error> {
    let thought = Thought::of(login)?;
    let account = thought.account()?;
    crate::print(&match form {
        Form::Steps => account.listing(screen()),
        Form::Tree => account.tree(screen()),
        Form::Json => account.json(),
    })
}

pub(crate) fn why(login: &Login, path: &AbsPath) -> Result<u8, Error> {
    let thought = Thought::of(login)?;
    let account = thought.account()?;
    let trace = thought.trace(&account, path);
    // Whoever asks about something that is not inside wants to know whether there was something to be shown.
    let is_absent = matches!(trace.end, End::NotThere(_) | End::Masked(_));
    let on_host = is_absent.then(|| thought.eyes.see(Look::Root, &trace.place).fact.describe());
    crate::print(&explain::why(&account, &trace, on_host.as_deref(), screen()))
}

pub(crate) fn can(login: &Login, deed: Deed, path: &AbsPath) -> Result<u8, Error> {
    let thought = Thought::of(login)?;
    let account = thought.account()?;
    let trace = thought.trace(&account, path);
    let mut answer = can::can(&account, &trace, deed);
    if deed == Deed::Exec && answer.verdict == Verdict::Yes {
        answer = with_starters(&thought, &account, trace, answer);
    }
    crate::print(&(answer.text(screen()) + "\n"))?;
    Ok(match answer.verdict {
        Verdict::Yes => 0,
        Verdict::No => 1,
        Verdict::Unknown => 125,
    })
}

/// A program is started by its loader, and a script by its interpreter, which have to be inside, too.
fn with_starters(thought: &Thought, account: &Account<'_>, trace: Trace, answer: Answer) -> Answer {
    let mut trace = trace;
    // A script may name a script; the kernel follows as many.
    for _ in 0..5 {
        let Some((what, path)) = trace.starter() else { break };
        let Ok(place) = AbsPath::new(path) else { break };
        let next = thought.trace(account, &place);
        let of_starter = can::can(account, &next, Deed::Exec);
        if of_starter.verdict != Verdict::Yes {
            let because = format!("its {what} {place} cannot be run: {}", of_starter.because);
            return Answer { because, ..of_starter };
        }
        trace = next;
    }
    answer
}
