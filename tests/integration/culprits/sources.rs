//! Sources that cannot be taken.

use std::os::unix::fs::{chown, lchown, symlink};
use std::path::Path;

use super::{AS_BOB, Fault, Row, bind, opened, rule_in, text};
use crate::support::World;
use crate::support::fuse::{Fuse, Server};

pub(super) const ROWS: [Row; 15] = [
    ("a source that is missing, with what leads to it", AS_BOB, |stage| {
        let (there, missing) = (stage.world.directory("there")?, stage.world.path("there/missing"));
        let source = missing.join("deeper");
        stage.map(&(bind("/fine", &there, "") + &bind("/data", &source, "")))?;
        let fault = stage.enter(["id"])?.rule(stage.rule("/data")).path(&source).doing("source ");
        let fault = fault.cause(format!("of /data is missing: there is no {}", missing.display()));
        let fault = fault.not(format!("there is no {}", source.display()));
        Ok(fault.help("create it").help("optional = true").not("/fine").not(stage.rule("/fine")))
    }),
    ("a source that is missing itself", AS_BOB, |stage| {
        let source = stage.world.path("missing");
        stage.map(&bind("/data", &source, ""))?;
        let fault = stage.enter(["id"])?.rule(stage.rule("/data")).path(&source).doing("there is no plan");
        Ok(fault.cause("is missing").help("create it").not("there is no /"))
    }),
    ("two sources that are missing, both at once", AS_BOB, |stage| {
        let (one, two) = (stage.world.path("one"), stage.world.path("two"));
        stage.map(&(bind("/1", &one, "") + &bind("/2", &two, "")))?;
        let fault = stage.enter(["id"])?.rule(stage.rule("/1\"")).rule(stage.rule("/2\""));
        let fault = fault.path(&one).path(&two).doing("source ");
        Ok(fault.cause("of /1 is missing").cause("of /2 is missing").help("create it"))
    }),
    ("a source that is a named pipe", AS_BOB, |stage| {
        let source = stage.world.path("pipe");
        nix::unistd::mkfifo(&source, nix::sys::stat::Mode::from_bits_truncate(0o600))?;
        stage.map(&bind("/data", &source, ""))?;
        let fault = stage.enter(["id"])?.rule(stage.rule("/data")).path(&source).doing("source ");
        Ok(fault.cause("is a named pipe").help("bind the directory that holds it"))
    }),
    ("a source behind a symbolic link", AS_BOB, |stage| {
        stage.world.directory("real")?;
        stage.world.directory("real/below")?;
        let link = stage.world.path("link");
        symlink("real", &link)?;
        stage.map(&bind("/data", &link.join("below"), ""))?;
        let fault = stage.enter(["id"])?.rule(stage.rule("/data")).path(&link.join("below")).doing("source ");
        let cause = format!("is behind the symbolic link {}", link.display());
        Ok(fault.cause(cause).help("name the real path").help("follow_symlinks"))
    }),
    ("a source that is a symbolic link", AS_BOB, |stage| {
        let link = stage.world.path("link");
        symlink("/usr", &link)?;
        stage.map(&bind("/data", &link, ""))?;
        let fault = stage.enter(["id"])?.rule(stage.rule("/data")).path(&link).doing("source ");
        Ok(fault.cause("is a symbolic link to \"/usr\"").help("name the real path"))
    }),
    ("a source along a link that another user can turn", AS_BOB, |stage| {
        let link = stage.world.path("link");
        symlink("/usr", &link)?;
        lchown(&link, Some(stage.bob.uid), None)?;
        stage.map(&bind("/data", &link.join("share"), "follow_symlinks = true"))?;
        let fault = stage.enter(["id"])?.rule(stage.rule("/data")).path(&link.join("share")).doing("source ");
        let cause = format!("{} belongs to uid {}", link.display(), stage.bob.uid);
        Ok(fault.cause(cause).help("root alone can have made them").not("Permission denied"))
    }),
    ("a source below a file", AS_BOB, |stage| {
        let file = stage.world.file("file", "")?;
        stage.map(&bind("/data", &file.join("a/b"), ""))?;
        let fault = stage.enter(["id"])?.rule(stage.rule("/data")).path(&file.join("a/b")).doing("source ");
        let cause = format!("is unreachable at {}: Not a directory", file.display());
        Ok(fault.cause(cause).help("correct the path").not("permission"))
    }),
    ("a source that the user may not reach", AS_BOB, |stage| {
        let closed = stage.world.directory("closed")?;
        opened(stage.world.path(""), 0o755)?;
        stage.world.directory("closed/a")?;
        stage.world.directory("closed/a/b")?;
        opened(closed.clone(), 0o700)?;
        let source = closed.join("a/b");
        stage.map(&bind("/data", &source, "open_as = \"user\""))?;
        let fault = stage.enter(["id"])?.rule(stage.rule("/data")).path(&source).doing("source ");
        let cause = format!("is unreachable at {}: Permission denied", closed.display());
        Ok(fault.cause(cause).help("give the user access").not("audit log"))
    }),
    ("a source that an ordinary user may not reach", AS_BOB, |stage| {
        let theirs = World::of(&stage.bob)?;
        theirs.map("", &bind("/data", Path::new("/root/a/b"), ""))?;
        let run = theirs.enter(["--", "id"])?;
        let fault = Fault::of(run).rule(rule_in(&theirs, "/data")).thing("/root/a/b").doing("source ");
        stage.theirs.push(theirs);
        Ok(fault.cause("is unreachable at /root: Permission denied").help("give the user access"))
    }),
    ("a source that even root is refused", AS_BOB, |stage| {
        let at = stage.world.directory("fuse")?;
        stage.mounts.push(Fuse::mount_for(&at, stage.bob.uid, Server::Answering)?);
        let source = at.join("a/b");
        stage.map(&bind("/data", &source, ""))?;
        let fault = stage.enter(["id"])?.rule(stage.rule("/data")).path(&source).doing("source ");
        Ok(fault
            .cause("is unreachable: Permission denied")
            .help("root is refused there")
            .help("FUSE")
            .help("SELinux")
            .help("open_as"))
    }),
    ("a source on a mount whose server is gone", AS_BOB, |stage| {
        let at = stage.world.directory("fuse")?;
        let mut fuse = Fuse::mount(&at, Server::Answering)?;
        fuse.abandon();
        stage.mounts.push(fuse);
        let source = at.join("a/b");
        stage.map(&bind("/data", &source, ""))?;
        let fault = stage.enter(["id"])?.rule(stage.rule("/data")).path(&source).doing("source ");
        let cause = format!("is unreachable at {}: ", at.display());
        Ok(fault.cause(cause).cause("not connected").help("bring it back").help("umount").not("permission"))
    }),
    ("a source on a mount whose server does not answer", AS_BOB, |stage| {
        let at = stage.world.directory("fuse")?;
        stage.mounts.push(Fuse::mount(&at, Server::Stopped)?);
        let (source, there) = (at.join("a"), stage.world.directory("there")?);
        stage.map(&(bind("/fine", &there, "") + &bind("/data", &source, "")))?;
        let fault = stage.enter(["id"])?.rule(stage.rule("/data")).path(&source).doing(": no answer");
        Ok(fault.cause("no answer within 5 s").help("bring the server back").not(text(&there)))
    }),
    ("a home that is missing", AS_BOB, |stage| {
        stage.ghost("/home/no/such/home", "/bin/sh")?;
        stage.map(&bind("%h", Path::new("%h"), "open_as = \"user\""))?;
        let run = stage.world.enter(["--user", "ghost", "--", "id"])?;
        let fault = Fault::of(run).rule(stage.rule("%h")).thing("/home/no/such/home").doing("source ");
        Ok(fault.cause("is missing: there is no /home/no").help("create it"))
    }),
    ("a home that the user may not reach", AS_BOB, |stage| {
        let homes = stage.world.directory("homes")?;
        let home = stage.world.directory("homes/ghost")?;
        chown(&home, Some(stage.bob.uid + 7), None)?;
        opened(stage.world.path(""), 0o755)?;
        opened(homes.clone(), 0o700)?;
        stage.ghost(&text(&home), "/bin/sh")?;
        stage.map(&bind("%h", Path::new("%h"), "open_as = \"user\""))?;
        let run = stage.world.enter(["--user", "ghost", "--", "id"])?;
        let fault = Fault::of(run).rule(stage.rule("%h")).path(&home).doing("source ");
        let cause = format!("is unreachable at {}: Permission denied", homes.display());
        Ok(fault.cause(cause).help("give the user access to every directory"))
    }),
];
