//! Capability sets, by number where the kernel may know more of them than this program does.

use rustix::io::Errno;
use rustix::thread::CapabilitiesSecureBits;

use super::{Error, Result};

/// Takes every capability out of the bounding set whose bit is not in `keep`, up to the last one this kernel has.
pub fn limit_bounding_set(keep: u64) -> Result<()> {
    for number in (0_u8..64).filter(|number| keep & (1 << number) == 0) {
        match drop_from_bounding_set(number) {
            // The kernel knows no capability of this number: there are no more.
            Err(errno) if errno == Errno::INVAL => return Ok(()),
            // Without CAP_SETPCAP nothing can be taken out, and nothing need be where it is out already.
            Err(Errno::PERM) if !is_in_bounding_set(number) => {}
            Err(errno) => return Err(Error::new(format!("prctl(PR_CAPBSET_DROP, {number})"), errno)),
            Ok(()) => {}
        }
    }
    Ok(())
}

fn drop_from_bounding_set(number: u8) -> std::result::Result<(), Errno> {
    // SAFETY: takes a number, touches no memory.
    match unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

/// Is this capability, by number, one that a program started by this process could have?
pub fn can_be_had(number: u32) -> bool {
    u8::try_from(number).is_ok_and(is_in_bounding_set)
}

fn is_in_bounding_set(number: u8) -> bool {
    // SAFETY: takes a number, touches no memory.
    unsafe { libc::prctl(libc::PR_CAPBSET_READ, libc::c_ulong::from(number), 0, 0, 0) != 0 }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Empties the ambient set.
pub fn clear_ambient() -> Result<()> {
    rustix::thread::clear_ambient_capability_set()
        .map_err(|errno| Error::new("prctl(PR_CAP_AMBIENT_CLEAR_ALL)", errno))
}

/// Empties the inheritable, permitted and effective sets but for the bits in `keep`, which stay permitted and
/// effective (for a root that is meant to have some left).
pub fn limit_sets(keep: u64) -> Result<()> {
    use rustix::thread::{CapabilitySet, CapabilitySets};
    let own = rustix::thread::capabilities(None).map_err(|errno| Error::new("capget()", errno))?;
    let keep = CapabilitySet::from_bits_retain(keep);
    let sets = CapabilitySets {
        effective: own.effective & keep,
        permitted: own.permitted & keep,
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, sets).map_err(|errno| Error::new("capset()", errno))
}

/// The effective set, as a bit mask.
pub fn effective() -> Result<u64> {
    let sets = rustix::thread::capabilities(None).map_err(|errno| Error::new("capget()", errno))?;
    Ok(sets.effective.bits())
}

/// Puts the secure bits back to what a login starts with. Fails when the caller has locked other ones.
pub fn reset_secure_bits() -> Result<()> {
    let bits = rustix::thread::capabilities_secure_bits()
        .map_err(|errno| Error::new("prctl(PR_GET_SECUREBITS)", errno))?;
    if bits.is_empty() {
        return Ok(());
    }
    rustix::thread::set_capabilities_secure_bits(CapabilitiesSecureBits::empty())
        .map_err(|errno| Error::new(format!("prctl(PR_SET_SECUREBITS, 0), from {bits:?}"), errno))
}

/// From here on no `execve` raises any privilege.
pub fn set_no_new_privs() -> Result<()> {
    rustix::thread::set_no_new_privs(true).map_err(|errno| Error::new("prctl(PR_SET_NO_NEW_PRIVS)", errno))
}
