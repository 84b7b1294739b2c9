//! Session scripts at a login through PAM: what waits, what arrives, what is refused, and what runs at the end.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use super::stage::{SERVICE, Stage};
use super::{SESSION_ERROR, own};
use crate::support::{Run, Verdict, ensure, ensure_eq, until};

/// PAM_SYSTEM_ERR and PAM_SERVICE_ERR.
const SYSTEM_ERROR: i32 = 4;
const SERVICE_ERROR: i32 = 3;

pub fn trials() -> Vec<Trial> {
    vec![
        own("scripts: what they set arrives, and the end undoes it once", variables_and_end),
        own("scripts: what is mounted before a view is in it", mounts_are_bound),
        own("scripts: without a view, and without a profile", alone),
        own("scripts: a login that was killed has its end run once", killed),
        own("scripts: one that is required refuses the login", refused),
        own("scripts: in the session's view", in_view),
        own("scripts: a slow one is waited for, a hanging one is not", slow),
        own("scripts: a program that was killed over its beginning", killed_helper),
        own("scripts: root and the exempt group run none, a mistake refuses others", exempt),
        own("scripts: several lines of one stack, each its own", several_lines),
        own("scripts: a line of pam_exec", as_pam_exec),
        own("scripts: a line of pam_script", as_pam_script),
        own("scripts: a line of the older pam_script", as_on_session),
        own("scripts: a line of the older pam_script makes a folder the root", chroot),
    ]
}

/// A stage with folders of scripts, in which a script adds lines to one log.
struct Scripts {
    stage: Stage,
    folder: PathBuf,
}

impl Scripts {
    fn new(settings: &str, mounts: &str, options: &str) -> Result<Self, libtest_mimic::Failed> {
        let stage = Stage::new(settings, mounts)?;
        let folder = stage.world.path("session.d");
        for name in ["", "first", "added", "removed", "last"] {
            std::fs::create_dir(folder.join(name))?;
        }
        let scripts = Self { stage, folder };
        scripts.configure("")?;
        scripts.service(options)?;
        Ok(scripts)
    }

    fn configure(&self, more: &str) -> Verdict {
        let text =
            format!("version = 1\n[defaults]\ndirectory = {:?}\ngate = \"none\"\n{more}\n", self.folder);
        Ok(std::fs::write(self.stage.world.path("scripts.conf"), text)?)
    }

    fn service(&self, options: &str) -> Verdict {
        let configuration = self.stage.world.path("scripts.conf");
        self.stage.service(&format!("scriptsconf={} {options}", configuration.display()))
    }

    /// A script that says its name, its event and `$X`, and does this.
    fn script(&self, name: &str, text: &str) -> Verdict {
        let path = self.folder.join(name);
        let log = self.stage.world.path("log");
        let text = format!("#!/bin/sh\necho \"${{0##*/}} $SESSION_EVENT X=$X\" >> {log:?}\n{text}\n");
        std::fs::write(&path, text)?;
        Ok(std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755))?)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.stage.world.path("log")).unwrap_or_default()
    }

    fn until_log(&self, what: &str) -> Result<String, libtest_mimic::Failed> {
        until(&format!("the log has {what:?}"), || Some(self.log()).filter(|log| log.contains(what)))
            .map_err(|failed| format!("{}; it has {}", failed.message().unwrap_or(""), self.log()).into())
    }

    /// Nothing of ours runs, and every session has ended.
    fn until_over(&self) -> Verdict {
        until("every session's scripts have ended", || {
            let open = std::fs::read_dir("/run/session-sandbox/scripts").ok()?.flatten();
            let open =
                open.filter(|entry| entry.file_name().to_string_lossy().starts_with("Session")).count();
            let watchers = Run::new("pgrep").args(["-x", "session-watcher"]).finish().ok()?.stdout;
            (open == 0 && watchers.is_empty()).then_some(())
        })?;
        self.stage.until_empty()
    }
}

