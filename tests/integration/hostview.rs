//! What a session sees of the host's mounts, and the host of the session's: what the map names, and nothing.

use std::collections::BTreeSet;
use std::path::Path;

use libtest_mimic::{Failed, Trial};
use rustix::mount::{MountFlags, UnmountFlags};
use serde_json::Value;

use crate::enter::MODES;
use crate::support::{
    HostMounts, HostState, Needs, Run, Verdict, World, ensure, ensure_eq, isolated, trial, users,
};

const AS_BOB: &[Needs] = &[Needs::Root, Needs::OrdinaryUser];

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("a mask hides a file and a directory of a bound tree", AS_BOB, masks),
        trial("files, directories, links and memory are as the map says", AS_BOB, own_things),
        trial("a file of the map's own lies over one of a bound tree", AS_BOB, file_over_bind),
        trial("nothing of the map's own can be changed from inside", AS_BOB, sealed),
    ];
    for mode in MODES {
        for mounts in HostMounts::ALL {
            trials.extend([
                isolated(
                    format!("no mount of a {mounts:?} host is seen or changed ({mode})"),
                    AS_BOB,
                    mounts,
                    move || nothing_seen(mode),
                ),
                isolated(
                    format!("what is mounted inside appears on no {mounts:?} host ({mode})"),
                    &[Needs::Root],
                    mounts,
                    move || nothing_sent(mode),
                ),
            ]);
        }
        trials.extend([
            isolated(
                format!("without a base namespace no mount of a Shared host is seen or changed ({mode})"),
                AS_BOB,
                HostMounts::Shared,
                move || no_base().and_then(|()| nothing_seen(mode)),
            ),
            isolated(
                format!("without a base namespace what is mounted inside appears on no Shared host ({mode})"),
                &[Needs::Root],
                HostMounts::Shared,
                move || no_base().and_then(|()| nothing_sent(mode)),
            ),
            isolated(
                format!("a slave bind shows what the host mounts later, a private one does not ({mode})"),
                AS_BOB,
                HostMounts::Shared,
                move || later_mounts(mode),
            ),
            isolated(
                format!("the host can unmount what a session does not show ({mode})"),
                AS_BOB,
                HostMounts::Shared,
                move || host_unmounts(mode),
            ),
            trial(format!("programs inside can make user namespaces ({mode})"), AS_BOB, move || {
                user_namespaces(mode)
            }),
        ]);
    }
    trials
}

/// Mounts memory on a new directory.
pub fn mount_memory(at: &Path) -> Verdict {
    std::fs::create_dir(at)?;
    Ok(rustix::mount::mount("tests", at, "tmpfs", MountFlags::empty(), c"mode=755")?)
}

/// As in a container that lets nobody mount there: a session's namespace is then copied from the host's.
fn no_base() -> Verdict {
    const STATE: &str = "/run/session-sandbox";
    let script = "umount -R \"$1\" 2>/dev/null; rmdir \"$1\" 2>/dev/null; echo no folder >\"$1\"";
    Run::new("sh").args(["-c", script, "sh", STATE]).finish()?.expect_code(0)?;
    ensure!(!session_sandbox::run::Ground::open().has_base(), "there is a base namespace all the same");
    Ok(())
}

/// Where the plan mounts something, as the dry run tells.
fn planned_mounts(world: &World, arguments: &[&str]) -> Result<BTreeSet<String>, Failed> {
    let text = world.enter(arguments)?.arg("--dry-run=json").finish()?.output()?;
    let plan: Value = serde_json::from_str(&text)?;
    let steps = plan["plan"]["tree"].as_array().ok_or("the plan has a tree")?.iter();
    let mounts = steps.filter(|step| step["make"] == "mount");
    Ok(mounts.filter_map(|step| step["target"].as_str().map(str::to_owned)).collect())
}

