//! Several logins in one view: who is in it, when it ends, and what is refused.

mod stress;

use std::path::PathBuf;

use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::support::users::User;
use crate::support::{
    HostMounts, HostState, Needs, Outcome, Run, Running, Verdict, World, ensure, ensure_eq, isolated,
    processes_called, until, users,
};

/// What these tests need, and the tools with which they look and take hold of things.
const AS_BOB: &[Needs] = &[Needs::Root, Needs::OrdinaryUser, Needs::Tool("pgrep"), Needs::Tool("flock")];
const SESSIONCTL: &str = env!("CARGO_BIN_EXE_sessionctl");
const SCOPES: &str = "/run/session-sandbox/scopes";

pub fn trials() -> Vec<Trial> {
    let own = |name: &str, test: fn() -> Verdict| isolated(name, AS_BOB, HostMounts::Shared, test);
    let mut trials = vec![
        own("the second login joins the first one's view, and the last one ends it", one_view),
        own("what is left running ends with the last session, or stays as the map says", lingering),
        own(
            "a view ends so long after its last session, and a login in between finds it",
            lingering_for_a_time,
        ),
        own("a session can take a private copy of the view", private_copy),
        own("two users with one group share its view, and only the view", group_view),
        own("a changed map is joined, or starts a new generation", generations),
        own("without a PID namespace a view lives as long as a process in it", without_keeper),
        own("a pinned view is kept for its time, and gc lets go of it", pinned),
        own("a login behind a wall joins no view without one", no_weaker_wall),
        own("sessionctl lists, enters and ends what lives", control),
        own("the keeper has nothing that a session could use", keeper),
        own("forged and stale records are not believed", forged),
        own("a recursive bind copies no pin", no_copied_pin),
        own("a base namespace that is not empty is made again", broken_base),
        own("a folder that is not root's alone is refused", untrusted_folder),
        own("a lock that is held delays its own user for five seconds, and nobody else", held_lock),
        own("a full /run keeps nobody out; a full registry does, with a message", full),
    ];
    trials.extend(stress::trials());
    trials
}

/// A world whose map has these settings.
pub struct Host {
    pub world: World,
    pub bob: User,
}

impl Host {
    pub fn new(settings: &str) -> Result<Self, Failed> {
        let host = Self { world: World::new()?, bob: users::bob()? };
        host.set(settings)?;
        Ok(host)
    }

    /// Writes the map again.
    pub fn set(&self, settings: &str) -> Result<PathBuf, Failed> {
        self.world.map(settings, "")
    }

    /// A login of this user that runs `script`.
    pub fn login(&self, user: &User, script: &str) -> Result<Run, Failed> {
        Ok(self.world.enter(["--user", &user.name, "--", "sh", "-c", script])?.piped_input())
    }

    fn bobs(&self, script: &str) -> Result<Run, Failed> {
        self.login(&self.bob, script)
    }

    /// A login of bob's that is there until it gets a line.
    pub fn stays(&self) -> Result<Running, Failed> {
        let mut session = self.bobs("echo here; read line")?.start()?;
        session.expect("here\n")?;
        Ok(session)
    }

    fn views(&self) -> Result<Vec<Value>, Failed> {
        let list = control_command(&["list", "--json"])?.expect_code(0)?.stdout;
        let list: Value = serde_json::from_str(&list)?;
        Ok(list["namespaces"].as_array().cloned().unwrap_or_default())
    }

    pub fn until_no_view(&self) -> Verdict {
        // A keeper takes its view off the list and ends then.
        let no_keeper = || processes_called(&["session-keeper"]).is_empty();
        until("no view lives", || (self.views().ok()?.is_empty() && no_keeper()).then_some(()))
    }
}

fn control_command(words: &[&str]) -> Result<Outcome, Failed> {
    Run::new(SESSIONCTL).args(words).finish()
}

pub fn leave(mut session: Running) -> Verdict {
    session.write(b"\n")?;
    session.finish()?.expect_code(0).map(drop)
}

