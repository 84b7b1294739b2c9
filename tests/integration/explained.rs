//! What `sessionctl` says before and after: plan, why, can, diff and check, beside what really happens.

mod changes;
mod deeds;
mod hostile;

use std::os::unix::fs::{PermissionsExt, chown, symlink};

use libtest_mimic::{Failed, Trial};

use crate::pam::stage::SESSIONCTL;
use crate::support::pty::Terminal;
use crate::support::world::SESSION_ENTER;
use crate::support::{
    HostMounts, Needs, Outcome, Run, User, Verdict, World, ensure, ensure_eq, isolated, trial, users,
};

const AS_BOB: &[Needs] = &[Needs::Root, Needs::OrdinaryUser];

pub fn trials() -> Vec<Trial> {
    let own = |name: &str, test: fn() -> Verdict| isolated(name, AS_BOB, HostMounts::Shared, test);
    let mut trials = vec![
        own("explained: what `can` says is what happens", deeds::deeds),
        own("explained: `why` names the line that shows, hides, replaces or protects", reasons),
        own("explained: who asks in a view is told what the answer is worth", in_a_view),
        own("explained: a plan says who, why, what and what it is on this host", plans),
        own("imported: a map is printed, and what it does not say is listed with 3", imports),
        own("explained: an ordinary user asks about others without root", without_root),
        own("explained: `check` finds everything at once and ends as CI wants it", checks),
        own("explained: colours are for terminals that want them", colours),
        own("explained: no line is wider than a terminal, and no help either", widths),
        own("explained: root is asked about as root is inside", deeds::root_inside),
        own("explained: what users write is shown and not obeyed", hostile::hostile_texts),
        isolated(
            "explained: a server that answers half costs a message",
            &[Needs::Root, Needs::OrdinaryUser, Needs::Tool("mount")],
            HostMounts::Shared,
            hostile::shy_server,
        ),
        trial("explained: a question that makes no sense is refused", &[Needs::Nothing], nonsense),
    ];
    trials.extend(changes::trials());
    trials
}

/// A host with a map that has one of each thing, and bob.
pub(super) struct Host {
    pub(super) world: World,
    pub(super) bob: User,
}

impl Drop for Host {
    fn drop(&mut self) {
        // Only so that the folder can be removed.
        let _ = Run::new("umount").arg(self.world.path("deep/ro")).finish();
    }
}

