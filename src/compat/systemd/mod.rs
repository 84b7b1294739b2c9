//! The sandbox of a systemd service as a map: the host's tree, and what the unit changes in it.

mod keys;
#[cfg(test)]
mod tests;
mod unit;

use std::collections::BTreeMap;
use std::str::FromStr;

use super::Imported;
use super::draft::{self, Draft, Item, is_below, normal};
use unit::Assignment;

const NOTES: [&str; 4] = [
    "A service sees all of the host but for what its unit says; so do sessions with this map. nosuid and nodev hold \
     everywhere but where a comment says otherwise.",
    "%u, %U, %g, %G and %h are of who logs in. In a unit of the system they are of root, who runs the manager.",
    "Settings that a unit leaves out are those of the map of the package. A place that is a link on the host has to be named by \
     the path that it leads to; systemd goes there by itself.",
    "Only [Service] is read, or lines without a section.",
];
/// Deeper than the tree that is bound at `/`, and not to be covered by what the unit says of `/`.
const KERNELS: [&str; 3] = ["/dev", "/proc", "/sys"];

/// What a unit says of one path.
#[derive(Clone, Debug, Default)]
struct Say {
    read_only: Option<bool>,
    noexec: Option<bool>,
    is_masked: bool,
    is_optional: bool,
    place: usize,
    said: String,
}

struct Reader {
    draft: Draft,
    root: String,
    /// Trees of their own: what is bound or made, by place. The last one counts.
    mounts: BTreeMap<String, Item>,
    paths: BTreeMap<String, Say>,
    capabilities: Vec<String>,
}

/// Reads the lines of a unit.
pub(super) fn import(text: &str) -> Imported {
    let (text, is_cut) = draft::readable(text);
    let (assignments, odd) = unit::assignments(text);
    let mut reader = Reader {
        draft: Draft::new("line"),
        root: "/".to_owned(),
        mounts: BTreeMap::new(),
        paths: BTreeMap::new(),
        capabilities: Vec::new(),
    };
    for (line, said) in odd {
        reader.draft.lose(line, &said, "no assignment");
    }
    let (scalars, lists) = in_force(assignments);
    for assignment in scalars.iter().chain(&lists) {
        reader.one(assignment);
    }
    if is_cut {
        reader.draft.lose(text.lines().count(), "", "the text is too long, its end was not read");
    }
    reader.finish()
}

/// Of keys with one value the last, of lists what stands behind the last empty one.
fn in_force(assignments: Vec<Assignment>) -> (Vec<Assignment>, Vec<Assignment>) {
    let mut scalars: BTreeMap<String, Assignment> = BTreeMap::new();
    let mut lists: BTreeMap<String, Vec<Assignment>> = BTreeMap::new();
    for assignment in assignments {
        if keys::is_list(&assignment.key) {
            let list = lists.entry(assignment.key.clone()).or_default();
            if assignment.value.is_empty() {
                list.clear();
            } else {
                list.push(assignment);
            }
        } else if assignment.value.is_empty() {
            scalars.remove(&assignment.key);
        } else {
            scalars.insert(assignment.key.clone(), assignment);
        }
    }
    let mut lists: Vec<Assignment> = lists.into_values().flatten().collect();
    lists.sort_by_key(|assignment| assignment.line);
    (scalars.into_values().collect(), lists)
}

impl Reader {
    fn one(&mut self, assignment: &Assignment) {
        let Assignment { line, key, value } = assignment;
        let (line, said) = (*line, format!("{key}={value}"));
        let said = said.as_str();
        match key.as_str() {
            "BindPaths"
            | "BindReadOnlyPaths"
            | "TemporaryFileSystem"
            | "ReadOnlyPaths"
            | "ReadWritePaths"
            | "InaccessiblePaths"
            | "NoExecPaths"
            | "ExecPaths"
            | "Environment" => match unit::words(value) {
                Ok(words) => {
                    words.iter().for_each(|word| self.word(key, word, line, &format!("{key}={word}")));
                }
                Err(problem) => self.draft.lose(line, said, problem),
            },
            "RootDirectory" => match unit::template(value) {
                Ok(path) if draft::path_problem(&normal(&path)).is_none() => self.root = normal(&path),
                Ok(_) => self.draft.lose(line, said, "no path that a map can have"),
                Err(problem) => self.draft.lose(line, said, problem),
            },
            "PrivateTmp" | "PrivateDevices" | "NoNewPrivileges" => match unit::boolean(value) {
                Some(is_on) => self.switch(key, is_on, line, said),
                None => self.draft.lose(line, said, "neither yes nor no"),
            },
            "ProtectSystem" => self.protect_system(value, line, said),
            "ProtectHome" => self.protect_home(value, line, said),
            "UMask" => match draft::octal(value, 0o777) {
                Some(umask) => {
                    self.draft.setting(format!("Line {line}."), "umask", draft::text(&format!("{umask:03o}")))
                }
                None => self.draft.lose(line, said, "no octal number up to 777"),
            },
            "CapabilityBoundingSet" => self.capabilities(value, line, said),
            _ => {
                let is_off = keys::is_switch(key) && unit::boolean(value) == Some(false);
                if let Some(reason) = keys::reason(key).filter(|_| !is_off) {
                    self.draft.lose(line, said, reason);
                }
            }
        }
    }

