//! The same file, the same words, the same user: by pam_chroot, and by our module in its place.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use session_sandbox::compat::chroot::{Decision, Options, Outcome, Reading, decide, outcome};
use session_sandbox::model::path::AbsPath;

use super::{CONF, FILES, KNOWN, SERVICES, SESSION_ERROR, Seen, Stage, difference, matcher, read};
use crate::pam;
use crate::support::{Run, Verdict, ensure, ensure_eq};

/// Of [`SERVICES`]: with groups, with patterns, with both, with errors that count, without the last step, for everybody.
const CHOSEN: [usize; 6] = [1, 3, 4, 6, 7, 9];
/// Of [`super::USERS`], those whom somebody knows, but for one in eighty groups and one who is another one's twin.
const USERS: [&str; 4] = ["bob", "bobby", "stu17", "lost"];

/// Why our module refuses a login that pam_chroot lets in or dies of.
fn reason(decision: &Decision, options: &Options) -> Option<&'static str> {
    match (decision, outcome(decision, options, Reading::Compat)) {
        (Decision::Error(trouble), _) => difference(trouble).map(|_| "it crashes, or takes all memory"),
        (_, Outcome::Enter(directory)) => match AbsPath::new(&String::from_utf8_lossy(&directory)) {
            Ok(path) if path.is_root() => Some("the host's own root is no root of one's own"),
            Ok(_) => None,
            Err(_) => Some("a path that is relative or goes back depends on where it begins"),
        },
        _ => None,
    }
}

pub fn is_the_same() -> Verdict {
    let services: Vec<&str> = CHOSEN.iter().map(|at| SERVICES[*at]).collect();
    let stage = Stage::new(&services)?;
    for (at, words) in services.iter().enumerate() {
        let module = pam::stage::module();
        let line = format!(
            "session required {} helper={} as=pam_chroot {words}\n",
            module.display(),
            pam::stage::SESSION_DOOR
        );
        std::fs::write(format!("/etc/pam.d/o{at}"), line)?;
    }
    std::fs::write("/run/file", "")?;
    std::os::unix::fs::symlink("A", "/run/jails/link")?;
    let (mut alike, mut inside, mut differ) = (0, 0, 0);
    for conf in FILES {
        std::fs::write(CONF, conf)?;
        let mut cases = Vec::new();
        for (at, words) in services.iter().enumerate() {
            let (options, _) = Options::read(words.split_ascii_whitespace());
            for user in stage.users[..KNOWN].iter().filter(|user| USERS.contains(&user.name.as_str())) {
                let decision = decide(Some(conf.as_bytes()), &options, user, Reading::Compat, matcher);
                if let Decision::Chroot(directory) = &decision
                    && directory.starts_with(b"/run/jails/")
                {
                    std::fs::create_dir_all(OsStr::from_bytes(directory))?;
                }
                cases.push((at, user.name.clone(), *words, reason(&decision, &options)));
            }
        }
        let sessions = |letter: char| -> Result<Vec<Seen>, libtest_mimic::Failed> {
            let arguments = cases.iter().flat_map(|(at, user, ..)| [format!("{letter}{at}"), user.clone()]);
            let printed = Run::new(&stage.host).args(arguments).finish()?.output()?;
            let seen: Option<Vec<Seen>> = printed.lines().map(read).collect();
            Ok(seen.ok_or_else(|| format!("not understood: {printed}"))?)
        };
        let (theirs, ours) = (sessions('s')?, sessions('o')?);
        ensure_eq!((theirs.len(), ours.len()), (cases.len(), cases.len()), "sessions with {conf:?}");
        for (((_, user, words, reason), theirs), ours) in cases.iter().zip(theirs).zip(ours) {
            let case = format!("{user} with {words:?} by {conf:?}: pam_chroot came to {theirs:?}");
            match reason {
                Some(why) => {
                    let refused = Seen::Result(SESSION_ERROR, stage.root);
                    ensure_eq!(ours, refused, "{case}, and we refuse, because {why}");
                    differ += 1;
                }
                None => {
                    ensure_eq!(ours, theirs, "{case}");
                    alike += 1;
                    inside += usize::from(!matches!(ours, Seen::Result(_, root) if root == stage.root));
                }
            }
        }
    }
    ensure!(
        alike > 1000 && inside > 200 && differ > 20,
        "{alike} alike, {inside} of them inside, {differ} differ"
    );
    Ok(())
}
