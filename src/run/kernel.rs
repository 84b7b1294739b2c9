//! The runner that does it.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::io::Errno;

use crate::host::{Sources, WalkError};
use crate::model::path::AbsPath;
use crate::model::policy::{Attributes, Propagation};
use crate::plan::step::{Ids, Make, Mount, Node, Plan, Seal, Step, Switch, TreeStep};
use crate::sys;
use crate::sys::identity::StatusFile;
use crate::sys::mount::Detached;
use crate::sys::path::{Kind, Links};

use super::{Ground, Phase, Runner, StepError, describe, identity, instance, remedy};

/// Does the steps of one plan, each once and in order. It holds descriptors between them and nothing else: dropping
/// it at any point leaves nothing behind, because nothing it made is attached where anybody else could see it.
#[derive(Debug)]
pub struct Kernel {
    sources: Sources,
    /// Creating as root, or as the only id of a user namespace.
    own: Ids,
    in_user_namespace: bool,
    /// Sources that were taken, by the place of their step.
    gathered: BTreeMap<usize, Detached>,
    /// The places of the steps whose mounts will be sealed.
    to_seal: BTreeSet<usize>,
    /// Those mounts.
    unsealed: BTreeMap<usize, OwnedFd>,
    /// The root directory of the tree.
    root: Option<OwnedFd>,
    /// The directory in which the last thing was made.
    last_parent: Option<(AbsPath, Rc<OwnedFd>)>,
    /// Does a directory of the plan hand its group on to what is made in it?
    inherits_group: bool,
    /// Does the plan mount files of its own over files of bound trees?
    needs_scratch: bool,
    /// Where those files lie.
    scratch: Option<OwnedFd>,
    /// This process, to be asked who it has become.
    status: Option<StatusFile>,
    /// Where the session's namespace is copied from, if not from the host's.
    base: Option<OwnedFd>,
    /// Is it copied from there?
    on_base: bool,
    /// Directories of the host that were not there before.
    made: BTreeSet<AbsPath>,
}

impl Kernel {
    /// A runner for `plan`.
    pub fn new(plan: &Plan, ground: &Ground) -> Self {
        let privileged = plan.namespace.user.is_none();
        Self {
            sources: Sources::of(&plan.subject, privileged),
            own: Ids { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() },
            in_user_namespace: !privileged,
            gathered: BTreeMap::new(),
            to_seal: plan.seal.iter().map(|seal| seal.step).collect(),
            unsealed: BTreeMap::new(),
            root: None,
            last_parent: None,
            inherits_group: plan.tree.iter().any(|step| is_set_group_id(&step.make)),
            needs_scratch: plan.mounts().any(|(_, what, _)| matches!(what, Mount::Content { .. })),
            scratch: None,
            status: None,
            base: ground.base(),
            on_base: plan.namespace.base,
            made: BTreeSet::new(),
        }
    }

    /// A copy of the whole tree, attached nowhere, to be taken to another mount namespace.
    pub(super) fn clone_whole(&self) -> sys::Result<Detached> {
        sys::mount::clone_tree(self.root()?, true)
    }

