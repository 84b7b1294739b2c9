//! Every login of a user opens into the same private root, built from one readable map.
//!
//! ```text
//! mounts.toml -- config --> Policy  \
//! argv        -- cli    --> Request  \
//! user, door  -- host   --> Subject   >-- plan() --> Plan -- run::enter() --> the user's program
//! this host   -- host   --> Facts    /    pure, no I/O        effects, descriptors
//!                                            `-- explain: steps, tree, JSON, why, can, diff
//! ```
//!
//! Data goes one way. A [`Plan`] is complete: which mounts, in which order, with which attributes, who the process
//! becomes and what it starts. Nothing is decided while it is carried out; what was true when it was made is checked
//! again on the descriptors that are used.
//!
//! # Planning
//!
//! Planning needs no privilege and touches nothing. All that it knows of the host is in [`Facts`]:
//!
//! ```
//! use session_sandbox::explain::{Account, Screen};
//! use session_sandbox::{Facts, Policy, Request, Subject, config, plan};
//! use session_sandbox::model::{facts::{Look, PathFact}, name::UserName, path::AbsPath, subject::Door};
//!
//! let map = r#"
//!     version = 1
//!     [[profile]]
//!     name = "students"
//!     match = { user = ["bob"] }
//!     [[profile.mount]]
//!     target = "/usr"
//!     options = ["ro"]
//!     [[profile.mount]]
//!     target = "/tmp"
//!     kind = "tmpfs"
//!     size = "64M"
//!     mode = "1777"
//! "#;
//! let policy: Policy = config::parse(&[config::SourceFile { name: "example.toml".into(), text: map.into() }])?;
//! let subject = Subject {
//!     name: UserName::new("bob")?,
//!     uid: 1000,
//!     gid: 1000,
//!     groups: vec![1000],
//!     group_name: "bob".into(),
//!     home: AbsPath::new("/home/bob")?,
//!     shell: AbsPath::new("/bin/bash")?,
//!     door: Door::command_line(),
//! };
//! let mut facts = Facts { privileged: true, ..Facts::default() };
//! facts.paths.insert((Look::Root, AbsPath::new("/usr")?), PathFact::Directory);
//!
//! let plan = plan::plan(&policy, &subject, &Request::default(), &facts)?;
//! assert_eq!(plan.report.mounts, 3); // the root itself, /usr and /tmp
//! let account = Account::unseen(&plan, &policy).ok_or("no such profile")?;
//! assert!(account.tree(Screen::default()).contains("bind, ro,nosuid,nodev"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Entering
//!
//! A program that enters is single-threaded, and does what `session-enter` does. As an ordinary user it can enter its
//! own root:
//!
//! ```no_run
//! use session_sandbox::{Error, Request, host, model::subject::Door, plan, run};
//!
//! fn enter() -> Result<u8, Error> {
//!     run::prepare_process()?;
//!     let subject = host::subject_of_caller(Door::command_line())?;
//!     let policy = host::load_policy(None)?;
//!     let request = Request { environment: std::env::vars_os().collect(), ..Request::default() };
//!     let mut facts = host::facts(&policy, &subject, &request)?;
//!     let ground = run::Ground::open();
//!     facts.base = ground.has_base();
//!     let plan = plan::plan(&policy, &subject, &request, &facts)?;
//!     run::enter(&plan, &ground, &mut run::Kernel::new(&plan, &ground))
//! }
//! ```
#![deny(unsafe_code)]

pub mod audit;
pub mod check;
#[cfg(feature = "cli")]
pub mod cli;
pub mod compat;
pub mod config;
pub mod discover;
pub mod doctor;
pub mod error;
pub mod explain;
pub mod host;
pub mod model;
mod paper;
pub mod plan;
pub mod registry;
pub mod run;
pub mod scripts;
pub mod selftest;
pub mod setup;
pub mod sys;

pub use error::{Error, ErrorKind};
pub use model::facts::Facts;
pub use model::policy::Policy;
pub use model::report::Report;
pub use model::subject::Subject;
pub use plan::{Plan, Request};
