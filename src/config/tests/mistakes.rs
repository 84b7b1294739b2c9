//! One mistake after the other, and what is said about it.

use super::mistakes;

pub(super) type Case = (&'static str, &'static [&'static str]);

/// `{}` in `context` stands for the input.
pub(super) fn check(context: &str, cases: &[Case]) {
    let mut wrong = Vec::new();
    for (input, expected) in cases {
        let found = mistakes(&context.replace("{}", input));
        if found != *expected {
            wrong.push(format!("{input}\n  expected {expected:#?}\n  found {found:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// The input is whole files.
#[test]
fn mistakes_in_a_file_are_named() {
    check(
        "{}",
        &[
            (
                r#"[[profile]]
name = "p""#,
                &["1:1: `version = 1` is missing | put it at the top of the file"],
            ),
            (
                r#"version = 2
[[profile]]
name = "p"
typo = 1"#,
                &["1:11: version `2` is not supported | this program reads version 1"],
            ),
            (r#"version = "1""#, &["1:11: `version` must be the integer 1, not a string"]),
            (
                "version = 1",
                &[
                    "1:1: the map has no profile | a policy without one would let every login pass as it is; write at least one `[[profile]]`",
                ],
            ),
            (
                r#"version = 1
defualts = {}
[[profile]]
name = "p""#,
                &["2:1: unknown key `defualts` | did you mean `defaults`?"],
            ),
            (
                r#"version = 1
profile = { name = "p" }"#,
                &["2:11: `profile` must be a list of tables | write `[[profile]]` above each"],
            ),
            (
                r#"version = 1
profile = ["p", 1]"#,
                &[
                    "2:12: each `profile` must be a table, not a string",
                    "2:17: each `profile` must be a table, not an integer",
                ],
            ),
            (
                r#"version = 1
[[profile]]"#,
                &["2:1: `name` is missing"],
            ),
            (
                r#"version = 1
[[profile]]
name = 7"#,
                &["3:8: `name` must be a string, not an integer"],
            ),
            (
                r#"version = 1
[[profile]]
name = "Login""#,
                &[
                    "3:8: `Login` is no name for a profile | a small letter or digit, then these and `_ . -`, 64 at most",
                ],
            ),
            (
                r#"version = 1
[[profile]]
name = "p"
[[profile]]
name = "p""#,
                &["5:8: a second profile `p` in one file | the first is at m:2"],
            ),
            (
                r#"version = 1
[[profile]]
name = "p"
override = true"#,
                &["4:1: `override` is only for drop-ins: there is nothing below this file"],
            ),
            (
                r#"version = 1
[[profile]]
name = "p"
mask = true"#,
                &["4:1: `mask` is only for drop-ins: there is nothing below this file"],
            ),
            (
                r#"version = 1
[[profile]]
name = "p"
extend = "q""#,
                &["4:1: unknown key `extend` | did you mean `extends`?"],
            ),
            (
                r#"version = 1
[[profile]]
name = "p"
extends = "loign"
[[profile]]
name = "login""#,
                &["4:11: profile `p` extends `loign`, which is not there | did you mean `login`?"],
            ),
            (
                r#"version = 1
[[profile]]
name = "p"
extends = "p""#,
                &["4:11: profile `p` extends itself: p -> p"],
            ),
            (
                r#"version = 1
[[profile]]
name = "x"
extends = "b"
[[profile]]
name = "a"
extends = "b"
[[profile]]
name = "b"
extends = "c"
[[profile]]
name = "c"
extends = "a""#,
                &["7:11: profile `a` extends itself: a -> b -> c -> a"],
            ),
            (
                r#"version = 1
[[profile]]
name = "p"
[profile.mount]
target = "/usr""#,
                &["4:1: `mount` must be a list of tables | write `[[profile.mount]]` above each"],
            ),
            (
                r#"version = 1
[[profile]]
name = "p"
[[profile.mount]]
target = "/usr"
[[profile.mount]]
target = "//usr/"
[[profile.mount]]
kind = "system"
paths = ["/bin", "/usr"]"#,
                &[
                    "7:1: a second entry for `/usr` in one profile | the first is at m:5",
                    "9:1: a second entry for `/usr` in one profile | the first is at m:5",
                ],
            ),
            (
                r#"version = 1
[[profile]]
name = "p"
[[profile.mount]]
kind = "remove"
target = "/usr""#,
                &[
                    "5:1: nothing to remove: profile `p` does not extend another one | leave the entry out, or say which profile is extended",
                ],
            ),
            (
                r#"version = 1
[[profile]]
name = "p"
[[profile.mount]]
target = "/usr"
[[profile]]
name = "q"
extends = "p"
[[profile.mount]]
kind = "remove"
target = "/ust""#,
                &["10:1: nothing to remove at `/ust` | did you mean `/usr`?"],
            ),
            (
                r#"version = 1
umask = 022"#,
                &[r#"2:9: unexpected leading zero, expected nothing | octal numbers stand in quotes: "022""#],
            ),
            (
                r#"version = 1
[[profile]]
name = "p"#,
                &[r#"3:10: invalid basic string, expected `"`"#],
            ),
            (
                r#"version = 1
version = 1"#,
                &["2:1: duplicate key"],
            ),
            (
                r#"version = 1
[defaults.set_env]
A = "%x"
LD_PRELOAD = "x"
"B*" = "x"
C = 1
PATH = ""
D = "\u0000"
[[profile]]
name = "p"
set_env = "A=b""#,
                &[
                    "3:5: unknown variable `%x`; known are %u %U %g %G %h %s %t %i, and %% for a percent sign",
                    "4:1: `LD_PRELOAD` is refused because of `LD_*`: it tells the dynamic linker what to load",
                    "5:1: `B*` is a pattern; only one variable can be set at a time",
                    "6:5: `C` must be a string, not an integer",
                    "7:8: a session needs a PATH; an empty one means the current directory",
                    "8:5: a value in the environment cannot hold a NUL character",
                    "11:11: `set_env` must be a table, not a string",
                ],
            ),
        ],
    );
}

/// The input is one line of `[defaults]`.
#[test]
fn mistakes_in_settings_are_named() {
    check(
        "version = 1\n[defaults]\n{}\n[[profile]]\nname = \"p\"\n",
        &[
            (r#"root = "workspace""#, &[r#"3:8: path "workspace" is not absolute"#]),
            (
                r#"root = "/w/%x""#,
                &["3:8: unknown variable `%x`; known are %u %U %g %G %h %s %t %i, and %% for a percent sign"],
            ),
            (
                r#"root = "/w/%u/%h""#,
                &[r#"3:8: `%h` is a whole path and can only stand at the beginning of "/w/%u/%h""#],
            ),
            (r#"mode = "chrot""#, &["3:8: unknown mode `chrot` | did you mean `chroot`?"]),
            ("mode = true", &["3:8: `mode` must be a string, not a boolean"]),
            (
                r#"scope = "named""#,
                &[
                    "4:1: profile `p` has the scope `named` and no `scope_name` | say what the sessions share, for instance scope_name = \"project-%g\"",
                ],
            ),
            // One mistake, one error: a name that cannot be read is not missing as well.
            (
                "scope = \"named\"\nscope_name = \"%x\"",
                &[
                    "4:14: unknown variable `%x`; known are %u %U %g %G %h %s %t %i, and %% for a percent sign",
                ],
            ),
            ("scope = \"named\"\nscope_name = 5", &["4:14: `scope_name` must be a string, not an integer"]),
            ("scope = true", &["3:9: `scope` must be a string, not a boolean"]),
            ("on_change = 1", &["3:13: `on_change` must be a string, not an integer"]),
            ("linger = 10", &["3:10: `linger` must be a string, not an integer"]),
            (
                r#"linger = "721h""#,
                &[
                    "3:10: unknown linger `721h` | known are `no`, `processes` and a time from \"1s\" to \"720h\", with s, m or h for seconds, minutes or hours",
                ],
            ),
            (
                r#"scope_name = "%x""#,
                &[
                    "3:14: unknown variable `%x`; known are %u %U %g %G %h %s %t %i, and %% for a percent sign",
                ],
            ),
            (r#"on_change = "maybe""#, &["3:13: unknown on_change `maybe` | known are: join, new"]),
            (
                r#"linger = "soon""#,
                &[
                    "3:10: unknown linger `soon` | known are `no`, `processes` and a time from \"1s\" to \"720h\", with s, m or h for seconds, minutes or hours",
                ],
            ),
            (r#"scope = "session2""#, &["3:9: unknown scope `session2` | did you mean `session`?"]),
            (r#"wall = "firewall""#, &["3:8: unknown wall `firewall` | known are: pidns, landlock, none"]),
            (r#"no_new_privs = "yes""#, &["3:16: `no_new_privs` must be `true` or `false`, not a string"]),
            (
                r#"capabilities = ["CAP_NET_BIND_SERVCE", "net_raw", "x"]"#,
                &[
                    "3:17: unknown capability `CAP_NET_BIND_SERVCE` | did you mean `CAP_NET_BIND_SERVICE`?",
                    "3:51: unknown capability `x` | capabilities(7) lists them; `all` stands for every one",
                ],
            ),
            (r#"capabilities = "CAP_KILL""#, &["3:16: `capabilities` must be a list, not a string"]),
            (
                r#"capabilities = ["CAP_KILL", 7]"#,
                &["3:29: a value of `capabilities` must be a string, not an integer"],
            ),
            (
                "umask = 18",
                &[
                    r#"3:9: `umask` must be a string of octal digits | write it as octal digits in quotes: umask = "022""#,
                ],
            ),
            (
                r#"umask = "22x""#,
                &[
                    r#"3:9: umask `22x` is no octal number up to 0777 | write it as octal digits in quotes: umask = "022""#,
                ],
            ),
            (
                r#"umask = "1000""#,
                &[
                    r#"3:9: umask `1000` is no octal number up to 0777 | write it as octal digits in quotes: umask = "022""#,
                ],
            ),
            (
                r#"umask = "+22""#,
                &[
                    r#"3:9: umask `+22` is no octal number up to 0777 | write it as octal digits in quotes: umask = "022""#,
                ],
            ),
            (r#"shell = "bash""#, &[r#"3:9: path "bash" is not absolute"#]),
            (
                r#"keep_env = ["LD_PRELOAD", "BASH_*", "*", "L*", "A-B", "LC_*X"]"#,
                &[
                    "3:13: `LD_PRELOAD` is refused because of `LD_*`: it tells the dynamic linker what to load",
                    "3:27: `BASH_*` is refused because of `BASH_ENV`: bash runs the file that it names",
                    "3:37: `*` would keep the whole environment of the caller; name what a session needs",
                    "3:42: `L*` is refused because of `LD_*`: it tells the dynamic linker what to load",
                    "3:48: `A-B` is no name of a variable: letters, digits and `_`, with `*` only at the end",
                    "3:55: `LC_*X` is no name of a variable: letters, digits and `_`, with `*` only at the end",
                ],
            ),
            (
                r#"extends = "p""#,
                &[
                    "3:1: unknown key `extends` | known keys are: capabilities, cgroup, ipc, isolation, keep_env, linger, mode, net, no_new_privs, on_change, on_outside, root, scope, scope_name, set_env, shell, tiocsti, umask, uts, wall",
                ],
            ),
            ("kep_env = []", &["3:1: unknown key `kep_env` | did you mean `keep_env`?"]),
        ],
    );
}

/// The input is what is between the braces of `match`.
#[test]
fn mistakes_in_matches_are_named() {
    check(
        "version = 1\n[[profile]]\nname = \"p\"\nmatch = { {} }\n",
        &[
            (
                "user = []",
                &[
                    "4:18: the empty list `user` would match nobody | leave the key out where it does not matter",
                ],
            ),
            (
                "not_user = []",
                &[
                    "4:22: the empty list `not_user` would except nobody | leave the key out where it does not matter",
                ],
            ),
            (
                r#"user = ["bob", "*"]"#,
                &["4:26: `*`: user names are compared as they are, without wildcards"],
            ),
            (r#"user = "1000""#, &["4:18: `1000` is no user name; for user ids there is `uid`"]),
            (
                r#"user = "@wheel""#,
                &[r#"4:18: `@wheel` is no user name; for the group write `group = "wheel"`"#],
            ),
            (
                r#"user = ["a b", 7]"#,
                &[
                    r#"4:19: user name "a b" holds ' '; allowed are a letter or `_`, then letters, digits and `_ . - @`, with one `$` at the end"#,
                    "4:26: a value of `user` must be a string, not an integer",
                ],
            ),
            (r#"group = """#, &["4:19: `` is no group name"]),
            (
                r#"group = ["100", "a:b", "w*"]"#,
                &[
                    "4:20: `100` is a number, and a number is never taken for a group",
                    "4:27: `a:b` is no group name",
                    "4:34: `w*`: group names are compared as they are, without wildcards",
                ],
            ),
            (
                r#"uid = [1000, "2000-3000", "9-1", -1, 4294967295, "4294967295", 5000000000, "x", true]"#,
                &[
                    "4:37: the range `9-1` ends before it begins",
                    "4:44: `-1` is no user id and no range such as `1000-59999`",
                    r#"4:48: user id 4294967295 means "no user" to the kernel"#,
                    r#"4:60: user id 4294967295 means "no user" to the kernel"#,
                    "4:74: user id `5000000000` is too large",
                    "4:86: `x` is no user id and no range such as `1000-59999`",
                    r#"4:91: a value of `uid` must be a user id or a range such as "1000-59999", not a boolean"#,
                ],
            ),
            (
                r#"service = "a**b""#,
                &[
                    "4:21: pattern `a**b`: recursive wildcards must form a single path component at character 1",
                ],
            ),
            (
                r#"service = ["[", ""]"#,
                &[
                    "4:22: pattern `[`: invalid range pattern at character 1",
                    "4:27: pattern `` matches nothing",
                ],
            ),
            (r#"tty = "/dev/pts/3""#, &["4:17: terminals are named without `/dev/`: write `pts/3`"]),
            (
                r#"rhost = "a***""#,
                &["4:19: pattern `a***`: wildcards are either regular `*` or recursive `**` at character 4"],
            ),
            (
                r#"exists = ["x", "/y/%q", "/ok/%u"]"#,
                &[
                    r#"4:21: path "x" is not absolute"#,
                    "4:26: unknown variable `%q`; known are %u %U %g %G %h %s %t %i, and %% for a percent sign",
                ],
            ),
            (r#"usr = "bob""#, &["4:11: unknown key `usr` | did you mean `user`?"]),
            (
                r#"remote_host = "x""#,
                &[
                    "4:11: unknown key `remote_host` | known keys are: exists, group, not_exists, not_group, not_rhost, not_service, not_tty, not_uid, not_user, rhost, service, tty, uid, user",
                ],
            ),
            (r#"not_uid = "0-""#, &["4:21: `0-` is no user id and no range such as `1000-59999`"]),
            ("service = { a = 1 }", &["4:21: a value of `service` must be a string, not a table"]),
        ],
    );
}

/// The input is what follows `version = 1`.
#[test]
fn a_missing_scope_name_is_reported_where_it_is_missing() {
    check(
        "version = 1\n{}",
        &[
            // The child lacks only what its parent lacks.
            (
                "[[profile]]\nname = \"p\"\nscope = \"named\"\n[[profile]]\nname = \"c\"\nextends = \"p\"\nmatch = { user = \"x\" }",
                &[
                    "2:1: profile `p` has the scope `named` and no `scope_name` | say what the sessions share, for instance scope_name = \"project-%g\"",
                ],
            ),
            // A parent that is not there may have had one.
            (
                "[[profile]]\nname = \"c\"\nextends = \"gone\"\nscope = \"named\"",
                &["4:11: profile `c` extends `gone`, which is not there | known profiles: c"],
            ),
            // Each profile may have a name of its own for what [defaults] say, and may say otherwise.
            (
                "[defaults]\nscope = \"named\"\n[[profile]]\nname = \"a\"\nscope_name = \"a\"\nmatch = { user = \"a\" }\n[[profile]]\nname = \"b\"\nscope = \"user\"",
                &[],
            ),
        ],
    );
}
