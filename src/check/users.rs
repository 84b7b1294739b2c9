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
    let mut witness = Witness::new(policy, &census.groups)?;
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
        refused += usize::from(!one(&subject, &doors, policy, &mut witness, &mut collected)?);
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
fn one(
    subject: &Subject,
    doors: &[String],
    policy: &Policy,
    witness: &mut Witness<'_>,
    collected: &mut Collected,
) -> Result<bool, Error> {
    let user = subject.name.as_str();
    let mut seen = BTreeSet::new();
    let mut is_let_in = true;
    let request = plan::Request::default();
    for door in doors {
        let door = Door { service: door.clone(), ..Door::command_line() };
        let subject = Subject { door, ..subject.clone() };
        let facts = witness.facts(&subject, &request)?;
        match plan::select(policy, &subject, &facts, None) {
            // By another door it is the same profile: what it comes to hardly depends on the door.
            Ok(profile) if !seen.insert(&profile.name) => continue,
            Ok(_) => {}
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
    Ok(is_let_in)
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
    let by_pam =
        |door: &&str| !door.contains(['*', '?', '[']) && !["session-enter", "sessionctl"].contains(door);
    let mut doors: Vec<String> = Vec::new();
    for door in USUAL_DOORS.into_iter().chain(named.filter(by_pam)) {
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
    let chosen = if request.all_users { (0..census.len()).collect() } else { sample(policy, census) };
    Ok(chosen.into_iter().filter_map(|at| census.subject(at, door())).collect())
}

/// Those whom the map names, one or two of each group that it names, and a few from all over the list.
fn sample(policy: &Policy, census: &Census) -> BTreeSet<usize> {
    let mut chosen = BTreeSet::new();
    for conditions in policy.profiles.iter().map(|profile| &profile.matches) {
        let named =
            census.names().enumerate().filter(|(_, name)| conditions.user.iter().any(|user| user == name));
        chosen.extend(named.map(|(at, _)| at).take(SAMPLE));
        for gid in conditions.group.iter().filter_map(|name| census.groups.get(name)) {
            chosen.extend((0..census.len()).filter(|at| census.is_in(*at, *gid)).take(2));
        }
    }
    let step = census.len().div_ceil(SAMPLE).max(1);
    chosen.extend((0..census.len()).step_by(step));
    chosen
}
