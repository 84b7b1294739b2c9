//! What a program takes on its command line, written down once: the reader, `--help`, the manual pages and the shells'
//! completions all work from the same [`Program`].
//!
//! A program has options, or commands with options of their own. An option that several commands have is one value
//! ([`Flag`]) in several lists, so that it means the same everywhere.
#![forbid(unsafe_code)]

mod help;
#[cfg(feature = "read")]
mod read;
pub mod screen;
pub mod text;

pub use help::WIDTH;
#[cfg(feature = "read")]
pub use read::{Problem, Reading, Typed, nearest};

/// A program.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// As it is typed.
    pub name: &'static str,
    /// Of the manual.
    pub section: u8,
    /// One line, without a full stop.
    pub about: &'static str,
    /// How a program without commands is called, without its name.
    pub usage: &'static [&'static str],
    /// What is to be known before the options: paragraphs.
    pub details: &'static [&'static str],
    /// What it can do; empty for a program that does one thing.
    pub commands: &'static [Command],
    /// The words that a program without commands takes.
    pub words: Words,
    /// Options that stand with every command, or are the program's own.
    pub options: &'static [Flag],
    /// What is to be known after the options: paragraphs.
    pub notes: &'static [&'static str],
    /// What its exit status says.
    pub status: &'static str,
    /// What somebody would type.
    pub examples: &'static [Example],
}

/// One thing that a program can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// As it is typed.
    pub name: &'static str,
    /// How it is called, without the names of the program and the command.
    pub usage: &'static [&'static str],
    /// One line, without a full stop.
    pub about: &'static str,
    /// More about it: paragraphs.
    pub details: &'static [&'static str],
    /// The words that it takes.
    pub words: Words,
    /// Its options.
    pub options: &'static [Flag],
    /// What its exit status says, where that is more than "done" and "not done".
    pub status: Option<&'static str>,
    /// What somebody would type.
    pub examples: &'static [Example],
}

/// An example: what is typed after the program's name, and what that does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Example {
    /// What is typed.
    pub typed: &'static str,
    /// What it does, without a full stop.
    pub does: &'static str,
}

/// Words that are no options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    /// None.
    None,
    /// A program and its arguments: from the first word on nothing is an option.
    Program,
    /// As many as this at most, of this kind.
    UpTo(usize, Hint),
    /// The first is one of these; one more follows.
    Choice(&'static [&'static str], Hint),
}

/// An option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag {
    /// Without the dashes; a single letter is a short option.
    pub name: &'static str,
    /// Its value; `None` for an option without one.
    pub value: Option<Value>,
    /// One sentence, without a full stop.
    pub help: &'static str,
}

/// The value of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    /// What it is called.
    pub name: &'static str,
    /// What it can be.
    pub hint: Hint,
    /// May it be left out? It is then written with `=`.
    pub optional: bool,
}

/// What a value can be, as far as a shell can help with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Anything.
    Any,
    /// A user's name.
    User,
    /// A path of a file.
    File,
    /// A path of a folder.
    Folder,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// Text for a shell.
    Script,
}

impl Flag {
    /// An option without a value.
    pub const fn switch(name: &'static str, help: &'static str) -> Self {
        Self { name, value: None, help }
    }

    /// An option with a value.
    pub const fn with(name: &'static str, value: &'static str, hint: Hint, help: &'static str) -> Self {
        Self { name, value: Some(Value { name: value, hint, optional: false }), help }
    }

    /// As it is typed: `--user`, `-c`.
    pub fn dashed(&self) -> String {
        let dashes = if self.name.len() == 1 { "-" } else { "--" };
        format!("{dashes}{}", self.name)
    }

    /// With its value: `--user NAME`, `--dry-run[=json]`.
    pub fn shown(&self) -> String {
        match self.value {
            None => self.dashed(),
            Some(Value { name, optional: true, .. }) => format!("{}[={name}]", self.dashed()),
            Some(Value { name, .. }) => format!("{} {name}", self.dashed()),
        }
    }
}

impl Program {
    /// The command of that name.
    pub fn command(&self, name: &str) -> Option<&'static Command> {
        self.commands.iter().find(|command| command.name == name)
    }

    /// Every option there is, each once, in the order of the commands.
    pub fn all_options(&self) -> Vec<&'static Flag> {
        let mut all: Vec<&'static Flag> = Vec::new();
        for flag in self.options.iter().chain(self.commands.iter().flat_map(|command| command.options)) {
            if !all.iter().any(|known| known.name == flag.name) {
                all.push(flag);
            }
        }
        all
    }

    /// What is wrong with the definition itself, one line each. For tests.
    pub fn mistakes(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (what, help) in self.help_texts() {
            for line in help.lines().filter(|line| line.chars().count() > WIDTH) {
                found.push(format!("{what}: a line of the help is too long: {line}"));
            }
            if !help.contains("Example") {
                found.push(format!("{what}: no example"));
            }
        }
        for command in self.commands {
            for flag in command.options {
                let same_name = self.commands.iter().flat_map(|other| other.options);
                if same_name
                    .clone()
                    .any(|other| other.name == flag.name && other.value.is_some() != flag.value.is_some())
                {
                    found.push(format!("{}: --{} has a value elsewhere, or none", command.name, flag.name));
                }
                if self.options.iter().any(|common| common.name == flag.name) {
                    found.push(format!("{}: --{} is common to all", command.name, flag.name));
                }
            }
        }
        found
    }

    /// The help of the program, and of each command.
    pub fn help_texts(&self) -> Vec<(String, String)> {
        let of_commands = self
            .commands
            .iter()
            .map(|command| (format!("{} {}", self.name, command.name), self.help_of(command)));
        std::iter::once((self.name.to_owned(), self.help())).chain(of_commands).collect()
    }
}

/// What everybody takes.
pub const HELP: Flag = Flag::switch("help", "Print a summary");
/// What everybody takes.
pub const VERSION: Flag = Flag::switch("version", "Print the version");
