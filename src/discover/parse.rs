//! The texts of a host's files. Pure: a line that cannot be understood is no line.

use std::collections::BTreeMap;

use super::found::{AutofsMap, FstabLine, Group, LoginDefs, Mounted, Said, User};
use crate::model::mounts::unescape;
use crate::model::subject::lets_in;

/// Groups whose members are worth a word.
const GROUPS: [&str; 9] =
    ["session-sandbox-exempt", "sudo", "wheel", "admin", "docker", "podman", "lxd", "incus-admin", "libvirt"];

/// `/proc/self/mountinfo`.
pub(super) fn mounts(text: &str) -> Vec<Mounted> {
    text.lines().filter_map(mount).collect()
}

fn mount(line: &str) -> Option<Mounted> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(4);
    let (at, own) = (mount.next()?, mount.next()?);
    let mut file_system = file_system.split(' ');
    let (kind, source) = (file_system.next()?, file_system.next()?);
    let options = format!("{own},{}", file_system.next().unwrap_or_default());
    Some(Mounted {
        at: unescape(at),
        kind: unescape(kind),
        source: unescape(source),
        options: unescape(&options),
    })
}

/// `/etc/fstab`.
pub(super) fn fstab(text: &str) -> Vec<FstabLine> {
    lines(text)
        .filter_map(|(number, line)| {
            let mut fields = line.split_ascii_whitespace();
            let (source, at, kind) = (fields.next()?, fields.next()?, fields.next()?);
            let options = unescape(fields.next().unwrap_or("defaults"));
            Some(FstabLine {
                number,
                source: unescape(source),
                at: unescape(at),
                kind: unescape(kind),
                options,
            })
        })
        .filter(|line| line.kind != "swap")
        .collect()
}

/// A master map: `/home auto.home`. For `/-` the mount points stand in the map that it names.
pub(super) fn auto_master(file: &str, text: &str) -> Vec<AutofsMap> {
    auto_lines(file, text, |_| true)
}

/// A map of mount points that are whole paths: `/data -ro server:/data`.
pub(super) fn auto_direct(file: &str, text: &str) -> Vec<AutofsMap> {
    let mut maps = auto_lines(file, text, |word| !word.starts_with('-'));
    maps.retain(|map| map.at != "/-");
    maps
}

/// `is_map` tells the map from options in front of it.
fn auto_lines(file: &str, text: &str, is_map: impl Fn(&str) -> bool) -> Vec<AutofsMap> {
    lines(text)
        .filter_map(|(number, line)| {
            let mut fields = line.split_ascii_whitespace();
            let at = fields.next().filter(|at| at.starts_with('/'))?;
            let map = fields.find(|field| is_map(field)).unwrap_or_default();
            Some(AutofsMap { place: format!("{file}:{number}"), at: at.to_owned(), map: map.to_owned() })
        })
        // Says that there is none.
        .filter(|map| map.map != "-null")
        .collect()
}

/// `/etc/passwd`, with the groups' names from `/etc/group`.
pub(super) fn users(passwd: &str, group: &str) -> Vec<User> {
    let names: BTreeMap<u32, &str> = group
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let (name, gid) = (fields.next()?, fields.nth(1)?);
            Some((gid.parse().ok()?, name))
        })
        .collect();
    passwd
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, _, uid, gid, _, home, shell] = fields[..] else { return None };
            let group = gid.parse().ok().and_then(|gid: u32| names.get(&gid)).map(|name| (*name).to_owned());
            let logs_in = lets_in(shell);
            let (name, home) = (name.to_owned(), home.to_owned());
            Some(User { name, uid: uid.parse().ok()?, group, home, logs_in })
        })
        .filter(|user| !user.name.is_empty() && !user.name.starts_with(['#', '+', '-']))
        .collect()
}

/// The groups of `/etc/group` that are worth a word.
pub(super) fn groups(text: &str) -> Vec<Group> {
    let mut groups: Vec<Group> = text
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|name| GROUPS.contains(name))?;
            let members = fields.nth(2).unwrap_or_default().split(',').map(str::trim);
            let mut members: Vec<String> =
                members.filter(|member| !member.is_empty()).map(str::to_owned).collect();
            members.sort_unstable();
            Some(Group { name: name.to_owned(), members })
        })
        .collect();
    groups.sort_by(|one, other| one.name.cmp(&other.name));
    groups
}

/// `/etc/login.defs`.
pub(super) fn login_defs(file: &str, text: &str) -> LoginDefs {
    let mut defs = LoginDefs::default();
    for (number, line) in lines(text) {
        let Some((key, value)) = line.split_once(|mark: char| mark.is_ascii_whitespace()) else { continue };
        let value = value.trim();
        let place = || format!("{file}:{number}");
        let decimal = || value.parse().ok().map(|value| Said { place: place(), value });
        match key {
            "UID_MIN" => defs.uid_min = decimal(),
            "UID_MAX" => defs.uid_max = decimal(),
            "UMASK" => {
                let mask = u32::from_str_radix(value, 8).ok().filter(|mask| *mask <= 0o777);
                defs.umask = mask.map(|value| Said { place: place(), value });
            }
            "ENV_PATH" => {
                let path = value.strip_prefix("PATH=").unwrap_or(value);
                let is_usable = path.split(':').all(|folder| folder.starts_with('/'));
                defs.path = is_usable.then(|| Said { place: place(), value: path.to_owned() });
            }
            _ => {}
        }
    }
    defs
}

