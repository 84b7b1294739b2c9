//! Drop-ins, and profiles that extend others.

use super::{mistakes_of, names, parse, stack, targets};
use crate::model::policy::{MountKind, Policy};

const BASE: &str = r#"
version = 1
[defaults]
umask = "027"
[[profile]]
name = "one"
match = { user = "bob" }
wall = "none"
set_env = { A = "1", B = "1" }
[[profile.mount]]
target = "/"
kind = "tmpfs"
[[profile.mount]]
target = "/srv"
[[profile.mount]]
kind = "system"
paths = ["/usr", "/bin", "/lib"]
[[profile]]
name = "two"
extends = "one"
match = { user = "eve" }
[[profile.mount]]
target = "/two"
"#;

fn combined(drop_ins: &[&str]) -> Policy {
    parse(&stack(BASE, drop_ins)).unwrap_or_else(|found| panic!("{found}"))
}

fn drop_in(text: &str) -> String {
    format!("version = 1\n{text}")
}

#[test]
fn a_drop_in_adds_to_a_profile_key_by_key() {
    let text = drop_in(
        "[[profile]]\nname = 'one'\nno_new_privs = false\nset_env = { B = '2', C = '2' }\n[[profile.mount]]\ntarget = '/srv/'\n\
         source = '/data'\n[[profile.mount]]\ntarget = '/new'\n",
    );
    let policy = combined(&[&text]);
    assert_eq!(names(&policy), ["one", "two"]);
    let one = &policy.profiles[0];
    assert_eq!(one.matches.user, ["bob"]);
    assert_eq!((one.settings.wall, one.settings.no_new_privs), (crate::model::policy::Wall::None, false));
    let set: Vec<_> =
        one.settings.environment.set.iter().map(|(name, value)| (name.as_str(), value.source())).collect();
    assert_eq!((&set[..3]), [("A", "1"), ("B", "2"), ("C", "2")]);
    // What is replaced keeps its place; what is new comes last; both remember where they were written.
    assert_eq!(targets(one), ["/", "/srv", "/", "/new"]);
    assert!(matches!(&one.mounts[1].kind, MountKind::Bind { source, .. } if source.source() == "/data"));
    assert_eq!(
        (&*one.mounts[1].origin.file, &*one.mounts[0].origin.file, &*one.origin.file),
        ("a", "base", "base")
    );
    // Who extends the profile gets all of it, but not the match.
    assert_eq!(targets(&policy.profiles[1]), ["/", "/srv", "/", "/new", "/two"]);
    assert_eq!(policy.profiles[1].matches.user, ["eve"]);
}

#[test]
fn match_is_replaced_as_a_whole() {
    let policy = combined(&[&drop_in("[[profile]]\nname = 'one'\nmatch = { group = 'g' }")]);
    assert_eq!(policy.profiles[0].matches.user, Vec::<String>::new());
    assert_eq!(policy.profiles[0].matches.group, ["g"]);
}

#[test]
fn new_profiles_are_tried_first_in_their_order_and_later_files_before_earlier_ones() {
    let a = drop_in("[[profile]]\nname = 'a1'\n[[profile]]\nname = 'a2'\nextends = 'two'\n");
    let b = drop_in("[[profile]]\nname = 'b1'\n[[profile]]\nname = 'one'\numask = '077'\n");
    let policy = combined(&[&a, &b]);
    assert_eq!(names(&policy), ["b1", "a1", "a2", "one", "two"]);
    assert_eq!(
        policy.profiles.iter().map(|p| p.settings.umask).collect::<Vec<_>>(),
        [0o27, 0o27, 0o77, 0o77, 0o77]
    );
}

#[test]
fn override_replaces_in_place_and_mask_removes() {
    let text = drop_in("[[profile]]\nname = 'one'\noverride = true\n[[profile.mount]]\ntarget = '/only'\n");
    let policy = combined(&[&text]);
    assert_eq!(names(&policy), ["one", "two"]);
    assert_eq!(
        (targets(&policy.profiles[0]), &policy.profiles[0].matches.user[..]),
        (vec!["/only"], &[][..])
    );

    let policy = combined(&[&drop_in("[[profile]]\nname = 'two'\nmask = true\n")]);
    assert_eq!(names(&policy), ["one"]);
    // A name that was taken away is free again.
    let again = drop_in("[[profile]]\nname = 'two'\n");
    let policy = combined(&[&drop_in("[[profile]]\nname = 'two'\nmask = true\n"), &again]);
    assert_eq!(names(&policy), ["two", "one"]);
}

