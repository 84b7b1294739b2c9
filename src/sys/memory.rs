//! Memory straight from the kernel: all zeros, and there only as far as it is touched.

use std::ptr::NonNull;

use super::{Error, Result};

/// What a fork makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// The child has a copy.
    Copy,
    /// Both have the same.
    Same,
}

/// Some bytes, until this value goes.
#[derive(Debug)]
pub(super) struct Memory {
    start: NonNull<libc::c_void>,
    length: usize,
}

impl Memory {
    pub(super) fn new(length: usize, share: Share) -> Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = match share {
            Share::Copy => libc::MAP_PRIVATE,
            Share::Same => libc::MAP_SHARED,
        };
        // SAFETY: new memory, at a place that the kernel chooses.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), length, access, kind | libc::MAP_ANONYMOUS, -1, 0) };
        NonNull::new(start)
            .filter(|_| start != libc::MAP_FAILED)
            .map(|start| Self { start, length })
            .ok_or_else(|| Error::new(format!("mmap({length} bytes)"), std::io::Error::last_os_error()))
    }

    /// With [`Share::Same`], for when the other process has ended or has become another program.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: that much is there for as long as this value, and nobody writes to it meanwhile.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), self.length) }
    }

    /// With [`Share::Same`], for one of the two processes.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: that much is there for as long as this value, and nobody else uses it meanwhile.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().cast(), self.length) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: what was mapped with this length, and is not used any more.
        unsafe { libc::munmap(self.start.as_ptr(), self.length) };
    }
}
