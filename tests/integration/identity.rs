//! Who a program is in a session, and what of its caller is gone: ids, groups, capabilities, descriptors, signals.

use libtest_mimic::{Failed, Trial};
use rustix::process::Signal;

use crate::enter::MODES;
use crate::support::probe::KEY;
use crate::support::{
    HostMounts, Needs, Probe, Run, User, Verdict, World, ensure, ensure_eq, isolated, trial, users,
};

const AS_BOB: &[Needs] = &[Needs::Root, Needs::OrdinaryUser];

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial(
            "root enters by hand, and keeps no capability that the map does not name",
            &[Needs::Root],
            root_enters,
        ),
        isolated(
            "a capability of the map is root's, and nobody else's",
            AS_BOB,
            HostMounts::Shared,
            capabilities,
        ),
        trial("the walls that the map turns off are down", AS_BOB, no_wall),
        trial("a set-id bit on the program gives nobody anything", AS_BOB, lent_rights),
    ];
    for mode in MODES {
        trials.extend([
            trial(format!("the program is the user and nobody else ({mode})"), AS_BOB, move || {
                identity(mode)
            }),
            trial(format!("groups of the caller's never survive ({mode})"), AS_BOB, move || groups(mode)),
            trial(
                format!("the program has descriptors 0, 1 and 2 and no other ({mode})"),
                AS_BOB,
                move || descriptors(mode),
            ),
            trial(
                format!("those who wait for the program hold no descriptor of the caller's ({mode})"),
                AS_BOB,
                move || waiting_processes(mode),
            ),
            trial(format!("the keys of the caller's session stay outside ({mode})"), AS_BOB, move || {
                keyring(mode)
            }),
            trial(format!("no signal is ignored or blocked ({mode})"), AS_BOB, move || signals(mode)),
            trial(format!("the session sees no process but its own ({mode})"), AS_BOB, move || {
                processes(mode)
            }),
        ]);
    }
    trials
}

fn ids(id: u32) -> String {
    format!("{id} {id} {id} {id}")
}

fn listed(groups: &[u32]) -> String {
    groups.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

const NO_CAPABILITIES: &str = "0000000000000000";

fn identity(mode: &str) -> Verdict {
    let world = World::new()?;
    world.probe_map("", "")?;
    for user in [users::bob()?, users::mallory()?] {
        let probe = world.probe(["--mode", mode, "--user", &user.name])?;
        ensure_eq!(probe.status("Uid"), ids(user.uid), "user ids of {}", user.name);
        ensure_eq!(probe.status("Gid"), ids(user.gid), "group ids of {}", user.name);
        ensure_eq!(probe.status("Groups"), listed(&user.groups), "groups of {}", user.name);
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            ensure_eq!(probe.status(set), NO_CAPABILITIES, "{set} of {}", user.name);
        }
        ensure_eq!(probe.status("NoNewPrivs"), "1", "no_new_privs of {}", user.name);
    }
    Ok(())
}

fn groups(mode: &str) -> Verdict {
    let world = World::new()?;
    world.probe_map("", "")?;
    // Groups that root's login may well have had, and one beyond 16 bits.
    let callers: Vec<libc::gid_t> = vec![0, 4, 6, 27, 70_000];
    for user in [users::bob()?, users::mallory()?] {
        let callers = callers.clone();
        let run = world.enter(["--mode", mode, "--user", &user.name, "--", "/probe"])?.before(move || {
            // SAFETY: a live array of that many ids, which the call only reads.
            match unsafe { libc::setgroups(callers.len(), callers.as_ptr()) } {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        });
        let probe = Probe::from(run.finish()?)?;
        ensure_eq!(probe.status("Groups"), listed(&user.groups), "groups of {}", user.name);
    }
    Ok(())
}

/// Starts a program with a session keyring in which everybody who has the keyring may find a key.
fn with_a_key() -> std::io::Result<()> {
    const JOIN_SESSION_KEYRING: libc::c_int = 1;
    const SET_PERMISSIONS: libc::c_int = 5;
    const SESSION_KEYRING: libc::c_int = -3;
    const EVERYTHING: libc::c_uint = 0x3f3f_3f3f;
    let nameless = std::ptr::null::<libc::c_char>();
    let (kind, name) = KEY;
    let secret = c"secret";
    // SAFETY: the call takes no name, and no pointer is kept.
    let ring = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, nameless) };
    // SAFETY: static strings and their length, which the call only reads.
    let key = unsafe {
        libc::syscall(libc::SYS_add_key, kind.as_ptr(), name.as_ptr(), secret.as_ptr(), 6, SESSION_KEYRING)
    };
    if ring < 0 || key < 0 {
        return Err(std::io::Error::last_os_error());
    }
    for of in [ring, key] {
        // SAFETY: takes numbers.
        unsafe { libc::syscall(libc::SYS_keyctl, SET_PERMISSIONS, of, EVERYTHING) };
    }
    Ok(())
}

