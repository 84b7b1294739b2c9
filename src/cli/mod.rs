//! The command lines: what was typed, and what it means. This file is `session-enter`'s.
#![forbid(unsafe_code)]

pub mod commands;
pub mod control;
pub mod flags;
pub mod scripts;
pub mod terminal;

use std::ffi::OsString;

use lexopt::{Arg, ValueExt};

use crate::error::{Error, ErrorKind};
use crate::model::path::AbsPath;
use crate::model::policy::{Mode, Scope};
use crate::model::subject::Door;
use crate::plan::{Command, Placement, Request};

use flags::{FLAGS, Id, SESSION_ENTER};

/// What was typed, option by option.
#[derive(Debug, Default)]
struct Typed {
    user: Option<String>,
    mode: Option<Mode>,
    scope: Option<Scope>,
    profile: Option<String>,
    config: Option<String>,
    chroot_conf: Option<AbsPath>,
    chroot_options: Option<String>,
    namespace_conf: Option<AbsPath>,
    namespace_options: Option<String>,
    root: Option<AbsPath>,
    service: Option<String>,
    tty: Option<String>,
    remote_host: Option<String>,
    session: Option<String>,
    dry_run: Option<DryRun>,
    prepare: bool,
    release: bool,
    scripts: bool,
    shell_string: Option<OsString>,
    command: Vec<OsString>,
}

/// What a dry run prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Another module's file to read instead of a map.
    pub other_conf: Option<OtherConf>,
    /// The door.
    pub door: Door,
    /// What is asked for beyond the policy.
    pub request: Request,
    /// What to do.
    pub action: Action,
    /// Are session scripts run?
    pub scripts: bool,
}

/// Another module's file, and the words that it is read by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OtherConf {
    /// pam_chroot's.
    Chroot(AbsPath, String),
    /// pam_namespace's.
    Namespace(AbsPath, String),
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Something that takes a plan.
    Plan(Purpose),
    /// Take a tree away from this path of the host, or the only one there is.
    Release(Option<AbsPath>),
}

/// What a plan is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To enter.
    Enter,
    /// To print it.
    Show(DryRun),
    /// To put the tree on the host.
    Prepare,
}

/// What the command line came to.
#[derive(Debug)]
pub enum Reading {
    /// Something to do.
    Do(Box<Invocation>),
    /// Something to print: help, or the version.
    Say(String),
}

/// Reads the command line. The first argument is the program's name.
pub fn read(
    arguments: impl Iterator<Item = OsString>,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Reading, Error> {
    let mut typed = Typed::default();
    let mut parser = lexopt::Parser::from_iter(arguments);
    while let Some(argument) = parser.next().map_err(|error| usage(&error))? {
        let name = match argument {
            Arg::Long(name) => name.to_owned(),
            Arg::Short(letter) => letter.to_string(),
            // From the program's name on, everything is the program's own.
            Arg::Value(program) => {
                typed.command.push(program);
                typed.command.extend(parser.raw_args().map_err(|error| usage(&error))?);
                break;
            }
        };
        match FLAGS.iter().find(|(_, flag)| flag.name == name).map(|(id, _)| *id) {
            None => return Err(unknown(&name)),
            Some(Id::Help) => return Ok(Reading::Say(SESSION_ENTER.help())),
            Some(Id::Version) => {
                return Ok(Reading::Say(
                    concat!("session-enter ", env!("CARGO_PKG_VERSION"), "\n").to_owned(),
                ));
            }
            Some(id) => typed.take(id, &mut parser)?,
        }
    }
    typed.mean(environment.collect()).map(|invocation| Reading::Do(Box::new(invocation)))
}

fn request_error(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Request, message)
}

fn usage(error: &lexopt::Error) -> Error {
    request_error(error.to_string()).help("`session-enter --help` lists the options")
}

fn unknown(name: &str) -> Error {
    let help = match flags::nearest(name) {
        Some(known) => format!("did you mean `--{known}`?"),
        None => "`session-enter --help` lists the options".to_owned(),
    };
    let dashes = if name.chars().count() == 1 { "-" } else { "--" };
    request_error(format!("there is no option `{dashes}{}`", name.escape_debug())).help(help)
}

