//! One mistake after the other in `[[profile.mount]]`, and what is said about it.

use super::mistakes::check;

/// The input is the lines of one `[[profile.mount]]`.
#[test]
fn mistakes_in_mounts_are_named() {
    check(
        "version = 1\n[[profile]]\nname = \"p\"\n[[profile.mount]]\n{}\n",
        &[
            (r#"kind = "proc""#, &["4:1: `target` is missing"]),
            (r#"target = "usr""#, &[r#"5:10: path "usr" is not absolute"#]),
            ("target = 7", &["5:10: `target` must be a string, not an integer"]),
            (r#"target = "/usr/../etc""#, &[r#"5:10: path "/usr/../etc" holds a `..` component"#]),
            (
                r#"target = "/a"
kind = "overlay""#,
                &["6:8: kind `overlay` is not supported by this version"],
            ),
            (
                r#"target = "/a"
kind = "image""#,
                &["6:8: kind `image` is not supported by this version"],
            ),
            (
                r#"target = "/a"
kind = "tmfps"
sizze = "4M""#,
                &[
                    "6:8: unknown kind `tmfps` | did you mean `tmpfs`?",
                    "7:1: unknown key `sizze` | did you mean `size`?",
                ],
            ),
            (
                r#"target = "/a"
kind = 1"#,
                &["6:8: `kind` must be a string, not an integer"],
            ),
            (
                r#"target = "/a"
options = ["ro", "nosiud"]"#,
                &["6:18: unknown option `nosiud` | did you mean `nosuid`?"],
            ),
            (
                r#"target = "/a"
options = ["ro", "rw", "nosuid", "suid", "ro", "dev", "nodev", "exec", "noexec", "noatime", "noatime", 1]"#,
                &[
                    "6:18: option `rw` contradicts `ro`",
                    "6:34: option `suid` contradicts `nosuid`",
                    "6:42: option `ro` is given twice",
                    "6:55: option `nodev` contradicts `dev`",
                    "6:72: option `noexec` contradicts `exec`",
                    "6:93: option `noatime` is given twice",
                    "6:104: a value of `options` must be a string, not an integer",
                ],
            ),
            (
                r#"target = "/a"
options = ["ro,nosuid"]"#,
                &[r#"6:12: unknown option `ro,nosuid` | write one string for each: "ro", "nosuid""#],
            ),
            (
                r#"target = "/a"
options = "ro""#,
                &["6:11: `options` must be a list, not a string"],
            ),
            (
                r#"target = "/a"
recursive = true
options = ["norecursive"]"#,
                &["6:13: `recursive = true` beside the option `norecursive` | one of the two is enough"],
            ),
            (
                r#"target = "/a"
kind = "tmpfs"
options = ["norecursive"]"#,
                &["7:1: the option `norecursive` is only for entries of kind `bind`"],
            ),
            (
                r#"target = "/a"
size = "4M"
to = "x"
content = "y"
paths = ["/usr"]
mode = "0755"
owner = "root""#,
                &[
                    "6:1: `size` does not belong to an entry of kind `bind` | `size` is for the kinds tmpfs, dev",
                    "7:1: `to` does not belong to an entry of kind `bind` | `to` is for the kind symlink",
                    "8:1: `content` does not belong to an entry of kind `bind` | `content` is for the kind file",
                    "9:1: `paths` does not belong to an entry of kind `bind` | `paths` is for the kind system",
                    "10:1: `mode` says how a source is made, and this one is not | set `create = true` beside it",
                    "11:1: `owner` says how a source is made, and this one is not | set `create = true` beside it",
                ],
            ),
            (
                r#"target = "/a"
kind = "tmpfs"
source = "/b"
recursive = true
open_as = "user"
follow_symlinks = true
propagation = "slave""#,
                &[
                    "7:1: `source` does not belong to an entry of kind `tmpfs` | `source` is for the kind bind",
                    "8:1: `recursive` does not belong to an entry of kind `tmpfs` | `recursive` is for the kind bind",
                    "9:1: `open_as` does not belong to an entry of kind `tmpfs` | `open_as` is for the kind bind",
                    "10:1: `follow_symlinks` does not belong to an entry of kind `tmpfs` | `follow_symlinks` is for the kind bind",
                    "11:1: `propagation` does not belong to an entry of kind `tmpfs` | `propagation` is for the kind bind",
                ],
            ),
            (
                r#"target = "/a"
kind = "devpts"
options = ["ro"]"#,
                &[
                    "7:1: `options` does not belong to an entry of kind `devpts` | `options` is for the kinds bind, tmpfs, proc, sysfs, mqueue, system",
                ],
            ),
            (
                r#"target = "/a"
kind = "tmpfs"
size = "50%""#,
                &[
                    r#"7:8: size `50%` is a share of the memory, which differs from host to host | write a number of bytes, such as "512M""#,
                ],
            ),
            (
                r#"target = "/a"
kind = "tmpfs"
size = "64MiB""#,
                &[r#"7:8: size `64MiB` is not a size | write bytes, or a number with K, M, G or T: "64M""#],
            ),
            (
                r#"target = "/a"
kind = "tmpfs"
size = 0"#,
                &[
                    "7:8: size 0 would be no limit at all | leave `size` out for the kernel's default, half of the memory",
                ],
            ),
            (
                r#"target = "/a"
kind = "tmpfs"
size = -1"#,
                &[r#"7:8: size `-1` is not a size | write bytes, or a number with K, M, G or T: "64M""#],
            ),
            (
                r#"target = "/a"
kind = "tmpfs"
size = "9999999999T""#,
                &["7:8: size `9999999999T` is too large | the limit is below 8388608T"],
            ),
            (
                r#"target = "/a"
kind = "tmpfs"
size = 1.5"#,
                &[r#"7:8: `size` must be an integer or a string such as "64M", not a float"#],
            ),
            (
                r#"target = "/a"
kind = "tmpfs"
mode = "10000"
owner = "bob""#,
                &[
                    r#"7:8: mode `10000` is no octal number up to 7777 | write it as octal digits in quotes: mode = "0755""#,
                    "8:9: unknown owner `bob` | known are: root, user",
                ],
            ),
            (
                r#"target = "/a"
kind = "dir"
mode = 755"#,
                &[
                    r#"7:8: `mode` must be a string of octal digits | write it as octal digits in quotes: mode = "0755""#,
                ],
            ),
            (
                r#"target = "/a"
kind = "file"
content = "x"
mode = "4755""#,
                &["8:8: a file made by the map cannot have set-user-id or set-group-id bits"],
            ),
            (
                r#"target = "/a"
kind = "file""#,
                &["4:1: `content` is missing"],
            ),
            (
                r#"target = "/a"
kind = "file"
content = "100%""#,
                &["7:11: a `%` at the end of the text; write `%%` for a percent sign"],
            ),
            (
                r#"target = "/a"
kind = "symlink""#,
                &["4:1: `to` is missing"],
            ),
            (
                r#"target = "/a"
kind = "symlink"
to = """#,
                &["7:6: a symbolic link leads somewhere; `to` is empty"],
            ),
            (
                r#"target = "/a"
kind = "symlink"
to = "a\nb""#,
                &["7:6: `to` holds a control character"],
            ),
            (
                r#"target = "/a"
open_as = "bob"
propagation = "shared""#,
                &[
                    "6:11: unknown open_as `bob` | known are: root, user",
                    "7:15: unknown propagation `shared` | known are: private, slave",
                ],
            ),
            (r#"kind = "system""#, &["4:1: `paths` is missing"]),
            (
                r#"kind = "system"
target = "/"
paths = []"#,
                &[
                    "6:1: `target` does not belong to an entry of kind `system` | `target` is for every kind but system",
                    "7:9: `paths` names nothing",
                ],
            ),
            (
                r#"kind = "system"
paths = ["usr", "/", "/usr", "/usr/", 1]"#,
                &[
                    r#"6:10: path "usr" is not absolute"#,
                    "6:17: `/` is the whole host | name the directories of the system, such as `/usr`",
                    "6:30: `/usr/` is named twice",
                    "6:39: a value of `paths` must be a string, not an integer",
                ],
            ),
            (
                r#"target = "/a"
optional = "no"
recursive = 1"#,
                &[
                    "6:12: `optional` must be `true` or `false`, not a string",
                    "7:13: `recursive` must be `true` or `false`, not an integer",
                ],
            ),
            (
                r#"target = "/a"
taget = "/b"
Source = "/c""#,
                &[
                    "6:1: unknown key `taget` | did you mean `target`?",
                    "7:1: unknown key `Source` | did you mean `source`?",
                ],
            ),
        ],
    );
}
