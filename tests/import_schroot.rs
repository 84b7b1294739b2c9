//! `schroot.conf` as a map: what each key becomes, and that any text becomes a map that is read.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a test fails by panicking"
)]

use std::time::Instant;

use proptest::prelude::*;

use session_sandbox::Policy;
use session_sandbox::compat::{Imported, Kind, import, schroot};
use session_sandbox::config::{self, SourceFile};
use session_sandbox::model::policy::{MountKind, Profile};

/// The map that it becomes, on top of the one that is shipped.
fn read(imported: Imported) -> (Policy, Imported) {
    let drop_in = SourceFile { name: "50-schroot.toml".to_owned(), text: imported.map.clone() };
    let policy = config::parse(&[config::built_in_file(), drop_in])
        .unwrap_or_else(|found| panic!("{found}\n{}", imported.map));
    (policy, imported)
}

fn imported(text: &str) -> (Policy, Imported) {
    read(import(Kind::Schroot, text))
}

fn profile<'p>(policy: &'p Policy, name: &str) -> &'p Profile {
    policy
        .profiles
        .iter()
        .find(|profile| profile.name == name)
        .unwrap_or_else(|| panic!("no {name}: {policy:?}"))
}

fn root_of(profile: &Profile) -> (&str, bool) {
    match &profile.mounts[0].kind {
        MountKind::Bind { source, attributes, .. } => (source.source(), attributes.read_only),
        other => panic!("{other:?}"),
    }
}

fn losses(imported: &Imported) -> Vec<(usize, &str)> {
    imported.losses.iter().map(|loss| (loss.line, loss.text.as_str())).collect()
}

const SID: &str = "# chroots\n[sid]\ndescription=Debian sid \
 (unstable)\ntype=directory\ndirectory=/srv/chroot/sid\n\
    users=bob,alice\ngroups=sbuild\nroot-groups=root\naliases=unstable,default\n\
    shell=/bin/bash\npersonality=linux\npreserve-environment=true\n";

#[test]
fn a_directory_is_a_profile_for_session_enter() {
    let (policy, found) = imported(SID);
    let sid = profile(&policy, "schroot-sid");
    assert_eq!(root_of(sid), ("/srv/chroot/sid", false));
    assert_eq!((sid.mounts.len(), sid.mounts[0].target.source()), (1, "/"));
    assert_eq!(sid.matches.user, ["alice", "bob"]);
    assert_eq!((&sid.matches.service[..], sid.matches.group.len()), (&["session-enter".to_owned()][..], 0));
    assert_eq!(sid.settings.shell.as_ref().map(|shell| shell.as_str()), Some("/bin/bash"));
    // One of the two is enough there, and in a `match` both would have to hold.
    let group = profile(&policy, "schroot-sid-group");
    assert_eq!((&group.matches.group[..], group.matches.user.len()), (&["sbuild".to_owned()][..], 0));
    assert_eq!((root_of(group), group.settings.shell.is_some()), (("/srv/chroot/sid", false), true));
    // Before anything of the map below, which is as it was.
    let names: Vec<&str> = policy.profiles.iter().map(|profile| profile.name.as_str()).collect();
    assert_eq!(names, ["schroot-sid", "schroot-sid-group", "login", "command"]);
    assert_eq!(
        losses(&found),
        [
            (2, "setup.fstab=default/fstab"),
            (2, "setup.copyfiles=default/copyfiles"),
            (2, "setup.nssdatabases=default/nssdatabases"),
            (8, "root-groups=root"),
            (9, "aliases=unstable,default"),
            (12, "preserve-environment=true"),
        ]
    );
    assert!(found.map.contains("# Line 2: [sid]: Debian sid (unstable)\n"), "{}", found.map);
    for loss in &found.losses {
        assert!(found.map.contains(&format!("# Line {}: {}", loss.line, loss.text)), "{}", found.map);
    }
}

