//! The report for programs: one JSON object a line, the last one a summary. The schema is
//! in docs/json.md, and is only added to.

use std::{collections::BTreeMap, path::Path, time::Duration};

use kiln_build::{
    outcome::{CellResult, Outcome},
    plan::{BuildSite, CellId, CellPlan, Difference, Plan},
    results,
    shared::SharedNotice,
    sight::Finding,
};
use kiln_cache::{ActionRecord, Damage, Store};
use kiln_sandbox::IsolationError;
use kiln_scheduler::Lane;
use serde_json::{Value, json};

use super::{
    FarmNotice, Report, farm, out, plain::Style, plan as plan_report, summary::Totals, words,
};

pub(super) struct Json {
    style: Style,
}

impl Json {
    pub(super) fn new(style: Style) -> Self {
        Self { style }
    }
}

/// What is to be done about a cell, in a word; nothing about one that nobody asked for.
pub(super) fn action(plan: &CellPlan) -> Option<&'static str> {
    Some(match plan {
        CellPlan::NotAsked => return None,
        CellPlan::Hit(_) => "hit",
        CellPlan::KnownFailure(_) => "known failure",
        CellPlan::Build { .. } => "build",
        CellPlan::AfterDependencies => "after dependencies",
        CellPlan::Excluded(_) | CellPlan::LeftOut { .. } => "excluded",
        CellPlan::Fault(_) => "fault",
        CellPlan::Blocked { .. } => "blocked",
    })
}

/// The fields that name a cell.
pub(super) fn cell_fields(plan: &Plan, cell: CellId) -> Value {
    let planned = &plan.cells[cell.index()];
    let kernel = &plan.kernels[planned.kernel].tree;
    json!({
        "package": plan.packages[planned.package].label,
        "kernel": kernel.release.as_str(),
        "arch": kernel.arch.as_str(),
    })
}

pub(super) fn emit(event: &str, mut fields: Value, more: Value) {
    if let (Value::Object(fields), Value::Object(more)) = (&mut fields, more) {
        fields.insert("event".to_owned(), json!(event));
        fields.extend(more);
    }
    out::json(&fields);
}

/// Something worth knowing.
pub(super) fn notice_of(text: &str) {
    emit("notice", json!({}), json!({ "text": text }));
}

fn result_fields(plan: &Plan, result: &CellResult) -> Value {
    let mut fields = json!({ "result": words::word(result) });
    let Value::Object(map) = &mut fields else {
        return fields;
    };
    if let Some(cause) = words::cause(plan, result) {
        map.insert("cause".to_owned(), json!(cause));
    }
    if let Some(record) = result.success().or_else(|| result.failure()) {
        let known = matches!(result, CellResult::Hit(_) | CellResult::KnownFailure(_));
        map.insert("cached".to_owned(), json!(known));
        map.insert("key".to_owned(), json!(record.key.to_string()));
        map.insert("cost".to_owned(), cost(record));
        if let Some(log) = &record.log {
            map.insert("log".to_owned(), json!(log.to_string()));
        }
        if let Some(error) = words::first_error(record) {
            map.insert("first_error".to_owned(), json!(error));
        }
    }
    if let Some(hint) = words::hint(result) {
        map.insert("hint".to_owned(), json!(hint));
    }
    fields
}

fn cost(record: &ActionRecord) -> Value {
    json!({
        "wall_ms": record.cost.wall.as_millis() as u64,
        "cpu_ms": record.cost.cpu.as_millis() as u64,
        "peak_memory_bytes": record.cost.peak_memory,
        "output_bytes": record.cost.output_bytes,
    })
}

fn outputs(record: &ActionRecord, store: &Store, delivered: Option<&Path>) -> Value {
    record
        .outputs
        .iter()
        .map(|output| {
            json!({
                "path": output.path,
                "digest": output.object.to_string(),
                "bytes": output.size,
                "object": store.object_path(&output.object),
                "file": delivered
                    .map(|directory| directory.join(&output.path))
                    .filter(|file| file.exists()),
            })
        })
        .collect()
}

impl Report for Json {
    fn bare(&mut self, reason: &IsolationError) {
        notice_of(&words::bare(reason));
    }

    fn notice(&mut self, notice: &FarmNotice) {
        notice_of(&farm::words(notice));
    }

