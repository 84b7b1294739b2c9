//! What a program finds when it is started in a session: who it is, what it has, and what of its caller is gone.

use std::os::unix::fs::PermissionsExt;

use libtest_mimic::{Failed, Trial};
use rustix::process::Signal;

use crate::support::{
    HostMounts, Needs, Run, User, Verdict, World, ensure, ensure_eq, isolated, trial, users,
};

/// Both ways to make the tree the root directory.
pub const MODES: [&str; 2] = ["namespace", "chroot"];
const AS_BOB: &[Needs] = &[Needs::Root, Needs::OrdinaryUser];

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("the command of the readme shows the private root", AS_BOB, readme_command),
        trial("without a command the login shell is started as one", AS_BOB, login_shell),
        trial("-c has the login shell run a text", AS_BOB, shell_string),
        trial("a name is looked for in the directories that the session's PATH names", AS_BOB, search),
        trial("arguments reach the program as they were typed", AS_BOB, arguments),
        trial("the environment is the one of the map, whatever the caller had", AS_BOB, environment),
        trial("the map says what is kept of the environment and what is set", AS_BOB, environment_of_the_map),
        trial("the file creation mask is the one of the map", AS_BOB, umask),
        trial("limits that the caller had are the program's", AS_BOB, limits),
        trial("the program starts in the home directory", AS_BOB, starts_at_home),
        trial("the program starts in / where the session has no home directory", AS_BOB, starts_in_the_root),
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
    ];
    for mode in MODES {
        trials.extend([
            trial(format!("exit statuses tell what happened ({mode})"), AS_BOB, move || exit_statuses(mode)),
            trial(format!("the program is the user and nobody else ({mode})"), AS_BOB, move || {
                identity(mode)
            }),
            trial(format!("groups of the caller's never survive ({mode})"), AS_BOB, move || groups(mode)),
            trial(
                format!("the program has descriptors 0, 1 and 2 and no other ({mode})"),
                AS_BOB,
                move || descriptors(mode),
            ),
            trial(format!("no signal is ignored or blocked ({mode})"), AS_BOB, move || signals(mode)),
            trial(format!("the session sees no process but its own ({mode})"), AS_BOB, move || {
                processes(mode)
            }),
        ]);
    }
    trials
}

fn readme_command() -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    let script = "id -un; ls -A /; cat /proc/self/mountinfo";
    let text =
        world.session_enter(["--user", &bob.name, "--", "/bin/sh", "-c", script])?.finish()?.output()?;
    let lines: Vec<&str> = text.lines().collect();
    ensure_eq!(lines[0], bob.name, "id -un");
    for name in ["bin", "dev", "etc", "proc", "tmp", "usr", "var"] {
        ensure!(lines.contains(&name), "there is no /{name}: {text}");
    }
    ensure!(!lines.contains(&"root"), "root's home is there: {text}");
    ensure!(text.contains(" /usr ro,nosuid,nodev"), "/usr is not mounted read-only: {text}");
    Ok(())
}

fn login_shell() -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    world.map("", "")?;
    let shell =
        world.enter(["--user", &bob.name])?.input("echo \"$0 $-\"; shopt login_shell; exit 7\n").finish()?;
    let shell = shell.expect_code(7)?;
    ensure!(shell.stdout.starts_with("-bash "), "its name has no dash: {:?}", shell.stdout);
    ensure!(shell.stdout.contains("login_shell    \ton"), "it is no login shell: {:?}", shell.stdout);

    world.probe_map("shell = \"/probe\"", "")?;
    let probe = crate::support::Probe::from(world.enter(["--user", &bob.name])?.finish()?)?;
    ensure_eq!(probe.arguments(), ["-probe"], "the arguments of the map's shell");
    ensure_eq!(probe.variable("SHELL"), Some("/probe"), "SHELL");
    Ok(())
}

