//! Sessions that are begun by hand and last until they are ended, in schroot's manner: begin, enter, end, recover.

use libtest_mimic::{Failed, Trial};

use crate::support::{HostMounts, Needs, Run, Verdict, World, ensure, ensure_eq, isolated, until, users};

const SESSIONCTL: &str = env!("CARGO_BIN_EXE_sessionctl");

pub fn trials() -> Vec<Trial> {
    const NEEDS: &[Needs] = &[Needs::Root, Needs::OrdinaryUser, Needs::Tool("pkill")];
    vec![isolated("begun: begin, enter, end, recover", NEEDS, HostMounts::Shared, begun)]
}

fn sessionctl(words: &[&str]) -> Result<String, Failed> {
    Run::new(SESSIONCTL).args(words).finish()?.output()
}

fn list() -> Result<String, Failed> {
    sessionctl(&["list"])
}

fn begun() -> Verdict {
    let (world, bob) = (World::new()?, users::bob()?);
    let map = world.map("scope = \"user\"", "")?.display().to_string();
    let begin = || sessionctl(&["begin", "--user", &bob.name, "--config", &map]);
    let inside = |session: &str, command: &str| {
        sessionctl(&["enter", "--session", session, "--config", &map, "--", "sh", "-c", command])
    };
    let first = begin()?.trim_end().to_owned();
    ensure!(first.starts_with("Session"), "{first}");
    ensure!(list()?.contains(&first), "it is not on record");
    // What is left in the view is there for the next one that enters it.
    ensure_eq!(inside(&first, "id -u; echo kept > /tmp/word")?, format!("{}\n", bob.uid), "as whom");
    ensure_eq!(inside(&first, "cat /tmp/word")?, "kept\n", "in the same view");
    // A second session of the user shares it, and outlives the first.
    let second = begin()?.trim_end().to_owned();
    ensure_eq!(sessionctl(&["end", "--session", &first])?, format!("ended: {first}\n"), "end");
    ensure_eq!(inside(&second, "cat /tmp/word")?, "kept\n", "in the view of both");
    // Killed, it is begun again, once; what was ended is not.
    Run::new("pkill").args(["-KILL", "-x", "session-holder"]).finish()?.expect_code(0)?;
    until("nothing lives", || (!list().ok()?.contains("Session")).then_some(()))?;
    let said = sessionctl(&["recover"])?;
    let third = said.trim_end().strip_prefix(&format!("{second} ")).unwrap_or_default().to_owned();
    ensure!(third.starts_with("Session") && said.lines().count() == 1, "{said}");
    ensure_eq!(sessionctl(&["recover"])?, "", "a second recover");
    ensure_eq!(inside(&third, "id -u")?, format!("{}\n", bob.uid), "after recover");
    sessionctl(&["end", "--session", &third])?;
    until("nothing lives", || (!list().ok()?.contains("Session")).then_some(()))?;
    ensure_eq!(sessionctl(&["recover"])?, "", "after the end");
    begin()?;
    sessionctl(&["end", "--user", &bob.name])?;
    until("nothing lives", || (!list().ok()?.contains("Session")).then_some(()))?;
    ensure_eq!(sessionctl(&["recover"])?, "", "after the end of all of the user's");
    // What cannot be begun says why, and leaves nothing.
    let failed = Run::new(SESSIONCTL).args(["begin", "--user", "nobody-of-this-name"]).finish()?;
    ensure!(failed.code == Some(125) && failed.stderr.contains("knows no user"), "{failed:?}");
    let failed = Run::new(SESSIONCTL).args(["end", "--session", "Session999"]).finish()?;
    ensure!(
        failed.code == Some(125) && failed.stderr.contains("there is no session \"Session999\""),
        "{failed:?}"
    );
    ensure_eq!(sessionctl(&["recover"])?, "", "at last");
    Ok(())
}