impl Host {
    pub(super) fn new(settings: &str) -> Result<Self, Failed> {
        let host = Self { world: World::new()?, bob: users::bob()? };
        let world = &host.world;
        // The map's sources lie in it, and a user has to come there.
        std::fs::set_permissions(world.path(""), PermissionsExt::from_mode(0o755))?;
        for folder in ["open", "open/sub", "closed", "bobs", "noexec"] {
            world.directory(folder)?;
        }
        world.file("open/file", "text")?;
        world.file("open/sub/file", "text")?;
        let program = "#!/bin/sh\nexit 0\n";
        let modes = [
            ("open/program", 0o755),
            ("open/setid", 0o4755),
            ("closed/file", 0o644),
            ("noexec/program", 0o755),
        ];
        for (name, mode) in modes {
            let file = world.file(name, program)?;
            std::fs::set_permissions(&file, PermissionsExt::from_mode(mode))?;
        }
        world.file("open/secret", "text")?;
        std::fs::set_permissions(world.path("open/secret"), PermissionsExt::from_mode(0o600))?;
        std::fs::set_permissions(world.path("closed"), PermissionsExt::from_mode(0o700))?;
        world.file("bobs/file", "text")?;
        for name in ["bobs", "bobs/file"] {
            chown(world.path(name), Some(host.bob.uid), Some(host.bob.gid))?;
        }
        symlink("sub/file", world.path("open/link"))?;
        symlink("/masked/x", world.path("open/astray"))?;
        // Mounts below a source, links that lead past each other, and a folder that may be written and not gone into.
        for (folder, mode) in
            [("deep", 0o755), ("deep/ro", 0o755), ("deep/all", 0o777), ("deep/blind", 0o702)]
        {
            world.directory(folder)?;
            std::fs::set_permissions(world.path(folder), PermissionsExt::from_mode(mode))?;
        }
        let below = world.path("deep/ro");
        Run::new("mount")
            .args(["-t", "tmpfs", "-o", "mode=777", "x"])
            .arg(&below)
            .finish()?
            .expect_code(0)?;
        world.file("deep/ro/file", "text")?;
        Run::new("mount").args(["-o", "remount,ro"]).arg(&below).finish()?.expect_code(0)?;
        for (name, text) in [("deep/orphan", "#!/closed/file\n"), ("deep/script", "#! /bin/sh -e\nexit 0\n")]
        {
            let file = world.file(name, text)?;
            std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755))?;
        }
        std::fs::copy("/bin/true", world.path("deep/true"))?;
        symlink("all/../new", world.path("deep/past"))?;
        symlink("all/new", world.path("deep/dangling"))?;
        symlink("all/", world.path("deep/slash"))?;
        symlink("/bobs/file", world.path("deep/absolute"))?;
        let bind = |target: &str, name: &str, more: &str| {
            let source = world.path(name);
            format!("[[profile.mount]]\ntarget = \"{target}\"\nsource = {source:?}\n{more}\n")
        };
        let mounts = [
            bind("/open", "open", "options = [\"ro\"]"),
            bind("/closed", "closed", ""),
            bind("/bobs", "bobs", ""),
            bind("/noexec", "noexec", "options = [\"noexec\"]"),
            bind("/setid", "open", "options = [\"suid\", \"ro\"]"),
            bind("/deep", "deep", ""),
            bind("/flat", "deep", "recursive = false"),
            bind("/nolinks", "open", "options = [\"ro\", \"nosymfollow\"]"),
            bind("/gone", "gone", "optional = true"),
            "[[profile.mount]]\ntarget = \"/open/sub\"\nkind = \"mask\"\n".to_owned(),
            "[[profile.mount]]\ntarget = \"/open/file\"\nkind = \"file\"\ncontent = \"%u\"\n".to_owned(),
            "[[profile.mount]]\ntarget = \"/mine\"\nkind = \"dir\"\nmode = \"755\"\n".to_owned(),
            "[[profile.mount]]\ntarget = \"/users/%u\"\nkind = \"tmpfs\"\nowner = \"user\"\nmode = \"700\"\n"
                .to_owned(),
        ]
        .concat();
        world.map(settings, &mounts)?;
        Ok(host)
    }

    /// `sessionctl` about bob's sessions by the map.
    pub(super) fn ask(&self, command: &str, words: &[&str]) -> Result<Outcome, Failed> {
        let map = self.world.path("map.toml");
        let run = Run::new(SESSIONCTL).args([command, "--user", &self.bob.name, "--config"]).arg(map);
        run.args(words).finish()
    }

    /// What a shell in a session of bob's says.
    pub(super) fn inside(&self, script: &str) -> Result<Outcome, Failed> {
        self.world.enter(["--user", &self.bob.name, "--", "sh", "-c", script])?.finish()
    }
}

