//! The system log, as syslog(3) reaches it.

use std::os::unix::net::UnixDatagram;

/// How urgent a line is (`syslog.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Priority {
    /// LOG_ERR.
    Error = 3,
    /// LOG_WARNING.
    Warning = 4,
    /// LOG_INFO.
    Info = 6,
    /// LOG_DEBUG.
    Debug = 7,
}

/// LOG_AUTHPRIV: what logins are about is not for every user to read.
const FACILITY: u8 = 10;
/// As long a line as every log takes.
const LINE_MAX: usize = 2000;

/// Writes one line. A log that is full, or that is not there, keeps nobody waiting: the line is lost there.
pub fn line(priority: Priority, tag: &str, text: &str) {
    let end = text.char_indices().map(|(at, _)| at).find(|at| *at >= LINE_MAX).unwrap_or(text.len());
    let number = (FACILITY << 3) | priority as u8;
    let message = format!("<{number}>{tag}[{}]: {}", std::process::id(), &text[..end]);
    let Ok(socket) = UnixDatagram::unbound() else { return };
    if socket.set_nonblocking(true).is_ok() {
        let _ = socket.send_to(message.as_bytes(), "/dev/log");
    }
}