fn variables_and_end() -> Verdict {
    let scripts = Scripts::new("scope = \"user\"", "", "")?;
    scripts.configure("where = \"host\"")?;
    scripts.script("added/10W-one", "echo X=1 >> $SESSION_ENV; echo LD_PRELOAD=/x >> $SESSION_ENV")?;
    scripts.script("added/20W-two", "echo X=2 >> $SESSION_ENV; echo \"Y=a b=$X\" >> $SESSION_ENV")?;
    scripts.script("added/50-list", "")?;
    scripts.script("removed/10W-one", "")?;
    scripts.script("removed/20W-two", "")?;
    let text = scripts.stage.calls("open variables where close where")?;
    for part in ["open: 0\n", "X=2\n", "Y=a b=1\n", "where: away\n", "close: 0\nwhere: home\n"] {
        ensure!(text.contains(part), "{part:?} is not in {text}");
    }
    ensure!(!text.contains("LD_PRELOAD"), "{text}");
    scripts.until_log("10W-one removed")?;
    scripts.until_over()?;
    let must =
        "10W-one added X=\n20W-two added X=1\n50-list added X=2\n20W-two removed X=2\n10W-one removed X=2\n";
    ensure_eq!(scripts.log(), must, "what ran");
    ensure!(scripts.stage.log().contains("variable refused: LD_PRELOAD"), "the log says nothing of it");
    Ok(())
}

fn mounts_are_bound() -> Verdict {
    let folder = "/run/mounted";
    let mounts = "[[profile.mount]]\ntarget = \"/srv\"\nsource = \"/run/mounted\"\n";
    let scripts = Scripts::new("scope = \"user\"", mounts, "")?;
    scripts.script(
        "added/10W-mount",
        &format!("mkdir -p {folder}; mount -t tmpfs x {folder}; echo yes > {folder}/word"),
    )?;
    scripts.script("removed/10W-umount", &format!("umount {folder}; rmdir {folder}"))?;
    let child = scripts.stage.host("calls", ["open", "child", "close"]).env("CHILD", "cat /srv/word");
    let text = child.finish()?.output()?;
    ensure!(text.contains("yes\n"), "{text}");
    until("what was mounted is unmounted", || (!std::path::Path::new(folder).exists()).then_some(()))?;
    scripts.until_over()
}

fn alone() -> Verdict {
    for (profile, options) in [("", "scripts=only"), ("match = { user = [\"nobody-of-this-name\"] }", "")] {
        let scripts = Scripts::new(profile, "", options)?;
        scripts.script("added/10W-one", "echo X=1 >> $SESSION_ENV; readlink /proc/self/ns/mnt >&2")?;
        scripts.script("removed/10W-one", "")?;
        let text = scripts.stage.calls("open variables where child close")?;
        ensure!(text.contains("open: 0\n") && text.contains("X=1\n"), "{options}: {text}");
        ensure!(text.contains("where: home\n"), "{options}: {text}");
        scripts.until_log("10W-one removed X=1")?;
        scripts.until_over()?;
        ensure_eq!(scripts.log().lines().count(), 2, "{options}: {}", scripts.log());
    }
    no_profile()?;
    // `scripts=no` runs nothing.
    let scripts = Scripts::new("scope = \"user\"", "", "scripts=no")?;
    scripts.script("added/10W-one", "")?;
    scripts.stage.calls("open close")?;
    ensure_eq!(scripts.log(), "", "scripts=no");
    Ok(())
}

fn no_profile() -> Verdict {
    // A login without a profile is refused with notfound=deny, and what was begun ends.
    let scripts = Scripts::new("match = { user = [\"nobody-of-this-name\"] }", "", "notfound=deny")?;
    scripts.script("added/10W-one", "")?;
    scripts.script("removed/10W-one", "")?;
    scripts.stage.fails(SESSION_ERROR)?;
    scripts.until_over()
}

fn killed() -> Verdict {
    for options in ["", "scripts=only"] {
        let scripts = Scripts::new("scope = \"user\"", "", options)?;
        scripts.script("added/10W-one", "echo X=1 >> $SESSION_ENV")?;
        scripts.script("removed/10W-one", "")?;
        scripts.script("last/10W-last", "")?;
        for round in 1..=20 {
            let mut login = scripts.stage.host("calls", ["open", "wait"]).start()?;
            login.expect("waiting\n")?;
            login.signal(rustix::process::Signal::KILL)?;
            until("the end has run", || {
                (scripts.log().matches("10W-last removed X=1").count() == round).then_some(())
            })?;
        }
        scripts.until_over()?;
        ensure_eq!(scripts.log().matches("10W-one removed").count(), 20, "ends");
    }
    Ok(())
}

