//! The guest's first root file system: loads modules, puts the real root together, and hands over to systemd.

use std::path::Path;

use crate::cpio::Archive;
use crate::kernel::Files;
use crate::payload::{Content, Payload};
use crate::{Context, Result};

/// Statically linked, because there is no libc beside it.
pub(crate) const BUSYBOX: &str = "/bin/busybox";
/// What the script calls by name.
const APPLETS: [&str; 16] = [
    "sh",
    "cat",
    "chmod",
    "cp",
    "dirname",
    "insmod",
    "ip",
    "ln",
    "mkdir",
    "mount",
    "poweroff",
    "sleep",
    "switch_root",
    "sync",
    "umount",
    "uname",
];

/// Makes an archive for a boot with this kernel, with the payload in it, and writes it to `to`.
pub(crate) fn write(to: &Path, kernel: &Files, payload: &Payload) -> Result<()> {
    let mut bytes = base(kernel)?;
    bytes.extend(packed(payload)?);
    std::fs::write(to, bytes).context(|| format!("cannot write {}", to.display()))
}

fn base(kernel: &Files) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for name in ["proc", "sys", "base", "upper", "new", "payload"] {
        archive.folder(name)?;
    }
    archive.device("dev/console", 5, 1)?;
    let busybox = std::fs::read(BUSYBOX).context(|| format!("cannot read {BUSYBOX}"))?;
    archive.file("bin/busybox", 0o755, &busybox)?;
    for applet in APPLETS {
        archive.link(&format!("bin/{applet}"), "busybox")?;
    }
    for (name, bytes) in kernel.modules()? {
        archive.file(&format!("modules/{name}"), 0o644, &bytes)?;
    }
    archive.file("init", 0o755, include_bytes!("../guest/init"))?;
    archive.finish()
}

/// Numbered files and a list of where they go. An archive with the files in place would change the folders on the way.
fn packed(payload: &Payload) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    let mut list = String::new();
    for (number, file) in payload.files().iter().enumerate() {
        let (path, mode) = (file.below_root()?, file.mode);
        let kind = if matches!(file.content, Content::Link(_)) { "link" } else { "file" };
        archive.file(&format!("payload/{number}"), 0o644, &file.content.bytes()?)?;
        list.push_str(&format!("{number} {kind} {mode:o} {path}\n"));
    }
    archive.file("payload/list", 0o644, list.as_bytes())?;
    archive.finish()
}
