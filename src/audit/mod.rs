//! `sessionctl audit`: every way out of a user's session that can be found from inside, and what closes it.
//!
//! ```text
//! plan of the login -- a view of its own, the user's rights --> probe looks around --> what it could do
//! this host         ------------------------------------------------------------>  doors, processes
//!                                                                                     `-> findings
//! ```
//!
//! The probe is a process of ours that has become the user in a view like the login's: the kernel decides what it may do,
//! no rule is read. Nothing is changed, but what every login makes (`create`).
#![forbid(unsafe_code)]

mod probe;

use std::collections::BTreeMap;

use crate::check::{Finding, Report, Severity};
use crate::doctor;
use crate::error::{Error, ErrorKind};
use crate::model::isolation::OnOutside;
use crate::model::path::AbsPath;
use crate::model::policy::{Origin, Wall};
use crate::plan::Plan;
use crate::plan::step::Mount;
use crate::run::{self, Ground};
use crate::sys;

use probe::{Asked, Seen};

/// As many are named in one sentence.
const NAMED_MAX: usize = 5;
/// Sockets of services that do for their callers what root does, and whose they are.
const AS_ROOT: [(&str, &str); 12] = [
    ("/run/docker.sock", "docker"),
    ("/run/podman/podman.sock", "podman"),
    ("/run/containerd/containerd.sock", "containerd"),
    ("/run/crio/crio.sock", "cri-o"),
    ("/run/buildkit/buildkitd.sock", "buildkit"),
    ("/var/lib/lxd/unix.socket", "lxd"),
    ("/var/snap/lxd/common/lxd/unix.socket", "lxd"),
    ("/var/lib/incus/unix.socket", "incus"),
    ("/run/incus/unix.socket", "incus"),
    ("/run/snapd.socket", "snapd"),
    ("/run/libvirt/libvirt-sock", "libvirt"),
    ("/run/systemd/private", "systemd"),
];
/// Sockets below the user's runtime directory by which programs of the user's are started outside, where they run there.
const AS_USER: [(&str, &str); 4] = [
    ("systemd/private", "the user's service manager"),
    ("bus", "the user's bus"),
    ("podman/podman.sock", "podman of the user's"),
    ("docker.sock", "docker of the user's"),
];
/// Others that are worth knowing of.
const OTHERS: [(&str, &str); 3] = [
    ("/run/dbus/system_bus_socket", "the system bus"),
    ("/run/systemd/journal/stdout", "the journal"),
    ("/tmp/.X11-unix/X0", "the X server"),
];
/// Where jobs wait that are run later, outside of every view if their door is.
const SPOOLS: [&str; 4] =
    ["/var/spool/cron", "/var/spool/cron/crontabs", "/var/spool/cron/atjobs", "/var/spool/at"];

/// Looks for ways out of the session that `plan`, which shares no view, opens.
pub fn audit(plan: &Plan, ground: &Ground) -> Result<Report, Error> {
    let runtime = format!("/run/user/{}", plan.subject.uid);
    let own: Vec<(String, &str)> =
        AS_USER.iter().map(|(name, whose)| (format!("{runtime}/{name}"), *whose)).collect();
    let sockets = AS_ROOT.iter().chain(&OTHERS).map(|(path, _)| (*path).to_owned());
    let asked = Asked {
        uid: plan.subject.uid,
        sockets: sockets.chain(own.iter().map(|(path, _)| path.clone())).collect(),
        places: plan.mounts().map(|(step, _, _)| step.target.to_string()).collect(),
        spools: SPOOLS.map(str::to_owned).to_vec(),
        programs: plan.exec.search.clone(),
    };
    let told =
        run::look_around(plan, ground, || serde_json::to_vec(&probe::look(&asked)).unwrap_or_default())?;
    let seen: Seen = serde_json::from_slice(&told).map_err(|error| {
        Error::new(ErrorKind::Host, "the probe has ended without a word").caused_by(error).help("try again")
    })?;
    let mut report =
        Report { files: vec![format!("sessions of {}", plan.subject.name)], ..Report::default() };
    let findings = &mut report.findings;
    of_processes(plan, &seen, findings);
    of_sockets(plan, &seen, &own, findings);
    of_files(plan, &seen, findings);
    of_identity(plan, &seen, findings);
    of_host(plan, findings)?;
    report.sort();
    Ok(report)
}

