//! Whole maps in, policies or diagnostics out.

mod hostile;
mod layering;
mod mistakes;
mod mistakes_in_mounts;
mod shipped;
mod values;

use super::{SourceFile, parse};
use crate::model::policy::{Policy, Profile};

fn file(name: &str, text: &str) -> SourceFile {
    SourceFile { name: name.to_owned(), text: text.to_owned() }
}

/// The policy of one map.
fn policy(text: &str) -> Policy {
    parse(&[file("m", text)]).unwrap_or_else(|found| panic!("{found}"))
}

/// What is wrong with one map, each as `line:column: message | help`.
fn mistakes(text: &str) -> Vec<String> {
    mistakes_of(&[file("m", text)]).iter().map(|line| line.trim_start_matches("m:").to_owned()).collect()
}

fn mistakes_of(layers: &[SourceFile]) -> Vec<String> {
    let Err(found) = parse(layers) else { return Vec::new() };
    assert!(found.iter().next().is_some(), "a failure without a reason");
    let one = |d: &super::Diagnostic| {
        let help = d.help.as_ref().map(|help| format!(" | {help}")).unwrap_or_default();
        format!("{}:{}:{}: {}{help}", d.file, d.line, d.column, d.message)
    };
    found.iter().map(one).collect()
}

/// The base map `base` with `drop_ins` on top, named a, b, c.
fn stack(base: &str, drop_ins: &[&str]) -> Vec<SourceFile> {
    let names = ["base", "a", "b", "c"];
    std::iter::once(&base).chain(drop_ins).zip(names).map(|(text, name)| file(name, text)).collect()
}

fn targets(profile: &Profile) -> Vec<&str> {
    profile.mounts.iter().map(|mount| mount.target.source()).collect()
}

fn names(policy: &Policy) -> Vec<&str> {
    policy.profiles.iter().map(|profile| profile.name.as_str()).collect()
}
