//! What `kiln farm` says beside what every build says: notices, and the forecast of a plan.

use std::path::{Path, PathBuf};

use console::measure_text_width;
use kiln_build::{
    estimates::Basis,
    plan::{CellId, CellPlan, Plan},
    shared::SharedNotice,
};
use kiln_farm::{Forecast, IdleRule, Price};
use serde_json::{Value, json};

use super::{json as json_report, out, plan as plan_report, words as texts};

/// Something about a farm that its user should know.
#[derive(Debug, Clone)]
pub(crate) enum FarmNotice {
    /// A rule of the matrix has no effect.
    Idle(IdleRule),
    /// Kernels are in the manifest now.
    Added {
        /// Their releases and architectures.
        targets: Vec<String>,
        /// The manifest.
        manifest: PathBuf,
    },
    /// Kernels would be added.
    WouldAdd {
        /// Their releases and architectures.
        targets: Vec<String>,
        /// The manifest.
        manifest: PathBuf,
    },
    /// Kernels were in the manifest before.
    Known {
        /// Their releases and architectures.
        targets: Vec<String>,
        /// The manifest.
        manifest: PathBuf,
    },
    /// The folder of results has what the manifest does not make.
    Leftover {
        /// The folder.
        directory: PathBuf,
        /// What, below it.
        files: Vec<PathBuf>,
        /// What became of it.
        fate: Fate,
    },
}

/// What became of files that a manifest does not make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// kiln had put them there, and has removed them.
    Removed,
    /// kiln had put them there, and they were changed since.
    Changed,
    /// Nothing is known of them.
    Unknown,
    /// Nothing is known of them, and outputs have their names now.
    Aside,
}

/// So many files are named.
const NAMED: usize = 5;

fn leftover(directory: &Path, files: &[PathBuf], fate: Fate) -> String {
    let mut names: Vec<String> = files
        .iter()
        .take(NAMED)
        .map(|f| f.display().to_string())
        .collect();
    if files.len() > NAMED {
        names.push(format!("and {} more", files.len() - NAMED));
    }
    let (names, directory) = (names.join(", "), directory.display());
    match fate {
        Fate::Removed => {
            format!("removed from {directory} what the manifest no longer makes: {names}")
        }
        Fate::Changed => format!(
            "warning: the manifest no longer makes these, but they were changed in {directory}: {names}; they stay, and have no sum"
        ),
        Fate::Unknown => format!(
            "warning: {directory} has files that this farm has not put there: {names}; they stay, and have no sum"
        ),
        Fate::Aside => format!(
            "warning: {directory} had files of outputs' names that no farm has put there; they are kept as {names}"
        ),
    }
}

/// A notice in words.
pub(super) fn words(notice: &FarmNotice) -> String {
    match notice {
        FarmNotice::Idle(IdleRule::Exclude(at)) => {
            format!("warning: {at}: this rule excludes nothing")
        }
        FarmNotice::Idle(IdleRule::Include(at)) => {
            format!("warning: {at}: this rule takes nothing back in that a rule excludes")
        }
        FarmNotice::Leftover {
            directory,
            files,
            fate,
        } => leftover(directory, files, *fate),
        FarmNotice::Added { targets, manifest } => {
            format!("added {} to {}", targets.join(", "), manifest.display())
        }
        FarmNotice::WouldAdd { targets, manifest } => {
            let targets = targets.join(", ");
            format!("would add {targets} to {}", manifest.display())
        }
        FarmNotice::Known { targets, manifest } => {
            let targets = targets.join(", ");
            format!("{targets} is in {} already", manifest.display())
        }
    }
}

/// Tells the user what `kiln farm plan` and `kiln farm add-kernel` have to say.
pub(crate) struct FarmReport {
    json: bool,
    quiet: bool,
}

/// The report in the form that the user asks for.
pub(crate) fn farm_report(json: bool, quiet: bool) -> FarmReport {
    FarmReport { json, quiet }
}

impl FarmReport {
    /// Something is worth knowing.
    pub(crate) fn notice(&mut self, notice: &FarmNotice) {
        self.say(&words(notice));
    }

    /// What the user should know of the shared cache.
    pub(crate) fn shared(&mut self, notices: &[SharedNotice]) {
        for notice in notices {
            self.say(&texts::shared(notice));
        }
    }

    fn say(&self, text: &str) {
        if self.json {
            json_report::notice_of(text);
        } else {
            out::notice(text);
        }
    }

    /// What a run would do, take and cost.
    pub(crate) fn forecast(&mut self, plan: &Plan, forecast: &Forecast, price: Option<&Price>) {
        if self.json {
            return forecast_json(plan, forecast, price);
        }
        if !self.quiet {
            for line in table(plan, forecast, price) {
                out::line(&line);
            }
        }
        for line in totals(plan, forecast, price) {
            out::line(&line);
        }
    }
}

