//! The directory without which nothing runs for a user.

use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

use super::own;
use super::site::{PLACE, Site, TRACE};
use crate::support::{Run, Verdict, ensure, ensure_eq};

pub fn trials() -> Vec<Trial> {
    vec![
        own("without the directory in the home nothing runs and nothing is on record", closed),
        own("the gate can be another directory, or none", elsewhere),
        own("a closed gate closes the folder, and no other session manager's scripts", worlds),
        own("a gate that opens or closes while a session lives changes nothing for it", meanwhile),
    ]
}

/// Bob's home, empty, in a `/home` of the test's own.
fn home(site: &Site) -> Result<PathBuf, libtest_mimic::Failed> {
    let parent = site.bob.home.parent().ok_or("a home has a parent")?;
    Run::new("mount")
        .args(["-t", "tmpfs", "-o", "mode=755", "tmpfs"])
        .arg(parent)
        .finish()?
        .expect_code(0)?;
    make_home(site)?;
    Ok(site.bob.home.clone())
}

fn make_home(site: &Site) -> Verdict {
    std::fs::create_dir(&site.bob.home)?;
    Ok(chown(&site.bob.home, Some(site.bob.uid), Some(site.bob.gid))?)
}

/// Nothing has run, and nobody has heard of a session.
fn nothing_ran(site: &Site, what: &str) -> Verdict {
    let outcome = site.begins(&["--session", "one"])?.expect_code(0)?;
    ensure_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""), "what was printed with {what}");
    ensure_eq!(site.trace().len(), 0, "scripts that ran with {what}");
    let look = "find /run/session-sandbox -name 'Session*' -not -path '*/ended/*'";
    let left = Run::new("sh").args(["-c", look]).finish()?.output()?;
    ensure_eq!(left, "", "what is on record with {what}");
    site.call("removed", &["--session", "one", "--wait"]).finish()?.expect_code(0)?;
    ensure_eq!(site.trace().len(), 0, "scripts that ran at the end with {what}");
    Ok(())
}

fn runs(site: &Site, what: &str) -> Verdict {
    let (name, _) = site.added(&[])?;
    site.removed(&name)?;
    ensure_eq!(site.trace(), ["added/10W-a session_added", "removed/10W-a session_removed"], "with {what}");
    site.clear();
    Ok(())
}

fn closed() -> Verdict {
    let site = Site::new("gate = \"%h/.session\"")?;
    let home = home(&site)?;
    site.tracers(&["added/10W-a", "removed/10W-a"])?;
    let gate = home.join(".session");
    nothing_ran(&site, "no gate")?;
    std::fs::create_dir(&gate)?;
    runs(&site, "a directory of root's")?;
    chown(&gate, Some(site.bob.uid), Some(site.bob.gid))?;
    runs(&site, "a directory of bob's")?;
    std::fs::remove_dir(&gate)?;
    for to in ["/tmp", "/", ".", "/nowhere", "/etc/passwd"] {
        symlink(to, &gate)?;
        nothing_ran(&site, &format!("a link to {to}"))?;
        std::fs::remove_file(&gate)?;
    }
    std::fs::write(&gate, "")?;
    nothing_ran(&site, "a file")?;
    std::fs::remove_file(&gate)?;
    Run::new("mkfifo").arg(&gate).finish()?.expect_code(0)?;
    nothing_ran(&site, "a FIFO")?;
    std::fs::remove_file(&gate)?;
    std::fs::remove_dir(&home)?;
    nothing_ran(&site, "no home")?;
    // The administrator may have put homes elsewhere.
    std::fs::create_dir(Path::new(PLACE).join("bob"))?;
    symlink(Path::new(PLACE).join("bob"), &home)?;
    nothing_ran(&site, "a home that is a link")?;
    std::fs::create_dir(&gate)?;
    runs(&site, "a gate in a home that is a link")?;
    site.until_nothing_is_left()
}

fn elsewhere() -> Verdict {
    let site = Site::new("gate = \"/run/site/gates/%u\"")?;
    site.tracers(&["added/10W-a", "removed/10W-a"])?;
    nothing_ran(&site, "no gate elsewhere")?;
    site.folder(&format!("{PLACE}/gates"), 0o755)?;
    nothing_ran(&site, "nobody's gate")?;
    site.folder(&format!("{PLACE}/gates/{}", site.bob.name), 0o755)?;
    runs(&site, "a gate elsewhere")?;
    site.configure("gate = \"none\"")?;
    runs(&site, "no gate at all")?;
    // The home does not matter then.
    home(&site)?;
    std::fs::remove_dir(&site.bob.home)?;
    runs(&site, "no gate and no home")
}

fn worlds() -> Verdict {
    let site = Site::new(
        "gate = \"/run/site/no\"\n[compat]\nconsolekit = [\"/run/site/ck\"]\npam_exec = \"/run/site/hook\"",
    )?;
    site.folder(&format!("{PLACE}/ck"), 0o755)?;
    site.tracers(&["added/10W-a", "first/10W-a", "removed/10W-a", "last/10W-a"])?;
    site.script("/run/site/ck/a.ck", &format!("echo \"ck $1\" >> {TRACE}"))?;
    site.script("/run/site/hook", &format!("echo \"exec $PAM_TYPE\" >> {TRACE}"))?;
    let (name, _) = site.added(&[])?;
    site.removed(&name)?;
    let expected = ["ck session_added", "exec open_session", "exec close_session", "ck session_removed"];
    ensure_eq!(site.trace(), expected, "what runs");
    site.until_nothing_is_left()
}

fn meanwhile() -> Verdict {
    let site = Site::new("gate = \"/run/site/gate\"")?;
    site.tracers(&["added/10W-a", "removed/10W-a"])?;
    let gate = format!("{PLACE}/gate");
    site.folder(&gate, 0o755)?;
    let (name, _) = site.added(&[])?;
    std::fs::remove_dir(&gate)?;
    site.removed(&name)?;
    ensure_eq!(site.count("removed/10W-a session_removed"), 1, "what was begun is ended: {:?}", site.trace());
    site.clear();
    nothing_ran(&site, "a gate that is gone")?;
    ensure!(site.trace().is_empty(), "{:?}", site.trace());
    site.until_nothing_is_left()
}
