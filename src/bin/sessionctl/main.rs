//! Looks at and manages the sessions and views that live on this host.
#![forbid(unsafe_code)]

mod begun;
mod check;
mod diff;
mod explain;
mod import;
mod selftest;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use command_line::text::{shown_json, shown_lines};
use session_sandbox::check::ChrootConf;
use session_sandbox::cli::control::{self, Control, Whose};
use session_sandbox::cli::terminal::screen;
use session_sandbox::model::isolation::Isolation;
use session_sandbox::model::path::AbsPath;
use session_sandbox::model::setup::Method;
use session_sandbox::model::subject::Door;
use session_sandbox::plan::{self, Command, Request};
use session_sandbox::registry::{Inventory, Registry, SessionRecord, Swept};
use session_sandbox::scripts::begin::Stage;
use session_sandbox::scripts::journals::Journals;
use session_sandbox::scripts::rehearsal;
use session_sandbox::scripts::status::{self, State, Status};
use session_sandbox::setup::Setup;
use session_sandbox::{Error, ErrorKind, discover, doctor, host, run};

fn main() -> ExitCode {
    match control() {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            // An error that cannot be shown is still the exit status.
            let _ = writeln!(std::io::stderr(), "sessionctl: {}", shown_lines(&error.chain().to_string()));
            ExitCode::from(error.kind().exit_code())
        }
    }
}

fn control() -> Result<u8, Error> {
    run::prepare_process()?;
    let control = control::read(std::env::args_os())?;
    if control.is_about_host() && host::is_in_view() {
        // Whoever reads the answer all the same knows what it is worth.
        let _ = writeln!(
            std::io::stderr(),
            "sessionctl: this is a session's view: what is said of the host is so of the view. Ask outside"
        );
    }
    let control = match control {
        Control::Say(text) => return print(&text),
        Control::Setup { method, undo, dry_run, root } => {
            must_be_root(root.as_ref())?;
            return set_up(method, undo, dry_run, root.as_ref());
        }
        Control::Doctor { json, root } => {
            let report = doctor::examine(root.as_ref())?;
            print(&if json { to_json(&report)? } else { report.text(screen()) })?;
            return Ok(u8::from(!report.well));
        }
        Control::Plan(login, form) => return explain::plan(&login, form),
        Control::Why(login, path) => return explain::why(&login, &path),
        Control::Can(login, deed, path) => return explain::can(&login, deed, &path),
        Control::Diff { which, config, json } => return diff::diff(&which, config.as_deref(), json),
        Control::Check { files, drop_in, user, all_users, chroot_conf, strict, format } => {
            let users = user.into_iter().collect();
            let chroot_conf = chroot_conf.map(|(file, words)| ChrootConf { file, words });
            let request = session_sandbox::check::Request { files, drop_in, users, all_users, chroot_conf };
            return check::check(&request, strict, &format);
        }
        Control::Audit { login, strict, format } => {
            must_be_root(None)?;
            return explain::audit(&login, strict, &format);
        }
        Control::Selftest { login, mode, json } => {
            must_be_root(None)?;
            return selftest::selftest(&login, mode, json);
        }
        Control::Import { kind, file } => return import::import(kind, &file),
        Control::Discover(root) => return print(&discover::discover(root.as_ref())?),
        Control::Begin(begin) => {
            must_be_root(None)?;
            return begun::begin(&begin);
        }
        Control::Recover => {
            must_be_root(None)?;
            return begun::recover();
        }
        Control::Rehearse { user, config } => {
            must_be_root(None)?;
            return rehearse(user.as_deref(), config.as_deref());
        }
        other => other,
    };
    must_be_root(None)?;
    let Some(registry) = Registry::open_if_there()? else {
        return match control {
            Control::List { json: true } => print(&to_json(&Inventory::default())?),
            Control::List { json: false } => print(&table(&Inventory::default())),
            Control::Gc { json: true } => print(&to_json(&Swept::default())?),
            Control::Gc { json: false } => print(&swept_text(Swept::default())),
            Control::Scripts { json: true, session: None } => print("[]\n"),
            Control::Scripts { json: false, session: None } => Ok(0),
            _ => Err(nothing("no session has been entered since this host was started")),
        };
    };
    match control {
        Control::Say(_)
        | Control::Setup { .. }
        | Control::Doctor { .. }
        | Control::Plan(..)
        | Control::Why(..)
        | Control::Can(..)
        | Control::Check { .. }
        | Control::Audit { .. }
        | Control::Selftest { .. }
        | Control::Discover(_)
        | Control::Import { .. }
        | Control::Diff { .. }
        | Control::Rehearse { .. }
        | Control::Begin(_)
        | Control::Recover => Ok(0),
        Control::Scripts { session, json } => scripts(&registry, session, json),
        Control::List { json } => {
            let inventory = registry.inventory()?;
            print(&if json { to_json(&inventory)? } else { table(&inventory) })
        }
        Control::Gc { json } => {
            let swept = registry.sweep()?;
            run_ends(&registry)?;
            print(&if json { to_json(&swept)? } else { swept_text(swept) })
        }
        Control::End { whose } => {
            let ended = end(&registry, whose)?;
            run_ends(&registry)?;
            print(&ended)
        }
        Control::Enter { whose, as_root, config, command } => {
            enter(&registry, whose, as_root, config, command)
        }
    }
}

