//! Texts of the definitions in the language of manual pages, mdoc(7).

/// What words of a text can stand for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    /// The program whose page it is.
    pub(crate) program: &'a str,
    /// Names and sections of all pages.
    pub(crate) pages: &'a [(String, String)],
    /// What stands for a value: NAME, FILE.
    pub(crate) places: &'a [&'a str],
}

/// A text as an argument of a macro, meant literally: no escape, no quote, no hyphen that could be set as another
/// character, no macro's name, no delimiter.
pub(crate) fn argument(text: &str) -> String {
    let mut out = String::new();
    let is_macro = (2..=3).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_uppercase())
        && text[1..].chars().all(|other| other.is_ascii_lowercase() || other.is_ascii_digit());
    let is_delimiter = text.len() == 1 && text.starts_with(|only: char| "()[].,:;?!|".contains(only));
    if is_macro || is_delimiter || text.is_empty() || text.starts_with('%') {
        out.push_str("\\&");
    }
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            '"' => out.push_str("\\(dq"),
            '\'' => out.push_str("\\(aq"),
            '`' => out.push_str("\\(ga"),
            '^' => out.push_str("\\(ha"),
            '~' => out.push_str("\\(ti"),
            other => out.push(other),
        }
    }
    out
}

/// Several words, each as an argument.
pub(crate) fn arguments(text: &str) -> String {
    text.split(' ').filter(|word| !word.is_empty()).map(argument).collect::<Vec<_>>().join(" ")
}

/// A word of running text.
fn running(word: &str) -> String {
    let is_code = word.contains(['_', '/', '=', '.']) || word.contains(|each: char| each.is_ascii_digit());
    let word = word.replace('\\', "\\e");
    if is_code { word.replace('-', "\\-") } else { word }
}

/// The macro for a word with a meaning of its own, with its arguments.
fn meaning(word: &str, context: &Context<'_>) -> Option<String> {
    if let Some(name) = word.strip_prefix('-') {
        let letters = name.strip_prefix('-').unwrap_or(name);
        let is_long = name.starts_with('-') && letters.starts_with(|first: char| first.is_ascii_alphabetic());
        let is_short = name.len() == 1 && name.starts_with(|only: char| only.is_ascii_alphabetic());
        let is_name = letters.chars().all(|each| each.is_ascii_alphanumeric() || each == '-');
        return (is_name && (is_long || is_short)).then(|| format!("Fl {}", argument(name)));
    }
    if word.len() > 1 && word.starts_with('/') {
        return Some(format!("Pa {}", argument(word)));
    }
    if context.places.contains(&word) {
        return Some(format!("Ar {}", argument(&word.to_lowercase())));
    }
    if word == context.program {
        return Some("Nm".to_owned());
    }
    let (name, section) = context.pages.iter().find(|(name, _)| name == word)?;
    Some(format!("Xr {name} {section}"))
}

/// A text with its full stop, in lines: a new sentence and each macro begins one.
pub(crate) fn sentences(text: &str, context: &Context<'_>) -> Vec<String> {
    let ended = text.ends_with(['.', '?', '!', ':']);
    let text = if ended { text.to_owned() } else { format!("{text}.") };
    let mut lines = Lines::default();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix([' ', '\n']) {
            rest = after;
            continue;
        }
        let opening: String = rest.chars().take_while(|each| "([".contains(*each)).collect();
        rest = &rest[opening.len()..];
        let (word, is_literal) = match rest.strip_prefix('`').and_then(|after| after.split_once('`')) {
            Some((literal, after)) => {
                rest = after;
                (literal, true)
            }
            None => {
                // A quote that is never closed is a word.
                let end =
                    if rest.starts_with('`') { 1 } else { rest.find([' ', '\n', '`']).unwrap_or(rest.len()) };
                let word = &rest[..end];
                let core = word.trim_end_matches(['.', ',', ':', ';', '?', '!', ')', ']']);
                // A word of nothing but marks is a word.
                let core = if core.is_empty() { word } else { core };
                rest = &rest[core.len()..];
                (core, false)
            }
        };
        let glued_end = rest.find([' ', '\n', '`']).unwrap_or(rest.len());
        let (glued, after) = rest.split_at(glued_end);
        rest = after;
        lines.put(&opening, word, is_literal, glued, context);
        let begins_anew =
            rest.trim_start().starts_with(|next: char| next.is_uppercase() || "`-/".contains(next));
        if glued.ends_with('.') && begins_anew {
            lines.flush();
        }
    }
    lines.flush();
    lines.done
}

