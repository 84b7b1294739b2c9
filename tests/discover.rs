//! What `sessionctl discover` writes: for hosts in folders, for hosts that nobody should have, and for this one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a test fails by panicking"
)]

#[path = "discover/hosts.rs"]
mod hosts;
#[path = "discover/random.rs"]
mod random;

use session_sandbox::config::{self, SourceFile};
use session_sandbox::discover::{Found, FstabLine, Mounted, compose, discover};
use session_sandbox::model::facts::{Facts, Look, PathFact};
use session_sandbox::model::name::UserName;
use session_sandbox::model::path::AbsPath;
use session_sandbox::model::policy::{MountKind, OpenAs, Policy};
use session_sandbox::model::subject::{Door, Subject};
use session_sandbox::plan::{self, Plan, Request, lint};

use hosts::Host;
use proptest::prelude::*;

fn path(text: &str) -> AbsPath {
    AbsPath::new(text).unwrap()
}

fn subject(name: &str, uid: u32, home: &str) -> Subject {
    Subject {
        name: UserName::new(name).unwrap(),
        uid,
        gid: 100,
        groups: vec![100],
        group_name: "users".to_owned(),
        home: path(home),
        shell: path("/bin/sh"),
        door: Door { service: "sshd".to_owned(), ..Door::command_line() },
    }
}

fn parsed(text: &str) -> Policy {
    let file = SourceFile { name: "discovered".to_owned(), text: text.to_owned() };
    config::parse(&[file]).unwrap_or_else(|found| panic!("{found}\n{text}"))
}

/// All examples in use.
fn with_examples(text: &str) -> String {
    let lines = text.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => rest,
        _ => line,
    });
    lines.map(|line| format!("{line}\n")).collect()
}

/// What holds for every map, whatever the host.
fn check(text: &str) -> Policy {
    for line in text.lines().filter(|line| line.starts_with("# ")) {
        assert!(line.chars().count() <= 80, "a comment that is too long: {line}");
    }
    assert!(!text.contains('\r') && !text.contains('\u{202e}') && !text.contains('\0'), "{text}");
    let policy = parsed(text);
    parsed(&with_examples(text));
    assert_eq!(lint::lint_policy(&policy), []);
    for profile in &policy.profiles {
        for rule in &profile.mounts {
            if let MountKind::Bind { source, open_as, .. } = &rule.kind {
                let is_home = source.source().starts_with("%h") || source.source().starts_with("/home");
                assert!(!is_home || *open_as == OpenAs::User, "{source:?} is opened as root");
                assert_ne!(source.source(), "/");
                assert!(!source.source().contains("docker"), "{source:?}");
            }
        }
    }
    policy
}

fn plan_on(policy: &Policy, subject: &Subject, facts: Facts) -> Result<Plan, String> {
    plan::plan(policy, subject, &Request::default(), &facts).map_err(|errors| errors.to_string())
}

/// What programs of `subject` would see; refused by nobody, and with nothing to be said about it.
fn planned(host: &Host, text: &str, subject: &Subject) -> Plan {
    let policy = check(text);
    let plan = plan_on(&policy, subject, host.facts(&policy, subject))
        .unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(lint::lint(&plan), [], "{text}");
    plan
}

fn written(host: &Host) -> String {
    let text = discover(Some(&host.path())).unwrap_or_else(|error| panic!("{}", error.chain()));
    assert_eq!(text, discover(Some(&host.path())).unwrap(), "the same host has one map");
    assert!(!text.contains(host.path().as_str()), "the map says where the test has its files: {text}");
    text
}

fn shows(plan: &Plan, target: &str) -> bool {
    plan.tree.iter().any(|step| step.target.as_str() == target)
}

#[test]
fn debian_has_one_tree_of_programs_and_a_resolver_in_run() {
    let host = hosts::debian();
    let text = written(&host);
    insta::assert_snapshot!("debian", text);
    let plan = planned(&host, &text, &subject("alice", 1000, "/home/alice"));
    for target in ["/bin", "/home/alice", "/run/systemd/resolve", "/var/mail", "/opt", "/tmp"] {
        assert!(shows(&plan, target), "{target}: {text}");
    }
    assert!(text.contains("Left out: /run/docker.sock hands out root"), "{text}");
    assert!(!shows(&plan, "/run/docker.sock") && !shows(&plan, "/root"));
}

#[test]
fn root_and_those_who_are_exempt_are_not_kept() {
    let host = hosts::debian();
    let policy = check(&written(&host));
    let mut alice = subject("alice", 1000, "/home/alice");
    let mut facts = host.facts(&policy, &alice);
    facts.groups.insert("session-sandbox-exempt".to_owned(), 4711);
    assert_eq!(plan_on(&policy, &alice, facts.clone()).unwrap().profile, "login");
    alice.groups.push(4711);
    for nobody_we_keep in
        [alice, subject("root", 0, "/root"), subject("postgres", 110, "/var/lib/postgresql")]
    {
        let error = plan_on(&policy, &nobody_we_keep, facts.clone()).unwrap_err();
        assert!(error.contains("no profile matches"), "{error}");
    }
}

