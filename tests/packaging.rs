//! The Debian package, built from the programs that the tests use, and what its files say. Needs no network;
//! `packaging/test-install` installs it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::OnceLock;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// Programs without which no package can be built.
const TOOLS: [&str; 4] = ["dpkg-deb", "dpkg", "objdump", "gzip"];

fn main() -> ExitCode {
    let trials = vec![
        trial("the_package_holds_these_files_with_these_modes_and_all_are_roots", contents),
        trial("its_control_file_says_what_it_needs", control),
        trial("the_same_programs_give_the_same_package", reproducible),
        plain("the_profile_asks_the_module_at_the_end_of_every_session_and_for_nothing_else", profile),
        plain("maintainer_scripts_are_shell_and_take_the_line_away_before_the_module_goes", scripts),
        plain("the_sweeping_service_has_no_mounts_of_its_own", service),
        plain("the_package_and_the_module_agree_on_names", names),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn plain(name: &str, test: fn()) -> Trial {
    Trial::test(name, move || {
        test();
        Ok(())
    })
}

/// A test that builds packages: ignored with a reason where that cannot be done, an error where everything is required.
fn trial(name: &str, test: fn()) -> Trial {
    Trial::ignorable_test(name, move || {
        let missing = TOOLS.iter().find(|tool| {
            !Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success())
        });
        let required = std::env::var_os("CI").is_some_and(|value| value == "true" || value == "1");
        match missing {
            None => {
                test();
                Ok(Completion::Completed)
            }
            Some(tool) if required => Err(Failed::from(format!("{tool} is missing"))),
            Some(tool) => Ok(Completion::ignored_with(format!("{tool} is missing"))),
        }
    })
}

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(source(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// The folder with the programs and the module; cargo does not build the module for a test.
fn binaries() -> &'static Path {
    static BINARIES: OnceLock<PathBuf> = OnceLock::new();
    BINARIES.get_or_init(|| {
        let folder = Path::new(env!("CARGO_BIN_EXE_sessionctl")).parent().unwrap();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(source("")).args([
            "build",
            "--quiet",
            "--locked",
            "-p",
            "pam-session-sandbox",
            "-p",
            "session-watchd",
        ]);
        cargo.arg("--target-dir").arg(folder.parent().unwrap());
        if folder.ends_with("release") {
            cargo.arg("--release");
        }
        output(&mut cargo);
        folder.to_owned()
    })
}

fn build(into: &Path) -> PathBuf {
    let mut build = Command::new(source("packaging/build-deb"));
    build.args(["--compress", "none", "--binaries"]).arg(binaries()).arg("--output").arg(into);
    // Wherever it is called from.
    PathBuf::from(output(build.current_dir("/")).trim())
}

/// One package for all tests.
fn package() -> &'static Path {
    static PACKAGE: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, package) = PACKAGE.get_or_init(|| {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let package = build(folder.path());
        (folder, package)
    });
    package
}

