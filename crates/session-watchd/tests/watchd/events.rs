//! Sessions of logind: what is handed over, which ones count, and that each end is told once.

use libtest_mimic::Trial;

use super::support::logind::{connect, emit, emit_to, others};
use super::support::{Bus, Living, Logind, Needs, Session, World, text, trial, until};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("what_logind_knows_of_a_session_is_handed_over_and_its_end_is_told", Needs::Bus, handed_over),
        trial("odd_values_stay_values_or_are_left_out", Needs::Bus, odd_values),
        trial("sessions_of_greeters_of_managers_and_of_root_do_not_count", Needs::Bus, classes),
        trial("the_classes_that_count_can_be_chosen", Needs::Bus, chosen_classes),
        trial("a_session_ends_once_with_its_leader_or_with_its_object", Needs::Bus, leader_exit),
        trial("a_session_ends_with_its_object_alone_where_that_is_asked_for", Needs::Bus, scope_empty),
        trial("a_session_whose_leader_has_ended_already_begins_and_ends", Needs::Bus, short_session),
        trial("a_session_that_is_over_before_it_can_be_asked_for_is_none", Needs::Bus, too_short),
        trial("the_end_waits_for_the_beginning", Needs::Bus, order),
        trial("a_run_that_fails_is_said_in_one_line", Needs::Bus, failing_run),
        trial("a_run_has_a_clean_environment", Needs::Bus, environment),
        trial("nobody_but_logind_can_tell_of_sessions", Needs::Bus, forged),
        trial("a_thousand_sessions_at_once_are_each_told_of_once", Needs::Bus, many),
    ]
}

/// The arguments that a run began with, as one line.
fn added(id: &str, leader: u32) -> String {
    format!("added|--from=logind|--session={id}|--user=bob|--leader={leader}|--class=user")
}

/// The same of a session that does not end with a process.
fn added_alone(id: &str) -> String {
    format!("added|--from=logind|--session={id}|--user=bob|--class=user")
}

fn removed(id: &str) -> String {
    format!("removed|--from=logind|--session={id}")
}

/// Waits until a session that began after everything else has begun and ended, and gives all runs but its own, sorted:
/// runs are started in order, and write what they write side by side.
fn runs_so_far(world: &World, logind: &Logind) -> Vec<String> {
    runs_so_far_of(world, logind, "user")
}

/// The same where sessions of another class count.
fn runs_so_far_of(world: &World, logind: &Logind, class: &str) -> Vec<String> {
    let is_mark = |run: &String| run.contains("--session=last");
    let mark = format!("last{}", world.runs().iter().filter(|run| is_mark(run)).count());
    logind.begin(Session::new(&mark, 0).with("Class", class));
    world.until_ended(&format!("added|--from=logind|--session={mark}|--user=bob|--class={class}"));
    logind.end(&mark);
    world.until_ended(&removed(&mark));
    let mut runs: Vec<String> = world.runs().into_iter().filter(|run| !is_mark(run)).collect();
    runs.sort();
    runs
}

fn handed_over() {
    let world = World::new();
    let bus = Bus::start(&world);
    let logind = Logind::start(&bus);
    let _watchd = world.watchd(&[&bus.option()]);
    let leader = Living::new();
    logind.begin(
        Session::new("c1", leader.pid())
            .with("Service", "gdm-password")
            .with("TTY", "tty3")
            .with("RemoteHost", "2001:db8::1")
            .with("RemoteUser", "alice")
            .with("Display", ":0")
            .with("Type", "wayland")
            .with("Seat", "seat0")
            .with("Desktop", "GNOME"),
    );
    let expected = format!(
        "added|--from=logind|--session=c1|--user=bob|--leader={}|--service=gdm-password|--tty=tty3|\
         --rhost=2001:db8::1|--ruser=alice|--display=:0|--type=wayland|--class=user|--seat=seat0|--vtnr=3",
        leader.pid()
    );
    assert_eq!(world.until_runs(1), [expected.as_str()]);
    logind.end("c1");
    assert_eq!(world.until_runs(2), [expected, removed("c1")]);
}

fn odd_values() {
    let world = World::new();
    let bus = Bus::start(&world);
    let logind = Logind::start(&bus);
    let watchd = world.watchd(&[&bus.option()]);
    logind.begin(
        Session::new("1", 0)
            .with("RemoteHost", "--user=root")
            .with("RemoteUser", "$(id) `id` ; é\u{202e}")
            .with("Display", "a\nb")
            .with("Service", "\u{7f}")
            .with("Type", ""),
    );
    let expected = "added|--from=logind|--session=1|--user=bob|--rhost=--user=root|--ruser=$(id) `id` ; é\u{202e}|--class=user";
    assert_eq!(world.until_runs(1), [expected]);
    // What would not be a session's name, or somebody else's properties, is no session.
    logind.begin(Session::new("../x", 0));
    logind.begin(Session::new("2", 0).with("Id", "3"));
    logind.begin(Session::new("4", 0).with("Name", "bob\n"));
    assert_eq!(runs_so_far(&world, &logind), [expected]);
    assert!(watchd.said().contains("\"../x\" is no id"), "{}", watchd.said());
    assert!(watchd.said().contains("its properties are those of \"3\""), "{}", watchd.said());
    assert!(watchd.said().contains("its user's name is \"bob\\n\""), "{}", watchd.said());
}

