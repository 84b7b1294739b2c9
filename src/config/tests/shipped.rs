//! The map that is compiled in and installed.

use super::{file, names, parse, targets};
use crate::config::{BUILT_IN, built_in};
use crate::model::policy::{MountKind, OpenAs};

#[test]
fn the_built_in_map_keeps_root_out_and_lets_root_in_by_hand() {
    let policy = built_in().unwrap_or_else(|found| panic!("{found}"));
    assert_eq!(names(&policy), ["login", "command"]);
    let [login, command] = &policy.profiles[..] else { panic!("{policy:?}") };
    assert_eq!((&login.matches.not_user[..], login.matches.not_uid[0].last), (&["root".to_owned()][..], 0));
    assert_eq!(command.matches.service, ["session-enter"]);
    assert_eq!((&command.mounts, &command.settings), (&login.mounts, &login.settings));
    assert!(login.settings.no_new_privs && login.settings.capabilities.is_empty());
}

#[test]
fn what_differs_between_hosts_is_optional() {
    let policy = built_in().unwrap();
    let login = &policy.profiles[0];
    for mount in &login.mounts {
        let everywhere = ["/etc"].contains(&mount.target.source());
        if let MountKind::Bind { open_as, source, .. } = &mount.kind {
            assert_eq!(mount.optional, !everywhere, "{}", mount.origin);
            let the_users = source.starts_at_home() || source.source().starts_with("/run/user/");
            assert_eq!(*open_as == OpenAs::User, the_users, "{}", mount.origin);
        }
    }
    for needed in ["/", "%h", "/tmp", "/proc", "/dev", "/dev/pts", "/etc", "/run"] {
        assert!(targets(login).contains(&needed), "{needed}");
    }
}

/// Examples are lines that begin with `#` and no space.
#[test]
fn every_example_in_the_map_works_when_it_is_taken_in() {
    let uncommented: String = BUILT_IN
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(example) if !example.is_empty() && !example.starts_with(' ') => format!("{example}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let policy = parse(&[file("examples", &uncommented)]).unwrap_or_else(|found| panic!("{found}"));
    assert_eq!(names(&policy), ["login", "command", "backup"]);
    let mut kinds: Vec<_> =
        policy.profiles.iter().flat_map(|p| &p.mounts).map(|mount| mount.kind.word()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds.len(), 12, "a kind without an example: {kinds:?}");
    assert!(!targets(&policy.profiles[2]).contains(&"/opt"));
}

#[test]
fn the_drop_in_at_the_end_of_the_map_works() {
    let example: String = BUILT_IN
        .lines()
        .filter_map(|line| line.strip_prefix("#     "))
        .fold(String::new(), |text, line| text + line + "\n");
    let start = example.find("version = 1\n").unwrap();
    let files = [file("base", BUILT_IN), file("50-local.toml", &example[start..])];
    let policy = parse(&files).unwrap_or_else(|found| panic!("{found}"));
    assert_eq!(names(&policy), ["guests", "login"]);
    assert_eq!(policy.profiles[0].settings.umask, 0o077);
}

#[test]
fn the_map_is_readable_on_any_terminal() {
    for (at, line) in BUILT_IN.lines().enumerate() {
        assert!(line.is_ascii() && line.len() <= 120 && !line.contains('\t'), "line {}", at + 1);
        assert_eq!(line, line.trim_end(), "line {}", at + 1);
    }
}
