//! logind tells session-watchd of sessions, and programs hand it what ends with them.

use vm_tests::{Guest, Payload, product};

use crate::notes::{self, Login, PATIENCE, ensure};
use crate::suite::{Check, Verdict};

/// As long as a test wants it to be gone.
const STAYS_DOWN: &str = "[Service]\nRestart=no\n";
/// A session of that class, as a display manager begins one.
const OF_CLASS: &str = "systemd-run --quiet --collect --unit=of-class --uid=bob -p PAMName=login";

pub fn payload() -> vm_tests::Result<Payload> {
    Ok(notes::add_to(product::payload()?))
}

pub fn checks() -> Vec<Check> {
    vec![
        Check::new("logind tells of a login by ssh", by_ssh),
        Check::new("logind tells of a login on the console, and of its end when login is killed", on_console),
        Check::new("sshd is killed: the scripts of the end run once", |guest| killed(guest, "logind")),
        Check::new("su - begins no session of logind, and nothing runs", su),
        Check::new("greeters and user managers are no sessions of users", classes),
        Check::new("a session ends with the process that logged in, whatever it leaves behind", left_behind),
        Check::new("the daemon is killed, and what ends meanwhile is noticed later", |guest| {
            down(guest, "logind")
        }),
        Check::new("with the module and logind scripts run once, and the daemon watches for the end", both),
        Check::new("the daemon is killed, and so is sshd: the scripts of the end run once", |guest| {
            down(guest, "pam")
        }),
        Check::new(
            "where logind kills what users leave the scripts of the end are not cut off",
            notes::under_a_killing_logind,
        ),
        Check::new("with scripts=no in the module's line logind tells of sessions", scripts_no),
    ]
}

/// A login that ends; whoever tells of it is `source`.
fn one_login(guest: &Guest, source: &str) -> Verdict {
    notes::fresh(guest)?;
    let login = Login::begin(guest)?;
    let own = login.environment(guest)?;
    notes::wait(guest, "added", "70-then.sh")?;
    login.end()?;
    notes::wait(guest, "removed", "10W-settings.sh")?;
    notes::one_session(guest)?;
    for event in ["added", "removed"] {
        let seen = notes::environment(guest, event, "10W-settings.sh")?;
        for name in ["XDG_SESSION_ID", "XDG_SESSION_TYPE", "XDG_SESSION_CLASS", "XDG_RUNTIME_DIR"] {
            let same = own.contains_key(name) && seen.get(name) == own.get(name);
            ensure(same, format!("{event}: {name} is {:?} in the session, and in {seen:?}", own.get(name)))?;
        }
        for (name, value) in
            [("SESSION_SOURCE", source), ("SESSION_SERVICE", "sshd"), ("SESSION_RHOST", "10.0.2.2")]
        {
            ensure(seen.get(name).is_some_and(|seen| seen == value), format!("{event}, {name}: {seen:?}"))?;
        }
    }
    Ok(())
}

fn by_ssh(guest: &Guest) -> Verdict {
    product::install_package(guest)?;
    guest.root_ok(&format!(
        "systemctl start session-watchd; mkdir -p /run/systemd/system/session-watchd.service.d
         printf '%s' '{STAYS_DOWN}' >/run/systemd/system/session-watchd.service.d/down.conf; systemctl daemon-reload"
    ))?;
    one_login(guest, "logind")
}

fn on_console(guest: &Guest) -> Verdict {
    notes::fresh(guest)?;
    notes::on_console(guest, "bob")?;
    notes::wait(guest, "added", "70-then.sh")?;
    guest.root_ok("pkill -9 -x login")?;
    notes::wait(guest, "removed", "10W-settings.sh")?;
    notes::one_session(guest)?;
    let end = notes::environment(guest, "removed", "10W-settings.sh")?;
    for (name, value) in [("SESSION_TTY", "ttyS0"), ("SESSION_SERVICE", "login"), ("XDG_SESSION_TYPE", "tty")]
    {
        ensure(end.get(name).is_some_and(|found| found == value), format!("{name}: {end:?}"))?;
    }
    guest.console().expect("login: ", PATIENCE)?;
    // For whoever comes later.
    guest.console().send("\n")?;
    Ok(())
}

fn killed(guest: &Guest, source: &str) -> Verdict {
    notes::fresh(guest)?;
    let _login = Login::begin(guest)?;
    notes::wait(guest, "added", "70-then.sh")?;
    guest.root_ok("pkill -9 -f '^sshd.*: bob'")?;
    notes::wait(guest, "removed", "10W-settings.sh")?;
    notes::one_session(guest)?;
    let end = notes::environment(guest, "removed", "10W-settings.sh")?;
    ensure(end.get("SESSION_SOURCE").is_some_and(|found| found == source), format!("{end:?}"))
}

