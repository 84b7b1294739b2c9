//! Archives that the kernel unpacks into its first root file system.
//!
//! The format is `newc`, and what has no meaning there (times, owners, inode numbers) is always the same.

use std::collections::BTreeSet;

use crate::{Context, Result};

const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

/// An archive in the making. The folders on the way to a name are added by themselves.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
    folders: BTreeSet<String>,
}

impl Archive {
    /// Adds a folder.
    pub(crate) fn folder(&mut self, name: &str) -> Result<()> {
        if self.folders.contains(name) {
            return Ok(());
        }
        self.parents(name)?;
        self.folders.insert(name.to_owned());
        self.entry(name, DIRECTORY | 0o755, (0, 0), &[])
    }

    /// Adds a file.
    pub(crate) fn file(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.parents(name)?;
        self.entry(name, FILE | mode, (0, 0), content)
    }

    /// Adds a symbolic link.
    pub(crate) fn link(&mut self, name: &str, target: &str) -> Result<()> {
        self.parents(name)?;
        self.entry(name, LINK | 0o777, (0, 0), target.as_bytes())
    }

    /// Adds a character device.
    pub(crate) fn device(&mut self, name: &str, major: u32, minor: u32) -> Result<()> {
        self.parents(name)?;
        self.entry(name, CHARACTER_DEVICE | 0o600, (major, minor), &[])
    }

    /// The archive's bytes. Several archives, one after the other, are unpacked over each other.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>> {
        self.entry("TRAILER!!!", 0, (0, 0), &[])?;
        Ok(self.bytes)
    }

    fn parents(&mut self, name: &str) -> Result<()> {
        match name.rsplit_once('/') {
            Some((parent, _)) => self.folder(parent),
            None => Ok(()),
        }
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) -> Result<()> {
        self.entries += 1;
        let size =
            u32::try_from(content.len()).context(|| format!("{name} is too large for an initramfs"))?;
        let name_size =
            u32::try_from(name.len() + 1).context(|| format!("{name} is too long for an initramfs"))?;
        self.bytes.extend(b"070701");
        let (owner, group, links, time, checksum) = (0, 0, 1, 0, 0);
        let (major, minor) = device;
        for number in
            [self.entries, mode, owner, group, links, time, size, 0, 0, major, minor, name_size, checksum]
        {
            self.bytes.extend(format!("{number:08X}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
        Ok(())
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_its_parents_before_it_and_is_padded() {
        let mut archive = Archive::default();
        archive.file("a/b/c", 0o644, b"12345").unwrap();
        archive.file("a/b/d", 0o644, b"").unwrap();
        let bytes = archive.finish().unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let at = |name: &str| text.find(name).unwrap();
        assert!(at("a\0") < at("a/b\0") && at("a/b\0") < at("a/b/c\0") && at("a/b/c\0") < at("12345"));
        assert_eq!(text.matches("a/b\0").count(), 1);
        assert!(
            text.contains("0000000300008"),
            "the third entry's number, and a regular file's mode: {text}"
        );
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(text.match_indices("070701").filter(|(index, _)| index % 4 == 0).count(), 5);
    }
}
