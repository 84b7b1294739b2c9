//! The figures of `docs/security-figures.md`: has all of it tried, for as long as that takes, and adds up what was.

use std::fmt;
use std::path::Path;
use std::process::Command;

use crate::Error;

/// Where the tests write down how much they have tried, below the project's folder.
const FILE: &str = "target/figures";
/// The variable that tells them where.
const VARIABLE: &str = "SESSION_FIGURES";

/// What is tried together.
#[derive(Debug)]
pub struct Part {
    /// Its word on the command line.
    pub word: &'static str,
    /// How it is tried.
    pub commands: &'static [Tried],
}

/// A command, and what it is told by variables.
#[derive(Debug)]
pub struct Tried {
    line: &'static str,
    variables: &'static [(&'static str, &'static str)],
}

const fn tried(line: &'static str, variables: &'static [(&'static str, &'static str)]) -> Tried {
    Tried { line, variables }
}

/// All of them, the shortest first.
pub const PARTS: [Part; 7] = [
    Part { word: "unsafe", commands: &[] },
    Part { word: "flaws", commands: &[tried("cargo test --test cve_map", &[])] },
    Part {
        word: "attacks",
        commands: &[
            tried("cargo test --test integration -- selftest", &[]),
            tried("cargo test -p vm-tests --test vm -- walls", &[("SESSION_VM_KERNELS", "all")]),
        ],
    },
    Part {
        word: "races",
        commands: &[tried("cargo test --test integration -- swapped", &[("SESSION_SANDBOX_LONG", "1")])],
    },
    Part {
        word: "logins",
        commands: &[tried("cargo test --test integration -- logins", &[("SESSION_SANDBOX_LONG", "1")])],
    },
    Part {
        word: "sweeps",
        commands: &[
            // Long, so that no part of it is cut off on a slow host.
            tried(
                "cargo test --test integration -- every\\ system\\ call",
                &[("SESSION_TESTS_FULL", "1"), ("SESSION_SANDBOX_LONG", "1")],
            ),
            tried("cargo test --test integration -- killed", &[]),
        ],
    },
    Part { word: "fuzz", commands: &[tried("fuzz/all 600", &[])] },
];

/// What was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    sums: Vec<(String, u64)>,
    unsafe_lines: usize,
    /// The commands that failed.
    pub failed: Vec<&'static str>,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, number) in &self.sums {
            writeln!(f, "{number:>12}  {what}")?;
        }
        writeln!(f, "{:>12}  lines of unsafe code, all in src/sys", self.unsafe_lines)?;
        match self.failed[..] {
            [] => write!(f, "nothing got through, nothing was left, nothing hung"),
            _ => write!(f, "FAILED: {}", self.failed.join("; ")),
        }
    }
}

/// Has the parts tried that are named, or all. `before` is told each command that begins.
pub fn figures(root: &Path, words: &[&str], before: impl Fn(&str)) -> Result<Figures, Error> {
    let unknown = words.iter().find(|word| !PARTS.iter().any(|part| part.word == **word));
    if let Some(unknown) = unknown {
        let known: Vec<&str> = PARTS.iter().map(|part| part.word).collect();
        return Err(Error::Figures(format!(
            "there is no {unknown}; there are mutants, {}",
            known.join(", ")
        )));
    }
    let file = root.join(FILE);
    std::fs::write(&file, "").map_err(|error| Error::io("write", &file, error))?;
    let mut failed = Vec::new();
    for part in PARTS.iter().filter(|part| words.is_empty() || words.contains(&part.word)) {
        for tried in part.commands {
            before(tried.line);
            let mut command = Command::new("sh");
            command.current_dir(root).args(["-c", tried.line]);
            command.env("SESSION_TESTS_REQUIRE_ALL", "1").env(VARIABLE, &file);
            command.envs(tried.variables.iter().copied());
            let status = command.status().map_err(|error| Error::io("run", Path::new(tried.line), error))?;
            if !status.success() {
                failed.push(tried.line);
            }
        }
    }
    let text = std::fs::read_to_string(&file).map_err(|error| Error::io("read", &file, error))?;
    Ok(Figures { sums: sums(&text), unsafe_lines: unsafe_lines(root)?, failed })
}

/// `what TAB number`, once for each test, added up.
fn sums(text: &str) -> Vec<(String, u64)> {
    let mut sums = std::collections::BTreeMap::<String, u64>::new();
    for line in text.lines() {
        if let Some((what, number)) = line.split_once('\t') {
            *sums.entry(what.to_owned()).or_default() += number.parse().unwrap_or(0);
        }
    }
    sums.into_iter().collect()
}

/// Lines in which the keyword stands as code. `tests/architecture.rs` looks that there are none elsewhere.
fn unsafe_lines(root: &Path) -> Result<usize, Error> {
    let folder = root.join("src/sys");
    let failed = |error| Error::io("read", &folder, error);
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let text = std::fs::read_to_string(&path).map_err(|error| Error::io("read", &path, error))?;
        let is_code = |line: &&str| {
            let code = line.split("//").next().unwrap_or_default();
            code.split(|letter: char| !letter.is_alphanumeric() && letter != '_').any(|word| word == "unsafe")
        };
        count += text.lines().filter(is_code).count();
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_tests_write_is_added_up() {
        let text = "kills\t3\nfaults\t10\nkills\t4\nhalf a li";
        assert_eq!(sums(text), [("faults".to_owned(), 10), ("kills".to_owned(), 7)]);
    }

    #[test]
    fn there_is_little_that_is_unsafe() {
        let lines = unsafe_lines(crate::root()).unwrap_or_else(|error| panic!("{error}"));
        assert!((30..400).contains(&lines), "{lines} lines");
    }
}