fn su(guest: &Guest) -> Verdict {
    notes::fresh(guest)?;
    let said =
        guest.ssh_ok("alice", "echo $XDG_SESSION_ID; sudo -n su - bob -c 'echo $XDG_SESSION_ID; id -un'")?;
    ensure(said.ends_with("bob"), format!("su says {said}"))?;
    nothing_ran(guest)
}

fn nothing_ran(guest: &Guest) -> Verdict {
    notes::wait_until_over(guest)?;
    let notes = notes::of(guest, "bob")?;
    ensure(notes.is_empty(), format!("{notes:?}"))
}

fn classes(guest: &Guest) -> Verdict {
    notes::fresh(guest)?;
    guest.root_ok(&format!(
        "loginctl enable-linger bob; until systemctl is-active -q user@1001.service; do sleep 0.2; done
         {OF_CLASS} -E XDG_SESSION_CLASS=greeter sleep 1000
         until loginctl list-sessions --no-legend | while read -r id rest; do loginctl show-session $id -p Class --value; done |
             grep -qx greeter; do sleep 0.1; done
         systemctl stop of-class; loginctl disable-linger bob"
    ))?;
    nothing_ran(guest)?;
    // The same for a user is one.
    guest.root_ok(&format!("{OF_CLASS} -E XDG_SESSION_CLASS=user sleep 1000"))?;
    notes::wait(guest, "added", "70-then.sh")?;
    guest.root_ok("systemctl stop of-class")?;
    notes::wait(guest, "removed", "10W-settings.sh")?;
    notes::one_session(guest)?;
    Ok(())
}

fn left_behind(guest: &Guest) -> Verdict {
    notes::fresh(guest)?;
    guest.ssh_ok("bob", "setsid sleep 1000 >/dev/null 2>&1 </dev/null & echo $XDG_SESSION_ID")?;
    notes::wait(guest, "removed", "10W-settings.sh")?;
    let left = guest.root("pgrep -u bob -x sleep && loginctl list-sessions --no-legend")?;
    ensure(left.is_success(), "nothing was left behind")?;
    guest.root_ok(
        "pkill -u bob -x sleep; while loginctl list-sessions --no-legend | grep -q bob; do sleep 0.1; done",
    )?;
    notes::one_session(guest)?;
    Ok(())
}

/// The daemon is gone while a session ends.
fn down(guest: &Guest, source: &str) -> Verdict {
    notes::fresh(guest)?;
    let _login = Login::begin(guest)?;
    notes::wait(guest, "added", "70-then.sh")?;
    guest.root_ok("systemctl kill --signal=KILL session-watchd; until systemctl is-failed -q session-watchd; do sleep 0.1; done")?;
    guest.root_ok("pkill -9 -f '^sshd.*: bob'; while pgrep -f '^sshd.*: bob'; do sleep 0.1; done; systemctl reset-failed session-watchd; systemctl start session-watchd")?;
    notes::wait(guest, "removed", "10W-settings.sh")?;
    notes::one_session(guest)?;
    let end = notes::environment(guest, "removed", "10W-settings.sh")?;
    ensure(end.get("SESSION_SOURCE").is_some_and(|found| found == source), format!("{end:?}"))?;
    ensure(guest.root("systemctl is-active session-watchd")?.is_success(), "the daemon does not run")
}

fn both(guest: &Guest) -> Verdict {
    product::install(guest)?;
    guest.root_ok("systemctl restart ssh")?;
    one_login(guest, "pam")?;
    // The daemon watches: no process of the session's own does.
    notes::fresh(guest)?;
    let login = Login::begin(guest)?;
    notes::wait(guest, "added", "70-then.sh")?;
    let watchers = guest.root_ok("pgrep -x session-watcher || true")?;
    ensure(watchers.is_empty(), format!("there is a watcher beside the daemon: {watchers}"))?;
    login.end()?;
    notes::wait(guest, "removed", "10W-settings.sh")?;
    notes::one_session(guest)?;
    killed(guest, "pam")
}

fn scripts_no(guest: &Guest) -> Verdict {
    guest.root_ok(
        "sed -i 's/^session.*pam_session_sandbox.so.*/& scripts=no/' /etc/pam.d/common-session
         grep -q 'scripts=no' /etc/pam.d/common-session",
    )?;
    one_login(guest, "logind")
}
