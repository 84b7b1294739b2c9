//! Whatever fails, and whoever is killed at whatever moment: the host is as it was, and the user's program does not
//! run with less around it than was planned.
//!
//! | what | where |
//! |---|---|
//! | each step of a plan fails | here |
//! | the supervisor, or process 1 of the session, is killed before and after each step | here |
//! | the supervisor is killed at any moment | here |
//! | each system call fails, or is the last one | `calls.rs` |
//! | each system call of a login by PAM, of `gc` and of `end` fails, or is the last | `doors.rs` |
//! | `--prepare` and `--release` are killed at each system call | `prepared.rs` |

mod calls;
mod doors;
mod prepared;

use std::collections::BTreeSet;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use rustix::process::{Pid, Signal};
use session_sandbox::config::{self, SourceFile};
use session_sandbox::host;
use session_sandbox::model::policy::Mode;
use session_sandbox::model::subject::Door;
use session_sandbox::plan::step::{Plan, Step};
use session_sandbox::plan::{self, Command, Placement, Request};
use session_sandbox::run::{self, FailAt, Ground, Kernel, Runner, StepError, run_steps};
use session_sandbox::sys::process::{Fork, NewNamespaces};
use session_sandbox::sys::{self, signal};

use crate::support::host::process_ids;
use crate::support::{HostMounts, HostState, Needs, Verdict, World, ensure, ensure_eq, isolated};

/// Whom the sessions are for: an ordinary user that every host has.
const USER: &str = "nobody";
/// What the user's program says when it runs.
const RAN: &str = "the program ran";
/// The kernel needs a moment to end what was killed, and no longer than this.
const MOMENT: Duration = Duration::from_secs(2);
/// How many times the supervisor is killed at a random moment.
const RANDOM_KILLS: u64 = 200;

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    let modes = [(Mode::Namespace, "namespace"), (Mode::Chroot, "chroot")];
    for (map, map_name) in
        [(Map::BuiltIn, "the built-in map"), (Map::Big, "a big map"), (Map::NoWall, "a map without a wall")]
    {
        for (mode, word) in modes {
            let mounts = if mode == Mode::Namespace { HostMounts::Shared } else { HostMounts::Private };
            let name = format!("a failure of any step leaves nothing, with {map_name} by {word}");
            trials.push(isolated(name, &[Needs::Root], mounts, move || {
                each_step_fails(&map.plan(Some(mode))?)
            }));
            let name = format!("a kill before or after any step leaves nothing, with {map_name} by {word}");
            trials.push(isolated(name, &[Needs::Root], mounts, move || {
                each_step_is_the_last(&map.plan(Some(mode))?)
            }));
        }
        let name = format!("a failure of any step leaves nothing, with {map_name} for a tree on the host");
        trials.push(isolated(name, &[Needs::Root], HostMounts::Shared, move || {
            each_step_fails(&map.plan(None)?)
        }));
    }
    for (_, word) in modes {
        let name = format!("a supervisor that is killed at any moment takes its session with it, by {word}");
        trials.push(isolated(name, &[Needs::Root], HostMounts::Shared, move || random_kills(word)));
    }
    trials.extend(calls::trials());
    trials.extend(doors::trials());
    trials.extend(prepared::trials());
    trials
}

/// The maps that sessions are made from.
#[derive(Clone, Copy)]
enum Map {
    BuiltIn,
    Big,
    NoWall,
}

