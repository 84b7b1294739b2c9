//! The classic ways out of a root directory, and a user who turns the way to a mount point while it is mounted on. Each is
//! first done to a careless victim, who has to lose.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use rustix::mount::{MountFlags, UnmountFlags};

use crate::races::Attacker;
use crate::support::{HostMounts, Needs, Run, Verdict, World, ensure, ensure_eq, isolated, users};

const NEEDS: &[Needs] = &[Needs::Root, Needs::OrdinaryUser, Needs::Tool("python3")];

pub fn trials() -> Vec<Trial> {
    vec![
        isolated(
            "no classic way out of a root directory leads out of a session",
            NEEDS,
            HostMounts::Shared,
            ways_out,
        ),
        isolated(
            "a mount point whose folder is swapped for a link is mounted on where the map says, or not",
            NEEDS,
            HostMounts::Shared,
            swapped_target,
        ),
    ]
}

/// Tries each way by itself, in a process of its own, as it is and with the capabilities of new namespaces of the
/// caller's. `out` is said when it stands in the directory whose device and number are its arguments.
const WAYS_OUT: &str = r#"
import ctypes, os, stat, sys, tempfile
libc = ctypes.CDLL(None, use_errno=True)
host = (int(sys.argv[1]), int(sys.argv[2]))
USER, MOUNTS, PIDS = 0x10000000, 0x20000, 0x20000000

def check(result):
    if result == -1: raise OSError(ctypes.get_errno(), "refused")
def is_host(path):
    status = os.stat(path)
    return (status.st_dev, status.st_ino) == host
def climb():
    for _ in range(64):
        os.chdir("..")
        if is_host("."): return True
    return False
def double_chroot():
    below = tempfile.mkdtemp()
    os.chroot(below)
    return climb()
def saved_descriptor():
    root = os.open("/", os.O_RDONLY)
    os.chroot(tempfile.mkdtemp())
    os.fchdir(root)
    return climb()
def any_descriptor():
    for number in range(256):
        try:
            os.fchdir(number)
            if climb(): return True
        except OSError: pass
    return False
def processes():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in "root/", "cwd/":
            try:
                if is_host(f"/proc/{pid}/{name}"): return True
            except OSError: pass
    return False
def new_proc():
    place = tempfile.mkdtemp()
    check(libc.mount(b"proc", place.encode(), b"proc", 0, None))
    for pid in filter(str.isdigit, os.listdir(place)):
        try:
            if is_host(f"{place}/{pid}/root/"): return True
        except OSError: pass
    return False
def join_mounts():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            check(libc.setns(os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY), MOUNTS))
            if is_host("/") or climb(): return True
        except OSError: pass
    return False
def unmount_root():
    check(libc.umount2(b"/", 2))
    return climb()
def disk():
    place = os.path.join(tempfile.mkdtemp(), "disk")
    os.mknod(place, 0o600 | stat.S_IFBLK, host[0])
    os.close(os.open(place, os.O_RDONLY))
    return True
def by_handle():
    # The handle of a file system's root directory is easy to guess (shocker).
    class Handle(ctypes.Structure): _fields_ = [("size", ctypes.c_uint), ("kind", ctypes.c_int), ("bytes", ctypes.c_ubyte * 8)]
    handle = Handle(8, 1, (ctypes.c_ubyte * 8)(2, 0, 0, 0, 0, 0, 0, 0))
    for place in "/", "/usr", "/bin":
        number = libc.open_by_handle_at(os.open(place, os.O_RDONLY), ctypes.byref(handle), os.O_RDONLY)
        if number >= 0: return True
    raise OSError("refused")

ways = [double_chroot, saved_descriptor, any_descriptor, processes, new_proc, join_mounts, unmount_root, disk, by_handle]
tried = 0
for way in ways:
    for name, flags in (("", 0), (", user namespace", USER), (", and mounts", USER | MOUNTS), (", and processes", USER | MOUNTS | PIDS)):
        tried += 1
        pid = os.fork()
        if pid == 0:
            out = False
            try:
                if flags: check(libc.unshare(flags))
                if flags & PIDS and os.fork() != 0:
                    os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
                out = way()
            except OSError: pass
            os._exit(1 if out else 0)
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1:
            print("out", way.__name__ + name, flush=True)
print("tried", tried, flush=True)
"#;

