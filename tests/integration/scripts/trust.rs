//! What root may run: nothing that anybody else could have put there, or changed, at any step of the way.

use std::os::unix::fs::{chown, symlink};
use std::path::Path;

use libtest_mimic::{Failed, Trial};

use super::site::{PLACE, Site, TRACE};
use super::{own, times};
use crate::support::{Run, Verdict, ensure, ensure_eq, tool};

pub fn trials() -> Vec<Trial> {
    vec![
        own("a script that others could change is not run, and what is wrong is named", changeable),
        own("a script that others could put another in place of is not run", replaceable),
        own("a write right that is given by an access list counts", access_list),
        own(
            "a script on which rights are taken back is run again, and one that is given away is not",
            given_and_taken,
        ),
        own("with a user's rights, too, a script is root's", with_users_rights),
        own("a configuration that others could change is not read", configuration),
    ]
}

/// A script that says it has run, whoever looks.
const BAD: &str = "#!/bin/sh\necho \"bad $0 $(id -u)\" >> /run/site/trace\n";

/// Nothing has run; for the script of this name the record says why, with `component` in it.
fn is_refused(site: &Site, script: &str, component: &str) -> Verdict {
    let (name, _) = site.added(&[])?;
    ensure_eq!(site.trace().len(), 0, "{script} has run: {:?}", site.trace());
    let how = site.how(&name, script)?;
    ensure!(how.starts_with("not run: "), "{script}: {how}");
    ensure!(
        how.contains(&format!("{component} belongs to uid")),
        "{component} is not what is named for {script}: {how}"
    );
    site.removed(&name)
}

fn own_by(path: &Path, uid: u32, gid: u32) -> Verdict {
    Ok(std::os::unix::fs::lchown(path, Some(uid), Some(gid))?)
}

fn changeable() -> Verdict {
    let site = Site::new("")?;
    let path = site.at("added/10W-a");
    let here = path.to_string_lossy().into_owned();
    for mode in [0o777, 0o757, 0o775, 0o722, 0o4777] {
        site.file("added/10W-a", BAD, mode)?;
        is_refused(&site, "added/10W-a", &here)?;
    }
    site.file("added/10W-a", BAD, 0o755)?;
    own_by(&path, site.bob.uid, 0)?;
    is_refused(&site, "added/10W-a", &here)?;
    // The group of a file of root's is nothing without a right.
    own_by(&path, 0, site.bob.gid)?;
    site.script("added/10W-a", &format!("echo good >> {TRACE}"))?;
    let (name, _) = site.added(&[])?;
    ensure_eq!(site.trace(), ["good"], "a script of root's and another group");
    site.removed(&name)
}

fn replaceable() -> Verdict {
    let site = Site::new("")?;
    let path = site.at("added/10W-a");
    let target = "/run/site/scripts/start/a.sh";
    for folder in ["scripts", "scripts/start", "bobs"] {
        site.folder(&format!("{PLACE}/{folder}"), 0o755)?;
    }
    site.file(target, BAD, 0o755)?;
    own_by(Path::new("/run/site/bobs"), site.bob.uid, site.bob.gid)?;
    symlink("../../scripts/start/a.sh", &path)?;
    // A link's folders.
    for (folder, mode) in
        [("scripts/start", 0o777), ("scripts", 0o777), ("scripts/start", 0o775), ("scripts", 0o1777)]
    {
        let folder = format!("{PLACE}/{folder}");
        site.folder(&folder, mode)?;
        is_refused(&site, "added/10W-a", &folder)?;
        site.folder(&folder, 0o755)?;
    }
    own_by(Path::new("/run/site/scripts"), site.bob.uid, site.bob.gid)?;
    is_refused(&site, "added/10W-a", "/run/site/scripts")?;
    own_by(Path::new("/run/site/scripts"), 0, 0)?;
    // A link of bob's, in a folder of root's; and through a folder of bob's, to a script of root's.
    own_by(&path, site.bob.uid, site.bob.gid)?;
    is_refused(&site, "added/10W-a", &path.to_string_lossy())?;
    std::fs::remove_file(&path)?;
    symlink(target, "/run/site/bobs/link")?;
    symlink("/run/site/bobs/link", &path)?;
    is_refused(&site, "added/10W-a", "/run/site/bobs")?;
    std::fs::remove_file(&path)?;
    symlink("/run/site/bobs/../scripts/start/a.sh", &path)?;
    is_refused(&site, "added/10W-a", "/run/site/bobs")?;
    // The folder itself: then it is not even listed.
    std::fs::remove_file(&path)?;
    site.file("added/10W-a", BAD, 0o755)?;
    for (folder, mode) in [
        ("session.d/added", 0o777),
        ("session.d/added", 0o775),
        ("session.d/added", 0o1777),
        ("session.d", 0o777),
    ] {
        let folder = format!("{PLACE}/{folder}");
        site.folder(&folder, mode)?;
        let (name, _) = site.added(&[])?;
        ensure_eq!(site.trace().len(), 0, "with {folder} 0{mode:o}: {:?}", site.trace());
        let skipped = site.skipped(&name)?;
        let named = skipped.iter().any(|(_, why)| why.contains(&format!("{folder} belongs to uid")));
        ensure!(named, "{folder} is not named: {skipped:?}");
        site.removed(&name)?;
        site.folder(&folder, 0o755)?;
    }
    own_by(&site.at("added"), site.bob.uid, site.bob.gid)?;
    let (name, _) = site.added(&[])?;
    ensure_eq!(site.trace().len(), 0, "in a folder of bob's");
    site.removed(&name)?;
    // The last folder that is a link, and one that is none.
    own_by(&site.at("added"), 0, 0)?;
    std::fs::rename(site.at("added"), "/run/site/bobs/added")?;
    symlink("/run/site/bobs/added", site.at("added"))?;
    let (name, _) = site.added(&[])?;
    ensure_eq!(site.trace().len(), 0, "in a folder that bob can rename");
    site.removed(&name)?;
    std::fs::remove_file(site.at("added"))?;
    std::fs::rename("/run/site/bobs/added", "/run/site/added")?;
    symlink("../added", site.at("added"))?;
    let (name, _) = site.added(&[])?;
    ensure_eq!(site.trace().len(), 1, "in a folder of root's behind a link of root's");
    site.removed(&name)
}

