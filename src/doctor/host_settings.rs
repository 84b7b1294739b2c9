//! Settings of this host that logins and views depend on: how mounts spread, sysctls, security modules. Pure: the texts
//! of the kernel are handed in.

use super::report::{Finding, Verdict};
use crate::model::mounts::unescape;
use crate::model::policy::{MountKind, Policy, Propagation};

/// Fewer mounts than a big view has are left where this many are.
const MOUNTS_LEFT_MIN: usize = 1000;

/// A mount, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// Where it is.
    at: String,
    /// Do copies of it receive what is mounted below it?
    is_shared: bool,
    /// Does it receive what is mounted in another place?
    is_slave: bool,
}

/// The mounts in a text of `/proc/PID/mountinfo`, in its order.
pub(super) fn mounts(text: &str) -> Vec<Mount> {
    let read = |line: &str| {
        // Number, parent, device, root, where, options; then fields in any number, up to a dash.
        let mut fields = line.split(' ').skip(4);
        let at = unescape(fields.next()?);
        let optional: Vec<&str> = fields.skip(1).take_while(|field| *field != "-").collect();
        let has = |kind: &str| optional.iter().any(|field| field.starts_with(kind));
        Some(Mount { at, is_shared: has("shared:"), is_slave: has("master:") })
    };
    text.lines().filter_map(read).collect()
}

/// The mount that `path` lies in: of those that lead there the longest, and of several at one place the last.
fn holder<'a>(mounts: &'a [Mount], path: &str) -> Option<&'a Mount> {
    let leads = |at: &str| {
        let below = path.strip_prefix(at.trim_end_matches('/'));
        below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
    };
    mounts.iter().filter(|mount| leads(&mount.at)).max_by_key(|mount| mount.at.len())
}

