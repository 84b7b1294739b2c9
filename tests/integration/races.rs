//! A user who swaps things while they are opened. The attacker runs at full speed on the other core; what counts is how
//! often the victim ends up somewhere else, and the race is only worth something if a careless victim loses it.

use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::Path;

use libtest_mimic::{Failed, Trial};
use rustix::fs::{CWD, Mode, OFlags, RenameFlags};
use session_sandbox::host::Sources;
use session_sandbox::model::facts::Look;
use session_sandbox::model::path::AbsPath;
use session_sandbox::model::subject::Door;

use crate::support::{HostMounts, Needs, Run, Running, User, Verdict, World, ensure, isolated, tried, users};

/// How often the victim tries; with `SESSION_SANDBOX_LONG=1` twenty times as often.
fn attempts() -> usize {
    let long = std::env::var_os("SESSION_SANDBOX_LONG").is_some_and(|value| !value.is_empty());
    if long { 1_000_000 } else { 50_000 }
}

pub fn trials() -> Vec<Trial> {
    const NEEDS: &[Needs] = &[Needs::Root, Needs::OrdinaryUser];
    const WITH_PYTHON: &[Needs] = &[Needs::Root, Needs::OrdinaryUser, Needs::Tool("python3")];
    vec![
        isolated(
            "a source whose folder is swapped for a link while it is opened leads nowhere else",
            NEEDS,
            HostMounts::Shared,
            swapped_source,
        ),
        isolated(
            "a session whose source is swapped while it is entered shows that source or is refused",
            NEEDS,
            HostMounts::Shared,
            swapped_at_entry,
        ),
        isolated(
            "nobody looks into a session's processes before they have become the user's program",
            WITH_PYTHON,
            HostMounts::Shared,
            watched_from_outside,
        ),
    ]
}

/// Looks at all processes of these names as long as it is let to, and counts those into which it could: their memory,
/// their descriptors, their root directory. The name is asked again with the door open, so that a process that has become
/// another program by then does not count.
const WATCHER: &str = r#"
import os, sys
names, stop = set(sys.argv[2:]), sys.argv[1]
tries = wins = 0
def name(pid):
    with open(f"/proc/{pid}/comm") as comm: return comm.read().strip()
print("here", flush=True)
while not os.path.exists(stop):
    for pid in os.listdir("/proc"):
        if not pid.isdigit(): continue
        try:
            if name(pid) not in names: continue
            tries += 1
            for look in (lambda: open(f"/proc/{pid}/mem", "rb").close(), lambda: os.listdir(f"/proc/{pid}/fd"),
                         lambda: os.stat(f"/proc/{pid}/root/"), lambda: os.readlink(f"/proc/{pid}/cwd")):
                try:
                    look()
                    if name(pid) in names: wins += 1
                except OSError: pass
        except OSError: pass
print(tries, wins)
"#;

/// The kernel hides a process that changes its user id, until it becomes another program. Nothing of ours may undo that.
fn watched_from_outside() -> Verdict {
    const ENTRIES: usize = 200;
    let bob = users::bob()?;
    let world = World::new()?;
    std::fs::set_permissions(world.path("."), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let stop = world.path("stop");
    let watch = |names: &[&str]| -> Result<Running, Failed> {
        let mut watcher =
            Run::new("python3").args(["-c", WATCHER]).arg(&stop).args(names).user(&bob).start()?;
        watcher.expect("here\n")?;
        Ok(watcher)
    };
    let counted = |watcher: Running| -> Result<(usize, usize), Failed> {
        std::fs::write(&stop, "")?;
        let said = watcher.finish()?.output()?;
        std::fs::remove_file(&stop)?;
        let mut numbers = said.lines().last().unwrap_or_default().split(' ').map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(tries), Some(wins)) => Ok((tries?, wins?)),
            _ => Err(format!("the watcher said {said:?}").into()),
        }
    };
    // A careless program of bob's, which lasts as long as an entry does.
    let watcher = watch(&["sleep"])?;
    for _ in 0..50 {
        Run::new("sleep").args(["0.01"]).user(&bob).finish()?.expect_code(0)?;
    }
    let (_, careless) = counted(watcher)?;
    ensure!(careless > 0, "inconclusive: a careless program was not looked into either");
    for settings in ["scope = \"session\"", "scope = \"user\"", "wall = \"none\""] {
        world.map(settings, "")?;
        let watcher = watch(&["session-enter", "session-keeper"])?;
        for _ in 0..ENTRIES {
            world.enter(["--user", &bob.name, "--", "true"])?.finish()?.expect_code(0)?;
        }
        let (tries, wins) = counted(watcher)?;
        ensure!(wins == 0, "{settings}: {wins} of {tries} looks");
        ensure!(tries > 100, "inconclusive: {settings}: {tries} looks in {ENTRIES} entries");
    }
    Ok(())
}

