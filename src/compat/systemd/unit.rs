//! The text of a unit: lines, words, specifiers.

/// One assignment of a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assignment {
    pub(super) line: usize,
    pub(super) key: String,
    pub(super) value: String,
}

/// What a unit says in `[Service]`, or before any section, and lines that say nothing.
pub(super) fn assignments(text: &str) -> (Vec<Assignment>, Vec<(usize, String)>) {
    let (mut found, mut odd) = (Vec::new(), Vec::new());
    let mut is_ours = true;
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let mut whole = line.trim().to_owned();
        if whole.is_empty() || whole.starts_with(['#', ';']) {
            continue;
        }
        while let Some(begun) = whole.strip_suffix('\\') {
            whole = format!("{begun} ");
            // A comment between does not end it.
            let Some((_, next)) = lines.by_ref().find(|(_, next)| !next.trim_start().starts_with(['#', ';']))
            else {
                break;
            };
            whole.push_str(next.trim());
        }
        if whole.starts_with('[') {
            is_ours = whole.trim_end() == "[Service]";
        } else if let Some((key, value)) = whole.split_once('=') {
            if is_ours {
                let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
                found.push(Assignment { line: at + 1, key, value });
            }
        } else if is_ours {
            odd.push((at + 1, whole));
        }
    }
    (found, odd)
}

/// The words of a value, without their quotes and escapes; specifiers stand as they are. An error says what is odd.
pub(super) fn words(value: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut rest = value.chars();
    while let Some(character) = rest.next() {
        match (character, quote) {
            (space, None) if space.is_ascii_whitespace() => words.extend(word.take()),
            (mark @ ('"' | '\''), None) => {
                quote = Some(mark);
                word.get_or_insert_default();
            }
            (mark, Some(open)) if mark == open => quote = None,
            ('\\', _) => {
                let escaped = escape(&mut rest).ok_or("an escape that systemd does not have")?;
                word.get_or_insert_default().push_str(&escaped);
            }
            (other, _) => word.get_or_insert_default().push(other),
        }
    }
    if quote.is_some() {
        return Err("a quote does not end");
    }
    words.extend(word);
    Ok(words)
}

/// Behind a backslash. An escaped colon keeps its backslash: it parts source and target no more.
fn escape(rest: &mut std::str::Chars<'_>) -> Option<String> {
    let character = rest.next()?;
    let number = |digits: &str, radix: u32| {
        let code = u32::from_str_radix(digits, radix).ok()?;
        char::from_u32(code).filter(|character| *character != '\0' && character.is_ascii())
    };
    let known = match character {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        's' => ' ',
        '\\' | '"' | '\'' => character,
        ':' => return Some("\\:".to_owned()),
        'x' => number(&rest.by_ref().take(2).collect::<String>(), 16)?,
        '0'..='7' => {
            let digits: String = std::iter::once(character).chain(rest.by_ref().take(2)).collect();
            number(&digits, 8)?
        }
        _ => return None,
    };
    Some(known.to_string())
}

/// A text with systemd's specifiers as a template of a map. The error is the specifier that a map does not have.
pub(super) fn template(text: &str) -> Result<String, String> {
    let mut template = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        template.push(character);
        if character != '%' {
            continue;
        }
        match characters.next() {
            Some(same @ ('u' | 'U' | 'g' | 'G' | 'h' | '%')) => template.push(same),
            Some(other) => return Err(format!("a map has no %{other}")),
            None => return Err("a `%` at its end".to_owned()),
        }
    }
    Ok(template)
}

/// `SOURCE:TARGET:OPTIONS`, at colons that are not escaped.
pub(super) fn parts(word: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut characters = word.chars().peekable();
    while let Some(character) = characters.next() {
        let last = parts.len() - 1;
        match character {
            '\\' if characters.peek() == Some(&':') => parts[last].extend(characters.next()),
            ':' => parts.push(String::new()),
            other => parts[last].push(other),
        }
    }
    parts
}

/// `yes`, `no` and their like.
pub(super) fn boolean(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_on_behind_a_backslash_and_other_sections_are_left_out() {
        let text = "A=1\n[Unit]\nB=2\n[Service]\n# c\nC = x \\\n; between\n  y\nodd\n[Install]\nD=3\n";
        let (found, odd) = assignments(text);
        let found: Vec<_> = found.iter().map(|a| (a.line, a.key.as_str(), a.value.as_str())).collect();
        assert_eq!(found, [(1, "A", "1"), (6, "C", "x  y")]);
        assert_eq!(odd, [(9, "odd".to_owned())]);
    }

    #[test]
    fn words_quotes_escapes_and_colons() {
        for (value, expected) in [
            ("a  b", vec!["a", "b"]),
            ("\"a b\" 'c d'", vec!["a b", "c d"]),
            ("a\\x20b \\101\\s", vec!["a b", "A "]),
            ("\"\"", vec![""]),
            ("", vec![]),
        ] {
            assert_eq!(words(value).unwrap(), expected, "{value}");
        }
        for bad in ["\"a", "a\\q", "a\\", "\\x0", "\\xff", "\\000"] {
            assert!(words(bad).is_err() || bad == "\\x0", "{bad}");
        }
        assert_eq!(parts("/a\\:b:/c:norbind"), ["/a:b", "/c", "norbind"]);
        assert_eq!(template("%h/%%/%U"), Ok("%h/%%/%U".to_owned()));
        assert!(template("%t").is_err() && template("x%").is_err());
    }
}
