//! A view that is opened for nobody, to be looked at from inside with the user's rights.

use std::io::Read;
use std::os::fd::AsFd;
use std::time::Duration;

use super::{Ground, Kernel, run_steps};
use crate::error::{Error, ErrorKind, Relayed};
use crate::plan::Plan;
use crate::sys;
use crate::sys::process::Fork;

/// How long a look may take. A file system that does not answer is not waited for any longer.
const LIMIT: Duration = Duration::from_secs(20);
/// What stands before a look that was had.
const SEEN: u8 = b'+';

/// Opens the view of `plan` for a process that becomes its user, and gives what `look` says there. Nobody joins it, and it is
/// gone with the process.
pub fn look_around(plan: &Plan, ground: &Ground, look: impl FnOnce() -> Vec<u8>) -> Result<Vec<u8>, Error> {
    let failed =
        |error: sys::Error| Error::new(ErrorKind::Enter, "cannot look around in a view").caused_by(error);
    super::session::make_room_for_descriptors(plan)?;
    let (hear, tell) = sys::fd::pipe().map_err(failed)?;
    match sys::process::fork(super::new_namespaces(&plan.namespace)).map_err(failed)? {
        Fork::Child => {
            drop(hear);
            let opened = sys::process::die_with_parent()
                .and_then(|()| sys::process::new_session())
                .and_then(|()| if plan.namespace.apart.net { sys::net::raise_loopback() } else { Ok(()) })
                .map_err(failed)
                .and_then(|()| run_steps(plan, &mut Kernel::new(plan, ground)).map_err(Error::from));
            let said = match opened {
                Ok(()) => [&[SEEN][..], &look()].concat(),
                Err(error) => serde_json::to_vec(&Relayed::from(&error)).unwrap_or_default(),
            };
            // With nobody listening there is nobody to tell.
            let _ = sys::path::write_all(tell.as_fd(), &said);
            sys::process::exit_now(0)
        }
        Fork::Parent(child) => {
            drop(tell);
            let number = child.as_raw_nonzero().get();
            // Not waited for yet, so the number is its own.
            let process = sys::pidfd::open(number).map_err(failed)?;
            let mut said = Vec::new();
            let in_time = sys::fd::readable_within(hear.as_fd(), LIMIT).map_err(failed)?;
            if in_time {
                std::fs::File::from(hear)
                    .read_to_end(&mut said)
                    .map_err(|error| failed(sys::Error::new("read(pipe)", error)))?;
            } else if let Some(process) = process {
                sys::pidfd::kill(process.as_fd()).map_err(failed)?;
            }
            sys::signal::wait_for_end(child).map_err(failed)?;
            match said.split_first() {
                Some((&SEEN, seen)) => Ok(seen.to_vec()),
                Some(_) => match serde_json::from_slice::<Relayed>(&said) {
                    Ok(relayed) => Err(relayed.into()),
                    Err(error) => {
                        Err(Error::new(ErrorKind::Enter, "a look into a view was cut short").caused_by(error))
                    }
                },
                None => Err(Error::new(
                    ErrorKind::Enter,
                    format!("a look into a view did not end within {} s, or was ended", LIMIT.as_secs()),
                )
                .help("a source of the map lies on a file system that does not answer; or try again")),
            }
        }
    }
}
