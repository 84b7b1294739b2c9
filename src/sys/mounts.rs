//! The mounts that this process can see, told by the kernel one by one: `listmount` and `statmount` (6.8), which no crate
//! wraps. Before that there is the text of `mountinfo`.

use rustix::io::Errno;

use super::{Error, Result};

/// One mount, in the kernel's own numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawMount {
    /// Never used again until the next boot.
    pub id: u64,
    /// The mount that it is mounted on.
    pub parent: u64,
    /// Of the file system.
    pub device: (u32, u32),
    /// What of the file system is shown.
    pub root: String,
    /// Where, below this process's root.
    pub point: String,
    /// The file system's type.
    pub kind: String,
    /// What the file system is made of (6.13).
    pub source: String,
    /// `MOUNT_ATTR_*`.
    pub attributes: u64,
    /// [`SHARED`], [`SLAVE`], [`UNBINDABLE`].
    pub propagation: u64,
    /// `SB_RDONLY` and others.
    pub filesystem_flags: u32,
    /// The file system's options (6.11).
    pub options: String,
}

/// `MS_SHARED`.
pub const SHARED: u64 = 1 << 20;
/// `MS_SLAVE`.
pub const SLAVE: u64 = 1 << 19;
/// `MS_UNBINDABLE`.
pub const UNBINDABLE: u64 = 1 << 17;

/// `struct mnt_id_req` in its first size.
#[repr(C)]
struct Request {
    size: u32,
    spare: u32,
    mount: u64,
    parameter: u64,
    namespace: u64,
}

/// The two calls are numbered alike on every machine but those that number all their calls apart.
#[cfg(any(target_arch = "mips", target_arch = "mips64"))]
const CALLS: Option<(libc::c_long, libc::c_long)> = None;
#[cfg(not(any(target_arch = "mips", target_arch = "mips64")))]
const CALLS: Option<(libc::c_long, libc::c_long)> = Some((457, 458));

/// `LSMT_ROOT`: below the root of this process.
const ROOT: u64 = u64::MAX;
/// How many numbers are asked for at once.
const BATCH: usize = 1024;
/// `STATMOUNT_SB_BASIC`, `_MNT_BASIC`, `_MNT_ROOT`, `_MNT_POINT`, `_FS_TYPE`, `_MNT_OPTS`, `_SB_SOURCE`.
const WANTED: u64 = 0x1 | 0x2 | 0x8 | 0x10 | 0x20 | OPTIONS | 0x200;
const OPTIONS: u64 = 0x80;
/// The fixed part of `struct statmount`, behind which texts stand.
const FIXED: usize = 512;
/// No mount's texts are longer: two paths, and options.
const ANSWER_MAX: usize = 256 * 1024;

fn request(mount: u64, parameter: u64) -> Request {
    Request { size: 24, spare: 0, mount, parameter, namespace: 0 }
}

/// Every mount below the root of this process; `None` where the kernel has not got the calls.
pub fn list() -> Result<Option<Vec<RawMount>>> {
    let Some((statmount, listmount)) = CALLS else { return Ok(None) };
    let mut mounts = Vec::new();
    let mut answer = vec![0_u8; 4096];
    // The mount that the root itself is on is not below it.
    let (_, root) = super::path::mount_at("/")?;
    match describe(statmount, root, &mut answer) {
        Ok(mount) => mounts.push(mount),
        Err(Errno::NOSYS) => return Ok(None),
        Err(errno) => return Err(Error::new(format!("statmount({root})"), errno)),
    }
    let mut last = 0;
    loop {
        let mut numbers = [0_u64; BATCH];
        let asked = request(ROOT, last);
        // SAFETY: the call reads as many bytes of `asked` as it says there, and writes at most as many numbers as there
        // is room for.
        let count = unsafe {
            libc::syscall(listmount, std::ptr::from_ref(&asked), numbers.as_mut_ptr(), numbers.len(), 0)
        };
        let Ok(count) = usize::try_from(count) else {
            let errno = last_errno();
            return if errno == Errno::NOSYS { Ok(None) } else { Err(Error::new("listmount(root)", errno)) };
        };
        for number in numbers.iter().take(count).filter(|number| **number != root) {
            match describe(statmount, *number, &mut answer) {
                Ok(mount) => mounts.push(mount),
                // Unmounted since.
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(Error::new(format!("statmount({number})"), errno)),
            }
        }
        match numbers.get(count.wrapping_sub(1)) {
            Some(number) if count == BATCH => last = *number,
            _ => return Ok(Some(mounts)),
        }
    }
}

/// One mount; `None` where the kernel has not got the call.
pub fn describe_one(mount: u64) -> Result<Option<RawMount>> {
    let Some((statmount, _)) = CALLS else { return Ok(None) };
    match describe(statmount, mount, &mut vec![0; 4096]) {
        Ok(mount) => Ok(Some(mount)),
        Err(Errno::NOSYS) => Ok(None),
        Err(errno) => Err(Error::new(format!("statmount({mount})"), errno)),
    }
}

fn describe(
    statmount: libc::c_long,
    mount: u64,
    answer: &mut Vec<u8>,
) -> std::result::Result<RawMount, Errno> {
    let mut asked = request(mount, WANTED);
    loop {
        // SAFETY: the call reads as many bytes of `asked` as it says there, and writes no more than `answer` has room
        // for.
        let result = unsafe {
            libc::syscall(statmount, std::ptr::from_ref(&asked), answer.as_mut_ptr(), answer.len(), 0)
        };
        match (result, last_errno()) {
            (0, _) => return read(answer).ok_or(Errno::INVAL),
            (_, Errno::OVERFLOW) if answer.len() < ANSWER_MAX => answer.resize(answer.len() * 2, 0),
            // An overlay can have more layers than anybody reads.
            (_, Errno::OVERFLOW) if asked.parameter & OPTIONS != 0 => asked.parameter &= !OPTIONS,
            (_, errno) => return Err(errno),
        }
    }
}

/// Takes `struct statmount` apart.
fn read(answer: &[u8]) -> Option<RawMount> {
    let u32_at = |at: usize| Some(u32::from_ne_bytes(answer.get(at..at + 4)?.try_into().ok()?));
    let u64_at = |at: usize| Some(u64::from_ne_bytes(answer.get(at..at + 8)?.try_into().ok()?));
    let given = u64_at(8)?;
    let text = |bit: u64, at: usize| {
        if given & bit == 0 {
            return Some(String::new());
        }
        let from = answer.get(FIXED + usize::try_from(u32_at(at)?).ok()?..)?;
        let end = from.iter().position(|byte| *byte == 0)?;
        Some(String::from_utf8_lossy(&from[..end]).into_owned())
    };
    Some(RawMount {
        device: (u32_at(16)?, u32_at(20)?),
        filesystem_flags: u32_at(32)?,
        kind: text(0x20, 36)?,
        id: u64_at(40)?,
        parent: u64_at(48)?,
        attributes: u64_at(64)?,
        propagation: u64_at(72)?,
        root: text(0x8, 104)?,
        point: text(0x10, 108)?,
        source: text(0x200, 124)?,
        options: text(OPTIONS, 4)?,
    })
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_what_is_mounted() {
        let Some(mounts) = list().unwrap() else { return };
        let is_proc = |mount: &&RawMount| mount.kind == "proc" && mount.point == "/proc";
        assert_eq!(mounts.iter().find(is_proc).map(|mount| mount.root.as_str()), Some("/"));
        assert!(mounts.iter().all(|mount| mount.id != 0 && !mount.point.is_empty()), "{mounts:?}");
    }
}
