//! What `%` stands for in a directory.

use super::{Found, Trouble};

/// No path is as long, by far; and what a few bytes of a file can ask for has an end.
const LONGEST: usize = 1 << 20;

/// What is known when a line has matched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    /// The line.
    pub(super) line: usize,
    /// `%u`.
    pub(super) user: &'a str,
    /// `%g`.
    pub(super) group: Option<&'a str>,
    /// What a pattern matched, and its parts.
    pub(super) matched: Option<(&'a str, &'a Found)>,
}

/// The directory, with everything in place. One pass: what is put in is not looked at again.
pub(super) fn expand(directory: &[u8], known: Known<'_>) -> Result<Vec<u8>, Trouble> {
    let mut expanded = Vec::with_capacity(directory.len());
    let mut bytes = directory.iter().copied();
    while let Some(byte) = bytes.next() {
        if expanded.len() > LONGEST {
            return Err(Trouble::TooLong(known.line));
        }
        if byte != b'%' {
            expanded.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'u' | b'U') => expanded.extend_from_slice(known.user.as_bytes()),
            Some(b'g' | b'G') => {
                let group = known.group.ok_or(Trouble::NoGroup(known.line))?;
                expanded.extend_from_slice(group.as_bytes());
            }
            Some(digit) if digit.is_ascii_digit() => expanded.extend_from_slice(part(digit, known)?),
            Some(b'%') => expanded.push(b'%'),
            other => {
                let letter: String = other.map(char::from).into_iter().collect();
                return Err(Trouble::UnknownVariable(known.line, letter));
            }
        }
    }
    Ok(expanded)
}

fn part<'a>(digit: u8, known: Known<'a>) -> Result<&'a [u8], Trouble> {
    let letter = char::from(digit);
    let (text, parts) = known.matched.ok_or(Trouble::NoPattern(known.line, letter))?;
    let range = parts.get(usize::from(digit - b'0')).cloned().flatten();
    let found = range.and_then(|range| text.as_bytes().get(range));
    found.ok_or(Trouble::NoPart(known.line, letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known<'a>(matched: Option<(&'a str, &'a Found)>) -> Known<'a> {
        Known { line: 7, user: "b%u", group: Some("staff"), matched }
    }

    #[test]
    fn every_variable_has_its_value_in_one_pass() {
        let parts = vec![Some(0..5), Some(3..5), None];
        let matched = Some(("stu17", &parts));
        for (text, value) in [
            ("/a", "/a"),
            ("/%u/%U", "/b%u/b%u"),
            ("/%g/%G", "/staff/staff"),
            ("/%%u%%", "/%u%"),
            ("/%0/%1%1", "/stu17/1717"),
            ("", ""),
        ] {
            assert_eq!(expand(text.as_bytes(), known(matched)).unwrap(), value.as_bytes(), "{text}");
        }
    }

    #[test]
    fn what_has_no_value_is_an_error() {
        let parts = vec![Some(0..5), None];
        let matched = Some(("stu17", &parts));
        let fails = |text: &str, known| expand(text.as_bytes(), known).unwrap_err();
        assert_eq!(fails("/%x", known(matched)), Trouble::UnknownVariable(7, "x".to_owned()));
        assert_eq!(fails("/%", known(matched)), Trouble::UnknownVariable(7, String::new()));
        assert_eq!(fails("/%1", known(matched)), Trouble::NoPart(7, '1'));
        assert_eq!(fails("/%9", known(matched)), Trouble::NoPart(7, '9'));
        let long = "%u".repeat(LONGEST);
        assert_eq!(fails(&long, known(None)), Trouble::TooLong(7));
        assert_eq!(fails("/%0", known(None)), Trouble::NoPattern(7, '0'));
        assert_eq!(fails("/%g", Known { group: None, ..known(None) }), Trouble::NoGroup(7));
    }
}
