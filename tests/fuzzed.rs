//! What was kept for each fuzz target, and changes of it, break nothing.
//!
//! `fuzz/` has libFuzzer look for more, for as long as one likes; what it finds worth keeping is in `fuzz/corpus`. The
//! changes are the same on each run, so that a failure here is news of a change of the sources; `SESSION_FUZZ_RUN`, a
//! number, makes others, and `SESSION_FUZZ_ROUNDS` is how many each target gets. A failure shows the bytes and the number.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to stop")]
#![allow(clippy::disallowed_methods, reason = "what was kept lies in this repository")]

#[path = "fuzzed/bodies.rs"]
mod bodies;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

/// No reader takes a tenth of it for so few bytes, however busy the machine.
const LIMIT: Duration = Duration::from_secs(10);
const LENGTH_MAX: usize = 8 * 1024;
const ROUNDS: usize = 1000;

fn corpus() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

fn kept(target: &str) -> Vec<Vec<u8>> {
    let folder = corpus().join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|wrong| panic!("{}: {wrong}", folder.display()));
    let files: BTreeMap<_, _> = entries.map(|entry| entry.unwrap().path()).map(|path| (path, ())).collect();
    let kept: Vec<Vec<u8>> = files.into_keys().map(|path| std::fs::read(path).unwrap()).collect();
    assert!(!kept.is_empty(), "nothing is kept for {target}");
    kept
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

/// xorshift: which changes are made need not be hard to guess.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % sides.max(1)
    }
}

/// Some of `bytes` are changed, left out, said twice, or replaced by some of `other`.
fn changed(mut bytes: Vec<u8>, other: &[u8], dice: &mut Dice) -> Vec<u8> {
    for _ in 0..=dice.below(4) {
        let at = dice.below(bytes.len() + 1);
        let end = (at + dice.below(40)).min(bytes.len());
        match dice.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            1 => bytes.insert(at, [0, 0xff, b'\n', b'%', b'"', b'\\', b'/', b'='][dice.below(8)]),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            4 => bytes.truncate(at),
            _ => {
                let from = dice.below(other.len() + 1);
                let to = (from + dice.below(80)).min(other.len());
                bytes.splice(at..end, other[from..to].iter().copied());
            }
        }
    }
    bytes.truncate(LENGTH_MAX);
    bytes
}

fn try_one(target: &str, body: bodies::Body, bytes: &[u8], run: u64) {
    let began = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(|| body(bytes)));
    let said = || format!("{target}, run {run}: b\"{}\"", bytes.escape_ascii());
    assert!(result.is_ok(), "a finding in {}", said());
    assert!(began.elapsed() < LIMIT, "{:?} for {}", began.elapsed(), said());
}

#[test]
fn what_was_kept_and_changes_of_it_break_no_reader() {
    // Of nothing the dice make nothing.
    let run = variable("SESSION_FUZZ_RUN").unwrap_or(20_261_126).max(1);
    let rounds = variable("SESSION_FUZZ_ROUNDS").map_or(ROUNDS, |rounds| usize::try_from(rounds).unwrap());
    let mut dice = Dice(run);
    for (target, body) in bodies::ALL {
        let kept = kept(target);
        kept.iter().for_each(|bytes| try_one(target, body, bytes, run));
        for _ in 0..rounds {
            let (one, other) = (&kept[dice.below(kept.len())], &kept[dice.below(kept.len())]);
            try_one(target, body, &changed(one.clone(), other, &mut dice), run);
        }
    }
}

#[test]
fn every_target_is_in_both_places_and_no_other() {
    let names = |folder: &Path, suffix: &str| -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = entries
            .filter_map(|name| name.to_str().and_then(|name| name.strip_suffix(suffix)).map(str::to_owned))
            .collect();
        names.sort();
        names
    };
    let targets = bodies::ALL.map(|(name, _)| name.to_owned()).to_vec();
    assert_eq!(names(&corpus(), ""), targets);
    let fuzz = corpus().parent().unwrap().to_owned();
    assert_eq!(names(&fuzz.join("targets"), ".rs"), targets);
    let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for target in &targets {
        assert!(manifest.contains(&format!("path = \"targets/{target}.rs\"")), "{target}");
        let text = std::fs::read_to_string(fuzz.join(format!("targets/{target}.rs"))).unwrap();
        assert!(text.contains(&format!("bodies::{target}(bytes)")), "{target}: {text}");
    }
}
