//! What goes wrong: killed programs, a broken map, a server that does not answer, no space, a panic, no power.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use vm_tests::{Guest, Output, Payload, product};

use crate::suite::{Check, Verdict};

const PATIENCE: Duration = Duration::from_secs(60);
/// bob's keys are not in his home, which sshd would wait for by itself when its server is dead.
const KEYS: &str = "Match User bob\n    AuthorizedKeysFile /etc/ssh/keys/%u\n";
/// Mounts a file system of which nobody ever answers a request, and stays.
const DEAD_SERVER: &str = r#"
open my $fuse, '+<', '/dev/fuse' or die "/dev/fuse: $!";
my @mount = ('dead', '/home/bob', 'fuse', 0);
my $options = 'fd=' . fileno($fuse) . ',rootmode=40000,user_id=0,group_id=0,allow_other';
syscall(165, @mount, $options) == 0 or die "mount: $!";
open my $mark, '>', '/run/dead';
sleep;
"#;
const FAULTY: &str = "/usr/lib/x86_64-linux-gnu/security/pam_session_sandbox_faults.so";

pub fn payload() -> vm_tests::Result<Payload> {
    Ok(product::payload()?
        .file("/etc/ssh/sshd_config.d/keys.conf", 0o644, KEYS)
        .file("/root/dead-server", 0o644, DEAD_SERVER)
        .host_file(FAULTY, 0o644, product::faulty_module()?))
}

pub fn checks() -> Vec<Check> {
    vec![
        Check::new("sshd's processes are killed at random moments", killed_sshd),
        Check::new("login is killed on the console", killed_login),
        Check::new("the helper is killed at random moments", killed_helper),
        Check::new("a broken map keeps bob out, and nobody who can mend it", broken_map),
        Check::new("a home whose server is dead costs bob a message, and others nothing", dead_home),
        Check::new("a full /run keeps nobody out", full_run),
        Check::new("a panic in the module refuses a login, and sshd lives", panic),
        Check::new("after a cut of the power nothing is left", |guest| power(guest, Guest::reset)),
        Check::new("after a restart nothing is left", |guest| power(guest, Guest::reboot)),
    ]
}

fn ensure(holds: bool, message: impl Into<String>) -> Verdict {
    if holds { Ok(()) } else { Err(message.into().into()) }
}

/// Did the command that says `in` run? What is written before it is sshd's.
fn is_in(output: &Output) -> bool {
    output.stdout.lines().any(|line| line == "in")
}

/// Everybody can log in, where they should be; and afterwards nothing is left.
fn all_is_well(guest: &Guest) -> Verdict {
    let host = guest.root_ok("readlink /proc/self/ns/mnt")?;
    ensure(guest.ssh_ok("root", "readlink /proc/self/ns/mnt")? == host, "root is in a view")?;
    ensure(guest.ssh_ok("bob", "readlink /proc/self/ns/mnt")? != host, "bob is in the host's view")?;
    nothing_is_left(guest)
}

/// No view, session, keeper, helper or mount. What belonged to somebody who was killed is taken away by gc.
fn nothing_is_left(guest: &Guest) -> Verdict {
    let look = "sessionctl gc >/dev/null; sessionctl list --json
                pgrep -l 'session-keeper|session-door'; find /run/session-sandbox -mindepth 2 ! -name next 2>/dev/null
                grep /var/lib/workspace /proc/self/mounts; true";
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = guest.root_ok(look)?;
        let words: String = found.split_whitespace().collect();
        if words == r#"{"namespaces":[],"sessions":[]}"# {
            return Ok(());
        }
        ensure(Instant::now() < deadline, format!("left: {found}"))?;
    }
}

fn login(guest: &Guest, user: &str, command: &str) -> vm_tests::Result<Child> {
    let mut ssh = guest.ssh_command(user);
    let ssh = ssh.arg(command).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    ssh.spawn().map_err(|error| format!("ssh: {error}"))
}

