//! Values that are written as text: octal modes, sizes, ids, mount options.

use toml::de::DeValue;

use super::reader::Reader;
use super::source::At;
use super::words::{self, quote};
use crate::model::policy::{Attributes, Linger, UidRange};

/// Permission bits that make a program run with its owner's or group's rights.
const SET_ID_BITS: u32 = 0o6000;

/// Octal digits in quotes, at most `max`. TOML itself knows no `022`, and `22` would be something else.
pub(super) fn octal(reader: &mut Reader<'_>, key: &'static str, max: u32) -> Option<u32> {
    let At { value, place } = reader.value(key)?;
    let help = format!(
        "write it as octal digits in quotes: {key} = \"{}\"",
        if max == 0o777 { "022" } else { "0755" }
    );
    let Some(text) = value.as_str() else {
        let message = format!("`{key}` must be a string of octal digits");
        reader.problems.report_with_help(place, message, help);
        return None;
    };
    let digits = !text.is_empty() && text.len() <= 6 && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    match u32::from_str_radix(text, 8).ok().filter(|mode| digits && *mode <= max) {
        None => {
            let message = format!("{key} {} is no octal number up to {max:04o}", quote(text));
            reader.problems.report_with_help(place, message, help);
            None
        }
        mode => mode,
    }
}

/// The permission bits of a file: never set-user-id or set-group-id.
pub(super) fn file_mode(reader: &mut Reader<'_>) -> Option<u32> {
    let mode = octal(reader, "mode", 0o7777)?;
    if mode & SET_ID_BITS != 0 {
        let place = reader.value_place("mode");
        reader.problems.report(place, "a file made by the map cannot have set-user-id or set-group-id bits");
        return None;
    }
    Some(mode)
}

/// A TOML integer of any radix as decimal digits, for keys that take numbers and texts alike.
pub(super) fn integer(value: &DeValue<'_>) -> Option<String> {
    let number = value.as_integer()?;
    let decimal = i64::from_str_radix(number.as_str(), number.radix());
    // Beyond 64 bits, as it stands: whoever reads it finds it too large.
    Some(decimal.map_or_else(|_| number.to_string(), |number| number.to_string()))
}

/// What happens after the last session: `no`, `processes`, or a time such as `90s`, `10m`, `8h`.
pub(super) fn linger(reader: &mut Reader<'_>) -> Option<Linger> {
    let At { value, place } = reader.string("linger")?;
    let linger = match value {
        "no" => Some(Linger::No),
        "processes" => Some(Linger::Processes),
        time => seconds(time).map(Linger::Seconds),
    };
    if linger.is_none() {
        let message = format!("unknown linger {}", quote(value));
        let help = "known are `no`, `processes` and a time from \"1s\" to \"720h\", with s, m or h for seconds, minutes or hours";
        reader.problems.report_with_help(place, message, help);
    }
    linger
}

/// A time such as `15s`, `10m`, `2h`.
pub(super) fn time(reader: &mut Reader<'_>, key: &'static str) -> Option<u32> {
    let At { value, place } = reader.string(key)?;
    let time = seconds(value);
    if time.is_none() {
        let help = "write a number with s, m or h for seconds, minutes or hours, from \"1s\" to \"720h\"";
        reader.problems.report_with_help(place, format!("{key} {} is no time", quote(value)), help);
    }
    time
}

/// A number and its unit, from one second to thirty days.
fn seconds(text: &str) -> Option<u32> {
    const MOST: u32 = 30 * 24 * 3600;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = number.parse::<u32>().ok().filter(|_| digits)?.checked_mul(unit)?;
    (1..=MOST).contains(&seconds).then_some(seconds)
}

/// Bytes: an integer, or digits with `K`, `M`, `G` or `T`.
pub(super) fn size(reader: &mut Reader<'_>) -> Option<u64> {
    let At { value, place } = reader.value("size")?;
    let number = integer(value);
    let Some(text) = value.as_str().or(number.as_deref()) else {
        reader.wrong_type("`size`", "an integer or a string such as \"64M\"", At { value, place });
        return None;
    };
    match bytes(text) {
        Ok(bytes) => Some(bytes),
        Err((message, help)) => {
            reader.problems.report_with_help(place, message, help);
            None
        }
    }
}

fn bytes(text: &str) -> Result<u64, (String, &'static str)> {
    let (digits, factor) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (&text[..text.len() - 1], 1 << 10),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 1 << 20),
        Some(b'G' | b'g') => (&text[..text.len() - 1], 1 << 30),
        Some(b'T' | b't') => (&text[..text.len() - 1], 1_u64 << 40),
        _ => (text, 1),
    };
    if text.ends_with('%') {
        let message =
            format!("size {} is a share of the memory, which differs from host to host", quote(text));
        return Err((message, "write a number of bytes, such as \"512M\""));
    }
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let help = "write bytes, or a number with K, M, G or T: \"64M\"";
        return Err((format!("size {} is not a size", quote(text)), help));
    }
    let bytes = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    match bytes.filter(|bytes| i64::try_from(*bytes).is_ok()) {
        None => Err((format!("size {} is too large", quote(text)), "the limit is below 8388608T")),
        Some(0) => {
            let message = "size 0 would be no limit at all".to_owned();
            Err((message, "leave `size` out for the kernel's default, half of the memory"))
        }
        Some(bytes) => Ok(bytes),
    }
}

