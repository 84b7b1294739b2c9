//! From policy, user and host to a plan. Pure: no I/O, no clock, no environment, the same answer every time.
//!
//! ```text
//! questions() -> the host is asked -> Facts
//! plan(Policy, Subject, Request, Facts) -> Plan
//! lint(Plan) -> findings
//! ```
#![forbid(unsafe_code)]

mod error;
mod exec;
mod instance;
pub mod lint;
mod place;
mod select;
mod share;
pub mod step;
mod tree;

use std::ffi::OsString;
use std::str::FromStr;

use crate::model::facts::{Facts, Look};
use crate::model::isolation::{Apart, OnOutside, Tiocsti};
use crate::model::path::AbsPath;
use crate::model::policy::{Mode, MountRule, Policy, Profile, Scope, Settings, Wall};
use crate::model::report::Report;
use crate::model::subject::Subject;

pub use error::{PlanError, PlanErrors};
pub use select::{matched, mismatch, select};
pub use share::digest;
pub use step::Plan;

use place::{Placer, Terminal};
use step::{Identity, Namespace, RootSwitch, UserNamespace};

/// What someone asks for, beyond what the policy says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// This profile, whatever matches.
    pub profile: Option<String>,
    /// This root switch instead of the profile's.
    pub mode: Option<Mode>,
    /// Share the namespace with others than the profile says; `Session` takes a private copy of the shared one.
    pub scope: Option<Scope>,
    /// Build at a path of the host, and stay outside.
    pub placement: Placement,
    /// What to run inside.
    pub command: Command,
    /// The caller's environment, of which the profile keeps a part.
    pub environment: Vec<(OsString, OsString)>,
}

/// What the tree is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// A session enters it.
    #[default]
    Enter,
    /// It is put at this path of the host, or at the profile's `root`, for a later `chroot`.
    Host(Option<AbsPath>),
}

/// What to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Command {
    /// The login shell, as a login shell.
    #[default]
    LoginShell,
    /// The login shell with `-c` and this text.
    ShellString(OsString),
    /// A program and its arguments.
    Program(Vec<OsString>),
}

/// What has to be known of the host before a profile can be chosen: group names and paths.
pub fn selection_questions<'a>(
    policy: &'a Policy,
    subject: &Subject,
) -> (Vec<&'a str>, Vec<(Look, AbsPath)>) {
    let mut groups = Vec::new();
    let mut paths = Vec::new();
    for conditions in policy.profiles.iter().map(|profile| &profile.matches) {
        groups.extend(conditions.group.iter().chain(&conditions.not_group).map(String::as_str));
        for template in conditions.exists.iter().chain(&conditions.not_exists) {
            if let Ok(path) = template.expand_path(subject) {
                paths.push((select::exists_look(&path, subject), path));
            }
        }
    }
    groups.sort_unstable();
    groups.dedup();
    (groups, paths)
}

/// What has to be known of the host before a plan can be made of `profile`.
pub fn mount_questions(profile: &Profile, subject: &Subject) -> Vec<(Look, AbsPath)> {
    place::questions(&profile.mounts, subject)
}

/// The entry of `profile` that one of these questions, a path of the host, is asked for.
pub fn asker<'a>(profile: &'a Profile, subject: &Subject, path: &AbsPath) -> Option<&'a MountRule> {
    place::asker(profile, subject, path)
}

