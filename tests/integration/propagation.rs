//! Mounts that come and go on the host while a session is open: what the session sees of them, what the host can do
//! about it, and what an automounter does for both.

use std::path::Path;

use libtest_mimic::{Failed, Trial};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

use crate::enter::MODES;
use crate::hostview::mount_memory;
use crate::support::autofs::{Autofs, FILE, Map};
use crate::support::{
    HostMounts, HostState, Needs, Running, Verdict, World, ensure, ensure_eq, isolated, users,
};

const AS_BOB: &[Needs] = &[Needs::Root, Needs::OrdinaryUser];

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for host in HostMounts::ALL {
        trials.extend([
            isolated(
                format!("what a {host:?} host mounts later is seen through a slave bind of a shared mount"),
                AS_BOB,
                host,
                move || seen_later(host),
            ),
            isolated(
                format!("what a user's own namespace inside mounts is seen on no {host:?} host"),
                AS_BOB,
                host,
                nothing_sent,
            ),
            isolated(format!("a {host:?} host can unmount what a session shows"), AS_BOB, host, move || {
                unmounted_by_host(host)
            }),
        ]);
        trials.push(isolated(
            format!("a home that a {host:?} host mounts on demand is there when the session starts"),
            AS_BOB,
            host,
            automounted_home,
        ));
        for map in [Map::Indirect, Map::Direct] {
            trials.extend([
                isolated(
                    format!("{map:?} automounts of a {host:?} host happen from inside"),
                    AS_BOB,
                    host,
                    move || automounts(host, map),
                ),
                isolated(
                    format!("a source that a {host:?} host mounts on demand is mounted for it ({map:?})"),
                    AS_BOB,
                    host,
                    move || automounted_source(host, map),
                ),
            ]);
        }
    }
    trials
}

fn share(at: &Path) -> Verdict {
    Ok(rustix::mount::mount_change(at, MountPropagationFlags::SHARED)?)
}

/// `source` as `/slave` and as `/private`.
fn both_ways(source: &Path) -> String {
    format!(
        "[[profile.mount]]\ntarget = \"/slave\"\nsource = {source:?}\npropagation = \"slave\"\n\
         [[profile.mount]]\ntarget = \"/private\"\nsource = {source:?}\n"
    )
}

/// A session that does one command a line, and says `done` after each.
struct Shell(Running);

impl Shell {
    fn start(world: &World, words: &[&str]) -> Result<Self, Failed> {
        let script = "echo done; while read -r line; do eval \"$line\"; echo done; done";
        let mut running = world.enter(words)?.args(["--", "bash", "-c", script]).piped_input().start()?;
        running.expect("done\n")?;
        Ok(Self(running))
    }

    /// Does it, and returns what it wrote.
    fn run(&mut self, line: &str) -> Result<String, Failed> {
        let before = self.0.stdout().len();
        self.0.write(format!("{{ {line}; }} 2>&1\n").as_bytes())?;
        let ends = self.0.stdout().matches("done\n").count() + 1;
        self.0.expect_times("done\n", ends)?;
        let said = self.0.stdout()[before..].to_owned();
        Ok(said.trim_end_matches("done\n").to_owned())
    }
}

fn seen_later(host: HostMounts) -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    let media = world.path("media");
    for shared in [false, true] {
        mount_memory(&media)?;
        if shared {
            share(&media)?;
        }
        let disk = media.join("disk");
        std::fs::create_dir(&disk)?;
        world.map("", &both_ways(&media))?;
        for mode in MODES {
            let before = HostState::now();
            let mut session = Shell::start(&world, &["--mode", mode, "--user", &bob.name])?;
            rustix::mount::mount("later", &disk, "tmpfs", MountFlags::empty(), c"mode=755")?;
            std::fs::write(disk.join("file"), "")?;
            // A mount on a host that is no sharer itself (a container's, mostly) has nobody to tell.
            let told = shared || host == HostMounts::Shared;
            let seen = session.run("ls /slave/disk /private/disk")?;
            let must = if told {
                "/private/disk:\n\n/slave/disk:\nfile\n"
            } else {
                "/private/disk:\n\n/slave/disk:\n"
            };
            ensure_eq!(seen, must, "what is seen ({mode}, shared: {shared})");
            rustix::mount::unmount(&disk, UnmountFlags::empty())?;
            ensure_eq!(session.run("ls /slave/disk")?, "", "what is left ({mode}, shared: {shared})");
            session.0.finish()?.expect_code(0)?;
            before.assert_returns()?;
        }
        rustix::mount::unmount(&media, UnmountFlags::empty())?;
        std::fs::remove_dir(&media)?;
    }
    Ok(())
}

