//! pam_namespace's own reader beside ours: which lines it takes, and what it mounts for them.

mod login;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};
use session_sandbox::compat::namespace::{Line, Method, Mistake, lines};
use session_sandbox::compat::{Kind, import};
use session_sandbox::config;

use crate::pam::stage::host_program;
use crate::support::{HostMounts, Needs, Run, User, Verdict, World, ensure, ensure_eq, isolated, users};

const NEEDS: &[Needs] = &[Needs::Root, Needs::OrdinaryUser, Needs::PamHost];
/// PAM_SUCCESS, and PAM_SESSION_ERR for whatever pam_namespace does not like.
const OPEN: i32 = 0;
const REFUSED: i32 = 14;
/// The application was killed: the module of Debian 12 frees something twice over a line of one word, and reads at address
/// zero over a method of no letters.
const KILLED: i32 = -1;
/// A tmpfs of the test's own, where everything happens.
const GROUND: &str = "/run/ground";
const SERVICE: &str = "session-sandbox-namespace";

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        isolated(
            "pam_namespace takes the lines that our reader takes, and mounts what it says",
            NEEDS,
            HostMounts::Private,
            lines_agree,
        ),
        isolated(
            "a map made of a namespace.conf shows what pam_namespace shows",
            NEEDS,
            HostMounts::Shared,
            views_agree,
        ),
    ];
    trials.extend(login::trials());
    trials
}

/// Lines for the lexer, each a whole one; `@` is a place of the line's own.
const WHOLE: [&str; 74] = [
    "",
    "   \t ",
    "# nothing",
    "  # nothing",
    "@/p",
    "@/p @/i/",
    "@/p @/i/ # user",
    "@/p# @/i/ user",
    "@/p @/i/ user#:create",
    "@/p @/i/ user # bob",
    "\t@/p\t@/i/\x0cuser\x0b",
    "@/p @/i/ user\r",
    "\"@/p\" \"@/i/\" \"user\"",
    "\"@/p q\" @/i/ user",
    "\"@/p#q\" @/i/ user",
    "@/p\" \"q @/i/ user",
    "@/p\\ q @/i/ user",
    "@/p\\tq @/i/ user",
    "@/p\\bq @/i/ user",
    "@/p\\xq @/i/ user",
    "@/p\\\"q @/i/ user",
    "@/p\\\\q @/i/ user",
    "\"@/p\\tq\" @/i/ user",
    "@/p @/i/ user \"never closed",
    "@/p @/i/ \"user",
    "\"@/p @/i/ user",
    "@/p @/i/ user\\",
    "@/p @/i/ us\\er",
    "@/p @/i/ user a b c d",
    "\"\" @/i/ user",
    "@/p \"\" user",
    "@/p \"\" tmpfs",
    "@/p none tmpfs",
    "@/p none user",
    "@/p none tmpdir",
    "p @/i/ user",
    "$USER @/i/ user",
    "@/p/ @/i/ user",
    "@/p/./q @/i/./ user",
    "@//p @/i/ user",
    "@//p @/i/ user BOB",
    "@/p @//i/ user",
    "@/p @/i// user",
    "@/p @//i// tmpfs",
    "@/p @/i// tmpdir",
    "@/p/// @/i/ user",
    "@/p/. @/i/ user",
    "/ @/i/ user",
    "// @/i/ user BOB",
    "@/a/../p @/i/ user",
    "@/p @/i/.. user",
    "@/p.. @/i/ user",
    "@/p..q @/i/ user",
    "@/p @/i..j/ user",
    "@/.p @/.i/. user",
    "@/p @/i/x- user",
    "@/$USER @/i/ user",
    "@/$USERX @/i/$USER. user",
    "@/${USER} @/i/ user",
    "@/$ @/i/$user/ user",
    "@/p$HOM @/i/ user",
    "@/p @/i/$USER$USER/ user",
    "@/p @/i$HOME/ user",
    "$HOME @/i/ user",
    "$HOME/ @/i/ level",
    "$HOMER @/i/ user BOB",
    "@/p @/i/ users",
    "@/p @/i/ User",
    "@/p @/i/ none",
    "@/p @/i/ :",
    "@/p @/i/ \"\"",
    "@/p @/i/ :user",
    "@/p @/i/ user::",
    "@/p\u{e4} @/i/ user",
];

