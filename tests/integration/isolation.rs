//! The levels of isolation: what each keeps apart, at the first login and at those that join, through every door.

use libtest_mimic::{Failed, Trial};
use rustix::process::Signal;

use crate::pam::stage::Stage;
use crate::sharing::Host;
use crate::support::pty::Terminal;
use crate::support::{
    HostMounts, HostState, Needs, Run, Running, Verdict, World, ensure, ensure_eq, isolated, trial, users,
};

const AS_BOB: &[Needs] = &[Needs::Root, Needs::OrdinaryUser, Needs::Tool("pgrep")];
const WITH_PYTHON: &[Needs] = &[Needs::Root, Needs::OrdinaryUser, Needs::Tool("python3")];
/// Namespaces by their names in `/proc/PID/ns`.
const LOOK: &str = "for name in ipc uts cgroup net; do readlink /proc/self/ns/$name; done";

pub fn trials() -> Vec<Trial> {
    let own = |name: &str, test: fn() -> Verdict| isolated(name, AS_BOB, HostMounts::Shared, test);
    vec![
        own("a strict view has namespaces of its own, and who joins it is in them", strict),
        own("a contained view has the host's", contained),
        own("a login that asks for its own namespaces joins no view without them", nothing_weaker),
        own("a session of its own can have them, too, and leaves nothing", of_its_own),
        own("namespaces without a keeper are refused", no_keeper),
        own("a process of the user outside keeps a strict login out", denied),
        own("logins that follow each other closely are in no other's way", quick),
        own("a process of the user outside is told, or ended, as the map says", warned_and_killed),
        isolated(
            "a view with net = \"loopback\" has its own loopback device, and no way to a socket of the host's",
            WITH_PYTHON,
            HostMounts::Shared,
            loopback,
        ),
        trial("nobody types on a terminal for another, with any of the ways to call", WITH_PYTHON, no_typing),
        isolated(
            "pam: a program that opens a strict session is in all of its namespaces, and comes back",
            &[Needs::Root, Needs::OrdinaryUser, Needs::PamHost],
            HostMounts::Shared,
            through_pam,
        ),
    ]
}

