//! Random maps, carried out for real: either a map is refused, or the mount table inside is exactly the plan's.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::Path;
use std::time::Instant;

use libtest_mimic::{Failed, Trial};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rustix::fs::{Mode as FileMode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change, mount_remount};
use session_sandbox::explain::Account;
use session_sandbox::explain::drift::{Difference, drift};
use session_sandbox::host::{self, Eyes};
use session_sandbox::model::mounts::MountTable;
use session_sandbox::model::name::UserName;
use session_sandbox::model::path::AbsPath;
use session_sandbox::model::policy::{Mode, Scope};
use session_sandbox::model::subject::{Door, Subject};
use session_sandbox::plan::step::{Ids, Make, Mount, Plan, Step};
use session_sandbox::plan::{self, PlanError, PlanErrors, Request};
use session_sandbox::run::{Ground, Kernel, Phase, Runner, StepError};
use session_sandbox::sys::process::{Fork, NewNamespaces};
use session_sandbox::sys::{self, signal};

use crate::maps::{self, Map};
use crate::mountinfo;
use crate::support::{HostMounts, HostState, Needs, Verdict, ensure, isolated};

/// Maps for each mode and each kind of host.
const CASES: usize = 200;
/// Where the trees lie that random maps bind.
const SOURCES: &str = "/run/sources";
const USER: u32 = 4242;

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (mode, word) in [(Mode::Namespace, "namespace"), (Mode::Chroot, "chroot")] {
        for mounts in HostMounts::ALL {
            let name = format!(
                "a random map is refused or its mounts are the plan's, by {word} on a {mounts:?} host"
            );
            let seed = 1000 * trials.len();
            trials.push(isolated(name, &[Needs::Root], mounts, move || random_maps(mode, seed)));
        }
    }
    trials
}

/// What became of the maps.
#[derive(Debug, Default)]
struct Tally {
    carried_out: usize,
    /// Of those: with some entries taken out, because the planner had refused them.
    mended: usize,
    mounts: usize,
    /// Planned, and then refused by the kernel; the session is not entered, but the planner could have known.
    late: Vec<String>,
}

fn random_maps(mode: Mode, first_seed: usize) -> Verdict {
    make_sources()?;
    let began = Instant::now();
    let before = HostState::now();
    let mut tally = Tally::default();
    let (base, host) = (Ground::open(), Ground::default());
    ensure!(base.has_base(), "there is no base namespace");
    for seed in first_seed..first_seed + CASES {
        let map = random_map(seed);
        let text = map.text();
        let explain = |why: String| Failed::from(format!("seed {seed}: {why}\nthe map was:\n{text}"));
        // Every other one on the base, with the same expectation: a program cannot tell the two ways in apart.
        let ground = if seed % 2 == 0 { &base } else { &host };
        one_map(map, mode, ground, &mut tally).map_err(explain)?;
        before
            .assert_same(&HostState::now())
            .map_err(|failed| explain(failed.message().unwrap_or("?").to_owned()))?;
    }
    let Tally { carried_out, mended, mounts, late } = &tally;
    println!(
        "{CASES} maps: {carried_out} carried out ({mended} of them mended), {mounts} mounts, {:?}\nrefused late:\n{}",
        began.elapsed(),
        late.join("\n")
    );
    ensure!(
        carried_out * 10 >= CASES * 4,
        "only {carried_out} of {CASES} maps were carried out; refused late:\n{}",
        late.join("\n")
    );
    ensure!(
        late.len() * 10 <= CASES,
        "{} of {CASES} plans could not be carried out:\n{}",
        late.len(),
        late.join("\n")
    );
    ensure!(
        *mounts >= 4 * carried_out,
        "{mounts} mounts in {carried_out} trees are too few to prove anything"
    );
    Ok(())
}

