//! A table of faults, and for each what its message must name: the rule, the thing, what was being done, the cause and a
//! remedy; and what it must not name, because it is not at fault.
//!
//! | what is wrong | where |
//! |---|---|
//! | sources | `sources.rs` |
//! | mount points and entries of the map | `places.rs` |
//! | the map itself, and what was typed | `maps.rs` |
//! | the program | `programs.rs` |
//! | this process, the user, the kernel's settings | `host.rs` |
//! | a single call of the kernel | `calls.rs` |

mod calls;
mod host;
mod maps;
mod places;
mod programs;
mod sources;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};

use crate::support::fuse::Fuse;
use crate::support::{
    HostMounts, HostState, Needs, Outcome, Run, Running, User, Verdict, World, ensure, ensure_eq, isolated,
    users,
};

const AS_BOB: &[Needs] = &[Needs::Root, Needs::OrdinaryUser];
const TRACED: &[Needs] = &[Needs::Root, Needs::OrdinaryUser, Needs::Tool("strace")];

/// A row: what it is called, what it needs, and how it comes about.
type Row = (&'static str, &'static [Needs], fn(&mut Stage) -> Result<Fault, Failed>);

pub fn trials() -> Vec<Trial> {
    let tables = [&sources::ROWS[..], &places::ROWS, &maps::ROWS, &programs::ROWS, &host::ROWS, &calls::ROWS];
    let trial = |(name, needs, come_about): &Row| {
        let come_about = *come_about;
        isolated(format!("culprits: {name}"), needs, HostMounts::Shared, move || {
            let mut stage = Stage::new()?;
            let fault = come_about(&mut stage)?;
            fault.check()
        })
    };
    tables.into_iter().flatten().map(trial).collect()
}

/// Where faults come about.
struct Stage {
    /// Mounts that last as long as the stage; gone before the folder that they are in is removed.
    mounts: Vec<Fuse>,
    world: World,
    bob: User,
    /// Folders of bob's that do.
    theirs: Vec<World>,
}

impl Stage {
    fn new() -> Result<Self, Failed> {
        Ok(Self { world: World::new()?, bob: users::bob()?, mounts: Vec::new(), theirs: Vec::new() })
    }

    /// Writes a map of these entries, and what programs need.
    fn map(&self, mounts: &str) -> Verdict {
        self.map_with("", mounts)
    }

    /// The same with settings of the profile.
    fn map_with(&self, settings: &str, mounts: &str) -> Verdict {
        self.world.map(settings, mounts).map(drop)
    }

    /// The place in the map of the entry, or else of the profile, that holds `text`.
    fn rule(&self, text: &str) -> String {
        rule_in(&self.world, text)
    }

    /// Enters as bob and runs this.
    fn enter<A: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = A>) -> Result<Fault, Failed> {
        Ok(Fault::of(self.world.enter(["--user", &self.bob.name, "--"])?.args(words)))
    }

    /// Enters as bob, with more on the command line.
    fn enter_with<A: AsRef<OsStr>>(&self, options: impl IntoIterator<Item = A>) -> Result<Fault, Failed> {
        Ok(Fault::of(self.world.enter(["--user", &self.bob.name])?.args(options).args(["--", "id"])))
    }

    /// Bob enters by itself.
    fn bobs_run(&mut self) -> Result<Run, Failed> {
        let theirs = World::of(&self.bob)?;
        let run = theirs.session_enter([""; 0])?;
        self.theirs.push(theirs);
        Ok(run)
    }

    /// A copy of `/etc`, for a host that is changed there.
    fn own_etc(&self) -> Verdict {
        let script = "set -e; mkdir /run/etc; cp -a /etc/. /run/etc; mount --bind /run/etc /etc";
        Run::new("sh").args(["-c", script]).finish()?.expect_code(0).map(drop)
    }

    /// Another user, `ghost`, with bob's ids and this home and shell.
    fn ghost(&self, home: &str, shell: &str) -> Verdict {
        self.own_etc()?;
        let line = format!("ghost:x:{}:{}::{home}:{shell}\n", self.bob.uid + 7, self.bob.gid);
        let text = std::fs::read_to_string("/etc/passwd")? + &line;
        Ok(std::fs::write("/etc/passwd", text)?)
    }
}

/// The place in the map of `world` of the entry whose first key is `text`, or else of the profile that holds it.
fn rule_in(world: &World, text: &str) -> String {
    let map = world.path("map.toml");
    let written = std::fs::read_to_string(&map).unwrap();
    let lines: Vec<&str> = written.lines().collect();
    let at = lines.iter().position(|line| line.contains(text)).expect("the map holds it");
    let begins = lines[..=at].iter().rposition(|line| line.starts_with("[[")).expect("an entry begins");
    let first = if lines[begins] == "[[profile]]" { begins } else { begins + 1 };
    format!("{}:{}", map.display(), first + 1)
}

