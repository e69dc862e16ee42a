//! `trace.json`: a run in the Trace Event Format of Chrome, which Perfetto opens.
//!
//! A process for this machine and one for remote workers, a thread for each slot, a slice for each job with
//! one for each phase in it, flow arrows from jobs to those that build on them, and counters of busy slots
//! and cores. Times are microseconds from the start of the run.

use std::{collections::BTreeSet, io};

use serde_json::{Value, json};

use crate::{Cell, Lane, Place, Run, core_use, shown};

/// The process of what is counted over the whole run.
const RUN_PROCESS: u32 = 1;

/// Threads of a process are numbered from its own number times this: readers take a thread with the number
/// of a process for its main thread, and some want numbers of threads that no other process has.
const THREADS: u32 = 10_000;

fn process(place: Place) -> u32 {
    match place {
        Place::Local => 2,
        Place::Remote => 3,
    }
}

/// The document.
pub(crate) fn trace(run: &Run) -> io::Result<Vec<u8>> {
    let mut events = names(run);
    let mut arrows = 0;
    for cell in &run.cells {
        let (Some(span), Some(lane)) = (cell.span, cell.lane) else {
            continue;
        };
        events.push(json!({
            "ph": "X",
            "name": format!("{} for {}", cell.label(), cell.kernel),
            "cat": cell.outcome.id(),
            "pid": process(lane.place),
            "tid": thread(lane),
            "ts": span.start_ms * 1000,
            "dur": span.length() * 1000,
            "args": arguments(cell),
        }));
        for phase in &cell.phases {
            let start = phase.span.start_ms.clamp(span.start_ms, span.end_ms);
            let end = phase.span.end_ms.clamp(start, span.end_ms);
            events.push(json!({
                "ph": "X",
                "name": phase.name,
                "cat": "phase",
                "pid": process(lane.place),
                "tid": thread(lane),
                "ts": start * 1000,
                "dur": (end - start) * 1000,
            }));
        }
        events.extend(flows(run, cell, &mut arrows));
    }
    events.extend(counters(run));
    let text = serde_json::to_string(&json!({
        "displayTimeUnit": "ms",
        "otherData": { "kiln": run.kiln, "started_ms": run.started_ms, "cores": run.cores },
        "traceEvents": events,
    }))?;
    Ok(shown::json(&text).into_bytes())
}

fn thread(lane: Lane) -> u32 {
    (process(lane.place) * THREADS)
        .saturating_add(lane.slot)
        .saturating_add(1)
}

/// What tracks are called.
fn names(run: &Run) -> Vec<Value> {
    let about = |what: &str, pid: u32, tid: u32, args: Value| json!({ "ph": "M", "name": what, "pid": pid, "tid": tid, "args": args });
    let process_names = |pid: u32, name: &str| {
        [
            about("process_name", pid, 0, json!({ "name": name })),
            about("process_sort_index", pid, 0, json!({ "sort_index": pid })),
        ]
    };
    let lanes: BTreeSet<Lane> = run.cells.iter().filter_map(|cell| cell.lane).collect();
    let mut events = Vec::from(process_names(RUN_PROCESS, "run"));
    for place in [Place::Local, Place::Remote] {
        if lanes.iter().any(|lane| lane.place == place) {
            let name = match place {
                Place::Local => "this machine",
                Place::Remote => "remote workers",
            };
            events.extend(process_names(process(place), name));
        }
    }
    for lane in lanes {
        let (pid, tid) = (process(lane.place), thread(lane));
        let name = format!("slot {}", u64::from(lane.slot) + 1);
        events.push(about("thread_name", pid, tid, json!({ "name": name })));
        let order = json!({ "sort_index": lane.slot });
        events.push(about("thread_sort_index", pid, tid, order));
    }
    events
}

fn arguments(cell: &Cell) -> Value {
    json!({
        "outcome": cell.outcome.id(),
        "kernel": cell.kernel,
        "arch": cell.arch,
        "key": cell.key,
        "why": cell.why,
        "problem": cell.problem(),
        "cpu_ms": cell.cost.map(|cost| cost.cpu_ms),
        "peak_memory_bytes": cell.cost.map(|cost| cost.peak_memory_bytes),
    })
}

/// An arrow from the end of each dependency that ran to the start of a job. Arrows are numbered, for to
/// Perfetto an id that is no number is none.
fn flows(run: &Run, cell: &Cell, arrows: &mut u64) -> Vec<Value> {
    let mut events = Vec::new();
    for dependency in run.dependencies(cell) {
        let below = &run.cells[dependency];
        let (Some(from), Some(on), Some(to), Some(lane)) =
            (below.span, below.lane, cell.span, cell.lane)
        else {
            continue;
        };
        *arrows += 1;
        let id = *arrows;
        // An arrow is tied to the slice that is open where it begins, so it begins just before the end.
        let start = (from.end_ms * 1000)
            .saturating_sub(1)
            .max(from.start_ms * 1000);
        events.push(json!({
            "ph": "s", "name": "needs", "cat": "dependency", "id": id,
            "pid": process(on.place), "tid": thread(on), "ts": start,
        }));
        events.push(json!({
            "ph": "f", "bp": "e", "name": "needs", "cat": "dependency", "id": id,
            "pid": process(lane.place), "tid": thread(lane), "ts": to.start_ms * 1000,
        }));
    }
    events
}

/// The counters, told when they change.
fn counters(run: &Run) -> Vec<Value> {
    let used = core_use(run);
    let mut events = Vec::new();
    for (name, key, values) in [
        ("jobs", "running", used.jobs),
        ("cores", "busy", used.cores),
    ] {
        let mut last = None;
        let end = values.len();
        for (index, value) in values.into_iter().chain([0.0]).enumerate() {
            if last != Some(value) || index == end {
                events.push(json!({
                    "ph": "C", "name": name, "pid": RUN_PROCESS, "tid": 0,
                    "ts": index as u64 * used.interval_ms * 1000,
                    "args": { key: value },
                }));
            }
            last = Some(value);
        }
    }
    events
}
