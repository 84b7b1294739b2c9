//! The package that is tested, as an administrator would install it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::command::run_ok;
use crate::{Context, Guest, Payload, Result};

/// Where the package lies in a guest.
const PACKAGE: &str = "/root/session-sandbox.deb";
/// A whole build of the release programs on a slow machine.
const BUILD_LIMIT: Duration = Duration::from_secs(1200);
const INSTALL_LIMIT: Duration = Duration::from_secs(180);

/// Builds the package from the sources that this test was built from, once.
pub fn package() -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf>> = OnceLock::new();
    BUILT.get_or_init(build).clone()
}

fn build() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = root.join("target/vm-tests");
    std::fs::create_dir_all(&folder).context(|| format!("cannot make {}", folder.display()))?;
    let script = root.join("packaging/build-deb");
    let mut command = Command::new(&script);
    command.current_dir(&root).args(["--compress", "none", "--output", "target/vm-tests"]);
    // The package as it is but for how hard the compiler tries, which no login notices and which takes as long as a suite.
    for (setting, value) in [("OPT_LEVEL", "1"), ("LTO", "off"), ("CODEGEN_UNITS", "16")] {
        command.env(format!("CARGO_PROFILE_RELEASE_{setting}"), value);
    }
    run_ok(&mut command, BUILD_LIMIT)?;
    // Packages of other versions may lie beside it.
    let entries = std::fs::read_dir(&folder).context(|| format!("cannot read {}", folder.display()))?;
    let packages = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let packages = packages.filter(|path| path.extension().is_some_and(|extension| extension == "deb"));
    packages
        .max_by_key(|path| path.metadata().and_then(|status| status.modified()).ok())
        .ok_or_else(|| format!("{} has made no package in {}", script.display(), folder.display()))
}

/// The module with the option that lets it fail on purpose.
pub fn faulty_module() -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf>> = OnceLock::new();
    BUILT.get_or_init(build_faulty_module).clone()
}

fn build_faulty_module() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(&root).args(["build", "--quiet", "--locked", "--package", "pam-session-sandbox"]);
    command.args(["--features", "faults", "--target-dir", "target/vm-tests"]);
    run_ok(&mut command, BUILD_LIMIT)?;
    Ok(root.join("target/vm-tests/debug/libpam_session_sandbox.so"))
}

/// A guest's files: the package, ready to be installed.
pub fn payload() -> Result<Payload> {
    Ok(Payload::new().host_file(PACKAGE, 0o644, package()?))
}

/// Installs the package with apt, and turns the module on for all services.
pub fn install(guest: &Guest) -> Result<()> {
    install_package(guest)?;
    let setup = "sessionctl setup --method pam >/root/setup.log 2>&1 || { cat /root/setup.log >&2; exit 1; }";
    guest.root(setup)?.success().context(|| "turning the module on".to_owned())?;
    Ok(())
}

/// Installs the package with apt: no login changes.
pub fn install_package(guest: &Guest) -> Result<()> {
    let script = format!(
        "export DEBIAN_FRONTEND=noninteractive
        apt-get install -y -qq {PACKAGE} >/root/apt.log 2>&1 || {{ cat /root/apt.log >&2; exit 1; }}"
    );
    guest.root_within(&script, INSTALL_LIMIT)?.success().context(|| "installing the package".to_owned())?;
    Ok(())
}
