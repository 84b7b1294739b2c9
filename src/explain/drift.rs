//! In what a view that lives differs from its plan, and how that may have come about.

use command_line::screen::Style;
use command_line::text::{shown as visible, wrap};
use serde::Serialize;

use super::expected::{Expected, expected};
use super::{Account, Screen, words};
use crate::model::mounts::{MountEntry, MountTable};
use crate::model::path::AbsPath;
use crate::model::policy::Origin;
use crate::plan;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Where, inside.
    pub at: String,
    /// What is different.
    pub what: String,
    /// How that may have come about.
    pub because: String,
    /// The line of the map, where one asks for something there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// A view beside its plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Drift {
    /// What is compared: the name of a view, of a session, a process.
    pub name: String,
    /// Whose plan.
    pub user: String,
    /// The profile.
    pub profile: String,
    /// The generation that a login would build now.
    pub generation: String,
    /// The one that the view was built from, if that is on record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub built_from: Option<String>,
    /// Every difference; none is as it should be.
    pub differences: Vec<Difference>,
}

/// Compares what is seen inside, `live`, with the plan, on a host with the mounts `host`.
pub fn drift(
    account: &Account<'_>,
    name: &str,
    built_from: Option<&str>,
    host: &MountTable,
    live: &MountTable,
) -> Drift {
    let wanted = expected(account, host);
    let generation = plan::digest(account.plan);
    let is_old = built_from.is_some_and(|built| built != generation);
    let pairs = pair(&wanted, live);
    let mut differences = Vec::new();
    for (wanted, found) in wanted.iter().zip(&pairs) {
        let found = found.and_then(|at| live.mounts.get(at));
        differences.extend(difference(account, wanted, found, is_old));
    }
    for (_, mount) in live.mounts.iter().enumerate().filter(|(at, _)| !pairs.contains(&Some(*at))) {
        differences.extend(surplus(account, mount, is_old));
    }
    Drift {
        name: name.to_owned(),
        user: account.plan.subject.name.to_string(),
        profile: account.plan.profile.clone(),
        generation,
        built_from: built_from.map(str::to_owned),
        differences,
    }
}

/// Is this mount the one that is wanted, as far as it goes?
type Test = fn(&Expected, &MountEntry) -> bool;

/// For each mount that is wanted the one that comes nearest, each taken once: the same in everything first, then the
/// same but for its restrictions, then anything at that place.
fn pair(wanted: &[Expected], live: &MountTable) -> Vec<Option<usize>> {
    let mut pairs: Vec<Option<usize>> = vec![None; wanted.len()];
    let mut taken = vec![false; live.mounts.len()];
    let tests: [Test; 3] = [
        |wanted, mount| is_same(wanted, mount) && wanted.attributes == mount.attributes,
        is_same,
        |_, _| true,
    ];
    for test in tests {
        for (wanted, pair) in wanted.iter().zip(&mut pairs).filter(|(_, pair)| pair.is_none()) {
            let fits = |(at, mount): &(usize, &MountEntry)| {
                !taken[*at] && mount.point == wanted.point && test(wanted, mount)
            };
            if let Some((at, _)) = live.mounts.iter().enumerate().find(fits) {
                taken[at] = true;
                *pair = Some(at);
            }
        }
    }
    pairs
}

/// The same part of the same file system, whatever its restrictions.
fn is_same(wanted: &Expected, mount: &MountEntry) -> bool {
    // `statmount` has no subtypes, and `mountinfo` has: `fuse.sshfs`.
    let family = |kind: &str| kind.split('.').next().unwrap_or_default().to_owned();
    let unseen = wanted.kind.is_empty();
    unseen
        || (family(&wanted.kind) == family(&mount.kind)
            && wanted.device.is_none_or(|device| device == mount.device)
            && wanted.root.as_ref().is_none_or(|root| *root == mount.root))
}

