//! pam_chroot itself, and what we say that it does: the same users get in, and into the same directories.

mod checked;
mod login;
mod session;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};
use session_sandbox::compat::chroot::{
    Decision, Options, Outcome, Reading, Trouble, Who, checked, decide, outcome,
};
use session_sandbox::host::match_pattern as matcher;

use crate::support::{HostMounts, Needs, Run, Verdict, ensure, ensure_eq, isolated};

const NEEDS: &[Needs] =
    &[Needs::Root, Needs::PamModule("pam_chroot.so"), Needs::Tool("cc"), Needs::Tool("mount")];

pub fn trials() -> Vec<Trial> {
    let own = |name: &str, test: fn() -> Verdict| {
        isolated(format!("chrooted: {name}"), NEEDS, HostMounts::Private, test)
    };
    vec![
        own("pam_chroot and we decide the same", the_same),
        own("pam_chroot and we decide the same about random files", random_files),
        own("pam_chroot's checks look where we say that they look", checks),
        isolated(
            "chrooted: a session by the map of a chroot.conf is where pam_chroot would have put it",
            &[Needs::Root, Needs::OrdinaryUser, Needs::Tool("mount")],
            HostMounts::Shared,
            session::is_the_same,
        ),
        isolated(
            "chrooted: a login by our module in pam_chroot's place comes to the same",
            &[
                Needs::Root,
                Needs::PamHost,
                Needs::PamModule("pam_chroot.so"),
                Needs::Tool("cc"),
                Needs::Tool("mount"),
            ],
            HostMounts::Shared,
            login::is_the_same,
        ),
        isolated(
            "chrooted: session-enter reads a chroot.conf as pam_chroot does, and opens that root",
            &[Needs::Root, Needs::OrdinaryUser, Needs::Tool("mount")],
            HostMounts::Shared,
            session::by_the_file_itself,
        ),
        isolated(
            "chrooted: what is wrong with a chroot.conf is told before a login, and `native` takes patterns for whole names",
            &[Needs::Root, Needs::PamModule("pam_chroot.so"), Needs::Tool("cc"), Needs::Tool("mount")],
            HostMounts::Shared,
            checked::is_told,
        ),
    ]
}

const CONF: &str = "/etc/security/chroot.conf";
/// PAM_SESSION_ERR.
const SESSION_ERROR: i32 = 14;
/// Below it the directories are that decisions name.
const JAILS: &str = "/run/jails";

/// Users: name and primary group. Nobody knows the last two.
const USERS: [(&str, u32); 8] = [
    ("bob", 2000),
    ("bobby", 2001),
    ("BOB", 2000),
    ("stu17", 2004),
    ("lost", 4999),
    ("many", 2001),
    ("ghost", 0),
    ("p%g", 0),
];
const KNOWN: usize = 6;
/// Groups: name, id, members.
const GROUPS: [(&str, u32, &str); 7] = [
    ("pamchroot", 2002, "bob"),
    ("staff", 2000, "bob"),
    ("users", 2001, ""),
    ("xpamchroot-old", 2003, "bobby,bob"),
    ("stu", 2004, ""),
    ("twice", 2005, "bobby,bobby"),
    ("s%u", 2006, "bobby"),
];

/// Options of the services, each of which meets every file and every user.
const SERVICES: [&str; 10] = [
    "",
    "use_groups",
    "use_regex",
    "use_ext_regex debug",
    "use_groups use_regex notfound=failure",
    "use_ext_regex use_groups use_regex onerr=fail",
    "use_groups notfound=failure onerr=succeed",
    "onerr=fail notfound=success no_chroot use_groups",
    "onerr=notfail use_first_pass nonsense chroot_dir= notfound=fail",
    "chroot_dir=/run/jails/%u chroot_dir=/run/jails/second onerr=succeed",
];

