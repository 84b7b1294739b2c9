//! Files that are no maps: broken, huge, deep, or made to look like something else on a terminal.

use std::fmt::Write;

use proptest::prelude::*;

use super::{file, mistakes, parse};
use crate::config::{BUILT_IN, LAYERS_MAX, MOUNTS_MAX, PROFILES_MAX, SIZE_MAX};

fn message(text: &str) -> String {
    parse(&[file("m", text)]).unwrap_err().to_string()
}

#[test]
fn every_broken_file_gives_a_diagnostic_and_nothing_else() {
    let deep = 10_000;
    let huge = usize::try_from(SIZE_MAX).unwrap();
    for text in [
        String::new(),
        "\u{feff}".to_owned(),
        "\0".to_owned(),
        "version = 1\0".to_owned(),
        "\r".to_owned(),
        "=".to_owned(),
        "[".repeat(huge),
        "\"".repeat(huge),
        "a.".repeat(huge / 2),
        "a\n".repeat(huge / 2),
        "é".repeat(huge / 2),
        format!("version = 1\na = {}{}", "[".repeat(deep), "]".repeat(deep)),
        format!("version = 1\na = {}{}", "{a=".repeat(deep), "}".repeat(deep)),
        format!("version = 1\n{} = 1", vec!["a"; deep].join(".")),
        format!("version = 1\n[{}]", vec!["a"; deep].join(".")),
        "version = 1\n[profile]\n[[profile]]\n".to_owned(),
        "version = 1\n[[profile]]\n[profile]\n".to_owned(),
        "version = 1\nprofile = []\n[[profile.mount]]\n".to_owned(),
        "version = 1\n[[profile.mount]]\n".to_owned(),
        "version = 1\n[profile.mount.match]\n".to_owned(),
        "version = 1\n[[profile]]\nname = 'p'\nmount = { target = '/a' }\n".to_owned(),
        "version = 1\n[[profile]]\nname = 'p'\nmount = [['/a']]\n".to_owned(),
        "version = 1\n[[profile]]\nname = 'p'\nmatch = 1\nset_env = []\nextends = []\n".to_owned(),
        "version = 1\nversion = 1\n[defaults]\n[defaults]\n".to_owned(),
        "version = 99999999999999999999999999\n".to_owned(),
        "version = 1\ndefaults = 1979-05-27\nprofile = nan\n".to_owned(),
    ] {
        let start: String = text.chars().take(40).collect();
        let shown = message(&text);
        assert!(shown.starts_with("m:"), "{start:?}: {shown}");
        assert!(shown.len() < 300 * 1024, "{start:?}: {} bytes", shown.len());
    }
}

#[test]
fn limits_hold_and_are_named() {
    let too_long = format!("version = 1\n{}", "#".repeat(usize::try_from(SIZE_MAX).unwrap()));
    assert_eq!(mistakes(&too_long), ["1:1: the file has 262156 bytes; 262144 are the limit"]);

    let profiles = |count| {
        (0..count)
            .fold("version = 1\n".to_owned(), |text, at| text + &format!("[[profile]]\nname = 'p{at}'\n"))
    };
    assert!(parse(&[file("m", &profiles(PROFILES_MAX))]).is_ok());
    assert_eq!(mistakes(&profiles(PROFILES_MAX + 1)), ["514:1: more than 256 profiles"]);
    let one_more = file("d", "version = 1\n[[profile]]\nname = 'x'\n");
    let found = parse(&[file("m", &profiles(PROFILES_MAX)), one_more]).unwrap_err().to_string();
    assert!(found.contains("more than 256 profiles in all files together"), "{found}");

    let mut mounts = "version = 1\n[[profile]]\nname = 'p'\n".to_owned();
    (0..MOUNTS_MAX).for_each(|at| writeln!(mounts, "[[profile.mount]]\ntarget = '/{at}'").unwrap());
    assert!(parse(&[file("m", &mounts)]).is_ok());
    let child = "[[profile]]\nname = 'q'\nextends = 'p'\n[[profile.mount]]\ntarget = '/x'\n";
    assert_eq!(mistakes(&format!("{mounts}{child}")), ["516:1: profile `q` has more than 256 mounts in all"]);
    mounts.push_str("[[profile.mount]]\ntarget = '/x'\n");
    assert_eq!(mistakes(&mounts), ["516:1: more than 256 mounts in one profile"]);

    let layer = file("m", "version = 1\n[[profile]]\nname = 'p'\n");
    assert!(parse(&vec![layer.clone(); LAYERS_MAX]).is_ok());
    assert!(parse(&vec![layer; LAYERS_MAX + 1]).unwrap_err().to_string().contains("more than 64 files"));
    assert!(parse(&[]).is_err());
}

