//! What a script that is waited for says about the environment: `KEY=VALUE`, a line each. Pure.
//!
//! The text is never given to a shell. What would make a later program load or run something else is refused, and so is
//! what we or the program that logs the user in say ourselves.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::policy::refused_variable;

/// The most bytes that a script may write.
pub const TEXT_MAX: usize = 64 * 1024;
/// The most variables of one session.
pub const VARIABLES_MAX: usize = 256;
/// The most bytes of their names and values. What a session is told, and what a program is started with, has an end.
const SPACE_MAX: usize = 32 * 1024;
/// As many refusals are written down, of one script.
const REFUSALS_MAX: usize = 16;

/// What others say, and a script does not: `*` at the end stands for any ending.
const TAKEN: [&str; 14] = [
    "PATH",
    "HOME",
    "SHELL",
    "USER",
    "LOGNAME",
    "MAIL",
    "PWD",
    "OLDPWD",
    "SESSION_*",
    "PAM_*",
    "CK_*",
    "XDG_SESSION_*",
    "XDG_RUNTIME_DIR",
    "DBUS_*",
];

/// What came of such a text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// What is set now.
    pub set: BTreeMap<String, String>,
    /// What was refused, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
    /// Did the script run as somebody else than root? Who runs as the same user may have written it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_of_user: bool,
}

/// What the scripts of a session have set so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// By root's scripts.
    by_root: BTreeMap<String, String>,
    /// By the others, later than those. It reaches no script of root's: `PERL5OPT`, `PYTHONPATH` and their like have root
    /// run what the user wants, and no list of such names is complete.
    by_users: BTreeMap<String, String>,
}

impl Settings {
    /// Takes in what a script has said; what there is no room for moves to what is refused.
    pub fn take(&mut self, said: &mut Said) {
        for (name, value) in std::mem::take(&mut said.set) {
            let others = self.by_root.iter().chain(&self.by_users).filter(|(other, _)| **other != name);
            let (count, space) = others
                .fold((1, name.len() + value.len()), |(count, space), (name, value)| {
                    (count + 1, space + name.len() + value.len())
                });
            if count > VARIABLES_MAX || space > SPACE_MAX {
                let most = format!("{VARIABLES_MAX} variables, {SPACE_MAX} bytes");
                said.refused.push(format!("{name}: more than a session may have: {most}"));
                continue;
            }
            if said.is_of_user {
                self.by_users.insert(name.clone(), value.clone());
            } else {
                self.by_users.remove(&name);
                self.by_root.insert(name.clone(), value.clone());
            }
            said.set.insert(name, value);
        }
        let more = said.refused.len().saturating_sub(REFUSALS_MAX);
        if more > 0 {
            said.refused.truncate(REFUSALS_MAX);
            said.refused.push(format!("{more} more"));
        }
    }

    /// For a script of root's.
    pub fn for_root(&self) -> BTreeMap<String, String> {
        self.by_root.clone()
    }

    /// For the session, and for scripts that run as somebody else.
    pub fn for_session(&self) -> BTreeMap<String, String> {
        let mut all = self.by_root.clone();
        all.extend(self.by_users.clone());
        all
    }
}

/// Reads `text`. `allowed` are names that are taken although they are in the list of those that are not.
pub fn read(text: &[u8], allowed: &[String]) -> Said {
    let mut said = Said::default();
    if text.len() > TEXT_MAX {
        said.refused.push(format!("everything: {} bytes, at most {TEXT_MAX} are read", text.len()));
        return said;
    }
    for line in text.split(|byte| *byte == b'\n') {
        let Ok(line) = std::str::from_utf8(line) else {
            said.refused.push("a line that is not UTF-8 text".to_owned());
            continue;
        };
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        match pair(line, allowed) {
            Ok((name, value)) if said.set.len() < VARIABLES_MAX || said.set.contains_key(name) => {
                said.set.insert(name.to_owned(), value.to_owned());
            }
            Ok((name, _)) => said.refused.push(format!("{name}: more than {VARIABLES_MAX} variables")),
            Err(why) => said.refused.push(why),
        }
    }
    said
}

