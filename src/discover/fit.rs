//! Homes that get in the way of an entry: a login of such a user would be refused.

use crate::model::name::UserName;
use crate::model::path::AbsPath;

use super::found::Found;
use crate::paper::{Entry, Paper, shown};

/// A user whom the map cannot have, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    /// The user's name.
    pub(super) user: String,
    /// The home.
    pub(super) home: String,
}

/// How a home and an entry get along.
enum Meeting {
    /// They do.
    Fine,
    /// Both want one place, and the map makes sense without the entry.
    TakeOut(AbsPath),
    /// They never can.
    Never,
}

/// Takes out what is in the way of a home, and gives those users whose homes are in the way of what cannot be taken out.
pub(super) fn fit(found: &Found, paper: &mut Paper) -> Vec<Misfit> {
    let mut misfits: Vec<Misfit> = Vec::new();
    let mut taken: Vec<(AbsPath, String)> = Vec::new();
    for user in found.ordinary() {
        // Who has such a name, or a home that is no path, is refused by any map, with the reason.
        if UserName::new(&user.name).is_err() {
            continue;
        }
        let Ok(home) = AbsPath::new(&user.home) else { continue };
        // The entry for the user's own sockets stands there.
        let is_own_run = user.home == format!("/run/user/{}", user.uid);
        let meetings: Vec<Meeting> = paper.live().map(|entry| meeting(&home, entry)).collect();
        if is_own_run || meetings.iter().any(|meeting| matches!(meeting, Meeting::Never)) {
            misfits.push(Misfit { user: user.name.clone(), home: user.home.clone() });
            continue;
        }
        for meeting in meetings {
            if let Meeting::TakeOut(path) = meeting {
                taken.push((path, user.name.clone()));
            }
        }
    }
    for (path, user) in taken {
        let why = format!(
            "Left out: {} is the home of {}, who sees it as such. Two entries cannot have one place.",
            shown(path.as_str()),
            shown(&user)
        );
        paper.take_out(&path, why);
    }
    misfits.sort_by(|one, other| one.user.cmp(&other.user));
    misfits.dedup_by(|one, other| one.user == other.user);
    misfits
}

fn meeting(home: &AbsPath, entry: &Entry) -> Meeting {
    // On a link nothing can stand; at a link's own place a home stands in its stead.
    if entry.paths.iter().any(|(at, is_link)| if *is_link { home.is_below(at) } else { at == home }) {
        return Meeting::Never;
    }
    let Some(at) = entry.path() else { return Meeting::Fine };
    if at == home {
        return if entry.is_bind() && entry.is_optional {
            Meeting::TakeOut(at.clone())
        } else {
            Meeting::Never
        };
    }
    let closed = ["proc", "sysfs", "dev", "devpts", "mqueue", "symlink"].contains(&entry.kind);
    if home.is_below(at) && (closed || entry.is_bind() && at.as_str().starts_with("/proc/")) {
        return Meeting::Never;
    }
    // In a home nothing is made: what is bound there is there, and anything else might not be.
    if at.is_below(home) && !entry.is_bind() {
        return Meeting::Never;
    }
    Meeting::Fine
}
