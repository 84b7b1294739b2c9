//! Words of a line, and what stands for the user in them: the lexer of pam_namespace, letter by letter.

/// What C's `isspace` takes for space.
fn is_space(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\n' | '\u{b}' | '\u{c}' | '\r')
}

/// What is left of a line without its comment. A `#` begins one wherever it stands, in quotes and behind a backslash as
/// well; a zero byte ends a line for whoever reads it as C does.
pub(super) fn without_comment(line: &str) -> &str {
    let end = line.find(['#', '\0']).unwrap_or(line.len());
    line[..end].trim_start_matches(is_space)
}

/// The words of a line. Within quotes a backslash is a letter as any other; a quote that is never closed goes on to the
/// end of the line.
pub(super) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut is_quoted = false;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        if is_quoted {
            match letter {
                '"' => is_quoted = false,
                other => word.get_or_insert_default().push(other),
            }
            continue;
        }
        match letter {
            space if is_space(space) => words.extend(word.take()),
            '"' => {
                word.get_or_insert_default();
                is_quoted = true;
            }
            '\\' => word.get_or_insert_default().push(match letters.next() {
                None => '\\',
                Some('n') => '\n',
                Some('t') => '\t',
                Some('b') => '\u{8}',
                Some(other) => other,
            }),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

/// A part of a text with variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// As it stands.
    Text(&'a str),
    /// The home directory.
    Home,
    /// The name.
    User,
}

/// The parts of `text`. A variable ends with its name, whatever follows; any other `$` is one.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut from = 0;
    while let Some(at) = rest[from..].find('$').map(|at| from + at) {
        let found = [("$HOME", Piece::Home), ("$USER", Piece::User)]
            .into_iter()
            .find(|(name, _)| rest[at..].starts_with(name));
        let Some((name, piece)) = found else {
            from = at + 1;
            continue;
        };
        if at > 0 {
            pieces.push(Piece::Text(&rest[..at]));
        }
        pieces.push(piece);
        rest = &rest[at + name.len()..];
        from = 0;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

/// What `text` is for a user.
pub(super) fn expanded(text: &str, home: &str, user: &str) -> String {
    let value = |piece| match piece {
        Piece::Text(text) => text,
        Piece::Home => home,
        Piece::User => user,
    };
    pieces(text).into_iter().map(value).collect()
}

/// A number as `strtoul` reads it where the base is to be seen from the number: `0x1ff`, `0777`, `511`. What follows the
/// digits does not count, no digit at all is zero, and `None` is a number that is too large.
pub(super) fn number(text: &str) -> Option<u64> {
    let text = text.trim_start_matches(is_space);
    let (is_negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (radix, digits) =
        match hexadecimal.filter(|rest| rest.starts_with(|digit: char| digit.is_ascii_hexdigit())) {
            Some(rest) => (16, rest),
            None if text.starts_with('0') => (8, text),
            None => (10, text),
        };
    let end = digits.find(|digit: char| !digit.is_digit(radix)).unwrap_or(digits.len());
    let number = match &digits[..end] {
        "" => 0,
        digits => u64::from_str_radix(digits, radix).ok()?,
    };
    Some(if is_negative { number.wrapping_neg() } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_into_words_as_there() {
        let table: [(&str, &[&str]); 16] = [
            ("", &[]),
            (" \t\r\u{b}\u{c} ", &[]),
            ("/tmp /tmp-inst/ level root,adm", &["/tmp", "/tmp-inst/", "level", "root,adm"]),
            ("\"/a b\" c", &["/a b", "c"]),
            ("/a\"b c\"d e", &["/ab cd", "e"]),
            ("\"\" x \"\"", &["", "x", ""]),
            ("\"never closed  ", &["never closed  "]),
            ("a\\ b c", &["a b", "c"]),
            ("a\\nb\\tc\\bd", &["a\nb\tc\u{8}d"]),
            ("\\x\\\\\\\"", &["x\\\""]),
            ("\"a\\nb\\\"", &["a\\nb\\"]),
            ("end\\", &["end\\"]),
            ("\\", &["\\"]),
            ("a\"\"b", &["ab"]),
            ("a\u{a0}b", &["a\u{a0}b"]),
            ("\"a\"\"b\" 'c d'", &["ab", "'c", "d'"]),
        ];
        for (line, expected) in table {
            assert_eq!(words(line), expected, "{line:?}");
        }
    }

    #[test]
    fn a_comment_begins_anywhere() {
        for (line, expected) in [
            ("# all of it", ""),
            ("  # all of it", ""),
            ("/tmp /x user#rest", "/tmp /x user"),
            ("\"/a#b\" /x user", "\"/a"),
            ("/a\\# b", "/a\\"),
            ("/a /b\0 user", "/a /b"),
        ] {
            assert_eq!(without_comment(line), expected, "{line:?}");
        }
    }

    #[test]
    fn variables_end_with_their_names() {
        for (text, expected) in [
            ("$HOME", "/home/bob"),
            ("$HOME/$USER.inst/", "/home/bob/bob.inst/"),
            ("$USERX", "bobX"),
            ("$HOMEUSER", "/home/bobUSER"),
            ("${USER}/$user/$", "${USER}/$user/$"),
            ("$$USER$HOM", "$bob$HOM"),
            ("/x$USER$USER", "/xbobbob"),
            ("", ""),
        ] {
            assert_eq!(expanded(text, "/home/bob", "bob"), expected, "{text:?}");
        }
        // What a variable stands for is not looked at again.
        assert_eq!(expanded("$HOME", "/home/$USER", "bob"), "/home/$USER");
    }

    #[test]
    fn numbers_have_the_base_that_they_show() {
        for (text, expected) in [
            ("0711", Some(0o711)),
            ("711", Some(711)),
            ("0x1ff", Some(0x1ff)),
            ("0X1FF", Some(0x1ff)),
            ("0x", Some(0)),
            ("08", Some(0)),
            ("0755abc", Some(0o755)),
            ("abc", Some(0)),
            ("", Some(0)),
            (" +7", Some(7)),
            ("-1", Some(u64::MAX)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
        ] {
            assert_eq!(number(text), expected, "{text:?}");
        }
    }
}
