//! The words behind other modules' names in a PAM configuration, as those modules read them. Pure.

use crate::model::path::AbsPath;

/// What the words of today's pam_script (Nijhof's) say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PamScript {
    /// `dir=`.
    pub folder: AbsPath,
    /// `onerr=success`.
    pub lenient: bool,
    /// All words: each script gets them.
    pub arguments: Vec<String>,
}

/// What the words of the older pam_script (Burger's, and Bon's after him) say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnSession {
    /// `onsessionopen=`; `None` for the usual one, which may be missing.
    pub open: Option<AbsPath>,
    /// `onsessionclose=`.
    pub close: Option<AbsPath>,
    /// `runas=`; without it the user who logs in.
    pub run_as: Option<String>,
    /// `dochroot`.
    pub chroot: bool,
    /// `domount`.
    pub mount: bool,
    /// `dounshare`.
    pub unshare: bool,
}

/// What the words of pam_exec say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PamExec {
    /// `quiet`: the user is not told of a failure.
    pub quiet: bool,
    /// `quiet_log`: nor is the log.
    pub quiet_log: bool,
    /// `stdout`: the user is shown what the command writes.
    pub show: bool,
    /// `log=`.
    pub log: Option<AbsPath>,
    /// `type=`: for this type of call alone.
    pub only: Option<String>,
    /// `untrusted`, a word of ours: whoever may change the command.
    pub untrusted: bool,
    /// The command.
    pub command: AbsPath,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// Where Debian's package has the scripts.
const PAM_SCRIPT_FOLDER: &str = "/usr/share/libpam-script";
/// As long a folder as pam_script's own buffer takes, with the longest name behind it.
const PAM_SCRIPT_FOLDER_MAX: usize = 127 - "/pam_script_ses_close".len();
/// Where the older module has its scripts.
pub const ON_SESSION_OPEN: &str = "/etc/security/onsessionopen";
/// The one for the end.
pub const ON_SESSION_CLOSE: &str = "/etc/security/onsessionclose";

impl PamScript {
    /// Reads the words. What is no option is an argument, as there.
    pub fn read(words: &[String]) -> Result<Self, String> {
        let mut read = Self { folder: path(PAM_SCRIPT_FOLDER)?, lenient: false, arguments: words.to_vec() };
        for word in words {
            match word.split_once('=') {
                Some(("dir", folder)) if folder.trim_end_matches('/').len() > PAM_SCRIPT_FOLDER_MAX => {
                    return Err(format!("`{word}` is longer than pam_script takes"));
                }
                Some(("dir", folder)) => read.folder = path(folder)?,
                Some(("onerr", "success")) => read.lenient = true,
                Some(("onerr", "fail")) => read.lenient = false,
                Some(("onerr", _)) => return Err(format!("`{word}`: write onerr=success or onerr=fail")),
                _ => {}
            }
        }
        Ok(read)
    }
}

impl OnSession {
    /// Reads the words.
    pub fn read(words: &[String]) -> Result<Self, String> {
        let mut read =
            Self { open: None, close: None, run_as: None, chroot: false, mount: false, unshare: false };
        for word in words {
            let (name, value) = word.split_once('=').unwrap_or((word, "1"));
            // Bare is the same as `=1`.
            let switch = || match value {
                "1" | "yes" | "true" => Ok(true),
                "0" | "no" | "false" => Ok(false),
                _ => Err(format!("`{word}`: write {name}, {name}=1 or {name}=0")),
            };
            match name {
                "onsessionopen" => read.open = Some(path(value)?),
                "onsessionclose" => read.close = Some(path(value)?),
                "onauth" => drop(path(value)?),
                "runas" if !word.contains('=') || value.is_empty() => {
                    return Err(format!("`{word}`: write runas=NAME"));
                }
                "runas" => read.run_as = Some(value.to_owned()),
                // The user's rights are what a script has anyway, unless `runas` says otherwise.
                "seteuidonopen" | "seteuidonclose" | "seteuidonauth" => drop(switch()?),
                "dochroot" => read.chroot = switch()?,
                "domount" => read.mount = switch()?,
                "dounshare" => read.unshare = switch()?,
                _ => return Err(format!("`{word}` is no option of this module")),
            }
        }
        Ok(read)
    }
}

