//! Plans explained: what a login will find and why, and in what a living view differs from that.
//!
//! Pure: what the host is like comes in as values ([`Seen`], [`MountTable`](crate::model::mounts::MountTable)), and
//! what comes out is text.
//!
//! | question | file |
//! |---|---|
//! | what will be done, step by step, or as a tree | `listing.rs`, `tree.rs`, `json.rs` |
//! | what does a path inside lead to | `trace.rs` |
//! | which line of the map shows, hides or protects it | `why.rs` |
//! | may the user read, write or execute it | `can.rs` |
//! | is a view that lives what the plan says | `expected.rs`, `drift.rs` |
#![forbid(unsafe_code)]

pub mod can;
pub mod drift;
mod expected;
mod header;
mod json;
mod listing;
pub mod trace;
mod tree;
mod why;
mod words;

use std::collections::BTreeMap;

use crate::model::facts::{Look, PathFact};
use crate::model::mounts::MountEntry;
use crate::model::path::AbsPath;
use crate::model::policy::{Attributes, MountKind, MountRule, Policy, Profile};
use crate::model::seen::Seen;
use crate::plan::lint::{self, Finding};
use crate::plan::step::{Make, Mount, Plan, TreeStep};

pub use command_line::screen::Screen;
pub use why::why;

/// A plan with all that is to be said about it.
#[derive(Debug)]
pub struct Account<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The profile that it was made from.
    pub profile: &'a Profile,
    /// Why it is this profile: the conditions that hold.
    pub matched: Vec<String>,
    /// What each source is on this host, by the place of its step.
    pub sources: BTreeMap<usize, Seen>,
    /// What may not be meant.
    pub findings: Vec<Finding>,
}

impl<'a> Account<'a> {
    /// Puts it together; `see` looks at the host. `None` when the plan was made from another policy.
    pub fn of(
        plan: &'a Plan,
        policy: &'a Policy,
        matched: Vec<String>,
        mut see: impl FnMut(Look, &AbsPath) -> Seen,
    ) -> Option<Self> {
        let profile = policy.profiles.iter().find(|profile| profile.name == plan.profile)?;
        let sources = plan.tree.iter().enumerate().filter_map(|(at, step)| match &step.make {
            Make::Mount { what: Mount::Bind { source, look, .. }, .. } => Some((at, see(*look, source))),
            _ => None,
        });
        let sources = sources.collect();
        let findings = [lint::lint_policy(policy), lint::lint(plan)].concat();
        Some(Self { plan, profile, matched, sources, findings })
    }

    /// The same without a look at the host.
    pub fn unseen(plan: &'a Plan, policy: &'a Policy) -> Option<Self> {
        let account = Self::of(plan, policy, Vec::new(), |_, _| Seen::only(PathFact::Unseen))?;
        Some(Self { sources: BTreeMap::new(), ..account })
    }

    /// The entry of the map behind a step.
    fn rule(&self, step: &TreeStep) -> Option<&'a MountRule> {
        self.profile.mounts.iter().find(|rule| rule.origin == step.origin)
    }

    /// How the map writes target and source of a step, where that is not how they come out.
    fn written(&self, step: &TreeStep) -> Vec<(&'static str, &'a str)> {
        let Some(rule) = self.rule(step) else { return Vec::new() };
        let mut written = Vec::new();
        // A directory on the way to an entry has the entry's line, and not its text.
        if rule.target.expand_path(&self.plan.subject).as_ref() != Ok(&step.target) {
            return written;
        }
        if rule.target.variables().next().is_some() {
            written.push(("target", rule.target.source()));
        }
        if let MountKind::Bind { source, .. } = &rule.kind
            && source.variables().next().is_some()
        {
            written.push(("source", source.source()));
        }
        written
    }

    /// The steps that a reader counts: a mount point and what is mounted there are one thing.
    fn visible(&self) -> impl Iterator<Item = (usize, &'a TreeStep)> {
        let tree = &self.plan.tree;
        tree.iter()
            .enumerate()
            .filter(|(at, step)| tree.get(at + 1).is_none_or(|next| next.target != step.target))
    }

    /// The restrictions of a mount as the map gives them, and those that hold on top of them because the host's mount
    /// has them.
    fn attributes(&self, at: usize) -> Option<(Attributes, Attributes)> {
        let planned = planned_attributes(self.plan, at)?;
        Some((planned, self.of_host(at)))
    }

    /// The restrictions of the host's mount that the source of the step `at` lies on.
    fn of_host(&self, at: usize) -> Attributes {
        let seen = self.sources.get(&at).and_then(|seen| seen.more.as_ref());
        let mount = seen.and_then(|more| more.mount.as_ref());
        mount.map_or_else(Attributes::default, MountEntry::effective)
    }
}

/// The restrictions of the mount that the step `at` makes, once it is sealed.
fn planned_attributes(plan: &Plan, at: usize) -> Option<Attributes> {
    let Make::Mount { attributes, .. } = &plan.tree.get(at)?.make else { return None };
    let sealed = plan.seal.iter().any(|seal| seal.step == at);
    Some(Attributes { read_only: attributes.read_only || sealed, ..*attributes })
}
