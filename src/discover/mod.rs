//! `sessionctl discover`: a map for the host that is there, with what it rests on written above each entry.
//!
//! ```text
//! this host -- look --> Found -- compose --> the map, as text
//!     reads only               pure, no I/O
//! ```
//!
//! What is written is for a person to read and to change. Whether it is a good map is not known here: `config` reads it
//! like any other, and `plan` says what it comes to.
#![forbid(unsafe_code)]

mod compose;
mod fit;
mod found;
mod homes;
mod leads;
mod look;
mod parse;
mod services;
mod storage;
mod system;

pub use compose::compose;
pub use found::{AutofsMap, Found, FstabLine, Group, Lead, LoginDefs, Mounted, Said, User};

use crate::error::Error;
use crate::model::path::AbsPath;

/// The map for this host, or for the one in the folder `root`.
pub fn discover(root: Option<&AbsPath>) -> Result<String, Error> {
    Ok(compose(&look::look(root)?))
}
