//! Mount points that are not what they should be, and entries that do not go together.

use std::os::unix::fs::symlink;

use super::{AS_BOB, Fault, Row, Stage, bind, entry, opened, rule_in, text};
use crate::support::World;

pub(super) const ROWS: [Row; 16] = [
    ("a mount point that is missing in a bound tree", AS_BOB, |stage| {
        let (tree, fault) = in_tree(stage, "/tree/a/b", |_| Ok(()))?;
        Ok(fault
            .cause(format!("is missing: there is no {tree}/a"))
            .help(format!("make {tree}/a/b a directory")))
    }),
    ("a mount point that is missing in a tree of the system", AS_BOB, |stage| {
        stage.map(&entry("/usr/no-such/place", "tmpfs", ""))?;
        let fault = stage.enter(["id"])?.rule(stage.rule("/usr/no-such")).thing("/usr/no-such/place there");
        let fault = fault.doing("mount point /usr/no-such/place lies in /usr");
        Ok(fault.cause("is missing: there is no /usr/no-such").help("make /usr/no-such/place a directory"))
    }),
    ("a mount point that is a file where a directory is wanted", AS_BOB, |stage| {
        let (tree, fault) = in_tree(stage, "/tree/file", |world| world.file("tree/file", "").map(drop))?;
        Ok(fault.cause("there is a file").help(format!("make {tree}/file a directory")).not("missing"))
    }),
    ("a mount point that is a directory where a file is wanted", AS_BOB, |stage| {
        let tree = stage.world.directory("tree")?;
        stage.world.directory("tree/directory")?;
        let file = stage.world.file("file", "")?;
        stage.map(&(bind("/tree", &tree, "") + &bind("/tree/directory", &file, "")))?;
        let fault = stage.enter(["id"])?.rule(stage.rule("/tree/directory")).path(&tree.join("directory"));
        let fault = fault.doing("mount point /tree/directory").cause("there is a directory");
        Ok(fault.help("a file on the host").not(text(&file)))
    }),
    ("a mount point that is a symbolic link", AS_BOB, |stage| {
        let link = |world: &World| Ok(symlink("/usr", world.path("tree/link"))?);
        let (_, fault) = in_tree(stage, "/tree/link", link)?;
        Ok(fault.cause("is a symbolic link to \"/usr\"").help("a directory on the host"))
    }),
    ("a mount point behind a symbolic link", AS_BOB, |stage| {
        let link = |world: &World| Ok(symlink("/usr", world.path("tree/link"))?);
        let (tree, fault) = in_tree(stage, "/tree/link/share", link)?;
        let fault = fault.cause(format!("is behind the symbolic link {tree}/link"));
        Ok(fault.help("a directory on the host").not("missing"))
    }),
    ("a target below a file of the map", AS_BOB, |stage| {
        stage.map(&(entry("/note", "file", "content = \"x\"") + &entry("/note/below", "dir", "")))?;
        let fault = stage.enter(["id"])?.rule(stage.rule("/note/below")).rule(stage.rule("/note\""));
        let fault = fault.thing("target /note/below").doing("there is no plan");
        Ok(fault.cause("lies below /note, which is a file").help("make /note a directory"))
    }),
    ("a target below a link of the map", AS_BOB, |stage| {
        stage.map(&(entry("/link", "symlink", "to = \"/usr\"") + &entry("/link/below", "tmpfs", "")))?;
        let fault = stage.enter(["id"])?.rule(stage.rule("/link/below")).rule(stage.rule("/link\""));
        let fault = fault.thing("target /link/below").doing("there is no plan");
        Ok(fault.cause("lies below /link, which is a symbolic link").help("make /link a directory"))
    }),
    ("one target for two entries", AS_BOB, |stage| {
        stage.map(&(entry("/x/%u", "dir", "") + &entry(&format!("/x/{}", stage.bob.name), "tmpfs", "")))?;
        let fault = stage.enter(["id"])?.rule(stage.rule("/x/%u")).rule(stage.rule("/x/s"));
        let fault = fault.thing(format!("target /x/{}", stage.bob.name)).doing("there is no plan");
        Ok(fault.cause("is already taken by the entry at").help("remove one of the two"))
    }),
    ("a root that is no directory", AS_BOB, |stage| {
        stage.map(&entry("/", "file", "content = \"x\""))?;
        let fault = stage.enter(["id"])?.rule(stage.rule("target = \"/\"")).thing("a file").doing("the root");
        Ok(fault.cause("cannot be the root").help("make / a tmpfs"))
    }),
    ("a link that would have to be made in a bound tree", AS_BOB, |stage| {
        let tree = stage.world.directory("tree")?;
        stage.map(&(bind("/tree", &tree, "") + &entry("/tree/link", "symlink", "to = \"x\"")))?;
        let fault = stage.enter(["id"])?.rule(stage.rule("/tree/link")).thing("symbolic link /tree/link");
        let fault = fault.doing("would have to be created in /tree");
        Ok(fault
            .cause("not a tree of the map's own")
            .help("create it on the host")
            .help("make /tree a tmpfs"))
    }),
    ("message queues for an ordinary user", AS_BOB, |stage| {
        let theirs = World::of(&stage.bob)?;
        theirs.map("", &entry("/queues", "mqueue", ""))?;
        let fault = Fault::of(theirs.enter(["--", "id"])?).rule(rule_in(&theirs, "/queues"));
        stage.theirs.push(theirs);
        let fault = fault.thing("mqueue at /queues").doing("there is no plan");
        Ok(fault.cause("cannot be mounted without root").help("optional = true"))
    }),
    ("a file that does not fit into its tmpfs", AS_BOB, |stage| {
        let content = format!("content = {:?}", "x".repeat(9000));
        stage.map(&(entry("/small", "tmpfs", "size = \"4K\"") + &entry("/small/big", "file", &content)))?;
        let fault = stage.enter(["id"])?.rule(stage.rule("/small/big")).thing("/small/big");
        let fault = fault.doing("make the file").cause("No space left on device");
        Ok(fault.help("larger `size`").not("fs.mount-max").not("xxx"))
    }),
    ("a tree on the host where something is mounted", AS_BOB, |stage| {
        let at = std::path::Path::new("/run/at");
        std::fs::create_dir(at)?;
        rustix::mount::mount_bind(at, at)?;
        prepare(stage, at, "something is mounted there already", "set another `root`")
    }),
    ("a tree on the host where a file is", AS_BOB, |stage| {
        let at = stage.world.file("at", "")?;
        prepare(stage, &at, "it is not a directory", "set another `root`")
    }),
    ("a tree on the host in a folder that others can change", AS_BOB, |stage| {
        let folder = opened(stage.world.directory("folder")?, 0o777)?;
        let fault = prepare(stage, &folder.join("at"), "with mode 0777", "be writable by nobody else")?;
        Ok(fault.cause(format!("{} belongs to uid 0", folder.display())))
    }),
];

