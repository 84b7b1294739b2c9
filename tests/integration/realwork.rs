//! Real work in the root of the map that is built in, as an ordinary user.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use libtest_mimic::{Failed, Trial};

use crate::enter::MODES;
use crate::support::{Needs, Outcome, Run, User, Verdict, World, ensure, ensure_eq, trial, users};

const AS_BOB: &[Needs] = &[Needs::Root, Needs::OrdinaryUser];

macro_rules! with_tools {
    ($($tool:literal),+) => { &[Needs::Root, Needs::OrdinaryUser, $(Needs::Tool($tool)),+] };
}

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("a C program is compiled and runs", with_tools!("gcc"), compiles),
        trial("archives are packed and unpacked", with_tools!("tar", "gzip"), archives),
        trial("keys are made", with_tools!("ssh-keygen"), keys),
        trial("names, time zone and resolver are the host's", with_tools!("getent"), names),
        trial("a gibibyte goes through a pipe", AS_BOB, gibibyte),
        trial("two hundred processes run side by side", AS_BOB, many_processes),
        trial("shared memory and semaphores work", with_tools!("python3"), semaphores),
        trial("message queues of one session are not another's", AS_BOB, message_queues),
        trial("the devices that programs expect are there, and no others", AS_BOB, devices),
    ];
    for mode in MODES {
        trials.extend([
            trial(
                format!("a repository is cloned and committed to ({mode})"),
                with_tools!("git"),
                move || clones(mode),
            ),
            trial(
                format!("python starts processes and threads ({mode})"),
                with_tools!("python3"),
                move || python(mode),
            ),
            trial(
                format!("two sessions at once share neither /tmp nor processes ({mode})"),
                AS_BOB,
                move || apart(mode),
            ),
        ]);
    }
    trials
}

/// A folder in the user's home, gone when the test ends.
pub struct Desk {
    world: World,
    pub user: User,
    pub folder: PathBuf,
}

impl Desk {
    pub fn new() -> Result<Self, Failed> {
        let user = users::bob()?;
        let home = World::of(&user)?;
        let folder = home.path("");
        Ok(Self { world: home, user, folder })
    }

    /// `session-enter` by root, into this user's root, running `script` in the folder.
    pub fn shell(&self, mode: &str, script: &str) -> Result<Run, Failed> {
        let script = format!("cd {:?} || exit 99\n{script}", self.folder);
        self.enter(mode, &["bash", "-c", &script])
    }

    /// `session-enter` by root, into this user's root, running these words.
    pub fn enter(&self, mode: &str, words: &[&str]) -> Result<Run, Failed> {
        Ok(Run::new(crate::support::world::SESSION_ENTER)
            .args(["--mode", mode, "--user", &self.user.name, "--"])
            .args(words))
    }

    pub fn file(&self, name: &str, text: &str) -> Result<PathBuf, Failed> {
        self.world.file(name, text)
    }
}

fn well(outcome: Outcome) -> Result<String, Failed> {
    ensure_eq!(outcome.code, Some(0), "exit status, with {:?} and {:?}", outcome.stdout, outcome.stderr);
    Ok(outcome.stdout)
}

fn clones(mode: &str) -> Verdict {
    let desk = Desk::new()?;
    let script = r#"set -e
        export HOME=$PWD GIT_CONFIG_NOSYSTEM=1
        git config --global user.name Bob; git config --global user.email bob@example.com
        git init -q -b main origin; cd origin; echo one > file; git add .; git commit -q -m first; cd ..
        git clone -q origin copy; git clone -q "file://$PWD/origin" other
        cd copy; echo two >> file; git commit -q -a -m second; git push -q origin HEAD:side
        git -C ../origin log --oneline side | wc -l; cat ../other/file"#;
    ensure_eq!(well(desk.shell(mode, script)?.finish()?)?, "2\none\n", "what git made");
    // It was the home directory of the host that was worked in, as that user.
    let status = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(desk.folder.join("copy/file"))?);
    ensure_eq!(status, desk.user.uid, "whose file it is");
    Ok(())
}

fn python(mode: &str) -> Verdict {
    let desk = Desk::new()?;
    let program = desk.file(
        "work.py",
        "import multiprocessing, subprocess, threading, tempfile, os, random\n\
         def square(x): return x * x\n\
         if __name__ == '__main__':\n\
         \x20   with multiprocessing.Pool(4) as pool: print(sum(pool.map(square, range(100))))\n\
         \x20   print(subprocess.run(['sh', '-c', 'echo $((6*7))'], capture_output=True, text=True).stdout, end='')\n\
         \x20   t = threading.Thread(target=lambda: print('thread')); t.start(); t.join()\n\
         \x20   with tempfile.NamedTemporaryFile() as f: print(os.path.dirname(f.name))\n\
         \x20   print(len(os.urandom(8)))\n",
    )?;
    let text = well(desk.enter(mode, &["/usr/bin/python3", &program.to_string_lossy()])?.finish()?)?;
    ensure_eq!(text, "328350\n42\nthread\n/tmp\n8\n", "what python printed");
    Ok(())
}