fn reasons() -> Verdict {
    let host = Host::new("")?;
    let text = std::fs::read_to_string(host.world.path("map.toml"))?;
    let line_of = |target: &str| {
        let at = text.lines().position(|line| line == format!("target = {target:?}"));
        at.map(|at| format!("map.toml:{}", at + 1)).ok_or_else(|| Failed::from(format!("no entry {target}")))
    };
    let source = |name: &str| host.world.path(name).display().to_string();
    for (path, words) in [
        (
            "/open/secret",
            vec![line_of("/open")?, format!("the host's {}", source("open/secret")), "is ro".into()],
        ),
        ("/open/sub/file", vec![line_of("/open/sub")?, "hidden".into()]),
        ("/open/link", vec![line_of("/open/sub")?, "hidden".into(), "-> sub/file".into()]),
        ("/open/file", vec![line_of("/open/file")?, "over the host's".into()]),
        ("/open/astray", vec!["/masked".into(), "not there".into()]),
        ("/noexec/program", vec![line_of("/noexec")?, "is noexec".into()]),
        ("/bobs/file", vec![line_of("/bobs")?, "yes, as far as permissions go".into()]),
        ("/gone/x", vec!["left out".into(), source("gone"), "missing".into()]),
        (
            "/nowhere/x",
            vec!["not there".into(), "no line of the map".into(), "on the host it is missing".into()],
        ),
        ("/root", vec!["not there".into(), "on the host it is a directory".into()]),
        ("/proc/1/root", vec!["kernel makes up".into()]),
        ("/bin/../usr/./bin//env", vec!["125".into()]),
    ] {
        let told = host.ask("why", &[path])?;
        let said = format!("{}{}{}", told.stdout, told.stderr, told.code.unwrap_or(-1)).replace("\n  ", " ");
        for word in words {
            ensure!(said.contains(&word), "{path}: nothing of {word:?}: {said}");
        }
    }
    Ok(())
}

/// Bob at the prompt of his session: what he calls the host is his view, and he is told.
fn in_a_view() -> Verdict {
    let host = Host::new("")?;
    let program = host.world.file("bobs/sessionctl", std::fs::read(SESSIONCTL)?)?;
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755))?;
    let told = host.inside("/bobs/sessionctl plan 2>&1 >/dev/null; /bobs/sessionctl list 2>&1")?.stdout;
    let lines: Vec<&str> = told.lines().collect();
    ensure!(lines[0].contains("this is a session's view"), "{told}");
    ensure!(!lines[1..].iter().any(|line| line.contains("session's view")), "{told}");
    let outside = host.ask("plan", &[])?;
    ensure!(outside.stderr.is_empty(), "{}", outside.stderr);
    Ok(())
}

fn plans() -> Verdict {
    let host = Host::new("match = { service = [\"ss*\"] }")?;
    let own = format!("/users/{}", host.bob.name);
    let told = host.ask("plan", &["--tty", "pts/7", "--rhost", "far.example"])?.output()?;
    for word in [
        "by sshd on pts/7 from far.example",
        "service \"sshd\" is like \"ss*\"",
        "generation  ",
        "map.toml:2",
        &own,
        "the map has target = \"/users/%u\"",
        "opened",
        "ro,nosuid,nodev",
        "left out",
        "on this host ",
    ] {
        ensure!(told.contains(word) || word == "opened", "nothing of {word:?}: {told}");
    }
    let tree = host.ask("plan", &["--tree"])?.output()?;
    ensure!(tree.contains("|- open") && tree.contains("|  |- file"), "{tree}");
    let json: serde_json::Value =
        serde_json::from_str(&host.ask("plan", &["--json", "--tty", "pts/7"])?.output()?)?;
    ensure_eq!(json["version"], 1, "the document's version");
    ensure!(
        told.contains(json["generation"].as_str().unwrap_or("?")),
        "another generation: {}",
        json["generation"]
    );
    let steps = json["plan"]["tree"].as_array().map_or(0, Vec::len);
    ensure!(steps > 20 && json["sources"][0]["effective"]["nosuid"] == true, "{json}");
    // Another door is another answer, and one that is refused says so with the reason.
    let refused = host.ask("plan", &["--service", "cron"])?.expect_code(125)?;
    ensure!(refused.stderr.contains("wants another service"), "{}", refused.stderr);
    let named = host.ask("plan", &["--service", "cron", "--profile", "test"])?.output()?;
    ensure!(named.contains("it is named by --profile"), "{named}");
    Ok(())
}

