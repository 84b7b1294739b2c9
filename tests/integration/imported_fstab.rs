//! What `mount --all` mounts of a fragment of fstab(5), and what a session has by the map that it becomes.

use std::collections::{BTreeMap, BTreeSet};

use libtest_mimic::Trial;
use session_sandbox::compat::{Kind, import};
use session_sandbox::model::path::AbsPath;

use crate::imported::unshared;
use crate::mountinfo::{self, Entry};
use crate::support::{HostMounts, Needs, Run, Verdict, World, ensure, ensure_eq, isolated};

/// Where the trees lie that are bound.
const SOURCES: &str = "/run/sources";
/// What every fragment begins with, so that a program can run.
const BASE: &str = "/usr /usr none rbind,ro,X-mount.mkdir 0 0
/lib /lib none rbind,ro,X-mount.mkdir
/lib64 /lib64 none rbind,ro,X-mount.mkdir
proc /proc proc defaults,X-mount.mkdir 0 0
";
/// Fragments, and how many lines or options a map does not say. `+` stands for the option that makes a mount point.
const FRAGMENTS: [(&str, usize); 24] = [
    ("{s}/tree /a none bind,+", 0),
    ("{s}/tree /a none rbind,+", 0),
    ("{s}/tree /a bind rw,bind,+", 0),
    ("{s}/other /a none bind,ro,+", 0),
    ("{s}/other /a none rbind,noexec,noatime,+", 0),
    ("{s}/other /a none rbind,nosuid,nodev,ro,+", 0),
    ("{s}/other /a/b/c none bind,+ 0 0", 0),
    ("{s}/a\\040b%\\134 /c\\040d% none bind,+", 0),
    ("{s}/link /a none bind,+", 0),
    ("tmpfs /a tmpfs +", 0),
    ("tmpfs /a tmpfs ro,noexec,+", 0),
    ("tmpfs /a tmpfs size=1M,mode=700,+", 0),
    ("none /a tmpfs size=65536k,noatime,+", 0),
    ("sysfs /sys sysfs +", 0),
    ("mqueue /q mqueue +", 0),
    ("tmpfs /a tmpfs +\n{s}/other /a none bind,+", 1),
    ("tmpfs /a/b tmpfs +\n{s}/other /a none bind,+", 1),
    ("{s}/tree /a none bind,+\n{s}/other /a/inner none bind", 0),
    ("{s}/tree /a none rbind,+\ntmpfs /a/inner tmpfs", 0),
    ("tmpfs /a tmpfs +\ntmpfs /a/b tmpfs +\n{s}/other /a/b/c none bind,ro,+", 0),
    ("# a comment\n\n{s}/other /a none bind,nofail,+", 0),
    ("{s}/missing /a none bind,nofail,+", 0),
    ("{s}/other /a none bind,noauto,+", 1),
    ("tmpfs /a tmpfs uid=0,gid=0,x-systemd.before=x,+", 0),
];

pub fn trials() -> Vec<Trial> {
    vec![isolated(
        "lines of fstab are the same mounts by the map that is made of them",
        &[Needs::Root, Needs::Tool("mount"), Needs::Tool("mkdir")],
        HostMounts::Private,
        the_same,
    )]
}

fn the_same() -> Verdict {
    let folders = ["tree/inner", "other", "a b%\\"].map(|name| format!("{SOURCES}/{name}"));
    Run::new("mkdir").arg("-p").args(folders).finish()?;
    std::os::unix::fs::symlink("other", format!("{SOURCES}/link"))?;
    let inner = format!("{SOURCES}/tree/inner");
    rustix::mount::mount("tmpfs", inner.as_str(), "tmpfs", rustix::mount::MountFlags::empty(), c"mode=755")?;
    let world = World::new()?;
    let mut failures = Vec::new();
    for (number, (fragment, lost)) in FRAGMENTS.iter().enumerate() {
        let text = fragment.replace("{s}", SOURCES).replace('+', "X-mount.mkdir");
        if let Err(failed) = one(&world, number, &format!("{BASE}{text}\n"), *lost) {
            failures.push(format!("{fragment}: {}", failed.message().unwrap_or("failed")));
        }
    }
    ensure!(failures.is_empty(), "{} of {}:\n{}", failures.len(), FRAGMENTS.len(), failures.join("\n"));
    Ok(())
}

