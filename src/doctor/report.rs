//! What was found, for people and for programs.

use std::fmt::Write;

use serde::Serialize;

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Worth knowing.
    Note,
    /// Somebody should do something.
    Wrong,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How it stands.
    pub verdict: Verdict,
    /// What it is about.
    pub about: String,
    /// What was found.
    pub text: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Finding {
    /// A finding without a remedy.
    pub fn new(verdict: Verdict, about: &str, text: impl Into<String>) -> Self {
        Self { verdict, about: about.to_owned(), text: text.into(), help: None }
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// What a service's sessions open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Coverage {
    /// The user's view.
    View,
    /// The host's view.
    Host,
    /// Nothing: it has no session lines.
    NoSession,
}

/// A PAM service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// What its sessions open.
    pub opens: Coverage,
    /// Where the module's line stands, as `file:line`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// What there is to say about it.
    pub findings: Vec<Finding>,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Is nothing wrong?
    pub well: bool,
    /// The services.
    pub services: Vec<Service>,
    /// The rest.
    pub checks: Vec<Finding>,
}

impl Report {
    /// Puts it together.
    pub fn new(services: Vec<Service>, checks: Vec<Finding>) -> Self {
        let of_services = services.iter().flat_map(|service| &service.findings);
        let well = of_services.chain(&checks).all(|finding| finding.verdict != Verdict::Wrong);
        Self { well, services, checks }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let width = self.services.iter().map(|service| service.name.len()).max().unwrap_or(0).max(7);
        let mut put = |line: String| {
            text.push_str(line.trim_end());
            text.push('\n');
        };
        put(format!("{:<width$}  ITS SESSIONS OPEN", "SERVICE"));
        for service in &self.services {
            let opens = match (service.opens, &service.line) {
                (Coverage::View, Some(line)) => format!("the user's view  ({line})"),
                (Coverage::View, None) => "the user's view".to_owned(),
                (Coverage::Host, _) => {
                    match service.findings.first().and_then(|finding| finding.help.as_ref()) {
                        Some(help) => format!("the host's view  NOT covered: {help}"),
                        None => "the host's view".to_owned(),
                    }
                }
                (Coverage::NoSession, _) => "nothing: it has no session lines".to_owned(),
            };
            put(format!("{:<width$}  {opens}", service.name));
            // What to do about the first finding stands in the line itself.
            let is_told = usize::from(
                service.opens == Coverage::Host
                    && service.findings.first().is_some_and(|first| first.help.is_some()),
            );
            for finding in &service.findings[is_told..] {
                put(format!("{:<width$}    {}: {}", "", mark(finding.verdict), finding.text));
                if let Some(help) = &finding.help {
                    put(format!("{:<width$}      help: {help}", ""));
                }
            }
        }
        put(String::new());
        for check in &self.checks {
            put(format!("{:<5}  {}: {}", mark(check.verdict), check.about, indented(&check.text)));
            if let Some(help) = &check.help {
                put(format!("         help: {help}"));
            }
        }
        put(String::new());
        put(if self.well { "all is well".to_owned() } else { format!("{} to be put right", self.wrong()) });
        text
    }

    fn wrong(&self) -> String {
        let of_services = self.services.iter().flat_map(|service| &service.findings);
        let all = of_services.chain(&self.checks);
        let count = all.filter(|finding| finding.verdict == Verdict::Wrong).count();
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = write!(text, "{count} {}", if count == 1 { "thing is" } else { "things are" });
        text
    }
}

fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Good => "ok",
        Verdict::Note => "note",
        Verdict::Wrong => "WRONG",
    }
}

/// What goes over several lines is set below its first.
fn indented(text: &str) -> String {
    text.replace('\n', "\n         ")
}
