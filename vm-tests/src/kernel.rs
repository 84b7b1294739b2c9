//! Debian's kernels: which there are, and where they come from.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::apt::{Apt, mirror};
use crate::cache::{Cache, remove};
use crate::modules::Modules;
use crate::{Context, Result, vmlinux};

/// A kernel to boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kernel {
    /// That of Debian bookworm, 6.1, with bookworm's user space.
    Oldest,
    /// That of Debian trixie, 6.12, with trixie's user space.
    Stable,
    /// That of trixie-backports, 7 and later, with trixie's user space.
    Newest,
}

impl Kernel {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Oldest, Self::Stable, Self::Newest];

    /// The kernels that `SESSION_VM_KERNELS` asks for: `all`, or some of `oldest,stable,newest`. `stable` if unset.
    pub fn chosen() -> Result<Vec<Self>> {
        match std::env::var("SESSION_VM_KERNELS") {
            Ok(text) => Self::from_list(&text),
            Err(_) => Ok(vec![Self::Stable]),
        }
    }

    fn from_list(text: &str) -> Result<Vec<Self>> {
        if text == "all" {
            return Ok(Self::ALL.to_vec());
        }
        let kernel = |word: &str| {
            let found = Self::ALL.into_iter().find(|kernel| kernel.word() == word.trim());
            found.ok_or_else(|| {
                format!("SESSION_VM_KERNELS: {word:?} is none of oldest, stable, newest and not all")
            })
        };
        text.split(',').map(kernel).collect()
    }

    /// How it is called in `SESSION_VM_KERNELS` and in the names of tests.
    pub fn word(self) -> &'static str {
        match self {
            Self::Oldest => "oldest",
            Self::Stable => "stable",
            Self::Newest => "newest",
        }
    }

    /// What `uname -r` begins with.
    pub fn family(self) -> &'static str {
        match self {
            Self::Oldest => "6.1.",
            Self::Stable => "6.12.",
            Self::Newest => "7.",
        }
    }

    /// The suite of the user space it is booted with.
    pub fn user_space(self) -> &'static str {
        match self {
            Self::Oldest => "bookworm",
            Self::Stable | Self::Newest => "trixie",
        }
    }

    /// The suite that has it.
    pub(crate) fn suite(self) -> &'static str {
        match self {
            Self::Oldest => "bookworm",
            Self::Stable => "trixie",
            Self::Newest => "trixie-backports",
        }
    }
}

/// Depends on the current kernel for virtual machines.
const PACKAGE: &str = "linux-image-cloud-amd64";
/// What the guest cannot do without before it has a root, and what cannot be loaded later because the image has no
/// modules: it serves every kernel.
const MODULES: [&str; 11] = [
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "virtio_console",
    "virtio_rng",
    "overlay",
    "ext4",
    "loop",
    "autofs4",
    "binfmt_misc",
    "fuse",
];
const UNPACK_LIMIT: Duration = Duration::from_secs(120);

/// A kernel, ready to boot.
#[derive(Debug)]
pub(crate) struct Files {
    folder: PathBuf,
}

impl Files {
    /// From the cache, or from the mirror.
    pub(crate) fn get(cache: &Cache, kernel: Kernel) -> Result<Self> {
        let folder = cache
            .entry(&name(kernel), &recipe(kernel), |folder| make(folder, kernel))
            .context(|| format!("the kernel of {}", kernel.suite()))?;
        Ok(Self { folder })
    }

    /// Is it in the cache?
    pub(crate) fn are_there(cache: &Cache, kernel: Kernel) -> bool {
        cache.has(&name(kernel), &recipe(kernel))
    }

    /// The kernel itself, not compressed.
    pub(crate) fn vmlinux(&self) -> PathBuf {
        self.folder.join("vmlinux")
    }

    /// File names of modules in the order in which they are loaded, with their bytes.
    pub(crate) fn modules(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let folder = self.folder.join("modules");
        let shown = || format!("cannot read {}", folder.display());
        let mut modules = Vec::new();
        for entry in std::fs::read_dir(&folder).context(shown)? {
            let entry = entry.context(shown)?;
            let bytes = std::fs::read(entry.path()).context(|| format!("cannot read {:?}", entry.path()))?;
            modules.push((entry.file_name().to_string_lossy().into_owned(), bytes));
        }
        modules.sort();
        Ok(modules)
    }
}

fn name(kernel: Kernel) -> String {
    format!("kernel-{}", kernel.word())
}

fn recipe(kernel: Kernel) -> [&'static str; 5] {
    // This file says what is unpacked, so a change of it makes another kernel folder.
    [
        kernel.suite(),
        PACKAGE,
        include_str!("kernel.rs"),
        include_str!("modules.rs"),
        include_str!("vmlinux.rs"),
    ]
}

fn make(folder: &Path, kernel: Kernel) -> Result<()> {
    let at = |name: &str| folder.join(name);
    let mkdir = |name: &str| std::fs::create_dir(at(name)).context(|| format!("mkdir {:?}", at(name)));
    for name in ["apt", "packages", "unpacked", "modules"] {
        mkdir(name)?;
    }
    let apt = Apt::new(&at("apt"), &mirror()?, kernel.suite())?;
    // A kernel is one package or several (image, binary, modules); all are named after the architecture.
    let mut packages = apt.with_dependencies(PACKAGE)?;
    packages.retain(|package| package.starts_with("linux-") && package.contains("amd64"));
    apt.download(&packages, &at("packages"))?;
    let packages = at("packages");
    for package in std::fs::read_dir(&packages).context(|| format!("cannot list {}", packages.display()))? {
        let package = package.context(|| format!("cannot list {}", packages.display()))?.path();
        let mut unpack = Command::new("dpkg-deb");
        crate::command::run_ok(unpack.arg("-x").arg(&package).arg(at("unpacked")), UNPACK_LIMIT)?;
    }
    // /lib is a link to usr/lib in Debian's installations, and a folder in packages of before trixie.
    let module_folder = ["unpacked/lib/modules", "unpacked/usr/lib/modules"]
        .iter()
        .find_map(|name| only_folder_in(&at(name)))
        .ok_or("the kernel's packages have no lib/modules")?;
    let image = [module_folder.join("vmlinuz")]
        .into_iter()
        .chain(files_in(&at("unpacked/boot")))
        .find(|file| {
            file.is_file()
                && file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"vmlinuz"))
        })
        .ok_or("the kernel's packages have no vmlinuz")?;
    let image = std::fs::read(&image).context(|| format!("cannot read {}", image.display()))?;
    vmlinux::extract(&image, &at("vmlinux"))?;
    for (number, module) in Modules::of(&module_folder)?.load_order(&MODULES)?.into_iter().enumerate() {
        let file = at("modules").join(format!("{number:03}-{}.ko", module.name));
        std::fs::write(&file, module.bytes).context(|| format!("cannot write {}", file.display()))?;
    }
    for name in ["apt", "packages", "unpacked"] {
        remove(&at(name))?;
    }
    Ok(())
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).collect()
}

fn only_folder_in(folder: &Path) -> Option<PathBuf> {
    files_in(folder).into_iter().find(|path| path.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_kernels_is_read_and_a_wrong_word_is_named() {
        assert_eq!(Kernel::from_list("all").unwrap(), Kernel::ALL);
        assert_eq!(Kernel::from_list("newest, oldest").unwrap(), [Kernel::Newest, Kernel::Oldest]);
        assert!(Kernel::from_list("stable,latest").unwrap_err().contains("\"latest\""));
    }
}
