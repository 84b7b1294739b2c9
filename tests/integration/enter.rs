//! How a session is entered, and what a program finds when it is started there: its name and arguments, environment,
//! limits, directory; and what its end tells the caller.

use std::os::unix::fs::PermissionsExt;

use libtest_mimic::Trial;

use crate::support::world::SESSION_ENTER;
use crate::support::{Needs, Probe, Run, Verdict, World, ensure, ensure_eq, trial, users};

/// Both ways to make the tree the root directory.
pub const MODES: [&str; 2] = ["namespace", "chroot"];
const AS_BOB: &[Needs] = &[Needs::Root, Needs::OrdinaryUser];

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("help and version are printed for everybody", &[Needs::Nothing], help),
        trial("a dry run shows the plan and does nothing", &[Needs::Nothing], dry_run),
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
    ];
    for mode in MODES {
        let name = format!("exit statuses tell what happened ({mode})");
        trials.push(trial(name, AS_BOB, move || exit_statuses(mode)));
    }
    trials
}

fn help() -> Verdict {
    for (option, words) in
        [("--help", ["Usage", "--user", "--mode", "125"]), ("--version", ["session-enter", "0", ".", "\n"])]
    {
        let text = Run::new(SESSION_ENTER).arg(option).finish()?.output()?;
        for word in words {
            ensure!(text.contains(word), "{option} says nothing of {word:?}: {text}");
        }
    }
    Ok(())
}

fn dry_run() -> Verdict {
    let text = Run::new(SESSION_ENTER).arg("--dry-run").finish()?.output()?;
    for word in ["usr ", "proc ", "null ", "tmpfs", "built-in map:"] {
        ensure!(text.contains(word), "the plan says nothing of {word}: {text}");
    }
    let json = Run::new(SESSION_ENTER).arg("--dry-run=json").finish()?.output()?;
    let again = Run::new(SESSION_ENTER).arg("--dry-run=json").finish()?.output()?;
    ensure_eq!(json, again, "the same question has one answer");
    let value: serde_json::Value = serde_json::from_str(&json)?;
    ensure!(value["plan"]["tree"].is_array(), "the plan has no tree: {json}");
    Ok(())
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
    let probe = Probe::from(world.enter(["--user", &bob.name])?.finish()?)?;
    ensure_eq!(probe.arguments(), ["-probe"], "the arguments of the map's shell");
    ensure_eq!(probe.variable("SHELL"), Some("/probe"), "SHELL");
    Ok(())
}

fn shell_string() -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    world.probe_map("shell = \"/probe\"", "")?;
    let text = "-x 'a  b' $HOME; \"\n\" --user root";
    let probe = Probe::from(world.enter(["--user", &bob.name, "-c", text])?.finish()?)?;
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
    let probe = Probe::from(run.finish()?)?;
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
    let probe = Probe::from(run.finish()?)?;
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
    let probe = Probe::from(run.finish()?)?;
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
            let probe = Probe::from(run.finish()?)?;
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
    let probe = Probe::from(run.finish()?)?;
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
        let probe = Probe::from(run.finish()?)?;
        ensure_eq!(probe.directory(), "/", "the directory ({mode})");
    }
    // There, but not for this user.
    world.probe_map("", "[[profile.mount]]\ntarget = \"%h\"\nkind = \"dir\"\nmode = \"0700\"")?;
    ensure_eq!(world.probe(["--user", &bob.name])?.directory(), "/", "the directory beside a closed home");
    Ok(())
}
