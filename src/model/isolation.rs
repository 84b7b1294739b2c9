//! How far a session is kept apart from the rest of the host: three levels, and the parts that they are made of.
//!
//! | part | `view` | `contained` | `strict` |
//! |---|---|---|---|
//! | wall towards processes of the same user | none | pidns | pidns |
//! | capability bounding set | as it was | empty | empty |
//! | no_new_privs | no | yes | yes |
//! | TIOCSTI and TIOCLINUX | as the kernel has them | refused | refused |
//! | IPC, UTS and control group namespaces | the host's | the host's | own |
//! | processes of the user outside | ignored | ignored | no login |
//!
//! A network namespace is in no level: a login without a network is for few.

use serde::{Deserialize, Serialize};

use super::policy::Wall;

/// A level, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// What is seen is another root, and nothing else is changed: no boundary towards somebody who wants out.
    View,
    /// The session cannot reach what runs outside, and gains no rights.
    Contained,
    /// And it shares nothing with the rest of the host that a map can take away.
    Strict,
}

impl Isolation {
    /// The map's words.
    pub const WORDS: [(&str, Self); 3] =
        [("view", Self::View), ("contained", Self::Contained), ("strict", Self::Strict)];

    /// The map's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Contained => "contained",
            Self::Strict => "strict",
        }
    }

    /// What it is made of.
    pub fn parts(self) -> Parts {
        let contained = self >= Self::Contained;
        let strict = self == Self::Strict;
        Parts {
            wall: if contained { Wall::Pidns } else { Wall::None },
            no_capabilities: contained,
            no_new_privs: contained,
            tiocsti: if contained { Tiocsti::Refuse } else { Tiocsti::Allow },
            apart: Apart { ipc: strict, uts: strict, cgroup: strict, net: false },
            on_outside: if strict { OnOutside::Deny } else { OnOutside::Ignore },
        }
    }

    /// The strongest level all of whose parts are among `parts`, or are weaker than theirs.
    pub fn of(parts: &Parts) -> Self {
        let contained = parts.wall != Wall::None
            && parts.no_capabilities
            && parts.no_new_privs
            && parts.tiocsti == Tiocsti::Refuse;
        let strict = parts.wall == Wall::Pidns
            && parts.apart.ipc
            && parts.apart.uts
            && parts.apart.cgroup
            && matches!(parts.on_outside, OnOutside::Deny | OnOutside::Kill);
        match (contained, strict) {
            (true, true) => Self::Strict,
            (true, false) => Self::Contained,
            (false, _) => Self::View,
        }
    }
}

/// The parts of a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// What stands between a session and processes of the same uid outside.
    pub wall: Wall,
    /// Is the capability bounding set empty?
    pub no_capabilities: bool,
    /// `PR_SET_NO_NEW_PRIVS`.
    pub no_new_privs: bool,
    /// May a session type on its terminal in another's place?
    pub tiocsti: Tiocsti,
    /// Namespaces of its own.
    pub apart: Apart,
    /// What a login does that finds processes of its user outside.
    pub on_outside: OnOutside,
}

/// Namespaces that a view has of its own, besides those for mounts and processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Apart {
    /// System V shared memory, semaphores and queues, and POSIX queues.
    #[serde(default)]
    pub ipc: bool,
    /// The host's name, which root inside could change otherwise.
    #[serde(default)]
    pub uts: bool,
    /// The view's own control group is the highest that can be seen.
    #[serde(default)]
    pub cgroup: bool,
    /// No network but a loopback device of its own; no abstract socket of the host's.
    #[serde(default)]
    pub net: bool,
}

impl Apart {
    /// None at all?
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Everything that `other` has?
    pub fn covers(&self, other: Self) -> bool {
        (self.ipc || !other.ipc)
            && (self.uts || !other.uts)
            && (self.cgroup || !other.cgroup)
            && (self.net || !other.net)
    }

    /// The map's keys for those that there are.
    pub fn words(&self) -> Vec<&'static str> {
        let all = [("ipc", self.ipc), ("uts", self.uts), ("cgroup", self.cgroup), ("net", self.net)];
        all.into_iter().filter(|(_, own)| *own).map(|(word, _)| word).collect()
    }
}

/// What a login does that finds processes of its user outside of every view: each could be asked to do there what the
/// session may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnOutside {
    /// It does not look. (Looking costs as much as there are processes on the host.)
    Ignore,
    /// It says so in the system log.
    Warn,
    /// It ends.
    Deny,
    /// It ends them.
    Kill,
}

impl OnOutside {
    /// The map's words.
    pub const WORDS: [(&str, Self); 4] =
        [("ignore", Self::Ignore), ("warn", Self::Warn), ("deny", Self::Deny), ("kill", Self::Kill)];
}

/// The ioctls by which a program types on a terminal as if it were the keyboard, also on one that it was only lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tiocsti {
    /// As the kernel has them.
    Allow,
    /// Refused by a seccomp filter, where the kernel would allow them (`dev.tty.legacy_tiocsti`).
    Refuse,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_is_the_level_of_its_own_parts() {
        for (_, level) in Isolation::WORDS {
            assert_eq!(Isolation::of(&level.parts()), level);
        }
    }

    #[test]
    fn a_level_without_one_of_its_parts_is_a_lower_one() {
        let whole = Isolation::Strict.parts();
        let weaker = [
            Parts { wall: Wall::None, ..whole },
            Parts { no_capabilities: false, ..whole },
            Parts { no_new_privs: false, ..whole },
            Parts { tiocsti: Tiocsti::Allow, ..whole },
        ];
        assert!(weaker.iter().all(|parts| Isolation::of(parts) == Isolation::View));
        let contained = [
            Parts { wall: Wall::Landlock, ..whole },
            Parts { apart: Apart { ipc: false, ..whole.apart }, ..whole },
            Parts { apart: Apart { uts: false, ..whole.apart }, ..whole },
            Parts { apart: Apart { cgroup: false, ..whole.apart }, ..whole },
            Parts { on_outside: OnOutside::Warn, ..whole },
        ];
        assert!(contained.iter().all(|parts| Isolation::of(parts) == Isolation::Contained));
        assert_eq!(Isolation::of(&Parts { on_outside: OnOutside::Kill, ..whole }), Isolation::Strict);
    }
}
