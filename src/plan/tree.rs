//! From things at places to the steps that build them: parents first, every directory spelled out, nothing created
//! where the tree is not our own.

use std::collections::BTreeMap;

use crate::model::facts::{Look, PathFact};
use crate::model::path::AbsPath;
use crate::model::policy::{Attributes, Origin, Owner};

use super::error::PlanError;
use super::place::{Placement, Placer, Thing, node_of};
use super::step::{Ids, Make, Mount, Node, Seal, TreeStep};

/// The root's own size where the map does not say: it holds mount points and links.
const ROOT_SIZE: u64 = 1024 * 1024;

/// What stands at a place, as far as what lies below it is concerned.
#[derive(Clone, Debug)]
enum Ground {
    /// A directory in a tree of our own: anything can be made in it.
    Ours,
    /// A tree of the host's, or of the kernel's that looks like the host's: only what is there can be mounted on.
    Host { path: AbsPath, look: Look },
    /// A file system that has nothing to mount on.
    Closed,
    /// Not a directory.
    Leaf(&'static str),
}

pub(super) struct Tree {
    pub(super) steps: Vec<TreeStep>,
    pub(super) seals: Vec<Seal>,
}

/// Orders `placements` and turns them into steps. Errors go to `placer`, all of them.
pub(super) fn build(mut placements: Vec<Placement>, profile: &Origin, placer: &mut Placer<'_>) -> Tree {
    if !placements.iter().any(|placement| placement.target.is_root()) {
        placements.push(default_root(profile, placer));
    }
    // A stable sort: what the map says first comes first among equals.
    placements.sort_by_key(|placement| (placement.target.depth(), !placement.explicit));

    let mut builder =
        Builder { steps: Vec::new(), seals: Vec::new(), ground: BTreeMap::new(), taken: BTreeMap::new() };
    for placement in placements {
        if let Some((first, was_explicit)) = builder.taken.get(&placement.target) {
            if *was_explicit && placement.explicit {
                let (target, first, second) = (placement.target, first.clone(), placement.origin);
                placer.errors.push(PlanError::Duplicate { target, first, second });
            }
            continue;
        }
        builder.taken.insert(placement.target.clone(), (placement.origin.clone(), placement.explicit));
        if let Err(error) = builder.add(placement, placer) {
            placer.errors.push(error);
        }
    }
    Tree { steps: builder.steps, seals: builder.seals }
}

fn default_root(profile: &Origin, placer: &Placer<'_>) -> Placement {
    Placement {
        origin: profile.clone(),
        target: AbsPath::root(),
        thing: Thing::Mount {
            what: Mount::Tmpfs { size: Some(ROOT_SIZE), mode: 0o755, owner: placer.ids(Owner::Root) },
            node: Node::Directory,
            attributes: Attributes { read_only: true, ..Attributes::STANDARD },
        },
        optional: false,
        explicit: true,
    }
}

struct Builder {
    steps: Vec<TreeStep>,
    seals: Vec<Seal>,
    ground: BTreeMap<AbsPath, Ground>,
    taken: BTreeMap<AbsPath, (Origin, bool)>,
}

impl Builder {
    fn add(&mut self, placement: Placement, placer: &mut Placer<'_>) -> Result<(), PlanError> {
        let Placement { origin, target, thing, optional, explicit } = placement;
        let Some((holder, ground)) = self.ground_below(&target) else {
            // The root stands on nothing, and everything else on it. Where there is none, that has been said.
            if !target.is_root() {
                return Ok(());
            }
            if !matches!(thing, Thing::Mount { node: Node::Directory, .. }) {
                return Err(PlanError::Root { origin, kind: word(&thing) });
            }
            self.make(origin, target, thing);
            return Ok(());
        };
        match ground {
            Ground::Leaf(what) => {
                let made_by = self.taken.get(&holder).map_or_else(|| origin.clone(), |(by, _)| by.clone());
                Err(PlanError::BelowLeaf { origin, target, above: holder, what, made_by })
            }
            Ground::Ours => {
                let thing = match thing {
                    // There is nothing to hide in an empty tree; a mask is then an empty directory nobody can enter.
                    Thing::Mask => Thing::Directory { mode: 0o000, owner: placer.ids(Owner::Root) },
                    thing => thing,
                };
                self.make_parents(&origin, &holder, &target, placer);
                self.make_mountpoint(&origin, &target, &thing, placer);
                self.make(origin, target, thing);
                Ok(())
            }
            Ground::Closed => Err(PlanError::NotOurs { origin, kind: word(&thing), target, holder }),
            Ground::Host { path, look } => {
                let Some(path) = target.rebase(&holder, &path) else { return Ok(()) };
                let fact = placer.facts.path(look, &path).clone();
                if !explicit && is_already_there(&thing, &path, &fact) {
                    return Ok(());
                }
                let found_here = mounted_over(thing, &fact, placer.ids(Owner::Root));
                match found_here {
                    Over::Mounted(thing) => {
                        self.make(origin, target, thing);
                        Ok(())
                    }
                    Over::NeedsTree(kind) => Err(PlanError::NotOurs { origin, kind, target, holder }),
                    Over::NeedsMountpoint(_) if optional && fact == PathFact::Missing => {
                        placer.notes.push(format!("{target}: left out, {path} is missing"));
                        self.taken.remove(&target);
                        Ok(())
                    }
                    Over::NeedsMountpoint(wanted) => {
                        let found = placer.facts.describe(look, &path);
                        Err(PlanError::Mountpoint { origin, target, holder, path, found, wanted })
                    }
                }
            }
        }
    }

