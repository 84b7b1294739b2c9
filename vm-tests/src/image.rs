//! The guests' user space: a Debian installation as one read-only file system.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::apt::{mirror, source_line};
use crate::cache::{Cache, remove};
use crate::command::run_ok;
use crate::{Context, Result};

/// Beside mmdebstrap's smallest installation.
const PACKAGES: [&str; 32] = [
    "at",
    "cron",
    "dbus",
    "dbus-user-session",
    "fuse3",
    "iproute2",
    "kmod",
    "libpam-chroot",
    "libpam-modules",
    "libpam-runtime",
    "libpam-script",
    "libpam-systemd",
    "lightdm",
    "login",
    "mount",
    "openssh-client",
    "openssh-server",
    "openssh-sftp-server",
    "pamtester",
    "passwd",
    "procps",
    "python3-minimal",
    "rsync",
    "strace",
    "sudo",
    "systemd-sysv",
    "udev",
    "util-linux",
    // lastlog2, hardlink and others; part of util-linux before trixie.
    "util-linux-extra",
    "xdm",
    "xdotool",
    "xvfb",
];
/// What display managers and X servers depend on in Debian, and what nobody here asks them for: a toolkit, fonts,
/// compilers. Without these they are a tenth of the size.
const STAND_IN: &str = "Package: guest-stand-in
Version: 1
Architecture: all
Maintainer: nobody <root@localhost>
Provides: lightdm-greeter, libglx-mesa0, cpp, x11-utils, x11-xserver-utils, fontconfig-config
Description: stands for what is not needed in a guest
";
/// What is unpacked but not needed, to keep the image small.
const LEFT_OUT: [&str; 5] = [
    "/usr/share/man/*",
    "/usr/share/doc/*",
    "/usr/share/locale/*",
    "/usr/share/info/*",
    "/usr/share/zoneinfo/*",
];
/// Read-only, so that there is nothing for a journal to do. Larger than what is in it; the file has holes.
const FILE_SYSTEM: [&str; 10] =
    ["-q", "-F", "-t", "ext4", "-m", "0", "-E", "root_owner=0:0", "-O", "^has_journal"];
const SIZE: &str = "1G";
const CUSTOMIZE: &str = include_str!("../guest/customize");

const INSTALL_LIMIT: Duration = Duration::from_secs(900);
const FORMAT_LIMIT: Duration = Duration::from_secs(120);

/// An image and the key to it.
#[derive(Debug)]
pub(crate) struct Image {
    folder: PathBuf,
}

impl Image {
    /// From the cache, or built from the mirror's packages.
    pub(crate) fn get(cache: &Cache, suite: &str) -> Result<Self> {
        let folder = cache
            .entry(&name(suite), &recipe(suite), |folder| make(folder, suite))
            .context(|| format!("the image of {suite}"))?;
        Ok(Self { folder })
    }

    /// Is it in the cache?
    pub(crate) fn is_there(cache: &Cache, suite: &str) -> bool {
        cache.has(&name(suite), &recipe(suite))
    }

    /// The read-only file system.
    pub(crate) fn disk(&self) -> PathBuf {
        self.folder.join("image.ext4")
    }

    /// The private key that opens all accounts.
    pub(crate) fn key(&self) -> PathBuf {
        self.folder.join("id_ed25519")
    }
}

fn name(suite: &str) -> String {
    format!("image-{suite}")
}

fn recipe(suite: &str) -> [&str; 3] {
    [suite, include_str!("image.rs"), CUSTOMIZE]
}

fn make(folder: &Path, suite: &str) -> Result<()> {
    let at = |name: &str| folder.join(name);
    let customize = at("customize");
    std::fs::write(&customize, CUSTOMIZE).context(|| format!("cannot write {}", customize.display()))?;
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&customize, executable).context(|| format!("chmod {}", customize.display()))?;
    let stand_in = make_stand_in(&at("stand-in"))?;
    let root = at("root");
    let mut install = Command::new("unshare");
    // In a mount table of its own: whatever an end before time leaves mounted is gone with it, and what removes the
    // folder cannot remove through it.
    install.args(["--mount", "--propagation", "private", "mmdebstrap", "--quiet", "--mode=root"]);
    install.args(["--variant=minbase", "--architectures=amd64", "--aptopt=Acquire::Languages \"none\""]);
    install.args(LEFT_OUT.map(|files| format!("--dpkgopt=path-exclude={files}")));
    install.args(["--dpkgopt=force-unsafe-io", "--format=directory"]);
    install.arg(format!("--include={}", PACKAGES.join(",")));
    let inside =
        "cp {} \"$1/stand-in.deb\" && chroot \"$1\" dpkg --install /stand-in.deb && rm \"$1/stand-in.deb\"";
    install.arg(format!("--essential-hook={}", inside.replace("{}", &stand_in.display().to_string())));
    install.arg(format!("--customize-hook={} \"$1\"", customize.display()));
    install.arg(suite).arg(&root).arg(source_line(&mirror()?, suite));
    run_ok(install.env("LC_ALL", "C.UTF-8"), INSTALL_LIMIT)?;
    let mut format = Command::new("mke2fs");
    format.env("PATH", crate::requirements::SEARCH_PATH);
    run_ok(format.args(FILE_SYSTEM).arg("-d").arg(&root).arg(at("image.ext4")).arg(SIZE), FORMAT_LIMIT)?;
    let key = root.join("root/.ssh/id_ed25519");
    // Its mode comes with it, which ssh insists on.
    std::fs::copy(&key, at("id_ed25519")).context(|| format!("cannot copy {}", key.display()))?;
    remove(&root)
}

/// A package that is nothing but its name.
fn make_stand_in(folder: &Path) -> Result<PathBuf> {
    let control = folder.join("DEBIAN/control");
    std::fs::create_dir_all(folder.join("DEBIAN")).context(|| format!("cannot make {}", folder.display()))?;
    std::fs::write(&control, STAND_IN).context(|| format!("cannot write {}", control.display()))?;
    let package = folder.with_extension("deb");
    let mut build = Command::new("dpkg-deb");
    run_ok(build.args(["--root-owner-group", "--build"]).args([folder, &package]), FORMAT_LIMIT)?;
    Ok(package)
}
