//! Tasks that wait for a worker thread, first come first served.
//!
//! A lock and a condition rather than a channel, for the reason given in `inbox`: an idle worker looks around for a
//! moment and then sleeps, and takes no time slices from compilers.

use std::collections::VecDeque;
use std::fmt;
use std::hint;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::inbox::LOOKS;

/// A queue between the coordinator and the workers.
pub(crate) struct TaskQueue<T> {
    line: Mutex<Line<T>>,
    changed: Condvar,
    /// The length of the line, for looks that take no lock; the truth is in the line.
    length: AtomicUsize,
}

struct Line<T> {
    tasks: VecDeque<T>,
    /// Workers that sleep; waking costs a system call even when there are none.
    sleeping: usize,
    closed: bool,
}

impl<T> TaskQueue<T> {
    pub(crate) fn new() -> Self {
        let line = Line {
            tasks: VecDeque::new(),
            sleeping: 0,
            closed: false,
        };
        Self {
            line: Mutex::new(line),
            changed: Condvar::new(),
            length: AtomicUsize::new(0),
        }
    }

    pub(crate) fn push(&self, task: T) {
        let mut line = self.line();
        line.tasks.push_back(task);
        self.length.store(line.tasks.len(), Ordering::Release);
        let sleeping = line.sleeping;
        drop(line);
        if sleeping > 0 {
            self.changed.notify_one();
        }
    }

    /// Lets the workers end once the line is empty.
    pub(crate) fn close(&self) {
        self.line().closed = true;
        self.changed.notify_all();
    }

    /// Waits for a task; `None` when the queue is closed and empty.
    pub(crate) fn pop(&self) -> Option<T> {
        for _ in 0..LOOKS {
            if self.length.load(Ordering::Acquire) > 0 {
                break;
            }
            hint::spin_loop();
        }
        let mut line = self.line();
        line.sleeping += 1;
        let empty = |line: &mut Line<T>| line.tasks.is_empty() && !line.closed;
        line = self
            .changed
            .wait_while(line, empty)
            .unwrap_or_else(PoisonError::into_inner);
        line.sleeping -= 1;
        let task = line.tasks.pop_front();
        self.length.store(line.tasks.len(), Ordering::Release);
        task
    }

    fn line(&self) -> MutexGuard<'_, Line<T>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> fmt::Debug for TaskQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskQueue").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn tasks_come_in_order_and_a_closed_queue_is_emptied_first() {
        let queue = TaskQueue::new();
        queue.push(1);
        queue.push(2);
        queue.close();
        assert_eq!(
            [queue.pop(), queue.pop(), queue.pop()],
            [Some(1), Some(2), None]
        );
    }

    #[test]
    fn each_task_goes_to_one_worker_and_closing_wakes_all() {
        let queue = TaskQueue::new();
        thread::scope(|scope| {
            let workers =
                [(); 3].map(|()| scope.spawn(|| std::iter::from_fn(|| queue.pop()).sum::<u32>()));
            (1..=1000).for_each(|task| queue.push(task));
            queue.close();
            assert_eq!(
                workers
                    .map(|worker| worker.join().unwrap())
                    .iter()
                    .sum::<u32>(),
                500_500
            );
        });
    }
}
