//! A private `dbus-daemon` with the rules of a system bus: anybody may send a signal to anybody.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{World, until};

const CONFIG: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=PATH</listen>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow send_type="signal"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
"#;

fn program() -> Option<PathBuf> {
    let folders = ["/usr/bin", "/bin", "/usr/local/bin"];
    folders.iter().map(|folder| Path::new(folder).join("dbus-daemon")).find(|path| path.exists())
}

/// Is there one?
pub fn is_installed() -> bool {
    program().is_some()
}

/// The bus, for as long as it is not dropped.
#[derive(Debug)]
pub struct Bus {
    child: Child,
    socket: PathBuf,
}

impl Bus {
    /// One in this world, always at the same address.
    pub fn start(world: &World) -> Self {
        let (socket, config) = (world.path("bus"), world.path("bus.conf"));
        let _ = std::fs::remove_file(&socket);
        std::fs::write(&config, CONFIG.replace("PATH", &socket.display().to_string())).unwrap();
        let child = Command::new(program().unwrap())
            .arg(format!("--config-file={}", config.display()))
            .args(["--nofork", "--nopidfile", "--nosyslog"])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until("a bus", || std::os::unix::net::UnixStream::connect(&socket).ok());
        Self { child, socket }
    }

    /// Where it is.
    pub fn address(&self) -> String {
        format!("unix:path={}", self.socket.display())
    }

    /// The option that has the daemon use it.
    pub fn option(&self) -> String {
        format!("--bus={}", self.address())
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.socket);
    }
}
