//! A plan as the tree that a session will see.

use command_line::screen::Style;
use command_line::text::{count, wrap};

use super::{Account, Screen, words};
use crate::model::path::AbsPath;
use crate::plan::step::TreeStep;

/// What stands at one place.
struct Row<'a> {
    at: usize,
    step: &'a TreeStep,
    /// The place of the row above it in the tree; `None` for the root.
    above: Option<usize>,
}

/// One row as text.
struct Line {
    place: String,
    below: String,
    made: String,
    origin: String,
}

impl Account<'_> {
    /// What is where, each with its line of the map.
    pub fn tree(&self, screen: Screen) -> String {
        let rows = self.rows();
        let mut lines: Vec<Line> = Vec::new();
        let files = self.files();
        for (number, row) in rows.iter().enumerate() {
            let (lead, below) = lead(&rows, number, screen);
            let place = format!("{lead}{}", name(&rows, row));
            let mut made = words::made(row.step);
            if let Some((planned, host)) = self.attributes(row.at) {
                made = format!("{made}, {}", planned.and(host));
            }
            let origin = &row.step.origin;
            let file = if files.len() > 1 { short(&origin.file) } else { "" };
            lines.push(Line { place, below, made, origin: format!("{file}:{}", origin.line) });
        }
        let widest = |pick: fn(&Line) -> &String, most: usize| {
            lines.iter().map(|line| count(pick(line))).filter(|width| *width <= most).max().unwrap_or(0)
        };
        let right = widest(|line| &line.origin, screen.width / 3);
        let left = widest(|line| &line.place, screen.width * 2 / 5);
        let middle = screen.width.saturating_sub(left + right + 4);
        let mut text = self.header(screen);
        text.push('\n');
        for line in &lines {
            text.push_str(&line.laid_out((left, middle, right), screen));
        }
        let of = files.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let told = wrap(&format!("line numbers are those of {of}"), "  ", "  ", screen.width);
        text.push_str(&format!("\n{}\n", screen.paint(Style::Faint, &told)));
        text + &self.footer(screen)
    }

    /// Read branch by branch, although it is built level by level.
    fn rows(&self) -> Vec<Row<'_>> {
        let mut steps: Vec<(usize, &TreeStep)> = self.visible().collect();
        steps.sort_by(|(_, one), (_, other)| one.target.components().cmp(other.target.components()));
        let mut rows: Vec<Row<'_>> = Vec::new();
        for (at, step) in steps {
            let above = rows.iter().rposition(|row| step.target.is_below(&row.step.target));
            rows.push(Row { at, step, above });
        }
        rows
    }

    fn files(&self) -> Vec<&str> {
        let mut files: Vec<&str> = self.plan.tree.iter().map(|step| step.origin.file.as_ref()).collect();
        files.sort_unstable();
        files.dedup();
        files
    }
}

/// The file's own name, without the folders that lead to it.
fn short(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

/// The path below the row above.
fn name(rows: &[Row<'_>], row: &Row<'_>) -> String {
    let target = row.step.target.as_str();
    let above = row.above.and_then(|above| rows.get(above));
    match above.map(|above| &above.step.target) {
        None => target.to_owned(),
        Some(above) if above.is_root() => target.trim_start_matches('/').to_owned(),
        Some(above) => {
            let rest: Option<AbsPath> = row.step.target.rebase(above, &AbsPath::root());
            rest.map_or_else(|| target.to_owned(), |rest| rest.relative().to_owned())
        }
    }
}

/// The branches that lead to a row, and those beside what stands below its first line.
fn lead(rows: &[Row<'_>], number: usize, screen: Screen) -> (String, String) {
    let [through, last, onward, nothing] =
        if screen.unicode { ["├─ ", "└─ ", "│  ", "   "] } else { ["|- ", "`- ", "|  ", "   "] };
    let has_later_sister = |row: usize| {
        let above = rows[row].above;
        rows.iter().skip(row + 1).any(|other| other.above == above)
    };
    let (mut parts, mut below) = (Vec::new(), Vec::new());
    let mut now = number;
    while let Some(above) = rows[now].above {
        let has_later = has_later_sister(now);
        below.push(if has_later { onward } else { nothing });
        parts.push(match (now == number, has_later) {
            (true, true) => through,
            (true, false) => last,
            (false, true) => onward,
            (false, false) => nothing,
        });
        now = above;
    }
    (parts.into_iter().rev().collect(), below.into_iter().rev().collect())
}

impl Line {
    /// Three columns; what does not fit beside the place stands below it.
    fn laid_out(&self, (left, middle, right): (usize, usize, usize), screen: Screen) -> String {
        let Self { place, below, made, origin } = self;
        let origin = screen.paint(Style::Faint, &format!("{origin:>right$}"));
        let shown = screen.paint(Style::Strong, place);
        let wrapped = wrap(made, "", "", middle);
        let mut lines = wrapped.lines();
        let fits = count(place) <= left;
        let beside = if fits { lines.next().unwrap_or_default() } else { "" };
        let gap = " ".repeat((left + 2).saturating_sub(count(place)));
        let rest = " ".repeat((left + middle + 2).saturating_sub(count(place) + count(&gap) + count(beside)));
        let mut text = format!("{shown}{gap}{beside}{rest}  {origin}\n");
        for line in lines {
            text.push_str(&format!("{below:<left$}  {line}\n"));
        }
        text
    }
}
