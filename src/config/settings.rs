//! How sessions are entered: the keys of `[defaults]` and, the same ones, of each profile.

use std::collections::BTreeMap;
use std::str::FromStr;

use caps::Capability;

use super::reader::Reader;
use super::source::At;
use super::words::{self, quote};
use super::{environment, values};
use crate::model::isolation::{Apart, Isolation, OnOutside, Tiocsti};
use crate::model::path::AbsPath;
use crate::model::policy::{Environment, Linger, Mode, OnChange, Scope, Settings, Wall};
use crate::model::template::Template;

/// The words for who shares a namespace.
const SCOPES: [(&str, Scope); 4] =
    [("session", Scope::Session), ("user", Scope::User), ("group", Scope::Group), ("named", Scope::Named)];

/// What one table says; the rest is decided by the tables below it.
#[derive(Clone, Debug, Default)]
pub(super) struct Partial {
    root: Option<Template>,
    mode: Option<Mode>,
    scope: Option<Scope>,
    scope_name: Option<Template>,
    on_change: Option<OnChange>,
    linger: Option<Linger>,
    isolation: Option<Isolation>,
    parts: PartialParts,
    umask: Option<u32>,
    shell: Option<AbsPath>,
    keep_env: Option<Vec<String>>,
    set_env: BTreeMap<String, Template>,
}

impl Partial {
    /// Asks `reader` for every setting.
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let (root, shell) = (reader.string("root"), reader.string("shell"));
        let named = reader.has("scope_name");
        let scope_name = reader
            .string("scope_name")
            .and_then(|text| reader.parsed(text, Template::parse))
            // One that cannot be read has been reported. It is not missing as well.
            .or_else(|| Template::parse("").ok().filter(|_| named));
        Self {
            root: root.and_then(|text| reader.parsed(text, Template::parse_path)),
            mode: value(reader.word("mode", &[("namespace", Mode::Namespace), ("chroot", Mode::Chroot)])),
            scope: value(reader.word("scope", &SCOPES)),
            scope_name,
            on_change: value(reader.word("on_change", &[("join", OnChange::Join), ("new", OnChange::New)])),
            linger: values::linger(reader),
            isolation: value(reader.word("isolation", &Isolation::WORDS)),
            parts: PartialParts::read(reader),
            umask: values::octal(reader, "umask", 0o777),
            shell: shell.and_then(|text| reader.parsed(text, AbsPath::new)),
            keep_env: environment::keep(reader),
            set_env: environment::set(reader),
        }
    }

    /// Puts `upper` on top: each key that it has replaces this one's, and each variable that it sets this one's.
    pub(super) fn overlay(&mut self, upper: Self) {
        replace(&mut self.root, upper.root);
        replace(&mut self.mode, upper.mode);
        replace(&mut self.scope, upper.scope);
        replace(&mut self.scope_name, upper.scope_name);
        replace(&mut self.on_change, upper.on_change);
        replace(&mut self.linger, upper.linger);
        // A level is said with all of its parts: those of the tables below count no more.
        if upper.isolation.is_some() {
            self.parts = PartialParts::default();
        }
        replace(&mut self.isolation, upper.isolation);
        self.parts.overlay(upper.parts);
        replace(&mut self.umask, upper.umask);
        replace(&mut self.shell, upper.shell);
        replace(&mut self.keep_env, upper.keep_env);
        self.set_env.extend(upper.set_env);
    }

    /// Do sessions share by a name that is not given?
    pub(super) fn lacks_scope_name(&self) -> bool {
        self.scope == Some(Scope::Named) && self.scope_name.is_none()
    }

    /// The settings, once all tables are on top of each other. The error is the key that none of them has.
    pub(super) fn complete(self) -> Result<Settings, &'static str> {
        let level = self.isolation.ok_or("isolation")?.parts();
        let parts = self.parts;
        Ok(Settings {
            root: self.root.ok_or("root")?,
            mode: self.mode.ok_or("mode")?,
            scope: self.scope.ok_or("scope")?,
            scope_name: self.scope_name,
            on_change: self.on_change.ok_or("on_change")?,
            linger: self.linger.ok_or("linger")?,
            wall: parts.wall.unwrap_or(level.wall),
            apart: Apart {
                ipc: parts.ipc.unwrap_or(level.apart.ipc),
                uts: parts.uts.unwrap_or(level.apart.uts),
                cgroup: parts.cgroup.unwrap_or(level.apart.cgroup),
                net: parts.net.unwrap_or(level.apart.net),
            },
            on_outside: parts.on_outside.unwrap_or(level.on_outside),
            tiocsti: parts.tiocsti.unwrap_or(level.tiocsti),
            no_new_privs: parts.no_new_privs.unwrap_or(level.no_new_privs),
            capabilities: parts.capabilities.unwrap_or_else(|| match level.no_capabilities {
                true => Vec::new(),
                false => all_capabilities(),
            }),
            umask: self.umask.ok_or("umask")?,
            environment: Environment { keep: self.keep_env.ok_or("keep_env")?, set: self.set_env },
            shell: self.shell,
        })
    }
}

