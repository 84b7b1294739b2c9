//! Which line of the map shows a path, hides it, protects it or puts something else there.

use command_line::screen::Style;
use command_line::text::{count, shown, wrap};

use super::trace::{End, Trace, What};
use super::{Account, Screen, words};
use crate::model::facts::PathFact;
use crate::model::path::AbsPath;
use crate::plan::step::{Make, Mount, TreeStep};

/// The whole answer. `on_host` says what is at the same path on the host, for whoever asks why it is not inside.
pub fn why(account: &Account<'_>, trace: &Trace, on_host: Option<&str>, screen: Screen) -> String {
    let mut text = wrap(&verdict(account, trace), "", "  ", screen.width);
    text = screen.paint(Style::Strong, &text);
    text.push('\n');
    if let Some(on_host) = on_host {
        text.push_str(&wrap(&format!("on the host it is {on_host}"), "  ", "  ", screen.width));
        text.push('\n');
    }
    for note in notes(account, &trace.place) {
        text.push_str(&wrap(note, "  ", "    ", screen.width));
        text.push('\n');
    }
    text.push('\n');
    text.push_str(&chain(account, trace, screen));
    if matches!(trace.end, End::Made(_) | End::Host(..)) {
        text.push('\n');
        for (name, answer) in allowed(account, trace) {
            text.push_str(&wrap(&answer, &format!("  {name:<10}  "), &" ".repeat(14), screen.width));
            text.push('\n');
        }
    }
    text
}

/// One sentence.
fn verdict(account: &Account<'_>, trace: &Trace) -> String {
    let asked = &trace.asked;
    let leads = if trace.place == *asked {
        String::new()
    } else if trace.is_short && asked.is_below(&trace.place) {
        format!(": {}", trace.place)
    } else {
        format!(" leads to {}, which", trace.place)
    };
    let by = |step: &TreeStep| format!("{} ({})", step.target, step.origin);
    let mount = account.plan.tree.get(trace.mount);
    let holder = mount.map(by).unwrap_or_default();
    match &trace.end {
        End::Host(path, _) if *path == trace.place => {
            format!("{asked}{leads} is the host's own, shown by the bind of {holder}")
        }
        End::Host(path, _) => format!("{asked}{leads} is the host's {path}, shown by the bind at {holder}"),
        End::Made(at) => match account.plan.tree.get(*at) {
            Some(step) => format!("{asked}{leads} is {}, made by {}", made(step), step.origin),
            None => format!("{asked}{leads} is not known"),
        },
        End::Kernel => format!("{asked}{leads} is in {holder}, whose content the kernel makes up"),
        End::NotThere(Some(path)) => {
            format!(
                "{asked}{leads} is not there: {holder} is bound from the host, and {path} is missing there"
            )
        }
        End::NotThere(None) => {
            let (planned, _) = trace.attributes(account);
            let holds = match planned.read_only {
                true => "which holds only what the map names",
                false => "which is the view's own, and empty until somebody puts something there",
            };
            format!("{asked}{leads} is not there: no line of the map puts it into {holder}, {holds}")
        }
        End::Masked(at) => {
            let mask = account.plan.tree.get(*at).map(by).unwrap_or_default();
            format!("{asked}{leads} is hidden by the mask at {mask}")
        }
        End::NotDirectory(at) => format!("{asked} cannot be: {at} is no directory"),
        End::Loop => format!("{asked} leads nowhere: links lead to each other"),
        End::NotFollowed(at) => format!("{asked} leads nowhere: {at} is a link, and {holder} follows none"),
        End::NotShown(path) => format!(
            "{asked}{leads} is below a mount of the host's, at or above {path}, which the bind at {holder} does not show"
        ),
        End::Unknown(path, why) => {
            format!("{asked}{leads} cannot be told from here: the host's {path} is {why}")
        }
    }
}