fn keyring(mode: &str) -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    world.probe_map("", "")?;
    // The key can be found at all: by a program that is started without a session in between.
    std::os::unix::fs::symlink(std::env::current_exe()?, world.path("probe"))?;
    let outside = Probe::from(Run::new(world.path("probe")).before(with_a_key).finish()?)?;
    ensure_eq!(outside.0["finds_key"], true, "outside");
    let run = world.enter(["--mode", mode, "--user", &bob.name, "--", "/probe"])?.before(with_a_key);
    let inside = Probe::from(run.finish()?)?;
    ensure_eq!(inside.0["finds_key"], false, "inside");
    Ok(())
}

fn lent_rights() -> Verdict {
    let bob = users::bob()?;
    let world = World::of(&bob)?;
    for bit in [0o4755, 0o2755] {
        let program = world.path(&format!("lent-{bit:o}"));
        std::fs::copy(env!("CARGO_BIN_EXE_session-enter"), &program)?;
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(bit))?;
        for user in ["root", bob.name.as_str()] {
            let outcome = Run::new(&program).args(["--user", user, "--", "id"]).user(&bob).finish()?;
            ensure_eq!((outcome.code, outcome.stdout.as_str()), (Some(125), ""), "{bit:o} as {user}");
            ensure!(outcome.stderr.contains("rights that its caller does not have"), "{}", outcome.stderr);
        }
    }
    Ok(())
}

fn descriptors(mode: &str) -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    world.probe_map("", "")?;
    let run = world.enter(["--mode", mode, "--user", &bob.name, "--", "/probe"])?.before(|| {
        for number in 3..=200 {
            let path = [c"/", c"/root", c"/proc/1/ns/mnt"][number % 3];
            // SAFETY: a static string; the numbers are this child's own, which is about to become another program.
            let from = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY) };
            let number = i32::try_from(number).unwrap_or(3);
            if from >= 0 && from != number {
                // SAFETY: as above.
                unsafe { libc::dup2(from, number) };
                if !(3..=200).contains(&from) {
                    // SAFETY: as above.
                    unsafe { libc::close(from) };
                }
            }
        }
        Ok(())
    });
    let probe = Probe::from(run.finish()?)?;
    let numbers: Vec<&str> = probe.descriptors().into_iter().map(|(number, _)| number).collect();
    ensure_eq!(numbers, ["0", "1", "2"], "the descriptors: {:?}", probe.descriptors());
    Ok(())
}

fn waiting_processes(mode: &str) -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    world.map("", "")?;
    let mut running = world
        .enter(["--mode", mode, "--user", &bob.name, "--", "sh", "-c", "echo begun; cat"])?
        .piped_input()
        .before(|| {
            // SAFETY: a static string; the number is this child's own, which is about to become another program.
            match unsafe { libc::open(c"/root".as_ptr(), libc::O_RDONLY) } {
                -1 => Err(std::io::Error::last_os_error()),
                _ => Ok(()),
            }
        })
        .start()?;
    running.expect("begun")?;
    // The one that was started, which waits outside, and process 1 of the session.
    let supervisor = running.pid().as_raw_nonzero().get();
    let children = std::fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children"))?;
    for process in children.split_whitespace().map(str::to_owned).chain([supervisor.to_string()]) {
        for entry in std::fs::read_dir(format!("/proc/{process}/fd"))? {
            let target = std::fs::read_link(entry?.path())?;
            ensure!(
                target != std::path::Path::new("/root"),
                "process {process} holds what its caller had open"
            );
        }
    }
    running.close_input();
    running.finish()?.expect_code(0).map(drop)
}

fn signals(mode: &str) -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    world.map("", "")?;
    for wall in ["pidns", "none"] {
        world.map(&format!("wall = \"{wall}\""), "")?;
        let run = world
            .enter(["--mode", mode, "--user", &bob.name, "--", "cat", "/proc/self/status"])?
            .before(|| {
                for number in 1..=64 {
                    // SAFETY: ignoring runs no code.
                    unsafe { libc::signal(number, libc::SIG_IGN) };
                }
                let all = u64::MAX;
                // SAFETY: reads a live set of 64 signals; the old one is not asked for. The C library's own call leaves out two.
                unsafe {
                    libc::syscall(
                        libc::SYS_rt_sigprocmask,
                        libc::SIG_SETMASK,
                        &raw const all,
                        0,
                        size_of::<u64>(),
                    )
                };
                Ok(())
            });
        let text = run.finish()?.output()?;
        for line in ["SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000", "SigPnd:\t0000000000000000"] {
            ensure!(text.contains(line), "{line:?} is not there with wall = {wall}: {text}");
        }
    }
    Ok(())
}