fn one(world: &World, number: usize, text: &str, lost: usize) -> Verdict {
    let imported = import(Kind::Fstab, text);
    ensure_eq!(imported.losses.len(), lost, "losses: {:?}", imported.losses);
    let before = table("/proc/self/mountinfo")?;
    let host: BTreeSet<String> = before.into_iter().filter_map(|entry| entry.device).collect();
    let prefix = AbsPath::new(&format!("/run/prefix{number}"))?;
    std::fs::create_dir(prefix.as_str())?;
    let file = world.file("fstab", text)?;
    let mounted =
        Run::new("mount").args(["--all", "--fstab"]).arg(file).arg("--target-prefix").arg(prefix.as_str());
    let outcome = mounted.finish()?;
    ensure_eq!(outcome.code, Some(0), "mount --all: {}", outcome.stderr);
    let all = table("/proc/self/mountinfo")?;
    let ids: BTreeSet<usize> = all.iter().map(|entry| entry.id).collect();
    let root = all.iter().position(|entry| !ids.contains(&entry.parent)).ok_or("a root")?;
    let theirs = seen(&all, root, &prefix, &host);
    ensure!(theirs.len() >= BASE.lines().count(), "mount --all has mounted next to nothing: {theirs:?}");

    world.file("map.toml", unshared(&imported.map))?;
    let words = ["--profile", "imported", "--", "/usr/bin/cat", "/proc/self/mountinfo"];
    let outcome = world.enter(words)?.finish()?;
    ensure_eq!(outcome.code, Some(0), "{}\n{}", outcome.stderr, imported.map);
    let inside = mountinfo::parse(&outcome.stdout)?;
    let ids: BTreeSet<usize> = inside.iter().map(|entry| entry.id).collect();
    let root = inside.iter().position(|entry| !ids.contains(&entry.parent)).ok_or("a root")?;
    let mut ours = seen(&inside, root, &AbsPath::root(), &host);
    // The tree that all of it is in; for mount(8) it is the prefix.
    ours.remove("/");
    ensure_eq!(ours, theirs, "what is mounted\n{}", imported.map);
    Ok(())
}

fn table(path: &str) -> Result<Vec<Entry>, String> {
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    mountinfo::parse(&String::from_utf8_lossy(&text))
}

/// What a look-up below `prefix` can come to, less the options that a map has by itself.
fn seen(table: &[Entry], root: usize, prefix: &AbsPath, host: &BTreeSet<String>) -> BTreeMap<String, String> {
    let mut seen = BTreeMap::new();
    for (at, entry) in table.iter().enumerate() {
        let Some(place) = entry.at.rebase(prefix, &AbsPath::root()) else { continue };
        if mountinfo::mount_of(table, root, &entry.at) != at {
            continue;
        }
        // These hold in every session unless the file says otherwise, which none of these does.
        let by_itself: &[&str] = match entry.kind.as_str() {
            "proc" | "mqueue" => &["nosuid", "nodev", "noexec"],
            "sysfs" => &["nosuid", "nodev", "ro", "rw"],
            _ => &["nosuid", "nodev"],
        };
        let options: Vec<&str> =
            entry.options.iter().map(String::as_str).filter(|option| !by_itself.contains(option)).collect();
        let device = entry.device.as_deref().unwrap_or_default();
        let is_new = !host.contains(device) || matches!(entry.kind.as_str(), "proc" | "sysfs" | "mqueue");
        let source = match (is_new, &entry.root) {
            (false, Some(root)) => format!("{device} {root}"),
            _ => "new".to_owned(),
        };
        seen.insert(place.to_string(), format!("{} {source} {}", entry.kind, options.join(",")));
    }
    seen
}
