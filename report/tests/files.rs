//! The files of a report, each read by what reads it elsewhere, and how a directory is treated.

#![allow(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

#[path = "fleet/mod.rs"]
mod fleet;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use fleet::{CompilerLogs, Fleet, fleet};
use kiln_report::{Cell, NoLogs, Outcome, Place, ReportDirectory, ReportError, Run, load};
use serde_json::Value;

const SMALL: Fleet = Fleet {
    packages: 13,
    kernels: 4,
    hits: 60,
    seed: 1,
};

/// A small run in which one cell builds on another.
fn run() -> Run {
    let mut run = fleet(SMALL);
    let mut built = (0..run.cells.len()).filter(|i| run.cells[*i].outcome == Outcome::Built);
    let (first, last) = (built.next().unwrap(), built.next_back().unwrap());
    run.cells[last].dependencies.push(first);
    run
}

fn write(directory: &Path, run: &Run) {
    let report = ReportDirectory::open(directory).unwrap();
    report.write(run, &CompilerLogs { lines: 10 }).unwrap();
}

#[test]
fn a_report_is_read_as_it_was_written_and_its_forerunner_kept() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (run(), fleet(Fleet { seed: 2, ..SMALL }));
    write(directory.path(), &first);
    assert_eq!(load(directory.path()).unwrap(), first);
    let logs = |run: &Run| run.cells.iter().filter(|cell| cell.log.is_some()).count();
    let scripts = || fs::read_dir(directory.path().join("logs")).unwrap().count();
    assert_eq!(scripts(), logs(&first));
    write(directory.path(), &second);
    assert_eq!(load(&directory.path().join("report.json")).unwrap(), second);
    assert_eq!(
        load(&directory.path().join("previous.json")).unwrap(),
        first
    );
    assert_eq!(
        scripts(),
        logs(&second),
        "logs of the former report are gone"
    );
    let left = fs::read_dir(directory.path()).unwrap();
    let left = left.filter(|e| {
        e.as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with('.')
    });
    assert_eq!(left.count(), 0);
}

#[test]
fn a_log_that_is_gone_is_no_failure() {
    let directory = tempfile::tempdir().unwrap();
    let report = ReportDirectory::open(directory.path()).unwrap();
    report.write(&run(), &NoLogs).unwrap();
    assert_eq!(
        fs::read_dir(directory.path().join("logs")).unwrap().count(),
        0
    );
}

#[test]
fn what_belongs_to_others_is_left_alone() {
    for name in ["index.html", "report.json", "metrics.txt"] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(name), "mine").unwrap();
        let error = ReportDirectory::open(directory.path()).unwrap_err();
        assert!(
            matches!(error, ReportError::Occupied { .. }),
            "{name}: {error}"
        );
        assert_eq!(fs::read(directory.path().join(name)).unwrap(), b"mine");
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = ReportDirectory::open(&file).unwrap_err();
    assert!(matches!(error, ReportError::Write { .. }), "{error}");
}