/// Who `/etc/nsswitch.conf` has answer for users, groups and hosts.
pub(super) fn name_services(text: &str) -> Vec<String> {
    let mut services: Vec<String> = lines(text)
        .filter_map(|(_, line)| line.split_once(':'))
        .filter(|(data, _)| ["passwd", "group", "hosts"].contains(&data.trim()))
        .flat_map(|(_, services)| services.split_ascii_whitespace())
        // What is to be done after an answer.
        .filter(|word| word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)))
        .map(str::to_owned)
        .collect();
    services.sort_unstable();
    services.dedup();
    services
}

/// The lines that say something, counted from 1.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_is_what_its_escapes_stand_for() {
        let text = "36 35 98:0 /m /mnt/two\\040words\\134x rw,noatime master:1 shared:2 - nfs4 s:/a\\011b ro,vers=4\n\
                    nonsense\n1 2 0:1 / /bad\\777 rw - tmpfs none rw\n";
        let found = mounts(text);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].at, "/mnt/two words\\x");
        assert_eq!((found[0].kind.as_str(), found[0].source.as_str()), ("nfs4", "s:/a\tb"));
        assert_eq!(found[0].options, "rw,noatime,ro,vers=4");
        assert_eq!(found[1].at, "/bad\\777", "there is no such byte");
    }

    #[test]
    fn fstab_is_read_with_its_line_numbers_and_without_swap() {
        let found =
            fstab("# one\n\nUUID=1 / ext4 errors=remount-ro 0 1\n/s none swap sw\nsrv:/h\t/home nfs\nx /y\n");
        let lines: Vec<_> = found.iter().map(|line| (line.number, line.at.as_str())).collect();
        assert_eq!(lines, [(3, "/"), (5, "/home")]);
        assert_eq!(found[1].options, "defaults");
    }

    #[test]
    fn automount_maps_have_a_place_and_a_source() {
        let text =
            "+auto.master\n/home  /etc/auto.home --timeout=60\n/- auto.direct\n/net -hosts\n/old -null\n";
        let found = auto_master("m", text);
        let shown: Vec<_> = found.iter().map(|map| (map.at.as_str(), map.map.as_str())).collect();
        assert_eq!(shown, [("/home", "/etc/auto.home"), ("/-", "auto.direct"), ("/net", "-hosts")]);
        assert_eq!(found[0].place, "m:2");
        let direct = auto_direct("d", "/data -ro,soft srv:/data\nrelative srv:/x\n");
        assert_eq!(direct.len(), 1);
        assert_eq!((direct[0].at.as_str(), direct[0].map.as_str()), ("/data", "srv:/data"));
    }

    #[test]
    fn users_have_their_groups_name_and_those_without_a_shell_do_not_log_in() {
        let passwd = "root:x:0:0::/root:/bin/bash\nbob:x:1001:100:Bob:/home/users/bob:/bin/sh\n\
                      www:x:1002:7::/srv:/usr/sbin/nologin\n+@net::::::\nbroken\n";
        let found = users(passwd, "root:x:0:\nusers:x:100:bob\n");
        let names: Vec<_> = found.iter().map(|user| user.name.as_str()).collect();
        assert_eq!(names, ["root", "bob", "www"]);
        assert_eq!(found[1].group.as_deref(), Some("users"));
        assert!(found[1].logs_in && !found[2].logs_in && found[2].group.is_none());
        let groups = groups("wheel:x:10:zoe,amy\nusers:x:100:\ndocker:x:11:\n");
        let names: Vec<_> = groups.iter().map(|group| group.name.as_str()).collect();
        assert_eq!(names, ["docker", "wheel"]);
        assert_eq!(groups[1].members, ["amy", "zoe"]);
    }

    #[test]
    fn login_defs_and_nsswitch_give_what_can_be_understood() {
        let text = "UID_MIN\t\t 500\nUID_MAX x\nUMASK 027\nENV_PATH PATH=/usr/bin:/bin\n";
        let found = login_defs("f", text);
        assert_eq!(found.uid_min, Some(Said { place: "f:1".to_owned(), value: 500 }));
        assert_eq!((found.uid_max, found.umask.unwrap().value), (None, 0o027));
        assert_eq!(found.path.unwrap().value, "/usr/bin:/bin");
        assert_eq!(login_defs("f", "ENV_PATH PATH=.:/bin\nUMASK 9\n"), LoginDefs::default());
        let services =
            name_services("passwd: files sss\nhosts: files mdns4_minimal [NOTFOUND=return] dns\nx: y\n");
        assert_eq!(services, ["dns", "files", "mdns4_minimal", "sss"]);
    }
}
