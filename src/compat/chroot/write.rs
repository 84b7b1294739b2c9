//! The map that says the same as `chroot.conf`.

use sha2::{Digest, Sha256};

use super::Reading;
use super::lines::{Line, lines};
use super::names::{self, Names};
use crate::compat::{Imported, Loss};
use crate::model::path::AbsPath;
use crate::model::template::Template;
use crate::paper::{Entry, PATH_MAX, Paper, listed, quoted, shown, shown_up_to, wrapped};

/// As many profiles a map may have.
const PROFILES_MAX: usize = 256;
/// A map that is longer than 256 KiB is not read. The rest is for what stands around the profiles.
const PROFILES_SIZE: usize = 160 * 1024;
/// Comments stop here; the list of losses goes on.
const COMMENTS_SIZE: usize = 48 * 1024;
/// As much of a line is shown.
const LINE_SHOWN: usize = 200;

/// The map. Without the host's users and groups it cannot say whom else a pattern matches.
pub fn import(text: &str) -> Imported {
    import_with(text, &[], &[])
}

/// The map, with a word on every line which as a pattern matches more of these `users` or `groups` than it says.
pub fn import_with(text: &str, users: &[&str], groups: &[&str]) -> Imported {
    let mut map = header();
    let mut losses = Vec::new();
    let (mut profiles, mut size, mut comments) = (0_usize, 0_usize, 0_usize);
    for line in lines(text.as_bytes(), Reading::Compat) {
        let field = text_of(&line.name);
        let is_group = field.starts_with('@');
        let known = if is_group { groups } else { users };
        let written = match profile(&line, &field, known) {
            Ok(profile) if profiles < PROFILES_MAX && size + profile.len() <= PROFILES_SIZE => {
                profiles += 1;
                size += profile.len();
                Ok(profile)
            }
            Ok(_) => Err(format!("a map has at most {PROFILES_MAX} profiles and 256 KiB")),
            Err(reason) => Err(reason),
        };
        match written {
            Ok(profile) => map.push_str(&profile),
            Err(reason) => {
                let loss = loss(&line, reason);
                if comments < COMMENTS_SIZE {
                    let comment = format!("\n{}", comment(&loss));
                    comments += comment.len();
                    map.push_str(&comment);
                }
                losses.push(loss);
            }
        }
    }
    if profiles == 0 {
        map.push('\n');
        map.push_str(&wrapped(
            "There is no line that could become a profile, and a map without one is refused.",
        ));
    }
    if comments >= COMMENTS_SIZE {
        map.push('\n');
        map.push_str(&wrapped(&format!("More is missing than stands here: {} lines in all.", losses.len())));
    }
    Imported { map, losses }
}

/// The map of the one `user` whom [`super::decide`] gives `directory`, or why there can be none.
pub fn map_of(user: &str, directory: &[u8]) -> Result<String, String> {
    // No variable of pam_chroot's is left in it, and none of the map's may come to be.
    let source = source(&text_of(directory).replace('%', "%%"))?;
    // Logins that are given another directory, by a changed line or by another file, are not led into the view of this one.
    let digest = Sha256::digest(directory);
    let digits: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    Ok(format!(
        "version = 1\n\n[[profile]]\nname = \"chroot-conf-{digits}\"\nmatch = {{ user = [{}] }}\nmode = \"chroot\"\n\n{}",
        quoted(user),
        mounts(&source)
    ))
}

fn header() -> String {
    let paragraphs = [
        "A map of session-sandbox that says what /etc/security/chroot.conf says to pam_chroot. The first line that is for a \
         user wins there, and the first profile here.",
        "What that file does not say: whether the module is told use_groups, without which a line that begins with `@` is \
         an error, and use_regex, with which names are patterns. Such a pattern matches in any case of letters and within \
         longer names. Here names are compared as they are.",
        "For whom there is no profile, there is no root of their own: the login goes on in the host's view, as it does with \
         pam_chroot unless notfound=failure or onerr=fail stands in the service. A user whose line is missing below comes \
         to the lines behind it, or to none.",
        "pam_chroot mounts nothing. Programs want a /proc and a /dev all the same, and logins by ssh end without them. Where \
         the directory has places for them, they are filled here as the README of Debian's package has it: with /proc, and \
         with all of the host's /dev. With kind = \"dev\" and without options the few harmless devices are there, and with \
         kind = \"devpts\" at /dev/pts terminals of the session's own.",
        "Settings that are not said here are those of the map of the package: a session sees its own processes alone, and \
         no program gains rights by being executed, as sudo does.",
    ];
    let mut text = paragraphs.map(wrapped).join("#\n");
    text.push_str("\nversion = 1\n");
    text
}

