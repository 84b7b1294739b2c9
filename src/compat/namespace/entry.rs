//! A line as an entry of a map, and what of it is none.

use super::super::Loss;
use super::SHOWN_MAX;
use super::read::{Create, Line, Method};
use super::tmpfs;
use super::words::{Piece, pieces};
use crate::model::template::Template;
use crate::paper::{PATH_MAX, doubled, listed, quoted, shown, shown_up_to, wrapped};

/// Directories that everybody may write to, on any host.
const PUBLIC: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];
/// Directories below which `login` has more.
const BUSY: [&str; 8] = ["/dev", "/etc", "/home", "/proc", "/run", "/sys", "/usr", "/var"];

/// A line with its entry.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) line: Line,
    /// Where it appears, in the map's words.
    pub(super) target: String,
    /// What appears there, if it is of the host.
    pub(super) source: Option<String>,
    /// The entry's keys.
    keys: Vec<String>,
    /// What stands above it: what is lost of the line, and what only looks so.
    pub(super) notes: Vec<String>,
}

impl Written {
    /// The entry, with all that is to be said about it or with the line's number alone.
    pub(super) fn text(&self, in_full: bool) -> String {
        let keys: String = self.keys.iter().map(|key| format!("{key}\n")).collect();
        let notes = if in_full { self.all_notes() } else { String::new() };
        format!("{}{notes}[[profile.mount]]\n{keys}", title(self.line.number, &self.line.text))
    }

    /// In place of the entry.
    pub(super) fn comment(&self, why: &str, in_full: bool) -> String {
        let notes = if in_full { self.all_notes() } else { String::new() };
        comment(self.line.number, &self.line.text, why) + &notes
    }

    fn all_notes(&self) -> String {
        self.notes.iter().map(|note| format!("#\n{}", wrapped(&sentence(note)))).collect()
    }

    /// Takes what is lost of the line into its notes.
    pub(super) fn note(&mut self, losses: &[Loss]) {
        let own = losses.iter().filter(|loss| loss.line == self.line.number);
        let reasons: Vec<String> = own.map(|loss| loss.reason.clone()).collect();
        self.notes.splice(..0, reasons);
    }

    /// Something of the line that is not in the map.
    pub(super) fn lost(&self, reason: String) -> Loss {
        Loss { line: self.line.number, text: as_shown(&self.line.text), reason }
    }
}

/// A line, and why it has no entry.
pub(super) fn comment(number: usize, text: &str, why: &str) -> String {
    format!("{}{}", title(number, text), wrapped(&sentence(why)))
}

fn title(number: usize, text: &str) -> String {
    wrapped(&format!("Line {number}: {}", as_shown(text)))
}

/// What is shown of a line.
pub(super) fn as_shown(text: &str) -> String {
    shown_up_to(&text.trim().replace('\t', " "), SHOWN_MAX)
}

/// As a sentence of its own.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    let end = if text.ends_with('.') { "" } else { "." };
    first.into_iter().chain(letters).collect::<String>() + end
}

