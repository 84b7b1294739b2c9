//! Strange things that the program is started with: they are no obstacle, and none of them reaches a script.

use std::time::Duration;

use libtest_mimic::Trial;

use super::own;
use super::site::{PLACE, Site, TRACE, own_processes};
use crate::support::{Run, Verdict, ensure, ensure_eq, until};

pub fn trials() -> Vec<Trial> {
    vec![
        own("a caller that ignores or blocks signals has its scripts waited for", signals),
        own("closed standard descriptors are no obstacle, in all combinations", closed),
        own("any limit of open files works, or is refused with nothing begun", open_files),
        own("other tight limits work, or are refused with nothing begun", tight_limits),
        own("output that nobody reads does not unmake a session", unread_output),
        own("nothing that runs in the background holds what the caller has open", held_open),
        own("a current directory that was removed is no obstacle", removed_directory),
    ]
}

fn set_limit(resource: libc::__rlimit_resource_t, value: u64) -> std::io::Result<()> {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    // SAFETY: reads a live structure.
    match unsafe { libc::setrlimit(resource, &raw const limit) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

fn signals() -> Verdict {
    let site = Site::new("")?;
    let look = format!("grep -E '^Sig(Blk|Ign)' /proc/self/status >> {TRACE}; exit 3");
    for name in ["added/10W-a", "added/20D-a", "added/50-b", "removed/10W-a"] {
        site.script(name, &look)?;
    }
    let hostile = || {
        // SAFETY: numbers, and the handler is one of the two constants.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGINT, libc::SIGPIPE, libc::SIGUSR1, libc::SIGALRM]
        {
            // SAFETY: as above.
            unsafe { libc::signal(signal, libc::SIG_IGN) };
        }
        let mut all = std::mem::MaybeUninit::<libc::sigset_t>::zeroed();
        // SAFETY: a live set.
        unsafe { libc::sigfillset(all.as_mut_ptr()) };
        // SAFETY: the set was filled above, and no old one is asked for.
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), std::ptr::null_mut()) };
        Ok(())
    };
    let run = site.call("added", &["--user", &site.bob.name]).before(hostile);
    let name = run.within(Duration::from_secs(20)).finish()?.output()?.trim().to_owned();
    ensure_eq!(site.how(&name, "added/10W-a")?, "exit 3", "the status of a script");
    site.until_done(&name, session_sandbox::model::scripts::Event::Added)?;
    until("three scripts have looked", || (site.trace().len() == 6).then_some(()))?;
    site.call("removed", &["--name", &name, "--wait"]).before(hostile).finish()?.expect_code(0)?;
    ensure_eq!(site.trace().len(), 8, "lines: {:?}", site.trace());
    for line in site.trace() {
        ensure!(line.ends_with("\t0000000000000000"), "what a script blocks or ignores: {line}");
    }
    site.until_nothing_is_left()
}

fn closed() -> Verdict {
    let site = Site::new("")?;
    site.script("added/10W-a", &format!("read x; for fd in 0 1 2; do readlink /proc/self/fd/$fd; done >> {TRACE}; echo out; echo err >&2; echo X=1 >> $SESSION_ENV"))?;
    site.script("added/50-b", &format!("echo listed >> {TRACE}"))?;
    for combination in 0..8 {
        site.clear();
        let close = move || {
            for number in 0..3 {
                if combination & (1 << number) != 0 {
                    // SAFETY: this child's own descriptor, and nobody in it uses it any more.
                    unsafe { libc::close(number) };
                }
            }
            Ok(())
        };
        let id = format!("c{combination}");
        let run = site.call("added", &["--user", &site.bob.name, "--session", &id, "--env"]).before(close);
        let outcome = run.finish()?;
        ensure_eq!(outcome.code, Some(0), "with {combination:03b} closed: {}", outcome.stderr);
        if combination & 2 == 0 {
            ensure!(
                outcome.stdout.ends_with("\nX=1\n"),
                "what is printed with {combination:03b} closed: {outcome:?}"
            );
        }
        let trace = site.trace();
        ensure_eq!(trace[0], "/dev/null", "standard input with {combination:03b} closed");
        ensure!(trace[1].starts_with("pipe:") || trace[1] == TRACE, "standard output: {trace:?}");
        ensure!(trace[2].starts_with("pipe:"), "standard error with {combination:03b} closed: {trace:?}");
        site.until_traced("listed")?;
        site.call("removed", &["--session", &id, "--wait"]).before(close).finish()?.expect_code(0)?;
    }
    site.until_nothing_is_left()
}

