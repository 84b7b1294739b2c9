//! A mount table, whoever has told it: the kernel's `statmount`, or the text of `/proc/PID/mountinfo`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::policy::Attributes;

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountEntry {
    /// Its number in this table.
    pub id: u64,
    /// The number of the mount that it is mounted on.
    pub parent: u64,
    /// The device of its file system: major and minor number.
    pub device: (u32, u32),
    /// What of the file system is shown. `//deleted` at its end says that this is no more.
    pub root: String,
    /// Where. Not every mount point is a path that a map could name.
    pub point: String,
    /// The file system's type.
    pub kind: String,
    /// What the file system is made of: a device, a server's path. Empty where the kernel does not tell.
    pub source: String,
    /// The restrictions of this mount.
    pub attributes: Attributes,
    /// Is the file system itself read-only, whatever this mount says?
    pub read_only_filesystem: bool,
    /// How it takes part in mount events.
    pub events: Events,
    /// The file system's own options, as the kernel shows them. Empty where it does not tell.
    pub options: String,
}

impl MountEntry {
    /// The restrictions that hold there: those of the mount, and that of its file system.
    pub fn effective(&self) -> Attributes {
        Attributes { read_only: self.attributes.read_only || self.read_only_filesystem, ..self.attributes }
    }
}

/// How a mount takes part in mount events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// What is mounted below it appears elsewhere.
    pub sends: bool,
    /// What is mounted elsewhere appears below it.
    pub receives: bool,
    /// It must not be bound.
    pub unbindable: bool,
}

/// All mounts of a namespace that can be seen from one root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountTable {
    /// In the order in which the kernel tells them.
    pub mounts: Vec<MountEntry>,
}

impl MountTable {
    /// Reads the text of `/proc/PID/mountinfo`. The error is the line that is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mounts = text.lines().map(|line| parse_line(line).ok_or_else(|| line.to_owned()));
        mounts.collect::<Result<_, _>>().map(|mounts| Self { mounts })
    }

    /// The mount with this number.
    pub fn get(&self, id: u64) -> Option<&MountEntry> {
        self.mounts.iter().find(|mount| mount.id == id)
    }

    /// For each mount the places, in the table, of those that are mounted on it.
    pub fn children(&self) -> BTreeMap<u64, Vec<usize>> {
        let mut children: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (at, mount) in self.mounts.iter().enumerate().filter(|(_, mount)| mount.id != mount.parent) {
            children.entry(mount.parent).or_default().push(at);
        }
        children
    }
}

fn parse_line(line: &str) -> Option<MountEntry> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let fields: Vec<&str> = mount.split(' ').collect();
    let [id, parent, device, root, point, options, tags @ ..] = fields.as_slice() else { return None };
    let (major, minor) = device.split_once(':')?;
    let mut behind = filesystem.splitn(3, ' ');
    let (kind, source, superblock) = (behind.next()?, behind.next()?, behind.next().unwrap_or_default());
    let has = |word: &str| tags.iter().any(|tag| tag.starts_with(word));
    Some(MountEntry {
        id: id.parse().ok()?,
        parent: parent.parse().ok()?,
        device: (major.parse().ok()?, minor.parse().ok()?),
        root: unescape(root),
        point: unescape(point),
        kind: unescape(kind),
        source: unescape(source),
        attributes: attributes(options),
        read_only_filesystem: superblock.split(',').any(|word| word == "ro"),
        events: Events { sends: has("shared:"), receives: has("master:"), unbindable: has("unbindable") },
        options: unescape(superblock),
    })
}

fn attributes(options: &str) -> Attributes {
    let has = |word: &str| options.split(',').any(|option| option == word);
    Attributes {
        read_only: has("ro"),
        nosuid: has("nosuid"),
        nodev: has("nodev"),
        noexec: has("noexec"),
        noatime: has("noatime"),
        nosymfollow: has("nosymfollow"),
    }
}

/// The kernel's tables and fstab(5) write what would end a field (a space, a tab, a line's end), and a backslash, as three
/// octal digits behind a backslash. What is not UTF-8 then becomes the character for that.
pub(crate) fn unescape(text: &str) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|digits| digits.iter().all(|digit| matches!(digit, b'0'..=b'7')));
        let code = digits
            .filter(|_| *first == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernels_is_taken_apart() {
        let text = "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime,nosuid shared:7 master:1 - ext3 /dev/root ro,errors=continue\n\
                    41 36 0:44 / /mnt\\0402/x ro,nodev,noexec,nosymfollow - fuse.sshfs a\\040b rw,user_id=0\n";
        let table = MountTable::parse(text).unwrap();
        let [first, second] = table.mounts.as_slice() else { panic!("{table:?}") };
        assert_eq!((first.id, first.parent, first.device), (36, 35, (98, 0)));
        assert_eq!((first.root.as_str(), first.point.as_str()), ("/mnt1", "/mnt 2"));
        assert!(first.attributes.noatime && first.attributes.nosuid && !first.attributes.read_only);
        assert!(first.read_only_filesystem && first.events.sends && first.events.receives);
        assert_eq!((second.kind.as_str(), second.source.as_str()), ("fuse.sshfs", "a b"));
        assert!(second.attributes.nosymfollow && second.attributes.noexec && !second.read_only_filesystem);
        assert_eq!(table.children()[&36], [1]);
    }

    #[test]
    fn what_would_end_a_field_is_read_back_once() {
        for (written, is) in [
            ("/a", "/a"),
            ("/a\\040b\\011", "/a b\t"),
            ("\\134040", "\\040"),
            ("\\+12\\9\\04", "\\+12\\9\\04"),
            ("\\303\\244\\377", "\u{e4}\u{fffd}"),
        ] {
            assert_eq!(unescape(written), is);
        }
    }

    #[test]
    fn what_is_no_line_is_named() {
        assert_eq!(MountTable::parse("1 2 0:1 / /\n"), Err("1 2 0:1 / /".to_owned()));
        assert!(MountTable::parse("").unwrap().mounts.is_empty());
    }
}
