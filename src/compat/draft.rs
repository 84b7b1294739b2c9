//! A map while somebody's lines become entries of it: what stands where, what covers what, and what is lost.

use super::{Imported, Loss};
use crate::model::policy::refused_variable;
use crate::model::template::Template;
use crate::paper::{Paper, quoted, shown_up_to, wrapped};

use super::values::{depth, is_users, may_be_below};
pub(super) use super::values::{is_below, link_problem, normal, octal, path_problem, readable, size, text};

/// As many entries has a map at most, less those that are added to what was asked for.
const ITEMS_MAX: usize = 240;
/// As many losses are listed one by one.
const LOSSES_MAX: usize = 2000;
/// When comments have become longer than this, further ones are in the list of losses alone.
const COMMENTS_MAX: usize = 96 * 1024;
/// The entries, in bytes; with the comments it stays below what is read as a map.
const ENTRIES_MAX: usize = 96 * 1024;
/// The same for variables.
const VARIABLES_MAX: usize = 32 * 1024;
/// So much of what was written is shown.
const SAID_MAX: usize = 200;
const REASON_MAX: usize = 300;
/// What `dev` makes, less its directories.
const DEVICES: [&str; 12] = [
    "null", "zero", "full", "random", "urandom", "tty", "fd", "stdin", "stdout", "stderr", "ptmx", "console",
];
/// What sessions have whatever a map says.
const ALWAYS_SET: [&str; 4] = ["HOME", "SHELL", "USER", "LOGNAME"];

/// One entry that was asked for.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// Its target, with variables as the map has them.
    pub(super) at: String,
    pub(super) kind: &'static str,
    /// Of a bind, what it shows.
    pub(super) source: Option<String>,
    /// Keys and their values as TOML has them; neither target nor kind nor options.
    pub(super) keys: Vec<(&'static str, String)>,
    pub(super) options: Vec<&'static str>,
    pub(super) is_optional: bool,
    /// The line or argument; 0 for what nobody asked for by name.
    pub(super) place: usize,
    /// What was written.
    pub(super) said: String,
    /// What else is to be known.
    pub(super) notes: Vec<String>,
}

impl Item {
    pub(super) fn new(kind: &'static str, at: &str, place: usize, said: &str) -> Self {
        Self {
            at: normal(at),
            kind,
            source: None,
            keys: Vec::new(),
            options: Vec::new(),
            is_optional: false,
            place,
            said: shown_up_to(said, SAID_MAX),
            notes: Vec::new(),
        }
    }

    /// A bind. Below what users can change no links are followed: those could be theirs.
    pub(super) fn bind(source: &str, at: &str, place: usize, said: &str) -> Self {
        let mut item = Self::new("bind", at, place, said);
        let source = normal(source);
        if source != item.at {
            item.set("source", text(&source));
        }
        if !is_users(&source) {
            item.set("follow_symlinks", "true".to_owned());
        }
        item.source = Some(source);
        item
    }

    /// Replaces a key, or adds it.
    pub(super) fn set(&mut self, key: &'static str, value: String) {
        match self.keys.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => *old = value,
            None => self.keys.push((key, value)),
        }
    }

    /// One option more, in place of its opposite.
    pub(super) fn option(&mut self, word: &'static str) {
        const OPPOSITES: [(&str, &str); 4] =
            [("ro", "rw"), ("nosuid", "suid"), ("nodev", "dev"), ("noexec", "exec")];
        let opposite = OPPOSITES.iter().find_map(|(one, other)| match word {
            word if word == *one => Some(*other),
            word if word == *other => Some(*one),
            _ => None,
        });
        self.options.retain(|known| *known != word && Some(*known) != opposite);
        self.options.push(word);
    }

    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    fn is_mount(&self) -> bool {
        !matches!(self.kind, "dir" | "symlink")
    }

    fn lines(&self, mark: &str) -> String {
        let mut lines = format!("{mark}[[profile.mount]]\n{mark}target = {}\n", text(&self.at));
        if self.kind != "bind" {
            lines.push_str(&format!("{mark}kind = {}\n", quoted(self.kind)));
        }
        for (key, value) in &self.keys {
            lines.push_str(&format!("{mark}{key} = {value}\n"));
        }
        // Everything else can be written to when nothing is said.
        let is_said = |word: &&&str| **word != "rw" || self.kind == "sysfs";
        let words: Vec<String> = self.options.iter().filter(is_said).map(|word| quoted(word)).collect();
        if !words.is_empty() {
            lines.push_str(&format!("{mark}options = [{}]\n", words.join(", ")));
        }
        if self.is_optional {
            lines.push_str(&format!("{mark}optional = true\n"));
        }
        lines
    }
}

