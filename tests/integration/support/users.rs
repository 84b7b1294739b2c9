//! The ordinary users that tests are done as.
//!
//! Root's tests use two accounts of their own, made when the first test needs them and removed by the last run that
//! does: several runs may overlap. Somebody else's tests are done as whoever runs them.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};

use libtest_mimic::Failed;
use rustix::fs::{FlockOperation, Mode, OFlags};

use super::{Run, ensure, until};

/// By this an account is known as one that a test run made, and may remove.
const MARK: &str = "account for tests of session-sandbox";

/// An ordinary user.
#[derive(Clone, Debug)]
pub struct User {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// All groups, sorted.
    pub groups: Vec<u32>,
    /// Home directory.
    pub home: PathBuf,
}

/// The user most tests are done as: is in more groups than one, and has subordinate ids.
pub fn bob() -> Result<User, Failed> {
    if super::is_root() { account("sstest-bob") } else { caller() }
}

/// Another user, without subordinate ids. Root's tests only.
pub fn mallory() -> Result<User, Failed> {
    ensure!(super::is_root(), "only root can be two users");
    account("sstest-mallory")
}

/// Why nothing can be done as an ordinary user here, if so.
pub fn unusable() -> Option<String> {
    static ANSWER: OnceLock<Option<String>> = OnceLock::new();
    let ask = || -> Result<(), Failed> {
        let user = bob()?;
        let outcome = Run::new("unshare").args(["--user", "true"]).user(&user).finish()?;
        ensure!(
            outcome.code == Some(0),
            "ordinary users cannot make user namespaces: {}",
            outcome.stderr.trim()
        );
        Ok(())
    };
    ANSWER
        .get_or_init(|| {
            ask()
                .err()
                .map(|failed| format!("needs an ordinary user: {}", failed.message().unwrap_or("none")))
        })
        .clone()
}

fn account(name: &str) -> Result<User, Failed> {
    // Whoever started this process holds the accounts.
    if !super::is_isolated() {
        hold()?;
    }
    look_up(name)?.ok_or_else(|| format!("the account {name} could not be made").into())
}

fn caller() -> Result<User, Failed> {
    let uid = nix::unistd::Uid::current();
    let name = nix::unistd::User::from_uid(uid)?.ok_or("the user database does not know who runs this")?.name;
    look_up(&name)?.ok_or_else(|| "the user database knows an id and not its name".into())
}

fn look_up(name: &str) -> Result<Option<User>, Failed> {
    let Some(found) = nix::unistd::User::from_name(name)? else { return Ok(None) };
    let mut groups: Vec<u32> = nix::unistd::getgrouplist(&CString::new(name)?, found.gid)?
        .into_iter()
        .map(nix::unistd::Gid::as_raw)
        .collect();
    groups.sort_unstable();
    groups.dedup();
    Ok(Some(User {
        name: name.to_owned(),
        uid: found.uid.as_raw(),
        gid: found.gid.as_raw(),
        groups,
        home: found.dir,
    }))
}

/// Kept locked, shared, for as long as this run may use the accounts.
static HELD: Mutex<Option<OwnedFd>> = Mutex::new(None);

/// Two folders that every host has serve as locks, so that no lock file is left behind or removed under somebody.
fn open_lock(folder: &str) -> Result<OwnedFd, Failed> {
    Ok(rustix::fs::open(folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Held while accounts are made or removed.
fn lock_changes() -> Result<OwnedFd, Failed> {
    let lock = open_lock("/etc")?;
    until("no other test run makes or removes accounts", || {
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).ok()
    })?;
    Ok(lock)
}

fn hold() -> Result<(), Failed> {
    let mut held = HELD.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if held.is_some() {
        return Ok(());
    }
    let _changes = lock_changes()?;
    let lock = open_lock("/home")?;
    rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared)?;
    make("sstest-bob", &["--groups", "users,games"])?;
    make("sstest-mallory", &["--key", "SUB_UID_COUNT=0", "--key", "SUB_GID_COUNT=0"])?;
    *held = Some(lock);
    Ok(())
}

fn make(name: &str, options: &[&str]) -> Result<(), Failed> {
    if look_up(name)?.is_some() {
        return Ok(());
    }
    let home = format!("/home/{name}");
    let outcome = Run::new("useradd")
        .args(["--create-home", "--home-dir", &home, "--shell", "/bin/bash", "--comment", MARK])
        .args(options)
        .arg(name)
        .finish()?;
    ensure!(outcome.code == Some(0), "useradd {name}: {}", outcome.stderr.trim());
    Ok(())
}

/// Lets go of the accounts. The last run that does so removes those that a run has made.
pub fn let_go() {
    let Some(held) = HELD.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take() else { return };
    let removed = (|| -> Result<(), Failed> {
        let _changes = lock_changes()?;
        if rustix::fs::flock(&held, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(());
        }
        for name in ["sstest-bob", "sstest-mallory"] {
            let found = nix::unistd::User::from_name(name)?;
            if found.is_some_and(|user| user.gecos.as_bytes() == MARK.as_bytes()) {
                Run::new("userdel").args(["--remove", name]).finish()?;
            }
        }
        Ok(())
    })();
    if let Err(failed) = removed {
        eprintln!("the accounts of the tests could not be removed: {}", failed.message().unwrap_or("?"));
    }
}
