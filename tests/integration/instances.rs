//! Sources that a login makes where they are missing: `create`, and pam_namespace's file by hand.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use libtest_mimic::{Failed, Trial};

use crate::support::{
    HostMounts, HostState, Needs, User, Verdict, World, ensure, ensure_eq, isolated, trial, users,
};

const AS_BOB: &[Needs] = &[Needs::Root, Needs::OrdinaryUser];

pub fn trials() -> Vec<Trial> {
    vec![
        trial("a source is made for its user, once, and stays what it is", AS_BOB, made_once),
        trial("what a source is made in must be root's alone, and there", AS_BOB, holder),
        trial("a dry run makes no source, and shows that a login would", AS_BOB, dry_run),
        isolated(
            "by a namespace.conf the second login sees what the first one mounts, and the host does not",
            AS_BOB,
            HostMounts::Shared,
            by_namespace_conf,
        ),
        trial("what a namespace.conf cannot be followed in is said with its line", AS_BOB, refused),
    ]
}

fn entry(world: &World, rest: &str) -> Result<(), Failed> {
    let source = world.path("inst/%u");
    world.map(
        "",
        &format!("[[profile.mount]]\ntarget = \"/mnt\"\nsource = {source:?}\ncreate = true\n{rest}\n"),
    )?;
    Ok(())
}

fn made_once() -> Verdict {
    let world = World::new()?;
    let (bob, mallory) = (users::bob()?, users::mallory()?);
    world.directory("inst")?;
    let run = |user: &User, script: &str| {
        world.enter(["--user", &user.name, "--", "sh", "-c", script])?.finish()?.output()
    };
    entry(&world, "")?;
    ensure_eq!(
        run(&bob, "stat -c '%a %u %g' /mnt; echo word > /mnt/file")?,
        format!("700 {} {}\n", bob.uid, bob.gid),
        "new"
    );
    ensure_eq!(run(&bob, "cat /mnt/file")?, "word\n", "the next time");
    ensure_eq!(run(&mallory, "ls /mnt")?, "", "another user's");
    let path = world.path("inst").join(&bob.name);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o750))?;
    entry(&world, "mode = \"0711\"\nowner = \"root\"")?;
    ensure_eq!(run(&bob, "stat -c '%a %u' /mnt")?, format!("750 {}\n", bob.uid), "what is there stays");
    // One that somebody was killed over: nobody has ever used it.
    std::fs::remove_dir_all(&path)?;
    std::fs::create_dir(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000))?;
    ensure_eq!(run(&bob, "stat -c '%a %u' /mnt")?, "711 0\n", "half made");
    Ok(())
}

fn holder() -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    let refused = |what: &str| -> Verdict {
        let outcome = world.enter(["--user", &bob.name, "--", "echo", "in"])?.finish()?;
        ensure_eq!((outcome.code, outcome.stdout.as_str()), (Some(125), ""), "{what}: {}", outcome.stderr);
        ensure!(
            outcome.stderr.contains(what) && outcome.stderr.contains("map.toml:"),
            "{what}: {}",
            outcome.stderr
        );
        Ok(())
    };
    entry(&world, "")?;
    refused("No such file or directory")?;
    let inst = world.directory("inst")?;
    for mode in [0o775, 0o777, 0o1777] {
        std::fs::set_permissions(&inst, std::fs::Permissions::from_mode(mode))?;
        refused("nobody else may write to it")?;
    }
    std::fs::set_permissions(&inst, std::fs::Permissions::from_mode(0o755))?;
    chown(&inst, Some(bob.uid), None)?;
    refused("root must own it")?;
    chown(&inst, Some(0), None)?;
    symlink("/etc", inst.join(&bob.name))?;
    refused(&bob.name)?;
    ensure!(!std::path::Path::new("/etc").join(&bob.name).exists(), "a link was followed");
    std::fs::remove_file(inst.join(&bob.name))?;
    std::fs::write(inst.join(&bob.name), "")?;
    refused("ot a directory")?;
    Ok(())
}

fn dry_run() -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    let inst = world.directory("inst")?;
    entry(&world, "mode = \"0750\"")?;
    for format in ["--dry-run", "--dry-run=json"] {
        let said = world.enter([format, "--user", &bob.name])?.finish()?.output()?;
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        let path = inst.join(&bob.name);
        ensure!(said.contains(path.to_str().ok_or("no text")?), "{said}");
        ensure!(format != "--dry-run" || said.contains("where it is missing, 0750"), "{said}");
    }
    ensure_eq!(std::fs::read_dir(inst)?.count(), 0, "made by a dry run");
    Ok(())
}

