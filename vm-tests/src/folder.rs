//! A folder that is gone when nobody needs it any more.

use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Result;

/// How the folders of all such processes begin. Short, because sockets go in there and the path of a socket has at
/// most 107 bytes.
const PREFIX: &str = "session-vm-";

/// A temporary folder that nobody else can look into.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(crate) fn create() -> Result<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let temporary = std::env::temp_dir();
        remove_left_behind(&temporary);
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = temporary.join(format!("{PREFIX}{}-{count}", std::process::id()));
            match std::fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self { path }),
                // Of a process with the same number, which was ended by force.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(format!("cannot create {}: {error}", path.display())),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // There is nobody to tell, and a later process tries again.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// A process that was ended by force leaves its disks, which are large.
fn remove_left_behind(temporary: &Path) {
    for entry in std::fs::read_dir(temporary).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process =
            name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(|rest| rest.split_once('-'));
        let Some((process, _)) = process.filter(|(process, _)| process.parse::<u32>().is_ok()) else {
            continue;
        };
        if !Path::new("/proc").join(process).is_dir() {
            // It may be another user's.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_process_left_is_removed_and_nothing_else() {
        let folder = Folder::create().unwrap();
        let make = |name: String| std::fs::create_dir_all(folder.path().join(name).join("inside")).unwrap();
        let own = format!("{PREFIX}{}-7", std::process::id());
        // Higher than any process's number can be.
        make(format!("{PREFIX}4194999-0"));
        make(own.clone());
        make(format!("{PREFIX}4194999x-0"));
        make("other".to_owned());
        remove_left_behind(folder.path());
        let mut left: Vec<String> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let mut expected = ["other".to_owned(), own, format!("{PREFIX}4194999x-0")];
        expected.sort();
        assert_eq!(left, expected);
    }
}