#[test]
fn a_flood_of_mistakes_is_cut() {
    let text =
        format!("version = 1\n{}", (0..5000).fold(String::new(), |text, at| text + &format!("k{at} = 1\n")));
    let found = parse(&[file("m", &text)]).unwrap_err();
    assert_eq!((found.iter().count(), found.left_out()), (100, 4900));
    assert!(found.to_string().ends_with("\n... and 4900 more"));
}

#[test]
fn several_mistakes_are_shown_at_once_with_their_lines() {
    insta::assert_snapshot!(
        message(
            "version = 1\n\n[[profile]]\nname = \"p\"\nscope = \"usr\"\n\n[[profile.mount]]\ntarget = \"/usr\"\n\
             options = [\"ro\", \"nosiud\"]\nsize = \"4M\"\n"
        ),
        @r#"
    m:5:9: unknown scope `usr`
        5 | scope = "usr"
          |         ^^^^^
       help: did you mean `user`?
    m:9:18: unknown option `nosiud`
        9 | options = ["ro", "nosiud"]
          |                  ^^^^^^^^
       help: did you mean `nosuid`?
    m:10:1: `size` does not belong to an entry of kind `bind`
       10 | size = "4M"
          | ^^^^
       help: `size` is for the kinds tmpfs, dev
    "#
    );
}

#[test]
fn syntax_errors_have_the_same_form() {
    insta::assert_snapshot!(message("version = 1\r\n[[profile]\r\nname = 'p\r\numask = 022\r\n"), @r"
    m:2:11: unclosed array table, expected `]`
        2 | [[profile]
          |           ^
    ");
    insta::assert_snapshot!(message("version = 1\numask = 022\nwall =\n"), @r#"
    m:2:9: unexpected leading zero, expected nothing
        2 | umask = 022
          |         ^
       help: octal numbers stand in quotes: "022"
    m:3:7: string values must be quoted, expected literal string
        3 | wall =
          |       ^
    "#);
}

#[test]
fn what_a_line_does_to_a_terminal_is_shown_and_not_done() {
    let shown = message("version = 1\n\"\\u001b[2J\u{202e}\" = 1 # \u{202e}evil\n[[profile]]\nname = 'p'\n");
    assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown:?}");
    insta::assert_snapshot!(shown, @r#"
    m:2:1: unknown key `\u{1b}[2J\u{202e}`
        2 | "\u001b[2J\u{202e}" = 1 # \u{202e}evil
          | ^^^^^^^^^^^^^^^^^^^
       help: known keys are: defaults, profile, version
    "#);
    // A raw escape is no TOML at all, and is shown all the same.
    let shown = message("version = 1\n# \u{1b}[31m\n");
    assert!(shown.contains("\\u{1b}[31m") && !shown.contains('\u{1b}'), "{shown:?}");
}

#[test]
fn columns_count_characters() {
    assert_eq!(
        mistakes("version = 1\n'äöü' = 1\n[[profile]]\nname = 'p'\n'é' = { a = 1 }\n")[0][..4],
        *"2:1:"
    );
    let found = mistakes("version = 1\nprofile = [{ name = 'é' }]\n");
    assert!(found[0].starts_with("2:21:"), "{found:?}");
    let found = mistakes("version = 1\nprofile = [{ 'äöü' = 1, name = 'p' }]\n");
    assert!(found[0].starts_with("2:14:"), "{found:?}");
}

proptest! {
    /// The shipped map with stretches cut out, doubled, or overwritten is a map or not, but always one of the two.
    #[test]
    fn a_damaged_map_is_read_or_explained(
        damage in prop::collection::vec((0..BUILT_IN.len(), 0..40_usize, ".{0,6}|[\\[\\]{}=\",.#\\n]{0,4}|\\PC{0,2}"), 1..6)
    ) {
        let mut text = BUILT_IN.to_owned();
        for (at, length, instead) in damage {
            let at = at.min(text.len());
            let end = (at + length).min(text.len());
            if text.is_char_boundary(at) && text.is_char_boundary(end) {
                text.replace_range(at..end, &instead);
            }
        }
        if let Err(found) = parse(&[file("m", &text)]) {
            prop_assert!(found.iter().next().is_some());
            let shown = found.to_string();
            prop_assert!(!shown.chars().any(|c| c.is_control() && c != '\n' && c != '\t'), "{shown:?}");
        }
    }
}
