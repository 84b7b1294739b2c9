//! What the programs print when they are asked for help, their manual pages and the shells' completions say the same.
//! The programs are run and the shells are asked; `cargo xtask generate` writes what differs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking"
)]

#[path = "manual/help.rs"]
mod help;
#[path = "manual/keys.rs"]
mod keys;
#[path = "manual/shells.rs"]
mod shells;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use command_line::{Flag, Hint, Program, Words};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use session_sandbox::cli::commands::SESSIONCTL;
use session_sandbox::cli::flags::SESSION_ENTER;
use session_sandbox::cli::scripts::SESSION_SCRIPTS;

use help::{Help, Options};

/// Each program: its definition, and where it is.
const PROGRAMS: [(&Program, &str); 3] = [
    (&SESSION_ENTER, env!("CARGO_BIN_EXE_session-enter")),
    (&SESSIONCTL, env!("CARGO_BIN_EXE_sessionctl")),
    (&SESSION_SCRIPTS, env!("CARGO_BIN_EXE_session-scripts")),
];

fn main() -> ExitCode {
    let trials = vec![
        plain("a_page_explains_the_options_that_help_lists_and_no_others", pages),
        plain("help_speaks_of_no_option_that_is_not_there", mentions),
        plain("the_page_of_the_map_names_every_key_and_no_other", keys::map),
        plain("the_page_of_session_scripts_conf_names_every_key_and_no_other", keys::scripts),
        plain("the_page_of_the_module_explains_every_option_and_no_other", keys::module),
        shell("bash_offers_every_command_and_the_options_that_help_lists", "bash", bash_options),
        shell("bash_offers_what_a_value_or_a_word_can_be", "bash", bash_values),
        shell("bash_leaves_the_words_of_a_program_alone", "bash", bash_program),
        shell("bash_runs_no_program_to_complete", "bash", bash_alone),
        shell("zsh_is_told_every_command_and_the_options_that_help_lists", "zsh", zsh_options),
        shell("fish_offers_every_command_and_the_options_that_help_lists", "fish", fish_options),
        shell("fish_offers_what_a_value_or_a_word_can_be", "fish", fish_values),
        shell("fish_leaves_the_words_of_a_program_alone", "fish", fish_program),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn plain(name: &str, test: fn()) -> Trial {
    Trial::test(name, move || {
        test();
        Ok(())
    })
}

/// A test that asks a shell: ignored with a reason where there is none, an error where everything is required.
fn shell(name: &str, shell: &'static str, test: fn(&Path)) -> Trial {
    Trial::ignorable_test(name, move || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let required = std::env::var_os("CI").is_some_and(|value| value == "true" || value == "1");
        match std::env::split_paths(&path).any(|folder| folder.join(shell).is_file()) {
            true => {
                test(&folder().path().join("work"));
                Ok(Completion::Completed)
            }
            false if required => Err(Failed::from(format!("{shell} is missing"))),
            false => Ok(Completion::ignored_with(format!("{shell} is missing"))),
        }
    })
}

/// A folder `work` with a folder and a file, and a home beside it.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    fs::create_dir(folder.path().join("home")).unwrap();
    fs::create_dir_all(folder.path().join("work/within-folder")).unwrap();
    fs::write(folder.path().join("work/within-file"), "").unwrap();
    folder
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn page(program: &Program) -> String {
    read(&format!("packaging/man/{}.{}", program.name, program.section))
}

/// The help of a program, and of each command that it lists.
fn helps(path: &str) -> (Help, Vec<(String, Help)>) {
    let own = help::of(path, &[]);
    let commands = own.commands.iter().map(|name| (name.clone(), help::of(path, &[name]))).collect();
    (own, commands)
}

/// Every help of every program: the words that lead to it, and what can be given there.
fn places() -> Vec<(Vec<String>, Options)> {
    let mut places = Vec::new();
    for (program, path) in PROGRAMS {
        let (own, commands) = helps(path);
        for (name, help) in commands {
            let both = help.options.union(&own.options).cloned().collect();
            places.push((vec![program.name.to_owned(), name], both));
        }
        places.push((vec![program.name.to_owned()], own.options));
    }
    assert!(places.len() > 10, "{places:?}");
    places
}

fn pages() {
    for (program, path) in PROGRAMS {
        let (own, commands) = helps(path);
        let page = page(program);
        assert_eq!(help::explained(&page, ".Sh OPTIONS"), own.options, "{}", program.name);
        let headings: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix(".Ss ")).collect();
        assert_eq!(headings, own.commands, "{}", program.name);
        for (name, help) in commands {
            assert_eq!(
                help::explained(&page, &format!(".Ss {name}")),
                help.options,
                "{} {name}",
                program.name
            );
        }
    }
}

