//! `sessionctl selftest`: the known attacks, tried on this host by this map, and whether each was stopped.
//!
//! ```text
//! room: a file, a process, a socket ... outside
//!    |-- the user's rights, no view -->  attack  --> does it get through at all on this host?
//!    `-- the user's rights, a view  -->  attack  --> did it get through?
//!          `-- root of a user namespace --> once more
//! ```
//!
//! An attack counts as stopped when what it is after was not reached. One that is stopped on this host without a view as
//! well says nothing about the view, and is told apart. What an attack does to whom, it does to processes and files that
//! are there for it.
#![forbid(unsafe_code)]

mod attacks;
mod report;
mod room;

use std::os::fd::AsFd;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::model::policy::Wall;
use crate::plan::Plan;
use crate::run::{self, Ground};
use crate::sys;

use attacks::{ATTACKS, Against, Attack, Target, Told};
use room::Victim;

pub use report::{Attempt, Outcome, Report};
pub use room::{Attacker, HOME, Room};

/// What was told from inside, in the order of the attacks.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Seen {
    as_user: Vec<Told>,
    /// Of those that are tried so.
    as_own_root: Vec<Option<Told>>,
}

fn failed(error: sys::Error) -> Error {
    Error::new(ErrorKind::Host, "the attacks cannot be tried").caused_by(error)
}

/// Makes the room for attacks by this user. It is a mount namespace that this process is in from here on; facts for the plan
/// have to be asked for there.
pub fn prepare(attacker: Attacker) -> Result<Room, Error> {
    Room::open(attacker).map_err(|error| {
        failed(error).help("root needs CAP_SYS_ADMIN, and /run/session-sandbox on a file system to mount on")
    })
}

/// Tries all attacks on the session that `plan`, which shares no view, opens.
pub fn selftest(plan: &Plan, ground: &Ground, room: &Room) -> Result<Report, Error> {
    let without_view = without_view(room)?;
    let victim = Victim::start(room).map_err(failed)?;
    let target = Target { room, victim: victim.number(), environment: victim.environment, is_shown: false };
    let told =
        run::look_around(plan, ground, || serde_json::to_vec(&attack_all(target)).unwrap_or_default())?;
    let seen: Seen = serde_json::from_slice(&told).map_err(|error| {
        Error::new(ErrorKind::Host, "the attacks have ended without a word")
            .caused_by(error)
            .help("try again")
    })?;
    let mut report = Report::of(plan);
    for (place, attack) in ATTACKS.iter().enumerate() {
        let everywhere = matches!(without_view.get(place), Some(Some(Told::Stopped(_))));
        let own_root = seen.as_own_root.get(place).cloned().flatten();
        let both = [(false, seen.as_user.get(place).cloned()), (true, own_root)];
        for (as_own_root, told) in both {
            let Some(told) = told else { continue };
            let told = confirmed(attack, told, &victim)?;
            let outcome = match told {
                Told::Through(_) if is_left_open(attack.against, plan) => Outcome::Open,
                Told::Through(_) => Outcome::Through,
                // Without a view it was tried as the user alone.
                Told::Stopped(_) if everywhere && !as_own_root => Outcome::StoppedEverywhere,
                Told::Stopped(_) => Outcome::Stopped,
                Told::Untried(_) => Outcome::Untried,
            };
            let (Told::Through(told) | Told::Stopped(told) | Told::Untried(told)) = told;
            let got_through = matches!(outcome, Outcome::Through | Outcome::Open);
            report.attempts.push(Attempt {
                id: attack.id,
                as_own_root,
                what: attack.what,
                outcome,
                told,
                help: got_through.then(|| remedy(attack.against)),
            });
        }
    }
    Ok(report)
}

/// A signal has got through when it has arrived.
fn confirmed(attack: &Attack, told: Told, victim: &Victim) -> Result<Told, Error> {
    match (attack.signal, told) {
        (Some(signal), Told::Through(_)) if !victim.has_received(signal).map_err(failed)? => {
            Ok(Told::Stopped("no signal has arrived".to_owned()))
        }
        (_, told) => Ok(told),
    }
}

