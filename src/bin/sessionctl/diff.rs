//! `diff`: is what lives what the map says now?
#![forbid(unsafe_code)]

use command_line::text::{shown, wrap};
use session_sandbox::cli::control::{Login, Which, Whose};
use session_sandbox::cli::terminal::screen;
use session_sandbox::explain::drift::{Drift, drift};
use session_sandbox::model::mounts::MountTable;
use session_sandbox::model::subject::Door;
use session_sandbox::registry::{Inventory, NamespaceEntry, Registry, SessionEntry};
use session_sandbox::{Error, ErrorKind, host, run};

use crate::explain::Thought;

pub(crate) fn diff(which: &Which, config: Option<&str>, json: bool) -> Result<u8, Error> {
    let drifts = match which {
        Which::Process { pid, user, profile } => {
            vec![Compared::Drift(of_process(*pid, user.as_deref(), profile.as_deref(), config)?)]
        }
        Which::All => of_living(None, config)?,
        Which::Living(whose) => of_living(Some(whose), config)?,
    };
    if json {
        crate::print(&crate::to_json(&drifts)?)?;
    } else if drifts.is_empty() {
        crate::print("no view lives\n")?;
    } else {
        let texts: Vec<String> = drifts.iter().map(Compared::text).collect();
        crate::print(&texts.join("\n"))?;
    }
    Ok(drifts.iter().map(Compared::status).max().unwrap_or(0))
}

/// What came of one view.
#[derive(serde::Serialize)]
#[serde(untagged)]
enum Compared {
    Drift(Drift),
    /// There is no plan to compare it with: its user or its profile is gone.
    Failed {
        name: String,
        error: String,
    },
}

impl Compared {
    fn of(name: &str, compared: Result<Drift, Error>) -> Self {
        match compared {
            Ok(drift) => Self::Drift(drift),
            Err(error) => Self::Failed { name: name.to_owned(), error: error.without_remedy() },
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Drift(drift) => drift.text(screen()),
            Self::Failed { name, error } => {
                let text = format!("{name}: there is nothing to compare it with: {}", shown(error));
                let help = "help: `sessionctl end` ends what should not live any more";
                let width = screen().width;
                format!("{}\n{}\n", wrap(&text, "", "  ", width), wrap(help, "  ", "    ", width))
            }
        }
    }

    fn status(&self) -> u8 {
        match self {
            Self::Drift(drift) => u8::from(!drift.is_none()),
            Self::Failed { .. } => 125,
        }
    }
}

fn of_process(
    pid: i32,
    user: Option<&str>,
    profile: Option<&str>,
    config: Option<&str>,
) -> Result<Drift, Error> {
    let user = match user {
        Some(user) => user.to_owned(),
        None => host::owner_of_process(pid)?.ok_or_else(|| no_process(pid))?,
    };
    if run::is_where_this_process_is(pid)? {
        let message =
            format!("process {pid} sees what this program sees, so that there is nothing to compare");
        let help = "name a process inside of a session, and run sessionctl outside of it";
        return Err(Error::new(ErrorKind::Request, message).help(help));
    }
    // A session's own door is not known of a process; profiles that depend on it are named.
    let rootless = run::is_rootless(pid)?;
    let service = if rootless { "session-enter" } else { "sshd" };
    let login = Login { rootless, ..login(user, service, profile.map(str::to_owned), config) };
    let live = host::mounts_of_process(Some(pid))?.ok_or_else(|| no_process(pid))?;
    compare(&login, &format!("process {pid}"), None, &live)
}

