//! What `session-watchd` does, proved on the built program with a bus, a logind and holders of connections of its own.
//!
//! The bus is a private `dbus-daemon`, logind is served by this process, and what is run in place of `session-scripts`
//! is a shell script that writes down how it was called. Nothing of the host's systemd is asked or needed. Without a
//! program that a test needs it is shown as ignored, with the reason; with `CI=true` it fails instead.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test's way to fail is to stop; the rules for programs that run as root are not about it"
)]
#![allow(
    unreachable_pub,
    reason = "nothing is reached from outside of a test; `pub` is what other files may use"
)]

mod events;
mod held;
mod load;
mod manager;
mod restart;
mod support;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Each test starts several processes, and one of them measures how quiet a process is.
    arguments.test_threads.get_or_insert(4);
    let trials: Vec<Trial> =
        [events::trials(), held::trials(), load::trials(), manager::trials(), restart::trials()]
            .into_iter()
            .flatten()
            .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
