//! What the administrator says about session scripts: which run, when, as whom, and for how long.

use serde::{Deserialize, Serialize};

use super::path::AbsPath;
use super::template::Template;

/// The most scripts of one folder that are run. More is a mistake, and it is said how many were left out.
pub const SCRIPTS_MAX: usize = 512;

/// What happens to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// It begins.
    Added,
    /// It has ended.
    Removed,
}

impl Event {
    /// What a script is told as its first argument. ConsoleKit's words.
    pub fn argument(self) -> &'static str {
        match self {
            Self::Added => "session_added",
            Self::Removed => "session_removed",
        }
    }

    /// `added` or `removed`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
        }
    }
}

/// A folder of scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Folder {
    /// Before `added`, when the user has no other session.
    First,
    /// When a session begins.
    Added,
    /// When a session has ended.
    Removed,
    /// After `removed`, when the user has no other session left.
    Last,
}

impl Folder {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::First, Self::Added, Self::Removed, Self::Last];

    /// What it is called on the disk and in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Last => "last",
        }
    }

    /// When it has its turn.
    pub fn event(self) -> Event {
        match self {
            Self::First | Self::Added => Event::Added,
            Self::Removed | Self::Last => Event::Removed,
        }
    }
}

/// How a script is started, by the letter in its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// `W`: the login waits for it.
    Wait,
    /// `D`: it is started when its turn comes, and nobody waits for it.
    Detached,
    /// Every other: one after the other, in the background.
    Listed,
}

/// Where a script runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// In the host's view.
    Host,
    /// In the session's view, where it has one of its own.
    Session,
}

/// Whose rights a script has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunAs {
    /// Root.
    Root,
    /// The session's user.
    User,
}

/// What it means that a script failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// It is reported.
    Optional,
    /// The session does not begin. Only where the login waits for the script.
    Required,
}

/// What starts those that nobody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Launcher {
    /// A process of our own, which watches over them.
    Process,
    /// A transient unit of systemd.
    Systemd,
    /// The at daemon.
    At,
}

/// In which order the scripts of an end run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// By name.
    Listed,
    /// By name, the last first: what was done last is undone first.
    Reverse,
}

/// Everything that can be said about how one script runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Seconds before it is asked to end.
    pub timeout: u32,
    /// Seconds from there until it is killed.
    pub grace: u32,
    /// What its failure means.
    pub result: Weight,
    /// With whose rights.
    pub user: RunAs,
    /// In which view.
    #[serde(rename = "where")]
    pub place: Place,
    /// Variables that it may set although they are refused to others.
    pub allow_env: Vec<String>,
}

/// A part of [`Settings`]: what one table of the configuration says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partial {
    /// See [`Settings::timeout`].
    pub timeout: Option<u32>,
    /// See [`Settings::grace`].
    pub grace: Option<u32>,
    /// See [`Settings::result`].
    pub result: Option<Weight>,
    /// See [`Settings::user`].
    pub user: Option<RunAs>,
    /// See [`Settings::place`].
    pub place: Option<Place>,
    /// See [`Settings::allow_env`].
    pub allow_env: Option<Vec<String>>,
}

impl Partial {
    fn put_on(&self, settings: &mut Settings) {
        fn replace<T: Clone>(lower: &mut T, upper: Option<&T>) {
            if let Some(upper) = upper {
                lower.clone_from(upper);
            }
        }
        replace(&mut settings.timeout, self.timeout.as_ref());
        replace(&mut settings.grace, self.grace.as_ref());
        replace(&mut settings.result, self.result.as_ref());
        replace(&mut settings.user, self.user.as_ref());
        replace(&mut settings.place, self.place.as_ref());
        replace(&mut settings.allow_env, self.allow_env.as_ref());
    }
}

/// What is said about the scripts of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The script's whole name; `*`, `?` and `[...]` are wildcards.
    pub name: String,
    /// In this folder alone.
    pub folder: Option<Folder>,
    /// What holds for it.
    pub partial: Partial,
}

