//! What pam_chroot's `chroot.conf` says of a user, with the C library as the matcher, and the map that it becomes.
//!
//! `tests/integration/chrooted.rs` compares the same decisions with the module itself.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's way to fail is to stop; the project's rules for programs that run as root are not about it"
)]

use std::time::{Duration, Instant};

use proptest::prelude::*;
use session_sandbox::compat::chroot::{
    Decision, Options, Outcome, Reading, Trouble, Who, decide, import, import_with, outcome,
};
use session_sandbox::compat::{self, Imported, Kind};
use session_sandbox::config::{self, SourceFile};
use session_sandbox::host::match_pattern as matcher;
use session_sandbox::model::policy::{Mode, MountKind, Policy, Profile};

fn bob() -> Who {
    let groups = ["users", "xpamchroot-old", "staff"];
    Who { name: "bob".to_owned(), groups: Some(groups.map(str::to_owned).to_vec()) }
}

fn ask(reading: Reading, words: &str, conf: &[u8], who: &Who) -> Decision {
    let (options, _) = Options::read(words.split_ascii_whitespace());
    decide(Some(conf), &options, who, reading, matcher)
}

/// A directory, `-` for none, or the beginning of the reason.
fn says(decision: &Decision) -> String {
    match decision {
        Decision::Chroot(directory) => String::from_utf8_lossy(directory).into_owned(),
        Decision::NotFound => "-".to_owned(),
        Decision::Error(trouble) => format!("error: {trouble}"),
    }
}

/// Options, the file, and what it says of bob in either reading.
const TABLE: &[(&str, &str, &str, &str)] = &[
    // Comments, ends of lines, fields.
    ("", "bob /a # x", "/a", "/a"),
    ("", "bob /a#b", "/a", "/a"),
    ("", "#bob /a\nbob /b", "/b", "/b"),
    ("", "bob /a\r\n", "/a", "/a"),
    ("", "bob\t /a b c", "/a", "/a"),
    ("", "", "-", "-"),
    ("", "bob\nbob /b", "/b", "error: line 1: a name without a directory"),
    ("", "bob#\nbob /b", "/b", "error: line 1: a name without a directory"),
    // Names.
    ("", "bob /a\nbob /b", "/a", "/a"),
    ("", "eve /a\nbob /b", "/b", "/b"),
    ("", "BOB /a", "-", "-"),
    ("", "bo /a\nbobby /b\n.ob /c", "-", "-"),
    ("", "bob\u{b}x /a", "/a", "/a"),
    // Patterns.
    ("use_ext_regex", "bo /a", "/a", "-"),
    ("use_ext_regex", "BOB /a", "/a", "/a"),
    ("use_ext_regex", "^b(o)b$ /a/%1", "/a/o", "/a/o"),
    ("use_ext_regex", "b(o)b|x /%0%1", "/bobo", "/bobo"),
    ("use_ext_regex", "(x)?bob /%1", "error: line 1: the pattern has matched without a part `%1`", "same"),
    ("use_ext_regex", "bob /%4", "error: line 1: the pattern has matched without a part `%4`", "same"),
    ("use_ext_regex", "b(o /a\nbob /b", "/b", "error: line 1: not a regular expression: "),
    ("use_ext_regex", "^eve$ /a\n^b /b", "/b", "-"),
    ("use_ext_regex", "b{1,1000}ob /a", "/a", "/a"),
    ("use_ext_regex", "(b{1,1000}){1,9}ob /a", "error: line 1: the pattern repeats too much", "same"),
    ("use_ext_regex", "(b+)+(o+)+(b+)+ /a", "/a", "/a"),
    (
        "use_ext_regex",
        "b++++++++++++++++++++++++ob /a",
        "error: line 1: the pattern repeats too much",
        "same",
    ),
    // To the module use_regex is use_ext_regex.
    ("use_regex", "^b(o)b$ /%1", "/o", "-"),
    ("use_regex", r"^b\(o\)b$ /%1", "-", "/o"),
    ("use_regex use_ext_regex", "^b(o)b$ /%1", "/o", "/o"),
    ("use_ext_regex use_regex", "^b(o)b$ /%1", "/o", "/o"),
    // Groups.
    ("use_groups", "@users /a", "/a", "/a"),
    ("use_groups", "@staff /a\n@users /b", "/a", "/a"),
    ("use_groups", "@pamchroot /a\n@nobody /b", "-", "-"),
    ("use_groups", "users /a", "-", "-"),
    ("use_groups", "@ /a", "-", "-"),
    ("", "@users /a", "error: line 1: `@` begins a group, and the option use_groups is missing", "same"),
    ("", "bob /a\n@users /b", "/a", "/a"),
    ("", "eve /a\n@users /b\nbob /c", "error: line 2: `@` begins a group", "same"),
    ("", "@users\nbob /c", "/c", "error: line 1: a name without a directory"),
    ("use_groups use_regex", "@pamchroot /a/%0", "/a/pamchroot", "-"),
    ("use_groups use_regex", "@^pamchroot$ /a", "-", "-"),
    ("use_groups use_ext_regex", "@sta(.)f /%1", "/f", "/f"),
    ("use_groups use_ext_regex", "@s /%0", "/s", "-"),
    ("use_groups use_ext_regex", "@ /%u", "/bob", "-"),
    // What the directory holds.
    ("", "bob /%u/%U", "/bob/bob", "/bob/bob"),
    ("", "bob /%%u", "/%u", "/%u"),
    ("use_groups", "bob /%g/%G", "/users/users", "/users/users"),
    ("use_groups", "@staff /%g", "/users", "/staff"),
    ("use_groups use_regex", "@^sta /%g", "/users", "-"),
    ("", "bob /%g", "error: line 1: %g stands for a group", "same"),
    ("", "bob /%0", "error: line 1: `%0` is a part of what a pattern matched", "same"),
    ("", "bob /%x", "error: line 1: unknown variable `%x`", "same"),
    ("", "bob /%", "error: line 1: unknown variable `%`", "same"),
    ("", "bob /%h\nbob /b", "error: line 1: unknown variable `%h`", "same"),
    ("", "bob a/b", "a/b", "error: the directory \"a/b\" does not begin with /"),
    // For everybody, and as it is.
    ("chroot_dir=/c/%u", "bob /a", "/c/%u", "/c/%u"),
    ("chroot_dir=/c chroot_dir=/d", "@x /a", "/c", "/c"),
    ("chroot_dir=", "bob /a", "/a", "/a"),
];

