//! May this user do that, there?

use command_line::text::wrap;

use super::trace::{End, Trace, What};
use super::{Account, Screen, words};
use crate::model::facts::PathFact;
use crate::model::policy::Origin;
use crate::model::seen::{Access, Details, Seen};
use crate::plan::step::{Ids, Make, Mount, Plan, TreeStep};

/// What somebody would like to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Read a file or list a directory.
    Read,
    /// Write a file, or make files in a directory.
    Write,
    /// Run a program, or go into a directory.
    Exec,
    /// Gain another identity by running a set-user-id program.
    Suid,
}

/// May they?
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Answer {
    /// They may.
    pub yes: bool,
    /// Why, or why not.
    pub because: String,
    /// The line of the map that decides, where one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// What was not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub but: Option<String>,
}

impl Answer {
    fn new(yes: bool, because: impl Into<String>) -> Self {
        Self { yes, because: because.into(), origin: None, but: None }
    }

    fn by(mut self, step: Option<&TreeStep>) -> Self {
        self.origin = step.map(|step| step.origin.clone());
        self
    }

    /// A sentence, and a second one for what was not looked at.
    pub fn text(&self, screen: Screen) -> String {
        let yes = if self.yes { "yes" } else { "no" };
        let origin = self.origin.as_ref().map(|origin| format!(" ({origin})")).unwrap_or_default();
        let mut text = wrap(&format!("{yes}: {}{origin}", self.because), "", "  ", screen.width);
        if let Some(but) = &self.but {
            text.push('\n');
            text.push_str(&wrap(&format!("but: {but}"), "  ", "    ", screen.width));
        }
        text
    }
}

/// Whether the user of the plan may do `deed` at the end of `trace`.
pub fn can(account: &Account<'_>, trace: &Trace, deed: Deed) -> Answer {
    let plan = account.plan;
    let mount = plan.tree.get(trace.mount);
    let mut by_bits = false;
    for hop in &trace.hops {
        let access = match &hop.what {
            What::Directory(seen) => of_host(seen, plan, &mut by_bits),
            What::Step(at, seen) if hop.at != trace.place => {
                of_step(plan, *at, seen.as_deref(), &mut by_bits)
            }
            _ => None,
        };
        if let Some(Access { execute: false, .. }) = access {
            let why = format!("{} may not go through {}", plan.subject.name, hop.at);
            return Answer::new(false, why);
        }
    }
    let (access, set_id, is_directory) = match &trace.end {
        End::Made(at) => {
            let step = plan.tree.get(*at);
            let seen = trace.hops.iter().rev().find_map(|hop| match &hop.what {
                What::Step(passed, seen) if passed == at => seen.as_deref(),
                _ => None,
            });
            let set_id = seen.and_then(|seen| seen.more.as_ref()).map(|more| more.mode);
            (of_step(plan, *at, seen, &mut by_bits), set_id, step.is_some_and(is_directory))
        }
        End::Host(_, seen) => (
            of_host(seen, plan, &mut by_bits),
            seen.more.as_ref().map(|more| more.mode),
            seen.fact == PathFact::Directory,
        ),
        End::NotThere(_) if deed == Deed::Write && !trace.is_short => return may_create(account, trace),
        End::NotThere(_) => return Answer::new(false, format!("{} is not there", trace.place)).by(mount),
        End::Masked => return Answer::new(false, format!("{} is hidden by a mask", trace.place)).by(mount),
        End::NotDirectory(at) => return Answer::new(false, format!("{at} is no directory")),
        End::Loop => return Answer::new(false, "links lead to each other"),
        End::Kernel => {
            let mut answer = Answer::new(deed == Deed::Read, "the kernel makes up what is there").by(mount);
            answer.but = Some("what it lets whom do is not in the plan".to_owned());
            return answer;
        }
        End::Unknown(path, why) => {
            let mut answer = Answer::new(false, format!("the host's {path} is {why}"));
            answer.but = Some("ask as root".to_owned());
            return answer;
        }
    };
    let access = access.unwrap_or_default();
    let mut answer = judge(account, trace, deed, access, set_id, is_directory);
    if by_bits && answer.origin.is_none() {
        answer.but =
            Some("judged by permission bits alone; root can ask the kernel, which knows of lists".to_owned());
    }
    answer
}