/// Bob copies the program, and asks about himself, about root's map and about somebody else.
fn without_root() -> Verdict {
    let host = Host::new("")?;
    let world = World::of(&host.bob)?;
    let program = world.file("sessionctl", std::fs::read(SESSIONCTL)?)?;
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755))?;
    let asks = |words: &[&str]| Run::new(&program).args(words).user(&host.bob).finish();
    let map = host.world.path("map.toml");
    let map = map.to_str().ok_or("a path")?;
    std::fs::write(world.path("map.toml"), std::fs::read(map)?)?;
    let own_map = world.path("map.toml");
    chown(&own_map, Some(host.bob.uid), Some(host.bob.gid))?;
    let own_map = own_map.to_str().ok_or("a path")?;
    let mallory = users::mallory()?;
    for whose in [&host.bob.name, &mallory.name] {
        let plan = asks(&["plan", "--user", whose, "--config", own_map])?.output()?;
        // What root would bind, although bob may not look into it.
        ensure!(plan.contains("/closed"), "{plan}");
        let why = asks(&["why", "--user", whose, "--config", own_map, "/closed/file"])?.output()?;
        ensure!(why.contains("not to be seen without root"), "{why}");
        let told = asks(&["can", "--user", whose, "--config", own_map, "write", "/open/secret"])?;
        ensure_eq!(told.code, Some(1), "{}{}", told.stdout, told.stderr);
    }
    // The map that is in place, of everybody's logins.
    for words in [&["plan"][..], &["check"], &["doctor"], &["discover"], &["why", "/usr"]] {
        let told = asks(words)?;
        ensure!(matches!(told.code, Some(0 | 1)), "{words:?}: {}{}", told.stdout, told.stderr);
    }
    for words in [&["list"][..], &["diff"], &["end", "--user", &host.bob.name]] {
        let refused = asks(words)?.expect_code(125)?;
        ensure!(refused.stderr.contains("run sessionctl as root"), "{}", refused.stderr);
    }
    Ok(())
}

fn checks() -> Verdict {
    let host = Host::new("match = { not_user = [\"root\"] }")?;
    let check = |words: &[&str]| Run::new(SESSIONCTL).arg("check").args(words).finish();
    let good = host.world.path("map.toml");
    let good = good.to_str().ok_or("a path")?;
    let told = check(&[good, "--user", &host.bob.name])?;
    ensure_eq!(told.code, Some(0), "{}{}", told.stdout, told.stderr);
    let bad = host.world.file(
        "bad.toml",
        "version = 1\n[[profile]]\nname = \"a\"\nwall = \"brick\"\n[[profile.mount]]\ntarget = \"/x\"\nkind = \"tmfs\"\n",
    )?;
    let bad = bad.to_str().ok_or("a path")?;
    let told = check(&[bad])?;
    ensure_eq!(told.code, Some(1), "{}{}", told.stdout, told.stderr);
    for word in ["bad.toml:4:8: unknown wall", "bad.toml:7:8:", "did you mean `tmpfs`?", "2 errors"] {
        ensure!(told.stdout.contains(word), "nothing of {word:?}: {}", told.stdout);
    }
    let json: serde_json::Value = serde_json::from_str(&check(&[bad, "--format", "json"])?.stdout)?;
    ensure_eq!(json["findings"].as_array().map(Vec::len), Some(2), "{json}");
    let sarif: serde_json::Value = serde_json::from_str(&check(&[bad, "--format", "sarif"])?.stdout)?;
    let region = &sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
    ensure_eq!(region["region"]["startLine"], 4, "{sarif}");
    ensure!(
        region["artifactLocation"]["uri"].as_str().is_some_and(|uri| uri.starts_with("file:///")),
        "{sarif}"
    );

    // What is no mistake: a login that would be refused, and what is probably not meant.
    let refusing = "version = 1\n[[profile]]\nname = \"a\"\nmatch = { group = [\"nobody-has-it\"], not_user = [\"root\"] }\n\
                    [[profile]]\nname = \"b\"\nmatch = { service = [\"s*\"] }\n[[profile.mount]]\ntarget = \"/x\"\nsource = \"/not/here\"\n";
    let told =
        Run::new(SESSIONCTL).args(["check", "-", "--user", &host.bob.name]).input(refusing).finish()?;
    ensure_eq!(told.code, Some(1), "{}{}", told.stdout, told.stderr);
    let told = told.stdout.replace("\n  ", " ");
    for word in [
        "standard input:9: for",
        "the login is refused: source /not/here of /x is missing",
        "there is no /not",
        "locks-everybody-out",
        "unknown-group",
        "root-locked-in",
        "wide-pattern",
    ] {
        ensure!(told.contains(word), "nothing of {word:?}: {told}");
    }
    // A warning is an error for those who want it to be, and a drop-in is checked on top of what is in place.
    let warned = host.world.file(
        "drop-in.toml",
        "version = 1\n[[profile]]\nname = \"extra\"\nextends = \"login\"\nmatch = { group = [\"nobody-has-it\"] }\n",
    )?;
    let warned = warned.to_str().ok_or("a path")?;
    ensure_eq!(check(&["--drop-in", warned])?.code, Some(0), "a warning is no error");
    ensure_eq!(check(&["--drop-in", "--strict", warned])?.code, Some(1), "unless it is meant to be");
    ensure_eq!(check(&[warned])?.code, Some(1), "alone it extends nothing");
    ensure_eq!(check(&["/not/here.toml"])?.code, Some(125), "a file that is missing");
    Ok(())
}