/// What one table says of the parts of a level.
#[derive(Clone, Debug, Default)]
struct PartialParts {
    wall: Option<Wall>,
    ipc: Option<bool>,
    uts: Option<bool>,
    cgroup: Option<bool>,
    net: Option<bool>,
    on_outside: Option<OnOutside>,
    tiocsti: Option<Tiocsti>,
    no_new_privs: Option<bool>,
    capabilities: Option<Vec<String>>,
}

impl PartialParts {
    fn read(reader: &mut Reader<'_>) -> Self {
        const WHOSE: [(&str, bool); 2] = [("host", false), ("own", true)];
        const WALLS: [(&str, Wall); 3] =
            [("pidns", Wall::Pidns), ("landlock", Wall::Landlock), ("none", Wall::None)];
        Self {
            wall: value(reader.word("wall", &WALLS)),
            ipc: value(reader.word("ipc", &WHOSE)),
            uts: value(reader.word("uts", &WHOSE)),
            cgroup: value(reader.word("cgroup", &WHOSE)),
            net: value(reader.word("net", &[("host", false), ("loopback", true)])),
            on_outside: value(reader.word("on_outside", &OnOutside::WORDS)),
            tiocsti: value(reader.word("tiocsti", &[("allow", Tiocsti::Allow), ("refuse", Tiocsti::Refuse)])),
            no_new_privs: value(reader.boolean("no_new_privs")),
            capabilities: capabilities(reader),
        }
    }

    fn overlay(&mut self, upper: Self) {
        replace(&mut self.wall, upper.wall);
        replace(&mut self.ipc, upper.ipc);
        replace(&mut self.uts, upper.uts);
        replace(&mut self.cgroup, upper.cgroup);
        replace(&mut self.net, upper.net);
        replace(&mut self.on_outside, upper.on_outside);
        replace(&mut self.tiocsti, upper.tiocsti);
        replace(&mut self.no_new_privs, upper.no_new_privs);
        replace(&mut self.capabilities, upper.capabilities);
    }
}

fn replace<T>(lower: &mut Option<T>, upper: Option<T>) {
    if upper.is_some() {
        *lower = upper;
    }
}

fn all_capabilities() -> Vec<String> {
    let mut names: Vec<String> = caps::all().iter().map(ToString::to_string).collect();
    names.sort_unstable();
    names
}

fn value<T>(found: Option<At<T>>) -> Option<T> {
    found.map(|found| found.value)
}

/// Names as `capabilities(7)` writes them, in any case, with or without `CAP_`.
fn capabilities(reader: &mut Reader<'_>) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for At { value, place } in reader.strings("capabilities")?.value {
        if value == "all" {
            names.extend(all_capabilities());
            continue;
        }
        let upper = value.to_ascii_uppercase();
        let name = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
        if Capability::from_str(&name).is_ok() {
            names.push(name);
            continue;
        }
        let known = all_capabilities();
        let help = match words::nearest(&name, known.iter().map(String::as_str)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "capabilities(7) lists them; `all` stands for every one".to_owned(),
        };
        reader.problems.report_with_help(place, format!("unknown capability {}", quote(value)), help);
    }
    names.sort_unstable();
    names.dedup();
    Some(names)
}