fn mentions() {
    for (program, path) in PROGRAMS {
        let (own, commands) = helps(path);
        let known: Options =
            commands.iter().flat_map(|(_, help)| &help.options).chain(&own.options).cloned().collect();
        for help in commands.iter().map(|(_, help)| help).chain([&own]) {
            let strange: Vec<String> = help.mentioned().difference(&known).cloned().collect();
            assert!(strange.is_empty(), "{}: {strange:?} in\n{}", program.name, help.text);
        }
    }
}

fn set(words: impl IntoIterator<Item = impl Into<String>>) -> BTreeSet<String> {
    words.into_iter().map(Into::into).collect()
}

fn bash_options(folder: &Path) {
    for (place, options) in places() {
        let mut words: Vec<&str> = place.iter().map(String::as_str).collect();
        words.push("-");
        assert_eq!(set(shells::bash(&words, folder)), options, "{words:?}");
    }
    for (program, path) in PROGRAMS.into_iter().filter(|(program, _)| !program.commands.is_empty()) {
        let commands = help::of(path, &[]).commands;
        assert_eq!(shells::bash(&[program.name, ""], folder), commands);
        for command in commands {
            let offered = shells::bash(&[program.name, &command[..2]], folder);
            assert!(
                offered.contains(&command) && offered.iter().all(|other| other.starts_with(&command[..2]))
            );
            // Options before it, with a value and without, change nothing.
            assert_eq!(shells::bash(&[program.name, "--help", &command], folder), [command]);
        }
    }
}

/// Every option with a value: the words that lead to it.
fn values() -> Vec<(Vec<&'static str>, &'static Flag)> {
    let mut all = Vec::new();
    for (program, _) in PROGRAMS {
        all.extend(program.options.iter().map(|flag| (vec![program.name], flag)));
        for command in program.commands {
            all.extend(command.options.iter().map(|flag| (vec![program.name, command.name], flag)));
        }
    }
    all.retain(|(_, flag)| flag.value.is_some());
    all
}

/// What is offered for a value is what it can be.
fn fits(hint: Hint, offered: &[String], what: &str) {
    let all = set(offered.iter().map(|word| word.trim_end_matches('/')));
    let paths = set(["within-folder", "within-file"]);
    match hint {
        Hint::Any | Hint::Script => assert!(all.is_empty(), "{what}: {all:?}"),
        Hint::User => assert!(all.contains("root") && all.is_disjoint(&paths), "{what}: {all:?}"),
        Hint::File => assert_eq!(all, paths, "{what}"),
        Hint::Folder => assert_eq!(all, set(["within-folder"]), "{what}"),
        Hint::OneOf(known) => assert_eq!(all, set(known.iter().copied()), "{what}"),
    }
}

