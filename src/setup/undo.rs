//! Taking back what was written down: what a person has changed since stays, and only what is ours goes. Pure.

use std::collections::BTreeMap;

use super::change::{Change, File, Found, hash};
use super::pam::{self, text};
use super::pam_stack::asks_module;
use super::record::{Entry, Record};
use crate::error::{Error, ErrorKind};

/// The changes that take `record` back. `found` is what is at its paths, `facts` what the method `pam` depends on.
pub fn plan(
    record: &Record,
    found: &BTreeMap<String, Found>,
    facts: &pam::Facts,
) -> Result<Vec<Change>, Error> {
    let mut changes = Vec::new();
    let mut refused = Vec::new();
    for entry in &record.entries {
        let at = entry.path().and_then(|path| found.get(path)).unwrap_or(&Found::Missing);
        let change = match entry {
            Entry::Line { path, line, before, .. } => without_line(path, at, line, before),
            Entry::Made { path, after } => without_file(path, at, after),
            Entry::Profile { .. } => Ok(without_profile(facts)),
        };
        match change {
            Ok(change) => changes.extend(change),
            Err(why) => refused.push(why),
        }
    }
    if refused.is_empty() {
        return Ok(changes);
    }
    Err(Error::new(ErrorKind::Host, format!("nothing was taken back: {}", refused.join("; ")))
        .help("put it right by hand, then run this again"))
}

/// The file without exactly that line; nothing to do where the line, and the module with it, has gone.
fn without_line(path: &str, at: &Found, line: &str, before: &str) -> Result<Option<Change>, String> {
    let file = match at {
        Found::File(file) => file,
        Found::Missing => return Ok(None),
        Found::Link(to) => return Err(format!("{path} is a link to {to} now")),
        Found::Other => return Err(format!("{path} is no regular file now")),
    };
    let kept: Vec<&[u8]> =
        file.content.split_inclusive(|byte| *byte == b'\n').filter(|it| !is_line(it, line)).collect();
    let mut content = kept.concat();
    if content == file.content {
        return if asks_module(&text(file)) {
            Err(format!("the line in {path} was changed by hand, it is no longer `{line}`"))
        } else {
            Ok(None)
        };
    }
    // A file without an end of its last line got one.
    if hash(&content) != before
        && let Some(shorter) = content.strip_suffix(b"\n")
        && hash(shorter) == before
    {
        content.truncate(shorter.len());
    }
    let after = File { content, ..file.clone() };
    Ok(Some(Change::Write { path: path.to_owned(), before: Some(file.clone()), after }))
}

fn is_line(found: &[u8], line: &str) -> bool {
    found.strip_suffix(b"\n").unwrap_or(found) == line.as_bytes()
}

fn without_file(path: &str, at: &Found, after: &str) -> Result<Option<Change>, String> {
    match at {
        Found::Missing => Ok(None),
        Found::File(file) if file.hash() == after => {
            Ok(Some(Change::Remove { path: path.to_owned(), before: file.clone() }))
        }
        Found::File(_) => Err(format!("{path} was changed by hand; move it away")),
        Found::Link(_) | Found::Other => Err(format!("{path} is no regular file now; move it away")),
    }
}

fn without_profile(facts: &pam::Facts) -> Option<Change> {
    let result: Vec<(String, bool)> =
        pam::managed_with_module(facts).into_iter().map(|path| (path, false)).collect();
    let command = pam::pam_auth_update(facts, "--disable");
    (!result.is_empty()).then_some(Change::Run { command, result })
}
