//! Why there is no plan.

use std::fmt;

use crate::error::{Error, ErrorKind};
use crate::model::path::AbsPath;
use crate::model::policy::Origin;
use crate::model::template::TemplateError;

use super::share;

/// So many different remedies are shown with several errors.
const REMEDIES_MAX: usize = 3;

/// A reason why a policy gives a user no plan on this host. Each has a remedy, [`PlanError::help`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The kernel is older than the floor.
    #[error(
        "this kernel has no {call}, which came with Linux {since}; session-sandbox needs Linux 5.12 or newer"
    )]
    Kernel {
        /// The call.
        call: &'static str,
        /// The version that brought it.
        since: &'static str,
    },
    /// Something the policy asks for is newer than the kernel.
    #[error("{origin}: {what} needs Linux {since}, and this kernel does not offer it")]
    Unsupported {
        /// The map line.
        origin: Origin,
        /// What was asked for.
        what: &'static str,
        /// The version that brought it.
        since: &'static str,
    },
    /// Namespaces that only a process can keep, and no process that would.
    #[error("{origin}: {} needs wall = \"pidns\": the view's process 1 is what keeps them", .what.join(", "))]
    NeedsWall {
        /// The profile.
        origin: Origin,
        /// The map's keys.
        what: Vec<&'static str>,
    },
    /// An ordinary user wants to be someone else.
    #[error("only root can enter {user}'s root; uid {caller} can enter its own")]
    NotYourself {
        /// Who was asked for.
        user: String,
        /// Who asks.
        caller: u32,
    },
    /// Root without the right to mount.
    #[error("{0} needs CAP_SYS_ADMIN, and this process is root without it")]
    NoRight(String),
    /// `--prepare` or another thing that needs root.
    #[error("{0} changes the host and needs root")]
    NeedsRoot(&'static str),
    /// No profile of that name.
    #[error("no profile is named {name:?}; there are {known}")]
    NoSuchProfile {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// Nothing matches.
    #[error("no profile matches {user}: {reasons}")]
    NoMatch {
        /// The user.
        user: String,
        /// For each profile, the first condition that does not hold.
        reasons: String,
    },
    /// A text with variables has no value for this user.
    #[error("{origin}: {key} {template:?}")]
    Template {
        /// The map line.
        origin: Origin,
        /// Which key.
        key: &'static str,
        /// As written.
        template: String,
        /// Why.
        #[source]
        source: TemplateError,
    },
    /// A path that must be there is not, or is the wrong thing.
    #[error("{origin}: source {path} of {target} is {found}")]
    Source {
        /// The map line.
        origin: Origin,
        /// Where it should appear.
        target: AbsPath,
        /// The host's path.
        path: AbsPath,
        /// What is there.
        found: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Two entries for one place.
    #[error("{second}: target {target} is already taken by the entry at {first}")]
    Duplicate {
        /// The place.
        target: AbsPath,
        /// The entry that comes first.
        first: Origin,
        /// The other one.
        second: Origin,
    },
    /// Something below a thing that has no below.
    #[error("{origin}: target {target} lies below {above}, which is {what} ({made_by})")]
    BelowLeaf {
        /// The map line.
        origin: Origin,
        /// The target.
        target: AbsPath,
        /// The file or link.
        above: AbsPath,
        /// What it is.
        what: &'static str,
        /// The entry that makes it so.
        made_by: Origin,
    },
    /// Something at `/` that nothing can stand on.
    #[error("{origin}: a {kind} that is no directory cannot be the root")]
    Root {
        /// The map line.
        origin: Origin,
        /// What kind of entry.
        kind: &'static str,
    },
    /// A mount point that would have to be created in a bound tree.
    #[error(
        "{origin}: mount point {target} lies in {holder}, which is bound from the host, and {path} there is {found}"
    )]
    Mountpoint {
        /// The map line.
        origin: Origin,
        /// The target.
        target: AbsPath,
        /// The bind above it.
        holder: AbsPath,
        /// The host's path of the mount point.
        path: AbsPath,
        /// What is there.
        found: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// A link or directory that would have to be created in a tree that is not ours.
    #[error(
        "{origin}: the {kind} {target} would have to be created in {holder}, which is not a tree of the map's own"
    )]
    NotOurs {
        /// The map line.
        origin: Origin,
        /// What kind of entry.
        kind: &'static str,
        /// The target.
        target: AbsPath,
        /// The mount above it.
        holder: AbsPath,
    },
    /// An entry that an ordinary user cannot have.
    #[error("{origin}: {kind} at {target} cannot be mounted without root")]
    Unprivileged {
        /// The map line.
        origin: Origin,
        /// What kind.
        kind: &'static str,
        /// The target.
        target: AbsPath,
    },
    /// What is shared cannot differ from one of those who share it to another.
    #[error("{origin}: {}", share::why_not(target, scope, what))]
    NotShareable {
        /// The map line.
        origin: Origin,
        /// The entry's target, as written.
        target: String,
        /// Who shares it.
        scope: &'static str,
        /// The variable or key.
        what: String,
    },
    /// What the namespace would be called is no name.
    #[error(
        "{origin}: scope_name {template:?} comes to {value:?}, and a name has 1 to 64 letters, digits, _ and -"
    )]
    ScopeName {
        /// The profile.
        origin: Origin,
        /// As written.
        template: String,
        /// What it comes to.
        value: String,
    },
    /// The scope that was asked for takes a name.
    #[error("{origin}: the scope `named` needs a `scope_name`, and this profile has none")]
    NoScopeName {
        /// The profile.
        origin: Origin,
    },
    /// The shell is this program.
    #[error("{origin}: the login shell of {user} is {shell}, which would start itself for ever")]
    ShellIsUs {
        /// The profile.
        origin: Origin,
        /// The user.
        user: String,
        /// The shell.
        shell: AbsPath,
    },
}