#[test]
fn every_row_of_the_table_holds() {
    for (words, conf, compat, native) in TABLE {
        let native = if *native == "same" { compat } else { native };
        for (reading, expected) in [(Reading::Compat, compat), (Reading::Native, native)] {
            let said = says(&ask(reading, words, conf.as_bytes(), &bob()));
            let holds = said == **expected || expected.starts_with("error: ") && said.starts_with(expected);
            assert!(holds, "{words:?} {conf:?} {reading:?}: {said:?}, and not {expected:?}");
        }
    }
}

#[test]
fn whom_nobody_knows_can_still_have_a_line() {
    let stranger = Who { name: "stranger".to_owned(), groups: None };
    for reading in [Reading::Compat, Reading::Native] {
        assert_eq!(says(&ask(reading, "", b"stranger /a", &stranger)), "/a");
        let error = Decision::Error(Trouble::NobodyKnows("stranger".to_owned()));
        assert_eq!(ask(reading, "use_groups", b"stranger /a", &stranger), error);
        assert_eq!(ask(reading, "use_groups", b"", &stranger), error);
        assert_eq!(says(&ask(reading, "use_groups chroot_dir=/c", b"", &stranger)), "/c");
        let (options, _) = Options::read(["chroot_dir=/c"]);
        assert_eq!(says(&decide(None, &options, &stranger, reading, matcher)), "/c");
        let missing = decide(None, &Options::default(), &stranger, reading, matcher);
        assert_eq!(missing, Decision::Error(Trouble::NoConf));
    }
}

#[test]
fn the_module_sees_no_more_than_64_groups() {
    let groups = (0..100).map(|number| format!("g{number}")).collect();
    let many = Who { name: "bob".to_owned(), groups: Some(groups) };
    for (group, compat) in [("g63", "/a"), ("g64", "-")] {
        let conf = format!("@{group} /a");
        assert_eq!(says(&ask(Reading::Compat, "use_groups", conf.as_bytes(), &many)), compat);
        assert_eq!(says(&ask(Reading::Native, "use_groups", conf.as_bytes(), &many)), "/a");
    }
}

#[test]
fn the_end_of_a_long_comment_is_a_line_to_the_module() {
    let conf = format!("#{}bob /a\n", "x".repeat(1022));
    assert_eq!(says(&ask(Reading::Compat, "", conf.as_bytes(), &bob())), "/a");
    assert_eq!(says(&ask(Reading::Native, "", conf.as_bytes(), &bob())), "-");
}

