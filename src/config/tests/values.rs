//! What the model holds after the map was read.

use super::{policy, targets};
use crate::model::path::AbsPath;
use crate::model::policy::*;
use crate::model::template::Template;

fn template(text: &str) -> Template {
    Template::parse(text).unwrap()
}

fn profile(text: &str) -> Profile {
    policy(&format!("version = 1\n[[profile]]\nname = \"p\"\n{text}\n")).profiles.remove(0)
}

fn mount(text: &str) -> MountRule {
    profile(&format!("[[profile.mount]]\n{text}")).mounts.remove(0)
}

#[test]
fn a_map_that_says_nothing_gets_the_settings_of_the_built_in_map() {
    let settings = profile("").settings;
    assert_eq!(
        (settings.scope_name, settings.on_change, settings.linger),
        (None, OnChange::Join, Linger::No)
    );
    let Settings { root, mode, scope, wall, no_new_privs, capabilities, umask, environment, shell, .. } =
        profile("").settings;
    assert_eq!(root.source(), "/var/lib/workspace/%u/chroot");
    assert_eq!((mode, scope, wall), (Mode::Namespace, Scope::User, Wall::Pidns));
    assert_eq!((no_new_privs, umask, shell), (true, 0o022, None));
    assert_eq!(capabilities, Vec::<String>::new());
    assert_eq!(environment.keep, ["COLORTERM", "LANG", "LANGUAGE", "LC_*", "TERM", "TZ"]);
    let path = template("/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games");
    assert_eq!(environment.set.into_iter().collect::<Vec<_>>(), [("PATH".to_owned(), path)]);
}

#[test]
fn every_setting_is_read() {
    let settings = profile(
        r#"
        root = "/w/%u"
        mode = "chroot"
        scope = "named"
        scope_name = "project-%g"
        on_change = "new"
        linger = "10m"
        wall = "landlock"
        no_new_privs = false
        capabilities = ["net_bind_service", "CAP_KILL", "Cap_Kill"]
        umask = "077"
        shell = "/bin//zsh"
        keep_env = ["XDG_*"]
        set_env = { LANG = "C", WHO = "%u", EMPTY = "" }"#,
    )
    .settings;
    assert_eq!((settings.root.source(), settings.umask), ("/w/%u", 0o077));
    assert_eq!((settings.mode, settings.wall, settings.no_new_privs), (Mode::Chroot, Wall::Landlock, false));
    assert_eq!((settings.scope, settings.on_change), (Scope::Named, OnChange::New));
    assert_eq!((settings.scope_name, settings.linger), (Some(template("project-%g")), Linger::Seconds(600)));
    assert_eq!(settings.capabilities, ["CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    assert_eq!(settings.shell, Some(AbsPath::new("/bin/zsh").unwrap()));
    assert_eq!(settings.environment.keep, ["XDG_*"]);
    // The PATH of the built-in map stays: variables are replaced one by one.
    assert_eq!(settings.environment.set.keys().collect::<Vec<_>>(), ["EMPTY", "LANG", "PATH", "WHO"]);
}

#[test]
fn every_condition_is_read() {
    let matches = profile(
        r#"match = { user = "bob", not_user = ["root", "x$"], group = ["a b"], not_group = "g", uid = [7, "1000-59999"],
            not_uid = 0x10, service = "ssh*", not_service = ["cron"], tty = "pts/[0-9]", not_tty = "tty?",
            rhost = "*.example.org", not_rhost = "::1", exists = "/u/%u", not_exists = ["/etc/nologin", "%h/.no"] }"#,
    )
    .matches;
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        matches,
        Match {
            user: texts(&["bob"]),
            not_user: texts(&["root", "x$"]),
            group: texts(&["a b"]),
            not_group: texts(&["g"]),
            uid: vec![UidRange { first: 7, last: 7 }, UidRange { first: 1000, last: 59999 }],
            not_uid: vec![UidRange { first: 16, last: 16 }],
            service: texts(&["ssh*"]),
            not_service: texts(&["cron"]),
            tty: texts(&["pts/[0-9]"]),
            not_tty: texts(&["tty?"]),
            remote_host: texts(&["*.example.org"]),
            not_remote_host: texts(&["::1"]),
            exists: vec![template("/u/%u")],
            not_exists: vec![template("/etc/nologin"), template("%h/.no")],
        }
    );
    assert_eq!(profile("").matches, Match::default());
}

