//! Who shares a view, which one it is, and what cannot be shared.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use session_sandbox::config::{self, SourceFile};
use session_sandbox::explain::{Account, Screen};
use session_sandbox::model::facts::{Look, PathFact};
use session_sandbox::model::name::UserName;
use session_sandbox::model::path::AbsPath;
use session_sandbox::model::policy::{Mode, Scope};
use session_sandbox::model::subject::Door;
use session_sandbox::plan::step::{Make, Mount, Share, Step, Switch};
use session_sandbox::plan::{Command, Placement, Plan, plan};
use session_sandbox::{Facts, Policy, Request, Subject};

fn policy(settings: &str, mounts: &str) -> Policy {
    let text = format!(
        "version = 1\n[[profile]]\nname = \"p\"\n{settings}\n[[profile.mount]]\ntarget = \"/t\"\nkind = \"tmpfs\"\n{mounts}\n"
    );
    config::parse(&[SourceFile { name: "map".into(), text }]).unwrap()
}

fn subject(uid: u32) -> Subject {
    Subject {
        name: UserName::new("bob").unwrap(),
        uid,
        gid: 100,
        groups: vec![100],
        group_name: "users".into(),
        home: AbsPath::new("/home/bob").unwrap(),
        shell: AbsPath::new("/bin/sh").unwrap(),
        door: Door::command_line(),
    }
}

fn shared(settings: &str, mounts: &str, request: &Request) -> Result<Option<Share>, String> {
    let facts = Facts { privileged: true, ..Facts::default() };
    plan(&policy(settings, mounts), &subject(4242), request, &facts)
        .map(|plan| plan.share)
        .map_err(|errors| errors.to_string())
}

fn name(settings: &str) -> Option<String> {
    shared(settings, "", &Request::default()).unwrap().map(|share| share.name)
}

#[test]
fn each_scope_has_its_name() {
    assert_eq!(name("").as_deref(), Some("user-4242.p"));
    assert_eq!(name("scope = \"session\""), None);
    assert_eq!(name("scope = \"group\"").as_deref(), Some("group-100.p"));
    assert_eq!(name("scope = \"named\"\nscope_name = \"x-%g\"").as_deref(), Some("named-x-users.p"));
    for bad in ["", "a b", "a/b", "a.b", ".", "\u{e9}", &"x".repeat(65)] {
        let settings = format!("scope = \"named\"\nscope_name = \"{bad}\"");
        let error = shared(&settings, "", &Request::default()).unwrap_err();
        assert!(error.starts_with("map:2: scope_name"), "{bad:?}: {error}");
    }
}

#[test]
fn a_session_of_its_own_in_a_shared_scope_is_a_copy() {
    let request = |scope| Request { scope: Some(scope), ..Request::default() };
    let share = shared("", "", &request(Scope::Session)).unwrap().unwrap();
    assert_eq!((share.scope, share.private_copy), (Scope::User, true));
    assert_eq!(shared("scope = \"session\"", "", &request(Scope::Session)), Ok(None));
    let share = shared("scope = \"session\"", "", &request(Scope::Group)).unwrap().unwrap();
    assert_eq!((share.name.as_str(), share.private_copy), ("group-100.p", false));
    let error = shared("", "", &request(Scope::Named)).unwrap_err();
    assert!(error.contains("needs a `scope_name`"), "{error}");
    let host = Request { placement: Placement::Host(None), ..Request::default() };
    assert_eq!(shared("", "", &host), Ok(None));
}

#[test]
fn an_ordinary_user_has_a_session_of_its_own_and_is_told() {
    let facts = Facts { caller_uid: 4242, ..Facts::default() };
    let plan = plan(&policy("", ""), &subject(4242), &Request::default(), &facts).unwrap();
    assert_eq!(plan.share, None);
    assert!(plan.report.notes[0].starts_with("scope `user`: only root"), "{:?}", plan.report.notes);
}

#[test]
fn what_differs_among_those_who_share_is_refused() {
    let entry = |text: &str| format!("[[profile.mount]]\n{text}");
    let own = "target = \"/x\"\nkind = \"tmpfs\"\nowner = \"user\"";
    let home = "target = \"/home/%u\"\nkind = \"dir\"";
    let service = "target = \"/x\"\nkind = \"file\"\ncontent = \"%s\"";
    let group = "target = \"/x-%g\"\nkind = \"dir\"";
    let bind = "target = \"/x\"\nopen_as = \"user\"\noptional = true";
    let named = "scope = \"named\"\nscope_name = \"n\"";
    for (settings, text, what) in [
        ("", service, Some("`%s`")),
        ("", home, None),
        ("", own, None),
        ("scope = \"session\"", service, None),
        ("scope = \"group\"", service, Some("`%s`")),
        ("scope = \"group\"", home, Some("`%u`")),
        ("scope = \"group\"", own, Some("`owner = \"user\"`")),
        ("scope = \"group\"", bind, Some("`open_as = \"user\"`")),
        ("scope = \"group\"", group, None),
        (named, group, Some("`%g`")),
    ] {
        let result = shared(settings, &entry(text), &Request::default());
        match what {
            None => assert!(result.is_ok(), "{settings} {text}: {result:?}"),
            Some(what) => {
                let error = result.unwrap_err();
                assert!(error.contains(&format!("and {what} differs among them")), "{error}");
            }
        }
    }
}