    fn switch(&mut self, key: &str, is_on: bool, line: usize, said: &str) {
        match (key, is_on) {
            ("NoNewPrivileges", _) => {
                self.draft.setting(format!("Line {line}."), "no_new_privs", is_on.to_string());
            }
            ("PrivateDevices", true) => {
                let mut devices = Item::new("dev", "/dev", line, said);
                devices.note("Of the devices, those that are harmless; terminals are the session's own.");
                self.mounts.insert("/dev".to_owned(), devices);
                self.mounts.insert("/dev/pts".to_owned(), Item::new("devpts", "/dev/pts", line, said));
            }
            ("PrivateTmp", true) => {
                for at in ["/tmp", "/var/tmp"] {
                    let mut item = Item::new("tmpfs", at, line, said);
                    item.set("mode", draft::text("1777"));
                    item.note("In memory; systemd has a directory of the host's disk in its place.");
                    self.mounts.insert(at.to_owned(), item);
                }
            }
            _ => {}
        }
    }

    fn protect_system(&mut self, value: &str, line: usize, said: &str) {
        let paths: &[&str] = match value {
            "full" => &["/usr", "/boot", "/efi", "/etc"],
            "strict" => &["/"],
            other => match unit::boolean(other) {
                Some(true) => &["/usr", "/boot", "/efi"],
                Some(false) => &[],
                None => return self.draft.lose(line, said, "a word that systemd does not have"),
            },
        };
        for path in paths {
            let say = self.say(path, line, said);
            say.read_only.get_or_insert(true);
            say.is_optional = true;
        }
    }

    fn protect_home(&mut self, value: &str, line: usize, said: &str) {
        for at in ["/home", "/root", "/run/user"] {
            match value {
                "read-only" => {
                    let say = self.say(at, line, said);
                    say.read_only.get_or_insert(true);
                    say.is_optional = true;
                }
                "tmpfs" => {
                    let mut item = Item::new("tmpfs", at, line, said);
                    item.option("ro");
                    item.is_optional = true;
                    self.mounts.insert(at.to_owned(), item);
                }
                other => match unit::boolean(other) {
                    Some(true) => {
                        let say = self.say(at, line, said);
                        (say.is_masked, say.is_optional) = (true, true);
                    }
                    Some(false) => {}
                    None => return self.draft.lose(line, said, "a word that systemd does not have"),
                },
            }
        }
    }

    fn capabilities(&mut self, value: &str, line: usize, said: &str) {
        if value.starts_with('~') {
            return self.draft.lose(line, said, "a map lists what is left, not what is taken");
        }
        for name in value.split_ascii_whitespace() {
            let upper = name.to_ascii_uppercase();
            if caps::Capability::from_str(&upper).is_err() {
                self.draft.lose(line, name, "no capability that is known here");
            } else if !self.capabilities.contains(&upper) {
                self.capabilities.push(upper);
            }
        }
        let names: Vec<String> = self.capabilities.iter().map(|name| draft::text(name)).collect();
        self.draft.setting(format!("Line {line}."), "capabilities", format!("[{}]", names.join(", ")));
    }

    fn say(&mut self, path: &str, line: usize, said: &str) -> &mut Say {
        let say = self.paths.entry(normal(path)).or_default();
        if say.place == 0 {
            (say.place, say.said) = (line, said.to_owned());
        } else if say.said.len() < 300 {
            say.said = format!("{}; line {line}: {said}", say.said);
        }
        say
    }

