//! A folder that is gone when nobody needs it any more.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{Context, Result};

/// A temporary folder that nobody else can look into.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(crate) fn create() -> Result<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        // Short, because sockets go in there and the path of a socket has at most 107 bytes.
        let name = format!("vm-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .context(|| format!("cannot create {}", path.display()))?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // There is nobody to tell, and the system cleans its temporary folder up some day.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
