//! Who shares a view, which one it is, and what cannot be shared.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use session_sandbox::config::{self, SourceFile};
use session_sandbox::model::name::UserName;
use session_sandbox::model::path::AbsPath;
use session_sandbox::model::policy::Scope;
use session_sandbox::model::subject::Door;
use session_sandbox::plan::step::Share;
use session_sandbox::plan::{Command, Placement, plan};
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