fn refused() -> Verdict {
    let scripts = Scripts::new("scope = \"user\"", "", "")?;
    scripts.configure("[[script]]\nname = \"20W-*\"\nresult = \"required\"")?;
    scripts.script("added/10W-one", "exit 1")?;
    scripts.script("added/20W-two", "exit 3")?;
    scripts.script("added/30W-three", "")?;
    scripts.script("added/50-list", "")?;
    scripts.script("removed/10W-one", "")?;
    let (told, log) = scripts.stage.fails(SESSION_ERROR)?;
    ensure!(told.contains("Your session cannot be opened."), "{told}");
    ensure!(log.contains("added/20W-two: exit 3"), "{log}");
    scripts.until_log("10W-one removed")?;
    scripts.until_over()?;
    let ran = scripts.log();
    ensure!(!ran.contains("30W-three") && !ran.contains("50-list"), "{ran}");
    // `failing` tries twice.
    ensure_eq!(ran.matches("removed").count(), ran.matches("10W-one added").count(), "{ran}");
    // What the map refuses has its end run, too.
    scripts.configure("")?;
    scripts.stage.world.map("moed = 1", "")?;
    let (_, log) = scripts.stage.fails(SESSION_ERROR)?;
    ensure!(log.contains("moed"), "{log}");
    scripts.until_over()
}

fn in_view() -> Verdict {
    let mounts = "[[profile.mount]]\ntarget = \"/run/world\"\nsource = \"FOLDER\"\noptions = [\"rw\"]\n";
    let scripts = Scripts::new("scope = \"user\"", "", "")?;
    let world = scripts.stage.world.path("").display().to_string();
    let world = world.trim_end_matches('/');
    // The scripts are seen inside under their own path.
    let mounts = mounts.replace("/run/world", world).replace("FOLDER", world);
    scripts.stage.world.map("scope = \"user\"", &mounts)?;
    scripts.configure("[[script]]\nname = \"*-in*\"\nwhere = \"session\"")?;
    let look = format!("readlink /proc/self/ns/mnt >> {world}/where; ls / | tr '\\n' ' ' >> {world}/where");
    scripts.script("added/10W-in", &format!("{look}; echo X=in >> $SESSION_ENV"))?;
    scripts.script("added/20D-in", &look)?;
    scripts.script("added/50-in", &look)?;
    scripts.script("added/60-host", &format!("readlink /proc/self/ns/mnt > {world}/host"))?;
    scripts.configure(
        "[[script]]\nname = \"*-in*\"\nwhere = \"session\"\n[[script]]\nname = \"*-host\"\nwhere = \"host\"",
    )?;
    // One that the view does not show is not run, and it is said what to do.
    std::fs::write("/var/lib/elsewhere", "#!/bin/sh\n")?;
    std::fs::set_permissions("/var/lib/elsewhere", PermissionsExt::from_mode(0o755))?;
    std::os::unix::fs::symlink("/var/lib/elsewhere", scripts.folder.join("added/30W-in-no-place"))?;
    let mut login = scripts.stage.host("calls", ["open", "variables", "wait"]).start()?;
    login.expect("waiting\n")?;
    let text = login.stdout();
    ensure!(text.contains("X=in\n"), "{text}: {}", scripts.stage.log());
    scripts.until_log("60-host added X=in")?;
    login.signal(rustix::process::Signal::KILL)?;
    let log = scripts.stage.log();
    ensure!(
        log.contains("30W-in-no-place: not run: in the session's view") && log.contains("where = \"host\""),
        "{log}"
    );
    until("the list has run", || std::fs::metadata(format!("{world}/host")).ok())?;
    scripts.until_over()?;
    let looked = std::fs::read_to_string(format!("{world}/where"))?;
    ensure!(!looked.contains(" etc "), "a script of the view sees the host's /etc: {looked}");
    let own = std::fs::read_link("/proc/self/ns/mnt")?.display().to_string();
    ensure_eq!(std::fs::read_to_string(format!("{world}/host"))?.trim_end(), own, "the host's view");
    ensure!(looked.contains("mnt:[") && !looked.contains(&own), "{looked}");
    ensure_eq!(looked.matches("mnt:[").count(), 3, "{looked}");
    Ok(())
}