/// Lines that are under way.
#[derive(Debug, Default)]
struct Lines {
    done: Vec<String>,
    line: String,
}

impl Lines {
    fn put(&mut self, opening: &str, word: &str, is_literal: bool, glued: &str, context: &Context<'_>) {
        let is_closing = glued.chars().all(|each| ".,:;?!)]".contains(each));
        let named = match meaning(word, context) {
            Some(named) => Some(named),
            None if is_literal && !word.contains(' ') => Some(format!("Cm {}", argument(word))),
            None if is_literal => Some(format!("Ql {}", arguments(word))),
            None => None,
        };
        let Some(named) = named else {
            if !self.line.is_empty() {
                self.line.push(' ');
            }
            self.line.push_str(opening);
            self.line.push_str(&running(word));
            self.line.push_str(&running(glued));
            return;
        };
        self.flush();
        // A delimiter is an argument of its own.
        let (name, its_arguments) = named.split_once(' ').unwrap_or((&named, ""));
        let mut parts = vec![format!(".{name}")];
        parts.extend(opening.chars().map(String::from));
        if !its_arguments.is_empty() {
            parts.push(its_arguments.to_owned());
        }
        if is_closing {
            parts.extend(glued.chars().map(String::from));
        } else {
            parts.push(format!("Ns {}", argument(glued)));
        }
        self.done.push(parts.join(" "));
    }

    fn flush(&mut self) {
        let line = std::mem::take(&mut self.line);
        if line.starts_with(['.', '\'']) {
            self.done.push(format!("\\&{line}"));
        } else if !line.is_empty() {
            self.done.push(line);
        }
    }
}

/// A usage such as `(--user NAME | --all) [--] [COMMAND [ARG...]]` in macro lines, without the dots: one for each part.
pub(crate) fn usage(text: &str) -> Vec<String> {
    usage_parts(text).iter().map(|part| simpler(part)).collect()
}

/// The same as words of one macro line.
pub(crate) fn usage_in_line(text: &str) -> String {
    usage_parts(text).concat().join(" ")
}

