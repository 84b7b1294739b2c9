//! What can be done about an error of which no more is known than the kernel's reason.

use rustix::io::Errno;

/// What to do, where the reason alone tells. Whoever knows what was being done knows better.
pub(super) fn of_errno(errno: i32) -> Option<&'static str> {
    let remedy = match Errno::from_raw_os_error(errno) {
        Errno::PERM => {
            "this process lacks a right (CAP_SYS_ADMIN, mostly), or a security module (SELinux, AppArmor) or a seccomp filter refuses the call: look into the audit log"
        }
        Errno::ACCESS => {
            "check the permissions on the way; where they allow it, a security module (SELinux, AppArmor) refuses: look into the audit log"
        }
        Errno::NOSPC | Errno::USERS => {
            "something is full: a file system (`df`), or a limit of the kernel (sysctl fs.mount-max, user.max_mnt_namespaces and the like)"
        }
        Errno::DQUOT => "a quota is used up: raise it, or make room",
        Errno::NOMEM => {
            "memory is short: look at the host's, and at the memory limit of the service or container"
        }
        Errno::MFILE => "raise the limit of open descriptors: `ulimit -n`, or LimitNOFILE= of the service",
        Errno::NFILE => "raise sysctl fs.file-max, or find out who has so many files open",
        Errno::AGAIN => {
            "try again; if it is about a new process, raise `ulimit -u`, or TasksMax= of the service"
        }
        Errno::IO => "a disk, or the server of a file system, fails: look into the kernel's log (`dmesg`)",
        Errno::BUSY => "somebody else uses it: look for it in /proc/self/mountinfo, and try again",
        Errno::ROFS => "it lies on a file system that is read-only: make it writable, or use another place",
        Errno::NOSYS => {
            "this kernel has no such call, or a seccomp filter (of a container, of a service) hides it: boot a newer kernel, or let the filter pass it"
        }
        Errno::NOTCONN | Errno::STALE | Errno::TIMEDOUT | Errno::HOSTDOWN | Errno::HOSTUNREACH => {
            "the server of that file system (NFS, FUSE) is gone: bring it back, or unmount it (umount -l)"
        }
        _ => return None,
    };
    Some(remedy)
}
