//! What bwrap builds of its arguments, and what a session has by the map that they become: the same, but for what is listed
//! here.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use libtest_mimic::{Failed, Trial};
use rustix::mount::{MountFlags, mount, mount_remount};
use session_sandbox::compat::{Kind, import};
use session_sandbox::model::path::AbsPath;

use crate::mountinfo;
use crate::support::{
    HostMounts, Needs, Run, Running, Verdict, World, ensure, ensure_eq, isolated, trial, until, users,
};

/// Where the trees lie that are bound.
const SOURCES: &str = "/run/sources";
/// What each list begins with, so that a program can run.
const BASE: &str =
    "--ro-bind /usr /usr --symlink usr/lib /lib --symlink usr/lib64 /lib64 --symlink usr/bin /bin";

/// Lists that are made by hand: what they say, and how many arguments a map does not say.
const LISTS: [(&str, usize); 56] = [
    ("--proc /proc", 0),
    ("--dev /dev", 0),
    ("--proc /proc --dev /dev --tmpfs /tmp", 0),
    ("--dev /devices --proc /deep/er/proc", 0),
    ("--mqueue /q", 0),
    ("--dev /dev --mqueue /dev/mqueue", 0),
    ("--tmpfs /a", 0),
    ("--tmpfs /a/b/c", 0),
    ("--perms 0700 --tmpfs /a", 0),
    ("--perms 1777 --size 1048576 --tmpfs /tmp", 0),
    ("--size 4194304 --tmpfs /tmp", 0),
    ("--dir /a", 0),
    ("--dir /a/b/c", 0),
    ("--perms 0711 --dir /a/b", 0),
    ("--dir /a --chmod 0750 /a", 0),
    ("--dir /a/b --chmod 0711 /a", 0),
    ("--tmpfs /a --chmod 0711 /a", 0),
    ("--chmod 0711 /", 0),
    ("--dir /a --dir /a", 0),
    ("--dir /a/b --dir /a", 0),
    ("--symlink a /b", 0),
    ("--symlink /usr/bin /a/b/c", 0),
    ("--symlink ../x%y /a/b", 0),
    ("--tmpfs /a --symlink x /a/b --dir /a/c/d", 0),
    ("--remount-ro /", 0),
    ("--tmpfs /a --remount-ro /a", 0),
    ("--tmpfs /a --dir /a/b --remount-ro /a --remount-ro /", 0),
    ("--bind {s}/file /a --remount-ro /a", 0),
    ("--proc /proc --remount-ro /proc", 0),
    ("--tmpfs /a --tmpfs /a", 1),
    ("--tmpfs /a --bind {s}/tree /a", 1),
    ("--bind {s}/tree /a --tmpfs /a", 1),
    ("--tmpfs /a/b --bind {s}/tree /a", 1),
    ("--tmpfs /a/b --tmpfs /a --dir /a/c", 1),
    ("--dir /a/b --tmpfs /a", 1),
    ("--tmpfs /a --bind {s}/tree /a/b --ro-bind {s}/other /a/b/inner", 0),
    ("--bind {s}/tree /a --tmpfs /a/inner", 0),
    ("--bind {s}/tree /a --tmpfs /a/inner --dir /a/inner/x --symlink y /a/inner/z", 0),
    ("--bind {s}/tree /a --ro-bind {s}/file /a/file", 0),
    ("--ro-bind {s}/tree /a --bind {s}/tree/inner /a/inner", 0),
    ("--ro-bind {s}/tree /a --proc /a/inner", 0),
    ("--ro-bind {s}/tree /a --dev /a/inner", 0),
    ("--bind {s}/tree /a --bind {s}/other /b --bind {s}/file /c", 0),
    ("--dir /a --bind {s}/tree /a", 0),
    ("--bind {s}/tree /a --dir /a", 0),
    ("--bind {s}/tree /a --dir /a/inner", 1),
    ("--ro-bind / /", 4),
    ("--ro-bind / / --dev /dev --proc /proc --tmpfs /tmp", 4),
    ("--bind / / --tmpfs /run", 4),
    ("--dev-bind / /", 4),
    ("--dev-bind /dev /dev", 0),
    ("--ro-bind /usr/bin/env /usr/bin/dash", 0),
    ("--tmpfs /usr/share --dir /usr/share/x", 0),
    ("--unshare-pid --proc /proc --die-with-parent --new-session", 1),
    ("--unshare-uts --hostname x --setenv A b --tmpfs /a", 2),
    ("--clearenv --setenv A b --unsetenv C --cap-drop ALL --share-net --dir /a", 0),
];

