//! Asking the host the questions that a plan has.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use crate::error::{Error, ErrorKind};
use crate::model::facts::{Facts, KernelFeatures, Look, PathFact, Refusal, RefusedBy, SubordinateIds};
use crate::model::path::AbsPath;
use crate::model::policy::{MountKind, MountRule, Origin, Policy, Profile};
use crate::model::subject::Subject;
use crate::plan::{self, Request};
use crate::sys;
use crate::sys::path::Kind;

use super::patience;
use super::source::Sources;
use super::walk::WalkError;

/// The bits of CAP_SYS_ADMIN and CAP_MKNOD.
const SYS_ADMIN: u64 = 1 << 21;
const MKNOD: u64 = 1 << 27;

/// Why there are no facts.
enum Failure {
    /// A server that does not answer.
    NoAnswer(AbsPath, Option<Origin>),
    /// A path that cannot be looked at, for no fault of its own.
    Path(AbsPath, Option<Origin>, sys::Error),
    /// This process or the kernel.
    System(sys::Error),
}

impl From<sys::Error> for Failure {
    fn from(error: sys::Error) -> Self {
        Self::System(error)
    }
}

/// Everything that planning for `subject` asks of this host.
pub fn facts(policy: &Policy, subject: &Subject, request: &Request) -> Result<Facts, Error> {
    facts_for(policy, subject, request, Standpoint::Caller)
}

/// The same for a login that root opens, to be looked at by anybody. What the caller may not see is an answer, too
/// ([`PathFact::Unseen`]).
pub fn facts_of_login(policy: &Policy, subject: &Subject, request: &Request) -> Result<Facts, Error> {
    facts_for(policy, subject, request, Standpoint::Login)
}

/// The same for a session that `subject` opens without root, through a user namespace.
pub fn facts_of_rootless(policy: &Policy, subject: &Subject, request: &Request) -> Result<Facts, Error> {
    facts_for(policy, subject, request, Standpoint::Rootless)
}

/// Answers the same questions for one user after the other: what does not depend on the user is asked once, and what
/// only a server could tell is not asked at all ([`PathFact::Unseen`]).
#[derive(Debug)]
pub struct Witness<'a> {
    policy: &'a Policy,
    known: Facts,
    able: bool,
}

impl<'a> Witness<'a> {
    /// For logins by `policy`. `groups` are those of the host that it names, and `tty`.
    pub fn new(policy: &'a Policy, groups: BTreeMap<String, u32>) -> Result<Self, Error> {
        let failed = |error: sys::Error| {
            Error::new(ErrorKind::Host, "cannot find out what this host is like").caused_by(error)
        };
        let able =
            sys::user::own_uid() == 0 && sys::capability::effective().map_err(failed)? & SYS_ADMIN != 0;
        let known = Facts {
            privileged: true,
            base: true,
            makes_devices: true,
            kernel: kernel_features(),
            tty_group: groups.get("tty").copied(),
            groups,
            ..Facts::default()
        };
        Ok(Self { policy, known, able })
    }

    /// What has to be known to choose a profile for a login of `subject`.
    pub fn facts_for_selection(&mut self, subject: &Subject) -> Facts {
        let sources = Sources::of(subject, self.able);
        let mut facts = Facts { terminal: subject.door.tty.is_some(), ..self.known.clone() };
        let (_, paths) = plan::selection_questions(self.policy, subject);
        self.look(&mut facts, paths, &sources, subject, |_| None);
        facts
    }

    /// Adds what a plan by this profile depends on.
    pub fn complete(&mut self, facts: &mut Facts, profile: &'a Profile, subject: &Subject) {
        let sources = Sources::of(subject, self.able);
        self.look(facts, plan::mount_questions(profile, subject), &sources, subject, |path| {
            plan::asker(profile, subject, path)
        });
    }

