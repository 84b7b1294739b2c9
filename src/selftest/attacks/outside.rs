//! At a process outside, and at other things that are not the session's.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::FileExt;
use std::os::unix::net::{SocketAddr, UnixStream};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{PidfdGetfdFlags, Resource, Rlimit, Signal};

use super::{Target, Told, allowed, any, made, why};
use crate::selftest::room::{BAIT, HELD};
use crate::sys;

pub(super) fn environ(target: &Target<'_>) -> Told {
    match std::fs::read(format!("/proc/{}/environ", target.victim)) {
        Ok(text) => target.is_its_memory(text.strip_suffix(&[0]).unwrap_or(&text), "they were read"),
        Err(error) => Told::Stopped(why(error)),
    }
}

pub(super) fn memory(target: &Target<'_>) -> Told {
    target.with_victim(|_| {
        let mut text = vec![0; target.room.variable().len()];
        match sys::attempt::read_memory(target.victim, target.environment, &mut text) {
            Ok(_) => target.is_its_memory(&text, "it was read"),
            Err(error) => Told::Stopped(error.reason()),
        }
    })
}

pub(super) fn proc_mem(target: &Target<'_>) -> Told {
    let mut text = vec![0; target.room.variable().len()];
    let address = u64::try_from(target.environment).unwrap_or(0);
    let read = File::open(format!("/proc/{}/mem", target.victim))
        .and_then(|memory| memory.read_exact_at(&mut text, address));
    match read {
        Ok(()) => target.is_its_memory(&text, "it was read"),
        Err(error) => Told::Stopped(why(error)),
    }
}

pub(super) fn trace(target: &Target<'_>) -> Told {
    target.with_victim(|_| made(sys::attempt::trace(target.victim), "it is traced"))
}

pub(super) fn kill(target: &Target<'_>) -> Told {
    target.with_victim(|pid| allowed(rustix::process::kill_process(pid, Signal::URG), "it has the signal"))
}

pub(super) fn pidfd_signal(target: &Target<'_>) -> Told {
    target.with_pidfd(|pidfd| {
        allowed(rustix::process::pidfd_send_signal(pidfd, Signal::WINCH), "it has the signal")
    })
}

pub(super) fn sigio(target: &Target<'_>) -> Told {
    target.with_victim(|_| {
        let asked = sys::fd::pipe().and_then(|(end, other)| {
            sys::attempt::signal_when_readable(end.as_fd(), target.victim, libc::SIGCHLD)?;
            sys::path::write_all(other.as_fd(), b"!")
        });
        // Nobody is told whether a signal was sent: it is looked for there.
        made(asked, "it has the signal")
    })
}

pub(super) fn pidfd_getfd(target: &Target<'_>) -> Told {
    target.with_pidfd(|pidfd| {
        let folder = rustix::process::pidfd_getfd(pidfd, HELD, PidfdGetfdFlags::empty());
        let file = folder.and_then(|folder| {
            rustix::fs::openat(folder, "secret", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        });
        match file {
            Ok(file) => match sys::path::read_open(file.as_fd()) {
                Ok(content) => target.is_bait(&content, "it was used"),
                Err(error) => Told::Stopped(error.reason()),
            },
            Err(errno) => Told::Stopped(why(errno)),
        }
    })
}

pub(super) fn limits(target: &Target<'_>) -> Told {
    target.with_victim(|pid| {
        let less = Rlimit { current: Some(0), maximum: Some(0) };
        allowed(rustix::process::prlimit(Some(pid), Resource::Core, less), "they were changed")
    })
}

pub(super) fn scheduling(target: &Target<'_>) -> Told {
    target.with_victim(|pid| {
        let same = rustix::thread::sched_getaffinity(Some(pid));
        allowed(same.and_then(|same| rustix::thread::sched_setaffinity(Some(pid), &same)), "it was said")
    })
}

pub(super) fn setns(target: &Target<'_>) -> Told {
    any([target.victim, 1].map(|pid| {
        let entered = sys::nsfs::of_number(pid, sys::nsfs::Kind::Mounts).and_then(|namespace| {
            let nowhere = || sys::Error::new("open(/proc/PID/ns/mnt)", Errno::NOENT);
            sys::nsfs::enter_mounts(namespace.ok_or_else(nowhere)?.as_fd())
        });
        match entered {
            Ok(()) => target.read(BAIT),
            Err(error) => Told::Stopped(error.reason()),
        }
    }))
}

pub(super) fn setns_pidfd(target: &Target<'_>) -> Told {
    target.with_pidfd(|pidfd| match sys::nsfs::enter_mounts_of(pidfd) {
        Ok(()) => target.read(BAIT),
        Err(error) => Told::Stopped(error.reason()),
    })
}

pub(super) fn abstract_socket(target: &Target<'_>) -> Told {
    let address = SocketAddr::from_abstract_name(target.room.token.as_bytes());
    allowed(address.and_then(|address| UnixStream::connect_addr(&address)), "it answers")
}

pub(super) fn keyring(target: &Target<'_>) -> Told {
    match &target.room.key {
        Some(key) => made(sys::attempt::find_key(key), "it is there"),
        None => Told::Untried("this kernel, or a filter, has no keyrings for anybody".to_owned()),
    }
}

pub(super) fn tiocsti(target: &Target<'_>) -> Told {
    let Some((terminal, _)) = &target.room.terminal else {
        return Told::Untried("this host gives no terminal to try it on".to_owned());
    };
    if let Err(error) = sys::process::new_session() {
        return Told::Untried(error.reason());
    }
    if let Err(errno) = rustix::process::ioctl_tiocsctty(terminal) {
        return Told::Untried(why(errno));
    }
    made(sys::attempt::type_on(terminal.as_fd(), b'\n'), "a key was pressed")
}