fn shell_string() -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    world.probe_map("shell = \"/probe\"", "")?;
    let text = "-x 'a  b' $HOME; \"\n\" --user root";
    let probe = crate::support::Probe::from(world.enter(["--user", &bob.name, "-c", text])?.finish()?)?;
    ensure_eq!(probe.arguments(), ["probe", "-c", text], "the arguments");
    world.map("", "")?;
    let text = world
        .enter(["--user", &bob.name, "-c", "echo $((6 * 7)) $BASH_VERSION; exit 3"])?
        .finish()?
        .expect_code(3)?
        .stdout;
    ensure!(text.starts_with("42 5") || text.starts_with("42 4"), "bash did not run it: {text:?}");
    Ok(())
}

fn search() -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    let first = world.directory("first")?;
    let second = world.directory("second")?;
    for (folder, text, mode) in [(&first, "echo first", 0o644), (&second, "echo second", 0o755)] {
        let file = folder.join("tool");
        std::fs::write(&file, format!("#!/bin/sh\n{text}\n"))?;
        std::fs::set_permissions(&file, PermissionsExt::from_mode(mode))?;
    }
    std::fs::write(first.join("closed"), "")?;
    let binds = format!(
        "[[profile.mount]]\ntarget = \"/first\"\nsource = {first:?}\n[[profile.mount]]\ntarget = \"/second\"\nsource = {second:?}\n"
    );
    world.map("set_env = { PATH = \"relative:/missing:/first::/second:/usr/bin:/bin\" }", &binds)?;
    let run = |words: &[&str]| {
        world.enter(["--user", &bob.name, "--"])?.args(words).env("PATH", "/nowhere").finish()
    };
    // What may not be executed is passed over, as execvp does; found nowhere else, it is what the status tells of.
    ensure_eq!(run(&["tool"])?.output()?, "second\n", "the tool that was found");
    run(&["closed"])?.expect_code(126)?;
    run(&["/first/tool"])?.expect_code(126)?;
    run(&["no-such-tool"])?.expect_code(127)?;
    run(&[""])?.expect_code(127)?;
    // With a slash it is a path, from where the program starts: / here, for there is no home directory.
    ensure_eq!(run(&["second/tool"])?.output()?, "second\n", "a relative path");
    Ok(())
}

fn exit_statuses(mode: &str) -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    let script = world.file("script", "#!/no/such/interpreter\n")?;
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755))?;
    let garbage = world.file("garbage", "\x01\x02")?;
    std::fs::set_permissions(&garbage, PermissionsExt::from_mode(0o755))?;
    world.map(
        "",
        &format!(
            "[[profile.mount]]\ntarget = \"/script\"\nsource = {script:?}\n[[profile.mount]]\ntarget = \"/garbage\"\nsource = {garbage:?}\n"
        ),
    )?;
    let cases: [(&[&str], i32); 12] = [
        (&["true"], 0),
        (&["false"], 1),
        (&["sh", "-c", "exit 42"], 42),
        (&["sh", "-c", "exit 125"], 125),
        (&["sh", "-c", "exit 255"], 255),
        (&["sh", "-c", "kill -TERM $$"], 128 + 15),
        (&["sh", "-c", "kill -KILL $$"], 128 + 9),
        (&["sh", "-c", "kill -SEGV $$"], 128 + 11),
        (&["/etc"], 127),
        (&["/usr"], 126),
        (&["/script"], 127),
        (&["/garbage"], 126),
    ];
    for (words, code) in cases {
        let outcome = world.enter(["--mode", mode, "--user", &bob.name, "--"])?.args(words).finish()?;
        ensure_eq!(outcome.code, Some(code), "exit status of {words:?} ({:?})", outcome.stderr);
        let ours = outcome.stderr.lines().filter(|line| line.starts_with("session-enter: ")).count();
        ensure_eq!(
            ours,
            usize::from(words[0].starts_with('/')),
            "lines about {words:?}: {:?}",
            outcome.stderr
        );
    }
    let refused = world.enter(["--mode", mode, "--user", "sstest-nobody-at-all", "--", "true"])?.finish()?;
    refused.expect_code(125)?;
    Ok(())
}