fn one_view() -> Verdict {
    let host = Host::new("scope = \"user\"")?;
    let before = HostState::now();
    let look =
        "readlink /proc/self/ns/mnt /proc/self/ns/pid; cat /tmp/word 2>/dev/null; ls -d /proc/[0-9]* | wc -l";
    let mut first = host
        .bobs("echo said > /tmp/word; readlink /proc/self/ns/mnt /proc/self/ns/pid; read line")?
        .start()?;
    first.expect_times("\n", 2)?;
    let seen = host.bobs(look)?.finish()?.output()?;
    ensure!(
        seen.starts_with(&first.stdout()),
        "another view: {seen:?}, and the first is {:?}",
        first.stdout()
    );
    ensure!(seen.contains("said\n"), "another /tmp: {seen:?}");
    leave(first)?;
    host.until_no_view()?;
    let alone = host.bobs(look)?.finish()?.output()?;
    ensure!(!alone.contains("said"), "the view has outlived its last session: {alone:?}");
    // Nobody has swept: what ends in good order takes everything along.
    until("everything is gone", || {
        let names = Run::new("find").args(["/run/session-sandbox", "-mindepth", "2"]).finish().ok()?.stdout;
        (names == "/run/session-sandbox/sessions/next\n").then_some(())
    })?;
    before.assert_returns()
}

fn lingering() -> Verdict {
    let leave_behind = "setsid sleep 300 >/dev/null 2>&1 </dev/null & echo left > /tmp/word; sleep 0.05";
    let host = Host::new("scope = \"user\"\nlinger = \"no\"")?;
    host.bobs(leave_behind)?.finish()?.expect_code(0)?;
    host.until_no_view()?;
    ensure_eq!(Run::new("pgrep").args(["-x", "sleep"]).finish()?.stdout, "", "processes that were left");

    host.set("scope = \"user\"\nlinger = \"processes\"")?;
    host.bobs(leave_behind)?.finish()?.expect_code(0)?;
    let found = host.bobs("cat /tmp/word; pkill -x sleep")?.finish()?.output()?;
    ensure_eq!(found, "left\n", "what the next login finds");
    host.until_no_view()
}

fn lingering_for_a_time() -> Verdict {
    let host = Host::new("scope = \"user\"\nlinger = \"2s\"")?;
    host.bobs("echo left > /tmp/word")?.finish()?.expect_code(0)?;
    ensure_eq!(host.bobs("cat /tmp/word")?.finish()?.output()?, "left\n", "within the time");
    host.until_no_view()
}

fn private_copy() -> Verdict {
    let host = Host::new("scope = \"user\"")?;
    let first = host.stays()?;
    let bob = host.bob.name.clone();
    host.bobs("echo said > /tmp/word")?.finish()?.expect_code(0)?;
    let script = "readlink /proc/self/ns/mnt; cat /tmp/word; echo ready; read line; ls /tmp";
    let words = ["--user", &bob, "--scope", "session", "--", "sh", "-c", script];
    let mut copy = host.world.enter(words)?.piped_input().start()?;
    copy.expect("said\nready\n")?;
    let shared = host.bobs("readlink /proc/self/ns/mnt")?.finish()?.output()?;
    ensure!(!copy.stdout().starts_with(&shared), "the copy is the view itself: {shared}");
    // What root mounts in the view later is seen in the copy as well.
    let mount = [
        "enter",
        "--user",
        &bob,
        "--as-root",
        "--config",
        &host.world.path("map.toml").to_string_lossy(),
        "--",
    ]
    .map(str::to_owned);
    let run = Run::new(SESSIONCTL).args(mount).args(["mount", "-t", "tmpfs", "later", "/tmp"]).finish()?;
    run.expect_code(0)?;
    copy.write(b"\n")?;
    let seen = copy.finish()?.output()?;
    ensure!(!seen.contains("ready\nword"), "the copy does not follow the view: {seen}");
    leave(first)
}