#[test]
fn without_users_and_groups_it_is_roots() {
    for text in ["[a]\ndirectory=/c", "[a]\ntype=plain\ndirectory=/c\nusers=\ngroups=,\n"] {
        let (policy, found) = imported(text);
        assert_eq!(profile(&policy, "schroot-a").matches.user, ["root"], "{text}");
        // A plain one has no setup whose files would be missing.
        assert_eq!(losses(&found), [], "{text}");
    }
}

#[test]
fn what_a_union_would_throw_away_is_not_written_at_all() {
    let (policy, found) = imported(
        "[a]\ntype=directory\ndirectory=/c\nunion-type=overlayfs\nsetup.fstab=\nsetup.copyfiles=\nsetup.nssdatabases=\n",
    );
    assert_eq!(root_of(profile(&policy, "schroot-a")), ("/c", true));
    assert_eq!(losses(&found), [(4, "union-type=overlayfs")]);
    let (policy, found) = imported("[a]\ndirectory=/c\nunion-type=overlay\n");
    assert_eq!(
        (root_of(profile(&policy, "schroot-a")).1, losses(&found)),
        (false, vec![(3, "union-type=overlay")])
    );
    let (policy, found) = imported("[a]\ndirectory=/c\nunion-type=none\n");
    assert_eq!((root_of(profile(&policy, "schroot-a")).1, found.losses.len()), (false, 0));
}

#[test]
fn chroots_that_are_no_directory_are_left_out_with_the_reason() {
    for (text, why) in [
        ("[a]\ntype=file\nfile=/a.tar", "archive"),
        ("[a]\ntype=block-device\ndevice=/dev/sda", "disk"),
        ("[a]\ntype=btrfs-snapshot", "snapshot"),
        ("[a]\ntype=floppy", "no type"),
        ("[a]\ntype=\ndirectory=/c", "no type"),
        ("[a]\ntype=directory\ndirectory = /c", "no `directory`"),
        ("[a]\ntype=directory", "no `directory`"),
        ("[a]\ndirectory=", "no `directory`"),
        ("[a]\ndirectory=c", "no such path"),
        ("[a]\ndirectory=/a/../b", "no such path"),
        ("[a]\ndirectory=/", "whole host"),
    ] {
        let (policy, found) = imported(text);
        assert_eq!(policy.profiles.len(), 2, "{text}");
        let [loss] = &found.losses[..] else { panic!("{text}: {:?}", found.losses) };
        assert!(loss.line == 1 && loss.text == "[a]" && loss.reason.contains(why), "{text}: {loss:?}");
    }
}

#[test]
fn names_are_made_to_fit_and_people_who_cannot_be_are_told() {
    let (policy, found) =
        imported("[Sid]\ndirectory=/c%d\nusers=bob,500,b*b\n[sid]\ndirectory=/d\ngroups=500,staff a@b\n");
    assert_eq!(root_of(profile(&policy, "schroot-sid")).0, "/c%%d");
    assert_eq!(profile(&policy, "schroot-sid").matches.user, ["bob"]);
    assert_eq!(profile(&policy, "schroot-sid-2").matches.group, ["a@b", "staff"]);
    let told: Vec<usize> = found.losses.iter().map(|loss| loss.line).collect();
    assert_eq!(told, [3, 3, 6]);
}

