//! What the program writes to.

use command_line::screen::Screen;

/// Narrower than this, lines are wrapped as if it were this wide.
const NARROWEST: usize = 40;
/// Wider than this nobody reads.
const WIDEST: usize = 160;

/// Standard output, as it is.
pub fn screen() -> Screen {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let out = std::io::stdout();
    let is_terminal = rustix::termios::isatty(&out);
    let told = variable("COLUMNS").and_then(|columns| columns.parse().ok());
    let size = rustix::termios::tcgetwinsize(&out).ok().filter(|_| is_terminal);
    let width = told.or_else(|| size.map(|size| usize::from(size.ws_col)).filter(|width| *width > 0));
    let is_plain = variable("NO_COLOR").is_some() || variable("TERM").is_none_or(|kind| kind == "dumb");
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable).unwrap_or_default();
    let locale = locale.to_ascii_lowercase();
    Screen {
        width: width.unwrap_or_else(|| Screen::default().width).clamp(NARROWEST, WIDEST),
        colour: is_terminal && !is_plain,
        unicode: locale.contains("utf-8") || locale.contains("utf8"),
    }
}
