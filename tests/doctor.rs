//! `sessionctl doctor` on hosts that lie in a folder. Needs no privilege.
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
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use fake_host::{Host, LINE, MODULE, said, unwrapped};

#[test]
fn doctor_names_what_is_wrong_and_ends_with_1_for_it() {
    let host = Host::new();
    host.write("/etc/pam.d/vsftpd", "session required pam_loginuid.so\n", 0o644);
    host.write("/usr/lib/pam.d/systemd-user", "session include common-session-noninteractive\n", 0o644);
    let (code, said) = host.run("doctor");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("WRONG  pam: no login opens a view"), "{said}");

    host.done("setup --method pam");
    let (code, said) = host.run("doctor");
    assert_eq!(code, 1, "{said}");
    let put = "vsftpd the host's view NOT covered: put `session requisite pam_session_sandbox.so`";
    assert!(unwrapped(&said).contains(put), "{said}");
    assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
    assert!(said.contains("1 thing is to be put right"), "{said}");

    host.write("/etc/pam.d/vsftpd", &format!("session required pam_loginuid.so\n{LINE}"), 0o644);
    assert!(host.done("doctor").ends_with("all is well\n"));
    let json: serde_json::Value = serde_json::from_str(&host.done("doctor --json")).unwrap();
    assert_eq!(json["well"], true);
    let names: Vec<_> = json["services"].as_array().unwrap().iter().map(|it| it["name"].as_str()).collect();
    assert_eq!(names, [Some("other"), Some("sshd"), Some("systemd-user"), Some("vsftpd")]);

    for (path, text, why) in [
        ("/etc/ssh/sshd_config.d/a.conf", "UsePAM no\n", "a.conf:1: `UsePAM no`"),
        ("/etc/ssh/sshd_config.d/a.conf", "ChrootDirectory /srv\n", "ChrootDirectory /srv"),
        ("/etc/pam.d/vsftpd", "session optional pam_session_sandbox.so\n", "`optional` lets a login"),
        ("/etc/group", "root:x:0:\n", "no group session-sandbox-exempt"),
        ("/etc/session-sandbox/mounts.toml", "version = 2\n", "WRONG  map:"),
    ] {
        let before = host.read(path);
        host.write(path, text, 0o644);
        let (code, said) = host.run("doctor");
        assert!(code == 1 && unwrapped(&said).contains(&unwrapped(why)), "{why}: {code} {said}");
        if before.is_empty() {
            fs::remove_file(host.path(path)).unwrap();
        } else {
            host.write(path, &before, 0o644);
        }
    }
    host.done("doctor");
    // What cannot be trusted is said, and the rest is looked at all the same.
    host.write("/etc/pam.d/open", LINE, 0o666);
    let (code, said) = host.run("doctor");
    assert!(code == 1 && unwrapped(&said).contains("cannot trust /etc/pam.d/open"), "{said}");
    assert!(said.contains("ok     map:"), "{said}");
    fs::remove_file(host.path("/etc/pam.d/open")).unwrap();
    fs::remove_file(host.path(MODULE)).unwrap();
    assert_eq!(host.run("doctor").0, 1);
}

