//! Jobs that run on a remote execution engine: the same scratch directory, the same script, as a REAPI
//! action; what comes back is judged, checked and stored as if it had been built here.
//!
//! The engine's worker brings the toolchain (docs/remote-execution.md); sources, kernel trees and scripts
//! come from here, at the paths that a sandbox has them at. The engine's own failures are no outcomes:
//! the job goes back to the scheduler, which runs it again, there or here.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsStr,
    fs, io,
    os::unix::process::ExitStatusExt,
    path::{Component, Path, PathBuf},
    process::ExitStatus,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use kiln_remote::{Blob, Cached, Done, Mode, RemoteError, Stage, Tree, Work};
use kiln_scheduler::{
    CancelToken, Executor, HandBack, Lane, Listening, ProcessExit, Task, Usage, Verdict,
};

use super::{
    Abort, JobEnd, JobPayload, JobRunner, LogWriter,
    execute::{Beginning, Begun, LaidOut},
};
use crate::shared::Engine;

/// Threads that lay jobs out and take results over; what runs on the engine needs none.
const HANDS: usize = 4;

/// What a job leaves for kiln, relative to the root of the action.
const OUT: &str = "run/kiln/out";

/// How much of a job's output is looked at for a sandbox's complaints; a worker has its own.
const NO_HEAD: &[u8] = &[];

type Errand = Box<dyn FnOnce() + Send>;

/// The remote lane of a run.
pub(crate) struct RemoteLane {
    inner: Arc<Inner>,
    errands: mpsc::Sender<Errand>,
    _listening: Listening,
}

struct Inner {
    runner: Arc<JobRunner>,
    engine: Engine,
    cancel: CancelToken,
    /// Trees that many actions have in them, by where they are here.
    trees: Mutex<HashMap<PathBuf, Arc<Tree>>>,
}

/// A job that is at the engine.
struct Away {
    task: Task<JobPayload, JobEnd>,
    begun: Begun,
    laid: LaidOut,
    started: Instant,
}

impl RemoteLane {
    /// Makes the lane of one run.
    pub(crate) fn new(runner: Arc<JobRunner>, engine: Engine, cancel: &CancelToken) -> Self {
        let (errands, todo) = mpsc::channel::<Errand>();
        let todo = Arc::new(Mutex::new(todo));
        for _ in 0..HANDS {
            let todo = Arc::clone(&todo);
            thread::spawn(move || {
                loop {
                    let errand = todo.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    match errand {
                        Ok(errand) => errand(),
                        Err(mpsc::RecvError) => return,
                    }
                }
            });
        }
        let client = Arc::clone(&engine.client);
        Self {
            _listening: cancel.listen(move || {
                let client = Arc::clone(&client);
                thread::spawn(move || client.cancel_all());
            }),
            inner: Arc::new(Inner {
                runner,
                engine,
                cancel: cancel.clone(),
                trees: Mutex::default(),
            }),
            errands,
        }
    }
}

impl Executor<JobPayload> for RemoteLane {
    type Outcome = JobEnd;

    fn slots(&self) -> usize {
        self.inner.engine.slots.get()
    }

    fn start(&self, task: Task<JobPayload, JobEnd>) {
        let inner = Arc::clone(&self.inner);
        let errands = self.errands.clone();
        // Should nobody be there to do it, the task is dropped, and so aborted.
        let _ = self
            .errands
            .send(Box::new(move || inner.send(task, errands)));
    }
}

