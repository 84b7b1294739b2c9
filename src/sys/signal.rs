//! Signals: none are handled here, they are waited for; and a program starts with none ignored or blocked.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::OnceLock;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use super::{Error, Result};

/// The highest signal number of Linux, real-time signals included.
const LAST_SIGNAL: libc::c_int = 64;

/// What this program ignores by itself, at one time or another.
const IGNORED_HERE: [Signal; 6] =
    [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGPIPE, Signal::SIGXFSZ];

/// Gives every signal its default action: an ignored one would stay ignored in the next program.
///
/// The kernel is asked, not the C library, which keeps two signals for itself and would leave them ignored.
pub fn restore_defaults() {
    // What the caller has said does not change; who starts many programs asks once.
    static INHERITED: OnceLock<Vec<libc::c_int>> = OnceLock::new();
    let inherited = INHERITED.get_or_init(|| (1..=LAST_SIGNAL).filter(|number| is_set(*number)).collect());
    let own = IGNORED_HERE.map(|signal| signal as libc::c_int);
    for number in inherited.iter().chain(&own) {
        // The kernel's structure differs between machines and is nowhere larger; all zeros mean the default action, no
        // flags and an empty mask on each.
        let default = [0_u64; 20];
        // SAFETY: the structure is long enough on every machine, and is only read.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, *number, default.as_ptr(), std::ptr::null_mut::<u64>(), 8)
        };
    }
}

/// Has something been said about the signal of this number?
fn is_set(number: libc::c_int) -> bool {
    let mut action = [0_u64; 20];
    // SAFETY: the structure is long enough on every machine, and is only written to. Where the call fails there is
    // nothing to be set.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, number, std::ptr::null::<u64>(), action.as_mut_ptr(), 8) };
    action != [0; 20]
}

/// Makes sure that children can be waited for even if the caller ignored SIGCHLD, and that a low file size limit is
/// an error of the write that meets it, not the end of the process.
pub fn prepare() -> Result<()> {
    let set = |signal, handler| {
        let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
        // SAFETY: neither the default action nor ignoring runs code of this program.
        unsafe { sigaction(signal, &action) }
            .map_err(|errno| Error::new(format!("sigaction({signal})"), errno))
    };
    set(Signal::SIGCHLD, SigHandler::SigDfl)?;
    set(Signal::SIGXFSZ, SigHandler::SigIgn)?;
    Ok(())
}

/// What asks a process to end is not heard any more: for one that is there for the end of others.
pub fn ignore_requests_to_end() -> Result<()> {
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGPIPE] {
        let action = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
        // SAFETY: ignoring a signal runs no code of this program.
        unsafe { sigaction(signal, &action) }
            .map_err(|errno| Error::new(format!("sigaction({signal}, SIG_IGN)"), errno))?;
    }
    Ok(())
}

/// Lets no signal through that can be kept out.
pub fn block_all() -> Result<()> {
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None)
        .map_err(|errno| Error::new("sigprocmask(SIG_SETMASK, all)", errno))
}

/// Has the process with this number been sent `signal`, which it blocks?
pub fn is_pending(pid: rustix::process::Pid, signal: i32) -> Result<bool> {
    let text = super::access::text_of(&format!("/proc/{}/status", pid.as_raw_nonzero()))?;
    let sets = ["SigPnd:", "ShdPnd:"].map(|name| text.lines().find_map(|line| line.strip_prefix(name)));
    let sets = sets.into_iter().flatten().filter_map(|set| u64::from_str_radix(set.trim(), 16).ok());
    Ok(sets.fold(0, |all, set| all | set) >> (signal - 1) & 1 == 1)
}

/// Lets every signal through.
pub fn unblock_all() -> Result<()> {
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
        .map_err(|errno| Error::new("sigprocmask(SIG_SETMASK, none)", errno))
}

/// The signals that a process which waits for another one takes in through a descriptor: those that it hands on, and
/// SIGCHLD. The terminal's stop signals are among them, because the waiting process stops when the program it waits
/// for has stopped, and not when it was only asked to. Not among them are those that report a fault of its own.
fn waited_for() -> SigSet {
    [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGTERM,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGALRM,
        Signal::SIGWINCH,
        Signal::SIGCONT,
        Signal::SIGTSTP,
        Signal::SIGTTIN,
        Signal::SIGTTOU,
        Signal::SIGCHLD,
    ]
    .into_iter()
    .collect()
}

/// Signals, one read at a time.
#[derive(Debug)]
pub struct Queue(SignalFd);

/// What came out of a [`Queue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// The signal's number.
    pub number: i32,
    /// Was it sent by the kernel (a key on the terminal, a hang-up) rather than by a process?
    pub from_kernel: bool,
}