    /// One word of a list.
    fn word(&mut self, key: &str, word: &str, line: usize, said: &str) {
        if key == "Environment" {
            let Some((name, value)) = word.split_once('=') else {
                return self.draft.lose(line, said, "a variable is set as NAME=VALUE");
            };
            return match unit::template(&value.replace("\\:", ":")) {
                Ok(value) => self.draft.variable(line, said, name, &value),
                Err(problem) => self.draft.lose(line, said, problem),
            };
        }
        let mut parts = unit::parts(word);
        for (at, part) in parts.iter_mut().enumerate() {
            // Options have no specifiers.
            if at == 0 || at == 1 && key.starts_with("Bind") {
                match unit::template(part) {
                    Ok(template) => *part = template,
                    Err(problem) => return self.draft.lose(line, said, problem),
                }
            }
        }
        let (is_optional, first) = match parts[0].strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, parts[0].as_str()),
        };
        let (is_below_root, first) = match first.strip_prefix('+') {
            Some(rest) => (true, rest),
            None => (false, first),
        };
        if is_below_root && key.starts_with("Bind") && self.root != "/" {
            return self.draft.lose(
                line,
                said,
                "`+` with a root of its own; write the whole path of the source",
            );
        }
        let target = match (key, parts.get(1)) {
            ("BindPaths" | "BindReadOnlyPaths", Some(target)) if !target.is_empty() => target.as_str(),
            _ => first,
        };
        if let Some(problem) = [first, target].into_iter().find_map(|path| draft::path_problem(&normal(path)))
        {
            return self.draft.lose(line, said, problem);
        }
        let at = normal(target);
        match key {
            "BindPaths" | "BindReadOnlyPaths" => {
                let mut item = Item::bind(first, &at, line, said);
                item.is_optional = is_optional;
                match parts.get(2).map(String::as_str) {
                    None | Some("" | "rbind") => {}
                    Some("norbind") => item.option("norecursive"),
                    Some(_) => return self.draft.lose(line, said, "an option that systemd does not have"),
                }
                if key == "BindReadOnlyPaths" {
                    item.option("ro");
                }
                self.mounts.insert(at, item);
            }
            "TemporaryFileSystem" => {
                let options = parts.get(1).map_or("", String::as_str).to_owned();
                self.temporary(&at, &options, line, said);
            }
            _ => {
                let say = self.say(&at, line, said);
                say.is_optional |= is_optional;
                match key {
                    "ReadOnlyPaths" => say.read_only = Some(true),
                    "ReadWritePaths" => say.read_only = Some(false),
                    "NoExecPaths" => say.noexec = Some(true),
                    "ExecPaths" => say.noexec = Some(false),
                    _ => say.is_masked = true,
                }
            }
        }
    }

    fn temporary(&mut self, at: &str, options: &str, line: usize, said: &str) {
        let mut item = Item::new("tmpfs", at, line, said);
        for option in options.split(',').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            match name {
                "ro" => item.option("ro"),
                "rw" => item.option("rw"),
                "noexec" => item.option("noexec"),
                "exec" => item.option("exec"),
                "suid" => item.option("suid"),
                "dev" => item.option("dev"),
                "noatime" => item.option("noatime"),
                "nosuid" | "nodev" | "strictatime" | "relatime" => {}
                "size" => match draft::size(value) {
                    Some(size) => item.set("size", size.to_string()),
                    None => self.draft.lose(line, option, "a map has bytes, with K, M, G or T"),
                },
                "mode" => match draft::octal(value, 0o7777) {
                    Some(mode) => item.set("mode", draft::text(&format!("{mode:04o}"))),
                    None => self.draft.lose(line, option, "no octal number up to 7777"),
                },
                _ => self.draft.lose(line, option, "a map has no such option"),
            }
        }
        self.mounts.insert(at.to_owned(), item);
    }

    /// What the nearest path above, or this one, says.
    fn nearest<T: Copy>(&self, at: &str, of: impl Fn(&Say) -> Option<T>) -> Option<(&str, T)> {
        let around = self.paths.iter().filter(|(path, _)| *path == at || is_below(at, path));
        around.filter_map(|(path, say)| Some((path.as_str(), of(say)?))).max_by_key(|(path, _)| path.len())
    }

    /// Is it read-only? What a tree of its own says comes before what is said of a path further up.
    fn is_read_only(&self, at: &str) -> bool {
        let said = self.nearest(at, |say| say.read_only);
        let around = |path: &str| at == path || is_below(at, path);
        let tree = self.mounts.keys().map(String::as_str).chain(KERNELS).filter(|path| around(path));
        let tree = tree.max_by_key(|path| path.len());
        match (said, tree) {
            (Some((path, is_on)), Some(tree)) if path.len() >= tree.len() => is_on,
            (_, Some(tree)) => self.mounts.get(tree).is_some_and(|item| item.options.contains(&"ro")),
            (Some((_, is_on)), None) => is_on,
            (None, None) => false,
        }
    }

    fn finish(mut self) -> Imported {
        let mut top = self.paths.get("/").cloned().unwrap_or_default();
        let (place, said) = (top.place, top.said.clone());
        if top.is_masked {
            self.draft.lose(place, &said, "a map has no root that nobody can enter");
            top.is_masked = false;
            self.paths.insert("/".to_owned(), top.clone());
        }
        if !self.mounts.contains_key("/") {
            let mut root = Item::bind(&self.root, "/", place, &said);
            root.note("The whole tree, with what is mounted in it.");
            self.mounts.insert("/".to_owned(), root);
        }
        let mut proc = Item::new("proc", "/proc", 0, "");
        proc.note("A session's own processes; a service sees those of the host.");
        let mut dev = Item::bind("/dev", "/dev", 0, "");
        dev.option("dev");
        dev.note("All devices, as a service has them; PrivateDevices=yes leaves the harmless ones.");
        let mut sys = Item::bind("/sys", "/sys", 0, "");
        sys.note("Not read-only with the rest; who is not root cannot write there.");
        let sys = Some(sys).filter(|_| top.read_only == Some(true) || self.root != "/");
        for item in [proc, dev].into_iter().chain(sys) {
            self.mounts.entry(item.at.clone()).or_insert(item);
        }
        for (at, say) in self.paths.clone() {
            if say.is_masked {
                let mut item = Item::new("mask", &at, say.place, &say.said);
                item.is_optional = say.is_optional;
                self.mounts.insert(at, item);
            } else if !self.mounts.contains_key(&at) {
                let item = self.again(&at, &say);
                match item {
                    Some(item) => drop(self.mounts.insert(at, item)),
                    None => {
                        let reason =
                            "what is there is made by this map as a whole, and no part of it differs";
                        self.draft.lose(say.place, &say.said, reason);
                    }
                }
            }
        }
        let mut mounts: Vec<(String, Item)> = self.mounts.clone().into_iter().collect();
        // A home comes behind what it may be in: systemd sorts by path, so that nothing is covered.
        mounts.sort_by_key(|(at, _)| !at.starts_with('/'));
        for (at, mut item) in mounts {
            let takes_options = matches!(item.kind, "bind" | "tmpfs" | "proc" | "sysfs");
            if takes_options {
                if self.is_read_only(&at) {
                    item.option("ro");
                }
                match self.nearest(&at, |say| say.noexec) {
                    Some((_, true)) => item.option("noexec"),
                    Some((_, false)) if item.options.contains(&"noexec") => item.option("exec"),
                    _ => {}
                }
            }
            self.draft.put(item);
        }
        self.draft.setting(
            "A service sees the host's processes. Here they would be a way out, those of the same user are.",
            "wall",
            draft::text("pidns"),
        );
        self.draft.settle();
        self.draft.finish("a unit of systemd", &NOTES)
    }

    /// A part of a tree once more, with options of its own.
    fn again(&self, at: &str, say: &Say) -> Option<Item> {
        let holder = self.mounts.iter().filter(|(path, _)| is_below(at, path));
        let (above, holder) = holder.max_by_key(|(path, _)| path.len())?;
        let rest = if above == "/" { at } else { &at[above.len()..] };
        let source = match holder.source.as_deref()? {
            "/" => at.to_owned(),
            source if at.starts_with(above) => format!("{source}{rest}"),
            _ => return None,
        };
        let mut item = Item::bind(&source, at, say.place, &say.said);
        item.is_optional = say.is_optional;
        holder.options.iter().filter(|word| **word != "norecursive").for_each(|word| item.option(word));
        if self.is_read_only(at) {
            item.option("ro");
        } else if item.options.contains(&"ro") {
            item.option("rw");
        }
        Some(item)
    }
}
