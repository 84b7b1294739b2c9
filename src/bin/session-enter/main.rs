//! Opens a user's private root and runs a program in it.
#![cfg_attr(all(target_env = "gnu", not(test)), no_main)]
#![deny(unsafe_code)]

mod scripts;

use std::io::Write;

use session_sandbox::cli::{self, Action, DryRun, OtherConf, Purpose, Reading};
use session_sandbox::explain::Account;
use session_sandbox::{Error, ErrorKind, host, plan, run};

session_sandbox::program!(report);

fn report() -> u8 {
    match run() {
        Ok(status) => status,
        Err(error) => {
            // An error that cannot be shown is still the exit status.
            let _ = writeln!(std::io::stderr(), "session-enter: {}", error.chain());
            error.kind().exit_code()
        }
    }
}

fn run() -> Result<u8, Error> {
    run::prepare_process()?;
    let invocation = match cli::read(std::env::args_os(), std::env::vars_os())? {
        Reading::Do(invocation) => *invocation,
        Reading::Say(text) => return print(&text),
    };
    let subject = match &invocation.user {
        Some(name) => host::subject(name, invocation.door)?,
        None => host::subject_of_caller(invocation.door)?,
    };
    let purpose = match invocation.action {
        Action::Release(root) => return run::release(subject.uid, root.as_ref()).map(|_| 0),
        Action::Plan(purpose) => purpose,
    };
    let policy = match &invocation.other_conf {
        Some(OtherConf::Chroot(path, words)) => host::load_chroot_conf(path, words, &subject)?,
        Some(OtherConf::Namespace(path, words)) => host::load_namespace_conf(path, words, &subject)?,
        None => host::load_policy(invocation.config.as_deref())?,
    };
    // A dry run makes nothing, not even what every session stands on; it assumes that it could be made.
    let ground = match purpose {
        Purpose::Enter => run::Ground::open(),
        Purpose::Show(_) | Purpose::Prepare => run::Ground::default(),
    };
    // Before the host is asked: what scripts mount is in the view.
    let script_policy = if invocation.scripts { Some(host::load_script_policy(None)?) } else { None };
    let scripts = match &script_policy {
        Some(policy) => scripts::begin(policy, &ground, &subject)?,
        None => None,
    };
    let mut facts = host::facts(&policy, &subject, &invocation.request)?;
    facts.base = ground.has_base() || (purpose != Purpose::Enter && facts.privileged);
    let mut plan = plan::plan(&policy, &subject, &invocation.request, &facts)?;
    match purpose {
        Purpose::Show(format) => {
            let profile = policy.profiles.iter().find(|known| known.name == plan.profile);
            let matched = profile.filter(|_| invocation.request.profile.is_none());
            let matched = matched.map(|profile| plan::matched(profile, &subject, &facts)).unwrap_or_default();
            let eyes = host::Eyes::of(&subject);
            let account = Account::of(&plan, &policy, matched, |look, path| eyes.see(look, path));
            let account = account.ok_or_else(|| Error::new(ErrorKind::Plan, "the plan has no profile"))?;
            print(&match format {
                DryRun::Text => account.tree(cli::terminal::screen()),
                DryRun::Json => account.json(),
            })
        }
        Purpose::Enter => {
            let beginning = scripts.map(|scripts| scripts.into_beginning(&mut plan));
            run::enter_begun(&plan, &ground, beginning, &mut run::Kernel::new(&plan, &ground))
        }
        Purpose::Prepare => run::prepare(&plan).map(|_| 0),
    }
}

fn print(text: &str) -> Result<u8, Error> {
    let failed = |error| Error::new(ErrorKind::Request, "cannot write to standard output").caused_by(error);
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map(|()| 0).map_err(failed)
}
