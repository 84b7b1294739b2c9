//! The command line of `sessionctl`.

use std::ffi::OsString;

use lexopt::{Arg, ValueExt};

use crate::error::{Error, ErrorKind};
use crate::model::path::AbsPath;
use crate::model::setup::Method;

/// The text of `--help`.
pub const HELP: &str = "\
Look at and manage the sessions and views that live on this host

Usage: sessionctl list [--json]
       sessionctl begin --user NAME [--service NAME] [--profile NAME] [--config FILE]
       sessionctl enter (--user NAME | --view VIEW | --session NAME) [--as-root]
                        [--] [COMMAND [ARG...]]
       sessionctl end   (--user NAME | --view VIEW | --session NAME)
       sessionctl recover
       sessionctl gc    [--json]
       sessionctl scripts [--session NAME] [--json] [--test [--user NAME] [--config FILE]]
       sessionctl setup --method METHOD [--undo] [--dry-run] [--root DIR]
       sessionctl doctor [--json] [--root DIR]

  list   What lives: views with their scope, generation, sessions, processes, age and mounts, and
         every session
  begin  Open a session that lasts until it is ended, with its scripts, and print its name
  enter  Run a command, or a shell, in a view that lives: as its user, or as root with --as-root
  end    End all sessions of a user and the views that are that user's alone, or one view, with
         every process in them
  recover  Begin again what was begun before the host was restarted, or was killed
  gc     Take away what belongs to nobody alive; safe at any moment
  scripts What session scripts have run, which run now, and how each ended; with --test, whether they
         work on this host, and what would run for a user
  setup  Have logins opened into views, by `pam` or `consolekit`; every change is shown first
  doctor Which PAM services open a view, and whether all that logins depend on is in order

Options:
  --user NAME     Whose
  --view VIEW     A view by the name that `list` shows, such as user-1001.login
  --session NAME  This session alone; with `scripts`, ended or not
  --service NAME  The door to match profiles against; a PAM service's name (begin)
  --profile NAME  Use this profile of the map, whatever matches (begin)
  --test          Run a session with scripts of its own, and look at those of the user
  --as-root       As root, with all of its rights, in a tree whose user can change parts of it
  --config FILE   Read this map, and no other (begin, enter); this session-scripts.conf (scripts)
  --method METHOD `pam`: a line in the PAM configuration; `consolekit`: a script for ConsoleKit
  --undo          Take back what an earlier setup has changed
  --dry-run       Show what setup would change, and change nothing
  --root DIR      The host whose root is DIR, for whoever builds images (setup, doctor)
  --json          For programs
  --help          Print this
  --version       Print the version

Exit status: that of the command with `enter`; 1 when `doctor` or `scripts --test` finds something wrong;
otherwise 0, or 125 when something could not be done.
";

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// Show what lives.
    List {
        /// As JSON.
        json: bool,
    },
    /// Take away what does not.
    Gc {
        /// As JSON.
        json: bool,
    },
    /// Open a session that lasts until it is ended.
    Begin(Begin),
    /// Open those again that were not ended.
    Recover,
    /// Go in.
    Enter {
        /// Where.
        whose: Whose,
        /// As root.
        as_root: bool,
        /// The only map to read.
        config: Option<String>,
        /// What to run; nothing for a shell.
        command: Vec<OsString>,
    },
    /// End it.
    End {
        /// What.
        whose: Whose,
    },
    /// Show what session scripts have done.
    Scripts {
        /// Of this session alone.
        session: Option<String>,
        /// As JSON.
        json: bool,
    },
    /// Try whether session scripts work.
    Rehearse {
        /// Whose would run; the caller's.
        user: Option<String>,
        /// The configuration.
        config: Option<String>,
    },
    /// Have logins opened into views.
    Setup {
        /// By what.
        method: Method,
        /// Take it back.
        undo: bool,
        /// Show it and do nothing.
        dry_run: bool,
        /// The folder that is the host's root.
        root: Option<AbsPath>,
    },
    /// Look whether logins are.
    Doctor {
        /// As JSON.
        json: bool,
        /// The folder that is the host's root.
        root: Option<AbsPath>,
    },
    /// Print a text.
    Say(String),
}

