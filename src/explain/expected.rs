//! The mounts that a plan leads to on this host.

use super::{Account, planned_attributes};
use crate::model::mounts::{MountEntry, MountTable};
use crate::model::path::AbsPath;
use crate::model::policy::{Attributes, Propagation};
use crate::model::seen::Details;
use crate::plan::step::{Make, Mount, TreeStep};

/// A mount that should be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    /// The place of the step that makes it, or whose bind brings it along.
    pub(super) step: usize,
    /// Where.
    pub(super) point: String,
    /// The file system's type.
    pub(super) kind: String,
    /// Its device; nothing for one that is new.
    pub(super) device: Option<(u32, u32)>,
    /// What of it is shown; nothing where that cannot be known.
    pub(super) root: Option<String>,
    /// With which restrictions.
    pub(super) attributes: Attributes,
    /// Bytes at most, where the map says so.
    pub(super) size: Option<u64>,
    /// It is mounted on the host below a source, and comes with it.
    pub(super) came_along: bool,
    /// Does its bind follow what the host mounts later?
    pub(super) follows: bool,
    /// It need not be there.
    pub(super) optional: bool,
}

/// All of them, in the plan's order. `host` is the host's table.
pub(super) fn expected(account: &Account<'_>, host: &MountTable) -> Vec<Expected> {
    let children = host.children();
    let mut all = Vec::new();
    for (at, step) in account.plan.tree.iter().enumerate() {
        let Make::Mount { what, .. } = &step.make else { continue };
        let attributes = planned_attributes(account.plan, at).unwrap_or_default();
        let one = fresh(at, step, what, attributes);
        let Mount::Bind { recursive, propagation, .. } = what else {
            all.push(one);
            continue;
        };
        let more = account.sources.get(&at).and_then(|seen| seen.more.as_ref());
        let Some((more, mount)) = more.and_then(|more| Some((more, more.mount.as_ref()?))) else {
            // Not to be seen by who asks.
            all.push(Expected { kind: String::new(), ..one });
            continue;
        };
        let follows = *propagation == Propagation::Slave;
        all.push(Expected { root: shown_of(more, mount), follows, ..copy(&one, mount, attributes) });
        if !recursive {
            continue;
        }
        let Ok(source) = AbsPath::new(&more.path) else { continue };
        let mut todo = vec![(mount.id, true)];
        while let Some((id, is_top)) = todo.pop() {
            let below = children.get(&id).into_iter().flatten().filter_map(|at| host.mounts.get(*at));
            for child in below.filter(|child| !child.events.unbindable) {
                let Ok(point) = AbsPath::new(&child.point) else { continue };
                let Some(point) = point.rebase(&source, &step.target) else { continue };
                // What is mounted on the source's own mount, and not below the source, stays where it is.
                if is_top && child.point == more.path {
                    continue;
                }
                todo.push((child.id, false));
                let root = Some(child.root.clone());
                all.push(Expected {
                    point: point.to_string(),
                    root,
                    came_along: true,
                    follows,
                    ..copy(&one, child, attributes)
                });
            }
        }
    }
    all
}

/// A file system that was not there before.
fn fresh(at: usize, step: &TreeStep, what: &Mount, attributes: Attributes) -> Expected {
    let (kind, root) = match what {
        Mount::Tmpfs { .. } => ("tmpfs", Some("/".to_owned())),
        Mount::Content { .. } => ("tmpfs", None),
        Mount::Terminal => ("devpts", None),
        other => (other.word(), Some("/".to_owned())),
    };
    let size = match what {
        Mount::Tmpfs { size, .. } => *size,
        _ => None,
    };
    Expected {
        step: at,
        point: step.target.to_string(),
        kind: kind.to_owned(),
        device: None,
        root,
        attributes,
        size,
        came_along: false,
        follows: false,
        optional: matches!(what, Mount::Terminal),
    }
}

/// A copy of the host's `mount`.
fn copy(one: &Expected, mount: &MountEntry, attributes: Attributes) -> Expected {
    Expected {
        kind: mount.kind.clone(),
        device: Some(mount.device),
        attributes: attributes.and(mount.attributes),
        size: None,
        ..one.clone()
    }
}

/// What of the file system of `mount` the source shows.
fn shown_of(more: &Details, mount: &MountEntry) -> Option<String> {
    let path = AbsPath::new(&more.path).ok()?;
    let (point, root) = (AbsPath::new(&mount.point).ok()?, AbsPath::new(&mount.root).ok()?);
    path.rebase(&point, &root).map(|shown| shown.to_string())
}
