//! The attacks: each is what a program of the user's can try, and says whether it got through.

mod mounts;
mod outside;
mod rights;

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags};
use serde::{Deserialize, Serialize};

use super::room::{BAIT, Room};
use crate::sys;
use crate::sys::attempt::Privileged;

/// How an attack ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Told {
    /// It got through: so it is seen.
    Through(String),
    /// It was stopped: by this.
    Stopped(String),
    /// Nobody can tell, because of this.
    Untried(String),
}

/// What an attack is for, and what stops it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Against {
    /// The wall towards the user's processes outside. Without a view all of these get through.
    Wall,
    /// The same, where a network namespace takes it away.
    Network,
    /// What is typed on a terminal.
    Terminal,
    /// What the session was started with.
    Start,
    /// The view's mounts.
    View,
    /// That the session has no more rights than the user.
    Rights,
}

/// An attack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attack {
    pub(super) id: &'static str,
    /// One line: what it tries.
    pub(super) what: &'static str,
    pub(super) against: Against,
    /// Is it tried once more by root of a user namespace, which every user can be?
    pub(super) as_own_root: bool,
    /// This signal reaches the process outside when it gets through.
    pub(super) signal: Option<i32>,
    pub(super) run: fn(&Target<'_>) -> Told,
}

/// What is attacked, and from where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    pub(super) room: &'a Room,
    /// The number of a process outside.
    pub(super) victim: i32,
    /// Where in its memory its environment begins.
    pub(super) environment: usize,
    /// Does the view show the file outside, so that having read it proves nothing?
    pub(super) is_shown: bool,
}

