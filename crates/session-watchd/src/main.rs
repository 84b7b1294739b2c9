//! Watches sessions and has `session-scripts` act on their beginnings and ends.
#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;

use session_watchd::options::{self, Reading};
use session_watchd::{Error, Result, daemon, say};

/// What all programs of this project end with when they could not do their work.
const FAILED: u8 = 125;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(error.chain());
            ExitCode::from(FAILED)
        }
    }
}

fn run() -> Result<()> {
    match options::read(std::env::args_os(), |name| std::env::var_os(name))? {
        Reading::Do(options) => daemon::run(*options),
        Reading::Say(text) => {
            let mut out = std::io::stdout().lock();
            let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            written.map_err(|error| Error::new("write(standard output)", error))
        }
    }
}