/// With each of these limits all scripts of the session run, or none, and somebody says so.
fn with_limits(site: &Site, resource: libc::__rlimit_resource_t, values: &[u64]) -> Verdict {
    for &value in values {
        site.clear();
        let run = site.call("added", &["--user", &site.bob.name, "--session", "x"]);
        let outcome = run.before(move || set_limit(resource, value)).finish()?;
        let began = site.count("added/10W-a session_added");
        match outcome.code {
            // A script that could not be started has failed, which is on record, and refuses nothing.
            Some(0) if began == 0 => {
                let how = site.how(outcome.stdout.trim(), "added/10W-a").map_err(|failed| {
                    format!(
                        "nothing has run at {value}, without an error: {}",
                        failed.message().unwrap_or("")
                    )
                })?;
                ensure!(how.starts_with("not run: "), "nothing has run at {value}, and on record is {how:?}");
            }
            Some(0) => {}
            _ => ensure!(
                !outcome.stderr.is_empty() || outcome.signal.is_some(),
                "silence at {value}: {outcome:?}"
            ),
        }
        site.call("removed", &["--session", "x", "--wait"]).finish()?.expect_code(0)?;
        site.call("removed", &["--user", &site.bob.name, "--wait"]).finish()?.expect_code(0)?;
        let ended = site.count("removed/10W-a session_removed");
        ensure!(ended == 1 || (ended == 0 && began == 0), "ends at {value}: {:?}; {outcome:?}", site.trace());
    }
    site.collect()?;
    site.until_nothing_is_left()
}

fn open_files() -> Verdict {
    let site = Site::new("")?;
    site.tracers(&["added/10W-a", "added/50-b", "removed/10W-a"])?;
    with_limits(
        &site,
        libc::RLIMIT_NOFILE,
        &[0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 20, 24, 32, 64],
    )
}

fn tight_limits() -> Verdict {
    let site = Site::new("")?;
    site.tracers(&["added/10W-a", "removed/10W-a"])?;
    with_limits(&site, libc::RLIMIT_FSIZE, &[0, 1, 100, 4096])?;
    with_limits(&site, libc::RLIMIT_CORE, &[0, 1 << 30])?;
    with_limits(&site, libc::RLIMIT_STACK, &[64 << 10, 256 << 10])
}

fn unread_output() -> Verdict {
    let site = Site::new("")?;
    site.tracers(&["added/10W-a", "removed/10W-a"])?;
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full")?;
    use std::os::fd::AsRawFd;
    let number = full.as_raw_fd();
    let run = site.call("added", &["--user", &site.bob.name, "--session", "x", "--env"]);
    let outcome = run
        .before(move || {
            // SAFETY: numbers of this child's own.
            unsafe { libc::dup2(number, 1) };
            Ok(())
        })
        .finish()?;
    // Whoever is told of a failure does not tell of the end: then it is ended here.
    let began = site.count("added/10W-a session_added");
    if outcome.code != Some(0) && began > 0 {
        site.until_traced("removed/10W-a session_removed")?;
    }
    site.call("removed", &["--session", "x", "--wait"]).finish()?.expect_code(0)?;
    ensure_eq!(site.count("removed/10W-a session_removed"), began, "ends");
    site.until_nothing_is_left()
}

fn held_open() -> Verdict {
    let site = Site::new("")?;
    let wait = format!("until [ -e {PLACE}/go ]; do sleep 0.01; done");
    site.script("added/20D-a", &wait)?;
    site.script("added/50-b", &wait)?;
    let leader = Run::new("sleep").arg("600").start()?;
    let pid = leader.pid().as_raw_nonzero().to_string();
    // A pipe at a high number, as a careless login program leaves one open. It is at its end when nobody holds it.
    let (read, write) = rustix::pipe::pipe()?;
    use std::os::fd::AsRawFd;
    let number = write.as_raw_fd();
    let run = site.call("added", &["--user", &site.bob.name, "--leader", &pid]).before(move || {
        for to in [7, 100, 900] {
            // SAFETY: numbers of this child's own.
            unsafe { libc::dup2(number, to) };
        }
        Ok(())
    });
    // Its output, too, is at its end although three processes of ours are left.
    let name = run.within(Duration::from_secs(20)).finish()?.output()?.trim().to_owned();
    drop(write);
    ensure!(own_processes().len() >= 3, "a watcher and two that run scripts: {:?}", own_processes());
    let mut byte = [0];
    rustix::fs::fcntl_setfl(&read, rustix::fs::OFlags::NONBLOCK)?;
    ensure_eq!(rustix::io::read(&read, &mut byte), Ok(0), "somebody holds the caller's pipe");
    // One that is about to become a script has the script's pipe for a moment.
    until("what is left has no standard descriptors of anybody's", || {
        let is_null = |(_, id): (String, i32)| {
            (0..3).all(|number| {
                std::fs::read_link(format!("/proc/{id}/fd/{number}"))
                    .is_ok_and(|to| to.as_os_str() == "/dev/null")
            })
        };
        own_processes().into_iter().all(is_null).then_some(())
    })?;
    std::fs::write(format!("{PLACE}/go"), "")?;
    leader.signal(rustix::process::Signal::KILL)?;
    site.until_ended(&name)?;
    site.until_nothing_is_left()
}

fn removed_directory() -> Verdict {
    let site = Site::new("")?;
    site.script("added/10W-a", &format!("pwd >> {TRACE}"))?;
    std::fs::create_dir("/run/site/gone")?;
    let run = Run::new("sh").args([
        "-c",
        "cd /run/site/gone && rmdir /run/site/gone && exec \"$@\"",
        "sh",
        super::site::SESSION_SCRIPTS,
    ]);
    let outcome = run
        .args(["added", "--user", &site.bob.name, "--config"])
        .arg(site.world.path("scripts.conf"))
        .finish()?;
    ensure_eq!((outcome.code, site.trace()), (Some(0), vec!["/".to_owned()]), "{}", outcome.stderr);
    site.removed(outcome.stdout.trim())
}
