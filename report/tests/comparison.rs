//! What changed between two runs, as data and as text.

#![allow(clippy::disallowed_methods)]

use kiln_report::{
    Cell, ChangeKind, Comparison, Cost, FirstError, Outcome, Run, compare, comparison_text,
};

fn run(cells: Vec<Cell>) -> Run {
    Run {
        kiln: "0.1.0".to_owned(),
        started_ms: 0,
        finished_ms: 0,
        cores: 2,
        remote_slots: 0,
        protection: String::new(),
        interrupted: false,
        cells,
    }
}

fn cell(package: &str, version: &str, kernel: &str, outcome: Outcome) -> Cell {
    let mut cell = Cell::new(package, version, kernel, "x86_64", outcome);
    cell.cost = Some(Cost {
        cpu_ms: 4000,
        ..Cost::default()
    });
    if outcome == Outcome::Failed {
        cell.first_error = Some(FirstError {
            file: Some("a.c".to_owned()),
            line: Some(7),
            message: "no \x1b[31msuch\x1b[0m\nthing".to_owned(),
        });
    }
    cell
}

fn slower(mut cell: Cell, cpu_ms: u64) -> Cell {
    cell.cost = Some(Cost {
        cpu_ms,
        ..Cost::default()
    });
    cell
}

fn kinds(comparison: &Comparison) -> Vec<(ChangeKind, String)> {
    let changes = comparison.changes.iter();
    changes
        .map(|change| (change.kind, change.label()))
        .collect()
}

#[test]
fn each_move_has_its_name() {
    use Outcome::{Blocked, Built, Excluded, Failed, Hit, KnownFailure, NotRun, RemoteHit};
    let table = [
        (Some(Built), Some(Hit), None),
        (Some(Hit), Some(RemoteHit), None),
        (Some(Excluded), Some(NotRun), None),
        (Some(Hit), Some(Failed), Some(ChangeKind::Broke)),
        (Some(Excluded), Some(Failed), Some(ChangeKind::Broke)),
        (None, Some(Blocked), Some(ChangeKind::Broke)),
        (
            Some(Failed),
            Some(KnownFailure),
            Some(ChangeKind::StillFailing),
        ),
        (Some(KnownFailure), Some(Built), Some(ChangeKind::Fixed)),
        (Some(NotRun), Some(Hit), Some(ChangeKind::Gained)),
        (Some(Hit), Some(NotRun), Some(ChangeKind::Dropped)),
        (None, Some(Built), Some(ChangeKind::New)),
        (None, Some(Excluded), Some(ChangeKind::New)),
        (Some(Failed), None, Some(ChangeKind::Gone)),
    ];
    for (before, after, expected) in table {
        let one = |outcome: Option<Outcome>| {
            run(outcome
                .into_iter()
                .map(|outcome| cell("a", "1", "k", outcome))
                .collect())
        };
        let found = compare(&one(before), &one(after));
        let kind = found.changes.first().map(|change| change.kind);
        assert_eq!(kind, expected, "{before:?} -> {after:?}");
        assert_eq!(found.broke(), expected == Some(ChangeKind::Broke));
    }
}

#[test]
fn a_new_version_takes_the_place_of_the_only_former_one() {
    let before = run(vec![
        cell("a", "1", "k", Outcome::Hit),
        cell("b", "1", "k", Outcome::Hit),
    ]);
    let after = run(vec![
        cell("a", "2", "k", Outcome::Failed),
        cell("b", "2", "k", Outcome::Hit),
        cell("b", "3", "k", Outcome::Hit),
    ]);
    let found = compare(&before, &after);
    assert_eq!(
        kinds(&found),
        [
            (ChangeKind::Broke, "a/1 -> 2".to_owned()),
            (ChangeKind::New, "b/2".to_owned()),
            (ChangeKind::New, "b/3".to_owned()),
            (ChangeKind::Gone, "b/1".to_owned()),
        ]
    );
}

#[test]
fn speed_is_told_where_it_matters() {
    let built = || cell("a", "1", "k", Outcome::Built);
    let speed = |ms| {
        let found = compare(&run(vec![built()]), &run(vec![slower(built(), ms)]));
        found.changes.first().map(|change| change.kind)
    };
    assert_eq!(speed(4900), None);
    assert_eq!(speed(5000), Some(ChangeKind::Slower));
    assert_eq!(speed(3000), Some(ChangeKind::Faster));
    assert_eq!(speed(3100), None);
}

#[test]
fn the_text_groups_by_kind_and_kernel() {
    let before = run(vec![
        cell("evdi", "1.12", "6.1.0-56-amd64", Outcome::Hit),
        cell("jool", "4.1", "6.1.0-56-amd64", Outcome::Failed),
    ]);
    let after = run(vec![
        cell("evdi", "1.12", "6.1.0-56-amd64", Outcome::Failed),
        cell("jool", "4.1", "6.1.0-56-amd64", Outcome::Built),
        cell("jool", "4.1", "6.1.0-57-amd64", Outcome::Failed),
    ]);
    let expected = "\
newly failing (2)
  6.1.0-56-amd64 x86_64
    evdi/1.12  a.c:7: no such thing (before: hit)
  6.1.0-57-amd64 x86_64
    jool/4.1   a.c:7: no such thing (before: not there)

fixed (1)
  6.1.0-56-amd64 x86_64
    jool/4.1  failed -> built";
    assert_eq!(
        comparison_text(&compare(&before, &after)).join("\n"),
        expected
    );
    assert_eq!(
        comparison_text(&compare(
            &after,
            &run(after
                .cells
                .iter()
                .filter(|c| c.outcome == Outcome::Built)
                .cloned()
                .collect())
        ))[0],
        "gone (2)"
    );
    let same = run(vec![cell("a", "1", "k", Outcome::Hit)]);
    assert_eq!(comparison_text(&compare(&same, &same)), ["no changes"]);
}
