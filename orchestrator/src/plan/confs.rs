//! The conf phase: every package's dkms.conf for every kernel, from the cache or from bash.

use std::sync::Arc;

use kiln_scheduler::{
    CancelToken, Estimate, Event, GraphBuilder, Lanes, LocalExecutor, RunOptions, Task, TokenPool,
    Verdict, run,
};

use super::{Answer, BuildSite, CellFault, ConfAction, ConfFault, ConfOutcome, PlanError};
use crate::{
    conf::{Conf, ConfProblem, ResolveInput, resolve},
    keys::Keys,
};

/// One evaluation to do.
pub(super) struct ConfTask {
    pub(super) action: ConfAction,
    pub(super) keys: Keys,
}

/// What came of one evaluation.
pub(super) type ConfResult = Result<Arc<Conf>, CellFault>;

/// Evaluates all tasks, side by side, and gives the results in their order; a task that
/// was interrupted has none.
pub(super) fn evaluate_all(
    site: &Arc<BuildSite>,
    tasks: Vec<ConfTask>,
    tokens: &TokenPool,
    cancel: &CancelToken,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<Option<ConfResult>>, PlanError> {
    let total = tasks.len();
    let mut builder = GraphBuilder::with_capacity(total);
    let ids: Vec<_> = tasks
        .into_iter()
        .map(|task| builder.add(task, Estimate::default()))
        .collect();
    let graph = builder
        .build()
        .ok()
        .expect("a graph without edges has no cycle");
    let worker_site = Arc::clone(site);
    let executor = LocalExecutor::new(tokens.size(), move |task: &Task<ConfTask, _>| {
        let ConfTask { action, keys } = task.payload();
        let outcome = action.run(keys, &worker_site, task.cancel());
        Verdict::Succeeded(result(action, outcome))
    })?;
    let mut results: Vec<Option<Result<ConfResult, PlanError>>> =
        (0..total).map(|_| None).collect();
    let mut done = 0;
    run(
        Arc::new(graph),
        Lanes::local(&executor),
        tokens,
        RunOptions::default(),
        cancel,
        &mut |event| {
            if let Event::Finished { job, outcome, .. } = event {
                done += 1;
                progress(done, total);
                results[ids[job.index()].index()] = outcome;
            }
        },
    );
    results.into_iter().map(Option::transpose).collect()
}

/// What an evaluation means for the cell.
fn result(
    action: &ConfAction,
    outcome: Result<ConfOutcome, ConfFault>,
) -> Result<ConfResult, PlanError> {
    Ok(Err(match outcome {
        Ok(outcome) => return Ok(meaning(action, outcome)),
        Err(ConfFault::Source(error)) => CellFault::Source(Arc::new(error)),
        Err(ConfFault::Unreachable { path }) => CellFault::Unreachable { path },
        Err(ConfFault::InputChanged { path }) => CellFault::InputChanged { path },
        Err(ConfFault::Conf(error)) => CellFault::Conf(Arc::new(error)),
        Err(ConfFault::Site(error)) => return Err(error.into()),
        Err(ConfFault::Store(error)) => return Err(error.into()),
        Err(ConfFault::Scan(error)) => return Err(PlanError::Tools(error.into())),
    }))
}

/// What bash's answer means for a kernel.
pub(super) fn meaning(action: &ConfAction, outcome: ConfOutcome) -> ConfResult {
    let Answer { raw, said } = outcome.map_err(|cause| CellFault::BadConf { cause })?;
    let bad = |cause| Err(CellFault::BadConf { cause });
    if raw.stated("@syntax").is_some_and(|status| status != "0") {
        let said = complaints(&said).next().unwrap_or("a syntax error");
        return bad(format!("dkms.conf, {said}"));
    }
    let resolved = resolve(&ResolveInput {
        raw: &raw,
        registered: action.package.registered.as_ref(),
        release: &action.kernel.tree.release,
        arch: &action.kernel.tree.arch,
        config: action.kernel.config(),
        layout: &action.layout,
        kernel_source_dir: None,
    });
    match resolved {
        Ok(conf) if conf.problems.is_empty() => Ok(Arc::new(Conf {
            complaints: complaints(&said).map(str::to_owned).collect(),
            ..conf
        })),
        Ok(conf) => bad(defect(&conf.problems, &said)),
        Err(problems) => bad(defect(&problems, &said)),
    }
}

/// The first defect, and what bash complained of where that may have caused it.
fn defect(problems: &[ConfProblem], said: &str) -> String {
    let first = problems
        .first()
        .map(ToString::to_string)
        .unwrap_or_default();
    match complaints(said).next() {
        Some(complaint) => format!("dkms.conf: {first} ({complaint})"),
        None => format!("dkms.conf: {first}"),
    }
}

/// What was printed while a dkms.conf was evaluated, without the file's name in the sandbox.
fn complaints(said: &str) -> impl Iterator<Item = &str> {
    said.lines()
        .map(|line| match line.split_once("/dkms.conf: ") {
            Some((_, said)) => said,
            None => line,
        })
        .filter(|line| !line.trim().is_empty())
}