fn group_view() -> Verdict {
    let (host, mallory) = (Host::new("scope = \"group\"")?, users::mallory()?);
    let namespace = "readlink /proc/self/ns/pid; id -u; echo word > /tmp/of-$(id -u); ls /tmp";
    if host.bob.gid == mallory.gid {
        let first = host.stays()?;
        let ours = host.bobs(namespace)?.finish()?.output()?;
        let theirs = host.login(&mallory, namespace)?.finish()?.output()?;
        ensure_eq!(ours.lines().next(), theirs.lines().next(), "the views");
        ensure!(theirs.contains(&format!("of-{}", host.bob.uid)), "not one /tmp: {theirs}");
        return leave(first);
    }
    // Two groups, two views; and a name makes them one.
    host.set("scope = \"named\"\nscope_name = \"all\"")?;
    let first = host.stays()?;
    let ours = host.bobs(namespace)?.finish()?.output()?;
    let theirs = host.login(&mallory, namespace)?.finish()?.output()?;
    ensure_eq!(ours.lines().next(), theirs.lines().next(), "the views of one name");
    ensure_eq!(theirs.lines().nth(1), Some(mallory.uid.to_string().as_str()), "who the second is");
    ensure!(theirs.contains(&format!("of-{}", host.bob.uid)), "not one /tmp: {theirs}");
    let blocked = host.login(
        &mallory,
        "kill -9 1 2>&1; kill -9 $(pgrep -u 0 -x session-keeper) 2>&1; pkill -9 -x sh -u 0; true",
    )?;
    blocked.finish()?.expect_code(0)?;
    leave(first)
}

fn generations() -> Verdict {
    let host = Host::new("scope = \"user\"\non_change = \"join\"")?;
    let namespace = "readlink /proc/self/ns/pid";
    let first = host.stays()?;
    let old = host.bobs(namespace)?.finish()?.output()?;
    host.world.map(
        "scope = \"user\"\non_change = \"join\"",
        "[[profile.mount]]\ntarget = \"/new\"\nkind = \"dir\"\n",
    )?;
    ensure_eq!(host.bobs(namespace)?.finish()?.output()?, old, "the view that is joined");
    host.world.map(
        "scope = \"user\"\non_change = \"new\"",
        "[[profile.mount]]\ntarget = \"/new\"\nkind = \"dir\"\n",
    )?;
    let mut second = host.bobs("ls -d /new; read line")?.start()?;
    second.expect("/new\n")?;
    let listed: Vec<u64> = host.views()?.iter().filter_map(|view| view["generation"].as_u64()).collect();
    ensure_eq!(listed, [1, 2], "the generations");
    ensure!(host.bobs(namespace)?.finish()?.output()? != old, "the old view was joined");
    leave(first)?;
    leave(second)?;
    host.until_no_view()
}

fn without_keeper() -> Verdict {
    for wall in ["none", "landlock"] {
        let host = Host::new(&format!("scope = \"user\"\nwall = \"{wall}\""))?;
        let before = HostState::now();
        let first = host.stays()?;
        let namespace = "readlink /proc/self/ns/mnt";
        let one = host.bobs(namespace)?.finish()?.output()?;
        ensure_eq!(host.bobs(namespace)?.finish()?.output()?, one, "the view ({wall})");
        ensure_eq!(host.views()?.len(), 1, "views ({wall})");
        leave(first)?;
        host.until_no_view()?;
        ensure_eq!(control_command(&["gc"])?.code, Some(0), "gc");
        before.assert_returns()?;
    }
    Ok(())
}

fn pinned() -> Verdict {
    let host = Host::new("scope = \"user\"\nwall = \"none\"\nlinger = \"1s\"")?;
    let before = HostState::now();
    host.bobs("echo left > /tmp/word")?.finish()?.expect_code(0)?;
    ensure_eq!(host.bobs("cat /tmp/word")?.finish()?.output()?, "left\n", "within the time");
    until("gc has let go of the view", || {
        control_command(&["gc"]).ok()?;
        host.views().ok()?.is_empty().then_some(())
    })?;
    before.assert_returns()
}

