//! Reading the host: the map's files, the user, the facts that a plan depends on. Nothing here changes anything.
#![forbid(unsafe_code)]

mod facts;
mod layers;
mod patience;
mod source;
mod subject;
mod walk;

pub use facts::{facts, kernel_features};
pub use layers::{load_policy, load_policy_below};
pub use patience::{PATIENCE, can_start};
pub use source::Sources;
pub use subject::{subject, subject_of_caller};
pub use walk::{Trust, WalkError, walk, walk_below};
