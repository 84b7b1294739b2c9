//! Starts `session-scripts`, and takes in what became of it.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::SigSet;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, WaitIdStatus, waitid};

use crate::error::{Error, Result};
use crate::process::ProcessId;

/// All of its environment: what this daemon was started with is nobody's session's.
const ENVIRONMENT: [&CStr; 1] = [c"PATH=/usr/sbin:/usr/bin:/sbin:/bin"];

/// A program, and how it is started.
#[derive(Debug)]
pub struct Runner {
    program: CString,
    /// What it gets as its standard input.
    nothing: OwnedFd,
}

impl Runner {
    /// The program at this path.
    pub fn new(program: &Path) -> Result<Self> {
        let program = CString::new(program.as_os_str().as_bytes())
            .map_err(|error| Error::new(format!("the runner {program:?}"), error))?;
        let nothing = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| Error::new("open(\"/dev/null\")", errno))?;
        Ok(Self { program, nothing })
    }

    /// Starts it. The descriptor becomes readable when it ends.
    ///
    /// Its signals are as a login's: none blocked, none ignored, not even SIGPIPE, which every Rust program ignores. It
    /// is in a process group of its own, so that ^C at the terminal of somebody who tries the daemon does not reach it.
    pub fn start(&self, arguments: Vec<String>) -> Result<(ProcessId, OwnedFd)> {
        let failed = |source| Error::new(format!("posix_spawn({:?}, {arguments:?})", self.program), source);
        let mut words = vec![self.program.clone()];
        for argument in &arguments {
            let word = CString::new(argument.as_str())
                .map_err(|error| Error::new(format!("the argument {argument:?}"), error))?;
            words.push(word);
        }
        let pid = self.spawn(&words).map_err(failed)?;
        // It has not been waited for, so the number is its own.
        ProcessId::open_child(pid)
    }

    fn spawn(&self, words: &[CString]) -> nix::Result<i32> {
        let mut files = PosixSpawnFileActions::init()?;
        files.add_dup2(self.nothing.as_raw_fd(), 0)?;
        let mut attributes = PosixSpawnAttr::init()?;
        attributes.set_flags(
            PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK
                | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF
                | PosixSpawnFlags::POSIX_SPAWN_SETPGROUP,
        )?;
        attributes.set_pgroup(nix::unistd::Pid::from_raw(0))?;
        attributes.set_sigmask(&SigSet::empty())?;
        attributes.set_sigdefault(&SigSet::all())?;
        posix_spawn(self.program.as_c_str(), &files, &attributes, words, &ENVIRONMENT).map(|pid| pid.as_raw())
    }
}

/// What became of a child that has ended: `None` when all is well, otherwise a few words.
pub fn outcome(pidfd: &OwnedFd) -> Option<String> {
    loop {
        match waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(status) => return status.and_then(|status| words(&status)),
            Err(Errno::INTR) => {}
            // An earlier daemon's: its status went to process 1.
            Err(Errno::CHILD) => return None,
            Err(errno) => return Some(format!("cannot be waited for: {errno}")),
        }
    }
}

fn words(status: &WaitIdStatus) -> Option<String> {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(0), _) => None,
        (Some(code), _) => Some(format!("ended with exit status {code}")),
        (None, Some(signal)) => Some(format!("was ended by signal {signal}")),
        (None, None) => Some("ended in an unknown way".to_owned()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]
mod tests {
    use super::*;
    use nix::sys::signal::Signal;
    use rustix::event::{PollFd, PollFlags, poll};

    fn end_of(program: &str, arguments: &[&str]) -> Option<String> {
        let runner = Runner::new(Path::new(program)).unwrap();
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let (_, pidfd) = runner.start(arguments).unwrap();
        poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], None).unwrap();
        outcome(&pidfd)
    }

    #[test]
    fn what_became_of_it_is_told() {
        assert_eq!(end_of("/bin/sh", &["-c", "exit 0"]), None);
        assert_eq!(end_of("/bin/sh", &["-c", "exit 7"]).unwrap(), "ended with exit status 7");
        assert_eq!(end_of("/bin/sh", &["-c", "kill -9 $$"]).unwrap(), "was ended by signal 9");
    }

    #[test]
    fn it_has_a_clean_world() {
        // Signals 32 and 33 are the C library's own: it ignores them in what it starts until they are of use there.
        let script = "test \"$(env | grep -v -e ^PWD= -e ^_= -e ^SHLVL= -e ^OLDPWD=)\" = \
                      PATH=/usr/sbin:/usr/bin:/sbin:/bin || exit 1
                      test \"$(readlink /proc/self/fd/0)\" = /dev/null || exit 2
                      grep -q '^SigBlk:\t0000000000000000$' /proc/self/status || exit 3
                      grep -qE '^SigIgn:\t0000000(00|18)0000000$' /proc/self/status || exit 4";
        let mut blocked = SigSet::empty();
        blocked.add(Signal::SIGTERM);
        blocked.thread_block().unwrap();
        assert_eq!(end_of("/bin/sh", &["-c", script]), None);
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let error = Runner::new(Path::new("/nonexistent/x")).unwrap().start(vec!["sweep".to_owned()]);
        assert!(error.unwrap_err().chain().contains("/nonexistent/x"));
    }
}
