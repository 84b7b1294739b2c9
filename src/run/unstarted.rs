//! Why the kernel did not start a program. Its one word for that may mean the program, or what the program needs, or the
//! mount that it lies on; the file itself tells which.

use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::io::Errno;

use crate::error::{Error, ErrorKind};
use crate::model::path::AbsPath;
use crate::model::policy::Origin;
use crate::model::program::named_in;
use crate::plan::step::TreeStep;
use crate::sys;
use crate::sys::path::Kind;

/// A script may name a script; the kernel follows as many.
const SCRIPTS_MAX: usize = 5;

/// The error for `file`, which `error` kept from being started. `tree` is what is inside.
pub(super) fn explain(file: &OsStr, is_login_shell: bool, tree: &[TreeStep], error: sys::Error) -> Error {
    let shell = if is_login_shell { "the login shell " } else { "" };
    let shown = shown_by(file, tree).map(|origin| format!(" ({origin})")).unwrap_or_default();
    let who = format!("{shell}{file:?}{shown}");
    let Why { kind, what, help } = match Errno::from_raw_os_error(error.errno()) {
        Errno::NOENT | Errno::NOTDIR => not_found(file),
        Errno::ACCESS | Errno::PERM => refused(file),
        Errno::NOEXEC => no_program(file),
        Errno::TOOBIG => Why::not_executable(
            "is given more arguments and environment than the kernel takes",
            "shorten them, or raise `ulimit -s`",
        ),
        Errno::TXTBSY => Why::not_executable("is being written to", "wait until that is done, and try again"),
        _ => Why { kind: ErrorKind::NotExecutable, what: "cannot be executed".to_owned(), help: None },
    };
    let explained = Error::new(kind, format!("{who} {what}")).caused_by(error);
    match help {
        Some(help) => explained.help(help),
        None => explained,
    }
}

/// The entry of the map that shows what is at `file`, or would.
fn shown_by<'a>(file: &OsStr, tree: &'a [TreeStep]) -> Option<&'a Origin> {
    let file = AbsPath::new(file.to_str()?).ok()?;
    let above = tree.iter().filter(|step| file == step.target || file.is_below(&step.target));
    above.max_by_key(|step| step.target.depth()).map(|step| &step.origin)
}

struct Why {
    kind: ErrorKind,
    what: String,
    help: Option<String>,
}

impl Why {
    fn not_executable(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { kind: ErrorKind::NotExecutable, what: what.into(), help: Some(help.into()) }
    }

    fn not_found(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { kind: ErrorKind::NotFound, what: what.into(), help: Some(help.into()) }
    }
}

fn not_found(file: &OsStr) -> Why {
    if sys::peek::place(file).is_err() {
        return match sys::peek::link_text(file) {
            Ok(to) => Why::not_found(
                format!("is a symbolic link to {to:?}, which leads nowhere inside"),
                "the map must show what it leads to",
            ),
            Err(_) => {
                let first = first_missing(file);
                let what = match first {
                    Some(first) => format!("was not found inside: there is no {first:?}"),
                    None => "was not found inside".to_owned(),
                };
                Why::not_found(what, "the map must show it; `--dry-run` prints what is inside")
            }
        };
    }
    match missing_of(file) {
        Some(Missing { of, what, path }) => {
            let what = if of == file {
                format!("is there, and its {what} {path:?} was not found inside")
            } else {
                format!("is there, and {path:?}, the {what} of {of:?}, which it names, was not found inside")
            };
            let help = if path.as_bytes().ends_with(b"\r") {
                "its first line ends in a carriage return: save it with the line ends of Unix".to_owned()
            } else {
                format!("the map must show {path:?} to this user")
            };
            Why::not_found(what, help)
        }
        None => Why::not_found(
            "is there, and the interpreter or loader that it names was not found inside",
            "the map must show that, too; `file` or `head -1` says which it is",
        ),
    }
}

/// The outermost directory on the way to `file` that is not there, or `None` where it is the file.
fn first_missing(file: &OsStr) -> Option<&Path> {
    let path = Path::new(file);
    let missing = path
        .ancestors()
        .skip(1)
        .take_while(|part| !part.as_os_str().is_empty() && !is_there(part.as_os_str()));
    missing.last()
}

