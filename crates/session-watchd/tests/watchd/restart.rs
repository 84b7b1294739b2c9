//! The daemon, the bus or logind go and come back: nothing is told twice, and no end is lost.

use libtest_mimic::Trial;

use super::support::{Bus, Holder, Living, Logind, Needs, Session, World, text, trial, until};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("at_the_first_start_sessions_that_are_there_are_only_watched", Needs::Bus, first_start),
        trial("a_killed_daemon_repeats_no_beginning_and_loses_no_end", Needs::Bus, killed),
        trial("an_end_waits_for_a_beginning_that_an_earlier_daemon_tells", Needs::Bus, adopted),
        trial("a_number_that_was_used_again_is_not_the_leader", Needs::Bus, reused),
        trial("a_bus_that_comes_back_is_asked_what_was_missed", Needs::Bus, bus),
        trial("a_logind_that_comes_back_is_asked_what_was_missed", Needs::Bus, logind),
        trial("logind_is_asked_whenever_it_comes", Needs::Bus, later),
    ]
}

fn ids(runs: &[String], verb: &str) -> Vec<String> {
    let of = runs.iter().filter(|run| run.starts_with(verb));
    let mut ids: Vec<String> = of
        .filter_map(|run| run.split('|').find_map(|word| word.strip_prefix("--session=")))
        .map(str::to_owned)
        .collect();
    ids.sort();
    ids
}

/// Waits until these sessions have been told of, and no others, each once. The sessions `last…` are told of after
/// everything else: one for each call.
fn expect(world: &World, logind: &Logind, mark: &str, added: &[&str], removed: &[&str]) {
    logind.begin(Session::new(mark, 0));
    until("the last session", || ids(&world.runs(), "added").contains(&mark.to_owned()).then_some(()));
    // Until then a daemon that is killed would have it told again, and session-scripts would know it already.
    until("a record of it", || {
        text(&world.path(&format!("state/sessions/{mark}"))).starts_with("alive ").then_some(())
    });
    let mut all: Vec<String> = added.iter().map(|id| (*id).to_owned()).collect();
    all.push(mark.to_owned());
    all.sort();
    until("ends", || (ids(&world.runs(), "removed").len() >= removed.len()).then_some(()));
    let runs = world.runs();
    let added_now: Vec<String> = ids(&runs, "added");
    assert_eq!(added_now, all, "{runs:?}");
    assert_eq!(ids(&runs, "removed"), removed, "{runs:?}");
}

fn first_start() {
    let world = World::new();
    let bus = Bus::start(&world);
    let logind = Logind::start(&bus);
    let (one, two, gone) = (Living::new(), Living::new(), Living::new());
    logind.insert(Session::new("1", one.pid()));
    logind.insert(Session::new("2", two.pid()));
    logind.insert(Session::new("3", two.pid()).with("Class", "greeter"));
    // Over already, but for what was left behind.
    logind.insert(Session::new("4", two.pid()).with("State", "closing"));
    logind.insert(Session::new("5", gone.pid()));
    gone.kill();
    let watchd = world.watchd(&[&bus.option()]);
    one.kill();
    logind.end("2");
    logind.end("3");
    logind.end("4");
    expect(&world, &logind, "a", &[], &["1", "2"]);
    // The next one knows that, and that 5 was over.
    watchd.kill();
    let _watchd = world.watchd(&[&bus.option()]);
    expect(&world, &logind, "b", &["a"], &["1", "2"]);
}

fn killed() {
    let world = World::new();
    let bus = Bus::start(&world);
    let logind = Logind::start(&bus);
    let watchd = world.watchd(&[&bus.option()]);
    let [one, two, three, four, five] = [(); 5].map(|()| Living::new());
    logind.begin(Session::new("1", one.pid()));
    logind.begin(Session::new("2", two.pid()));
    logind.begin(Session::new("3", three.pid()));
    logind.begin(Session::new("4", four.pid()));
    world.until_runs(4);
    four.kill();
    until("an end", || (ids(&world.runs(), "removed") == ["4"]).then_some(()));
    until("a record of it", || (text(&world.path("state/sessions/4")) == "ended\n").then_some(()));
    watchd.kill();
    // While nobody watches: 2 is over, 3 is over but for what it left behind, 5 begins, 6 begins and ends.
    logind.end("2");
    three.kill();
    logind.insert(Session::new("5", five.pid()));
    logind.insert(Session::new("6", one.pid()).with("State", "closing"));
    let watchd = world.watchd(&[&bus.option()]);
    expect(&world, &logind, "a", &["1", "2", "3", "4", "5"], &["2", "3", "4"]);
    // And again, with nothing in between.
    watchd.kill();
    let _watchd = world.watchd(&[&bus.option()]);
    logind.end("3");
    logind.end("4");
    logind.end("6");
    one.kill();
    expect(&world, &logind, "b", &["1", "2", "3", "4", "5", "a"], &["1", "2", "3", "4"]);
    five.kill();
    until("the last end", || (ids(&world.runs(), "removed").len() == 5).then_some(()));
    logind.end("1");
    logind.end("5");
    let records = || std::fs::read_dir(world.path("state/sessions")).unwrap().count();
    // Those of `a` and `b`.
    until("two records", || (records() == 2).then_some(()));
}

