//! Making the changes. What to do has been decided; what is checked again here is that the host is still as it was.

use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::change::{Change, Found};
use super::pam_stack::asks_module;
use super::record::Record;
use super::{RECORDS, Setup, Site, read_record, site};
use crate::error::{Error, ErrorKind};
use crate::sys;

/// Held while changes are made.
const LOCK: &str = "lock";
/// How long anybody waits for it.
const LOCK_LIMIT: Duration = Duration::from_secs(5);

pub(super) fn carry_out(setup: &Setup) -> Result<(), Error> {
    let site = &setup.site;
    let folder = site.private_folder(RECORDS)?;
    let _lock = sys::lock::lock_file(folder.as_fd(), LOCK, LOCK_LIMIT).map_err(|error| {
        Error::new(ErrorKind::Host, "another `sessionctl setup` is at work").caused_by(error)
    })?;
    if read_record(site, setup.method)? != setup.earlier {
        return Err(Error::new(ErrorKind::Host, "another `sessionctl setup` has just been at work")
            .help("run this again"));
    }
    let path = setup.record_path();
    for path in setup.earlier.iter().flat_map(|record| &record.entries).filter_map(|entry| entry.path()) {
        site.tidy(path)?;
    }
    // First what can be taken back, then what is done; once it is taken back, the other way round.
    if let Some(record) = &setup.record {
        write_record(site, &path, record)?;
    }
    setup.changes.iter().try_for_each(|change| make(site, change))?;
    if setup.record.is_none()
        && let Found::File(before) = site.look(&path)?
    {
        site.remove(&path, &before)?;
    }
    Ok(())
}

fn write_record(site: &Site, path: &str, record: &Record) -> Result<(), Error> {
    let mut content = serde_json::to_vec_pretty(record)
        .map_err(|error| Error::new(ErrorKind::Host, "cannot write down what is changed").caused_by(error))?;
    content.push(b'\n');
    let before = site.look(path)?;
    let file = site::private_file(content, site.owner());
    if before.file() == Some(&file) { Ok(()) } else { site.replace(path, before.file(), &file) }
}

fn make(site: &Site, change: &Change) -> Result<(), Error> {
    match change {
        Change::Write { path, before, after } => site.replace(path, before.as_ref(), after),
        Change::Remove { path, before } => site.remove(path, before),
        Change::Run { command, result } => run(site, command, result),
    }
}

fn run(site: &Site, command: &[String], result: &[(String, bool)]) -> Result<(), Error> {
    let shown = command.join(" ");
    let Some((program, arguments)) = command.split_first() else { return Ok(()) };
    let output = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Error::new(ErrorKind::Host, format!("cannot run `{shown}`")).caused_by(error))?;
    let mut said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if said.is_empty() {
        said = output.status.to_string();
    }
    if !output.status.success() {
        return Err(Error::new(ErrorKind::Host, format!("`{shown}` failed: {said}")));
    }
    // It ends with 0 also where it leaves files alone, because somebody has changed them.
    for (path, must) in result {
        let asks = match site.look(path)? {
            Found::File(file) => asks_module(&String::from_utf8_lossy(&file.content)),
            _ => false,
        };
        if asks != *must {
            return Err(Error::new(ErrorKind::Host, format!("`{shown}` has not changed {path}: {said}"))
                .help("it leaves files alone that were changed by hand: `pam-auth-update --force` writes them anew, or change the line by hand"));
        }
    }
    Ok(())
}
