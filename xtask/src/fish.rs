//! Completion for fish.

use std::fmt::Write as _;

use command_line::{Flag, Hint, Program, Words};

use crate::template::{Taker, filled, identifier, plain, takers, with_values};

const FILE: &str = r#"# Completion of @NAME@ for fish. Written by `cargo xtask generate`.

# What stands before the cursor, one in a line: the command, how many words follow it, and the words of a program that
# is to be run.
function __@ID@_at
    set -l words (commandline -opc)
    set -e words[1]
    set -l command '@PRESET@'
    set -l count 0
    set -l only_words no
    while set -q words[1]
        set -l word $words[1]
        if test $only_words = no
            switch $word
                case --
                    set -e words[1]
                    set only_words yes
                    continue
@SCAN@                case '-*'
                    set -e words[1]
                    continue
            end
        end
        if test -z "$command"
            set command $word
@PROGRAM@        else
            set count (math $count + 1)
        end
        set -e words[1]
    end
    echo $command
    echo $count
    printf '%s\n' $words
end

# Is this the command? With numbers behind it: are there as many words as one of these says, and is it the next one that
# is being typed?
function __@ID@_is
    set -l at (__@ID@_at)
    test "$at[1]" = "$argv[1]"; or return 1
    set -q at[3]; and test -n "$at[3]"; and return 1
    set -q argv[2]; or return 0
    string match -q -- '-*' (commandline -ct); and return 1
    contains -- $at[2] $argv[2..]
end

# Is the cursor in the words of a program?
function __@ID@_runs
    set -l at (__@ID@_at)
    set -q at[3]; and test -n "$at[3]"
end

# What that program's own completion says.
function __@ID@_program
    set -l at (__@ID@_at)
    complete -C (string join -- ' ' (string escape -- $at[3..]) (commandline -ct))
end

complete -c @NAME@ -f
complete -c @NAME@ -n __@ID@_runs -a '(__@ID@_program)'
"#;

/// In place of a command where a program has none.
const ALONE: &str = ".";
/// For more words than this no help is given.
const MOST: usize = 32;

/// The file.
pub(crate) fn completion(program: &Program) -> String {
    let takers = takers(program);
    let preset = if program.commands.is_empty() { ALONE } else { "" };
    let marks = [
        ("PRESET", preset),
        ("SCAN", &scan(program)),
        ("PROGRAM", &of_programs(&takers)),
        ("ID", &identifier(program.name)),
        ("NAME", program.name),
    ];
    let mut out = filled(FILE, &marks);
    let mut rows = Rows { out: String::new(), program: program.name, id: identifier(program.name) };
    if !program.commands.is_empty() {
        for command in program.commands {
            rows.row(&rows.is("", &[]), &format!("-a {} -d {}", command.name, quoted(&plain(command.about))));
        }
        program.options.iter().for_each(|flag| rows.option("", flag));
    }
    for taker in &takers {
        let name = taker.command.unwrap_or(ALONE);
        let common = program.options.iter().filter(|_| taker.command.is_some());
        rows.out.push('\n');
        taker.options.iter().chain(common).for_each(|flag| rows.option(name, flag));
        rows.words(name, taker.words);
    }
    out.push('\n');
    out.push_str(rows.out.trim_start());
    out
}

/// Options whose value is the next word.
fn scan(program: &Program) -> String {
    let names = with_values(program, false);
    if names.is_empty() {
        return String::new();
    }
    format!(
        "                case {}\n                    set -e words[1]\n                    set -q words[1]; and set -e \
         words[1]\n                    continue\n",
        names.join(" ")
    )
}

/// Where a program's own words begin.
fn of_programs(takers: &[Taker]) -> String {
    let programs = takers.iter().filter(|taker| taker.words == Words::Program);
    let names: Vec<&str> = programs.map(|taker| taker.command.unwrap_or(ALONE)).collect();
    if names.is_empty() {
        return String::new();
    }
    format!("        else if contains -- $command {}\n            break\n", names.join(" "))
}

struct Rows {
    out: String,
    program: &'static str,
    id: String,
}

impl Rows {
    fn is(&self, command: &str, counts: &[usize]) -> String {
        let counts: String = counts.iter().map(|count| format!(" {count}")).collect();
        let command = if command.is_empty() { "\"\"" } else { command };
        format!("'__{}_is {command}{counts}'", self.id)
    }

    fn row(&mut self, condition: &str, what: &str) {
        // A text cannot fail to take more.
        let _ = writeln!(self.out, "complete -c {} -n {condition} {what}", self.program);
    }

    fn option(&mut self, command: &str, flag: &Flag) {
        let dash = if flag.name.len() == 1 { "-s" } else { "-l" };
        let value = match flag.value {
            None => String::new(),
            Some(value) if value.optional => offered(value.hint),
            Some(value) if value.hint == Hint::File => " -r -F".to_owned(),
            Some(value) => format!(" -x{}", offered(value.hint)),
        };
        let what = format!("{dash} {}{value} -d {}", flag.name, quoted(&plain(flag.help)));
        self.row(&self.is(command, &[]), &what);
    }

    fn words(&mut self, command: &str, words: Words) {
        match words {
            Words::None => {}
            Words::Program => {
                self.word(&self.is(command, &[0]), " -a '(__fish_complete_command)'", Hint::Any)
            }
            Words::UpTo(most, hint) => {
                let counts: Vec<usize> = (0..most.min(MOST)).collect();
                self.word(&self.is(command, &counts), &offered(hint), hint);
            }
            Words::Choice(known, hint) => {
                let first = Hint::OneOf(known);
                self.word(&self.is(command, &[0]), &offered(first), first);
                self.word(&self.is(command, &[1]), &offered(hint), hint);
            }
        }
    }

    fn word(&mut self, condition: &str, offered: &str, hint: Hint) {
        if hint == Hint::File {
            self.row(condition, "-F");
        } else if !offered.is_empty() {
            self.row(condition, offered.trim_start());
        }
    }
}

/// fish's own function leaves `--option=` before a folder, and fish puts it there once more.
const FOLDERS: &str =
    " -a '(__fish_complete_directories (string replace -r -- \"^--[^=]*=\" \"\" (commandline -ct)))'";

/// What is offered for a value; files are what fish offers by itself.
fn offered(hint: Hint) -> String {
    match hint {
        Hint::Any | Hint::Script | Hint::File => String::new(),
        Hint::User => " -a '(__fish_complete_users)'".to_owned(),
        Hint::Folder => FOLDERS.to_owned(),
        Hint::OneOf(known) => format!(" -a {}", quoted(&known.join(" "))),
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
