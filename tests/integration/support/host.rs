//! What must be the same before and after.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Verdict, ensure, ensure_eq, until};

/// Everything that a session could leave behind on a host. To be compared in an [`isolated`](super::isolated) test,
/// where nobody else changes anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostState {
    /// `/proc/self/mountinfo`, to the byte.
    pub mounts: String,
    /// The mount namespaces that any process is in.
    pub mount_namespaces: BTreeSet<String>,
    /// The names in `/run` and, at every depth, in `/run/session-sandbox`.
    pub run: BTreeSet<String>,
    /// The names in `/var/lib/workspace`, at every depth down to what is mounted there.
    pub workspace: BTreeSet<String>,
    /// The ids of the processes that `session-enter` is the name of, dead ones that nobody waited for included.
    pub processes: BTreeSet<String>,
}

impl HostState {
    /// As it is now.
    pub fn now() -> Self {
        // A session whose supervisor was killed, or that became its program, stays on record until somebody sweeps.
        if super::is_isolated()
            && let Ok(Some(registry)) = session_sandbox::registry::Registry::open_if_there()
        {
            registry.sweep().expect("the registry can be swept at any moment");
        }
        let mounts = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
        let mut run = names("/run", false);
        run.extend(names("/run/session-sandbox", true));
        Self {
            mounts: String::from_utf8_lossy(&mounts).into_owned(),
            mount_namespaces: process_ids()
                .filter_map(|id| std::fs::read_link(format!("/proc/{id}/ns/mnt")).ok())
                .map(|link| link.to_string_lossy().into_owned())
                .collect(),
            run,
            workspace: names("/var/lib/workspace", true),
            processes: processes_called(&["session-enter", "session-keeper"]),
        }
    }

    /// Fails with every difference to `after`.
    pub fn assert_same(&self, after: &Self) -> Verdict {
        let lines = |of: &Self, not_of: &Self| -> Vec<String> {
            let known: BTreeSet<&str> = not_of.mounts.lines().collect();
            of.mounts.lines().filter(|line| !known.contains(line)).map(str::to_owned).collect()
        };
        let (new, gone) = (lines(after, self), lines(self, after));
        ensure!(
            after.mounts == self.mounts,
            "the host's mount table has changed\n  new: {new:#?}\n gone: {gone:#?}"
        );
        ensure_eq!(after.processes, self.processes, "processes were left behind");
        ensure_eq!(after.mount_namespaces, self.mount_namespaces, "mount namespaces were left behind");
        ensure_eq!(after.run, self.run, "/run has changed");
        ensure_eq!(after.workspace, self.workspace, "/var/lib/workspace has changed");
        Ok(())
    }

    /// Fails unless the host becomes like this again. The kernel takes a moment to end what was killed.
    pub fn assert_returns(&self) -> Verdict {
        match until("the host is as it was", || (Self::now() == *self).then_some(())) {
            Ok(()) => Ok(()),
            Err(late) => self.assert_same(&Self::now()).and(Err(late)),
        }
    }
}

/// The ids of the processes with one of these names.
pub fn processes_called(names: &[&str]) -> BTreeSet<String> {
    let has_one = |id: &String| {
        std::fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|name| names.contains(&name.trim_end()))
    };
    process_ids().filter(has_one).collect()
}

/// The ids of all processes.
pub fn process_ids() -> impl Iterator<Item = String> {
    let names = names("/proc", false).into_iter();
    names
        .filter_map(|path| path.strip_prefix("/proc/").map(str::to_owned))
        .filter(|id| id.parse::<u32>().is_ok())
}

fn names(folder: impl AsRef<Path>, at_every_depth: bool) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let device = |path: &Path| path.symlink_metadata().ok().map(|status| status.dev());
    let own = device(folder.as_ref());
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        found.insert(path.to_string_lossy().into_owned());
        if at_every_depth && entry.file_type().is_ok_and(|kind| kind.is_dir()) && device(&path) == own {
            found.extend(names(path, true));
        }
    }
    found
}
