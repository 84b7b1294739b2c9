//! The command line of `session-scripts`.

use std::collections::BTreeMap;
use std::ffi::OsString;

use command_line::{Command, Example, Flag, HELP, Hint, Program, VERSION, Words};
use lexopt::{Arg, ValueExt};

use crate::error::{Error, ErrorKind};

const USER: Flag = Flag::with("user", "NAME", Hint::User, "Whose session");
const SESSION: Flag = Flag::with("session", "ID", Hint::Any, "What the source calls the session");
const FROM: Flag = Flag::with(
    "from",
    "SOURCE",
    Hint::OneOf(&["hand", "logind", "consolekit", "pam_exec", "pam_script", "gdm", "lightdm", "xdm"]),
    "Who tells of it: hand (the default), logind, consolekit, pam_exec, pam_script, gdm, lightdm, xdm. What \
     a source tells in its environment is read there",
);
const COMPAT: Flag = Flag::with(
    "compat",
    "WORLD",
    Hint::OneOf(&["consolekit", "gdm", "lightdm", "xdm"]),
    "Run another session manager's scripts, too: consolekit, gdm, lightdm, xdm",
);
const CONFIG: Flag =
    Flag::with("config", "FILE", Hint::File, "Instead of /etc/session.d/session-scripts.conf");
const WAIT: Flag = Flag::switch("wait", "Wait for the scripts of the end");
const ENV: Flag = Flag::switch("env", "Print what the scripts have set, NAME=value");
const STATUS: &str = "0; 1 when a script refuses the session; 125 when scripts could not be run at all.";

const ADDED: Command = Command {
    name: "added",
    usage: &["--user NAME [FACT...] [--from SOURCE] [--session ID] [--leader PID]"],
    about: "Run the scripts of a session that begins",
    details: &[
        "Runs /etc/session.d/first, if the user has no other session, and added. Waits for the scripts whose \
         names begin like 10W-, starts those like 10D-, and leaves the others to run one after the other in \
         the background. A session that is begun twice is begun once. Called by hand it prints the session's \
         name.",
        "A FACT about the session, for its scripts, is one of the options from --service on.",
    ],
    words: Words::None,
    options: &[
        USER,
        SESSION,
        FROM,
        Flag::with(
            "leader",
            "PID",
            Hint::Any,
            "The session ends with this process, if nobody says so before",
        ),
        COMPAT,
        CONFIG,
        ENV,
        Flag::with("service", "NAME", Hint::Any, "The PAM service"),
        Flag::with("tty", "TTY", Hint::Any, "The terminal"),
        Flag::with("rhost", "HOST", Hint::Any, "The remote host"),
        Flag::with("ruser", "NAME", Hint::Any, "The user on the remote host"),
        Flag::with("display", "DISPLAY", Hint::Any, "The X display, such as `:0`"),
        Flag::with("xauthority", "FILE", Hint::File, "The file with the key to the X display"),
        Flag::with("xdg-id", "ID", Hint::Any, "What logind calls the session"),
        Flag::with("type", "TYPE", Hint::Any, "What logind says of its type: `x11`, `tty`"),
        Flag::with("class", "CLASS", Hint::Any, "What logind says of its class: `user`, `greeter`"),
        Flag::with("seat", "SEAT", Hint::Any, "The seat, such as `seat0`"),
        Flag::with("vtnr", "NUMBER", Hint::Any, "The number of the virtual terminal"),
        Flag::with("runtime-dir", "DIR", Hint::Folder, "The user's folder in /run/user"),
    ],
    status: Some(STATUS),
    examples: &[Example {
        typed: "added --user bob --service sshd --tty pts/3",
        does: "a session of bob's that nobody else tells of",
    }],
};

