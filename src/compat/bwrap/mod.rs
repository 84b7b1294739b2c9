//! The arguments of `bwrap`, up to version 0.8, as a map. They are carried out in their order, so what comes later covers
//! what was there.

mod options;
#[cfg(test)]
mod tests;

use std::str::FromStr;

use super::Imported;
use super::draft::{self, Draft, Item};
use super::shell::{self, Word};
use options::{Means, OPTIONS};

/// What a map keeps of the caller's environment when it says nothing.
const KEPT: [&str; 6] = ["TERM", "COLORTERM", "LANG", "LANGUAGE", "LC_*", "TZ"];

const NOTES: [&str; 4] = [
    "As with bwrap, each session has this root to itself. With scope = \"user\" all logins of a user share one.",
    "Sources are opened with the user's rights, as bwrap opens them. Where follow_symlinks is true, links on the way are \
     followed that root alone can have made; bwrap follows all, also to the place where something is to appear. What is made inside belongs to the user, the directories on \
     the way to it to root.",
    "Stricter than with bwrap: /dev can be written to nowhere but in /dev/shm, mqueue is nosuid, nodev and noexec.",
    "Not as with bwrap: /dev/shm is a file system of its own, there is no /dev/core, and /proc has no read-only parts of its \
     own; who is not root cannot write there.",
];

/// Reads a shell's command line, or arguments with NUL between them.
pub(super) fn import(text: &str) -> Imported {
    let mut reader = Reader {
        draft: Draft::new("argument"),
        arguments: Vec::new(),
        at: 0,
        mode: None,
        size: None,
        kept: KEPT.iter().map(|name| (*name).to_owned()).collect(),
        clears: false,
        has_pids: false,
        capabilities: Vec::new(),
    };
    let (text, is_cut) = draft::readable(text);
    reader.split(text);
    let mut root = Item::new("tmpfs", "/", 0, "");
    root.note("The top of the tree. bwrap leaves it writable for the user unless --remount-ro / is given.");
    root.set("owner", draft::text("user"));
    reader.draft.put(root);
    while reader.at < reader.arguments.len() {
        reader.one();
    }
    if is_cut {
        reader.draft.lose(reader.arguments.len(), "", "the text is too long, its end was not read");
    }
    reader.finish()
}

struct Reader {
    draft: Draft,
    arguments: Vec<Word>,
    at: usize,
    /// Of `--perms` and `--size`, for the next argument, with their places.
    mode: Option<(usize, u32)>,
    size: Option<(usize, u64)>,
    kept: Vec<String>,
    clears: bool,
    has_pids: bool,
    capabilities: Vec<String>,
}

impl Reader {
    fn split(&mut self, text: &str) {
        if text.contains('\0') {
            let mut parts: Vec<&str> = text.split('\0').collect();
            if parts.last().is_some_and(|last| last.trim().is_empty()) {
                parts.pop();
            }
            if parts.first().is_some_and(|first| first.rsplit('/').next() == Some("bwrap")) {
                parts.remove(0);
            }
            self.arguments = parts.into_iter().map(Word::plain).collect();
            return;
        }
        let mut commands = shell::commands(text);
        let program = |command: &shell::Command| {
            let before = command.words.iter().take_while(|word| !word.value.starts_with("--"));
            before.map(|word| word.value.rsplit('/').next() == Some("bwrap")).position(|is_it| is_it)
        };
        let Some((index, at)) =
            commands.iter().enumerate().find_map(|(index, command)| Some((index, program(command)?)))
        else {
            // A list of arguments alone, on one line or several.
            for command in commands {
                self.lose_redirections(&command, 0);
                self.arguments.extend(command.words);
            }
            return;
        };
        let mut command = commands.remove(index);
        for other in commands.iter().filter(|other| !other.words.is_empty()) {
            self.draft.lose(1, &shown(&other.words), "another command; only one bwrap is read");
        }
        self.lose_redirections(&command, at + 1);
        self.arguments = command.words.split_off(at + 1);
        command.words.pop();
        command.words.retain(|word| word.value != "exec");
        if !command.words.is_empty() {
            self.draft.lose(1, &shown(&command.words), "it stands before bwrap");
        }
    }

    fn lose_redirections(&mut self, command: &shell::Command, before: usize) {
        for (place, text) in &command.redirections {
            self.draft.lose(
                place.saturating_sub(before),
                text,
                "a map takes nothing from the descriptors of a command",
            );
        }
    }

