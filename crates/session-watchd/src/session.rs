//! What logind says of a session, and what `session-scripts` is told of it. Pure: nothing is asked or done here.

use std::collections::HashMap;
use std::fmt;

/// A value that is longer is no host and no terminal; and there is a limit to what a program can be given.
const VALUE_MAX: usize = 4096;
/// logind's ids are numbers, or a letter and a number.
const ID_MAX: usize = 64;

/// The id of a session: letters, digits, `_` and `-`, so that it can be the name of a file and part of an argument.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(Box<str>);

impl SessionId {
    /// The id, if it is one.
    pub fn new(text: &str) -> Option<Self> {
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        let is_id = !text.is_empty() && text.len() <= ID_MAX && text.bytes().all(is_known);
        is_id.then(|| Self(text.into()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// When a session of logind has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With the process that logged in, or with the session object if that goes first.
    LeaderExit,
    /// With the session object, which stays as long as any process of the session does.
    ScopeEmpty,
}

impl End {
    /// By its name on the command line.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "leader-exit" => Some(Self::LeaderExit),
            "scope-empty" => Some(Self::ScopeEmpty),
            _ => None,
        }
    }
}

/// Which classes of sessions count. Those of greeters, lock screens, user managers and background jobs are nobody's
/// logins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes(Vec<String>);

impl Default for Classes {
    fn default() -> Self {
        Self(["user", "user-early", "user-light"].map(str::to_owned).to_vec())
    }
}

impl Classes {
    /// These and no others.
    pub fn only(names: Vec<String>) -> Self {
        Self(names)
    }

    /// Does a session of this class count?
    pub fn count(&self, class: &str) -> bool {
        self.0.iter().any(|known| known == class)
    }
}

/// A property of a session object, as far as any that is used here needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Property {
    /// A text, or the text that a structure begins with: the name of a seat.
    Text(String),
    /// A number, or the number that a structure begins with: a user's.
    Number(u32),
}

/// All of a session object's properties.
pub type Properties = HashMap<String, Property>;

/// A session as logind described it, once: at its end there is nobody left to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Its user's number.
    pub uid: u32,
    /// Its user's name.
    pub user: String,
    /// `user`, `greeter` and so on.
    pub class: String,
    /// The process that logged in.
    pub leader: Option<i32>,
    /// Is it over, but for processes that it left behind?
    pub is_closing: bool,
    /// What else `session-scripts` is told, as arguments.
    facts: Vec<String>,
}

/// Which property becomes which argument.
const FACTS: [(&str, &str); 8] = [
    ("service", "Service"),
    ("tty", "TTY"),
    ("rhost", "RemoteHost"),
    ("ruser", "RemoteUser"),
    ("display", "Display"),
    ("type", "Type"),
    ("class", "Class"),
    ("seat", "Seat"),
];

impl Session {
    /// The session with this id; the error says what its properties lack.
    pub fn of(id: SessionId, properties: &Properties) -> Result<Self, String> {
        let text = |name: &str| match properties.get(name) {
            Some(Property::Text(text)) => text.as_str(),
            _ => "",
        };
        let number = |name: &str| match properties.get(name) {
            Some(Property::Number(number)) => Some(*number),
            _ => None,
        };
        if text("Id") != id.as_str() {
            return Err(format!("its properties are those of {:?}", text("Id")));
        }
        let user = text("Name");
        if user.is_empty() || !can_be_said(user) {
            return Err(format!("its user's name is {user:?}"));
        }
        let mut facts: Vec<String> = FACTS
            .iter()
            .map(|(key, name)| (key, text(name)))
            .filter(|(_, value)| !value.is_empty() && can_be_said(value))
            .map(|(key, value)| format!("--{key}={value}"))
            .collect();
        if let Some(number) = number("VTNr").filter(|number| *number != 0) {
            facts.push(format!("--vtnr={number}"));
        }
        Ok(Self {
            uid: number("User").ok_or("its user has no number")?,
            user: user.to_owned(),
            class: text("Class").to_owned(),
            leader: number("Leader").and_then(|pid| i32::try_from(pid).ok()).filter(|pid| *pid > 0),
            is_closing: text("State") == "closing",
            facts,
            id,
        })
    }

    /// Is it one to tell of? root's are not: what is set up at a login must not be in the way of who repairs it.
    pub fn counts(&self, classes: &Classes) -> bool {
        self.uid != 0 && classes.count(&self.class)
    }

    /// The arguments that tell of its beginning. Each value is part of its option's argument: one that begins with a
    /// dash is no option. `leader` is the process whose end is the session's, if there is one: not where the session
    /// ends with its object, and not one that has ended already.
    pub fn added(&self, leader: Option<i32>) -> Vec<String> {
        let mut arguments = vec![
            "added".to_owned(),
            "--from=logind".to_owned(),
            format!("--session={}", self.id),
            format!("--user={}", self.user),
        ];
        if let Some(leader) = leader {
            arguments.push(format!("--leader={leader}"));
        }
        arguments.extend(self.facts.iter().cloned());
        arguments
    }
}

