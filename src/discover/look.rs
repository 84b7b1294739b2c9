//! Looking at a host. The only part of `discover` that does; it reads, and changes nothing.
//!
//! Nothing that a server has to answer for is looked at: what the mount table says of it is enough, and a server that
//! is dead would be waited for. Files are read where only root can have written them, because what they say ends up in
//! a map that root relies on.

use crate::error::Error;
use crate::model::facts::PathFact;
use crate::model::path::AbsPath;
use crate::setup::Site;
use crate::setup::pam_stack::{OTHER, is_service};

use super::found::{AutofsMap, Found, Lead};
use super::{parse, services, storage, system};
use crate::paper::usable;

/// The mount table.
const MOUNTS: &str = "/proc/self/mountinfo";
/// A folder that holds a host shows this host's mount table where its `/proc` is mounted. Where somebody has put a copy
/// of the other one there, this is a folder and no link.
const MOUNTS_FOLDER: &str = "/proc/self";
/// The automounter's first map, and the folder with more of them.
const AUTO_MASTER: &str = "/etc/auto.master";
const AUTO_MASTER_FOLDER: &str = "/etc/auto.master.d";
/// Where services are.
const PAM: [&str; 2] = ["/etc/pam.d", "/usr/lib/pam.d"];
/// Links in these folders matter to programs.
const LINKS: [&str; 6] =
    ["/etc", "/etc/alternatives", "/etc/ssl", "/etc/ssl/certs", "/etc/pki/tls", "/etc/pki/tls/certs"];
/// So many links in one folder are followed.
const LINKS_MAX: usize = 1000;
/// So many links in a row, as the kernel does it.
const HOPS_MAX: usize = 40;
/// So many maps of the automounter's are read.
const MAPS_MAX: usize = 64;

/// What this host is like, or the one in the folder `root`.
pub(super) fn look(root: Option<&AbsPath>) -> Result<Found, Error> {
    let mut eye = Eye { site: Site::open(root)?, found: Found::default() };
    // First, because the rest keeps away from what is mounted from elsewhere.
    eye.mount_table();
    eye.tables();
    eye.accounts();
    eye.places();
    eye.leads();
    eye.found.unread.sort_unstable();
    eye.found.unread.dedup();
    Ok(eye.found)
}

struct Eye {
    site: Site,
    found: Found,
}

impl Eye {
    /// The text of a file; nothing where there is none. What cannot be read is noted.
    fn text(&mut self, path: &str) -> String {
        match self.site.read(path) {
            Ok(text) => text.unwrap_or_default(),
            Err(error) => {
                self.found.unread.push((path.to_owned(), error.without_remedy()));
                String::new()
            }
        }
    }

    fn names(&mut self, folder: &str) -> Vec<String> {
        match self.site.list(folder) {
            Ok(names) => names,
            Err(error) => {
                self.found.unread.push((folder.to_owned(), error.without_remedy()));
                Vec::new()
            }
        }
    }

    fn what_is(&self, path: &AbsPath) -> PathFact {
        match storage::is_elsewhere(&self.found, path) {
            true => PathFact::Directory,
            false => self.site.what_is(path),
        }
    }

    fn mount_table(&mut self) {
        let is_copy = |folder: &str| AbsPath::new(folder).map(|folder| self.site.what_is(&folder));
        if self.site.folder().is_none() || is_copy(MOUNTS_FOLDER) == Ok(PathFact::Directory) {
            let text = self.text(MOUNTS);
            self.found.mounts = parse::mounts(&text);
        }
    }

    fn tables(&mut self) {
        let text = self.text("/etc/fstab");
        self.found.fstab = parse::fstab(&text);
        let mut masters = vec![AUTO_MASTER.to_owned()];
        let more = self.names(AUTO_MASTER_FOLDER).into_iter().filter(|name| name.ends_with(".autofs"));
        masters.extend(more.map(|name| format!("{AUTO_MASTER_FOLDER}/{name}")));
        for master in masters.into_iter().take(MAPS_MAX) {
            let text = self.text(&master);
            let maps = parse::auto_master(&master, &text);
            let (direct, indirect): (Vec<_>, Vec<_>) = maps.into_iter().partition(|map| map.at == "/-");
            self.found.autofs.extend(indirect);
            for map in direct.into_iter().take(MAPS_MAX) {
                let maps = self.direct(&map);
                self.found.autofs.extend(maps);
            }
        }
    }