/// Programs that were written for another session manager and run here unchanged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum World {
    /// `*.ck` in ConsoleKit's two folders `run-session.d`.
    ConsoleKit(ConsoleKit),
    /// The folder of today's pam_script (Nijhof's), with the words of its line in the PAM configuration.
    PamScript(Vec<String>),
    /// The older pam_script (Burger's and Bon's), with the words of its line.
    OnSession(Vec<String>),
    /// One command, as pam_exec runs it, with the words of its line.
    PamExec(Vec<String>),
    /// GDM's `PostLogin`, `PreSession` and `PostSession` in this folder.
    Gdm(AbsPath),
    /// LightDM's `session-setup-script` and `session-cleanup-script`, out of its configuration in this folder.
    LightDm(AbsPath),
    /// XDM's `Xstartup` and `Xreset` in this folder.
    Xdm(AbsPath),
}

/// How ConsoleKit's scripts are told of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleKit {
    /// The administrator's folder and the packages'.
    pub folders: Vec<AbsPath>,
    /// Are ids paths of D-Bus, as before ConsoleKit 2?
    pub paths: bool,
}

/// The configuration of session scripts, checked and complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The folder that has the others in it.
    pub directory: AbsPath,
    /// The directory without which nothing of that folder runs for a user.
    pub gate: Option<Template>,
    /// Seconds that a login waits for all scripts of its beginning together.
    pub limit: u32,
    /// Seconds before a script that nobody waits for is asked to end.
    pub background_timeout: u32,
    /// What starts those.
    pub launcher: Launcher,
    /// The order of an end.
    pub order: Order,
    /// PAM services whose sessions run nothing; wildcards as above.
    pub not_service: Vec<String>,
    /// logind's classes whose sessions run nothing.
    pub not_class: Vec<String>,
    /// For all scripts.
    pub defaults: Partial,
    /// For those of a folder, by [`Folder::ALL`].
    pub folders: [Partial; 4],
    /// For single ones; a later one has the last word.
    pub rules: Vec<Rule>,
    /// What else runs.
    pub worlds: Vec<World>,
    /// Display managers' scripts run for these services alone; wildcards as above.
    pub display_services: Vec<String>,
}

impl Policy {
    /// How the script `name` in `folder` runs. `matches` compares a name with a pattern.
    pub fn settings(
        &self,
        folder: Folder,
        name: &str,
        kind: Kind,
        matches: impl Fn(&str, &str) -> bool,
    ) -> Settings {
        let waits = kind == Kind::Wait;
        let mut settings = Settings {
            timeout: if waits { 15 } else { self.background_timeout },
            grace: 2,
            result: Weight::Optional,
            user: RunAs::Root,
            // What a login waits for makes what its view is built from; the rest is work for that view.
            place: if waits || folder.event() == Event::Removed { Place::Host } else { Place::Session },
            allow_env: Vec::new(),
        };
        // `[defaults]` speaks of what is waited for: a limit of seconds is none for work in the background.
        let mut defaults = self.defaults.clone();
        defaults.timeout = defaults.timeout.filter(|_| waits);
        defaults.put_on(&mut settings);
        if let Some(partial) = Folder::ALL.iter().position(|known| *known == folder) {
            self.folders[partial].put_on(&mut settings);
        }
        for rule in &self.rules {
            if rule.folder.is_none_or(|only| only == folder) && matches(&rule.name, name) {
                rule.partial.put_on(&mut settings);
            }
        }
        settings
    }

    /// Could a script of this event keep a user out?
    pub fn requires_any(&self, event: Event) -> bool {
        let requires = |partial: &Partial| partial.result == Some(Weight::Required);
        let in_folders = Folder::ALL.iter().zip(&self.folders);
        requires(&self.defaults)
            || in_folders.filter(|(folder, _)| folder.event() == event).any(|(_, partial)| requires(partial))
            || self
                .rules
                .iter()
                .any(|rule| rule.folder.is_none_or(|f| f.event() == event) && requires(&rule.partial))
    }
}
