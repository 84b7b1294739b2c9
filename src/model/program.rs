//! The first bytes of a program, which say what the kernel starts in its place.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// What a program asks the kernel to start in its place.
pub fn named_in(head: &[u8]) -> Option<(&'static str, OsString)> {
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next()?;
        let words = line.split(|byte| matches!(byte, b' ' | b'\t'));
        let path = words.into_iter().find(|word| !word.is_empty())?;
        return Some(("interpreter", OsString::from_vec(path.to_vec())));
    }
    loader_of(head).map(|path| ("loader", path))
}

/// The loader of a dynamically linked program (`PT_INTERP`), as far as it is in its first bytes.
fn loader_of(head: &[u8]) -> Option<OsString> {
    const INTERP: u64 = 3;
    let wide = match head.strip_prefix(b"\x7fELF")?.first()? {
        1 => false,
        2 => true,
        _ => return None,
    };
    let big_endian = *head.get(5)? == 2;
    let number = |at: usize, size: usize| -> Option<u64> {
        let bytes = head.get(at..at.checked_add(size)?)?;
        let fold = |number: u64, byte: &u8| (number << 8) | u64::from(*byte);
        Some(if big_endian { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) })
    };
    let word = if wide { 8 } else { 4 };
    // Elf64_Ehdr and Elf64_Phdr; the 32-bit ones have the same fields at other places.
    let table = usize::try_from(number(if wide { 32 } else { 28 }, word)?).ok()?;
    let size = usize::try_from(number(if wide { 54 } else { 42 }, 2)?).ok()?;
    let count = usize::try_from(number(if wide { 56 } else { 44 }, 2)?).ok()?;
    (0..count).find_map(|at| {
        let entry = table.checked_add(at.checked_mul(size)?)?;
        if number(entry, 4)? != INTERP {
            return None;
        }
        let from = usize::try_from(number(entry.checked_add(if wide { 8 } else { 4 })?, word)?).ok()?;
        let length = usize::try_from(number(entry.checked_add(if wide { 32 } else { 16 })?, word)?).ok()?;
        let path = head.get(from..from.checked_add(length)?)?.split(|byte| *byte == 0).next()?;
        (!path.is_empty()).then(|| OsString::from_vec(path.to_vec()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As little of a program as names a loader: a header, one entry of its table, and the name.
    fn program() -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        for (at, number) in [(32, 64), (54, 56), (56, 1), (64, 3), (64 + 8, 120), (64 + 32, 8)] {
            bytes[at] = number;
        }
        bytes.extend_from_slice(b"/lib/ld\0");
        bytes
    }

    #[test]
    fn a_program_names_its_loader_and_a_script_its_interpreter() {
        let own = program();
        assert_eq!(named_in(&own), Some(("loader", "/lib/ld".into())));
        assert_eq!(named_in(b"#! /bin/sh -e\nid\n"), Some(("interpreter", "/bin/sh".into())));
        assert_eq!(named_in(b"#!/bin/sh\r\n"), Some(("interpreter", "/bin/sh\r".into())));
        for nothing in [&b"#!"[..], b"#! \n", b"", b"id\n", b"\x7fELF", b"\x7fELF\x02\x01"] {
            assert_eq!(named_in(nothing), None, "{nothing:?}");
        }
        // Cut off or wrong anywhere, it is read to no harm.
        for length in 0..own.len() {
            let mut wrong = own.clone();
            wrong[length] = 0xff;
            let _ = (named_in(&own[..length]), named_in(&wrong));
        }
    }
}