impl PlanError {
    /// Stable, for machines: `source`.
    pub fn id(&self) -> &'static str {
        match self {
            Self::Kernel { .. } | Self::Unsupported { .. } => "kernel",
            Self::NeedsWall { .. } => "needs-wall",
            Self::NotYourself { .. } | Self::NeedsRoot(_) | Self::NoRight(_) => "needs-root",
            Self::NoSuchProfile { .. } | Self::NoMatch { .. } => "no-profile",
            Self::Template { .. } => "no-value",
            Self::Source { .. } => "source",
            Self::Duplicate { .. } => "duplicate",
            Self::BelowLeaf { .. } => "below-file",
            Self::Root { .. } => "root",
            Self::Mountpoint { .. } => "mount-point",
            Self::NotOurs { .. } => "not-ours",
            Self::Unprivileged { .. } => "unprivileged",
            Self::NotShareable { .. } => "not-shareable",
            Self::ScopeName { .. } | Self::NoScopeName { .. } => "scope-name",
            Self::ShellIsUs { .. } => "shell",
        }
    }

    /// The line of the map that is to blame, where one is.
    pub fn origin(&self) -> Option<&Origin> {
        match self {
            Self::Template { origin, .. }
            | Self::Source { origin, .. }
            | Self::Duplicate { second: origin, .. }
            | Self::BelowLeaf { origin, .. }
            | Self::Root { origin, .. }
            | Self::Mountpoint { origin, .. }
            | Self::NotOurs { origin, .. }
            | Self::Unprivileged { origin, .. }
            | Self::NotShareable { origin, .. }
            | Self::ScopeName { origin, .. }
            | Self::Unsupported { origin, .. }
            | Self::NeedsWall { origin, .. }
            | Self::ShellIsUs { origin, .. }
            | Self::NoScopeName { origin } => Some(origin),
            Self::Kernel { .. }
            | Self::NotYourself { .. }
            | Self::NeedsRoot(_)
            | Self::NoRight(_)
            | Self::NoSuchProfile { .. }
            | Self::NoMatch { .. } => None,
        }
    }

    /// What the reader can do about it.
    pub fn help(&self) -> String {
        match self {
            Self::Kernel { .. } => {
                "boot a newer kernel; no older way of mounting is safe enough to fall back to".to_owned()
            }
            Self::Unsupported { .. } => {
                "boot a newer kernel, or one that has it switched on, or take the setting out of the map"
                    .to_owned()
            }
            Self::NeedsWall { .. } => {
                "set wall = \"pidns\", or take these keys out (isolation = \"strict\" brings them along)"
                    .to_owned()
            }
            Self::NotYourself { .. } => "run it as root, or without --user".to_owned(),
            Self::NoRight(_) => {
                "give it the capability: in a container by its options, in a unit by CapabilityBoundingSet="
                    .to_owned()
            }
            Self::NeedsRoot(_) => "run it as root".to_owned(),
            Self::NoSuchProfile { .. } => "name one of them with --profile, or leave it out".to_owned(),
            Self::NoMatch { .. } => {
                "add a profile that matches, or choose one with --profile NAME".to_owned()
            }
            Self::Template { .. } => "give the session that value, or take the variable out".to_owned(),
            Self::Source { remedy, .. } => (*remedy).to_owned(),
            Self::Duplicate { .. } => "remove one of the two entries".to_owned(),
            Self::BelowLeaf { above, .. } => format!("remove the entry, or make {above} a directory"),
            Self::Root { .. } => "make / a tmpfs, or bind a directory there".to_owned(),
            Self::Mountpoint { path, wanted, .. } => {
                format!("make {path} {wanted} on the host: nothing is ever created in a bound tree")
            }
            Self::NotOurs { holder, .. } => {
                format!("create it on the host, or make {holder} a tmpfs and bind what it needs below it")
            }
            Self::Unprivileged { .. } => "mark the entry `optional = true`, or enter as root".to_owned(),
            Self::NotShareable { .. } => share::REMEDY.to_owned(),
            Self::ScopeName { .. } => "change the template, or the names of the groups".to_owned(),
            Self::NoScopeName { .. } => "add one, for instance scope_name = \"project-%g\"".to_owned(),
            Self::ShellIsUs { .. } => "set `shell = \"/bin/bash\"` in the profile".to_owned(),
        }
    }
}

