//! Random maps, as text: sane ones, and what people write by mistake or on purpose.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use session_sandbox::config::{self, Diagnostics, SourceFile};
use session_sandbox::model::policy::Policy;

/// The most entries of a random map.
pub const ENTRIES_MAX: usize = 40;

/// What stands above the mounts of a random map's profile.
const HEADERS: [&str; 5] = [
    "",
    "mode = \"chroot\"\n",
    "wall = \"none\"\nno_new_privs = false\n",
    "wall = \"landlock\"\nshell = \"/bin/zsh\"\n",
    "umask = \"077\"\ncapabilities = [\"CAP_CHOWN\", \"CAP_NET_BIND_SERVICE\"]\n[profile.set_env]\nWHO = \"%u@%s\"\n",
];

/// Components of targets. The same few names at every depth, so that entries meet each other.
const NAMES: [&str; 8] = ["a", "b", "c", "f", "t", "two words", "back\\slash", "s"];
/// Places that some kinds are at home in.
const USUAL_PLACES: [&str; 10] =
    ["/", "/dev", "/dev/pts", "/dev/shm", "/proc", "/proc/sys", "/sys", "/usr", "/usr/share", "/etc"];
/// What a path should not look like, with a path between.
const ODD_ENDS: [(&str, &str); 7] =
    [("/", ""), ("", "/"), ("", "//"), ("/./", ""), ("", "/.."), ("/..", ""), ("relative", "/.")];

/// A map of one profile.
#[derive(Clone, Debug)]
pub struct Map {
    /// What stands above the mounts.
    pub header: &'static str,
    /// The mounts, each as it is written.
    pub entries: Vec<String>,
}

impl Map {
    /// The map as a file.
    pub fn file(&self) -> SourceFile {
        SourceFile { name: "random map".to_owned(), text: self.text() }
    }

    /// The map as it would stand in a file.
    pub fn text(&self) -> String {
        let mut text = format!("version = 1\n[[profile]]\nname = \"random\"\n{}", self.header);
        self.entries.iter().for_each(|entry| text.push_str(entry));
        text
    }

    /// Takes out the entries that stand at one of `lines`, counted from 1. Was there one?
    pub fn take_out(&mut self, lines: &[u32]) -> bool {
        let before = self.entries.len();
        let mut line = 4 + u32::try_from(self.header.lines().count()).unwrap_or(u32::MAX);
        self.entries.retain(|entry| {
            let first = line;
            line += u32::try_from(entry.lines().count()).unwrap_or(u32::MAX);
            !lines.iter().any(|at| (first..line).contains(at))
        });
        self.entries.len() < before
    }

    /// What the map says, once the entries that cannot be read are taken out of it; and how many times that was so.
    pub fn readable(&mut self) -> (Policy, usize) {
        let mut unreadable = 0;
        loop {
            match config::parse(&[self.file()]) {
                Ok(policy) => return (policy, unreadable),
                Err(found) => {
                    check_diagnostics(&found);
                    let lines: Vec<u32> = found.iter().map(|one| one.line).collect();
                    assert!(self.take_out(&lines), "no entry is to blame for:\n{found}\nin\n{}", self.text());
                    unreadable += 1;
                }
            }
        }
    }
}

fn check_diagnostics(found: &Diagnostics) {
    assert!(found.iter().next().is_some(), "a map was refused without a reason");
    for one in found.iter() {
        assert!(one.line > 0 && one.column > 0 && !one.message.is_empty(), "{one:?}");
    }
}

/// A map whose binds come from `sources`.
pub fn map(sources: Vec<String>) -> impl Strategy<Value = Map> {
    let entries = prop_oneof![
        2 => prop::collection::vec(entry(sources.clone()), 0..=6),
        3 => prop::collection::vec(entry(sources), 0..=ENTRIES_MAX),
    ];
    (select(HEADERS.to_vec()), entries).prop_map(|(header, entries)| Map { header, entries })
}

fn entry(sources: Vec<String>) -> impl Strategy<Value = String> {
    let optional = prop::bool::weighted(0.3).prop_map(|on| if on { "optional = true\n" } else { "" });
    (kind(sources), optional).prop_map(|(kind, optional)| format!("[[profile.mount]]\n{kind}{optional}"))
}

