//! `kiln cache`: where the cache is, what it holds, whether it is sound, and making room.

use kiln_cache::{GcOptions, Store, VerifyMode};

use super::session::cache_directory;
use crate::{Exit, cli::CacheCommand, config::Settings, error::CommandError, report};

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
            report::cache_verify(&found, *repair);
            if !found.is_clean() && !repair {
                return Ok(Exit::Cache);
            }
        }
        CacheCommand::Gc { older_than, .. } => {
            let options = GcOptions {
                max_size: settings.cache.max_size,
                older_than: *older_than,
            };
            let freed = Store::open(&directory)?.gc(&options)?;
            report::cache_gc(&freed);
        }
    }
    Ok(Exit::Success)
}