    fn one(&mut self) {
        let place = self.at + 1;
        let name = self.arguments[self.at].clone();
        self.at += 1;
        if name.value == "--" {
            return self.command(self.at);
        }
        if !name.value.starts_with("--") || name.doubt.is_some() {
            if let Some(doubt) = name.doubt {
                self.draft.lose(place, &name.shown, doubt);
                return;
            }
            return self.command(place - 1);
        }
        let Some((_, count, means)) = OPTIONS.iter().find(|(known, ..)| *known == &name.value[2..]) else {
            let taken = self.arguments[self.at..].iter().take_while(|word| !word.value.starts_with("--"));
            let values = taken.count();
            let values: Vec<Word> = self.arguments[self.at..self.at + values].to_vec();
            self.at += values.len();
            let said = format!("{} {}", name.shown, shown(&values));
            return self.draft.lose(place, said.trim_end(), "bwrap 0.8 has no such option");
        };
        let end = (self.at + count).min(self.arguments.len());
        let values = self.arguments[self.at..end].to_vec();
        self.at = end;
        let said = format!("{} {}", name.shown, shown(&values));
        let said = said.trim_end();
        if values.len() < *count {
            return self.draft.lose(place, said, format!("the option takes {count} values"));
        }
        if let Some(doubt) = values.iter().find_map(|word| word.doubt)
            && !matches!(means, Means::Lost(_))
        {
            return self.draft.lose(place, said, doubt);
        }
        let values: Vec<&str> = values.iter().map(|word| word.value.as_str()).collect();
        self.means(*means, &values, place, said);
        if !matches!(means, Means::Perms | Means::Size) {
            self.leftover();
        }
    }

    fn means(&mut self, means: Means, values: &[&str], place: usize, said: &str) {
        let value = |at: usize| values.get(at).copied().unwrap_or_default();
        let inside = |path: &str| if path.starts_with("%h") { path.to_owned() } else { format!("/{path}") };
        match means {
            Means::Bind { options, is_optional } => {
                if !value(0).starts_with('/') && !value(0).starts_with("%h") {
                    let reason = "the source is relative to where bwrap was started, which is not known";
                    return self.draft.lose(place, said, reason);
                }
                if let Some(problem) = draft::path_problem(&draft::normal(value(0))) {
                    return self.draft.lose(place, said, problem);
                }
                let mut item = Item::bind(value(0), &inside(value(1)), place, said);
                item.set("open_as", draft::text("user"));
                options.iter().for_each(|option| item.option(option));
                item.is_optional = is_optional;
                self.draft.put(item);
            }
            Means::Mount(kind) => {
                let mut item = Item::new(kind, &inside(value(0)), place, said);
                if matches!(kind, "tmpfs" | "dir") {
                    item.set("owner", draft::text("user"));
                    if let Some((_, mode)) = self.mode.take() {
                        item.set("mode", draft::text(&format!("{mode:04o}")));
                    }
                }
                if kind == "tmpfs"
                    && let Some((_, size)) = self.size.take()
                {
                    item.set("size", size.to_string());
                }
                let at = item.at.clone();
                self.draft.put(item);
                if kind == "dev" {
                    let at = if at == "/" { "/pts".to_owned() } else { format!("{at}/pts") };
                    self.draft.put(Item::new("devpts", &at, place, "pseudo terminals, of --dev"));
                }
            }
            Means::Symlink => match draft::link_problem(value(0)) {
                Some(problem) => self.draft.lose(place, said, problem),
                None => {
                    let mut item = Item::new("symlink", &inside(value(1)), place, said);
                    item.set("to", draft::text(value(0)));
                    self.draft.put(item);
                }
            },
            Means::RemountRo => self.remount(&inside(value(0)), place, said),
            Means::Chmod => self.chmod(value(0), &inside(value(1)), place, said),
            Means::Perms => match draft::octal(value(0), 0o7777) {
                Some(mode) => self.mode = Some((place, mode)),
                None => self.draft.lose(place, said, "no octal number up to 7777"),
            },
            Means::Size => {
                match draft::size(value(0)).filter(|_| value(0).bytes().all(|b| b.is_ascii_digit())) {
                    Some(size) => self.size = Some((place, size)),
                    None => self.draft.lose(place, said, "no number of bytes"),
                }
            }
            Means::SetEnv => self.draft.variable(place, said, &value(0).replace("%%", "%"), value(1)),
            Means::UnsetEnv => self.unset(value(0), place, said),
            Means::ClearEnv => {
                self.clears = true;
                self.draft.unset_all();
            }
            Means::CapAdd => self.capability(value(0), true, place, said),
            Means::CapDrop => self.capability(value(0), false, place, said),
            Means::Chdir if draft::normal(value(0)) == "%h" => {}
            Means::Chdir => self.draft.lose(place, said, "a session begins in the user's home"),
            Means::Pids => self.has_pids = true,
            Means::All => {
                self.has_pids = true;
                self.draft.lose(place, said, options::NAMESPACES);
            }
            Means::AsItIs => {}
            Means::Lost(reason) => self.draft.lose(place, said, reason),
        }
    }

