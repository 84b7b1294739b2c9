//! Programs that let users in, and the PAM services that they are known to ask.

use std::collections::BTreeSet;

/// A service, and where programs that ask it are.
const DOORS: [(&str, &[&str]); 14] = [
    ("atd", &["/usr/sbin/atd"]),
    ("cron", &["/usr/sbin/cron"]),
    ("crond", &["/usr/sbin/crond"]),
    ("gdm-password", &["/usr/sbin/gdm3", "/usr/sbin/gdm", "/usr/bin/gdm"]),
    ("lightdm", &["/usr/sbin/lightdm", "/usr/bin/lightdm"]),
    ("login", &["/usr/bin/login", "/bin/login"]),
    ("sddm", &["/usr/bin/sddm"]),
    ("sshd", &["/usr/sbin/sshd"]),
    ("su", &["/usr/bin/su", "/bin/su"]),
    ("su-l", &["/usr/bin/su", "/bin/su"]),
    ("sudo", &["/usr/bin/sudo"]),
    ("sudo-i", &["/usr/bin/sudo"]),
    ("systemd-user", &["/usr/lib/systemd/systemd", "/lib/systemd/systemd"]),
    ("xdm", &["/usr/bin/xdm"]),
];

/// The doors that are there as a program and not among the services with these names: the service, and the program.
pub(super) fn without_service(
    names: &BTreeSet<String>,
    is_program: impl Fn(&str) -> bool,
) -> Vec<(&'static str, &'static str)> {
    let absent = DOORS.into_iter().filter(|(service, _)| !names.contains(*service));
    absent
        .filter_map(|(service, programs)| {
            Some((service, *programs.iter().find(|program| is_program(program))?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_without_its_service_is_found_once() {
        let names = ["su", "cron"].map(str::to_owned).into();
        let is_there =
            |path: &str| ["/usr/bin/su", "/bin/su", "/usr/sbin/cron", "/usr/sbin/sshd"].contains(&path);
        assert_eq!(without_service(&names, is_there), [("sshd", "/usr/sbin/sshd"), ("su-l", "/usr/bin/su")]);
        assert!(without_service(&names, |_| false).is_empty());
    }
}
