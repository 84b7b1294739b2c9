//! `--prepare` and `--release`: the tree at a path of the host, for a program that is to `chroot` into it later.
//!
//! The tree is put together in a mount namespace of its own, by a child, and handed over as one detached tree: so it
//! appears on the host complete, by a single `move_mount`, and goes away by a single unmount. What a crash can leave
//! is therefore one mount or none, and the journal, written before either, says where to look.

use std::os::fd::{AsFd, BorrowedFd};

use crate::error::{Error, ErrorKind, Relayed};
use crate::host::{Trust, WalkError, walk};
use crate::model::path::AbsPath;
use crate::plan::Plan;
use crate::plan::step::RootSwitch;
use crate::sys;
use crate::sys::mount::Detached;
use crate::sys::path::Kind;

use super::session::make_room_for_descriptors;
use super::{Ground, Kernel, run_steps};
use crate::registry::{Journal, PreparedRecord as Record, PreparedTree as Tree, Registry};

/// What `--prepare` or `--release` came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The path.
    pub at: AbsPath,
    /// How many sessions hold the tree now; it is gone at 0.
    pub holders: u32,
}

/// Puts the tree of `plan` at its path, unless it is there already, and counts one more holder.
pub fn prepare(plan: &Plan) -> Result<Placed, Error> {
    let RootSwitch::Place { at } = &plan.root else {
        return Err(Error::new(ErrorKind::Request, "this plan enters a session, it prepares nothing"));
    };
    let journal = Registry::open()?.prepared(plan.subject.uid)?;
    let mut record = settled(&journal, at)?;
    if let Some(tree) = record.tree(at) {
        tree.holders = tree.holders.saturating_add(1);
        let holders = tree.holders;
        journal.write(&record).map_err(crate::registry::failed)?;
        return Ok(Placed { at: at.clone(), holders });
    }
    refuse_what_is_not_free(at)?;
    make_room_for_descriptors(plan)?;
    let tree = build_apart(plan)?;

    let missing = missing_directories(at)?;
    let made = missing.iter().map(ToString::to_string).collect();
    let (_, mount) = sys::path::mount_of(tree.as_fd()).map_err(crate::registry::failed)?;
    record.trees.push(Tree { at: at.to_string(), made, mount, in_use: false, holders: 1 });
    journal.write(&record).map_err(crate::registry::failed)?;
    if let Err(error) = attach(&tree, at, &missing) {
        settled(&journal, at)?;
        return Err(error);
    }
    if let Some(tree) = record.tree(at) {
        tree.in_use = true;
    }
    journal.write(&record).map_err(crate::registry::failed)?;
    Ok(Placed { at: at.clone(), holders: 1 })
}

/// Counts one holder less of the tree at `at`, or of the only one that is prepared for this user, and takes it away
/// with the last one.
///
/// Asks the journal and nobody else: what has become of the map and its sources since must not keep a tree on the host.
pub fn release(uid: u32, at: Option<&AbsPath>) -> Result<Placed, Error> {
    if sys::user::own_uid() != 0 {
        return Err(Error::new(ErrorKind::Request, "--release changes the host and needs root")
            .help("run it as root"));
    }
    let nothing = |whereabouts: &str| {
        Error::new(ErrorKind::Request, format!("nothing is prepared {whereabouts}"))
            .help("a --release belongs to one earlier --prepare of the same user and path")
    };
    let journal = Registry::open()?.prepared(uid)?;
    let at = &match at {
        Some(at) => at.clone(),
        None => {
            let trees = journal.read().map_err(crate::registry::failed)?.trees;
            let only = trees.first().ok_or_else(|| nothing("for this user"))?;
            if trees.len() > 1 {
                let paths: Vec<_> = trees.iter().map(|tree| tree.at.as_str()).collect();
                let message = format!("several trees are prepared for this user: {}", paths.join(", "));
                return Err(Error::new(ErrorKind::Request, message).help("name one with --root"));
            }
            AbsPath::new(&only.at).map_err(|error| nothing("at a usable path").caused_by(error))?
        }
    };
    let mut record = settled(&journal, at)?;
    let Some(tree) = record.tree(at) else {
        return Err(nothing(&format!("at {at}")));
    };
    tree.holders = tree.holders.saturating_sub(1);
    let holders = tree.holders;
    if holders == 0 {
        // From here on a crash means: whoever comes next finishes it.
        tree.in_use = false;
        journal.write(&record).map_err(crate::registry::failed)?;
        settled(&journal, at)?;
    } else {
        journal.write(&record).map_err(crate::registry::failed)?;
    }
    Ok(Placed { at: at.clone(), holders })
}

