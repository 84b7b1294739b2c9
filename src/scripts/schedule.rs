//! From the names in a folder and the configuration to what is run, in order. Pure.

use serde::{Deserialize, Serialize};

use super::name::{self, Refused};
use crate::model::path::AbsPath;
use crate::model::scripts::{Event, Folder, Kind, Order, Policy, SCRIPTS_MAX, Settings};

/// One program to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// What it is called in records: `added/10W-x`, `gdm/PostLogin/Default`.
    pub name: String,
    /// Where it is.
    pub path: AbsPath,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// How it is started.
    pub kind: Kind,
    /// How it runs.
    pub settings: Settings,
    /// What it finds in its environment.
    pub dress: Dress,
    /// What it must be like to be run at all.
    pub check: Check,
    /// What its end means.
    pub judge: Judge,
    /// What comes of what it writes.
    pub output: Output,
    /// A later part of the same job, such as GDM's `PreSession` behind `PostLogin`, is not tried when it failed.
    pub stops: bool,
    /// This user's rights, instead of those that the settings say: `runas=` of the older pam_script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_user: Option<String>,
}

impl Task {
    /// Is it one of those that make what all sessions of the user need? Other session managers' programs that come before
    /// them are counted in.
    pub fn is_of_first_session(&self) -> bool {
        self.dress != Dress::Native || self.name.starts_with(Folder::First.name())
    }
}

/// Which environment a program gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dress {
    /// Ours: everything that is known, ConsoleKit's names included.
    Native,
    /// ConsoleKit's, with its ids as names or as paths of D-Bus.
    ConsoleKit {
        /// As paths.
        paths: bool,
    },
    /// pam_script's of today: PAM's items, each defined.
    PamScript,
    /// The older pam_script's: the same, and the file for `CHROOTDIR=`.
    OnSession,
    /// pam_exec's: the PAM environment, and PAM's items that are set.
    PamExec,
    /// GDM's list and no more.
    Gdm,
    /// LightDM's.
    LightDm,
    /// XDM's.
    Xdm,
}

/// What a script must be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Check {
    /// Root's, and written by nobody else, at every step of the way.
    Strict,
    /// As pam_script has it: folder and script belong to root and root's group, all may execute them, not all may
    /// write. On the way there it is as strict as ours.
    AsPamScript,
    /// Whatever is there, on the administrator's own word.
    None,
}

/// What a program's end means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Judge {
    /// By [`Settings::result`].
    ByResult,
    /// A status other than 0 refuses; what could not be run refuses unless `lenient`.
    AsPamScript {
        /// `onerr=success`.
        lenient: bool,
    },
}

/// What comes of what a program writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// Kept in the record, as far as it goes.
    Record,
    /// That, and appended to this file, as `log=` of pam_exec has it.
    File(AbsPath),
    /// That, and shown to whoever logs in, as `stdout` of pam_exec has it.
    Show,
}

/// A file in a folder of scripts that is not run, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Its name.
    pub name: String,
    /// Why.
    pub why: String,
}

/// What a folder comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// In this order.
    pub tasks: Vec<Task>,
    /// To be said once each.
    pub skipped: Vec<Skipped>,
}

/// What of `names`, found in `folder`, is run, and in which order.
pub fn schedule(policy: &Policy, folder: Folder, mut names: Vec<String>) -> Schedule {
    // Byte by byte, which is the order of the C locale.
    names.sort_unstable();
    let mut schedule = Schedule::default();
    let mut taken = 0_usize;
    for name in names {
        let kind = match name::read(&name) {
            Ok(kind) => kind,
            Err(Refused::Hidden) => continue,
            Err(why) => {
                schedule.skip(folder, &name, why.to_string());
                continue;
            }
        };
        taken += 1;
        if taken > SCRIPTS_MAX {
            continue;
        }
        let path = policy.directory.join(folder.name()).and_then(|folder| folder.join(&name));
        match path {
            Ok(path) => schedule.tasks.push(Task {
                settings: policy.settings(folder, &name, kind, is_like),
                name: format!("{}/{name}", folder.name()),
                path,
                arguments: vec![folder.event().argument().to_owned()],
                kind,
                dress: Dress::Native,
                check: Check::Strict,
                judge: Judge::ByResult,
                output: Output::Record,
                stops: false,
                other_user: None,
            }),
            Err(error) => schedule.skip(folder, &name, error.to_string()),
        }
    }
    if let Some(more) = taken.checked_sub(SCRIPTS_MAX).filter(|more| *more > 0) {
        let why =
            format!("there are {taken} scripts, {SCRIPTS_MAX} are run, and the last {more} of them are not");
        schedule.skip(folder, "", why);
    }
    if folder.event() == Event::Removed && policy.order == Order::Reverse {
        schedule.tasks.reverse();
    }
    schedule
}

impl Schedule {
    fn skip(&mut self, folder: Folder, name: &str, why: String) {
        let name = format!("{}/{}", folder.name(), super::text::printable(name));
        self.skipped.push(Skipped { name, why });
    }
}

/// Does `name` look like `pattern`? A pattern that is none was refused when it was read.
pub(super) fn is_like(pattern: &str, name: &str) -> bool {
    glob::Pattern::new(pattern).is_ok_and(|pattern| pattern.matches(name))
}
