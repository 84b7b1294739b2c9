//! Programs that are not started: it is not always the program that is missing.

use std::os::unix::fs::symlink;
use std::path::Path;

use libtest_mimic::Failed;

use super::{AS_BOB, Fault, Row, Stage, bind, opened, program};

/// What a program says when there is none.
const NOT_FOUND: i32 = 127;
const NOT_EXECUTABLE: i32 = 126;

pub(super) const ROWS: [Row; 15] = [
    ("a command that is in no directory of PATH", AS_BOB, |stage| {
        stage.map_with("[profile.set_env]\nPATH = \"/usr/bin:/nowhere\"", "")?;
        let fault = stage.enter(["no-such-command"])?.code(NOT_FOUND).rule("PATH /usr/bin:/nowhere");
        let fault = fault.thing("\"no-such-command\"").doing("command");
        Ok(fault.cause("was not found inside").help("--dry-run").not("execve"))
    }),
    ("a program that is not there", AS_BOB, |stage| {
        let fault = at_tools(stage, &["/tools/none"], "")?.code(NOT_FOUND).thing("\"/tools/none\"");
        Ok(fault.cause("was not found inside: execve").help("the map must show it").not("there is no"))
    }),
    ("a program in a folder that is not there", AS_BOB, |stage| {
        stage.map("")?;
        let fault = stage.enter(["/opt/some/where/tool"])?.code(NOT_FOUND).rule(stage.rule("[[profile]]"));
        let fault = fault.thing("\"/opt/some/where/tool\"").doing("execve");
        Ok(fault.cause("there is no \"/opt\"").help("the map must show it"))
    }),
    ("a link that leads nowhere inside", AS_BOB, |stage| {
        symlink("/nowhere/tool", tools(stage)?.join("link"))?;
        let fault = at_tools(stage, &["/tools/link"], "")?.code(NOT_FOUND).thing("\"/tools/link\"");
        Ok(fault.cause("a symbolic link to \"/nowhere/tool\"").help("what it leads to"))
    }),
    ("a program whose loader is not there", AS_BOB, |stage| {
        let loader = without_loader(stage, "tool")?;
        let fault = at_tools(stage, &["/tools/tool"], "")?.code(NOT_FOUND).thing("\"/tools/tool\"");
        let fault = fault.cause(format!("is there, and its loader {loader:?} was not found inside"));
        Ok(fault.help(format!("the map must show {loader:?}")))
    }),
    ("a program of PATH whose loader is not there", AS_BOB, |stage| {
        let loader = without_loader(stage, "tool")?;
        let fault = at_tools(stage, &["tool"], "[profile.set_env]\nPATH = \"/bin:/tools:/usr/bin\"")?;
        let fault = fault.code(NOT_FOUND).thing("\"/tools/tool\"").cause(format!("its loader {loader:?}"));
        Ok(fault.help(format!("the map must show {loader:?}")).not("command"))
    }),
    ("a script whose interpreter is not there", AS_BOB, |stage| {
        tools(stage)?;
        program(&stage.world, "tools/script", b"#!/no/such/interpreter -e\nid\n")?;
        let fault = at_tools(stage, &["/tools/script"], "")?.code(NOT_FOUND).thing("\"/tools/script\"");
        let fault = fault.cause("its interpreter \"/no/such/interpreter\" was not found inside");
        Ok(fault.help("the map must show \"/no/such/interpreter\""))
    }),
    ("a script whose interpreter has no loader", AS_BOB, |stage| {
        let loader = without_loader(stage, "tool")?;
        program(&stage.world, "tools/script", b"#!/tools/tool\n")?;
        let fault = at_tools(stage, &["/tools/script"], "")?.code(NOT_FOUND).thing("\"/tools/script\"");
        let fault = fault.cause(format!("{loader:?}, the loader of \"/tools/tool\""));
        Ok(fault.help(format!("the map must show {loader:?}")))
    }),
    ("a script with the line ends of another system", AS_BOB, |stage| {
        tools(stage)?;
        program(&stage.world, "tools/script", b"#!/bin/sh\r\nid\r\n")?;
        let fault = at_tools(stage, &["/tools/script"], "")?.code(NOT_FOUND).thing("\"/tools/script\"");
        Ok(fault.cause("its interpreter \"/bin/sh\\r\"").help("carriage return"))
    }),
    ("a program on a mount with noexec", AS_BOB, |stage| {
        let tools = tools(stage)?;
        std::fs::copy("/bin/true", tools.join("tool"))?;
        stage.map(&bind("/tools", &tools, "options = [\"noexec\"]"))?;
        let fault = stage.enter(["/tools/tool"])?.code(NOT_EXECUTABLE).rule(stage.rule("/tools"));
        let fault = fault.thing("\"/tools/tool\"").doing("execve");
        Ok(fault.cause("lies on a mount with `noexec`").help("take `noexec` out").not("SELinux"))
    }),
    ("a program that nobody may execute", AS_BOB, |stage| {
        let tools = tools(stage)?;
        std::fs::copy("/bin/true", tools.join("tool"))?;
        opened(tools.join("tool"), 0o644)?;
        let fault = at_tools(stage, &["/tools/tool"], "")?.code(NOT_EXECUTABLE).thing("\"/tools/tool\"");
        Ok(fault.cause("may be executed by nobody").help("chmod +x \"/tools/tool\""))
    }),
    ("a program behind a folder that the user may not pass", AS_BOB, |stage| {
        let tools = tools(stage)?;
        stage.world.directory("tools/closed")?;
        std::fs::copy("/bin/true", tools.join("closed/tool"))?;
        opened(tools.join("closed"), 0o700)?;
        let fault = at_tools(stage, &["/tools/closed/tool"], "")?.code(NOT_EXECUTABLE);
        let fault = fault.thing("\"/tools/closed/tool\"").cause("\"/tools/closed\" may not be passed");
        Ok(fault.help("right to search \"/tools/closed\""))
    }),
    ("a program for another machine", AS_BOB, |stage| {
        tools(stage)?;
        let mut bytes = std::fs::read("/bin/true")?;
        // Neither this machine nor one that it also runs: SuperH.
        bytes[18..20].copy_from_slice(&42_u16.to_le_bytes());
        program(&stage.world, "tools/tool", &bytes)?;
        let fault = at_tools(stage, &["/tools/tool"], "")?.code(NOT_EXECUTABLE).thing("\"/tools/tool\"");
        Ok(fault.cause("is a program for another machine (ELF machine 42)").help(std::env::consts::ARCH))
    }),
    ("a login shell that is not there", AS_BOB, |stage| {
        stage.ghost("/", "/usr/local/bin/no-such-shell")?;
        stage.map("")?;
        let run = stage.world.enter(["--user", "ghost"])?;
        let fault = Fault::of(run).code(NOT_FOUND).rule(stage.rule("kind = \"system\"")).doing("execve");
        let fault = fault.thing("the login shell \"/usr/local/bin/no-such-shell\"");
        Ok(fault.cause("was not found inside").help("the map must show it"))
    }),
    ("a login shell that is session-enter", AS_BOB, |stage| {
        stage.ghost("/", "/usr/bin/session-enter")?;
        stage.map("")?;
        let run = stage.world.enter(["--user", "ghost"])?;
        let fault = Fault::of(run).rule(stage.rule("[[profile]]")).thing("/usr/bin/session-enter");
        let fault = fault.doing("the login shell of ghost").cause("would start itself for ever");
        Ok(fault.help("set `shell = "))
    }),
];

