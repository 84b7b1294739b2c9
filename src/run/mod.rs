//! Carrying a plan out.
//!
//! | phase | step | calls |
//! |---|---|---|
//! | gather | `Gather` | `openat2`, `open_tree(CLONE)`, `mount_setattr` |
//! | namespace | `Isolate` | `unshare(NEWNS)`, propagation |
//! | tree | `Build` | `mkdirat`, `mknodat`, `symlinkat`, `fsopen`..`fsmount`, `move_mount` |
//! | seal | `Seal` | `mount_setattr` |
//! | root | `SwitchRoot` | `pivot_root`, `umount2` or `chroot` |
//! | identity | `Become` | `setgroups`, `setresgid`, capabilities, `setresuid`, no_new_privs, then proof |
//! | exec | (not a step) | `close_range`, `execve` |
//!
//! [`Kernel`] does it, [`Recorder`] writes it down, [`FailAt`] lets one step fail. They have one method, so that
//! there is nothing to mock: tests run the real thing.
#![forbid(unsafe_code)]

mod door;
mod ground;
mod identity;
mod inside;
mod instance;
mod keeper;
mod kernel;
mod look;
mod manage;
mod origin;
mod outside;
mod place;
mod program;
mod remedy;
mod session;
mod shared;
mod supervise;
mod unstarted;
mod view;

use std::fmt;

use crate::model::isolation::Apart;
use crate::plan::step::{Make, Mount, Namespace, Plan, Step, TreeStep};
use crate::sys;
use crate::sys::process::NewNamespaces;

pub use door::{Doorway, open_door};
pub use ground::{Ground, OnRecord};
pub use inside::{is_rootless, is_where_this_process_is, mounts_of_session, mounts_of_view};
pub use kernel::Kernel;
pub use look::look_around;
pub use manage::{Ended, end_session, end_user, end_view, enter_view, views_of};
pub use origin::{Inside, Origin};
pub use outside::outside_of_views;
pub use place::{Placed, prepare, release};
pub use session::{Beginning, Opened, enter, enter_begun, prepare_process};

/// Does one step of a plan.
pub trait Runner {
    /// Does `step`, or says why it could not.
    fn run(&mut self, step: &Step<'_>) -> Result<(), StepError>;
}

/// A step that failed: what it was for, and the call that the kernel refused.
#[derive(Debug)]
pub struct StepError {
    /// What was being done, with the map line that asked for it.
    pub doing: String,
    /// Which part of the program to blame.
    pub phase: Phase,
    /// What to do about it, where that can be told.
    pub help: Option<String>,
    /// The call.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Building or entering: what a failed step belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The tree.
    Build,
    /// Root, identity, program.
    Enter,
}

impl StepError {
    pub(crate) fn new(
        phase: Phase,
        doing: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { doing: doing.into(), phase, help: None, source: source.into() }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The errno at the bottom, where a system call is to blame.
    pub fn errno(&self) -> Option<i32> {
        crate::error::errno_of(self.source.as_ref())
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.doing)
    }
}

impl std::error::Error for StepError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.source.as_ref())
    }
}

impl From<StepError> for crate::Error {
    fn from(error: StepError) -> Self {
        let kind = match error.phase {
            Phase::Build => crate::ErrorKind::Build,
            Phase::Enter => crate::ErrorKind::Enter,
        };
        let converted = Self::new(kind, error.doing).caused_by(error.source);
        match error.help {
            Some(help) => converted.help(help),
            None => converted,
        }
    }
}

/// The namespaces that a plan's process is born into.
fn new_namespaces(namespace: &Namespace) -> NewNamespaces {
    NewNamespaces { pid: namespace.pid, user: namespace.user.is_some(), ..apart(namespace.apart) }
}

/// Those that a view has besides.
fn apart(apart: Apart) -> NewNamespaces {
    let Apart { ipc, uts, cgroup, net } = apart;
    NewNamespaces { ipc, uts, cgroup, net, ..NewNamespaces::default() }
}

/// Has `runner` do every step of `plan` in order, up to the point where the user's program can be started.
pub fn run_steps(plan: &Plan, runner: &mut dyn Runner) -> Result<(), StepError> {
    plan.steps().try_for_each(|step| runner.run(&step))
}

/// Writes down what it is asked for, and does nothing.
#[derive(Debug, Default)]
pub struct Recorder {
    /// One line a step.
    pub lines: Vec<String>,
}

impl Runner for Recorder {
    fn run(&mut self, step: &Step<'_>) -> Result<(), StepError> {
        self.lines.push(describe(step));
        Ok(())
    }
}

/// Hands everything on to another runner, but for one step, which fails without being done.
#[derive(Debug)]
pub struct FailAt<R> {
    /// Steps still to be done before the one that fails.
    pub steps: usize,
    /// Who does the others.
    pub inner: R,
}

impl<R: Runner> Runner for FailAt<R> {
    fn run(&mut self, step: &Step<'_>) -> Result<(), StepError> {
        match self.steps.checked_sub(1) {
            Some(left) => {
                self.steps = left;
                self.inner.run(step)
            }
            None => {
                let fault = sys::Error::new("injected fault", rustix::io::Errno::IO);
                Err(StepError::new(phase_of(step), describe(step), fault))
            }
        }
    }
}

/// One line that says what a step does and for which line of the map.
pub fn describe(step: &Step<'_>) -> String {
    match step {
        Step::Create(create) => format!("make {} where it is missing ({})", create.at, create.origin),
        Step::Init(init) => format!("run {} for {} ({})", init.program, init.directory, init.origin),
        Step::Gather(_, step) => format!("take {} of {} ({})", taken(step), step.target, step.origin),
        Step::Isolate(namespace) => match &namespace.user {
            Some(_) => "leave the host's mount namespace, as an ordinary user".to_owned(),
            None => "leave the host's mount namespace".to_owned(),
        },
        Step::Build(_, step) => format!("{} {} ({})", built(step), step.target, step.origin),
        Step::Seal(seal) => format!("make {} read-only ({})", seal.target, seal.origin),
        Step::SwitchRoot(_) => "switch the root directory".to_owned(),
        Step::Become(identity) => format!("become uid {}", identity.uid),
    }
}

/// Where a mount is taken from.
fn taken(step: &TreeStep) -> String {
    match &step.make {
        Make::Mount { what: Mount::Bind { source, .. }, .. } => format!("the source {source}"),
        _ => "the terminal".to_owned(),
    }
}

/// What is made, up to the place where.
fn built(step: &TreeStep) -> String {
    match &step.make {
        Make::Directory { .. } => "make the directory".to_owned(),
        Make::File { .. } => "make the file".to_owned(),
        Make::Symlink { to } => format!("make a link to {to:?} at"),
        Make::Device { .. } => "make the device".to_owned(),
        Make::Mount { what: Mount::Bind { source, .. }, .. } => format!("bind {source} at"),
        Make::Mount { what: Mount::Content { .. }, .. } => "mount a file of the map's at".to_owned(),
        Make::Mount { what, .. } => format!("mount {} at", what.word()),
    }
}

fn phase_of(step: &Step<'_>) -> Phase {
    match step {
        Step::SwitchRoot(_) | Step::Init(_) | Step::Become(_) => Phase::Enter,
        _ => Phase::Build,
    }
}