fn random_map(seed: usize) -> Map {
    let mut bytes = [0_u8; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner =
        TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let below = [
        "",
        "/tree",
        "/tree/t",
        "/tree/s",
        "/tree/a",
        "/tree/two words",
        "/tree/back\\slash",
        "/user",
        "/file",
        "/fifo",
    ];
    let mut sources: Vec<String> = below.map(|path| format!("{SOURCES}{path}")).to_vec();
    sources.extend(
        ["/run/sources/tree/link", "/run/nowhere", "/", "/usr", "/dev/null", "/proc", "%h"]
            .map(str::to_owned),
    );
    maps::map(sources).new_tree(&mut runner).expect("maps can always be made").current()
}

/// Plans the map, without the entries that are refused, and has the plan carried out.
fn one_map(mut map: Map, mode: Mode, ground: &Ground, tally: &mut Tally) -> Result<(), String> {
    let subject = Subject {
        name: UserName::new("somebody").map_err(|error| error.to_string())?,
        uid: USER,
        gid: USER,
        groups: vec![USER],
        group_name: "somebody".to_owned(),
        home: path("/run/sources/user"),
        shell: path("/bin/sh"),
        door: Door { session: Some("7".to_owned()), ..Door::command_line() },
    };
    let request = Request { mode: Some(mode), ..Request::default() };
    let (mut policy, mut taken_out) = map.readable();
    let plan = loop {
        // In a shared view some of these maps would be refused.
        policy.profiles.iter_mut().for_each(|profile| profile.settings.scope = Scope::Session);
        let mut facts = host::facts(&policy, &subject, &request).map_err(|error| error.to_string())?;
        facts.base = ground.has_base();
        match plan::plan(&policy, &subject, &request, &facts) {
            Ok(plan) => break plan,
            Err(refused) => {
                let lines: Vec<u32> = refused.errors.iter().filter_map(line_of).collect();
                if !map.take_out(&lines) {
                    return Err(format!("refused, and no entry is to blame: {refused}"));
                }
                taken_out += 1;
                policy = map.readable().0;
            }
        }
    };
    let host_table = std::fs::read_to_string("/proc/self/mountinfo").map_err(|error| error.to_string())?;
    let expected = mountinfo::expected(&plan, &mountinfo::parse(&host_table)?);
    let eyes = Eyes::of(&subject);
    let mounts = host::own_mounts().map_err(|error| error.chain().to_string())?;
    let account = Account::of(&plan, &policy, Vec::new(), |look, path| eyes.see(look, path));
    let account = account.ok_or("the plan has no profile")?;
    let told = |live: &MountTable| drift(&account, "it", None, &mounts, live).differences;
    match carry_out(&plan, ground, &expected, &told)? {
        None => {
            tally.carried_out += 1;
            tally.mended += usize::from(taken_out > 0);
            tally.mounts += plan.mounts().count();
        }
        Some(late) => tally.late.push(late),
    }
    Ok(())
}

/// The map line that is to blame.
fn line_of(error: &PlanError) -> Option<u32> {
    let origin = match error {
        PlanError::Template { origin, .. }
        | PlanError::Source { origin, .. }
        | PlanError::Duplicate { second: origin, .. }
        | PlanError::BelowLeaf { origin, .. }
        | PlanError::Mountpoint { origin, .. }
        | PlanError::NotOurs { origin, .. } => origin.clone(),
        // The message begins with the place, as all about one entry do.
        other => {
            let message = PlanErrors::from(other.clone()).to_string();
            return message.split(':').nth(1)?.parse().ok();
        }
    };
    Some(origin.line)
}

/// Has a child carry the plan out and compare. `Some` is why the kernel would not.
fn carry_out(
    plan: &Plan,
    ground: &Ground,
    expected: &[mountinfo::Entry],
    told: &dyn Fn(&MountTable) -> Vec<Difference>,
) -> Result<Option<String>, String> {
    let failed = |error: sys::Error| format!("{error}: {}", error.reason());
    let (read, write) = sys::fd::pipe().map_err(failed)?;
    let into = NewNamespaces { pid: plan.namespace.pid, ..NewNamespaces::default() };
    match sys::process::fork(into).map_err(failed)? {
        Fork::Child => {
            drop(read);
            let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                look_inside(plan, ground, expected, told)
            }));
            let line = match found {
                Ok(Ok(())) => "same".to_owned(),
                Ok(Err(Inside::Late(why))) => format!("late {why}"),
                Ok(Err(Inside::Wrong(why))) => why,
                Err(_) => "it panicked".to_owned(),
            };
            let _ = sys::path::write_all(write.as_fd(), line.as_bytes());
            sys::process::exit_now(0)
        }
        Fork::Parent(child) => {
            drop(write);
            let mut line = String::new();
            std::fs::File::from(read).read_to_string(&mut line).map_err(|error| error.to_string())?;
            signal::wait_for_end(child).map_err(failed)?;
            match (line.as_str(), line.strip_prefix("late ")) {
                ("same", _) => Ok(None),
                (_, Some(late)) => Ok(Some(late.to_owned())),
                _ => Err(line),
            }
        }
    }
}

