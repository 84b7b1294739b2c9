//! The pages of files name the keys that their reader knows, and no others. The reader is asked: it answers a key that it
//! does not know with those that it does.

use std::collections::BTreeSet;

use session_sandbox::config::{self, SourceFile};

use crate::read;

type Names = BTreeSet<String>;

/// A word that is near to none. Longer ones than this are compared with nothing.
fn strange() -> String {
    "q".repeat(300)
}

fn file(text: &str) -> SourceFile {
    SourceFile { name: "asked".to_owned(), text: format!("version = 1\n{text}") }
}

/// What the diagnostics of a text list as known.
fn known(found: &config::Diagnostics, list: &str) -> Names {
    let helps: Vec<&str> = found.iter().filter_map(|one| one.help.as_deref()?.strip_prefix(list)).collect();
    assert_eq!(helps.len(), 1, "{found}");
    helps[0].split(", ").map(str::to_owned).collect()
}

fn of_map(text: &str, list: &str) -> Names {
    known(&config::parse(&[file(text)]).unwrap_err(), list)
}

fn of_scripts(text: &str) -> Names {
    known(&config::parse_scripts(Some(&file(text))).unwrap_err(), "known keys are: ")
}

/// The arguments of a macro below a heading, up to the next one.
fn named(page: &str, heading: &str, name: &str) -> Names {
    let page = read(&format!("packaging/man/{page}"));
    let below = page.lines().skip_while(|line| *line != heading).skip(1);
    let lines: Vec<&str> =
        below.take_while(|line| !line.starts_with(".Ss ") && !line.starts_with(".Sh ")).collect();
    let of = |line: &&str| {
        let line = line.strip_prefix(".It ").unwrap_or_else(|| line.trim_start_matches('.')).to_owned();
        line.strip_prefix(&format!("{name} ")).map(str::to_owned)
    };
    let words = lines.iter().filter(|line| line.starts_with('.')).filter_map(of);
    let words: Vec<String> =
        words.flat_map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>()).collect();
    words.into_iter().filter(|word| word.len() > 1 || word.chars().all(char::is_alphanumeric)).collect()
}

const KEYS: &str = "known keys are: ";

pub(crate) fn map() {
    let strange = strange();
    let keys = |heading: &str| named("mounts.toml.5", heading, "Cm");
    let settings = of_map(&format!("[defaults]\n{strange} = 1"), KEYS);
    assert_eq!(keys(".Ss Settings"), settings);
    // What a profile can set as well is explained once.
    let profile = of_map(&format!("[[profile]]\nname = \"a\"\n{strange} = 1"), KEYS);
    let mut both = keys(".Ss Profiles");
    assert!(both.is_disjoint(&settings), "{both:?}");
    both.extend(settings);
    assert_eq!(both, profile);
    let matching = of_map(&format!("[[profile]]\nname = \"a\"\nmatch = {{ {strange} = 1 }}"), KEYS);
    assert_eq!(keys(".Ss Keys of match"), matching);

    let entry = |text: &str| format!("[[profile]]\nname = \"a\"\n[[profile.mount]]\n{text}");
    // Without a kind all keys of all kinds are known.
    assert_eq!(keys(".Ss Mounts"), of_map(&entry(&format!("kind = 1\n{strange} = 1")), KEYS));
    let words = named("mounts.toml.5", ".Ss Mounts", "Ql");
    let kinds = of_map(&entry(&format!("kind = \"{strange}\"")), "known are: ");
    assert!(kinds.is_subset(&words), "{kinds:?} in {words:?}");
    let options = of_map(&entry(&format!("target = \"/a\"\noptions = [\"{strange}\"]")), "known are: ");
    assert!(options.is_subset(&words), "{options:?} in {words:?}");
    // The tables, and the number above them.
    let page = read("packaging/man/mounts.toml.5");
    for key in of_map(&format!("{strange} = 1"), KEYS) {
        let table = [format!("[{key}]"), format!("[[{key}]]"), format!(".Cm {key} ,")];
        assert!(table.iter().any(|table| page.contains(table)), "{key}");
    }
}

pub(crate) fn scripts() {
    let strange = strange();
    let keys = |heading: &str| named("session-scripts.conf.5", heading, "Cm");
    let mut known = of_scripts(&format!("[defaults]\n{strange} = 1"));
    let rule = of_scripts(&format!("[[script]]\nname = \"a\"\n{strange} = 1"));
    known.extend(rule.iter().cloned());
    assert_eq!(keys(".Ss [defaults]"), known);
    // Nothing stands in a folder's table that does not stand in a script's.
    for folder in ["first", "added", "removed", "last"] {
        assert!(of_scripts(&format!("[{folder}]\n{strange} = 1")).is_subset(&rule), "{folder}");
    }
    assert_eq!(keys(".Ss [compat]"), of_scripts(&format!("[compat]\n{strange} = 1")));
    let page = read("packaging/man/session-scripts.conf.5");
    for key in of_scripts(&format!("{strange} = 1")) {
        let table = [format!("[{key}]"), format!("[[{key}]]"), format!(".Cm {key} ,")];
        assert!(table.iter().any(|table| page.contains(table)), "{key}");
    }
}

/// The options of the PAM module: those that a mistake is answered with, and the words of the older pam_script.
pub(crate) fn module() {
    let source = read("crates/pam-session-sandbox/src/options.rs");
    let listed = source.split("there are ").nth(1).unwrap().split('"').next().unwrap();
    let listed: Names = listed
        .split([',', ' '])
        .filter(|word| !word.is_empty() && *word != "and")
        .map(|word| word.trim_end_matches('=').to_owned())
        .collect();
    // The list in that sentence is the one that is read, but for the one of the tests.
    let take = source.split("match (name, value) {").nth(1).unwrap().split("_ => {").next().unwrap();
    let mut taken: Names = Names::new();
    for row in take.lines().filter_map(|line| line.trim().strip_prefix('(')) {
        let names = row.split([',', ')']).next().unwrap();
        taken.extend(names.split('|').map(|name| name.trim().trim_matches('"').to_owned()));
    }
    taken.remove("fault");
    assert_eq!(taken, listed, "options.rs was not understood, or its sentence is not complete");

    let page = read("packaging/man/pam_session_sandbox.8");
    let explained: Names = page
        .lines()
        .filter_map(|line| line.strip_prefix(".It Cm ")?.split(' ').next())
        .map(str::to_owned)
        .collect();
    assert_eq!(explained, listed);
    let words = source.split("const ON_SESSION").nth(1).unwrap().split("];").next().unwrap();
    let words: Vec<&str> = words.split('"').skip(1).step_by(2).collect();
    assert!(words.len() > 5, "{words:?}");
    for word in words {
        assert!(page.split_whitespace().any(|named| named == word), "{word}");
    }
}