/// Can the value be given to a program, and shown in one line?
fn can_be_said(value: &str) -> bool {
    value.len() <= VALUE_MAX && !value.chars().any(char::is_control)
}

/// The number of a session whose connection is held: `SessionN`, the name that the registry gives.
pub fn held_number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("Session")?;
    let is_number = (1..=10).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    // `Session07` and `Session7` would be two names and one number.
    let is_plain = digits == "0" || !digits.starts_with('0');
    if is_number && is_plain { digits.parse().ok() } else { None }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]
mod tests {
    use super::*;

    fn properties(texts: &[(&str, &str)], numbers: &[(&str, u32)]) -> Properties {
        let texts = texts.iter().map(|(key, text)| ((*key).to_owned(), Property::Text((*text).to_owned())));
        let numbers = numbers.iter().map(|(key, number)| ((*key).to_owned(), Property::Number(*number)));
        texts.chain(numbers).collect()
    }

    fn session(more: &[(&str, &str)]) -> Session {
        let texts = [&[("Id", "c7"), ("Name", "bob"), ("Class", "user")], more].concat();
        let numbers = [("User", 1000), ("Leader", 42), ("VTNr", 2)];
        Session::of(SessionId::new("c7").unwrap(), &properties(&texts, &numbers)).unwrap()
    }

    #[test]
    fn what_logind_knows_is_handed_over_and_what_is_empty_is_left_out() {
        let session = session(&[("Service", "sshd"), ("TTY", ""), ("RemoteHost", "::1"), ("Seat", "seat0")]);
        assert_eq!(
            session.added(session.leader),
            [
                "added",
                "--from=logind",
                "--session=c7",
                "--user=bob",
                "--leader=42",
                "--service=sshd",
                "--rhost=::1",
                "--class=user",
                "--seat=seat0",
                "--vtnr=2"
            ]
        );
        assert!(!session.is_closing && session.counts(&Classes::default()));
    }

    #[test]
    fn a_value_cannot_be_an_option_nor_bring_signs_that_steer() {
        let long = "x".repeat(VALUE_MAX + 1);
        let session = session(&[
            ("RemoteHost", "--user=root"),
            ("RemoteUser", "a\nb"),
            ("Display", "\u{9b}1m"),
            ("TTY", "\0"),
            ("Service", &long),
        ]);
        let said = session.added(None);
        assert!(said.contains(&"--rhost=--user=root".to_owned()), "{said:?}");
        for left_out in ["--leader", "--ruser", "--display", "--tty", "--service"] {
            assert!(!said.iter().any(|argument| argument.starts_with(left_out)), "{left_out}: {said:?}");
        }
    }

    #[test]
    fn a_session_without_a_user_or_with_anothers_properties_is_refused() {
        let id = || SessionId::new("c7").unwrap();
        let named = |id, name| properties(&[("Id", id), ("Name", name)], &[("User", 1000)]);
        assert!(Session::of(id(), &named("c8", "bob")).unwrap_err().contains("\"c8\""));
        assert!(Session::of(id(), &named("c7", "")).is_err());
        assert!(Session::of(id(), &named("c7", "b\nob")).is_err());
        assert!(Session::of(id(), &properties(&[("Id", "c7"), ("Name", "bob")], &[])).is_err());
        assert_eq!(Session::of(id(), &named("c7", "bob")).unwrap().leader, None);
    }

    #[test]
    fn roots_sessions_and_those_of_programs_do_not_count() {
        let classes = Classes::default();
        for class in [
            "greeter",
            "lock-screen",
            "manager",
            "manager-early",
            "background",
            "background-light",
            "user-incomplete",
            "",
            "none",
        ] {
            assert!(!Session { class: class.to_owned(), ..session(&[]) }.counts(&classes), "{class}");
        }
        for class in ["user", "user-early", "user-light"] {
            assert!(Session { class: class.to_owned(), ..session(&[]) }.counts(&classes), "{class}");
        }
        assert!(!Session { uid: 0, ..session(&[]) }.counts(&classes));
        assert!(!session(&[]).counts(&Classes::only(vec!["greeter".to_owned()])));
    }

    #[test]
    fn ids_and_names_are_what_they_may_be() {
        for id in ["1", "c17", "A_b-9"] {
            assert_eq!(SessionId::new(id).unwrap().as_str(), id);
        }
        for id in ["", ".", "..", "a/b", "a b", "ä", "a\0", &"1".repeat(65)] {
            assert_eq!(SessionId::new(id), None, "{id:?}");
        }
        assert_eq!(held_number("Session0"), Some(0));
        assert_eq!(held_number("Session9999999999"), Some(9_999_999_999));
        for name in
            ["Session", "Session10000000000", "session1", "Session-1", "Session+1", "Session1 ", "Session01"]
        {
            assert_eq!(held_number(name), None, "{name:?}");
        }
    }
}
