//! Every way to log in leads into the same view.

use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use vm_tests::{Guest, Output, Payload, product, run};

use crate::suite::{Check, Verdict};

const PATIENCE: Duration = Duration::from_secs(90);
/// What each door is asked.
const ASK: &str = "readlink /proc/self/ns/mnt";

/// With a wall there is no user manager in the view: the kernel lets no running process into a PID namespace. This map
/// has none, so that `systemd --user` and all it starts is a door like the others.
const USER_MANAGER: &str = include_str!("../../../docs/examples/user-manager.toml");
/// sftp without a program of its own, beside Debian's sftp-server.
const SFTP_INSIDE_SSHD: &str = "Subsystem internal internal-sftp\n";
/// A service that somebody has installed without a thought of sandboxes.
const FTP: &str = "auth required pam_unix.so\naccount required pam_unix.so\nsession required pam_unix.so\n";
const UNIT: &str = "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'readlink /proc/self/ns/mnt >%h/by-unit'\n";
/// Due at every minute, as soon as cron has seen it.
const CRONTAB: &str = "* * * * * bob readlink /proc/self/ns/mnt >/home/bob/by-cron.new && mv /home/bob/by-cron.new /home/bob/by-cron\n";
/// Answers everybody who connects with its mount namespace, once.
const SERVER: &str = "import os, socket; s = socket.socket(socket.AF_UNIX); s.bind('/tmp/server'); s.listen(); \
                      c = s.accept()[0]; c.send(os.readlink('/proc/self/ns/mnt').encode())";

pub fn payload() -> vm_tests::Result<Payload> {
    Ok(product::payload()?
        .file("/etc/session-sandbox/mounts.d/50-user-manager.toml", 0o644, USER_MANAGER)
        .file("/etc/ssh/sshd_config.d/internal.conf", 0o644, SFTP_INSIDE_SSHD)
        .file("/home/bob/.config/systemd/user/where.service", 0o644, UNIT))
}

pub fn checks() -> Vec<Check> {
    vec![
        Check::new("the package installs, and setup turns it on", installs),
        Check::new("ssh with a command", |guest| same(guest, guest.ssh_ok("bob", ASK)?)),
        Check::new("ssh with a shell on a terminal", shell),
        Check::new("sftp with sftp-server", |guest| sftp(guest, None, "sftp-server")),
        Check::new("sftp inside sshd", |guest| sftp(guest, Some("internal"), "internal-sftp")),
        Check::new("scp, new and old", scp),
        Check::new("rsync", rsync),
        Check::new("a socket of the view, through ssh -L", forwarded_socket),
        Check::new("login on the console", console),
        Check::new("su", |guest| same(guest, guest.root_ok(&format!("su bob -c '{ASK}'"))?)),
        Check::new("su -", |guest| same(guest, guest.root_ok(&format!("su - bob -c '{ASK}'"))?)),
        Check::new("sudo -iu", |guest| same(guest, guest.ssh_ok("alice", &format!("sudo -iu bob {ASK}"))?)),
        Check::new("at", at),
        Check::new("systemd-run --user", |guest| {
            same(guest, guest.ssh_ok("bob", &format!("systemd-run --user --quiet --wait --pipe {ASK}"))?)
        }),
        Check::new("systemctl --user", |guest| {
            guest.ssh_ok("bob", "systemctl --user start where.service")?;
            same(guest, guest.root_ok("cat /home/bob/by-unit")?)
        }),
        Check::new("cron", cron),
        Check::new("logind, the runtime folder and the user's bus work inside", logind),
        Check::new("doctor names the services without the module", doctor),
        Check::new("the timer's service sweeps", |guest| {
            guest.root_ok("systemctl start session-sandbox-gc.service")?;
            Ok(())
        }),
        Check::new("with the map as it ships the doors lead into one walled view", shipped_map),
        Check::new("a strict map holds through sshd and su, and audit finds nothing of it open", strict),
        Check::new("the package leaves, and logins are as before", removed),
    ]
}

/// The view that the suite's doors lead into, by the first that was asked.
static VIEW: Mutex<Option<String>> = Mutex::new(None);

fn same(guest: &Guest, found: impl AsRef<str>) -> Verdict {
    let found = found.as_ref().trim();
    if !found.starts_with("mnt:[") || found.contains('\n') {
        return Err(format!("this is no mount namespace: {found:?}").into());
    }
    if found == guest.root_ok(ASK)? {
        return Err(format!("{found} is the host's").into());
    }
    let mut view = VIEW.lock().unwrap_or_else(PoisonError::into_inner);
    match &*view {
        Some(view) if view == found => Ok(()),
        Some(view) => Err(format!("{found}, and the others are in {view}").into()),
        None => {
            *view = Some(found.to_owned());
            Ok(())
        }
    }
}

