//! Can anybody but root change what logins are made of?

use std::collections::BTreeSet;
use std::os::fd::AsFd;

use super::report::{Finding, Verdict};
use crate::host::WalkError;
use crate::model::path::AbsPath;
use crate::model::policy::Policy;
use crate::registry;
use crate::setup::Site;
use crate::sys;

/// What the findings are about.
const ABOUT: &str = "permissions";
/// The folders that are always looked at.
const FOLDERS: [&str; 5] = [
    "/etc/session-sandbox",
    "/etc/session-sandbox/mounts.d",
    "/usr/lib/session-sandbox",
    SCRIPTS,
    registry::FOLDER,
];
/// Each folder in it is looked at as well: root runs what is there.
const SCRIPTS: &str = "/etc/session.d";

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The findings.
    pub(super) findings: Vec<Finding>,
    /// Is the folder of the registry among what is wrong?
    pub(super) is_registry_wrong: bool,
}

/// Looks at every folder that is there.
pub(super) fn look(site: &Site, policy: Option<&Policy>, failed: impl Fn(WalkError) -> Finding) -> Found {
    let mut paths: Vec<String> = FOLDERS.map(str::to_owned).to_vec();
    // A folder that cannot be listed is found below.
    let scripts = site.list(SCRIPTS).unwrap_or_default();
    paths.extend(scripts.iter().map(|name| format!("{SCRIPTS}/{name}")));
    paths.extend(policy.into_iter().flat_map(tree_folders));
    let (mut found, mut good, mut seen) = (Found::default(), 0, BTreeSet::new());
    for path in paths {
        let Ok(path) = AbsPath::new(&path) else { continue };
        let is_registry = path.as_str() == registry::FOLDER;
        let finding = match site.walk(&path) {
            Ok(place) => match sys::path::status(place.as_fd()) {
                Ok(status) if is_registry => open_to_others(path.as_str(), status.mode),
                Ok(_) => None,
                Err(source) => Some(failed(WalkError::Open { path: path.to_string(), source })),
            },
            Err(error) if error.is_missing() => continue,
            // One folder on the way may lead to several of them.
            Err(WalkError::Untrusted { path, .. }) if !seen.insert(path.clone()) => continue,
            Err(WalkError::Untrusted { path, uid, mode }) => {
                let is_foreign = uid != 0 && (site.folder().is_none() || uid != site.owner().0);
                Some(changeable(&path, uid, mode, is_foreign))
            }
            Err(error) => Some(failed(error)),
        };
        found.is_registry_wrong |= is_registry && finding.is_some();
        good += usize::from(finding.is_none());
        found.findings.extend(finding);
    }
    if good > 0 && found.findings.is_empty() {
        let text = "only root can change the map, scripts, state and what is prepared";
        found.findings.push(Finding::new(Verdict::Good, ABOUT, text));
    }
    found
}

/// The folders in which the map has trees prepared: what stands in front of the first variable.
fn tree_folders(policy: &Policy) -> BTreeSet<String> {
    let roots = policy.profiles.iter().map(|profile| profile.settings.root.source());
    let folder = |root: &str| match root.find('%') {
        Some(at) => root[..at].rsplit_once('/').map(|(folder, _)| folder.to_owned()),
        None => Some(root.to_owned()),
    };
    roots.filter_map(folder).filter(|folder| !folder.is_empty()).collect()
}

/// What is at `path` can be changed by others: its owner, if that `is_foreign`, and whoever its bits let write.
fn changeable(path: &str, uid: u32, mode: u32, is_foreign: bool) -> Finding {
    let text = format!(
        "{path} belongs to uid {uid} with mode 0{mode:o}: others than root could change what is there"
    );
    let owner = is_foreign.then(|| format!("chown -h root:root {path}"));
    let bits = (mode & 0o022 != 0).then(|| format!("chmod go-w {path}"));
    let help: Vec<String> = owner.into_iter().chain(bits).collect();
    Finding::new(Verdict::Wrong, ABOUT, text).help(format!("`{}`", help.join(" && ")))
}

/// The registry is root's to read, too.
fn open_to_others(path: &str, mode: u32) -> Option<Finding> {
    (mode & 0o077 != 0).then(|| {
        let text = format!("{path} has mode 0{mode:o}, and must be root's alone: every login is refused");
        Finding::new(Verdict::Wrong, ABOUT, text).help(format!("`chmod 0700 {path}`"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_can_change_is_wrong_and_the_remedy_is_no_more_than_it_takes() {
        let help = |uid, mode| changeable("/x", uid, mode, uid != 0).help.unwrap();
        assert_eq!(help(1000, 0o755), "`chown -h root:root /x`");
        assert_eq!(help(0, 0o775), "`chmod go-w /x`");
        assert_eq!(help(1000, 0o777), "`chown -h root:root /x && chmod go-w /x`");
        assert_eq!(open_to_others("/x", 0o700), None);
        assert_eq!(open_to_others("/x", 0o755).unwrap().verdict, Verdict::Wrong);
    }

    #[test]
    fn the_folders_of_trees_come_from_the_map() {
        assert_eq!(
            tree_folders(&super::super::tests::policy(None)),
            ["/var/lib/workspace".to_owned()].into()
        );
    }
}
