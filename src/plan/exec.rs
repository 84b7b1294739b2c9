//! The program at the end, with its arguments and its environment.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::model::path::AbsPath;
use crate::model::policy::{Environment, Origin, Settings};
use crate::model::subject::Subject;

use super::error::PlanError;
use super::step::Exec;
use super::{Command, Request};

/// The program's own name: a session that starts it as its shell would start for ever.
const OWN_NAME: &str = "session-enter";

pub(super) fn exec(
    settings: &Settings,
    subject: &Subject,
    request: &Request,
    origin: &Origin,
) -> Result<Exec, PlanError> {
    let shell = settings.shell.as_ref().unwrap_or(&subject.shell);
    let (program, arguments) = match &request.command {
        Command::Program(words) if !words.is_empty() => (words[0].clone(), words.clone()),
        command => {
            if shell.file_name() == Some(OWN_NAME) {
                let (origin, user) = (origin.clone(), subject.name.to_string());
                return Err(PlanError::ShellIsUs { origin, user, shell: shell.clone() });
            }
            let name = shell.file_name().unwrap_or("sh");
            let arguments = match command {
                // The convention of login(1): a leading dash makes a shell read the login files.
                Command::LoginShell | Command::Program(_) => vec![OsString::from(format!("-{name}"))],
                Command::ShellString(text) => vec![name.into(), "-c".into(), text.clone()],
            };
            (shell.as_str().into(), arguments)
        }
    };
    let environment = environment(&settings.environment, subject, shell, &request.environment, origin)?;
    let path = environment
        .iter()
        .find(|(name, _)| name == "PATH")
        .map(|(_, value)| value.to_string_lossy().into_owned());
    let search = path
        .unwrap_or_default()
        .split(':')
        .filter(|entry| entry.starts_with('/'))
        .map(str::to_owned)
        .collect();
    Ok(Exec { program, search, arguments, environment, directory: subject.home.clone() })
}

/// What the profile keeps of the caller's environment, what it sets, and who the user is; the later wins.
fn environment(
    wanted: &Environment,
    subject: &Subject,
    shell: &AbsPath,
    caller: &[(OsString, OsString)],
    origin: &Origin,
) -> Result<Vec<(OsString, OsString)>, PlanError> {
    let mut environment: Vec<(OsString, OsString)> = Vec::new();
    let mut set =
        |name: &OsStr, value: OsString| match environment.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => environment.push((name.to_owned(), value)),
        };
    for (name, value) in caller {
        if wanted.keep.iter().any(|pattern| keeps(pattern, name)) {
            set(name, value.clone());
        }
    }
    for (name, template) in &wanted.set {
        let value = template.expand_text(subject).map_err(|source| PlanError::Template {
            origin: origin.clone(),
            key: "set_env",
            template: template.source().to_owned(),
            source,
        })?;
        set(OsStr::new(name), value.into());
    }
    for (name, value) in [
        ("HOME", subject.home.as_str()),
        ("SHELL", shell.as_str()),
        ("USER", subject.name.as_str()),
        ("LOGNAME", subject.name.as_str()),
    ] {
        set(OsStr::new(name), value.into());
    }
    Ok(environment)
}

fn keeps(pattern: &str, name: &OsStr) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.as_bytes().starts_with(prefix.as_bytes()),
        None => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_names_are_kept() {
        assert!(keeps("LC_*", OsStr::new("LC_ALL")));
        assert!(!keeps("LC_*", OsStr::new("LD_PRELOAD")));
        assert!(keeps("TERM", OsStr::new("TERM")));
        assert!(!keeps("TERM", OsStr::new("TERMCAP")));
    }
}
