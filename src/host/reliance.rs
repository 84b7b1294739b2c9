//! Can root rely on the view that this process has for its root?

use std::os::fd::AsFd;

use crate::error::{Error, ErrorKind};
use crate::model::path::AbsPath;
use crate::sys;

use super::walk::{Trust, WalkError, walk};

/// What a root process resolves by itself or through the C library.
const RESOLVED_BY_ROOT: [&str; 30] = [
    "/bin",
    "/dev",
    "/etc",
    "/etc/environment",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/login.defs",
    "/etc/nsswitch.conf",
    "/etc/pam.d",
    "/etc/passwd",
    "/etc/security",
    "/etc/shells",
    "/etc/ssh",
    "/home",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/usr/lib",
    "/var",
    "/var/run",
];

/// Looks whether anybody but root could put something in root's way.
pub fn expect_reliable() -> Result<(), Error> {
    // Whoever may write there could make all of them, or put others in their place.
    let failed = |error: sys::Error| Error::new(ErrorKind::Enter, "cannot look at the view").caused_by(error);
    let top = sys::path::open_root().and_then(|root| sys::path::status(root.as_fd())).map_err(failed)?;
    if !Trust::ROOT.allows(&top) {
        let error = WalkError::Untrusted { path: "/".to_owned(), uid: top.uid, mode: top.mode };
        return Err(Error::new(ErrorKind::Enter, "root cannot rely on this view").caused_by(error));
    }
    let libraries = format!("/usr/lib/{}-linux-gnu/security", std::env::consts::ARCH);
    for path in RESOLVED_BY_ROOT.into_iter().chain([libraries.as_str()]) {
        let Ok(path) = AbsPath::new(path) else { continue };
        match walk(&path, Trust::ROOT) {
            // What is not there cannot be made by others: the way to it is root's.
            Ok(_) => {}
            Err(error) if error.is_missing() => {}
            Err(error @ WalkError::Untrusted { .. }) => {
                return Err(Error::new(ErrorKind::Enter, "root cannot rely on this view").caused_by(error));
            }
            Err(error) => {
                return Err(Error::new(ErrorKind::Enter, "cannot look at the view").caused_by(error));
            }
        }
    }
    Ok(())
}
