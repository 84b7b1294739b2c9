//! The user's program: the last thing this process does.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use rustix::io::Errno;

use crate::error::{Error, ErrorKind};
use crate::plan::step::{Exec, TreeStep};
use crate::sys;

use super::unstarted;

/// What the caller's process had, and the program gets back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inherited {
    /// How many descriptors may be open (the soft limit).
    pub(super) open_files: u64,
}

/// Becomes the user's program; `tree` is what is inside, as far as that is known. Comes back only with what prevented it.
pub(super) fn become_program(
    exec: &Exec,
    tree: &[TreeStep],
    inherited: Inherited,
) -> Result<Infallible, Error> {
    let failed =
        |error: sys::Error| Error::new(ErrorKind::Enter, "cannot start the program").caused_by(error);
    // A home directory that is not mapped, or that the user may not enter, is no reason to keep a user out. That its
    // server answers was seen when the session began; one that has died since holds this process, and init or the
    // caller with it, until somebody kills it.
    if sys::path::change_directory(exec.directory.as_str()).is_err() {
        sys::path::change_directory("/").map_err(failed)?;
    }
    sys::fd::close_on_exec_from(3).map_err(failed)?;
    sys::fd::set_limit(inherited.open_files).map_err(failed)?;
    sys::signal::restore_defaults();
    sys::signal::unblock_all().map_err(failed)?;
    Err(start(exec, tree))
}

/// `execvp`, inside, as the user: the kernel decides on every candidate whether this user may execute it.
fn start(exec: &Exec, tree: &[TreeStep]) -> Error {
    let run = |file: &OsStr| match sys::process::execute(file, &exec.arguments, &exec.environment) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    let name = exec.program.as_os_str();
    if name.as_bytes().contains(&b'/') {
        return unstarted::explain(name, is_login_shell(exec), tree, run(name));
    }
    let mut refused = None;
    for directory in exec.search.iter().filter(|_| !name.is_empty()) {
        let mut file = OsString::from(directory);
        file.push("/");
        file.push(name);
        let error = run(&file);
        match Errno::from_raw_os_error(error.errno()) {
            // It may be there, and what it needs is not.
            Errno::NOENT if refused.is_none() && sys::peek::place(&file).is_ok() => {
                refused = Some((file, error));
            }
            Errno::NOENT | Errno::NOTDIR => {}
            // Perhaps a later directory holds one that may be executed.
            Errno::ACCESS => refused = Some((file, error)),
            _ => return unstarted::explain(&file, false, tree, error),
        }
    }
    match refused {
        Some((file, error)) => unstarted::explain(&file, false, tree, error),
        None => Error::new(
            ErrorKind::NotFound,
            format!("command {name:?} was not found inside, in PATH {}", exec.search.join(":")),
        )
        .help("the program must lie in a directory that the map shows; `--dry-run` prints what is inside"),
    }
}

fn is_login_shell(exec: &Exec) -> bool {
    exec.environment.iter().any(|(name, value)| name == "SHELL" && *value == exec.program)
}
