//! What every map has: the programs, what the kernel shows, places for temporary files, `/run`.

use crate::model::facts::PathFact;
use crate::model::path::AbsPath;

use super::found::Found;
use super::storage;
use crate::paper::{Entry, Paper, listed, shown, usable};

/// Where programs and libraries are. `/lib` stands for all that begins so: /lib64, /libx32.
const SYSTEM: [&str; 4] = ["/usr", "/bin", "/sbin", "/lib"];
/// What the map says where none of them was found.
const ALL_SYSTEM: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];
/// Where somebody sits and logs in.
const TERMINALS: [&str; 14] = [
    "/dev/tty1",
    "/dev/tty2",
    "/dev/tty3",
    "/dev/tty4",
    "/dev/tty5",
    "/dev/tty6",
    "/dev/ttyS0",
    "/dev/ttyS1",
    "/dev/ttyS2",
    "/dev/ttyS3",
    "/dev/ttyAMA0",
    "/dev/ttyUSB0",
    "/dev/hvc0",
    "/dev/sclp_line0",
];
/// What LXCFS has of its own.
const LXCFS: [&str; 8] =
    ["cpuinfo", "diskstats", "loadavg", "meminfo", "slabinfo", "stat", "swaps", "uptime"];
const LXCFS_FOLDER: &str = "/var/lib/lxcfs";
/// Places that entries here depend on.
const PLACES: [&str; 8] = [
    "/nix/store",
    "/nix/var/nix/profiles/system",
    "/gnu/store",
    "/var/guix",
    "/var/guix/profiles/system",
    "/run/current-system",
    "/var/run",
    LXCFS_FOLDER,
];

/// All places that have to be looked at.
pub(super) fn places() -> impl Iterator<Item = &'static str> {
    PLACES.into_iter().chain(TERMINALS)
}

/// Is this the root of NixOS or of Guix, where programs are known by their store alone?
pub(super) fn has_generations(found: &Found) -> bool {
    matches!(found.at("/run/current-system"), PathFact::Symlink(_))
}

/// Programs and their configuration.
pub(super) fn write_programs(found: &Found, paper: &mut Paper) {
    paper.heading("Programs");
    paper.entry(
        Entry::at("/", "tmpfs")
            .why("The top: a few directories and links, which nobody can change.")
            .text("size", "4M")
            .text("mode", "0755")
            .options(&["ro"]),
    );
    let programs = programs(found);
    if programs.paths.is_empty() {
        paper.comment("No directory with programs was found in any of the usual places.");
    } else {
        paper.entry(programs);
    }
    write_stores(found, paper);
    if found.has("/opt") {
        let path = AbsPath::new("/opt").unwrap_or_else(|_| AbsPath::root());
        let below = storage::below(found, &path);
        let mut entry = Entry::bind(path).why("/opt has programs that did not come with the system.");
        entry = entry.follow_if(found.is_linked("/opt"));
        if !below.is_empty() {
            let below = listed(below.iter().map(AbsPath::as_str));
            entry = entry.why(format!("Mounted below it, and read-only here as well: {below}.")).slave();
        }
        paper.entry(entry.options(&["ro"]).optional());
    }
    let mut entry = Entry::at("/etc", "bind").why(
        "Configuration, all of it: what users cannot read on the host they cannot read here. What its links need is \
         below.",
    );
    if let Some(origin) = AbsPath::new("/etc").ok().and_then(|etc| storage::origin(found, &etc)) {
        entry = entry.why(format!("{origin}."));
    }
    paper.entry(entry.follow_if(found.is_linked("/etc")).options(&["ro"]));
}

fn programs(found: &Found) -> Entry {
    let is_system = |path: &str| {
        let library =
            path.strip_prefix("/lib").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_alphanumeric()));
        SYSTEM.contains(&path) || library
    };
    let mut paths = Vec::new();
    let mut links = Vec::new();
    for (name, fact) in &found.top {
        let Some(path) = usable(&format!("/{name}")).filter(|path| is_system(path.as_str())) else {
            continue;
        };
        match fact {
            PathFact::Symlink(to) => {
                links.push(format!("{path} to {to}"));
                paths.push((path, true));
            }
            PathFact::Directory => paths.push((path, false)),
            _ => {}
        }
    }
    // /usr first: the rest is made of it.
    paths.sort_by_key(|(path, _)| path.as_str() != "/usr");
    let merged = found.top.get("bin").is_some_and(|fact| matches!(fact, PathFact::Symlink(_)));
    let text = match (paths.is_empty(), merged) {
        (true, _) => "None of these was found on the host. What there is of them is shown.".to_owned(),
        (_, true) => format!("The host has one tree of programs, and links into it: {}.", listed(links)),
        (_, false) if has_generations(found) || found.has("/gnu") || found.has("/nix/store") => {
            "Most programs are in the store below; what the system keeps in the usual places is here."
                .to_owned()
        }
        (_, false) if links.is_empty() => {
            "/bin and the like are directories beside /usr on this host.".to_owned()
        }
        (_, false) => format!("/bin is a directory beside /usr on this host. Links: {}.", listed(links)),
    };
    if paths.is_empty() {
        let missing = ALL_SYSTEM.iter().filter(|path| *found.at(path) == PathFact::Missing);
        paths = missing.filter_map(|path| Some((AbsPath::new(path).ok()?, false))).collect();
    }
    Entry::system(paths).why(format!("{text} Read-only, by its kind."))
}

