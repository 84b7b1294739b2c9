//! `session-scripts.conf`: how session scripts run. Read like the map, with every mistake at once.

use super::reader::Reader;
use super::source::{At, Problems, Source};
use super::words::quote;
use super::{Diagnostics, SourceFile, matching, profile, values};
use crate::model::path::AbsPath;
use crate::model::scripts::{
    ConsoleKit, Event, Folder, Launcher, Order, Partial, Place as View, Policy, Rule, RunAs, Weight, World,
};
use crate::model::template::{Template, Variable};

/// The most tables `[[script]]`.
const RULES_MAX: usize = 512;
/// Where the folders of scripts are, unless said.
const DIRECTORY: &str = "/etc/session.d";
/// The directory in a home without which nothing runs there, unless said.
const GATE: &str = "%h/.session";
/// Seconds that a login waits for its scripts, unless said.
const LIMIT: u32 = 60;
/// Seconds that a script in the background may take, unless said.
const BACKGROUND: u32 = 600;
/// Sessions that are no login of a person.
const NOT_SERVICE: [&str; 4] = ["systemd-user", "cron", "crond", "atd"];
const NOT_CLASS: [&str; 7] = [
    "greeter",
    "lock-screen",
    "manager",
    "manager-early",
    "background",
    "background-light",
    "user-incomplete",
];
const RUN_SESSION: [&str; 2] = ["/etc/ConsoleKit/run-session.d", "/usr/lib/ConsoleKit/run-session.d"];

/// The policy of this file; without one, what holds where nobody says otherwise.
pub fn parse_scripts(file: Option<&SourceFile>) -> Result<Policy, Diagnostics> {
    let Some(file) = file else { return Ok(standard()) };
    let sources = [Source::new(file)];
    let problems = Problems::new(&sources);
    let policy = super::read_tree(&problems, 0, &sources[0], read);
    match (problems.into_diagnostics(), policy) {
        (None, Some(policy)) => Ok(policy),
        (found, _) => Err(found.unwrap_or_else(|| Diagnostics::new(Vec::new(), 0))),
    }
}

fn standard() -> Policy {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Policy {
        // A text without an upper letter or a variable is a path by itself; tests see to it.
        directory: AbsPath::new(DIRECTORY).unwrap_or_else(|_| AbsPath::root()),
        gate: Template::parse_path(GATE).ok(),
        limit: LIMIT,
        background_timeout: BACKGROUND,
        launcher: Launcher::Process,
        order: Order::Reverse,
        not_service: owned(&NOT_SERVICE),
        not_class: owned(&NOT_CLASS),
        defaults: Partial::default(),
        folders: Default::default(),
        rules: Vec::new(),
        worlds: Vec::new(),
        display_services: vec!["*".to_owned()],
    }
}

fn read(mut reader: Reader<'_>) -> Option<Policy> {
    if !profile::version(&mut reader) {
        return None;
    }
    let mut policy = standard();
    if let Some(mut table) = reader.table("defaults") {
        defaults(&mut table, &mut policy);
        policy.defaults = partial(&mut table, true);
        table.finish();
    }
    for (folder, key) in Folder::ALL.into_iter().zip(["first", "added", "removed", "last"]) {
        if let (Some(mut table), Some(at)) =
            (reader.table(key), Folder::ALL.iter().position(|known| *known == folder))
        {
            policy.folders[at] = partial(&mut table, folder.event() == Event::Added);
            table.finish();
        }
    }
    let tables = reader.tables("script", "script");
    if tables.len() > RULES_MAX {
        let message = format!("there are {} tables `[[script]]`, at most {RULES_MAX} are read", tables.len());
        reader.problems.report(reader.key_place("script"), message);
        return None;
    }
    policy.rules = tables.into_iter().filter_map(rule).collect();
    if let Some(table) = reader.table("compat") {
        compat(table, &mut policy);
    }
    reader.finish();
    Some(policy)
}

