//! A plan as text: a tree for people, JSON for programs.

use std::fmt::Write;

use crate::model::facts::Look;
use crate::model::path::AbsPath;
use crate::model::policy::{Linger, Mode, OnChange, Propagation, Wall};

use super::lint::Finding;
use super::step::{Make, Mount, Plan, RootSwitch, Share, TreeStep};

/// The plan as a tree, with the map line behind each entry, and what the linter found.
pub fn text(plan: &Plan, findings: &[Finding]) -> String {
    let mut out = String::new();
    // Writing to a String does not fail.
    let _ = write_text(plan, findings, &mut out);
    out
}

/// The same as JSON. Fields are added over time, never renamed or removed within one `version`.
pub fn json(plan: &Plan, findings: &[Finding]) -> String {
    #[derive(serde::Serialize)]
    struct Document<'a> {
        version: u32,
        plan: &'a Plan,
        findings: &'a [Finding],
    }
    let document = Document { version: 1, plan, findings };
    let mut text =
        serde_json::to_string_pretty(&document).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"));
    text.push('\n');
    text
}

fn write_text(plan: &Plan, findings: &[Finding], out: &mut String) -> std::fmt::Result {
    let subject = &plan.subject;
    writeln!(out, "{} (uid {}, gid {}) by {}", subject.name, subject.uid, subject.gid, subject.door.service)?;
    writeln!(out, "  profile   {:?}, {}", plan.profile, plan.origin)?;
    let root = match (&plan.root, plan.namespace.base) {
        (RootSwitch::Enter { .. }, true) => "a mount namespace copied from the empty base".to_owned(),
        (RootSwitch::Enter { mode: Mode::Namespace }, false) => {
            "a mount namespace of its own (pivot_root)".to_owned()
        }
        (RootSwitch::Enter { mode: Mode::Chroot }, false) => {
            "chroot, in a private mount namespace".to_owned()
        }
        (RootSwitch::Place { at }, _) => format!("mounted on the host at {at}"),
    };
    writeln!(out, "  root      {root}")?;
    if let Some(share) = &plan.share {
        writeln!(out, "  shared    {}", shared(share))?;
    }
    if matches!(plan.root, RootSwitch::Enter { .. }) {
        writeln!(out, "  wall      {}", wall(plan))?;
        writeln!(out, "  becomes   {}", identity(plan))?;
        let words: Vec<_> = plan.exec.arguments.iter().map(|word| format!("{word:?}")).collect();
        writeln!(out, "  runs      {} as {}", plan.exec.program.display(), words.join(" "))?;
    }
    writeln!(out)?;

    let mut steps: Vec<(usize, &TreeStep)> = plan
        .tree
        .iter()
        .enumerate()
        // A mount point and what is mounted there are one thing to a reader.
        .filter(|(at, step)| plan.tree.get(at + 1).is_none_or(|next| next.target != step.target))
        .collect();
    // Built level by level, read branch by branch.
    steps.sort_by(|(_, one), (_, other)| one.target.components().cmp(other.target.components()));
    let rows: Vec<(String, String, String)> = steps.iter().map(|(at, step)| row(plan, *at, step)).collect();
    let width = |pick: fn(&(String, String, String)) -> &String| {
        rows.iter().map(|row| pick(row).chars().count()).max().unwrap_or(0)
    };
    let (place, what) = (width(|row| &row.0), width(|row| &row.1).min(72));
    for (target, made, origin) in &rows {
        writeln!(out, "  {target:place$}  {made:what$}  {origin}")?;
    }

    if !plan.report.notes.is_empty() {
        writeln!(out, "\nleft out or done another way on this host:")?;
        for note in &plan.report.notes {
            writeln!(out, "  {note}")?;
        }
    }
    if !findings.is_empty() {
        writeln!(out, "\nto look at:")?;
        for finding in findings {
            writeln!(
                out,
                "  {}: {} ({})\n    help: {}",
                finding.origin, finding.message, finding.id, finding.help
            )?;
        }
    }
    Ok(())
}

