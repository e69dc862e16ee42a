//! `junit.xml`: a test suite for each kernel and a test case for each package, for CI servers.

use std::{collections::BTreeMap, io, time::Duration};

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::{Cell, Outcome, Run, shown};

/// The document.
pub(crate) fn junit(run: &Run) -> io::Result<Vec<u8>> {
    let mut report = Report::new("kiln");
    report.set_time(Duration::from_millis(run.wall_ms()));
    let mut order: Vec<(&str, &str)> = Vec::new();
    let mut suites: BTreeMap<(&str, &str), TestSuite> = BTreeMap::new();
    for cell in &run.cells {
        let kernel = (cell.kernel.as_str(), cell.arch.as_str());
        suites
            .entry(kernel)
            .or_insert_with(|| {
                order.push(kernel);
                TestSuite::new(format!("{} {}", cell.kernel, cell.arch))
            })
            .add_test_case(case(cell));
    }
    for kernel in order {
        let Some(mut suite) = suites.remove(&kernel) else {
            continue;
        };
        let time = suite.test_cases.iter().filter_map(|case| case.time).sum();
        suite.set_time(time);
        report.add_test_suite(suite);
    }
    let text = report.to_string().map_err(io::Error::other)?;
    Ok(shown::named(&without_total_of_skipped(&text)).into_bytes())
}

/// Jenkins's schema knows how many were skipped of a suite, but not of all suites.
fn without_total_of_skipped(text: &str) -> String {
    let Some((before, after)) = text.split_once(" skipped=\"") else {
        return text.to_owned();
    };
    match after.split_once('"') {
        Some((_, after)) if before.matches('<').count() == 2 => format!("{before}{after}"),
        _ => text.to_owned(),
    }
}

fn case(cell: &Cell) -> TestCase {
    let mut case = TestCase::new(cell.label(), status(cell));
    case.set_classname(format!("{} {}", cell.kernel, cell.arch));
    // What the cell took of this run: a hit takes nothing.
    case.set_time(Duration::from_millis(
        cell.span.map_or(0, crate::Span::length),
    ));
    case
}

fn status(cell: &Cell) -> TestCaseStatus {
    let problem = cell
        .problem()
        .unwrap_or_else(|| cell.outcome.words().to_owned());
    let mut status = match cell.outcome {
        Outcome::Built | Outcome::Hit | Outcome::RemoteHit => return TestCaseStatus::success(),
        Outcome::Excluded | Outcome::NotRun => TestCaseStatus::skipped(),
        Outcome::Failed | Outcome::KnownFailure => {
            TestCaseStatus::non_success(NonSuccessKind::Failure)
        }
        Outcome::Blocked | Outcome::Aborted => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    status.set_message(problem.as_str());
    if !matches!(cell.outcome, Outcome::Excluded | Outcome::NotRun) {
        status.set_type(cell.outcome.id());
        let lines = [
            Some(problem),
            cell.hint.as_ref().map(|hint| format!("hint: {hint}")),
            cell.key.as_ref().map(|key| format!("key: {key}")),
        ];
        let lines: Vec<String> = lines.into_iter().flatten().collect();
        status.set_description(lines.join("\n"));
    }
    status
}
