//! The module's arguments in the PAM configuration.

use std::path::PathBuf;

use door_protocol::Scripts;

/// Where the package installs the helper.
const HELPER: &str = "/usr/libexec/session-sandbox/session-door";
/// Members of this group are never kept in a view and never kept out, whatever the map says.
const BREAK_GLASS: &str = "session-sandbox-exempt";

/// What happens to a login when a session cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnError {
    /// It is refused.
    Deny,
    /// It goes on in the host's view.
    Host,
}

/// What happens to a login for which the map has no profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotFound {
    /// It goes on in the host's view.
    Ignore,
    /// It is refused.
    Deny,
}

/// A module whose line this one takes unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OtherModule {
    /// `as=pam_script`.
    PamScript,
    /// `as=pam_exec`.
    PamExec,
    /// `as=pam_chroot`.
    PamChroot,
    /// `as=pam_namespace`.
    PamNamespace,
    /// `as=onsession`, or a word that only the older pam_script has.
    OnSession,
}

impl OtherModule {
    /// Its name in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PamScript => "pam_script",
            Self::PamExec => "pam_exec",
            Self::PamChroot => "pam_chroot",
            Self::PamNamespace => "pam_namespace",
            Self::OnSession => "onsession",
        }
    }
}

/// Words of the older pam_script's line that no other module has.
const ON_SESSION: [&str; 10] = [
    "runas",
    "onsessionopen",
    "onsessionclose",
    "onauth",
    "seteuidonopen",
    "seteuidonclose",
    "seteuidonauth",
    "dochroot",
    "domount",
    "dounshare",
];

/// All of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) profile: Option<String>,
    pub(crate) mode: Option<String>,
    pub(crate) config: Option<String>,
    pub(crate) on_error: OnError,
    pub(crate) not_found: NotFound,
    pub(crate) break_glass: String,
    pub(crate) helper: PathBuf,
    pub(crate) scripts: Scripts,
    pub(crate) scripts_config: Option<String>,
    /// The module whose line this is meant to be, and its words.
    pub(crate) other_module: Option<OtherModule>,
    pub(crate) words: Vec<String>,
    pub(crate) debug: bool,
    /// Where the module is to fail, in tests.
    pub(crate) fault: Option<String>,
    /// The first argument that is no option, and what to write in its place. The login is refused for it.
    pub(crate) mistake: Option<String>,
}

impl Options {
    /// Reads the arguments. A mistake does not make the others unknown: who is let in when something fails still holds.
    pub(crate) fn of<'a>(arguments: impl Iterator<Item = &'a str>) -> Self {
        let mut options = Self {
            profile: None,
            mode: None,
            config: None,
            on_error: OnError::Deny,
            not_found: NotFound::Ignore,
            break_glass: BREAK_GLASS.to_owned(),
            helper: PathBuf::from(HELPER),
            scripts: Scripts::Yes,
            scripts_config: None,
            other_module: None,
            words: Vec::new(),
            debug: false,
            fault: None,
            mistake: None,
        };
        for argument in arguments {
            let name = argument.split('=').next().unwrap_or_default();
            if options.other_module.is_none() && ON_SESSION.contains(&name) {
                options.other_module = Some(OtherModule::OnSession);
            }
            // Behind `as=` the words are that module's, but for the one that tests need.
            if options.other_module.is_some() && name != "helper" && name != "scriptsconf" {
                options.words.push(argument.to_owned());
                continue;
            }
            if let Err(mistake) = options.take(argument) {
                options.mistake.get_or_insert(mistake);
            }
        }
        options
    }

    fn take(&mut self, argument: &str) -> Result<(), String> {
        let (name, value) = argument.split_once('=').unwrap_or((argument, ""));
        match (name, value) {
            ("debug", "") => self.debug = true,
            ("profile" | "breakglass", "") | ("config" | "helper", "") => {
                return Err(format!("the option `{argument}` needs a value"));
            }
            ("profile", value) => self.profile = Some(value.to_owned()),
            ("breakglass", value) => self.break_glass = value.to_owned(),
            ("mode", "namespace" | "chroot") => self.mode = Some(value.to_owned()),
            ("onerr", "deny") => self.on_error = OnError::Deny,
            ("onerr", "host") => self.on_error = OnError::Host,
            ("notfound", "ignore") => self.not_found = NotFound::Ignore,
            ("notfound", "deny") => self.not_found = NotFound::Deny,
            ("config", value) if value.starts_with('/') => self.config = Some(value.to_owned()),
            ("helper", value) if value.starts_with('/') => self.helper = PathBuf::from(value),
            ("scriptsconf", value) if value.starts_with('/') => self.scripts_config = Some(value.to_owned()),
            ("scripts", value) if Scripts::WORDS.iter().any(|(word, _)| *word == value) => {
                self.scripts =
                    Scripts::WORDS.iter().find(|(word, _)| *word == value).map_or(Scripts::Yes, |(_, s)| *s);
            }
            ("as", "pam_script") => self.other_module = Some(OtherModule::PamScript),
            ("as", "pam_exec") => self.other_module = Some(OtherModule::PamExec),
            // Its line opens a view and runs nothing.
            ("as", "pam_chroot") => {
                self.other_module = Some(OtherModule::PamChroot);
                self.scripts = Scripts::No;
            }
            ("as", "pam_namespace") => {
                self.other_module = Some(OtherModule::PamNamespace);
                self.scripts = Scripts::No;
            }
            ("as", "onsession") => self.other_module = Some(OtherModule::OnSession),
            ("fault", value) if cfg!(feature = "faults") => self.fault = Some(value.to_owned()),
            ("mode", _) => return Err(format!("`{argument}`: write mode=namespace or mode=chroot")),
            ("onerr", _) => return Err(format!("`{argument}`: write onerr=deny or onerr=host")),
            ("notfound", _) => return Err(format!("`{argument}`: write notfound=ignore or notfound=deny")),
            ("config" | "helper" | "scriptsconf", _) => {
                return Err(format!("`{argument}`: write an absolute path"));
            }
            ("scripts", _) => {
                return Err(format!("`{argument}`: write scripts=no, scripts=yes or scripts=only"));
            }
            ("as", _) => {
                return Err(format!(
                    "`{argument}`: write as=pam_script, as=pam_exec, as=pam_chroot, as=pam_namespace or as=onsession"
                ));
            }
            _ => {
                return Err(format!(
                    "`{argument}` is no option; there are profile=, mode=, config=, onerr=, notfound=, breakglass=, helper=, scripts=, scriptsconf=, as= and debug"
                ));
            }
        }
        Ok(())
    }
}
