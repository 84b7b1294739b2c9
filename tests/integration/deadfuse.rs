//! A file system whose server does not answer: a user whose home is on it gets a message in time, and nobody else
//! notices.

use std::path::Path;
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use session_sandbox::host::PATIENCE;

use crate::support::fuse::{Fuse, Server};
use crate::support::{
    HostMounts, HostState, Needs, Outcome, User, Verdict, World, ensure, ensure_eq, isolated, until, users,
};

const AS_BOB: &[Needs] = &[Needs::Root, Needs::OrdinaryUser];

/// What may be added to the limit by everything that is done besides waiting.
const MORE: Duration = Duration::from_secs(2);
/// An entry that waits for nobody is far below, even on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(1);

const HOME: &str = "[[profile.mount]]\ntarget = \"%h\"\nsource = \"%h\"\nopen_as = \"user\"\n";

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for wall in ["pidns", "none"] {
        for server in [Server::Stopped, Server::Waiting] {
            trials.push(isolated(
                format!("a home with a server that is {server:?} costs its user a message (wall {wall})"),
                AS_BOB,
                HostMounts::Shared,
                move || dead_home(wall, server),
            ));
        }
    }
    trials.extend([
        isolated(
            "a source below a dead mount costs its user a message",
            AS_BOB,
            HostMounts::Shared,
            dead_source,
        ),
        isolated("an ordinary user's dead home costs a message", AS_BOB, HostMounts::Shared, dead_own_home),
        isolated(
            "an entry that is killed while it waits for a dead server leaves nothing",
            AS_BOB,
            HostMounts::Shared,
            killed,
        ),
        isolated(
            "a dead mount somewhere in a home keeps nobody out",
            AS_BOB,
            HostMounts::Shared,
            dead_part_of_home,
        ),
        isolated("a home with a server that answers is entered", AS_BOB, HostMounts::Shared, living_home),
    ]);
    trials
}

/// Ended by the limit, neither before nor long after, with a message that says what to do.
fn expect_no_answer(outcome: &Outcome, took: Duration, path: &Path) -> Verdict {
    ensure_eq!(outcome.code, Some(125), "exit status; it wrote {:?}", outcome.stderr);
    let message = format!(": {}: no answer within {} s\n", path.display(), PATIENCE.as_secs());
    let (asker, rest) = outcome.stderr.split_once(&message).unwrap_or_default();
    ensure!(!rest.is_empty(), "{:?} does not say {message:?}", outcome.stderr);
    ensure!(asker.starts_with("session-enter: ") && asker.contains("map"), "{asker:?} is no line of the map");
    ensure!(outcome.stderr.contains("unmount it"), "no remedy in {:?}", outcome.stderr);
    ensure_eq!(outcome.stderr.lines().count(), 2, "lines of {:?}", outcome.stderr);
    ensure!(took >= PATIENCE && took < PATIENCE + MORE, "it took {took:?}");
    Ok(())
}

fn timed(run: crate::support::Run) -> Result<(Outcome, Duration), Failed> {
    let began = Instant::now();
    Ok((run.finish()?, began.elapsed()))
}

/// Enters as `user`, and says where the program stood.
fn where_is(world: &World, user: &User) -> Result<(Outcome, Duration), Failed> {
    timed(world.enter(["--user", &user.name, "--", "pwd"])?)
}

fn dead_home(wall: &str, server: Server) -> Verdict {
    let (bob, mallory) = (users::bob()?, users::mallory()?);
    let world = World::new()?;
    world.map(&format!("wall = {wall:?}"), HOME)?;
    let without = HostState::now();
    let fuse = Fuse::mount(&bob.home, server)?;
    let before = HostState::now();

    let began = Instant::now();
    let stuck = world.enter(["--user", &bob.name, "--", "pwd"])?.start()?;
    while began.elapsed() < PATIENCE / 2 {
        let (other, took) = where_is(&world, &mallory)?;
        ensure_eq!(other.output()?, format!("{}\n", mallory.home.display()), "where another user stands");
        ensure!(took < AT_ONCE, "another user's entry took {took:?}");
    }
    // Ends only when nobody holds its output any more, the process that could not be killed included.
    let outcome = stuck.finish()?;
    expect_no_answer(&outcome, began.elapsed(), &bob.home)?;
    if server == Server::Stopped {
        before.assert_returns()?;
    }
    // A FUSE server that has taken a request keeps even a killed process until it ends itself.
    ensure_eq!(HostState::now().mounts, before.mounts, "the host's mounts");
    drop(fuse);
    without.assert_returns()
}