/// Something of every kind, nested, sealed, covered.
const BIG: &str = r#"
[[profile.mount]]
target = "/"
kind = "tmpfs"
options = ["ro"]
[[profile.mount]]
kind = "system"
paths = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"]
[[profile.mount]]
target = "/etc"
options = ["ro", "noexec", "nosymfollow"]
[[profile.mount]]
target = "/etc/passwd"
kind = "file"
content = "%u:x:%U:%G::/:/bin/sh\n"
[[profile.mount]]
target = "/etc/ssl"
kind = "mask"
optional = true
[[profile.mount]]
target = "/etc/hostname"
kind = "mask"
optional = true
[[profile.mount]]
target = "/proc"
kind = "proc"
[[profile.mount]]
target = "/sys"
kind = "sysfs"
[[profile.mount]]
target = "/dev"
kind = "dev"
size = "64K"
[[profile.mount]]
target = "/dev/pts"
kind = "devpts"
[[profile.mount]]
target = "/dev/mqueue"
kind = "mqueue"
[[profile.mount]]
target = "/one"
kind = "tmpfs"
mode = "0700"
owner = "user"
[[profile.mount]]
target = "/one/two/three"
kind = "tmpfs"
options = ["ro", "noatime"]
[[profile.mount]]
target = "/one/two/three/four"
source = "/usr"
propagation = "slave"
[[profile.mount]]
target = "/one/two/three/file"
kind = "file"
content = "%u\n"
mode = "0400"
owner = "user"
[[profile.mount]]
target = "/one/link"
kind = "symlink"
to = "../dev/null"
[[profile.mount]]
target = "/one/directory"
kind = "dir"
mode = "1777"
[[profile.mount]]
target = "/host"
source = "/"
options = ["ro", "noexec"]
"#;

impl Map {
    fn settings(self) -> &'static str {
        match self {
            Self::NoWall => "wall = \"none\"\n",
            _ => "",
        }
    }

    /// What is done to enter by `mode`, or to put the tree on the host.
    fn plan(self, mode: Option<Mode>) -> Result<Plan, Failed> {
        let text = format!("version = 1\n[[profile]]\nname = \"test\"\n{}{BIG}", self.settings());
        let policy = match self {
            Self::BuiltIn => config::built_in(),
            Self::Big | Self::NoWall => config::parse(&[SourceFile { name: "map".to_owned(), text }]),
        };
        let policy = policy.map_err(|found| found.to_string())?;
        let subject = host::subject(USER, Door::command_line()).map_err(|error| error.chain().to_string())?;
        let request = Request {
            mode,
            placement: if mode.is_some() { Placement::Enter } else { Placement::Host(None) },
            command: Command::Program(["sh", "-c", &format!("echo {RAN}")].map(Into::into).to_vec()),
            ..Request::default()
        };
        let mut facts = host::facts(&policy, &subject, &request).map_err(|error| error.to_string())?;
        // Both ways in have their steps failed; `pivot_root` those of the built-in map.
        facts.base = !matches!(self, Self::BuiltIn);
        let plan = plan::plan(&policy, &subject, &request, &facts).map_err(|errors| errors.to_string())?;
        // Steps are the same in a shared view; who does them, and what is left of them, is `sharing.rs`'s subject.
        Ok(Plan { share: None, ..plan })
    }
}

/// Everything that can be seen of a session on the host, all processes included: in a test of its own world there
/// are none but its own.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Traces {
    host: HostState,
    processes: BTreeSet<String>,
}

impl Traces {
    fn now() -> Self {
        Self { host: HostState::now(), processes: process_ids().collect() }
    }

    /// Fails unless everything is like this again within a moment.
    fn assert_returns(&self) -> Verdict {
        let deadline = Instant::now() + MOMENT;
        loop {
            let now = Self::now();
            if now == *self {
                return Ok(());
            }
            if Instant::now() > deadline {
                ensure_eq!(now.processes, self.processes, "processes were left behind");
                return self.host.assert_same(&now.host);
            }
            std::thread::yield_now();
        }
    }
}

/// A session that was entered by this program itself.
struct Attempt {
    /// The program's status, or the message. Nothing where the process became the program, or was killed.
    came_to: Option<Result<u8, String>>,
    /// What was written to standard output.
    output: String,
}

/// A process that carries out a plan, and the ends of what it writes to.
struct Started {
    pid: Pid,
    came_to: OwnedFd,
    output: OwnedFd,
}

/// What a runner of this plan stands on.
fn ground_of(plan: &Plan) -> Ground {
    if plan.namespace.base { Ground::open() } else { Ground::default() }
}

