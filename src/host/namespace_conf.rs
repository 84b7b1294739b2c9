//! pam_namespace's files read as they are: the policy for whoever logs in.

use std::os::fd::AsFd;

use sha2::{Digest, Sha256};

use crate::compat::namespace::lines;
use crate::compat::namespace::login::{self, Placed, Who, Words};
use crate::config::{self, SourceFile};
use crate::error::{Error, ErrorKind};
use crate::model::path::AbsPath;
use crate::model::policy::{Match, Origin, Policy, Profile, Settings};
use crate::model::subject::Subject;
use crate::sys;
use crate::sys::path::{Kind, Links};

use super::Answer;
use super::layers::{invalid, read_trusted, trust};
use super::walk::walk;

/// What stands beside `namespace.conf`.
const DROP_INS: &str = "namespace.d";
/// How the names of files there end.
const ENDING: &str = ".conf";
/// Words that change nothing here: a view is a new one in any case, and gone when it is not needed any more.
const IDLE: [&str; 6] = [
    "debug",
    "unmnt_remnt",
    "unmount_on_close",
    "mount_private",
    "use_current_context",
    "use_default_context",
];
/// A host with SELinux has this file system.
const SELINUX: &str = "/sys/fs/selinux/enforce";

/// The policy that the file at `path`, and those beside it, are for `subject`, to a pam_namespace that is told `words`.
pub fn load_namespace_conf(path: &AbsPath, words: &str, subject: &Subject) -> Result<Policy, Error> {
    let words: Vec<String> = words.split_ascii_whitespace().map(str::to_owned).collect();
    if let Some(word) = words.iter().find(|word| !is_known(word)) {
        return Err(Error::new(
            ErrorKind::Request,
            format!("--namespace-options: {word:?} is no option of pam_namespace"),
        )
        .help(
            "give the words behind pam_namespace.so in /etc/pam.d, such as ignore_config_error or \
             ignore_instance_parent_mode",
        ));
    }
    match answer_by_namespace_conf(path, &words, subject)? {
        Answer::Root(policy) => Ok(*policy),
        Answer::Stay(why) => Err(Error::new(ErrorKind::Plan, why)
            .help("add a line, or enter with the map: leave --namespace-conf out")),
    }
}

/// What pam_namespace does with a login, told `words` in a PAM service; as there, a word that it does not know changes
/// nothing.
pub fn answer_by_namespace_conf(
    path: &AbsPath,
    words: &[String],
    subject: &Subject,
) -> Result<Answer, Error> {
    let has = |word: &str| words.iter().any(|known| known == word);
    let refused = |word: &str, why: &str| {
        Err(Error::new(ErrorKind::Config, format!("pam_namespace's {word}: {why}"))
            .help("take the word away"))
    };
    if has("unmnt_only") {
        return refused("unmnt_only", "a view is left whole, when its session ends");
    }
    if has("gen_hash") {
        return refused("gen_hash", "instances are found by the users' names here");
    }
    if has("require_selinux") {
        return refused("require_selinux", "contexts of SELinux are not known here");
    }
    let told = Words {
        ignore_config_error: has("ignore_config_error"),
        ignore_instance_parent_mode: has("ignore_instance_parent_mode"),
    };
    let placed = read_all(path, told)?;
    let who = Who { name: subject.name.as_str(), home: subject.home.as_str(), uid: subject.uid };
    let rules = login::entries(&placed, who, told, &Here { subject }).map_err(|(origin, reason)| {
        Error::new(ErrorKind::Config, format!("{origin}: {reason}")).help("correct the line")
    })?;
    let Some(first) = rules.first() else {
        return Ok(Answer::Stay(format!("no line of {path} is for {}", subject.name)));
    };
    // Logins that other lines are for, by a changed file, are not led into the view of these.
    let text = format!("{rules:?}");
    let digits: String = Sha256::digest(&text).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let profile = Profile {
        name: format!("namespace-conf-{digits}"),
        origin: first.origin.clone(),
        matches: Match { user: vec![subject.name.to_string()], ..Match::default() },
        settings: settings()?,
        mounts: rules,
    };
    Ok(Answer::Root(Box::new(Policy { profiles: vec![profile] })))
}

fn is_known(word: &str) -> bool {
    const OTHERS: [&str; 5] =
        ["ignore_config_error", "ignore_instance_parent_mode", "require_selinux", "gen_hash", "unmnt_only"];
    IDLE.contains(&word) || OTHERS.contains(&word)
}