fn by_namespace_conf() -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    let (polydir, instances) = (world.directory("poly")?, world.directory("inst")?);
    std::fs::set_permissions(world.path(""), std::fs::Permissions::from_mode(0o755))?;
    std::fs::set_permissions(&polydir, std::fs::Permissions::from_mode(0o1777))?;
    std::fs::set_permissions(&instances, std::fs::Permissions::from_mode(0o000))?;
    let (poly, inst) = (polydir.display(), instances.display());
    let script = "#!/bin/sh\nmkdir $1/m; mount -t tmpfs more $1/m; chmod 777 $1/m\n";
    std::fs::set_permissions(world.file("init", script)?, std::fs::Permissions::from_mode(0o755))?;
    let conf = world
        .file("namespace.conf", format!("{poly} {inst}/ user:iscript={}\n", world.path("init").display()))?;
    let login = |script: &str| {
        let conf = conf.to_string_lossy();
        Ok::<_, Failed>(
            world
                .session_enter(["--user", &bob.name, "--namespace-conf", &conf, "--", "sh", "-c", script])?
                .piped_input(),
        )
    };
    // Where mount(8) keeps its own notes, here in the host's /run.
    let _ = std::fs::create_dir("/run/mount");
    let before = HostState::now();
    let mut first = login(&format!("echo word > {poly}/m/file; echo here; read line"))?.start()?;
    first.expect("here\n")?;
    ensure_eq!(login(&format!("cat {poly}/m/file"))?.finish()?.output()?, "word\n", "the second login");
    ensure!(!polydir.join("m").exists(), "the host's directory was used");
    ensure!(!instances.join(&bob.name).join("m/file").exists(), "a mount of the view is the host's");
    // Programs work as on the host: it is the host's view, but for one directory.
    let look = "grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status; test -d /root && ls -d /proc/1/root 2>&1 | head -1";
    ensure!(
        login(look)?.finish()?.output()?.starts_with("NoNewPrivs:\t0\nSeccomp:\t0\n"),
        "rights are taken away"
    );
    crate::sharing::leave(first)?;
    let made = std::fs::metadata(instances.join(&bob.name))?;
    ensure_eq!((made.mode() & 0o7777, made.uid()), (0o1777, 0), "the instance");
    before.assert_returns()
}

fn refused() -> Verdict {
    let world = World::new()?;
    let bob = users::bob()?;
    let conf = world.path("namespace.conf").to_string_lossy().into_owned();
    let run = |words: &str| {
        world
            .session_enter([
                "--user",
                &bob.name,
                "--namespace-conf",
                &conf,
                "--namespace-options",
                words,
                "--",
                "true",
            ])?
            .finish()
    };
    let says = |words: &str, parts: &[&str]| -> Verdict {
        let outcome = run(words)?;
        ensure_eq!(outcome.code, Some(125), "{}", outcome.stderr);
        for part in parts {
            ensure!(outcome.stderr.contains(part), "{part}: {}", outcome.stderr);
        }
        Ok(())
    };
    says("", &["there is no ", "namespace.conf"])?;
    world.file("namespace.conf", "# nothing\n")?;
    says("", &["no line of ", &bob.name, "help: add a line"])?;
    world.file("namespace.conf", "\n/tmp relative/ user\n")?;
    says("", &["namespace.conf:2: ", "does not begin with a slash", "ignore_config_error"])?;
    says("ignore_config_error", &["no line of "])?;
    says("use_groups", &["\"use_groups\" is no option of pam_namespace"])?;
    for word in ["gen_hash", "unmnt_only", "require_selinux"] {
        says(word, &[word, "help: take the word away"])?;
    }
    world.file("namespace.conf", "/usr none tmpfs\n/usr/bin none tmpfs\n")?;
    says("", &["namespace.conf:2: /usr/bin lies in what ", "namespace.conf:1 puts"])?;
    world.file("namespace.conf", "/tmp none tmpfs:mntopts=uid=5\n")?;
    says("", &["namespace.conf:1: ", "another owner"])?;
    std::fs::set_permissions(&conf, std::fs::Permissions::from_mode(0o666))?;
    says("", &["namespace.conf", "help: "])
}
