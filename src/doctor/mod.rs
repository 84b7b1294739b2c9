//! `sessionctl doctor`: which PAM services open a view, and whether what logins depend on is in order. Changes nothing.
#![forbid(unsafe_code)]

mod doors;
mod facilities;
mod host_settings;
pub mod map;
mod permissions;
mod report;
mod services;
mod sshd;
mod state;

use std::collections::BTreeSet;
use std::error::Error as StdError;

use crate::error::{Error, ErrorKind};
use crate::model::path::AbsPath;
use crate::model::policy::Policy;
use crate::setup::pam::Presence;
use crate::setup::pam_stack::{self, Files, OTHER, included};
use crate::setup::{self, Site};
use crate::sys;

use report::{Coverage, Facility, Finding, Report, Service, Verdict};

/// Where services are; a file in the first stands in the place of one in the second.
const FOLDERS: [&str; 2] = ["/etc/pam.d", "/usr/lib/pam.d"];
/// Where sshd's settings are.
const SSHD: [&str; 2] = ["/etc/ssh", "sshd_config"];
/// Members of it are left alone by the module.
const BREAK_GLASS: &str = "session-sandbox-exempt";
/// How what the package brings comes back.
const AGAIN: &str = "install the package session-sandbox again";
/// As many files within files as sshd reads.
const SSHD_DEPTH: usize = 16;
/// More settings than anybody has: files include each other in circles.
const SSHD_SETTINGS: usize = 1000;

/// Looks at this host, or at the one in the folder `root`. What this process may not see is a finding like any other.
pub fn examine(root: Option<&AbsPath>) -> Result<Report, Error> {
    let site = Site::open(root)?;
    let mut checks = Vec::new();
    let services = look_at_services(&site, &mut checks);
    let found = or_finding(module(&site), "module", &mut checks);
    checks.extend(found);
    checks.push(helper(&site).unwrap_or_else(|error| failure("helper", &error)));
    let policy = match site.load_policy() {
        Ok(policy) => {
            checks.extend(map::findings(&policy));
            Some(policy)
        }
        Err(error) => {
            checks.push(failure("map", &error));
            None
        }
    };
    checks.push(break_glass(&site).unwrap_or_else(|error| failure("break-glass", &error)));
    let permissions = permissions::look(&site, policy.as_ref(), |error| {
        let failed = Error::new(ErrorKind::Host, "cannot look at what logins are made of");
        failure("permissions", &failed.caused_by(error))
    });
    checks.extend(permissions.findings);
    // What is running can be asked of the host itself only.
    let mut offered = Vec::new();
    if site.folder().is_none() {
        offered = running_host(&site, policy.as_ref(), &mut checks);
        if !is_root() {
            checks.push(state::unseen());
        } else if !permissions.is_registry_wrong {
            let found = or_finding(state::look(&site), "state", &mut checks);
            checks.extend(found);
        }
    }
    let found = or_finding(sshd(&site), "sshd", &mut checks);
    checks.extend(found);
    Ok(Report::new(services, checks, offered))
}

/// The kernel and its settings.
fn running_host(site: &Site, policy: Option<&Policy>, checks: &mut Vec<Finding>) -> Vec<Facility> {
    let mut values = Vec::new();
    for name in host_settings::SYSCTLS {
        let value = or_finding(site.read(&format!("/proc/sys/{name}")), "sysctl", checks);
        values.extend(value.and_then(|value| value.trim().parse().ok()).map(|value: u64| (name, value)));
    }
    let value = |name: &str| values.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    let answers = facilities::ask(is_root(), host_settings::forbids_user_namespaces(value));
    let wanted = policy.map(facilities::wanted).unwrap_or_default();
    let (offered, found) = facilities::table(&answers, &wanted, &sys::kernel::release());
    checks.extend(found);
    let mounts = or_finding(site.read("/proc/self/mountinfo"), "propagation", checks);
    let mounts = host_settings::mounts(&mounts.unwrap_or_default());
    checks.extend(host_settings::sysctls(value, mounts.len()));
    checks.extend(host_settings::propagation(&mounts, policy));
    match site.read("/sys/kernel/security/lsm") {
        Ok(list) => {
            let has_scopes = answers.features.landlock_scope;
            checks.extend(host_settings::security_modules(list.as_deref(), has_scopes));
        }
        Err(error) => checks.push(failure("lsm", &error)),
    }
    offered
}

