//! Root's way in beside every login program: scripts go through a virtio port to `guest/agent`, which runs them.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::payload::Payload;
use crate::{Context, Output, Result};

/// The name of the port.
pub(crate) const PORT: &str = "vm-tests.root";
/// What the kernel's command line makes systemd start.
pub(crate) const UNITS: [&str; 2] = ["vm-agent.service", "vm-up.service"];

/// How often it is asked whether there is still somebody to wait for.
const LOOK: Duration = Duration::from_millis(250);
/// The guest ends a script at its limit; this is for its answer to get here.
const ANSWER: Duration = Duration::from_secs(30);

/// The host's end of the port.
#[derive(Debug)]
pub(crate) struct Agent {
    stream: UnixStream,
    received: Vec<u8>,
    count: u64,
    boot: String,
}

/// Says why there is nothing more to wait for.
pub(crate) type Alive<'a> = &'a dyn Fn() -> Result<()>;

/// Adds the guest's half.
pub(crate) fn add_to(payload: Payload) -> Payload {
    payload
        .file("/usr/local/lib/vm-tests/agent", 0o755, include_bytes!("../guest/agent"))
        .file("/etc/systemd/system/vm-agent.service", 0o644, include_bytes!("../guest/vm-agent.service"))
        .file("/etc/systemd/system/vm-up.service", 0o644, include_bytes!("../guest/vm-up.service"))
}

impl Agent {
    pub(crate) fn on(stream: UnixStream) -> Result<Self> {
        stream.set_read_timeout(Some(LOOK)).context(|| "the agent's socket".to_owned())?;
        Ok(Self { stream, received: Vec::new(), count: 0, boot: String::new() })
    }

    /// Waits for the agent of a start other than the last one.
    pub(crate) fn wait_for_boot(&mut self, limit: Duration, alive: Alive<'_>) -> Result<()> {
        let end = Instant::now() + limit;
        loop {
            let line = self.line(end, alive).context(|| "waiting for the guest's agent".to_owned())?;
            if let Some(boot) = line.strip_prefix("ready ")
                && boot != self.boot
            {
                self.boot = boot.to_owned();
                return Ok(());
            }
        }
    }

    /// Runs a script with bash. It is ended at the limit, with status 124.
    pub(crate) fn run(&mut self, script: &str, limit: Duration, alive: Alive<'_>) -> Result<Output> {
        let shown = || format!("as root: {script}");
        self.send(script, limit).context(shown)?;
        self.answer(Instant::now() + limit + ANSWER, alive).context(shown)
    }

    /// Sends a script whose answer nobody waits for: it ends the guest.
    pub(crate) fn send(&mut self, script: &str, limit: Duration) -> Result<()> {
        self.count += 1;
        // An alarm of zero seconds is none.
        let seconds = limit.as_secs() + 1;
        let request = format!("run {} {seconds} {}\n{script}", self.count, script.len());
        self.stream.write_all(request.as_bytes()).context(|| "cannot write to the agent".to_owned())
    }

    fn answer(&mut self, end: Instant, alive: Alive<'_>) -> Result<Output> {
        loop {
            let line = self.line(end, alive)?;
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["done", number, status, stdout, stderr] => {
                    let length = |word: &str| word.parse::<usize>().context(|| line.clone());
                    let status = status.parse().context(|| line.clone())?;
                    let is_ours = *number == self.count.to_string();
                    let stdout = self.text(length(stdout)?, end, alive)?;
                    let stderr = self.text(length(stderr)?, end, alive)?;
                    // That of a script which was given up comes late, and before the one that is waited for.
                    if is_ours {
                        return Ok(Output { status, stdout, stderr });
                    }
                }
                ["ready", boot] => {
                    self.boot = (*boot).to_owned();
                    return Err("the agent was started anew while the script ran".to_owned());
                }
                _ => return Err(format!("the agent answers {line:?}")),
            }
        }
    }

    fn line(&mut self, end: Instant, alive: Alive<'_>) -> Result<String> {
        loop {
            if let Some(at) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=at).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            self.receive(end, alive)?;
        }
    }

    fn text(&mut self, length: usize, end: Instant, alive: Alive<'_>) -> Result<String> {
        while self.received.len() < length {
            self.receive(end, alive)?;
        }
        let bytes: Vec<u8> = self.received.drain(..length).collect();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn receive(&mut self, end: Instant, alive: Alive<'_>) -> Result<()> {
        let mut chunk = [0; 8192];
        match self.stream.read(&mut chunk) {
            Ok(0) => {
                alive()?;
                Err("the guest's machine has closed the agent's port".to_owned())
            }
            Ok(length) => {
                self.received.extend(&chunk[..length]);
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                alive()?;
                if Instant::now() >= end {
                    Err("no answer from the agent in time".to_owned())
                } else {
                    Ok(())
                }
            }
            Err(error) => Err(format!("cannot read from the agent: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Agent, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Agent::on(ours).unwrap(), theirs)
    }

    const LIMIT: Duration = Duration::from_secs(10);

    #[test]
    fn an_answer_is_told_from_that_of_a_script_that_was_given_up() {
        let (mut agent, mut guest) = pair();
        agent.send("given up", LIMIT).unwrap();
        guest.write_all(b"done 1 124 3 0\nolddone 2 7 4 6\nout\nerror\n").unwrap();
        let output = agent.run("true", LIMIT, &|| Ok(())).unwrap();
        assert_eq!(output, Output { status: 7, stdout: "out\n".into(), stderr: "error\n".into() });
        let mut asked = [0; 64];
        let length = guest.read(&mut asked).unwrap();
        assert_eq!(&asked[..length], b"run 1 11 8\ngiven uprun 2 11 4\ntrue");
    }

    #[test]
    fn a_new_start_is_told_from_the_last_one() {
        let (mut agent, mut guest) = pair();
        guest.write_all(b"ready a\nready a\nrubbish\nready b\n").unwrap();
        agent.wait_for_boot(LIMIT, &|| Ok(())).unwrap();
        agent.wait_for_boot(LIMIT, &|| Ok(())).unwrap();
        assert_eq!(agent.boot, "b");
        let dead = agent.wait_for_boot(LIMIT, &|| Err("qemu has ended".to_owned())).unwrap_err();
        assert!(dead.contains("qemu has ended"), "{dead}");
    }
}
