//! pam_chroot's file, as a login with `as=pam_chroot` or `--chroot-conf` reads it.

use std::collections::BTreeMap;

use super::names::listed;
use super::{Finding, Report, Request, Severity};
use crate::compat::chroot::{self, Decision, Options, Reading, Who};
use crate::error::Error;
use crate::host::{self, Census, Trust};
use crate::model::path::AbsPath;
use crate::model::policy::Origin;
use crate::model::subject::Door;
use crate::sys;

/// As many names are written out.
const NAMED_MAX: usize = 5;

/// The file, and the words that it is read by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChrootConf {
    /// Where it lies.
    pub file: String,
    /// What stands behind pam_chroot.so.
    pub words: String,
}

/// What was found, and whom it is about, by kind and line.
type Found = BTreeMap<(&'static str, usize, String), (Finding, Vec<String>)>;

pub(super) fn check(conf: &ChrootConf, request: &Request, report: &mut Report) -> Result<(), Error> {
    let candidate = host::read_candidate(&conf.file)?;
    if let Some(why) = candidate.untrusted {
        let mut finding =
            Finding::new(Severity::Error, "untrusted-file", format!("every login is refused: {why}"));
        finding.file = Some(conf.file.as_str().into());
        report.findings.push(
            finding.help("root must own it and every directory on the way, and nobody else may write there"),
        );
    }
    report.files = vec![conf.file.clone()];
    let (options, unknown) = Options::read(conf.words.split_ascii_whitespace());
    for word in unknown {
        let message = format!("{word:?} is no option of pam_chroot, and changes nothing");
        report.findings.push(Finding::new(Severity::Warning, "unknown-word", message).help("take it away"));
    }
    let census = host::login_users();
    report.users_known = census.len();
    let text = candidate.file.text.as_bytes();
    let at = |line: usize| Origin {
        file: conf.file.as_str().into(),
        line: u32::try_from(line).unwrap_or(u32::MAX),
    };
    about_lines(text, &options, &census, &at, report);
    let mut found = Found::new();
    for place in 0..census.len() {
        let Some(Ok(subject)) = census.subject(place, Door::command_line()) else { continue };
        let name = subject.name.as_str();
        if !request.users.is_empty() && !request.users.iter().any(|user| user == name) {
            continue;
        }
        report.users += 1;
        let groups = subject.groups.iter().filter(|gid| **gid != subject.gid);
        let mut names = vec![subject.group_name.clone()];
        names.extend(groups.filter_map(|gid| sys::user::group_name(*gid).ok().flatten()));
        let who = Who { name: name.to_owned(), groups: options.groups.then_some(names) };
        about_user(text, &options, &who, &mut found);
    }
    report.findings.extend(found.into_iter().map(|((_, line, _), (mut finding, users))| {
        let names: Vec<&str> = users.iter().map(String::as_str).collect();
        finding.message = format!("for {}: {}", listed(&names), finding.message);
        finding.users = Some(users.len());
        if line > 0 { finding.at(&at(line)) } else { finding }
    }));
    Ok(())
}

/// What can be said of a line whoever logs in.
fn about_lines(
    text: &[u8],
    options: &Options,
    census: &Census,
    at: &dyn Fn(usize) -> Origin,
    report: &mut Report,
) {
    for line in chroot::lines(text, options.reading) {
        let name = String::from_utf8_lossy(&line.name).into_owned();
        if line.directory.is_none() {
            let finding = match options.reading {
                Reading::Compat => Finding::new(
                    Severity::Warning,
                    "no-directory",
                    format!("{name:?} has no directory, and the line is passed over"),
                ),
                Reading::Native => Finding::new(
                    Severity::Error,
                    "no-directory",
                    format!("{name:?} has no directory: nobody gets in who comes to this line"),
                ),
            };
            report.findings.push(finding.at(&at(line.number)).help("NAME DIRECTORY"));
            continue;
        }
        if line.has_more {
            let message = format!("there is more behind the directory of {name:?}, which nobody reads");
            report.findings.push(Finding::new(Severity::Note, "more-fields", message).at(&at(line.number)));
        }
        if let Some(flavour) = options.flavour(options.reading)
            && let Err(why) = host::match_pattern(&line.name, b"", flavour)
        {
            let (severity, end) = match options.reading {
                Reading::Compat => (Severity::Warning, "the line is passed over"),
                Reading::Native => (Severity::Error, "nobody gets in who comes to it"),
            };
            let message = format!("{name:?} is no regular expression ({why}): {end}");
            report.findings.push(Finding::new(severity, "bad-pattern", message).at(&at(line.number)));
        } else if options.patterns.is_some() && options.reading == Reading::Compat {
            also_matches(&line.name, options, census, &at(line.number), report);
        }
    }
}

/// A pattern of the module's matches within longer names, and in any case of letters.
fn also_matches(pattern: &[u8], options: &Options, census: &Census, origin: &Origin, report: &mut Report) {
    let shown = String::from_utf8_lossy(pattern).into_owned();
    let (bare, what) = match pattern.strip_prefix(b"@") {
        Some(bare) => (bare, "groups"),
        None => (pattern, "users"),
    };
    let names: Vec<&str> =
        if what == "groups" { census.group_names().collect() } else { census.names().collect() };
    let matches = |name: &str, reading| {
        // A line of its own, so that nothing but the pattern decides.
        let conf = [bare, b" /x\n"].concat();
        let who = Who { name: name.to_owned(), groups: Some(vec![name.to_owned()]) };
        matches!(
            chroot::decide(Some(&conf), options, &who, reading, host::match_pattern),
            Decision::Chroot(_)
        )
    };
    let more: Vec<&str> = names
        .into_iter()
        .filter(|name| matches(name, Reading::Compat) && !matches(name, Reading::Native))
        .collect();
    if !more.is_empty() {
        let named = listed(more.get(..NAMED_MAX).unwrap_or(&more));
        let message =
            format!("`{shown}` also matches the {what} {named}: a pattern is found within longer names");
        report.findings.push(Finding::new(Severity::Warning, "also-matches", message).at(origin).help(
            "put `^` and `$` around it, or add the word `native`, with which a pattern is a whole name",
        ));
    }
}

fn about_user(text: &[u8], options: &Options, who: &Who, found: &mut Found) {
    let mut add = |id: &'static str, line: Option<usize>, make: &dyn Fn() -> Finding| {
        let key = (id, line.unwrap_or_default(), make().message);
        found.entry(key).or_insert_with(|| (make(), Vec::new())).1.push(who.name.clone());
    };
    let ask = |reading| chroot::decide_at(Some(text), options, who, reading, host::match_pattern);
    let (decision, line) = ask(options.reading);
    let outcome = chroot::outcome(&decision, options, options.reading);
    match &decision {
        Decision::Error(trouble) => {
            let severity =
                if outcome == chroot::Outcome::Refuse { Severity::Error } else { Severity::Warning };
            let end = if outcome == chroot::Outcome::Refuse {
                "the login is refused"
            } else {
                "the login stays in the host's view"
            };
            add("trouble", line, &|| Finding::new(severity, "trouble", format!("{trouble}; {end}")));
        }
        Decision::NotFound if outcome == chroot::Outcome::Refuse => add("no-line", None, &|| {
            Finding::new(Severity::Warning, "no-line", "there is no line, and the login is refused")
        }),
        Decision::NotFound => {}
        Decision::Chroot(directory) => {
            if let Some(reason) = unusable(directory) {
                let shown = String::from_utf8_lossy(directory).into_owned();
                add("directory", line, &|| {
                    Finding::new(
                        Severity::Error,
                        "directory",
                        format!("{shown:?}: {reason}; the login is refused"),
                    )
                });
            }
        }
    }
    if options.reading == Reading::Compat {
        let (native, _) = ask(Reading::Native);
        if native != decision {
            add("readings-differ", line, &|| {
                let said = |decision: &Decision| match decision {
                    Decision::Chroot(directory) => String::from_utf8_lossy(directory).into_owned(),
                    Decision::NotFound => "no line".to_owned(),
                    Decision::Error(trouble) => format!("a refusal ({trouble})"),
                };
                Finding::new(
                    Severity::Note,
                    "readings-differ",
                    format!(
                        "the module comes to {}, and the word `native` would to {}",
                        said(&decision),
                        said(&native)
                    ),
                )
            });
        }
    }
}

/// Why a directory can be nobody's root.
fn unusable(directory: &[u8]) -> Option<String> {
    let path = match AbsPath::new(&String::from_utf8_lossy(directory)) {
        Ok(path) if path.is_root() => return Some("it is the host's own root".to_owned()),
        Ok(path) => path,
        Err(error) => return Some(error.to_string()),
    };
    match host::walk(&path, Trust::ROOT) {
        Ok(_) => None,
        Err(error) if error.is_missing() => Some("it is missing".to_owned()),
        Err(error) => Some(error.to_string()),
    }
}
