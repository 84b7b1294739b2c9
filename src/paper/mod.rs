//! What a map is written with: entries, comments, and both without a surprise from the host's names.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use crate::model::path::AbsPath;

/// The longest line of a comment.
const WIDTH: usize = 80;
/// Longer words of the host's are cut in comments.
const SHOWN_MAX: usize = 60;
/// Longer paths get no entry: nobody could read the map.
pub(crate) const PATH_MAX: usize = 255;
/// As many names stand in one comment.
const NAMES_MAX: usize = 8;

/// Where an entry's thing appears inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A path of the host's, as it is.
    Path(AbsPath),
    /// With variables.
    Template(&'static str),
}

/// One `[[profile.mount]]`.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Where it appears; a `system` entry has paths instead.
    pub(crate) target: Option<Target>,
    /// What it is, as the map calls it.
    pub(crate) kind: &'static str,
    /// Of a `system` entry, and which of them are links.
    pub(crate) paths: Vec<(AbsPath, bool)>,
    /// Keys behind the target, with their values as they are written.
    keys: Vec<(&'static str, String)>,
    /// What stands above it.
    pub(crate) why: Vec<String>,
    /// An example, which somebody may take the `#` from.
    pub(crate) is_example: bool,
    /// The map makes sense without it.
    pub(crate) is_optional: bool,
}

impl Entry {
    /// A bind of `path` where it is.
    pub(crate) fn bind(path: AbsPath) -> Self {
        Self::new("bind", Some(Target::Path(path)))
    }

    /// Something else than a bind at one of our own places.
    pub(crate) fn at(target: &'static str, kind: &'static str) -> Self {
        let target = match AbsPath::new(target) {
            Ok(path) if !target.contains('%') => Target::Path(path),
            _ => Target::Template(target),
        };
        Self::new(kind, Some(target))
    }

    /// Of these paths, what the host has.
    pub(crate) fn system(paths: Vec<(AbsPath, bool)>) -> Self {
        Self { paths, ..Self::new("system", None) }
    }

    /// A link.
    pub(crate) fn link(at: AbsPath, to: &str) -> Self {
        Self::new("symlink", Some(Target::Path(at))).key("to", quoted(&doubled(to)))
    }

    fn new(kind: &'static str, target: Option<Target>) -> Self {
        Self {
            target,
            kind,
            paths: Vec::new(),
            keys: Vec::new(),
            why: Vec::new(),
            is_example: false,
            is_optional: false,
        }
    }

    /// A paragraph above it.
    pub(crate) fn why(mut self, text: impl Into<String>) -> Self {
        self.why.push(text.into());
        self
    }

    /// A key, and its value as it is written.
    pub(crate) fn key(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.keys.push((key, value.into()));
        self
    }

    /// A key, and a text.
    pub(crate) fn text(self, key: &'static str, value: &str) -> Self {
        self.key(key, quoted(value))
    }

    /// Another source than the target.
    pub(crate) fn source(self, path: &AbsPath) -> Self {
        self.key("source", quoted(&doubled(path.as_str())))
    }

    /// Opened with the user's rights.
    pub(crate) fn open_as_user(self) -> Self {
        self.text("open_as", "user")
    }

    /// Links on the way are followed.
    pub(crate) fn follow(self) -> Self {
        self.key("follow_symlinks", "true")
    }

    /// The same, if it is so.
    pub(crate) fn follow_if(self, is_linked: bool) -> Self {
        if is_linked { self.follow() } else { self }
    }

    /// Mounts that come later are seen.
    pub(crate) fn slave(self) -> Self {
        self.text("propagation", "slave")
    }

    /// Mount options.
    pub(crate) fn options(self, words: &[&str]) -> Self {
        let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        self.key("options", format!("[{}]", words.join(", ")))
    }

    /// Left out where it is missing.
    pub(crate) fn optional(mut self) -> Self {
        self.is_optional = true;
        self
    }

    /// Not in use until somebody takes the `#` away.
    pub(crate) fn example(mut self) -> Self {
        self.is_example = true;
        self
    }

    /// The path of the target, unless there are variables in it.
    pub(crate) fn path(&self) -> Option<&AbsPath> {
        match &self.target {
            Some(Target::Path(path)) => Some(path),
            _ => None,
        }
    }

