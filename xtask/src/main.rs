//! `cargo xtask generate` writes what follows from the programs' definitions, `cargo xtask check` looks whether it is
//! there, `cargo xtask mutants` shows that known flaws would be noticed, and `cargo xtask figures` counts what was tried.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool that tells a developer what it did")]

use std::error::Error as _;
use std::process::ExitCode;

const USAGE: &str = "Usage: cargo xtask generate    write manual pages and completions
       cargo xtask check       say which of them differ from the programs' definitions
       cargo xtask mutants [ID...]
                               put each known flaw into a copy of the sources, and say whether a test fails
       cargo xtask figures [PART...]
                               try everything for as long as it takes, and count: hours";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["generate"] => generate(),
        ["check"] => check(),
        ["mutants", ref ids @ ..] => mutants(ids),
        ["figures", ref parts @ ..] => figures(parts),
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

fn mutants(ids: &[&str]) -> Result<bool, xtask::Error> {
    use xtask::mutants::{Copy, Verdict, list};
    let mut mutants = list(xtask::root())?;
    if let Some(unknown) = ids.iter().find(|id| !mutants.iter().any(|mutant| mutant.id == **id)) {
        eprintln!("there is no mutant called {unknown}");
        return Ok(false);
    }
    mutants.retain(|mutant| ids.is_empty() || ids.contains(&mutant.id.as_str()));
    let copy = Copy::make(xtask::root())?;
    let broken = copy.broken_tests(&mutants)?;
    for test in &broken {
        eprintln!("without any flaw there is no such test, or it does not pass: {test}");
    }
    if !broken.is_empty() {
        return Ok(false);
    }
    let mut caught = 0;
    for mutant in &mutants {
        let verdict = copy.try_one(mutant)?;
        caught += usize::from(verdict == Verdict::Caught);
        println!("{:10} {:28} {}", word(&verdict), mutant.id, mutant.caught_by);
        if let Verdict::Untried(said) = verdict {
            println!("{said}");
        }
    }
    println!("{} mutants, {caught} caught", mutants.len());
    Ok(caught == mutants.len())
}

fn figures(parts: &[&str]) -> Result<bool, xtask::Error> {
    const MUTANTS: &str = "mutants";
    let others: Vec<&str> = parts.iter().copied().filter(|part| *part != MUTANTS).collect();
    let caught = if parts.is_empty() || parts.contains(&MUTANTS) { mutants(&[])? } else { true };
    if !parts.is_empty() && others.is_empty() {
        return Ok(caught);
    }
    let figures = xtask::figures::figures(xtask::root(), &others, |line| println!("==== {line}"))?;
    println!("{figures}");
    Ok(caught && figures.failed.is_empty())
}

fn word(verdict: &xtask::mutants::Verdict) -> &'static str {
    use xtask::mutants::Verdict;
    match verdict {
        Verdict::Caught => "caught",
        Verdict::Escaped => "ESCAPED",
        Verdict::Untried(_) => "UNTRIED",
    }
}