    fn look(
        &mut self,
        facts: &mut Facts,
        questions: Vec<(Look, AbsPath)>,
        sources: &Sources,
        subject: &Subject,
        asker: impl Fn(&AbsPath) -> Option<&'a MountRule>,
    ) {
        for question in questions {
            if facts.paths.contains_key(&question) {
                continue;
            }
            let (look, path) = &question;
            let answer = match at_once(path, *look, sources) {
                Ok(Some(answer)) => answer,
                Ok(None) => PathFact::Unseen,
                Err(error) => PathFact::unreachable(error.reason()),
            };
            let answer = as_seen_by_login(answer, *look, self.able, subject);
            if leads_nowhere(&answer)
                && !asker(path).is_none_or(MountRule::may_be_left_out)
                && let Some(culprit) = culprit(path, *look, &answer, sources)
            {
                facts.culprits.insert(question.clone(), culprit);
            }
            // What root looks at with its own rights is the same for every user.
            if matches!(look, Look::Root | Look::RootFollowing) {
                self.known.paths.insert(question.clone(), answer.clone());
            }
            facts.paths.insert(question, answer);
        }
    }
}

/// What somebody is denied who is not the one that the login will be, is not known.
fn as_seen_by_login(fact: PathFact, look: Look, able: bool, subject: &Subject) -> PathFact {
    let is_own = sys::user::own_uid() == subject.uid && matches!(look, Look::User | Look::UserFollowing);
    match fact {
        PathFact::Unreachable(Refusal { by: RefusedBy::Permissions, .. }) if !able && !is_own => {
            PathFact::Unseen
        }
        fact => fact,
    }
}

/// Whose plan it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standpoint {
    /// The caller's, who will carry it out.
    Caller,
    /// Root's.
    Login,
    /// The user's own, whoever asks.
    Rootless,
}

fn facts_for(
    policy: &Policy,
    subject: &Subject,
    request: &Request,
    standpoint: Standpoint,
) -> Result<Facts, Error> {
    ask_everything(policy, subject, request, standpoint).map_err(|failure| match failure {
        Failure::System(error) => {
            Error::new(ErrorKind::Host, "cannot find out what this host is like").caused_by(error)
        }
        Failure::NoAnswer(path, origin) => patience::no_answer(&path, origin.as_ref()),
        Failure::Path(path, origin, error) => {
            let asker = origin.map_or_else(|| "the map".to_owned(), |origin| origin.to_string());
            Error::new(ErrorKind::Host, format!("cannot look at {path}, which {asker} asks for"))
                .caused_by(error)
        }
    })
}

fn ask_everything(
    policy: &Policy,
    subject: &Subject,
    request: &Request,
    standpoint: Standpoint,
) -> Result<Facts, Failure> {
    let caller_uid = sys::user::own_uid();
    let effective = sys::capability::effective()?;
    let able = caller_uid == 0 && effective & SYS_ADMIN != 0;
    let of_login = standpoint == Standpoint::Login;
    let sources = Sources::of(subject, able);
    let rootless = standpoint == Standpoint::Rootless;
    let privileged = (able || of_login) && !rootless;
    let mut facts = Facts {
        privileged,
        makes_devices: match (able, of_login) {
            _ if rootless => false,
            (true, _) => effective & MKNOD != 0,
            // What root can have here, as far as somebody else can tell.
            (false, of_login) => of_login && sys::capability::can_be_had(MKNOD.trailing_zeros()),
        },
        caller_uid: match standpoint {
            Standpoint::Caller => caller_uid,
            Standpoint::Login => 0,
            Standpoint::Rootless => subject.uid,
        },
        kernel: kernel_features(),
        terminal: if of_login { subject.door.tty.is_some() } else { sys::fd::terminal().is_some() },
        subordinate: if privileged { None } else { subordinate_ids(subject) },
        base: of_login,
        ..Facts::default()
    };
    let (groups, paths) = plan::selection_questions(policy, subject);
    for name in groups {
        if let Some(gid) = sys::user::group_id(name)? {
            facts.groups.insert(name.to_owned(), gid);
        }
    }
    ask(&mut facts, paths, &sources, |_| None)?;
    if let Ok(profile) = plan::select(policy, subject, &facts, request.profile.as_deref()) {
        ask(&mut facts, plan::mount_questions(profile, subject), &sources, |path| {
            plan::asker(profile, subject, path)
        })?;
        if privileged && profile.mounts.iter().any(|rule| rule.kind == MountKind::Devpts) {
            facts.tty_group = sys::user::group_id("tty")?;
        }
    }
    if of_login {
        for ((look, _), fact) in &mut facts.paths {
            *fact = as_seen_by_login(fact.clone(), *look, able, subject);
        }
    }
    Ok(facts)
}