    /// Does the host's own tree go on below it?
    pub(crate) fn is_bind(&self) -> bool {
        self.kind == "bind"
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec!["[[profile.mount]]".to_owned()];
        match &self.target {
            Some(Target::Path(path)) => {
                lines.push(format!("target = {}", quoted(&doubled(path.as_str()))));
            }
            Some(Target::Template(text)) => lines.push(format!("target = {}", quoted(text))),
            None => {}
        }
        if !self.is_bind() {
            lines.push(format!("kind = {}", quoted(self.kind)));
        }
        if !self.paths.is_empty() {
            let paths: Vec<String> = self.paths.iter().map(|(path, _)| quoted(path.as_str())).collect();
            lines.push(format!("paths = [{}]", paths.join(", ")));
        }
        lines.extend(self.keys.iter().map(|(key, value)| format!("{key} = {value}")));
        if self.is_optional {
            lines.push("optional = true".to_owned());
        }
        lines
    }
}

/// A part of the map.
#[derive(Clone, Debug)]
enum Piece {
    Entry(Entry),
    Heading(&'static str),
    Comment(String),
    /// As they stand: keys of our own.
    Lines(String),
}

/// The map, while it is written.
#[derive(Debug, Default)]
pub(crate) struct Paper {
    pieces: Vec<Piece>,
    taken: BTreeSet<String>,
}

impl Paper {
    /// An entry, unless there is one in its place already.
    pub(crate) fn entry(&mut self, entry: Entry) {
        let places: Vec<String> = match &entry.target {
            Some(Target::Path(path)) => vec![path.to_string()],
            Some(Target::Template(text)) => vec![(*text).to_owned()],
            None => entry.paths.iter().map(|(path, _)| path.to_string()).collect(),
        };
        if places.iter().all(|place| !self.taken.contains(place)) {
            self.taken.extend(places);
            self.pieces.push(Piece::Entry(entry));
        }
    }

    /// What begins here.
    pub(crate) fn heading(&mut self, text: &'static str) {
        self.pieces.push(Piece::Heading(text));
    }

    /// A paragraph.
    pub(crate) fn comment(&mut self, text: impl Into<String>) {
        self.pieces.push(Piece::Comment(text.into()));
    }

    /// Keys and tables of our own.
    pub(crate) fn lines(&mut self, text: impl Into<String>) {
        self.pieces.push(Piece::Lines(text.into()));
    }

    /// The entries that are in use.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Entry> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Entry(entry) if !entry.is_example => Some(entry),
            _ => None,
        })
    }

    /// Is there anything at this path already, in use or as an example?
    pub(crate) fn has(&self, path: &AbsPath) -> bool {
        self.taken.contains(path.as_str())
    }

    /// Would a program inside see the host's `path`?
    pub(crate) fn shows(&self, path: &AbsPath) -> bool {
        self.live().any(|entry| {
            let is_around = |at: &AbsPath| at == path || path.is_below(at);
            let kernels = ["proc", "sysfs"].contains(&entry.kind);
            (entry.is_bind() || kernels) && entry.path().is_some_and(|at| !at.is_root() && is_around(at))
                || entry.paths.iter().any(|(at, _)| is_around(at))
        })
    }

    /// Can there be an entry at `path`, or does a link or something closed stand above it?
    pub(crate) fn can_take(&self, path: &AbsPath) -> bool {
        self.live().all(|entry| {
            let closed = ["symlink", "dev", "devpts", "mqueue", "proc", "sysfs"].contains(&entry.kind);
            let behind_link = entry.paths.iter().any(|(at, is_link)| *is_link && path.is_below(at));
            !(behind_link || closed && entry.path().is_some_and(|at| path.is_below(at)))
        })
    }

    /// Takes the entry at `path` out, and says so in its place.
    pub(crate) fn take_out(&mut self, path: &AbsPath, why: String) {
        for piece in &mut self.pieces {
            if let Piece::Entry(entry) = piece
                && !entry.is_example
                && entry.path() == Some(path)
            {
                *piece = Piece::Comment(why);
                return;
            }
        }
    }

    /// The text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            if !text.is_empty() {
                text.push('\n');
            }
            match piece {
                Piece::Heading(heading) => {
                    text.push_str(&format!(
                        "\n# ---- {heading} {}\n",
                        "-".repeat(72 - heading.len().min(70))
                    ));
                }
                Piece::Comment(comment) => text.push_str(&wrapped(comment)),
                Piece::Lines(lines) => text.push_str(lines),
                Piece::Entry(entry) => {
                    for (at, paragraph) in entry.why.iter().enumerate() {
                        text.push_str(if at > 0 { "#\n" } else { "" });
                        text.push_str(&wrapped(paragraph));
                    }
                    let mark = if entry.is_example { "#" } else { "" };
                    entry.lines().iter().for_each(|line| text.push_str(&format!("{mark}{line}\n")));
                }
            }
        }
        text
    }
}