/// An entry that binds `source` at `target`.
fn bind(target: &str, source: &Path, more: &str) -> String {
    format!("[[profile.mount]]\ntarget = {target:?}\nsource = {source:?}\n{more}\n")
}

/// An entry of another kind.
fn entry(target: &str, kind: &str, more: &str) -> String {
    format!("[[profile.mount]]\ntarget = {target:?}\nkind = {kind:?}\n{more}\n")
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

enum Work {
    Run(Run),
    /// It has said that it is ready, and waits for a line.
    Waiting(Running),
}

impl Work {
    /// What it came to, and whether it left the host as it was. Who waited has made some of what is there.
    fn finish(self) -> Result<(Outcome, Verdict), Failed> {
        match self {
            Self::Run(run) => {
                let before = HostState::now();
                let outcome = run.finish()?;
                Ok((outcome, before.assert_returns()))
            }
            Self::Waiting(mut running) => {
                running.write(b"\n")?;
                let mut outcome = running.finish()?;
                outcome.stdout = outcome.stdout.replacen("ready\n", "", 1);
                Ok((outcome, Ok(())))
            }
        }
    }
}

/// A run that must fail, and what is to be said about it.
struct Fault {
    work: Work,
    code: i32,
    /// What the message must hold, and as what.
    parts: Vec<(&'static str, String)>,
    innocent: Vec<String>,
}

const PARTS: [&str; 5] = ["rule", "thing", "operation", "cause", "remedy"];

impl Fault {
    fn of(run: Run) -> Self {
        Self { work: Work::Run(run), code: 125, parts: Vec::new(), innocent: Vec::new() }
    }

    fn part(mut self, part: &'static str, text: impl Into<String>) -> Self {
        self.parts.push((part, text.into()));
        self
    }

    /// The line of the map, or the option or setting, that asked for it.
    fn rule(self, text: impl Into<String>) -> Self {
        self.part("rule", text)
    }

    /// What is at fault.
    fn thing(self, text: impl Into<String>) -> Self {
        self.part("thing", text)
    }

    /// The same, a path.
    fn path(self, path: &Path) -> Self {
        self.part("thing", text(path))
    }

    /// What was being done.
    fn doing(self, text: impl Into<String>) -> Self {
        self.part("operation", text)
    }

    /// What is wrong with it.
    fn cause(self, text: impl Into<String>) -> Self {
        self.part("cause", text)
    }

    /// A part of what is to be done.
    fn help(self, text: impl Into<String>) -> Self {
        self.part("remedy", text)
    }

    /// What has nothing to do with it, and must not be named.
    fn not(mut self, text: impl Into<String>) -> Self {
        self.innocent.push(text.into());
        self
    }

    fn code(mut self, code: i32) -> Self {
        self.code = code;
        self
    }

    fn check(self) -> Verdict {
        for part in PARTS {
            ensure!(self.parts.iter().any(|(known, _)| *known == part), "this row asks for no {part}");
        }
        let (outcome, left) = self.work.finish()?;
        let said = &outcome.stderr;
        ensure_eq!(outcome.code, Some(self.code), "exit status: {outcome:?}");
        ensure_eq!(outcome.stdout, "", "standard output");
        ensure!(said.starts_with("session-enter: "), "no message: {said:?}");
        ensure!(!said.contains('\u{1b}') && !said.contains("panicked"), "{said:?}");
        let is_help = |line: &&str| line.trim_start().starts_with("help: ");
        let help: String = said.lines().filter(is_help).collect();
        let message: String = said.lines().filter(|line| !is_help(line)).collect();
        ensure!(!help.is_empty(), "no remedy: {said}");
        for (part, text) in &self.parts {
            let place = if *part == "remedy" { &help } else { &message };
            ensure!(names(place, text), "the {part} {text:?} is not named: {said}");
        }
        for innocent in &self.innocent {
            ensure!(!names(said, innocent), "{innocent:?} is not at fault, and is named: {said}");
        }
        left
    }
}

/// Does `message` hold `text`? A number at its end must end there, too: line 1 is not line 16.
fn names(message: &str, text: &str) -> bool {
    let goes_on = |rest: &str| rest.starts_with(|next: char| next.is_ascii_digit());
    let number = text.ends_with(|last: char| last.is_ascii_digit());
    message.match_indices(text).any(|(at, _)| !number || !goes_on(&message[at + text.len()..]))
}

/// A file that may be executed.
fn program(world: &World, name: &str, content: &[u8]) -> Result<PathBuf, Failed> {
    use std::os::unix::fs::PermissionsExt;
    let path = world.file(name, content)?;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755))?;
    Ok(path)
}

/// The same for everybody to be reached: the folder of a world is its owner's alone.
fn opened(path: PathBuf, mode: u32) -> Result<PathBuf, Failed> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(mode))?;
    Ok(path)
}