fn classes() {
    let world = World::new();
    let bus = Bus::start(&world);
    let logind = Logind::start(&bus);
    let _watchd = world.watchd(&[&bus.option()]);
    let leader = Living::new();
    for class in [
        "greeter",
        "lock-screen",
        "manager",
        "manager-early",
        "background",
        "background-light",
        "user-incomplete",
        "none",
    ] {
        logind.begin(Session::new(&class.replace('-', ""), leader.pid()).with("Class", class));
    }
    logind.begin(Session { uid: 0, ..Session::new("root", leader.pid()) });
    for (id, class) in [("1", "user"), ("2", "user-early"), ("3", "user-light")] {
        logind.begin(Session::new(id, leader.pid()).with("Class", class));
    }
    world.until_runs(3);
    let runs = runs_so_far(&world, &logind);
    let ids: Vec<&str> = runs.iter().map(|run| run.split('|').nth(2).unwrap()).collect();
    assert_eq!(ids, ["--session=1", "--session=2", "--session=3"]);
    for id in ["greeter", "root", "manager"] {
        logind.end(id);
    }
    leader.kill();
    // Three more, and two of the session that came last.
    world.until_runs(8);
    let ends = ["1", "2", "3"].map(removed);
    assert_eq!(runs_so_far(&world, &logind), [runs, ends.to_vec()].concat());
}

fn chosen_classes() {
    let world = World::new();
    let bus = Bus::start(&world);
    let logind = Logind::start(&bus);
    let _watchd = world.watchd(&[&bus.option(), "--class=greeter", "--class", "background"]);
    logind.begin(Session::new("1", 0));
    logind.begin(Session::new("2", 0).with("Class", "greeter"));
    logind.begin(Session::new("3", 0).with("Class", "background"));
    world.until_runs(2);
    let runs = runs_so_far_of(&world, &logind, "greeter");
    let ids: Vec<&str> = runs.iter().map(|run| run.split('|').nth(2).unwrap()).collect();
    assert_eq!(ids, ["--session=2", "--session=3"]);
}

fn leader_exit() {
    let world = World::new();
    let bus = Bus::start(&world);
    let logind = Logind::start(&bus);
    let _watchd = world.watchd(&[&bus.option()]);
    let (first, second) = (Living::new(), Living::new());
    let begun = [added("1", first.pid()), added("2", second.pid())];
    logind.begin(Session::new("1", first.pid()));
    logind.begin(Session::new("2", second.pid()));
    world.until_runs(2);
    // The leader goes first; what it left behind keeps the session there for hours.
    first.kill();
    world.until_runs(3);
    assert_eq!(runs_so_far(&world, &logind), [&begun[..], &[removed("1")]].concat());
    logind.end("1");
    // The session goes first.
    logind.end("2");
    until("the other end", || world.runs().contains(&removed("2")).then_some(()));
    second.kill();
    assert_eq!(runs_so_far(&world, &logind), [&begun[..], &[removed("1"), removed("2")]].concat());
    // An id that is used again is another session.
    let third = Living::new();
    logind.begin(Session::new("1", third.pid()));
    until("the third session", || world.runs().contains(&added("1", third.pid())).then_some(()));
    third.kill();
    until("its end", || (world.runs().iter().filter(|run| **run == removed("1")).count() == 2).then_some(()));
}

fn scope_empty() {
    let world = World::new();
    let bus = Bus::start(&world);
    let logind = Logind::start(&bus);
    let _watchd = world.watchd(&[&bus.option(), "--end=scope-empty"]);
    let leader = Living::new();
    // Whoever is told of a leader takes its end for the session's.
    let begun = added_alone("1");
    logind.begin(Session::new("1", leader.pid()));
    world.until_runs(1);
    leader.kill();
    assert_eq!(runs_so_far(&world, &logind), [begun.as_str()]);
    logind.end("1");
    until("the end", || world.runs().contains(&removed("1")).then_some(()));
    assert_eq!(runs_so_far(&world, &logind), [begun, removed("1")]);
}

