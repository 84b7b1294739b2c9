//! Session scripts that write down that they ran: in the user's home, which is the same folder in every view.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::time::Duration;

use vm_tests::{Guest, Payload};

use crate::suite::Verdict;

pub const PATIENCE: Duration = Duration::from_secs(60);

/// What all of them do. While there is a file of that name a script is held, and it says so when it is let go.
const NOTE: &str = r#"
name=${0##*/} event=${1#session_} home=${SESSION_HOME:-/home/$USER}
env | grep -v -e ^PWD= -e ^OLDPWD= -e ^SHLVL= -e ^_= -e ^SESSION_ENV= | sort >"$home/env-$event-$name"
line="$event $name ${SESSION_ID:--} $(readlink /proc/self/ns/mnt || echo nowhere)"
echo "$line" >>"$home/notes"
[ -e "$home/hold-$event-$name" ] || exit 0
while [ -e "$home/hold-$event-$name" ]; do sleep 0.1; done
echo "$line end" >>"$home/notes"
"#;
/// What a session puts down about itself, before it waits for its end.
const MINE: &str = "{ env; echo VIEW=$(readlink /proc/self/ns/mnt); } >mine.new; mv mine.new mine; exec cat";
const LIBRARY: &str = "/usr/local/lib/notes";

/// The scripts of the beginning, in their order. They say what those before them have made of it.
const ADDED: [&str; 5] = ["10W-settings.sh", "11W-more.sh", "20D-workspace.sh", "50-first.sh", "70-then.sh"];
/// Those of the end, as they are listed.
const REMOVED: [&str; 3] = ["10W-settings.sh", "20-workspace.sh", "70-then.sh"];

/// Adds the scripts. They are links, as those of the page were with which all of this began.
pub fn add_to(payload: Payload) -> Payload {
    let script = |first: &str| format!("#!/bin/sh\n{first}{NOTE}");
    let settings =
        "[ \"$SESSION_EVENT\" = removed ] || echo \"WORKSPACE=/srv/$SESSION_USER\" >>\"$SESSION_ENV\"\n";
    let more = "echo \"MORE=$WORKSPACE/more\" >>\"$SESSION_ENV\"\n";
    let mut payload = payload
        .file(&format!("{LIBRARY}/note"), 0o755, script(""))
        .file(&format!("{LIBRARY}/settings"), 0o755, script(settings))
        .file(&format!("{LIBRARY}/more"), 0o755, script(more));
    for (folder, names) in [("added", &ADDED[..]), ("removed", &REMOVED[..])] {
        for name in names {
            let file = if name.starts_with("10W") {
                "settings"
            } else if name.starts_with("11W") {
                "more"
            } else {
                "note"
            };
            payload = payload.link(&format!("/etc/session.d/{folder}/{name}"), &format!("{LIBRARY}/{file}"));
        }
    }
    payload
}

/// A line of what was written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub event: String,
    pub script: String,
    pub session: String,
    pub place: String,
    pub is_end: bool,
}

pub fn ensure(holds: bool, message: impl Into<String>) -> Verdict {
    if holds { Ok(()) } else { Err(message.into().into()) }
}

/// Opens the gates of bob and carol, and forgets what was written down.
pub fn fresh(guest: &Guest) -> Verdict {
    guest.root_ok(
        "for user in bob carol; do install -d -o $user -g $user /home/$user/.session; done
         rm -f /home/*/notes /home/*/env-* /home/*/hold-* /home/*/mine",
    )?;
    Ok(())
}

/// What was written down about this user's sessions.
pub fn of(guest: &Guest, user: &str) -> vm_tests::Result<Vec<Note>> {
    let text = guest.root_ok(&format!("cat /home/{user}/notes 2>/dev/null || true"))?;
    text.lines()
        .map(|line| match line.split(' ').collect::<Vec<_>>().as_slice() {
            [event, script, session, place, rest @ ..] => Ok(Note {
                event: (*event).to_owned(),
                script: (*script).to_owned(),
                session: (*session).to_owned(),
                place: (*place).to_owned(),
                is_end: rest == ["end"],
            }),
            _ => Err(format!("this is no note: {line:?}")),
        })
        .collect()
}

/// Waits until there is a line about this script of bob's.
pub fn wait(guest: &Guest, event: &str, script: &str) -> vm_tests::Result<()> {
    wait_for_line(guest, &format!("{event} {script} "))
}

/// Lets a script of bob's go that is held, and waits until it has gone.
pub fn release(guest: &Guest, event: &str, script: &str) -> vm_tests::Result<()> {
    guest.root_ok(&format!("rm /home/bob/hold-{event}-{script}"))?;
    wait_for_line(guest, &format!("{event} {script} .* end"))
}

fn wait_for_line(guest: &Guest, pattern: &str) -> vm_tests::Result<()> {
    let wait = format!("until grep -qs '^{pattern}' /home/bob/notes; do sleep 0.1; done");
    let output = guest.root_within(&wait, PATIENCE)?;
    if output.is_success() {
        return Ok(());
    }
    Err(format!("there is no line {pattern:?} in {}", story(guest)?))
}

/// Has a script of bob's wait from now on, when it is its turn.
pub fn hold(guest: &Guest, event: &str, script: &str) -> vm_tests::Result<()> {
    guest.root_ok(&format!("touch /home/bob/hold-{event}-{script}")).map(drop)
}

/// The environment that a script of bob's had when it ran the last time.
pub fn environment(guest: &Guest, event: &str, script: &str) -> vm_tests::Result<BTreeMap<String, String>> {
    Ok(variables(&guest.root_ok(&format!("cat /home/bob/env-{event}-{script}"))?))
}

