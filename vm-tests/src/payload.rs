//! What is under test, put over the image's files before the guest's first start.

use std::path::PathBuf;

use crate::{Context, Result};

/// Files that are put over those of the image, as root's. They stay as they are over a reset.
#[derive(Clone, Debug, Default)]
pub struct Payload {
    files: Vec<File>,
}

/// A file of a [`Payload`].
#[derive(Clone, Debug)]
pub struct File {
    /// Where it goes: an absolute path, with no symbolic link in it that leads out of the image. Folders that are not
    /// there are made, with mode 755.
    pub path: String,
    /// Its mode, for example `0o755`.
    pub mode: u32,
    /// What is in it.
    pub content: Content,
}

/// What is in a [`File`].
#[derive(Clone, Debug)]
pub enum Content {
    /// These bytes.
    Bytes(Vec<u8>),
    /// What a file of the host holds when the guest is booted.
    HostFile(PathBuf),
    /// It is not a file but a symbolic link to there. The mode means nothing.
    Link(String),
}

impl Payload {
    /// Nothing: the image as it is.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file with this content.
    #[must_use]
    pub fn file(self, path: &str, mode: u32, content: impl Into<Vec<u8>>) -> Self {
        self.with(File { path: path.to_owned(), mode, content: Content::Bytes(content.into()) })
    }

    /// Adds a copy of a file of the host.
    #[must_use]
    pub fn host_file(self, path: &str, mode: u32, from: impl Into<PathBuf>) -> Self {
        self.with(File { path: path.to_owned(), mode, content: Content::HostFile(from.into()) })
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn link(self, path: &str, target: &str) -> Self {
        self.with(File { path: path.to_owned(), mode: 0o777, content: Content::Link(target.to_owned()) })
    }

    /// Adds any of these.
    #[must_use]
    pub fn with(mut self, file: File) -> Self {
        self.files.push(file);
        self
    }

    pub(crate) fn files(&self) -> &[File] {
        &self.files
    }
}

impl File {
    /// The path below the root, if it is one that can be written down in a list.
    pub(crate) fn below_root(&self) -> Result<&str> {
        let below = self.path.strip_prefix('/').filter(|path| !path.is_empty() && !path.contains('\n'));
        below.ok_or_else(|| format!("{:?} of a payload is not an absolute path in one line", self.path))
    }
}

impl Content {
    pub(crate) fn bytes(&self) -> Result<Vec<u8>> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.clone()),
            Self::HostFile(path) => std::fs::read(path).context(|| format!("cannot read {}", path.display())),
            Self::Link(target) => Ok(target.clone().into_bytes()),
        }
    }
}
