//! Which run may start, and which has to wait. Pure: a run is started elsewhere.
//!
//! At most [`AT_ONCE`] run at a time, since a script at a logout may take minutes and a host may shut down with
//! thousands of sessions. The rest start in the order in which they came; but those about one session run one after
//! another, so that the end of a session is never told before its beginning has been dealt with.

use std::collections::{HashMap, VecDeque};
use std::fmt;

use crate::session::SessionId;

/// How many run at a time.
pub const AT_ONCE: usize = 64;

/// What a run is about. Runs about the same subject never run side by side.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Everything that killed processes left behind.
    Sweep,
    /// A session whose connection was held.
    Held(u64),
    /// A session of logind.
    Logind(SessionId),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sweep => f.write_str("what was left behind"),
            Self::Held(number) => write!(f, "Session{number}"),
            Self::Logind(id) => write!(f, "session {id} of logind"),
        }
    }
}

/// What is told of the subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It begins, with the arguments that say so.
    Added(Vec<String>),
    /// It has ended.
    Removed,
    /// It is to be looked after, whatever it is.
    Sweep,
}

/// One run of `session-scripts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// About what.
    pub subject: Subject,
    /// What happened.
    pub event: Event,
}

impl Run {
    /// The end of a subject.
    pub fn removed(subject: Subject) -> Self {
        Self { subject, event: Event::Removed }
    }

    /// The arguments, without the program's name.
    pub fn arguments(&self) -> Vec<String> {
        match (&self.event, &self.subject) {
            (Event::Added(arguments), _) => arguments.clone(),
            (Event::Sweep, _) | (Event::Removed, Subject::Sweep) => vec!["sweep".to_owned()],
            (Event::Removed, Subject::Held(number)) => {
                vec!["removed".to_owned(), format!("--name=Session{number}")]
            }
            (Event::Removed, Subject::Logind(id)) => {
                vec!["removed".to_owned(), "--from=logind".to_owned(), format!("--session={id}")]
            }
        }
    }

    /// The event as a word.
    pub fn verb(&self) -> &'static str {
        match self.event {
            Event::Added(_) => "added",
            Event::Removed => "removed",
            Event::Sweep => "sweep",
        }
    }
}

/// Runs that wait, and how many are under way.
#[derive(Debug, Default)]
pub struct Runs {
    /// Those that may start when there is room.
    ready: VecDeque<Run>,
    /// For each subject that has a run in `ready` or under way, those that follow it.
    followers: HashMap<Subject, VecDeque<Run>>,
    under_way: usize,
}

impl Runs {
    /// One more.
    pub fn submit(&mut self, run: Run) {
        match self.followers.get_mut(&run.subject) {
            Some(followers) => followers.push_back(run),
            None => {
                self.followers.insert(run.subject.clone(), VecDeque::new());
                self.ready.push_back(run);
            }
        }
    }

    /// A run that an earlier daemon started is still under way: what follows about its subject waits for it.
    pub fn adopt(&mut self, subject: Subject) {
        self.followers.entry(subject).or_default();
        self.under_way += 1;
    }

    /// The next one that may start now. It counts as under way until [`Runs::ended`] is called for its subject.
    pub fn start_next(&mut self) -> Option<Run> {
        if self.under_way >= AT_ONCE {
            return None;
        }
        let run = self.ready.pop_front()?;
        self.under_way += 1;
        Some(run)
    }

    /// The run about this subject that was under way has ended.
    pub fn ended(&mut self, subject: &Subject) {
        self.under_way = self.under_way.saturating_sub(1);
        match self.followers.get_mut(subject).and_then(VecDeque::pop_front) {
            Some(next) => self.ready.push_back(next),
            None => {
                self.followers.remove(subject);
                // A host that shut down ten thousand sessions does not keep the room that their ends took.
                if self.followers.is_empty() {
                    self.followers = HashMap::new();
                    self.ready = VecDeque::new();
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]
mod tests {
    use super::*;

    fn logind(id: &str) -> Subject {
        Subject::Logind(SessionId::new(id).unwrap())
    }

    fn added(subject: Subject) -> Run {
        Run { subject, event: Event::Added(vec!["added".to_owned()]) }
    }

    #[test]
    fn an_end_waits_for_the_beginning_and_holds_up_nobody_else() {
        let mut runs = Runs::default();
        runs.submit(added(logind("1")));
        runs.submit(Run::removed(logind("1")));
        runs.submit(Run::removed(Subject::Held(1)));
        runs.submit(added(logind("1")));
        assert_eq!(runs.start_next(), Some(added(logind("1"))));
        assert_eq!(runs.start_next(), Some(Run::removed(Subject::Held(1))));
        assert_eq!(runs.start_next(), None);
        runs.ended(&Subject::Held(1));
        assert_eq!(runs.start_next(), None);
        runs.ended(&logind("1"));
        assert_eq!(runs.start_next(), Some(Run::removed(logind("1"))));
        runs.ended(&logind("1"));
        assert_eq!(runs.start_next(), Some(added(logind("1"))));
        runs.ended(&logind("1"));
        assert_eq!(runs.start_next(), None);
        assert!(runs.followers.is_empty() && runs.under_way == 0);
    }

    #[test]
    fn only_so_many_run_at_once_and_the_rest_in_order() {
        let mut runs = Runs::default();
        for number in 0..200 {
            runs.submit(Run::removed(Subject::Held(number)));
        }
        let mut started: VecDeque<u64> = VecDeque::new();
        let mut all = Vec::new();
        loop {
            while let Some(run) = runs.start_next() {
                let Subject::Held(number) = run.subject else { continue };
                started.push_back(number);
                all.push(number);
            }
            assert!(started.len() <= AT_ONCE);
            let Some(number) = started.pop_front() else { break };
            runs.ended(&Subject::Held(number));
        }
        assert_eq!(all, (0..200).collect::<Vec<_>>());
    }

    #[test]
    fn what_follows_a_run_of_an_earlier_daemon_waits_for_it() {
        let mut runs = Runs::default();
        runs.adopt(logind("1"));
        runs.submit(Run::removed(logind("1")));
        assert_eq!(runs.start_next(), None);
        runs.ended(&logind("1"));
        assert_eq!(runs.start_next(), Some(Run::removed(logind("1"))));
    }

    #[test]
    fn arguments_say_what_ended() {
        assert_eq!(Run::removed(Subject::Held(7)).arguments(), ["removed", "--name=Session7"]);
        assert_eq!(Run::removed(logind("c1")).arguments(), ["removed", "--from=logind", "--session=c1"]);
        assert_eq!(Run { subject: Subject::Sweep, event: Event::Sweep }.arguments(), ["sweep"]);
    }
}
