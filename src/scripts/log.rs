//! Lines for the system log: one physical line for each script.

use super::schedule::{Skipped, Task};
use super::session::Session;
use super::text::printable;
use crate::model::scripts::Event;
use crate::sys::log::{Priority, line};

const TAG: &str = "session-scripts";
/// How much of what a script wrote is in its line.
const OUTPUT_SHOWN: usize = 400;

fn who(session: &Session, event: Event) -> String {
    format!("{} {} {}", printable(&session.user), session.name, event.word())
}

/// A script has ended.
#[allow(clippy::too_many_arguments, reason = "a line says all of it")]
pub(super) fn ended(
    session: &Session,
    event: Event,
    task: &Task,
    how: &str,
    failed: bool,
    took: u64,
    output: &str,
    refused: &[String],
) {
    let mut text =
        format!("{}: {}: {} after {took} ms", who(session, event), printable(&task.name), printable(how));
    if !output.is_empty() {
        let cut: String = printable(output).chars().take(OUTPUT_SHOWN).collect();
        text.push_str(&format!("; it wrote: {cut}"));
    }
    line(if failed { Priority::Warning } else { Priority::Info }, TAG, &text);
    for why in refused {
        let text = format!(
            "{}: {}: variable refused: {}",
            who(session, event),
            printable(&task.name),
            printable(why)
        );
        line(Priority::Warning, TAG, &text);
    }
}

/// Something is not run.
pub(super) fn skipped(session: &Session, event: Event, skipped: &Skipped) {
    let text = format!(
        "{}: not run: {}: {}",
        who(session, event),
        printable(&skipped.name),
        printable(&skipped.why)
    );
    line(Priority::Warning, TAG, &text);
}

/// Anything else that an administrator should know.
pub(super) fn note(session: &Session, event: Event, what: &str) {
    line(Priority::Warning, TAG, &format!("{}: {}", who(session, event), printable(what)));
}

/// Something went wrong that belongs to no script.
pub(super) fn error(what: &str) {
    line(Priority::Error, TAG, &printable(what));
}
