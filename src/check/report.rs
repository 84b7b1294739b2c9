//! What was found, for people, for programs, and for what shows findings beside code (SARIF 2.1.0).

use command_line::text::wrap;
use serde_json::json;

use super::{Finding, Report, Severity};

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
    /// The report in that form; text in lines of `width`.
    pub fn told(&self, format: Format, width: usize) -> String {
        match format {
            Format::Text => self.text(width),
            // Values of our own types, all with text for keys: neither fails.
            Format::Json => serde_json::to_string_pretty(self).unwrap_or_default() + "\n",
            Format::Sarif => serde_json::to_string_pretty(&self.sarif()).unwrap_or_default() + "\n",
        }
    }

    fn text(&self, width: usize) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            text.push_str(&shown(finding, width));
            text.push_str("\n\n");
        }
        if self.left_out > 0 {
            text.push_str(&format!("... and {} more mistakes\n\n", self.left_out));
        }
        text.push_str(&wrap(&self.summary(), "", "  ", width));
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

fn shown(finding: &Finding, width: usize) -> String {
    let word = word(finding.severity);
    if let Some(shown) = &finding.shown {
        return format!("{word}: {shown}");
    }
    let place = match (&finding.file, finding.line) {
        (Some(file), Some(line)) => format!("{file}:{line}: "),
        (Some(file), None) => format!("{file}: "),
        _ => String::new(),
    };
    let said = format!("{word}: {place}{} ({})", finding.message, finding.id);
    let mut text = wrap(&said, "", "  ", width);
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
    // What is compiled in is no file.
    if let Some(file) = finding.file.as_ref().filter(|file| !file.contains(' ')) {
        let uri = if file.starts_with('/') { format!("file://{file}") } else { file.to_string() };
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
