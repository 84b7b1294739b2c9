//! Layers on top of each other, and profiles on top of those that they extend.
//!
//! What a map does not say, the layer below says, and at the very bottom `[defaults]` of the built-in map. So there
//! is no second list of defaults in the code that could differ from the one that administrators read.

use super::entry::{Action, Entry, merge};
use super::profile::{Layer, ProfileLayer, Verb};
use super::settings::Partial;
use super::source::{At, Place, Problems};
use super::words::{self, quote};
use super::{MOUNTS_MAX, PROFILES_MAX};
use crate::model::policy::{Policy, Profile};

/// Makes one policy of all layers, lowest first. What cannot be is reported, and the policy is then of no use.
pub(super) fn combine(problems: &Problems<'_>, bottom: Partial, layers: Vec<Layer>) -> Policy {
    let mut stack = Stack { problems, defaults: bottom, profiles: Vec::new(), masked: Vec::new() };
    for layer in layers {
        stack.put(layer);
    }
    if let Some(surplus) = stack.profiles.get(PROFILES_MAX) {
        problems.report(surplus.place, format!("more than {PROFILES_MAX} profiles in all files together"));
        stack.profiles.truncate(PROFILES_MAX);
    }
    let profiles = (0..stack.profiles.len()).filter_map(|index| stack.resolve(index)).collect();
    Policy { profiles }
}

struct Stack<'p> {
    problems: &'p Problems<'p>,
    defaults: Partial,
    /// In the order in which they are tried.
    profiles: Vec<ProfileLayer>,
    /// What was taken away, and where, for those who still ask for it.
    masked: Vec<(String, Place)>,
}

/// A profile and what it extends, the topmost first.
struct Family<'s> {
    members: Vec<&'s ProfileLayer>,
    whole: bool,
}

