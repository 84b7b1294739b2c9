//! Opening a bind's source, in the way the plan says. Used twice: to find out what is there, and to take it.

use std::os::fd::{AsFd, OwnedFd};

use crate::model::facts::Look;
use crate::model::path::AbsPath;
use crate::model::subject::Subject;
use crate::sys;
use crate::sys::path::Links;

use super::walk::{Trust, WalkError, walk};

/// Whose rights [`Look::User`] stands for.
#[derive(Clone, Debug)]
pub struct Rights {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
    /// This process already is that user.
    already: bool,
}

impl Rights {
    /// The subject's rights, for a caller that is root (`privileged`) or the subject.
    pub fn of(subject: &Subject, privileged: bool) -> Self {
        Self { uid: subject.uid, gid: subject.gid, groups: subject.groups.clone(), already: !privileged }
    }

    fn lend<T, E: From<sys::Error>>(&self, lookup: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        if self.already {
            return lookup();
        }
        sys::identity::with_file_rights_of(self.uid, self.gid, &self.groups, lookup)
    }
}

/// Opens `path` as a place. A symbolic link as the last component is opened itself, unless `look` follows links.
pub fn open_source(path: &AbsPath, look: Look, rights: &Rights) -> Result<OwnedFd, WalkError> {
    let open = |links| -> sys::Result<OwnedFd> {
        let root = sys::path::open_root()?;
        sys::path::open(root.as_fd(), path.relative(), links)
    };
    let failed = |source| WalkError::Open { path: path.to_string(), source };
    // The tree at the end may be anybody's; whoever made the links on the way must be root.
    let trust = Trust { last: false, ..Trust::ROOT };
    match look {
        Look::Root => open(Links::Refuse).map_err(failed),
        Look::User => rights.lend(|| open(Links::Refuse)).map_err(failed),
        // Who has only its own rights can follow any link: it reaches nothing that it could not reach anyway. (And in
        // its user namespace root's files would seem to be nobody's.)
        Look::RootFollowing | Look::UserFollowing if rights.already => open(Links::Follow).map_err(failed),
        Look::RootFollowing => walk(path, trust),
        Look::UserFollowing => rights.lend(|| walk(path, trust)),
    }
}