fn is_there(file: &OsStr) -> bool {
    sys::peek::place(file).is_ok()
}

/// Something that a program names, and that is not there.
#[derive(Debug, PartialEq, Eq)]
struct Missing {
    of: OsString,
    what: &'static str,
    path: OsString,
}

fn missing_of(file: &OsStr) -> Option<Missing> {
    let mut of = file.to_owned();
    for _ in 0..SCRIPTS_MAX {
        let (what, path) = named_in(&sys::peek::head(&of).ok()?)?;
        if !is_there(&path) {
            return Some(Missing { of, what, path });
        }
        of = path;
    }
    None
}

fn refused(file: &OsStr) -> Why {
    let place = match sys::peek::place(file) {
        Ok(place) => place,
        Err(_) => {
            let reached = Path::new(file).ancestors().skip(1).find(|part| is_there(part.as_os_str()));
            let reached = reached.unwrap_or_else(|| Path::new("/"));
            return Why::not_executable(
                format!("cannot be reached by this user: {reached:?} may not be passed"),
                format!(
                    "give the user the right to search {reached:?}, or have the map show the program elsewhere"
                ),
            );
        }
    };
    let status = sys::path::status(place.as_fd()).ok();
    match status.map(|status| status.kind) {
        Some(Kind::Directory) => return Why::not_executable("is a directory", "name a program in it"),
        Some(Kind::File) | None => {}
        Some(_) => return Why::not_executable("is no regular file", "name a program"),
    }
    if sys::peek::is_on_noexec(place.as_fd()).unwrap_or(false) {
        return Why::not_executable(
            "lies on a mount with `noexec`",
            "take `noexec` out of the options of the entry that shows it; if they do not have it, the host's own mount does",
        );
    }
    if status.is_some_and(|status| status.mode & 0o111 == 0) {
        return Why::not_executable(
            "may be executed by nobody",
            format!("chmod +x {file:?}, if it is a program"),
        );
    }
    Why::not_executable(
        "cannot be executed by this user",
        "check its permissions, and those of the interpreter that it names; where they allow it, a security module (SELinux, AppArmor) refuses: look into the audit log",
    )
}

fn no_program(file: &OsStr) -> Why {
    let head = sys::peek::head(file).unwrap_or_default();
    if let Some(machine) = machine_of(&head)
        && let Some((own, _)) = MACHINES.iter().find(|(_, name)| *name == std::env::consts::ARCH)
        && machine != *own
    {
        let known = MACHINES.iter().find(|(number, _)| *number == machine);
        let name = known.map_or_else(|| format!("ELF machine {machine}"), |(_, name)| (*name).to_owned());
        return Why::not_executable(
            format!("is a program for another machine ({name})"),
            format!("have the map show the one for {}", std::env::consts::ARCH),
        );
    }
    let what = if head.is_empty() { "is empty, or cannot be read" } else { "is no program for this machine" };
    Why::not_executable(what, "a script needs a first line such as #!/bin/sh")
}

/// The number of a machine in ELF, and what Rust calls it.
const MACHINES: [(u16, &str); 9] = [
    (3, "x86"),
    (21, "powerpc64"),
    (22, "s390x"),
    (40, "arm"),
    (43, "sparc64"),
    (62, "x86_64"),
    (183, "aarch64"),
    (243, "riscv64"),
    (258, "loongarch64"),
];

fn machine_of(head: &[u8]) -> Option<u16> {
    let bytes = head.starts_with(b"\x7fELF").then(|| head.get(18..20)).flatten()?;
    let bytes = [bytes[0], bytes[1]];
    Some(if head[5] == 2 { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_says_for_which_machine_it_is() {
        let own = sys::peek::head(OsStr::new("/proc/self/exe")).unwrap();
        assert!(machine_of(&own).is_some_and(|own| MACHINES.contains(&(own, std::env::consts::ARCH))));
        assert_eq!(machine_of(b"#!/bin/sh\n"), None);
    }

    #[test]
    fn the_outermost_directory_that_is_missing_is_named() {
        assert_eq!(first_missing(OsStr::new("/no/such/program")), Some(Path::new("/no")));
        assert_eq!(first_missing(OsStr::new("/dev/no-such-program")), None);
        assert_eq!(first_missing(OsStr::new("./no-such-program")), None);
    }
}