/// A session to be begun.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Begin {
    /// Whose.
    pub user: String,
    /// The door.
    pub service: Option<String>,
    /// The profile.
    pub profile: Option<String>,
    /// The only map to read.
    pub config: Option<String>,
}

/// What a command is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// One session.
    Session(String),
    /// A user's sessions and own views.
    User(String),
    /// One view.
    View(String),
}

/// Reads the command line. The first argument is the program's name.
pub fn read(arguments: impl Iterator<Item = OsString>) -> Result<Control, Error> {
    let mut parser = lexopt::Parser::from_iter(arguments);
    let mut verb: Option<String> = None;
    let (mut user, mut view, mut config, mut method, mut root) = (None, None, None, None, None);
    let (mut session, mut service, mut profile) = (None, None, None);
    let (mut json, mut as_root, mut undo, mut dry_run, mut test) = (false, false, false, false, false);
    let mut command = Vec::new();
    while let Some(argument) = parser.next().map_err(|error| usage(error.to_string()))? {
        match argument {
            Arg::Long("help") => return Ok(Control::Say(HELP.to_owned())),
            Arg::Long("version") => {
                return Ok(Control::Say(concat!("sessionctl ", env!("CARGO_PKG_VERSION"), "\n").to_owned()));
            }
            Arg::Long("json") => json = true,
            Arg::Long("as-root") => as_root = true,
            Arg::Long("undo") => undo = true,
            Arg::Long("dry-run") => dry_run = true,
            Arg::Long("test") => test = true,
            Arg::Long("session") => session = Some(text(&mut parser)?),
            Arg::Long("service") => service = Some(text(&mut parser)?),
            Arg::Long("profile") => profile = Some(text(&mut parser)?),
            Arg::Long("method") => method = Some(read_method(&text(&mut parser)?)?),
            Arg::Long("root") => root = Some(read_root(&text(&mut parser)?)?),
            Arg::Long("user") => user = Some(text(&mut parser)?),
            Arg::Long("view") => view = Some(text(&mut parser)?),
            Arg::Long("config") => config = Some(text(&mut parser)?),
            Arg::Value(word) if verb.is_none() => {
                verb = Some(word.string().map_err(|error| usage(error.to_string()))?)
            }
            // From the program's name on, everything is the program's own.
            Arg::Value(program) => {
                command.push(program);
                command.extend(parser.raw_args().map_err(|error| usage(error.to_string()))?);
                break;
            }
            other => return Err(usage(other.unexpected().to_string())),
        }
    }
    let verb = verb.ok_or_else(|| usage("what is to be done is missing".to_owned()))?;
    let refuse = |given: bool, what: &str| {
        if given { Err(usage(format!("`{verb}` takes no {what}"))) } else { Ok(()) }
    };
    let is_enter = verb == "enter";
    refuse(!is_enter && as_root, "--as-root")?;
    let is_scripts = verb == "scripts";
    let is_test = is_scripts && test;
    let is_begin = verb == "begin";
    refuse(!(is_enter || is_test || is_begin) && config.is_some(), "--config")?;
    refuse(!is_begin && service.is_some(), "--service")?;
    refuse(!is_begin && profile.is_some(), "--profile")?;
    refuse(!is_scripts && test, "--test")?;
    let is_about_one = matches!(verb.as_str(), "enter" | "end") || (is_scripts && !test);
    refuse(!is_about_one && session.is_some(), "--session")?;
    refuse(!is_enter && !command.is_empty(), "command")?;
    let is_setup = verb == "setup";
    refuse(!is_setup && method.is_some(), "--method")?;
    refuse(!is_setup && undo, "--undo")?;
    refuse(!is_setup && dry_run, "--dry-run")?;
    refuse(!is_setup && verb != "doctor" && root.is_some(), "--root")?;
    let is_listed = matches!(verb.as_str(), "list" | "gc" | "doctor") || (is_scripts && !test);
    refuse(json && !is_listed, "--json")?;
    let is_about_views = matches!(verb.as_str(), "enter" | "end");
    refuse(!is_about_views && view.is_some(), "--view")?;
    refuse(!(is_about_views || is_test || is_begin) && user.is_some(), "--user")?;
    let whose = |user: Option<String>, session: Option<String>| match (user, view, session) {
        (Some(user), None, None) => Ok(Whose::User(user)),
        (None, None, Some(session)) => Ok(Whose::Session(session)),
        (None, Some(view), None) if is_view(&view) => Ok(Whose::View(view)),
        (None, Some(view), None) => Err(usage(format!("{view:?} is no name of a view"))),
        _ => Err(usage(format!("`{verb}` wants one of --user, --view and --session"))),
    };
    match verb.as_str() {
        "list" => Ok(Control::List { json }),
        "begin" => {
            let user = user.ok_or_else(|| usage("`begin` wants --user".to_owned()))?;
            Ok(Control::Begin(Begin { user, service, profile, config }))
        }
        "recover" => Ok(Control::Recover),
        "gc" => Ok(Control::Gc { json }),
        "scripts" if test => Ok(Control::Rehearse { user, config }),
        "scripts" => Ok(Control::Scripts { session, json }),
        "enter" => Ok(Control::Enter { whose: whose(user, session)?, as_root, config, command }),
        "end" => Ok(Control::End { whose: whose(user, session)? }),
        "setup" => {
            let method = method.ok_or_else(|| usage("`setup` wants --method".to_owned()))?;
            Ok(Control::Setup { method, undo, dry_run, root })
        }
        "doctor" => Ok(Control::Doctor { json, root }),
        other => Err(usage(format!("there is no command {other:?}"))),
    }
}

