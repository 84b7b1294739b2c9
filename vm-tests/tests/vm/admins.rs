//! Who administers the host keeps it in sight; and a user's own root to whom sftp gives all of it.

use std::process::Command;
use std::time::Duration;

use vm_tests::{Guest, Payload, product, run};

use crate::suite::{Check, Verdict};

const ASK: &str = "readlink /proc/self/ns/mnt";
const PATIENCE: Duration = Duration::from_secs(60);

/// sudo is a program with root's bit; a view has none unless the map says so.
const WITH_SUDO: &str = "version = 1
[[profile]]
name = \"login\"
[[profile.mount]]
target = \"/usr\"
options = [\"ro\", \"suid\"]
";
const SFTP: &str = include_str!("../../../docs/examples/sftp.toml");
/// As the map of sftp says for a host whose other users log in to views.
const NOT_SFTP: &str = "version = 1
[[profile]]
name = \"login\"
match = { not_user = [\"root\"], not_uid = [\"0\"], not_group = [\"sftponly\"] }
";
const SFTP_SSHD: &str = include_str!("../../../docs/examples/sftp-sshd.conf");

pub fn payload() -> vm_tests::Result<Payload> {
    Ok(product::payload()?
        .file("/etc/session-sandbox/mounts.d/50-sudo.toml", 0o644, WITH_SUDO)
        .file("/etc/session-sandbox/mounts.d/60-sftp.toml", 0o644, SFTP)
        .file("/etc/session-sandbox/mounts.d/61-not-sftp.toml", 0o644, NOT_SFTP)
        .file("/etc/ssh/sshd_config.d/sftp.conf", 0o644, SFTP_SSHD))
}

pub fn checks() -> Vec<Check> {
    vec![
        Check::new("alice, who is exempt, logs in to the host's view", exempt),
        Check::new("alice's su - bob on the console lands in bob's view", su_on_console),
        Check::new("bob's sudo -i returns to the host's view, behind a wall", |guest| sudo(guest, "pidns")),
        Check::new("bob's sudo -i returns to the host's view, without a wall", |guest| sudo(guest, "none")),
        Check::new("plan, why, can, check and diff tell what is so on this kernel", told),
        Check::new("behind the wall no other user's view is entered", across),
        Check::new("by sftp a user owns and writes the whole root", own_root),
    ]
}

fn ensure(holds: bool, message: impl Into<String>) -> Verdict {
    if holds { Ok(()) } else { Err(message.into().into()) }
}

fn exempt(guest: &Guest) -> Verdict {
    product::install(guest)?;
    guest.root_ok(
        "set -e; systemctl restart ssh; groupadd sftponly; usermod --append --groups sftponly dave
         install -d -o dave -g dave /srv/sftp/dave
         mkdir -p /srv/sftp/dave/etc /srv/sftp/dave/usr /srv/sftp/dave/lib /srv/sftp/dave/lib64 /srv/sftp/dave/bin /srv/sftp/dave/dev /srv/sftp/dave/proc
         touch /srv/sftp/dave/dev/null
         install -D -m 644 /home/dave/.ssh/authorized_keys /etc/ssh/sftponly/dave",
    )?;
    let host = guest.root_ok(ASK)?;
    ensure(guest.ssh_ok("alice", ASK)? == host, "alice is in a view")?;
    ensure(guest.ssh_ok("root", ASK)? == host, "root is in a view")?;
    ensure(guest.ssh_ok("bob", ASK)? != host, "bob is in the host's view")
}

fn su_on_console(guest: &Guest) -> Verdict {
    let console = guest.console();
    console.expect("login: ", PATIENCE)?;
    for (prompt, answer) in [("Password: ", "alice\n"), ("$ ", "su - bob\n"), ("Password: ", "bob\n")] {
        if prompt == "Password: " && answer == "alice\n" {
            console.send("alice\n")?;
        }
        console.expect(prompt, PATIENCE)?;
        console.send(answer)?;
    }
    console.expect("$ ", PATIENCE)?;
    console.send(&format!("echo \"<$(id -un)$({ASK})>\"\n"))?;
    let said = console.expect("]>", PATIENCE)?;
    let found = said.rsplit('<').next().unwrap_or_default().trim_end_matches('>').to_owned();
    let by_ssh = guest.ssh_ok("bob", ASK)?;
    console.expect("$ ", PATIENCE)?;
    console.send("exit\n")?;
    console.expect("$ ", PATIENCE)?;
    // Back in alice's shell: su has closed the session and is outside again.
    console.send(&format!("echo \"<$(id -un)$({ASK})>\"\n"))?;
    let after = console.expect("]>", PATIENCE)?;
    console.expect("$ ", PATIENCE)?;
    console.send("exit\n")?;
    ensure(found == format!("bob{by_ssh}"), format!("su is in {found}, ssh in {by_ssh}"))?;
    let host = guest.root_ok(ASK)?;
    ensure(after.ends_with(&format!("<alice{host}>")), format!("afterwards: {after}"))
}

fn sudo(guest: &Guest, wall: &str) -> Verdict {
    let setting = format!("version = 1\n[[profile]]\nname = \"login\"\nwall = \"{wall}\"\n");
    guest.root_ok(&format!("printf '%s' '{setting}' >/etc/session-sandbox/mounts.d/70-wall.toml"))?;
    guest.root_ok(
        "until ! sessionctl list | grep -q user-1001; do sessionctl gc >/dev/null; sleep 0.1; done",
    )?;
    let host = guest.root_ok(ASK)?;
    let script = format!(
        "{ASK}; sudo -n -i sh -c '{ASK}; id -un; mount -t tmpfs mine /mnt && touch /mnt/here'; {ASK}"
    );
    let said = guest.ssh_ok("bob", &script)?;
    let lines: Vec<&str> = said.lines().collect();
    let &[before, inside, who, after] = lines.as_slice() else {
        return Err(format!("{said:?}\n{}", guest.root_ok("journalctl -n 20 --no-pager")?).into());
    };
    ensure(before != host && before == after, format!("bob is in {before} and {after}, the host in {host}"))?;
    ensure((inside, who) == (&*host, "root"), format!("{who} is in {inside}, the host is {host}"))?;
    let seen = guest.root_ok("ls /mnt; umount /mnt")?;
    ensure(seen == "here", format!("what root has mounted is not seen by others: {seen:?}"))
}

/// On a kernel that tells of one mount at a time, and on one that has its text alone.
fn told(guest: &Guest) -> Verdict {
    let said = guest.root_ok(
        "su - bob -c 'sleep 60' </dev/null >/dev/null 2>&1 &
         for turn in 1 2 3 4 5 6 7 8 9 10; do sessionctl list | grep -q 'bob.*su' && break; sleep 1; done
         sessionctl diff; echo diff $?
         sessionctl plan --user bob --service su --tree | grep 'usr *bind'
         sessionctl why --user bob --service su /etc/shadow | grep -A 1 writing
         sessionctl can --user bob --service su write /etc; echo can $?
         su - bob -c ': > /etc/x' 2>/dev/null; echo may $?
         sessionctl check --all-users; echo check $?
         sessionctl end --user bob",
    )?;
    // `nosuid` is not among them: the map of this suite leaves the bit to sudo.
    for word in ["no difference", "diff 0", "bind, ro,nodev", "no: /etc", "can 1", "may 1", "check 0"] {
        ensure(said.contains(word), format!("nothing of {word:?}: {said}"))?;
    }
    Ok(())
}

fn across(guest: &Guest) -> Verdict {
    guest.root_ok("rm /etc/session-sandbox/mounts.d/70-wall.toml")?;
    guest.root_ok(
        "until ! sessionctl list | grep -q user-1001; do sessionctl gc >/dev/null; sleep 0.1; done",
    )?;
    // sudo takes no notice when a session cannot be opened: carol's shell is where bob is. su does.
    let script = format!(
        "{ASK}; sudo -n -u carol {ASK}; sudo -n su carol -c 'echo in'; sudo -n su - carol -c 'echo in'"
    );
    let output = guest.ssh("bob", &script)?;
    let lines: Vec<&str> = output.stdout.lines().collect();
    let in_place = lines.first() == lines.get(1) && lines.len() == 2;
    ensure(in_place, format!("carol is in another view than bob: {}{}", output.stdout, output.stderr))?;
    let log = guest
        .root_ok("journalctl --no-pager -q -t su | grep -c 'lets no process leave its PID namespace'")?;
    ensure(log == "2", format!("{log} lines in the log\n{}", output.stderr))
}

/// What ChrootDirectory cannot do.
fn own_root(guest: &Guest) -> Verdict {
    let batch = "put /proc/sys/kernel/ostype /file\nmkdir /folder\nrename /file /folder/file\nls /folder\n";
    let mut command = Command::new("sh");
    command.args(["-c", &format!("printf '{batch}' | sftp \"$@\"",), "sh", "-b", "-"]);
    command.args(guest.ssh_options()).arg("dave@127.0.0.1");
    let said = run(&mut command, PATIENCE)?.success()?;
    ensure(said.contains("/folder/file"), format!("sftp says {said}"))?;
    let found = guest
        .root_ok("stat -c %U /srv/sftp/dave /srv/sftp/dave/folder/file; cat /srv/sftp/dave/folder/file")?;
    ensure(found == "dave\ndave\nLinux", format!("on the host: {found}"))?;
    // Nothing but sftp, and nothing of the host.
    let shell = guest.ssh("dave", "id")?;
    ensure(!shell.stdout.contains("uid="), format!("dave has a shell: {}", shell.stdout))?;
    let mut command = Command::new("sh");
    command.args(["-c", "printf 'ls /srv\n' | sftp \"$@\"", "sh", "-b", "-"]);
    let output = run(command.args(guest.ssh_options()).arg("dave@127.0.0.1"), PATIENCE)?;
    ensure(output.status != 0, format!("dave sees the host's /srv: {}", output.stdout))
}
