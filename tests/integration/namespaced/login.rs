//! The same file, the same words, the same user: by pam_namespace, and by our module in its place.

use std::path::Path;

use libtest_mimic::{Failed, Trial};

use super::{GROUND, NEEDS, OPEN, REFUSED};
use crate::pam::stage::{self, host_program};
use crate::support::{HostMounts, Run, User, Verdict, ensure, ensure_eq, isolated, users};

/// Files, with `@` for a place of the case's own. What stands behind `--` is in a file of `namespace.d`.
const FILES: [&str; 52] = [
    "",
    "# nothing",
    "@/p @/i/ user",
    "@/p @/i/ level",
    "@/p @/i/ context:noinit",
    "@/p @/i/ user:noinit",
    "@/p @/i/x- user",
    "@/p/ @/i/ user",
    "@/p @/i/deep/er/ user",
    "@/p @/open/ user",
    "@/p @/others/ user",
    "@/p @/missing/ user",
    "@/gone @/i/ user",
    "@/file @/i/ user",
    "@/p @/full/ user",
    "@/p @/kept/ user",
    "@/p @/i/ user BOB",
    "@/p @/i/ user ~BOB",
    "@/p @/i/ user root,BOB",
    "@/p @/i/ user ~root",
    "@/p @/i/ user ~root,BOB",
    "@/p @/i/ user nobody-at-all",
    "@/p @/i/ level:shared",
    "@/new @/i/ user:create",
    "@/new @/i/ user:create=0711",
    "@/new @/i/ user:create=01777,root,games",
    "@/new @/i/ user:create=0700,BOB",
    "@/new @/i/ user:create=0750,,games",
    "@/new/er @/i/ user:create=0755,root,root",
    "@/p @/i/ user:create=0700",
    "@/new none tmpfs:create=0755,root",
    "@/p none tmpfs",
    "@/p none tmpfs:noinit",
    "@/p none tmpfs:mntopts=size=1M,mode=0700,noexec",
    "@/p none tmpfs:mntopts=size=0x200k,nosuid,nodev",
    "@/p none tmpfs:mntopts=size=1%",
    "@/p none tmpfs:mntopts=mode=1777 ~BOB",
    "@/p @/i/ tmpdir",
    "@/p @/i/ user:iscript=@/own.sh",
    "@/p @/i/ user:iscript=@/missing.sh",
    "@/p @/i/ user:iscript=@/fails.sh",
    "@/p @/i/ user:iscript=@/dies.sh",
    "@/p @/i/ user:iscript=@/plain.sh",
    "@/p @/i/ user\n@/q @/j/ user",
    "@/p @/i/ user\n@/q none tmpfs ~BOB",
    "@/p @/i/ user -- @/q @/j/ user:noinit",
    "# in the other -- @/q @/j/ level",
    "@/p @/i/ nothing\n@/q @/j/ user",
    "p @/i/ user -- @/q @/j/ user",
    "@/$USER.d @/i/$USER/ user",
    "@/link @/i/ user",
    "@/p @/p/inst/ user",
];

/// Why ours comes to something else.
fn reason(file: &str, words: &str) -> Option<&'static str> {
    let ignores_parents = words.contains("ignore_instance_parent_mode");
    match file {
        "@/p @/i/ tmpdir" => Some("a directory in memory, and nothing is left behind"),
        "@/link @/i/ user" => Some("a link on the way is not followed"),
        "@/p @/others/ user" if ignores_parents => {
            Some("who owns the directory that holds the instances could put others in their place")
        }
        _ => None,
    }
}

/// Words behind the module.
const WORDS: [&str; 3] = ["", "ignore_config_error", "debug ignore_instance_parent_mode"];

/// What a login came to: PAM's result, what its program saw, what a script was told, and what is on the host afterwards.
type Came = (i32, String, String, String);

pub fn trials() -> Vec<Trial> {
    let one = |(words, who)| {
        let name =
            format!("fifty logins by a namespace.conf are pam_namespace's own, told {words:?}, of {who:?}");
        isolated(name, NEEDS, HostMounts::Shared, move || is_the_same(words, who))
    };
    WORDS
        .into_iter()
        .flat_map(|words| [Whose::Named, Whose::Others].map(|who| (words, who)))
        .map(one)
        .collect()
}

/// Who logs in.
#[derive(Clone, Copy, Debug)]
enum Whose {
    /// The user whom the files name.
    Named,
    /// Somebody else.
    Others,
}

