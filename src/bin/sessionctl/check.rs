//! `check`: a map before somebody logs in.
#![forbid(unsafe_code)]

use std::io::Read;

use session_sandbox::check::{self, Format, Report, Request, Severity};
use session_sandbox::cli::terminal::screen;
use session_sandbox::{Error, ErrorKind, config};

pub(crate) fn check(request: &Request, strict: bool, format: &str) -> Result<u8, Error> {
    let stdin = if request.files.iter().any(|file| file == "-") { Some(standard_input()?) } else { None };
    show(&check::check(request, stdin)?, strict, format)
}

/// Prints what was found; the status says whether any of it is bad.
pub(crate) fn show(report: &Report, strict: bool, format: &str) -> Result<u8, Error> {
    let format = match format {
        "json" => Format::Json,
        "sarif" => Format::Sarif,
        _ => Format::Text,
    };
    crate::print(&report.told(format, screen()))?;
    let is_bad = report.count(Severity::Error) > 0 || (strict && report.count(Severity::Warning) > 0);
    Ok(u8::from(is_bad))
}

pub(crate) fn standard_input() -> Result<String, Error> {
    let failed = |error| Error::new(ErrorKind::Request, "cannot read standard input").caused_by(error);
    let mut text = String::new();
    // One byte more than a map may have, so that a longer one is seen to be too long.
    std::io::stdin().take(config::SIZE_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}
