//! Texts of others on their way into a log, a record or a terminal. Pure.

/// `text` with every character that is not simply shown written out.
pub fn printable(text: &str) -> String {
    text.chars().flat_map(escape).collect()
}

/// The same for bytes that a program wrote, which may be no text at all; line ends stay.
pub fn printable_lines(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

fn escape(character: char) -> Vec<char> {
    let unseen = matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    match character {
        '\n' | '\t' | '\r' => character.escape_default().collect(),
        other if unseen || other.is_control() => other.escape_unicode().collect(),
        other => vec![other],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_a_terminal_raw() {
        assert_eq!(printable("a\u{1b}[2J\n\u{9b}\u{202e}é"), "a\\u{1b}[2J\\n\\u{9b}\\u{202e}é");
        assert_eq!(printable_lines(b"one\n\xfftwo\r\n\x07"), "one\n\u{fffd}two\\r\n\\u{7}");
    }
}
