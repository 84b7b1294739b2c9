//! What `sessionctl` can do, and how it is told to.

use command_line::{Command, Example, Flag, HELP, Hint, Program, VERSION, Words};

const USER: Flag = Flag::with("user", "NAME", Hint::User, "Whose");
const JSON: Flag = Flag::switch("json", "For programs");
const CONFIG: Flag = Flag::with("config", "FILE", Hint::File, "Read this map, and no other");
const SERVICE: Flag = Flag::with(
    "service",
    "NAME",
    Hint::Any,
    "The door to match profiles against: the name of a PAM service, such as sshd",
);
const PROFILE: Flag =
    Flag::with("profile", "NAME", Hint::Any, "Use this profile of the map, whatever matches");
const VIEW: Flag =
    Flag::with("view", "VIEW", Hint::Any, "A view by the name that `list` shows, such as user-1001.login");
const SESSION: Flag = Flag::with("session", "NAME", Hint::Any, "One session, by the name that `list` shows");
/// How a login comes in, for commands that explain what it would find.
const DOOR: [Flag; 10] = [
    Flag::with("user", "NAME", Hint::User, "Whose logins; without it, your own"),
    Flag::with("service", "NAME", Hint::Any, "The door: the name of a PAM service; without it, sshd"),
    Flag::with("tty", "TTY", Hint::Any, "The terminal that the login comes on, without /dev/"),
    Flag::with("rhost", "HOST", Hint::Any, "The host that the login comes from"),
    PROFILE,
    CONFIG,
    CHROOT_CONF,
    CHROOT_OPTIONS,
    Flag::with("namespace-conf", "FILE", Hint::File, "Instead of a map, read this file of pam_namespace's"),
    Flag::with("namespace-options", "WORDS", Hint::Any, "With it: what stands behind pam_namespace.so"),
];
const CHROOT_CONF: Flag =
    Flag::with("chroot-conf", "FILE", Hint::File, "Instead of a map, read this file of pam_chroot's");
const CHROOT_OPTIONS: Flag =
    Flag::with("chroot-options", "WORDS", Hint::Any, "With it: what stands behind pam_chroot.so");
const ROOT: Flag =
    Flag::with("root", "DIR", Hint::Folder, "The host whose root is DIR, for whoever builds images");

const fn example(typed: &'static str, does: &'static str) -> Example {
    Example { typed, does }
}

const LIST: Command = Command {
    name: "list",
    usage: &["[--json]"],
    about: "Show the views and sessions that live",
    details: &["Views with their scope, generation, sessions, processes, age and mounts; and every session."],
    words: Words::None,
    options: &[JSON],
    status: None,
    examples: &[example("list", "what lives on this host")],
};

const BEGIN: Command = Command {
    name: "begin",
    usage: &["--user NAME [--service NAME] [--profile NAME] [--config FILE]"],
    about: "Open a session that lasts until it is ended, and print its name",
    details: &["Its session scripts run as for a login."],
    words: Words::None,
    options: &[USER, SERVICE, PROFILE, CONFIG],
    status: None,
    examples: &[example("begin --user bob", "a session of bob's, to be ended by `end --session`")],
};

const ENTER: Command = Command {
    name: "enter",
    usage: &[
        "(--user NAME | --view VIEW | --session NAME) [--as-root] [--config FILE] [--] [COMMAND [ARG...]]",
    ],
    about: "Run a command, or a shell, in a view that lives",
    details: &[
        "As its user; or, with --as-root, as root with all of root's rights. The user can change files there: as \
         root run nothing of theirs.",
    ],
    words: Words::Program,
    options: &[
        USER,
        VIEW,
        SESSION,
        Flag::switch("as-root", "As root, with all rights, in a tree whose user can change parts of it"),
        CONFIG,
    ],
    status: Some("that of the command; 125 when it could not be started"),
    examples: &[example("enter --user bob --as-root ls -la /tmp", "look at what bob sees")],
};

const END: Command = Command {
    name: "end",
    usage: &["(--user NAME | --view VIEW | --session NAME)"],
    about: "End a session, a view, or all that a user has",
    details: &[
        "Of a user, all sessions and the views that are that user's alone; with every process in them. The scripts \
         of their end run. Of a display manager's session only that much is ended: the display manager itself \
         is not.",
    ],
    words: Words::None,
    options: &[USER, VIEW, SESSION],
    status: None,
    examples: &[example("end --user bob", "end all of bob's sessions and views")],
};