/// Asks what can be answered at once, and has a scout go ahead for the rest: one for all of it, so that the price of
/// a file system that has to ask its server is one `fork`, however many paths are on it. `asker` is the entry of the map
/// that a path is asked for.
fn ask<'a>(
    facts: &mut Facts,
    questions: Vec<(Look, AbsPath)>,
    sources: &Sources,
    asker: impl Fn(&AbsPath) -> Option<&'a MountRule>,
) -> Result<(), Failure> {
    let origin = |path: &AbsPath| asker(path).map(|rule| rule.origin.clone());
    let failed = |path: &AbsPath, error| Failure::Path(path.clone(), origin(path), error);
    let mut later = Vec::new();
    let mut answers = Vec::new();
    for (look, path) in questions {
        match at_once(&path, look, sources).map_err(|error| failed(&path, error))? {
            Some(answer) => answers.push((look, path, answer)),
            None => later.push((look, path)),
        }
    }
    let not_back = patience::scout(later.len(), |at, scout| {
        let (look, path) = &later[at];
        // What is wrong with the path is found again by whoever comes after.
        let _ = fact(sources.open_first(path, *look, scout));
        Ok(())
    })?;
    if let Some(at) = not_back {
        let (_, path) = later.swap_remove(at);
        let origin = origin(&path);
        return Err(Failure::NoAnswer(path, origin));
    }
    // A server that has answered a moment ago is trusted to do so again, here and when the source is taken.
    for (look, path) in later {
        let answer = fact(sources.open(&path, look)).map_err(|error| failed(&path, error))?;
        answers.push((look, path, answer));
    }
    for (look, path, answer) in answers {
        // What may be left out is told of in no message.
        if leads_nowhere(&answer)
            && !asker(&path).is_none_or(MountRule::may_be_left_out)
            && let Some(culprit) = culprit(&path, look, &answer, sources)
        {
            facts.culprits.insert((look, path.clone()), culprit);
        }
        facts.paths.insert((look, path), answer);
    }
    Ok(())
}

fn leads_nowhere(answer: &PathFact) -> bool {
    matches!(answer, PathFact::Missing | PathFact::ThroughSymlink | PathFact::Unreachable(_))
}

/// The component that is to blame where `path` leads nowhere.
fn culprit(path: &AbsPath, look: Look, answer: &PathFact, sources: &Sources) -> Option<AbsPath> {
    let by = match answer {
        PathFact::Unreachable(refusal) => Some(refusal.by),
        _ => None,
    };
    match by {
        // Its text names the component already.
        Some(RefusedBy::Trust) => None,
        by => sources.culprit(path, look, by == Some(RefusedBy::Server)),
    }
}

/// What is at `path`, unless that takes a server to tell.
fn at_once(path: &AbsPath, look: Look, sources: &Sources) -> sys::Result<Option<PathFact>> {
    let place = match sources.open_at_once(path, look) {
        Ok(Some(place)) => place,
        Ok(None) => return Ok(None),
        Err(error) => return refusal(error).map(Some),
    };
    let kind = sys::path::status(place.as_fd())?.kind;
    // Of a link, the text is one more thing to ask for.
    if kind == Kind::Symlink && !patience::answers_by_itself(place.as_fd())? {
        return Ok(None);
    }
    found(place.as_fd(), kind).map(Some)
}

