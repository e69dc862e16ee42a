//! Every setting there is: its key in a file, its variable, its flag, and with what care it
//! is taken.
//!
//! docs/configuration.md has a row for each; a test compares. A setting without a type here
//! gets one in `settings.rs`, where it is read.

/// With what care a setting is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// From any file, and shown: it makes a build slower or later, or kiln more careful.
    Open,
    /// It decides whom kiln talks to or trusts, or where results come from: only from a file that nobody
    /// else may write to.
    Guarded,
    /// The same, and never shown.
    Secret,
}

/// Whether files may hold a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InFiles {
    /// They may.
    Yes,
    /// They may not: it is itself a secret.
    No,
}

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Its table and its key in that, as `build.jobs`.
    pub key: &'static str,
    /// The variable that sets it.
    pub variable: Option<&'static str>,
    /// The flag that sets it.
    pub flag: Option<&'static str>,
    /// With what care it is taken.
    pub exposure: Exposure,
    /// Whether files may hold it.
    pub in_files: InFiles,
}

impl Setting {
    const fn new(key: &'static str, exposure: Exposure) -> Self {
        Self {
            key,
            variable: None,
            flag: None,
            exposure,
            in_files: InFiles::Yes,
        }
    }

    const fn open(key: &'static str) -> Self {
        Self::new(key, Exposure::Open)
    }

    const fn guarded(key: &'static str) -> Self {
        Self::new(key, Exposure::Guarded)
    }

    const fn secret(key: &'static str) -> Self {
        Self::new(key, Exposure::Secret)
    }

    const fn variable(mut self, name: &'static str) -> Self {
        self.variable = Some(name);
        self
    }

    const fn flag(mut self, name: &'static str) -> Self {
        self.flag = Some(name);
        self
    }

    const fn not_in_files(mut self) -> Self {
        self.in_files = InFiles::No;
        self
    }

    /// The table that it is in.
    pub fn table(&self) -> &'static str {
        self.key.split_once('.').map_or("", |(table, _)| table)
    }

    /// Its name in its table.
    pub fn name(&self) -> &'static str {
        self.key.split_once('.').map_or(self.key, |(_, name)| name)
    }
}

pub(super) static CACHE_DIR: Setting = Setting::guarded("cache.dir")
    .variable("KILN_CACHE")
    .flag("--cache-dir");
pub(super) static CACHE_MAX_SIZE: Setting = Setting::open("cache.max_size")
    .variable("KILN_CACHE_MAX_SIZE")
    .flag("--max-size");

pub(super) static BUILD_JOBS: Setting = Setting::open("build.jobs")
    .variable("KILN_JOBS")
    .flag("--jobs");
pub(super) static BUILD_TIMEOUT: Setting = Setting::open("build.timeout")
    .variable("KILN_TIMEOUT")
    .flag("--timeout");
pub(super) static BUILD_CONF_TIMEOUT: Setting = Setting::open("build.conf_timeout")
    .variable("KILN_CONF_TIMEOUT")
    .flag("--conf-timeout");
pub(super) static BUILD_COLOR: Setting = Setting::open("build.color")
    .variable("KILN_COLOR")
    .flag("--color");

pub(super) static LIMITS_MEMORY: Setting =
    Setting::open("limits.memory").variable("KILN_LIMIT_MEMORY");
pub(super) static LIMITS_PROCESSES: Setting =
    Setting::open("limits.processes").variable("KILN_LIMIT_PROCESSES");
pub(super) static LIMITS_LOG: Setting = Setting::open("limits.log").variable("KILN_LIMIT_LOG");
pub(super) static LIMITS_RESULTS: Setting =
    Setting::open("limits.results").variable("KILN_LIMIT_RESULTS");

pub(super) static REMOTE_CACHE_URL: Setting = Setting::guarded("remote_cache.url")
    .variable("KILN_REMOTE_CACHE")
    .flag("--remote-cache");
pub(super) static REMOTE_CACHE_UPLOAD: Setting = Setting::guarded("remote_cache.upload")
    .variable("KILN_REMOTE_UPLOAD")
    .flag("--remote-upload");
pub(super) static REMOTE_CACHE_TIMEOUT: Setting =
    Setting::guarded("remote_cache.timeout").variable("KILN_REMOTE_TIMEOUT");

pub(super) static REMOTE_EXEC_URL: Setting = Setting::guarded("remote_exec.url")
    .variable("KILN_REMOTE_EXEC")
    .flag("--remote-exec");
