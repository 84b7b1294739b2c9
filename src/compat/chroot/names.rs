//! Which names a first field stands for, where that can be said without asking anybody.

use crate::model::name::UserName;

/// What the field says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// The names.
    pub(super) names: Vec<String>,
    /// Written as a pattern for whole names; otherwise as a name, which a pattern finds within longer ones, too.
    pub(super) is_anchored: bool,
}

/// The names of a field without its `@`, or why there are none.
pub(super) fn names(field: &str, is_group: bool) -> Result<Names, String> {
    let read = if is_name_like(field) {
        Names { names: vec![field.to_owned()], is_anchored: false }
    } else {
        Names { names: anchored(field)?, is_anchored: true }
    };
    for name in &read.names {
        if is_group {
            check_group(name)?;
        } else {
            UserName::new(name).map_err(|error| error.to_string())?;
        }
    }
    Ok(read)
}

/// Nothing in it that a pattern would take for more than itself, but a dot.
fn is_name_like(field: &str) -> bool {
    !field.is_empty() && field.chars().all(|character| is_plain(character) || character == '.')
}

fn is_plain(character: char) -> bool {
    // Letters that are none of ASCII's are for the check of the name.
    character.is_ascii_alphanumeric() || "_-@".contains(character) || !character.is_ascii()
}

fn check_group(name: &str) -> Result<(), String> {
    let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
    if is_number || name.contains([':', ',', '/']) || name.chars().any(char::is_control) {
        return Err(format!("{name:?} is no name that a group can have in a map"));
    }
    Ok(())
}

/// `^bob$`, `^(bob|eve)$`, `^bob$|^eve$`, and the same with the backslashes of basic regular expressions. Names have no
/// parentheses, so that both kinds can only mean the same here.
fn anchored(field: &str) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    for piece in alternatives(field) {
        let whole = piece.strip_prefix('^').and_then(|rest| rest.strip_suffix('$'));
        let whole = whole.filter(|inner| !inner.ends_with('\\'));
        let Some(inner) = whole else {
            return Err("it is a pattern that also matches parts of names: `^` and `$` around it make it one for whole \
                        names"
                .to_owned());
        };
        let group = [("\\(", "\\)"), ("(", ")")]
            .into_iter()
            .find_map(|(open, close)| inner.strip_prefix(open)?.strip_suffix(close));
        match group {
            Some(list) => {
                for name in alternatives(list) {
                    names.push(literal(name)?);
                }
            }
            None => names.push(literal(inner)?),
        }
    }
    Ok(names)
}

/// The parts between `|` or `\|` that stand in no parentheses.
fn alternatives(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut depth, mut start, mut is_escaped) = (0_usize, 0, false);
    for (at, character) in text.char_indices() {
        match character {
            '\\' if !is_escaped => {
                is_escaped = true;
                continue;
            }
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '|' if depth == 0 => {
                pieces.push(&text[start..at - usize::from(is_escaped)]);
                start = at + 1;
            }
            _ => {}
        }
        is_escaped = false;
    }
    pieces.push(&text[start..]);
    pieces
}

/// A name in which every character stands for itself.
fn literal(text: &str) -> Result<String, String> {
    let mut name = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some(itself @ ('.' | '$' | '-')) => name.push(itself),
                _ => return Err(not_names(text)),
            },
            '.' => {
                return Err("`.` stands for any character in a pattern, and `\\.` for the dot".to_owned());
            }
            plain if is_plain(plain) => name.push(plain),
            _ => return Err(not_names(text)),
        }
    }
    if name.is_empty() {
        return Err("it is a pattern that matches the empty name".to_owned());
    }
    Ok(name)
}

fn not_names(text: &str) -> String {
    let shown = crate::paper::shown(text);
    format!("`{shown}` is a pattern, and a map lists names or asks for a group")
}

/// Which of `known` the field matches as a pattern besides the names that it says.
pub(super) fn more<'a>(read: &Names, known: &[&'a str]) -> Vec<&'a str> {
    let hits = |known: &str| {
        read.names.iter().any(|name| match read.is_anchored {
            true => name.eq_ignore_ascii_case(known),
            false => is_within(name.as_bytes(), known.as_bytes()),
        })
    };
    let is_said = |known: &str| read.names.iter().any(|name| name == known);
    known.iter().copied().filter(|known| hits(known) && !is_said(known)).collect()
}

fn is_within(name: &[u8], known: &[u8]) -> bool {
    let same = |(pattern, character): (&u8, &u8)| *pattern == b'.' || pattern.eq_ignore_ascii_case(character);
    known.windows(name.len().max(1)).any(|window| name.iter().zip(window).all(same))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_patterns_of_whole_names_are_names() {
        for (field, expected) in [
            ("bob", &["bob"][..]),
            ("jane.doe", &["jane.doe"]),
            ("bob@example.org", &["bob@example.org"]),
            ("^bob$", &["bob"]),
            ("^(bob|eve)$", &["bob", "eve"]),
            (r"^\(bob\|eve\)$", &["bob", "eve"]),
            ("^bob$|^(eve|jane)$", &["bob", "eve", "jane"]),
            (r"^bob$\|^eve$", &["bob", "eve"]),
            (r"^jane\.doe$", &["jane.doe"]),
            (r"^PC7\$$", &["PC7$"]),
        ] {
            assert_eq!(names(field, false).unwrap().names, expected, "{field}");
        }
        assert!(!names("bob", false).unwrap().is_anchored);
        assert_eq!(names("^3d$", true).unwrap().names, ["3d"]);
    }

    #[test]
    fn other_patterns_and_names_of_nobody_are_not() {
        for field in [
            "",
            "^bob",
            "bob$",
            "bob|eve",
            "^bob|eve$",
            "^stu([0-9]+)$",
            "^(bob|e.e)$",
            "^((a)|b)$",
            "^()$",
            "^$",
            "^(|bob)$",
            "b*",
            "^bob\\$",
            "^a$|",
            "(^bob$)",
            "^[b]ob$",
            "^bob+$",
            "^bo\\b$",
            "1bob",
            "b\u{f8}b",
            "^(a)|(b)$",
            "a/b",
            ".",
            "\\",
            "|",
            "^(a$",
            "DOM\\user",
        ] {
            assert!(names(field, false).is_err(), "{field:?}: {:?}", names(field, false));
        }
        for field in ["", "100", "^(staff|7)$", "a:b"] {
            assert!(names(field, true).is_err(), "{field:?}");
        }
    }

    #[test]
    fn a_name_as_a_pattern_matches_within_longer_ones() {
        let known = ["pamchroot", "xpamchroot-old", "PAMCHROOT", "pam", "", "other"];
        let read = names("pamchroot", true).unwrap();
        assert_eq!(more(&read, &known), ["xpamchroot-old", "PAMCHROOT"]);
        assert_eq!(more(&names("^pamchroot$", true).unwrap(), &known), ["PAMCHROOT"]);
        assert_eq!(more(&names("j.d", false).unwrap(), &["jxd", "ajbdc", "jd", "j.d"]), ["jxd", "ajbdc"]);
    }
}
