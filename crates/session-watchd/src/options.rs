//! The command line, and the few variables by which a service manager speaks.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use command_line::{Example, Flag, HELP, Hint, Program, VERSION, Words};
use lexopt::{Arg, ValueExt};

use crate::error::{Error, Result};
use crate::session::{Classes, End};

/// `session-watchd`.
pub static SESSION_WATCHD: Program = Program {
    name: "session-watchd",
    section: 8,
    about: "Watch sessions and run session-scripts when they begin and end",
    usage: &["[OPTION...]"],
    details: &[
        "It is started at boot, as root. From logind or elogind it learns which sessions begin and end; and it \
         holds connections of other sessions, which end with the processes that hold the other side.",
    ],
    commands: &[],
    words: Words::None,
    options: &[
        Flag::with(
            "end",
            "MODE",
            Hint::OneOf(&["leader-exit", "scope-empty"]),
            "When a session of logind has ended: with its first process, `leader-exit`, which is the default; \
             or with the last process that it left behind, `scope-empty`",
        ),
        Flag::with(
            "class",
            "NAME",
            Hint::Any,
            "A class of sessions that counts; may be given more than once. Without it: user, user-early and \
             user-light",
        ),
        Flag::switch("no-logind", "Do not ask logind"),
        Flag::with(
            "bus",
            "ADDRESS",
            Hint::Any,
            "The D-Bus address of the bus that logind is on, in place of the system bus",
        ),
        Flag::with("socket", "PATH", Hint::File, "Where to listen, in place of /run/session-watchd/socket"),
        Flag::with(
            "state",
            "DIR",
            Hint::Folder,
            "Where to keep what is known, in place of /run/session-watchd",
        ),
        Flag::with("runner", "PATH", Hint::File, "The program to run, in place of /usr/bin/session-scripts"),
        HELP,
        VERSION,
    ],
    notes: &[],
    status: "0 when it was told to stop; 125 when it cannot work.",
    examples: &[Example {
        typed: "--end scope-empty",
        does: "a session has ended when nothing of it is left running",
    }],
};

/// Where everything is, unless it is said otherwise.
const STATE: &str = "/run/session-watchd";
const SOCKET: &str = "/run/session-watchd/socket";
const RUNNER: &str = "/usr/bin/session-scripts";

/// What it is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Is logind asked?
    pub logind: bool,
    /// The bus, if it is not the system bus.
    pub bus: Option<String>,
    /// What the end of a session of logind is.
    pub end: End,
    /// Which sessions of logind count.
    pub classes: Classes,
    /// Where to listen.
    pub socket: PathBuf,
    /// Where what is known is kept.
    pub state: PathBuf,
    /// What is run.
    pub runner: PathBuf,
    /// What the service manager said when it started this process.
    pub manager: Manager,
}

/// What a service manager says by variables (sd_notify(3), sd_listen_fds(3)), as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manager {
    /// NOTIFY_SOCKET.
    pub notify: Option<OsString>,
    /// LISTEN_PID.
    pub listen_pid: Option<OsString>,
    /// LISTEN_FDS.
    pub listen_fds: Option<OsString>,
    /// LISTEN_FDNAMES.
    pub listen_names: Option<OsString>,
}

/// What to do about a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Watch.
    Do(Box<Options>),
    /// Print this.
    Say(String),
}

