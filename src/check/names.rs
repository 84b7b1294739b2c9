//! Names in a map that nobody bears, and patterns that fit more than one would think.

use std::collections::BTreeSet;

use super::{Finding, Severity};
use crate::host::Census;
use crate::model::policy::{Policy, Profile, Wall};
use crate::setup::Site;
use crate::sys;
use crate::sys::user::GroupEntry;

/// Where PAM's services are.
const SERVICES: [&str; 2] = ["/etc/pam.d", "/usr/lib/pam.d"];
/// Groups whose members manage the host.
const MANAGERS: [&str; 4] = ["sudo", "wheel", "admin", "adm"];
/// More than this many names are only counted.
const SHOWN_MAX: usize = 6;

pub(super) fn findings(policy: &Policy, census: &Census) -> Vec<Finding> {
    let services = services();
    let mut found = Vec::new();
    for profile in &policy.profiles {
        let conditions = &profile.matches;
        for group in conditions.group.iter().chain(&conditions.not_group) {
            if census.group(group).is_none() && !matches!(sys::user::group_id(group), Ok(Some(_))) {
                let text = format!("profile {:?}: this host has no group {group:?}", profile.name);
                let finding = Finding::new(Severity::Warning, "unknown-group", text).at(&profile.origin);
                found.push(
                    finding.help(format!("groupadd {group}, or correct the name; `getent group` lists them")),
                );
            }
        }
        for user in &conditions.user {
            if census.named(user).next().is_none() && user != "root" {
                let text =
                    format!("profile {:?}: this host lists no user {user:?} who can log in", profile.name);
                let finding = Finding::new(Severity::Note, "unknown-user", text).at(&profile.origin);
                found.push(finding.help(format!("`getent passwd {user}` tells whether there is one")));
            }
        }
        found.extend(patterns(profile, &services));
        found.extend(managers(profile, census));
    }
    found.extend(never_reached(policy));
    found
}

/// Which services each pattern with a wildcard fits on this host: `su*` also fits `sudo`.
fn patterns(profile: &Profile, services: &BTreeSet<String>) -> Vec<Finding> {
    let mut found = Vec::new();
    let conditions = &profile.matches;
    for pattern in conditions.service.iter().chain(&conditions.not_service) {
        if !pattern.contains(['*', '?', '[']) {
            continue;
        }
        let Ok(compiled) = glob::Pattern::new(pattern) else { continue };
        let fits: Vec<&str> =
            services.iter().map(String::as_str).filter(|service| compiled.matches(service)).collect();
        let text = match fits.as_slice() {
            [] => format!("profile {:?}: no service of this host is like {pattern:?}", profile.name),
            [_] => continue,
            all => format!("profile {:?}: {pattern:?} fits {}", profile.name, listed(all)),
        };
        found.push(
            Finding::new(Severity::Note, "wide-pattern", text)
                .at(&profile.origin)
                .help("name the services one by one where not all of them are meant"),
        );
    }
    found
}

/// Does a group or an open door lead those who manage the host into a view in which they cannot?
fn managers(profile: &Profile, census: &Census) -> Option<Finding> {
    let conditions = &profile.matches;
    let by_hand_only = !conditions.service.is_empty()
        && conditions.service.iter().all(|service| service == "session-enter" || service == "sessionctl");
    if by_hand_only || !conditions.user.is_empty() || !profile.settings.no_new_privs {
        return None;
    }
    let known = |names: &[String]| -> Vec<&GroupEntry> {
        names.iter().filter_map(|name| census.group(name)).collect()
    };
    let (wanted, refused) = (known(&conditions.group), known(&conditions.not_group));
    for group in MANAGERS.into_iter().filter_map(|name| census.group(name)) {
        let is_in = |at: usize, groups: &[&GroupEntry]| groups.iter().any(|group| census.is_in(at, group));
        let is_meant = |at: &usize| {
            let named =
                census.name(*at).is_some_and(|name| conditions.not_user.iter().any(|user| user == name));
            (conditions.group.is_empty() || is_in(*at, &wanted)) && !is_in(*at, &refused) && !named
        };
        let meant: Vec<&str> =
            census.members(group).filter(is_meant).filter_map(|at| census.name(at)).collect();
        let group = &group.name;
        if !meant.is_empty() {
            let text = format!(
                "profile {:?} also matches members of {group:?}, for whom sudo does not work inside: {}",
                profile.name,
                listed(&meant)
            );
            return Some(
                Finding::new(Severity::Note, "matches-managers", text)
                    .at(&profile.origin)
                    .help(format!("add `not_group = [{group:?}]` to its match, if that is not meant")),
            );
        }
    }
    None
}

/// A profile behind one that takes every login that it could take.
fn never_reached(policy: &Policy) -> Vec<Finding> {
    let mut found = Vec::new();
    for (at, profile) in policy.profiles.iter().enumerate() {
        let takes_all = |earlier: &&Profile| {
            earlier.matches == profile.matches || earlier.matches == crate::model::policy::Match::default()
        };
        if let Some(earlier) = policy.profiles.iter().take(at).find(takes_all) {
            let text = format!(
                "profile {:?} is never reached: {:?} ({}) comes first and takes all that it would take",
                profile.name, earlier.name, earlier.origin
            );
            found.push(
                Finding::new(Severity::Warning, "never-reached", text)
                    .at(&profile.origin)
                    .help("put it first, or give the other one a `match`"),
            );
        }
        let by_pam = profile.matches.service.is_empty()
            || profile
                .matches
                .service
                .iter()
                .any(|service| service != "session-enter" && service != "sessionctl");
        if profile.settings.wall == Wall::Landlock && by_pam {
            let text = format!(
                "profile {:?}: logins through PAM are refused with `wall = \"landlock\"`",
                profile.name
            );
            found.push(
                Finding::new(Severity::Warning, "landlock-by-pam", text)
                    .at(&profile.origin)
                    .help("use \"pidns\" or \"none\"; a landlock wall is for session-enter"),
            );
        }
    }
    found
}

fn services() -> BTreeSet<String> {
    let Ok(site) = Site::open(None) else { return BTreeSet::new() };
    SERVICES.iter().flat_map(|folder| site.list(folder).unwrap_or_default()).collect()
}

/// The first few names, and how many more there are.
pub(super) fn listed(names: &[&str]) -> String {
    match names.len().checked_sub(SHOWN_MAX) {
        Some(more @ 1..) => format!("{} and {more} more", names[..SHOWN_MAX].join(", ")),
        _ => names.join(", "),
    }
}
