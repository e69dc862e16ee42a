//! `kiln cache`: where the cache is, what it holds, whether it is sound, and making room.

use kiln_cache::{GcOptions, Store};
use kiln_config::Settings;
use kiln_kernel::{KernelSelectionError, KernelStore, SweepOptions};

use super::session::cache_directory;
use crate::{Exit, cli::CacheCommand, error::CommandError, report};

pub(super) fn run(settings: &Settings, command: &CacheCommand) -> Result<Exit, CommandError> {
    let directory = cache_directory(settings)?;
    match command {
        CacheCommand::Path => report::path(&directory),
        CacheCommand::Stats { json } => {
            let stats = Store::open_reading(&directory)?.stats()?;
            report::cache_stats(&directory, &stats, *json);
        }
        CacheCommand::Verify(arguments) => return super::verify::run(settings, arguments),
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
