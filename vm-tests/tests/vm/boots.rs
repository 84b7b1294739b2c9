//! The ways into a guest work, and what it is told to keep it keeps.

use std::process::Command;
use std::time::{Duration, Instant};

use vm_tests::{Guest, Payload};

use crate::suite::{Check, Verdict};

const PATIENCE: Duration = Duration::from_secs(60);

pub fn payload() -> vm_tests::Result<Payload> {
    Ok(Payload::new()
        .file("/usr/local/bin/from payload", 0o750, "#!/bin/sh\necho payload\n")
        .link("/usr/local/bin/linked", "from payload")
        .host_file("/opt/new folder/of the host", 0o600, "/proc/sys/kernel/ostype"))
}

pub fn checks() -> Vec<Check> {
    vec![
        Check::new("the kernel is of the family that was asked for", kernel_family),
        Check::new("systemd has started everything", all_units_run),
        Check::new("the payload is in place, and the folders around it as before", payload_is_in_place),
        Check::new("root has a way in beside the logins", root_beside_the_logins),
        Check::new("a script that takes too long is ended", slow_script),
        Check::new("bob logs in by ssh with the key", ssh_with_key),
        Check::new("bob logs in by ssh with his password, and with no other", ssh_with_password),
        Check::new("bob copies files with scp, sftp and rsync", file_copies),
        Check::new("bob logs in on the serial console with his password", console_login),
        Check::new("what is synced survives a cut of the power", power_cut),
        Check::new("a start that panics is made again", panicked),
        Check::new("a clean restart keeps everything", clean_restart),
        Check::ending("the guest turns itself off", |guest| Ok(guest.poweroff()?)),
    ]
}

/// Fails with what was found instead.
fn ensure_eq(what: &str, found: &str, expected: &str) -> Verdict {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?} instead of {expected:?}").into()) }
}

fn kernel_family(guest: &Guest) -> Verdict {
    let release = guest.root_ok("uname -r")?;
    let family = guest.kernel().family();
    if release.starts_with(family) { Ok(()) } else { Err(format!("{release} is not {family}").into()) }
}

fn all_units_run(guest: &Guest) -> Verdict {
    let state = guest.root("systemctl is-system-running --wait")?.stdout;
    let failed = guest.root_ok("systemctl --failed --no-legend")?;
    ensure_eq(&format!("the state of the system (failed: {failed})"), state.trim(), "running")
}

fn payload_is_in_place(guest: &Guest) -> Verdict {
    ensure_eq("the program", &guest.root_ok("'/usr/local/bin/from payload'")?, "payload")?;
    ensure_eq("the link", &guest.root_ok("/usr/local/bin/linked")?, "payload")?;
    let modes = "stat -c %a:%U '/usr/local/bin/from payload' '/opt/new folder' '/opt/new folder/of the host'";
    ensure_eq("modes", &guest.root_ok(modes)?, "750:root\n755:root\n600:root")?;
    ensure_eq("the host's file", &guest.root_ok("cat '/opt/new folder/of the host'")?, "Linux")?;
    ensure_eq(
        "folders of the image",
        &guest.root_ok("stat -c %a /root /tmp /home/bob/.ssh")?,
        "700\n1777\n700",
    )
}

fn root_beside_the_logins(guest: &Guest) -> Verdict {
    let output = guest.root("id -un; echo error >&2; sleep 300 & exit 7")?;
    ensure_eq("standard output", &output.stdout, "root\n")?;
    ensure_eq("standard error", &output.stderr, "error\n")?;
    ensure_eq("the status", &output.status.to_string(), "7")?;
    let large = guest.root_ok("head -c 300000 /dev/zero | tr '\\0' x")?;
    ensure_eq("the length of a long answer", &large.len().to_string(), "300000")?;
    ensure_eq(
        "its sessions",
        &guest.root_ok("loginctl list-sessions --no-legend | grep -w user || true")?,
        "",
    )?;
    let begin = Instant::now();
    for _ in 0..10 {
        guest.root_ok("true")?;
    }
    eprintln!("{}: {:?} for a script of root", guest.kernel().word(), begin.elapsed() / 10);
    Ok(())
}

fn slow_script(guest: &Guest) -> Verdict {
    let output = guest.root_within("echo begun; sleep 100; echo done", Duration::from_secs(1))?;
    ensure_eq("the status", &output.status.to_string(), "124")?;
    ensure_eq("what it had said", &output.stdout, "begun\n")?;
    ensure_eq("the next one", &guest.root_ok("echo works")?, "works")
}

