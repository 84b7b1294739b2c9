//! An automounter: a thread of the test that mounts memory wherever the kernel asks for a mount.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use libtest_mimic::Failed;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, UnmountFlags};

/// What an automounter's mount stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    /// A directory whose names are mounted as they are used, as `/home` often is.
    Indirect,
    /// One place that is mounted when it is used, as systemd's automount units are.
    Direct,
}

/// A mount of type autofs with its daemon. Both are gone when the test lets go of it.
#[derive(Debug)]
pub struct Autofs {
    at: PathBuf,
    map: Map,
    end: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    daemon: Option<JoinHandle<()>>,
}

/// The file in each file system that it mounts.
pub const FILE: &str = "mounted-on-demand";

const MISSING_INDIRECT: u32 = 3;
const MISSING_DIRECT: u32 = 5;
const READY: libc::c_ulong = 0x9360;
const FAIL: libc::c_ulong = 0x9361;

impl Autofs {
    /// Mounts it on a directory.
    pub fn mount(at: &Path, map: Map) -> Result<Self, Failed> {
        let (requests, kernel_side) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        // The kernel tells the daemon from those it mounts for by the process group, which has no number in here yet.
        rustix::process::setpgid(None, None)?;
        let group = rustix::process::getpgrp().as_raw_nonzero();
        let kind = match map {
            Map::Indirect => "indirect",
            Map::Direct => "direct",
        };
        let options = format!("fd={},pgrp={group},minproto=5,maxproto=5,{kind}", kernel_side.as_raw_fd());
        let options = std::ffi::CString::new(options)?;
        rustix::mount::mount("tests", at, "autofs", MountFlags::empty(), &*options)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(at, flags, Mode::empty())?;
        let (end, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let daemon = {
            let (end, asked, at) = (Arc::clone(&end), Arc::clone(&asked), at.to_owned());
            std::thread::spawn(move || serve(&requests, &root, &at, &end, &asked))
        };
        Ok(Self { at: at.to_owned(), map, end, asked, daemon: Some(daemon) })
    }

    /// How often the kernel has asked for a mount.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Autofs {
    fn drop(&mut self) {
        self.end.store(true, Ordering::SeqCst);
        if let Some(daemon) = self.daemon.take() {
            let _ = daemon.join();
        }
        // In a direct map, what was mounted lies on top; in an indirect one it goes with what it stands on.
        let stacked = 1 + usize::from(self.map == Map::Direct && self.asked() > 0);
        for _ in 0..stacked {
            let _ = rustix::mount::unmount(&self.at, UnmountFlags::DETACH);
        }
    }
}

fn serve(requests: &OwnedFd, root: &OwnedFd, at: &Path, end: &AtomicBool, asked: &AtomicUsize) {
    let moment = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    // struct autofs_v5_packet: version, type, token, device, inode, uid, gid, pid, tgid, length, name.
    let mut packet = [0_u8; 304];
    // Who asks for what is mounted already, because it does not see it, is told that it is there: as autofs(8) does.
    let mut mounted = BTreeSet::new();
    while !end.load(Ordering::SeqCst) {
        let mut polled = [PollFd::from_borrowed_fd(requests.as_fd(), PollFlags::IN)];
        if poll(&mut polled, Some(&moment)).unwrap_or(0) == 0
            || rustix::io::read(requests, &mut packet).is_err()
        {
            continue;
        }
        asked.fetch_add(1, Ordering::SeqCst);
        let word = |at: usize| u32::from_ne_bytes(packet[at..at + 4].try_into().unwrap());
        let length = usize::try_from(word(40)).unwrap();
        let done = match word(4) {
            MISSING_INDIRECT => {
                let place = at.join(std::str::from_utf8(&packet[44..44 + length]).unwrap());
                let _ = std::fs::create_dir(&place);
                mounted.contains(&place) || mount(&place) && mounted.insert(place)
            }
            MISSING_DIRECT => mounted.contains(at) || mount(at) && mounted.insert(at.to_owned()),
            _ => false,
        };
        let answer = if done { READY } else { FAIL };
        // SAFETY: takes numbers.
        unsafe { libc::ioctl(root.as_raw_fd(), answer as _, libc::c_ulong::from(word(8))) };
    }
}

fn mount(place: &Path) -> bool {
    rustix::mount::mount("on-demand", place, "tmpfs", MountFlags::empty(), c"mode=755").is_ok()
        && std::fs::write(place.join(FILE), "").is_ok()
}
