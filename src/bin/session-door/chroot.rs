//! `CHROOTDIR=` of the older pam_script: a folder that its script has named becomes the root, with what the map names in it.
#![forbid(unsafe_code)]

use session_sandbox::model::facts::{Look, PathFact};
use session_sandbox::model::path::AbsPath;
use session_sandbox::model::policy::{
    Attributes, Mode, MountKind, OpenAs, Origin, Policy, Propagation, Scope,
};
use session_sandbox::model::subject::Subject;
use session_sandbox::model::template::Template;
use session_sandbox::plan::{self, Request};
use session_sandbox::scripts::begin::Chroot;
use session_sandbox::{Error, ErrorKind, host};

/// The map's profile for this login, with the folder for its root. Without `domount` nothing else is mounted there.
pub(crate) fn policy(
    mut map: Policy,
    subject: &Subject,
    request: &Request,
    chroot: &Chroot,
) -> Result<Policy, Error> {
    let directory = AbsPath::new(&chroot.directory).map_err(|error| {
        let message = format!("CHROOTDIR={:?} of the session's script", chroot.directory);
        Error::new(ErrorKind::Request, message).caused_by(error).help("write an absolute path")
    })?;
    let facts = host::facts(&map, subject, request)?;
    let mut profile = plan::select(&map, subject, &facts, request.profile.as_deref())
        .map_err(plan::PlanErrors::from)?
        .clone();
    if !chroot.mount {
        profile.mounts.clear();
    }
    // The folder has links of its own; none can be made in it.
    let is_link =
        |path: &AbsPath| matches!(facts.paths.get(&(Look::Root, path.clone())), Some(PathFact::Symlink(_)));
    for rule in &mut profile.mounts {
        if let MountKind::System { paths, .. } = &mut rule.kind {
            paths.retain(|path| !is_link(path));
        }
    }
    let at_root = |target: &Template| target.source() == "/" && target.variables().next().is_none();
    profile.mounts.retain(|rule| !at_root(&rule.target) || matches!(rule.kind, MountKind::System { .. }));
    let template = |path: &str| {
        Template::parse_path(&path.replace('%', "%%"))
            .map_err(|error| Error::new(ErrorKind::Request, path.to_owned()).caused_by(error))
    };
    profile.mounts.insert(
        0,
        session_sandbox::model::policy::MountRule {
            origin: Origin { file: "CHROOTDIR".into(), line: 1 },
            target: template("/")?,
            optional: false,
            makes: Vec::new(),
            init: None,
            kind: MountKind::Bind {
                source: template(directory.as_str())?,
                recursive: true,
                open_as: OpenAs::Root,
                follow_symlinks: false,
                propagation: Propagation::Private,
                attributes: Attributes { nosuid: false, nodev: false, ..Attributes::STANDARD },
            },
        },
    );
    // The folder is this login's: nobody else's root.
    profile.settings.scope = Scope::Session;
    if request.mode == Some(Mode::Chroot) {
        profile.settings.mode = Mode::Chroot;
    }
    map.profiles = vec![profile];
    Ok(map)
}
