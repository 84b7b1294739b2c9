//! Links below `/etc` that lead to where a program inside would find nothing.

use std::collections::BTreeMap;

use crate::model::facts::PathFact;
use crate::model::path::AbsPath;

use super::found::{Found, Lead};
use super::homes;
use crate::paper::{Entry, Paper, listed, shown, usable};

/// Too much lies in these folders to show one whole for the sake of a file in it.
const TOO_WIDE: [&str; 16] = [
    "/run",
    "/run/systemd",
    "/run/user",
    "/var",
    "/var/lib",
    "/var/cache",
    "/var/log",
    "/var/spool",
    "/var/run",
    "/mnt",
    "/media",
    "/srv",
    "/proc",
    "/sys",
    "/dev",
    "/boot",
];
/// What users can write to, and what is root's alone, is not shown on a link's word.
const REFUSED: [&str; 7] = ["/tmp", "/var/tmp", "/dev/shm", "/home", "/root", "/run/user", "/run/lock"];
/// The file that tells programs which servers know the names of hosts.
const RESOLVER: &str = "/etc/resolv.conf";
/// More entries for links nobody reads.
const ENTRIES_MAX: usize = 32;

/// Writes an entry for each folder that such links lead to.
pub(super) fn write(found: &Found, paper: &mut Paper) {
    let mut wanted: BTreeMap<AbsPath, Vec<&Lead>> = BTreeMap::new();
    let mut refused = Vec::new();
    let bases = homes::bases(found);
    for lead in &found.leads {
        let is_resolver = lead.link.as_str() == RESOLVER;
        // A service that is not running has not made its file yet; any other link that leads nowhere stays as it is.
        if lead.end == PathFact::Missing && !is_resolver {
            continue;
        }
        for (at, place) in lead.through.iter().enumerate() {
            if place.is_root() || usable(place.as_str()).is_none() || paper.shows(place) {
                continue;
            }
            let is_folder = at + 1 == lead.through.len() && lead.end == PathFact::Directory;
            let source = container(place, is_folder);
            let is_at_or_below = |top: &AbsPath| source == *top || source.is_below(top);
            let of_users =
                REFUSED.iter().filter_map(|top| AbsPath::new(top).ok()).any(|top| is_at_or_below(&top));
            // Where something of our own stands, it would be covered.
            let is_ours =
                paper.live().filter_map(Entry::path).any(|other| *other == source || other.is_below(&source));
            if of_users || is_ours || !paper.can_take(&source) || bases.iter().any(is_at_or_below) {
                refused.push(format!("{} to {}", lead.link, place));
                continue;
            }
            let links = wanted.entry(source).or_default();
            if !links.iter().any(|other| other.link == lead.link) {
                links.push(lead);
            }
        }
    }
    for (source, links) in wanted.into_iter().take(ENTRIES_MAX) {
        if !paper.has(&source) && !paper.shows(&source) {
            paper.entry(entry(source, &links));
        }
    }
    if !refused.is_empty() {
        paper.comment(format!(
            "Left out: where these links lead, because it is a user's place, root's alone, too much, or something else inside: {}.",
            listed(refused)
        ));
    }
}

/// The folder around a file: it may be replaced by another file of the same name, which a bind of the file would miss.
fn container(place: &AbsPath, is_folder: bool) -> AbsPath {
    match place.parent() {
        Some(parent) if !is_folder && !parent.is_root() && !TOO_WIDE.contains(&parent.as_str()) => parent,
        _ => place.clone(),
    }
}

fn entry(source: AbsPath, links: &[&Lead]) -> Entry {
    let lead = |lead: &&Lead| {
        let end = lead.through.last().map_or("nowhere", AbsPath::as_str);
        format!("{} is a link to {}", shown(lead.link.as_str()), shown(end))
    };
    let mut text = links.first().map(lead).unwrap_or_default();
    match links.len() {
        0 | 1 => {}
        2 => text.push_str(&format!(", and {} leads there, too", shown(links[1].link.as_str()))),
        many => text.push_str(&format!(", and {} more lead there, too", many - 1)),
    }
    let is_resolver = links.iter().any(|lead| lead.link.as_str() == RESOLVER);
    text.push_str(if is_resolver { ". Without it, no host has a name inside." } else { "." });
    let is_file = links.iter().any(|lead| lead.through.contains(&source))
        && links.iter().all(|lead| lead.end != PathFact::Directory);
    if is_file {
        text.push_str(" A session keeps the file that was there when it began.");
    }
    Entry::bind(source).why(text).follow().options(&["ro", "noexec"]).optional()
}

/// Links in `/` that lead to something that is shown: they are the same inside.
pub(super) fn write_tops(found: &Found, paper: &mut Paper) {
    for (name, fact) in &found.top {
        let PathFact::Symlink(to) = fact else { continue };
        let Some(at) = usable(&format!("/{name}")) else { continue };
        let absolute = if to.starts_with('/') { to.clone() } else { format!("/{to}") };
        let leads_to = usable(&absolute).filter(|end| paper.shows(end));
        if let Some(end) = leads_to
            && !paper.has(&at)
            && !paper.shows(&at)
            && !to.chars().any(char::is_control)
            && paper.live().filter_map(Entry::path).all(|other| !other.is_below(&at))
        {
            let why = format!("A link on the host: {} leads to {}.", shown(at.as_str()), shown(end.as_str()));
            paper.entry(Entry::link(at, to).why(why));
        }
    }
    let rest: Vec<AbsPath> = found
        .top
        .iter()
        .filter(|(name, fact)| matches!(fact, PathFact::Directory) && !is_usual(name))
        .filter_map(|(name, _)| usable(&format!("/{name}")))
        .filter(|path| !paper.has(path) && !paper.shows(path))
        .filter(|path| paper.live().filter_map(Entry::path).all(|other| !other.is_below(path)))
        .filter(|path| homes::bases(found).iter().all(|base| base != path && !base.is_below(path)))
        .collect();
    let Some(first) = rest.first() else { return };
    let names = listed(rest.iter().map(AbsPath::as_str));
    let why =
        format!("Not shown, because nothing says what they are for: {names}. One of them, if users need it:");
    paper.entry(Entry::bind(first.clone()).open_as_user().optional().example().why(why));
}

/// Folders that this map has said enough about, or that no user needs.
fn is_usual(name: &str) -> bool {
    const USUAL: [&str; 22] = [
        "boot",
        "root",
        "lost+found",
        "mnt",
        "media",
        "srv",
        "home",
        "run",
        "tmp",
        "var",
        "dev",
        "proc",
        "sys",
        "etc",
        "usr",
        "opt",
        "snap",
        "efi",
        "selinux",
        "sysroot",
        "ostree",
        "cgroup",
    ];
    // The last are Debian's marks.
    name.starts_with('.') || name.ends_with(".usr-is-merged") || USUAL.contains(&name)
}