impl Typed {
    /// Takes in one option with its value.
    fn take(&mut self, id: Id, parser: &mut lexopt::Parser) -> Result<(), Error> {
        let mut value = |name: &str| -> Result<String, Error> {
            let value = parser.value().map_err(|error| usage(&error))?;
            value.string().map_err(|error| {
                request_error(format!("--{name}: not UTF-8 text")).caused_by(error).help("type it in UTF-8")
            })
        };
        match id {
            Id::User => self.user = Some(value("user")?),
            Id::Profile => self.profile = Some(value("profile")?),
            Id::Config => self.config = Some(value("config")?),
            Id::ChrootConf => self.chroot_conf = Some(path("--chroot-conf", &value("chroot-conf")?)?),
            Id::ChrootOptions => self.chroot_options = Some(value("chroot-options")?),
            Id::NamespaceConf => {
                self.namespace_conf = Some(path("--namespace-conf", &value("namespace-conf")?)?);
            }
            Id::NamespaceOptions => self.namespace_options = Some(value("namespace-options")?),
            Id::Service => self.service = Some(value("service")?),
            Id::Tty => self.tty = Some(value("tty")?),
            Id::RemoteHost => self.remote_host = Some(value("rhost")?),
            Id::Session => self.session = Some(value("session")?),
            Id::Root => self.root = Some(path("--root", &value("root")?)?),
            Id::Mode => {
                self.mode = Some(match value("mode")?.as_str() {
                    "namespace" => Mode::Namespace,
                    "chroot" => Mode::Chroot,
                    other => {
                        return Err(request_error(format!("--mode: {other:?} is no mode"))
                            .help("the modes are `namespace` and `chroot`"));
                    }
                });
            }
            Id::Scope => {
                self.scope = Some(match value("scope")?.as_str() {
                    "session" => Scope::Session,
                    "user" => Scope::User,
                    "group" => Scope::Group,
                    "named" => Scope::Named,
                    other => {
                        return Err(request_error(format!("--scope: {other:?} is no scope"))
                            .help("the scopes are `session`, `user`, `group` and `named`"));
                    }
                });
            }
            Id::DryRun => {
                let format = parser.optional_value().map(|format| format.to_string_lossy().into_owned());
                self.dry_run = Some(match format.as_deref() {
                    None | Some("text") => DryRun::Text,
                    Some("json") => DryRun::Json,
                    Some(other) => {
                        return Err(request_error(format!("--dry-run: {other:?} is no format"))
                            .help("the formats are `text` and `json`"));
                    }
                });
            }
            Id::Prepare => self.prepare = true,
            Id::Release => self.release = true,
            Id::Scripts => self.scripts = true,
            Id::ShellString => {
                // Whatever follows -c is its value, also when it begins with a dash.
                let mut raw = parser.raw_args().map_err(|error| usage(&error))?;
                let text = raw
                    .next()
                    .ok_or_else(|| request_error("-c: there is no text to run").help("-c 'id; pwd'"))?;
                self.shell_string = Some(text);
            }
            Id::Help | Id::Version => {}
        }
        Ok(())
    }

    /// What was typed together means this, or makes no sense.
    fn mean(self, environment: Vec<(OsString, OsString)>) -> Result<Invocation, Error> {
        let on_host = self.prepare || self.release;
        let has_command = self.shell_string.is_some() || !self.command.is_empty();
        let conflicts = [
            (self.prepare && self.release, "--prepare and --release", "call it once for each"),
            (
                on_host && has_command,
                "--prepare or --release and a command",
                "they run nothing; leave the command out",
            ),
            (
                self.shell_string.is_some() && !self.command.is_empty(),
                "-c and a command",
                "leave one of them out",
            ),
            (
                on_host && self.scope.is_some(),
                "--prepare or --release and --scope",
                "a tree on the host is for whoever is led into it; leave --scope out",
            ),
            (
                self.scripts && (on_host || self.dry_run.is_some()),
                "--scripts and --prepare, --release or --dry-run",
                "scripts run for a session that is entered",
            ),
            (
                self.chroot_conf.is_some() && (self.config.is_some() || self.profile.is_some()),
                "--chroot-conf and --config or --profile",
                "the file is the map, and has no profiles",
            ),
            (
                self.namespace_conf.is_some() && (self.config.is_some() || self.profile.is_some()),
                "--namespace-conf and --config or --profile",
                "the file is the map, and has no profiles",
            ),
            (
                self.namespace_conf.is_some() && self.chroot_conf.is_some(),
                "--namespace-conf and --chroot-conf",
                "leave one of them out",
            ),
            (self.release && self.dry_run.is_some(), "--release and --dry-run", "leave one of them out"),
        ];
        if let Some((_, what, help)) = conflicts.into_iter().find(|(conflict, _, _)| *conflict) {
            return Err(request_error(format!("{what} do not go together")).help(help));
        }
        if self.root.is_some() && !on_host {
            return Err(request_error("--root goes with --prepare or --release")
                .help("a session that is entered needs no path on the host"));
        }
        if self.chroot_options.is_some() && self.chroot_conf.is_none() {
            return Err(request_error("--chroot-options goes with --chroot-conf")
                .help("--chroot-conf /etc/security/chroot.conf"));
        }
        if self.namespace_options.is_some() && self.namespace_conf.is_none() {
            return Err(request_error("--namespace-options goes with --namespace-conf")
                .help("--namespace-conf /etc/security/namespace.conf"));
        }
        let action = match (self.dry_run, self.prepare, self.release) {
            (Some(format), _, _) => Action::Plan(Purpose::Show(format)),
            (None, true, _) => Action::Plan(Purpose::Prepare),
            (None, _, true) => Action::Release(self.root.clone()),
            (None, false, false) => Action::Plan(Purpose::Enter),
        };
        let command = match (self.shell_string, self.command) {
            (Some(text), _) => Command::ShellString(text),
            (None, words) if words.is_empty() => Command::LoginShell,
            (None, words) => Command::Program(words),
        };
        let door = Door {
            service: self.service.unwrap_or_else(|| Door::command_line().service),
            tty: self.tty,
            remote_host: self.remote_host,
            session: self.session,
        };
        let placement = if on_host { Placement::Host(self.root) } else { Placement::Enter };
        let request = Request {
            profile: self.profile,
            mode: self.mode,
            scope: self.scope,
            placement,
            command,
            environment,
        };
        let chroot_options = self.chroot_options.unwrap_or_default();
        let namespace_options = self.namespace_options.unwrap_or_default();
        let chroot = self.chroot_conf.map(|path| OtherConf::Chroot(path, chroot_options));
        let namespace = self.namespace_conf.map(|path| OtherConf::Namespace(path, namespace_options));
        Ok(Invocation {
            user: self.user,
            config: self.config,
            other_conf: chroot.or(namespace),
            door,
            request,
            action,
            scripts: self.scripts,
        })
    }
}

