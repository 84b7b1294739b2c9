//! What holds for any bytes that a reader is given. `fuzz/` has libFuzzer look for bytes for which it does not, and
//! `tests/fuzzed.rs` tries what was kept, and changes of it, on every run of the tests.
//!
//! A body that returns has found nothing. It may panic, overflow, or take too long: each is a finding.

use session_sandbox::compat::chroot::{self, Decision, Options, Reading, Who};
use session_sandbox::compat::namespace::{self, login};
use session_sandbox::compat::{Kind, import};
use session_sandbox::config::{self, SourceFile};
use session_sandbox::model::mounts::MountTable;
use session_sandbox::model::name::UserName;
use session_sandbox::model::path::AbsPath;
use session_sandbox::model::policy::Origin;
use session_sandbox::model::program;
use session_sandbox::model::subject::{Door, Subject};
use session_sandbox::model::template::Template;
use session_sandbox::registry::{NamespaceRecord, SessionRecord};
use session_sandbox::scripts::name::read as read_script_name;
use session_sandbox::scripts::{journal, variables};
use session_sandbox::setup::pam_stack;

/// The PAM module is a library that only PAM loads; this part of it needs nothing else of it.
#[allow(
    dead_code,
    unexpected_cfgs,
    reason = "what is read is looked at in part; the module has a feature for its tests"
)]
#[path = "../../crates/pam-session-sandbox/src/options.rs"]
mod module_options;

/// What is done with the bytes.
pub(crate) type Body = fn(&[u8]);

/// Every reader, under the name of its fuzz target and of the folder of what was kept for it.
#[allow(dead_code, reason = "a fuzz target calls one of them by its name")]
pub(crate) const ALL: [(&str, Body); 16] = [
    ("chroot_conf", chroot_conf),
    ("command_line", command_line),
    ("door_messages", door_messages),
    ("imports", imports),
    ("journal_lines", journal_lines),
    ("map", map),
    ("module_arguments", module_arguments),
    ("mountinfo", mountinfo),
    ("names", names),
    ("namespace_conf", namespace_conf),
    ("pam_stacks", pam_stacks),
    ("records", records),
    ("script_variables", script_variables),
    ("scripts_conf", scripts_conf),
    ("shebang", shebang),
    ("templates", templates),
];

fn bob() -> Subject {
    Subject {
        name: UserName::new("bob").expect("a user's name"),
        uid: 1000,
        gid: 1000,
        groups: vec![1000, 1001],
        group_name: "bob".to_owned(),
        home: AbsPath::new("/home/bob").expect("a path"),
        shell: AbsPath::new("/bin/sh").expect("a path"),
        door: Door::command_line(),
    }
}

/// Text that a terminal shows as it is: what ends up in an error must not draw, move or hide anything. A line that is cited
/// keeps its tabs, so that the mark stands below its place.
fn is_harmless(text: &str) -> bool {
    text.chars().all(|letter| matches!(letter, '\n' | '\t') || !letter.is_control())
}

/// A map, and one upon it: what stands behind the first NUL.
pub(crate) fn map(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let layers: Vec<SourceFile> = text
        .splitn(2, '\0')
        .enumerate()
        .map(|(number, text)| SourceFile { name: format!("{number}.toml"), text: text.to_owned() })
        .collect();
    match config::parse(&layers) {
        Ok(policy) => {
            for profile in &policy.profiles {
                for rule in &profile.mounts {
                    // A variable may have no value for this login, which refuses it.
                    assert!(
                        rule.target.expand_text(&bob()).is_ok_and(|target| target.starts_with('/'))
                            || rule.target.variables().next().is_some()
                    );
                }
            }
            assert_eq!(config::parse(&layers).ok(), Some(policy), "read twice, the same");
        }
        Err(wrong) => {
            let said = wrong.to_string();
            assert!(!said.is_empty() && is_harmless(&said), "{said:?}");
        }
    }
}

/// `session-scripts.conf`.
pub(crate) fn scripts_conf(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let file = SourceFile { name: "session-scripts.conf".to_owned(), text };
    if let Err(wrong) = config::parse_scripts(Some(&file)) {
        let said = wrong.to_string();
        assert!(!said.is_empty() && is_harmless(&said), "{said:?}");
    }
}