pub(super) static REMOTE_EXEC_JOBS: Setting = Setting::guarded("remote_exec.jobs")
    .variable("KILN_REMOTE_JOBS")
    .flag("--remote-jobs");
pub(super) static REMOTE_EXEC_TIMEOUT: Setting =
    Setting::guarded("remote_exec.timeout").variable("KILN_REMOTE_EXEC_TIMEOUT");
pub(super) static REMOTE_EXEC_PLATFORM: Setting = Setting::guarded("remote_exec.platform")
    .variable("KILN_REMOTE_PLATFORM")
    .flag("--remote-platform");
pub(super) static REMOTE_EXEC_ROOT_PLATFORM: Setting =
    Setting::guarded("remote_exec.root_platform").variable("KILN_REMOTE_ROOT_PLATFORM");

pub(super) static REMOTE_CA: Setting = Setting::guarded("remote.ca").variable("KILN_REMOTE_CA");
pub(super) static REMOTE_CERT: Setting =
    Setting::guarded("remote.cert").variable("KILN_REMOTE_CERT");
pub(super) static REMOTE_KEY: Setting = Setting::guarded("remote.key").variable("KILN_REMOTE_KEY");
pub(super) static REMOTE_TOKEN: Setting = Setting::secret("remote.token")
    .variable("KILN_REMOTE_TOKEN")
    .not_in_files();
pub(super) static REMOTE_TOKEN_FILE: Setting =
    Setting::guarded("remote.token_file").variable("KILN_REMOTE_TOKEN_FILE");
pub(super) static REMOTE_CREDENTIAL_HELPER: Setting =
    Setting::guarded("remote.credential_helper").variable("KILN_REMOTE_CREDENTIAL_HELPER");
pub(super) static REMOTE_HEADERS: Setting = Setting::secret("remote.headers");

pub(super) static SIGNING_KEY: Setting =
    Setting::guarded("signing.key").variable("KILN_SIGNING_KEY");
pub(super) static SIGNING_TRUST: Setting = Setting::guarded("signing.trust").variable("KILN_TRUST");

pub(super) static DKMS_STRICT: Setting = Setting::open("dkms.strict").variable("KILN_DKMS_STRICT");

/// All settings, in the order in which they are shown.
pub static SETTINGS: [&Setting; 28] = [
    &CACHE_DIR,
    &CACHE_MAX_SIZE,
    &BUILD_JOBS,
    &BUILD_TIMEOUT,
    &BUILD_CONF_TIMEOUT,
    &BUILD_COLOR,
    &LIMITS_MEMORY,
    &LIMITS_LOG,
    &LIMITS_RESULTS,
    &LIMITS_PROCESSES,
    &REMOTE_CACHE_URL,
    &REMOTE_CACHE_UPLOAD,
    &REMOTE_CACHE_TIMEOUT,
    &REMOTE_EXEC_URL,
    &REMOTE_EXEC_JOBS,
    &REMOTE_EXEC_TIMEOUT,
    &REMOTE_EXEC_PLATFORM,
    &REMOTE_EXEC_ROOT_PLATFORM,
    &REMOTE_CA,
    &REMOTE_CERT,
    &REMOTE_KEY,
    &REMOTE_TOKEN,
    &REMOTE_TOKEN_FILE,
    &REMOTE_CREDENTIAL_HELPER,
    &REMOTE_HEADERS,
    &SIGNING_KEY,
    &SIGNING_TRUST,
    &DKMS_STRICT,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn nothing_is_there_twice() {
        let keys: BTreeSet<&str> = SETTINGS.iter().map(|setting| setting.key).collect();
        assert_eq!(keys.len(), SETTINGS.len());
        let variables: Vec<&str> = SETTINGS.iter().filter_map(|s| s.variable).collect();
        let distinct: BTreeSet<&&str> = variables.iter().collect();
        assert_eq!(distinct.len(), variables.len());
    }

    #[test]
    fn every_setting_is_in_the_documentation() {
        let page = include_str!("../../../docs/configuration.md");
        for setting in SETTINGS {
            let row = page
                .lines()
                .find(|line| line.starts_with(&format!("| `{}` |", setting.key)))
                .unwrap_or_else(|| panic!("no row for {}", setting.key));
            for name in [setting.variable, setting.flag].into_iter().flatten() {
                assert!(row.contains(&format!("`{name}")), "no {name} in {row}");
            }
        }
    }
}
