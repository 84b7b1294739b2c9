//! A folder of a test's own, and the script that is run in place of `session-scripts`.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Manager, Watchd, text, until};

/// Writes down its arguments when it begins and when it ends. It does not end while a file `hold-VERB` is there, and it
/// ends badly while there is one that is called `fail`.
const SCRIPT: &str = r#"#!/bin/sh
cd "${0%/*}" || exit 1
verb=$1
line=$1
shift
for word; do line="$line|$word"; done
printf 'begin %s\n' "$line" >>log
env >environment
while [ -e "hold-$verb" ]; do sleep 0.02; done
printf 'end %s\n' "$line" >>log
[ ! -e fail ] || exit 3
"#;

/// The folder.
#[derive(Debug)]
pub struct World {
    folder: tempfile::TempDir,
    manager: Option<Manager>,
}

impl World {
    /// A new one. Its path is short: that of a socket must not have more than 107 bytes.
    pub fn new() -> Self {
        let mut world = Self::without_manager();
        world.manager = Some(Manager::listen(&world.path("notify")));
        world
    }

    /// One in which no service manager listens.
    pub fn without_manager() -> Self {
        let folder = tempfile::Builder::new().prefix("watchd").tempdir_in("/tmp").unwrap();
        let world = Self { folder, manager: None };
        std::fs::write(world.runner(), SCRIPT).unwrap();
        std::fs::set_permissions(world.runner(), std::fs::Permissions::from_mode(0o755)).unwrap();
        world
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The script.
    pub fn runner(&self) -> PathBuf {
        self.path("runner")
    }

    /// The daemon's socket.
    pub fn socket(&self) -> PathBuf {
        self.path("socket")
    }

    /// Runs with this verb do not end from now on.
    pub fn hold(&self, verb: &str) {
        std::fs::write(self.path(&format!("hold-{verb}")), "").unwrap();
    }

    /// They do again.
    pub fn let_go(&self, verb: &str) {
        std::fs::remove_file(self.path(&format!("hold-{verb}"))).unwrap();
    }

    /// The daemon with these options beyond those that say where everything is; ready.
    pub fn watchd(&self, options: &[&str]) -> Watchd {
        let watchd = self.start(options);
        watchd.until_ready(self);
        watchd
    }

    /// The same, but it may not be ready, nor be going to be.
    pub fn start(&self, options: &[&str]) -> Watchd {
        Watchd::start(self, options)
    }

    /// Who is told that the daemon is ready.
    pub fn manager(&self) -> Option<&Manager> {
        self.manager.as_ref()
    }

    /// How often a daemon has become ready: it has said so, or, where nobody listens, it has swept.
    pub fn times_ready(&self) -> usize {
        match &self.manager {
            Some(manager) => manager.messages().iter().filter(|message| *message == "READY=1").count(),
            None => self.log().iter().filter(|line| *line == "end sweep").count(),
        }
    }

    /// What was written down: a line for each beginning of a run and for each end.
    pub fn log(&self) -> Vec<String> {
        text(&self.path("log")).lines().map(str::to_owned).collect()
    }

    /// The runs that began, apart from sweeping.
    pub fn runs(&self) -> Vec<String> {
        let log = self.log();
        let begun = log.iter().filter_map(|line| line.strip_prefix("begin "));
        begun.filter(|line| *line != "sweep").map(str::to_owned).collect()
    }

    /// Waits until that many runs have begun, and gives them.
    pub fn until_runs(&self, count: usize) -> Vec<String> {
        until(&format!("{count} runs, instead of {:?}", self.runs()), || {
            Some(self.runs()).filter(|runs| runs.len() >= count)
        })
    }

    /// Waits until a run like this has ended.
    pub fn until_ended(&self, run: &str) {
        let line = format!("end {run}");
        until(&line, || self.log().contains(&line).then_some(()));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Runs outlive the daemon, and one that is writing keeps its folder from being removed.
        let deadline = Instant::now() + Duration::from_secs(5);
        while std::fs::remove_dir_all(self.folder.path())
            .is_err_and(|error| error.kind() != ErrorKind::NotFound)
            && Instant::now() < deadline
        {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
