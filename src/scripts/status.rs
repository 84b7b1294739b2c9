//! What has been run for a session, for people and programs that ask. Pure.

use std::fmt::Write;

use serde::Serialize;

use super::journal::Line;
use super::session::Session;
use crate::model::scripts::{Event, Kind};

/// How far a session's scripts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Those of its beginning run.
    Beginning,
    /// It lives, or nobody has noticed its end.
    Open,
    /// A script refused it.
    Refused,
    /// Those of its end run.
    Ending,
    /// All have run.
    Ended,
}

/// A session and its scripts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The session.
    pub session: Session,
    /// How far it is.
    pub state: State,
    /// When its scripts began, in seconds since 1970.
    pub began: Option<u64>,
    /// Its scripts, in the order in which they were started or passed over.
    pub scripts: Vec<Script>,
}

/// A script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Script {
    /// When.
    pub event: Event,
    /// Which.
    pub name: String,
    /// How it was started; `None` where it was not.
    pub kind: Option<Kind>,
    /// `running`, how it ended, or why it was not run.
    pub how: String,
    /// Did it fail?
    pub failed: bool,
    /// Milliseconds.
    pub took: Option<u64>,
    /// What it wrote, as far as it is kept.
    pub output: String,
    /// How many bytes more.
    pub dropped: u64,
    /// Variables that it may not set.
    pub refused: Vec<String>,
}

/// What the lines of a record come to; `None` for a record that was cut off at its beginning.
pub fn status(lines: &[Line]) -> Option<Status> {
    let session = lines.iter().rev().find_map(|line| match line {
        Line::Session(session) => Some((**session).clone()),
        _ => None,
    })?;
    let mut status = Status { session, state: State::Beginning, began: None, scripts: Vec::new() };
    for line in lines {
        match line {
            Line::Session(_) => {}
            Line::Begin { event: Event::Added, at } => status.began = Some(*at),
            Line::Begin { event: Event::Removed, .. } => status.state = State::Ending,
            Line::Done { event: Event::Added, refused, .. } if status.state == State::Beginning => {
                status.state = if *refused { State::Refused } else { State::Open };
            }
            Line::Done { event: Event::Removed, .. } => status.state = State::Ended,
            Line::Done { .. } | Line::Submitted { .. } => {}
            Line::Skipped { event, name, why } => {
                let script = status.script(*event, name);
                script.how = format!("not run: {why}");
                script.failed = true;
            }
            Line::Start { event, name, kind, .. } => {
                let script = status.script(*event, name);
                script.kind = Some(*kind);
                "running".clone_into(&mut script.how);
            }
            Line::End { event, name, how, failed, took, output, dropped } => {
                let script = status.script(*event, name);
                script.how.clone_from(how);
                script.failed = *failed;
                script.took = Some(*took);
                script.output.clone_from(output);
                script.dropped = *dropped;
            }
            Line::Variables { name, said } => {
                status.script(Event::Added, name).refused.clone_from(&said.refused);
            }
        }
    }
    Some(status)
}

impl Status {
    fn script(&mut self, event: Event, name: &str) -> &mut Script {
        let at = self.scripts.iter().position(|script| script.event == event && script.name == name);
        let at = at.unwrap_or_else(|| {
            self.scripts.push(Script {
                event,
                name: name.to_owned(),
                kind: None,
                how: String::new(),
                failed: false,
                took: None,
                output: String::new(),
                dropped: 0,
                refused: Vec::new(),
            });
            self.scripts.len() - 1
        });
        &mut self.scripts[at]
    }

    /// How many scripts failed, or were not run.
    pub fn failures(&self) -> usize {
        self.scripts.iter().filter(|script| script.failed).count()
    }

    /// All of it, for people.
    pub fn text(&self) -> String {
        let Session { name, user, .. } = &self.session;
        let service = self.session.service();
        let service = if service.is_empty() { self.session.source.name() } else { service };
        let state = format!("{:?}", self.state).to_lowercase();
        let mut text = format!("{name}  {}  {service}  {state}\n", super::text::printable(user));
        for script in &self.scripts {
            let mark = if script.failed { "!" } else { " " };
            let took = script.took.map_or_else(String::new, |took| format!("  {}", duration(took)));
            let _ = writeln!(text, "{mark} {}  {}{took}", script.name, script.how);
            for line in script.output.lines() {
                let _ = writeln!(text, "      {line}");
            }
            if script.dropped > 0 {
                let _ = writeln!(text, "      ... and {} bytes more", script.dropped);
            }
            for refused in &script.refused {
                let _ = writeln!(text, "      variable refused: {refused}");
            }
        }
        text
    }
}

fn duration(milliseconds: u64) -> String {
    match milliseconds {
        0..10_000 => format!("{milliseconds} ms"),
        10_000..600_000 => format!("{} s", milliseconds / 1000),
        _ => format!("{} min", milliseconds / 60_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripts::journal::parse;

    const RECORD: &str = r#"{"session":{"name":"Session7","source":"pam","user":"bob","uid":1,"gid":1,"groups":[1],"group":"b","home":"/home/bob","shell":"/bin/sh","facts":{"service":"sshd"},"first":true,"gate_open":true}}
{"begin":{"event":"added","at":77}}
{"skipped":{"event":"added","name":"added/README","why":"no number"}}
{"start":{"event":"added","name":"added/10W-a","kind":"wait","process":null}}
{"variables":{"name":"added/10W-a","said":{"set":{"X":"1"},"refused":["LD_X: no"]}}}
{"end":{"event":"added","name":"added/10W-a","how":"exit 3","failed":true,"took":12,"output":"one\ntwo\n","dropped":5}}
{"start":{"event":"added","name":"added/50-b","kind":"listed","process":null}}
"#;

    #[test]
    fn a_record_is_told_in_the_order_of_what_happened() {
        let begun = status(&parse(RECORD.as_bytes())).unwrap();
        assert_eq!((begun.state, begun.failures(), begun.began), (State::Beginning, 2, Some(77)));
        let text = "Session7  bob  sshd  beginning\n! added/README  not run: no number\n\
                    ! added/10W-a  exit 3  12 ms\n      one\n      two\n      ... and 5 bytes more\n      \
                    variable refused: LD_X: no\n  added/50-b  running\n";
        assert_eq!(begun.text(), text);
        let done = [RECORD, "{\"done\":{\"event\":\"added\",\"at\":78,\"refused\":false}}\n"].concat();
        assert_eq!(status(&parse(done.as_bytes())).unwrap().state, State::Open);
        let ends = [&done, "{\"begin\":{\"event\":\"removed\",\"at\":79}}\n"].concat();
        assert_eq!(status(&parse(ends.as_bytes())).unwrap().state, State::Ending);
        assert!(status(&[]).is_none());
    }
}
