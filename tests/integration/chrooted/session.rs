//! A session by the map that a `chroot.conf` becomes is where pam_chroot would have put it.

use std::os::unix::fs::symlink;

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
