//! Which profile is for this login.

use crate::model::facts::{Facts, Look, PathFact};
use crate::model::policy::{Policy, Profile, UidRange};
use crate::model::subject::Subject;
use crate::model::template::Template;

use super::error::PlanError;

/// The profile named `wanted`, or else the first one whose conditions all hold.
pub fn select<'policy>(
    policy: &'policy Policy,
    subject: &Subject,
    facts: &Facts,
    wanted: Option<&str>,
) -> Result<&'policy Profile, PlanError> {
    let profiles = &policy.profiles;
    if let Some(name) = wanted {
        let known = || profiles.iter().map(|profile| profile.name.as_str()).collect::<Vec<_>>().join(", ");
        return profiles
            .iter()
            .find(|profile| profile.name == name)
            .ok_or_else(|| PlanError::NoSuchProfile { name: name.to_owned(), known: known() });
    }
    let mut reasons = Vec::new();
    for profile in profiles {
        match mismatch(profile, subject, facts) {
            None => return Ok(profile),
            Some(reason) => reasons.push(format!("{:?} ({}) {reason}", profile.name, profile.origin)),
        }
    }
    Err(PlanError::NoMatch { user: subject.name.to_string(), reasons: reasons.join("; ") })
}

/// The first condition of `profile` that does not hold, as a message would say it; `None` when all do.
pub fn mismatch(profile: &Profile, subject: &Subject, facts: &Facts) -> Option<String> {
    let conditions = &profile.matches;
    let door = &subject.door;
    let is_user = |names: &[String]| names.iter().any(|name| name == subject.name.as_str());
    let in_group = |names: &[String]| {
        names.iter().any(|name| facts.groups.get(name).is_some_and(|gid| is_member(subject, *gid)))
    };
    let in_range =
        |ranges: &[UidRange]| ranges.iter().any(|range| (range.first..=range.last).contains(&subject.uid));
    let like = |patterns: &[String], value: Option<&str>| {
        value.is_some_and(|value| patterns.iter().any(|pattern| glob_matches(pattern, value)))
    };
    let there = |paths: &[Template]| paths.iter().any(|path| exists(path, subject, facts));

    let wanted = [
        ("user", conditions.user.is_empty() || is_user(&conditions.user)),
        ("group", conditions.group.is_empty() || in_group(&conditions.group)),
        ("uid", conditions.uid.is_empty() || in_range(&conditions.uid)),
        ("service", conditions.service.is_empty() || like(&conditions.service, Some(&door.service))),
        ("tty", conditions.tty.is_empty() || like(&conditions.tty, door.tty.as_deref())),
        (
            "rhost",
            conditions.remote_host.is_empty() || like(&conditions.remote_host, door.remote_host.as_deref()),
        ),
        ("exists", conditions.exists.is_empty() || there(&conditions.exists)),
    ];
    let refused = [
        ("not_user", is_user(&conditions.not_user)),
        ("not_group", in_group(&conditions.not_group)),
        ("not_uid", in_range(&conditions.not_uid)),
        ("not_service", like(&conditions.not_service, Some(&door.service))),
        ("not_tty", like(&conditions.not_tty, door.tty.as_deref())),
        ("not_rhost", like(&conditions.not_remote_host, door.remote_host.as_deref())),
        ("not_exists", there(&conditions.not_exists)),
    ];
    let unmet = wanted.iter().find(|(_, holds)| !holds).map(|(key, _)| match key {
        // A name that is mistyped, or a group that is not there yet, looks like a user who is not in it.
        &"group" => match conditions.group.iter().find(|name| !facts.groups.contains_key(*name)) {
            Some(name) => format!("wants another group (this host knows no group {name:?})"),
            None => "wants another group".to_owned(),
        },
        key => format!("wants another {key}"),
    });
    unmet.or_else(|| refused.iter().find(|(_, hit)| *hit).map(|(key, _)| format!("excludes it by {key}")))
}

/// The conditions of `profile`, all of which hold: each with what of it holds. Nothing for a profile without any.
pub fn matched(profile: &Profile, subject: &Subject, facts: &Facts) -> Vec<String> {
    let conditions = &profile.matches;
    let door = &subject.door;
    let mut held = Vec::new();
    if !conditions.user.is_empty() {
        held.push(format!("user {:?}", subject.name.as_str()));
    }
    let is_in = |name: &&String| facts.groups.get(*name).is_some_and(|gid| is_member(subject, *gid));
    held.extend(conditions.group.iter().find(is_in).map(|name| format!("member of group {name:?}")));
    let holds = |range: &&UidRange| (range.first..=range.last).contains(&subject.uid);
    held.extend(
        conditions
            .uid
            .iter()
            .find(holds)
            .map(|range| format!("uid {} in {}-{}", subject.uid, range.first, range.last)),
    );
    for (key, patterns, value) in [
        ("service", &conditions.service, Some(door.service.as_str())),
        ("tty", &conditions.tty, door.tty.as_deref()),
        ("rhost", &conditions.remote_host, door.remote_host.as_deref()),
    ] {
        let hit = patterns.iter().find(|pattern| value.is_some_and(|value| glob_matches(pattern, value)));
        held.extend(hit.map(|pattern| match value {
            Some(value) if value != pattern => format!("{key} {value:?} is like {pattern:?}"),
            _ => format!("{key} {pattern:?}"),
        }));
    }
    let there = |path: &&Template| exists(path, subject, facts);
    held.extend(conditions.exists.iter().find(there).map(|path| format!("{} exists", path.source())));
    let quoted =
        |names: &[String]| names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    for (key, names) in [
        ("user", &conditions.not_user),
        ("group", &conditions.not_group),
        ("service", &conditions.not_service),
        ("tty", &conditions.not_tty),
        ("rhost", &conditions.not_remote_host),
    ] {
        if !names.is_empty() {
            held.push(format!("{key} is not {}", quoted(names)));
        }
    }
    let ranges: Vec<_> = conditions
        .not_uid
        .iter()
        .map(|range| match range.first == range.last {
            true => range.first.to_string(),
            false => format!("{}-{}", range.first, range.last),
        })
        .collect();
    if !ranges.is_empty() {
        held.push(format!("uid is not {}", ranges.join(", ")));
    }
    held.extend(conditions.not_exists.iter().map(|path| format!("{} does not exist", path.source())));
    held
}

fn is_member(subject: &Subject, gid: u32) -> bool {
    subject.gid == gid || subject.groups.contains(&gid)
}

fn glob_matches(pattern: &str, value: &str) -> bool {
    // Patterns are compiled once already, when the map is read; one that does not compile never gets here.
    glob::Pattern::new(pattern).is_ok_and(|pattern| pattern.matches(value))
}

fn exists(path: &Template, subject: &Subject, facts: &Facts) -> bool {
    path.expand_path(subject).is_ok_and(|path| {
        !matches!(
            facts.path(exists_look(&path, subject), &path),
            PathFact::Missing | PathFact::Unreachable(_)
        )
    })
}

/// A condition on a path below the user's home is looked at with the user's rights, everything else with our own.
pub(super) fn exists_look(path: &crate::model::path::AbsPath, subject: &Subject) -> Look {
    if !subject.home.is_root() && (*path == subject.home || path.is_below(&subject.home)) {
        Look::User
    } else {
        Look::Root
    }
}