fn bash_values(folder: &Path) {
    for (mut words, flag) in values() {
        let (dashed, value) = (flag.dashed(), flag.value.unwrap());
        let before = words.clone();
        words.push(&dashed);
        if value.optional {
            // The word behind it is another one.
            let next = shells::bash(&[&words[..], &["-"]].concat(), folder);
            assert!(next.iter().all(|word| word.starts_with('-')), "{words:?}: {next:?}");
        } else {
            fits(value.hint, &shells::bash(&[&words[..], &[""]].concat(), folder), &format!("{words:?}"));
        }
        if flag.name.len() > 1 {
            // As bash takes the line apart, before and within the value; and where it does not.
            fits(value.hint, &shells::bash(&[&words[..], &["="]].concat(), folder), &format!("{words:?} ="));
            fits(
                value.hint,
                &shells::bash(&[&words[..], &["=", ""]].concat(), folder),
                &format!("{words:?} = _"),
            );
            let glued = format!("{dashed}=");
            let offered = shells::bash(&[&before[..], &[&glued]].concat(), folder);
            let offered: Vec<String> =
                offered.iter().map(|word| word.strip_prefix(&glued).unwrap().to_owned()).collect();
            fits(value.hint, &offered, &glued);
        }
    }
    let roots = shells::bash(&["sessionctl", "end", "--user", "roo"], folder);
    assert!(
        roots.contains(&"root".to_owned()) && roots.iter().all(|user| user.starts_with("roo")),
        "{roots:?}"
    );
    assert_eq!(shells::bash(&["sessionctl", "setup", "--method", "p"], folder), ["pam"]);
    for (program, command, words) in words_of_commands() {
        let before = [program, command];
        match words {
            Words::None | Words::Program => {}
            Words::UpTo(0, _) => {}
            Words::UpTo(_, hint) => {
                fits(hint, &shells::bash(&[&before[..], &[""]].concat(), folder), command)
            }
            Words::Choice(known, hint) => {
                fits(Hint::OneOf(known), &shells::bash(&[&before[..], &[""]].concat(), folder), command);
                fits(hint, &shells::bash(&[&before[..], &[known[0], ""]].concat(), folder), command);
            }
        }
    }
}

fn words_of_commands() -> Vec<(&'static str, &'static str, Words)> {
    let commands = PROGRAMS.into_iter().flat_map(|(program, _)| {
        program.commands.iter().map(|command| (program.name, command.name, command.words))
    });
    commands.collect()
}

/// The words that lead to a program that is to be run.
fn runners() -> Vec<Vec<&'static str>> {
    let of_commands = words_of_commands().into_iter().filter(|(_, _, words)| *words == Words::Program);
    let mut all: Vec<Vec<&str>> = of_commands.map(|(program, command, _)| vec![program, command]).collect();
    all.extend(
        PROGRAMS
            .into_iter()
            .filter(|(program, _)| program.commands.is_empty() && program.words == Words::Program)
            .map(|(program, _)| vec![program.name]),
    );
    assert!(all.len() > 1, "{all:?}");
    all
}

fn bash_program(folder: &Path) {
    for before in runners() {
        for between in [&["--user", "root"][..], &["--user", "root", "--"]] {
            let offered = shells::bash(&[&before[..], between, &["l"]].concat(), folder);
            assert!(offered.contains(&"ls".to_owned()), "{before:?}: {offered:?}");
            let offered = shells::bash(&[&before[..], between, &["ls", "-"]].concat(), folder);
            assert!(offered.is_empty(), "{before:?}: {offered:?}");
            let offered = shells::bash(&[&before[..], between, &["ls", "--user", "with"]].concat(), folder);
            assert_eq!(set(offered), set(["within-folder", "within-file"]), "{before:?}");
        }
    }
}