fn ways_out() -> Verdict {
    let bob = users::bob()?;
    let world = World::new()?;
    let host = std::fs::metadata("/")?;
    let numbers = [host.dev().to_string(), host.ino().to_string()];
    // A careless victim: root in a root directory of the old kind, which has nothing but what programs need.
    let jail = world.directory("jail")?;
    for name in ["usr", "bin", "lib", "lib64", "proc", "tmp"] {
        let (from, to) = (Path::new("/").join(name), jail.join(name));
        if from.is_symlink() {
            symlink(std::fs::read_link(&from)?, &to)?;
            continue;
        }
        std::fs::create_dir(&to)?;
        if name != "tmp" && from.is_dir() {
            rustix::mount::mount_bind_recursive(&from, &to)?;
            rustix::mount::mount_remount(&to, MountFlags::BIND | MountFlags::RDONLY, "")?;
        }
    }
    let jailed = Run::new("chroot").arg(&jail).args(["python3", "-c", WAYS_OUT]).args(&numbers);
    let careless = jailed.finish()?.output()?;
    // The others need rights that root of a container has not got either.
    for way in ["double_chroot", "saved_descriptor", "processes", "join_mounts"] {
        let line = format!("out {way}\n");
        ensure!(careless.contains(&line), "inconclusive: {way} leads out of nothing: {careless}");
    }
    for settings in ["", "wall = \"landlock\"\n", "isolation = \"strict\"\nscope = \"user\"\n"] {
        world.map(settings, "")?;
        for mode in ["namespace", "chroot"] {
            for user in [bob.name.as_str(), "root"] {
                let words = ["--mode", mode, "--user", user, "--", "python3", "-c", WAYS_OUT];
                let said = world.enter(words)?.args(&numbers).finish()?.output()?;
                ensure_eq!(said.as_str(), "tried 36\n", "{user} by {mode} with {settings:?}");
            }
        }
    }
    Ok(())
}

/// A careless victim loses in no time, but on a busy host.
const CARELESS_LIMIT: Duration = Duration::from_secs(20);
/// How often a session is entered while its mount point is turned.
const ENTRIES: usize = 150;

fn swapped_target() -> Verdict {
    let bob = users::bob()?;
    let world = World::new()?;
    std::fs::set_permissions(world.path("."), PermissionsExt::from_mode(0o755))?;
    // Bob's folder has a directory and a link to it by turns; the link leads to a directory of root's, which is where it is
    // on the host and in the view.
    let play = world.directory("play")?;
    let precious = world.directory("precious")?;
    std::fs::create_dir(precious.join("inner"))?;
    std::fs::create_dir_all(play.join("own/inner"))?;
    symlink(&precious, play.join("link"))?;
    for place in [&play, &play.join("own"), &play.join("own/inner")] {
        chown(place, Some(bob.uid), Some(bob.uid))?;
    }
    let attacker = Attacker::start(&play, &bob)?;
    ensure!(
        careless_mounts(&play, &precious.join("inner"))? > 0,
        "inconclusive: a careless victim did not lose either"
    );

    let mounts = format!(
        "[[profile.mount]]\ntarget = {precious:?}\noptions = [\"ro\"]\n\
         [[profile.mount]]\ntarget = {play:?}\n\
         [[profile.mount]]\ntarget = {:?}\nkind = \"tmpfs\"\n",
        play.join("own/inner")
    );
    let forbidden = format!("{}/", precious.display());
    let (mut opened, mut refused) = (0, 0);
    for mode in ["namespace", "chroot"] {
        world.map("", &mounts)?;
        for _ in 0..ENTRIES {
            let words = ["--mode", mode, "--user", bob.name.as_str(), "--", "cat", "/proc/self/mountinfo"];
            let outcome = world.enter(words)?.finish()?;
            if outcome.code != Some(0) {
                refused += 1;
                continue;
            }
            opened += 1;
            let point = |line: &str| line.split(' ').nth(4).unwrap_or_default().to_owned();
            let points: Vec<String> = outcome.stdout.lines().map(point).collect();
            // Its path may be the link's by the time it is asked for; that of what it lies on is not.
            ensure!(
                !points.iter().any(|point| point.starts_with(&forbidden)),
                "mounted on root's directory: {points:?}"
            );
        }
    }
    drop(attacker);
    ensure!(opened > 0 && refused > 0, "inconclusive: {opened} entries, {refused} refused");
    Ok(())
}

/// Mounts by path, as programs do that look first and mount then, until that is `elsewhere` once.
fn careless_mounts(play: &Path, elsewhere: &Path) -> Result<usize, Failed> {
    let target = play.join("own/inner");
    let device = elsewhere.metadata()?.dev();
    let began = Instant::now();
    while began.elapsed() < CARELESS_LIMIT {
        let looked = std::fs::symlink_metadata(play.join("own"));
        // So much a program does between a look and what follows from it.
        std::thread::sleep(Duration::from_micros(50));
        if !looked.is_ok_and(|status| status.is_dir())
            || rustix::mount::mount("careless", &target, "tmpfs", MountFlags::empty(), None).is_err()
        {
            continue;
        }
        if elsewhere.metadata()?.dev() != device {
            rustix::mount::unmount(elsewhere, UnmountFlags::DETACH)?;
            return Ok(1);
        }
        // Its folder has one name or the other.
        let names = [&target, &play.join("link/inner")];
        while names.iter().all(|name| rustix::mount::unmount(*name, UnmountFlags::DETACH).is_err()) {}
    }
    Ok(0)
}
