//! What `sessionctl check` says of a chroot.conf before a login, and the word `native` at one.

use crate::support::{Run, Verdict, World, ensure, ensure_eq};

use super::Stage;

const SESSIONCTL: &str = env!("CARGO_BIN_EXE_sessionctl");

const FILE: &str = "@pamchroot /run/jails/A\n\
lonely\n\
stu(1 /run/jails/B\n\
stu17 relative\n\
@stu /run/jails/missing and more\n\
lost /\n";

pub fn is_told() -> Verdict {
    let _stage = Stage::new(&[])?;
    std::fs::create_dir("/run/jails/A")?;
    let world = World::new()?;
    let conf = world.file("chroot.conf", FILE)?.to_string_lossy().into_owned();
    let check = |words: &str, more: &[&str]| {
        Run::new(SESSIONCTL)
            .args(["check", "--chroot-conf", &conf, "--chroot-options", words, "--format", "json"])
            .args(more)
            .finish()
    };
    let findings = |words: &str, more: &[&str]| -> Result<Vec<String>, libtest_mimic::Failed> {
        let outcome = check(words, more)?;
        let report: serde_json::Value = serde_json::from_str(&outcome.stdout)?;
        let found = report["findings"].as_array().ok_or("no findings")?.iter();
        Ok(found
            .map(|one| {
                let word = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
                format!("{} {} {}: {}", word("severity"), one["line"], word("id"), word("message"))
            })
            .collect())
    };
    let by_groups = findings("use_groups use_ext_regex", &[])?;
    for expected in [
        "warning 1 also-matches: `@pamchroot` also matches the groups xpamchroot-old: a pattern is found within longer names",
        "warning 2 no-directory: \"lonely\" has no directory, and the line is passed over",
        "warning 3 bad-pattern: \"stu(1\" is no regular expression (Unmatched ( or \\(): the line is passed over",
        "note 5 more-fields: there is more behind the directory of \"@stu\", which nobody reads",
        "error 4 directory: for stu17: \"relative\": path \"relative\" is not absolute; the login is refused",
        "error 6 directory: for lost: \"/\": it is the host's own root; the login is refused",
        "note 1 readings-differ: for bobby: the module comes to /run/jails/A, and the word `native` would to a refusal (line 2: a name without a directory)",
    ] {
        ensure!(by_groups.iter().any(|found| found == expected), "{expected}\n in {by_groups:#?}");
    }
    let without = findings("", &[])?;
    ensure!(
        without.iter().any(|found| found.starts_with("error null trouble: for ")
            && found.contains(
                "line 1: `@` begins a group, and the option use_groups is missing; the login is refused"
            )),
        "{without:#?}"
    );
    let native = findings("use_groups use_ext_regex native", &["--user", "bobby"])?;
    ensure!(native.iter().any(|found| found.starts_with("error 2 no-directory: ")), "{native:#?}");
    ensure!(!native.iter().any(|found| found.contains("also-matches")), "{native:#?}");
    ensure_eq!(check("use_groups", &[])?.code, Some(1), "with errors");

    // At a login: bobby is in xpamchroot-old, and not in pamchroot.
    world.file("chroot.conf", "@pamchroot /run/jails/A\n")?;
    let dry = |words: &str, user: &str| {
        let options = ["--user", user, "--chroot-conf", &conf, "--chroot-options", words, "--dry-run"];
        world.session_enter(options)?.finish()
    };
    let compat = dry("use_groups use_regex", "bobby")?.output()?;
    ensure!(compat.contains("/run/jails/A") && compat.contains(&format!("{conf}:1")), "{compat}");
    let native = dry("use_groups use_regex native", "bobby")?;
    ensure!(native.code == Some(125) && native.stderr.contains("no line of "), "{}", native.stderr);
    ensure!(
        dry("use_groups use_regex native", "bob")?.output()?.contains("/run/jails/A"),
        "bob, who is meant"
    );
    // And seen before one, by the same file.
    let plan = Run::new(SESSIONCTL)
        .args(["plan", "--user", "bobby", "--chroot-conf", &conf, "--chroot-options", "use_groups use_regex"])
        .finish()?
        .output()?;
    ensure!(plan.contains(&format!("{conf}:1")) && !plan.contains("as a map"), "{plan}");
    let clean = Run::new(SESSIONCTL)
        .args(["check", "--chroot-conf", &conf, "--chroot-options", "use_groups"])
        .finish()?;
    ensure_eq!(clean.stdout, format!("{conf}: nothing to say\n"), "{}", clean.stderr);
    Ok(())
}
