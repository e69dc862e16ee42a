//! The conf phase: every package's dkms.conf for every kernel, from the cache or from bash.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Instant, SystemTime},
};

use kiln_cache::{ActionKind, ActionRecord, Cost, Output, Status, Store, StoreError, Subject};
use kiln_scheduler::{
    CancelToken, Estimate, Event, GraphBuilder, Lanes, LocalExecutor, RunOptions, Task, TokenPool,
    Verdict, run,
};

use super::{
    BuildSite, CellFault, JobKey, KernelInput, PackageInput, PlanError, cell::scratch_name,
};
use crate::{
    conf::{
        Conf, ConfError, ConfProblem, EvaluateInput, Evaluation, ResolveInput, evaluate, resolve,
    },
    sandbox::Scratch,
};

/// The exit code that dkms gives a bad dkms.conf.
const BAD_CONF: i32 = 8;

/// The name under which a resolved conf is stored.
const CONF_OUTPUT: &str = "conf.json";

/// One evaluation to do.
pub(super) struct ConfTask {
    pub(super) package: Arc<PackageInput>,
    pub(super) kernel: Arc<KernelInput>,
    pub(super) key: JobKey,
}

/// What came of one evaluation.
pub(super) type ConfResult = Result<Arc<Conf>, CellFault>;

/// Looks an evaluation up in the cache.
pub(super) fn cached(store: &Store, task: &ConfTask) -> Result<Option<ConfResult>, StoreError> {
    let Some(record) = store.lookup_verified(&task.key.key)? else {
        return Ok(None);
    };
    Ok(Some(match &record.status {
        Status::Failure { cause, .. } => Err(CellFault::BadConf {
            cause: cause.clone(),
        }),
        Status::Success => {
            let content = match record.outputs.first() {
                Some(output) => store.read(&output.object)?,
                None => None,
            };
            content
                .and_then(|bytes| serde_json::from_slice(&bytes).ok())
                .map(Arc::new)
                .ok_or(CellFault::Unreadable)
        }
    }))
}

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
        Verdict::Succeeded(evaluate_one(&worker_site, task.payload(), task.cancel()))
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

fn evaluate_one(
    site: &BuildSite,
    task: &ConfTask,
    cancel: &CancelToken,
) -> Result<ConfResult, PlanError> {
    let started = Instant::now();
    let name = scratch_name(&task.package, &task.kernel);
    let (base, scratch) = (site.base()?, site.scratch(&name)?);
    let source = match task.package.readable_directory(base) {
        Ok(source) => source,
        Err(error) => return Ok(Err(CellFault::Source(Arc::new(error)))),
    };
    let system = task.kernel.system.host_path(Path::new("/usr"));
    let needed = task.kernel.roots.iter().map(|root| root.host.as_path());
    if let Some(path) = needed
        .chain([system.as_path()])
        .find_map(|path| site.user.barrier(path))
    {
        return Ok(Err(CellFault::Unreachable { path }));
    }
    let (status, content, result) = match outcome(site, task, &source, &scratch, cancel) {
        Ok(conf) => {
            let content = serde_json::to_vec(&conf).expect("a conf is plain data");
            (Status::Success, Some(content), Ok(Arc::new(conf)))
        }
        Err(Failure::Defect(cause)) => (
            Status::Failure {
                code: BAD_CONF,
                cause: cause.clone(),
            },
            None,
            Err(CellFault::BadConf { cause }),
        ),
        Err(Failure::NoOutcome(error)) => return Ok(Err(CellFault::Conf(Arc::new(error)))),
    };
    // A source that is no longer the one in the key says nothing about that key.
    if task.package.changed_file().is_none() {
        store(site, task, status, content, started)?;
    }
    Ok(result)
}

enum Failure {
    /// The conf is wrong, and will be as long as it is the same.
    Defect(String),
    /// The evaluation did not come to an end.
    NoOutcome(ConfError),
}

fn outcome(
    site: &BuildSite,
    task: &ConfTask,
    source: &Path,
    scratch: &Scratch,
    cancel: &CancelToken,
) -> Result<Conf, Failure> {
    let kernel = &task.kernel;
    let layout = site.layout(&scratch_name(&task.package, kernel));
    let input = EvaluateInput::Package {
        source,
        conf: None,
        directives: &[],
        registered: task.package.registered.as_ref(),
        kernel: &kernel.tree,
        kernel_roots: &kernel.mounts(),
        system: &kernel.system,
        build_environment: site.framework.build_environment.as_deref(),
    };
    let evaluation = Evaluation {
        isolation: site.isolation,
        user: site.user,
        scratch,
        layout: &layout,
        time_limit: site.conf_time_limit,
    };
    let (raw, output) = evaluate(&input, &evaluation, cancel).map_err(|error| match &error {
        ConfError::Dump { .. } => Failure::Defect(error.to_string()),
        _ => Failure::NoOutcome(error),
    })?;
    // Bash goes on after a syntax error with whatever was read before it.
    if let Some(said) = said(&output).filter(|said| said.contains("syntax error")) {
        return Err(Failure::Defect(format!("dkms.conf, {said}")));
    }
    let resolved = resolve(&ResolveInput {
        raw: &raw,
        registered: task.package.registered.as_ref(),
        release: &kernel.tree.release,
        arch: &kernel.tree.arch,
        config: kernel.config(),
        layout: &layout,
        kernel_source_dir: None,
    });
    match resolved {
        Ok(conf) if conf.problems.is_empty() => Ok(conf),
        Ok(conf) => Err(Failure::Defect(defect(&conf.problems, &output))),
        Err(problems) => Err(Failure::Defect(defect(&problems, &output))),
    }
}

/// The first defect, and what bash said where a syntax error may have caused it.
fn defect(problems: &[ConfProblem], output: &str) -> String {
    let first = problems
        .first()
        .map(ToString::to_string)
        .unwrap_or_default();
    match said(output) {
        Some(said) => format!("dkms.conf, {said}"),
        None => format!("dkms.conf: {first}"),
    }
}

/// The first line of bash's own about a dkms.conf.
fn said(output: &str) -> Option<&str> {
    output
        .lines()
        .find(|line| line.contains("dkms.conf: line "))
        .and_then(|line| line.split_once("dkms.conf: "))
        .map(|(_, said)| said)
}

fn store(
    site: &BuildSite,
    task: &ConfTask,
    status: Status,
    content: Option<Vec<u8>>,
    started: Instant,
) -> Result<(), StoreError> {
    let mut publication = site.store.publication();
    let mut outputs = Vec::new();
    let mut size = 0;
    if let Some(content) = content {
        size = content.len() as u64;
        outputs.push(Output {
            path: CONF_OUTPUT.to_owned(),
            object: publication.put_bytes(&content)?,
            size,
            executable: false,
        });
    }
    let record = ActionRecord {
        key: task.key.key,
        kind: ActionKind::Conf,
        subject: Subject {
            name: task.package.label.clone(),
            target: task.kernel.tree.target(),
        },
        components: task.key.components.clone(),
        status,
        outputs,
        log: None,
        note: BTreeMap::new(),
        cost: Cost {
            wall: started.elapsed(),
            output_bytes: size,
            ..Cost::default()
        },
        created: unix_time(),
    };
    publication.commit_with(&record)?;
    if let Some(shared) = &site.shared {
        shared.offer(&record, &site.store);
    }
    Ok(())
}

/// Nanoseconds since 1970, enough until the year 2554.
pub(crate) fn unix_time() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .and_then(|elapsed| u64::try_from(elapsed.as_nanos()).ok())
        .unwrap_or(0)
}