/// The line of the map that shows `path`.
fn shows<'a>(plan: &'a Plan, path: &str) -> &'a Origin {
    let path = AbsPath::new(path).ok();
    let above = |target: &AbsPath| path.as_ref().is_some_and(|path| path == target || path.is_below(target));
    let step = plan.tree.iter().filter(|step| above(&step.target)).max_by_key(|step| step.target.depth());
    step.map_or(&plan.origin, |step| &step.origin)
}

fn named(names: &[String]) -> String {
    let mut text = names.get(..NAMED_MAX).unwrap_or(names).join(", ");
    if names.len() > NAMED_MAX {
        text.push_str(&format!(" and {} more", names.len() - NAMED_MAX));
    }
    text
}

fn of_processes(plan: &Plan, seen: &Seen, findings: &mut Vec<Finding>) {
    if !seen.reached.is_empty() {
        findings.push(
            Finding::new(
                Severity::Error,
                "process-outside",
                format!(
                    "/proc/PID/root of processes outside leads to the host's files: {}",
                    named(&seen.reached)
                ),
            )
            .at(&plan.origin)
            .help("wall = \"pidns\" (isolation = \"contained\")"),
        );
    } else if plan.report.wall == Wall::None {
        findings.push(
            Finding::new(
                Severity::Warning,
                "no-wall",
                "there is no wall: any process of this user outside will be a way out",
            )
            .at(&plan.origin)
            .help("wall = \"pidns\" (isolation = \"contained\")"),
        );
    }
    if !seen.abstract_sockets.is_empty() {
        findings.push(
            Finding::new(
                Severity::Warning,
                "abstract-socket",
                format!("abstract sockets of the host answer: {}", named(&seen.abstract_sockets)),
            )
            .at(&plan.origin)
            .help("net = \"loopback\", for who needs no network; or wall = \"landlock\" at doors other than PAM"),
        );
    }
}

