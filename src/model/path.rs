//! Absolute paths in one normal form.

use std::fmt;

use serde::Serialize;

/// The longest path that is accepted, in bytes; the kernel's own limit for one call.
pub const PATH_MAX: usize = 4095;
/// The longest component, in bytes.
pub const NAME_MAX: usize = 255;

/// An absolute path without `.`, `..`, doubled or trailing slashes and control characters.
///
/// Two paths that name the same place by their text are equal, and `/a` is a parent of `/a/b` exactly when
/// [`AbsPath::is_below`] says so. Whether the file system agrees (links) is a question for whoever opens it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct AbsPath(String);

impl<'de> serde::Deserialize<'de> for AbsPath {
    /// What was written down passes the same checks as what was typed.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

/// Why a text is not an [`AbsPath`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Does not start with `/`.
    #[error("path {0:?} is not absolute")]
    Relative(String),
    /// Holds a `.` or `..` component.
    #[error("path {0:?} holds a `{1}` component")]
    Dots(String, &'static str),
    /// Holds NUL, newline or another control character.
    #[error("path {0:?} holds a control character")]
    Control(String),
    /// Longer than the kernel takes.
    #[error("a path has at most {PATH_MAX} bytes and {NAME_MAX} in each component; this one has {0} bytes")]
    TooLong(usize),
}

impl AbsPath {
    /// Brings `path` into normal form, or says why it has none.
    pub fn new(path: &str) -> Result<Self, PathError> {
        if !path.starts_with('/') {
            return Err(PathError::Relative(path.to_owned()));
        }
        if path.chars().any(char::is_control) {
            return Err(PathError::Control(path.to_owned()));
        }
        let mut normal = String::with_capacity(path.len());
        for component in path.split('/').filter(|component| !component.is_empty()) {
            match component {
                "." => return Err(PathError::Dots(path.to_owned(), ".")),
                ".." => return Err(PathError::Dots(path.to_owned(), "..")),
                name if name.len() > NAME_MAX => return Err(PathError::TooLong(path.len())),
                name => {
                    normal.push('/');
                    normal.push_str(name);
                }
            }
        }
        if normal.len() > PATH_MAX {
            return Err(PathError::TooLong(normal.len()));
        }
        if normal.is_empty() {
            normal.push('/');
        }
        Ok(Self(normal))
    }

    /// `/`.
    pub fn root() -> Self {
        Self("/".to_owned())
    }

    /// Is this `/`?
    pub fn is_root(&self) -> bool {
        self.0 == "/"
    }

    /// The path as text, starting with `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path below `/`: `usr/bin` for `/usr/bin`, and `.` for `/` itself, ready for a call relative to a root.
    pub fn relative(&self) -> &str {
        match &self.0[1..] {
            "" => ".",
            rest => rest,
        }
    }

    /// The number of components; 0 for `/`.
    pub fn depth(&self) -> usize {
        self.components().count()
    }

    /// The components from the top down.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/').filter(|component| !component.is_empty())
    }

    /// The last component; `None` for `/`.
    pub fn file_name(&self) -> Option<&str> {
        self.components().last()
    }

    /// The directory that holds this path; `None` for `/`.
    pub fn parent(&self) -> Option<Self> {
        let cut = self.0.rfind('/')?;
        match (cut, self.is_root()) {
            (_, true) => None,
            (0, _) => Some(Self::root()),
            (cut, _) => Some(Self(self.0[..cut].to_owned())),
        }
    }

    /// Is this path strictly below `ancestor`?
    pub fn is_below(&self, ancestor: &Self) -> bool {
        if ancestor.is_root() {
            return !self.is_root();
        }
        self.0.strip_prefix(&ancestor.0).is_some_and(|rest| rest.starts_with('/'))
    }

    /// This path with one more component. `name` must be a single component: callers pass literals or components
    /// taken from another `AbsPath`.
    pub fn join(&self, name: &str) -> Result<Self, PathError> {
        Self::new(&format!("{}/{name}", self.0))
    }

    /// The path that has the same place below `new_root` as this one has below `old_root`, which must be an
    /// ancestor or the path itself.
    pub fn rebase(&self, old_root: &Self, new_root: &Self) -> Option<Self> {
        if self == old_root {
            return Some(new_root.clone());
        }
        if !self.is_below(old_root) {
            return None;
        }
        let rest = if old_root.is_root() { &self.0[..] } else { &self.0[old_root.0.len()..] };
        Some(if new_root.is_root() { Self(rest.to_owned()) } else { Self(format!("{}{rest}", new_root.0)) })
    }
}

impl fmt::Display for AbsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AbsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> AbsPath {
        AbsPath::new(text).unwrap()
    }

    #[test]
    fn slashes_are_normalised_and_dots_refused() {
        assert_eq!(path("//usr///bin/").as_str(), "/usr/bin");
        assert_eq!(path("///").as_str(), "/");
        for bad in ["", "usr", "/usr/../etc", "/.", "/a/./b", "/a\nb", "/a\0b"] {
            assert!(AbsPath::new(bad).is_err(), "{bad:?} was accepted");
        }
        assert!(AbsPath::new(&format!("/{}", "a".repeat(256))).is_err());
        assert!(AbsPath::new(&"/abcdefg".repeat(512)).is_err());
    }

    #[test]
    fn parents_and_children_are_told_apart_by_component() {
        assert!(path("/usr/bin").is_below(&path("/usr")));
        assert!(path("/usr").is_below(&path("/")));
        assert!(!path("/usrlocal").is_below(&path("/usr")));
        assert!(!path("/usr").is_below(&path("/usr")));
        assert!(!path("/").is_below(&path("/")));
        assert_eq!(path("/usr/bin").parent(), Some(path("/usr")));
        assert_eq!(path("/usr").parent(), Some(path("/")));
        assert_eq!(path("/").parent(), None);
        assert_eq!((path("/").depth(), path("/a/b").depth()), (0, 2));
        assert_eq!((path("/").relative(), path("/a/b").relative()), (".", "a/b"));
    }

    #[test]
    fn a_rebased_path_keeps_its_place() {
        assert_eq!(path("/home/bob/x").rebase(&path("/home/bob"), &path("/srv/h")), Some(path("/srv/h/x")));
        assert_eq!(path("/home/bob").rebase(&path("/home/bob"), &path("/")), Some(path("/")));
        assert_eq!(path("/a/b").rebase(&path("/"), &path("/c")), Some(path("/c/a/b")));
        assert_eq!(path("/a/b").rebase(&path("/a"), &path("/")), Some(path("/b")));
        assert_eq!(path("/ab").rebase(&path("/a"), &path("/")), None);
    }
}