const METHODS: [&str; 5] = ["user", "level", "context", "tmpdir", "tmpfs"];

/// Behind any method.
const FLAGS: [&str; 15] = [
    ":shared",
    ":noinit",
    ":unknown=1",
    ":iscript=missing",
    ":iscript",
    ":create",
    ":created",
    ":create=0711",
    ":create=711,root",
    ":create=0x1c0,BOB",
    ":create=01777,,games",
    ":create=,root,games",
    ":create=abc",
    ":mntopts",
    ":mntopts=size=1M,noexec",
];

/// Behind a line; BOB is who logs in.
const LISTS: [&str; 14] = [
    "BOB",
    "root",
    "root,BOB",
    "BOB,root,nobody-at-all",
    "~BOB",
    "~root",
    "~root,BOB",
    "~",
    "~~BOB",
    "\"\"",
    ",",
    "@users",
    "~@users",
    "\" BOB\"",
];

fn lines_agree() -> Verdict {
    let bob = users::bob()?;
    prepare()?;
    let methods =
        METHODS.iter().flat_map(|method| FLAGS.iter().map(move |flag| format!("@/p @/i/ {method}{flag}")));
    let lists =
        LISTS.iter().flat_map(|list| ["user", "tmpfs"].map(|method| format!("@/p @/i/ {method} {list}")));
    let whole = WHOLE.iter().map(|&line| line.to_owned());
    let all: Vec<String> = whole.chain(methods).chain(lists).chain(disguised()).collect();
    let mut counts = [0; 3];
    for (at, line) in all.iter().enumerate() {
        let place = format!("{GROUND}/{at}");
        std::fs::create_dir(&place)?;
        let line = line.replace('@', &place).replace("BOB", &bob.name);
        // A list with `@` in it has become something else, which is no user either.
        let kind = one(&line, &bob).map_err(|failed| {
            Failed::from(format!("{line:?}: {}", failed.message().unwrap_or("it failed")))
        })?;
        counts[kind] += 1;
    }
    let [refused, idle, mounted] = counts;
    ensure!(
        refused > 15 && idle > 15 && mounted > 60,
        "{refused} refused, {idle} without effect, {mounted} mounted"
    );
    Ok(())
}

/// Lines, and what `stat` tells of the directory: the very same one, or one that is like it.
const VIEWS: [(&str, &str); 10] = [
    ("@/p @/i/ user", "%i %a %u:%g"),
    ("@/p @/i/ user:create=0711,,games", "%i %a %u:%g"),
    ("\"@/p q%u\" @/i/x- level", "%i %a %u:%g"),
    ("@/$USER.d @/i/$USER/ context", "%i %a %u:%g"),
    ("@/p @/p/inst/ user", "%i %a %u:%g"),
    ("$HOME @/i/ user", "%i %a %u:%g"),
    ("$HOME $HOME/$USER.inst/ level", "%i %a %u:%g"),
    ("@/p @/i/ tmpdir:create=0750", "%a %u:%g"),
    ("@/p none tmpfs:mntopts=size=0x800k", "%a %u:%g"),
    ("@/p none tmpfs:mntopts=size=1M,mode=0700,noexec", "%a %u:%g"),
];