/// A difference that is known: who has it, where, and why.
type Known = (Side, fn(&Seen) -> bool, &'static str);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Bwrap,
    Ours,
}

const KNOWN: [Known; 12] = [
    (
        Side::Bwrap,
        |seen| seen.is_mount("proc") && seen.has_in_path(&["sys", "irq", "bus", "sysrq-trigger"]),
        "bwrap covers parts of /proc read-only, where it could write; users other than root cannot",
    ),
    (Side::Bwrap, |seen| seen.is_device_of_dev(), "bwrap binds the host's devices, where ours are made"),
    (
        Side::Ours,
        |seen| seen.is_device_of_dev() && seen.what.starts_with("mount"),
        "where root cannot make devices, ours are the host's, too, and noexec",
    ),
    (Side::Bwrap, |seen| seen.is_top_of_dev(), "bwrap's /dev can be written to"),
    (Side::Ours, |seen| seen.is_top_of_dev(), "ours is read-only and noexec"),
    (
        Side::Ours,
        |seen| seen.dev.is_some() && seen.at.ends_with("/shm"),
        "shared memory has a file system of its own, and its limit, since the rest is read-only",
    ),
    (
        Side::Bwrap,
        |seen| seen.dev.is_some() && seen.at.ends_with("/shm"),
        "bwrap has a directory in its /dev for it, which has no limit of its own",
    ),
    (Side::Bwrap, |seen| seen.at.ends_with("/core"), "a link to /proc/kcore, which only root can read"),
    (
        Side::Bwrap,
        |seen| seen.what == "mount mqueue new relatime,rw",
        "bwrap leaves out nosuid, nodev and noexec, which nobody needs there",
    ),
    (
        Side::Bwrap,
        |seen| seen.at == "/run/session-sandbox",
        "what sessions are kept by is shown in no session, even where the whole host is",
    ),
    (
        Side::Bwrap,
        |seen| !seen.is_asked_for && seen.what == "dir 700 0",
        "directories on the way are for their owner alone, who is the user",
    ),
    (
        Side::Ours,
        |seen| !seen.is_asked_for && seen.what == "dir 755 0",
        "they are root's, and the user has to get through",
    ),
];

/// Something that one of the two has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    at: String,
    what: String,
    /// Does it lie in the new `/dev` of a list?
    dev: Option<String>,
    /// Does the list name the place?
    is_asked_for: bool,
}

impl Seen {
    fn is_mount(&self, kind: &str) -> bool {
        self.what.starts_with(&format!("mount {kind} "))
    }

    fn has_in_path(&self, names: &[&str]) -> bool {
        self.at.rsplit('/').next().is_some_and(|last| names.contains(&last))
    }

    fn is_device_of_dev(&self) -> bool {
        const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
        self.dev.as_ref().is_some_and(|dev| DEVICES.iter().any(|name| self.at == format!("{dev}/{name}")))
    }

    fn is_top_of_dev(&self) -> bool {
        self.dev.as_ref() == Some(&self.at)
    }
}

pub fn trials() -> Vec<Trial> {
    vec![
        isolated(
            "arguments of bwrap are the same tree by the map that is made of them",
            &[Needs::Root, Needs::Tool("bwrap")],
            HostMounts::Private,
            the_same,
        ),
        trial(
            "a map that was imported opens a session for an ordinary user",
            &[Needs::Root, Needs::OrdinaryUser],
            sessions,
        ),
    ]
}

