//! `[[profile.mount]]`: what a root is made of.

use super::entry::{Action, Entry, normal};
use super::reader::Reader;
use super::source::At;
use super::values::{self, Options};
use super::words::{self, quote};
use crate::model::instance::{Holder, Likeness, NewDirectory, NewOwner};
use crate::model::path::AbsPath;
use crate::model::policy::{Attributes, MountKind, MountRule, OpenAs, Owner, Propagation};
use crate::model::template::Template;

/// The longest `content` of a file, in bytes.
const CONTENT_MAX: usize = 64 * 1024;
/// The longest text of a symbolic link, in bytes; the kernel takes no more.
const LINK_MAX: usize = 4095;

const KINDS: [&str; 13] = [
    "bind", "tmpfs", "proc", "sysfs", "dev", "devpts", "mqueue", "symlink", "dir", "file", "mask", "system",
    "remove",
];

/// Kinds that the map's language has and this version cannot mount.
const LATER_KINDS: [&str; 2] = ["overlay", "image"];

/// Every key of an entry but `kind`, and the kinds that take it.
const KEYS: [(&str, &[&str]); 15] = [
    (
        "target",
        &[
            "bind", "tmpfs", "proc", "sysfs", "dev", "devpts", "mqueue", "symlink", "dir", "file", "mask",
            "remove",
        ],
    ),
    (
        "optional",
        &[
            "bind", "tmpfs", "proc", "sysfs", "dev", "devpts", "mqueue", "symlink", "dir", "file", "mask",
            "system",
        ],
    ),
    ("source", &["bind"]),
    ("create", &["bind"]),
    ("recursive", &["bind"]),
    ("open_as", &["bind"]),
    ("follow_symlinks", &["bind"]),
    ("propagation", &["bind"]),
    ("options", &["bind", "tmpfs", "proc", "sysfs", "mqueue", "system"]),
    ("size", &["tmpfs", "dev"]),
    ("mode", &["bind", "tmpfs", "dir", "file"]),
    ("owner", &["bind", "tmpfs", "dir", "file"]),
    ("to", &["symlink"]),
    ("content", &["file"]),
    ("paths", &["system"]),
];

/// What holds for kernel file systems that hold nothing to execute.
const NO_EXEC: Attributes = Attributes { noexec: true, ..Attributes::STANDARD };
/// What holds for what belongs to the host.
const READ_ONLY: Attributes = Attributes { read_only: true, ..Attributes::STANDARD };

/// Reads one entry; `None` when it has no use after its mistakes were reported.
pub(super) fn read(mut reader: Reader<'_>) -> Option<Entry> {
    let place = reader.first_key();
    let word = kind_word(&mut reader);
    let Some(word) = word else {
        // The kind decides about the other keys, so only those that no kind has are surely wrong.
        KEYS.iter().for_each(|(key, _)| reader.allow(key));
        reader.finish();
        return None;
    };
    let target = match word {
        "system" => None,
        _ => reader.required_string("target").and_then(|text| path(&reader, text)),
    };
    if word == "remove" {
        finish(reader, word);
        return target.map(|target| {
            Entry::new(place, vec![target.source().to_owned()], Action::Remove { done: false })
        });
    }
    let kind = kind(&mut reader, word, target.as_ref());
    let makes = makes(&mut reader, kind.as_ref());
    let optional = reader.boolean("optional").is_some_and(|optional| optional.value);
    let origin = reader.problems.origin(place);
    finish(reader, word);
    let kind = kind?;
    let (target, targets) = match &kind {
        MountKind::System { paths, .. } => {
            (Template::parse_path("/").ok()?, paths.iter().map(|path| path.as_str().to_owned()).collect())
        }
        _ => target.map(|target| (target.clone(), vec![target.source().to_owned()]))?,
    };
    Some(Entry::new(
        place,
        targets,
        Action::Mount(Box::new(MountRule { origin, target, kind, optional, makes, init: None })),
    ))
}

