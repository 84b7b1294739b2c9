//! The way in that users take.

use std::io::Read;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::command::TICK;
use crate::{Context, Result};

/// Options that ssh, scp, sftp and rsync's `-e` have in common, up to the way of authentication.
const OPTIONS: [&str; 6] = [
    // Every guest is new, and none of them is who it was the last time.
    "StrictHostKeyChecking=no",
    "UserKnownHostsFile=/dev/null",
    "GlobalKnownHostsFile=/dev/null",
    "LogLevel=ERROR",
    "ConnectTimeout=30",
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

/// Waits until a server says what it is.
pub(crate) fn wait_for_banner(port: u16, limit: Duration, alive: &dyn Fn() -> Result<()>) -> Result<()> {
    let end = Instant::now() + limit;
    loop {
        let error = match banner(port) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        alive()?;
        if Instant::now() >= end {
            return Err(format!("sshd does not answer: {error}"));
        }
        std::thread::sleep(TICK);
    }
}

fn banner(port: u16) -> Result<()> {
    let shown = || format!("127.0.0.1:{port}");
    // qemu takes every connection, and then tries to get through to the guest.
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context(shown)?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).context(shown)?;
    let mut start = [0; 4];
    stream.read_exact(&mut start).context(shown)?;
    if &start == b"SSH-" { Ok(()) } else { Err(format!("{}: {start:?}", shown())) }
}
