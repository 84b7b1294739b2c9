//! What a path inside leads to: along the steps of a plan, and in the host's trees that it binds.
//!
//! Links are followed as they would be inside, so that `/bin/sh` ends where the session's `/bin/sh` does.

use std::collections::BTreeMap;

use command_line::text::shown;

use crate::model::facts::{Look, PathFact};
use crate::model::mounts::MountEntry;
use crate::model::path::AbsPath;
use crate::model::policy::Attributes;
use crate::model::seen::Seen;
use crate::plan::step::{Make, Mount, Node, Plan};

use super::{Account, planned_attributes};

/// As many links as the kernel follows in one look-up.
const LINKS_MAX: usize = 40;

/// The way to a path, and what is there.
#[derive(Debug)]
pub struct Trace {
    /// What was asked for.
    pub asked: AbsPath,
    /// Where it leads, inside, when every link has been followed.
    pub place: AbsPath,
    /// What it passes.
    pub hops: Vec<Hop>,
    /// What is there.
    pub end: End,
    /// The mount that it ends in, by the place of its step.
    pub mount: usize,
    /// What the last name was looked for in, where nothing was found.
    pub parent: Option<Hop>,
    /// Does what was asked for lie further on, below what the way ends at?
    pub is_short: bool,
}

/// Something on the way.
#[derive(Debug)]
pub struct Hop {
    /// Where, inside.
    pub at: AbsPath,
    /// What.
    pub what: What,
}

/// What is on the way.
#[derive(Debug)]
pub enum What {
    /// The plan made it, by this step; of a bind, what its source is.
    Step(usize, Option<Box<Seen>>),
    /// It is a directory of the host's.
    Directory(Box<Seen>),
    /// It is a link of the host's.
    Link(String),
}

/// What is at the end.
#[derive(Debug)]
pub enum End {
    /// Something that the plan makes, by this step.
    Made(usize),
    /// Something of the host's, at this path there.
    Host(AbsPath, Box<Seen>),
    /// Something in a file system whose content the kernel makes up.
    Kernel,
    /// Nothing; in a tree of the host's at the path that is named.
    NotThere(Option<AbsPath>),
    /// Something that nobody inside can look into, by this step.
    Masked(usize),
    /// Something on the way is no directory.
    NotDirectory(AbsPath),
    /// Links that lead to each other.
    Loop,
    /// A link where none is followed (`nosymfollow`).
    NotFollowed(AbsPath),
    /// On the host something is mounted at or above this path of the host's, which the bind does not show: what lies
    /// below it is inside.
    NotShown(AbsPath),
    /// It cannot be told from here.
    Unknown(AbsPath, String),
}

/// Follows `path`; `see` looks at the host.
pub fn trace(account: &Account<'_>, path: &AbsPath, see: impl FnMut(Look, &AbsPath) -> Seen) -> Trace {
    let plan = account.plan;
    // Of a mount point and what is mounted there, the latter.
    let steps = plan.tree.iter().enumerate().map(|(at, step)| (step.target.clone(), at)).collect();
    let mut walker = Walker { account, plan, steps, hops: Vec::new(), see };
    let (place, end, is_short) = walker.walk(path);
    let mount = walker.mount_of(&place);
    let parent = match end {
        End::NotThere(_) => place.parent().and_then(|parent| walker.standing(parent)),
        _ => None,
    };
    Trace { asked: path.clone(), place, hops: walker.hops, end, mount, parent, is_short }
}

struct Walker<'a, See> {
    account: &'a Account<'a>,
    plan: &'a Plan,
    steps: BTreeMap<AbsPath, usize>,
    hops: Vec<Hop>,
    see: See,
}

/// What one name leads to.
enum Next {
    Directory,
    Link(String),
    End(End),
}