/// A session is as the host has it, but for its directories.
fn settings() -> Result<Settings, Error> {
    let text = "version = 1\n[[profile]]\nname = \"any\"\nisolation = \"view\"\n".to_owned();
    let policy = config::parse(&[SourceFile { name: "pam_namespace".to_owned(), text }]).map_err(invalid)?;
    let settings = policy.profiles.into_iter().next().map(|profile| profile.settings);
    settings.ok_or_else(|| Error::new(ErrorKind::Config, "the built-in map has no settings"))
}

/// The lines of all files, in the module's order.
fn read_all(path: &AbsPath, told: Words) -> Result<Vec<Placed>, Error> {
    let mut files = vec![read_trusted(path.as_str())?.ok_or_else(|| {
        Error::new(ErrorKind::Config, format!("there is no {path}")).help("write the file; it may be empty")
    })?];
    let folder = path.parent().unwrap_or_else(AbsPath::root);
    for name in drop_ins(&folder)? {
        // It may have gone meanwhile.
        files.extend(read_trusted(&format!("{folder}/{DROP_INS}/{name}"))?);
    }
    let has_selinux = is_there(SELINUX);
    let mut placed = Vec::new();
    for file in &files {
        for (number, said, line) in lines(&file.text) {
            let origin =
                Origin { file: file.name.as_str().into(), line: u32::try_from(number).unwrap_or(u32::MAX) };
            match line {
                Ok(line) if has_selinux && ["level", "context"].contains(&line.method.name()) => {
                    let message = format!(
                        "{origin}: `{}` stands for contexts of SELinux, which this host has",
                        line.method.name()
                    );
                    return Err(Error::new(ErrorKind::Config, message).help("write `user` in its place"));
                }
                Ok(line) => placed.push((origin, line)),
                Err(_) if told.ignore_config_error => {}
                Err(mistake) => {
                    let said = said.trim();
                    return Err(Error::new(ErrorKind::Config, format!("{origin}: {said:?}: {mistake}"))
                        .help("correct the line, or add the word ignore_config_error"));
                }
            }
        }
    }
    Ok(placed)
}

fn drop_ins(folder: &AbsPath) -> Result<Vec<String>, Error> {
    let path = folder.join(DROP_INS).map_err(|error| Error::new(ErrorKind::Config, error.to_string()))?;
    let failed = |error| Error::new(ErrorKind::Config, format!("cannot read {path}")).caused_by(error);
    let place = match walk(&path, trust()) {
        Ok(place) => place,
        Err(error) if error.is_missing() => return Ok(Vec::new()),
        Err(error) => {
            return Err(Error::new(ErrorKind::Config, format!("{path} cannot be trusted"))
                .caused_by(error)
                .help("root must own it and every directory on the way, and nobody else may write there"));
        }
    };
    let mut names = sys::path::list(place.as_fd()).map_err(failed)?;
    names.retain(|name| name.ends_with(ENDING));
    names.sort_unstable();
    Ok(names)
}

fn is_there(path: &str) -> bool {
    AbsPath::new(path).is_ok_and(|path| status_of(&path).is_some())
}

fn status_of(path: &AbsPath) -> Option<sys::path::Status> {
    let root = sys::path::open_root().ok()?;
    let place = sys::path::open(root.as_fd(), path.relative(), Links::Refuse).ok()?;
    sys::path::status(place.as_fd()).ok()
}

/// This host.
struct Here<'a> {
    subject: &'a Subject,
}

impl login::Host for Here<'_> {
    fn ids(&self, owner: Option<&str>, group: Option<&str>) -> Result<(u32, u32), String> {
        let (uid, own_group) = match owner {
            None => (self.subject.uid, self.subject.gid),
            Some(name) => match sys::user::by_name(name) {
                Ok(Some(user)) => (user.uid, user.gid),
                Ok(None) => return Err(format!("create: there is no user {name:?}")),
                Err(error) => return Err(format!("create: {error}")),
            },
        };
        match group {
            None => Ok((uid, own_group)),
            Some(name) => match sys::user::group_id(name) {
                Ok(Some(gid)) => Ok((uid, gid)),
                Ok(None) => Err(format!("create: there is no group {name:?}")),
                Err(error) => Err(format!("create: {error}")),
            },
        }
    }

    fn directory(&self, path: &AbsPath) -> Option<(u32, u32)> {
        status_of(path)
            .filter(|status| status.kind == Kind::Directory)
            .map(|status| (status.mode, status.uid))
    }

    fn memory(&self) -> u64 {
        sys::kernel::memory_size()
    }
}
