//! `sessionctl setup`: having logins opened into views, and taking that back.
//!
//! ```text
//! this host -- site --> Facts --> pam, consolekit, undo --> Vec<Change> -- preview --> a person
//! the record ---------> Record /        pure, no I/O              `------- execute --> this host
//! ```
//!
//! Every change is known in full before the first is made. A file is replaced whole, or not at all, and only if it is
//! still what it was when the change was made up. The record of what is changed is written first: whoever is killed
//! in between leaves files that are old or new, and a record by which either is taken back.
#![forbid(unsafe_code)]

pub mod change;
pub mod consolekit;
mod execute;
pub mod pam;
pub mod pam_stack;
pub mod record;
mod site;
pub mod undo;

use std::collections::BTreeMap;

pub use site::Site;

use crate::error::{Error, ErrorKind};
use crate::model::path::AbsPath;
use crate::model::setup::Method;

use change::{Change, Found};
use record::Record;

/// The module's helper.
pub const HELPER: &str = "/usr/libexec/session-sandbox/session-door";
/// The program that ConsoleKit's script calls.
const ENTER: &str = "/usr/bin/session-enter";
/// Where records are kept.
const RECORDS: &str = "/var/lib/session-sandbox/setup";
/// Modules that every Linux-PAM has: a folder with one of them is where libpam looks.
const ANY_MODULE: [&str; 2] = ["pam_permit.so", "pam_unix.so"];

/// What is going to be done.
#[derive(Debug)]
pub struct Setup {
    site: Site,
    method: Method,
    is_undo: bool,
    changes: Vec<Change>,
    /// What is on record now.
    earlier: Option<Record>,
    /// What is to be on record while the changes are made, and after them; nothing once all is taken back.
    record: Option<Record>,
}

impl Setup {
    /// Looks at the host, and finds out what has to be changed to have logins opened into views by `method`.
    pub fn plan(method: Method, root: Option<&AbsPath>) -> Result<Self, Error> {
        if method == Method::Logind {
            let message =
                "logind runs nothing when a session begins: it tells afterwards, and waits for nobody";
            return Err(Error::new(ErrorKind::Request, message).help("use `--method pam`"));
        }
        let site = Site::open(root)?;
        // With a map that is wrong every login would be refused.
        site.load_policy().map_err(|error| {
            let remedy = error.remedy().map(str::to_owned);
            let refused =
                Error::new(ErrorKind::Config, "with this map nobody could log in, nothing was changed")
                    .caused_by(error);
            match remedy {
                Some(remedy) => refused.help(remedy),
                None => refused,
            }
        })?;
        let earlier = read_record(&site, method)?;
        let (changes, entries) = match method {
            Method::Pam => pam::plan(&pam_facts(&site)?)?,
            _ => consolekit::plan(&consolekit::Facts {
                has_consolekit: site.has_folder(consolekit::FOLDER)?,
                enter: site.presence(ENTER, true)?,
                script: site.look(consolekit::SCRIPT)?,
                owner: site.owner(),
            })?,
        };
        let record = Record::adding(earlier.as_ref(), method, entries);
        Ok(Self { site, method, is_undo: false, changes, earlier, record: Some(record) })
    }

    /// Finds out what has to be changed to take back what was done by `method`.
    pub fn plan_undo(method: Method, root: Option<&AbsPath>) -> Result<Self, Error> {
        let site = Site::open(root)?;
        let earlier = read_record(&site, method)?;
        let changes = match &earlier {
            None => Vec::new(),
            Some(record) => {
                let paths = record.entries.iter().filter_map(record::Entry::path);
                let found: Result<BTreeMap<String, Found>, Error> =
                    paths.map(|path| Ok((path.to_owned(), site.look(path)?))).collect();
                undo::plan(record, &found?, &pam_facts(&site)?)?
            }
        };
        Ok(Self { site, method, is_undo: true, changes, earlier, record: None })
    }

    /// The changes, for people.
    pub fn preview(&self) -> String {
        change::preview(&self.changes)
    }

    /// Is there nothing to do, not even on record?
    pub fn is_nothing(&self) -> bool {
        self.changes.is_empty() && (!self.is_undo || self.earlier.is_none())
    }

    /// Does it.
    pub fn carry_out(&self) -> Result<(), Error> {
        execute::carry_out(self)
    }

    fn record_path(&self) -> String {
        record_path(self.method)
    }
}

fn record_path(method: Method) -> String {
    format!("{RECORDS}/{}.json", method.name())
}

fn read_record(site: &Site, method: Method) -> Result<Option<Record>, Error> {
    let path = record_path(method);
    let wrong = || {
        Error::new(ErrorKind::Host, format!("{path}, which says what was changed, cannot be understood"))
            .help(format!("look at the files that it names, put them right by hand, and remove {path}"))
    };
    match site.look(&path)? {
        Found::Missing => Ok(None),
        Found::File(file) => {
            let record: Record =
                serde_json::from_slice(&file.content).map_err(|error| wrong().caused_by(error))?;
            if record.is_readable() && record.method == method { Ok(Some(record)) } else { Err(wrong()) }
        }
        _ => Err(wrong()),
    }
}

fn pam_facts(site: &Site) -> Result<pam::Facts, Error> {
    let files: Result<BTreeMap<String, Found>, Error> =
        pam::files().map(|path| Ok((path.to_owned(), site.look(path)?))).collect();
    let is_there = |path| Ok::<_, Error>(site.presence(path, false)? == pam::Presence::Good);
    Ok(pam::Facts {
        folders: module_folders(site)?,
        helper: Some(site.presence(HELPER, true)?),
        has_profile: is_there(pam::PAM_AUTH_UPDATE)? && is_there(pam::PROFILE_FILE)?,
        files: files?,
        root: site.folder().map(ToString::to_string),
    })
}

/// The folders where libpam looks for modules, and whether ours is there.
pub fn module_folders(site: &Site) -> Result<Vec<(String, pam::Presence)>, Error> {
    let mut folders = Vec::new();
    for top in ["/usr/lib", "/usr/lib64", "/lib", "/lib64"] {
        // Most often /lib is a link to /usr/lib.
        if matches!(site.look(top)?, Found::Link(_) | Found::Missing) {
            continue;
        }
        let below = site.list(top)?.into_iter().filter(|name| name.contains("-linux-"));
        for folder in std::iter::once(top.to_owned()).chain(below.map(|name| format!("{top}/{name}"))) {
            let folder = format!("{folder}/security");
            let names = site.list(&folder)?;
            if ANY_MODULE.iter().any(|module| names.iter().any(|name| name == module)) {
                let presence = site.presence(&format!("{folder}/{}", pam_stack::MODULE), false)?;
                folders.push((folder, presence));
            }
        }
    }
    Ok(folders)
}
