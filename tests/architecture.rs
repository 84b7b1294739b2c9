//! Holds the house to its plan: which module may name which, where `unsafe` may stand, what pure code may not touch.
//!
//! Rust checks edges between crates, not between the modules of one crate; this reads the sources and does it. Every
//! rule has a test below that feeds it a violation, so that a rule which has stopped to see anything is noticed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// Which top modules a top module may name, and why no others. `docs/architecture.md` has the picture.
const EDGES: [(&str, &[&str], &str); 12] = [
    ("model", &[], "the values that everything else speaks in depend on nothing"),
    ("error", &[], "the one public error is a leaf, so that every layer can make it"),
    (
        "plan",
        &["error", "model"],
        "planning is pure: who names host, sys or run here wants to ask or to do something",
    ),
    ("config", &["model"], "the map's text becomes a policy without a look at the host"),
    ("sys", &[], "system calls know of no plan, map or policy; they could be a crate of their own"),
    ("host", &["config", "error", "model", "plan", "sys"], "reading the host comes before anything is done"),
    (
        "registry",
        &["error", "model", "plan", "sys"],
        "what is alive is written down and looked up; how it came to life is not known here",
    ),
    (
        "run",
        &["error", "host", "model", "plan", "registry", "sys"],
        "a plan is carried out; the map is no longer looked at",
    ),
    (
        "setup",
        &["error", "host", "model", "sys"],
        "files of the host are changed so that logins come here; what a login does is not known here",
    ),
    (
        "doctor",
        &["error", "host", "model", "registry", "setup", "sys"],
        "what logins depend on is looked at; nothing is changed and no plan is made",
    ),
    ("cli", &["error", "model", "plan"], "a command line is turned into a request and nothing else"),
    (
        "bin",
        &["cli", "config", "doctor", "error", "host", "model", "plan", "registry", "run", "setup", "sys"],
        "",
    ),
];

/// Folders whose code gets everything it knows handed in.
const PURE: [&str; 3] = ["model", "config", "plan"];
/// What pure code may not name.
const IMPURE: [&str; 13] = [
    "std::fs",
    "std::env",
    "std::process",
    "std::time",
    "std::net",
    "std::thread",
    "std::os::fd",
    "rustix",
    "nix",
    "libc",
    "procfs_core",
    "landlock",
    "core::time",
];
/// The only folder with `unsafe`.
const UNSAFE_FOLDER: &str = "sys";
/// A file that is longer wants to be two.
const LINES_MAX: usize = 500;

/// One thing that is not as it should be.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    file: String,
    line: usize,
    message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

/// A word or a mark of the program's text, without comments and literals.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Token {
    text: String,
    line: usize,
}

