//! What the reader can do about a step that the kernel refused. Where nothing is said here, the kernel's reason alone
//! has to do (`error`).

use rustix::io::Errno;

use crate::plan::step::{Make, Mount, Node, Step, TreeStep};

use super::StepError;

/// For what is no longer as it was when the plan was made.
pub(super) const CHANGED: &str = "try again; if it happens again, find out who changes it";

/// `error` of `step`, with its remedy, unless it has one.
pub(super) fn added(error: StepError, step: &Step<'_>, in_user_namespace: bool) -> StepError {
    let remedy = match error.errno() {
        Some(errno) if error.help.is_none() => of(step, Errno::from_raw_os_error(errno), in_user_namespace),
        _ => None,
    };
    match remedy {
        Some(remedy) => error.help(remedy),
        None => error,
    }
}

fn of(step: &Step<'_>, errno: Errno, in_user_namespace: bool) -> Option<String> {
    match step {
        Step::Gather(_, step) => of_source(step, errno),
        Step::Isolate(_) => of_isolation(errno, in_user_namespace).map(str::to_owned),
        Step::Build(_, step) => of_building(step, errno),
        Step::Create(_) | Step::Init(_) | Step::Seal(_) | Step::SwitchRoot(_) | Step::Become(_) => None,
    }
}

fn of_source(step: &TreeStep, errno: Errno) -> Option<String> {
    let Make::Mount { what: Mount::Bind { source, .. }, .. } = &step.make else { return None };
    match errno {
        Errno::NOENT | Errno::NOTDIR => Some(format!(
            "{source} was there a moment ago: try again; if it happens again, find out who removes it"
        )),
        Errno::LOOP => Some(format!(
            "{source} is a symbolic link, or an automount point on which nothing was mounted in time: name the real path, or start what mounts it"
        )),
        Errno::INVAL => Some(format!(
            "{source}, or what is mounted below it, may be `unbindable`, or locked by the user namespace that it comes from: see /proc/self/mountinfo, or set `recursive = false`"
        )),
        _ => None,
    }
}

fn of_isolation(errno: Errno, in_user_namespace: bool) -> Option<&'static str> {
    match errno {
        Errno::NOSPC => Some("raise sysctl user.max_mnt_namespaces or fs.mount-max"),
        Errno::PERM | Errno::ACCESS if in_user_namespace => Some(
            "this host lets ordinary users make a user namespace but not use it: set sysctl kernel.apparmor_restrict_unprivileged_userns=0, give session-enter an AppArmor profile with `userns,`, or enter as root",
        ),
        Errno::PERM => Some("mounting needs CAP_SYS_ADMIN; in a container, give it that capability"),
        _ => None,
    }
}

fn of_building(step: &TreeStep, errno: Errno) -> Option<String> {
    let target = &step.target;
    let Make::Mount { what, node, .. } = &step.make else { return of_making(errno) };
    let remedy = match (errno, what) {
        (Errno::PERM, Mount::Proc | Mount::Sysfs) => format!(
            "where a part of the host's own {} is covered (in a container?), the kernel gives no new one to a user namespace: enter as the host's root, or uncover it",
            if *what == Mount::Proc { "/proc" } else { "/sys" },
        ),
        (Errno::NOSPC, _) => {
            "the limit of mounts is reached: see sysctl fs.mount-max, or the size of this tmpfs".to_owned()
        }
        (Errno::NODEV, _) => {
            format!("this kernel has no file system {}: load its module, or remove the entry", what.word())
        }
        (Errno::INVAL, Mount::Tmpfs { .. } | Mount::Devpts { .. }) => {
            "this kernel does not take a value of the entry, or of the mount that stands for it: change it there".to_owned()
        }
        (Errno::NOENT | Errno::NOTDIR | Errno::LOOP, Mount::Bind { .. } | Mount::Content { .. }) => {
            let must = if *node == Node::Directory { "a real directory" } else { "a real file" };
            format!("{target} must be {must} in the tree that is bound above it: make it one there, on the host")
        }
        (Errno::BUSY, _) => format!("something else is being mounted at {target}: try again"),
        _ => return None,
    };
    Some(remedy)
}

/// Of what is made in a tree of our own.
fn of_making(errno: Errno) -> Option<String> {
    match errno {
        Errno::NOSPC => Some("the tmpfs that holds it is full: give that entry a larger `size`".to_owned()),
        Errno::PERM => Some(
            "making it needs CAP_MKNOD or CAP_CHOWN, or a security module (SELinux, AppArmor) refuses: look into the audit log"
                .to_owned(),
        ),
        _ => None,
    }
}