    /// The nearest thing above `target`, and what it is.
    fn ground_below(&self, target: &AbsPath) -> Option<(AbsPath, Ground)> {
        let mut above = target.parent();
        while let Some(path) = above {
            if let Some(ground) = self.ground.get(&path) {
                return Some((path, ground.clone()));
            }
            above = path.parent();
        }
        None
    }

    /// Directories between `holder` and `target`.
    fn make_parents(&mut self, origin: &Origin, holder: &AbsPath, target: &AbsPath, placer: &Placer<'_>) {
        let mut missing = Vec::new();
        let mut above = target.parent();
        while let Some(path) = above.filter(|path| path != holder) {
            above = path.parent();
            missing.push(path);
        }
        for path in missing.into_iter().rev() {
            let directory = Thing::Directory { mode: 0o755, owner: placer.ids(Owner::Root) };
            self.make(origin.clone(), path, directory);
        }
    }

    /// What a mount needs to stand on in a tree of our own.
    fn make_mountpoint(&mut self, origin: &Origin, target: &AbsPath, thing: &Thing, placer: &Placer<'_>) {
        let Thing::Mount { node, .. } = thing else { return };
        let owner = placer.ids(Owner::Root);
        let mountpoint = match node {
            Node::Directory => Thing::Directory { mode: 0o755, owner },
            Node::File | Node::Socket | Node::Device => {
                Thing::File { content: String::new(), mode: 0o644, owner }
            }
        };
        self.make(origin.clone(), target.clone(), mountpoint);
    }