/// Splits Rust text into words, `::` and single marks. Comments, strings and characters are left out.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    let mut tokens = Vec::new();
    let (mut index, mut line) = (0, 1);
    while index < chars.len() {
        let start = index;
        match (at(index), at(index + 1)) {
            ('/', '/') => {
                while index < chars.len() && at(index) != '\n' {
                    index += 1;
                }
            }
            ('/', '*') => {
                let mut depth = 0;
                while index < chars.len() {
                    match (at(index), at(index + 1)) {
                        ('/', '*') => (depth, index) = (depth + 1, index + 2),
                        ('*', '/') => (depth, index) = (depth - 1, index + 2),
                        _ => index += 1,
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
            ('"', _) => index = after_string(&chars, index),
            // A character, or a lifetime: the latter has no second quote.
            ('\'', '\\') => {
                index += 3;
                while index < chars.len() && at(index) != '\'' {
                    index += 1;
                }
                index += 1;
            }
            ('\'', _) if at(index + 2) == '\'' => index += 3,
            ('\'', _) => index += 1,
            (character, _) if is_word(character) => {
                while is_word(at(index)) {
                    index += 1;
                }
                let word: String = chars[start..index].iter().collect();
                let hashes = (index..).take_while(|index| at(*index) == '#').count();
                if ["r", "br", "cr"].contains(&word.as_str()) && at(index + hashes) == '"' {
                    index = after_raw_string(&chars, index + hashes + 1, hashes);
                } else if !(["b", "c"].contains(&word.as_str()) && at(index) == '"') {
                    tokens.push(Token { text: word, line });
                }
            }
            (':', ':') => {
                index += 2;
                tokens.push(Token { text: "::".to_owned(), line });
            }
            (character, _) => {
                index += 1;
                if !character.is_whitespace() {
                    tokens.push(Token { text: character.to_string(), line });
                }
            }
        }
        line += chars[start..index.min(chars.len())].iter().filter(|character| **character == '\n').count();
    }
    tokens
}

fn after_string(chars: &[char], opening: usize) -> usize {
    let mut index = opening + 1;
    while index < chars.len() && chars[index] != '"' {
        index += if chars[index] == '\\' { 2 } else { 1 };
    }
    index + 1
}

fn after_raw_string(chars: &[char], first: usize, hashes: usize) -> usize {
    let mut index = first;
    while index < chars.len() {
        let closed = chars[index] == '"'
            && chars[index + 1..].iter().take_while(|mark| **mark == '#').count() >= hashes;
        index += 1;
        if closed {
            return index + hashes;
        }
    }
    index
}

/// A path as it is written, with groups spelled out: `a::{b, c::d}` gives `a::b` and `a::c::d`.
#[derive(Debug)]
struct Named {
    segments: Vec<String>,
    line: usize,
    /// How many modules written inside the file are around it.
    inline_depth: usize,
}

fn named_paths(tokens: &[Token]) -> Vec<Named> {
    let text = |index: usize| tokens.get(index).map_or("", |token| token.text.as_str());
    let mut found = Vec::new();
    // For each open brace: does it open a module?
    let mut braces: Vec<bool> = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        let is_start = is_name(text(index)) && (index == 0 || text(index - 1) != "::");
        let after_use = index > 0 && text(index - 1) == "use";
        if is_start && (text(index + 1) == "::" || after_use) {
            let inline_depth = braces.iter().filter(|is_module| **is_module).count();
            let mut leaves = Vec::new();
            index = spell_out(tokens, index, &[], &mut leaves);
            found.extend(leaves.into_iter().map(|(segments, line)| Named { segments, line, inline_depth }));
            continue;
        }
        match text(index) {
            "{" => braces.push(index >= 2 && text(index - 2) == "mod"),
            "}" => drop(braces.pop()),
            _ => {}
        }
        index += 1;
    }
    found
}

/// Reads one path from `index` on; returns where it ends.
fn spell_out(
    tokens: &[Token],
    mut index: usize,
    before: &[String],
    leaves: &mut Vec<(Vec<String>, usize)>,
) -> usize {
    let text = |index: usize| tokens.get(index).map_or("", |token| token.text.as_str());
    let mut segments = before.to_vec();
    let line = tokens.get(index).map_or(0, |token| token.line);
    while is_name(text(index)) || text(index) == "*" {
        segments.push(text(index).to_owned());
        index += 1;
        if text(index) != "::" {
            break;
        }
        index += 1;
        if text(index) == "{" {
            index += 1;
            while !["}", ""].contains(&text(index)) {
                let next = spell_out(tokens, index, &segments, leaves);
                // `self`, `as name` and commas lie between the members of a group.
                index = if next == index { index + 1 } else { next };
            }
            return index + 1;
        }
    }
    if segments.len() > before.len() {
        leaves.push((segments, line));
    }
    index
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// A source file: its path below the package, and its text.
struct Source<'a> {
    path: &'a str,
    text: &'a str,
}

impl Source<'_> {
    /// The top module: `plan` for `src/plan/tree.rs`, `error` for `src/error.rs`, `bin` for a program.
    fn module(&self) -> &str {
        let below = self.path.trim_start_matches("src/");
        below.split_once('/').map_or_else(|| below.trim_end_matches(".rs"), |(folder, _)| folder)
    }

    /// How many modules the file stands in: 1 for `src/error.rs` and `src/plan/mod.rs`, 2 for `src/plan/tree.rs`.
    fn depth(&self) -> usize {
        self.path.trim_start_matches("src/").trim_end_matches("/mod.rs").split('/').count()
    }
}

