//! Which directory a user gets.

use super::expand::{Known, expand};
use super::lines::{Line, lines};
use super::options::Options;
use super::{Flavour, Found, Reading, Trouble, Who};

/// The module has room for so many groups.
const GROUPS_MAX: usize = 64;
/// How often the parts of a pattern may be repeated, all in all. The C library writes repetitions out: twenty `+` around
/// each other take more memory than a host has.
const REPEATS_MAX: u64 = 2048;

/// What the file says of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// This directory, as it is handed to chroot(2).
    Chroot(Vec<u8>),
    /// No line is for this user.
    NotFound,
    /// It cannot be said.
    Error(Trouble),
}

/// What becomes of the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on in this directory, or fails where there is none.
    Enter(Vec<u8>),
    /// It goes on where it is.
    Stay,
    /// It is refused.
    Refuse,
}

/// What the options make of a decision. (What sec_checks says of the directory is for whoever can look at it: see
/// [`checked`].)
pub fn outcome(decision: &Decision, options: &Options, reading: Reading) -> Outcome {
    let refuses = match decision {
        Decision::Chroot(directory) if !options.no_chroot => return Outcome::Enter(directory.clone()),
        Decision::Chroot(_) => false,
        Decision::NotFound => options.refuses_unknown(reading),
        Decision::Error(_) => options.refuses_errors(reading),
    };
    if refuses { Outcome::Refuse } else { Outcome::Stay }
}

/// The paths that sec_checks looks at: root must own each, and nobody else may write to it.
pub fn checked(path: &[u8], reading: Reading) -> Vec<Vec<u8>> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    let mut prefixes: Vec<Vec<u8>> = slashes.map(|(at, _)| path[..=at].to_vec()).collect();
    // The module forgets what it is about: the last component.
    if reading == Reading::Native && path.last().is_some_and(|byte| *byte != b'/') {
        prefixes.push(path.to_vec());
    }
    prefixes
}

/// Which directory `who` gets by the text of `chroot.conf`, which is `None` when it cannot be read.
///
/// `matcher` is asked for the first place in a text where a pattern matches, regardless of case. An error of its means
/// that the pattern is none.
pub fn decide(
    conf: Option<&[u8]>,
    options: &Options,
    who: &Who,
    reading: Reading,
    matcher: impl FnMut(&[u8], &[u8], Flavour) -> Result<Option<Found>, String>,
) -> Decision {
    decide_at(conf, options, who, reading, matcher).0
}

/// The same, with the number of the line that gives the directory.
pub fn decide_at(
    conf: Option<&[u8]>,
    options: &Options,
    who: &Who,
    reading: Reading,
    mut matcher: impl FnMut(&[u8], &[u8], Flavour) -> Result<Option<Found>, String>,
) -> (Decision, Option<usize>) {
    let decided = match &options.directory {
        // Taken as it is, whatever `%` is in it.
        Some(directory) => Ok(Some((directory.clone().into_bytes(), None))),
        None => look_up(conf, options, who, reading, &mut matcher)
            .map(|found| found.map(|(directory, line)| (directory, Some(line)))),
    };
    match decided {
        Ok(Some((directory, line))) if reading == Reading::Native && !directory.starts_with(b"/") => {
            let shown = String::from_utf8_lossy(&directory).into_owned();
            (Decision::Error(Trouble::Relative(shown)), line)
        }
        Ok(Some((directory, line))) => (Decision::Chroot(directory), line),
        Ok(None) => (Decision::NotFound, None),
        Err(trouble) => (Decision::Error(trouble), None),
    }
}

type Matcher<'a> = &'a mut dyn FnMut(&[u8], &[u8], Flavour) -> Result<Option<Found>, String>;

fn look_up(
    conf: Option<&[u8]>,
    options: &Options,
    who: &Who,
    reading: Reading,
    matcher: Matcher<'_>,
) -> Result<Option<(Vec<u8>, usize)>, Trouble> {
    let conf = conf.ok_or(Trouble::NoConf)?;
    let groups: &[String] = match &who.groups {
        Some(groups) if options.groups && !groups.is_empty() => groups,
        _ if options.groups => return Err(Trouble::NobodyKnows(who.name.clone())),
        // Without the option they are not asked for.
        _ => &[],
    };
    let groups = match reading {
        Reading::Compat => groups.get(..GROUPS_MAX).unwrap_or(groups),
        Reading::Native => groups,
    };
    for line in lines(conf, reading) {
        let Some(directory) = &line.directory else {
            match reading {
                Reading::Compat => continue,
                Reading::Native => return Err(Trouble::NoDirectory(line.number)),
            }
        };
        let (name, candidates, is_group) = match line.name.strip_prefix(b"@") {
            Some(_) if !options.groups => return Err(Trouble::NeedsGroups(line.number)),
            Some(group) => (group, groups, true),
            None => (line.name.as_slice(), std::slice::from_ref(&who.name), false),
        };
        let hit = match options.flavour(reading) {
            Some(flavour) => by_pattern(&line, name, candidates, flavour, reading, matcher)?,
            None => by_name(name, candidates).map(|matched| (matched, None)),
        };
        let Some((matched, parts)) = hit else { continue };
        let group = match reading {
            Reading::Native if is_group => Some(matched),
            _ => groups.first().map(String::as_str),
        };
        let matched = parts.as_ref().map(|parts| (matched, parts));
        let known = Known { line: line.number, user: &who.name, group, matched };
        return expand(directory, known).map(|directory| Some((directory, line.number)));
    }
    Ok(None)
}

