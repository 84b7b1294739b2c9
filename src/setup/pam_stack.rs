//! The PAM configuration as libpam reads it: lines, includes, and the stack that comes of them. Pure: the texts are
//! handed in.

use std::collections::BTreeMap;

/// The module.
pub const MODULE: &str = "pam_session_sandbox.so";
/// The service whose lines stand for those that a service does not have.
pub const OTHER: &str = "other";
/// Files that others include, and no program's own.
const SHARED: [&str; 7] = [
    "postlogin",
    "config-util",
    "base-session",
    "system-login",
    "system-local-login",
    "system-remote-login",
    "system-services",
];
/// As many files within files as libpam reads.
const DEPTH_MAX: usize = 16;
/// More files than any service includes: what goes on is a circle.
const FILES_MAX: usize = 256;

/// Is this the name of a service, and not of a file that services share or that an editor or packager left?
pub fn is_service(name: &str) -> bool {
    let is_shared = name.starts_with("common-") || name.ends_with("-auth") || SHARED.contains(&name);
    !is_shared && !name.contains('.') && !name.ends_with('~')
}

/// What decides how a line's result is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// `required`, `sufficient` and so on, in small letters.
    Word(String),
    /// `[success=ok default=bad]`: the text between the brackets.
    Actions(String),
}

impl Control {
    /// Can success in this line end the stack, so that what follows is not asked?
    pub fn ends_on_success(&self) -> bool {
        match self {
            Self::Word(word) => word == "sufficient",
            Self::Actions(actions) => {
                let action = |name: &str| {
                    actions.split_whitespace().find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
                };
                matches!(action("success").or_else(|| action("default")), Some("done" | "end"))
            }
        }
    }

    /// How many lines are left out after this one, at most.
    fn longest_jump(&self) -> usize {
        let Self::Actions(actions) = self else { return 0 };
        let numbers = actions.split_whitespace().filter_map(|pair| pair.split_once('=')?.1.parse().ok());
        numbers.max().unwrap_or(0)
    }

    /// Does a failure in this line refuse the session?
    pub fn refuses_on_failure(&self) -> bool {
        match self {
            Self::Word(word) => matches!(word.as_str(), "required" | "requisite"),
            Self::Actions(actions) => {
                let action = actions.split_whitespace().find_map(|pair| pair.strip_prefix("default="));
                // What is not named counts as bad.
                matches!(action, Some("bad" | "die") | None)
            }
        }
    }

    /// As it is written.
    pub fn text(&self) -> String {
        match self {
            Self::Word(word) => word.clone(),
            Self::Actions(actions) => format!("[{actions}]"),
        }
    }
}

/// A line of a file, as far as sessions go.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    /// A module is asked.
    Module { number: usize, control: Control, module: String, arguments: Vec<String> },
    /// The session lines of another file; `true` for `substack`.
    File { name: String, is_substack: bool },
}

/// One module of a service's session stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The file that it stands in, as it was named.
    pub file: String,
    /// Its line there.
    pub number: usize,
    /// What its result is used for.
    pub control: Control,
    /// The module, without its folder.
    pub module: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// The substacks that it stands in, from the outside: `done` in one does not end what is around it.
    substacks: Vec<usize>,
}

impl Step {
    /// Can this line, when it succeeds, keep `later` from being asked?
    pub fn can_skip(&self, later: &Self) -> bool {
        self.control.ends_on_success() && later.substacks.starts_with(&self.substacks)
    }
}

/// What a service does when a session begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stack {
    /// Its modules, in order.
    pub steps: Vec<Step>,
    /// Files that are included and cannot be read: libpam refuses the service then.
    pub missing: Vec<String>,
}

impl Stack {
    /// Can the line at `from` jump over the one at `to`? A substack counts as one line for what stands in front of it, and
    /// no jump leads out of one.
    pub fn can_jump_over(&self, from: usize, to: usize) -> bool {
        let Some(way) = self.steps.get(from..=to) else { return false };
        let Some((jumper, rest)) = way.split_first() else { return false };
        let level = jumper.substacks.len();
        let (mut count, mut inside) = (0, None);
        for step in rest {
            if !step.substacks.starts_with(&jumper.substacks) {
                return false;
            }
            let substack = step.substacks.get(level);
            if substack.is_none() || substack != inside {
                count += 1;
            }
            inside = substack;
        }
        count > 0 && jumper.control.longest_jump() >= count
    }
}