fn ensure(holds: bool, message: impl Into<String>) -> Verdict {
    if holds { Ok(()) } else { Err(message.into().into()) }
}

fn installs(guest: &Guest) -> Verdict {
    VIEW.lock().unwrap_or_else(PoisonError::into_inner).take();
    product::install(guest)?;
    guest.root_ok("chown -R bob: /home/bob/.config; systemctl restart ssh")?;
    guest.root_ok(&format!("printf '%s' '{CRONTAB}' >/etc/cron.d/where"))?;
    // The user's manager stays, and so does the view: all that follow are later logins.
    guest.root_ok(
        "loginctl enable-linger bob; until systemctl is-active -q user@1001.service; do sleep 0.2; done",
    )?;
    let last = guest.root_ok("grep -v '^#' /etc/pam.d/common-session | grep . | tail -n 1")?;
    ensure(last.contains("pam_session_sandbox.so"), format!("the last line is {last:?}"))
}

fn shell(guest: &Guest) -> Verdict {
    let mut ssh = guest.ssh_command("bob");
    let typed = format!("printf '%s\\n' 'tty; {ASK}' exit | \"$@\"");
    let said = run(Command::new("sh").args(["-c", &typed, "sh"]).args(all_of(ssh.arg("-tt"))), PATIENCE)?
        .success()?;
    ensure(said.contains("/dev/pts/"), format!("no terminal: {said}"))?;
    let found = said.lines().find(|line| line.starts_with("mnt:[")).unwrap_or_default();
    same(guest, found)
}

/// The words of a command.
fn all_of(command: &Command) -> Vec<std::ffi::OsString> {
    std::iter::once(command.get_program()).chain(command.get_args()).map(ToOwned::to_owned).collect()
}