/// Is `path` the same as `outer`, or below it?
pub(super) fn is_around(outer: &str, path: &str) -> bool {
    path.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The entry, and what of the line is not in it; or why there is none.
pub(super) fn write(line: Line) -> Result<(Written, Vec<String>), String> {
    if line.has_empty_part() {
        return Err("two slashes in a row in the prefix: nobody gets in whom the line is for".to_owned());
    }
    let target = template(&line.polydir, "")?;
    let mut notes = Vec::new();
    let mut losses = Vec::new();
    let mut keys = vec![format!("target = {}", quoted(&target))];
    let mut source = None;
    match line.method {
        Method::User | Method::Level | Method::Context => {
            if line.method != Method::User {
                let name = line.method.name();
                if line.flags.shared {
                    return Err(format!(
                        "with SELinux users of one {name} share an instance, which a map does not know; without it \
                         pam_namespace passes over the line"
                    ));
                }
                losses.push(format!(
                    "without SELinux `{name}` is `user`, as it is here; with it the context is in the instances' \
                     names, which a map does not know"
                ));
            }
            let instance = template(&line.prefix, "%u")?;
            if is_around(&target, &instance) && is_around(&instance, &target) {
                return Err("the instance is the directory itself".to_owned());
            }
            keys.push(format!("source = {}", quoted(&instance)));
            if instance.starts_with("%h") {
                keys.push("open_as = \"user\"".to_owned());
                losses.push(format!(
                    "the instance lies in the user's home and is opened with the user's rights: the directory that \
                     holds it needs the mode 0711, where pam_namespace wants none ({})",
                    shown(&line.prefix)
                ));
            }
            keys.push("options = [\"norecursive\"]".to_owned());
            losses.push(made_by(&line));
            source = Some(instance);
        }
        Method::Tmpdir => {
            let (mode, owner, doubt) = likeness(&line);
            keys.push("kind = \"tmpfs\"".to_owned());
            keys.push(format!("mode = \"{mode:04o}\""));
            keys.extend((owner == "user").then(|| "owner = \"user\"".to_owned()));
            losses.push(format!(
                "a new directory on disk for each login there, one in memory for each view here, gone with it (there \
                 it is left behind, unless unmount_on_close is set); scope = \"session\" makes a view for each \
                 login, `size` limits it, and half of the memory is the limit until then{doubt}"
            ));
        }
        Method::Tmpfs => {
            keys.push("kind = \"tmpfs\"".to_owned());
            let options = tmpfs::read(line.flags.mount_options.as_deref().unwrap_or_default(), None);
            keys.extend(options.keys());
            losses.extend(options.losses);
            losses.push(
                "one for each view here, for each login there; scope = \"session\" does the same".to_owned(),
            );
        }
    }
    if BUSY.contains(&target.as_str()) {
        losses.push(format!(
            "below {target} the profile `login` has entries of its own, which pam_namespace would cover: `remove` \
             takes them away"
        ));
    }
    if target.starts_with('/') && target.ends_with("/%u") {
        losses.push(
            "where this is the user's home, `login` has an entry there already and a login is refused: write %h as \
             the target"
                .to_owned(),
        );
    }
    if let Some(create) = &line.flags.create {
        losses.push(created(&line, create));
    }
    if let Some(script) = &line.flags.script {
        losses.push(format!(
            "the script {} is not run: a session script can do the same (docs/session-scripts.md), with where = \
             \"session\" inside the view; its arguments were the directory, the instance, 1 for a new one, and the \
             user",
            shown(script)
        ));
    }
    if line.flags.no_init {
        notes.push("No script is run for it, there and here".to_owned());
    }
    if line.flags.shared {
        notes.push("`shared` changes nothing for this method".to_owned());
    }
    if !line.flags.idle.is_empty() {
        notes.push(format!("Passed over, there and here: {}", listed(&line.flags.idle)));
    }
    Ok((Written { line, target, source, keys, notes }, losses))
}

/// A path in the map's words, in its one form.
fn template(path: &str, end: &str) -> Result<String, String> {
    let mut text = String::new();
    for (at, piece) in pieces(path).into_iter().enumerate() {
        match piece {
            Piece::Text(part) => text.push_str(&doubled(part)),
            Piece::User => text.push_str("%u"),
            Piece::Home if at == 0 => text.push_str("%h"),
            Piece::Home => {
                return Err(
                    "$HOME stands behind something else, and in a map it can only come first".to_owned()
                );
            }
        }
    }
    text.push_str(end);
    let parts: Vec<&str> = text.split('/').filter(|part| !["", "."].contains(part)).collect();
    let slash = if text.starts_with('/') { "/" } else { "" };
    let normal = format!("{slash}{}", parts.join("/"));
    if normal == "/" {
        return Err("it is the root directory".to_owned());
    }
    if normal.len() > PATH_MAX || normal.contains(char::REPLACEMENT_CHARACTER) {
        return Err("the path is too long for a map to be read, or is not UTF-8".to_owned());
    }
    match Template::parse_path(&normal) {
        Ok(_) => Ok(normal),
        Err(error) => Err(shown_up_to(&error.to_string(), SHOWN_MAX)),
    }
}

/// A path for a shell, if it is as plain as paths are.
fn for_shell(path: &str) -> Option<String> {
    let mut text = String::from("\"");
    for piece in pieces(path) {
        match piece {
            Piece::Home => text.push_str("$SESSION_HOME"),
            Piece::User => text.push_str("${SESSION_USER}"),
            Piece::Text(part) => {
                let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-".contains(letter);
                part.chars().all(is_plain).then(|| text.push_str(part))?;
            }
        }
    }
    text.push('"');
    Some(text)
}

/// Who makes the instance.
fn made_by(line: &Line) -> String {
    let public = PUBLIC.contains(&line.polydir.as_str());
    let instance = for_shell(&format!("{}$USER", line.prefix));
    let how = match (instance, for_shell(&line.polydir)) {
        (Some(instance), _) if public => {
            format!(", for instance: install -d -m 1777 -o root -g root {instance}")
        }
        (Some(instance), Some(polydir)) => format!(
            ", for instance: install -d -m $(stat -c %a {polydir}) -o $(stat -c %u {polydir}) -g $(stat -c %g \
             {polydir}) {instance}"
        ),
        _ => String::new(),
    };
    let parent = line.prefix.rfind('/').map_or("/", |at| &line.prefix[..at.max(1)]);
    let entered =
        if line.prefix.starts_with("$HOME") { "with mode 0711" } else { "and nobody else may enter it" };
    format!(
        "there the instance is made by the module, with owner and mode of {}; here it must exist before the login, \
         and a session script that the login waits for makes it (docs/session-scripts.md){how}. {} belongs to root, \
         {entered}",
        shown(&line.polydir),
        shown(parent)
    )
}

/// What `create` made.
fn created(line: &Line, create: &Create) -> String {
    let mode = create.mode.map_or_else(|| "what the umask leaves".to_owned(), |mode| format!("{mode:04o}"));
    let owner = create.owner.as_ref().map_or_else(|| "the user".to_owned(), |owner| shown(owner));
    let group = match (&create.group, &create.owner) {
        (Some(group), _) => shown(group),
        (None, Some(_)) => "the owner's group".to_owned(),
        (None, None) => "the user's group".to_owned(),
    };
    format!(
        "a missing {} was made on the host, for {owner} and {group}, mode {mode}; here the map makes the way to it \
         in its own root, and where the host's tree goes on there it has to exist",
        shown(&line.polydir)
    )
}

/// Mode and owner of a new directory in a polydir's place, and what is not known about that.
fn likeness(line: &Line) -> (u32, &'static str, &'static str) {
    const DOUBT: &str = ". Owner and mode are those of the host's directory, which the file does not say: see \
        whether these are right";
    if PUBLIC.contains(&line.polydir.as_str()) {
        return (0o1777, "root", "");
    }
    match &line.flags.create {
        Some(Create { mode, owner, .. }) => {
            let mode = mode.unwrap_or(0o755);
            match owner.as_deref() {
                Some("root") => (mode, "root", ""),
                None => (mode, "user", ""),
                Some(_) => (mode, "root", DOUBT),
            }
        }
        None if line.polydir.starts_with("$HOME") => (0o700, "user", DOUBT),
        None => (0o755, "root", DOUBT),
    }
}
