//! All users of the host at once, for whoever checks a map before somebody logs in.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};

use super::subject::with_groups;
use crate::model::subject::{Door, Subject, lets_in};
use crate::sys;
use crate::sys::user::{Account, GroupEntry};

/// The users and groups that the host's name services list.
#[derive(Debug)]
pub struct Census {
    accounts: Vec<Account>,
    groups: Vec<GroupEntry>,
    /// Made only where everybody is asked about: for a few, looking through the groups is faster.
    index: OnceCell<Index>,
}

/// Groups, by their places.
#[derive(Debug, Default)]
struct Index {
    by_member: HashMap<String, Vec<usize>>,
    by_gid: HashMap<u32, usize>,
}

/// Takes down everybody who can log in, and every group.
pub fn login_users() -> Census {
    let can_log_in =
        |account: &Account| account.uid != 0 && lets_in(account.shell.as_deref().unwrap_or_default());
    let accounts = sys::user::everybody().into_iter().filter(can_log_in).collect();
    Census { accounts, groups: sys::user::groups(), index: OnceCell::new() }
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

    /// The places of the users of this name.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = usize> + 'a {
        let accounts = self.accounts.iter().enumerate();
        accounts.filter(move |(_, account)| account.name == name).map(|(at, _)| at)
    }

    /// The name of the user at this place.
    pub fn name(&self, at: usize) -> Option<&str> {
        self.accounts.get(at).map(|account| account.name.as_str())
    }

    /// The names of all who can log in.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.accounts.iter().map(|account| account.name.as_str())
    }

    /// The names of all groups.
    pub fn group_names(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().map(|group| group.name.as_str())
    }

    /// The ids of those of these groups that there are; also of those that a directory service knows and does not list.
    pub fn group_ids<'a>(&self, names: impl Iterator<Item = &'a String>) -> BTreeMap<String, u32> {
        let id = |name: &String| match self.group(name) {
            Some(group) => Some(group.gid),
            None => sys::user::group_id(name).ok().flatten(),
        };
        names.filter_map(|name| Some((name.clone(), id(name)?))).collect()
    }

    /// The group of this name.
    pub fn group(&self, name: &str) -> Option<&GroupEntry> {
        self.groups.iter().find(|group| group.name == name)
    }

    /// The places of the users that are in this group, as their primary group or otherwise.
    pub fn members<'a>(&'a self, group: &'a GroupEntry) -> impl Iterator<Item = usize> + 'a {
        let is_in = |account: &Account| account.gid == group.gid || group.members.contains(&account.name);
        self.accounts.iter().enumerate().filter(move |(_, account)| is_in(account)).map(|(at, _)| at)
    }

    /// Is the user at this place in this group?
    pub fn is_in(&self, at: usize, group: &GroupEntry) -> bool {
        let account = self.accounts.get(at);
        account.is_some_and(|account| account.gid == group.gid || group.members.contains(&account.name))
    }

    /// Gets ready to be asked about everybody.
    pub fn expect_everybody(&self) {
        self.index.get_or_init(|| {
            let mut index = Index::default();
            for (at, group) in self.groups.iter().enumerate() {
                index.by_gid.entry(group.gid).or_insert(at);
                for member in &group.members {
                    index.by_member.entry(member.clone()).or_default().push(at);
                }
            }
            index
        });
    }

    /// One of them, or why this account can be no user of ours.
    pub fn subject(&self, at: usize, door: Door) -> Option<Result<Subject, String>> {
        let account = self.accounts.get(at)?.clone();
        let (mut groups, primary): (Vec<u32>, _) = match self.index.get() {
            Some(index) => {
                let places = index.by_member.get(&account.name).into_iter().flatten();
                let own = places.filter_map(|at| self.groups.get(*at)).map(|group| group.gid);
                let primary = index.by_gid.get(&account.gid).and_then(|at| self.groups.get(*at));
                (own.collect(), primary)
            }
            None => {
                let own = self.groups.iter().filter(|group| group.members.contains(&account.name));
                let primary = self.groups.iter().find(|group| group.gid == account.gid);
                (own.map(|group| group.gid).collect(), primary)
            }
        };
        groups.push(account.gid);
        let group_name = primary.map(|group| group.name.clone());
        Some(with_groups(account, groups, group_name, door).map_err(|error| error.without_remedy()))
    }
}