#[derive(Debug)]
enum Piece {
    Item(Item),
    /// Not in use, below the loss that it belongs to.
    Example(Item),
    Lost(Loss),
    Comment(String),
}

/// The map so far.
#[derive(Debug)]
pub(super) struct Draft {
    /// `line` or `argument`.
    unit: &'static str,
    pieces: Vec<Piece>,
    losses: Vec<Loss>,
    left_off: usize,
    /// What stands above it, the key, the value.
    settings: Vec<(String, &'static str, String)>,
    variables: Vec<(String, String)>,
}

impl Draft {
    pub(super) fn new(unit: &'static str) -> Self {
        let (pieces, losses, settings, variables) = Default::default();
        Self { unit, pieces, losses, left_off: 0, settings, variables }
    }

    /// What is not in the map.
    pub(super) fn lose(&mut self, line: usize, said: &str, reason: impl Into<String>) {
        if let Some(loss) = self.count(line, said, reason.into()) {
            self.pieces.push(Piece::Lost(loss));
        }
    }

    fn count(&mut self, line: usize, said: &str, reason: String) -> Option<Loss> {
        if self.losses.len() >= LOSSES_MAX {
            self.left_off += 1;
            return None;
        }
        // Some reasons repeat what was written.
        let (text, reason) = (shown_up_to(said, SAID_MAX), shown_up_to(&reason, REASON_MAX));
        let loss = Loss { line: line.max(1), text, reason };
        self.losses.push(loss.clone());
        Some(loss)
    }

    pub(super) fn comment(&mut self, text: impl Into<String>) {
        self.pieces.push(Piece::Comment(text.into()));
    }

    /// An entry that somebody may want; it is not in use.
    pub(super) fn example(&mut self, item: Item) {
        if path_problem(&item.at).is_none() {
            self.pieces.push(Piece::Example(item));
        }
    }

    /// A setting, with what stands above it, in place of what was said of the same key.
    pub(super) fn setting(&mut self, why: impl Into<String>, key: &'static str, value: impl Into<String>) {
        self.settings.retain(|(_, known, _)| *known != key);
        self.settings.push((why.into(), key, value.into()));
    }

    /// A variable of the session; `value` is a template.
    pub(super) fn variable(&mut self, line: usize, said: &str, name: &str, value: &str) {
        let mut bytes = name.bytes();
        let starts_well = bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_');
        let problem = if !starts_well || !bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            Some("a name has letters, digits and `_`".to_owned())
        } else if ALWAYS_SET.contains(&name) {
            Some("sessions have it from the user's account, whatever a map says".to_owned())
        } else if let Some(why) = refused_variable(name) {
            Some(format!("refused in every map: {why}"))
        } else if self.variables_written() + name.len() + text(value).len() > VARIABLES_MAX {
            Some("too long for a map".to_owned())
        } else if value.contains('\0') {
            Some("a value cannot hold a NUL character".to_owned())
        } else if name == "PATH" && value.is_empty() {
            Some("a session needs a PATH".to_owned())
        } else if Template::parse(value).is_err() {
            Some("its value has a `%` that no map has".to_owned())
        } else {
            None
        };
        self.unset(name);
        match problem {
            Some(reason) => self.lose(line, said, reason),
            None => self.variables.push((name.to_owned(), value.to_owned())),
        }
    }

    fn variables_written(&self) -> usize {
        self.variables.iter().map(|(name, value)| name.len() + text(value).len()).sum()
    }

    pub(super) fn unset(&mut self, name: &str) {
        self.variables.retain(|(known, _)| known != name);
    }

    pub(super) fn unset_all(&mut self) {
        self.variables.clear();
    }

