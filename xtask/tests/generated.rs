//! The generated files are those that follow from the definitions, and what reads them takes them: programs that show
//! manual pages, and shells. A program that is missing is shown as an ignored test; with `CI=true` it is an error.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test's way to fail is to stop; the rules for programs that run as root are not about it"
)]

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

fn main() -> ExitCode {
    let trials = vec![
        Trial::test("every_generated_file_is_what_the_definitions_say", || {
            up_to_date();
            Ok(())
        }),
        trial("mandoc_finds_nothing_wrong_with_a_page", "mandoc", || {
            quiet("mandoc", &["-T", "lint", "-W", "warning"], &pages())
        }),
        trial("groff_finds_nothing_wrong_with_a_page", "groff", || {
            // One by one: the warnings of some are about what the page before has left.
            for page in pages() {
                quiet("groff", &["-mdoc", "-ww", "-b", "-z", "-T", "utf8"], &[page]);
            }
        }),
        trial("pages_show_options_with_the_character_that_is_typed", "groff", typed),
        trial("bash_reads_its_completions", "bash", || each("bash", "bash", &["-n"])),
        trial("zsh_reads_its_completions", "zsh", || each("zsh", "zsh", &["-n"])),
        trial("fish_reads_its_completions", "fish", || each("fish", "fish", &["--no-execute"])),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial(name: &str, program: &'static str, test: fn()) -> Trial {
    Trial::ignorable_test(name, move || {
        let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .any(|folder| folder.join(program).is_file());
        let required = std::env::var_os("CI").is_some_and(|value| value == "true" || value == "1");
        match found {
            true => {
                test();
                Ok(Completion::Completed)
            }
            false if required => Err(Failed::from(format!("{program} is missing"))),
            false => Ok(Completion::ignored_with(format!("{program} is missing"))),
        }
    })
}

fn up_to_date() {
    let differences = xtask::differences(xtask::root()).unwrap_or_else(|error| panic!("{error}"));
    assert!(differences.is_empty(), "run `cargo xtask generate`:\n  {}", differences.join("\n  "));
}

fn pages() -> Vec<PathBuf> {
    let folder = std::fs::read_dir(xtask::root().join(xtask::PAGES)).unwrap();
    let mut pages: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    assert!(pages.len() > 6, "{pages:?}");
    pages
}

/// Runs a program that says what is wrong, and nothing where nothing is.
fn quiet(program: &str, arguments: &[&str], files: &[PathBuf]) {
    let output = Command::new(program).args(arguments).args(files).stdin(Stdio::null()).output().unwrap();
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(
        output.status.success() && said.trim().is_empty(),
        "{program} {files:?}: {}\n{said}",
        output.status
    );
}

fn each(shell: &str, program: &str, arguments: &[&str]) {
    let folder = xtask::root().join(xtask::COMPLETIONS).join(shell);
    let files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), xtask::TYPED.len(), "{files:?}");
    for file in files {
        quiet(program, arguments, &[file]);
    }
}

/// A hyphen that is set as another character cannot be copied into a terminal.
fn typed() {
    for program in xtask::PROGRAMS {
        let page = format!("{}.{}", program.name, program.section);
        let shown = Command::new("groff")
            // As groff is by itself: a distribution may have hyphens made what is typed.
            .args(["-mdoc", "-T", "utf8", "-P-cbou", "-r", "LL=200n"])
            .arg(xtask::root().join(xtask::PAGES).join(&page))
            .output()
            .unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        for flag in program.all_options() {
            assert!(shown.contains(&flag.dashed()), "{page} does not show {}:\n{shown}", flag.dashed());
        }
    }
}
