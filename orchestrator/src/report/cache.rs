//! What `kiln cache` prints.

use std::{path::Path, time::SystemTime};

use kiln_cache::{GcReport, Stats};
use kiln_kernel::SweepReport;
use serde_json::json;

use super::{out, words};

/// Prints what a cache holds.
pub(crate) fn cache_stats(directory: &Path, stats: &Stats, as_json: bool) {
    if as_json {
        let kinds: serde_json::Map<String, serde_json::Value> = stats
            .records
            .iter()
            .map(|(kind, count)| {
                (
                    format!("{kind:?}").to_lowercase(),
                    json!({
                        "successes": count.successes,
                        "failures": count.failures,
                        "cpu_ms": count.cpu.as_millis() as u64,
                    }),
                )
            })
            .collect();
        out::json(&json!({
            "path": directory,
            "objects": stats.objects,
            "object_bytes": stats.object_bytes,
            "records": kinds,
            "record_bytes": stats.record_bytes,
            "damaged": stats.damaged,
        }));
        return;
    }
    out::line(&format!("cache    {}", directory.display()));
    out::line(&format!(
        "objects  {} in {}",
        stats.objects,
        words::size(stats.object_bytes)
    ));
    for (kind, count) in &stats.records {
        out::line(&format!(
            "{:8} {} successes, {} failures, {} of processor time saved on a repeat",
            format!("{kind:?}").to_lowercase(),
            count.successes,
            count.failures,
            words::duration(count.cpu)
        ));
    }
    if stats.damaged > 0 {
        out::line(&format!("damaged  {} moved aside", stats.damaged));
    }
    let age = |time: SystemTime| words::duration(time.elapsed().unwrap_or_default());
    if let (Some(oldest), Some(newest)) = (stats.oldest_use, stats.newest_use) {
        out::line(&format!("last use {} to {} ago", age(newest), age(oldest)));
    }
}

/// Prints what was removed.
pub(crate) fn cache_gc(freed: &GcReport, swept: &SweepReport) {
    if swept.removed > 0 {
        out::line(&format!(
            "removed {} unpacked header packages, freed {}; {} kept",
            swept.removed,
            words::size(swept.freed),
            words::size(swept.kept_bytes)
        ));
    }
    out::line(&format!(
        "removed {} records and {} objects, freed {}; {} kept",
        freed.removed_records,
        freed.removed_objects,
        words::size(freed.freed),
        words::size(freed.kept_bytes)
    ));
    if freed.kept_in_use > 0 {
        out::line(&format!(
            "{} records are in use by running builds and were kept",
            freed.kept_in_use
        ));
    }
}