    fn items(&self) -> impl Iterator<Item = &Item> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Item(item) => Some(item),
            _ => None,
        })
    }

    /// The entry at a place, the last one where there are several.
    pub(super) fn find(&mut self, at: &str) -> Option<&mut Item> {
        let at = normal(at);
        self.pieces.iter_mut().rev().find_map(|piece| match piece {
            Piece::Item(item) if item.at == at => Some(item),
            _ => None,
        })
    }

    /// Would a directory at `at` be made for something below it, in a tree of the map's own?
    pub(super) fn is_on_the_way(&self, at: &str) -> bool {
        let at = normal(at);
        let above = self.items().filter(|item| is_below(&at, &item.at)).max_by_key(|item| depth(&item.at));
        above.is_some_and(|above| matches!(above.kind, "tmpfs" | "dir"))
            && self.items().any(|item| is_below(&item.at, &at))
    }

    /// An entry; a loss where a map cannot have it.
    pub(super) fn put(&mut self, item: Item) {
        let source = item.source.as_deref().and_then(path_problem);
        let problem = match path_problem(&item.at).or(source) {
            Some(problem) => Some(problem),
            None if self.items().count() >= ITEMS_MAX => {
                Some(format!("there are {ITEMS_MAX} entries already"))
            }
            None => None,
        };
        match problem {
            Some(reason) => {
                let (place, said) = (item.place, item.said);
                self.lose(place, &said, reason);
            }
            None => self.pieces.push(Piece::Item(item)),
        }
    }

    /// What comes later covers what was there; what a place cannot take is a loss.
    pub(super) fn settle(&mut self) {
        let items: Vec<(usize, Item)> = (self.pieces.iter().enumerate())
            .filter_map(|(at, piece)| match piece {
                Piece::Item(item) => Some((at, item.clone())),
                _ => None,
            })
            .collect();
        for (number, (at, item)) in items.iter().enumerate() {
            let covers = |(_, other): &&(usize, Item)| {
                other.is_mount() && (other.at == item.at || is_below(&item.at, &other.at))
            };
            let later = items[number + 1..].iter().find(covers);
            let same = items[..number].iter().rev().find(|(_, other)| other.at == item.at);
            let reason = match (later, same) {
                (Some((_, over)), _) if item.kind == "dir" && over.at == item.at => {
                    self.drop_into(*at, over, item);
                    continue;
                }
                (Some(_), _) if item.place == 0 => {
                    self.pieces[*at] = Piece::Comment(String::new());
                    continue;
                }
                (Some((_, over)), _) if over.is_optional => format!(
                    "{} {} covers it where the host has what is shown there; a map has one entry for a place",
                    self.unit, over.place
                ),
                (Some((_, over)), _) => format!("{} {} covers it", self.unit, over.place),
                (None, Some((_, under))) if item.kind == "dir" => {
                    self.drop_into(*at, under, item);
                    continue;
                }
                (None, Some((_, under))) if !item.is_mount() => {
                    format!("{} {} has put something there already", self.unit, under.place)
                }
                (None, _) if item.at == "/" && !matches!(item.kind, "bind" | "tmpfs" | "proc" | "sysfs") => {
                    "nothing else than a tree can be the root".to_owned()
                }
                _ => {
                    let may_cover =
                        |(_, other): &&(usize, Item)| other.is_mount() && may_be_below(&item.at, &other.at);
                    if let Some((_, over)) = items[number + 1..].iter().find(may_cover) {
                        self.doubt(*at, item, over.place);
                    }
                    continue;
                }
            };
            self.take_out(*at, item, reason);
        }
        let mut left: Vec<(usize, Item)> = (self.pieces.iter().enumerate())
            .filter_map(|(at, piece)| match piece {
                Piece::Item(item) => Some((at, item.clone())),
                _ => None,
            })
            .collect();
        left.sort_by_key(|(_, item)| depth(&item.at));
        let mut standing: Vec<Item> = Vec::new();
        for (at, item) in left {
            let above = standing.iter().filter(|other| may_be_below(&item.at, &other.at));
            let reason = match above.max_by_key(|other| depth(&other.at)) {
                Some(above) => misplaced(&item, above),
                None => None,
            };
            match reason {
                Some(reason) => self.take_out(at, &item, reason),
                None => standing.push(item),
            }
        }
    }

    /// It stays, and whether it should depends on the host.
    fn doubt(&mut self, at: usize, item: &Item, over: usize) {
        let reason = format!(
            "whether {} {over} covers it depends on where the home is; it is written as if it did not",
            self.unit
        );
        if let Some(Piece::Item(item)) = self.pieces.get_mut(at) {
            item.note(format!("In doubt: {reason}."));
        }
        let _ = self.count(item.place, &item.said, reason);
    }

    fn take_out(&mut self, at: usize, item: &Item, reason: String) {
        self.pieces[at] = match self.count(item.place, &item.said, reason) {
            Some(loss) => Piece::Lost(loss),
            None => Piece::Comment(String::new()),
        };
    }

    /// A directory that is no more than what something else stands on.
    fn drop_into(&mut self, at: usize, holder: &Item, item: &Item) {
        let note = format!("The directory itself is {} {}.", self.unit, item.place);
        self.pieces[at] = Piece::Comment(String::new());
        if let Some(holder) = self.find(&holder.at.clone())
            && item.place != 0
        {
            holder.notes.push(note);
        }
    }

    /// The map and the losses.
    pub(super) fn finish(mut self, what: &str, notes: &[&str]) -> Imported {
        let mut paper = Paper::default();
        paper.lines(head(what, notes));
        paper.lines("version = 1\n");
        let mut profile = String::from(
            "[[profile]]\nname = \"imported\"\nmatch = { not_user = [\"root\"], not_uid = [\"0\"] }\n",
        );
        for (why, key, value) in &self.settings {
            profile.push_str(&format!("\n{}{key} = {value}\n", wrapped(why)));
        }
        if !self.variables.is_empty() {
            profile.push_str("\n[profile.set_env]\n");
            for (name, value) in &self.variables {
                profile.push_str(&format!("{name} = {}\n", text(value)));
            }
        }
        paper.lines(profile);
        let (mut comments, mut entries, mut hidden) = (0, 0, 0);
        for piece in std::mem::take(&mut self.pieces) {
            let written = self.written(&piece);
            let is_item = matches!(piece, Piece::Item(_));
            let size = if is_item { &mut entries } else { &mut comments };
            *size += written.len();
            match piece {
                Piece::Item(item) if entries > ENTRIES_MAX => {
                    self.count(item.place, &item.said, "the map is as long as it can be".to_owned());
                }
                _ if !is_item && comments > COMMENTS_MAX => hidden += 1,
                _ if written.is_empty() => {}
                _ => paper.lines(written),
            }
        }
        if hidden > 0 {
            paper.comment(format!("{hidden} more are in the list of what is not in this map."));
        }
        self.losses.sort_by_key(|loss| loss.line);
        if self.left_off > 0 {
            let line = self.losses.last().map_or(1, |loss| loss.line);
            let reason = format!("{} more are not listed", self.left_off);
            self.losses.push(Loss { line, text: "...".to_owned(), reason });
        }
        Imported { map: paper.text(), losses: self.losses }
    }

    fn written(&self, piece: &Piece) -> String {
        match piece {
            Piece::Comment(text) if text.is_empty() => String::new(),
            Piece::Comment(text) => wrapped(text),
            Piece::Lost(loss) => wrapped(&format!(
                "NOT IN THIS MAP: {} {}, {}: {}.",
                self.unit, loss.line, loss.text, loss.reason
            )),
            Piece::Item(item) | Piece::Example(item) => {
                let mut lines = String::new();
                if item.place > 0 && matches!(piece, Piece::Item(_)) {
                    let unit = self.unit[..1].to_uppercase() + &self.unit[1..];
                    lines.push_str(&wrapped(&format!("{unit} {}: {}", item.place, item.said)));
                }
                item.notes.iter().for_each(|note| lines.push_str(&wrapped(note)));
                lines.push_str(&item.lines(if matches!(piece, Piece::Example(_)) { "#" } else { "" }));
                lines
            }
        }
    }
}

