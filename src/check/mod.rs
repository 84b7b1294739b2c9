//! `sessionctl check`: everything that is wrong with a map, or may not be meant, before somebody logs in.
//!
//! | what | severity |
//! |---|---|
//! | a mistake in a file | error, and nothing else can be checked |
//! | a user whose login would be refused | error |
//! | a policy that lets nobody in | error |
//! | what is allowed and probably not meant | warning |
//! | who else is meant, what is left alone | note |
//!
//! Plans are made for a sample of the host's users, or for all, by every door that the map names. Changes nothing.
#![forbid(unsafe_code)]

mod chroot_conf;
mod names;
mod report;
mod users;

use std::sync::Arc;

use serde::Serialize;

use crate::config::{self, Diagnostic, SourceFile};
use crate::error::Error;
use crate::host;
use crate::model::policy::{Origin, Policy};
use crate::plan::lint;

pub use chroot_conf::ChrootConf;
pub use report::Format;

/// What is read where a file is called `-`.
const STANDARD_INPUT: &str = "standard input";

/// What is checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The files that make up the map: a base and what is put on top of it. Without any, the host's.
    pub files: Vec<String>,
    /// Are they put on top of the host's map?
    pub drop_in: bool,
    /// For these users; without any, for a sample.
    pub users: Vec<String>,
    /// For all users that the host lists.
    pub all_users: bool,
    /// Not a map, but this file of pam_chroot's.
    pub chroot_conf: Option<ChrootConf>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Somebody cannot log in, or the map cannot be read.
    Error,
    /// Allowed, and probably not meant.
    Warning,
    /// Worth knowing.
    Note,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Stable, for machines: `unknown-group`.
    pub id: &'static str,
    /// The file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<Arc<str>>,
    /// Counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Counted from 1, in characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// One sentence.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// How many users it is about, where it is about users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<usize>,
    /// The line in question, as it is shown.
    #[serde(skip)]
    pub shown: Option<String>,
}

impl Finding {
    pub(crate) fn new(severity: Severity, id: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            severity,
            id,
            file: None,
            line: None,
            column: None,
            message,
            help: None,
            users: None,
            shown: None,
        }
    }

    pub(crate) fn at(mut self, origin: &Origin) -> Self {
        self.file = Some(Arc::clone(&origin.file));
        self.line = Some(origin.line);
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// All that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The files, in their order.
    pub files: Vec<String>,
    /// How many profiles there are.
    pub profiles: usize,
    /// How many users plans were made for.
    pub users: usize,
    /// Of how many who can log in.
    pub users_known: usize,
    /// By which doors.
    pub doors: Vec<String>,
    /// The worst first, and then in the order of the files.
    pub findings: Vec<Finding>,
    /// How many more mistakes there are than are listed.
    pub left_out: usize,
}

impl Report {
    pub(crate) fn sort(&mut self) {
        self.findings.sort_by(|one, other| {
            (one.severity, &one.file, one.line).cmp(&(other.severity, &other.file, other.line))
        });
    }

    /// How many findings are so bad.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}

/// Checks a map on this host.
pub fn check(request: &Request, stdin: Option<String>) -> Result<Report, Error> {
    let mut report = Report::default();
    if let Some(conf) = &request.chroot_conf {
        chroot_conf::check(conf, request, &mut report)?;
        report.sort();
        return Ok(report);
    }
    let files = read(request, stdin, &mut report)?;
    report.files = files.iter().map(|file| file.name.clone()).collect();
    match config::parse(&files) {
        Err(diagnostics) => {
            report.findings.extend(diagnostics.iter().map(mistake));
            report.left_out = diagnostics.left_out();
        }
        Ok(policy) => {
            report.profiles = policy.profiles.len();
            report.findings.extend(lint::lint_policy(&policy).into_iter().map(|finding| warning(&finding)));
            examine(request, &policy, &mut report)?;
        }
    }
    report.sort();
    Ok(report)
}

fn examine(request: &Request, policy: &Policy, report: &mut Report) -> Result<(), Error> {
    let census = host::login_users();
    report.users_known = census.len();
    report.findings.extend(names::findings(policy, &census));
    users::check(request, policy, &census, report)
}

/// The files' texts. One that no login would read as it lies there is read all the same, and that is said.
fn read(request: &Request, stdin: Option<String>, report: &mut Report) -> Result<Vec<SourceFile>, Error> {
    if request.files.is_empty() {
        return host::map_files();
    }
    let mut stdin = stdin;
    let mut files = if request.drop_in { host::map_files()? } else { Vec::new() };
    for path in &request.files {
        if let Some(text) = stdin.take_if(|_| path == "-") {
            files.push(SourceFile { name: STANDARD_INPUT.to_owned(), text });
            continue;
        }
        let candidate = host::read_candidate(path)?;
        if let Some(why) = candidate.untrusted {
            let mut finding = Finding::new(
                Severity::Note,
                "untrusted-file",
                format!("as it lies there, no login of root's would read it: {why}"),
            );
            finding.file = Some(path.as_str().into());
            report.findings.push(finding.help("put it into /etc/session-sandbox with `install -m 644`"));
        }
        files.push(candidate.file);
    }
    Ok(files)
}

fn mistake(diagnostic: &Diagnostic) -> Finding {
    Finding {
        severity: Severity::Error,
        id: "mistake",
        file: Some(Arc::clone(&diagnostic.file)),
        line: Some(diagnostic.line),
        column: Some(diagnostic.column),
        message: diagnostic.message.clone(),
        help: diagnostic.help.clone(),
        users: None,
        shown: Some(diagnostic.to_string()),
    }
}

fn warning(finding: &lint::Finding) -> Finding {
    Finding::new(Severity::Warning, finding.id, finding.message.clone())
        .at(&finding.origin)
        .help(finding.help)
}
