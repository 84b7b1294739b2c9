//! Holds the house to its plan: which module may name which, where `unsafe` may stand, what pure code may not touch.
//!
//! Rust checks edges between crates, not between the modules of one crate; this reads the sources and does it. Every
//! rule has a test below that feeds it a violation, so that a rule which has stopped to see anything is noticed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

#[path = "architecture/tokens.rs"]
mod tokens;

use tokens::{Named, Token, named_paths, tokens};

/// Which top modules a top module may name, and why no others. `docs/architecture.md` has the picture.
const EDGES: [(&str, &[&str], &str); 20] = [
    ("model", &[], "the values that everything else speaks in depend on nothing"),
    ("error", &[], "the one public error is a leaf, so that every layer can make it"),
    (
        "plan",
        &["error", "model"],
        "planning is pure: who names host, sys or run here wants to ask or to do something",
    ),
    (
        "explain",
        &["model", "plan"],
        "what a plan says is told from values; who has looked at the host hands in what was seen",
    ),
    ("config", &["model"], "the map's text becomes a policy without a look at the host"),
    ("sys", &[], "system calls know of no plan, map or policy; they could be a crate of their own"),
    (
        "host",
        &["compat", "config", "error", "model", "plan", "sys"],
        "reading the host comes before anything is done",
    ),
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
    ("paper", &["model"], "a map is written down, whatever it was made from"),
    (
        "compat",
        &["error", "model", "paper"],
        "what other programs are told is written again as a map; whether that is a good one is not known here",
    ),
    (
        "discover",
        &["error", "model", "paper", "setup"],
        "a map is written from what the host is like; whether it is a good one is for config and plan to say",
    ),
    (
        "scripts",
        &["error", "host", "model", "registry", "sys"],
        "scripts run beside a session; how its view is built is not known here",
    ),
    (
        "check",
        &["compat", "config", "error", "host", "model", "plan", "setup", "sys"],
        "a map is read, and plans are made of it for this host's users; nothing is carried out",
    ),
    (
        "audit",
        &["check", "doctor", "error", "model", "plan", "run", "sys"],
        "a view is opened and looked at from inside; how it came to be planned is not known here",
    ),
    (
        "selftest",
        &["error", "model", "plan", "run", "sys"],
        "a view is opened and attacked from inside; how it came to be planned is not known here",
    ),
    (
        "cli",
        &["compat", "error", "explain", "model", "plan"],
        "a command line is turned into a request and nothing else",
    ),
    (
        "bin",
        &[
            "audit", "check", "cli", "compat", "config", "discover", "doctor", "error", "explain", "host",
            "model", "plan", "registry", "run", "scripts", "selftest", "setup", "sys",
        ],
        "",
    ),
];

