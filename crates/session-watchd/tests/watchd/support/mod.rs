//! What the tests share.
//!
//! | to | use |
//! |---|---|
//! | declare a test | [`trial`] |
//! | have a folder, a script in place of `session-scripts`, and what it wrote down | [`World`] |
//! | run the daemon | [`World::watchd`] and [`Watchd`] |
//! | have a bus and a logind on it | [`Bus`], [`Logind`] |
//! | hold connections | [`Holder`] |
//! | hear what the service manager is told, and have what is left with it | [`Manager`] |
//! | wait for something without sleeping blindly | [`until`] |

pub mod bus;
pub mod holder;
pub mod logind;
pub mod manager;
pub mod watchd;
pub mod world;

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Completion, Trial};

pub use bus::Bus;
pub use holder::Holder;
pub use logind::{Logind, Session};
pub use manager::Manager;
pub use watchd::Watchd;
pub use world::World;

/// No wait of a test lasts longer, however busy the machine is.
pub const LIMIT: Duration = Duration::from_secs(60);

/// What a test needs of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// The right to be somebody else.
    Root,
    /// `dbus-daemon`.
    Bus,
}

impl Needs {
    fn missing(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Root => (!rustix::process::geteuid().is_root()).then_some("needs root"),
            Self::Bus => (!bus::is_installed()).then_some("needs the program dbus-daemon"),
        }
    }
}

/// A test. Without what it needs it is shown as ignored, with the reason; or fails, where everything is required.
pub fn trial(name: &str, needs: Needs, test: fn()) -> Trial {
    Trial::ignorable_test(name, move || {
        let all = ["CI", "SESSION_TESTS_REQUIRE_ALL"].map(std::env::var_os);
        let all_required = all.iter().flatten().any(|value| value == "true" || value == "1");
        match needs.missing() {
            None => {
                test();
                Ok(Completion::Completed)
            }
            Some(reason) if all_required => Err(reason.into()),
            Some(reason) => Ok(Completion::ignored_with(reason)),
        }
    })
}

/// Waits until there is something, and gives it.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A process that lives until it is dropped or killed: somebody who has logged in.
#[derive(Debug)]
pub struct Living(Child);

impl Living {
    /// One more.
    pub fn new() -> Self {
        let sleep = Command::new("/bin/sleep").arg("1000").stdin(Stdio::null()).spawn();
        Self(sleep.unwrap())
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// It ends by SIGKILL, and its number is free again.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        assert_eq!(self.0.wait().unwrap().signal(), Some(9));
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A file's text; nothing if it is not there.
pub fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