#[test]
fn the_trace_has_a_track_a_slot_and_nothing_overlaps() {
    let directory = tempfile::tempdir().unwrap();
    let run = run();
    write(directory.path(), &run);
    let text = fs::read(directory.path().join("trace.json")).unwrap();
    let trace: Value = serde_json::from_slice(&text).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let of = |kind: &'static str| events.iter().filter(move |event| event["ph"] == kind);

    let named: Vec<_> = of("M")
        .filter(|e| e["name"] == "thread_name")
        .map(|e| (&e["pid"], &e["tid"]))
        .collect();
    let jobs: Vec<_> = of("X").filter(|e| e["cat"] != "phase").collect();
    assert_eq!(
        jobs.len(),
        run.cells.iter().filter(|c| c.span.is_some()).count()
    );
    let processes: BTreeMap<u64, &str> = of("M")
        .filter(|e| e["name"] == "process_name")
        .map(|e| {
            (
                e["pid"].as_u64().unwrap(),
                e["args"]["name"].as_str().unwrap(),
            )
        })
        .collect();
    let of_kind = |place| {
        let ran_there = |c: &&Cell| c.lane.is_some_and(|lane| lane.place == place);
        run.cells.iter().filter(ran_there).count()
    };
    for (name, place) in [
        ("this machine", Place::Local),
        ("remote workers", Place::Remote),
    ] {
        let in_process = |job: &&&Value| processes[&job["pid"].as_u64().unwrap()] == name;
        assert_eq!(jobs.iter().filter(in_process).count(), of_kind(place));
        assert!(of_kind(place) > 0);
    }
    // A thread that has the number of a process is that process's main thread to Perfetto, and
    // numbers that two processes share are mixed up by some readers.
    let numbers: BTreeSet<u64> = named.iter().map(|(_, tid)| tid.as_u64().unwrap()).collect();
    assert_eq!(numbers.len(), named.len());
    assert!(processes.keys().all(|pid| !numbers.contains(pid)));

    let mut tracks = BTreeMap::<u64, Vec<(u64, u64)>>::new();
    for job in &jobs {
        assert!(named.contains(&(&job["pid"], &job["tid"])));
        assert!(
            Outcome::ALL
                .iter()
                .any(|o| job["args"]["outcome"] == o.id())
        );
        let start = job["ts"].as_u64().unwrap();
        let end = start + job["dur"].as_u64().unwrap();
        tracks
            .entry(job["tid"].as_u64().unwrap())
            .or_default()
            .push((start, end));
    }
    for spans in tracks.values_mut() {
        spans.sort_unstable();
        assert!(
            spans.windows(2).all(|pair| pair[0].1 <= pair[1].0),
            "jobs overlap"
        );
    }
    let phases: Vec<_> = of("X").filter(|e| e["cat"] == "phase").collect();
    assert_eq!(phases.len(), 5 * jobs.len());
    for phase in phases {
        let start = phase["ts"].as_u64().unwrap();
        let end = start + phase["dur"].as_u64().unwrap();
        let spans = &tracks[&phase["tid"].as_u64().unwrap()];
        assert!(
            spans.iter().any(|span| span.0 <= start && end <= span.1),
            "a phase outside its job"
        );
    }
    let ends = |kind| {
        of(kind)
            .map(|e| e["id"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    // Ids that are no numbers are none to Perfetto.
    assert_eq!(ends("s"), ends("f"));
    assert_eq!(ends("s"), [1]);
    let bound = |kind| {
        let arrow = of(kind).next().unwrap();
        let (tid, at) = (
            arrow["tid"].as_u64().unwrap(),
            arrow["ts"].as_u64().unwrap(),
        );
        let open = tracks[&tid].iter().find(|span| span.0 <= at && at < span.1);
        open.copied().unwrap()
    };
    let above = run
        .cells
        .iter()
        .find(|c| !c.dependencies.is_empty())
        .unwrap();
    let below = &run.cells[above.dependencies[0]];
    let span = |cell: &Cell| cell.span.map(|s| (s.start_ms * 1000, s.end_ms * 1000));
    assert_eq!(span(below), Some(bound("s")));
    assert_eq!(span(above), Some(bound("f")));
    for counter in ["jobs", "cores"] {
        let last = of("C").rfind(|e| e["name"] == counter).unwrap();
        let value = last["args"].as_object().unwrap().values().next().unwrap();
        assert_eq!(value.as_f64(), Some(0.0), "{counter} end at nothing");
    }
}

#[test]
fn junit_has_a_suite_a_kernel() {
    let directory = tempfile::tempdir().unwrap();
    let run = run();
    write(directory.path(), &run);
    let text = fs::read_to_string(directory.path().join("junit.xml")).unwrap();
    let root = text.lines().nth(1).unwrap();
    assert!(
        root.starts_with("<testsuites ") && !root.contains("skipped"),
        "{root}"
    );
    let report = quick_junit::Report::deserialize_from_str(&text).unwrap();
    let totals = run.totals();
    assert_eq!(report.test_suites.len(), SMALL.kernels);
    assert_eq!(report.tests, run.cells.len());
    assert_eq!(
        report.failures,
        totals.of(Outcome::Failed) + totals.of(Outcome::KnownFailure)
    );
    assert_eq!(
        report.errors,
        totals.of(Outcome::Blocked) + totals.of(Outcome::Aborted)
    );
    let skipped: usize = report.test_suites.iter().map(|suite| suite.skipped).sum();
    assert_eq!(skipped, totals.of(Outcome::Excluded));
    assert!(text.contains("get_user_pages_remote"));
}

/// What the collector's own parser makes of the metrics: name and labels, tab, value.
const PARSE: &str = "import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
for family in parse(sys.stdin.read()):
    assert family.type in ('gauge', 'info'), family
    for s in family.samples:
        print(s.name + ''.join(f'|{k}={v}' for k, v in sorted(s.labels.items())), s.value, sep='\\t')
";

#[test]
fn metrics_are_open_metrics() {
    let directory = tempfile::tempdir().unwrap();
    let mut run = run();
    run.cells[0].outcome = Outcome::Failed;
    run.cells[0].kernel = "quote\" back\\slash new\nline".to_owned();
    write(directory.path(), &run);
    let file = fs::File::open(directory.path().join("metrics.txt")).unwrap();
    // Debian's own python, for which provision.sh has installed the parser.
    let output = Command::new("/usr/bin/python3")
        .args(["-c", PARSE])
        .stdin(file)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let value = |name: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}\t")));
        line.unwrap_or_else(|| panic!("no {name} in {text}"))
            .parse::<f64>()
            .unwrap()
    };
    for outcome in Outcome::ALL {
        let counted = value(&format!("kiln_run_cells|outcome={}", outcome.id()));
        assert_eq!(counted, run.totals().of(outcome) as f64);
    }
    assert_eq!(
        value("kiln_run_duration_seconds"),
        run.wall_ms() as f64 / 1000.0
    );
    assert_eq!(value("kiln_run_build_info|version=0.1.0"), 1.0);
    assert!(text.contains("kernel=quote\" back\\slash new\nline"));
    assert!(
        fs::read_to_string(directory.path().join("metrics.txt"))
            .unwrap()
            .ends_with("\n# EOF\n")
    );
}