fn pair<'a>(line: &'a str, allowed: &[String]) -> Result<(&'a str, &'a str), String> {
    let shown: String = line.chars().take(40).collect();
    let (name, value) = line.split_once('=').ok_or_else(|| format!("{shown:?}: no KEY=VALUE"))?;
    let starts_well = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if !starts_well || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(format!("{shown:?}: no name of a variable"));
    }
    // PAM and the kernel take a value to its NUL, and nobody sees the rest.
    if value.contains('\0') {
        return Err(format!("{name}: its value holds a NUL"));
    }
    if let Some(why) = refused_variable(name) {
        // These are refused whatever the configuration says.
        return Err(format!("{name}: {why}"));
    }
    let is_taken = TAKEN.iter().any(|taken| match taken.strip_suffix('*') {
        Some(stem) => name.starts_with(stem),
        None => name == *taken,
    });
    if is_taken && !allowed.iter().any(|allowed| allowed == name) {
        return Err(format!("{name}: not a script's to set; `allow_env` can allow it"));
    }
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_as_they_are() {
        let said = read(b"A=1\n# no\n\nB=a=b c\r\nA=2\nC=$(id) `id` ; rm\n_x9=\nno newline=x\nLAST=y", &[]);
        let set: Vec<(&str, &str)> = said.set.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(set, [("A", "2"), ("B", "a=b c"), ("C", "$(id) `id` ; rm"), ("LAST", "y"), ("_x9", "")]);
        assert_eq!(said.refused.len(), 1);
    }

    #[test]
    fn what_a_user_can_write_reaches_no_script_of_roots_and_everything_has_an_end() {
        let mut settings = Settings::default();
        let mut take = |text: &str, is_of_user: bool| {
            let mut said = Said { is_of_user, ..read(text.as_bytes(), &[]) };
            settings.take(&mut said);
            (settings.clone(), said)
        };
        take("A=root\nB=root", false);
        let (now, _) = take("A=bob\nPERL5OPT=-I/home/bob", true);
        assert_eq!(now.for_root()["A"], "root");
        assert!(!now.for_root().contains_key("PERL5OPT"));
        assert_eq!((now.for_session()["A"].as_str(), now.for_session()["B"].as_str()), ("bob", "root"));
        let (now, _) = take("A=later", false);
        assert_eq!(now.for_session()["A"], "later");
        let (now, said) = take(&format!("BIG={}\nSMALL=1", "x".repeat(SPACE_MAX)), true);
        assert!(!now.for_session().contains_key("BIG") && now.for_session().contains_key("SMALL"));
        assert_eq!((said.refused.len(), said.set.len()), (1, 1));
        let (_, said) = take(&"wrong\n".repeat(5000), true);
        assert_eq!(said.refused.len(), REFUSALS_MAX + 1);
        assert_eq!(said.refused.last().map(String::as_str), Some("4984 more"));
    }

    #[test]
    fn what_would_run_something_is_refused_and_said() {
        let allowed = ["PATH".to_owned(), "LD_PRELOAD".to_owned()];
        let text =
            b"LD_PRELOAD=/x\nBASH_ENV=/x\nIFS=x\nPATH=/home/bob\nHOME=/x\nSESSION_ID=1\nXDG_RUNTIME_DIR=/x\n\
                     =x\n9=x\nA B=x\nnothing\nB=a\0b\n\xff=1\nOK=1";
        let said = read(text, &allowed);
        assert_eq!(said.set.keys().collect::<Vec<_>>(), ["OK", "PATH"]);
        assert_eq!(said.refused.len(), 12, "{:?}", said.refused);
        assert!(read(b"PATH=/x\n", &[]).set.is_empty());
        assert!(read(&vec![b'x'; TEXT_MAX + 1], &[]).refused[0].starts_with("everything"));
        let many: String = (0..300).map(|number| format!("V{number}=1\n")).collect();
        assert_eq!(read(many.as_bytes(), &[]).set.len(), VARIABLES_MAX);
    }
}
