//! May this user do that, there?

use command_line::text::wrap;
use serde::Serialize;

use super::trace::{End, Hop, Trace, What};
use super::{Account, Screen, words};
use crate::model::facts::PathFact;
use crate::model::policy::Origin;
use crate::model::seen::{Access, Seen};
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// They may.
    Yes,
    /// They may not.
    No,
    /// That cannot be told from here.
    Unknown,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// May they?
    pub verdict: Verdict,
    /// Why, or why not.
    pub because: String,
    /// The line of the map that decides, where one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// What was not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub but: Option<&'static str>,
}

/// CAP_DAC_OVERRIDE, as a bit.
const DAC_OVERRIDE: u64 = 1 << 1;
const SET_USER: u32 = 0o4000;
const SET_GROUP: u32 = 0o2000;

impl Answer {
    fn yes(because: impl Into<String>) -> Self {
        Self { verdict: Verdict::Yes, because: because.into(), origin: None, but: None }
    }

    fn no(because: impl Into<String>) -> Self {
        Self { verdict: Verdict::No, ..Self::yes(because) }
    }

    fn unknown(because: impl Into<String>) -> Self {
        Self { verdict: Verdict::Unknown, ..Self::yes(because) }
    }

    fn by(mut self, step: Option<&TreeStep>) -> Self {
        self.origin = step.map(|step| step.origin.clone());
        self
    }

    /// A sentence, and a second one for what was not looked at.
    pub fn text(&self, screen: Screen) -> String {
        let verdict = match self.verdict {
            Verdict::Yes => "yes",
            Verdict::No => "no",
            Verdict::Unknown => "it cannot be told",
        };
        let origin = self.origin.as_ref().map(|origin| format!(" ({origin})")).unwrap_or_default();
        let mut text = wrap(&format!("{verdict}: {}{origin}", self.because), "", "  ", screen.width);
        if let Some(but) = self.but {
            text.push('\n');
            text.push_str(&wrap(&format!("but: {but}"), "  ", "    ", screen.width));
        }
        text
    }
}

/// What may be done with something.
struct Rights {
    /// Nothing where that is not known.
    access: Option<Access>,
    /// Was it worked out from permission bits?
    by_bits: bool,
}

/// Whether the user of the plan may do `deed` at the end of `trace`.
pub fn can(account: &Account<'_>, trace: &Trace, deed: Deed) -> Answer {
    let judge = Judge { plan: account.plan, account, trace };
    let (mut answer, by_bits) = judge.judge(deed);
    if by_bits && answer.origin.is_none() && answer.but.is_none() {
        answer.but = Some("judged by permission bits alone; asked by root, the kernel knows of lists, too");
    }
    answer
}

struct Judge<'a> {
    plan: &'a Plan,
    account: &'a Account<'a>,
    trace: &'a Trace,
}