const RECOVER: Command = Command {
    name: "recover",
    usage: &[""],
    about: "Begin again what was begun before the host was restarted",
    details: &[
        "Or before the process that was the session was killed. What `end` has ended stays ended. For each, the old \
         name and the new one are printed.",
    ],
    words: Words::None,
    options: &[],
    status: None,
    examples: &[example("recover", "at boot, for the sessions of `begin`")],
};

const GC: Command = Command {
    name: "gc",
    usage: &["[--json]"],
    about: "Take away what belongs to nobody alive; safe at any moment",
    details: &[
        "The package's session-sandbox-gc.timer calls it once a day. What a login is using is left alone.",
    ],
    words: Words::None,
    options: &[JSON],
    status: None,
    examples: &[example("gc", "take away what was left behind")],
};

const SCRIPTS: Command = Command {
    name: "scripts",
    usage: &["[--session NAME] [--json]", "--test [--user NAME] [--config FILE]"],
    about: "Show what session scripts have run, and how each ended",
    details: &[
        "Those that run now are among them. With --test, whether they work on this host, and what would run for \
         a user.",
    ],
    words: Words::None,
    options: &[
        Flag::with("session", "NAME", Hint::Any, "Of this session alone, ended or not"),
        JSON,
        Flag::switch("test", "Run a session with scripts of its own, and look at those of the user"),
        USER,
        Flag::with("config", "FILE", Hint::File, "With --test: this session-scripts.conf"),
    ],
    status: Some("1 when --test finds something wrong"),
    examples: &[
        example("scripts --session Session7", "what ran for one session"),
        example("scripts --test --user bob", "whether bob's would run"),
    ],
};

const PLAN: Command = Command {
    name: "plan",
    usage: &[
        "[--user NAME] [--service NAME] [--tty TTY] [--rhost HOST] [--profile NAME] [--config FILE] [--tree | --json]",
    ],
    about: "Show what a login would find, and which line of the map says so",
    details: &[
        "Step by step: where, what, with which restrictions, what the source is on this host, and how the map \
         writes it. Needs no privilege: what you may not see is said.",
    ],
    words: Words::None,
    options: &[
        DOOR[0],
        DOOR[1],
        DOOR[2],
        DOOR[3],
        DOOR[4],
        DOOR[5],
        DOOR[6],
        DOOR[7],
        DOOR[8],
        DOOR[9],
        Flag::switch("tree", "As the tree that the session will see"),
        JSON,
    ],
    status: Some("125 when there is no plan, with every reason"),
    examples: &[
        example("plan --user bob --service sshd --tree", "what bob will see when he comes by ssh"),
        example("plan --config new.toml --user bob", "the same by a map that is not in place yet"),
    ],
};

const WHY: Command = Command {
    name: "why",
    usage: &["[OPTION...] PATH"],
    about: "Show which line of the map shows a path, hides it or protects it",
    details: &["With everything on the way to it. Links are followed as they are inside."],
    words: Words::UpTo(1, Hint::File),
    options: &DOOR,
    status: None,
    examples: &[example("why --user bob /usr/bin/sudo", "why it does not work for bob")],
};

const CAN: Command = Command {
    name: "can",
    usage: &["[OPTION...] (read | write | exec | suid) PATH"],
    about: "Tell whether a user's session can do something with a path",
    details: &[
        "read, write, exec (run a program, go into a directory), or suid (gain rights by its set-id bit). As root \
         the kernel is asked in the user's name, access control lists and all.",
    ],
    words: Words::Choice(&["read", "write", "exec", "suid"], Hint::File),
    options: &DOOR,
    status: Some("0 for yes, 1 for no, 125 when it cannot be told"),
    examples: &[example("can --user bob write /tmp/x", "may bob write there?")],
};

