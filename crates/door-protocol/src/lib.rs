//! What the PAM module and its helper say to each other: one message each way over a socket pair.
//!
//! A message is a list of fields, each `key=value` and a NUL; what comes from PAM is C text and holds none. With the
//! reply to [`Purpose::Open`] come the descriptors that [`Reply::Enter`] names. There is no parser here that an
//! attacker's text could surprise: a value goes to the end of its field, whatever is in it.
#![forbid(unsafe_code)]

/// The module and the helper are installed together; a half-done upgrade is noticed by this.
const VERSION: &str = "1";
/// As long as a message may be, in bytes.
pub const MESSAGE_MAX: usize = 64 * 1024;

/// What the helper is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Open a session and give the way into it.
    Open,
    /// Give the way back to the host's view, if the caller is in a session's: for users who are never kept in one.
    Leave,
    /// The session of this name has ended.
    Close(String),
}

/// What the module asks. Texts are PAM's items and the module's options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What for.
    pub purpose: Purpose,
    /// PAM_USER.
    pub user: String,
    /// PAM_SERVICE.
    pub service: String,
    /// PAM_TTY, as it is.
    pub tty: Option<String>,
    /// PAM_RHOST.
    pub remote_host: Option<String>,
    /// `profile=`.
    pub profile: Option<String>,
    /// `mode=`.
    pub mode: Option<String>,
    /// `config=`.
    pub config: Option<String>,
    /// The break-glass group, whose members are answered with [`Reply::Exempt`].
    pub break_glass: Option<String>,
}

/// What the way in is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A pidfd of process 1: its mount namespace, and its PID namespace for children.
    Init,
    /// A mount namespace.
    Mounts,
}

/// A session on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnRecord {
    /// Whose.
    pub user: String,
    /// `Session7`, say.
    pub name: String,
    /// Does a process watch its view? Otherwise the helper has to be told of the session's end, to look after the view.
    pub is_watched: bool,
}

/// What the helper answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Enter. Descriptors: the way in, the caller's own mount namespace, its PID namespace, and what is to be kept open
    /// for as long as the session lasts.
    Enter {
        /// What the first descriptor is.
        way: Way,
        /// The session on record, if it is: taken off the record at its end.
        session: Option<OnRecord>,
        /// `NAME=value`, for the PAM environment.
        environment: Vec<String>,
    },
    /// Nothing is to be done, and why: the view is already this one, or no session's.
    Stay(String),
    /// The user is in the break-glass group: no map was read.
    Exempt,
    /// The map has no profile for this login.
    NotFound(String),
    /// It failed; the whole chain of reasons on one line.
    Refused(String),
    /// The session is off the record.
    Closed,
}

impl Request {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut message = Message::new();
        match &self.purpose {
            Purpose::Open => message.add("purpose", "open"),
            Purpose::Leave => message.add("purpose", "leave"),
            Purpose::Close(session) => {
                message.add("purpose", "close");
                message.add("session", session);
            }
        }
        message.add("user", &self.user);
        message.add("service", &self.service);
        for (key, value) in [
            ("tty", &self.tty),
            ("rhost", &self.remote_host),
            ("profile", &self.profile),
            ("mode", &self.mode),
            ("config", &self.config),
            ("breakglass", &self.break_glass),
        ] {
            if let Some(value) = value {
                message.add(key, value);
            }
        }
        message.0
    }

    /// From bytes; the error says what is wrong with them.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let fields = Fields::of(bytes)?;
        let purpose = match fields.need("purpose")?.as_str() {
            "open" => Purpose::Open,
            "leave" => Purpose::Leave,
            "close" => Purpose::Close(fields.need("session")?),
            other => return Err(format!("the purpose is {other:?}")),
        };
        Ok(Self {
            purpose,
            user: fields.need("user")?,
            service: fields.need("service")?,
            tty: fields.get("tty"),
            remote_host: fields.get("rhost"),
            profile: fields.get("profile"),
            mode: fields.get("mode"),
            config: fields.get("config"),
            break_glass: fields.get("breakglass"),
        })
    }
}

impl Reply {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut message = Message::new();
        match self {
            Self::Enter { way, session, environment } => {
                message.add("outcome", "enter");
                message.add("way", if *way == Way::Init { "init" } else { "mounts" });
                if let Some(session) = session {
                    message.add("session", &session.name);
                    message.add("account", &session.user);
                    message.add("watched", if session.is_watched { "yes" } else { "no" });
                }
                for variable in environment {
                    message.add("env", variable);
                }
            }
            Self::Stay(why) => {
                message.add("outcome", "stay");
                message.add("why", why);
            }
            Self::NotFound(why) => {
                message.add("outcome", "notfound");
                message.add("why", why);
            }
            Self::Refused(why) => {
                message.add("outcome", "refused");
                message.add("why", why);
            }
            Self::Exempt => message.add("outcome", "exempt"),
            Self::Closed => message.add("outcome", "closed"),
        }
        message.0
    }

    /// From bytes; the error says what is wrong with them.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let fields = Fields::of(bytes)?;
        Ok(match fields.need("outcome")?.as_str() {
            "enter" => Self::Enter {
                way: match fields.need("way")?.as_str() {
                    "init" => Way::Init,
                    "mounts" => Way::Mounts,
                    other => return Err(format!("the way in is {other:?}")),
                },
                session: match fields.get("session") {
                    Some(name) => Some(OnRecord {
                        name,
                        user: fields.need("account")?,
                        is_watched: fields.need("watched")? == "yes",
                    }),
                    None => None,
                },
                environment: fields.all("env"),
            },
            "stay" => Self::Stay(fields.need("why")?),
            "notfound" => Self::NotFound(fields.need("why")?),
            "refused" => Self::Refused(fields.need("why")?),
            "exempt" => Self::Exempt,
            "closed" => Self::Closed,
            other => return Err(format!("the outcome is {other:?}")),
        })
    }
}

