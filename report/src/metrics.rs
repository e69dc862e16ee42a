//! `metrics.txt`: the totals of a run as OpenMetrics 1.0 text, for a collector that reads files.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{family::Family, gauge::Gauge, info::Info},
    registry::{Registry, Unit},
};

use crate::{Class, Outcome, Run, critical_path};

type Number = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOutcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKernel {
    kernel: String,
    arch: String,
    outcome: &'static str,
}

/// The document. Gauges only: a run is over when they are written, and the next run starts anew.
pub(crate) fn metrics(run: &Run) -> String {
    let mut registry = Registry::with_prefix("kiln_run");
    let totals = run.totals();
    let outcomes = Family::<OfOutcome, Gauge>::default();
    for outcome in Outcome::ALL {
        let count = i64::try_from(totals.of(outcome)).unwrap_or(i64::MAX);
        let label = OfOutcome {
            outcome: outcome.id(),
        };
        outcomes.get_or_create(&label).set(count);
    }
    registry.register("cells", "Cells of the matrix by outcome", outcomes);
    let kernels = Family::<OfKernel, Gauge>::default();
    for cell in run.cells.iter().filter(|c| c.outcome.class() == Class::Bad) {
        let label = OfKernel {
            kernel: cell.kernel.clone(),
            arch: cell.arch.clone(),
            outcome: cell.outcome.id(),
        };
        kernels.get_or_create(&label).inc();
    }
    registry.register(
        "kernel_failures",
        "Cells without the results they should have, by kernel",
        kernels,
    );
    let mut seconds = |name: &str, help: &str, milliseconds: u64| {
        let gauge = Number::default();
        gauge.set(milliseconds as f64 / 1000.0);
        registry.register_with_unit(name, help, Unit::Seconds, gauge);
    };
    seconds(
        "start_time",
        "When the run started, since 1970",
        run.started_ms,
    );
    seconds(
        "end_time",
        "When the run ended, since 1970",
        run.finished_ms,
    );
    seconds("duration", "How long the run took", run.wall_ms());
    seconds(
        "cpu_spent",
        "CPU time of what was built or failed",
        totals.spent_cpu_ms,
    );
    seconds(
        "cpu_saved",
        "CPU time that outcomes from caches took when they were made",
        totals.saved_cpu_ms,
    );
    seconds(
        "dependency_chain",
        "The longest chain of jobs that build on each other",
        critical_path(run).bound_ms,
    );
    let peaks = run
        .cells
        .iter()
        .filter(|cell| cell.outcome.is_from_this_run());
    let peak = peaks
        .filter_map(|cell| Some(cell.cost?.peak_memory_bytes))
        .max();
    let memory = Number::default();
    memory.set(peak.unwrap_or(0) as f64);
    registry.register_with_unit(
        "peak_memory",
        "The largest resident set of a process of a job of this run",
        Unit::Bytes,
        memory,
    );
    let mut count = |name: &str, help: &str, value: u32| {
        let gauge = Gauge::<i64>::default();
        gauge.set(i64::from(value));
        registry.register(name, help, gauge);
    };
    count("cores", "Processes that could compile at once", run.cores);
    count(
        "remote_slots",
        "Jobs that could run at once remotely",
        run.remote_slots,
    );
    count(
        "interrupted",
        "Whether the run was stopped before its end",
        u32::from(run.interrupted),
    );
    let version = Info::new(vec![("version".to_owned(), run.kiln.clone())]);
    registry.register("build", "The kiln that ran", version);
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = encode(&mut text, &registry);
    sorted(&text)
}

/// The text with the samples of each metric in order; families give them in any.
fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    for samples in lines.chunk_by_mut(|a, b| a.starts_with('#') == b.starts_with('#')) {
        if !samples[0].starts_with('#') {
            samples.sort_unstable();
        }
    }
    lines.join("\n") + "\n"
}
