//! What the PAM module and its helper say to each other over a socket pair: one request, then, for as long as scripts
//! run, that the helper is busy, and at last one reply.
//!
//! A message is a list of fields, each `key=value` and a NUL; what comes from PAM is C text and holds none. With the
//! reply to [`Purpose::Open`] come the descriptors that [`Reply::Enter`] names. There is no parser here that an
//! attacker's text could surprise: a value goes to the end of its field, whatever is in it.
#![forbid(unsafe_code)]

/// The module and the helper are installed together; a half-done upgrade is noticed by this.
const VERSION: &str = "3";
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

/// What is to be done besides opening a view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scripts {
    /// A view, and no scripts.
    No,
    /// Session scripts, and a view.
    #[default]
    Yes,
    /// Session scripts alone.
    Only,
}

impl Scripts {
    /// The words for it.
    pub const WORDS: [(&str, Self); 3] = [("no", Self::No), ("yes", Self::Yes), ("only", Self::Only)];
}

/// What a login is refused with: PAM's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// PAM_SESSION_ERR.
    Session,
    /// PAM_SYSTEM_ERR.
    System,
    /// PAM_SERVICE_ERR.
    Service,
}

impl Failure {
    const WORDS: [(&str, Self); 3] =
        [("session", Self::Session), ("system", Self::System), ("service", Self::Service)];
}

fn word_of<T: Copy + PartialEq>(words: &[(&'static str, T)], wanted: T) -> &'static str {
    words.iter().find(|(_, value)| *value == wanted).map_or("", |(word, _)| word)
}

fn of_word<T: Copy>(words: &[(&str, T)], wanted: &str) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| *word == wanted);
    found.map(|(_, value)| *value).ok_or_else(|| format!("{wanted:?} is none of the words for it"))
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
    /// PAM_RUSER.
    pub remote_user: Option<String>,
    /// `scripts=`.
    pub scripts: Scripts,
    /// `scriptsconf=`: another configuration of session scripts.
    pub scripts_config: Option<String>,
    /// `as=`: the line is another module's, and these are its words.
    pub other_module: Option<String>,
    /// The words of that line.
    pub words: Vec<String>,
    /// The PAM environment, `NAME=value`.
    pub environment: Vec<String>,
    /// The break-glass group, whose members are answered with [`Reply::Exempt`].
    pub break_glass: Option<String>,
}

/// Namespaces that a view may have of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Besides {
    /// Shared memory and its relatives.
    pub ipc: bool,
    /// The host's name.
    pub uts: bool,
    /// Control groups.
    pub cgroup: bool,
    /// Network.
    pub net: bool,
}

impl Besides {
    /// Each with its name in `/proc/PID/ns`.
    pub fn names(self) -> [(&'static str, bool); 4] {
        [("ipc", self.ipc), ("uts", self.uts), ("cgroup", self.cgroup), ("net", self.net)]
    }

    fn of(names: &[String]) -> Result<Self, String> {
        let mut found = Self::default();
        for name in names {
            match name.as_str() {
                "ipc" => found.ipc = true,
                "uts" => found.uts = true,
                "cgroup" => found.cgroup = true,
                "net" => found.net = true,
                other => return Err(format!("{other:?} is no namespace that a view has")),
            }
        }
        Ok(found)
    }
}

/// What the way in is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A pidfd of process 1: its mount namespace, its PID namespace for children, and these.
    Init(Besides),
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
        /// To be shown to whoever logs in.
        shown: Vec<String>,
    },
    /// The session is on record and its scripts have run, and it has no view of its own. Descriptors: what is to be kept.
    Hold {
        /// Why the map gives it none, where one was asked for.
        not_found: Option<String>,
        /// The session on record.
        session: OnRecord,
        /// As above.
        environment: Vec<String>,
        /// As above.
        shown: Vec<String>,
    },
    /// Scripts run; the answer comes within so many seconds from now.
    Busy(u32),
    /// Nothing is to be done, and why: the view is already this one, or no session's.
    Stay(String),
    /// The user is in the break-glass group: no map was read.
    Exempt,
    /// The map has no profile for this login.
    NotFound(String),
    /// It failed.
    Refused {
        /// The whole chain of reasons on one line.
        why: String,
        /// What PAM is told.
        failure: Failure,
        /// What whoever logs in is told, instead of the usual words; nothing at all where it is empty.
        shown: Option<String>,
    },
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
            ("ruser", &self.remote_user),
            ("scriptsconf", &self.scripts_config),
            ("as", &self.other_module),
        ] {
            if let Some(value) = value {
                message.add(key, value);
            }
        }
        self.words.iter().for_each(|word| message.add("word", word));
        self.environment.iter().for_each(|variable| message.add("env", variable));
        message.add("scripts", word_of(&Scripts::WORDS, self.scripts));
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
            remote_user: fields.get("ruser"),
            scripts: of_word(&Scripts::WORDS, &fields.need("scripts")?)?,
            scripts_config: fields.get("scriptsconf"),
            other_module: fields.get("as"),
            words: fields.all("word"),
            environment: fields.all("env"),
        })
    }
}

