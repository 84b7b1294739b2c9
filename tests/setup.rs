//! `sessionctl setup` on hosts that lie in a folder. Needs no privilege.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking"
)]

mod fake_host;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::time::Instant;

use fake_host::{HELPER, Host, LINE, MODULE, NONINTERACTIVE, SESSION, STACK, said};

const RECORD: &str = "/var/lib/session-sandbox/setup/pam.json";
const SCRIPT: &str = "/etc/ConsoleKit/run-session.d/session-sandbox.ck";

#[test]
fn a_dry_run_shows_every_change_and_makes_none() {
    let host = Host::new();
    let before = host.all();
    let said = host.done("setup --method pam --dry-run");
    for expected in [
        "--- /etc/pam.d/common-session\n+++ /etc/pam.d/common-session\n@@ -1,3 +1,4 @@\n",
        "+session requisite pam_session_sandbox.so\n",
        "+++ /etc/pam.d/common-session-noninteractive\n",
        "nothing was changed",
    ] {
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(host.all(), before);
    assert!(!host.path("/var").exists());
}

#[test]
fn what_is_set_up_is_taken_back_byte_by_byte() {
    let host = Host::new();
    // Without an end of its last line.
    host.write(NONINTERACTIVE, STACK.trim_end(), 0o640);
    let before = host.all();
    assert!(host.done("setup --method pam").contains("+session requisite"));
    assert_eq!(host.read(SESSION), format!("{STACK}{LINE}"));
    assert_eq!(host.read(NONINTERACTIVE), format!("{STACK}{LINE}"));
    assert_eq!((host.mode(SESSION), host.mode(NONINTERACTIVE)), (0o644, 0o640));
    assert_eq!(host.mode(RECORD), 0o600);

    let after = host.all();
    assert!(host.done("setup --method pam").contains("already"));
    assert_eq!(host.all(), after, "the second time it has changed something");

    assert!(host.done("setup --method pam --undo --dry-run").contains("-session requisite"));
    assert_eq!(host.all(), after);
    host.done("setup --method pam --undo");
    assert_eq!(host.all(), before);
    assert!(!host.path(RECORD).exists());
    assert!(host.done("setup --method pam --undo").contains("nothing to do"));
}

#[test]
fn fedoras_files_are_changed_both_or_neither() {
    let host = Host::new();
    fs::remove_file(host.path(SESSION)).unwrap();
    fs::remove_file(host.path(NONINTERACTIVE)).unwrap();
    host.refused("setup --method pam", "cannot be told");
    host.write("/etc/pam.d/system-auth", STACK, 0o644);
    host.refused("setup --method pam", "cannot be told");
    symlink("/etc/authselect/password-auth", host.path("/etc/pam.d/password-auth")).unwrap();
    host.refused("setup --method pam", "authselect create-profile");
    fs::remove_file(host.path("/etc/pam.d/password-auth")).unwrap();
    host.write("/etc/pam.d/password-auth", STACK, 0o644);
    host.done("setup --method pam");
    for name in ["system-auth", "password-auth"] {
        assert_eq!(host.read(&format!("/etc/pam.d/{name}")), format!("{STACK}{LINE}"));
    }
}

#[test]
fn what_a_person_has_changed_since_is_kept() {
    let host = Host::new();
    host.done("setup --method pam");
    host.write(SESSION, &format!("# mine\n{STACK}{LINE}session optional pam_mail.so\n"), 0o644);
    host.done("setup --method pam --undo");
    assert_eq!(host.read(SESSION), format!("# mine\n{STACK}session optional pam_mail.so\n"));

    // Another form of the line is not ours to take out.
    host.done("setup --method pam");
    let changed = format!("{STACK}session requisite pam_session_sandbox.so debug\n");
    host.write(SESSION, &changed, 0o644);
    host.refused("setup --method pam --undo", "was changed by hand");
    assert!(host.path(RECORD).exists());
    // Nor is a line that somebody else wrote before.
    host.write(SESSION, STACK, 0o644);
    host.done("setup --method pam --undo");
    host.write(SESSION, &changed, 0o644);
    host.write(NONINTERACTIVE, &changed, 0o644);
    assert!(host.done("setup --method pam").contains("already"));
    assert!(host.done("setup --method pam --undo").contains("nothing to do"));
    assert_eq!(host.read(SESSION), changed);
}

#[test]
fn a_line_that_would_keep_everybody_out_is_refused() {
    let host = Host::new();
    let put_back = |path: &str, mode| host.write(path, "", mode);
    fs::remove_file(host.path(MODULE)).unwrap();
    host.refused("setup --method pam", "pam_session_sandbox.so is not in /usr/lib/x86_64-linux-gnu/security");
    put_back(MODULE, 0o666);
    host.refused("setup --method pam", "others than root could change");
    put_back(MODULE, 0o644);
    put_back(HELPER, 0o644);
    host.refused("setup --method pam", "not executable");
    fs::remove_file(host.path(HELPER)).unwrap();
    host.refused("setup --method pam", "helper is not there");
    put_back(HELPER, 0o755);

    host.write("/etc/session-sandbox/mounts.toml", "version = 1\n[[profile]]\nnmae = 1\n", 0o644);
    host.refused("setup --method pam", "/etc/session-sandbox/mounts.toml:3");
    host.write("/etc/session-sandbox/mounts.toml", "version = 1\n", 0o666);
    host.refused("setup --method pam", "not trusted");
    fs::remove_file(host.path("/etc/session-sandbox/mounts.toml")).unwrap();

    host.write(SESSION, "session required \\", 0o644);
    host.refused("setup --method pam", "goes on in the next");
    host.write(SESSION, STACK, 0o644);
    host.refused("setup --method logind", "use `--method pam`");
    host.done("setup --method pam");
}

#[test]
fn what_others_could_have_put_there_is_not_followed() {
    let host = Host::new();
    host.write(SESSION, STACK, 0o666);
    host.refused("setup --method pam", "others than root could change it");
    host.write(SESSION, STACK, 0o644);
    fs::set_permissions(host.path("/etc/pam.d"), fs::Permissions::from_mode(0o777)).unwrap();
    host.refused("setup --method pam", "/etc/pam.d belongs to");
    fs::set_permissions(host.path("/etc/pam.d"), fs::Permissions::from_mode(0o755)).unwrap();

    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("common-session"), STACK).unwrap();
    fs::rename(host.path("/etc/pam.d"), host.path("/etc/pam.real")).unwrap();
    symlink(outside.path(), host.path("/etc/pam.d")).unwrap();
    host.refused("setup --method pam", "/etc/pam.d is a symbolic link");
    assert_eq!(fs::read_to_string(outside.path().join("common-session")).unwrap(), STACK);
    fs::remove_file(host.path("/etc/pam.d")).unwrap();
    fs::rename(host.path("/etc/pam.real"), host.path("/etc/pam.d")).unwrap();

    // The record, too, lies only where nobody else writes.
    fs::create_dir(host.path("/var")).unwrap();
    symlink(outside.path(), host.path("/var/lib")).unwrap();
    host.refused("setup --method pam", "/var/lib is a symbolic link");
}

