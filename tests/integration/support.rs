//! What the tests share: what a test needs, how it is run, and the ways to look at a host and at a session.
//!
//! | to | use |
//! |---|---|
//! | declare a test | [`trial`], or [`isolated`] for one that looks at or changes the host's mount table |
//! | write a map and run `session-enter` with it | [`World`] |
//! | run anything, with a time limit | [`Run`], [`Running`], [`Outcome`] |
//! | look around inside a session | [`World::probe_map`] and [`Probe`] |
//! | prove that nothing was left behind | [`HostState`], in an [`isolated`] test |
//! | wait for something without sleeping | [`until`] |

pub mod autofs;
pub mod fuse;
pub mod host;
pub mod probe;
pub mod pty;
pub mod run;
pub mod users;
pub mod world;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use libtest_mimic::{Completion, Failed, Trial};
use rustix::mount::{MountFlags, MountPropagationFlags};

pub use host::{HostState, processes_called};
pub use probe::Probe;
pub use run::{Outcome, Run, Running};
pub use users::User;
pub use world::World;

/// What a test comes to.
pub type Verdict = Result<(), Failed>;

/// No wait of a test lasts longer, however busy the machine is.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Fails the test with a message unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(libtest_mimic::Failed::from(format!($($message)+)));
        }
    };
}
pub(crate) use ensure;

/// Fails the test, showing both values, unless they are equal.
macro_rules! ensure_eq {
    ($is:expr, $must:expr, $($message:tt)+) => {
        match (&$is, &$must) {
            (is, must) => if *is != *must {
                let what = format!($($message)+);
                return Err(libtest_mimic::Failed::from(format!("{what}\n   is: {is:?}\n must: {must:?}")));
            }
        }
    };
}
pub(crate) use ensure_eq;

/// What a test needs of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// The right to mount, and to become anybody.
    Root,
    /// An ordinary user to run things as, whom the kernel lets make user namespaces.
    OrdinaryUser,
    /// A program in the usual places.
    Tool(&'static str),
    /// What builds and runs a PAM application with the module.
    PamHost,
    /// Somebody else's PAM module, where PAM looks for it.
    PamModule(&'static str),
}

impl Needs {
    fn missing(self) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::Root => (!is_root()).then(|| "needs root".to_owned()),
            Self::OrdinaryUser => users::unusable(),
            Self::PamHost => crate::pam::artifacts().err(),
            Self::PamModule(name) => (!has_pam_module(name)).then(|| format!("needs the PAM module {name}")),
            Self::Tool(name) => tool(name).is_none().then(|| format!("needs the program {name}")),
        }
    }
}

/// Do these tests run as root?
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Where a program is, for whoever runs it.
pub fn tool(name: &str) -> Option<PathBuf> {
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .into_iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|file| file.exists())
}

/// In one of the folders `security` that distributions have, with the machine's name in between or without.
fn has_pam_module(name: &str) -> bool {
    ["/lib", "/lib64", "/usr/lib", "/usr/lib64"].into_iter().any(|folder| {
        let between = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        between
            .chain([Path::new(folder).to_owned()])
            .any(|folder| folder.join("security").join(name).exists())
    })
}

/// A test. Without what it needs it is shown as ignored, with the reason; or fails, where everything is required.
pub fn trial(
    name: impl Into<String>,
    needs: &'static [Needs],
    test: impl FnOnce() -> Verdict + Send + 'static,
) -> Trial {
    Trial::ignorable_test(name, move || {
        let all = ["CI", "SESSION_TESTS_REQUIRE_ALL"].map(std::env::var_os);
        let all_required = all.iter().flatten().any(|value| value == "true" || value == "1");
        match needs.iter().find_map(|need| need.missing()) {
            None => test().map(|()| Completion::Completed),
            Some(reason) if all_required => Err(reason.into()),
            Some(reason) => Ok(Completion::ignored_with(reason)),
        }
    })
}

/// How the mount table of an [`isolated`] test passes events on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostMounts {
    /// As systemd sets it up.
    Shared,
    /// What a container often has: events arrive, and none are sent.
    Slave,
    /// What the kernel begins with.
    Private,
}

impl HostMounts {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Shared, Self::Slave, Self::Private];

    fn word(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Slave => "slave",
            Self::Private => "private",
        }
    }
}

type Scenario = Box<dyn FnOnce() -> Verdict + Send>;

/// In the role of an isolated test: its name, and what it does once the list of tests was made.
static WANTED: OnceLock<String> = OnceLock::new();
static SCENARIO: Mutex<Option<Scenario>> = Mutex::new(None);

/// Is this process the one test in a world of its own?
pub fn is_isolated() -> bool {
    WANTED.get().is_some()
}