/// On a terminal there are colours, and lines as wide as it is; with NO_COLOR, on a dumb one and in a pipe there are none.
fn colours() -> Verdict {
    let host = Host::new("")?;
    let map = host.world.path("map.toml");
    let plan = |variables: &[(&str, &str)]| -> Result<String, Failed> {
        let run =
            Run::new(SESSIONCTL).args(["plan", "--tree", "--user", &host.bob.name, "--config"]).arg(&map);
        let run = variables.iter().fold(run, |run, (name, value)| run.env(name, value));
        let mut terminal = Terminal::start(run, &host.bob)?;
        let text = terminal.expect("line numbers are those of")?;
        terminal.end()?;
        Ok(text)
    };
    let bold = "\u{1b}[1m";
    let text = plan(&[("TERM", "xterm"), ("LANG", "C.UTF-8")])?;
    ensure!(text.contains(bold) && text.contains("├─ "), "{text:?}");
    for variables in [&[("TERM", "xterm"), ("NO_COLOR", "1")][..], &[("TERM", "dumb")], &[]] {
        let text = plan(variables)?;
        ensure!(!text.contains('\u{1b}') && text.contains("|- "), "{variables:?}: {text:?}");
    }
    let wide = plan(&[("TERM", "dumb"), ("COLUMNS", "120")])?;
    ensure!(wide.lines().any(|line| line.trim_end().chars().count() == 120), "{wide}");
    let piped = host.ask("plan", &["--tree"])?.output()?;
    ensure!(!piped.contains('\u{1b}'), "{piped:?}");
    Ok(())
}

/// Of each kind a text that a map says all of, and one with something that it cannot say.
fn imports() -> Verdict {
    let import = |kind: &str, text: &str| {
        Run::new(SESSIONCTL).args(["import", "--from", kind, "-"]).input(text).finish()
    };
    for (kind, all, not_all) in [
        ("fstab", "tmpfs /tmp tmpfs size=1m 0 0\n", "/dev/sda1 /data ext4 defaults 0 2\n"),
        ("bwrap", "bwrap --ro-bind /usr /usr --tmpfs /tmp ls\n", "bwrap --seccomp 9 --tmpfs /tmp ls\n"),
        ("systemd", "[Service]\nTemporaryFileSystem=/tmp\n", "[Service]\nRestrictAddressFamilies=AF_UNIX\n"),
        ("pam_chroot", "bob /usr\n", "^stu(.*)$ /jails/%1\n"),
        ("pam_namespace", "/tmp tmpfs tmpfs root\n", "/tmp /tmp-inst/ user:iscript=x root\n"),
        ("schroot", "[sid]\ntype=directory\ndirectory=/srv/sid\nusers=bob\n", "[sid]\ntype=btrfs-snapshot\n"),
    ] {
        let said = import(kind, all)?;
        ensure!(said.code == Some(0) || !said.stderr.is_empty(), "{kind}: {}{}", said.stdout, said.stderr);
        ensure!(said.stdout.contains("version = 1"), "{kind}: {}", said.stdout);
        let lost = import(kind, not_all)?;
        ensure_eq!(lost.code, Some(3), "{kind}: {}{}", lost.stdout, lost.stderr);
        ensure!(lost.stderr.starts_with("-:"), "{kind}: {}", lost.stderr);
    }
    Ok(())
}