fn usage_parts(text: &str) -> Vec<Vec<String>> {
    let mut parts: Vec<Vec<String>> = vec![Vec::new()];
    let mut depth = 0_usize;
    let mut rest = text;
    let mut is_glued = false;
    while let Some(first) = rest.chars().next() {
        if first == ' ' {
            rest = &rest[1..];
            is_glued = false;
            continue;
        }
        let end = match first {
            '[' | ']' | '(' | ')' | '|' => 1,
            _ => rest.find(|each: char| " []()|".contains(each)).unwrap_or(rest.len()),
        };
        let (word, after) = rest.split_at(end);
        rest = after;
        let opens = matches!(first, '[' | '(');
        if opens && depth == 0 && !is_glued {
            parts.push(Vec::new());
        }
        let Some(part) = parts.last_mut() else { continue };
        if is_glued && first != ']' && first != ')' {
            part.push("Ns".to_owned());
        }
        match word {
            "[" => part.push("Oo".to_owned()),
            "]" => part.push("Oc".to_owned()),
            "(" => part.push("Po".to_owned()),
            ")" => part.push("Pc".to_owned()),
            "|" => part.push("|".to_owned()),
            word => part.extend(typed_word(word)),
        }
        match first {
            '[' | '(' => depth += 1,
            ']' | ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        let closed = matches!(first, ']' | ')');
        if closed && depth == 0 && rest.starts_with(' ') {
            parts.push(Vec::new());
        }
        // What follows a bracket that has just been opened is not glued to it.
        is_glued = !opens && first != '|';
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// `Oo ... Oc` with nothing nested is `Op ...`, which lasts until the end of its line.
fn simpler(part: &[String]) -> String {
    let words: Vec<&str> = part.iter().map(String::as_str).collect();
    match words[..] {
        ["Oo", ref inner @ .., "Oc"] if !inner.contains(&"Oo") && !inner.contains(&"Oc") => {
            format!("Op {}", inner.join(" "))
        }
        _ => words.join(" "),
    }
}

/// One word of a usage: an option, what stands for a value, or a word that is typed as it is.
fn typed_word(word: &str) -> Vec<String> {
    let (word, repeats) = match word.strip_suffix("...") {
        Some(word) => (word, true),
        None => (word, false),
    };
    let (before, word) = match word.strip_prefix('=') {
        Some(word) => (vec!["=".to_owned(), "Ns".to_owned()], word),
        None => (Vec::new(), word),
    };
    let name = match word.strip_prefix('-') {
        Some(option) => format!("Fl {}", argument(option)),
        None if word.chars().any(|each| each.is_ascii_lowercase()) => format!("Cm {}", argument(word)),
        None => format!("Ar {}", argument(&word.to_lowercase())),
    };
    let after = repeats.then(|| "...".to_owned());
    before.into_iter().chain([name]).chain(after).collect()
}

/// With a capital letter at its beginning.
pub(crate) fn capitalised(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map(|first| first.to_uppercase().chain(rest).collect()).unwrap_or_default()
}

/// With a small letter at its beginning, but for an abbreviation.
pub(crate) fn uncapitalised(text: &str) -> String {
    let mut rest = text.chars();
    match rest.next() {
        Some(first) if !rest.as_str().starts_with(|second: char| second.is_uppercase()) => {
            first.to_lowercase().chain(rest).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> String {
        let pages = [("mounts.toml".to_owned(), "5".to_owned()), ("p".to_owned(), "1".to_owned())];
        sentences(text, &Context { program: "p", pages: &pages, places: &["NAME"] }).join("\n")
    }

    #[test]
    fn words_with_a_meaning_get_their_macro_and_marks_stay_beside_them() {
        for (text, expected) in [
            ("Do it", "Do it."),
            ("Do it. And more", "Do it.\nAnd more."),
            (
                "With --dry-run, as `end --user` (or `end`)",
                "With\n.Fl \\-dry\\-run ,\nas\n.Ql end \\-\\-user\n(or\n.Cm end ) .",
            ),
            ("Read /etc/x.d/first, then -c", "Read\n.Pa /etc/x.d/first ,\nthen\n.Fl c ."),
            (
                "As p does with mounts.toml for NAME; NAME=value",
                "As\n.Nm\ndoes with\n.Xr mounts.toml 5\nfor\n.Ar name ;\nNAME=value.",
            ),
            ("The `a`'s end", "The\n.Cm a Ns \\(aqs\nend."),
            ("view user-1.login of a one-way kind", "view user\\-1.login of a one-way kind."),
            ("(`a`) is", ".Cm ( a )\nis."),
        ] {
            assert_eq!(lines(text), expected, "{text}");
        }
    }

    #[test]
    fn nothing_in_a_text_is_taken_for_mdoc() {
        for (text, expected) in [
            (".profile is read", "\\&.profile is read."),
            ("'x", "\\&'x."),
            ("a\\fB", "a\\efB."),
            ("`No`", ".Cm \\&No ."),
            ("`a . \"b\" %h Fl`", ".Ql a \\&. \\(dqb\\(dq \\&%h \\&Fl ."),
        ] {
            assert_eq!(lines(text), expected, "{text}");
        }
    }

    #[test]
    fn a_usage_becomes_macros_in_lines() {
        for (text, expected) in [
            ("", &[][..]),
            ("[--json]", &["Op Fl \\-json"]),
            ("--user NAME [FACT...]", &["Fl \\-user Ar name", "Op Ar fact ..."]),
            (
                "(--user NAME | --all) [--] [COMMAND [ARG...]]",
                &["Po Fl \\-user Ar name | Fl \\-all Pc", "Op Fl \\-", "Oo Ar command Oo Ar arg ... Oc Oc"],
            ),
            ("--dry-run[=json]", &["Fl \\-dry\\-run Ns Oo = Ns Cm json Oc"]),
            ("can read|write PATH", &["Cm can Cm read Ns | Cm write Ar path"]),
        ] {
            assert_eq!(usage(text), expected, "{text}");
        }
        assert_eq!(usage_in_line("[--json] [--all]"), "Oo Fl \\-json Oc Oo Fl \\-all Oc");
    }
}
