//! The map's files: found, trusted, read.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use crate::config::{self, SourceFile};
use crate::error::{Error, ErrorKind};
use crate::model::path::AbsPath;
use crate::model::policy::Policy;
use crate::sys;
use crate::sys::path::{Kind, Links};

use super::walk::{Trust, WalkError, walk, walk_below};

/// What a distribution ships.
const VENDOR: &str = "/usr/lib/session-sandbox/mounts.toml";
/// What the administrator wrote; stands in the vendor's place.
const ADMIN: &str = "/etc/session-sandbox/mounts.toml";
/// What adds to either.
const DROP_INS: &str = "/etc/session-sandbox/mounts.d";

/// The files of this host's map as they lie there; the built-in map where there are none.
pub fn map_files() -> Result<Vec<SourceFile>, Error> {
    layers(&Root::host()?)
}

/// A file that is to become a map, or a part of one.
#[derive(Debug)]
pub struct Candidate {
    /// Its text.
    pub file: SourceFile,
    /// Why no login would read it where it lies and as it is.
    pub untrusted: Option<String>,
}

/// Reads a file that may become a map. It may be anybody's, and no harm is done by reading it; whether a login would
/// is told.
pub fn read_candidate(path: &str) -> Result<Candidate, Error> {
    let root = Root::host()?;
    let whole = absolute(path)?;
    let untrusted = root.walk(&whole).err().map(|error| error.to_string());
    let open = sys::path::open(root.directory.as_fd(), whole.relative(), Links::Follow);
    let place = open.map_err(|error| {
        let missing = error.errno() == Errno::NOENT.raw_os_error();
        let what = if missing { format!("{path} is missing") } else { format!("cannot open {path}") };
        let told = Error::new(ErrorKind::Request, what).help("check the path");
        if missing { told } else { told.caused_by(error) }
    })?;
    Ok(Candidate { file: read_place(place.as_fd(), path)?, untrusted })
}

/// Reads the policy: from `only` where it is given, or else from the layers of the host, or else the built-in map.
pub fn load_policy(only: Option<&str>) -> Result<Policy, Error> {
    let root = Root::host()?;
    match only {
        Some(path) => config::parse(&[read_named(&root, path)?]).map_err(invalid),
        None => load_layers(&root),
    }
}

/// Reads the policy of a host whose root is the directory `root`; `trust` says whose files are believed there.
pub fn load_policy_below(root: OwnedFd, trust: Trust) -> Result<Policy, Error> {
    load_layers(&Root { directory: root, trust })
}

/// Where the layers lie.
struct Root {
    directory: OwnedFd,
    trust: Trust,
}

impl Root {
    fn host() -> Result<Self, Error> {
        let directory = sys::path::open_root()
            .map_err(|error| Error::new(ErrorKind::Host, "cannot open /").caused_by(error))?;
        Ok(Self { directory, trust: trust() })
    }

    fn walk(&self, path: &AbsPath) -> Result<OwnedFd, WalkError> {
        let root = self.directory.try_clone().map_err(|error| {
            let source = sys::Error::new("fcntl(F_DUPFD_CLOEXEC)", error);
            WalkError::Open { path: "/".to_owned(), source }
        })?;
        walk_below(root, path, self.trust)
    }
}

fn load_layers(root: &Root) -> Result<Policy, Error> {
    let files = layers(root)?;
    // Of what is compiled in, two thirds explain.
    let is_built_in = matches!(files.as_slice(), [file] if *file == config::built_in_file());
    if is_built_in { config::built_in() } else { config::parse(&files) }.map_err(invalid)
}

fn layers(root: &Root) -> Result<Vec<SourceFile>, Error> {
    let base = match read_layer(root, ADMIN)? {
        Some(file) => Some(file),
        None => read_layer(root, VENDOR)?,
    };
    let drop_ins = read_drop_ins(root)?;
    Ok([vec![base.unwrap_or_else(config::built_in_file)], drop_ins].concat())
}

pub(super) fn invalid(diagnostics: config::Diagnostics) -> Error {
    let none_tells = diagnostics.iter().all(|diagnostic| diagnostic.help.is_none());
    let error = Error::new(ErrorKind::Config, "the map has errors, nothing was done").caused_by(diagnostics);
    // Where none of them says what to do.
    if none_tells { error.help("correct the lines that are shown") } else { error }
}

/// Root relies on nobody but root. Whoever is not root can only harm itself, and may keep a map of its own.
pub(super) fn trust() -> Trust {
    match sys::user::own_uid() {
        0 => Trust::ROOT,
        uid => Trust { owner: Some(uid), sticky: true, ..Trust::ROOT },
    }
}

fn read_named(root: &Root, path: &str) -> Result<SourceFile, Error> {
    if path.is_empty() {
        return Err(Error::new(ErrorKind::Request, "--config: the path is empty").help("name a file"));
    }
    let absolute = absolute(path)?;
    read(root, &absolute, path)?.ok_or_else(|| {
        Error::new(ErrorKind::Config, format!("map {path} is missing"))
            .help("check the path given to --config")
    })
}

