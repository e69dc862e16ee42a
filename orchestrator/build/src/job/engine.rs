//! Jobs that run on a remote execution engine: the same scratch directory, the same script, as a REAPI
//! action; what comes back is judged, checked and stored as if it had been built here.
//!
//! The engine's worker brings the toolchain, unless it is that of a toolchain root
//! (docs/remote-execution.md); sources, kernel trees and scripts
//! come from here, at the paths that a sandbox has them at. The engine's own failures are no outcomes:
//! the job goes back to the scheduler, which runs it again, there or here.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs, io,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::ExitStatus,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use kiln_files::remove_filled;
use kiln_remote::{Cached, Done, RemoteError, Stage, Tree, Work};
use kiln_scheduler::{
    CancelToken, Executor, HandBack, Lane, Listening, ProcessExit, Task, Usage, Verdict,
};

use super::{
    Abort, JobEnd, JobPayload, JobRunner, LogWriter,
    execute::{Beginning, Begun, LaidOut},
    input_root::{InputRoots, OUT},
    judge::Ran,
    worker_compiler::{Compilers, LAUNCH, OTHER_COMPILER, OtherCompiler},
};
use crate::{shared::Engine, sight::Since};

/// Threads that lay jobs out and take results over; what runs on the engine needs none.
const HANDS: usize = 4;

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
    roots: InputRoots,
    compilers: Compilers,
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
                roots: InputRoots::default(),
                compilers: Compilers::default(),
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
        let laid = match self
            .runner
            .prepare(&task, &begun, Lane::Remote, &BTreeSet::new())
        {
            Ok(laid) => laid,
            Err(abort) => return self.finish(task, Err(abort)),
        };
        let site = &self.runner.site;
        let inputs = match self.roots.of(&task.payload().spec, &laid, site) {
            Ok(inputs) => inputs,
            Err(error) => {
                return hand_back(task, HandBack::Refused, Abort::Engine(Arc::new(error)));
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
                        // Some engines do not tell when a worker has taken it.
                        Stage::Queued => "at the engine",
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
        let compiler = self.compilers.of(&task.payload().spec).unwrap_or_default();
        Work {
            argv: vec![
                "/bin/bash".to_owned(),
                "-c".to_owned(),
                LAUNCH.to_owned(),
                text(script.as_os_str()),
                compiler.name,
                compiler.text,
            ],
            environment: environment
                .map(|(name, value)| (text(name), text(value)))
                .collect(),
            directory: String::new(),
            outputs: vec![OUT.to_owned()],
            platform: match &self.engine.root_platform {
                Some(platform) if !laid.view.system.is_host() => platform.clone(),
                _ => self.engine.platform.clone(),
            },
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
                return hand_back(away.task, back, Abort::Engine(Arc::new(error)));
            }
        };
        if done.exit_code == OTHER_COMPILER
            && let Some(compiler) = self.compilers.of(&away.task.payload().spec)
        {
            let found = String::from_utf8_lossy(&done.stdout).into_owned();
            let error = OtherCompiler { compiler, found };
            let abort = Abort::Engine(Arc::new(error));
            return hand_back(away.task, HandBack::LaneLost, abort);
        }
        match self.conclude(&away, &done) {
            // A worker's troubles are not the job's: another may not have them, and this machine says what it is.
            Err(abort @ Abort::Killed { .. }) => hand_back(away.task, HandBack::Retry, abort),
            Err(abort @ Abort::DiskFull { .. }) if done.exit_code != 0 => {
                hand_back(away.task, HandBack::Refused, abort);
            }
            end => self.finish(away.task, end),
        }
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
            remove_filled(&out)
                .and_then(|()| fs::rename(&came, &out))
                .map_err(io_error(&out))?;
        }
        let ran = done.ran.unwrap_or_default();
        let exit = ProcessExit {
            status: status(done.exit_code),
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
        let ran = Ran {
            lane: Lane::Remote,
            exit,
            not_begun: None,
            since: Since::now(),
            // Nobody looks on there.
            traced: None,
        };
        self.runner
            .conclude(&away.task, &away.begun, &away.laid, &log, &ran)
    }

    fn finish(&self, task: Task<JobPayload, JobEnd>, end: Result<JobEnd, Abort>) {
        let verdict = self.runner.verdict(&task, end);
        task.finish(verdict);
    }
}

/// Gives a job back to the scheduler, for a reason that is not the job's.
fn hand_back(task: Task<JobPayload, JobEnd>, back: HandBack, abort: Abort) {
    task.finish(Verdict::HandBack(back, JobEnd::Aborted(abort)));
}

/// What a process says by an exit code of the API, in which some engines have a negative number for a signal.
fn status(code: i32) -> ExitStatus {
    ExitStatus::from_raw(match code {
        0..=255 => code << 8,
        -127..0 => -code,
        _ => 255 << 8,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_told_from_exit_codes() {
        assert!(status(0).success());
        assert_eq!(status(2).code(), Some(2));
        assert_eq!(status(137).code(), Some(137));
        assert_eq!(status(-9).signal(), Some(9));
        assert_eq!(status(70_000).code(), Some(255));
    }
}
