//! Calls by which somebody tries to get out of a session, or to gain rights there. `sessionctl selftest` makes them as
//! the user, inside, where each has to fail.

use std::ffi::CStr;
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use super::{Error, Result};

/// `F_SETSIG` of `linux/fcntl.h`, which the crate does not name for every C library.
const F_SETSIG: libc::c_int = 10;
/// Keyrings by their fixed numbers (`linux/keyctl.h`).
const SESSION_KEYRING: libc::c_int = -3;

/// Begins to trace the process with this number. Ends with the caller.
pub fn trace(pid: i32) -> Result<()> {
    nix::sys::ptrace::seize(Pid::from_raw(pid), nix::sys::ptrace::Options::empty())
        .map_err(|errno| Error::new(format!("ptrace(PTRACE_SEIZE, {pid})"), errno))
}

/// Reads the memory of the process with this number at `address`, and says how much it was.
pub fn read_memory(pid: i32, address: usize, into: &mut [u8]) -> Result<usize> {
    let there = RemoteIoVec { base: address, len: into.len() };
    process_vm_readv(Pid::from_raw(pid), &mut [IoSliceMut::new(into)], &[there])
        .map_err(|errno| Error::new(format!("process_vm_readv({pid})"), errno))
}

/// Puts capabilities into use, by a bit mask.
pub fn gain(capabilities: u64) -> Result<()> {
    use rustix::thread::{CapabilitySet, capabilities as get, set_capabilities};
    let mut sets = get(None).map_err(|errno| Error::new("capget()", errno))?;
    let more = CapabilitySet::from_bits_retain(capabilities);
    sets.permitted |= more;
    sets.effective |= more;
    set_capabilities(None, sets).map_err(|errno| Error::new("capset()", errno))
}

/// Puts a key of kind "user" into this process's session keyring.
pub fn keep_key(name: &CStr, secret: &[u8]) -> Result<()> {
    // SAFETY: two texts that end, and as many bytes as is said; the call keeps none of the pointers.
    let result = unsafe {
        libc::syscall(
            libc::SYS_add_key,
            c"user".as_ptr(),
            name.as_ptr(),
            secret.as_ptr(),
            secret.len(),
            SESSION_KEYRING,
        )
    };
    done(result, "add_key(\"user\", KEY_SPEC_SESSION_KEYRING)")
}

/// Looks for that key in this process's session keyring.
pub fn find_key(name: &CStr) -> Result<()> {
    const SEARCH: libc::c_int = 10;
    // SAFETY: two texts that end; the call keeps neither pointer.
    let result = unsafe {
        libc::syscall(libc::SYS_keyctl, SEARCH, SESSION_KEYRING, c"user".as_ptr(), name.as_ptr(), 0)
    };
    done(result, "keyctl(KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING)")
}

/// Types a byte on `terminal`, as if its owner had.
pub fn type_on(terminal: BorrowedFd<'_>, byte: u8) -> Result<()> {
    // SAFETY: reads the one byte behind the pointer.
    let result = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSTI, std::ptr::from_ref(&byte)) };
    done(result.into(), "ioctl(TIOCSTI)")
}

/// Has the kernel send `signal` to the process with this number when something can be read from `end`.
pub fn signal_when_readable(end: BorrowedFd<'_>, pid: i32, signal: i32) -> Result<()> {
    for (command, value, call) in [
        (libc::F_SETOWN, pid, "fcntl(F_SETOWN)"),
        (F_SETSIG, signal, "fcntl(F_SETSIG)"),
        (libc::F_SETFL, libc::O_ASYNC | libc::O_NONBLOCK, "fcntl(F_SETFL, O_ASYNC)"),
    ] {
        // SAFETY: each of these takes a number and touches no memory.
        done(unsafe { libc::fcntl(end.as_raw_fd(), command, value) }.into(), call)?;
    }
    Ok(())
}

/// What only root may do to the host as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privileged {
    /// Put code into the kernel.
    LoadModule,
    /// Put another kernel into its place.
    ReplaceKernel,
    /// Have memory written to a disk.
    Swap,
    /// Call the host something else.
    NameHost,
    /// Stop it.
    Reboot,
}

/// Asks for it with arguments that make no sense, so that nothing happens where it is allowed: the kernel looks at the
/// caller's rights first, and at the arguments then.
pub fn ask_for(what: Privileged) -> Result<()> {
    let (call, number, first, second) = match what {
        Privileged::LoadModule => ("init_module(NULL)", libc::SYS_init_module, 0, 0),
        Privileged::ReplaceKernel => ("kexec_load(NULL)", libc::SYS_kexec_load, 0, usize::MAX),
        Privileged::Swap => ("swapon(NULL)", libc::SYS_swapon, 0, 0),
        Privileged::NameHost => ("sethostname(NULL, -1)", libc::SYS_sethostname, 0, usize::MAX),
        Privileged::Reboot => ("reboot(0)", libc::SYS_reboot, 0, 0),
    };
    // SAFETY: addresses of nothing and numbers that no call takes; the kernel answers with an error in any case.
    done(unsafe { libc::syscall(number, first, second, 0, 0, 0) }, call)
}

fn done(result: libc::c_long, call: &str) -> Result<()> {
    match result {
        -1 => Err(Error::new(call, std::io::Error::last_os_error())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_another_is_read_where_that_is_allowed() {
        let secret = *b"a word of mine";
        let mut read = [0; 14];
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(read_memory(own, secret.as_ptr().addr(), &mut read).unwrap(), 14);
        assert_eq!(read, secret);
    }

    #[test]
    fn who_may_not_is_told_so_and_who_may_has_asked_for_nothing() {
        let may = [libc::EFAULT, libc::EINVAL];
        let may_not = [libc::EPERM, libc::ENOSYS];
        for what in [Privileged::LoadModule, Privileged::Swap, Privileged::NameHost, Privileged::Reboot] {
            let errno = ask_for(what).unwrap_err().errno();
            assert!(may.contains(&errno) || may_not.contains(&errno), "{what:?}: {errno}");
        }
    }
}
