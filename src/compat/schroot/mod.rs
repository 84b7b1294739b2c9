//! `schroot.conf`: a profile for each chroot that is a directory.
//!
//! | key | map |
//! |---|---|
//! | `directory` | a bind at `/`; read-only with `union-type`, whose writes were thrown away |
//! | `users`, `groups` | `match`; both of them are two profiles |
//! | `shell` | `shell` |
//! | `setup.copyfiles`, `setup.nssdatabases` | binds, read-only, where the files are given as well |
//! | everything else | a loss |

mod keys;
mod profile;
mod read;

pub use read::{Fault, Key, Mistake, Section, read};

use std::collections::BTreeSet;

use super::{Imported, Loss};
use crate::model::path::AbsPath;
use crate::paper::{shown, shown_up_to, wrapped};

/// As many chroots become profiles, which may be two each.
const CHROOTS_MAX: usize = 64;
/// A longer map would be refused by whoever reads it.
const TEXT_MAX: usize = 200 * 1024;
/// What of a line is shown.
const SHOWN_MAX: usize = 300;

const HEADER: [&str; 5] = [
    "A drop-in for /etc/session-sandbox/mounts.d, made from a schroot.conf.",
    "Each chroot is a profile for `session-enter`, typed by hand: who is in several gets the first one, and \
     `session-enter --profile NAME` another. Logins are as before; to have them in a chroot as well, add their \
     service to `match`.",
    "Nobody is root inside, unless root enters. What schroot copied into a chroot is bound there, read-only, and \
     nothing in a chroot is changed by setup scripts. An entry below `/` needs something to stand on: a directory or \
     file of that name in the chroot.",
    "The fstab of a chroot's profile is not read here: the importer for fstab writes entries for it, which belong \
     behind the chroot's own. Without /proc and /dev most programs do not work.",
    "Check it with `sessionctl check`, and look at a chroot with `sessionctl plan --profile NAME --tree`.",
];

/// The lists of files that the text names, each as it is called there, below `/etc/schroot` (`default/copyfiles`).
///
/// Those of other folders are not among them: whoever reads the file for somebody else should not be led anywhere.
pub(super) fn named_files(text: &str) -> Vec<String> {
    let (sections, _) = read(text);
    let names: BTreeSet<String> =
        sections.iter().take(CHROOTS_MAX).flat_map(profile::setup_files).map(|file| file.name).collect();
    let is_below = |name: &String| AbsPath::new(&format!("/{name}")).is_ok() && !name.starts_with('/');
    names.into_iter().filter(is_below).collect()
}

/// Writes the map, with the texts of those files that could be read.
pub fn import_with(text: &str, files: &[(&str, &str)]) -> Imported {
    let (sections, faults) = read(text);
    let mut losses: Vec<Loss> = Vec::new();
    let mut map = HEADER.map(wrapped).join("#\n") + "\nversion = 1\n";
    for fault in &faults {
        let reason = format!("{}: schroot refuses the file for it, and here it is left out", fault.mistake);
        let text = shown_up_to(&fault.text, SHOWN_MAX);
        map.push_str(&format!("\n{}", wrapped(&format!("Line {}: {text}: {reason}.", fault.line))));
        losses.push(Loss { line: fault.line, text, reason });
    }
    let mut names = profile::Names::default();
    for (at, section) in sections.iter().enumerate() {
        map.push('\n');
        let written = match at {
            CHROOTS_MAX.. => {
                profile::left_out(section, format!("one map takes {CHROOTS_MAX} chroots: divide the file"))
            }
            _ => profile::write(section, files, &mut names),
        };
        map.push_str(&written.text);
        losses.extend(written.losses);
    }
    if sections.is_empty() {
        map.push('\n');
        map.push_str(&wrapped("The file has no chroot: this drop-in changes nothing."));
    }
    losses.sort_by_key(|loss| loss.line);
    if map.len() > TEXT_MAX {
        let reason =
            format!("the file is more than one map can say ({} KiB of text): divide it", TEXT_MAX / 1024);
        map = HEADER.map(wrapped).join("#\n")
            + "\nversion = 1\n\n"
            + &wrapped(&format!("Nothing is here: {reason}."));
        losses.insert(0, Loss { line: 1, text: shown("the whole file"), reason });
    }
    Imported { map, losses }
}
