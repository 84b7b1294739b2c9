//! From map entries to things at places: variables get their values, and entries that stand for several things
//! (`dev`, `system`) become those things.

use crate::model::facts::{Facts, Look, PathFact, RefusedBy};
use crate::model::path::AbsPath;
use crate::model::policy::{Attributes, MountKind, MountRule, Origin, Owner, Profile, Propagation};
use crate::model::subject::Subject;
use crate::model::template::{Template, TemplateError};

use super::error::PlanError;
use super::step::{Ids, Mount, Node};

/// Whose terminal is shown inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Terminal {
    /// Nobody's.
    None,
    /// The session's.
    Own,
    /// Each session's that shares the tree, in a copy of its own of the mount table.
    OfEach,
}

/// Something that will be at a place inside.
#[derive(Clone, Debug)]
pub(super) struct Placement {
    pub(super) origin: Origin,
    pub(super) target: AbsPath,
    pub(super) thing: Thing,
    /// May it be left out when the host does not have what it needs?
    pub(super) optional: bool,
    /// Did the map ask for this place itself, or is it part of what a `dev` or `system` entry stands for? The former
    /// wins where both want one place.
    pub(super) explicit: bool,
}

/// What is at a place.
#[derive(Clone, Debug)]
pub(super) enum Thing {
    Mount { what: Mount, node: Node, attributes: Attributes },
    Directory { mode: u32, owner: Ids },
    File { content: String, mode: u32, owner: Ids },
    Symlink { to: String },
    Device { number: (u32, u32) },
    Mask,
}

/// The devices every program expects, with their numbers, which are part of Linux's interface. The rest of `/dev` is
/// made around them.
const DEVICES: [(&str, (u32, u32)); 6] = [
    ("null", (1, 3)),
    ("zero", (1, 5)),
    ("full", (1, 7)),
    ("random", (1, 8)),
    ("urandom", (1, 9)),
    ("tty", (5, 0)),
];
/// The links that POSIX shells and programs expect beside them.
const DEVICE_LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// Everything the planner needs to place one profile's entries for one user.
pub(super) struct Placer<'a> {
    pub(super) subject: &'a Subject,
    pub(super) facts: &'a Facts,
    /// Is there a terminal to be shown inside?
    pub(super) terminal: Terminal,
    /// Where each of several sessions shows its own.
    pub(super) console: Option<AbsPath>,
    pub(super) notes: Vec<String>,
    pub(super) errors: Vec<PlanError>,
}