enum Inside {
    /// A step failed, in an orderly way.
    Late(String),
    /// What was made is not what was planned.
    Wrong(String),
}

impl From<String> for Inside {
    fn from(why: String) -> Self {
        Self::Wrong(why)
    }
}

impl From<StepError> for Inside {
    fn from(error: StepError) -> Self {
        let in_order = error.phase == Phase::Build && error.errno().is_some();
        let text = session_sandbox::Error::from(error).chain().to_string();
        if in_order { Self::Late(text) } else { Self::Wrong(text) }
    }
}

/// In the child: does every step but becoming the user, who could not look at everything.
fn look_inside(
    plan: &Plan,
    ground: &Ground,
    expected: &[mountinfo::Entry],
    told: &dyn Fn(&MountTable) -> Vec<Difference>,
) -> Result<(), Inside> {
    let say = |error: std::io::Error| Inside::Wrong(error.to_string());
    // Not every map has a /proc. This one shows the process wherever it goes.
    let proc: OwnedFd = std::fs::File::open("/proc").map_err(say)?.into();
    let mut kernel = Kernel::new(plan, ground);
    for step in plan.steps().filter(|step| !matches!(step, Step::Become(_))) {
        kernel.run(&step)?;
    }
    drop(kernel);
    let text = read_at(proc.as_fd(), "self/mountinfo").map_err(say)?;
    let mut differences = mountinfo::differences(expected, &mountinfo::parse(&text)?);
    // What `sessionctl diff` says of it, however the kernel was asked.
    let by_calls = host::mounts_seen_now(proc.as_fd());
    let by_calls = by_calls.map_err(|error| Inside::Wrong(error.chain().to_string()))?;
    for live in [by_calls, MountTable::parse(&text)?] {
        differences.extend(told(&live).into_iter().map(|difference| format!("diff: {difference:?}")));
    }
    check_things(plan, &mut differences);
    if differences.is_empty() { Ok(()) } else { Err(Inside::Wrong(differences.join("\n"))) }
}

fn read_at(directory: BorrowedFd<'_>, name: &str) -> std::io::Result<String> {
    let file = rustix::fs::openat(directory, name, OFlags::RDONLY | OFlags::CLOEXEC, FileMode::empty())?;
    let mut text = String::new();
    std::fs::File::from(file).read_to_string(&mut text)?;
    Ok(text)
}

/// The directories, links and files of the plan, and what new file systems look like at their top.
fn check_things(plan: &Plan, differences: &mut Vec<String>) {
    for (at, step) in plan.tree.iter().enumerate() {
        if plan.tree[at + 1..].iter().any(|later| later.target == step.target) {
            // A mount point, which cannot be seen any more.
            continue;
        }
        let target = Path::new(step.target.as_str());
        let status = match target.symlink_metadata() {
            Ok(status) => status,
            Err(error) => {
                differences.push(format!("{target:?}: {error}, and the plan has {:?}", step.make));
                continue;
            }
        };
        let is = (status.mode() & 0o7777, status.uid(), status.gid());
        let owned = |mode: u32, owner: Ids| is == (mode, owner.uid, owner.gid);
        let text = || std::fs::read_to_string(target).unwrap_or_else(|error| error.to_string());
        let right = match &step.make {
            Make::Directory { mode, owner } => status.is_dir() && owned(*mode, *owner),
            Make::Mount { what: Mount::Tmpfs { mode, owner, size }, .. } => {
                status.is_dir()
                    && owned(*mode, *owner)
                    && size.is_none_or(|size| size_of(target) == Some(size.next_multiple_of(4096)))
            }
            Make::File { content, mode, owner }
            | Make::Mount { what: Mount::Content { content, mode, owner }, .. } => {
                status.is_file() && owned(*mode, *owner) && text() == *content
            }
            Make::Device { number: (major, minor) } => {
                let device = libc::makedev(*major, *minor);
                status.file_type().is_char_device() && status.rdev() == device && is.0 == 0o666
            }
            Make::Symlink { to } => std::fs::read_link(target).is_ok_and(|link| link == Path::new(to)),
            Make::Mount { .. } => true,
        };
        if !right {
            let (mode, uid, gid) = is;
            differences.push(format!(
                "{target:?} is 0{mode:o} {uid}:{gid}, {:?}, and the plan has {:?}",
                text(),
                step.make
            ));
        }
    }
}