fn look_at_services(site: &Site, checks: &mut Vec<Finding>) -> Vec<Service> {
    let (mut files, mut unseen) = (Files::new(), BTreeSet::new());
    let names = service_names(site, checks);
    for name in &names {
        read_with_included(site, name, &mut files, &mut unseen, checks);
    }
    let mut found: Vec<_> = names.iter().map(|name| services::service(name, &files, &unseen)).collect();
    let is_program = |path: &str| matches!(site.presence(path, true), Ok(Presence::Good));
    for (name, program) in doors::without_service(&names, is_program) {
        found.push(services::without_file(name, program, &files, &unseen));
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    let any = |coverage| found.iter().any(|service| service.opens == coverage);
    if !any(Coverage::View) {
        checks.push(if any(Coverage::Unseen) {
            Finding::new(Verdict::Note, "pam", "needs root to be seen: whether any login opens a view")
        } else {
            Finding::new(Verdict::Wrong, "pam", "no login opens a view")
                .help("`sessionctl setup --method pam`")
        });
    }
    found
}

/// The services whose logins stay in the host's view, as [`examine`] finds them.
pub fn uncovered() -> Result<Vec<String>, Error> {
    let site = Site::open(None)?;
    let services = look_at_services(&site, &mut Vec::new());
    let is_uncovered = |service: &Service| {
        service.opens == Coverage::Host && service.findings.iter().any(|found| found.help.is_some())
    };
    Ok(services.into_iter().filter(is_uncovered).map(|service| service.name).collect())
}

/// Does the PAM configuration of `service` have session scripts run when a session begins? Then logind's word of the same
/// session is not needed.
pub fn pam_tells_of_sessions(service: &str) -> bool {
    let Ok(site) = Site::open(None) else { return false };
    // A service's name comes from a login.
    if service.is_empty() || service.contains('/') || service.starts_with('.') {
        return false;
    }
    let mut files = Files::new();
    for name in [service, OTHER] {
        read_with_included(&site, name, &mut files, &mut BTreeSet::new(), &mut Vec::new());
    }
    services::has_scripts_run(service, &files)
}

/// What could not be looked at is a finding: the rest is looked at all the same.
fn or_finding<T: Default>(answer: Result<T, Error>, about: &str, checks: &mut Vec<Finding>) -> T {
    answer.unwrap_or_else(|error| {
        checks.push(failure(about, &error));
        T::default()
    })
}

fn service_names(site: &Site, checks: &mut Vec<Finding>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in FOLDERS {
        let all = or_finding(site.list(folder), "pam", checks);
        names.extend(all.into_iter().filter(|name| pam_stack::is_service(name)));
    }
    names
}

/// Reads the file of that name, and all that it includes. What this process may not read is `unseen`.
fn read_with_included(
    site: &Site,
    name: &str,
    files: &mut Files,
    unseen: &mut BTreeSet<String>,
    checks: &mut Vec<Finding>,
) {
    let mut todo = vec![name.to_owned()];
    while let Some(name) = todo.pop() {
        if files.contains_key(&name) || unseen.contains(&name) {
            continue;
        }
        let paths = if name.starts_with('/') {
            vec![name.clone()]
        } else {
            FOLDERS.map(|folder| format!("{folder}/{name}")).to_vec()
        };
        for path in paths {
            if AbsPath::new(&path).is_err() {
                continue;
            }
            match site.read(&path) {
                Ok(None) => {}
                Ok(Some(text)) => {
                    todo.extend(included(&text));
                    files.insert(name, text);
                    break;
                }
                Err(error) => {
                    checks.push(failure("pam", &error));
                    if needs_root(&error) {
                        unseen.insert(name);
                        break;
                    }
                }
            }
        }
    }
}

fn module(site: &Site) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    let folders = setup::module_folders(site)?;
    let any = folders.iter().any(|(_, presence)| *presence == Presence::Good);
    if folders.is_empty() {
        let text = "there is no folder with modules of PAM";
        findings.push(Finding::new(Verdict::Wrong, "module", text).help("install PAM, then this package"));
    }
    for (folder, presence) in folders {
        findings.push(match presence {
            Presence::Good => Finding::new(Verdict::Good, "module", format!("in {folder}")),
            Presence::Missing if any => {
                let text = format!("not in {folder}: programs that use it cannot log anybody in");
                Finding::new(Verdict::Note, "module", text)
            }
            Presence::Missing => {
                Finding::new(Verdict::Wrong, "module", format!("not in {folder}")).help(AGAIN)
            }
            Presence::Bad(why) => Finding::new(Verdict::Wrong, "module", why).help(AGAIN),
        });
    }
    Ok(findings)
}

fn helper(site: &Site) -> Result<Finding, Error> {
    Ok(match site.presence(setup::HELPER, true)? {
        Presence::Good => Finding::new(Verdict::Good, "helper", setup::HELPER),
        Presence::Missing => {
            Finding::new(Verdict::Wrong, "helper", format!("{} is missing", setup::HELPER)).help(AGAIN)
        }
        Presence::Bad(why) => Finding::new(Verdict::Wrong, "helper", why).help(AGAIN),
    })
}

fn break_glass(site: &Site) -> Result<Finding, Error> {
    let known = match site.folder() {
        None => sys::user::group_id(BREAK_GLASS).ok().flatten().is_some(),
        Some(_) => {
            let text = site.read("/etc/group")?.unwrap_or_default();
            text.lines().any(|line| line.split(':').next() == Some(BREAK_GLASS))
        }
    };
    Ok(if known {
        Finding::new(Verdict::Good, "break-glass", format!("there is a group {BREAK_GLASS}"))
    } else {
        let text =
            format!("there is no group {BREAK_GLASS}: a map that is wrong keeps everybody but root out");
        Finding::new(Verdict::Wrong, "break-glass", text).help(format!("groupadd --system {BREAK_GLASS}"))
    })
}

