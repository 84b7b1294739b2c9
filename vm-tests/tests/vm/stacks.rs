//! The stacks of PAM modules that this project grew from, with the modules as Debian ships them.

use std::time::Duration;

use vm_tests::{Guest, Payload, product};

use crate::suite::{Check, Verdict};

const ASK: &str = "readlink /proc/self/ns/mnt";
const PATIENCE: Duration = Duration::from_secs(60);

/// Word for word what the page has that began it all.
const CHROOT_STACK: &str = "session required pam_script.so runas=root dir=/etc/security/pam-script
session [default=1 success=ignore] pam_succeed_if.so user ingroup pamchroot
session required pam_chroot.so use_ext_regex use_groups notfound=success onerr=succeed
";
const CHROOT_CONF: &str = "@pamchroot /var/lib/workspace/%u/chroot\n";
const OPEN: &str = "#!/bin/sh
id -Gn \"$PAM_USER\" | grep -qw pamchroot || exit 0
exec session-enter --prepare --user \"$PAM_USER\"
";
/// pam_chroot leaves the program that logs the user in in the chroot, so this runs there.
const CLOSE: &str = "#!/bin/sh
id -Gn \"$PAM_USER\" | grep -qw pamchroot || exit 0
exec nsenter --mount=/proc/1/ns/mnt -- session-enter --release --user \"$PAM_USER\"
";
const HOOK: &str = "#!/bin/sh
echo \"$1 $PAM_TYPE $(readlink /proc/self/ns/mnt)\" >&2
";

pub fn payload() -> vm_tests::Result<Payload> {
    Ok(product::payload()?
        .file("/etc/security/chroot.conf", 0o644, CHROOT_CONF)
        .file("/etc/security/pam-script/pam_script_ses_open", 0o755, OPEN)
        .file("/etc/security/pam-script/pam_script_ses_close", 0o755, CLOSE)
        .file("/usr/local/bin/hook", 0o755, HOOK)
        .file("/etc/security/namespace.d/tmp.conf", 0o644, "/tmp /tmp tmpfs root,carol\n"))
}

pub fn checks() -> Vec<Check> {
    vec![
        Check::new("pam_chroot enters what a script of pam_script has prepared", prepared),
        Check::new("pam_namespace in front of the module", beside_pam_namespace),
        Check::new("pam_exec before and after the module", around_pam_exec),
        Check::new("pam_succeed_if decides who is let into a view", gated),
        Check::new("the module in pam_chroot's place leads where chroot.conf says", in_its_place),
    ]
}

fn ensure(holds: bool, message: impl Into<String>) -> Verdict {
    if holds { Ok(()) } else { Err(message.into().into()) }
}

/// sshd's stack with these lines at its end, and the module nowhere else.
fn stack(guest: &Guest, lines: &str) -> Verdict {
    guest.root_ok("[ -e /root/sshd ] || cp /etc/pam.d/sshd /root/sshd; cp /root/sshd /etc/pam.d/sshd")?;
    guest.root_ok(&format!("cat >>/etc/pam.d/sshd <<'END'\n{lines}END"))?;
    Ok(())
}

fn prepared(guest: &Guest) -> Verdict {
    product::install_package(guest)?;
    guest.root_ok("groupadd pamchroot; usermod --append --groups pamchroot carol")?;
    stack(guest, CHROOT_STACK)?;
    let mounts = "grep -c /var/lib/workspace /proc/self/mounts || true";
    let look = "id -un; stat -c %i /; ls /boot 2>&1; [ -e /proc/1 ] && echo proc; echo said >/tmp/word";
    let first = guest.ssh_ok("carol", look)?;
    ensure(
        first.starts_with("carol\n") && first.ends_with("\nproc"),
        format!("carol in the chroot: {first}"),
    )?;
    ensure(first.contains("cannot access '/boot'"), format!("carol sees the host's /boot: {first}"))?;
    // sshd closes the session when the client has gone already.
    let none_is_left = format!("until [ $({mounts}) = 0 ]; do sleep 0.1; done");
    guest.root_within(&none_is_left, PATIENCE)?.success()?;
    // Two sessions: the first that ends takes nothing away from the other.
    let mut stays = guest.ssh_command("carol");
    let stays =
        stays.arg("until [ -e /tmp/go ]; do sleep 0.1; done; cat /tmp/go").stdin(std::process::Stdio::null());
    let stays =
        stays.stdout(std::process::Stdio::piped()).spawn().map_err(|error| format!("ssh: {error}"))?;
    guest.root_ok("until grep -q /var/lib/workspace /proc/self/mounts; do sleep 0.1; done")?;
    guest.ssh_ok("carol", "true")?;
    guest.ssh_ok("carol", "echo gone on >/tmp/go.new; mv /tmp/go.new /tmp/go")?;
    let said = stays.wait_with_output().map_err(|error| format!("ssh: {error}"))?.stdout;
    ensure(said == b"gone on\n", format!("the first session says {:?}", String::from_utf8_lossy(&said)))?;
    guest.root_within(&none_is_left, PATIENCE)?.success()?;
    // Who is not in the group is not asked.
    let bob = guest.ssh_ok("bob", "ls -d /boot")?;
    ensure(bob == "/boot", format!("bob: {bob}"))
}

