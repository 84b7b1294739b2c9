//! Hosts in folders, as far as a map depends on them.

use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use session_sandbox::model::facts::{Facts, Look, PathFact};
use session_sandbox::model::path::AbsPath;
use session_sandbox::model::policy::Policy;
use session_sandbox::model::subject::Subject;
use session_sandbox::plan;

/// A folder that looks like the root of a host.
pub(crate) struct Host(tempfile::TempDir);

impl Host {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        Self(folder)
    }

    /// `/folder/`, `/link -> to`, `/socket=`; anything else is an empty file.
    fn with(self, entries: &[&str]) -> Self {
        for entry in entries {
            if let Some((link, to)) = entry.split_once(" -> ") {
                symlink(to, self.made(link)).unwrap();
            } else if let Some(folder) = entry.strip_suffix('/') {
                make_folder(&self.made(folder));
            } else if let Some(socket) = entry.strip_suffix('=') {
                drop(UnixListener::bind(self.made(socket)).unwrap());
            } else {
                self.write(entry, "");
            }
        }
        self
    }

    fn file(self, path: &str, text: &str) -> Self {
        self.write(path, text);
        self
    }

    fn write(&self, path: &str, text: &str) {
        let file = self.made(path);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    }

    /// The path in the folder, with all folders on the way.
    fn made(&self, path: &str) -> PathBuf {
        let whole = self.0.path().join(path.trim_start_matches('/'));
        make_folder(whole.parent().unwrap());
        whole
    }

    pub(crate) fn path(&self) -> AbsPath {
        AbsPath::new(self.0.path().to_str().unwrap()).unwrap()
    }

    /// What the planner would be told of this host. The folder's own paths are not this machine's, so it is asked here.
    pub(crate) fn facts(&self, policy: &Policy, subject: &Subject) -> Facts {
        let mut facts =
            Facts { privileged: true, makes_devices: true, tty_group: Some(5), ..Facts::default() };
        for profile in &policy.profiles {
            for (look, path) in plan::mount_questions(profile, subject) {
                let follows = matches!(look, Look::RootFollowing | Look::UserFollowing);
                let fact = self.fact(&path, follows);
                facts.paths.insert((look, path), fact);
            }
        }
        facts
    }

    fn fact(&self, path: &AbsPath, follows: bool) -> PathFact {
        let mut here = AbsPath::root();
        let mut rest: Vec<String> = path.components().rev().map(str::to_owned).collect();
        while let Some(name) = rest.pop() {
            if name == ".." {
                here = here.parent().unwrap_or(here);
                continue;
            }
            let next = here.join(&name).unwrap();
            let whole = self.0.path().join(next.relative());
            let Ok(status) = whole.symlink_metadata() else { return PathFact::Missing };
            if !status.is_symlink() {
                here = next;
                continue;
            }
            let to = std::fs::read_link(&whole).unwrap().to_str().unwrap().to_owned();
            match (follows, rest.is_empty()) {
                (false, true) => return PathFact::Symlink(to),
                (false, false) => return PathFact::ThroughSymlink,
                (true, _) => {}
            }
            if to.starts_with('/') {
                here = AbsPath::root();
            }
            rest.extend(to.split('/').rev().filter(|name| !name.is_empty()).map(str::to_owned));
        }
        kind(&self.0.path().join(here.relative()))
    }
}

fn kind(path: &Path) -> PathFact {
    use std::os::unix::fs::FileTypeExt;
    let kind = path.symlink_metadata().unwrap().file_type();
    match () {
        () if kind.is_dir() => PathFact::Directory,
        () if kind.is_socket() => PathFact::Socket,
        () => PathFact::File,
    }
}

/// 0755, whatever the mask.
fn make_folder(path: &Path) {
    if path.symlink_metadata().is_err() {
        make_folder(path.parent().unwrap());
        std::fs::DirBuilder::new().mode(0o755).create(path).unwrap();
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }
}

const MERGED: [&str; 9] = [
    "/usr/bin/",
    "/usr/sbin/",
    "/usr/lib/",
    "/bin -> usr/bin",
    "/sbin -> usr/sbin",
    "/lib -> usr/lib",
    "/var/tmp/",
    "/run/",
    "/var/run -> /run",
];
const ROOT: &str = "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/usr/sbin:/usr/sbin/nologin\n";

