//! `namespace.conf` of pam_namespace as a map: what each rule becomes, and that any text becomes a map that is read.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a test fails by panicking"
)]

use std::time::Instant;

use proptest::prelude::*;

use session_sandbox::Policy;
use session_sandbox::compat::namespace::{lines, login};
use session_sandbox::compat::{Imported, Kind, import};
use session_sandbox::config::{self, SourceFile};
use session_sandbox::model::path::AbsPath;
use session_sandbox::model::policy::{Match, MountKind, OpenAs, Origin, Owner, Profile};

/// The map that it becomes, on top of the one that is shipped.
fn imported(text: &str) -> (Policy, Imported) {
    let imported = import(Kind::PamNamespace, text);
    let drop_in = SourceFile { name: "50-namespace.toml".to_owned(), text: imported.map.clone() };
    let policy = config::parse(&[config::built_in_file(), drop_in])
        .unwrap_or_else(|found| panic!("{found}\n{text:?}\n{}", imported.map));
    (policy, imported)
}

/// A host that has nothing but memory, and one name.
struct Nowhere;

impl login::Host for Nowhere {
    fn ids(&self, owner: Option<&str>, _group: Option<&str>) -> Result<(u32, u32), String> {
        match owner {
            None | Some("a") => Ok((1000, 100)),
            Some(other) => Err(format!("there is no user {other:?}")),
        }
    }

    fn directory(&self, _path: &AbsPath) -> Option<(u32, u32)> {
        None
    }

    fn memory(&self) -> u64 {
        1 << 32
    }
}

/// The profile that a user's login finds.
fn profile_of<'p>(policy: &'p Policy, user: &str) -> Option<&'p Profile> {
    let fits = |matches: &Match| {
        let named = |names: &[String]| names.iter().any(|name| name == user);
        let root = user == "root" && matches.not_uid.iter().any(|range| range.first == 0);
        (matches.user.is_empty() || named(&matches.user))
            && !named(&matches.not_user)
            && !root
            && matches.service.is_empty()
    };
    policy.profiles.iter().find(|profile| fits(&profile.matches))
}

/// What a user has at a path.
fn at<'p>(policy: &'p Policy, user: &str, target: &str) -> Option<&'p MountKind> {
    let profile = profile_of(policy, user)?;
    profile.mounts.iter().find(|rule| rule.target.source() == target).map(|rule| &rule.kind)
}

/// The source of a bind.
fn source<'p>(policy: &'p Policy, user: &str, target: &str) -> Option<&'p str> {
    match at(policy, user, target)? {
        MountKind::Bind { source, .. } => Some(source.source()),
        _ => None,
    }
}

fn reasons(imported: &Imported) -> String {
    imported.losses.iter().map(|loss| format!("{}: {}\n", loss.line, loss.reason)).collect()
}

/// In words: lines of comments are broken anywhere.
fn every_loss_is_in_the_map(imported: &Imported) {
    let words =
        |text: &str| text.split_ascii_whitespace().filter(|word| *word != "#").collect::<Vec<_>>().join(" ");
    let map = words(&imported.map);
    for loss in &imported.losses {
        let (first, rest) = loss.reason.split_at(1);
        let is_there = [first.to_owned(), first.to_ascii_uppercase()]
            .iter()
            .any(|first| map.contains(&words(&format!("{first}{rest}"))));
        assert!(is_there, "{loss:?}\n{}", imported.map);
    }
}

/// The example that comes with the module, in use.
const EXAMPLE: &str = "# comment\n\n/tmp     /tmp-inst/       \tlevel      root,adm\n/var/tmp \
 /var/tmp/tmp-inst/   \tlevel      root,adm\n$HOME    $HOME/$USER.inst/     level\n";

