//! What takes long to make and stays the same: made once, found again by what it was made from.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::{Context, Result};

/// A folder of folders, each named by what it holds and by a hash of its recipe.
///
/// Nothing in it is ever changed: another recipe is another folder. All of it may be deleted at any time.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The folder that `SESSION_VM_CACHE` names, or `session-sandbox-vm` among the user's caches.
    pub fn open() -> Result<Self> {
        let variable =
            |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = variable("SESSION_VM_CACHE")
            .or_else(|| variable("XDG_CACHE_HOME").map(|folder| folder.join("session-sandbox-vm")))
            .or_else(|| variable("HOME").map(|folder| folder.join(".cache/session-sandbox-vm")))
            .ok_or("neither SESSION_VM_CACHE, XDG_CACHE_HOME nor HOME is set: no place for images")?;
        Self::at(folder)
    }

    fn at(folder: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&folder).context(|| format!("cannot create {}", folder.display()))?;
        // The keys of the guests are in there. They open nothing but guests, and still are nobody's business.
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700))
            .context(|| format!("chmod {}", folder.display()))?;
        Ok(Self { folder })
    }

    /// The folder with what `recipe` makes; `make` is called with an empty folder to fill when there is none yet.
    /// Of several processes that ask at the same time, one makes it and the others wait.
    pub fn entry(
        &self,
        name: &str,
        recipe: &[&str],
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let entry = self.path(name, recipe);
        let lock_path = self.folder.join(format!("{name}.lock"));
        let lock = File::create(&lock_path).context(|| format!("cannot create {}", lock_path.display()))?;
        lock.lock().context(|| format!("lock {}", lock_path.display()))?;
        if !entry.is_dir() {
            let unfinished = self.folder.join(format!("{name}.unfinished"));
            if unfinished.is_dir() {
                remove(&unfinished)?;
            }
            std::fs::create_dir(&unfinished).context(|| format!("mkdir {}", unfinished.display()))?;
            make(&unfinished)?;
            std::fs::rename(&unfinished, &entry).context(|| format!("cannot create {}", entry.display()))?;
        }
        Ok(entry)
    }

    /// Has it been made already?
    pub fn has(&self, name: &str, recipe: &[&str]) -> bool {
        self.path(name, recipe).is_dir()
    }

    /// Where a small fact can be kept that is asked for again and again.
    pub(crate) fn note(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn path(&self, name: &str, recipe: &[&str]) -> PathBuf {
        let mut hash = Sha256::new();
        for part in recipe {
            // With its length, so that text which moves from one part to the next is another recipe.
            hash.update(part.len().to_string());
            hash.update("\n");
            hash.update(part);
        }
        let digits: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(format!("{name}-{digits}"))
    }
}

/// Removes a folder with all in it.
pub(crate) fn remove(folder: &Path) -> Result<()> {
    std::fs::remove_dir_all(folder).context(|| format!("cannot remove {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Folder;

    #[test]
    fn an_entry_is_made_once_for_each_recipe() {
        let folder = Folder::create().unwrap();
        let cache = Cache::at(folder.path().join("cache")).unwrap();
        let make = |text: &'static str| {
            move |folder: &Path| std::fs::write(folder.join("made"), text).map_err(|error| error.to_string())
        };
        let first = cache.entry("thing", &["ab", "c"], make("first")).unwrap();
        assert_eq!(first, cache.entry("thing", &["ab", "c"], make("second")).unwrap());
        assert_eq!(std::fs::read_to_string(first.join("made")).unwrap(), "first");
        assert_ne!(first, cache.entry("thing", &["a", "bc"], make("third")).unwrap());
    }

    #[test]
    fn what_could_not_be_finished_is_not_taken_for_finished() {
        let folder = Folder::create().unwrap();
        let cache = Cache::at(folder.path().join("cache")).unwrap();
        let failing = |folder: &Path| {
            std::fs::write(folder.join("half"), "").unwrap();
            Err("no".to_owned())
        };
        assert_eq!(cache.entry("thing", &["a"], failing), Err("no".to_owned()));
        assert!(!cache.has("thing", &["a"]));
        let entry = cache.entry("thing", &["a"], |_| Ok(())).unwrap();
        assert!(!entry.join("half").exists());
    }
}
