//! What is mounted from elsewhere: servers, clusters, automounters, other disks.

use std::collections::BTreeMap;

use crate::model::path::AbsPath;

use super::found::{Found, FstabLine};
use super::homes;
use crate::paper::{Entry, Paper, listed, shown, usable};

/// File systems of which a server has the files, and which are mounted for users' sake.
const NETWORK: [&str; 30] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "lustre",
    "gpfs",
    "mmfs",
    "beegfs",
    "fhgfs",
    "ceph",
    "glusterfs",
    "9p",
    "virtiofs",
    "afs",
    "panfs",
    "wekafs",
    "orangefs",
    "pvfs2",
    "ocfs2",
    "gfs2",
    "dvs",
    "cvmfs2",
    "fuse.glusterfs",
    "fuse.sshfs",
    "fuse.ceph",
    "fuse.ceph-fuse",
    "fuse.cvmfs2",
    "fuse.juicefs",
    "fuse.s3fs",
];
/// File systems on a disk of this host.
const DISKS: [&str; 16] = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "jfs", "reiserfs", "vfat", "exfat",
    "ntfs3", "fuseblk", "iso9660", "udf",
];
/// What is mounted below these has another reason than users, or comes with an entry of its own.
const NOT_FOR_USERS: [&str; 24] = [
    "/proc",
    "/sys",
    "/dev",
    "/run",
    "/tmp",
    "/var/tmp",
    "/var/run",
    "/boot",
    "/efi",
    "/root",
    "/etc",
    "/usr",
    "/bin",
    "/sbin",
    "/snap",
    "/nix",
    "/gnu",
    "/var/snap",
    "/var/lib",
    "/var/mail",
    "/var/spool",
    "/var/log",
    "/var/cache",
    "/lost+found",
];
/// A map with more entries than that nobody reads.
const ENTRIES_MAX: usize = 48;

/// Who mounts it, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// It is there now.
    Now,
    /// An automounter mounts it when somebody comes by.
    OnDemand,
    /// fstab names it, and it is not there now.
    Later,
    /// fstab names it, for somebody to mount it by hand.
    ByHand,
}

/// Something that is mounted, or will be.
#[derive(Clone, Debug)]
struct Store {
    at: AbsPath,
    kind: String,
    source: String,
    /// Where it is written, as `from /etc/fstab:7`.
    place: String,
    when: When,
    /// The mount table has it. Any other path may lead along links.
    is_listed: bool,
}

impl Store {
    fn is_shared(&self) -> bool {
        self.when == When::OnDemand || is_network(&self.kind)
    }

    /// As `/data is nfs4 (srv:/data, from /etc/fstab:7)`.
    fn text(&self) -> String {
        let Self { at, kind, source, place, when, .. } = self;
        let (at, place) = (shown(at.as_str()), shown(place));
        match when {
            When::OnDemand => format!("{at} is mounted on demand ({}, {place})", shown(source)),
            When::Now => format!("{at} is {} ({}, {place})", shown(kind), shown(source)),
            When::Later | When::ByHand => {
                format!("{at} will be {} ({}, {place}), and is not mounted now", shown(kind), shown(source))
            }
        }
    }
}

fn is_network(kind: &str) -> bool {
    NETWORK.contains(&kind)
}

fn is_at_or_below(path: &AbsPath, top: &str) -> bool {
    AbsPath::new(top).is_ok_and(|top| *path == top || path.is_below(&top))
}

/// Would a server or an automounter have to answer for `path`?
pub(super) fn is_elsewhere(found: &Found, path: &AbsPath) -> bool {
    found
        .mounts
        .iter()
        // A process stands behind anything of FUSE.
        .filter(|mount| mount.kind == "autofs" || mount.kind.starts_with("fuse") || is_network(&mount.kind))
        .any(|mount| mount.at != "/" && is_at_or_below(path, &mount.at))
}

