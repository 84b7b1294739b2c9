//! A session by the map that a `chroot.conf` becomes is where pam_chroot would have put it.

use std::os::unix::fs::{PermissionsExt, symlink};

use session_sandbox::compat::{self, Kind};

use crate::support::{Run, User, Verdict, World, ensure, ensure_eq, users};

/// A directory that somebody can log in to, with or without places for what the kernel shows.
fn jail(name: &str, with_places: bool) -> Verdict {
    let at = format!("/run/jails/{name}");
    std::fs::create_dir_all(format!("{at}/usr"))?;
    std::fs::create_dir(format!("{at}/etc"))?;
    for link in ["bin", "lib", "lib64"] {
        symlink(format!("usr/{link}"), format!("{at}/{link}"))?;
    }
    if with_places {
        std::fs::create_dir(format!("{at}/proc"))?;
        std::fs::create_dir(format!("{at}/dev"))?;
    }
    std::fs::write(format!("{at}/mark"), format!("{name}\n"))?;
    Run::new("mount").args(["--bind", "/usr", &format!("{at}/usr")]).finish()?.expect_code(0)?;
    Ok(())
}

fn look(world: &World, bob: &User) -> Result<Vec<String>, libtest_mimic::Failed> {
    let script = "cat /mark; test ! -e /proc/self/status || echo proc; test ! -c /dev/null || echo dev; \
                  test ! -e /dev/pts/ptmx || echo terminals; ls /";
    let outcome = world.enter(["--user", &bob.name, "--", "/bin/sh", "-c", script])?.finish()?;
    ensure_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    Ok(outcome.stdout.lines().map(str::to_owned).collect())
}

/// By the map of such a file: what a session finds.
fn session(conf: &str, bob: &User) -> Result<Vec<String>, libtest_mimic::Failed> {
    let world = World::new()?;
    let imported = compat::import(Kind::PamChroot, conf);
    ensure!(imported.losses.is_empty(), "{:?}", imported.losses);
    // One session after the other here, and none joins the view of the one before, which may not have ended yet.
    let own = "version = 1\n\n[defaults]\nscope = \"session\"\n";
    world.file("map.toml", imported.map.replacen("version = 1\n", own, 1))?;
    look(&world, bob)
}

/// By the file itself: what a session finds first, or why there is none.
fn by_file(world: &World, bob: &User, conf: &str, words: &str) -> Result<String, libtest_mimic::Failed> {
    world.file("chroot.conf", conf)?;
    let path = world.path("chroot.conf");
    let outcome = world
        .session_enter(["--scope".as_ref(), "session".as_ref(), "--chroot-conf".as_ref(), path.as_os_str()])?
        .args(["--chroot-options", words, "--user", &bob.name, "--", "/bin/sh", "-c", "cat /mark; echo /*"])
        .finish()?;
    match outcome.code {
        Some(0) => Ok(outcome.stdout),
        Some(125) => {
            Ok(outcome.stderr.replace(&path.display().to_string(), "FILE").replace(&bob.name, "BOB"))
        }
        other => Err(format!("{conf:?} with {words:?}: {other:?}: {}", outcome.stderr).into()),
    }
}