fn of_sockets(plan: &Plan, seen: &Seen, own: &[(String, &str)], findings: &mut Vec<Finding>) {
    for path in &seen.sockets {
        let of = |list: &[(&str, &'static str)]| {
            list.iter().find(|(known, _)| known == path).map(|(_, whose)| *whose)
        };
        let of_own = own.iter().find(|(known, _)| known == path).map(|(_, whose)| *whose);
        let origin = shows(plan, path);
        let mask =
            format!("a further entry: target = \"{path}\", kind = \"mask\"; or do not show what holds it");
        let finding = match (of(&AS_ROOT), of_own) {
            (Some(whose), _) => Finding::new(
                Severity::Error,
                "root-socket",
                format!("{path} of {whose} answers: it does for the session what root may do"),
            )
            .help(mask),
            (None, Some(whose)) => Finding::new(
                Severity::Error,
                "user-socket",
                format!("{path} answers: {whose} starts programs where it runs itself, outside"),
            )
            .help("let it run inside (docs/pam.md), or do not show /run/user/%U"),
            (None, None) => Finding::new(
                Severity::Note,
                "socket",
                format!("{path} of {} answers", of(&OTHERS).unwrap_or("the host's")),
            )
            .help(mask),
        };
        findings.push(finding.at(origin));
    }
}

fn of_files(plan: &Plan, seen: &Seen, findings: &mut Vec<Finding>) {
    let binds: BTreeMap<&str, &Mount> =
        plan.mounts().map(|(step, what, _)| (step.target.as_str(), what)).collect();
    for path in &seen.writable {
        // What is in memory is the view's own; what is bound is there for others as well.
        let Some(Mount::Bind { source, .. }) = binds.get(path.as_str()) else { continue };
        if *source == plan.subject.home {
            continue;
        }
        findings.push(
            Finding::new(
                Severity::Note,
                "writable",
                format!("{path} is {source} of the host, and can be written to: what reads it outside reads what the session wrote"),
            )
            .at(shows(plan, path))
            .help("options = [\"ro\"], where it need not be written to"),
        );
    }
    for path in &seen.spools {
        findings.push(
            Finding::new(
                Severity::Error,
                "spool",
                format!("{path} can be written to: jobs there run outside"),
            )
            .at(shows(plan, path))
            .help("take it out of the view; cron and at open sessions by their own doors"),
        );
    }
    for device in &seen.devices {
        findings.push(
            Finding::new(Severity::Error, "raw-device", format!("{device} can be opened"))
                .at(shows(plan, device))
                .help("kind = \"dev\" has the few harmless devices; or take the option `dev` away"),
        );
    }
    if !seen.set_id.is_empty() {
        findings.push(
            Finding::new(
                Severity::Warning,
                "set-id",
                format!("programs gain rights by being executed: {}", named(&seen.set_id)),
            )
            .at(&plan.origin)
            .help("no_new_privs = true, or take the option `suid` away"),
        );
    }
}

fn of_identity(plan: &Plan, seen: &Seen, findings: &mut Vec<Finding>) {
    if !plan.identity.refuse_tiocsti && seen.obeys_tiocsti {
        findings.push(
            Finding::new(
                Severity::Warning,
                "tiocsti",
                "a program can type on the terminal that the session was started on",
            )
            .at(&plan.origin)
            .help("tiocsti = \"refuse\", or sysctl dev.tty.legacy_tiocsti=0"),
        );
    }
    if plan.identity.capabilities != 0 && plan.subject.uid != 0 && !plan.identity.no_new_privs {
        findings.push(
            Finding::new(Severity::Note, "capabilities", "the capability bounding set is not empty")
                .at(&plan.origin)
                .help("capabilities = []"),
        );
    }
    if seen.user_namespaces {
        findings.push(
            Finding::new(
                Severity::Note,
                "user-namespaces",
                "user namespaces can be made: no way out by themselves, and more of the kernel within reach",
            )
            .help("sysctl user.max_user_namespaces=0, if no program needs them"),
        );
    }
}

/// What cannot be seen from inside.
fn of_host(plan: &Plan, findings: &mut Vec<Finding>) -> Result<(), Error> {
    let doors = doctor::uncovered()?;
    if !doors.is_empty() {
        findings.push(
            Finding::new(
                Severity::Error,
                "door",
                format!("sessions of these services open no view, and are outside: {}", doors.join(", ")),
            )
            .help("sessionctl setup --method pam; `sessionctl doctor` says more of each"),
        );
    }
    let failed = |error| Error::new(ErrorKind::Host, "cannot look for processes").caused_by(error);
    let outside = run::outside_of_views(plan.subject.uid)?;
    if !outside.is_empty() {
        let level = if plan.on_outside == OnOutside::Ignore { Severity::Warning } else { Severity::Note };
        findings.push(
            Finding::new(
                level,
                "outside",
                format!("{} has processes outside of every view: {}", plan.subject.name, named(&outside)),
            )
            .at(&plan.origin)
            .help("end them; on_outside = \"deny\" lets nobody in while there are any"),
        );
    }
    let obeys = sys::kernel::obeys_tiocsti().map_err(failed)?;
    if obeys && plan.identity.refuse_tiocsti && plan.subject.door.service != "session-enter" {
        findings.push(
            Finding::new(
                Severity::Warning,
                "tiocsti-by-pam",
                "a login through PAM has no filter against typing on terminals, and this kernel obeys TIOCSTI",
            )
            .help("sysctl dev.tty.legacy_tiocsti=0"),
        );
    }
    Ok(())
}
