//! Whatever is changed in a view that lives, or on the host below it, `sessionctl diff` tells of it, and of nothing else.

use std::os::unix::fs::chown;

use libtest_mimic::{Failed, Trial};

use super::Host;
use crate::pam::stage::SESSIONCTL;
use crate::support::{HostMounts, Needs, Outcome, Run, Running, Verdict, ensure, ensure_eq, isolated, until};

const NEEDS: &[Needs] =
    &[Needs::Root, Needs::OrdinaryUser, Needs::Tool("nsenter"), Needs::Tool("mount"), Needs::Tool("umount")];

pub fn trials() -> Vec<Trial> {
    let own = |name: &str, test: fn() -> Verdict| isolated(name, NEEDS, HostMounts::Shared, test);
    vec![
        own("explained: every change inside a view is told by diff", inside),
        own("explained: what the host changes below a view is told by diff", on_the_host),
        own("explained: a map that has changed is told by diff", in_the_map),
        own("explained: diff sees sessions of all kinds", kinds),
    ]
}

/// A view of bob's that lives, and the process in it.
struct Living {
    host: Host,
    session: Running,
    name: String,
}

impl Living {
    fn new(settings: &str) -> Result<Self, Failed> {
        let host = Host::new(settings)?;
        let words = ["--user", &host.bob.name, "--", "sh", "-c", "echo inside; read end"];
        let mut session = host.world.enter(words)?.piped_input().start()?;
        session.expect("inside")?;
        let list = Run::new(SESSIONCTL).args(["list", "--json"]).finish()?.output()?;
        let list: serde_json::Value = serde_json::from_str(&list)?;
        let name = list["sessions"][0]["name"].as_str().ok_or("no session")?.to_owned();
        let living = Self { host, session, name };
        ensure_eq!(living.diff()?.code, Some(0), "{}", living.diff()?.stdout);
        Ok(living)
    }

    fn diff(&self) -> Result<Outcome, Failed> {
        let map = self.host.world.path("map.toml");
        Run::new(SESSIONCTL).args(["diff", "--session", &self.name, "--config"]).arg(map).finish()
    }

    /// Does something in the view as root.
    fn inside(&self, script: &str) -> Verdict {
        let pid = session_pid(self.host.bob.uid)?;
        Run::new("nsenter").args(["-t", &pid, "-m", "sh", "-c", script]).finish()?.expect_code(0).map(drop)
    }

    fn end(mut self) -> Verdict {
        self.session.close_input();
        self.session.finish().map(drop)
    }

    /// There is one difference, and it is this.
    fn differs(&self, what: &str, words: &[&str]) -> Verdict {
        let told = self.diff()?;
        ensure_eq!(told.code, Some(1), "{what}: {}{}", told.stdout, told.stderr);
        let said = told.stdout.replace("\n    ", " ").replace("  ", " ");
        for word in words.iter().chain(&["1 difference\n"]) {
            ensure!(said.contains(word), "{what}: nothing of {word:?}: {}", told.stdout);
        }
        Ok(())
    }
}

fn inside() -> Verdict {
    for (script, words) in [
        ("umount /bobs", &["/bobs missing: bind", "map.toml:", "unmounted inside"][..]),
        ("mount -t tmpfs over /mine", &["/mine not in the plan: tmpfs", "mounted inside"]),
        ("mount -t tmpfs over /bobs", &["/bobs not in the plan: tmpfs"]),
        (
            "mount -o remount,bind,rw,nosuid,nodev /open",
            &["/open is rw,nosuid,nodev, and the plan has ro", "remounted"],
        ),
        ("mount -o remount,bind,ro,noexec,nosuid,nodev /bobs", &["/bobs is ro,nosuid,nodev,noexec"]),
        ("mount -o remount,bind,ro,nosuid,nodev /noexec", &["/noexec is ro,nosuid,nodev, and the plan has"]),
        ("umount /open/sub", &["/open/sub missing: mask", "unmounted inside"]),
        ("umount /proc", &["/proc missing: proc"]),
        ("umount /dev/shm", &["/dev/shm missing: tmpfs"]),
        ("mount --bind /open /closed", &["/closed not in the plan:"]),
    ] {
        let living = Living::new("")?;
        living.inside(script)?;
        living.differs(script, words)?;
        living.end()?;
    }
    // More than one at once are all told.
    let living = Living::new("")?;
    living.inside("umount /bobs; umount /closed; mount -t tmpfs x /mine")?;
    let told = living.diff()?;
    ensure!(told.stdout.contains("3 differences"), "{}", told.stdout);
    living.end()
}

