//! Debian in qemu, driven from tests: kernels, an image, a machine, and the ways into it.
//!
//! [`Guest::boot`] starts a machine with one of Debian's kernels on an image of Debian's user space, with a
//! [`Payload`] of files put over it. What a test does to it goes through one of three ways in:
//!
//! * [`Guest::root`] runs a script as root beside PAM, sshd and logind: these may be broken on purpose;
//! * [`Guest::ssh`] is a real login over the network, which never leaves the loopback interface;
//! * [`Guest::console`] is the serial console, with getty and login behind it.
//!
//! Kernels and images are made once and kept in a [cache](Cache); nothing is installed on the host and nothing of
//! its own apt is changed. Where the host lacks something, [`requirements::missing`] says what and how to get it.
#![allow(
    clippy::disallowed_methods,
    reason = "they are about programs that run as root among hostile users; here are folders of the tests' own"
)]

mod accelerator;
mod agent;
mod apt;
mod cache;
mod command;
mod console;
mod cpio;
mod folder;
mod guest;
mod image;
mod initramfs;
mod kernel;
mod modules;
mod payload;
pub mod product;
mod qemu;
mod qmp;
pub mod requirements;
mod ssh;
mod vmlinux;

pub use cache::Cache;
pub use command::{Output, run};
pub use console::Console;
pub use guest::Guest;
pub use kernel::Kernel;
pub use payload::{Content, File, Payload};

/// What went wrong, with the command or path it went wrong with.
pub type Result<T> = std::result::Result<T, String>;

/// Gives an error of the standard library the path or the deed that it lacks.
pub(crate) trait Context<T> {
    /// Puts `what` before the error.
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: std::fmt::Display> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| format!("{}: {error}", what()))
    }
}
