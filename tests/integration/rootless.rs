//! An ordinary user, without any help of root's, in a root of its own.

use std::ffi::OsStr;

use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::support::{
    HostMounts, HostState, Needs, Run, User, Verdict, World, ensure, ensure_eq, isolated, trial, users,
};

const ORDINARY: &[Needs] = &[Needs::OrdinaryUser];
const BOTH: &[Needs] = &[Needs::Root, Needs::OrdinaryUser];

pub fn trials() -> Vec<Trial> {
    vec![
        trial("an ordinary user enters the root of the built-in map", ORDINARY, built_in),
        trial("an ordinary user enters as itself and can become nobody else", ORDINARY, identity),
        trial("an ordinary user's session has its own processes and mounts", ORDINARY, namespaces),
        trial("an ordinary user may write a map of its own", ORDINARY, own_map),
        trial(
            "subordinate ids are mapped where the user has them",
            &[Needs::Root, Needs::OrdinaryUser, Needs::Tool("newuidmap")],
            subordinate_ids,
        ),
        isolated("no subordinate ids, no obstacle", BOTH, HostMounts::Shared, single_id),
        isolated("an ordinary user enters nobody else's root", BOTH, HostMounts::Shared, others),
        isolated(
            "a host that forbids user namespaces is named with its setting",
            BOTH,
            HostMounts::Shared,
            forbidden,
        ),
        isolated(
            "an ordinary user's session leaves nothing behind",
            BOTH,
            HostMounts::Shared,
            leaves_nothing,
        ),
        trial("mistakes of an ordinary user are told in one line", ORDINARY, mistakes),
    ]
}

/// By a user itself, in a folder of its own.
fn by<A: AsRef<OsStr>>(user: &User, arguments: impl IntoIterator<Item = A>) -> Result<(World, Run), Failed> {
    let world = World::of(user)?;
    let run = world.session_enter(arguments)?;
    Ok((world, run))
}

fn built_in() -> Verdict {
    let bob = users::bob()?;
    for mode in crate::enter::MODES {
        let script = "id -un; ls -d /usr /proc/self/ /tmp /dev/null; echo x > /tmp/x && echo x > ~/.sstest && rm ~/.sstest && echo written; \
                      touch /usr/x 2>/dev/null || echo read-only; exit 5";
        let (_world, run) = by(&bob, ["--mode", mode, "--", "sh", "-c", script])?;
        let outcome = run.finish()?;
        let must = format!("{}\n/dev/null\n/proc/self/\n/tmp\n/usr\nwritten\nread-only\n", bob.name);
        ensure_eq!(
            (outcome.code, outcome.stdout),
            (Some(5), must),
            "what is inside ({mode}): {}",
            outcome.stderr
        );
    }
    Ok(())
}

fn identity() -> Verdict {
    let bob = users::bob()?;
    let world = World::of(&bob)?;
    world.probe_map("", "")?;
    let probe = world.probe([] as [&str; 0])?;
    let ids = |id: u32| format!("{id} {id} {id} {id}");
    ensure_eq!(probe.status("Uid"), ids(bob.uid), "user ids");
    ensure_eq!(probe.status("Gid"), ids(bob.gid), "group ids");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        ensure_eq!(probe.status(set), "0000000000000000", "{set}");
    }
    ensure_eq!(probe.status("NoNewPrivs"), "1", "no_new_privs");
    let numbers: Vec<&str> = probe.descriptors().into_iter().map(|(number, _)| number).collect();
    ensure_eq!(numbers, ["0", "1", "2"], "the descriptors");
    // With its own name it is the same.
    let named = world.probe(["--user", bob.name.as_str()])?;
    ensure_eq!(named.status("Uid"), ids(bob.uid), "user ids, by name");
    Ok(())
}

fn namespaces() -> Verdict {
    let bob = users::bob()?;
    let world = World::of(&bob)?;
    world.probe_map("", "")?;
    let probe = world.probe([] as [&str; 0])?;
    for name in ["user", "mnt", "pid"] {
        let own = std::fs::read_link(format!("/proc/self/ns/{name}"))?;
        ensure!(probe.namespace(name) != own.to_string_lossy(), "the {name} namespace is the host's");
    }
    ensure_eq!(probe.mount("/").map(|mount| mount.kind), Some("tmpfs".to_owned()), "the root's file system");
    for mount in probe.mounts() {
        ensure!(mount.has("nosuid"), "{} is mounted with {:?}", mount.at, mount.options);
        ensure!(mount.at == "/" || !mount.at.starts_with("/run"), "{} is there", mount.at);
    }
    ensure!(probe.mount("/usr").is_some_and(|mount| mount.has("ro")), "/usr is not read-only");
    Ok(())
}