/// Ends what was asked for, and says what that was. None of it is begun again by `recover`.
fn end(registry: &Registry, whose: Whose) -> Result<String, Error> {
    let sessions = registry.inventory()?.sessions;
    let forget = |is_meant: &dyn Fn(&SessionRecord) -> bool| {
        let mut meant = sessions.iter().filter(|session| is_meant(&session.record));
        meant.try_for_each(|session| begun::forget(&session.name))
    };
    match whose {
        Whose::Session(name) => {
            begun::forget(&name)?;
            run::end_session(registry, &name)?;
            Ok(format!("ended: {name}\n"))
        }
        Whose::User(name) => {
            let subject = host::subject(&name, door())?;
            forget(&|session| session.uid == subject.uid)?;
            let ended = run::end_user(registry, subject.uid)?;
            Ok(format!("ended: {}, {}\n", count(ended.sessions, "session"), count(ended.views, "view")))
        }
        Whose::View(name) => {
            if !registry.inventory()?.namespaces.iter().any(|view| view.name == name) {
                return Err(nothing(&format!("there is no view {name}")));
            }
            forget(&|session| session.view.as_ref().is_some_and(|(view, _)| *view == name))?;
            Ok(format!("ended: {}\n", count(run::end_view(registry, &name)?, "view")))
        }
    }
}

/// The session scripts of ends that nobody else will notice.
fn run_ends(registry: &Registry) -> Result<(), Error> {
    let policy = host::load_script_policy(None)?;
    Stage { registry, policy: &policy, config: None }.sweep_elsewhere()
}

/// What session scripts have run: of all sessions that are known, or of one.
fn scripts(registry: &Registry, session: Option<String>, json: bool) -> Result<u8, Error> {
    let journals = Journals::open(registry)?;
    let names = match &session {
        Some(name) => vec![name.clone()],
        None => journals.all()?,
    };
    let mut found = Vec::new();
    for name in names {
        let lines = journals.lines(&name)?;
        found.extend(lines.as_deref().and_then(status::status));
    }
    if let (Some(name), true) = (&session, found.is_empty()) {
        let message = format!("no scripts of a session {name:?} are on record");
        return Err(Error::new(ErrorKind::Request, message).help("`sessionctl scripts` shows those that are"));
    }
    if json {
        return print(&to_json(&found)?);
    }
    print(&found.iter().map(Status::text).collect::<Vec<_>>().join("\n"))
}

/// Runs a session with scripts of its own, and shows what would run for the user.
fn rehearse(user: Option<&str>, config: Option<&str>) -> Result<u8, Error> {
    let policy = host::load_script_policy(config)?;
    let subject = match user {
        Some(name) => host::subject(name, door())?,
        None => host::subject_of_caller(door())?,
    };
    let registry = Registry::open()?;
    print(&format!("what would run for {}:\n{}\n", subject.name, rehearsal::outlook(&policy, &subject)?))?;
    let status = rehearsal::rehearse(&registry, &policy, &subject)?;
    print(&format!("a session with scripts of its own:\n{}", status.text()))?;
    let works = status.failures() == 0 && status.state == State::Ended;
    print(if works { "\nscripts work\n" } else { "\nscripts do NOT work\n" })?;
    Ok(u8::from(!works))
}

/// A host in a folder of one's own is one's own to look at.
pub(crate) fn must_be_root(elsewhere: Option<&AbsPath>) -> Result<(), Error> {
    if elsewhere.is_some() || rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let message = "this host's views and logins are for root to see and to change";
    Err(Error::new(ErrorKind::Request, message).help("run sessionctl as root"))
}

fn set_up(method: Method, undo: bool, dry_run: bool, root: Option<&AbsPath>) -> Result<u8, Error> {
    let setup = if undo { Setup::plan_undo(method, root)? } else { Setup::plan(method, root)? };
    let name = method.name();
    if setup.is_nothing() {
        return print(&match undo {
            true => format!("nothing to do: nothing that was set up by `{name}` is on record\n"),
            false => format!("nothing to do: this is set up by `{name}` already\n"),
        });
    }
    print(&setup.preview())?;
    if dry_run {
        return print("nothing was changed: this is a dry run\n");
    }
    setup.carry_out()?;
    print(&match undo {
        true => "done: it is as it was before\n".to_owned(),
        false => format!("done; `sessionctl setup --method {name} --undo` takes it back\n"),
    })
}