#[test]
fn every_kind_is_read() {
    let standard = Attributes::STANDARD;
    let read_only = Attributes { read_only: true, ..standard };
    let noexec = Attributes { noexec: true, ..standard };
    let bind = |source: &str| MountKind::Bind {
        source: template(source),
        recursive: true,
        open_as: OpenAs::Root,
        follow_symlinks: false,
        propagation: Propagation::Private,
        attributes: standard,
    };
    for (text, expected) in [
        ("target = '//srv/'", bind("/srv")),
        ("target = '/a'\nsource = '%h/b/'", bind("%h/b")),
        (
            "target = '/a'\nkind = 'bind'\nrecursive = false\nopen_as = 'user'\npropagation = 'slave'\n\
             options = ['ro', 'suid', 'dev', 'noexec', 'noatime', 'nosymfollow']",
            MountKind::Bind {
                source: template("/a"),
                recursive: false,
                open_as: OpenAs::User,
                follow_symlinks: false,
                propagation: Propagation::Slave,
                attributes: Attributes {
                    read_only: true,
                    nosuid: false,
                    nodev: false,
                    noexec: true,
                    noatime: true,
                    nosymfollow: true,
                },
            },
        ),
        (
            "target = '/a'\nkind = 'tmpfs'",
            MountKind::Tmpfs { size: None, mode: 0o755, owner: Owner::Root, attributes: standard },
        ),
        (
            "target = '/a'\nkind = 'tmpfs'\nsize = '64M'\nmode = '1777'\nowner = 'user'\noptions = ['ro']",
            MountKind::Tmpfs {
                size: Some(64 << 20),
                mode: 0o1777,
                owner: Owner::User,
                attributes: read_only,
            },
        ),
        ("target = '/a'\nkind = 'proc'", MountKind::Proc { attributes: noexec }),
        ("target = '/a'\nkind = 'proc'\noptions = ['exec']", MountKind::Proc { attributes: standard }),
        ("target = '/a'\nkind = 'sysfs'", MountKind::Sysfs { attributes: read_only }),
        ("target = '/a'\nkind = 'sysfs'\noptions = ['rw']", MountKind::Sysfs { attributes: standard }),
        ("target = '/a'\nkind = 'dev'\nsize = 4096", MountKind::Dev { size: Some(4096) }),
        ("target = '/a'\nkind = 'devpts'", MountKind::Devpts),
        ("target = '/a'\nkind = 'mqueue'", MountKind::Mqueue { attributes: noexec }),
        ("target = '/a'\nkind = 'symlink'\nto = '../%u'", MountKind::Symlink { to: template("../%u") }),
        ("target = '/a'\nkind = 'dir'\nmode = '2775'", MountKind::Dir { mode: 0o2775, owner: Owner::Root }),
        (
            "target = '/a'\nkind = 'file'\ncontent = \"%u\\n\"",
            MountKind::File { content: template("%u\n"), mode: 0o644, owner: Owner::Root },
        ),
        ("target = '/a'\nkind = 'mask'", MountKind::Mask),
        (
            "kind = 'system'\npaths = ['/usr', '/bin/']",
            MountKind::System {
                paths: vec![AbsPath::new("/usr").unwrap(), AbsPath::new("/bin").unwrap()],
                attributes: read_only,
            },
        ),
    ] {
        assert_eq!(mount(text).kind, expected, "{text}");
        assert!(!mount(text).optional, "{text}");
        assert!(mount(&format!("{text}\noptional = true")).optional, "{text}");
    }
    assert!(matches!(
        mount("target = '/a'\noptions = ['norecursive']").kind,
        MountKind::Bind { recursive: false, .. }
    ));
    assert!(matches!(
        mount("target = '/a'\nfollow_symlinks = true").kind,
        MountKind::Bind { follow_symlinks: true, .. }
    ));
    assert_eq!(mount("kind = 'system'\npaths = ['/usr']").target.source(), "/");
}

#[test]
fn origins_are_the_header_of_a_profile_and_the_first_key_of_a_mount() {
    let text = "version = 1\n\n[[profile]]\n# who\nname = 'p'\n[[profile.mount]]\n\n# what\noptional = true\ntarget = '/a'\n";
    let profile = policy(text).profiles.remove(0);
    assert_eq!((profile.origin.line, profile.mounts[0].origin.line), (3, 9));
    assert_eq!(profile.origin.to_string(), "m:3");
}

#[test]
fn profiles_and_mounts_may_also_be_written_in_line() {
    let text =
        "version = 1\nprofile = [\n  { name = 'p', mount = [{ target = '/a' }, { target = '/b' }] },\n]\n";
    let policy = policy(text);
    assert_eq!(targets(&policy.profiles[0]), ["/a", "/b"]);
    assert_eq!(policy.profiles[0].origin.line, 3);
}

#[test]
fn a_byte_order_mark_and_carriage_returns_change_nothing() {
    let text = "version = 1\n[[profile]]\nname = 'p'\n[[profile.mount]]\ntarget = '/a'\n";
    assert_eq!(policy(&format!("\u{feff}{}", text.replace('\n', "\r\n"))), policy(text));
}
