//! What stands behind `session-watchd`: it learns of the beginnings and the ends of sessions and has
//! `session-scripts` act on them. No script is run, and nothing is decided about scripts, in here.
//!
//! ```text
//! logind --D-Bus--> bus (a thread) --events--> daemon (one epoll loop) --queue--> session-scripts, as children
//! PAM module --a pipe's end--> socket ----------^    ^-- pidfds of session leaders and of children
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | [`options`] | the command line |
//! | [`session`] | what logind says of a session, and what becomes of it: pure |
//! | [`runs`] | which run may start, and which has to wait: pure |
//! | [`bus`] | the connection with logind; the only place that knows D-Bus |
//! | [`records`] | which sessions are known, for the daemon that is started after this one |
//! | [`process`] | processes by more than their number |
//! | [`child`] | starts `session-scripts` and takes in what became of it |
//! | [`socket`] | who asks, and for what: the messages of those who hold a connection |
//! | [`service`] | the service manager: readiness, and descriptors that outlive this process |
//! | [`poller`] | epoll, and which descriptor is whose |
//! | [`daemon`] | puts all of this together; `logind` is the part about logind's sessions |
//!
//! Two programs were considered, one for logind and one for held connections. They would share everything below, and
//! their runs would have no common limit.
#![forbid(unsafe_code)]

pub mod bus;
pub mod child;
pub mod daemon;
pub mod error;
mod logind;
pub mod options;
pub mod poller;
pub mod process;
pub mod records;
pub mod runs;
pub mod service;
pub mod session;
pub mod socket;

pub use error::{Error, Result, say};