fn nothing_seen(mode: &str) -> Verdict {
    mount_memory(Path::new("/run/of-the-host"))?;
    let world = World::new()?;
    world.probe_map("", "")?;
    let bob = users::bob()?;
    let planned = planned_mounts(&world, &["--mode", mode, "--user", &bob.name])?;
    let before = HostState::now();

    let probe = world.probe(["--mode", mode, "--user", &bob.name])?;
    let seen: Vec<String> = probe.mounts().into_iter().map(|mount| mount.at).collect();
    let seen_once: BTreeSet<String> = seen.iter().cloned().collect();
    ensure_eq!(seen.len(), seen_once.len(), "mounts are stacked: {seen:?}");
    // Below /usr a host may have mounts of its own, which come along.
    let foreign: Vec<&String> =
        seen_once.difference(&planned).filter(|at| !at.starts_with("/usr/")).collect();
    ensure!(foreign.is_empty(), "mounts are seen that nobody planned: {foreign:?}");
    let missing: Vec<&String> = planned.difference(&seen_once).collect();
    ensure!(missing.is_empty(), "mounts were planned and are not there: {missing:?}");
    for mount in probe.mounts() {
        ensure!(mount.propagation.is_empty(), "{} passes mount events on: {:?}", mount.at, mount.propagation);
        ensure!(mount.has("nosuid") && (mount.has("nodev") || mount.at.starts_with("/dev")), "{mount:?}");
    }
    ensure_eq!(probe.mount("/").map(|mount| mount.kind), Some("tmpfs".to_owned()), "the root's file system");
    before.assert_returns()?;

    // And while it runs.
    let words = ["--mode", mode, "--user", &bob.name, "--", "sh", "-c", "echo ready; read line"];
    let mut session = world.enter(words)?.piped_input().start()?;
    session.expect("ready")?;
    ensure_eq!(HostState::now().mounts, before.mounts, "the host's mount table while a session is open");
    session.finish()?;
    before.assert_returns()?;
    rustix::mount::unmount("/run/of-the-host", UnmountFlags::empty())?;
    Ok(())
}

/// As root inside, with the right to mount: what is mounted stays there.
fn nothing_sent(mode: &str) -> Verdict {
    let world = World::new()?;
    let shared = world.path("shared");
    mount_memory(&shared)?;
    std::fs::create_dir(shared.join("point"))?;
    let binds = format!(
        "[[profile.mount]]\ntarget = \"/slave\"\nsource = {shared:?}\npropagation = \"slave\"\n\
         [[profile.mount]]\ntarget = \"/private\"\nsource = {shared:?}\n"
    );
    world.map("capabilities = [\"CAP_SYS_ADMIN\"]", &binds)?;
    let before = HostState::now();
    let script = "set -e; for at in /slave/point /private/point /tmp; do mount -t tmpfs inside $at; done; \
                  mount --make-rshared /; mkdir /tmp/more; mount -t tmpfs more /tmp/more; echo mounted; read line; umount /slave/point";
    let mut session = world.enter(["--mode", mode, "--", "sh", "-c", script])?.piped_input().start()?;
    session.expect("mounted")?;
    ensure_eq!(HostState::now().mounts, before.mounts, "the host's mount table after mounts inside");
    session.write(b"\n")?;
    session.finish()?.expect_code(0)?;
    before.assert_returns()?;
    rustix::mount::unmount(&shared, UnmountFlags::empty())?;
    Ok(())
}

