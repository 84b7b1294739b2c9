//! Shells, asked what they would offer.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the completions are.
fn file(shell: &str, name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/completions").join(shell).join(name)
}

fn lines(command: &mut Command, folder: &Path) -> Vec<String> {
    // The completions of whoever runs the tests are not looked at. A shell may write there.
    let home = folder.with_file_name("home");
    let output = command
        .current_dir(folder)
        .env("HOME", &home)
        .env("XDG_CONFIG_HOME", &home)
        .env("XDG_DATA_HOME", &home)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.is_empty(), "{command:?}: {said}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

const BASH: &str = r#"
source "$1"
shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
function=$(complete -p "$1")
function=${function#*-F }
"${function%% *}"
printf '%s\n' "${COMPREPLY[@]}"
"#;

/// What bash offers for the last of these words, of which the first is the program.
pub(crate) fn bash(words: &[&str], folder: &Path) -> Vec<String> {
    bash_with_path(words, folder, &std::env::var("PATH").unwrap_or_default())
}

/// The same, with programs of this path.
pub(crate) fn bash_with_path(words: &[&str], folder: &Path, path: &str) -> Vec<String> {
    let mut bash = Command::new("bash");
    bash.env("PATH", path);
    bash.args(["--norc", "--noprofile", "-c", BASH, "bash"]).arg(file("bash", words[0])).args(words);
    let mut lines = lines(&mut bash, folder);
    lines.retain(|line| !line.is_empty());
    lines
}

/// What fish offers for a line, without the descriptions.
pub(crate) fn fish(line: &str, folder: &Path) -> Vec<String> {
    let program = line.split(' ').next().unwrap_or_default();
    let mut fish = Command::new("fish");
    fish.args(["--no-config", "--command", "source $argv[1]; complete -C $argv[2]"]);
    fish.arg(file("fish", &format!("{program}.fish"))).arg(line);
    lines(&mut fish, folder).iter().filter_map(|line| line.split('\t').next()).map(str::to_owned).collect()
}

/// What the function does is what zsh's own are told; these write it down instead.
const ZSH: &str = r#"
_arguments() { print -rl -- "$@"; state=$wanted }
_describe() { print -rl -- "${(@P)4}" }
wanted=$2
words=("${@:3}")
source $1
"#;

/// What zsh is told of the options and words of a command, or of the program.
pub(crate) fn zsh(program: &str, command: Option<&str>, folder: &Path) -> Vec<String> {
    let mut zsh = Command::new("zsh");
    zsh.args(["-f", "-c", ZSH, "zsh"]).arg(file("zsh", &format!("_{program}")));
    match command {
        Some(command) => zsh.args(["arguments", command]),
        None => zsh.arg("command"),
    };
    lines(&mut zsh, folder)
}
