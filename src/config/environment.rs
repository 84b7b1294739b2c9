//! Names of environment variables: which may be kept or set.

use std::collections::BTreeMap;

use super::reader::Reader;
use super::source::At;
use super::words::quote;
use crate::model::policy::REFUSED_VARIABLES;
use crate::model::template::Template;

/// The key `keep_env`.
pub(super) fn keep(reader: &mut Reader<'_>) -> Option<Vec<String>> {
    let mut kept: Vec<String> = Vec::new();
    for name in reader.strings("keep_env")?.value {
        if let Some(name) = reader.parsed(name, |name| check(name, true)) {
            kept.push(name);
        }
    }
    kept.sort_unstable();
    kept.dedup();
    Some(kept)
}

/// The table `set_env`.
pub(super) fn set(reader: &mut Reader<'_>) -> BTreeMap<String, Template> {
    let mut set = BTreeMap::new();
    let Some(table) = reader.table("set_env") else { return set };
    for (name, value) in table.entries() {
        let checked_name = table.parsed(name, |name| check(name, false));
        let Some(text) = value.value.as_str() else {
            table.wrong_type(&quote(name.value), "a string", value);
            continue;
        };
        let text = At { value: text, place: value.place };
        if text.value.contains('\0') {
            table.problems.report(text.place, "a value in the environment cannot hold a NUL character");
        }
        if name.value == "PATH" && text.value.is_empty() {
            table
                .problems
                .report(text.place, "a session needs a PATH; an empty one means the current directory");
        }
        if let (Some(name), Some(template)) = (checked_name, table.parsed(text, Template::parse)) {
            set.insert(name, template);
        }
    }
    set
}

fn check(name: &str, may_be_pattern: bool) -> Result<String, String> {
    let (stem, is_pattern) = match name.strip_suffix('*') {
        Some(stem) => (stem, true),
        None => (name, false),
    };
    if is_pattern && !may_be_pattern {
        return Err(format!("{} is a pattern; only one variable can be set at a time", quote(name)));
    }
    if is_pattern && stem.is_empty() {
        return Err(
            "`*` would keep the whole environment of the caller; name what a session needs".to_owned()
        );
    }
    let mut bytes = stem.bytes();
    let starts_well = bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_');
    if !starts_well || !bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        let end = if may_be_pattern { ", with `*` only at the end" } else { "" };
        return Err(format!("{} is no name of a variable: letters, digits and `_`{end}", quote(name)));
    }
    for (refused, why) in REFUSED_VARIABLES {
        let (refused_stem, any_ending) =
            refused.strip_suffix('*').map_or((refused, false), |stem| (stem, true));
        let hit = stem == refused_stem
            || (any_ending && stem.starts_with(refused_stem))
            || (is_pattern && refused_stem.starts_with(stem));
        if hit && name == refused {
            return Err(format!("`{name}` is refused: {why}"));
        }
        if hit {
            return Err(format!("{} is refused because of `{refused}`: {why}", quote(name)));
        }
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_variables_and_patterns_are_accepted() {
        for name in ["TERM", "LC_*", "_", "_x9", "LANG", "ENVIRONMENT", "XDG_*", "PS1", "http_proxy"] {
            assert!(check(name, true).is_ok(), "{name}: {:?}", check(name, true));
        }
    }

    #[test]
    fn variables_that_load_or_run_something_are_refused_also_through_a_pattern() {
        for name in [
            "LD_PRELOAD",
            "LD_",
            "LD_*",
            "L*",
            "LD*",
            "LD_P*",
            "GLIBC_TUNABLES",
            "GLIBC_*",
            "BASH_ENV",
            "BASH_*",
            "B*",
            "ENV",
            "E*",
            "ENV*",
            "BASH_FUNC_x",
            "IFS",
            "PS4",
            "P*",
            "SHELLOPTS",
            "S*",
            "BASHOPTS",
            "*",
            "**",
            "",
            "A*B",
            "A=B",
            "9A",
            "A B",
            "é",
            "BASH_FUNC_x%%",
        ] {
            assert!(check(name, true).is_err(), "{name:?} was accepted");
        }
        assert!(check("LC_*", false).is_err());
    }
}