fn bash_alone(folder: &Path) {
    // Programs that say that they were run stand first; of bash's own words none is looked for.
    let bin = folder.join("bin");
    fs::create_dir(&bin).unwrap();
    let trap = format!("#!/bin/sh\n: >{}\n", folder.join("was-run").display());
    for name in ["sessionctl", "session-enter", "session-scripts", "sudo", "getent", "id", "sed", "cat", "ls"]
    {
        fs::write(bin.join(name), &trap).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(bin.join(name), mode).unwrap();
    }
    for shell in ["bash", "zsh", "fish"] {
        for entry in
            fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/completions").join(shell))
                .unwrap()
        {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            assert!(!text.contains("sudo ") && !text.contains("eval"), "{shell}");
        }
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    for (place, _) in places() {
        for word in ["", "-", "l"] {
            let mut words: Vec<&str> = place.iter().map(String::as_str).collect();
            words.push(word);
            shells::bash_with_path(&words, folder, &path);
        }
    }
    assert!(!folder.join("was-run").exists());
}

/// The names of options in what `_arguments` is told.
fn told(lines: &[String]) -> Options {
    let options = lines.iter().filter(|line| line.starts_with('-') && line.contains('['));
    options.map(|line| line.split(['=', '+', '[']).next().unwrap().to_owned()).collect()
}

fn zsh_options(folder: &Path) {
    for (place, options) in places() {
        let lines = shells::zsh(&place[0], place.get(1).map(String::as_str), folder);
        // A command's are told after the program's.
        assert_eq!(told(&lines), options, "{place:?}: {lines:?}");
    }
    for (program, path) in PROGRAMS {
        let commands = help::of(path, &[]).commands;
        let lines = shells::zsh(program.name, None, folder);
        let rows = lines.iter().filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase()));
        let named: Vec<&str> = rows.filter_map(|line| line.split(':').next()).collect();
        assert_eq!(named, commands);
    }
}

fn fish_options(folder: &Path) {
    for (place, options) in places() {
        let offered = shells::fish(&format!("{} -", place.join(" ")), folder);
        assert_eq!(set(offered.iter().map(|word| word.trim_end_matches('='))), options, "{place:?}");
    }
    for (program, path) in PROGRAMS.into_iter().filter(|(program, _)| !program.commands.is_empty()) {
        let commands = help::of(path, &[]).commands;
        assert_eq!(set(shells::fish(&format!("{} ", program.name), folder)), set(commands.clone()));
        for command in commands {
            let offered = shells::fish(&format!("{} {}", program.name, &command[..2]), folder);
            assert!(offered.contains(&command), "{command}: {offered:?}");
        }
    }
}

fn fish_values(folder: &Path) {
    for (words, flag) in values() {
        let value = flag.value.unwrap();
        let line = format!("{} {}", words.join(" "), flag.dashed());
        if !value.optional {
            fits(value.hint, &shells::fish(&format!("{line} "), folder), &line);
        }
        if flag.name.len() > 1 {
            let glued = format!("{}=", flag.dashed());
            let offered = shells::fish(&format!("{line}="), folder);
            let offered: Vec<String> =
                offered.iter().map(|word| word.strip_prefix(&glued).unwrap_or(word).to_owned()).collect();
            fits(value.hint, &offered, &line);
        }
    }
    for (program, command, words) in words_of_commands() {
        let before = format!("{program} {command}");
        match words {
            Words::None | Words::Program | Words::UpTo(0, _) => {}
            Words::UpTo(_, hint) => fits(hint, &shells::fish(&format!("{before} "), folder), &before),
            Words::Choice(known, hint) => {
                fits(Hint::OneOf(known), &shells::fish(&format!("{before} "), folder), &before);
                fits(hint, &shells::fish(&format!("{before} {} ", known[0]), folder), &before);
            }
        }
    }
}

fn fish_program(folder: &Path) {
    for before in runners() {
        let before = before.join(" ");
        let offered = shells::fish(&format!("{before} --user root l"), folder);
        assert!(offered.contains(&"ls".to_owned()), "{before}: {offered:?}");
        let offered = shells::fish(&format!("{before} --user root true --us"), folder);
        assert!(!offered.contains(&"--user".to_owned()), "{before}: {offered:?}");
        let offered = shells::fish(&format!("{before} --user root -- true with"), folder);
        assert!(offered.contains(&"within-file".to_owned()), "{before}: {offered:?}");
    }
}
