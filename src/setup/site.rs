//! The host that is set up: `/`, or a folder that holds one. Every path is looked up below a descriptor of its root.

use std::os::fd::{AsFd, OwnedFd};

use crate::error::{Error, ErrorKind};
use crate::host::{self, Trust, WalkError};
use crate::model::facts::PathFact;
use crate::model::path::AbsPath;
use crate::model::policy::Policy;
use crate::sys;
use crate::sys::durable::Ownership;
use crate::sys::path::{Kind, Links};

use super::change::{File, Found};
use super::pam::Presence;

/// No file that is read here is longer.
const SIZE_MAX: u64 = 1 << 20;

/// The root of a host.
#[derive(Debug)]
pub struct Site {
    root: OwnedFd,
    shown: Option<AbsPath>,
    trust: Trust,
}

impl Site {
    /// Opens the host's root, or the one in the folder `root`.
    pub fn open(root: Option<&AbsPath>) -> Result<Self, Error> {
        let owner = Some(sys::user::own_uid()).filter(|uid| *uid != 0);
        let root = root.filter(|root| !root.is_root());
        let opened = match root {
            None => sys::path::open_root().map_err(|error| failed("open", "/", error))?,
            // Where it lies is the caller's choice; what is in it is not.
            Some(path) => {
                host::walk(path, Trust { owner, sticky: true, ..Trust::ROOT }).map_err(|error| {
                    Error::new(ErrorKind::Request, format!("cannot use {path} as a root")).caused_by(error)
                })?
            }
        };
        let status = sys::path::status(opened.as_fd()).map_err(|error| failed("look at", "/", error))?;
        let trust = Trust { owner, ..Trust::ROOT };
        if status.kind != Kind::Directory || !trust.allows(&status) {
            let message = "the root is no directory where only its owner can write";
            return Err(Error::new(ErrorKind::Request, message));
        }
        Ok(Self { root: opened, shown: root.cloned(), trust })
    }

    /// The folder that is its root, if that is not `/`.
    pub fn folder(&self) -> Option<&AbsPath> {
        self.shown.as_ref()
    }

    /// The map that holds here.
    pub fn load_policy(&self) -> Result<Policy, Error> {
        host::load_policy_below(self.root()?, self.trust)
    }

    /// What is at `path`. No component may be a link, or anybody else's; the last one is looked at as it is.
    pub fn look(&self, path: &str) -> Result<Found, Error> {
        let Some((folder, name)) = self.folder_of(path, false)? else { return Ok(Found::Missing) };
        let place = match sys::path::open(folder.as_fd(), name, Links::Refuse) {
            Ok(place) => place,
            Err(error) if is_missing(&error) => return Ok(Found::Missing),
            Err(error) => return Err(failed("look at", path, error)),
        };
        let status = sys::path::status(place.as_fd()).map_err(|error| failed("look at", path, error))?;
        match status.kind {
            Kind::Symlink => sys::path::link_text(place.as_fd())
                .map(Found::Link)
                .map_err(|error| failed("read", path, error)),
            Kind::File => {
                let file = sys::path::open_file(folder.as_fd(), name)
                    .map_err(|error| failed("open", path, error))?;
                self.content(path, file).map(Found::File)
            }
            _ => Ok(Found::Other),
        }
    }

    /// What is at `path`, whoever made it. Nothing there is opened, and no link is followed.
    pub fn what_is(&self, path: &AbsPath) -> PathFact {
        use rustix::io::Errno;
        let look = |place: OwnedFd| {
            Ok(match sys::path::status(place.as_fd())?.kind {
                Kind::Directory => PathFact::Directory,
                Kind::File => PathFact::File,
                Kind::Socket => PathFact::Socket,
                Kind::Device => PathFact::Device,
                Kind::Fifo => PathFact::Fifo,
                Kind::Symlink => PathFact::Symlink(sys::path::link_text(place.as_fd())?),
                Kind::Other => PathFact::unreachable("not a file"),
            })
        };
        let found = sys::path::open(self.root.as_fd(), path.relative(), Links::Refuse).and_then(look);
        found.unwrap_or_else(|error| match Errno::from_raw_os_error(error.errno()) {
            Errno::NOENT => PathFact::Missing,
            Errno::LOOP => PathFact::ThroughSymlink,
            _ => PathFact::unreachable(error.reason()),
        })
    }