fn is_the_same(words: &str, who: Whose) -> Verdict {
    let bob = users::bob()?;
    let user = match who {
        Whose::Named => bob.clone(),
        Whose::Others => users::mallory()?,
    };
    super::prepare()?;
    let module = stage::module();
    let look = format!("session required pam_exec.so {GROUND}/look\n");
    let theirs = format!("session requisite pam_namespace.so {words}\n{look}");
    let ours = format!(
        "session requisite {} helper={} as=pam_namespace {words}\n{look}",
        module.display(),
        stage::SESSION_DOOR
    );
    std::fs::write("/etc/pam.d/theirs", theirs)?;
    std::fs::write("/etc/pam.d/ours", ours)?;
    write_script("/etc/security/namespace.init", "")?;
    std::fs::create_dir_all("/etc/security/namespace.d")?;
    let (mut alike, mut told, mut differ) = (0, 0, 0);
    for (number, file) in FILES.into_iter().enumerate() {
        let place = format!("{GROUND}/{number}");
        let text = file.replace('@', &place).replace("BOB", &bob.name);
        let theirs = login(&place, &text, "theirs", &user, &bob)?;
        let ours = login(&place, &text, "ours", &user, &bob)?;
        let case = format!("{} with {words:?} by {file:?}", user.name);
        match reason(file, words) {
            None => {
                ensure_eq!(ours, theirs, "{case}");
                alike += 1;
                told += usize::from(theirs.0 == OPEN && !theirs.2.is_empty());
            }
            Some(why) => {
                ensure!(ours != theirs, "{case}: they do not differ, although {why}");
                differ += 1;
            }
        }
    }
    ensure!(
        alike > 45 && told > 20 && alike + differ == FILES.len(),
        "{alike} alike, {told} of them with a script, {differ} differ"
    );
    Ok(())
}

fn login(place: &str, text: &str, service: &str, user: &User, bob: &User) -> Result<Came, Failed> {
    prepare_place(place, bob)?;
    let (main, drop_in) = text.split_once(" -- ").unwrap_or((text, ""));
    std::fs::write("/etc/security/namespace.conf", format!("{main}\n"))?;
    std::fs::write("/etc/security/namespace.d/50-more.conf", format!("{drop_in}\n"))?;
    std::fs::write("/etc/security/namespace.d/ignored", "nothing that is read\n")?;
    for name in ["seen", "told"] {
        let _ = std::fs::remove_file(format!("{GROUND}/{name}"));
    }
    // What the session sees of each directory, and a mark in each, so that it is known which one it was.
    let look = format!(
        "#!/bin/sh\n[ \"$PAM_TYPE\" != close_session ] || exit 0\nfor d in {place}/p {place}/q {place}/new {place}/link {place}/{}.d; do\n\
         test -d $d || continue\nstat -c '%n %a %u:%g' $d\nfindmnt -n -o FSTYPE,OPTIONS -M $d | tr -s ' '\n\
         touch $d/mark\ndone > {GROUND}/seen\n",
        user.name
    );
    std::fs::write(format!("{GROUND}/look"), look)?;
    let outcome = Run::new(host_program()).args(["calls", service, &user.name, "open", "close"]).finish()?;
    let text = outcome.output()?;
    let result = text.lines().find_map(|line| line.strip_prefix("open: ")).ok_or("no result")?;
    let read = |name: &str| std::fs::read_to_string(format!("{GROUND}/{name}")).unwrap_or_default();
    let list = Run::new("find").args([place, "-mindepth", "1", "-printf", "%P %y %m %U:%G\\n"]).finish()?;
    let mut list: Vec<&str> = list.stdout.lines().collect();
    list.sort_unstable();
    ensure!(
        !Path::new(place).join("p/mark").exists() || result.parse() == Ok(OPEN),
        "a mark without a login"
    );
    // Who is refused has seen nothing of it; the module leaves behind what it has made by then, and so do we.
    let result: i32 = result.parse()?;
    ensure!([OPEN, REFUSED].contains(&result), "PAM says {result}");
    let on_the_host = if result == OPEN { list.join("\n") } else { String::new() };
    // Of a file system's options, those that are not the kernel's own way to write it.
    let seen = read("seen").replace(",inode64", "").replace(",relatime", "");
    Ok((result, if result == OPEN { seen } else { String::new() }, read("told"), on_the_host))
}

/// The same place each time.
fn prepare_place(place: &str, bob: &User) -> Verdict {
    let script = format!(
        "set -e
        rm -rf {place}; mkdir {place}; cd {place}
        mkdir p q open others full kept {name}.d i j p/inst; chmod 1777 p; chmod 0755 q
        chown games:games q
        chown {name} others
        touch file full/{name} full/sstest-mallory
        mkdir kept/{name}; chmod 0751 kept/{name}; chown games kept/{name}
        chmod 000 i j full kept others p/inst
        ln -s p link
        printf '#!/bin/sh\\nexit 0\\n' > plain.sh",
        name = bob.name
    );
    Run::new("sh").args(["-c", &script]).finish()?.expect_code(0)?;
    for (name, end) in [("own.sh", ""), ("fails.sh", "exit 3"), ("dies.sh", "kill -9 $$")] {
        write_script(&format!("{place}/{name}"), end)?;
    }
    Ok(())
}

/// A script that writes down what it is told, leaves a file where it works, and mounts something that must not stay.
fn write_script(path: &str, end: &str) -> Verdict {
    let text = format!(
        "#!/bin/sh\n{{ printf '%s|' \"$(basename \"$0\")\" \"$@\"; id -u; pwd | cut -c1; /usr/bin/env | sort; }} >> {GROUND}/told\n\
         touch \"$1/by-init\"\nmkdir \"$1/more\" && mount -t tmpfs more \"$1/more\"\n{end}\n"
    );
    std::fs::write(path, text)?;
    Run::new("chmod").args(["755", path]).finish()?.expect_code(0)?;
    Ok(())
}
