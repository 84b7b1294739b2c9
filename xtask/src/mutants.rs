//! Flaws put back, one at a time, into a copy of the sources, and the test that has to catch each.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde::Deserialize;

use crate::Error;

/// The list, below the project's folder.
const LIST: &str = "tests/mutants.toml";
/// Where the copy and what is built of it lie, likewise.
const FOLDER: &str = "target/mutants";

/// A flaw.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    /// A word for it.
    pub id: String,
    /// What is wrong then.
    pub why: String,
    /// Where the test is.
    pub suite: Suite,
    /// The test's whole name.
    pub caught_by: String,
    /// What is changed.
    pub edit: Vec<Edit>,
}

/// One change of one file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// Below the project's folder.
    pub file: PathBuf,
    /// What stands there.
    pub find: String,
    /// What takes its place.
    pub replace: String,
    /// How often it stands there.
    #[serde(default = "once")]
    pub times: usize,
}

fn once() -> usize {
    1
}

/// The tests that one can be among.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Suite {
    /// The unit tests.
    Lib,
    /// `tests/integration`.
    Integration,
}

impl Suite {
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Lib => &["--lib"],
            Self::Integration => &["--test", "integration"],
        }
    }
}

/// What became of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The test failed, as it has to.
    Caught,
    /// The test passed.
    Escaped,
    /// There was no test to fail: the sources did not build, or the test was not there or was left out.
    Untried(String),
}

#[derive(Deserialize)]
struct List {
    mutant: Vec<Mutant>,
}

/// The list. Each change is known to have its place.
pub fn list(root: &Path) -> Result<Vec<Mutant>, Error> {
    let path = root.join(LIST);
    let text = std::fs::read_to_string(&path).map_err(|error| Error::io("read", &path, error))?;
    let list: List = toml::from_str(&text).map_err(|error| Error::Mutants(format!("{LIST}: {error}")))?;
    let mut ids = BTreeSet::new();
    for mutant in &list.mutant {
        if !ids.insert(&mutant.id) {
            return Err(Error::Mutants(format!("{LIST}: {} is there twice", mutant.id)));
        }
        mutated(root, mutant)?;
    }
    Ok(list.mutant)
}

/// The files that a mutant changes, with their new text. Edits of one file follow each other.
fn mutated(root: &Path, mutant: &Mutant) -> Result<Vec<(PathBuf, String)>, Error> {
    let mut files: Vec<(PathBuf, String)> = Vec::new();
    for edit in &mutant.edit {
        let at = match files.iter().position(|(file, _)| *file == edit.file) {
            Some(at) => at,
            None => {
                let path = root.join(&edit.file);
                let text = std::fs::read_to_string(&path).map_err(|error| Error::io("read", &path, error))?;
                files.push((edit.file.clone(), text));
                files.len() - 1
            }
        };
        let (_, text) = &mut files[at];
        let found = text.matches(&edit.find).count();
        if found != edit.times || edit.find == edit.replace {
            return Err(Error::Mutants(format!(
                "{LIST}: {}: its text stands in {} {found} times, and {} were expected: {:?}",
                mutant.id,
                edit.file.display(),
                edit.times,
                edit.find
            )));
        }
        *text = text.replace(&edit.find, &edit.replace);
    }
    Ok(files)
}

/// A copy of the sources, that may be changed.
#[derive(Debug)]
pub struct Copy {
    root: PathBuf,
    tree: PathBuf,
    built: PathBuf,
}

impl Copy {
    /// Copies what git knows of, as it lies in the folder.
    pub fn make(root: &Path) -> Result<Self, Error> {
        let (tree, built) = (root.join(FOLDER).join("tree"), root.join(FOLDER).join("built"));
        let copy = Self { root: root.to_owned(), tree, built };
        let mut git = Command::new("git");
        git.arg("-C").arg(root).args(["ls-files", "-z"]);
        let files = output(&mut git)?.stdout;
        for file in String::from_utf8_lossy(&files).split('\0').filter(|file| !file.is_empty()) {
            copy.restore(Path::new(file))?;
        }
        Ok(copy)
    }

    /// Puts a file back as it is in the project. One that is so already stays as old as it is: cargo looks at that.
    fn restore(&self, file: &Path) -> Result<(), Error> {
        let (from, to) = (self.root.join(file), self.tree.join(file));
        let bytes = std::fs::read(&from).map_err(|error| Error::io("read", &from, error))?;
        if std::fs::read(&to).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        if let Some(folder) = to.parent() {
            std::fs::create_dir_all(folder).map_err(|error| Error::io("make", folder, error))?;
        }
        // With its permissions, and a time of now.
        std::fs::copy(&from, &to).map_err(|error| Error::io("write", &to, error))?;
        let now = std::time::SystemTime::now();
        let file = std::fs::File::options().append(true).open(&to);
        file.and_then(|file| file.set_modified(now)).map_err(|error| Error::io("touch", &to, error))
    }

    /// Does this test pass in the copy as it is?
    fn passes(&self, suite: Suite, test: &str) -> Result<Verdict, Error> {
        let cargo = |more: &[&str]| {
            let mut cargo = Command::new("cargo");
            cargo.current_dir(&self.tree).arg("test").args(suite.options()).args(more);
            cargo.env("CARGO_TARGET_DIR", &self.built).env("SESSION_TESTS_REQUIRE_ALL", "1");
            output(&mut cargo)
        };
        let build = cargo(&["--no-run"])?;
        if !build.status.success() {
            return Ok(Verdict::Untried(last_lines(&build)));
        }
        let run = cargo(&["--", "--exact", test])?;
        let said = String::from_utf8_lossy(&run.stdout);
        Ok(if said.contains("test result: ok. 1 passed") {
            Verdict::Escaped
        } else if said.contains("test result: FAILED. 0 passed; 1 failed") {
            Verdict::Caught
        } else {
            Verdict::Untried(last_lines(&run))
        })
    }

    /// Puts the flaw in, has the test run, and takes the flaw out.
    pub fn try_one(&self, mutant: &Mutant) -> Result<Verdict, Error> {
        for (file, text) in mutated(&self.root, mutant)? {
            let path = self.tree.join(file);
            std::fs::write(&path, text).map_err(|error| Error::io("write", &path, error))?;
        }
        let verdict = self.passes(mutant.suite, &mutant.caught_by);
        for edit in &mutant.edit {
            self.restore(&edit.file)?;
        }
        verdict
    }

    /// The tests that fail, or are not there, without any flaw.
    pub fn broken_tests(&self, mutants: &[Mutant]) -> Result<Vec<String>, Error> {
        let tests: BTreeSet<(Suite, &str)> =
            mutants.iter().map(|mutant| (mutant.suite, mutant.caught_by.as_str())).collect();
        let mut broken = Vec::new();
        for (suite, test) in tests {
            if self.passes(suite, test)? != Verdict::Escaped {
                broken.push(test.to_owned());
            }
        }
        Ok(broken)
    }
}

fn output(command: &mut Command) -> Result<Output, Error> {
    let program = PathBuf::from(command.get_program());
    command.output().map_err(|error| Error::io("run", &program, error))
}

fn last_lines(output: &Output) -> String {
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = said.lines().collect();
    lines.get(lines.len().saturating_sub(15)..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_has_its_place_in_the_sources() {
        let list = list(crate::root()).unwrap_or_else(|error| panic!("{error}"));
        assert!(list.len() >= 30, "{} mutants", list.len());
    }
}
