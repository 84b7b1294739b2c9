//! What a program prints when it is asked for help, and what its manual page says, each as a list of options.

use std::collections::BTreeSet;
use std::process::Command;

/// Options, with their dashes.
pub(crate) type Options = BTreeSet<String>;

/// What a program or a command of it explains.
#[derive(Debug)]
pub(crate) struct Help {
    pub(crate) text: String,
    pub(crate) options: Options,
    pub(crate) commands: Vec<String>,
}

/// Runs `program` with these words and `--help`.
pub(crate) fn of(program: &str, words: &[&str]) -> Help {
    let output = Command::new(program).args(words).arg("--help").output().unwrap();
    assert!(output.status.success(), "{program} {words:?}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let options = names_below("Options:", &text);
    let options = options.map(|name| name.split(['[', '=']).next().unwrap_or_default().to_owned()).collect();
    let commands = names_below("Commands:", &text).map(str::to_owned).collect();
    Help { text, options, commands }
}

/// The first words of the rows below a heading; what a row goes on with stands further to the right.
fn names_below<'a>(heading: &str, text: &'a str) -> impl Iterator<Item = &'a str> {
    let rows =
        text.lines().skip_while(move |line| *line != heading).skip(1).take_while(|line| !line.is_empty());
    rows.filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')))
        .filter_map(|row| row.split(' ').next())
        .collect::<Vec<_>>()
        .into_iter()
}

impl Help {
    /// Every option that the text mentions, also between others.
    pub(crate) fn mentioned(&self) -> Options {
        let words = self.text.split(|mark: char| mark.is_whitespace() || "[]()`,;:|.=".contains(mark));
        words.filter(|word| word.len() > 2 && word.starts_with("--")).map(str::to_owned).collect()
    }
}

/// The options that a page explains below one heading, `.Sh OPTIONS` or that of a command.
pub(crate) fn explained(page: &str, heading: &str) -> Options {
    let below = page.lines().skip_while(|line| *line != heading).skip(1);
    let below = below.take_while(|line| !line.starts_with(".Sh ") && !line.starts_with(".Ss "));
    let names = below.filter_map(|line| line.strip_prefix(".It Fl ")?.split(' ').next());
    names.map(|name| format!("-{}", name.replace("\\-", "-"))).collect()
}
