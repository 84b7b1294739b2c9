//! Opening a bind's source, in the way the plan says. Used twice: to find out what is there, and to take it.

use std::cell::OnceCell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use crate::model::facts::Look;
use crate::model::path::AbsPath;
use crate::model::subject::Subject;
use crate::sys;
use crate::sys::path::Links;
use crate::sys::scout::Scout;

use super::patience::answers_by_itself;
use super::walk::{Trust, WalkError, walk};

/// The tree at the end may be anybody's; whoever made the links on the way must be root.
const TRUST: Trust = Trust { last: false, ..Trust::ROOT };

/// Which symbolic links a look-up goes along.
enum Follows {
    /// Those that root alone can have made.
    Trusted,
    /// All, or none.
    All(Links),
}

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
        self.open_after(path, look, || Ok(()))
    }

    /// Like [`Sources::open`]; `prepare` is done with the rights of the look-up.
    fn open_after(
        &self,
        path: &AbsPath,
        look: Look,
        prepare: impl FnOnce() -> sys::Result<()>,
    ) -> Result<OwnedFd, WalkError> {
        self.with_rights(look, || {
            prepare()?;
            match self.follows(look) {
                Follows::Trusted => walk(path, TRUST),
                Follows::All(links) => {
                    sys::path::open(self.root()?, path.relative(), links).map_err(open_failed(path))
                }
            }
        })
    }

    /// Like [`Sources::open_after`], by a scout. On the way it has automounters mount what they are there for: the bind
    /// of an automount point that is not mounted yet would lead to it from where nobody can mount anything, and end in
    /// ELOOP.
    pub(super) fn open_first(&self, path: &AbsPath, look: Look, scout: &Scout) -> Result<OwnedFd, WalkError> {
        self.open_after(path, look, || {
            scout.die_with_parent()?;
            let links = match self.follows(look) {
                Follows::Trusted => Links::Follow,
                Follows::All(links) => links,
            };
            // If it is no directory, or is not there, this changes nothing.
            let _ = sys::path::open_mounted(self.root()?, path.relative(), links);
            Ok(())
        })
    }

    /// Like [`Sources::open`], where that takes nothing but what the kernel has in memory and what a file system of
    /// this host can tell. `None` where a server or an automounter, or a disk along a link, would be asked.
    pub(super) fn open_at_once(&self, path: &AbsPath, look: Look) -> Result<Option<OwnedFd>, WalkError> {
        self.with_rights(look, || {
            let cached = |path: &AbsPath, links| {
                sys::path::open_cached(self.root()?, path.relative(), links).map_err(open_failed(path))
            };
            let follows = self.follows(look);
            if let Follows::All(Links::Refuse) = follows {
                return self.open_locally(path, cached);
            }
            // Most paths that may lead along links lead along none, and what is missing is no link either.
            let place = match cached(path, Links::Follow) {
                Ok(None) => match self.open_locally(path, cached) {
                    Ok(Some(place)) if is_link(&place)? => return Ok(None),
                    other => other,
                },
                known => known,
            };
            match (place, follows) {
                (Ok(None), _) => Ok(None),
                (Err(error), _) if !error.is_missing() => Ok(None),
                // Opening it untrusting, for nothing, has shown that everything on the way is in memory, the links'
                // texts too: the walk does not wait either.
                (_, Follows::Trusted) => walk(path, TRUST).map(Some),
                (known, Follows::All(_)) => known,
            }
        })
    }

    /// What is not in memory is looked up one component at a time, from a directory that needs no server for it. So a
    /// disk that has to spin up is waited for, and what is missing on a tmpfs, which remembers no such names, costs
    /// a few calls.
    fn open_locally(
        &self,
        path: &AbsPath,
        cached: impl Fn(&AbsPath, Links) -> Result<Option<OwnedFd>, WalkError>,
    ) -> Result<Option<OwnedFd>, WalkError> {
        for _ in 0..=path.depth() {
            if let Some(place) = cached(path, Links::Refuse)? {
                return Ok(Some(place));
            }
            let mut next = path.clone();
            let directory = loop {
                let Some(parent) = next.parent() else { return Ok(None) };
                match cached(&parent, Links::Refuse)? {
                    Some(directory) => break directory,
                    None => next = parent,
                }
            };
            if !answers_by_itself(directory.as_fd()).map_err(open_failed(path))? {
                return Ok(None);
            }
            let name = next.file_name().unwrap_or(".");
            let found = sys::path::open(directory.as_fd(), name, Links::Refuse).map_err(open_failed(path))?;
            if next == *path {
                // What was found may be a server's, or an automounter's that has not mounted anything yet.
                let local = answers_by_itself(found.as_fd()).map_err(open_failed(path))?;
                return Ok(local.then_some(found));
            }
        }
        Ok(None)
    }

    /// Which component of `path` is to blame for that it leads nowhere, where that is not the last one. Asks nobody
    /// outside the kernel again, so that it may not know.
    pub(super) fn culprit(&self, path: &AbsPath, look: Look, is_server: bool) -> Option<AbsPath> {
        let links = match self.follows(look) {
            Follows::Trusted => Links::Follow,
            Follows::All(links) => links,
        };
        let mut parts: Vec<AbsPath> = std::iter::successors(Some(path.clone()), AbsPath::parent)
            .filter(|part| !part.is_root())
            .collect();
        parts.reverse();
        let find = || -> Result<Option<AbsPath>, WalkError> {
            let (mut reached, mut place) = (AbsPath::root(), self.root()?.try_clone_to_owned().ok());
            for part in parts {
                let mut next = sys::path::open_cached(self.root()?, part.relative(), links);
                // The kernel remembers few names that are missing, and no refusal.
                if let (Ok(None), Some(here)) = (&next, &place)
                    && answers_by_itself(here.as_fd())?
                {
                    next = sys::path::open(self.root()?, part.relative(), links).map(Some);
                }
                match next {
                    Ok(Some(found)) => (reached, place) = (part, Some(found)),
                    Ok(None) => return Ok(is_server.then_some(reached)),
                    Err(error) if error.errno() == Errno::NOENT.raw_os_error() => return Ok(Some(part)),
                    // No permission to go on from there, or nowhere to go on to: a file, or a link.
                    Err(_) => return Ok(Some(reached)),
                }
            }
            Ok(None)
        };
        let culprit = self.with_rights(look, find).ok().flatten();
        culprit.filter(|culprit| culprit != path)
    }

    fn follows(&self, look: Look) -> Follows {
        match look {
            Look::Root | Look::User => Follows::All(Links::Refuse),
            // Who has only its own rights can follow any link: it reaches nothing that it could not reach anyway.
            // (And in its user namespace root's files would seem to be nobody's.)
            Look::RootFollowing | Look::UserFollowing if self.already => Follows::All(Links::Follow),
            Look::RootFollowing | Look::UserFollowing => Follows::Trusted,
        }
    }

    fn with_rights<T>(
        &self,
        look: Look,
        lookup: impl FnOnce() -> Result<T, WalkError>,
    ) -> Result<T, WalkError> {
        match look {
            Look::Root | Look::RootFollowing => lookup(),
            Look::User | Look::UserFollowing => self.with_users_rights(lookup),
        }
    }

    fn root(&self) -> sys::Result<BorrowedFd<'_>> {
        if let Some(root) = self.root.get() {
            return Ok(root.as_fd());
        }
        let root = sys::path::open_root()?;
        Ok(self.root.get_or_init(|| root).as_fd())
    }

    /// Does a look-up with the user's rights, whatever this process is.
    pub(super) fn with_rights_of_user<T>(&self, lookup: impl FnOnce() -> sys::Result<T>) -> sys::Result<T> {
        self.with_users_rights(lookup)
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

fn is_link(place: &OwnedFd) -> sys::Result<bool> {
    Ok(sys::path::status(place.as_fd())?.kind == sys::path::Kind::Symlink)
}

fn open_failed(path: &AbsPath) -> impl FnOnce(sys::Error) -> WalkError {
    move |source| WalkError::Open { path: path.to_string(), source }
}
