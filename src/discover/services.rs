//! Services of the host that programs talk to: which are shown, which can be, and which are better not.

use crate::model::facts::PathFact;
use crate::model::path::AbsPath;

use super::found::Found;
use super::storage;
use crate::paper::{Entry, Paper, listed, shown};

/// A service that is shown: its folder or socket, who in `/etc/nsswitch.conf` needs it, and what it is.
type Answering = (&'static str, &'static [&'static str], &'static str);

const ANSWERING: [Answering; 12] = [
    ("/run/systemd/resolve", &["resolve"], "systemd-resolved: names of hosts"),
    ("/run/nscd", &[], "nscd: names of users, groups and hosts"),
    ("/run/nslcd", &["ldap"], "nslcd: users and groups of an LDAP server"),
    ("/run/samba/winbindd", &["winbind", "wins"], "winbind: users and groups of a domain"),
    ("/run/systemd/userdb", &["systemd"], "systemd: users and groups that it knows of"),
    ("/run/avahi-daemon", &["mdns*"], "Avahi: names of hosts in the local network"),
    ("/var/lib/sss/pipes", &["sss"], "sssd: users and groups of a directory"),
    ("/var/lib/sss/mc", &["sss"], "sssd's memory of what it was asked before"),
    ("/var/lib/sss/pubconf", &["sss"], "what sssd knows of Kerberos' servers"),
    ("/run/.heim_org.h5l.kcm-socket", &[], "sssd's keeper of Kerberos tickets"),
    ("/run/munge", &[], "MUNGE: who a program of the cluster's runs as"),
    ("/run/slurm", &[], "Slurm: its configuration, and who a program runs as"),
];

/// Sockets by which whoever can connect becomes root on the host, or comes close.
const HANDS_OUT_ROOT: [&str; 13] = [
    "/run/docker.sock",
    "/var/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/run/podman/podman.sock",
    "/run/crio/crio.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/lxd.socket",
    "/var/lib/lxd/unix.socket",
    "/var/snap/lxd/common/lxd/unix.socket",
    "/var/lib/incus/unix.socket",
    "/run/libvirt/libvirt-sock",
    "/run/libvirt/virtqemud-sock",
    "/run/snapd.socket",
];

/// What may be shown: where it is, how, and what is to be said.
type Offer = (&'static str, &'static [&'static str], &'static str);

const OFFERS: [Offer; 17] = [
    (
        "/run/dbus",
        &["ro"],
        "The system bus. Programs can then ask services of the host, and these decide by the user alone what they do: \
         polkit knows nothing of this root.",
    ),
    (
        "/run/systemd/journal",
        &["ro"],
        "The system log, for programs that write to it. They look for /dev/log, which is a link to dev-log in there.",
    ),
    (
        "/tmp/.X11-unix",
        &["ro"],
        "The X display of this host. Programs inside could see every key that is typed there.",
    ),
    ("/run/cups", &["ro"], "Printers, by CUPS."),
    ("/run/postgresql", &["ro"], "PostgreSQL, which asks the kernel who connects."),
    ("/run/mysqld", &["ro"], "MySQL or MariaDB."),
    ("/run/redis", &["ro"], "Redis."),
    ("/var/www", &[], "What the web server serves, as far as the user's rights go."),
    ("/srv", &["ro"], "Data of this host's services."),
    ("/var/lib/dpkg", &["ro", "noexec"], "For `dpkg -l`: which packages are installed."),
    ("/var/lib/rpm", &["ro", "noexec"], "For `rpm -q`: which packages are installed."),
    ("/dev/dri", &["dev", "noexec"], "Graphics processors. Who may use one is the host's matter."),
    (
        "/dev/nvidia0",
        &["dev", "noexec"],
        "Nvidia's processors; each has a device, and so have their helpers.",
    ),
    ("/dev/kfd", &["dev", "noexec"], "AMD's processors, for programs that compute."),
    ("/dev/infiniband", &["dev", "noexec"], "The fast network."),
    ("/dev/kvm", &["dev", "noexec"], "Virtual machines."),
    (
        "/dev/fuse",
        &["dev", "noexec"],
        "File systems of the user's own. Mounting one takes more than the device.",
    ),
];
/// Nvidia's further devices.
const NVIDIA: [&str; 7] = [
    "/dev/nvidia1",
    "/dev/nvidia2",
    "/dev/nvidia3",
    "/dev/nvidiactl",
    "/dev/nvidia-uvm",
    "/dev/nvidia-uvm-tools",
    "/dev/nvidia-modeset",
];

/// Folders with data of programs, without which they are slow or do not work.
const CACHES: [(&str, &str); 4] = [
    ("/var/cache/fontconfig", "Caches without which programs only become slower."),
    ("/var/cache/man", ""),
    ("/var/lib/texmf", "TeX's formats, without which it does not start."),
    ("/var/lib/flatpak", "Programs that came with Flatpak."),
];

/// Mail, jobs, and where removable disks appear.
const OTHERS: [&str; 8] = [
    "/var/mail",
    "/var/spool/mail",
    "/var/spool/cron",
    "/var/spool/at",
    "/var/spool/slurmd",
    "/media",
    "/run/media",
    "/snap",
];

/// All places that have to be looked at.
pub(super) fn places() -> impl Iterator<Item = &'static str> {
    let answering = ANSWERING.iter().map(|(place, ..)| *place);
    let offers = OFFERS.iter().map(|(place, ..)| *place);
    let caches = CACHES.iter().map(|(place, _)| *place);
    answering.chain(offers).chain(caches).chain(HANDS_OUT_ROOT).chain(OTHERS).chain(NVIDIA)
}

/// Writes entries for services that are shown.
pub(super) fn write_answering(found: &Found, paper: &mut Paper) {
    for (place, asked, what) in ANSWERING {
        let is_there = found.has(place) || found.has_socket(place);
        let asking = found.asks(asked);
        let Some(path) = AbsPath::new(place).ok().filter(|_| is_there || asking) else { continue };
        let reason = match (is_there, asking) {
            (true, true) => "it is there, and /etc/nsswitch.conf names it",
            (true, false) => "it is there",
            (false, _) => "/etc/nsswitch.conf names it, though it is not there now",
        };
        let why = format!("{}. Shown because {reason}.", what);
        // What is not there now may be behind a link once it is.
        let entry = Entry::bind(path).why(why).follow_if(!is_there || found.is_linked(place));
        paper.entry(entry.options(&["ro", "noexec"]).optional());
    }
}

/// Mail boxes, and data of programs.
pub(super) fn write_data(found: &Found, paper: &mut Paper) {
    paper.heading("Mail, and what programs keep");
    let [mail, spool] = ["/var/mail", "/var/spool/mail"].map(|path| (path, found.at(path)));
    let (real, other) = if *spool.1 == PathFact::Directory && *mail.1 != PathFact::Directory {
        (spool, mail)
    } else {
        (mail, spool)
    };
    if let (true, Ok(path)) = (*real.1 != PathFact::Missing, AbsPath::new(real.0)) {
        let origin = storage::origin(found, &path);
        let mut entry = Entry::bind(path).why("Mail boxes. Who may read one is the host's matter.");
        if let Some(origin) = origin {
            entry = entry.why(format!("{origin}.")).open_as_user().slave();
        }
        paper.entry(entry.follow().options(&["noexec"]).optional());
        if let (PathFact::Symlink(_), Ok(path)) = (other.1, AbsPath::new(other.0))
            && !paper.shows(&path)
        {
            paper.entry(Entry::link(path, real.0).why("The other name of the same."));
        }
    }
    let mut any = *real.1 != PathFact::Missing;
    for (place, what) in CACHES {
        if let (true, Ok(path)) = (found.has(place), AbsPath::new(place)) {
            any = true;
            let options: &[&str] = if place.starts_with("/var/cache") { &["ro", "noexec"] } else { &["ro"] };
            let entry = Entry::bind(path).follow_if(found.is_linked(place)).options(options).optional();
            paper.entry(if what.is_empty() { entry } else { entry.why(what) });
        }
    }
    if !any {
        paper.comment("No mail boxes and no caches were found.");
    }
}

/// Writes examples of what may be shown.
pub(super) fn write_offers(found: &Found, paper: &mut Paper) {
    paper.heading("To choose from: found here, and a matter of taste");
    for (place, options, what) in OFFERS {
        let Ok(path) = AbsPath::new(place) else { continue };
        if *found.at(place) == PathFact::Missing || paper.has(&path) || paper.shows(&path) {
            continue;
        }
        let entry = if *found.at(place) == PathFact::Device {
            let others = NVIDIA.iter().filter(|_| place == "/dev/nvidia0");
            let others = others.filter(|other| *found.at(other) == PathFact::Device);
            let devices = std::iter::once(&place).chain(others);
            Entry::system(devices.filter_map(|path| Some((AbsPath::new(path).ok()?, false))).collect())
                .options(&["rw", "dev", "noexec"])
        } else {
            let entry = Entry::bind(path).follow().optional();
            if options.is_empty() { entry } else { entry.options(options) }
        };
        paper.entry(entry.why(what).example());
        if place == "/run/systemd/journal" {
            paper
                .entry(Entry::at("/dev/log", "symlink").text("to", "/run/systemd/journal/dev-log").example());
        }
    }
    let media = if found.has("/run/media") { "/run/media/%u" } else { "/media/%u" };
    if found.has("/media") || found.has("/run/media") {
        let why = "Disks that somebody plugs in while the session runs.";
        paper.entry(Entry::at(media, "bind").why(why).slave().options(&["noexec"]).optional().example());
    }
    paper.entry(
        Entry::at("/etc/ssh", "mask")
            .why("Something below /etc that nobody inside should see, for instance:")
            .optional()
            .example(),
    );
}

/// Says what is left out, and why.
pub(super) fn write_left_out(found: &Found, paper: &mut Paper) {
    paper.heading("Left out on purpose");
    for socket in HANDS_OUT_ROOT.iter().filter(|socket| found.has_socket(socket)) {
        let mut text = format!("Left out: {socket} hands out root on the host to whoever can connect to it.");
        let group = ["docker", "podman", "lxd", "incus-admin", "libvirt"].into_iter().find(|group| {
            let stem = group.trim_end_matches("-admin");
            socket.contains(stem)
        });
        let members = found.groups.iter().filter(|known| Some(known.name.as_str()) == group);
        for known in members.filter(|known| !known.members.is_empty()) {
            text.push_str(&format!(
                " Members of {} can use it outside of their root: {}.",
                shown(&known.name),
                listed(&known.members)
            ));
        }
        paper.comment(text);
    }
    if found.has("/var/spool/cron") || found.pam.iter().any(|name| name.starts_with("cron")) {
        paper.comment(
            "Left out: /var/spool/cron. Jobs run inside, but `crontab` changes its files with rights that no program \
             gains here. Users change their jobs on the host, or root does it for them.",
        );
    }
    if found.has("/var/spool/at") || found.pam.iter().any(|name| name == "atd") {
        paper.comment("Left out: the jobs of `at`, for the same reason.");
    }
    if found.has("/var/spool/slurmd") {
        paper
            .comment("Left out: /var/spool/slurmd. Jobs of Slurm are not logins, and see the host as it is.");
    }
    if found.has("/snap") {
        paper.comment(
            "Left out: /snap. Its programs start by way of one that becomes root and looks at the host's mounts, and no \
             program becomes root here.",
        );
    }
    paper.comment(
        "Left out: /root, /boot, /var/log and what services keep in /var/lib. Somebody who needs such a thing can have \
         it by an entry of its own.",
    );
}
