//! What sessions stand on: the registry, and the base namespace in it.

use std::os::fd::OwnedFd;

use crate::error::{Error, ErrorKind, Relayed};
use crate::model::subject::Subject;
use crate::plan::Plan;
use crate::registry::{ProcessId, Registry, Session, SessionRecord};
use crate::sys;

/// The registry and the base namespace, where this process may use them.
///
/// An ordinary user has neither. Root may be without them in a container that does not let it mount; then each session
/// copies the mount table that it finds, and none is shared.
#[derive(Debug, Default)]
pub struct Ground {
    registry: Option<Registry>,
    base: Option<OwnedFd>,
    /// Why there is no registry or no base.
    missing: Option<Error>,
}

impl Ground {
    /// Opens both for root; makes them at the first use after a boot.
    pub fn open() -> Self {
        if sys::user::own_uid() != 0 {
            return Self::default();
        }
        let registry = match Registry::open() {
            Ok(registry) => registry,
            Err(error) => return Self { missing: Some(error), ..Self::default() },
        };
        match registry.base_namespace() {
            Ok(base) => Self { registry: Some(registry), base: Some(base), missing: None },
            Err(error) => Self { registry: Some(registry), base: None, missing: Some(error) },
        }
    }

    /// Is there a base namespace?
    pub fn has_base(&self) -> bool {
        self.base.is_some()
    }

    /// Why this process, which is root, has no registry or no base namespace.
    pub fn missing(&self) -> Option<&Error> {
        self.missing.as_ref()
    }

    /// A copy of the base namespace's descriptor.
    pub(super) fn base(&self) -> Option<OwnedFd> {
        self.base.as_ref().and_then(|base| base.try_clone().ok())
    }

    /// The registry, which a shared view cannot do without.
    pub fn registry(&self) -> Result<&Registry, Error> {
        self.registry.as_ref().ok_or_else(|| {
            let error = Error::new(ErrorKind::Host, "a shared view needs the folder /run/session-sandbox");
            let (error, remedy) = match &self.missing {
                Some(missing) => (error.caused_by(Error::from(Relayed::from(missing))), missing.remedy()),
                None => (error, None),
            };
            let remedy = remedy.unwrap_or("let root mount a tmpfs there");
            error.help(format!("{remedy}; or set `scope = \"session\"`"))
        })
    }

    /// Puts the session of `plan` on record, where there is one. It ends with this process.
    pub(super) fn begin_session(&self, plan: &Plan, view: Option<(String, u32)>) -> Result<OnRecord, Error> {
        if self.registry.is_none() {
            return Ok(OnRecord(None));
        }
        let leader = ProcessId::own().map_err(crate::registry::failed)?;
        self.begin(&plan.subject, &plan.profile, view, leader, false)
    }

    /// Puts a session of `subject` on record that is in no view so far. It ends with `leader`, or, if it is `held`, when
    /// the leader lets go of its lock.
    pub fn begin_session_of(
        &self,
        subject: &Subject,
        leader: ProcessId,
        held: bool,
    ) -> Result<OnRecord, Error> {
        self.begin(subject, "", None, leader, held)
    }

    pub(super) fn begin(
        &self,
        subject: &Subject,
        profile: &str,
        view: Option<(String, u32)>,
        leader: ProcessId,
        held: bool,
    ) -> Result<OnRecord, Error> {
        let Some(registry) = &self.registry else { return Ok(OnRecord(None)) };
        let record = SessionRecord {
            user: subject.name.to_string(),
            uid: subject.uid,
            profile: profile.to_owned(),
            service: subject.door.service.clone(),
            tty: subject.door.tty.clone(),
            remote_host: subject.door.remote_host.clone(),
            display: subject.door.tty.clone().filter(|tty| tty.starts_with(':')),
            view,
            began: crate::registry::now(),
            leader: Some(leader),
            held,
            shares_leader: false,
        };
        registry.begin_session(record).map(|session| OnRecord(Some(session)))
    }
}

/// A session on record, or one that nobody keeps a record of. It is taken off the record when this value goes, unless it
/// is left there.
#[derive(Debug)]
pub struct OnRecord(Option<Session>);

impl OnRecord {
    /// `Session1`, say.
    pub fn name(&self) -> Option<&str> {
        self.0.as_ref().map(Session::name)
    }

    /// Writes down which profile and which view it came to.
    pub(super) fn enters(&mut self, profile: &str, view: (String, u32)) -> Result<(), Error> {
        match &mut self.0 {
            Some(session) => session.enters(profile, view).map_err(crate::registry::failed),
            None => Ok(()),
        }
    }

    /// Leaves it on record: its name, and what its leader is to hold.
    pub fn leave(mut self) -> (Option<String>, Option<OwnedFd>) {
        match self.0.take() {
            Some(mut session) => (Some(session.name().to_owned()), session.take_lock()),
            None => (None, None),
        }
    }

    /// Takes it off the record.
    pub(super) fn end(self) {}
}

impl Drop for OnRecord {
    /// What fails here is done by the next sweep: the program has ended, and its status counts.
    fn drop(&mut self) {
        if let Some(session) = self.0.take() {
            let _ = session.end();
        }
    }
}
