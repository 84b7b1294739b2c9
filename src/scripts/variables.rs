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
