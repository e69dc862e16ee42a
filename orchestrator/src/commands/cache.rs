//! `kiln cache`: where the cache is, what it holds, whether it is sound, and making room.

use kiln_cache::{GcOptions, Store, VerifyMode};
use kiln_scheduler::CancelToken;

use super::session::{cache_directory, open_site};
use crate::{
    Exit,
    cli::CacheCommand,
    config::Settings,
    error::CommandError,
    kernel::{KernelSelectionError, KernelStore, SweepOptions},
    probes::{Inspection, Remedy, has_answers, inspect},
    report,
    sandbox::Isolation,
};

pub(super) fn run(settings: &Settings, command: &CacheCommand) -> Result<Exit, CommandError> {
    let directory = cache_directory(settings)?;
    match command {
        CacheCommand::Path => report::path(&directory),
        CacheCommand::Stats { json } => {
            let stats = Store::open_reading(&directory)?.stats()?;
            report::cache_stats(&directory, &stats, *json);
        }
        CacheCommand::Verify { repair } => {
            let mode = if *repair {
                VerifyMode::Repair
            } else {
                VerifyMode::Look
            };
            let store = if *repair {
                Store::open(&directory)?
            } else {
                Store::open_reading(&directory)?
            };
            let found = store.verify(mode)?;
            let answers = inspect_answers(settings, store, *repair)?;
            report::cache_verify(&found, &answers, *repair);
            if !(found.is_clean() && answers.is_clean() || *repair) {
                return Ok(Exit::Cache);
            }
        }
        CacheCommand::Gc { older_than, .. } => {
            let max_size = settings.cache.max_size;
            let store = Store::open(&directory)?;
            // Unpacked kernels go first: to unpack them again takes seconds.
            let stats = store.stats()?;
            let others = stats.object_bytes + stats.record_bytes;
            let swept = KernelStore::open(&store)
                .and_then(|kernels| {
                    kernels.sweep(&SweepOptions {
                        max_size: max_size.map(|size| size.saturating_sub(others)),
                        older_than: *older_than,
                    })
                })
                .map_err(KernelSelectionError::from)?;
            let freed = store.gc(&GcOptions {
                max_size: max_size.map(|size| size.saturating_sub(swept.kept_bytes)),
                older_than: *older_than,
            })?;
            report::cache_gc(&freed, &swept);
        }
    }
    Ok(Exit::Success)
}

/// Has the compilers judge the answers that are kept; not where builds have no sandbox, and so no answers, nor in a
/// cache of somebody else's.
fn inspect_answers(
    settings: &Settings,
    store: Store,
    repair: bool,
) -> Result<Inspection, CommandError> {
    let has_answers = store
        .records()?
        .any(|record| record.is_ok_and(|r| has_answers(&r)));
    if !has_answers || Store::open(store.directory()).is_err() {
        return Ok(Inspection::default());
    }
    drop(store);
    let site = open_site(settings, &CancelToken::new())?;
    let remedy = if repair { Remedy::Forget } else { Remedy::None };
    match site.isolation {
        Isolation::Bubblewrap => Ok(inspect(&site, remedy)?),
        Isolation::Bare => Ok(Inspection::default()),
    }
}
