//! What changed between two reports: a table for people, or JSON.

use kiln_report::{ChangeKind, Comparison, comparison_text};
use serde_json::{Map, json};

use super::out;

/// Prints a comparison.
pub(crate) fn comparison(comparison: &Comparison, json: bool) {
    if !json {
        for line in comparison_text(comparison) {
            out::line(&line);
        }
        return;
    }
    let counts: Map<String, serde_json::Value> = ChangeKind::ALL
        .iter()
        .filter_map(|kind| {
            let name = serde_json::to_value(kind).ok()?;
            Some((name.as_str()?.to_owned(), json!(comparison.count(*kind))))
        })
        .collect();
    let document = json!({
        "before_started_ms": comparison.before_started_ms,
        "after_started_ms": comparison.after_started_ms,
        "counts": counts,
        "changes": comparison.changes,
    });
    out::json(&document);
}