const DIFF: Command = Command {
    name: "diff",
    usage: &[
        "[--user NAME | --view VIEW | --session NAME] [--config FILE] [--json]",
        "--pid PID [--user NAME] [--profile NAME] [--config FILE] [--json]",
    ],
    about: "Compare what is mounted in a living view with what the map says now",
    details: &[
        "Without options every view. Each difference is named with the line of the map and how it may have come \
         about. With --pid, what that process sees, which needs no privilege for processes of your own.",
    ],
    words: Words::None,
    options: &[
        Flag::with(
            "user",
            "NAME",
            Hint::User,
            "The views of this user; with --pid whose plan, if not that of the process's owner",
        ),
        VIEW,
        SESSION,
        Flag::with("pid", "PID", Hint::Any, "What this process sees, by the number that this host gives it"),
        Flag::with("profile", "NAME", Hint::Any, "With --pid: the plan by this profile, whatever matches"),
        CONFIG,
        JSON,
    ],
    status: Some("0 when there is no difference, 1 when there is one, 125 when it cannot be told"),
    examples: &[
        example("diff", "is every view what the map says?"),
        example("diff --session Session7", "and this session's?"),
    ],
};

const CHECK: Command = Command {
    name: "check",
    usage: &[
        "[[--drop-in] FILE...] [--user NAME | --all-users] [--strict] [--format text | json | sarif]",
        "--chroot-conf FILE [--chroot-options WORDS] [--user NAME] [--strict] [--format text | json | sarif]",
    ],
    about: "Show everything that is wrong with a map, before somebody logs in",
    details: &[
        "Every mistake at once, each with its line; whose logins would be refused; what is allowed and probably not \
         meant. Plans are made for a sample of this host's users, by every door that the map names.",
        "Without FILE the map that is in place. Several make up one map: a base, and drop-ins in their order. - is \
         standard input. They may lie anywhere.",
        "With --chroot-conf not a map, but a file of pam_chroot's: lines that are passed over or end logins, patterns \
         that match more than they say, directories that can be nobody's root, and who would get another one with the \
         word `native`.",
    ],
    words: Words::UpTo(64, Hint::File),
    options: &[
        Flag::switch("drop-in", "The files are put on top of the map that is in place"),
        Flag::with("user", "NAME", Hint::User, "Plan for this user"),
        Flag::switch("all-users", "Plan for every user that the host lists"),
        CHROOT_CONF,
        CHROOT_OPTIONS,
        Flag::switch("strict", "Let warnings count as errors"),
        Flag::with("format", "FORMAT", Hint::OneOf(&["text", "json", "sarif"]), "text, json or sarif"),
    ],
    status: Some("0 when there is no error, 1 when there is one, 125 when it could not be checked"),
    examples: &[
        example("check", "is the map in place in order?"),
        example("check new.toml --all-users", "would everybody get in by this one?"),
        example("check --format sarif --strict mounts.toml", "in CI"),
        example("check --chroot-conf chroot.conf --chroot-options use_regex", "pam_chroot's file"),
    ],
};

const AUDIT: Command = Command {
    name: "audit",
    usage: &["[OPTION...] [--strict] [--format text | json | sarif]"],
    about: "Look for ways out of a user's session, from inside",
    details: &[
        "A process of ours becomes the user in a view like the login's and tries: processes, sockets, spools, devices, \
         set-id programs, what can be written to. With what only the host knows: doors without the module, processes \
         outside. Each with the line of the map or the setting that closes it. Nothing is changed, but that sources \
         with `create` are made as by a login. Needs root.",
    ],
    words: Words::None,
    options: &[
        DOOR[0],
        DOOR[1],
        DOOR[2],
        DOOR[3],
        DOOR[4],
        DOOR[5],
        Flag::switch("strict", "Let warnings count as errors"),
        Flag::with("format", "FORMAT", Hint::OneOf(&["text", "json", "sarif"]), "text, json or sarif"),
    ],
    status: Some("0 when no way out was found, 1 when one was, 125 when it could not be looked for"),
    examples: &[
        example("audit --user bob", "what is open for bob, when he comes by ssh?"),
        example("audit --user bob --strict --format sarif", "in CI"),
    ],
};

const SELFTEST: Command = Command {
    name: "selftest",
    usage: &["[OPTION...] [--mode namespace | chroot] [--json]"],
    about: "Try the known attacks on a session, and say which were stopped",
    details: &[
        "Programs of ours with the user's rights try to get out of a view like the login's and to gain rights there: at a \
         file and a process outside that are there for it, by processes, mounts, devices, system calls, and once more as \
         root of a user namespace. Without --user it is a user that nobody is. What does not need a view to be stopped is \
         told apart. Nothing is left behind. Needs root.",
    ],
    words: Words::None,
    options: &[
        Flag::with("user", "NAME", Hint::User, "Whose session; without it, that of a user made for this"),
        DOOR[1],
        DOOR[2],
        DOOR[3],
        PROFILE,
        CONFIG,
        Flag::with("mode", "MODE", Hint::OneOf(&["namespace", "chroot"]), "How the root is switched"),
        JSON,
    ],
    status: Some("0 when no attack got through, 1 when one did, 125 when they could not be tried"),
    examples: &[
        example("selftest", "does the map in place hold, on this host and kernel?"),
        example("selftest --user bob --service sshd", "as bob, when he comes by ssh"),
    ],
};

