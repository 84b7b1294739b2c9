//! The options of a mount, each proven by an attempt at what it forbids, on the mount and on what is mounted below it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use libtest_mimic::Trial;

use crate::enter::MODES;
use crate::hostview::mount_memory;
use crate::support::{HostMounts, Needs, Verdict, World, ensure_eq, isolated, trial, users};

const AS_BOB: &[Needs] = &[Needs::Root, Needs::OrdinaryUser];

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for mode in MODES {
        trials.extend([
            isolated(
                format!("ro, noexec, nosuid, nodev and nosymfollow hold on whole bound trees ({mode})"),
                AS_BOB,
                HostMounts::Shared,
                move || bound(mode),
            ),
            isolated(
                format!("norecursive leaves out what is mounted below ({mode})"),
                AS_BOB,
                HostMounts::Shared,
                move || not_recursive(mode),
            ),
            trial(format!("options hold on file systems in memory ({mode})"), AS_BOB, move || memory(mode)),
            isolated(
                format!("a program of root's with the set-user-id bit gives nothing ({mode})"),
                AS_BOB,
                HostMounts::Shared,
                move || set_user_id(mode),
            ),
        ]);
    }
    trials
}

/// What each option can be seen by.
fn fill(folder: &Path) -> Verdict {
    let mode =
        |name: &str, mode| std::fs::set_permissions(folder.join(name), PermissionsExt::from_mode(mode));
    std::fs::write(folder.join("file"), "content\n")?;
    mode("file", 0o666)?;
    std::fs::copy("/usr/bin/id", folder.join("id"))?;
    // Owned by root: who executes it is root, where that works.
    mode("id", 0o4755)?;
    let null = rustix::fs::makedev(1, 3);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        folder.join("null"),
        rustix::fs::FileType::CharacterDevice,
        0o666.into(),
        null,
    )?;
    mode("null", 0o666)?;
    std::os::unix::fs::symlink("file", folder.join("link"))?;
    Ok(())
}

/// Attempts at everything in `$1`; a line for each that tells how it went.
const ATTEMPTS: &str = r#"
try() { what=$1; shift; if "$@" >/dev/null 2>&1; then echo "$what yes"; else echo "$what no"; fi; }
for at in "$@"; do
    try write sh -c "echo more >> $at/file"
    try execute "$at/id"
    try root sh -c "test \"\$($at/id -u)\" = 0"
    try device sh -c "echo > $at/null"
    try link cat "$at/link"
done
"#;

fn bound(mode: &str) -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    let source = world.path("source");
    mount_memory(&source)?;
    fill(&source)?;
    mount_memory(&source.join("below"))?;
    fill(&source.join("below"))?;
    // The word, and what it leaves: write, execute, become root, use a device, follow a link.
    let cases: [(&str, [bool; 5]); 8] = [
        ("", [true, true, false, false, true]),
        ("\"ro\"", [false, true, false, false, true]),
        ("\"noexec\"", [true, false, false, false, true]),
        ("\"suid\"", [true, true, true, false, true]),
        ("\"dev\"", [true, true, false, true, true]),
        ("\"nosymfollow\"", [true, true, false, false, false]),
        ("\"suid\", \"dev\"", [true, true, true, true, true]),
        ("\"ro\", \"noexec\", \"nosymfollow\"", [false, false, false, false, false]),
    ];
    for (options, may) in cases {
        // Without no_new_privs, so that the mount's option alone decides.
        let bind =
            format!("[[profile.mount]]\ntarget = \"/tree\"\nsource = {source:?}\noptions = [{options}]\n");
        world.map("no_new_privs = false", &bind)?;
        let words =
            ["--mode", mode, "--user", &bob.name, "--", "sh", "-c", ATTEMPTS, "sh", "/tree", "/tree/below"];
        let text = world.enter(words)?.finish()?.output()?;
        ensure_eq!(text, told(may).repeat(2), "what may be done with options = [{options}]");
    }
    rustix::mount::unmount(source.join("below"), rustix::mount::UnmountFlags::empty())?;
    Ok(rustix::mount::unmount(&source, rustix::mount::UnmountFlags::empty())?)
}

