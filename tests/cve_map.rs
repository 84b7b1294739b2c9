//! docs/cve-map.md names tests that there are.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test's way to fail is to stop; the project's rules for programs that run as root are not about it"
)]

use std::collections::BTreeSet;
use std::path::Path;

/// The sources that hold tests, as one text.
fn sources() -> String {
    let mut text = String::new();
    let mut folders = vec!["tests", "vm-tests", "src", "crates"]
        .into_iter()
        .map(|name| Path::new(env!("CARGO_MANIFEST_DIR")).join(name))
        .collect::<Vec<_>>();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() && path.file_name() != Some("target".as_ref()) {
                folders.push(path);
            } else if path.extension() == Some("rs".as_ref())
                && path.file_name() != Some("cve_map.rs".as_ref())
            {
                text.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    // A literal that goes on in the next line, and quotes in one.
    text.replace("\\\"", "\"")
}

/// The cells of each row whose first is an id.
fn rows() -> Vec<Vec<String>> {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cve-map.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| id "));
    rows.map(|line| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

#[test]
fn every_test_that_the_page_names_is_there() {
    let sources = sources();
    let mut missing = Vec::new();
    let mut count = 0;
    for row in rows() {
        assert_eq!(row.len(), 4, "{row:?}");
        let shown = &row[3];
        for name in shown.split('`').skip(1).step_by(2) {
            // A program's name is none.
            if name.contains(' ') || name.contains('_') {
                count += 1;
                // `pam: ` and the like are put in front where the trials are made.
                let bare = name.split_once(": ").map_or(name, |(_, rest)| rest);
                if !sources.contains(name) && !sources.contains(bare) {
                    missing.push(format!("{}: {name}", row[0]));
                }
            }
        }
        let says_so = shown.contains("**not tested**") || shown.contains("cannot apply");
        assert!(says_so || shown.contains('`'), "{}: no test, and no word about it", row[0]);
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(count > 60, "{count} tests");
}

#[test]
fn every_id_is_there_once() {
    let rows = rows();
    let ids: BTreeSet<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(ids.len(), rows.len());
    let untested = rows.iter().filter(|row| row[3].contains("**not tested**")).count();
    println!("{} flaws, {untested} of them without a test or with a part of one", rows.len());
}
