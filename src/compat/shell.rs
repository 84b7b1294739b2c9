//! A command line as a shell reads it, as far as that is known without running anything.

/// A word of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Word {
    /// What it comes to, with variables as a map has them.
    pub(super) value: String,
    /// As it was written.
    pub(super) shown: String,
    /// Why what it comes to is not known.
    pub(super) doubt: Option<&'static str>,
}

impl Word {
    /// A word in which nothing stands for anything else.
    pub(super) fn plain(text: &str) -> Self {
        Self { value: crate::paper::doubled(text), shown: text.to_owned(), doubt: None }
    }
}

/// A command, up to the end of its line, `;`, `|` or `&`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) words: Vec<Word>,
    /// `3< file`, and behind how many words it stands.
    pub(super) redirections: Vec<(usize, String)>,
}

/// What an account knows, under the name that shells have for it.
const ACCOUNT: [(&str, &str); 4] = [("HOME", "%h"), ("USER", "%u"), ("LOGNAME", "%u"), ("UID", "%U")];

const RUNS: &str = "it is what another command prints";
const VARIABLE: &str = "the value of the variable is not known here";
const PATTERN: &str = "a shell looks for files that fit, which are not known here";

struct Lexer<'a> {
    rest: &'a str,
    word: Word,
    /// Has a word begun? `''` is one, too.
    is_open: bool,
    command: Command,
    commands: Vec<Command>,
}

/// The commands of a text.
pub(super) fn commands(text: &str) -> Vec<Command> {
    let mut lexer = Lexer {
        rest: text,
        word: Word::default(),
        is_open: false,
        command: Command::default(),
        commands: Vec::new(),
    };
    while let Some(character) = lexer.next() {
        lexer.take(character);
    }
    lexer.end_command();
    lexer.commands
}