impl Received {
    /// Is the process, if it was stopped, to go on?
    pub fn is_continue(self) -> bool {
        self.number == libc::SIGCONT
    }

    /// Is the process asked to end?
    pub fn is_terminate(self) -> bool {
        self.number == libc::SIGTERM
    }

    /// Does the program that is waited for not have this signal already? What the terminal sends goes to all of its
    /// foreground processes by itself; a hang-up, which may go to the session's leader alone, is always handed on.
    pub fn must_be_handed_on(self) -> bool {
        self.number != libc::SIGCHLD && (!self.from_kernel || self.number == libc::SIGHUP)
    }
}

impl Queue {
    /// Blocks the signals that are waited for, and opens the descriptor they arrive on.
    pub fn open() -> Result<Self> {
        let signals = waited_for();
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&signals), None)
            .map_err(|errno| Error::new("sigprocmask(SIG_SETMASK)", errno))?;
        SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .map(Self)
            .map_err(|errno| Error::new("signalfd()", errno))
    }

    /// The next signal that has arrived, if one has.
    pub fn next(&self) -> Result<Option<Received>> {
        let signal = self.0.read_signal().map_err(|errno| Error::new("read(signalfd)", errno))?;
        Ok(signal.and_then(|signal| {
            let number = i32::try_from(signal.ssi_signo).ok()?;
            Some(Received { number, from_kernel: signal.ssi_code == libc::SI_KERNEL })
        }))
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// How a child changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It ended, with this status as a shell counts it: its own, or 128 and the number of the signal.
    Ended(u8),
    /// It was stopped.
    Stopped,
}

/// Takes in every child that has changed, and says what became of `main`; `None` while it runs.
pub fn reap(main: rustix::process::Pid) -> Result<Option<Change>> {
    let main = Pid::from_raw(main.as_raw_nonzero().get());
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WSTOPPED | WaitPidFlag::WNOHANG;
    loop {
        match waitid(Id::All, flags) {
            Ok(WaitStatus::Exited(pid, code)) if pid == main => {
                return Ok(Some(Change::Ended(u8::try_from(code & 0xff).unwrap_or(u8::MAX))));
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == main => {
                return Ok(Some(Change::Ended(u8::try_from(128 + signal as i32).unwrap_or(u8::MAX))));
            }
            Ok(WaitStatus::Stopped(pid, _)) if pid == main => return Ok(Some(Change::Stopped)),
            Ok(WaitStatus::StillAlive) | Err(nix::errno::Errno::ECHILD) => return Ok(None),
            // Somebody's orphan, or a signal in between.
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(Error::new("waitid(P_ALL)", errno)),
        }
    }
}

/// Are there any children?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Children {
    /// Some are running.
    Running,
    /// None is left.
    None,
}

/// Takes in every child that has ended.
pub fn reap_all() -> Result<Children> {
    loop {
        match waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG) {
            Ok(WaitStatus::StillAlive) => return Ok(Children::Running),
            Err(nix::errno::Errno::ECHILD) => return Ok(Children::None),
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(Error::new("waitid(P_ALL)", errno)),
        }
    }
}

/// Sends a signal by number to a child that has not been waited for yet, so that its id cannot have been reused.
pub fn send(child: rustix::process::Pid, number: i32) -> Result<()> {
    // SAFETY: takes two numbers, touches no memory; the id is positive by its type.
    match unsafe { libc::kill(child.as_raw_nonzero().get(), number) } {
        0 => Ok(()),
        _ => Err(Error::new(format!("kill({child:?}, {number})"), std::io::Error::last_os_error())),
    }
}

/// Stops this process, as the program it waits for was stopped.
pub fn stop_self() -> Result<()> {
    nix::sys::signal::raise(Signal::SIGSTOP).map_err(|errno| Error::new("raise(SIGSTOP)", errno))
}

/// Waits until one of the descriptors can be read; `true` at the place of each that can.
pub fn wait_readable(descriptors: &[BorrowedFd<'_>]) -> Result<Vec<bool>> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut polled: Vec<PollFd<'_>> =
        descriptors.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    loop {
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) => return Ok(polled.iter().map(|fd| fd.any().unwrap_or(false)).collect()),
            Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(Error::new("poll()", errno)),
        }
    }
}

/// Waits until a child has ended, and says whether it did so with status 0.
pub fn wait_for_end(child: rustix::process::Pid) -> Result<bool> {
    let child_id = Pid::from_raw(child.as_raw_nonzero().get());
    loop {
        match waitid(Id::Pid(child_id), WaitPidFlag::WEXITED) {
            Ok(status) => return Ok(matches!(status, WaitStatus::Exited(_, 0))),
            Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(Error::new(format!("waitid({child:?})"), errno)),
        }
    }
}
