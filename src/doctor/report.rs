//! What was found, for people and for programs.

use std::fmt::Write;

use command_line::screen::{Screen, Style};
use command_line::text::wrap;
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
    /// Nothing: it has no session lines, or refuses every session.
    NoSession,
    /// Only root can tell.
    Unseen,
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

impl Service {
    /// Is what to do about the first finding said in the line of the service itself?
    fn tells_remedy(&self) -> bool {
        self.opens == Coverage::Host && self.findings.first().is_some_and(|first| first.help.is_some())
    }
}

/// Something that the kernel offers, or does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Facility {
    /// What it is called.
    pub name: String,
    /// The version of Linux that brought it.
    pub since: String,
    /// Is it here? `None` where only root can tell.
    pub present: Option<bool>,
    /// What it is good for where it is here, and what happens without it where it is not.
    pub gives: String,
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
    /// What the kernel offers; nothing of a host that is not running.
    pub facilities: Vec<Facility>,
}

impl Report {
    /// Puts it together.
    pub fn new(services: Vec<Service>, checks: Vec<Finding>, facilities: Vec<Facility>) -> Self {
        let of_services = services.iter().flat_map(|service| &service.findings);
        let well = of_services.chain(&checks).all(|finding| finding.verdict != Verdict::Wrong);
        Self { well, services, checks, facilities }
    }

    /// For people.
    pub fn text(&self, screen: Screen) -> String {
        let mut text = String::new();
        let mut put = |line: &str, first: &str, hanging: usize| {
            text.push_str(&wrap(line, first, &" ".repeat(hanging), screen.width));
            text.push('\n');
        };
        let width = self.services.iter().map(|service| service.name.len()).max().unwrap_or(0).max(7);
        put("ITS SESSIONS OPEN", &format!("{:<width$}  ", "SERVICE"), 0);
        for service in &self.services {
            let is_told = service.tells_remedy();
            let opens = match (service.opens, &service.line) {
                (Coverage::View, Some(line)) => format!("the user's view  ({line})"),
                (Coverage::View, None) => "the user's view".to_owned(),
                (Coverage::Host, _) => match service.findings.first().and_then(|first| first.help.as_ref()) {
                    Some(help) => format!("the host's view  NOT covered: {help}"),
                    None => "the host's view".to_owned(),
                },
                (Coverage::NoSession, _) if service.findings.is_empty() => {
                    "nothing: it has no session lines".to_owned()
                }
                (Coverage::NoSession, _) => "nothing".to_owned(),
                (Coverage::Unseen, _) => "needs root to be seen".to_owned(),
            };
            put(&opens, &format!("{:<width$}  ", service.name), width + 4);
            for finding in &service.findings[usize::from(is_told)..] {
                let blank = " ".repeat(width + 4);
                put(&finding.text, &format!("{blank}{}: ", mark(finding.verdict)), width + 6);
                if let Some(help) = &finding.help {
                    put(help, &format!("{blank}  help: "), width + 8);
                }
            }
        }
        put("", "", 0);
        for check in &self.checks {
            put(&check.text, &format!("{:<5}  {}: ", mark(check.verdict), check.about), 9);
            if let Some(help) = &check.help {
                put(help, "         help: ", 11);
            }
        }
        if !self.facilities.is_empty() {
            put("", "", 0);
            let width = self.facilities.iter().map(|facility| facility.name.len()).max().unwrap_or(0);
            let row = |name, since, here| format!("{name:<width$}  {since:<5}  {here:<4}  ");
            put("WHAT IT GIVES", &row("FACILITY", "SINCE", "HERE"), 0);
            for facility in &self.facilities {
                let here = match facility.present {
                    Some(true) => "yes",
                    Some(false) => "no",
                    None => "?",
                };
                let row = row(&facility.name, &facility.since, here);
                put(&facility.gives, &row, row.len());
            }
        }
        put("", "", 0);
        match self.well {
            true => put("all is well", "", 0),
            false => put(&format!("{} to be put right", self.wrong()), "", 0),
        }
        text.lines().map(|line| painted(line, screen) + "\n").collect()
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

/// What stands at the beginning of a line says how it stands; so does what is not covered.
fn painted(line: &str, screen: Screen) -> String {
    for (mark, style) in [("ok", Style::Good), ("note", Style::Warning), ("WRONG", Style::Bad)] {
        if let Some(rest) = line.strip_prefix(mark).filter(|rest| rest.starts_with(' ')) {
            return format!("{}{rest}", screen.paint(style, mark));
        }
    }
    line.replacen("NOT covered", &screen.paint(Style::Bad, "NOT covered"), 1)
}

fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Good => "ok",
        Verdict::Note => "note",
        Verdict::Wrong => "WRONG",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_longer_than_a_terminal_is_wide_and_what_is_copied_stays_whole() {
        let words = "word ".repeat(30);
        let finding = |verdict| Finding::new(verdict, "map", words.trim()).help(words.trim());
        let service = |name: &str, opens, help: &str| Service {
            name: name.to_owned(),
            opens,
            line: None,
            findings: vec![Finding::new(Verdict::Wrong, name, "x").help(help), finding(Verdict::Note)],
        };
        let remedy = "put `session requisite pam_session_sandbox.so` behind the last session line of vsftpd";
        let services = vec![
            service("systemd-user", Coverage::Host, remedy),
            service("sshd", Coverage::View, "write `x`"),
        ];
        let facilities = [None, Some(false), Some(true)].map(|present| Facility {
            name: "unique mount numbers".to_owned(),
            since: "6.8".to_owned(),
            present,
            gives: words.trim().to_owned(),
        });
        let report = Report::new(services, vec![finding(Verdict::Good)], facilities.to_vec());
        let text = report.text(Screen::default());
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.contains("                `session requisite pam_session_sandbox.so` behind"), "{text}");
        assert!(text.contains("\nok     map: word"), "{text}");
        assert!(text.contains("\nunique mount numbers  6.8    ?     word"), "{text}");
        assert!(text.ends_with("\n2 things are to be put right\n"), "{text}");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["facilities"][1]["present"], false);
        assert_eq!(json["facilities"][0]["present"], serde_json::Value::Null);
    }
}
