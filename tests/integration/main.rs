//! What a user sees, proved on the built program and the real kernel.
//!
//! One file for each behaviour; [`support`] holds what they share. Tests run side by side in threads, and none of
//! them changes the process that runs them: whatever needs another identity, another mount table or another folder
//! happens in a child. What a host needs for a test is written at the test; where it is missing the test is shown as
//! ignored with the reason, and fails instead when `CI=true` or `SESSION_TESTS_REQUIRE_ALL=1`.
//!
//! This binary also plays other roles, decided before any thread is started: the probe that looks around inside a
//! session, and the one test that runs in a mount table of its own ([`support::isolated`]).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    clippy::disallowed_methods,
    reason = "a test's way to fail is to stop; the project's rules for programs that run as root are not about it"
)]
#![allow(
    unsafe_code,
    reason = "what is done between fork and exec, and what the standard library has no call for"
)]
#![allow(
    unreachable_pub,
    reason = "nothing is reached from outside of a test; `pub` is what other files may use"
)]

mod attacks;
mod audited;
mod badinput;
mod badsource;
mod begun;
mod chrooted;
mod culprits;
mod deadfuse;
mod discover;
mod enter;
mod examples;
mod explained;
mod faults;
mod hostview;
mod identity;
mod imported;
mod imported_fstab;
mod inherited;
mod instances;
mod isolation;
mod maps;
mod mountinfo;
mod namespaced;
mod options;
mod pam;
mod prepare;
mod propagation;
mod property;
mod races;
mod realwork;
mod rootless;
mod schrooted;
mod scripts;
mod selftested;
mod sharing;
mod support;
mod terminal;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn trials() -> Vec<Trial> {
    [
        attacks::trials(),
        audited::trials(),
        selftested::trials(),
        badinput::trials(),
        badsource::trials(),
        begun::trials(),
        chrooted::trials(),
        culprits::trials(),
        deadfuse::trials(),
        discover::trials(),
        identity::trials(),
        enter::trials(),
        examples::trials(),
        explained::trials(),
        hostview::trials(),
        imported::trials(),
        imported_fstab::trials(),
        inherited::trials(),
        instances::trials(),
        isolation::trials(),
        namespaced::trials(),
        options::trials(),
        pam::trials(),
        prepare::trials(),
        realwork::trials(),
        rootless::trials(),
        schrooted::trials(),
        scripts::trials(),
        sharing::trials(),
        terminal::trials(),
        faults::trials(),
        propagation::trials(),
        property::trials(),
        races::trials(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn main() -> ExitCode {
    if let Some(code) = support::play_role(trials) {
        return code;
    }
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials());
    support::users::let_go();
    conclusion.exit_code()
}
