//! Regular expressions of POSIX, as the C library reads them.
//!
//! Programs that are told patterns in files of their own hand them to regcomp(3). Whoever wants to know what such a
//! pattern comes to has to ask the same library: no other one agrees with it in every corner.

use std::ffi::CString;
use std::fmt;
use std::mem::MaybeUninit;
use std::ops::Range;

/// The longest pattern, in bytes.
pub const PATTERN_MAX: usize = 4096;
/// The longest text, in bytes.
pub const TEXT_MAX: usize = 4096;
/// The whole match, and as many parts of it less one.
pub const PARTS: usize = 10;
/// As much of the library's own words is kept.
const WORDS_MAX: usize = 256;

/// Which of the two grammars a pattern is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grammar {
    /// `\(` groups, and `(` is a character.
    Basic,
    /// `(` groups, and `\(` is a character.
    Extended,
}

/// Why a pattern has no answer, in the C library's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// Where the match is, and where its parts are.
pub type Found = Vec<Option<Range<usize>>>;

/// A pattern that was read. It stays where the C library has put it.
struct Compiled(Box<libc::regex_t>);

impl Compiled {
    fn new(pattern: &[u8], grammar: Grammar) -> Result<Self, Refused> {
        let pattern = text(pattern, PATTERN_MAX, "pattern")?;
        let flags = match grammar {
            Grammar::Basic => libc::REG_ICASE,
            Grammar::Extended => libc::REG_ICASE | libc::REG_EXTENDED,
        };
        // SAFETY: a struct of numbers and pointers, for which zero is a value.
        let empty: libc::regex_t = unsafe { MaybeUninit::zeroed().assume_init() };
        let mut memory = Box::new(empty);
        // SAFETY: the memory is ours and of that type; the pattern ends with a zero.
        let code = unsafe { libc::regcomp(&raw mut *memory, pattern.as_ptr(), flags) };
        if code == 0 { Ok(Self(memory)) } else { Err(refused(code, &memory)) }
    }

    fn find(&self, within: &[u8]) -> Result<Option<Found>, Refused> {
        let within = text(within, TEXT_MAX, "text")?;
        let mut parts = [libc::regmatch_t { rm_so: -1, rm_eo: -1 }; PARTS];
        // SAFETY: compiled before and not freed; the text ends with a zero; there is room for that many parts.
        let code =
            unsafe { libc::regexec(&raw const *self.0, within.as_ptr(), parts.len(), parts.as_mut_ptr(), 0) };
        let range = |part: &libc::regmatch_t| {
            let start = usize::try_from(part.rm_so).ok()?;
            Some(start..usize::try_from(part.rm_eo).ok()?)
        };
        match code {
            0 => Ok(Some(parts.iter().map(range).collect())),
            libc::REG_NOMATCH => Ok(None),
            other => Err(refused(other, &self.0)),
        }
    }
}

impl Drop for Compiled {
    fn drop(&mut self) {
        // SAFETY: compiled once, and freed here alone.
        unsafe { libc::regfree(&raw mut *self.0) };
    }
}

/// The first place in `text` where `pattern` matches, whatever the case of letters: regcomp, regexec, regfree.
///
/// How long the library takes for a pattern is its own matter, and that of whoever wrote the pattern.
pub fn find(pattern: &[u8], text: &[u8], grammar: Grammar) -> Result<Option<Found>, Refused> {
    Compiled::new(pattern, grammar)?.find(text)
}

fn text(bytes: &[u8], longest: usize, what: &str) -> Result<CString, Refused> {
    if bytes.len() > longest {
        return Err(Refused(format!("a {what} of {} bytes; at most {longest} are taken", bytes.len())));
    }
    CString::new(bytes).map_err(|_| Refused(format!("a {what} with a zero in it")))
}

fn refused(code: libc::c_int, compiled: &libc::regex_t) -> Refused {
    let mut words = [0_u8; WORDS_MAX];
    // SAFETY: the struct that the code comes from; as many bytes may be written as there are.
    unsafe { libc::regerror(code, compiled, words.as_mut_ptr().cast(), words.len()) };
    let end = words.iter().position(|byte| *byte == 0).unwrap_or(words.len());
    Refused(String::from_utf8_lossy(&words[..end]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_grammars_find_what_the_c_library_finds() {
        let basic = find(br"^s\(tu\)\([0-9]*\)$", b"STU17", Grammar::Basic).unwrap().unwrap();
        assert_eq!(basic[..4], [Some(0..5), Some(1..3), Some(3..5), None]);
        assert_eq!(basic.len(), PARTS);
        let extended = find(b"t(u)?(x)?", b"stu", Grammar::Extended).unwrap().unwrap();
        assert_eq!(extended[..3], [Some(1..3), Some(2..3), None]);
        assert_eq!(find(b"(u)", b"stu", Grammar::Basic), Ok(None));
        assert_eq!(find(b"", b"", Grammar::Extended).unwrap().unwrap()[0], Some(0..0));
    }

    #[test]
    fn as_many_parentheses_as_fit_are_read() {
        let depth = PATTERN_MAX / 2 - 1;
        let pattern = format!("{}u{}", "(".repeat(depth), ")".repeat(depth));
        let found = find(pattern.as_bytes(), b"stu", Grammar::Extended).unwrap().unwrap();
        assert!(found.iter().all(|part| *part == Some(2..3)), "{found:?}");
    }

    #[test]
    fn what_is_no_pattern_is_refused_in_the_librarys_words() {
        for (pattern, grammar) in
            [(&b"a["[..], Grammar::Basic), (b"(", Grammar::Extended), (b"\\", Grammar::Basic)]
        {
            let refused = find(pattern, b"a", grammar).unwrap_err().to_string();
            assert!(refused.len() > 5, "{pattern:?}: {refused}");
        }
        assert!(find(b"a\0b", b"a", Grammar::Basic).is_err());
        assert!(find(b"a", b"a\0b", Grammar::Basic).is_err());
        assert!(find(&[b'a'; PATTERN_MAX + 1], b"a", Grammar::Basic).is_err());
        assert!(find(b"a", &[b'a'; TEXT_MAX + 1], Grammar::Basic).is_err());
    }
}