/// Attacks that a wall has to stop, by the user and outside of any view: what is stopped there is stopped by something
/// else.
fn without_view(room: &Room) -> Result<Vec<Option<Told>>, Error> {
    let victim = Victim::start(room).map_err(failed)?;
    let target = Target { room, victim: victim.number(), environment: victim.environment, is_shown: false };
    let is_told_by_view = |against| matches!(against, Against::View | Against::Rights);
    ATTACKS
        .iter()
        .map(|attack| {
            if is_told_by_view(attack.against) {
                return Ok(None);
            }
            let told = in_child(|| {
                let Attacker { uid, gid, groups, .. } = &room.attacker;
                // The session keyring stays: to leave it is what a view does.
                let become_user = sys::identity::set_groups(groups)
                    .and_then(|()| sys::identity::set_gid(*gid))
                    .and_then(|()| sys::identity::set_uid(*uid));
                match become_user {
                    Ok(()) => (attack.run)(&target),
                    Err(error) => Told::Untried(error.reason()),
                }
            })?;
            confirmed(attack, told, &victim).map(Some)
        })
        .collect()
}

/// In the view, as the user.
fn attack_all(mut target: Target<'_>) -> Seen {
    let mut seen = Seen::default();
    for attack in ATTACKS {
        let told = in_child(|| (attack.run)(&target));
        let told = told.unwrap_or_else(|error| Told::Untried(error.to_string()));
        // The first of all: whether what others are after is there for everybody.
        target.is_shown |= attack.id == "by-path" && matches!(told, Told::Through(_));
        seen.as_user.push(told);
        let as_own_root = attack.as_own_root.then(|| in_child(|| as_own_root(&attack, &target)));
        seen.as_own_root
            .push(as_own_root.map(|told| told.unwrap_or_else(|error| Told::Untried(error.to_string()))));
    }
    seen
}

fn as_own_root(attack: &Attack, target: &Target<'_>) -> Told {
    let Attacker { uid, gid, alone, .. } = target.room.attacker;
    if alone {
        // As after the start of a program. Where others have the same user id, they could look into this copy of root's
        // memory; so there the ids are not mapped, for which it is needed.
        let _ = sys::process::hide_memory(false);
    }
    if let Err(error) = sys::namespace::unshare_users() {
        return Told::Stopped(format!("there are no user namespaces for it: {}", error.reason()));
    }
    let _ = std::fs::write("/proc/self/setgroups", "deny")
        .and_then(|()| std::fs::write("/proc/self/uid_map", format!("0 {uid} 1")))
        .and_then(|()| std::fs::write("/proc/self/gid_map", format!("0 {gid} 1")));
    (attack.run)(target)
}

/// In a process of its own, which may end as it likes.
fn in_child(attack: impl FnOnce() -> Told) -> Result<Told, Error> {
    let (told, _) = sys::process::from_child(|socket| {
        let told = serde_json::to_vec(&attack()).unwrap_or_default();
        let _ = sys::path::write_all(socket.as_fd(), &told);
    })
    .map_err(failed)?;
    let ended = || Told::Untried("the process ended before it could tell".to_owned());
    Ok(serde_json::from_slice(&told).unwrap_or_else(|_| ended()))
}

/// Does the map say that this is not to be stopped?
fn is_left_open(against: Against, plan: &Plan) -> bool {
    match against {
        Against::Network => !plan.namespace.apart.net && plan.report.wall != Wall::Landlock,
        Against::Terminal => !plan.identity.refuse_tiocsti,
        Against::Wall | Against::Start | Against::View | Against::Rights => false,
    }
}

fn remedy(against: Against) -> &'static str {
    match against {
        Against::Wall => "wall = \"pidns\" (isolation = \"contained\")",
        Against::Network => {
            "net = \"loopback\", for who needs no network; or wall = \"landlock\" at doors other than PAM"
        }
        Against::Terminal => "tiocsti = \"refuse\", or sysctl dev.tty.legacy_tiocsti=0",
        Against::Start => "this must not happen: SECURITY.md says whom to tell",
        Against::View => {
            "take out of the map what shows it, or make it read-only; if nothing does, see SECURITY.md"
        }
        Against::Rights => {
            "capabilities = [] and no_new_privs = true; if they are, this must not happen: see SECURITY.md"
        }
    }
}
