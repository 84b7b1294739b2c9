//! What this process, the user or the kernel's settings lack.

use std::path::Path;

use libtest_mimic::Failed;

use super::{AS_BOB, Fault, Row, Stage, TRACED, Work, bind, entry};
use crate::support::{Needs, Run, World};

const SETPRIV: &[Needs] = &[Needs::Root, Needs::OrdinaryUser, Needs::Tool("setpriv")];

pub(super) const ROWS: [Row; 11] = [
    ("root without the right to mount", SETPRIV, |stage| {
        let fault = without_sys_admin(stage, &["--", "id"])?.thing("CAP_SYS_ADMIN");
        let fault = fault.rule(format!("{}'s root", stage.bob.name)).doing("there is no plan");
        Ok(fault
            .cause("this process is root without it")
            .help("give it the capability")
            .not("only root can enter"))
    }),
    ("root without the right to mount, for a tree on the host", SETPRIV, |stage| {
        let fault = without_sys_admin(stage, &["--prepare"])?.thing("CAP_SYS_ADMIN").rule("--prepare");
        let fault = fault.doing("there is no plan").cause("this process is root without it");
        Ok(fault.help("give it the capability").not("needs root"))
    }),
    ("a tree on the host for an ordinary user", AS_BOB, |stage| {
        let fault = Fault::of(stage.bobs_run()?.arg("--prepare")).rule("--prepare").thing("the host");
        Ok(fault.doing("there is no plan").cause("needs root").help("run it as root"))
    }),
    ("a standard descriptor that leads out of any root", AS_BOB, |stage| {
        stage.map("")?;
        let run = stage.world.enter(["--user", &stage.bob.name, "--", "id"])?;
        let fault = Fault::of(run.stdin(std::fs::File::open("/")?)).rule("descriptor 0").thing("a directory");
        let fault = fault.doing("through which").cause("any root can be left");
        Ok(fault.help("0</dev/null"))
    }),
    ("fewer descriptors than the plan needs", AS_BOB, |stage| {
        let source = stage.world.directory("source")?;
        let many: String = (0..60).map(|at| bind(&format!("/many/{at}"), &source, "")).collect();
        stage.map(&many)?;
        let script = "ulimit -n 64; exec \"$@\"";
        let run = Run::new("sh").args(["-c", script, "sh"]).arg(stage.world.program()?);
        let run = run.arg("--config").arg(stage.world.path("map.toml")).args([
            "--user",
            &stage.bob.name,
            "--",
            "id",
        ]);
        let fault = Fault::of(run).rule("this plan needs").thing("open descriptors").doing("needs");
        Ok(fault.cause("the limit of this process is 64 (at most 64)").help("ulimit -n").help("LimitNOFILE="))
    }),
    ("a wall that this kernel does not offer", TRACED, |stage| {
        stage.map_with("wall = \"landlock\"", "")?;
        let inject = "inject=landlock_create_ruleset:error=EOPNOTSUPP";
        let fault =
            super::calls::traced(stage, inject)?.rule(stage.rule("landlock")).thing("wall = \"landlock\"");
        Ok(fault
            .doing("there is no plan")
            .cause("does not offer it")
            .cause("6.12")
            .help("take the setting out"))
    }),
    ("a kernel without a call that is needed", TRACED, |stage| {
        stage.map("")?;
        let fault =
            super::calls::traced(stage, "inject=mount_setattr:error=ENOSYS")?.rule("needs Linux 5.12");
        let fault = fault.thing("mount_setattr").doing("there is no plan").cause("this kernel has no");
        Ok(fault.help("boot a newer kernel"))
    }),
    ("a host on which users make no user namespaces", SETPRIV, |stage| {
        let theirs = World::of(&stage.bob)?;
        let program = theirs.program()?;
        stage.theirs.push(theirs);
        let as_bob = format!(
            "exec setpriv --reuid {} --regid {} --clear-groups --ambient-caps=-all --inh-caps=-all \"$@\"",
            stage.bob.uid, stage.bob.gid
        );
        let fault = in_user_namespace("user.max_user_namespaces", &as_bob, &program, &["--", "id"])?;
        let fault = fault.rule("session").thing("clone").doing("cannot start the session");
        Ok(fault
            .cause("No space left")
            .help("sysctl user.max_user_namespaces is 0")
            .help("enter as root")
            .not("df"))
    }),
    ("a host on which no mount namespaces are made", SETPRIV, |stage| {
        let theirs = World::of(&stage.bob)?;
        let program = theirs.program()?;
        stage.theirs.push(theirs);
        // Root of a user namespace that has a mount namespace already, and may make no other.
        let exec = "mount -t tmpfs -o mode=755 none /run || exit 1; exec \"$@\"";
        let user = ["--user", "root", "--", "id"];
        let fault = in_user_namespace("user.max_mnt_namespaces", exec, &program, &user)?;
        let fault = fault.rule("a shared view needs").thing("/run/session-sandbox").doing("fsmount(tmpfs");
        Ok(fault.cause("No space left").help("user.max_mnt_namespaces"))
    }),
    ("a /proc that is covered", SETPRIV, |stage| {
        stage.map("")?;
        let fault = as_root_of_a_user_namespace(stage)?.rule(stage.rule("/proc")).thing("proc at /proc");
        let fault = fault.doing("mount ").cause("the kernel says: VFS: Mount too revealing");
        Ok(fault.cause("Operation not permitted").help("own /proc is covered").not("audit log"))
    }),
    ("a value that the kernel does not take, with what it says of it", SETPRIV, |stage| {
        super::calls::map_of(stage, &entry("/scratch", "tmpfs", "owner = \"user\""))?;
        // A user whose id does not exist in this user namespace.
        let fault = as_root_of_a_user_namespace(stage)?
            .rule(stage.rule("/scratch"))
            .thing("/scratch")
            .doing("mount tmpfs at");
        let fault = fault.cause("the kernel says: tmpfs: Invalid uid '").cause("Invalid argument");
        Ok(fault.help("does not take a value of the entry"))
    }),
];

