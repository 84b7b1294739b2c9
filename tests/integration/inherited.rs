//! Strange things that a process can be started with: closed and misused standard descriptors, a directory that is
//! gone, tight limits, ignored signals. The session works all the same, or is refused and leaves nothing behind.

use std::fs::File;

use libtest_mimic::Trial;

use crate::badinput::{Refusal, marker};
use crate::enter::MODES;
use crate::support::{
    HostMounts, HostState, Needs, Run, Verdict, World, ensure, ensure_eq, isolated, trial, users,
};

const AS_BOB: &[Needs] = &[Needs::Root, Needs::OrdinaryUser];

pub fn trials() -> Vec<Trial> {
    vec![
        trial("closed standard descriptors are empty ones inside, in all combinations", AS_BOB, closed),
        isolated("standard descriptors that are places are refused", AS_BOB, HostMounts::Shared, places),
        isolated(
            "a current directory that was removed is no obstacle",
            AS_BOB,
            HostMounts::Shared,
            removed_directory,
        ),
        isolated("any limit of open files works or is refused", AS_BOB, HostMounts::Shared, open_files),
        isolated("a file size limit of nothing works or is refused", AS_BOB, HostMounts::Shared, file_size),
        isolated("other tight limits work or are refused", AS_BOB, HostMounts::Shared, tight_limits),
        isolated(
            "signals that the caller ignores or blocks are no obstacle",
            AS_BOB,
            HostMounts::Shared,
            ignored_signals,
        ),
    ]
}

fn start(world: &World, mode: &str) -> Result<Run, libtest_mimic::Failed> {
    Ok(marker(world.enter(["--mode", mode, "--user", &users::bob()?.name])?))
}