fn defaults(reader: &mut Reader<'_>, policy: &mut Policy) {
    fn set<T>(into: &mut T, value: Option<T>) {
        if let Some(value) = value {
            *into = value;
        }
    }
    let words = |found: Option<At<Vec<At<&str>>>>| -> Option<Vec<String>> {
        found.map(|list| list.value.iter().map(|word| word.value.to_owned()).collect())
    };
    let directory = reader.string("directory").and_then(|text| reader.parsed(text, AbsPath::new));
    set(&mut policy.directory, directory);
    if let Some(text) = reader.string("gate") {
        policy.gate = if text.value == "none" { None } else { gate(reader, text) };
    }
    set(&mut policy.limit, values::time(reader, "limit"));
    set(&mut policy.background_timeout, values::time(reader, "background_timeout"));
    let launchers = [("process", Launcher::Process), ("systemd", Launcher::Systemd), ("at", Launcher::At)];
    set(&mut policy.launcher, value(reader.word("launcher", &launchers)));
    let orders = [("listed", Order::Listed), ("reverse", Order::Reverse)];
    set(&mut policy.order, value(reader.word("removed_order", &orders)));
    for (key, into) in [("not_service", &mut policy.not_service), ("not_class", &mut policy.not_class)] {
        let list = reader.strings(key);
        for pattern in list.iter().flat_map(|list| &list.value) {
            reader.parsed(*pattern, matching::pattern);
        }
        set(into, words(list));
    }
}

/// A directory that is the user's, or one that the user's name leads to.
fn gate(reader: &Reader<'_>, text: At<&str>) -> Option<Template> {
    let template = reader.parsed(text, Template::parse_path)?;
    let of_the_user = [Variable::User, Variable::Uid, Variable::Home, Variable::Group, Variable::Gid];
    if let Some(other) = template.variables().find(|variable| !of_the_user.contains(variable)) {
        let message = format!("a gate is the user's, and %{} is another at each login", other.letter());
        reader.problems.report_with_help(text.place, message, "use %h, %u, %U, %g or %G");
        return None;
    }
    Some(template)
}

/// `is_beginning`: does this speak of a session's beginning, or also of that?
fn partial(reader: &mut Reader<'_>, is_beginning: bool) -> Partial {
    let result = reader.word("result", &[("optional", Weight::Optional), ("required", Weight::Required)]);
    if !is_beginning && let Some(At { value: Weight::Required, place }) = result {
        let help = "`result = \"required\"` is for scripts of a session's beginning";
        reader.problems.report_with_help(place, "a session that has ended cannot be refused any more", help);
    }
    let view = reader.word("where", &[("host", View::Host), ("session", View::Session)]);
    if !is_beginning && let Some(At { value: View::Session, place }) = view {
        let help = "its scripts run in the host's view";
        reader.problems.report_with_help(place, "a session that has ended has no view any more", help);
    }
    Partial {
        timeout: values::time(reader, "timeout"),
        grace: values::time(reader, "grace"),
        result: value(result),
        user: value(reader.word("user", &[("root", RunAs::Root), ("user", RunAs::User)])),
        place: value(view),
        allow_env: reader
            .strings("allow_env")
            .map(|list| list.value.into_iter().map(|name| name.value.to_owned()).collect()),
    }
}

fn rule(mut reader: Reader<'_>) -> Option<Rule> {
    let name = reader.required_string("name");
    if let Some(name) = name {
        reader.parsed(name, matching::pattern);
        if name.value.contains('/') {
            let help = "write the name that the script has in its folder; `folder` says which one";
            reader.problems.report_with_help(name.place, "a script's name holds no `/`", help);
        }
    }
    let words = Folder::ALL.map(|folder| (folder.name(), folder));
    let folder = value(reader.word("folder", &words));
    let ends = folder.is_some_and(|folder| folder.event() == Event::Removed);
    let partial = partial(&mut reader, !ends);
    reader.finish();
    Some(Rule { name: name?.value.to_owned(), folder, partial })
}

