//! Session scripts that the PAM module runs: at real logins, in their order, and once, whoever is killed.

use std::time::Duration;

use vm_tests::{Guest, Payload, product};

use crate::notes::{self, Login, ensure};
use crate::suite::{Check, Verdict};

const USER_MANAGER: &str = include_str!("../../../docs/examples/user-manager.toml");
const PATIENCE: Duration = Duration::from_secs(90);
/// Due at every minute.
const CRONTAB: &str = "* * * * * bob touch /home/bob/by-cron\n";
/// Waits until bob has no view: the next one is opened by the map as it is then.
const NO_VIEW: &str =
    "until sessionctl gc >/dev/null && ! sessionctl list | grep -q user-1001; do sleep 0.2; done";

pub fn payload() -> vm_tests::Result<Payload> {
    Ok(notes::add_to(product::payload()?))
}

pub fn checks() -> Vec<Check> {
    vec![
        Check::new(
            "a login by ssh has its scripts run, in order, once, and waits for no more than it should",
            by_ssh,
        ),
        Check::new("a script in the session's view sees what the session sees, and sets variables", in_view),
        Check::new("without ~/.session nothing runs", closed_gate),
        Check::new("sshd is killed: the scripts of the end run once", killed_sshd),
        Check::new("login is killed on the console: the scripts of the end run once", killed_login),
        Check::new("a slow script of the end delays nobody's login, and is shown", slow_end),
        Check::new(
            "where logind kills what users leave, the scripts of the end go on",
            notes::under_a_killing_logind,
        ),
        Check::new("a required script that fails refuses the login", refused),
        Check::new("with the at daemon as launcher", |guest| launcher(guest, "at", "atq | grep -q '='")),
        Check::new("with systemd as launcher", |guest| {
            launcher(
                guest,
                "systemd",
                "systemctl list-units --no-legend --state=running 'session-scripts-*' | grep -q .",
            )
        }),
        Check::new("cron, at and the user manager run nothing", other_doors),
        Check::new("after a cut of the power in the middle nothing is left, and all works", |guest| {
            power(guest, Guest::reset)
        }),
        Check::new("after a restart in the middle nothing is left, and all works", |guest| {
            power(guest, Guest::reboot)
        }),
    ]
}

fn by_ssh(guest: &Guest) -> Verdict {
    product::install(guest)?;
    guest.root_ok("systemctl restart ssh")?;
    notes::fresh(guest)?;
    notes::hold(guest, "added", "20D-workspace.sh")?;
    notes::hold(guest, "added", "50-first.sh")?;
    let login = Login::begin(guest)?;
    let own = login.environment(guest)?;
    notes::wait(guest, "added", "20D-workspace.sh")?;
    notes::wait(guest, "added", "50-first.sh")?;
    let first = notes::of(guest, "bob")?;
    ensure(
        !first.iter().any(|note| note.script == "70-then.sh"),
        format!("70 is before its turn: {first:?}"),
    )?;
    for (name, value) in [("WORKSPACE", "/srv/bob"), ("MORE", "/srv/bob/more")] {
        ensure(own.get(name).is_some_and(|own| own == value), format!("{name} in {own:?}"))?;
    }
    notes::release(guest, "added", "50-first.sh")?;
    notes::wait(guest, "added", "70-then.sh")?;
    let all = outlived_by_20d(guest, login)?;
    same_environment(guest)?;
    let early = notes::environment(guest, "added", "10W-settings.sh")?;
    let id = own.get("XDG_SESSION_ID").cloned();
    ensure(
        id.is_some() && early.get("XDG_SESSION_ID") == id.as_ref(),
        format!("{id:?} is not that of {early:?}"),
    )?;
    let by_place = |name: &str| all.iter().find(|note| note.script == name).map(|note| note.place.clone());
    let host = guest.root_ok("readlink /proc/self/ns/mnt")?;
    ensure(
        by_place("10W-settings.sh").as_ref() == Some(&host),
        format!("10W is not in the host's view: {all:?}"),
    )?;
    ensure(
        by_place("50-first.sh").as_ref() != Some(&host),
        format!("50 is not in the session's view: {all:?}"),
    )
}

/// The default for what nobody waits for, and for others on request.
fn in_view(guest: &Guest) -> Verdict {
    notes::fresh(guest)?;
    guest.root_ok(
        "printf '#!/bin/sh\\necho VIEW_SAYS=word >$SESSION_ENV\\n' >/etc/session.d/added/12W-inside
         chmod 755 /etc/session.d/added/12W-inside
         printf 'version = 1\\n[[script]]\\nname = \"12W-inside\"\\nwhere = \"session\"\\n' >/etc/session.d/session-scripts.conf",
    )?;
    let login = Login::begin(guest)?;
    let own = login.environment(guest)?;
    notes::wait(guest, "added", "70-then.sh")?;
    login.end()?;
    guest.root_ok("rm /etc/session.d/added/12W-inside /etc/session.d/session-scripts.conf")?;
    let all = notes::one_session(guest)?;
    let view = own.get("VIEW").cloned().unwrap_or_default();
    for name in ["20D-workspace.sh", "50-first.sh", "70-then.sh"] {
        let note = all.iter().find(|note| note.event == "added" && note.script == name);
        ensure(note.is_some_and(|note| note.place == view), format!("{name} is not in {view}: {all:?}"))?;
    }
    let said = own.get("VIEW_SAYS").cloned().unwrap_or_default();
    ensure(said == "word", format!("12W-inside has set nothing: {own:?}"))
}

