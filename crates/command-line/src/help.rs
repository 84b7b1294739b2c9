//! The texts of `--help`.

use crate::text::{count, wrap};
use crate::{Command, Example, Flag, Program};

/// As wide as every terminal is.
pub const WIDTH: usize = 80;
/// Where what an option does begins, at the latest.
const COLUMN_MAX: usize = 22;

impl Program {
    /// What `--help` prints.
    pub fn help(&self) -> String {
        let mut parts = vec![self.about.to_owned()];
        if self.commands.is_empty() {
            parts.push(usage(&[self.name], self.usage));
        } else {
            parts.push(usage(&[self.name], &["COMMAND [OPTION...]", "COMMAND --help"]));
            let rows: Vec<_> =
                self.commands.iter().map(|command| (command.name.to_owned(), command.about)).collect();
            parts.push(format!("Commands:\n{}", columns(&rows)));
        }
        parts.extend(self.details.iter().map(|text| wrap(text, "", "", WIDTH)));
        parts.extend(options(self.options));
        parts.extend(self.notes.iter().map(|text| wrap(text, "", "", WIDTH)));
        parts.push(wrap(&format!("Exit status: {}", self.status), "", "", WIDTH));
        parts.extend(examples(self.name, self.examples));
        parts.join("\n\n") + "\n"
    }

    /// What `COMMAND --help` prints.
    pub fn help_of(&self, command: &Command) -> String {
        let mut parts = vec![wrap(command.about, "", "", WIDTH)];
        parts.push(usage(&[self.name, command.name], command.usage));
        parts.extend(command.details.iter().map(|text| wrap(text, "", "", WIDTH)));
        parts.extend(options(command.options));
        parts.extend(command.status.map(|status| wrap(&format!("Exit status: {status}"), "", "", WIDTH)));
        parts.extend(examples(self.name, command.examples));
        parts.join("\n\n") + "\n"
    }
}

fn usage(names: &[&str], usage: &[&str]) -> String {
    let name = names.join(" ");
    let lines = usage.iter().enumerate().map(|(at, usage)| {
        let lead = if at == 0 { "Usage: " } else { "       " };
        let hanging = " ".repeat(count(lead) + count(&name) + 1);
        wrap(usage, &format!("{lead}{name} "), &hanging, WIDTH).trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn options(flags: &[Flag]) -> Option<String> {
    let rows: Vec<_> = flags.iter().map(|flag| (flag.shown(), flag.help)).collect();
    (!rows.is_empty()).then(|| format!("Options:\n{}", columns(&rows)))
}

fn examples(program: &str, examples: &[Example]) -> Option<String> {
    let (first, others) = examples.split_first()?;
    let rows: Vec<_> = std::iter::once(first)
        .chain(others)
        .map(|example| {
            format!("  {program} {}\n{}", example.typed, wrap(example.does, "      ", "      ", WIDTH))
        })
        .collect();
    let word = if others.is_empty() { "Example" } else { "Examples" };
    Some(format!("{word}:\n{}", rows.join("\n")))
}

/// Names, and beside each what it means; below it where the name is long.
fn columns(rows: &[(String, &str)]) -> String {
    let longest = rows.iter().map(|(name, _)| count(name)).max().unwrap_or(0);
    let width = longest.min(COLUMN_MAX);
    let hanging = " ".repeat(width + 4);
    let lines = rows.iter().map(|(name, text)| {
        if count(name) > width {
            format!("  {name}\n{}", wrap(text, &hanging, &hanging, WIDTH))
        } else {
            wrap(text, &format!("  {name:<width$}  "), &hanging, WIDTH)
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}
