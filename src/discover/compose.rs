//! The map, from what was found. Pure: the same host gives the same text.

use super::fit::{Misfit, fit};
use super::found::{Found, is_first};
use super::{homes, leads, services, storage, system};
use crate::paper::{Paper, doubled, listed, quoted, shown, shown_up_to, wrapped};

/// Its members are left alone.
const BREAK_GLASS: &str = "session-sandbox-exempt";
/// The last id that is an ordinary user's, and those in between that are nobody's.
const UID_LAST: u32 = u32::MAX - 2;
const NOBODY: (u32, u32) = (65_534, 65_535);
/// Services by which nobody comes in.
const NO_DOORS: [&str; 9] =
    ["chage", "chfn", "chpasswd", "chsh", "groupmems", "newusers", "passwd", "polkit-1", "ppp"];
/// Services of those who log in at a screen.
const GREETERS: [&str; 7] = ["gdm", "lightdm", "sddm", "kde", "xdm", "lxdm", "greetd"];

/// Writes the map of a host.
pub fn compose(found: &Found) -> String {
    let mut body = Paper::default();
    system::write_programs(found, &mut body);
    homes::write(found, &mut body);
    system::write_kernel(found, &mut body);
    system::write_temporary(found, &mut body);
    system::write_run(found, &mut body);
    leads::write(found, &mut body);
    services::write_answering(found, &mut body);
    services::write_data(found, &mut body);
    storage::write(found, &mut body);
    leads::write_tops(found, &mut body);
    services::write_offers(found, &mut body);
    services::write_left_out(found, &mut body);
    let misfits = fit(found, &mut body);

    let mut head = Paper::default();
    head.lines(header(found));
    head.lines("version = 1\n");
    write_defaults(found, &mut head);
    write_profile(found, &misfits, &mut head);

    let mut foot = Paper::default();
    foot.heading("By hand");
    foot.comment(
        "`session-enter`, typed by hand, works for everybody, root as well: who types it asks for it.",
    );
    foot.lines(
        "[[profile]]\nname = \"command\"\nextends = \"login\"\nmatch = { service = [\"session-enter\"] }\n",
    );
    [head, body, foot].map(|paper| paper.text()).join("\n")
}

fn header(found: &Found) -> String {
    let mut text = wrapped(
        "The map of session-sandbox for this host, written by `sessionctl discover` from what it found.",
    );
    text.push_str("#\n");
    text.push_str(&wrapped("It rests on:"));
    let count = |count: usize, what: &str| match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        many => format!("{many} {what}s"),
    };
    let table = if found.mounts.is_empty() {
        "was not looked at, or is empty"
    } else {
        "servers, disks, automounters"
    };
    let users = found.ordinary().filter(|user| user.logs_in).count();
    let facts = [
        ("/", "which directories are there, and which are links".to_owned()),
        ("the mount table", table.to_owned()),
        ("/etc/fstab", count(found.fstab.len(), "entry").replace("entrys", "entries")),
        ("/etc/auto.master", count(found.autofs.len(), "mount point")),
        (
            "/etc/passwd",
            format!("{} who log in", count(users, "ordinary user"))
                .replace("1 ordinary user who log", "1 ordinary user who logs"),
        ),
        ("/etc/login.defs", "where ordinary users begin".to_owned()),
        ("/etc/nsswitch.conf", "who answers for names".to_owned()),
        ("/etc/pam.d", count(found.pam.len(), "service")),
        ("/run, /var, /dev", "which services and devices are there".to_owned()),
    ];
    for (what, how) in facts {
        text.push_str(&format!("#   {what:<20} {how}\n"));
    }
    if !found.unread.is_empty() {
        text.push_str("#\n");
        for (path, why) in found.unread.iter().take(8) {
            text.push_str(&wrapped(&format!(
                "Not looked at: {}, because: {}.",
                shown(path),
                shown_up_to(why, 300)
            )));
        }
    }
    text.push_str("#\n");
    text.push_str(&wrapped(
        "A directory service may know of more users than /etc/passwd, with homes elsewhere.",
    ));
    text.push_str("#\n# Check it:  sessionctl check FILE\n# Try it:    session-enter --config FILE --user NAME --dry-run\n");
    text.push_str("# Use it:    put it at /etc/session-sandbox/mounts.toml, root's and writable by\n#            nobody else; it is read in place of the map of the package\n#\n");
    text.push_str(&wrapped(
        "Lines that begin with `#` and a space explain. Lines that begin with `#` alone are examples: take the `#` away. \
         All keys are explained in the map of the package, /usr/lib/session-sandbox/mounts.toml.",
    ));
    text
}