/// The host's namespaces, as [`LOOK`] tells them.
fn of_the_host() -> Result<Vec<String>, Failed> {
    Ok(lines(&Run::new("sh").args(["-c", LOOK]).finish()?.output()?))
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// A process of this user's outside of every view.
fn process_of(user: &users::User) -> Result<Running, Failed> {
    let mut process = Run::new("sh").args(["-c", "echo here; read line"]).user(user).piped_input().start()?;
    process.expect("here\n")?;
    Ok(process)
}

fn strict() -> Verdict {
    let host = Host::new("scope = \"user\"\nisolation = \"strict\"")?;
    let before = HostState::now();
    let mut first = host.login(&host.bob, &format!("{LOOK}; echo here; read line"))?.start()?;
    first.expect("here\n")?;
    let outside = of_the_host()?;
    let inside = lines(&first.stdout());
    for (at, name) in ["ipc", "uts", "cgroup"].iter().enumerate() {
        ensure!(inside[at] != outside[at], "{name} is the host's: {inside:?}");
    }
    ensure_eq!(inside[3], outside[3], "net");
    let second = lines(&host.login(&host.bob, LOOK)?.finish()?.output()?);
    ensure_eq!(second[..], inside[..4], "who joins");
    let entered = Run::new(env!("CARGO_BIN_EXE_sessionctl"))
        .args([
            "enter",
            "--user",
            &host.bob.name,
            "--config",
            &host.world.path("map.toml").to_string_lossy(),
            "sh",
            "-c",
            LOOK,
        ])
        .finish()?
        .output()?;
    ensure_eq!(lines(&entered)[..], inside[..4], "sessionctl enter");
    let list = Run::new(env!("CARGO_BIN_EXE_sessionctl")).args(["list"]).finish()?.output()?;
    ensure!(list.lines().nth(1).is_some_and(|line| line.contains("  strict  ")), "{list}");
    ensure!(list.lines().all(|line| line.chars().count() <= 80), "wider than a terminal:\n{list}");
    first.write(b"\n")?;
    first.finish()?.expect_code(0)?;
    host.until_no_view()?;
    before.assert_returns()
}

fn contained() -> Verdict {
    let host = Host::new("scope = \"user\"")?;
    let inside = lines(&host.login(&host.bob, LOOK)?.finish()?.output()?);
    ensure_eq!(inside, of_the_host()?, "a contained view");
    host.until_no_view()
}

fn nothing_weaker() -> Verdict {
    let host = Host::new("scope = \"user\"\non_change = \"join\"")?;
    let first = host.stays()?;
    host.set("scope = \"user\"\non_change = \"join\"\nipc = \"own\"")?;
    let second = lines(&host.login(&host.bob, LOOK)?.finish()?.output()?);
    ensure!(
        second[0] != of_the_host()?[0],
        "a login with a namespace of its own has joined a view without one"
    );
    crate::sharing::leave(first)?;
    host.until_no_view()
}

fn of_its_own() -> Verdict {
    let host = Host::new("scope = \"session\"\nisolation = \"strict\"\nnet = \"loopback\"")?;
    let before = HostState::now();
    let inside = lines(&host.login(&host.bob, LOOK)?.finish()?.output()?);
    let outside = of_the_host()?;
    ensure!(inside.iter().zip(&outside).all(|(inside, outside)| inside != outside), "{inside:?} {outside:?}");
    before.assert_returns()
}

fn no_keeper() -> Verdict {
    let host = Host::new("scope = \"user\"\nwall = \"none\"\nipc = \"own\"\nnet = \"loopback\"")?;
    let outcome = host.login(&host.bob, "echo in")?.finish()?;
    ensure_eq!((outcome.code, outcome.stdout.as_str()), (Some(125), ""), "{}", outcome.stderr);
    ensure!(outcome.stderr.contains("map.toml:2: ipc, net needs wall = \"pidns\""), "{}", outcome.stderr);
    Ok(())
}

fn denied() -> Verdict {
    let host = Host::new("scope = \"user\"\nisolation = \"strict\"")?;
    let before = HostState::now();
    // Sessions of the same user, with a view of their own or in a shared one, are not outside.
    host.set("scope = \"session\"\nisolation = \"strict\"")?;
    let alone = host.stays()?;
    host.set("scope = \"user\"\nisolation = \"strict\"")?;
    let first = host.stays()?;
    ensure_eq!(host.login(&host.bob, "echo in")?.finish()?.output()?, "in\n", "beside two sessions");
    crate::sharing::leave(alone)?;
    let outside = process_of(&host.bob)?;
    let refused = host.login(&host.bob, "echo in")?.finish()?;
    ensure_eq!((refused.code, refused.stdout.as_str()), (Some(125), ""), "{}", refused.stderr);
    for part in [
        "has 1 process outside of every view",
        "\"sh\"",
        "map.toml:2",
        "on_outside",
        &outside.pid().to_string(),
    ] {
        ensure!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }
    let mallory = users::mallory()?;
    ensure_eq!(host.login(&mallory, "echo in")?.finish()?.output()?, "in\n", "another user");
    crate::sharing::leave(outside)?;
    ensure_eq!(host.login(&host.bob, "echo in")?.finish()?.output()?, "in\n", "when it has ended");
    crate::sharing::leave(first)?;
    host.until_no_view()?;
    before.assert_returns()
}

fn quick() -> Verdict {
    let host = Host::new("scope = \"user\"\nisolation = \"strict\"")?;
    // Where mount(8) keeps its own notes.
    let _ = std::fs::create_dir("/run/mount");
    let before = HostState::now();
    for turn in 0..40 {
        let outcome = host.login(&host.bob, "(sleep 5 &); echo in")?.finish()?;
        ensure_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), "in\n"), "{turn}: {}", outcome.stderr);
    }
    // Somebody in another root is no way to the host's.
    let mut elsewhere = Run::new("unshare")
        .args([
            "-m",
            "sh",
            "-c",
            "mount -t tmpfs x /mnt && mkdir /mnt/usr && mount --bind /usr /mnt/usr && \
             for d in bin lib lib64; do ln -s usr/$d /mnt/$d; done; \
             exec chroot --userspec \"$0\" /mnt sh -c 'echo here; read line'",
        ])
        .args([host.bob.uid.to_string()])
        .piped_input()
        .start()?;
    elsewhere.expect("here\n")?;
    ensure_eq!(
        host.login(&host.bob, "echo in")?.finish()?.output()?,
        "in\n",
        "beside somebody in another root"
    );
    crate::sharing::leave(elsewhere)?;
    host.until_no_view()?;
    before.assert_returns()
}

fn warned_and_killed() -> Verdict {
    let host = Host::new("scope = \"user\"\non_outside = \"warn\"")?;
    let log = std::os::unix::net::UnixDatagram::bind("/dev/log");
    let outside = process_of(&host.bob)?;
    ensure_eq!(host.login(&host.bob, "echo in")?.finish()?.output()?, "in\n", "a warning keeps nobody out");
    if let Ok(log) = &log {
        log.set_nonblocking(true)?;
        let mut line = [0; 2048];
        let length = log.recv(&mut line)?;
        let line = String::from_utf8_lossy(&line[..length]).into_owned();
        ensure!(line.contains("has 1 process outside of every view"), "{line}");
    }
    let session = host.stays()?;
    host.set("scope = \"user\"\non_outside = \"kill\"")?;
    ensure_eq!(host.login(&host.bob, "echo in")?.finish()?.output()?, "in\n", "the login that ends it");
    ensure_eq!(outside.finish()?.signal, Some(Signal::KILL.as_raw()), "the process outside");
    // The session of before lives on.
    crate::sharing::leave(session)?;
    host.until_no_view()
}