fn slow() -> Verdict {
    let scripts = Scripts::new("scope = \"user\"", "", "")?;
    scripts
        .configure("where = \"host\"\ntimeout = \"1s\"\ngrace = \"1s\"\n[[script]]\nname = \"30W-slow\"\ntimeout = \"1m\"")?;
    scripts.script("added/10W-hangs", "sleep 301")?;
    scripts.script("added/20W-ignores", "trap '' TERM; sleep 302 & wait; sleep 303")?;
    scripts.script("added/30W-slow", "sleep 2; echo X=slow >> $SESSION_ENV")?;
    scripts.script("added/40D-detached", "sleep 4; touch $0.done")?;
    let began = Instant::now();
    let text = scripts.stage.calls("open variables close")?;
    let took = began.elapsed();
    ensure!(text.contains("X=slow\n"), "{text}");
    ensure!(took > Duration::from_secs(4) && took < Duration::from_secs(20), "it took {took:?}");
    let log = scripts.stage.log();
    ensure!(
        log.contains("10W-hangs: timed out, and ended")
            && log.contains("20W-ignores: timed out, and was killed"),
        "{log}"
    );
    let left = Run::new("pgrep").args(["-f", "sleep 30[123]"]).finish()?.stdout;
    ensure_eq!(left, "", "processes of a script that was killed");
    scripts.until_over()?;
    until("what nobody waits for outlives the login", || {
        std::fs::metadata(scripts.folder.join("added/40D-detached.done")).ok()
    })?;
    Ok(())
}

fn killed_helper() -> Verdict {
    let scripts = Scripts::new("scope = \"user\"", "", "")?;
    scripts.script("added/10W-one", "")?;
    scripts.script("added/20W-two", "echo begun > $0.begun; sleep 304")?;
    scripts.script("added/30W-three", "")?;
    scripts.script("removed/10W-one", "")?;
    let login = scripts.stage.host("calls", ["open"]).start()?;
    until("the second script runs", || std::fs::metadata(scripts.folder.join("added/20W-two.begun")).ok())?;
    Run::new("pkill").args(["-KILL", "-x", "session-door"]).finish()?;
    let text = login.finish()?.output()?;
    ensure!(text.contains(&format!("open: {SESSION_ERROR}\n")), "{text}");
    scripts.until_log("10W-one removed")?;
    scripts.until_over()?;
    let left = Run::new("pgrep").args(["-f", "sleep 304"]).finish()?.stdout;
    ensure_eq!(left, "", "what the killed helper's script has left running");
    ensure_eq!(scripts.log(), "10W-one added X=\n20W-two added X=\n10W-one removed X=\n", "what ran");
    ensure!(scripts.stage.log().contains("20W-two: interrupted"), "nothing is said of it");
    Ok(())
}

fn exempt() -> Verdict {
    let scripts = Scripts::new("scope = \"user\"", "", "")?;
    scripts.script("added/10W-one", "exit 1")?;
    scripts.configure("result = \"required\"")?;
    let root = scripts.stage.host_as("root", "calls", ["open", "close"]).finish()?.output()?;
    ensure!(root.contains("open: 0"), "root: {root}");
    let group = Run::new("id").args(["-gn", &scripts.stage.bob.name]).finish()?.output()?;
    scripts.service(&format!("breakglass={}", group.trim()))?;
    ensure!(scripts.stage.calls("open close")?.contains("open: 0"), "the exempt group");
    ensure_eq!(scripts.log(), "", "scripts ran");
    scripts.service("")?;
    scripts.stage.fails(SESSION_ERROR)?;
    scripts.configure("timeout = 3")?;
    let (told, log) = scripts.stage.fails(SESSION_ERROR)?;
    ensure!(
        !told.contains("timeout") && log.contains("scripts.conf:5") && log.contains("`timeout` must be"),
        "{log}"
    );
    let open = std::fs::read_dir("/run/session-sandbox/scripts");
    ensure!(open.is_err() || scripts.until_over().is_ok(), "something is left");
    Ok(())
}