/// A text in lines of a comment.
pub(crate) fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    let mut line = String::from("#");
    for word in text.split_ascii_whitespace() {
        let long = line.chars().count() + 1 + word.chars().count() > WIDTH;
        if long && line.len() > 1 {
            lines.push_str(&line);
            lines.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.extend(word.chars().take(WIDTH - 2));
    }
    lines.push_str(&line);
    lines.push('\n');
    lines
}

/// A name or path of the host's for a comment: on one line, without anything that cannot be seen, and not endless.
pub(crate) fn shown(text: &str) -> String {
    shown_up_to(text, SHOWN_MAX)
}

/// The same for a text that may be longer.
pub(crate) fn shown_up_to(text: &str, most: usize) -> String {
    let mut shown = String::new();
    let mut count = 0;
    for character in text.chars() {
        let visible = match character {
            '"' | '\'' | '\\' | ' ' => character.to_string(),
            other => other.escape_debug().collect(),
        };
        count += visible.chars().count();
        if count > most {
            shown.push('…');
            return shown;
        }
        shown.push_str(&visible);
    }
    if shown.is_empty() { "nothing".to_owned() } else { shown }
}

/// Several names for a comment.
pub(crate) fn listed<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    let mut names: Vec<String> = names.into_iter().map(|name| shown(name.as_ref())).collect();
    let more = names.len().saturating_sub(NAMES_MAX);
    names.truncate(NAMES_MAX);
    match (more, names.pop()) {
        (_, None) => String::new(),
        (0, Some(last)) if names.is_empty() => last,
        (0, Some(last)) => format!("{} and {last}", names.join(", ")),
        (more, Some(last)) => format!("{}, {last} and {more} more", names.join(", ")),
    }
}

/// A text as TOML writes it, with nothing in it that cannot be seen.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\'' | ' '..='~' => quoted.push(character),
            other if other.escape_debug().count() == 1 => quoted.push(other),
            other => quoted.push_str(&format!("\\U{:08X}", u32::from(other))),
        }
    }
    quoted.push('"');
    quoted
}

/// A text in which `%` stands for itself.
pub(crate) fn doubled(text: &str) -> String {
    text.replace('%', "%%")
}

/// A path of ours, or one of the host's that an entry can be written for.
pub(crate) fn usable(path: &str) -> Option<AbsPath> {
    // What was not UTF-8 has become something else on the way here.
    let is_short = path.len() <= PATH_MAX && !path.contains(char::REPLACEMENT_CHARACTER);
    AbsPath::new(path).ok().filter(|_| is_short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_hosts_break_neither_values_nor_comments() {
        assert_eq!(quoted("a\"b\\c'd"), r#""a\"b\\c'd""#);
        assert_eq!(quoted("\n\u{7f}\u{202e}ä"), "\"\\U0000000A\\U0000007F\\U0000202Eä\"");
        assert_eq!(shown("a\n[[profile]]\r\u{202e}"), "a\\n[[profile]]\\r\\u{202e}");
        assert_eq!(shown(""), "nothing");
        assert_eq!(shown(&"x".repeat(200)).chars().count(), SHOWN_MAX + 1);
        let lines = wrapped(&format!("one {} two\nthree {}", "long ".repeat(40), "y".repeat(300)));
        assert!(lines.lines().all(|line| line.starts_with("# ") && line.chars().count() <= WIDTH), "{lines}");
    }

    #[test]
    fn several_names_are_listed_up_to_a_limit() {
        assert_eq!(listed(["a"]), "a");
        assert_eq!(listed(["a", "b", "c"]), "a, b and c");
        let many: Vec<String> = (0..20).map(|number| number.to_string()).collect();
        assert_eq!(listed(&many), "0, 1, 2, 3, 4, 5, 6, 7 and 12 more");
    }

    #[test]
    fn paths_that_are_none_or_too_long_get_no_entry() {
        assert!(usable("/a b/\u{e4}%").is_some());
        for bad in ["", "a", "/a\n", "/a/../b", "/\u{fffd}"] {
            assert!(usable(bad).is_none(), "{bad:?}");
        }
        assert!(usable(&format!("/{}/{}", "a".repeat(200), "b".repeat(200))).is_none());
    }
}
