//! A session in a PID namespace of its own: three processes, and what passes between them.
//!
//! ```text
//! supervisor (the caller's process, host view)     waits, hands signals on, ends with the program's status
//!   └ init   (process 1 inside, the user's uid)    built the tree; takes in orphans; ends with the program
//!       └ the user's program
//! ```
//!
//! When the supervisor dies, however it dies, the kernel kills init, and with init everything inside. When the
//! program ends, init ends, and with it everything it left running.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::Pid;

use crate::error::{Error, ErrorKind, Relayed};
use crate::plan::Plan;
use crate::plan::step::UserNamespace;
use crate::sys;
use crate::sys::process::Fork;
use crate::sys::signal::{Change, Queue};

use super::program::{Inherited, become_program};
use super::{Runner, run_steps};

/// What init writes to the supervisor when the program was stopped. An error is a line of JSON.
const STOPPED: &[u8] = b"stopped\n";

/// Both ends' descriptors of what connects supervisor and init.
struct Channel {
    /// Held open by the supervisor for as long as it lives. With a user namespace, it writes one byte when the ids are
    /// mapped and init may begin.
    lifeline: (OwnedFd, OwnedFd),
    /// Errors and stops, from init and the program's process to the supervisor.
    report: (OwnedFd, OwnedFd),
}

/// Runs the session, and returns the program's exit status.
pub(super) fn run(plan: &Plan, runner: &mut dyn Runner, inherited: Inherited) -> Result<u8, Error> {
    let failed =
        |error: sys::Error| Error::new(ErrorKind::Enter, "cannot start the session").caused_by(error);
    let channel =
        Channel { lifeline: sys::fd::pipe().map_err(failed)?, report: sys::fd::pipe().map_err(failed)? };
    // Blocked before the fork, so that no signal falls between the two processes.
    let signals = Queue::open().map_err(failed)?;
    // The files in which ids are mapped belong to root while a process is hidden.
    sys::process::hide_memory(plan.namespace.user.is_none()).map_err(failed)?;
    let into = super::new_namespaces(&plan.namespace);
    match sys::process::fork(into) {
        Ok(Fork::Child) => {
            let Channel { lifeline: (alive, keep_alive), report: (hear, report) } = channel;
            drop((keep_alive, hear));
            let error = match be_init(plan, runner, inherited, &alive, &report, signals) {
                Ok(never) => match never {},
                Err(error) => error,
            };
            tell(&report, &error);
            sys::process::exit_now(error.kind().exit_code())
        }
        Ok(Fork::Parent(init)) => {
            let Channel { lifeline: (alive, keep_alive), report: (hear, report) } = channel;
            drop((alive, report));
            supervise(init, plan.namespace.user.as_ref(), &keep_alive, hear, &signals)
        }
        Err(error) => {
            let no_more = [Errno::NOSPC, Errno::USERS].contains(&Errno::from_raw_os_error(error.errno()));
            let help = match (into.user, no_more) {
                (true, _) => Some(user_namespace_help(error.errno())),
                (false, true) => Some("raise sysctl user.max_pid_namespaces".to_owned()),
                (false, false) => None,
            };
            let error = failed(error);
            Err(match help {
                Some(help) => error.help(help),
                None => error,
            })
        }
    }
}

/// The supervisor's side.
fn supervise(
    init: Pid,
    user: Option<&UserNamespace>,
    keep_alive: &OwnedFd,
    hear: OwnedFd,
    signals: &Queue,
) -> Result<u8, Error> {
    let failed =
        |error: sys::Error| Error::new(ErrorKind::Enter, "cannot supervise the session").caused_by(error);
    if let Some(user) = user {
        map_ids(init, user)?;
        sys::process::hide_memory(true).map_err(failed)?;
        match sys::path::write_all(keep_alive.as_fd(), b"\n") {
            // Init is gone already, and the report says why.
            Err(error) if error.errno() == Errno::PIPE.raw_os_error() => {}
            other => other.map_err(failed)?,
        }
    }

    let mut reports = std::fs::File::from(hear);
    let mut heard = Vec::new();
    let mut more = true;
    loop {
        let both = [signals.as_fd(), reports.as_fd()];
        let ready = sys::signal::wait_readable(if more { &both } else { &both[..1] }).map_err(failed)?;
        if ready.get(1) == Some(&true) {
            let mut buffer = [0_u8; 4096];
            let length = reports.read(&mut buffer).unwrap_or(0);
            more = length > 0;
            heard.extend_from_slice(&buffer[..length]);
        }
        let mut continued = false;
        while let Some(signal) = signals.next().map_err(failed)? {
            continued |= signal.is_continue();
            if signal.must_be_handed_on() {
                sys::signal::send(init, signal.number).map_err(failed)?;
            }
        }
        if heard.ends_with(STOPPED) {
            heard.clear();
            // A program that was continued in the meantime is not waited for.
            if !continued {
                sys::signal::stop_self().map_err(failed)?;
            }
        }
        if let Some(Change::Ended(status)) = sys::signal::reap(init).map_err(failed)? {
            // Everything inside has ended, so the pipe has no writer left and this does not wait.
            let _ = reports.read_to_end(&mut heard);
            return match serde_json::from_slice::<Relayed>(&heard) {
                Ok(relayed) => Err(relayed.into()),
                Err(_) => Ok(status),
            };
        }
    }
}

