//! What holds for every plan, whatever the map and the host are like. Needs no privilege: planning does no I/O.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's way to fail is to stop; the project's rules for programs that run as root are not about it"
)]
#![allow(
    unreachable_pub,
    reason = "nothing is reached from outside of a test; `pub` is what other files may use"
)]

#[path = "integration/maps.rs"]
mod maps;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use proptest::prelude::*;
use proptest::sample::select;

use session_sandbox::config::{self, SourceFile};
use session_sandbox::explain::{Account, Screen};
use session_sandbox::model::facts::{Facts, KernelFeatures, PathFact, Refusal, RefusedBy, SubordinateIds};
use session_sandbox::model::name::UserName;
use session_sandbox::model::path::AbsPath;
use session_sandbox::model::policy::{Attributes, Mode, MountKind, MountRule, Policy};
use session_sandbox::model::subject::{Door, Subject};
use session_sandbox::plan::step::{Make, Mount, Node, Plan, RootSwitch, Step, TreeStep};
use session_sandbox::plan::{self, Command, Placement, PlanErrors, Request, lint};
use session_sandbox::run;

fn path(text: &str) -> AbsPath {
    AbsPath::new(text).unwrap()
}

fn sources() -> Vec<String> {
    ["/", "/usr", "/srv/data", "/srv", "/etc/hosts", "/run/a b", "/dev/null", "/proc", "%h", "%h/x"]
        .map(str::to_owned)
        .to_vec()
}

fn subject() -> impl Strategy<Value = Subject> {
    let home = select(vec!["/home/bob", "/", "/srv/data/home", "/a/b"]);
    (select(vec![0, 1000, 4242]), home, select(vec!["/bin/sh", "/usr/bin/session-enter"])).prop_map(
        |(uid, home, shell)| Subject {
            name: UserName::new(if uid == 0 { "root" } else { "bob" }).unwrap(),
            uid,
            gid: uid,
            groups: vec![uid],
            group_name: "bob".to_owned(),
            home: path(home),
            shell: path(shell),
            door: Door::command_line(),
        },
    )
}

fn request() -> impl Strategy<Value = Request> {
    let mode = select(vec![None, Some(Mode::Namespace), Some(Mode::Chroot)]);
    let placement = select(vec![
        Placement::Enter,
        Placement::Enter,
        Placement::Host(None),
        Placement::Host(Some(path("/srv/tree"))),
    ]);
    let command = select(vec![
        Command::LoginShell,
        Command::ShellString("exit 3".into()),
        Command::Program(vec!["ls".into(), "-l".into()]),
        Command::Program(Vec::new()),
    ]);
    (mode, placement, command).prop_map(|(mode, placement, command)| Request {
        mode,
        placement,
        command,
        environment: vec![("TERM".into(), "vt100".into()), ("LD_PRELOAD".into(), "/tmp/evil.so".into())],
        ..Request::default()
    })
}

/// What a host may answer; a directory is what most paths are.
fn answer() -> impl Strategy<Value = PathFact> {
    prop_oneof![
        12 => Just(PathFact::Directory),
        4 => Just(PathFact::File),
        2 => Just(PathFact::Missing),
        1 => Just(PathFact::Device),
        1 => Just(PathFact::Socket),
        1 => Just(PathFact::Fifo),
        1 => Just(PathFact::Symlink("usr/bin".to_owned())),
        1 => Just(PathFact::ThroughSymlink),
        1 => Just(PathFact::Unreachable(Refusal { by: RefusedBy::Permissions, reason: "Permission denied".to_owned() })),
    ]
}

#[derive(Clone, Debug)]
struct Host {
    answers: Vec<PathFact>,
    privileged: bool,
    terminal: bool,
    kernel: KernelFeatures,
    subordinate: Option<SubordinateIds>,
}

fn host() -> impl Strategy<Value = Host> {
    let answers = prop_oneof![Just(vec![PathFact::Directory]), prop::collection::vec(answer(), 1..64)];
    let old = KernelFeatures { nosymfollow: false, landlock_scope: false, ..KernelFeatures::default() };
    let too_old = KernelFeatures { mount_setattr: false, ..old };
    let kernel = prop_oneof![20 => Just(KernelFeatures::default()), 2 => Just(old), 1 => Just(too_old)];
    let subordinate =
        select(vec![None, Some(SubordinateIds { uid: (100_000, 65536), gid: (100_000, 65536) })]);
    (answers, prop::bool::weighted(0.8), any::<bool>(), kernel, subordinate).prop_map(
        |(answers, privileged, terminal, kernel, subordinate)| Host {
            answers,
            privileged,
            terminal,
            kernel,
            subordinate,
        },
    )
}

