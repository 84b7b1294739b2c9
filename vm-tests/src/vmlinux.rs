//! The kernel without its wrapping: emulating the decompression of a bzImage costs seconds at every boot.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::{Context, Result};

/// First bytes of a compressed kernel and the program that unpacks it.
const FORMATS: [(&[u8], &str); 4] = [
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x1f\x8b", "gzip"),
    (b"\x02\x21\x4c\x18", "lz4"),
];
const GZIP: &str = "gzip";
const LIMIT: Duration = Duration::from_secs(120);

/// Writes the ELF program that is inside of a bzImage to `to`.
pub(crate) fn extract(bz_image: &[u8], to: &std::path::Path) -> Result<()> {
    let (program, payload) = payload(bz_image)?;
    let packed = to.with_extension("packed");
    std::fs::write(&packed, payload).context(|| format!("cannot write {}", packed.display()))?;
    let open = |path| std::fs::File::open(path).context(|| format!("cannot open {}", packed.display()));
    let out = std::fs::File::create(to).context(|| format!("cannot create {}", to.display()))?;
    let mut command = Command::new(program);
    let mut child = command
        .arg("-dc")
        .stdin(Stdio::from(open(&packed)?))
        .stdout(Stdio::from(out))
        .stderr(Stdio::null())
        .spawn()
        .context(|| format!("{command:?}"))?;
    let status = crate::command::wait(&mut child, LIMIT).context(|| format!("{command:?}"))?;
    let unpacked = std::fs::read(to).context(|| format!("cannot read {}", to.display()))?;
    if !unpacked.starts_with(b"\x7fELF") {
        return Err(format!("{command:?} with {}: {status:?}, and no ELF program", packed.display()));
    }
    std::fs::remove_file(&packed).context(|| format!("cannot remove {}", packed.display()))
}

/// The compressed part of a bzImage, and what unpacks it. The header's fields are those of the kernel's
/// `Documentation/arch/x86/boot.rst`.
fn payload(bz_image: &[u8]) -> Result<(&'static str, &[u8])> {
    let bytes = |from: usize, length: usize| {
        bz_image
            .get(from..from.saturating_add(length))
            .ok_or_else(|| "the kernel image is cut off".to_owned())
    };
    let number = |from: usize| {
        let four = bytes(from, 4)?.try_into().map_err(|_| "not four bytes".to_owned())?;
        usize::try_from(u32::from_le_bytes(four)).map_err(|error| error.to_string())
    };
    if bytes(0x202, 4)? != b"HdrS" {
        return Err("the kernel image has no setup header".to_owned());
    }
    let setup_sectors = match bytes(0x1f1, 1)? {
        [0] => 4,
        [count] => usize::from(*count),
        _ => return Err("not one byte".to_owned()),
    };
    let (offset, length) = (number(0x248)?, number(0x24c)?);
    let payload = bytes((setup_sectors + 1) * 512 + offset, length)?;
    let format = FORMATS.iter().find(|(magic, _)| payload.starts_with(magic));
    let start = payload.get(..4).unwrap_or(payload);
    let (_, program) = format.ok_or_else(|| format!("unknown compression of a kernel: {start:02x?}"))?;
    // The kernel's build appends the unpacked size, which gzip has already and the others would take for rubbish.
    let end = if *program == GZIP { length } else { length.saturating_sub(4) };
    Ok((program, payload.get(..end).unwrap_or(payload)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 0x250];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248] = 16;
        image[0x24c] = u8::try_from(payload.len()).unwrap();
        image.resize(2 * 512 + 16, 0);
        image.extend(payload);
        image.extend([0xff; 64]);
        image
    }

    #[test]
    fn the_payload_is_found_by_the_header() {
        let (program, found) = payload(&image(b"\xfd7zXZ\0rest1234")).map(|(a, b)| (a, b.to_vec())).unwrap();
        assert_eq!((program, found.as_slice()), ("xz", b"\xfd7zXZ\0rest".as_slice()));
        let (program, found) = payload(&image(b"\x1f\x8brest1234")).map(|(a, b)| (a, b.to_vec())).unwrap();
        assert_eq!((program, found.as_slice()), ("gzip", b"\x1f\x8brest1234".as_slice()));
    }

    #[test]
    fn what_is_no_kernel_is_an_error() {
        assert!(payload(b"short").is_err());
        assert!(payload(&vec![0; 4096]).is_err());
        assert!(payload(&image(b"unknown!")).is_err());
    }
}