/// A test in a world of its own: process ids, and a mount table with nothing in `/run` and `/var/lib/workspace`,
/// which passes events on as `mounts` says. It may mount whatever it likes, and what it sees changing there was done
/// by itself or by the program it tests. It needs root.
pub fn isolated(
    name: impl Into<String>,
    needs: &'static [Needs],
    mounts: HostMounts,
    test: impl FnOnce() -> Verdict + Send + 'static,
) -> Trial {
    let name = name.into();
    if WANTED.get() == Some(&name) {
        *SCENARIO.lock().unwrap() = Some(Box::new(test));
    }
    let shown = name.clone();
    trial(shown, needs, move || {
        for need in [Needs::Root, Needs::Tool("unshare"), Needs::Tool("sh")] {
            if let Some(reason) = need.missing() {
                return Err(reason.into());
            }
        }
        // The shell is process 1 there: it takes in orphans, which the test would have to tell from its own children.
        // Nothing is passed on to the real host, whatever propagates inside.
        let outcome = Run::new("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"])
            .args(["sh", "-c", "\"$@\"; exit $?", "sh"])
            .arg(own_program())
            .args(["role:isolated", &name, mounts.word()])
            .env("CI", "true")
            .env("SESSION_SANDBOX_LONG", std::env::var_os("SESSION_SANDBOX_LONG").unwrap_or_default())
            .env(FIGURES, std::env::var_os(FIGURES).unwrap_or_default())
            .within(if std::env::var_os("SESSION_SANDBOX_LONG").is_some() { LIMIT * 20 } else { LIMIT })
            .finish()?;
        ensure!(outcome.code == Some(0), "{}", outcome.stderr.trim_end());
        eprint!("{}", outcome.stderr);
        Ok(())
    })
}

/// Where `cargo xtask figures` has it written down how much was tried.
const FIGURES: &str = "SESSION_FIGURES";

/// Says that so much was tried, and nothing of it went wrong.
pub fn tried(what: &str, number: usize) -> Verdict {
    use std::io::Write as _;
    let Some(file) = std::env::var_os(FIGURES).filter(|file| !file.is_empty()) else { return Ok(()) };
    let mut file = std::fs::OpenOptions::new().append(true).open(file)?;
    // In one piece: others write as well.
    Ok(file.write_all(format!("{what}\t{number}\n").as_bytes())?)
}

/// This binary.
pub fn own_program() -> PathBuf {
    std::env::current_exe().expect("the kernel knows which program this is")
}

/// Does what this process was started for, if that is not to run the tests.
pub fn play_role(trials: fn() -> Vec<Trial>) -> Option<ExitCode> {
    let mut arguments = std::env::args_os();
    let own_name = arguments.next()?.to_string_lossy().into_owned();
    if probe::is_own_name(&own_name) {
        probe::print();
        return Some(ExitCode::SUCCESS);
    }
    let rest: Vec<String> = arguments.map(|argument| argument.to_string_lossy().into_owned()).collect();
    match rest.first()?.strip_prefix("role:")? {
        "measure" => Some(run::measure(&rest[1..])),
        "isolated" => {
            WANTED.set(rest[1].clone()).expect("only set here");
            drop(trials());
            let scenario = SCENARIO.lock().unwrap().take().expect("a test of that name");
            let verdict = make_own_world(&rest[2]).and_then(|()| scenario());
            Some(match verdict {
                Ok(()) => ExitCode::SUCCESS,
                Err(failed) => {
                    eprintln!("{}", failed.message().unwrap_or("failed"));
                    ExitCode::FAILURE
                }
            })
        }
        other => panic!("no role {other}"),
    }
}

/// Inside `unshare`: the mount table that the test asked for.
fn make_own_world(mounts: &str) -> Verdict {
    let tmpfs = |at: &str| rustix::mount::mount("tmpfs", at, "tmpfs", MountFlags::empty(), c"mode=755");
    if mounts != HostMounts::Private.word() {
        rustix::mount::mount_change("/", MountPropagationFlags::SHARED | MountPropagationFlags::REC)?;
    }
    tmpfs("/run")?;
    // Not every host has the folder below it, and no test may make one there.
    tmpfs("/var/lib")?;
    std::fs::create_dir("/var/lib/workspace")?;
    tmpfs("/var/lib/workspace")?;
    if mounts == HostMounts::Slave.word() {
        // The masters stay with `unshare`, which waits in the table that is left behind here.
        // SAFETY: this process has one thread and shares no descriptor table.
        unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) }?;
        rustix::mount::mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    }
    // As after the first login since the host was started, which makes what all sessions stand on.
    match session_sandbox::run::Ground::open().missing() {
        None => Ok(()),
        Some(error) => Err(error.chain().to_string().into()),
    }
}

/// Asks until there is an answer, and fails with `what` when there is none in time.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> Result<T, Failed> {
    let deadline = Instant::now() + LIMIT / 2;
    loop {
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        ensure!(Instant::now() < deadline, "waited in vain until {what}");
        // Only how often it is asked; nothing relies on the length of it.
        std::thread::sleep(Duration::from_millis(2));
    }
}
