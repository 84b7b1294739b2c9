//! What runs when a session begins and when it has ended: in which order, once, for whom, and what it sees.
//!
//! Every test has a host of its own ([`site::Site`]): a folder of scripts, a configuration, an empty record. The scripts are
//! real ones, and leave lines in a file that the test reads. With `SESSION_SANDBOX_LONG=1` the loops are ten times as long.

mod background;
mod caller;
mod events;
mod faults;
mod gate;
mod killed;
mod limits;
mod lines;
mod listing;
mod pam_script;
mod races;
mod seen;
mod site;
mod told;
mod trust;
mod variables;
mod worlds;
mod wrong;

use libtest_mimic::Trial;

use crate::support::{HostMounts, Needs, Verdict, isolated};

/// What all of these tests need.
const AS_BOB: &[Needs] = &[Needs::Root, Needs::OrdinaryUser];

pub fn trials() -> Vec<Trial> {
    [
        listing::trials(),
        variables::trials(),
        background::trials(),
        gate::trials(),
        events::trials(),
        killed::trials(),
        faults::trials(),
        limits::trials(),
        trust::trials(),
        races::trials(),
        caller::trials(),
        seen::trials(),
        worlds::trials(),
        pam_script::trials(),
        lines::trials(),
        told::trials(),
        wrong::trials(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A test in a world of its own.
fn own(name: &str, test: fn() -> Verdict) -> Trial {
    isolated(format!("scripts: {name}"), AS_BOB, HostMounts::Private, test)
}

/// As often as a loop runs.
fn times(count: usize) -> usize {
    if std::env::var("SESSION_SANDBOX_LONG").is_ok_and(|value| !value.is_empty()) {
        count * 10
    } else {
        count
    }
}

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}
