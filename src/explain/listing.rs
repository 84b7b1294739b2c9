//! A plan step by step, in the order in which it is carried out.

use command_line::screen::Style;
use command_line::text::wrap;

use super::{Account, Screen, words};
use crate::plan::step::{Make, Mount, TreeStep};

/// As far to the right stands what is said about a step.
const INDENT: &str = "      ";

impl Account<'_> {
    /// Every step: where, what, with which restrictions, the line of the map, and what the source is on this host.
    pub fn listing(&self, screen: Screen) -> String {
        let mut text = self.header(screen);
        for (number, (at, step)) in self.visible().enumerate() {
            text.push('\n');
            let place = format!("{:>4}  {}", number + 1, step.target);
            let line = screen.two_ends(&place, &step.origin.to_string());
            let target = step.target.as_str();
            text.push_str(&line.replacen(target, &screen.paint(Style::Strong, target), 1));
            text.push('\n');
            for line in self.about(at, step) {
                text.push_str(&wrap(&line, INDENT, &format!("{INDENT}  "), screen.width));
                text.push('\n');
            }
        }
        text + &self.footer(screen)
    }

    fn about(&self, at: usize, step: &TreeStep) -> Vec<String> {
        let mut lines = Vec::new();
        match self.attributes(at) {
            Some((planned, host)) => {
                lines.push(format!("{}: {}", words::made(step), planned.and(host)));
                let added = words::added(planned, host);
                if !added.is_empty() {
                    lines.push(format!("{}, because the host's mount is", added.join(", ")));
                }
            }
            None => lines.push(words::made(step)),
        }
        if let (Some(seen), Make::Mount { what: Mount::Bind { source, .. }, .. }) =
            (self.sources.get(&at), &step.make)
        {
            lines.push(format!("on this host {source} is {}", words::source(seen)));
        }
        let written: Vec<_> =
            self.written(step).into_iter().map(|(key, text)| format!("{key} = {text:?}")).collect();
        if !written.is_empty() {
            lines.push(format!("the map has {}", written.join(", ")));
        }
        lines
    }
}
