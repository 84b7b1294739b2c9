//! The map: TOML texts in, a checked [`Policy`] or every mistake at once out. Nothing here touches the host.
//!
//! # Which files, and in which order
//!
//! 1. `/usr/lib/session-sandbox/mounts.toml`, the vendor's map, is the base.
//! 2. `/etc/session-sandbox/mounts.toml`, the administrator's, replaces it as a whole when it exists.
//! 3. Where neither exists, the map that is compiled in is the base.
//! 4. `/etc/session-sandbox/mounts.d/*.toml` apply on top, in the C order of their names.
//!
//! Whoever opens the files, by descriptors that only root can have influenced, keeps to this order. [`parse`] then
//! makes one policy of their texts:
//!
//! - `[defaults]` of a later file replace those before key by key, and variables in `set_env` name by name. Under
//!   all of them lie `[defaults]` of the built-in map, also where a map of the administrator's is the base.
//! - A profile with a new name is tried before all profiles of earlier files.
//! - A profile whose name is known adds to that profile: settings key by key, `match` as a whole, mounts by target.
//!   `override = true` replaces it at its place in the order, `mask = true` takes it away.
//! - `extends` takes over settings and mounts of another profile, and never its `match`.
//!
//! # How mistakes are found
//!
//! The text becomes a tree of values that know their place (the `toml` crate's `DeTable`), which is read by hand, key
//! by key (`reader.rs`): so unknown keys, wrong types and wrong values are all reported in one run, and only a file
//! whose syntax is broken hides what else is wrong with it.
#![forbid(unsafe_code)]

pub mod diagnostic;
mod entry;
mod environment;
mod layers;
mod matching;
mod mounts;
mod profile;
mod reader;
mod scripts;
mod settings;
mod source;
#[cfg(test)]
mod tests;
mod values;
mod words;

use toml::de::DeTable;

pub use diagnostic::{Diagnostic, Diagnostics};
pub use scripts::parse_scripts;

use crate::model::policy::Policy;
use profile::Layer;
use reader::Reader;
use source::{Place, Problems, Source};

/// The most bytes that one file may have.
pub const SIZE_MAX: u64 = 256 * 1024;
/// The most mounts of one profile, counting each path of a `system` entry.
pub const MOUNTS_MAX: usize = 256;
/// The most profiles.
pub const PROFILES_MAX: usize = 256;
/// The most files.
pub const LAYERS_MAX: usize = 64;

/// The most levels of brackets, or of a key with dots.
const DEPTH_MAX: usize = 64;

/// What the map that is compiled in is called in messages.
pub const BUILT_IN_NAME: &str = "built-in map";
const BUILT_IN: &str = include_str!("../../mounts.toml");

/// One file: its text, and its name in messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// As messages call it; for files, the path.
    pub name: String,
    /// All of it.
    pub text: String,
}

/// The map that is compiled in: the same text that is installed as the vendor's map.
pub fn built_in_file() -> SourceFile {
    SourceFile { name: BUILT_IN_NAME.to_owned(), text: BUILT_IN.to_owned() }
}

/// The policy of the map that is compiled in.
pub fn built_in() -> Result<Policy, Diagnostics> {
    parse(&[SourceFile { name: BUILT_IN_NAME.to_owned(), text: without_comments(BUILT_IN) }])
}

/// The built-in map line for line. Two thirds of it explain; a login that reads it need not.
fn without_comments(map: &str) -> String {
    map.split_inclusive('\n').map(|line| if line.starts_with('#') { "\n" } else { line }).collect()
}

/// The policy of `layers`: the base map first, then the drop-ins in their order.
pub fn parse(layers: &[SourceFile]) -> Result<Policy, Diagnostics> {
    let built_in =
        SourceFile { name: BUILT_IN_NAME.to_owned(), text: without_comments(settings_of(BUILT_IN)) };
    let bottom = Source::new(&built_in);
    let sources: Vec<Source<'_>> = std::iter::once(bottom).chain(layers.iter().map(Source::new)).collect();
    let problems = Problems::new(&sources);
    let policy = read(&problems, &sources);
    match (problems.into_diagnostics(), policy) {
        (None, Some(policy)) => Ok(policy),
        (found, _) => Err(found.unwrap_or_else(|| Diagnostics::new(Vec::new(), 0))),
    }
}

