//! The way in that users take.

use std::path::Path;
use std::process::Command;

/// Options that ssh, scp, sftp and rsync's `-e` have in common, up to the way of authentication.
const OPTIONS: [&str; 7] = [
    // Every guest is new, and none of them is who it was the last time.
    "StrictHostKeyChecking=no",
    "UserKnownHostsFile=/dev/null",
    "GlobalKnownHostsFile=/dev/null",
    "LogLevel=ERROR",
    "ConnectTimeout=30",
    // The one that is calculated soonest. There is nobody on the way who could listen.
    "KexAlgorithms=curve25519-sha256",
    // A login has to be a login.
    "ControlPath=none",
];

fn options(port: u16) -> Vec<String> {
    // Nothing that the host's user has configured.
    let mut options = vec!["-F".to_owned(), "none".to_owned()];
    // Spelled so, because -p and -P differ between ssh and scp.
    let port = format!("Port={port}");
    for option in OPTIONS.into_iter().chain([port.as_str()]) {
        options.extend(["-o".to_owned(), option.to_owned()]);
    }
    options
}

/// Options for a login with the key, which never ask anybody.
pub(crate) fn key_options(port: u16, key: &Path) -> Vec<String> {
    let mut all = options(port);
    all.extend(["-i".to_owned(), key.display().to_string()]);
    for option in ["IdentitiesOnly=yes", "BatchMode=yes"] {
        all.extend(["-o".to_owned(), option.to_owned()]);
    }
    all
}

/// `sshpass … ssh …` for a login with a password.
pub(crate) fn password_command(port: u16, user: &str, password: &str) -> Command {
    let mut command = Command::new("sshpass");
    command.args(["-p", password, "ssh"]).args(options(port));
    for option in ["PubkeyAuthentication=no", "PreferredAuthentications=password,keyboard-interactive"] {
        command.args(["-o", option]);
    }
    command.args(["-o", "NumberOfPasswordPrompts=1", &format!("{user}@127.0.0.1")]);
    command
}
