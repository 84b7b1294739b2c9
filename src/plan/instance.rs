//! Directories that are made before a tree is built, and what is run when it is there.

use std::borrow::Cow;

use crate::model::facts::{Facts, Look, PathFact};
use crate::model::instance::{Holder, Likeness, NewOwner};
use crate::model::policy::{MountRule, Owner};
use crate::model::subject::Subject;
use crate::model::template::Template;

use super::error::{PlanError, PlanErrors};
use super::step::{Create, Ids, Init, Like};

/// What the entries ask for, in their order.
pub(super) fn of(rules: &[MountRule], subject: &Subject) -> Result<(Vec<Create>, Vec<Init>), PlanErrors> {
    let (mut creates, mut init) = (Vec::new(), Vec::new());
    for rule in rules {
        let path = |key, template: &Template| {
            template.expand_path(subject).map_err(|source| PlanError::Template {
                origin: rule.origin.clone(),
                key,
                template: template.source().to_owned(),
                source,
            })
        };
        for new in &rule.makes {
            let like = match &new.likeness {
                Likeness::Like(template) => Like::Path(path("target", template)?),
                Likeness::Said { mode, owner } => Like::Said { mode: *mode, owner: ids(*owner, subject) },
            };
            let at = path("source", &new.at)?;
            let through = (new.holder == Holder::Closed).then_some(subject.uid);
            creates.push(Create { origin: rule.origin.clone(), at, like, holder: new.holder, through });
        }
        if let Some(wanted) = &rule.init {
            init.push(Init {
                origin: rule.origin.clone(),
                program: wanted.program.clone(),
                directory: path("target", &rule.target)?,
                instance: wanted.instance.clone(),
                user: subject.name.to_string(),
            });
        }
    }
    Ok((creates, init))
}

fn ids(owner: NewOwner, subject: &Subject) -> Ids {
    match owner {
        NewOwner::Of(Owner::Root) => Ids { uid: 0, gid: 0 },
        NewOwner::Of(Owner::User) => Ids { uid: subject.uid, gid: subject.gid },
        NewOwner::Ids(uid, gid) => Ids { uid, gid },
    }
}

/// The host as it will be: what is going to be made counts as a directory where nothing is.
pub(super) fn as_if_made<'a>(facts: &'a Facts, creates: &[Create]) -> Cow<'a, Facts> {
    if creates.is_empty() {
        return Cow::Borrowed(facts);
    }
    let mut facts = facts.clone();
    for create in creates {
        for look in [Look::Root, Look::User, Look::RootFollowing, Look::UserFollowing] {
            match facts.paths.get_mut(&(look, create.at.clone())) {
                Some(fact) if *fact == PathFact::Missing => *fact = PathFact::Directory,
                _ => {}
            }
        }
    }
    Cow::Owned(facts)
}
