//! placeholder, rewritten below
#![deny(unsafe_code)]
#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
pub mod error;
pub mod host;
pub mod model;
pub mod plan;
pub mod run;
pub mod sys;
pub use error::{Error, ErrorKind};

impl From<plan::PlanErrors> for Error {
    fn from(errors: plan::PlanErrors) -> Self {
        let help = errors.errors.first().map(plan::PlanError::help).unwrap_or_default();
        Self::new(ErrorKind::Plan, "there is no plan for this login").caused_by(errors).help(help)
    }
}
impl From<sys::Error> for Error {
    fn from(error: sys::Error) -> Self {
        Self::new(ErrorKind::Host, "cannot read the host").caused_by(error)
    }
}