/// A user id or a range of them: `4242` or `1000-59999`.
pub(super) fn uid_range(text: &str) -> Result<UidRange, String> {
    let id = |digits: &str| {
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(format!("{} is no user id and no range such as `1000-59999`", quote(text)));
        }
        match digits.parse::<u32>() {
            Ok(u32::MAX) => Err("user id 4294967295 means \"no user\" to the kernel".to_owned()),
            Ok(id) => Ok(id),
            Err(_) => Err(format!("user id {} is too large", quote(digits))),
        }
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = UidRange { first: id(first)?, last: id(last)? };
    if range.first > range.last {
        return Err(format!("the range `{text}` ends before it begins"));
    }
    Ok(range)
}

/// What one word in `options` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Switch {
    ReadOnly(bool),
    NoSuid(bool),
    NoDev(bool),
    NoExec(bool),
    NoAtime,
    NoSymfollow,
    NoRecursive,
}

const OPTIONS: [(&str, Switch); 11] = [
    ("ro", Switch::ReadOnly(true)),
    ("rw", Switch::ReadOnly(false)),
    ("nosuid", Switch::NoSuid(true)),
    ("suid", Switch::NoSuid(false)),
    ("nodev", Switch::NoDev(true)),
    ("dev", Switch::NoDev(false)),
    ("noexec", Switch::NoExec(true)),
    ("exec", Switch::NoExec(false)),
    ("noatime", Switch::NoAtime),
    ("nosymfollow", Switch::NoSymfollow),
    ("norecursive", Switch::NoRecursive),
];

/// Mount attributes and whether `norecursive` was among the options.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    pub(super) attributes: Attributes,
    pub(super) no_recursive: bool,
}

/// The key `options`, on top of what holds for this kind of mount by itself.
pub(super) fn options(reader: &mut Reader<'_>, standard: Attributes) -> Options {
    let mut options = Options { attributes: standard, no_recursive: false };
    let mut seen: Vec<(&str, Switch)> = Vec::new();
    for At { value: word, place } in reader.strings("options").map(|list| list.value).unwrap_or_default() {
        let Some(&(word, switch)) = OPTIONS.iter().find(|(known, _)| *known == word) else {
            let known = OPTIONS.map(|(known, _)| known);
            let help = match word.contains(',') {
                true => format!(
                    "write one string for each: \"{}\"",
                    word.split(',').collect::<Vec<_>>().join("\", \"")
                ),
                false if reader.problems.is_full() => String::new(),
                false => words::help(word, "known are", &known),
            };
            reader.problems.report_with_help(place, format!("unknown option {}", quote(word)), help);
            continue;
        };
        let same = |other: &Switch| std::mem::discriminant(other) == std::mem::discriminant(&switch);
        match seen.iter().find(|(_, other)| same(other)) {
            Some((before, _)) if *before == word => {
                reader.problems.report(place, format!("option `{word}` is given twice"));
                continue;
            }
            Some((before, _)) => {
                reader.problems.report(place, format!("option `{word}` contradicts `{before}`"));
                continue;
            }
            None => seen.push((word, switch)),
        }
        let attributes = &mut options.attributes;
        match switch {
            Switch::ReadOnly(on) => attributes.read_only = on,
            Switch::NoSuid(on) => attributes.nosuid = on,
            Switch::NoDev(on) => attributes.nodev = on,
            Switch::NoExec(on) => attributes.noexec = on,
            Switch::NoAtime => attributes.noatime = true,
            Switch::NoSymfollow => attributes.nosymfollow = true,
            Switch::NoRecursive => options.no_recursive = true,
        }
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit_and_an_end() {
        for (text, expected) in
            [("1s", Some(1)), ("90s", Some(90)), ("10m", Some(600)), ("720h", Some(2_592_000))]
        {
            assert_eq!(seconds(text), expected, "{text}");
        }
        for text in ["", "s", "0s", "10", "+5s", "721h", "1d", "-1s", "1.5h", "99999999999s", "5\u{e9}"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_bytes_with_a_binary_suffix() {
        for (text, expected) in
            [("1", 1), ("64M", 64 << 20), ("2g", 2 << 30), ("1T", 1 << 40), ("010K", 10240)]
        {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for bad in [
            "",
            "M",
            "-1",
            "+1",
            "1.5G",
            "64MiB",
            "64 M",
            "0",
            "0K",
            "50%",
            "8388608T",
            "9223372036854775808",
            "é",
        ] {
            assert!(bytes(bad).is_err(), "{bad:?} was accepted");
        }
        assert_eq!(bytes("9223372036854775807"), Ok((1 << 63) - 1));
    }

    #[test]
    fn ids_are_numbers_or_ranges_and_never_the_last_one() {
        assert_eq!(uid_range("0"), Ok(UidRange { first: 0, last: 0 }));
        assert_eq!(uid_range("1000-59999"), Ok(UidRange { first: 1000, last: 59999 }));
        for bad in [
            "",
            "-",
            "1-",
            "-1",
            "+1",
            "2-1",
            "1-2-3",
            "1 - 2",
            "4294967295",
            "0-4294967295",
            "4294967296",
            "bob",
        ] {
            assert!(uid_range(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
