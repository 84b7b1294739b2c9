//! What those who call `session-scripts` tell of a session, each in its own words. Pure.

use std::collections::BTreeMap;

use super::session::Source;
use crate::error::{Error, ErrorKind};
use crate::model::path::AbsPath;
use crate::model::scripts::{ConsoleKit, Event, World};

/// Whose session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// A name.
    Name(String),
    /// A user id; ConsoleKit tells no name.
    Uid(u32),
}

/// A session as it is told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// By whom.
    pub source: Source,
    /// What it is called there.
    pub id: Option<String>,
    /// Whose it is.
    pub who: Option<Who>,
    /// Whose end is the session's.
    pub leads: Leads,
    /// What else is known.
    pub facts: BTreeMap<String, String>,
}

/// The process that is taken for a session's leader, of those that have started the one that tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leads {
    /// None: somebody has to say that the session has ended.
    Nobody,
    /// Its parent.
    Parent,
    /// The nearest that is called so: between it and the one that tells there may be a shell, which ends at once.
    Ancestor {
        /// Its names, as the kernel cuts them off: 15 bytes.
        names: &'static [&'static str],
        /// Is it the parent where there is none?
        or_parent: bool,
    },
}

impl Leads {
    fn of(source: Source) -> Self {
        match source {
            Source::PamExec | Source::PamScript => Self::Parent,
            // What is like XDM may be called anything.
            Source::Xdm => Self::Ancestor { names: &["xdm"], or_parent: true },
            Source::LightDm => Self::Ancestor { names: &["lightdm"], or_parent: false },
            Source::Gdm => Self::Ancestor { names: &["gdm-session-wor", "gdm3", "gdm"], or_parent: false },
            Source::ConsoleKit | Source::Hand | Source::Logind | Source::Pam | Source::Enter => Self::Nobody,
        }
    }
}

/// Whoever tells in an environment: a fact, and the variables that may hold it.
type Words = &'static [(&'static str, &'static str)];

const PAM: Words = &[
    ("service", "PAM_SERVICE"),
    ("tty", "PAM_TTY"),
    ("rhost", "PAM_RHOST"),
    ("ruser", "PAM_RUSER"),
    ("xdg-id", "XDG_SESSION_ID"),
    ("type", "XDG_SESSION_TYPE"),
    ("class", "XDG_SESSION_CLASS"),
    ("seat", "XDG_SEAT"),
    ("vtnr", "XDG_VTNR"),
    ("runtime-dir", "XDG_RUNTIME_DIR"),
];
const CONSOLEKIT: Words = &[
    ("service", "CK_SESSION_SERVICE"),
    ("tty", "CK_SESSION_DISPLAY_DEVICE"),
    ("rhost", "CK_SESSION_REMOTE_HOST_NAME"),
    ("display", "CK_SESSION_X11_DISPLAY"),
    ("type", "CK_SESSION_TYPE"),
    ("seat", "CK_SESSION_SEAT_ID"),
];
const DISPLAY: Words = &[
    ("display", "DISPLAY"),
    ("xauthority", "XAUTHORITY"),
    ("seat", "XDG_SEAT"),
    ("vtnr", "XDG_VTNR"),
    ("rhost", "REMOTE_HOST"),
];

/// The source of that name.
pub fn source(name: Option<&str>) -> Result<Source, Error> {
    let Some(name) = name else { return Ok(Source::Hand) };
    Source::NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, source)| source).ok_or_else(|| {
        let known: Vec<&str> = Source::NAMES.iter().map(|(known, _)| *known).collect();
        Error::new(ErrorKind::Request, format!("--from {name:?}: nobody of that name tells of sessions"))
            .help(format!("there are {}", known.join(", ")))
    })
}

/// Which event PAM means: pam_exec tells it, for pam_script the name of the script does.
pub fn pam_event(environment: &BTreeMap<String, String>) -> Option<Event> {
    match environment.get("PAM_TYPE").map(String::as_str) {
        Some("open_session") => Some(Event::Added),
        Some("close_session") => Some(Event::Removed),
        _ => None,
    }
}

