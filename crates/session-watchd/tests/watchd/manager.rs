//! The service manager: what it is told, and what survives a restart through it.

use std::os::fd::{AsRawFd, OwnedFd};

use libtest_mimic::Trial;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, posix_spawn};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::support::watchd::{PROGRAM, places};
use super::support::{Bus, Holder, Logind, Needs, World, trial, until};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("held_connections_survive_a_restart_through_the_manager", Needs::Nothing, store),
        trial("a_socket_of_the_manager_is_used", Needs::Nothing, activation),
        trial("it_is_ready_once_logind_has_been_asked", Needs::Bus, ready),
    ]
}

/// A daemon that was started with descriptors, as a service manager does it.
struct Started(Pid);

impl Started {
    fn new(world: &World, passed: Vec<(String, OwnedFd)>) -> Self {
        let before = world.times_ready();
        // Out of the way of the numbers that they are to have.
        let passed: Vec<(String, OwnedFd)> = passed
            .into_iter()
            .map(|(name, descriptor)| (name, fcntl_dupfd_cloexec(&descriptor, 200).unwrap()))
            .collect();
        let mut files = PosixSpawnFileActions::init().unwrap();
        for ((_, descriptor), number) in passed.iter().zip(3..) {
            files.add_dup2(descriptor.as_raw_fd(), number).unwrap();
        }
        let names: Vec<&str> = passed.iter().map(|(name, _)| name.as_str()).collect();
        let script = "LISTEN_PID=$$; export LISTEN_PID; exec \"$@\"";
        let mut words: Vec<String> =
            ["sh", "-c", script, "sh", PROGRAM, "--no-logind"].map(str::to_owned).to_vec();
        words.extend(places(world));
        let variables = [
            format!("NOTIFY_SOCKET={}", world.path("notify").display()),
            format!("LISTEN_FDS={}", passed.len()),
            format!("LISTEN_FDNAMES={}", names.join(":")),
        ];
        let c = |text: &String| std::ffi::CString::new(text.as_str()).unwrap();
        let words: Vec<_> = words.iter().map(c).collect();
        let variables: Vec<_> = variables.iter().map(c).collect();
        let attributes = PosixSpawnAttr::init().unwrap();
        let pid = posix_spawn(c"/bin/sh", &files, &attributes, &words, &variables).unwrap();
        let started = Self(Pid::from_raw(pid.as_raw()).unwrap());
        until("a daemon that is ready", || (world.times_ready() > before).then_some(()));
        started
    }

    fn descriptors(&self) -> Vec<String> {
        let folder = format!("/proc/{}/fd", self.0.as_raw_nonzero());
        let entries = std::fs::read_dir(folder).unwrap();
        let read = |entry: std::io::Result<std::fs::DirEntry>| std::fs::read_link(entry.unwrap().path());
        entries.filter_map(|entry| Some(read(entry).ok()?.display().to_string())).collect()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::KILL);
        let _ = waitpid(Some(self.0), WaitOptions::empty());
    }
}

fn store() {
    let world = World::new();
    let manager = world.manager().unwrap();
    let first = world.watchd(&["--no-logind"]);
    let holder = Holder::connect(&world.socket()).unwrap();
    let (one, two, three) = (holder.hold(1), holder.hold(22), holder.hold(333));
    until("a full store", || (manager.names() == ["1", "22", "333"]).then_some(()));
    assert!(manager.messages().contains(&"FDSTORE=1\nFDNAME=22\nFDPOLL=0".to_owned()));
    drop(one);
    until("an end that is taken from the store", || (manager.names() == ["22", "333"]).then_some(()));
    first.kill();
    // While nobody watches.
    drop(two);
    let second = Started::new(&world, manager.store());
    assert_eq!(world.until_runs(2), ["removed|--name=Session1", "removed|--name=Session22"]);
    until("the same", || (manager.names() == ["333"]).then_some(()));
    // It is there once: what was passed on is not there beside what is held, where a child could have it.
    let (_, kept) = manager.store().remove(0);
    let pipe = std::fs::read_link(format!("/proc/self/fd/{}", kept.as_raw_fd())).unwrap();
    let found = second.descriptors();
    let pipe = pipe.display().to_string();
    assert_eq!(found.iter().filter(|what| **what == pipe).count(), 1, "{pipe}: {found:?}");
    let holder = Holder::connect(&world.socket()).unwrap();
    assert_eq!(holder.ask_with_a_pipe(333), "no this session is watched already");
    drop(second);
    let third = Started::new(&world, manager.store());
    drop(three);
    assert_eq!(world.until_runs(3)[2], "removed|--name=Session333");
    until("an empty store", || manager.names().is_empty().then_some(()));
    drop(third);
}

fn activation() {
    let world = World::new();
    let path = world.path("managers-own");
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
    rustix::net::bind(&socket, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    rustix::net::listen(&socket, 8).unwrap();
    let started = Started::new(&world, vec![("session-watchd.socket".to_owned(), socket)]);
    assert!(!world.socket().exists(), "it listens where it was told to");
    drop(Holder::connect(&path).unwrap().hold(1));
    assert_eq!(world.until_runs(1), ["removed|--name=Session1"]);
    kill_process(started.0, Signal::TERM).unwrap();
    waitpid(Some(started.0), WaitOptions::empty()).unwrap();
    assert!(path.exists(), "the socket is the manager's to take away");
}

fn ready() {
    let world = World::new();
    let bus = Bus::start(&world);
    // No logind: there is nothing to wait for, and whoever logs in later is new.
    let watchd = world.watchd(&[&bus.option()]);
    assert!(world.path("state/ran").exists());
    let logind = Logind::start(&bus);
    logind.begin(super::support::Session::new("1", 0));
    assert_eq!(world.until_runs(1).len(), 1);
    assert_eq!(world.times_ready(), 1, "{}", watchd.said());
}