fn shared(share: &Share) -> String {
    let copy = if share.private_copy { "a private copy of " } else { "" };
    let change = match share.on_change {
        OnChange::Join => "joined also when the map has changed",
        OnChange::New => "a new one when the map has changed",
    };
    let end = match share.linger {
        Linger::No => "ends with its last session".to_owned(),
        Linger::Processes => "ends with its last process".to_owned(),
        Linger::Seconds(seconds) => format!("ends {seconds} s after its last session"),
    };
    format!("{copy}{}, {change}, {end}", share.name)
}

fn wall(plan: &Plan) -> &'static str {
    match (plan.report.wall, plan.namespace.pid) {
        (Wall::Pidns, _) => "pidns: other processes cannot be seen",
        (Wall::Landlock, false) => "landlock: other processes can be seen, not reached",
        (Wall::Landlock, true) => "landlock and pidns",
        (Wall::None, _) => "none: any process of this user outside is a way out",
    }
}

fn identity(plan: &Plan) -> String {
    let who = &plan.identity;
    let mut parts = vec![format!("uid {} gid {}", who.uid, who.gid)];
    match &who.groups {
        Some(groups) => parts.push(format!("{} groups", groups.len())),
        None => parts.push("the caller's groups, in a user namespace".to_owned()),
    }
    parts.push(match who.capabilities {
        0 => "no capabilities".to_owned(),
        bits => format!("capability bounding set {bits:#x}"),
    });
    if who.no_new_privs {
        parts.push("no new privileges".to_owned());
    }
    parts.join(", ")
}

/// The path below the last directory that has a line of its own, as far to the right as there are such directories.
fn place(plan: &Plan, step: &TreeStep) -> String {
    let above = std::iter::successors(step.target.parent(), AbsPath::parent);
    let shown: Vec<AbsPath> = above
        .filter(|above| !above.is_root() && plan.tree.iter().any(|other| other.target == *above))
        .collect();
    let whole = step.target.as_str();
    let rest = shown.first().and_then(|nearest| whole.strip_prefix(nearest.as_str()));
    format!("{}{}", "  ".repeat(shown.len()), rest.unwrap_or(whole))
}

fn row(plan: &Plan, at: usize, step: &TreeStep) -> (String, String, String) {
    let name = place(plan, step);
    let made = match &step.make {
        Make::Directory { mode, .. } => format!("dir 0{mode:o}"),
        Make::File { content, mode, .. } => format!("file 0{mode:o}, {} bytes", content.len()),
        Make::Symlink { to } => format!("-> {to}"),
        Make::Device { number: (major, minor) } => format!("device {major}:{minor}"),
        Make::Mount { what, attributes, .. } => {
            let mut attributes = *attributes;
            attributes.read_only |= plan.seal.iter().any(|seal| seal.step == at);
            format!("{} {attributes}", mount(what))
        }
    };
    (name, made, step.origin.to_string())
}

fn mount(what: &Mount) -> String {
    match what {
        Mount::Bind { source, look, recursive, propagation } => {
            let mut words = format!("bind {source}");
            for (on, word) in [
                (matches!(look, Look::User | Look::UserFollowing), ", opened as the user"),
                (matches!(look, Look::RootFollowing | Look::UserFollowing), ", following links"),
                (!recursive, ", not recursive"),
                (*propagation == Propagation::Slave, ", slave"),
            ] {
                if on {
                    words.push_str(word);
                }
            }
            words
        }
        Mount::Tmpfs { size, mode, .. } => match size {
            Some(size) => format!("tmpfs 0{mode:o}, {}", bytes(*size)),
            None => format!("tmpfs 0{mode:o}"),
        },
        Mount::Terminal => "the session's terminal".to_owned(),
        Mount::Content { content, mode: 0, .. } if content.is_empty() => "mask".to_owned(),
        Mount::Content { content, mode, .. } => format!("file 0{mode:o}, {} bytes", content.len()),
        other => other.word().to_owned(),
    }
}

fn bytes(size: u64) -> String {
    for (unit, shift) in [("G", 30), ("M", 20), ("K", 10)] {
        if size >= 1 << shift && size.is_multiple_of(1 << shift) {
            return format!("{} {unit}", size >> shift);
        }
    }
    format!("{size} bytes")
}