fn compiles() -> Verdict {
    let desk = Desk::new()?;
    desk.file("hello.c", "#include <stdio.h>\nint main(void) { puts(\"hello\"); return 5; }\n")?;
    let outcome = desk.shell("namespace", "gcc -O1 -o hello hello.c && ./hello")?.finish()?;
    ensure_eq!(outcome.code, Some(5), "exit status: {}", outcome.stderr);
    ensure_eq!(outcome.stdout, "hello\n", "what it printed");
    // In the session's own /tmp as well.
    let outcome = desk.shell("namespace", "gcc -o /tmp/hello hello.c && /tmp/hello")?.finish()?;
    ensure_eq!(outcome.code, Some(5), "exit status in /tmp: {}", outcome.stderr);
    Ok(())
}

fn archives() -> Verdict {
    let desk = Desk::new()?;
    let script = "set -e; mkdir -p a/b; seq 1000 > a/b/numbers; ln -s b/numbers a/link; chmod 700 a/b; tar -czf a.tgz a; mkdir out; tar -xzf a.tgz -C out; \
                  diff -r a out/a; readlink out/a/link; stat -c %a out/a/b; tar -C /etc -cf - passwd | tar -C /tmp -xf - ; cmp /tmp/passwd /etc/passwd && echo same";
    ensure_eq!(well(desk.shell("namespace", script)?.finish()?)?, "b/numbers\n700\nsame\n", "what tar made");
    Ok(())
}

fn keys() -> Verdict {
    let desk = Desk::new()?;
    let text = well(
        desk.shell(
            "namespace",
            "ssh-keygen -q -t ed25519 -N '' -f key && ssh-keygen -l -f key.pub && stat -c %a key",
        )?
        .finish()?,
    )?;
    ensure!(text.contains("ED25519") && text.ends_with("600\n"), "{text}");
    // It names the user: that one is known inside.
    ensure!(
        std::fs::read_to_string(desk.folder.join("key.pub"))?.contains(&format!("{}@", desk.user.name)),
        "{text}"
    );
    Ok(())
}

fn names() -> Verdict {
    let desk = Desk::new()?;
    let script = "getent passwd $USER root; getent group games; id; date +%Z; readlink -f /etc/localtime; hostname; getent hosts localhost; whoami";
    let inside = well(desk.shell("namespace", script)?.finish()?)?;
    let outside = Run::new("bash").args(["-c", script]).user(&desk.user).finish()?.output()?;
    ensure_eq!(inside, outside, "what is inside, against the host");
    for file in ["/etc/resolv.conf", "/etc/localtime", "/etc/hosts", "/etc/nsswitch.conf"] {
        let Ok(host) = std::fs::read(file) else { continue };
        let sum = Run::new("md5sum").input(host).finish()?.output()?;
        let inside = well(desk.shell("namespace", &format!("md5sum < {file}"))?.finish()?)?;
        ensure_eq!(inside, sum, "{file}");
    }
    Ok(())
}

fn gibibyte() -> Verdict {
    let desk = Desk::new()?;
    // Through the pipe of the session's own standard output.
    let text = well(desk.shell("namespace", "head -c 1G /dev/zero | cat | wc -c")?.finish()?)?;
    ensure_eq!(text, "1073741824\n", "bytes inside");
    let pipe = format!(
        "{} --user {} -- head -c 1G /dev/zero | {0} --user {1} -- cat | wc -c",
        crate::support::world::SESSION_ENTER,
        desk.user.name
    );
    ensure_eq!(
        Run::new("sh").args(["-c", &pipe]).finish()?.output()?,
        "1073741824\n",
        "bytes from session to session"
    );
    Ok(())
}

fn many_processes() -> Verdict {
    let desk = Desk::new()?;
    let script = "for i in $(seq 200); do (read line < go; echo $i) & done > out; exec 3<>go; \
                  until [ $(ls -d /proc/[0-9]* | wc -l) -gt 200 ]; do :; done; for i in $(seq 200); do echo >&3; done; wait; sort -n out | uniq | wc -l";
    ensure_eq!(
        well(desk.shell("namespace", &format!("mkfifo go; {script}"))?.finish()?)?,
        "200\n",
        "processes that answered"
    );
    Ok(())
}

