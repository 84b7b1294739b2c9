//! The environment of a script: what is listed here, and nothing of the caller's. Pure.

use std::collections::BTreeMap;

use super::schedule::Dress;
use super::session::{FACTS, Session, Source};
use crate::model::scripts::{Event, RunAs};

/// Where programs are looked for: root's folders and no others.
pub const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// The D-Bus path under which ConsoleKit had its sessions and seats before version 2.
const CONSOLEKIT: &str = "/org/freedesktop/ConsoleKit";

/// Names and values.
pub type Variables = BTreeMap<String, String>;

/// The environment for a script of `session`. `said` is what scripts before it have set.
pub fn environment(
    dress: Dress,
    session: &Session,
    event: Event,
    user: RunAs,
    said: &Variables,
) -> Variables {
    let mut all = Variables::new();
    let mut set = |name: &str, value: &str| drop(all.insert(name.to_owned(), value.to_owned()));
    // pam_exec gives none, and a shell has its own idea then.
    if dress != Dress::PamExec {
        set("PATH", PATH);
    }
    match dress {
        Dress::Native => {
            // The PAM environment is in part the user's word: of it only what the door itself has told.
            person(user, session, &mut set);
            native(session, event, &mut set);
            consolekit(session, false, &mut set);
            pam_items(session, pam_type(event), false, &mut set);
        }
        Dress::ConsoleKit { paths } => consolekit(session, paths, &mut set),
        Dress::PamScript | Dress::OnSession => {
            person(user, session, &mut set);
            pam_items(session, "session", true, &mut set);
            own_facts(session, &mut set);
        }
        Dress::PamExec => {
            for variable in &session.pam_environment {
                if let Some((name, value)) = variable.split_once('=')
                    && crate::model::policy::refused_variable(name).is_none()
                    && name != "PATH"
                {
                    set(name, value);
                }
            }
            pam_items(session, pam_type(event), false, &mut set);
        }
        Dress::Gdm => {
            of_the_user(session, &mut set);
            set("USERNAME", &session.user);
            set("GROUP", &session.group);
            set("PWD", &session.home);
            set("RUNNING_UNDER_GDM", "true");
            screen(session, &mut set);
            if let Some(host) = session.fact("rhost") {
                set("REMOTE_HOST", host);
            }
        }
        Dress::LightDm => {
            of_the_user(session, &mut set);
            set("SHELL", "/bin/sh");
            screen(session, &mut set);
            if let Some(seat) = session.fact("seat") {
                set("XDG_SEAT", seat);
            }
        }
        Dress::Xdm => {
            of_the_user(session, &mut set);
            screen(session, &mut set);
        }
    }
    // What scripts have set is for all that come after them; a world with a list of its own keeps to that.
    if matches!(dress, Dress::Native | Dress::PamScript | Dress::OnSession | Dress::PamExec) {
        all.extend(said.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    all
}

fn pam_type(event: Event) -> &'static str {
    match event {
        Event::Added => "open_session",
        Event::Removed => "close_session",
    }
}

/// HOME and the like of whoever the script runs as.
fn person(user: RunAs, session: &Session, set: &mut impl FnMut(&str, &str)) {
    match user {
        RunAs::User => of_the_user(session, set),
        RunAs::Root => {
            for (name, value) in
                [("HOME", "/root"), ("USER", "root"), ("LOGNAME", "root"), ("SHELL", "/bin/sh")]
            {
                set(name, value);
            }
        }
    }
}

fn of_the_user(session: &Session, set: &mut impl FnMut(&str, &str)) {
    set("HOME", &session.home);
    set("USER", &session.user);
    set("LOGNAME", &session.user);
    set("SHELL", &session.shell);
}

fn screen(session: &Session, set: &mut impl FnMut(&str, &str)) {
    for (fact, name) in [("display", "DISPLAY"), ("xauthority", "XAUTHORITY")] {
        if let Some(value) = session.fact(fact) {
            set(name, value);
        }
    }
}

fn own_facts(session: &Session, set: &mut impl FnMut(&str, &str)) {
    for (fact, name) in FACTS {
        if let Some(value) = session.fact(fact) {
            set(name, value);
        }
    }
}

fn native(session: &Session, event: Event, set: &mut impl FnMut(&str, &str)) {
    set("SESSION_ID", &session.name);
    set("SESSION_EVENT", event.word());
    set("SESSION_SOURCE", session.source.name());
    set("SESSION_USER", &session.user);
    set("SESSION_UID", &session.uid.to_string());
    set("SESSION_GID", &session.gid.to_string());
    set("SESSION_GROUP", &session.group);
    set("SESSION_HOME", &session.home);
    set("SESSION_SHELL", &session.shell);
    set("SESSION_FIRST", if session.first { "true" } else { "false" });
    own_facts(session, set);
    screen(session, set);
}

/// The variables of ConsoleKit's `run-session.d`, each there or not as ConsoleKit has it.
fn consolekit(session: &Session, paths: bool, set: &mut impl FnMut(&str, &str)) {
    let id = match (session.source, &session.id) {
        (Source::ConsoleKit, Some(id)) => id,
        _ => &session.name,
    };
    let name = id.rsplit('/').next().unwrap_or(id);
    let seat = session.fact("seat").unwrap_or("seat0");
    if paths {
        set("CK_SESSION_ID", &format!("{CONSOLEKIT}/{name}"));
        set("CK_SESSION_SEAT_ID", &format!("{CONSOLEKIT}/{}", seat.replacen("seat", "Seat", 1)));
    } else {
        set("CK_SESSION_ID", name);
        set("CK_SESSION_SEAT_ID", seat);
    }
    set("CK_SESSION_TYPE", session.fact("type").unwrap_or(""));
    set("CK_SESSION_USER_UID", &session.uid.to_string());
    set("CK_SESSION_X11_DISPLAY", session.fact("display").unwrap_or(""));
    set("CK_SESSION_IS_ACTIVE", "true");
    set("CK_SESSION_IS_LOCAL", if session.is_local() { "true" } else { "false" });
    let mut if_there = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            set(name, &value);
        }
    };
    if_there("CK_SESSION_SERVICE", session.fact("service").map(str::to_owned));
    let device = |tty: &str| if tty.starts_with('/') { tty.to_owned() } else { format!("/dev/{tty}") };
    // What sshd, cron and others say in place of a terminal's name has no number.
    let is_device = |tty: &&str| *tty == "console" || tty.ends_with(|last: char| last.is_ascii_digit());
    let tty = session.fact("tty").filter(|tty| !tty.starts_with(':')).filter(is_device);
    let at_screen = session.fact("display").is_some_and(|display| !display.is_empty());
    if_there("CK_SESSION_DISPLAY_DEVICE", tty.filter(|_| !at_screen).map(device));
    let screen =
        session.fact("vtnr").filter(|number| *number != "0").map(|number| format!("/dev/tty{number}"));
    if_there("CK_SESSION_X11_DISPLAY_DEVICE", screen.filter(|_| at_screen));
    if_there("CK_SESSION_REMOTE_HOST_NAME", session.fact("rhost").map(str::to_owned));
}

