//! Which profile a login gets, and what the plan linter says: table-driven, from map text to answer.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

use session_sandbox::config::{self, SourceFile};
use session_sandbox::model::facts::{Look, PathFact};
use session_sandbox::model::name::UserName;
use session_sandbox::model::path::AbsPath;
use session_sandbox::model::subject::Door;
use session_sandbox::plan::{self, lint};
use session_sandbox::{Facts, Policy, Request, Subject};

fn path(text: &str) -> AbsPath {
    AbsPath::new(text).unwrap()
}

fn policy(map: &str) -> Policy {
    let file = SourceFile { name: "map".to_owned(), text: format!("version = 1\n{map}") };
    config::parse(&[file]).unwrap_or_else(|diagnostics| panic!("{diagnostics}"))
}

/// bob comes by ssh from a lab machine; he is in the groups users (100) and students (300).
fn bob() -> Subject {
    Subject {
        name: UserName::new("bob").unwrap(),
        uid: 4242,
        gid: 100,
        groups: vec![100, 300],
        group_name: "users".to_owned(),
        home: path("/home/bob"),
        shell: path("/bin/bash"),
        door: Door {
            service: "sshd".to_owned(),
            tty: Some("pts/3".to_owned()),
            remote_host: Some("pc7.lab.example.org".to_owned()),
            session: Some("17".to_owned()),
        },
    }
}

fn facts() -> Facts {
    let groups = [("users", 100), ("students", 300), ("staff", 400)];
    let mut facts = Facts {
        privileged: true,
        groups: groups.map(|(name, gid)| (name.to_owned(), gid)).into(),
        ..Facts::default()
    };
    facts.paths.insert((Look::Root, path("/etc/sandboxed/bob")), PathFact::File);
    facts.paths.insert((Look::User, path("/home/bob/.session")), PathFact::Directory);
    facts
}

fn matches(conditions: &str, subject: &Subject) -> bool {
    let policy = policy(&format!("[[profile]]\nname = \"it\"\nmatch = {{ {conditions} }}\n"));
    plan::mismatch(&policy.profiles[0], subject, &facts()).is_none()
}

#[test]
fn each_condition_holds_for_whom_it_should() {
    for (conditions, expected) in [
        ("", true),
        ("user = 'bob'", true),
        ("user = ['alice', 'bob']", true),
        ("user = 'bo'", false),
        ("not_user = 'bob'", false),
        ("not_user = 'alice'", true),
        ("group = 'users'", true),
        ("group = 'students'", true),
        ("group = 'staff'", false),
        ("group = 'no-such-group'", false),
        ("not_group = 'students'", false),
        ("not_group = ['staff', 'no-such-group']", true),
        ("uid = '1000-59999'", true),
        ("uid = 4242", true),
        ("uid = ['0-4241', '4243-9999']", false),
        ("not_uid = '0-999'", true),
        ("not_uid = '4242-4242'", false),
        ("service = 'sshd'", true),
        ("service = ['login', 'ssh*']", true),
        ("service = 'ssh'", false),
        ("not_service = 'cron'", true),
        ("not_service = '*'", false),
        ("tty = 'pts/*'", true),
        ("tty = 'tty[1-6]'", false),
        ("not_tty = 'pts/?'", false),
        ("rhost = '*.lab.example.org'", true),
        ("rhost = '*.example.com'", false),
        ("not_rhost = 'pc7.*'", false),
        ("exists = '/etc/sandboxed/%u'", true),
        ("exists = ['/nowhere', '%h/.session']", true),
        ("exists = '/etc/sandboxed/%g'", false),
        ("not_exists = '/etc/sandboxed/%u'", false),
        ("not_exists = '/nowhere'", true),
        // Every key must hold.
        ("user = 'bob', service = 'sshd', group = 'students'", true),
        ("user = 'bob', service = 'login'", false),
        ("group = 'students', not_user = 'bob'", false),
    ] {
        assert_eq!(matches(conditions, &bob()), expected, "match = {{ {conditions} }}");
    }
}

#[test]
fn a_session_without_a_terminal_matches_no_pattern_of_one() {
    let mut cron = bob();
    cron.door = Door { service: "cron".to_owned(), tty: None, remote_host: None, session: None };
    for (conditions, expected) in [
        ("tty = '*'", false),
        ("rhost = '*'", false),
        ("not_tty = '*'", true),
        ("not_rhost = '*'", true),
        ("exists = '/etc/sandboxed/%t'", false),
    ] {
        assert_eq!(matches(conditions, &cron), expected, "match = {{ {conditions} }}");
    }
}

#[test]
fn the_first_match_wins_and_a_name_overrules_it() {
    let policy = policy(
        "[[profile]]\nname = 'staff'\nmatch = { group = 'staff' }\n\
         [[profile]]\nname = 'students'\nmatch = { group = 'students' }\n\
         [[profile]]\nname = 'all'\n",
    );
    let chosen = |name| plan::select(&policy, &bob(), &facts(), name).map(|profile| profile.name.clone());
    assert_eq!(chosen(None).unwrap(), "students");
    assert_eq!(chosen(Some("staff")).unwrap(), "staff");
    assert_eq!(
        chosen(Some("guests")).unwrap_err().to_string(),
        "no profile is named \"guests\"; there are staff, students, all"
    );
}