impl<See: FnMut(Look, &AbsPath) -> Seen> Walker<'_, See> {
    fn walk(&mut self, path: &AbsPath) -> (AbsPath, End, bool) {
        let mut rest: Vec<String> = path.components().rev().map(str::to_owned).collect();
        let mut here = AbsPath::root();
        let mut links = 0;
        self.pass_step(&here);
        while let Some(name) = rest.pop() {
            match name.as_str() {
                "" | "." => continue,
                ".." => {
                    here = here.parent().unwrap_or_else(AbsPath::root);
                    continue;
                }
                _ => {}
            }
            let Ok(place) = here.join(&name) else {
                let why = format!("a directory, and {} no name that a map could hold", shown(&name));
                return (here.clone(), End::Unknown(here, why), true);
            };
            match self.next(&place, rest.is_empty()) {
                Next::Directory => here = place,
                Next::Link(text) => {
                    links += 1;
                    if links > LINKS_MAX {
                        return (place, End::Loop, true);
                    }
                    if text.starts_with('/') {
                        here = AbsPath::root();
                    }
                    // A slash at the end asks for a directory, and is no name.
                    rest.extend(text.split('/').rev().filter(|name| !name.is_empty()).map(str::to_owned));
                }
                Next::End(end) => return (place, end, !rest.is_empty()),
            }
        }
        let end = self.directory(&here);
        (here, end, false)
    }

    /// A directory at the end of the way.
    fn directory(&mut self, here: &AbsPath) -> End {
        if let Some(at) = self.steps.get(here) {
            return End::Made(*at);
        }
        match self.host_path(here) {
            Some((path, look)) => {
                let seen = (self.see)(look, &path);
                match self.beyond(here, &path, &seen) {
                    Some(end) => end,
                    None => End::Host(path, Box::new(seen)),
                }
            }
            None => End::Kernel,
        }
    }

    fn next(&mut self, place: &AbsPath, is_last: bool) -> Next {
        if let Some(at) = self.pass_step(place) {
            return self.step(at, place, is_last);
        }
        let above = self.steps.get(&self.step_above(place)).copied().unwrap_or(0);
        let Some((path, look)) = self.host_path(place) else {
            let in_own_tree = self.plan.tree.get(above).is_some_and(|step| match &step.make {
                Make::Mount { what, .. } => matches!(what, Mount::Tmpfs { .. }),
                _ => true,
            });
            return Next::End(if in_own_tree { End::NotThere(None) } else { End::Kernel });
        };
        let seen = (self.see)(look, &path);
        if let Some(end) = self.beyond(place, &path, &seen) {
            return Next::End(end);
        }
        match &seen.fact {
            PathFact::Symlink(_) if self.follows_none(place, Some(&seen)) => {
                Next::End(End::NotFollowed(place.clone()))
            }
            PathFact::Missing => Next::End(End::NotThere(Some(path))),
            PathFact::Symlink(to) => {
                let text = to.clone();
                self.hops.push(Hop { at: place.clone(), what: What::Link(text.clone()) });
                Next::Link(text)
            }
            PathFact::Directory => {
                if !is_last {
                    self.hops.push(Hop { at: place.clone(), what: What::Directory(Box::new(seen)) });
                }
                Next::Directory
            }
            PathFact::Unreachable(_) | PathFact::ThroughSymlink | PathFact::Unseen => {
                Next::End(End::Unknown(path, seen.fact.describe()))
            }
            _ if !is_last => Next::End(End::NotDirectory(place.clone())),
            _ => Next::End(End::Host(path, Box::new(seen))),
        }
    }

    /// What the kernel makes up below a path of the host's, or what the bind does not show of it.
    fn beyond(&self, place: &AbsPath, path: &AbsPath, seen: &Seen) -> Option<End> {
        let at = *self.steps.get(&self.step_above(place))?;
        let Make::Mount { what: Mount::Bind { recursive, .. }, .. } = &self.plan.tree.get(at)?.make else {
            return None;
        };
        let mount = seen.more.as_ref()?.mount.as_ref()?;
        // Its links lead to what the process is that asks.
        if mount.kind == "proc" {
            return Some(End::Kernel);
        }
        let source = self.account.sources.get(&at)?.more.as_ref()?.mount.as_ref()?;
        let is_other = mount.id != source.id;
        (is_other && (!recursive || mount.events.unbindable)).then(|| End::NotShown(path.clone()))
    }

    /// Does the mount at `place`, or the host's that it shows, follow no links?
    fn follows_none(&self, place: &AbsPath, seen: Option<&Seen>) -> bool {
        let planned = planned_attributes(self.plan, self.mount_of(place)).unwrap_or_default();
        let mount = seen.and_then(|seen| seen.more.as_ref()).and_then(|more| more.mount.as_ref());
        planned.nosymfollow || mount.is_some_and(|mount| mount.attributes.nosymfollow)
    }

    /// The directory at `place`, looked at for who may make something in it.
    fn standing(&mut self, place: AbsPath) -> Option<Hop> {
        if let Some(at) = self.steps.get(&place).copied() {
            let seen = self.source_of(at);
            return Some(Hop { at: place, what: What::Step(at, seen) });
        }
        let (path, look) = self.host_path(&place)?;
        let seen = (self.see)(look, &path);
        Some(Hop { at: place, what: What::Directory(Box::new(seen)) })
    }

    /// What the source of a bind is.
    fn source_of(&mut self, at: usize) -> Option<Box<Seen>> {
        match &self.plan.tree.get(at)?.make {
            Make::Mount { what: Mount::Bind { source, look, .. }, .. } => {
                Some(Box::new((self.see)(*look, source)))
            }
            _ => None,
        }
    }

    /// Notes that the way leads over the step at `place`, if there is one.
    fn pass_step(&mut self, place: &AbsPath) -> Option<usize> {
        let at = *self.steps.get(place)?;
        let seen = self.source_of(at);
        self.hops.push(Hop { at: place.clone(), what: What::Step(at, seen) });
        Some(at)
    }

    fn step(&self, at: usize, place: &AbsPath, is_last: bool) -> Next {
        let leaf = || match is_last {
            true => Next::End(End::Made(at)),
            false => Next::End(End::NotDirectory(place.clone())),
        };
        match self.plan.tree.get(at).map(|step| &step.make) {
            Some(Make::Symlink { .. }) if self.follows_none(place, None) => {
                Next::End(End::NotFollowed(place.clone()))
            }
            Some(Make::Symlink { to }) => Next::Link(to.clone()),
            Some(
                Make::Directory { mode: 0, .. } | Make::Mount { what: Mount::Tmpfs { mode: 0, .. }, .. },
            ) => Next::End(if is_last { End::Made(at) } else { End::Masked(at) }),
            Some(Make::Directory { .. } | Make::Mount { node: Node::Directory, .. }) => Next::Directory,
            _ => leaf(),
        }
    }

    /// The nearest place at or above `place` that a step stands at.
    fn step_above(&self, place: &AbsPath) -> AbsPath {
        let mut here = Some(place.clone());
        while let Some(path) = here {
            if self.steps.contains_key(&path) {
                return path;
            }
            here = path.parent();
        }
        AbsPath::root()
    }

    /// The host's path of `place`, and how it is looked at, where it lies in a tree of the host's.
    fn host_path(&self, place: &AbsPath) -> Option<(AbsPath, Look)> {
        let holder = self.step_above(place);
        let at = *self.steps.get(&holder)?;
        let (source, look) = match &self.plan.tree.get(at)?.make {
            Make::Mount { what: Mount::Bind { source, look, .. }, .. } => (source.clone(), *look),
            _ => return None,
        };
        // Without the links that led to the source.
        let seen = self.account.sources.get(&at).and_then(|seen| seen.more.as_ref());
        let source = seen.and_then(|more| AbsPath::new(&more.path).ok()).unwrap_or(source);
        let look = match look {
            Look::Root | Look::RootFollowing => Look::Root,
            Look::User | Look::UserFollowing => Look::User,
        };
        Some((place.rebase(&holder, &source)?, look))
    }

    /// The mount that `place` lies in.
    fn mount_of(&self, place: &AbsPath) -> usize {
        let mut here = Some(place.clone());
        while let Some(path) = here {
            let at = self.steps.get(&path).copied();
            if let Some(at) = at.filter(|at| planned_attributes(self.plan, *at).is_some()) {
                return at;
            }
            here = path.parent();
        }
        0
    }
}

