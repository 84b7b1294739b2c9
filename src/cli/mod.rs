//! The command line of `session-enter`: what was typed, and what it means.
#![forbid(unsafe_code)]

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches, Parser, ValueEnum};

use crate::error::{Error, ErrorKind};
use crate::model::path::AbsPath;
use crate::model::policy::Mode;
use crate::model::subject::Door;
use crate::plan::{Command, Placement, Request};

/// What was typed.
#[derive(Debug, Parser)]
#[command(
    name = "session-enter",
    version,
    about = "Open a user's private root, built from the map, and run a program in it",
    after_help = "Without COMMAND the user's login shell is started.\n\
                  Exit status: 125 session-enter failed, 126 COMMAND cannot be executed, 127 COMMAND was not found,\n\
                  128+N COMMAND ended by signal N, else COMMAND's own.\n\n\
                  Example: session-enter --user bob -- id"
)]
pub struct Typed {
    /// Whose root; without it, your own
    #[arg(long, value_name = "NAME")]
    user: Option<OsString>,
    /// How to make it the root directory, instead of what the map says
    #[arg(long, value_name = "MODE")]
    mode: Option<TypedMode>,
    /// Use this profile of the map, whatever matches
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Read this map, and no other
    #[arg(long, value_name = "FILE")]
    config: Option<OsString>,
    /// With --prepare or --release: the path on the host, instead of what the map says
    #[arg(long, value_name = "DIR")]
    root: Option<OsString>,
    /// The door to match profiles against: a PAM service's name
    #[arg(long, value_name = "NAME", default_value = "session-enter")]
    service: String,
    /// The terminal to match profiles against, without /dev/
    #[arg(long, value_name = "TTY")]
    tty: Option<String>,
    /// The remote host to match profiles against
    #[arg(long, value_name = "HOST")]
    rhost: Option<String>,
    /// The session's id, for %i
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Print what would be done, and do nothing
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "text",
          conflicts_with = "release")]
    dry_run: Option<DryRun>,
    /// Put the tree at its path on the host, for a later chroot, and count one holder
    #[arg(long, conflicts_with_all = ["release", "command", "arguments"])]
    prepare: bool,
    /// Count one holder less, and take the tree away with the last
    #[arg(long, conflicts_with_all = ["command", "arguments"])]
    release: bool,
    /// Run this text by the user's login shell
    #[arg(short = 'c', value_name = "STRING", conflicts_with = "arguments", allow_hyphen_values = true)]
    command: Option<OsString>,
    /// The program to run, and its arguments
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = false)]
    arguments: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TypedMode {
    /// A mount namespace that holds the tree and nothing else
    Namespace,
    /// The tree in a private mount namespace, entered by chroot
    Chroot,
}

/// What a dry run prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    /// A tree for people.
    Text,
    /// The plan, for programs.
    Json,
}

/// What it means.
#[derive(Debug)]
pub struct Invocation {
    /// Whose root; `None` for the caller's own.
    pub user: Option<String>,
    /// The only map to read.
    pub config: Option<String>,
    /// The door.
    pub door: Door,
    /// What is asked for beyond the policy.
    pub request: Request,
    /// What to do.
    pub action: Action,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Enter.
    Enter,
    /// Print.
    Show(DryRun),
    /// Put the tree on the host.
    Prepare,
    /// Take it away.
    Release,
}

