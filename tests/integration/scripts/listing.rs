//! Which names of a folder are run, and in which order.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use libtest_mimic::Trial;
use session_sandbox::model::scripts::Event;
use session_sandbox::scripts::journal::Line;

use super::own;
use super::site::{PLACE, Site, TRACE};
use crate::support::{Verdict, ensure, ensure_eq};

pub fn trials() -> Vec<Trial> {
    vec![
        own("the folder of the page runs as the page has it, through its links", the_page),
        own("a name is run in the order of its bytes, and an unknown letter means the list", order),
        own("what is no script's name is not run, and said once", leftovers),
        own("of ten thousand scripts some hundreds run, and the rest is counted", too_many),
    ]
}

/// The listing of <http://linux.bononline.nl/wiki/index.php/Run_scripts_when_session_starts/ends>.
const PAGE: [(&str, &str); 6] = [
    ("10W-determine-settings.sh", "../scripts/start/determine-settings.sh"),
    ("11W-determine-groups.sh", "/run/site/mount.md5key/determine-groups.sh"),
    ("15W-make_workspace.sh", "../scripts/start/make_workspace.sh"),
    ("20D-manage_workspace.sh", "/run/site/mount.md5key/manage_workspace.sh"),
    ("50-determine_local_devices.sh", "../scripts/start/determine_local_devices.sh"),
    ("70-network.sh", "../scripts/start/network.sh"),
];

fn the_page() -> Verdict {
    let site = Site::new("")?;
    for folder in ["session.d/scripts", "session.d/scripts/start", "mount.md5key"] {
        site.folder(&format!("{PLACE}/{folder}"), 0o755)?;
    }
    for (name, to) in PAGE {
        let link = site.at(&format!("added/{name}"));
        symlink(to, &link)?;
        let target = if to.starts_with('/') { to.to_owned() } else { to.replacen("../", "", 1) };
        site.script(&target, &format!("echo \"$0 $1\" >> {TRACE}"))?;
    }
    let (name, _) = site.added(&[])?;
    let line = |at: usize| format!("{PLACE}/session.d/added/{} session_added", PAGE[at].0);
    let waited_for: Vec<String> = site.trace().into_iter().filter(|line| line.contains("W-")).collect();
    ensure_eq!(waited_for, [line(0), line(1), line(2)], "what has run when the login goes on");
    site.until_done(&name, Event::Added)?;
    site.until_traced(&line(3))?;
    let others: Vec<String> = site.trace().into_iter().filter(|other| *other != line(3)).collect();
    ensure_eq!(others, [line(0), line(1), line(2), line(4), line(5)], "the order");
    // The detached one was begun behind those that are waited for, and before the list.
    let submitted: Vec<Vec<String>> = site
        .record(&name)?
        .into_iter()
        .filter_map(|line| match line {
            Line::Submitted { names, .. } => Some(names),
            _ => None,
        })
        .collect();
    let named = |at: usize| format!("added/{}", PAGE[at].0);
    ensure_eq!(submitted, [vec![named(3)], vec![named(4), named(5)]], "what was handed on");
    site.removed(&name)?;
    site.until_nothing_is_left()
}

fn order() -> Verdict {
    let site = Site::new("")?;
    let names = ["added/10W-B", "added/10W-a", "added/10W-b", "added/09W-z", "added/00W-z.sh", "added/99W-0"];
    site.tracers(&names)?;
    site.tracers(&["added/30X-foo", "added/30-foo", "added/20w-foo", "added/20d-foo", "added/98-x"])?;
    let (name, _) = site.added(&[])?;
    let line = |name: &str| format!("added/{name} session_added");
    let waited_for = ["00W-z.sh", "09W-z", "10W-B", "10W-a", "10W-b", "99W-0"].map(line);
    ensure_eq!(site.trace()[..6], waited_for, "those that are waited for");
    site.until_done(&name, Event::Added)?;
    let listed = ["20d-foo", "20w-foo", "30-foo", "30X-foo", "98-x"].map(line);
    ensure_eq!(site.trace()[6..], listed, "the list");
    site.removed(&name)
}

fn leftovers() -> Verdict {
    let site = Site::new("")?;
    let odd: [&[u8]; 20] = [
        b"README",
        b"10W-x~",
        b"10W-x.dpkg-new",
        b"10W-x.rpmsave",
        b"10W-x.swp",
        b"10W-a b",
        b"10W-a\nb",
        b"-rf",
        b"10W-$(reboot)",
        b"10W-\xff",
        b"10W-\xe2\x80\xae",
        b"10Wfoo",
        b"10W",
        b"10W-",
        b"100W-x",
        b"1W-x",
        b"#10W-x#",
        b"10W-\x1b[2J",
        b"10D",
        b"10W-x.bak",
    ];
    let content = format!("#!/bin/sh\necho \"bad $0\" >> {TRACE}\n");
    for name in odd.iter().chain([b".10W-x" as &[u8], b".x" as &[u8]].iter()) {
        let path = site.at("added").join(OsStr::from_bytes(name));
        std::fs::write(&path, &content)?;
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    }
    site.tracers(&["added/11W-good"])?;
    let (name, printed) = site.added(&[])?;
    ensure_eq!(site.trace(), ["added/11W-good session_added"], "what has run");
    ensure_eq!(printed, "", "what was printed");
    let skipped = site.skipped(&name)?;
    ensure_eq!(skipped.len(), odd.len(), "what is said not to be run: {skipped:?}");
    let names: std::collections::BTreeSet<&String> = skipped.iter().map(|(name, _)| name).collect();
    ensure_eq!(names.len(), odd.len(), "names that are said: {names:?}");
    for (name, why) in &skipped {
        ensure!(name.starts_with("added/") && !why.is_empty(), "{name:?}: {why:?}");
        ensure!(!name.chars().chain(why.chars()).any(char::is_control), "{name:?}: {why:?} is not printable");
        ensure!(!name.contains('\u{202e}'), "{name:?} turns what is around it");
    }
    let said: Vec<&str> = skipped.iter().map(|(name, _)| name.as_str()).collect();
    for expected in
        ["added/10W-a\\nb", "added/-rf", "added/README", "added/10W-\\u{1b}[2J", "added/10W-\u{fffd}"]
    {
        ensure!(said.contains(&expected), "{expected:?} is not in {said:?}");
    }
    site.removed(&name)
}

fn too_many() -> Verdict {
    let site = Site::new("")?;
    // In one directory, links to one program: what they cost is their names.
    for number in 10_000..20_000 {
        symlink("/bin/true", site.at(&format!("added/50-{number}")))?;
        if number < 10_100 {
            symlink("/bin/true", site.at(&format!("added/README-{number}")))?;
        }
    }
    let began = std::time::Instant::now();
    let (name, _) = site.added(&[])?;
    super::site::ensure_within(
        std::time::Duration::from_secs(10),
        began,
        "a login with ten thousand scripts",
    )?;
    site.until_done(&name, Event::Added)?;
    let record = site.record(&name)?;
    let ran = record.iter().filter(|line| matches!(line, Line::End { how, .. } if how == "exit 0")).count();
    ensure_eq!(ran, 512, "scripts that have run");
    let skipped = site.skipped(&name)?;
    let counted = skipped.iter().any(|(_, why)| why.contains("10000") && why.contains("9488"));
    ensure!(counted, "it is not said how many were left out: {:?}", skipped.last());
    site.removed(&name)
}