/// The part of a map before its first profile, line for line. Each login reads a map, so what is not wanted of the
/// built-in one is not read a second time.
fn settings_of(map: &str) -> &str {
    map.find("\n[[profile]]").map_or(map, |end| &map[..=end])
}

/// Reads all `sources`, of which the first holds the built-in map's settings. There is no policy without a report of why.
fn read(problems: &Problems<'_>, sources: &[Source<'_>]) -> Option<Policy> {
    if sources.len() > LAYERS_MAX + 1 {
        problems
            .report(Place::whole(LAYERS_MAX + 1), format!("more than {LAYERS_MAX} files make up the map"));
        return None;
    }
    let mut files = sources.iter().enumerate().map(|(index, source)| read_source(problems, index, source));
    // What holds where nobody says otherwise.
    let bottom = files.next()??.defaults;
    let layers: Vec<Option<Layer>> = files.collect();
    if layers.is_empty() {
        problems.report(Place::whole(0), "no file was given to make a policy of");
        return None;
    }
    // With a whole file missing, complaints about what it may well hold would only confuse.
    let layers = layers.into_iter().collect::<Option<Vec<_>>>()?;
    if layers.iter().all(|layer| layer.profiles.is_empty()) && problems.is_empty() {
        problems.report_with_help(
            Place::whole(1),
            "the map has no profile",
            "a policy without one would let every login pass as it is; write at least one `[[profile]]`",
        );
        return None;
    }
    let policy = layers::combine(problems, bottom, layers);
    if policy.profiles.is_empty() && problems.is_empty() {
        problems.report(Place::whole(1), "no profile is left of the map");
    }
    Some(policy)
}

/// Where brackets or dotted keys lie deeper than [`DEPTH_MAX`]. The parser takes far more time and memory over such a
/// text than over any map. Whole comment lines are left out; brackets in strings count, and are balanced in practice.
fn too_deep(text: &str) -> Option<usize> {
    let mut brackets = 0_usize;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let mut dots = 0_usize;
        let mut in_key = true;
        for (at, byte) in line.bytes().enumerate().take_while(|_| !line.starts_with('#')) {
            match byte {
                b'[' | b'{' => brackets += 1,
                b']' | b'}' => brackets = brackets.saturating_sub(1),
                b'=' => in_key = false,
                b'.' if in_key => dots += 1,
                _ => {}
            }
            if brackets.max(dots) > DEPTH_MAX {
                return Some(start + at);
            }
        }
        start += line.len();
    }
    None
}

fn read_source(problems: &Problems<'_>, index: usize, source: &Source<'_>) -> Option<Layer> {
    read_tree(problems, index, source, |reader| profile::read_file(reader, index > 1))
}

/// Parses a file and has `read` take it in, unless its text is none at all.
fn read_tree<T>(
    problems: &Problems<'_>,
    index: usize,
    source: &Source<'_>,
    read: impl FnOnce(Reader<'_>) -> Option<T>,
) -> Option<T> {
    if u64::try_from(source.text.len()).unwrap_or(u64::MAX) > SIZE_MAX {
        let message = format!("the file has {} bytes; {SIZE_MAX} are the limit", source.text.len());
        problems.report(Place::whole(index), message);
        return None;
    }
    if let Some(offset) = too_deep(source.text) {
        let message = format!("this lies more than {DEPTH_MAX} levels deep");
        problems.report_with_help(
            Place::new(index, offset..offset + 1),
            message,
            "no file of ours needs more than four",
        );
        return None;
    }
    let (tree, errors) = DeTable::parse_recoverable(source.text);
    for error in &errors {
        let place = error.span().map_or_else(|| Place::whole(index), |span| Place::new(index, span));
        if error.message().contains("leading zero") {
            problems.report_with_help(place, error.message(), "octal numbers stand in quotes: \"022\"");
        } else {
            problems.report(place, error.message());
        }
    }
    if !errors.is_empty() {
        return None;
    }
    read(Reader::new(problems, tree.get_ref(), index, Place::whole(index)))
}