fn dead_source() -> Verdict {
    let bob = users::bob()?;
    let world = World::new()?;
    let mount = world.directory("mount")?;
    let below = mount.join("work");
    for settings in ["", "follow_symlinks = true", "open_as = \"user\"\nfollow_symlinks = true"] {
        let bind = format!("[[profile.mount]]\ntarget = \"/data\"\nsource = {below:?}\n{settings}\n");
        world.map("", &bind)?;
        let before = HostState::now();
        let fuse = Fuse::mount(&mount, Server::Stopped)?;
        // The folder is root's alone: the user cannot look below it.
        std::fs::set_permissions(world.path("."), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let (outcome, took) = where_is(&world, &bob)?;
        expect_no_answer(&outcome, took, &below)?;
        drop(fuse);
        before.assert_returns()?;
    }
    Ok(())
}

/// In each of the three ways in which a scout can have other credentials than its parent.
fn killed() -> Verdict {
    let bob = users::bob()?;
    let world = World::new()?;
    std::fs::set_permissions(world.path("."), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let mount = world.directory("mount")?;
    let below = mount.join("work");
    let bind =
        |settings: &str| format!("[[profile.mount]]\ntarget = \"/data\"\nsource = {below:?}\n{settings}\n");
    for (at, entries) in
        [(&bob.home, HOME), (&mount, &bind("open_as = \"root\"")), (&mount, &bind("open_as = \"user\""))]
    {
        world.map("", entries)?;
        let before = HostState::now();
        let fuse = Fuse::mount(at, Server::Stopped)?;
        let while_dead = HostState::now();
        let waiting = world.enter(["--user", &bob.name, "--", "pwd"])?.start()?;
        until("there is a scout", || (HostState::now().processes.len() == 2).then_some(()))?;
        // It may be on its way still; then it has nothing to be ended from, and ends all the same.
        std::thread::sleep(Duration::from_millis(100));
        waiting.signal(rustix::process::Signal::KILL)?;
        let began = Instant::now();
        ensure_eq!(waiting.finish()?.signal, Some(9), "how it ended");
        while_dead.assert_returns()?;
        ensure!(began.elapsed() < AT_ONCE, "it took {:?} to go", began.elapsed());
        drop(fuse);
        before.assert_returns()?;
    }
    Ok(())
}

/// Without root: the user's own process does the look-ups.
fn dead_own_home() -> Verdict {
    let bob = users::bob()?;
    let world = World::new()?;
    std::fs::set_permissions(world.path("."), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    world.map("", HOME)?;
    let program = world.path("session-enter");
    std::fs::copy(world.program()?, &program)?;
    let before = HostState::now();
    let fuse = Fuse::mount(&bob.home, Server::Stopped)?;
    // Its map lies in root's folder, which bob trusts as well.
    let run = crate::support::Run::new(&program)
        .arg("--config")
        .arg(world.path("map.toml"))
        .args(["--", "pwd"])
        .user(&bob);
    let (outcome, took) = timed(run)?;
    expect_no_answer(&outcome, took, &bob.home)?;
    drop(fuse);
    before.assert_returns()
}

fn dead_part_of_home() -> Verdict {
    let bob = users::bob()?;
    let world = World::new()?;
    world.map("", HOME)?;
    // A home of this test's own: other tests may look at the real one.
    crate::hostview::mount_memory(&world.path("home"))?;
    rustix::mount::mount_bind(world.path("home"), &bob.home)?;
    let part = bob.home.join("part");
    std::fs::create_dir(&part)?;
    let before = HostState::now();
    let fuse = Fuse::mount(&part, Server::Stopped)?;
    let (outcome, took) = timed(world.enter([
        "--user",
        &bob.name,
        "--",
        "sh",
        "-c",
        "pwd; grep -c ' fuse ' /proc/self/mountinfo",
    ])?)?;
    // The copy of a mount asks nobody, so it is there, as dead as outside.
    ensure_eq!(outcome.output()?, format!("{}\n1\n", bob.home.display()), "what the session says");
    ensure!(took < AT_ONCE, "it took {took:?}");
    drop(fuse);
    before.assert_returns()?;
    rustix::mount::unmount(&bob.home, rustix::mount::UnmountFlags::empty())?;
    rustix::mount::unmount(world.path("home"), rustix::mount::UnmountFlags::empty())?;
    Ok(())
}

/// Nothing is remembered of such a file system: each look-up goes to the server, and so to a scout first.
fn living_home() -> Verdict {
    let bob = users::bob()?;
    let world = World::new()?;
    let home = bob.home.join("deep/er");
    let entries = format!("{HOME}[[profile.mount]]\ntarget = \"/data\"\nsource = {home:?}\n");
    for wall in ["pidns", "none"] {
        world.map(&format!("wall = {wall:?}"), &entries)?;
        let before = HostState::now();
        let fuse = Fuse::mount(&bob.home, Server::Answering)?;
        let script = "pwd; test -d /data/more && echo data; cat /proc/self/status | grep SigBlk; ps -o pid= --ppid $$ | wc -l";
        let words = ["--user", &bob.name, "--", "sh", "-c", script];
        let (outcome, took) = timed(world.enter(words)?)?;
        let text = outcome.output()?;
        // `ps` and `wc` are the only children: no scout was left to the program.
        let must = format!("{}\ndata\nSigBlk:\t0000000000000000\n2\n", bob.home.display());
        ensure_eq!(text, must, "what the session says (wall {wall})");
        ensure!(took < AT_ONCE, "it took {took:?}");
        drop(fuse);
        before.assert_returns()?;
    }
    Ok(())
}