fn ssh_with_key(guest: &Guest) -> Verdict {
    let begin = Instant::now();
    ensure_eq("bob", &guest.ssh_ok("bob", "id -un; id -Gn")?, "bob\nbob students")?;
    eprintln!("{}: {:?} for a login by ssh", guest.kernel().word(), begin.elapsed());
    ensure_eq("alice", &guest.ssh_ok("alice", "sudo -n id -un")?, "root")?;
    ensure_eq("a status", &guest.ssh("bob", "exit 9")?.status.to_string(), "9")
}

fn ssh_with_password(guest: &Guest) -> Verdict {
    let run =
        |password: &str| vm_tests::run(guest.ssh_password_command("bob", password).arg("id -un"), PATIENCE);
    ensure_eq("bob", run("bob")?.success()?.trim_end(), "bob")?;
    let wrong = run("wrong")?;
    if wrong.is_success() { Err("a wrong password was taken".into()) } else { Ok(()) }
}

fn file_copies(guest: &Guest) -> Verdict {
    let run = |program: &str, options: &[String], from: &str, to: &str| {
        vm_tests::run(Command::new(program).args(options).args([from, to]), PATIENCE)?.success()
    };
    let options = guest.ssh_options();
    run("scp", &options, "/proc/sys/kernel/ostype", "bob@127.0.0.1:by-scp")?;
    // From the guest to where nothing is kept: it is the way that counts.
    run("sftp", &options, "bob@127.0.0.1:by-scp", "/dev/null")?;
    let through = ["-e".to_owned(), format!("ssh {}", options.join(" "))];
    run("rsync", &through, "/proc/sys/kernel/ostype", "bob@127.0.0.1:by-rsync")?;
    ensure_eq("the copies", &guest.root_ok("cd /home/bob && stat -c %U by-*")?, "bob\nbob")
}

fn console_login(guest: &Guest) -> Verdict {
    let console = guest.console();
    console.expect("login: ", PATIENCE)?;
    console.send("bob\n")?;
    console.expect("Password: ", PATIENCE)?;
    console.send("bob\n")?;
    console.expect("$ ", PATIENCE)?;
    // What is typed comes back before the answer does, and has to differ from it.
    console.send("echo \"<$(id -un)><$(tty)>\"\n")?;
    console.expect("<bob></dev/ttyS0>", PATIENCE)?;
    let session = guest.root_ok("loginctl list-sessions --no-legend | grep -w ttyS0")?;
    if !session.contains("bob") {
        return Err(format!("the session on the console is not bob's: {session}").into());
    }
    console.send("exit\n")?;
    console.expect("login: ", PATIENCE)?;
    Ok(())
}

const BOOT_ID: &str = "cat /proc/sys/kernel/random/boot_id";

fn power_cut(guest: &Guest) -> Verdict {
    let before = guest.root_ok(BOOT_ID)?;
    guest.ssh_ok("bob", "echo kept > kept; sync kept; sync .")?;
    // The payload is not put over what the guest has made of it.
    guest.root_ok("chmod 700 '/usr/local/bin/from payload'; sync")?;
    let begin = Instant::now();
    guest.reset()?;
    eprintln!("{}: {:?} for a cut of the power and a start", guest.kernel().word(), begin.elapsed());
    if guest.root_ok(BOOT_ID)? == before {
        return Err("the guest runs on as if nothing had been".into());
    }
    ensure_eq("bob's file", &guest.ssh_ok("bob", "cat kept")?, "kept")?;
    ensure_eq("the payload", &guest.root_ok("stat -c %a '/usr/local/bin/from payload'")?, "700")
}

fn panicked(guest: &Guest) -> Verdict {
    let before = guest.root_ok(BOOT_ID)?;
    guest.panic()?;
    if guest.root_ok(BOOT_ID)? == before {
        return Err("the guest runs on as if nothing had been".into());
    }
    Ok(())
}

fn clean_restart(guest: &Guest) -> Verdict {
    let before = guest.root_ok(BOOT_ID)?;
    guest.ssh_ok("bob", "echo also > also")?;
    guest.reboot()?;
    if guest.root_ok(BOOT_ID)? == before {
        return Err("the guest runs on as if nothing had been".into());
    }
    ensure_eq("bob's files", &guest.ssh_ok("bob", "cat kept also")?, "kept\nalso")
}