fn swapped_source() -> Verdict {
    let bob = users::bob()?;
    let world = World::new()?;
    std::fs::set_permissions(world.path("."), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    // What bob must not reach, and bob's own folder, in which he has a directory and a link to it.
    let secret = world.directory("secret")?;
    std::fs::create_dir(secret.join("inner"))?;
    let play = world.directory("play")?;
    std::fs::create_dir_all(play.join("own/inner"))?;
    symlink(&secret, play.join("link"))?;
    for place in [&play, &play.join("own"), &play.join("own/inner")] {
        chown(place, Some(bob.uid), Some(bob.uid))?;
    }
    let forbidden = std::fs::metadata(secret.join("inner"))?.ino();
    let path = play.join("own/inner");
    let attacker = Attacker::start(&play, &bob)?;

    let careless =
        wins(forbidden, || rustix::fs::open(&path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok());
    let subject = session_sandbox::host::subject(&bob.name, Door::command_line())
        .map_err(|error| error.chain().to_string())?;
    let sources = Sources::of(&subject, true);
    let source = AbsPath::new(path.to_str().expect("a plain path"))?;
    let looks = [Look::Root, Look::User, Look::RootFollowing, Look::UserFollowing];
    let ours = looks.map(|look| (look, wins(forbidden, || sources.open(&source, look).ok())));
    drop(attacker);

    ensure!(careless.wins > 0, "inconclusive: a careless victim did not lose either: {careless:?}");
    for (look, count) in ours {
        ensure!(count.wins == 0, "{look:?}: {count:?}");
        // Where links are followed at all, a folder of bob's own on the way is refused always.
        let followed = matches!(look, Look::RootFollowing | Look::UserFollowing);
        ensure!(followed || count.opened > 0, "{look:?} never opened anything: {count:?}");
    }
    tried("attempts of a race", attempts() * looks.len())?;
    tried("attempts of a race by a careless victim, who lost some", attempts())
}

/// The same for whole sessions: what was looked at and what is mounted is one thing.
fn swapped_at_entry() -> Verdict {
    const ENTRIES: usize = 300;
    let bob = users::bob()?;
    let world = World::new()?;
    std::fs::set_permissions(world.path("."), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let secret = world.directory("secret")?;
    let play = world.directory("play")?;
    for (folder, content) in [(secret.join("inner"), "secret"), (play.join("own/inner"), "own")] {
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("which"), content)?;
    }
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    symlink(&secret, play.join("link"))?;
    for place in [&play, &play.join("own"), &play.join("own/inner")] {
        chown(place, Some(bob.uid), Some(bob.uid))?;
    }
    let source = play.join("own/inner");
    world.map(
        "",
        &format!("[[profile.mount]]\ntarget = \"/data\"\nsource = {source:?}\nopen_as = \"user\"\n"),
    )?;
    let attacker = Attacker::start(&play, &bob)?;
    // As it is done by hand, with a look before.
    let mut careless = 0;
    for _ in 0..ENTRIES {
        let script = "test ! -L \"$1\" && mount --bind \"$1/inner\" /mnt && cat /mnt/which && umount /mnt";
        let own = play.join("own");
        let outcome = Run::new("sh").args(["-c", script, "sh"]).arg(&own).finish()?;
        careless += usize::from(outcome.stdout == "secret");
    }
    let mut count = Count::default();
    for _ in 0..ENTRIES {
        let outcome = world.enter(["--user", &bob.name, "--", "cat", "/data/which"])?.finish()?;
        match (outcome.code, outcome.stdout.as_str()) {
            (Some(0), "own") => count.opened += 1,
            (Some(125), "") => count.refused += 1,
            _ => count.wins += 1,
        }
    }
    drop(attacker);
    ensure!(careless > 0, "inconclusive: whoever mounts by hand did not lose either");
    ensure!(count.wins == 0, "{count:?}");
    ensure!(count.opened > 0 && count.refused > 0, "inconclusive: {count:?}");
    tried("sessions whose source is swapped while they are entered", ENTRIES)
}

/// What became of the attempts.
#[derive(Debug, Default)]
struct Count {
    opened: usize,
    refused: usize,
    wins: usize,
}

/// Opens again and again, and counts how often it is the attacker's place that was opened.
fn wins(forbidden: u64, open: impl Fn() -> Option<OwnedFd>) -> Count {
    let mut count = Count::default();
    for _ in 0..attempts() {
        match open().map(|place| rustix::fs::fstat(&place)) {
            Some(Ok(status)) if status.st_ino == forbidden => count.wins += 1,
            Some(Ok(_)) => count.opened += 1,
            _ => count.refused += 1,
        }
    }
    count
}

/// A process that exchanges `own` and `link` for as long as this value lives.
pub struct Attacker(libc::pid_t);

impl Attacker {
    /// Starts it, as this user.
    pub fn start(play: &Path, user: &User) -> Result<Self, Failed> {
        let (own, link) = (play.join("own"), play.join("link"));
        // SAFETY: this process has one thread.
        match unsafe { libc::fork() } {
            -1 => Err(std::io::Error::last_os_error().into()),
            0 => {
                // SAFETY: takes numbers; this process is the attacker's from here on.
                let done = unsafe { libc::setresgid(user.uid, user.uid, user.uid) };
                // SAFETY: as above.
                let done = done | unsafe { libc::setresuid(user.uid, user.uid, user.uid) };
                if done == 0 {
                    loop {
                        let _ = rustix::fs::renameat_with(CWD, &own, CWD, &link, RenameFlags::EXCHANGE);
                    }
                }
                // SAFETY: ends this process.
                unsafe { libc::_exit(1) }
            }
            child => Ok(Self(child)),
        }
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        // SAFETY: a child that has not been waited for, so that the number is still its own.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
        // SAFETY: no status is asked for.
        unsafe { libc::waitpid(self.0, std::ptr::null_mut(), 0) };
    }
}
