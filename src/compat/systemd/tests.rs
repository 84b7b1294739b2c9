use super::*;
use crate::compat::tests::{entries, losses};

/// What a unit that says nothing has.
const PLAIN: [&str; 3] =
    ["/|follow_symlinks=true", "/dev|follow_symlinks=true,options=[\"dev\"]", "/proc|kind=\"proc\""];

fn read(text: &str) -> (Vec<String>, Vec<usize>) {
    let imported = import(text);
    let mut entries = entries(&imported);
    entries.retain(|entry| !PLAIN.contains(&entry.as_str()));
    (entries, losses(&imported))
}

#[test]
fn lines_become_entries() {
    for (text, expected) in [
        ("", vec![]),
        ("BindPaths=/a:/b", vec!["/b|source=\"/a\",follow_symlinks=true"]),
        (
            "BindReadOnlyPaths=-/a:/b:norbind /c",
            vec![
                "/b|source=\"/a\",follow_symlinks=true,options=[\"norecursive\",\"ro\"],optional=true",
                "/c|follow_symlinks=true,options=[\"ro\"]",
            ],
        ),
        ("BindPaths=\"/a b\" /c\\x20d", vec!["/a b|follow_symlinks=true", "/c d|follow_symlinks=true"]),
        ("BindPaths=/a\nBindPaths=\nBindPaths=/c", vec!["/c|follow_symlinks=true"]),
        ("BindPaths=/a \\\n  /b", vec!["/a|follow_symlinks=true", "/b|follow_symlinks=true"]),
        ("BindPaths=%h\nReadOnlyPaths=%h/x", vec!["%h|follow_symlinks=true", "%h/x|options=[\"ro\"]"]),
        ("ReadOnlyPaths=%h/x", vec!["%h/x|options=[\"ro\"]"]),
        ("BindPaths=%h/x:/x/%u", vec!["/x/%u|source=\"%h/x\""]),
        ("ReadOnlyPaths=/a", vec!["/a|follow_symlinks=true,options=[\"ro\"]"]),
        ("InaccessiblePaths=-/a", vec!["/a|kind=\"mask\",optional=true"]),
        (
            "TemporaryFileSystem=/a:ro,size=1M,mode=0700",
            vec!["/a|kind=\"tmpfs\",size=1048576,mode=\"0700\",options=[\"ro\"]"],
        ),
        (
            "PrivateTmp=yes",
            vec!["/tmp|kind=\"tmpfs\",mode=\"1777\"", "/var/tmp|kind=\"tmpfs\",mode=\"1777\""],
        ),
        ("PrivateDevices=yes", vec!["/dev|kind=\"dev\"", "/dev/pts|kind=\"devpts\""]),
        (
            "ProtectSystem=yes",
            vec![
                "/boot|follow_symlinks=true,options=[\"ro\"],optional=true",
                "/efi|follow_symlinks=true,options=[\"ro\"],optional=true",
                "/usr|follow_symlinks=true,options=[\"ro\"],optional=true",
            ],
        ),
        (
            "ProtectSystem=strict\nReadWritePaths=/var",
            vec![
                "/|follow_symlinks=true,options=[\"ro\"]",
                "/sys|follow_symlinks=true",
                "/var|follow_symlinks=true",
            ],
        ),
        (
            "ReadOnlyPaths=/a\nNoExecPaths=/a/b",
            vec![
                "/a|follow_symlinks=true,options=[\"ro\"]",
                "/a/b|follow_symlinks=true,options=[\"ro\",\"noexec\"]",
            ],
        ),
        (
            "BindReadOnlyPaths=/s:/d\nReadWritePaths=/d/e",
            vec![
                "/d|source=\"/s\",follow_symlinks=true,options=[\"ro\"]",
                "/d/e|source=\"/s/e\",follow_symlinks=true",
            ],
        ),
        (
            "ProtectHome=tmpfs",
            vec![
                "/home|kind=\"tmpfs\",options=[\"ro\"],optional=true",
                "/root|kind=\"tmpfs\",options=[\"ro\"],optional=true",
                "/run/user|kind=\"tmpfs\",options=[\"ro\"],optional=true",
            ],
        ),
        ("[Unit]\nBindPaths=/x\n[Service]\nExecStart=/bin/true\nType=oneshot", vec![]),
    ] {
        let expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
        assert_eq!(read(text), (expected, vec![]), "{text}");
    }
    assert_eq!(read("ProtectHome=yes").0.len(), 3);
    assert_eq!(read("NoExecPaths=/\nExecPaths=/usr").0.len(), 4, "root, /dev, /proc, /usr");
    let rooted = import("RootDirectory=/srv/r\nReadOnlyPaths=/a");
    assert!(rooted.map.contains("source = \"/srv/r/a\""), "{}", rooted.map);
}

#[test]
fn settings_come_over() {
    for (text, line) in [
        ("NoNewPrivileges=yes", "no_new_privs = true"),
        ("NoNewPrivileges=no", "no_new_privs = false"),
        ("UMask=0077", "umask = \"077\""),
        (
            "CapabilityBoundingSet=CAP_KILL\nCapabilityBoundingSet=CAP_CHOWN cap_kill",
            "capabilities = [\"CAP_KILL\", \"CAP_CHOWN\"]",
        ),
        ("Environment=\"A=b c\" D=%h", "A = \"b c\"\nD = \"%h\""),
    ] {
        let imported = import(text);
        assert!(imported.map.contains(line), "{text}: {}", imported.map);
        assert!(imported.losses.is_empty(), "{text}: {:?}", imported.losses);
        entries(&imported);
    }
}

#[test]
fn what_has_no_equivalent_is_lost_with_its_line() {
    for (text, lost) in [
        ("PrivateNetwork=yes\nSystemCallFilter=@basic", vec![1, 2]),
        ("SystemCallFilter=a\nSystemCallFilter=b", vec![1, 2]),
        ("ProtectProc=invisible\nProcSubset=pid", vec![1, 2]),
        ("BindPaths=%t/x", vec![1]),
        ("BindPaths=x", vec![1]),
        ("BindPaths=/a:/b:odd", vec![1]),
        ("CapabilityBoundingSet=~CAP_KILL", vec![1]),
        ("CapabilityBoundingSet=CAP_NOPE", vec![1]),
        ("UMask=9\nPrivateTmp=maybe\nProtectSystem=x\nProtectHome=x", vec![1, 2, 3, 4]),
        ("PrivateNewThing=yes\nStateDirectory=x\nUser=y", vec![1, 2, 3]),
        ("Environment=A LD_PRELOAD=x", vec![1, 1]),
        ("TemporaryFileSystem=/a:size=10%,nr_inodes=4", vec![1, 1]),
        ("InaccessiblePaths=/", vec![1]),
        ("TemporaryFileSystem=/a\nReadOnlyPaths=/a/b", vec![2]),
        ("MountFlags=slave\nRestrictNamespaces=yes\nodd", vec![1, 2, 3]),
        ("BindPaths=\"/a", vec![1]),
        ("PrivateNetwork=no\nProtectClock=0\nRestrictNamespaces=false\nUser=0", vec![4]),
        ("RootDirectory=/r\nReadOnlyPaths=%h/x", vec![2]),
    ] {
        assert_eq!(read(text).1, lost, "{text}: {:?}", import(text).losses);
    }
}