    fn make(&mut self, origin: Origin, target: AbsPath, thing: Thing) {
        let ground = ground_of(&thing);
        let make = match thing {
            Thing::Directory { mode, owner } => Make::Directory { mode, owner },
            Thing::File { content, mode, owner } => Make::File { content, mode, owner },
            Thing::Symlink { to } => Make::Symlink { to },
            Thing::Device { number } => Make::Device { number },
            Thing::Mask => Make::Directory { mode: 0, owner: Ids { uid: 0, gid: 0 } },
            Thing::Mount { what, node, mut attributes } => {
                if matches!(what, Mount::Tmpfs { .. }) && attributes.read_only {
                    // It must take in mount points first.
                    attributes.read_only = false;
                    self.seals.push(Seal {
                        origin: origin.clone(),
                        target: target.clone(),
                        step: self.steps.len(),
                    });
                }
                Make::Mount { what, node, attributes }
            }
        };
        self.ground.insert(target.clone(), ground);
        self.steps.push(TreeStep { origin, target, make });
    }
}

/// What becomes of a thing whose place lies in a tree of the host's.
enum Over {
    /// It is mounted on what is there.
    Mounted(Thing),
    /// It can only be created, and nothing is created there.
    NeedsTree(&'static str),
    /// It needs something else to be mounted on.
    NeedsMountpoint(&'static str),
}

/// `/usr` is bound and `/usr/lib64` is one of the `system` paths too: the host's tree has it already.
fn is_already_there(thing: &Thing, path: &AbsPath, fact: &PathFact) -> bool {
    match thing {
        Thing::Mount { what: Mount::Bind { source, .. }, .. } => source == path,
        Thing::Symlink { to } => *fact == PathFact::Symlink(to.clone()),
        _ => false,
    }
}

fn mounted_over(thing: Thing, fact: &PathFact, root: Ids) -> Over {
    let unseen = *fact == PathFact::Unseen;
    let there = node_of(fact);
    let content = |content: String, mode, owner| {
        let attributes = Attributes { read_only: true, noexec: true, ..Attributes::STANDARD };
        Thing::Mount { what: Mount::Content { content, mode, owner }, node: Node::File, attributes }
    };
    match thing {
        Thing::Symlink { .. } => Over::NeedsTree("symbolic link"),
        Thing::Device { .. } => Over::NeedsTree("device"),
        Thing::Directory { .. } => Over::NeedsTree("directory"),
        Thing::Mount { node: Node::Directory, .. } if there != Some(Node::Directory) => {
            Over::NeedsMountpoint("a directory")
        }
        Thing::Mount { node, .. }
            if node != Node::Directory
                && !unseen
                && !matches!(there, Some(Node::File | Node::Socket | Node::Device)) =>
        {
            Over::NeedsMountpoint("a file")
        }
        mount @ Thing::Mount { .. } => Over::Mounted(mount),
        Thing::File { content: text, mode, owner } => match there {
            Some(Node::File) => Over::Mounted(content(text, mode, owner)),
            Some(_) if unseen => Over::Mounted(content(text, mode, owner)),
            _ => Over::NeedsMountpoint("a file"),
        },
        Thing::Mask => match there {
            Some(Node::Directory) => Over::Mounted(Thing::Mount {
                what: Mount::Tmpfs { size: Some(4096), mode: 0o000, owner: root },
                node: Node::Directory,
                attributes: Attributes { read_only: true, noexec: true, ..Attributes::STANDARD },
            }),
            Some(_) => Over::Mounted(content(String::new(), 0o000, root)),
            None => Over::NeedsMountpoint("a file or directory"),
        },
    }
}

fn ground_of(thing: &Thing) -> Ground {
    let proc = || AbsPath::new("/proc").unwrap_or_else(|_| AbsPath::root());
    let sys = || AbsPath::new("/sys").unwrap_or_else(|_| AbsPath::root());
    match thing {
        Thing::Directory { .. } => Ground::Ours,
        Thing::File { .. } => Ground::Leaf("a file"),
        Thing::Symlink { .. } => Ground::Leaf("a symbolic link"),
        Thing::Device { .. } => Ground::Leaf("a device"),
        Thing::Mask => Ground::Leaf("masked"),
        Thing::Mount { node, .. } if *node != Node::Directory => Ground::Leaf("a file"),
        Thing::Mount { what, .. } => match what {
            Mount::Bind { source, look, .. } => Ground::Host { path: source.clone(), look: *look },
            Mount::Tmpfs { mode: 0, .. } => Ground::Leaf("masked"),
            Mount::Tmpfs { .. } => Ground::Ours,
            Mount::Proc => Ground::Host { path: proc(), look: Look::Root },
            Mount::Sysfs => Ground::Host { path: sys(), look: Look::Root },
            Mount::Devpts { .. } | Mount::Mqueue | Mount::Terminal | Mount::Content { .. } => Ground::Closed,
        },
    }
}

fn word(thing: &Thing) -> &'static str {
    match thing {
        Thing::Directory { .. } => "directory",
        Thing::File { .. } => "file",
        Thing::Symlink { .. } => "symbolic link",
        Thing::Device { .. } => "device",
        Thing::Mask => "mask",
        Thing::Mount { what, .. } => what.word(),
    }
}