/// Folders whose code gets everything it knows handed in.
const PURE: [&str; 6] = ["model", "config", "plan", "explain", "paper", "compat"];
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
    if (heads_a_folder || module == "bin") && module != UNSAFE_FOLDER && !forbids_unsafe(&tokens, module) {
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

/// By `#![forbid(unsafe_code)]`; or by a `deny` and nothing else that names the lint, in a program whose `main` is the one
/// that `src/sys/start.rs` writes.
fn forbids_unsafe(tokens: &[Token], module: &str) -> bool {
    let has = |words: &[&str]| {
        tokens
            .windows(words.len())
            .any(|window| window.iter().map(|token| token.text.as_str()).eq(words.iter().copied()))
    };
    let names_lint = |token: &&Token| token.text == "unsafe_code";
    has(&["#", "!", "[", "forbid", "(", "unsafe_code", ")", "]"])
        || module == "bin"
            && has(&["session_sandbox", "::", "program", "!"])
            && has(&["#", "!", "[", "deny", "(", "unsafe_code", ")", "]"])
            && tokens.iter().filter(names_lint).count() == 1
}

/// What is named at the crate's root and lives elsewhere: `Error` -> `error`, by `pub use`; and the macro of `src/sys`.
fn re_exports(lib: &str) -> BTreeMap<String, String> {
    let tokens = tokens(lib);
    let paths = named_paths(&tokens).into_iter().filter(|named| named.segments.len() > 1);
    let used = paths.filter_map(|named| Some((named.segments.last()?.clone(), named.segments[0].clone())));
    used.chain([("program".to_owned(), UNSAFE_FOLDER.to_owned())]).collect()
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

#[allow(clippy::expect_used, reason = "a test's way to fail")]
fn read(path: &Path) -> String {
    String::from_utf8(std::fs::read(path).expect("a source file can be read")).expect("UTF-8")
}

#[test]
fn the_sources_keep_to_the_rules() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    rust_files(&package.join("src"), &mut files).expect("src can be listed");
    files.sort();
    assert!(files.len() > 40, "only {} files were found: is this the right folder?", files.len());
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

/// What the PAM module is made of, with everything that comes along: it is loaded into sshd, login and cron.
const MODULE_CRATES: [&str; 9] =
    ["bitflags", "cfg-if", "cfg_aliases", "door-protocol", "errno", "libc", "linux-raw-sys", "nix", "rustix"];
/// Its edge to C.
const MODULE_UNSAFE_FILE: &str = "crates/pam-session-sandbox/src/sys.rs";

/// The rules for one file of the other packages: `unsafe` stays at the PAM module's edge, and files stay readable.
fn check_other_package(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |line, message| findings.push(Finding { file: path.to_owned(), line, message });
    if path != MODULE_UNSAFE_FILE
        && let Some(token) = tokens(text).iter().find(|token| token.text == "unsafe")
    {
        find(token.line, format!("unsafe outside {MODULE_UNSAFE_FILE}"));
    }
    let lines = text.lines().count();
    if lines > LINES_MAX {
        find(LINES_MAX + 1, format!("{lines} lines; at most {LINES_MAX}"));
    }
    findings
}

#[test]
fn the_other_packages_keep_to_the_rules() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["crates", "vm-tests", "xtask"] {
        rust_files(&package.join(folder), &mut files).expect("the folder can be listed");
    }
    assert!(files.len() > 25, "only {} files were found", files.len());
    let mut findings = Vec::new();
    for file in &files {
        let path = file.strip_prefix(package).expect("below the package").to_string_lossy();
        findings.extend(check_other_package(&path, &read(file)));
    }
    let list: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(list.is_empty(), "{} rules of the house are broken:\n  {}\n", list.len(), list.join("\n  "));
    assert_eq!(check_other_package("crates/door-protocol/src/lib.rs", "fn f() { unsafe { g() } }").len(), 1);
    assert_eq!(check_other_package(MODULE_UNSAFE_FILE, &"\n".repeat(LINES_MAX + 1)).len(), 1);
}

#[test]
fn the_pam_module_is_made_of_little() {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--package", "pam-session-sandbox", "--edges", "normal", "--prefix", "none"])
        .args(["--format", "{lib}", "--offline", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list = String::from_utf8(output.stdout).expect("UTF-8");
    let mut crates: Vec<&str> = list.lines().skip(1).filter(|line| !line.is_empty()).collect();
    crates.sort_unstable();
    crates.dedup();
    assert!(crates.contains(&"rustix"), "the list was not understood: {list}");
    let strangers: Vec<&&str> = crates
        .iter()
        .filter(|name| !MODULE_CRATES.iter().any(|known| known.replace('-', "_") == **name))
        .collect();
    assert!(strangers.is_empty(), "say here why every login program should load {strangers:?}");
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
    let names = re_exports("pub use error::Error; pub use plan::Plan;");
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
        found("src/nowhere/mod.rs", "#![forbid(unsafe_code)] use crate::model;")[0]
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
    for path in ["src/run/mod.rs", "src/model/mod.rs", "src/bin/session-enter/main.rs"] {
        assert!(found(path, "//! #![forbid(unsafe_code)]\n")[0].contains("must be headed by"), "{path}");
        assert!(found(path, "#![deny(unsafe_code)]\n")[0].contains("must be headed by"), "{path}");
    }
    let program = "#![deny(unsafe_code)]\nsession_sandbox::program!(report);\n";
    assert_eq!(found("src/bin/session-scripts.rs", program), Vec::<String>::new());
    let allowed = format!("{program}#[allow(unsafe_code)]\nmod more;\n");
    assert!(found("src/bin/session-scripts.rs", &allowed)[0].contains("must be headed by"));
    assert!(found("src/run/mod.rs", program)[0].contains("must be headed by"));
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
