//! What the attacks are after: a file, a process and a few other things that are outside of the view.
//!
//! All of it is in a mount namespace and in processes of its own, so that it is gone with this process, however that
//! ends, and the host never sees it.

use std::ffi::{CString, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use rustix::process::Pid;
use rustix::pty::OpenptFlags;

use crate::sys;
use crate::sys::nsfs::Handle;
use crate::sys::process::{Fork, NewNamespaces};

/// Covered, in the room, with what follows. The state of all sessions is there otherwise, which no view shows.
const PLACE: &str = "/run/session-sandbox";
/// The home directory of a user who has none.
pub const HOME: &str = "/run/session-sandbox/home";
/// A folder outside, the working directory of a process outside.
const FOLDER: &str = "/run/session-sandbox/bait";
/// A file there that nobody but the user may read.
pub(super) const BAIT: &str = "/run/session-sandbox/bait/secret";
/// Where that process holds the folder.
pub(super) const HELD: i32 = 3;
/// What its only variable is called.
const VARIABLE: &str = "SESSION_SELFTEST";

/// Whose attacks they are.
#[derive(Clone, Debug)]
pub struct Attacker {
    /// The user id.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// All groups.
    pub groups: Vec<u32>,
    /// Has nobody else this user id? Then a process of theirs may be looked into by others of theirs.
    pub alone: bool,
}

/// A place to try attacks at.
#[derive(Debug)]
pub struct Room {
    pub(super) attacker: Attacker,
    /// The text that is only outside.
    pub(super) token: String,
    /// The name of a key in the session keyring that the session is started with.
    pub(super) key: Option<CString>,
    /// A terminal that is not the session's: the end that programs have, and the other one.
    pub(super) terminal: Option<(OwnedFd, OwnedFd)>,
    /// The host's root directory, by its handle and its numbers.
    pub(super) root: Option<(Handle, (u64, u64))>,
    folder: OwnedFd,
    /// There to be connected to.
    _listener: Option<UnixListener>,
}

impl Room {
    /// Makes the room. This process is in it from here on.
    pub(super) fn open(attacker: Attacker) -> sys::Result<Self> {
        let token = sys::kernel::random_name()?;
        let root = sys::path::open_root()?;
        let handle = sys::nsfs::file_handle(root.as_fd());
        let numbers = numbers(root.as_fd());

        sys::namespace::unshare_mounts()?;
        sys::mount::stop_sending_mount_events()?;
        let parameters = [("mode", "0755".to_owned()), ("size", "1M".to_owned())];
        let place = sys::mount::new_filesystem("tmpfs", &parameters, MountAttrFlags::empty())?;
        for (name, mode) in [("bait", 0o755), ("home", 0o700)] {
            sys::path::make_directory(place.as_fd(), name, mode)?;
        }
        sys::path::set_owner(place.as_fd(), "home", attacker.uid, attacker.gid)?;
        let folder = sys::path::open_directory(place.as_fd(), "bait")?;
        sys::path::make_file(folder.as_fd(), "secret", 0o600, token.as_bytes())?;
        sys::path::set_owner(folder.as_fd(), "secret", attacker.uid, attacker.gid)?;
        sys::mount::attach(place.as_fd(), sys::path::open_place(PLACE)?.as_fd())?;

        let key = CString::new(token.as_str()).ok().filter(|name| {
            sys::identity::leave_keyring().is_ok() && sys::attempt::keep_key(name, token.as_bytes()).is_ok()
        });
        let listener = SocketAddr::from_abstract_name(token.as_bytes())
            .and_then(|address| UnixListener::bind_addr(&address))
            .ok();
        Ok(Self {
            attacker,
            token,
            key,
            terminal: terminal().ok(),
            root: handle.zip(numbers),
            folder,
            _listener: listener,
        })
    }

    /// What the process outside has in its environment.
    pub(super) fn variable(&self) -> String {
        format!("{VARIABLE}={}", self.token)
    }
}

/// The numbers by which a directory is known.
pub(super) fn numbers(directory: BorrowedFd<'_>) -> Option<(u64, u64)> {
    rustix::fs::fstat(directory).ok().map(|status| (status.st_dev, status.st_ino))
}

/// A terminal that nobody sits at.
fn terminal() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    let other = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    rustix::pty::unlockpt(&other)?;
    let name = rustix::pty::ptsname(&other, Vec::new())?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok((rustix::fs::open(name.as_c_str(), flags, Mode::empty())?, other))
}