/// The folder that is at `/tools` inside.
fn tools(stage: &Stage) -> Result<std::path::PathBuf, Failed> {
    let tools = stage.world.path("tools");
    if !tools.exists() {
        stage.world.directory("tools")?;
    }
    Ok(tools)
}

fn at_tools(stage: &Stage, words: &[&str], settings: &str) -> Result<Fault, Failed> {
    stage.map_with(settings, &bind("/tools", &tools(stage)?, ""))?;
    Ok(stage.enter(words)?.rule(stage.rule("target = \"/tools\"")).doing("execve"))
}

/// A program whose loader has another name, which it gives.
fn without_loader(stage: &Stage, name: &str) -> Result<String, Failed> {
    tools(stage)?;
    let mut bytes = std::fs::read("/bin/true")?;
    let at = bytes.windows(4).position(|part| part == b"/ld-").ok_or("a loader in /bin/true")?;
    let begin = bytes[..at].iter().rposition(|byte| *byte == 0).ok_or("its begin")? + 1;
    let end = at + bytes[at..].iter().position(|byte| *byte == 0).ok_or("its end")?;
    bytes[begin + 1] = b'L';
    let loader = String::from_utf8_lossy(&bytes[begin..end]).into_owned();
    program(&stage.world, &format!("tools/{name}"), &bytes)?;
    if Path::new(&loader).exists() { Err("that loader is there".into()) } else { Ok(loader) }
}
