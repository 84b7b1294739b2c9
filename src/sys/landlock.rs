//! The scoped-only Landlock domain: it takes no file right away, leaves setuid programs and mounts alone, and keeps
//! a process from reaching processes outside the domain by signal, ptrace, `/proc/PID` or abstract socket.

use landlock::{CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, Scope};

/// Puts this process, and everything it starts, into a domain of its own. Needs CAP_SYS_ADMIN or no_new_privs.
pub fn enter_scope() -> Result<(), RulesetError> {
    scope_only()?.no_new_privs(false).restrict_self().map(drop)
}

fn scope_only() -> Result<landlock::RulesetCreated, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .scope(Scope::Signal | Scope::AbstractUnixSocket)?
        .create()
}

/// Can such a domain be made here?
pub(super) fn has_scope() -> bool {
    scope_only().is_ok()
}
