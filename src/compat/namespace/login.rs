//! The lines of one user, as entries of a map for that user.

use super::read::{Line, Method};
use super::tmpfs;
use crate::model::instance::{Holder, Init, Likeness, NewDirectory, NewOwner};
use crate::model::path::AbsPath;
use crate::model::policy::{Attributes, MountKind, MountRule, OpenAs, Origin, Owner, Propagation};
use crate::model::template::Template;

/// What runs for a line without a script of its own.
const INIT: &str = "/etc/security/namespace.init";
/// Nothing is taken away from what is there.
const AS_IT_IS: Attributes = Attributes {
    read_only: false,
    nosuid: false,
    nodev: false,
    noexec: false,
    noatime: false,
    nosymfollow: false,
};

/// Who logs in.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// As the user database has it.
    pub name: &'a str,
    /// Likewise.
    pub home: &'a str,
    /// The user's id.
    pub uid: u32,
}

/// What of the host has to be known.
pub trait Host {
    /// The ids behind the names of an owner and a group; where none is said, those of the user, or of the owner.
    fn ids(&self, owner: Option<&str>, group: Option<&str>) -> Result<(u32, u32), String>;
    /// Permission bits and owner's id of a directory.
    fn directory(&self, path: &AbsPath) -> Option<(u32, u32)>;
    /// Bytes of memory.
    fn memory(&self) -> u64;
}

/// What the module is told besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// Bad lines are passed over.
    pub ignore_config_error: bool,
    /// The directory that holds instances may be open to others.
    pub ignore_instance_parent_mode: bool,
}

/// A line with its place in a file.
pub type Placed = (Origin, Line);

/// The entries for `who`: the host's whole tree, and upon it what the lines ask for; none at all where no line is for this
/// user. The error is a line that is for this user and cannot be done.
pub fn entries(
    lines: &[Placed],
    who: Who<'_>,
    words: Words,
    host: &dyn Host,
) -> Result<Vec<MountRule>, (Origin, String)> {
    let mut own: Vec<(&Origin, &Line, AbsPath)> = Vec::new();
    for (origin, line) in lines.iter().filter(|(_, line)| line.is_for(who.name)) {
        // Without SELinux nobody shares a level or a context.
        if line.flags.shared && matches!(line.method, Method::Level | Method::Context) {
            continue;
        }
        let failed = |reason: String| (origin.clone(), reason);
        if line.has_empty_part() {
            return Err(failed("two slashes in a row in the prefix".to_owned()));
        }
        let at = normal(&line.polydir_of(who.name, who.home)).map_err(failed)?;
        own.push((origin, line, at));
    }
    let Some((first, _, _)) = own.first() else { return Ok(Vec::new()) };
    let mut rules = vec![whole_host((*first).clone())];
    for (index, (origin, line, at)) in own.iter().enumerate() {
        // What a later line mounts above, or in the same place, is all that is seen.
        if own[index + 1..].iter().any(|(_, _, later)| at == later || at.is_below(later)) {
            continue;
        }
        let failed = |reason: String| ((*origin).clone(), reason);
        let rule = rule(line, at, who, words, host).map_err(failed)?;
        let lies_in = |path: &AbsPath| {
            own[..index].iter().find(|(_, _, above)| path.is_below(above)).map(|(other, _, _)| other)
        };
        if let Some(other) = lies_in(at) {
            return Err(failed(format!("{at} lies in what {other} puts in the place of the host's")));
        }
        if let Some(other) = rule.2.as_ref().and_then(lies_in) {
            return Err(failed(format!("its instances lie in what {other} puts in the place of the host's")));
        }
        let (kind, makes, instance) = rule;
        let init = match line.flags.no_init {
            true => None,
            false => {
                let program = line.flags.script.as_deref().unwrap_or(INIT);
                let program =
                    AbsPath::new(program).map_err(|error| failed(format!("{program:?}: {error}")))?;
                Some(Init { program, instance })
            }
        };
        let target = Template::of_path(at);
        rules.push(MountRule { origin: (*origin).clone(), target, kind, optional: false, makes, init });
    }
    Ok(rules)
}

