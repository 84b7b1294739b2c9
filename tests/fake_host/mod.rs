//! A host that lies in a folder, and the programs run on it.
#![allow(dead_code, reason = "each of the tests uses its own part of it")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub(crate) const LINE: &str = "session requisite pam_session_sandbox.so\n";
pub(crate) const SESSION: &str = "/etc/pam.d/common-session";
pub(crate) const NONINTERACTIVE: &str = "/etc/pam.d/common-session-noninteractive";
pub(crate) const MODULE: &str = "/usr/lib/x86_64-linux-gnu/security/pam_session_sandbox.so";
pub(crate) const HELPER: &str = "/usr/libexec/session-sandbox/session-door";
pub(crate) const STACK: &str =
    "# shared\nsession [default=1] pam_permit.so\nsession optional pam_systemd.so\n";

/// A host in a folder.
pub(crate) struct Host(tempfile::TempDir);

impl Host {
    /// Debian's way, without pam-auth-update.
    pub(crate) fn new() -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        host.write(SESSION, STACK, 0o644);
        host.write(NONINTERACTIVE, STACK, 0o640);
        host.write("/etc/pam.d/sshd", "@include common-session\n", 0o644);
        host.write("/etc/pam.d/other", "@include common-session\n", 0o644);
        host.write("/etc/group", "root:x:0:\nsession-sandbox-exempt:x:999:\n", 0o644);
        host.write("/etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n", 0o644);
        host.write("/usr/lib/x86_64-linux-gnu/security/pam_permit.so", "", 0o644);
        host.write(MODULE, "", 0o644);
        host.write(HELPER, "", 0o755);
        host.write("/usr/bin/session-enter", "", 0o755);
        symlink("usr/lib", host.path("/lib")).unwrap();
        host
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path.trim_start_matches('/'))
    }

    pub(crate) fn write(&self, path: &str, text: &str, mode: u32) {
        let path = self.path(path);
        let mut folder = self.0.path().to_owned();
        for component in path.parent().unwrap().strip_prefix(self.0.path()).unwrap() {
            folder.push(component);
            if fs::create_dir(&folder).is_ok() {
                fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_default()
    }

    pub(crate) fn set_mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    pub(crate) fn mode(&self, path: &str) -> u32 {
        fs::metadata(self.path(path)).unwrap().permissions().mode() & 0o7777
    }

    /// Every path with its mode and content; what `setup` keeps for itself is left out.
    pub(crate) fn all(&self) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
        fn walk(folder: &Path, found: &mut BTreeMap<PathBuf, (u32, Vec<u8>)>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.ends_with("var") {
                    continue;
                }
                let status = fs::symlink_metadata(&path).unwrap();
                let content = if status.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
                found.insert(path.clone(), (status.permissions().mode(), content));
                if status.is_dir() {
                    walk(&path, found);
                }
            }
        }
        let mut found = BTreeMap::new();
        walk(self.0.path(), &mut found);
        found
    }

    pub(crate) fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sessionctl"));
        command.args(words.split_whitespace()).arg("--root").arg(self.0.path());
        command
    }

    pub(crate) fn run(&self, words: &str) -> (i32, String) {
        said(&self.command(words).output().unwrap())
    }

    /// Runs what must work, and returns what it said.
    pub(crate) fn done(&self, words: &str) -> String {
        let (code, said) = self.run(words);
        assert_eq!(code, 0, "{words}: {said}");
        said
    }

    /// Runs what must be refused with these words, and must change nothing.
    pub(crate) fn refused(&self, words: &str, why: &str) {
        let before = self.all();
        let (code, said) = self.run(words);
        assert_eq!(code, 125, "{words}: {said}");
        assert!(said.contains(why), "{words}: {said}");
        assert_eq!(self.all(), before, "{words} has changed something");
    }
}

/// A text without its line breaks: what `doctor` says is set in lines.
pub(crate) fn unwrapped(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(crate) fn said(output: &Output) -> (i32, String) {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
}
