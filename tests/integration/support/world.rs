//! A throw-away folder with maps in it, and `session-enter` run on them.

use std::ffi::OsStr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use libtest_mimic::Failed;
use rustix::mount::UnmountFlags;

use super::{Probe, Run, User, own_program};

/// The program that is tested.
pub const SESSION_ENTER: &str = env!("CARGO_BIN_EXE_session-enter");

/// What programs need at least: the system's directories, `/proc`, `/dev`.
pub const PROGRAMS: &str = r#"
[[profile.mount]]
kind = "system"
paths = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"]
[[profile.mount]]
target = "/proc"
kind = "proc"
[[profile.mount]]
target = "/dev"
kind = "dev"
[[profile.mount]]
target = "/tmp"
kind = "tmpfs"
mode = "1777"
"#;

/// A folder for one test. Gone, with all that is in it, when the test ends.
#[derive(Debug)]
pub struct World {
    folder: PathBuf,
    owner: Option<User>,
}

impl World {
    /// Of root, who alone could have written the maps in it.
    pub fn new() -> Result<Self, Failed> {
        Self::at(Path::new("/run"), None)
    }

    /// In the home of an ordinary user, whose own it is, for what that user does without root.
    pub fn of(user: &User) -> Result<Self, Failed> {
        Self::at(&user.home.clone(), Some(user.clone()))
    }

    fn at(parent: &Path, owner: Option<User>) -> Result<Self, Failed> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Isolated tests have the same process id, each in its own world, and see the same homes.
        let folder = loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let folder = parent.join(format!("session-sandbox-tests-{}-{number}", std::process::id()));
            match std::fs::DirBuilder::new().mode(0o700).create(&folder) {
                Ok(()) => break folder,
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(format!("{folder:?}: {error}").into()),
            }
        };
        let world = Self { folder, owner };
        world.give(&world.folder)?;
        Ok(world)
    }

    fn give(&self, path: &Path) -> Result<(), Failed> {
        match &self.owner {
            Some(user) if super::is_root() => Ok(chown(path, Some(user.uid), Some(user.gid))?),
            _ => Ok(()),
        }
    }

    /// The path of `name` in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a file, 0644.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf, Failed> {
        let path = self.path(name);
        std::fs::write(&path, content)?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644))?;
        self.give(&path)?;
        Ok(path)
    }

    /// Makes a directory, 0755.
    pub fn directory(&self, name: &str) -> Result<PathBuf, Failed> {
        let path = self.path(name);
        std::fs::DirBuilder::new().mode(0o755).create(&path)?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755))?;
        self.give(&path)?;
        Ok(path)
    }

    /// Writes a map of one profile, which everybody matches: `settings`, what programs need, and `mounts`.
    pub fn map(&self, settings: &str, mounts: &str) -> Result<PathBuf, Failed> {
        self.file("map.toml", {
            // Most tests are about one session; those about several say so.
            let scope = if settings.contains("scope =") { "" } else { "scope = \"session\"" };
            format!("version = 1\n[[profile]]\nname = \"test\"\n{scope}\n{settings}\n{PROGRAMS}\n{mounts}\n")
        })
    }

    /// Like [`World::map`], with the probe at `/probe`.
    pub fn probe_map(&self, settings: &str, mounts: &str) -> Result<PathBuf, Failed> {
        let program = self.reachable(&own_program(), "integration")?;
        let bind = format!(
            "[[profile.mount]]\ntarget = \"/probe\"\nsource = {program:?}\noptions = [\"ro\"]\n{mounts}"
        );
        self.map(settings, &bind)
    }

    /// Where `session-enter` is for the folder's owner.
    pub fn program(&self) -> Result<PathBuf, Failed> {
        self.reachable(Path::new(SESSION_ENTER), "session-enter")
    }

    /// `session-enter` with these arguments, as the folder's owner.
    pub fn session_enter<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Run, Failed> {
        let run = Run::new(self.program()?).args(arguments);
        Ok(match &self.owner {
            Some(user) => run.user(user),
            None => run,
        })
    }

    /// `session-enter` on the map that was written last, with these further arguments.
    pub fn enter<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<Run, Failed> {
        Ok(self.session_enter(["--config".as_ref(), self.path("map.toml").as_os_str()])?.args(arguments))
    }

    /// Runs the probe in a session on the map that was written last, by [`World::probe_map`].
    pub fn probe<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<Probe, Failed> {
        Probe::from(self.enter(arguments)?.args(["--", "/probe"]).finish()?)
    }

    /// `sessionctl`, started by this user, who need not be able to reach the place where it was built.
    pub fn control_as(&self, user: &User) -> Result<Run, Failed> {
        let copy = self.path("sessionctl");
        std::fs::copy(env!("CARGO_BIN_EXE_sessionctl"), &copy)?;
        for path in [&self.folder, &copy] {
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o755))?;
        }
        Ok(Run::new(copy).user(user))
    }

    /// `program` itself, or a copy where the folder's owner could not reach it.
    fn reachable(&self, program: &Path, name: &str) -> Result<PathBuf, Failed> {
        let program = program.canonicalize()?;
        let open_to_all = |path: &Path| path.metadata().is_ok_and(|status| status.mode() & 0o005 == 0o005);
        let for_root_alone = self.owner.is_none() && super::is_root();
        if for_root_alone || program.ancestors().all(open_to_all) {
            return Ok(program);
        }
        let copy = self.path(name);
        if !copy.exists() {
            std::fs::copy(&program, &copy)?;
            std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o755))?;
            self.give(&copy)?;
        }
        Ok(copy)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Removing goes into whatever is mounted below, the host's own folders perhaps.
        if let Err(error) = unmount_below(&self.folder).and_then(|()| std::fs::remove_dir_all(&self.folder)) {
            eprintln!("{:?} is left behind: {error}", self.folder);
        }
    }
}

/// Takes away all that is mounted below a folder; an error when something stays.
fn unmount_below(folder: &Path) -> std::io::Result<()> {
    let points = || -> std::io::Result<Vec<PathBuf>> {
        let table = std::fs::read_to_string("/proc/self/mountinfo")?;
        let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
        Ok(points.filter(|point| point.starts_with(folder)).collect())
    };
    for point in points()?.iter().rev() {
        rustix::mount::unmount(point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)?;
    }
    let left = points()?;
    if left.is_empty() { Ok(()) } else { Err(std::io::Error::other(format!("still mounted: {left:?}"))) }
}
