//! The page of a comparison, in one file that may be put anywhere.

use std::{collections::BTreeSet, fs, io, io::Write, path::Path};

use serde::Serialize;

use super::{changes::ChangeList, escaped, filled};
use crate::{Comparison, Outcome, ReportError, Run, directory::beside};

const PAGE: &str = include_str!("../../page/comparison.html");
const STYLE: &[&str] = &[
    include_str!("../../page/style/base.css"),
    include_str!("../../page/style/comparison.css"),
];
const SCRIPT: &[&str] = &[
    include_str!("../../page/script/text.js"),
    include_str!("../../page/script/theme.js"),
    include_str!("../../page/script/comparison.js"),
];

#[derive(Serialize)]
struct Shown<'a> {
    outcomes: Vec<(&'a str, &'a str)>,
    sides: [Side<'a>; 2],
    list: ChangeList<'a>,
}

/// One of the two runs, in figures.
#[derive(Serialize)]
struct Side<'a> {
    kiln: &'a str,
    started_ms: u64,
    wall_ms: u64,
    packages: usize,
    kernels: usize,
    cells: usize,
    /// How many cells came to each end, in the order of [`Outcome::ALL`].
    tally: Vec<usize>,
}

/// Writes a comparison as a page for a browser. What is in the file's place is replaced.
///
/// # Errors
/// Fails if the file cannot be written; what was in its place is whole then.
pub fn write_comparison_page(
    file: &Path,
    comparison: &Comparison,
    before: &Run,
    after: &Run,
) -> Result<(), ReportError> {
    let write = || -> io::Result<()> { put(file, &page(comparison, before, after)?) };
    write().map_err(|source| ReportError::Write {
        path: file.to_owned(),
        source,
    })
}

fn page(comparison: &Comparison, before: &Run, after: &Run) -> io::Result<Vec<u8>> {
    let shown = Shown {
        outcomes: Outcome::ALL
            .iter()
            .map(|one| (one.id(), one.words()))
            .collect(),
        sides: [side(before), side(after)],
        list: ChangeList::of(comparison),
    };
    let data = serde_json::to_string(&shown)?;
    let parts = [
        ("style", STYLE.concat()),
        ("script", SCRIPT.concat()),
        ("comparison", escaped(&data)),
    ];
    Ok(filled(PAGE, data.as_bytes(), &parts))
}

fn side(run: &Run) -> Side<'_> {
    let totals = run.totals();
    let packages: BTreeSet<_> = run.cells.iter().map(|c| (&c.package, &c.version)).collect();
    let kernels: BTreeSet<_> = run.cells.iter().map(|c| (&c.kernel, &c.arch)).collect();
    Side {
        kiln: &run.kiln,
        started_ms: run.started_ms,
        wall_ms: run.wall_ms(),
        packages: packages.len(),
        kernels: kernels.len(),
        cells: totals.cells,
        tally: Outcome::ALL.iter().map(|one| totals.of(*one)).collect(),
    }
}

/// Renames the page into its place; what is no file, as a pipe, is written to.
fn put(file: &Path, page: &[u8]) -> io::Result<()> {
    let there = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    if there.exists() && !there.is_file() {
        return fs::write(&there, page);
    }
    let mut new = beside(&there)?;
    new.file().write_all(page)?;
    Ok(new.place()?)
}