fn view_of(guest: &Guest, user: &str) -> vm_tests::Result<String> {
    guest.ssh_ok(user, ASK)
}

fn beside_pam_namespace(guest: &Guest) -> Verdict {
    stack(
        guest,
        "session required pam_namespace.so no_unmount_on_close\nsession requisite pam_session_sandbox.so\n",
    )?;
    let mut anchor = guest.ssh_command("bob");
    let mut anchor = anchor
        .arg("echo mine >/tmp/word; exec sleep 1000")
        .stdin(std::process::Stdio::null())
        .spawn()
        .map_err(|error| format!("ssh: {error}"))?;
    let seen = || -> Verdict {
        guest.root_ok("until sessionctl list | grep -q user-1001; do sleep 0.1; done")?;
        for _ in 0..2 {
            let said = guest.ssh_ok(
                "bob",
                &format!("{ASK}; until [ -e /tmp/word ]; do sleep 0.1; done; cat /tmp/word"),
            )?;
            ensure(said.ends_with("\nmine"), format!("another /tmp: {said}"))?;
        }
        ensure(view_of(guest, "bob")? == view_of(guest, "bob")?, "two logins, two views")
    };
    let seen = seen();
    let _ = anchor.kill();
    let _ = anchor.wait();
    seen?;
    guest.root_ok("until ! sessionctl list | grep -q user-1001; do sleep 0.1; done")?;
    Ok(())
}

/// The modules of a stack are called in the same order to open and to close: one in front of the module is outside when
/// a session begins and inside when it ends, one behind it the other way round.
fn around_pam_exec(guest: &Guest) -> Verdict {
    stack(
        guest,
        "session optional pam_exec.so log=/run/before /usr/local/bin/hook before
session requisite pam_session_sandbox.so
session optional pam_exec.so log=/run/after /usr/local/bin/hook after
",
    )?;
    let view = view_of(guest, "bob")?;
    let host = guest.root_ok(ASK)?;
    let log = "until grep -q close /run/after 2>/dev/null; do sleep 0.1; done; grep -h session /run/before /run/after";
    let said = guest.root_ok(log)?;
    let must = [format!("before open_session {host}"), format!("after close_session {host}")];
    for line in must {
        ensure(said.contains(&line), format!("{line:?} is not in {said}"))?;
    }
    // Their logs are inside, in a folder that cannot be written there.
    ensure(!said.contains(&view), format!("a log of the view is on the host: {said}"))
}

fn gated(guest: &Guest) -> Verdict {
    stack(
        guest,
        "session [default=1 success=ignore] pam_succeed_if.so quiet user ingroup students
session requisite pam_session_sandbox.so
",
    )?;
    let host = guest.root_ok(ASK)?;
    ensure(view_of(guest, "bob")? != host, "bob, a student, is in the host's view")?;
    ensure(view_of(guest, "carol")? == host, "carol, who is none, is in a view")
}

/// A pattern's part makes the path: no map for everybody could say it.
const PATTERN_CONF: &str = "^(car)ol$ /srv/jails/%1\n";
const JAIL: &str =
    "set -e; cd /srv; mkdir -p jails/car/usr jails/car/etc jails/car/proc jails/car/dev jails/car/home/carol
    for name in bin lib lib64 sbin; do ln -s usr/$name jails/car/$name; done
    cp /etc/passwd /etc/group /etc/nsswitch.conf jails/car/etc/; chown carol jails/car/home/carol
    echo here >jails/car/mark; mount --bind /usr jails/car/usr";

fn in_its_place(guest: &Guest) -> Verdict {
    guest.root_ok(JAIL)?;
    guest.root_ok(&format!("cat >/etc/security/chroot.conf <<'END'\n{PATTERN_CONF}END"))?;
    stack(guest, "session requisite pam_session_sandbox.so as=pam_chroot use_groups use_ext_regex\n")?;
    let inside =
        guest.ssh_ok("carol", "cat /mark; pwd; id -un; ls -d /boot 2>&1; echo x >/dev/null && touch mine")?;
    ensure(
        inside == "here\n/home/carol\ncarol\nls: cannot access '/boot': No such file or directory",
        format!("carol in the jail: {inside}"),
    )?;
    // The same words that keep nobody out who has no line, and keep out whose line is wrong.
    ensure(guest.ssh_ok("bob", "ls -d /boot")? == "/boot", "bob, who has no line, is in the host's view")?;
    guest.root_ok(
        "echo 'carol /srv/jails/%2' >>/etc/security/chroot.conf; sed -i 1d /etc/security/chroot.conf",
    )?;
    let refused = guest.ssh("carol", "cat /mark")?;
    ensure(!refused.stdout.contains("here"), "carol was let in by a wrong line")?;
    guest.root_ok("journalctl -b | grep 'chroot.conf gives carol no directory'")?;
    guest.root_ok("umount -l /srv/jails/car/usr; cp /root/sshd /etc/pam.d/sshd")?;
    Ok(())
}