/// The texts of the files, by the names that includes have for them.
pub type Files = BTreeMap<String, String>;

/// The session stack of the file `name`.
pub fn resolve(name: &str, files: &Files) -> Stack {
    let mut stack = Stack::default();
    let mut count = 0;
    add(name, files, &[], &mut count, 0, &mut stack);
    stack
}

/// The names of the files that `text` includes for sessions.
pub fn included(text: &str) -> Vec<String> {
    let lines = parse(text).into_iter();
    lines
        .filter_map(|line| match line {
            Line::File { name, .. } => Some(name),
            Line::Module { .. } => None,
        })
        .collect()
}

/// Does a line of this very text ask the module when a session begins?
pub fn asks_module(text: &str) -> bool {
    parse(text).iter().any(|line| matches!(line, Line::Module { module, .. } if module == MODULE))
}

fn add(name: &str, files: &Files, substacks: &[usize], count: &mut usize, depth: usize, stack: &mut Stack) {
    let is_sane = depth < DEPTH_MAX && *count < FILES_MAX;
    let Some(text) = files.get(name).filter(|_| is_sane) else {
        if !stack.missing.iter().any(|missing| missing == name) {
            stack.missing.push(name.to_owned());
        }
        return;
    };
    *count += 1;
    for line in parse(text) {
        match line {
            Line::Module { number, control, module, arguments } => stack.steps.push(Step {
                file: name.to_owned(),
                number,
                control,
                module,
                arguments,
                substacks: substacks.to_vec(),
            }),
            Line::File { name, is_substack } => {
                let mut inner = substacks.to_vec();
                if is_substack {
                    // One number for each file that is read.
                    inner.push(*count);
                }
                add(&name, files, &inner, count, depth + 1, stack);
            }
        }
    }
}

/// The session lines of a file, and what it includes. A line that makes no sense is left out, as what it does is
/// libpam's to say (it refuses the service).
fn parse(text: &str) -> Vec<Line> {
    joined(text).into_iter().filter_map(|(number, line)| read(number, &line)).collect()
}

/// Lines without comments; one that ends in a backslash goes on in the next. Each with the number of its first.
fn joined(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (at, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim_end();
        let (number, mut whole) = open.take().unwrap_or((at + 1, String::new()));
        match line.strip_suffix('\\') {
            Some(part) => {
                whole.push_str(part);
                whole.push(' ');
                open = Some((number, whole));
            }
            None => {
                whole.push_str(line);
                lines.push((number, whole));
            }
        }
    }
    lines.extend(open);
    lines
}

fn read(number: usize, line: &str) -> Option<Line> {
    let mut words = words(line).into_iter();
    let kind = words.next()?;
    if kind.eq_ignore_ascii_case("@include") {
        return Some(Line::File { name: words.next()?, is_substack: false });
    }
    // A dash before the type keeps a missing module out of the log, and changes nothing else.
    if !kind.trim_start_matches('-').eq_ignore_ascii_case("session") {
        return None;
    }
    let control = words.next()?;
    let module = words.next()?;
    let control = match control.strip_prefix('[') {
        Some(actions) => Control::Actions(actions.trim_end_matches(']').to_ascii_lowercase()),
        None => Control::Word(control.to_ascii_lowercase()),
    };
    match &control {
        Control::Word(word) if word == "include" || word == "substack" => {
            Some(Line::File { name: module, is_substack: word == "substack" })
        }
        _ => {
            let module = module.rsplit('/').next().unwrap_or_default().to_owned();
            Some(Line::Module { number, control, module, arguments: words.collect() })
        }
    }
}

