//! All settings with their types and defaults, read from the layers.
//!
//! What one setting alone cannot tell is checked here: what belongs together, what excludes
//! another, what would send a secret in the clear.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    path::{Path, PathBuf},
    time::Duration,
};

use kiln_files::Secrecy;

use super::{
    catalog::{
        BUILD_COLOR, BUILD_CONF_TIMEOUT, BUILD_JOBS, BUILD_TIMEOUT, CACHE_DIR, CACHE_MAX_SIZE,
        DKMS_STRICT, LIMITS_LOG, LIMITS_MEMORY, LIMITS_PROCESSES, LIMITS_RESULTS,
        REMOTE_CACHE_TIMEOUT, REMOTE_CACHE_UPLOAD, REMOTE_CACHE_URL, REMOTE_EXEC_JOBS,
        REMOTE_EXEC_PLATFORM, REMOTE_EXEC_ROOT_PLATFORM, REMOTE_EXEC_TIMEOUT, REMOTE_EXEC_URL,
        SIGNING_KEY, SIGNING_TRUST,
    },
    endpoint::{Endpoint, Server},
    flags::Flags,
    layers::Layers,
    origin::Origin,
    pairs::Platform,
    remote::RemoteSettings,
    trust::{Trust, TrustedKey},
    value::{Color, Seconds, Size, TimeLimit},
};
use crate::Allowance;

/// How long a dkms.conf may take to evaluate, unless somebody says otherwise, in seconds.
const CONF_TIMEOUT: Seconds = seconds(30);

/// How long a run waits for a remote cache in all, unless somebody says otherwise, in seconds.
const REMOTE_CACHE_BUDGET: Seconds = seconds(10);

/// How many actions are at a remote engine at once, unless somebody says otherwise.
const REMOTE_EXEC_LANES: NonZeroUsize = match NonZeroUsize::new(64) {
    Some(lanes) => lanes,
    None => NonZeroUsize::MIN,
};

const fn seconds(count: u32) -> Seconds {
    match NonZeroU32::new(count) {
        Some(count) => Seconds(count),
        None => Seconds(NonZeroU32::MIN),
    }
}

/// All settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `[cache]`.
    pub cache: CacheSettings,
    /// `[build]`.
    pub build: BuildSettings,
    /// `[limits]`.
    pub limits: Allowance,
    /// `[remote_cache]`; none if there is no address.
    pub remote_cache: Option<RemoteCacheSettings>,
    /// `[remote_exec]`; none if there is no address.
    pub remote_exec: Option<RemoteExecSettings>,
    /// `[remote]`: how to talk to both.
    pub remote: RemoteSettings,
    /// `[signing]`.
    pub signing: SigningSettings,
    /// `[dkms]`.
    pub dkms: DkmsSettings,
}

/// Where the cache is and how large it may be.
#[derive(Debug, Clone)]
pub struct CacheSettings {
    /// Its directory; none if nobody says and the user has no home.
    pub directory: Option<PathBuf>,
    /// What a garbage collection leaves at most, in bytes.
    pub max_size: Option<u64>,
}

/// How builds run.
#[derive(Debug, Clone)]
pub struct BuildSettings {
    /// How many processes compile at once; none if nobody says: the number of cores.
    pub jobs: Option<NonZeroUsize>,
    /// How many cores there are.
    pub cores: NonZeroUsize,
    /// How long a job may take.
    pub timeout: Option<Duration>,
    /// How long a dkms.conf may take to evaluate.
    pub conf_timeout: Duration,
    /// When output is coloured.
    pub color: Color,
}

/// A shared cache.
#[derive(Debug, Clone)]
pub struct RemoteCacheSettings {
    /// The server.
    pub endpoint: Endpoint,
    /// Whether results of this machine are put there.
    pub upload: bool,
    /// How long one run may wait for the server in all.
    pub budget: Duration,
}

