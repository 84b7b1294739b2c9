//! The beginning of a program that a login waits for.
//!
//! Before it calls `main` Rust's standard library asks the C library how far the stack reaches, and makes a second one to
//! say on it that the first has overflowed. The C library reads `/proc/self/maps` for that: together a tenth of a
//! millisecond, a fifth of what starting `/bin/true` costs. [`program!`](crate::program) leaves it out. An overflow still
//! ends the program, with SIGSEGV and no word; every other thing that the standard library does there, [`program`] does.

use std::ffi::c_int;
use std::io::Write;
use std::panic::UnwindSafe;

use nix::sys::signal::{SigHandler, Signal, signal};

/// What a program ends with that has panicked, as the standard library has it.
const PANICKED: u8 = 101;

/// Does `work`, and says what the program ends with.
///
/// As in every Rust program the standard descriptors are open, a pipe without a reader is an error of the write, and what
/// has been written to standard output arrives there before the end.
pub fn program(work: impl FnOnce() -> u8 + UnwindSafe) -> c_int {
    open_standard();
    // SAFETY: ignoring a signal runs no code of this program. The call cannot fail for this one.
    let _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) };
    let status = std::panic::catch_unwind(work).unwrap_or(PANICKED);
    let _ = std::io::stdout().flush();
    status.into()
}

/// Opens `/dev/null` on the standard descriptors that are closed: a file that is opened later must not be taken for one.
fn open_standard() {
    for fd in 0..=2 {
        // SAFETY: asking for a descriptor's flags changes nothing, and the path is a C string. (Not by `poll`, to which a
        // descriptor that is only a place looks closed.)
        let is_open = unsafe { libc::fcntl(fd, libc::F_GETFD) } != -1
            // All below it are open: the lowest free number is this one.
            || unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) } == fd;
        if !is_open {
            std::process::abort();
        }
    }
}

/// Makes `$work`, a function that returns the exit status, the program. The file that says so is headed by
/// `#![cfg_attr(all(target_env = "gnu", not(test)), no_main)]` and by `#![deny(unsafe_code)]`.
///
/// In tests, and elsewhere than with the GNU C library, which hands the arguments to the standard library by itself, it is an
/// ordinary `main`.
#[macro_export]
macro_rules! program {
    ($work:path) => {
        // The name is what the C library looks for; nothing else of it needs a promise.
        #[cfg(all(target_env = "gnu", not(test)))]
        #[allow(unsafe_code)]
        #[unsafe(no_mangle)]
        extern "C" fn main() -> ::std::ffi::c_int {
            $crate::sys::start::program($work)
        }

        #[cfg(not(all(target_env = "gnu", not(test))))]
        fn main() -> ::std::process::ExitCode {
            ::std::process::ExitCode::from($work())
        }
    };
}