impl Reply {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut message = Message::new();
        match self {
            Self::Enter { way, session, environment, shown } => {
                message.add("outcome", "enter");
                match way {
                    Way::Mounts => message.add("way", "mounts"),
                    Way::Init(besides) => {
                        message.add("way", "init");
                        for (name, _) in besides.names().into_iter().filter(|(_, own)| *own) {
                            message.add("besides", name);
                        }
                    }
                }
                if let Some(session) = session {
                    message.add_session(session);
                }
                message.add_texts(environment, shown);
            }
            Self::Hold { not_found, session, environment, shown } => {
                message.add("outcome", "hold");
                if let Some(why) = not_found {
                    message.add("why", why);
                }
                message.add_session(session);
                message.add_texts(environment, shown);
            }
            Self::Busy(seconds) => {
                message.add("outcome", "busy");
                message.add("seconds", &seconds.to_string());
            }
            Self::Stay(why) => {
                message.add("outcome", "stay");
                message.add("why", why);
            }
            Self::NotFound(why) => {
                message.add("outcome", "notfound");
                message.add("why", why);
            }
            Self::Refused { why, failure, shown } => {
                message.add("outcome", "refused");
                message.add("why", why);
                message.add("failure", word_of(&Failure::WORDS, *failure));
                if let Some(shown) = shown {
                    message.add("shown", shown);
                }
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
                    "init" => Way::Init(Besides::of(&fields.all("besides"))?),
                    "mounts" => Way::Mounts,
                    other => return Err(format!("the way in is {other:?}")),
                },
                session: match fields.get("session") {
                    Some(_) => Some(fields.session()?),
                    None => None,
                },
                environment: fields.all("env"),
                shown: fields.all("shown"),
            },
            "hold" => Self::Hold {
                not_found: fields.get("why"),
                session: fields.session()?,
                environment: fields.all("env"),
                shown: fields.all("shown"),
            },
            "busy" => {
                let seconds = fields.need("seconds")?;
                Self::Busy(seconds.parse().map_err(|_| format!("{seconds:?} is no number of seconds"))?)
            }
            "stay" => Self::Stay(fields.need("why")?),
            "notfound" => Self::NotFound(fields.need("why")?),
            "refused" => Self::Refused {
                why: fields.need("why")?,
                failure: of_word(&Failure::WORDS, &fields.need("failure")?)?,
                shown: fields.get("shown"),
            },
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

    fn add_session(&mut self, session: &OnRecord) {
        self.add("session", &session.name);
        self.add("account", &session.user);
        self.add("watched", if session.is_watched { "yes" } else { "no" });
    }

    fn add_texts(&mut self, environment: &[String], shown: &[String]) {
        environment.iter().for_each(|variable| self.add("env", variable));
        shown.iter().for_each(|line| self.add("shown", line));
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

    fn session(&self) -> Result<OnRecord, String> {
        Ok(OnRecord {
            name: self.need("session")?,
            user: self.need("account")?,
            is_watched: self.need("watched")? == "yes",
        })
    }

    fn need(&self, key: &str) -> Result<String, String> {
        self.get(key).ok_or_else(|| format!("the message has no {key:?}"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]
mod tests;
