//! Walking a path as its owner would have to trust it: one component at a time, each looked at on the descriptor
//! that the next one is opened from.

use std::os::fd::{AsFd, OwnedFd};

use crate::model::path::AbsPath;
use crate::sys;
use crate::sys::path::{Kind, Links, Status};

/// As many links as the kernel itself follows in one lookup.
const LINKS_MAX: usize = 40;

/// Who may have had a hand in a path.
#[derive(Clone, Copy, Debug)]
pub struct Trust {
    /// The second user, besides root, who may own a component.
    pub owner: Option<u32>,
    /// May a directory be writable by others when its sticky bit keeps them from replacing what they do not own?
    /// Good enough for what a user does for itself, not for what root relies on.
    pub sticky: bool,
    /// May root's own group write? Nobody but root is in it; pam_script has always taken such folders and scripts.
    pub root_group: bool,
    /// Must the last component, too, be trusted? (Yes for a file that is read, no for a tree that is handed over.)
    pub last: bool,
}

impl Trust {
    /// Root alone, on every component.
    pub const ROOT: Self = Self { owner: None, sticky: false, root_group: false, last: true };

    /// Is this such a component?
    pub fn allows(self, status: &Status) -> bool {
        let owner = status.uid == 0 || Some(status.uid) == self.owner;
        let sticky = self.sticky && status.kind == Kind::Directory && status.mode & 0o1000 != 0;
        let others = if self.root_group && status.gid == 0 { 0o002 } else { 0o022 };
        // A link's own bits are always 0777 and mean nothing.
        owner && (status.kind == Kind::Symlink || status.mode & others == 0 || sticky)
    }
}

/// Why a walk ended early.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// A component that someone else could have put there, or could change.
    #[error(
        "{path} belongs to uid {uid} with mode 0{mode:o}, so others than root could change what it leads to"
    )]
    Untrusted {
        /// The component, with what leads to it.
        path: String,
        /// Its owner.
        uid: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// More than the kernel would follow.
    #[error("{0} leads through more than {LINKS_MAX} symbolic links")]
    Loop(String),
    /// A link whose text is no path.
    #[error("{path} is a link to {text:?}, which is no usable path")]
    Link {
        /// The link.
        path: String,
        /// Its text.
        text: String,
    },
    /// A component cannot be opened.
    #[error("cannot open {path}")]
    Open {
        /// The component, with what leads to it.
        path: String,
        /// Why.
        #[source]
        source: sys::Error,
    },
}

impl From<sys::Error> for WalkError {
    /// A failure that is none of the path's: the rights to walk it could not be had.
    fn from(source: sys::Error) -> Self {
        Self::Open { path: "it with the user's rights".to_owned(), source }
    }
}

impl WalkError {
    /// Did this process or the host run out of something? That says nothing about the path.
    pub fn is_shortage(&self) -> bool {
        use rustix::io::Errno;
        let short = [Errno::MFILE, Errno::NFILE, Errno::NOMEM].map(Errno::raw_os_error);
        matches!(self, Self::Open { source, .. } if short.contains(&source.errno()))
    }

    /// The errno, where a call is to blame.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Open { source, .. } => Some(source.errno()),
            _ => None,
        }
    }

    /// Is the path simply not there?
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Open { source, .. } if source.errno() == rustix::io::Errno::NOENT.raw_os_error())
    }
}

/// Opens `path` from the root of the host as a place (`O_PATH`), following symbolic links that are trusted.
pub fn walk(path: &AbsPath, trust: Trust) -> Result<OwnedFd, WalkError> {
    let root = sys::path::open_root().map_err(open_failed("/"))?;
    walk_below(root, path, trust)
}

fn open_failed(path: &str) -> impl FnOnce(sys::Error) -> WalkError {
    let path = path.to_owned();
    move |source| WalkError::Open { path, source }
}

/// The same for a host whose root is the directory `root`: no link leads out of it.
pub fn walk_below(root: OwnedFd, path: &AbsPath, trust: Trust) -> Result<OwnedFd, WalkError> {
    let mut rest: Vec<String> = path.components().rev().map(str::to_owned).collect();
    // The directories that lead to where the walk stands, and their names: `..` in a link goes back along them.
    let mut trail: Vec<OwnedFd> = vec![root];
    let mut names: Vec<String> = Vec::new();
    let mut links = 0;
    while let Some(name) = rest.pop() {
        let here = format!("/{}", names.iter().chain([&name]).cloned().collect::<Vec<_>>().join("/"));
        match name.as_str() {
            "" | "." => continue,
            ".." => {
                names.pop();
                if trail.len() > 1 {
                    trail.pop();
                }
                continue;
            }
            _ => {}
        }
        let Some(directory) = trail.last() else { break };
        let next = sys::path::open(directory.as_fd(), &name, Links::Refuse).map_err(open_failed(&here))?;
        let status = sys::path::status(next.as_fd()).map_err(open_failed(&here))?;
        let is_last = rest.is_empty();
        if !trust.allows(&status) && (trust.last || !is_last || status.kind == Kind::Symlink) {
            return Err(WalkError::Untrusted { path: here, uid: status.uid, mode: status.mode });
        }
        if status.kind != Kind::Symlink {
            trail.push(next);
            names.push(name);
            continue;
        }
        links += 1;
        if links > LINKS_MAX {
            return Err(WalkError::Loop(path.to_string()));
        }
        let text = sys::path::link_text(next.as_fd()).map_err(open_failed(&here))?;
        if text.is_empty() || text.len() > crate::model::path::PATH_MAX {
            return Err(WalkError::Link { path: here, text });
        }
        if text.starts_with('/') {
            trail.truncate(1);
            names.clear();
        }
        rest.extend(text.split('/').rev().map(str::to_owned));
    }
    trail.pop().map_or_else(|| sys::path::open_root().map_err(open_failed("/")), Ok)
}