/// The kernel lists a mount point as it is without links, unless somebody has put one there since.
fn is_listed(found: &Found, at: &str) -> bool {
    let top = at.trim_start_matches('/').split('/').next().unwrap_or_default();
    found.mounts.iter().any(|mount| mount.at == at) && !found.is_linked(&format!("/{top}"))
}

/// Is something of a server's or an automounter's mounted here, or will it be?
pub(super) fn is_at(found: &Found, path: &AbsPath) -> bool {
    stores(found).iter().any(|store| store.at == *path && store.is_shared())
}

/// Everything that is mounted from elsewhere, by path; of several at one path the one that says most.
fn stores(found: &Found) -> Vec<Store> {
    let mut stores: BTreeMap<AbsPath, Store> = BTreeMap::new();
    // In the order of how much they say: what comes first stays.
    let mut add = |store: Store| {
        stores.entry(store.at.clone()).or_insert(store);
    };
    for map in &found.autofs {
        if let Some(at) = usable(&map.at) {
            let (kind, source, place) = ("autofs".to_owned(), map.map.clone(), format!("from {}", map.place));
            let is_listed = is_listed(found, &map.at);
            add(Store { at, kind, source, place, when: When::OnDemand, is_listed });
        }
    }
    for line in &found.fstab {
        let has = |word: &str| line.options.split(',').any(|option| option == word);
        let Some(at) = usable(&line.at) else { continue };
        if has("x-systemd.automount") || has("comment=systemd.automount") {
            add(line.store(found, at, When::OnDemand));
        }
    }
    for mount in found.mounts.iter().filter(|mount| mount.kind != "autofs") {
        let known = is_network(&mount.kind) || DISKS.contains(&mount.kind.as_str());
        let Some(at) = usable(&mount.at).filter(|_| known) else { continue };
        let line = found.fstab.iter().find(|line| line.at == mount.at);
        let place = line.map_or_else(|| "from the mount table".to_owned(), FstabLine::place);
        let (kind, source, is_listed) =
            (mount.kind.clone(), mount.source.clone(), is_listed(found, &mount.at));
        add(Store { at, kind, source, place, when: When::Now, is_listed });
    }
    for mount in found.mounts.iter().filter(|mount| mount.kind == "autofs") {
        if let Some(at) = usable(&mount.at) {
            let (kind, source, is_listed) =
                ("autofs".to_owned(), mount.source.clone(), is_listed(found, &mount.at));
            add(Store {
                at,
                kind,
                source,
                place: "from the mount table".to_owned(),
                when: When::OnDemand,
                is_listed,
            });
        }
    }
    for line in &found.fstab {
        let by_hand = line.options.split(',').any(|option| ["noauto", "user", "users"].contains(&option));
        let known = is_network(&line.kind) || DISKS.contains(&line.kind.as_str());
        if let Some(at) = usable(&line.at).filter(|_| known) {
            add(line.store(found, at, if by_hand { When::ByHand } else { When::Later }));
        }
    }
    stores.into_values().collect()
}

impl FstabLine {
    fn place(&self) -> String {
        format!("from /etc/fstab:{}", self.number)
    }

    fn store(&self, found: &Found, at: AbsPath, when: When) -> Store {
        let is_listed = is_listed(found, &self.at);
        Store {
            at,
            kind: self.kind.clone(),
            source: self.source.clone(),
            place: self.place(),
            when,
            is_listed,
        }
    }
}

/// What `path` lies on, where that is not a disk of this host: a sentence without its full stop.
pub(super) fn origin(found: &Found, path: &AbsPath) -> Option<String> {
    let stores = stores(found);
    let around = stores.iter().filter(|store| store.at == *path || path.is_below(&store.at));
    let nearest = around.filter(|store| !store.at.is_root()).max_by_key(|store| store.at.depth())?;
    nearest.is_shared().then(|| nearest.text())
}

/// Mount points below `path` that a server or an automounter stands behind.
pub(super) fn below(found: &Found, path: &AbsPath) -> Vec<AbsPath> {
    let shared = stores(found).into_iter().filter(|store| store.is_shared() && store.at.is_below(path));
    shared.map(|store| store.at).collect()
}

