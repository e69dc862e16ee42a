//! The live view on a terminal: a line for each running job, a bar for the whole.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use kiln_build::{
    outcome::{CellResult, Outcome},
    plan::{BuildSite, Cell, CellId, CellPlan, Difference, Plan},
};
use kiln_scheduler::Lane;

use super::{
    Report,
    plain::{Style, line},
    plan as plan_report,
    printable::printable,
    words,
};

pub(super) struct Live {
    style: Style,
    view: MultiProgress,
    total: Option<ProgressBar>,
    running: HashMap<CellId, Running>,
    counts: Counts,
    forecast: Forecast,
}

struct Running {
    line: ProgressBar,
    since: Instant,
}

#[derive(Default)]
struct Counts {
    hits: usize,
    built: usize,
    failed: usize,
}

/// How much work is left, by recorded durations.
#[derive(Default)]
struct Forecast {
    expected: HashMap<CellId, Duration>,
    jobs: usize,
}

impl Forecast {
    /// The time until everything is done, if every job takes as long as expected: the work
    /// shared over all cores, but no less than the longest job.
    fn remaining(&self, running: &HashMap<CellId, Running>) -> Duration {
        let left = |cell: &CellId, expected: Duration| match running.get(cell) {
            Some(job) => expected.saturating_sub(job.since.elapsed()),
            None => expected,
        };
        let each = self
            .expected
            .iter()
            .map(|(cell, expected)| left(cell, *expected));
        let (sum, longest) = each.fold((Duration::ZERO, Duration::ZERO), |(sum, longest), one| {
            (sum + one, longest.max(one))
        });
        let shared = sum / u32::try_from(self.jobs.max(1)).unwrap_or(u32::MAX);
        shared.max(longest)
    }
}

impl Live {
    pub(super) fn new(style: Style) -> Self {
        Self {
            style,
            view: MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)),
            total: None,
            running: HashMap::new(),
            counts: Counts::default(),
            forecast: Forecast::default(),
        }
    }

    fn bar(&mut self, length: usize) -> &ProgressBar {
        let view = &self.view;
        self.total.get_or_insert_with(|| {
            let style = ProgressStyle::with_template("{bar:24.green} {pos}/{len} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            view.add(ProgressBar::new(length as u64).with_style(style))
        })
    }

    /// Takes a job's line away, if it has one.
    fn take_away(&mut self, cell: CellId) {
        if let Some(job) = self.running.remove(&cell) {
            job.line.finish_and_clear();
            self.view.remove(&job.line);
        }
    }

    fn redraw_total(&mut self) {
        let remaining = self.forecast.remaining(&self.running);
        let Counts {
            hits,
            built,
            failed,
        } = self.counts;
        let mut message = format!("{hits} hits, {built} built, {failed} failed");
        // Of the last second, and of jobs that take longer than expected, nothing is known.
        if remaining >= Duration::from_secs(1) {
            message.push_str(&format!(", about {} left", words::duration(remaining)));
        }
        if let Some(total) = &self.total {
            total.set_message(message);
        }
    }

    fn clear(&mut self) {
        self.running.clear();
        self.total = None;
        let _ = self.view.clear();
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Report for Live {
    fn conf(&mut self, done: usize, total: usize) {
        let bar = self.bar(total);
        bar.set_position(done as u64);
        bar.set_message("dkms.conf files");
        if done == total {
            self.clear();
        }
    }

    fn plan(&mut self, plan: &Plan, differences: &BTreeMap<CellId, Vec<Difference>>) {
        self.clear();
        plan_report::print(plan, differences);
    }

    fn start(&mut self, plan: &Plan, cells: &[(CellId, Duration)], jobs: usize) {
        self.clear();
        let asked = |cell: &&Cell| !matches!(cell.plan, CellPlan::NotAsked);
        let length = plan.cells.iter().filter(asked).count();
        let known = length - cells.len();
        self.bar(length).set_position(known as u64);
        self.counts.hits = plan
            .cells
            .iter()
            .filter(|cell| matches!(cell.plan, CellPlan::Hit(_)))
            .count();
        self.forecast = Forecast {
            expected: cells.iter().copied().collect(),
            jobs,
        };
        self.redraw_total();
    }

    fn started(&mut self, plan: &Plan, cell: CellId, lane: Lane) {
        let planned = &plan.cells[cell.index()];
        let package = &plan.packages[planned.package].label;
        let kernel = &plan.kernels[planned.kernel].tree.release;
        let place = match lane {
            Lane::Local => "",
            Lane::Remote => " (engine)",
        };
        let label = format!("{package} {kernel}{place}");
        let style = ProgressStyle::with_template("{spinner:.green} {prefix} {msg:.dim} {elapsed}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let line = ProgressBar::new_spinner()
            .with_style(style)
            .with_prefix(printable(&label).into_owned());
        let line = match &self.total {
            Some(total) => self.view.insert_before(total, line),
            None => self.view.add(line),
        };
        self.running.insert(
            cell,
            Running {
                line,
                since: Instant::now(),
            },
        );
    }

    fn phase(&mut self, cell: CellId, name: &str) {
        if let Some(job) = self.running.get(&cell) {
            job.line.set_message(printable(name).into_owned());
        }
    }

    fn handed_back(&mut self, _: &Plan, cell: CellId) {
        self.take_away(cell);
    }

    fn finished(&mut self, plan: &Plan, cell: CellId, result: &CellResult) {
        self.take_away(cell);
        self.forecast.expected.remove(&cell);
        match result {
            CellResult::Hit(_) => self.counts.hits += 1,
            CellResult::Built(_) => self.counts.built += 1,
            _ => self.counts.failed += 1,
        }
        let worth_a_line = result.success().is_none() || self.style.verbose;
        if worth_a_line {
            let _ = self.view.println(printable(&line(plan, cell, result)));
        }
        if let Some(total) = &self.total {
            total.inc(1);
        }
        self.redraw_total();
    }

    fn cancelling(&mut self) {
        let _ = self
            .view
            .println("stopping; what is finished is kept (again: at once)");
    }

    fn tick(&mut self) {
        for job in self.running.values() {
            job.line.tick();
        }
        self.redraw_total();
    }

    fn summary(&mut self, plan: &Plan, outcome: &Outcome, site: &BuildSite) {
        self.clear();
        self.style.summarize(plan, outcome, &site.store);
    }
}