impl PamExec {
    /// Reads the words: options, in any case, up to the first that begins with `/` or is none. `Err(None)` where there is
    /// no command.
    pub fn read(words: &[String]) -> Result<Self, Option<String>> {
        let mut read = Self {
            quiet: false,
            quiet_log: false,
            show: false,
            log: None,
            only: None,
            untrusted: false,
            command: AbsPath::root(),
            arguments: Vec::new(),
        };
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            let lower = word.to_ascii_lowercase();
            match lower
                .split_once('=')
                .map_or((lower.as_str(), None), |(name, _)| (name, word.split_once('=')))
            {
                ("debug" | "expose_authtok" | "seteuid", None) => {}
                ("quiet", None) => read.quiet = true,
                ("quiet_log", None) => read.quiet_log = true,
                ("stdout", None) => read.show = true,
                ("untrusted", None) => read.untrusted = true,
                ("log", Some((_, file))) => read.log = Some(path(file)?),
                ("type", Some((_, only))) => read.only = Some(only.to_owned()),
                _ if word.starts_with('/') => {
                    read.command = path(word)?;
                    read.arguments = rest.cloned().collect();
                    return Ok(read);
                }
                _ => return Err(Some(format!("`{word}` is no option of pam_exec and no absolute path"))),
            }
        }
        Err(None)
    }
}

fn path(text: &str) -> Result<AbsPath, String> {
    AbsPath::new(text).map_err(|error| format!("`{text}`: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_ascii_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_line_of_pam_exec_is_read_as_pam_exec_reads_it() {
        let read =
            PamExec::read(&words("QUIET log=/var/log/x type=open_session /bin/hook -x quiet")).unwrap();
        assert_eq!((read.quiet, read.command.as_str()), (true, "/bin/hook"));
        assert_eq!(read.log.as_ref().map(AbsPath::as_str), Some("/var/log/x"));
        assert_eq!(read.only.as_deref(), Some("open_session"));
        assert_eq!(read.arguments, ["-x", "quiet"]);
        assert_eq!(PamExec::read(&words("quiet")), Err(None));
        assert!(matches!(PamExec::read(&words("quit /bin/hook")), Err(Some(_))));
    }

    #[test]
    fn a_line_of_the_older_pam_script_is_read() {
        let line =
            "runas=root onsessionopen=/p/a onsessionclose=/p/b seteuidonopen dochroot domount=1 dounshare=0";
        let read = OnSession::read(&words(line)).unwrap();
        assert_eq!(read.run_as.as_deref(), Some("root"));
        assert_eq!(read.open.as_ref().map(AbsPath::as_str), Some("/p/a"));
        assert_eq!((read.chroot, read.mount, read.unshare), (true, true, false));
        for wrong in ["onsessionopen=p", "runas", "dochroot=2", "dir=/x", "onauth=x"] {
            assert!(OnSession::read(&words(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_line_of_pam_script_is_read() {
        let read = PamScript::read(&words("dir=/srv/x/ onerr=success and more")).unwrap();
        assert_eq!((read.folder.as_str(), read.lenient), ("/srv/x", true));
        assert_eq!(read.arguments.len(), 4);
        assert!(PamScript::read(&[format!("dir=/{}", "x".repeat(144))]).is_err());
        assert!(PamScript::read(&[format!("dir=/{}", "x".repeat(99))]).is_ok());
        assert_eq!(PamScript::read(&[]).unwrap().folder.as_str(), PAM_SCRIPT_FOLDER);
    }
}
