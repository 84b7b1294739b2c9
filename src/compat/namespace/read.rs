//! `namespace.conf`, line by line, to values.

use super::words::{Piece, expanded, number, pieces, without_comment, words};

/// The kernel's longest path, with the zero at its end.
const PATH_MAX: usize = 4096;
/// Where a script of a line is looked for when it is no whole path.
const SCRIPTS: &str = "/etc/security/namespace.d/";
/// A mode that is none.
const NO_MODE: u64 = 0xffff_ffff;

/// What a line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Counted from 1.
    pub number: usize,
    /// As it was written.
    pub text: String,
    /// The directory that each user has another one of, with `$HOME` and `$USER`, without a slash at the end.
    pub polydir: String,
    /// What the instances' names begin with, with the same variables.
    pub prefix: String,
    /// What an instance is.
    pub method: Method,
    /// What else is done.
    pub flags: Flags,
    /// For whom.
    pub users: Users,
}

/// What an instance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// A directory for each user.
    User,
    /// A directory for each user and SELinux level.
    Level,
    /// A directory for each user and SELinux context.
    Context,
    /// A new directory for each login.
    Tmpdir,
    /// An empty file system for each login.
    Tmpfs,
}

impl Method {
    const ALL: [(&str, Self); 5] = [
        ("user", Self::User),
        ("context", Self::Context),
        ("level", Self::Level),
        ("tmpdir", Self::Tmpdir),
        ("tmpfs", Self::Tmpfs),
    ];

    /// What it is called there.
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, method)| *method == self).map_or("", |(name, _)| name)
    }
}

/// What stands behind the method.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// The polydir is made where it is missing.
    pub create: Option<Create>,
    /// A script in place of `namespace.init`.
    pub script: Option<String>,
    /// No script at all.
    pub no_init: bool,
    /// One instance for all users of a level or context.
    pub shared: bool,
    /// Options of a tmpfs.
    pub mount_options: Option<String>,
    /// Words that change nothing: unknown ones, and `mntopts` where it does not belong.
    pub idle: Vec<String>,
}

/// How a polydir is made. What is not said is the user's, and as the umask has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Create {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Who owns it.
    pub owner: Option<String>,
    /// Its group; the owner's where only that is said.
    pub group: Option<String>,
}

/// The users of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Users {
    /// Everybody, root as well.
    All,
    /// Everybody but these.
    Except(Vec<String>),
    /// These.
    Only(Vec<String>),
}

/// Why a line is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// Fewer than three words.
    #[error("the line has no {0}")]
    Missing(&'static str),
    /// An empty word, or the root directory.
    #[error("the polydir is empty")]
    NoPolydir,
    /// Another word than those that are known.
    #[error("{0:?} is no method")]
    UnknownMethod(String),
    /// A path that does not begin at the root.
    #[error("{0:?} does not begin with a slash")]
    Relative(String),
    /// Two dots, wherever they are.
    #[error("there are two dots in {0:?}")]
    Dots(String),
    /// Longer than the kernel takes.
    #[error("a path is too long")]
    TooLong,
}

impl Line {
    /// The directory that this user has another one of.
    pub fn polydir_of(&self, user: &str, home: &str) -> String {
        expanded(&self.polydir, home, user)
    }

    /// What the names of this user's instances begin with.
    pub fn prefix_of(&self, user: &str, home: &str) -> String {
        expanded(&self.prefix, home, user)
    }

    /// The directory that this user has in its place, where it has a name that is known beforehand; without SELinux.
    pub fn instance_of(&self, user: &str, home: &str) -> Option<String> {
        let named = match self.method {
            Method::User => true,
            Method::Level | Method::Context => !self.flags.shared,
            Method::Tmpdir | Method::Tmpfs => false,
        };
        named.then(|| self.prefix_of(user, home) + user)
    }

    /// Are there two slashes in a row in the prefix? pam_namespace takes such a line, finds nothing there, and lets nobody
    /// in whom it is for.
    pub fn has_empty_part(&self) -> bool {
        self.method != Method::Tmpfs && self.prefix.contains("//")
    }

    /// Is the line for this user?
    pub fn is_for(&self, user: &str) -> bool {
        match &self.users {
            Users::All => true,
            Users::Except(names) => names.iter().all(|name| name != user),
            Users::Only(names) => names.iter().any(|name| name == user),
        }
    }
}

/// Every line that says something: its number, its text, and what it asks for or why it is none.
pub fn lines(text: &str) -> impl Iterator<Item = (usize, &str, Result<Line, Mistake>)> {
    // Not `str::lines`, which would take a carriage return away; to pam_namespace it is space as any other.
    text.split('\n').enumerate().filter_map(|(at, text)| {
        let said = without_comment(text);
        (!said.is_empty()).then(|| (at + 1, text, line(at + 1, said)))
    })
}