const FILES: [&str; 54] = [
    "",
    "bob /run/jails/A\n",
    "bob /run/jails/A",
    "bob /run/jails/A\r\nbobby /run/jails/B\r\n",
    "# bob /run/jails/A\n\n  \t\nbob\t/run/jails/B # C\n",
    "bob /run/jails/A#x\n",
    "bob#x /run/jails/A\nbob /run/jails/B\n",
    "bob\nbob /run/jails/B\n",
    "bob /run/jails/A /run/jails/B more\n",
    "bob /run/jails/A\nbob /run/jails/B\n",
    "bo /run/jails/A\nbobb /run/jails/B\n",
    "bob\u{b}y /run/jails/A\n",
    "bob\u{c} /run/jails/A\n",
    "\u{b}bob /run/jails/A\n",
    "BOB /run/jails/A\n",
    "ghost /run/jails/A\nlost /run/jails/B\n",
    "p%g /run/jails/x-%u\n",
    "^bob$ /run/jails/A\n",
    "^b(o)(b)*y?$ /run/jails/%1\n",
    r"^b\(o\)b$ /run/jails/%1",
    "b(o)|(b) /run/jails/%2\n",
    "(x)?(b) /run/jails/%1\n",
    "(x)?(b) /run/jails/%2%0%%1\n",
    "b(o /run/jails/A\nbob /run/jails/B\n",
    "[ /run/jails/A\n* /run/jails/B\n",
    "^stu([0-9]+)$ /run/jails/%1\n",
    "stu[0-9]{2} /run/jails/%0\n",
    "(.)(.)(.)(.)?(.)?(.)?(.)?(.)?(.)?(.)? /run/jails/%9%3\n",
    ". /run/jails/%0-%u\n",
    "^$ /run/jails/A\n",
    "(b{1,60}){1,60}ob /run/jails/A\n",
    "@staff /run/jails/A\n",
    "@pamchroot /run/jails/%u\n",
    "@pamchroot /run/jails/%0\n",
    "@^pamchroot$ /run/jails/%0\n",
    "@PAMCHROOT /run/jails/A\n",
    "bob /run/jails/B\n@staff /run/jails/A\n",
    "@twice /run/jails/A\n@s%u /run/jails/B\n",
    "@4999 /run/jails/%g\n",
    "@ /run/jails/A\nbob /run/jails/B\n",
    "@s(.*)f /run/jails/%1\n",
    "@m64 /run/jails/A\n@m63 /run/jails/B\n@m62 /run/jails/C\n",
    "@\nbob /run/jails/B\n",
    "bob /run/jails/%g\n",
    "@pamchroot /run/jails/%G\n@s%u /run/jails/%g\n",
    "bob /run/jails/%u/%U/%%\n",
    "bob /run/jails/%x\nbob /run/jails/A\n",
    "bob /run/jails/A%\n",
    "bob /run/jails/%%%\n",
    "bob /run/jails/%h\n",
    "bob /run/missing\n",
    "bob run/twofold\nbobby run\n",
    "bob /run/jails/../jails/./A//\nbobby /run/jails/link\n",
    "bob /run/file\nbobby /\n",
];

/// Where the module does something else than we say, and why that is so.
fn difference(trouble: &Trouble) -> Option<Seen> {
    match trouble {
        // It takes the length of a group's name that is not there. We say that it is missing.
        Trouble::NoGroup(_) => Some(Seen::Signal(libc::SIGSEGV)),
        // It writes out every repetition, however much memory that takes. We do not.
        Trouble::Repeats(_) => Some(Seen::Anything),
        _ => None,
    }
}

/// What came of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    /// The result, and the root by device and number.
    Result(i32, (u64, u64)),
    /// The process ended by a signal.
    Signal(i32),
    /// Not compared.
    Anything,
}

fn number(path: &Path) -> std::io::Result<(u64, u64)> {
    std::fs::metadata(path).map(|found| (found.dev(), found.ino()))
}

/// What the application prints of a session.
fn read(line: &str) -> Option<Seen> {
    let (first, second) = line.split_once(' ')?;
    if first == "signal" {
        return Some(Seen::Signal(second.parse().ok()?));
    }
    let (device, inode) = second.split_once(':')?;
    Some(Seen::Result(first.parse().ok()?, (device.parse().ok()?, inode.parse().ok()?)))
}