#[test]
fn doctor_says_what_a_login_through_pam_cannot_have() {
    let host = Host::new();
    host.done("setup --method pam");
    let said = |profile: &str| {
        let map = format!("version = 1\n[[profile]]\nname = \"p\"\n{profile}\n");
        host.write("/etc/session-sandbox/mounts.toml", &map, 0o644);
        let (code, said) = host.run("doctor --json");
        let report: serde_json::Value = serde_json::from_str(&said).unwrap();
        let texts = report["checks"].as_array().unwrap().iter().filter_map(|check| check["text"].as_str());
        let (beyond, other): (Vec<&str>, Vec<&str>) = texts
            .filter(|text| text.contains("profile \"p\""))
            .partition(|text| text.contains("hold for session-enter"));
        // Said of every map that a login through PAM can come to.
        assert_eq!(beyond.is_empty(), profile.contains("\"session-enter\"") || profile.contains("\"view\""));
        (code, other.concat())
    };
    assert_eq!(said("isolation = \"view\""), (0, String::new()));
    assert_eq!(said("wall = \"none\""), (0, String::new()));
    let (code, line) = said("wall = \"landlock\"");
    assert!(code == 1 && line.contains("mounts.toml:2") && line.contains("are refused"), "{line}");
    let (code, line) = said("wall = \"pidns\"");
    assert!(code == 0 && line.contains("there is no `systemd --user`"), "{line}");
    for matches in ["service = [\"sshd\"]", "not_service = [\"systemd-*\"]", "service = [\"session-enter\"]"]
    {
        let settings = format!("wall = \"pidns\"\nmatch = {{ {matches} }}");
        assert_eq!(said(&settings), (0, String::new()), "{matches}");
    }
    assert_eq!(said("wall = \"landlock\"\nmatch = { service = [\"session-enter\"] }"), (0, String::new()));
}

#[test]
fn doctor_comes_to_an_end_whatever_the_files_hold() {
    let host = Host::new();
    host.done("setup --method pam");
    host.write("/etc/pam.d/a", "@include b\n@include /etc/pam.d/../shadow\nsession\n[\n\\", 0o644);
    host.write("/etc/pam.d/b", "session substack a\nsession include a\n", 0o644);
    host.write("/etc/ssh/sshd_config", "UsePAM yes\nInclude sshd_config ../x [ * * *\n", 0o644);
    symlink("nowhere", host.path("/etc/pam.d/c")).unwrap();
    let start = Instant::now();
    let (code, said) = host.run("doctor");
    assert_eq!(code, 1, "{said}");
    assert!(unwrapped(&said).contains("cannot be read"), "{said}");
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn doctor_names_folders_that_others_could_change_with_what_mends_them() {
    let host = Host::new();
    host.done("setup --method pam");
    host.write("/etc/session-sandbox/mounts.d/.kept", "", 0o644);
    host.write("/etc/session.d/open/10-x", "#!/bin/sh\n", 0o755);
    host.write("/var/lib/workspace/bob/x", "", 0o644);
    host.write("/run/session-sandbox/boot", "", 0o600);
    host.set_mode("/run/session-sandbox", 0o700);
    let well = host.done("doctor");
    assert!(unwrapped(&well).contains("ok permissions: only root can change the map"), "{well}");
    for (path, mode, help) in [
        ("/etc/session-sandbox", 0o775, "chmod go-w /etc/session-sandbox`"),
        ("/etc/session-sandbox/mounts.d", 0o757, "chmod go-w /etc/session-sandbox/mounts.d`"),
        ("/etc/session.d", 0o775, "chmod go-w /etc/session.d`"),
        ("/etc/session.d/open", 0o777, "chmod go-w /etc/session.d/open`"),
        ("/var/lib/workspace", 0o777, "chmod go-w /var/lib/workspace`"),
        // What leads there counts as well, and is named once.
        ("/var/lib", 0o777, "chmod go-w /var/lib`"),
        ("/run/session-sandbox", 0o755, "chmod 0700 /run/session-sandbox`"),
    ] {
        let before = host.mode(path);
        host.set_mode(path, mode);
        let (code, said) = host.run("doctor");
        assert!(code == 1 && unwrapped(&said).contains(&format!("help: `{help}")), "{path}: {said}");
        assert_eq!(said.matches("WRONG  permissions: ").count(), 1, "{path}: {said}");
        host.set_mode(path, before);
    }
    host.done("doctor");
}

#[test]
fn doctor_says_of_which_programs_there_is_no_service() {
    let host = Host::new();
    host.done("setup --method pam");
    host.write("/usr/sbin/cron", "", 0o755);
    host.write("/usr/sbin/sshd", "", 0o755);
    let said = host.done("doctor");
    assert!(said.contains("\ncron     the user's view  (common-session:4)\n"), "{said}");
    assert!(unwrapped(&said).contains("note: /usr/sbin/cron is there, and no file for it"), "{said}");
    assert_eq!(said.matches("\nsshd ").count(), 1, "{said}");
    host.write("/etc/pam.d/other", "session required pam_unix.so\n", 0o644);
    let (code, said) = host.run("doctor");
    let put = "cron the host's view NOT covered: put `session requisite pam_session_sandbox.so`";
    assert!(code == 1 && unwrapped(&said).contains(put), "{said}");
    // What refuses everybody is no way around.
    host.write("/etc/pam.d/other", "session required pam_deny.so\n", 0o644);
    host.done("doctor");
}

#[test]
fn doctor_says_who_can_jump_over_the_module() {
    let host = Host::new();
    host.done("setup --method pam");
    let jump = format!("session [default=1 success=ignore] pam_succeed_if.so uid > 999\n{LINE}");
    host.write("/etc/pam.d/su", &jump, 0o644);
    let said = host.done("doctor");
    assert!(unwrapped(&said).contains("pam_succeed_if.so (su:1) can jump over the module"), "{said}");
}

#[test]
fn doctor_says_of_a_host_in_a_folder_nothing_that_only_a_running_one_can_tell() {
    let host = Host::new();
    let (_, said) = host.run("doctor --json");
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["facilities"], serde_json::json!([]));
    let about = |it: &serde_json::Value| it["about"].as_str().unwrap().to_owned();
    let found: Vec<String> = report["checks"].as_array().unwrap().iter().map(about).collect();
    for live in ["kernel", "sysctl", "namespaces", "propagation", "lsm", "state"] {
        assert!(!found.iter().any(|about| about == live), "{found:?}");
    }
}

