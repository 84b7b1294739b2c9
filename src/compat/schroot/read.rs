//! `schroot.conf` to values: sections, keys, and what schroot would refuse.

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
    /// Without the space around it.
    pub name: String,
    /// The same.
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
    #[error("a section is a name in one pair of brackets, alone on its line")]
    Brackets,
    /// A second section of one name.
    #[error("there is a section of this name already")]
    SecondSection,
    /// A name that schroot does not take.
    #[error("a chroot's name does not begin with a dot and has no slash, colon, comma or space in it")]
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

/// Reads a file.
pub fn read(text: &str) -> (Vec<Section>, Vec<Fault>) {
    let mut sections: Vec<Section> = Vec::new();
    let mut faults = Vec::new();
    let mut names = std::collections::BTreeSet::new();
    let mut keys = std::collections::BTreeSet::new();
    // The keys of a section that is none belong to nobody; one complaint is enough.
    let mut is_lost = false;
    for (at, text) in text.lines().enumerate() {
        let number = at + 1;
        let mut fault = |mistake| faults.push(Fault { line: number, text: text.trim().to_owned(), mistake });
        let line = text.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        if let Some(rest) = line.strip_prefix('[') {
            keys.clear();
            is_lost = true;
            let name = rest.strip_suffix(']').filter(|name| !name.is_empty() && !name.contains(['[', ']']));
            match name {
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
        let Some((name, value)) = line.split_once('=').filter(|(name, _)| !name.trim().is_empty()) else {
            fault(Mistake::NoKey);
            continue;
        };
        let (name, value) = (name.trim(), value.trim());
        match sections.last_mut() {
            _ if is_lost => {}
            None => fault(Mistake::NoSection),
            Some(_) if !keys.insert(name) => fault(Mistake::SecondKey),
            Some(section) => {
                section.keys.push(Key { line: number, name: name.to_owned(), value: value.to_owned() })
            }
        }
    }
    (sections, faults)
}

fn is_name(name: &str) -> bool {
    !name.starts_with('.') && !name.contains(['/', ':', ',', ' ', '\t'])
}

/// A list with commas, without what is empty.
pub(super) fn list(value: &str) -> Vec<&str> {
    value.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()
}

/// A word that says yes or no.
pub(super) fn is_true(value: &str) -> bool {
    ["true", "yes", "1"].contains(&value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_have_keys_and_comments_end_lines() {
        let (sections, faults) = read(
            "# all\n[sid] # the newest\ntype = directory\ndirectory=/srv/chroot/sid#x\n\n[stable]\r\nusers=\nshell==a\n",
        );
        assert_eq!(faults, []);
        let of = |section: &Section| {
            let keys = section.keys.iter().map(|key| format!("{} {}={}", key.line, key.name, key.value));
            (section.name.clone(), section.line, keys.collect::<Vec<_>>())
        };
        let expected = [
            (
                "sid".to_owned(),
                2,
                vec!["3 type=directory".to_owned(), "4 directory=/srv/chroot/sid".to_owned()],
            ),
            ("stable".to_owned(), 6, vec!["7 users=".to_owned(), "8 shell==a".to_owned()]),
        ];
        assert_eq!(sections.iter().map(of).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_schroot_refuses_is_said() {
        for (text, line, mistake) in [
            ("type=plain", 1, Mistake::NoSection),
            ("[a]\nword", 2, Mistake::NoKey),
            ("[a]\n=x", 2, Mistake::NoKey),
            ("[a]\nx=1\nx=2", 3, Mistake::SecondKey),
            ("[a]\n[b]\n[a]\nx=1", 3, Mistake::SecondSection),
            ("[a", 1, Mistake::Brackets),
            ("[]\nx=1", 1, Mistake::Brackets),
            ("[a]b", 1, Mistake::Brackets),
            ("[[a]]", 1, Mistake::Brackets),
            ("[.a]", 1, Mistake::Name),
            ("[a/b]", 1, Mistake::Name),
            ("[a b]", 1, Mistake::Name),
        ] {
            let (_, faults) = read(text);
            let found: Vec<_> = faults.iter().map(|fault| (fault.line, fault.mistake)).collect();
            assert_eq!(found, [(line, mistake)], "{text:?}");
        }
    }
}
