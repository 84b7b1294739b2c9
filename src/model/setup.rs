//! What `sessionctl setup` is asked for.

use serde::{Deserialize, Serialize};

/// Who tells this project that a session begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// A line in the PAM configuration.
    Pam,
    /// A script that ConsoleKit runs.
    ConsoleKit,
    /// Nobody: logind tells afterwards, and nobody waits for who is told.
    Logind,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pam, Self::ConsoleKit, Self::Logind];

    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pam => "pam",
            Self::ConsoleKit => "consolekit",
            Self::Logind => "logind",
        }
    }
}
