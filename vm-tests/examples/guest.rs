//! Boots a guest with the package installed, and keeps it for whoever wants to look around in it.
//!
//! `cargo run -p vm-tests --example guest -- [oldest|stable|newest]`. It prints the command to log in with; `root` on the
//! console has the password `root`. A line on standard input is a script for root, and the end of input ends the guest.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use std::io::BufRead;

use vm_tests::{Guest, Kernel, product};

fn main() -> vm_tests::Result<()> {
    let word = std::env::args().nth(1).unwrap_or_else(|| "stable".to_owned());
    let kernel = [Kernel::Oldest, Kernel::Stable, Kernel::Newest].into_iter().find(|one| one.word() == word);
    let guest =
        Guest::boot(kernel.ok_or_else(|| format!("there is no kernel {word:?}"))?, &product::payload()?)?;
    product::install(&guest)?;
    println!("{:?}", guest.ssh_command("bob"));
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| format!("standard input: {error}"))?;
        let output = guest.root(&line)?;
        println!("{}{}[{}]", output.stdout, output.stderr, output.status);
    }
    Ok(())
}