fn views_agree() -> Verdict {
    let bob = users::bob()?;
    prepare()?;
    let home = bob.home.to_str().ok_or("a home that is no text")?;
    let own = format!("mode=750,uid={},gid={}", bob.uid, bob.gid);
    Run::new("mount").args(["-t", "tmpfs", "-o", &own, "tmpfs", home]).finish()?.expect_code(0)?;
    for (at, (line, format)) in VIEWS.into_iter().enumerate() {
        let place = format!("{GROUND}/{at}");
        std::fs::create_dir(&place)?;
        let line = line.replace('@', &place);
        let asked = lines(&line).next().ok_or("no line")?.2.map_err(|mistake| mistake.to_string())?;
        make_ground(&asked, &bob.name, home)?;
        std::fs::write("/etc/security/namespace.conf", format!("{line}\n"))?;
        let polydir = asked.polydir_of(&bob.name, home);
        if asked.prefix.starts_with(&asked.polydir) && !asked.polydir.starts_with("$HOME") {
            // As /var/tmp is, which holds its instances in the module's own example.
            Run::new("chmod").args(["1777", &polydir]).finish()?.expect_code(0)?;
        }
        // The file system's size as well, where it is a new one.
        let look = format!(
            "stat -c '{format}' -- '{polydir}'; stat -f -c '%T' -- '{polydir}'; df --output=size '{polydir}' | tail -1"
        );
        std::fs::write(format!("{GROUND}/look"), format!("#!/bin/sh\n{{ {look}; }} > {GROUND}/seen\n"))?;
        ensure_eq!(login(&bob)?.0, OPEN, "{line}");
        let there = std::fs::read_to_string(format!("{GROUND}/seen"))?;

        if asked.prefix.starts_with("$HOME") {
            // As the map says in its comment: here the user's own rights lead there.
            let parent = asked.prefix_of(&bob.name, home);
            Run::new("chmod").args(["0711", &parent]).finish()?.expect_code(0)?;
        }
        let imported = import(Kind::PamNamespace, &line);
        // Both in one file, where the profile is asked for by its name.
        let drop_in = imported.map.replace("\nversion = 1\n", "\n");
        let shipped = config::built_in_file().text;
        let world = World::new()?;
        world.file("map.toml", shipped + &drop_in)?;
        let words = ["--user", &bob.name, "--profile", "namespace", "--", "sh", "-c", &look];
        let here = world.enter(words)?.finish()?.output().map_err(|failed| {
            Failed::from(format!("{line}: {}\n{drop_in}", failed.message().unwrap_or("it failed")))
        })?;
        // What is in memory here is on the disk there, and so of another size.
        let is_in_memory = asked.method == Method::Tmpdir;
        let lines = |text: &str| {
            text.lines().take(if is_in_memory { 1 } else { 3 }).map(str::to_owned).collect::<Vec<_>>()
        };
        ensure_eq!(lines(&here), lines(&there), "{line}");
        ensure!(there.lines().count() == 3, "{line}: {there:?}");
    }
    Ok(())
}

/// Lines as nobody would write them: letters in quotes and behind backslashes, other space, and each second one with a
/// letter too few, a comment, or cut short. The same ones each time.
fn disguised() -> Vec<String> {
    let mut state = 20_230_611_u64;
    let mut below = |end: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).expect("31 bits") % end
    };
    let mut all = Vec::new();
    for round in 0..120 {
        let words = [
            ["@/p", "@/p q", "@/$USER", "@/p\"q", "@/p$"][below(5)],
            ["@/i/", "@/i/x-", "@/i j/", "@/$USER.i/"][below(4)],
            ["user", "level:noinit", "tmpdir", "tmpfs", "user:create=0711"][below(5)],
            ["", "BOB", "root,BOB", "~BOB", "~root"][below(5)],
        ];
        let mut line = String::new();
        for word in words {
            line.push_str([" ", "\t", "  ", " \u{b}", "\r"][below(5)]);
            let mut is_quoted = false;
            for letter in word.chars() {
                // What is in quotes is as it is, and so a quote cannot be there.
                let must_end = is_quoted && letter == '"';
                if must_end || below(4) == 0 {
                    line.push('"');
                    is_quoted = !is_quoted;
                }
                let needs_one = !is_quoted && matches!(letter, ' ' | '"');
                let takes_one = !is_quoted && !matches!(letter, 'n' | 't' | 'b' | '@' | 'B');
                if needs_one || takes_one && below(6) == 0 {
                    line.push('\\');
                }
                line.push(letter);
            }
            line.push_str(if is_quoted { "\"" } else { "" });
        }
        // Never the place: whatever is made of a line is to stay in there.
        let at: Vec<usize> = line.match_indices(|letter| !"@BO".contains(letter)).map(|(at, _)| at).collect();
        let at = at[below(at.len())];
        match (round % 2, below(3)) {
            (0, _) => {}
            (_, 0) => drop(line.remove(at)),
            (_, 1) => line.insert(at, '#'),
            _ => line.truncate(at),
        }
        all.push(line);
    }
    all
}