/// Words, with what stands in brackets as one, opening bracket included.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let end = match rest.strip_prefix('[') {
            Some(inner) => inner.find(']').map_or(rest.len(), |at| at + 2),
            None => rest.find(char::is_whitespace).unwrap_or(rest.len()),
        };
        words.push(rest[..end].to_owned());
        rest = rest[end..].trim_start();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(files: &[(&str, &str)]) -> Files {
        files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    fn modules(stack: &Stack) -> Vec<&str> {
        stack.steps.iter().map(|step| step.module.as_str()).collect()
    }

    #[test]
    fn debians_way_and_fedoras_way_are_followed() {
        let all = files(&[
            ("sshd", "@include common-session\nsession required pam_limits.so\n"),
            (
                "common-session",
                "session [default=1] pam_permit.so\nsession requisite pam_session_sandbox.so\n",
            ),
            ("login", "session include system-auth\n-session optional pam_ck_connector.so\nauth include x\n"),
            (
                "system-auth",
                "auth required pam_unix.so\nSESSION REQUIRED /lib/security/pam_unix.so a [b c]\n",
            ),
        ]);
        assert_eq!(
            modules(&resolve("sshd", &all)),
            ["pam_permit.so", "pam_session_sandbox.so", "pam_limits.so"]
        );
        let login = resolve("login", &all);
        assert_eq!(modules(&login), ["pam_unix.so", "pam_ck_connector.so"]);
        assert_eq!(login.steps[0].arguments, ["a", "[b c]"]);
        assert_eq!((login.steps[0].file.as_str(), login.steps[0].number), ("system-auth", 2));
        assert_eq!(login.steps[0].control, Control::Word("required".to_owned()));
        assert_eq!(login.missing, Vec::<String>::new());
    }

    #[test]
    fn comments_and_continued_lines_are_read_as_libpam_reads_them() {
        let text = "# session requisite pam_session_sandbox.so\nsession \\\n  required \\\n pam_session_sandbox.so # x\n\
                    auth requisite pam_session_sandbox.so\n";
        let stack = resolve("x", &files(&[("x", text)]));
        assert_eq!(modules(&stack), [MODULE]);
        assert_eq!(stack.steps[0].number, 2);
        assert!(asks_module(text));
        assert!(!asks_module(
            "#session requisite pam_session_sandbox.so\nauth requisite pam_session_sandbox.so"
        ));
    }

    #[test]
    fn what_is_missing_or_goes_in_circles_is_said() {
        let all = files(&[("a", "@include b\n"), ("b", "session include a\n"), ("c", "@include nowhere\n")]);
        assert!(!resolve("a", &all).missing.is_empty());
        assert_eq!(resolve("c", &all).missing, ["nowhere"]);
        let many = "session substack a\n".repeat(9);
        assert_eq!(resolve("a", &files(&[("a", &many)])).missing, ["a"]);
        for odd in ["session", "session required", "@include", "[", "session [ x", "\\", "session \\"] {
            assert!(resolve("x", &files(&[("x", odd)])).steps.is_empty(), "{odd:?}");
        }
    }

    #[test]
    fn a_line_that_ends_the_stack_skips_what_is_within_its_reach() {
        let all = files(&[
            (
                "x",
                "session sufficient pam_a.so\nsession substack y\nsession requisite pam_session_sandbox.so\n",
            ),
            ("y", "session [success=done default=ignore] pam_b.so\nsession required pam_c.so\n"),
        ]);
        let steps = resolve("x", &all).steps;
        let ours = &steps[3];
        assert_eq!(ours.module, MODULE);
        assert!(steps[0].can_skip(ours) && !steps[1].can_skip(ours) && steps[1].can_skip(&steps[2]));
        assert!(!steps[2].can_skip(ours));
        let control = |text: &str| Control::Actions(text.to_owned());
        assert!(control("default=done").ends_on_success() && !control("success=1").ends_on_success());
        assert!(control("success=ok default=bad").refuses_on_failure());
        assert!(!control("success=ok default=ignore").refuses_on_failure());
    }

    #[test]
    fn a_line_that_jumps_leaves_out_as_many_as_it_says_and_none_outside_its_substack() {
        let all = files(&[
            (
                "x",
                "session [default=1 success=ignore] pam_a.so\nsession requisite pam_session_sandbox.so\n\
                 session [success=2] pam_d.so\nsession substack y\nsession required pam_e.so\n\
                 session required pam_f.so\n",
            ),
            ("y", "session [success=9] pam_b.so\nsession required pam_c.so\n"),
        ]);
        let stack = resolve("x", &all);
        assert_eq!(modules(&stack)[2..], ["pam_d.so", "pam_b.so", "pam_c.so", "pam_e.so", "pam_f.so"]);
        assert!(stack.can_jump_over(0, 1) && !stack.can_jump_over(0, 2) && !stack.can_jump_over(1, 2));
        // The substack is one line, and its own jump does not leave it.
        assert!(stack.can_jump_over(2, 5) && !stack.can_jump_over(2, 6));
        assert!(stack.can_jump_over(3, 4) && !stack.can_jump_over(3, 5));
        assert!(!stack.can_jump_over(0, 0) && !stack.can_jump_over(5, 99) && !stack.can_jump_over(9, 1));
    }
}
