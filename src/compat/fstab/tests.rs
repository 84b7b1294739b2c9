use super::*;
use crate::compat::tests::{entries, losses};

#[test]
fn lines_become_entries() {
    for (line, expected) in [
        ("/srv /data none bind 0 0", "/data|source=\"/srv\",follow_symlinks=true,options=[\"norecursive\"]"),
        ("/srv /srv none rbind", "/srv|follow_symlinks=true"),
        ("/home/bob/x /x none rbind,ro", "/x|source=\"/home/bob/x\",options=[\"ro\"]"),
        (
            "/a\\040b /c\\134d none rw,rbind,nosuid,nodev,noexec,noatime,nosymfollow",
            "/c\\\\d|source=\"/a b\",follow_symlinks=true,options=[\"nosuid\",\"nodev\",\"noexec\",\"noatime\",\"nosymfollow\"]",
        ),
        ("/50% /50% none rbind", "/50%%|follow_symlinks=true"),
        (
            "tmpfs /tmp tmpfs size=64m,mode=700,nosuid",
            "/tmp|kind=\"tmpfs\",mode=\"0700\",size=67108864,options=[\"nosuid\"]",
        ),
        ("tmpfs /t tmpfs", "/t|kind=\"tmpfs\",mode=\"1777\""),
        ("tmpfs /t tmpfs uid=0,gid=root", "/t|kind=\"tmpfs\",mode=\"1777\""),
        ("proc /proc proc defaults", "/proc|kind=\"proc\""),
        ("sysfs /sys sysfs ro,nofail", "/sys|kind=\"sysfs\",options=[\"ro\"],optional=true"),
        ("devpts /dev/pts devpts gid=5,mode=620", "/dev/pts|kind=\"devpts\""),
        ("mqueue /dev/mqueue mqueue noexec", "/dev/mqueue|kind=\"mqueue\",options=[\"noexec\"]"),
        ("/dev/dri /dev/dri none rbind", "/dev/dri|follow_symlinks=true,options=[\"dev\"]"),
        (
            "/m /m none rbind,rslave,_netdev,x-systemd.requires=a",
            "/m|follow_symlinks=true,propagation=\"slave\"",
        ),
        ("/u /u none rbind,user,exec", "/u|follow_symlinks=true,options=[\"nosuid\",\"nodev\",\"exec\"]"),
    ] {
        assert_eq!(entries(&import(line)), [expected], "{line}");
    }
}

#[test]
fn what_the_host_must_mount_is_lost_with_an_example() {
    for (line, example) in [
        ("UUID=1-2 /boot ext4 ro 0 2", "#target = \"/boot\""),
        ("server:/x /net/x nfs4 _netdev", "#target = \"/net/x\""),
        ("overlay /o overlay lowerdir=/a", "#target = \"/o\""),
        ("/dev/sr0 /cd iso9660 noauto", "#target = \"/cd\""),
        ("/srv /later none bind,noauto", "#target = \"/later\""),
    ] {
        let imported = import(line);
        assert_eq!(losses(&imported), [1], "{line}");
        assert!(imported.map.contains(example), "{line}: {}", imported.map);
        assert_eq!(entries(&imported), Vec::<String>::new(), "{line}");
    }
    for line in [
        "/dev/sda2 none swap sw 0 0",
        "a b",
        "proc",
        "x /y none bind",
        "/x y none bind",
        "/x /y none bind,size=%",
    ] {
        assert_eq!(losses(&import(line)), [1], "{line}");
    }
    for line in
        ["tmpfs /t tmpfs size=50%", "tmpfs /t tmpfs uid=5", "proc /p proc hidepid=2", "tmpfs /t tmpfs shared"]
    {
        let imported = import(line);
        assert_eq!((losses(&imported).len(), entries(&imported).len()), (1, 1), "{line}");
    }
}

#[test]
fn the_profile_of_a_schroot_and_its_comments_come_over() {
    let text = "# fstab: static file system information\n/proc  /proc  none  rw,bind  0 0\n/sys /sys none rw,bind 0 0\n\
                /dev /dev none rw,bind 0 0\n/dev/pts /dev/pts none rw,bind 0 0\n/home /home none rw,bind 0 0\n\
                /tmp /tmp none rw,bind 0 0\n#/run /run none rw,bind 0 0\n";
    let imported = import(text);
    assert!(imported.map.contains("# Line 1: # fstab: static file system information"), "{}", imported.map);
    assert!(imported.map.contains("# Line 8: # /run /run none rw,bind 0 0"), "{}", imported.map);
    assert_eq!(losses(&imported), [2], "the host's /proc");
    assert_eq!(entries(&imported).len(), 6);
}

#[test]
fn what_comes_later_covers_what_was_there() {
    let imported = import("tmpfs /a/b tmpfs\n/x /a none rbind\n/y /a none rbind\n/z /a/c none rbind\n");
    assert_eq!(losses(&imported), [1, 2]);
    assert!(imported.losses[0].reason.contains("line 2 covers it"), "{:?}", imported.losses);
    assert_eq!(entries(&imported).len(), 2);
}
