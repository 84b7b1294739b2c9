//! A chroot as profiles of a map.

use std::collections::BTreeSet;

use super::super::Loss;
use super::SHOWN_MAX;
use super::keys;
use super::read::{Key, Section, list};
use crate::model::name::UserName;
use crate::paper::{Entry, Paper, quoted, shown, shown_up_to, usable, wrapped};

/// The longest part of a profile's name that comes from the chroot's.
const NAME_MAX: usize = 40;
/// As many files of a chroot are bound.
const FILES_MAX: usize = 100;

/// What a section became.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) text: String,
    pub(super) losses: Vec<Loss>,
}

impl Written {
    /// Something that is not in the map, said there in the same place.
    fn lose(&mut self, line: usize, text: &str, reason: &str) {
        let text = shown_up_to(text, SHOWN_MAX);
        if !self.text.is_empty() {
            self.text.push_str("#\n");
        }
        self.text.push_str(&wrapped(&format!("Line {line}: {text}: {reason}.")));
        self.losses.push(Loss { line, text, reason: reason.to_owned() });
    }
}

/// Names of profiles, none of them twice.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeSet<String>);

impl Names {
    fn take(&mut self, chroot: &str) -> String {
        let plain = |letter: char| match letter.to_ascii_lowercase() {
            small @ ('a'..='z' | '0'..='9' | '_' | '.' | '-') => small,
            _ => '-',
        };
        let base: String = "schroot-".chars().chain(chroot.chars().take(NAME_MAX).map(plain)).collect();
        let mut name = base.clone();
        let mut count = 1;
        while !self.0.insert(name.clone()) {
            count += 1;
            name = format!("{base}-{count}");
        }
        name
    }
}

/// A section without a profile.
pub(super) fn left_out(section: &Section, reason: String) -> Written {
    let mut written = Written::default();
    written.lose(section.line, &format!("[{}]", section.name), &reason);
    written
}

/// The profiles of a section.
pub(super) fn write(section: &Section, files: &[(&str, &str)], names: &mut Names) -> Written {
    let value = |name: &str| section.value(name).filter(|value| !value.is_empty());
    let kind = section.value("type").unwrap_or("plain");
    if let Some(reason) = keys::type_problem(kind) {
        return left_out(section, reason);
    }
    let Some(path) = value("directory") else {
        return left_out(section, "the chroot has no `directory`".to_owned());
    };
    let Some(directory) = usable(path) else {
        return left_out(section, format!("a map has no such path: {}", shown(path)));
    };
    if directory.is_root() {
        return left_out(section, "`directory` is the whole host".to_owned());
    }
    let is_plain = kind == "plain";
    let mut written = Written::default();
    let title =
        value("description").map_or_else(String::new, |text| format!(": {}", shown_up_to(text, SHOWN_MAX)));
    written.text = wrapped(&format!("Line {}: [{}]{title}", section.line, shown(&section.name)));
    for key in &section.keys {
        if let Some(reason) = keys::loss(key, is_plain) {
            written.lose(key.line, &format!("{}={}", key.name, key.value), &reason);
        }
    }
    let users = people(section, "users", &mut written);
    let groups = people(section, "groups", &mut written);
    let name = names.take(&section.name);
    let mut text = format!("[[profile]]\nname = {}\n", quoted(&name));
    let by = |who: &str| format!("match = {{ service = [\"session-enter\"], {who} }}\n");
    let mut second = None;
    match (users.as_str(), groups.as_str()) {
        ("", "") => {
            text.push_str(&wrapped("Without users and groups schroot lets root in, and nobody else."));
            text.push_str(&by("user = [\"root\"]"));
        }
        (users, "") => text.push_str(&by(&format!("user = [{users}]"))),
        ("", groups) => text.push_str(&by(&format!("group = [{groups}]"))),
        (users, groups) => {
            text.push_str(&by(&format!("user = [{users}]")));
            // In a `match` all keys must hold; one of the two is enough for schroot.
            second = Some(by(&format!("group = [{groups}]")));
        }
    }
    if let Some(shell) = value("shell") {
        match usable(shell) {
            Some(path) => text.push_str(&format!("shell = {}\n", quoted(path.as_str()))),
            None => {
                written.lose(line_of(section, "shell"), &format!("shell={shell}"), "a map has no such path")
            }
        }
    }
    let mut root = Entry::at("/", "bind").source(&directory).follow();
    let union = value("union-type").filter(|union| *union != "none" && !is_plain);
    if let Some(union) = union {
        let reason = "what a session wrote was thrown away at its end; here nothing in the chroot can be written to, \
            and an entry with kind = \"tmpfs\" makes a place that is empty at first";
        written.lose(line_of(section, "union-type"), &format!("union-type={union}"), reason);
        root = root.options(&["ro"]);
    }
    let mut paper = Paper::default();
    paper.entry(root);
    if !is_plain {
        setup(section, files, &mut paper, &mut written);
    }
    written.text.push_str(&format!("{text}\n{}", paper.text()));
    if let Some(matches) = second {
        let other = names.take(&format!("{}-group", section.name));
        written.text.push_str(&format!(
            "\n{}[[profile]]\nname = {}\nextends = {}\n{matches}",
            wrapped("The same for groups: one of the two is enough."),
            quoted(&other),
            quoted(&name)
        ));
    }
    written
}