fn semaphores() -> Verdict {
    let desk = Desk::new()?;
    let program = desk.file(
        "work.py",
        "import multiprocessing as m, mmap, os\nfrom multiprocessing import shared_memory\n\
         def add(lock, value):\n\
         \x20   for _ in range(200):\n\
         \x20       with lock: value.value += 1\n\
         if __name__ == '__main__':\n\
         \x20   lock, value = m.Lock(), m.Value('i', 0, lock=False)\n\
         \x20   ps = [m.Process(target=add, args=(lock, value)) for _ in range(4)]\n\
         \x20   [p.start() for p in ps]; [p.join() for p in ps]; print(value.value)\n\
         \x20   s = shared_memory.SharedMemory(create=True, size=1 << 20); print(os.listdir('/dev/shm') != []); s.close(); s.unlink()\n\
         \x20   print(os.listdir('/dev/shm'))\n",
    )?;
    let text = well(desk.enter("namespace", &["/usr/bin/python3", &program.to_string_lossy()])?.finish()?)?;
    ensure_eq!(text, "800\nTrue\n[]\n", "what python printed");
    Ok(())
}

fn message_queues() -> Verdict {
    let desk = Desk::new()?;
    let text = well(desk.shell("namespace", "ls -A /dev/mqueue | wc -l; ls -A /dev/shm | wc -l")?.finish()?)?;
    ensure_eq!(text, "0\n0\n", "queues and memory of others");
    Ok(())
}

fn devices() -> Verdict {
    let desk = Desk::new()?;
    let script = "for name in null zero full random urandom tty; do test -c /dev/$name || echo no $name; done; \
                  for name in fd stdin stdout stderr ptmx; do test -e /dev/$name || echo no $name; done; \
                  find /dev -xdev \\( -type b -o -type c \\) | sort | tr '\\n' ' '; head -c 3 /dev/zero | wc -c; \
                  echo x > /dev/null; echo x 2>/dev/null > /dev/full || echo full; (echo out > /dev/stdout) | cat";
    let text = well(desk.shell("namespace", script)?.finish()?)?;
    ensure!(!text.contains("no "), "devices are missing: {text}");
    ensure!(text.ends_with("3\nfull\nout\n"), "devices do not work: {text}");
    let words = "find /dev -xdev \\( -type b -o -type c \\) | grep -E '/(sd|vd|nvme|mem|kmsg|console|loop|fuse|kvm|input|dri|snd)' || true";
    ensure_eq!(well(desk.shell("namespace", words)?.finish()?)?, "", "devices that nobody asked for");
    Ok(())
}

fn apart(mode: &str) -> Verdict {
    let desk = Desk::new()?;
    let world = World::new()?;
    let map = include_str!("../../mounts.toml").replace("scope = \"user\"", "scope = \"session\"");
    let map = world.file("own.toml", map)?;
    let enter = |words: &[&str]| {
        Run::new(crate::support::world::SESSION_ENTER)
            .args(["--mode", mode, "--user", &desk.user.name, "--config", &map.to_string_lossy(), "--"])
            .args(words)
    };
    let here = std::path::Path::new("/tmp").join(format!("sstest-of-the-host-{}", std::process::id()));
    std::fs::write(&here, "")?;
    std::fs::set_permissions(&here, PermissionsExt::from_mode(0o644))?;
    let script = "echo first > /tmp/mine; echo first > /dev/shm/mine; echo ready; read line; cat /tmp/mine";
    let mut first = enter(&["sh", "-c", script]).piped_input().start()?;
    first.expect("ready\n")?;
    let look = "ls -A /tmp /var/tmp /dev/shm; stat -c %a /tmp /var/tmp; ls -d /proc/[0-9]* | wc -l; echo second > /tmp/mine";
    let second = enter(&["sh", "-c", look]).finish();
    std::fs::remove_file(&here)?;
    let text = well(second?)?;
    let lines: Vec<&str> = text.lines().collect();
    ensure_eq!(
        lines[..lines.len() - 1],
        ["/dev/shm:", "", "/tmp:", "", "/var/tmp:", "1777", "1777"],
        "what the second sees"
    );
    ensure!(
        lines.last().and_then(|count| count.parse().ok()).is_some_and(|count: u32| count <= 4),
        "processes: {text}"
    );
    first.write(b"\n")?;
    ensure_eq!(well(first.finish()?)?, "ready\nfirst\n", "what the first has");
    Ok(())
}