    /// `--perms` and `--size` are about the argument behind them.
    fn leftover(&mut self) {
        if let Some((place, mode)) = self.mode.take() {
            self.draft.lose(place, &format!("--perms {mode:04o}"), "what follows it has no mode in a map");
        }
        if let Some((place, size)) = self.size.take() {
            self.draft.lose(place, &format!("--size {size}"), "what follows it has no size");
        }
    }

    fn remount(&mut self, at: &str, place: usize, said: &str) {
        match self.draft.find(at) {
            Some(item) if matches!(item.kind, "bind" | "tmpfs" | "proc" | "mqueue") => {
                item.option("ro");
                let below = if item.kind == "bind" { ", with what is mounted below it" } else { "" };
                item.note(format!("Read-only by argument {place}{below}."));
            }
            Some(item) if item.kind == "dev" => {
                item.note(format!("Argument {place}: it is read-only in any case."))
            }
            _ => self.draft.lose(place, said, "no argument before it mounts something there"),
        }
    }

    fn chmod(&mut self, mode: &str, at: &str, place: usize, said: &str) {
        let Some(mode) = draft::octal(mode, 0o7777) else {
            return self.draft.lose(place, said, "no octal number up to 7777");
        };
        let mode = draft::text(&format!("{mode:04o}"));
        let is_on_the_way = self.draft.is_on_the_way(at);
        match self.draft.find(at) {
            Some(item) if matches!(item.kind, "tmpfs" | "dir") => item.set("mode", mode),
            None if is_on_the_way => {
                let mut item = Item::new("dir", at, place, said);
                item.set("owner", draft::text("user"));
                item.set("mode", mode);
                self.draft.put(item);
            }
            _ => self.draft.lose(
                place,
                said,
                "a map gives a mode to what it makes, and this is not of its making",
            ),
        }
    }

    fn unset(&mut self, name: &str, place: usize, said: &str) {
        self.draft.unset(name);
        if self.kept.iter().any(|kept| kept.strip_suffix('*').is_some_and(|stem| name.starts_with(stem))) {
            self.draft.lose(place, said, "it is among those that keep_env keeps by a pattern");
        }
        self.kept.retain(|kept| kept != name);
        if matches!(name, "HOME" | "SHELL" | "USER" | "LOGNAME") {
            self.draft.lose(place, said, "sessions have it from the user's account, whatever a map says");
        } else if name == "PATH" {
            self.draft.lose(place, said, "every session has a PATH");
        }
    }

    fn capability(&mut self, name: &str, is_on: bool, place: usize, said: &str) {
        let upper = name.to_ascii_uppercase();
        if upper == "ALL" {
            self.capabilities.clear();
            if is_on {
                self.draft.lose(place, said, "a map lists capabilities one by one");
            }
            return;
        }
        if caps::Capability::from_str(&upper).is_err() {
            return self.draft.lose(place, said, "no capability that is known here");
        }
        self.capabilities.retain(|known| *known != upper);
        if is_on {
            self.capabilities.push(upper);
        }
    }

    /// From `start` on, the program that is run inside.
    fn command(&mut self, start: usize) {
        let words = self.arguments.get(start..).unwrap_or_default().to_vec();
        self.at = self.arguments.len();
        if !words.is_empty() {
            let reason = "a login starts the user's shell; session-enter takes another program behind `--`";
            self.draft.lose(start + 1, &shown(&words), reason);
        }
    }

    fn finish(mut self) -> Imported {
        self.leftover();
        self.draft.setting("Each bwrap has a root of its own.", "scope", draft::text("session"));
        if self.has_pids {
            self.draft.setting("Processes of the session's own alone.", "wall", draft::text("pidns"));
        } else {
            self.draft.setting(
                "Without --unshare-pid, bwrap lets programs see all processes of the host, and processes of the same user \
                 outside are a way out. Not here. With the other of these two lines, it is so.",
                "wall",
                "\"pidns\"\n#wall = \"none\"",
            );
        }
        self.draft.setting("As with bwrap, always.", "no_new_privs", "true");
        if !self.capabilities.is_empty() {
            let names: Vec<String> = self.capabilities.iter().map(|name| draft::text(name)).collect();
            let value = format!("[{}]", names.join(", "));
            self.draft.setting(
                "At most; a user who is not root has none to begin with.",
                "capabilities",
                value,
            );
        }
        if self.clears {
            self.draft.setting("--clearenv.", "keep_env", "[]");
        } else {
            let names: Vec<String> = self.kept.iter().map(|name| draft::text(name)).collect();
            self.draft.setting(
                "bwrap hands on all of the caller's environment; a map names what is kept.",
                "keep_env",
                format!("[{}]", names.join(", ")),
            );
        }
        self.draft.settle();
        self.draft.finish("arguments of bwrap", &NOTES)
    }
}

fn shown(words: &[Word]) -> String {
    words.iter().map(|word| word.shown.as_str()).collect::<Vec<_>>().join(" ")
}