fn mount(line: &str) -> String {
    // The numbers in front mean nothing to a map.
    format!("30 20 0:30 / {line}\n")
}

pub(crate) fn debian() -> Host {
    Host::new()
        .with(&MERGED)
        .with(&["/usr/lib64/", "/lib64 -> usr/lib64", "/opt/", "/srv/", "/home/alice/", "/media/", "/mnt/", "/boot/"])
        .with(&["/run/systemd/resolve/stub-resolv.conf", "/run/dbus/system_bus_socket=", "/run/docker.sock="])
        .with(&["/var/mail/", "/var/spool/mail -> ../mail", "/var/cache/man/", "/var/lib/dpkg/", "/var/spool/cron/"])
        .with(&["/etc/resolv.conf -> ../run/systemd/resolve/stub-resolv.conf", "/usr/share/zoneinfo/UTC"])
        .with(&["/etc/localtime -> /usr/share/zoneinfo/UTC", "/etc/alternatives/vi -> /usr/bin/vim", "/usr/bin/vim"])
        .with(&["/etc/pam.d/sshd", "/etc/pam.d/login", "/etc/pam.d/cron", "/etc/pam.d/common-session", "/etc/pam.d/su"])
        .with(&["/etc/pam.d/systemd-user", "/run/systemd/journal/socket=", "/vmlinuz -> boot/vmlinuz", "/data/"])
        .file("/etc/fstab", "# /etc/fstab\nUUID=1 / ext4 errors=remount-ro 0 1\nUUID=2 none swap sw 0 0\nUUID=3 /data ext4 defaults 0 2\n")
        .file("/proc/self/mountinfo", &["/ rw - ext4 /dev/vda1 rw", "/data rw - ext4 /dev/vdb rw", "/proc rw - proc proc rw"].map(mount).concat())
        .file("/etc/passwd", &format!("{ROOT}postgres:x:110:118::/var/lib/postgresql:/bin/bash\nalice:x:1000:1000::/home/alice:/bin/bash\nnobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n"))
        .file("/etc/group", "root:x:0:\nsudo:x:27:alice\ndocker:x:998:alice\nalice:x:1000:\n")
        .file("/etc/login.defs", "UMASK\t\t022\nUID_MIN\t\t\t 1000\nUID_MAX\t\t\t60000\nENV_PATH\tPATH=/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games\n")
        .file("/etc/nsswitch.conf", "passwd: files systemd\ngroup: files systemd\nhosts: files dns\n")
}

pub(crate) fn split_usr() -> Host {
    Host::new()
        .with(&[
            "/usr/bin/",
            "/bin/",
            "/sbin/",
            "/lib/",
            "/lib32/",
            "/etc/",
            "/var/run/",
            "/run/",
            "/var/tmp/",
            "/home/users/bob/",
        ])
        .with(&["/var/mail/", "/etc/pam.d/login", "/run/nscd/socket="])
        .file("/etc/passwd", &format!("{ROOT}bob:x:1001:100::/home/users/bob:/bin/ksh\n"))
        .file("/etc/group", "users:x:100:\nwheel:x:10:bob\n")
        .file("/etc/login.defs", "UID_MIN 0\n")
}

pub(crate) fn fedora() -> Host {
    Host::new()
        .with(&MERGED)
        .with(&[
            "/usr/lib64/",
            "/lib64 -> usr/lib64",
            "/home/carol/",
            "/etc/pam.d/sshd",
            "/etc/pam.d/gdm-password",
        ])
        .with(&[
            "/var/spool/mail/",
            "/var/mail -> spool/mail",
            "/var/lib/sss/pipes/",
            "/var/lib/sss/mc/",
            "/run/media/",
        ])
        .with(&[
            "/run/.heim_org.h5l.kcm-socket=",
            "/run/NetworkManager/resolv.conf",
            "/var/lib/rpm/",
            "/run/systemd/userdb/",
        ])
        .with(&[
            "/etc/resolv.conf -> /var/run/NetworkManager/resolv.conf",
            "/etc/mtab -> ../proc/self/mounts",
        ])
        .with(&[
            "/etc/pki/tls/certs/",
            "/etc/ssl/certs -> ../pki/tls/certs",
            "/tmp/.X11-unix/",
            "/run/libvirt/libvirt-sock=",
        ])
        .with(&[
            "/var/lib/ca/pem/",
            "/etc/pki/tls/pem -> /var/lib/ca/pem",
            "/run/motd",
            "/etc/motd -> /run/motd",
        ])
        .file("/etc/passwd", &format!("{ROOT}carol:x:1000:1000::/home/carol:/bin/bash\n"))
        .file("/etc/group", "carol:x:1000:\nsession-sandbox-exempt:x:990:carol\nlibvirt:x:991:\n")
        .file(
            "/etc/nsswitch.conf",
            "passwd: sss files\ngroup: sss files\nhosts: files mdns4_minimal [NOTFOUND=return] dns\n",
        )
}