impl Host {
    fn facts(&self, policy: &Policy, subject: &Subject) -> Facts {
        let questions = policy.profiles.iter().flat_map(|profile| plan::mount_questions(profile, subject));
        let paths = questions.enumerate().map(|(at, asked)| {
            // Some trees of the host are what they are everywhere.
            let device = asked.1.as_str().starts_with("/dev/") && asked.1.depth() == 2;
            let answer =
                if device { PathFact::Device } else { self.answers[at % self.answers.len()].clone() };
            (asked, answer)
        });
        Facts {
            privileged: self.privileged,
            base: self.terminal,
            // Root in a container may or may not; on a terminal stands for the one, off it for the other.
            makes_devices: self.privileged && self.terminal,
            caller_uid: if self.privileged { 0 } else { subject.uid },
            kernel: self.kernel,
            groups: BTreeMap::new(),
            paths: paths.collect(),
            culprits: BTreeMap::new(),
            terminal: self.terminal,
            tty_group: Some(5),
            subordinate: self.subordinate,
        }
    }
}

/// What makes what is below a step: the nearest earlier step above it.
fn holder(plan: &Plan, at: usize) -> Option<&TreeStep> {
    let target = &plan.tree[at].target;
    plan.tree[..at]
        .iter()
        .filter(|step| target.is_below(&step.target))
        // Of a mount point and the mount on it, the mount, which comes later.
        .max_by_key(|step| step.target.depth())
}

fn is_hosts_tree(step: &TreeStep) -> bool {
    matches!(&step.make, Make::Mount { what: Mount::Bind { .. } | Mount::Proc | Mount::Sysfs, .. })
}

fn is_leaf(step: &TreeStep) -> bool {
    match &step.make {
        Make::Directory { .. } => false,
        Make::File { .. } | Make::Symlink { .. } | Make::Device { .. } => true,
        Make::Mount { node, what, .. } => {
            *node != Node::Directory
                || matches!(
                    what,
                    Mount::Devpts { .. } | Mount::Mqueue | Mount::Terminal | Mount::Content { .. }
                )
        }
    }
}

fn check_tree(plan: &Plan) {
    let first = plan.tree.first().expect("a plan without a root");
    assert!(
        first.target.is_root() && matches!(first.make, Make::Mount { node: Node::Directory, .. }),
        "{first:?}"
    );
    let mut mounted = BTreeSet::new();
    let mut made = BTreeSet::new();
    for (at, step) in plan.tree.iter().enumerate() {
        assert!(
            !step.target.components().any(|name| name == ".." || name == "."),
            "{step:?} leaves the root"
        );
        let is_mount = matches!(step.make, Make::Mount { .. });
        let first_here = if is_mount { mounted.insert(&step.target) } else { made.insert(&step.target) };
        assert!(first_here, "{} is made twice", step.target);
        if at == 0 {
            continue;
        }
        let holder = holder(plan, at).expect("a step outside the root");
        assert!(!is_leaf(holder), "{step:?} lies below {holder:?}");
        let in_hosts_tree = is_hosts_tree(holder);
        let parent = step.target.parent().expect("a second root");
        assert!(in_hosts_tree || holder.target == parent, "{step:?}: its parent is not made before it");
        assert!(is_mount || !in_hosts_tree, "{step:?} would be created in {holder:?}");
        if let Make::Mount { node, .. } = &step.make {
            let points: Vec<_> = plan.tree[..at].iter().filter(|other| other.target == step.target).collect();
            match (points.as_slice(), in_hosts_tree) {
                ([], true) => {}
                ([point], false) => {
                    let fits = matches!(
                        (&point.make, node),
                        (Make::Directory { .. }, Node::Directory)
                            | (Make::File { .. }, Node::File | Node::Socket | Node::Device)
                    );
                    assert!(fits, "{step:?} on {point:?}");
                }
                (points, _) => panic!("{step:?} in {holder:?} has the mount points {points:?}"),
            }
        }
    }
}

fn check_seals(plan: &Plan) {
    let mut sealed = BTreeSet::new();
    for seal in &plan.seal {
        let step = &plan.tree[seal.step];
        assert_eq!((&step.target, &step.origin), (&seal.target, &seal.origin));
        let Make::Mount { what: Mount::Tmpfs { .. }, attributes, .. } = &step.make else {
            panic!("{seal:?} seals {step:?}")
        };
        assert!(
            !attributes.read_only && sealed.insert(seal.step),
            "{seal:?}: sealed twice, or before it was built"
        );
    }
}

