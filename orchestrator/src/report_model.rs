//! Turns a plan, what was seen of its run and the records into the plain data of `kiln-report`.
//!
//! A [`Recorder`] watches a run and keeps only when and where things happened; all else is in the plan, the
//! outcome and the store.

mod timeline;

use std::{
    collections::HashMap,
    io::{self, Read},
    path::Path,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use kiln_build::{
    job::{Abort, open_log},
    job_run::Observer,
    outcome::{CellResult, Outcome},
    plan::{BuildSite, CellId, CellPlan, Plan},
};
use kiln_cache::{ActionRecord, Store};
use kiln_report::{Cell, Cost, FirstError, LogSource, ReportDirectory, ReportError, Run};
use kiln_scheduler::Place;
use timeline::Timeline;

use crate::report::words;

/// Notes when jobs start, change their phase and end, and writes the report of a run.
pub(crate) struct Recorder {
    directory: ReportDirectory,
    began: Instant,
    started: SystemTime,
    cores: usize,
    timeline: Timeline,
}

impl Recorder {
    /// Starts to watch a run on so many cores, whose report will be in `directory`.
    ///
    /// # Errors
    /// Fails if the report could not be written there, before anything is built in vain.
    pub(crate) fn open(directory: &Path, cores: usize) -> Result<Self, ReportError> {
        Ok(Self {
            directory: ReportDirectory::open(directory)?,
            began: Instant::now(),
            started: SystemTime::now(),
            cores,
            timeline: Timeline::default(),
        })
    }

    /// Writes the report, now that the run is over.
    ///
    /// # Errors
    /// Fails if a file cannot be written.
    pub(crate) fn write(
        &self,
        plan: &Plan,
        outcome: &Outcome,
        site: &BuildSite,
    ) -> Result<(), ReportError> {
        let mut run = self.run(plan, outcome);
        run.protection = site.protection().name().to_owned();
        run.remote_slots = u32::try_from(site.remote_slots()).unwrap_or(u32::MAX);
        if let Some(shared) = &site.shared {
            for cell in &mut run.cells {
                let key = cell.key.as_ref().and_then(|key| key.parse().ok());
                if cell.outcome == kiln_report::Outcome::Hit
                    && key.is_some_and(|key| shared.gave(&key))
                {
                    cell.outcome = kiln_report::Outcome::RemoteHit;
                }
            }
        }
        self.directory.write(&run, &StoredLogs(&site.store))
    }

    fn now(&self) -> u64 {
        milliseconds(self.began.elapsed())
    }

    fn run(&self, plan: &Plan, outcome: &Outcome) -> Run {
        let mut asked = Vec::new();
        let mut places = HashMap::new();
        for (index, result) in outcome.results.iter().enumerate() {
            if !matches!(result, CellResult::NotAsked) {
                places.insert(CellId::new(index), asked.len());
                asked.push(CellId::new(index));
            }
        }
        let cells = asked
            .into_iter()
            .map(|id| self.cell(plan, id, &outcome.results[id.index()], &places))
            .collect();
        let started_ms = self.started.duration_since(UNIX_EPOCH);
        let started_ms = milliseconds(started_ms.unwrap_or_default());
        Run {
            kiln: env!("CARGO_PKG_VERSION").to_owned(),
            started_ms,
            finished_ms: started_ms + self.now(),
            cores: u32::try_from(self.cores).unwrap_or(u32::MAX),
            remote_slots: 0,
            protection: String::new(),
            interrupted: outcome.interrupted,
            cells,
        }
    }

    fn cell(
        &self,
        plan: &Plan,
        id: CellId,
        result: &CellResult,
        places: &HashMap<CellId, usize>,
    ) -> Cell {
        let planned = &plan.cells[id.index()];
        let kernel = &plan.kernels[planned.kernel].tree;
        let label = &plan.packages[planned.package].label;
        let (package, version) = label.split_once('/').unwrap_or((label, ""));
        let mut cell = Cell::new(
            package,
            version,
            kernel.release.as_str(),
            kernel.arch.as_str(),
            outcome_of(result),
        );
        cell.cause = words::cause(plan, result);
        cell.hint = words::hint(result);
        cell.key = planned.key().map(|key| key.to_string());
        if let CellResult::Blocked { by } = result {
            cell.blocked_by = places.get(by).copied();
        }
        if let CellPlan::Build { reason } = &planned.plan {
            cell.why = Some(words::miss(reason));
        } else if let (CellPlan::AfterDependencies, CellResult::Built(_) | CellResult::Failed(_)) =
            (&planned.plan, result)
        {
            cell.why = Some("what it builds on was not in the cache".to_owned());
        }
        if let Some(spec) = &planned.spec {
            let dependencies = spec.dependencies.iter();
            cell.dependencies = dependencies
                .filter_map(|dependency| places.get(&dependency.cell).copied())
                .collect();
        }
        if let Some(record) = result.success().or_else(|| result.failure()) {
            fill_from(&mut cell, record);
        }
        self.timeline.fill(id, &mut cell, self.now());
        cell
    }
}

impl Observer for Recorder {
    fn started(&mut self, _: &Plan, cell: CellId, place: Place) {
        self.timeline.started(cell, place, self.now());
    }

    fn phase(&mut self, cell: CellId, name: &str) {
        self.timeline.phase(cell, name, self.now());
    }

    fn handed_back(&mut self, _: &Plan, cell: CellId) {
        self.timeline.ended(cell, self.now());
    }

    fn finished(&mut self, _: &Plan, cell: CellId, _: &CellResult) {
        self.timeline.ended(cell, self.now());
    }
}

fn milliseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn outcome_of(result: &CellResult) -> kiln_report::Outcome {
    use kiln_report::Outcome as Is;
    match result {
        CellResult::Hit(_) => Is::Hit,
        CellResult::Built(_) => Is::Built,
        CellResult::Failed(_) | CellResult::Fault(_) => Is::Failed,
        CellResult::KnownFailure(_) => Is::KnownFailure,
        CellResult::Excluded(_) | CellResult::LeftOut(_) => Is::Excluded,
        CellResult::Blocked { .. } => Is::Blocked,
        CellResult::NotAsked
        | CellResult::Cancelled
        | CellResult::Pending
        | CellResult::Aborted(Abort::Interrupted) => Is::NotRun,
        CellResult::Aborted(_) => Is::Aborted,
    }
}

fn fill_from(cell: &mut Cell, record: &ActionRecord) {
    cell.key = Some(record.key.to_string());
    cell.log = record.log.map(|log| log.to_string());
    cell.cost = Some(Cost {
        wall_ms: milliseconds(record.cost.wall),
        cpu_ms: milliseconds(record.cost.cpu),
        peak_memory_bytes: record.cost.peak_memory,
    });
    cell.first_error = words::first_error(record).map(|error| FirstError {
        file: error.file,
        line: error.line,
        message: error.message,
    });
    let outputs = record.outputs.iter().map(|output| kiln_report::Output {
        path: output.path.clone(),
        digest: output.object.to_string(),
        bytes: output.size,
    });
    cell.outputs = outputs.collect();
}

/// Logs in the cache, by their digests.
struct StoredLogs<'a>(&'a Store);

impl LogSource for StoredLogs<'_> {
    fn open(&self, log: &str) -> io::Result<Option<Box<dyn Read + '_>>> {
        let Ok(digest) = log.parse() else {
            return Ok(None);
        };
        let file = self.0.open_object(&digest).map_err(io::Error::other)?;
        Ok(match file {
            Some(file) => Some(Box::new(open_log(file)?)),
            None => None,
        })
    }
}