/// A PAM service of the test's own, and no configuration but the line.
fn prepare() -> Verdict {
    let script = format!(
        "set -e
        mount -t tmpfs -o mode=755 tmpfs /etc/pam.d
        mount -t tmpfs -o mode=755 tmpfs /etc/security
        mkdir {GROUND}; mount -t tmpfs -o mode=755 tmpfs {GROUND}
        printf '#!/bin/sh\\ncat /proc/self/mountinfo > {GROUND}/seen\\n' > {GROUND}/look
        chmod 755 {GROUND}/look
        printf 'session required pam_namespace.so\\nsession required pam_exec.so {GROUND}/look\\n' > \
        /etc/pam.d/{SERVICE}"
    );
    Run::new("sh").args(["-c", &script]).finish()?.expect_code(0)?;
    Ok(())
}

/// Compares one line: 0 when both refuse it, 1 when it does nothing for bob, 2 when the mount is the one that our reader
/// names.
fn one(text: &str, bob: &User) -> Result<usize, Failed> {
    std::fs::write("/etc/security/namespace.conf", format!("{text}\n"))?;
    let ours: Vec<_> = lines(text).map(|(_, _, line)| line).collect();
    let home = bob.home.to_str().ok_or("a home that is no text")?;
    if let [Ok(line)] = &ours[..] {
        make_ground(line, &bob.name, home)?;
    }
    let before = mounts_at_end()?;
    let (result, seen) = login(bob)?;
    let line = match &ours[..] {
        [] => None,
        [Err(mistake)] => {
            let may_kill = match mistake {
                Mistake::Missing(what) => *what == "instance prefix",
                Mistake::UnknownMethod(name) => name.is_empty(),
                _ => false,
            };
            ensure!(
                result == REFUSED || may_kill && result == KILLED,
                "we do not take it ({mistake}), and PAM says {result}"
            );
            return Ok(0);
        }
        [Ok(line)] => Some(line),
        more => return Err(format!("{} lines", more.len()).into()),
    };
    if line.is_some_and(|line| line.has_empty_part() && line.is_for(&bob.name)) {
        ensure_eq!(result, REFUSED, "two slashes in a row");
        return Ok(0);
    }
    ensure_eq!(result, OPEN, "we take it as {line:?}");
    let Some(line) = line.filter(|line| line.is_for(&bob.name)) else {
        ensure_eq!(seen.len(), before, "nothing is mounted: {seen:?}");
        return Ok(1);
    };
    let polydir = line.polydir_of(&bob.name, home);
    let polydir = Path::new(&polydir).components().collect::<PathBuf>();
    let at = seen.iter().rfind(|mount| Path::new(&mount.at) == polydir);
    if line.flags.shared && matches!(line.method, Method::Level | Method::Context) {
        ensure!(at.is_none(), "without SELinux the line does nothing: {at:?}");
        return Ok(1);
    }
    let at = at.ok_or_else(|| format!("nothing is mounted at {}: {seen:?}", polydir.display()))?;
    if let Some(instance) = line.instance_of(&bob.name, home) {
        let instance = Path::new(&instance).components().collect::<PathBuf>();
        ensure_eq!(Path::new(&at.root), Path::new("/").join(instance.strip_prefix(GROUND)?), "the instance");
    } else if line.method == Method::Tmpdir {
        let prefix = line.prefix_of(&bob.name, home).replace(GROUND, "");
        let rest = at.root.strip_prefix(&prefix).ok_or_else(|| format!("{at:?} for {prefix}"))?;
        ensure_eq!(rest.len(), 6, "random letters in {at:?}");
    } else {
        ensure_eq!(at.kind, "tmpfs", "{at:?}");
        ensure_eq!(at.root, "/", "{at:?}");
        let options = line.flags.mount_options.is_some();
        ensure_eq!(at.options.contains("noexec"), options, "{at:?}");
        ensure_eq!(at.options.contains("size=1024k"), options, "{at:?}");
    }
    if let Some(create) = &line.flags.create {
        let made = std::fs::metadata(&polydir)?;
        // Without a mode it is made with 0777 and the umask of the one that logs the user in.
        ensure_eq!(made.mode() & 0o7777, create.mode.unwrap_or(0o755), "the mode of the polydir");
        let owner = match &create.owner {
            Some(name) => nix::unistd::User::from_name(name)?.ok_or("no such user")?,
            None => nix::unistd::User::from_name(&bob.name)?.ok_or("no such user")?,
        };
        let group = match &create.group {
            Some(name) => nix::unistd::Group::from_name(name)?.ok_or("no such group")?.gid,
            None => owner.gid,
        };
        ensure_eq!((made.uid(), made.gid()), (owner.uid.as_raw(), group.as_raw()), "whose the polydir is");
    }
    Ok(2)
}

