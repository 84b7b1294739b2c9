//! A call of the kernel that fails: which entry it was for, and what can be done. A tracer lets it fail.

use libtest_mimic::Failed;

use super::{Fault, Row, Stage, TRACED, bind, entry, text};
use crate::support::world::SESSION_ENTER;
use crate::support::{Run, Verdict};

pub(super) const ROWS: [Row; 21] = [
    ("the kernel cannot copy a source", TRACED, |stage| {
        let fault = bound(stage, "open_tree:error=EIO")?.doing("take the source").cause("open_tree");
        Ok(fault.cause("Input/output error").help("dmesg"))
    }),
    ("a source that a security module withholds", TRACED, |stage| {
        let fault =
            bound(stage, "open_tree:error=EACCES")?.doing("take the source").cause("Permission denied");
        Ok(fault.help("SELinux, AppArmor").help("audit log"))
    }),
    ("a source that cannot be bound", TRACED, |stage| {
        let fault =
            bound(stage, "open_tree:error=EINVAL")?.doing("take the source").cause("Invalid argument");
        Ok(fault.help("unbindable").help("recursive = false"))
    }),
    ("a source that was taken away", TRACED, |stage| {
        let fault = bound(stage, "open_tree:error=ENOENT")?.doing("take the source").cause("No such file");
        Ok(fault.help("was there a moment ago").not("mount point"))
    }),
    ("a source on which nothing was mounted in time", TRACED, |stage| {
        let fault = bound(stage, "open_tree:error=ELOOP")?.doing("take the source").cause("symbolic links");
        Ok(fault.help("automount point"))
    }),
    ("the options of a source that are refused", TRACED, |stage| {
        let fault =
            bound(stage, "mount_setattr:error=EPERM")?.doing("take the source").cause("mount_setattr");
        Ok(fault.cause("Operation not permitted").help("CAP_SYS_ADMIN").help("seccomp"))
    }),
    ("a target that is busy", TRACED, |stage| {
        let fault = bound(stage, "move_mount:error=EBUSY:when=2+")?.doing("bind ").cause("move_mount");
        Ok(fault.cause("resource busy").help("mounted at /data: try again"))
    }),
    ("more mounts than the host allows", TRACED, |stage| {
        let fault = bound(stage, "move_mount:error=ENOSPC:when=2+")?.doing("bind ").cause("No space left");
        Ok(fault.help("fs.mount-max"))
    }),
    ("a directory that cannot be made", TRACED, |stage| {
        let fault = alone(stage, &entry("/1/2/3/4/5/6", "dir", ""), "mkdirat:error=EPERM:when=6+")?;
        let fault = fault.rule(stage.rule("/1/2/3")).thing("/1/2/3/4/5/6 ").doing("make the directory");
        Ok(fault.cause("Operation not permitted").help("security module"))
    }),
    ("a file system that this kernel is built without", TRACED, |stage| {
        let fault = alone(stage, &entry("/queues", "mqueue", ""), "fsopen:error=ENODEV:when=2+")?;
        let fault = fault.rule(stage.rule("/queues")).thing("mqueue at /queues").doing("mount ");
        Ok(fault.cause("No such device").help("no file system mqueue"))
    }),
    ("a file system of which the kernel makes no mount", TRACED, |stage| {
        let fault = alone(stage, &entry("/scratch", "tmpfs", ""), "fsmount:error=ENOMEM:when=2+")?;
        let fault = fault.rule(stage.rule("/scratch")).thing("tmpfs at /scratch").doing("mount ");
        Ok(fault.cause("fsmount").cause("Cannot allocate memory").help("memory is short"))
    }),
    ("a shared view that cannot be built", TRACED, |stage| {
        stage.map_with("scope = \"user\"", &entry("/scratch", "tmpfs", ""))?;
        let fault = traced(stage, "inject=fsopen:error=ENOMEM:when=1")?.rule(stage.rule("[[profile]]"));
        let fault = fault.thing("tmpfs at / ").doing("mount ").cause("Cannot allocate memory");
        Ok(fault.help("memory is short").not("/scratch"))
    }),
    ("a tree on the host that cannot be built", TRACED, |stage| {
        let source = stage.world.directory("source")?;
        map_of(stage, &bind("/data", &source, ""))?;
        stage.world.session_enter(["--user", &stage.bob.name, "--release"])?.finish()?.expect_code(125)?;
        let run = tracer(&["-e", "inject=open_tree:error=EIO"]).arg(SESSION_ENTER).arg("--config");
        let run = run.arg(stage.world.path("map.toml")).args(["--user", &stage.bob.name, "--prepare"]);
        let fault = Fault::of(run).rule(stage.rule("/data")).path(&source).doing("take the source");
        Ok(fault.cause("Input/output error").help("dmesg"))
    }),
    ("the way into the base namespace", TRACED, |stage| {
        let fault = bare(stage, "setns:error=EPERM")?.rule("mount namespace").thing("setns");
        Ok(fault.doing("leave the host's mount namespace").cause("not permitted").help("CAP_SYS_ADMIN"))
    }),
    ("a mount namespace too many", TRACED, |stage| {
        let fault = bare(stage, "unshare:error=ENOSPC")?.rule("mount namespace").thing("unshare");
        Ok(fault.doing("leave the host's mount namespace").cause("No space").help("user.max_mnt_namespaces"))
    }),
    ("a root that may not be switched", TRACED, |stage| {
        let fault = bare(stage, "chroot:error=EPERM")?.rule("root directory").thing("chroot(\".\")");
        Ok(fault.doing("switch the root directory").cause("not permitted").help("seccomp"))
    }),
    ("a user id that cannot be taken", TRACED, |stage| {
        let fault = bare(stage, "setresuid:error=EAGAIN")?.rule(format!("uid {}", stage.bob.uid));
        let fault = fault.thing("setresuid").doing("become uid").cause("temporarily unavailable");
        Ok(fault.help("ulimit -u"))
    }),
    ("groups that cannot be taken", TRACED, |stage| {
        let fault = bare(stage, "setgroups:error=EPERM")?.rule(format!("uid {}", stage.bob.uid));
        let fault = fault.thing("setgroups").doing("become uid").cause("not permitted");
        Ok(fault.help("lacks a right"))
    }),
    ("a process too many", TRACED, |stage| {
        let fault = bare(stage, "clone:error=EAGAIN")?.rule("session").thing("clone");
        Ok(fault.doing("cannot start the session").cause("temporarily unavailable").help("TasksMax="))
    }),
    ("a path that the kernel cannot look at", TRACED, |stage| {
        let source = stage.world.directory("source")?;
        stage.map(&bind("/data", &source, ""))?;
        // As it is looked up: from the root on.
        let filter = text(&source).trim_start_matches('/').to_owned();
        let fault = traced_with(
            stage,
            &["--quiet=path-resolution", "-P", &filter, "-e", "inject=openat2:error=EIO"],
        )?;
        let fault = fault.rule(stage.rule("/data")).path(&source).doing("cannot look at");
        Ok(fault.cause("Input/output error").help("dmesg"))
    }),
    ("a program that a security module refuses", TRACED, |stage| {
        stage.map("")?;
        let fault =
            traced(stage, "inject=execve:error=EACCES")?.code(126).rule(stage.rule("kind = \"system\""));
        let fault = fault.thing("/bin/true\"").doing("execve").cause("cannot be executed by this user");
        Ok(fault.help("SELinux, AppArmor"))
    }),
];

