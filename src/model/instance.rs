//! Polyinstantiation: directories of the host that a login makes where they are missing, to be seen in the place of one
//! that everybody has.

use serde::Serialize;

use super::path::AbsPath;
use super::policy::Owner;
use super::template::Template;

/// A directory of the host's that is made where it is missing. What is there already stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewDirectory {
    /// Where.
    pub at: Template,
    /// How.
    pub likeness: Likeness,
    /// What the directory that holds it must be like.
    pub holder: Holder,
}

/// The directory that holds a new one. Root's it is always, like all on the way to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Holder {
    /// Without any permission bit: only root gets in. The user may own directories on the way to it.
    Closed,
    /// Nobody but root may write there.
    Roots,
    /// Everybody may write there, and replace nothing of others (`/tmp`). For what only has to be there.
    Shared,
}

/// Owner and permission bits of a new directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Likeness {
    /// These.
    Said {
        /// Permission bits.
        mode: u32,
        /// Who owns it.
        owner: NewOwner,
    },
    /// Those of this directory of the host's.
    Like(Template),
}

/// Who owns a new directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NewOwner {
    /// As the map says it.
    Of(Owner),
    /// A user and a group by number.
    Ids(u32, u32),
}

/// A program of root's that gets a new view ready, as pam_namespace calls it: with the directory, its instance, 1 or 0 for
/// an instance that is new or not, and the user's name; without an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Init {
    /// The program, inside.
    pub program: AbsPath,
    /// The instance on the host; `None` for one in memory, which is always new.
    pub instance: Option<AbsPath>,
}