/// PAM's items. With `each` all of them are there, and empty where they are not set; the password never is.
fn pam_items(session: &Session, pam_type: &str, each: bool, set: &mut impl FnMut(&str, &str)) {
    set("PAM_TYPE", pam_type);
    let items = [
        ("PAM_SERVICE", session.fact("service")),
        ("PAM_USER", Some(session.user.as_str())),
        ("PAM_TTY", session.fact("pam-tty").or_else(|| session.fact("tty"))),
        ("PAM_RHOST", session.fact("rhost")),
        ("PAM_RUSER", session.fact("ruser")),
    ];
    for (name, value) in items {
        match value {
            Some(value) => set(name, value),
            None if each => set(name, ""),
            None => {}
        }
    }
    if each {
        set("PAM_AUTHTOK", "");
        set("PAM_OLDAUTHTOK", "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn bob() -> Session {
        let facts = [
            ("service", "sshd"),
            ("tty", "pts/3"),
            ("rhost", "there.example"),
            ("xdg-id", "c4"),
            ("type", "tty"),
            ("seat", "seat0"),
        ];
        Session {
            name: "Session7".to_owned(),
            source: Source::Pam,
            id: None,
            user: "bob".to_owned(),
            uid: 1001,
            gid: 100,
            groups: vec![100],
            group: "users".to_owned(),
            home: "/home/bob".to_owned(),
            shell: "/bin/bash".to_owned(),
            facts: facts.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            pam_environment: vec!["LANG=de".to_owned(), "LD_PRELOAD=/x".to_owned(), "PATH=/x".to_owned()],
            leader: None,
            worlds: Vec::new(),
            worlds_alone: false,
            first: true,
            gate_open: true,
        }
    }

    fn names(dress: Dress, session: &Session) -> Vec<String> {
        environment(dress, session, Event::Added, RunAs::Root, &Variables::new()).into_keys().collect()
    }

    #[test]
    fn consolekits_variables_are_there_as_consolekit_has_them() {
        let mut session = bob();
        let dress = Dress::ConsoleKit { paths: false };
        let all = environment(dress, &session, Event::Added, RunAs::Root, &Variables::new());
        assert_eq!(all["CK_SESSION_ID"], "Session7");
        assert_eq!(all["CK_SESSION_DISPLAY_DEVICE"], "/dev/pts/3");
        assert_eq!(all["CK_SESSION_X11_DISPLAY"], "");
        assert_eq!((&*all["CK_SESSION_IS_ACTIVE"], &*all["CK_SESSION_IS_LOCAL"]), ("true", "false"));
        assert!(!all.contains_key("CK_SESSION_X11_DISPLAY_DEVICE"));
        // The twelve at a screen: all but the remote host and the terminal.
        session.facts.remove("rhost");
        session.facts.insert("display".to_owned(), ":0".to_owned());
        session.facts.insert("vtnr".to_owned(), "7".to_owned());
        let all = environment(dress, &session, Event::Added, RunAs::Root, &Variables::new());
        assert_eq!(all["CK_SESSION_X11_DISPLAY_DEVICE"], "/dev/tty7");
        assert_eq!(all["CK_SESSION_X11_DISPLAY"], ":0");
        assert!(
            !all.contains_key("CK_SESSION_REMOTE_HOST_NAME")
                && !all.contains_key("CK_SESSION_DISPLAY_DEVICE")
        );
        let paths = Dress::ConsoleKit { paths: true };
        let all = environment(paths, &session, Event::Added, RunAs::Root, &Variables::new());
        assert_eq!(all["CK_SESSION_ID"], "/org/freedesktop/ConsoleKit/Session7");
        assert_eq!(all["CK_SESSION_SEAT_ID"], "/org/freedesktop/ConsoleKit/Seat0");
    }

    #[test]
    fn each_world_gets_its_own_list_and_nothing_else() {
        let session = bob();
        assert_eq!(
            names(Dress::Gdm, &session),
            [
                "GROUP",
                "HOME",
                "LOGNAME",
                "PATH",
                "PWD",
                "REMOTE_HOST",
                "RUNNING_UNDER_GDM",
                "SHELL",
                "USER",
                "USERNAME"
            ]
        );
        assert_eq!(
            names(Dress::PamExec, &session),
            ["LANG", "PAM_RHOST", "PAM_SERVICE", "PAM_TTY", "PAM_TYPE", "PAM_USER"]
        );
        let script = environment(Dress::PamScript, &session, Event::Removed, RunAs::Root, &Variables::new());
        assert_eq!(
            (&*script["PAM_TYPE"], &*script["PAM_RUSER"], &*script["PAM_AUTHTOK"]),
            ("session", "", "")
        );
        let exec = environment(Dress::PamExec, &session, Event::Removed, RunAs::Root, &Variables::new());
        assert_eq!(exec["PAM_TYPE"], "close_session");
        assert!(!exec.contains_key("PATH"));
    }

    #[test]
    fn what_earlier_scripts_set_is_there_and_the_users_own_words_are_not() {
        let said = Variables::from([("X".to_owned(), "1".to_owned())]);
        let all = environment(Dress::Native, &bob(), Event::Added, RunAs::User, &said);
        assert_eq!((&*all["X"], &*all["HOME"]), ("1", "/home/bob"));
        assert!(!all.contains_key("LD_PRELOAD") && !all.contains_key("LANG"));
        assert_eq!(all["SESSION_EVENT"], "added");
        assert_eq!(all["XDG_SESSION_ID"], "c4");
        assert!(!environment(Dress::Gdm, &bob(), Event::Added, RunAs::User, &said).contains_key("X"));
    }
}