fn told(may: [bool; 5]) -> String {
    let words = ["write", "execute", "root", "device", "link"];
    words.iter().zip(may).map(|(word, may)| format!("{word} {}\n", if may { "yes" } else { "no" })).collect()
}

fn not_recursive(mode: &str) -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    let source = world.path("source");
    mount_memory(&source)?;
    mount_memory(&source.join("below"))?;
    std::fs::write(source.join("below/file"), "")?;
    for (options, seen) in [("", "file\n"), ("\"norecursive\"", "")] {
        let bind =
            format!("[[profile.mount]]\ntarget = \"/tree\"\nsource = {source:?}\noptions = [{options}]\n");
        world.map("", &bind)?;
        let text = world
            .enter(["--mode", mode, "--user", &bob.name, "--", "ls", "/tree/below"])?
            .finish()?
            .output()?;
        ensure_eq!(text, seen, "what is below with options = [{options}]");
    }
    rustix::mount::unmount(source.join("below"), rustix::mount::UnmountFlags::empty())?;
    Ok(rustix::mount::unmount(&source, rustix::mount::UnmountFlags::empty())?)
}

fn memory(mode: &str) -> Verdict {
    let world = World::new()?;
    // As root inside, who can make device nodes and programs with the set-user-id bit by itself.
    world.map(
        "capabilities = [\"CAP_MKNOD\", \"CAP_SETUID\", \"CAP_SETGID\", \"CAP_DAC_OVERRIDE\"]\nno_new_privs = false",
        "[[profile.mount]]\ntarget = \"/plain\"\nkind = \"tmpfs\"\n\
         [[profile.mount]]\ntarget = \"/noexec\"\nkind = \"tmpfs\"\noptions = [\"noexec\"]\n\
         [[profile.mount]]\ntarget = \"/ro\"\nkind = \"tmpfs\"\noptions = [\"ro\"]\n\
         [[profile.mount]]\ntarget = \"/all\"\nkind = \"tmpfs\"\noptions = [\"suid\", \"dev\"]\n",
    )?;
    let script = r#"
        touch /ro/file 2>/dev/null && echo ro was written
        for at in /plain /noexec /all; do
            cp /usr/bin/id $at/id && chmod 4755 $at/id && mknod -m 666 $at/null c 1 3 || echo $at not filled
            echo $at
            setpriv --reuid 4242 --regid 4242 --clear-groups $at/id -u 2>/dev/null || echo not executed
            (echo > $at/null) 2>/dev/null && echo device || echo no device
        done"#;
    let text = world.enter(["--mode", mode, "--", "sh", "-c", script])?.finish()?.output()?;
    let must = "/plain\n4242\nno device\n/noexec\nnot executed\nno device\n/all\n0\ndevice\n";
    ensure_eq!(text, must, "what root could do");
    Ok(())
}

fn set_user_id(mode: &str) -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    let source = world.path("source");
    mount_memory(&source)?;
    fill(&source)?;
    let bind = |options: &str| {
        format!("[[profile.mount]]\ntarget = \"/tree\"\nsource = {source:?}\noptions = [{options}]\n")
    };
    let script = "/tree/id -u; grep -h -E '^Cap(Prm|Eff)' /proc/self/status";
    let run = |settings: &str, options: &str| {
        world.map(settings, &bind(options))?;
        world.enter(["--mode", mode, "--user", &bob.name, "--", "sh", "-c", script])?.finish()?.output()
    };
    let nothing = "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n";
    // Each of the two walls is enough.
    ensure_eq!(run("", "")?, format!("{}\n{nothing}", bob.uid), "by default");
    ensure_eq!(run("", "\"suid\"")?, format!("{}\n{nothing}", bob.uid), "by no_new_privs alone");
    ensure_eq!(run("no_new_privs = false", "")?, format!("{}\n{nothing}", bob.uid), "by nosuid alone");
    // And where an administrator wants neither, the program is root without a capability.
    ensure_eq!(run("no_new_privs = false", "\"suid\"")?, format!("0\n{nothing}"), "by neither");
    Ok(rustix::mount::unmount(&source, rustix::mount::UnmountFlags::empty())?)
}