fn made(step: &TreeStep) -> String {
    match &step.make {
        Make::Directory { mode: 0, .. } | Make::Mount { what: Mount::Tmpfs { mode: 0, .. }, .. } => {
            "hidden by a mask".to_owned()
        }
        Make::Directory { .. } => "a directory of the view's own".to_owned(),
        Make::File { .. } => "a file of the view's own".to_owned(),
        Make::Mount { what: Mount::Content { content, mode: 0, .. }, .. } if content.is_empty() => {
            "hidden by a mask".to_owned()
        }
        Make::Mount { what: Mount::Content { .. }, .. } => {
            "a file of the view's own, over the host's".to_owned()
        }
        Make::Mount { what: Mount::Bind { source, .. }, .. } if *source == step.target => {
            format!("the host's own {source}")
        }
        Make::Mount { what: Mount::Bind { source, .. }, .. } => format!("the host's {source}"),
        Make::Mount { what: Mount::Tmpfs { .. }, .. } => "memory of the view's own".to_owned(),
        Make::Mount { what, .. } => format!("a {} of the view's own", what.word()),
        Make::Device { .. } => "a device of the view's own".to_owned(),
        Make::Symlink { to } => format!("a link to {to}"),
    }
}

/// What the planner left out at `place` or above it.
fn notes<'a>(account: &'a Account<'_>, place: &AbsPath) -> Vec<&'a String> {
    let is_about = |note: &&String| {
        let target = note.split(": ").next().and_then(|target| AbsPath::new(target).ok());
        target.is_some_and(|target| target == *place || place.is_below(&target))
    };
    account.plan.report.notes.iter().filter(is_about).collect()
}

/// Everything on the way, each with its line of the map.
fn chain(account: &Account<'_>, trace: &Trace, screen: Screen) -> String {
    let mut rows: Vec<(String, String, String)> = Vec::new();
    for hop in &trace.hops {
        let at = hop.at.to_string();
        match &hop.what {
            What::Step(number, _) => {
                let Some(step) = account.plan.tree.get(*number) else { continue };
                let made = match account.attributes(*number) {
                    Some((planned, host)) => format!("{}, {}", words::made(step), planned.and(host)),
                    None => words::made(step),
                };
                rows.push((at, made, step.origin.to_string()));
            }
            What::Link(to) => rows.push((at, format!("-> {}", shown(to)), "on the host".to_owned())),
            What::Directory(_) => {}
        }
    }
    if let End::Host(_, seen) = &trace.end {
        rows.push((trace.place.to_string(), words::source(seen), "on the host".to_owned()));
    }
    let width = rows.iter().map(|row| count(&row.0)).max().unwrap_or(0).min(screen.width / 3);
    let mut text = String::new();
    for (at, made, origin) in rows {
        let left = if count(&at) > width {
            text.push_str(&format!("  {}\n", screen.paint(Style::Strong, &at)));
            " ".repeat(width + 4)
        } else {
            format!("  {at:<width$}  ")
        };
        let room = screen.width.saturating_sub(count(&left));
        let wrapped = wrap(&made, "", "", room);
        let mut lines = wrapped.lines();
        let first = screen.two_ends(&format!("{left}{}", lines.next().unwrap_or_default()), &origin);
        text.push_str(&first.replacen(&at, &screen.paint(Style::Strong, &at), 1));
        text.push('\n');
        for line in lines {
            text.push_str(&format!("{}{line}\n", " ".repeat(width + 4)));
        }
    }
    text
}

/// What the mount lets happen there, whoever asks; `sessionctl can` asks for a user.
fn allowed(account: &Account<'_>, trace: &Trace) -> Vec<(&'static str, String)> {
    let (planned, host) = trace.attributes(account);
    let mount = account.plan.tree.get(trace.mount);
    let at = mount.map(|step| format!("{} ({})", step.target, step.origin)).unwrap_or_default();
    let answer = |planned: bool, host: bool, word: &str| match (planned, host) {
        (true, _) => format!("no: {at} is {word}"),
        (false, true) => format!("no: the host's mount that {at} shows is {word}"),
        (false, false) => "yes, as far as permissions go".to_owned(),
    };
    if let Some(special) = trace.special(account) {
        let using = match special {
            PathFact::Device => answer(planned.nodev, host.nodev, "nodev"),
            _ => "yes, as far as permissions go".to_owned(),
        };
        return vec![("using it", using)];
    }
    let mut rows = vec![
        ("writing", answer(planned.read_only, host.read_only, "ro")),
        ("executing", answer(planned.noexec, host.noexec, "noexec")),
    ];
    let set_id = if account.plan.identity.no_new_privs && !planned.nosuid && !host.nosuid {
        format!("no: the profile ({}) has no_new_privs", account.plan.origin)
    } else {
        answer(planned.nosuid, host.nosuid, "nosuid")
    };
    rows.push(("set-id", set_id));
    rows.push(("devices", answer(planned.nodev, host.nodev, "nodev")));
    rows
}