/// A process of the user's, outside, as any program is: it has a working directory, a folder open and a variable, and the
/// user may look into it. It holds nothing of ours, and lets no signal through.
#[derive(Debug)]
pub(super) struct Victim {
    process: Pid,
    /// Where in its memory its environment begins.
    pub(super) environment: usize,
    /// It ends when this is gone.
    _stays: OwnedFd,
}

impl Victim {
    pub(super) fn start(room: &Room) -> sys::Result<Self> {
        let (input, stays) = sys::fd::pipe()?;
        let (hear, tell) = sys::fd::pipe()?;
        match sys::process::fork(NewNamespaces::default())? {
            Fork::Child => {
                let Err(error) = become_victim(room, &input);
                let _ = sys::path::write_all(tell.as_fd(), error.to_string().as_bytes());
                sys::process::exit_now(127)
            }
            Fork::Parent(process) => {
                drop((input, tell));
                let mut victim = Self { process, environment: 0, _stays: stays };
                let told = sys::path::read_open(hear.as_fd())?;
                let told = String::from_utf8_lossy(&told).into_owned();
                let address = sys::pidfd::environment_address(victim.number())?;
                let environment = std::fs::read(format!("/proc/{}/environ", victim.number()));
                let is_it = environment.is_ok_and(|text| text.starts_with(room.variable().as_bytes()));
                match address {
                    Some(address) if is_it => victim.environment = address,
                    _ => {
                        return Err(sys::Error::new(
                            format!("/bin/sh, to be attacked: {told}"),
                            Errno::CHILD,
                        ));
                    }
                }
                Ok(victim)
            }
        }
    }

    pub(super) fn number(&self) -> i32 {
        self.process.as_raw_nonzero().get()
    }

    /// Has it been sent this signal?
    pub(super) fn has_received(&self, signal: i32) -> sys::Result<bool> {
        sys::signal::is_pending(self.process, signal)
    }
}

impl Drop for Victim {
    /// What fails here happens at the end of this process.
    fn drop(&mut self) {
        let _ = sys::signal::send(self.process, libc::SIGKILL);
        let _ = sys::signal::wait_for_end(self.process);
    }
}

fn become_victim(room: &Room, input: &OwnedFd) -> sys::Result<std::convert::Infallible> {
    let failed = |call: &str| {
        let call = call.to_owned();
        move |errno: Errno| sys::Error::new(call, errno)
    };
    let Attacker { uid, gid, groups, .. } = &room.attacker;
    sys::process::new_session()?;
    sys::signal::block_all()?;
    sys::path::change_directory(FOLDER)?;
    sys::identity::leave_keyring()?;
    sys::identity::set_groups(groups)?;
    sys::identity::set_gid(*gid)?;
    sys::identity::set_uid(*uid)?;
    sys::process::die_with_parent()?;
    rustix::stdio::dup2_stdin(input).map_err(failed("dup2(pipe, 0)"))?;
    sys::fd::close_on_exec_from(3)?;
    let held = rustix::fs::openat(&room.folder, ".", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    sys::spawn::put_at_three(held.map_err(failed("openat(bait, \".\")"))?.as_fd())?;
    let program: [OsString; 3] = ["sh", "-c", "read line"].map(OsString::from);
    sys::process::execute("/bin/sh".as_ref(), &program, &[(VARIABLE.into(), room.token.as_str().into())])
}