fn several_lines() -> Verdict {
    let scripts = Scripts::new("scope = \"user\"", "", "")?;
    scripts.script("added/10W-one", "")?;
    scripts.script("removed/10W-one", "")?;
    let log = scripts.stage.world.path("log").display().to_string();
    let say = hook(&scripts, "say", &format!("echo exec $PAM_TYPE >> {log}"))?;
    let line = |options: &str| -> Result<String, libtest_mimic::Failed> {
        scripts.service(options)?;
        let text = std::fs::read_to_string(format!("/etc/pam.d/{SERVICE}"))?;
        Ok(text.lines().last().unwrap_or_default().to_owned())
    };
    // Scripts early, another module's line, and the view at last.
    let stack = [line("scripts=only")?, line(&format!("as=pam_exec {say}"))?, line("scripts=no")?].join("\n");
    scripts.stage.stack(SERVICE, &format!("{stack}\n"))?;
    let text = scripts.stage.calls("open where close where")?;
    ensure!(text.contains("open: 0\nwhere: away\nclose: 0\nwhere: home\n"), "{text}");
    scripts.until_log("10W-one removed")?;
    scripts.until_log("exec close_session")?;
    scripts.until_over()?;
    let ran = scripts.log();
    ensure_eq!(ran.lines().count(), 4, "{ran}");
    // The last line refuses, and what the others began ends.
    scripts.stage.world.map("moed = 1", "")?;
    let text = scripts.stage.calls("open")?;
    ensure!(text.contains(&format!("open: {SESSION_ERROR}\n")), "{text}");
    until("what was begun has ended", || (scripts.log().lines().count() == 8).then_some(()))?;
    scripts.until_over()
}

/// A service with a line of another module's, and nothing of ours but the module's name.
fn line(scripts: &Scripts, words: &str) -> Verdict {
    scripts.service(words)
}

fn hook(scripts: &Scripts, name: &str, text: &str) -> Result<String, libtest_mimic::Failed> {
    let path = scripts.stage.world.file(name, format!("#!/bin/sh\n{text}\n"))?;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755))?;
    Ok(path.display().to_string())
}

fn as_pam_exec() -> Verdict {
    let scripts = Scripts::new("scope = \"user\"", "", "")?;
    let log = scripts.stage.world.path("log").display().to_string();
    let say = hook(
        &scripts,
        "say",
        &format!("echo \"$PAM_TYPE $PAM_USER $PAM_SERVICE $#$1\" >> {log}; echo to the user"),
    )?;
    line(&scripts, &format!("as=pam_exec stdout {say} word"))?;
    let text = scripts.stage.calls("open where close")?;
    ensure!(text.contains("told: to the user\nopen: 0\nwhere: home\n"), "{text}");
    let user = &scripts.stage.bob.name;
    let ran = scripts.until_log("close_session")?;
    ensure_eq!(
        ran,
        format!("open_session {user} {SERVICE} 1word\nclose_session {user} {SERVICE} 1word\n"),
        "calls"
    );
    scripts.until_over()?;
    line(&scripts, &format!("as=pam_exec type=close_session {say}"))?;
    ensure!(scripts.stage.calls("open close")?.contains("open: 0"), "type=");
    scripts.until_over()?;
    let three = hook(&scripts, "three", "exit 3")?;
    line(&scripts, &format!("as=pam_exec {three}"))?;
    let (told, _) = scripts.stage.fails(SYSTEM_ERROR)?;
    ensure!(told.contains(&format!("{three} failed: exit code 3")), "{told}");
    line(&scripts, &format!("as=pam_exec quiet {three}"))?;
    ensure_eq!(scripts.stage.fails(SYSTEM_ERROR)?.0, "", "quiet");
    line(&scripts, "as=pam_exec quiet")?;
    scripts.stage.fails(SERVICE_ERROR)?;
    // Three things that are wrong, each in words of its own.
    let no_line = scripts.stage.world.file("no-line", "echo x\n")?;
    std::fs::set_permissions(&no_line, PermissionsExt::from_mode(0o755))?;
    let not_executable = scripts.stage.world.file("not-executable", "#!/bin/sh\n")?;
    std::fs::set_permissions(&not_executable, PermissionsExt::from_mode(0o644))?;
    let writable = hook(&scripts, "writable", "true")?;
    std::fs::set_permissions(&writable, PermissionsExt::from_mode(0o777))?;
    for (command, why) in [
        (no_line.display().to_string(), "no first line such as #!/bin/sh"),
        (not_executable.display().to_string(), "is not executable"),
        ("/nonexistent/command".to_owned(), "cannot open /nonexistent"),
        (writable.clone(), "mode 0777"),
    ] {
        line(&scripts, &format!("as=pam_exec {command}"))?;
        let (_, log) = scripts.stage.fails(SYSTEM_ERROR)?;
        ensure!(log.contains(why), "{command}: {why:?} is not in {log}");
    }
    line(&scripts, &format!("as=pam_exec untrusted {writable}"))?;
    ensure!(scripts.stage.calls("open close")?.contains("open: 0"), "untrusted");
    // A grandchild that holds the output holds nobody up.
    let daemon = hook(&scripts, "daemon", "sleep 305 & echo started")?;
    line(&scripts, &format!("as=pam_exec stdout {daemon}"))?;
    let began = Instant::now();
    ensure!(scripts.stage.calls("open close")?.contains("told: started"), "stdout");
    ensure!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
    Run::new("pkill").args(["-KILL", "-f", "sleep 305"]).finish()?;
    scripts.until_over()
}

