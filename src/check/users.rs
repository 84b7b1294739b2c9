//! Plans for the host's users: whose login would be refused, and what the linter says of what they get.

use std::collections::{BTreeMap, BTreeSet};

use super::names::listed;
use super::{Finding, Report, Request, Severity};
use crate::error::Error;
use crate::host::{self, Census, Witness};
use crate::model::policy::{Origin, Policy};
use crate::model::subject::{Door, Subject};
use crate::plan::{self, PlanError, lint};

/// Doors by which users of most hosts come, besides those that the map names.
const USUAL_DOORS: [&str; 2] = ["sshd", "login"];
/// What is typed, and is no login: nobody who has no profile for it is kept out of anything.
const BY_HAND: &str = "session-enter";
/// No more doors than this are tried.
const DOORS_MAX: usize = 12;
/// So many users are a sample.
const SAMPLE: usize = 8;

/// What a finding is about, whoever it concerns: its kind, and the line of the map.
type About = (&'static str, Option<Origin>);

/// What was found more than once: the first message, and who it is about.
#[derive(Default)]
struct Collected {
    found: BTreeMap<About, (Finding, Vec<String>)>,
}

impl Collected {
    fn add(&mut self, id: &'static str, origin: Option<&Origin>, user: &str, make: impl FnOnce() -> Finding) {
        let (_, users) = self.found.entry((id, origin.cloned())).or_insert_with(|| (make(), Vec::new()));
        if users.last().is_none_or(|last| last != user) {
            users.push(user.to_owned());
        }
    }

    fn into_findings(self) -> impl Iterator<Item = Finding> {
        self.found.into_values().map(|(mut finding, users)| {
            let names: Vec<&str> = users.iter().map(String::as_str).collect();
            finding.message = format!("for {}: {}", listed(&names), finding.message);
            finding.users = Some(users.len());
            finding
        })
    }
}

pub(super) fn check(
    request: &Request,
    policy: &Policy,
    census: &Census,
    report: &mut Report,
) -> Result<(), Error> {
    let doors = doors(policy);
    let named = policy.profiles.iter().map(|profile| &profile.matches);
    let named = named.flat_map(|conditions| conditions.group.iter().chain(&conditions.not_group));
    let tty = "tty".to_owned();
    let mut witness = Witness::new(policy, census.group_ids(named.chain([&tty])))?;
    let mut collected = Collected::default();
    let (mut users, mut refused) = (0, 0);
    for subject in subjects(request, policy, census)? {
        let subject = match subject {
            Ok(subject) => subject,
            Err(why) => {
                report.findings.push(Finding::new(Severity::Warning, "unusable-account", why));
                continue;
            }
        };
        users += 1;
        refused += usize::from(!one(&subject, &doors, policy, &mut witness, &mut collected));
    }
    if users > 0 && refused == users {
        let message =
            format!("nobody can log in: of {users} users that were looked at, each is refused somewhere");
        let finding = Finding::new(Severity::Error, "locks-everybody-out", message);
        report.findings.push(finding.help("mend the errors below before this map is put in place"));
    }
    report.users = users;
    report.doors = doors;
    report.findings.extend(collected.into_findings());
    Ok(())
}

/// Looks at one user's logins. Is each of them let in?
fn one<'a>(
    subject: &Subject,
    doors: &[String],
    policy: &'a Policy,
    witness: &mut Witness<'a>,
    collected: &mut Collected,
) -> bool {
    let user = subject.name.as_str();
    let mut seen = BTreeSet::new();
    let mut is_let_in = true;
    let request = plan::Request::default();
    for door in doors {
        let door_is_by_hand = door == BY_HAND;
        let door = Door { service: door.clone(), ..Door::command_line() };
        let subject = Subject { door, ..subject.clone() };
        let mut facts = witness.facts_for_selection(&subject);
        match plan::select(policy, &subject, &facts, None) {
            // By another door it is the same profile: what it comes to hardly depends on the door.
            Ok(profile) if !seen.insert(&profile.name) => continue,
            Ok(profile) => witness.complete(&mut facts, profile, &subject),
            Err(_) if door_is_by_hand => continue,
            Err(_) => {
                collected.add("no-profile", None, user, || {
                    let text = "no profile matches, so their logins see the whole host";
                    Finding::new(Severity::Note, "no-profile", text)
                        .help("write a profile for them, or have the module refuse them with notfound=deny")
                });
                continue;
            }
        }
        match plan::plan(policy, &subject, &request, &facts) {
            Ok(plan) => {
                for finding in lint::lint(&plan) {
                    collected.add(finding.id, Some(&finding.origin), user, || super::warning(&finding));
                }
            }
            Err(errors) => {
                is_let_in = false;
                for error in &errors.errors {
                    let origin = error.origin();
                    collected.add(error.id(), origin, user, || refusal(error));
                }
            }
        }
    }
    is_let_in
}

fn refusal(error: &PlanError) -> Finding {
    let whole = plan::PlanErrors::from(error.clone()).to_string();
    let message = match error.origin() {
        // Shown before the message already.
        Some(origin) => whole.strip_prefix(&format!("{origin}: ")).unwrap_or(&whole).to_owned(),
        None => whole,
    };
    let finding = Finding::new(Severity::Error, error.id(), format!("the login is refused: {message}"));
    let finding = finding.help(error.help());
    match error.origin() {
        Some(origin) => finding.at(origin),
        None => finding,
    }
}

/// The doors that the map names, and the usual ones. One with a wildcard is none.
fn doors(policy: &Policy) -> Vec<String> {
    let named = policy.profiles.iter().flat_map(|profile| {
        profile.matches.service.iter().chain(&profile.matches.not_service).map(String::as_str)
    });
    let is_door = |door: &&str| !door.contains(['*', '?', '[']) && *door != "sessionctl";
    let mut doors: Vec<String> = Vec::new();
    for door in USUAL_DOORS.into_iter().chain(named.filter(is_door)) {
        if doors.len() < DOORS_MAX && !doors.iter().any(|known| known == door) {
            doors.push(door.to_owned());
        }
    }
    doors
}

/// Whose plans are made.
fn subjects(
    request: &Request,
    policy: &Policy,
    census: &Census,
) -> Result<Vec<Result<Subject, String>>, Error> {
    let door = Door::command_line;
    if !request.users.is_empty() {
        return request.users.iter().map(|name| host::subject(name, door()).map(Ok)).collect();
    }
    if request.all_users {
        census.expect_everybody();
    }
    let chosen = if request.all_users { (0..census.len()).collect() } else { sample(policy, census) };
    Ok(chosen.into_iter().filter_map(|at| census.subject(at, door())).collect())
}

/// Those whom the map names, one or two of each group that it names, and a few from all over the list.
fn sample(policy: &Policy, census: &Census) -> BTreeSet<usize> {
    let mut chosen = BTreeSet::new();
    for conditions in policy.profiles.iter().map(|profile| &profile.matches) {
        chosen.extend(conditions.user.iter().take(SAMPLE).flat_map(|user| census.named(user)));
        for group in conditions.group.iter().filter_map(|name| census.group(name)) {
            chosen.extend(census.members(group).take(2));
        }
    }
    let step = census.len().div_ceil(SAMPLE).max(1);
    chosen.extend((0..census.len()).step_by(step));
    chosen
}