fn no_weaker_wall() -> Verdict {
    let host = Host::new("scope = \"user\"\nwall = \"none\"\non_change = \"join\"")?;
    let first = host.stays()?;
    host.set("scope = \"user\"\nwall = \"pidns\"\non_change = \"join\"")?;
    let own = std::fs::read_link("/proc/self/ns/pid")?;
    let namespaces =
        host.bobs("readlink /proc/self/ns/pid; ls -d /proc/[0-9]* | wc -l")?.finish()?.output()?;
    let (behind, processes) = namespaces.trim().split_once('\n').ok_or("two lines")?;
    ensure!(Some(behind) != own.to_str() && behind.starts_with("pid:"), "{behind} is the host's");
    ensure!(processes.trim().parse::<u32>()? <= 5, "processes in sight behind the wall: {processes}");
    leave(first)
}

fn control() -> Verdict {
    let host = Host::new("scope = \"user\"")?;
    let before = HostState::now();
    let map = host.world.path("map.toml").to_string_lossy().into_owned();
    let bob = host.bob.name.as_str();
    let nobody = control_command(&["enter", "--user", bob, "--config", &map, "--", "true"])?;
    ensure_eq!(nobody.code, Some(125), "with no view: {}", nobody.stderr);
    ensure!(nobody.stderr.contains("no view of their own that lives"), "{}", nobody.stderr);
    let (one, other) = (host.stays()?, host.stays()?);
    let table = control_command(&["list"])?.output()?;
    ensure!(table.contains(&format!("user-{}.test", host.bob.uid)), "{table}");
    let view = host.views()?.remove(0);
    ensure_eq!(view["sessions"].as_u64(), Some(2), "sessions: {view}");
    ensure!(view["processes"].as_u64() >= Some(2), "processes: {view}");
    let link = format!("/run/session-sandbox/users/{bob}");
    let sessions: Vec<_> = std::fs::read_dir(&link)?.flatten().map(|entry| entry.path()).collect();
    ensure_eq!(sessions.len(), 2, "sessions in {link}");
    ensure_eq!(std::fs::read_to_string(sessions[0].join("unixuser"))?, format!("{bob}\n"), "whose it is");
    let as_bob = control_command(&["enter", "--user", bob, "--config", &map, "--", "id", "-u"])?.output()?;
    ensure_eq!(as_bob.trim(), host.bob.uid.to_string(), "who is in");
    let as_root = control_command(&[
        "enter",
        "--user",
        bob,
        "--as-root",
        "--config",
        &map,
        "--",
        "sh",
        "-c",
        "id -u; pwd",
    ])?;
    ensure_eq!(as_root.output()?, "0\n/\n", "who is in, and where");
    let ended = control_command(&["end", "--user", bob])?.output()?;
    ensure_eq!(ended, "ended: 2 sessions, 1 view\n", "what was ended");
    for session in [one, other] {
        ensure!(session.finish()?.code != Some(0), "a session has survived its end");
    }
    before.assert_returns()
}

fn keeper() -> Verdict {
    let host = Host::new("scope = \"user\"")?;
    let first = host.stays()?;
    let pid = Run::new("pgrep").args(["-x", "session-keeper"]).finish()?.output()?.trim().to_owned();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    for line in [
        "CapPrm:\t0000000000000000",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
    ] {
        ensure!(status.contains(line), "{line:?} is not in {status}");
    }
    let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline"))?;
    ensure!(!command.contains("echo"), "the first login's command is seen: {command:?}");
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))?.flatten() {
        let to = std::fs::read_link(entry.path())?.to_string_lossy().into_owned();
        // The host's mount namespace is root's way out.
        let known = ["/dev/null", "/run/session-sandbox/scopes", "anon_inode:", "mnt:["]
            .iter()
            .any(|start| to.starts_with(start));
        ensure!(known, "descriptor {:?} of the keeper is {to}", entry.file_name());
    }
    let inside = host
        .bobs("kill -9 1; kill -TERM 1; ls /proc/1/fd /proc/1/root; cat /proc/1/environ; echo done")?
        .finish()?;
    ensure_eq!(inside.stdout, "done\n", "what bob can do to it inside");
    // From outside, with the same uid as the session, not with the keeper's.
    let outside = Run::new("kill").args(["-9", &pid]).user(&host.bob).finish()?;
    ensure!(outside.code != Some(0), "bob has killed the keeper from outside");
    leave(first)
}

fn record_of(host: &Host) -> Result<PathBuf, Failed> {
    Ok(PathBuf::from(format!("{SCOPES}/user-{}.test/1.json", host.bob.uid)))
}