fn difference(
    account: &Account<'_>,
    wanted: &Expected,
    found: Option<&MountEntry>,
    is_old: bool,
) -> Option<Difference> {
    let step = account.plan.tree.get(wanted.step)?;
    let say = |what: String, because: &str| {
        let at = wanted.point.clone();
        Some(Difference { at, what, because: because.to_owned(), origin: Some(step.origin.clone()) })
    };
    let planned = if wanted.came_along {
        format!("{}, mounted on the host below the source of {}", wanted.kind, step.target)
    } else {
        words::made(step)
    };
    let Some(mount) = found else {
        let because = match (wanted.came_along, wanted.follows) {
            _ if wanted.optional => return None,
            (true, false) => {
                "the host has mounted it since; a bind that is private does not follow, and the next view has it"
            }
            (true, true) => {
                "the host has mounted it out of reach of mount events, or it was unmounted inside"
            }
            (false, _) if is_old => "the entry is newer than the view, or it was unmounted inside",
            (false, _) => "it was unmounted inside, which takes root",
        };
        return say(format!("missing: {planned}"), because);
    };
    if !is_same(wanted, mount) {
        let is_gone = mount.root.ends_with("//deleted");
        let because = match (is_gone, is_old) {
            (true, _) => "the host has removed what was bound; what is at its path now is something else",
            (false, true) => "the map or the host has another source there since the view was built",
            (false, false) => {
                "the source has been replaced on the host, or something was mounted over it inside"
            }
        };
        return say(format!("is {}, and the plan has {planned}", shown(mount)), because);
    }
    if wanted.attributes != mount.attributes {
        let what = format!("is {}, and the plan has {}", mount.attributes, wanted.attributes);
        let because = if wanted.came_along {
            "remounted, inside or on the host, since the view was built"
        } else if is_old {
            "the map or the host has other options there since the view was built, or it was remounted inside"
        } else {
            "remounted, inside or on the host, since the view was built; inside that takes root"
        };
        return say(what, because);
    }
    let size = wanted.size.zip(size_of(&mount.options))?;
    // The kernel rounds up to whole pages.
    (size.1 < size.0 || size.1 >= size.0 + PAGE_MAX).then(|| {
        let what = format!("holds {} bytes, and the plan has {}", size.1, size.0);
        let because = match is_old {
            true => "the map has another size there since the view was built, or it was remounted inside",
            false => "remounted inside with another size, which takes root",
        };
        say(what, because)
    })?
}

/// No page is larger, on any machine.
const PAGE_MAX: u64 = 64 * 1024;

/// What a tmpfs says that it holds at most, in bytes.
fn size_of(options: &str) -> Option<u64> {
    let text = options.split(',').find_map(|option| option.strip_prefix("size="))?;
    let digits = text.trim_end_matches(|unit: char| unit.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => return None,
    };
    digits.parse::<u64>().ok().map(|number| number << shift)
}

/// Something that the plan does not have.
fn surplus(account: &Account<'_>, mount: &MountEntry, is_old: bool) -> Option<Difference> {
    let plan = account.plan;
    // Each session with a terminal shows it, in a copy of its own of the mount table.
    let console = plan.share.as_ref().and_then(|share| share.console.as_ref());
    if mount.kind == "devpts" && console.is_some_and(|console| console.as_str() == mount.point) {
        return None;
    }
    let point = AbsPath::new(&mount.point).ok();
    let holder = plan
        .mounts()
        .filter(|(_, what, _)| what.is_gathered())
        .find(|(step, _, _)| point.as_ref().is_some_and(|point| point.is_below(&step.target)));
    let because = match (&holder, is_old) {
        (Some((step, _, _)), _) => format!(
            "it came with the bind of {} and the host has unmounted it since, or it was mounted inside",
            step.target
        ),
        (None, true) => "the map had it when the view was built, or it was mounted inside".to_owned(),
        (None, false) => "it was mounted inside, which takes root".to_owned(),
    };
    let origin = holder.map(|(step, _, _)| step.origin.clone());
    Some(Difference {
        at: mount.point.clone(),
        what: format!("not in the plan: {}", shown(mount)),
        because,
        origin,
    })
}

fn shown(mount: &MountEntry) -> String {
    let of = if mount.source.is_empty() || mount.source == mount.kind {
        visible(&mount.kind)
    } else {
        format!("{} of {}", visible(&mount.kind), visible(&mount.source))
    };
    let part = if mount.root == "/" { String::new() } else { format!("{} of a ", visible(&mount.root)) };
    format!("{part}{of}, {}", mount.attributes)
}

impl Drift {
    /// Is all as it was planned?
    pub fn is_none(&self) -> bool {
        self.differences.is_empty() && self.built_from.as_ref().is_none_or(|built| *built == self.generation)
    }

    /// For people.
    pub fn text(&self, screen: Screen) -> String {
        let Self { name, user, profile, differences, .. } = self;
        let is_older = self.built_from.as_ref().is_some_and(|built| *built != self.generation);
        let count = match differences.len() {
            0 if is_older => screen.paint(Style::Warning, "the same mounts, built from another plan"),
            0 => screen.paint(Style::Good, "no difference"),
            1 => screen.paint(Style::Bad, "1 difference"),
            more => screen.paint(Style::Bad, &format!("{more} differences")),
        };
        let mut text = format!("{}: {count}\n", screen.paint(Style::Strong, name));
        let mut put = |line: &str, first: &str, hanging: &str| {
            text.push_str(&wrap(line, first, hanging, screen.width));
            text.push('\n');
        };
        put(&format!("beside the plan of {user}, profile {profile:?}"), "  ", "  ");
        if let Some(built) = self.built_from.as_ref().filter(|built| **built != self.generation) {
            let line = format!(
                "built from generation {built}; a new view would be {}: the map or the host has changed since",
                self.generation
            );
            put(&line, "  ", "  ");
        }
        for difference in differences {
            let origin = difference.origin.as_ref().map(|origin| format!(" ({origin})")).unwrap_or_default();
            put(&format!("{} {}{origin}", visible(&difference.at), difference.what), "  ", "    ");
            put(&difference.because, "      ", "      ");
        }
        text
    }
}