/// The plan for `subject`, or every reason why there is none.
pub fn plan(
    policy: &Policy,
    subject: &Subject,
    request: &Request,
    facts: &Facts,
) -> Result<Plan, PlanErrors> {
    if let Some((call, since)) = facts.kernel.missing() {
        return Err(PlanError::Kernel { call, since }.into());
    }
    let host_placement = matches!(request.placement, Placement::Host(_));
    if !facts.privileged {
        if facts.caller_uid == 0 && (host_placement || subject.uid != 0) {
            let what =
                if host_placement { "--prepare".to_owned() } else { format!("{}'s root", subject.name) };
            return Err(PlanError::NoRight(what).into());
        }
        if host_placement {
            return Err(PlanError::NeedsRoot("--prepare").into());
        }
        if facts.caller_uid != subject.uid {
            let user = subject.name.to_string();
            return Err(PlanError::NotYourself { user, caller: facts.caller_uid }.into());
        }
    }
    let profile = select(policy, subject, facts, request.profile.as_deref())?;
    let settings = &profile.settings;

    let mut notes = Vec::new();
    let sharing = share::sharing(profile, subject, request, facts, &mut notes)?;
    let terminal = match &sharing {
        Some(_) => Terminal::OfEach,
        None if facts.terminal && !host_placement => Terminal::Own,
        None => Terminal::None,
    };
    let (creates, init) = instance::of(&profile.mounts, subject)?;
    let facts = &instance::as_if_made(facts, &creates);
    if !facts.privileged && !creates.is_empty() {
        return Err(PlanError::NeedsRoot("an entry with `create`").into());
    }
    let mut placer = Placer { subject, facts, terminal, console: None, notes, errors: Vec::new() };
    let placements = placer.place_all(&profile.mounts);
    let tree = tree::build(placements, &profile.origin, &mut placer);
    let Placer { notes, mut errors, console, .. } = placer;

    let exec = exec::exec(settings, subject, request, &profile.origin).map_err(|error| errors.push(error));
    let root = root_switch(profile, subject, request).map_err(|error| errors.push(error));
    if settings.wall == Wall::Landlock && !facts.kernel.landlock_scope && !host_placement {
        let origin = profile.origin.clone();
        errors.push(PlanError::Unsupported { origin, what: "wall = \"landlock\"", since: "6.12" });
    }
    let namespace = namespace(settings, subject, facts, host_placement);
    if !namespace.apart.is_empty() && !namespace.pid {
        let (origin, what) = (profile.origin.clone(), namespace.apart.words());
        errors.push(PlanError::NeedsWall { origin, what });
    }
    if !facts.kernel.nosymfollow
        && let Some(step) = tree.steps.iter().find(|step| asks_for_nosymfollow(&step.make))
    {
        let origin = step.origin.clone();
        errors.push(PlanError::Unsupported { origin, what: "the option `nosymfollow`", since: "5.14" });
    }
    let (Ok(exec), Ok(root), true) = (exec, root, errors.is_empty()) else {
        return Err(PlanErrors { errors });
    };

    let wall = if namespace.pid && settings.wall == Wall::None { Wall::Pidns } else { settings.wall };
    let mut plan = Plan {
        profile: profile.name.clone(),
        origin: profile.origin.clone(),
        subject: subject.clone(),
        identity: identity(settings, subject, facts),
        on_outside: on_outside(settings, subject, facts, host_placement),
        report: Report {
            mode: request.mode.unwrap_or(settings.mode),
            wall,
            isolation: settings.isolation_behind(wall),
            user_namespace: namespace.user.is_some(),
            mounts: 0,
            notes,
        },
        namespace,
        creates,
        init,
        tree: tree.steps,
        seal: tree.seals,
        root,
        exec,
        share: None,
    };
    plan.share = sharing.map(|sharing| sharing.of(&plan, settings, console));
    plan.report.mounts = plan.mounts().count();
    Ok(plan)
}

fn asks_for_nosymfollow(make: &step::Make) -> bool {
    matches!(make, step::Make::Mount { attributes, .. } if attributes.nosymfollow)
}

fn namespace(settings: &Settings, subject: &Subject, facts: &Facts, host_placement: bool) -> Namespace {
    let user = (!facts.privileged).then_some(UserNamespace {
        uid: subject.uid,
        gid: subject.gid,
        subordinate: facts.subordinate,
    });
    // An ordinary user can mount a new /proc only for a PID namespace of its own.
    let pid = !host_placement && (settings.wall == Wall::Pidns || user.is_some());
    let base = facts.privileged && facts.base && !host_placement;
    let apart = if host_placement { Apart::default() } else { settings.apart };
    Namespace { user, pid, apart, base }
}

/// Root's processes are everywhere, and an ordinary user's sandbox is for what that user starts in it.
fn on_outside(settings: &Settings, subject: &Subject, facts: &Facts, host_placement: bool) -> OnOutside {
    let looks = facts.privileged && !host_placement && subject.uid != 0;
    if looks { settings.on_outside } else { OnOutside::Ignore }
}

fn root_switch(profile: &Profile, subject: &Subject, request: &Request) -> Result<RootSwitch, PlanError> {
    match &request.placement {
        Placement::Enter => Ok(RootSwitch::Enter { mode: request.mode.unwrap_or(profile.settings.mode) }),
        Placement::Host(Some(at)) => Ok(RootSwitch::Place { at: at.clone() }),
        Placement::Host(None) => {
            let root = &profile.settings.root;
            let at = root.expand_path(subject).map_err(|source| PlanError::Template {
                origin: profile.origin.clone(),
                key: "root",
                template: root.source().to_owned(),
                source,
            })?;
            Ok(RootSwitch::Place { at })
        }
    }
}

fn identity(settings: &Settings, subject: &Subject, facts: &Facts) -> Identity {
    let bit = |name: &String| caps::Capability::from_str(name).map_or(0, |capability| capability.bitmask());
    Identity {
        uid: subject.uid,
        gid: subject.gid,
        groups: facts.privileged.then(|| subject.groups.clone()),
        capabilities: settings.capabilities.iter().map(bit).fold(0, |bits, bit| bits | bit),
        no_new_privs: settings.no_new_privs,
        refuse_tiocsti: settings.tiocsti == Tiocsti::Refuse,
        landlock: settings.wall == Wall::Landlock,
        umask: settings.umask,
    }
}