/// Every reason why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanErrors {
    /// At least one.
    pub errors: Vec<PlanError>,
}

impl From<PlanError> for PlanErrors {
    fn from(error: PlanError) -> Self {
        Self { errors: vec![error] }
    }
}

impl fmt::Display for PlanErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let indent = if self.errors.len() > 1 { "  " } else { "" };
        for (at, error) in self.errors.iter().enumerate() {
            let separator = if at == 0 { "" } else { "\n" };
            write!(f, "{separator}{indent}{error}")?;
            let mut cause = std::error::Error::source(error);
            while let Some(source) = cause {
                write!(f, ": {source}")?;
                cause = source.source();
            }
        }
        Ok(())
    }
}

impl std::error::Error for PlanErrors {}

impl From<PlanErrors> for Error {
    fn from(errors: PlanErrors) -> Self {
        let kind = match errors.errors.first() {
            Some(PlanError::Kernel { .. } | PlanError::Unsupported { .. }) => ErrorKind::Host,
            _ => ErrorKind::Plan,
        };
        // As many as can be taken in at once; with those done, the others are told.
        let mut help: Vec<String> = Vec::new();
        for remedy in errors.errors.iter().map(PlanError::help) {
            if help.len() < REMEDIES_MAX && !help.contains(&remedy) {
                help.push(remedy);
            }
        }
        Self::new(kind, "there is no plan for this login").caused_by(errors).help(help.join("; "))
    }
}