fn adopted() {
    let world = World::new();
    let bus = Bus::start(&world);
    let logind = Logind::start(&bus);
    let watchd = world.watchd(&[&bus.option()]);
    let leader = Living::new();
    world.hold("added");
    logind.begin(Session::new("1", leader.pid()));
    world.until_runs(1);
    until("a record of it", || text(&world.path("state/sessions/1")).starts_with("alive ").then_some(()));
    watchd.kill();
    leader.kill();
    logind.end("1");
    let _watchd = world.watchd(&[&bus.option()]);
    // Something else that ends is told of while this one waits.
    drop(Holder::connect(&world.socket()).unwrap().hold(1));
    world.until_ended("removed|--name=Session1");
    assert_eq!(ids(&world.runs(), "removed"), [""; 0]);
    world.let_go("added");
    world.until_ended("removed|--from=logind|--session=1");
    assert_eq!(ids(&world.runs(), "added"), ["1"]);
}

fn reused() {
    let world = World::new();
    let bus = Bus::start(&world);
    let logind = Logind::start(&bus);
    let watchd = world.watchd(&[&bus.option()]);
    let leader = Living::new();
    logind.begin(Session::new("1", leader.pid()));
    world.until_runs(1);
    let path = world.path("state/sessions/1");
    let record = until("a record of it", || Some(text(&path)).filter(|text| !text.is_empty()));
    watchd.kill();
    // As if the leader had ended and this were another process with its number, which began later.
    let started = record.split([':', ' ']).nth(2).unwrap();
    let earlier = (started.parse::<u64>().unwrap() - 1).to_string();
    std::fs::write(&path, record.replacen(started, &earlier, 1)).unwrap();
    let _watchd = world.watchd(&[&bus.option()]);
    assert_eq!(ids(&world.until_runs(2), "removed"), ["1"]);
}

fn bus() {
    let world = World::new();
    let first = Bus::start(&world);
    let logind = Logind::start(&first);
    let watchd = world.watchd(&[&first.option()]);
    let [one, two, three] = [(); 3].map(|()| Living::new());
    logind.begin(Session::new("1", one.pid()));
    logind.begin(Session::new("2", two.pid()));
    world.until_runs(2);
    let table = logind.table();
    drop(first);
    watchd.until_said("no sessions of logind for now: ");
    // Its own processes are watched all the same.
    one.kill();
    until("an end", || (ids(&world.runs(), "removed") == ["1"]).then_some(()));
    table.lock().unwrap().remove("2");
    table.lock().unwrap().insert("3".to_owned(), Session::new("3", three.pid()));
    let second = Bus::start(&world);
    let logind = Logind::resume(&second, table);
    until("the session that was missed", || {
        ids(&world.runs(), "added").contains(&"3".to_owned()).then_some(())
    });
    expect(&world, &logind, "a", &["1", "2", "3"], &["1", "2"]);
    // Nothing of the first connection is left to do.
    watchd.stays_at_rest();
}

fn logind() {
    let world = World::new();
    let bus = Bus::start(&world);
    let logind = Logind::start(&bus);
    let watchd = world.watchd(&[&bus.option()]);
    let [one, two, three] = [(); 3].map(|()| Living::new());
    logind.begin(Session::new("1", one.pid()));
    logind.begin(Session::new("2", two.pid()));
    world.until_runs(2);
    let table = logind.table();
    logind.stop();
    table.lock().unwrap().remove("2");
    table.lock().unwrap().insert("3".to_owned(), Session::new("3", three.pid()));
    let logind = Logind::resume(&bus, table);
    until("the session that was missed", || {
        ids(&world.runs(), "added").contains(&"3".to_owned()).then_some(())
    });
    expect(&world, &logind, "a", &["1", "2", "3"], &["2"]);
    assert_eq!(watchd.said(), "");
}

fn later() {
    let world = World::new();
    let nowhere = Bus::start(&world);
    let option = nowhere.option();
    drop(nowhere);
    let watchd = world.watchd(&[&option]);
    watchd.until_said("no sessions of logind for now");
    let bus = Bus::start(&world);
    let logind = Logind::start(&bus);
    // Whether it was asked before or after this is of no importance: it is new, or it is one that was there.
    until("a list of sessions", || world.path("state/ran").exists().then_some(()));
    let leader = Living::new();
    logind.begin(Session::new("1", leader.pid()));
    world.until_runs(1);
    leader.kill();
    assert_eq!(ids(&world.until_runs(2), "removed"), ["1"]);
}