#[test]
fn what_is_not_found_and_what_is_wrong_have_an_option_each() {
    let enter = || Outcome::Enter(b"/a".to_vec());
    let rows = [
        // Options, whether the user has a line, the module, and we.
        ("", "bob", enter(), enter()),
        ("no_chroot", "bob", Outcome::Stay, Outcome::Stay),
        ("no_chroot notfound=failure onerr=fail", "bob", Outcome::Stay, Outcome::Stay),
        ("", "eve", Outcome::Stay, Outcome::Stay),
        ("notfound=failure", "eve", Outcome::Refuse, Outcome::Refuse),
        ("onerr=fail", "eve", Outcome::Refuse, Outcome::Stay),
        ("notfound=failure onerr=succeed", "eve", Outcome::Stay, Outcome::Refuse),
        ("", "@x", Outcome::Refuse, Outcome::Refuse),
        ("onerr=succeed", "@x", Outcome::Refuse, Outcome::Stay),
        ("notfound=success", "@x", Outcome::Refuse, Outcome::Refuse),
    ];
    for (words, name, compat, native) in rows {
        let (options, unknown) = Options::read(words.split_ascii_whitespace());
        assert!(unknown.is_empty());
        let conf = format!("{name} /a");
        for (reading, expected) in [(Reading::Compat, compat), (Reading::Native, native)] {
            let decision = decide(Some(conf.as_bytes()), &options, &bob(), reading, matcher);
            assert_eq!(outcome(&decision, &options, reading), expected, "{words} {name} {reading:?}");
        }
    }
}

fn parsed(imported: &Imported) -> Policy {
    let file = SourceFile { name: "imported.toml".to_owned(), text: imported.map.clone() };
    match config::parse(&[file]) {
        Ok(policy) => policy,
        Err(mistakes) => panic!("{mistakes:?}\n{}", imported.map),
    }
}

