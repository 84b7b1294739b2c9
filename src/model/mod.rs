//! The values that everything else speaks in: names, paths, the policy, who logs in, and what the host is like.
//!
//! Nothing here does I/O. A value of one of these types has already been checked: its constructor is the only
//! validator, so that the planner and the mounting code never have to doubt what they are handed.
#![forbid(unsafe_code)]

pub mod facts;
pub mod instance;
pub mod isolation;
pub mod mounts;
pub mod name;
pub mod path;
pub mod policy;
pub mod program;
pub mod report;
pub mod scripts;
pub mod seen;
pub mod setup;
pub mod subject;
pub mod template;
