//! What changed from one run to the next.
//!
//! Cells are the same if package, version, kernel and architecture are. Where a package is there in one
//! version before and in another one after, these two are compared.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::{Cell, Class, FirstError, Outcome, Run};

/// A build is slower or faster if its CPU time changed by this factor...
const FACTOR: f64 = 1.25;

/// ... and by this much.
const NOTABLE_MS: u64 = 1000;

/// What kind of change it is, the most pressing first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It has no results now, and before it had, was left out, or was not there.
    Broke,
    /// It had no results before and has no results now.
    StillFailing,
    /// It has results again.
    Fixed,
    /// It is left out or was not run now, and before it was tried.
    Dropped,
    /// It has results now, and was left out or was not run before.
    Gained,
    /// It was not there before, and does not fail.
    New,
    /// It is not there any more.
    Gone,
    /// It takes more CPU time to build.
    Slower,
    /// It takes less CPU time to build.
    Faster,
}

impl ChangeKind {
    /// All kinds, in order.
    pub const ALL: [Self; 9] = [
        Self::Broke,
        Self::StillFailing,
        Self::Fixed,
        Self::Dropped,
        Self::Gained,
        Self::New,
        Self::Gone,
        Self::Slower,
        Self::Faster,
    ];

    /// The words for people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Broke => "newly failing",
            Self::StillFailing => "still failing",
            Self::Fixed => "fixed",
            Self::Dropped => "no longer built",
            Self::Gained => "now built",
            Self::New => "new",
            Self::Gone => "gone",
            Self::Slower => "slower",
            Self::Faster => "faster",
        }
    }
}

/// A cell as one of the two runs has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Side {
    /// Its place among the run's cells.
    pub cell: usize,
    /// What became of it.
    pub outcome: Outcome,
    /// The package's version.
    pub version: String,
    /// Why there are no results.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The first real error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_error: Option<FirstError>,
    /// What building it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u64>,
}

impl Side {
    /// Why there are no results, in one line: the first error, else the cause.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let first = self.first_error.as_ref().map(ToString::to_string);
        first.or_else(|| self.cause.clone())
    }
}

/// A cell that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// How it changed.
    pub kind: ChangeKind,
    /// The package's name.
    pub package: String,
    /// The kernel.
    pub kernel: String,
    /// Its architecture.
    pub arch: String,
    /// The cell in the earlier run.
    pub before: Option<Side>,
    /// The cell in the later run.
    pub after: Option<Side>,
}

impl Change {
    /// The package with its version, or with both where it changed.
    #[must_use]
    pub fn label(&self) -> String {
        let version = |side: &Option<Side>| side.as_ref().map(|side| side.version.clone());
        match (version(&self.before), version(&self.after)) {
            (Some(a), Some(b)) if a != b => format!("{}/{a} -> {b}", self.package),
            (_, Some(version)) | (Some(version), None) if !version.is_empty() => {
                format!("{}/{version}", self.package)
            }
            _ => self.package.clone(),
        }
    }
}

/// All that changed from one run to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// When the earlier run started, in milliseconds since 1970.
    pub before_started_ms: u64,
    /// When the later run started, in milliseconds since 1970.
    pub after_started_ms: u64,
    /// The changes: by kind, then kernel, then package.
    pub changes: Vec<Change>,
}

impl Comparison {
    /// Whether anything fails that did not fail before.
    #[must_use]
    pub fn broke(&self) -> bool {
        self.count(ChangeKind::Broke) > 0
    }

    /// How many changes there are of a kind.
    #[must_use]
    pub fn count(&self, kind: ChangeKind) -> usize {
        self.changes
            .iter()
            .filter(|change| change.kind == kind)
            .count()
    }
}

type CellName<'a> = (&'a str, &'a str, &'a str, &'a str);

fn name_of(cell: &Cell) -> CellName<'_> {
    (&cell.package, &cell.kernel, &cell.arch, &cell.version)
}