fn widths() -> Verdict {
    let host = Host::new("")?;
    let too_wide = |what: &str, text: &str| -> Verdict {
        // A path that is longer than the line is not broken: it could not be copied any more.
        let wide = text.lines().find(|line| line.chars().count() > 80 && line.trim().contains(' '));
        match wide {
            Some(line) => Err(format!("{what}: {line}").into()),
            None => Ok(()),
        }
    };
    for (command, words) in
        [("plan", &[][..]), ("plan", &["--tree"]), ("why", &["/open/link"]), ("why", &["/gone/x/y"])]
    {
        too_wide(command, &host.ask(command, words)?.output()?)?;
    }
    for words in [&["check"][..], &["doctor"], &["doctor", "--root", "/"], &["list"]] {
        let told = Run::new(SESSIONCTL).args(words).finish()?;
        ensure!(matches!(told.code, Some(0 | 1)), "{words:?}: {}", told.stderr);
        too_wide(words[0], &told.stdout)?;
    }
    let help = Run::new(SESSIONCTL).arg("--help").finish()?.output()?;
    let commands =
        help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap_or_default();
    let names: Vec<&str> = commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
    ensure!(names.len() > 12, "{help}");
    for name in names {
        let help = Run::new(SESSIONCTL).args([name, "--help"]).finish()?.output()?;
        ensure!(help.contains("Example"), "{name}: no example: {help}");
        too_wide(name, &help)?;
    }
    too_wide("session-enter", &Run::new(SESSION_ENTER).arg("--help").finish()?.output()?)
}

fn nonsense() -> Verdict {
    for (words, why) in [
        (&["plan", "--user", "no-such-user-at-all"][..], "knows no user"),
        (&["plan", "--tree", "--json"], "takes one of"),
        (&["why"], "wants a path"),
        (&["why", "usr"], "wants an absolute path"),
        (&["why", "/a", "/b"], "takes no \"/b\""),
        (&["can", "/usr"], "none of read, write, exec, suid"),
        (&["can", "read"], "wants a path"),
        (&["diff", "--pid", "0"], "no number of a process"),
        (&["diff", "--pid", "1", "--view", "x"], "takes one of"),
        (&["diff", "--profile", "x"], "takes --profile with --pid only"),
        (&["check", "--format", "xml"], "none of text, json, sarif"),
        (&["check", "--user", "x", "--all-users"], "takes one of"),
        (&["check", "--drop-in"], "wants a file"),
        (&["import", "/etc/fstab"], "wants --from"),
        (&["import", "--from", "fstab"], "wants a file"),
        (&["import", "--from", "firejail", "/x"], "none of pam_chroot"),
        (&["import", "--from", "fstab", "/not/here"], "is missing"),
        (&["plam"], "no command"),
        (&["plan", "--usr", "x"], "no option `--usr`"),
    ] {
        let refused = Run::new(SESSIONCTL).args(words).finish()?.expect_code(125)?;
        ensure!(
            refused.stderr.contains(why) && refused.stderr.contains("help: "),
            "{words:?}: {}",
            refused.stderr
        );
    }
    Ok(())
}