fn kind(sources: Vec<String>) -> impl Strategy<Value = String> {
    let tmpfs = (target(), size(), mode(), owner(), options(false)).prop_map(
        |(target, size, mode, owner, options)| {
            format!("kind = \"tmpfs\"\n{target}{size}{mode}{owner}{options}")
        },
    );
    let own_options = |word: &'static str| {
        (target_at(word), options(false))
            .prop_map(move |(target, options)| format!("kind = \"{word}\"\n{target}{options}"))
    };
    let plain =
        |word: &'static str| target_at(word).prop_map(move |target| format!("kind = \"{word}\"\n{target}"));
    let link = (target(), select(vec!["/a", "..", "../../../etc", "b", "%u", "%h/x", " ", "/%i"]))
        .prop_map(|(target, to)| format!("kind = \"symlink\"\n{target}to = {}\n", quote(to)));
    let directory = (target(), mode(), owner())
        .prop_map(|(target, mode, owner)| format!("kind = \"dir\"\n{target}{mode}{owner}"));
    let file = (target(), mode(), owner(), select(vec!["", "hello %u\n", "100%%", "a\\b\"c\td"])).prop_map(
        |(target, mode, owner, content)| {
            format!("kind = \"file\"\n{target}{mode}{owner}content = {}\n", quote(content))
        },
    );
    let system = (
        prop::sample::subsequence(vec!["/usr", "/bin", "/lib", "/lib64", "/sbin", "/nowhere", "/a"], 1..=4),
        options(false),
    )
        .prop_map(|(paths, options)| {
            let paths: Vec<_> = paths.into_iter().map(quote).collect();
            format!("kind = \"system\"\npaths = [{}]\n{options}", paths.join(", "))
        });
    prop_oneof![
        12 => bind(sources),
        5 => tmpfs,
        1 => own_options("proc"),
        1 => own_options("sysfs"),
        1 => own_options("mqueue"),
        2 => plain("dev"),
        1 => plain("devpts"),
        2 => plain("mask"),
        2 => link,
        3 => directory,
        2 => file,
        1 => system,
    ]
}

fn bind(sources: Vec<String>) -> impl Strategy<Value = String> {
    let source = (select(sources), prop::collection::vec(select(NAMES.to_vec()), 0..=2), any::<Index>())
        .prop_map(|(source, below, dice)| match dice.index(8) {
            0 => String::new(),
            1..=4 => format!("source = {}\n", quote(&source)),
            _ => format!(
                "source = {}\n",
                quote(&format!("{}/{}", source.trim_end_matches('/'), below.join("/")))
            ),
        });
    let extras = select(vec![
        "",
        "",
        "",
        "recursive = false\n",
        "recursive = true\n",
        "open_as = \"user\"\n",
        "follow_symlinks = true\n",
        "open_as = \"user\"\nfollow_symlinks = true\n",
        "propagation = \"slave\"\n",
        "propagation = \"slave\"\nrecursive = false\n",
    ]);
    (target(), source, extras, options(true))
        .prop_map(|(target, source, extras, options)| format!("{target}{source}{extras}{options}"))
}

fn target() -> impl Strategy<Value = String> {
    let own = prop::collection::vec(select(NAMES.to_vec()), 1..=4)
        .prop_map(|names| format!("/{}", names.join("/")));
    let path = prop_oneof![8 => own, 1 => select(USUAL_PLACES.to_vec()).prop_map(str::to_owned)];
    (path, any::<Index>()).prop_map(|(path, dice)| {
        let odd = ODD_ENDS.get(dice.index(ODD_ENDS.len() * 12));
        let path = odd.map_or_else(|| path.clone(), |(before, after)| format!("{before}{path}{after}"));
        format!("target = {}\n", quote(&path))
    })
}

/// Mostly where one expects it, sometimes anywhere.
fn target_at(kind: &'static str) -> impl Strategy<Value = String> {
    let usual = match kind {
        "proc" => "/proc",
        "sysfs" => "/sys",
        "mqueue" => "/dev/mqueue",
        "dev" => "/dev",
        "devpts" => "/dev/pts",
        _ => "/a/b",
    };
    prop_oneof![Just(format!("target = \"{usual}\"\n")), target()]
}

fn size() -> impl Strategy<Value = &'static str> {
    select(vec!["", "size = 4096\n", "size = \"64K\"\n", "size = \"3M\"\n", "size = 5000\n"])
}

fn mode() -> impl Strategy<Value = &'static str> {
    select(vec![
        "",
        "",
        "mode = \"0700\"\n",
        "mode = \"1777\"\n",
        "mode = \"0000\"\n",
        "mode = \"0555\"\n",
        "mode = \"2750\"\n",
    ])
}

fn owner() -> impl Strategy<Value = &'static str> {
    select(vec!["", "", "owner = \"user\"\n"])
}

fn options(recursive: bool) -> impl Strategy<Value = String> {
    let mut words = vec!["ro", "suid", "dev", "noexec", "noatime", "nosymfollow"];
    if recursive {
        words.push("norecursive");
    }
    let some = prop::sample::subsequence(words, 0..=4).prop_map(|words| {
        let words: Vec<_> = words.into_iter().map(quote).collect();
        format!("options = [{}]\n", words.join(", "))
    });
    prop_oneof![Just(String::new()), some]
}

/// A TOML string.
fn quote(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\t', "\\t");
    format!("\"{escaped}\"")
}
