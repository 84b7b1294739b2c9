//! Which services open a view. Pure: the texts of the PAM configuration are handed in.

use std::collections::BTreeSet;

use super::report::{Coverage, Finding, Service, Verdict};
use crate::setup::pam;
use crate::setup::pam_stack::{Control, Files, MODULE, OTHER, Stack, Step, resolve};

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

/// Does a line of this service's have session scripts run: the module's own, or pam_exec's with our program?
pub(super) fn has_scripts_run(name: &str, files: &Files) -> bool {
    let stack = if files.contains_key(name) { resolve(name, files) } else { resolve(OTHER, files) };
    stack.steps.iter().any(|step| {
        let says = |word: &str| step.arguments.iter().any(|argument| argument == word);
        match step.module.as_str() {
            MODULE => !says("scripts=no") && !says("as=pam_chroot") && !says("as=pam_namespace"),
            "pam_exec.so" => {
                step.arguments.iter().any(|word| word.rsplit('/').next() == Some("session-scripts"))
            }
            _ => false,
        }
    })
}

/// What the sessions of the service `name` open. Of the files `unseen` only root can tell what is in them.
pub(super) fn service(name: &str, files: &Files, unseen: &BTreeSet<String>) -> Service {
    let stack = resolve(name, files);
    let is_own = !stack.steps.is_empty() || !stack.missing.is_empty();
    let stack = if is_own || name == OTHER { stack } else { resolve(OTHER, files) };
    judge(name, &stack, is_own, unseen)
}

/// The same for one that has no file, and that the program at `program` asks for.
pub(super) fn without_file(name: &str, program: &str, files: &Files, unseen: &BTreeSet<String>) -> Service {
    let mut service = judge(name, &resolve(OTHER, files), true, unseen);
    let text = format!("{program} is there, and no file for it: libpam takes the lines of `{OTHER}`");
    service.findings.push(Finding::new(Verdict::Note, name, text));
    service
}

fn judge(name: &str, stack: &Stack, is_own: bool, unseen: &BTreeSet<String>) -> Service {
    let mut service =
        Service { name: name.to_owned(), opens: Coverage::NoSession, line: None, findings: Vec::new() };
    let finding = |verdict, text: String| Finding::new(verdict, name, text);
    if stack.missing.iter().any(|missing| unseen.contains(missing)) {
        service.opens = Coverage::Unseen;
        return service;
    }
    for missing in &stack.missing {
        let text = format!("includes {missing}, which cannot be read: libpam refuses every login here");
        service.findings.push(finding(Verdict::Wrong, text));
    }
    match stack.steps.iter().position(opens_view) {
        Some(at) => {
            service.opens = Coverage::View;
            service.line = Some(format!("{}:{}", stack.steps[at].file, stack.steps[at].number));
            service.findings.extend(about_line(name, stack, at));
        }
        // What refuses everybody is nobody's way around.
        None if stack.steps.first().is_some_and(refuses_everybody) => {
            service.findings.push(finding(Verdict::Note, "it refuses every session".to_owned()));
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
                    .help(remedy(name, stack))
            });
        }
    }
    service
}

/// The module's line, unless it is there for scripts alone.
fn opens_view(step: &Step) -> bool {
    const SCRIPTS_ALONE: [&str; 4] = ["scripts=only", "as=pam_script", "as=pam_exec", "as=onsession"];
    step.module == MODULE && !step.arguments.iter().any(|word| SCRIPTS_ALONE.contains(&word.as_str()))
}