fn arguments() -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    world.probe_map("", "")?;
    let words = ["", "a b", "--user", "root", "--", "-c", "$HOME", "*", "\n", "ü"];
    let run = world.enter(["--user", &bob.name, "--", "/probe"])?.args(words);
    let probe = crate::support::Probe::from(run.finish()?)?;
    ensure_eq!(probe.arguments()[1..], words, "the arguments");
    Ok(())
}

/// What the caller of a login may have set, by accident or not.
const POISON: [(&str, &str); 22] = [
    ("LD_PRELOAD", "/tmp/evil.so"),
    ("LD_LIBRARY_PATH", "/tmp"),
    ("LD_AUDIT", "/tmp/evil.so"),
    ("BASH_ENV", "/tmp/evil.sh"),
    ("ENV", "/tmp/evil.sh"),
    ("BASH_FUNC_ls%%", "() { echo evil; }"),
    ("PS4", "$(echo evil)"),
    ("SHELLOPTS", "xtrace"),
    ("IFS", "/"),
    ("PATH", "/tmp/evil"),
    ("HOME", "/root"),
    ("SHELL", "/tmp/evil"),
    ("USER", "root"),
    ("LOGNAME", "root"),
    ("PYTHONPATH", "/tmp/evil"),
    ("PERL5LIB", "/tmp/evil"),
    ("GCONV_PATH", "/tmp/evil"),
    ("TMPDIR", "/root"),
    ("CDPATH", "/root"),
    ("RUST_BACKTRACE", "full"),
    ("SSH_AUTH_SOCK", "/root/agent"),
    ("XDG_RUNTIME_DIR", "/run/user/0"),
];

fn environment() -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    world.probe_map("", "")?;
    // The probe's own libraries would be the first to read some of these: they never reach it.
    let mut run = world.enter(["--user", &bob.name, "--", "/probe"])?;
    for (name, value) in POISON {
        // What the loader reads of session-enter's own environment is for whoever starts it; this is about the program.
        run = run.env(name, value);
    }
    run = run
        .env("TERM", "vt100")
        .env("LANG", "C.UTF-8")
        .env("LC_TIME", "C")
        .env("TZ", "UTC")
        .env("TERMCAP", "x");
    let probe = crate::support::Probe::from(run.finish()?)?;
    let home = bob.home.to_string_lossy();
    let mut must = vec![
        ("HOME", home.as_ref()),
        ("LANG", "C.UTF-8"),
        ("LC_TIME", "C"),
        ("LOGNAME", &bob.name),
        ("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"),
        ("SHELL", "/bin/bash"),
        ("TERM", "vt100"),
        ("TZ", "UTC"),
        ("USER", &bob.name),
    ];
    must.sort_unstable();
    ensure_eq!(probe.environment(), must, "the whole environment");
    Ok(())
}

fn environment_of_the_map() -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    world.probe_map(
        "keep_env = [\"KEPT_*\", \"ONE\"]\nset_env = { WHO = \"%u at %U, 100%%\", ONE = \"the map's\" }",
        "",
    )?;
    let run = world.enter(["--user", &bob.name, "--", "/probe"])?;
    let run = run
        .env("KEPT_1", "a")
        .env("KEPT_", "b")
        .env("KEP", "c")
        .env("ONE", "the caller's")
        .env("TERM", "vt100");
    let probe = crate::support::Probe::from(run.finish()?)?;
    ensure_eq!(probe.variable("KEPT_1"), Some("a"), "KEPT_1");
    ensure_eq!(probe.variable("KEPT_"), Some("b"), "KEPT_");
    ensure_eq!(probe.variable("KEP"), None, "KEP");
    ensure_eq!(probe.variable("TERM"), None, "TERM, which this map does not keep");
    ensure_eq!(probe.variable("ONE"), Some("the map's"), "ONE");
    ensure_eq!(probe.variable("WHO"), Some(format!("{} at {}, 100%", bob.name, bob.uid).as_str()), "WHO");
    Ok(())
}