#[test]
fn the_digest_stands_for_what_is_shared_and_for_nothing_else() {
    let digest = |settings: &str, mounts: &str, request: &Request| {
        shared(settings, mounts, request).unwrap().unwrap().digest
    };
    let plain = digest("", "", &Request::default());
    assert_eq!(plain.len(), 32);
    let command = Command::Program(vec!["ls".into()]);
    let environment = vec![("TERM".into(), "dumb".into())];
    let other = Request { command, environment, ..Request::default() };
    assert_eq!(plain, digest("# a comment moves every line\numask = \"077\"", "", &other));
    for (settings, mounts) in [
        ("wall = \"none\"", ""),
        ("mode = \"chroot\"", ""),
        ("", "size = \"1M\""),
        ("", "mode = \"0700\""),
        ("", "options = [\"noexec\"]"),
        ("", "options = [\"ro\"]"),
        ("", "[[profile.mount]]\ntarget = \"/u\"\nkind = \"dir\""),
    ] {
        assert_ne!(plain, digest(settings, mounts, &Request::default()), "{settings} {mounts}");
    }
}

#[test]
fn the_digest_of_a_small_plan_is_what_it_was() {
    // Who changes it on purpose starts a new generation under every living view with `on_change = "new"`.
    let share = shared("", "", &Request::default()).unwrap().unwrap();
    assert_eq!(share.digest, "48e8a56b4869a9f2a6070cb4dd412b40");
}

fn planned(settings: &str, request: &Request, facts: &Facts) -> Plan {
    let mounts = "[[profile.mount]]\ntarget = \"/dev\"\nkind = \"dev\"";
    plan(&policy(settings, mounts), &subject(4242), request, facts).unwrap()
}

/// A host where logins come on terminals, with a base namespace or without.
fn host(base: bool) -> Facts {
    Facts { privileged: true, makes_devices: true, terminal: true, base, ..Facts::default() }
}

fn shows_terminal(plan: &Plan) -> bool {
    plan.tree.iter().any(|step| matches!(step.make, Make::Mount { what: Mount::Terminal, .. }))
}

#[test]
fn no_sessions_terminal_is_in_what_is_shared() {
    let own = planned("scope = \"session\"", &Request::default(), &host(true));
    assert!(shows_terminal(&own) && own.share.is_none());
    let copy = Request { scope: Some(Scope::Session), ..Request::default() };
    for request in [Request::default(), copy] {
        let plan = planned("", &request, &host(true));
        let without = planned("", &request, &Facts { terminal: false, ..host(true) });
        assert!(!shows_terminal(&plan));
        // A login by cron and one by ssh come to the same view.
        assert_eq!(plan.share, without.share);
        assert_eq!(plan.share.unwrap().console.unwrap().as_str(), "/dev/console");
    }
}

#[test]
fn the_base_is_entered_by_chroot_and_is_not_part_of_the_digest() {
    let digest = |base| planned("", &Request::default(), &host(base)).share.unwrap().digest;
    assert_eq!(digest(true), digest(false));
    for (base, mode, switch) in [
        (false, Mode::Namespace, Switch::Pivot),
        (false, Mode::Chroot, Switch::Chroot),
        (true, Mode::Namespace, Switch::Chroot),
        (true, Mode::Chroot, Switch::Chroot),
    ] {
        let plan = planned("", &Request { mode: Some(mode), ..Request::default() }, &host(base));
        assert_eq!(plan.namespace.base, base);
        let found =
            plan.steps().find_map(|step| if let Step::SwitchRoot(it) = step { Some(it) } else { None });
        assert_eq!(found, Some(switch), "base {base}, {mode:?}");
        // What builds a view is everything but becoming somebody, which comes last.
        let (all, building) = (plan.steps().count(), plan.building_steps().count());
        assert_eq!(building + 1, all);
        assert!(!plan.building_steps().any(|step| matches!(step, Step::Become(_))));
    }
    let at_host = Request { placement: Placement::Host(None), ..Request::default() };
    assert!(!planned("", &at_host, &host(true)).namespace.base);
    // An ordinary user may not enter it, whoever has pinned it.
    let mut ordinary = Facts { privileged: false, makes_devices: false, caller_uid: 4242, ..host(true) };
    for device in ["null", "zero", "full", "random", "urandom", "tty"] {
        ordinary
            .paths
            .insert((Look::Root, AbsPath::new(&format!("/dev/{device}")).unwrap()), PathFact::Device);
    }
    assert!(!planned("", &Request::default(), &ordinary).namespace.base);
}

#[test]
fn the_explanation_names_the_view_and_how_its_root_is_made() {
    let lines = |settings: &str, scope, base| {
        let plan = planned(settings, &Request { scope, ..Request::default() }, &host(base));
        let screen = Screen { width: 200, ..Screen::default() };
        let policy = policy(settings, "");
        let text = Account::unseen(&plan, &policy).unwrap().tree(screen);
        let wanted = |line: &&str| line.starts_with("  root ") || line.starts_with("  view ");
        text.lines().filter(wanted).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        lines("", None, true),
        [
            "  root        a mount namespace copied from the empty base",
            "  view        user-4242.p, joined also when the map has changed, ends with its last session",
        ]
    );
    assert_eq!(
        lines("on_change = \"new\"\nlinger = \"10m\"", Some(Scope::Session), false),
        [
            "  root        a mount namespace of its own (pivot_root)",
            "  view        a private copy of user-4242.p, a new one when the map has changed, ends 600 s after its last session",
        ]
    );
    assert_eq!(lines("scope = \"session\"", None, false).len(), 1);
}
