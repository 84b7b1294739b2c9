//! Who else can tell of a session: pam_exec, pam_script, logind. The PAM module is not in any stack here.

use vm_tests::{Guest, Payload, product};

use crate::notes::{self, Login, ensure};
use crate::suite::{Check, Verdict};

const EXEC: &str = "session optional pam_exec.so /usr/bin/session-scripts pam\n";
const SCRIPT: &str = "session optional pam_script.so dir=/etc/security/pam-script\n";

pub fn payload() -> vm_tests::Result<Payload> {
    let link = |payload: Payload, name: &str| {
        payload.link(&format!("/etc/security/pam-script/{name}"), "/usr/bin/session-scripts")
    };
    let payload = link(notes::add_to(product::payload()?), "pam_script_ses_open");
    Ok(link(payload, "pam_script_ses_close"))
}

pub fn checks() -> Vec<Check> {
    vec![
        Check::new("the package alone runs nothing", nothing),
        Check::new("pam_exec tells of a login", |guest| told_by_pam(guest, EXEC)),
        Check::new("pam_script tells of a login", |guest| told_by_pam(guest, SCRIPT)),
    ]
}

fn nothing(guest: &Guest) -> Verdict {
    product::install_package(guest)?;
    notes::fresh(guest)?;
    guest.ssh_ok("bob", "true")?;
    let notes = notes::of(guest, "bob")?;
    ensure(notes.is_empty(), format!("{notes:?}"))
}

/// sshd's stack with these lines at its end.
fn stack(guest: &Guest, lines: &str) -> Verdict {
    guest.root_ok("[ -e /root/sshd ] || cp /etc/pam.d/sshd /root/sshd; cp /root/sshd /etc/pam.d/sshd")?;
    guest.root_ok(&format!("cat >>/etc/pam.d/sshd <<'END'\n{lines}END"))?;
    Ok(())
}

/// A login that ends, and one whose sshd is killed.
fn told_by_pam(guest: &Guest, line: &str) -> Verdict {
    stack(guest, line)?;
    for is_killed in [false, true] {
        notes::fresh(guest)?;
        let login = Login::begin(guest)?;
        let id = login.environment(guest)?.remove("XDG_SESSION_ID");
        notes::wait(guest, "added", "70-then.sh")?;
        if is_killed {
            guest.root_ok("pkill -9 -f '^sshd.*: bob'")?;
        } else {
            login.end()?;
        }
        notes::wait(guest, "removed", "10W-settings.sh")?;
        notes::one_session(guest)?;
        for event in ["added", "removed"] {
            let seen = notes::environment(guest, event, "10W-settings.sh")?;
            // pam_script hands the PAM environment to nobody.
            let knows = line == SCRIPT || (id.is_some() && seen.get("XDG_SESSION_ID") == id.as_ref());
            ensure(knows, format!("{event}: {id:?}, {seen:?}"))?;
            ensure(
                seen.get("SESSION_SERVICE").is_some_and(|service| service == "sshd"),
                format!("{seen:?}"),
            )?;
        }
    }
    stack(guest, "")
}