/// A line that never succeeds, and whose failure counts.
fn refuses_everybody(step: &Step) -> bool {
    step.module == "pam_deny.so" && step.control.refuses_on_failure()
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
    for earlier in (0..at).filter(|earlier| stack.can_jump_over(*earlier, at)) {
        let text = format!(
            "{} can jump over the module: whom it lets do so has the host's view",
            place(&stack.steps[earlier])
        );
        find(Verdict::Note, text, None);
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
    use std::collections::BTreeMap;

    use super::*;
    use crate::setup::pam_stack;

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

    fn service(name: &str, files: &Files) -> Service {
        super::service(name, files, &BTreeSet::new())
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
    fn who_can_go_around_the_module_is_said() {
        let line = "session [default=1 success=ignore] pam_succeed_if.so user ingroup staff\n\
                    session requisite pam_session_sandbox.so\n";
        let found = service("other", &debian(line));
        assert_eq!((found.opens, verdicts(&found)), (Coverage::View, vec![Verdict::Note]));
        assert!(found.findings[0].text.starts_with("pam_succeed_if.so (common-session:5) can jump over"));
        // A jump within the lines above is none over the module.
        assert!(service("other", &debian(&line.replace("default=1", "default=ok"))).findings.is_empty());
    }

    #[test]
    fn what_refuses_everybody_needs_no_module() {
        let files = files(&[("other", "auth required pam_deny.so\nsession required pam_deny.so\n")]);
        let other = service("other", &files);
        assert_eq!((other.opens, verdicts(&other)), (Coverage::NoSession, vec![Verdict::Note]));
        // Of others than the first it is not known whether they are asked.
        for line in
            ["session optional pam_deny.so\n", "session required pam_unix.so\nsession required pam_deny.so\n"]
        {
            let files = BTreeMap::from([("x".to_owned(), line.to_owned())]);
            assert_eq!(service("x", &files).opens, Coverage::Host, "{line}");
        }
    }

    #[test]
    fn a_program_without_a_file_of_its_own_is_judged_by_the_lines_for_all_others() {
        let look = |files: &Files| without_file("cron", "/usr/sbin/cron", files, &BTreeSet::new());
        let covered = look(&debian("session requisite pam_session_sandbox.so\n"));
        assert_eq!((covered.opens, verdicts(&covered)), (Coverage::View, vec![Verdict::Note]));
        assert!(covered.findings[0].text.contains("/usr/sbin/cron is there, and no file for it"));
        let open = look(&debian(""));
        assert_eq!((open.opens, verdicts(&open)), (Coverage::Host, vec![Verdict::Wrong, Verdict::Note]));
        assert!(open.findings[0].help.is_some());
        // Without `other` nobody gets in.
        assert_eq!(look(&files(&[])).findings[0].verdict, Verdict::Wrong);
    }

    #[test]
    fn what_only_root_can_read_is_not_called_missing() {
        let unseen = BTreeSet::from(["gone".to_owned(), "common-session".to_owned()]);
        let mut files = debian("");
        files.remove("common-session");
        for name in ["ftp", "sshd", "chsh"] {
            let service = super::service(name, &files, &unseen);
            assert_eq!((service.opens, verdicts(&service)), (Coverage::Unseen, vec![]), "{name}");
        }
        assert_eq!(super::service("login", &files, &unseen).opens, Coverage::Host);
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
    fn a_line_for_scripts_alone_opens_no_view() {
        for (words, opens) in [
            ("", Coverage::View),
            ("scripts=no", Coverage::View),
            ("as=pam_chroot use_groups", Coverage::View),
            ("as=pam_namespace ignore_config_error", Coverage::View),
            ("scripts=only", Coverage::Host),
            ("as=pam_exec /usr/local/bin/hook", Coverage::Host),
        ] {
            let files = debian(&format!("session optional {MODULE} {words}"));
            assert_eq!(service("sshd", &files).opens, opens, "{words}");
        }
    }

    #[test]
    fn what_services_share_and_what_is_left_lying_about_is_no_service() {
        for name in ["common-session", "system-auth", "postlogin", "sshd.dpkg-new", "su~"] {
            assert!(!pam_stack::is_service(name), "{name}");
        }
        assert!(pam_stack::is_service("sshd") && pam_stack::is_service("su-l"));
    }
}