fn path(option: &str, text: &str) -> Result<AbsPath, Error> {
    AbsPath::new(text).map_err(|error| {
        request_error(format!("{option}: not a usable path"))
            .caused_by(error)
            .help("give an absolute path without `.` and `..`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_words(words: &[&str]) -> Result<Invocation, String> {
        let words = std::iter::once("session-enter").chain(words.iter().copied()).map(OsString::from);
        match read(words, std::iter::empty()) {
            Ok(Reading::Do(invocation)) => Ok(*invocation),
            Ok(Reading::Say(text)) => Err(text),
            Err(error) => Err(error.chain().to_string()),
        }
    }

    #[test]
    fn everything_after_the_program_is_the_programs_own() {
        let words = ["ls", "--user", "root", "-c", "--"];
        let program = Command::Program(words.map(OsString::from).to_vec());
        for before in [&["--user", "bob"][..], &["--user=bob"], &["--user", "bob", "--"]] {
            let invocation = read_words(&[before, &words].concat()).unwrap();
            assert_eq!(invocation.user.as_deref(), Some("bob"));
            assert_eq!(invocation.request.command, program);
        }
        assert_eq!(read_words(&["--", "-x"]).unwrap().request.command, Command::Program(vec!["-x".into()]));
    }

    #[test]
    fn a_login_shells_arguments_are_understood() {
        assert_eq!(read_words(&[]).unwrap().request.command, Command::LoginShell);
        for text in ["echo 'a b'", "-x; id", "--", ""] {
            let invocation = read_words(&["-c", text]).unwrap();
            assert_eq!(invocation.request.command, Command::ShellString(text.into()));
        }
    }

    #[test]
    fn every_option_of_the_list_is_read() {
        for (id, flag) in &FLAGS {
            let name = flag.dashed();
            let value = match id {
                Id::Mode => "chroot",
                Id::Scope => "user",
                Id::Root | Id::ChrootConf | Id::NamespaceConf => "/x",
                _ => "x",
            };
            let mut words = vec![name.as_str()];
            words.extend(flag.value.filter(|value| !value.optional).map(|_| value));
            match id {
                Id::Root => words.push("--prepare"),
                Id::ChrootOptions => words.extend(["--chroot-conf", "/x"]),
                Id::NamespaceOptions => words.extend(["--namespace-conf", "/x"]),
                _ => {}
            }
            let read = read_words(&words);
            assert!(read.is_ok() || matches!(id, Id::Help | Id::Version), "{words:?}: {read:?}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_remedy() {
        for words in [
            &["--prepare", "--release"][..],
            &["--prepare", "--", "ls"],
            &["--release", "--dry-run"],
            &["--scripts", "--prepare"],
            &["--scripts", "--dry-run"],
            &["-c", "x", "--", "ls"],
            &["-c"],
            &["--user"],
            &["--mode", "vm"],
            &["--scope", "users"],
            &["--prepare", "--scope", "user"],
            &["--frobnicate"],
            &["-x"],
            &["--prepare=yes"],
            &["--root", "/x"],
            &["--prepare", "--root", "../x"],
            &["--dry-run=xml"],
            &["--chroot-conf", "chroot.conf"],
            &["--chroot-conf", "/x", "--config", "/y"],
            &["--chroot-conf", "/x", "--profile", "y"],
            &["--chroot-options", "use_groups"],
            &["--namespace-conf", "/x", "--config", "/y"],
            &["--namespace-conf", "/x", "--chroot-conf", "/y"],
            &["--namespace-options", "debug"],
        ] {
            let error = read_words(words).unwrap_err();
            assert!(error.contains("\n  help: "), "{words:?}: {error}");
        }
        assert!(read_words(&["--users", "x"]).unwrap_err().ends_with("did you mean `--user`?"));
    }
}
