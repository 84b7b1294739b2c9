//! `sessionctl scripts --test`: does all this work on this host, and what would run for a user? The machinery is the real
//! one, on scripts of its own; the user's own are looked at and not run.

use std::fmt::Write;
use std::os::fd::{AsFd, OwnedFd};

use super::begin::{Stage, of_folder};
use super::filter;
use super::journals::Journals;
use super::session::Source;
use super::status::{self, Status};
use super::told::{Leads, Told};
use crate::error::{Error, ErrorKind};
use crate::host;
use crate::model::path::AbsPath;
use crate::model::scripts::{Folder, Place, Policy, RunAs, Weight};
use crate::model::subject::Subject;
use crate::registry::Registry;
use crate::sys;

/// Where the scripts of a rehearsal are, while it lasts: where programs can be executed, which is not so under `/run`.
const BELOW: &str = "/var/lib";
const NAME: &str = "session-sandbox-rehearsal";
const PLACE: &str = "/var/lib/session-sandbox-rehearsal";
/// What they do: the first tells the second something.
const SCRIPTS: [(&str, &str, &str); 4] = [
    ("added", "10W-sets", "echo REHEARSAL=works >> \"$SESSION_ENV\"\necho \"$SESSION_USER begins\""),
    ("added", "20W-sees", "echo \"REHEARSAL=$REHEARSAL\"\n[ \"$REHEARSAL\" = works ]"),
    ("added", "50-later", "echo \"in the background: $REHEARSAL\"\n[ \"$REHEARSAL\" = works ]"),
    ("removed", "10W-ends", "echo \"$SESSION_USER ends: $REHEARSAL\"\n[ \"$REHEARSAL\" = works ]"),
];

/// What would run for `subject`, by what is in the folders now.
pub fn outlook(policy: &Policy, subject: &Subject) -> Result<String, Error> {
    let mut text = String::new();
    if let Some(gate) = &policy.gate {
        let state = if host::gate_is_open(gate, subject)? {
            "is there"
        } else {
            "is NOT there, so that nothing below runs"
        };
        let path = gate.expand_path(subject).map_or_else(|error| error.to_string(), |path| path.to_string());
        let _ = writeln!(text, "gate: {path} {state}");
    }
    for folder in Folder::ALL {
        let schedule = of_folder(policy, folder)?;
        for task in &schedule.tasks {
            let settings = &task.settings;
            let mut words =
                vec![format!("{:?}", task.kind).to_lowercase(), format!("{} s", settings.timeout)];
            words.push(
                if settings.place == Place::Session { "in the session's view" } else { "on the host" }
                    .to_owned(),
            );
            words.extend((settings.user == RunAs::User).then(|| "as the user".to_owned()));
            words.extend((settings.result == Weight::Required).then(|| "required".to_owned()));
            let fit = match host::check_script(&task.path) {
                Ok(()) => String::new(),
                Err(unfit) => format!("  NOT run: {unfit}"),
            };
            let _ = writeln!(text, "{}  {}{fit}", task.name, words.join(", "));
        }
        for skipped in &schedule.skipped {
            let _ = writeln!(text, "{}  NOT run: {}", skipped.name, skipped.why);
        }
    }
    for world in &policy.worlds {
        let _ = writeln!(text, "compat: {world:?}");
    }
    Ok(text)
}

/// Runs a session of `subject` with scripts of its own, from its beginning to its end.
pub fn rehearse(registry: &Registry, policy: &Policy, subject: &Subject) -> Result<Status, Error> {
    let failed = |error: sys::Error| {
        Error::new(ErrorKind::Host, format!("cannot make scripts in {PLACE}")).caused_by(error)
    };
    let folder = Rehearsal::make().map_err(failed)?;
    let directory =
        AbsPath::new(PLACE).map_err(|error| Error::new(ErrorKind::Host, PLACE).caused_by(error))?;
    let policy = Policy { directory, gate: None, worlds: Vec::new(), rules: Vec::new(), ..policy.clone() };
    let stage = Stage { registry, policy: &policy, config: None };
    let told =
        Told { source: Source::Hand, id: None, who: None, leads: Leads::Nobody, facts: Default::default() };
    let session = filter::session(&policy, subject, told, None, Vec::new())?;
    let session = session.ok_or_else(|| Error::new(ErrorKind::Host, "nothing would run"))?;
    let name = match stage.added(session)? {
        super::arrive::Arrived::Begun(begun) => begun.session.name,
        super::arrive::Arrived::Already(name) => name,
    };
    stage.end(&name, true)?;
    drop(folder);
    let lines = Journals::open(registry)?.lines(&name)?.unwrap_or_default();
    status::status(&lines).ok_or_else(|| Error::new(ErrorKind::Host, format!("{name} left no record")))
}

/// The folder of the scripts, gone with the value.
struct Rehearsal {
    below: OwnedFd,
}

impl Rehearsal {
    fn make() -> sys::Result<Self> {
        let made = Self { below: sys::path::open_place(BELOW)? };
        // One that was left behind by a kill.
        made.remove();
        let folder = sys::path::private_directory(made.below.as_fd(), NAME)?;
        for (below, name, text) in SCRIPTS {
            let below = sys::path::private_directory(folder.as_fd(), below)?;
            sys::path::make_file(below.as_fd(), name, 0o700, format!("#!/bin/sh\n{text}\n").as_bytes())?;
        }
        Ok(made)
    }

    fn remove(&self) {
        let Ok(folder) = sys::path::open_directory(self.below.as_fd(), NAME) else { return };
        for (below, name, _) in SCRIPTS {
            let _ = sys::path::remove_if_there(folder.as_fd(), &format!("{below}/{name}"));
            let _ = sys::path::remove_directory(folder.as_fd(), below);
        }
        let _ = sys::path::remove_directory(self.below.as_fd(), NAME);
    }
}

impl Drop for Rehearsal {
    fn drop(&mut self) {
        self.remove();
    }
}