#[test]
fn defaults_lie_below_every_profile_and_a_drop_in_changes_them_key_by_key() {
    let policy =
        combined(&[&drop_in("[defaults]\nwall = 'landlock'\nset_env = { PATH = '/bin', A = '0' }\n")]);
    let one = &policy.profiles[0].settings;
    assert_eq!((one.umask, one.wall), (0o27, crate::model::policy::Wall::None));
    assert_eq!((one.environment.set["PATH"].source(), one.environment.set["A"].source()), ("/bin", "1"));
}

#[test]
fn a_later_entry_takes_single_paths_out_of_a_system_entry() {
    let text = drop_in(
        "[[profile]]\nname = 'one'\n[[profile.mount]]\ntarget = '/bin'\nkind = 'symlink'\nto = 'usr/bin'\n\
         [[profile.mount]]\nkind = 'remove'\ntarget = '/lib'\n",
    );
    let policy = combined(&[&text]);
    let one = &policy.profiles[0];
    let MountKind::System { paths, .. } = &one.mounts[2].kind else { panic!("{:?}", one.mounts) };
    assert_eq!(paths.iter().map(|path| path.as_str()).collect::<Vec<_>>(), ["/usr"]);
    assert_eq!(targets(one), ["/", "/srv", "/", "/bin"]);

    // An entry whose last path is taken is gone.
    let text = drop_in(
        "[[profile]]\nname = 'one'\n[[profile.mount]]\nkind = 'system'\npaths = ['/usr', '/bin', '/lib', '/x']\n",
    );
    assert_eq!(targets(&combined(&[&text]).profiles[0]), ["/", "/srv", "/"]);
}

#[test]
fn remove_reaches_parents_and_lower_layers_and_what_it_removed_may_come_back() {
    let text = drop_in("[[profile]]\nname = 'two'\n[[profile.mount]]\nkind = 'remove'\ntarget = '/srv'\n");
    let policy = combined(&[&text]);
    assert_eq!(targets(&policy.profiles[1]), ["/", "/", "/two"]);
    assert_eq!(targets(&policy.profiles[0]), ["/", "/srv", "/"]);

    let back = drop_in("[[profile]]\nname = 'two'\n[[profile.mount]]\ntarget = '/srv'\nsource = '/x'\n");
    assert_eq!(targets(&combined(&[&text, &back]).profiles[1]), ["/", "/srv", "/", "/two"]);

    // Removing a profile's own entry does not bring the parent's back.
    let own = drop_in("[[profile]]\nname = 'two'\n[[profile.mount]]\ntarget = '/srv'\nsource = '/x'\n");
    assert_eq!(targets(&combined(&[&own, &text]).profiles[1]), ["/", "/", "/two"]);
}

#[test]
fn extends_goes_over_several_generations_and_across_files() {
    let text = drop_in(
        "[[profile]]\nname = 'three'\nextends = 'two'\n[[profile.mount]]\ntarget = '/two'\nkind = 'dir'\n",
    );
    let policy = combined(&[&text]);
    assert_eq!(targets(&policy.profiles[0]), ["/", "/srv", "/", "/two"]);
    assert_eq!(policy.profiles[0].mounts[3].kind.word(), "dir");
    assert_eq!(policy.profiles[0].settings.wall, crate::model::policy::Wall::None);
}