    /// The mount points of a direct map that is a file. Programs and servers are not asked.
    fn direct(&mut self, map: &AutofsMap) -> Vec<AutofsMap> {
        let name = map.map.strip_prefix("file:").unwrap_or(&map.map);
        let path = if name.starts_with('/') { name.to_owned() } else { format!("/etc/{name}") };
        if usable(&path).is_none() || !path.starts_with("/etc/") {
            let why = "maps of the automounter's are read in /etc alone";
            self.found.unread.push((map.map.clone(), why.to_owned()));
            return Vec::new();
        }
        let text = self.text(&path);
        parse::auto_direct(&path, &text)
    }

    fn accounts(&mut self) {
        let [passwd, group, defs, nsswitch] =
            ["/etc/passwd", "/etc/group", "/etc/login.defs", "/etc/nsswitch.conf"]
                .map(|path| self.text(path));
        self.found.users = parse::users(&passwd, &group);
        self.found.groups = parse::groups(&group);
        self.found.login = parse::login_defs("/etc/login.defs", &defs);
        self.found.name_services = parse::name_services(&nsswitch);
        let mut services: Vec<String> = PAM.iter().flat_map(|folder| self.names(folder)).collect();
        services.retain(|name| *name != OTHER && is_service(name));
        services.sort_unstable();
        services.dedup();
        self.found.pam = services;
    }

    fn places(&mut self) {
        for name in self.names("/") {
            if let Some(path) = usable(&format!("/{name}")) {
                let fact = self.what_is(&path);
                self.found.top.insert(name, fact);
            }
        }
        let asked = services::places().chain(system::places()).map(str::to_owned);
        for place in asked.collect::<Vec<_>>() {
            let Ok(path) = AbsPath::new(&place) else { continue };
            match self.what_is(&path) {
                PathFact::Missing => {}
                fact => drop(self.found.places.insert(place, fact)),
            }
        }
    }

    fn leads(&mut self) {
        for folder in LINKS {
            for name in self.names(folder).into_iter().take(LINKS_MAX) {
                let Some(link) = usable(&format!("{folder}/{name}")) else { continue };
                if let PathFact::Symlink(_) = self.what_is(&link) {
                    let (through, end) = self.follow(&link);
                    self.found.leads.push(Lead { link, through, end });
                }
            }
        }
    }

    /// Where a link leads: every place at which it is a link again, and the end.
    fn follow(&self, link: &AbsPath) -> (Vec<AbsPath>, PathFact) {
        let mut through: Vec<AbsPath> = Vec::new();
        let mut rest: Vec<String> = link.components().rev().map(str::to_owned).collect();
        let mut here = AbsPath::root();
        let mut fact = PathFact::Directory;
        let mut hops = 0;
        while let Some(name) = rest.pop() {
            match name.as_str() {
                "" | "." => continue,
                ".." => {
                    here = here.parent().unwrap_or(here);
                    continue;
                }
                _ => {}
            }
            let Ok(next) = here.join(&name) else { break };
            fact = if matches!(fact, PathFact::Missing) { PathFact::Missing } else { self.what_is(&next) };
            match &fact {
                PathFact::Symlink(to) if hops < HOPS_MAX => {
                    hops += 1;
                    let is_last = rest.iter().all(|name| name.is_empty() || name == ".");
                    if is_last && next != *link {
                        through.push(next);
                    }
                    if to.starts_with('/') {
                        here = AbsPath::root();
                    }
                    rest.extend(to.split('/').rev().map(str::to_owned));
                    fact = PathFact::Directory;
                }
                _ => here = next,
            }
        }
        through.push(here);
        (through, fact)
    }
}
