//! What is known of a session while its scripts run: gathered once when it begins, and written down for its end.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::scripts::{Policy, World};
use crate::registry::ProcessId;

/// Who told us of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Our PAM module.
    Pam,
    /// session-enter.
    Enter,
    /// A person, or a script of one.
    Hand,
    /// logind or elogind, by session-watchd.
    Logind,
    /// ConsoleKit.
    ConsoleKit,
    /// pam_exec.
    PamExec,
    /// pam_script.
    PamScript,
    /// GDM's folders.
    Gdm,
    /// LightDM's configuration.
    LightDm,
    /// XDM's or KDM's scripts.
    Xdm,
}

impl Source {
    /// The names by which it is known on the command line.
    pub const NAMES: [(&str, Self); 10] = [
        ("pam", Self::Pam),
        ("enter", Self::Enter),
        ("hand", Self::Hand),
        ("logind", Self::Logind),
        ("consolekit", Self::ConsoleKit),
        ("pam_exec", Self::PamExec),
        ("pam_script", Self::PamScript),
        ("gdm", Self::Gdm),
        ("lightdm", Self::LightDm),
        ("xdm", Self::Xdm),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES.into_iter().find(|(_, source)| *source == self).map_or("", |(name, _)| name)
    }
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// `Session7`, say.
    pub name: String,
    /// Who told of it.
    pub source: Source,
    /// What it is called there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The user.
    pub user: String,
    /// The user's id.
    pub uid: u32,
    /// The id of the primary group.
    pub gid: u32,
    /// All groups.
    pub groups: Vec<u32>,
    /// The name of the primary group.
    pub group: String,
    /// The home.
    pub home: String,
    /// The login shell.
    pub shell: String,
    /// What the door told, by the names in [`FACTS`].
    pub facts: BTreeMap<String, String>,
    /// The PAM environment, `NAME=value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pam_environment: Vec<String>,
    /// What the door itself has run, besides what the configuration says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub worlds: Vec<World>,
    /// Is that all? A line that stands for another module's has that module's scripts run and no others.
    #[serde(default)]
    pub worlds_alone: bool,
    /// The process whose end is the session's, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<ProcessId>,
    /// Did the user have no other session when this one began?
    pub first: bool,
    /// Does what the folders of scripts hold run for it?
    pub gate_open: bool,
}

/// What a door can tell of a session: the name here, and the variable of a script's environment.
pub const FACTS: [(&str, &str); 12] = [
    ("service", "SESSION_SERVICE"),
    ("tty", "SESSION_TTY"),
    ("rhost", "SESSION_RHOST"),
    ("ruser", "SESSION_RUSER"),
    ("display", "SESSION_DISPLAY"),
    ("xauthority", "XAUTHORITY"),
    ("xdg-id", "XDG_SESSION_ID"),
    ("type", "XDG_SESSION_TYPE"),
    ("class", "XDG_SESSION_CLASS"),
    ("seat", "XDG_SEAT"),
    ("vtnr", "XDG_VTNR"),
    ("runtime-dir", "XDG_RUNTIME_DIR"),
];

impl Session {
    /// The other session managers whose programs run for it, in the order of their turns.
    pub fn worlds<'a>(&'a self, policy: &'a Policy) -> impl DoubleEndedIterator<Item = &'a World> {
        let configured: &[World] = if self.worlds_alone { &[] } else { &policy.worlds };
        configured.iter().chain(&self.worlds)
    }

    /// What the door told of this.
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.facts.get(name).map(String::as_str)
    }

    /// The PAM service, or what stands for one.
    pub fn service(&self) -> &str {
        self.fact("service").unwrap_or("")
    }

    /// Is it at a screen of this host? ConsoleKit's and logind's sense of it.
    pub fn is_local(&self) -> bool {
        self.fact("rhost").is_none_or(str::is_empty)
    }
}