/// A remote execution engine.
#[derive(Debug, Clone)]
pub struct RemoteExecSettings {
    /// The server.
    pub endpoint: Endpoint,
    /// How many actions may be there at once.
    pub jobs: NonZeroUsize,
    /// How long one action may run there.
    pub timeout: Option<Duration>,
    /// What the worker must be.
    pub platform: Platform,
    /// What it must be for a job that brings its own programs; such run here if nothing is said.
    pub root_platform: Option<Platform>,
}

/// With what records are signed, and whose signatures are taken.
#[derive(Debug, Clone, Default)]
pub struct SigningSettings {
    /// An Ed25519 private key in PEM; nothing is signed without one.
    pub key: Option<PathBuf>,
    /// The keys that are trusted. None means that nothing is, not that everything is.
    pub trust: Vec<TrustedKey>,
}

/// What kiln does as dkms.
#[derive(Debug, Clone)]
pub struct DkmsSettings {
    /// Whether it ends where others could have changed what it is about to use.
    pub strict: Strict,
}

/// Whether something holds that protects: where that cannot be told, it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Strict {
    /// Nobody wants it.
    No,
    /// Somebody wants it.
    Yes,
    /// Somebody may want it; why that is not known.
    Perhaps(String),
}

impl Settings {
    pub(super) fn read(layers: &mut Layers<'_>, flags: &Flags) -> Self {
        let cache = CacheSettings::read(layers, flags);
        let build = BuildSettings::read(layers, flags);
        let limits = limits(layers);
        let remote_cache = RemoteCacheSettings::read(layers, flags);
        let remote_exec = RemoteExecSettings::read(layers, flags);
        let servers = [
            (
                &REMOTE_CACHE_URL,
                remote_cache.as_ref().map(|s| &s.endpoint),
            ),
            (&REMOTE_EXEC_URL, remote_exec.as_ref().map(|s| &s.endpoint)),
        ];
        let remote = RemoteSettings::read(layers, &servers);
        let signing = SigningSettings {
            key: layers.take(&SIGNING_KEY, None),
            trust: layers
                .take(&SIGNING_TRUST, None)
                .unwrap_or(Trust(Vec::new()))
                .0,
        };
        let dkms = DkmsSettings {
            strict: match layers.take_or(&DKMS_STRICT, None, false) {
                true => Strict::Yes,
                false => Strict::No,
            },
        };
        Self {
            cache,
            build,
            limits,
            remote_cache,
            remote_exec,
            remote,
            signing,
            dkms,
        }
    }

    /// The settings that name a server.
    pub fn servers(&self) -> Vec<&'static str> {
        let cache = self.remote_cache.as_ref().map(|_| REMOTE_CACHE_URL.key);
        let exec = self.remote_exec.as_ref().map(|_| REMOTE_EXEC_URL.key);
        cache.into_iter().chain(exec).collect()
    }

    /// Takes it that `dkms.strict` holds, unless it is known that it does.
    pub(super) fn doubt_laxity(&mut self, reason: String) {
        if self.dkms.strict == Strict::No {
            self.dkms.strict = Strict::Perhaps(reason);
        }
    }

    /// Without anything that talks to or trusts somebody else.
    pub fn alone(self) -> Self {
        Self {
            remote_cache: None,
            remote_exec: None,
            remote: RemoteSettings::default(),
            signing: SigningSettings::default(),
            ..self
        }
    }
}

/// What an action may use up; a size of 0 is no limit.
fn limits(layers: &mut Layers<'_>) -> Allowance {
    let Allowance {
        memory,
        processes,
        log,
        results,
    } = Allowance::default();
    let mut size = |setting, default| match layers.take_or(setting, None, Size(default)) {
        Size(0) => u64::MAX,
        Size(bytes) => bytes,
    };
    Allowance {
        memory: size(&LIMITS_MEMORY, memory),
        log: size(&LIMITS_LOG, log),
        results: size(&LIMITS_RESULTS, results),
        processes: layers.take_or(&LIMITS_PROCESSES, None, processes),
    }
}