/// The record, after whatever a killed process left half done at `at` has been undone.
fn settled(journal: &Journal, at: &AbsPath) -> Result<Record, Error> {
    let mut record = journal.read().map_err(crate::registry::failed)?;
    let Some(tree) = record.tree(at).cloned() else { return Ok(record) };
    let place = match walk(at, Trust { last: false, ..Trust::ROOT }) {
        Ok(place) => Some(place),
        Err(error) if error.is_missing() => None,
        Err(error) => return Err(untrusted(at, error)),
    };
    let (is_mounted, mount) = match &place {
        Some(place) => sys::path::mount_of(place.as_fd()).map_err(crate::registry::failed)?,
        None => (false, 0),
    };
    let is_ours = is_mounted && mount == tree.mount;
    if is_ours && tree.in_use {
        return Ok(record);
    }
    if let (true, Some(place)) = (is_ours, place) {
        sys::mount::detach(place.as_fd())
            .map_err(|error| Error::new(ErrorKind::Build, format!("cannot unmount {at}")).caused_by(error))?;
    }
    // Whatever else is mounted there is somebody else's: ours is gone.
    remove_directories(&tree.made);
    record.forget(at);
    journal.write(&record).map_err(crate::registry::failed)?;
    Ok(record)
}

/// Has a child put the tree together in a mount namespace of its own, and takes it over.
fn build_apart(plan: &Plan) -> Result<Detached, Error> {
    let failed = |error: sys::Error| Error::new(ErrorKind::Build, "cannot build the tree").caused_by(error);
    let (bytes, tree) = sys::process::from_child(|to| {
        if let Err(error) = build_and_send(plan, to)
            && let Ok(line) = serde_json::to_vec(&Relayed::from(&error))
        {
            // With nobody listening there is nobody to tell.
            let _ = sys::path::write_all(to, &line);
        }
    })
    .map_err(failed)?;
    match (tree, serde_json::from_slice::<Relayed>(&bytes)) {
        (Some(tree), _) => Ok(tree.into()),
        (None, Ok(relayed)) => Err(relayed.into()),
        (None, Err(_)) => Err(Error::new(ErrorKind::Build, "the process that built the tree was killed")),
    }
}

fn build_and_send(plan: &Plan, to: BorrowedFd<'_>) -> Result<(), Error> {
    let failed =
        |error: sys::Error| Error::new(ErrorKind::Build, "cannot hand the tree over").caused_by(error);
    let mut kernel = Kernel::new(plan, &Ground::default());
    run_steps(plan, &mut kernel)?;
    let tree = kernel.clone_whole().map_err(failed)?;
    sys::fd::send_with(to, b"\n", tree.as_fd()).map_err(failed)
}

/// The directories on the way to `at` that are not there, outermost first. Those that are there must be root's.
fn missing_directories(at: &AbsPath) -> Result<Vec<AbsPath>, Error> {
    let mut missing = Vec::new();
    let mut next = Some(at.clone());
    while let Some(path) = next {
        match walk(&path, Trust::ROOT) {
            Ok(_) => break,
            Err(error) if error.is_missing() => {
                next = path.parent();
                missing.push(path);
            }
            Err(error) => return Err(untrusted(at, error)),
        }
    }
    missing.reverse();
    Ok(missing)
}

/// A tree goes where nothing is mounted yet.
fn refuse_what_is_not_free(at: &AbsPath) -> Result<(), Error> {
    let taken = |what: &str| {
        Error::new(ErrorKind::Build, format!("cannot put a tree at {at}: {what}"))
            .help("set another `root`, or unmount what is there")
    };
    if at.is_root() {
        return Err(taken("that is the host's own root"));
    }
    let place = match walk(at, Trust::ROOT) {
        Ok(place) => place,
        Err(error) if error.is_missing() => return Ok(()),
        Err(error) => return Err(untrusted(at, error)),
    };
    if sys::path::mount_of(place.as_fd()).map_err(crate::registry::failed)?.0 {
        return Err(taken("something is mounted there already"));
    }
    match sys::path::status(place.as_fd()).map_err(crate::registry::failed)?.kind {
        Kind::Directory => Ok(()),
        _ => Err(taken("it is not a directory")),
    }
}

/// Makes the missing directories and attaches the tree.
fn attach(tree: &Detached, at: &AbsPath, missing: &[AbsPath]) -> Result<(), Error> {
    let failed = |error: sys::Error| {
        Error::new(ErrorKind::Build, format!("cannot put the tree at {at}")).caused_by(error)
    };
    let umask = sys::process::set_umask(0o022);
    for path in missing {
        let parent = walk(&path.parent().unwrap_or_else(AbsPath::root), Trust::ROOT)
            .map_err(|error| untrusted(at, error))?;
        sys::path::make_directory(parent.as_fd(), path.file_name().unwrap_or("."), 0o755).map_err(failed)?;
    }
    sys::process::set_umask(umask);
    refuse_what_is_not_free(at)?;
    let place = walk(at, Trust::ROOT).map_err(|error| untrusted(at, error))?;
    sys::mount::attach(tree.as_fd(), place.as_fd()).map_err(failed)
}

/// Removes, innermost first, directories that were made for a tree. One that is used by now stays.
fn remove_directories(made: &[String]) {
    for path in made.iter().rev().filter_map(|path| AbsPath::new(path).ok()) {
        if let (Some(parent), Some(name)) = (path.parent(), path.file_name())
            && let Ok(parent) = walk(&parent, Trust::ROOT)
        {
            let _ = sys::path::remove_directory(parent.as_fd(), name);
        }
    }
}

fn untrusted(at: &AbsPath, error: WalkError) -> Error {
    Error::new(ErrorKind::Build, format!("cannot put a tree at {at}"))
        .caused_by(error)
        .help("every directory on the way must belong to root and be writable by nobody else")
}