    fn root(&self) -> sys::Result<BorrowedFd<'_>> {
        self.root
            .as_ref()
            .map(OwnedFd::as_fd)
            .ok_or_else(|| sys::Error::new("no root has been built", Errno::INVAL))
    }

    fn gather(&mut self, at: usize, step: &TreeStep) -> Result<(), StepError> {
        let failed =
            |error: sys::Error| StepError::new(Phase::Build, describe(&Step::Gather(at, step)), error);
        let lost = |error: WalkError| StepError::new(Phase::Build, describe(&Step::Gather(at, step)), error);
        let Make::Mount { what, node, attributes } = &step.make else { return Ok(()) };
        let taken = match what {
            Mount::Bind { source, look, recursive, propagation } => {
                let place = self.sources.open(source, *look).map_err(lost)?;
                expect_kind(place.as_fd(), *node).map_err(|error| failed(error).help(remedy::CHANGED))?;
                let tree = sys::mount::clone_tree(place.as_fd(), *recursive).map_err(failed)?;
                let propagation = match propagation {
                    Propagation::Private => sys::mount::Propagation::Private,
                    Propagation::Slave => sys::mount::Propagation::Slave,
                };
                sys::mount::set_attributes(tree.as_fd(), bits(*attributes), Some(propagation), true)
                    .map_err(failed)?;
                tree
            }
            Mount::Terminal => {
                let Some(terminal) = sys::fd::terminal() else { return Ok(()) };
                let Ok(tree) = sys::mount::clone_tree(terminal.as_fd(), false) else {
                    // A terminal of another mount namespace cannot be shown in this one. Nothing but its name is lost.
                    return Ok(());
                };
                let private = Some(sys::mount::Propagation::Private);
                sys::mount::set_attributes(tree.as_fd(), bits(*attributes), private, false)
                    .map_err(failed)?;
                tree
            }
            _ => return Ok(()),
        };
        self.gathered.insert(at, taken);
        Ok(())
    }

    fn isolate(&mut self) -> sys::Result<()> {
        self.status = Some(StatusFile::open()?);
        sys::process::set_umask(0);
        if !self.on_base {
            sys::namespace::unshare_mounts()?;
            return sys::mount::stop_sending_mount_events();
        }
        let base = self.base.take();
        let base = base.ok_or_else(|| sys::Error::new("no base namespace was opened", Errno::INVAL))?;
        sys::nsfs::enter_mounts(base.as_fd())?;
        sys::mount::expect_empty_root()?;
        // Its one mount is private, and so is the copy.
        sys::namespace::unshare_mounts()
    }

    fn build(&mut self, at: usize, step: &TreeStep) -> sys::Result<()> {
        if let Make::Mount { what, node, attributes } = &step.make {
            let Some(mount) = self.new_mount(at, what, *attributes)? else { return Ok(()) };
            return self.attach(at, step, *node, mount);
        }
        let (parent, name) = self.parent_of(&step.target)?;
        let (parent, everybodys) = (parent.as_fd(), 0o666);
        match &step.make {
            Make::Directory { mode, owner } => {
                sys::path::make_directory(parent, name, *mode)?;
                self.settle(parent, name, *mode, *owner)
            }
            Make::File { content, mode, owner } => {
                sys::path::make_file(parent, name, *mode, content.as_bytes())?;
                self.settle(parent, name, *mode, *owner)
            }
            Make::Device { number } => {
                sys::path::make_device(parent, name, *number, everybodys)?;
                self.settle(parent, name, everybodys, Ids { uid: 0, gid: 0 })
            }
            Make::Symlink { to } => sys::path::make_symlink(parent, name, to),
            Make::Mount { .. } => Ok(()),
        }
    }

    /// The mount itself, attached nowhere yet; `None` when there turned out to be nothing to show.
    fn new_mount(
        &mut self,
        at: usize,
        what: &Mount,
        attributes: Attributes,
    ) -> sys::Result<Option<Detached>> {
        let attributes = bits(attributes);
        let new = |kind: &str, parameters: &[(&str, String)]| {
            sys::mount::new_filesystem(kind, parameters, attributes).map(Some)
        };
        match what {
            Mount::Bind { .. } | Mount::Terminal => Ok(self.gathered.remove(&at)),
            Mount::Tmpfs { size, mode, owner } => {
                let mut parameters =
                    vec![("source", "session-sandbox".to_owned()), ("mode", format!("{mode:o}"))];
                parameters.extend(size.map(|size| ("size", size.to_string())));
                if *owner != self.own {
                    parameters.push(("uid", owner.uid.to_string()));
                    parameters.push(("gid", owner.gid.to_string()));
                }
                new("tmpfs", &parameters)
            }
            Mount::Proc => new("proc", &[("source", "proc".to_owned())]),
            Mount::Sysfs => new("sysfs", &[("source", "sysfs".to_owned())]),
            Mount::Mqueue => new("mqueue", &[("source", "mqueue".to_owned())]),
            Mount::Devpts { gid } => {
                let mut parameters = vec![("source", "devpts".to_owned()), ("newinstance", String::new())];
                parameters.extend(gid.map(|gid| ("gid", gid.to_string())));
                parameters.extend([("mode", "620".to_owned()), ("ptmxmode", "666".to_owned())]);
                new("devpts", &parameters)
            }
            Mount::Content { content, mode, owner } => {
                let file = self.scratch_file(at, content, *mode, *owner)?;
                let mount = sys::mount::clone_tree(file.as_fd(), false)?;
                sys::mount::set_attributes(mount.as_fd(), attributes, None, false)?;
                Ok(Some(mount))
            }
        }
    }

    fn attach(&mut self, at: usize, step: &TreeStep, node: Node, mount: Detached) -> sys::Result<()> {
        if step.target.is_root() {
            let below = sys::path::open_root()?;
            if self.needs_scratch {
                self.scratch = Some(attach_scratch(below.as_fd(), self.on_base)?);
            }
            sys::mount::attach(mount.as_fd(), below.as_fd())?;
            // One descriptor to stand on, one to seal.
            let root = rustix::io::fcntl_dupfd_cloexec(mount.as_fd(), 3);
            self.root = Some(root.map_err(|errno| sys::Error::new("fcntl(F_DUPFD_CLOEXEC)", errno))?);
        } else if node != Node::Directory || !self.attach_in_parent(&step.target, &mount)? {
            let mountpoint = sys::path::open(self.root()?, step.target.relative(), Links::Refuse)?;
            let stands_on = sys::path::status(mountpoint.as_fd())?.kind;
            if (stands_on == Kind::Directory) != (node == Node::Directory) || stands_on == Kind::Symlink {
                let call = format!("mount point {} has become {stands_on:?}", step.target);
                return Err(sys::Error::new(call, Errno::NOTDIR));
            }
            sys::mount::attach(mount.as_fd(), mountpoint.as_fd())?;
        }
        if self.to_seal.contains(&at) {
            self.unsealed.insert(at, mount.into());
        }
        Ok(())
    }

    /// Attaches `mount`, a directory, by its name in the directory of the step before: one call instead of four. The
    /// kernel follows no link there, and puts a directory on nothing but a directory; why it refuses is for the longer
    /// way to find out.
    fn attach_in_parent(&mut self, target: &AbsPath, mount: &Detached) -> sys::Result<bool> {
        let (parent, name) = self.parent_of(target)?;
        Ok(sys::mount::attach_at(mount.as_fd(), parent.as_fd(), name).is_ok())
    }

    /// The directory that will hold `target`, and the name it will have there. Whatever is mounted on a directory is
    /// mounted before anything is made in it, so that the directory of the step before can serve this one too.
    fn parent_of<'step>(&mut self, target: &'step AbsPath) -> sys::Result<(Rc<OwnedFd>, &'step str)> {
        let parent = target.parent().unwrap_or_else(AbsPath::root);
        let name = target.file_name().unwrap_or(".");
        if let Some((path, directory)) = &self.last_parent
            && *path == parent
        {
            return Ok((Rc::clone(directory), name));
        }
        let directory = Rc::new(sys::path::open(self.root()?, parent.relative(), Links::Refuse)?);
        self.last_parent = Some((parent, Rc::clone(&directory)));
        Ok((directory, name))
    }

    /// Gives what was just made its owner and its bits, where making it has not done so already.
    fn settle(&self, directory: BorrowedFd<'_>, name: &str, mode: u32, owner: Ids) -> sys::Result<()> {
        if owner != self.own || self.inherits_group {
            sys::path::set_owner(directory, name, owner.uid, owner.gid)?;
        }
        // After the owner: a change of owner takes set-id bits away.
        if mode & 0o6000 != 0 || self.inherits_group {
            sys::path::set_mode(directory, name, mode)?;
        }
        Ok(())
    }

    /// A file that can be mounted elsewhere.
    fn scratch_file(&mut self, at: usize, content: &str, mode: u32, owner: Ids) -> sys::Result<OwnedFd> {
        let scratch =
            self.scratch.as_ref().ok_or_else(|| sys::Error::new("no scratch file system", Errno::INVAL))?;
        let name = at.to_string();
        sys::path::make_file(scratch.as_fd(), &name, mode, content.as_bytes())?;
        self.settle(scratch.as_fd(), &name, mode, owner)?;
        sys::path::open(scratch.as_fd(), &name, Links::Refuse)
    }

    fn seal(&mut self, seal: &Seal) -> sys::Result<()> {
        let mount = self.unsealed.remove(&seal.step);
        let mount = mount.ok_or_else(|| sys::Error::new("nothing to seal", Errno::INVAL))?;
        let read_only = sys::mount::Attributes::MOUNT_ATTR_RDONLY;
        sys::mount::set_attributes(mount.as_fd(), read_only, None, false)
    }

    fn switch_root(&mut self, switch: Switch) -> sys::Result<()> {
        let root = self.root.take().ok_or_else(|| sys::Error::new("no root has been built", Errno::INVAL))?;
        self.unsealed.clear();
        self.last_parent = None;
        self.scratch = None;
        sys::path::enter_directory(root.as_fd())?;
        match switch {
            Switch::Pivot => sys::mount::pivot_to_current_directory()?,
            Switch::Chroot => sys::namespace::change_root_to_current_directory()?,
        }
        sys::path::change_directory("/")?;
        // Above `/` there is nothing but `/`: had the old root been left stacked on the new one, `..` would lead to it.
        let built = sys::path::mount_of(root.as_fd())?;
        for path in ["/", "/.."] {
            if sys::path::mount_at(path)? != built {
                return Err(sys::Error::new(
                    format!("stat({path:?}): not the root that was built"),
                    Errno::XDEV,
                ));
            }
        }
        Ok(())
    }
}

