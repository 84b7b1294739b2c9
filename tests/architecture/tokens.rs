//! Rust text as words, and the paths that are named in it.

/// A word or a mark of the program's text, without comments and literals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// Splits Rust text into words, `::` and single marks. Comments, strings and characters are left out.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    let mut tokens = Vec::new();
    let (mut index, mut line) = (0, 1);
    while index < chars.len() {
        let start = index;
        match (at(index), at(index + 1)) {
            ('/', '/') => {
                while index < chars.len() && at(index) != '\n' {
                    index += 1;
                }
            }
            ('/', '*') => {
                let mut depth = 0;
                while index < chars.len() {
                    match (at(index), at(index + 1)) {
                        ('/', '*') => (depth, index) = (depth + 1, index + 2),
                        ('*', '/') => (depth, index) = (depth - 1, index + 2),
                        _ => index += 1,
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
            ('"', _) => index = after_string(&chars, index),
            // A character, or a lifetime: the latter has no second quote.
            ('\'', '\\') => {
                index += 3;
                while index < chars.len() && at(index) != '\'' {
                    index += 1;
                }
                index += 1;
            }
            ('\'', _) if at(index + 2) == '\'' => index += 3,
            ('\'', _) => index += 1,
            (character, _) if is_word(character) => {
                while is_word(at(index)) {
                    index += 1;
                }
                let word: String = chars[start..index].iter().collect();
                let hashes = (index..).take_while(|index| at(*index) == '#').count();
                if ["r", "br", "cr"].contains(&word.as_str()) && at(index + hashes) == '"' {
                    index = after_raw_string(&chars, index + hashes + 1, hashes);
                } else if !(["b", "c"].contains(&word.as_str()) && at(index) == '"') {
                    tokens.push(Token { text: word, line });
                }
            }
            (':', ':') => {
                index += 2;
                tokens.push(Token { text: "::".to_owned(), line });
            }
            (character, _) => {
                index += 1;
                if !character.is_whitespace() {
                    tokens.push(Token { text: character.to_string(), line });
                }
            }
        }
        line += chars[start..index.min(chars.len())].iter().filter(|character| **character == '\n').count();
    }
    tokens
}

fn after_string(chars: &[char], opening: usize) -> usize {
    let mut index = opening + 1;
    while index < chars.len() && chars[index] != '"' {
        index += if chars[index] == '\\' { 2 } else { 1 };
    }
    index + 1
}

fn after_raw_string(chars: &[char], first: usize, hashes: usize) -> usize {
    let mut index = first;
    while index < chars.len() {
        let closed = chars[index] == '"'
            && chars[index + 1..].iter().take_while(|mark| **mark == '#').count() >= hashes;
        index += 1;
        if closed {
            return index + hashes;
        }
    }
    index
}

/// A path as it is written, with groups spelled out: `a::{b, c::d}` gives `a::b` and `a::c::d`.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
    /// How many modules written inside the file are around it.
    pub(crate) inline_depth: usize,
}

pub(crate) fn named_paths(tokens: &[Token]) -> Vec<Named> {
    let text = |index: usize| tokens.get(index).map_or("", |token| token.text.as_str());
    let mut found = Vec::new();
    // For each open brace: does it open a module?
    let mut braces: Vec<bool> = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        let is_start = is_name(text(index)) && (index == 0 || text(index - 1) != "::");
        let after_use = index > 0 && text(index - 1) == "use";
        if is_start && (text(index + 1) == "::" || after_use) {
            let inline_depth = braces.iter().filter(|is_module| **is_module).count();
            let mut leaves = Vec::new();
            index = spell_out(tokens, index, &[], &mut leaves);
            found.extend(leaves.into_iter().map(|(segments, line)| Named { segments, line, inline_depth }));
            continue;
        }
        match text(index) {
            "{" => braces.push(index >= 2 && text(index - 2) == "mod"),
            "}" => drop(braces.pop()),
            _ => {}
        }
        index += 1;
    }
    found
}

/// Reads one path from `index` on; returns where it ends.
fn spell_out(
    tokens: &[Token],
    mut index: usize,
    before: &[String],
    leaves: &mut Vec<(Vec<String>, usize)>,
) -> usize {
    let text = |index: usize| tokens.get(index).map_or("", |token| token.text.as_str());
    let mut segments = before.to_vec();
    let line = tokens.get(index).map_or(0, |token| token.line);
    while is_name(text(index)) || text(index) == "*" {
        segments.push(text(index).to_owned());
        index += 1;
        if text(index) != "::" {
            break;
        }
        index += 1;
        if text(index) == "{" {
            index += 1;
            while !["}", ""].contains(&text(index)) {
                let next = spell_out(tokens, index, &segments, leaves);
                // `self`, `as name` and commas lie between the members of a group.
                index = if next == index { index + 1 } else { next };
            }
            return index + 1;
        }
    }
    if segments.len() > before.len() {
        leaves.push((segments, line));
    }
    index
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}
