//! The command line of `sessionctl`.

use std::ffi::OsString;

use command_line::{Reading, Typed};

use super::commands::SESSIONCTL;
use crate::error::{Error, ErrorKind};
use crate::model::path::AbsPath;
use crate::model::setup::Method;

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
    match SESSIONCTL.read(env!("CARGO_PKG_VERSION"), arguments) {
        Ok(Reading::Say(text)) => Ok(Control::Say(text)),
        Ok(Reading::Do(typed)) => mean(typed),
        Err(problem) => Err(Error::new(ErrorKind::Request, problem.message).help(problem.help)),
    }
}

/// What was typed together means this, or makes no sense.
fn mean(typed: Typed) -> Result<Control, Error> {
    let json = typed.has("json");
    let config = typed.text("config");
    match typed.command.name {
        "begin" => Ok(Control::Begin(Begin {
            user: typed.text("user").ok_or_else(|| usage(&typed, "wants --user"))?,
            service: typed.text("service"),
            profile: typed.text("profile"),
            config,
        })),
        "recover" => Ok(Control::Recover),
        "gc" => Ok(Control::Gc { json }),
        "scripts" => scripts(&typed, json),
        "enter" => Ok(Control::Enter {
            whose: whose(&typed)?,
            as_root: typed.has("as-root"),
            config,
            command: typed.words,
        }),
        "end" => Ok(Control::End { whose: whose(&typed)? }),
        "setup" => {
            let method = typed.value("method").ok_or_else(|| usage(&typed, "wants --method"))?;
            let known = Method::ALL.into_iter().find(|known| known.name() == method);
            Ok(Control::Setup {
                method: known.ok_or_else(|| usage(&typed, "wants --method"))?,
                undo: typed.has("undo"),
                dry_run: typed.has("dry-run"),
                root: root(&typed)?,
            })
        }
        "doctor" => Ok(Control::Doctor { json, root: root(&typed)? }),
        _ => Ok(Control::List { json }),
    }
}

fn scripts(typed: &Typed, json: bool) -> Result<Control, Error> {
    let (session, user, config) = (typed.text("session"), typed.text("user"), typed.text("config"));
    let is_test = typed.has("test");
    let misplaced = match is_test {
        true => [("--session", session.is_some()), ("--json", json)],
        false => [("--user", user.is_some()), ("--config", config.is_some())],
    };
    if let Some((option, _)) = misplaced.into_iter().find(|(_, given)| *given) {
        let with = if is_test { "with" } else { "without" };
        return Err(usage(typed, &format!("{with} --test takes no {option}")));
    }
    Ok(if is_test { Control::Rehearse { user, config } } else { Control::Scripts { session, json } })
}

fn whose(typed: &Typed) -> Result<Whose, Error> {
    match (typed.text("user"), typed.text("view"), typed.text("session")) {
        (Some(user), None, None) => Ok(Whose::User(user)),
        (None, None, Some(session)) => Ok(Whose::Session(session)),
        (None, Some(view), None) if is_view(&view) => Ok(Whose::View(view)),
        (None, Some(view), None) => Err(usage(typed, &format!("{view:?}: no name of a view"))),
        _ => Err(usage(typed, "wants one of --user, --view and --session")),
    }
}

fn root(typed: &Typed) -> Result<Option<AbsPath>, Error> {
    let Some(path) = typed.value("root") else { return Ok(None) };
    let wrong = |error| usage(typed, &format!("--root {path:?} is no absolute path")).caused_by(error);
    AbsPath::new(path).map(Some).map_err(wrong)
}

/// Letters, digits and a few marks: a file's name, and never a way to another folder.
fn is_view(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn usage(typed: &Typed, message: &str) -> Error {
    let name = typed.command.name;
    Error::new(ErrorKind::Request, format!("`{name}` {message}"))
        .help(format!("`sessionctl {name} --help` explains it"))
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
