//! What other session managers would run: found, and made into tasks of ours.

use super::schedule::{Check, Dress, Judge, Output, Skipped, Task, is_like};
use super::session::{Session, Source};
use super::words::{self, OnSession, PamExec, PamScript};
use crate::host;
use crate::model::path::AbsPath;
use crate::model::scripts::{ConsoleKit, Event, Kind, Place, Policy, RunAs, Settings, Weight, World};

/// The script that `sessionctl setup --method consolekit` puts there.
const OWN_SCRIPT: &str = "session-sandbox.ck";
/// Seconds that ConsoleKit gives a program.
const CONSOLEKIT_LIMIT: u32 = 15;

/// What a world comes to.
#[derive(Debug, Default)]
pub struct Found {
    /// What runs.
    pub tasks: Vec<Task>,
    /// What does not, and why.
    pub skipped: Vec<Skipped>,
    /// A line that cannot be read: a session that depends on it does not begin.
    pub mistakes: Vec<String>,
}

impl Found {
    fn skip(&mut self, name: &str, why: impl ToString) {
        self.skipped.push(Skipped { name: super::text::printable(name), why: why.to_string() });
    }
}

/// Does the world have anything to say about sessions? Looked at when a session begins, so that one in which nothing ever
/// runs costs nothing.
pub fn is_empty(world: &World) -> bool {
    match world {
        World::ConsoleKit(ConsoleKit { folders, .. }) => {
            folders.iter().all(|folder| matches!(host::list_scripts(folder), Ok(None)))
        }
        World::Gdm(folder) | World::Xdm(folder) | World::LightDm(folder) => {
            matches!(host::list_scripts(folder), Ok(None))
        }
        World::PamScript(_) | World::OnSession(_) | World::PamExec(_) => false,
    }
}

/// What `world` runs at `event`. The order of [`Policy::worlds`] is that of their turns.
pub fn tasks(world: &World, event: Event, session: &Session, policy: &Policy) -> Found {
    let mut found = Found::default();
    // Whoever has told of the session runs its own scripts.
    let is_its_own = matches!(
        (world, session.source),
        (World::ConsoleKit(_), Source::ConsoleKit)
            | (World::Gdm(_), Source::Gdm)
            | (World::LightDm(_), Source::LightDm)
            | (World::Xdm(_), Source::Xdm)
    );
    if is_its_own {
        return found;
    }
    let at_screen = || policy.display_services.iter().any(|pattern| is_like(pattern, session.service()));
    match world {
        World::ConsoleKit(consolekit) => self::consolekit(consolekit, event, &mut found),
        World::Gdm(folder) if at_screen() => gdm(folder, event, session, policy, &mut found),
        World::Xdm(folder) if at_screen() => {
            let name = if event == Event::Added { "Xstartup" } else { "Xreset" };
            display_script("xdm", folder, name, event, Dress::Xdm, policy, &mut found);
        }
        World::LightDm(folder) if at_screen() => lightdm(folder, event, policy, &mut found),
        World::Gdm(_) | World::Xdm(_) | World::LightDm(_) => {}
        World::PamScript(line) => pam_script(line, event, policy, &mut found),
        World::OnSession(line) => on_session(line, event, policy, &mut found),
        World::PamExec(line) => pam_exec(line, event, policy, &mut found),
    }
    found
}

fn task(name: String, path: AbsPath, dress: Dress, timeout: u32, result: Weight) -> Task {
    Task {
        name,
        path,
        arguments: Vec::new(),
        kind: Kind::Wait,
        settings: Settings {
            timeout,
            grace: 2,
            result,
            user: RunAs::Root,
            place: Place::Host,
            allow_env: Vec::new(),
        },
        dress,
        check: Check::Strict,
        judge: Judge::ByResult,
        output: Output::Record,
        stops: false,
        other_user: None,
    }
}

/// What refuses a session when it begins is only reported when it ends.
fn weight(event: Event) -> Weight {
    if event == Event::Added { Weight::Required } else { Weight::Optional }
}

