//! How long the pure part takes: from the map's text to a plan, and from a plan to the text of a dry run.
//!
//!     cargo bench --bench plan
//!
//! Nothing here asks the host: who logs in and what the host is like are written down by hand. Planning the shipped
//! map must take less than 200 us.

use std::collections::BTreeMap;
use std::error::Error;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use session_sandbox::config::{self, SourceFile};
use session_sandbox::explain::{Account, Screen};
use session_sandbox::model::facts::{Facts, Look, PathFact};
use session_sandbox::model::name::UserName;
use session_sandbox::model::path::AbsPath;
use session_sandbox::model::policy::Policy;
use session_sandbox::model::subject::{Door, Subject};
use session_sandbox::plan::{self, Request};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A student on a Debian host.
fn bob() -> Result<Subject> {
    Ok(Subject {
        name: UserName::new("bob")?,
        uid: 4242,
        gid: 100,
        groups: vec![27, 100, 300],
        group_name: "users".to_owned(),
        home: AbsPath::new("/home/bob")?,
        shell: AbsPath::new("/bin/bash")?,
        door: Door::command_line(),
    })
}

/// The host: merged `/usr`, and of the rest what a desktop has. `more` are directories besides.
fn host(more: &[String]) -> Result<Facts> {
    let links = [("/bin", "usr/bin"), ("/sbin", "usr/sbin"), ("/lib", "usr/lib"), ("/lib64", "usr/lib64")];
    let directories = [
        "/usr",
        "/opt",
        "/etc",
        "/run/systemd/resolve",
        "/run/systemd/userdb",
        "/var/cache/fontconfig",
        "/var/cache/man",
    ];
    let devices = ["null", "zero", "full", "random", "urandom", "tty"];
    let of_the_user = ["/home/bob", "/run/user/4242"];

    let mut paths = BTreeMap::new();
    let mut add = |look, path: &str, fact| -> Result<()> {
        paths.insert((look, AbsPath::new(path)?), fact);
        Ok(())
    };
    for (path, to) in links {
        add(Look::Root, path, PathFact::Symlink(to.to_owned()))?;
    }
    for path in directories.into_iter().chain(more.iter().map(String::as_str)) {
        add(Look::Root, path, PathFact::Directory)?;
    }
    for device in devices {
        add(Look::Root, &format!("/dev/{device}"), PathFact::Device)?;
    }
    for path in of_the_user {
        add(Look::User, path, PathFact::Directory)?;
    }
    add(Look::RootFollowing, "/var/mail", PathFact::Directory)?;
    Ok(Facts {
        privileged: true,
        makes_devices: true,
        tty_group: Some(5),
        terminal: true,
        paths,
        ..Facts::default()
    })
}

/// A map with as many mounts as one profile may have, and the directories that it binds.
fn largest_map() -> (SourceFile, Vec<String>) {
    let sources: Vec<String> =
        (0..config::MOUNTS_MAX).map(|at| format!("/srv/data/{}/{at}", at % 16)).collect();
    let mut text = "version = 1\n[[profile]]\nname = \"large\"\n".to_owned();
    for source in &sources {
        text += &format!("[[profile.mount]]\ntarget = \"{source}\"\noptions = [\"ro\", \"noexec\"]\n");
    }
    (SourceFile { name: "large.toml".to_owned(), text }, sources)
}

fn plan_once(policy: &Policy, subject: &Subject, facts: &Facts) -> Result<plan::Plan> {
    Ok(plan::plan(policy, subject, &Request::default(), facts)?)
}

fn measure(criterion: &mut Criterion) -> Result<()> {
    let (subject, facts, request) = (bob()?, host(&[])?, Request::default());
    let shipped = config::built_in()?;
    let planned = plan_once(&shipped, &subject, &facts)?;

    let account = Account::unseen(&planned, &shipped).ok_or("no such profile")?;

    let (large_file, sources) = largest_map();
    let large_layers = [large_file];
    let large = config::parse(&large_layers)?;
    let large_facts = host(&sources)?;
    // A bench of something that is refused would measure the refusal.
    let mounts = plan_once(&large, &subject, &large_facts)?.mounts().count();
    if mounts != config::MOUNTS_MAX + 1 {
        return Err(format!("the large map became {mounts} mounts").into());
    }

    let mut group = criterion.benchmark_group("shipped map");
    group.bench_function("plan (target: 200 us)", |bencher| {
        bencher.iter(|| plan::plan(black_box(&shipped), black_box(&subject), &request, black_box(&facts)));
    });
    group.bench_function("parse", |bencher| bencher.iter(config::built_in));
    group.bench_function("parse and plan", |bencher| {
        bencher.iter(|| config::built_in().map(|policy| plan::plan(&policy, &subject, &request, &facts)));
    });
    group.bench_function("explain as text", |bencher| {
        bencher.iter(|| account.tree(black_box(Screen::default())))
    });
    group.bench_function("explain as JSON", |bencher| bencher.iter(|| black_box(&account).json()));
    group.finish();

    let mut group = criterion.benchmark_group("map of 256 mounts");
    group.bench_function("plan", |bencher| {
        bencher
            .iter(|| plan::plan(black_box(&large), black_box(&subject), &request, black_box(&large_facts)));
    });
    group.bench_function("parse", |bencher| bencher.iter(|| config::parse(black_box(&large_layers))));
    group.finish();
    Ok(())
}

fn benches(criterion: &mut Criterion) {
    if let Err(error) = measure(criterion) {
        use std::io::Write;
        // Criterion's functions return nothing; what is missing in the report is explained here.
        let _ = writeln!(std::io::stderr(), "plan: {error}");
    }
}

criterion_group!(plan_benches, benches);
criterion_main!(plan_benches);