fn line(number: usize, said: &str) -> Result<Line, Mistake> {
    let words = words(said);
    let mut words = words.into_iter();
    let mut next = |what| words.next().ok_or(Mistake::Missing(what));
    let polydir = next("polydir")?;
    let prefix = next("instance prefix")?;
    let method = next("method")?;
    // Any further word is not looked at.
    let users = words.next().map_or(Users::All, |list| users(&list));

    if ["", "/"].contains(&polydir.as_str()) {
        return Err(Mistake::NoPolydir);
    }
    let polydir = match polydir.trim_end_matches('/') {
        "" => "/".to_owned(),
        path => path.to_owned(),
    };
    let (method, flags) = method_and_flags(&method)?;
    if sketch(&polydir).len() >= PATH_MAX || sketch(&prefix).len() >= PATH_MAX {
        return Err(Mistake::TooLong);
    }
    for (path, must) in [(&polydir, true), (&prefix, method != Method::Tmpfs)] {
        if must && !sketch(path).starts_with('/') {
            return Err(Mistake::Relative(path.clone()));
        }
    }
    for path in [&polydir, &prefix] {
        if sketch(path).contains("..") {
            return Err(Mistake::Dots(path.clone()));
        }
    }
    Ok(Line { number, text: said.trim_end().to_owned(), polydir, prefix, method, flags, users })
}

/// A path as it might be for somebody: what is refused is refused before it is known for whom.
fn sketch(path: &str) -> String {
    let value = |piece| match piece {
        Piece::Text(text) => text,
        Piece::Home => "/home",
        Piece::User => "user",
    };
    pieces(path).into_iter().map(value).collect()
}

fn users(list: &str) -> Users {
    let names = |list: &str| list.split(',').map(str::to_owned).collect();
    match list.strip_prefix('~') {
        Some(list) => Users::Only(names(list)),
        None => Users::Except(names(list)),
    }
}

fn method_and_flags(word: &str) -> Result<(Method, Flags), Mistake> {
    let mut parts = word.split(':').filter(|part| !part.is_empty());
    let name = parts.next().unwrap_or_default();
    let known = Method::ALL.into_iter().find(|(known, _)| *known == name);
    let (_, method) = known.ok_or_else(|| Mistake::UnknownMethod(name.to_owned()))?;
    let mut flags = Flags::default();
    for part in parts {
        // A flag is known by how it begins.
        if let Some(rest) = part.strip_prefix("create") {
            flags.create = Some(create(rest));
        } else if part.starts_with("noinit") {
            flags.no_init = true;
        } else if let Some(rest) = part.strip_prefix("iscript") {
            // Without a path the flag is there, and `namespace.init` is what runs.
            match rest.strip_prefix('=') {
                Some(path) if path.starts_with('/') => flags.script = Some(path.to_owned()),
                Some(path) if !path.is_empty() => flags.script = Some(format!("{SCRIPTS}{path}")),
                _ => {}
            }
        } else if part.starts_with("shared") {
            flags.shared = true;
        } else if let Some(options) = part.strip_prefix("mntopts").and_then(|rest| rest.strip_prefix('='))
            && method == Method::Tmpfs
        {
            flags.mount_options = Some(options.to_owned());
        } else {
            flags.idle.push(part.to_owned());
        }
    }
    Ok((method, flags))
}

