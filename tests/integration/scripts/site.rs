//! A host with session scripts on it.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use libtest_mimic::Failed;
use session_sandbox::model::scripts::Event;
use session_sandbox::registry::Registry;
use session_sandbox::scripts::journal::Line;
use session_sandbox::scripts::journals::Journals;

use crate::support::{Outcome, Run, User, Verdict, World, ensure, ensure_eq, host, until, users};

/// The program that is tested.
pub const SESSION_SCRIPTS: &str = env!("CARGO_BIN_EXE_session-scripts");
/// Where the folders of scripts and what they write are: a place that everybody can look into.
pub const PLACE: &str = "/run/site";
/// What scripts write their lines into.
pub const TRACE: &str = "/run/site/trace";
/// What is on record.
pub const RECORDS: &str = "/run/session-sandbox/scripts";

/// A folder of scripts and a configuration, and bob.
#[derive(Debug)]
pub struct Site {
    pub world: World,
    pub bob: User,
}

impl Site {
    /// With these lines in `[defaults]`, and more tables behind them. The gate is open unless they say otherwise.
    pub fn new(settings: &str) -> Result<Self, Failed> {
        let site = Self { world: World::new()?, bob: users::bob()? };
        for folder in [
            "",
            "/session.d",
            "/session.d/first",
            "/session.d/added",
            "/session.d/removed",
            "/session.d/last",
        ] {
            site.folder(&format!("{PLACE}{folder}"), 0o755)?;
        }
        site.configure(settings)?;
        Ok(site)
    }

    /// Writes the configuration again.
    pub fn configure(&self, settings: &str) -> Verdict {
        let gate = if settings.contains("gate =") { "" } else { "gate = \"none\"\n" };
        let text = format!("version = 1\n[defaults]\ndirectory = \"{PLACE}/session.d\"\n{gate}{settings}\n");
        self.world.file("scripts.conf", text).map(drop)
    }

    /// Makes a folder with this mode, or gives it this mode.
    pub fn folder(&self, path: &str, mode: u32) -> Verdict {
        if !Path::new(path).exists() {
            std::fs::create_dir(path)?;
        }
        Ok(std::fs::set_permissions(path, PermissionsExt::from_mode(mode))?)
    }

    /// Where a script of ours is: `added/10W-x`.
    pub fn at(&self, name: &str) -> PathBuf {
        if name.starts_with('/') {
            PathBuf::from(name)
        } else {
            Path::new(PLACE).join("session.d").join(name)
        }
    }

    /// Writes a file with this content and mode. `name` as for [`Site::at`].
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>, mode: u32) -> Result<PathBuf, Failed> {
        let path = self.at(name);
        std::fs::write(&path, content)?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode))?;
        Ok(path)
    }

    /// Writes a shell script.
    pub fn script(&self, name: &str, body: &str) -> Result<PathBuf, Failed> {
        self.file(name, format!("#!/bin/sh\n{body}\n"), 0o755)
    }

    /// Writes scripts that leave a line: their name and their first argument.
    pub fn tracers(&self, names: &[&str]) -> Verdict {
        names
            .iter()
            .try_for_each(|name| self.script(name, &format!("echo \"{name} $1\" >> {TRACE}")).map(drop))
    }

    /// The program with this command and these words behind it.
    pub fn call(&self, verb: &str, words: &[&str]) -> Run {
        let config = self.world.path("scripts.conf");
        Run::new(SESSION_SCRIPTS).args([verb, "--config"]).arg(config).args(words)
    }

    /// Bob's session begins: how that went.
    pub fn begins(&self, words: &[&str]) -> Result<Outcome, Failed> {
        self.call("added", &["--user", &self.bob.name]).args(words).finish()
    }

    /// Bob's session begins, and that goes well: its name, and what else was printed.
    pub fn added(&self, words: &[&str]) -> Result<(String, String), Failed> {
        let text = self.begins(words)?.output()?;
        let (name, rest) = text.split_once('\n').ok_or("no session's name was printed")?;
        Ok((name.to_owned(), rest.to_owned()))
    }

    /// The session ends, and its scripts are waited for.
    pub fn removed(&self, name: &str) -> Verdict {
        self.call("removed", &["--name", name, "--wait"]).finish()?.expect_code(0).map(drop)
    }

    /// Sessions that ended unnoticed.
    pub fn sweep(&self) -> Verdict {
        self.call("sweep", &[]).finish()?.expect_code(0).map(drop)
    }

    /// What `sessionctl gc` does, and what is not for this program to do: unfinished folders of sessions.
    pub fn collect(&self) -> Verdict {
        let registry = Registry::open().map_err(|error| error.chain().to_string())?;
        registry.sweep().map_err(|error| error.chain().to_string())?;
        Ok(())
    }

    /// The lines that scripts have left so far.
    pub fn trace(&self) -> Vec<String> {
        let text = std::fs::read_to_string(TRACE).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Forgets them.
    pub fn clear(&self) {
        let _ = std::fs::remove_file(TRACE);
    }

    /// How often this line is there.
    pub fn count(&self, line: &str) -> usize {
        self.trace().iter().filter(|known| *known == line).count()
    }

    /// Waits until that line is there.
    pub fn until_traced(&self, line: &str) -> Verdict {
        until(&format!("a script has left {line:?}; there is {:?}", self.trace()), || {
            (self.count(line) > 0).then_some(())
        })
    }

    /// What is on record of a session.
    pub fn record(&self, name: &str) -> Result<Vec<Line>, Failed> {
        let registry = Registry::open().map_err(|error| error.chain().to_string())?;
        let journals = Journals::open(&registry).map_err(|error| error.chain().to_string())?;
        let lines = journals.lines(name).map_err(|error| error.chain().to_string())?;
        lines.ok_or_else(|| format!("nothing is on record of {name}").into())
    }

    /// How the script of this name has ended, by the record.
    pub fn how(&self, session: &str, script: &str) -> Result<String, Failed> {
        let record = self.record(session)?;
        let ends = record.iter().filter_map(|line| match line {
            Line::End { name, how, .. } if name == script => Some(how.clone()),
            _ => None,
        });
        let ends: Vec<String> = ends.collect();
        ensure_eq!(ends.len(), 1, "ends of {script} on record: {record:?}");
        Ok(ends[0].clone())
    }

    /// What is on record as not run, with the reason.
    pub fn skipped(&self, session: &str) -> Result<Vec<(String, String)>, Failed> {
        let skipped = self.record(session)?.into_iter().filter_map(|line| match line {
            Line::Skipped { name, why, .. } => Some((name, why)),
            _ => None,
        });
        Ok(skipped.collect())
    }

    /// Waits until the record says that this event has been dealt with.
    pub fn until_done(&self, session: &str, wanted: Event) -> Verdict {
        until(&format!("{wanted:?} of {session} is done"), || {
            let record = self.record(session).ok()?;
            record
                .iter()
                .any(|line| matches!(line, Line::Done { event, .. } if *event == wanted))
                .then_some(())
        })
    }

    /// Waits until the session is one of those that have ended.
    pub fn until_ended(&self, session: &str) -> Verdict {
        until(&format!("{session} has ended"), || {
            Path::new(RECORDS).join("ended").join(session).exists().then_some(())
        })
    }

    /// Waits until nothing is left of any session but the records of those that have ended: no process, no file.
    pub fn until_nothing_is_left(&self) -> Verdict {
        until("nothing is left", || leftovers().is_empty().then_some(()))
            .map_err(|_| format!("left behind: {:?}", leftovers()).into())
    }
}

