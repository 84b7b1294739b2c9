//! How sessions are entered: the keys of `[defaults]` and, the same ones, of each profile.

use std::collections::BTreeMap;
use std::str::FromStr;

use caps::Capability;

use super::reader::Reader;
use super::source::At;
use super::words::{self, quote};
use super::{environment, values};
use crate::model::path::AbsPath;
use crate::model::policy::{Environment, Mode, Scope, Settings, Wall};
use crate::model::template::Template;

/// What one table says; the rest is decided by the tables below it.
#[derive(Clone, Debug, Default)]
pub(super) struct Partial {
    root: Option<Template>,
    mode: Option<Mode>,
    scope: Option<Scope>,
    wall: Option<Wall>,
    no_new_privs: Option<bool>,
    capabilities: Option<Vec<String>>,
    umask: Option<u32>,
    shell: Option<AbsPath>,
    keep_env: Option<Vec<String>>,
    set_env: BTreeMap<String, Template>,
}

impl Partial {
    /// Asks `reader` for every setting.
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let (root, shell) = (reader.string("root"), reader.string("shell"));
        Self {
            root: root.and_then(|text| reader.parsed(text, Template::parse_path)),
            mode: value(reader.word("mode", &[("namespace", Mode::Namespace), ("chroot", Mode::Chroot)])),
            scope: scope(reader),
            wall: value(
                reader.word(
                    "wall",
                    &[("pidns", Wall::Pidns), ("landlock", Wall::Landlock), ("none", Wall::None)],
                ),
            ),
            no_new_privs: value(reader.boolean("no_new_privs")),
            capabilities: capabilities(reader),
            umask: values::octal(reader, "umask", 0o777),
            shell: shell.and_then(|text| reader.parsed(text, AbsPath::new)),
            keep_env: environment::keep(reader),
            set_env: environment::set(reader),
        }
    }

    /// Puts `upper` on top: each key that it has replaces this one's, and each variable that it sets this one's.
    pub(super) fn overlay(&mut self, upper: Self) {
        fn replace<T>(lower: &mut Option<T>, upper: Option<T>) {
            if upper.is_some() {
                *lower = upper;
            }
        }
        replace(&mut self.root, upper.root);
        replace(&mut self.mode, upper.mode);
        replace(&mut self.scope, upper.scope);
        replace(&mut self.wall, upper.wall);
        replace(&mut self.no_new_privs, upper.no_new_privs);
        replace(&mut self.capabilities, upper.capabilities);
        replace(&mut self.umask, upper.umask);
        replace(&mut self.shell, upper.shell);
        replace(&mut self.keep_env, upper.keep_env);
        self.set_env.extend(upper.set_env);
    }

    /// The settings, once all tables are on top of each other. The error is the key that none of them has.
    pub(super) fn complete(self) -> Result<Settings, &'static str> {
        Ok(Settings {
            root: self.root.ok_or("root")?,
            mode: self.mode.ok_or("mode")?,
            scope: self.scope.ok_or("scope")?,
            wall: self.wall.ok_or("wall")?,
            no_new_privs: self.no_new_privs.ok_or("no_new_privs")?,
            capabilities: self.capabilities.ok_or("capabilities")?,
            umask: self.umask.ok_or("umask")?,
            environment: Environment { keep: self.keep_env.ok_or("keep_env")?, set: self.set_env },
            shell: self.shell,
        })
    }
}

fn value<T>(found: Option<At<T>>) -> Option<T> {
    found.map(|found| found.value)
}

/// The map's language has three scopes, of which this version enters one.
fn scope(reader: &mut Reader<'_>) -> Option<Scope> {
    let words = [("session", Scope::Session), ("user", Scope::User), ("group", Scope::Group)];
    let At { value, place } = reader.word("scope", &words)?;
    if value != Scope::Session {
        let word = words.iter().find(|(_, scope)| *scope == value).map_or("", |(word, _)| word);
        let message = format!("scope `{word}` is not supported by this version");
        reader.problems.report_with_help(place, message, "use `session`");
    }
    Some(value)
}

/// Names as `capabilities(7)` writes them, in any case, with or without `CAP_`.
fn capabilities(reader: &mut Reader<'_>) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for At { value, place } in reader.strings("capabilities")?.value {
        let upper = value.to_ascii_uppercase();
        let name = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
        if Capability::from_str(&name).is_ok() {
            names.push(name);
            continue;
        }
        let mut known: Vec<String> = caps::all().iter().map(ToString::to_string).collect();
        known.sort_unstable();
        let help = match words::nearest(&name, known.iter().map(String::as_str)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "capabilities(7) lists them".to_owned(),
        };
        reader.problems.report_with_help(place, format!("unknown capability {}", quote(value)), help);
    }
    names.sort_unstable();
    names.dedup();
    Some(names)
}