fn write_defaults(found: &Found, paper: &mut Paper) {
    paper.heading("Settings");
    let mut text = wrapped(
        "All logins of a user share one root: the same /tmp, the same processes. With scope = \"session\" each login has \
         its own.",
    );
    text.push_str("[defaults]\nscope = \"user\"\n\n");
    text.push_str(&wrapped("After the last logout what still runs is ended. With \"processes\" it goes on (tmux, say); \"10m\" is a time."));
    text.push_str("linger = \"no\"\n\n");
    text.push_str(&wrapped("A session sees its own processes alone, and none outside is a way out."));
    if found.pam.iter().any(|name| name == "systemd-user") {
        text.push_str(&wrapped(
            "Found: `systemd --user` (/etc/pam.d/systemd-user). Behind this wall it does not start. With wall = \"none\" it \
             does, within the root, and users can leave the root by way of processes of theirs outside.",
        ));
    }
    text.push_str("wall = \"pidns\"\n");
    if let Some(said) = &found.login.umask {
        text.push_str(&format!(
            "\n{}umask = \"{:03o}\"\n",
            wrapped(&format!("By {}.", shown(&said.place))),
            said.value
        ));
    }
    paper.lines(text);
    let mut folders: Vec<String> = Vec::new();
    if system::has_generations(found) {
        folders.extend(["/run/current-system/sw/bin", "/run/current-system/profile/bin"].map(str::to_owned));
        folders.push("/etc/profiles/per-user/%u/bin".to_owned());
    }
    if found.has("/nix") {
        folders.push("/nix/var/nix/profiles/default/bin".to_owned());
    }
    let said = found.login.path.as_ref().filter(|said| !said.value.chars().any(char::is_control));
    if said.is_none() && folders.is_empty() {
        return;
    }
    let place = said.map_or_else(
        || "Where users look for programs.".to_owned(),
        |said| format!("Where users look for programs, by {}.", shown(&said.place)),
    );
    let rest = said.map_or_else(|| "/usr/local/bin:/usr/bin:/bin".to_owned(), |said| doubled(&said.value));
    folders.push(rest);
    let more = if folders.len() > 1 { " The store's come first." } else { "" };
    paper.lines(format!(
        "{}[defaults.set_env]\nPATH = {}\n#XDG_RUNTIME_DIR = \"/run/user/%U\"\n",
        wrapped(&format!("{place}{more}")),
        quoted(&folders.join(":"))
    ));
}

fn write_profile(found: &Found, misfits: &[Misfit], paper: &mut Paper) {
    paper.heading("Who gets a private root");
    let doors: Vec<&String> = found.pam.iter().filter(|name| !NO_DOORS.contains(&name.as_str())).collect();
    if !doors.is_empty() {
        paper.comment(format!(
            "All PAM services lead here. Found: {}. `sessionctl doctor` says which of them ask for a root at all. To begin \
             with some of them, write service = [\"sshd\"].",
            listed(doors)
        ));
    }
    let greeters = found.pam.iter().filter(|name| GREETERS.iter().any(|greeter| name.starts_with(greeter)));
    let greeters: Vec<&String> = greeters.collect();
    if !greeters.is_empty() {
        paper.comment(format!(
            "Found: logins at a screen ({}). A desktop wants more of the host than is shown here, and its user manager \
             outside of a wall. Put those users into the group {BREAK_GLASS}, or this host's desktop does not start.",
            listed(greeters)
        ));
    }
    let mut text = String::from("[[profile]]\nname = \"login\"\n\n[profile.match]\n");
    let first = found.uid_min();
    let from = match &found.login.uid_min {
        Some(said) if is_first(said.value) => format!("by {}", shown(&said.place)),
        Some(said) => format!("though {} says {}, which is none", shown(&said.place), said.value),
        None => "as on most hosts; /etc/login.defs does not say".to_owned(),
    };
    text.push_str(&wrapped(&format!(
        "Ordinary users begin at {first}, {from}. Below are services, and {} and {} are nobody. A directory service may \
         have any id above.",
        NOBODY.0, NOBODY.1
    )));
    if let Some(said) =
        found.login.uid_max.as_ref().filter(|said| said.value > first && said.value < NOBODY.0)
    {
        text.push_str(&wrapped(&format!(
            "Users of this host alone: uid = [\"{first}-{}\"], by {}.",
            said.value,
            shown(&said.place)
        )));
    }
    let services: Vec<&str> = found
        .users
        .iter()
        .filter(|user| user.uid > 0 && user.uid < first && user.logs_in)
        .map(|user| user.name.as_str())
        .collect();
    if !services.is_empty() {
        text.push_str(&wrapped(&format!(
            "So these are left alone, though they have a shell: {}.",
            listed(services)
        )));
    }
    text.push_str(&format!("uid = [\"{first}-{}\", \"{}-{UID_LAST}\"]\n\n", NOBODY.0 - 1, NOBODY.1 + 1));
    text.push_str(&wrapped("Root always gets in, whatever this map says: somebody has to correct it."));
    for misfit in misfits.iter().take(8) {
        text.push_str(&wrapped(&format!(
            "{} is left alone: the home, {}, is something else inside.",
            shown(&misfit.user),
            shown(&misfit.home)
        )));
    }
    let mut names = vec![quoted("root")];
    names.extend(misfits.iter().map(|misfit| quoted(&misfit.user)));
    text.push_str(&format!("not_user = [{}]\nnot_uid = [\"0\"]\n\n", names.join(", ")));
    text.push_str(&break_glass(found));
    text.push_str(&format!("not_group = [{}]\n", quoted(BREAK_GLASS)));
    paper.lines(text);
}

fn break_glass(found: &Found) -> String {
    let group = |name: &str| found.groups.iter().find(|group| group.name == name);
    let mut text = match group(BREAK_GLASS) {
        Some(known) if !known.members.is_empty() => {
            wrapped(&format!("Nor are members of this group kept in: {}.", listed(&known.members)))
        }
        Some(_) => wrapped("Nor are members of this group kept in; it has none yet."),
        None => {
            wrapped("Nor are members of this group kept in.")
                + &wrapped(&format!("The host has no such group yet: groupadd --system {BREAK_GLASS}"))
        }
    };
    for name in ["sudo", "wheel", "admin"] {
        if let Some(known) = group(name).filter(|known| !known.members.is_empty()) {
            text.push_str(&wrapped(&format!(
                "Members of {name} ({}) cannot use sudo inside. Who administers this host belongs into the group as well.",
                listed(&known.members)
            )));
        }
    }
    text
}