/// Text of the file's, with a mark for what is none.
fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn as_written(line: &Line) -> String {
    let directory = line.directory.as_deref().map(text_of).unwrap_or_default();
    let text = format!("{} {directory}", text_of(&line.name));
    shown_up_to(text.trim_end(), LINE_SHOWN)
}

fn loss(line: &Line, reason: String) -> Loss {
    Loss { line: line.number, text: as_written(line), reason }
}

fn comment(loss: &Loss) -> String {
    wrapped(&format!("Not here: line {}: {}", loss.line, loss.text))
        + &wrapped(&format!("because: {}.", shown_up_to(&loss.reason, 2 * LINE_SHOWN)))
}

/// A profile for a line, with what is to be said of it.
fn profile(line: &Line, field: &str, known: &[&str]) -> Result<String, String> {
    let Some(directory) = &line.directory else {
        return Err("there is no directory; the module goes on with the next line".to_owned());
    };
    let (field, key) = field.strip_prefix('@').map_or((field, "user"), |group| (group, "group"));
    let read = names::names(field, key == "group")?;
    let source = source(&text_of(directory))?;

    let mut text = format!("\n{}", wrapped(&format!("Line {}: {}", line.number, as_written(line))));
    if line.part > 0 {
        text.push_str(&wrapped(
            "This is the end of a line of more than 1023 bytes, which the module takes for a line of its own.",
        ));
    }
    if line.has_more {
        text.push_str(&wrapped("More stands on it, which the module does not read."));
    }
    text.push_str(&warning(&read, key, known));
    let name = if line.part > 0 {
        format!("line-{}-{}", line.number, line.part + 1)
    } else {
        format!("line-{}", line.number)
    };
    let list: Vec<String> = read.names.iter().map(|name| quoted(name)).collect();
    text.push_str(&format!(
        "[[profile]]\nname = {}\nmatch = {{ {key} = [{}] }}\nmode = \"chroot\"\n\n",
        quoted(&name),
        list.join(", ")
    ));
    text.push_str(&mounts(&source));
    Ok(text)
}

fn warning(read: &Names, key: &str, known: &[&str]) -> String {
    let more = names::more(read, known);
    if more.is_empty() {
        return String::new();
    }
    let said = listed(&read.names);
    wrapped(&format!(
        "Mind: as a pattern (use_regex) this also matches the {key}{} {}. Here it is {said} and nobody else.",
        if more.len() > 1 { "s" } else { "" },
        listed(more)
    ))
}

fn mounts(source: &str) -> String {
    let mut paper = Paper::default();
    // Brackets that nobody closes would make the file look like one that is nested without end.
    let source = quoted(source).replace('[', "\\u005B").replace('{', "\\u007B");
    // The module follows links. Here each of them must be one that only root can have made.
    paper.entry(Entry::bind(AbsPath::root()).key("source", source).follow());
    paper.entry(Entry::at("/proc", "proc").optional());
    paper.entry(Entry::at("/dev", "bind").options(&["dev"]).optional());
    paper.text()
}

/// The directory as a map writes it.
fn source(directory: &str) -> Result<String, String> {
    if directory.contains(char::REPLACEMENT_CHARACTER) {
        return Err("the directory is no text in UTF-8".to_owned());
    }
    let mut source = String::new();
    let mut characters = directory.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            source.push(character);
            continue;
        }
        // In the module the capital means the same; in a map it is the number.
        match characters.next() {
            Some('u' | 'U') => source.push_str("%u"),
            Some('g' | 'G') => source.push_str("%g"),
            Some('%') => source.push_str("%%"),
            Some(digit) if digit.is_ascii_digit() => {
                return Err(format!(
                    "`%{digit}` is a part of what a pattern matched, and a map has no such variable"
                ));
            }
            Some(other) => {
                return Err(format!(
                    "the module knows no variable `%{}`, and refuses the login",
                    shown(&other.to_string())
                ));
            }
            None => return Err("a lone `%` at its end makes the module refuse the login".to_owned()),
        }
    }
    if source.len() > PATH_MAX {
        return Err(format!("a path of more than {PATH_MAX} bytes"));
    }
    let template = Template::parse_path(&source).map_err(|error| error.to_string())?;
    match AbsPath::new(&source) {
        Ok(path) if path.is_root() => {
            Err("the directory is the host's own root, and so no root of their own".to_owned())
        }
        _ => Ok(template.source().to_owned()),
    }
}