#[test]
fn the_modules_own_example_becomes_binds_of_a_users_instances() {
    let (policy, imported) = imported(EXAMPLE);
    assert_eq!(source(&policy, "bob", "/tmp"), Some("/tmp-inst/%u"));
    assert_eq!(source(&policy, "bob", "/var/tmp"), Some("/var/tmp/tmp-inst/%u"));
    assert_eq!(source(&policy, "bob", "%h"), Some("%h/%u.inst/%u"));
    assert!(matches!(at(&policy, "bob", "%h"), Some(MountKind::Bind { open_as: OpenAs::User, .. })));
    assert!(matches!(
        at(&policy, "bob", "/tmp"),
        Some(MountKind::Bind { recursive: false, follow_symlinks: false, .. })
    ));
    // The rest of the root is there.
    assert!(at(&policy, "bob", "/etc").is_some() && at(&policy, "bob", "/proc").is_some());
    // Whom the list leaves out has the lines without a list.
    assert_eq!(source(&policy, "adm", "%h"), Some("%h/%u.inst/%u"));
    assert!(matches!(at(&policy, "adm", "/tmp"), Some(MountKind::Tmpfs { .. })), "login's own");
    assert_eq!(profile_of(&policy, "root"), None);
    for (line, why) in [
        (3, "SELinux"),
        (3, "docs/session-scripts.md"),
        (4, "install -d -m 1777"),
        (5, "0711"),
        (5, "for root as well"),
        (3, "namespace.init"),
    ] {
        let found = imported.losses.iter().any(|loss| loss.line == line && loss.reason.contains(why));
        assert!(found, "{line} {why}: {}", reasons(&imported));
    }
    assert!(imported.map.contains("# Line 3: /tmp /tmp-inst/ level root,adm\n"), "{}", imported.map);
    every_loss_is_in_the_map(&imported);
}

#[test]
fn each_method_has_an_entry_or_a_reason() {
    let one = |line: &str| imported(line);
    let (policy, found) = one("/data /inst/x- user");
    assert_eq!(source(&policy, "bob", "/data"), Some("/inst/x-%u"));
    assert!(reasons(&found).contains("stat -c %a \"/data\""), "{}", reasons(&found));
    let (policy, found) = one("/data /inst/ tmpdir:create=0711,root");
    assert!(matches!(
        at(&policy, "bob", "/data"),
        Some(MountKind::Tmpfs { mode: 0o711, owner: Owner::Root, .. })
    ));
    assert!(reasons(&found).contains("mode 0711"), "{}", reasons(&found));
    let (policy, _) = one("$HOME/tmp /inst/ tmpdir");
    assert!(matches!(
        at(&policy, "bob", "%h/tmp"),
        Some(MountKind::Tmpfs { mode: 0o700, owner: Owner::User, .. })
    ));
    let (policy, _) = one("/tmp none tmpfs:mntopts=size=16M,mode=0700,noexec");
    let Some(MountKind::Tmpfs { size, mode, attributes, .. }) = at(&policy, "bob", "/tmp") else { panic!() };
    assert_eq!((*size, *mode, attributes.noexec, attributes.nosuid), (Some(16 << 20), 0o700, true, true));
    let (policy, found) = one("/tmp none tmpfs:iscript=own.sh:noinit");
    assert!(matches!(at(&policy, "bob", "/tmp"), Some(MountKind::Tmpfs { size: None, mode: 0o1777, .. })));
    assert!(reasons(&found).contains("/etc/security/namespace.d/own.sh"), "{}", reasons(&found));
    assert!(!reasons(&found).contains("namespace.init"), "{}", reasons(&found));
    let (policy, found) = one("/data /inst/ context:shared");
    assert_eq!(at(&policy, "bob", "/data"), None);
    assert!(reasons(&found).contains("passes over the line"), "{}", reasons(&found));
}

