//! Entries of the map while layers and parents are put on top of each other.
//!
//! An entry is known by its targets: the text after `target`, or each of a `system` entry's paths. What comes later
//! takes a target away from what stood there before, also one path out of a `system` entry, so that a drop-in can
//! replace `/usr` without repeating its sisters.

use super::source::Place;
use crate::model::policy::{MountKind, MountRule};

/// One `[[profile.mount]]`.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Where it was written.
    pub(super) place: Place,
    /// What it lays claim to, in normal form. Empty once everything was taken away.
    pub(super) targets: Vec<String>,
    /// What it does there.
    pub(super) action: Action,
}

#[derive(Clone, Debug)]
pub(super) enum Action {
    /// Puts something there.
    Mount(Box<MountRule>),
    /// Takes away what lower layers or parents have put there; `done` when there was something.
    Remove { done: bool },
}

impl Entry {
    pub(super) fn new(place: Place, targets: Vec<String>, action: Action) -> Self {
        Self { place, targets, action }
    }

    pub(super) fn is_remove(&self) -> bool {
        matches!(self.action, Action::Remove { .. })
    }

    /// Gives up those of `targets` that it has. Was there one?
    fn give_up(&mut self, targets: &[String]) -> bool {
        let before = self.targets.len();
        self.targets.retain(|own| !targets.contains(own));
        if let Action::Mount(rule) = &mut self.action
            && let MountKind::System { paths, .. } = &mut rule.kind
        {
            paths.retain(|path| !targets.iter().any(|target| target == path.as_str()));
        }
        self.targets.len() < before
    }
}

/// Puts `upper` on top of `lower`. An entry that takes another's place entirely also takes its place in the order.
pub(super) fn merge(lower: &mut Vec<Entry>, upper: Vec<Entry>) {
    for mut entry in upper {
        let mut place_in_order = None;
        for (at, below) in lower.iter_mut().enumerate() {
            if !below.give_up(&entry.targets) {
                continue;
            }
            if let (Action::Remove { done }, Action::Mount(_)) = (&mut entry.action, &below.action) {
                *done = true;
            }
            if below.targets.is_empty() {
                place_in_order.get_or_insert(at);
            }
        }
        match place_in_order.and_then(|at| lower.get_mut(at)) {
            Some(replaced) => *replaced = entry,
            None => lower.push(entry),
        }
        lower.retain(|entry| !entry.targets.is_empty());
    }
}

/// A path with variables as it is compared: single slashes, none at the end.
pub(super) fn normal(path: &str) -> String {
    let joined = path.split('/').filter(|component| !component.is_empty()).collect::<Vec<_>>().join("/");
    if path.starts_with('/') { format!("/{joined}") } else { joined }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_compared_without_superfluous_slashes() {
        for (path, expected) in [("//usr///bin/", "/usr/bin"), ("/", "/"), ("%h/", "%h"), ("%h//x", "%h/x")] {
            assert_eq!(normal(path), expected);
        }
    }
}