/// The processes of ours that run, by name and number.
pub fn own_processes() -> Vec<(String, i32)> {
    let named = host::process_ids().filter_map(|id| {
        let name = std::fs::read_to_string(format!("/proc/{id}/comm")).ok()?.trim_end().to_owned();
        let is_ours = name.starts_with("session-script") || name.starts_with("session-watch");
        is_ours.then(|| id.parse().ok().map(|id| (name, id)))?
    });
    named.collect()
}

/// What a session that has ended leaves behind, beyond its record.
fn leftovers() -> BTreeSet<String> {
    let mut left: BTreeSet<String> =
        own_processes().into_iter().map(|(name, id)| format!("{name} {id}")).collect();
    let mut look = |folder: String, expected: &dyn Fn(&str) -> bool| {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !expected(&name) {
                left.insert(format!("{folder}/{name}"));
            }
        }
    };
    look(RECORDS.to_owned(), &|name| ["ended", "keys", "users", "work"].contains(&name));
    look(format!("{RECORDS}/keys"), &|_| false);
    look(format!("{RECORDS}/work"), &|_| false);
    look("/run/session-sandbox/sessions".to_owned(), &|name| name == "next");
    look("/run/session-sandbox/users".to_owned(), &|_| false);
    for user in std::fs::read_dir(format!("{RECORDS}/users")).into_iter().flatten().flatten() {
        if user.path().is_dir() {
            look(user.path().to_string_lossy().into_owned(), &|_| false);
        }
    }
    left
}

/// The system log of this test's world.
#[derive(Debug)]
pub struct Log(Arc<Mutex<Vec<Vec<u8>>>>);

impl Log {
    /// Listens where syslog(3) sends to, in a `/dev` of the test's own.
    pub fn listen() -> Result<Self, Failed> {
        let script = "set -e
            mkdir /run/dev; mount -t tmpfs -o mode=755 tmpfs /run/dev
            for node in null zero full random urandom tty; do
                : > /run/dev/$node; mount --bind /dev/$node /run/dev/$node
            done
            ln -s /proc/self/fd /run/dev/fd
            mount --rbind /run/dev /dev";
        Run::new("sh").args(["-c", script]).finish()?.expect_code(0)?;
        let socket = UnixDatagram::bind("/dev/log")?;
        let lines: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let kept = Arc::clone(&lines);
        std::thread::spawn(move || {
            let mut line = vec![0; 1 << 16];
            while let Ok(length) = socket.recv(&mut line) {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(line[..length].to_vec());
            }
        });
        Ok(Self(lines))
    }

    /// Waits for a line with `text` in it, and gives all lines so far.
    pub fn until_says(&self, text: &str) -> Result<Vec<Vec<u8>>, Failed> {
        until(&format!("the log says {text:?}"), || {
            let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let says = lines.iter().any(|line| String::from_utf8_lossy(line).contains(text));
            says.then(|| lines.clone())
        })
    }
}

/// Fails unless `what` took less time.
pub fn ensure_within(limit: std::time::Duration, since: std::time::Instant, what: &str) -> Verdict {
    let took = since.elapsed();
    ensure!(took < limit, "{what} took {took:?}, at most {limit:?} were expected");
    Ok(())
}

/// Is there a process of this number that has not ended?
pub fn is_running(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" Z")))
}