fn check_order(plan: &Plan, privileged: bool) {
    let steps: Vec<Step<'_>> = plan.steps().collect();
    let phases: Vec<u8> = steps
        .iter()
        .map(|step| match step {
            Step::Create(_) => 0,
            Step::Gather(..) => 1 + u8::from(!privileged) * 2,
            Step::Isolate(_) => 2,
            Step::Build(..) => 4,
            Step::Seal(_) => 5,
            Step::SwitchRoot(_) => 6,
            Step::Init(_) => 7,
            Step::Become(_) => 8,
        })
        .collect();
    assert!(phases.is_sorted(), "{phases:?}");
    let gathered: Vec<usize> = steps
        .iter()
        .filter_map(|step| if let Step::Gather(at, _) = step { Some(*at) } else { None })
        .collect();
    let taken = |step: &TreeStep| {
        matches!(&step.make, Make::Mount { what: Mount::Bind { .. } | Mount::Terminal, .. })
    };
    let expected: Vec<usize> = (0..plan.tree.len()).filter(|at| taken(&plan.tree[*at])).collect();
    assert_eq!(gathered, expected, "what is taken from the host");
    let built = steps.iter().filter(|step| matches!(step, Step::Build(..))).count();
    assert_eq!(
        (built, phases.iter().filter(|phase| **phase == 5).count()),
        (plan.tree.len(), plan.seal.len())
    );
    let enters = matches!(plan.root, RootSwitch::Enter { .. });
    assert_eq!(
        phases.ends_with(&[6, 8]),
        enters,
        "the user is become exactly when a session is entered, and last"
    );

    let mut recorder = run::Recorder::default();
    run::run_steps(plan, &mut recorder).unwrap();
    assert_eq!(recorder.lines.len(), steps.len());
}

/// No entry of the map is lost on the way, and no restriction of it.
fn check_rules(plan: &Plan, rules: &[MountRule], subject: &Subject) {
    let wanted = |rule: &MountRule| !rule.optional && !matches!(rule.kind, MountKind::System { .. });
    for rule in rules.iter().filter(|rule| wanted(rule)) {
        let target = rule.target.expand_path(subject).unwrap();
        let found = plan.tree.iter().any(|step| step.target == target && step.origin == rule.origin);
        assert!(found, "{target} of {} is not in the plan", rule.origin);
    }
    for (step, _, attributes) in plan.mounts() {
        let here = |rule: &&MountRule| {
            let target = rule.target.expand_path(subject).is_ok_and(|target| target == step.target);
            rule.origin == step.origin && (target || matches!(rule.kind, MountKind::System { .. }))
        };
        match rules.iter().find(here).map(|rule| &rule.kind) {
            Some(
                MountKind::System { attributes: asked, .. }
                | MountKind::Bind { attributes: asked, .. }
                | MountKind::Tmpfs { attributes: asked, .. }
                | MountKind::Proc { attributes: asked }
                | MountKind::Sysfs { attributes: asked }
                | MountKind::Mqueue { attributes: asked },
            ) => assert_eq!(attributes, *asked, "{}", step.target),
            _ => assert!(attributes.nosuid, "{} honours set-user-id programs", step.target),
        }
    }
    let sealed = |at: usize| plan.seal.iter().any(|seal| seal.step == at);
    let loose = |(at, step): (usize, &TreeStep)| match &step.make {
        Make::Mount { what: Mount::Tmpfs { .. }, attributes: Attributes { read_only, .. }, .. } => {
            *read_only && !sealed(at)
        }
        _ => false,
    };
    assert!(!plan.tree.iter().enumerate().any(loose), "a tmpfs is read-only before it is complete");
}

fn check_errors(errors: &PlanErrors) {
    assert!(!errors.errors.is_empty() && !errors.to_string().is_empty(), "refused without a reason");
    for error in &errors.errors {
        assert!(!error.help().trim().is_empty(), "{error:?} has no help");
    }
}