impl Inner {
    /// Lays a job out and hands it to the engine.
    fn send(self: Arc<Self>, task: Task<JobPayload, JobEnd>, errands: mpsc::Sender<Errand>) {
        let begun = match self.runner.begin(&task) {
            Ok(Beginning::Build(begun)) => begun,
            Ok(Beginning::Known(end)) => return self.finish(task, Ok(end)),
            Err(abort) => return self.finish(task, Err(abort)),
        };
        let laid = match self.runner.prepare(&task, &begun, Lane::Remote) {
            Ok(laid) => laid,
            Err(abort) => return self.finish(task, Err(abort)),
        };
        let inputs = match self.inputs(&laid) {
            Ok(inputs) => inputs,
            Err(error) => {
                let end = JobEnd::Aborted(Abort::Engine(Arc::new(error)));
                return task.finish(Verdict::HandBack(HandBack::Refused, end));
            }
        };
        if self.cancel.is_cancelled() {
            return self.finish(task, Err(Abort::Interrupted));
        }
        let work = self.work(&task, &laid, inputs);
        let away = Arc::new(Mutex::new(Some(Away {
            task,
            begun,
            laid,
            started: Instant::now(),
        })));
        let told = Arc::clone(&away);
        let client = Arc::clone(&self.engine.client);
        let cancel = self.cancel.clone();
        let handle = client.submit(
            work,
            move |stage| {
                let away = told.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(away) = &*away {
                    away.task.phase(match stage {
                        Stage::Uploading => "upload",
                        Stage::Queued => "wait for a worker",
                        Stage::Executing => "build",
                        Stage::Downloading => "download",
                    });
                }
            },
            move |done| {
                let taken = away.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(away) = taken {
                    let _ = errands.send(Box::new(move || self.take(away, done)));
                }
            },
        );
        if cancel.is_cancelled() {
            handle.cancel();
        }
    }

    fn work(&self, task: &Task<JobPayload, JobEnd>, laid: &LaidOut, inputs: Arc<Tree>) -> Work {
        let script = task.payload().spec.layout.run.join("job.sh");
        let text = |text: &OsStr| text.to_string_lossy().into_owned();
        let environment = laid.view.environment.iter();
        Work {
            argv: [
                "/bin/bash",
                "-c",
                "exec /bin/bash --norc --noprofile \"$0\" 2>&1",
            ]
            .map(str::to_owned)
            .into_iter()
            .chain([text(script.as_os_str())])
            .collect(),
            environment: environment
                .map(|(name, value)| (text(name), text(value)))
                .collect(),
            directory: String::new(),
            outputs: vec![OUT.to_owned()],
            platform: self.engine.platform.clone(),
            inputs,
            timeout: self.engine.timeout,
            deadline: None,
            // What is not to be taken from a cache is not to be taken from the engine's either.
            cached: match self.runner.takes_known() {
                true => Cached::Use,
                false => Cached::Rerun,
            },
            download: Some(laid.scratch.path().join("remote")),
        }
    }

    /// All that the job may see, at the paths of a sandbox.
    fn inputs(&self, laid: &LaidOut) -> Result<Arc<Tree>, RemoteError> {
        let scratch = &laid.scratch;
        let mut tree = Tree::builder();
        for (name, target) in system_links() {
            tree.symlink(&name, &target)?;
        }
        tree.directory("tmp")?;
        tree.directory("var/tmp")?;
        tree.directory(OUT)?;
        let dkms = Path::new("/var/lib/dkms");
        for (host, inside) in [
            (scratch.dkms_tree(), dkms),
            (scratch.run(), Path::new("/run/kiln")),
        ] {
            tree.tree(&inner_path(inside), &Tree::of_directory(&host)?)?;
        }
        for (host, inside) in &laid.view.read_only {
            let path = inner_path(inside);
            if host.is_dir() {
                tree.tree(&path, &self.shared_tree(host)?)?;
            } else {
                let blob = Blob::file(host).map_err(|source| RemoteError::File {
                    path: host.clone(),
                    source,
                })?;
                tree.file(&path, blob, Mode::Plain)?;
            }
        }
        for (inside, target) in &laid.view.links {
            let path = inner_path(inside);
            tree.symlink(&path, &relative(&path, target))?;
        }
        Ok(tree.finish())
    }