/// `path` from the current directory, where that can be told.
fn absolute(path: &str) -> Result<AbsPath, Error> {
    let whole = if path.starts_with('/') {
        path.to_owned()
    } else {
        let here = std::env::current_dir().map_err(|error| {
            Error::new(
                ErrorKind::Request,
                format!("map {path} is relative, and the current directory cannot be told"),
            )
            .caused_by(error)
            .help("give an absolute path to --config")
        })?;
        format!("{}/{}", here.display(), path.trim_start_matches("./"))
    };
    AbsPath::new(&whole).map_err(|error| {
        Error::new(ErrorKind::Request, format!("map {path:?} is not a usable path"))
            .caused_by(error)
            .help("give an absolute path without `..` to --config")
    })
}

fn read_layer(root: &Root, path: &str) -> Result<Option<SourceFile>, Error> {
    read(root, &absolute(path)?, path)
}

fn read_drop_ins(root: &Root) -> Result<Vec<SourceFile>, Error> {
    let directory = absolute(DROP_INS)?;
    let place = match root.walk(&directory) {
        Ok(place) => place,
        Err(error) if error.is_missing() => return Ok(Vec::new()),
        Err(error) => return Err(untrusted(DROP_INS, error)),
    };
    let unreadable =
        |error: sys::Error| Error::new(ErrorKind::Config, format!("cannot list {DROP_INS}")).caused_by(error);
    let mut names = sys::path::list(place.as_fd()).map_err(unreadable)?;
    names.retain(|name| name.ends_with(".toml") && !name.starts_with('.'));
    // In the C locale's order, like every *.d directory.
    names.sort_unstable();
    if names.len() >= config::LAYERS_MAX {
        let message =
            format!("{DROP_INS} holds {} files, at most {} are read", names.len(), config::LAYERS_MAX - 1);
        return Err(Error::new(ErrorKind::Config, message).help("merge some of them"));
    }
    let mut files = Vec::new();
    for name in names {
        let shown = format!("{DROP_INS}/{name}");
        let path = directory
            .join(&name)
            .map_err(|error| Error::new(ErrorKind::Config, shown.clone()).caused_by(error))?;
        files.extend(read(root, &path, &shown)?);
    }
    Ok(files)
}

/// The text file `path` of this host, `None` when it is not there; trusted as the map is.
pub(super) fn read_trusted(path: &str) -> Result<Option<SourceFile>, Error> {
    read(&Root::host()?, &absolute(path)?, path)
}

/// The file at `path`, `None` when it is not there. Trusted from `/` down to the file, or an error.
fn read(root: &Root, path: &AbsPath, shown: &str) -> Result<Option<SourceFile>, Error> {
    let place = match root.walk(path) {
        Ok(place) => place,
        Err(error) if error.is_missing() => return Ok(None),
        Err(error) => return Err(untrusted(shown, error)),
    };
    read_place(place.as_fd(), shown).map(Some)
}

fn read_place(place: BorrowedFd<'_>, shown: &str) -> Result<SourceFile, Error> {
    let failed =
        |error: sys::Error| Error::new(ErrorKind::Config, format!("cannot read {shown}")).caused_by(error);
    let status = sys::path::status(place).map_err(failed)?;
    if status.kind != Kind::File {
        return Err(
            Error::new(ErrorKind::Config, format!("{shown} is not a regular file")).help("name a file")
        );
    }
    if status.size > config::SIZE_MAX {
        let message = format!("{shown} has {} bytes; at most {} are read", status.size, config::SIZE_MAX);
        return Err(
            Error::new(ErrorKind::Config, message).help("split it into drop-ins, or check that it is a map")
        );
    }
    let file = sys::path::reopen_for_reading(place).map_err(failed)?;
    let bytes = read_at_most(file, config::SIZE_MAX)
        .map_err(|error| Error::new(ErrorKind::Config, format!("cannot read {shown}")).caused_by(error))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(SourceFile { name: shown.to_owned(), text }),
        Err(error) => {
            let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count();
            let message = format!("{shown} is not UTF-8 text, from line {line} on");
            Err(Error::new(ErrorKind::Config, message).help("save it as UTF-8"))
        }
    }
}

fn untrusted(shown: &str, error: WalkError) -> Error {
    let help = match &error {
        // The sticky bit is for places that everybody shares: there the map is at fault, not the place.
        WalkError::Untrusted { path, mode, .. } if mode & 0o1000 == 0 && shown.starts_with(path.as_str()) => {
            format!("chown root {path} && chmod go-w {path}, or keep it in a folder where only root writes")
        }
        WalkError::Untrusted { .. } => "keep it in a folder where only root writes".to_owned(),
        _ => "check the path and its permissions".to_owned(),
    };
    let what = match &error {
        WalkError::Untrusted { .. } => format!("{shown} is not trusted"),
        _ => format!("cannot open {shown}"),
    };
    Error::new(ErrorKind::Config, what).caused_by(error).help(help)
}

fn read_at_most(file: OwnedFd, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::from(file).take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(std::io::Error::other("it grew while it was read"));
    }
    Ok(bytes)
}

/// A small text file of the host that only root can have written; `None` when it is not there, or not such a file.
pub fn read_text(path: &AbsPath) -> Option<String> {
    let place = walk(path, Trust::ROOT).ok()?;
    let file = sys::path::reopen_for_reading(place.as_fd()).ok()?;
    String::from_utf8(read_at_most(file, config::SIZE_MAX).ok()?).ok()
}