impl Runner for Kernel {
    fn run(&mut self, step: &Step<'_>) -> Result<(), StepError> {
        let failed = |error: sys::Error| StepError::new(super::phase_of(step), describe(step), error);
        let done = match step {
            Step::Create(create) => {
                instance::make(create).map(|is_new| self.made.extend(is_new.then(|| create.at.clone())))
            }
            Step::Init(init) => {
                let is_new = init.instance.as_ref().is_none_or(|instance| self.made.contains(instance));
                instance::run(init, is_new)
            }
            Step::Gather(at, step) => self.gather(*at, step),
            Step::Isolate(_) => self.isolate().map_err(failed),
            Step::Build(at, step) => self.build(*at, step).map_err(failed),
            Step::Seal(seal) => self.seal(seal).map_err(failed),
            Step::SwitchRoot(switch) => self.switch_root(*switch).map_err(failed),
            Step::Become(who) => {
                let status = self.status.take();
                identity::become_user(who, self.in_user_namespace, status)
                    .map_err(|error| StepError::new(Phase::Enter, describe(step), error))
            }
        };
        done.map_err(|error| remedy::added(error, step, self.in_user_namespace))
    }
}

fn is_set_group_id(make: &Make) -> bool {
    match make {
        Make::Directory { mode, .. } | Make::Mount { what: Mount::Tmpfs { mode, .. }, .. } => {
            mode & 0o2000 != 0
        }
        _ => false,
    }
}