/// A line for each pair, in columns.
fn table(plan: &Plan, forecast: &Forecast, price: Option<&Price>) -> Vec<String> {
    let mut rows = vec![["PACKAGE", "KERNEL", "ARCH", "TIME", "COST", "PLAN"].map(str::to_owned)];
    for (index, cell) in plan.cells.iter().enumerate() {
        if matches!(cell.plan, CellPlan::NotAsked) {
            continue;
        }
        let kernel = &plan.kernels[cell.kernel].tree;
        let expected = forecast.cells.get(&CellId::new(index));
        let time = expected.map(|one| {
            let doubt = if one.basis == Basis::Guess { "?" } else { "" };
            format!("{}{doubt}", texts::duration(one.cpu))
        });
        let cost = expected.and_then(|one| Some(amount(price?, one.cpu)));
        rows.push([
            plan.packages[cell.package].label.clone(),
            kernel.release.to_string(),
            kernel.arch.to_string(),
            time.unwrap_or_default(),
            cost.unwrap_or_default(),
            plan_report::decision(plan, cell),
        ]);
    }
    columns(&rows)
}

/// Rows as lines; a column that is empty below its title is left out.
fn columns<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| {
        let body = rows.iter().skip(1);
        let widest = body.map(|row| measure_text_width(&row[column])).max();
        match widest {
            Some(0) | None => 0,
            Some(widest) => widest.max(rows[0][column].len()),
        }
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).filter(|(_, width)| **width > 0);
        let padded = cells.map(|(cell, width)| {
            let padding = width.saturating_sub(measure_text_width(cell));
            format!("{cell}{}", " ".repeat(padding))
        });
        let line = padded.collect::<Vec<_>>().join("  ");
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// How many pairs come to which action.
fn counts(plan: &Plan) -> Vec<(&'static str, usize)> {
    let mut counts: Vec<(&'static str, usize)> = Vec::new();
    let order = [
        "hit",
        "build",
        "after dependencies",
        "known failure",
        "fault",
        "blocked",
        "excluded",
    ];
    for action in order {
        let same = |plan: &CellPlan| json_report::action(plan) == Some(action);
        let count = plan.cells.iter().filter(|cell| same(&cell.plan)).count();
        if count > 0 {
            counts.push((action, count));
        }
    }
    counts
}

fn totals(plan: &Plan, forecast: &Forecast, price: Option<&Price>) -> Vec<String> {
    let counts = counts(plan);
    let counts = counts.iter().map(|(action, count)| {
        let action = match *action {
            "hit" => "from the cache",
            "build" => "to build",
            "after dependencies" => "to build after others",
            "known failure" => "known to fail",
            "fault" => "that cannot be built",
            other => other,
        };
        format!("{count} {action}")
    });
    let mut lines = vec![counts.collect::<Vec<_>>().join(", ")];
    if forecast.cells.is_empty() {
        return lines;
    }
    let cores = forecast.cores;
    lines.push(format!(
        "about {} on {cores} core{}: {} of processor time, of which {} in the longest chain",
        texts::duration(forecast.wall),
        if cores.get() == 1 { "" } else { "s" },
        texts::duration(forecast.cpu),
        texts::duration(forecast.critical_path),
    ));
    if let Some(price) = price {
        lines.push(format!("cost: about {}", amount(price, forecast.cpu)));
    }
    let guesses = forecast.guesses();
    if guesses > 0 {
        lines.push(format!(
            "{guesses} of {} times are guesses (?): never built here before",
            forecast.cells.len()
        ));
    }
    lines
}

/// An amount of money, with as many digits as it takes to be more than nothing.
fn amount(price: &Price, cpu: std::time::Duration) -> String {
    let amount = price.amount(cpu);
    let digits = match amount {
        a if a >= 1.0 || a == 0.0 => 2,
        a if a >= 0.01 => 4,
        _ => 6,
    };
    match price.currency() {
        Some(currency) => format!("{amount:.digits$} {currency}"),
        None => format!("{amount:.digits$}"),
    }
}

fn forecast_json(plan: &Plan, forecast: &Forecast, price: Option<&Price>) {
    for (index, cell) in plan.cells.iter().enumerate() {
        let id = CellId::new(index);
        let Some(action) = json_report::action(&cell.plan) else {
            continue;
        };
        let estimate = forecast.cells.get(&id).map(|one| {
            json!({
                "cpu_ms": one.cpu.as_millis() as u64,
                "basis": match one.basis {
                    Basis::Same => "same",
                    Basis::OtherKernel => "other kernel",
                    Basis::Guess => "guess",
                },
                "cost": price.map(|price| price.amount(one.cpu)),
            })
        });
        json_report::emit(
            "planned",
            json_report::cell_fields(plan, id),
            json!({
                "action": action,
                "why": plan_report::decision(plan, cell),
                "key": cell.key().map(|key| key.to_string()),
                "estimate": estimate,
            }),
        );
    }
    let counts: serde_json::Map<String, Value> = counts(plan)
        .into_iter()
        .map(|(action, count)| (action.replace(' ', "_"), json!(count)))
        .collect();
    json_report::emit(
        "forecast",
        json!({}),
        json!({
            "counts": counts,
            "jobs": forecast.cells.len(),
            "guesses": forecast.guesses(),
            "cores": forecast.cores,
            "cpu_ms": forecast.cpu.as_millis() as u64,
            "wall_ms": forecast.wall.as_millis() as u64,
            "critical_path_ms": forecast.critical_path.as_millis() as u64,
            "cost": price.map(|price| price.amount(forecast.cpu)),
            "currency": price.and_then(Price::currency),
        }),
    );
}
