//! Bad input: each gets one clear message that names the rule, the path and the remedy, exit status 125, and leaves
//! nothing behind. What can be worked with all the same is worked with.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::time::Duration;

use libtest_mimic::{Failed, Trial};

use crate::enter::MODES;
use crate::support::run::cost;
use crate::support::{
    HostMounts, HostState, Needs, Outcome, Run, User, Verdict, World, ensure, ensure_eq, isolated, trial,
    users,
};

const AS_BOB: &[Needs] = &[Needs::Root, Needs::OrdinaryUser];

pub fn trials() -> Vec<Trial> {
    vec![
        isolated("names that are no user's are refused", AS_BOB, HostMounts::Shared, user_names),
        isolated("mistakes on the command line are refused", AS_BOB, HostMounts::Shared, command_lines),
        isolated(
            "mistakes in a map are told all at once, with their places",
            AS_BOB,
            HostMounts::Shared,
            mistakes,
        ),
        isolated(
            "a map that others could have written is refused",
            AS_BOB,
            HostMounts::Shared,
            untrusted_maps,
        ),
        isolated("what is no map is refused", AS_BOB, HostMounts::Shared, no_maps),
        trial("a map of 28 MB is refused in 50 ms and 16 MB", AS_BOB, huge_map),
        trial("a map of many or deep values is refused in little time and memory", AS_BOB, bombs),
    ]
}

/// What must hold of everything that is refused.
pub struct Refusal<'a> {
    world: &'a World,
    before: HostState,
}

impl<'a> Refusal<'a> {
    pub fn new(world: &'a World) -> Self {
        Self { world, before: HostState::now() }
    }

    /// Runs `session-enter` and checks that it refuses in one line that holds all of `words`, with at most one line of
    /// help, before the program was started, and leaves nothing behind.
    pub fn check<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>, words: &[&str]) -> Verdict {
        let run = self.world.session_enter(arguments)?;
        self.check_outcome(run.finish()?, words)
    }

    /// The same of something that has ended already.
    pub fn check_outcome(&self, outcome: Outcome, words: &[&str]) -> Verdict {
        let lines: Vec<&str> = outcome.stderr.lines().collect();
        ensure_eq!(outcome.code, Some(125), "exit status, with {outcome:?}");
        ensure_eq!(outcome.stdout, "", "standard output");
        ensure!(
            lines.first().is_some_and(|line| line.starts_with("session-enter: ")),
            "no message: {lines:?}"
        );
        ensure!(
            lines.len() == 1 || (lines.len() == 2 && lines[1].starts_with("  help: ")),
            "too many lines: {lines:?}"
        );
        for word in words {
            ensure!(outcome.stderr.contains(word), "{word:?} is not in the message: {lines:?}");
        }
        ensure!(!outcome.stderr.contains('\u{1b}') && !outcome.stderr.contains("panicked"), "{lines:?}");
        self.before.assert_returns()
    }

    /// Like [`Refusal::check`], of entering with a map of these `mounts`.
    pub fn check_map(&self, mounts: &str, words: &[&str]) -> Verdict {
        self.world.map("", mounts)?;
        let map = self.world.path("map.toml");
        for mode in MODES {
            let bob = users::bob()?;
            let line: [&OsStr; 8] = [
                "--config".as_ref(),
                map.as_ref(),
                "--mode".as_ref(),
                mode.as_ref(),
                "--user".as_ref(),
                bob.name.as_ref(),
                "--".as_ref(),
                "id".as_ref(),
            ];
            self.check(line, words)
                .map_err(|failed| format!("{mounts} ({mode}): {}", failed.message().unwrap_or("")))?;
        }
        Ok(())
    }
}

fn user_names() -> Verdict {
    let world = World::new()?;
    let refusal = Refusal::new(&world);
    let long = "x".repeat(300);
    let names = [
        "",
        "0",
        "00",
        "-1",
        "+1",
        "1000",
        "4294967295",
        "0x0",
        "a/b",
        "/",
        ".",
        "..",
        "../root",
        "%u",
        "%h",
        "root ",
        " root",
        "root\n",
        "bob\nroot",
        "-u",
        "--",
        "$HOME",
        "~root",
        "root:x",
        "r\u{e9}\u{202e}",
        "\u{1b}[2J",
        "*",
        &long,
    ];
    for name in names {
        refusal
            .check([&format!("--user={name}"), "--", "id"], &["--user", "help: "])
            .map_err(|failed| format!("--user {name:?}: {}", failed.message().unwrap_or("")))?;
    }
    let bytes = OsString::from_vec(b"--user=b\xff\xfeb".to_vec());
    refusal.check([bytes.as_os_str(), "--".as_ref(), "id".as_ref()], &["--user", "UTF-8", "help: "])?;
    refusal.check(
        ["--user", "sstest-nobody", "--", "id"],
        &["no user sstest-nobody", "getent passwd sstest-nobody"],
    )
}

