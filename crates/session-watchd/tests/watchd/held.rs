//! Held connections: what is taken, and that each hangup is told once.

use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use libtest_mimic::Trial;
use rustix::fs::{Mode, OFlags};

use super::support::{Holder, Needs, World, trial, until};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("a_session_ends_when_its_holder_is_killed", Needs::Nothing, killed),
        trial(
            "a_session_ends_with_the_last_of_its_holders_and_data_means_nothing",
            Needs::Nothing,
            last_holder,
        ),
        trial("what_is_not_understood_is_refused", Needs::Nothing, refused),
        trial("a_session_is_not_held_twice_at_a_time", Needs::Nothing, twice),
        trial("only_root_may_ask", Needs::Root, only_root),
        trial("the_socket_and_its_folder_are_private", Needs::Nothing, private),
        trial("only_so_many_runs_are_under_way_at_once", Needs::Nothing, at_once),
        trial("without_a_bus_connections_are_held_all_the_same", Needs::Nothing, without_bus),
        trial("asked_to_end_it_ends_and_leaves_sessions_and_runs_alone", Needs::Nothing, terminated),
        trial("a_second_daemon_is_refused", Needs::Nothing, second),
        trial("mistakes_on_the_command_line_end_with_125", Needs::Nothing, mistakes),
    ]
}

fn killed() {
    let world = World::new();
    let _watchd = world.watchd(&["--no-logind"]);
    let holder = Holder::connect(&world.socket()).unwrap();
    let writer = holder.hold(7);
    // The writing end is the standard output of a process that knows nothing of it, and of nobody else.
    let sleep = Command::new("/bin/sleep").arg("1000").stdin(Stdio::null()).stdout(writer).spawn();
    let mut sleep = sleep.unwrap();
    let other = holder.hold(8);
    drop(other);
    assert_eq!(world.until_runs(1), ["removed|--name=Session8"]);
    sleep.kill().unwrap();
    sleep.wait().unwrap();
    assert_eq!(world.until_runs(2)[1], "removed|--name=Session7");
    drop(holder.hold(9));
    assert_eq!(world.until_runs(3).len(), 3);
}

fn last_holder() {
    let world = World::new();
    let _watchd = world.watchd(&["--no-logind"]);
    let holder = Holder::connect(&world.socket()).unwrap();
    let mut writer = holder.hold(1);
    let second = writer.try_clone().unwrap();
    writer.write_all(&[b'x'; 5000]).unwrap();
    drop(writer);
    drop(holder.hold(2));
    assert_eq!(world.until_runs(1), ["removed|--name=Session2"]);
    drop(second);
    assert_eq!(world.until_runs(2)[1], "removed|--name=Session1");
}

