//! What follows from the definitions of the programs' command lines, as files of the repository: parts of the manual
//! pages, and completions for three shells.
//!
//! Everything is made from [`Program`] values, and no list of commands stands here: a command that is added to a
//! definition is in the page and in the completions after `cargo xtask generate`.
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    reason = "it reads and writes the sources of whoever calls it, with no more rights than they have"
)]

mod bash;
pub mod figures;
mod fish;
mod mdoc;
pub mod mutants;
mod page;
mod template;
mod zsh;

use std::fs;
use std::path::{Path, PathBuf};

use command_line::Program;
use session_sandbox::cli::commands::SESSIONCTL;
use session_sandbox::cli::flags::SESSION_ENTER;
use session_sandbox::cli::scripts::SESSION_SCRIPTS;
use session_watchd::options::SESSION_WATCHD;

/// Where the manual pages are.
pub const PAGES: &str = "packaging/man";
/// Where the completions are.
pub const COMPLETIONS: &str = "packaging/completions";

/// The programs that have a page.
pub const PROGRAMS: [&Program; 4] = [&SESSION_ENTER, &SESSIONCTL, &SESSION_SCRIPTS, &SESSION_WATCHD];
/// Those that somebody types. A daemon is started by the service manager.
pub const TYPED: [&Program; 3] = [&SESSION_ENTER, &SESSIONCTL, &SESSION_SCRIPTS];

/// What can be wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or a folder could not be read.
    #[error("read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something else could not be done with a file or a program.
    #[error("{doing} {}", path.display())]
    Other {
        /// What.
        doing: &'static str,
        /// With which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There are no such figures.
    #[error("{0}")]
    Figures(String),
    /// The list of mutants is not as it should be.
    #[error("{0}")]
    Mutants(String),
    /// The marks of a page are not as they should be.
    #[error("{page}: {problem}")]
    Marks {
        /// The page.
        page: String,
        /// What is wrong with them.
        problem: String,
    },
}

impl Error {
    fn io(doing: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Other { doing, path: path.to_owned(), source }
    }
}

/// A file as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Below the root of the repository.
    pub path: PathBuf,
    /// What it holds.
    pub text: String,
}

/// The root of the repository.
pub fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// All files, as they follow from the definitions; of the pages what was written by hand is kept.
pub fn files(root: &Path) -> Result<Vec<File>, Error> {
    let pages = page_names(root)?;
    let mut files = Vec::new();
    for program in PROGRAMS {
        let path = Path::new(PAGES).join(format!("{}.{}", program.name, program.section));
        let text = page::with_parts(&read(&root.join(&path))?, program, &pages)
            .map_err(|problem| Error::Marks { page: path.display().to_string(), problem })?;
        files.push(File { path, text });
    }
    for program in TYPED {
        let name = program.name;
        for (path, text) in [
            (format!("bash/{name}"), bash::completion(program)),
            (format!("zsh/_{name}"), zsh::completion(program)),
            (format!("fish/{name}.fish"), fish::completion(program)),
        ] {
            files.push(File { path: Path::new(COMPLETIONS).join(path), text });
        }
    }
    Ok(files)
}

/// Files that are not as they should be, each with what is wrong with it.
pub fn differences(root: &Path) -> Result<Vec<String>, Error> {
    let files = files(root)?;
    let mut found = Vec::new();
    for File { path, text } in &files {
        match fs::read_to_string(root.join(path)) {
            Ok(now) if now == *text => {}
            Ok(now) => {
                let differs = now.lines().zip(text.lines()).take_while(|(now, then)| now == then).count();
                found.push(format!("{}:{}: is not what the definition says", path.display(), differs + 1));
            }
            Err(error) => found.push(format!("{}: {error}", path.display())),
        }
    }
    let strangers =
        completions_there(root)?.into_iter().filter(|there| files.iter().all(|file| file.path != *there));
    found.extend(strangers.map(|path| format!("{}: completes no program of ours", path.display())));
    Ok(found)
}

/// Writes what is not as it should be; takes away completions of programs that are no more. Says which.
pub fn write(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let files = files(root)?;
    let mut changed = Vec::new();
    for File { path, text } in &files {
        let whole = root.join(path);
        let failed = |source| Error::Write { path: path.clone(), source };
        if fs::read_to_string(&whole).is_ok_and(|now| now == *text) {
            continue;
        }
        if let Some(folder) = whole.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        fs::write(&whole, text).map_err(failed)?;
        changed.push(path.clone());
    }
    for path in completions_there(root)? {
        if files.iter().all(|file| file.path != path) {
            fs::remove_file(root.join(&path))
                .map_err(|source| Error::Write { path: path.clone(), source })?;
            changed.push(path);
        }
    }
    Ok(changed)
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

/// Names and sections of all pages, those that no program has included.
fn page_names(root: &Path) -> Result<Vec<(String, String)>, Error> {
    let names = names_in(&root.join(PAGES))?;
    Ok(names
        .iter()
        .filter_map(|name| name.rsplit_once('.'))
        .map(|(name, section)| (name.into(), section.into()))
        .collect())
}

/// The completions that are there.
fn completions_there(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    let shells = Path::new(COMPLETIONS);
    if !root.join(shells).is_dir() {
        return Ok(found);
    }
    for shell in names_in(&root.join(shells))? {
        let names = names_in(&root.join(shells).join(&shell))?;
        found.extend(names.into_iter().map(|name| shells.join(&shell).join(name)));
    }
    Ok(found)
}

fn names_in(folder: &Path) -> Result<Vec<String>, Error> {
    let failed = |source| Error::Read { path: folder.to_owned(), source };
    let entries = fs::read_dir(folder).map_err(failed)?;
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
