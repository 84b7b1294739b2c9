//! Opening a bind's source, in the way the plan says. Used twice: to find out what is there, and to take it.

use std::cell::OnceCell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::model::facts::Look;
use crate::model::path::AbsPath;
use crate::model::subject::Subject;
use crate::sys;
use crate::sys::path::Links;

use super::walk::{Trust, WalkError, walk};

/// The host's tree, and the rights with which one user's sources are opened in it.
#[derive(Debug)]
pub struct Sources {
    /// `/`, opened at the first use: in the mount namespace in which the sources are wanted.
    root: OnceCell<OwnedFd>,
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
    /// This process already is that user.
    already: bool,
}

impl Sources {
    /// For a caller that is root (`privileged`) or the subject.
    pub fn of(subject: &Subject, privileged: bool) -> Self {
        Self {
            root: OnceCell::new(),
            uid: subject.uid,
            gid: subject.gid,
            groups: subject.groups.clone(),
            already: !privileged,
        }
    }

    /// Opens `path` as a place. A symbolic link as the last component is opened itself, unless `look` follows links.
    pub fn open(&self, path: &AbsPath, look: Look) -> Result<OwnedFd, WalkError> {
        let open = |links| sys::path::open(self.root()?, path.relative(), links);
        let failed = |source| WalkError::Open { path: path.to_string(), source };
        // The tree at the end may be anybody's; whoever made the links on the way must be root.
        let trust = Trust { last: false, ..Trust::ROOT };
        match look {
            Look::Root => open(Links::Refuse).map_err(failed),
            Look::User => self.with_users_rights(|| open(Links::Refuse)).map_err(failed),
            // Who has only its own rights can follow any link: it reaches nothing that it could not reach anyway.
            // (And in its user namespace root's files would seem to be nobody's.)
            Look::RootFollowing | Look::UserFollowing if self.already => open(Links::Follow).map_err(failed),
            Look::RootFollowing => walk(path, trust),
            Look::UserFollowing => self.with_users_rights(|| walk(path, trust)),
        }
    }

    fn root(&self) -> sys::Result<BorrowedFd<'_>> {
        if let Some(root) = self.root.get() {
            return Ok(root.as_fd());
        }
        let root = sys::path::open_root()?;
        Ok(self.root.get_or_init(|| root).as_fd())
    }

    fn with_users_rights<T, E: From<sys::Error>>(
        &self,
        lookup: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        if self.already {
            return lookup();
        }
        sys::identity::with_file_rights_of(self.uid, self.gid, &self.groups, lookup)
    }
}
