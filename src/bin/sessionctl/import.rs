//! `import`: another program's configuration as a map.
#![forbid(unsafe_code)]

use std::io::Write;

use command_line::text::shown;
use session_sandbox::compat::{self, Kind, Loss};
use session_sandbox::{Error, host};

/// The map does not say all of it.
const WITH_LOSSES: u8 = 3;

pub(crate) fn import(kind: Kind, file: &str) -> Result<u8, Error> {
    let text = match file {
        "-" => crate::check::standard_input()?,
        path => host::read_candidate(path)?.file.text,
    };
    let imported = compat::import(kind, &text);
    crate::print(&imported.map)?;
    let mut err = std::io::stderr().lock();
    for Loss { line, text, reason } in &imported.losses {
        // The map has them as well, and the exit status says that there are some.
        let _ = writeln!(err, "{}:{line}: {}: {}", shown(file), shown(text), shown(reason));
    }
    Ok(if imported.losses.is_empty() { 0 } else { WITH_LOSSES })
}
