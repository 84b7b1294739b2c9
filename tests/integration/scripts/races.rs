//! A script is looked at, and then it is run. Somebody who swaps it in between gains nothing.

use std::os::unix::fs::{chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use libtest_mimic::{Failed, Trial};
use rustix::fs::{CWD, RenameFlags};

use super::site::{PLACE, Site};
use super::{own, times};
use crate::support::{Run, Verdict, ensure, ensure_eq};

pub fn trials() -> Vec<Trial> {
    vec![
        own("a link of bob's that is swapped all the time never has bob's script run", || {
            swapped(Swap::Link)
        }),
        own("a folder of bob's that is swapped all the time never has bob's script run", || {
            swapped(Swap::Folder)
        }),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Swap {
    Link,
    Folder,
}

/// Exchanges two names as fast as it can, until it is dropped.
struct Swapper {
    stop: Arc<AtomicBool>,
    swaps: Arc<AtomicUsize>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Swapper {
    fn start(one: PathBuf, other: PathBuf) -> Self {
        let (stop, swaps) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&swaps));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                rustix::fs::renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE)
                    .expect("both are there");
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { stop, swaps, thread: Some(thread) }
    }
}

impl Drop for Swapper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

/// A name in a folder of bob's that leads to root's script in one moment and to bob's in the next.
fn stage(site: &Site, how: Swap) -> Result<(PathBuf, Swapper), Failed> {
    let bob = &site.bob;
    let home = PathBuf::from(format!("{PLACE}/bobs"));
    std::fs::create_dir(&home)?;
    std::fs::create_dir("/run/site/roots")?;
    site.script("/run/site/roots/script", "echo good >> /run/site/trace")?;
    let evil = home.join("evil");
    site.script(&evil.to_string_lossy(), "echo evil >> /run/site/trace")?;
    chown(&evil, Some(bob.uid), Some(bob.gid))?;
    let (one, other, used) = match how {
        Swap::Link => {
            let (one, other) = (home.join("one"), home.join("other"));
            symlink("/run/site/roots/script", &one)?;
            symlink(&evil, &other)?;
            // One of the two even is root's: made by root, moved by bob.
            lchown(&other, Some(bob.uid), Some(bob.gid))?;
            (one.clone(), other, one)
        }
        Swap::Folder => {
            let (one, other) = (home.join("one"), home.join("other"));
            std::fs::create_dir(&one)?;
            std::fs::create_dir(&other)?;
            std::fs::hard_link("/run/site/roots/script", one.join("script"))?;
            std::fs::rename(&evil, other.join("script"))?;
            chown(&other, Some(bob.uid), Some(bob.gid))?;
            (one.clone(), other, one.join("script"))
        }
    };
    chown(&home, Some(bob.uid), Some(bob.gid))?;
    Ok((used, Swapper::start(one, other)))
}

/// What somebody would write who has thought of it, and not thought it through.
fn naive(used: &Path) -> Result<usize, Failed> {
    let check = "i=0; while [ $i -lt 400 ]; do i=$((i+1)); [ \"$(stat -Lc %u.%a \"$1\")\" = 0.755 ] && \"$1\"; done; true";
    Run::new("sh").args(["-c", check, "sh"]).arg(used).finish()?.expect_code(0)?;
    let trace = std::fs::read_to_string("/run/site/trace").unwrap_or_default();
    Ok(trace.lines().filter(|line| *line == "evil").count())
}

fn swapped(how: Swap) -> Verdict {
    const NAMES: usize = 200;
    let site = Site::new("")?;
    let (used, swapper) = stage(&site, how)?;
    let lost = naive(&used)?;
    ensure!(
        lost > 0,
        "the script that looks first was not caught in 400 attempts, so nothing is tested here"
    );
    site.clear();
    for number in 0..NAMES {
        symlink(&used, site.at(&format!("added/10W-{number:03}")))?;
    }
    let before = swapper.swaps.load(Ordering::Relaxed);
    for _ in 0..times(5) {
        let (name, _) = site.added(&[])?;
        ensure!(site.record(&name)?.len() > 2 * NAMES, "not all were tried");
        site.removed(&name)?;
    }
    let swaps = swapper.swaps.load(Ordering::Relaxed) - before;
    drop(swapper);
    eprintln!("{how:?}: {lost} of 400 naive attempts lost; none of {} in {swaps} swaps", NAMES * times(5));
    ensure_eq!(site.trace(), [""; 0], "what has run");
    ensure!(swaps > 1000, "only {swaps} swaps");
    Ok(())
}
