//! The conf phase: every package's dkms.conf for every kernel, told without bash, from the cache or from bash.

use std::sync::Arc;

use kiln_cache::ActionKey;
use kiln_kernel::KernelInput;
use kiln_scheduler::{
    CancelToken, Estimate, Event, GraphBuilder, Lanes, LocalExecutor, RunOptions, Task, TokenPool,
    Verdict, run,
};

use super::{
    Answer, BuildSite, CellFault, ConfAction, ConfFault, ConfOutcome, Plan, PlanError, Planner,
    SourceLocation, cell::scratch_name, look_up::LookUp,
};
use crate::{
    conf::{Conf, ConfProblem, ResolveInput, resolve},
    keys::{Keys, conf_keys},
};

/// One evaluation to do.
struct ConfTask {
    action: Arc<ConfAction>,
    keys: Keys,
}

impl ConfTask {
    fn new(action: Arc<ConfAction>) -> Self {
        Self {
            keys: conf_keys(&action),
            action,
        }
    }
}

/// What a dkms.conf means for a cell.
pub(super) type ConfResult = Result<Arc<Conf>, CellFault>;

/// What came of one evaluation.
type TaskResult = Result<ConfOutcome, CellFault>;

/// How confs are evaluated.
pub(super) struct ConfRun<'a> {
    pub(super) tokens: &'a TokenPool,
    pub(super) cancel: &'a CancelToken,
    pub(super) progress: &'a mut dyn FnMut(usize, usize),
    pub(super) how: LookUp,
}

impl Planner<'_> {
    /// Finds out, for each kernel, which compiler its Makefile fragment insists on; gives what went wrong.
    pub(super) fn kernel_variables(
        &mut self,
        kernels: &[Arc<KernelInput>],
        run: &mut ConfRun<'_>,
    ) -> Result<Vec<Option<CellFault>>, PlanError> {
        let asked: Vec<usize> = (0..kernels.len())
            .filter(|index| kernels[*index].has_variables())
            .collect();
        let tasks = asked.iter().map(|index| {
            let kernel = &kernels[*index];
            ConfTask::new(Arc::new(ConfAction {
                package: None,
                kernel: Arc::clone(kernel),
                layout: self.site.layout(&format!("variables-{index}")),
                conf: None,
                directives: Vec::new(),
                overrides: None,
                build_environment: None,
            }))
        });
        let results = self.outcomes(tasks.collect(), run)?;
        let mut faults: Vec<Option<CellFault>> = kernels.iter().map(|_| None).collect();
        for (index, result) in asked.into_iter().zip(results) {
            match result.and_then(|outcome| outcome.map_err(|cause| CellFault::BadConf { cause })) {
                Ok(answer) => kernels[index].set_compiler(answer.raw.scalar("CC").unwrap_or("")),
                Err(fault) => faults[index] = Some(fault),
            }
        }
        Ok(faults)
    }

    /// The confs of all packages from `first` on, for each kernel, in the order of the cells.
    pub(super) fn confs(
        &mut self,
        plan: &Plan,
        first: usize,
        faults: &[Option<CellFault>],
        run: &mut ConfRun<'_>,
    ) -> Result<Vec<ConfResult>, PlanError> {
        let build_environment = match &self.site.framework.build_environment {
            Some(path) => {
                let seen = self.fingerprints.file_witness(path);
                Some((path.clone(), seen.map_err(PlanError::Tools)?))
            }
            None => None,
        };
        let mut results: Vec<Option<ConfResult>> = Vec::new();
        let mut open: Vec<(usize, Arc<ConfAction>)> = Vec::new();
        for package in &plan.packages[first..] {
            for (kernel, fault) in plan.kernels.iter().zip(faults) {
                let input = match (&package.input, fault) {
                    (Ok(input), None) => input,
                    (Err(error), _) => {
                        results.push(Some(Err(CellFault::Source(Arc::clone(error)))));
                        continue;
                    }
                    (_, Some(fault)) => {
                        results.push(Some(Err(fault.clone())));
                        continue;
                    }
                };
                let action = ConfAction {
                    package: Some(Arc::clone(input)),
                    kernel: Arc::clone(kernel),
                    layout: self.site.layout(&scratch_name(input, kernel)),
                    conf: None,
                    directives: Vec::new(),
                    overrides: self.overrides.clone(),
                    build_environment: build_environment.clone(),
                };
                // That takes less than to look an answer up.
                let literal = match &input.location {
                    SourceLocation::Directory(source) => action.literal(source),
                    SourceLocation::Archive { .. } => None,
                };
                match literal {
                    Some(answer) => results.push(Some(meaning(&action, Ok(answer)))),
                    None => {
                        open.push((results.len(), Arc::new(action)));
                        results.push(None);
                    }
                }
            }
        }
        let tasks = open
            .iter()
            .map(|(_, action)| ConfTask::new(Arc::clone(action)));
        let outcomes = self.outcomes(tasks.collect(), run)?;
        for ((place, action), result) in open.into_iter().zip(outcomes) {
            results[place] = Some(result.and_then(|outcome| meaning(&action, outcome)));
        }
        Ok(results.into_iter().flatten().collect())
    }

    /// The outcomes of evaluations, in their order: those that a cache has, and all others anew.
    fn outcomes(
        &mut self,
        tasks: Vec<ConfTask>,
        run: &mut ConfRun<'_>,
    ) -> Result<Vec<TaskResult>, PlanError> {
        let site = Arc::clone(self.site);
        let mut results: Vec<Option<TaskResult>> = tasks.iter().map(|_| None).collect();
        let mut open: Vec<(usize, ConfTask)> = tasks.into_iter().enumerate().collect();
        if run.how.use_cache {
            self.look_up_confs(&mut open, &mut results)?;
            if let Some(shared) = site.shared.as_ref().filter(|_| !open.is_empty()) {
                self.fingerprints.close();
                let traces: Vec<ActionKey> = open.iter().map(|(_, t)| t.keys.trace.key).collect();
                shared.fetch_many(&traces, &site.store)?;
                self.look_up_confs(&mut open, &mut results)?;
                self.fingerprints.close();
                let outcomes = open.iter().flat_map(|(_, task)| task.keys.outcomes());
                let outcomes: Vec<ActionKey> = outcomes.map(|key| key.key).collect();
                shared.fetch_many(&outcomes, &site.store)?;
                self.look_up_confs(&mut open, &mut results)?;
            }
        }
        if !open.is_empty() {
            self.fingerprints.close();
            let (places, tasks): (Vec<usize>, Vec<ConfTask>) = open.into_iter().unzip();
            let fresh = evaluate_all(self.site, tasks, run.tokens, run.cancel, run.progress)?;
            for (place, result) in places.into_iter().zip(fresh) {
                results[place] = result;
            }
        }
        results
            .into_iter()
            .map(|result| result.ok_or(PlanError::Interrupted))
            .collect()
    }

    /// Takes those of the open evaluations out that the store has the outcomes of.
    fn look_up_confs(
        &mut self,
        open: &mut Vec<(usize, ConfTask)>,
        results: &mut [Option<TaskResult>],
    ) -> Result<(), PlanError> {
        let store = &Arc::clone(self.site).store;
        for (place, mut task) in std::mem::take(open) {
            let looker = self.looker(&task.action.kernel.system);
            let ConfTask { action, keys } = &mut task;
            match action.look_up(keys, store, looker)? {
                Some(outcome) => results[place] = Some(Ok(outcome)),
                None => open.push((place, task)),
            }
        }
        Ok(())
    }
}