#[test]
fn what_only_root_can_see_is_a_note_to_everybody_else() {
    let host = Host::new();
    host.done("setup --method pam");
    host.write("/etc/pam.d/hidden", LINE, 0o644);
    host.write("/etc/pam.d/ftp", "session include hidden-lines\n", 0o644);
    host.write("/etc/pam.d/hidden-lines", LINE, 0o644);
    host.write("/etc/session-sandbox/mounts.toml", "version = 1\n", 0o644);
    // setup leaves it as it was: not for everybody to read.
    host.set_mode("/etc/pam.d/common-session-noninteractive", 0o644);
    let hidden = [
        "/etc/pam.d/hidden",
        "/etc/pam.d/hidden-lines",
        "/etc/ssh/sshd_config",
        "/etc/session-sandbox",
        "/usr/libexec/session-sandbox",
    ];
    for path in hidden {
        host.set_mode(path, 0);
    }
    // Root sees everything; so it looks as nobody, with a program that nobody can reach.
    let programs = tempfile::tempdir().unwrap();
    for folder in [programs.path(), &host.path("/")] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let program = programs.path().join("sessionctl");
    fs::copy(env!("CARGO_BIN_EXE_sessionctl"), &program).unwrap();
    let mut command = Command::new(program);
    command.arg("doctor").arg("--root").arg(host.path("/")).current_dir("/");
    if rustix::process::geteuid().is_root() {
        command.gid(65534).uid(65534);
    }
    let (code, said) = said(&command.output().unwrap());
    for path in hidden {
        host.set_mode(path, 0o755);
    }
    assert_eq!(code, 0, "{said}");
    for name in ["hidden", "hidden-lines", "ftp"] {
        let row = said.lines().find(|line| line.split(' ').next() == Some(name)).unwrap();
        assert!(row.ends_with("  needs root to be seen"), "{said}");
    }
    for about in ["pam", "helper", "map", "permissions", "sshd"] {
        let note = format!("\nnote   {about}: needs root to be seen: ");
        assert!(said.contains(&note), "{about}: {said}");
    }
    assert!(!said.contains("WRONG"), "{said}");
}
