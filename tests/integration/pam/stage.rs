//! What the tests of the PAM module stand on: the built module, a PAM application, services of their own, a log.

use std::ffi::OsStr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use libtest_mimic::Failed;
use serde_json::Value;

use crate::support::{Run, User, Verdict, World, ensure, ensure_eq, until, users};

/// The helper.
pub const SESSION_DOOR: &str = env!("CARGO_BIN_EXE_session-door");
pub const SESSIONCTL: &str = env!("CARGO_BIN_EXE_sessionctl");
/// The PAM service of the tests.
pub const SERVICE: &str = "session-sandbox-test";
/// Where cargo builds the module for these tests, with the option that lets it fail on purpose.
pub const TARGET: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/pam");

/// What is built for these tests, once in a run; or why it cannot be.
pub fn artifacts() -> Result<(), String> {
    static BUILT: OnceLock<Result<(), String>> = OnceLock::new();
    BUILT.get_or_init(|| build().map_err(|failed| failed.message().unwrap_or("it failed").to_owned())).clone()
}

fn build() -> Verdict {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    for features in [None, Some("faults")] {
        let outcome = cargo()
            .args(["build", "--locked", "--quiet", "--package", "pam-session-sandbox"])
            .args(features.iter().flat_map(|name| ["--features", name]))
            .args(["--target-dir".as_ref(), folder(features).as_os_str()])
            .directory(package)
            .within(std::time::Duration::from_secs(600))
            .finish()?;
        ensure!(outcome.code == Some(0), "cargo build of the module: {}", outcome.stderr.trim());
    }
    // Several runs may build at a time.
    let unfinished = format!("{TARGET}/host.{}", std::process::id());
    let outcome = Run::new("cc")
        .args(["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", &unfinished])
        .arg(package.join("tests/integration/pam/host.c"))
        .arg("-l:libpam.so.0")
        .finish()?;
    ensure!(outcome.code == Some(0), "cc host.c: {}", outcome.stderr.trim());
    Ok(std::fs::rename(unfinished, host_program())?)
}

/// Cargo with the environment that it was started with: it is the one that runs these tests.
fn cargo() -> Run {
    std::env::vars_os()
        .filter(|(name, _)| !name.to_string_lossy().starts_with("CARGO_PKG"))
        .fold(Run::new(env!("CARGO")), |run, (name, value)| run.env(name, value))
}

fn folder(features: Option<&str>) -> PathBuf {
    Path::new(TARGET).join(features.unwrap_or("plain"))
}

/// The application.
pub fn host_program() -> PathBuf {
    Path::new(TARGET).join("host")
}

/// The module as it is shipped, but for the optimisation.
pub fn module() -> PathBuf {
    folder(None).join("debug/libpam_session_sandbox.so")
}

fn faulty_module() -> PathBuf {
    folder(Some("faults")).join("debug/libpam_session_sandbox.so")
}

/// A host whose only PAM services are the test's. In an isolated test only.
pub struct Stage {
    /// Its map.
    pub world: World,
    /// Who logs in.
    pub bob: User,
    log: Arc<Mutex<String>>,
}

impl Stage {
    /// A map with these settings and mounts, and one service with the module.
    pub fn new(settings: &str, mounts: &str) -> Result<Self, Failed> {
        let stage = Self { world: World::new()?, bob: users::bob()?, log: Arc::default() };
        stage.world.map(settings, mounts)?;
        let script = "set -e
            mount -t tmpfs -o mode=755 tmpfs /etc/pam.d
            mkdir /run/dev; mount -t tmpfs -o mode=755 tmpfs /run/dev
            for node in null zero full random urandom tty; do
                : > /run/dev/$node; mount --bind /dev/$node /run/dev/$node
            done
            mkdir /run/dev/pts /run/dev/shm
            mount --rbind /dev/pts /run/dev/pts
            ln -s pts/ptmx /run/dev/ptmx; ln -s /proc/self/fd /run/dev/fd
            mount --rbind /run/dev /dev";
        Run::new("sh").args(["-c", script]).finish()?.expect_code(0)?;
        let socket = UnixDatagram::bind("/dev/log")?;
        let log = Arc::clone(&stage.log);
        std::thread::spawn(move || {
            let mut line = [0; 8192];
            while let Ok(length) = socket.recv(&mut line) {
                let line = String::from_utf8_lossy(&line[..length]).into_owned();
                let mut log = log.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                log.push_str(&line);
                log.push('\n');
            }
        });
        stage.service("")?;
        Ok(stage)
    }

