//! What sshd's configuration does to logins. Pure: its texts are handed in.

use super::report::{Finding, Verdict};

/// What the findings are about.
const ABOUT: &str = "sshd";

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// Where it stands.
    pub(super) place: String,
    /// In small letters.
    pub(super) keyword: String,
    /// The rest of the line.
    pub(super) value: String,
}

/// The settings of one file, in order.
pub(super) fn settings(file: &str, text: &str) -> Vec<Setting> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| {
            // `Keyword value` and `Keyword=value` are the same.
            let end = line.find(|mark: char| mark.is_whitespace() || mark == '=').unwrap_or(line.len());
            let value = line[end..].trim_start_matches(|mark: char| mark.is_whitespace() || mark == '=');
            Setting {
                place: format!("{file}:{number}"),
                keyword: line[..end].to_ascii_lowercase(),
                value: value.trim_matches('"').to_owned(),
            }
        })
        .collect()
}

/// What is to be said of all settings, in the order in which sshd reads them.
pub(super) fn findings(settings: &[Setting]) -> Vec<Finding> {
    let mut findings = Vec::new();
    // Of several, sshd takes the first.
    match settings.iter().find(|setting| setting.keyword == "usepam") {
        Some(setting) if setting.value.eq_ignore_ascii_case("yes") => {
            findings.push(Finding::new(Verdict::Good, ABOUT, "asks PAM"));
        }
        Some(setting) => {
            let text = format!("{}: `UsePAM {}`: its logins open no view", setting.place, setting.value);
            findings.push(Finding::new(Verdict::Wrong, ABOUT, text).help("write `UsePAM yes`"));
        }
        None => {
            let text = "does not ask PAM unless it is told to, so its logins open no view";
            findings
                .push(Finding::new(Verdict::Wrong, ABOUT, text).help("write `UsePAM yes` into sshd_config"));
        }
    }
    for setting in settings.iter().filter(|setting| setting.keyword == "chrootdirectory") {
        if !setting.value.eq_ignore_ascii_case("none") {
            let text = format!(
                "{}: `ChrootDirectory {}` is looked for in the user's view, after it has been opened",
                setting.place, setting.value
            );
            findings.push(
                Finding::new(Verdict::Wrong, ABOUT, text)
                    .help("take it away, and let the map say what these users see"),
            );
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(text: &str) -> Vec<Verdict> {
        findings(&settings("f", text)).iter().map(|finding| finding.verdict).collect()
    }

    #[test]
    fn the_first_word_on_pam_counts_and_none_is_no() {
        assert_eq!(verdicts("UsePAM yes\n"), [Verdict::Good]);
        assert_eq!(verdicts("# UsePAM no\nusepam=YES\nUsePAM no\n"), [Verdict::Good]);
        assert_eq!(verdicts("UsePAM no\nUsePAM yes\n"), [Verdict::Wrong]);
        assert_eq!(verdicts("Port 22\n"), [Verdict::Wrong]);
    }

    #[test]
    fn a_root_of_sshds_own_is_found_in_a_match_block_too() {
        let text =
            "UsePAM yes\nMatch Group sftp\n  ChrootDirectory /srv/%u\nMatch all\n ChrootDirectory none\n";
        let found = findings(&settings("f", text));
        assert_eq!(found.len(), 2);
        assert!(found[1].text.starts_with("f:3: `ChrootDirectory /srv/%u`"), "{found:?}");
    }
}
