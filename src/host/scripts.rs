//! Session scripts on the disk: the configuration, the folders, the gate in a home, and whether a script may be run.

use std::os::fd::AsFd;

use crate::config;
use crate::error::{Error, ErrorKind};
use crate::model::facts::Look;
use crate::model::path::AbsPath;
use crate::model::scripts::Policy;
use crate::model::subject::Subject;
use crate::model::template::Template;
use crate::sys;
use crate::sys::path::{Kind, Links};

use super::layers::read_trusted;
use super::patience;
use super::source::Sources;
use super::walk::{Trust, WalkError, walk};

/// The configuration.
const CONFIG: &str = "/etc/session.d/session-scripts.conf";

/// Reads the configuration of session scripts: `only`, or the host's, or what holds without one.
pub fn load_script_policy(only: Option<&str>) -> Result<Policy, Error> {
    let file = match only {
        Some(path) => {
            let missing = || {
                Error::new(ErrorKind::Config, format!("the configuration {path} is missing"))
                    .help("check the path given to --config")
            };
            Some(read_trusted(path)?.ok_or_else(missing)?)
        }
        None => read_trusted(CONFIG)?,
    };
    config::parse_scripts(file.as_ref()).map_err(|diagnostics| {
        Error::new(ErrorKind::Config, "session-scripts.conf has errors, no script was run")
            .caused_by(diagnostics)
    })
}

/// The names in a folder that root alone can have filled; `None` when there is no such folder.
pub fn list_scripts(folder: &AbsPath) -> Result<Option<Vec<String>>, WalkError> {
    let place = match walk(folder, Trust::ROOT) {
        Ok(place) => place,
        Err(error) if error.is_missing() => return Ok(None),
        Err(error) => return Err(error),
    };
    let failed = |source| WalkError::Open { path: folder.to_string(), source };
    if sys::path::status(place.as_fd()).map_err(failed)?.kind != Kind::Directory {
        let source = sys::Error::new("not a folder", rustix::io::Errno::NOTDIR);
        return Err(WalkError::Open { path: folder.to_string(), source });
    }
    sys::path::list_shown(place.as_fd()).map(Some).map_err(failed)
}

/// Is there anything in one of these folders of `directory`, hidden files apart? Something that is not in order counts: it
/// is said when its turn comes. Asked at each login, and most often for nothing: the way there is gone once.
pub fn any_script(directory: &AbsPath, folders: &[&str]) -> bool {
    let place = match walk(directory, Trust::ROOT) {
        Ok(place) => place,
        Err(error) => return !error.is_missing(),
    };
    let has_any = |name: &str| -> sys::Result<bool> {
        let folder = match sys::path::open_directory(place.as_fd(), name) {
            Err(error) if error.errno() == rustix::io::Errno::NOENT.raw_os_error() => return Ok(false),
            other => other?,
        };
        Ok(sys::path::list_shown(folder.as_fd())?.iter().any(|name| !name.starts_with('.')))
    };
    folders.iter().any(|name| has_any(name).unwrap_or(true))
}

/// Why a script is not run.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// Its path.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// What is at its path.
    #[error("{0}")]
    Is(String),
}

/// May root run what is at `path`? It must be a regular file that somebody may execute, which nobody but root can have
/// put there, or changed, at any step of the way, along links too.
pub fn check_script(path: &AbsPath) -> Result<(), Unfit> {
    let place = walk(path, Trust::ROOT)?;
    let status = look(path, &place)?;
    if status.kind != Kind::File {
        return Err(Unfit::Is(format!("{path} is not a regular file")));
    }
    if status.mode & 0o111 == 0 {
        return Err(Unfit::Is(format!("{path} is not executable: chmod +x {path}")));
    }
    Ok(())
}

/// The same by the rules of pam_script, for its folder and for a script in it: owner and group are root, everybody may
/// execute, and not everybody may write. Of what leads there, nobody but root may be able to change anything.
pub fn check_pam_script(path: &AbsPath, kind: Kind) -> Result<(), Unfit> {
    let place = walk(path, Trust { last: false, root_group: true, ..Trust::ROOT })?;
    let status = look(path, &place)?;
    let sys::path::Status { uid, gid, mode, .. } = status;
    if status.kind != kind {
        let wanted = if kind == Kind::Directory { "a folder" } else { "a regular file" };
        return Err(Unfit::Is(format!("{path} is not {wanted}")));
    }
    if mode & 0o111 != 0o111 {
        return Err(Unfit::Is(format!("{path} has mode 0{mode:o}: everybody must be able to execute it")));
    }
    if mode & 0o002 != 0 {
        return Err(Unfit::Is(format!("{path} has mode 0{mode:o}: everybody could change it")));
    }
    if (uid, gid) != (0, 0) {
        return Err(Unfit::Is(format!(
            "{path} belongs to uid {uid} and gid {gid}, and must belong to root:root"
        )));
    }
    Ok(())
}

fn look(path: &AbsPath, place: &std::os::fd::OwnedFd) -> Result<sys::path::Status, WalkError> {
    sys::path::status(place.as_fd()).map_err(open_failed(path))
}

fn open_failed(path: &AbsPath) -> impl FnOnce(sys::Error) -> WalkError {
    let path = path.to_string();
    move |source| WalkError::Open { path, source }
}

/// Is the gate open for this user: is there a directory, and no link that the user has put in its place? What is below
/// the home is looked at with the user's rights, as a server that does not trust root wants it.
pub fn gate_is_open(gate: &Template, subject: &Subject) -> Result<bool, Error> {
    let Ok(path) = gate.expand_path(subject) else { return Ok(false) };
    let below_home = path.rebase(&subject.home, &AbsPath::root());
    let (base, rest, look) = match below_home.filter(|_| gate.starts_at_home()) {
        Some(rest) => (&subject.home, rest, Look::UserFollowing),
        None => (&path, AbsPath::root(), Look::RootFollowing),
    };
    let sources = Sources::of(subject, sys::user::own_uid() == 0);
    let answer = |place: std::os::fd::OwnedFd| {
        let found = match rest.is_root() {
            true => Ok(place),
            false => sources.with_rights_of_user(|| {
                sys::path::open_mounted(place.as_fd(), rest.relative(), Links::Refuse)
            }),
        };
        found.and_then(|found| sys::path::status(found.as_fd())).is_ok_and(|s| s.kind == Kind::Directory)
    };
    match sources.open_at_once(base, look) {
        Ok(Some(place)) if patience::answers_by_itself(place.as_fd()).is_ok_and(|local| local) => {
            Ok(answer(place))
        }
        Err(_) => Ok(false),
        // A server, an automounter: somebody goes ahead, who can be given up.
        Ok(_) => {
            let not_back = patience::scout(1, |_, scout| {
                if let Ok(place) = sources.open_first(base, look, scout) {
                    answer(place);
                }
                Ok(())
            });
            let failed =
                |error| Error::new(ErrorKind::Host, format!("cannot look at {path}")).caused_by(error);
            match not_back.map_err(failed)? {
                Some(_) => Err(patience::no_answer(&path, None)),
                None => Ok(sources.open(base, look).is_ok_and(answer)),
            }
        }
    }
}
