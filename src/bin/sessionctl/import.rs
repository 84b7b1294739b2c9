//! `import`: another program's configuration as a map.
#![forbid(unsafe_code)]

use std::io::Write;

use command_line::text::shown;
use session_sandbox::compat::{self, Beside, Kind, Loss};
use session_sandbox::{Error, host};

/// The map does not say all of it.
const WITH_LOSSES: u8 = 3;

/// What the host knows, and what lies beside the file.
fn beside(kind: Kind, file: &str, text: &str) -> Beside {
    let mut beside = Beside::default();
    if kind == Kind::PamChroot {
        let census = host::login_users();
        beside.users = census.names().map(str::to_owned).collect();
        beside.groups = census.group_names().map(str::to_owned).collect();
    }
    let Some((folder, _)) = file.rsplit_once('/') else { return beside };
    for name in compat::named_files(kind, text) {
        // One that is not there is a loss, which its importer tells.
        if let Ok(candidate) = host::read_candidate(&format!("{folder}/{name}")) {
            beside.files.push((name, candidate.file.text));
        }
    }
    beside
}

pub(crate) fn import(kind: Kind, file: &str) -> Result<u8, Error> {
    let text = match file {
        "-" => crate::check::standard_input()?,
        path => host::read_candidate(path)?.file.text,
    };
    let imported = compat::import_beside(kind, &text, &beside(kind, file, &text));
    crate::print(&imported.map)?;
    let mut err = std::io::stderr().lock();
    for Loss { line, text, reason } in &imported.losses {
        // The map has them as well, and the exit status says that there are some.
        let _ = writeln!(err, "{}:{line}: {}: {}", shown(file), shown(text), shown(reason));
    }
    Ok(if imported.losses.is_empty() { 0 } else { WITH_LOSSES })
}
