//! Lines of fstab(5), a host's or those of a schroot profile, as a map. They are mounted in their order, so what comes
//! later covers what was there.

#[cfg(test)]
mod tests;

use super::Imported;
use super::draft::{self, Draft, Item};
use crate::model::mounts::unescape;
use crate::paper::{doubled, shown_up_to};

const NOTES: [&str; 4] = [
    "Such a file says what is mounted in a tree, and not which tree that is. Here it is an empty one. The examples at the end \
     show the host's programs in it, or another tree in its place.",
    "nosuid and nodev hold here unless a line says suid or dev; in the file they have to be asked for. Nor can /proc and \
     mqueue be executed from, or sysfs be written to, unless a line says so. ro and the like hold for all that is mounted \
     below a source.",
    "Sources are opened with root's rights. Where follow_symlinks is true, links on the way are followed that root alone can \
     have made.",
    "Directories that are mounted on are made where the tree is the map's own. In a tree of the host they must be there.",
];

/// What a type is that no entry is for, and why.
const OTHERS: [(&str, &str); 6] = [
    ("swap", "a session has no swap of its own"),
    ("overlay", "a map has no overlays; the host can mount it"),
    ("aufs", "a map has no overlays; the host can mount it"),
    ("ramfs", "it has no limit, and a session could fill the memory; kind = \"tmpfs\" has one"),
    ("devtmpfs", "all of the host's devices; kind = \"dev\" has the harmless ones"),
    ("autofs", "an automounter runs on the host; bind what it mounts with propagation = \"slave\""),
];

/// Types that have a kind.
const KINDS: [&str; 5] = ["tmpfs", "proc", "sysfs", "devpts", "mqueue"];

struct Line<'a> {
    number: usize,
    said: &'a str,
    source: String,
    at: String,
    kind: String,
    options: Vec<&'a str>,
}

/// Reads lines of fstab(5).
pub(super) fn import(text: &str) -> Imported {
    let mut draft = Draft::new("line");
    let (text, is_cut) = draft::readable(text);
    let mut number = 0;
    for line in text.lines() {
        number += 1;
        let said = line.trim();
        if let Some(comment) = said.strip_prefix('#') {
            let comment = comment.trim_start_matches('#').trim();
            if !comment.is_empty() {
                draft.comment(format!("Line {number}: # {}", shown_up_to(comment, 200)));
            }
            continue;
        }
        let fields: Vec<&str> = said.split_ascii_whitespace().collect();
        match fields[..] {
            [] => {}
            [source, at, kind, ref rest @ ..] => {
                let options = rest.first().copied().unwrap_or("defaults");
                let (source, at, kind) = (unescape(source), unescape(at), unescape(kind));
                let options = options.split(',').filter(|word| !word.is_empty()).collect();
                one(&mut draft, &Line { number, said, source, at, kind, options });
            }
            _ => draft.lose(number, said, "a line has a source, a place and a type"),
        }
    }
    if is_cut {
        draft.lose(number, "", "the text is too long, its end was not read");
    }
    draft.settle();
    if draft.find("/").is_none() {
        examples(&mut draft);
    }
    draft.finish("lines of fstab(5)", &NOTES)
}

/// What makes a tree that somebody can work in.
fn examples(draft: &mut Draft) {
    draft.comment("The host's programs and settings.");
    for path in ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc"] {
        let mut item = Item::bind(path, path, 0, "");
        item.option("ro");
        item.is_optional = true;
        if draft.find(path).is_none() {
            draft.example(item);
        }
    }
    draft.comment("Or a tree that is a root already, such as the directory of a schroot.");
    draft.example(Item::bind("/srv/tree", "/", 0, ""));
}

fn one(draft: &mut Draft, line: &Line<'_>) {
    let Line { number, said, .. } = *line;
    if matches!(line.at.as_str(), "none" | "swap" | "-") {
        return draft.lose(number, said, "it is not mounted anywhere");
    }
    if !line.at.starts_with('/') {
        return draft.lose(number, said, "a place begins with `/`");
    }
    let has = |word: &str| line.options.contains(&word);
    let is_bind = ["bind", "rbind"].into_iter().any(has) || line.kind == "bind";
    let at = doubled(&line.at);
    let mut item = if is_bind {
        if !line.source.starts_with('/') {
            return draft.lose(number, said, "the source of a bind is a whole path");
        }
        let source = doubled(&line.source);
        if let Some(problem) = draft::path_problem(&draft::normal(&source)) {
            return draft.lose(number, said, problem);
        }
        bind(draft, line, &source, &at)
    } else if let Some(kind) = KINDS.into_iter().find(|kind| *kind == line.kind) {
        let mut item = Item::new(kind, &at, number, said);
        if kind == "tmpfs" {
            item.set("mode", draft::text("1777"));
        }
        item
    } else {
        let other = OTHERS.iter().find(|(kind, _)| *kind == line.kind);
        let reason =
            other.map_or("the host must mount it; a map can show what is mounted", |(_, reason)| reason);
        draft.lose(number, said, reason);
        if line.at != "/" && !matches!(line.kind.as_str(), "swap" | "ramfs" | "devtmpfs") {
            let mut item = Item::bind(&at, &at, 0, "");
            if has("ro") {
                item.option("ro");
            }
            draft.example(item);
        }
        return;
    };
    for option in &line.options {
        apply(draft, line, &mut item, option);
    }
    if has("noauto") {
        draft.lose(
            number,
            said,
            "`noauto`: it is mounted when somebody asks for it, and a map has no such entries",
        );
        draft.example(item);
    } else {
        draft.put(item);
    }
}

