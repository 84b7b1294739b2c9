//! `sessionctl selftest`: attacks get through where the map lets them, are stopped where it does not, and leave nothing.

use std::collections::BTreeSet;

use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::support::{
    HostMounts, HostState, Needs, Outcome, Run, Verdict, World, ensure, ensure_eq, isolated, users,
};

const AS_BOB: &[Needs] = &[Needs::Root, Needs::OrdinaryUser];
const SESSIONCTL: &str = env!("CARGO_BIN_EXE_sessionctl");
/// What a wall stops, and nothing else does.
const BY_WALL: [&str; 13] = [
    "proc-root",
    "proc-cwd",
    "proc-fd",
    "environ",
    "memory",
    "proc-mem",
    "ptrace",
    "kill",
    "pidfd-signal",
    "sigio",
    "pidfd-getfd",
    "limits",
    "scheduling",
];

pub fn trials() -> Vec<Trial> {
    let own = |name: &str, test: fn() -> Verdict| isolated(name, AS_BOB, HostMounts::Shared, test);
    vec![
        own("selftest: no attack gets through by a map as it ships, however the root is switched", stopped),
        own("selftest: without a wall those get through that a wall stops, and no others", no_wall),
        own(
            "selftest: a Landlock domain stops all that SECURITY.md says, and what it does not gets through",
            landlock,
        ),
        own("selftest: what the map leaves open is no failure, and what shows the host is", left_open),
        own("selftest says why it cannot try, and leaves nothing when it is killed", refused),
    ]
}

fn selftest(world: &World, more: &[&str]) -> Result<Outcome, Failed> {
    let map = world.path("map.toml");
    Run::new(SESSIONCTL).args(["selftest", "--json", "--config"]).arg(&map).args(more).finish()
}

struct Tried(Vec<Value>);

impl Tried {
    fn of(outcome: &Outcome) -> Result<Self, Failed> {
        let report: Value = serde_json::from_str(&outcome.stdout)
            .map_err(|error| format!("{error}: {}{}", outcome.stdout, outcome.stderr))?;
        Ok(Self(report["attempts"].as_array().ok_or("no attempts")?.clone()))
    }

    /// The attacks that ended so.
    fn ended(&self, how: &str) -> BTreeSet<String> {
        let ended = self.0.iter().filter(|attempt| attempt["outcome"] == how);
        ended.filter_map(|attempt| attempt["id"].as_str().map(str::to_owned)).collect()
    }
}

fn set(of: &[&str]) -> BTreeSet<String> {
    of.iter().map(|id| (*id).to_owned()).collect()
}

fn stopped() -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    let before = HostState::now();
    std::fs::write(world.path("map.toml"), include_str!("../../mounts.toml"))?;
    for mode in ["namespace", "chroot"] {
        for user in [&[][..], &["--user", &bob.name]] {
            let outcome = selftest(&world, &[&["--mode", mode], user].concat())?;
            let tried = Tried::of(&outcome)?;
            ensure_eq!(tried.ended("through"), set(&[]), "{mode} {user:?}: {}", outcome.stdout);
            ensure_eq!(outcome.code, Some(0), "{mode} {user:?}");
            ensure_eq!(tried.ended("open"), set(&["abstract-socket"]), "{mode} {user:?}: left open");
            // As bob, whose ids others have, one is left out.
            let untried = if user.is_empty() { set(&[]) } else { set(&["map-root"]) };
            ensure_eq!(tried.ended("untried"), untried, "{mode} {user:?}: {}", outcome.stdout);
            ensure!(tried.0.len() >= 67, "only {} were tried", tried.0.len());
            crate::support::tried("attacks", tried.0.len() - tried.ended("untried").len())?;
            // What this host stops without a view as well would be stopped in any case.
            let by_wall = tried.ended("stopped");
            for id in BY_WALL {
                ensure!(by_wall.contains(id), "{id} proves nothing here: {}", outcome.stdout);
            }
        }
    }
    before.assert_returns()
}

fn no_wall() -> Verdict {
    let world = World::new()?;
    let before = HostState::now();
    world.map("wall = \"none\"\ntiocsti = \"refuse\"", "")?;
    for mode in ["namespace", "chroot"] {
        let outcome = selftest(&world, &["--mode", mode])?;
        let tried = Tried::of(&outcome)?;
        ensure_eq!(tried.ended("through"), set(&BY_WALL), "{mode}: {}", outcome.stdout);
        ensure_eq!(outcome.code, Some(1), "{mode}");
        let helps = tried
            .0
            .iter()
            .filter(|attempt| attempt["help"].as_str().is_some_and(|help| help.contains("pidns")));
        ensure!(helps.count() >= BY_WALL.len(), "no remedy: {}", outcome.stdout);
    }
    before.assert_returns()
}

