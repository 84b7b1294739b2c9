//! What the text is shown on.

use crate::text::count;

/// A terminal, or what stands for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// In characters.
    pub width: usize,
    /// Does it show colours?
    pub colour: bool,
    /// Does it show more than ASCII?
    pub unicode: bool,
}

impl Default for Screen {
    /// A file, a pipe: plain, and as wide as the narrowest terminal.
    fn default() -> Self {
        Self { width: 80, colour: false, unicode: true }
    }
}

/// How a word is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// What the line is about.
    Strong,
    /// Less important than the rest.
    Faint,
    /// As it should be.
    Good,
    /// To be looked at.
    Warning,
    /// Not as it should be.
    Bad,
}

impl Screen {
    /// `text`, marked so.
    pub fn paint(self, style: Style, text: &str) -> String {
        if !self.colour || text.is_empty() {
            return text.to_owned();
        }
        let code = match style {
            Style::Strong => 1,
            Style::Faint => 2,
            Style::Bad => 31,
            Style::Good => 32,
            Style::Warning => 33,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// `left` and, at the right edge, `right`; below it where both do not fit.
    pub fn two_ends(self, left: &str, right: &str) -> String {
        let gap = self.width.saturating_sub(count(left) + count(right));
        let right_end = self.paint(Style::Faint, right);
        if gap >= 2 {
            format!("{left}{}{right_end}", " ".repeat(gap))
        } else {
            let indent = self.width.saturating_sub(count(right));
            format!("{left}\n{}{right_end}", " ".repeat(indent))
        }
    }
}
