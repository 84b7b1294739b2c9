//! Does the processor run the guest, or does qemu emulate one?

use std::path::Path;
use std::time::Duration;

use crate::cache::Cache;
use crate::folder::Folder;
use crate::kernel::Files;
use crate::payload::Payload;
use crate::{Context, Result, command, initramfs, qemu};

/// What runs the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accelerator {
    /// The processor.
    Kvm,
    /// qemu's translator. It works everywhere, and takes ten times as long.
    Tcg,
}

const DEVICE: &str = "/dev/kvm";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const NOTE: &str = "accelerator";
/// A kernel that works under KVM is through in a second.
const LIMIT: Duration = Duration::from_secs(10);

impl Accelerator {
    /// The better of those that work here, as found out once per start of the host.
    ///
    /// That the device is there says little: within some virtual machines it can be opened, makes guests, and hangs
    /// with every real kernel. So a real kernel is started.
    pub(crate) fn find(cache: &Cache, kernel: &Files) -> Result<Self> {
        if std::fs::File::options().read(true).write(true).open(DEVICE).is_err() {
            return Ok(Self::Tcg);
        }
        let boot = std::fs::read_to_string(BOOT_ID).context(|| format!("cannot read {BOOT_ID}"))?;
        let note = cache.note(NOTE);
        let known = std::fs::read_to_string(&note).unwrap_or_default();
        let found = [Self::Kvm, Self::Tcg].into_iter().find(|one| known == one.noted(&boot));
        if let Some(found) = found {
            return Ok(found);
        }
        let found = if kvm_runs(kernel)? { Self::Kvm } else { Self::Tcg };
        std::fs::write(&note, found.noted(&boot)).context(|| format!("cannot write {}", note.display()))?;
        Ok(found)
    }

    /// qemu's options.
    pub(crate) fn options(self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Self::Tcg => ["-accel", "tcg,thread=multi", "-cpu", "qemu64"],
        }
    }

    fn noted(self, boot: &str) -> String {
        format!("{} {self:?}\n", boot.trim_end())
    }
}

fn kvm_runs(kernel: &Files) -> Result<bool> {
    let folder = Folder::create()?;
    let archive = folder.path().join("initramfs");
    initramfs::write(&archive, kernel, &Payload::new())?;
    let said = boot_probe(&kernel.vmlinux(), &archive);
    Ok(said.is_ok_and(|said| said.contains("vm-tests: user space of")))
}

fn boot_probe(kernel: &Path, archive: &Path) -> Result<String> {
    let mut qemu = qemu::command(Accelerator::Kvm, kernel, archive, "vm.probe");
    command::run(qemu.args(["-serial", "stdio"]), LIMIT)?.success()
}