/// The user's right to mount ends where its own namespaces end.
fn nothing_sent() -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    let media = world.path("media");
    mount_memory(&media)?;
    share(&media)?;
    std::fs::create_dir(media.join("disk"))?;
    world.map("", &both_ways(&media))?;
    let before = HostState::now();
    let script = "mkdir /tmp/disk; for at in /slave /private /tmp; do mount -t tmpfs inside $at/disk || exit 1; done; \
                  echo mounted; read line; umount /slave/disk";
    for mode in MODES {
        let namespaces = ["unshare", "--user", "--map-root-user", "--mount", "--propagation", "shared"];
        let run = world.enter(["--mode", mode, "--user", &bob.name, "--"])?.args(namespaces);
        let mut session = run.args(["sh", "-c", script]).piped_input().start()?;
        session.expect("mounted")?;
        ensure_eq!(HostState::now().mounts, before.mounts, "the host's mount table ({mode})");
        session.write(b"\n")?;
        session.finish()?.expect_code(0)?;
        before.assert_returns()?;
    }
    rustix::mount::unmount(&media, UnmountFlags::empty())?;
    Ok(())
}

/// `umount`, not `umount -l`.
fn unmounted_by_host(host: HostMounts) -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    let media = world.path("media");
    mount_memory(&media)?;
    if host != HostMounts::Private {
        share(&media)?;
    }
    let disk = media.join("disk");
    for (bind, busy) in [("private", false), ("private", true), ("slave", false), ("slave", true)] {
        for mode in MODES {
            mount_memory(&disk)?;
            std::fs::write(disk.join("file"), "kept")?;
            world.map("", &both_ways(&media))?;
            let mut session = Shell::start(&world, &["--mode", mode, "--user", &bob.name])?;
            if busy {
                session.run(&format!("cd /{bind}/disk"))?;
            }
            // A shared mount takes its copies in slave binds with it, if nobody is in one. Copies in private binds are
            // none of its business, whoever is in them.
            let told = host != HostMounts::Private;
            let held = told && bind == "slave" && busy;
            let what = format!("{bind}, busy: {busy}, {mode}");
            let unmount = || rustix::mount::unmount(&disk, UnmountFlags::empty());
            ensure_eq!(unmount(), if held { Err(Errno::BUSY) } else { Ok(()) }, "umount ({what})");
            if held {
                session.run("cd /")?;
                ensure_eq!(unmount(), Ok(()), "umount when the session has left ({what})");
            }
            let see = "cat /private/disk/file; echo; cat /slave/disk/file 2> /dev/null";
            let must = if told { "kept\n" } else { "kept\nkept" };
            ensure_eq!(session.run(see)?, must, "what the session still has ({what})");
            session.0.finish()?.expect_code(0)?;
            std::fs::remove_dir(&disk)?;
        }
    }
    rustix::mount::unmount(&media, UnmountFlags::empty())?;
    Ok(())
}