fn check(policy: &Policy, subject: &Subject, request: &Request, host: &Host) -> bool {
    let facts = host.facts(policy, subject);
    let planned = plan::plan(policy, subject, request, &facts);
    assert_eq!(planned, plan::plan(policy, subject, request, &facts), "not the same plan twice");
    lint::lint_policy(policy);
    let plan = match planned {
        Ok(plan) => plan,
        Err(errors) => {
            check_errors(&errors);
            return false;
        }
    };
    check_tree(&plan);
    check_seals(&plan);
    check_order(&plan, host.privileged);
    let profile = policy.profiles.iter().find(|profile| profile.name == plan.profile).unwrap();
    check_rules(&plan, &profile.mounts, subject);
    let account = Account::unseen(&plan, policy).unwrap();
    for text in [account.tree(Screen::default()), account.listing(Screen::default())] {
        for target in plan.tree.iter().filter_map(|step| step.target.file_name()) {
            assert!(text.contains(target), "{target} is not in the explanation:\n{text}");
        }
        // A word that is longer than the line has one of its own, with what has to stand before it.
        let is_too_long = |line: &&str| line.chars().count() > 80 && line.trim().contains(' ');
        assert_eq!(text.lines().find(is_too_long), None, "{text}");
    }
    let json: serde_json::Value = serde_json::from_str(&account.json()).expect("not JSON");
    assert_eq!(json["plan"]["tree"].as_array().map(Vec::len), Some(plan.tree.len()));
    assert_eq!(plan.report.mounts, plan.mounts().count());
    assert!(plan.exec.environment.iter().all(|(name, _)| name != "LD_PRELOAD"));
    true
}

/// Planned and refused maps, and the kinds that were in the planned ones.
#[derive(Debug, Default)]
struct Tally {
    planned: usize,
    refused: usize,
    kinds: BTreeSet<&'static str>,
}

impl Tally {
    fn count(&mut self, policy: &Policy, planned: bool) {
        if planned {
            self.planned += 1;
            let rules = policy.profiles.iter().flat_map(|profile| &profile.mounts);
            self.kinds.extend(rules.map(|rule| rule.kind.word()));
        } else {
            self.refused += 1;
        }
    }

    fn assert_not_one_sided(&self) {
        let tenth = (self.planned + self.refused) / 10;
        assert!(self.planned >= tenth && self.refused >= tenth, "{self:?}");
        assert_eq!(self.kinds.len(), 12, "{self:?}");
    }
}

/// The entries of a map, put together behind the map reader's back: it is not asked whether they fit each other.
fn unchecked(map: &maps::Map) -> Option<Policy> {
    let mut text = "version = 1\n".to_owned();
    for (at, entry) in map.entries.iter().enumerate() {
        text.push_str(&format!("[[profile]]\nname = \"p{at}\"\n{}{entry}", map.header));
    }
    let mut policy = config::parse(&[SourceFile { name: "random map".to_owned(), text }]).ok()?;
    let mut rules = policy.profiles.drain(1..).flat_map(|profile| profile.mounts).collect();
    policy.profiles.first_mut()?.mounts.append(&mut rules);
    Some(policy)
}

fn run_cases(
    count: u32,
    name: &'static str,
    case: impl Fn(maps::Map, &Subject, &Request, &Host, &mut Tally),
) {
    let tally = Rc::new(RefCell::new(Tally::default()));
    let config = ProptestConfig {
        cases: count.max(ProptestConfig::default().cases),
        test_name: Some(name),
        source_file: Some(file!()),
        ..ProptestConfig::default()
    };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let all = (maps::map(sources()), subject(), request(), host());
    let outcome = runner.run(&all, |(map, subject, request, host)| {
        case(map, &subject, &request, &host, &mut tally.borrow_mut());
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    tally.borrow().assert_not_one_sided();
}

#[test]
fn every_map_that_can_be_read_is_planned_well_or_refused_with_help() {
    run_cases(600, "readable", |mut map, subject, request, host, tally| {
        let (policy, _) = map.readable();
        let planned = check(&policy, subject, request, host);
        tally.count(&policy, planned);
    });
}

#[test]
fn entries_that_no_map_could_hold_together_are_planned_well_or_refused_with_help() {
    run_cases(600, "unchecked", |mut map, subject, request, host, tally| {
        map.readable();
        let Some(policy) = unchecked(&map) else { return };
        let planned = check(&policy, subject, request, host);
        tally.count(&policy, planned);
    });
}

#[test]
fn the_built_in_map_is_planned_well_on_every_host() {
    let policy = config::built_in().unwrap_or_else(|found| panic!("{found}"));
    let config = ProptestConfig { cases: 300, ..ProptestConfig::default() };
    proptest!(config, |(subject in subject(), request in request(), host in host())| {
        check(&policy, &subject, &request, &host);
    });
}