fn command_lines() -> Verdict {
    let world = World::new()?;
    let refusal = Refusal::new(&world);
    let bob = users::bob()?.name;
    let cases: [(&[&str], &[&str]); 12] = [
        (&["--frobnicate"], &["--frobnicate"]),
        (&["--mod", "chroot"], &["--mod", "--mode"]),
        (&["--mode", "vm"], &["vm"]),
        (&["--user"], &["--user"]),
        (&["--prepare", "--release"], &["--prepare", "--release"]),
        (&["--prepare", "--", "id"], &["--prepare"]),
        (&["-c", "x", "--", "id"], &["-c"]),
        (&["--root", "/x", "--", "id"], &["--root goes with --prepare or --release"]),
        (&["--prepare", "--root", "x/../y"], &["--root"]),
        (&["--dry-run=xml"], &["xml"]),
        (
            &["--profile", "none", "--user", &bob, "--", "id"],
            &["no profile is named \"none\"", "command", "login"],
        ),
        (&["--config", "/run/no/such/map", "--user", &bob], &["/run/no/such/map", "missing", "--config"]),
    ];
    for (words, must) in cases {
        refusal
            .check(words, must)
            .map_err(|failed| format!("{words:?}: {}", failed.message().unwrap_or("")))?;
    }
    world.map("match = { user = \"somebody-else\" }", "")?;
    let map = world.path("map.toml");
    refusal.check(
        ["--config".as_ref(), map.as_os_str(), "--user".as_ref(), bob.as_ref()],
        &["no profile matches", &bob, "user"],
    )
}

fn mistakes() -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?.name;
    let map = world.file(
        "map.toml",
        "version = 1\n[[profile]]\nname = \"test\"\numask = 22\n[[profile.mount]]\ntarget = \"/usr\"\noptions = [\"nosiud\"]\n\
         [[profile.mount]]\ntraget = \"/x\"\n[[profile.mount]]\ntarget = \"y/../z\"\n",
    )?;
    let before = HostState::now();
    let line =
        ["--config".as_ref(), map.as_os_str(), "--user".as_ref(), bob.as_ref(), "--".as_ref(), "id".as_ref()];
    let outcome = world.session_enter(line)?.finish()?.expect_code(125)?;
    ensure_eq!(outcome.stdout, "", "standard output");
    let ours = outcome.stderr.lines().filter(|line| line.starts_with("session-enter: ")).count();
    ensure_eq!(ours, 1, "lines of ours: {}", outcome.stderr);
    for at in ["4:9", "7:12", "9:1", "11:10"] {
        let place = format!("{}:{at}: ", map.display());
        ensure!(outcome.stderr.contains(&place), "{place} is not told of: {}", outcome.stderr);
    }
    for text in ["`nosuid`", "`target`", "options = [\"nosiud\"]", "^"] {
        ensure!(outcome.stderr.contains(text), "{text} is not there: {}", outcome.stderr);
    }
    before.assert_returns()
}

fn with_map<'a>(map: &'a Path, user: &'a str) -> [&'a OsStr; 6] {
    ["--config".as_ref(), map.as_os_str(), "--user".as_ref(), user.as_ref(), "--".as_ref(), "id".as_ref()]
}

fn untrusted_maps() -> Verdict {
    let world = World::new()?;
    let bob: User = users::bob()?;
    let map = world.map("", "")?;
    world.session_enter(with_map(&map, &bob.name))?.finish()?.expect_code(0)?;
    let inner = world.directory("folder")?;
    let copy = inner.join("map.toml");
    std::fs::copy(&map, &copy)?;
    let link = world.path("link.toml");
    let in_tmp = Path::new("/tmp").join(format!("session-sandbox-tests-{}.toml", std::process::id()));
    let theirs = World::of(&bob)?;
    let in_home = theirs.file("map.toml", std::fs::read(&map)?)?;
    let refusal = Refusal::new(&world);
    let refused = |path: &Path, culprit: &Path, mode: &str| {
        let words = [
            path.to_string_lossy(),
            culprit.to_string_lossy(),
            mode.into(),
            "not trusted".into(),
            "only root writes".into(),
        ];
        refusal.check(with_map(path, &bob.name), &words.each_ref().map(AsRef::as_ref))
    };
    let permissions = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode));

    chown(&map, Some(bob.uid), None)?;
    refused(&map, &map, "0644")?;
    chown(&map, Some(0), None)?;
    for mode in [0o664, 0o646] {
        permissions(&map, mode)?;
        refused(&map, &map, &format!("0{mode:o}"))?;
    }
    permissions(&map, 0o644)?;
    for mode in [0o775, 0o757, 0o1777] {
        permissions(&inner, mode)?;
        refused(&copy, &inner, &format!("0{mode:o}"))?;
    }
    permissions(&inner, 0o755)?;
    chown(&inner, Some(bob.uid), None)?;
    refused(&copy, &inner, "0755")?;
    chown(&inner, Some(0), None)?;
    // A good map, by a way that is not.
    symlink(&in_home, &link)?;
    refused(&link, &bob.home, "")?;
    std::fs::copy(&map, &in_tmp)?;
    let verdict = refused(&in_tmp, Path::new("/tmp"), "01777");
    std::fs::remove_file(&in_tmp)?;
    verdict?;
    world.session_enter(with_map(&copy, &bob.name))?.finish()?.expect_code(0)?;
    Ok(())
}