fn create(rest: &str) -> Create {
    let Some(values) = rest.strip_prefix('=') else { return Create::default() };
    let mut values = values.splitn(3, ',').map(|value| Some(value).filter(|value| !value.is_empty()));
    let mut next = || values.next().flatten();
    let mode = next().and_then(number).map(|mode| mode & NO_MODE).filter(|mode| *mode != NO_MODE);
    let mode = mode.and_then(|mode| u32::try_from(mode & 0o7777).ok());
    Create { mode, owner: next().map(str::to_owned), group: next().map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Result<Line, Mistake> {
        lines(text).next().unwrap().2
    }

    fn good(text: &str) -> Line {
        one(text).unwrap_or_else(|mistake| panic!("{text:?}: {mistake}"))
    }

    #[test]
    fn a_line_has_three_words_and_perhaps_a_list() {
        let line = good("/tmp /tmp-inst/ level root,adm and more");
        assert_eq!((line.polydir.as_str(), line.prefix.as_str()), ("/tmp", "/tmp-inst/"));
        assert_eq!((line.method, line.flags), (Method::Level, Flags::default()));
        assert_eq!(line.users, Users::Except(vec!["root".into(), "adm".into()]));
        assert_eq!(good("$HOME/ $HOME/$USER.inst/ user").polydir_of("bob", "/h/bob"), "/h/bob");
        assert_eq!(
            good("$HOME $HOME/$USER.inst/ user").instance_of("bob", "/h/bob").as_deref(),
            Some("/h/bob/bob.inst/bob")
        );
    }

    #[test]
    fn what_is_no_line_is_told_why() {
        let long = format!("/{} /x/ user", "a".repeat(4095));
        let table = [
            ("/tmp", Mistake::Missing("instance prefix")),
            ("/tmp /x/", Mistake::Missing("method")),
            ("/tmp# /x/ user", Mistake::Missing("instance prefix")),
            ("\"\" /x/ user", Mistake::NoPolydir),
            ("/ /x/ user", Mistake::NoPolydir),
            ("/tmp /x/ users", Mistake::UnknownMethod("users".into())),
            ("/tmp /x/ User", Mistake::UnknownMethod("User".into())),
            ("/tmp /x/ :", Mistake::UnknownMethod(String::new())),
            ("/tmp /x/ \"\"", Mistake::UnknownMethod(String::new())),
            ("tmp /x/ user", Mistake::Relative("tmp".into())),
            ("$USER /x/ user", Mistake::Relative("$USER".into())),
            ("/tmp x/ user", Mistake::Relative("x/".into())),
            ("/tmp \"\" user", Mistake::Relative(String::new())),
            ("/a/../b /x/ user", Mistake::Dots("/a/../b".into())),
            ("/tmp /a..b/ user", Mistake::Dots("/a..b/".into())),
            ("/tmp ..  tmpfs", Mistake::Dots("..".into())),
            (long.as_str(), Mistake::TooLong),
        ];
        for (text, expected) in table {
            assert_eq!(one(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn two_slashes_in_a_row_are_no_way_to_an_instance() {
        for (text, expected) in [
            ("/a//b /i/ user", false),
            ("//a// /i/ user", false),
            ("/a /i// user", true),
            ("/a /i//j/ user", true),
            ("/a //i tmpfs", false),
            ("/a //i tmpdir", true),
        ] {
            assert_eq!(good(text).has_empty_part(), expected, "{text}");
        }
        // One slash is taken away, and what is left of one alone is nothing.
        assert_eq!(good("// /i/ user").polydir, "/");
    }

    #[test]
    fn lines_that_say_nothing_are_none_and_count_all_the_same() {
        let text = "\n# comment\n  \t# comment\n\r\n/tmp /x/ user\r\n/tmp tmpfs tmpfs";
        let numbers: Vec<usize> = lines(text).map(|(number, _, _)| number).collect();
        assert_eq!(numbers, [5, 6]);
        assert!(lines(text).all(|(_, _, line)| line.is_ok()), "a carriage return is space");
        // Quotes that hold nothing are a word.
        assert_eq!(one("\"\""), Err(Mistake::Missing("instance prefix")));
    }

    #[test]
    fn flags_are_known_by_how_they_begin() {
        let flags = |word: &str| good(&format!("/tmp /x/ {word}")).flags;
        assert_eq!(flags("user"), Flags::default());
        assert_eq!(flags("::user::noinit:"), Flags { no_init: true, ..Flags::default() });
        assert!(flags("level:sharedfoo:noinitial").shared && flags("level:noinitial").no_init);
        let script = |word: &str| flags(word).script;
        assert_eq!(script("user:iscript=/a/b").as_deref(), Some("/a/b"));
        assert_eq!(script("user:iscript=own.sh").as_deref(), Some("/etc/security/namespace.d/own.sh"));
        assert_eq!((script("user:iscript"), script("user:iscript=")), (None, None));
        assert_eq!(
            flags("tmpfs:mntopts=size=1M:mntopts=size=2M,noexec").mount_options.as_deref(),
            Some("size=2M,noexec")
        );
        for (word, idle) in [
            ("user:mntopts=size=1M", "mntopts=size=1M"),
            ("tmpfs:mntopts", "mntopts"),
            ("user:Create", "Create"),
            ("user:=", "="),
        ] {
            let flags = flags(word);
            assert_eq!((flags.idle, flags.mount_options), (vec![idle.to_owned()], None), "{word}");
        }
    }

    #[test]
    fn create_says_mode_owner_and_group() {
        let made = |word: &str| good(&format!("/tmp /x/ user:{word}")).flags.create.unwrap();
        let create = |mode, owner: Option<&str>, group: Option<&str>| Create {
            mode,
            owner: owner.map(str::to_owned),
            group: group.map(str::to_owned),
        };
        for (word, expected) in [
            ("create", create(None, None, None)),
            ("createx=1", create(None, None, None)),
            ("create=", create(None, None, None)),
            ("create=0711", create(Some(0o711), None, None)),
            ("create=711", create(Some(0o1307), None, None)),
            ("create=0x1ff,bob", create(Some(0o777), Some("bob"), None)),
            ("create=,bob,users", create(None, Some("bob"), Some("users"))),
            ("create=01777,,users", create(Some(0o1777), None, Some("users"))),
            ("create=abc", create(Some(0), None, None)),
            ("create=-1", create(None, None, None)),
            ("create=99999999999999999999", create(None, None, None)),
        ] {
            assert_eq!(made(word), expected, "{word}");
        }
    }

    #[test]
    fn lists_hold_names_to_leave_out_or_with_a_tilde_the_only_ones() {
        let users = |list: &str| good(&format!("/tmp /x/ user {list}"));
        for (list, in_it, others) in [
            ("", true, true),
            ("bob", false, true),
            ("root,bob", false, true),
            ("~bob", true, false),
            ("~root,bob", true, false),
            ("~", false, false),
            ("\"\"", true, true),
            ("@users", true, true),
            ("~~bob", false, false),
            ("bob;alice", true, true),
        ] {
            let line = users(list);
            assert_eq!((line.is_for("bob"), line.is_for("carol")), (in_it, others), "{list}");
        }
    }
}