impl Trace {
    /// What the kernel would start in place of the program at the end.
    pub fn starter(&self) -> Option<&(&'static str, String)> {
        let seen = match &self.end {
            End::Host(_, seen) => Some(seen.as_ref()),
            End::Made(_) => self.hops.iter().rev().find_map(|hop| match &hop.what {
                What::Step(_, seen) => Some(seen.as_deref()),
                _ => None,
            })?,
            _ => None,
        };
        seen?.more.as_ref()?.starter.as_ref()
    }

    /// A device, a socket or a pipe at the end. The restrictions of its mount count for making it, and not for using it: a
    /// device works on a read-only mount, and not on one with `nodev`.
    pub fn special(&self, account: &Account<'_>) -> Option<PathFact> {
        match &self.end {
            End::Host(_, seen) => {
                let fact = &seen.fact;
                matches!(fact, PathFact::Device | PathFact::Socket | PathFact::Fifo).then(|| fact.clone())
            }
            End::Made(at) => match account.plan.tree.get(*at).map(|step| &step.make) {
                Some(Make::Device { .. } | Make::Mount { node: Node::Device, .. }) => Some(PathFact::Device),
                Some(Make::Mount { node: Node::Socket, .. }) => Some(PathFact::Socket),
                _ => None,
            },
            _ => None,
        }
    }

    /// The restrictions that hold at the end: the map's, and those of the host's mount there.
    pub fn attributes(&self, account: &Account<'_>) -> (Attributes, Attributes) {
        let planned = planned_attributes(account.plan, self.mount).unwrap_or_default();
        let seen = match (&self.end, &self.parent) {
            (End::Host(_, seen), _) => Some(seen),
            (_, Some(Hop { what: What::Directory(seen), .. })) => Some(seen),
            _ => None,
        };
        let mount = seen.and_then(|seen| seen.more.as_ref()).and_then(|more| more.mount.as_ref());
        let of_host = mount.map(MountEntry::effective);
        (planned, of_host.unwrap_or_else(|| account.of_host(self.mount)))
    }
}