const fn attack(
    id: &'static str,
    against: Against,
    what: &'static str,
    run: fn(&Target<'_>) -> Told,
) -> Attack {
    Attack { id, what, against, as_own_root: false, signal: None, run }
}

impl Attack {
    const fn and_as_own_root(self) -> Self {
        Self { as_own_root: true, ..self }
    }

    const fn by(self, signal: i32) -> Self {
        Self { signal: Some(signal), ..self }
    }
}

use Against::{Network, Rights, Start, Terminal, View, Wall};

/// All of them.
pub(super) const ATTACKS: [Attack; 40] = [
    attack("by-path", View, "open a file outside by its path", by_path),
    attack("dotdot", View, "open it by going up more often than there are folders", dotdot),
    attack("proc-root", Wall, "open it below /proc/PID/root", |t| t.below_proc("root", BAIT))
        .and_as_own_root(),
    attack("proc-cwd", Wall, "open it below /proc/PID/cwd", |t| t.below_proc("cwd", "/secret"))
        .and_as_own_root(),
    attack("proc-fd", Wall, "open it below a folder in /proc/PID/fd", |t| t.below_proc("fd/3", "/secret"))
        .and_as_own_root(),
    attack("environ", Wall, "read the variables of a process outside", outside::environ).and_as_own_root(),
    attack("memory", Wall, "read its memory by process_vm_readv", outside::memory).and_as_own_root(),
    attack("proc-mem", Wall, "read its memory by /proc/PID/mem", outside::proc_mem).and_as_own_root(),
    attack("ptrace", Wall, "trace it", outside::trace).and_as_own_root(),
    attack("kill", Wall, "send it a signal", outside::kill).by(libc::SIGURG).and_as_own_root(),
    attack("pidfd-signal", Wall, "send it one by a descriptor", outside::pidfd_signal)
        .by(libc::SIGWINCH)
        .and_as_own_root(),
    attack("sigio", Wall, "have the kernel send it one when a pipe is read", outside::sigio)
        .by(libc::SIGCHLD),
    attack("pidfd-getfd", Wall, "take a descriptor from it", outside::pidfd_getfd).and_as_own_root(),
    attack("limits", Wall, "change its limits", outside::limits).and_as_own_root(),
    attack("scheduling", Wall, "say on which processors it runs", outside::scheduling).and_as_own_root(),
    attack("setns", Wall, "enter its mount namespace", outside::setns).and_as_own_root(),
    attack("setns-pidfd", Wall, "enter it by a descriptor of the process", outside::setns_pidfd)
        .and_as_own_root(),
    attack(
        "abstract-socket",
        Network,
        "connect to an abstract socket of the host's",
        outside::abstract_socket,
    ),
    attack("keyring", Start, "use a key of the session that started this one", outside::keyring),
    attack("tiocsti", Terminal, "type on the terminal that the session was given", outside::tiocsti),
    attack("kernel-settings", Rights, "open a setting of the kernel to be written", rights::kernel_settings)
        .and_as_own_root(),
    attack("cgroup", Rights, "move a process into the host's control group", rights::cgroup)
        .and_as_own_root(),
    attack("device", Rights, "make a disk's device and open it", rights::device).and_as_own_root(),
    attack("disk", Rights, "mount a disk", rights::disk).and_as_own_root(),
    attack("uid-0", Rights, "become uid 0", rights::uid_0),
    attack("gid-0", Rights, "become gid 0", rights::gid_0),
    attack("groups", Rights, "join root's group", rights::groups),
    attack("capabilities", Rights, "have a capability again", rights::capabilities),
    attack("map-root", Rights, "have the host's uid 0 in a user namespace", rights::map_root),
    attack("mount", View, "mount something over /", mounts::mount),
    attack("umount", View, "unmount what covers something", mounts::umount).and_as_own_root(),
    attack("remount", View, "make something writable again", mounts::remount).and_as_own_root(),
    attack("write-system", View, "write to the host's programs and settings", mounts::write_system)
        .and_as_own_root(),
    attack("own-program", View, "write to the program that runs", mounts::own_program),
    attack("chroot", View, "leave by chroot and a working directory outside", mounts::chroot)
        .and_as_own_root(),
    attack("pivot", View, "leave by pivot_root", mounts::pivot).and_as_own_root(),
    attack("handle", View, "open the host's root by a file handle", mounts::handle).and_as_own_root(),
    attack("load-module", Rights, "load a module into the kernel", |_| rights::asked(Privileged::LoadModule))
        .and_as_own_root(),
    attack("replace-kernel", Rights, "start another kernel", |_| rights::asked(Privileged::ReplaceKernel))
        .and_as_own_root(),
    attack("stop-host", Rights, "stop the host, rename it, swap to a file", rights::stop_host)
        .and_as_own_root(),
];

fn why(error: impl Into<io::Error>) -> String {
    sys::Error::new("", error).reason()
}

/// What is allowed has got through.
fn allowed<T, E: Into<io::Error>>(result: Result<T, E>, seen: &str) -> Told {
    match result {
        Ok(_) => Told::Through(seen.to_owned()),
        Err(error) => Told::Stopped(why(error)),
    }
}

/// The same for our own calls.
fn made<T>(result: sys::Result<T>, seen: &str) -> Told {
    match result {
        Ok(_) => Told::Through(seen.to_owned()),
        Err(error) => Told::Stopped(error.reason()),
    }
}

/// The first of several attempts that got through; otherwise one of which nobody can tell; otherwise how the last was
/// stopped.
fn any(attempts: impl IntoIterator<Item = Told>) -> Told {
    let (mut stopped, mut untried) = (None, None);
    for told in attempts {
        match told {
            Told::Through(_) => return told,
            Told::Stopped(_) => stopped = Some(told),
            Told::Untried(_) => untried = Some(told),
        }
    }
    untried.or(stopped).unwrap_or_else(|| Told::Untried("there is nothing to try it on".to_owned()))
}

impl Target<'_> {
    /// Is this the file that is only outside?
    fn is_bait(&self, content: &[u8], seen: &str) -> Told {
        match (content == self.room.token.as_bytes(), self.is_shown) {
            (true, false) => Told::Through(seen.to_owned()),
            (true, true) => Told::Untried("the view shows the file outside by itself".to_owned()),
            (false, _) => Told::Stopped("it is another file".to_owned()),
        }
    }

    fn read(&self, path: impl AsRef<Path>) -> Told {
        let path = path.as_ref();
        match std::fs::read(path) {
            Ok(content) => self.is_bait(&content, &format!("{} was read", path.display())),
            Err(error) => Told::Stopped(why(error)),
        }
    }

    /// Of every process that can be seen, and of the one outside, whether it is seen or not.
    fn below_proc(&self, link: &str, rest: &str) -> Told {
        let seen = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let seen = seen.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        any(seen.chain([self.victim]).map(|pid| self.read(format!("/proc/{pid}/{link}{rest}"))))
    }

    /// The process outside. A process of ours that has the same number here is another one.
    fn victim(&self) -> Result<Pid, Told> {
        let own = [rustix::process::getpid().as_raw_nonzero().get(), 1];
        Pid::from_raw(self.victim)
            .filter(|_| !own.contains(&self.victim))
            .ok_or_else(|| Told::Stopped("the number is another process's here".to_owned()))
    }

    fn with_victim(&self, attempt: impl FnOnce(Pid) -> Told) -> Told {
        self.victim().map_or_else(|told| told, attempt)
    }

    fn with_pidfd(&self, attempt: impl FnOnce(BorrowedFd<'_>) -> Told) -> Told {
        self.with_victim(|pid| match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => attempt(pidfd.as_fd()),
            Err(errno) => Told::Stopped(why(errno)),
        })
    }

    /// Is its memory what it should be?
    fn is_its_memory(&self, read: &[u8], seen: &str) -> Told {
        match read == self.room.variable().as_bytes() {
            true => Told::Through(seen.to_owned()),
            false => Told::Stopped("it is another process".to_owned()),
        }
    }
}

fn by_path(target: &Target<'_>) -> Told {
    target.read(BAIT)
}

fn dotdot(target: &Target<'_>) -> Told {
    target.read(format!("{}{BAIT}", "/..".repeat(64)))
}

/// Opens it as a writer and writes nothing.
fn open_to_write(path: &str) -> Told {
    let opened = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    let opened = match opened {
        // Only because it runs, and not for want of rights.
        Err(error) if error.raw_os_error() == Some(libc::ETXTBSY) => Ok(()),
        opened => opened.map(drop),
    };
    allowed(opened, &format!("{path} can be written to"))
}

/// A folder of one's own in memory, for whoever may mount one; otherwise /tmp.
fn own_folder() -> &'static str {
    const FOLDER: &str = "/tmp";
    let _ = sys::namespace::unshare_mounts()
        .and_then(|()| sys::mount::new_filesystem("tmpfs", &[], rustix::mount::MountAttrFlags::empty()))
        .and_then(|memory| sys::mount::attach(memory.as_fd(), sys::path::open_place(FOLDER)?.as_fd()));
    FOLDER
}
