//! pam_chroot's file read as it is: the policy for whoever logs in.

use crate::compat::chroot::{self, Decision, Flavour, Found, Options, Outcome, Trouble, Who};
use crate::config::{self, SourceFile};
use crate::error::{Error, ErrorKind};
use crate::model::path::AbsPath;
use crate::model::policy::{Origin, Policy};
use crate::model::subject::Subject;
use crate::sys;
use crate::sys::regex::{self, Grammar};

use super::layers::{invalid, read_trusted, trust};
use super::walk::walk;

/// What the file says to a login.
#[derive(Debug)]
pub enum Answer {
    /// It gets this root.
    Root(Box<Policy>),
    /// It goes on in the host's view, and why.
    Stay(String),
}

/// The policy that the file at `path` is for `subject`, to a pam_chroot that is told `words`.
///
/// The file is trusted as a map is. A user whom it gives no directory has no policy, whatever `notfound=` and `onerr=` say:
/// they decide what becomes of a login without a root of its own, and here one was asked for.
pub fn load_chroot_conf(path: &AbsPath, words: &str, subject: &Subject) -> Result<Policy, Error> {
    let options = strict_options(words)?;
    match decide(path, &options, subject)? {
        (Decision::Chroot(directory), line) => policy(path, line, &options, subject, &directory),
        (Decision::NotFound, _) => Err(no_line(path, subject)),
        (Decision::Error(trouble), _) => Err(in_trouble(path, subject, trouble)),
    }
}

/// What pam_chroot does with a login, told `words` in a PAM service: as there, a word that it does not know changes nothing.
pub fn answer_by_chroot_conf(path: &AbsPath, words: &[String], subject: &Subject) -> Result<Answer, Error> {
    let (options, _) = Options::read(words.iter().map(String::as_str));
    let (decision, line) = decide(path, &options, subject)?;
    match chroot::outcome(&decision, &options, options.reading) {
        Outcome::Enter(directory) => {
            policy(path, line, &options, subject, &directory).map(|policy| Answer::Root(Box::new(policy)))
        }
        Outcome::Stay => Ok(Answer::Stay(format!("{path} has no root for {}", subject.name))),
        Outcome::Refuse => Err(match decision {
            Decision::Error(trouble) => in_trouble(path, subject, trouble),
            _ => no_line(path, subject),
        }),
    }
}

fn decide(path: &AbsPath, options: &Options, subject: &Subject) -> Result<(Decision, Option<usize>), Error> {
    let conf = match &options.directory {
        Some(_) => None,
        None => read_trusted(path.as_str())?,
    };
    let who = Who {
        name: subject.name.as_str().to_owned(),
        groups: if options.groups { Some(groups(subject)?) } else { None },
    };
    let conf = conf.as_ref().map(|file| file.text.as_bytes());
    Ok(chroot::decide_at(conf, options, &who, options.reading, match_pattern))
}

fn no_line(path: &AbsPath, subject: &Subject) -> Error {
    let user = &subject.name;
    Error::new(ErrorKind::Plan, format!("no line of {path} is for {user}"))
        .help(format!("add one: {user} DIRECTORY"))
}

fn in_trouble(path: &AbsPath, subject: &Subject, trouble: Trouble) -> Error {
    Error::new(ErrorKind::Config, format!("{path} gives {} no directory", subject.name))
        .help(remedy(&trouble))
        .caused_by(trouble)
}

fn policy(
    path: &AbsPath,
    line: Option<usize>,
    options: &Options,
    subject: &Subject,
    directory: &[u8],
) -> Result<Policy, Error> {
    let user = subject.name.as_str();
    let unusable = |reason: String| {
        let shown = String::from_utf8_lossy(directory);
        Error::new(ErrorKind::Config, format!("{path} gives {user} the directory {shown:?}: {reason}"))
            .help("correct the line: an absolute path without `.` and `..`")
    };
    let text = chroot::map_of(user, directory).map_err(unusable)?;
    if options.checks {
        check(directory, path, user)?;
    }
    let mut policy = config::parse(&[SourceFile { name: path.to_string(), text }]).map_err(invalid)?;
    // All of it comes from one line of the file, or from the word chroot_dir.
    let line = line.and_then(|line| u32::try_from(line).ok()).unwrap_or_default();
    let origin = match line {
        0 => Origin { file: "chroot_dir".into(), line: 1 },
        line => Origin { file: path.as_str().into(), line },
    };
    for profile in &mut policy.profiles {
        profile.origin = origin.clone();
        profile.mounts.iter_mut().for_each(|rule| rule.origin = origin.clone());
    }
    Ok(policy)
}

/// The words on a command line: a mistake among them is told.
fn strict_options(words: &str) -> Result<Options, Error> {
    let (options, unknown) = Options::read(words.split_ascii_whitespace());
    let refused = |message: String, help: &str| Err(Error::new(ErrorKind::Request, message).help(help));
    if let Some(word) = unknown.first() {
        return refused(
            format!("--chroot-options: {word:?} is no option of pam_chroot"),
            "give the words behind pam_chroot.so in /etc/pam.d: use_groups, use_regex, use_ext_regex, sec_checks, \
             chroot_dir=DIRECTORY",
        );
    }
    if options.no_chroot {
        return refused(
            "--chroot-options: no_chroot, and a root of one's own exclude each other".to_owned(),
            "leave it out; --dry-run shows what would be done",
        );
    }
    Ok(options)
}

/// The names of the user's groups, the primary one first, the others as the group database has them.
fn groups(subject: &Subject) -> Result<Vec<String>, Error> {
    let failed = |error: sys::Error| {
        Error::new(ErrorKind::Host, "the group database cannot be read")
            .caused_by(error)
            .help("check /etc/nsswitch.conf and the services that it names")
    };
    let mut names = vec![subject.group_name.clone()];
    for gid in sys::user::groups_of(subject.name.as_str(), subject.gid).map_err(failed)? {
        if gid != subject.gid {
            names.extend(sys::user::group_name(gid).map_err(failed)?);
        }
    }
    Ok(names)
}

/// Finds a pattern as pam_chroot does: by the C library, in any case of letters.
pub fn match_pattern(pattern: &[u8], text: &[u8], flavour: Flavour) -> Result<Option<Found>, String> {
    let grammar = match flavour {
        Flavour::Basic => Grammar::Basic,
        Flavour::Extended => Grammar::Extended,
    };
    regex::find(pattern, text, grammar).map_err(|refused| refused.to_string())
}

fn remedy(trouble: &Trouble) -> &'static str {
    match trouble {
        Trouble::NoConf => "check the path, or write the file",
        Trouble::NeedsGroups(_) | Trouble::NoGroup(_) => {
            "add the option, by --chroot-options 'use_groups' or behind as=pam_chroot"
        }
        _ => "correct the line",
    }
}

/// `sec_checks`, which here does not forget the last component.
fn check(directory: &[u8], conf: &AbsPath, user: &str) -> Result<(), Error> {
    let text = String::from_utf8_lossy(directory);
    let looked_at = AbsPath::new(&text).map_err(|error| error.to_string());
    looked_at.and_then(|place| walk(&place, trust()).map_err(|error| error.to_string())).map(drop).map_err(
        |reason| {
            Error::new(ErrorKind::Config, format!("sec_checks: {conf} gives {user} {text:?}: {reason}"))
                .help("root must own each part of the path, and nobody else may write to it")
        },
    )
}