const REMOVED: Command = Command {
    name: "removed",
    usage: &["--name SESSION", "[--from SOURCE] --session ID", "--user NAME"],
    about: "Run the scripts of a session that has ended",
    details: &[
        "Runs removed, and last if the user has no session left, once for each session, whoever says so and \
         however often. With --user all sessions of the user have ended. Does not wait, unless --wait is given.",
    ],
    words: Words::None,
    options: &[
        Flag::with("name", "SESSION", Hint::Any, "What we call it: Session7. `added` prints it"),
        SESSION,
        FROM,
        USER,
        COMPAT,
        CONFIG,
        WAIT,
    ],
    status: Some(STATUS),
    examples: &[Example { typed: "removed --name Session7 --wait", does: "its end, and all that runs then" }],
};

const PAM: Command = Command {
    name: "pam",
    usage: &["[--compat WORLD] [--config FILE]"],
    about: "Do what PAM_TYPE says; pam_exec calls this",
    details: &["The user and the session are in the variables that pam_exec sets."],
    words: Words::None,
    options: &[COMPAT, CONFIG, ENV, WAIT],
    status: Some(STATUS),
    examples: &[Example { typed: "pam", does: "in a PAM stack, behind pam_exec.so quiet" }],
};

const CK: Command = Command {
    name: "ck",
    usage: &["EVENT"],
    about: "Do what ConsoleKit's event says; ConsoleKit calls this",
    details: &["Events other than session_added and session_removed are passed over."],
    words: Words::UpTo(1, Hint::OneOf(&["session_added", "session_removed"])),
    options: &[COMPAT, CONFIG, WAIT],
    status: Some(STATUS),
    examples: &[Example { typed: "ck session_added", does: "from run-session.d" }],
};

const SWEEP: Command = Command {
    name: "sweep",
    usage: &["[--config FILE] [--wait]"],
    about: "Run the scripts of ends that nobody has noticed",
    details: &[],
    words: Words::None,
    options: &[CONFIG, WAIT],
    status: Some(STATUS),
    examples: &[Example { typed: "sweep", does: "after a crash; the package's timer does it too" }],
};

/// `session-scripts`.
pub static SESSION_SCRIPTS: Program = Program {
    name: "session-scripts",
    section: 1,
    about: "Run the scripts of a session that begins, or of one that has ended",
    usage: &[],
    details: &[],
    commands: &[ADDED, REMOVED, PAM, CK, SWEEP],
    words: Words::None,
    options: &[HELP, VERSION],
    notes: &[],
    status: STATUS,
    examples: &[Example {
        typed: "added --user bob --service sshd --tty pts/3",
        does: "a session of bob's that nobody else tells of",
    }],
};

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// A session begins.
    Added,
    /// A session has ended.
    Removed,
    /// One of the two, as PAM_TYPE says.
    Pam,
    /// Sessions that have ended unnoticed.
    Sweep,
    /// Work that was written down.
    Background,
}

/// What was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What to do.
    pub verb: Verb,
    /// Whose.
    pub user: Option<String>,
    /// What the source calls the session.
    pub id: Option<String>,
    /// What we call it; of work, its name.
    pub name: Option<String>,
    /// Who tells.
    pub source: Option<String>,
    /// Whose end is the session's.
    pub leader: Option<i32>,
    /// Facts, by name.
    pub facts: BTreeMap<String, String>,
    /// Other worlds.
    pub compat: Vec<String>,
    /// Another configuration.
    pub config: Option<String>,
    /// Print variables.
    pub prints_environment: bool,
    /// Wait for the end's scripts.
    pub waits: bool,
}

/// What the command line came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Something to do.
    Do(Box<Asked>),
    /// Something to print.
    Say(String),
}

/// The names under which the program is known to pam_script, and what each means.
const NAMES: [(&str, Verb, &str); 4] = [
    ("pam_script_ses_open", Verb::Added, "pam_script"),
    ("pam_script_ses_close", Verb::Removed, "pam_script"),
    ("onsessionopen", Verb::Added, "pam_script"),
    ("onsessionclose", Verb::Removed, "pam_script"),
];