fn kind_word(reader: &mut Reader<'_>) -> Option<&'static str> {
    reader.allow("kind");
    if !reader.has("kind") {
        return Some("bind");
    }
    let At { value: word, place } = reader.string("kind")?;
    let known = KINDS.into_iter().find(|kind| *kind == word);
    if LATER_KINDS.contains(&word) {
        reader.problems.report(place, format!("kind `{word}` is not supported by this version"));
    } else if known.is_none() {
        let help = words::help(word, "known are", &KINDS);
        reader.problems.report_with_help(place, format!("unknown kind {}", quote(word)), help);
    }
    known
}

/// Reports keys that do not belong to an entry of this kind.
fn finish(reader: Reader<'_>, word: &str) {
    reader.finish_with(|key| {
        let (_, kinds) = KEYS.iter().find(|(known, _)| *known == key)?;
        let others = || KINDS.into_iter().filter(|kind| !kinds.contains(kind)).collect::<Vec<_>>();
        let help = match kinds {
            [only] => format!("`{key}` is for the kind {only}"),
            kinds if kinds.len() > KINDS.len() / 2 => {
                format!("`{key}` is for every kind but {}", others().join(", "))
            }
            kinds => format!("`{key}` is for the kinds {}", kinds.join(", ")),
        };
        Some((format!("`{key}` does not belong to an entry of kind `{word}`"), Some(help)))
    });
}

fn kind(reader: &mut Reader<'_>, word: &str, target: Option<&Template>) -> Option<MountKind> {
    Some(match word {
        "bind" => return bind(reader, target),
        "tmpfs" => MountKind::Tmpfs {
            size: values::size(reader),
            mode: values::octal(reader, "mode", 0o7777).unwrap_or(0o755),
            owner: owner(reader),
            attributes: attributes(reader, Attributes::STANDARD),
        },
        "proc" => MountKind::Proc { attributes: attributes(reader, NO_EXEC) },
        "sysfs" => MountKind::Sysfs { attributes: attributes(reader, READ_ONLY) },
        "dev" => MountKind::Dev { size: values::size(reader) },
        "devpts" => MountKind::Devpts,
        "mqueue" => MountKind::Mqueue { attributes: attributes(reader, NO_EXEC) },
        "symlink" => MountKind::Symlink { to: link(reader)? },
        "dir" => MountKind::Dir {
            mode: values::octal(reader, "mode", 0o7777).unwrap_or(0o755),
            owner: owner(reader),
        },
        "file" => {
            let mode = values::file_mode(reader).unwrap_or(0o644);
            let owner = owner(reader);
            MountKind::File { content: content(reader)?, mode, owner }
        }
        "mask" => MountKind::Mask,
        _ => {
            let attributes = attributes(reader, READ_ONLY);
            MountKind::System { paths: paths(reader)?, attributes }
        }
    })
}

fn bind(reader: &mut Reader<'_>, target: Option<&Template>) -> Option<MountKind> {
    let source = match reader.string("source") {
        Some(text) => path(reader, text),
        None => target.cloned(),
    };
    let recursive = reader.boolean("recursive");
    let Options { attributes, no_recursive } = values::options(reader, Attributes::STANDARD);
    if let (Some(At { value, place }), true) = (&recursive, no_recursive) {
        let message = format!("`recursive = {value}` beside the option `norecursive`");
        reader.problems.report_with_help(*place, message, "one of the two is enough");
    }
    let open_as = reader.word("open_as", &[("root", OpenAs::Root), ("user", OpenAs::User)]);
    let open_as = open_as.map_or(OpenAs::Root, |open_as| open_as.value);
    let follow_symlinks = reader.boolean("follow_symlinks");
    let propagation =
        reader.word("propagation", &[("private", Propagation::Private), ("slave", Propagation::Slave)]);
    Some(MountKind::Bind {
        source: source?,
        recursive: !no_recursive && recursive.is_none_or(|recursive| recursive.value),
        open_as,
        follow_symlinks: follow_symlinks.is_some_and(|follow| follow.value),
        propagation: propagation.map_or(Propagation::Private, |propagation| propagation.value),
        attributes,
    })
}

/// `create`: the source is made where it is missing.
fn makes(reader: &mut Reader<'_>, kind: Option<&MountKind>) -> Vec<NewDirectory> {
    let Some(MountKind::Bind { source, open_as, .. }) = kind else { return Vec::new() };
    let create = reader.boolean("create");
    let mode = values::octal(reader, "mode", 0o7777);
    let owner = reader.word("owner", &[("root", Owner::Root), ("user", Owner::User)]);
    if !create.as_ref().is_some_and(|create| create.value) {
        for (key, is_there) in [("mode", reader.has("mode")), ("owner", owner.is_some())] {
            if is_there {
                let message = format!("`{key}` says how a source is made, and this one is not");
                reader.problems.report_with_help(
                    reader.key_place(key),
                    message,
                    "set `create = true` beside it",
                );
            }
        }
        return Vec::new();
    }
    if *open_as == OpenAs::User {
        let message = "`create` beside `open_as = \"user\"`: what root makes lies where root alone may write";
        reader.problems.report(reader.key_place("create"), message);
    }
    let owner = owner.map_or(Owner::User, |owner| owner.value);
    let likeness = Likeness::Said { mode: mode.unwrap_or(0o700), owner: NewOwner::Of(owner) };
    vec![NewDirectory { at: source.clone(), likeness, holder: Holder::Roots }]
}

/// Attributes for the kinds that are not recursive in the first place.
fn attributes(reader: &mut Reader<'_>, standard: Attributes) -> Attributes {
    let Options { attributes, no_recursive } = values::options(reader, standard);
    if no_recursive {
        let place = reader.key_place("options");
        reader.problems.report(place, "the option `norecursive` is only for entries of kind `bind`");
    }
    attributes
}

fn owner(reader: &mut Reader<'_>) -> Owner {
    let owner = reader.word("owner", &[("root", Owner::Root), ("user", Owner::User)]);
    owner.map_or(Owner::Root, |owner| owner.value)
}

/// A path with variables, in normal form.
fn path(reader: &Reader<'_>, text: At<&str>) -> Option<Template> {
    reader.parsed(text, Template::parse_path)?;
    reader.parsed(text, |text| Template::parse_path(&normal(text)))
}

fn link(reader: &mut Reader<'_>) -> Option<Template> {
    let text = reader.required_string("to")?;
    let problem = match text.value {
        "" => Some("a symbolic link leads somewhere; `to` is empty"),
        long if long.len() > LINK_MAX => Some("`to` is longer than a symbolic link can be"),
        odd if odd.chars().any(char::is_control) => Some("`to` holds a control character"),
        _ => None,
    };
    match problem {
        None => reader.parsed(text, Template::parse),
        Some(problem) => {
            reader.problems.report(text.place, problem);
            None
        }
    }
}

fn content(reader: &mut Reader<'_>) -> Option<Template> {
    let text = reader.required_string("content")?;
    if text.value.len() > CONTENT_MAX {
        let message = format!("`content` has {} bytes; {CONTENT_MAX} are the limit", text.value.len());
        reader.problems.report_with_help(text.place, message, "keep it in a file of the host, and bind that");
        return None;
    }
    reader.parsed(text, Template::parse)
}

fn paths(reader: &mut Reader<'_>) -> Option<Vec<AbsPath>> {
    if !reader.has("paths") {
        reader.problems.report(reader.place(), "`paths` is missing");
    }
    let At { value: texts, place } = reader.strings("paths")?;
    if texts.is_empty() {
        reader.problems.report(place, "`paths` names nothing");
    }
    let mut paths: Vec<AbsPath> = Vec::new();
    for text in texts {
        let Some(path) = reader.parsed(text, AbsPath::new) else { continue };
        if path.is_root() {
            let help = "name the directories of the system, such as `/usr`";
            reader.problems.report_with_help(text.place, "`/` is the whole host", help);
        } else if paths.contains(&path) {
            reader.problems.report(text.place, format!("{} is named twice", quote(text.value)));
        } else {
            paths.push(path);
        }
    }
    Some(paths)
}