/// A key of `[compat]`: `true` for the usual folder, or another one.
fn folder(reader: &mut Reader<'_>, key: &'static str, usual: &str) -> Option<AbsPath> {
    let At { value, place } = reader.value(key)?;
    match (value.as_bool(), value.as_str()) {
        (Some(false), _) => None,
        (Some(true), _) => AbsPath::new(usual).ok(),
        (_, Some(path)) => reader.parsed(At { value: path, place }, AbsPath::new),
        _ => {
            reader.wrong_type(&format!("`{key}`"), "`true`, `false` or a folder", At { value, place });
            None
        }
    }
}

fn compat(mut reader: Reader<'_>, policy: &mut Policy) {
    let ids = value(reader.word("consolekit_ids", &[("name", false), ("path", true)])).unwrap_or(false);
    // The order in which they have their turn.
    if let Some(folder) = folder(&mut reader, "lightdm", "/etc/lightdm") {
        policy.worlds.push(World::LightDm(folder));
    }
    if let Some(folder) = folder(&mut reader, "gdm", "/etc/gdm3") {
        policy.worlds.push(World::Gdm(folder));
    }
    if let Some(At { value: list, place }) = reader.value("consolekit") {
        match (list.as_bool(), list.as_array()) {
            (Some(false), _) => {}
            (Some(true), _) => {
                let folders = RUN_SESSION.iter().filter_map(|path| AbsPath::new(path).ok()).collect();
                policy.worlds.push(World::ConsoleKit(ConsoleKit { folders, paths: ids }));
            }
            (_, Some(_)) => {
                let folders = reader.strings("consolekit").map(|list| list.value).unwrap_or_default();
                let folders =
                    folders.into_iter().filter_map(|path| reader.parsed(path, AbsPath::new)).collect();
                policy.worlds.push(World::ConsoleKit(ConsoleKit { folders, paths: ids }));
            }
            _ => reader.wrong_type(
                "`consolekit`",
                "`true`, `false` or a list of folders",
                At { value: list, place },
            ),
        }
    }
    policy.worlds.extend(words_of_a_line(&mut reader, "pam_script").map(World::PamScript));
    policy.worlds.extend(words_of_a_line(&mut reader, "onsession").map(World::OnSession));
    policy.worlds.extend(words_of_a_line(&mut reader, "pam_exec").map(World::PamExec));
    if let Some(folder) = folder(&mut reader, "xdm", "/etc/X11/xdm") {
        policy.worlds.push(World::Xdm(folder));
    }
    if let Some(list) = reader.strings("display_services") {
        for pattern in &list.value {
            reader.parsed(*pattern, matching::pattern);
        }
        policy.display_services = list.value.iter().map(|pattern| pattern.value.to_owned()).collect();
    }
    reader.finish();
}

/// What stands behind the module's name in a PAM configuration: one text, or a list of words.
fn words_of_a_line(reader: &mut Reader<'_>, key: &'static str) -> Option<Vec<String>> {
    let At { value, place } = reader.value(key)?;
    let words: Vec<String> = match (value.as_str(), value.as_array()) {
        (Some(line), _) => line.split_ascii_whitespace().map(str::to_owned).collect(),
        (_, Some(_)) => reader.strings(key)?.value.iter().map(|word| word.value.to_owned()).collect(),
        _ => {
            reader.wrong_type(&format!("`{key}`"), "a string or a list of strings", At { value, place });
            return None;
        }
    };
    if let Some(odd) = words.iter().find(|word| word.chars().any(char::is_control)) {
        reader.problems.report(place, format!("{} holds a control character", quote(odd)));
        return None;
    }
    Some(words)
}

