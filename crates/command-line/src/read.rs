//! Reading a command line.

use std::ffi::OsString;

use lexopt::{Arg, ValueExt};

use crate::{Command, Flag, Program, Value, Words};

/// What is wrong with a command line, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// What a command line came to.
#[derive(Clone, Debug)]
pub enum Reading {
    /// Something to do.
    Do(Typed),
    /// Something to print: help, or the version.
    Say(String),
}

/// What was typed.
#[derive(Clone, Debug)]
pub struct Typed {
    /// The command.
    pub command: &'static Command,
    options: Vec<(&'static str, Option<String>)>,
    /// The words that are no options.
    pub words: Vec<OsString>,
}

impl Typed {
    /// Was this option given?
    pub fn has(&self, name: &str) -> bool {
        self.options.iter().any(|(given, _)| *given == name)
    }

    /// The value of this option; the last one, where it was given more than once.
    pub fn value(&self, name: &str) -> Option<&str> {
        let (_, value) = self.options.iter().rev().find(|(given, _)| *given == name)?;
        value.as_deref()
    }

    /// The same, to be kept.
    pub fn text(&self, name: &str) -> Option<String> {
        self.value(name).map(str::to_owned)
    }
}

impl Program {
    /// Reads a command line, whose first argument is the program's name, and of which a command is the first word.
    pub fn read(&self, version: &str, arguments: impl Iterator<Item = OsString>) -> Result<Reading, Problem> {
        let mut parser = lexopt::Parser::from_iter(arguments);
        let mut command: Option<&'static Command> = None;
        let mut options: Vec<(&'static Flag, Option<String>)> = Vec::new();
        let mut words = Vec::new();
        let mut wants_help = false;
        while let Some(argument) = parser.next().map_err(|error| self.unusable(command, error))? {
            let name = match argument {
                Arg::Long(name) => name.to_owned(),
                Arg::Short(letter) => letter.to_string(),
                Arg::Value(word) => {
                    let Some(command) = command else {
                        command = match word.string().map_err(|error| self.unusable(None, error))?.as_str() {
                            "help" => {
                                wants_help = true;
                                continue;
                            }
                            name => Some(self.command(name).ok_or_else(|| self.no_such_command(name))?),
                        };
                        continue;
                    };
                    words.push(word);
                    // From the program's name on, everything is the program's own.
                    if command.words == Words::Program {
                        words.extend(parser.raw_args().map_err(|error| self.unusable(Some(command), error))?);
                        break;
                    }
                    continue;
                }
            };
            let known = self.all_options().into_iter().find(|flag| flag.name == name);
            let Some(flag) = known else { return Err(self.no_such_option(command, &name)) };
            match (flag.name, flag.value) {
                ("help", None) => wants_help = true,
                ("version", None) => return Ok(Reading::Say(format!("{} {version}\n", self.name))),
                (_, None) => options.push((flag, None)),
                (_, Some(Value { optional: true, .. })) => {
                    let value = parser.optional_value().map(|value| value.to_string_lossy().into_owned());
                    options.push((flag, value));
                }
                (_, Some(_)) => {
                    let value = parser.value().map_err(|error| self.unusable(command, error))?;
                    let value = value.into_string().map_err(|_| {
                        self.problem(command_name(command), format!("{}: not UTF-8 text", flag.dashed()))
                    })?;
                    options.push((flag, Some(value)));
                }
            }
        }
        match (command, wants_help) {
            (Some(command), true) => Ok(Reading::Say(self.help_of(command))),
            (None, true) => Ok(Reading::Say(self.help())),
            (Some(command), false) => self.complete(command, &options, words),
            (None, false) => Err(self.problem(None, "what is to be done is missing".to_owned())),
        }
    }

    fn complete(
        &self,
        command: &'static Command,
        options: &[(&'static Flag, Option<String>)],
        words: Vec<OsString>,
    ) -> Result<Reading, Problem> {
        let problem = |message| self.problem(Some(command.name), message);
        for (flag, value) in options {
            if !command.options.iter().any(|known| known.name == flag.name) {
                return Err(problem(format!("`{}` takes no {}", command.name, flag.dashed())));
            }
            if let (Some(crate::Hint::OneOf(known)), Some(value)) =
                (flag.value.map(|value| value.hint), value)
                && !known.contains(&value.as_str())
            {
                let known = known.join(", ");
                return Err(problem(format!("{}: {value:?} is none of {known}", flag.dashed())));
            }
        }
        let too_many = match command.words {
            Words::None => words.first(),
            Words::UpTo(most, _) => words.get(most),
            Words::Choice(..) => words.get(2),
            Words::Program => None,
        };
        if let Some(word) = too_many {
            let word = word.to_string_lossy();
            return Err(problem(format!("`{}` takes no {word:?}", command.name)));
        }
        if let (Words::Choice(known, _), Some(word)) = (command.words, words.first())
            && !known.iter().any(|known| word == known)
        {
            let (word, known) = (word.to_string_lossy(), known.join(", "));
            return Err(problem(format!("{word:?} is none of {known}")));
        }
        let options = options.iter().map(|(flag, value)| (flag.name, value.clone())).collect();
        Ok(Reading::Do(Typed { command, options, words }))
    }

    fn problem(&self, command: Option<&str>, message: String) -> Problem {
        let help = match command {
            Some(command) => format!("`{} {command} --help` explains it", self.name),
            None => format!("`{} --help` lists the commands", self.name),
        };
        Problem { message, help }
    }

    fn unusable(&self, command: Option<&'static Command>, error: impl std::fmt::Display) -> Problem {
        self.problem(command_name(command), error.to_string())
    }

    fn no_such_command(&self, name: &str) -> Problem {
        let message = format!("there is no command {name:?}");
        match nearest(name, self.commands.iter().map(|command| command.name)) {
            Some(known) => Problem { message, help: format!("did you mean `{known}`?") },
            None => self.problem(None, message),
        }
    }

    fn no_such_option(&self, command: Option<&'static Command>, name: &str) -> Problem {
        let dashes = if name.chars().count() == 1 { "-" } else { "--" };
        let message = format!("there is no option `{dashes}{}`", name.escape_debug());
        let known = command.map_or(self.options, |command| command.options);
        match nearest(name, known.iter().map(|flag| flag.name)) {
            Some(known) => Problem { message, help: format!("did you mean `--{known}`?") },
            None => self.problem(command_name(command), message),
        }
    }
}

fn command_name(command: Option<&'static Command>) -> Option<&'static str> {
    command.map(|command| command.name)
}

/// What somebody who typed `name` may have meant.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .filter(|known| known.len() > 1)
        .map(|known| (common(known, name), known))
        .filter(|(shared, _)| *shared >= 3)
        .max()
        .map(|(_, known)| known)
}

/// How many characters two words have in common at their beginnings.
fn common(one: &str, other: &str) -> usize {
    one.chars().zip(other.chars()).take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where something is not as it should be")]
mod tests {
    use super::*;
    use crate::{Example, HELP, Hint, VERSION};

    const JSON: Flag = Flag::switch("json", "For programs");
    const USER: Flag = Flag::with("user", "NAME", Hint::User, "Whose");
    const KIND: Flag = Flag::with("kind", "KIND", Hint::OneOf(&["a", "b"]), "Which");
    const EXAMPLES: &[Example] = &[Example { typed: "list", does: "list" }];

    const fn command(name: &'static str, words: Words, options: &'static [Flag]) -> Command {
        Command {
            name,
            usage: &[""],
            about: "",
            details: &[],
            words,
            options,
            status: None,
            examples: EXAMPLES,
        }
    }

    static PROGRAM: Program = Program {
        name: "p",
        section: 1,
        about: "Do",
        usage: &[],
        details: &[],
        commands: &[
            command("list", Words::None, &[JSON, KIND]),
            command("run", Words::Program, &[USER]),
            command("can", Words::Choice(&["read", "write"], Hint::File), &[USER]),
            command("check", Words::UpTo(2, Hint::File), &[JSON]),
        ],
        words: Words::None,
        options: &[HELP, VERSION],
        notes: &[],
        status: "0",
        examples: EXAMPLES,
    };

    fn read(words: &[&str]) -> Result<Reading, Problem> {
        let words = std::iter::once("p").chain(words.iter().copied()).map(OsString::from);
        PROGRAM.read("1", words)
    }

    fn typed(words: &[&str]) -> Typed {
        match read(words) {
            Ok(Reading::Do(typed)) => typed,
            other => panic!("{words:?}: {other:?}"),
        }
    }

    #[test]
    fn options_stand_before_and_after_the_command() {
        for words in [&["list", "--json", "--kind", "a"][..], &["--json", "--kind=a", "list"]] {
            let typed = typed(words);
            assert_eq!(
                (typed.command.name, typed.has("json"), typed.value("kind")),
                ("list", true, Some("a"))
            );
        }
    }

    #[test]
    fn a_programs_own_options_stay_its_own() {
        let typed = typed(&["run", "--user", "bob", "ls", "--json", "--", "--help"]);
        assert_eq!(typed.text("user").as_deref(), Some("bob"));
        assert_eq!(typed.words, ["ls", "--json", "--", "--help"].map(OsString::from));
    }

    #[test]
    fn a_mistake_is_named_with_what_to_do() {
        for (words, message, help) in [
            (&[][..], "missing", "lists the commands"),
            (&["lst"], "no command \"lst\"", "lists the commands"),
            (&["lists"], "no command \"lists\"", "did you mean `list`?"),
            (&["list", "now"], "`list` takes no \"now\"", "p list --help"),
            (&["list", "--user", "bob"], "`list` takes no --user", "p list --help"),
            (&["list", "--jsn"], "no option `--jsn`", "p list --help"),
            (&["list", "--jso"], "no option `--jso`", "did you mean `--json`?"),
            (&["list", "--json=yes"], "--json", "p list --help"),
            (&["list", "--kind", "c"], "\"c\" is none of a, b", "p list --help"),
            (&["can", "look", "/x"], "\"look\" is none of read, write", "p can --help"),
            (&["can", "read", "/x", "/y"], "`can` takes no \"/y\"", "p can --help"),
            (&["check", "a", "b", "c"], "`check` takes no \"c\"", "p check --help"),
            (&["run", "--user"], "--user", "p run --help"),
            (&["-x"], "no option `-x`", "p --help"),
        ] {
            let problem = read(words).unwrap_err();
            assert!(problem.message.contains(message), "{words:?}: {problem:?}");
            assert!(problem.help.contains(help), "{words:?}: {problem:?}");
        }
    }

    #[test]
    fn help_is_for_the_command_where_one_was_named() {
        let says = |words: &[&str]| match read(words) {
            Ok(Reading::Say(text)) => text,
            other => panic!("{words:?}: {other:?}"),
        };
        assert!(says(&["--help"]).contains("Commands:"));
        for words in [&["can", "--help"][..], &["help", "can"], &["--help", "can"]] {
            assert!(says(words).contains("Usage: p can"), "{words:?}");
        }
        assert_eq!(says(&["--version"]), "p 1\n");
        assert_eq!(PROGRAM.mistakes(), Vec::<String>::new());
    }
}
