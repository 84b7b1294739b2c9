//! The maps in `docs/examples`, each on a host such as its page describes: it is planned without a finding, it is
//! entered, and what the page promises is so inside.
//!
//! The host is one of the test's own: another root, with the real system's directories bound into it, an `/etc` that is
//! a copy, and accounts that are nowhere else.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};

use crate::pam::stage::{SESSIONCTL, Stage};
use crate::support::probe::MountLine;
use crate::support::world::SESSION_ENTER;
use crate::support::{
    HostMounts, Needs, Outcome, Run, User, Verdict, ensure, ensure_eq, isolated, tool, trial, until,
};

const NEEDS: &[Needs] = &[
    Needs::Root,
    Needs::OrdinaryUser,
    Needs::Tool("pivot_root"),
    Needs::Tool("getent"),
    Needs::Tool("setsid"),
];
const BY_PAM: &[Needs] = &[
    Needs::Root,
    Needs::OrdinaryUser,
    Needs::PamHost,
    Needs::Tool("pivot_root"),
    Needs::Tool("getent"),
    Needs::Tool("mknod"),
];

type Look = fn() -> Verdict;

/// Each map, what is looked at in a session that `session-enter` opens, and what in one that comes by PAM.
const EXAMPLES: [(&str, Look, Look); 6] = [
    ("login-host", login_host, login_host_by_pam),
    ("sftp", sftp, sftp_by_pam),
    ("web-hosting", web_hosting, web_hosting_by_pam),
    ("kiosk", kiosk, kiosk_by_pam),
    ("ci", ci, ci_by_pam),
    ("user-manager", user_manager, user_manager_by_pam),
];

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("examples: every map has a test", &[Needs::Nothing], every_map_is_here),
        trial(
            "examples: what the pages link to is there, and every map is linked to",
            &[Needs::Nothing],
            pages,
        ),
    ];
    for (name, enters, comes) in EXAMPLES {
        trials.push(isolated(format!("examples: {name}"), NEEDS, HostMounts::Private, enters));
        trials.push(isolated(format!("examples: {name}, by PAM"), BY_PAM, HostMounts::Private, comes));
    }
    trials
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples")
}

fn every_map_is_here() -> Verdict {
    let mut maps = BTreeSet::new();
    for entry in std::fs::read_dir(folder())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        maps.extend(name.strip_suffix(".toml").map(str::to_owned));
    }
    let tested: BTreeSet<String> = EXAMPLES.iter().map(|(name, ..)| (*name).to_owned()).collect();
    ensure_eq!(tested, maps, "a map in docs/examples and its test here go together");
    Ok(())
}

fn pages() -> Verdict {
    let docs = folder().join("..");
    let mut linked = BTreeSet::new();
    for entry in std::fs::read_dir(&docs)? {
        let page = entry?.path();
        if page.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let text = std::fs::read_to_string(&page)?;
        for link in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            if link.is_empty() || link.contains("://") {
                continue;
            }
            ensure!(docs.join(link).exists(), "{page:?} links to {link}, which is not there");
            linked.extend(link.strip_prefix("examples/").map(str::to_owned));
        }
    }
    for (name, ..) in EXAMPLES {
        ensure!(linked.contains(&format!("{name}.toml")), "no page links to the map {name}");
    }
    Ok(())
}

/// A host of the test's own.
struct Host {
    map: String,
}

/// Where a host's map is, and where a part of one.
const MAP: &str = "/etc/session-sandbox/mounts.toml";
const PART: &str = "/etc/session-sandbox/mounts.d/50-example.toml";

impl Host {
    /// With the example of this name as its map.
    fn with(example: &str) -> Result<Self, Failed> {
        Self::with_at(example, MAP)
    }

