//! qemu's monitor.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::{Context, Result};

const LIMIT: Duration = Duration::from_secs(20);

/// A connection to the monitor of one machine.
#[derive(Debug)]
pub(crate) struct Monitor {
    stream: BufReader<UnixStream>,
}

impl Monitor {
    /// Says hello.
    pub(crate) fn on(stream: UnixStream) -> Result<Self> {
        stream.set_read_timeout(Some(LIMIT)).context(|| "the monitor's socket".to_owned())?;
        let mut monitor = Self { stream: BufReader::new(stream) };
        monitor.receive().context(|| "no greeting from qemu's monitor".to_owned())?;
        monitor.execute(&json!({"execute": "qmp_capabilities"}))?;
        Ok(monitor)
    }

    /// As if the power had been cut and came back.
    pub(crate) fn system_reset(&mut self) -> Result<()> {
        self.execute(&json!({"execute": "system_reset"})).map(|_| ())
    }

    /// The port of the host that leads to one of the guest's.
    pub(crate) fn forwarded_port(&mut self, guest_port: u16) -> Result<u16> {
        let ask = json!({"command-line": "info usernet"});
        let answer = self.execute(&json!({"execute": "human-monitor-command", "arguments": ask}))?;
        let listed = answer.as_str().unwrap_or_default();
        host_port(listed, guest_port)
            .ok_or_else(|| format!("qemu forwards no port to {guest_port} of the guest: {listed}"))
    }

    fn execute(&mut self, command: &Value) -> Result<Value> {
        let shown = || format!("qemu's monitor, {command}");
        self.stream.get_mut().write_all(format!("{command}\n").as_bytes()).context(shown)?;
        loop {
            let mut answer = self.receive().context(shown)?;
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
            if let Some(error) = answer.get("error") {
                return Err(format!("{}: {error}", shown()));
            }
            // What else there is are events.
        }
    }

    fn receive(&mut self) -> Result<Value> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => Err("it has closed the connection".to_owned()),
            Ok(_) => serde_json::from_str(&line).context(|| line.clone()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Reads the table of connections: protocol and state, descriptor, address and port of the host, and of the guest.
fn host_port(listed: &str, guest_port: u16) -> Option<u16> {
    listed.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        match fields.as_slice() {
            ["TCP[HOST_FORWARD]", _, _, port, _, to, ..] if *to == guest_port.to_string() => {
                port.parse().ok()
            }
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::host_port;

    #[test]
    fn the_forwarded_port_is_read_from_the_table() {
        let listed = "Hub -1 (net0):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n  \
                      TCP[HOST_FORWARD]  13       127.0.0.1 40531       10.0.2.15    22     0     0\r\n";
        assert_eq!(host_port(listed, 22), Some(40531));
        assert_eq!(host_port(listed, 80), None);
    }
}