#[test]
fn files_that_are_given_become_binds() {
    let files = [
        ("desktop/copyfiles", "# files\n/etc/resolv.conf\n\n/etc/resolv.conf\n/etc/a b\nrelative\n/\n"),
        ("own/databases", "passwd\ngroup\nshadow\n../x\n"),
        ("desktop/nssdatabases", "hosts\n"),
    ];
    let text =
        "[a]\ntype=directory\nprofile=desktop\ndirectory=/c\nusers=bob\nsetup.nssdatabases=own/databases\n";
    let (policy, found) = read(schroot::import_with(text, &files));
    let targets: Vec<(&str, bool)> = profile(&policy, "schroot-a").mounts[1..]
        .iter()
        .map(|rule| match &rule.kind {
            MountKind::Bind { attributes, follow_symlinks: true, .. } => {
                (rule.target.source(), attributes.read_only)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = ["/etc/resolv.conf", "/etc/a b", "/etc/passwd", "/etc/group", "/etc/shadow"];
    assert_eq!(targets, expected.map(|path| (path, true)));
    let mut told = losses(&found);
    told.sort_unstable();
    let expected = [
        (3, "setup.fstab=desktop/fstab"),
        (4, "own/databases: ../x"),
        (6, "desktop/copyfiles: relative"),
        (7, "desktop/copyfiles: /"),
    ];
    assert_eq!(told, expected);
}

#[test]
fn what_schroot_refuses_the_file_for_is_a_loss() {
    let (policy, found) = imported("x=1\n[a]\ndirectory=/c\nword\ndirectory=/d\n[a]\ndirectory=/e\n");
    assert_eq!(root_of(profile(&policy, "schroot-a")).0, "/c");
    assert_eq!(losses(&found), [(1, "x=1"), (4, "word"), (5, "directory=/d"), (6, "[a]")]);
    let (policy, found) = imported("# nothing\n");
    assert_eq!((policy.profiles.len(), found.losses.len()), (2, 0));
}

#[test]
fn more_than_a_map_can_say_is_said_to_be_too_much() {
    let many: String =
        (0..200).map(|at| format!("[c{at}]\ndirectory=/c{at}\nusers=bob\ngroups=staff\n")).collect();
    let (policy, found) = imported(&many);
    assert_eq!((policy.profiles.len(), found.losses.len()), (130, 136));
    let names: String = (0..60_000).map(|at| format!("user{at},")).collect();
    let (policy, found) = imported(&format!("[a]\ndirectory=/c\nusers={names}\n"));
    assert_eq!(policy.profiles.len(), 2);
    assert!(found.losses[0].reason.contains("divide it") && found.map.len() < 10_000);
}

/// Pieces of a file, most of which fit together.
const PIECES: [&str; 40] = [
    "\n",
    "\n",
    "\n",
    "[",
    "]",
    "[sid]\n",
    "[a]\n",
    "=",
    "#",
    "type=directory\n",
    "type=plain\n",
    "type=file\n",
    "directory=/c\n",
    "directory=/c%h\n",
    "directory=",
    "users=bob\n",
    "users=",
    "groups=staff\n",
    "root-users=bob\n",
    "aliases=x,y\n",
    "profile=x\n",
    "setup.fstab=\n",
    "setup.copyfiles=f\n",
    "setup.nssdatabases=f\n",
    "union-type=aufs\n",
    "shell=/bin/sh\n",
    "shell=sh\n",
    "my.own=1\n",
    "description=\"]\u{202e}\n",
    "description[de]=x\n",
    ",",
    "/",
    " ",
    "\t",
    "\r",
    "\\",
    "\"",
    "'''",
    "\u{e4}",
    "command-prefix=a,b\n",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_becomes_a_map_that_is_read(
        text in prop_oneof![
            prop::collection::vec(prop::sample::select(&PIECES[..]), 0..120).prop_map(|pieces| pieces.concat()),
            prop::collection::vec(any::<u8>(), 0..400).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
            ".{0,200}",
        ],
        list in prop_oneof!["(/[a-c/. %\"]{0,6}\n?){0,9}", "([a-z/.%\"#]{0,6}\n?){0,9}", ".{0,100}"],
    ) {
        let began = Instant::now();
        let files = [("f", list.as_str()), ("default/copyfiles", &list), ("x/nssdatabases", &list)];
        for (_, found) in [imported(&text), read(schroot::import_with(&text, &files))] {
            prop_assert!(found.map.len() < 256 * 1024);
            let odd = |letter: char| letter.is_control() && letter != '\n' || letter == '\u{202e}';
            prop_assert!(!found.map.contains(odd), "{:?}", found.map);
            for loss in &found.losses {
                prop_assert!(loss.line >= 1 && !loss.reason.is_empty());
                prop_assert!(!loss.text.contains(|letter: char| letter.is_control()));
            }
        }
        prop_assert!(began.elapsed().as_secs() < 5);
    }
}