    /// Writes the service: the module with its helper and the map, and these options.
    pub fn service(&self, options: &str) -> Verdict {
        let map = self.world.path("map.toml");
        let options = format!("helper={SESSION_DOOR} config={} {options}", map.display());
        self.stack(SERVICE, &format!("session required {} {options}\n", faulty_module().display()))
    }

    /// Writes a service with these lines for sessions, or for whatever they say.
    pub fn stack(&self, name: &str, lines: &str) -> Verdict {
        let others = ["auth", "account", "password"].map(|kind| format!("{kind} required pam_permit.so\n"));
        Ok(std::fs::write(format!("/etc/pam.d/{name}"), others.concat() + lines)?)
    }

    /// The application in one of its modes, for bob and the service.
    pub fn host<A: AsRef<OsStr>>(&self, mode: &str, arguments: impl IntoIterator<Item = A>) -> Run {
        self.host_as(&self.bob.name, mode, arguments)
    }

    /// The same for another user.
    pub fn host_as<A: AsRef<OsStr>>(
        &self,
        user: &str,
        mode: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Run {
        self.host_of(SERVICE, user, mode, arguments)
    }

    /// The same for another service.
    pub fn host_of<A: AsRef<OsStr>>(
        &self,
        service: &str,
        user: &str,
        mode: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Run {
        Run::new(host_program()).args([mode, service, user]).args(arguments)
    }

    /// These calls one after the other: what the application prints.
    pub fn calls(&self, words: &str) -> Result<String, Failed> {
        self.host("calls", words.split(' ')).finish()?.output()
    }

    /// What was logged since it was last asked.
    pub fn log(&self) -> String {
        // The socket keeps order, and the thread that reads it is woken at once; the mark is the last line of now.
        let mark = format!("mark {:?}", std::time::Instant::now());
        let sent = UnixDatagram::unbound().and_then(|socket| socket.send_to(mark.as_bytes(), "/dev/log"));
        assert!(sent.is_ok(), "the log's socket is gone");
        let read = until("the log is read", || {
            let mut log = self.log.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let end = log.find(&mark)?;
            let lines = log[..end].to_owned();
            log.clear();
            Some(lines)
        });
        read.unwrap_or_default()
    }

    /// The inventory's views and sessions.
    pub fn living(&self) -> Result<(Vec<Value>, Vec<Value>), Failed> {
        let list = Run::new(SESSIONCTL).args(["list", "--json"]).finish()?.expect_code(0)?.stdout;
        let list: Value = serde_json::from_str(&list)?;
        let of = |name: &str| list[name].as_array().cloned().unwrap_or_default();
        Ok((of("namespaces"), of("sessions")))
    }

    /// Waits until no view and no session lives.
    pub fn until_empty(&self) -> Verdict {
        until("no view and no session lives", || {
            let (views, sessions) = self.living().ok()?;
            (views.is_empty() && sessions.is_empty()).then_some(())
        })
    }

    /// An attempt that must fail with this result and leave the application as it was. Gives what the user was told and
    /// what was logged.
    pub fn fails(&self, result: i32) -> Result<(String, String), Failed> {
        self.fails_as(&self.bob.name, result)
    }

    /// The same for another user.
    pub fn fails_as(&self, user: &str, result: i32) -> Result<(String, String), Failed> {
        self.log();
        let text = self.host_as(user, "failing", [""; 0]).finish()?.output()?;
        let part = |name: &str| {
            let after = text.split_once(&format!("[{name}]\n")).map_or("", |(_, rest)| rest);
            after.split_once("\n[").map_or(after, |(part, _)| part).trim_end().to_owned()
        };
        let is_told = |line: &&str| line.starts_with("told: ");
        let without_told = |part: &str| -> Vec<String> {
            part.lines().filter(|line| !is_told(line)).map(str::to_owned).collect()
        };
        let (before, after) = (without_told(&part("before")), without_told(&part("after")));
        ensure!(before.len() > 20, "the application says little of itself: {text}");
        ensure_eq!(after, before, "the application after a failed attempt ({text})");
        ensure_eq!(part("result"), result.to_string(), "the result ({text})");
        self.until_empty()?;
        let told: String = text.lines().filter(is_told).map(|line| format!("{line}\n")).collect();
        Ok((told, self.log()))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // For the next one of the same test.
        for folder in ["/dev", "/etc/pam.d", "/run/dev"] {
            let _ = Run::new("umount").args(["--recursive", "--lazy", folder]).finish();
        }
        let _ = std::fs::remove_dir("/run/dev");
    }
}