/// Evaluates all tasks, side by side, and gives the results in their order; a task that
/// was interrupted has none.
fn evaluate_all(
    site: &Arc<BuildSite>,
    tasks: Vec<ConfTask>,
    tokens: &TokenPool,
    cancel: &CancelToken,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<Option<TaskResult>>, PlanError> {
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
        Verdict::Succeeded(result(outcome))
    })?;
    let mut results: Vec<Option<Result<TaskResult, PlanError>>> =
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

/// What an evaluation that gave no outcome means for its cells.
fn result(outcome: Result<ConfOutcome, ConfFault>) -> Result<TaskResult, PlanError> {
    Ok(Err(match outcome {
        Ok(outcome) => return Ok(Ok(outcome)),
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
fn meaning(action: &ConfAction, outcome: ConfOutcome) -> ConfResult {
    let Answer { raw, said } = outcome.map_err(|cause| CellFault::BadConf { cause })?;
    let bad = |cause| Err(CellFault::BadConf { cause });
    if raw.stated("@syntax").is_some_and(|status| status != "0") {
        let said = complaints(&said).next().unwrap_or("a syntax error");
        return bad(format!("dkms.conf, {said}"));
    }
    let resolved = resolve(&ResolveInput {
        raw: &raw,
        registered: action.registered(),
        release: &action.kernel.tree.release,
        arch: &action.kernel.tree.arch,
        config: action.kernel.config(),
        layout: &action.layout,
        kernel_source_dir: None,
        required_compiler: action.kernel.required_compiler(),
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