/// Has a process of its own carry out `plan` by what `runner` makes there.
fn start<R: Runner>(plan: &Plan, runner: impl FnOnce() -> R) -> Result<Started, Failed> {
    let (output, write_output) = sys::fd::pipe().map_err(call_failed)?;
    let (came_to, tell) = sys::fd::pipe().map_err(call_failed)?;
    match sys::process::fork(NewNamespaces::default()).map_err(call_failed)? {
        Fork::Child => {
            drop((output, came_to));
            let _ = rustix::stdio::dup2_stdout(&write_output);
            let mut runner = runner();
            let result = match plan.root {
                plan::step::RootSwitch::Enter { .. } => run::enter(plan, &Ground::default(), &mut runner),
                plan::step::RootSwitch::Place { .. } => {
                    run_steps(plan, &mut runner).map(|()| 0).map_err(Into::into)
                }
            };
            let line = match result {
                Ok(status) => format!("ended {status}"),
                Err(error) => error.chain().to_string(),
            };
            let _ = sys::path::write_all(tell.as_fd(), line.as_bytes());
            sys::process::exit_now(0)
        }
        Fork::Parent(pid) => Ok(Started { pid, came_to, output }),
    }
}

impl Started {
    fn wait(&self) -> Verdict {
        signal::wait_for_end(self.pid).map(drop).map_err(call_failed)
    }

    /// What it came to, once it has been waited for and nobody holds its output any more.
    fn collect(self) -> Result<Attempt, Failed> {
        let output = read_all(self.output)?;
        let came_to = match read_all(self.came_to)?.as_str() {
            "" => None,
            line => Some(
                line.strip_prefix("ended ")
                    .and_then(|status| status.parse().ok())
                    .ok_or_else(|| line.to_owned()),
            ),
        };
        Ok(Attempt { came_to, output })
    }
}

fn read_all(from: OwnedFd) -> Result<String, Failed> {
    let mut text = String::new();
    std::fs::File::from(from).read_to_string(&mut text)?;
    Ok(text)
}

fn call_failed(error: sys::Error) -> Failed {
    format!("{error}: {}", error.reason()).into()
}

/// A plan whose every step is done: what the attempts below differ from by one step.
fn assert_complete(plan: &Plan, whole: &Attempt) -> Verdict {
    let enters = matches!(plan.root, plan::step::RootSwitch::Enter { .. });
    ensure_eq!(whole.output.contains(RAN), enters, "without a fault, it came to {:?}", whole.came_to);
    ensure!(!matches!(whole.came_to, Some(Err(_))), "without a fault, it came to {:?}", whole.came_to);
    Ok(())
}

fn each_step_fails(plan: &Plan) -> Verdict {
    let before = Traces::now();
    let steps = plan.steps().count();
    ensure!(steps > 20, "{steps} steps are too few");
    for at in 0..=steps {
        let attempt = start(plan, || FailAt { steps: at, inner: Kernel::new(plan, &ground_of(plan)) })?;
        attempt.wait()?;
        let attempt = attempt.collect()?;
        before
            .assert_returns()
            .map_err(|failed| format!("step {at}: {}", failed.message().unwrap_or("?")))?;
        if at == steps {
            assert_complete(plan, &attempt)?;
            continue;
        }
        ensure_eq!(attempt.output, "", "step {at} failed, and this was written");
        match &attempt.came_to {
            Some(Err(message)) => ensure!(message.contains("injected fault"), "step {at}: {message}"),
            other => return Err(format!("step {at} failed, and it came to {other:?}").into()),
        }
    }
    Ok(())
}

/// Does the steps, and stops before one of them, or after the last, until somebody is killed.
struct StopAt {
    left: usize,
    total: usize,
    inner: Kernel,
    say: OwnedFd,
    go_on: OwnedFd,
}

impl StopAt {
    fn stop(&self) {
        let _ = sys::path::write_all(self.say.as_fd(), b".");
        let mut nothing = [0_u8; 1];
        while rustix::io::read(&self.go_on, &mut nothing) == Err(rustix::io::Errno::INTR) {}
    }
}