fn consolekit(ConsoleKit { folders, paths }: &ConsoleKit, event: Event, found: &mut Found) {
    for folder in folders {
        let mut names = match host::list_scripts(folder) {
            Ok(names) => names.unwrap_or_default(),
            Err(error) => {
                found.skip(folder.as_str(), error);
                continue;
            }
        };
        // Ours is for ConsoleKit to call: it would call this program.
        names.retain(|name| name.ends_with(".ck") && name != OWN_SCRIPT);
        // In no order there; in the C locale's here, so that it is the same one each time.
        names.sort_unstable();
        for name in names {
            let path = match folder.join(&name) {
                Ok(path) => path,
                Err(error) => {
                    found.skip(&name, error);
                    continue;
                }
            };
            let dress = Dress::ConsoleKit { paths: *paths };
            let mut task = task(format!("consolekit{path}"), path, dress, CONSOLEKIT_LIMIT, Weight::Optional);
            task.arguments = vec![event.argument().to_owned()];
            found.tasks.push(task);
        }
    }
}

fn gdm(folder: &AbsPath, event: Event, session: &Session, policy: &Policy, found: &mut Found) {
    let stages: &[&str] = if event == Event::Added { &["PostLogin", "PreSession"] } else { &["PostSession"] };
    for stage in stages {
        let Ok(below) = folder.join(stage) else { continue };
        let candidates = [session.fact("display"), session.fact("rhost"), Some("Default")];
        // The first that is a regular file and executable; a name that is no name of a file is nobody's.
        let chosen = candidates.into_iter().flatten().find_map(|name| {
            let path = below.join(name).ok()?;
            match host::check_script(&path) {
                Ok(()) => Some(Ok(path)),
                Err(host::Unfit::Walk(error)) if error.is_missing() => None,
                Err(host::Unfit::Is(_)) => None,
                Err(error) => Some(Err((path, error))),
            }
        });
        match chosen {
            Some(Ok(path)) => {
                let mut task = task(format!("gdm{path}"), path, Dress::Gdm, policy.limit, weight(event));
                task.stops = true;
                found.tasks.push(task);
            }
            // It is looked at again when its turn comes, and what is not in order refuses the session.
            Some(Err((path, _))) => {
                found.tasks.push(task(format!("gdm{path}"), path, Dress::Gdm, policy.limit, weight(event)))
            }
            None => {}
        }
    }
}

/// A script of XDM's kind: it may be missing, and refuses the session by its status.
fn display_script(
    world: &str,
    folder: &AbsPath,
    name: &str,
    event: Event,
    dress: Dress,
    policy: &Policy,
    found: &mut Found,
) {
    let Ok(path) = folder.join(name) else { return };
    match host::check_script(&path) {
        Err(host::Unfit::Walk(error)) if error.is_missing() => {}
        _ => found.tasks.push(task(format!("{world}{path}"), path, dress, policy.limit, weight(event))),
    }
}

fn lightdm(folder: &AbsPath, event: Event, policy: &Policy, found: &mut Found) {
    let key = if event == Event::Added { "session-setup-script" } else { "session-cleanup-script" };
    let mut texts = Vec::new();
    let below = folder.join("lightdm.conf.d");
    let mut names =
        below.as_ref().ok().and_then(|below| host::list_scripts(below).ok().flatten()).unwrap_or_default();
    names.sort_unstable();
    for name in names.iter().filter(|name| name.ends_with(".conf")) {
        texts.extend(below.as_ref().ok().and_then(|below| host::read_text(&below.join(name).ok()?)));
    }
    texts.extend(folder.join("lightdm.conf").ok().and_then(|path| host::read_text(&path)));
    // The last word counts, and the main file has it.
    let Some(line) = texts.iter().filter_map(|text| seat_key(text, key)).next_back() else { return };
    let mut words = line.split_ascii_whitespace();
    match AbsPath::new(words.next().unwrap_or_default()) {
        Ok(path) => {
            let mut task = task(format!("lightdm{path}"), path, Dress::LightDm, policy.limit, weight(event));
            task.arguments = words.map(str::to_owned).collect();
            found.tasks.push(task);
        }
        Err(error) => found.skip(&format!("lightdm: {key}={line}"), error),
    }
}

