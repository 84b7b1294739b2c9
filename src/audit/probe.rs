//! What a process finds that has become the user inside.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, Mode, OFlags, StatVfsMountFlags};
use serde::{Deserialize, Serialize};

use crate::sys;
use crate::sys::process::{Fork, NewNamespaces};

/// As many are looked at.
const MANY: usize = 4096;
/// Character devices that are more than somebody's own: memory, its ports, the kernel's log, raw disks, what is typed.
const RAW: [(&str, u32, Option<u32>); 7] = [
    ("mem", 1, Some(1)),
    ("kmem", 1, Some(2)),
    ("port", 1, Some(4)),
    ("kmsg", 1, Some(11)),
    ("input", 13, None),
    ("sg", 21, None),
    ("raw", 162, None),
];

/// What it is to look at.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) uid: u32,
    pub(super) sockets: Vec<String>,
    pub(super) places: Vec<String>,
    pub(super) spools: Vec<String>,
    pub(super) programs: Vec<String>,
}

/// What it has found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Seen {
    /// Processes whose root directory it could open, which is not its own.
    pub(super) reached: Vec<String>,
    /// Sockets that answered.
    pub(super) sockets: Vec<String>,
    /// The same, without a file.
    pub(super) abstract_sockets: Vec<String>,
    /// Of the places, those that can be written to.
    pub(super) writable: Vec<String>,
    /// Of the spools.
    pub(super) spools: Vec<String>,
    /// Devices that could be opened.
    pub(super) devices: Vec<String>,
    /// Programs with a set-id bit that counts.
    pub(super) set_id: Vec<String>,
    /// Could it make a user namespace?
    pub(super) user_namespaces: bool,
    /// Does the kernel type for whoever asks?
    pub(super) obeys_tiocsti: bool,
}

pub(super) fn look(asked: &Asked) -> Seen {
    let can_write = |path: &&String| rustix::fs::access(path.as_str(), Access::WRITE_OK).is_ok();
    let answers = |path: &&String| UnixStream::connect(path).is_ok();
    Seen {
        reached: reached(asked.uid),
        sockets: asked.sockets.iter().filter(answers).cloned().collect(),
        abstract_sockets: abstract_sockets(),
        writable: asked.places.iter().filter(can_write).cloned().collect(),
        spools: asked.spools.iter().filter(can_write).cloned().collect(),
        devices: devices(Path::new("/dev"), 3),
        set_id: set_id(&asked.programs),
        user_namespaces: can_make_user_namespaces(),
        obeys_tiocsti: sys::kernel::obeys_tiocsti().unwrap_or(true),
    }
}

fn reached(uid: u32) -> Vec<String> {
    let own = std::fs::metadata("/").map(|root| (root.dev(), root.ino())).ok();
    let mut found = Vec::new();
    for process in sys::process::owned_by(uid).unwrap_or_default() {
        let root = std::fs::metadata(format!("/proc/{}/root/", process.pid));
        if root.is_ok_and(|root| Some((root.dev(), root.ino())) != own) {
            found.push(format!("{} {:?}", process.pid, process.name));
        }
    }
    found
}

/// Of this network namespace; those of the view's own processes are none yet.
fn abstract_sockets() -> Vec<String> {
    let text = std::fs::read("/proc/net/unix").unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut names: Vec<&str> =
        text.lines().filter_map(|line| line.split_once(" @").map(|(_, name)| name)).collect();
    names.sort_unstable();
    names.dedup();
    let answers = |name: &&str| {
        let address = SocketAddr::from_abstract_name(name.as_bytes());
        match address.and_then(|address| UnixStream::connect_addr(&address)) {
            Ok(_) => true,
            // It is one for packets or datagrams, and within reach.
            Err(error) => error.raw_os_error() == Some(libc::EPROTOTYPE),
        }
    };
    names.into_iter().take(MANY).filter(answers).map(|name| format!("@{name}")).collect()
}

fn devices(folder: &Path, depth: usize) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten().take(MANY) {
        let path = entry.path();
        let Ok(status) = path.symlink_metadata() else { continue };
        let kind = status.file_type();
        if kind.is_dir() && depth > 0 {
            found.extend(devices(&path, depth - 1));
        }
        let (major, minor) = (rustix::fs::major(status.rdev()), rustix::fs::minor(status.rdev()));
        let is_raw = kind.is_block_device()
            || (kind.is_char_device()
                && RAW
                    .iter()
                    .any(|(_, raw, number)| *raw == major && number.is_none_or(|number| number == minor)));
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        if is_raw && rustix::fs::open(&path, flags, Mode::empty()).is_ok() {
            found.push(path.to_string_lossy().into_owned());
        }
    }
    found
}

fn set_id(folders: &[String]) -> Vec<String> {
    if sys::identity::has_no_new_privs() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for folder in folders {
        let counts = rustix::fs::statvfs(folder.as_str())
            .is_ok_and(|fs| !fs.f_flag.contains(StatVfsMountFlags::NOSUID));
        if !counts {
            continue;
        }
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten().take(MANY) {
            let path: PathBuf = entry.path();
            let status = path.symlink_metadata();
            if status.is_ok_and(|status| {
                status.is_file() && status.mode() & 0o6000 != 0 && status.mode() & 0o111 != 0
            }) {
                found.push(path.to_string_lossy().into_owned());
            }
        }
    }
    found
}

fn can_make_user_namespaces() -> bool {
    match sys::process::fork(NewNamespaces { user: true, ..NewNamespaces::default() }) {
        Ok(Fork::Child) => sys::process::exit_now(0),
        Ok(Fork::Parent(child)) => {
            let _ = sys::signal::wait_for_end(child);
            true
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn what_is_not_there_does_not_answer() {
        let asked = Asked {
            uid: u32::MAX - 1,
            sockets: vec!["/nowhere/at/all".to_owned()],
            places: vec!["/nowhere".to_owned()],
            spools: Vec::new(),
            programs: vec!["/nowhere".to_owned()],
        };
        let seen = look(&asked);
        assert!(seen.reached.is_empty() && seen.sockets.is_empty() && seen.writable.is_empty());
        assert!(seen.set_id.is_empty() && seen.spools.is_empty());
        let missing = UnixStream::connect("/nowhere/at/all").unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    }
}