type Made = (MountKind, Vec<NewDirectory>, Option<AbsPath>);

fn rule(line: &Line, at: &AbsPath, who: Who<'_>, words: Words, host: &dyn Host) -> Result<Made, String> {
    let mut makes = Vec::new();
    if let Some(create) = &line.flags.create {
        let (uid, gid) = host.ids(create.owner.as_deref(), create.group.as_deref())?;
        // What the module leaves to the umask of the program that logs in.
        let mode = create.mode.unwrap_or(0o755);
        let likeness = Likeness::Said { mode, owner: NewOwner::Ids(uid, gid) };
        makes.push(NewDirectory { at: Template::of_path(at), likeness, holder: Holder::Shared });
    }
    Ok(match line.method {
        Method::User | Method::Level | Method::Context => {
            let instance = normal(&format!("{}{}", line.prefix_of(who.name, who.home), who.name))?;
            if instance == *at {
                return Err("the instance is the directory itself".to_owned());
            }
            let holder = if words.ignore_instance_parent_mode { Holder::Shared } else { Holder::Closed };
            makes.push(NewDirectory {
                at: Template::of_path(&instance),
                likeness: Likeness::Like(Template::of_path(at)),
                holder,
            });
            let kind = MountKind::Bind {
                source: Template::of_path(&instance),
                recursive: false,
                open_as: OpenAs::Root,
                follow_symlinks: false,
                propagation: Propagation::Slave,
                attributes: AS_IT_IS,
            };
            (kind, makes, Some(instance))
        }
        Method::Tmpdir => {
            let made = line.flags.create.as_ref().map(|create| create.mode.unwrap_or(0o755));
            let (mode, owner) = match (host.directory(at), made) {
                (Some(there), _) => there,
                (None, Some(mode)) => (
                    mode,
                    host.ids(line.flags.create.as_ref().and_then(|create| create.owner.as_deref()), None)?.0,
                ),
                (None, None) => return Err(format!("there is no {at}")),
            };
            let owner = match owner {
                0 => Owner::Root,
                uid if uid == who.uid => Owner::User,
                uid => {
                    return Err(format!(
                        "{at} belongs to uid {uid}, and a directory in memory is root's or the user's"
                    ));
                }
            };
            (MountKind::Tmpfs { size: None, mode, owner, attributes: AS_IT_IS }, makes, None)
        }
        Method::Tmpfs => {
            let options =
                tmpfs::read(line.flags.mount_options.as_deref().unwrap_or_default(), Some(host.memory()));
            if let Some(reason) = options.losses.first() {
                return Err(reason.clone());
            }
            let attributes = Attributes {
                noexec: options.no_exec,
                nosuid: options.no_suid,
                nodev: options.no_dev,
                ..AS_IT_IS
            };
            let kind =
                MountKind::Tmpfs { size: options.size, mode: options.mode, owner: Owner::Root, attributes };
            (kind, makes, None)
        }
    })
}

/// All that the host has, as it is, with what it mounts later.
fn whole_host(origin: Origin) -> MountRule {
    let root = AbsPath::root();
    let kind = MountKind::Bind {
        source: Template::of_path(&root),
        recursive: true,
        open_as: OpenAs::Root,
        follow_symlinks: false,
        propagation: Propagation::Slave,
        attributes: AS_IT_IS,
    };
    let target = Template::of_path(&root);
    MountRule { origin, target, kind, optional: false, makes: Vec::new(), init: None }
}

/// A path in its one form.
fn normal(path: &str) -> Result<AbsPath, String> {
    let parts: Vec<&str> = path.split('/').filter(|part| !["", "."].contains(part)).collect();
    let normal =
        AbsPath::new(&format!("/{}", parts.join("/"))).map_err(|error| format!("{path:?}: {error}"))?;
    if normal.is_root() { Err("it is the root directory".to_owned()) } else { Ok(normal) }
}
