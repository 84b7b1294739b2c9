//! What an entry costs within its process: from the plan to being inside, and from the registry to being inside a view
//! that lives. And what is left in memory while a session lasts.
//!
//! Each measurement is one child's, made outside of the time that counts. Ours and those of the C program
//! (`benches/floor.c`), which do the same system calls, take turns. The other core is idle in one half of the rounds
//! and busy in the other.
//!
//!     cargo bench --bench inside [-- --quick]
//!
//! Needs root and `cc` (and `bwrap`, as its sister `enter` does).

mod common;
#[path = "common/memory.rs"]
mod memory;

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use common::{Result, Series, Took, USER, floor_path, map_path, value, verdict};
use session_sandbox::model::subject::Door as Entrance;
use session_sandbox::plan::{self, Plan, Request};
use session_sandbox::registry::{Door, Living, Registry};
use session_sandbox::run::{self, Runner};
use session_sandbox::sys::process::{Fork, NewNamespaces};
use session_sandbox::{host, sys};

const SESSION_ENTER: &str = env!("CARGO_BIN_EXE_session-enter");
/// How often on each host.
const ROUNDS: [usize; 3] = [1_500, 500, 300];
/// So many rounds in a row with the other core idle, then as many with it busy.
const BLOCK: usize = 25;
const CONTESTANTS: [&str; 6] =
    ["build", "floor build", "join", "join, at home in memory", "setns and checks", "floor setns"];
const LOADS: [&str; 2] = ["quiet", "busy"];

fn main() -> ExitCode {
    common::run(&ROUNDS, inside, table)
}

/// What session-enter knows before it enters.
pub(crate) struct Prepared {
    pub(crate) plan: Plan,
    pub(crate) ground: run::Ground,
}

impl Prepared {
    pub(crate) fn read(map: &Path) -> Result<Self> {
        let subject = host::subject(USER, Entrance::command_line())?;
        let policy = host::load_policy(map.to_str())?;
        let request = Request::default();
        let mut facts = host::facts(&policy, &subject, &request)?;
        let ground = run::Ground::open();
        facts.base = ground.has_base();
        Ok(Self { plan: plan::plan(&policy, &subject, &request, &facts)?, ground })
    }

    /// From the plan to being inside.
    pub(crate) fn enter(&self) -> Result<()> {
        let mut kernel = run::Kernel::new(&self.plan, &self.ground);
        Ok(self.plan.building_steps().try_for_each(|step| kernel.run(&step))?)
    }
}

fn inside(mounts: usize, rounds: usize, folder: &Path) -> Result<String> {
    let own = Prepared::read(&map_path(folder, "pidns", "session"))?;
    let shared = Prepared::read(&map_path(folder, "pidns", "user"))?;
    let share = shared.plan.share.as_ref().ok_or("the map shares nothing")?;
    let registry = Registry::open()?;
    let view = View::open(&map_path(folder, "pidns", "user"))?;
    let keeper = registry.inventory()?.namespaces.iter().find_map(|view| match &view.record.keeper {
        session_sandbox::registry::Keeper::Init { process } => Some(process.pid),
        _ => None,
    });
    let keeper = keeper.ok_or("the view has no keeper")?;
    let floor = Floor::start(folder)?;
    let busy = Busy::start()?;

    let find = || -> Result<_> {
        let scope = registry.scope(&share.name)?;
        Ok((scope.find(share, &shared.plan.namespace)?.ok_or("the view has ended")?, scope))
    };
    let mut times = vec![Series::default(); CONTESTANTS.len() * LOADS.len()];
    for round in 0..rounds {
        let load = round / BLOCK % LOADS.len();
        busy.set(load == 1)?;
        for turn in 0..CONTESTANTS.len() {
            let contestant = (round + turn) % CONTESTANTS.len();
            let took = match contestant {
                0 => in_child(|| timed(|| own.enter()))?,
                1 => floor.ask("build")?,
                2 => in_child(|| timed(|| join(find()?.0)))?,
                // A child touches all memory for the first time; here it has been through the registry before.
                3 => in_child(|| {
                    drop(find()?);
                    timed(|| join(find()?.0))
                })?,
                4 => in_child(|| {
                    let (living, _lock) = find()?;
                    timed(|| join(living))
                })?,
                _ => floor.ask(&format!("join {keeper}"))?,
            };
            // The first ones warm the caches.
            if round >= 3 {
                times[contestant * LOADS.len() + load].add(took);
            }
        }
    }
    busy.set(false)?;
    let mut lines = String::new();
    for (at, times) in times.iter_mut().enumerate() {
        if !times.is_empty() {
            let name = format!("{} {}", CONTESTANTS[at / LOADS.len()], LOADS[at % LOADS.len()]);
            lines += &times.figures().line(&name);
        }
    }
    if mounts == common::HOSTS[0] {
        lines += &memory::measure(&own, view.supervisor(), keeper, rounds)?;
    }
    Ok(lines)
}

/// Into a view, as a session does it: its PID namespace for the children to come, its mounts, and a look at the root.
fn join(living: Living) -> Result<()> {
    match &living.door {
        Door::Init(keeper) => {
            sys::nsfs::enter_pids_of(keeper.as_fd())?;
            sys::nsfs::enter_mounts_of(keeper.as_fd())?;
        }
        Door::Mounts(namespace) => sys::nsfs::enter_mounts(namespace.as_fd())?,
    }
    let right = sys::path::mount_at("/")? == (true, living.record.root);
    if right { Ok(()) } else { Err("this is another root".into()) }
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed())
}

