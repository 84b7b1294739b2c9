//! What is left over from sessions, views and prepared trees that are no more.

use std::os::fd::AsFd;

use super::report::{Finding, Verdict};
use crate::error::Error;
use crate::model::path::AbsPath;
use crate::registry::{FOLDER, PreparedTree, Registry, Stale};
use crate::setup::Site;
use crate::sys;

/// What the findings are about.
const ABOUT: &str = "state";
/// As many names as are shown.
const SHOWN: usize = 5;

/// Looks at what is on record. Takes nothing away.
pub(super) fn look(site: &Site) -> Result<Vec<Finding>, Error> {
    let Some(registry) = Registry::open_if_there()? else {
        return Ok(vec![Finding::new(Verdict::Good, ABOUT, format!("{FOLDER} is made by the first login"))]);
    };
    let mut findings = vec![Finding::new(Verdict::Good, ABOUT, format!("{FOLDER} is root's alone"))];
    findings.extend(stale(&registry.stale()?));
    for (uid, record) in registry.all_prepared()? {
        for tree in &record.trees {
            // Whether its mount can be told from others is asked only of what is said to be in use.
            let is_mounted = tree.in_use && is_mounted(site, tree);
            findings.extend(prepared(uid, tree, is_mounted));
        }
    }
    Ok(findings)
}

/// What can be said without root.
pub(super) fn unseen() -> Finding {
    let text = format!("needs root to be seen: what lives in {FOLDER}, and what is left over there");
    Finding::new(Verdict::Note, ABOUT, text)
}

/// Is the tree where it is said to be? What cannot be looked at counts as there: nobody is told to take it away.
fn is_mounted(site: &Site, tree: &PreparedTree) -> bool {
    let Ok(path) = AbsPath::new(&tree.at) else { return true };
    match site.walk(&path) {
        Ok(place) => sys::path::mount_of(place.as_fd()).map_or(true, |found| found == (true, tree.mount)),
        Err(error) => !error.is_missing(),
    }
}

/// What a sweep would take away.
fn stale(stale: &Stale) -> Vec<Finding> {
    let views: Vec<String> = stale.views.iter().map(|(name, number)| format!("{name}#{number}")).collect();
    let bases = match stale.bases {
        0 => Vec::new(),
        count => vec![format!("base namespaces of mount namespaces that are gone: {count}")],
    };
    let sessions = named("sessions whose process has ended", &stale.sessions);
    let views = named("views that live no more, or are kept for nobody", &views);
    let texts = sessions.into_iter().chain(views).chain(bases);
    texts
        .map(|text| Finding::new(Verdict::Note, ABOUT, text).help("`sessionctl gc` takes them away"))
        .collect()
}

fn named(what: &str, names: &[String]) -> Option<String> {
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => None,
        count @ ..=SHOWN => Some(format!("{what}: {count} ({shown})")),
        count => Some(format!("{what}: {count} ({shown} and others)")),
    }
}

/// What is to be said of a tree that is on record.
fn prepared(uid: u32, tree: &PreparedTree, is_mounted: bool) -> Option<Finding> {
    let why = match (tree.in_use, is_mounted) {
        (true, true) => return None,
        (true, false) => "is on record, and no longer mounted",
        (false, _) => "was left half put there or half taken away",
    };
    let text = format!("the tree that was prepared at {} for uid {uid} {why}", tree.at);
    Some(Finding::new(Verdict::Note, ABOUT, text).help(
        "the next `session-enter --prepare` or `--release` for that user puts it right; `sessionctl gc` leaves it alone",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sweep_would_take_away_is_named() {
        assert!(stale(&Stale::default()).is_empty());
        let sessions: Vec<String> = (1..8).map(|number| format!("Session{number}")).collect();
        let found = stale(&Stale { sessions, views: vec![("user-1.login".to_owned(), 2)], bases: 1 });
        let texts: Vec<&str> = found.iter().map(|finding| finding.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "sessions whose process has ended: 7 (Session1, Session2, Session3, Session4, Session5 and others)",
                "views that live no more, or are kept for nobody: 1 (user-1.login#2)",
                "base namespaces of mount namespaces that are gone: 1",
            ]
        );
        assert!(found.iter().all(|finding| finding.verdict == Verdict::Note && finding.help.is_some()));
    }

    #[test]
    fn a_tree_is_left_over_when_nobody_uses_it_or_it_is_gone() {
        let tree =
            |in_use| PreparedTree { at: "/x".to_owned(), made: Vec::new(), mount: 1, in_use, holders: 1 };
        assert_eq!(prepared(7, &tree(true), true), None);
        assert!(prepared(7, &tree(true), false).unwrap().text.contains("at /x for uid 7 is on record"));
        assert!(prepared(7, &tree(false), true).unwrap().text.contains("half taken away"));
    }
}