/// Gives bob the right to write by an access list; `false` where the file system has none.
fn give(path: &Path, uid: u32) -> Result<bool, Failed> {
    // Version 2: tag, rights and id of each entry.
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, rights, id) in
        [(1, 7, u32::MAX), (2, 6, uid), (4, 5, u32::MAX), (16, 7, u32::MAX), (32, 5, u32::MAX)]
    {
        list.extend_from_slice(&u16::to_le_bytes(tag));
        list.extend_from_slice(&u16::to_le_bytes(rights));
        list.extend_from_slice(&id.to_le_bytes());
    }
    let set = rustix::fs::setxattr(path, "system.posix_acl_access", &list, rustix::fs::XattrFlags::empty());
    match set {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::OPNOTSUPP) => Ok(false),
        Err(errno) => Err(format!("{path:?}: {errno}").into()),
    }
}

fn access_list() -> Verdict {
    let site = Site::new("")?;
    let path = site.file("added/10W-a", BAD, 0o755)?;
    if !give(&path, site.bob.uid)? {
        eprintln!("the file system of /run has no access lists");
        return Ok(());
    }
    let written = Run::new("sh").args(["-c", "echo >> \"$1\"", "sh"]).arg(&path).user(&site.bob).finish()?;
    ensure_eq!(written.code, Some(0), "bob's right to write: {}", written.stderr);
    is_refused(&site, "added/10W-a", &path.to_string_lossy())?;
    std::fs::remove_file(&path)?;
    site.file("added/10W-a", BAD, 0o755)?;
    ensure!(give(&site.at("added"), site.bob.uid)?, "an access list for a folder");
    let (name, _) = site.added(&[])?;
    ensure_eq!(site.trace().len(), 0, "in a folder that bob may write to");
    site.removed(&name)
}

fn given_and_taken() -> Verdict {
    let site = Site::new("")?;
    let path = site.script("added/10W-a", &format!("echo run >> {TRACE}"))?;
    for round in 0..times(40) {
        site.clear();
        let is_roots = round % 2 == 0;
        let owner = if is_roots { 0 } else { site.bob.uid };
        chown(&path, Some(owner), Some(0))?;
        let (name, _) = site.added(&[])?;
        ensure_eq!(site.trace().len(), usize::from(is_roots), "round {round}, owner {owner}");
        site.removed(&name)?;
    }
    Ok(())
}

fn with_users_rights() -> Verdict {
    let site = Site::new("user = \"user\"")?;
    std::fs::write(TRACE, "")?;
    chown(TRACE, Some(site.bob.uid), Some(site.bob.gid))?;
    let path = site.file("added/10W-a", BAD, 0o755)?;
    own_by(&path, site.bob.uid, site.bob.gid)?;
    is_refused(&site, "added/10W-a", &path.to_string_lossy())?;
    own_by(&path, 0, 0)?;
    let (name, _) = site.added(&[])?;
    ensure!(
        site.trace().len() == 1 && site.trace()[0].ends_with(&format!(" {}", site.bob.uid)),
        "{:?}",
        site.trace()
    );
    site.removed(&name)
}

fn configuration() -> Verdict {
    let site = Site::new("")?;
    site.tracers(&["added/10W-a"])?;
    let path = site.world.path("scripts.conf");
    let refused = |what: &str| -> Verdict {
        let outcome = site.begins(&[])?.expect_code(125)?;
        ensure!(
            outcome.stderr.contains("scripts.conf"),
            "the configuration is not named ({what}): {}",
            outcome.stderr
        );
        ensure_eq!(site.trace().len(), 0, "scripts that ran ({what})");
        Ok(())
    };
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
    refused("0666")?;
    site.configure("")?;
    own_by(&path, site.bob.uid, site.bob.gid)?;
    refused("of bob's")?;
    std::fs::remove_file(&path)?;
    refused("missing")?;
    ensure!(tool("sh").is_some(), "no shell");
    site.configure("")?;
    site.added(&[]).map(drop)
}
