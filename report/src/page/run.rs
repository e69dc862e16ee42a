//! `index.html`: the page of a run.
//!
//! Its data is in two blocks: what the matrix shows, read at once, and a line of details for each cell, read
//! when the cell is opened.

use std::{collections::HashMap, io};

use serde::Serialize;

use super::{changes::ChangeList, escaped, filled, shortened};
use crate::{Comparison, CoreUse, CriticalPath, Outcome, Place, Run, core_use, critical_path};

const PAGE: &str = include_str!("../../page/page.html");
const STYLE: &[&str] = &[
    include_str!("../../page/style/base.css"),
    include_str!("../../page/style/matrix.css"),
    include_str!("../../page/style/panel.css"),
    include_str!("../../page/style/plots.css"),
];
const SCRIPT: &[&str] = &[
    include_str!("../../page/script/data.js"),
    include_str!("../../page/script/text.js"),
    include_str!("../../page/script/theme.js"),
    include_str!("../../page/script/summary.js"),
    include_str!("../../page/script/matrix.js"),
    include_str!("../../page/script/filter.js"),
    include_str!("../../page/script/log.js"),
    include_str!("../../page/script/panel.js"),
    include_str!("../../page/script/plots.js"),
    include_str!("../../page/script/start.js"),
];

#[derive(Serialize)]
struct Kernel<'a> {
    release: &'a str,
    arch: &'a str,
}

/// A cell: row, column, outcome, what it took in milliseconds, start, end, lane, problem.
type Shown = (
    usize,
    usize,
    usize,
    Option<u64>,
    Option<u64>,
    Option<u64>,
    Option<usize>,
    Option<String>,
);

/// What the matrix and the plots show.
#[derive(Serialize)]
struct Matrix<'a> {
    kiln: &'a str,
    started_ms: u64,
    finished_ms: u64,
    cores: u32,
    remote_slots: u32,
    protection: &'a str,
    interrupted: bool,
    spent_cpu_ms: u64,
    saved_cpu_ms: u64,
    outcomes: Vec<(&'a str, &'a str)>,
    packages: Vec<String>,
    kernels: Vec<Kernel<'a>>,
    cells: Vec<Shown>,
    /// Those on this machine first.
    lanes: Vec<String>,
    local_lanes: usize,
    core_use: CoreUse,
    critical_path: CriticalPath,
    changes: Option<ChangeList<'a>>,
}

/// The page. `files` are the scripts with the cells' logs, `seed` is anything that nobody could foresee.
pub(crate) fn page(
    run: &Run,
    changes: Option<&Comparison>,
    files: &[Option<String>],
    seed: &[u8],
) -> io::Result<Vec<u8>> {
    let matrix = escaped(&serde_json::to_string(&matrix(run, changes))?);
    let details = escaped(&details(run, files)?);
    let parts = [
        ("style", STYLE.concat()),
        ("script", SCRIPT.concat()),
        ("matrix", matrix),
        ("details", details),
    ];
    Ok(filled(PAGE, seed, &parts))
}

/// One line of JSON for each cell.
fn details(run: &Run, files: &[Option<String>]) -> io::Result<String> {
    #[derive(Serialize)]
    struct Detail<'a> {
        #[serde(flatten)]
        cell: &'a crate::Cell,
        #[serde(skip_serializing_if = "Option::is_none")]
        file: Option<&'a String>,
    }
    let mut lines = String::new();
    for (cell, file) in run.cells.iter().zip(files) {
        let file = file.as_ref();
        lines.push_str(&serde_json::to_string(&Detail { cell, file })?);
        lines.push('\n');
    }
    Ok(lines)
}

fn matrix<'a>(run: &'a Run, changes: Option<&'a Comparison>) -> Matrix<'a> {
    let totals = run.totals();
    let mut packages = Vec::new();
    let mut rows = HashMap::new();
    let mut kernels = Vec::new();
    let mut columns = HashMap::new();
    let mut lanes = Vec::new();
    let mut places: Vec<_> = run.cells.iter().filter_map(|cell| cell.lane).collect();
    places.sort_unstable();
    places.dedup();
    for lane in &places {
        let place = match lane.place {
            Place::Local => "slot",
            Place::Remote => "remote",
        };
        lanes.push(format!("{place} {}", u64::from(lane.slot) + 1));
    }
    let mut cells = Vec::with_capacity(run.cells.len());
    for cell in &run.cells {
        let row = *rows
            .entry((cell.package.as_str(), cell.version.as_str()))
            .or_insert_with(|| {
                packages.push(cell.label());
                packages.len() - 1
            });
        let kernel = (cell.kernel.as_str(), cell.arch.as_str());
        let column = *columns.entry(kernel).or_insert_with(|| {
            kernels.push(Kernel {
                release: kernel.0,
                arch: kernel.1,
            });
            kernels.len() - 1
        });
        let outcome = Outcome::ALL.iter().position(|one| *one == cell.outcome);
        cells.push((
            row,
            column,
            outcome.unwrap_or_default(),
            cell.cost.map(|cost| cost.wall_ms),
            cell.span.map(|span| span.start_ms),
            cell.span.map(|span| span.end_ms),
            cell.lane.and_then(|lane| places.binary_search(&lane).ok()),
            cell.problem().map(shortened),
        ));
    }
    Matrix {
        kiln: &run.kiln,
        started_ms: run.started_ms,
        finished_ms: run.finished_ms,
        cores: run.cores,
        remote_slots: run.remote_slots,
        protection: &run.protection,
        interrupted: run.interrupted,
        spent_cpu_ms: totals.spent_cpu_ms,
        saved_cpu_ms: totals.saved_cpu_ms,
        outcomes: Outcome::ALL
            .iter()
            .map(|one| (one.id(), one.words()))
            .collect(),
        packages,
        kernels,
        cells,
        lanes,
        local_lanes: places
            .iter()
            .filter(|lane| lane.place == Place::Local)
            .count(),
        core_use: core_use(run),
        critical_path: critical_path(run),
        changes: changes.map(ChangeList::of),
    }
}
