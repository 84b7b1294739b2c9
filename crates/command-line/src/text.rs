//! Text on a terminal: lines that do not run over its edge.

/// Sets `text` in lines of at most `width` characters. The first begins with `first_indent`, all others with
/// `hanging_indent`; a line break in the text stays one, and so do blanks at the beginning of a line. What stands between
/// backquotes, which is there to be copied, is kept on one line where one has room for it; a longer word than a line
/// stands out.
pub fn wrap(text: &str, first_indent: &str, hanging_indent: &str, width: usize) -> String {
    let mut lines = Vec::new();
    let mut indent = first_indent;
    for line in text.split('\n') {
        fill(line, indent, hanging_indent, width, &mut lines);
        indent = hanging_indent;
    }
    lines.join("\n")
}

fn fill(text: &str, indent: &str, hanging_indent: &str, width: usize, lines: &mut Vec<String>) {
    if count(indent) + count(text) <= width {
        lines.push(format!("{indent}{text}").trim_end().to_owned());
        return;
    }
    let words = text.trim_start_matches(' ');
    let own_indent = &text[..text.len() - words.len()];
    let room = width.saturating_sub(count(hanging_indent) + count(own_indent));
    let (mut line, mut is_fresh) = (format!("{indent}{own_indent}"), true);
    for piece in pieces(words, room) {
        if !is_fresh && count(&line) + 1 + count(&piece) > width {
            lines.push(line.trim_end().to_owned());
            (line, is_fresh) = (format!("{hanging_indent}{own_indent}"), true);
        }
        // Of two blanks at the end of a line, none begins the next.
        if is_fresh && piece.is_empty() {
            continue;
        }
        if !is_fresh {
            line.push(' ');
        }
        line.push_str(&piece);
        is_fresh = false;
    }
    lines.push(line.trim_end().to_owned());
}

/// Words, and what is quoted as one of them if it is not longer than `room`.
fn pieces(text: &str, room: usize) -> Vec<String> {
    let words: Vec<&str> = text.split(' ').collect();
    let opens = |words: &[&str]| words.iter().map(|word| word.matches('`').count()).sum::<usize>() % 2 == 1;
    let (mut pieces, mut at) = (Vec::new(), 0);
    while at < words.len() {
        let mut end = at + 1;
        while end < words.len() && opens(&words[at..end]) {
            end += 1;
        }
        let whole = words[at..end].join(" ");
        if opens(&words[at..end]) || count(&whole) > room {
            end = at + 1;
        }
        pieces.push(words[at..end].join(" "));
        at = end;
    }
    pieces
}

/// As many columns as `text` takes: each character counts as one.
pub fn count(text: &str) -> usize {
    text.chars().count()
}

/// `text` as it can be shown: controls (C0, DEL, C1) and characters without a shape, such as those that turn the direction
/// of writing, by number. For whatever somebody else may have written: the name of a mount point, the text of a link.
pub fn shown(text: &str) -> String {
    text.chars().map(escape).collect()
}

/// The same for what goes over several lines, and may have tabs in them.
pub fn shown_lines(text: &str) -> String {
    let keep = |character| matches!(character, '\n' | '\t');
    text.chars().map(|each| if keep(each) { each.to_string() } else { escape(each) }).collect()
}

/// The same for JSON, in which such characters stand in strings alone.
pub fn shown_json(text: &str) -> String {
    let mut shown = String::new();
    for each in text.chars() {
        if each == '\n' || escape(each).chars().eq([each]) {
            shown.push(each);
        } else {
            for unit in each.encode_utf16(&mut [0; 2]) {
                shown.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    shown
}

/// One character, as [`shown`] shows it.
pub fn escape(character: char) -> String {
    let unseen = matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    match character {
        '\n' => "\\n".to_owned(),
        '\t' => "\\t".to_owned(),
        '\r' => "\\r".to_owned(),
        other if unseen || other.is_control() => other.escape_unicode().to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_somebody_wrote_reaches_a_terminal_as_it_is() {
        let text = "a\u{1b}[2Jb\u{9b}31m\u{202e}\u{7f}\n\t";
        assert_eq!(shown(text), "a\\u{1b}[2Jb\\u{9b}31m\\u{202e}\\u{7f}\\n\\t");
        assert_eq!(shown_lines("\u{1b}\n\tx"), "\\u{1b}\n\tx");
        assert_eq!(shown_json("{\n\"\u{9b}\u{e0001}\u{e9}\"}"), "{\n\"\\u009b\\udb40\\udc01\u{e9}\"}");
    }

    #[test]
    fn lines_are_no_longer_than_they_may_be_and_hang_below_the_first() {
        assert_eq!(wrap("one two three four", "a: ", "   ", 12), "a: one two\n   three\n   four");
        assert_eq!(wrap("one two", "", "  ", 7), "one two");
        assert_eq!(wrap("one two", "", "  ", 6), "one\n  two");
        assert_eq!(wrap("", "a: ", "  ", 6), "a:");
    }

    #[test]
    fn width_is_counted_in_characters_and_a_long_word_stands_out() {
        assert_eq!(
            wrap("\u{e4}\u{f6}\u{fc} \u{e4}\u{f6}\u{fc}", "", "", 7),
            "\u{e4}\u{f6}\u{fc} \u{e4}\u{f6}\u{fc}"
        );
        assert_eq!(wrap("a /a/path/that/is/long b", "", " ", 8), "a\n /a/path/that/is/long\n b");
        assert_eq!(wrap("abc def", "     ", "     ", 2), "     abc\n     def");
    }

    #[test]
    fn lines_and_blanks_of_the_text_are_kept() {
        assert_eq!(wrap("one\n  two  2\n\n    ^", "> ", "  ", 12), "> one\n    two  2\n\n      ^");
        assert_eq!(wrap("  one two three", "", "", 9), "  one two\n  three");
        assert_eq!(wrap("one  two", "", "", 4), "one\ntwo");
    }

    #[test]
    fn what_is_quoted_is_kept_together_where_it_fits() {
        assert_eq!(wrap("put `a b c` into d", "", " ", 10), "put\n `a b c`\n into d");
        assert_eq!(wrap("put (`a b c`), d", "", " ", 12), "put\n (`a b c`),\n d");
        // Longer than a line, and never closed.
        assert_eq!(wrap("put `a b c` in", "", "", 5), "put\n`a b\nc` in");
        assert_eq!(wrap("put `a b c in", "", "", 5), "put\n`a b\nc in");
    }
}
