//! `mntopts` of a tmpfs: as the module divides them, and as the kernel reads them.

use super::words::number;
use crate::paper::{quoted, shown};

/// What becomes of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// Bytes at most; half of the memory where there is none.
    pub(super) size: Option<u64>,
    /// Permission bits.
    pub(super) mode: u32,
    /// What a map's tmpfs has by itself, and the module's only when it is said.
    pub(super) no_suid: bool,
    /// Likewise.
    pub(super) no_dev: bool,
    /// Nothing can be executed.
    pub(super) no_exec: bool,
    /// What is none.
    pub(super) losses: Vec<String>,
}

impl Options {
    /// Keys of the entry.
    pub(super) fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        keys.extend(self.size.map(|bytes| format!("size = {}", quoted(&in_words(bytes)))));
        keys.push(format!("mode = \"{:04o}\"", self.mode));
        keys.extend(self.no_exec.then(|| "options = [\"noexec\"]".to_owned()));
        keys
    }
}

/// Reads them. Of several with one name the last one counts. A share of the `memory`, in bytes, is one where that is known.
pub(super) fn read(text: &str, memory: Option<u64>) -> Options {
    // What a tmpfs has by itself.
    let mut mode = 0o1777;
    let (mut size, mut size_lost) = (None, None);
    let (mut no_exec, mut no_suid, mut no_dev) = (false, false, false);
    let mut losses = Vec::new();
    for option in text.split(',').filter(|option| !option.is_empty()) {
        let (name, value) =
            option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
        let refused = || {
            format!(
                "the kernel takes no {} for a tmpfs, and pam_namespace lets nobody in with it; here it is left out",
                shown(option)
            )
        };
        match (name, value) {
            ("noexec", None) => no_exec = true,
            ("nosuid", None) => no_suid = true,
            ("nodev", None) => no_dev = true,
            ("size", Some(value)) => match size_of(value) {
                Some(Size::Bytes(0)) => {
                    let reason = "there is no limit at all with size=0, which a map does not have: half of the memory \
                                  is the limit";
                    (size, size_lost) = (None, Some(reason.to_owned()));
                }
                Some(Size::Bytes(bytes)) => (size, size_lost) = (Some(bytes), None),
                Some(Size::Share(50)) => (size, size_lost) = (None, None),
                Some(Size::Share(share)) if memory.is_some() => {
                    let bytes = memory.map(|memory| u128::from(memory) * u128::from(share) / 100);
                    (size, size_lost) = (bytes.and_then(|bytes| u64::try_from(bytes).ok()), None);
                }
                Some(Size::Share(share)) => {
                    let reason = format!(
                        "{share}% of the memory is not the same on every host, and a map has sizes in bytes: half of \
                         the memory is the limit until `size` says otherwise"
                    );
                    (size, size_lost) = (None, Some(reason));
                }
                None => losses.push(refused()),
            },
            ("mode", Some(value)) => match u32::from_str_radix(value, 8) {
                Ok(bits) if !value.starts_with('+') => mode = bits & 0o7777,
                _ => losses.push(refused()),
            },
            ("uid" | "gid", Some("0")) => {}
            ("uid" | "gid", Some(value)) => losses.push(format!(
                "with {name}={} it has another owner: a tmpfs of a map is root's or, with owner = \"user\", the \
                 user's and the primary group's",
                shown(value)
            )),
            ("nr_inodes" | "nr_blocks" | "huge" | "mpol", Some(_)) => {
                losses.push(format!("a map has nothing like {}: a tmpfs is limited by `size` alone", shown(option)));
            }
            _ => losses.push(refused()),
        }
    }
    losses.extend(size_lost);
    Options { size, mode, no_suid, no_dev, no_exec, losses }
}

enum Size {
    Bytes(u64),
    Share(u64),
}

/// Digits in the base that they show, and a letter, as the kernel's `memparse` has it.
fn size_of(text: &str) -> Option<Size> {
    let is_hexadecimal = text.len() > 2 && (text.starts_with("0x") || text.starts_with("0X"));
    let end = match is_hexadecimal {
        true => 2 + text[2..].find(|digit: char| !digit.is_ascii_hexdigit()).unwrap_or(text.len() - 2),
        false => text.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(text.len()),
    };
    let (digits, unit) = text.split_at(end);
    // `08` is no number to the kernel: the 8 would be left over.
    let is_octal = !is_hexadecimal && digits.starts_with('0');
    if digits.is_empty() || is_octal && digits.contains(['8', '9']) {
        return None;
    }
    let number = number(digits)?;
    let shift = match unit {
        "" => 0,
        "%" => return Some(Size::Share(number)),
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        "t" | "T" => 40,
        "p" | "P" => 50,
        "e" | "E" => 60,
        _ => return None,
    };
    let bytes = number.checked_mul(1 << shift)?;
    // More is more than a file system can have, there and here.
    i64::try_from(bytes).is_ok().then_some(Size::Bytes(bytes))
}

/// Bytes as somebody would write them.
fn in_words(bytes: u64) -> String {
    let units = [(40, "T"), (30, "G"), (20, "M"), (10, "K")];
    let fitting = units.into_iter().find(|(shift, _)| bytes.is_multiple_of(1 << shift));
    fitting.map_or_else(|| bytes.to_string(), |(shift, unit)| format!("{}{unit}", bytes >> shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_keys_as_the_kernel_reads_them() {
        let table: [(&str, &[&str], usize); 21] = [
            ("", &["mode = \"1777\""], 0),
            ("size=10M", &["size = \"10M\"", "mode = \"1777\""], 0),
            ("size=1m,size=2048k", &["size = \"2M\"", "mode = \"1777\""], 0),
            ("size=0x400", &["size = \"1K\"", "mode = \"1777\""], 0),
            ("size=010k", &["size = \"8K\"", "mode = \"1777\""], 0),
            ("size=4097", &["size = \"4097\"", "mode = \"1777\""], 0),
            ("size=1P", &["size = \"1024T\"", "mode = \"1777\""], 0),
            ("size=50%", &["mode = \"1777\""], 0),
            ("size=10%", &["mode = \"1777\""], 1),
            ("size=0", &["mode = \"1777\""], 1),
            ("size=10%,size=1M", &["size = \"1M\"", "mode = \"1777\""], 0),
            ("size=many", &["mode = \"1777\""], 1),
            ("size=10MB", &["mode = \"1777\""], 1),
            ("mode=0700", &["mode = \"0700\""], 0),
            ("mode=rwx", &["mode = \"1777\""], 1),
            ("noexec,nosuid,nodev", &["mode = \"1777\"", "options = [\"noexec\"]"], 0),
            ("uid=0,gid=0,,", &["mode = \"1777\""], 0),
            ("uid=1000", &["mode = \"1777\""], 1),
            ("nr_inodes=1k,huge=always", &["mode = \"1777\""], 2),
            ("ro", &["mode = \"1777\""], 1),
            ("defaults", &["mode = \"1777\""], 1),
        ];
        for (text, keys, losses) in table {
            let options = read(text, None);
            assert_eq!(options.keys(), keys, "{text}");
            assert_eq!(options.losses.len(), losses, "{text}: {:?}", options.losses);
        }
    }
}