fn read_method(name: &str) -> Result<Method, Error> {
    let known = Method::ALL.into_iter().find(|method| method.name() == name);
    known.ok_or_else(|| usage(format!("{name:?} is no method; there are pam, consolekit and logind")))
}

fn read_root(path: &str) -> Result<AbsPath, Error> {
    AbsPath::new(path).map_err(|error| usage(format!("--root {path:?} is no absolute path")).caused_by(error))
}

/// Letters, digits and a few marks: a file's name, and never a way to another folder.
fn is_view(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn text(parser: &mut lexopt::Parser) -> Result<String, Error> {
    parser.value().and_then(|value| value.string()).map_err(|error| usage(error.to_string()))
}

fn usage(message: String) -> Error {
    Error::new(ErrorKind::Request, message).help("`sessionctl --help` explains the commands")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Result<Control, String> {
        let words = std::iter::once("sessionctl").chain(words.iter().copied()).map(OsString::from);
        read(words).map_err(|error| error.to_string())
    }

    #[test]
    fn a_commands_own_options_stay_its_own() {
        let expected = Control::Enter {
            whose: Whose::User("bob".to_owned()),
            as_root: true,
            config: None,
            command: ["ls", "--user", "x", "--json"].map(OsString::from).to_vec(),
        };
        assert_eq!(
            words(&["enter", "--user", "bob", "--as-root", "ls", "--user", "x", "--json"]),
            Ok(expected)
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for wrong in [
            &[][..],
            &["lst"],
            &["end"],
            &["end", "--user", "bob", "--view", "x"],
            &["end", "--view", "../prepared"],
            &["end", "--user", "bob", "--as-root"],
            &["end", "--user", "bob", "now"],
            &["list", "--user", "bob"],
            &["gc", "--frobnicate"],
            &["enter", "--json", "--user", "bob"],
            &["setup"],
            &["setup", "--method", "upstart"],
            &["setup", "--method", "pam", "--json"],
            &["setup", "--method", "pam", "--root", "image"],
            &["setup", "--method", "pam", "--user", "bob"],
            &["begin"],
            &["begin", "--user", "bob", "--view", "x"],
            &["recover", "--user", "bob"],
            &["end", "--user", "bob", "--session", "Session1"],
            &["end", "--user", "bob", "--service", "x"],
            &["scripts", "--user", "bob"],
            &["scripts", "--test", "--json"],
            &["list", "--session", "Session1"],
            &["doctor", "--undo"],
            &["doctor", "now"],
            &["list", "--root", "/image"],
        ] {
            assert!(words(wrong).is_err(), "{wrong:?} was taken");
        }
        assert_eq!(words(&["list", "--json"]), Ok(Control::List { json: true }));
        let root = AbsPath::new("/image").ok();
        assert_eq!(
            words(&["setup", "--method", "pam", "--undo", "--root", "/image"]),
            Ok(Control::Setup { method: Method::Pam, undo: true, dry_run: false, root })
        );
    }
}