fn as_pam_script() -> Verdict {
    let scripts = Scripts::new("scope = \"user\"", "", "")?;
    let folder = scripts.stage.world.directory("pam-script")?;
    let log = scripts.stage.world.path("log").display().to_string();
    let open = folder.join("pam_script_ses_open");
    let set = |text: &str, mode: u32| -> Verdict {
        std::fs::write(&open, format!("#!/bin/sh\n{text}\n"))?;
        chown(&open, Some(0), Some(0))?;
        Ok(std::fs::set_permissions(&open, PermissionsExt::from_mode(mode))?)
    };
    let folder_mode = |mode: u32| std::fs::set_permissions(&folder, PermissionsExt::from_mode(mode));
    folder_mode(0o755)?;
    let name = folder.display().to_string();
    let opens = |more: &str| -> Result<bool, libtest_mimic::Failed> {
        line(&scripts, &format!("as=pam_script dir={name} {more}"))?;
        let text = scripts.stage.calls("open where close")?;
        scripts.until_over()?;
        let is_open = text.contains("open: 0\nwhere: home\n");
        ensure!(is_open || text.contains(&format!("open: {SESSION_ERROR}\n")), "{text}");
        Ok(is_open)
    };
    // Missing.
    ensure!(!opens("")? && opens("onerr=success")?, "missing");
    set(&format!("echo \"$PAM_TYPE $PAM_USER $PAM_RHOST.$PAM_AUTHTOK.$#\" >> {log}"), 0o755)?;
    std::fs::write(
        folder.join("pam_script_ses_close"),
        format!("#!/bin/sh\necho close $PAM_TYPE >> {log}\n"),
    )?;
    std::fs::set_permissions(folder.join("pam_script_ses_close"), PermissionsExt::from_mode(0o755))?;
    ensure!(opens("and more")?, "0755");
    let ran = scripts.until_log("close")?;
    ensure_eq!(ran, format!("session {} ..3\nclose session\n", scripts.stage.bob.name), "calls");
    for (text, mode, is_open, lenient) in [
        ("exit 1", 0o755, false, false),
        ("kill -9 $$", 0o755, false, true),
        ("true", 0o754, false, true),
        ("true", 0o775, true, true),
        ("true", 0o757, false, true),
    ] {
        set(text, mode)?;
        ensure_eq!(opens("")?, is_open, "{text} 0{mode:o}");
        ensure_eq!(opens("onerr=success")?, lenient, "{text} 0{mode:o} onerr=success");
    }
    set("true", 0o755)?;
    for (user, group) in [(Some(scripts.stage.bob.uid), None), (None, Some(scripts.stage.bob.gid))] {
        chown(&open, user, group)?;
        ensure!(!opens("")?, "owner {user:?} {group:?}");
        set("true", 0o755)?;
    }
    for (mode, is_open) in [(0o750, false), (0o775, true), (0o757, false), (0o755, true)] {
        folder_mode(mode)?;
        ensure_eq!(opens("")?, is_open, "folder 0{mode:o}");
    }
    std::fs::write(&open, "true\n")?;
    ensure!(!opens("")?, "no first line");
    line(&scripts, &format!("as=pam_script dir=/{}", "x".repeat(144)))?;
    scripts.stage.fails(SESSION_ERROR)?;
    scripts.until_over()
}