/// Waits for a program that is this process's own child: hands signals on, stops and goes on with it, and returns its
/// exit status.
pub(super) fn wait_for_program(program: Pid, signals: &Queue) -> Result<u8, Error> {
    let failed =
        |error: sys::Error| Error::new(ErrorKind::Enter, "cannot supervise the session").caused_by(error);
    loop {
        let mut continued = false;
        while let Some(signal) = signals.next().map_err(failed)? {
            continued |= signal.is_continue();
            if signal.must_be_handed_on() {
                sys::signal::send(program, signal.number).map_err(failed)?;
            }
        }
        match sys::signal::reap(program).map_err(failed)? {
            Some(Change::Ended(status)) => return Ok(status),
            // A program that was continued in the meantime is not waited for.
            Some(Change::Stopped) if !continued => sys::signal::stop_self().map_err(failed)?,
            _ => {
                sys::signal::wait_readable(&[signals.as_fd()]).map_err(failed)?;
            }
        }
    }
}

fn map_ids(init: Pid, user: &UserNamespace) -> Result<(), Error> {
    let mapped = match user.subordinate {
        Some(ids) => sys::namespace::map_id_ranges(init, (user.uid, ids.uid), (user.gid, ids.gid)),
        None => sys::namespace::map_single_ids(init, user.uid, user.gid),
    };
    mapped.map_err(|error| {
        Error::new(ErrorKind::Host, "cannot map ids into the user namespace")
            .caused_by(error)
            .help("check the user's lines in /etc/subuid and /etc/subgid")
    })
}

/// What the host forbids when it refuses a user namespace.
fn user_namespace_help(errno: i32) -> String {
    let setting = |name: &str| {
        let value =
            std::fs::File::open(format!("/proc/sys/{}", name.replace('.', "/"))).ok().and_then(|mut file| {
                let mut text = String::new();
                file.read_to_string(&mut text).ok().map(|_| text.trim().to_owned())
            });
        value.map(|value| format!("sysctl {name} is {value}"))
    };
    let settings = match Errno::from_raw_os_error(errno) {
        Errno::NOSPC | Errno::USERS => vec!["user.max_user_namespaces", "user.max_pid_namespaces"],
        _ => vec!["kernel.unprivileged_userns_clone", "kernel.apparmor_restrict_unprivileged_userns"],
    };
    let found: Vec<String> = settings.iter().filter_map(|name| setting(name)).collect();
    let found = if found.is_empty() {
        "a security module or a chroot may be in the way".to_owned()
    } else {
        found.join(", ")
    };
    format!(
        "this host does not let ordinary users make a user namespace ({found}); change that, or enter as root"
    )
}

/// Process 1 of the session. Comes back only with an error.
fn be_init(
    plan: &Plan,
    runner: &mut dyn Runner,
    inherited: Inherited,
    alive: &OwnedFd,
    report: &OwnedFd,
    signals: Queue,
) -> Result<Infallible, Error> {
    let failed =
        |error: sys::Error| Error::new(ErrorKind::Enter, "cannot start the session").caused_by(error);
    sys::process::die_with_parent().map_err(failed)?;
    if plan.namespace.user.is_some() {
        wait_for_start(alive);
    }
    end_without_supervisor(alive)?;
    sys::process::hide_memory(true).map_err(failed)?;
    if plan.namespace.apart.net {
        sys::net::raise_loopback().map_err(failed)?;
    }
    run_steps(plan, runner)?;
    // Becoming another user made the kernel forget the wish to die with the supervisor.
    sys::process::die_with_parent().map_err(failed)?;
    end_without_supervisor(alive)?;
    let program = sys::process::start(|| {
        let error = match become_program(&plan.exec, &plan.tree, inherited) {
            Ok(never) => match never {},
            Err(error) => error,
        };
        tell(report, &error);
        error.kind().exit_code()
    });
    reap_until_end(program.map_err(failed)?, report, &signals)
}

/// The wish to die with the supervisor does nothing when it is dead already.
fn end_without_supervisor(alive: &OwnedFd) -> Result<(), Error> {
    let closed = sys::fd::is_closed(alive.as_fd());
    if closed.map_err(|error| Error::new(ErrorKind::Enter, "cannot start the session").caused_by(error))? {
        sys::process::exit_now(ErrorKind::Enter.exit_code());
    }
    Ok(())
}

/// Waits for the supervisor's byte: until then the ids of a user namespace are not mapped. Ends when there is no
/// supervisor any more.
fn wait_for_start(alive: &OwnedFd) {
    let mut byte = [0_u8; 1];
    loop {
        match rustix::io::read(alive, &mut byte) {
            Ok(1) => return,
            Err(Errno::INTR) => {}
            _ => sys::process::exit_now(ErrorKind::Enter.exit_code()),
        }
    }
}

/// Takes in orphans and hands signals on until the program has ended; then ends, and with it the namespace.
fn reap_until_end(program: Pid, report: &OwnedFd, signals: &Queue) -> Result<Infallible, Error> {
    let failed =
        |error: sys::Error| Error::new(ErrorKind::Enter, "process 1 of the session").caused_by(error);
    sys::fd::drop_standard().map_err(failed)?;
    loop {
        while let Some(signal) = signals.next().map_err(failed)? {
            if signal.must_be_handed_on() {
                // The program may have ended in this moment; it has not been waited for, so nobody else is meant.
                let _ = sys::signal::send(program, signal.number);
            }
        }
        match sys::signal::reap(program).map_err(failed)? {
            Some(Change::Ended(status)) => sys::process::exit_now(status),
            Some(Change::Stopped) => sys::path::write_all(report.as_fd(), STOPPED).map_err(failed)?,
            None => {
                sys::signal::wait_readable(&[signals.as_fd()]).map_err(failed)?;
            }
        }
    }
}

/// Sends an error to the supervisor.
fn tell(report: &OwnedFd, error: &Error) {
    if let Ok(line) = serde_json::to_vec(&Relayed::from(error))
        && let Ok(copy) = report.try_clone()
    {
        // With nobody listening there is nobody to tell.
        let _ = std::fs::File::from(copy).write_all(&line);
    }
}
