//! Values that several kinds of configuration have: paths, modes, sizes.

use crate::model::template::Template;
use crate::paper::{PATH_MAX, quoted};

/// So many bytes are read; a map could not hold what is said in more.
const READ_MAX: usize = 256 * 1024;
/// The kernel's limit for the text of a link.
const LINK_MAX: usize = 4095;

/// A template as TOML has it. What reads maps counts brackets in texts, too, so that none is left open here.
pub(super) fn text(template: &str) -> String {
    quoted(template).replace('[', "\\U0000005B").replace('{', "\\U0000007B")
}

/// Single slashes, none at the end.
pub(super) fn normal(path: &str) -> String {
    let joined = path.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
    if path.starts_with('/') { format!("/{joined}") } else { joined }
}

pub(super) fn depth(path: &str) -> usize {
    path.split('/').filter(|part| !part.is_empty()).count()
}

/// Both in normal form. Everything is below the root, also what stands for a path that is not known.
pub(super) fn is_below(path: &str, above: &str) -> bool {
    if above == "/" {
        return path != "/";
    }
    path.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'))
}

/// The same, or `path` is in the user's home, and homes are below `above` on most hosts.
pub(super) fn may_be_below(path: &str, above: &str) -> bool {
    const OF_HOMES: [&str; 5] = ["/home", "/root", "/var", "/srv", "/export"];
    is_below(path, above) || path.starts_with("%h") && OF_HOMES.contains(&above)
}

/// Can users change what lies there?
pub(super) fn is_users(path: &str) -> bool {
    const THEIRS: [&str; 8] = ["/home", "/root", "/tmp", "/var/tmp", "/run/user", "/media", "/dev/shm", "%h"];
    THEIRS.iter().any(|place| is_below(path, place))
}

/// Why a map cannot have this path.
pub(super) fn path_problem(path: &str) -> Option<String> {
    if path.contains(char::REPLACEMENT_CHARACTER) {
        return Some("not UTF-8".to_owned());
    }
    if path.len() > PATH_MAX {
        return Some(format!("a path of more than {PATH_MAX} bytes, which nobody could read"));
    }
    Template::parse_path(path).err().map(|error| error.to_string())
}

/// What a link can lead to.
pub(super) fn link_problem(to: &str) -> Option<&'static str> {
    match to {
        "" => Some("a link leads somewhere"),
        to if to.len() > LINK_MAX || to.chars().any(char::is_control) => {
            Some("too long for a link, or with a control character")
        }
        to if Template::parse(to).is_err() => Some("it has a `%` that no map has"),
        _ => None,
    }
}

/// Permission bits as they were written.
pub(super) fn octal(text: &str, most: u32) -> Option<u32> {
    let digits = !text.is_empty() && text.len() <= 12 && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    u32::from_str_radix(text, 8).ok().filter(|mode| digits && *mode <= most)
}

/// Bytes, with K, M, G or T behind them; none for what is no limit.
pub(super) fn size(text: &str) -> Option<u64> {
    let split = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let factor: u64 = match &text[split..] {
        "" => 1,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        "t" | "T" => 1 << 40,
        _ => return None,
    };
    let bytes = text[..split].parse::<u64>().ok()?.checked_mul(factor)?;
    (bytes > 0 && i64::try_from(bytes).is_ok()).then_some(bytes)
}

/// As much of a text as is read.
pub(super) fn readable(text: &str) -> (&str, bool) {
    let mut end = text.len().min(READ_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    (&text[..end], end < text.len())
}