pub fn by_the_file_itself() -> Verdict {
    let bob = users::bob()?;
    for name in ["full", "bare", &bob.name, "100%u"] {
        jail(name, name != "bare")?;
    }
    symlink("full", "/run/jails/link")?;
    std::fs::create_dir("/run/jails/open")?;
    std::fs::set_permissions("/run/jails/open", PermissionsExt::from_mode(0o777))?;
    let world = World::new()?;
    let name = &bob.name;
    let first = &name[..1];
    for (conf, words, mark) in [
        (format!("{name} /run/jails/full\n{name} /run/jails/bare\n"), "", "full"),
        (format!("x{name} /run/jails/full\n{name} /run/jails/bare # mine\r\n"), "", "bare"),
        (format!("{name} /run/jails/link"), "", "full"),
        (format!("{name} /run/jails/link"), "sec_checks", "full"),
        (format!("{name} /run/jails/100%%u"), "", "100%u"),
        ("@games /run/jails/%u/".to_owned(), "use_groups", name),
        // What only a pattern can say: no map of such a line can be written for everybody.
        (format!("{} /run/jails/full", first.to_uppercase()), "use_regex", "full"),
        (format!("^{first}(.*)$ /run/jails/{first}%1"), "use_ext_regex", name),
        ("@^(g)ames$ /run/jails/%u".to_owned(), "use_groups use_ext_regex", name),
        ("@gam /run/jails/bare".to_owned(), "use_regex use_groups", "bare"),
        (format!("{name}\n@gam /run/jails/full\n{name} /run/jails/bare"), "use_groups", "bare"),
        (String::new(), "chroot_dir=/run/jails/bare", "bare"),
    ] {
        let found = by_file(&world, &bob, &conf, words)?;
        ensure_eq!(found.lines().next(), Some(mark), "{conf:?} with {words:?}: {found}");
        let shows = found.contains("/proc");
        ensure_eq!(shows, mark != "bare", "{conf:?} with {words:?}: {found}");
    }
    for (conf, words, message, help) in [
        ("eve /run/jails/full".to_owned(), "", "no line of FILE is for BOB", "add one: BOB DIRECTORY"),
        (
            "eve /run/jails/full".to_owned(),
            "notfound=success onerr=succeed",
            "no line of FILE is for BOB",
            "",
        ),
        (
            "@games /run/jails/full".to_owned(),
            "",
            "FILE gives BOB no directory: line 1: `@` begins a group, and the option use_groups is missing",
            "--chroot-options 'use_groups'",
        ),
        // The module's process dies of this one.
        (
            format!("{name} /run/jails/%g"),
            "",
            "FILE gives BOB no directory: line 1: %g stands for a group, and the option use_groups is missing",
            "--chroot-options 'use_groups'",
        ),
        (
            format!("{name} /run/jails/%h"),
            "",
            "line 1: unknown variable `%h` in the directory",
            "correct the line",
        ),
        (format!("{name} /"), "", "the directory is the host's own root", "correct the line"),
        (
            format!("{name} run/jails/full"),
            "",
            "gives BOB the directory \"run/jails/full\"",
            "an absolute path",
        ),
        (
            format!("{name} /run/../etc"),
            "",
            "gives BOB the directory \"/run/../etc\"",
            "without `.` and `..`",
        ),
        (format!("{name} /run/jails/open"), "sec_checks", "/run/jails/open", "root must own each part"),
        (format!("{name} /run/nowhere"), "", "/run/nowhere", ""),
        (
            format!("{name} /run/jails/full"),
            "use_rege",
            "\"use_rege\" is no option of pam_chroot",
            "use_regex",
        ),
        (format!("{name} /run/jails/full"), "no_chroot", "no_chroot", "leave it out"),
    ] {
        let told = by_file(&world, &bob, &conf, words)?;
        ensure!(told.starts_with("session-enter: "), "{conf:?} with {words:?}: {told}");
        ensure!(told.contains(message) && told.contains(help), "{conf:?} with {words:?}: {told}");
    }
    // While a session is in the one directory, a changed file leads into the other.
    let conf = world.path("chroot.conf");
    let enter = |directory: &str, command: &str| -> Result<Run, libtest_mimic::Failed> {
        world.file("chroot.conf", format!("{name} /run/jails/{directory}"))?;
        let run = world.session_enter(["--chroot-conf".as_ref(), conf.as_os_str()])?;
        Ok(run.args(["--user", name, "--", "/bin/sh", "-c", command]))
    };
    let mut held = enter("full", "echo here; read end")?.piped_input().start()?;
    held.expect("here")?;
    let outcome = enter("bare", "cat /mark")?.finish()?;
    ensure_eq!(outcome.stdout, "bare\n", "{}", outcome.stderr);
    held.finish()?;
    // Whoever may write to the file could send everybody anywhere.
    std::fs::set_permissions(world.path("chroot.conf"), PermissionsExt::from_mode(0o666))?;
    let outcome = world
        .session_enter(["--chroot-conf".as_ref(), world.path("chroot.conf").as_os_str()])?
        .args(["--user", name, "--", "/bin/true"])
        .finish()?;
    ensure_eq!(outcome.code, Some(125), "{}", outcome.stderr);
    ensure!(outcome.stderr.contains("chroot.conf is not trusted"), "{}", outcome.stderr);
    Ok(())
}

pub fn is_the_same() -> Verdict {
    let bob = users::bob()?;
    jail("full", true)?;
    jail("bare", false)?;
    jail(&bob.name, true)?;
    symlink("full", "/run/jails/link")?;
    let full =
        ["full", "proc", "dev", "terminals", "bin", "dev", "etc", "lib", "lib64", "mark", "proc", "usr"];
    let name = &bob.name;
    ensure_eq!(
        session(&format!("{name} /run/jails/full\n{name} /run/jails/bare\n"), &bob)?,
        full,
        "the first line"
    );
    ensure_eq!(session(&format!("^({name}|eve)$ /run/jails/link\n"), &bob)?, full, "a link");
    let bare = ["bare", "bin", "etc", "lib", "lib64", "mark", "usr"];
    ensure_eq!(
        session(&format!("eve /run/jails/full\n{name} /run/jails/bare"), &bob)?,
        bare,
        "nothing is there"
    );
    // One of the account's groups.
    let by_group = session("@games /run/jails/%U/ # for those who play\n", &bob)?;
    ensure_eq!(by_group[..2], [name.as_str(), "proc"], "a group, and a name in the path");
    Ok(())
}
