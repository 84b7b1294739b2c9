//! The one network device that every network namespace has.

use std::os::fd::AsRawFd;

use super::{Error, Result};

/// Switches the loopback device on: it is off in a new network namespace.
pub fn raise_loopback() -> Result<()> {
    let socket = rustix::net::socket_with(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )
    .map_err(|errno| Error::new("socket(AF_INET)", errno))?;
    let ifru_flags = libc::c_short::try_from(libc::IFF_UP).unwrap_or(1);
    let mut request =
        libc::ifreq { ifr_name: [0; libc::IFNAMSIZ], ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags } };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    // SAFETY: the request is one of these, lives through the call, and the kernel keeps nothing of it.
    let result =
        unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, std::ptr::from_ref(&request)) };
    match result {
        0 => Ok(()),
        _ => Err(Error::new("ioctl(\"lo\", SIOCSIFFLAGS, IFF_UP)", std::io::Error::last_os_error())),
    }
}