struct Message(Vec<u8>);

impl Message {
    fn new() -> Self {
        let mut message = Self(Vec::new());
        message.add("version", VERSION);
        message
    }

    /// A NUL in a value, which PAM cannot have given, would begin a field: it is left out.
    fn add(&mut self, key: &str, value: &str) {
        self.0.extend_from_slice(key.as_bytes());
        self.0.push(b'=');
        self.0.extend(value.bytes().filter(|byte| *byte != 0));
        self.0.push(0);
    }
}

struct Fields<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Fields<'a> {
    fn of(bytes: &'a [u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "the message is not UTF-8 text".to_owned())?;
        let mut fields = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let Some((field, after)) = rest.split_once('\0') else {
                return Err("the message was cut off".to_owned());
            };
            fields.push(field.split_once('=').ok_or_else(|| format!("{field:?} is no field"))?);
            rest = after;
        }
        let fields = Self(fields);
        match fields.get("version").as_deref() {
            Some(VERSION) => Ok(fields),
            Some(other) => Err(format!("the other side speaks version {other}, this one {VERSION}")),
            None => Err("there is no message".to_owned()),
        }
    }

    fn get(&self, key: &str) -> Option<String> {
        self.0.iter().find(|(known, _)| *known == key).map(|(_, value)| (*value).to_owned())
    }

    fn all(&self, key: &str) -> Vec<String> {
        self.0.iter().filter(|(known, _)| *known == key).map(|(_, value)| (*value).to_owned()).collect()
    }

    fn need(&self, key: &str) -> Result<String, String> {
        self.get(key).ok_or_else(|| format!("the message has no {key:?}"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]
mod tests {
    use super::*;

    fn request(purpose: Purpose) -> Request {
        Request {
            purpose,
            user: "bob".to_owned(),
            service: "sshd".to_owned(),
            tty: Some("/dev/pts/3".to_owned()),
            remote_host: None,
            profile: Some("a=b\n".to_owned()),
            mode: None,
            config: Some("/etc/other.toml".to_owned()),
            break_glass: Some("exempt".to_owned()),
        }
    }

    #[test]
    fn what_is_said_arrives() {
        for purpose in [Purpose::Open, Purpose::Leave, Purpose::Close("Session7".to_owned())] {
            let said = request(purpose);
            assert_eq!(Request::decode(&said.encode()).unwrap(), said);
        }
        let variables = vec!["A=1".to_owned(), "B=x=y".to_owned()];
        let on_record =
            |is_watched| Some(OnRecord { user: "bob".to_owned(), name: "Session1".to_owned(), is_watched });
        for said in [
            Reply::Enter { way: Way::Init, session: on_record(true), environment: variables },
            Reply::Enter { way: Way::Mounts, session: on_record(false), environment: Vec::new() },
            Reply::Enter { way: Way::Mounts, session: None, environment: Vec::new() },
            Reply::Stay("already there".to_owned()),
            Reply::NotFound("no profile".to_owned()),
            Reply::Refused("outcome=enter".to_owned()),
            Reply::Exempt,
            Reply::Closed,
        ] {
            assert_eq!(Reply::decode(&said.encode()).unwrap(), said);
        }
    }

    #[test]
    fn no_part_of_a_message_is_a_message() {
        let whole = request(Purpose::Open).encode();
        let mut usable = 0;
        for end in 0..whole.len() {
            usable += usize::from(Request::decode(&whole[..end]).is_ok());
        }
        // Only where an optional field has not begun: after `service`, `tty`, `profile` and `config`.
        assert_eq!(usable, 4);
        assert!(Request::decode(b"version=2\0purpose=open\0user=bob\0service=sshd\0").is_err());
        assert!(Reply::decode(b"").unwrap_err().contains("no message"));
    }

    #[test]
    fn a_value_cannot_begin_a_field() {
        let sly = Request { user: "bob\0purpose=leave".to_owned(), ..request(Purpose::Open) };
        let heard = Request::decode(&sly.encode()).unwrap();
        assert_eq!((heard.purpose, heard.user.as_str()), (Purpose::Open, "bobpurpose=leave"));
    }
}