/// The lines of `env`.
pub fn variables(text: &str) -> BTreeMap<String, String> {
    let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    text.lines().filter_map(pair).collect()
}

/// What an error shows: the lines, the records, the log.
fn story(guest: &Guest) -> vm_tests::Result<String> {
    guest.root_ok(
        "tail -n 40 /home/*/notes; cd /run/session-sandbox/scripts && head -n 40 Session* ended/*
         journalctl --no-pager -q -n 60 | cut -c 1-300; true",
    )
}

/// Waits until no session is on record.
pub fn wait_until_over(guest: &Guest) -> Verdict {
    let wait = "until ! ls /run/session-sandbox/scripts 2>/dev/null | grep -q ^Session; do sleep 0.1; done";
    let output = guest.root_within(wait, PATIENCE)?;
    ensure(output.is_success(), format!("a session does not end: {}", story(guest)?))
}

/// Has all that runs run in one session of bob's, once, in its order, and the end of it in the host's view? Nobody has
/// anything to add when asked again.
pub fn one_session(guest: &Guest) -> vm_tests::Result<Vec<Note>> {
    wait_until_over(guest).map_err(|failed| failed.message().unwrap_or_default().to_owned())?;
    guest.root_ok("session-scripts sweep; sessionctl gc >/dev/null")?;
    let notes = of(guest, "bob")?;
    let names = |event: &str| -> Vec<&str> {
        let of_event = notes.iter().filter(|note| note.event == event && !note.is_end);
        of_event.map(|note| note.script.as_str()).collect()
    };
    let without = |names: &[&str]| -> Vec<String> {
        names.iter().filter(|name| !name.contains("D-")).map(|name| (*name).to_owned()).collect()
    };
    let (added, removed) = (names("added"), names("removed"));
    let mut sorted = added.clone();
    sorted.sort_unstable();
    let reversed: Vec<&str> = REMOVED.into_iter().rev().collect();
    let host = guest.root_ok("readlink /proc/self/ns/mnt")?;
    let sound = without(&added) == without(&ADDED)
        && sorted == ADDED
        && removed == reversed
        && notes.iter().all(|note| note.session == notes[0].session)
        && notes.iter().all(|note| note.event == "added" || note.place == host);
    match sound {
        true => Ok(notes),
        false => Err(format!("{notes:?} is not one session from its begin to its end\n{}", story(guest)?)),
    }
}

/// With a logind that kills what a session leaves, the scripts of the end go on: whoever watches for the end may be among
/// what is killed, they are run elsewhere.
pub fn under_a_killing_logind(guest: &Guest) -> Verdict {
    let conf = "/etc/systemd/logind.conf.d/kills.conf";
    guest.root_ok(&format!(
        "mkdir -p $(dirname {conf}); printf '[Login]\\nKillUserProcesses=yes\\n' >{conf}; systemctl restart systemd-logind"
    ))?;
    let survived = outlives_its_session(guest);
    guest.root_ok(&format!("rm {conf}; systemctl restart systemd-logind"))?;
    survived
}

fn outlives_its_session(guest: &Guest) -> Verdict {
    fresh(guest)?;
    hold(guest, "removed", "20-workspace.sh")?;
    let login = Login::begin(guest)?;
    wait(guest, "added", "70-then.sh")?;
    login.end()?;
    wait(guest, "removed", "20-workspace.sh")?;
    guest.root_ok("while loginctl list-sessions --no-legend | grep -q bob; do sleep 0.1; done")?;
    release(guest, "removed", "20-workspace.sh")?;
    one_session(guest)?;
    Ok(())
}

/// A login of bob's by ssh that lasts until it is ended.
pub struct Login {
    child: Child,
}

impl Login {
    /// Logs in, and waits for that.
    pub fn begin(guest: &Guest) -> vm_tests::Result<Self> {
        guest.root_ok("rm -f /home/bob/mine")?;
        let mut ssh = guest.ssh_command("bob");
        let ssh = ssh.arg(MINE).stdin(Stdio::piped());
        let ssh = ssh.stdout(Stdio::null()).stderr(Stdio::piped());
        let login = Self { child: ssh.spawn().map_err(|error| format!("ssh: {error}"))? };
        let output = guest.root_within("until [ -e /home/bob/mine ]; do sleep 0.1; done", PATIENCE)?;
        if !output.is_success() {
            return Err(format!("bob is not in after {PATIENCE:?}: {}", story(guest)?));
        }
        Ok(login)
    }

    /// The environment of the session, and its mount namespace as `VIEW`.
    pub fn environment(&self, guest: &Guest) -> vm_tests::Result<BTreeMap<String, String>> {
        Ok(variables(&guest.root_ok("cat /home/bob/mine")?))
    }

    /// Logs out, and waits until the connection is closed.
    pub fn end(mut self) -> vm_tests::Result<()> {
        drop(self.child.stdin.take());
        self.child.wait().map(drop).map_err(|error| format!("ssh: {error}"))
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        // Ended already, or not: it is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Logs a user in on the console, up to the shell's prompt.
pub fn on_console(guest: &Guest, user: &str) -> vm_tests::Result<()> {
    let console = guest.console();
    for (prompt, answer) in [("login: ", user), ("Password: ", user), ("$ ", "echo \"<$(id -un)>\"")] {
        console.expect(prompt, PATIENCE)?;
        console.send(&format!("{answer}\n"))?;
    }
    console.expect(&format!("<{user}>"), PATIENCE)?;
    console.expect("$ ", PATIENCE).map(drop)
}