fn as_on_session() -> Verdict {
    let scripts = Scripts::new("scope = \"user\"", "", "")?;
    let log = scripts.stage.world.path("log");
    std::fs::write(&log, "")?;
    std::fs::set_permissions(&log, PermissionsExt::from_mode(0o666))?;
    let log = log.display().to_string();
    let open = hook(&scripts, "open", &format!("echo \"open $(id -u):$(id -G)\" >> {log}"))?;
    let close = hook(&scripts, "close", &format!("echo \"close $(id -u)\" >> {log}"))?;
    std::fs::set_permissions(scripts.stage.world.path(""), PermissionsExt::from_mode(0o755))?;
    line(&scripts, &format!("runas=root onsessionopen={open} onsessionclose={close}"))?;
    ensure!(scripts.stage.calls("open where close")?.contains("open: 0\nwhere: home\n"), "runas=root");
    ensure_eq!(scripts.until_log("close")?, "open 0:0\nclose 0\n", "as root");
    scripts.until_over()?;
    std::fs::write(&log, "")?;
    line(
        &scripts,
        &format!("onsessionopen={open} onsessionclose={close} seteuidonopen dochroot domount=1 dounshare"),
    )?;
    ensure!(scripts.stage.calls("open where close")?.contains("open: 0\nwhere: home\n"), "as the user");
    let bob = &scripts.stage.bob;
    let ran = scripts.until_log("close")?;
    ensure!(
        ran.starts_with(&format!("open {}:", bob.uid)) && ran.ends_with(&format!("close {}\n", bob.uid)),
        "{ran}"
    );
    let mut groups: Vec<u32> = ran
        .lines()
        .next()
        .unwrap_or("")
        .rsplit(':')
        .next()
        .unwrap_or("")
        .split(' ')
        .filter_map(|id| id.parse().ok())
        .collect();
    groups.sort_unstable();
    ensure_eq!(groups, bob.groups, "groups");
    scripts.until_over()?;
    // A usual script that is not there is none; one that was named must be there.
    line(&scripts, "runas=root")?;
    ensure!(scripts.stage.calls("open close")?.contains("open: 0"), "no usual script");
    line(&scripts, "runas=root onsessionopen=/nonexistent")?;
    scripts.stage.fails(SESSION_ERROR)?;
    let fails = hook(&scripts, "fails", "exit 2")?;
    line(&scripts, &format!("runas=root onsessionopen={fails}"))?;
    scripts.stage.fails(SESSION_ERROR)?;
    scripts.until_over()
}

fn chroot() -> Verdict {
    let scripts = Scripts::new("scope = \"user\"", "", "")?;
    let folder = scripts.stage.world.directory("tree")?;
    for name in ["usr", "proc", "dev", "tmp", "home"] {
        std::fs::create_dir(folder.join(name))?;
    }
    // As the host has them.
    for name in ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
        match std::fs::read_link(format!("/{name}")) {
            Ok(to) => std::os::unix::fs::symlink(to, folder.join(name))?,
            Err(_) if std::fs::metadata(format!("/{name}")).is_ok() => {
                std::fs::create_dir(folder.join(name))?
            }
            Err(_) => {}
        }
    }
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o755))?;
    std::fs::write(folder.join("mark"), "")?;
    let say = hook(&scripts, "open", &format!("echo CHROOTDIR={} >> $PAM_SCRIPT_INFO", folder.display()))?;
    let look = |words: &str| -> Result<String, libtest_mimic::Failed> {
        line(&scripts, &format!("runas=root onsessionopen={say} {words}"))?;
        let text = scripts.stage.calls("open where list close where")?;
        scripts.until_over()?;
        Ok(text)
    };
    let text = look("dochroot=1 domount=1 dounshare=1")?;
    ensure!(
        text.contains("open: 0\nwhere: away\n") && text.contains("mark"),
        "{text}: {}",
        scripts.stage.log()
    );
    ensure!(text.contains("close: 0\nwhere: home\n"), "{text}");
    let text = look("dochroot=1")?;
    ensure!(text.contains("mark"), "without mounts: {text}: {}", scripts.stage.log());
    // Without dochroot nothing comes of it, whatever the script says.
    ensure!(look("domount dounshare")?.contains("open: 0\nwhere: home\n"), "without dochroot");
    // A folder that others could change is nobody's root.
    chown(&folder, Some(scripts.stage.bob.uid), None)?;
    let text = look("dochroot=1 domount=1")?;
    ensure!(text.contains(&format!("open: {SESSION_ERROR}\n")), "a folder of bob's: {text}");
    Ok(())
}
