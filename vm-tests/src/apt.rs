//! Debian's archive, through the host's mirror and without a change to the host's apt.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::command::{run, run_ok};
use crate::{Context, Result};

/// What the archive's indices are signed with. Part of the package debian-archive-keyring.
pub(crate) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

const INDEX_LIMIT: Duration = Duration::from_secs(120);
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(600);

/// The address that the host's own apt takes Debian's main archive from, or `SESSION_VM_MIRROR`.
pub(crate) fn mirror() -> Result<String> {
    if let Some(mirror) = std::env::var_os("SESSION_VM_MIRROR").filter(|value| !value.is_empty()) {
        return mirror.into_string().map_err(|_| "SESSION_VM_MIRROR is not text".to_owned());
    }
    let mut command = Command::new("apt-get");
    command.args(["indextargets", "--format", "$(ORIGIN) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"]);
    let listed = run_ok(&mut command, INDEX_LIMIT)?;
    main_archive(&listed).ok_or_else(|| "the host's apt has no mirror of Debian's main archive".to_owned())
}

/// Picks from lines of origin, component and address. The origin is unknown until apt has fetched an index.
fn main_archive(listed: &str) -> Option<String> {
    let mut candidates = listed.lines().filter_map(|line| {
        let address = line.rsplit(' ').next()?;
        (line.contains(" main ") && !address.contains("security")).then(|| address.to_owned())
    });
    candidates.next()
}

/// The line of a sources.list for one suite.
pub(crate) fn source_line(mirror: &str, suite: &str) -> String {
    format!("deb [signed-by={KEYRING}] {mirror} {suite} main")
}

/// An apt that has its whole state in one folder and knows one suite.
#[derive(Debug)]
pub(crate) struct Apt {
    folder: PathBuf,
}

impl Apt {
    /// Fetches the suite's index into `folder`, which has to be empty.
    pub(crate) fn new(folder: &Path, mirror: &str, suite: &str) -> Result<Self> {
        let apt = Self { folder: folder.to_owned() };
        for name in ["state/lists/partial", "cache/archives/partial"] {
            let path = folder.join(name);
            std::fs::create_dir_all(&path).context(|| format!("mkdir {}", path.display()))?;
        }
        let at = folder.display();
        // Read before the host's apt.conf.d, which stays in force: that is where a proxy is set.
        let configuration = format!(
            "Dir::State \"{at}/state\";\nDir::State::status \"{at}/status\";\nDir::Cache \"{at}/cache\";\n\
             Dir::Etc::sourcelist \"{at}/sources.list\";\nDir::Etc::sourceparts \"-\";\n\
             APT::Architecture \"amd64\";\nAPT::Architectures {{ \"amd64\"; }};\n\
             APT::Sandbox::User \"root\";\nAcquire::Retries \"3\";\n"
        );
        apt.write("status", "")?;
        apt.write("sources.list", &(source_line(mirror, suite) + "\n"))?;
        apt.write("apt.conf", &configuration)?;
        // Without the option a mirror that does not answer is a warning, and the status is 0.
        let update = ["-q", "-o", "APT::Update::Error-Mode=any", "update"];
        run_ok(apt.command("apt-get").args(update), INDEX_LIMIT)?;
        Ok(apt)
    }

    /// The package and all that it depends on, as far as the suite has it.
    pub(crate) fn with_dependencies(&self, package: &str) -> Result<Vec<String>> {
        let mut command = self.command("apt-cache");
        command.args(["depends", "--recurse", "--no-recommends", "--no-suggests", "--no-conflicts"]);
        command.args(["--no-breaks", "--no-replaces", "--no-enhances", package]);
        let listed = run(&mut command, INDEX_LIMIT)?.success()?;
        // Packages stand at the start of a line, and what they depend on below, indented.
        let packages = listed.lines().filter(|line| !line.starts_with([' ', '<', '|'])).map(str::to_owned);
        Ok(packages.collect())
    }

    /// Downloads packages into a folder.
    pub(crate) fn download(&self, packages: &[String], to: &Path) -> Result<()> {
        run_ok(
            self.command("apt-get").args(["-q", "download"]).args(packages).current_dir(to),
            DOWNLOAD_LIMIT,
        )?;
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", self.folder.join("apt.conf")).env("LC_ALL", "C.UTF-8");
        command
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        std::fs::write(&path, text).context(|| format!("cannot write {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::main_archive;

    #[test]
    fn the_main_archive_is_told_from_the_security_archive() {
        let listed = "Debian main http://mirror.test/debian-security/\nDebian contrib http://mirror.test/debian/\n\
                      Debian main http://mirror.test/debian/\n";
        assert_eq!(main_archive(listed).as_deref(), Some("http://mirror.test/debian/"));
        assert_eq!(main_archive(""), None);
    }
}