/// Every rule, on one file. `names` are what `src/lib.rs` re-exports, and the module it comes from.
fn check(source: &Source<'_>, names: &BTreeMap<String, String>) -> Vec<Finding> {
    let tokens = tokens(source.text);
    let mut findings = Vec::new();
    let mut find = |line, message| findings.push(Finding { file: source.path.to_owned(), line, message });
    let module = source.module();

    for named in named_paths(&tokens) {
        check_edge(source, &named, names, &mut find);
        if PURE.contains(&module) {
            let whole = named.segments.join("::");
            if let Some(impure) =
                IMPURE.iter().find(|impure| whole == **impure || whole.starts_with(&format!("{impure}::")))
            {
                find(
                    named.line,
                    format!(
                        "{module} names {impure}: it must not do I/O; let host ask, and hand the answer in as Facts"
                    ),
                );
            }
        }
    }
    for (index, token) in tokens.iter().enumerate() {
        let next = tokens.get(index + 1).map_or("", |token| token.text.as_str());
        match token.text.as_str() {
            "unsafe" if module != UNSAFE_FOLDER => {
                find(token.line, "unsafe outside src/sys: write a safe function for it there".to_owned());
            }
            macro_name @ ("todo" | "unimplemented") if next == "!" => {
                find(
                    token.line,
                    format!("{macro_name}!: what is not written yet is an error that names what is missing"),
                );
            }
            _ => {}
        }
    }
    let heads_a_folder = source.path.ends_with("/mod.rs") && source.depth() == 1;
    if (heads_a_folder || module == "bin") && module != UNSAFE_FOLDER && !forbids_unsafe(&tokens) {
        find(1, "must be headed by #![forbid(unsafe_code)]: a lint that is only denied can be allowed again below".to_owned());
    }
    if module == "lib"
        && let Some(token) =
            tokens.iter().find(|token| ["fn", "impl", "struct", "enum"].contains(&token.text.as_str()))
    {
        find(
            token.line,
            format!("`{}` in src/lib.rs: it holds modules and re-exports, no logic", token.text),
        );
    }
    let lines = source.text.lines().count();
    if lines > LINES_MAX {
        find(
            LINES_MAX + 1,
            format!("{lines} lines; at most {LINES_MAX}, so that a file can be read in one go"),
        );
    }
    findings
}

fn check_edge(
    source: &Source<'_>,
    named: &Named,
    names: &BTreeMap<String, String>,
    find: &mut impl FnMut(usize, String),
) {
    let module = source.module();
    let supers = named.segments.iter().take_while(|segment| *segment == "super").count();
    let rest = match named.segments[0].as_str() {
        "crate" if module != "bin" => &named.segments[1..],
        "session_sandbox" if module == "bin" => &named.segments[1..],
        // As many steps up as there are modules around: that is the crate itself.
        "super" if supers >= source.depth() + named.inline_depth => &named.segments[supers..],
        _ => return,
    };
    // The crate's root names its own modules, without `crate`; that is no edge.
    let Some(name) = rest.first().filter(|_| module != "lib") else { return };
    let line = named.line;
    let Some((_, allowed, why)) = EDGES.iter().find(|(from, _, _)| *from == module) else {
        return find(
            line,
            format!("module {module} has no row in EDGES: say what it may depend on, and why"),
        );
    };
    let to = if EDGES.iter().any(|(to, _, _)| to == name) { name } else { names.get(name).unwrap_or(name) };
    if to == "*" {
        find(line, "a glob import of the whole crate hides what is used: name it".to_owned());
    } else if to != module && !allowed.contains(&to.as_str()) {
        let may = if allowed.is_empty() { "nothing of ours".to_owned() } else { allowed.join(", ") };
        find(line, format!("edge {module} -> {to} is not allowed ({module} may name {may}): {why}"));
    }
}