/// What a look-up comes to.
fn fact(place: Result<OwnedFd, WalkError>) -> sys::Result<PathFact> {
    match place {
        Ok(place) => found(place.as_fd(), sys::path::status(place.as_fd())?.kind),
        Err(error) => refusal(error),
    }
}

/// Only what the path itself is to blame for is an answer; a failure of this process or the kernel (no memory, no
/// descriptors) is a failure, for it must not make an optional entry look as if it had no source.
pub(super) fn refusal(error: WalkError) -> sys::Result<PathFact> {
    let WalkError::Open { source, .. } = error else {
        return Ok(PathFact::Unreachable(Refusal { by: RefusedBy::Trust, reason: error.to_string() }));
    };
    let unreachable = |by| Ok(PathFact::Unreachable(Refusal { by, reason: source.reason() }));
    match Errno::from_raw_os_error(source.errno()) {
        Errno::NOENT => Ok(PathFact::Missing),
        Errno::LOOP => Ok(PathFact::ThroughSymlink),
        Errno::NOTDIR => unreachable(RefusedBy::File),
        Errno::ACCESS | Errno::PERM => unreachable(RefusedBy::Permissions),
        Errno::NAMETOOLONG => unreachable(RefusedBy::Other),
        Errno::STALE | Errno::HOSTDOWN | Errno::HOSTUNREACH | Errno::NOTCONN | Errno::TIMEDOUT => {
            unreachable(RefusedBy::Server)
        }
        _ => Err(source),
    }
}

pub(super) fn found(place: BorrowedFd<'_>, kind: Kind) -> sys::Result<PathFact> {
    Ok(match kind {
        Kind::Directory => PathFact::Directory,
        Kind::File => PathFact::File,
        Kind::Socket => PathFact::Socket,
        Kind::Device => PathFact::Device,
        Kind::Fifo => PathFact::Fifo,
        Kind::Symlink => PathFact::Symlink(sys::path::link_text(place)?),
        Kind::Other => PathFact::unreachable("not a file"),
    })
}

/// What this kernel offers, asked of the kernel itself.
pub fn kernel_features() -> KernelFeatures {
    let mount_setattr = sys::kernel::has_mount_setattr();
    KernelFeatures {
        mount_descriptors: sys::kernel::has_mount_descriptors(),
        openat2: sys::kernel::has_openat2(),
        close_range: sys::kernel::has_close_range(),
        mount_setattr,
        nosymfollow: mount_setattr && sys::kernel::has_nosymfollow(),
        landlock_scope: sys::kernel::has_landlock_scope(),
    }
}

/// The first range of the user's in `/etc/subuid` and `/etc/subgid`, where the programs that can use it are there.
fn subordinate_ids(subject: &Subject) -> Option<SubordinateIds> {
    if !sys::namespace::has_id_map_helpers() {
        return None;
    }
    let range = |file: &str| {
        let text = super::layers::read_text(&AbsPath::new(file).ok()?)?;
        let uid = subject.uid.to_string();
        text.lines().find_map(|line| {
            let mut fields = line.trim().split(':');
            let (owner, first, count) = (fields.next()?, fields.next()?, fields.next()?);
            let (first, count): (u32, u32) = (first.parse().ok()?, count.parse().ok()?);
            let ours = owner == subject.name.as_str() || owner == uid;
            // A range that holds the user's own id would map it twice.
            let apart = !(first..=first.checked_add(count)?).contains(&subject.uid)
                && !(first..=first.checked_add(count)?).contains(&subject.gid);
            (ours && count > 0 && apart).then_some((first, count))
        })
    };
    Some(SubordinateIds { uid: range("/etc/subuid")?, gid: range("/etc/subgid")? })
}