/// What a script of the end finds is what the last of the beginning found, but for the event.
fn same_environment(guest: &Guest) -> Verdict {
    let mut begin = notes::environment(guest, "added", "70-then.sh")?;
    let mut end = notes::environment(guest, "removed", "70-then.sh")?;
    for name in ["SESSION_EVENT", "PAM_TYPE"] {
        ensure(begin.remove(name) != end.remove(name), format!("{name} is the same at the end"))?;
    }
    ensure(begin == end, format!("at the begin {begin:?}, at the end {end:?}"))?;
    for name in ["XDG_SESSION_ID", "XDG_RUNTIME_DIR", "SESSION_RHOST", "WORKSPACE"] {
        ensure(end.contains_key(name), format!("no {name} in {end:?}"))?;
    }
    Ok(())
}

fn closed_gate(guest: &Guest) -> Verdict {
    notes::fresh(guest)?;
    // A link is no gate: what is behind it may be anybody's.
    guest.root_ok("rmdir /home/bob/.session; ln -s /etc /home/bob/.session")?;
    guest.ssh_ok("bob", "true")?;
    guest.root_ok("rm /home/bob/.session")?;
    guest.ssh_ok("bob", "true")?;
    notes::wait_until_over(guest)?;
    let notes = notes::of(guest, "bob")?;
    ensure(notes.is_empty(), format!("{notes:?}"))
}

fn killed_sshd(guest: &Guest) -> Verdict {
    // Both of its processes; or the one with root's rights alone, and the other goes on until bob leaves.
    for (which, leaves) in [("^sshd.*: bob", false), ("^sshd.*: bob \\[priv", true)] {
        notes::fresh(guest)?;
        let login = Login::begin(guest)?;
        notes::wait(guest, "added", "70-then.sh")?;
        guest.root_ok(&format!("pkill -9 -f '{which}'"))?;
        if leaves {
            login.end()?;
        }
        notes::wait(guest, "removed", "10W-settings.sh")?;
        notes::one_session(guest)?;
        same_environment(guest)?;
    }
    Ok(())
}

fn killed_login(guest: &Guest) -> Verdict {
    notes::fresh(guest)?;
    notes::on_console(guest, "bob")?;
    notes::wait(guest, "added", "70-then.sh")?;
    guest.root_ok("pkill -9 -x login")?;
    notes::wait(guest, "removed", "10W-settings.sh")?;
    notes::one_session(guest)?;
    let end = notes::environment(guest, "removed", "10W-settings.sh")?;
    ensure(end.get("SESSION_TTY").is_some_and(|tty| tty == "ttyS0"), format!("the terminal: {end:?}"))?;
    ensure(end.get("SESSION_SERVICE").is_some_and(|service| service == "login"), format!("{end:?}"))?;
    guest.console().expect("login: ", PATIENCE)?;
    // For whoever comes later.
    guest.console().send("\n")?;
    Ok(())
}

fn slow_end(guest: &Guest) -> Verdict {
    notes::fresh(guest)?;
    notes::hold(guest, "removed", "20-workspace.sh")?;
    let login = Login::begin(guest)?;
    notes::wait(guest, "added", "70-then.sh")?;
    login.end()?;
    notes::wait(guest, "removed", "20-workspace.sh")?;
    // It goes on for as long as this takes, and longer.
    guest.ssh_within("bob", "true", Duration::from_secs(30))?.success()?;
    guest.ssh_within("carol", "true", Duration::from_secs(30))?.success()?;
    let name = notes::of(guest, "bob")?.first().map(|note| note.session.clone()).unwrap_or_default();
    let shown = guest.root_ok(&format!("sessionctl scripts --session {name}"))?;
    let is_running =
        shown.lines().any(|line| line.contains("removed/20-workspace.sh") && line.contains("running"));
    ensure(is_running, format!("{name}: {shown}"))?;
    notes::release(guest, "removed", "20-workspace.sh")?;
    notes::wait_until_over(guest)?;
    let notes = notes::of(guest, "bob")?;
    let ends =
        notes.iter().filter(|note| note.script == "10W-settings.sh" && note.event == "removed").count();
    ensure(ends == 2, format!("two sessions have ended: {notes:?}"))
}