/// The host of these tests: its users, its PAM services, the application.
struct Stage {
    host: PathBuf,
    users: Vec<Who>,
    root: (u64, u64),
}

impl Stage {
    fn new(services: &[&str]) -> Result<Self, Failed> {
        let host = PathBuf::from("/run/host");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/chrooted/host.c");
        Run::new("cc")
            .args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
            .arg(&host)
            .arg(source)
            .arg("-l:libpam.so.0")
            .finish()?
            .expect_code(0)?;
        let more: Vec<(String, u32)> = (0..80).map(|number| (format!("m{number}"), 3000 + number)).collect();
        let mut groups: String =
            GROUPS.iter().map(|(name, gid, members)| format!("{name}:x:{gid}:{members}\n")).collect();
        groups.extend(more.iter().map(|(name, gid)| format!("{name}:x:{gid}:many\n")));
        let accounts = USERS[..KNOWN].iter().enumerate();
        let accounts = accounts.map(|(at, (name, gid))| format!("{name}:x:{}:{gid}::/:/bin/sh\n", 2000 + at));
        // The folder as a whole: a mount on its passwd would end when another test makes an account and replaces that.
        for folder in ["/run/etc", "/run/etc/pam.d", "/run/etc/security", JAILS] {
            std::fs::create_dir(folder)?;
        }
        for name in ["ld.so.cache", "ld.so.conf"] {
            if let Ok(text) = std::fs::read(format!("/etc/{name}")) {
                std::fs::write(format!("/run/etc/{name}"), text)?;
            }
        }
        std::fs::write("/run/etc/group", groups)?;
        std::fs::write(
            "/run/etc/passwd",
            format!("root:x:0:0::/:/bin/sh\n{}", accounts.collect::<String>()),
        )?;
        std::fs::write("/run/etc/nsswitch.conf", "passwd: files\ngroup: files\n")?;
        Run::new("mount").args(["--bind", "/run/etc", "/etc"]).finish()?.expect_code(0)?;
        for (at, options) in services.iter().enumerate() {
            std::fs::write(service(at), format!("session required pam_chroot.so {options}\n"))?;
        }

        let groups_of = |user: &str, primary: u32| -> Vec<String> {
            let all = GROUPS.iter().map(|(name, gid, members)| ((*name).to_owned(), *gid, *members));
            let all = all.chain(more.iter().map(|(name, gid)| (name.clone(), *gid, "many")));
            let all: Vec<(String, u32, &str)> = all.collect();
            let named = all.iter().find(|(_, gid, _)| *gid == primary);
            let first = named.map_or_else(|| primary.to_string(), |(name, _, _)| name.clone());
            let is_in = |(_, gid, members): &&(String, u32, &str)| {
                *gid != primary && members.split(',').any(|member| member == user)
            };
            std::iter::once(first).chain(all.iter().filter(is_in).map(|(name, _, _)| name.clone())).collect()
        };
        let users = USERS.iter().enumerate().map(|(at, (name, gid))| Who {
            name: (*name).to_owned(),
            groups: (at < KNOWN).then(|| groups_of(name, *gid)),
        });
        Ok(Self { host, users: users.collect(), root: number(Path::new("/"))? })
    }

    /// Compares module and decision for every user and each of the services. Gives how many cases that were, by what came
    /// of them.
    fn compare(
        &self,
        conf: Option<&[u8]>,
        services: &[&str],
    ) -> Result<BTreeMap<&'static str, usize>, Failed> {
        match conf {
            Some(conf) => std::fs::write(CONF, conf)?,
            None => drop(std::fs::remove_file(CONF)),
        }
        let mut cases = Vec::new();
        for (at, words) in services.iter().enumerate() {
            let (options, _) = Options::read(words.split_ascii_whitespace());
            for user in &self.users {
                let decision = decide(conf, &options, user, Reading::Compat, matcher);
                if let Decision::Chroot(directory) = &decision
                    && directory.starts_with(b"/run/jails/")
                {
                    std::fs::create_dir_all(OsStr::from_bytes(directory))?;
                }
                cases.push((at, *words, user, options.clone(), decision));
            }
        }
        let arguments = cases.iter().flat_map(|(at, _, user, ..)| [format!("s{at}"), user.name.clone()]);
        let printed = Run::new(&self.host).args(arguments).finish()?.output()?;
        let lines: Vec<&str> = printed.lines().collect();
        ensure_eq!(lines.len(), cases.len(), "lines of the application: {printed}");

