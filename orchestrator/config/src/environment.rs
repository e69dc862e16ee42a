//! What the process was started with, as far as settings depend on it.
//!
//! The environment is read here and nowhere else in the configuration, so that layering can
//! be tested without one. An empty variable counts as none.

use std::{
    collections::BTreeMap,
    env,
    ffi::{OsStr, OsString},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    thread,
};

use super::catalog::{BUILD_COLOR, SETTINGS, Setting};

/// Says that nobody wants colours (<https://no-color.org>).
const NO_COLOR: &str = "NO_COLOR";

/// The variables that are no settings themselves.
const OTHERS: [&str; 4] = ["HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", NO_COLOR];

/// The environment, the user and the machine.
#[derive(Debug, Clone)]
pub(super) struct Environment {
    variables: BTreeMap<&'static str, OsString>,
    /// The user that the process acts as.
    pub(super) user: u32,
    /// How many processors there are.
    pub(super) cores: NonZeroUsize,
}

impl Environment {
    /// That of this process.
    pub(super) fn of_process() -> Self {
        let names = SETTINGS.iter().filter_map(|setting| setting.variable);
        Self {
            variables: names
                .chain(OTHERS)
                .filter_map(|name| Some((name, env::var_os(name)?)))
                .collect(),
            user: rustix::process::geteuid().as_raw(),
            cores: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        }
    }

    /// The same without anything that sets a setting.
    pub(super) fn without_settings(mut self) -> Self {
        self.variables.retain(|name, _| *name == "HOME");
        self
    }

    /// A variable.
    fn variable(&self, name: &str) -> Option<&OsStr> {
        self.variables
            .get(name)
            .map(OsString::as_os_str)
            .filter(|value| !value.is_empty())
    }

    /// What it says about a setting, and the name of the variable that does.
    pub(super) fn says(&self, setting: &Setting) -> Option<(&'static str, &OsStr)> {
        let own = setting
            .variable
            .and_then(|name| Some((name, self.variable(name)?)));
        own.or_else(|| {
            let no_colour = setting.key == BUILD_COLOR.key && self.variable(NO_COLOR).is_some();
            no_colour.then_some((NO_COLOR, OsStr::new("never")))
        })
    }

    /// The user's home directory.
    pub(super) fn home(&self) -> Option<&Path> {
        self.variable("HOME").map(Path::new)
    }

    /// The user's own file of settings: below `$XDG_CONFIG_HOME` if that is absolute, else
    /// below ~/.config (XDG Base Directory Specification).
    pub(super) fn user_file(&self) -> Option<PathBuf> {
        self.base("XDG_CONFIG_HOME", ".config")
            .map(|base| base.join("kiln/config.toml"))
    }

    /// The cache if nothing is said: the machine's for root, else the user's.
    pub(super) fn cache(&self) -> Option<PathBuf> {
        if self.user == 0 {
            return Some(PathBuf::from("/var/cache/kiln"));
        }
        self.base("XDG_CACHE_HOME", ".cache")
            .map(|base| base.join("kiln"))
    }

    fn base(&self, variable: &str, below_home: &str) -> Option<PathBuf> {
        self.variable(variable)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .or_else(|| Some(self.home()?.join(below_home)))
    }

    /// One of these variables, of an ordinary user on two processors.
    #[cfg(test)]
    pub(super) fn of(variables: &[(&'static str, &str)]) -> Self {
        Self {
            variables: variables
                .iter()
                .map(|(name, value)| (*name, OsString::from(value)))
                .collect(),
            user: 1000,
            cores: NonZeroUsize::new(2).unwrap(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_follow_the_xdg_rules() {
        let home = Environment::of(&[("HOME", "/home/me")]);
        assert_eq!(
            home.user_file(),
            Some("/home/me/.config/kiln/config.toml".into())
        );
        assert_eq!(home.cache(), Some("/home/me/.cache/kiln".into()));
        let set = Environment::of(&[("HOME", "/home/me"), ("XDG_CONFIG_HOME", "/c")]);
        assert_eq!(set.user_file(), Some("/c/kiln/config.toml".into()));
        let relative = Environment::of(&[("HOME", "/home/me"), ("XDG_CONFIG_HOME", "c")]);
        assert_eq!(relative.user_file(), home.user_file());
        assert_eq!(Environment::of(&[]).user_file(), None);
        assert_eq!(Environment::of(&[("HOME", "")]).cache(), None);
    }

    #[test]
    fn no_color_gives_way_to_kilns_own_variable() {
        let said = |variables: &[(&'static str, &str)]| {
            let environment = Environment::of(variables);
            environment
                .says(&BUILD_COLOR)
                .map(|(name, value)| (name, value.to_owned()))
        };
        assert_eq!(
            said(&[("NO_COLOR", "1")]),
            Some(("NO_COLOR", "never".into()))
        );
        assert_eq!(said(&[("NO_COLOR", "")]), None);
        assert_eq!(
            said(&[("NO_COLOR", "1"), ("KILN_COLOR", "always")]),
            Some(("KILN_COLOR", "always".into()))
        );
    }
}