/// Writes the entries.
pub(super) fn write(found: &Found, paper: &mut Paper) {
    paper.heading("Servers and disks");
    let bases = homes::bases(found);
    let is_for_users =
        |at: &AbsPath| !at.is_root() && !NOT_FOR_USERS.iter().any(|top| is_at_or_below(at, top));
    let all = stores(found);
    let mut shown_so_far: Vec<AbsPath> = Vec::new();
    let mut too_many = Vec::new();
    for store in all.iter().filter(|store| is_for_users(&store.at)) {
        let at = &store.at;
        let is_home = bases.iter().any(|base| at == base || at.is_below(base));
        let is_shown = paper.shows(at) || shown_so_far.iter().any(|other| at.is_below(other));
        if is_home || is_shown || !paper.can_take(at) {
            continue;
        }
        if shown_so_far.len() >= ENTRIES_MAX {
            too_many.push(at.as_str());
            continue;
        }
        let parts: Vec<&str> = paper
            .live()
            .filter_map(Entry::path)
            .filter(|other| other.is_below(at))
            .map(AbsPath::as_str)
            .collect();
        if !parts.is_empty() {
            let parts = listed(parts);
            paper.comment(format!(
                "Left out: {}. This map shows parts of it one by one: {parts}.",
                store.text()
            ));
            continue;
        }
        let below: Vec<&str> =
            all.iter().filter(|other| other.at.is_below(at)).map(|other| other.at.as_str()).collect();
        let holds: Vec<&str> = bases.iter().filter(|base| base.is_below(at)).map(AbsPath::as_str).collect();
        shown_so_far.push(at.clone());
        paper.entry(entry(store, &below, &holds));
    }
    let mut unusable: Vec<&str> = found
        .mounts
        .iter()
        .filter(|mount| is_network(&mount.kind) && usable(&mount.at).is_none())
        .map(|mount| mount.at.as_str())
        .collect();
    unusable.sort_unstable();
    unusable.dedup();
    if !unusable.is_empty() {
        let unusable = listed(unusable);
        paper.comment(format!("Left out, because no entry can be written for such a path: {unusable}."));
    }
    if shown_so_far.is_empty() {
        paper.comment("Nothing was found that is mounted for users from a server or from another disk.");
    }
    if !too_many.is_empty() {
        paper.comment(format!("Left out, because they are too many: {}.", listed(too_many)));
    }
}

fn entry(store: &Store, below: &[&str], holds: &[&str]) -> Entry {
    let Store { at, kind, .. } = store;
    let mut text = format!("{}.", store.text());
    if !below.is_empty() {
        text.push_str(&format!(" With {}, which is mounted below it.", listed(below)));
    }
    let is_scratch = at.components().any(|name| name.contains("scratch"));
    let mut entry = Entry::bind(at.clone()).open_as_user().follow_if(!store.is_listed);
    let mut reasons = Vec::new();
    if store.is_shared() {
        reasons.push(if store.when == When::OnDemand {
            "Opened with the user's rights, and mounted before it is shown. What is mounted there later is seen."
        } else {
            "Opened with the user's rights, because a server may refuse root. When it is unmounted on the host it \
             goes here, too."
        });
        entry = entry.slave();
    }
    if kind == "cifs" || kind == "smb3" {
        reasons.push(
            "All who may look into it use the account that it was mounted with, unless it was mounted with multiuser.",
        );
    }
    let mut is_example = false;
    if !holds.is_empty() {
        text.push_str(&format!(
            " It holds homes ({}), so all of them would be seen, as far as their rights go.",
            listed(holds)
        ));
        is_example = true;
    } else if store.when == When::ByHand {
        reasons.push("Somebody mounts it by hand: a matter of taste.");
        is_example = true;
    } else if !store.is_shared() && !is_scratch {
        reasons.push("A disk of this host: whether users should see it is a matter of taste.");
        is_example = true;
    }
    let entry = entry.why(format!("{text} {}", reasons.join(" "))).optional();
    if is_example { entry.example() } else { entry }
}
