//! What the shipped map gives on the layouts that distributions have: merged or split /usr, with or without /lib64,
//! /opt and the rest. The facts are written by hand, so that every layout is planned on every host.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

use session_sandbox::explain::{Account, Screen};
use session_sandbox::model::facts::{Look, PathFact};
use session_sandbox::model::name::UserName;
use session_sandbox::model::path::AbsPath;
use session_sandbox::model::policy::Mode;
use session_sandbox::model::subject::Door;
use session_sandbox::plan::step::{Make, Mount, TreeStep};
use session_sandbox::plan::{self, Command, Plan, lint};
use session_sandbox::{Facts, Request, Subject, config};

fn path(text: &str) -> AbsPath {
    AbsPath::new(text).unwrap()
}

fn bob(service: &str) -> Subject {
    Subject {
        name: UserName::new("bob").unwrap(),
        uid: 1001,
        gid: 100,
        groups: vec![27, 100],
        group_name: "users".to_owned(),
        home: path("/home/bob"),
        shell: path("/bin/bash"),
        door: Door { service: service.to_owned(), ..Door::command_line() },
    }
}

fn root() -> Subject {
    Subject {
        name: UserName::new("root").unwrap(),
        uid: 0,
        gid: 0,
        groups: vec![0],
        group_name: "root".to_owned(),
        home: path("/root"),
        ..bob("sshd")
    }
}

/// A host with these directories and links (`/bin -> usr/bin`), and the devices that every host has.
fn host(entries: &[&str]) -> Facts {
    let mut facts = Facts { privileged: true, makes_devices: true, tty_group: Some(5), ..Facts::default() };
    for device in ["null", "zero", "full", "random", "urandom", "tty"] {
        facts.paths.insert((Look::Root, path(&format!("/dev/{device}"))), PathFact::Device);
    }
    for entry in entries {
        let (place, fact) = match entry.split_once(" -> ") {
            Some((place, to)) => (place, PathFact::Symlink(to.to_owned())),
            None => (*entry, PathFact::Directory),
        };
        for look in [Look::Root, Look::User, Look::RootFollowing, Look::UserFollowing] {
            facts.paths.insert((look, path(place)), fact.clone());
        }
    }
    facts
}

const DEBIAN: &[&str] = &[
    "/usr",
    "/bin -> usr/bin",
    "/sbin -> usr/sbin",
    "/lib -> usr/lib",
    "/lib64 -> usr/lib64",
    "/etc",
    "/opt",
    "/home/bob",
    "/run/user/1001",
    "/run/systemd/resolve",
    "/var/mail",
    "/var/cache/man",
];
const FEDORA: &[&str] = &[
    "/usr",
    "/bin -> usr/bin",
    "/sbin -> usr/sbin",
    "/lib -> usr/lib",
    "/lib64 -> usr/lib64",
    "/etc",
    "/opt",
    "/home/bob",
    "/run/user/1001",
    "/run/systemd/resolve",
    "/run/systemd/userdb",
    "/var/lib/sss/pipes",
    "/var/lib/sss/mc",
];
const SPLIT_USR: &[&str] = &["/usr", "/bin", "/sbin", "/lib", "/lib32", "/etc", "/home/bob", "/run/nscd"];
const BARE: &[&str] = &["/usr", "/bin -> usr/bin", "/lib -> usr/lib", "/etc"];

fn planned(subject: &Subject, facts: &Facts, request: &Request) -> Plan {
    plan::plan(&config::built_in().unwrap(), subject, request, facts)
        .unwrap_or_else(|errors| panic!("{errors}"))
}

fn tree(plan: &Plan) -> String {
    Account::unseen(plan, &config::built_in().unwrap()).unwrap().tree(Screen::default())
}

fn request(words: &[&str]) -> Request {
    Request { command: Command::Program(words.iter().map(Into::into).collect()), ..Request::default() }
}

#[test]
fn every_layout_has_its_plan() {
    for (name, entries) in [("debian", DEBIAN), ("fedora", FEDORA), ("split-usr", SPLIT_USR), ("bare", BARE)]
    {
        let plan = planned(&bob("sshd"), &host(entries), &request(&["id"]));
        assert_eq!(lint::lint(&plan), [], "the shipped map has findings on {name}");
        insta::assert_snapshot!(name, tree(&plan));
    }
}

