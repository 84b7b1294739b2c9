//! A FUSE file system whose server is a thread of the test, or nobody: as much of the kernel's protocol as a directory
//! needs.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use libtest_mimic::Failed;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, UnmountFlags};

/// What the server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// It takes no request: a process that has stopped.
    Stopped,
    /// It takes every request and answers none: a process that waits for somebody else.
    Waiting,
    /// It answers: there are directories at every depth, and nothing in them that is listed.
    Answering,
    /// It answers what is there, and nothing that is asked about it.
    Shy,
}

/// A mount. Gone, and whoever waits for it is let go, when the test lets go of it.
#[derive(Debug)]
pub struct Fuse {
    at: PathBuf,
    connection: Option<OwnedFd>,
    server: Option<JoinHandle<()>>,
    end: Arc<AtomicBool>,
}

const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const INIT: u32 = 26;
const BATCH_FORGET: u32 = 42;

impl Fuse {
    /// Mounts it, for everybody to use.
    pub fn mount(at: &Path, does: Server) -> Result<Self, Failed> {
        Self::mount_with(at, does, "user_id=0,group_id=0,allow_other")
    }

    /// Mounts it as the user `uid` would, by whom alone it can be used.
    pub fn mount_for(at: &Path, uid: u32, does: Server) -> Result<Self, Failed> {
        Self::mount_with(at, does, &format!("user_id={uid},group_id={uid}"))
    }

    fn mount_with(at: &Path, does: Server, whose: &str) -> Result<Self, Failed> {
        use std::os::fd::AsRawFd;
        let connection = rustix::fs::open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        let options = format!("fd={},rootmode=40000,{whose}", connection.as_raw_fd());
        let options = std::ffi::CString::new(options)?;
        rustix::mount::mount("tests", at, "fuse", MountFlags::NOSUID | MountFlags::NODEV, &*options)?;
        let end = Arc::new(AtomicBool::new(false));
        let server = match does {
            Server::Stopped => None,
            Server::Waiting | Server::Answering | Server::Shy => {
                let (connection, end) = (connection.try_clone()?, Arc::clone(&end));
                Some(std::thread::spawn(move || serve(&connection, &end, does)))
            }
        };
        Ok(Self { at: at.to_owned(), connection: Some(connection), server, end })
    }

    /// The server is gone, and the mount is not: from here on the kernel answers, with ENOTCONN.
    pub fn abandon(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
        self.connection = None;
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        self.abandon();
        let _ = rustix::mount::unmount(&self.at, UnmountFlags::DETACH);
    }
}

fn serve(connection: &OwnedFd, end: &AtomicBool, does: Server) {
    let moment = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    let mut request = vec![0_u8; 256 * 1024];
    while !end.load(Ordering::Relaxed) {
        let mut polled = [PollFd::from_borrowed_fd(connection.as_fd(), PollFlags::IN)];
        if poll(&mut polled, Some(&moment)).unwrap_or(0) == 0 {
            continue;
        }
        let Ok(length) = rustix::io::read(connection, &mut request) else { continue };
        let word = |at: usize| u32::from_ne_bytes(request[at..at + 4].try_into().unwrap());
        let (what, request) = (word(4), &request[..length]);
        let answers = match does {
            Server::Answering => true,
            Server::Shy => what == LOOKUP,
            Server::Stopped | Server::Waiting => false,
        };
        if matches!(what, FORGET | BATCH_FORGET) || (what != INIT && !answers) {
            continue;
        }
        let (error, answer) = answer(what);
        let size = u32::try_from(16 + answer.len()).unwrap();
        let head = [&size.to_ne_bytes()[..], &error.to_ne_bytes(), &request[8..16]].concat();
        let _ = rustix::io::write(connection, &[head, answer].concat());
    }
}

/// The answer to a request. Nothing may be remembered, so that each look-up comes here again.
fn answer(what: u32) -> (i32, Vec<u8>) {
    let numbers =
        |numbers: &[u32]| numbers.iter().flat_map(|number| number.to_ne_bytes()).collect::<Vec<u8>>();
    // struct fuse_attr: ino, size, blocks, three times, their nanoseconds, mode, links, uid, gid, rdev, block size.
    let mut attributes = vec![0_u32; 22];
    (attributes[0], attributes[15], attributes[16], attributes[20]) = (1, 0o040_777, 2, 4096);
    match what {
        // Version 7.31, and room for a request.
        INIT => (0, numbers(&[7, 31, 0, 0, 0, 0x1000, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
        GETATTR => (0, numbers(&[vec![0; 4], attributes].concat())),
        LOOKUP => {
            static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(2);
            let node = NEXT.fetch_add(1, Ordering::Relaxed);
            attributes[0] = node;
            (0, numbers(&[vec![node, 0, 0, 0, 0, 0, 0, 0, 0, 0], attributes].concat()))
        }
        _ => (-libc::ENOSYS, Vec::new()),
    }
}