/// Has a child do something that it cannot take back, and tell how long it took.
fn in_child(work: impl FnOnce() -> Result<Duration>) -> Result<Duration> {
    let (hear, tell) = sys::fd::pipe()?;
    match sys::process::fork(NewNamespaces::default())? {
        Fork::Child => {
            let said = match work() {
                Ok(took) => took.as_nanos().to_string(),
                Err(error) => error.to_string(),
            };
            let _ = sys::path::write_all(tell.as_fd(), said.as_bytes());
            sys::process::exit_now(0)
        }
        Fork::Parent(child) => {
            drop(tell);
            let mut said = String::new();
            std::fs::File::from(hear).read_to_string(&mut said)?;
            sys::signal::wait_for_end(child)?;
            Ok(Duration::from_nanos(said.parse().map_err(|_| said.clone())?))
        }
    }
}

/// A session that keeps a view alive.
struct View(Child);

impl View {
    fn open(map: &Path) -> Result<Self> {
        let mut command = Command::new(SESSION_ENTER);
        command.args(["--user", USER, "--config"]).arg(map).args(["--", "/bin/sh", "-c", "echo; read never"]);
        let mut session = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = session.stdout.take().ok_or("no pipe")?;
        BufReader::new(output).read_line(&mut String::new())?;
        Ok(Self(session))
    }

    fn supervisor(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for View {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// The C program, which does what it is asked for.
struct Floor(RefCell<(ChildStdin, BufReader<ChildStdout>)>, Child);

impl Floor {
    fn start(folder: &Path) -> Result<Self> {
        let mut program = Command::new(floor_path(folder))
            .arg("serve")
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (input, output) = (program.stdin.take(), program.stdout.take());
        let ends = (input.ok_or("no pipe")?, BufReader::new(output.ok_or("no pipe")?));
        Ok(Self(RefCell::new(ends), program))
    }

    fn ask(&self, what: &str) -> Result<Duration> {
        let (input, output) = &mut *self.0.borrow_mut();
        writeln!(input, "{what}")?;
        let mut answer = String::new();
        output.read_line(&mut answer)?;
        Ok(Duration::from_nanos(answer.trim().parse().map_err(|_| format!("the floor said {answer:?}"))?))
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = self.1.kill();
        let _ = self.1.wait();
    }
}

/// A process that works without end, or stands still.
struct Busy(rustix::process::Pid);

impl Busy {
    fn start() -> Result<Self> {
        match sys::process::fork(NewNamespaces::default())? {
            Fork::Child => {
                let _ = sys::process::die_with_parent();
                loop {
                    std::hint::spin_loop();
                }
            }
            Fork::Parent(child) => Ok(Self(child)),
        }
    }

    fn set(&self, busy: bool) -> Result<()> {
        let signal = if busy { rustix::process::Signal::CONT } else { rustix::process::Signal::STOP };
        Ok(rustix::process::kill_process(self.0, signal)?)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(self.0, rustix::process::Signal::KILL);
        let _ = sys::signal::wait_for_end(self.0);
    }
}

fn table(hosts: &[(usize, usize, String)]) -> Result<String> {
    let mut rows = vec![
        "| host mounts | rounds | what | other core | fastest | median | p99 |".to_owned(),
        "|--:|--:|---|---|--:|--:|--:|".to_owned(),
    ];
    for (mounts, rounds, lines) in hosts {
        for who in CONTESTANTS {
            for load in LOADS {
                if let Ok(took) = Took::find(lines, &format!("{who} {load}")) {
                    rows.push(format!("| {mounts} | {rounds} | {who} | {load} | {} |", took.cells()));
                }
            }
        }
    }
    let [small, _, large] = hosts else { return Err("three hosts were expected".into()) };
    let of = |(_, _, lines): &(usize, usize, String), who: &str, load: &str| {
        Took::find(lines, &format!("{who} {load}"))
    };
    let ratio = |who: &str, peer: &str| -> Result<f64> {
        Ok(of(small, who, "quiet")?.median / of(small, peer, "quiet")?.median)
    };
    rows.push("\n| what | reached |\n|---|--:|".to_owned());
    let mut say = |what: &str, reached: String| rows.push(format!("| {what} | {reached} |"));
    say("build and enter, of the floor", verdict(ratio("build", "floor build")?, 1.25));
    let flat = of(large, "build", "quiet")?.median / of(small, "build", "quiet")?.median;
    say("the same with 10 000 host mounts, of 25", verdict(flat, 1.2));
    say("join from the registry on, of bare setns", verdict(ratio("join", "floor setns")?, 2.0));
    let again = ratio("join, at home in memory", "floor setns")?;
    say("the same when the process has done it before", verdict(again, 2.0));
    say("setns and its checks, of bare setns", verdict(ratio("setns and checks", "floor setns")?, 2.0));
    for who in CONTESTANTS {
        if let Ok(busy) = of(small, who, "busy") {
            let part = busy.p99 / of(small, who, "quiet")?.p99;
            say(&format!("p99 of {who}, other core busy, of idle"), verdict(part, 2.0));
        }
    }
    for (name, unit) in memory::FIGURES {
        say(name, format!("{} {unit}", value(&small.2, name)?));
    }
    Ok(rows.join("\n"))
}
