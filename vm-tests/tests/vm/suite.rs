//! Suites of checks, and the guest that the checks of a suite share.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use libtest_mimic::{Completion, Failed, Trial};
use vm_tests::{Guest, Kernel, Payload, requirements};

/// How a check ends.
pub type Verdict = Result<(), Failed>;

/// One thing that has to hold.
pub struct Check {
    name: String,
    run: Run,
}

enum Run {
    Sharing(Box<dyn FnOnce(&Guest) -> Verdict + Send>),
    Ending(Box<dyn FnOnce(Guest) -> Verdict + Send>),
}

impl Check {
    /// A check in the guest that the suite's checks share. It finds what the checks before it have left.
    pub fn new(name: impl Into<String>, run: impl FnOnce(&Guest) -> Verdict + Send + 'static) -> Self {
        Self { name: name.into(), run: Run::Sharing(Box::new(run)) }
    }

    /// A check that the guest does not survive. The suite's next check, if there is one, gets a new guest.
    pub fn ending(name: impl Into<String>, run: impl FnOnce(Guest) -> Verdict + Send + 'static) -> Self {
        Self { name: name.into(), run: Run::Ending(Box::new(run)) }
    }
}

/// Checks that share a guest.
pub struct Suite {
    name: &'static str,
    checks: fn() -> Vec<Check>,
    payload: fn() -> vm_tests::Result<Payload>,
    on: Kernels,
}

/// On which of the chosen kernels a suite runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kernels {
    Each,
    /// That which most people have, if it is among them; each with `SESSION_VM_EACH=1`.
    OneUnlessAsked,
    /// That which most people have, if it is among them.
    One,
}

impl Kernels {
    fn have(self, kernel: Kernel, chosen: &[Kernel]) -> bool {
        match self {
            Self::Each => true,
            Self::OneUnlessAsked if std::env::var_os("SESSION_VM_EACH").is_some_and(|value| value == "1") => {
                true
            }
            Self::One | Self::OneUnlessAsked => {
                chosen.iter().find(|kernel| **kernel == Kernel::Stable).or_else(|| chosen.first())
                    == Some(&kernel)
            }
        }
    }
}

impl Suite {
    /// Checks in the image as it is.
    pub fn new(name: &'static str, checks: fn() -> Vec<Check>) -> Self {
        Self { name, checks, payload: || Ok(Payload::new()), on: Kernels::Each }
    }

    /// On one of the chosen kernels and no other: where it is the tests' own machinery that is tested, or another
    /// program's words.
    pub fn once(self) -> Self {
        Self { on: Kernels::One, ..self }
    }

    /// On one of the chosen kernels, unless `SESSION_VM_EACH=1` asks for more: what takes long and says little about the
    /// kernel that the suites on each have not said.
    pub fn once_unless_asked(self) -> Self {
        Self { on: Kernels::OneUnlessAsked, ..self }
    }

    /// With these files over the image. They are asked for right before the guest is booted.
    pub fn with_payload(self, payload: fn() -> vm_tests::Result<Payload>) -> Self {
        Self { payload, ..self }
    }
}

/// The one guest that there is at a time.
struct Current {
    kernel: Kernel,
    suite: &'static str,
    /// An error is kept, so that a guest which cannot be booted is not booted again for each check.
    guest: Result<Guest, String>,
}

static CURRENT: Mutex<Option<Current>> = Mutex::new(None);

/// One trial for each check and kernel, named `kernel::suite::check`.
pub fn trials(kernels: &[Kernel], suites: Vec<Suite>) -> Vec<Trial> {
    let all_kernels: Arc<[Kernel]> = kernels.into();
    let mut trials = Vec::new();
    for kernel in kernels.iter().copied() {
        for suite in suites.iter().filter(|suite| suite.on.have(kernel, kernels)) {
            let (name, payload) = (suite.name, suite.payload);
            for check in (suite.checks)() {
                let all_kernels = Arc::clone(&all_kernels);
                let shown = format!("{}::{name}::{}", kernel.word(), check.name);
                trials.push(Trial::ignorable_test(shown, move || match missing(&all_kernels) {
                    None => run(check, kernel, name, payload).map(|()| Completion::Completed),
                    Some(reason) if all_is_required() => Err(reason.into()),
                    Some(reason) => Ok(Completion::ignored_with(reason)),
                }));
            }
        }
    }
    trials
}

/// Ends the last guest.
pub fn let_go() {
    CURRENT.lock().unwrap_or_else(PoisonError::into_inner).take();
}

fn missing(kernels: &[Kernel]) -> Option<&'static str> {
    static MISSING: OnceLock<Option<String>> = OnceLock::new();
    MISSING.get_or_init(|| requirements::missing(kernels)).as_deref()
}

fn all_is_required() -> bool {
    let all = ["CI", "SESSION_TESTS_REQUIRE_ALL"].map(std::env::var_os);
    all.iter().flatten().any(|value| value == "true" || value == "1")
}

fn run(
    check: Check,
    kernel: Kernel,
    suite: &'static str,
    payload: fn() -> vm_tests::Result<Payload>,
) -> Verdict {
    // A check that panicked held it; the guest is as good as after one that returned an error.
    let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    if !current.as_ref().is_some_and(|current| current.kernel == kernel && current.suite == suite) {
        // The old one is gone before the new one is booted.
        current.take();
        let guest = payload().and_then(|payload| Guest::boot(kernel, &payload));
        if let Ok(guest) = &guest {
            let seconds = guest.boot_time().as_secs_f64();
            eprintln!("{}::{suite}: users can log in after {seconds:.1} s", kernel.word());
        }
        *current = Some(Current { kernel, suite, guest });
    }
    match (check.run, current.as_ref().map(|current| &current.guest)) {
        (Run::Sharing(run), Some(Ok(guest))) => {
            run(guest).map_err(|failed| shown_with_console(guest, &failed))
        }
        (Run::Ending(run), Some(Ok(_))) => match current.take().map(|current| current.guest) {
            Some(Ok(guest)) => run(guest),
            _ => Err("the guest was there a moment ago".into()),
        },
        (_, Some(Err(error))) => Err(error.into()),
        (_, None) => Err("no guest was booted".into()),
    }
}

fn shown_with_console(guest: &Guest, failed: &Failed) -> Failed {
    match failed.message() {
        Some(message) if message.contains("guest's console") => message.into(),
        message => guest.with_console(message.unwrap_or_default()).into(),
    }
}
