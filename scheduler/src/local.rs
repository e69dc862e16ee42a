//! Runs tasks on a fixed set of threads of this process.
//!
//! Invariant: the threads live exactly as long as the executor. A child process may ask to be killed when the thread
//! that started it ends (PDEATHSIG), so a thread must never end while another task could still use it.

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crate::executor::Executor;
use crate::task::{Task, Verdict};
use crate::task_queue::TaskQueue;

/// A worker thread could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start worker thread {number}")]
pub struct WorkerError {
    /// Which one, from 1.
    pub number: usize,
    /// What the system said.
    pub source: io::Error,
}

/// A pool of threads that call one closure for each task.
///
/// A panic in the closure aborts that task only. Dropping the pool waits for the tasks it has.
pub struct LocalExecutor<P, O> {
    queue: Arc<TaskQueue<Task<P, O>>>,
    threads: Vec<JoinHandle<()>>,
}

impl<P, O> LocalExecutor<P, O>
where
    P: Send + Sync + 'static,
    O: Send + 'static,
{
    /// Starts the threads. The closure may block for as long as its job takes.
    ///
    /// # Errors
    /// When the system refuses a thread; those already started are ended.
    pub fn new<W>(threads: NonZeroUsize, work: W) -> Result<Self, WorkerError>
    where
        W: Fn(&Task<P, O>) -> Verdict<O> + Send + Sync + 'static,
    {
        let work = Arc::new(work);
        let mut pool = Self {
            queue: Arc::new(TaskQueue::new()),
            threads: Vec::with_capacity(threads.get()),
        };
        for number in 1..=threads.get() {
            let (queue, work) = (Arc::clone(&pool.queue), Arc::clone(&work));
            let thread = thread::Builder::new()
                .name(format!("job {number}"))
                .spawn(move || serve(&queue, &*work))
                .map_err(|source| WorkerError { number, source })?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }
}

fn serve<P, O>(queue: &TaskQueue<Task<P, O>>, work: &impl Fn(&Task<P, O>) -> Verdict<O>) {
    while let Some(task) = queue.pop() {
        // A payload is only lent to the closure, so a panic can leave nothing half-changed that another task sees.
        match catch_unwind(AssertUnwindSafe(|| work(&task))) {
            Ok(verdict) => task.finish(verdict),
            Err(_) => drop(task),
        }
    }
}

impl<P, O> Executor<P> for LocalExecutor<P, O>
where
    P: Send + Sync + 'static,
    O: Send + 'static,
{
    type Outcome = O;

    fn slots(&self) -> usize {
        self.threads.len()
    }

    fn start(&self, task: Task<P, O>) {
        self.queue.push(task);
    }
}

impl<P, O> Drop for LocalExecutor<P, O> {
    fn drop(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            // A worker catches every panic of the work; nothing of its own can be lost here.
            let _ = thread.join();
        }
    }
}

impl<P, O> fmt::Debug for LocalExecutor<P, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalExecutor")
            .field("threads", &self.threads.len())
            .finish_non_exhaustive()
    }
}
