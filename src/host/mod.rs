//! Reading the host: the map's files, the user, the facts that a plan depends on. Nothing here changes anything.
#![forbid(unsafe_code)]

mod facts;
mod layers;
mod logind;
mod patience;
mod reliance;
mod scripts;
mod source;
mod subject;
mod walk;

pub use facts::{facts, kernel_features};
pub use layers::{load_policy, load_policy_below, read_text};
pub use logind::keep_what_logind_says;
pub use patience::{PATIENCE, can_start};
pub use reliance::expect_reliable;
pub use scripts::{
    Unfit, any_script, check_pam_script, check_script, gate_is_open, list_scripts, load_script_policy,
};
pub use source::Sources;
pub use subject::{subject, subject_of_caller, subject_of_uid};
pub use walk::{Trust, WalkError, walk, walk_below};
