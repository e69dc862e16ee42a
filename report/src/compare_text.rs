//! A comparison as a table of text, as `kiln report compare` prints it.

use crate::{Change, ChangeKind, Comparison};

/// The lines of a comparison: for each kind of change a heading and, kernel by kernel, what changed.
#[must_use]
pub fn comparison_text(comparison: &Comparison) -> Vec<String> {
    let mut lines = Vec::new();
    for kind in ChangeKind::ALL {
        let changes: Vec<&Change> = comparison
            .changes
            .iter()
            .filter(|change| change.kind == kind)
            .collect();
        if changes.is_empty() {
            continue;
        }
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.push(format!("{} ({})", kind.words(), changes.len()));
        let width = changes
            .iter()
            .map(|c| c.label().chars().count())
            .max()
            .unwrap_or(0);
        let mut kernel = None;
        for change in changes {
            let place = format!("{} {}", change.kernel, change.arch);
            if kernel.as_ref() != Some(&place) {
                lines.push(format!("  {place}"));
                kernel = Some(place);
            }
            let line = format!("    {:width$}  {}", change.label(), what(change));
            lines.push(line.trim_end().to_owned());
        }
    }
    if lines.is_empty() {
        lines.push("no changes".to_owned());
    }
    lines
}

/// What there is to say of a change besides its kind.
fn what(change: &Change) -> String {
    let outcome = |side: &Option<crate::Side>| {
        side.as_ref()
            .map_or("not there", |side| side.outcome.words())
    };
    let cpu = |side: &Option<crate::Side>| {
        let ms = side.as_ref().and_then(|side| side.cpu_ms).unwrap_or(0);
        format!("{:.1} s", ms as f64 / 1000.0)
    };
    match change.kind {
        ChangeKind::Broke | ChangeKind::StillFailing => {
            let problem = change.after.as_ref().and_then(crate::Side::problem);
            let before = match (change.kind, &change.before) {
                (ChangeKind::StillFailing, _) => String::new(),
                (_, side) => format!(" (before: {})", outcome(side)),
            };
            let now = problem.unwrap_or_else(|| outcome(&change.after).to_owned());
            format!("{}{before}", one_line(&now))
        }
        ChangeKind::Slower | ChangeKind::Faster => {
            format!(
                "{} -> {} of CPU time",
                cpu(&change.before),
                cpu(&change.after)
            )
        }
        ChangeKind::New => outcome(&change.after).to_owned(),
        ChangeKind::Gone => format!("before: {}", outcome(&change.before)),
        ChangeKind::Fixed | ChangeKind::Dropped | ChangeKind::Gained => {
            format!("{} -> {}", outcome(&change.before), outcome(&change.after))
        }
    }
}

/// A text without anything that a terminal would act on.
fn one_line(text: &str) -> String {
    anstream::adapter::strip_str(text)
        .to_string()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
