//! Which scripts run, and in which order: from the names in a folder and the configuration, without a look at any host.
#![allow(clippy::unwrap_used, reason = "a test's way to fail is to stop")]

use session_sandbox::config;
use session_sandbox::model::scripts::{Folder, Kind, Order, SCRIPTS_MAX};
use session_sandbox::scripts::schedule::{Schedule, schedule};

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn order(schedule: &Schedule) -> Vec<&str> {
    schedule.tasks.iter().map(|task| task.name.rsplit('/').next().unwrap()).collect()
}

/// The listing of the page that it all began with.
const PAGE: [&str; 6] = [
    "50-determine_local_devices.sh",
    "10W-determine-settings.sh",
    "70-correct_workspace.sh",
    "15W-mount_workspace.sh",
    "20D-manage_workspace.sh",
    "11W-launch_session_automount.sh",
];

#[test]
fn scripts_run_in_the_order_of_the_c_locale() {
    let policy = config::parse_scripts(None).unwrap();
    let added = schedule(&policy, Folder::Added, owned(&PAGE));
    assert_eq!(
        order(&added),
        [
            "10W-determine-settings.sh",
            "11W-launch_session_automount.sh",
            "15W-mount_workspace.sh",
            "20D-manage_workspace.sh",
            "50-determine_local_devices.sh",
            "70-correct_workspace.sh"
        ]
    );
    let kinds: Vec<Kind> = added.tasks.iter().map(|task| task.kind).collect();
    assert_eq!(kinds, [Kind::Wait, Kind::Wait, Kind::Wait, Kind::Detached, Kind::Listed, Kind::Listed]);
    assert_eq!(added.tasks[0].path.as_str(), "/etc/session.d/added/10W-determine-settings.sh");
    assert_eq!(added.tasks[0].arguments, ["session_added"]);
    // Upper case before lower, as `LC_ALL=C ls` has it.
    let case = schedule(&policy, Folder::Added, owned(&["10-b", "10-B", "10-a", "10W-a", "09-z"]));
    assert_eq!(order(&case), ["09-z", "10-B", "10-a", "10-b", "10W-a"]);
}

#[test]
fn an_end_undoes_the_last_thing_first_unless_it_is_told_otherwise() {
    let mut policy = config::parse_scripts(None).unwrap();
    let names = || owned(&["10W-a", "20D-b", "50-c"]);
    assert_eq!(order(&schedule(&policy, Folder::Removed, names())), ["50-c", "20D-b", "10W-a"]);
    policy.order = Order::Listed;
    assert_eq!(order(&schedule(&policy, Folder::Removed, names())), ["10W-a", "20D-b", "50-c"]);
}

#[test]
fn what_is_not_run_is_said_once() {
    let policy = config::parse_scripts(None).unwrap();
    let names = owned(&["10W-a", "10W-a~", ".hidden", "README", "10W-a\nb", "-rf", "10W- x"]);
    let schedule = schedule(&policy, Folder::Added, names);
    assert_eq!(order(&schedule), ["10W-a"]);
    let skipped: Vec<&str> = schedule.skipped.iter().map(|skipped| skipped.name.as_str()).collect();
    assert_eq!(skipped, ["added/-rf", "added/10W- x", "added/10W-a\\nb", "added/10W-a~", "added/README"]);
}

#[test]
fn too_many_are_cut_off_and_counted() {
    let policy = config::parse_scripts(None).unwrap();
    let names = (0..10_000).map(|number| format!("50-{number:05}")).collect();
    let schedule = schedule(&policy, Folder::Added, names);
    assert_eq!(schedule.tasks.len(), SCRIPTS_MAX);
    assert_eq!(schedule.skipped.len(), 1);
    assert!(schedule.skipped[0].why.contains("the last 9488"), "{}", schedule.skipped[0].why);
}

/// The example says what holds without it; the lines that it has to show something by are named here.
#[test]
fn the_example_says_what_holds_without_it() {
    let text = include_str!("../docs/examples/session-scripts.conf");
    let read = |text: String| {
        let file = config::SourceFile { name: "session-scripts.conf".to_owned(), text };
        config::parse_scripts(Some(&file)).map_err(|found| found.to_string())
    };
    let standard = config::parse_scripts(None).unwrap();
    let defaults: String =
        text.split_inclusive('\n').take_while(|line| !line.starts_with("# For all")).collect();
    let mut example = read(defaults).unwrap();
    let names =
        ["10W-x", "20D-x", "50-x"].map(|name| (name, session_sandbox::scripts::name::read(name).unwrap()));
    for folder in Folder::ALL {
        for (name, kind) in names {
            let settings = |policy: &session_sandbox::model::scripts::Policy| {
                policy.settings(folder, name, kind, |pattern, name| pattern == name)
            };
            assert_eq!(settings(&example), settings(&standard), "{folder:?} {name}");
        }
    }
    example.defaults = standard.defaults.clone();
    assert_eq!(example, standard);
    // Everything that is put out of use by a mark can be put to use.
    let all: String = text
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| rest.contains(" = ")).unwrap_or(line))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(read(all).unwrap().worlds.len(), 7);
}
