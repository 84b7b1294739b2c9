//! A chroot of schroot's is entered by the map that is made of its configuration.

use libtest_mimic::Trial;
use session_sandbox::compat::schroot::import_with;

use crate::support::{Needs, Run, Verdict, World, ensure_eq, tool, trial, users};

const NEEDS: &[Needs] = &[Needs::Root, Needs::OrdinaryUser, Needs::Tool("busybox")];

pub fn trials() -> Vec<Trial> {
    vec![trial("a chroot of a schroot.conf is entered with the host's files in it", NEEDS, entered)]
}

fn entered() -> Verdict {
    let bob = users::bob()?;
    for (union, written) in [("none", "written"), ("overlay", "not written")] {
        let world = World::new()?;
        let chroot = world.directory("chroot")?;
        for name in ["bin", "etc", "proc", "dev", "tmp"] {
            world.directory(&format!("chroot/{name}"))?;
        }
        let busybox = tool("busybox").ok_or("no busybox")?;
        std::fs::copy(busybox, chroot.join("bin/busybox"))?;
        for name in ["sh", "cat", "id"] {
            std::os::unix::fs::symlink("busybox", chroot.join("bin").join(name))?;
        }
        // Whoever may write there on the host may write there inside.
        std::os::unix::fs::chown(chroot.join("tmp"), Some(bob.uid), Some(bob.gid))?;
        for name in ["word", "passwd", "nsswitch.conf"] {
            world.file(&format!("chroot/etc/{name}"), "the chroot's")?;
        }
        Run::new("chmod").args(["-R", "a+rX"]).arg(&chroot).finish()?.expect_code(0)?;
        let text = format!(
            "[Small]\ntype=directory\ndirectory={}\nusers={}\nshell=/bin/sh\nunion-type={union}\nsetup.fstab=\n",
            chroot.display(),
            bob.name
        );
        let files = [("default/copyfiles", "/etc/nsswitch.conf\n"), ("default/nssdatabases", "passwd\n")];
        let imported = import_with(&text, &files);
        ensure_eq!(imported.losses.iter().filter(|loss| loss.line != 6).count(), 0, "{:?}", imported.losses);
        world.file("map.toml", &imported.map)?;
        let look = "echo *; cat /etc/word; echo; cat /etc/nsswitch.conf; id -un; echo x > /etc/nsswitch.conf || \
         echo read-only; \
                    echo x > /tmp/x && echo written || echo not written";
        let words = ["--user", &bob.name, "--", "/bin/sh", "-c", look];
        let said = world.enter(words)?.finish()?.output()?;
        let host = std::fs::read_to_string("/etc/nsswitch.conf")?;
        let expected =
            format!("bin dev etc proc tmp\nthe chroot's\n{host}{}\nread-only\n{written}\n", bob.name);
        ensure_eq!(said, expected, "union-type={union}\n{}", imported.map);
    }
    Ok(())
}
