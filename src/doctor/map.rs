//! What a map asks for and a login through PAM cannot have, seen before somebody logs in.

use super::report::{Finding, Verdict};
use crate::model::isolation::Tiocsti;
use crate::model::policy::{Match, Policy, Profile, Wall};

/// systemd's user manager.
const SYSTEMD_USER: &str = "systemd-user";
/// What is typed, and does not come through PAM.
const BY_HAND: &str = "session-enter";

/// What is to be said of a map without mistakes.
pub(super) fn findings(policy: &Policy) -> Vec<Finding> {
    let count = policy.profiles.len();
    let mut findings =
        vec![Finding::new(Verdict::Good, "map", format!("has no mistakes; profiles: {count}"))];
    for profile in &policy.profiles {
        let matches = &profile.matches;
        if !matches.service.is_empty() && matches.service.iter().all(|service| service == BY_HAND) {
            continue;
        }
        let place = format!("{}: profile {:?}", profile.origin, profile.name);
        match profile.settings.wall {
            Wall::Landlock => findings.push(
                Finding::new(
                    Verdict::Wrong,
                    "map",
                    format!("{place}: `wall = \"landlock\"`, with which logins through PAM are refused"),
                )
                .help("use \"pidns\" or \"none\"; a landlock wall is for session-enter"),
            ),
            Wall::Pidns if is_for(matches, SYSTEMD_USER) => findings.push(
                Finding::new(
                    Verdict::Note,
                    "map",
                    format!("{place}: behind its wall there is no `systemd --user`: user@UID.service fails"),
                )
                .help("docs/pam.md has a drop-in with the user manager inside, and says why it must not be outside"),
            ),
            _ => {}
        }
    }
    if let Some(profile) = policy.profiles.iter().find(|profile| is_beyond_pam(profile)) {
        findings.push(
            Finding::new(
                Verdict::Note,
                "map",
                format!(
                    "{}: profile {:?}: `no_new_privs`, `capabilities` and `tiocsti` hold for session-enter; a login \
                     through PAM has those of the program that logs it in",
                    profile.origin, profile.name
                ),
            )
            .help(
                "keep `suid` out of the map, so that no program gains rights, and set sysctl dev.tty.legacy_tiocsti=0; \
                 docs/pam.md says why",
            ),
        );
    }
    findings
}

/// Does it ask for what is done to a process of our own, and can a login through PAM come to it?
fn is_beyond_pam(profile: &Profile) -> bool {
    let services = &profile.matches.service;
    let settings = &profile.settings;
    let by_pam = services.is_empty() || services.iter().any(|service| service != BY_HAND);
    by_pam
        && (settings.no_new_privs || settings.capabilities.is_empty() || settings.tiocsti == Tiocsti::Refuse)
}

/// Can a login of this service come to the profile?
fn is_for(matches: &Match, service: &str) -> bool {
    let like = |patterns: &[String]| {
        patterns
            .iter()
            .any(|pattern| glob::Pattern::new(pattern).is_ok_and(|pattern| pattern.matches(service)))
    };
    (matches.service.is_empty() || like(&matches.service)) && !like(&matches.not_service)
}
