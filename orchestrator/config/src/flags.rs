//! What the command line says about settings, whichever command it is.

use std::{num::NonZeroUsize, path::PathBuf};

use super::{
    endpoint::Server,
    pairs::Platform,
    value::{Color, Seconds, Size, TimeLimit},
};

/// The flags that set what files and the environment may also set; none of them has a
/// default, so that what was said can be told from what was not.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--cache-dir`.
    pub cache_dir: Option<PathBuf>,
    /// `--max-size` of `kiln cache gc`.
    pub max_size: Option<Size>,
    /// `--jobs`.
    pub jobs: Option<NonZeroUsize>,
    /// `--timeout`.
    pub timeout: Option<TimeLimit>,
    /// `--conf-timeout`.
    pub conf_timeout: Option<Seconds>,
    /// `--color`.
    pub color: Option<Color>,
    /// `--remote-cache`.
    pub remote_cache: Option<Server>,
    /// `--remote-upload` or `--no-remote-upload`.
    pub remote_upload: Option<bool>,
    /// `--remote-exec`.
    pub remote_exec: Option<Server>,
    /// `--remote-jobs`.
    pub remote_jobs: Option<NonZeroUsize>,
    /// All of `--remote-platform`.
    pub remote_platform: Option<Platform>,
}
