//! `schroot.conf` to values: sections, keys, and what schroot would refuse.

use std::collections::BTreeSet;

/// A `[name]` and its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// What stands in the brackets.
    pub name: String,
    /// Counted from 1.
    pub line: usize,
    /// In their order.
    pub keys: Vec<Key>,
}

/// `key=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Counted from 1.
    pub line: usize,
    /// What stands before the first `=`.
    pub name: String,
    /// What stands behind it.
    pub value: String,
}

/// A line for which schroot refuses the whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Counted from 1.
    pub line: usize,
    /// As it was written.
    pub text: String,
    /// What is wrong with it.
    pub mistake: Mistake,
}

/// What can be wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// Brackets that are not one pair around a name.
    #[error("a section is a name in one pair of brackets")]
    Brackets,
    /// A second section of one name.
    #[error("there is a section of this name already")]
    SecondSection,
    /// A name that schroot does not take.
    #[error("a chroot's name has letters, digits and `_ - .` in it")]
    Name,
    /// Neither section nor key.
    #[error("the line has no `key=`")]
    NoKey,
    /// A key before the first section.
    #[error("the key stands in no section")]
    NoSection,
    /// A second value.
    #[error("the section has this key already")]
    SecondKey,
}

impl Section {
    /// The value of a key, if there is one.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.keys.iter().find(|key| key.name == name).map(|key| key.value.as_str())
    }
}

/// Reads a file as schroot 1.6 does: space counts, around `=` and at the end of a value as well, and `#` begins a comment
/// at the very beginning of a line alone.
pub fn read(text: &str) -> (Vec<Section>, Vec<Fault>) {
    let mut sections: Vec<Section> = Vec::new();
    let mut faults = Vec::new();
    let (mut names, mut keys) = (BTreeSet::new(), BTreeSet::new());
    // The keys of a section that is none belong to nobody; one complaint is enough.
    let mut is_lost = false;
    for (at, line) in
        text.split('\n').enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
    {
        let number = at + 1;
        let mut fault = |mistake| faults.push(Fault { line: number, text: line.to_owned(), mistake });
        if let Some(rest) = line.strip_prefix('[') {
            keys.clear();
            is_lost = true;
            // What stands behind the bracket does not count.
            let name = rest.split_once(']').filter(|(name, rest)| !name.is_empty() && !rest.contains(']'));
            match name.map(|(name, _)| name) {
                None => fault(Mistake::Brackets),
                Some(name) if !is_name(name) => fault(Mistake::Name),
                Some(name) if !names.insert(name) => fault(Mistake::SecondSection),
                Some(name) => {
                    is_lost = false;
                    sections.push(Section { name: name.to_owned(), line: number, keys: Vec::new() });
                }
            }
            continue;
        }
        let Some((name, value)) = line.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            fault(Mistake::NoKey);
            continue;
        };
        match sections.last_mut() {
            _ if is_lost => {}
            None => fault(Mistake::NoSection),
            Some(_) if !keys.insert(name) => fault(Mistake::SecondKey),
            Some(section) => {
                let (name, value) = (name.to_owned(), value.to_owned());
                section.keys.push(Key { line: number, name, value });
            }
        }
    }
    (sections, faults)
}

/// Letters, digits and a few marks, and nothing that a packager leaves behind.
fn is_name(name: &str) -> bool {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
    let is_left = [".dpkg-old", ".dpkg-dist", ".dpkg-new", ".dpkg-tmp"].iter().any(|end| name.ends_with(end));
    name.starts_with(|first: char| first.is_ascii_alphanumeric()) && name.chars().all(is_plain) && !is_left
}

/// A list with commas or spaces, without what is empty.
pub(super) fn list(value: &str) -> Vec<&str> {
    value.split([',', ' ']).filter(|item| !item.is_empty()).collect()
}

/// A word that says yes or no.
pub(super) fn is_true(value: &str) -> bool {
    ["true", "yes", "1"].contains(&value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_have_keys_and_space_counts() {
        let (sections, faults) = read(
            "# all\n[sid] # the newest\ntype=directory\ndirectory=/srv/x#y \n\n[stable]\r\nusers=\nshell==a\n x = y\n",
        );
        assert_eq!(faults, []);
        let of = |section: &Section| {
            let keys = section.keys.iter().map(|key| format!("{} {}={}", key.line, key.name, key.value));
            (section.name.clone(), section.line, keys.collect::<Vec<_>>())
        };
        let expected = [
            ("sid".to_owned(), 2, vec!["3 type=directory".to_owned(), "4 directory=/srv/x#y ".to_owned()]),
            ("stable".to_owned(), 6, ["7 users=", "8 shell==a", "9  x = y"].map(str::to_owned).to_vec()),
        ];
        assert_eq!(sections.iter().map(of).collect::<Vec<_>>(), expected);
        assert!(["A", "1a", "a_b", "a.", "a.bak", "a.dpkg-x"].into_iter().all(is_name));
        assert_eq!(list("bob, alice ,,carol,"), ["bob", "alice", "carol"]);
        assert_eq!(list("b\tc"), ["b\tc"]);
    }

    // What schroot 1.6.13 says to each of them.
    #[test]
    fn what_schroot_refuses_is_said() {
        for (text, line, mistake) in [
            ("type=plain", 1, Mistake::NoSection),
            ("[a]\nword", 2, Mistake::NoKey),
            ("[a]\n   ", 2, Mistake::NoKey),
            ("[a]\n\t# y", 2, Mistake::NoKey),
            (" [a]\n", 1, Mistake::NoKey),
            ("[a]\n=x", 2, Mistake::NoKey),
            ("[a]\nx=1\nx=2", 3, Mistake::SecondKey),
            ("[a]\n[b]\n[a]\nx=1", 3, Mistake::SecondSection),
            ("[a", 1, Mistake::Brackets),
            ("[]\nx=1", 1, Mistake::Brackets),
            ("[[a]]", 1, Mistake::Brackets),
            ("[a] x]", 1, Mistake::Brackets),
            ("[[a]", 1, Mistake::Name),
            ("[.a]", 1, Mistake::Name),
            ("[a/b]", 1, Mistake::Name),
            ("[a b]", 1, Mistake::Name),
            ("[a,b]", 1, Mistake::Name),
            ("[a:b]", 1, Mistake::Name),
            ("[\u{e4}]", 1, Mistake::Name),
            ("[a;b*]", 1, Mistake::Name),
            ("[a.dpkg-old]", 1, Mistake::Name),
            ("[_a]", 1, Mistake::Name),
            ("[a~]", 1, Mistake::Name),
        ] {
            let (_, faults) = read(text);
            let found: Vec<_> = faults.iter().map(|fault| (fault.line, fault.mistake)).collect();
            assert_eq!(found, [(line, mistake)], "{text:?}");
        }
    }
}
