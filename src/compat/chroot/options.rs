//! The words behind `pam_chroot.so` in a PAM service.

use super::{Flavour, Reading};

/// What the module is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `debug`: it tells the log what it does.
    pub debug: bool,
    /// `no_warn`.
    pub no_warn: bool,
    /// `no_chroot`: everything but the last step.
    pub no_chroot: bool,
    /// `use_regex` or `use_ext_regex`: names are patterns.
    pub patterns: Option<Flavour>,
    /// `use_groups`: `@name` is a group.
    pub groups: bool,
    /// `sec_checks`: who can write to the way to the directory is looked at.
    pub checks: bool,
    /// `chroot_dir=`: for everybody. `chroot.conf` is not read.
    pub directory: Option<String>,
    /// `native`, a word of our own: patterns are whole names, and what cannot be read is an error.
    pub reading: Reading,
    /// `notfound=failure`.
    not_found_fails: bool,
    /// `onerr=succeed`.
    errors_pass: bool,
    /// What the last of the two said: in the module they are one.
    last_fails: bool,
}

impl Options {
    /// Reads the words. With the options come those words that the module complains of and goes on without.
    pub fn read<'a>(words: impl IntoIterator<Item = &'a str>) -> (Self, Vec<&'a str>) {
        let mut options = Self::default();
        let mut unknown = Vec::new();
        for word in words {
            if !options.take(word) {
                unknown.push(word);
            }
        }
        (options, unknown)
    }

    fn take(&mut self, word: &str) -> bool {
        match word {
            "debug" => self.debug = true,
            "no_warn" => self.no_warn = true,
            "no_chroot" => self.no_chroot = true,
            // The order of the two is of no matter.
            "use_regex" => self.patterns = self.patterns.or(Some(Flavour::Basic)),
            "use_ext_regex" => self.patterns = Some(Flavour::Extended),
            "use_groups" => self.groups = true,
            "sec_checks" => self.checks = true,
            "native" => self.reading = Reading::Native,
            "use_first_pass" | "try_first_pass" | "use_mapped_pass" => {}
            "notfound=success" => (self.not_found_fails, self.last_fails) = (false, false),
            "notfound=failure" => (self.not_found_fails, self.last_fails) = (true, true),
            "onerr=succeed" => (self.errors_pass, self.last_fails) = (true, false),
            "onerr=fail" => (self.errors_pass, self.last_fails) = (false, true),
            _ => match word.strip_prefix("chroot_dir=") {
                Some(directory) if !directory.is_empty() && self.directory.is_none() => {
                    self.directory = Some(directory.to_owned());
                }
                _ => return false,
            },
        }
        true
    }

    /// In which grammar patterns are written, if names are patterns.
    pub fn flavour(&self, reading: Reading) -> Option<Flavour> {
        match reading {
            // The bit of `use_regex` is one of the two of `use_ext_regex`, and the module asks for any of them.
            Reading::Compat => self.patterns.map(|_| Flavour::Extended),
            Reading::Native => self.patterns,
        }
    }

    /// Is a login refused for whom there is no line?
    pub(super) fn refuses_unknown(&self, reading: Reading) -> bool {
        match reading {
            Reading::Compat => self.last_fails,
            Reading::Native => self.not_found_fails,
        }
    }

    /// Is a login refused when something is wrong?
    pub(super) fn refuses_errors(&self, reading: Reading) -> bool {
        match reading {
            // Its manual says otherwise.
            Reading::Compat => true,
            Reading::Native => !self.errors_pass,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &str) -> (Options, Vec<&str>) {
        Options::read(words.split_ascii_whitespace())
    }

    #[test]
    fn every_word_is_known() {
        let (options, unknown) = read(
            "debug no_warn no_chroot use_ext_regex use_regex use_groups sec_checks use_first_pass try_first_pass \
             use_mapped_pass notfound=failure onerr=succeed chroot_dir=/a",
        );
        assert!(unknown.is_empty(), "{unknown:?}");
        assert!(options.debug && options.no_warn && options.no_chroot && options.groups && options.checks);
        assert_eq!(options.patterns, Some(Flavour::Extended));
        assert_eq!(options.directory.as_deref(), Some("/a"));
    }

    #[test]
    fn what_the_module_does_not_know_it_goes_on_without() {
        for word in
            ["x", "DEBUG", "notfound=", "notfound=fail", "onerr=failure", "onerr=notfail", "chroot_dir="]
        {
            assert_eq!(read(word), (Options::default(), vec![word]));
        }
        let (options, unknown) = read("chroot_dir=/a chroot_dir=/b");
        assert_eq!((options.directory.as_deref(), unknown), (Some("/a"), vec!["chroot_dir=/b"]));
    }

    #[test]
    fn two_options_are_one_to_the_module_and_two_to_us() {
        for (words, compat, unknown, errors) in [
            ("", false, false, true),
            ("notfound=failure", true, true, true),
            ("notfound=failure onerr=succeed", false, true, false),
            ("onerr=succeed notfound=failure", true, true, false),
            ("onerr=fail", true, false, true),
            ("onerr=fail notfound=success", false, false, true),
        ] {
            let (options, _) = read(words);
            assert_eq!(options.refuses_unknown(Reading::Compat), compat, "{words}");
            assert_eq!(options.refuses_unknown(Reading::Native), unknown, "{words}");
            assert_eq!(options.refuses_errors(Reading::Native), errors, "{words}");
            assert!(options.refuses_errors(Reading::Compat));
        }
    }

    #[test]
    fn plain_patterns_are_extended_ones_to_the_module() {
        let (options, _) = read("use_regex");
        assert_eq!(options.flavour(Reading::Compat), Some(Flavour::Extended));
        assert_eq!(options.flavour(Reading::Native), Some(Flavour::Basic));
        assert_eq!(Options::default().flavour(Reading::Compat), None);
    }
}
