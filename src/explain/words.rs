//! How things are called.

use command_line::text::shown;

use crate::model::facts::Look;
use crate::model::policy::{Attributes, Propagation};
use crate::model::seen::Seen;
use crate::plan::step::{Make, Mount, TreeStep};

/// What a step makes, without its attributes.
pub(super) fn made(step: &TreeStep) -> String {
    match &step.make {
        Make::Directory { mode, .. } => format!("dir 0{mode:o}"),
        Make::File { content, mode, .. } => format!("file 0{mode:o}, {} bytes", content.len()),
        Make::Symlink { to } => format!("-> {}", shown(to)),
        Make::Device { number: (major, minor) } => format!("device {major}:{minor}"),
        Make::Mount { what, .. } => mounted(what, step),
    }
}

fn mounted(what: &Mount, step: &TreeStep) -> String {
    match what {
        Mount::Bind { source, look, recursive, propagation } => {
            let mut words = if *source == step.target { "bind".to_owned() } else { format!("bind {source}") };
            for (on, word) in [
                (matches!(look, Look::User | Look::UserFollowing), ", opened as the user"),
                (matches!(look, Look::RootFollowing | Look::UserFollowing), ", following links"),
                // Of a file or device there is nothing below.
                (!recursive && is_directory(step), ", not recursive"),
                (*propagation == Propagation::Slave, ", slave"),
            ] {
                if on {
                    words.push_str(word);
                }
            }
            words
        }
        Mount::Tmpfs { mode: 0, .. } => "mask".to_owned(),
        Mount::Tmpfs { size: Some(size), mode, .. } => format!("tmpfs 0{mode:o}, {}", bytes(*size)),
        Mount::Tmpfs { size: None, mode, .. } => format!("tmpfs 0{mode:o}"),
        Mount::Terminal => "the session's terminal".to_owned(),
        Mount::Content { content, mode: 0, .. } if content.is_empty() => "mask".to_owned(),
        Mount::Content { content, mode, .. } => format!("file 0{mode:o}, {} bytes", content.len()),
        other => other.word().to_owned(),
    }
}

pub(super) fn is_directory(step: &TreeStep) -> bool {
    matches!(&step.make, Make::Mount { node: crate::plan::step::Node::Directory, .. })
}

fn bytes(size: u64) -> String {
    for (unit, shift) in [("G", 30), ("M", 20), ("K", 10)] {
        if size >= 1 << shift && size.is_multiple_of(1 << shift) {
            return format!("{} {unit}", size >> shift);
        }
    }
    format!("{size} bytes")
}

/// What a source is on this host: `a directory 0755, 0:0, on ext4 (/dev/vda1)`.
pub(super) fn source(seen: &Seen) -> String {
    let what = seen.fact.describe();
    let Some(more) = &seen.more else { return what };
    let mut words = format!("{what} 0{:o}, {}:{}", more.mode, more.uid, more.gid);
    if let Some(mount) = &more.mount {
        words.push_str(&format!(", on {}", shown(&mount.kind)));
        if !mount.source.is_empty() && mount.source != mount.kind {
            words.push_str(&format!(" ({})", shown(&mount.source)));
        }
    }
    words
}

/// The restrictions of `host` that `planned` does not have.
pub(super) fn added(planned: Attributes, host: Attributes) -> Vec<&'static str> {
    [
        (host.read_only && !planned.read_only, "ro"),
        (host.nosuid && !planned.nosuid, "nosuid"),
        (host.nodev && !planned.nodev, "nodev"),
        (host.noexec && !planned.noexec, "noexec"),
        (host.noatime && !planned.noatime, "noatime"),
        (host.nosymfollow && !planned.nosymfollow, "nosymfollow"),
    ]
    .into_iter()
    .filter_map(|(on, word)| on.then_some(word))
    .collect()
}