#[test]
fn a_run_that_is_killed_leaves_old_files_or_new_ones_and_can_be_finished_or_taken_back() {
    let host = Host::new();
    let (old, new) = (STACK.to_owned(), format!("{STACK}{LINE}"));
    let start = Instant::now();
    host.done("setup --method pam");
    host.done("setup --method pam --undo");
    let mut whole = start.elapsed();
    let (mut killed, mut half) = (0, 0);
    for round in 0..400_u32 {
        let words = if round % 2 == 0 { "setup --method pam" } else { "setup --method pam --undo" };
        let mut child = host.command(words).stdout(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(whole * (round % 61) / 60);
        child.kill().unwrap();
        if child.wait().unwrap().code().is_none() {
            killed += 1;
            whole = whole * 11 / 10;
        } else {
            // Faster than it was thought to be.
            whole = whole * 3 / 4;
        }
        let now = [host.read(SESSION), host.read(NONINTERACTIVE)];
        assert!(now.iter().all(|text| *text == old || *text == new), "round {round}: {now:?}");
        half += usize::from(now[0] != now[1]);
        // A file that is new is on record, whatever else is not.
        assert!(now == [old.clone(), old.clone()] || host.path(RECORD).exists(), "round {round}");
        if round % 4 == 3 {
            host.done("setup --method pam --undo");
            assert_eq!([host.read(SESSION), host.read(NONINTERACTIVE)], [old.clone(), old.clone()]);
        }
    }
    eprintln!("killed {killed} of 400, {half} between two files");
    assert!(killed > 0, "the test is too slow for itself: none was killed");
    host.done("setup --method pam");
    host.done("setup --method pam --undo");
    let left: Vec<_> = fs::read_dir(host.path("/etc/pam.d"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.'))
        .collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn a_record_without_its_change_is_no_obstacle() {
    let host = Host::new();
    host.done("setup --method pam");
    // As after a crash between the two: on record, and not done.
    host.write(SESSION, STACK, 0o644);
    host.done("setup --method pam");
    assert_eq!(host.read(SESSION), format!("{STACK}{LINE}"));
    host.write(NONINTERACTIVE, STACK, 0o640);
    host.done("setup --method pam --undo");
    assert_eq!([host.read(SESSION), host.read(NONINTERACTIVE)], [STACK, STACK]);

    host.done("setup --method pam");
    host.write(RECORD, "{", 0o600);
    host.refused("setup --method pam --undo", "cannot be understood");
}

#[test]
fn two_at_the_same_time_do_not_get_into_each_others_way() {
    let host = Host::new();
    let children: Vec<_> = (0..6).map(|_| host.command("setup --method pam").output_later()).collect();
    let codes: Vec<i32> =
        children.into_iter().map(|child| said(&child.wait_with_output().unwrap()).0).collect();
    assert!(codes.contains(&0), "{codes:?}");
    assert_eq!(host.read(SESSION), format!("{STACK}{LINE}"));
    host.done("setup --method pam --undo");
    assert_eq!(host.read(SESSION), STACK);
}

trait Later {
    fn output_later(&mut self) -> std::process::Child;
}

impl Later for Command {
    fn output_later(&mut self) -> std::process::Child {
        self.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
    }
}

#[test]
fn consolekits_script_is_put_there_and_taken_away() {
    let host = Host::new();
    host.refused("setup --method consolekit", "there is no /etc/ConsoleKit");
    host.write("/etc/ConsoleKit/seats.d/x", "", 0o644);
    let before = host.read(SCRIPT);
    assert!(host.done("setup --method consolekit --dry-run").contains("+++ /etc/ConsoleKit/run-session.d"));
    assert_eq!(host.read(SCRIPT), before);
    host.done("setup --method consolekit");
    assert_eq!(host.mode(SCRIPT), 0o755);
    assert!(host.done("setup --method consolekit").contains("already"));

    let text = host.read(SCRIPT);
    host.write(SCRIPT, &format!("{text}# mine\n"), 0o755);
    host.refused("setup --method consolekit --undo", "was changed by hand");
    host.write(SCRIPT, &text, 0o755);
    host.done("setup --method consolekit --undo");
    assert!(!host.path(SCRIPT).exists());

    host.write(SCRIPT, "#!/bin/sh\n", 0o755);
    host.refused("setup --method consolekit", "is another script");
    fs::remove_file(host.path(SCRIPT)).unwrap();
    fs::remove_file(host.path("/usr/bin/session-enter")).unwrap();
    host.refused("setup --method consolekit", "/usr/bin/session-enter");
}

#[test]
fn consolekits_script_releases_only_what_it_has_prepared() {
    let host = Host::new();
    let log = host.path("/log");
    let enter = "#!/bin/sh\necho \"$@\" >>LOG\ncase $* in *--session\\ Bad*) exit 125 ;; esac\n"
        .replace("LOG", log.to_str().unwrap());
    host.write("/enter", &enter, 0o755);
    let script = include_str!("../src/setup/session-sandbox.ck")
        .replace("/usr/bin/session-enter", host.path("/enter").to_str().unwrap())
        .replace("/run/session-sandbox-consolekit", host.path("/held").to_str().unwrap());
    host.write("/script", &script, 0o755);
    let run = |action: &str, environment: &[(&str, &str)]| {
        let _ = fs::remove_file(&log);
        Command::new(host.path("/script"))
            .arg(action)
            .env_clear()
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        fs::read_to_string(&log).unwrap_or_default()
    };
    let session = [("CK_SESSION_ID", "/org/freedesktop/ConsoleKit/Session1"), ("CK_SESSION_USER_UID", "0")];
    let with = |more: &[(&'static str, &'static str)]| [&session[..], more].concat();
    assert_eq!(
        run(
            "session_added",
            &with(&[("CK_SESSION_DISPLAY_DEVICE", "/dev/tty1"), ("CK_SESSION_SERVICE", "gdm")])
        ),
        "--user root --session Session1 --service gdm --tty tty1 --prepare\n"
    );
    assert_eq!(run("session_active_changed", &session), "");
    assert_eq!(run("session_removed", &session), "--user root --release\n");
    assert_eq!(run("session_removed", &session), "", "released twice");
    // What could not be prepared is not released: that would be another session's.
    let bad = [("CK_SESSION_ID", "Bad"), ("CK_SESSION_USER_UID", "0")];
    assert!(run("session_added", &bad).contains("--prepare"));
    assert_eq!(run("session_removed", &bad), "");
    for odd in [
        [("CK_SESSION_ID", "..")],
        [("CK_SESSION_ID", "a b")],
        [("CK_SESSION_ID", "/")],
        [("CK_SESSION_USER_UID", "root")],
        [("CK_SESSION_USER_UID", "")],
    ] {
        let mut environment = session.to_vec();
        environment.retain(|(name, _)| *name != odd[0].0);
        assert_eq!(run("session_added", &[&environment[..], &odd[..]].concat()), "", "{odd:?}");
    }
}
