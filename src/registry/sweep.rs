//! Taking away what belongs to nobody alive.

use std::os::fd::AsFd;

use serde::Serialize;

use super::{Registry, base, scope, session};
use crate::error::Error;

/// What a sweep found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// Sessions whose process has ended without taking them off the record.
    pub sessions: usize,
    /// Shared views that were on record and live no more, or were kept for nobody.
    pub views: usize,
    /// Shared views that somebody was just building, joining or ending; they are in good hands.
    pub busy: usize,
}

pub(super) fn sweep(registry: &Registry) -> Result<Swept, Error> {
    let state = registry.folder.as_fd();
    let mut swept = Swept { sessions: session::sweep(state).map_err(super::failed)?, ..Swept::default() };
    let scopes = registry.scopes().map_err(super::failed)?;
    for name in crate::sys::path::list(scopes.as_fd()).map_err(super::failed)? {
        sweep_view(registry, &name, &mut swept)?;
    }
    base::sweep(state).map_err(super::failed)?;
    Ok(swept)
}

/// The same for one shared view.
pub(super) fn sweep_view(registry: &Registry, name: &str, swept: &mut Swept) -> Result<(), Error> {
    let state = registry.folder.as_fd();
    let Some(locked) = scope::try_lock(state, name).map_err(super::failed)? else {
        swept.busy += 1;
        return Ok(());
    };
    let before = locked.generation_count().map_err(super::failed)?;
    // Read under the lock: a session goes on record before the lock of its view is let go of.
    locked.end_unwatched(|generation| session::is_any_in(state, name, generation))?;
    swept.views += before - locked.generation_count().map_err(super::failed)?.min(before);
    locked.remove_if_empty().map_err(super::failed)
}
