//! The command line of `sessionctl`.

use std::ffi::OsString;

use command_line::{Reading, Typed};

use super::OtherConf;
use super::commands::SESSIONCTL;
use crate::compat::Kind;
use crate::error::{Error, ErrorKind};
use crate::explain::can::Deed;
use crate::model::path::AbsPath;
use crate::model::policy::Mode;
use crate::model::setup::Method;
use crate::model::subject::Door;

/// The door that most logins come by.
const USUAL_DOOR: &str = "sshd";

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
    /// Show what a login would find.
    Plan(Login, Form),
    /// Show which line of the map is behind a path.
    Why(Login, AbsPath),
    /// Tell whether a user may do something.
    Can(Login, Deed, AbsPath),
    /// Compare what lives with what the map says.
    Diff {
        /// What.
        which: Which,
        /// The only map to read.
        config: Option<String>,
        /// As JSON.
        json: bool,
    },
    /// Look for what is wrong with a map.
    Check {
        /// The files that make it up.
        files: Vec<String>,
        /// On top of the map in place.
        drop_in: bool,
        /// Plan for this user.
        user: Option<String>,
        /// Plan for everybody.
        all_users: bool,
        /// Not a map, but this file of pam_chroot's, with the words behind the module.
        chroot_conf: Option<(String, String)>,
        /// Warnings count.
        strict: bool,
        /// `text`, `json` or `sarif`.
        format: String,
    },
    /// Look for ways out of a session.
    Audit {
        /// Of which login.
        login: Login,
        /// Warnings count.
        strict: bool,
        /// `text`, `json` or `sarif`.
        format: String,
    },
    /// Try the known attacks on a session.
    Selftest {
        /// On which login's; without a user, that of one that nobody is.
        login: Login,
        /// This root switch instead of the profile's.
        mode: Option<Mode>,
        /// As JSON.
        json: bool,
    },
    /// Write another program's configuration as a map.
    Import {
        /// Whose.
        kind: Kind,
        /// Where it is.
        file: String,
    },
    /// Write a map for a host: the one in this folder, or this one.
    Discover(Option<AbsPath>),
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

impl Control {
    /// Does the answer depend on what the host looks like from where it is asked?
    pub fn is_about_host(&self) -> bool {
        matches!(
            self,
            Self::Plan(..)
                | Self::Why(..)
                | Self::Can(..)
                | Self::Diff { .. }
                | Self::Check { .. }
                | Self::Discover(None)
                | Self::Doctor { root: None, .. }
        )
    }
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

/// A login that is only thought of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Whose; the caller's.
    pub user: Option<String>,
    /// By which door.
    pub door: Door,
    /// The profile, whatever matches.
    pub profile: Option<String>,
    /// The only map to read.
    pub config: Option<String>,
    /// Another module's file to read instead.
    pub other_conf: Option<OtherConf>,
    /// Opened by the user, without root.
    pub rootless: bool,
}

/// What is compared with its plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Every view.
    All,
    /// What lives on record.
    Living(Whose),
    /// What a process sees.
    Process {
        /// Its number.
        pid: i32,
        /// Whose plan; its owner's.
        user: Option<String>,
        /// By this profile.
        profile: Option<String>,
    },
}