impl Placer<'_> {
    /// The things that `rules` stand for, in the map's order.
    pub(super) fn place_all(&mut self, rules: &[MountRule]) -> Vec<Placement> {
        let mut placements = Vec::new();
        for rule in rules {
            if let Err(error) = self.place(rule, rules, &mut placements) {
                self.errors.push(error);
            }
        }
        placements
    }

    fn place(
        &mut self,
        rule: &MountRule,
        all: &[MountRule],
        to: &mut Vec<Placement>,
    ) -> Result<(), PlanError> {
        let target = self.path(rule, "target", &rule.target)?;
        let mut add = |thing| {
            to.push(Placement {
                origin: rule.origin.clone(),
                target: target.clone(),
                thing,
                optional: rule.optional,
                explicit: true,
            });
        };
        let mount = |what, node, attributes| Thing::Mount { what, node, attributes };
        match &rule.kind {
            MountKind::Bind { source, recursive, open_as, follow_symlinks, propagation, attributes } => {
                let source = self.path(rule, "source", source)?;
                let look = Look::of_bind(*open_as, *follow_symlinks);
                if let Some(node) = self.source_node(rule, &target, &source, look)? {
                    let bind = Mount::Bind { source, look, recursive: *recursive, propagation: *propagation };
                    add(mount(bind, node, *attributes));
                }
            }
            MountKind::Tmpfs { size, mode, owner, attributes } => {
                let what = Mount::Tmpfs { size: *size, mode: *mode, owner: self.ids(*owner) };
                add(mount(what, Node::Directory, *attributes));
            }
            MountKind::Proc { attributes } => add(mount(Mount::Proc, Node::Directory, *attributes)),
            MountKind::Sysfs { attributes } => {
                let what = if self.facts.privileged {
                    Mount::Sysfs
                } else {
                    // A new sysfs belongs to a network namespace, and an ordinary user's is the host's.
                    self.notes.push(format!("{target}: the host's /sys, read-only, in place of a new sysfs"));
                    Mount::Bind {
                        source: AbsPath::new("/sys").unwrap_or_else(|_| AbsPath::root()),
                        look: Look::Root,
                        recursive: true,
                        propagation: Propagation::Private,
                    }
                };
                add(mount(what, Node::Directory, *attributes));
            }
            MountKind::Devpts => {
                // Without a range of ids, the group `tty` does not exist in an ordinary user's namespace.
                let gid = self.facts.tty_group.filter(|_| self.facts.privileged);
                add(mount(
                    Mount::Devpts { gid },
                    Node::Directory,
                    Attributes { noexec: true, nodev: false, ..Attributes::STANDARD },
                ));
            }
            MountKind::Mqueue { .. } if !self.facts.privileged => {
                if !rule.optional {
                    let origin = rule.origin.clone();
                    return Err(PlanError::Unprivileged { origin, kind: "mqueue", target });
                }
                self.notes.push(format!("{target}: left out, message queues cannot be mounted without root"));
            }
            MountKind::Mqueue { attributes } => add(mount(Mount::Mqueue, Node::Directory, *attributes)),
            MountKind::Symlink { to } => add(Thing::Symlink { to: self.text(rule, "to", to)? }),
            MountKind::Dir { mode, owner } => add(Thing::Directory { mode: *mode, owner: self.ids(*owner) }),
            MountKind::File { content, mode, owner } => {
                let content = self.text(rule, "content", content)?;
                add(Thing::File { content, mode: *mode, owner: self.ids(*owner) });
            }
            MountKind::Mask => add(Thing::Mask),
            MountKind::Dev { size } => {
                let is_pts = |place: &AbsPath| {
                    place.file_name() == Some("pts") && place.parent().as_ref() == Some(&target)
                };
                let with_devpts = all
                    .iter()
                    .any(|other| other.target.expand_path(self.subject).is_ok_and(|place| is_pts(&place)));
                self.place_devices(rule, &target, *size, with_devpts, to)?;
            }
            MountKind::System { paths, attributes } => {
                for path in paths {
                    self.place_system(rule, path, *attributes, to)?;
                }
            }
        }
        Ok(())
    }

    /// What a bind's source is; `None` when it is not there and need not be.
    fn source_node(
        &mut self,
        rule: &MountRule,
        target: &AbsPath,
        source: &AbsPath,
        look: Look,
    ) -> Result<Option<Node>, PlanError> {
        let fact = self.facts.path(look, source);
        if *fact == PathFact::Unseen {
            self.notes.push(format!("{target}: taken for a directory, {source} is {}", fact.describe()));
        }
        if let Some(node) = node_of(fact) {
            return Ok(Some(node));
        }
        if rule.optional && matches!(fact, PathFact::Missing | PathFact::Unreachable(_)) {
            self.notes.push(format!("{target}: left out, {source} is {}", fact.describe()));
            return Ok(None);
        }
        Err(PlanError::Source {
            origin: rule.origin.clone(),
            target: target.clone(),
            path: source.clone(),
            found: self.facts.describe(look, source),
            remedy: remedy_of(fact, look, self.facts.privileged),
        })
    }

    fn place_system(
        &mut self,
        rule: &MountRule,
        path: &AbsPath,
        attributes: Attributes,
        to: &mut Vec<Placement>,
    ) -> Result<(), PlanError> {
        let bind = |node| Thing::Mount {
            what: Mount::Bind {
                source: path.clone(),
                look: Look::Root,
                recursive: node == Node::Directory,
                propagation: Propagation::Private,
            },
            node,
            attributes,
        };
        let thing = match self.facts.path(Look::Root, path) {
            // A host without /lib32 is no fault: that is what `system` is for.
            PathFact::Missing => return Ok(()),
            PathFact::Symlink(to) => Thing::Symlink { to: to.clone() },
            PathFact::Directory | PathFact::Unseen => bind(Node::Directory),
            PathFact::Device if !attributes.nodev => bind(Node::Device),
            other => {
                return Err(PlanError::Source {
                    origin: rule.origin.clone(),
                    target: path.clone(),
                    path: path.clone(),
                    found: other.describe(),
                    remedy: "a `system` path is a directory, a symbolic link or, with `options = [\"dev\"]`, a device; bind anything else by an entry of its own",
                });
            }
        };
        to.push(Placement {
            origin: rule.origin.clone(),
            target: path.clone(),
            thing,
            optional: true,
            explicit: false,
        });
        Ok(())
    }

    fn place_devices(
        &mut self,
        rule: &MountRule,
        target: &AbsPath,
        shm_size: Option<u64>,
        with_devpts: bool,
        to: &mut Vec<Placement>,
    ) -> Result<(), PlanError> {
        let root = self.ids(Owner::Root);
        let mut add = |target: AbsPath, thing, explicit| {
            to.push(Placement {
                origin: rule.origin.clone(),
                target,
                thing,
                optional: rule.optional,
                explicit,
            });
        };
        let below = |name: &str| {
            target.join(name).map_err(|source| template_error(rule, "target", &rule.target, source.into()))
        };
        let memory = |size, mode, attributes| Thing::Mount {
            what: Mount::Tmpfs { size, mode, owner: root },
            node: Node::Directory,
            attributes,
        };
        let closed = Attributes { read_only: true, noexec: true, ..Attributes::STANDARD };
        let makes_devices = self.facts.makes_devices;
        // Read-only from before the session begins: what is made in it now is all there will ever be.
        add(
            target.clone(),
            memory(Some(64 * 1024), 0o755, Attributes { nodev: !makes_devices, ..closed }),
            true,
        );

        let device = Attributes { nodev: false, noexec: true, ..Attributes::STANDARD };
        for (name, number) in DEVICES {
            if makes_devices {
                add(below(name)?, Thing::Device { number }, false);
                continue;
            }
            let source = AbsPath::new(&format!("/dev/{name}"))
                .map_err(|source| template_error(rule, "target", &rule.target, source.into()))?;
            match self.facts.path(Look::Root, &source) {
                PathFact::Device | PathFact::Unseen => {}
                PathFact::Missing => {
                    self.notes.push(format!("{target}/{name}: left out, {source} is missing"));
                    continue;
                }
                other => {
                    return Err(PlanError::Source {
                        origin: rule.origin.clone(),
                        target: target.clone(),
                        path: source,
                        found: other.describe(),
                        remedy: "make it a device on the host, as it is on every other",
                    });
                }
            }
            let what =
                Mount::Bind { source, look: Look::Root, recursive: false, propagation: Propagation::Private };
            add(below(name)?, Thing::Mount { what, node: Node::Device, attributes: device }, false);
        }
        for (name, link) in DEVICE_LINKS {
            add(below(name)?, Thing::Symlink { to: link.to_owned() }, false);
        }
        if with_devpts {
            add(below("ptmx")?, Thing::Symlink { to: "pts/ptmx".to_owned() }, false);
        }
        add(below("shm")?, memory(shm_size, 0o1777, Attributes::STANDARD), false);
        // The pseudo terminals inside are new ones. The one that the session came on gets a name under which ttyname(3)
        // still finds it.
        let console = below("console")?;
        match self.terminal {
            Terminal::None => {}
            Terminal::Own => {
                let what = Mount::Terminal;
                add(console, Thing::Mount { what, node: Node::Device, attributes: device }, false);
            }
            Terminal::OfEach => {
                add(console.clone(), Thing::File { content: String::new(), mode: 0o600, owner: root }, false);
                self.console = Some(console);
            }
        }
        Ok(())
    }

    pub(super) fn ids(&self, owner: Owner) -> Ids {
        match owner {
            Owner::Root if self.facts.privileged => Ids { uid: 0, gid: 0 },
            _ => Ids { uid: self.subject.uid, gid: self.subject.gid },
        }
    }

    fn path(&self, rule: &MountRule, key: &'static str, template: &Template) -> Result<AbsPath, PlanError> {
        template.expand_path(self.subject).map_err(|source| template_error(rule, key, template, source))
    }

    fn text(&self, rule: &MountRule, key: &'static str, template: &Template) -> Result<String, PlanError> {
        template.expand_text(self.subject).map_err(|source| template_error(rule, key, template, source))
    }
}

