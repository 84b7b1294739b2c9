//! Who has which lines: a profile for each set of lines that somebody has.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Loss;
use super::entry::Written;
use super::read::Users;
use crate::model::name::UserName;
use crate::paper::{quoted, shown};

/// No map keeps root in a root of its own.
const ROOT: &str = "root";

/// Users with the same lines.
#[derive(Debug)]
pub(super) struct Group {
    /// A bit for each line.
    lines: u64,
    who: Who,
}

#[derive(Debug)]
enum Who {
    These(Vec<String>),
    /// Everybody that no line names, or that could as well not be named.
    OthersThan(Vec<String>),
}

impl Group {
    /// Is the line for these users?
    pub(super) fn has(&self, line: usize) -> bool {
        bit(line) & self.lines != 0
    }

    /// The profile's `match`.
    pub(super) fn matches(&self) -> String {
        matches(&self.who)
    }
}

fn matches(who: &Who) -> String {
    let (key, names) = match who {
        Who::These(names) => ("user", names),
        Who::OthersThan(names) => ("not_user", names),
    };
    let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    format!("match = {{ {key} = [{}], not_uid = [\"0\"] }}\n", names.join(", "))
}

/// All of them.
#[derive(Debug)]
pub(super) struct People {
    /// Who has any line; those that no line names come first.
    pub(super) groups: Vec<Group>,
    /// Who is named and has none.
    without: Vec<String>,
    others_have: bool,
}

impl People {
    /// Sorts the lines' users.
    pub(super) fn of(written: &[Written], losses: &mut Vec<Loss>) -> Self {
        // For each name, the lines that name it.
        let mut named: BTreeMap<&str, u64> = BTreeMap::new();
        let (mut all, mut except, mut only) = (0, 0, 0);
        let mut roots = Vec::new();
        for (index, entry) in written.iter().enumerate() {
            let (kind, names) = match &entry.line.users {
                Users::All => (&mut all, &[][..]),
                Users::Except(names) => (&mut except, &names[..]),
                Users::Only(names) => (&mut only, &names[..]),
            };
            *kind |= bit(index);
            let mut odd = BTreeSet::new();
            for name in names.iter().filter(|name| !name.is_empty() && *name != ROOT) {
                if UserName::new(name).is_ok() {
                    *named.entry(name).or_default() |= bit(index);
                } else {
                    odd.insert(name);
                }
            }
            losses.extend(odd.into_iter().map(|name| {
                entry.lost(format!(
                    "the name {} is none that a user can have in a map, and is left out of the list; pam_namespace \
                     passes over names that nobody has",
                    shown(name)
                ))
            }));
            roots.extend(entry.line.is_for(ROOT).then_some(entry));
        }
        if let Some(entry) = roots.first() {
            losses.push(entry.lost(
                "there it is for root as well; here root's logins stay in the host's view, so that somebody can \
                 correct a map"
                    .to_owned(),
            ));
        }
        let others = all | except;
        let mut sets: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        for (name, mentioned) in named {
            let lines = all | (except & !mentioned) | (only & mentioned);
            if lines != others {
                sets.entry(lines).or_default().push(name.to_owned());
            }
        }
        let mut not: Vec<String> = sets.values().flatten().cloned().collect();
        not.sort();
        not.insert(0, ROOT.to_owned());
        let without = sets.remove(&0).unwrap_or_default();
        let mut groups = Vec::new();
        if others != 0 {
            groups.push(Group { lines: others, who: Who::OthersThan(not) });
        }
        groups.extend(sets.into_iter().map(|(lines, names)| Group { lines, who: Who::These(names) }));
        Self { groups, without, others_have: others != 0 }
    }

    /// Is there anybody without a line, root apart?
    pub(super) fn leaves_out(&self) -> bool {
        !self.others_have || !self.without.is_empty()
    }

    /// The `match` for everybody who has a line.
    pub(super) fn everybody(&self) -> String {
        if self.others_have {
            let names = std::iter::once(ROOT.to_owned()).chain(self.without.iter().cloned());
            return matches(&Who::OthersThan(names.collect()));
        }
        let mut names: Vec<String> = Vec::new();
        for group in &self.groups {
            if let Who::These(own) = &group.who {
                names.extend(own.iter().cloned());
            }
        }
        names.sort();
        matches(&Who::These(names))
    }
}

fn bit(line: usize) -> u64 {
    u32::try_from(line).ok().and_then(|line| 1_u64.checked_shl(line)).unwrap_or(0)
}