fn value<T>(found: Option<At<T>>) -> Option<T> {
    found.map(|found| found.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::scripts::Kind;

    fn parse(text: &str) -> Result<Policy, String> {
        let file = SourceFile { name: "session-scripts.conf".to_owned(), text: text.to_owned() };
        parse_scripts(Some(&file)).map_err(|found| found.to_string())
    }

    fn exactly(pattern: &str, name: &str) -> bool {
        pattern == name
    }

    #[test]
    fn without_a_file_the_page_that_it_grew_from_holds() {
        let policy = parse_scripts(None).unwrap();
        assert_eq!(policy.directory.as_str(), "/etc/session.d");
        assert_eq!(policy.gate.as_ref().map(Template::source), Some("%h/.session"));
        assert_eq!(parse("version = 1\n").unwrap(), policy);
        let waits = policy.settings(Folder::Added, "10W-x", Kind::Wait, exactly);
        assert_eq!((waits.timeout, waits.place, waits.user), (15, View::Host, RunAs::Root));
        assert_eq!(waits.result, Weight::Optional);
        let listed = policy.settings(Folder::Added, "50-x", Kind::Listed, exactly);
        assert_eq!((listed.timeout, listed.place), (600, View::Session));
        assert_eq!(policy.settings(Folder::Removed, "50-x", Kind::Listed, exactly).place, View::Host);
    }

    #[test]
    fn the_nearest_word_about_a_script_is_the_last() {
        let policy = parse(
            "version = 1
            [defaults]
            timeout = '5s'
            user = 'user'
            background_timeout = '2h'
            gate = 'none'
            [added]
            user = 'root'
            [[script]]
            name = '10W-x'
            result = 'required'
            timeout = '1m'
            [[script]]
            name = '10W-x'
            folder = 'removed'
            timeout = '10m'",
        )
        .unwrap();
        assert_eq!(policy.gate, None);
        let added = policy.settings(Folder::Added, "10W-x", Kind::Wait, exactly);
        assert_eq!((added.timeout, added.user, added.result), (60, RunAs::Root, Weight::Required));
        assert_eq!(policy.settings(Folder::Removed, "10W-x", Kind::Wait, exactly).timeout, 600);
        assert_eq!(policy.settings(Folder::Added, "11W-y", Kind::Wait, exactly).timeout, 5);
        assert_eq!(policy.settings(Folder::First, "50-y", Kind::Listed, exactly).timeout, 7200);
        assert!(policy.requires_any(Event::Added));
    }

    #[test]
    fn other_worlds_are_one_line_each() {
        let policy = parse(
            "version = 1
            [compat]
            consolekit = true
            gdm = '/etc/gdm'
            lightdm = true
            xdm = false
            pam_script = 'dir=/usr/share/libpam-script onerr=success'
            onsession = ['runas=root', 'onsessionopen=/p/a b']
            pam_exec = 'quiet /usr/local/sbin/hook x'",
        )
        .unwrap();
        assert_eq!(policy.worlds.len(), 6);
        let World::OnSession(words) = &policy.worlds[4] else { panic!("{:?}", policy.worlds) };
        assert_eq!(words[1], "onsessionopen=/p/a b");
    }

    #[test]
    fn every_mistake_is_shown_with_its_line() {
        let found = parse(
            "version = 1
            [defaults]
            timeot = '5s'
            timeout = '5'
            gate = '%h/.session/%t'
            launcher = 'upstart'
            directory = 'etc/session.d'
            not_service = ['[']
            [removed]
            result = 'required'
            where = 'session'
            [[script]]
            name = 'added/10W-x'
            [[script]]
            folder = 'added'
            [compat]
            gdm = 3
            consolekti = true",
        )
        .unwrap_err();
        for expected in [
            ":3:13: unknown key `timeot`",
            "did you mean `timeout`?",
            ":4:23: timeout `5` is no time",
            ":5:20: a gate is the user's",
            ":6:24: unknown launcher `upstart`",
            ":7:25: ",
            ":8:28: pattern `[`",
            ":10:22: a session that has ended cannot be refused",
            ":11:21: a session that has ended has no view",
            ":13:20: a script's name holds no `/`",
            "`name` is missing",
            ":17:19: `gdm` must be `true`, `false` or a folder",
            "did you mean `consolekit`?",
        ] {
            assert!(found.contains(expected), "{expected:?} is not in\n{found}");
        }
    }
}