/// The paths whose facts decide what `rules` stand for.
pub(super) fn questions(rules: &[MountRule], subject: &Subject) -> Vec<(Look, AbsPath)> {
    let mut questions = Vec::new();
    // What is bound where: mount points in a bound tree must be there already, under the host's own name for them.
    let mut bound: Vec<(AbsPath, AbsPath, Look)> = Vec::new();
    let mut targets = Vec::new();
    for rule in rules {
        let Ok(target) = rule.target.expand_path(subject) else { continue };
        match &rule.kind {
            MountKind::Bind { source, open_as, follow_symlinks, .. } => {
                let Ok(source) = source.expand_path(subject) else { continue };
                let look = Look::of_bind(*open_as, *follow_symlinks);
                questions.push((look, source.clone()));
                bound.push((target.clone(), source, look));
            }
            MountKind::System { paths, .. } => {
                for path in paths {
                    questions.push((Look::Root, path.clone()));
                    bound.push((path.clone(), path.clone(), Look::Root));
                }
            }
            MountKind::Dev { .. } => {
                let devices =
                    DEVICES.iter().filter_map(|(name, _)| AbsPath::new(&format!("/dev/{name}")).ok());
                questions.extend(devices.map(|device| (Look::Root, device)));
            }
            MountKind::Proc { .. } | MountKind::Sysfs { .. } => {
                bound.push((target.clone(), host_twin(&rule.kind, &target), Look::Root));
            }
            _ => {}
        }
        targets.push(target);
    }
    for target in targets {
        let holder = bound
            .iter()
            .filter(|(above, _, _)| target.is_below(above))
            .max_by_key(|(above, _, _)| above.depth());
        if let Some((above, source, look)) = holder
            && let Some(path) = target.rebase(above, source)
        {
            questions.push((*look, path));
        }
    }
    questions.sort_unstable();
    questions.dedup();
    questions
}

