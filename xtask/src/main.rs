//! `cargo xtask generate` writes what follows from the programs' definitions, `cargo xtask check` looks whether it is
//! there.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool that tells a developer what it did")]

use std::error::Error as _;
use std::process::ExitCode;

const USAGE: &str = "Usage: cargo xtask generate    write manual pages and completions
       cargo xtask check       say which of them differ from the programs' definitions";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["generate"] => generate(),
        ["check"] => check(),
        ["--help"] => {
            println!("{USAGE}");
            Ok(true)
        }
        _ => {
            eprintln!("{USAGE}");
            Ok(false)
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            match error.source() {
                Some(source) => eprintln!("xtask: {error}: {source}"),
                None => eprintln!("xtask: {error}"),
            }
            ExitCode::FAILURE
        }
    }
}

fn generate() -> Result<bool, xtask::Error> {
    for path in xtask::write(xtask::root())? {
        println!("{}", path.display());
    }
    Ok(true)
}

fn check() -> Result<bool, xtask::Error> {
    let differences = xtask::differences(xtask::root())?;
    for difference in &differences {
        eprintln!("{difference}");
    }
    if !differences.is_empty() {
        eprintln!("run `cargo xtask generate`, look at what it changes, and commit that");
    }
    Ok(differences.is_empty())
}
