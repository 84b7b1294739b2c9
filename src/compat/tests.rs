//! What the tests of all kinds share.

use super::*;
use crate::paper::quoted;

/// The entries of a map, one line each: the target, and the other keys as they are written.
pub(super) fn entries(imported: &Imported) -> Vec<String> {
    let table: toml::Table = imported.map.parse().unwrap();
    assert_eq!(table["version"].as_integer(), Some(1));
    let profiles = table["profile"].as_array().unwrap();
    assert_eq!((profiles.len(), profiles[0]["name"].as_str()), (1, Some("imported")));
    assert_eq!(profiles[0]["match"]["not_user"][0].as_str(), Some("root"));
    let Some(mounts) = profiles[0].get("mount") else { return Vec::new() };
    // The order of keys is that of the text, which a table does not keep.
    let text: Vec<&str> = imported.map.split("[[profile.mount]]\n").collect();
    let written = text
        .iter()
        .enumerate()
        .filter(|(at, before)| *at > 0 && !text[at - 1].ends_with('#') && !before.is_empty());
    let lines: Vec<String> = written
        .map(|(_, entry)| {
            let keys = entry.lines().take_while(|line| !line.is_empty() && !line.starts_with(['#', '[']));
            let keys: Vec<String> =
                keys.map(|line| line.replacen(" = ", "=", 1).replace(", ", ",")).collect();
            let at = keys[0].trim_start_matches("target=").trim_matches('"').to_owned();
            format!("{at}|{}", keys[1..].join(","))
        })
        .collect();
    assert_eq!(lines.len(), mounts.as_array().unwrap().len(), "{}", imported.map);
    lines
}

/// The lines or arguments that are lost.
pub(super) fn losses(imported: &Imported) -> Vec<usize> {
    imported.losses.iter().map(|loss| loss.line).collect()
}

#[test]
fn texts_of_maps_leave_no_bracket_open() {
    assert_eq!(draft::text("[x]{"), "\"\\U0000005Bx]\\U0000007B\"");
    assert_eq!(quoted("[x]"), "\"[x]\"");
}