impl Lexer<'_> {
    fn next(&mut self) -> Option<char> {
        let character = self.rest.chars().next()?;
        self.rest = &self.rest[character.len_utf8()..];
        Some(character)
    }

    fn take(&mut self, character: char) {
        match character {
            ' ' | '\t' | '\r' => self.end_word(),
            '\n' | ';' | '|' | '&' | '(' | ')' => self.end_command(),
            '#' if !self.is_open => {
                let line = self.rest.find('\n').unwrap_or(self.rest.len());
                self.rest = &self.rest[line..];
            }
            '<' | '>' => self.redirection(character),
            '\\' => match self.next() {
                Some('\n') | None => {}
                Some(other) => self.literal(other, "\\"),
            },
            '\'' => {
                let end = self.rest.find('\'');
                let (inside, after) = self.rest.split_at(end.unwrap_or(self.rest.len()));
                self.open("'");
                self.word.value.push_str(&inside.replace('%', "%%"));
                self.word.shown.push_str(inside);
                self.close(after, "'", end.is_none());
            }
            '"' => self.double_quoted(),
            '$' => self.dollar(),
            '`' => {
                let end = self.rest.find('`');
                let (inside, after) = self.rest.split_at(end.unwrap_or(self.rest.len()));
                self.open("`");
                self.word.shown.push_str(inside);
                self.word.doubt = Some(RUNS);
                self.close(after, "`", end.is_none());
            }
            '~' if !self.is_open => {
                let is_own = self.rest.is_empty() || self.rest.starts_with(['/', ' ', '\t', '\n']);
                self.open("~");
                if is_own {
                    self.word.value.push_str("%h");
                } else {
                    self.word.doubt = Some("it is the home of somebody else");
                }
            }
            '*' | '?' | '[' | '{' => {
                self.literal(character, "");
                self.word.doubt = Some(PATTERN);
            }
            other => self.literal(other, ""),
        }
    }

    fn literal(&mut self, character: char, before: &str) {
        self.open(before);
        self.word.shown.push(character);
        self.word.value.push(character);
        if character == '%' {
            self.word.value.push('%');
        }
    }

    fn open(&mut self, shown: &str) {
        self.is_open = true;
        self.word.shown.push_str(shown);
    }

    fn close(&mut self, after: &str, quote: &str, is_missing: bool) {
        // `after` is the end of `rest`; only its length is of use here.
        let skipped = self.rest.len() - after.len() + if is_missing { 0 } else { quote.len() };
        self.rest = &self.rest[skipped..];
        self.word.shown.push_str(quote);
        if is_missing {
            self.word.doubt = Some("its quote does not end");
        }
    }

    fn double_quoted(&mut self) {
        self.open("\"");
        loop {
            match self.next() {
                None => {
                    self.word.doubt = Some("its quote does not end");
                    break;
                }
                Some('"') => break,
                Some('\\') => match self.next() {
                    Some('\n') | None => {}
                    Some(other @ ('$' | '`' | '"' | '\\')) => self.literal(other, "\\"),
                    Some(other) => {
                        self.literal('\\', "");
                        self.literal(other, "");
                    }
                },
                Some('$') => self.dollar(),
                Some('`') => {
                    self.literal('`', "");
                    self.word.doubt = Some(RUNS);
                }
                Some(other) => self.literal(other, ""),
            }
        }
        self.word.shown.push('"');
    }

    /// `$HOME`, `${HOME}`, `$(command)`.
    fn dollar(&mut self) {
        self.open("$");
        if self.rest.starts_with('(') {
            let mut depth = 0_usize;
            let mut end = self.rest.len();
            for (at, character) in self.rest.char_indices() {
                depth = match character {
                    '(' => depth + 1,
                    ')' => depth - 1,
                    _ => depth,
                };
                if depth == 0 {
                    end = at + 1;
                    break;
                }
            }
            self.word.shown.push_str(&self.rest[..end]);
            self.rest = &self.rest[end..];
            self.word.doubt = Some(RUNS);
            return;
        }
        let in_braces = self.rest.starts_with('{');
        let name_at = usize::from(in_braces);
        let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let length = self.rest[name_at..].find(|character| !is_name(character));
        let name_end = length.map_or(self.rest.len(), |length| name_at + length);
        let name = &self.rest[name_at..name_end];
        let is_closed = !in_braces || self.rest[name_end..].starts_with('}');
        let known = ACCOUNT.iter().find(|(known, _)| *known == name && is_closed);
        let end = if in_braces {
            self.rest.find('}').map_or(self.rest.len(), |at| at + 1)
        } else if name.is_empty() {
            // `$$`, `$?`, or a dollar sign alone.
            self.rest.chars().next().map_or(0, |next| if next == '"' { 0 } else { next.len_utf8() })
        } else {
            name_end
        };
        match known {
            Some((_, variable)) => self.word.value.push_str(variable),
            None => self.word.doubt = Some(VARIABLE),
        }
        self.word.shown.push_str(&self.rest[..end]);
        self.rest = &self.rest[end..];
    }

    /// What is opened for the command: a number before it belongs to it, and the word behind it.
    fn redirection(&mut self, first: char) {
        let mut shown = String::new();
        if self.is_open && self.word.value.bytes().all(|byte| byte.is_ascii_digit()) {
            shown = std::mem::take(&mut self.word).shown;
            self.is_open = false;
        }
        self.end_word();
        shown.push(first);
        let operator = self.rest.len() - self.rest.trim_start_matches(['<', '>', '&', '|', ' ', '\t']).len();
        shown.push_str(&self.rest[..operator]);
        self.rest = &self.rest[operator..];
        let mut depth = 0_usize;
        while let Some(character) = self.rest.chars().next() {
            match character {
                '(' => depth += 1,
                ')' if depth > 0 => depth -= 1,
                ' ' | '\t' | '\n' | ';' | '|' | '&' | '<' | '>' | ')' if depth == 0 => break,
                _ => {}
            }
            shown.push(character);
            self.rest = &self.rest[character.len_utf8()..];
        }
        self.command.redirections.push((self.command.words.len(), shown));
    }

    fn end_word(&mut self) {
        if self.is_open {
            self.command.words.push(std::mem::take(&mut self.word));
            self.is_open = false;
        }
    }

    fn end_command(&mut self) {
        self.end_word();
        let command = std::mem::take(&mut self.command);
        if !command.words.is_empty() || !command.redirections.is_empty() {
            self.commands.push(command);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_a_shell() {
        for (text, expected) in [
            ("a  b\tc", vec!["a", "b", "c"]),
            ("a\\ b 'c d' \"e f\"", vec!["a b", "c d", "e f"]),
            ("a\\\n b", vec!["a", "b"]),
            ("'' \"\"", vec!["", ""]),
            ("a'b'\"c\"\\d", vec!["abcd"]),
            ("\"a\\\"b\\$c\\d\"", vec!["a\"b$c\\d"]),
            ("~ ~/x \"$HOME\"/y ${USER} $UID", vec!["%h", "%h/x", "%h/y", "%u", "%U"]),
            ("50% '5%'", vec!["50%%", "5%%"]),
            ("a # b", vec!["a"]),
            ("a#b", vec!["a#b"]),
        ] {
            let commands = commands(text);
            let words: Vec<&str> = commands[0].words.iter().map(|word| word.value.as_str()).collect();
            assert_eq!(words, expected, "{text}");
            assert!(commands[0].words.iter().all(|word| word.doubt.is_none()), "{text}");
        }
    }

    #[test]
    fn what_only_a_run_would_tell_is_in_doubt() {
        for text in
            ["$x", "\"$XDG_RUNTIME_DIR\"", "$(id -u)", "`id`", "/a*", "~bob", "'a", "\"a", "${HOME:-x}", "$1"]
        {
            assert!(commands(text)[0].words[0].doubt.is_some(), "{text}");
        }
    }

    #[test]
    fn commands_and_redirections_are_told_apart() {
        let found = commands("set -e\nexec bwrap --file 11 /x 11< <(getent passwd) --dev /dev; echo x > y");
        assert_eq!(found.len(), 3);
        assert_eq!(found[1].words.len(), 7, "{found:?}");
        assert_eq!(found[1].redirections, [(5, "11< <(getent passwd)".to_owned())]);
        assert_eq!(found[2].redirections.len(), 1);
    }
}