/// Logins of bob, while `kill` is done again and again at moments of its own.
fn logins_while(guest: &Guest, kill: &str) -> Verdict {
    let killer =
        format!("echo $$ >/run/killer; for turn in $(seq 1 2000); do {kill}; sleep 0.$((RANDOM % 9)); done");
    guest.root_ok(&format!("setsid bash -c '{killer}' >/dev/null 2>&1 </dev/null &"))?;
    for _ in 0..4 {
        let mut logins = [login(guest, "bob", "sleep 1")?, login(guest, "bob", "sleep 1")?];
        for login in &mut logins {
            login.wait().map_err(|error| format!("ssh: {error}"))?;
        }
    }
    // With what it has just started.
    guest.root_ok("kill -9 -- -$(cat /run/killer); rm /run/killer")?;
    Ok(())
}

fn killed_sshd(guest: &Guest) -> Verdict {
    product::install(guest)?;
    guest.root_ok(
        "install -D -m 644 /home/bob/.ssh/authorized_keys /etc/ssh/keys/bob; systemctl restart ssh",
    )?;
    all_is_well(guest)?;
    let main = guest.root_ok("systemctl show -p MainPID --value ssh")?;
    // All but the one that listens.
    logins_while(guest, &format!("kill -9 $(pgrep ^sshd | grep -vx {main})"))?;
    ensure(guest.root_ok("systemctl show -p MainPID --value ssh")? == main, "sshd has been started again")?;
    all_is_well(guest)
}

fn killed_login(guest: &Guest) -> Verdict {
    let console = guest.console();
    for (prompt, answer) in [("login: ", "bob\n"), ("Password: ", "bob\n"), ("$ ", "echo \"<$(id -un)>\"\n")]
    {
        console.expect(prompt, PATIENCE)?;
        console.send(answer)?;
    }
    console.expect("<bob>", PATIENCE)?;
    guest.root_ok("sessionctl list | grep -q user-1001 && pkill -9 -x login")?;
    console.expect("login: ", PATIENCE)?;
    // The keeper hears of it from the kernel.
    guest.root_ok("until ! pgrep -x session-keeper; do sleep 0.1; done")?;
    // What was typed at a prompt is taken back, for those who come later.
    console.send("\n")?;
    all_is_well(guest)
}

fn killed_helper(guest: &Guest) -> Verdict {
    logins_while(guest, "pkill -9 -x session-door")?;
    all_is_well(guest)
}

fn broken_map(guest: &Guest) -> Verdict {
    let map = "version = 1\n[[profile]]\nname = \"login\"\nwal = \"none\"\n";
    guest.root_ok(&format!("printf '%s' '{map}' >/etc/session-sandbox/mounts.d/90-broken.toml"))?;
    let refused = guest.ssh("bob", "echo in")?;
    let told = "Your session cannot be opened";
    let is_told = refused.stdout.contains(told) && !is_in(&refused);
    ensure(refused.status != 0 && is_told, format!("bob by ssh: {refused:?}"))?;
    let said = guest.root("su bob -c 'echo in'")?;
    ensure(said.status != 0 && said.stderr.contains(told), format!("su says {said:?}"))?;
    for user in ["root", "alice"] {
        ensure(guest.ssh_ok(user, "echo in")? == "in", format!("{user} is kept out"))?;
    }
    let log = guest.root_ok("journalctl --no-pager -q -t su -n 20 | grep -F 90-broken.toml | tail -n 1")?;
    for part in ["90-broken.toml:4:1", "wal", "did you mean `wall`"] {
        ensure(log.contains(part), format!("{part:?} is not in the log: {log}"))?;
    }
    let doctor = guest.root("sessionctl doctor")?;
    ensure(doctor.status == 1 && doctor.stdout.contains("90-broken.toml:4:1"), format!("{doctor:?}"))?;
    guest.root_ok("rm /etc/session-sandbox/mounts.d/90-broken.toml")?;
    all_is_well(guest)
}

