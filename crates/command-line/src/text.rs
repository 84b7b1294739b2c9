//! Text on a terminal: lines that do not run over its edge.

/// `text` in lines of at most `width` characters where its words allow it: the first begins with `first`, the others
/// with `hanging`. A word is never broken: a path that is longer than the line has a line of its own. Line breaks in the
/// text stay.
pub fn wrap(text: &str, first: &str, hanging: &str, width: usize) -> String {
    let mut lines = Vec::new();
    for (at, paragraph) in text.split('\n').enumerate() {
        let mut line = if at == 0 { first.to_owned() } else { hanging.to_owned() };
        let mut is_empty = true;
        for word in paragraph.split(' ').filter(|word| !word.is_empty()) {
            let needs = usize::from(!is_empty) + count(word);
            if !is_empty && count(&line) + needs > width {
                lines.push(std::mem::replace(&mut line, hanging.to_owned()));
                is_empty = true;
            }
            if !is_empty {
                line.push(' ');
            }
            line.push_str(word);
            is_empty = false;
        }
        lines.push(line.trim_end().to_owned());
    }
    lines.join("\n")
}

/// As many columns as `text` takes: each character counts as one.
pub fn count(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_put_into_lines_and_never_broken() {
        assert_eq!(wrap("one two three", "- ", "  ", 9), "- one two\n  three");
        assert_eq!(wrap("/a/very/long/path is", "", "  ", 8), "/a/very/long/path\n  is");
        assert_eq!(wrap("one\ntwo", "- ", "  ", 80), "- one\n  two");
        assert_eq!(wrap("", "- ", "  ", 80), "-");
    }
}
