//! What this kernel offers, found by asking for it.

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

/// The release, as `uname -r` prints it.
pub fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Does `mount_setattr` know `nosymfollow` (5.14)?
pub fn has_nosymfollow() -> bool {
    super::mount::has_nosymfollow()
}

/// A number that is new at every boot.
pub fn boot_id() -> super::Result<String> {
    const FILE: &str = "/proc/sys/kernel/random/boot_id";
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(FILE)
        .and_then(|mut file| file.read_to_string(&mut text))
        .map_err(|error| super::Error::new(format!("read({FILE:?})"), error))?;
    Ok(text.trim().to_owned())
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