fn on_the_host() -> Verdict {
    // Mounted since: a bind that is private does not follow.
    let living = Living::new("")?;
    let below = living.host.world.path("bobs/below");
    std::fs::create_dir(&below)?;
    Run::new("mount").args(["-t", "tmpfs", "later"]).arg(&below).finish()?.expect_code(0)?;
    living.differs("a later mount", &["/bobs/below missing: tmpfs", "the host has mounted it since"])?;
    Run::new("umount").arg(&below).finish()?.expect_code(0)?;
    living.end()?;
    // A view that is built now has it, and loses nothing when the host unmounts it.
    let host = Host::new("")?;
    std::fs::create_dir(host.world.path("bobs/below"))?;
    let below = host.world.path("bobs/below");
    Run::new("mount").args(["-t", "tmpfs", "before"]).arg(&below).finish()?.expect_code(0)?;
    let words = ["--user", &host.bob.name, "--", "sh", "-c", "echo inside; read end"];
    let mut session = host.world.enter(words)?.piped_input().start()?;
    session.expect("inside")?;
    let diff = || {
        let map = host.world.path("map.toml");
        let pid = session_pid(host.bob.uid)?;
        Run::new(SESSIONCTL)
            .args(["diff", "--pid", &pid, "--user", &host.bob.name, "--profile", "test", "--config"])
            .arg(map)
            .finish()
    };
    let told = diff()?;
    ensure_eq!(told.code, Some(0), "{}{}", told.stdout, told.stderr);
    Run::new("umount").arg(&below).finish()?.expect_code(0)?;
    let told = diff()?;
    ensure!(told.stdout.contains("/bobs/below not in the plan: tmpfs"), "{}{}", told.stdout, told.stderr);
    ensure!(told.stdout.contains("the host has unmounted it since"), "{}", told.stdout);
    // Replaced: what was bound is no longer what is at its path.
    std::fs::rename(host.world.path("bobs"), host.world.path("old"))?;
    std::fs::create_dir(host.world.path("bobs"))?;
    chown(host.world.path("bobs"), Some(host.bob.uid), None)?;
    let told = diff()?;
    ensure!(told.stdout.contains("/bobs is ") && told.stdout.contains("replaced"), "{}", told.stdout);
    session.close_input();
    session.finish()?;
    Ok(())
}

/// The process of a session that is inside, by the number that it has here.
fn session_pid(uid: u32) -> Result<String, Failed> {
    let own = std::fs::read_link("/proc/self/ns/mnt")?;
    until("a process is inside", || {
        crate::support::host::process_ids().find(|pid| {
            let namespace = std::fs::read_link(format!("/proc/{pid}/ns/mnt"));
            let owner = std::fs::metadata(format!("/proc/{pid}"));
            namespace.is_ok_and(|namespace| namespace != own)
                && owner.is_ok_and(|owner| std::os::unix::fs::MetadataExt::uid(&owner) == uid)
        })
    })
}

fn in_the_map() -> Verdict {
    let living = Living::new("scope = \"user\"")?;
    let path = living.host.world.path("map.toml");
    let map = std::fs::read_to_string(&path)?;
    std::fs::write(&path, format!("{map}\n[[profile.mount]]\ntarget = \"/more\"\nkind = \"tmpfs\"\n"))?;
    let told = living.diff()?;
    ensure_eq!(told.code, Some(1), "{}{}", told.stdout, told.stderr);
    let said = told.stdout.replace("\n  ", " ");
    for word in ["/more missing: tmpfs", "newer than the view", "built from generation", "has changed since"]
    {
        ensure!(said.contains(word), "nothing of {word:?}: {}", told.stdout);
    }
    let json = Run::new(SESSIONCTL).args(["diff", "--json", "--config"]).arg(&path).finish()?;
    let json: serde_json::Value = serde_json::from_str(&json.stdout)?;
    ensure_eq!(json[0]["differences"].as_array().map(Vec::len), Some(1), "{json}");
    ensure!(json[0]["generation"] != json[0]["built_from"], "{json}");
    std::fs::write(&path, &map)?;
    ensure_eq!(living.diff()?.code, Some(0), "the map is as it was");
    living.end()
}

/// A view for all, a private copy, a namespace of the session's own, and one without a PID namespace.
fn kinds() -> Verdict {
    for settings in [
        "scope = \"user\"",
        "scope = \"session\"",
        "scope = \"user\"\nwall = \"none\"",
        "scope = \"session\"\nwall = \"none\"",
        "mode = \"chroot\"",
    ] {
        Living::new(settings)?.end()?;
    }
    let gone = Run::new(SESSIONCTL).args(["diff", "--session", "Session99999"]).finish()?.expect_code(125)?;
    ensure!(gone.stderr.contains("help: "), "{}", gone.stderr);
    ensure_eq!(
        Run::new(SESSIONCTL).arg("diff").finish()?.output()?,
        "no view lives\n",
        "when all have ended"
    );
    Ok(())
}