fn sshd(site: &Site) -> Result<Vec<Finding>, Error> {
    let [folder, name] = SSHD;
    let mut settings = Vec::new();
    let found = read_sshd(site, &format!("{folder}/{name}"), 0, &mut settings)?;
    Ok(if found { sshd::findings(&settings) } else { Vec::new() })
}

/// The settings of a file, with those of included files where they are included. `false` where there is no such file.
fn read_sshd(
    site: &Site,
    path: &str,
    depth: usize,
    settings: &mut Vec<sshd::Setting>,
) -> Result<bool, Error> {
    if depth > SSHD_DEPTH || settings.len() > SSHD_SETTINGS {
        return Ok(false);
    }
    let Some(text) = site.read(path)? else { return Ok(false) };
    for setting in sshd::settings(path, &text) {
        let patterns = setting.value.clone();
        let is_include = setting.keyword == "include";
        // An include counts as well: a circle has to come to an end.
        settings.push(setting);
        for pattern in patterns.split_whitespace().filter(|_| is_include) {
            let whole =
                if pattern.starts_with('/') { pattern.to_owned() } else { format!("{}/{pattern}", SSHD[0]) };
            let Some((folder, pattern)) = whole.rsplit_once('/') else { continue };
            let Ok(pattern) = glob::Pattern::new(pattern) else { continue };
            if AbsPath::new(folder).is_err() {
                continue;
            }
            for name in site.list(folder)?.into_iter().filter(|name| pattern.matches(name)) {
                read_sshd(site, &format!("{folder}/{name}"), depth + 1, settings)?;
            }
        }
    }
    Ok(true)
}

fn is_root() -> bool {
    sys::user::own_uid() == 0
}

/// Is this something that root would have been told?
fn needs_root(error: &Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        let denied = |error: &std::io::Error| error.kind() == std::io::ErrorKind::PermissionDenied;
        if error.downcast_ref().is_some_and(denied) {
            return !is_root();
        }
        cause = error.source();
    }
    false
}

/// What could not be looked at.
fn failure(about: &str, error: &Error) -> Finding {
    let text = error.without_remedy();
    if needs_root(error) {
        return Finding::new(Verdict::Note, about, format!("needs root to be seen: {text}"));
    }
    let finding = Finding::new(Verdict::Wrong, about, text);
    match error.remedy() {
        Some(help) => finding.help(help),
        None => finding,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The policy of a host with this map, or without one.
    pub(super) fn policy(map: Option<&str>) -> Policy {
        let folder = tempfile::tempdir().unwrap();
        if let Some(map) = map {
            let etc = folder.path().join("etc");
            std::fs::create_dir(&etc).unwrap();
            std::fs::create_dir(etc.join("session-sandbox")).unwrap();
            std::fs::write(etc.join("session-sandbox/mounts.toml"), map).unwrap();
        }
        let root = AbsPath::new(folder.path().to_str().unwrap()).unwrap();
        Site::open(Some(&root)).unwrap().load_policy().unwrap()
    }

    #[test]
    fn this_host_can_be_looked_at_by_whoever_asks() {
        let report = examine(None).unwrap();
        assert!(!report.facilities.is_empty());
        for about in ["kernel", "namespaces", "sysctl", "propagation", "lsm", "state"] {
            assert!(report.checks.iter().any(|check| check.about == about), "{about}: {:?}", report.checks);
        }
        let needs_root = |check: &&Finding| check.text.starts_with("needs root to be seen: ");
        let unseen: Vec<&Finding> = report.checks.iter().filter(needs_root).collect();
        assert_eq!(unseen.is_empty(), is_root(), "{unseen:?}");
        assert!(unseen.iter().all(|check| check.verdict == Verdict::Note), "{unseen:?}");
    }

    #[test]
    fn what_is_refused_to_others_than_root_is_no_mistake() {
        let denied = || std::io::Error::from_raw_os_error(rustix::io::Errno::ACCESS.raw_os_error());
        let failed = || Error::new(ErrorKind::Host, "cannot open /x").help("mend it");
        let finding = failure("map", &failed().caused_by(denied()));
        let expected = if is_root() { Verdict::Wrong } else { Verdict::Note };
        assert_eq!(finding.verdict, expected);
        assert_eq!(finding.text.starts_with("needs root to be seen: cannot open /x"), !is_root());
        // Anything else is one, whoever asks.
        let other = std::io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error());
        assert_eq!(failure("map", &failed().caused_by(other)).verdict, Verdict::Wrong);
        assert_eq!(failure("map", &failed()).verdict, Verdict::Wrong);
    }
}
