//! Who logs in, by which profile, and what becomes of the process: what stands above every plan.

use command_line::screen::Style;
use command_line::text::{shown, wrap};

use super::{Account, Screen};
use crate::model::isolation::OnOutside;
use crate::model::policy::{Linger, Mode, OnChange, Wall};
use crate::plan;
use crate::plan::step::{Create, Like, Plan, RootSwitch, Share};

/// As wide as the names of the lines.
const NAMES: usize = 10;

impl Account<'_> {
    /// The lines above the steps.
    pub(super) fn header(&self, screen: Screen) -> String {
        let plan = self.plan;
        let subject = &plan.subject;
        let door = &subject.door;
        let mut who = format!(
            "{} (uid {}, gid {}) by {}",
            subject.name,
            subject.uid,
            subject.gid,
            shown(&door.service)
        );
        for (word, value) in [("on", &door.tty), ("from", &door.remote_host)] {
            who.extend(value.iter().map(|value| format!(" {word} {}", shown(value))));
        }
        let mut lines = vec![screen.paint(Style::Strong, &who)];
        let mut line = |name: &str, text: &str| {
            let first = format!("  {:<NAMES$}  ", name);
            let hanging = " ".repeat(NAMES + 4);
            lines.push(wrap(text, &first, &hanging, screen.width));
        };
        line("profile", &format!("{:?}, {}", plan.profile, plan.origin));
        if !self.matched.is_empty() {
            line("matched", &self.matched.join("; "));
        }
        line("root", &root(plan));
        if let Some(share) = &plan.share {
            line("view", &shared(share));
        }
        line("generation", &plan::digest(plan));
        for create in &plan.creates {
            line("makes", &made(create));
        }
        for init in &plan.init {
            let instance = init.instance.as_ref().map_or("tmpfs", |instance| instance.as_str());
            let text = format!(
                "{} {} {instance}, as root, in the new view, {}",
                init.program, init.directory, init.origin
            );
            line("prepared", &text);
        }
        if matches!(plan.root, RootSwitch::Enter { .. }) {
            line("isolation", &isolation(plan));
            line("wall", wall(plan));
            line("becomes", &identity(plan));
            let words: Vec<_> = plan.exec.arguments.iter().map(|word| format!("{word:?}")).collect();
            let program = plan.exec.program.display();
            line("runs", &format!("{program} as {}, in {}", words.join(" "), plan.exec.directory));
        }
        lines.join("\n") + "\n"
    }

    /// What was left out or is to be looked at, below the steps.
    pub(super) fn footer(&self, screen: Screen) -> String {
        let mut text = String::new();
        if !self.plan.report.notes.is_empty() {
            text.push_str("\nleft out or done another way on this host:\n");
            for note in &self.plan.report.notes {
                text.push_str(&wrap(note, "  ", "    ", screen.width));
                text.push('\n');
            }
        }
        if !self.findings.is_empty() {
            text.push_str(&screen.paint(Style::Warning, "\nto look at:\n"));
            for finding in &self.findings {
                let said = format!("{}: {} ({})", finding.origin, finding.message, finding.id);
                text.push_str(&wrap(&said, "  ", "    ", screen.width));
                text.push('\n');
                text.push_str(&wrap(&format!("help: {}", finding.help), "    ", "      ", screen.width));
                text.push('\n');
            }
        }
        text
    }
}

fn root(plan: &Plan) -> String {
    match (&plan.root, plan.namespace.base) {
        (RootSwitch::Enter { .. }, true) => "a mount namespace copied from the empty base".to_owned(),
        (RootSwitch::Enter { mode: Mode::Namespace }, false) => {
            "a mount namespace of its own (pivot_root)".to_owned()
        }
        (RootSwitch::Enter { mode: Mode::Chroot }, false) => {
            "chroot, in a private mount namespace".to_owned()
        }
        (RootSwitch::Place { at }, _) => format!("mounted on the host at {at}"),
    }
}

fn shared(share: &Share) -> String {
    let copy = if share.private_copy { "a private copy of " } else { "" };
    let change = match share.on_change {
        OnChange::Join => "joined also when the map has changed",
        OnChange::New => "a new one when the map has changed",
    };
    let end = match share.linger {
        Linger::No => "ends with its last session".to_owned(),
        Linger::Processes => "ends with its last process".to_owned(),
        Linger::Seconds(seconds) => format!("ends {seconds} s after its last session"),
    };
    format!("{copy}{}, {change}, {end}", share.name)
}

fn made(create: &Create) -> String {
    let like = match &create.like {
        Like::Said { mode, owner } => format!("{mode:04o}, for uid {} gid {}", owner.uid, owner.gid),
        Like::Path(path) => format!("like {path}"),
    };
    format!("{} where it is missing, {like}, {}", create.at, create.origin)
}

/// The level, and what is beyond it or short of the next one.
fn isolation(plan: &Plan) -> String {
    let mut text = plan.report.isolation.word().to_owned();
    let own = plan.namespace.apart.words();
    if !own.is_empty() {
        text.push_str(&format!("; {} of its own", own.join(", ")));
    }
    text.push_str(match plan.on_outside {
        OnOutside::Ignore => "",
        OnOutside::Warn => "; processes of the user outside are told to the system log",
        OnOutside::Deny => "; no login while the user has processes outside",
        OnOutside::Kill => "; processes of the user outside are ended",
    });
    text
}

fn wall(plan: &Plan) -> &'static str {
    match (plan.report.wall, plan.namespace.pid) {
        (Wall::Pidns, _) => "pidns: other processes cannot be seen",
        (Wall::Landlock, false) => "landlock: other processes can be seen, not reached",
        (Wall::Landlock, true) => "landlock and pidns",
        (Wall::None, _) => "none: any process of this user outside is a way out",
    }
}

fn identity(plan: &Plan) -> String {
    let who = &plan.identity;
    let all = caps::all().iter().fold(0, |bits, capability| bits | capability.bitmask());
    let mut parts = vec![format!("uid {} gid {}", who.uid, who.gid)];
    match who.groups.as_deref() {
        Some([_]) => parts.push("1 group".to_owned()),
        Some(groups) => parts.push(format!("{} groups", groups.len())),
        None => parts.push("the caller's groups, in a user namespace".to_owned()),
    }
    parts.push(match who.capabilities {
        0 => "no capabilities".to_owned(),
        bits if bits == all => "all capabilities".to_owned(),
        bits => format!("capability bounding set {bits:#x}"),
    });
    if who.no_new_privs {
        parts.push("no new privileges".to_owned());
    }
    if who.refuse_tiocsti {
        parts.push("no typing on terminals (TIOCSTI)".to_owned());
    }
    parts.join(", ")
}