impl Stack<'_> {
    fn put(&mut self, layer: Layer) {
        self.defaults.overlay(layer.defaults);
        // New profiles are tried before those of lower layers: a drop-in that no login reaches would be no use.
        let mut new = Vec::new();
        for mut profile in layer.profiles {
            let below = self.profiles.iter().position(|other| other.name.value == profile.name.value);
            match (profile.verb, below) {
                (Verb::Add, None) => {
                    self.refuse_idle_removals(&mut profile);
                    new.push(profile);
                }
                (Verb::Add, Some(at)) => self.add(at, profile),
                (Verb::Override, Some(at)) => {
                    self.refuse_idle_removals(&mut profile);
                    self.profiles[at] = profile;
                }
                (Verb::Mask, Some(at)) => {
                    self.profiles.remove(at);
                    self.masked.push((profile.name.value, profile.place));
                }
                (Verb::Override, None) => self.nothing_below("override", &profile.name),
                (Verb::Mask, None) => self.nothing_below("mask", &profile.name),
            }
        }
        new.append(&mut self.profiles);
        self.profiles = new;
    }

    fn add(&mut self, at: usize, upper: ProfileLayer) {
        let lower = &mut self.profiles[at];
        lower.settings.overlay(upper.settings);
        lower.extends = upper.extends.or_else(|| lower.extends.take());
        lower.matches = upper.matches.or_else(|| lower.matches.take());
        merge(&mut lower.entries, upper.entries);
    }

    /// A profile that stands on nothing has nothing to remove.
    fn refuse_idle_removals(&self, profile: &mut ProfileLayer) {
        if profile.extends.is_some() {
            return;
        }
        for entry in profile.entries.extract_if(.., |entry| entry.is_remove()) {
            self.problems.report_with_help(
                entry.place,
                format!(
                    "nothing to remove: profile {} does not extend another one",
                    quote(&profile.name.value)
                ),
                "leave the entry out, or say which profile is extended",
            );
        }
    }

    fn nothing_below(&self, verb: &str, name: &At<String>) {
        let message =
            format!("nothing to {verb}: no file before this one has a profile {}", quote(&name.value));
        self.report_unknown(name, message);
    }

    fn report_unknown(&self, name: &At<String>, message: String) {
        let help = match self.masked.iter().find(|(masked, _)| *masked == name.value) {
            Some((masked, place)) => format!("`{masked}` is masked at {}", self.problems.origin(*place)),
            None if self.profiles.is_empty() => "no profile is left".to_owned(),
            None => {
                let known: Vec<&str> =
                    self.profiles.iter().map(|profile| profile.name.value.as_str()).collect();
                words::help(&name.value, "known profiles", &known)
            }
        };
        self.problems.report_with_help(name.place, message, help);
    }

    /// The profile with this index and, before it, everything that it extends, from the top of the family down.
    /// `whole` is false where one of them is missing or the family is a circle, which is then reported.
    fn family(&self, index: usize) -> Option<Family<'_>> {
        let mut family = vec![index];
        let mut whole = true;
        let mut member = self.profiles.get(index)?;
        while let Some(parent) = &member.extends {
            let Some(at) = self.profiles.iter().position(|other| other.name.value == parent.value) else {
                // Reported once, for the profile that says so.
                whole = false;
                if family.len() == 1 {
                    let own = quote(&member.name.value);
                    let message =
                        format!("profile {own} extends {}, which is not there", quote(&parent.value));
                    self.report_unknown(parent, message);
                }
                break;
            };
            if let Some(start) = family.iter().position(|earlier| *earlier == at) {
                whole = false;
                // Each member of a circle comes by here; the first one of the map speaks for all.
                if start == 0 && family.iter().all(|other| *other >= index) {
                    self.report_circle(&family);
                }
                break;
            }
            family.push(at);
            member = self.profiles.get(at)?;
        }
        let members = family.into_iter().rev().filter_map(|at| self.profiles.get(at)).collect();
        Some(Family { members, whole })
    }

    fn report_circle(&self, family: &[usize]) {
        let members = || family.iter().filter_map(|at| self.profiles.get(*at));
        let Some((first, extends)) =
            members().next().and_then(|first| Some((first, first.extends.as_ref()?)))
        else {
            return;
        };
        let name = &first.name.value;
        let mut names: Vec<&str> = members().map(|member| member.name.value.as_str()).collect();
        names.push(name);
        let message = format!("profile {} extends itself: {}", quote(name), names.join(" -> "));
        self.problems.report(extends.place, message);
    }

    fn resolve(&self, index: usize) -> Option<Profile> {
        let family = self.family(index)?;
        let mut settings = self.defaults.clone();
        let mut entries: Vec<Entry> = Vec::new();
        let mut parent_lacks_scope_name = false;
        for (generation, member) in family.members.iter().enumerate() {
            parent_lacks_scope_name = generation > 0 && settings.lacks_scope_name();
            settings.overlay(member.settings.clone());
            // A removal has done its work once its own profile is complete; children may mount there again.
            entries.retain(|entry| !entry.is_remove());
            merge(&mut entries, member.entries.clone());
        }
        let own = self.profiles.get(index)?;
        if family.whole {
            self.check_entries(own, &entries);
        }
        // Reported once, for the profile where it begins; what a missing parent would have said is not known.
        if family.whole && settings.lacks_scope_name() && !parent_lacks_scope_name {
            let message =
                format!("profile {} has the scope `named` and no `scope_name`", quote(&own.name.value));
            let help = "say what the sessions share, for instance scope_name = \"project-%g\"";
            self.problems.report_with_help(own.place, message, help);
        }
        let settings = settings.complete().map_err(|key| {
            // Only an incomplete built-in map comes here.
            self.problems.report(Place::whole(0), format!("`[defaults]` of the built-in map lacks `{key}`"));
        });
        let mounts = entries.into_iter().filter_map(|entry| match entry.action {
            Action::Mount(rule) => Some(*rule),
            Action::Remove { .. } => None,
        });
        Some(Profile {
            name: own.name.value.clone(),
            origin: self.problems.origin(own.place),
            matches: own.matches.clone().unwrap_or_default(),
            settings: settings.ok()?,
            mounts: mounts.collect(),
        })
    }

    fn check_entries(&self, own: &ProfileLayer, entries: &[Entry]) {
        let targets = || entries.iter().filter(|entry| !entry.is_remove()).flat_map(|entry| &entry.targets);
        if targets().count() > MOUNTS_MAX {
            let message =
                format!("profile {} has more than {MOUNTS_MAX} mounts in all", quote(&own.name.value));
            self.problems.report(own.place, message);
        }
        for entry in entries.iter().filter(|entry| matches!(entry.action, Action::Remove { done: false })) {
            let Some(target) = entry.targets.first() else { continue };
            let message = format!("nothing to remove at {}", quote(target));
            match words::nearest(target, targets().map(String::as_str)) {
                Some(meant) => {
                    self.problems.report_with_help(entry.place, message, format!("did you mean `{meant}`?"));
                }
                None => self.problems.report(entry.place, message),
            }
        }
    }
}