fn forged() -> Verdict {
    let host = Host::new("scope = \"user\"")?;
    let first = host.stays()?;
    let path = record_of(&host)?;
    let right: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
    let mut wrong_root = right.clone();
    wrong_root["root"] = 1.into();
    std::fs::write(&path, wrong_root.to_string())?;
    let refused = host.bobs("echo in")?.finish()?;
    ensure_eq!(refused.code, Some(125), "a record with another root: {refused:?}");
    ensure!(refused.stderr.contains("its record says 1"), "{}", refused.stderr);

    // Somebody else's process, known by its number alone: never entered, never ended.
    let mut other = Run::new("sh").args(["-c", "echo here; read line"]).piped_input().start()?;
    other.expect("here\n")?;
    let mut wrong_keeper = right.clone();
    wrong_keeper["keeper"]["pid"] = other.pid().as_raw_nonzero().get().into();
    std::fs::write(&path, wrong_keeper.to_string())?;
    ensure_eq!(host.bobs("echo in")?.finish()?.output()?, "in\n", "with a stale record");
    leave(other)?;
    let folder = path.parent().ok_or("no folder")?;
    for garbage in ["", "{}", "{\"generation\": 1", "\u{0}\u{1}"] {
        until("the view before has taken its folder along", || (!folder.exists()).then_some(()))?;
        std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700).create(folder)?;
        std::fs::write(&path, garbage)?;
        ensure_eq!(host.bobs("echo in")?.finish()?.output()?, "in\n", "with {garbage:?} for a record");
    }
    // Its record was taken away, so nobody joins it any more; it ends with its own session.
    leave(first)
}

fn no_copied_pin() -> Verdict {
    let host = Host::new("scope = \"user\"\nwall = \"none\"\nlinger = \"1h\"")?;
    let first = host.stays()?;
    std::fs::create_dir("/run/copy")?;
    Run::new("mount").args(["--rbind", "/run", "/run/copy"]).finish()?.expect_code(0)?;
    let table = std::fs::read_to_string("/proc/self/mountinfo")?;
    let pins = table.lines().filter(|line| line.contains(" - nsfs ")).count();
    ensure_eq!(pins, 2, "the base's pin and the view's: {table}");
    ensure!(!table.contains("/run/copy/session-sandbox"), "the folder was copied: {table}");
    leave(first)
}

fn broken_base() -> Verdict {
    let host = Host::new("scope = \"user\"")?;
    let pin = std::fs::read_dir("/run/session-sandbox")?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().contains("/base-"))
        .ok_or("no base is pinned")?;
    let pin = pin.to_string_lossy().into_owned();
    let enter = |what: &str| {
        let seen = host
            .bobs("grep -c . /proc/self/mountinfo; ls -d /root /var/lib 2>/dev/null; true")?
            .finish()?
            .output()?;
        ensure!(seen.trim().parse::<u32>().is_ok(), "{what}: {seen}");
        Ok::<_, Failed>(())
    };
    Run::new("umount").arg(&pin).finish()?.expect_code(0)?;
    enter("a plain file for a pin")?;
    Run::new("umount").arg(&pin).finish()?.expect_code(0)?;
    std::fs::remove_file(&pin)?;
    enter("no pin")?;
    // A namespace that holds more than it should: a copy of the host's.
    // Pinned from one processor or another; see `registry`'s base namespace for why that matters.
    let processors = std::thread::available_parallelism()?.get();
    let planted = (0..processors).any(|processor| {
        let unshare =
            ["-c", &processor.to_string(), "unshare", &format!("--mount={pin}"), "true"].map(str::to_owned);
        Run::new("taskset").args(unshare).finish().is_ok_and(|outcome| outcome.code == Some(0))
    });
    ensure!(planted, "no namespace could be pinned");
    let mounts = || {
        let pin = std::fs::File::open(&pin)?;
        Ok::<_, Failed>(session_sandbox::sys::nsfs::mount_count(std::os::fd::AsFd::as_fd(&pin)))
    };
    ensure!(mounts()? != Some(1), "nothing was planted");
    enter("a whole host for a base")?;
    // A kernel before 6.12 does not tell; then the entry is refused, and the login above has failed.
    ensure_eq!(mounts()?, Some(1), "mounts in the base that was used");
    Ok(())
}