/// Reads the command line. The first argument is the program's name. `facts` are the names of what can be told.
pub fn read(mut arguments: impl Iterator<Item = OsString>, facts: &[&str]) -> Result<Reading, Error> {
    let program = arguments.next().unwrap_or_default();
    let program = program.to_string_lossy();
    let called = program.rsplit('/').next().unwrap_or_default();
    let mut asked = Asked {
        verb: Verb::Added,
        user: None,
        id: None,
        name: None,
        source: None,
        leader: None,
        facts: BTreeMap::new(),
        compat: Vec::new(),
        config: None,
        prints_environment: false,
        waits: false,
    };
    // pam_script hands its own arguments on, which are none of ours.
    if let Some((_, verb, source)) = NAMES.into_iter().find(|(name, ..)| *name == called) {
        let source = Some(source.to_owned());
        return Ok(Reading::Do(Box::new(Asked { verb, source, ..asked })));
    }
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut verb = None;
    while let Some(argument) = parser.next().map_err(|error| usage(error.to_string()))? {
        let name = match argument {
            Arg::Long(name) => name.to_owned(),
            Arg::Value(word) if verb.is_none() => {
                verb = Some(word.string().map_err(|error| usage(error.to_string()))?);
                continue;
            }
            // The event that ConsoleKit tells.
            Arg::Value(word) if verb.as_deref() == Some("ck") && asked.id.is_none() => {
                asked.id = Some(word.string().map_err(|error| usage(error.to_string()))?);
                continue;
            }
            other => return Err(usage(other.unexpected().to_string())),
        };
        match name.as_str() {
            "help" => {
                let command = verb.as_deref().and_then(|verb| SESSION_SCRIPTS.command(verb));
                let help = command.map_or_else(|| SESSION_SCRIPTS.help(), |it| SESSION_SCRIPTS.help_of(it));
                return Ok(Reading::Say(help));
            }
            "version" => {
                return Ok(Reading::Say(
                    concat!("session-scripts ", env!("CARGO_PKG_VERSION"), "\n").to_owned(),
                ));
            }
            "env" => asked.prints_environment = true,
            "wait" => asked.waits = true,
            "user" => asked.user = Some(text(&mut parser)?),
            "session" => asked.id = Some(text(&mut parser)?),
            "name" => asked.name = Some(text(&mut parser)?),
            "from" => asked.source = Some(text(&mut parser)?),
            "config" => asked.config = Some(text(&mut parser)?),
            "compat" => asked.compat.push(text(&mut parser)?),
            "leader" => {
                let value = text(&mut parser)?;
                let number = value.parse().ok().filter(|number| *number > 0);
                let wrong = || usage(format!("--leader {value:?} is no number of a process"));
                asked.leader = Some(number.ok_or_else(wrong)?);
            }
            fact if facts.contains(&fact) => {
                let value = text(&mut parser)?;
                asked.facts.insert(name, value);
            }
            other => return Err(usage(format!("there is no option `--{}`", other.escape_debug()))),
        }
    }
    let verb = verb.ok_or_else(|| usage("what is to be done is missing".to_owned()))?;
    asked.verb = match verb.as_str() {
        "added" => Verb::Added,
        "removed" => Verb::Removed,
        "pam" => Verb::Pam,
        "sweep" => Verb::Sweep,
        "background" => Verb::Background,
        "ck" => return consolekit(asked),
        other => return Err(usage(format!("there is no command {other:?}"))),
    };
    let wants_name = asked.verb == Verb::Background;
    if wants_name && asked.name.is_none() {
        return Err(usage("`background` wants --name".to_owned()));
    }
    for (option, value) in [("session", &asked.id), ("user", &asked.user), ("name", &asked.name)] {
        let is_unusable = |value: &&String| value.is_empty() || value.chars().any(char::is_control);
        if let Some(value) = value.as_ref().filter(is_unusable) {
            return Err(usage(format!("--{option} {value:?} is empty, or holds a control character")));
        }
    }
    if let Some((fact, value)) = asked.facts.iter().find(|(_, value)| value.chars().any(char::is_control)) {
        return Err(usage(format!("--{fact} {value:?} holds a control character")));
    }
    Ok(Reading::Do(Box::new(asked)))
}

