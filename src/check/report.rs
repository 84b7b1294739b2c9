//! What was found, for people, for programs, and for what shows findings beside code (SARIF 2.1.0).

use command_line::screen::{Screen, Style};
use command_line::text::{shown, shown_json, wrap};
use serde_json::json;

use super::{Finding, Report, Severity};
use crate::config;

/// How it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// Everything, for programs.
    Json,
    /// The form that code review and CI show.
    Sarif,
}

impl Report {
    /// The report in that form.
    pub fn told(&self, format: Format, screen: Screen) -> String {
        match format {
            Format::Text => self.text(screen),
            // Values of our own types, all with text for keys: neither fails.
            Format::Json => shown_json(&serde_json::to_string_pretty(self).unwrap_or_default()) + "\n",
            Format::Sarif => {
                shown_json(&serde_json::to_string_pretty(&self.sarif()).unwrap_or_default()) + "\n"
            }
        }
    }

    fn text(&self, screen: Screen) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            text.push_str(&told(finding, screen));
            text.push_str("\n\n");
        }
        if self.left_out > 0 {
            text.push_str(&format!("... and {} more mistakes\n\n", self.left_out));
        }
        text.push_str(&wrap(&self.summary(), "", "  ", screen.width));
        text.push('\n');
        text
    }

    fn summary(&self) -> String {
        let count = |severity, one: &str, many: &str| match self.count(severity) {
            0 => None,
            1 => Some(format!("1 {one}")),
            more => Some(format!("{more} {many}")),
        };
        let counts: Vec<String> = [
            count(Severity::Error, "error", "errors"),
            count(Severity::Warning, "warning", "warnings"),
            count(Severity::Note, "note", "notes"),
        ]
        .into_iter()
        .flatten()
        .collect();
        let found = if counts.is_empty() { "nothing to say".to_owned() } else { counts.join(", ") };
        let of = self.files.join(", ");
        if self.profiles == 0 {
            return format!("{of}: {found}");
        }
        format!(
            "{of}: {found}; {} {}, planned for {} of {} users by {}",
            self.profiles,
            if self.profiles == 1 { "profile" } else { "profiles" },
            self.users,
            self.users_known,
            self.doors.join(", ")
        )
    }

    fn sarif(&self) -> serde_json::Value {
        let mut ids: Vec<&str> = self.findings.iter().map(|finding| finding.id).collect();
        ids.sort_unstable();
        ids.dedup();
        let rules: Vec<_> = ids.iter().map(|id| json!({ "id": id })).collect();
        let results: Vec<_> = self.findings.iter().map(result).collect();
        json!({
            "version": "2.1.0",
            "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
            "runs": [{
                "tool": { "driver": {
                    "name": "sessionctl check",
                    "version": env!("CARGO_PKG_VERSION"),
                    "rules": rules,
                } },
                "results": results,
            }],
        })
    }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

fn told(finding: &Finding, screen: Screen) -> String {
    let word = word(finding.severity);
    let style = match finding.severity {
        Severity::Error => Style::Bad,
        Severity::Warning => Style::Warning,
        Severity::Note => Style::Faint,
    };
    let painted = |text: String| text.replacen(word, &screen.paint(style, word), 1);
    let width = screen.width;
    if let Some(cited) = &finding.shown {
        return painted(format!("{word}: {cited}"));
    }
    let place = match (&finding.file, finding.line) {
        (Some(file), Some(line)) => format!("{}:{line}: ", shown(file)),
        (Some(file), None) => format!("{}: ", shown(file)),
        _ => String::new(),
    };
    let said = format!("{word}: {place}{} ({})", shown(&finding.message), finding.id);
    let mut text = painted(wrap(&said, "", "  ", width));
    if let Some(help) = &finding.help {
        text.push('\n');
        text.push_str(&wrap(&format!("help: {help}"), "   ", "     ", width));
    }
    text
}

fn result(finding: &Finding) -> serde_json::Value {
    let message = match &finding.help {
        Some(help) => format!("{}\nhelp: {help}", finding.message),
        None => finding.message.clone(),
    };
    let mut result = json!({
        "ruleId": finding.id,
        "level": word(finding.severity),
        "message": { "text": message },
    });
    if let Some(file) = finding.file.as_ref().filter(|file| is_file(file)) {
        let uri = if file.starts_with('/') { format!("file://{}", encoded(file)) } else { encoded(file) };
        let mut place = json!({ "artifactLocation": { "uri": uri } });
        if let Some(line) = finding.line {
            place["region"] = json!({ "startLine": line });
            if let Some(column) = finding.column {
                place["region"]["startColumn"] = json!(column);
            }
        }
        result["locations"] = json!([{ "physicalLocation": place }]);
    }
    result
}

/// What is compiled in, and what came through a pipe, is no file.
fn is_file(name: &str) -> bool {
    ![config::BUILT_IN_NAME, super::STANDARD_INPUT].contains(&name)
}

/// A path as a URI has it (RFC 3986).
fn encoded(path: &str) -> String {
    let mut uri = String::new();
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                uri.push(char::from(byte))
            }
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri
}
