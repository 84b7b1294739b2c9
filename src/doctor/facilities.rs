//! What the kernel offers, what that is good for here, and whether the map needs it. The probes are calls; the table is
//! pure.

use super::report::{Facility, Finding, Verdict};
use crate::host;
use crate::model::facts::KernelFeatures;
use crate::model::policy::{MountKind, Policy, Wall};
use crate::sys;

/// What the findings are about.
const ABOUT: &str = "kernel";
/// The bit of CAP_MKNOD.
const MKNOD: u64 = 1 << 27;

/// The answers of a kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answers {
    /// What plans depend on.
    pub(super) features: KernelFeatures,
    /// PID namespaces.
    pub(super) pid_namespaces: bool,
    /// User namespaces: does the kernel have them?
    pub(super) user_namespaces: bool,
    /// Is there a setting by which nobody but root can make one?
    pub(super) users_forbidden: bool,
    /// Numbers of mounts that are never used again.
    pub(super) mount_numbers: bool,
    /// `statmount`.
    pub(super) statmount: bool,
    /// `listmount`.
    pub(super) listmount: bool,
    /// Handles of namespaces. To others than root some are not given.
    pub(super) handles: Option<bool>,
    /// How many mounts a namespace holds.
    pub(super) mount_counts: bool,
    /// Numbers of processes that are never used again.
    pub(super) process_numbers: bool,
    /// CAP_MKNOD of this process, which is a login's where it is root's.
    pub(super) mknod: Option<bool>,
    /// Keyrings.
    pub(super) keyrings: bool,
}

/// Asks the kernel. What settings say is handed in.
pub(super) fn ask(is_root: bool, users_forbidden: bool) -> Answers {
    let handles = sys::kernel::has_namespace_handles();
    Answers {
        features: host::kernel_features(),
        pid_namespaces: sys::kernel::has_pid_namespaces(),
        user_namespaces: sys::kernel::has_user_namespaces(),
        users_forbidden,
        mount_numbers: sys::kernel::has_unique_mount_numbers(),
        statmount: sys::kernel::has_statmount(),
        listmount: sys::kernel::has_listmount(),
        handles: (is_root || handles).then_some(handles),
        mount_counts: sys::kernel::has_mount_counts(),
        process_numbers: sys::kernel::has_process_numbers(),
        mknod: match sys::capability::effective() {
            Ok(effective) if is_root => Some(effective & MKNOD != 0),
            _ => None,
        },
        keyrings: sys::kernel::has_keyrings(),
    }
}

/// Where the map asks first for what not every kernel has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    nosymfollow: Option<String>,
    landlock: Option<String>,
    pidns: Option<String>,
}

/// What the map asks for.
pub(super) fn wanted(policy: &Policy) -> Wanted {
    let profiles = || policy.profiles.iter();
    let wall = |wall: Wall| {
        let found = profiles().find(|profile| profile.settings.wall == wall);
        found.map(|profile| format!("{}: profile {:?}", profile.origin, profile.name))
    };
    let has_nosymfollow = |kind: &MountKind| match kind {
        MountKind::Bind { attributes, .. }
        | MountKind::Tmpfs { attributes, .. }
        | MountKind::Proc { attributes }
        | MountKind::Sysfs { attributes }
        | MountKind::Mqueue { attributes } => attributes.nosymfollow,
        _ => false,
    };
    let rule = profiles().flat_map(|profile| &profile.mounts).find(|rule| has_nosymfollow(&rule.kind));
    Wanted {
        nosymfollow: rule.map(|rule| rule.origin.to_string()),
        landlock: wall(Wall::Landlock),
        pidns: wall(Wall::Pidns),
    }
}

/// Who cannot do without a facility.
enum Need<'a> {
    /// Every login.
    All,
    /// What stands there in the map, if anything.
    Map(&'a Option<String>),
    /// Nobody: there is another way, which is worth knowing.
    None,
    /// Nobody, and nothing is lost, or another finding says what.
    Silent,
}

/// A facility: its name, since when, whether it is here, who needs it, what it gives, what happens without it.
type Row<'a> = (&'static str, &'static str, Option<bool>, Need<'a>, &'static str, &'static str);

