//! What `sessionctl can` says, beside what a process may really do.

use super::Host;
use crate::pam::stage::SESSIONCTL;
use crate::support::{Run, Verdict, ensure, ensure_eq};
use std::os::unix::fs::PermissionsExt;

/// Every deed at every place: what is told, beside what a process of bob's may really do.
pub(super) fn deeds() -> Verdict {
    let host = Host::new("")?;
    let places = [
        "/",
        "/open",
        "/open/file",
        "/open/secret",
        "/open/program",
        "/open/setid",
        "/open/sub",
        "/open/sub/file",
        "/open/link",
        "/open/astray",
        "/open/nothing",
        "/closed",
        "/closed/file",
        "/bobs",
        "/bobs/file",
        "/bobs/new",
        "/bobs/none/new",
        "/noexec/program",
        "/mine",
        "/mine/new",
        "/tmp",
        "/tmp/new",
        "/usr/bin/true",
        "/bin/sh",
        "/dev/null",
        "/dev",
        "/dev/shm/new",
        "/gone",
        "/nowhere",
        "/setid/program",
        "/deep/ro",
        "/deep/ro/file",
        "/deep/ro/new",
        "/deep/past",
        "/deep/dangling",
        "/deep/orphan",
        "/deep/script",
        "/deep/true",
        "/deep/slash",
        "/deep/slash/x",
        "/deep/absolute",
        "/deep/blind",
        "/deep/all",
        "/flat/all",
        "/flat/ro/file",
        "/nolinks/link",
        "/nolinks/program",
    ];
    let own = format!("/users/{}", host.bob.name);
    let mut places: Vec<String> = places.map(str::to_owned).to_vec();
    places.extend([own.clone(), format!("{own}/new")]);
    let mut script = String::new();
    for place in &places {
        // A new file is made to see whether it can be, and taken away; a device is as good as a file.
        script.push_str(&format!(
            "p={place}; r=1; w=1; x=1\n\
             if [ -d $p ]; then ls $p >/dev/null 2>&1 && r=0; ( : >$p/.try ) 2>/dev/null && w=0 && rm $p/.try; \
             ( cd $p ) 2>/dev/null && x=0\n\
             elif [ -e $p ]; then ( : <$p ) 2>/dev/null && r=0; ( : >>$p ) 2>/dev/null && w=0; \
             ( exec $p -c : ) >/dev/null 2>&1 && x=0\n\
             else t=$(readlink -m $p); ( : >$p ) 2>/dev/null && w=0 && rm $t; fi\n\
             echo $p $r $w $x\n"
        ));
    }
    let really = host.inside(&script)?.output()?;
    let mut compared = [0, 0];
    for (line, place) in really.lines().zip(&places) {
        let words: Vec<&str> = line.split(' ').collect();
        for (at, deed) in ["read", "write", "exec"].into_iter().enumerate() {
            let told = host.ask("can", &[deed, place])?;
            let code = told.code.unwrap_or(-1);
            let really: i32 = words[at + 1].parse()?;
            // What the host has mounted over it is all that can be seen from there.
            let really = if place == "/flat/ro/file" { 125 } else { really };
            ensure_eq!((place, deed, code), (place, deed, really), "told: {}{}", told.stdout, told.stderr);
            compared[usize::from(code == 0)] += 1;
        }
    }
    ensure!(
        really.lines().count() == places.len() && compared.iter().all(|count| *count > 15),
        "{compared:?}"
    );

    // By its set-id bit: only where the map, the profile and the bit allow it.
    for (settings, place, answer) in [
        ("", "/setid/setid", 1),
        ("no_new_privs = false", "/setid/setid", 0),
        ("no_new_privs = false", "/setid/program", 1),
        ("no_new_privs = false", "/open/setid", 1),
    ] {
        let host = Host::new(settings)?;
        let told = host.ask("can", &["suid", place])?;
        ensure_eq!(told.code, Some(answer), "{settings} {place}: {}{}", told.stdout, told.stderr);
    }
    Ok(())
}

/// Inside, root has the capabilities that the map leaves, and no other.
pub(super) fn root_inside() -> Verdict {
    for (settings, answer) in [("", 1), ("capabilities = [\"CAP_DAC_OVERRIDE\"]", 0)] {
        let host = Host::new(settings)?;
        let private = host.world.path("bobs/file");
        std::fs::set_permissions(&private, PermissionsExt::from_mode(0o600))?;
        let map = host.world.path("map.toml");
        let told = Run::new(SESSIONCTL)
            .args(["can", "--user", "root", "read", "/bobs/file", "--config"])
            .arg(&map)
            .finish()?;
        let really = host.world.enter(["--user", "root", "--", "cat", "/bobs/file"])?.finish()?;
        ensure_eq!((told.code, really.code), (Some(answer), Some(answer)), "{settings}: {}", told.stdout);
    }
    Ok(())
}
