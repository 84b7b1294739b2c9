//! Whatever other programs' configuration holds, what it becomes is a map, made in no time, and nothing goes unsaid.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to stop")]

use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::Config;
use session_sandbox::compat::{Kind, import};
use session_sandbox::config::{self, SourceFile};
use session_sandbox::model::facts::PathFact;
use session_sandbox::model::name::UserName;
use session_sandbox::model::path::AbsPath;
use session_sandbox::model::subject::Door;
use session_sandbox::{Facts, Policy, Request, Subject, plan};

const READ: [Kind; 3] = [Kind::Fstab, Kind::Bwrap, Kind::Systemd];

/// A map is one; what is lost has a reason and a place, and is said in the map unless there is too much of it.
fn check(kind: Kind, text: &str) {
    let began = Instant::now();
    let imported = import(kind, text);
    // Of a machine that does much else; it takes some thousandths of that.
    assert!(began.elapsed() < Duration::from_secs(10), "{kind:?}: {:?}", began.elapsed());
    let file = SourceFile { name: "imported".to_owned(), text: imported.map.clone() };
    let policy =
        config::parse(&[file]).unwrap_or_else(|wrong| panic!("{kind:?} {text:?}: {wrong}\n{}", imported.map));
    assert_eq!(policy.profiles.len(), 1, "{}", imported.map);
    plan_on_a_host_with_everything(&policy)
        .unwrap_or_else(|wrong| panic!("{kind:?} {text:?}: {wrong}\n{}", imported.map));
    assert!(imported.map.len() < 256 * 1024, "{} bytes", imported.map.len());
    assert!(imported.losses.len() <= 2500);
    for loss in &imported.losses {
        assert!(loss.line >= 1 && !loss.reason.is_empty() && loss.text.len() < 1000, "{loss:?}");
        assert!(!loss.text.chars().any(char::is_control), "{loss:?}");
    }
    assert_eq!(imported, import(kind, text), "twice the same");
}

/// Where each path leads to a directory, nothing is in the way of anything else.
fn plan_on_a_host_with_everything(policy: &Policy) -> Result<(), String> {
    let subject = Subject {
        name: UserName::new("bob").unwrap(),
        uid: 1000,
        gid: 1000,
        groups: vec![1000],
        group_name: "bob".to_owned(),
        home: AbsPath::new("/home/bob").unwrap(),
        shell: AbsPath::new("/bin/sh").unwrap(),
        door: Door::command_line(),
    };
    let mut facts = Facts { privileged: true, makes_devices: true, ..Facts::default() };
    facts.kernel.nosymfollow = true;
    let questions = plan::mount_questions(&policy.profiles[0], &subject);
    facts.paths.extend(questions.into_iter().map(|question| (question, PathFact::Directory)));
    let request = Request { profile: Some("imported".to_owned()), ..Request::default() };
    plan::plan(policy, &subject, &request, &facts).map(drop).map_err(|errors| format!("{errors:?}"))
}

/// Words that mean something to one of the readers, and some that break things.
fn token() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "--bind",
        "--ro-bind",
        "--dev-bind-try",
        "--tmpfs",
        "--proc",
        "--dev",
        "--mqueue",
        "--dir",
        "--symlink",
        "--remount-ro",
        "--perms",
        "--size",
        "--chmod",
        "--setenv",
        "--unsetenv",
        "--clearenv",
        "--cap-add",
        "--",
        "bwrap",
        "--file",
        "/",
        "/a",
        "/a/b",
        "/a/b/c",
        "/usr",
        "/proc",
        "/dev",
        "/dev/pts",
        "/dev/null",
        "/x",
        "/home",
        "/%",
        "%h",
        "%h/x",
        "%u",
        "%",
        "$HOME",
        "~",
        "'",
        "\"",
        "\\",
        "\n",
        "0700",
        "7777777",
        "99999999999999999999",
        "0",
        "CAP_SYS_ADMIN",
        "ALL",
        "PATH",
        "LD_X",
        "A=B",
        "none",
        "bind",
        "rbind,ro,rw",
        "tmpfs",
        "size=1M,mode=0",
        "proc",
        "ext4",
        "defaults",
        "\\040",
        "#",
        ";",
        "=",
        "\nBindPaths=",
        "\nReadOnlyPaths=",
        "\nInaccessiblePaths=-",
        "\nTemporaryFileSystem=",
        "\nProtectSystem=",
        "strict",
        "\nNoExecPaths=/",
        "\nExecPaths=",
        "\nEnvironment=",
        "\nCapabilityBoundingSet=",
        "\nRootDirectory=",
        "\n[Service]\n",
        "\nPrivateTmp=yes",
        "\nPrivateDevices=yes",
        "\nProtectHome=",
        "tmpfs",
        "yes",
        ":",
        "/a:/b",
        ":norbind",
        "[[[[",
        "{{{",
        "]",
        "\u{202e}",
        "\u{0}",
        "\u{fffd}",
        "..",
        "/../",
        "//",
        "\u{85}",
        "\r",
    ]);
    prop_oneof![6 => known.prop_map(str::to_owned), 1 => "\\PC{0,12}", 1 => "/[a-z/%\\[{]{0,300}"]
}

fn config(cases: u32) -> Config {
    Config { cases, failure_persistence: None, ..Config::default() }
}

proptest! {
    #![proptest_config(config(2000))]

    #[test]
    fn any_text_becomes_a_map(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let text = String::from_utf8_lossy(&bytes);
        READ.iter().for_each(|kind| check(*kind, &text));
    }

    #[test]
    fn any_words_become_a_map(
        words in prop::collection::vec((token(), "[ \\n\\x00]?"), 0..60), kind in prop::sample::select(READ.to_vec())
    ) {
        let text: String = words.iter().flat_map(|(word, between)| [word.as_str(), between.as_str()]).collect();
        check(kind, &text);
    }

    #[test]
    fn any_lines_of_well_formed_parts_become_a_map(
        words in prop::collection::vec(prop::collection::vec(token(), 1..6), 0..12), kind in prop::sample::select(READ.to_vec())
    ) {
        let glue = if kind == Kind::Bwrap { "\u{0}" } else { " " };
        let lines: Vec<String> = words.iter().map(|words| words.join(glue)).collect();
        check(kind, &lines.join(if kind == Kind::Bwrap { "\u{0}" } else { "\n" }));
    }
}

#[test]
fn long_texts_are_cut_and_said_to_be() {
    for kind in READ {
        for line in [
            "--tmpfs /a/b ",
            "/x /a/b none bind\n",
            "BindPaths=/a/b\n",
            "--x ",
            "odd\n",
            "# c\n",
            "[",
            "'",
            "\\\n",
            "--setenv A \n",
        ] {
            check(kind, &line.repeat(400_000 / line.len()));
        }
        let many: String = (0..3000)
            .map(|n| format!("--bind /{n} /{n} \n/{n} /{n} none bind\nBindPaths=/{n}:/{n}\n"))
            .collect();
        check(kind, &many);
    }
}