#[test]
fn a_host_with_a_split_usr_has_directories_and_no_links() {
    let host = hosts::split_usr();
    let text = written(&host);
    insta::assert_snapshot!("split-usr", text);
    let plan = planned(&host, &text, &subject("bob", 1001, "/home/users/bob"));
    assert!(shows(&plan, "/bin") && shows(&plan, "/lib32") && shows(&plan, "/home/users/bob"));
    assert!(text.contains("/home/%g/%u"), "{text}");
}

#[test]
fn fedora_has_lib64_sssd_and_its_mail_in_the_spool() {
    let host = hosts::fedora();
    let text = written(&host);
    insta::assert_snapshot!("fedora", text);
    let plan = planned(&host, &text, &subject("carol", 1000, "/home/carol"));
    for target in
        ["/lib64", "/var/lib/sss/pipes", "/run/.heim_org.h5l.kcm-socket", "/var/mail", "/var/spool/mail"]
    {
        assert!(shows(&plan, target), "{target}: {text}");
    }
}

#[test]
fn a_login_node_has_homes_and_scratch_from_servers() {
    let host = hosts::cluster();
    let text = written(&host);
    insta::assert_snapshot!("cluster", text);
    let plan = planned(&host, &text, &subject("dora", 20_001, "/home/dora"));
    for target in ["/lustre", "/scratch", "/run/munge", "/run/slurm", "/home/dora", "/software", "/proj"] {
        assert!(shows(&plan, target), "{target}: {text}");
    }
    assert!(text.contains("/home is mounted on demand (auto.home, from /etc/auto.master:2)"), "{text}");
}

#[test]
fn a_web_host_has_its_users_in_var_www() {
    let host = hosts::web();
    let text = written(&host);
    insta::assert_snapshot!("web", text);
    let plan = planned(&host, &text, &subject("site1", 2001, "/var/www/site1"));
    assert!(shows(&plan, "/var/www/site1") && !shows(&plan, "/srv"));
    // This one's home is the folder of another's entry.
    let plan = planned(&host, &text, &subject("deploy", 2002, "/opt"));
    assert!(shows(&plan, "/opt"));
    assert!(text.contains("Left out: /opt is the home of deploy"), "{text}");
    // And with this one no map could be made.
    let policy = check(&text);
    let var = subject("caretaker", 2003, "/var");
    let error = plan_on(&policy, &var, host.facts(&policy, &var)).unwrap_err();
    assert!(error.contains("no profile matches caretaker"), "{error}");
}

#[test]
fn a_host_without_usr_has_its_store() {
    let host = hosts::nixos();
    let text = written(&host);
    insta::assert_snapshot!("nixos", text);
    let plan = planned(&host, &text, &subject("eve", 1000, "/home/eve"));
    for target in ["/nix", "/run/current-system", "/bin"] {
        assert!(shows(&plan, target), "{target}: {text}");
    }
    assert!(text.contains("PATH = \"/run/current-system/sw/bin:"), "{text}");
}

#[test]
fn a_file_that_others_could_have_written_is_named_and_not_believed() {
    use std::os::unix::fs::PermissionsExt;
    let host = hosts::web();
    let fstab = format!("{}/etc/fstab", host.path());
    std::fs::set_permissions(&fstab, PermissionsExt::from_mode(0o666)).unwrap();
    let text = written(&host);
    check(&text);
    assert!(text.contains("# Not looked at: /etc/fstab, because: cannot trust /etc/fstab"), "{text}");
    assert!(!text.contains("nas"), "{text}");
}

#[test]
fn what_a_server_has_is_known_by_the_mount_table_alone() {
    // There is no such folder: whoever looked would say so.
    let host = hosts::munge_from_a_server();
    let text = written(&host);
    check(&text);
    assert!(
        text.contains("Shown because it is there.\n[[profile.mount]]\ntarget = \"/run/munge\""),
        "{text}"
    );
}

#[test]
fn an_empty_folder_has_a_map_as_well() {
    let host = Host::new();
    let text = written(&host);
    assert!(text.contains("None of these was found"), "{text}");
    check(&text);
}

