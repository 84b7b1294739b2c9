//! Programs of the host, with a limit on how long they may take.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::{Context, Result};

/// What a program left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its exit status; 128 and the signal's number when it was killed by one, as in a shell.
    pub status: i32,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Output {
    /// The standard output of a program that succeeded; else an error that shows all there is.
    pub fn success(self) -> Result<String> {
        match self.status {
            0 => Ok(self.stdout),
            status => Err(format!("exit status {status}\nstdout: {}\nstderr: {}", self.stdout, self.stderr)),
        }
    }

    /// Did it exit with status 0?
    pub fn is_success(&self) -> bool {
        self.status == 0
    }
}

/// How often something that sends no message is looked at.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// How long what a program wrote is waited for once it has ended. A process that it left behind may keep its end
/// of the pipe.
const AFTER_EXIT: Duration = Duration::from_secs(2);

/// Runs a program with nothing on standard input. An error is that it could not be started or took too long.
pub fn run(command: &mut Command, limit: Duration) -> Result<Output> {
    let shown = format!("{command:?}");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context(|| shown.clone())?;
    let (stdout, stderr) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let status = wait(&mut child, limit).context(|| shown.clone())?;
    let text = |of: Receiver<Vec<u8>>, within: Duration| {
        let end = Instant::now() + within;
        let mut bytes = Vec::new();
        while let Ok(chunk) = of.recv_timeout(end.saturating_duration_since(Instant::now())) {
            bytes.extend(chunk);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let Some(status) = status else {
        let said = text(stderr, Duration::from_millis(100));
        return Err(format!("{shown}: not done after {limit:?}; stderr: {said}"));
    };
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1);
    Ok(Output { status: code, stdout: text(stdout, AFTER_EXIT), stderr: text(stderr, AFTER_EXIT) })
}

/// Runs a program that has to succeed, and returns what it wrote to standard output.
pub(crate) fn run_ok(command: &mut Command, limit: Duration) -> Result<String> {
    run(command, limit)?.success().context(|| format!("{command:?}"))
}

/// Waits for the end; kills at the limit, and then there is no status.
pub(crate) fn wait(child: &mut Child, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(TICK);
    }
}

/// Reads a pipe to its end, in a thread of its own.
fn collect(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let Some(mut pipe) = pipe else { return };
        let mut chunk = [0; 8192];
        while let Ok(length @ 1..) = pipe.read(&mut chunk) {
            if sender.send(chunk[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_streams_and_the_status_come_back() {
        let output = run(&mut shell("echo out; echo err >&2; exit 3"), Duration::from_secs(10)).unwrap();
        assert_eq!(output, Output { status: 3, stdout: "out\n".into(), stderr: "err\n".into() });
        let output = run(&mut shell("kill -KILL $$"), Duration::from_secs(10)).unwrap();
        assert_eq!(output.status, 137);
    }

    #[test]
    fn a_program_that_takes_too_long_is_an_error_that_names_it() {
        let begin = Instant::now();
        let error = run(&mut shell("echo stuck >&2; exec sleep 60"), Duration::from_millis(300)).unwrap_err();
        assert!(error.contains("/bin/sh") && error.contains("stuck"), "{error}");
        assert!(begin.elapsed() < Duration::from_secs(20));
    }
}