/// A file system for the files that will be mounted over others. It must be attached somewhere in the namespace, or the
/// kernel would not let a part of it be mounted elsewhere.
///
/// On the base it lies on `/`, where the tree will cover it. In a copy of the host's namespace it hangs on the host's
/// `/proc`: on `/` it would cover the old root that is to be let go of, and there it goes away with the old root.
fn attach_scratch(old_root: BorrowedFd<'_>, on_base: bool) -> sys::Result<OwnedFd> {
    let parameters = [("source", "session-sandbox".to_owned()), ("mode", "700".to_owned())];
    let scratch = sys::mount::new_filesystem("tmpfs", &parameters, sys::mount::Attributes::empty())?;
    if on_base {
        sys::mount::attach(scratch.as_fd(), old_root)?;
    } else {
        let unused = sys::path::open(old_root, "proc", Links::Refuse)?;
        sys::mount::attach(scratch.as_fd(), unused.as_fd())?;
    }
    Ok(scratch.into())
}

/// The map's words as the kernel's bits.
fn bits(attributes: Attributes) -> sys::mount::Attributes {
    use sys::mount::Attributes as Bits;
    let Attributes { read_only, nosuid, nodev, noexec, noatime, nosymfollow } = attributes;
    [
        (read_only, Bits::MOUNT_ATTR_RDONLY),
        (nosuid, Bits::MOUNT_ATTR_NOSUID),
        (nodev, Bits::MOUNT_ATTR_NODEV),
        (noexec, Bits::MOUNT_ATTR_NOEXEC),
        (noatime, Bits::MOUNT_ATTR_NOATIME),
        (nosymfollow, Bits::MOUNT_ATTR_NOSYMFOLLOW),
    ]
    .into_iter()
    .filter_map(|(on, bit)| on.then_some(bit))
    .collect()
}

/// The plan was made for what was there then. Something else now is an attack or an accident, and both end here.
fn expect_kind(place: BorrowedFd<'_>, planned: Node) -> sys::Result<()> {
    let kind = sys::path::status(place)?.kind;
    let as_planned = matches!(
        (kind, planned),
        (Kind::Directory, Node::Directory)
            | (Kind::File, Node::File)
            | (Kind::Socket, Node::Socket)
            | (Kind::Device, Node::Device)
    );
    if as_planned {
        return Ok(());
    }
    Err(sys::Error::new(format!("it was a {planned:?} a moment ago and is a {kind:?} now"), Errno::AGAIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attribute_of_the_map_has_its_bit() {
        let all = Attributes {
            read_only: true,
            nosuid: true,
            nodev: true,
            noexec: true,
            noatime: true,
            nosymfollow: true,
        };
        assert_eq!(bits(all).bits().count_ones(), 6);
        assert!(bits(Attributes::default()).is_empty());
    }
}