/// What has to be there for a line, if our reader is right about it.
fn make_ground(line: &Line, user: &str, home: &str) -> Verdict {
    let polydir = line.polydir_of(user, home);
    let polydir = Path::new(&polydir).components().collect::<PathBuf>();
    if let Some(parent) = polydir.parent().filter(|parent| parent.starts_with(GROUND)) {
        std::fs::create_dir_all(parent)?;
        if line.flags.create.is_none() {
            std::fs::create_dir_all(&polydir)?;
        }
    }
    let prefix = line.prefix_of(user, home);
    if prefix.starts_with(GROUND) {
        let instances = &prefix[..=prefix.rfind('/').ok_or("no slash")?];
        let script = "mkdir -p -- \"$1\"; chmod 0 -- \"$1\"";
        Run::new("sh").args(["-c", script, "sh", instances]).finish()?.expect_code(0)?;
    }
    Ok(())
}

/// A mount as the session sees it.
#[derive(Debug)]
struct Mounted {
    root: String,
    at: String,
    kind: String,
    options: String,
}

fn mounted(text: &str) -> Vec<Mounted> {
    let one = |line: &str| {
        let (first, second) = line.split_once(" - ")?;
        let (first, second): (Vec<&str>, Vec<&str>) =
            (first.split(' ').collect(), second.split(' ').collect());
        Some(Mounted {
            root: unescaped(first.get(3)?),
            at: unescaped(first.get(4)?),
            kind: (*second.first()?).to_owned(),
            options: format!("{},{}", first.get(5)?, second.get(2)?),
        })
    };
    text.lines().filter_map(one).collect()
}

/// Octal numbers stand for what would divide the fields.
fn unescaped(field: &str) -> String {
    let mut parts = field.split('\\');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at(3);
        text.push(char::from(u8::from_str_radix(digits, 8).expect("three octal digits")));
        text.push_str(rest);
    }
    text
}

fn mounts_at_end() -> Result<usize, Failed> {
    Ok(mounted(&std::fs::read_to_string("/proc/self/mountinfo")?).len())
}

/// Opens a session: PAM's result, and which mounts there were in it.
fn login(bob: &User) -> Result<(i32, Vec<Mounted>), Failed> {
    let seen = Path::new(GROUND).join("seen");
    let _ = std::fs::remove_file(&seen);
    let outcome = Run::new(host_program()).args(["calls", SERVICE, &bob.name, "open"]).finish()?;
    if outcome.signal.is_some() {
        return Ok((KILLED, Vec::new()));
    }
    let text = outcome.output()?;
    let result = text.lines().find_map(|line| line.strip_prefix("open: ")).ok_or("no result")?;
    let mounts = std::fs::read_to_string(&seen).unwrap_or_default();
    Ok((result.parse()?, mounted(&mounts)))
}