fn dead_home(guest: &Guest) -> Verdict {
    guest.root_ok("setsid perl /root/dead-server >/root/dead.log 2>&1 </dev/null & until [ -e /run/dead ]; do sleep 0.1; done")?;
    let begin = Instant::now();
    let mut waits = login(guest, "bob", "echo in")?;
    let others = guest.ssh_ok("carol", "echo in")?;
    let took = begin.elapsed();
    ensure(others == "in" && took < Duration::from_secs(20), format!("carol: {others} after {took:?}"))?;
    let status = waits.wait().map_err(|error| format!("ssh: {error}"))?;
    let took = begin.elapsed();
    ensure(!status.success() && took < PATIENCE, format!("bob: {status} after {took:?}"))?;
    let log =
        guest.root_ok("journalctl --no-pager -q -n 60 | grep 'pam_session_sandbox(sshd' | tail -n 1")?;
    ensure(log.contains("/home/bob") && log.contains("does not answer"), format!("the log: {log}"))?;
    guest.root_ok("pkill -9 -f /root/dead-server; umount -l /home/bob; rm /run/dead")?;
    all_is_well(guest)
}

fn full_run(guest: &Guest) -> Verdict {
    // The journal may lie there, and makes room once when it finds none.
    let is_full = guest.root_ok(
        "for round in 1 2 3 4 5 6 7 8 9 10; do
             cat /dev/zero >>/run/full 2>/dev/null
             sleep 0.2
             echo more >/run/more 2>/dev/null && grep -q more /run/more || exit 0
         done
         rm -f /run/full /run/more; exit 1",
    );
    is_full.map_err(|error| format!("/run does not become full: {error}"))?;
    let bob = guest.ssh("bob", "echo in");
    let root = guest.ssh("root", "echo in");
    // What a script of root's says would be kept in /run.
    let carol = guest.root("su carol -c 'echo in' >/root/carol 2>&1");
    guest.root_ok("rm -f /run/full /run/more")?;
    carol?;
    for (who, output) in [("bob", bob?), ("root", root?), ("carol", guest.root("cat /root/carol")?)] {
        ensure(is_in(&output), format!("{who}: {output:?}"))?;
    }
    all_is_well(guest)
}

fn panic(guest: &Guest) -> Verdict {
    let main = guest.root_ok("systemctl show -p MainPID --value ssh")?;
    for place in ["before-asking", "before-entering", "entering"] {
        let line = format!("session requisite pam_session_sandbox_faults.so fault=panic-{place}");
        guest.root_ok(&format!(
            "sed -i.kept 's/^session.*pam_session_sandbox.*/{line}/' /etc/pam.d/common-session
             grep -q {place} /etc/pam.d/common-session"
        ))?;
        let bob = guest.ssh("bob", "echo in")?;
        let root = guest.ssh("root", "echo in")?;
        guest.root_ok("mv /etc/pam.d/common-session.kept /etc/pam.d/common-session")?;
        ensure(bob.status != 0 && !is_in(&bob), format!("{place}: bob is in: {bob:?}"))?;
        ensure(root.stdout == "in\n", format!("{place}: root is kept out: {root:?}"))?;
        let log = guest.root_ok("journalctl --no-pager -q -n 400")?;
        ensure(log.contains(&format!("panic: injected panic {place}")), format!("the log: {log}"))?;
    }
    ensure(guest.root_ok("systemctl show -p MainPID --value ssh")? == main, "sshd has been started again")?;
    all_is_well(guest)
}

fn power(guest: &Guest, cut: fn(&Guest) -> vm_tests::Result<()>) -> Verdict {
    let mut bob = login(guest, "bob", "exec sleep 1000")?;
    guest.root_ok(
        "session-enter --prepare --user carol; grep -q /var/lib/workspace/carol /proc/self/mounts
         until sessionctl list | grep -q user-1001; do sleep 0.1; done; sync",
    )?;
    cut(guest)?;
    let _ = bob.kill();
    let _ = bob.wait();
    let state = guest.root_ok(
        "ls -A /run/session-sandbox 2>/dev/null; grep -c /var/lib/workspace /proc/self/mounts; true",
    )?;
    ensure(state == "0", format!("after the start: {state}"))?;
    all_is_well(guest)?;
    let doctor = guest.root("sessionctl doctor")?;
    ensure(doctor.status == 0, format!("{}{}", doctor.stdout, doctor.stderr))
}