fn refused() {
    let world = World::new();
    let _watchd = world.watchd(&["--no-logind"]);
    let holder = Holder::connect(&world.socket()).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let pipe = [reader.as_fd()];
    for message in [
        "watch",
        "watch ",
        "watch Session",
        "watch Session12345678901",
        "watch Session-1",
        "watch Session1x",
        "watch Session1\n",
        "watch Session01",
        "watch ../1",
        "Session1",
        "WATCH Session1",
        "watch Session1 Session2",
        "watch Sessionw\u{e4}",
    ] {
        let answer = holder.ask(message.as_bytes(), &pipe);
        assert_eq!(answer, "no the message is not `watch SessionN`", "{message:?}");
    }
    assert!(holder.ask(b"\xff\xfe", &pipe).starts_with("no "));
    assert!(holder.ask(&[b'x'; 200], &pipe).contains("too long"));
    assert!(holder.ask(b"watch Session1", &[]).contains("exactly one"));
    assert!(holder.ask(b"watch Session1", &[reader.as_fd(), reader.as_fd()]).contains("exactly one"));
    assert!(holder.ask(b"watch Session1", &[reader.as_fd(); 5]).contains("too many descriptors"));
    let not_reading = "no the descriptor is not the reading end of a pipe";
    assert_eq!(holder.ask(b"watch Session1", &[writer.as_fd()]), not_reading);
    let null = std::fs::File::open("/dev/null").unwrap();
    assert_eq!(holder.ask(b"watch Session1", &[null.as_fd()]), not_reading);
    let fifo = world.path("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o600), 0)
        .unwrap();
    for flags in [OFlags::RDWR, OFlags::PATH] {
        let opened = rustix::fs::open(&fifo, flags | OFlags::CLOEXEC, Mode::empty()).unwrap();
        assert_eq!(holder.ask(b"watch Session1", &[opened.as_fd()]), not_reading, "{flags:?}");
    }
    // None of it was taken, and the connection is as good as before.
    drop(holder.hold(1));
    assert_eq!(world.until_runs(1), ["removed|--name=Session1"]);
}

fn twice() {
    let world = World::new();
    let _watchd = world.watchd(&["--no-logind"]);
    let holder = Holder::connect(&world.socket()).unwrap();
    let first = holder.hold(1);
    let (reader, writer) = std::io::pipe().unwrap();
    let answer = holder.ask(b"watch Session1", &[reader.as_fd()]);
    assert_eq!(answer, "no this session is watched already");
    drop(writer);
    drop(holder.hold(2));
    assert_eq!(world.until_runs(1), ["removed|--name=Session2"]);
    drop(first);
    assert_eq!(world.until_runs(2)[1], "removed|--name=Session1");
    // A name that is free again is taken.
    drop(holder.hold(1));
    world.until_runs(3);
}

fn only_root() {
    let world = World::new();
    let watchd = world.watchd(&["--no-logind"]);
    // Somebody has opened it for everybody.
    std::fs::set_permissions(world.path("."), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(world.socket(), std::fs::Permissions::from_mode(0o666)).unwrap();
    let path: PathBuf = world.socket();
    // A user is a thread's in Linux; this one ends as somebody else.
    let answer = std::thread::spawn(move || {
        let nobody = rustix::process::Uid::from_raw(65534);
        rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        let holder = Holder::connect(&path).unwrap();
        let answer = holder.answer();
        assert_eq!(rustix::net::sockopt::socket_peercred(holder.as_fd()).unwrap().uid.as_raw(), 0);
        answer
    });
    assert_eq!(answer.join().unwrap(), "no only root may ask");
    watchd.until_said("of uid 65534 asked, which only root may");
    drop(Holder::connect(&world.socket()).unwrap().hold(1));
    world.until_runs(1);
}

fn private() {
    let world = World::new();
    let _watchd = world.watchd(&["--no-logind"]);
    let mode = |path: &str| std::fs::metadata(world.path(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("socket"), 0o600);
    assert_eq!(mode("state"), 0o700);
    assert_eq!(mode("state/sessions"), 0o700);
}

fn at_once() {
    let world = World::new();
    let _watchd = world.watchd(&["--no-logind"]);
    world.hold("removed");
    let holder = Holder::connect(&world.socket()).unwrap();
    for session in 0..100 {
        drop(holder.hold(session));
    }
    world.until_runs(64);
    // An answer comes from the loop that would have started more.
    let living = holder.hold(1000);
    assert_eq!(world.runs().len(), 64);
    world.let_go("removed");
    let mut runs = world.until_runs(100);
    runs.sort();
    runs.dedup();
    assert_eq!(runs.len(), 100);
    drop(living);
    world.until_ended("removed|--name=Session1000");
}

fn without_bus() {
    let world = World::new();
    let nowhere = format!("--bus=unix:path={}", world.path("nowhere").display());
    let watchd = world.watchd(&[&nowhere]);
    watchd.until_said("no sessions of logind for now: connect(");
    drop(Holder::connect(&world.socket()).unwrap().hold(1));
    assert_eq!(world.until_runs(1), ["removed|--name=Session1"]);
}

fn terminated() {
    let world = World::new();
    let watchd = world.watchd(&["--no-logind"]);
    world.hold("removed");
    let holder = Holder::connect(&world.socket()).unwrap();
    drop(holder.hold(1));
    let living = holder.hold(2);
    world.until_runs(1);
    assert_eq!(watchd.terminate().code(), Some(0));
    assert!(!world.socket().exists());
    let said = || world.manager().unwrap().messages();
    until("a word to the manager", || said().contains(&"STOPPING=1".to_owned()).then_some(()));
    drop(living);
    world.let_go("removed");
    world.until_ended("removed|--name=Session1");
    assert_eq!(world.runs(), ["removed|--name=Session1"]);
}

fn second() {
    let world = World::new();
    let _watchd = world.watchd(&["--no-logind"]);
    let second = world.start(&["--no-logind"]);
    second.until_said("another session-watchd is running");
    assert_eq!(second.wait().code(), Some(125));
    drop(Holder::connect(&world.socket()).unwrap().hold(1));
    world.until_runs(1);
}

fn mistakes() {
    for (arguments, expected) in
        [(&["--frobnicate"][..], "--frobnicate"), (&["--end=x"], "leader-exit"), (&["--state=x"], "absolute")]
    {
        let output = Command::new(super::support::watchd::PROGRAM).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(125));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with("session-watchd: ") && said.contains(expected), "{said}");
        assert_eq!(said.lines().count(), 1);
    }
    let output = Command::new(super::support::watchd::PROGRAM).arg("--help").output().unwrap();
    assert!(output.status.success() && String::from_utf8(output.stdout).unwrap().contains("--no-logind"));
}
