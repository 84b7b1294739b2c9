//! All users of the host at once, for whoever checks a map before somebody logs in.

use std::collections::{BTreeMap, HashMap};

use super::subject::with_groups;
use crate::model::subject::{Door, Subject};
use crate::sys;
use crate::sys::user::Account;

/// Shells that let nobody in.
const NO_SHELLS: [&str; 6] = ["nologin", "false", "sync", "shutdown", "halt", "true"];

/// The users and groups that the host's name services list.
#[derive(Debug, Default)]
pub struct Census {
    accounts: Vec<Account>,
    /// The id of each group.
    pub groups: BTreeMap<String, u32>,
    group_names: HashMap<u32, String>,
    memberships: HashMap<String, Vec<u32>>,
}

/// Takes down everybody who can log in, and every group.
pub fn login_users() -> Census {
    let mut census = Census::default();
    for group in sys::user::groups() {
        for member in group.members {
            census.memberships.entry(member).or_default().push(group.gid);
        }
        census.group_names.entry(group.gid).or_insert_with(|| group.name.clone());
        census.groups.entry(group.name).or_insert(group.gid);
    }
    let can_log_in = |account: &Account| {
        let shell = account.shell.as_deref().unwrap_or_default().rsplit('/').next().unwrap_or_default();
        account.uid != 0 && !NO_SHELLS.contains(&shell)
    };
    census.accounts = sys::user::everybody().into_iter().filter(can_log_in).collect();
    census
}

impl Census {
    /// How many can log in.
    pub fn len(&self) -> usize {
        self.accounts.len()
    }

    /// Can nobody?
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// The names of all that can log in.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.accounts.iter().map(|account| account.name.as_str())
    }

    /// One of them, or why this account can be no user of ours.
    pub fn subject(&self, at: usize, door: Door) -> Option<Result<Subject, String>> {
        let account = self.accounts.get(at)?.clone();
        let mut groups = self.memberships.get(&account.name).cloned().unwrap_or_default();
        groups.push(account.gid);
        let group_name = self.group_names.get(&account.gid).cloned();
        Some(with_groups(account, groups, group_name, door).map_err(|error| error.without_remedy()))
    }

    /// Is the user at this place in one of these groups, by name or by number?
    pub fn is_in(&self, at: usize, group: u32) -> bool {
        self.accounts.get(at).is_some_and(|account| {
            account.gid == group
                || self.memberships.get(&account.name).is_some_and(|groups| groups.contains(&group))
        })
    }
}
