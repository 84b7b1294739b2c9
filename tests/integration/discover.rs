//! A map that was written for this host opens sessions on it.

use libtest_mimic::Trial;
use session_sandbox::discover::discover;

use crate::support::autofs::{Autofs, FILE, Map};
use crate::support::{HostMounts, Needs, User, Verdict, World, ensure, ensure_eq, isolated, trial, users};

const AS_BOB: &[Needs] = &[Needs::Root, Needs::OrdinaryUser];

pub fn trials() -> Vec<Trial> {
    vec![
        trial("a map that was discovered opens a session for an ordinary user", AS_BOB, by_root),
        trial("a map that was discovered opens a session without root", &[Needs::OrdinaryUser], by_the_user),
        isolated(
            "what an automounter has is discovered without a mount, and shown in a session",
            AS_BOB,
            HostMounts::Shared,
            on_demand,
        ),
    ]
}

fn by_root() -> Verdict {
    let bob = users::bob()?;
    session(&World::new()?, &bob, &["--user", &bob.name])
}

fn by_the_user() -> Verdict {
    let bob = users::bob()?;
    session(&World::of(&bob)?, &bob, &[])
}

/// Somebody can work there: is known by name, has a home, a place for temporary files, and programs.
fn session(world: &World, bob: &User, arguments: &[&str]) -> Verdict {
    let text = discover(None).map_err(|error| error.chain().to_string())?;
    world.file("map.toml", &text)?;
    let script = "id -un && touch ~/seen /tmp/seen && rm ~/seen && ls -A / && cat /etc/resolv.conf >/dev/null; echo $?";
    let words = ["--", "/bin/sh", "-c", script];
    let outcome = world.enter(arguments.iter().copied().chain(words))?.finish()?;
    ensure_eq!(outcome.code, Some(0), "{}\n{text}", outcome.stderr);
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    ensure_eq!(lines.first(), Some(&bob.name.as_str()), "who it is: {}", outcome.stderr);
    for name in ["dev", "etc", "proc", "run", "tmp", "usr", "var"] {
        ensure!(lines.contains(&name), "there is no /{name}: {lines:?}");
    }
    ensure!(!lines.contains(&"root"), "root's home is there: {lines:?}");
    let has_resolver = std::fs::exists("/etc/resolv.conf")?;
    ensure!(
        !has_resolver || lines.last() == Some(&"0"),
        "/etc/resolv.conf cannot be read: {}",
        outcome.stderr
    );
    Ok(())
}

fn on_demand() -> Verdict {
    let bob = users::bob()?;
    let world = World::new()?;
    rustix::mount::mount("tmpfs", "/mnt", "tmpfs", rustix::mount::MountFlags::empty(), c"mode=755")?;
    let place = std::path::Path::new("/mnt/on demand");
    std::fs::create_dir(place)?;
    let autofs = Autofs::mount(place, Map::Direct)?;
    let text = discover(None).map_err(|error| error.chain().to_string())?;
    ensure_eq!(autofs.asked(), 0, "how often the automounter was asked by looking at the host");
    ensure!(text.contains("/mnt/on demand is mounted on demand"), "the map says nothing of it: {text}");
    world.file("map.toml", &text)?;
    let outcome = world.enter(["--user", &bob.name, "--", "/bin/ls", "/mnt/on demand"])?.finish()?;
    ensure_eq!(outcome.stdout.trim_end(), FILE, "what is there inside: {}", outcome.stderr);
    Ok(())
}