#[test]
fn paths_become_the_maps_own() {
    for (line, target, from) in [
        ("\"/a b\" /i/ user", "/a b", "/i/%u"),
        ("/a%u/ /i%/ user", "/a%%u", "/i%%/%u"),
        ("/a//b/./c// /i/./ user", "/a/b/c", "/i/%u"),
        ("/a /i/. user", "/a", "/i/.%u"),
        ("/s/$USER.d /i/$USER/$USERx user", "/s/%u.d", "/i/%u/%ux%u"),
        ("$HOME/x $HOME.inst/ user", "%h/x", "%h.inst/%u"),
    ] {
        assert_eq!(source(&imported(line).0, "bob", target), Some(from), "{line}");
    }
    for (line, why) in [
        ("/x$HOME /i/ user", "first"),
        ("/x /i$HOME/ user", "first"),
        ("/a\\nb /i/ user", "control character"),
        ("/. /i/ user", "root directory"),
        ("/a /. user", ""),
        ("/i/$USER /i/ user", "itself"),
        ("/a /i//j/ user", "two slashes"),
        ("// /i/ user", "root directory"),
        ("/a/../b /i/ user", "two dots"),
        ("a /i/ user", "slash"),
        ("/a /i/", "method"),
    ] {
        let (policy, found) = imported(line);
        let is_there = policy.profiles.iter().any(|profile| profile.name == "namespace");
        assert_eq!(is_there, why.is_empty(), "{line}");
        assert!(reasons(&found).contains(why), "{line}: {}", reasons(&found));
        assert_eq!(found.map.contains("# Left out"), !why.is_empty(), "{line}: {}", found.map);
    }
}

#[test]
fn lists_of_users_are_profiles() {
    let text = "/a /i/a/ user\n/b /i/b/ user bob\n/c /i/c/ user ~bob,carol\n/d /i/d/ user ~dora\n";
    let (policy, found) = imported(text);
    for (user, expected) in [("bob", "ac"), ("carol", "abc"), ("dora", "abd"), ("eve", "ab")] {
        let has: String =
            "abcd".chars().filter(|name| at(&policy, user, &format!("/{name}")).is_some()).collect();
        assert_eq!(has, expected, "{user}");
    }
    every_loss_is_in_the_map(&found);
    // Everybody has a line: `login` is as it was.
    let login = policy.profiles.iter().find(|profile| profile.name == "login").unwrap();
    assert_eq!(login.matches.not_user, ["root"]);
}

#[test]
fn who_has_no_line_stays_in_the_hosts_view() {
    let (policy, _) = imported("/a /i/ user bob,root\n");
    assert_eq!(profile_of(&policy, "bob"), None);
    assert!(at(&policy, "eve", "/a").is_some());
    let (policy, found) = imported("/a /i/ user ~bob,root\n");
    assert_eq!((profile_of(&policy, "eve"), profile_of(&policy, "root")), (None, None));
    assert!(at(&policy, "bob", "/a").is_some());
    assert!(reasons(&found).contains("for root as well"));
    // Nobody at all: nothing changes, and nobody is shut out.
    for text in ["", "# nothing\n", "/a /i/ user ~\n", "/a /i/ user ~root\n", "/a\n"] {
        let (policy, found) = imported(text);
        assert_eq!(profile_of(&policy, "bob").map(|profile| profile.name.as_str()), Some("login"), "{text}");
        assert!(found.map.contains("changes nothing"), "{text}");
    }
    // Names that no user can have except nobody.
    let (policy, found) = imported("/a /i/ user @staff,500,,carol\n");
    assert!(at(&policy, "bob", "/a").is_some() && profile_of(&policy, "carol").is_none());
    let odd = reasons(&found);
    assert!(odd.contains("name @staff is none") && odd.contains("name 500 is none"), "{odd}");
}

#[test]
fn lines_that_hide_each_other_are_told() {
    let (policy, found) = imported("/a /i/1/ user\n/a /i/2/ user\n");
    assert_eq!(source(&policy, "bob", "/a"), Some("/i/2/%u"));
    assert!(reasons(&found).contains("1: line 2 mounts above it"), "{}", reasons(&found));
    let (policy, found) = imported("/a/b /i/1/ user\n/a /i/2/ user\n/a/c /i/3/ user\n/ab /i/4/ user\n");
    assert_eq!((source(&policy, "bob", "/a/b"), source(&policy, "bob", "/a/c")), (None, Some("/i/3/%u")));
    assert!(source(&policy, "bob", "/ab").is_some() && reasons(&found).contains("1: line 2 mounts above it"));
    let (policy, found) = imported("/tmp none tmpfs\n/data /tmp/inst/ user\n");
    assert_eq!(at(&policy, "bob", "/data"), None);
    assert!(reasons(&found).contains("2: its instances lie where line 1"), "{}", reasons(&found));
    every_loss_is_in_the_map(&found);
    // The other way round they were found before anything was mounted there.
    let (policy, _) = imported("/data /tmp/inst/ user\n/tmp none tmpfs\n");
    assert_eq!(source(&policy, "bob", "/data"), Some("/tmp/inst/%u"));
    // Only for users who have both.
    let (policy, _) = imported("/a /i/1/ user\n/a /i/2/ user ~bob\n");
    assert_eq!(
        (source(&policy, "bob", "/a"), source(&policy, "eve", "/a")),
        (Some("/i/2/%u"), Some("/i/1/%u"))
    );
}

