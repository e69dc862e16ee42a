//! A matrix of packages x kernels as text.

use console::{Style, Term, measure_text_width};
use kiln_build::{
    outcome::{CellResult, Outcome},
    plan::Plan,
};

use super::printable::printable;

/// The lines of the matrix: packages as rows, kernels as columns. Kernels that do not fit
/// are numbered and listed below.
pub(super) fn matrix(plan: &Plan, outcome: &Outcome) -> Vec<String> {
    let rows: Vec<usize> = (0..plan.packages.len()).collect();
    let names: Vec<_> = rows
        .iter()
        .map(|row| printable(&plan.packages[*row].label))
        .collect();
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            (0..plan.kernels.len())
                .map(|kernel| text(&outcome.results[plan.cell(*row, kernel).index()]))
                .collect()
        })
        .collect();
    let kernels: Vec<String> = plan
        .kernels
        .iter()
        .map(|kernel| printable(kernel.tree.release.as_str()).into_owned())
        .collect();
    let first = names.iter().map(|name| name.len()).max().unwrap_or(0);
    let widths = |headers: &[String]| -> Vec<usize> {
        (0..kernels.len())
            .map(|column| {
                let cells = cells.iter().map(|row| measure_text_width(&row[column]));
                cells.chain([headers[column].len()]).max().unwrap_or(0)
            })
            .collect()
    };
    let room = usize::from(
        Term::stdout()
            .size_checked()
            .map_or(120, |(_, columns)| columns),
    );
    let full = widths(&kernels);
    let numbers: Vec<String> = (1..=kernels.len()).map(|n| format!("[{n}]")).collect();
    let fits = first + full.iter().map(|width| width + 2).sum::<usize>() <= room;
    let (headers, widths) = if fits {
        (kernels.clone(), full)
    } else {
        let narrow = widths(&numbers);
        (numbers.clone(), narrow)
    };
    let mut lines = vec![row("", &headers, first, &widths)];
    for (name, cells) in names.iter().zip(&cells) {
        lines.push(row(name, cells, first, &widths));
    }
    if !fits {
        lines.extend(
            numbers
                .iter()
                .zip(&kernels)
                .map(|(n, k)| format!("{n} {k}")),
        );
    }
    lines
}

fn row(name: &str, cells: &[String], first: usize, widths: &[usize]) -> String {
    let mut line = format!("{name:first$}");
    for (cell, width) in cells.iter().zip(widths) {
        let padding = width.saturating_sub(measure_text_width(cell));
        line.push_str("  ");
        line.push_str(cell);
        line.push_str(&" ".repeat(padding));
    }
    line.trim_end().to_owned()
}

fn text(result: &CellResult) -> String {
    let word = super::words::word(result);
    let style = style(result);
    match result {
        CellResult::Built(record) => style
            .apply_to(format!(
                "{word} {}",
                super::words::duration(record.cost.wall)
            ))
            .to_string(),
        _ => style.apply_to(word).to_string(),
    }
}

/// The colour of a result.
pub(super) fn style(result: &CellResult) -> Style {
    match result {
        CellResult::Hit(_) => Style::new().green().dim(),
        CellResult::Built(_) => Style::new().green(),
        CellResult::Failed(_) | CellResult::KnownFailure(_) | CellResult::Fault(_) => {
            Style::new().red().bold()
        }
        CellResult::Aborted(_) | CellResult::Blocked { .. } => Style::new().yellow(),
        CellResult::NotAsked
        | CellResult::LeftOut(_)
        | CellResult::Excluded(_)
        | CellResult::Cancelled
        | CellResult::Pending => Style::new().dim(),
    }
}