/// How a plan is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Step by step.
    Steps,
    /// As a tree.
    Tree,
    /// For programs.
    Json,
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
        "plan" => match (typed.has("tree"), json) {
            (true, true) => Err(usage(&typed, "takes one of --tree and --json")),
            (true, false) => Ok(Control::Plan(login(&typed)?, Form::Tree)),
            (false, true) => Ok(Control::Plan(login(&typed)?, Form::Json)),
            (false, false) => Ok(Control::Plan(login(&typed)?, Form::Steps)),
        },
        "why" => Ok(Control::Why(login(&typed)?, path(&typed, typed.words.first())?)),
        "can" => {
            let deed = match typed.words.first().and_then(|word| word.to_str()) {
                Some("write") => Deed::Write,
                Some("exec") => Deed::Exec,
                Some("suid") => Deed::Suid,
                Some(_) => Deed::Read,
                None => return Err(usage(&typed, "wants read, write, exec or suid, and a path")),
            };
            Ok(Control::Can(login(&typed)?, deed, path(&typed, typed.words.get(1))?))
        }
        "diff" => Ok(Control::Diff { which: which(&typed)?, config, json }),
        "check" => {
            let (user, all_users) = (typed.text("user"), typed.has("all-users"));
            if typed.has("drop-in") && typed.words.is_empty() {
                return Err(usage(&typed, "wants a file with --drop-in"));
            }
            if user.is_some() && all_users {
                return Err(usage(&typed, "takes one of --user and --all-users"));
            }
            let chroot_conf = typed.text("chroot-conf");
            if chroot_conf.is_some() && (!typed.words.is_empty() || all_users) {
                return Err(usage(&typed, "takes no other file, and no --all-users, with --chroot-conf"));
            }
            let words = typed.text("chroot-options").unwrap_or_default();
            let files: Option<Vec<String>> =
                typed.words.iter().map(|word| word.to_str().map(str::to_owned)).collect();
            Ok(Control::Check {
                files: files.ok_or_else(|| usage(&typed, "wants paths in UTF-8"))?,
                drop_in: typed.has("drop-in"),
                user,
                all_users,
                chroot_conf: chroot_conf.map(|file| (file, words)),
                strict: typed.has("strict"),
                format: typed.text("format").unwrap_or_else(|| "text".to_owned()),
            })
        }
        "import" => {
            let from =
                typed.value("from").and_then(|name| Kind::ALL.into_iter().find(|kind| kind.name() == name));
            let file = typed.words.first().and_then(|word| word.to_str());
            match (from, file) {
                (Some(kind), Some(file)) => Ok(Control::Import { kind, file: file.to_owned() }),
                (None, _) => Err(usage(&typed, "wants --from")),
                (_, None) => Err(usage(&typed, "wants a file")),
            }
        }
        "audit" => Ok(Control::Audit {
            login: login(&typed)?,
            strict: typed.has("strict"),
            format: typed.text("format").unwrap_or_else(|| "text".to_owned()),
        }),
        "selftest" => {
            let mode = match typed.value("mode") {
                Some("chroot") => Some(Mode::Chroot),
                Some(_) => Some(Mode::Namespace),
                None => None,
            };
            Ok(Control::Selftest { login: login(&typed)?, mode, json })
        }
        "discover" => Ok(Control::Discover(root(&typed)?)),
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

fn login(typed: &Typed) -> Result<Login, Error> {
    let other_conf = other_conf(typed)?;
    if other_conf.is_some() && (typed.has("config") || typed.has("profile")) {
        return Err(usage(typed, "takes no --config and no --profile with another module's file"));
    }
    Ok(Login {
        user: typed.text("user"),
        door: Door {
            service: typed.text("service").unwrap_or_else(|| USUAL_DOOR.to_owned()),
            tty: typed.text("tty"),
            remote_host: typed.text("rhost"),
            session: None,
        },
        profile: typed.text("profile"),
        config: typed.text("config"),
        other_conf,
        rootless: false,
    })
}

fn other_conf(typed: &Typed) -> Result<Option<OtherConf>, Error> {
    let path = |name: &str| {
        let text = typed.text(name);
        let path = text.map(|text| AbsPath::new(&text)).transpose();
        path.map_err(|error| {
            usage(typed, &format!("wants an absolute path behind --{name}")).caused_by(error)
        })
    };
    let words = |name: &str| typed.text(name).unwrap_or_default();
    let chroot = path("chroot-conf")?.map(|path| OtherConf::Chroot(path, words("chroot-options")));
    let namespace =
        path("namespace-conf")?.map(|path| OtherConf::Namespace(path, words("namespace-options")));
    match (chroot, namespace) {
        (Some(_), Some(_)) => Err(usage(typed, "takes one of --chroot-conf and --namespace-conf")),
        (chroot, namespace) => Ok(chroot.or(namespace)),
    }
}

fn path(typed: &Typed, word: Option<&OsString>) -> Result<AbsPath, Error> {
    let word = word.ok_or_else(|| usage(typed, "wants a path"))?;
    let text = word.to_str().ok_or_else(|| usage(typed, "wants a path in UTF-8"))?;
    AbsPath::new(text).map_err(|error| usage(typed, "wants an absolute path").caused_by(error))
}

fn which(typed: &Typed) -> Result<Which, Error> {
    let profile = typed.text("profile");
    if let Some(pid) = typed.value("pid") {
        if typed.has("view") || typed.has("session") {
            return Err(usage(typed, "takes one of --pid, --view and --session"));
        }
        let number = pid.parse().ok().filter(|number| *number > 0);
        let pid = number.ok_or_else(|| usage(typed, &format!("--pid {pid:?}: no number of a process")))?;
        return Ok(Which::Process { pid, user: typed.text("user"), profile });
    }
    if profile.is_some() {
        return Err(usage(typed, "takes --profile with --pid only: a view's own is on record"));
    }
    let is_any = ["user", "view", "session"].iter().any(|name| typed.has(name));
    Ok(if is_any { Which::Living(whose(typed)?) } else { Which::All })
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
mod tests;
