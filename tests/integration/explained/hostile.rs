//! What users and their servers can do to whoever asks about them.

use std::os::unix::fs::symlink;

use super::Host;
use crate::pam::stage::SESSIONCTL;
use crate::support::fuse::{Fuse, Server};
use crate::support::{Run, Verdict, ensure};

/// Links, mounts and the host that somebody comes from are called what somebody else likes.
pub(super) fn hostile_texts() -> Verdict {
    let host = Host::new("")?;
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}\n  no difference";
    symlink(evil, host.world.path("open/evil"))?;
    let at = host.world.path("bobs/mounted");
    std::fs::create_dir(&at)?;
    Run::new("mount").args(["-t", "tmpfs", evil]).arg(&at).finish()?.expect_code(0)?;
    let asked = [
        host.ask("why", &["/open/evil"])?,
        host.ask("can", &["read", "/open/evil"])?,
        host.ask("plan", &["--rhost", evil, "--tty", evil])?,
        host.ask("plan", &["--rhost", evil, "--tree"])?,
        host.ask("plan", &["--rhost", evil, "--json"])?,
        host.ask("why", &["/bobs/mounted"])?,
        host.ask("plan", &["--service", evil, "--profile", evil])?,
        Run::new(SESSIONCTL).args(["diff", "--session", evil]).finish()?,
        Run::new(SESSIONCTL).args(["end", "--session", evil]).finish()?,
        Run::new(SESSIONCTL).args(["check", "--user", evil]).finish()?,
        Run::new(SESSIONCTL).args([evil]).finish()?,
    ];
    Run::new("umount").arg(&at).finish()?;
    for told in &asked {
        let text = format!("{}{}", told.stdout, told.stderr);
        let raw = text.chars().find(|each| (each.is_control() && *each != '\n') || *each == '\u{202e}');
        ensure!(raw.is_none(), "{raw:?} came through: {text:?}");
        ensure!(!text.contains("\n  no difference"), "a line was forged: {text}");
    }
    ensure!(
        asked.iter().filter(|told| told.stdout.contains("owned") || told.stderr.contains("owned")).count()
            > 6,
        "{asked:?}"
    );
    Ok(())
}

/// A user's own server tells what is there, and keeps silent when it is asked who may do what.
pub(super) fn shy_server() -> Verdict {
    let host = Host::new("")?;
    let at = host.world.path("bobs/shy");
    std::fs::create_dir(&at)?;
    let served = Fuse::mount(&at, Server::Shy)?;
    for (command, words) in [("can", &["read", "/bobs/shy/file"][..]), ("why", &["/bobs/shy/file"])] {
        let told = host.ask(command, words)?;
        ensure!(told.stdout.contains("does not answer"), "{}{}", told.stdout, told.stderr);
    }
    drop(served);
    std::fs::remove_dir(&at)?;
    Ok(())
}