pub(crate) fn cluster() -> Host {
    let mounts = [
        "/home rw shared:5 - autofs auto.home rw,indirect",
        "/home/dora rw shared:6 - nfs4 nfs1:/export/home/dora rw",
        "/lustre rw shared:7 - lustre 10.0.0.1@o2ib:/fs1 rw",
        "/software ro shared:8 - nfs4 nfs1:/export/software ro",
        "/software/old ro shared:8 - nfs4 nfs1:/export/old ro",
        "/opt/cray ro - nfs nfs2:/cray ro",
        "/var/lib/docker/x rw - nfs4 nfs2:/x rw",
        "/local/scratch rw - xfs /dev/nvme0n1 rw",
    ];
    Host::new()
        .with(&MERGED)
        .with(&["/usr/lib64/", "/lib64 -> usr/lib64", "/home/dora/", "/lustre/scratch/", "/scratch -> lustre/scratch"])
        .with(&["/software/old/", "/opt/cray/", "/local/scratch/", "/proj/", "/run/munge/munge.socket.2=", "/run/slurm/"])
        .with(&["/etc/pam.d/sshd", "/var/lib/sss/pipes/", "/var/spool/slurmd/", "/archive/"])
        .file("/proc/self/mountinfo", &mounts.map(mount).concat())
        .file("/etc/fstab", "nfs1:/export/software /software nfs4 ro 0 0\n10.0.0.1@o2ib:/fs1 /lustre lustre _netdev 0 0\nnfs3:/proj /proj nfs4 x-systemd.automount 0 0\nnfs3:/archive /archive nfs4 noauto,user 0 0\n")
        .file("/etc/auto.master", "# the homes\n/home auto.home --timeout=300\n/- /etc/auto.direct\n")
        .file("/etc/auto.direct", "/ref/genomes -ro nfs3:/genomes\n")
        .file("/etc/nsswitch.conf", "passwd: files sss\ngroup: files sss\nhosts: files dns\n")
        .file("/etc/passwd", ROOT)
}

pub(crate) fn web() -> Host {
    Host::new()
        .with(&MERGED)
        .with(&["/opt/", "/srv/", "/var/www/site1/", "/var/mail/", "/run/mysqld/mysqld.sock=", "/etc/pam.d/sshd", "/tmp/"])
        .file("/etc/fstab", "//nas/backup\\040copies /mnt/backup\\040copies cifs credentials=/root/nas 0 0\nnas:/www /var/www nfs4 defaults 0 0\n")
        .file("/etc/passwd", &format!("{ROOT}site1:x:2001:2001::/var/www/site1:/bin/sh\ndeploy:x:2002:2002::/opt:/bin/sh\ncaretaker:x:2003:2003::/var:/bin/sh\n"))
}

pub(crate) fn nixos() -> Host {
    Host::new()
        .with(&[
            "/nix/store/abc-system/",
            "/nix/var/nix/profiles/",
            "/nix/var/nix/profiles/system -> system-7-link",
        ])
        .with(&[
            "/run/current-system -> /nix/store/abc-system",
            "/bin/sh -> /nix/store/abc-system/sh",
            "/home/eve/",
        ])
        .with(&[
            "/etc/static -> /nix/store/abc-system",
            "/etc/resolv.conf -> /etc/static/resolv.conf",
            "/var/tmp/",
        ])
        .with(&["/run/wrappers/"])
        .file("/etc/passwd", &format!("{ROOT}eve:x:1000:100::/home/eve:/run/current-system/sw/bin/bash\n"))
}

pub(crate) fn munge_from_a_server() -> Host {
    Host::new().with(&MERGED).file("/proc/self/mountinfo", &mount("/run/munge rw - nfs4 nfs1:/munge rw"))
}
