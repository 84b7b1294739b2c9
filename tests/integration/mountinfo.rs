//! What a mount table must be when a plan has been carried out: worked out from the plan and the host's table alone,
//! by the rules of `mount(2)`, not by the code that is tested.

use std::collections::BTreeSet;
use std::fmt;

use session_sandbox::model::facts::Look;
use session_sandbox::model::path::AbsPath;
use session_sandbox::model::policy::{Attributes, Propagation};
use session_sandbox::plan::Plan;
use session_sandbox::plan::step::Mount;

/// A mount, as the kernel shows it or as it is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The kernel's number; of no meaning in what is expected.
    pub id: usize,
    /// The number of the mount that it is mounted on.
    pub parent: usize,
    /// The device of its file system; nothing where any will do.
    pub device: Option<String>,
    /// What of the file system is shown; nothing where any part will do.
    pub root: Option<String>,
    /// Where.
    pub at: AbsPath,
    /// `rw`, `nosuid`, `relatime`, ...
    pub options: BTreeSet<String>,
    /// How it takes part in mount events.
    pub events: Events,
    /// The file system's type.
    pub kind: String,
}

/// How a mount takes part in mount events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// What is mounted below it appears elsewhere.
    pub sends: bool,
    /// What is mounted elsewhere appears below it.
    pub receives: bool,
    /// It must not be bound.
    pub unbindable: bool,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options: Vec<_> = self.options.iter().map(String::as_str).collect();
        let (device, root) = (self.device.as_deref().unwrap_or("*"), self.root.as_deref().unwrap_or("*"));
        write!(f, "{:?} {} {device} {root:?} {}", self.at, self.kind, options.join(","))?;
        for (on, word) in [
            (self.events.sends, " shared"),
            (self.events.receives, " master"),
            (self.events.unbindable, " unbindable"),
        ] {
            if on {
                f.write_str(word)?;
            }
        }
        Ok(())
    }
}

/// Reads the text of `/proc/PID/mountinfo`.
pub fn parse(text: &str) -> Result<Vec<Entry>, String> {
    text.lines()
        .map(|line| parse_line(line).ok_or_else(|| format!("not a line of mountinfo: {line:?}")))
        .collect()
}

fn parse_line(line: &str) -> Option<Entry> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let fields: Vec<&str> = mount.split(' ').collect();
    let has = |word: &str| fields[6..].iter().any(|field| field.starts_with(word));
    Some(Entry {
        id: fields.first()?.parse().ok()?,
        parent: fields.get(1)?.parse().ok()?,
        device: Some((*fields.get(2)?).to_owned()),
        root: Some(unescape(fields.get(3)?)),
        at: AbsPath::new(&unescape(fields.get(4)?)).ok()?,
        options: fields.get(5)?.split(',').map(str::to_owned).collect(),
        events: Events { sends: has("shared:"), receives: has("master:"), unbindable: has("unbindable") },
        kind: filesystem.split(' ').next()?.to_owned(),
    })
}

