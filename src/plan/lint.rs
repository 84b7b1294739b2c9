//! What is allowed but probably not meant. A plan with findings still runs; `sessionctl check` and a dry run show
//! them.

use crate::model::path::AbsPath;
use crate::model::policy::{Attributes, Match, MountKind, OpenAs, Origin, Policy, Scope, Wall};

use super::share;
use super::step::{Make, Mount, Node, Plan};

/// One thing to look at.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// Stable, for machines: `no-proc`.
    pub id: &'static str,
    /// The map line.
    pub origin: Origin,
    /// One sentence.
    pub message: String,
    /// What to do about it.
    pub help: &'static str,
}

/// Findings about one user's plan.
pub fn lint(plan: &Plan) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mounts: Vec<(&Origin, &AbsPath, &Mount, Attributes)> = plan
        .mounts()
        .map(|(step, what, attributes)| (&step.origin, &step.target, what, attributes))
        .collect();
    let mut find = |id, origin: &Origin, message, help| {
        findings.push(Finding { id, origin: origin.clone(), message, help });
    };

    if !mounts.iter().any(|(_, _, what, _)| matches!(what, Mount::Proc)) {
        let message = "there is no /proc inside: shells, ps and most runtimes need it".to_owned();
        find("no-proc", &plan.origin, message, "add an entry with kind = \"proc\"");
    }
    if !plan.tree.iter().any(|step| step.target.as_str() == "/dev" || step.target.as_str() == "/dev/null") {
        let message = "there is no /dev/null inside".to_owned();
        find("no-dev", &plan.origin, message, "add an entry with target = \"/dev\", kind = \"dev\"");
    }
    for (origin, target, what, attributes) in &mounts {
        if !attributes.nosuid && !attributes.read_only {
            let message = format!("{target} can be written to and honours set-user-id programs");
            find("writable-suid", origin, message, "add `ro`, or take `suid` out");
        }
        let is_device = matches!(what, Mount::Terminal | Mount::Devpts { .. })
            || plan.tree.iter().any(|step| {
                step.target == **target && matches!(step.make, Make::Mount { node: Node::Device, .. })
            });
        if !attributes.nodev && !attributes.read_only && !is_device {
            let message = format!("{target} can be written to and honours device nodes");
            find("writable-dev", origin, message, "add `ro`, or take `dev` out");
        }
        if let Mount::Bind { source, .. } = what {
            if source.is_root() {
                let message = format!("the whole host is visible at {target}");
                find("whole-host", origin, message, "bind the directories that are needed");
            }
            for socket in ["docker.sock", "containerd.sock", "podman.sock"] {
                if source.file_name() == Some(socket) {
                    let message = format!("{source} hands out root on the host to whoever can connect to it");
                    find("container-socket", origin, message, "take the entry out");
                }
            }
        }
    }
    // Where an ordinary user enters, everything belongs to that user, whatever the map says.
    let users_own = plan.tree.iter().filter(|_| plan.namespace.user.is_none() && plan.subject.uid != 0);
    for step in users_own {
        let Make::Directory { owner, .. } = &step.make else { continue };
        let holder = mounts
            .iter()
            .filter(|(_, target, _, _)| step.target.is_below(target))
            .max_by_key(|(_, target, _, _)| target.depth());
        if let Some((_, target, _, Attributes { read_only: true, .. })) = holder
            && owner.uid == plan.subject.uid
        {
            let message = format!("{} is the user's, and read-only all the same: {target} is", step.target);
            find("unwritable-dir", &step.origin, message, "make it a tmpfs");
        }
    }
    findings
}

/// Findings about the policy itself, for all users at once.
pub fn lint_policy(policy: &Policy) -> Vec<Finding> {
    let mut findings = Vec::new();
    for profile in &policy.profiles {
        let mut find = |id, origin: &Origin, message, help| {
            findings.push(Finding { id, origin: origin.clone(), message, help });
        };
        if locks_out_root(&profile.matches) {
            let message = format!(
                "profile {:?} also matches root's logins: a mistake in it locks everybody out",
                profile.name
            );
            find("root-locked-in", &profile.origin, message, "add `not_user = [\"root\"]` to its match");
        }
        if profile.settings.wall == Wall::None {
            let message = format!(
                "profile {:?} has no wall: any process of the user outside is a way out",
                profile.name
            );
            find("no-wall", &profile.origin, message, "set `wall = \"pidns\"` or `wall = \"landlock\"`");
        }
        for rule in &profile.mounts {
            if let MountKind::Bind { source, open_as: OpenAs::Root, .. } = &rule.kind
                && source.starts_at_home()
            {
                let message =
                    format!("{} lies in the user's home and is opened with root's rights", source.source());
                find("root-opens-home", &rule.origin, message, "add `open_as = \"user\"`");
            }
        }
        // A login would be refused for each of these: better known before one comes. Under `--scope`, a profile of
        // scope `session` is held to the same, and that is for who types it to see.
        let shares = profile.settings.scope != Scope::Session;
        for rule in profile.mounts.iter().filter(|_| shares) {
            for what in share::differences(rule, profile.settings.scope) {
                let finding = Finding {
                    id: "not-shareable",
                    origin: rule.origin.clone(),
                    message: share::why_not(
                        rule.target.source(),
                        share::sharers(profile.settings.scope),
                        &what,
                    ),
                    help: share::REMEDY,
                };
                // A profile that extends another one has its entries, and their mistakes, from the same lines.
                if !findings.contains(&finding) {
                    findings.push(finding);
                }
            }
        }
    }
    findings
}

/// Can root come to this profile through another door than the command line?
fn locks_out_root(conditions: &Match) -> bool {
    let by_name = conditions.user.is_empty() || conditions.user.iter().any(|user| user == "root");
    let by_uid = conditions.uid.is_empty() || conditions.uid.iter().any(|range| range.first == 0);
    let excluded = conditions.not_user.iter().any(|user| user == "root")
        || conditions.not_uid.iter().any(|range| range.first == 0)
        || conditions.not_group.iter().any(|group| group == "root");
    let by_group = conditions.group.is_empty() || conditions.group.iter().any(|group| group == "root");
    let doors = &conditions.service;
    let command_line_only = !doors.is_empty() && doors.iter().all(|door| door == "session-enter");
    by_name && by_uid && by_group && !excluded && !command_line_only
}