/// Called by ConsoleKit: other events than the two are none of ours.
fn consolekit(asked: Asked) -> Result<Reading, Error> {
    let verb = match asked.id.as_deref() {
        Some("session_added") => Verb::Added,
        Some("session_removed") => Verb::Removed,
        Some(_) => return Ok(Reading::Say(String::new())),
        None => return Err(usage("`ck` wants the event: session_added or session_removed".to_owned())),
    };
    let source = Some("consolekit".to_owned());
    Ok(Reading::Do(Box::new(Asked { verb, id: None, source, ..asked })))
}

fn text(parser: &mut lexopt::Parser) -> Result<String, Error> {
    parser.value().and_then(|value| value.string()).map_err(|error| usage(error.to_string()))
}

fn usage(message: String) -> Error {
    Error::new(ErrorKind::Request, message).help("`session-scripts --help` explains the options")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What can be told, as `src/scripts` has it.
    const FACTS: [&str; 12] = [
        "service",
        "tty",
        "rhost",
        "ruser",
        "display",
        "xauthority",
        "xdg-id",
        "type",
        "class",
        "seat",
        "vtnr",
        "runtime-dir",
    ];

    fn words(words: &[&str]) -> Result<Reading, String> {
        let words = words.iter().map(OsString::from);
        read(words, &FACTS).map_err(|error| error.to_string())
    }

    fn asked(line: &[&str]) -> Asked {
        match words(line) {
            Ok(Reading::Do(asked)) => *asked,
            other => panic!("{line:?}: {other:?}"),
        }
    }

    #[test]
    fn every_option_of_the_definition_is_read_and_fits_a_terminal() {
        assert_eq!(SESSION_SCRIPTS.mistakes(), Vec::<String>::new());
        for command in SESSION_SCRIPTS.commands {
            for flag in command.options {
                let mut line = vec!["x".to_owned(), command.name.to_owned()];
                line.extend((command.name == "ck").then(|| "session_added".to_owned()));
                line.push(flag.dashed());
                line.extend(flag.value.map(|_| "1".to_owned()));
                let words: Vec<&str> = line.iter().map(String::as_str).collect();
                asked(&words);
            }
        }
        assert!(
            matches!(words(&["x", "added", "--help"]), Ok(Reading::Say(text)) if text.contains("--leader"))
        );
    }

    #[test]
    fn facts_have_values_and_a_value_is_no_option() {
        let read = asked(&["x", "added", "--user", "bob", "--tty=--user", "--leader", "7"]);
        assert_eq!((read.user.as_deref(), read.leader), (Some("bob"), Some(7)));
        assert_eq!(read.facts["tty"], "--user");
    }

    #[test]
    fn the_name_that_it_is_called_by_can_say_what_to_do() {
        let read = asked(&["/etc/security/onsessionopen", "dir=/x", "--frobnicate"]);
        assert_eq!((read.verb, read.source.as_deref()), (Verb::Added, Some("pam_script")));
        assert_eq!(asked(&["x", "ck", "session_removed"]).verb, Verb::Removed);
        assert_eq!(words(&["x", "ck", "session_active_changed"]), Ok(Reading::Say(String::new())));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for wrong in [
            &["x"][..],
            &["x", "add"],
            &["x", "added", "now"],
            &["x", "added", "--tty"],
            &["x", "added", "--tty=a\nb"],
            &["x", "added", "--session="],
            &["x", "added", "--session=a\nb"],
            &["x", "added", "--leader", "0"],
            &["x", "added", "--frobnicate"],
            &["x", "background"],
            &["x", "ck"],
        ] {
            assert!(words(wrong).is_err(), "{wrong:?} was taken");
        }
    }
}
