//! What the program prints when it is asked for help, its definition and its manual page say the same.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test's way to fail is to stop; the rules for programs that run as root are not about it"
)]

#[path = "../../../tests/manual/help.rs"]
mod help;

use session_watchd::options::SESSION_WATCHD;

#[test]
fn the_page_explains_the_options_that_help_lists_and_no_others() {
    let help = help::of(env!("CARGO_BIN_EXE_session-watchd"), &[]);
    assert!(help.commands.is_empty() && help.options.len() > 5, "{help:?}");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/man/session-watchd.8");
    let page = std::fs::read_to_string(path).unwrap();
    assert_eq!(help::explained(&page, ".Sh OPTIONS"), help.options);
    let defined: help::Options = SESSION_WATCHD.options.iter().map(command_line::Flag::dashed).collect();
    assert_eq!(help.options, defined);
    assert!(help.mentioned().is_subset(&help.options), "{}", help.text);
}
