//! What holds on real kernels with real login programs.
//!
//! A suite is a file here with a function `checks()`. Each suite gets one guest for each kernel that
//! `SESSION_VM_KERNELS` asks for, and its checks run in it one after the other. What a host needs is found out when the
//! first check runs; where something is missing all are shown as ignored with what to install, and fail instead when
//! `CI=true` or `SESSION_TESTS_REQUIRE_ALL=1`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test's way to fail is to stop; the project's rules for programs that run as root are not about it"
)]
#![allow(
    unreachable_pub,
    reason = "nothing is reached from outside of a test; `pub` is what other files may use"
)]

mod abuse;
mod admins;
mod boots;
mod doors;
mod notes;
mod screens;
mod scripts;
mod stacks;
mod suite;
mod tellers;
mod walls;
mod watchd;

use std::process::ExitCode;

use libtest_mimic::Arguments;
use vm_tests::{Kernel, product};

use suite::Suite;

fn suites() -> Vec<Suite> {
    vec![
        Suite::new("boots", boots::checks).with_payload(boots::payload).once(),
        Suite::new("walls", walls::checks).with_payload(product::payload),
        Suite::new("doors", doors::checks).with_payload(doors::payload).once_unless_asked(),
        Suite::new("admins", admins::checks).with_payload(admins::payload).once_unless_asked(),
        Suite::new("stacks", stacks::checks).with_payload(stacks::payload).once_unless_asked(),
        Suite::new("abuse", abuse::checks).with_payload(abuse::payload).once_unless_asked(),
        Suite::new("scripts", scripts::checks).with_payload(scripts::payload).once_unless_asked(),
        Suite::new("tellers", tellers::checks).with_payload(tellers::payload).once(),
        Suite::new("watchd", watchd::checks).with_payload(watchd::payload).once(),
        Suite::new("screens", screens::checks).with_payload(screens::payload).once(),
    ]
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Checks of a suite share a guest, and two guests at once would each be too slow for its limits.
    arguments.test_threads = Some(1);
    let kernels = match Kernel::chosen() {
        Ok(kernels) => kernels,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let conclusion = libtest_mimic::run(&arguments, suite::trials(&kernels, suites()));
    suite::let_go();
    conclusion.exit_code()
}