fn later_mounts(mode: &str) -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    let media = world.path("media");
    mount_memory(&media)?;
    let disk = media.join("disk");
    std::fs::create_dir(&disk)?;
    let binds = format!(
        "[[profile.mount]]\ntarget = \"/slave\"\nsource = {media:?}\npropagation = \"slave\"\n\
         [[profile.mount]]\ntarget = \"/private\"\nsource = {media:?}\n"
    );
    world.map("", &binds)?;
    let script = "echo ready; read line; ls /slave/disk; echo; ls /private/disk; echo listed; read line; ls /slave/disk; echo end";
    let mut session = world
        .enter(["--mode", mode, "--user", &bob.name, "--", "sh", "-c", script])?
        .piped_input()
        .start()?;
    session.expect("ready\n")?;
    rustix::mount::mount("later", &disk, "tmpfs", MountFlags::empty(), c"mode=755")?;
    std::fs::write(disk.join("on-the-disk"), "")?;
    session.write(b"\n")?;
    session.expect("listed\n")?;
    ensure_eq!(
        session.stdout(),
        "ready\non-the-disk\n\nlisted\n",
        "what the slave, and what the private bind shows"
    );
    // The host gets its disk back, and the session does not keep it.
    rustix::mount::unmount(&disk, UnmountFlags::empty())
        .map_err(|errno| format!("the disk is held: {errno}"))?;
    session.write(b"\n")?;
    let outcome = session.finish()?.expect_code(0)?;
    ensure_eq!(outcome.stdout, "ready\non-the-disk\n\nlisted\nend\n", "what is left to be seen");
    rustix::mount::unmount(&media, UnmountFlags::empty())?;
    Ok(())
}

fn host_unmounts(mode: &str) -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    let disk = world.path("disk");
    mount_memory(&disk)?;
    world.map("", "")?;
    let script = "echo ready; read line";
    let mut session = world
        .enter(["--mode", mode, "--user", &bob.name, "--", "sh", "-c", script])?
        .piped_input()
        .start()?;
    session.expect("ready\n")?;
    std::fs::write(disk.join("file"), "")?;
    rustix::mount::unmount(&disk, UnmountFlags::empty())?;
    // A copy in the session's namespace would still be there: in namespace mode there is none at all.
    let copies = |id: &String| {
        let mounts = std::fs::read(format!("/proc/{id}/mountinfo")).unwrap_or_default();
        String::from_utf8_lossy(&mounts).contains("/disk ")
    };
    let holders: Vec<String> = crate::support::host::process_ids().filter(copies).collect();
    ensure!(holders.is_empty(), "processes {holders:?} still hold the file system");
    session.write(b"\n")?;
    Ok(())
}

fn user_namespaces(mode: &str) -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    let words =
        ["--mode", mode, "--user", &bob.name, "--", "unshare", "--user", "--map-root-user", "--mount"];
    let script = "id -u && mount -t tmpfs own /mnt 2>/dev/null || mount -t tmpfs own /tmp && echo mounted";
    let outcome = world.session_enter(words)?.args(["sh", "-c", script]).finish()?;
    ensure_eq!(outcome.clone().output()?, "0\nmounted\n", "a user namespace inside: {}", outcome.stderr);
    Ok(())
}

fn masks() -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    let tree = world.directory("tree")?;
    world.directory("tree/closed")?;
    world.file("tree/closed/secret", "secret")?;
    world.file("tree/key", "secret")?;
    let entries = format!(
        "[[profile.mount]]\ntarget = \"/tree\"\nsource = {tree:?}\n\
         [[profile.mount]]\ntarget = \"/tree/closed\"\nkind = \"mask\"\n\
         [[profile.mount]]\ntarget = \"/tree/key\"\nkind = \"mask\"\n\
         [[profile.mount]]\ntarget = \"/tree/nothing\"\nkind = \"mask\"\noptional = true\n"
    );
    world.map("capabilities = [\"CAP_DAC_OVERRIDE\"]", &entries)?;
    let script = "ls -A /tree; echo; ls -A /tree/closed; cat /tree/key; stat -c %F,%s /tree/key; \
                  echo x > /tree/closed/new; echo x > /tree/key; cat /tree/closed/secret; exit 0";
    for mode in MODES {
        for user in ["root", &bob.name] {
            let text = world
                .enter(["--mode", mode, "--user", user, "--", "sh", "-c", script])?
                .finish()?
                .output()?;
            ensure_eq!(text, "closed\nkey\n\nregular empty file,0\n", "what {user} sees ({mode})");
        }
    }
    ensure_eq!(std::fs::read(tree.join("key"))?, b"secret", "the host's file");
    Ok(())
}