#[test]
fn nobody_is_told_only_that_nothing_matches() {
    let policy = policy(
        "[[profile]]\nname = 'staff'\nmatch = { group = 'staff' }\n\
         [[profile]]\nname = 'console'\nmatch = { not_service = 'sshd' }\n",
    );
    let error = plan::plan(&policy, &bob(), &Request::default(), &facts()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no profile matches bob: \"staff\" (map:2) wants another group; \"console\" (map:5) excludes it by not_service"
    );
}

fn findings(mounts: &str) -> Vec<&'static str> {
    let policy = policy(&format!("[[profile]]\nname = 'it'\nmatch = {{ user = 'bob' }}\n{mounts}"));
    let mut facts = facts();
    for place in ["/", "/usr", "/data", "/dev"] {
        facts.paths.insert((Look::Root, path(place)), PathFact::Directory);
    }
    for place in ["null", "zero", "full", "random", "urandom", "tty"] {
        facts.paths.insert((Look::Root, path(&format!("/dev/{place}"))), PathFact::Device);
    }
    facts.paths.insert((Look::Root, path("/run/docker.sock")), PathFact::Socket);
    let plan = plan::plan(&policy, &bob(), &Request::default(), &facts).unwrap();
    let mut ids: Vec<_> = lint::lint(&plan).into_iter().map(|finding| finding.id).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn what_is_allowed_and_hardly_meant_is_found() {
    let mount = |text: &str| format!("[[profile.mount]]\n{text}\n");
    let base = [mount("target = '/proc'\nkind = 'proc'"), mount("target = '/dev'\nkind = 'dev'")].concat();
    for (extra, expected) in [
        ("", &[][..]),
        ("target = '/usr'\noptions = ['ro', 'suid']", &[]),
        ("target = '/data'\noptions = ['suid']", &["writable-suid"]),
        ("target = '/data'\noptions = ['dev']", &["writable-dev"]),
        ("target = '/host'\nsource = '/'\noptions = ['ro']", &["whole-host"]),
        ("target = '/run/docker.sock'", &["container-socket"]),
        ("target = '/work'\nkind = 'dir'\nowner = 'user'", &["unwritable-dir"]),
        ("target = '/work'\nkind = 'dir'", &[]),
        ("target = '/work'\nkind = 'tmpfs'\nowner = 'user'", &[]),
    ] {
        let extra = if extra.is_empty() { String::new() } else { mount(extra) };
        assert_eq!(findings(&format!("{base}{extra}")), expected, "{extra}");
    }
    assert_eq!(findings(""), ["no-dev", "no-proc"]);
}

#[test]
fn a_policy_that_would_lock_root_in_is_found() {
    for (conditions, expected) in [
        ("", true),
        ("service = 'sshd'", true),
        ("user = ['root', 'bob']", true),
        ("uid = '0-99999'", true),
        ("user = 'bob'", false),
        ("not_user = 'root'", false),
        ("not_uid = '0-999'", false),
        ("uid = '1000-1999'", false),
        ("group = 'students'", false),
        ("service = 'session-enter'", false),
    ] {
        let policy = policy(&format!("[[profile]]\nname = \"it\"\nmatch = {{ {conditions} }}\n"));
        let found = lint::lint_policy(&policy).iter().any(|finding| finding.id == "root-locked-in");
        assert_eq!(found, expected, "match = {{ {conditions} }}");
    }
}

#[test]
fn a_shared_entry_that_differs_among_those_who_share_it_is_found_without_a_login() {
    let found = |map: &str| -> Vec<String> {
        let findings = lint::lint_policy(&policy(map));
        let shared = findings.into_iter().filter(|finding| finding.id == "not-shareable");
        shared.map(|finding| format!("{}: {}", finding.origin, finding.message)).collect()
    };
    let profile = |settings: &str, entry: &str| {
        format!(
            "[[profile]]\nname = 'it'\nmatch = {{ user = 'bob' }}\n{settings}\n[[profile.mount]]\n{entry}\n"
        )
    };
    let session = "target = '/x-%i'\nkind = 'dir'";
    let home = "target = '/h'\nsource = '%h'\nopen_as = 'user'";
    assert_eq!(
        found(&profile("", session)),
        ["map:7: /x-%i is shared by all sessions of a user, and `%i` differs among them"]
    );
    assert_eq!(
        found(&profile("scope = 'group'", home)),
        [
            "map:7: /h is shared by all sessions of a group, and `%h` differs among them",
            "map:7: /h is shared by all sessions of a group, and `open_as = \"user\"` differs among them",
        ]
    );
    assert_eq!(found(&profile("", home)), [""; 0]);
    assert_eq!(found(&profile("scope = 'session'", session)), [""; 0]);
    // The same line in a profile that extends it is the same mistake.
    let child = "[[profile]]\nname = 'child'\nextends = 'it'\nmatch = { user = 'eve' }\n";
    assert_eq!(found(&format!("{}{child}", profile("", session))).len(), 1);
}