/// Somebody can work there, and cannot change what the text says is read-only.
fn sessions() -> Verdict {
    let bob = users::bob()?;
    let home = bob.home.display();
    let bwrap = format!(
        "exec bwrap {BASE} --bind ~ \"$HOME\" \\\n --dev /dev --proc /proc --tmpfs /tmp --unshare-pid --chdir ~\n"
    );
    let fstab = format!(
        "/usr /usr none rbind,ro 0 0\n/bin /bin none rbind,ro\n/lib /lib none rbind,ro\n/lib64 /lib64 none rbind,ro,nofail\n\
         proc /proc proc\ntmpfs /tmp tmpfs size=1M,mode=1777\n{home} {home} none rbind\n"
    );
    let unit = "[Service]\nProtectSystem=full\nPrivateTmp=yes\nPrivateDevices=yes\nNoNewPrivileges=yes\nUMask=0027\n";
    for (kind, text) in [(Kind::Bwrap, bwrap.as_str()), (Kind::Fstab, &fstab), (Kind::Systemd, unit)] {
        let imported = import(kind, text);
        ensure!(imported.losses.is_empty(), "{kind:?}: {:?}", imported.losses);
        let world = World::new()?;
        world.file("map.toml", unshared(&imported.map))?;
        let script = "id -u; touch ~/seen /tmp/seen && rm ~/seen && ls /tmp; touch /usr/seen 2>/dev/null || echo closed";
        let outcome = world.enter(["--user", &bob.name, "--", "/bin/sh", "-c", script])?.finish()?;
        let must = format!("{}\nseen\nclosed\n", bob.uid);
        ensure_eq!(outcome.stdout, must, "{kind:?}: {}\n{}", outcome.stderr, imported.map);
    }
    Ok(())
}

/// The map, for sessions that do not come into the root of one before, which may not have ended yet.
pub fn unshared(map: &str) -> String {
    map.replacen("version = 1\n", "version = 1\n\n[defaults]\nscope = \"session\"\n", 1)
}

fn lists() -> Vec<(String, usize)> {
    let mut lists: Vec<(String, usize)> =
        LISTS.iter().map(|(text, lost)| (text.replace("{s}", SOURCES), *lost)).collect();
    for option in ["--bind", "--ro-bind", "--dev-bind", "--bind-try", "--ro-bind-try", "--dev-bind-try"] {
        for source in ["tree", "tree/inner", "file", "link", "read-only", "a b%"] {
            lists.push((format!("{option} {SOURCES}/{} /x/y", source.replace(' ', "\u{1}")), 0));
        }
        if option.ends_with("try") {
            lists.push((format!("{option} {SOURCES}/missing /x"), 0));
        }
    }
    lists
}

fn make_sources() -> Verdict {
    for folder in ["tree/inner", "other/deep", "read-only", "a b%"] {
        let mut path = Path::new(SOURCES).to_owned();
        for name in folder.split('/') {
            path.push(name);
            std::fs::DirBuilder::new().recursive(true).create(&path)?;
        }
    }
    std::fs::write(format!("{SOURCES}/file"), "content")?;
    std::fs::write(format!("{SOURCES}/tree/file"), "content")?;
    symlink("tree", format!("{SOURCES}/link"))?;
    let tmpfs = |name: &str, flags| {
        let at = format!("{SOURCES}/{name}");
        mount("tmpfs", &at, "tmpfs", flags, c"mode=755").and_then(|()| mount_remount(&at, flags, ""))
    };
    tmpfs("tree/inner", MountFlags::NOATIME)?;
    tmpfs("read-only", MountFlags::RDONLY | MountFlags::NOEXEC)?;
    Ok(())
}