#[test]
fn an_ordinary_user_gets_the_same_places() {
    let facts =
        Facts { privileged: false, makes_devices: false, caller_uid: 1001, terminal: true, ..host(DEBIAN) };
    insta::assert_snapshot!("ordinary-user", tree(&planned(&bob("session-enter"), &facts, &request(&[]))));
}

#[test]
fn the_plan_as_json_is_stable() {
    let plan = planned(&bob("sshd"), &host(BARE), &request(&["id"]));
    insta::assert_snapshot!("json", Account::unseen(&plan, &config::built_in().unwrap()).unwrap().json());
}

#[test]
fn chroot_and_a_place_on_the_host_get_the_tree_of_a_namespace() {
    let namespace = planned(&bob("sshd"), &host(DEBIAN), &Request::default());
    let chroot =
        planned(&bob("sshd"), &host(DEBIAN), &Request { mode: Some(Mode::Chroot), ..Request::default() });
    let placement = plan::Placement::Host(None);
    let placed = planned(&bob("sshd"), &host(DEBIAN), &Request { placement, ..Request::default() });
    assert_eq!((&namespace.tree, &namespace.seal), (&chroot.tree, &chroot.seal));
    // Logins that share a view show their terminals on an empty file in it. A tree on the host shows none.
    let (terminals, shared): (Vec<_>, Vec<_>) =
        namespace.tree.iter().cloned().partition(|step| step.target.as_str() == "/dev/console");
    assert!(
        matches!(&terminals[..], [TreeStep { make: Make::File { content, .. }, .. }] if content.is_empty())
    );
    assert_eq!((&shared, &namespace.seal), (&placed.tree, &placed.seal));
    assert!(!placed.namespace.pid, "a tree on the host shows the host's processes");
}

#[test]
fn root_comes_in_by_hand_and_by_no_door() {
    let policy = config::built_in().unwrap();
    let errors = plan::plan(&policy, &root(), &Request::default(), &host(DEBIAN)).unwrap_err();
    assert!(errors.to_string().contains("no profile matches root"), "{errors}");
    let by_hand = Subject { door: Door::command_line(), ..root() };
    assert_eq!(planned(&by_hand, &host(DEBIAN), &Request::default()).profile, "command");
    assert_eq!(lint::lint_policy(&policy), []);
}

#[test]
fn everything_of_the_hosts_is_read_only_but_what_is_the_users() {
    let plan = planned(&bob("sshd"), &host(DEBIAN), &Request::default());
    for (step, what, attributes) in plan.mounts() {
        assert!(attributes.nosuid, "{} honours set-user-id programs", step.target);
        if let Mount::Bind { source, .. } = what {
            let users_own = ["/home/bob", "/run/user/1001", "/var/mail"].contains(&source.as_str());
            let device = source.as_str().starts_with("/dev/");
            assert_eq!(!attributes.read_only, users_own || device, "{source}");
        }
    }
    assert!(plan.tree.iter().all(|step| !matches!(&step.make, Make::File { mode, .. } if mode & 0o022 != 0)));
}

#[test]
fn a_shell_that_is_this_program_is_refused() {
    let subject = Subject { shell: path("/usr/bin/session-enter"), ..bob("sshd") };
    let policy = config::built_in().unwrap();
    let errors = plan::plan(&policy, &subject, &Request::default(), &host(DEBIAN)).unwrap_err();
    assert!(errors.to_string().contains("start itself for ever"), "{errors}");
    assert!(plan::plan(&policy, &subject, &request(&["id"]), &host(DEBIAN)).is_ok());
}

#[test]
fn a_kernel_below_the_floor_is_refused_in_one_sentence() {
    let mut facts = host(DEBIAN);
    facts.kernel.mount_setattr = false;
    let policy = config::built_in().unwrap();
    let errors = plan::plan(&policy, &bob("sshd"), &Request::default(), &facts).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "this kernel has no mount_setattr, which came with Linux 5.12; session-sandbox needs Linux 5.12 or newer"
    );
}