/// Does what the host mounts later appear in views whose map asks for it?
pub(super) fn propagation(mounts: &[Mount], policy: Option<&Policy>) -> Vec<Finding> {
    const ABOUT: &str = "propagation";
    let mut findings = Vec::new();
    let Some(top) = holder(mounts, "/") else { return findings };
    let kind = match (top.is_shared, top.is_slave) {
        (true, _) => "shared",
        (false, true) => "a slave that is not shared",
        (false, false) => "private",
    };
    findings.push(if top.is_shared {
        let text = "`/` is shared: entries with `propagation = \"slave\"` show what is mounted later";
        Finding::new(Verdict::Good, ABOUT, text)
    } else {
        let text = format!(
            "`/` is {kind}: what the host mounts on it later does not appear in views, not even where the map says `propagation = \"slave\"`"
        );
        Finding::new(Verdict::Note, ABOUT, text).help(
            "`mount --make-rshared /`, before sessions start; nothing has to be done where no entry says so",
        )
    });
    let profiles = policy.into_iter().flat_map(|policy| &policy.profiles);
    for rule in profiles.flat_map(|profile| &profile.mounts) {
        let MountKind::Bind { source, propagation: Propagation::Slave, .. } = &rule.kind else { continue };
        // What a variable stands for is not known here; the folder in front of it is.
        let source = source.source();
        let known = match source.find('%') {
            Some(0) => continue,
            Some(at) => source[..at].rsplit_once('/').map_or("/", |(folder, _)| folder),
            None => source,
        };
        if let Some(mount) = holder(mounts, known)
            && !mount.is_shared
        {
            let text = format!(
                "{}: `propagation = \"slave\"` has no effect: {source} lies in the mount at {}, which is not shared",
                rule.origin, mount.at
            );
            let help = format!("`mount --make-rshared {}`, before sessions start", mount.at);
            let finding = Finding::new(Verdict::Note, ABOUT, text).help(help);
            // A profile that extends another one has its entries, from the same lines.
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
    }
    findings
}

/// The sysctls that are looked at, as they are called below `/proc/sys`.
pub(super) const SYSCTLS: [&str; 9] = [
    "user/max_mnt_namespaces",
    "user/max_pid_namespaces",
    "user/max_user_namespaces",
    "kernel/unprivileged_userns_clone",
    "kernel/apparmor_restrict_unprivileged_userns",
    "dev/tty/legacy_tiocsti",
    "fs/protected_symlinks",
    "fs/protected_hardlinks",
    "fs/mount-max",
];

/// Can nobody but root make a user namespace?
pub(super) fn forbids_user_namespaces(value: impl Fn(&str) -> Option<u64>) -> bool {
    ["user/max_user_namespaces", "kernel/unprivileged_userns_clone"].iter().any(|name| value(name) == Some(0))
}

/// What sysctls forbid or leave open. `value` knows them by the names above; a kernel may lack some. `mounts` is how many
/// this process's namespace holds.
pub(super) fn sysctls(value: impl Fn(&str) -> Option<u64>, mounts: usize) -> Vec<Finding> {
    const NAMESPACES: &str = "namespaces";
    const ABOUT: &str = "sysctl";
    let mut findings = Vec::new();
    let ordinary = "ordinary users cannot run session-enter";
    for (name, verdict, consequence) in [
        ("user/max_mnt_namespaces", Verdict::Wrong, "no view can be made"),
        ("user/max_pid_namespaces", Verdict::Wrong, "a profile with `wall = \"pidns\"` is refused"),
        ("user/max_user_namespaces", Verdict::Note, ordinary),
        ("kernel/unprivileged_userns_clone", Verdict::Note, ordinary),
    ] {
        if value(name) == Some(0) {
            let name = name.replace('/', ".");
            findings.push(
                Finding::new(verdict, NAMESPACES, format!("{name} is 0: {consequence}"))
                    .help(format!("`sysctl -w {name}=N` with a higher number")),
            );
        }
    }
    if value("kernel/apparmor_restrict_unprivileged_userns") == Some(1) {
        let name = "kernel.apparmor_restrict_unprivileged_userns";
        let text = format!("{name} is 1: an ordinary user's namespace may do nothing, so {ordinary}");
        findings.push(
            Finding::new(Verdict::Note, NAMESPACES, text).help(format!(
                "give session-enter an AppArmor profile with `userns,`, or `sysctl -w {name}=0`"
            )),
        );
    }
    if findings.is_empty() {
        findings.push(Finding::new(Verdict::Good, NAMESPACES, "no setting forbids them"));
    }
    let before = findings.len();
    for (name, bad, consequence) in [
        ("dev/tty/legacy_tiocsti", 1, "a session can type into the terminal that it was started on"),
        ("fs/protected_symlinks", 0, "in /tmp, root follows links that others have put there"),
        ("fs/protected_hardlinks", 0, "users can link files that are not theirs into their own folders"),
    ] {
        if value(name) == Some(bad) {
            let name = name.replace('/', ".");
            findings.push(
                Finding::new(Verdict::Note, ABOUT, format!("{name} is {bad}: {consequence}"))
                    .help(format!("`sysctl -w {name}={}`", 1 - bad)),
            );
        }
    }
    if let Some(most) = value("fs/mount-max")
        && usize::try_from(most).is_ok_and(|most| most.saturating_sub(mounts) < MOUNTS_LEFT_MIN)
    {
        let text = format!(
            "fs.mount-max is {most}, and {mounts} mounts are here: a view with many of its own may be refused"
        );
        findings.push(
            Finding::new(Verdict::Note, ABOUT, text).help("`sysctl -w fs.mount-max=N` with a higher number"),
        );
    }
    if findings.len() == before {
        findings.push(Finding::new(Verdict::Good, ABOUT, "no setting leaves a door open"));
    }
    findings
}

/// Which security modules are active. `list` is what the kernel says, where it can be read; `has_scopes` says whether
/// `wall = "landlock"` works.
pub(super) fn security_modules(list: Option<&str>, has_scopes: bool) -> Vec<Finding> {
    const ABOUT: &str = "lsm";
    let Some(list) = list else {
        let text = "which security modules are active cannot be told: there is no /sys/kernel/security/lsm";
        return vec![Finding::new(Verdict::Note, ABOUT, text).help(
            "`mount -t securityfs securityfs /sys/kernel/security`; nothing has to be done where the kernel has no such file system",
        )];
    };
    let active: Vec<&str> = list.trim().split(',').filter(|name| !name.is_empty()).collect();
    let shown = if active.is_empty() { "none".to_owned() } else { active.join(", ") };
    let mut findings = vec![Finding::new(Verdict::Good, ABOUT, format!("active: {shown}"))];
    let mut note = |text: &str, help: Option<&str>| {
        let finding = Finding::new(Verdict::Note, ABOUT, text);
        findings.push(match help {
            Some(help) => finding.help(help),
            None => finding,
        });
    };
    if !active.contains(&"landlock") && !has_scopes {
        note(
            "landlock is not among them: `wall = \"landlock\"` is refused",
            Some("add `landlock` to `lsm=` on the kernel's command line, if Linux is 6.12 or newer"),
        );
    }
    if active.contains(&"apparmor") {
        note("apparmor: its rules name paths; for a program in a view they are the paths of the view", None);
    }
    if active.contains(&"selinux") {
        note(
            "selinux: what is bound keeps its labels; what the map makes has those of new files on a tmpfs",
            None,
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARED: &str = "22 27 0:21 / /proc rw,relatime - proc proc rw\n\
                          27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
                          28 27 0:9 / /srv rw - ext4 /dev/vdb rw\n\
                          29 27 0:9 / /a\\040b rw master:3 propagate_from:1 - ext4 /dev/vdb rw\n";

    fn policy(entries: &str) -> Policy {
        let map = format!("version = 1\n[[profile]]\nname = \"p\"\n{entries}");
        super::super::tests::policy(Some(&map))
    }

    fn verdicts(findings: &[Finding]) -> Vec<Verdict> {
        findings.iter().map(|finding| finding.verdict).collect()
    }

    #[test]
    fn mounts_are_read_with_what_they_share() {
        let mounts = mounts(SHARED);
        assert_eq!(mounts.len(), 4);
        assert!(mounts[1].is_shared && !mounts[2].is_shared && mounts[3].is_slave && !mounts[3].is_shared);
        assert_eq!(mounts[3].at, "/a b");
        let at = |path| holder(&mounts, path).map(|mount| mount.at.as_str());
        assert_eq!(at("/srv/x"), Some("/srv"));
        assert_eq!((at("/srvx"), at("/"), at("/a b")), (Some("/"), Some("/"), Some("/a b")));
        for odd in ["", "1", "1 2 3 4", "1 2 3 4 /x", "\n\n"] {
            assert!(super::mounts(odd).iter().all(|mount| !mount.is_shared), "{odd:?}");
        }
    }

    #[test]
    fn of_several_mounts_at_one_place_the_last_counts() {
        let text = format!("{SHARED}30 27 0:9 / / rw - tmpfs tmpfs rw\n");
        assert_eq!(verdicts(&propagation(&mounts(&text), None)), [Verdict::Note]);
    }

    #[test]
    fn what_a_private_mount_means_for_entries_that_want_to_see_more_is_said() {
        let map = policy(
            "[[profile.mount]]\ntarget = \"/srv\"\nsource = \"/srv/%u\"\npropagation = \"slave\"\n\
             [[profile.mount]]\ntarget = \"/usr\"\nsource = \"/usr\"\npropagation = \"slave\"\n",
        );
        let found = propagation(&mounts(SHARED), Some(&map));
        assert_eq!(verdicts(&found), [Verdict::Good, Verdict::Note]);
        assert!(found[1].text.contains("/srv/%u lies in the mount at /srv, which is not"), "{found:?}");
        assert_eq!(found[1].help.as_deref(), Some("`mount --make-rshared /srv`, before sessions start"));
        let private = SHARED.replace("shared:1 ", "");
        let found = propagation(&mounts(&private), Some(&map));
        assert_eq!(verdicts(&found), [Verdict::Note; 3]);
        assert!(found[0].text.starts_with("`/` is private"), "{found:?}");
        assert!(found[0].help.as_ref().unwrap().starts_with("`mount --make-rshared /`"), "{found:?}");
        assert!(propagation(&[], Some(&map)).is_empty());
    }

    #[test]
    fn settings_that_forbid_or_leave_open_are_named_with_what_mends_them() {
        let with = |set: &'static [(&'static str, u64)]| {
            sysctls(|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| *value), 30)
        };
        assert_eq!(verdicts(&with(&[])), [Verdict::Good, Verdict::Good]);
        let well = with(&[
            ("user/max_mnt_namespaces", 9),
            ("dev/tty/legacy_tiocsti", 0),
            ("fs/protected_symlinks", 1),
            ("fs/mount-max", 100_000),
        ]);
        assert_eq!(verdicts(&well), [Verdict::Good, Verdict::Good]);
        assert_eq!(verdicts(&with(&[("user/max_mnt_namespaces", 0)]))[0], Verdict::Wrong);
        for (name, value, help) in [
            ("dev/tty/legacy_tiocsti", 1, "`sysctl -w dev.tty.legacy_tiocsti=0`"),
            ("fs/protected_symlinks", 0, "`sysctl -w fs.protected_symlinks=1`"),
            ("fs/protected_hardlinks", 0, "`sysctl -w fs.protected_hardlinks=1`"),
            ("fs/mount-max", 100, "`sysctl -w fs.mount-max=N` with a higher number"),
        ] {
            let found = sysctls(|asked| (asked == name).then_some(value), 30);
            assert_eq!(verdicts(&found), [Verdict::Good, Verdict::Note], "{name}");
            assert_eq!(found[1].help.as_deref(), Some(help));
        }
        let found = with(&[("kernel/apparmor_restrict_unprivileged_userns", 1)]);
        assert_eq!(verdicts(&found), [Verdict::Note, Verdict::Good]);
    }

    #[test]
    fn every_setting_that_is_judged_is_one_that_is_asked_for() {
        let asked = std::cell::RefCell::new(Vec::new());
        sysctls(
            |name| {
                asked.borrow_mut().push(name.to_owned());
                None
            },
            0,
        );
        assert!(asked.borrow().iter().all(|name| SYSCTLS.contains(&name.as_str())), "{asked:?}");
        assert_eq!(asked.borrow().len(), SYSCTLS.len());
    }

    #[test]
    fn security_modules_are_named_and_their_absence_is_no_error() {
        assert_eq!(verdicts(&security_modules(None, true)), [Verdict::Note]);
        let found = security_modules(Some("capability,landlock,yama\n"), true);
        assert_eq!(verdicts(&found), [Verdict::Good]);
        assert_eq!(found[0].text, "active: capability, landlock, yama");
        let found = security_modules(Some("capability,apparmor,selinux"), false);
        assert_eq!(verdicts(&found), [Verdict::Good, Verdict::Note, Verdict::Note, Verdict::Note]);
        assert!(found[1].help.as_ref().unwrap().contains("`lsm=`"), "{found:?}");
        assert_eq!(security_modules(Some(""), true)[0].text, "active: none");
    }
}