#[test]
fn drop_ins_that_do_not_fit_are_refused_with_their_place() {
    for (text, expected) in [
        (
            "[[profile]]\nname = 'oen'\noverride = true",
            &[
                "a:3:8: nothing to override: no file before this one has a profile `oen` | did you mean `one`?",
            ][..],
        ),
        (
            "[[profile]]\nname = 'three'\nmask = true",
            &[
                "a:3:8: nothing to mask: no file before this one has a profile `three` | known profiles: one, two",
            ],
        ),
        (
            "[[profile]]\nname = 'two'\nmask = true\numask = '022'\noverride = true\n[[profile.mount]]\ntarget = '/a'",
            &[
                "a:5:1: `umask` means nothing beside `mask = true`, which takes the profile away",
                "a:6:1: `override` and `mask` exclude each other",
                "a:7:11: `mount` means nothing beside `mask = true`, which takes the profile away",
            ],
        ),
        (
            "[[profile]]\nname = 'one'\nmask = true",
            &["base:20:11: profile `two` extends `one`, which is not there | `one` is masked at a:2"],
        ),
        (
            "[[profile]]\nname = 'one'\nextends = 'two'",
            &["a:4:11: profile `one` extends itself: one -> two -> one"],
        ),
        (
            "[[profile]]\nname = 'one'\n[[profile.mount]]\nkind = 'remove'\ntarget = '/svr'",
            &["a:5:1: nothing to remove at `/svr` | did you mean `/srv`?"],
        ),
        (
            "[[profile]]\nname = 'one'\noverride = true\n[[profile.mount]]\nkind = 'remove'\ntarget = '/srv'",
            &[
                "a:6:1: nothing to remove: profile `one` does not extend another one | leave the entry out, or say which profile is extended",
            ],
        ),
        (
            "[[profile]]\nname = 'one'\nmask = true\n[[profile]]\nname = 'two'\nmask = true",
            &["base:1:1: no profile is left of the map"],
        ),
    ] {
        assert_eq!(mistakes_of(&stack(BASE, &[&drop_in(text)])), expected, "{text}");
    }
}

#[test]
fn mistakes_in_all_files_are_reported_together_in_their_order() {
    let base = "version = 1\n[[profile]]\nname = 'p'\numask = 7\nwall = 'x'\n";
    let found =
        mistakes_of(&stack(base, &["version = 1\n[defaults]\nmode = 1\n", "version = 1\nnonsense = true\n"]));
    let places: Vec<_> = found.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["base:4:9", "base:5:8", "a:3:8", "b:2:1"]);
    // A file that cannot be read at all does not make the others look wrong.
    let found = mistakes_of(&stack(
        "version = 1\n[[profile]\n",
        &["version = 1\n[[profile]]\nname = 'x'\nmask = true\n"],
    ));
    assert!(found.iter().all(|line| line.starts_with("base:2:")), "{found:?}");
}

#[test]
fn a_level_stands_for_its_parts_and_takes_the_place_of_those_below_it() {
    use crate::model::isolation::{Isolation, OnOutside};
    use crate::model::policy::Wall;
    let settings = |defaults: &str, profile: &str| {
        let text = format!("version = 1\n[defaults]\n{defaults}\n[[profile]]\nname = 'p'\n{profile}\n");
        parse(&stack(&text, &[])).unwrap_or_else(|found| panic!("{found}")).profiles[0].settings.clone()
    };
    for (word, level) in Isolation::WORDS {
        let one = settings("", &format!("isolation = '{word}'"));
        assert_eq!(one.isolation(), level);
        assert_eq!((one.wall, one.apart, one.on_outside), {
            let parts = level.parts();
            (parts.wall, parts.apart, parts.on_outside)
        });
    }
    assert_eq!(settings("", "").isolation(), Isolation::Contained);
    // Beside the word, in the same table or above it, a part counts; below it, no more.
    let beside = settings("", "isolation = 'strict'\non_outside = 'warn'");
    assert_eq!((beside.on_outside, beside.apart.ipc), (OnOutside::Warn, true));
    assert_eq!(beside.isolation(), Isolation::Contained);
    assert_eq!(settings("isolation = 'strict'", "wall = 'none'").isolation(), Isolation::View);
    let below = settings("wall = 'none'\nnet = 'loopback'", "isolation = 'contained'");
    assert_eq!((below.wall, below.apart.net), (Wall::Pidns, false));
    assert!(settings("", "isolation = 'view'").capabilities.len() > 30);
    assert!(settings("", "isolation = 'view'\ncapabilities = []").capabilities.is_empty());
}