/// From inside: only where the host's mount can arrive, which is in a slave bind of a shared mount.
fn automounts(host: HostMounts, map: Map) -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    let media = world.path("media");
    mount_memory(&media)?;
    let auto = media.join("auto");
    std::fs::create_dir(&auto)?;
    let at = match map {
        Map::Indirect => "auto/key",
        Map::Direct => "auto",
    };
    world.map("", &both_ways(&media))?;
    for bind in ["slave", "private"] {
        for mode in MODES {
            let before = HostState::now();
            let autofs = Autofs::mount(&auto, map)?;
            let mut session = Shell::start(&world, &["--mode", mode, "--user", &bob.name])?;
            ensure_eq!(autofs.asked(), 0, "mounts before anybody looked ({bind}, {mode})");
            let said = session.run(&format!("ls /{bind}/{at}/; ls /{bind}/{at}/{FILE}"))?;
            let must = if bind == "slave" && host == HostMounts::Shared {
                format!("{FILE}\n/{bind}/{at}/{FILE}\n")
            } else {
                // The automounter mounts it, outside, as often as the kernel asks.
                ["", FILE]
                    .map(|file| {
                        format!(
                            "ls: cannot access '/{bind}/{at}/{file}': Too many levels of symbolic links\n"
                        )
                    })
                    .concat()
            };
            ensure_eq!(said, must, "what is seen inside ({bind}, {mode})");
            ensure!(autofs.asked() > 0, "nobody was asked ({bind}, {mode})");
            ensure!(media.join(at).join(FILE).symlink_metadata().is_ok(), "nothing is mounted on the host");
            session.0.finish()?.expect_code(0)?;
            drop(autofs);
            before.assert_returns()?;
        }
    }
    rustix::mount::unmount(&media, UnmountFlags::empty())?;
    Ok(())
}

/// What is bound itself, or is the way to it, is mounted before it is bound. So it is there in a private bind as well.
fn automounted_source(host: HostMounts, map: Map) -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    std::fs::set_permissions(world.path("."), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let auto = world.directory("auto")?;
    let source = match map {
        Map::Indirect => auto.join("key"),
        Map::Direct => auto.clone(),
    };
    let link = world.path("link");
    std::os::unix::fs::symlink(&source, &link)?;
    let follow = "follow_symlinks = true";
    for (source, options) in [
        (&source, String::new()),
        (&source, "open_as = \"user\"".to_owned()),
        (&link, follow.to_owned()),
        (&link, format!("open_as = \"user\"\n{follow}")),
    ] {
        for propagation in ["slave", "private"] {
            let before = HostState::now();
            let autofs = Autofs::mount(&auto, map)?;
            let entry = format!(
                "[[profile.mount]]\ntarget = \"/auto\"\nsource = {source:?}\npropagation = {propagation:?}\n{options}\n"
            );
            world.map("", &entry)?;
            let outcome = world.enter(["--user", &bob.name, "--", "ls", "/auto/"])?.finish()?;
            let what = format!("{source:?} {options} {propagation} {host:?}: {}", outcome.stderr);
            ensure_eq!(outcome.stdout, format!("{FILE}\n"), "what is inside ({what})");
            ensure_eq!(autofs.asked(), 1, "how often the automounter was asked ({what})");
            drop(autofs);
            before.assert_returns()?;
        }
    }
    Ok(())
}

/// `/home` is bound, and the home in it is mounted on demand: the session begins there, also where it could not have
/// it mounted any more.
fn automounted_home() -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    let homes = bob.home.parent().ok_or("a home has a parent")?;
    let entry = format!("[[profile.mount]]\ntarget = {homes:?}\n");
    for wall in ["pidns", "none"] {
        world.map(&format!("wall = {wall:?}"), &entry)?;
        let before = HostState::now();
        let autofs = Autofs::mount(homes, Map::Indirect)?;
        let words = ["--user", &bob.name, "--", "sh", "-c", "pwd; ls"];
        let text = world.enter(words)?.finish()?.output()?;
        ensure_eq!(text, format!("{}\n{FILE}\n", bob.home.display()), "where the session begins ({wall})");
        ensure_eq!(autofs.asked(), 1, "how often the automounter was asked ({wall})");
        drop(autofs);
        before.assert_returns()?;
    }
    Ok(())
}