fn own_map() -> Verdict {
    let bob = users::bob()?;
    let world = World::of(&bob)?;
    let share = world.directory("share")?;
    world.file("share/file", "mine\n")?;
    world.map(
        "umask = \"077\"",
        &format!(
            "[[profile.mount]]\ntarget = \"/share\"\nsource = {share:?}\noptions = [\"ro\"]\n\
             [[profile.mount]]\ntarget = \"/share/file\"\nkind = \"file\"\ncontent = \"the map's\\n\"\n\
             [[profile.mount]]\ntarget = \"/memory\"\nkind = \"tmpfs\"\nmode = \"0700\"\nowner = \"user\"\n"
        ),
    )?;
    let script = "cat /share/file; umask; echo x > /memory/x && stat -c %u:%a /memory; touch /share/x 2>/dev/null || echo read-only";
    let text = world.enter(["--", "sh", "-c", script])?.finish()?.output()?;
    ensure_eq!(text, format!("the map's\n0077\n{}:700\nread-only\n", bob.uid), "what is inside");
    Ok(())
}

fn planned_subordinate(world: &World) -> Result<Value, Failed> {
    let text = world.session_enter(["--dry-run=json"])?.finish()?.output()?;
    let plan: Value = serde_json::from_str(&text)?;
    Ok(plan["plan"]["namespace"]["user"]["subordinate"].clone())
}

fn subordinate_ids() -> Verdict {
    let bob = users::bob()?;
    let world = World::of(&bob)?;
    ensure!(planned_subordinate(&world)?.is_object(), "{} has no subordinate ids in the plan", bob.name);
    let text =
        world.session_enter(["--", "sh", "-c", "cat /proc/self/uid_map; id -u"])?.finish()?.output()?;
    let numbers: Vec<Vec<u32>> = text
        .lines()
        .map(|line| line.split_whitespace().filter_map(|number| number.parse().ok()).collect())
        .collect();
    ensure!(numbers.len() == 3, "two ranges and an id were expected: {text}");
    ensure!(numbers.contains(&vec![bob.uid, bob.uid, 1]) && numbers.last() == Some(&vec![bob.uid]), "{text}");
    Ok(())
}

fn single_id() -> Verdict {
    // By having none, and by a host without the programs that map them.
    let mallory = users::mallory()?;
    let world = World::of(&mallory)?;
    ensure!(planned_subordinate(&world)?.is_null(), "mallory has subordinate ids");
    let check = |world: &World, user: &User| -> Verdict {
        let text = world
            .session_enter(["--", "sh", "-c", "cat /proc/self/uid_map; id -u; id -un"])?
            .finish()?
            .output()?;
        let words: Vec<&str> = text.split_whitespace().collect();
        let uid = user.uid.to_string();
        ensure_eq!(words, [uid.as_str(), &uid, "1", &uid, &user.name], "ids");
        Ok(())
    };
    check(&world, &mallory)?;
    let bob = users::bob()?;
    let world = World::of(&bob)?;
    for helper in ["newuidmap", "newgidmap"] {
        if let Some(program) = crate::support::tool(helper) {
            hide(&program)?;
        }
    }
    ensure!(planned_subordinate(&world)?.is_null(), "helpers that are not there are planned with");
    check(&world, &bob)
}

/// Covers a program in this test's own mount table by a file that is not root's, and so is not trusted.
fn hide(program: &std::path::Path) -> Verdict {
    let cover = std::path::Path::new("/run/not-roots");
    std::fs::write(cover, "")?;
    std::os::unix::fs::chown(cover, Some(12345), None)?;
    Ok(rustix::mount::mount_bind(cover, program)?)
}

