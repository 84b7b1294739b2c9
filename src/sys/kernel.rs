//! What this kernel offers, found by asking for it.

use std::os::fd::AsFd;

use super::nsfs::Kind;

/// Does the kernel know `open_tree`, `fsopen` and their family (5.2)?
pub fn has_mount_descriptors() -> bool {
    super::mount::has_mount_descriptors()
}

/// Does the kernel know `openat2` (5.6)?
pub fn has_openat2() -> bool {
    super::path::has_openat2()
}

/// Does the kernel know `close_range` (5.9)?
pub fn has_close_range() -> bool {
    super::fd::has_close_range()
}

/// Does the kernel know `mount_setattr` (5.12)?
pub fn has_mount_setattr() -> bool {
    super::mount::has_mount_setattr()
}

/// Can Landlock scope signals and abstract sockets (ABI 6, 6.12)?
pub fn has_landlock_scope() -> bool {
    super::landlock::has_scope()
}

/// Does the kernel type on a terminal for any process that has it (`TIOCSTI`)? Before 6.2 always, since then as a setting
/// says.
pub fn obeys_tiocsti() -> super::Result<bool> {
    const FILE: &str = "/proc/sys/dev/tty/legacy_tiocsti";
    match std::fs::read(FILE) {
        Ok(value) => Ok(value.first() != Some(&b'0')),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(super::Error::new(format!("read({FILE:?})"), error)),
    }
}

/// Bytes of memory.
pub fn memory_size() -> u64 {
    let info = rustix::system::sysinfo();
    // As many bits as the processor has.
    let units = u128::from(info.totalram);
    u64::try_from(units.saturating_mul(info.mem_unit.into())).unwrap_or(u64::MAX)
}

/// The release, as `uname -r` prints it.
pub fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Does `mount_setattr` know `nosymfollow` (5.14)?
pub fn has_nosymfollow() -> bool {
    super::mount::has_nosymfollow()
}

/// Does `statx` give mounts numbers that are never used again (6.8)?
pub fn has_unique_mount_numbers() -> bool {
    super::mount::has_unique_numbers()
}

/// Does `statmount` answer (6.8)?
pub fn has_statmount() -> bool {
    super::mount::has_statmount()
}

/// Does `listmount` answer (6.8)?
pub fn has_listmount() -> bool {
    super::mount::has_listmount()
}

/// Can a namespace be found by a handle, and opened by it (6.18)? Asked of this process's own.
pub fn has_namespace_handles() -> bool {
    super::nsfs::own(Kind::Mounts).is_ok_and(|own| super::nsfs::handle(own.as_fd()).is_some())
}

/// Does a mount namespace say how many mounts it holds (6.12)? Asked of this process's own.
pub fn has_mount_counts() -> bool {
    super::nsfs::own(Kind::Mounts).is_ok_and(|own| super::nsfs::mount_count(own.as_fd()).is_some())
}

/// Have process descriptors numbers that are never used again (6.9)? Asked of this process's own.
pub fn has_process_numbers() -> bool {
    let own = super::pidfd::open(rustix::process::getpid().as_raw_nonzero().get());
    own.is_ok_and(|own| own.is_some_and(|own| matches!(super::pidfd::inode(own.as_fd()), Ok(Some(_)))))
}

/// Are there keyrings, and may this process have any?
pub fn has_keyrings() -> bool {
    super::identity::has_keyrings()
}

/// Is this process in a PID namespace (3.8)? Without them it is in none, and `/proc` says so.
pub fn has_pid_namespaces() -> bool {
    super::nsfs::own(Kind::Pids).is_ok()
}

/// The same for user namespaces (3.8). Whether one can be made is a matter of settings, too.
pub fn has_user_namespaces() -> bool {
    rustix::fs::stat("/proc/self/ns/user").is_ok()
}

/// A number that is new at every boot.
pub fn boot_id() -> super::Result<String> {
    word_in("/proc/sys/kernel/random/boot_id")
}

/// A name that nothing else has, and nobody guesses.
pub fn random_name() -> super::Result<String> {
    word_in("/proc/sys/kernel/random/uuid")
}

fn word_in(file: &str) -> super::Result<String> {
    super::access::text_of(file).map(|text| text.trim().to_owned())
}

/// What one mount takes in the kernel, in bytes, as its allocator counts (`/proc/slabinfo`, which only root reads);
/// what it took in Linux 6.18 where that cannot be read.
pub fn mount_size() -> u64 {
    const SIZE_6_18: u64 = 320;
    let text = std::fs::read("/proc/slabinfo").unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find_map(|line| line.strip_prefix("mnt_cache "));
    let size = line.and_then(|line| line.split_ascii_whitespace().nth(2)).and_then(|size| size.parse().ok());
    size.unwrap_or(SIZE_6_18)
}
