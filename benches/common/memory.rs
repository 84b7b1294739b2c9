//! What a session takes in memory while it lasts.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use session_sandbox::sys;
use session_sandbox::sys::process::{Fork, NewNamespaces};

use super::Prepared;
use super::common::Result;

/// The names under which the figures are found, and their units.
pub(crate) const FIGURES: [(&str, &str); 5] = [
    ("kernel memory of a private copy of a view", "KiB"),
    ("kernel memory of a view with file systems of its own", "KiB"),
    ("mounts in each", ""),
    ("supervisor", "KiB (PSS, of that private)"),
    ("keeper", "KiB (PSS, of that private)"),
];
/// So many namespaces are made, and compared with none of them, so often.
const NAMESPACES: usize = 500;
const ROUNDS: usize = 5;
/// With them there are 25 mounts.
const MORE_BINDS: usize = 8;

pub(crate) fn measure(plan: &Prepared, supervisor: u32, keeper: i32, rounds: usize) -> Result<String> {
    let (namespaces, times) = if rounds < 1_000 { (100, 2) } else { (NAMESPACES, ROUNDS) };
    sys::fd::set_limit(sys::fd::limit().1)?;
    let enter = || {
        plan.enter()?;
        // Some binds more than the map has, one on top of the other.
        for _ in 0..MORE_BINDS {
            let place = sys::path::open_place("/b0")?;
            sys::mount::attach(sys::mount::clone_tree(place.as_fd(), false)?.as_fd(), place.as_fd())?;
        }
        Ok(())
    };
    let parent = namespace_of(enter)?;
    let mounts = sys::nsfs::mount_count(parent.as_fd()).unwrap_or(0);
    let copy = || {
        sys::nsfs::enter_mounts(parent.as_fd())?;
        Ok(sys::namespace::unshare_mounts()?)
    };
    // One of each takes turns.
    let (mut copies, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..times {
        copies.push(growth(namespaces, || namespace_of(copy))?);
        whole.push(growth(namespaces, || namespace_of(enter))?);
    }
    let values = [
        format!("{:.1}", middle(&mut copies)),
        format!("{:.1}", middle(&mut whole)),
        mounts.to_string(),
        resident(supervisor)?,
        resident(keeper.try_into()?)?,
    ];
    Ok(FIGURES.iter().zip(values).map(|((name, _), value)| format!("{name}\t{value}\n")).collect())
}

fn middle(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// How much the kernel's memory grows for each of many, in KiB; they are let go of in the end.
fn growth(count: usize, make: impl Fn() -> Result<OwnedFd>) -> Result<f64> {
    settle();
    let before = kernel_memory()?;
    let made: Vec<OwnedFd> = (0..count).map(|_| make()).collect::<Result<_>>()?;
    settle();
    let after = kernel_memory()?;
    drop(made);
    settle();
    Ok((after - before) / count as f64)
}

/// What processes that have ended leave behind is taken away after a grace period.
fn settle() {
    std::thread::sleep(std::time::Duration::from_millis(300));
}

/// Slabs and per-processor memory, in KiB.
fn kernel_memory() -> Result<f64> {
    let text = String::from_utf8(fs::read("/proc/meminfo")?)?;
    let field = |name: &str| -> Result<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line")?;
        Ok(line.trim_start_matches(':').trim().trim_end_matches(" kB").parse()?)
    };
    Ok(field("Slab")? + field("Percpu")?)
}

/// The namespace in which a child is after `work`, without the child.
fn namespace_of(work: impl FnOnce() -> Result<()>) -> Result<OwnedFd> {
    let (ours, theirs) = sys::fd::socket_pair()?;
    match sys::process::fork(NewNamespaces::default())? {
        Fork::Child => {
            // Opened here: there may be no /proc afterwards.
            let own = sys::path::open_place("/proc/self");
            let send = || -> Result<()> {
                work()?;
                let namespace = sys::nsfs::mounts_at(own?.as_fd())?;
                Ok(sys::fd::send_with(theirs.as_fd(), b"\n", namespace.as_fd())?)
            };
            let sent = send();
            sys::process::exit_now(u8::from(sent.is_err()))
        }
        Fork::Parent(child) => {
            drop(theirs);
            let received = sys::fd::receive(ours.as_fd())?.1;
            sys::signal::wait_for_end(child)?;
            received.ok_or_else(|| "a child did not make its namespace".into())
        }
    }
}

/// The process's share of the memory it has, and what is its own alone.
fn resident(process: u32) -> Result<String> {
    let text = String::from_utf8(fs::read(format!("/proc/{process}/smaps_rollup"))?)?;
    let sum = |names: &[&str]| -> u64 {
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        let wanted = fields.filter(|(name, _)| names.contains(name));
        wanted.filter_map(|(_, rest)| rest.trim().trim_end_matches(" kB").parse::<u64>().ok()).sum()
    };
    Ok(format!("{}, {}", sum(&["Pss"]), sum(&["Private_Clean", "Private_Dirty"])))
}
