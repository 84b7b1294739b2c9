//! One file: `version`, `[defaults]`, and its profiles, each checked by itself.

use super::entry::Entry;
use super::reader::Reader;
use super::settings::Partial;
use super::source::{At, Place};
use super::words::quote;
use super::{MOUNTS_MAX, PROFILES_MAX, matching, mounts};
use crate::model::policy::Match;

/// The only version of the map's language so far.
const VERSION: &str = "1";
/// The longest name of a profile.
const NAME_MAX: usize = 64;

/// What one file says.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) defaults: Partial,
    pub(super) profiles: Vec<ProfileLayer>,
}

/// What one file says about one profile.
#[derive(Clone, Debug)]
pub(super) struct ProfileLayer {
    /// The profile's name, and where it is given.
    pub(super) name: At<String>,
    /// The header.
    pub(super) place: Place,
    pub(super) verb: Verb,
    pub(super) extends: Option<At<String>>,
    /// `None` where the file says nothing about it.
    pub(super) matches: Option<Match>,
    pub(super) settings: Partial,
    pub(super) entries: Vec<Entry>,
}

/// What a table `[[profile]]` does to a profile of the same name in lower layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// Adds to it.
    Add,
    /// Takes its place.
    Override,
    /// Takes it away.
    Mask,
}

/// Reads the file's top table. `None` when it is not of our version, so that nothing else in it can be judged.
pub(super) fn read_file(mut reader: Reader<'_>, is_drop_in: bool) -> Option<Layer> {
    if !version(&mut reader) {
        return None;
    }
    let defaults = reader.table("defaults").map(|mut table| {
        let defaults = Partial::read(&mut table);
        table.finish();
        defaults
    });
    let mut profiles: Vec<ProfileLayer> = Vec::new();
    for (at, table) in reader.tables("profile", "profile").into_iter().enumerate() {
        let (problems, place) = (table.problems, table.place());
        if at == PROFILES_MAX {
            problems.report(place, format!("more than {PROFILES_MAX} profiles"));
            break;
        }
        let Some(profile) = read_profile(table, is_drop_in) else { continue };
        match profiles.iter().find(|other| other.name.value == profile.name.value) {
            None => profiles.push(profile),
            Some(first) => {
                let message = format!("a second profile {} in one file", quote(&profile.name.value));
                let help = format!("the first is at {}", problems.origin(first.place));
                problems.report_with_help(profile.name.place, message, help);
            }
        }
    }
    reader.finish();
    Some(Layer { defaults: defaults.unwrap_or_default(), profiles })
}

pub(super) fn version(reader: &mut Reader<'_>) -> bool {
    let Some(At { value, place }) = reader.value("version") else {
        let message = "`version = 1` is missing";
        reader.problems.report_with_help(reader.place(), message, "put it at the top of the file");
        return false;
    };
    let Some(number) = value.as_integer() else {
        reader.wrong_type("`version`", "the integer 1", At { value, place });
        return false;
    };
    let known = number.as_str() == VERSION;
    if !known {
        let message = format!("version {} is not supported", quote(&number.to_string()));
        reader.problems.report_with_help(place, message, "this program reads version 1");
    }
    known
}

fn read_profile(mut reader: Reader<'_>, is_drop_in: bool) -> Option<ProfileLayer> {
    let place = reader.place();
    let name =
        reader.required_string("name").map(|At { value, place }| At { value: value.to_owned(), place });
    if let Some(name) = &name
        && !is_profile_name(&name.value)
    {
        let message = format!("{} is no name for a profile", quote(&name.value));
        let help = format!("a small letter or digit, then these and `_ . -`, {NAME_MAX} at most");
        reader.problems.report_with_help(name.place, message, help);
    }
    let verb = verb(&mut reader, is_drop_in);
    if verb == Verb::Mask {
        reader.finish_with(|key| {
            Some((
                format!("{} means nothing beside `mask = true`, which takes the profile away", quote(key)),
                None,
            ))
        });
        return Some(ProfileLayer {
            name: name?,
            place,
            verb,
            extends: None,
            matches: None,
            settings: Partial::default(),
            entries: Vec::new(),
        });
    }
    let extends = reader.string("extends").map(|At { value, place }| At { value: value.to_owned(), place });
    let matches = matching::read(&mut reader);
    let settings = Partial::read(&mut reader);
    let entries = read_entries(&mut reader);
    reader.finish();
    Some(ProfileLayer { name: name?, place, verb, extends, matches, settings, entries })
}

fn verb(reader: &mut Reader<'_>, is_drop_in: bool) -> Verb {
    let mut chosen = |key| {
        if reader.has(key) && !is_drop_in {
            let message = format!("`{key}` is only for drop-ins: there is nothing below this file");
            reader.problems.report(reader.key_place(key), message);
        }
        reader.boolean(key).is_some_and(|on| on.value) && is_drop_in
    };
    let (overrides, masks) = (chosen("override"), chosen("mask"));
    match (masks, overrides) {
        (true, true) => {
            let place = reader.key_place("override");
            reader.problems.report(place, "`override` and `mask` exclude each other");
            Verb::Mask
        }
        (true, false) => Verb::Mask,
        (false, true) => Verb::Override,
        (false, false) => Verb::Add,
    }
}

fn read_entries(reader: &mut Reader<'_>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut count = 0;
    for table in reader.tables("mount", "profile.mount") {
        let (problems, place) = (table.problems, table.place());
        let Some(entry) = mounts::read(table) else { continue };
        count += entry.targets.len();
        if count > MOUNTS_MAX {
            problems.report(place, format!("more than {MOUNTS_MAX} mounts in one profile"));
            break;
        }
        let double = entry.targets.iter().find_map(|target| {
            entries.iter().find(|other| other.targets.contains(target)).map(|first| (target, first.place))
        });
        if let Some((target, first)) = double {
            let message = format!("a second entry for {} in one profile", quote(target));
            let help = format!("the first is at {}", problems.origin(first));
            problems.report_with_help(entry.place, message, help);
            continue;
        }
        entries.push(entry);
    }
    entries
}

fn is_profile_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let small = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= NAME_MAX
        && bytes.next().is_some_and(small)
        && bytes.all(|byte| small(byte) || matches!(byte, b'_' | b'.' | b'-'))
}