/// The entry of `profile` that `path` of the host is asked for.
pub(super) fn asker<'a>(profile: &'a Profile, subject: &Subject, path: &AbsPath) -> Option<&'a MountRule> {
    let is_source = |rule: &&MountRule| match &rule.kind {
        MountKind::Bind { source, .. } => source.expand_path(subject).is_ok_and(|source| source == *path),
        MountKind::System { paths, .. } => paths.contains(path),
        _ => false,
    };
    let is_mount_point = |rule: &&MountRule| {
        rule.target.expand_path(subject).is_ok_and(|target| {
            // In a tree that has its own name inside, such as `/usr`, or in `/proc` and `/sys`.
            target == *path
                || profile.mounts.iter().any(|holder| match &holder.kind {
                    MountKind::Bind { source, .. } => holder.target.expand_path(subject).is_ok_and(|above| {
                        target.is_below(&above)
                            && source
                                .expand_path(subject)
                                .is_ok_and(|source| target.rebase(&above, &source).as_ref() == Some(path))
                    }),
                    _ => false,
                })
        })
    };
    profile.mounts.iter().find(is_source).or_else(|| profile.mounts.iter().find(is_mount_point))
}

/// What to do about a source that leads nowhere, or to what cannot be bound.
fn remedy_of(fact: &PathFact, look: Look, privileged: bool) -> &'static str {
    let by_root = privileged && matches!(look, Look::Root | Look::RootFollowing);
    match fact {
        PathFact::Symlink(_) | PathFact::ThroughSymlink => {
            "name the real path, or set `follow_symlinks = true` (every component must then belong to root)"
        }
        PathFact::Fifo => "a named pipe cannot be shared by a bind; bind the directory that holds it",
        PathFact::Unreachable(refusal) => match refusal.by {
            RefusedBy::Permissions if by_root => {
                "root is refused there, so it is no matter of permissions: a FUSE mount without `allow_root`, an NFS server that squashes root, or a security module (SELinux, AppArmor; see the audit log); with `open_as = \"user\"` it is the user who looks"
            }
            RefusedBy::Permissions => {
                "give the user access to every directory on the way, or mark the entry `optional = true`"
            }
            RefusedBy::File => "correct the path: only a directory has something below it",
            RefusedBy::Server => {
                "its server (NFS, FUSE) is gone: bring it back, unmount it (umount -l), or mark the entry `optional = true`"
            }
            RefusedBy::Trust => "name the real path: links are followed where root alone can have made them",
            RefusedBy::Other => "correct the path, or mark the entry `optional = true`",
        },
        _ => "create it, or mark the entry `optional = true`",
    }
}

/// The host's mount that has the same files as a new one of this kind.
fn host_twin(kind: &MountKind, target: &AbsPath) -> AbsPath {
    let twin = if matches!(kind, MountKind::Proc { .. }) { "/proc" } else { "/sys" };
    AbsPath::new(twin).unwrap_or_else(|_| target.clone())
}

/// What can be mounted of it, and on what.
pub(super) fn node_of(fact: &PathFact) -> Option<Node> {
    match fact {
        PathFact::Directory => Some(Node::Directory),
        PathFact::File => Some(Node::File),
        PathFact::Socket => Some(Node::Socket),
        PathFact::Device => Some(Node::Device),
        // What it is for is almost always a directory; the plan's notes say that this is a guess.
        PathFact::Unseen => Some(Node::Directory),
        _ => None,
    }
}

fn template_error(
    rule: &MountRule,
    key: &'static str,
    template: &Template,
    source: TemplateError,
) -> PlanError {
    PlanError::Template { origin: rule.origin.clone(), key, template: template.source().to_owned(), source }
}