fn short_session() {
    let world = World::new();
    let bus = Bus::start(&world);
    let logind = Logind::start(&bus);
    let _watchd = world.watchd(&[&bus.option()]);
    let leader = Living::new();
    let pid = leader.pid();
    leader.kill();
    logind.begin(Session::new("1", pid));
    assert_eq!(world.until_runs(2), [added_alone("1"), removed("1")]);
    logind.end("1");
    assert_eq!(runs_so_far(&world, &logind), [added_alone("1"), removed("1")]);
}

fn too_short() {
    let world = World::new();
    let bus = Bus::start(&world);
    let logind = Logind::start(&bus);
    let watchd = world.watchd(&[&bus.option()]);
    logind.begin_without_object("2");
    assert_eq!(runs_so_far(&world, &logind), [""; 0]);
    assert!(!watchd.said().contains("session 2"), "{}", watchd.said());
}

fn order() {
    let world = World::new();
    let bus = Bus::start(&world);
    let logind = Logind::start(&bus);
    let _watchd = world.watchd(&[&bus.option()]);
    let (slow, quick) = (Living::new(), Living::new());
    world.hold("added");
    let (slow_begin, quick_begin) = (added("1", slow.pid()), added("2", quick.pid()));
    logind.begin(Session::new("1", slow.pid()));
    logind.begin(Session::new("2", quick.pid()));
    world.until_runs(2);
    slow.kill();
    logind.end("1");
    // Others are not held up: a held connection's end comes through. By then the daemon knows of the end of 1.
    drop(super::support::Holder::connect(&world.socket()).unwrap().hold(9));
    world.until_ended("removed|--name=Session9");
    assert!(!world.runs().contains(&removed("1")), "{:?}", world.runs());
    world.let_go("added");
    world.until_ended(&removed("1"));
    let log = world.log();
    let at = |line: String| log.iter().position(|found| *found == line).unwrap();
    assert!(at(format!("end {slow_begin}")) < at(format!("begin {}", removed("1"))), "{log:?}");
    assert!(log.contains(&format!("begin {quick_begin}")));
}

fn failing_run() {
    let world = World::new();
    let bus = Bus::start(&world);
    let logind = Logind::start(&bus);
    let watchd = world.watchd(&[&bus.option()]);
    std::fs::write(world.path("fail"), "").unwrap();
    logind.begin(Session::new("c7", 0));
    watchd.until_said("session-watchd: added of session c7 of logind: ");
    let said = watchd.said();
    let line = said.lines().find(|line| line.contains("c7")).unwrap();
    assert!(line.ends_with("/runner ended with exit status 3"), "{said}");
    // One that cannot be started at all is said, too, and holds up nobody.
    std::fs::remove_file(world.runner()).unwrap();
    logind.end("c7");
    watchd.until_said("removed of session c7 of logind: posix_spawn(");
}

fn environment() {
    let world = World::new();
    let _watchd = world.watchd(&["--no-logind"]);
    let found = until("an environment", || {
        Some(text(&world.path("environment"))).filter(|text| text.contains("PATH="))
    });
    // What a shell adds by itself.
    let own = ["PWD=", "OLDPWD=", "SHLVL=", "_="];
    let rest: Vec<&str> = found.lines().filter(|line| !own.iter().any(|own| line.starts_with(own))).collect();
    assert_eq!(rest, ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]);
}

fn forged() {
    let world = World::new();
    let bus = Bus::start(&world);
    let logind = Logind::start(&bus);
    let _watchd = world.watchd(&[&bus.option()]);
    let leader = Living::new();
    let begun = added("1", leader.pid());
    logind.begin(Session::new("1", leader.pid()));
    world.until_runs(1);
    let path = "/org/freedesktop/login1/session/_31";
    let mallory = connect(&bus);
    logind.insert(Session::new("2", leader.pid()));
    for name in others(&mallory) {
        emit_to(&mallory, &name, "SessionRemoved", "1", path);
        emit_to(&mallory, &name, "SessionNew", "2", "/org/freedesktop/login1/session/_32");
    }
    emit(&mallory, "SessionRemoved", "1", path);
    assert_eq!(runs_so_far(&world, &logind), [begun]);
}

fn many() {
    const COUNT: usize = 1000;
    let world = World::new();
    let bus = Bus::start(&world);
    let logind = Logind::start(&bus);
    let _watchd = world.watchd(&[&bus.option()]);
    let leader = Living::new();
    for id in 0..COUNT {
        logind.begin(Session::new(&format!("c{id}"), leader.pid()));
    }
    world.until_runs(COUNT);
    leader.kill();
    for id in 0..COUNT {
        logind.end(&format!("c{id}"));
    }
    let mut runs = world.until_runs(2 * COUNT);
    runs.sort();
    runs.dedup();
    assert_eq!(runs.len(), 2 * COUNT);
    let left = || std::fs::read_dir(world.path("state/sessions")).unwrap().count();
    until("records that are gone", || (left() <= 1).then_some(()));
}