/// Reads the command line. `Err(Ok(text))` is help or the version, to be printed on standard output.
pub fn read(
    arguments: impl Iterator<Item = OsString>,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Invocation, Result<String, Error>> {
    let matches =
        Typed::command().try_get_matches_from(arguments).map_err(|error| match error.use_stderr() {
            false => Ok(error.to_string()),
            true => Err(usage(&error.to_string())),
        })?;
    let typed = Typed::from_arg_matches(&matches).map_err(|error| Err(usage(&error.to_string())))?;
    typed.mean(environment.collect()).map_err(Err)
}

fn usage(text: &str) -> Error {
    // One line for the fault; the rest of the parser's text is its usage page.
    let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    let tip = text.lines().find_map(|line| line.trim().strip_prefix("tip: "));
    Error::new(ErrorKind::Request, first).help(tip.unwrap_or("`session-enter --help` lists the options"))
}

impl Typed {
    fn mean(self, environment: Vec<(OsString, OsString)>) -> Result<Invocation, Error> {
        let root = self.root.map(|root| path("--root", root)).transpose()?;
        if root.is_some() && !(self.prepare || self.release) {
            return Err(Error::new(ErrorKind::Request, "--root goes with --prepare or --release")
                .help("a session that is entered needs no path on the host"));
        }
        let placement = if self.prepare || self.release { Placement::Host(root) } else { Placement::Enter };
        let command = match (self.command, self.arguments) {
            (Some(text), _) => Command::ShellString(text),
            (None, words) if words.is_empty() => Command::LoginShell,
            (None, words) => Command::Program(words),
        };
        let action = match (self.dry_run, self.prepare, self.release) {
            (Some(format), _, _) => Action::Show(format),
            (None, true, _) => Action::Prepare,
            (None, _, true) => Action::Release,
            (None, false, false) => Action::Enter,
        };
        let mode = self.mode.map(|mode| match mode {
            TypedMode::Namespace => Mode::Namespace,
            TypedMode::Chroot => Mode::Chroot,
        });
        Ok(Invocation {
            user: self.user.map(|user| text("--user", user)).transpose()?,
            config: self.config.map(|file| text("--config", file)).transpose()?,
            door: Door {
                service: self.service,
                tty: self.tty,
                remote_host: self.rhost,
                session: self.session,
            },
            request: Request { profile: self.profile, mode, placement, command, environment },
            action,
        })
    }
}

fn text(option: &str, value: OsString) -> Result<String, Error> {
    value.into_string().map_err(|value| {
        Error::new(ErrorKind::Request, format!("{option}: {value:?} is not UTF-8 text"))
            .help("type it in UTF-8")
    })
}

fn path(option: &str, value: OsString) -> Result<AbsPath, Error> {
    AbsPath::new(&text(option, value)?).map_err(|error| {
        Error::new(ErrorKind::Request, format!("{option}: not a usable path"))
            .caused_by(error)
            .help("give an absolute path without `.` and `..`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_words(words: &[&str]) -> Result<Invocation, String> {
        let words = std::iter::once("session-enter").chain(words.iter().copied()).map(OsString::from);
        read(words, std::iter::empty()).map_err(|error| match error {
            Ok(text) => text,
            Err(error) => error.chain().to_string(),
        })
    }

    #[test]
    fn the_definition_holds_together() {
        Typed::command().debug_assert();
    }

    #[test]
    fn everything_after_the_program_is_the_programs_own() {
        let invocation = read_words(&["--user", "bob", "--", "ls", "--user", "root", "-c", "--"]).unwrap();
        assert_eq!(invocation.user.as_deref(), Some("bob"));
        let words = ["ls", "--user", "root", "-c", "--"].map(OsString::from).to_vec();
        assert_eq!(invocation.request.command, Command::Program(words));
        let invocation = read_words(&["ls", "--user", "root"]).unwrap();
        assert_eq!(invocation.user, None);
    }

    #[test]
    fn a_login_shells_arguments_are_understood() {
        assert_eq!(read_words(&[]).unwrap().request.command, Command::LoginShell);
        let invocation = read_words(&["-c", "-x; echo 'a b'"]).unwrap();
        assert_eq!(invocation.request.command, Command::ShellString("-x; echo 'a b'".into()));
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        for words in [
            &["--prepare", "--release"][..],
            &["--prepare", "--", "ls"],
            &["-c", "x", "--", "ls"],
            &["--mode", "vm"],
            &["--frobnicate"],
            &["--root", "/x"],
            &["--prepare", "--root", "../x"],
            &["--dry-run=xml"],
        ] {
            assert!(read_words(words).is_err(), "{words:?} was accepted");
        }
    }
}