fn forbids_unsafe(tokens: &[Token]) -> bool {
    let header = ["#", "!", "[", "forbid", "(", "unsafe_code", ")", "]"];
    tokens.windows(header.len()).any(|window| window.iter().map(|token| token.text.as_str()).eq(header))
}

/// What `pub use` makes of the crate's root: `Error` -> `error`.
fn re_exports(lib: &str) -> BTreeMap<String, String> {
    let tokens = tokens(lib);
    let paths = named_paths(&tokens).into_iter().filter(|named| named.segments.len() > 1);
    paths.filter_map(|named| Some((named.segments.last()?.clone(), named.segments[0].clone()))).collect()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            rust_files(&path, found)?;
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

#[test]
fn the_sources_keep_to_the_rules() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    rust_files(&package.join("src"), &mut files).expect("src can be listed");
    files.sort();
    assert!(files.len() > 40, "only {} files were found: is this the right folder?", files.len());
    let read = |path: &Path| {
        String::from_utf8(std::fs::read(path).expect("a source file can be read")).expect("UTF-8")
    };
    let names = re_exports(&read(&package.join("src/lib.rs")));
    assert_eq!(
        names.get("Error").map(String::as_str),
        Some("error"),
        "src/lib.rs was not understood: {names:?}"
    );

    let mut findings = Vec::new();
    for file in &files {
        let path = file.strip_prefix(package).expect("below the package").to_string_lossy();
        findings.extend(check(&Source { path: &path, text: &read(file) }, &names));
    }
    let list: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(list.is_empty(), "{} rules of the house are broken:\n  {}\n", list.len(), list.join("\n  "));
}

#[test]
fn every_row_of_the_table_leads_down() {
    // An order in which each module names only earlier ones exists exactly when there is no circle.
    let mut settled: Vec<&str> = Vec::new();
    while settled.len() < EDGES.len() {
        let next = EDGES
            .iter()
            .find(|(from, to, _)| !settled.contains(from) && to.iter().all(|to| settled.contains(to)));
        settled.push(next.unwrap_or_else(|| panic!("EDGES has a circle beyond {settled:?}")).0);
    }
}

/// The messages about one file with this text.
fn found(path: &str, text: &str) -> Vec<String> {
    let names =
        BTreeMap::from([("Error".to_owned(), "error".to_owned()), ("Plan".to_owned(), "plan".to_owned())]);
    check(&Source { path, text }, &names).iter().map(ToString::to_string).collect()
}

#[test]
fn an_edge_that_is_not_in_the_table_is_found_however_it_is_written() {
    for text in [
        "\nuse crate::sys::path;",
        "\nuse crate::{model::path::AbsPath, sys};",
        "\nfn f() { crate :: sys :: kernel :: release(); }",
        "\nuse super::super::sys;",
        "\nmod inner { use super::super::super::sys; }",
        "\npub(crate) use crate::sys as calls;",
    ] {
        let found = found("src/plan/tree.rs", text);
        assert_eq!(found.len(), 1, "{text:?}: {found:?}");
        assert!(found[0].starts_with("src/plan/tree.rs:2: edge plan -> sys is not allowed"), "{found:?}");
    }
    assert!(found("src/sys/fd.rs", "use crate::Error;")[0].contains("edge sys -> error"));
    assert!(found("src/error.rs", "use super::plan::Plan;")[0].contains("edge error -> plan"));
    assert!(found("src/run/kernel.rs", "use crate::config::parse;")[0].contains("edge run -> config"));
    assert!(
        found("src/config/tests/hostile.rs", "use super::super::super::host;")[0]
            .contains("edge config -> host")
    );
    assert!(found("src/model/name.rs", "use crate::*;")[0].contains("glob"));
    assert!(
        found("src/scripts/mod.rs", "#![forbid(unsafe_code)] use crate::model;")[0]
            .contains("no row in EDGES")
    );
    assert!(
        found("src/bin/x.rs", "#![forbid(unsafe_code)] use session_sandbox::{frobnicate, Plan};").len() == 1
    );
}