const DISCOVER: Command = Command {
    name: "discover",
    usage: &["[--root DIR]"],
    about: "Write a map for this host, with comments, ready to be edited",
    details: &[
        "From what is there: folders and links, the mount table, /etc/fstab, automounters, where homes lie, \
         installed services. Nothing is changed; the map is printed. What only root can see is left out with a word.",
    ],
    words: Words::None,
    options: &[ROOT],
    status: None,
    examples: &[
        example("discover > new.toml", "a map to begin with; look at it, then `sessionctl check new.toml`"),
        example("discover --root /srv/image", "for an image"),
    ],
};

const IMPORT: Command = Command {
    name: "import",
    usage: &["--from KIND FILE"],
    about: "Write another program's configuration again as a map",
    details: &[
        "pam_chroot (chroot.conf), pam_namespace (namespace.conf), schroot (schroot.conf), fstab, bwrap (its command \
         line, in a file), systemd (a unit). The map is printed. What it cannot say stands in it as a comment, with \
         the reason, and is listed on standard error with its line. - is standard input.",
    ],
    words: Words::UpTo(1, Hint::File),
    options: &[Flag::with(
        "from",
        "KIND",
        Hint::OneOf(&["pam_chroot", "pam_namespace", "schroot", "fstab", "bwrap", "systemd"]),
        "pam_chroot, pam_namespace, schroot, fstab, bwrap or systemd",
    )],
    status: Some("0 when the map says all of it, 3 when it does not, 125 when nothing could be read"),
    examples: &[
        example(
            "import --from fstab /etc/schroot/default/fstab >new.toml",
            "then `sessionctl check new.toml`",
        ),
        example("import --from pam_chroot /etc/security/chroot.conf", "a profile for each line"),
    ],
};

const SETUP: Command = Command {
    name: "setup",
    usage: &["--method METHOD [--undo] [--dry-run] [--root DIR]"],
    about: "Have logins opened into views; every change is shown first",
    details: &[],
    words: Words::None,
    options: &[
        Flag::with(
            "method",
            "METHOD",
            Hint::OneOf(&["pam", "consolekit", "logind"]),
            "`pam`: a line in the PAM configuration; `consolekit`: a script for ConsoleKit; `logind` says why \
             there is none for it",
        ),
        Flag::switch("undo", "Take back what an earlier setup has changed"),
        Flag::switch("dry-run", "Show what would be changed, and change nothing"),
        ROOT,
    ],
    status: None,
    examples: &[example("setup --method pam --dry-run", "what would be changed")],
};

const DOCTOR: Command = Command {
    name: "doctor",
    usage: &["[--json] [--root DIR]"],
    about: "Look whether logins open a view, and whether all is in order",
    details: &["Every finding has what to do about it. Nothing is changed."],
    words: Words::None,
    options: &[JSON, ROOT],
    status: Some("1 when something is wrong"),
    examples: &[example("doctor", "look at this host")],
};

/// `sessionctl`.
pub static SESSIONCTL: Program = Program {
    name: "sessionctl",
    section: 8,
    about: "Look at and manage sessions and views",
    usage: &[],
    details: &[],
    commands: &[
        PLAN, WHY, CAN, DIFF, CHECK, AUDIT, SELFTEST, DISCOVER, IMPORT, LIST, BEGIN, ENTER, END, RECOVER, GC,
        SCRIPTS, SETUP, DOCTOR,
    ],
    words: Words::None,
    options: &[HELP, VERSION],
    notes: &[],
    status: "0; that of the command with `enter`; 1 when something was found that is not as it should be; \
             125 when something could not be done.",
    examples: &[
        example("plan --user bob --tree", "what bob will see when he logs in"),
        example("list", "what lives"),
        example("end --user bob", "end all of bob's sessions"),
        example("doctor", "whether all is in order"),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_fits_a_terminal_and_contradicts_itself_nowhere() {
        assert_eq!(SESSIONCTL.mistakes(), Vec::<String>::new());
    }
}