impl SigningSettings {
    /// The files that must be there: each setting, its path, and who may read it.
    pub(super) fn named_files(&self) -> Vec<(&'static str, &Path, Secrecy)> {
        let key = self.key.iter();
        let key = key.map(|path| (SIGNING_KEY.key, path.as_path(), Secrecy::Secret));
        let trusted = self.trust.iter().map(|trusted| trusted.path.as_path());
        key.chain(trusted.map(|path| (SIGNING_TRUST.key, path, Secrecy::Public)))
            .collect()
    }
}

impl CacheSettings {
    fn read(layers: &mut Layers<'_>, flags: &Flags) -> Self {
        let directory = layers
            .take(&CACHE_DIR, flags.cache_dir.clone())
            .or_else(|| {
                let usual = layers.environment.cache()?;
                layers.note_default(&CACHE_DIR, &usual);
                Some(usual)
            });
        let max_size = layers.take(&CACHE_MAX_SIZE, flags.max_size);
        Self {
            directory,
            max_size: max_size.map(|Size(bytes)| bytes),
        }
    }
}

impl BuildSettings {
    fn read(layers: &mut Layers<'_>, flags: &Flags) -> Self {
        let cores = layers.environment.cores;
        let jobs = layers.take(&BUILD_JOBS, flags.jobs);
        if jobs.is_none() {
            layers.note_default(&BUILD_JOBS, &cores);
        }
        Self {
            jobs,
            cores,
            timeout: layers
                .take_or(&BUILD_TIMEOUT, flags.timeout, TimeLimit(0))
                .duration(),
            conf_timeout: layers
                .take_or(&BUILD_CONF_TIMEOUT, flags.conf_timeout, CONF_TIMEOUT)
                .duration(),
            color: layers.take_or(&BUILD_COLOR, flags.color, Color::Auto),
        }
    }

    /// How many processes compile at once.
    pub fn jobs_or_cores(&self) -> NonZeroUsize {
        self.jobs.unwrap_or(self.cores)
    }
}

impl RemoteCacheSettings {
    fn read(layers: &mut Layers<'_>, flags: &Flags) -> Option<Self> {
        let server = layers.take(&REMOTE_CACHE_URL, flags.remote_cache.clone());
        let upload = layers.take_or(&REMOTE_CACHE_UPLOAD, flags.remote_upload, false);
        if flags.remote_upload == Some(false)
            && let Some(entry) = layers.entry(&REMOTE_CACHE_UPLOAD)
        {
            entry.origin = Some(Origin::Flag("--no-remote-upload"));
        }
        let budget = layers.take_or(&REMOTE_CACHE_TIMEOUT, None, REMOTE_CACHE_BUDGET);
        Some(Self {
            endpoint: server.and_then(|Server(endpoint)| endpoint)?,
            upload,
            budget: budget.duration(),
        })
    }
}

impl RemoteExecSettings {
    fn read(layers: &mut Layers<'_>, flags: &Flags) -> Option<Self> {
        let server = layers.take(&REMOTE_EXEC_URL, flags.remote_exec.clone());
        let jobs = layers.take_or(&REMOTE_EXEC_JOBS, flags.remote_jobs, REMOTE_EXEC_LANES);
        let timeout = layers.take_or(&REMOTE_EXEC_TIMEOUT, None, TimeLimit(0));
        let platform = layers
            .take(&REMOTE_EXEC_PLATFORM, flags.remote_platform.clone())
            .unwrap_or_default();
        let root_platform = layers.take(&REMOTE_EXEC_ROOT_PLATFORM, None);
        Some(Self {
            endpoint: server.and_then(|Server(endpoint)| endpoint)?,
            jobs,
            timeout: timeout.duration(),
            platform,
            root_platform,
        })
    }
}
