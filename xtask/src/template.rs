//! What the completions of all shells need: texts with marks in them, and the definition as a list of who takes what.

use command_line::{Flag, Program, Words};

/// `text` with each `@MARK@` replaced by what stands beside it.
pub(crate) fn filled(text: &str, marks: &[(&str, &str)]) -> String {
    marks.iter().fold(text.to_owned(), |text, (mark, with)| text.replace(&format!("@{mark}@"), with))
}

/// A program's name as a part of a function's.
pub(crate) fn identifier(name: &str) -> String {
    name.replace('-', "_")
}

/// A text of the definition, to be shown by a shell.
pub(crate) fn plain(text: &str) -> String {
    text.replace('`', "")
}

/// Who takes options and words: each command, or the program itself where it has none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taker {
    pub(crate) command: Option<&'static str>,
    pub(crate) options: &'static [Flag],
    pub(crate) words: Words,
}

pub(crate) fn takers(program: &Program) -> Vec<Taker> {
    if program.commands.is_empty() {
        return vec![Taker { command: None, options: program.options, words: program.words }];
    }
    let taker = |command: &'static command_line::Command| Taker {
        command: Some(command.name),
        options: command.options,
        words: command.words,
    };
    program.commands.iter().map(taker).collect()
}

/// Options with a value that is a word of its own; with `glued` those whose value can only stand behind `=`.
pub(crate) fn with_values(program: &Program, glued: bool) -> Vec<String> {
    let all = program.all_options().into_iter();
    all.filter(|flag| flag.value.is_some_and(|value| value.optional == glued)).map(Flag::dashed).collect()
}