impl Judge<'_> {
    /// The answer, and whether permission bits alone led to it.
    fn judge(&self, deed: Deed) -> (Answer, bool) {
        let Trace { place, hops, .. } = self.trace;
        let mut by_bits = false;
        for hop in hops.iter().filter(|hop| hop.at != *place) {
            let Some(rights) = self.rights_on_the_way(hop) else { continue };
            by_bits |= rights.by_bits;
            match rights.access {
                Some(access) if access.execute => {}
                Some(_) => {
                    let name = &self.plan.subject.name;
                    return (Answer::no(format!("{name} may not go through {}", hop.at)), rights.by_bits);
                }
                None => return (Answer::unknown(format!("{} cannot be looked at", hop.at)), false),
            }
        }
        let mount = self.plan.tree.get(self.trace.mount);
        match &self.trace.end {
            End::Made(at) => {
                let passed = hops.iter().rev().find_map(|hop| match &hop.what {
                    What::Step(passed, seen) if passed == at => Some(seen.as_deref()),
                    _ => None,
                });
                let seen = passed.flatten();
                let is_directory = self.plan.tree.get(*at).is_some_and(is_directory);
                let rights = self.of_step(*at, seen);
                (self.weigh(deed, &rights, seen, is_directory), by_bits || rights.by_bits)
            }
            End::Host(_, seen) => {
                let rights = self.of_host(seen);
                let is_directory = seen.fact == PathFact::Directory;
                (self.weigh(deed, &rights, Some(seen), is_directory), by_bits || rights.by_bits)
            }
            End::NotThere(_) if deed == Deed::Write && !self.trace.is_short => self.may_create(by_bits),
            End::NotThere(_) => (Answer::no(format!("{place} is not there")).by(mount), false),
            End::Masked(at) => {
                (Answer::no(format!("{place} is hidden by a mask")).by(self.plan.tree.get(*at)), false)
            }
            End::NotDirectory(at) => (Answer::no(format!("{at} is no directory")), false),
            End::Loop => (Answer::no("links lead to each other"), false),
            End::NotFollowed(at) => (
                Answer::no(format!("{at} is a link, and none is followed there (nosymfollow)")).by(mount),
                false,
            ),
            End::Kernel => {
                (Answer::unknown("the kernel makes up what is there, and for whom").by(mount), false)
            }
            End::NotShown(path) => {
                let why = format!("the bind does not show what is mounted on the host at or above {path}");
                (Answer::unknown(why).by(mount), false)
            }
            End::Unknown(path, why) => (Answer::unknown(format!("the host's {path} is {why}")), false),
        }
    }

    /// The rights to something that is really there.
    fn weigh(&self, deed: Deed, rights: &Rights, seen: Option<&Seen>, is_directory: bool) -> Answer {
        let place = &self.trace.place;
        let Some(access) = rights.access else {
            return Answer::unknown(format!("{place} cannot be looked at"));
        };
        let (planned, host) = self.trace.attributes(self.account);
        let restricted = |in_map: bool, on_host: bool, word: &str| self.restricted(in_map, on_host, word);
        if let Some(special) = self.trace.special(self.account) {
            let is_device = special == PathFact::Device;
            let nodev = restricted(is_device && planned.nodev, is_device && host.nodev, "nodev");
            return match deed {
                Deed::Read => nodev.unwrap_or_else(|| self.permission(access.read, "read")),
                Deed::Write => nodev.unwrap_or_else(|| self.permission(access.write, "write")),
                Deed::Exec | Deed::Suid => Answer::no(format!("{place} is no program")),
            };
        }
        let read_only = || restricted(planned.read_only, host.read_only, "read-only");
        let noexec = || restricted(planned.noexec, host.noexec, "noexec");
        match deed {
            Deed::Read => self.permission(access.read, "read"),
            // Nothing is made in a directory that one may not go into.
            Deed::Write if is_directory => read_only()
                .unwrap_or_else(|| self.permission(access.write && access.execute, "make anything in")),
            Deed::Write => read_only().unwrap_or_else(|| self.permission(access.write, "write")),
            Deed::Exec if is_directory => self.permission(access.execute, "go into"),
            Deed::Exec => noexec().unwrap_or_else(|| self.permission(access.execute, "run")),
            Deed::Suid if is_directory => Answer::no(format!("{place} is a directory")),
            Deed::Suid => self.no_gain(seen).unwrap_or_else(|| {
                let nosuid = restricted(planned.nosuid, host.nosuid, "nosuid");
                nosuid.or_else(|| self.no_new_privileges()).or_else(noexec).unwrap_or_else(|| {
                    let answer = self.permission(access.execute, "run");
                    if answer.verdict == Verdict::No {
                        return answer;
                    }
                    Answer::yes(format!("{place} has a set-id bit, and nothing takes its effect away"))
                })
            }),
        }
    }

    /// Why a program would give its user nothing, whatever its mount allows.
    fn no_gain(&self, seen: Option<&Seen>) -> Option<Answer> {
        let place = &self.trace.place;
        let subject = &self.plan.subject;
        let none = || Some(Answer::no(format!("{place} has no set-id bit")));
        let Some(more) = seen.and_then(|seen| seen.more.as_ref()) else { return none() };
        let sets_user = more.mode & SET_USER != 0;
        // Without the group's right to execute it the bit means something else.
        let sets_group = more.mode & SET_GROUP != 0 && more.mode & 0o010 != 0;
        if !sets_user && !sets_group {
            return none();
        }
        let gains =
            (sets_user && more.uid != subject.uid) || (sets_group && !subject.groups.contains(&more.gid));
        (!gains).then(|| Answer::no(format!("{place} would make {} nobody else", subject.name)))
    }

    fn no_new_privileges(&self) -> Option<Answer> {
        self.plan.identity.no_new_privs.then(|| Answer {
            origin: Some(self.plan.origin.clone()),
            ..Answer::no("the profile has no_new_privs")
        })
    }

    /// Nothing is there yet: may it be made?
    fn may_create(&self, by_bits: bool) -> (Answer, bool) {
        let place = &self.trace.place;
        let mount = self.plan.tree.get(self.trace.mount);
        let (planned, host) = self.trace.attributes(self.account);
        if let Some(answer) = self.restricted(planned.read_only, host.read_only, "read-only") {
            return (
                Answer { because: format!("{place} is not there, and {}", answer.because), ..answer },
                false,
            );
        }
        let Some(parent) = &self.trace.parent else {
            return (Answer::unknown(format!("what holds {place} cannot be looked at")), false);
        };
        let rights = match &parent.what {
            What::Step(at, seen) => self.of_step(*at, seen.as_deref()),
            What::Directory(seen) => self.of_host(seen),
            What::Link(_) => Rights { access: None, by_bits: false },
        };
        let (above, name) = (&parent.at, &self.plan.subject.name);
        let answer = match rights.access {
            Some(Access { write: true, execute: true, .. }) => {
                Answer::yes(format!("{place} is not there yet, and can be made in {above}")).by(mount)
            }
            Some(_) => {
                Answer::no(format!("{place} is not there, and {name} may not make anything in {above}"))
            }
            None => Answer::unknown(format!("{above} cannot be looked at")),
        };
        (answer, by_bits || rights.by_bits)
    }

    fn restricted(&self, in_map: bool, on_host: bool, word: &str) -> Option<Answer> {
        let mount = self.plan.tree.get(self.trace.mount);
        let holder = mount.map(|step| step.target.to_string()).unwrap_or_default();
        match (in_map, on_host) {
            (true, _) => Some(Answer::no(format!("{holder} is {word}")).by(mount)),
            (false, true) => Some(Answer::no(format!("the host's mount that {holder} shows is {word}"))),
            (false, false) => None,
        }
    }

    fn permission(&self, may: bool, verb: &str) -> Answer {
        let (name, place) = (&self.plan.subject.name, &self.trace.place);
        match may {
            true => Answer::yes(format!("{name} may {verb} {place}, by its permissions")),
            false => Answer::no(format!("{name} may not {verb} {place}, by its permissions")),
        }
    }

    fn rights_on_the_way(&self, hop: &Hop) -> Option<Rights> {
        match &hop.what {
            What::Directory(seen) => Some(self.of_host(seen)),
            What::Step(at, seen) => Some(self.of_step(*at, seen.as_deref())),
            What::Link(_) => None,
        }
    }

    /// The rights to something of the host's: what the kernel says, if it was asked; what the bits say otherwise.
    fn of_host(&self, seen: &Seen) -> Rights {
        let Some(more) = &seen.more else { return Rights { access: None, by_bits: false } };
        // Root is asked about as root is inside, with the capabilities that the map leaves.
        if let (Some(access), false) = (more.access, self.plan.subject.uid == 0) {
            return Rights { access: Some(access), by_bits: false };
        }
        Rights { access: Some(self.bits(more.mode, (more.uid, more.gid))), by_bits: true }
    }

    /// The rights to what a step makes.
    fn of_step(&self, at: usize, seen: Option<&Seen>) -> Rights {
        let own = |mode: u32, owner: Ids| Some(self.bits(mode, (owner.uid, owner.gid)));
        let all = Access { read: true, write: true, execute: true };
        let access = match self.plan.tree.get(at).map(|step| &step.make) {
            Some(Make::Directory { mode, owner } | Make::File { mode, owner, .. }) => own(*mode, *owner),
            Some(Make::Device { .. }) => Some(Access { execute: false, ..all }),
            Some(Make::Symlink { .. }) => Some(all),
            Some(Make::Mount { what, .. }) => match what {
                Mount::Bind { .. } => match seen {
                    Some(seen) => return self.of_host(seen),
                    None => None,
                },
                Mount::Tmpfs { mode, owner, .. } | Mount::Content { mode, owner, .. } => own(*mode, *owner),
                Mount::Mqueue => Some(all),
                Mount::Terminal => Some(Access { execute: false, ..all }),
                Mount::Proc | Mount::Sysfs | Mount::Devpts { .. } => Some(Access { write: false, ..all }),
            },
            None => None,
        };
        Rights { access, by_bits: false }
    }

    fn bits(&self, mode: u32, owner: (u32, u32)) -> Access {
        let subject = &self.plan.subject;
        let access = Access::by_bits(mode, owner, subject.uid, &subject.groups);
        // Capabilities are root's alone. To run a file somebody must be able to; to go into a directory nobody.
        if subject.uid == 0 && self.plan.identity.capabilities & DAC_OVERRIDE != 0 {
            return Access { read: true, write: true, execute: access.execute || mode & 0o111 != 0 };
        }
        access
    }
}

fn is_directory(step: &TreeStep) -> bool {
    words::is_directory(step) || matches!(step.make, Make::Directory { .. })
}