/// The last value of `key` in the sections that speak of all seats.
fn seat_key<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let mut here = false;
    let mut value = None;
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            here = ["Seat:*", "SeatDefaults"].contains(&section);
        } else if here && let Some((name, rest)) = line.split_once('=') {
            value = Some(rest.trim()).filter(|_| name.trim() == key).or(value);
        }
    }
    value.filter(|value| !value.is_empty())
}

fn pam_script(line: &[String], event: Event, policy: &Policy, found: &mut Found) {
    let PamScript { folder, lenient, arguments } = match PamScript::read(line) {
        Ok(read) => read,
        Err(mistake) => {
            found.mistakes.push(format!("pam_script: {mistake}"));
            return;
        }
    };
    let name = if event == Event::Added { "pam_script_ses_open" } else { "pam_script_ses_close" };
    let Ok(path) = folder.join(name) else { return };
    let result = weight(event);
    let mut task = task(format!("pam_script{path}"), path, Dress::PamScript, policy.limit, result);
    task.arguments = arguments;
    task.check = Check::AsPamScript;
    task.judge = Judge::AsPamScript { lenient };
    found.tasks.push(task);
}

fn on_session(line: &[String], event: Event, policy: &Policy, found: &mut Found) {
    let read = match OnSession::read(line) {
        Ok(read) => read,
        Err(mistake) => {
            found.mistakes.push(format!("onsession: {mistake}"));
            return;
        }
    };
    let (named, usual) = match event {
        Event::Added => (read.open, words::ON_SESSION_OPEN),
        Event::Removed => (read.close, words::ON_SESSION_CLOSE),
    };
    let is_usual = named.is_none();
    let Some(path) = named.or_else(|| AbsPath::new(usual).ok()) else { return };
    // The usual one may be missing, one that was named may not.
    if is_usual
        && let Err(host::Unfit::Walk(error)) = host::check_script(&path)
        && error.is_missing()
    {
        return;
    }
    let mut task = task(format!("onsession{path}"), path, Dress::OnSession, policy.limit, weight(event));
    task.settings.user = match read.run_as.as_deref() {
        Some("root") => RunAs::Root,
        _ => RunAs::User,
    };
    task.other_user = read.run_as.filter(|name| name != "root");
    found.tasks.push(task);
}

fn pam_exec(line: &[String], event: Event, policy: &Policy, found: &mut Found) {
    let read = match PamExec::read(line) {
        Ok(read) => read,
        Err(mistake) => {
            let mistake = mistake.unwrap_or_else(|| "there is no command".to_owned());
            found.mistakes.push(format!("pam_exec: {mistake}"));
            return;
        }
    };
    let now = if event == Event::Added { "open_session" } else { "close_session" };
    if read.only.as_deref().is_some_and(|only| only != now) {
        return;
    }
    let mut task =
        task(format!("pam_exec{}", read.command), read.command, Dress::PamExec, policy.limit, weight(event));
    task.arguments = read.arguments;
    if read.untrusted {
        task.check = Check::None;
    }
    task.output = match (read.log, read.show) {
        (Some(file), _) => Output::File(file),
        (None, true) => Output::Show,
        (None, false) => Output::Record,
    };
    found.tasks.push(task);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lightdms_last_word_about_all_seats_counts() {
        let text = "session-setup-script=/no\n[Seat:seat0]\nsession-setup-script=/no\n[Seat:*]\n\
                    #session-setup-script=/no\nsession-setup-script = /a\nsession-setup-script=/b c\n";
        assert_eq!(seat_key(text, "session-setup-script"), Some("/b c"));
        assert_eq!(
            seat_key("[SeatDefaults]\nsession-cleanup-script=/x\n", "session-cleanup-script"),
            Some("/x")
        );
        assert_eq!(seat_key("[Seat:*]\nsession-setup-script=\n", "session-setup-script"), None);
    }
}
