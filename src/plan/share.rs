//! Who shares a namespace, which one it is, and what stands for everything that is shared.

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::model::facts::Facts;
use crate::model::isolation::Apart;
use crate::model::path::AbsPath;
use crate::model::policy::{MountKind, MountRule, OpenAs, Owner, Profile, Scope, Settings};
use crate::model::subject::Subject;
use crate::model::template::{Template, Variable};

use super::error::{PlanError, PlanErrors};
use super::step::{Make, Plan, RootSwitch, Share};
use super::{Placement, Request};

/// As many bytes as a name may have.
const NAME_MAX: usize = 64;
/// As many hexadecimal digits of the SHA-256 are kept: 128 bits.
const DIGITS: usize = 32;

/// What can be done about an entry that cannot be shared.
pub(super) const REMEDY: &str = "set `scope = \"session\"`, or take what differs out of the entry";

/// A namespace that is to be shared.
pub(super) struct Sharing {
    scope: Scope,
    name: String,
    private_copy: bool,
}

/// With whom a session of `profile` shares its namespace; `None` when it has one of its own.
pub(super) fn sharing(
    profile: &Profile,
    subject: &Subject,
    request: &Request,
    facts: &Facts,
    notes: &mut Vec<String>,
) -> Result<Option<Sharing>, PlanErrors> {
    let private_copy = request.scope == Some(Scope::Session) && profile.settings.scope != Scope::Session;
    let scope = match request.scope {
        Some(scope) if !private_copy => scope,
        _ => profile.settings.scope,
    };
    if scope == Scope::Session || request.placement != Placement::Enter {
        return Ok(None);
    }
    if !facts.privileged {
        notes.push(format!(
            "scope `{}`: only root can open a namespace to several logins, so this session has one of its own",
            word(scope)
        ));
        return Ok(None);
    }
    let refused = |rule: &MountRule, what| PlanError::NotShareable {
        origin: rule.origin.clone(),
        target: rule.target.source().to_owned(),
        scope: sharers(scope),
        what,
    };
    let errors: Vec<PlanError> = profile
        .mounts
        .iter()
        .flat_map(|rule| differences(rule, scope).into_iter().map(move |what| refused(rule, what)))
        .collect();
    if !errors.is_empty() {
        return Err(PlanErrors { errors });
    }
    let whose = match scope {
        Scope::Session => return Ok(None),
        Scope::User => format!("user-{}", subject.uid),
        Scope::Group => format!("group-{}", subject.gid),
        Scope::Named => format!("named-{}", scope_name(profile, subject)?),
    };
    Ok(Some(Sharing { scope, name: format!("{whose}.{}", profile.name), private_copy }))
}

impl Sharing {
    /// What a plan says of it, once the rest of the plan is there.
    pub(super) fn of(self, plan: &Plan, settings: &Settings, console: Option<AbsPath>) -> Share {
        Share {
            scope: self.scope,
            name: self.name,
            digest: digest(plan),
            on_change: settings.on_change,
            linger: settings.linger,
            private_copy: self.private_copy,
            console: console.filter(|_| plan.namespace.pid),
        }
    }
}

/// The map's word.
pub(super) fn word(scope: Scope) -> &'static str {
    match scope {
        Scope::Session => "session",
        Scope::User => "user",
        Scope::Group => "group",
        Scope::Named => "named",
    }
}

fn scope_name(profile: &Profile, subject: &Subject) -> Result<String, PlanError> {
    let origin = || profile.origin.clone();
    let template =
        profile.settings.scope_name.as_ref().ok_or_else(|| PlanError::NoScopeName { origin: origin() })?;
    let value = template.expand_text(subject).map_err(|source| PlanError::Template {
        origin: origin(),
        key: "scope_name",
        template: template.source().to_owned(),
        source,
    })?;
    let is_name = (1..=NAME_MAX).contains(&value.len())
        // No dot: behind the first one stands the profile's name.
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if is_name {
        Ok(value)
    } else {
        Err(PlanError::ScopeName { origin: origin(), template: template.source().to_owned(), value })
    }
}

/// Why an entry cannot be shared. The planner and the linter say it in the same words.
pub(super) fn why_not(target: &str, sharers: &str, what: &str) -> String {
    format!("{target} is shared by all sessions of a {sharers}, and {what} differs among them")
}

/// Whose sessions share, as [`why_not`] calls it.
pub(super) fn sharers(scope: Scope) -> &'static str {
    match scope {
        Scope::User => "user",
        Scope::Group => "group",
        Scope::Named | Scope::Session => "name",
    }
}

/// What in an entry differs among those who share it: variables and keys, as the map writes them.
pub(super) fn differences(rule: &MountRule, scope: Scope) -> Vec<String> {
    let per_session = [Variable::Service, Variable::Tty, Variable::Session];
    let per_user = [Variable::User, Variable::Uid, Variable::Home];
    let per_group = [Variable::Group, Variable::Gid];
    let among_users = matches!(scope, Scope::Group | Scope::Named);
    let differs = |variable: &Variable| {
        per_session.contains(variable)
            || (among_users && per_user.contains(variable))
            || (scope == Scope::Named && per_group.contains(variable))
    };
    let mut found: Vec<String> = templates(rule)
        .into_iter()
        .flat_map(Template::variables)
        .filter(differs)
        .map(|variable| format!("`%{}`", variable.letter()))
        .collect();
    let owner = match &rule.kind {
        MountKind::Tmpfs { owner, .. } | MountKind::Dir { owner, .. } | MountKind::File { owner, .. } => {
            Some(*owner)
        }
        _ => None,
    };
    if among_users && owner == Some(Owner::User) {
        found.push("`owner = \"user\"`".to_owned());
    }
    if among_users && matches!(rule.kind, MountKind::Bind { open_as: OpenAs::User, .. }) {
        found.push("`open_as = \"user\"`".to_owned());
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn templates(rule: &MountRule) -> Vec<&Template> {
    let mut templates = vec![&rule.target];
    match &rule.kind {
        MountKind::Bind { source, .. } => templates.push(source),
        MountKind::Symlink { to } => templates.push(to),
        MountKind::File { content, .. } => templates.push(content),
        _ => {}
    }
    templates
}

/// Equal for two plans that build the same namespace, whatever line of the map each part comes from, whoever enters
/// and whatever runs there.
pub fn digest(plan: &Plan) -> String {
    #[derive(Serialize)]
    struct Shared<'a> {
        pid: bool,
        #[serde(skip_serializing_if = "Apart::is_empty")]
        apart: Apart,
        root: &'a RootSwitch,
        tree: Vec<(&'a AbsPath, &'a Make)>,
        seal: Vec<(&'a AbsPath, usize)>,
    }
    let shared = Shared {
        pid: plan.namespace.pid,
        apart: plan.namespace.apart,
        root: &plan.root,
        tree: plan.tree.iter().map(|step| (&step.target, &step.make)).collect(),
        seal: plan.seal.iter().map(|seal| (&seal.target, seal.step)).collect(),
    };
    // Values of our own types, all with text for keys: this does not fail.
    let text = serde_json::to_vec(&shared).unwrap_or_default();
    let mut digits: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
    digits.truncate(DIGITS);
    digits
}
