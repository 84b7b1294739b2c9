//! Which services open a view. Pure: the texts of the PAM configuration are handed in.

use super::report::{Coverage, Finding, Service, Verdict};
use crate::setup::pam;
use crate::setup::pam_stack::{Control, Files, MODULE, OTHER, Stack, Step, resolve};

/// Files that others include, and no program's own.
const SHARED: [&str; 7] = [
    "postlogin",
    "config-util",
    "base-session",
    "system-login",
    "system-local-login",
    "system-remote-login",
    "system-services",
];
/// Only root can use them, to run something as a user.
const FOR_ROOT: [&str; 2] = ["runuser", "runuser-l"];
/// Their sessions are those of greeters, which are no users.
const GREETERS: [&str; 3] = ["gdm-launch-environment", "lightdm-greeter", "sddm-greeter"];
/// What these do is meant for the host's view, or makes what the view is built from.
const WANT_HOST: [&str; 12] = [
    "pam_chroot.so",
    "pam_ck_connector.so",
    "pam_ecryptfs.so",
    "pam_elogind.so",
    "pam_exec.so",
    "pam_mkhomedir.so",
    "pam_mount.so",
    "pam_namespace.so",
    "pam_oddjob_mkhomedir.so",
    "pam_script.so",
    "pam_systemd.so",
    "pam_systemd_home.so",
];
/// Programs that go on when a session cannot be opened: what they run stays where the login came from.
const DO_NOT_LISTEN: [&str; 2] = ["sudo", "sudo-i"];
/// systemd's own service asks pam_systemd after everything else; there it only notes that a manager runs.
const SYSTEMD_USER: &str = "systemd-user";

/// Is this the name of a service, and not of a file that services share or that an editor or packager left?
pub(super) fn is_service(name: &str) -> bool {
    let is_shared = name.starts_with("common-") || name.ends_with("-auth") || SHARED.contains(&name);
    !is_shared && !name.contains('.') && !name.ends_with('~')
}

/// Does a line of this service's have session scripts run: the module's own, or pam_exec's with our program?
pub(super) fn has_scripts_run(name: &str, files: &Files) -> bool {
    let stack = if files.contains_key(name) { resolve(name, files) } else { resolve(OTHER, files) };
    stack.steps.iter().any(|step| {
        let says = |word: &str| step.arguments.iter().any(|argument| argument == word);
        match step.module.as_str() {
            MODULE => !says("scripts=no"),
            "pam_exec.so" => {
                step.arguments.iter().any(|word| word.rsplit('/').next() == Some("session-scripts"))
            }
            _ => false,
        }
    })
}

/// What the sessions of the service `name` open.
pub(super) fn service(name: &str, files: &Files) -> Service {
    let mut stack = resolve(name, files);
    let is_own = !stack.steps.is_empty() || !stack.missing.is_empty();
    if !is_own && name != OTHER {
        stack = resolve(OTHER, files);
    }
    let mut service =
        Service { name: name.to_owned(), opens: Coverage::NoSession, line: None, findings: Vec::new() };
    let finding = |verdict, text: String| Finding::new(verdict, name, text);
    for missing in &stack.missing {
        let text = format!("includes {missing}, which cannot be read: libpam refuses every login here");
        service.findings.push(finding(Verdict::Wrong, text));
    }
    match stack.steps.iter().position(|step| step.module == MODULE) {
        Some(at) => {
            service.opens = Coverage::View;
            service.line = Some(format!("{}:{}", stack.steps[at].file, stack.steps[at].number));
            service.findings.extend(about_line(name, &stack, at));
        }
        // Where nothing of its own is said, and nothing for all others, it opens no session that is anybody's business.
        None if !is_own || stack.steps.is_empty() => {}
        None => {
            service.opens = Coverage::Host;
            service.findings.push(if FOR_ROOT.contains(&name) {
                finding(Verdict::Note, "only root can use it, to run something as a user".to_owned())
            } else if GREETERS.contains(&name) {
                finding(Verdict::Note, "a greeter's sessions are no user's".to_owned())
            } else {
                finding(Verdict::Wrong, format!("no session line of it asks {MODULE}"))
                    .help(remedy(name, &stack))
            });
        }
    }
    service
}

/// How the service comes to open views.
fn remedy(name: &str, stack: &Stack) -> String {
    let shares = |step: &Step| pam::files().any(|path| path.rsplit('/').next() == Some(step.file.as_str()));
    if stack.steps.iter().any(shares) {
        "run `sessionctl setup --method pam`".to_owned()
    } else {
        format!("put `{}` behind the last session line of {name}", pam::LINE)
    }
}

