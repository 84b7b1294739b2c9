//! `pam_session_sandbox.so`: puts a login into its user's private root.
//!
//! ```text
//! sshd, login, su, cron, at, systemd --user
//!   └ pam_sm_open_session
//!       ├ asks session-door, a process of its own, which reads the map, plans and builds      (ask.rs)
//!       ├ receives the way in by descriptor
//!       └ unshare(CLONE_FS), setns: the last thing it does                                    (enter.rs)
//! ```
//!
//! It lives in other people's processes, so it does little in them: no map is parsed, nothing is mounted, no thread or
//! handler is installed, no environment of the process is touched. Up to the last call nothing of the process has
//! changed; what the last call changes, `pam_sm_close_session` changes back. A panic is caught at the edge.
#![deny(unsafe_code)]

mod ask;
mod enter;
mod options;
mod session;
mod sys;