fn line_of(section: &Section, name: &str) -> usize {
    section.keys.iter().find(|key| key.name == name).map_or(section.line, |key| key.line)
}

/// The names of a list that a map can say, as it says them.
fn people(section: &Section, name: &str, written: &mut Written) -> String {
    let Some(Key { line, value, .. }) = section.keys.iter().find(|key| key.name == name) else {
        return String::new();
    };
    let mut names = BTreeSet::new();
    for one in list(value) {
        let is_fit = match name {
            "users" => UserName::new(one).is_ok(),
            _ => !one.bytes().all(|byte| byte.is_ascii_digit()) && is_group(one),
        };
        if is_fit {
            names.insert(quoted(one));
        } else {
            let reason = format!("{} is no such name in a map", shown(one));
            written.lose(*line, &format!("{name}={value}"), &reason);
        }
    }
    names.into_iter().collect::<Vec<_>>().join(", ")
}

fn is_group(name: &str) -> bool {
    !name.contains([':', ',', '/', '*', '?', '[']) && !name.chars().any(char::is_control)
}

/// A file that the profile of a chroot brings in.
pub(super) struct SetupFile {
    what: &'static str,
    line: usize,
    /// As it is called, below `/etc/schroot`.
    pub(super) name: String,
}

/// The files that the profile of a chroot brings in. (A plain one has none.)
pub(super) fn setup_files(section: &Section) -> Vec<SetupFile> {
    let profile = section.value("profile").filter(|profile| !profile.is_empty()).unwrap_or("default");
    let file = |what| {
        let key = format!("setup.{what}");
        match section.value(&key) {
            // An empty value turns it off.
            Some("") => None,
            Some(name) => Some(SetupFile { what, line: line_of(section, &key), name: name.to_owned() }),
            None => {
                Some(SetupFile { what, line: line_of(section, "profile"), name: format!("{profile}/{what}") })
            }
        }
    };
    ["fstab", "copyfiles", "nssdatabases"].into_iter().filter_map(file).collect()
}

fn setup(section: &Section, files: &[(&str, &str)], paper: &mut Paper, written: &mut Written) {
    for SetupFile { what, line, name: file } in setup_files(section) {
        let said = format!("setup.{what}={file}");
        match files.iter().find(|(name, _)| *name == file) {
            Some((_, text)) if what != "fstab" => write_files(what, &file, text, paper, written),
            _ if what == "fstab" => {
                let reason = format!(
                    "what schroot mounts by {} is not here: the importer for fstab writes entries for it, which \
                     belong into this profile",
                    shown_up_to(&file, SHOWN_MAX)
                );
                written.lose(line, &said, &reason);
            }
            _ => {
                let reason = match what {
                    "copyfiles" => {
                        "the files of this list, which schroot copies from the host, are not here: each is a bind, \
                         read-only"
                    }
                    _ => {
                        "the host's names of users and groups are not here: passwd, group and what else the list \
                         names are binds of /etc, read-only"
                    }
                };
                written.lose(line, &said, reason);
            }
        }
    }
}

/// The files of a list.
fn write_files(what: &str, file: &str, text: &str, paper: &mut Paper, written: &mut Written) {
    let file = shown(file);
    if what == "nssdatabases" {
        paper.comment(format!(
            "By {file}. schroot asked the host's databases once; these are its files, and do not hold what a \
             directory service knows of."
        ));
    } else {
        paper.comment(format!(
            "By {file}. schroot copied them when a session began; these are the host's own, also when they change."
        ));
    }
    let mut count = 0;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let is_database = what == "nssdatabases";
        let path = match is_database {
            true if line.contains('/') => None,
            true => usable(&format!("/etc/{line}")),
            false => usable(line),
        };
        let path = path.filter(|path| !path.is_root());
        count += 1;
        match path {
            Some(path) if count <= FILES_MAX => paper.entry(Entry::bind(path).follow().options(&["ro"])),
            found => {
                let why = match found {
                    Some(_) => format!("more than {FILES_MAX} files"),
                    None if is_database => "no database".to_owned(),
                    None => "no whole path".to_owned(),
                };
                let reason = format!("left out: {why}");
                let said = shown_up_to(line, SHOWN_MAX);
                paper.comment(format!("{file}, line {}: {said}: {reason}.", at + 1));
                written.losses.push(Loss { line: at + 1, text: format!("{file}: {said}"), reason });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_have_names_of_their_own() {
        let mut names = Names::default();
        assert_eq!(names.take("sid"), "schroot-sid");
        assert_eq!(names.take("Sid"), "schroot-sid-2");
        assert_eq!(names.take("a\u{e4}(b)"), "schroot-a--b-");
        assert!(names.take(&"x".repeat(300)).len() <= 64);
    }
}