/// What is to be said of the module's line at `at`.
fn about_line(name: &str, stack: &Stack, at: usize) -> Vec<Finding> {
    let ours = &stack.steps[at];
    let place = |step: &Step| format!("{} ({}:{})", step.module, step.file, step.number);
    let mut findings = Vec::new();
    let mut find = |verdict, text: String, help: Option<String>| {
        findings.push(Finding { verdict, about: name.to_owned(), text, help });
    };
    let required = || Some(format!("write `{}`", pam::LINE));
    if !ours.control.refuses_on_failure() {
        let text =
            format!("`{}` lets a login into the host's view when the module fails", ours.control.text());
        find(Verdict::Wrong, text, required());
    } else if ours.control != Control::Word("requisite".to_owned()) {
        let text = format!(
            "`{}` in place of `requisite`: modules behind it run for a login that is refused, in the host's view",
            ours.control.text()
        );
        find(Verdict::Note, text, None);
    }
    if ours.arguments.iter().any(|argument| argument == "onerr=host") {
        let text = "`onerr=host` lets a login into the host's view when the module fails";
        find(Verdict::Note, text.to_owned(), None);
    }
    for earlier in stack.steps[..at].iter().filter(|earlier| earlier.can_skip(ours)) {
        let text = format!("{} can end the stack before the module is asked", place(earlier));
        find(Verdict::Wrong, text, Some("have it stand behind the module, or be `optional`".to_owned()));
    }
    let later = || stack.steps[at + 1..].iter().filter(|step| step.module != MODULE);
    for step in later().filter(|step| WANT_HOST.contains(&step.module.as_str())) {
        if name == SYSTEMD_USER {
            find(Verdict::Note, format!("{} comes after the module, in the user's view", place(step)), None);
        } else {
            let text = format!("{} comes after the module, and works in the user's view", place(step));
            find(Verdict::Wrong, text, Some("have the module's line stand behind it".to_owned()));
        }
    }
    let mut others: Vec<&str> =
        later().map(|step| step.module.as_str()).filter(|module| !WANT_HOST.contains(module)).collect();
    others.dedup();
    if DO_NOT_LISTEN.contains(&name) {
        let text = "it goes on when the module refuses a session: who may use it decides";
        find(Verdict::Note, text.to_owned(), None);
    }
    if !others.is_empty() {
        find(
            Verdict::Note,
            format!("not the last line; in the user's view work {}", others.join(", ")),
            None,
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMON: &str = "session [default=1] pam_permit.so\nsession requisite pam_deny.so\n\
                          session required pam_permit.so\nsession optional pam_systemd.so\n";

    fn files(files: &[(&str, &str)]) -> Files {
        files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    fn debian(more: &str) -> Files {
        files(&[
            ("common-session", &format!("{COMMON}{more}")),
            ("other", "@include common-session\n"),
            (
                "sshd",
                "session required pam_loginuid.so\n@include common-session\nsession required pam_env.so\n",
            ),
            ("chsh", "auth sufficient pam_rootok.so\n"),
            ("runuser", "session required pam_unix.so\n"),
            ("lightdm-greeter", "session required pam_unix.so\n"),
            ("login", "session required pam_unix.so\n"),
            ("ftp", "@include gone\n"),
        ])
    }

    fn verdicts(service: &Service) -> Vec<Verdict> {
        service.findings.iter().map(|finding| finding.verdict).collect()
    }

    #[test]
    fn services_are_covered_by_the_line_that_they_share() {
        let files = debian("session requisite pam_session_sandbox.so\n");
        let sshd = service("sshd", &files);
        assert_eq!((sshd.opens, sshd.line.as_deref()), (Coverage::View, Some("common-session:5")));
        assert_eq!(verdicts(&sshd), [Verdict::Note]);
        assert_eq!(service("other", &files).opens, Coverage::View);
        // libpam takes the lines of `other` for a service without its own.
        assert_eq!(service("chsh", &files).opens, Coverage::View);
        assert_eq!(service("login", &files).opens, Coverage::Host);
        assert_eq!(verdicts(&service("login", &files)), [Verdict::Wrong]);
        assert_eq!(verdicts(&service("runuser", &files)), [Verdict::Note]);
        assert_eq!(verdicts(&service("lightdm-greeter", &files)), [Verdict::Note]);
        assert_eq!(verdicts(&service("ftp", &files)), [Verdict::Wrong]);
        assert_eq!(service("chsh", &debian("")).opens, Coverage::NoSession);
    }

    #[test]
    fn a_line_that_does_not_hold_what_it_promises_is_found() {
        for (line, wrong) in [
            ("session requisite pam_session_sandbox.so\n", 0),
            ("session optional pam_session_sandbox.so\n", 1),
            ("session sufficient pam_session_sandbox.so\n", 1),
            ("session [success=ok default=ignore] pam_session_sandbox.so\n", 1),
            ("session sufficient pam_x.so\nsession requisite pam_session_sandbox.so\n", 1),
            ("session requisite pam_session_sandbox.so\nsession optional pam_systemd.so\n", 1),
            ("session requisite pam_session_sandbox.so\nsession optional pam_mail.so\n", 0),
        ] {
            let service = service("other", &debian(line));
            assert_eq!(service.opens, Coverage::View, "{line}");
            let found = verdicts(&service).iter().filter(|verdict| **verdict == Verdict::Wrong).count();
            assert_eq!(found, wrong, "{line}: {:?}", service.findings);
        }
    }

    #[test]
    fn logind_is_not_needed_where_pam_tells_of_sessions() {
        for (line, tells) in [
            ("session requisite pam_session_sandbox.so\n", true),
            ("session requisite pam_session_sandbox.so scripts=no\n", false),
            ("session optional pam_exec.so quiet /usr/bin/session-scripts pam\n", true),
            ("session optional pam_exec.so /usr/bin/other\n", false),
        ] {
            let files = debian(line);
            assert_eq!(has_scripts_run("sshd", &files), tells, "{line}");
            assert_eq!(has_scripts_run("unheard-of", &files), tells, "{line}");
            assert!(!has_scripts_run("login", &files), "{line}");
        }
    }

    #[test]
    fn what_services_share_and_what_is_left_lying_about_is_no_service() {
        for name in ["common-session", "system-auth", "postlogin", "sshd.dpkg-new", "su~"] {
            assert!(!is_service(name), "{name}");
        }
        assert!(is_service("sshd") && is_service("su-l"));
    }
}