/// The kernel is asked where the process is that serves a session which is open.
fn sftp(guest: &Guest, subsystem: Option<&str>, process: &str) -> Verdict {
    let mut command = Command::new("sftp");
    command.args(guest.ssh_options());
    if let Some(subsystem) = subsystem {
        command.args(["-s", subsystem]);
    }
    let mut session = command
        .arg("bob@127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("sftp: {error}"))?;
    let look = format!(
        "for turn in $(seq 300); do
            for pid in $(pgrep -u bob -f '{process}'); do readlink /proc/$pid/ns/mnt && exit; done; sleep 0.1
         done; ps -ef >&2; exit 1"
    );
    let found = guest.root_ok(&look);
    // It ends with its input.
    drop(session.stdin.take());
    session.wait().map_err(|error| format!("sftp: {error}"))?;
    same(guest, found?)
}

fn scp(guest: &Guest) -> Verdict {
    guest.ssh_ok("bob", &format!("{ASK} >/tmp/where"))?;
    let to = std::env::temp_dir().join(format!("vm-tests-scp-{}", std::process::id()));
    for option in ["-s", "-O"] {
        let mut command = Command::new("scp");
        command.args(guest.ssh_options()).args([option, "bob@127.0.0.1:/tmp/where"]).arg(&to);
        run(&mut command, PATIENCE)?.success()?;
        let found = std::fs::read_to_string(&to).map_err(|error| format!("{}: {error}", to.display()))?;
        std::fs::remove_file(&to).map_err(|error| format!("{}: {error}", to.display()))?;
        same(guest, found)?;
    }
    Ok(())
}

fn rsync(guest: &Guest) -> Verdict {
    let through = format!("ssh {}", guest.ssh_options().join(" "));
    let mut command = Command::new("rsync");
    command.args(["-e", &through, "--rsync-path", &format!("{ASK} >&2; rsync")]);
    let output = run(command.args(["/proc/sys/kernel/ostype", "bob@127.0.0.1:/tmp/by-rsync"]), PATIENCE)?;
    let found = output.stderr.clone();
    output.success()?;
    guest.ssh_ok("bob", "test -e /tmp/by-rsync")?;
    same(guest, found)
}

fn forwarded_socket(guest: &Guest) -> Verdict {
    let local = std::env::temp_dir().join(format!("vm-tests-socket-{}", std::process::id()));
    let mut server = guest.ssh_command("bob");
    let server = server.arg(format!("exec python3 -c \"{SERVER}\"")).stdin(Stdio::null());
    let mut server = server.spawn().map_err(|error| format!("ssh: {error}"))?;
    guest.ssh_ok("bob", "until [ -S /tmp/server ]; do sleep 0.1; done")?;
    let mut forward = guest.ssh_command("bob");
    let forward =
        forward.args(["-N", "-L", &format!("{}:/tmp/server", local.display())]).stdin(Stdio::null());
    let mut forward = forward.spawn().map_err(|error| format!("ssh -L: {error}"))?;
    let ask = format!(
        "for turn in $(seq 300); do [ -S {0} ] && break; sleep 0.1; done
         exec python3 -c \"import socket; s = socket.socket(socket.AF_UNIX); s.connect('{0}'); print(s.recv(100).decode())\"",
        local.display()
    );
    let found = run(Command::new("sh").args(["-c", &ask]), PATIENCE);
    for child in [&mut forward, &mut server] {
        // The server ends by itself, once it was asked.
        let _ = child.kill();
        let _ = child.wait();
    }
    let _ = std::fs::remove_file(&local);
    same(guest, found?.success()?)
}

/// Logs bob in on the console, has a command run, and logs out.
fn on_console(guest: &Guest, user: &str, command: &str, answer: &str) -> vm_tests::Result<String> {
    let console = guest.console();
    console.expect("login: ", PATIENCE)?;
    console.send(&format!("{user}\n"))?;
    console.expect("Password: ", PATIENCE)?;
    console.send(&format!("{user}\n"))?;
    console.expect("$ ", PATIENCE)?;
    console.send(&format!("{command}\n"))?;
    let said = console.expect(answer, PATIENCE)?;
    console.expect("$ ", PATIENCE)?;
    console.send("exit\n")?;
    Ok(said)
}

fn console(guest: &Guest) -> Verdict {
    let said = on_console(guest, "bob", &format!("echo \"<$({ASK})>\""), "]>")?;
    same(guest, said.rsplit('<').next().unwrap_or_default().trim_end_matches('>'))
}

fn at(guest: &Guest) -> Verdict {
    let job = format!("echo '{ASK} >/home/bob/by-at.new && mv /home/bob/by-at.new /home/bob/by-at' | at now");
    guest.root_ok(&format!("setpriv --reuid bob --regid bob --init-groups sh -c \"{job}\""))?;
    same(guest, appears(guest, "/home/bob/by-at", Duration::from_secs(60))?)
}

fn cron(guest: &Guest) -> Verdict {
    // cron looks once a minute.
    same(guest, appears(guest, "/home/bob/by-cron", Duration::from_secs(130))?)
}

fn appears(guest: &Guest, file: &str, limit: Duration) -> vm_tests::Result<String> {
    let output: Output =
        guest.root_within(&format!("until [ -e {file} ]; do sleep 0.2; done; cat {file}"), limit)?;
    output.success().map_err(|error| format!("{file} does not appear: {error}"))
}

fn logind(guest: &Guest) -> Verdict {
    let look = "echo $XDG_RUNTIME_DIR; touch $XDG_RUNTIME_DIR/mine && rm $XDG_RUNTIME_DIR/mine && echo written
                loginctl show-session $XDG_SESSION_ID -p Name -p Service --value
                busctl --user --no-pager list >/dev/null && echo bus; systemctl --user is-system-running --wait";
    let said = guest.ssh_ok("bob", look)?;
    let lines: Vec<&str> = said.lines().collect();
    let must = ["/run/user/1001", "written", "bob", "sshd", "bus", "running"];
    ensure(lines == must, format!("{lines:?}, and not {must:?}"))
}

fn doctor(guest: &Guest) -> Verdict {
    let well = guest.root("sessionctl doctor")?;
    ensure(well.status == 0, format!("all should be well: {}{}", well.stdout, well.stderr))?;
    guest.root_ok(&format!("printf '%s' '{FTP}' >/etc/pam.d/ftp"))?;
    let ill = guest.root("sessionctl doctor")?;
    let line = ill.stdout.lines().find(|line| line.starts_with("ftp ")).unwrap_or_default().to_owned();
    guest.root_ok("rm /etc/pam.d/ftp")?;
    ensure(ill.status == 1 && line.contains("NOT covered"), format!("{}{}", ill.stdout, ill.stderr))
}

fn shipped_map(guest: &Guest) -> Verdict {
    guest.root_ok(
        "rm /etc/session-sandbox/mounts.d/50-user-manager.toml /etc/cron.d/where
         loginctl disable-linger bob; loginctl terminate-user bob 2>/dev/null
         until sessionctl gc >/dev/null && ! sessionctl list | grep -q 'user-1001'; do sleep 0.2; done",
    )?;
    VIEW.lock().unwrap_or_else(PoisonError::into_inner).take();
    let mut anchor = guest.ssh_command("bob");
    let anchor = anchor.arg("echo here; exec sleep 1000").stdin(Stdio::null()).stdout(Stdio::null());
    let mut anchor = anchor.spawn().map_err(|error| format!("ssh: {error}"))?;
    let through = || -> Verdict {
        guest.root_ok("until sessionctl list | grep -q 'user-1001'; do sleep 0.1; done")?;
        for said in [
            guest.ssh_ok("bob", ASK)?,
            guest.root_ok(&format!("su bob -c '{ASK}'"))?,
            guest.root_ok(&format!("su - bob -c '{ASK}'"))?,
            guest.ssh_ok("alice", &format!("sudo -iu bob {ASK}"))?,
        ] {
            same(guest, said)?;
        }
        console(guest)?;
        let first = guest.ssh_ok("bob", "cat /proc/1/comm; ls /proc | grep -c '^[0-9]'")?;
        ensure(first.starts_with("session-keeper\n"), format!("process 1 is {first:?}"))
    };
    let seen = through();
    let _ = anchor.kill();
    let _ = anchor.wait();
    seen?;
    // The kernel tells the keeper of the end: nobody has to look.
    guest.root_ok("until ! sessionctl list | grep -q user-1001; do sleep 0.1; done")?;
    let left =
        guest.root_ok("pgrep -x session-keeper; find /run/session-sandbox -mindepth 2 ! -name next")?;
    ensure(left.is_empty(), format!("left: {left}"))
}

const STRICT: &str =
    "version = 1\n[[profile]]\nname = \"login\"\nisolation = \"strict\"\nnet = \"loopback\"\n";
const NAMESPACES: &str = "for n in ipc uts cgroup net; do readlink /proc/self/ns/$n; done";

fn strict(guest: &Guest) -> Verdict {
    guest.root_ok(&format!("printf '%s' '{STRICT}' >/etc/session-sandbox/mounts.d/60-strict.toml"))?;
    let hosts = guest.root_ok(NAMESPACES)?;
    // One after the other: what is left of a login for a moment keeps nobody out.
    for _ in 0..3 {
        let own = guest.ssh_ok("bob", NAMESPACES)?;
        let by_su = guest.root_ok(&format!("su bob -c '{NAMESPACES}'"))?;
        for seen in [own, by_su] {
            let is_apart = seen.lines().zip(hosts.lines()).all(|(own, hosts)| own != hosts);
            ensure(seen.lines().count() == 4 && is_apart, format!("{seen}\n on a host with\n{hosts}"))?;
        }
    }
    let network = guest.ssh_ok("bob", "tail -n +3 /proc/net/dev | cut -d: -f1")?;
    ensure(network.trim() == "lo", format!("devices: {network}"))?;
    guest.root_ok("setpriv --reuid bob --regid bob --init-groups sleep 1000 >/dev/null 2>&1 </dev/null &")?;
    guest.root_ok("until pgrep -u bob -x sleep >/dev/null; do sleep 0.1; done")?;
    let refused = guest.ssh("bob", "echo in")?;
    ensure(refused.status != 0 && !refused.stdout.contains("in\n"), format!("let in: {}", refused.stdout))?;
    guest.root_ok("pkill -u bob -x sleep; while pgrep -u bob -x sleep >/dev/null; do sleep 0.1; done")?;
    ensure(guest.ssh_ok("bob", "echo in")? == "in", "not in again")?;
    let audit = guest.root("sessionctl audit --user bob --format json")?;
    for id in
        ["process-outside", "abstract-socket", "user-socket", "raw-device", "spool", "set-id", "outside"]
    {
        ensure(!audit.stdout.contains(&format!("\"id\": \"{id}\"")), format!("{id}: {}", audit.stdout))?;
    }
    guest.root_ok("rm /etc/session-sandbox/mounts.d/60-strict.toml; until ! sessionctl list | grep -q user-1001; do sleep 0.1; done")?;
    Ok(())
}

fn removed(guest: &Guest) -> Verdict {
    guest.root_ok(
        "apt-get purge -y -qq session-sandbox >/root/purge.log 2>&1 || { cat /root/purge.log >&2; exit 1; }",
    )?;
    let left = guest.root_ok(
        "grep -rl session_sandbox /etc/pam.d; ls -d /etc/session-sandbox /usr/lib/session-sandbox \
         /usr/libexec/session-sandbox /var/lib/session-sandbox 2>/dev/null; true",
    )?;
    ensure(left.is_empty(), format!("left: {left}"))?;
    let (own, hosts) = (guest.ssh_ok("bob", ASK)?, guest.root_ok(ASK)?);
    ensure(own == hosts, format!("bob is in {own}, the host in {hosts}"))
}