/// Enters as root of a user namespace that knows no other id, where a part of `/proc` is covered.
fn as_root_of_a_user_namespace(stage: &Stage) -> Result<Fault, Failed> {
    let script = "mount -t tmpfs -o mode=700 none /run/session-sandbox && exec \"$@\"";
    // The second one is what mount(8) leaves.
    for folder in ["/run/cover", "/run/mount"] {
        std::fs::create_dir_all(folder)?;
    }
    rustix::mount::mount_bind("/run/cover", "/proc/fs")?;
    let run = Run::new("unshare").args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]);
    let run = run.arg(stage.world.program()?).arg("--config").arg(stage.world.path("map.toml"));
    Ok(Fault::of(run.args(["--user", &stage.bob.name, "--", "id"])))
}

fn without_sys_admin(stage: &Stage, words: &[&str]) -> Result<Fault, Failed> {
    stage.map("")?;
    let run = Run::new("setpriv").args(["--bounding-set=-sys_admin", "--inh-caps=-all"]);
    let run = run.arg(stage.world.program()?).arg("--config").arg(stage.world.path("map.toml"));
    Ok(Fault::of(run.args(["--user", &stage.bob.name]).args(words)))
}

/// Runs the program, by way of `exec`, in a user namespace that knows all ids of the host and allows 0 of something.
fn in_user_namespace(setting: &str, exec: &str, program: &Path, words: &[&str]) -> Result<Fault, Failed> {
    let script =
        format!("echo ready; read line; echo 0 > /proc/sys/{} || exit 1; {exec}", setting.replace('.', "/"));
    let mut running = Run::new("unshare")
        .args(["--user", "--mount", "--keep-caps", "sh", "-c", &script, "sh"])
        .arg(program)
        .args(words)
        .piped_input()
        .start()?;
    running.expect("ready\n")?;
    for file in ["uid_map", "gid_map"] {
        std::fs::write(format!("/proc/{}/{file}", running.pid().as_raw_nonzero()), "0 0 4294967295")?;
    }
    Ok(Fault { work: Work::Waiting(running), code: 125, parts: Vec::new(), innocent: Vec::new() })
}