fn refused(user: &User, arguments: &[&str], words: &[&str]) -> Verdict {
    let (_world, run) = by(user, arguments)?;
    let outcome = run.finish()?.expect_code(125)?;
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    ensure!(
        lines.len() <= 2 && lines[0].starts_with("session-enter: ") && outcome.stdout.is_empty(),
        "{arguments:?}: {outcome:?}"
    );
    for word in words {
        ensure!(
            outcome.stderr.contains(word),
            "{word:?} is not in the message about {arguments:?}: {lines:?}"
        );
    }
    Ok(())
}

fn others() -> Verdict {
    let (bob, mallory) = (users::bob()?, users::mallory()?);
    let before = HostState::now();
    refused(&bob, &["--user", &mallory.name, "--", "id"], &[&mallory.name, "root", "help: "])?;
    refused(&bob, &["--user", "root", "--", "id"], &["root", "help: "])?;
    refused(&bob, &["--prepare"], &["--prepare", "root", "help: "])?;
    refused(&bob, &["--release"], &["--release", "root", "help: "])?;
    before.assert_returns()
}

fn forbidden() -> Verdict {
    let bob = users::bob()?;
    // The setting is each user namespace's own. In this one, which knows all of the host's ids, nobody may make another.
    let world = World::of(&bob)?;
    let program = world.program()?;
    let before = HostState::now();
    let script = "echo ready; read line; echo 0 > /proc/sys/user/max_user_namespaces || exit 1; \
                  exec setpriv --reuid $1 --regid $2 --clear-groups --ambient-caps=-all --inh-caps=-all \"$3\" -- id";
    let mut running = Run::new("unshare")
        .args(["--user", "--keep-caps", "sh", "-c", script, "sh", &bob.uid.to_string(), &bob.gid.to_string()])
        .arg(&program)
        .piped_input()
        .start()?;
    running.expect("ready\n")?;
    for file in ["uid_map", "gid_map"] {
        std::fs::write(format!("/proc/{}/{file}", running.pid().as_raw_nonzero()), "0 0 4294967295")?;
    }
    running.write(b"\n")?;
    let outcome = running.finish()?;
    ensure_eq!(outcome.code, Some(125), "exit status: {outcome:?}");
    ensure!(
        outcome.stderr.contains("sysctl user.max_user_namespaces is 0"),
        "the setting is not named: {}",
        outcome.stderr
    );
    ensure!(outcome.stderr.lines().count() == 2 && outcome.stderr.contains("help: "), "{}", outcome.stderr);
    before.assert_returns()
}

fn leaves_nothing() -> Verdict {
    let bob = users::bob()?;
    let world = World::of(&bob)?;
    let before = HostState::now();
    for (script, code) in
        [("exit 0", 0), ("exit 3", 3), ("kill -KILL $$", 137), ("setsid sleep 1000 & sleep 1000 & exit 0", 0)]
    {
        let outcome = world.session_enter(["--", "sh", "-c", script])?.finish()?;
        ensure_eq!(outcome.code, Some(code), "exit status of {script:?}: {}", outcome.stderr);
        before.assert_returns()?;
    }
    let mut session = world.session_enter(["--", "sh", "-c", "echo ready; sleep 1000"])?.start()?;
    session.expect("ready")?;
    session.signal(rustix::process::Signal::KILL)?;
    session.finish()?;
    before.assert_returns()
}

fn mistakes() -> Verdict {
    let bob = users::bob()?;
    refused(&bob, &["--user", "1000", "--", "id"], &["--user", "help: "])?;
    refused(&bob, &["--config", "/no/such/map", "--", "id"], &["/no/such/map", "help: "])?;
    refused(&bob, &["--profile", "none", "--", "id"], &["none", "help: "])?;
    let world = World::of(&bob)?;
    let (_other, run) = by(&bob, ["--", "no-such-command"])?;
    run.finish()?.expect_code(127)?;
    world.map("", "[[profile.mount]]\ntarget = \"/shadow\"\nsource = \"/etc/shadow-\"\noptional = true\n[[profile.mount]]\ntarget = \"/root\"\nsource = \"/root/x\"\n")?;
    let outcome = world.enter(["--", "id"])?.finish()?.expect_code(125)?;
    ensure!(outcome.stderr.contains("/root/x") && outcome.stderr.contains("map.toml:"), "{}", outcome.stderr);
    Ok(())
}
