//! Display managers on a real X server that draws into memory: they tell of sessions, and what was written for them runs at
//! any login.

use std::time::Duration;

use vm_tests::{Guest, Payload, product};

use crate::notes::{self, Login, ensure};
use crate::suite::{Check, Verdict};

const PATIENCE: Duration = Duration::from_secs(90);

/// What display managers say to an X server is about a graphics card, but for these two words.
const X_SERVER: &str = "#!/bin/sh
display=$1 auth=
while [ $# -gt 0 ]; do [ \"$1\" = -auth ] && auth=$2; shift; done
exec /usr/bin/Xvfb \"$display\" ${auth:+-auth \"$auth\"} -screen 0 640x480x8 -nolisten tcp
";
/// Asks the X server, so that one that lets nobody in is seen.
const X_SESSION: &str = "#!/bin/sh
{ env; echo POINTER=$(xdotool getmouselocation 2>&1); } >$HOME/mine.new; mv $HOME/mine.new $HOME/mine
exec sleep 1000
";
const GREETER: &str = "#!/bin/sh\nexec sleep 1000\n";
const LIGHTDM: &str = "[LightDM]
logind-check-graphical=false
[Seat:*]
xserver-command=/usr/local/bin/x-server
greeter-session=greeter
autologin-user=bob
autologin-session=session
session-wrapper=/usr/bin/env
";
const LIGHTDM_TELLS: &str = "session-setup-script=/usr/bin/session-scripts added --from lightdm
session-cleanup-script=/usr/bin/session-scripts removed --from lightdm
";
const XDM: &str = "DisplayManager.authDir: /var/lib/xdm
DisplayManager.pidFile: /run/xdm.pid
DisplayManager.errorLogFile: /var/log/xdm.log
DisplayManager.servers: /etc/X11/xdm/Xservers
DisplayManager.requestPort: 0
DisplayManager*authorize: true
DisplayManager*session: /usr/local/bin/x-session
DisplayManager*startup: /etc/X11/xdm/Xstartup
DisplayManager*reset: /etc/X11/xdm/Xreset
";
/// XDM itself, and no shell in between, is who leads the session.
const XDM_STARTUP: &str = "#!/bin/sh\nexec /usr/bin/session-scripts added --from xdm\n";
const XDM_RESET: &str = "#!/bin/sh\nexec /usr/bin/session-scripts removed --from xdm\n";
/// As somebody has it who looks into why it was killed.
const STAYS_DOWN: &str = "[Service]\nRestart=no\n";
/// Puts itself down, and what it finds; in the words of a display manager's script.
const FOREIGN: &str = "#!/bin/sh
echo \"$0 $*\" >>/root/foreign; env | sort >/root/foreign-$(basename $(dirname $0))-${0##*/}
[ ! -e /root/refuse-$(basename $(dirname $0)) ]
";

pub fn payload() -> vm_tests::Result<Payload> {
    let program = |name: &str| {
        format!("[Desktop Entry]\nType=Application\nName={name}\nExec=/usr/local/bin/x-{name}\n")
    };
    Ok(notes::add_to(product::payload()?)
        .file("/usr/local/bin/x-server", 0o755, X_SERVER)
        .file("/usr/local/bin/x-session", 0o755, X_SESSION)
        .file("/usr/local/bin/x-greeter", 0o755, GREETER)
        .file("/usr/share/xsessions/session.desktop", 0o644, program("session"))
        .file("/usr/share/xgreeters/greeter.desktop", 0o644, program("greeter"))
        .file("/etc/lightdm/lightdm.conf", 0o644, format!("{LIGHTDM}{LIGHTDM_TELLS}"))
        .file("/etc/X11/xdm/Xservers", 0o644, ":0 local /usr/local/bin/x-server :0\n")
        .file("/etc/X11/xdm/xdm-config", 0o644, XDM)
        .file("/etc/X11/xdm/Xstartup", 0o755, XDM_STARTUP)
        .file("/etc/X11/xdm/Xreset", 0o755, XDM_RESET)
        .file("/etc/systemd/system/lightdm.service.d/down.conf", 0o644, STAYS_DOWN)
        .file("/usr/local/lib/foreign/script", 0o755, FOREIGN))
}

pub fn checks() -> Vec<Check> {
    vec![
        Check::new("LightDM's scripts tell of a session, and of no greeter", lightdm),
        Check::new("a required script that fails leads back to LightDM's greeter", lightdm_refused),
        Check::new(
            "LightDM is killed: the scripts of the end run once, and the next session has its own",
            lightdm_killed,
        ),
        Check::new("LightDM is stopped: the scripts of the end are not cut off", lightdm_stopped),
        Check::new("XDM's scripts tell of a session", xdm),
        Check::new("with the module alone a session of LightDM has its scripts run", lightdm_by_pam),
        Check::new("GDM's scripts run at a login by ssh", gdm_at_ssh),
        Check::new("LightDM's scripts run at a login by ssh", lightdm_at_ssh),
    ]
}

/// As it was before any of the checks, whatever became of the last one.
fn fresh(guest: &Guest) -> Verdict {
    guest.root_ok(
        "systemctl stop lightdm; systemctl reset-failed lightdm 2>/dev/null
         pkill -9 -x xdm; pkill -9 -x Xvfb; pkill -9 -u bob; rm -f /tmp/.X0-lock /tmp/.X11-unix/X0
         while pgrep -u bob >/dev/null; do sleep 0.1; done
         session-scripts removed --user bob --wait; session-scripts sweep",
    )?;
    notes::fresh(guest)
}

/// Starts LightDM, which logs bob in, and waits for his session.
fn start_lightdm(guest: &Guest) -> Verdict {
    guest.root_ok("rm -f /home/bob/mine; systemctl start lightdm")?;
    session_is_there(guest)
}

fn session_is_there(guest: &Guest) -> Verdict {
    let wait = "until [ -e /home/bob/mine ]; do sleep 0.1; done; cat /home/bob/mine";
    let output = guest.root_within(wait, PATIENCE)?;
    let log = "tail -n 40 /var/log/lightdm/lightdm.log /var/log/xdm.log /home/bob/.xsession-errors 2>/dev/null; true";
    ensure(output.is_success(), format!("no session of bob's: {}", guest.root_ok(log)?))?;
    let own = notes::variables(&output.stdout);
    let pointer = own.get("POINTER").cloned().unwrap_or_default();
    ensure(pointer.starts_with("x:"), format!("the X server does not serve the session: {own:?}"))
}

fn stop_lightdm(guest: &Guest) -> Verdict {
    guest.root_ok("systemctl stop lightdm; ! pgrep -x Xvfb")?;
    Ok(())
}

/// `told`: by the display manager's own scripts, which know where the key to the X server lies.
fn facts_of_a_screen(guest: &Guest, service: &str, told: bool) -> Verdict {
    for event in ["added", "removed"] {
        let seen = notes::environment(guest, event, "10W-settings.sh")?;
        for (name, value) in [("DISPLAY", ":0"), ("SESSION_DISPLAY", ":0"), ("SESSION_SERVICE", service)] {
            ensure(seen.get(name).is_some_and(|seen| seen == value), format!("{event}, {name}: {seen:?}"))?;
        }
        ensure(seen.contains_key("XAUTHORITY") || !told, format!("{event}: {seen:?}"))?;
    }
    Ok(())
}

fn lightdm(guest: &Guest) -> Verdict {
    product::install_package(guest)?;
    fresh(guest)?;
    start_lightdm(guest)?;
    notes::wait(guest, "added", "70-then.sh")?;
    guest.root_ok("pkill -u bob -x sleep")?;
    notes::wait(guest, "removed", "10W-settings.sh")?;
    greeter_is_there(guest)?;
    notes::one_session(guest)?;
    facts_of_a_screen(guest, "lightdm", true)?;
    let ended = guest.root_ok("ls /run/session-sandbox/scripts/ended")?;
    ensure(ended.lines().count() == 1, format!("sessions: {ended}"))?;
    stop_lightdm(guest)
}

fn greeter_is_there(guest: &Guest) -> Verdict {
    let wait = "until pgrep -u lightdm -x sleep >/dev/null; do sleep 0.1; done";
    let output = guest.root_within(wait, PATIENCE)?;
    let log = guest.root_ok("tail -n 30 /var/log/lightdm/lightdm.log")?;
    ensure(output.is_success(), format!("no greeter: {log}"))
}

fn lightdm_refused(guest: &Guest) -> Verdict {
    fresh(guest)?;
    guest.root_ok(
        "printf '#!/bin/sh\\nexit 3\\n' >/etc/session.d/added/12W-workspace; chmod 755 /etc/session.d/added/12W-workspace
         printf 'version = 1\\n[[script]]\\nname = \"12W-workspace\"\\nresult = \"required\"\\n' >/etc/session.d/session-scripts.conf
         systemctl start lightdm",
    )?;
    let greeter = greeter_is_there(guest);
    let is_in = guest.root("ls /home/bob/mine; pgrep -u bob -x sleep");
    stop_lightdm(guest)?;
    guest.root_ok("rm /etc/session.d/added/12W-workspace /etc/session.d/session-scripts.conf")?;
    greeter?;
    let is_in = is_in?;
    ensure(is_in.stdout.is_empty(), format!("bob is in: {is_in:?}"))?;
    // What had run is undone.
    notes::wait(guest, "removed", "10W-settings.sh")?;
    notes::wait_until_over(guest)?;
    let notes = notes::of(guest, "bob")?;
    ensure(!notes.iter().any(|note| note.script == "50-first.sh"), format!("50 has run: {notes:?}"))
}

fn lightdm_killed(guest: &Guest) -> Verdict {
    fresh(guest)?;
    start_lightdm(guest)?;
    notes::wait(guest, "added", "70-then.sh")?;
    guest.root_ok(
        "systemctl kill --kill-whom=main --signal=KILL lightdm; until systemctl is-failed -q lightdm; do sleep 0.1; done",
    )?;
    notes::wait(guest, "removed", "10W-settings.sh")?;
    notes::one_session(guest)?;
    notes::fresh(guest)?;
    guest.root_ok("systemctl reset-failed lightdm")?;
    start_lightdm(guest)?;
    notes::wait(guest, "added", "70-then.sh")?;
    stop_lightdm(guest)?;
    notes::wait(guest, "removed", "10W-settings.sh")?;
    notes::one_session(guest)?;
    Ok(())
}

fn lightdm_stopped(guest: &Guest) -> Verdict {
    fresh(guest)?;
    notes::hold(guest, "removed", "20-workspace.sh")?;
    start_lightdm(guest)?;
    notes::wait(guest, "added", "70-then.sh")?;
    // A script that goes on is nothing that stopping it may have to wait for.
    guest.root_ok("systemctl stop --no-block lightdm")?;
    notes::wait(guest, "removed", "20-workspace.sh")?;
    guest.root_ok("while systemctl is-active -q lightdm; do sleep 0.1; done")?;
    notes::release(guest, "removed", "20-workspace.sh")?;
    notes::one_session(guest)?;
    Ok(())
}

/// bob types his name and password into XDM's window.
fn xdm(guest: &Guest) -> Verdict {
    fresh(guest)?;
    // Unlike LightDM's its stack asks for the way in, so what was typed too early is typed again.
    let log_in = "rm -f /home/bob/mine; xdm
        export DISPLAY=:0
        for turn in $(seq 600); do
            export XAUTHORITY=$(ls /var/lib/xdm/authdir/authfiles/* 2>/dev/null | head -n 1)
            xdotool search --class xlogin >/dev/null 2>&1 && break; sleep 0.1
        done
        for turn in 1 2 3; do
            for word in bob bob; do xdotool type --delay 20 $word; xdotool key Return; done
            for wait in $(seq 150); do [ -e /home/bob/mine ] && exit; sleep 0.1; done
        done";
    guest.root_within(log_in, PATIENCE)?;
    let there = session_is_there(guest);
    let added = notes::wait(guest, "added", "70-then.sh");
    let is_over = guest.root("pkill -u bob -x sleep").map(drop);
    let removed = notes::wait(guest, "removed", "10W-settings.sh");
    guest.root_ok("kill $(cat /run/xdm.pid); while pgrep -x Xvfb >/dev/null; do sleep 0.1; done")?;
    there?;
    added.and(is_over).and(removed)?;
    notes::one_session(guest)?;
    facts_of_a_screen(guest, "xdm", true)
}

fn lightdm_by_pam(guest: &Guest) -> Verdict {
    product::install(guest)?;
    guest.root_ok(&format!("printf '%s' '{LIGHTDM}' >/etc/lightdm/lightdm.conf; systemctl restart ssh"))?;
    // Programs with a window want the socket of the X server in their view.
    guest.root_ok(
        "printf 'version = 1\\n[[profile]]\\nname = \"login\"\\n[[profile.mount]]\\ntarget = \"/tmp/.X11-unix\"\\noptions = [\"ro\"]\\noptional = true\\n' \
             >/etc/session-sandbox/mounts.d/50-x.toml",
    )?;
    fresh(guest)?;
    start_lightdm(guest)?;
    notes::wait(guest, "added", "70-then.sh")?;
    guest.root_ok("pkill -u bob -x sleep")?;
    notes::wait(guest, "removed", "10W-settings.sh")?;
    greeter_is_there(guest)?;
    notes::one_session(guest)?;
    facts_of_a_screen(guest, "lightdm-autologin", false)?;
    stop_lightdm(guest)
}

/// Links to the script that puts itself down, and a configuration that names their world.
fn foreign(guest: &Guest, links: &[&str], world: &str) -> Verdict {
    for link in links {
        guest.root_ok(&format!("mkdir -p $(dirname {link}); ln -sf /usr/local/lib/foreign/script {link}"))?;
    }
    guest.root_ok(&format!(
        "rm -f /root/foreign* /root/refuse-*
         printf 'version = 1\\n[compat]\\n{world} = true\\n' >/etc/session.d/session-scripts.conf"
    ))?;
    Ok(())
}

fn names(guest: &Guest, file: &str) -> vm_tests::Result<Vec<String>> {
    let text = guest.root_ok(&format!("grep -v -e ^_= -e ^SHLVL= -e ^OLDPWD= /root/foreign-{file}"))?;
    Ok(notes::variables(&text).into_keys().collect())
}

fn gdm_at_ssh(guest: &Guest) -> Verdict {
    fresh(guest)?;
    // Who has no folder of scripts has those of GDM all the same.
    guest.root_ok("rmdir /home/bob/.session")?;
    let scripts =
        ["PostLogin", "PreSession", "PostSession"].map(|folder| format!("/etc/gdm3/{folder}/Default"));
    foreign(guest, &scripts.each_ref().map(String::as_str), "gdm")?;
    let login = Login::begin(guest)?;
    let begun = guest.root_ok("cat /root/foreign")?;
    ensure(begun == "/etc/gdm3/PostLogin/Default \n/etc/gdm3/PreSession/Default", begun)?;
    login.end()?;
    notes::wait_until_over(guest)?;
    let all = guest.root_ok("cat /root/foreign")?;
    ensure(all.ends_with("/etc/gdm3/PostSession/Default") && all.lines().count() == 3, all)?;
    let must = [
        "GROUP",
        "HOME",
        "LOGNAME",
        "PATH",
        "PWD",
        "REMOTE_HOST",
        "RUNNING_UNDER_GDM",
        "SHELL",
        "USER",
        "USERNAME",
    ];
    for folder in ["PostLogin", "PreSession", "PostSession"] {
        let found = names(guest, &format!("{folder}-Default"))?;
        ensure(found == must, format!("{folder}: {found:?}"))?;
    }
    guest.root_ok("touch /root/refuse-PreSession")?;
    let refused = guest.ssh("bob", "echo in")?;
    ensure(refused.status != 0 && !refused.stdout.contains("in\n"), format!("bob is in: {refused:?}"))?;
    guest.root_ok("rm -r /etc/gdm3")?;
    Ok(())
}

fn lightdm_at_ssh(guest: &Guest) -> Verdict {
    fresh(guest)?;
    foreign(guest, &["/etc/lightdm/scripts/setup", "/etc/lightdm/scripts/cleanup"], "lightdm")?;
    let lines = "session-setup-script=/etc/lightdm/scripts/setup\nsession-cleanup-script=/etc/lightdm/scripts/cleanup\n";
    guest.root_ok(&format!("printf '%s' '{LIGHTDM}{lines}' >/etc/lightdm/lightdm.conf"))?;
    let login = Login::begin(guest)?;
    notes::wait(guest, "added", "70-then.sh")?;
    login.end()?;
    notes::one_session(guest)?;
    let all = guest.root_ok("cat /root/foreign")?;
    ensure(all == "/etc/lightdm/scripts/setup \n/etc/lightdm/scripts/cleanup", format!("{all:?}"))?;
    let must = ["HOME", "LOGNAME", "PATH", "PWD", "SHELL", "USER"];
    for script in ["setup", "cleanup"] {
        let found = names(guest, &format!("scripts-{script}"))?;
        ensure(found == must, format!("{script}: {found:?}"))?;
    }
    guest.root_ok("touch /root/refuse-scripts")?;
    let refused = guest.ssh("bob", "echo in")?;
    guest.root_ok("rm /root/refuse-scripts /etc/session.d/session-scripts.conf")?;
    ensure(refused.status != 0 && !refused.stdout.contains("in\n"), format!("bob is in: {refused:?}"))
}
