//! `sessionctl audit`: each way out is found where it is open, with what closes it, and is not where that has been done.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use libtest_mimic::{Failed, Trial};

use crate::support::{HostMounts, HostState, Needs, Run, Verdict, World, ensure, ensure_eq, isolated, users};

const AS_BOB: &[Needs] = &[Needs::Root, Needs::OrdinaryUser, Needs::Tool("mknod"), Needs::Tool("python3")];
const SESSIONCTL: &str = env!("CARGO_BIN_EXE_sessionctl");

pub fn trials() -> Vec<Trial> {
    let own = |name: &str, test: fn() -> Verdict| isolated(name, AS_BOB, HostMounts::Shared, test);
    vec![
        own("audit finds each way out that is open, and none that is closed", finds),
        own("audit says why it cannot look, and tells in three forms", forms),
    ]
}

/// What was found, as `severity id line`.
fn found(world: &World, user: &str) -> Result<Vec<String>, Failed> {
    let map = world.path("map.toml");
    let outcome = Run::new(SESSIONCTL)
        .args(["audit", "--user", user, "--format", "json", "--config"])
        .arg(&map)
        .finish()?;
    let report: serde_json::Value = serde_json::from_str(&outcome.stdout)
        .map_err(|error| format!("{error}: {}{}", outcome.stdout, outcome.stderr))?;
    let list = report["findings"].as_array().ok_or("no findings")?;
    Ok(list
        .iter()
        .map(|one| {
            format!(
                "{} {} {}",
                one["severity"].as_str().unwrap_or_default(),
                one["id"].as_str().unwrap_or_default(),
                one["line"]
            )
        })
        .collect())
}

fn finds() -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    let before = HostState::now();
    // What a host may have: a service that does what root may, a device that anybody may open, a spool, another socket.
    let docker = UnixListener::bind("/run/docker.sock")?;
    std::fs::set_permissions("/run/docker.sock", std::fs::Permissions::from_mode(0o666))?;
    std::fs::set_permissions("/run", std::fs::Permissions::from_mode(0o755))?;
    let node = world.path("node");
    Run::new("mknod").args(["-m", "666"]).arg(&node).args(["b", "7", "0"]).finish()?.expect_code(0)?;
    let spool = world.directory("spool")?;
    std::fs::set_permissions(&spool, std::fs::Permissions::from_mode(0o777))?;
    let data = world.directory("data")?;
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o777))?;
    let mut outside = Run::new("python3")
        .args([
            "-c",
            "import socket; s = socket.socket(socket.AF_UNIX); s.bind('\\0audited'); s.listen(); print('here', flush=True); input()",
        ])
        .user(&bob)
        .piped_input()
        .start()?;
    outside.expect("here\n")?;

    let closed = format!("[[profile.mount]]\ntarget = \"/data\"\nsource = {data:?}\noptions = [\"ro\"]");
    world.map("tiocsti = \"refuse\"\nnet = \"loopback\"", &closed)?;
    let quiet = ["door", "user-namespaces", "outside", "tiocsti-by-pam"];
    let left: Vec<String> = found(&world, &bob.name)?
        .into_iter()
        .filter(|one| !quiet.iter().any(|id| one.contains(&format!(" {id} "))))
        .collect();
    ensure_eq!(left, Vec::<String>::new(), "with all of it closed");

    let open = format!(
        "[[profile.mount]]\ntarget = \"/data\"\nsource = {data:?}\n\
         [[profile.mount]]\ntarget = \"/run/docker.sock\"\n\
         [[profile.mount]]\ntarget = \"/dev/disk\"\nsource = {node:?}\noptions = [\"dev\"]\n\
         [[profile.mount]]\ntarget = \"/var/spool/at\"\nsource = {spool:?}\n\
         [[profile.mount]]\ntarget = \"/sbin2\"\nsource = \"/usr/bin\"\noptions = [\"suid\"]\n"
    );
    world.map("isolation = \"view\"\nset_env = { PATH = \"/usr/bin:/sbin2\" }", &open)?;
    let all = found(&world, &bob.name)?;
    let text = std::fs::read_to_string(world.path("map.toml"))?;
    let line = |of: &str| text.lines().position(|line| line.contains(of)).map_or(0, |at| at + 1);
    for (expected, at) in [
        ("error process-outside", 2),
        ("warning abstract-socket", 2),
        ("error root-socket", line("docker.sock")),
        ("error raw-device", line("/dev/disk")),
        ("error spool", line("/var/spool/at")),
        ("note writable", line("target = \"/data\"")),
        ("warning set-id", 2),
        ("warning outside", 2),
    ] {
        ensure!(all.contains(&format!("{expected} {at}")), "{expected} {at}\n in {all:#?}\n of {text}");
    }
    drop(docker);
    std::fs::remove_file("/run/docker.sock")?;
    crate::sharing::leave(outside)?;
    before.assert_returns()
}

fn forms() -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    world.map("", "")?;
    let map = world.path("map.toml").to_string_lossy().into_owned();
    let run = |more: &[&str]| {
        Run::new(SESSIONCTL).args(["audit", "--user", &bob.name, "--config", &map]).args(more).finish()
    };
    let sarif: serde_json::Value = serde_json::from_str(&run(&["--format", "sarif"])?.stdout)?;
    ensure_eq!(sarif["version"], "2.1.0", "SARIF");
    let text = run(&[])?.stdout;
    ensure!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    ensure!(text.contains(&format!("sessions of {}: ", bob.name)), "{text}");
    world.map("", "[[profile.mount]]\ntarget = \"/data\"\nsource = \"/nowhere\"")?;
    let refused = run(&[])?;
    ensure!(refused.code == Some(125) && refused.stderr.contains("/nowhere"), "{}", refused.stderr);
    let as_bob = world.control_as(&bob)?.args(["audit"]).finish()?;
    ensure!(as_bob.code == Some(125) && as_bob.stderr.contains("root"), "{}", as_bob.stderr);
    Ok(())
}