fn by_name<'a>(name: &[u8], candidates: &'a [String]) -> Option<&'a str> {
    // These two do not part fields, and end a name nevertheless.
    let end = name.iter().position(|byte| matches!(byte, 0x0b | 0x0c)).unwrap_or(name.len());
    candidates.iter().find(|candidate| candidate.as_bytes() == &name[..end]).map(String::as_str)
}

type Hit<'a> = (&'a str, Option<Found>);

fn by_pattern<'a>(
    line: &Line,
    pattern: &[u8],
    candidates: &'a [String],
    flavour: Flavour,
    reading: Reading,
    matcher: Matcher<'_>,
) -> Result<Option<Hit<'a>>, Trouble> {
    if repeats(pattern) > REPEATS_MAX {
        return Err(Trouble::Repeats(line.number));
    }
    for candidate in candidates {
        match matcher(pattern, candidate.as_bytes(), flavour) {
            Ok(Some(found)) => {
                // POSIX takes the first match, and of those the longest. So if there is one of the whole, it is this.
                let whole = found.first() == Some(&Some(0..candidate.len()));
                if whole || reading == Reading::Compat {
                    return Ok(Some((candidate, Some(found))));
                }
            }
            Ok(None) => {}
            Err(_) if reading == Reading::Compat => return Ok(None),
            Err(reason) => return Err(Trouble::BadPattern(line.number, reason)),
        }
    }
    Ok(None)
}

/// How often the parts of a pattern are repeated by `+` and by numbers in braces, if each stands within all the others.
fn repeats(pattern: &[u8]) -> u64 {
    let pluses = pattern.iter().filter(|byte| **byte == b'+').count();
    let mut all = u32::try_from(pluses).ok().and_then(|count| 1_u64.checked_shl(count)).unwrap_or(u64::MAX);
    for braces in pattern.split(|byte| *byte == b'{').skip(1) {
        let inner = braces.split(|byte| matches!(byte, b'}' | b'\\')).next().unwrap_or_default();
        let numbers = inner.split(|byte| !byte.is_ascii_digit());
        let most = numbers.map(|digits| {
            digits
                .iter()
                .fold(0_u64, |value, digit| value.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
        });
        // `{3,}` is four times, the last of them for ever.
        all = all.saturating_mul(most.max().unwrap_or(0).saturating_add(1));
    }
    all
}

// The rest is tested with the C library as the matcher, in tests/chroot_conf.rs.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_count_within_each_other() {
        for (pattern, times) in [
            ("a", 1),
            ("(a+b)+", 4),
            ("+".repeat(70).as_str(), u64::MAX),
            ("a{", 1),
            ("[0-9]{4}", 5),
            (r"[0-9]\{4\}", 5),
            ("(a{2,3}){10}", 44),
            ("a{,7}", 8),
            ("a{99999999999999999999999}", u64::MAX),
        ] {
            assert_eq!(repeats(pattern.as_bytes()), times, "{pattern}");
        }
    }

    #[test]
    fn the_last_component_is_looked_at_by_us_alone() {
        let texts = |path: &str, reading| -> Vec<String> {
            checked(path.as_bytes(), reading)
                .into_iter()
                .map(|path| String::from_utf8(path).unwrap())
                .collect()
        };
        assert_eq!(texts("/a/b", Reading::Compat), ["/", "/a/"]);
        assert_eq!(texts("/a/b", Reading::Native), ["/", "/a/", "/a/b"]);
        assert_eq!(texts("/a/b/", Reading::Compat), ["/", "/a/", "/a/b/"]);
        assert_eq!(texts("/a/b/", Reading::Native), ["/", "/a/", "/a/b/"]);
        assert_eq!(texts("/", Reading::Native), ["/"]);
        assert!(texts("a", Reading::Compat).is_empty());
    }
}