/// What the planner would be told, where everything is there that was not looked for in vain.
fn facts(found: &Found, policy: &Policy, subject: &Subject, asked: &[&str]) -> Facts {
    let at = |path: &AbsPath| match found.places.get(path.as_str()) {
        Some(fact) => fact.clone(),
        None if asked.contains(&path.as_str()) => PathFact::Missing,
        None if path.as_str() == "/sys" || path.as_str() == "/proc" => PathFact::Directory,
        None => found.top.get(path.as_str().trim_start_matches('/')).cloned().unwrap_or(PathFact::Directory),
    };
    let is_link = |path: &AbsPath| matches!(at(path), PathFact::Symlink(_));
    let mut facts = Facts { privileged: true, makes_devices: true, tty_group: Some(5), ..Facts::default() };
    for profile in &policy.profiles {
        for (look, path) in plan::mount_questions(profile, subject) {
            let follows = matches!(look, Look::RootFollowing | Look::UserFollowing);
            let mut above = path.parent();
            let (mut through, mut nowhere) = (false, false);
            while let Some(parent) = above {
                through |= is_link(&parent);
                nowhere |= matches!(at(&parent), PathFact::File | PathFact::Socket | PathFact::Device);
                above = parent.parent();
            }
            let fact = match (follows, through, at(&path)) {
                _ if nowhere => PathFact::unreachable("Not a directory"),
                (false, true, _) => PathFact::ThroughSymlink,
                (true, _, PathFact::Symlink(_) | PathFact::ThroughSymlink) => PathFact::Directory,
                (_, _, fact) => fact,
            };
            facts.paths.insert((look, path), fact);
        }
    }
    facts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_found_the_map_can_be_read_and_refuses_nobody(found in random::found()) {
        let text = compose(&found);
        prop_assert_eq!(&text, &compose(&found));
        let policy = check(&text);
        for user in &found.users {
            let (Ok(name), Ok(home)) = (UserName::new(&user.name), AbsPath::new(&user.home)) else { continue };
            let subject = Subject { name, ..subject("x", user.uid, home.as_str()) };
            let plan = plan_on(&policy, &subject, facts(&found, &policy, &subject, &random::PLACES));
            match plan {
                Ok(plan) => prop_assert_eq!(lint::lint(&plan), []),
                Err(error) => prop_assert!(error.contains("no profile matches"), "{:?} of {}: {}\n{}", user, home, error, text),
            }
        }
    }
}

#[test]
fn a_hostile_mount_table_writes_no_lines_of_its_own() {
    let evil = "/mnt/x\n[[profile.mount]]\ntarget = \"/root\"\n#";
    let quiet = "/mnt/\"quoted\" \\ and 100% %u";
    let found = Found {
        mounts: [evil, quiet]
            .map(|at| Mounted {
                at: at.to_owned(),
                kind: "nfs4".to_owned(),
                source: evil.to_owned(),
                ..Mounted::default()
            })
            .to_vec(),
        fstab: vec![FstabLine {
            number: 3,
            at: evil.to_owned(),
            kind: "nfs".to_owned(),
            ..FstabLine::default()
        }],
        unread: vec![(evil.to_owned(), evil.to_owned())],
        ..Found::default()
    };
    let text = compose(&found);
    let policy = check(&text);
    let targets: Vec<&str> = policy.profiles[0].mounts.iter().map(|rule| rule.target.source()).collect();
    assert!(!targets.contains(&"/root"), "{text}");
    assert!(text.contains("/mnt/x\\n[[profile.mount]]\\ntarget"), "{text}");
    assert!(targets.contains(&"/mnt/\"quoted\" \\ and 100%% %%u"), "{text}");
    let alice = subject("alice", 1000, "/home/alice");
    let plan = plan_on(&policy, &alice, facts(&found, &policy, &alice, &[])).unwrap();
    assert!(shows(&plan, quiet), "{text}");
}

#[test]
fn as_many_mounts_as_there_may_be_leave_a_map_that_can_be_read() {
    let mounts = (0..5000).map(|number| Mounted {
        at: format!("/mnt/{number}/{}", "x".repeat(200)),
        kind: "nfs4".to_owned(),
        source: "s".repeat(4000),
        ..Mounted::default()
    });
    let text = compose(&Found { mounts: mounts.collect(), ..Found::default() });
    let policy = check(&text);
    assert!(policy.profiles[0].mounts.len() < config::MOUNTS_MAX);
    assert!(text.contains("because they are too many"), "{text}");
}

#[test]
fn this_host_has_a_map_for_its_users() {
    let text = discover(None).unwrap_or_else(|error| panic!("{}", error.chain()));
    let policy = check(&text);
    let nobody = "no such user, and none is looked up";
    let subject =
        Subject { group_name: nobody.to_owned(), ..subject("alice", 1000, "/home/no-such-user-anywhere") };
    let request = Request::default();
    let facts = session_sandbox::host::facts(&policy, &subject, &request).unwrap();
    // Only the user itself, or root, can have a plan; the rest of the facts is this host's.
    let facts = Facts { privileged: true, makes_devices: true, caller_uid: 0, ..facts };
    let plan = plan_on(&policy, &subject, facts).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(lint::lint(&plan), [], "{text}");
    assert!(shows(&plan, "/usr") || shows(&plan, "/nix"), "{text}");
}
