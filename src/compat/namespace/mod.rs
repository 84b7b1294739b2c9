//! `namespace.conf` of pam_namespace, for Linux-PAM's module as Debian 12 has it.
//!
//! The map is a drop-in upon the profile `login`: users of pam_namespace see the whole host but for a few directories, and
//! a map says what is seen, so that the rest has to come from somewhere.
//!
//! | line | map |
//! |---|---|
//! | `user`; `level` and `context` without SELinux | a bind of prefix and user name, which has to exist |
//! | `tmpdir` | a tmpfs of the view |
//! | `tmpfs` | the same with `size` and `mode` of `mntopts` |
//! | list of users | a profile for each set of lines that somebody has |

mod entry;
pub mod login;
mod people;
mod read;
mod tmpfs;
mod words;

use std::collections::BTreeSet;

pub use read::{Create, Flags, Line, Method, Mistake, Users, lines};

use super::{Imported, Loss};
use crate::paper::{quoted, shown_up_to, wrapped};
use entry::{Written, as_shown, comment, is_around};
use people::{Group, People};

/// As many lines become entries.
const LINES_MAX: usize = 64;
/// As many sets of lines become profiles.
const GROUPS_MAX: usize = 16;
/// A longer map would be refused by whoever reads it.
const TEXT_MAX: usize = 200 * 1024;
/// What of a line is shown.
const SHOWN_MAX: usize = 300;
/// The profiles' name.
const PROFILE: &str = "namespace";

const HEADER: [&str; 6] = [
    "A drop-in for /etc/session-sandbox/mounts.d, made from a namespace.conf of pam_namespace.",
    "There a user sees the whole host, and other directories in place of a few. A map says what is seen: here these \
     directories stand in the root of the profile `login`, and what a user needs beyond it is a further entry. What \
     `login` has below one of these directories stays visible; pam_namespace would cover it.",
    "All logins of a user share one view here, where pam_namespace makes one for each; scope = \"session\" does the \
     same. Root's logins stay in the host's view, whatever this map says. A symbolic link on the way to an instance \
     is not followed: name the real path. Set-user-id programs and devices have no effect below the entries, and \
     what the host mounts below an instance later does not appear: options = [\"suid\", \"dev\"] and propagation = \
     \"slave\" change that.",
    "Names in lists are compared as they are, there by their ids. User names of more than 80 letters have other \
     instances there (and all names with the module's option gen_hash, which is not in this file).",
    "Files in /etc/security/namespace.d/*.conf are read behind namespace.conf, in the order of their names: give \
     them here in one text.",
    "Check it with `sessionctl check`, and take the line of pam_namespace out of /etc/pam.d.",
];

/// What is known of a line.
enum Item {
    /// It is in the map, by this number of those that are.
    Entry(usize),
    /// It is not, and this stands in its place.
    Comment(String),
}

/// Writes the map.
pub(super) fn import(text: &str) -> Imported {
    let mut losses = Vec::new();
    let mut items = Vec::new();
    let mut written: Vec<Written> = Vec::new();
    for (number, said, line) in lines(text) {
        let lost = |reason: String| Loss { line: number, text: as_shown(said), reason };
        let whole = match line {
            Err(mistake) => Err(format!(
                "{}: pam_namespace lets nobody in who comes upon this line, unless ignore_config_error is set; here \
                 it is left out",
                shown_up_to(&mistake.to_string(), SHOWN_MAX)
            )),
            Ok(_) if written.len() == LINES_MAX => {
                Err(format!("this importer takes {LINES_MAX} lines at most"))
            }
            Ok(line) => entry::write(line),
        };
        match whole {
            Ok((entry, reasons)) => {
                losses.extend(reasons.into_iter().map(lost));
                items.push(Item::Entry(written.len()));
                written.push(entry);
            }
            Err(reason) => {
                items.push(Item::Comment(comment(number, said, &format!("Left out: {reason}."))));
                losses.push(lost(reason));
            }
        }
    }
    init_scripts(&written, &mut losses);
    let people = People::of(&written, &mut losses);
    written.iter_mut().for_each(|entry| entry.note(&losses));
    let map =
        if people.groups.len() > GROUPS_MAX { None } else { compose(&items, &written, &people, &mut losses) };
    losses.sort_by_key(|loss| loss.line);
    let map = map.filter(|map| map.len() <= TEXT_MAX).unwrap_or_else(|| {
        let reason = format!(
            "the file is more than one map can say ({GROUPS_MAX} sets of users, {} KiB of text): divide it",
            TEXT_MAX / 1024
        );
        let text = String::from("the whole file");
        let map = head() + "\n" + &wrapped(&format!("Nothing is here: {reason}."));
        losses.insert(0, Loss { line: 1, text, reason });
        map
    });
    Imported { map, losses }
}