/// Says what changed from one run to the next.
#[must_use]
pub fn compare(before: &Run, after: &Run) -> Comparison {
    let mut changes: Vec<Change> = pairs(before, after)
        .into_iter()
        .filter_map(|(old, new)| {
            let kind = kind(
                old.map(|index| &before.cells[index]),
                new.map(|index| &after.cells[index]),
            )?;
            let cell =
                new.map_or_else(|| old.map(|i| &before.cells[i]), |i| Some(&after.cells[i]))?;
            Some(Change {
                kind,
                package: cell.package.clone(),
                kernel: cell.kernel.clone(),
                arch: cell.arch.clone(),
                before: old.map(|index| side(&before.cells, index)),
                after: new.map(|index| side(&after.cells, index)),
            })
        })
        .collect();
    changes.sort_by(|a, b| {
        (a.kind, &a.kernel, &a.arch, &a.package).cmp(&(b.kind, &b.kernel, &b.arch, &b.package))
    });
    Comparison {
        before_started_ms: before.started_ms,
        after_started_ms: after.started_ms,
        changes,
    }
}

/// Finds for each cell the one that it is to be compared with.
fn pairs(before: &Run, after: &Run) -> Vec<(Option<usize>, Option<usize>)> {
    let mut unmatched: HashMap<CellName<'_>, usize> = HashMap::new();
    for (index, cell) in before.cells.iter().enumerate() {
        unmatched.entry(name_of(cell)).or_insert(index);
    }
    let mut pairs = Vec::new();
    let mut appeared = BTreeMap::<_, Vec<usize>>::new();
    for (index, cell) in after.cells.iter().enumerate() {
        match unmatched.remove(&name_of(cell)) {
            Some(old) => pairs.push((Some(old), Some(index))),
            None => {
                let (package, kernel, arch, _) = name_of(cell);
                appeared
                    .entry((package, kernel, arch))
                    .or_default()
                    .push(index);
            }
        }
    }
    let mut vanished = BTreeMap::<_, Vec<usize>>::new();
    for ((package, kernel, arch, _), index) in unmatched {
        vanished
            .entry((package, kernel, arch))
            .or_default()
            .push(index);
    }
    for (name, new) in appeared {
        match (vanished.get(&name).map(Vec::as_slice), new.as_slice()) {
            (Some(&[old]), &[new]) => {
                pairs.push((Some(old), Some(new)));
                vanished.remove(&name);
            }
            _ => pairs.extend(new.into_iter().map(|new| (None, Some(new)))),
        }
    }
    pairs.extend(
        vanished
            .into_values()
            .flatten()
            .map(|old| (Some(old), None)),
    );
    pairs
}

fn kind(before: Option<&Cell>, after: Option<&Cell>) -> Option<ChangeKind> {
    let class = |cell: Option<&Cell>| cell.map(|cell| cell.outcome.class());
    Some(match (class(before), class(after)) {
        (Some(Class::Bad), Some(Class::Bad)) => ChangeKind::StillFailing,
        (_, Some(Class::Bad)) => ChangeKind::Broke,
        (None, Some(_)) => ChangeKind::New,
        (Some(_), None) => ChangeKind::Gone,
        (Some(Class::Bad), Some(Class::Good)) => ChangeKind::Fixed,
        (Some(Class::Void), Some(Class::Good)) => ChangeKind::Gained,
        (Some(Class::Good | Class::Bad), Some(Class::Void)) => ChangeKind::Dropped,
        (Some(Class::Good), Some(Class::Good)) => return speed(before?, after?),
        (Some(Class::Void), Some(Class::Void)) | (None, None) => return None,
    })
}

fn speed(before: &Cell, after: &Cell) -> Option<ChangeKind> {
    let (before, after) = (before.cost?.cpu_ms, after.cost?.cpu_ms);
    if before.abs_diff(after) < NOTABLE_MS {
        None
    } else if after as f64 >= before as f64 * FACTOR {
        Some(ChangeKind::Slower)
    } else if before as f64 >= after as f64 * FACTOR {
        Some(ChangeKind::Faster)
    } else {
        None
    }
}

fn side(cells: &[Cell], index: usize) -> Side {
    let cell = &cells[index];
    Side {
        cell: index,
        outcome: cell.outcome,
        version: cell.version.clone(),
        cause: cell.cause.clone(),
        first_error: cell.first_error.clone(),
        cpu_ms: cell.cost.map(|cost| cost.cpu_ms),
    }
}