    /// A tree that does not change during a run, hashed once.
    fn shared_tree(&self, host: &Path) -> Result<Arc<Tree>, RemoteError> {
        let mut trees = self.trees.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tree) = trees.get(host) {
            return Ok(Arc::clone(tree));
        }
        let tree = Tree::of_directory(host)?;
        trees.insert(host.to_owned(), Arc::clone(&tree));
        Ok(tree)
    }

    /// Takes over what the engine says of a job.
    fn take(&self, away: Away, done: Result<Done, RemoteError>) {
        let done = match done {
            Ok(done) => done,
            Err(RemoteError::Cancelled) => return self.finish(away.task, Err(Abort::Interrupted)),
            Err(error) => {
                let back = match &error {
                    RemoteError::TimedOut { .. } | RemoteError::Tree(_) => HandBack::Refused,
                    RemoteError::Rpc { .. }
                    | RemoteError::MissingBlob { .. }
                    | RemoteError::Deadline { .. } => HandBack::Retry,
                    _ => HandBack::LaneLost,
                };
                let end = JobEnd::Aborted(Abort::Engine(Arc::new(error)));
                return away.task.finish(Verdict::HandBack(back, end));
            }
        };
        let end = self.conclude(&away, &done);
        self.finish(away.task, end);
    }

    fn conclude(&self, away: &Away, done: &Done) -> Result<JobEnd, Abort> {
        let scratch = &away.laid.scratch;
        let log = scratch.path().join("log.zst");
        let io_error = |path: &Path| {
            let path = path.to_owned();
            move |source: io::Error| Abort::Io { path, source }
        };
        let mut writer = LogWriter::create(&log).map_err(io_error(&log))?;
        writer.add(&done.stdout);
        writer.add(&done.stderr);
        writer.finish().map_err(io_error(&log))?;
        let came = scratch.path().join("remote").join(OUT);
        if came.is_dir() {
            let out = scratch.out();
            fs::remove_dir_all(&out)
                .and_then(|()| fs::rename(&came, &out))
                .map_err(io_error(&out))?;
        }
        let ran = done.ran.unwrap_or_default();
        let exit = ProcessExit {
            status: ExitStatus::from_raw(done.exit_code << 8),
            stopped: None,
            usage: Usage {
                // What an engine says is how long it ran.
                cpu_user: ran,
                cpu_system: Duration::ZERO,
                peak_rss: 0,
            },
            wall: if ran.is_zero() {
                away.started.elapsed()
            } else {
                ran
            },
            output_bytes: done.stdout.len() as u64,
        };
        self.runner
            .conclude(&away.task, &away.begun, scratch, &log, &exit, NO_HEAD)
    }

    fn finish(&self, task: Task<JobPayload, JobEnd>, end: Result<JobEnd, Abort>) {
        let verdict = self.runner.verdict(&task, end);
        task.finish(verdict);
    }
}

/// `/bin` and its like, as links into `/usr`, which a worker has.
fn system_links() -> BTreeMap<String, String> {
    ["bin", "sbin", "lib", "lib64"]
        .into_iter()
        .map(|name| (name.to_owned(), format!("usr/{name}")))
        .collect()
}

/// An absolute path as one within the root of the inputs, where `/lib` is a link.
fn inner_path(path: &Path) -> String {
    let path = path.strip_prefix("/").unwrap_or(path);
    let merged = ["bin", "sbin", "lib", "lib64"]
        .iter()
        .any(|name| path.starts_with(name));
    let path = if merged {
        Path::new("usr").join(path)
    } else {
        path.to_owned()
    };
    path.to_string_lossy().into_owned()
}

/// The target of a link at `path` without a leading slash, which some servers refuse.
fn relative(path: &str, target: &Path) -> String {
    if !target.is_absolute() {
        return target.to_string_lossy().into_owned();
    }
    let up = Path::new(path)
        .components()
        .filter(|part| matches!(part, Component::Normal(_)))
        .count()
        .saturating_sub(1);
    format!("{}{}", "../".repeat(up), inner_path(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_the_same_place_from_within() {
        assert_eq!(
            inner_path(Path::new("/lib/modules/6.1/build")),
            "usr/lib/modules/6.1/build"
        );
        assert_eq!(inner_path(Path::new("/library/x")), "library/x");
        assert_eq!(
            relative("usr/lib/modules/6.1/build", Path::new("/usr/src/linux")),
            "../../../../usr/src/linux"
        );
        assert_eq!(relative("a", Path::new("b/c")), "b/c");
    }
}