        let mut counts = BTreeMap::new();
        for ((_, words, user, options, decision), line) in cases.iter().zip(lines) {
            let seen = read(line).ok_or_else(|| format!("not understood: {line}"))?;
            let (what, must) = self.expected(options, decision);
            let shown = String::from_utf8_lossy(conf.unwrap_or(b"(none)"));
            ensure!(
                must == Seen::Anything || seen == must,
                "{:?} with {words:?} by {shown:?}: the module came to {seen:?}, and we to {must:?} ({decision:?})",
                user.name
            );
            *counts.entry(what).or_default() += 1;
        }
        Ok(counts)
    }

    fn expected(&self, options: &Options, decision: &Decision) -> (&'static str, Seen) {
        if let Decision::Error(trouble) = decision
            && let Some(seen) = difference(trouble)
        {
            return ("differs", seen);
        }
        let refused = ("refused", Seen::Result(SESSION_ERROR, self.root));
        let is_sound = |path: &[u8]| checked(path, Reading::Compat).iter().all(|prefix| is_roots(prefix));
        if options.checks {
            let by_conf = options.directory.is_none() && !is_sound(CONF.as_bytes());
            let by_directory = matches!(decision, Decision::Chroot(directory) if !is_sound(directory));
            if by_conf || by_directory {
                return refused;
            }
        }
        match outcome(decision, options, Reading::Compat) {
            Outcome::Refuse => refused,
            Outcome::Stay => ("stays", Seen::Result(0, self.root)),
            // It goes there, and then makes the same path its root.
            Outcome::Enter(directory) => {
                let directory = Path::new(OsStr::from_bytes(&directory));
                let place = Path::new("/").join(directory).join(directory);
                let is_there = place.metadata().is_ok_and(|found| found.is_dir());
                match number(&place) {
                    Ok(root) if is_there => ("enters", Seen::Result(0, root)),
                    _ => refused,
                }
            }
        }
    }
}

fn service(at: usize) -> String {
    format!("/etc/pam.d/s{at}")
}

fn is_roots(path: &[u8]) -> bool {
    std::fs::metadata(OsStr::from_bytes(path))
        .is_ok_and(|found| found.uid() == 0 && found.mode() & 0o022 == 0)
}

fn add(all: &mut BTreeMap<&'static str, usize>, counts: BTreeMap<&'static str, usize>) {
    for (what, count) in counts {
        *all.entry(what).or_default() += count;
    }
}

/// Each way for a session to end has come up, so that no comparison is about nothing.
fn ensure_all(counts: &BTreeMap<&'static str, usize>, ways: &[&str], least: usize) -> Verdict {
    for way in ways {
        ensure!(counts.get(way).is_some_and(|count| *count >= least), "too few cases of {way}: {counts:?}");
    }
    Ok(())
}

fn the_same() -> Verdict {
    let stage = Stage::new(&SERVICES)?;
    std::fs::create_dir_all("/run/jails/A")?;
    symlink("A", "/run/jails/link")?;
    std::fs::write("/run/file", "")?;
    // Only a path that is there twice, one below the other, can be a root by its relative name.
    std::fs::create_dir_all("/run/twofold/run/twofold")?;
    let mut counts = stage.compare(None, &SERVICES)?;
    for file in FILES {
        add(&mut counts, stage.compare(Some(file.as_bytes()), &SERVICES)?);
    }
    for file in long_files() {
        add(&mut counts, stage.compare(Some(&file), &SERVICES)?);
    }
    ensure_all(&counts, &["enters", "refused", "stays"], 100)?;
    ensure_all(&counts, &["differs"], 1)
}

