//! Which modules have to be loaded, and in which order. Read from the modules: the host needs no kmod for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::{Context, Result};

const LIMIT: Duration = Duration::from_secs(60);

/// The modules of one kernel.
#[derive(Debug)]
pub(crate) struct Modules {
    files: BTreeMap<String, PathBuf>,
    built_in: BTreeSet<String>,
}

/// A module, not compressed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Module {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

impl Modules {
    /// Looks through `lib/modules/RELEASE`.
    pub(crate) fn of(folder: &Path) -> Result<Self> {
        let list = folder.join("modules.builtin");
        let list = std::fs::read_to_string(&list).context(|| format!("cannot read {}", list.display()))?;
        let built_in = list.lines().filter_map(|line| module_name(Path::new(line))).collect();
        let mut modules = Self { files: BTreeMap::new(), built_in };
        modules.look_in(folder)?;
        Ok(modules)
    }

    fn look_in(&mut self, folder: &Path) -> Result<()> {
        let shown = || format!("cannot list {}", folder.display());
        for entry in std::fs::read_dir(folder).context(shown)? {
            let entry = entry.context(shown)?;
            if entry.file_type().context(shown)?.is_dir() {
                self.look_in(&entry.path())?;
            } else if let Some(name) = module_name(&entry.path()) {
                self.files.insert(name, entry.path());
            }
        }
        Ok(())
    }

    /// The modules to load for `wanted`, each after those it needs. What is part of the kernel itself is left out.
    pub(crate) fn load_order(&self, wanted: &[&str]) -> Result<Vec<Module>> {
        let mut order = Vec::new();
        let mut visited = BTreeSet::new();
        for name in wanted {
            if !self.built_in.contains(*name) && !self.files.contains_key(*name) {
                return Err(format!("the kernel has no module {name}"));
            }
            self.visit(name, &mut visited, &mut order)?;
        }
        Ok(order)
    }

    fn visit(&self, name: &str, visited: &mut BTreeSet<String>, order: &mut Vec<Module>) -> Result<()> {
        if self.built_in.contains(name) || !visited.insert(name.to_owned()) {
            return Ok(());
        }
        // A soft dependency may name what this kernel does not have.
        let Some(file) = self.files.get(name) else { return Ok(()) };
        let bytes = read_unpacked(file)?;
        for needed in needed_by(&bytes) {
            self.visit(&needed, visited, order)?;
        }
        order.push(Module { name: name.to_owned(), bytes });
        Ok(())
    }
}

/// `ext4` for `fs/ext4/ext4.ko.xz`. The kernel takes `-` and `_` for the same.
fn module_name(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    let (name, packing) = file.split_once(".ko")?;
    ["", ".xz", ".zst", ".gz"].contains(&packing).then(|| name.replace('-', "_"))
}

fn read_unpacked(file: &Path) -> Result<Vec<u8>> {
    let program = match file.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => return std::fs::read(file).context(|| format!("cannot read {}", file.display())),
    };
    // Unpacked beside the packed one, because the output of a program is text everywhere else.
    let status = crate::command::run(Command::new(program).args(["-dk"]).arg(file), LIMIT)?;
    status.success().context(|| format!("{program} -dk {}", file.display()))?;
    let unpacked = file.with_extension("");
    std::fs::read(&unpacked).context(|| format!("cannot read {}", unpacked.display()))
}

/// The modules that a module says it needs, in its section of `key=value` strings that each end with a zero.
fn needed_by(module: &[u8]) -> Vec<String> {
    let mut needed = Vec::new();
    for string in module.split(|byte| *byte == 0) {
        let Ok(string) = str::from_utf8(string) else { continue };
        if let Some(names) = string.strip_prefix("depends=") {
            needed.extend(names.split(',').map(|name| name.replace('-', "_")));
        } else if let Some(names) = string.strip_prefix("softdep=pre: ") {
            needed.extend(names.split_whitespace().map(|name| name.replace('-', "_")));
        }
    }
    needed.retain(|name| !name.is_empty());
    needed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Folder;

    #[test]
    fn a_module_comes_after_what_it_needs_and_once() {
        let folder = Folder::create().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("modules.builtin", "kernel/lib/inside.ko\n");
        write("top-most.ko", "\u{0}\0depends=middle,base\0license=GPL\0");
        write("middle.ko", "\0depends=base,inside\0softdep=pre: unheard-of\0");
        write("base.ko", "\0depends=\0");
        let modules = Modules::of(folder.path()).unwrap();
        let order = modules.load_order(&["top_most", "inside", "base"]).unwrap();
        let names: Vec<&str> = order.iter().map(|module| module.name.as_str()).collect();
        assert_eq!(names, ["base", "middle", "top_most"]);
        assert_eq!(modules.load_order(&["nothing"]), Err("the kernel has no module nothing".to_owned()));
    }
}
