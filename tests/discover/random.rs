//! Hosts that nobody has: odd paths, odd names, homes in the way of everything.

use proptest::prelude::*;

use session_sandbox::discover::{AutofsMap, Found, FstabLine, Lead, LoginDefs, Mounted, Said, User};
use session_sandbox::model::facts::PathFact;
use session_sandbox::model::path::AbsPath;

/// Places that a host may have.
pub(crate) const PLACES: [&str; 22] = [
    "/run/nscd",
    "/run/dbus",
    "/run/munge",
    "/run/slurm",
    "/run/docker.sock",
    "/run/.heim_org.h5l.kcm-socket",
    "/run/systemd/resolve",
    "/run/systemd/userdb",
    "/run/current-system",
    "/nix/var/nix/profiles/system",
    "/var/lib/sss/pipes",
    "/var/lib/sss/mc",
    "/var/lib/lxcfs",
    "/var/lib/texmf",
    "/var/guix",
    "/var/mail",
    "/var/spool/mail",
    "/var/www",
    "/var/run",
    "/dev/tty1",
    "/dev/dri",
    "/run/media",
];
const TOPS: [&str; 18] = [
    "usr",
    "bin",
    "sbin",
    "lib",
    "lib64",
    "etc",
    "opt",
    "srv",
    "home",
    "nix",
    "gnu",
    "scratch",
    "data",
    "work",
    "media",
    "mnt",
    "snap",
    "odd \"name\"%",
];
/// Where mounts and homes may be, and where nobody would have them.
const ODD_PLACES: [&str; 54] = [
    "/",
    "/home",
    "/home/u",
    "/home/x/u",
    "/opt",
    "/opt/x",
    "/usr",
    "/usr/x",
    "/bin",
    "/bin/x",
    "/lib64/x",
    "/etc",
    "/etc/x",
    "/proc",
    "/proc/1",
    "/proc/meminfo",
    "/sys",
    "/sys/x",
    "/dev",
    "/dev/pts",
    "/dev/pts/1",
    "/dev/mqueue",
    "/dev/tty1",
    "/run",
    "/run/user",
    "/run/user/1000",
    "/run/nscd",
    "/run/nscd/x",
    "/run/systemd",
    "/var",
    "/var/run",
    "/var/run/x",
    "/var/mail",
    "/var/mail/x",
    "/var/spool",
    "/var/spool/mail",
    "/var/tmp",
    "/var/tmp/x",
    "/tmp",
    "/tmp/x",
    "/nix",
    "/nix/store",
    "/scratch",
    "/scratch/a",
    "/data",
    "/data/b/c",
    "/srv",
    "/mnt/two words",
    "/mnt/a\"b\\c%u%",
    "/mnt/line\nbreak = 1",
    "/mnt/\u{202e}evil",
    "relative",
    "/a/../b",
    "/mnt/\u{fffd}",
];

fn fact() -> impl Strategy<Value = PathFact> {
    prop_oneof![
        4 => Just(PathFact::Directory),
        1 => Just(PathFact::File),
        2 => Just(PathFact::Socket),
        1 => Just(PathFact::Device),
        2 => prop::sample::select(vec!["usr/bin", "/data/x", "../..", "a\"\n[[profile]]", "/scratch/y%"])
            .prop_map(|to| PathFact::Symlink(to.to_owned())),
    ]
}

fn place() -> impl Strategy<Value = String> {
    prop::sample::select(ODD_PLACES.to_vec()).prop_map(str::to_owned)
}

/// What a mount table or a file may say, and what nobody would write.
fn word() -> impl Strategy<Value = String> {
    let odd = ["srv:/x", "", "a b", "\"\n\u{7f}[[profile]]\n", "%u%", "\u{202e}", "#", &"long".repeat(40)];
    prop_oneof![prop::sample::select(odd.map(str::to_owned).to_vec()), "\\PC{0,20}", any::<String>()]
}

fn kind() -> impl Strategy<Value = String> {
    let known = ["nfs4", "lustre", "cifs", "autofs", "ext4", "tmpfs", "proc", "fuse.lxcfs"];
    prop_oneof![4 => prop::sample::select(known.map(str::to_owned).to_vec()), 1 => word()]
}

fn mounts() -> impl Strategy<Value = (Vec<Mounted>, Vec<FstabLine>, Vec<AutofsMap>)> {
    let mounted = (place(), kind(), word(), word()).prop_map(|(at, kind, source, options)| Mounted {
        at,
        kind,
        source,
        options,
    });
    let options = prop::sample::select(vec!["defaults", "noauto", "x-systemd.automount", "user,ro"]);
    let line =
        (1_usize..99, word(), place(), kind(), options).prop_map(|(number, source, at, kind, options)| {
            FstabLine { number, source, at, kind, options: options.to_owned() }
        });
    let map = (word(), place(), word()).prop_map(|(place, at, map)| AutofsMap { place, at, map });
    let several = 0..6_usize;
    (
        prop::collection::vec(mounted, several.clone()),
        prop::collection::vec(line, several.clone()),
        prop::collection::vec(map, several),
    )
}

fn users() -> impl Strategy<Value = Vec<User>> {
    let name = prop_oneof![4 => Just("u".to_owned()), 1 => word()];
    let user = (name, 0_u32..3000, proptest::option::of(word()), place(), any::<bool>())
        .prop_map(|(name, uid, group, home, logs_in)| User { name, uid, group, home, logs_in });
    prop::collection::vec(user, 0..6)
}

pub(crate) fn found() -> impl Strategy<Value = Found> {
    let tops = prop::collection::btree_map(
        prop::sample::select(TOPS.to_vec()).prop_map(str::to_owned),
        fact(),
        0..18,
    );
    let places = prop::collection::btree_map(
        prop::sample::select(PLACES.to_vec()).prop_map(str::to_owned),
        fact(),
        0..22,
    );
    let lead = (word(), prop::collection::vec(place(), 1..3), fact()).prop_filter_map(
        "no path",
        |(name, through, end)| {
            let link = AbsPath::new(&format!("/etc/{}", name.replace('/', "-"))).ok()?;
            let through = through.iter().filter_map(|place| AbsPath::new(place).ok()).collect();
            Some(Lead { link, through, end })
        },
    );
    let said = |value: u32| Some(Said { place: "/etc/login.defs:1".to_owned(), value });
    let login = (any::<u32>(), any::<u32>(), 0_u32..0o777, word()).prop_map(move |(min, max, mask, path)| {
        LoginDefs {
            uid_min: said(min % 3000),
            uid_max: said(max),
            umask: said(mask),
            path: Some(Said { place: "x".to_owned(), value: format!("/bin:{path}") }),
        }
    });
    let words = || prop::collection::vec(word(), 0..12);
    let names = prop::sample::subsequence(vec!["sss", "systemd", "mdns4", "ldap", "resolve", "dns"], 0..6);
    (tops, places, prop::collection::vec(lead, 0..4), mounts(), users(), login, words(), names, words())
        .prop_map(|(top, places, leads, (mounts, fstab, autofs), users, login, pam, names, unread)| {
            let name_services = names.into_iter().map(str::to_owned).collect();
            let unread = unread.iter().map(|word| (word.clone(), word.clone())).collect();
            let groups = Vec::new();
            Found {
                top,
                places,
                leads,
                mounts,
                fstab,
                autofs,
                users,
                groups,
                login,
                name_services,
                pam,
                unread,
            }
        })
}
