//! What a host needs to have for all of this.

use std::path::{Path, PathBuf};

use crate::apt::{Apt, KEYRING, mirror};
use crate::folder::Folder;
use crate::image::Image;
use crate::initramfs::BUSYBOX;
use crate::kernel::Files;
use crate::{Cache, Kernel, Result};

/// Where programs are looked for: a user's PATH may lack the administrator's half.
pub(crate) const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Programs, and Debian's packages with them.
const PROGRAMS: [(&str, &str); 17] = [
    ("apt-get", "apt"),
    ("dpkg-deb", "dpkg"),
    ("gzip", "gzip"),
    ("mke2fs", "e2fsprogs"),
    ("mmdebstrap", "mmdebstrap"),
    ("openssl", "openssl"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("rsync", "rsync"),
    ("scp", "openssh-client"),
    ("setpriv", "util-linux"),
    ("sftp", "openssh-client"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("sshpass", "sshpass"),
    ("unshare", "util-linux"),
    ("xz", "xz-utils"),
    ("zstd", "zstd"),
];
const BUSYBOX_PACKAGE: &str = "busybox-static";
const KEYRING_PACKAGE: &str = "debian-archive-keyring";

/// Why guests with these kernels cannot be booted here, and what to install.
pub fn missing(kernels: &[Kernel]) -> Option<String> {
    let architecture = std::env::consts::ARCH;
    if architecture != "x86_64" {
        return Some(format!("needs a host that can run programs for x86_64, this is {architecture}"));
    }
    let packages = missing_packages();
    if !packages.is_empty() {
        return Some(format!("needs Debian packages: apt-get install {}", packages.join(" ")));
    }
    missing_in_cache(kernels)
}

fn missing_packages() -> Vec<&'static str> {
    let mut packages: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _)| program_file(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    if !is_static(Path::new(BUSYBOX)) {
        packages.push(BUSYBOX_PACKAGE);
    }
    if !Path::new(KEYRING).is_file() {
        packages.push(KEYRING_PACKAGE);
    }
    packages.sort_unstable();
    packages.dedup();
    packages
}

/// With everything in the cache neither root nor a mirror is needed.
fn missing_in_cache(kernels: &[Kernel]) -> Option<String> {
    let cache = match Cache::open() {
        Ok(cache) => cache,
        Err(error) => return Some(error),
    };
    let mut suites: Vec<&str> = Vec::new();
    for kernel in kernels {
        if !Files::are_there(&cache, *kernel) {
            suites.push(kernel.suite());
        }
        if !Image::is_there(&cache, kernel.user_space()) {
            suites.push(kernel.user_space());
        }
    }
    suites.sort_unstable();
    suites.dedup();
    if !suites.is_empty() && !is_root() {
        return Some("needs root to install Debian into an image".to_owned());
    }
    let unreachable = suites.iter().find_map(|suite| fetch_index(suite).err());
    unreachable.map(|error| format!("needs a mirror of Debian: {}", summary(&error)))
}

fn fetch_index(suite: &str) -> Result<()> {
    let folder = Folder::create()?;
    Apt::new(folder.path(), &mirror()?, suite).map(|_| ())
}

/// A reason for an ignored test is one line. apt's first error is the one that counts.
fn summary(error: &str) -> &str {
    let errors = error.lines().find_map(|line| line.split_once("E: "));
    errors.map_or_else(|| error.lines().next().unwrap_or(error), |(_, message)| message)
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

fn program_file(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(SEARCH_PATH.split(':'));
    folders.map(|folder| Path::new(folder).join(name)).find(|file| file.is_file())
}

/// A program that names a loader does so in its first page.
fn is_static(program: &Path) -> bool {
    let Ok(bytes) = std::fs::read(program) else { return false };
    let start = bytes.get(..4096).unwrap_or(&bytes);
    start.starts_with(b"\x7fELF") && !start.windows(9).any(|window| window == b"/ld-linux")
}