impl Runner for StopAt {
    fn run(&mut self, step: &Step<'_>) -> Result<(), StepError> {
        if self.left == 0 {
            self.stop();
        }
        self.left = self.left.wrapping_sub(1);
        self.total -= 1;
        self.inner.run(step)?;
        if self.left == 0 && self.total == 0 {
            self.stop();
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    /// The process that was started.
    Supervisor,
    /// Its child, which does the steps.
    Init,
}

fn each_step_is_the_last(plan: &Plan) -> Verdict {
    let before = Traces::now();
    let steps = plan.steps().count();
    let victims =
        if plan.namespace.pid { &[Victim::Supervisor, Victim::Init][..] } else { &[Victim::Supervisor] };
    for at in 0..=steps {
        for &victim in victims {
            let explain = |failed: Failed| {
                format!("{victim:?} killed at {at} of {steps}: {}", failed.message().unwrap_or("?"))
            };
            kill_at(plan, at, victim).map_err(explain)?;
            before.assert_returns().map_err(explain)?;
        }
    }
    Ok(())
}

fn kill_at(plan: &Plan, at: usize, victim: Victim) -> Verdict {
    let (hear, say) = sys::fd::pipe().map_err(call_failed)?;
    let (go_on, let_go) = sys::fd::pipe().map_err(call_failed)?;
    let total = plan.steps().count();
    // What the closure owns is closed here once the child is there, so that its end is heard.
    let started = start(plan, move || StopAt {
        left: at,
        total,
        inner: Kernel::new(plan, &ground_of(plan)),
        say,
        go_on,
    })?;
    let mut byte = [0_u8; 1];
    ensure_eq!(rustix::io::read(&hear, &mut byte)?, 1, "it did not come so far");
    let pid = match victim {
        Victim::Supervisor => started.pid,
        Victim::Init => only_child_of(started.pid)?,
    };
    rustix::process::kill_process(pid, Signal::KILL)?;
    started.wait()?;
    // Whoever is still alive may go on now, and must notice that it is alone.
    let _ = rustix::io::write(&let_go, b".");
    let attempt = started.collect()?;
    ensure_eq!(attempt.output, "", "this was written");
    ensure!(!matches!(attempt.came_to, Some(Ok(0))), "it came to {:?}", attempt.came_to);
    Ok(())
}

fn only_child_of(parent: Pid) -> Result<Pid, Failed> {
    let wanted = format!("PPid:\t{}\n", parent.as_raw_nonzero());
    let is_child = |id: &String| {
        std::fs::read_to_string(format!("/proc/{id}/status")).is_ok_and(|text| text.contains(&wanted))
    };
    let children: Vec<String> = process_ids().filter(is_child).collect();
    ensure_eq!(children.len(), 1, "the children of the supervisor: {children:?}");
    Pid::from_raw(children[0].parse()?).ok_or_else(|| "no process".into())
}

fn random_kills(mode: &str) -> Verdict {
    let world = World::new()?;
    world.map("", "")?;
    let enter = |script: &str| {
        world.enter(["--user", USER, "--mode", mode, "--", "sh", "-c", script])?.within(MOMENT * 5).start()
    };
    let began = Instant::now();
    enter(&format!("echo {RAN}"))?.finish()?.expect_code(0)?;
    let whole = began.elapsed();
    let before = Traces::now();
    let (mut early, mut late) = (0, 0);
    for turn in 0..RANDOM_KILLS {
        let running = enter(&format!("echo {RAN}; exec sleep 1000"))?;
        // Spread evenly over the time that entering takes, and a little longer.
        std::thread::sleep(whole.mul_f64(f64::from(u32::try_from(turn * 89 % RANDOM_KILLS)?) * 1.3 / 200.0));
        running.signal(Signal::KILL)?;
        let outcome = running.finish()?;
        ensure_eq!(outcome.signal, Some(9), "turn {turn}: {outcome:?}");
        *(if outcome.stdout.contains(RAN) { &mut late } else { &mut early }) += 1;
        before
            .assert_returns()
            .map_err(|failed| format!("turn {turn}: {}", failed.message().unwrap_or("?")))?;
    }
    println!("killed {early} times before the program ran and {late} times after, within {whole:?}");
    ensure!(
        early >= 20,
        "killed {early} times before the program ran and {late} times after: not early enough"
    );
    Ok(())
}
