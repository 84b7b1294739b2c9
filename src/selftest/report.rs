//! How the attacks went, for people and for programs.

use command_line::screen::{Screen, Style};
use command_line::text::{shown, shown_json, wrap};
use serde::Serialize;

use crate::plan::Plan;

/// How one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It did not get through.
    Stopped,
    /// Nor does it on this host without a view.
    StoppedEverywhere,
    /// It got through, as the map says that it may.
    Open,
    /// It got through.
    Through,
    /// It could not be tried on this host.
    Untried,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Stopped | Self::StoppedEverywhere => "stopped",
            Self::Open => "left open",
            Self::Through => "GOT THROUGH",
            Self::Untried => "not tried",
        }
    }
}

/// One attack, tried once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// Stable, for machines.
    pub id: &'static str,
    /// Was it tried by root of a user namespace of its own?
    pub as_own_root: bool,
    /// What was tried.
    pub what: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// What it was stopped by, or what was seen.
    pub told: String,
    /// What closes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<&'static str>,
}

/// All of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whose session it was.
    pub user: String,
    /// Their id.
    pub uid: u32,
    /// By this profile of the map.
    pub profile: String,
    /// Where that begins.
    pub origin: String,
    /// `namespace` or `chroot`.
    pub mode: crate::model::policy::Mode,
    /// The level.
    pub isolation: crate::model::isolation::Isolation,
    /// In their order.
    pub attempts: Vec<Attempt>,
}

impl Report {
    pub(super) fn of(plan: &Plan) -> Self {
        Self {
            user: plan.subject.name.to_string(),
            uid: plan.subject.uid,
            profile: plan.profile.clone(),
            origin: plan.origin.to_string(),
            mode: plan.report.mode,
            isolation: plan.report.isolation,
            attempts: Vec::new(),
        }
    }

    /// How many ended so.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.attempts.iter().filter(|attempt| attempt.outcome == outcome).count()
    }

    /// For programs.
    pub fn json(&self) -> String {
        // Values of our own types, all with text for keys: it does not fail.
        shown_json(&serde_json::to_string_pretty(self).unwrap_or_default()) + "\n"
    }

    /// For people: a line for each, and what to do where one got through.
    pub fn text(&self, screen: Screen) -> String {
        let mode = match self.mode {
            crate::model::policy::Mode::Namespace => "namespace",
            crate::model::policy::Mode::Chroot => "chroot",
        };
        let head = format!(
            "{} (uid {}), profile {:?} ({}), mode {mode}, isolation {}",
            shown(&self.user),
            self.uid,
            self.profile,
            shown(&self.origin),
            self.isolation.word()
        );
        let mut text = wrap(&head, "", "  ", screen.width) + "\n\n";
        let mut attempts = self.attempts.iter().peekable();
        while let Some(attempt) = attempts.next() {
            // Both ways on one line, where they have ended alike and nothing is to be done.
            let is_both = |next: &&Attempt| {
                next.as_own_root && next.outcome == attempt.outcome && attempt.help.is_none()
            };
            let way = match (attempt.as_own_root, attempts.next_if(is_both)) {
                (false, Some(_)) => "; also in a user namespace",
                (true, _) => "; in a user namespace",
                (false, None) => "",
            };
            text.push_str(&line(attempt, way, screen));
        }
        text.push('\n');
        text.push_str(&wrap(&self.summary(), "", "  ", screen.width));
        text.push('\n');
        text
    }

    fn summary(&self) -> String {
        let everywhere = self.count(Outcome::StoppedEverywhere);
        let stopped = self.count(Outcome::Stopped) + everywhere;
        let mut parts = vec![match everywhere {
            0 => format!("{stopped} stopped"),
            more => format!("{stopped} stopped ({more} of them by this host without a view)"),
        }];
        for (outcome, words) in
            [(Outcome::Open, "left open by the map"), (Outcome::Untried, "could not be tried")]
        {
            match self.count(outcome) {
                0 => {}
                more => parts.push(format!("{more} {words}")),
            }
        }
        format!(
            "{} tried: {}, {} got through",
            self.attempts.len(),
            parts.join(", "),
            self.count(Outcome::Through)
        )
    }
}

fn line(attempt: &Attempt, way: &str, screen: Screen) -> String {
    let style = match attempt.outcome {
        Outcome::Stopped | Outcome::StoppedEverywhere => Style::Good,
        Outcome::Open => Style::Warning,
        Outcome::Through => Style::Bad,
        Outcome::Untried => Style::Faint,
    };
    let word = attempt.outcome.word();
    let more = match attempt.outcome {
        Outcome::Stopped => String::new(),
        Outcome::StoppedEverywhere => " (stopped by this host without a view)".to_owned(),
        _ => format!(": {}", shown(&attempt.told)),
    };
    let what = format!("{}{way}{more}", attempt.what);
    let first = format!("{word:<12} {:<16} ", attempt.id);
    let mut text = wrap(&what, &first, "               ", screen.width);
    if let Some(help) = attempt.help {
        text.push('\n');
        text.push_str(&wrap(&format!("help: {help}"), "               ", "                 ", screen.width));
    }
    text.replacen(word, &screen.paint(style, word), 1) + "\n"
}