fn the_same() -> Verdict {
    make_sources()?;
    let world = World::new()?;
    let host = mountinfo::parse(&read(Path::new("/proc/self/mountinfo"))?)?;
    let host: BTreeSet<String> = host.into_iter().filter_map(|entry| entry.device).collect();
    let lists = lists();
    ensure!(lists.len() >= 60, "only {} lists", lists.len());
    let mut used = BTreeSet::new();
    let mut failures = Vec::new();
    for (number, (list, lost)) in lists.iter().enumerate() {
        if let Err(failed) = one(&world, &host, number, list, *lost, &mut used) {
            failures.push(format!("{list}: {}", failed.message().unwrap_or("failed")));
        }
    }
    ensure!(failures.is_empty(), "{} of {}:\n{}", failures.len(), lists.len(), failures.join("\n"));
    // Whether devices can be made depends on the host.
    let unmet: Vec<&str> = (0..KNOWN.len()).filter(|at| !used.contains(at)).map(|at| KNOWN[at].2).collect();
    ensure!(
        unmet.iter().all(|why| why.contains("cannot make devices")),
        "differences that are none: {unmet:?}"
    );
    Ok(())
}

fn one(
    world: &World,
    host: &BTreeSet<String>,
    number: usize,
    list: &str,
    lost: usize,
    used: &mut BTreeSet<usize>,
) -> Verdict {
    let arguments: Vec<String> =
        format!("{BASE} {list}").split(' ').map(|word| word.replace('\u{1}', " ")).collect();
    let imported = import(Kind::Bwrap, &arguments.join("\0"));
    ensure_eq!(imported.losses.len(), lost, "losses: {:?}", imported.losses);
    world.file("map.toml", &imported.map)?;
    let program = |side: &str| ["--", "/usr/bin/sleep", &format!("{number}{side}000")].map(str::to_owned);
    let words = program("1");
    let bwrap = Run::new("bwrap").args(&arguments).args(&words).start()?;
    let theirs = look(bwrap, &words, host, list)?;
    let words = program("2");
    let ours = world.enter(["--profile", "imported"])?.args(&words).start()?;
    let ours = look(ours, &words, host, list).map_err(|failed| {
        Failed::from(format!("{}\n{}", failed.message().unwrap_or("failed"), imported.map))
    })?;
    let mut unknown = Vec::new();
    for (side, one, other) in [(Side::Bwrap, &theirs, &ours), (Side::Ours, &ours, &theirs)] {
        for seen in one.difference(other) {
            let known = KNOWN.iter().position(|(of, fits, _)| *of == side && fits(seen));
            // The other end of a difference in flags is not listed a second time.
            let is_mqueue = side == Side::Ours && seen.is_mount("mqueue");
            match known {
                Some(known) => drop(used.insert(known)),
                None if is_mqueue => {}
                None => unknown.push(format!("{side:?} alone has {} {}", seen.at, seen.what)),
            }
        }
    }
    ensure!(unknown.is_empty(), "{}\n{}", unknown.join("\n"), imported.map);
    Ok(())
}

/// What there is around a program, once it runs.
fn look(
    running: Running,
    words: &[String],
    host: &BTreeSet<String>,
    list: &str,
) -> Result<BTreeSet<Seen>, Failed> {
    let wanted = format!("{}\0{}\0", words[1], words[2]);
    let starter = running.pid().as_raw_nonzero();
    let has_ended = || {
        let status = read(Path::new(&format!("/proc/{starter}/stat"))).unwrap_or_default();
        status.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('Z'))
    };
    let found =
        until("it starts or ends", || process(&wanted).map(Some).or_else(|| has_ended().then_some(None)))?;
    let Some(pid) = found else {
        let outcome = running.finish()?;
        return Err(format!("it did not start: {}", outcome.stderr.trim()).into());
    };
    let seen = around(pid, host, list)?;
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).ok_or("a pid")?,
        rustix::process::Signal::KILL,
    )?;
    running.finish()?;
    Ok(seen)
}