fn judge(
    account: &Account<'_>,
    trace: &Trace,
    deed: Deed,
    access: Access,
    mode: Option<u32>,
    is_directory: bool,
) -> Answer {
    const SET_ID: u32 = 0o6000;
    let plan = account.plan;
    let mount = plan.tree.get(trace.mount);
    let (planned, host) = trace.attributes(account);
    let name = &plan.subject.name;
    let place = &trace.place;
    let holder = mount.map(|step| step.target.to_string()).unwrap_or_default();
    let forbidden = |in_map: bool, on_host: bool, word: &str| match (in_map, on_host) {
        (true, _) => Some(Answer::new(false, format!("{holder} is {word}")).by(mount)),
        (false, true) => Some(Answer::new(false, format!("the host's mount that {holder} shows is {word}"))),
        (false, false) => None,
    };
    let permission = |may: bool, verb: &str| {
        let answer = if may { "may" } else { "may not" };
        Answer::new(may, format!("{name} {answer} {verb} {place}, by its permissions"))
    };
    if let Some(special) = trace.special(account) {
        let is_device = special == PathFact::Device;
        let nodev = forbidden(is_device && planned.nodev, is_device && host.nodev, "nodev");
        return match deed {
            Deed::Read => nodev.unwrap_or_else(|| permission(access.read, "read")),
            Deed::Write => nodev.unwrap_or_else(|| permission(access.write, "write")),
            Deed::Exec | Deed::Suid => Answer::new(false, format!("{place} is no program")),
        };
    }
    match deed {
        Deed::Read => permission(access.read, "read"),
        Deed::Write => forbidden(planned.read_only, host.read_only, "read-only")
            .unwrap_or_else(|| permission(access.write, "write")),
        Deed::Exec if is_directory => permission(access.execute, "go into"),
        Deed::Exec => forbidden(planned.noexec, host.noexec, "noexec")
            .unwrap_or_else(|| permission(access.execute, "run")),
        Deed::Suid if is_directory => Answer::new(false, format!("{place} is a directory")),
        Deed::Suid => {
            if mode.is_none_or(|mode| mode & SET_ID == 0) {
                return Answer::new(false, format!("{place} has no set-id bit"));
            }
            if let Some(answer) = forbidden(planned.nosuid, host.nosuid, "nosuid") {
                return answer;
            }
            if plan.identity.no_new_privs {
                let mut answer = Answer::new(false, "the profile has no_new_privs");
                answer.origin = Some(plan.origin.clone());
                return answer;
            }
            forbidden(planned.noexec, host.noexec, "noexec").unwrap_or_else(|| {
                let mut answer = permission(access.execute, "run");
                if answer.yes {
                    answer.because = format!("{place} has a set-id bit, and nothing takes its effect away");
                }
                answer
            })
        }
    }
}

/// Nothing is there yet; the directory above it was passed last.
fn may_create(account: &Account<'_>, trace: &Trace) -> Answer {
    let plan = account.plan;
    let mount = plan.tree.get(trace.mount);
    let place = &trace.place;
    let holder = mount.map(|step| step.target.to_string()).unwrap_or_default();
    let (planned, host) = trace.attributes(account);
    if planned.read_only {
        return Answer::new(false, format!("{place} is not there, and {holder} is read-only")).by(mount);
    }
    if host.read_only {
        let why = format!("{place} is not there, and the host's mount that {holder} shows is read-only");
        return Answer::new(false, why);
    }
    let mut by_bits = false;
    let parent = trace.hops.last();
    let access = parent.and_then(|hop| match &hop.what {
        What::Step(at, seen) => of_step(plan, *at, seen.as_deref(), &mut by_bits),
        What::Directory(seen) => of_host(seen, plan, &mut by_bits),
        What::Link(_) => None,
    });
    let above = parent.map(|hop| hop.at.to_string()).unwrap_or_default();
    match access {
        Some(Access { write: true, execute: true, .. }) => {
            Answer::new(true, format!("{place} is not there yet, and can be made in {above}")).by(mount)
        }
        _ => {
            let name = &plan.subject.name;
            Answer::new(false, format!("{place} is not there, and {name} may not write {above}"))
        }
    }
}

fn of_host(seen: &Seen, plan: &Plan, by_bits: &mut bool) -> Option<Access> {
    let more = seen.more.as_ref()?;
    Some(more.access.unwrap_or_else(|| {
        *by_bits = true;
        bits(plan, more)
    }))
}

fn bits(plan: &Plan, more: &Details) -> Access {
    Access::by_bits(more.mode, (more.uid, more.gid), plan.subject.uid, &plan.subject.groups)
}

/// What the user may do with what a step makes.
fn of_step(plan: &Plan, at: usize, seen: Option<&Seen>, by_bits: &mut bool) -> Option<Access> {
    let own = |mode: u32, owner: Ids| {
        Access::by_bits(mode, (owner.uid, owner.gid), plan.subject.uid, &plan.subject.groups)
    };
    let all = Access { read: true, write: true, execute: true };
    match &plan.tree.get(at)?.make {
        Make::Directory { mode, owner } | Make::File { mode, owner, .. } => Some(own(*mode, *owner)),
        Make::Device { .. } => Some(Access { execute: false, ..all }),
        Make::Symlink { .. } => Some(all),
        Make::Mount { what, .. } => match what {
            Mount::Bind { .. } => seen.and_then(|seen| of_host(seen, plan, by_bits)),
            Mount::Tmpfs { mode, owner, .. } | Mount::Content { mode, owner, .. } => Some(own(*mode, *owner)),
            Mount::Mqueue => Some(all),
            Mount::Terminal => Some(Access { execute: false, ..all }),
            Mount::Proc | Mount::Sysfs | Mount::Devpts { .. } => Some(Access { write: false, ..all }),
        },
    }
}

fn is_directory(step: &TreeStep) -> bool {
    words::is_directory(step) || matches!(step.make, Make::Directory { .. })
}