fn landlock() -> Verdict {
    if !session_sandbox::sys::kernel::has_landlock_scope() {
        // Refused, then: there is nothing to try.
        let world = World::new()?;
        world.map("wall = \"landlock\"", "")?;
        let outcome = selftest(&world, &[])?;
        ensure_eq!(outcome.code, Some(125), "a wall that this kernel does not have: {}", outcome.stdout);
        return Ok(());
    }
    let world = World::new()?;
    world.map("wall = \"landlock\"\ntiocsti = \"refuse\"", "")?;
    let tried = Tried::of(&selftest(&world, &[])?)?;
    ensure_eq!(tried.ended("through"), set(&["limits", "scheduling"]), "behind a Landlock domain");
    ensure_eq!(tried.ended("open"), set(&[]), "it stops abstract sockets");
    Ok(())
}

fn left_open() -> Verdict {
    let world = World::new()?;
    world.map("net = \"loopback\"", "")?;
    let tried = Tried::of(&selftest(&world, &[])?)?;
    ensure_eq!(tried.ended("open"), set(&[]), "with a network of its own");
    ensure_eq!(tried.ended("through"), set(&[]), "with a network of its own");

    // Where the session's state is there is nothing for a session to see; and where the host's programs can be written to
    // by the user, that is one's own map's doing.
    let writable = world.directory("writable")?;
    std::os::unix::fs::chown(&writable, Some(65519), None)?;
    std::fs::set_permissions(&writable, std::os::unix::fs::PermissionsExt::from_mode(0o777))?;
    let shown = format!(
        "[[profile.mount]]\ntarget = \"/run\"\nrecursive = true\n\
         [[profile.mount]]\ntarget = \"/usr/lib\"\nsource = {writable:?}\noptions = [\"rw\"]\n"
    );
    world.map("", &shown)?;
    let outcome = selftest(&world, &[])?;
    let tried = Tried::of(&outcome)?;
    ensure_eq!(outcome.code, Some(1), "{}", outcome.stdout);
    ensure_eq!(
        tried.ended("through"),
        set(&["by-path", "write-system"]),
        "with the host shown: {}",
        outcome.stdout
    );
    // It would be seen in any case, so that others who have read it prove nothing.
    ensure!(tried.ended("untried").contains("dotdot"), "{}", outcome.stdout);
    let text =
        Run::new(SESSIONCTL).args(["selftest", "--config"]).arg(world.path("map.toml")).finish()?.stdout;
    ensure!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    ensure!(text.contains("GOT THROUGH  by-path") && text.contains("got through\n"), "{text}");
    Ok(())
}

fn refused() -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    let before = HostState::now();
    world.map("", "")?;
    for (arguments, why) in [
        (&["--user", "root"][..], "root"),
        (&["--user", "nobody-of-that-name"], "nobody-of-that-name"),
        (&["--mode", "jail"], "jail"),
        (&["--profile", "nowhere"], "nowhere"),
    ] {
        let outcome = selftest(&world, arguments)?;
        ensure_eq!(outcome.code, Some(125), "{arguments:?}: {}", outcome.stdout);
        ensure!(outcome.stderr.contains(why), "{arguments:?}: {}", outcome.stderr);
    }
    std::fs::write(
        world.path("map.toml"),
        "version = 1\n[[profile]]\nname = \"few\"\nmatch = { user = [\"eve\"] }\n",
    )?;
    let nobody = selftest(&world, &[])?;
    ensure!(nobody.code == Some(125) && nobody.stderr.contains("--profile"), "{}", nobody.stderr);
    let as_bob = world.control_as(&bob)?.args(["selftest"]).finish()?;
    ensure!(as_bob.code == Some(125) && as_bob.stderr.contains("root"), "{}", as_bob.stderr);

    // Killed at some moment or other: everything was in it.
    std::fs::write(world.path("map.toml"), include_str!("../../mounts.toml"))?;
    for round in 0..30 {
        let map = world.path("map.toml");
        let mut running = std::process::Command::new(SESSIONCTL)
            .args(["selftest", "--config"])
            .arg(&map)
            .stdout(std::process::Stdio::null())
            .spawn()?;
        std::thread::sleep(std::time::Duration::from_millis(round * 5));
        running.kill()?;
        running.wait()?;
    }
    before.assert_returns()
}