fn processes(mode: &str) -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    world.probe_map("", "")?;
    let own = std::fs::read_link("/proc/self/ns/pid")?;
    let probe = world.probe(["--mode", mode, "--user", &bob.name])?;
    ensure!(probe.namespace("pid") != own.to_string_lossy(), "the PID namespace is the host's");
    // Another process of the same user's, outside, is no way out.
    let outside = Run::new("sleep").arg("600").user(&bob).start()?;
    let script = format!(
        "kill -0 {pid} 2>/dev/null && echo reached; ls /proc | grep '^[0-9]' | sort -n; ls -l /proc/1/root/ 2>&1 | head -3",
        pid = outside.pid().as_raw_nonzero()
    );
    let text =
        world.enter(["--mode", mode, "--user", &bob.name, "--", "sh", "-c", &script])?.finish()?.output()?;
    ensure!(!text.contains("reached"), "a process outside can be signalled: {text}");
    let seen: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    ensure!(seen.len() <= 6 && seen.iter().all(|id| *id < 20), "processes outside can be seen: {seen:?}");
    Ok(())
}

fn root_enters() -> Verdict {
    let world = World::new()?;
    world.probe_map("", "")?;
    let root = nix::unistd::User::from_uid(0.into())?.ok_or("no root")?;
    for mode in MODES {
        let probe = world.probe(["--mode", mode])?;
        ensure_eq!(probe.status("Uid"), ids(0), "user ids ({mode})");
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            ensure_eq!(probe.status(set), NO_CAPABILITIES, "{set} ({mode})");
        }
        ensure_eq!(probe.variable("USER"), Some(root.name.as_str()), "USER ({mode})");
        let numbers: Vec<&str> = probe.descriptors().into_iter().map(|(number, _)| number).collect();
        ensure_eq!(numbers, ["0", "1", "2"], "the descriptors ({mode})");
    }
    // And in the map that is built in.
    let text = world.session_enter(["--", "sh", "-c", "id -u; ls -A /"])?.finish()?.output()?;
    ensure!(text.starts_with("0\n"), "{text}");
    Ok(())
}

fn capabilities() -> Verdict {
    let world = World::new()?;
    let bob: User = users::bob()?;
    world.probe_map("capabilities = [\"CAP_NET_BIND_SERVICE\"]", "")?;
    let bind_service = "0000000000000400";
    let probe = world.probe([] as [&str; 0])?;
    for (set, must) in [
        ("CapBnd", bind_service),
        ("CapPrm", bind_service),
        ("CapEff", bind_service),
        ("CapInh", NO_CAPABILITIES),
        ("CapAmb", NO_CAPABILITIES),
    ] {
        ensure_eq!(probe.status(set), must, "root's {set}");
    }
    let probe = world.probe(["--user", &bob.name])?;
    for set in ["CapPrm", "CapEff", "CapInh", "CapAmb"] {
        ensure_eq!(probe.status(set), NO_CAPABILITIES, "bob's {set}");
    }
    ensure_eq!(probe.status("CapBnd"), bind_service, "bob's CapBnd");
    Ok(())
}

fn no_wall() -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    world.probe_map("wall = \"none\"\nno_new_privs = false", "")?;
    let own = std::fs::read_link("/proc/self/ns/pid")?;
    for mode in MODES {
        let probe = world.probe(["--mode", mode, "--user", &bob.name])?;
        ensure_eq!(probe.namespace("pid"), own.to_string_lossy(), "the PID namespace ({mode})");
        ensure_eq!(probe.status("NoNewPrivs"), "0", "no_new_privs ({mode})");
        ensure_eq!(probe.status("Uid"), ids(bob.uid), "user ids ({mode})");
        ensure_eq!(probe.status("CapEff"), NO_CAPABILITIES, "CapEff ({mode})");
        // Without a wall the program takes session-enter's place, and signals reach it without help.
        let mut sleeper = world
            .enter(["--mode", mode, "--user", &bob.name, "--", "sh", "-c", "echo ready; exec sleep 600"])?
            .start()?;
        sleeper.expect("ready")?;
        sleeper.signal(Signal::TERM)?;
        ensure_eq!(sleeper.finish()?.signal, Some(15), "the signal that ended it ({mode})");
    }
    Ok::<(), Failed>(())
}
