//! Maps that are not there, not believed or wrong, and what was typed.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use super::{AS_BOB, Fault, Row, Stage, entry, opened, text};

pub(super) const ROWS: [Row; 22] = [
    ("a map that is missing", AS_BOB, |stage| {
        let map = stage.world.path("nothing.toml");
        Ok(with(stage, &map)?.doing("map ").cause("is missing").help("--config"))
    }),
    ("a map below a folder that is missing", AS_BOB, |stage| {
        let map = stage.world.path("nothing/map.toml");
        Ok(with(stage, &map)?.doing("map ").cause("is missing").help("--config"))
    }),
    ("a map of another user", AS_BOB, |stage| {
        stage.map("")?;
        let map = stage.world.path("map.toml");
        chown(&map, Some(stage.bob.uid), None)?;
        let cause = format!("{} belongs to uid {}", map.display(), stage.bob.uid);
        Ok(with(stage, &map)?
            .doing("is not trusted")
            .cause(cause)
            .help(format!("chown root {}", map.display())))
    }),
    ("a map that others can write", AS_BOB, |stage| {
        stage.map("")?;
        let map = opened(stage.world.path("map.toml"), 0o666)?;
        let fault = with(stage, &map)?.doing("is not trusted").cause("with mode 0666");
        Ok(fault.help(format!("chmod go-w {}", map.display())))
    }),
    ("a map in a folder that others can write", AS_BOB, |stage| {
        let folder = opened(stage.world.directory("folder")?, 0o777)?;
        let map = stage.world.file("folder/map.toml", "")?;
        let fault = with(stage, &map)?.doing("is not trusted");
        let fault = fault.cause(format!("{} belongs to uid 0 with mode 0777", folder.display()));
        Ok(fault.help(format!("chmod go-w {},", folder.display())))
    }),
    ("a map that an ordinary user may not read", AS_BOB, |stage| {
        let map = Path::new("/root/map.toml");
        let run = stage.bobs_run()?.args(["--config", "/root/map.toml", "--", "id"]);
        let fault = Fault::of(run).rule("/root/map.toml").path(map).doing("cannot open /root/map.toml");
        Ok(fault.cause("Permission denied").help("check the path and its permissions").not("not trusted"))
    }),
    ("a map that is no text", AS_BOB, |stage| {
        let map = stage.world.file("map.toml", b"version = 1\n# \xff\n")?;
        Ok(with(stage, &map)?.doing("is not UTF-8").cause("line 2").help("save it as UTF-8"))
    }),
    ("a map that is too long", AS_BOB, |stage| {
        let map = stage.world.file("map.toml", "#".repeat(300_000))?;
        Ok(with(stage, &map)?.doing("are read").cause("300000 bytes").help("split it into drop-ins"))
    }),
    ("a map that is a folder", AS_BOB, |stage| {
        let map = stage.world.directory("map")?;
        Ok(with(stage, &map)?.doing("is not").cause("a regular file").help("name a file"))
    }),
    ("a map that is empty", AS_BOB, |stage| {
        let map = stage.world.file("map.toml", "")?;
        let fault = with(stage, &map)?.doing("the map has errors, nothing was done");
        Ok(fault.cause("`version = 1` is missing").help("top of the file"))
    }),
    ("a map that is no TOML", AS_BOB, |stage| {
        let map = stage.world.file("map.toml", "version = 1\n[[profile]\n")?;
        let fault = with(stage, &map)?.rule(format!("{}:2:", map.display())).doing("the map has errors");
        Ok(fault.thing("[[profile]").cause("unclosed").help("correct the lines"))
    }),
    ("a key that nobody knows", AS_BOB, |stage| {
        stage.map_with("moed = \"chroot\"", "")?;
        let map = stage.world.path("map.toml");
        let fault = with(stage, &map)?.rule(format!("{}:5:1", map.display())).doing("the map has errors");
        Ok(fault.thing("moed").cause("unknown key").help("mode"))
    }),
    ("two profiles of one name", AS_BOB, |stage| {
        stage.map("[[profile]]\nname = \"test\"\n")?;
        let map = stage.world.path("map.toml");
        let fault = with(stage, &map)?.rule(format!("{}:22:8", map.display())).doing("the map has errors");
        let first = format!("the first is at {}", stage.rule("[[profile]]"));
        Ok(fault.thing("name = \"test\"").cause("a second profile `test`").help(first))
    }),
    ("an option that nobody knows", AS_BOB, |stage| {
        stage.map(&entry("/x", "tmpfs", "options = [\"nosiud\"]"))?;
        let fault = with(stage, &stage.world.path("map.toml"))?.doing("the map has errors");
        Ok(fault.thing("nosiud").cause("unknown option").help("nosuid"))
    }),
    ("a drop-in that others can write", AS_BOB, |stage| {
        stage.own_etc()?;
        std::fs::create_dir_all("/etc/session-sandbox/mounts.d")?;
        let file = Path::new("/etc/session-sandbox/mounts.d/10-more.toml");
        std::fs::write(file, "version = 1\n")?;
        std::fs::set_permissions(file, PermissionsExt::from_mode(0o666))?;
        let run = stage.world.session_enter(["--user", &stage.bob.name, "--", "id"])?;
        let fault =
            Fault::of(run).rule(text(file)).path(file).doing("is not trusted").cause("with mode 0666");
        Ok(fault
            .help("chmod go-w /etc/session-sandbox/mounts.d/10-more.toml")
            .not("/etc/session-sandbox/mounts.toml"))
    }),
    ("a relative map and a current directory that is gone", AS_BOB, |stage| {
        let gone = stage.world.directory("gone")?;
        let script = format!(
            "rmdir {}; exec \"$0\" --config map.toml --user {} -- id",
            gone.display(),
            stage.bob.name
        );
        let run =
            crate::support::Run::new("sh").arg("-c").arg(script).arg(stage.world.program()?).directory(&gone);
        let fault = Fault::of(run).rule("map.toml").thing("the current directory").doing("is relative");
        Ok(fault.cause("cannot be told: No such file").help("give an absolute path to --config"))
    }),
    ("a profile that is not there", AS_BOB, |stage| {
        stage.map("")?;
        let fault = stage.enter_with(["--profile", "none"])?.rule("profile").thing("\"none\"");
        Ok(fault.doing("there is no plan").cause("there are test").help("--profile"))
    }),
    ("no profile that matches", AS_BOB, |stage| {
        stage.map_with("match = { user = \"somebody-else\" }", "")?;
        let fault = stage.enter(["id"])?.rule(stage.rule("somebody-else")).thing("\"test\"");
        let fault = fault.doing(format!("no profile matches {}", stage.bob.name));
        Ok(fault.cause("wants another user").help("add a profile that matches"))
    }),
    ("a group that this host does not know", AS_BOB, |stage| {
        stage.map_with("match = { group = [\"users\", \"sstest-none\"], service = \"x\" }", "")?;
        let known = stage.rule("sstest-none");
        stage.map_with("match = { group = \"sstest-none\" }", "")?;
        let fault = stage.enter(["id"])?.rule(known).thing("sstest-none").doing("no profile matches");
        Ok(fault.cause("this host knows no group \"sstest-none\"").help("add a profile that matches"))
    }),
    ("a variable without a value", AS_BOB, |stage| {
        stage.map(&entry("/x/%t", "dir", ""))?;
        let fault =
            stage.enter(["id"])?.rule(stage.rule("%t")).thing("target \"/x/%t\"").doing("there is no plan");
        Ok(fault.cause("%t").help("give the session that value").not("/x/%t is"))
    }),
    ("a user who does not exist", AS_BOB, |stage| {
        stage.map("")?;
        let run = stage.world.enter(["--user", "sstest-nobody", "--", "id"])?;
        let fault = Fault::of(run).rule("user").thing("sstest-nobody").doing("this host knows");
        Ok(fault.cause("no user").help("getent passwd sstest-nobody"))
    }),
    ("a root that is somebody else's", AS_BOB, |stage| {
        let run = stage.bobs_run()?.args(["--user", "root", "--", "id"]);
        let fault = Fault::of(run).rule("root's root").thing(format!("uid {}", stage.bob.uid));
        Ok(fault.doing("there is no plan").cause("only root can enter").help("without --user"))
    }),
];

fn with(stage: &Stage, map: &Path) -> Result<Fault, libtest_mimic::Failed> {
    let run = stage.world.session_enter(["--config".as_ref(), map.as_os_str()])?;
    let fault = Fault::of(run.args(["--user", &stage.bob.name, "--", "id"]));
    Ok(fault.rule(text(map)).path(map))
}