fn bind(draft: &mut Draft, line: &Line<'_>, source: &str, at: &str) -> Item {
    if draft::normal(source) == "/proc" {
        let reason = "the host's /proc is about the host's processes; kind = \"proc\" in its place shows the session's own";
        draft.lose(line.number, line.said, reason);
        return Item::new("proc", at, line.number, line.said);
    }
    let mut item = Item::bind(source, at, line.number, line.said);
    if !line.options.contains(&"rbind") {
        item.option("norecursive");
    }
    let source = draft::normal(source);
    if source == "/dev" || draft::is_below(&source, "/dev") && source != "/dev/shm" {
        item.option("dev");
        item.note("Devices can be opened there, as in the file. kind = \"dev\" has the harmless ones alone.");
    }
    item
}

/// One word of the fourth field.
fn apply(draft: &mut Draft, line: &Line<'_>, item: &mut Item, option: &str) {
    /// Words that are the map's, too.
    const SAME: [&str; 10] =
        ["ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "noatime", "nosymfollow"];
    let Line { number, .. } = *line;
    let takes_options = matches!(item.kind, "bind" | "tmpfs" | "proc" | "sysfs" | "mqueue");
    let (name, value) = option.split_once('=').unwrap_or((option, ""));
    let decoded = unescape(value);
    if let Some(word) = SAME.into_iter().find(|word| *word == option) {
        if takes_options {
            item.option(word);
        } else if !matches!(word, "rw" | "nosuid" | "noexec" | "suid" | "exec" | "dev") {
            draft.lose(number, option, format!("kind = \"{}\" has no options", item.kind));
        }
        return;
    }
    match name {
        "defaults" | "bind" | "rbind" | "noauto" | "auto" | "nouser" | "relatime" | "async" | "silent"
        | "private" | "rprivate" | "norelatime" | "diratime" | "symfollow" | "nolazytime" => {}
        "user" | "users" | "owner" | "group" => {
            for word in ["noexec", "nosuid", "nodev"] {
                if takes_options && !item.options.iter().any(|known| Some(*known) == word.strip_prefix("no"))
                {
                    item.option(word);
                }
            }
            draft.lose(
                number,
                option,
                "nobody mounts this by hand in a session; it is noexec, nosuid and nodev for it",
            );
        }
        "nofail" => {
            item.is_optional = true;
        }
        "_netdev" => {
            item.note("_netdev: the host mounts it when its network is there; a login does not wait.")
        }
        "comment" | "x-systemd.automount" => {
            item.note(format!("{}: it is there when a session begins.", shown_up_to(option, 100)));
        }
        name if name.starts_with("x-") || name.starts_with("X-") => {
            item.note(format!("{}: not for sessions.", shown_up_to(option, 100)));
        }
        "slave" | "rslave" if item.kind == "bind" => item.set("propagation", draft::text("slave")),
        "shared" | "rshared" => {
            draft.lose(number, option, "what is mounted in a session never appears outside")
        }
        "size" if item.kind == "tmpfs" => match draft::size(&decoded) {
            Some(size) => item.set("size", size.to_string()),
            None => {
                let reason = "a map has bytes, with K, M, G or T; without it is half of the memory";
                draft.lose(number, option, reason);
            }
        },
        "mode" if item.kind == "tmpfs" => match draft::octal(&decoded, 0o7777) {
            Some(mode) => item.set("mode", draft::text(&format!("{mode:04o}"))),
            None => draft.lose(number, option, "no octal number up to 7777"),
        },
        "uid" | "gid" if item.kind == "tmpfs" => {
            if !matches!(value, "0" | "root") {
                let reason = "root owns it; owner = \"user\" gives it to who logs in, and there is no third";
                draft.lose(number, option, reason);
            }
        }
        "gid" | "mode" | "ptmxmode" | "newinstance" if item.kind == "devpts" => {}
        _ => draft.lose(number, option, "a map has no such option"),
    }
}