fn process(cmdline: &str) -> Option<i32> {
    let entries = std::fs::read_dir("/proc").ok()?;
    entries.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        (std::fs::read(entry.path().join("cmdline")).ok()? == cmdline.as_bytes()).then_some(pid)
    })
}

fn read(path: &Path) -> Result<String, Failed> {
    Ok(String::from_utf8_lossy(&std::fs::read(path)?).into_owned())
}

fn around(pid: i32, host: &BTreeSet<String>, list: &str) -> Result<BTreeSet<Seen>, Failed> {
    let table = mountinfo::parse(&read(Path::new(&format!("/proc/{pid}/mountinfo")))?)?;
    let ids: BTreeSet<usize> = table.iter().map(|entry| entry.id).collect();
    let mut root = table.iter().position(|entry| !ids.contains(&entry.parent)).ok_or("a root")?;
    while let Some(over) = table
        .iter()
        .position(|entry| entry.parent == table[root].id && entry.at.is_root() && entry.id != table[root].id)
    {
        root = over;
    }
    let dev = list.split_once("--dev ").and_then(|(_, rest)| rest.split(' ').next()).map(str::to_owned);
    let mut seen = BTreeSet::new();
    let mut add = |at: &str, what: String| {
        let dev = dev.clone().filter(|dev| at == dev || at.starts_with(&format!("{dev}/")));
        let is_asked_for = list.split(' ').any(|word| word == at);
        seen.insert(Seen { at: at.to_owned(), what, dev, is_asked_for });
    };
    let top = format!("/proc/{pid}/root");
    let tops: BTreeMap<&AbsPath, ()> = table.iter().map(|entry| (&entry.at, ())).collect();
    for (at, entry) in table.iter().enumerate() {
        if mountinfo::mount_of(&table, root, &entry.at) != at {
            continue;
        }
        let device = entry.device.clone().unwrap_or_default();
        // The kernel has one of each for a namespace, which bwrap may share with the host.
        let is_new = !host.contains(&device) || matches!(entry.kind.as_str(), "proc" | "mqueue");
        let options: Vec<&str> = entry.options.iter().map(String::as_str).collect();
        let source = match is_new {
            // bwrap's root is a directory of a file system of its own.
            true => "new".to_owned(),
            false => format!("{device} {}", entry.root.as_deref().unwrap_or_default()),
        };
        add(entry.at.as_str(), format!("mount {} {source} {}", entry.kind, options.join(",")));
        if is_new && entry.kind == "tmpfs" {
            let path = format!("{top}{}", entry.at);
            let space = rustix::fs::statvfs(path.as_str())?;
            let size = space.f_blocks * space.f_frsize;
            if size < 64 << 20 && !entry.at.is_root() {
                add(entry.at.as_str(), format!("size {size}"));
            }
            let here = std::fs::symlink_metadata(&path)?;
            add(entry.at.as_str(), format!("dir {:o} {}", here.permissions().mode() & 0o7777, here.uid()));
            let mut below = vec![entry.at.clone()];
            while let Some(folder) = below.pop() {
                for child in std::fs::read_dir(format!("{top}{folder}"))? {
                    let child = child?;
                    let place = folder.join(&child.file_name().to_string_lossy())?;
                    let status = std::fs::symlink_metadata(child.path())?;
                    let kind = status.file_type();
                    if kind.is_symlink() {
                        add(place.as_str(), format!("link {:?}", std::fs::read_link(child.path())?));
                    } else if kind.is_char_device() {
                        add(place.as_str(), format!("device {}", status.rdev()));
                    } else if tops.contains_key(&place) {
                        add(
                            place.as_str(),
                            format!("mounted on, {}", if kind.is_dir() { "dir" } else { "file" }),
                        );
                    } else if kind.is_dir() {
                        let mode = status.permissions().mode() & 0o7777;
                        add(place.as_str(), format!("dir {mode:o} {}", status.uid()));
                        below.push(place);
                    } else {
                        add(place.as_str(), "file".to_owned());
                    }
                }
            }
        }
    }
    Ok(seen)
}