fn umask() -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    for (settings, mask) in [("", "0022"), ("umask = \"077\"", "0077"), ("umask = \"0\"", "0000")] {
        world.probe_map(settings, "")?;
        for callers in [0, 0o777] {
            let run = world.enter(["--user", &bob.name, "--", "/probe"])?.before(move || {
                rustix::process::umask(rustix::fs::Mode::from_raw_mode(callers));
                Ok(())
            });
            let probe = crate::support::Probe::from(run.finish()?)?;
            ensure_eq!(probe.status("Umask"), mask, "the mask with {settings:?}, called with {callers:o}");
            ensure_eq!(probe.0["root"]["mode"].as_u64(), Some(0o755), "the mode of / is never masked");
        }
    }
    Ok(())
}

fn limits() -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    world.probe_map("", "")?;
    let set = |resource, current: u64, maximum: u64| {
        let limit = libc::rlimit { rlim_cur: current, rlim_max: maximum };
        // SAFETY: reads a live structure.
        unsafe { libc::setrlimit(resource, &raw const limit) };
    };
    let run = world.enter(["--user", &bob.name, "--", "/probe"])?.before(move || {
        // So few that session-enter has to ask for more for itself, and must give them back.
        set(libc::RLIMIT_NOFILE, 20, 2048);
        set(libc::RLIMIT_CORE, 0, 0);
        set(libc::RLIMIT_STACK, 1 << 20, 1 << 21);
        Ok(())
    });
    let probe = crate::support::Probe::from(run.finish()?)?;
    let text = probe.0["limits"].as_str().unwrap_or_default();
    for (name, soft, hard) in [
        ("Max open files", "20", "2048"),
        ("Max core file size", "0", "0"),
        ("Max stack size", "1048576", "2097152"),
    ] {
        let line = text.lines().find(|line| line.starts_with(name)).ok_or("no such limit")?;
        let values: Vec<&str> = line[name.len()..].split_whitespace().take(2).collect();
        ensure_eq!(values, [soft, hard], "{name}");
    }
    Ok(())
}

fn starts_at_home() -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    world.probe_map("", "[[profile.mount]]\ntarget = \"%h\"\nopen_as = \"user\"")?;
    for mode in MODES {
        let probe = world.probe(["--mode", mode, "--user", &bob.name])?;
        ensure_eq!(probe.directory(), bob.home.to_string_lossy(), "the directory ({mode})");
    }
    Ok(())
}

fn starts_in_the_root() -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    world.probe_map("", "")?;
    for mode in MODES {
        let run = world.enter(["--mode", mode, "--user", &bob.name, "--", "/probe"])?.directory("/usr");
        let probe = crate::support::Probe::from(run.finish()?)?;
        ensure_eq!(probe.directory(), "/", "the directory ({mode})");
    }
    // There, but not for this user.
    world.probe_map("", "[[profile.mount]]\ntarget = \"%h\"\nkind = \"dir\"\nmode = \"0700\"")?;
    ensure_eq!(world.probe(["--user", &bob.name])?.directory(), "/", "the directory beside a closed home");
    Ok(())
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
        let probe = crate::support::Probe::from(run.finish()?)?;
        ensure_eq!(probe.status("Groups"), listed(&user.groups), "groups of {}", user.name);
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
    let probe = crate::support::Probe::from(run.finish()?)?;
    let numbers: Vec<&str> = probe.descriptors().into_iter().map(|(number, _)| number).collect();
    ensure_eq!(numbers, ["0", "1", "2"], "the descriptors: {:?}", probe.descriptors());
    Ok(())
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
                // SAFETY: all bits set is a valid set of signals, and the call only reads it.
                unsafe {
                    let all: libc::sigset_t = std::mem::transmute([0xff_u8; size_of::<libc::sigset_t>()]);
                    libc::sigprocmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut());
                }
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