    /// The text of a file that only root can have written, along links within this root; `None` where there is none.
    pub fn read(&self, path: &str) -> Result<Option<String>, Error> {
        let Some(place) = self.place(path)? else { return Ok(None) };
        let status = sys::path::status(place.as_fd()).map_err(|error| failed("look at", path, error))?;
        if status.kind != Kind::File || status.size > SIZE_MAX {
            return Ok(None);
        }
        let file =
            sys::path::reopen_for_reading(place.as_fd()).map_err(|error| failed("open", path, error))?;
        let content = sys::path::read_open(file.as_fd()).map_err(|error| failed("read", path, error))?;
        Ok(Some(String::from_utf8_lossy(&content).into_owned()))
    }

    /// The names in a folder, sorted; none where there is no such folder.
    pub fn list(&self, path: &str) -> Result<Vec<String>, Error> {
        let Some(place) = self.place(path)? else { return Ok(Vec::new()) };
        let mut names = sys::path::list(place.as_fd()).map_err(|error| failed("list", path, error))?;
        names.sort_unstable();
        Ok(names)
    }

    /// Is there a folder at `path`?
    pub fn has_folder(&self, path: &str) -> Result<bool, Error> {
        let Some(place) = self.place(path)? else { return Ok(false) };
        let status = sys::path::status(place.as_fd()).map_err(|error| failed("look at", path, error))?;
        Ok(status.kind == Kind::Directory)
    }

    /// Is there a file at `path` that only root can have put there, and that can be executed if it has to be?
    pub fn presence(&self, path: &str, executable: bool) -> Result<Presence, Error> {
        let place = match host::walk_below(self.root()?, &absolute(path)?, self.trust) {
            Ok(place) => place,
            Err(error) if is_nowhere(&error) => return Ok(Presence::Missing),
            // Where this process may not look, nothing is known to be bad.
            Err(error) if is_denied(&error) => {
                return Err(Error::new(ErrorKind::Host, format!("cannot look at {path}")).caused_by(error));
            }
            Err(error) => return Ok(Presence::Bad(error.to_string())),
        };
        let status = sys::path::status(place.as_fd()).map_err(|error| failed("look at", path, error))?;
        Ok(match status.kind {
            Kind::File if executable && status.mode & 0o111 == 0 => {
                Presence::Bad(format!("{path} is not executable"))
            }
            Kind::File => Presence::Good,
            _ => Presence::Bad(format!("{path} is no regular file")),
        })
    }

    /// The place `path`, if nobody but root could have a hand in it or in the way there; in a folder its owner may, too.
    pub fn walk(&self, path: &AbsPath) -> Result<OwnedFd, WalkError> {
        let root = self.root.try_clone().map_err(|error| sys::Error::new("dup(the root)", error))?;
        host::walk_below(root, path, if self.shown.is_some() { self.trust } else { Trust::ROOT })
    }

    /// Puts `file` at `path`, if `before` is what is there.
    pub fn replace(&self, path: &str, before: Option<&File>, file: &File) -> Result<(), Error> {
        self.must_be(path, before)?;
        let Some((folder, name)) = self.folder_of(path, true)? else { return Err(gone(path)) };
        sys::durable::replace(folder.as_fd(), name, &file.content, file.ownership)
            .map_err(|error| failed("write", path, error))
    }

    /// Removes `path`, if `before` is what is there.
    pub fn remove(&self, path: &str, before: &File) -> Result<(), Error> {
        self.must_be(path, Some(before))?;
        let Some((folder, name)) = self.folder_of(path, false)? else { return Err(gone(path)) };
        sys::durable::remove(folder.as_fd(), name).map_err(|error| failed("remove", path, error))
    }

    /// Removes what a run that was killed has left of a new file.
    pub fn tidy(&self, path: &str) -> Result<(), Error> {
        let Some((folder, name)) = self.folder_of(path, false)? else { return Ok(()) };
        sys::path::remove_if_there(folder.as_fd(), &sys::durable::temporary_name(name))
            .map_err(|error| failed("tidy up beside", path, error))
    }

    /// The folder `path`, made if it is missing, for its owner alone.
    pub fn private_folder(&self, path: &str) -> Result<OwnedFd, Error> {
        let Some((parent, name)) = self.folder_of(path, true)? else { return Err(gone(path)) };
        sys::path::private_directory(parent.as_fd(), name).map_err(|error| failed("use", path, error))
    }

    /// Who owns what is made here.
    pub fn owner(&self) -> (u32, u32) {
        let ids = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        if ids.0 == 0 { (0, 0) } else { ids }
    }