    fn with_at(example: &str, at: &str) -> Result<Self, Failed> {
        let map = std::fs::read_to_string(folder().join(example).with_extension("toml"))?;
        // What the maps name and a host may have is not taken over: whether it is there is for the test to say.
        let script = "set -e
            mount -t tmpfs -o mode=755 host /mnt; cd /mnt
            for path in /*; do
                name=${path#/}
                case $name in etc|mnt|srv|scratch|work|sw|cvmfs|homes) continue ;; esac
                if [ -L $path ]; then cp -d $path $name
                elif [ -d $path ]; then mkdir $name; mount --rbind $path $name; fi
            done
            cp -a /etc etc; mkdir mnt srv homes old
            rm -rf etc/session-sandbox; mkdir -p etc/session-sandbox/mounts.d
            for path in \"$@\"; do mkdir -p .$path; mount --bind $path .$path; done
            pivot_root . old; umount -l /old; rmdir /old";
        Run::new("sh").args(["-c", script, "sh"]).args(built()).finish()?.expect_code(0)?;
        std::fs::write(at, &map)?;
        Ok(Self { map })
    }

    /// An account with a home, in a group of its own and in these. One of that name that the real host has is forgotten.
    fn account(&self, name: &str, uid: u32, home: &str, groups: &[&str]) -> Result<User, Failed> {
        let others = |path: &str| -> Result<Vec<String>, Failed> {
            let text = std::fs::read_to_string(path)?;
            let own = format!("{name}:");
            Ok(text.lines().filter(|line| !line.starts_with(&own)).map(str::to_owned).collect())
        };
        let mut passwd = others("/etc/passwd")?;
        passwd.push(format!("{name}:x:{uid}:{uid}::{home}:/bin/sh"));
        std::fs::write("/etc/passwd", passwd.join("\n") + "\n")?;
        let mut lines = others("/etc/group")?;
        lines.push(format!("{name}:x:{uid}:"));
        let mut gids = vec![uid];
        for (nth, group) in groups.iter().enumerate() {
            let found = lines.iter_mut().find(|line| line.starts_with(&format!("{group}:")));
            if let Some(line) = found {
                line.push_str(if line.ends_with(':') { "" } else { "," });
                line.push_str(name);
                gids.push(line.split(':').nth(2).unwrap_or_default().parse()?);
            } else {
                let gid = uid + 1000 + u32::try_from(nth)?;
                lines.push(format!("{group}:x:{gid}:{name}"));
                gids.push(gid);
            }
        }
        std::fs::write("/etc/group", lines.join("\n") + "\n")?;
        if !Path::new(home).exists() {
            own_folder(home, uid)?;
        }
        Ok(User { name: name.to_owned(), uid, gid: uid, groups: gids, home: home.into() })
    }

    /// The dry run of a user's login, which must have no finding; a session must come out as it says.
    fn clean_plan(&self, user: &str, service: &str) -> Result<String, Failed> {
        let plan = self.plan(user, service)?;
        ensure!(!plan.contains("to look at"), "{plan}");
        self.lives_as_planned(user, service)?;
        Ok(plan)
    }

    /// What is mounted in a session is what the map says, by the word of `sessionctl diff`, of it and of its view.
    fn lives_as_planned(&self, user: &str, service: &str) -> Verdict {
        let mut session = self.session(user, service, "echo inside; read end").piped_input().start()?;
        session.expect("inside")?;
        let list = Run::new(SESSIONCTL).args(["list", "--json"]).finish()?.output()?;
        let list: serde_json::Value = serde_json::from_str(&list)?;
        let names: Vec<&str> = list["sessions"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| one["name"].as_str())
            .collect();
        ensure!(!names.is_empty(), "no session lives: {list}");
        for name in names {
            let diff = Run::new(SESSIONCTL).args(["diff", "--session", name]).finish()?;
            ensure!(diff.code == Some(0), "{} {}", diff.stdout, diff.stderr);
        }
        let diff = Run::new(SESSIONCTL).arg("diff").finish()?;
        ensure!(diff.code == Some(0), "{} {}", diff.stdout, diff.stderr);
        session.close_input();
        session.finish()?;
        self.until_empty()
    }

    fn plan(&self, user: &str, service: &str) -> Result<String, Failed> {
        Run::new(SESSION_ENTER).args(["--user", user, "--service", service, "--dry-run"]).finish()?.output()
    }

    /// A session of a user's by this door, which runs a script.
    fn session(&self, user: &str, service: &str, script: &str) -> Run {
        Run::new(SESSION_ENTER).args(["--user", user, "--service", service, "--", "sh", "-c", script])
    }

    /// What such a script says.
    fn says(&self, user: &str, service: &str, script: &str) -> Result<String, Failed> {
        self.session(user, service, script).finish()?.output()
    }

    /// Nobody of whom the map says nothing gets a view.
    fn has_no_profile_for(&self, user: &str, service: &str) -> Verdict {
        let refused = self.session(user, service, "true").finish()?.expect_code(125)?;
        ensure!(refused.stderr.contains("no profile matches"), "{}", refused.stderr);
        Ok(())
    }

    /// Waits until the last view has gone.
    fn until_empty(&self) -> Verdict {
        until("no view lives", || {
            let list = Run::new(SESSIONCTL).args(["list", "--json"]).finish().ok()?.output().ok()?;
            let list: serde_json::Value = serde_json::from_str(&list).ok()?;
            list["namespaces"].as_array()?.is_empty().then_some(())
        })
    }

    /// A PAM service that leads to the example's map.
    fn stage(&self) -> Result<Stage, Failed> {
        let stage = Stage::new("", "")?;
        stage.world.file("map.toml", &self.map)?;
        Ok(stage)
    }
}

/// Where the programs were built, which may be below one of the folders that a host is made without.
fn built() -> Vec<&'static Path> {
    let folders = [Path::new(SESSION_ENTER).parent(), Some(Path::new(env!("CARGO_TARGET_TMPDIR")))];
    folders.into_iter().flatten().filter(|folder| folder.exists()).collect()
}

fn own_folder(path: &str, uid: u32) -> Verdict {
    std::fs::create_dir_all(path)?;
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o750))?;
    Ok(chown(path, Some(uid), Some(uid))?)
}

fn file(path: &str, text: &str, mode: u32) -> Verdict {
    if let Some(parent) = Path::new(path).parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(path, text)?;
    Ok(std::fs::set_permissions(path, PermissionsExt::from_mode(mode))?)
}

/// The mounts that a script has shown by `cat /proc/self/mountinfo`: nothing of the host's can be written to but at
/// these places, and nowhere does a program gain rights or is a device one.
fn only_these_are_writable(mountinfo: &str, places: &[&str]) -> Verdict {
    let mounts: Vec<MountLine> = mountinfo.lines().filter_map(MountLine::parse).collect();
    ensure!(mounts.len() > 3, "no mounts: {mountinfo}");
    for mount in mounts {
        ensure!(mount.has("nosuid"), "programs gain rights: {mount:?}");
        ensure!(mount.has("nodev") || mount.at.starts_with("/dev"), "devices work: {mount:?}");
        let kernels = mount.at == "/proc" || mount.at.starts_with("/dev");
        let ours = built().iter().any(|folder| folder.starts_with(&mount.at) && mount.at != "/");
        let known = kernels || ours || places.contains(&mount.at.as_str());
        ensure!(mount.has("ro") || known, "this can be written to: {mount:?}");
    }
    Ok(())
}

/// What a PAM application prints of a child's output, between the lines about its calls.
fn child_of(text: &str) -> Result<&str, Failed> {
    let (_, after) =
        text.split_once("open: 0\nwhere: away\n").ok_or_else(|| format!("not inside: {text}"))?;
    let (child, after) = after.split_once("child: 0\n").ok_or_else(|| format!("it failed: {text}"))?;
    ensure_eq!(after, "close: 0\nwhere: home\n", "what came behind it");
    Ok(child)
}

fn come(stage: &Stage, user: &str, script: &str) -> Result<String, Failed> {
    stage
        .host_as(user, "calls", ["open", "where", "child", "close", "where"])
        .env("CHILD", script)
        .finish()?
        .output()
        .map_err(|failed| format!("{}\n{}", failed.message().unwrap_or_default(), stage.log()).into())
}

// ---- A login host

fn login_host() -> Verdict {
    let host = Host::with("login-host")?;
    let alice = host.account("alice", 64001, "/homes/alice", &[])?;
    host.account("bert", 64002, "/homes/bert", &["staff"])?;
    host.account("erna", 64003, "/homes/erna", &["session-sandbox-exempt"])?;
    file("/etc/ssh/of-the-host", "", 0o644)?;
    host.clean_plan("alice", "sshd")?;
    host.clean_plan("alice", "cron")?;

    // The home is the real one; no other is there, nor a disk that this host has not.
    let look = "echo kept > ~/file; ls -A /homes /tmp; test -e /scratch || echo no scratch; ls /etc/ssh; \
                grep -c bert /etc/passwd; cat /proc/self/mountinfo >/tmp/mounts";
    let session = host.session("alice", "sshd", look).finish()?.expect_code(0)?;
    ensure_eq!(session.stdout, "/homes:\nalice\n\n/tmp:\nno scratch\n1\n", "what alice sees");
    ensure!(session.stderr.contains("Permission denied"), "/etc/ssh can be seen: {}", session.stderr);
    ensure_eq!(std::fs::read_to_string("/homes/alice/file")?, "kept\n", "her file on the host");
    ensure_eq!(std::fs::metadata("/homes/alice/file")?.uid(), alice.uid, "whose it is");
    host.until_empty()?;

    // With the disk and LXCFS. What is left running keeps the view, and /tmp with it.
    std::fs::create_dir("/scratch")?;
    std::fs::set_permissions("/scratch", PermissionsExt::from_mode(0o1777))?;
    file("/var/lib/lxcfs/proc/meminfo", "MemTotal: 7 kB\n", 0o444)?;
    let leave = "head -n 1 /proc/meminfo; echo big > /scratch/alice; \
                 setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $! >/tmp/left; cat /proc/self/mountinfo >/tmp/mounts; wait %2 2>/dev/null; true";
    ensure_eq!(host.says("alice", "sshd", leave)?, "MemTotal: 7 kB\n", "her share of the memory");
    ensure_eq!(std::fs::read_to_string("/scratch/alice")?, "big\n", "her file on the disk");
    let find = "kill -0 $(cat /tmp/left) && echo alive; cat /tmp/mounts; kill $(cat /tmp/left)";
    let found = host.says("alice", "cron", find)?;
    let mounts = found.strip_prefix("alive\n").ok_or_else(|| format!("nothing was left: {found}"))?;
    only_these_are_writable(mounts, &["/homes/alice", "/scratch", "/tmp", "/var/tmp", "/var/mail"])?;
    host.until_empty()?;

    // The staff are nobody's guests, and look at the same root by hand.
    for exempt in ["bert", "erna", "root"] {
        host.has_no_profile_for(exempt, "sshd")?;
    }
    host.clean_plan("bert", "session-enter")?;
    // A home that is not there refuses the login.
    std::fs::remove_dir_all("/homes/alice")?;
    let refused = host.session("alice", "sshd", "true").finish()?.expect_code(125)?;
    ensure!(refused.stderr.contains("/homes/alice"), "{}", refused.stderr);
    Ok(())
}

fn login_host_by_pam() -> Verdict {
    let host = Host::with("login-host")?;
    host.account("alice", 64001, "/homes/alice", &[])?;
    host.account("bert", 64002, "/homes/bert", &["staff"])?;
    let stage = host.stage()?;
    let text = come(&stage, "alice", "cd /homes/alice; pwd; ls /homes; echo kept >file")?;
    ensure_eq!(child_of(&text)?, "/homes/alice\nalice\n", "what alice sees");
    ensure_eq!(std::fs::read_to_string("/homes/alice/file")?, "kept\n", "her file on the host");
    for stays in ["bert", "root"] {
        let text = stage.host_as(stays, "calls", ["open", "where", "close"]).finish()?.output()?;
        ensure_eq!(text, "open: 0\nwhere: home\nclose: 0\n", "{stays}");
    }
    stage.until_empty()
}

// ---- sftp

/// Dave with a folder, as the map says how to make it.
fn sftp_host() -> Result<(Host, User), Failed> {
    let host = Host::with("sftp")?;
    let dave = host.account("dave", 64001, "/", &["sftponly"])?;
    host.account("eve", 64002, "/", &["sftponly"])?;
    for user in ["dave", "eve"] {
        let folder = format!("/srv/sftp/{user}");
        let script = format!(
            "install -d -o {user} -g {user} {folder} && cd {folder} && mkdir bin dev etc lib lib64 proc usr && touch dev/null"
        );
        Run::new("sh").args(["-c", &script]).finish()?.expect_code(0)?;
    }
    Ok((host, dave))
}

fn sftp() -> Verdict {
    let (host, dave) = sftp_host()?;
    let plan = host.clean_plan("dave", "session-enter")?;
    ensure!(plan.contains("/srv/sftp/dave"), "{plan}");
    // As sshd runs it: as dave, who must be able to reach the program.
    std::fs::create_dir("/homes/bin")?;
    let program = "/homes/bin/session-enter";
    std::fs::copy(SESSION_ENTER, program)?;
    let door = |words: &str| Run::new(program).user(&dave).args(["-c", words]).finish();

    let script = "pwd; echo put > /file && cat /file; mkdir /folder && mv /file /folder/file; ls /srv /home; \
                  cat /etc/passwd /etc/group; ls /etc; cp /usr/bin/true /true && /true";
    let outcome = door(script)?.expect_code(126)?;
    let own =
        "root:x:0:0:root:/:/usr/sbin/nologin\ndave:x:64001:64001::/:/bin/sh\nroot:x:0:\ndave:x:64001:\n";
    let etc =
        if Path::new("/etc/localtime").exists() { "group\nlocaltime\npasswd\n" } else { "group\npasswd\n" };
    ensure_eq!(outcome.stdout, format!("/\nput\n{own}{etc}"), "what dave sees");
    ensure_eq!(std::fs::read_to_string("/srv/sftp/dave/folder/file")?, "put\n", "the file on the host");
    ensure_eq!(std::fs::metadata("/srv/sftp/dave/folder/file")?.uid(), dave.uid, "whose it is");
    ensure_eq!(std::fs::read_dir("/srv/sftp/eve")?.count(), 7, "what is in another's folder");

    // By the real server, where there is one.
    let server = "/usr/lib/openssh/sftp-server";
    if Path::new(server).exists() && tool("sftp").is_some() {
        file("/homes/bin/door", &format!("#!/bin/sh\nexec {program} -c {server}\n"), 0o755)?;
        file("/homes/bin/word", "by sftp\n", 0o644)?;
        let batch = "put /homes/bin/word /word\nmkdir /more\nrename /word /more/word\nls -l /more\nls /\n";
        let client = Run::new("sftp").user(&dave).args(["-b", "-", "-D", "/homes/bin/door"]).input(batch);
        let listing = client.finish()?.output()?;
        ensure!(listing.contains("/more/word") && listing.contains("dave"), "{listing}");
        ensure_eq!(
            std::fs::read_to_string("/srv/sftp/dave/more/word")?,
            "by sftp\n",
            "the file that was put"
        );
        let client = Run::new("sftp").user(&dave).args(["-b", "-", "-D", "/homes/bin/door"]);
        client.input("ls /srv\n").finish()?.expect_code(1)?;
    }
    host.has_no_profile_for("root", "session-enter")
}

/// The module leaves them to sshd's ForceCommand.
fn sftp_by_pam() -> Verdict {
    let (host, _) = sftp_host()?;
    let stage = host.stage()?;
    let text = stage.host_as("dave", "calls", ["open", "where", "close"]).finish()?.output()?;
    ensure_eq!(text, "open: 0\nwhere: home\nclose: 0\n", "dave");
    Ok(())
}

// ---- A web host

fn web_host() -> Result<Host, Failed> {
    let host = Host::with("web-hosting")?;
    for (name, uid) in [("site1", 64001), ("site2", 64002)] {
        let home = format!("/srv/www/{name}");
        host.account(name, uid, &home, &["webowners"])?;
        own_folder(&format!("{home}/htdocs"), uid)?;
        file(&format!("/etc/php-sites/{name}.conf"), &format!("[{name}]\n"), 0o644)?;
    }
    file("/etc/php/8.2/fpm/pool.d/site2.conf", "secret", 0o644)?;
    file("/etc/php/8.2/cli/php.ini", "shown", 0o644)?;
    Ok(host)
}

const PASSWD_OF_SITE1: &str = "root:x:0:0:root:/nonexistent:/usr/sbin/nologin\n\
     nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n\
     site1:x:64001:64001::/srv/www/site1:/bin/bash\n";

fn web_hosting() -> Verdict {
    let host = web_host()?;
    host.account("alice", 64003, "/homes/alice", &[])?;
    for service in ["sshd", "cron", "session-enter", "php-site"] {
        host.clean_plan("site1", service)?;
    }
    let text = host.says(
        "site1",
        "sshd",
        "getent passwd; getent group; id -un; getent passwd site2; ls /srv/www /homes /srv 2>/dev/null; pwd; \
         echo hello >htdocs/index.html; ls -A /tmp; cat /etc/php-site.conf /etc/php/8.2/cli/php.ini; \
         ls -A /etc/php/8.2/fpm/pool.d 2>&1 | grep -c denied",
    )?;
    let rest = text.strip_prefix(PASSWD_OF_SITE1).ok_or_else(|| format!("who is known: {text}"))?;
    ensure_eq!(
        rest,
        "root:x:0:\nnogroup:x:65534:\nsite1:x:64001:\nsite1\n/srv:\nwww\n\n/srv/www:\nsite1\n/srv/www/site1\n[site1]\nshown1\n",
        "what the owner sees"
    );
    ensure_eq!(
        std::fs::read_to_string("/srv/www/site1/htdocs/index.html")?,
        "hello\n",
        "the page on the host"
    );

    let etc = host.says("site1", "cron", "ls -A /etc")?;
    for name in ["shadow", "ssh", "cron.d", "crontab", "php-sites", "session-sandbox", "systemd", "pam.d"] {
        ensure!(!etc.lines().any(|line| line == name), "/etc/{name} is there: {etc}");
    }
    only_these_are_writable(
        &host.says("site1", "sshd", "cat /proc/self/mountinfo")?,
        &["/srv/www/site1", "/tmp", "/var/tmp"],
    )?;

    // PHP has a view of its own; what else an owner comes by is one.
    let ask = "readlink /proc/self/ns/mnt";
    let mut login =
        host.session("site1", "sshd", &format!("{ask}; touch /tmp/mine; read line")).piped_input().start()?;
    login.expect("]\n")?;
    let of_login = login.stdout();
    ensure_eq!(host.says("site1", "cron", ask)?, of_login, "ssh and cron");
    let php = host.says("site1", "php-site", &format!("{ask}; ls -A /tmp; ls -d /proc/[0-9]* | wc -l"))?;
    ensure!(!php.contains(of_login.trim_end()) && !php.contains("mine"), "PHP is in the logins' view: {php}");
    ensure_eq!(host.says("site1", "sshd", "ls -A /tmp")?, "mine\n", "/tmp of the logins");
    ensure_eq!(
        host.says("site2", "sshd", "ls -A /tmp /srv/www")?,
        "/srv/www:\nsite2\n\n/tmp:\n",
        "another site"
    );
    login.finish()?;
    host.has_no_profile_for("alice", "sshd")
}

fn web_hosting_by_pam() -> Verdict {
    let host = web_host()?;
    let stage = host.stage()?;
    let text =
        come(&stage, "site1", "getent passwd; ls /srv/www; cat /srv/www/site2/htdocs/* 2>/dev/null; true")?;
    ensure_eq!(child_of(&text)?, format!("{PASSWD_OF_SITE1}site1\n"), "what the owner sees");
    stage.until_empty()
}

// ---- A kiosk

fn kiosk_host() -> Result<(Host, User), Failed> {
    let host = Host::with("kiosk")?;
    let guest = host.account("guest", 64001, "/homes/guest", &["guests"])?;
    file("/homes/guest/on-the-disk", "", 0o644)?;
    file("/etc/ssh/of-the-host", "", 0o644)?;
    file("/run/dbus/system_bus_socket", "", 0o666)?;
    Ok((host, guest))
}

fn kiosk() -> Verdict {
    let (host, guest) = kiosk_host()?;
    host.account("owner", 64002, "/homes/owner", &[])?;
    for service in ["lightdm", "lightdm-autologin", "login", "sshd"] {
        host.clean_plan("guest", service)?;
    }
    let use_it = "pwd; ls -A ~; stat -c '%u %a' ~ ~/README; echo trace > ~/trace; echo more >> ~/README; \
                  echo trace > /tmp/trace; ls -A ~ /homes; ls /run/dbus; \
                  setsid sleep 1000 </dev/null >/dev/null 2>&1 & readlink /proc/self/ns/pid";
    let text = host.says("guest", "lightdm", use_it)?;
    let uid = guest.uid;
    let must = format!(
        "/homes/guest\nREADME\n{uid} 700\n{uid} 644\n/homes:\nguest\n\n/homes/guest:\nREADME\ntrace\nsystem_bus_socket\n"
    );
    ensure!(text.starts_with(&must), "what the guest sees: {text}");
    // Neither files nor programs are there the next time, and the home on the disk is as it was.
    let next = "ls -A ~ /tmp; cat ~/README; ls -d /proc/[0-9]* | wc -l";
    let next = host.says("guest", "lightdm", next)?;
    let fresh =
        "/homes/guest:\nREADME\n\n/tmp:\nNothing in this folder outlives your session. Take it with you.\n";
    let processes = next.strip_prefix(fresh).ok_or_else(|| format!("the next guest finds {next}"))?;
    ensure!(processes.trim().parse::<u32>()? <= 4, "processes are left: {next}");
    let on_disk: Vec<_> =
        std::fs::read_dir("/homes/guest")?.flatten().map(|entry| entry.file_name()).collect();
    ensure_eq!(on_disk, ["on-the-disk"], "the home on the disk");
    only_these_are_writable(
        &host.says("guest", "login", "cat /proc/self/mountinfo")?,
        &["/homes/guest", "/tmp", "/var/tmp"],
    )?;
    host.until_empty()?;
    host.has_no_profile_for("owner", "lightdm")
}

fn kiosk_by_pam() -> Verdict {
    let (host, _) = kiosk_host()?;
    let stage = host.stage()?;
    // A harmless device in place of a keyboard: what is bound read-only can be written to all the same.
    let device = "mkdir /dev/input && mknod /dev/input/event0 c 1 3 && chmod 666 /dev/input/event0";
    Run::new("sh").args(["-c", device]).finish()?.expect_code(0)?;
    let look = "cd /homes/guest; ls -A; echo trace >trace; echo key >/dev/input/event0 && echo opened; touch /dev/input/more 2>&1 | grep -c only";
    for _ in 0..2 {
        let text = come(&stage, "guest", &format!("{look}; true"))?;
        ensure_eq!(child_of(&text)?, "README\nopened\n1\n", "what the guest sees");
        stage.until_empty()?;
    }
    Ok(())
}

// ---- A host for jobs

fn ci_host() -> Result<(Host, User), Failed> {
    let host = Host::with("ci")?;
    let user = host.account("ci", 64001, "/homes/ci", &["ci"])?;
    own_folder("/srv/ci/cache/ci", user.uid)?;
    file("/srv/ci/mirror/package", "mirrored\n", 0o644)?;
    file("/etc/gitlab-runner/config.toml", "token", 0o644)?;
    Ok((host, user))
}

fn ci() -> Verdict {
    let (host, user) = ci_host()?;
    host.clean_plan("ci", "session-enter")?;
    host.clean_plan("ci", "sshd")?;
    let build = "set -e; ls -A ~ /tmp; umask; echo object >~/object; echo trace >/tmp/trace; echo built >~/.cache/built; \
                 echo $CI $CI_JOB $SECRET; cat /srv/ci/mirror/package; echo ready; read line; cat ~/object";
    let mut first = host
        .session("ci", "session-enter", build)
        .env("CI_JOB", "4711")
        .env("SECRET", "of the runner")
        .piped_input()
        .start()?;
    first.expect("ready\n")?;
    // While it runs, another one begins in an empty place, and finds the cache.
    let look = "ls -A ~ /tmp; cat ~/.cache/built; ls -d /proc/[0-9]* | wc -l; ls /srv/ci; \
                cat /etc/gitlab-runner/config.toml 2>/dev/null || echo closed; echo other >~/object";
    let second = host.says("ci", "session-enter", look)?;
    let (before, after) =
        second.split_once("built\n").ok_or_else(|| format!("there is no cache: {second}"))?;
    ensure_eq!(before, "/homes/ci:\n.cache\n\n/tmp:\n", "what the second job begins with");
    let (processes, rest) = after.split_once('\n').unwrap_or_default();
    ensure!(processes.parse::<u32>()? <= 4, "processes of another job: {second}");
    ensure_eq!(rest, "mirror\nclosed\n", "what else it sees");
    first.write(b"\n")?;
    let first: Outcome = first.finish()?;
    ensure_eq!(
        first.output()?,
        "/homes/ci:\n.cache\n\n/tmp:\n0077\ntrue 4711\nmirrored\nready\nobject\n",
        "what the first job has"
    );
    ensure_eq!(std::fs::read_to_string("/srv/ci/cache/ci/built")?, "built\n", "the cache on the host");
    ensure_eq!(std::fs::read_dir("/homes/ci")?.count(), 0, "what is left in the home on the disk");
    only_these_are_writable(
        &host.says("ci", "session-enter", "cat /proc/self/mountinfo")?,
        &["/homes/ci", "/homes/ci/.cache", "/tmp", "/var/tmp"],
    )?;

    // A runner that is not root enters as well, and has the cache.
    std::fs::create_dir("/homes/bin")?;
    let program = "/homes/bin/session-enter";
    std::fs::copy(SESSION_ENTER, program)?;
    let by_itself = Run::new(program).user(&user).args(["--", "sh", "-c", "cat ~/.cache/built; ls -A /tmp"]);
    ensure_eq!(by_itself.finish()?.output()?, "built\n", "a job without root");

    // The other workspace that the map tells of: a folder for each job, on the disk.
    let memory = "kind = \"tmpfs\"\nsize = \"8G\"\nmode = \"0700\"\nowner = \"user\"\n";
    let disk = "source = \"/srv/ci/jobs/%i\"\nopen_as = \"user\"\n";
    for line in disk.lines() {
        ensure!(host.map.contains(&format!("#{line}\n")), "the map does not tell of {line}");
    }
    ensure_eq!(host.map.matches(memory).count(), 1, "the lines that it replaces");
    std::fs::write(MAP, host.map.replace(memory, disk))?;
    own_folder("/srv/ci/jobs/4712", user.uid)?;
    // What a job's folder is to have mounted on it must be in it.
    own_folder("/srv/ci/jobs/4712/.cache", user.uid)?;
    let job =
        ["--user", "ci", "--session", "4712", "--", "sh", "-c", "pwd; echo job >file; cat .cache/built"];
    let text = Run::new(SESSION_ENTER).args(job).finish()?.output()?;
    ensure_eq!(text, "/homes/ci\nbuilt\n", "a job on the disk");
    ensure_eq!(std::fs::read_to_string("/srv/ci/jobs/4712/file")?, "job\n", "its file");
    Ok(())
}

fn ci_by_pam() -> Verdict {
    let (host, _) = ci_host()?;
    let stage = host.stage()?;
    for _ in 0..2 {
        let text =
            come(&stage, "ci", "cd /homes/ci; ls -A . /tmp; echo object >object; echo trace >/tmp/trace")?;
        ensure_eq!(child_of(&text)?, ".:\n.cache\n\n/tmp:\n", "what a job begins with");
    }
    stage.until_empty()
}

// ---- The user manager: a part that is put on top of the map that ships

fn user_manager_host() -> Result<Host, Failed> {
    let host = Host::with_at("user-manager", PART)?;
    host.account("alice", 64001, "/homes/alice", &[])?;
    std::fs::create_dir_all("/run/systemd/private-of-systemd")?;
    Ok(host)
}

fn user_manager() -> Verdict {
    let host = user_manager_host()?;
    // It says itself that it has no wall, and nothing else is to be found.
    let plan = host.plan("alice", "systemd-user")?;
    let findings = plan.split_once("to look at:").map_or("", |(_, findings)| findings);
    let findings: Vec<&str> = findings
        .split("\n\n")
        .next()
        .unwrap_or_default()
        .lines()
        .filter(|line| line.contains("profile"))
        .collect();
    ensure!(!findings.is_empty(), "no finding: {plan}");
    ensure!(findings.iter().all(|line| line.contains("has no wall")), "{findings:#?}");
    let text =
        host.says("alice", "sshd", "ls /run/systemd; readlink /dev/log; readlink /proc/self/ns/pid")?;
    let own = std::fs::read_link("/proc/self/ns/pid")?;
    ensure_eq!(
        text,
        format!("private-of-systemd\n/run/systemd/journal/dev-log\n{}\n", own.display()),
        "what alice sees"
    );
    Ok(())
}

/// The manager's process enters itself: a process that runs already can do so where there is no wall.
fn user_manager_by_pam() -> Verdict {
    let host = user_manager_host()?;
    let stage = host.stage()?;
    // The module's `config=` names one file and no parts, so that it is left out here.
    let line = std::fs::read_to_string("/etc/pam.d/session-sandbox-test")?;
    let line: String =
        line.split(' ').filter(|word| !word.starts_with("config=")).collect::<Vec<_>>().join(" ");
    std::fs::write("/etc/pam.d/session-sandbox-test", line)?;
    let text = come(
        &stage,
        "alice",
        "readlink /proc/self/ns/pid; ls /run/systemd; kill -0 $PPID 2>&1 | grep -c permitted",
    )?;
    let own = std::fs::read_link("/proc/self/ns/pid")?;
    ensure_eq!(child_of(&text)?, format!("{}\nprivate-of-systemd\n1\n", own.display()), "what alice sees");
    stage.until_empty()
}