fn contents() {
    let listing = output(Command::new("dpkg-deb").arg("-c").arg(package()));
    let mut files = BTreeMap::new();
    for line in listing.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[1], "root/root", "{line}");
        files.insert(words[5].trim_start_matches('.').to_owned(), words[0].to_owned());
    }
    let security = files.keys().find(|path| path.ends_with("/pam_session_sandbox.so")).unwrap().clone();
    let folders: Vec<&str> = security.split('/').collect();
    assert_eq!((folders[1], folders[2], folders[4]), ("usr", "lib", "security"), "{security}");
    assert!(folders[3].contains("-linux-"), "{security}");
    for (path, mode) in [
        ("/usr/bin/session-enter", "-rwxr-xr-x"),
        ("/usr/bin/sessionctl", "-rwxr-xr-x"),
        ("/usr/bin/session-scripts", "-rwxr-xr-x"),
        ("/usr/sbin/session-watchd", "-rwxr-xr-x"),
        ("/etc/session.d/added/", "drwxr-xr-x"),
        ("/etc/session.d/removed/", "drwxr-xr-x"),
        ("/usr/lib/systemd/system/session-watchd.service", "-rw-r--r--"),
        ("/usr/share/doc/session-sandbox/examples/session-watchd.init", "-rwxr-xr-x"),
        ("/usr/share/man/man1/session-scripts.1.gz", "-rw-r--r--"),
        ("/usr/share/man/man5/session-scripts.conf.5.gz", "-rw-r--r--"),
        ("/usr/share/man/man8/session-watchd.8.gz", "-rw-r--r--"),
        ("/usr/share/doc/session-sandbox/docs/session-scripts.md", "-rw-r--r--"),
        ("/usr/libexec/session-sandbox/session-door", "-rwxr-xr-x"),
        (security.as_str(), "-rw-r--r--"),
        ("/usr/lib/session-sandbox/mounts.toml", "-rw-r--r--"),
        ("/etc/session-sandbox/", "drwxr-xr-x"),
        ("/etc/session-sandbox/mounts.d/", "drwxr-xr-x"),
        ("/usr/share/pam-configs/session-sandbox", "-rw-r--r--"),
        ("/usr/lib/systemd/system/session-sandbox-gc.service", "-rw-r--r--"),
        ("/usr/lib/systemd/system/session-sandbox-gc.timer", "-rw-r--r--"),
        ("/usr/share/man/man1/session-enter.1.gz", "-rw-r--r--"),
        ("/usr/share/man/man5/mounts.toml.5.gz", "-rw-r--r--"),
        ("/usr/share/man/man8/pam_session_sandbox.8.gz", "-rw-r--r--"),
        ("/usr/share/man/man8/sessionctl.8.gz", "-rw-r--r--"),
        ("/usr/share/bash-completion/completions/session-enter", "-rw-r--r--"),
        ("/usr/share/bash-completion/completions/sessionctl", "-rw-r--r--"),
        ("/usr/share/bash-completion/completions/session-scripts", "-rw-r--r--"),
        ("/usr/share/zsh/vendor-completions/_session-enter", "-rw-r--r--"),
        ("/usr/share/zsh/vendor-completions/_sessionctl", "-rw-r--r--"),
        ("/usr/share/zsh/vendor-completions/_session-scripts", "-rw-r--r--"),
        ("/usr/share/fish/vendor_completions.d/session-enter.fish", "-rw-r--r--"),
        ("/usr/share/fish/vendor_completions.d/sessionctl.fish", "-rw-r--r--"),
        ("/usr/share/fish/vendor_completions.d/session-scripts.fish", "-rw-r--r--"),
        ("/usr/share/doc/session-sandbox/copyright", "-rw-r--r--"),
        ("/usr/share/doc/session-sandbox/changelog.Debian.gz", "-rw-r--r--"),
        ("/usr/share/doc/session-sandbox/changelog.gz", "-rw-r--r--"),
        ("/usr/share/doc/session-sandbox/README.md", "-rw-r--r--"),
        ("/usr/share/doc/session-sandbox/SECURITY.md", "-rw-r--r--"),
        ("/usr/share/doc/session-sandbox/docs/pam.md", "-rw-r--r--"),
        ("/usr/share/doc/session-sandbox/docs/examples/user-manager.toml", "-rw-r--r--"),
    ] {
        assert_eq!(files.get(path).map(String::as_str), Some(mode), "{path}");
    }
    for (path, mode) in &files {
        let known = ["drwxr-xr-x", "-rwxr-xr-x", "-rw-r--r--"].contains(&mode.as_str());
        assert!(known, "{path} has the mode {mode}");
        // The administrator's folder is empty: what is in it is never the package's to replace.
        assert!(!path.starts_with("/etc/") || mode.starts_with('d'), "{path}");
    }
}

fn control() {
    let control = output(Command::new("dpkg-deb").arg("-f").arg(package()));
    let field = |name: &str| {
        let line = control.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("{name} is missing in:\n{control}")).to_owned()
    };
    assert_eq!(field("Package"), "session-sandbox");
    let version = field("Version");
    assert_eq!(version.rsplit_once('-').unwrap().0, env!("CARGO_PKG_VERSION"));
    let architecture = field("Architecture");
    assert!(package().ends_with(format!("session-sandbox_{version}_{architecture}.deb")), "{:?}", package());
    let depends = field("Depends");
    for expected in ["libc6 (>= 2.", "libpam0g (>= ", "libpam-runtime", "passwd"] {
        assert!(depends.contains(expected), "{depends}");
    }
    assert!(field("Installed-Size").parse::<u64>().unwrap() > 1000);
    assert!(!control.contains('@') || control.matches('@').count() == 1, "a mark is left over:\n{control}");
}

