//! What is wrong with a map, in the form that compilers made familiar: place, sentence, cited line, caret, help.
//!
//! A map may hold anything, and its diagnostics end up on root's terminal. So nothing of it is printed as it is:
//! control characters and invisible direction marks become escapes, and lines are cut to what a terminal holds.

use std::fmt;
use std::sync::Arc;

use command_line::text::{escape, shown as escape_all};

/// At most this many characters of a line are cited.
const CITED_MAX: usize = 120;
/// How much of a line that is too long is kept before the caret.
const BEFORE_CARET: usize = 40;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file as it was named.
    pub file: Arc<str>,
    /// Counted from 1.
    pub line: u32,
    /// Counted from 1, in characters.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// The line in question; `None` where the file as a whole is meant.
    pub excerpt: Option<Excerpt>,
    /// What to do about it.
    pub help: Option<String>,
}

/// A cited line, ready to be printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    text: String,
    indent: String,
    carets: usize,
}

impl Excerpt {
    /// Cites `line`, with carets below the characters from `first` up to and without `end`. At least one caret
    /// stands, also behind the end of the line.
    pub(super) fn new(line: &str, first: usize, end: usize) -> Self {
        let length = line.chars().count();
        let from = if length <= CITED_MAX { 0 } else { first.saturating_sub(BEFORE_CARET) };
        let mut cited = Self { text: String::new(), indent: String::new(), carets: 0 };
        if from > 0 {
            cited.text.push('…');
            cited.indent.push(' ');
        }
        for (at, character) in line.chars().enumerate().skip(from).take(CITED_MAX) {
            // A tab is as wide as the terminal makes it, above and below alike.
            let shown = if character == '\t' { character.to_string() } else { escape(character) };
            let width = shown.chars().count();
            if at < first {
                cited.indent.extend(shown.chars().map(|shown| if shown == '\t' { '\t' } else { ' ' }));
            } else if at < end {
                cited.carets += width;
            }
            cited.text.push_str(&shown);
        }
        if from + CITED_MAX < length {
            cited.text.push('…');
        }
        cited.carets = cited.carets.max(1);
        cited
    }

    /// The line as it is shown: escaped, and cut where it is very long.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, message) = (escape_all(&self.file), escape_all(&self.message));
        write!(f, "{file}:{}:{}: {message}", self.line, self.column)?;
        if let Some(Excerpt { text, indent, carets }) = &self.excerpt {
            write!(f, "\n{:>5} | {text}\n{:>5} | {indent}{}", self.line, "", "^".repeat(*carets))?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n   help: {}", escape_all(help))?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a map, in the order of its files and lines. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    found: Vec<Diagnostic>,
    left_out: usize,
}

impl Diagnostics {
    /// `left_out` more were found than are listed.
    pub(super) fn new(found: Vec<Diagnostic>, left_out: usize) -> Self {
        Self { found, left_out }
    }

    /// One after the other.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.found.iter()
    }

    /// How many more there are than [`Diagnostics::iter`] gives.
    pub fn left_out(&self) -> usize {
        self.left_out
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, diagnostic) in self.found.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            fmt::Display::fmt(diagnostic, f)?;
        }
        match self.left_out {
            0 => Ok(()),
            more => write!(f, "\n... and {more} more"),
        }
    }
}

impl std::error::Error for Diagnostics {}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str, first: usize, end: usize) -> String {
        Diagnostic {
            file: "m".into(),
            line: 7,
            column: 1,
            message: "wrong".to_owned(),
            excerpt: Some(Excerpt::new(line, first, end)),
            help: None,
        }
        .to_string()
    }

    #[test]
    fn carets_stand_below_what_is_meant() {
        insta::assert_snapshot!(shown("mode = \"pit\"", 7, 12), @r#"
        m:7:1: wrong
            7 | mode = "pit"
              |        ^^^^^
        "#);
        // At the end of a line, one caret stands behind it.
        insta::assert_snapshot!(shown("mode =", 6, 6), @r"
        m:7:1: wrong
            7 | mode =
              |       ^
        ");
    }

    #[test]
    fn tabs_and_escapes_keep_the_caret_in_place() {
        assert_eq!(shown("\tx\ty", 3, 4), "m:7:1: wrong\n    7 | \tx\ty\n      | \t \t^");
        let line = "é\u{1b}[2J\u{202e}bad";
        assert_eq!(
            shown(line, 6, 9),
            "m:7:1: wrong\n    7 | é\\u{1b}[2J\\u{202e}bad\n      |                   ^^^"
        );
        // The escape itself is underlined as wide as it is shown.
        assert!(shown("\u{9b}", 0, 1).ends_with("\n      | ^^^^^^"));
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let line = format!("{}HERE{}", "a".repeat(1000), "b".repeat(1000));
        let shown = shown(&line, 1000, 1004);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[1].chars().count(), "    7 | ".len() + CITED_MAX + 2);
        assert_eq!(lines[1].chars().position(|c| c == 'H'), lines[2].chars().position(|c| c == '^'));
        assert_eq!(lines[2].matches('^').count(), 4);
    }

    #[test]
    fn nothing_of_the_file_reaches_the_terminal_raw() {
        let diagnostic = Diagnostic {
            file: "a\u{1b}b".into(),
            line: 1,
            column: 1,
            message: "\u{9b}31m\n".to_owned(),
            excerpt: None,
            help: Some("\u{202e}\u{7f}".to_owned()),
        };
        assert_eq!(diagnostic.to_string(), "a\\u{1b}b:1:1: \\u{9b}31m\\n\n   help: \\u{202e}\\u{7f}");
    }
}