/// The table, and what is to be said of what is missing.
pub(super) fn table(answers: &Answers, wanted: &Wanted, release: &str) -> (Vec<Facility>, Vec<Finding>) {
    let Answers { features, .. } = answers;
    let refused = "every login is refused";
    let rows: [Row<'_>; 16] = [
        (
            "mount descriptors",
            "5.2",
            Some(features.mount_descriptors),
            Need::All,
            "what is mounted is held by descriptors, and no path is looked up twice",
            refused,
        ),
        (
            "openat2",
            "5.6",
            Some(features.openat2),
            Need::All,
            "a path that a user could change leads out of no folder",
            refused,
        ),
        (
            "close_range",
            "5.9",
            Some(features.close_range),
            Need::All,
            "no descriptor reaches the program",
            refused,
        ),
        (
            "mount_setattr",
            "5.12",
            Some(features.mount_setattr),
            Need::All,
            "attributes hold before a tree can be seen, on what is mounted below it too",
            refused,
        ),
        (
            "nosymfollow",
            "5.14",
            Some(features.nosymfollow),
            Need::Map(&wanted.nosymfollow),
            "the option `nosymfollow` of the map",
            "a map with the option `nosymfollow` is refused",
        ),
        (
            "landlock scopes",
            "6.12",
            Some(features.landlock_scope),
            Need::Map(&wanted.landlock),
            "`wall = \"landlock\"`",
            "a profile with `wall = \"landlock\"` is refused",
        ),
        (
            "PID namespaces",
            "3.8",
            Some(answers.pid_namespaces),
            Need::Map(&wanted.pidns),
            "`wall = \"pidns\"`",
            "a profile with `wall = \"pidns\"` is refused",
        ),
        (
            "user namespaces",
            "3.8",
            Some(answers.user_namespaces && !answers.users_forbidden),
            // What a setting forbids is said of the setting.
            if answers.user_namespaces { Need::Silent } else { Need::None },
            "session-enter for ordinary users",
            "ordinary users cannot run session-enter",
        ),
        (
            "unique mount numbers",
            "6.8",
            Some(answers.mount_numbers),
            Need::None,
            "a prepared tree is told from a later mount at its place",
            "a prepared tree is known by a number that the kernel may give again",
        ),
        (
            "statmount",
            "6.8",
            Some(answers.statmount),
            Need::None,
            "a file system that needs a server is known without asking it",
            "what is on no block device is looked at by a child first, which costs time",
        ),
        (
            "listmount",
            "6.8",
            Some(answers.listmount),
            Need::Silent,
            "`sessionctl diff` and `why` ask it what is mounted",
            "they read /proc/PID/mountinfo",
        ),
        (
            "pidfs numbers",
            "6.9",
            Some(answers.process_numbers),
            Need::None,
            "a process is told from a later one with its number",
            "processes are told apart by when they started",
        ),
        (
            "NS_MNT_GET_INFO",
            "6.12",
            Some(answers.mount_counts),
            Need::None,
            "MOUNTS and KERNEL of `sessionctl list`, and a look at the base namespace",
            "MOUNTS and KERNEL of `sessionctl list` are left open",
        ),
        (
            "nsfs handles",
            "6.18",
            answers.handles,
            Need::None,
            "a view without a PID namespace is found while a process is in it",
            "a view without a PID namespace is pinned until the next login or `sessionctl gc`",
        ),
        (
            "CAP_MKNOD",
            "any",
            answers.mknod,
            Need::None,
            "the devices of a view's `/dev` are made for it",
            "the devices of a view's `/dev` are the host's, bound",
        ),
        (
            "keyrings",
            "any",
            Some(answers.keyrings),
            Need::None,
            "a session has a keyring of its own",
            "there are no keys to keep out of a session",
        ),
    ];
    let (mut facilities, mut findings) = (Vec::new(), Vec::new());
    for (name, since, present, need, gives, without) in rows {
        let text = if present == Some(false) { without } else { gives };
        facilities.push(Facility {
            name: name.to_owned(),
            since: since.to_owned(),
            present,
            gives: text.to_owned(),
        });
        findings.extend(match present {
            Some(true) => None,
            Some(false) => missing(name, since, &need, without, release),
            None => {
                let text = format!("needs root to be seen: {name}");
                Some(Finding::new(Verdict::Note, ABOUT, text))
            }
        });
    }
    if !findings.iter().any(|finding| finding.verdict == Verdict::Wrong) {
        let text = format!("{release} has every call that is needed");
        findings.insert(0, Finding::new(Verdict::Good, ABOUT, text));
    }
    (facilities, findings)
}

