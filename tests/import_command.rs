//! `sessionctl import`, as it is typed: the map on one side, what is not in it on the other, and the exit status.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to stop")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use session_sandbox::config::{self, SourceFile};

fn import(kind: &str, file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sessionctl"))
        .args(["import", "--from", kind])
        .arg(file)
        .output()
        .unwrap()
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

/// The profiles of a map by name, each with the targets of its mounts.
fn profiles(map: &str) -> Vec<(String, Vec<String>)> {
    let policy = config::parse(&[SourceFile { name: "imported".to_owned(), text: map.to_owned() }]).unwrap();
    let targets = |profile: &session_sandbox::model::policy::Profile| {
        profile.mounts.iter().map(|mount| mount.target.source().to_owned()).collect()
    };
    policy.profiles.iter().map(|profile| (profile.name.clone(), targets(profile))).collect()
}

#[test]
fn a_file_that_is_carried_over_whole_is_a_success_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chroot.conf");
    std::fs::write(&file, "bob /srv/jails/bob\n").unwrap();
    let output = import("pam_chroot", &file);
    let (map, told) = texts(&output);
    assert_eq!((output.status.code(), told.as_str()), (Some(0), ""));
    assert_eq!(profiles(&map)[0].0, "line-1");
}

#[test]
fn each_loss_is_told_with_its_line_and_is_in_the_map() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chroot.conf");
    std::fs::write(&file, "# jails\nbob /srv/a\n^stu(.*)$ /srv/%1\n\x1b[2Jeve\n").unwrap();
    let output = import("pam_chroot", &file);
    let (map, told) = texts(&output);
    assert_eq!(output.status.code(), Some(3));
    assert!(map.contains("# Not here: line 3: ^stu(.*)$ /srv/%1\n"), "{map}");
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 2, "{told}");
    for (line, at) in lines.into_iter().zip([3, 4]) {
        assert!(line.starts_with(&format!("{}:{at}: ", file.display())), "{line}");
    }
    assert!(!told.contains('\x1b') && !map.contains('\x1b'), "the terminal is left alone");
}

#[test]
fn a_pattern_that_matches_more_than_it_says_is_told_with_this_hosts_groups() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chroot.conf");
    // `root` is a group everywhere.
    std::fs::write(&file, "@oot /srv/a\n").unwrap();
    let (map, _) = texts(&import("pam_chroot", &file));
    let words = map.replace("\n# ", " ");
    assert!(words.contains("this also matches the group root."), "{map}");
}

#[test]
fn the_files_that_a_schroot_names_are_read_where_they_lie() {
    let folder = tempfile::tempdir().unwrap();
    let schroot = folder.path().join("schroot");
    std::fs::create_dir(&schroot).unwrap();
    std::fs::create_dir(schroot.join("default")).unwrap();
    std::fs::write(schroot.join("schroot.conf"), "[sid]\ntype=directory\ndirectory=/srv/sid\nusers=bob\n")
        .unwrap();
    std::fs::write(schroot.join("default/copyfiles"), "/etc/resolv.conf\n").unwrap();
    std::fs::write(schroot.join("default/nssdatabases"), "passwd\ngroup\n").unwrap();
    let output = import("schroot", &schroot.join("schroot.conf"));
    let (map, told) = texts(&output);
    let (name, targets) = profiles(&map).remove(0);
    assert_eq!(name, "schroot-sid");
    assert_eq!(targets, ["/", "/etc/resolv.conf", "/etc/passwd", "/etc/group"], "{map}");
    // The list of mounts alone remains to be imported by itself.
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.contains("setup.fstab=default/fstab"), "{told}");
}

#[test]
fn a_schroot_leads_to_no_file_outside_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "/etc/secret\n").unwrap();
    std::fs::create_dir(folder.path().join("schroot")).unwrap();
    for name in ["../secret".to_owned(), secret.display().to_string(), "x/../../secret".to_owned()] {
        let file = folder.path().join("schroot/schroot.conf");
        let text = format!("[sid]\ntype=directory\ndirectory=/srv/sid\nusers=bob\nsetup.copyfiles={name}\n");
        std::fs::write(&file, text).unwrap();
        let output = import("schroot", &file);
        let (map, told) = texts(&output);
        assert!(!map.contains("/etc/secret"), "{name}: {map}");
        assert!(told.contains("schroot.conf:5: setup.copyfiles="), "{name}: {told}");
        assert_eq!(output.status.code(), Some(3));
    }
}

#[test]
fn what_is_piped_in_is_read_as_well() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sessionctl"))
        .args(["import", "--from", "fstab", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"/data /data none bind,ro 0 0\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let (map, told) = texts(&output);
    assert_eq!((output.status.code(), told.as_str()), (Some(0), ""), "{map}");
    assert_eq!(profiles(&map)[0].1, ["/data"]);
}

#[test]
fn a_file_that_cannot_be_read_is_one_error() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("nothing");
    for (kind, file, says) in
        [("pam_chroot", missing.as_path(), "is missing"), ("bwrap", folder.path(), "is not a regular file")]
    {
        let output = import(kind, file);
        let (map, told) = texts(&output);
        assert_eq!((map.as_str(), output.status.code()), ("", Some(125)), "{told}");
        assert!(told.contains(says) && told.contains("\n  help: "), "{told}");
    }
    let output = import("pam_chrot", &missing);
    let (_, told) = texts(&output);
    assert!(told.contains("pam_chroot"), "the kinds are told: {told}");
}