/// A tmpfs in the bound tree `/tree`, after something was done to that.
fn in_tree(
    stage: &Stage,
    target: &str,
    prepare: impl FnOnce(&World) -> Result<(), libtest_mimic::Failed>,
) -> Result<(String, Fault), libtest_mimic::Failed> {
    let tree = stage.world.directory("tree")?;
    prepare(&stage.world)?;
    stage.map(&(bind("/tree", &tree, "") + &entry(target, "tmpfs", "")))?;
    let tree = text(&tree);
    let fault = stage.enter(["id"])?.rule(stage.rule(target)).thing(target.replace("/tree", &tree));
    let fault = fault.doing(format!("mount point {target} lies in /tree")).not(stage.rule("/tree\""));
    Ok((tree, fault))
}

fn prepare(
    stage: &Stage,
    at: &std::path::Path,
    cause: &str,
    help: &str,
) -> Result<Fault, libtest_mimic::Failed> {
    stage.map("")?;
    // Leaves the lock that is there from the first time on.
    stage.world.session_enter(["--user", &stage.bob.name, "--release"])?.finish()?.expect_code(125)?;
    let run = stage.world.enter(["--user", &stage.bob.name, "--prepare", "--root"])?.arg(at);
    let fault = Fault::of(run).rule("cannot put a tree at ").path(at).doing("put a tree");
    Ok(fault.cause(cause).help(help))
}
