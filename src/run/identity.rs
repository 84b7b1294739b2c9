//! Becoming the user, in the one order that works, and proof that it did.

use rustix::io::Errno;

use crate::plan::step::Identity;
use crate::sys;
use crate::sys::identity::{Credentials, StatusFile};

/// Why a process did not become who it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum BecomeError {
    /// A call was refused.
    #[error(transparent)]
    Call(#[from] sys::Error),
    /// The Landlock domain could not be entered.
    #[error("landlock_restrict_self()")]
    Landlock(#[source] Box<landlock::RulesetError>),
    /// Every call succeeded, and still the kernel says otherwise.
    #[error("the kernel says that {what} is {is}, and it must be {must}")]
    Unproven { what: &'static str, is: String, must: String },
    /// A dropped privilege came back.
    #[error("uid 0 could be had back after it was given up")]
    Reversible,
}

/// Gives up everything that `who` does not have.
///
/// Each step needs a right that a later one takes away: groups before the group id, the filter, the bounding set and the
/// secure bits before the user id, and no_new_privs last.
pub(super) fn become_user(
    who: &Identity,
    in_user_namespace: bool,
    status: Option<StatusFile>,
) -> Result<(), BecomeError> {
    let status = status.ok_or_else(|| sys::Error::new("/proc/self/status was not opened", Errno::INVAL))?;
    // What root keeps; everybody else keeps nothing.
    let keep = if who.uid == 0 && !in_user_namespace { who.capabilities } else { 0 };
    if who.landlock {
        sys::landlock::enter_scope().map_err(|error| BecomeError::Landlock(Box::new(error)))?;
    }
    if let Some(groups) = &who.groups {
        sys::identity::set_groups(groups)?;
    }
    sys::identity::set_gid(who.gid)?;
    if who.refuse_tiocsti {
        sys::seccomp::refuse_terminal_injection()?;
    }
    sys::capability::clear_ambient()?;
    sys::capability::limit_bounding_set(who.capabilities)?;
    sys::capability::reset_secure_bits()?;
    sys::identity::set_uid(who.uid)?;
    sys::capability::limit_sets(keep)?;
    // After the user id, so that the new keyring is the user's.
    sys::identity::leave_keyring()?;
    if who.no_new_privs {
        sys::capability::set_no_new_privs()?;
    }
    sys::process::set_umask(who.umask);
    prove(who, keep, &status.read()?)?;
    if who.uid != 0 && sys::identity::set_uid(0).is_ok() {
        return Err(BecomeError::Reversible);
    }
    Ok(())
}

/// Compares what the kernel says of this process with what it should be.
fn prove(who: &Identity, keep: u64, now: &Credentials) -> Result<(), BecomeError> {
    let mut checks = vec![
        ("the user id", format!("{:?}", now.uids), format!("{:?}", [who.uid; 4])),
        ("the group id", format!("{:?}", now.gids), format!("{:?}", [who.gid; 4])),
        (
            "the set of capabilities (inheritable, permitted, effective, ambient)",
            format!("{:x?}", now.capabilities),
            format!("{:x?}", [0, now.capabilities[1] & keep, now.capabilities[1] & keep, 0]),
        ),
        ("the bounding set", format!("{:x}", now.bounding), format!("{:x}", now.bounding & who.capabilities)),
    ];
    if let Some(groups) = &who.groups {
        checks.push(("the list of groups", format!("{:?}", now.groups), format!("{groups:?}")));
    }
    if who.refuse_tiocsti {
        checks.push(("the presence of a seccomp filter", now.filtered.to_string(), true.to_string()));
    }
    if who.no_new_privs {
        checks.push(("no_new_privs", now.no_new_privs.to_string(), true.to_string()));
    }
    match checks.into_iter().find(|(_, is, must)| is != must) {
        None => Ok(()),
        Some((what, is, must)) => Err(BecomeError::Unproven { what, is, must }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bob() -> (Identity, Credentials) {
        let who = Identity {
            uid: 4242,
            gid: 100,
            groups: Some(vec![100, 300]),
            capabilities: 0x400,
            no_new_privs: true,
            refuse_tiocsti: true,
            landlock: false,
            umask: 0o022,
        };
        let now = Credentials {
            uids: [4242; 4],
            gids: [100; 4],
            groups: vec![100, 300],
            capabilities: [0; 4],
            bounding: 0x400,
            no_new_privs: true,
            filtered: true,
        };
        (who, now)
    }

    #[test]
    fn each_privilege_that_is_left_over_is_noticed() {
        let (who, right) = bob();
        assert!(prove(&who, 0, &right).is_ok());
        let wrong: Vec<(&str, Credentials)> = vec![
            ("saved uid", Credentials { uids: [4242, 4242, 0, 4242], ..right.clone() }),
            ("file system gid", Credentials { gids: [100, 100, 100, 0], ..right.clone() }),
            ("extra group", Credentials { groups: vec![0, 100, 300], ..right.clone() }),
            ("inheritable", Credentials { capabilities: [1, 0, 0, 0], ..right.clone() }),
            ("permitted", Credentials { capabilities: [0, 1, 0, 0], ..right.clone() }),
            ("effective", Credentials { capabilities: [0, 0, 1, 0], ..right.clone() }),
            ("ambient", Credentials { capabilities: [0, 0, 0, 1], ..right.clone() }),
            ("bounding", Credentials { bounding: 0x401, ..right.clone() }),
            ("no_new_privs", Credentials { no_new_privs: false, ..right.clone() }),
            ("no filter", Credentials { filtered: false, ..right.clone() }),
        ];
        for (what, now) in wrong {
            assert!(prove(&who, 0, &now).is_err(), "{what} was not noticed");
        }
    }
}