fn refused(guest: &Guest) -> Verdict {
    notes::fresh(guest)?;
    guest.root_ok(
        "printf '#!/bin/sh\\necho no workspace today\\nexit 3\\n' >/etc/session.d/added/12W-workspace
         chmod 755 /etc/session.d/added/12W-workspace
         printf 'version = 1\\n[[script]]\\nname = \"12W-workspace\"\\nresult = \"required\"\\n' >/etc/session.d/session-scripts.conf",
    )?;
    let bob = guest.ssh("bob", "echo in");
    let root = guest.ssh("root", "echo in");
    guest.root_ok("rm /etc/session.d/session-scripts.conf")?;
    let without_a_word = guest.ssh("bob", "echo in");
    guest.root_ok("rm /etc/session.d/added/12W-workspace")?;
    let (bob, root, without_a_word) = (bob?, root?, without_a_word?);
    ensure(bob.status != 0 && !bob.stdout.contains("in\n"), format!("bob is in: {bob:?}"))?;
    ensure(root.stdout == "in\n", format!("root is kept out: {root:?}"))?;
    ensure(without_a_word.stdout == "in\n", format!("without the configuration: {without_a_word:?}"))?;
    let log = guest.root_ok("journalctl --no-pager -q -n 200 | grep 'no workspace today' | head -n 1")?;
    ensure(log.contains("exit 3"), format!("the log: {log}"))?;
    notes::wait_until_over(guest)
}

/// The session ends while 20D runs, which is not cut off.
fn outlived_by_20d(guest: &Guest, login: Login) -> Result<Vec<notes::Note>, libtest_mimic::Failed> {
    login.end()?;
    let all = notes::one_session(guest)?;
    ensure(
        !all.iter().any(|note| note.script == "20D-workspace.sh" && note.is_end),
        "20D did not outlive it",
    )?;
    notes::release(guest, "added", "20D-workspace.sh")?;
    Ok(all)
}

/// D and the list run elsewhere: in order, beside the login, and on when it is over.
fn launcher(guest: &Guest, name: &str, is_seen: &str) -> Verdict {
    notes::fresh(guest)?;
    guest.root_ok(&format!(
        "printf 'version = 1\\n[defaults]\\nlauncher = \"{name}\"\\n' >/etc/session.d/session-scripts.conf"
    ))?;
    notes::hold(guest, "added", "20D-workspace.sh")?;
    notes::hold(guest, "added", "50-first.sh")?;
    let login = Login::begin(guest)?;
    notes::wait(guest, "added", "20D-workspace.sh")?;
    notes::wait(guest, "added", "50-first.sh")?;
    let seen = guest.root(is_seen)?;
    ensure(seen.is_success(), format!("{name} has no job that runs: {seen:?}"))?;
    notes::release(guest, "added", "50-first.sh")?;
    notes::wait(guest, "added", "70-then.sh")?;
    outlived_by_20d(guest, login)?;
    guest.root_ok("rm /etc/session.d/session-scripts.conf")?;
    same_environment(guest)
}

fn other_doors(guest: &Guest) -> Verdict {
    notes::fresh(guest)?;
    // As the map ships there is no user manager beside a wall.
    let map = "/etc/session-sandbox/mounts.d/50-user-manager.toml";
    guest.root_ok(&format!("cat >{map} <<'END'\n{USER_MANAGER}\nEND"))?;
    guest.root_ok(&format!(
        "rm -f /home/bob/by-*; {NO_VIEW}; systemctl reset-failed user@1001 2>/dev/null; loginctl enable-linger bob
         until systemctl is-active -q user@1001; do systemctl start user@1001; done
         printf '%s' '{CRONTAB}' >/etc/cron.d/touch
         setpriv --reuid bob --regid bob --init-groups sh -c 'echo touch /home/bob/by-at | at now'"
    ))?;
    // cron looks once a minute.
    let wait =
        "until [ -e /home/bob/by-cron -a -e /home/bob/by-at ]; do sleep 0.2; done; rm /etc/cron.d/touch";
    guest.root_within(wait, Duration::from_secs(130))?.success()?;
    guest.root_ok(&format!(
        "loginctl disable-linger bob; loginctl terminate-user bob 2>/dev/null; {NO_VIEW}; rm {map}"
    ))?;
    let notes = notes::of(guest, "bob")?;
    ensure(notes.is_empty(), format!("{notes:?}"))
}

fn power(guest: &Guest, cut: fn(&Guest) -> vm_tests::Result<()>) -> Verdict {
    notes::fresh(guest)?;
    notes::hold(guest, "added", "50-first.sh")?;
    let login = Login::begin(guest)?;
    notes::wait(guest, "added", "50-first.sh")?;
    guest.root_ok("sync")?;
    cut(guest)?;
    drop(login);
    let left = guest.root_ok("ls -A /run/session-sandbox 2>/dev/null; true")?;
    ensure(left.is_empty(), format!("left: {left}"))?;
    notes::fresh(guest)?;
    let login = Login::begin(guest)?;
    notes::wait(guest, "added", "70-then.sh")?;
    login.end()?;
    notes::one_session(guest)?;
    Ok(())
}
