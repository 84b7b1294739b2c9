//! The lines of `chroot.conf`, as the module cuts them.

use super::Reading;

/// The module reads into 1024 bytes, the last of which ends the text.
const CHUNK: usize = 1023;

/// A line with something on it, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// In the file, from 1.
    pub number: usize,
    /// Which part of a long line, from 0. The module takes each for a line.
    pub part: usize,
    /// The first field.
    pub name: Vec<u8>,
    /// The second.
    pub directory: Option<Vec<u8>>,
    /// There are more fields, which nobody reads.
    pub has_more: bool,
}

/// The lines that the module does not skip in silence.
pub fn lines(conf: &[u8], reading: Reading) -> impl Iterator<Item = Line> + '_ {
    let whole = conf.split_inclusive(|byte| *byte == b'\n').enumerate();
    whole.flat_map(move |(index, line)| {
        let longest = match reading {
            Reading::Compat => CHUNK,
            Reading::Native => line.len(),
        };
        let parts = line.chunks(longest).enumerate();
        parts.filter_map(move |(part, text)| line_of(text, index + 1, part))
    })
}

fn line_of(text: &[u8], number: usize, part: usize) -> Option<Line> {
    // A C string ends at a zero, whatever stands behind it.
    let end = text.iter().position(|byte| *byte == 0 || *byte == b'#').unwrap_or(text.len());
    let mut fields = text[..end].split(|byte| b" \t\r\n".contains(byte)).filter(|field| !field.is_empty());
    let name = fields.next()?.to_vec();
    let directory = fields.next().map(<[u8]>::to_vec);
    Some(Line { number, part, name, directory, has_more: fields.next().is_some() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(conf: &[u8], reading: Reading) -> Vec<(usize, usize, String, Option<String>, bool)> {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        lines(conf, reading)
            .map(|line| (line.number, line.part, text(line.name), line.directory.map(text), line.has_more))
            .collect()
    }

    fn one(number: usize, name: &str, directory: &str) -> (usize, usize, String, Option<String>, bool) {
        (number, 0, name.to_owned(), Some(directory.to_owned()), false)
    }

    #[test]
    fn comments_begin_anywhere_and_ends_of_lines_may_be_of_dos() {
        let conf = b"# x /y\r\n\r\n bob\t/srv/a \r\n@g /b#c d\nx#y /z\n\nlast /e";
        let compat = read(conf, Reading::Compat);
        assert_eq!(
            compat,
            [
                one(3, "bob", "/srv/a"),
                one(4, "@g", "/b"),
                (5, 0, "x".to_owned(), None, false),
                one(7, "last", "/e")
            ]
        );
        assert_eq!(read(conf, Reading::Native), compat);
    }

    #[test]
    fn further_fields_are_noticed_and_a_zero_ends_a_line() {
        assert_eq!(
            read(b"bob /a more", Reading::Compat),
            [(1, 0, "bob".to_owned(), Some("/a".to_owned()), true)]
        );
        assert_eq!(read(b"bob /a\0b\nx\0 /c\neve /d\n", Reading::Compat).len(), 3);
        assert_eq!(read(b"\0bob /a\neve /d\n", Reading::Compat), [one(2, "eve", "/d")]);
    }

    #[test]
    fn the_module_takes_the_rest_of_a_long_line_for_another() {
        let conf = format!("#{}bob /srv/a\neve /b\n", "x".repeat(CHUNK - 1));
        assert_eq!(
            read(conf.as_bytes(), Reading::Compat),
            [(1, 1, "bob".to_owned(), Some("/srv/a".to_owned()), false), one(2, "eve", "/b")]
        );
        assert_eq!(read(conf.as_bytes(), Reading::Native), [one(2, "eve", "/b")]);
        // With its end it fits, or its end stands alone.
        for length in [CHUNK - 1, CHUNK] {
            let conf = format!("bob /{}\neve /b\n", "a".repeat(length - 5));
            let read = read(conf.as_bytes(), Reading::Compat);
            assert_eq!((read.len(), read[0].3.as_ref().map(String::len)), (2, Some(length - 4)));
        }
    }
}
