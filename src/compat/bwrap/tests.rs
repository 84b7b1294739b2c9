use super::*;
use crate::compat::tests::{entries, losses};

/// Entries but the root, of arguments as a shell has them.
fn read(text: &str) -> (Vec<String>, Vec<usize>) {
    let imported = import(text);
    let mut entries = entries(&imported);
    entries.retain(|entry| entry != "/|kind=\"tmpfs\",owner=\"user\"");
    (entries, losses(&imported))
}

#[test]
fn options_become_entries() {
    let bound = "follow_symlinks=true,open_as=\"user\"";
    for (text, expected) in [
        ("--bind /srv /data", vec![format!("/data|source=\"/srv\",{bound}")]),
        ("--ro-bind /usr /usr", vec![format!("/usr|{bound},options=[\"ro\"]")]),
        ("--ro-bind-try /usr /usr", vec![format!("/usr|{bound},options=[\"ro\"],optional=true")]),
        ("--dev-bind /dev /dev", vec![format!("/dev|{bound},options=[\"dev\"]")]),
        ("--bind \"$HOME/x y\" ~/z", vec!["%h/z|source=\"%h/x y\",open_as=\"user\"".to_owned()]),
        ("--bind /50% /50%", vec![format!("/50%%|{bound}")]),
        ("--proc /proc", vec!["/proc|kind=\"proc\"".to_owned()]),
        ("--dev /dev", vec!["/dev|kind=\"dev\"".to_owned(), "/dev/pts|kind=\"devpts\"".to_owned()]),
        ("--tmpfs tmp", vec!["/tmp|kind=\"tmpfs\",owner=\"user\"".to_owned()]),
        (
            "--perms 1777 --size 1048576 --tmpfs /tmp",
            vec!["/tmp|kind=\"tmpfs\",owner=\"user\",mode=\"1777\",size=1048576".to_owned()],
        ),
        ("--mqueue /q", vec!["/q|kind=\"mqueue\"".to_owned()]),
        ("--perms 0700 --dir /d", vec!["/d|kind=\"dir\",owner=\"user\",mode=\"0700\"".to_owned()]),
        ("--dir /d --chmod 0711 /d", vec!["/d|kind=\"dir\",owner=\"user\",mode=\"0711\"".to_owned()]),
        (
            "--dir /a/d --chmod 0711 /a",
            vec![
                "/a/d|kind=\"dir\",owner=\"user\"".to_owned(),
                "/a|kind=\"dir\",owner=\"user\",mode=\"0711\"".to_owned(),
            ],
        ),
        ("--symlink usr/bin /bin", vec!["/bin|kind=\"symlink\",to=\"usr/bin\"".to_owned()]),
        ("--bind /a /b --remount-ro /b", vec![format!("/b|source=\"/a\",{bound},options=[\"ro\"]")]),
        ("--dir /b --bind /a /b", vec![format!("/b|source=\"/a\",{bound}")]),
    ] {
        let (found, lost) = read(text);
        assert_eq!((found, lost), (expected, vec![]), "{text}");
        let words = text.replace("\"$HOME/x y\"", "/h").replace('~', "/h").replace(' ', "\0");
        assert_eq!(read(&words).1, Vec::<usize>::new(), "NUL separated: {words:?}");
    }
    assert_eq!(
        read("/usr/bin/bwrap\0--proc\0/proc\0").0,
        ["/proc|kind=\"proc\""],
        "as /proc/PID/cmdline has it"
    );
    assert!(import("--bind / /").map.matches("target = \"/\"").count() == 1);
    assert!(import("--remount-ro /").map.contains("options = [\"ro\"]"));
}

#[test]
fn what_has_no_equivalent_is_lost_with_its_place() {
    for (text, lost) in [
        ("--file 3 /x", vec![1]),
        ("--tmpfs /a --ro-bind-data 3 /x", vec![3]),
        ("--bind x /y", vec![1]),
        ("--bind $X /y", vec![1]),
        ("--bind /a", vec![1]),
        ("--frobnicate a b --proc /p", vec![1]),
        ("--bind /a /a --dir /a/b", vec![4]),
        ("--bind /a /a --symlink x /a/b", vec![4]),
        ("--symlink b /a --bind /c /a/d", vec![4]),
        ("--tmpfs /a/b --bind /c /a", vec![1]),
        ("--tmpfs /a --bind-try /c /a", vec![1]),
        ("--remount-ro /a", vec![1]),
        ("--chmod 0700 /a", vec![1]),
        ("--perms 0700 --bind /a /a", vec![1]),
        ("--size 5 --dir /a", vec![1]),
        ("--perms 9 --dir /a", vec![1]),
        ("--unshare-net --unshare-pid --share-net", vec![1]),
        ("--unshare-all", vec![1]),
        ("--uid 0 --hostname x --new-session --die-with-parent", vec![1, 3, 5]),
        ("--seccomp 5", vec![1]),
        ("--setenv LD_PRELOAD x", vec![1]),
        ("--setenv HOME x", vec![1]),
        ("--unsetenv LC_ALL --unsetenv TZ", vec![1]),
        ("--cap-add CAP_NOPE --cap-drop ALL --cap-add ALL", vec![1, 5]),
        ("--proc /proc -- sh -c 'x y'", vec![4]),
        ("--proc /proc sh --dev /dev", vec![3]),
        ("FOO=1 bwrap --proc /p; echo", vec![1, 1]),
        ("bwrap --proc /p 3<x", vec![2]),
        ("--proc /../x", vec![1]),
        ("--overlay a b /c --proc /proc", vec![1]),
        ("--chdir ~ --chdir /tmp", vec![3]),
        ("--tmpfs /home --bind ~ ~", vec![]),
        ("--dev /home --dir ~/x", vec![]),
        ("--dev /dev --dir /dev/null/x", vec![3]),
        ("--bind ~ ~ --tmpfs /home", vec![1]),
        ("--bind ~ ~ --ro-bind / /", vec![1]),
        ("--ro-bind / / --dir ~/x", vec![4]),
        ("--bind /home /home --dir ~/x", vec![4]),
    ] {
        assert_eq!(read(text).1, lost, "{text}: {:?}", import(text).losses);
    }
}

#[test]
fn settings_come_over() {
    for (text, lines) in [
        ("--unshare-pid", vec!["wall = \"pidns\"\n", "scope = \"session\"", "no_new_privs = true"]),
        ("--proc /p", vec!["#wall = \"none\""]),
        ("--clearenv --setenv A 'b %'", vec!["keep_env = []", "A = \"b %%\""]),
        ("--setenv A b --setenv A c", vec!["A = \"c\""]),
        ("--unsetenv TERM", vec!["keep_env = [\"COLORTERM\""]),
        ("--cap-add cap_kill", vec!["capabilities = [\"CAP_KILL\"]"]),
    ] {
        let map = import(text).map;
        lines.iter().for_each(|line| assert!(map.contains(line), "{text}: no {line} in {map}"));
    }
    assert!(!import("--setenv A b --clearenv").map.contains("set_env"));
}

#[test]
fn a_script_is_read_up_to_the_end_of_the_command() {
    let script = "#!/bin/sh\nset -e\nexec /usr/bin/bwrap \\\n  --ro-bind /usr /usr \\\n  --symlink usr/bin /bin \\\n  --dev /dev \\\n  --proc /proc \\\n  \"$@\"\n";
    let imported = import(script);
    assert_eq!(entries(&imported).len(), 6, "{}", imported.map);
    assert_eq!(losses(&imported), [1, 11], "set -e and $@");
}