fn of_living(whose: Option<&Whose>, config: Option<&str>) -> Result<Vec<Compared>, Error> {
    crate::must_be_root(None)?;
    let registry = Registry::open_if_there()?;
    let inventory = registry.as_ref().map_or_else(|| Ok(Inventory::default()), Registry::inventory)?;
    let Some(registry) =
        registry.filter(|_| !inventory.sessions.is_empty() || !inventory.namespaces.is_empty())
    else {
        return match whose {
            None => Ok(Vec::new()),
            Some(_) => Err(crate::nothing("nothing lives on this host")),
        };
    };
    let views: Vec<&NamespaceEntry> = match whose {
        None => inventory.namespaces.iter().collect(),
        Some(Whose::View(name)) => inventory.namespaces.iter().filter(|view| view.name == *name).collect(),
        Some(Whose::User(user)) => {
            let uid = host::subject(user, Door::command_line())?.uid;
            let names = run::views_of(&inventory, uid);
            inventory.namespaces.iter().filter(|view| names.contains(&view.name)).collect()
        }
        Some(Whose::Session(name)) => {
            let found = inventory.sessions.iter().find(|session| session.name == *name);
            let session = found.ok_or_else(|| crate::nothing(&format!("there is no session {name:?}")))?;
            return of_session(session, &inventory, config).map(|drift| vec![Compared::Drift(drift)]);
        }
    };
    let mut drifts = Vec::new();
    // Those that share nothing are in no view.
    let is_meant = |session: &&SessionEntry| {
        session.record.view.is_none()
            && match whose {
                None => true,
                Some(Whose::User(user)) => session.record.user == *user,
                Some(_) => false,
            }
    };
    for session in inventory.sessions.iter().filter(is_meant) {
        match if_inside(session, &inventory, config) {
            Ok(None) => {}
            Ok(Some(drift)) => drifts.push(Compared::Drift(drift)),
            Err(error) => drifts.push(Compared::of(&session.name, Err(error))),
        }
    }
    if let (Some(whose), true) = (whose, views.is_empty() && drifts.is_empty()) {
        let what = match whose {
            Whose::User(user) => format!("{user} has no view that lives"),
            Whose::View(name) | Whose::Session(name) => format!("there is no view {name}"),
        };
        return Err(crate::nothing(&what));
    }
    for view in views {
        // One that has ended meanwhile is no longer there to differ.
        if let Some(live) = run::mounts_of_view(&registry, &view.name, view.record.generation)? {
            let service = service_in(view, &inventory);
            let login = login(view.record.user.clone(), &service, Some(view.record.profile.clone()), config);
            let name = format!("{}, generation {}", view.name, view.record.generation);
            drifts.push(Compared::of(&name, compare(&login, &name, Some(&view.record.digest), &live)));
        }
    }
    Ok(drifts)
}

/// What a session sees: its own copy of a view, or a namespace of its own.
fn of_session(session: &SessionEntry, inventory: &Inventory, config: Option<&str>) -> Result<Drift, Error> {
    if_inside(session, inventory, config)?.ok_or_else(|| {
        Error::new(ErrorKind::Request, format!("{} is in no view: it sees what the host sees", session.name))
            .help("`sessionctl list` shows which sessions are in one")
    })
}

/// The same; `None` for one that sees what the host sees.
fn if_inside(
    session: &SessionEntry,
    inventory: &Inventory,
    config: Option<&str>,
) -> Result<Option<Drift>, Error> {
    let record = &session.record;
    let Some(leader) = &record.leader else { return Ok(None) };
    let Some(live) = run::mounts_of_session(leader.pid)? else { return Ok(None) };
    let view = record.view.as_ref().and_then(|(name, generation)| {
        inventory.namespaces.iter().find(|view| view.name == *name && view.record.generation == *generation)
    });
    let login = Login {
        user: Some(record.user.clone()),
        door: Door {
            service: record.service.clone(),
            tty: record.tty.clone(),
            remote_host: record.remote_host.clone(),
            session: None,
        },
        profile: Some(record.profile.clone()),
        config: config.map(str::to_owned),
        other_conf: None,
        rootless: false,
    };
    compare(&login, &session.name, view.map(|view| view.record.digest.as_str()), &live).map(Some)
}

/// The door by which somebody came into a view.
fn service_in(view: &NamespaceEntry, inventory: &Inventory) -> String {
    let is_inside = |session: &&SessionEntry| {
        let inside = session.record.view.as_ref();
        inside.is_some_and(|(name, generation)| *name == view.name && *generation == view.record.generation)
    };
    let session = inventory.sessions.iter().find(is_inside);
    session.map_or_else(|| "sshd".to_owned(), |session| session.record.service.clone())
}

fn login(user: String, service: &str, profile: Option<String>, config: Option<&str>) -> Login {
    let door = Door { service: service.to_owned(), ..Door::command_line() };
    Login {
        user: Some(user),
        door,
        profile,
        config: config.map(str::to_owned),
        other_conf: None,
        rootless: false,
    }
}

fn compare(login: &Login, name: &str, built: Option<&str>, live: &MountTable) -> Result<Drift, Error> {
    let thought = Thought::of(login)?;
    let account = thought.account()?;
    Ok(drift(&account, name, built, &host::own_mounts()?, live))
}

fn no_process(pid: i32) -> Error {
    Error::new(ErrorKind::Request, format!("there is no process {pid}")).help("`ps` shows those that are")
}