/// Puts together what was typed and what `source` has in the environment. What was typed comes first.
pub fn told(
    source: Source,
    (id, user, typed): (Option<String>, Option<String>, BTreeMap<String, String>),
    environment: &BTreeMap<String, String>,
    parent: &str,
) -> Told {
    let get = |name: &str| environment.get(name).filter(|value| is_usable(value)).cloned();
    let (words, who): (Words, Option<Who>) = match source {
        Source::PamExec | Source::PamScript => (PAM, get("PAM_USER").map(Who::Name)),
        Source::ConsoleKit => {
            (CONSOLEKIT, get("CK_SESSION_USER_UID").and_then(|uid| uid.parse().ok()).map(Who::Uid))
        }
        Source::Gdm | Source::LightDm | Source::Xdm => (DISPLAY, get("USER").map(Who::Name)),
        Source::Hand | Source::Logind | Source::Pam | Source::Enter => (&[], None),
    };
    let mut facts: BTreeMap<String, String> =
        words.iter().filter_map(|(fact, name)| Some(((*fact).to_owned(), get(name)?))).collect();
    facts.extend(typed.into_iter().filter(|(_, value)| is_usable(value)));
    if matches!(source, Source::PamExec | Source::PamScript)
        && let Some(tty) = facts.get("tty").cloned()
    {
        facts.insert("pam-tty".to_owned(), tty);
    }
    if let Some(tty) = facts.get("tty").cloned() {
        facts.insert("tty".to_owned(), tty.strip_prefix("/dev/").unwrap_or(&tty).to_owned());
    }
    if matches!(source, Source::Gdm | Source::LightDm | Source::Xdm) {
        facts.entry("service".to_owned()).or_insert_with(|| source.name().to_owned());
    }
    if let (Source::Logind, Some(id)) = (source, &id) {
        facts.insert("xdg-id".to_owned(), id.clone());
    }
    let display = || facts.get("display").cloned().unwrap_or_default();
    let id = id.or_else(|| match source {
        // The process that opened it: a number of its own, and when it began.
        Source::PamExec | Source::PamScript => Some(parent.to_owned()),
        Source::ConsoleKit => get("CK_SESSION_ID").map(|id| id.rsplit('/').next().unwrap_or(&id).to_owned()),
        Source::Gdm | Source::LightDm | Source::Xdm => {
            let user = user.clone().or_else(|| get("USER")).unwrap_or_default();
            Some(format!("{}{}/{user}", display(), facts.get("seat").map_or("", String::as_str)))
        }
        Source::Hand | Source::Logind | Source::Pam | Source::Enter => None,
    });
    Told {
        source,
        id: id.filter(|id| !id.is_empty() && is_usable(id)),
        who: user.map(Who::Name).or(who),
        leads: Leads::of(source),
        facts,
    }
}

/// What would begin a line of its own in a record or a log is nobody's name.
fn is_usable(value: &str) -> bool {
    !value.is_empty() && value.len() <= 4096 && !value.chars().any(char::is_control)
}

/// The worlds that were named on the command line, at their usual places.
pub fn worlds(names: &[String]) -> Result<Vec<World>, Error> {
    let usual = |path: &str| {
        AbsPath::new(path).map_err(|error| Error::new(ErrorKind::Request, path).caused_by(error))
    };
    names
        .iter()
        .map(|name| {
            Ok(match name.as_str() {
                "consolekit" => {
                    let folders =
                        vec![usual("/etc/ConsoleKit/run-session.d")?, usual("/usr/lib/ConsoleKit/run-session.d")?];
                    World::ConsoleKit(ConsoleKit { folders, paths: false })
                }
                "gdm" => World::Gdm(usual("/etc/gdm3")?),
                "lightdm" => World::LightDm(usual("/etc/lightdm")?),
                "xdm" => World::Xdm(usual("/etc/X11/xdm")?),
                other => {
                    return Err(Error::new(ErrorKind::Request, format!("--compat {other:?} is not known"))
                        .help("there are consolekit, gdm, lightdm and xdm; the others need a line in session-scripts.conf"));
                }
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn nothing() -> (Option<String>, Option<String>, BTreeMap<String, String>) {
        (None, None, BTreeMap::new())
    }

    #[test]
    fn each_source_is_understood_in_its_own_words() {
        let pam = environment(&[
            ("PAM_USER", "bob"),
            ("PAM_TTY", "/dev/pts/3"),
            ("PAM_RHOST", ""),
            ("LD_PRELOAD", "/x"),
        ]);
        let read = told(Source::PamExec, nothing(), &pam, "77-1234");
        assert_eq!((read.who, read.id.as_deref()), (Some(Who::Name("bob".to_owned())), Some("77-1234")));
        assert_eq!(read.facts, environment(&[("tty", "pts/3"), ("pam-tty", "/dev/pts/3")]));
        assert_eq!(read.leads, Leads::Parent);

        let ck = environment(&[
            ("CK_SESSION_ID", "/org/freedesktop/ConsoleKit/Session4"),
            ("CK_SESSION_USER_UID", "1001"),
            ("CK_SESSION_DISPLAY_DEVICE", "/dev/tty2"),
        ]);
        let read = told(Source::ConsoleKit, nothing(), &ck, "x");
        assert_eq!((read.who, read.id.as_deref()), (Some(Who::Uid(1001)), Some("Session4")));
        assert_eq!((read.facts["tty"].as_str(), read.leads), ("tty2", Leads::Nobody));

        let screen = environment(&[("USER", "bob"), ("DISPLAY", ":0"), ("XDG_SEAT", "seat0")]);
        let read = told(Source::LightDm, nothing(), &screen, "x");
        assert_eq!((read.id.as_deref(), read.facts["service"].as_str()), (Some(":0seat0/bob"), "lightdm"));
    }

    #[test]
    fn what_was_typed_comes_first_and_control_characters_come_nowhere() {
        let pam = environment(&[("PAM_USER", "eve"), ("PAM_TTY", "a\nb"), ("PAM_SERVICE", "sshd")]);
        let typed = environment(&[("service", "login")]);
        let read = told(Source::PamExec, (Some("7".to_owned()), Some("bob".to_owned()), typed), &pam, "x");
        assert_eq!((read.who, read.id.as_deref()), (Some(Who::Name("bob".to_owned())), Some("7")));
        assert_eq!(read.facts, environment(&[("service", "login")]));
    }
}