/// The bytes that fit into a file system.
fn size_of(path: &Path) -> Option<u64> {
    rustix::fs::statvfs(path).ok().map(|size| size.f_blocks * size.f_frsize)
}

fn path(text: &str) -> AbsPath {
    AbsPath::new(text).expect("a path")
}

/// Trees to bind, with mounts in them that differ from each other.
fn make_sources() -> Verdict {
    let make = |name: &str| std::fs::create_dir(format!("{SOURCES}{name}"));
    let tmpfs = |name: &str, flags: MountFlags, data: &str| {
        let data = std::ffi::CString::new(data)?;
        mount("tmpfs", format!("{SOURCES}{name}"), "tmpfs", flags, data.as_c_str())?;
        Ok::<(), std::io::Error>(())
    };
    for name in ["", "/tree", "/user"] {
        make(name)?;
    }
    for tree in ["/tree", "/user"] {
        fill(tree)?;
    }
    std::fs::write(format!("{SOURCES}/file"), "a file\n")?;
    rustix::fs::mkfifoat(rustix::fs::CWD, format!("{SOURCES}/fifo"), FileMode::RWXU)?;
    symlink("a", format!("{SOURCES}/tree/link"))?;
    std::os::unix::fs::chown(format!("{SOURCES}/user"), Some(USER), Some(USER))?;

    // Of every restriction one that has it already, and mounts below mounts.
    tmpfs("/tree/t", MountFlags::NOSUID | MountFlags::NOEXEC, "mode=755")?;
    fill("/tree/t")?;
    tmpfs("/tree/t/a", MountFlags::RDONLY | MountFlags::NODEV, "mode=700")?;
    tmpfs("/tree/two words", MountFlags::NODEV | MountFlags::NOATIME, "mode=755")?;
    fill("/tree/two words")?;
    // A part of a tree within the tree, of which a remount changes this mount alone.
    let part = format!("{SOURCES}/tree/back\\slash");
    mount_bind(format!("{SOURCES}/tree/a"), &part)?;
    mount_remount(&part, MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID, c"")?;
    // One that passes events on, with one below it; one that must not be bound; two at one place.
    tmpfs("/tree/s", MountFlags::empty(), "mode=755")?;
    mount_change(format!("{SOURCES}/tree/s"), MountPropagationFlags::SHARED)?;
    fill("/tree/s")?;
    tmpfs("/tree/s/b", MountFlags::NOEXEC, "mode=755")?;
    tmpfs("/tree/c", MountFlags::empty(), "mode=755")?;
    mount_change(format!("{SOURCES}/tree/c"), MountPropagationFlags::UNBINDABLE)?;
    tmpfs("/tree/b", MountFlags::NOSUID, "mode=755")?;
    fill("/tree/b")?;
    tmpfs("/tree/b", MountFlags::RDONLY, "mode=755")?;
    Ok(())
}

/// The names that random maps use, as directories and one file, two deep.
fn fill(tree: &str) -> std::io::Result<()> {
    let names = ["a", "b", "c", "t", "s", "two words", "back\\slash"];
    for outer in names {
        std::fs::create_dir(format!("{SOURCES}{tree}/{outer}"))?;
        for inner in &names[..3] {
            std::fs::create_dir(format!("{SOURCES}{tree}/{outer}/{inner}"))?;
        }
        std::fs::write(format!("{SOURCES}{tree}/{outer}/f"), "inner\n")?;
    }
    std::fs::write(format!("{SOURCES}{tree}/f"), "outer\n")
}