fn no_maps() -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?.name;
    let fifo = world.path("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o600))?;
    let looped = world.path("loop");
    symlink("loop", &looped)?;
    let folder = world.directory("folder")?;
    let bytes = world.file("bytes", b"version = 1\n# \xff\n")?;
    let empty = world.file("empty", "")?;
    let below_file = bytes.join("below");
    let refusal = Refusal::new(&world);
    let cases: [(&Path, &str); 8] = [
        (&fifo, "not a regular file"),
        (&looped, "symbolic links"),
        (&folder, "not a regular file"),
        (&bytes, "line 2"),
        (Path::new("/dev/zero"), "/dev/zero"),
        (&below_file, "below"),
        (Path::new("../map.toml"), "absolute path"),
        (Path::new(""), "--config"),
    ];
    for (path, word) in cases {
        refusal
            .check(with_map(path, &bob), &[word, "help: "])
            .map_err(|failed| format!("{path:?}: {}", failed.message().unwrap_or("")))?;
    }
    let outcome = world.session_enter(with_map(&empty, &bob))?.finish()?.expect_code(125)?;
    ensure!(outcome.stderr.contains("version"), "{}", outcome.stderr);
    Ok(())
}

/// What refusing a map may cost.
#[derive(Clone, Copy)]
struct Price {
    time: Duration,
    memory: u64,
}

/// What is too large is refused unread, in every build.
const UNREAD: Price = Price { time: Duration::from_millis(50), memory: 16 << 20 };
/// What is read has to be taken apart first. A debug build gets more time for it, as much as that was seen to cost.
const READ: Price = Price {
    time: Duration::from_millis(if cfg!(debug_assertions) { 30 * 50 } else { 50 }),
    memory: 24 << 20,
};

fn refused_cheaply(world: &World, what: &str, text: &[u8], price: Price) -> Result<String, Failed> {
    let map = world.file("map.toml", text)?;
    let bob = users::bob()?.name;
    let arguments = ["--config", &map.to_string_lossy(), "--user", &bob, "--", "true"];
    // The best of a few: other tests want the machine as well.
    let mut best: Option<Duration> = None;
    let mut message = String::new();
    for _ in 0..5 {
        let cost = cost(&arguments)?;
        ensure_eq!(cost.outcome.code, Some(125), "exit status of {what}: {}", cost.outcome.stderr);
        ensure!(cost.peak_memory < price.memory, "{what} took {} KiB", cost.peak_memory / 1024);
        best = best.map_or(Some(cost.wall), |best| Some(best.min(cost.wall)));
        message = cost.outcome.stderr;
        if best < Some(price.time) {
            break;
        }
    }
    ensure!(best < Some(price.time), "{what} took {best:?}");
    ensure!(
        message.lines().count() < 1000 && message.len() < 256 << 10,
        "{what} makes {} bytes of messages",
        message.len()
    );
    Ok(message)
}

fn huge_map() -> Verdict {
    let world = World::new()?;
    let line = b"[[profile]]\nname = \"x\"\n";
    let message = refused_cheaply(&world, "28 MB", &line.repeat((28 << 20) / line.len()), UNREAD)?;
    for word in ["map.toml", "bytes", "262144", "help: "] {
        ensure!(message.contains(word), "{word} is not in {message}");
    }
    ensure_eq!(message.lines().count(), 2, "lines: {message}");
    Ok(())
}

fn bombs() -> Verdict {
    let world = World::new()?;
    let head = "version = 1\n[[profile]]\nname = \"x\"\n";
    let most = 255 << 10;
    let fill = |piece: &str| head.to_owned() + &piece.repeat((most - head.len()) / piece.len());
    let cases = [
        ("open brackets", format!("{head}x = {}", "[".repeat(most - 100))),
        ("open braces", format!("{head}x = {}", "{a=".repeat((most - 100) / 3))),
        ("dotted keys", format!("{head}{}a = 1", "a.".repeat((most - 100) / 2))),
        ("profiles", fill("[[profile]]\n")),
        ("mounts", fill("[[profile.mount]]\ntarget=\"/x\"\n")),
        ("unknown keys", (0..20_000).fold(head.to_owned(), |text, at| text + &format!("k{at}=1\n"))),
        ("one key again and again", fill("umask=\"022\"\n")),
        ("a long line", format!("{head}umask = \"{}\"", "0".repeat(most - 100))),
        ("control characters", fill("\u{1}")),
        (
            "unknown options",
            format!("{head}[[profile.mount]]\ntarget=\"/x\"\noptions=[{}]", "\"q\",".repeat(50_000)),
        ),
    ];
    for (what, text) in cases {
        refused_cheaply(&world, what, text.as_bytes(), READ)?;
    }
    Ok(())
}

/// For the descriptors' file: a marker that tells whether the program ran.
pub fn marker(run: Run) -> Run {
    run.args(["--", "sh", "-c", "exit 7"])
}