fn set_limit(resource: libc::__rlimit_resource_t, value: u64) -> std::io::Result<()> {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    // SAFETY: reads a live structure.
    match unsafe { libc::setrlimit(resource, &raw const limit) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

fn closed() -> Verdict {
    let world = World::new()?;
    world.map("", "")?;
    for mode in MODES {
        for combination in 0..8 {
            let close = move || {
                for number in 0..3 {
                    if combination & (1 << number) != 0 {
                        // SAFETY: this child's own descriptor, and nobody in it uses it any more.
                        unsafe { libc::close(number) };
                    }
                }
                Ok(())
            };
            let outcome = start(&world, mode)?.before(close).finish()?;
            ensure_eq!(
                outcome.code,
                Some(7),
                "exit status with {combination:03b} closed ({mode}): {}",
                outcome.stderr
            );
            // Nothing of session-enter's, least of all the map, is what the program finds there.
            let look = "for fd in 0 1 2; do readlink /proc/self/fd/$fd; done > /tmp/fds; exec 1>&-; cat /tmp/fds >&2; exit 7";
            let words = ["--mode", mode, "--user", &users::bob()?.name, "--", "sh", "-c", look];
            if combination & 4 == 0 {
                let outcome = world.enter(words)?.before(close).finish()?.expect_code(7)?;
                for (number, target) in outcome.stderr.lines().enumerate() {
                    let fits = number == 1 || target.starts_with("pipe:") || target == "/dev/null";
                    ensure!(fits, "descriptor {number} with {combination:03b} closed is {target} ({mode})");
                }
            }
        }
    }
    Ok(())
}

fn places() -> Verdict {
    let world = World::new()?;
    world.map("", "")?;
    let refusal = Refusal::new(&world);
    let cases = [
        (c"/", libc::O_RDONLY | libc::O_DIRECTORY),
        (c"/root", libc::O_PATH),
        (c"/etc/passwd", libc::O_PATH),
        (c"/proc/self/ns/mnt", libc::O_RDONLY),
    ];
    for mode in MODES {
        for number in 0..3 {
            for (path, flags) in cases {
                let outcome = start(&world, mode)?
                    .before(move || {
                        // SAFETY: a static string, and numbers of this child's own.
                        let opened = unsafe { libc::open(path.as_ptr(), flags) };
                        // SAFETY: as above.
                        unsafe { libc::dup2(opened, number) };
                        Ok(())
                    })
                    .finish()?;
                if number == 2 {
                    ensure_eq!(
                        outcome.code,
                        Some(125),
                        "exit status with {path:?} as standard error ({mode})"
                    );
                } else {
                    refusal.check_outcome(
                        outcome,
                        &[&format!("descriptor {number}"), &format!("{number}</dev/null")],
                    )?;
                }
            }
        }
    }
    refusal.check_outcome(start(&world, "namespace")?.stdin(File::open("/usr")?).finish()?, &["descriptor 0"])
}

fn removed_directory() -> Verdict {
    let world = World::new()?;
    world.map("", "")?;
    let bob = users::bob()?.name;
    let before = HostState::now();
    let gone = |run: Run| {
        run.directory("/run").before(|| {
            rustix::fs::mkdir(c"removed", 0o755.into())?;
            rustix::process::chdir(c"removed")?;
            rustix::fs::rmdir(c"/run/removed")?;
            Ok(())
        })
    };
    for mode in MODES {
        let outcome = gone(start(&world, mode)?).finish()?;
        ensure_eq!(outcome.code, Some(7), "exit status ({mode}): {}", outcome.stderr);
        let text = gone(world.enter(["--mode", mode, "--user", &bob, "--", "pwd"])?).finish()?.output()?;
        ensure_eq!(text, "/\n", "the directory inside ({mode})");
    }
    let relative = gone(world.session_enter(["--config", "map.toml", "--user", &bob])?).finish()?;
    Refusal::new(&world).check_outcome(relative, &["map.toml", "current directory", "absolute path"])?;
    before.assert_returns()
}

fn open_files() -> Verdict {
    let world = World::new()?;
    world.map("", "")?;
    let refusal = Refusal::new(&world);
    for mode in MODES {
        for limit in 0..=64 {
            let outcome =
                start(&world, mode)?.before(move || set_limit(libc::RLIMIT_NOFILE, limit)).finish()?;
            match outcome.code {
                Some(7) => {}
                // With so few, the loader cannot open a library, and no program could say anything of its own.
                Some(code) if limit < 4 => ensure!(code != 0, "it claims to have worked with {limit}"),
                _ => refusal.check_outcome(outcome, &["help: "]).map_err(|failed| {
                    format!("ulimit -n {limit} ({mode}): {}", failed.message().unwrap_or(""))
                })?,
            }
        }
        let last = start(&world, mode)?.before(|| set_limit(libc::RLIMIT_NOFILE, 256)).finish()?;
        ensure_eq!(last.code, Some(7), "exit status with ulimit -n 256 ({mode}): {}", last.stderr);
    }
    Ok(())
}

fn file_size() -> Verdict {
    let world = World::new()?;
    world.map("", "[[profile.mount]]\ntarget = \"/motd\"\nkind = \"file\"\ncontent = \"hello\"\n")?;
    let refusal = Refusal::new(&world);
    for mode in MODES {
        let outcome = start(&world, mode)?.before(|| set_limit(libc::RLIMIT_FSIZE, 0)).finish()?;
        if outcome.code != Some(7) {
            // The first file that cannot be written is the session's own record.
            refusal.check_outcome(outcome, &["/run/session-sandbox"])?;
        }
    }
    let before = HostState::now().mounts;
    let prepared = world
        .enter(["--prepare", "--user", &users::bob()?.name])?
        .before(|| set_limit(libc::RLIMIT_FSIZE, 0))
        .finish()?;
    ensure_eq!(prepared.code, Some(125), "a journal that cannot be written: {prepared:?}");
    ensure_eq!(HostState::now().mounts, before, "the mount table");
    Ok(())
}

fn tight_limits() -> Verdict {
    let world = World::new()?;
    world.map("", "")?;
    let before = HostState::now();
    // A debug build keeps every variable on its stack.
    let stack = if cfg!(debug_assertions) { 512 << 10 } else { 64 << 10 };
    for (what, resource, value) in [
        ("stack", libc::RLIMIT_STACK, stack),
        ("core", libc::RLIMIT_CORE, libc::RLIM_INFINITY),
        ("locked memory", libc::RLIMIT_MEMLOCK, 0),
        ("processes", libc::RLIMIT_NPROC, 1),
        ("address space", libc::RLIMIT_AS, 64 << 20),
        ("message queues", libc::RLIMIT_MSGQUEUE, 0),
        ("pending signals", libc::RLIMIT_SIGPENDING, 0),
    ] {
        for mode in MODES {
            let outcome = start(&world, mode)?.before(move || set_limit(resource, value)).finish()?;
            ensure!(
                matches!(outcome.code, Some(7 | 125)),
                "with a limit of {value} ({what}, {mode}): {outcome:?}"
            );
            if outcome.code == Some(125) {
                ensure!(
                    outcome.stderr.starts_with("session-enter: "),
                    "with a limit of {value} ({what}, {mode}): {outcome:?}"
                );
            }
            before.assert_returns()?;
        }
    }
    Ok(())
}

fn ignored_signals() -> Verdict {
    let world = World::new()?;
    world.map("", "")?;
    let before = HostState::now();
    for mode in MODES {
        for signal in [
            libc::SIGCHLD,
            libc::SIGPIPE,
            libc::SIGINT,
            libc::SIGHUP,
            libc::SIGTERM,
            libc::SIGXFSZ,
            libc::SIGALRM,
        ] {
            let outcome = start(&world, mode)?
                .before(move || {
                    // SAFETY: ignoring runs no code.
                    unsafe { libc::signal(signal, libc::SIG_IGN) };
                    Ok(())
                })
                .finish()?;
            ensure_eq!(
                outcome.code,
                Some(7),
                "exit status with signal {signal} ignored ({mode}): {}",
                outcome.stderr
            );
        }
    }
    before.assert_returns()
}