fn untrusted_folder() -> Verdict {
    let host = Host::new("scope = \"user\"")?;
    let refused = |what: &str| {
        let outcome = host.bobs("echo in")?.finish()?;
        ensure_eq!((outcome.code, outcome.stdout.as_str()), (Some(125), ""), "{what}");
        ensure!(outcome.stderr.contains("/run/session-sandbox"), "{what}: {}", outcome.stderr);
        Ok::<_, Failed>(())
    };
    let folder = "/run/session-sandbox";
    Run::new("chmod").args(["0755", folder]).finish()?.expect_code(0)?;
    refused("a folder that everybody can look into")?;
    Run::new("chmod").args(["0700", folder]).finish()?.expect_code(0)?;
    std::os::unix::fs::chown(folder, Some(host.bob.uid), None)?;
    refused("bob's folder")?;
    std::os::unix::fs::chown(folder, Some(0), None)?;
    ensure_eq!(host.bobs("echo in")?.finish()?.output()?, "in\n", "put right again");
    until("the keeper has ended", || host.views().ok()?.is_empty().then_some(()))?;
    Run::new("umount").args(["-R", folder]).finish()?.expect_code(0)?;
    std::fs::remove_dir(folder)?;
    std::os::unix::fs::symlink("/tmp", folder)?;
    refused("a link in its place")
}

fn held_lock() -> Verdict {
    let (host, mallory) = (Host::new("scope = \"user\"")?, users::mallory()?);
    let first = host.stays()?;
    let lock = format!("{SCOPES}/user-{}.test/lock", host.bob.uid);
    let mut holder =
        Run::new("flock").args(["-x", &lock, "sh", "-c", "echo here; read line"]).piped_input().start()?;
    holder.expect("here\n")?;
    let waits = host.bobs("echo in")?.start()?;
    let start = std::time::Instant::now();
    ensure_eq!(host.login(&mallory, "echo in")?.finish()?.output()?, "in\n", "another user's login");
    let others = start.elapsed();
    let outcome = waits.finish()?;
    ensure_eq!((outcome.code, outcome.stdout.as_str()), (Some(125), ""), "bob's login: {}", outcome.stderr);
    ensure!(outcome.stderr.contains(&lock), "the lock is not named: {}", outcome.stderr);
    ensure!(start.elapsed().as_secs() < 8, "it took {:?}", start.elapsed());
    ensure!(others.as_secs() < 2, "another user's login took {others:?}");
    leave(holder)?;
    // A supervisor that is stopped holds no lock.
    first.signal(rustix::process::Signal::STOP)?;
    ensure_eq!(host.bobs("echo in")?.finish()?.output()?, "in\n", "beside a stopped session");
    first.signal(rustix::process::Signal::CONT)?;
    leave(first)
}

fn full() -> Verdict {
    let host = Host::new("scope = \"user\"")?;
    let fill = |path: &str| Run::new("dd").args(["if=/dev/zero", &format!("of={path}"), "bs=64k"]).finish();
    Run::new("mount").args(["-o", "remount,size=128k", "/run"]).finish()?.expect_code(0)?;
    ensure!(fill("/run/filling")?.code != Some(0), "/run is not full");
    ensure_eq!(host.bobs("echo in")?.finish()?.output()?, "in\n", "with a full /run");
    std::fs::remove_file("/run/filling")?;
    host.until_no_view()?;
    Run::new("mount").args(["-o", "remount,size=256k", "/run/session-sandbox"]).finish()?.expect_code(0)?;
    ensure!(fill("/run/session-sandbox/filling")?.code != Some(0), "the registry is not full");
    let before = HostState::now();
    let outcome = host.bobs("echo in")?.finish()?;
    ensure_eq!((outcome.code, outcome.stdout.as_str()), (Some(125), ""), "{}", outcome.stderr);
    ensure!(outcome.stderr.contains("No space left"), "{}", outcome.stderr);
    before.assert_returns()
}
