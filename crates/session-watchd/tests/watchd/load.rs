//! Ten thousand sessions: what they take, and that nothing moves while nothing happens.

use std::io::Write;

use libtest_mimic::Trial;
use rustix::process::{Resource, getrlimit, setrlimit};

use super::support::{Bus, Holder, Living, Logind, Needs, Session, Watchd, World, trial, until};

const COUNT: u64 = 10_000;
/// What the daemon may take, in KiB, as it is shipped. A debug build is larger by itself, and only shown.
const RSS_MAX: u64 = 8 * 1024;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("ten_thousand_held_sessions_take_little_and_no_time", Needs::Bus, ten_thousand),
        trial("ten_thousand_sessions_of_logind_take_little_and_no_time", Needs::Bus, ten_thousand_of_logind),
    ]
}

fn takes_little(watchd: &Watchd, what: &str) {
    let (rss, threads) = (watchd.status("VmRSS"), watchd.status("Threads"));
    println!("{what}: VmRSS {rss} KiB (anonymous {}), {threads} threads", watchd.status("RssAnon"));
    assert!(rss <= RSS_MAX || cfg!(debug_assertions), "{what}: {rss} KiB");
    assert!(threads <= 2, "{threads} threads");
}

fn ten_thousand() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let world = World::without_manager();
    let bus = Bus::start(&world);
    let _logind = Logind::start(&bus);
    let watchd = world.watchd(&[&bus.option()]);
    until("a list of sessions", || world.path("state/ran").exists().then_some(()));
    takes_little(&watchd, "no sessions");
    let holder = Holder::connect(&world.socket()).unwrap();
    let mut writers: Vec<_> = (0..COUNT).map(|session| holder.hold(session)).collect();
    // What somebody writes is of no interest, now or later.
    for writer in &mut writers {
        writer.write_all(b"x").unwrap();
    }
    watchd.stays_at_rest();
    takes_little(&watchd, "10000 held sessions");
    // It still listens.
    drop(writers.pop());
    assert_eq!(world.until_runs(1), ["removed|--name=Session9999"]);
    world.until_ended("removed|--name=Session9999");
    let before = watchd.status("VmRSS");
    drop(writers.split_off(9_000));
    let mut runs = world.until_runs(1_000);
    runs.sort();
    runs.dedup();
    assert_eq!(runs.len(), 1_000);
    println!("after 999 ends at once: VmRSS {} KiB, before {before} KiB", watchd.status("VmRSS"));
}

fn ten_thousand_of_logind() {
    let world = World::without_manager();
    let bus = Bus::start(&world);
    let logind = Logind::start(&bus);
    let leader = Living::new();
    for id in 0..COUNT {
        logind.insert(Session::new(&id.to_string(), leader.pid()));
    }
    let watchd = world.watchd(&[&bus.option()]);
    // At the first start none of them is new.
    until("a list of sessions", || world.path("state/ran").exists().then_some(()));
    assert_eq!(std::fs::read_dir(world.path("state/sessions")).unwrap().count(), 10_000);
    watchd.stays_at_rest();
    takes_little(&watchd, "10000 sessions of logind");
    assert_eq!(world.runs(), [""; 0]);
}