/// `%u` and its like: what was a path stays one below where it began, whatever it is made of.
pub(crate) fn templates(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(template) = Template::parse_path(&text) {
        assert_eq!(template.source(), text);
        if let Ok(path) = template.expand_path(&bob()) {
            assert!(path.as_str().starts_with('/'));
            assert!(path.as_str().split('/').all(|part| part != ".." && part != "."), "{path:?}");
            if template.starts_at_home() {
                assert!(path.as_str().starts_with("/home/bob"), "{path:?}");
            }
        }
    }
    if let Ok(template) = Template::parse(&text) {
        let _ = template.expand_text(&bob());
    }
}

/// Names of users and of scripts, and paths.
pub(crate) fn names(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(name) = UserName::new(&text) {
        // It becomes a part of paths, and a word in messages.
        assert!(!name.as_str().contains(['/', '\0', '\n']) && !matches!(name.as_str(), "" | "." | ".."));
    }
    if let Ok(path) = AbsPath::new(&text) {
        assert!(path.as_str().starts_with('/') && !path.as_str().contains('\0'));
        assert!(path.as_str().split('/').all(|part| part != ".."), "{path:?}");
        assert_eq!(AbsPath::new(path.as_str()).ok().as_ref(), Some(&path));
    }
    let _ = read_script_name(&text);
}

/// What the registry's files hold. They are root's own; a disk may still make anything of them.
pub(crate) fn records(bytes: &[u8]) {
    if let Ok(record) = serde_json::from_slice::<NamespaceRecord>(bytes) {
        let again = serde_json::to_vec(&record).expect("what was read can be written");
        assert_eq!(serde_json::from_slice::<NamespaceRecord>(&again).ok(), Some(record));
    }
    if let Ok(record) = serde_json::from_slice::<SessionRecord>(bytes) {
        let again = serde_json::to_vec(&record).expect("what was read can be written");
        assert_eq!(serde_json::from_slice::<SessionRecord>(&again).ok(), Some(record));
    }
}

/// `/proc/PID/mountinfo`, in which names of users' directories stand.
pub(crate) fn mountinfo(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match MountTable::parse(&text) {
        Ok(table) => {
            assert_eq!(table.mounts.len(), text.lines().count());
            assert!(table.children().values().all(|places| places.iter().all(|at| *at < table.mounts.len())));
        }
        Err(line) => assert!(text.contains(&line)),
    }
}

/// The lines of a session's journal.
pub(crate) fn journal_lines(bytes: &[u8]) {
    assert!(journal::parse(bytes).len() <= bytes.split(|byte| *byte == b'\n').count());
}