    /// The open file `path`, which only root can have written.
    fn content(&self, path: &str, file: OwnedFd) -> Result<File, Error> {
        let status = sys::path::status(file.as_fd()).map_err(|error| failed("look at", path, error))?;
        if status.kind != Kind::File || status.size > SIZE_MAX {
            return Err(Error::new(
                ErrorKind::Host,
                format!("{path} is no file of at most {SIZE_MAX} bytes"),
            ));
        }
        if !self.trust.allows(&status) {
            let message = format!(
                "{path} belongs to uid {} with mode 0{:o}: others than root could change it",
                status.uid, status.mode
            );
            return Err(
                Error::new(ErrorKind::Host, message).help(format!("chown root {path} && chmod go-w {path}"))
            );
        }
        let ownership =
            sys::durable::ownership(file.as_fd()).map_err(|error| failed("look at", path, error))?;
        let content = sys::path::read_open(file.as_fd()).map_err(|error| failed("read", path, error))?;
        Ok(File { content, ownership })
    }

    fn must_be(&self, path: &str, before: Option<&File>) -> Result<(), Error> {
        match (self.look(path)?, before) {
            (Found::Missing, None) => Ok(()),
            (Found::File(now), Some(before)) if now == *before => Ok(()),
            _ => Err(Error::new(ErrorKind::Host, format!("{path} has changed since it was looked at"))
                .help("run this again")),
        }
    }

    fn root(&self) -> Result<OwnedFd, Error> {
        self.root.try_clone().map_err(|error| {
            Error::new(ErrorKind::Host, "cannot have another descriptor of the root").caused_by(error)
        })
    }

    fn place(&self, path: &str) -> Result<Option<OwnedFd>, Error> {
        match host::walk_below(self.root()?, &absolute(path)?, self.trust) {
            Ok(place) => Ok(Some(place)),
            Err(error) if is_nowhere(&error) => Ok(None),
            Err(error) => Err(Error::new(ErrorKind::Host, format!("cannot trust {path}")).caused_by(error)),
        }
    }

    /// The folder that `path` lies in, and its name there. With `make`, what is missing on the way is made.
    fn folder_of<'a>(&self, path: &'a str, make: bool) -> Result<Option<(OwnedFd, &'a str)>, Error> {
        let path = path.trim_start_matches('/');
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut at = self.root()?;
        let mut here = String::new();
        for component in folders.split('/').filter(|component| !component.is_empty()) {
            here = format!("{here}/{component}");
            let next = match sys::path::open(at.as_fd(), component, Links::Refuse) {
                Err(error) if is_missing(&error) && make => {
                    sys::path::make_directory(at.as_fd(), component, 0o755)
                        .and_then(|()| sys::path::set_mode(at.as_fd(), component, 0o755))
                        .and_then(|()| sys::path::open(at.as_fd(), component, Links::Refuse))
                }
                other => other,
            };
            let next = match next {
                Ok(next) => next,
                Err(error) if is_missing(&error) => return Ok(None),
                Err(error) => return Err(failed("open", &here, error)),
            };
            let status = sys::path::status(next.as_fd()).map_err(|error| failed("look at", &here, error))?;
            if status.kind != Kind::Directory || !self.trust.allows(&status) {
                let why = match status.kind {
                    Kind::Symlink => "is a symbolic link".to_owned(),
                    Kind::Directory => {
                        format!("belongs to uid {} with mode 0{:o}", status.uid, status.mode)
                    }
                    _ => "is no directory".to_owned(),
                };
                return Err(Error::new(ErrorKind::Host, format!("{here} {why}, so /{path} is not touched"))
                    .help("a folder on the way has to be a real one, where only root can write"));
            }
            at = next;
        }
        Ok(Some((at, name)))
    }
}

/// A new file of this process's.
pub(super) fn private_file(content: Vec<u8>, (uid, gid): (u32, u32)) -> File {
    File { content, ownership: Ownership { mode: 0o600, uid, gid } }
}

fn absolute(path: &str) -> Result<AbsPath, Error> {
    AbsPath::new(path).map_err(|error| {
        Error::new(ErrorKind::Request, format!("{path:?} is no usable path")).caused_by(error)
    })
}

fn is_missing(error: &sys::Error) -> bool {
    error.errno() == rustix::io::Errno::NOENT.raw_os_error()
}

/// Nothing there, or below a file.
fn is_nowhere(error: &WalkError) -> bool {
    let not_a_folder = rustix::io::Errno::NOTDIR.raw_os_error();
    error.is_missing() || matches!(error, WalkError::Open { source, .. } if source.errno() == not_a_folder)
}

fn is_denied(error: &WalkError) -> bool {
    let denied = rustix::io::Errno::ACCESS.raw_os_error();
    matches!(error, WalkError::Open { source, .. } if source.errno() == denied)
}

fn gone(path: &str) -> Error {
    Error::new(ErrorKind::Host, format!("the folder of {path} has gone"))
}

fn failed(doing: &str, path: &str, error: sys::Error) -> Error {
    Error::new(ErrorKind::Host, format!("cannot {doing} {path}")).caused_by(error)
}