/// The kernel writes a space, a tab, a newline and a backslash as three octal digits behind a backslash.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code =
            after.get(..3).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match (first, code) {
            (b'\\', Some(code)) => {
                bytes.push(code);
                rest = &after[3..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The place of the mount that a lookup of `path` ends in, as seen from the mount at place `root` of `table`.
pub fn mount_of(table: &[Entry], root: usize, path: &AbsPath) -> usize {
    let mut now = root;
    let mut here = AbsPath::root();
    for name in path.components() {
        here = here.join(name).expect("a path from a path's components");
        while let Some(next) =
            table.iter().position(|entry| entry.parent == table[now].id && entry.at == here)
        {
            now = next;
        }
    }
    now
}

/// The mounts that `plan` must lead to when the host's table is `host`. The first one is the root.
pub fn expected(plan: &Plan, host: &[Entry]) -> Vec<Entry> {
    let ids: BTreeSet<usize> = host.iter().map(|entry| entry.id).collect();
    let host_root = host.iter().position(|entry| entry.at.is_root() && !ids.contains(&entry.parent));
    let host_root = host_root.expect("the host has a root");
    let mut table: Vec<Entry> = Vec::new();
    for (step, what, attributes) in plan.mounts() {
        let mut tree = match what {
            Mount::Terminal => continue,
            Mount::Bind { source, recursive, propagation, look } => {
                let source = if matches!(look, Look::Root | Look::User) { source } else { &followed(source) };
                bound(host, host_root, source, *recursive, *propagation, attributes)
            }
            other => vec![new(other, attributes)],
        };
        let parent = if table.is_empty() { 0 } else { table[mount_of(&table, 0, &step.target)].id };
        let first = table.len() + 1;
        for entry in &mut tree {
            entry.at = entry.at.rebase(&AbsPath::root(), &step.target).expect("everything is below the root");
            entry.parent = if entry.id == 0 { parent } else { entry.parent + first };
            entry.id += first;
        }
        table.append(&mut tree);
    }
    table
}

/// What a path of the host leads to.
fn followed(path: &AbsPath) -> AbsPath {
    let real = std::fs::canonicalize(path.as_str()).expect("the planner found it");
    AbsPath::new(&real.to_string_lossy()).expect("a path")
}

/// A file system that was not there before.
fn new(what: &Mount, attributes: Attributes) -> Entry {
    let (kind, root) = match what {
        Mount::Tmpfs { .. } => ("tmpfs", Some("/".to_owned())),
        Mount::Content { .. } => ("tmpfs", None),
        other => (other.word(), Some("/".to_owned())),
    };
    let options = with_attributes(&BTreeSet::from(["rw".to_owned(), "relatime".to_owned()]), attributes);
    Entry {
        id: 0,
        parent: 0,
        device: None,
        root,
        at: AbsPath::root(),
        options,
        events: Events::default(),
        kind: kind.to_owned(),
    }
}

/// A copy of a part of the host's tree, as if it were mounted at `/`; numbers count from 0 in it.
fn bound(
    host: &[Entry],
    host_root: usize,
    source: &AbsPath,
    recursive: bool,
    propagation: Propagation,
    attributes: Attributes,
) -> Vec<Entry> {
    let top = mount_of(host, host_root, source);
    let mut copies: Vec<(usize, usize)> = vec![(top, 0)];
    let mut next = 0;
    while let (Some(&(original, _)), true) = (copies.get(next), recursive) {
        for (at, entry) in host.iter().enumerate() {
            let inside = next > 0 || entry.at.is_below(source);
            if entry.parent == host[original].id && at != original && inside && !entry.events.unbindable {
                copies.push((at, next));
            }
        }
        next += 1;
    }
    let copy = |(id, &(original, parent)): (usize, &(usize, usize))| {
        let original = &host[original];
        let (at, root) = if id == 0 {
            let shown =
                AbsPath::new(original.root.as_deref().unwrap_or("/")).expect("a part of a file system");
            (AbsPath::root(), source.rebase(&original.at, &shown).map(|path| path.to_string()))
        } else {
            (original.at.rebase(source, &AbsPath::root()).expect("it is below"), original.root.clone())
        };
        let listens = original.events.sends || original.events.receives;
        let receives = propagation == Propagation::Slave && listens;
        Entry {
            id,
            parent,
            root,
            at,
            options: with_attributes(&original.options, attributes),
            events: Events { receives, ..Events::default() },
            ..original.clone()
        }
    };
    copies.iter().enumerate().map(copy).collect()
}

fn with_attributes(options: &BTreeSet<String>, attributes: Attributes) -> BTreeSet<String> {
    let mut options = options.clone();
    for (on, word, instead_of) in [
        (attributes.read_only, "ro", "rw"),
        (attributes.noatime, "noatime", "relatime"),
        (attributes.nosuid, "nosuid", ""),
        (attributes.nodev, "nodev", ""),
        (attributes.noexec, "noexec", ""),
        (attributes.nosymfollow, "nosymfollow", ""),
    ] {
        if on {
            options.remove(instead_of);
            options.insert(word.to_owned());
        }
    }
    options
}

/// Every difference between two tables, one line each.
pub fn differences(expected: &[Entry], found: &[Entry]) -> Vec<String> {
    let mut left: Vec<&Entry> = found.iter().collect();
    let mut lines = Vec::new();
    for entry in expected {
        let above = expected.iter().find(|other| other.id == entry.parent);
        let fits = |other: &&Entry| {
            let other_above = found.iter().find(|candidate| candidate.id == other.parent);
            let same_above = match (above, other_above) {
                (None, None) => true,
                (Some(one), Some(other)) => is_same(one, other),
                _ => false,
            };
            same_above && is_same(entry, other)
        };
        match left.iter().position(fits) {
            Some(at) => drop(left.swap_remove(at)),
            None => lines.push(format!(
                "missing: {entry}, on {}",
                above.map_or_else(String::new, ToString::to_string)
            )),
        }
    }
    lines.extend(left.iter().map(|entry| {
        let above = found.iter().find(|other| other.id == entry.parent);
        format!("  found: {entry}, on {}", above.map_or_else(String::new, ToString::to_string))
    }));
    lines
}

fn is_same(expected: &Entry, found: &Entry) -> bool {
    let any_or = |expected: &Option<String>, found: &Option<String>| expected.is_none() || expected == found;
    any_or(&expected.device, &found.device)
        && any_or(&expected.root, &found.root)
        && (&expected.at, &expected.kind, &expected.options, expected.events)
            == (&found.at, &found.kind, &found.options, found.events)
}