/// Enters as bob under the tracer, which lets go of the program.
pub(super) fn traced(stage: &Stage, inject: &str) -> Result<Fault, Failed> {
    traced_with(stage, &["-e", inject])
}

fn traced_with(stage: &Stage, options: &[&str]) -> Result<Fault, Failed> {
    let run = tracer(options).arg(SESSION_ENTER).arg("--config").arg(stage.world.path("map.toml"));
    Ok(Fault::of(run.args(["--user", &stage.bob.name, "--", "/bin/true"])))
}

fn tracer(options: &[&str]) -> Run {
    Run::new("strace").args(["-f", "--detach-on=execve", "-o", "/dev/null"]).args(options)
}

/// The same with what programs need.
fn bare(stage: &Stage, inject: &str) -> Result<Fault, Failed> {
    stage.map("")?;
    traced(stage, &format!("inject={inject}"))
}

/// The same with one entry alone, so that it is known which one a call is for.
fn alone(stage: &Stage, entry: &str, inject: &str) -> Result<Fault, Failed> {
    map_of(stage, entry)?;
    traced(stage, &format!("inject={inject}"))
}

/// A map of one entry, without what programs need.
pub(super) fn map_of(stage: &Stage, entry: &str) -> Verdict {
    let profile = "version = 1\n[[profile]]\nname = \"test\"\nscope = \"session\"\n";
    stage.world.file("map.toml", format!("{profile}{entry}")).map(drop)
}

fn bound(stage: &Stage, inject: &str) -> Result<Fault, Failed> {
    let source = stage.world.directory("source")?;
    let fault = alone(stage, &bind("/data", &source, ""), inject)?;
    Ok(fault.rule(stage.rule("/data")).path(&source).thing("/data ("))
}