fn loopback() -> Verdict {
    const ASK: &str = r#"
import socket, os
names = sorted(name for _, name in socket.if_nameindex())
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
client = socket.create_connection(listener.getsockname(), timeout=5)
try:
    socket.socket(socket.AF_UNIX).connect("\0session-sandbox-test")
    found = "reached"
except OSError as error:
    found = os.strerror(error.errno)
print(names, found)
"#;
    let host = Host::new("scope = \"user\"\nnet = \"loopback\"")?;
    let mut outside = Run::new("python3")
        .args([
            "-c",
            "import socket; s = socket.socket(socket.AF_UNIX); s.bind('\\0session-sandbox-test'); s.listen(); print('here', flush=True); input()",
        ])
        .piped_input()
        .start()?;
    outside.expect("here\n")?;
    let ask = |host: &Host| {
        host.world.enter(["--user", &host.bob.name, "--", "python3", "-c", ASK])?.finish()?.output()
    };
    let first = host.stays()?;
    for _ in 0..2 {
        ensure_eq!(ask(&host)?, "['lo'] Connection refused\n", "with net = \"loopback\"");
    }
    crate::sharing::leave(first)?;
    host.until_no_view()?;
    host.set("scope = \"user\"")?;
    let without = ask(&host)?;
    ensure!(
        without.ends_with("] reached\n"),
        "the host's socket cannot be reached without it either: {without}"
    );
    host.until_no_view()?;
    crate::sharing::leave(outside)
}

/// The filter says EPERM. A kernel that has no such ioctl, or has it switched off, says something else.
fn no_typing() -> Verdict {
    const TYPE: &str = r#"
import fcntl, ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
def name(result): return "done" if result >= 0 else errno.errorcode[ctypes.get_errno()]
byte = ctypes.create_string_buffer(b"x")
said = []
for request in (0x5412, 0x541c):
    said.append(name(libc.syscall(16, 0, request, byte)))
    said.append(name(libc.syscall(16, 0, ctypes.c_ulong(0xffffffff00000000 | request), byte)))
said.append(name(libc.syscall(16, 0, 0x5413, ctypes.create_string_buffer(64))))
print("said", *said, flush=True)
"#;
    if !cfg!(target_arch = "x86_64") {
        return Err("the numbers of this test are those of x86_64".into());
    }
    let world = World::new()?;
    let bob = users::bob()?;
    let said = |settings: &str| -> Result<String, Failed> {
        world.map(settings, "")?;
        let run = world.enter(["--user", &bob.name, "--", "python3", "-c", TYPE])?;
        let mut terminal = Terminal::start(run, &bob)?;
        terminal.expect("said ")?;
        let said = terminal.expect("\r\n")?;
        terminal.end()?;
        Ok(said)
    };
    ensure_eq!(said("")?, "EPERM EPERM EPERM EPERM done", "contained");
    ensure_eq!(said("no_new_privs = false")?, "EPERM EPERM EPERM EPERM done", "without no_new_privs");
    ensure_eq!(
        said("isolation = \"strict\"\non_outside = \"ignore\"")?,
        "EPERM EPERM EPERM EPERM done",
        "strict"
    );
    let free = said("tiocsti = \"allow\"")?;
    ensure!(free.starts_with("done ") || free.starts_with("EIO "), "without the filter: {free}");
    Ok(())
}

fn through_pam() -> Verdict {
    let stage = Stage::new("scope = \"user\"\nisolation = \"strict\"\nnet = \"loopback\"", "")?;
    let before = HostState::now();
    let outside = of_the_host()?;
    let text = stage
        .host("calls", ["child", "open", "child", "child", "close", "child"])
        .env("CHILD", LOOK)
        .finish()?
        .output()?;
    let links: Vec<&str> = text.lines().filter(|line| line.contains(":[")).collect();
    ensure_eq!(links.len(), 16, "{text}");
    ensure_eq!(links[..4], outside, "before it is opened");
    ensure!((0..4).all(|at| links[4 + at] != outside[at]), "inside: {text}");
    ensure_eq!(links[4..8], links[8..12], "two programs of one session");
    ensure_eq!(links[12..], outside, "when it is closed");
    stage.until_empty()?;
    before.assert_returns()
}