/// Lines that are longer than the module's buffer, and bytes that are no text.
fn long_files() -> Vec<Vec<u8>> {
    let mut files: Vec<Vec<u8>> = Vec::new();
    for length in [1021, 1022, 1023, 1024, 2045, 2046] {
        files.push(format!("#{}bob /run/jails/A\nbobby /run/jails/B\n", "x".repeat(length)).into_bytes());
        let gap = " ".repeat(length - 16);
        files.push(format!("bob{gap}/run/jails/long\nbobby /run/jails/B\n").into_bytes());
    }
    files.push(b"bob /run/jails/A\0B\nbobby\0 /run/jails/B\nbobby /run/jails/C\n".to_vec());
    files.push(b"\0bob /run/jails/A\nbobby /run/jails/B\n".to_vec());
    files.push(b"bob /run/jails/\xff\xfe%u\nbobby\xe4 /run/jails/A\n".to_vec());
    files
}

fn random_files() -> Verdict {
    const NAMES: [&str; 24] = [
        "bob",
        "bobby",
        "^b",
        "b$",
        "(b)(o)",
        "@staff",
        "@s",
        "@^s(.*)",
        "@users",
        "@",
        "[a-s]+",
        "stu17",
        "x|y|t",
        ".*",
        "^",
        "$",
        "b*",
        "((",
        "@[[:alpha:]]+$",
        "#",
        "BOB",
        "(o|b)+",
        "ghost",
        r"\(b\)",
    ];
    const PATHS: [&str; 14] =
        ["A", "B", "%u", "%g", "%0", "%1", "%2", "%%", "%U-%1", "%x", "%", "%u%g%0", "A#", "A B"];
    const OPTIONS: [&str; 5] =
        ["use_groups", "use_regex", "use_groups use_regex", "use_groups use_ext_regex", ""];
    let stage = Stage::new(&OPTIONS)?;
    // Any numbers will do, and the same ones in each run.
    let mut state: usize = 88_172_645;
    let mut pick = |most: usize| {
        state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345) % (1 << 31);
        (state >> 8) % most
    };
    let mut counts = BTreeMap::new();
    for _ in 0..60 {
        let lines: Vec<String> = (0..=pick(5))
            .map(|_| format!("{} {JAILS}/{}\n", NAMES[pick(NAMES.len())], PATHS[pick(PATHS.len())]))
            .collect();
        add(&mut counts, stage.compare(Some(lines.concat().as_bytes()), &OPTIONS)?);
    }
    ensure_all(&counts, &["enters", "refused", "stays", "differs"], 20)
}

fn checks() -> Verdict {
    const OPTIONS: [&str; 4] = [
        "sec_checks",
        "sec_checks chroot_dir=/run/jails/open/in",
        "sec_checks no_chroot",
        "sec_checks use_groups",
    ];
    let stage = Stage::new(&OPTIONS)?;
    let mode = |path: &str, mode: u32| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
    std::fs::create_dir_all("/run/jails/open/in")?;
    std::fs::create_dir_all("/run/jails/sticky/in")?;
    std::fs::create_dir_all("/run/jails/bobs/in")?;
    mode("/run/jails/open", 0o777)?;
    mode("/run/jails/sticky", 0o1777)?;
    std::os::unix::fs::chown("/run/jails/bobs", Some(2000), Some(2000))?;
    symlink("open", "/run/jails/link")?;
    let mut counts = BTreeMap::new();
    for (security, conf) in [(0o755, 0o644), (0o755, 0o666), (0o775, 0o644), (0o757, 0o600)] {
        mode("/etc/security", security)?;
        for name in [
            "open",
            "open/",
            "open/in",
            "sticky/in",
            "sticky",
            "bobs",
            "bobs/",
            "bobs/in",
            "link",
            "link/",
            "fine",
            "fine/",
            "none/x",
        ] {
            std::fs::write(CONF, "")?;
            mode(CONF, conf)?;
            let text = format!("bob {JAILS}/{name}\n");
            add(&mut counts, stage.compare(Some(text.as_bytes()), &OPTIONS)?);
        }
    }
    ensure_all(&counts, &["enters", "refused", "stays"], 20)
}
