//! `match`: which logins a profile is for.
//!
//! A condition that can never hold is worse than an error: a profile that is tried first and never matches, or an
//! exception that excepts nobody. So names that no user has, lists without a value, and broken patterns are refused.

use toml::de::DeValue;

use super::reader::Reader;
use super::source::At;
use super::values;
use super::words::quote;
use crate::model::name::UserName;
use crate::model::policy::{Match, UidRange};
use crate::model::template::{Template, TemplateError};

/// Reads the table `match`; `None` where there is none.
pub(super) fn read(profile: &mut Reader<'_>) -> Option<Match> {
    let mut reader = profile.table("match")?;
    let matches = Match {
        user: texts(&mut reader, "user", user),
        not_user: texts(&mut reader, "not_user", user),
        group: texts(&mut reader, "group", group),
        not_group: texts(&mut reader, "not_group", group),
        uid: uids(&mut reader, "uid"),
        not_uid: uids(&mut reader, "not_uid"),
        service: texts(&mut reader, "service", pattern),
        not_service: texts(&mut reader, "not_service", pattern),
        tty: texts(&mut reader, "tty", tty),
        not_tty: texts(&mut reader, "not_tty", tty),
        remote_host: texts(&mut reader, "rhost", pattern),
        not_remote_host: texts(&mut reader, "not_rhost", pattern),
        exists: paths(&mut reader, "exists"),
        not_exists: paths(&mut reader, "not_exists"),
    };
    reader.finish();
    Some(matches)
}

/// A value, or a list with at least one.
fn one_or_more<'a>(reader: &mut Reader<'a>, key: &'static str) -> Vec<At<&'a DeValue<'a>>> {
    let Some(At { value, place }) = reader.value(key) else { return Vec::new() };
    if !value.is_array() {
        return vec![At { value, place }];
    }
    let values = reader.values(key).map(|list| list.value).unwrap_or_default();
    if values.is_empty() {
        let nobody = if key.starts_with("not_") { "would except nobody" } else { "would match nobody" };
        reader.problems.report_with_help(
            place,
            format!("the empty list `{key}` {nobody}"),
            "leave the key out where it does not matter",
        );
    }
    values
}

fn texts(reader: &mut Reader<'_>, key: &'static str, check: fn(&str) -> Result<(), String>) -> Vec<String> {
    let mut texts = Vec::new();
    for value in one_or_more(reader, key) {
        let Some(text) = reader.item(key, value) else { continue };
        if reader.parsed(text, check).is_some() {
            texts.push(text.value.to_owned());
        }
    }
    texts
}

fn paths(reader: &mut Reader<'_>, key: &'static str) -> Vec<Template> {
    let values = one_or_more(reader, key);
    let texts = values.into_iter().filter_map(|value| reader.item(key, value));
    texts.filter_map(|text| reader.parsed::<_, TemplateError>(text, Template::parse_path)).collect()
}

fn uids(reader: &mut Reader<'_>, key: &'static str) -> Vec<UidRange> {
    let mut ranges = Vec::new();
    for At { value, place } in one_or_more(reader, key) {
        let number = values::integer(value);
        let Some(text) = value.as_str().or(number.as_deref()) else {
            reader.wrong_type(
                &format!("a value of `{key}`"),
                "a user id or a range such as \"1000-59999\"",
                At { value, place },
            );
            continue;
        };
        ranges.extend(reader.parsed(At { value: text, place }, values::uid_range));
    }
    ranges
}

fn user(name: &str) -> Result<(), String> {
    if name.contains(['*', '?', '[']) {
        return Err(format!("{}: user names are compared as they are, without wildcards", quote(name)));
    }
    if let Some(group) = name.strip_prefix(['@', '%']) {
        return Err(format!("{} is no user name; for the group write `group = \"{group}\"`", quote(name)));
    }
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        return Err(format!("{} is no user name; for user ids there is `uid`", quote(name)));
    }
    UserName::new(name).map(|_| ()).map_err(|error| error.to_string())
}

fn group(name: &str) -> Result<(), String> {
    if name.contains(['*', '?', '[']) {
        return Err(format!("{}: group names are compared as they are, without wildcards", quote(name)));
    }
    if name.is_empty() || name.contains([':', ',', '/']) || name.chars().any(char::is_control) {
        return Err(format!("{} is no group name", quote(name)));
    }
    if name.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("{} is a number, and a number is never taken for a group", quote(name)));
    }
    Ok(())
}

pub(super) fn pattern(text: &str) -> Result<(), String> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(format!("pattern {} matches nothing", quote(text)));
    }
    match glob::Pattern::new(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("pattern {}: {} at character {}", quote(text), error.msg, error.pos + 1)),
    }
}

fn tty(text: &str) -> Result<(), String> {
    match text.strip_prefix("/dev/") {
        Some(short) => Err(format!("terminals are named without `/dev/`: write `{short}`")),
        None => pattern(text),
    }
}
