//! A plan for programs.

use command_line::text::shown_json;
use serde::Serialize;

use super::Account;
use crate::model::policy::Attributes;
use crate::plan;
use crate::plan::lint::Finding;
use crate::plan::step::Plan;

/// Fields are added over time, never renamed or removed within one `version`.
#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    plan: &'a Plan,
    generation: String,
    matched: &'a [String],
    sources: Vec<Source<'a>>,
    findings: &'a [Finding],
}

/// What is known of a bind beyond the plan.
#[derive(Serialize)]
struct Source<'a> {
    /// The place of its step in `plan.tree`.
    step: usize,
    /// What the source is.
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filesystem: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a str>,
    /// The restrictions that will hold: the map's and those of the host's mount.
    #[serde(skip_serializing_if = "Option::is_none")]
    effective: Option<Attributes>,
    /// How the map writes it, where variables stand for something.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    written: Vec<(&'static str, &'a str)>,
}

impl Account<'_> {
    /// The plan, what is known of its sources, and what the linter found.
    pub fn json(&self) -> String {
        let sources = self.sources.iter().map(|(at, seen)| {
            let more = seen.more.as_ref();
            let mount = more.and_then(|more| more.mount.as_ref());
            Source {
                step: *at,
                found: seen.fact.describe(),
                mode: more.map(|more| more.mode),
                uid: more.map(|more| more.uid),
                gid: more.map(|more| more.gid),
                filesystem: mount.map(|mount| mount.kind.as_str()),
                device: mount.map(|mount| mount.source.as_str()),
                effective: self.attributes(*at).map(|(planned, host)| planned.and(host)),
                written: self.plan.tree.get(*at).map(|step| self.written(step)).unwrap_or_default(),
            }
        });
        let document = Document {
            version: 1,
            plan: self.plan,
            generation: plan::digest(self.plan),
            matched: &self.matched,
            sources: sources.collect(),
            findings: &self.findings,
        };
        // Values of our own types, all with text for keys: this does not fail.
        shown_json(&serde_json::to_string_pretty(&document).unwrap_or_default()) + "\n"
    }
}
