//! Reading the host: the map's files, the user, the facts that a plan depends on. Nothing here changes anything.
#![forbid(unsafe_code)]

mod chroot_conf;
mod eyes;
mod facts;
mod layers;
mod logind;
mod mounts;
mod namespace_conf;
mod patience;
mod reliance;
mod scripts;
mod source;
mod subject;
mod users;
mod walk;

pub use chroot_conf::{Answer, answer_by_chroot_conf, load_chroot_conf, match_pattern};
pub use eyes::Eyes;
pub use facts::{Witness, facts, facts_of_login, facts_of_rootless, kernel_features};
pub use layers::{Candidate, load_policy, load_policy_below, map_files, read_candidate, read_text};
pub use logind::keep_what_logind_says;
pub use mounts::{is_in_view, mounts_of_process, mounts_seen_now, own_mounts, owner_of_process};
pub use namespace_conf::{answer_by_namespace_conf, load_namespace_conf};
pub use patience::{PATIENCE, can_start};
pub use reliance::expect_reliable;
pub use scripts::{
    Unfit, any_script, check_pam_script, check_script, gate_is_open, list_scripts, load_script_policy,
};
pub use source::Sources;
pub use subject::{subject, subject_of_caller, subject_of_uid, throw_away};
pub use users::{Census, login_users};
pub use walk::{Trust, WalkError, walk, walk_below};