fn source_of(profile: &Profile) -> &str {
    match &profile.mounts[0].kind {
        MountKind::Bind { source, follow_symlinks: true, .. } => source.source(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_line_becomes_a_profile_in_its_place() {
    let text =
        "# ours\nbob  /srv/jail/%U  # bob's\r\n@staff /w/%G/%%x more\n^(eve|jane\\.doe)$ /e\n@^old$ /o//x/\n";
    let imported = compat::import(Kind::PamChroot, text);
    assert_eq!(imported.losses, []);
    let policy = parsed(&imported);
    let rows: Vec<_> = policy
        .profiles
        .iter()
        .map(|profile| {
            assert_eq!(profile.settings.mode, Mode::Chroot);
            let targets: Vec<_> =
                profile.mounts.iter().map(|mount| (mount.target.source(), mount.optional)).collect();
            assert_eq!(targets, [("/", false), ("/proc", true), ("/dev", true)]);
            let Profile { name, matches, .. } = profile;
            (name.as_str(), matches.user.join(","), matches.group.join(","), source_of(profile))
        })
        .collect();
    let row = |name, user: &str, group: &str, source| (name, user.to_owned(), group.to_owned(), source);
    assert_eq!(
        rows,
        [
            row("line-2", "bob", "", "/srv/jail/%u"),
            row("line-3", "", "staff", "/w/%g/%%x"),
            row("line-4", "eve,jane.doe", "", "/e"),
            row("line-5", "", "old", "/o/x"),
        ]
    );
    assert!(imported.map.contains("# More stands on it"), "{}", imported.map);
}

#[test]
fn what_has_no_place_in_a_map_is_a_loss_with_its_line_and_reason() {
    for (line, reason) in [
        ("bob", "no directory"),
        ("^stu([0-9]+)$ /jails/%1", "is a pattern"),
        ("^bob$ /jails/%0", "has no such variable"),
        ("stu.* /jails", "parts of names"),
        ("bob$ /jails", "parts of names"),
        ("^j.d$ /jails", "stands for any character"),
        ("1bob /jails", "user name"),
        ("@17 /jails", "no name that a group can have"),
        ("bob jails", "not absolute"),
        ("bob /a/../b", "`..` component"),
        ("bob /", "host's own root"),
        ("bob //", "host's own root"),
        ("bob /%h", "refuses the login"),
        ("bob /%", "refuse the login"),
    ] {
        let imported = import(&format!("\n{line}\neve /e\n"));
        let [loss] = imported.losses.as_slice() else { panic!("{line}: {:?}", imported.losses) };
        assert_eq!((loss.line, loss.text.as_str()), (2, line));
        assert!(loss.reason.contains(reason), "{line}: {}", loss.reason);
        assert!(imported.map.contains(&format!("# Not here: line 2: {line}\n")), "{}", imported.map);
        assert_eq!(parsed(&imported).profiles.len(), 1);
    }
}

#[test]
fn whom_else_a_pattern_matches_is_said_when_it_is_known() {
    let text = "@pamchroot /w/%u\nbob /b\n^eve$ /e\n";
    let imported = import_with(text, &["bob", "bobby", "Eve"], &["pamchroot", "xpamchroot-old"]);
    let map = imported.map.replace("\n# ", " ");
    for expected in [
        "this also matches the group xpamchroot-old. Here it is pamchroot and nobody else",
        "this also matches the user bobby. Here it is bob and nobody else",
        "this also matches the user Eve. Here it is eve and nobody else",
    ] {
        assert!(map.contains(expected), "{expected}: {map}");
    }
    assert!(imported.losses.is_empty());
    assert!(!import(text).map.contains("also matches"));
    assert_eq!(parsed(&imported).profiles.len(), 3);
}

/// A file of lines that look like what people write, and of some that do not.
fn any_conf() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        "[a-z]{1,8}",
        "@[a-z]{1,8}",
        r"\^\(?[a-z|]{1,9}\)?\$",
        r"[@^$()|\\\[\].*+?{}0-9,a-c]{1,12}",
        any::<String>(),
    ];
    let directory =
        prop_oneof!["/[a-z/%ugUG0-9]{0,12}", r"(/[a-z.%]{1,5}){1,4}", "/[a-z]{200,300}", any::<String>()];
    let gap = prop_oneof![" {1,3}", "\t", "\\PC?"];
    let line = (name, gap, directory, "( #x|\r| more|)")
        .prop_map(|(name, gap, directory, end)| format!("{name}{gap}{directory}{end}\n"));
    proptest::collection::vec(line, 0..12).prop_map(|lines| lines.concat())
}

fn mistakes_of_nobody(imported: &Imported) -> Result<usize, TestCaseError> {
    let file = SourceFile { name: "imported.toml".to_owned(), text: imported.map.clone() };
    let mistakes = config::parse(&[file]).unwrap_err().to_string();
    prop_assert!(
        mistakes.contains("the map has no profile") && mistakes.lines().count() <= 3,
        "{}",
        mistakes
    );
    Ok(0)
}

fn is_sound(text: &str) -> Result<(), TestCaseError> {
    let begun = Instant::now();
    let imported = import_with(text, &["bob", "abc", ""], &["staff", "a"]);
    prop_assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    prop_assert!(imported.map.len() <= 256 * 1024);
    let has_profiles = imported.map.contains("\n[[profile]]\n");
    // A file that is for nobody makes a map that is for nobody, which is refused, and for nothing else.
    let profiles =
        if has_profiles { parsed(&imported).profiles.len() } else { mistakes_of_nobody(&imported)? };
    let lines = text.lines().count() + text.len() / 1023;
    prop_assert!(profiles + imported.losses.len() <= lines, "{profiles} profiles of {lines} lines");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_map_of_any_file_is_read_without_a_mistake(text in any_conf()) {
        is_sound(&text)?;
    }

    #[test]
    fn a_map_of_any_text_is_read_without_a_mistake(text in any::<String>()) {
        is_sound(&text)?;
    }

    #[test]
    fn any_file_has_an_answer(conf in any_conf(), words in "(use_regex |use_ext_regex |use_groups |no_chroot ){0,4}") {
        let (options, _) = Options::read(words.split_ascii_whitespace());
        let begun = Instant::now();
        for reading in [Reading::Compat, Reading::Native] {
            let decision = decide(Some(conf.as_bytes()), &options, &bob(), reading, matcher);
            if let Decision::Chroot(directory) = decision {
                prop_assert!(directory.len() <= conf.len() * 20);
            }
        }
        prop_assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }

    #[test]
    fn any_bytes_have_an_answer(conf in proptest::collection::vec(any::<u8>(), 0..3000), groups in any::<bool>()) {
        let words = if groups { "use_groups use_regex" } else { "use_regex" };
        for reading in [Reading::Compat, Reading::Native] {
            ask(reading, words, &conf, &bob());
        }
    }
}

#[test]
fn a_file_without_end_stays_within_the_limits_of_a_map() {
    for line in [
        "bob /a\n",
        "x\n",
        "bob /\u{1}\u{2}\u{3}\n",
        "^(a|b|c|d|e)$ /%u\n",
        "stu.* /a\n",
        "bob /a[{\n",
        "bob /a]}'\"\n",
    ] {
        is_sound(&line.repeat(30_000)).unwrap();
    }
    is_sound(&format!("^({})$ /{}\n", ["abcdefgh"; 100].join("|"), "\u{202e}".repeat(80)).repeat(300))
        .unwrap();
    is_sound(&format!("bob /{} ", "a".repeat(200)).repeat(10_000)).unwrap();
}
