//! Where the homes are.

use std::collections::BTreeMap;

use crate::model::path::AbsPath;

use super::found::{Found, User};
use super::storage;
use crate::paper::{Entry, Paper, listed, shown, usable};

/// Homes are here even where `/etc/passwd` has no user: others come from a directory service.
const USUAL: [&str; 8] =
    ["/home", "/homes", "/users", "/export/home", "/export/homes", "/net/home", "/nfs/home", "/nfs/homes"];
/// So many folders of homes get an example.
const EXAMPLES_MAX: usize = 4;

/// Where a home lies, as far as it follows a rule.
enum Layout {
    /// Below this folder, with the user's name: the folder, and how a map would write it.
    Below(AbsPath, String),
    /// Anywhere.
    Odd,
}

fn layout(user: &User) -> Option<Layout> {
    let home = usable(&user.home)?;
    let folder = home.parent()?;
    if home.file_name() != Some(user.name.as_str()) || folder.is_root() {
        return Some(Layout::Odd);
    }
    let above = folder.parent().filter(|above| !above.is_root());
    let is_groups = user.group.as_deref().is_some_and(|group| folder.file_name() == Some(group));
    Some(match above {
        Some(above) if is_groups => {
            let text = format!("{above}/%g/%u");
            Layout::Below(above, text)
        }
        _ => {
            let text = format!("{folder}/%u");
            Layout::Below(folder, text)
        }
    })
}

/// The folders that homes lie in.
pub(super) fn bases(found: &Found) -> Vec<AbsPath> {
    let of_users = found.ordinary().filter(|user| user.logs_in).filter_map(|user| match layout(user) {
        Some(Layout::Below(base, _)) => Some(base),
        _ => None,
    });
    let usual = USUAL.iter().filter_map(|base| AbsPath::new(base).ok());
    let mut bases: Vec<AbsPath> = of_users.chain(usual).collect();
    bases.sort_unstable();
    bases.dedup();
    bases
}

/// The bases that are there: users have their homes in them, or a server has.
fn known(found: &Found) -> Vec<AbsPath> {
    let used: Vec<AbsPath> = found
        .ordinary()
        .filter(|user| user.logs_in)
        .filter_map(|user| match layout(user) {
            Some(Layout::Below(base, _)) => Some(base),
            _ => None,
        })
        .collect();
    let mut bases = bases(found);
    bases.retain(|base| used.contains(base) || found.has(base.as_str()) || storage::is_at(found, base));
    bases
}

/// Writes the entry for homes, and examples.
pub(super) fn write(found: &Found, paper: &mut Paper) {
    paper.heading("Homes");
    let mut layouts: BTreeMap<String, usize> = BTreeMap::new();
    let mut odd = Vec::new();
    for user in found.ordinary().filter(|user| user.logs_in) {
        match layout(user) {
            Some(Layout::Below(_, text)) => *layouts.entry(text).or_default() += 1,
            Some(Layout::Odd) => odd.push(format!("{} of {}", user.home, user.name)),
            None => {}
        }
    }
    let users = |count: usize| if count == 1 { "1 user".to_owned() } else { format!("{count} users") };
    let rules: Vec<String> =
        layouts.iter().map(|(text, count)| format!("{text} ({})", users(*count))).collect();
    let mut where_they_are = if rules.is_empty() {
        "/etc/passwd has no user with a home in one of the usual places.".to_owned()
    } else {
        format!("By /etc/passwd homes lie in {}.", listed(rules))
    };
    if !odd.is_empty() {
        where_they_are.push_str(&format!(" Others: {}.", listed(odd)));
    }
    let mut entry = Entry::at("%h", "bind").open_as_user().follow().why(where_they_are);
    let bases = known(found);
    let mut is_elsewhere = false;
    for base in &bases {
        let origin = storage::origin(found, base);
        let below = storage::below(found, base);
        is_elsewhere |= origin.is_some() || !below.is_empty();
        if let Some(origin) = origin {
            let ending = if found.autofs.iter().any(|map| map.at == base.as_str()) {
                "a login has its own home mounted before it is shown"
            } else {
                "opened with the user's rights, because a server may refuse root"
            };
            entry = entry.why(format!("{origin}: {ending}."));
        } else if !below.is_empty() {
            let below = listed(below.iter().map(AbsPath::as_str));
            entry = entry.why(format!("Below {} there are mounts: {below}.", shown(base.as_str())));
        }
    }
    entry = entry.why(
        "Each user sees one home, the own one. It is opened with the user's rights: what a user can change is never \
         looked at as root. Links on the way are followed where root made them, and an account without a home has none \
         here.",
    );
    if is_elsewhere {
        entry = entry.slave();
    }
    paper.entry(entry.optional());
    for base in bases.iter().filter(|base| usable(base.as_str()).is_some()).take(EXAMPLES_MAX) {
        if paper.has(base) {
            continue;
        }
        let why = format!(
            "The homes of others as well, as far as their rights go: all of {}.",
            shown(base.as_str())
        );
        let mut entry = Entry::bind(base.clone()).open_as_user().follow().why(why);
        if storage::origin(found, base).is_some() || !storage::below(found, base).is_empty() {
            entry = entry.slave();
        }
        paper.entry(entry.optional().example());
    }
}