#[test]
fn what_is_allowed_or_no_code_is_not_found() {
    let allowed = r##"
        //! Speaks of crate::sys and of unsafe code. UNWRITTEN
        /* crate::run /* nested */ unsafe */
        use crate::model::{facts::Facts, path::{AbsPath, self}};
        use super::step::Plan;
        const A: &str = "crate::sys unsafe \" UNWRITTEN"; // crate::host
        const B: &str = r#"crate::sys " unsafe"#;
        const C: (char, char, &'static [u8]) = ('"', '\'', b"unsafe");
        mod tests { use super::super::step; fn f<'a>(x: &'a str) -> char { 'u' } }
        use std::os::unix::ffi::OsStrExt;
        fn unsafe_looking(todo: u32) -> u32 { todo }
    "##;
    // Put in here, so that a search of the sources for unwritten code finds none.
    let allowed = allowed.replace("UNWRITTEN", &format!("{}!()", "todo"));
    assert_eq!(found("src/plan/tree.rs", &allowed), Vec::<String>::new());
    assert_eq!(
        found("src/bin/x.rs", "#![forbid(unsafe_code)]\nuse session_sandbox::{Plan, run, host};"),
        Vec::<String>::new()
    );
    assert_eq!(found("src/sys/fd.rs", "fn f() { unsafe { g() } }"), Vec::<String>::new());
}

#[test]
fn input_and_output_in_pure_code_is_found() {
    for (text, what) in [
        ("use std::fs;", "std::fs"),
        ("use std::{fmt, env::var};", "std::env"),
        ("fn f() { let _ = std::time::Instant::now(); }", "std::time"),
        ("fn f() { std::process::abort() }", "std::process"),
        ("use rustix::io::Errno;", "rustix"),
        ("use nix;", "nix"),
        ("fn f() -> libc::c_int { 0 }", "libc"),
        ("use std::os::fd::OwnedFd;", "std::os::fd"),
    ] {
        for module in PURE {
            let found = found(&format!("src/{module}/x.rs"), text);
            assert_eq!(found.len(), 1, "{text:?}: {found:?}");
            assert!(found[0].contains(&format!("{module} names {what}:")), "{found:?}");
        }
    }
    assert_eq!(found("src/host/x.rs", "use std::fs;"), Vec::<String>::new());
}

#[test]
fn unsafe_outside_of_sys_is_found() {
    for text in [
        "\nunsafe fn f() {}",
        "\nfn f() { unsafe { g() } }",
        "\nunsafe impl Send for X {}",
        "\nunsafe extern \"C\" {}",
    ] {
        assert!(
            found("src/run/kernel.rs", text)[0].starts_with("src/run/kernel.rs:2: unsafe outside src/sys"),
            "{text:?}"
        );
    }
    for path in ["src/run/mod.rs", "src/model/mod.rs", "src/bin/session-enter.rs"] {
        assert!(found(path, "//! #![forbid(unsafe_code)]\n")[0].contains("must be headed by"), "{path}");
        assert!(found(path, "#![deny(unsafe_code)]\n")[0].contains("must be headed by"), "{path}");
    }
    assert_eq!(found("src/sys/mod.rs", "#![allow(unsafe_code)]\n"), Vec::<String>::new());
}

#[test]
fn unwritten_code_logic_in_the_root_and_long_files_are_found() {
    for mark in ["todo", "unimplemented"] {
        let text = format!("fn f() {{ {mark}!(\"later\") }}");
        assert!(found("src/cli/x.rs", &text)[0].contains(&format!("{mark}!")), "{text}");
    }
    assert!(
        found("src/lib.rs", "pub mod plan;\nfn f() {}")[0].starts_with("src/lib.rs:2: `fn` in src/lib.rs")
    );
    assert_eq!(found("src/cli/x.rs", &"\n".repeat(LINES_MAX)), Vec::<String>::new());
    assert!(found("src/cli/x.rs", &"\n".repeat(LINES_MAX + 1))[0].contains("501 lines"));
}