/// Stores of Nix and Guix, and how their programs are found.
fn write_stores(found: &Found, paper: &mut Paper) {
    for (top, what) in [("/nix", "Nix"), ("/gnu", "Guix")] {
        if found.has(top) {
            let entry = Entry::at(top, "bind").why(format!(
                "The store of {what}. Users can still have it build, through its service and as far as that lets them."
            ));
            paper.entry(entry.follow_if(found.is_linked(top)).options(&["ro"]).optional());
        }
    }
    if found.has("/var/guix") {
        let why = "The profiles of Guix, and the socket of its service.";
        let entry = Entry::at("/var/guix", "bind").why(why).follow_if(found.is_linked("/var/guix"));
        paper.entry(entry.options(&["ro"]).optional());
    }
    let profile = ["/nix/var/nix/profiles/system", "/var/guix/profiles/system"]
        .into_iter()
        .find(|profile| *found.at(profile) != PathFact::Missing);
    if let Some(profile) = profile.filter(|_| has_generations(found)) {
        let why = "The programs of the system: on the host a link to the generation that runs, here to the one that was \
                   switched to last. Programs in /run/wrappers would gain rights, which none does inside.";
        paper.entry(Entry::at("/run/current-system", "symlink").why(why).text("to", profile));
    }
}

/// What the kernel shows, and devices.
pub(super) fn write_kernel(found: &Found, paper: &mut Paper) {
    paper.heading("What the kernel shows");
    paper.entry(Entry::at("/proc", "proc").why("Processes: those of the session, by `wall` above."));
    write_lxcfs(found, paper);
    paper.entry(Entry::at("/sys", "sysfs").optional());
    let why = "The devices that every program expects. `size` is for shared memory, /dev/shm.";
    paper.entry(Entry::at("/dev", "dev").why(why).text("size", "1G"));
    let terminals = TERMINALS.iter().filter(|path| *found.at(path) == PathFact::Device);
    let terminals: Vec<(AbsPath, bool)> =
        terminals.filter_map(|path| Some((AbsPath::new(path).ok()?, false))).collect();
    if terminals.is_empty() {
        paper.comment("The host has no terminal at which somebody could sit.");
    } else {
        let why = "The terminals where somebody sits: `login` opens one by its name when it is inside.";
        paper.entry(Entry::system(terminals).why(why).options(&["rw", "dev", "noexec"]));
    }
    paper.entry(Entry::at("/dev/pts", "devpts").why("Terminals of the session's own, and message queues."));
    paper.entry(Entry::at("/dev/mqueue", "mqueue").optional());
}

/// LXCFS tells those in a container of the container's memory and processors, where the kernel tells of all.
fn write_lxcfs(found: &Found, paper: &mut Paper) {
    let over = |name: &str| format!("/proc/{name}");
    let is_over =
        |name: &&&str| found.mounts.iter().any(|mount| mount.kind == "fuse.lxcfs" && mount.at == over(name));
    let covered: Vec<&&str> = LXCFS.iter().filter(is_over).collect();
    if !covered.is_empty() {
        for (at, name) in covered.iter().enumerate() {
            let Ok(path) = AbsPath::new(&over(name)) else { continue };
            let entry = Entry::bind(path).options(&["ro", "noexec"]).optional();
            paper.entry(match at {
                0 => entry.why("This host is a container, and LXCFS tells of its own share in the machine. So it does here."),
                _ => entry,
            });
        }
        return;
    }
    if !found.has(LXCFS_FOLDER) {
        return;
    }
    for (at, name) in ["cpuinfo", "meminfo", "uptime"].iter().enumerate() {
        let [Ok(path), Ok(source)] =
            [over(name), format!("{LXCFS_FOLDER}/proc/{name}")].map(|path| AbsPath::new(&path))
        else {
            continue;
        };
        let entry = Entry::bind(path).source(&source).options(&["ro", "noexec"]).optional().example();
        paper.entry(match at {
            0 => entry.why(
                "LXCFS runs here. With these, programs see the memory and processors of their control group in place of \
                 the machine's.",
            ),
            _ => entry,
        });
    }
}

/// Places for temporary files.
pub(super) fn write_temporary(found: &Found, paper: &mut Paper) {
    paper.heading("Temporary files");
    let host = found.mounts.iter().rfind(|mount| mount.at == "/tmp");
    let host = match host {
        Some(mount) => {
            format!("/tmp of the host is {} of its own ({}).", shown(&mount.kind), shown(&mount.source))
        }
        None => "/tmp of the host is a directory on its disk.".to_owned(),
    };
    let why =
        format!("{host} Here it is empty at first, in memory, and gone with the session. So is /var/tmp.");
    let entry = |at| Entry::at(at, "tmpfs").text("size", "2G").text("mode", "1777");
    paper.entry(entry("/tmp").why(why));
    paper.entry(entry("/var/tmp"));
}

/// `/run` itself.
pub(super) fn write_run(found: &Found, paper: &mut Paper) {
    paper.heading("/run, and who answers there");
    paper.entry(
        Entry::at("/run", "tmpfs")
            .why("Empty, but for what follows.")
            .text("size", "1M")
            .text("mode", "0755")
            .options(&["ro"]),
    );
    let text = match found.at("/var/run") {
        PathFact::Directory => "On the host /var/run is a directory of its own. Programs look in both.",
        _ => "As on the host.",
    };
    paper.entry(Entry::at("/var/run", "symlink").why(text).text("to", "/run"));
    paper.entry(
        Entry::at("/run/user/%U", "bind")
            .why("The user's own sockets, made by logind before a session opens. A host without logind has none.")
            .open_as_user()
            .optional(),
    );
}