fn reproducible() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let second = build(folder.path());
    let is_same = fs::read(package()).unwrap() == fs::read(second).unwrap();
    assert!(is_same, "two packages of the same programs differ");
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

fn profile() {
    let text = read("packaging/pam-configs/session-sandbox");
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    assert_eq!(field("Default"), Some("no"));
    // pam-auth-update puts the highest first; the lowest that others have, pam_systemd's too, is 0.
    assert!(field("Priority").unwrap().parse::<i32>().unwrap() < 0);
    assert_eq!(field("Session-Type"), Some("Additional"));
    let lines: Vec<&str> = text.lines().skip_while(|line| *line != "Session:").skip(1).collect();
    assert_eq!(lines, ["\trequisite\tpam_session_sandbox.so"]);
    // In cron's and at's sessions, too: nothing says that it is for interactive ones.
    for other in ["Auth", "Account", "Password", "Session-Interactive-Only", "Session-Initial", "sufficient"]
    {
        assert!(!text.contains(other), "{other}");
    }
}

fn scripts() {
    for name in ["postinst", "prerm", "postrm"] {
        output(Command::new("sh").arg("-n").arg(source(&format!("packaging/debian/{name}"))));
        assert!(read(&format!("packaging/debian/{name}")).starts_with("#!/bin/sh\nset -e\n"), "{name}");
    }
    for name in ["build-deb", "test-install"] {
        output(Command::new("sh").arg("-n").arg(source(&format!("packaging/{name}"))));
    }
    // dpkg deletes files after prerm; in postrm it would be too late.
    let prerm = read("packaging/debian/prerm");
    assert!(prerm.contains("pam-auth-update --package --remove session-sandbox"));
    assert!(prerm.contains("exit 1"), "a line that stays must keep the module there");
    assert!(!read("packaging/debian/postrm").contains("pam-auth-update"));
    assert!(!read("packaging/debian/postinst").contains("--enable"), "installing changes no login");
}

fn service() {
    // Each of these gives a service a mount namespace, in which what it unmounts stays mounted for everybody else.
    let own_mounts = [
        "BindPaths",
        "BindReadOnlyPaths",
        "DynamicUser",
        "InaccessiblePaths",
        "MountAPIVFS",
        "MountFlags",
        "PrivateDevices",
        "PrivateMounts",
        "PrivateNetwork",
        "PrivateTmp",
        "PrivateUsers",
        "ProtectControlGroups",
        "ProtectHome",
        "ProtectKernelLogs",
        "ProtectKernelModules",
        "ProtectKernelTunables",
        "ProtectProc",
        "ProcSubset",
        "ProtectSystem",
        "ReadOnlyPaths",
        "ReadWritePaths",
        "RootDirectory",
        "RootImage",
        "TemporaryFileSystem",
        "RestrictNamespaces",
        // It has openat2 answer that there is no such call.
        "RestrictSUIDSGID",
        "StateDirectory",
        "RuntimeDirectory",
    ];
    for unit in ["session-sandbox-gc", "session-watchd"] {
        has_no_mounts_of_its_own(unit, &own_mounts);
    }
}

fn has_no_mounts_of_its_own(unit: &str, own_mounts: &[&str]) {
    let text = read(&format!("packaging/systemd/{unit}.service"));
    let settings: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.split_once('=')?.0))
        .collect();
    assert!(settings.contains(&"ExecStart"));
    for setting in settings {
        assert!(!own_mounts.contains(&setting), "{unit}: {setting}=");
    }
}

fn names() {
    let options = read("crates/pam-session-sandbox/src/options.rs");
    let build = read("packaging/build-deb");
    let postinst = read("packaging/debian/postinst");
    for (name, value) in
        [("HELPER", "/usr/libexec/session-sandbox/session-door"), ("BREAK_GLASS", "session-sandbox-exempt")]
    {
        assert!(options.contains(&format!("const {name}: &str = \"{value}\";")), "{name} is another one now");
        assert!(build.contains(value) || postinst.contains(value), "{value}");
    }
    assert_eq!(session_sandbox::setup::HELPER, "/usr/libexec/session-sandbox/session-door");
}