/// Reads the command line, whose first argument is the program's name, and the variables.
pub fn read(
    arguments: impl Iterator<Item = OsString>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Reading> {
    let mut parser = lexopt::Parser::from_iter(arguments);
    let mut options = Options {
        logind: true,
        bus: None,
        end: End::LeaderExit,
        classes: Classes::default(),
        socket: SOCKET.into(),
        state: STATE.into(),
        runner: RUNNER.into(),
        manager: Manager {
            notify: variable("NOTIFY_SOCKET"),
            listen_pid: variable("LISTEN_PID"),
            listen_fds: variable("LISTEN_FDS"),
            listen_names: variable("LISTEN_FDNAMES"),
        },
    };
    let mut classes = Vec::new();
    while let Some(argument) = parser.next().map_err(usage)? {
        match argument {
            Arg::Long("help") => return Ok(Reading::Say(SESSION_WATCHD.help())),
            Arg::Long("version") => {
                return Ok(Reading::Say(concat!("session-watchd ", env!("CARGO_PKG_VERSION"), "\n").into()));
            }
            Arg::Long("no-logind") => options.logind = false,
            Arg::Long("bus") => options.bus = Some(text(&mut parser, "--bus")?),
            Arg::Long("class") => classes.push(text(&mut parser, "--class")?),
            Arg::Long("end") => {
                let mode = text(&mut parser, "--end")?;
                options.end = End::named(&mode).ok_or_else(|| {
                    Error::plain(format!("--end {mode:?}: write `leader-exit` or `scope-empty`"))
                })?;
            }
            Arg::Long("socket") => options.socket = path(&mut parser, "--socket")?,
            Arg::Long("state") => options.state = path(&mut parser, "--state")?,
            Arg::Long("runner") => options.runner = path(&mut parser, "--runner")?,
            other => return Err(usage(other.unexpected())),
        }
    }
    if !classes.is_empty() {
        options.classes = Classes::only(classes);
    }
    Ok(Reading::Do(Box::new(options)))
}

fn usage(error: lexopt::Error) -> Error {
    Error::plain(format!("{error}; `session-watchd --help` lists the options"))
}

fn text(parser: &mut lexopt::Parser, option: &str) -> Result<String> {
    let value = parser.value().and_then(|value| value.string()).map_err(usage)?;
    if value.is_empty() { Err(Error::plain(format!("{option} needs a value"))) } else { Ok(value) }
}

/// An absolute path: a daemon works in `/`, wherever it was started.
fn path(parser: &mut lexopt::Parser, option: &str) -> Result<PathBuf> {
    let value = text(parser, option)?;
    if Path::new(&value).is_absolute() && !value.contains('\0') {
        Ok(value.into())
    } else {
        Err(Error::plain(format!("{option} {value:?}: write an absolute path")))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where something is not as it should be")]
mod tests {
    use super::*;

    fn reading(arguments: &[&str]) -> Result<Reading> {
        let all = std::iter::once("session-watchd").chain(arguments.iter().copied());
        read(all.map(OsString::from), |_| None)
    }

    fn options(arguments: &[&str]) -> Options {
        match reading(arguments).unwrap() {
            Reading::Do(options) => *options,
            Reading::Say(text) => panic!("{text}"),
        }
    }

    #[test]
    fn without_options_it_is_what_the_unit_starts() {
        let options = options(&[]);
        assert!(options.logind && options.bus.is_none() && options.end == End::LeaderExit);
        assert_eq!(options.socket, Path::new("/run/session-watchd/socket"));
        assert_eq!(options.runner, Path::new("/usr/bin/session-scripts"));
        assert!(options.classes.count("user") && !options.classes.count("greeter"));
    }

    #[test]
    fn every_option_is_taken_and_explained() {
        let options = options(&[
            "--no-logind",
            "--bus=unix:path=/b",
            "--end",
            "scope-empty",
            "--class=greeter",
            "--class",
            "background",
            "--socket=/s",
            "--state=/d",
            "--runner=/r",
        ]);
        assert!(!options.logind && options.end == End::ScopeEmpty);
        assert_eq!(options.bus.as_deref(), Some("unix:path=/b"));
        assert!(options.classes.count("greeter") && options.classes.count("background"));
        assert!(!options.classes.count("user"));
        for flag in SESSION_WATCHD.options.iter().filter(|flag| !["help", "version"].contains(&flag.name)) {
            let value = match flag.name {
                "end" => "leader-exit",
                _ => "/x",
            };
            let mut line = vec![flag.dashed()];
            line.extend(flag.value.map(|_| value.to_owned()));
            assert!(reading(&line.iter().map(String::as_str).collect::<Vec<_>>()).is_ok(), "{flag:?}");
        }
        assert_eq!(SESSION_WATCHD.mistakes(), Vec::<String>::new());
    }

    #[test]
    fn a_mistake_is_named() {
        for (arguments, expected) in [
            (&["--frobnicate"][..], "--frobnicate"),
            (&["--end", "never"], "`leader-exit` or `scope-empty`"),
            (&["--runner", "bin/x"], "absolute"),
            (&["--socket"], "--socket"),
            (&["--bus="], "--bus needs a value"),
            (&["something"], "something"),
            (&["--no-logind=yes"], "--no-logind"),
        ] {
            let error = reading(arguments).unwrap_err().chain();
            assert!(error.contains(expected), "{arguments:?}: {error}");
        }
    }
}