/// Why `item` cannot stand in what is above it.
fn misplaced(item: &Item, above: &Item) -> Option<String> {
    let place = shown_up_to(&above.at, 100);
    match above.kind {
        "bind" | "proc" | "sysfs" if !item.is_mount() => Some(format!(
            "it would have to be made in {place}, which is the host's, and nothing is made there; where the host has it, it is \
             there"
        )),
        "dev" => {
            let (first, _) = item.at.strip_prefix(&above.at)?.trim_start_matches('/').split_once('/')?;
            DEVICES.contains(&first).then(|| format!("{first} is no directory there"))
        }
        "devpts" | "mqueue" => Some(format!("nothing can stand in {place}")),
        "symlink" => Some(format!("{place} is a link inside; name the path that it leads to")),
        "mask" => Some(format!("{place} is closed")),
        _ => None,
    }
}

fn head(what: &str, notes: &[&str]) -> String {
    let mut text = wrapped(&format!("A map of session-sandbox, written by `sessionctl import` from {what}."));
    for note in notes {
        text.push_str("#\n");
        text.push_str(&wrapped(note));
    }
    text.push_str("#\n# Check it:  sessionctl check FILE\n");
    text.push_str("# Try it:    session-enter --config FILE --user NAME --dry-run\n#\n");
    text.push_str(&wrapped(
        "Lines that begin with `#` and a space explain. Lines that begin with `#` alone are examples: take the `#` away.",
    ));
    text
}
