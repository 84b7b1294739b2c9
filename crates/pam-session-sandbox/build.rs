//! Names libpam as needed by the module, so that it loads in programs that keep their own libpam to themselves.
//!
//! The library of the running system serves: the development package's `libpam.so` need not be installed. Without
//! either the module is built all the same, and finds libpam in the program that loads it.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=CC");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let found = Command::new(compiler).arg("-print-file-name=libpam.so.0").output();
    // A compiler that does not have the file repeats its name.
    let there =
        found.is_ok_and(|answer| Path::new(String::from_utf8_lossy(&answer.stdout).trim()).is_absolute());
    if there {
        println!("cargo:rustc-cdylib-link-arg=-l:libpam.so.0");
    }
}
