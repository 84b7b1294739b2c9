//! Links the unwinder into the programs, so that a login does not load it.
//!
//! Rust's standard library asks the linker for `libgcc_s`, a shared library of which a program that does not panic
//! uses nothing; loading it costs every start 0.15 ms. Its static twin comes with the compiler. A linker script of the
//! same name, found first, stands for that one. Where the compiler has no such twin nothing changes.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=CC");
    let variable = |name| std::env::var(name).unwrap_or_default();
    // The compiler asked here is the host's.
    if variable("HOST") != variable("TARGET") || !variable("TARGET").ends_with("-linux-gnu") {
        return;
    }
    if let Some(folder) = static_unwinder(&PathBuf::from(variable("OUT_DIR"))) {
        println!("cargo:rustc-link-search=native={}", folder.display());
    }
}

/// A folder in which `-lgcc_s` is the static unwinder.
fn static_unwinder(out: &Path) -> Option<PathBuf> {
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let answer = Command::new(compiler).arg("-print-file-name=libgcc_eh.a").output().ok()?;
    // A compiler that does not have the file repeats its name.
    let file = PathBuf::from(String::from_utf8(answer.stdout).ok()?.trim());
    if !file.is_absolute() {
        return None;
    }
    let folder = out.join("unwinder");
    if !folder.is_dir() {
        std::fs::create_dir(&folder).ok()?;
    }
    std::fs::write(folder.join("libgcc_s.so"), "GROUP ( -lgcc_eh -lgcc )\n").ok()?;
    Some(folder)
}