#[test]
fn nothing_of_the_file_gets_out_of_a_comment_or_a_text() {
    let line = "\"/a\\\"]\n[[profile]]\nname = \\\"x\\\"\" /i/ user \"bob\\\"]\"\n";
    for text in
        [line, "/a\"\"\"\\ b'x /i/ user", "/a /i/ \u{7f}user", "/a /i/ user:\u{202e}x", "\u{feff}/a /i/ user"]
    {
        let (policy, found) = imported(text);
        assert!(policy.profiles.len() <= 3, "{}", found.map);
        let odd = |letter: char| letter.is_control() && letter != '\n' || letter == '\u{202e}';
        assert!(!found.map.contains(odd), "{:?}", found.map);
    }
}

#[test]
fn more_than_a_map_can_say_is_said_to_be_too_much() {
    let many: String = (0..100).map(|at| format!("/d{at} /i/{at}/ user\n")).collect();
    let (policy, found) = imported(&many);
    assert_eq!(found.losses.iter().filter(|loss| loss.reason.contains("64 lines")).count(), 36);
    assert!(at(&policy, "bob", "/d63").is_some() && at(&policy, "bob", "/d64").is_none());
    let sets: String = (0..40).map(|at| format!("/d{at} /i/{at}/ user ~u{at}\n")).collect();
    let names = (0..60_000).map(|at| format!("user{at}")).collect::<Vec<_>>().join(",");
    for text in [sets, format!("/a /i/ user {names}"), format!("/a /i/ user ~{names}")] {
        let began = Instant::now();
        let (policy, found) = imported(&text);
        assert_eq!(policy.profiles.len(), 2);
        assert!(found.losses[0].reason.contains("divide it") && found.map.len() < 10_000);
        assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    }
}

/// Pieces of a file, most of which fit together.
const PIECES: [&str; 48] = [
    " ",
    " ",
    " ",
    " ",
    "\t",
    "\n",
    "\n",
    "\"",
    "\\",
    "\\n",
    "#",
    "/tmp",
    "/var/tmp",
    "/",
    "$HOME",
    "$USER",
    "${USER}",
    "$",
    "%",
    "%u",
    "%h",
    "..",
    ".",
    "/tmp-inst/",
    "/a b",
    "user",
    "level",
    "context",
    "tmpdir",
    "tmpfs",
    ":",
    ":create",
    "=0711",
    "=0x1ff,bob,users",
    ":iscript=x",
    ":noinit",
    ":shared",
    ":mntopts=",
    "size=1M",
    "size=50%",
    "mode=",
    ",",
    "~",
    "bob",
    "root",
    "@x",
    "\u{e4}",
    "]",
];

