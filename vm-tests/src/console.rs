//! The serial console: what the guest writes there, and a hand on its keyboard.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::{Context, Result};

/// A guest's serial console, from the first line of its kernel on.
#[derive(Debug)]
pub struct Console {
    stream: UnixStream,
    screen: Arc<Screen>,
}

#[derive(Debug, Default)]
struct Screen {
    text: Mutex<Text>,
    grown: Condvar,
}

#[derive(Debug, Default)]
struct Text {
    bytes: Vec<u8>,
    /// Up to where [`Console::expect`] has looked.
    read: usize,
    /// Where the last start began.
    start: usize,
}

impl Screen {
    fn text(&self) -> MutexGuard<'_, Text> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Console {
    /// Begins to read. With `SESSION_VM_LOG=1` everything is shown as it comes.
    pub(crate) fn on(stream: UnixStream) -> Result<Self> {
        let screen = Arc::new(Screen::default());
        let mut reader = stream.try_clone().context(|| "the console's socket".to_owned())?;
        let shown = std::env::var_os("SESSION_VM_LOG").is_some_and(|value| value == "1");
        let writer = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut chunk) {
                writer.text().bytes.extend(&chunk[..length]);
                writer.grown.notify_all();
                if shown {
                    // Who asked for it can do without it when nobody reads it.
                    let _ = std::io::stderr().write_all(&chunk[..length]);
                }
            }
        });
        Ok(Self { stream, screen })
    }

    /// Types this. A line ends with `\n`.
    pub fn send(&self, text: &str) -> Result<()> {
        (&self.stream).write_all(text.as_bytes()).context(|| format!("cannot type {text:?} on the console"))
    }

    /// Waits until the guest has written `text`, and returns everything from where the last call ended up to there.
    pub fn expect(&self, text: &str, limit: Duration) -> Result<String> {
        let end = Instant::now() + limit;
        let mut screen = self.screen.text();
        loop {
            let new = screen.bytes.get(screen.read..).unwrap_or_default();
            if let Some(at) = find(new, text.as_bytes()) {
                let seen = String::from_utf8_lossy(&new[..at + text.len()]).into_owned();
                screen.read += at + text.len();
                return Ok(seen);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let new = String::from_utf8_lossy(new).into_owned();
                return Err(format!("no {text:?} on the console within {limit:?}, but {new:?}"));
            }
            let waited = self.screen.grown.wait_timeout(screen, left);
            screen = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Leaves out what was written until now: [`expect`](Self::expect) looks at what comes.
    pub fn skip(&self) {
        let mut screen = self.screen.text();
        screen.read = screen.bytes.len();
    }

    /// Everything that was ever written.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.screen.text().bytes).into_owned()
    }

    /// What comes from now on is another start's.
    pub(crate) fn note_start(&self) {
        let mut screen = self.screen.text();
        screen.start = screen.bytes.len();
    }

    /// Has the kernel given up?
    pub(crate) fn has_panicked(&self) -> bool {
        let screen = self.screen.text();
        let this_start = screen.bytes.get(screen.start..).unwrap_or_default();
        find(this_start, b"Kernel panic - not syncing").is_some()
    }

    /// Its last lines, for an error.
    pub(crate) fn last_lines(&self, count: usize) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().map(str::trim_end).collect();
        lines.get(lines.len().saturating_sub(count)..).unwrap_or_default().join("\n")
    }
}

fn find(within: &[u8], what: &[u8]) -> Option<usize> {
    within.windows(what.len().max(1)).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_expected_is_not_found_again() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let console = Console::on(ours).unwrap();
        let limit = Duration::from_secs(10);
        (&theirs).write_all(b"a login: b login: ").unwrap();
        assert_eq!(console.expect("login: ", limit).unwrap(), "a login: ");
        assert_eq!(console.expect("login: ", limit).unwrap(), "b login: ");
        let error = console.expect("login: ", Duration::from_millis(50)).unwrap_err();
        assert!(error.contains("login"), "{error}");
        assert_eq!(console.log(), "a login: b login: ");
    }
}
