//! The probe: this test binary, started inside a session, prints what it finds about itself.
//!
//! It is started by the name `probe`, or `-probe` as a login shell. A program of Rust's ignores SIGPIPE and opens
//! `/dev/null` on closed standard descriptors before it begins; where these matter, tests ask `cat /proc/self/status`.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

use libtest_mimic::Failed;
use serde_json::{Value, json};

use super::Outcome;

/// Is a process of this zeroth argument to be the probe?
pub fn is_own_name(name: &str) -> bool {
    name.rsplit('/').next().is_some_and(|name| name.trim_start_matches('-') == "probe")
}

/// Prints everything as one object of JSON.
pub fn print() {
    // First, before anything here opens a descriptor of its own.
    let descriptors = descriptors();
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_else(|error| error.to_string());
    let link = |path: &str| {
        std::fs::read_link(path)
            .map_or_else(|error| error.to_string(), |to| to.to_string_lossy().into_owned())
    };
    let environment: Vec<(String, String)> = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .collect();
    let namespaces: BTreeMap<&str, String> = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"]
        .into_iter()
        .map(|name| (name, link(&format!("/proc/self/ns/{name}"))))
        .collect();
    let root = std::fs::metadata("/")
        .map(|root| json!({ "dev": root.dev(), "ino": root.ino(), "mode": root.mode() & 0o7777 }));
    println!(
        "{}",
        json!({
            "arguments": std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect::<Vec<_>>(),
            "environment": environment,
            "directory": link("/proc/self/cwd"),
            "status": status(&text("/proc/self/status")),
            "descriptors": descriptors,
            "mounts": text("/proc/self/mountinfo"),
            "limits": text("/proc/self/limits"),
            "namespaces": namespaces,
            "root": root.unwrap_or(Value::Null),
            "finds_key": finds_key(),
        })
    );
}

fn status(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines
        .map(|(key, value)| (key.to_owned(), value.split_whitespace().collect::<Vec<_>>().join(" ")))
        .collect()
}

fn descriptors() -> BTreeMap<String, String> {
    let open = |number: i32| {
        // SAFETY: asks about a number, and changes nothing.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
        flags != -1
    };
    let numbers: Vec<i32> = (0..4096).filter(|number| open(*number)).collect();
    let target = |number: i32| match std::fs::read_link(format!("/proc/self/fd/{number}")) {
        Ok(target) => target.to_string_lossy().into_owned(),
        Err(error) => error.to_string(),
    };
    numbers.into_iter().map(|number| (number.to_string(), target(number))).collect()
}

/// The name and the kind of the key that tests leave in a caller's session keyring.
pub const KEY: (&std::ffi::CStr, &std::ffi::CStr) = (c"user", c"sstest");

/// Is that key in this process's session keyring?
fn finds_key() -> bool {
    const SEARCH: libc::c_int = 10;
    const SESSION_KEYRING: libc::c_int = -3;
    // SAFETY: two static strings, which the call only reads.
    let found = unsafe {
        libc::syscall(libc::SYS_keyctl, SEARCH, SESSION_KEYRING, KEY.0.as_ptr(), KEY.1.as_ptr(), 0)
    };
    found > 0
}

/// What a probe found.
#[derive(Clone, Debug)]
pub struct Probe(pub Value);

impl Probe {
    /// From what it printed.
    pub fn from(outcome: Outcome) -> Result<Self, Failed> {
        let text = outcome.output()?;
        serde_json::from_str(&text).map(Self).map_err(|error| format!("{error}: {text}").into())
    }

    /// A line of `/proc/self/status`, with single spaces.
    pub fn status(&self, key: &str) -> &str {
        self.0["status"][key].as_str().unwrap_or("(missing)")
    }

    /// The arguments, the zeroth included.
    pub fn arguments(&self) -> Vec<&str> {
        self.0["arguments"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// The whole environment, sorted.
    pub fn environment(&self) -> Vec<(&str, &str)> {
        let pairs = self.0["environment"].as_array().into_iter().flatten();
        let mut pairs: Vec<_> =
            pairs.filter_map(|pair| Some((pair[0].as_str()?, pair[1].as_str()?))).collect();
        pairs.sort_unstable();
        pairs
    }

    /// The value of a variable.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment().into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The open descriptors, and what they lead to.
    pub fn descriptors(&self) -> Vec<(&str, &str)> {
        let pairs = self.0["descriptors"].as_object().into_iter().flatten();
        pairs.filter_map(|(number, target)| Some((number.as_str(), target.as_str()?))).collect()
    }

    /// The current directory, as the kernel shows it.
    pub fn directory(&self) -> &str {
        self.0["directory"].as_str().unwrap_or_default()
    }

    /// The name of a namespace, such as `mnt`.
    pub fn namespace(&self, name: &str) -> &str {
        self.0["namespaces"][name].as_str().unwrap_or_default()
    }

    /// All mounts.
    pub fn mounts(&self) -> Vec<MountLine> {
        self.0["mounts"].as_str().unwrap_or_default().lines().filter_map(MountLine::parse).collect()
    }

    /// The mount at a path inside: the last one, where several are stacked.
    pub fn mount(&self, at: &str) -> Option<MountLine> {
        self.mounts().into_iter().rev().find(|mount| mount.at == at)
    }
}

/// A line of mountinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountLine {
    /// What of the file system is shown.
    pub root: String,
    /// Where.
    pub at: String,
    /// The mount's options: `ro`, `nosuid`, ...
    pub options: Vec<String>,
    /// `shared:N`, `master:N`, ...
    pub propagation: Vec<String>,
    /// The file system's type.
    pub kind: String,
    /// The file system's own options.
    pub super_options: String,
}

impl MountLine {
    /// Reads a line. Special characters in paths stay as the kernel writes them, such as `\040`.
    pub fn parse(line: &str) -> Option<Self> {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mount: Vec<&str> = mount.split(' ').collect();
        let mut filesystem = filesystem.split(' ');
        Some(Self {
            root: (*mount.get(3)?).to_owned(),
            at: (*mount.get(4)?).to_owned(),
            options: mount.get(5)?.split(',').map(str::to_owned).collect(),
            propagation: mount.iter().skip(6).map(|&field| field.to_owned()).collect(),
            kind: filesystem.next()?.to_owned(),
            super_options: filesystem.nth(1)?.to_owned(),
        })
    }

    /// Has it this option?
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().any(|known| known == option)
    }
}
