//! Sources and mount points that are missing, of the wrong kind, or that another user could have had a hand in. As for
//! all bad input: one clear message, exit status 125, nothing left behind.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use libtest_mimic::Trial;

use crate::badinput::Refusal;
use crate::support::{HostMounts, Needs, Verdict, World, ensure_eq, isolated, users};

const AS_BOB: &[Needs] = &[Needs::Root, Needs::OrdinaryUser];

pub fn trials() -> Vec<Trial> {
    vec![
        isolated("sources that cannot be taken are refused", AS_BOB, HostMounts::Shared, sources),
        isolated(
            "links in sources are followed only when root made them",
            AS_BOB,
            HostMounts::Shared,
            linked_sources,
        ),
        isolated(
            "mount points that are not what they should be are refused",
            AS_BOB,
            HostMounts::Shared,
            mount_points,
        ),
    ]
}

fn entry(target: &str, source: &Path, more: &str) -> String {
    format!("[[profile.mount]]\ntarget = {target:?}\nsource = {source:?}\n{more}\n")
}

fn sources() -> Verdict {
    let world = World::new()?;
    let fifo = world.path("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o600))?;
    let looped = world.path("loop");
    symlink("loop", &looped)?;
    let link = world.path("link");
    symlink("/usr", &link)?;
    let file = world.file("file", "")?;
    world.directory("folder")?;
    let place = world.file("folder/place", "")?;
    let closed = world.directory("closed")?;
    std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o700))?;
    let refusal = Refusal::new(&world);
    let cases = [
        (entry("/x", &world.path("nothing"), ""), "missing"),
        (entry("/x", &fifo, ""), "named pipe"),
        (entry("/x", &looped, ""), "symbolic link"),
        (entry("/x", &looped, "follow_symlinks = true"), "symbolic link"),
        (entry("/x", &link, ""), "follow_symlinks"),
        (entry("/x", &link.join("bin"), ""), "follow_symlinks"),
        (entry("/x", &file.join("below"), ""), "file"),
        // World's own folder is for root alone.
        (entry("/x", &closed, "open_as = \"user\""), "ermission"),
    ];
    for (mounts, word) in cases {
        refusal.check_map(&mounts, &["map.toml:", "/x", word, "help: "])?;
    }
    // A file where a directory is wanted, and the other way round: the mount point lies in a bound tree.
    let tree = entry("/tree", &world.path("folder"), "");
    refusal.check_map(
        &(tree.clone() + &entry("/tree/place", &closed, "")),
        &["map.toml:", "/tree/place", &place.to_string_lossy(), "director", "help: "],
    )?;
    let tree = entry("/tree", place.parent().ok_or("a parent")?.parent().ok_or("a parent")?, "");
    refusal.check_map(
        &(tree + &entry("/tree/closed", &file, "")),
        &["map.toml:", "/tree/closed", "file", "help: "],
    )
}

fn linked_sources() -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    let theirs = World::of(&bob)?;
    theirs.file("file", "bob's\n")?;
    // A link of root's is followed, one that bob could turn elsewhere is not, wherever it leads.
    let good = world.path("good");
    symlink("/usr/share", &good)?;
    world.map("", &entry("/x", &good, "follow_symlinks = true"))?;
    world.enter(["--user", &bob.name, "--", "test", "-d", "/x"])?.finish()?.expect_code(0)?;
    let turned = theirs.path("turned");
    symlink("/usr", &turned)?;
    chown_link(&turned, bob.uid)?;
    let by_turned = world.path("by-turned");
    symlink(&turned, &by_turned)?;
    let shared = world.directory("shared")?;
    std::fs::set_permissions(&shared, PermissionsExt::from_mode(0o777))?;
    symlink("/usr", shared.join("link"))?;
    let refusal = Refusal::new(&world);
    for source in [&turned, &by_turned, &shared.join("link"), &theirs.path("file")] {
        refusal.check_map(&entry("/x", source, "follow_symlinks = true"), &["map.toml:", "/x", "help: "])?;
    }
    // The kernel's own links lead past every name; not one of them is followed.
    for source in ["/proc/self/root/usr", "/proc/1/root/usr", "/proc/self/cwd", "/proc/self/fd/0"] {
        for more in ["", "open_as = \"user\""] {
            refusal.check_map(&entry("/x", Path::new(source), more), &["map.toml:", "/x", "help: "])?;
        }
    }
    // What the user could not read by itself is not shown to it by its own link.
    let secret = theirs.path("secret");
    symlink("/etc/shadow", &secret)?;
    refusal.check_map(&entry("/x", &secret, "open_as = \"user\""), &["map.toml:", "/x", "help: "])
}

fn chown_link(path: &Path, uid: u32) -> Verdict {
    Ok(std::os::unix::fs::lchown(path, Some(uid), Some(uid))?)
}

fn mount_points() -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    let theirs = World::of(&bob)?;
    let victim = world.directory("victim")?;
    for (name, to) in [
        ("absolute", victim.as_path()),
        ("relative", Path::new("../../../etc")),
        ("dangling", Path::new("nowhere")),
        ("loop", Path::new("loop")),
    ] {
        symlink(to, theirs.path(name))?;
    }
    nix::unistd::mkfifo(&theirs.path("fifo"), nix::sys::stat::Mode::from_bits_truncate(0o666))?;
    theirs.file("file", "")?;
    let folder = theirs.path("file").parent().ok_or("a parent")?.to_owned();
    let refusal = Refusal::new(&world);
    let home = entry("/tree", &folder, "open_as = \"user\"");
    for name in [
        "absolute",
        "relative",
        "dangling",
        "loop",
        "fifo",
        "file",
        "missing",
        "absolute/below",
        "file/below",
        "missing/below",
    ] {
        let on = format!("[[profile.mount]]\ntarget = \"/tree/{name}\"\nkind = \"tmpfs\"\n");
        refusal.check_map(
            &(home.clone() + &on),
            &["map.toml:", &format!("/tree/{}", name.split('/').next().unwrap_or(name)), "help: "],
        )?;
    }
    ensure_eq!(std::fs::read_dir(&victim)?.count(), 0, "files where a link led to");
    Ok(())
}