/// `namespace.init` runs for every line that does not say otherwise; said once.
fn init_scripts(written: &[Written], losses: &mut Vec<Loss>) {
    let runs = |entry: &&Written| !entry.line.flags.no_init && entry.line.flags.script.is_none();
    if let Some(first) = written.iter().find(runs) {
        let reason = String::from(
            "/etc/security/namespace.init, which runs for this line and all without noinit or iscript, is not run: \
             it sets labels of SELinux and fills a new home from /etc/skel; a session script can do what is needed \
             of it (docs/session-scripts.md)",
        );
        losses.push(first.lost(reason));
    }
}

fn head() -> String {
    HEADER.map(wrapped).join("#\n") + "\nversion = 1\n"
}

fn compose(items: &[Item], written: &[Written], people: &People, losses: &mut Vec<Loss>) -> Option<String> {
    let mut map = head();
    if people.groups.is_empty() {
        map.push('\n');
        map.push_str(&wrapped("The file asks for nothing, for nobody: this drop-in changes nothing."));
    }
    let (mut told, mut shown) = (BTreeSet::new(), BTreeSet::new());
    for (at, group) in people.groups.iter().enumerate() {
        let covered = covered(written, group, &mut told, losses);
        map.push('\n');
        map.push_str(&profile(at, group));
        for item in items.iter().filter(|item| at == 0 || matches!(item, Item::Entry(_))) {
            let (index, entry) = match item {
                Item::Comment(text) => {
                    map.push_str(&format!("\n{text}"));
                    continue;
                }
                Item::Entry(index) => (*index, written.get(*index)?),
            };
            let why_not = covered.iter().find(|(left_out, _)| *left_out == index).map(|(_, reason)| reason);
            map.push_str(&match (group.has(index), why_not) {
                (true, None) => format!("\n{}", entry.text(shown.insert(index))),
                (true, Some(reason)) => {
                    format!("\n{}", entry.comment(&format!("Left out: {reason}."), shown.insert(index)))
                }
                (false, _) if people.groups.iter().all(|group| !group.has(index)) => match at {
                    0 => format!("\n{}", entry.comment("For nobody.", true)),
                    _ => String::new(),
                },
                (false, _) if at == 0 => format!("\n{}", entry.comment("Not for these users.", false)),
                (false, _) => String::new(),
            });
        }
    }
    if people.groups.is_empty() {
        for item in items {
            map.push_str(&match item {
                Item::Comment(text) => format!("\n{text}"),
                Item::Entry(index) => format!("\n{}", written.get(*index)?.comment("For nobody.", true)),
            });
        }
        return Some(map);
    }
    if people.leaves_out() {
        map.push('\n');
        map.push_str(&wrapped(
            "Who has no line stays in the host's view, as there. So `login` is for the others, who have found a \
             profile above already; this replaces what the map says in its `match`.",
        ));
        map.push_str(&format!("[[profile]]\nname = \"login\"\n{}", people.everybody()));
    }
    Some(map)
}

fn profile(at: usize, group: &Group) -> String {
    let name = if at == 0 { PROFILE.to_owned() } else { format!("{PROFILE}-{}", at + 1) };
    format!("[[profile]]\nname = {}\nextends = \"login\"\n{}", quoted(&name), group.matches())
}

/// Lines that do nothing for these users, because of other lines: covered by a later one, or looking for their instances
/// in what an earlier one has mounted. Each with the reason.
fn covered(
    written: &[Written],
    group: &Group,
    told: &mut BTreeSet<(usize, usize)>,
    losses: &mut Vec<Loss>,
) -> Vec<(usize, String)> {
    let mut covered = Vec::new();
    let own: Vec<(usize, &Written)> =
        written.iter().enumerate().filter(|(index, _)| group.has(*index)).collect();
    for (at, (index, entry)) in own.iter().enumerate() {
        let above = own[at + 1..].iter().find(|(_, later)| is_around(&later.target, &entry.target));
        let earlier = entry
            .source
            .as_ref()
            .and_then(|source| own[..at].iter().find(|(_, earlier)| is_around(&earlier.target, source)));
        let (other, reason) = match (above, earlier) {
            (Some((other, later)), _) => {
                (*other, format!("line {} mounts above it, and nobody sees this one", later.line.number))
            }
            (None, Some((other, earlier))) => (
                *other,
                format!(
                    "its instances lie where line {} has mounted something else by then, and are looked for in \
                     there; a map names paths of the host",
                    earlier.line.number
                ),
            ),
            (None, None) => continue,
        };
        if told.insert((*index, other)) {
            losses.push(entry.lost(reason.clone()));
        }
        covered.push((*index, reason));
    }
    covered
}