/// What a session script prints to set variables.
pub(crate) fn script_variables(bytes: &[u8]) {
    let said = variables::read(bytes, &[]);
    for (name, value) in &said.set {
        assert!(!name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0'), "{name:?}");
        assert!(!name.starts_with("LD_"), "{name:?}");
    }
}

/// What the PAM module and its helper say to each other.
pub(crate) fn door_messages(bytes: &[u8]) {
    if let Ok(request) = door_protocol::Request::decode(bytes) {
        assert_eq!(door_protocol::Request::decode(&request.encode()), Ok(request));
    }
    if let Ok(reply) = door_protocol::Reply::decode(bytes) {
        assert_eq!(door_protocol::Reply::decode(&reply.encode()), Ok(reply));
    }
}

/// Files below `/etc/pam.d`: two, with a NUL in between, of which the first may include the second.
pub(crate) fn pam_stacks(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (first, second) = text.split_once('\0').unwrap_or((&text, ""));
    let files: pam_stack::Files =
        [("sshd".to_owned(), first.to_owned()), ("common".to_owned(), second.to_owned())].into();
    let _ = pam_stack::resolve("sshd", &files);
    let _ = pam_stack::included(first);
    let _ = pam_stack::asks_module(first);
}

/// Other programs' configuration: the first byte says which. What it becomes is a map, and nothing goes unsaid.
pub(crate) fn imports(bytes: &[u8]) {
    let Some((which, rest)) = bytes.split_first() else { return };
    let kinds = Kind::ALL;
    let kind = kinds[usize::from(*which) % kinds.len()];
    let imported = import(kind, &String::from_utf8_lossy(rest));
    assert!(imported.map.len() <= 256 * 1024);
    for loss in &imported.losses {
        assert!(loss.line >= 1 && !loss.reason.is_empty());
        assert!(!loss.text.chars().any(char::is_control), "{loss:?}");
    }
    let mut layers = vec![SourceFile { name: "imported".to_owned(), text: imported.map.clone() }];
    if kind == Kind::PamNamespace {
        // That one stands upon the map that is shipped.
        layers.insert(0, config::built_in_file());
    }
    // A file that is for nobody makes a map without profiles, which is refused, and for nothing else.
    if imported.map.contains("\n[[profile]]\n") {
        config::parse(&layers).unwrap_or_else(|wrong| panic!("{kind:?}: {wrong}\n{}", imported.map));
    }
}

/// pam_chroot's file, in both readings, with the C library's expressions behind it.
pub(crate) fn chroot_conf(bytes: &[u8]) {
    const WORDS: [&str; 4] = ["", "use_regex", "use_ext_regex", "use_groups use_ext_regex"];
    let Some((which, conf)) = bytes.split_first() else { return };
    let (options, _) = Options::read(WORDS[usize::from(*which) % WORDS.len()].split_ascii_whitespace());
    let groups = ["users", "xpamchroot-old", "staff"].map(str::to_owned).to_vec();
    let who = Who { name: "bob".to_owned(), groups: Some(groups) };
    for reading in [Reading::Compat, Reading::Native] {
        let decided =
            chroot::decide(Some(conf), &options, &who, reading, session_sandbox::host::match_pattern);
        if let Decision::Chroot(directory) = decided {
            assert!(directory.len() <= conf.len() * 20);
        }
    }
}

struct Nowhere;

impl login::Host for Nowhere {
    fn ids(&self, _: Option<&str>, _: Option<&str>) -> Result<(u32, u32), String> {
        Ok((0, 0))
    }
    fn directory(&self, _: &AbsPath) -> Option<(u32, u32)> {
        None
    }
    fn memory(&self) -> u64 {
        1 << 30
    }
}

/// pam_namespace's file, for a user who logs in.
pub(crate) fn namespace_conf(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let placed: Vec<login::Placed> = namespace::lines(&text)
        .filter_map(|(number, _, line)| {
            Some((Origin { file: "n".into(), line: u32::try_from(number).ok()? }, line.ok()?))
        })
        .collect();
    let who = login::Who { name: "bob", home: "/home/bob", uid: 1000 };
    match login::entries(&placed, who, login::Words::default(), &Nowhere) {
        Ok(rules) => assert!(rules.len() <= placed.len() + 1),
        Err((origin, reason)) => {
            assert!(placed.iter().any(|(known, _)| *known == origin) && !reason.is_empty());
        }
    }
}

/// What somebody types behind `sessionctl`: words, with NULs in between.
pub(crate) fn command_line(bytes: &[u8]) {
    use std::os::unix::ffi::OsStringExt as _;
    let words = bytes.split(|byte| *byte == 0).map(|word| std::ffi::OsString::from_vec(word.to_vec()));
    let arguments = std::iter::once("sessionctl".into()).chain(words);
    if let Err(wrong) = session_sandbox::cli::control::read(arguments) {
        let said = wrong.to_string();
        assert!(!said.is_empty() && is_harmless(&said), "{said:?}");
    }
}

/// The arguments of the PAM module: no mistake in one of them lets anybody in whom the others keep out.
pub(crate) fn module_arguments(bytes: &[u8]) {
    use module_options::{NotFound, OnError, Options};
    let text = String::from_utf8_lossy(bytes);
    let words: Vec<&str> = text.split('\0').collect();
    let options = Options::of(words.iter().copied());
    let says = |word: &str| words.contains(&word);
    assert!(options.on_error == OnError::Deny || says("onerr=host"), "{options:?}");
    assert!(options.not_found == NotFound::Ignore || says("notfound=deny"), "{options:?}");
    assert!(options.helper.is_absolute() && !options.break_glass.is_empty(), "{options:?}");
    for path in [&options.config, &options.scripts_config].into_iter().flatten() {
        assert!(path.starts_with('/'), "{options:?}");
    }
    // A line meant for another module is read by that module's words.
    assert!(options.other_module.is_some() || options.words.is_empty(), "{options:?}");
    // Each word is one that is known, one of another module's, or a mistake.
    let is_known = |word: &&str| Options::of(std::iter::once(*word)).mistake.is_none();
    let all_known = words.iter().all(is_known);
    assert!(options.mistake.is_none() || !all_known, "{options:?}");
    assert!(options.mistake.is_some() || all_known || options.other_module.is_some(), "{options:?}");
}

/// The first bytes of a script.
pub(crate) fn shebang(bytes: &[u8]) {
    let _ = program::named_in(bytes);
}
