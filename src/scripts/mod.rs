//! Session scripts: what runs when a session begins and when it has ended.
//!
//! ```text
//! PAM, session-enter, logind, ConsoleKit, a display manager
//!      `--> Session --+
//! session-scripts.conf +--> schedule (pure) --> Task... --> run one by one --> journal, log, status
//! names in a folder  --+
//! ```
//!
//! Everything that is done is written down first (`journal`): a process may be killed at any moment, and whoever comes
//! next goes on behind what was begun. Nothing runs twice, and what was cut off is said.
#![forbid(unsafe_code)]

pub mod arrive;
pub mod background;
pub mod begin;
mod end;
pub mod environment;
pub mod filter;
pub mod journal;
pub mod journals;
mod log;
pub mod name;
pub mod rehearsal;
pub mod schedule;
pub mod session;
pub mod status;
pub mod task;
pub mod text;
pub mod told;
pub mod variables;
pub mod watch;
pub mod words;
pub mod worlds;

pub use arrive::key_of;