fn texts() -> impl Strategy<Value = String> {
    let line = (
        "[/$.a-c%\" ]{0,12}",
        prop::sample::select(&PIECES[..]),
        "(user|tmpfs|level|tmpdir)[a-z:=,0-9]{0,9}",
        "[~a-d,]{0,6}",
    )
        .prop_map(|(first, second, method, users)| format!("/{first} /i{second} {method} {users}\n"));
    let good = (0..6_u8, 0..6_u8, "(user|tmpfs|level|tmpdir:create)", "(|~?[a-d](,[a-d]){0,3})").prop_map(
        |(place, below, method, users)| format!("/p{place}/q{below} /p{below}/i/ {method} {users}\n"),
    );
    let pieces =
        prop::collection::vec(prop::sample::select(&PIECES[..]), 0..120).prop_map(|pieces| pieces.concat());
    prop_oneof![
        pieces,
        prop::collection::vec(line, 0..20).prop_map(|lines| lines.concat()),
        prop::collection::vec(good, 0..70).prop_map(|lines| lines.concat()),
        prop::collection::vec(any::<u8>(), 0..400)
            .prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        ".{0,200}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_becomes_a_map_that_is_read(text in texts()) {
        let began = Instant::now();
        let (_, found) = imported(&text);
        prop_assert!(found.map.len() < 256 * 1024);
        prop_assert!(began.elapsed().as_secs() < 5);
        for loss in &found.losses {
            prop_assert!(loss.line >= 1 && loss.line <= text.split('\n').count());
            prop_assert!(!loss.reason.is_empty() && loss.text.chars().count() <= 301);
            prop_assert!(!loss.text.contains(|letter: char| letter.is_control()));
        }
        let whole = !found.map.contains("# Nothing is here");
        // Longer words are cut in a comment.
        let words = |text: &str| text.split_ascii_whitespace().all(|word| word.chars().count() < 70);
        if whole && found.losses.iter().all(|loss| words(&loss.reason)) {
            every_loss_is_in_the_map(&found);
        }
        // The same text gives the same map.
        prop_assert_eq!(import(Kind::PamNamespace, &text), found);
    }

    #[test]
    fn any_lines_have_an_answer_for_who_logs_in(text in texts(), ignore in any::<bool>()) {
        let began = Instant::now();
        let placed: Vec<login::Placed> = lines(&text)
            .filter_map(|(number, _, line)| {
                Some((Origin { file: "n".into(), line: u32::try_from(number).ok()? }, line.ok()?))
            })
            .collect();
        let who = login::Who { name: "b", home: "/home/b%u", uid: 1000 };
        let words = login::Words { ignore_instance_parent_mode: ignore, ..login::Words::default() };
        match login::entries(&placed, who, words, &Nowhere) {
            Ok(rules) => {
                let own = placed.iter().filter(|(_, line)| line.is_for("b")).count();
                prop_assert!(rules.len() <= own + 1 && (own > 0 || rules.is_empty()));
                prop_assert!(rules.first().is_none_or(|rule| rule.target.source() == "/"));
                // What is upon the host's tree is somebody's line, and below the root.
                for rule in rules.iter().skip(1) {
                    prop_assert!(rule.target.source().len() > 1 && !rule.target.source().contains("/../"));
                    prop_assert!(placed.iter().any(|(origin, _)| *origin == rule.origin));
                }
            }
            Err((origin, reason)) => {
                prop_assert!(placed.iter().any(|(known, _)| *known == origin) && !reason.is_empty());
            }
        }
        prop_assert!(began.elapsed().as_secs() < 5);
    }

    #[test]
    fn users_have_what_the_lines_say(lists in prop::collection::vec("(|~?[a-e](,[a-e]){0,4})", 1..6)) {
        let text: String =
            lists.iter().enumerate().map(|(at, list)| format!("/d{at} /i{at}/ user {list}\n")).collect();
        let (policy, found) = imported(&text);
        for user in ["a", "b", "c", "d", "e", "somebody"] {
            let own = lines(&text).filter_map(|(_, _, line)| line.ok()).filter(|line| line.is_for(user));
            let expected: Vec<String> = own.map(|line| line.polydir).collect();
            let has: Vec<String> = (0..lists.len())
                .map(|at| format!("/d{at}"))
                .filter(|target| at(&policy, user, target).is_some())
                .collect();
            prop_assert_eq!(&has, &expected, "{}\n{}", user, found.map);
            // Without any line a user is in the host's view; but for a file that asks for nothing.
            let somebody_has = policy.profiles.iter().any(|profile| profile.name == "namespace");
            if expected.is_empty() && somebody_has {
                prop_assert!(profile_of(&policy, user).is_none(), "{}\n{}", user, found.map);
            }
        }
    }
}
