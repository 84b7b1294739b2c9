//! Moving the calling thread into a view, and back.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use door_protocol::{Besides, Way};
use rustix::thread::{
    LinkNameSpaceType, Pid, ThreadNameSpaceType, gettid, move_into_link_name_space,
    move_into_thread_name_spaces,
};

/// The kinds behind [`Besides::names`], for the way back and for the way in.
const KINDS: [LinkNameSpaceType; 4] = [
    LinkNameSpaceType::InterProcessCommunication,
    LinkNameSpaceType::HostNameAndNISDomainName,
    LinkNameSpaceType::ControlGroup,
    LinkNameSpaceType::Network,
];
const FLAGS: [ThreadNameSpaceType; 4] = [
    ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION,
    ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME,
    ThreadNameSpaceType::CONTROL_GROUP,
    ThreadNameSpaceType::NETWORK,
];

/// The way back to where the thread was. A namespace's descriptor is of no use to anybody without root's rights, so
/// that what a forked child of the host inherits leads nowhere.
#[derive(Debug)]
pub(crate) struct Back {
    mounts: OwnedFd,
    pids: OwnedFd,
    besides: Vec<(LinkNameSpaceType, OwnedFd)>,
    directory: Option<CString>,
    thread: Pid,
    process: Pid,
}

impl Back {
    /// Remembers where the calling thread is, with all that `way` leads away from.
    pub(crate) fn new(mounts: OwnedFd, pids: OwnedFd, way: Way) -> Result<Self, String> {
        let wanted = match way {
            Way::Init(besides) => besides,
            Way::Mounts => Besides::default(),
        };
        let mut besides = Vec::new();
        for ((name, own), kind) in wanted.names().into_iter().zip(KINDS) {
            if own {
                let path = format!("/proc/thread-self/ns/{name}");
                let namespace =
                    std::fs::File::open(&path).map_err(|error| format!("open({path:?}): {error}"))?;
                besides.push((kind, namespace.into()));
            }
        }
        let directory = rustix::process::getcwd(Vec::new()).ok();
        Ok(Self { mounts, pids, besides, directory, thread: gettid(), process: rustix::process::getpid() })
    }

    /// Is this the thread that moved?
    pub(crate) fn is_for_this_thread(&self) -> bool {
        self.thread == gettid() && self.process == rustix::process::getpid()
    }

    /// Moves the thread back.
    pub(crate) fn go(&self) -> Result<(), String> {
        move_into_link_name_space(self.mounts.as_fd(), Some(LinkNameSpaceType::Mount))
            .map_err(|errno| format!("setns(the host's mount namespace): {errno}"))?;
        move_into_link_name_space(self.pids.as_fd(), Some(LinkNameSpaceType::ProcessID))
            .map_err(|errno| format!("setns(the host's PID namespace): {errno}"))?;
        for (kind, namespace) in &self.besides {
            move_into_link_name_space(namespace.as_fd(), Some(*kind))
                .map_err(|errno| format!("setns({kind:?} of the host): {errno}"))?;
        }
        if let Some(directory) = &self.directory {
            // It may have been removed; `/` serves as well.
            let _ = rustix::process::chdir(directory.as_c_str());
        }
        Ok(())
    }
}

/// Moves the calling thread, and no other, to the root of the view. One call changes all of it or nothing.
pub(crate) fn enter(way: Way, into: &OwnedFd) -> Result<(), String> {
    // Root and current directory are the whole process's until now, and would move with all threads.
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS)
        .map_err(|errno| format!("unshare(CLONE_FS): {errno}"))?;
    match way {
        Way::Init(besides) => {
            let mut all = ThreadNameSpaceType::MOUNT | ThreadNameSpaceType::PROCESS_ID;
            for ((_, own), kind) in besides.names().into_iter().zip(FLAGS) {
                if own {
                    all |= kind;
                }
            }
            move_into_thread_name_spaces(into.as_fd(), all)
        }
        Way::Mounts => move_into_link_name_space(into.as_fd(), Some(LinkNameSpaceType::Mount)),
    }
    .map_err(|errno| format!("setns({way:?}): {errno}; the view has ended in this moment, try again"))
}

/// Can this thread be in a session's view? It is, where process 1 is a view's keeper or has another mount namespace.
pub(crate) fn may_be_inside() -> bool {
    if std::fs::read("/proc/1/comm").is_ok_and(|name| name == b"session-keeper\n") {
        return true;
    }
    let number = |path: &str| rustix::fs::stat(path).map(|stat| (stat.st_dev, stat.st_ino));
    match (number("/proc/thread-self/ns/mnt"), number("/proc/1/ns/mnt")) {
        (Ok(own), Ok(first)) => own != first,
        // Hidden, as in some containers: then there is no way back either.
        _ => false,
    }
}