fn enter(
    registry: &Registry,
    whose: Whose,
    as_root: bool,
    config: Option<String>,
    command: Vec<OsString>,
) -> Result<u8, Error> {
    let inventory = registry.inventory()?;
    let (view, user) = match whose {
        Whose::User(user) => {
            let mut views = run::views_of(&inventory, host::subject(&user, door())?.uid);
            match (views.pop(), views.as_slice()) {
                (Some(view), []) => (view, user),
                (None, _) => return Err(nothing(&format!("{user} has no view of their own that lives"))),
                (Some(last), others) => {
                    let message = format!("{user} has several views: {}, {last}", others.join(", "));
                    return Err(Error::new(ErrorKind::Request, message).help("name one with --view"));
                }
            }
        }
        Whose::Session(name) => {
            let found = inventory.sessions.iter().find(|living| living.name == name);
            let found = found.ok_or_else(|| nothing(&format!("there is no session {name:?}")))?;
            let view = found.record.view.as_ref();
            let view = view.ok_or_else(|| nothing(&format!("{name} has no view that others can enter")))?;
            (view.0.clone(), found.record.user.clone())
        }
        Whose::View(view) => {
            let found = inventory.namespaces.iter().find(|living| living.name == view);
            let found = found.ok_or_else(|| nothing(&format!("there is no view {view}")))?;
            (view, found.record.user.clone())
        }
    };
    let newest = inventory.namespaces.iter().rfind(|living| living.name == view);
    let profile = newest.map(|living| living.record.profile.clone());
    let subject = host::subject(&user, door())?;
    let root_shell = || Command::Program(vec!["/bin/sh".into(), "-l".into()]);
    let command = match (command.is_empty(), as_root) {
        (true, true) => root_shell(),
        (true, false) => Command::LoginShell,
        (false, _) => Command::Program(command),
    };
    let request =
        Request { profile, command, environment: std::env::vars_os().collect(), ..Request::default() };
    let policy = host::load_policy(config.as_deref())?;
    let facts = host::facts(&policy, &subject, &request)?;
    let mut plan = plan::plan(&policy, &subject, &request, &facts)?;
    if as_root {
        for (name, value) in [("USER", "root"), ("LOGNAME", "root"), ("HOME", "/"), ("SHELL", "/bin/sh")] {
            plan.exec.environment.retain(|(other, _)| other != name);
            plan.exec.environment.push((name.into(), value.into()));
        }
        plan.exec.directory = AbsPath::root();
    }
    run::enter_view(&plan, &run::Ground::open(), &view, as_root)
}

/// How the administrator comes in: profiles are named, not matched.
fn door() -> Door {
    Door { service: "sessionctl".to_owned(), ..Door::command_line() }
}

fn swept_text(swept: Swept) -> String {
    format!(
        "taken away: {}, {}; left alone: {} in use by a login\n",
        count(swept.sessions, "session"),
        count(swept.views, "view"),
        count(swept.busy, "view")
    )
}

fn count(number: usize, what: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {what}{ending}")
}

pub(crate) fn nothing(message: &str) -> Error {
    Error::new(ErrorKind::Request, message).help("`sessionctl list` shows what lives")
}

pub(crate) fn to_json(value: &impl serde::Serialize) -> Result<String, Error> {
    serde_json::to_string_pretty(value)
        .map(|text| shown_json(&text) + "\n")
        .map_err(|error| Error::new(ErrorKind::Host, "cannot write JSON").caused_by(error))
}

/// Two tables, for people.
fn table(inventory: &Inventory) -> String {
    let mut views = vec![
        ["VIEW", "SCOPE", "ISOLATION", "GEN", "SESSIONS", "PROCS", "AGE", "MOUNTS", "KERNEL"]
            .map(str::to_owned),
    ];
    for view in &inventory.namespaces {
        views.push([
            view.name.clone(),
            format!("{:?}", view.record.scope).to_lowercase(),
            view.record.isolation.map_or("-", Isolation::word).to_owned(),
            view.record.generation.to_string(),
            view.sessions.to_string(),
            view.processes.to_string(),
            age(view.age),
            view.mounts_inside.map_or_else(|| "-".to_owned(), |count| count.to_string()),
            view.kernel_bytes.map_or_else(|| "-".to_owned(), |bytes| format!("{} KB", bytes.div_ceil(1024))),
        ]);
    }
    let mut sessions =
        vec![["SESSION", "USER", "SERVICE", "TTY", "FROM", "VIEW", "PID", "AGE"].map(str::to_owned)];
    for session in &inventory.sessions {
        let record = &session.record;
        let dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let view = record.view.as_ref().map(|(name, generation)| format!("{name}#{generation}"));
        sessions.push([
            session.name.clone(),
            record.user.clone(),
            record.service.clone(),
            dash(&record.tty),
            dash(&record.remote_host),
            dash(&view),
            record.leader.map_or_else(|| "-".to_owned(), |leader| leader.pid.to_string()),
            age(session.age),
        ]);
    }
    format!("{}\n{}", aligned(&views), aligned(&sessions))
}

fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn print(text: &str) -> Result<u8, Error> {
    let failed = |error| Error::new(ErrorKind::Request, "cannot write to standard output").caused_by(error);
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map(|()| 0).map_err(failed)
}