fn own_things() -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    world.map(
        "",
        r#"
        [[profile.mount]]
        target = "/motd"
        kind = "file"
        content = "Hello, %u.\n100%%\n"
        mode = "0444"
        [[profile.mount]]
        target = "/own"
        kind = "file"
        mode = "0600"
        owner = "user"
        content = ""
        [[profile.mount]]
        target = "/deep/er/work"
        kind = "dir"
        mode = "0700"
        owner = "user"
        [[profile.mount]]
        target = "/link"
        kind = "symlink"
        to = "deep/../motd"
        [[profile.mount]]
        target = "/memory"
        kind = "tmpfs"
        size = "1M"
        mode = "0750"
        owner = "user"
        "#,
    )?;
    let script = "cat /link; stat -c '%n %a %U %F' /motd /own /deep /deep/er /deep/er/work /memory; readlink /link; \
                  stat -f -c '%T' /memory; head -c 900K /dev/zero > /memory/a && echo fits; \
                  head -c 900K /dev/zero > /memory/b 2>/dev/null || echo full";
    let text = world.enter(["--user", &bob.name, "--", "sh", "-c", script])?.finish()?.stdout;
    // There is no user database inside, so names are as unknown to `stat` as they should be.
    let must = format!(
        "Hello, {user}.\n100%\n/motd 444 UNKNOWN regular file\n/own 600 UNKNOWN regular empty file\n\
         /deep 755 UNKNOWN directory\n/deep/er 755 UNKNOWN directory\n/deep/er/work 700 UNKNOWN directory\n\
         /memory 750 UNKNOWN directory\ndeep/../motd\ntmpfs\nfits\nfull\n",
        user = bob.name
    );
    ensure_eq!(text, must, "what is inside");
    let owners = world.enter([
        "--user",
        &bob.name,
        "--",
        "stat",
        "-c",
        "%u",
        "/motd",
        "/own",
        "/deep",
        "/deep/er/work",
        "/memory",
    ])?;
    let owners = owners.finish()?.output()?;
    let uid = bob.uid;
    ensure_eq!(owners, format!("0\n{uid}\n0\n{uid}\n{uid}\n"), "owners");
    Ok(())
}

fn file_over_bind() -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    let tree = world.directory("tree")?;
    world.file("tree/config", "the host's\n")?;
    world.directory("other")?;
    let other = world.file("other/file", "another's\n")?;
    world.file("tree/second", "the host's\n")?;
    let entries = format!(
        "[[profile.mount]]\ntarget = \"/tree\"\nsource = {tree:?}\n\
         [[profile.mount]]\ntarget = \"/tree/config\"\nkind = \"file\"\ncontent = \"the map's\\n\"\n\
         [[profile.mount]]\ntarget = \"/tree/second\"\nsource = {other:?}\n"
    );
    world.map("", &entries)?;
    for mode in MODES {
        let words = ["--mode", mode, "--user", &bob.name, "--", "cat", "/tree/config", "/tree/second"];
        ensure_eq!(world.enter(words)?.finish()?.output()?, "the map's\nanother's\n", "the files ({mode})");
    }
    ensure_eq!(std::fs::read(tree.join("config"))?, b"the host's\n", "the host's file");
    Ok(())
}

fn sealed() -> Verdict {
    let world = World::new()?;
    let script = "for at in / /dev /run /var /usr /etc; do touch $at/x 2>/dev/null && echo $at can be written; \
                  ln -sf /tmp/x $at/proc 2>/dev/null && echo $at can be linked in; done; \
                  rm -f /bin 2>/dev/null && echo a link can be removed; mv /dev/null /dev/x 2>/dev/null && echo moved; exit 0";
    // As root inside, whom no permission would stop.
    for mode in MODES {
        let text = world.session_enter(["--mode", mode, "--", "sh", "-c", script])?.finish()?.output()?;
        ensure_eq!(text, "", "what root could change ({mode})");
    }
    Ok(())
}