/// What is to be said of a facility that is not there.
fn missing(name: &str, since: &str, need: &Need<'_>, without: &str, release: &str) -> Option<Finding> {
    // What any Linux can have, this one was built without, or is kept from this process.
    let came = if since == "any" { String::new() } else { format!(", which came with {since}") };
    let text = format!("{release} has no {name}{came}: {without}");
    match need {
        Need::All => Some(Finding::new(Verdict::Wrong, ABOUT, text).help("start Linux 5.12 or newer")),
        Need::Map(Some(place)) => Some(
            Finding::new(Verdict::Wrong, ABOUT, format!("{text}; {place} asks for it"))
                .help(format!("start a kernel that has it, or change {place}")),
        ),
        Need::Map(None) | Need::None => Some(Finding::new(Verdict::Note, ABOUT, text).help(match name {
            "CAP_MKNOD" => "nothing has to be done; a container gets it from whatever starts it",
            "keyrings" | "user namespaces" => {
                "nothing has to be done; a kernel that is built with them has them, and a container's filter of system calls can hide them"
            }
            _ => "nothing has to be done; a newer kernel has it, unless a filter of system calls hides it",
        })),
        Need::Silent => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Answers = Answers {
        features: KernelFeatures {
            mount_descriptors: true,
            openat2: true,
            close_range: true,
            mount_setattr: true,
            nosymfollow: true,
            landlock_scope: true,
        },
        pid_namespaces: true,
        user_namespaces: true,
        users_forbidden: false,
        mount_numbers: true,
        statmount: true,
        listmount: true,
        handles: Some(true),
        mount_counts: true,
        process_numbers: true,
        mknod: Some(true),
        keyrings: true,
    };

    fn verdicts(findings: &[Finding]) -> Vec<Verdict> {
        findings.iter().map(|finding| finding.verdict).collect()
    }

    #[test]
    fn a_kernel_with_everything_is_good_and_says_what_each_gives() {
        let (facilities, findings) = table(&ALL, &Wanted::default(), "6.18");
        assert_eq!(verdicts(&findings), [Verdict::Good]);
        assert!(facilities.iter().all(|facility| facility.present == Some(true)));
        assert_eq!(facilities.len(), 16);
    }

    #[test]
    fn what_every_login_needs_is_wrong_when_missing_and_the_rest_is_a_note() {
        let features = KernelFeatures { mount_setattr: false, close_range: false, ..ALL.features };
        let (facilities, findings) = table(&Answers { features, ..ALL }, &Wanted::default(), "5.4");
        assert_eq!(verdicts(&findings), [Verdict::Wrong, Verdict::Wrong]);
        assert!(findings[1].text.contains("5.4 has no mount_setattr, which came with 5.12"), "{findings:?}");
        assert_eq!(facilities[3].gives, "every login is refused");

        let old = Answers { handles: Some(false), listmount: false, mknod: Some(false), ..ALL };
        let (_, findings) = table(&old, &Wanted::default(), "6.1");
        assert_eq!(verdicts(&findings), [Verdict::Good, Verdict::Note, Verdict::Note]);
        assert!(findings.iter().skip(1).all(|finding| finding.help.is_some()), "{findings:?}");

        let (facilities, findings) =
            table(&Answers { users_forbidden: true, ..ALL }, &Wanted::default(), "6.18");
        assert_eq!((facilities[7].present, verdicts(&findings)), (Some(false), vec![Verdict::Good]));
    }

    #[test]
    fn what_the_map_asks_for_is_needed_then() {
        let features = KernelFeatures { landlock_scope: false, nosymfollow: false, ..ALL.features };
        let old = Answers { features, ..ALL };
        let wanted = Wanted { landlock: Some("m:3: profile \"p\"".to_owned()), ..Wanted::default() };
        let (_, findings) = table(&old, &wanted, "6.1");
        assert_eq!(verdicts(&findings), [Verdict::Note, Verdict::Wrong]);
        assert!(findings[1].text.ends_with("m:3: profile \"p\" asks for it"), "{findings:?}");
    }

    #[test]
    fn what_only_root_is_told_is_neither_there_nor_missing() {
        let (facilities, findings) =
            table(&Answers { handles: None, mknod: None, ..ALL }, &Wanted::default(), "6.1");
        assert_eq!(facilities.iter().filter(|facility| facility.present.is_none()).count(), 2);
        assert_eq!(verdicts(&findings), [Verdict::Good, Verdict::Note, Verdict::Note]);
        assert_eq!(findings[1].text, "needs root to be seen: nsfs handles");
    }

    #[test]
    fn this_kernel_answers() {
        let answers = ask(sys::user::own_uid() == 0, false);
        let (facilities, findings) = table(&answers, &Wanted::default(), &sys::kernel::release());
        // The tests need what a login needs.
        assert_eq!(findings[0].verdict, Verdict::Good, "{findings:?}");
        assert!(facilities.iter().take(4).all(|facility| facility.present == Some(true)), "{facilities:?}");
    }
}