    fn no_remote(&mut self, setting: &str) {
        notice_of(&words::no_remote(setting));
    }

    fn engine_lost(&mut self, error: &dyn std::error::Error) {
        notice_of(&words::engine_lost(error));
    }

    fn roots_stay(&mut self) {
        notice_of(words::ROOTS_STAY);
    }

    fn input_changed(&mut self, path: &Path) {
        notice_of(&words::input_changed(path));
    }

    fn audit(&mut self, findings: &[Finding]) {
        for Finding { subject, what } in findings {
            emit(
                "uncovered",
                json!({}),
                json!({ "of": subject, "what": what }),
            );
        }
    }

    fn complaint(&mut self, package: &str, line: &str) {
        notice_of(&words::complaint(package, line));
    }

    fn shared(&mut self, notices: &[SharedNotice]) {
        for notice in notices {
            notice_of(&words::shared(notice));
        }
    }

    fn conf(&mut self, _: usize, _: usize) {}

    fn plan(&mut self, plan: &Plan, differences: &BTreeMap<CellId, Vec<Difference>>) {
        for (index, cell) in plan.cells.iter().enumerate() {
            let id = CellId::new(index);
            let changes: Vec<String> = differences
                .get(&id)
                .into_iter()
                .flatten()
                .flat_map(|one| words::difference(one, usize::MAX))
                .collect();
            let Some(action) = action(&cell.plan) else {
                continue;
            };
            emit(
                "planned",
                cell_fields(plan, id),
                json!({
                    "action": action,
                    "why": plan_report::decision(plan, cell),
                    "changes": changes,
                    "key": cell.key().map(|key| key.to_string()),
                }),
            );
        }
    }

    fn start(&mut self, _: &Plan, cells: &[(CellId, Duration)], jobs: usize) {
        let expected: Duration = cells.iter().map(|(_, expected)| *expected).sum();
        emit(
            "start",
            json!({}),
            json!({ "jobs": cells.len(), "cores": jobs, "expected_cpu_ms": expected.as_millis() as u64 }),
        );
    }

    fn started(&mut self, plan: &Plan, cell: CellId, lane: Lane) {
        let place = match lane {
            Lane::Local => "local",
            Lane::Remote => "remote",
        };
        let fields = cell_fields(plan, cell);
        emit("started", fields, json!({ "place": place }));
    }

    fn handed_back(&mut self, plan: &Plan, cell: CellId) {
        emit("handed back", cell_fields(plan, cell), json!({}));
    }

    fn phase(&mut self, _: CellId, _: &str) {}

    fn finished(&mut self, plan: &Plan, cell: CellId, result: &CellResult) {
        emit(
            "finished",
            cell_fields(plan, cell),
            result_fields(plan, result),
        );
    }

    fn cancelling(&mut self) {
        notice_of("stopping");
    }

    fn damage(&mut self, damage: &[Damage]) {
        for one in damage {
            notice_of(&words::damage(one));
        }
    }

    fn summary(&mut self, plan: &Plan, outcome: &Outcome, site: &BuildSite) {
        let cells: Vec<Value> = outcome
            .results
            .iter()
            .enumerate()
            .filter(|(_, result)| !matches!(result, CellResult::NotAsked))
            .map(|(index, result)| {
                let id = CellId::new(index);
                let mut fields = cell_fields(plan, id);
                if let (Value::Object(fields), Value::Object(more)) =
                    (&mut fields, result_fields(plan, result))
                {
                    fields.extend(more);
                    if let Some(record) = result.success() {
                        let delivered = self
                            .style
                            .output
                            .as_deref()
                            .map(|root| results::directory(root, plan, id));
                        let outputs = outputs(record, &site.store, delivered.as_deref());
                        fields.insert("outputs".to_owned(), outputs);
                    }
                }
                fields
            })
            .collect();
        let totals = Totals::of(outcome);
        emit(
            "summary",
            json!({}),
            json!({
                "exit": crate::Exit::of_run(outcome) as u8,
                "wall_ms": outcome.wall.as_millis() as u64,
                "hits": totals.hits,
                "built": totals.built,
                "failed": totals.failed,
                "excluded": totals.excluded,
                "blocked": totals.blocked,
                "aborted": totals.aborted,
                "not_run": totals.not_run,
                "protection": site.protection().name(),
                "cells": cells,
            }),
        );
    }
}
